# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr diff: each part of a domain changed alone, and found."""

import json
import os
import struct
import subprocess

import saved_domain as s
import sim
import sim_case
from cli_case import savevm
from saved_domain import CommandCase, b
from stream_edit import (CPUID_POLICY, MSR_POLICY, SHARED_INFO, VCPU_BASIC, VCPU_EXTENDED, VCPU_MSRS,
                         VCPU_XSAVE, Stream)

KINDS = ("pvh", "hvm", "pv64", "pv32")
PARTS = ("headers", "records", "registers", "vcpus", "hvm_params", "tsc", "cpuid", "msrs",
         "hvm_context", "shared_info", "config", "xenstore", "emulator")


def device_state(**devices) -> bytes:
    """A savevm container with a section for each device, with footers."""
    octets = struct.pack(">II", 0x5145564d, 3)
    for number, (name, data) in enumerate(devices.items()):
        octets += struct.pack(">BIB", 4, number, len(name)) + name.encode() + struct.pack(
            ">II", 0, 1) + data + struct.pack(">BI", 0x7e, number)
    return octets + b"\0"


def xl_file(**parts) -> bytes:
    """An xl save of an HVM guest; config, xenstore and emulator can be said."""
    config = parts.get("config", '{"c_info": {"name": "x"}}')
    good = b.xl_save() | {"xl": b.xl_header(config=config.encode()),
                          "context": b.hvm_context(s.context(s.cpu(rip=1))),
                          "xenstore": b.emulator(2, parts.get("xenstore", b"physmap/1\0vga\0")),
                          "emulator": b.emulator(3, parts.get("emulator", device_state(
                              timer=b"12345678", rtc=b"abc")))}
    return b.octets(good)


class DiffCase(CommandCase):
    def diff(self, a: bytes, b_: bytes, *options, status: int = 1) -> str:
        done = self.xensr("diff", *options, self.file("a", a), self.file("b", b_))
        self.assertEqual((done.returncode, done.stderr), (status, ""))
        return done.stdout

    def check(self, a: bytes, b_: bytes, *lines: str):
        """That is all that differs, both ways."""
        self.assertEqual(self.diff(a, b_).splitlines(), list(lines))
        self.assertEqual(len(self.diff(b_, a).splitlines()), len(lines))
        self.assertEqual(self.diff(a, b_, "--quiet"), "")
        found = json.loads(self.diff(a, b_, "--json"))
        self.assertIs(found["same"], False)
        self.assertEqual(sum(found["counts"].values()) + len(found["memory"]["runs"]), len(lines))
        self.assertEqual(self.diff(a, a, status=0), "")


class Memory(DiffCase):
    def stream(self, *entries) -> bytes:
        return b.octets(b.hvm_stream() | {"context": b.hvm_context(s.context()),
                                          "pages": b.page_data(*entries)})

    def test_each_difference(self):
        a = self.stream((1, b.NORMAL, 0x11), (2, b.NORMAL, 0x22), (3, b.NORMAL, 0x33),
                        (4, b.NORMAL, 0x44), (5, b.ALLOCATE_ONLY, None), (6, b.NORMAL, 0x66),
                        (8, b.INVALID, None), (9, b.ALLOCATE_ONLY, None), (0x30, b.NORMAL, 1))
        other = self.stream((2, b.NORMAL, 0x22), (3, b.NORMAL, 0x34), (4, b.NORMAL, 0x45),
                            (5, b.NORMAL, 0x55), (6, b.BROKEN, None), (7, b.NORMAL, 0x77),
                            (9, b.ALLOCATE_ONLY, None), (0x20, b.BROKEN, None),
                            (0x30, b.INVALID, None))
        self.check(a, other,
                   "memory: pfn 0x1: only in A",
                   "memory: pfn 0x3-0x4: content differs",
                   "memory: pfn 0x5: type differs: allocate-only / normal",
                   "memory: pfn 0x6: type differs: normal / broken",
                   "memory: pfn 0x7: only in B",
                   "memory: pfn 0x20: only in B (broken)",
                   "memory: pfn 0x30: only in A")
        found = json.loads(self.diff(a, other, "--json"))["memory"]
        runs = found.pop("runs")
        self.assertEqual(found, {"same": 2, "only_in_a": 2, "only_in_b": 2, "type_differs": 2,
                                 "content_differs": 2})
        self.assertEqual(runs[1], {"first": 3, "last": 4, "difference": "content_differs",
                                   "type_a": "normal", "type_b": "normal"})
        self.assertEqual(runs[4], {"first": 7, "last": 7, "difference": "only_in_b",
                                   "type_b": "normal"})
        self.assertEqual(self.diff(a, other, "--summary").splitlines(), [
            "memory       2 pages: only in A", "memory       2 pages: only in B",
            "memory       2 pages: type differs", "memory       2 pages: content differs",
            "memory       2 pages are the same"])
        self.assertNotIn("runs", json.loads(self.diff(a, other, "--json", "-s"))["memory"])

    def test_the_last_content_counts(self):
        first = b.page_data((1, b.NORMAL, 1))
        a, other = b.hvm_stream(), b.hvm_stream()
        a["context"] = other["context"] = b.hvm_context(s.context())
        a["pages"] = first + b.page_data((1, b.NORMAL, 2), (2, b.NORMAL, 3))
        other["pages"] = b.page_data((2, b.NORMAL, 3)) + b.page_data((1, b.NORMAL, 2))
        self.assertEqual(self.diff(b.octets(a), b.octets(other), status=0), "")

    def test_page_tables(self):
        def stream(kind, fill):
            return b.octets(b.pv_stream() | {"pages": b.page_data(
                (0x10, b.NORMAL, 1), (0x11, kind, fill), (0x12, b.L4_PINNED, fill)),
                "more pages": b""})
        self.check(stream(b.L1, 3), stream(b.L1, 4),
                   "memory: pfn 0x11: content differs (L1)",
                   "memory: pfn 0x12: content differs (L4 pinned)")
        self.check(stream(b.L1, 3), stream(b.NORMAL, 3),
                   "memory: pfn 0x11: type differs: L1 / normal")

    def test_many_pages(self):
        """More than are compared at once, with each second one different."""
        a = s.hvm({n: b"%d" % n for n in range(3000)})
        other = s.hvm({n: b"%d" % (n + n % 2) for n in range(3000)})
        found = json.loads(self.diff(a, other, "--json"))["memory"]
        self.assertEqual([run["first"] for run in found["runs"]], list(range(1, 3000, 2)))
        self.assertEqual((found["same"], found["content_differs"]), (1500, 1500))


class State(DiffCase):
    def hvm(self, **parts) -> bytes:
        return b.octets(b.hvm_stream() | {"context": b.hvm_context(s.context(s.cpu()))} | parts)

    def test_saves_of_a_guest_that_does_nothing(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                octets = self.saved(kind, type=kind, memory=8, vcpus=2)
                self.assertEqual(self.does("diff", octets, octets), "")

    def test_two_guests(self):
        """All their pages and registers are made of different noise."""
        for kind in KINDS:
            with self.subTest(kind=kind):
                a = self.saved("a", type=kind, memory=8, vcpus=2)
                other = self.saved("b", type=kind, memory=8, vcpus=2, seed=2)
                done = self.xensr("diff", "--json", a, other)
                self.assertEqual((done.returncode, done.stderr), (1, ""))
                found = json.loads(done.stdout)
                self.assertEqual(tuple(found["counts"]), PARTS)
                self.assertGreater(found["counts"]["registers"], 40)
                self.assertGreater(found["memory"]["content_differs"], 1000)
                self.assertEqual(found["counts"]["records"], 0)

    def test_registers(self):
        a = self.hvm(context=b.hvm_context(s.context(s.cpu(), s.cpu(rip=0x1000, cr3=5))))
        other = self.hvm(context=b.hvm_context(s.context(s.cpu(), s.cpu(rip=0x2000, cr3=5,
                                                                        gs_base=7))))
        self.check(a, other, "registers: vcpu 1: rip: 0x1000 / 0x2000",
                   "registers: vcpu 1: gs_base: 0x0 / 0x7")
        fewer = self.hvm()
        self.check(a, fewer, "registers: vcpu 1: (80 members) / (none)")

    def test_pv_registers(self):
        for kind, rip, name in (("pv64", 8 + 520 + 128, "rip"), ("pv32", 8 + 516 + 32, "eip")):
            with self.subTest(kind=kind):
                with open(self.saved(kind, type=kind, memory=8), "rb") as file:
                    good = file.read()
                stream = Stream(good)
                basic = stream.first(VCPU_BASIC)
                was = basic.get("I", rip)
                basic.put("I", rip, was ^ 1)
                line, = self.diff(good, stream.octets()).splitlines()
                self.assertTrue(line.startswith(f"registers: vcpu 0: {name}: 0x"), line)
                stream = Stream(good)
                # The last of debugreg[8], by its place from the end of the structure.
                debug = 5176 - 64 if kind == "pv64" else 8 + 2800 - 5 * 4
                stream.first(VCPU_BASIC).put("I", debug + 4 if kind == "pv64" else debug - 4, 0x77)
                line, = self.diff(good, stream.octets()).splitlines()
                self.assertIn("registers: vcpu 0: ", line)

    def test_pv_state(self):
        with open(self.saved("pv", type="pv64", memory=8), "rb") as file:
            good = file.read()
        for kind, text in ((VCPU_EXTENDED, "vcpus: vcpu 0 X86_PV_VCPU_EXTENDED: 0x0010: "),
                           (VCPU_XSAVE, "vcpus: vcpu 0 X86_PV_VCPU_XSAVE: 0x0010: "),
                           (VCPU_MSRS, "vcpus: vcpu 0 X86_PV_VCPU_MSRS: 0xc0000103: "),
                           (SHARED_INFO, "shared_info: 0x0010: ")):
            stream = Stream(good)
            record = stream.first(kind)
            at = {SHARED_INFO: 16, VCPU_MSRS: 16}.get(kind, 8 + 24)
            record.put("B", at, record.get("B", at) ^ 1)
            line, = self.diff(good, stream.octets()).splitlines()
            self.assertTrue(line.startswith(text), line)

    def test_params_by_name(self):
        self.check(self.hvm(params=b.hvm_params((1, 0xfeffc), (5, 3))),
                   self.hvm(params=b.hvm_params((1, 0xfeffd), (17, 4))),
                   "hvm_params: STORE_PFN: 0xfeffc / 0xfeffd",
                   "hvm_params: IOREQ_PFN: 0x3 / (none)",
                   "hvm_params: CONSOLE_PFN: (none) / 0x4")

    def test_tsc(self):
        self.check(self.hvm(), self.hvm(tsc=b.record(8, struct.pack("<IIQII", 2, 2000, 6, 1, 0))),
                   "tsc: khz: 1000 / 2000", "tsc: nsec: 0x5 / 0x6")

    def test_policies(self):
        leaf = struct.pack("<6I", 1, 0xffffffff, 1, 2, 3, 4) + struct.pack("<6I", 7, 0, 1, 2, 3, 4)
        other = struct.pack("<6I", 1, 0xffffffff, 1, 2, 9, 4) + struct.pack("<6I", 7, 1, 1, 2, 3, 4)
        self.check(self.hvm(cpuid=b.record(CPUID_POLICY, leaf)),
                   self.hvm(cpuid=b.record(CPUID_POLICY, other)),
                   "cpuid: 0x1: ecx: 0x3 / 0x9",
                   'cpuid: 0x7.0: {"eax":"0x1","ebx":"0x2","ecx":"0x3","edx":"0x4"} / (none)',
                   'cpuid: 0x7.1: (none) / {"eax":"0x1","ebx":"0x2","ecx":"0x3","edx":"0x4"}')
        self.check(self.hvm(msr=b.record(MSR_POLICY, struct.pack("<IIQ", 0xce, 0, 1))),
                   self.hvm(msr=b.record(MSR_POLICY, struct.pack("<IIQ", 0xce, 0, 3))),
                   "msrs: 0xce: 0x1 / 0x3")

    def test_hvm_context_by_type(self):
        def stream(*entries):
            return self.hvm(context=b.hvm_context(s.chain(*entries)))
        self.check(stream(s.entry(6, 1, bytes(40)), s.entry(99, 0, b"x")),
                   stream(s.entry(6, 1, bytes(33) + b"\1" + bytes(6)), s.entry(99, 0, b"y")),
                   "hvm_context: LAPIC_REGS 1: 0x0020: 00 00 00 00 00 00 00 00 / "
                   "00 01 00 00 00 00 00 00",
                   "hvm_context: type 99 0: 0x0000: 78 / 79")

    def test_config(self):
        self.check(xl_file(config='{"a": 1, "b": [1, 2], "c": {"d": "x"}, "e": 1}'),
                   xl_file(config='{"e": 1, "c": {"d": "y"}, "b": [1, 3, 4], "f": null}'),
                   "config: a: 1 / (none)", "config: b: [1]: 2 / 3", "config: b: [2]: (none) / 4",
                   "config: c: d: x / y", "config: f: (none) / (none)")
        self.check(xl_file(config="no JSON"), xl_file(config="none either"),
                   "config: no JSON / none either")
        self.check(xl_file(config='{"b": 1}'), xl_file(config='[1]'), 'config: {"b":1} / [1]')

    def test_xenstore(self):
        self.check(xl_file(xenstore=b"a/b\0one\0c\0same\0"),
                   xl_file(xenstore=b"c\0same\0a/b\0two\0d\0\xff\0"),
                   "xenstore: a/b: one / two", 'xenstore: d: (none) / {"0x0000":"ff"}')

    def test_emulator_by_section(self):
        self.check(xl_file(),
                   xl_file(emulator=device_state(timer=b"12345679", cmos=b"abc")),
                   "emulator: sections: timer 0: octets: 0x0000: 31 32 33 34 35 36 37 38 / "
                   "31 32 33 34 35 36 37 39",
                   'emulator: sections: rtc 0: {"version":1,"octets":{"0x0000":"61 62 63"}} / (none)',
                   'emulator: sections: cmos 0: (none) / {"version":1,"octets":'
                   '{"0x0000":"61 62 63"}}')

    def test_emulator_that_is_not_known(self):
        self.check(xl_file(emulator=b"anything"), xl_file(emulator=b"anythinG"),
                   "emulator: octets: 0x0000: 61 6e 79 74 68 69 6e 67 / 61 6e 79 74 68 69 6e 47")
        big = bytes(70000)
        line, = self.diff(xl_file(emulator=big + b"1"), xl_file(emulator=big + b"2")).splitlines()
        self.assertTrue(line.startswith("emulator: octets: xxh3: 0x"), line)

    def test_headers_and_records(self):
        self.check(self.hvm(), self.hvm(domain=b.domain_header(b.HVM, minor=17)),
                   "headers: Xen: 4.20 / 4.17")
        lines = self.diff(self.hvm(), self.hvm(msr=b"", cpuid=b"")).splitlines()
        self.assertIn("records: X86_MSR_POLICY: true / (none)", lines)
        lines = self.diff(self.hvm(), b.octets(b.pv_stream())).splitlines()
        self.assertIn("headers: guest type: HVM / PV", lines)
        self.assertIn("records: HVM_CONTEXT: true / (none)", lines)

    def test_checkpoints(self):
        image = self.file("image", b.octets(s.checkpointed()))
        done = self.xensr("diff", "--checkpoint-a=1", "--checkpoint-b", 2, image, image)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertEqual(done.stdout.splitlines(), [
            "registers: vcpu 0: rip: 0x100 / 0x200", "hvm_params: STORE_PFN: 0xfeffc / 0x2",
            "hvm_params: IOREQ_PFN: 0xfeffd / (none)", "memory: pfn 0x20: content differs"])
        self.assertEqual(self.does("diff", "--checkpoint-a=3", image, image), "")


class Hostile(DiffCase):
    def test_more_entries_than_are_shown(self):
        def stream(last):
            return b.octets(b.hvm_stream() | {"context": b.hvm_context(s.chain(
                *(s.entry(99, n, b"x") for n in range(20000)), s.entry(99, 20000, last)))})
        lines = self.diff(stream(b"y"), stream(b"z")).splitlines()
        self.assertEqual(len(lines), 1)
        self.assertTrue(lines[0].startswith("hvm_context: further entries: xxh3: 0x"), lines)

    def test_more_octets_than_are_shown(self):
        """Of all records together: the rest is compared by checksums."""
        def stream(last):
            return b.octets(b.hvm_stream() | {"context": b.hvm_context(s.chain(
                *(s.entry(99, n, bytes(60000)) for n in range(100)), s.entry(98, 0, last)))})
        lines = self.diff(stream(b"y"), stream(b"z")).splitlines()
        self.assertEqual(len(lines), 1)
        self.assertEqual(lines, ["hvm_context: type 98 0: 0x0000: 79 / 7a"])
        lines = self.diff(stream(bytes(60000) + b"y"), stream(bytes(60000) + b"z")).splitlines()
        self.assertEqual(len(lines), 1)
        self.assertTrue(lines[0].startswith("hvm_context: type 98 0: xxh3: 0x"), lines)

    def test_more_differences_than_are_listed(self):
        def image(value):
            return xl_file(config=json.dumps({"k": [value] * 100007, "z": value}))
        lines = self.diff(image(1), image(2)).splitlines()
        self.assertEqual(len(lines), 100001)
        self.assertEqual(lines[-2:], ["config: k: [99999]: 1 / 2", "… and 8 more"])
        self.assertEqual(lines[0], "config: k: [0]: 1 / 2")
        found = json.loads(self.diff(image(1), image(2), "--json"))
        self.assertEqual((len(found["state"]), found["not_listed"]), (100000, 8))
        self.assertEqual(found["state"][99999], {"what": "config: k: [99999]", "a": 1, "b": 2})
        self.assertEqual(found["counts"]["config"], 100008)
        self.assertEqual(self.diff(image(1), image(2), "-s").splitlines()[0],
                         "config       100008 differences")

    def test_long_paths(self):
        """They are cut, not within a character, and cost nothing for each difference."""
        def image(value, letter, count):
            return xl_file(config=json.dumps({letter * 4000: [value] * count},
                                             ensure_ascii=False))
        line, = self.diff(image(1, "k", 1), image(2, "k", 1)).splitlines()
        self.assertEqual(line, "config: " + "k" * 1015 + ": 1 / 2")
        for letter in "é", "€":
            found = json.loads(self.diff(image(1, letter, 3), image(2, letter, 3), "--json"))
            self.assertEqual(len(found["state"]), 3)
            self.assertTrue(found["state"][0]["what"].startswith("config: "))
        a, other = self.file("a", image(1, "k", 200000)), self.file("b", image(2, "k", 200000))
        child = subprocess.Popen([os.path.join(sim.BUILD, "xensr"), "diff", a, other],
                                 stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(child.returncode, 1)
        self.assertLess(used.ru_maxrss, 300 << 10)  # KiB; sanitizers take most of it

    def test_many_records(self):
        """Each is looked at once, not all of them for each."""
        records = {kind: b.record(kind, bytes(8)) * 500000 for kind in (VCPU_XSAVE, VCPU_EXTENDED)}
        good = b.pv_stream()
        parts = b.inserted(good, list(good)[-1], records[VCPU_XSAVE] + records[VCPU_EXTENDED])
        image = self.file("image", b.octets(parts))
        done = self.xensr("diff", image, image, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_sections_of_one_name(self):
        def image(*sections):
            return xl_file(emulator=savevm(*sections))
        same = (b"timer", b"12")
        self.check(image(same, (b"timer", b"1"), same), image(same, (b"timer", b"2"), same),
                   "emulator: sections: timer 0 #2: octets: 0x0000: 31 / 32")
        long = b"x" * 130
        self.check(image((long + b"a", b"1"), (long + b"b", b"2")),
                   image((long + b"a", b"3"), (long + b"b", b"2")),
                   f"emulator: sections: {long.decode()}a 0: octets: 0x0000: 31 / 33")

    def test_fields_of_one_name(self):
        def image(data):
            field = {"name": "f", "type": "uint8", "size": 1}
            return xl_file(emulator=savevm((b"dev", data), description={"devices": [{
                "name": "dev", "instance_id": 0, "vmsd_name": "dev", "version": 1,
                "fields": [field, field, field]}]}))
        self.check(image(b"123"), image(b"143"),
                   "emulator: sections: dev 0: fields: f #2: 0x32 / 0x34")
        self.check(image(b"123"), image(b"125"),
                   "emulator: sections: dev 0: fields: f #3: 0x33 / 0x35")

    def test_entries_of_one_name(self):
        """Many of them take no time for each."""
        def stream(*middle):
            entries = [s.entry(99, 0, b"x")] * 10000
            return b.octets(b.hvm_stream() | {"context": b.hvm_context(s.chain(
                *entries, *(s.entry(99, 0, text) for text in middle), *entries[:6000]))})
        self.check(stream(b"y"), stream(b"z"), "hvm_context: type 99 0 #10001: 0x0000: 79 / 7a")

    def test_more_than_is_shown(self):
        def fields(data):
            return xl_file(emulator=savevm((b"dev", data), description={"devices": [{
                "name": "dev", "instance_id": 0, "vmsd_name": "dev", "version": 1,
                "fields": [{"name": "f", "type": "uint8", "size": 1, "array_len": len(data)}]}]}))
        line, = self.diff(fields(bytes(17000)), fields(bytes(16999) + b"1")).splitlines()
        self.assertTrue(line.startswith("emulator: sections: dev 0: fields: further fields: xxh3: "
                                        "0x"), line)
        sections = [(b"dev", b"1")] * 16390
        line, = self.diff(xl_file(emulator=savevm(*sections)),
                          xl_file(emulator=savevm(*sections[:-1], (b"dev", b"2")))).splitlines()
        self.assertTrue(line.startswith("emulator: sections: further sections: xxh3: 0x"), line)
        keys = b"".join(b"k/%d\0v\0" % n for n in range(16390))
        line, = self.diff(xl_file(xenstore=keys + b"z\0v\0"),
                          xl_file(xenstore=keys + b"z\0w\0")).splitlines()
        self.assertTrue(line.startswith("xenstore: further entries: xxh3: 0x"), line)

    def test_names_that_are_no_text(self):
        config = b'{"\\u001b[1m": 1}'.decode()
        self.check(xl_file(config=config), xl_file(config="{}"), "config: ?[1m: 1 / (none)")
        self.check(xl_file(config="\x1b[1m"), xl_file(config="x"), "config: ?[1m / x")

    def test_damaged(self):
        good = self.file("good", xl_file())
        cut = self.file("cut", xl_file()[:-20])
        for words in ((good, cut), (cut, good)):
            done = self.xensr("diff", *words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertRegex(done.stderr, rf"^xensr diff: {cut}: [^\n]+\n$")
        behind = self.file("behind", b.octets(s.checkpointed() | {"pages 3": b.record(0x77)}))
        for options, status in (((), 2), (("--checkpoint-a=1",), 2), (("--checkpoint-b=1",), 2),
                                (("--checkpoint-a=2", "--checkpoint-b=2"), 0),
                                (("--checkpoint-a=1", "--checkpoint-b=2"), 1)):
            done = self.xensr("diff", *options, behind, behind)
            self.assertEqual(done.returncode, status)
            self.assertEqual(done.stderr.count("type 0x77 is unknown"), 2)
            self.assertEqual(done.stdout != "", len(set(options)) == 1 or status == 1)
        done = self.xensr("diff", good, self.path("none"))
        self.assertEqual(done.returncode, 4)

    def test_usage(self):
        help_ = self.does("diff", "--help")
        self.assertTrue(help_.startswith("usage: xensr diff [OPTION...] A B\n"))
        for words in ((), ("a",), ("a", "b", "c")):
            self.says(3, "xensr diff: it takes two images\n`xensr diff --help' says more.", "diff",
                      *words)
        self.says(3, "xensr diff: unrecognized option '--bad'\n`xensr diff --help' says more.",
                  "diff", "--bad")
        self.says(3, "xensr diff: `0' is no number of a checkpoint (1, 2, …)\n"
                  "`xensr diff --help' says more.", "diff", "--checkpoint-b=0", "a", "b")

    def test_nowhere_to_print(self):
        a = self.file("a", xl_file())
        other = self.file("b", xl_file(config="{}"))
        with open("/dev/full", "w", encoding="ascii") as full:
            done = self.run_to(full, "diff", a, other)
        self.assertEqual((done.returncode, done.stderr),
                         (4, "xensr diff: cannot write: No space left on device\n"))


if __name__ == "__main__":
    sim_case.main()
