#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr checksum, and what saves and restores do with checksums: every damaged octet is noticed,
stock restores the result, and without checksums nothing changes."""

import ctypes
import ctypes.util
import os
import stat
import struct

import cli_case
import legacy_image
import sim
from cli_case import DAMAGED, DIFFERENT, FINE, TROUBLE, USAGE, CliCase, built, hvm, pv, xl
from sim_case import needs_stock
from stream_edit import HEADERS, VCPU_BASIC, Record, Stream

CHECKSUM = 0x80435358
XXH3_128 = 1
FIRST, BETWEEN, LAST = 1, 2, 3
INTERVAL = 64 << 20
GUESTS = ({"type": "hvm", "memory": 72}, {"type": "pv64", "memory": 8},
          {"type": "pv32", "memory": 8})


class Digest(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def xxh3_128(octets: bytes):
    """By the library that other programs use; None if it is not there."""
    name = ctypes.util.find_library("xxhash")
    if not name:
        return None
    function = ctypes.CDLL(name).XXH3_128bits
    function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_size_t), Digest
    digest = function(bytes(octets), len(octets))
    return struct.pack(">QQ", digest.high, digest.low)


def checksums(stream: Stream):
    return stream.all(CHECKSUM)


class Added(CliCase):
    def added(self, parts, name="image") -> str:
        out = os.path.join(self.folder, name + ".sum")
        self.assertEqual(self.run_text("checksum", "--add", self.file(parts, name), out),
                         (FINE, "", ""))
        return out

    def stream(self, parts) -> Stream:
        with open(self.added(parts), "rb") as file:
            return Stream(file.read())

    def check(self, octets, code, *texts):
        path = self.file(octets, "checked")
        got, out, errors = self.run_text("checksum", path)
        self.assertEqual(got, code, out + errors)
        for text in texts:
            self.assertIn(f"{path}: {text}", out + errors)


class Layout(Added):
    def test_first_and_last(self):
        for parts in (hvm(), pv(), built.version_2(hvm()), built.version_2(pv())):
            stream = self.stream(parts)
            kinds = [record.kind for record in stream.records]
            self.assertEqual((kinds[0], kinds[-2]), (CHECKSUM, CHECKSUM))
            self.assertEqual([(r.get("I", 0), r.get("I", 4)) for r in checksums(stream)],
                             [(XXH3_128, FIRST), (XXH3_128, LAST)])
            stream.without(CHECKSUM)
            self.assertEqual(stream.octets(), built.octets(parts))

    def test_covered_and_digest(self):
        stream = self.stream(pv())
        before = bytearray(stream.headers)
        for record in stream.records:
            if record.kind == CHECKSUM:
                self.assertEqual(record.get("Q", 8), len(before))
                expected = xxh3_128(before)
                if expected:
                    self.assertEqual(bytes(record.body[16:]), expected)
            before += record.octets()

    def test_optional_records_stay(self):
        parts = built.inserted(hvm(), "tsc", built.record(0x80000077, b"nobody knows"))
        stream = self.stream(parts)
        stream.without(CHECKSUM)
        self.assertEqual(stream.octets(), built.octets(parts))

    def test_empty_records_stay(self):
        """As Xen 4.6 to 4.8 wrote them."""
        parts = built.inserted(pv(), "basic 2", built.vcpu(0x0c, 0, b""))
        stream = self.stream(parts)
        stream.without(CHECKSUM)
        self.assertEqual(stream.octets(), built.octets(parts))

    def test_replaced(self):
        with open(self.added(hvm()), "rb") as file:
            once = file.read()
        with open(self.added({"all": once}, "again"), "rb") as file:
            self.assertEqual(file.read(), once)

    def test_what_is_around_stays(self):
        path, parts = self.added(xl()), xl()
        with open(path, "rb") as file:
            octets = file.read()
        front = sum(len(parts[name]) for name in ("xl", "libxl", "libxc"))
        behind = sum(len(parts[name]) for name in ("xenstore", "emulator", "libxl end"))
        whole = built.octets(parts)
        self.assertEqual(octets[:front], whole[:front])
        self.assertEqual(octets[-behind:], whole[-behind:])
        stream = Stream(octets[front:-behind])
        self.assertEqual(len(checksums(stream)), 2)
        self.check(octets, FINE, "2 checksums are right")

    def test_through_pipes(self):
        octets = built.octets(hvm())
        code, out, errors = self.run_raw("checksum", "--add", "-", "-", data=octets)
        self.assertEqual((code, errors), (FINE, ""))
        self.assertEqual(self.run_text("checksum", "-", data=out),
                         (FINE, "-: 2 checksums are right\n", ""))


class Damage(Added):
    def test_every_octet(self):
        """Each octet of a small stream damaged, each kind of guest."""
        for parts in (hvm(), built.version_2(pv())):
            with open(self.added(parts), "rb") as file:
                octets = bytearray(file.read())
            for start in range(0, len(octets), 512):
                self.every_octet(octets, range(start, min(start + 512, len(octets))))

    def every_octet(self, octets, places):
        paths = []
        for place in places:
            octets[place] ^= 1 << place % 8
            paths.append(self.file(octets, str(place - places.start)))
            octets[place] ^= 1 << place % 8
        verdicts = self.facts("checksum", "--json", *paths, code=DAMAGED)
        missed = [place for place, verdict in zip(places, verdicts)
                  if verdict["verdict"] != "damaged"]
        self.assertEqual(missed, [])

    def test_every_cut(self):
        with open(self.added(hvm()), "rb") as file:
            octets = file.read()
        for start in range(0, len(octets), 512):
            paths = [self.file(octets[:end], str(end - start))
                     for end in range(start, min(start + 512, len(octets)))]
            verdicts = self.facts("checksum", "--json", *paths, code=DAMAGED)
            self.assertEqual({verdict["verdict"] for verdict in verdicts}, {"damaged"})

    def test_says_where(self):
        stream = self.stream(hvm())
        octets = bytearray(stream.octets())
        last = len(octets) - 8 - 40
        octets[3000] ^= 4
        self.check(octets, DAMAGED, f"CHECKSUM record at offset {last}: does not match: there is "
                   f"damage between offset 40 and {last + 40}")

    def test_format_broken_too(self):
        """Found before the checksum: then it says how far all was well."""
        stream = self.stream(hvm())
        stream.first(1).put("Q", 8, 5 << 60)
        self.check(stream.octets(), DAMAGED, "PAGE_DATA record at offset")
        code, _, errors = self.run_text("checksum", self.file(stream.octets()))
        self.assertEqual(code, DAMAGED)
        self.assertIn("(the last checksum that was right is at offset 40)", errors)

    def test_octets_after_the_end(self):
        self.check(self.stream(hvm()).octets() + b"\0", DAMAGED, "there is more after its end")


class OutOfPlace(Added):
    """Checksum records that are not where, or not what, they have to be."""

    def setUp(self):
        super().setUp()
        self.edited = self.stream(hvm())
        self.first, self.last = checksums(self.edited)

    def refused(self, text):
        self.check(self.edited.octets(), DAMAGED, text)
        octets = self.edited.octets()
        path = self.file(octets)
        slow = self.facts("verify", "--json", path, code=DAMAGED)[0]
        # What is wrong can be seen without what lies between them.
        self.assertEqual(self.facts("verify", "--quick", "--json", path, code=DAMAGED)[0]["findings"],
                         slow["findings"])

    def test_first_lost(self):
        self.edited.records.remove(self.first)
        place = len(self.edited.octets()) - 8 - 40
        self.refused(f"CHECKSUM record at offset {place}: comes without one right after the "
                     "headers: there is damage")

    def test_last_lost(self):
        self.edited.records.remove(self.last)
        place = len(self.edited.octets()) - 8
        self.refused(f"END record at offset {place}: the checksum that must come right before it "
                     "is missing: there is damage after offset 40")

    def test_last_not_last(self):
        self.edited.records.remove(self.last)
        self.edited.records.insert(3, self.last)
        self.refused("CHECKSUM record at offset")

    def test_more_after_the_last(self):
        self.edited.records.insert(-1, Record(0x80000077))
        place = len(self.edited.octets()) - 16
        self.refused(f"optional record at offset {place}: comes after the last checksum, where "
                     "only END may")

    def test_first_twice(self):
        self.edited.records.insert(1, self.first)
        self.refused("CHECKSUM record at offset 80: is not the first, but says that it is")

    def test_first_that_is_not(self):
        self.first.put("I", 4, LAST)
        self.refused("CHECKSUM record at offset 40: is the first, but says that it is not")

    def test_unknown_place(self):
        self.last.put("I", 4, 77)
        self.refused("CHECKSUM record at offset")

    def test_covered(self):
        self.last.put("Q", 8, 4711)
        place = len(self.edited.octets()) - 48
        self.refused(f"CHECKSUM record at offset {place}: says that it covers 4711 octets, "
                     f"{place} came before it")

    def test_lengths(self):
        for length, text in ((4, "is 4 octets long, 8 to 4096 are allowed"),
                             (5000, "is 5000 octets long, 8 to 4096 are allowed"),
                             (40, "is 40 octets long, an XXH3-128 needs 32")):
            with self.subTest(length=length):
                self.first.body = (self.first.body + bytes(5000))[:length]
                self.refused("CHECKSUM record at offset 40: " + text)

    def test_another_algorithm_later(self):
        self.last.put("I", 0, 9)
        place = len(self.edited.octets()) - 48
        self.refused(f"CHECKSUM record at offset {place}: algorithm 9, the first one's is 1")

    def test_unknown_algorithm(self):
        for record in (self.first, self.last):
            record.body = bytearray(struct.pack("<II", 9, FIRST) + b"another digest")
        octets = self.edited.octets()
        self.check(octets, DIFFERENT, "its checksums are of algorithm 9, which is unknown")
        text = "CHECKSUM record at offset 40: algorithm 9 is unknown: not checked"
        for options in ((), ("--quick",)):
            findings = self.facts("verify", "--json", *options, self.file(octets), code=DIFFERENT)[0]["findings"]
            self.assertEqual([finding["text"] for finding in findings], [text])

    def test_ours_after_an_unknown_one(self):
        self.first.put("I", 0, 9)
        self.refused("CHECKSUM record at offset")


class NotFor(Added):
    """What cannot have checksums."""

    def test_none(self):
        self.check(built.octets(hvm()), DIFFERENT,
                   "has no checksums (xensr verify checks the rest)\n")

    def refused(self, octets, text):
        path, out = self.file(octets), os.path.join(self.folder, "out")
        self.assertEqual(self.run_text("checksum", "--add", path, out),
                         (USAGE, "", f"xensr checksum: {path}: {text}\n"))
        self.assertEqual(os.listdir(self.folder), ["image"])
        self.check(octets, DIFFERENT, text)

    def test_checkpointed(self):
        parts = {**built.without(hvm(), "end"), "checkpoint": built.CHECKPOINT, "end": built.END}
        self.refused(built.octets(parts), "a checkpointed stream, which cannot have checksums")

    def test_legacy(self):
        image = legacy_image.LegacyImage()
        octets = image.head() + legacy_image.chunk(0) + image.hvm_tail(
            legacy_image.hvm_context())
        self.refused(octets, "an image of Xen 4.5 or earlier, which cannot have checksums: see "
                     "xensr-convert(1)")


class Command(Added):
    def test_help(self):
        code, out, errors = self.run_text("checksum", "--help")
        self.assertEqual((code, errors), (FINE, ""))
        self.assertTrue(out.startswith("usage: xensr checksum"))

    def test_usage(self):
        for words in ((), ("--add", "one"), ("--add", "--json", "one", "two"), ("--nonsense",)):
            with self.subTest(words=words):
                self.assertEqual(self.run_text("checksum", *words)[0], USAGE)

    def test_no_such_file(self):
        for words in (("nowhere",), ("--add", "nowhere", os.path.join(self.folder, "out"))):
            code, _, errors = self.run_text("checksum", *words)
            self.assertEqual((code, errors),
                             (TROUBLE, "xensr checksum: nowhere: No such file or directory\n"))
        self.assertEqual(os.listdir(self.folder), [])

    def test_worst_of_several(self):
        good, none = self.added(hvm()), self.file(pv(), "none")
        self.assertEqual(self.run_text("checksum", good, none)[0], DIFFERENT)
        self.assertEqual(self.run_text("checksum", good, none, "nowhere")[0], TROUBLE)

    def test_json(self):
        good = self.added(hvm())
        self.assertEqual(self.facts("checksum", "--json", good), [{
            "file": good, "verdict": "good", "text": "2 checksums are right", "checksums": 2,
            "good_to": os.path.getsize(good) - 48}])

    def test_json_of_a_name_that_is_no_utf8(self):
        path = os.path.join(os.fsencode(self.folder), b"g\xfcst")
        with open(path, "wb") as file:
            file.write(built.octets(hvm()))
        fact, = self.facts("checksum", "--json", path, code=DIFFERENT)
        self.assertEqual((fact["file"], fact["verdict"]), (f"{self.folder}/g?st", "none"))

    def test_only_its_owner_reads_it(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.added(hvm())).st_mode), 0o600)

    def test_disk_full(self):
        code, _, errors = self.run_text("checksum", "--add", self.file(hvm()), "/dev/full")
        self.assertEqual(code, TROUBLE)
        self.assertIn("xensr checksum: /dev/full: ", errors)
        self.assertIn("No space left on device", errors)

    def test_damaged_input_leaves_what_was_there(self):
        out = self.file(b"older", "out")
        path = self.file(built.octets(hvm())[:-20])
        self.assertEqual(self.run_text("checksum", "--add", path, out)[0], DAMAGED)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), b"older")
        self.assertEqual(sorted(os.listdir(self.folder)), ["image", "out"])


class Simulated(Added):
    """Whole guests, saved and restored."""

    def saved_with(self, host, guest, **options):
        image = self.image()
        self.save("xensr", host, guest, image, **options)
        image.seek(0)
        return image, image.read()

    def kinds_of_restore(self):
        return ("xensr", "stock") if sim.have_stock() else ("xensr",)

    def test_saved_with_them(self):
        for guest in GUESTS:
            host = self.host()
            domid = host.build(**guest)
            image, octets = self.saved_with(host, domid, env={"XENSR_CHECKSUM": 1})
            self.check(octets, FINE, f"{2 + len(octets) // INTERVAL} checksums are right")
            for program in self.kinds_of_restore():
                with self.subTest(guest=guest, program=program):
                    restored = self.restore(program, host, image, guest)
                    self.assertEqual(host.compare(domid, host, restored), "same")
                    host.destroy(restored)
            self.assert_nothing_left(host)

    @needs_stock
    def test_added_to_stocks(self):
        for guest in GUESTS:
            host = self.host()
            domid = host.build(**guest)
            image = self.image()
            self.save("stock", host, domid, image)
            image.seek(0)
            with open(self.added({"all": image.read()}), "rb") as added:
                for program in ("xensr", "stock"):
                    with self.subTest(guest=guest, program=program):
                        restored = self.restore(program, host, added, guest)
                        self.assertEqual(host.compare(domid, host, restored), "same")
                        host.destroy(restored)

    def test_saved_as_without_them(self):
        """Nothing else of the stream changes."""
        host = self.host()
        domid = host.build(type="pv64", memory=8)
        _, plain = self.saved_with(host, domid)
        host.resume(domid)
        _, octets = self.saved_with(host, domid, env={"XENSR_CHECKSUM": 1})
        stream = Stream(octets)
        stream.without(CHECKSUM)
        self.assertEqual(stream.octets(), plain)

    def test_saved_live(self):
        """The guest writes all the time: what was added up is what was written."""
        for kind in ("hvm", "pv64"):
            with self.subTest(kind=kind):
                host = self.host()
                domid = host.build(type=kind, memory=16)
                host.start_guest(domid, working_set=2000, rate=200000)
                host.await_writes(domid)
                _, octets = self.saved_with(host, domid, flags=1, env={"XENSR_CHECKSUM": 1})
                self.check(octets, FINE)

    def test_not_in_a_checkpointed_save(self):
        """For xl remus the variable is not what makes it fail."""
        host = self.host()
        domid = host.build(type="pvh", memory=8)
        image = self.image()
        outcome = sim.save(sim.helper("xensr"), host, domid, image, stream_type=1,
                           env={"XENSR_CHECKSUM": 1}, answers={"checkpoint": 0},
                           callbacks=("suspend", "postcopy", "checkpoint",
                                      "switch_qemu_logdirty"))
        self.assertIn("checkpoint answered 0", outcome.errors)
        image.seek(0)
        self.assertEqual(checksums(Stream(image.read())), [])

    def damaged_restore(self, guest, place, low, high):
        host = self.host()
        _, octets = self.saved_with(host, host.build(**guest), env={"XENSR_CHECKSUM": 1})
        octets = bytearray(octets)
        octets[place] ^= 1
        image = self.image()
        image.write(octets)
        image.seek(0)
        new = host.new(memory=guest["memory"],
                       type="pv" if guest["type"].startswith("pv6") else "hvm")
        outcome = sim.restore(sim.helper("xensr"), host, new, image)
        self.assert_failed_clearly(outcome)
        self.assert_nothing_left(host)
        found = outcome.errors.split("there is damage between offset ")[1].split(" and ")
        self.assertEqual((int(found[0]), low <= int(found[1].split()[0]) <= high), (40, True))
        return octets

    def test_restore_refuses_damage(self):
        """In a page of the first 64 MiB, of two intervals; of a guest smaller than that."""
        octets = self.damaged_restore(GUESTS[0], 40 << 20, INTERVAL, INTERVAL + (5 << 20))
        code, out, _ = self.run_text("verify", self.file(octets))
        self.assertEqual(code, DAMAGED)
        self.assertIn("does not match: there is damage between offset 40 and ", out)
        self.damaged_restore(GUESTS[1], 5 << 20, 8 << 20, 10 << 20)

    def test_second_interval(self):
        host = self.host()
        _, octets = self.saved_with(host, host.build(**GUESTS[0]), env={"XENSR_CHECKSUM": 1})
        octets = bytearray(octets)
        between = next(place for place in self.places(octets) if place > INTERVAL)
        octets[between + 100000] ^= 0x80
        self.check(octets, DAMAGED, f"CHECKSUM record at offset {len(octets) - 48}: does not "
                   f"match: there is damage between offset {between} and {len(octets) - 8}")

    @staticmethod
    def places(octets):
        """The offsets of the checksum records."""
        offset = HEADERS
        while offset < len(octets):
            kind, length = struct.unpack_from("<II", octets, offset)
            if kind == CHECKSUM:
                yield offset
            offset += 8 + length + -length % 8

    def test_unknown_algorithm_is_passed_over(self):
        host = self.host()
        guest = {"type": "pvh", "memory": 8}
        domid = host.build(**guest)
        _, octets = self.saved_with(host, domid, env={"XENSR_CHECKSUM": 1})
        stream = Stream(octets)
        for record in checksums(stream):
            record.put("I", 0, 9)
        image = self.image()
        image.write(stream.octets())
        image.seek(0)
        new = host.new(memory=8)
        outcome = sim.restore(sim.helper("xensr"), host, new, image)
        self.assertTrue(outcome.ok, outcome.errors)
        self.assertIn("checksums of algorithm 9, which is unknown: they are not checked",
                      outcome.errors)
        self.assertEqual(host.compare(domid, host, new), "same")

    def test_environment(self):
        host = self.host()
        outcome = sim.save(sim.helper("xensr"), host, host.build(type="pvh", memory=4),
                           self.image(), env={"XENSR_CHECKSUM": "yes"})
        self.assertEqual(outcome.status, 2)
        self.assertIn("XENSR_CHECKSUM=yes", outcome.stderr)


if __name__ == "__main__":
    cli_case.main()
