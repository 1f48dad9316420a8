#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr convert: version 2, checkpointed streams, verify data; what wraps them stays."""

import os
import signal
import stat
import struct
import subprocess
import sys
import time

import cli_case
import sim
from checkpointed_stream import CheckpointedStream
from cli_case import DAMAGED, DIFFERENT, FINE, TROUBLE, USAGE, XENSR, CliCase, built, hvm, pv, xl
from replication import EMULATOR_CONTEXT
from replication_case import ReplicationCase
from stream_edit import P2M_FRAMES, PAGE_DATA, STATIC_DATA_END, VERIFY, Record, Stream

LIBXL = built.libxl_header() + built.record(1)

# The two names change places until standard input ends.
SWAP = """
import ctypes, os, select, sys
one, other = (os.fsencode(path) for path in sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
while not select.select([0], [], [], 0)[0]:
    for _ in range(100):
        if libc.renameat2(-100, one, -100, other, 2):
            sys.exit(os.strerror(ctypes.get_errno()))
"""


class ConvertCase(CliCase):
    def convert(self, data, *options) -> bytes:
        out = os.path.join(self.folder, "out")
        self.assertEqual(self.run_text("convert", *options, self.file(data), out),
                         (FINE, "", ""))
        with open(out, "rb") as file:
            return file.read()

    def refused(self, data, text, *options, code=DAMAGED):
        """And nothing is left of the output."""
        path, out = self.file(data), os.path.join(self.folder, "out")
        self.assertEqual(self.run_text("convert", *options, path, out),
                         (code, "", f"xensr convert: {path}: {text}\n"))
        self.assertEqual(os.listdir(self.folder), ["image"])


class VersionTwo(ConvertCase):
    def test_static_data_end_is_inferred(self):
        for parts in (hvm(), pv()):
            old = built.version_2(parts)
            expected = built.without(parts, "cpuid", "msr")
            self.assertEqual(self.convert(old), built.octets(expected))

    def test_state_before_the_memory(self):
        """Version 2 lets TSC_INFO come first: STATIC_DATA_END comes before it then."""
        old = built.moved(built.version_2(hvm()), "tsc", "pages")
        stream = Stream(self.convert(old))
        self.assertEqual([r.kind for r in stream.records[:3]], [STATIC_DATA_END, 0x08, PAGE_DATA])

    def test_empty_records_go(self):
        parts = built.inserted(pv(), "basic 2", built.vcpu(0x0c, 0, b""))
        self.assertEqual(self.convert(parts), built.octets(pv()))

    def test_optional_records_stay(self):
        parts = built.inserted(hvm(), "tsc", built.record(0x80000077, b"nobody knows"))
        self.assertEqual(self.convert(parts), built.octets(parts))

    def test_reserved_and_padding_become_zero(self):
        parts = built.inserted(hvm(), "tsc", built.record(0x80000077, b"abc", padding=b"\xff"))
        cleaned = built.inserted(hvm(), "tsc", built.record(0x80000077, b"abc"))
        self.assertEqual(self.convert(parts), built.octets(cleaned))

    def test_version_three_stays(self):
        for parts in (hvm(), pv(), xl()):
            self.assertEqual(self.convert(parts), built.octets(parts))

    def test_what_is_around_stays(self):
        old = xl()
        parts = {name: data for name, data in old.items() if name not in ("cpuid", "msr")}
        old = {name: data for name, data in parts.items() if name != "static end"}
        old["image"] = built.image_header(version=2)
        self.assertEqual(self.convert(old), built.octets(parts))

    def test_libxl_options_stay(self):
        for options in (0, 2):
            parts = dict(built.libxl_stream(), **hvm())
            parts["libxl"] = built.libxl_header(options=options)
            ordered = {name: parts[name] for name in built.libxl_stream()}
            self.assertEqual(self.convert(ordered), built.octets(ordered))

    def test_pipes(self):
        old = built.octets(built.version_2(pv()))
        code, out, errors = self.run_raw("convert", "-", "-", data=old)
        self.assertEqual((code, errors, out), (FINE, "", self.convert(old)))

    def test_large_record(self):
        """More entries than a batch, as other savers may write them."""
        entries = [(n, built.NORMAL, n % 251) for n in range(3000)]
        parts = hvm(pages=built.page_data(*entries))
        self.assertEqual(self.convert(parts), built.octets(parts))

    def test_checksums_go_and_come(self):
        out = os.path.join(self.folder, "sum")
        path = self.file(hvm())
        self.assertEqual(self.run_text("convert", "--checksum", path, out)[0], FINE)
        self.assertEqual(self.run_text("checksum", out)[0], FINE)
        with open(out, "rb") as file:
            self.assertEqual(self.convert(file.read()), built.octets(hvm()))
        with open(out, "rb") as file:
            damaged = bytearray(file.read())
        damaged[3000] ^= 1
        code, _, errors = self.run_raw("convert", self.file(damaged), "-")
        self.assertEqual(code, DAMAGED)
        self.assertIn("does not match: there is damage between offset 40 and", errors)


class VerifyData(ConvertCase):
    @staticmethod
    def with_verify(parts):
        again = built.VERIFY + built.page_data((0x20, built.NORMAL, 0xc1))
        return built.inserted(parts, "tsc", again)

    def test_dropped(self):
        parts = self.with_verify(hvm())
        self.assertEqual(self.convert(parts, "--drop-verify"), built.octets(hvm()))
        self.assertEqual(self.convert(parts), built.octets(parts))
        code, out, _ = self.run_raw("convert", "--drop-verify", "-", "-",
                                    data=built.octets(parts))
        self.assertEqual((code, out), (FINE, built.octets(hvm())))

    def test_none_to_drop(self):
        self.assertEqual(self.convert(hvm(), "--drop-verify"), built.octets(hvm()))

    def test_of_a_guest(self):
        """A save with verify data; what is left restores to the same guest."""
        host = self.host()
        guest = {"type": "pv64", "memory": 8}
        domid = host.build(**guest)
        image = self.image()
        self.save("xensr", host, domid, image, flags=3, callbacks=("suspend",))
        image.seek(0)
        octets = image.read()
        self.assertEqual(len(Stream(octets).all(VERIFY)), 1)
        converted = Stream(self.convert(octets, "--drop-verify"))
        self.assertEqual(converted.all(VERIFY), [])
        self.assertLess(len(converted.octets()), len(octets) * 0.6)
        with open(os.path.join(self.folder, "out"), "rb") as file:
            for program in ("xensr", "stock") if sim.have_stock() else ("xensr",):
                new = self.restore(program, host, file, guest)
                self.assertEqual(host.compare(domid, host, new), "same")
                host.destroy(new)


class Damaged(ConvertCase):
    def test_named(self):
        parts = hvm()
        at = built.offset_of(parts, "tsc")
        self.refused(built.inserted(parts, "tsc", built.record(0x77)),
                     f"unknown record at offset {at}: type 0x77 is unknown")

    def test_cut(self):
        whole = built.octets(xl())
        for end in range(0, len(whole), 37):
            path = self.file(whole[:end])
            out = os.path.join(self.folder, "out")
            code, _, errors = self.run_text("convert", path, out)
            self.assertEqual(code, DAMAGED, f"{end}: {errors}")
            self.assertEqual(os.listdir(self.folder), ["image"])
            code, _, errors = self.run_text("convert", "-", out, data=whole[:end])
            self.assertEqual(code, DAMAGED, f"{end}: {errors}")
            self.assertEqual(os.listdir(self.folder), ["image"])

    def test_flipped(self):
        """An error, or something that is a stream: never a crash."""
        whole = bytearray(built.octets(xl()))
        for place in [*range(0, 500), *range(500, len(whole), 131)]:
            whole[place] ^= 1 << place % 8
            code, _, errors = self.run_raw("convert", "-", "-", data=bytes(whole))
            whole[place] ^= 1 << place % 8
            self.assertIn(code, (FINE, DAMAGED, TROUBLE), errors)

    def test_no_saved_domain(self):
        for data in (b"nothing of the kind, and not short", b"\xff" * 7):
            self.refused(data, "this is no saved domain")
        self.refused(b"", "it is empty")

    def test_more_after_the_end(self):
        code, _, errors = self.run_raw("convert", "-", "-", data=built.octets(hvm()) + b"more")
        self.assertEqual(code, DAMAGED)
        self.assertIn("there is more after its end", errors)

    def test_cannot_be_restored(self):
        """Each record is good, but the domain is not whole."""
        parts = hvm(params=built.hvm_params((1, 0x99)))
        text = (f"END record at offset {built.offset_of(parts, 'end')}: the xenstore page is pfn "
                "0x99, which the stream did not bring")
        older = self.file(b"older", "out")
        path = self.file(parts)
        self.assertEqual(self.run_text("convert", path, older), (
            DAMAGED, "",
            f"xensr convert: {path}: what comes of it cannot be restored: {text}\n"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["image", "out"])
        with open(older, "rb") as file:
            self.assertEqual(file.read(), b"older")

    def not_restorable(self, parts, text):
        path = self.file(parts)
        code, _, errors = self.run_text("convert", path, os.path.join(self.folder, "out"))
        self.assertEqual(code, DAMAGED)
        self.assertIn(f"what comes of it cannot be restored: {text}", errors)
        self.assertEqual(os.listdir(self.folder), ["image"])

    def test_page_tables_that_cannot_be_restored(self):
        table = struct.pack("<Q", 0x80 << 12 | 1)
        parts = pv()
        parts["more pages"] += built.page_data((0x11, built.L1, table))
        at = built.offset_of(parts, "tsc") - len(built.page_data((0x11, built.L1, table)))
        self.not_restorable(parts, f"PAGE_DATA record at offset {at}: entry 0 of the level-1 page table "
                            "pfn 0x11 names pfn 0x80, which the stream did not bring")

    def test_verify_data_that_differ(self):
        parts = built.inserted(hvm(), "tsc", built.VERIFY + built.page_data((0x33, built.NORMAL, 1)))
        self.not_restorable(parts, f"END record at offset {built.offset_of(parts, 'end')}: verify data: 1 "
                            "of 1 pages differ: pfn 0x33")
        code, _, errors = self.run_text("convert", "--drop-verify", self.file(parts),
                                        os.path.join(self.folder, "out"))
        self.assertEqual((code, errors), (FINE, ""))

    def test_emulator_of_a_pv_guest(self):
        parts = {"libxl": LIBXL, **pv(), "emulator": built.emulator(3, b"x"),
                 "last": built.record(0)}
        code, _, errors = self.run_raw("convert", "-", "-", data=built.octets(parts))
        self.assertEqual(code, DAMAGED)
        self.assertIn("does not belong to an x86 PV guest", errors)


class Output(ConvertCase):
    def test_mode(self):
        self.convert(hvm())
        out = os.path.join(self.folder, "out")
        self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o600)

    def test_in_place(self):
        path = self.file(built.version_2(hvm()))
        self.assertEqual(self.run_text("convert", path, path), (FINE, "", ""))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), built.octets(built.without(hvm(), "cpuid", "msr")))

    def test_disk_full(self):
        path = self.file(hvm())
        code, _, errors = self.run_text("convert", path, "/dev/full")
        self.assertEqual(code, TROUBLE)
        self.assertIn("xensr convert: /dev/full: ", errors)
        self.assertIn("No space left on device", errors)

    def test_file_too_large(self):
        """What a full disk does to a file: nothing is left of it, what was there stays."""
        path, out = self.file(hvm()), self.file(b"older", "out")
        done = subprocess.run(["sh", "-c", f"ulimit -f 8; trap '' XFSZ; exec '{XENSR}' convert "
                               f"'{path}' '{out}'"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, TROUBLE, done.stderr)
        self.assertIn("File too large", done.stderr)
        self.assertEqual(sorted(os.listdir(self.folder)), ["image", "out"])
        with open(out, "rb") as file:
            self.assertEqual(file.read(), b"older")

    def test_no_such_folder(self):
        code, _, errors = self.run_text("convert", self.file(hvm()), "/nowhere/out")
        self.assertEqual((code, errors),
                         (TROUBLE, "xensr convert: /nowhere/out: No such file or directory\n"))

    def test_stopped(self):
        """By a signal, in the middle: the unfinished file goes."""
        out = os.path.join(self.folder, "out")
        with subprocess.Popen([XENSR, "convert", "-", out], stdin=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            process.stdin.write(built.octets(hvm())[:9000])
            process.stdin.flush()
            deadline = time.monotonic() + 30
            while not os.listdir(self.folder):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.005)
            time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(), -signal.SIGTERM)
        self.assertEqual(os.listdir(self.folder), [])


class Command(ConvertCase):
    def test_help(self):
        code, out, errors = self.run_text("convert", "--help")
        self.assertEqual((code, errors), (FINE, ""))
        self.assertTrue(out.startswith("usage: xensr convert"))

    def test_usage(self):
        for words in ((), ("one",), ("one", "two", "three"), ("--nonsense", "one", "two"),
                      ("--checkpoint=0", "one", "two"), ("--checkpoint=-1", "one", "two"),
                      ("--checkpoint=x", "one", "two"), ("--format=xl", "one", "two")):
            with self.subTest(words=words):
                self.assertEqual(self.run_text("convert", *words)[0], USAGE)

    def test_quiet(self):
        for word in ("-q", "--quiet"):
            self.assertEqual(self.convert(hvm(), word), built.octets(hvm()))

    def test_no_such_file(self):
        self.assertEqual(self.run_text("convert", "nowhere", "out"),
                         (TROUBLE, "", "xensr convert: nowhere: No such file or directory\n"))
        self.assertEqual(self.run_text("convert", self.folder, "out"),
                         (TROUBLE, "", f"xensr convert: {self.folder}: Is a directory\n"))


class Checkpointed(ConvertCase):
    """Small streams, where each octet of the result is known."""

    def setUp(self):
        super().setUp()
        parts = built.without(hvm(), "end")
        self.first = parts
        self.epochs = [
            {"pages": built.page_data((0x20, built.NORMAL, 0xd0 + n), (0x30 + n, built.NORMAL, n),
                                      (0x2f + n, built.INVALID, None)),
             "tsc": built.tsc_info(), "context": parts["context"],
             "params": built.hvm_params((1, 0x20), (17, 0x22), (19, n))} for n in (2, 3)]
        self.whole = [self.first, *self.epochs]

    def bare(self, end=True):
        return b"".join(built.octets(epoch) + built.CHECKPOINT for epoch in self.whole) + \
            (built.END if end else b"")

    def in_libxl(self):
        octets = LIBXL
        for n, epoch in enumerate(self.whole, 1):
            octets += built.octets(epoch) + built.CHECKPOINT + built.emulator(
                2, f"physmap/{n}/name\0vga\0".encode()) + built.emulator(3, bytes([n]) * 33) + \
                built.record(4)
        return octets

    def plain(self, nth):
        """The domain as of a checkpoint, from 1."""
        pages = {1: ((0x20, 0, 0xc1), (0x22, 0, 0xc2)),
                 2: ((0x20, 0, 0xd2), (0x22, 0, 0xc2), (0x32, 0, 2)),
                 3: ((0x20, 0, 0xd3), (0x22, 0, 0xc2), (0x33, 0, 3))}[nth]
        state = self.whole[nth - 1]
        return built.octets({
            **{name: self.first[name] for name in ("image", "domain", "cpuid", "msr",
                                                   "static end")},
            "pages": built.page_data(*pages), "tsc": state["tsc"], "context": state["context"],
            "params": state["params"], "end": built.END})

    def test_each(self):
        for nth in (1, 2, 3):
            with self.subTest(nth=nth):
                self.assertEqual(self.convert(self.bare(), f"--checkpoint={nth}"),
                                 self.plain(nth))
                self.assertEqual(
                    self.convert(self.in_libxl(), f"--checkpoint={nth}"),
                    LIBXL + self.plain(nth) +
                    built.emulator(2, f"physmap/{nth}/name\0vga\0".encode()) +
                    built.emulator(3, bytes([nth]) * 33) + built.record(0))

    def test_last_is_the_default(self):
        self.assertEqual(self.convert(self.bare()), self.plain(3))
        self.assertEqual(self.convert(self.bare(end=False)), self.plain(3))

    def after_the_second(self, octets, *options):
        """What comes of it if it ends somehow behind the second checkpoint: (exit code, errors)."""
        path, out = self.file(octets), os.path.join(self.folder, "out")
        code, nothing, errors = self.run_text("convert", *options, path, out)
        self.assertEqual(nothing, "")
        with open(out, "rb") as file:
            self.assertIn(self.plain(2), file.read())
        return code, errors.replace(path, "IMAGE")

    def test_breaks_off_after_a_checkpoint(self):
        """As such a stream does when its sender dies: nothing is wrong with that."""
        whole = self.in_libxl()
        third = len(LIBXL) + sum(len(built.octets(self.whole[n])) for n in (0, 1)) + \
            2 * len(built.CHECKPOINT) + 2 * len(
                built.emulator(2, b"physmap/1/name\0vga\0") + built.emulator(3, bytes(33)) +
                built.record(4))
        self.assertEqual(self.after_the_second(whole[:third]), (FINE, ""))
        for end in (third + 5, third + 3000, len(whole) - 8, len(whole) - 100):
            code, errors = self.after_the_second(whole[:end])
            self.assertEqual(code, FINE, errors)
            self.assertRegex(errors, "^xensr convert: IMAGE: .*ends early.*; going by checkpoint 2, "
                             "which is complete\n$")
            self.assertEqual(self.after_the_second(whole[:end], "--checkpoint=2"), (FINE, ""))

    def test_damaged_after_a_checkpoint(self):
        """A restore refuses all of it; whoever did not choose the checkpoint has to notice."""
        octets = self.in_libxl()[:-8] + built.record(0x77)
        errors = (f"xensr convert: warning: IMAGE: unknown libxl record at offset {len(octets) - 8}: "
                  "type 0x77 is unknown; going by checkpoint 2, which is complete\n")
        self.assertEqual(self.after_the_second(octets), (DIFFERENT, errors))
        self.assertEqual(self.after_the_second(octets, "--checkpoint=2"), (FINE, errors))

    def test_no_such_checkpoint(self):
        for data, count in ((self.bare(), 3), (hvm(), 0)):
            self.refused(data, f"no checkpoint 4: it has {count} that are complete",
                         "--checkpoint=4", code=USAGE)

    def test_with_checksums(self):
        self.assertEqual(self.run_text(
            "checksum", self.file(self.convert(self.in_libxl(), "--checksum"), "sum"))[0], FINE)

    def test_from_a_pipe(self):
        code, _, errors = self.run_text("convert", "--checkpoint=1", "-", "-", data=self.bare())
        self.assertEqual(code, USAGE)
        self.assertIn("a checkpointed stream is converted from a file, not a pipe", errors)
        out = os.path.join(self.folder, "out")
        for octets in (self.bare(), self.in_libxl()):
            self.assertEqual(self.run_text("convert", "-", out, data=octets), (
                USAGE, "",
                "xensr convert: -: a checkpointed stream is converted from a file, not a pipe\n"))
        self.assertEqual(os.listdir(self.folder), [])

    def test_replaced(self):
        """Another file gets the input's name: what comes out is of one of the two, or nothing."""
        expected = {self.convert(self.in_libxl()), self.convert(self.bare())}
        libxl, bare = self.file(self.in_libxl()), self.file(self.bare(), "other")
        out = os.path.join(self.folder, "out")
        told = f"xensr convert: {libxl}: it has been replaced meanwhile\n"
        answers, deadline = set(), time.monotonic() + 60
        with subprocess.Popen([sys.executable, "-c", SWAP, libxl, bare],
                              stdin=subprocess.PIPE) as swapping:
            while told not in answers and time.monotonic() < deadline:
                code, _, errors = self.run_text("convert", libxl, out)
                answers.add(errors)
                self.assertEqual((code, errors), (TROUBLE, told) if errors else (FINE, ""))
                if code == FINE:
                    with open(out, "rb") as file:
                        self.assertIn(file.read(), expected)
            swapping.stdin.close()
        self.assertEqual(swapping.returncode, 0)
        self.assertIn(told, answers)


class GrowingP2m(ConvertCase):
    """A PV guest's p2m that comes in pieces, each of which adds to those before or replaces them."""

    FIRST = built.p2m_frames(0, 0x3ff, 0x10, 0x10)
    SECOND = built.p2m_frames(0x400, 0x7ff, 0x10, 0x11)
    AGAIN = built.p2m_frames(0x200, 0x5ff, 0x11, 0x10)

    def stream(self) -> bytes:
        """Two pieces before the first checkpoint, the others before the second."""
        parts = built.without(pv(), "end")
        state = {name: data for name, data in parts.items() if name not in (
            "image", "domain", "info", "cpuid", "msr", "static end", "p2m", "pages", "more pages")}
        first = {**parts, "p2m": self.FIRST}
        second = {"more p2m": self.SECOND, "again p2m": self.AGAIN,
                  "pages": built.page_data((0x11, built.NORMAL, 0xd1)), **state}
        return built.octets(first) + built.CHECKPOINT + built.octets(second) + \
            built.CHECKPOINT + built.END

    def p2m(self, *options):
        out = self.convert(self.stream(), *options)
        self.assertEqual(self.run_text("verify", self.file(out, "again"))[0], FINE)
        return b"".join(record.octets() for record in Stream(out).all(P2M_FRAMES))

    def test_last(self):
        self.assertEqual(self.p2m(), self.FIRST + self.SECOND + self.AGAIN)

    def test_earlier(self):
        """What came later is not of it."""
        self.assertEqual(self.p2m("--checkpoint=1"), self.FIRST)


class Replicated(ReplicationCase, ConvertCase):
    """Guests that wrote while they were replicated: the result is the guest of each checkpoint."""

    def test_each_checkpoint(self):
        for kind in ("hvm", "pvh", "pv64", "pv32"):
            pair, result, stream = self.stream_of(kind)
            for nth in (1, 2, 3):
                with self.subTest(kind=kind, nth=nth):
                    self.one(kind, pair, result, LIBXL + stream.octets(), nth)

    def stream_of(self, kind):
        pair, result = self.recorded(kind, checkpoints=3)
        stream = CheckpointedStream(result.stream)
        if kind in ("pv64", "pv32"):
            stream.records = [r for r in stream.records
                              if not (r.toolstack and r.kind == EMULATOR_CONTEXT)]
        return pair, result, stream

    def test_p2m_in_pieces(self):
        """As of a guest whose p2m grew while it was replicated."""
        for kind, in_page in (("pv64", 512), ("pv32", 1024)):
            pair, result, stream = self.stream_of(kind)
            frames = stream.first(P2M_FRAMES)
            piece = Record(P2M_FRAMES, frames.body[:16])
            piece.put("II", 0, 0, in_page - 1)
            frames.put("I", 0, in_page)
            del frames.body[8:16]
            self.assertGreater(len(frames.body), 8)
            piece.toolstack = False
            stream.records.insert(stream.records.index(frames), piece)
            for nth in (1, 3):
                with self.subTest(kind=kind, nth=nth):
                    self.one(kind, pair, result, LIBXL + stream.octets(), nth)

    def one(self, kind, pair, result, octets, nth):
        converted = self.convert(octets, f"--checkpoint={nth}")
        self.assertEqual(converted[:len(LIBXL)], LIBXL)
        image = self.image()
        image.write(converted[len(LIBXL):])
        for program in ("xensr", "stock") if sim.have_stock() else ("xensr",):
            there = self.host()
            new = self.empty(there, kind)
            image.seek(0)
            outcome = sim.restore(sim.helper(program), there, new, image)
            self.assertTrue(outcome.ok, outcome.errors)
            self.assertEqual(self.verdict(pair, result, nth - 1, there, new), "same")
            if program == "xensr":
                # Where the helper stopped reading, libxl's own records go on.
                rest = image.read()
                expected = b"" if kind in ("pv64", "pv32") else struct.pack(
                    "<IIII", 3, 8 + 777, 2, 0) + bytes([nth]) * 777 + bytes(7)
                self.assertEqual(rest, expected + built.record(0))


if __name__ == "__main__":
    cli_case.main()
