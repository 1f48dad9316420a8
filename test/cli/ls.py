#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr ls: every record, where it is and what it says."""

import struct

import cli_case
from cli_case import DAMAGED, FINE, TROUBLE, CliCase, built, hvm, pv, xl


class Ls(CliCase):
    def lines(self, octets, code=FINE):
        got, out, errors = self.run_text("ls", self.file(octets))
        self.assertEqual(got, code, errors)
        return [" ".join(line.split()) for line in out.splitlines()]

    def test_hvm(self):
        parts = xl()
        at = {name: built.offset_of(parts, name) for name in parts}
        context = at["context"] + 8
        self.assertEqual(self.lines(parts), [
            f"{at['libxc']} 0 LIBXC_CONTEXT",
            f"{at['cpuid']} 48 X86_CPUID_POLICY 2 leaves",
            f"{at['msr']} 16 X86_MSR_POLICY 1 MSRs",
            f"{at['static end']} 0 STATIC_DATA_END",
            f"{at['pages']} 8224 PAGE_DATA pfn 0x20 to 0x22: 2 normal 1 invalid",
            f"{at['tsc']} 24 X86_TSC_INFO mode 2 (never emulate), 1000 kHz, 5 ns, incarnation 1",
            f"{at['context']} {len(cli_case.HVM_CONTEXT)} HVM_CONTEXT 4 entries, 2 vcpus",
            f"{context} 24 HEADER type 1, instance 0",
            f"{context + 32} 16 CPU type 2, instance 0",
            f"{context + 56} 16 CPU type 2, instance 1",
            f"{context + 80} 0 END type 0, instance 0",
            f"{at['params']} 40 HVM_PARAMS 2 parameters",
            "STORE_PFN 0x20", "CONSOLE_PFN 0x22",
            f"{at['end']} 0 END",
            f"{at['xenstore']} 43 EMULATOR_XENSTORE_DATA qemu upstream, index 0: 2 keys",
            "physmap/1/name vga", "physmap/1/size",
            f"{at['emulator']} 17 EMULATOR_CONTEXT qemu upstream, index 0: 9 octets, 0 "
            "sections",
            f"{at['emulator'] + 24} 1 EOF",
            f"{at['libxl end']} 0 END"])

    def test_pv(self):
        parts = pv()
        lines = [line.split(" ", 2)[2] for line in self.lines(parts)]
        self.assertEqual(lines, [
            "X86_PV_INFO 64-bit guest, 4 levels of page tables", "X86_CPUID_POLICY 2 leaves",
            "X86_MSR_POLICY 1 MSRs", "STATIC_DATA_END", "X86_PV_P2M_FRAMES pfn 0 to 0x5ff: 3 frames",
            "PAGE_DATA pfn 0x10 to 0x15: 1 normal 1 L1 1 L4 pinned 1 broken 1 allocate-only 1 invalid",
            "PAGE_DATA pfn 0x10 to 0x10: 1 normal",
            "X86_TSC_INFO mode 2 (never emulate), 1000 kHz, 5 ns, incarnation 1", "SHARED_INFO",
            "X86_PV_VCPU_BASIC vcpu 0: 5168 octets", "X86_PV_VCPU_EXTENDED vcpu 0: 64 octets",
            "X86_PV_VCPU_XSAVE vcpu 0: 592 octets", "X86_PV_VCPU_MSRS vcpu 0: 2 MSRs",
            "X86_PV_VCPU_BASIC vcpu 2: 5168 octets", "X86_PV_VCPU_XSAVE vcpu 2: 592 octets", "END"])

    def test_json(self):
        parts = xl()
        records = self.facts("ls", "--json", self.file(parts))
        self.assertEqual([r["offset"] for r in records],
                         [built.offset_of(parts, name) for name in parts
                          if name not in ("xl", "libxl", "image", "domain")])
        by_name = {record["name"]: record for record in records}
        self.assertEqual(by_name["PAGE_DATA"]["facts"], {
            "types": {"normal": 2, "invalid": 1}, "pfn_least": "0x20", "pfn_most": "0x22",
            "entries": 3})
        self.assertEqual(by_name["HVM_PARAMS"]["parts"][1], {"name": "CONSOLE_PFN", "text": "0x22"})
        self.assertEqual(by_name["LIBXC_CONTEXT"]["layer"], "libxl")
        self.assertTrue(all(record["good"] for record in records))
        optional = built.inserted(hvm(), "tsc", built.record(0x80000009, b"new"))
        self.assertIn(0x80000009, [r["type"] for r in self.facts("ls", "--json", self.file(optional))])
        code, out, _ = self.run_text("ls", "--json", "/nonexistent")
        self.assertEqual((code, out.split()), (TROUBLE, ["[", "]"]))

    def test_memory_follows_the_file(self):
        """Parts are printed as they come, however many a record has."""
        container = cli_case.savevm((b"x", bytes(200000)), description={"devices": [{
            "name": "x", "instance_id": 0, "vmsd_name": "x", "version": 1,
            "fields": [{"name": "f", "type": "uint8", "size": 1, "array_len": 200000}]}]})
        path = self.file({**xl(), "emulator": built.emulator(3, container)})
        for options in (("--fields",), ("--fields", "--json")):
            code, octets = self.peak("ls", *options, path)
            self.assertEqual(code, FINE)
            self.assertLess(octets, 80 << 20)
        records = {record["name"]: record for record in self.facts("ls", "--fields", "--json", path)}
        self.assertEqual(len(records["EMULATOR_CONTEXT"]["parts"]), 200003)

    def test_optional_and_checkpoints(self):
        parts = built.inserted(built.without(hvm(), "end"), "tsc", built.record(0x80000009, b"new"))
        lines = self.lines({**parts, "checkpoint": built.CHECKPOINT, "end": built.END})
        self.assertTrue(any("optional 0x80000009 not known, passed over" in line for line in lines))
        self.assertTrue(any("CHECKPOINT number 1" in line for line in lines))

    def test_device_model(self):
        container = cli_case.savevm((b"a-device", struct.pack(">IQ", 7, 0x1234)), description={
            "page_size": 4096, "devices": [{
                "name": "a-device", "instance_id": 0, "vmsd_name": "a-device", "version": 1,
                "fields": [{"name": "count", "type": "uint32", "size": 4},
                           {"name": "base", "type": "uint64", "size": 8}]}]})
        parts = {**xl(), "emulator": built.emulator(3, container)}
        start = built.offset_of(parts, "emulator") + 16
        path = self.file(parts)
        section = (f"{start + 8} 39 SECTION_FULL a-device, instance 0, version 1, id 0; its end is "
                   "known by: vmdescription")
        lines = [" ".join(line.split()) for line in self.run_text("ls", path)[1].splitlines()]
        self.assertIn(section, lines)
        self.assertFalse(any("count 0x7" in line for line in lines))
        lines = [" ".join(line.split())
                 for line in self.run_text("ls", "--fields", path)[1].splitlines()]
        place = lines.index(section)
        self.assertEqual(lines[place + 1:place + 3], [
            f"{start + 30} 4 count 0x7", f"{start + 34} 8 base 0x1234"])
        # Cut off in the middle: what came before is listed, and that it is damaged.
        parts["emulator"] = built.emulator(3, container[:30])
        out = self.run_text("ls", self.file(parts))[1]
        self.assertRegex(out, r"\n +damaged +\S")

    def test_pipe(self):
        octets = built.octets(xl())
        self.assertEqual(self.run_text("ls", "-", data=octets), self.run_text("ls", self.file(octets)))

    def test_damaged(self):
        """A record that is damaged is listed, and what is wrong is told."""
        path = self.file(hvm(params=built.hvm_params((1, 0x20), (17, 0x22), count=9)))
        code, out, errors = self.run_text("ls", path)
        self.assertEqual(code, DAMAGED)
        self.assertIn("HVM_PARAMS\n", out)
        self.assertRegex(errors, rf"^xensr ls: {path}: HVM_PARAMS record at offset \d+: is 40 octets "
                                 r"long, but 9 parameters make 152\n$")
        self.assertEqual(self.run_text("ls", "/nonexistent")[0], TROUBLE)
        self.assertIn("legacy image", self.run_text("ls", self.file(
            b"\0\0\1\0\0\0\0\0" + b"\xff" * 99))[2])

    def test_terminal_is_safe(self):
        """Values come from the guest's side: no control octet reaches the terminal."""
        parts = {**xl(), "xenstore": built.emulator(2, b"physmap/1/name\0\x1b[31m\xc3\x28\0")}
        code, out, _ = self.run_text("ls", self.file(parts))
        self.assertEqual((code, _), (FINE, ""))
        self.assertIn("?[31m?(\n", out)
        self.facts("ls", "--json", self.file(parts))


if __name__ == "__main__":
    cli_case.main()
