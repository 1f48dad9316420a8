#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr verify: what it finds, how bad it says that is, and where."""

import json
import os
import struct
import subprocess
import time

import cli_case
from cli_case import DAMAGED, DIFFERENT, FINE, TROUBLE, CliCase, FindingsCase, built, hvm, pv, \
    pv_basic, start_info, xl


def checkpointed() -> built.Parts:
    """Two checkpoints and END."""
    parts = built.without(hvm(), "end")
    epoch = {name: data for name, data in built.hvm_epoch(2).items()}
    epoch["context 2"] = parts["context"]
    epoch["params 2"] = parts["params"]
    return {**parts, "checkpoint 1": built.CHECKPOINT, **epoch, "end": built.END}


class Findings(FindingsCase):
    def test_fine(self):
        for name, parts in (("hvm", hvm()), ("pv", pv()), ("xl", xl()), ("v2", built.version_2(hvm())),
                            ("checkpointed", checkpointed())):
            with self.subTest(name=name):
                self.check(parts, FINE)

    def test_saved_guests(self):
        for guest in ("pvh", "hvm", "pv64", "pv32"):
            with self.subTest(guest=guest):
                path = self.saved(type=guest, memory=8)
                code, out, errors = self.run_text("verify", path)
                self.assertEqual((code, errors), (FINE, ""))
                self.assertRegex(out, rf"^{path}: fine: \d+ records, \d+ pages, \d\.\d MiB\n$")

    def test_all_findings_are_told(self):
        parts = hvm(tsc=built.tsc_info(16), image=built.image_header(reserved=b"\1" * 6))
        parts = built.inserted(parts, "tsc", built.record(0x55, b"12345", padding=b"x"))
        parts = {**parts, "tail": b"more"}
        self.check(
            parts, DAMAGED,
            "warning: image header at offset 0: reserved field is not zero",
            f"error: unknown record at offset {self.at(parts, 'new')}: type 0x55 is unknown",
            f"warning: unknown record at offset {self.at(parts, 'new')}: padding is not zero",
            f"error: X86_TSC_INFO record at offset {self.at(parts, 'tsc')}: is 16 octets long, at "
            "least 24 needed",
            f"warning: data at offset {self.at(parts, 'tail')}: 4 octets after the end")

    def test_warnings_only(self):
        parts = hvm(tsc=built.tsc_info(reserved=7))
        self.check(parts, DIFFERENT,
                   f"warning: X86_TSC_INFO record at offset {self.at(parts, 'tsc')}: reserved field "
                   "is not zero")

    def test_record_that_brings_nothing(self):
        parts = built.inserted(hvm(), "params", built.hvm_params())
        self.check(parts, DIFFERENT,
                   f"warning: HVM_PARAMS record at offset {self.at(parts, 'new')}: brings nothing; a "
                   "restore ignores it")

    def test_incomplete(self):
        parts = built.without(hvm(), "context")
        self.check(parts, DAMAGED,
                   f"error: END record at offset {self.at(parts, 'end')}: the image is incomplete, "
                   "there was no HVM_CONTEXT")

    def test_order_is_told_once(self):
        parts = built.without(hvm(), "static end")
        self.check(parts, DAMAGED,
                   f"error: PAGE_DATA record at offset {self.at(parts, 'pages')}: comes before the "
                   "end of the static data")

    def test_cut(self):
        parts = hvm()
        whole = built.octets(parts)
        self.check(whole[:-3], DAMAGED,
                   f"error: record header at offset {len(whole) - 8}: the input ends early, at offset "
                   f"{len(whole) - 3}: 3 more octets expected")

    def test_length_beyond_all_bounds(self):
        parts = built.inserted(hvm(), "tsc", built.record(8, b"", length=0xfffffff9))
        self.check(parts, DAMAGED,
                   f"error: X86_TSC_INFO record at offset {self.at(parts, 'new')}: type 0x8: length "
                   "4294967289 is over the format's limit of 134217728")

    def test_page_that_did_not_come(self):
        parts = hvm(params=built.hvm_params((1, 0x20), (17, 0x99)))
        self.check(parts, DAMAGED,
                   f"error: END record at offset {self.at(parts, 'end')}: the console page is pfn "
                   "0x99, which the stream did not bring")

    def test_page_that_was_taken_back(self):
        """Of a pfn that comes more than once the last entry counts, also within a record."""
        came, left = (0x22, built.NORMAL, 7), (0x22, built.INVALID, None)
        for last, code in ((built.page_data(left), DAMAGED), (built.page_data(came, left), DAMAGED),
                           (built.page_data(left, came), FINE),
                           (built.page_data(left) + built.page_data(came), FINE)):
            parts = built.inserted(hvm(), "tsc", last)
            self.assertEqual(self.run_text("verify", self.file(parts))[0], code)

    def test_p2m(self):
        parts = pv(p2m=built.p2m_frames(0x200, 0x3ff, 0x10))
        self.check(parts, DAMAGED,
                   f"error: X86_PV_P2M_FRAMES record at offset {self.at(parts, 'p2m')}: begins at "
                   "pfn 0x200, not at 0")
        parts = built.inserted(pv(), "tsc", built.p2m_frames(0x800, 0x9ff, 0x10))
        self.check(parts, DAMAGED,
                   f"error: X86_PV_P2M_FRAMES record at offset {self.at(parts, 'new')}: begins at "
                   "pfn 0x800 and leaves a gap behind pfn 0x5ff")
        parts = pv(p2m=built.p2m_frames(0, 0x1ff, 0x13))
        self.check(parts, DAMAGED,
                   f"error: END record at offset {self.at(parts, 'end')}: a page of the p2m is pfn "
                   "0x13, which the stream did not bring")

    def test_pages_that_a_pv_guest_needs(self):
        missing, table = ", which the stream did not bring", ", which is a page of type 0x1"
        for changes, text in (
                ({"basic_0": pv_basic(0, edx=0x13)}, f"the start info is pfn 0x13{missing}"),
                ({"basic_0": pv_basic(0, edx=0x11)}, f"the start info is pfn 0x11{table}"),
                ({"basic_2": pv_basic(2, cr3=0x15 << 12)}, f"CR3 is pfn 0x15{missing}"),
                ({"basic_2": pv_basic(2, cr3=0x11 << 12)}, f"CR3 is pfn 0x11{table}"),
                ({"basic_2": pv_basic(2, cr3=1 << 63)}, f"CR3 is pfn {1 << 51:#x}{missing}"),
                ({"basic_2": pv_basic(2, cr1=0x11 << 12 | 1)}, f"a user page table is pfn 0x11{table}"),
                ({"basic_2": pv_basic(2, cr1=0x12 << 12)},
                 "a user page table is 0x12000, which is not marked as valid"),
                ({"basic_2": pv_basic(2, gdt=(0x10, 0x99), entries=513)}, f"a GDT is pfn 0x99{missing}"),
                ({"basic_2": pv_basic(2, gdt=(0x11,), entries=1)}, f"a GDT is pfn 0x11{table}"),
                ({"basic_2": pv_basic(2, entries=7169)}, "a GDT has 7169 entries"),
                ({"p2m": built.p2m_frames(0, 0x3ff, 0x10, 0x11)}, f"a page of the p2m is pfn 0x11{table}")):
            with self.subTest(text=text):
                parts = pv(**changes)
                self.check(parts, DAMAGED,
                           f"error: END record at offset {self.at(parts, 'end')}: {text}")
        # vcpu 2 has no start info, and what lies behind a GDT's last entry is none of it.
        self.check(pv(basic_2=pv_basic(2, edx=0x99, cr1=0x12 << 12 | 1, gdt=(0x10, 0x99), entries=512)),
                   FINE)

    def test_page_table_of_a_level_too_many(self):
        context = bytearray(2800)
        struct.pack_into("<I", context, 524, 0x10)  # edx
        parts = built.without(pv(info=built.pv_info(4, 3), p2m=built.p2m_frames(0, 0x7ff, 0x10, 0x10),
                                 more_pages=built.page_data((0x10, built.NORMAL, start_info(width=4))),
                                 basic_0=built.vcpu(4, 0, bytes(context))),
                              "basic 2", "xsave 2", "extended 0", "msrs 0", "xsave 0")
        self.check(parts, DAMAGED,
                   f"error: PAGE_DATA record at offset {self.at(parts, 'pages')}: pfn 0x12 is a level-4 "
                   "page table; the guest has 3 levels",
                   f"error: END record at offset {self.at(parts, 'end')}: CR3 is pfn 0, which the "
                   "stream did not bring")

    def test_width_that_no_guest_has(self):
        parts = pv(info=built.pv_info(0, 4))
        self.assertEqual(self.run_text("verify", self.file(parts))[::2], (DAMAGED, ""))

    def test_memory_follows_the_file(self):
        """Pfns that lie far apart are no reason for more memory."""
        parts = built.inserted(hvm(), "tsc", built.page_data(
            *((i << 15, built.ALLOCATE_ONLY, None) for i in range(1, 250001))))
        path = self.file(parts)
        for command in ("verify", "info"):
            code, octets = self.peak(command, path)
            self.assertEqual(code, FINE)
            self.assertLess(octets, 160 << 20)

    def test_vcpus(self):
        parts = built.without(pv(basic_2=pv_basic(0)), "xsave 2")
        self.check(parts, DAMAGED,
                   f"error: X86_PV_VCPU_BASIC record at offset {self.at(parts, 'basic 2')}: comes a "
                   "second time for vcpu 0")
        parts = built.without(pv(), "basic 2")
        self.check(parts, DAMAGED,
                   f"error: END record at offset {self.at(parts, 'end')}: the stream brought state of "
                   "vcpu 2, but not its registers")

    def test_toolstack_layer(self):
        parts = {**xl(), "xenstore": built.emulator(2, b"physmap/1\0"),
                 "emulator": built.emulator(3, cli_case.SAVEVM, number=9)}
        parts = built.inserted(parts, "libxl end", built.record(4))
        self.check(parts, DAMAGED,
                   f"error: libxl EMULATOR_XENSTORE_DATA record at offset "
                   f"{self.at(parts, 'xenstore')}: key 0 has no value",
                   f"error: libxl EMULATOR_CONTEXT record at offset {self.at(parts, 'emulator')}: "
                   "emulator 9 is unknown",
                   f"error: libxl CHECKPOINT_END record at offset {self.at(parts, 'new')}: comes "
                   "outside a checkpoint")

    def test_xl_header(self):
        parts = {**xl(), "xl": built.xl_header(mandatory=7)}
        self.check(parts, DAMAGED,
                   "error: xl header at offset 0: mandatory flags 0x4 are unknown")
        parts = {**xl(), "xl": built.xl_header(byteorder=0x04030201)}
        report = self.facts("verify", "--json", self.file(parts), code=DAMAGED)[0]
        self.assertEqual([f["text"] for f in report["findings"]],
                         ["xl header at offset 0: written by a machine of the other byte order"])

    def test_device_model(self):
        for container, text in (
                (b"QEVM\0\0\0\2\0", "in the device model's state, "),
                (cli_case.SAVEVM[:-1], "in the device model's state, "),
                (b"qemu" * 9, "in the device model's state, "),
                (cli_case.SAVEVM + b"more", "in the device model's state, ")):
            parts = {**xl(), "emulator": built.emulator(3, container)}
            report = self.facts("verify", "--json", self.file(parts), code=DAMAGED)[0]
            self.assertEqual(len(report["findings"]), 1)
            finding = report["findings"][0]
            self.assertEqual(finding["offset"], self.at(parts, "emulator"))
            self.assertIn("libxl EMULATOR_CONTEXT record at offset", finding["text"])
            self.assertIn(text, finding["text"])
        # Whose state it is decides: of qemu-traditional nothing is known.
        parts = {**xl(), "emulator": built.emulator(3, b"anything", number=1)}
        self.check(parts, FINE)
        self.check({**xl(), "emulator": built.emulator(3, cli_case.savevm((b"x", b"1234")))}, FINE)
        # Nor is it the image's fault that a device has more than we know of (one octet).
        self.check({**xl(), "emulator": built.emulator(3, cli_case.savevm((b"port92", b"1234")))}, FINE)

    def test_description_that_does_not_fit(self):
        container = cli_case.savevm((b"x", b"1234"), description={"devices": [{
            "name": "x", "instance_id": 0, "vmsd_name": "x", "version": 1,
            "fields": [{"name": "f", "type": "buffer", "size": 3}]}]})
        parts = {**xl(), "emulator": built.emulator(3, container)}
        note = "the vmdescription does not fit: no end of the section at offset 26"
        self.check(parts, DIFFERENT,
                   f"warning: libxl EMULATOR_CONTEXT record at offset {self.at(parts, 'emulator')}: in "
                   f"the device model's state, SECTION_FULL at offset 8: {note}")
        out = self.run_text("ls", self.file(parts))[1]
        self.assertRegex(out, rf"SECTION_FULL +x, instance 0, version 1, id 0; .*; {note}\n")

    def test_configuration(self):
        self.check(xl(config=b'{"c_info": }'), DAMAGED,
                   "error: configuration at offset 52: line 1, column 12: unexpected token near '}'")

    def test_emulator_of_a_pv_guest(self):
        around = xl()
        parts = {"libxl": around["libxl"], "libxc": around["libxc"], **pv(),
                 "emulator": around["emulator"], "libxl end": around["libxl end"]}
        self.check(parts, DAMAGED,
                   f"error: libxl EMULATOR_CONTEXT record at offset {self.at(parts, 'emulator')}: "
                   "does not belong to an x86 PV guest")

    def test_emulator_twice(self):
        for part, title in (("emulator", "EMULATOR_CONTEXT"),
                            ("xenstore", "EMULATOR_XENSTORE_DATA")):
            parts = built.inserted(xl(), "libxl end", xl()[part])
            self.check(parts, DAMAGED,
                       f"error: libxl {title} record at offset {self.at(parts, 'new')}: comes a "
                       "second time")

    def test_emulator_that_is_missing(self):
        parts = built.without(xl(), "emulator")
        self.check(parts, DAMAGED,
                   f"error: libxl END record at offset {self.at(parts, 'libxl end')}: the image is "
                   "incomplete, there was no EMULATOR_CONTEXT")
        # Nobody knows what kind of domain it was, or it had no device model.
        for config in (b'{"c_info": {}}', b'{"c_info": {"type": 7}}', b'[]',
                       b'{"c_info": {"type": "pvh"}}',
                       b'{"c_info": {"type": "hvm"}, "b_info": {"device_model_version": "none"}}'):
            self.check(built.without(xl(config), "emulator", "xenstore"), FINE)
        self.check(built.without(xl(), "xl", "emulator"), FINE)

    def test_emulator_of_a_pvh_guest(self):
        parts = built.without(xl(b'{"c_info": {"type": "pvh"}}'), "xenstore")
        self.check(parts, DAMAGED,
                   f"error: libxl EMULATOR_CONTEXT record at offset {self.at(parts, 'emulator')}: "
                   "does not belong to a PVH guest, which is what the configuration says it is")

    def test_verify_data_that_does_not_come(self):
        parts = built.inserted(hvm(), "tsc", built.VERIFY)
        self.check(parts, DAMAGED,
                   f"error: END record at offset {self.at(parts, 'end')}: verify data was promised, "
                   "and none came")
        # They are compared and change nothing: the console page stays.
        parts["new"] += built.page_data((0x20, built.NORMAL, 1), (0x22, built.INVALID, None))
        self.check(parts, FINE)

    def test_legacy(self):
        legacy = b"\0\0\1\0\0\0\0\0" + b"\xff" * 8 + bytes(64)
        report = self.facts("verify", "--json", self.file(legacy), code=DAMAGED)[0]
        self.assertEqual(report["findings"][0]["text"],
                         'extended info at offset 16: there is no block "vcpu"')

    def test_not_an_image(self):
        self.check(b"", DAMAGED, "error: it is empty")
        self.check(b"#!/bin/sh\nexit 0\n" * 9, DAMAGED, "error: this is no saved domain")

    def test_damaged_content_with_checksums(self):
        path = self.saved_with_checksums()
        code, out, _ = self.run_text("verify", path)
        self.assertEqual(code, FINE)
        self.assertRegex(out, r", [2-9] checksums match\n$")
        self.damage(path, 1 << 20)
        report = self.facts("verify", "--json", path, code=DAMAGED)[0]
        self.assertEqual(report["errors"], 1)
        self.assertRegex(report["findings"][0]["text"],
                         r"^CHECKSUM record at offset \d+: does not match: there is damage between "
                         r"offset \d+ and \d+$")

    def test_quick(self):
        """What is not read is not found, and that is said; of a pipe all is read."""
        path = self.saved_with_checksums()
        self.damage(path, 1 << 20)
        code, out, errors = self.run_text("verify", "--quick", path)
        self.assertEqual((code, errors), (FINE, ""))
        self.assertTrue(out.endswith("; not checked, being quick: whether the checksums match, whether all "
                                     "of it can be read\n"), out)
        report = self.facts("verify", "--quick", "--json", path)[0]
        self.assertEqual(report["unchecked"], ["checksums", "contents"])
        slow = self.facts("verify", "--json", path, code=DAMAGED)[0]
        self.assertEqual(slow["unchecked"], [])
        for what in ("octets", "records", "pages"):
            self.assertEqual(report[what], slow[what])
        with open(path, "rb") as file:
            octets = file.read()
        piped = self.facts("verify", "--quick", "--json", "-", data=octets, code=DAMAGED)[0]
        self.assertEqual({**piped, "file": path}, slow)
        code, out, errors = self.run_raw("verify", "--quick", "--tee", "-", data=octets)
        self.assertEqual((code, len(out)), (DAMAGED, len(octets)))
        self.assertTrue(out == octets)
        self.assertNotIn("not checked", errors)

    def test_quick_needs_no_content(self):
        """Nothing was passed over: then there is nothing to say."""
        parts = built.without(hvm(), "pages")
        for options in ((), ("--quick",)):
            report = self.facts("verify", "--json", *options, self.file(parts), code=DAMAGED)[0]
            self.assertEqual(report["unchecked"], [])

    @staticmethod
    def damage(path, offset):
        with open(path, "r+b") as file:
            file.seek(offset)
            octet = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([octet ^ 4]))

    def saved_with_checksums(self) -> str:
        path = self.folder + "/summed"
        host = self.host()
        with open(path, "w+b") as image:
            self.save("xensr", host, host.build(type="pvh", memory=8), image,
                      wrapper=("env", "XENSR_CHECKSUM=1"))
        return path


class Checkpoints(CliCase):
    def test_counted(self):
        report = self.facts("verify", "--json", self.file(checkpointed()))[0]
        self.assertEqual(report["checkpoints"], 2)

    def test_ends_after_a_checkpoint(self):
        parts = built.without(checkpointed(), "end")
        code, out, _ = self.run_text("verify", self.file(parts))
        self.assertEqual(code, DIFFERENT)
        self.assertIn("; a restore takes checkpoint 2\n", out)

    def test_within_libxl(self):
        parts = self.within_libxl()
        code, out, _ = self.run_text("verify", self.file(parts))
        self.assertEqual(code, DIFFERENT, out)
        self.assertIn("2 complete checkpoints", out)
        # Without its CHECKPOINT_END the second one is not complete.
        code, out, _ = self.run_text("verify", self.file(built.without(parts, "checkpoint end 2")))
        self.assertEqual(code, DIFFERENT, out)
        self.assertIn("1 complete checkpoints", out)

    def within_libxl(self):
        parts = built.libxl_checkpointed()
        for name in ("context", "context 2"):
            parts[name] = hvm()["context"]
        parts["params"] = parts["params 2"] = hvm()["params"]
        parts["emulator 1"] = parts["emulator 2"] = built.emulator(3, cli_case.SAVEVM)
        return parts

    def test_emulator_of_each(self):
        parts = {"xl": xl()["xl"], **self.within_libxl()}
        self.assertEqual(self.run_text("verify", self.file(parts))[0], DIFFERENT)
        parts = built.without(parts, "emulator 2")
        code, out, _ = self.run_text("verify", self.file(parts))
        self.assertEqual(code, DAMAGED)
        self.assertIn(f"libxl CHECKPOINT_END record at offset "
                      f"{built.offset_of(parts, 'checkpoint end 2')}: the image is incomplete, there "
                      "was no EMULATOR_CONTEXT\n", out)
        self.assertIn("1 complete checkpoints", out)

    def test_damaged_ones_do_not_count(self):
        for parts in (checkpointed(), self.within_libxl()):
            parts = built.inserted(parts, "context", built.record(0x55))
            report = self.facts("verify", "--json", self.file(parts), code=DAMAGED)[0]
            self.assertEqual(report["checkpoints"], 0)

    def test_p2m_is_looked_at_once(self):
        parts = built.without(pv(p2m=built.p2m_frames(0, 0x5ff, 0x10, 0x13, 0x10)), "end")
        state = ("tsc", "shared", "basic 0", "extended 0", "xsave 0", "msrs 0")
        for number in (1, 2, 3, 4):
            parts[f"checkpoint {number}"] = built.CHECKPOINT
            again = built.page_data((0x10, built.NORMAL, number))
            if number == 2:  # of the p2m's frames, one left
                again = built.page_data((0x10, built.INVALID, None))
            parts.update({f"{name} {number}": data for name, data in
                          {"pages": again, **{n: parts[n] for n in state}}.items()})
        texts = [f["text"] for f in self.facts("verify", "--json", self.file(parts),
                                               code=DAMAGED)[0]["findings"]]
        # The last record is the state after checkpoint 4, which is cut off.
        p2m = [text for text in texts if "a page of the p2m" in text]
        self.assertEqual(p2m, [
            f"CHECKPOINT record at offset {built.offset_of(parts, 'checkpoint 1')}: a page of the p2m is "
            "pfn 0x13, which the stream did not bring",
            f"CHECKPOINT record at offset {built.offset_of(parts, 'checkpoint 3')}: a page of the p2m is "
            "pfn 0x10, which the stream did not bring"])

    def test_p2m_in_the_midst_of_others(self):
        """Its pages come, and go, in the middle of records of pages that are all alike."""
        state = ("tsc", "shared", "basic 0", "extended 0", "xsave 0", "msrs 0")
        for count in (16, 256, 300):
            parts = built.without(pv(p2m=built.p2m_frames(0, 0x5ff, 0x310, 0x311, 0x312)), "end")
            parts["pages 0"] = built.page_data(*((0x300 + i, built.NORMAL, 1) for i in range(count + 32)))
            parts = {**{n: d for n, d in parts.items() if n not in state}, **{n: parts[n] for n in state}}
            for number, kind in ((1, built.NORMAL), (2, built.INVALID), (3, built.INVALID)):
                parts[f"checkpoint {number}"] = built.CHECKPOINT
                again = ((0x300 + i, kind, 2 if kind == built.NORMAL else None) for i in range(count + 32))
                parts[f"pages {number}"] = built.page_data(*again)
                parts.update({f"{n} {number}": parts[n] for n in state})
            parts["checkpoint 4"] = built.CHECKPOINT
            parts["end"] = built.END
            texts = [f["text"] for f in self.facts("verify", "--json", self.file(parts),
                                                   code=DAMAGED)[0]["findings"]]
            self.assertEqual([text for text in texts if "a page of the p2m" in text], [
                f"CHECKPOINT record at offset {built.offset_of(parts, 'checkpoint 3')}: a page of the p2m is "
                "pfn 0x310, which the stream did not bring"])

    def test_asked_for(self):
        self.assertEqual(self.run_text("verify", "--checkpointed", self.file(checkpointed()))[0], FINE)
        verify = built.inserted(hvm(), "tsc", built.VERIFY + hvm()["pages"])
        self.assertEqual(self.run_text("verify", self.file(verify))[0], FINE)
        code, out, _ = self.run_text("verify", "--checkpointed", self.file(verify))
        self.assertEqual(code, DAMAGED)
        self.assertIn("VERIFY record", out)
        self.assertIn("comes in a checkpointed stream", out)


class Large(CliCase):
    """More than is tried before the kernel is asked for it in the way that is faster."""

    def test_whole_and_cut(self):
        path = self.saved(type="pvh", memory=80)
        whole = self.facts("verify", "--json", path)[0]
        self.assertGreater(whole["octets"], 80 << 20)
        self.assertEqual(self.facts("verify", "--json", "-", data=self.contents(path))[0]["pages"],
                         whole["pages"])
        for octets in (70 << 20, 50 << 20, 20 << 20, 5 << 20):
            os.truncate(path, octets)
            report = self.facts("verify", "--json", path, code=DAMAGED)[0]
            self.assertEqual(report["octets"], octets)
            self.assertRegex(report["findings"][0]["text"],
                             rf"^PAGE_DATA record at offset \d+: the input ends early, at offset "
                             rf"{octets}: \d+ more octets expected$")

    @staticmethod
    def contents(path):
        with open(path, "rb") as file:
            return file.read()


class Progress(CliCase):
    def run_on_terminal(self, *options):
        """What standard error, a terminal, shows while standard input comes slowly."""
        master, terminal = os.openpty()
        process = subprocess.Popen([cli_case.XENSR, "verify", *options, "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=terminal, bufsize=0)
        os.close(terminal)
        shown, octets = b"", built.octets(hvm())
        for at in range(0, len(octets), len(octets) // 20):
            process.stdin.write(octets[at:at + len(octets) // 20])
            time.sleep(0.05)
        process.stdin.close()
        process.wait()
        try:
            while part := os.read(master, 4096):
                shown += part
        except OSError:  # how a terminal ends
            pass
        os.close(master)
        return process.returncode, shown

    def test_shown_and_wiped(self):
        code, shown = self.run_on_terminal()
        self.assertEqual(code, FINE)
        self.assertRegex(shown, rb"^(\r\x1b\[K- [\d.]+ (KiB|octets))+\r\x1b\[K$")

    def test_not_shown(self):
        for option in ("--quiet", "--json"):
            self.assertEqual(self.run_on_terminal(option), (FINE, b""))


class Files(CliCase):
    def test_several(self):
        good, bad = self.file(hvm(), "good"), self.file(built.octets(hvm())[:-8], "bad")
        code, out, _ = self.run_text("verify", good, bad)
        self.assertEqual(code, DAMAGED)
        self.assertIn(f"{good}: fine: ", out)
        self.assertIn(f"{bad}: error: record header", out)
        self.assertEqual([r["file"] for r in json.loads(
            self.run_text("verify", "--json", good, bad)[1])], [good, bad])

    def test_missing(self):
        good = self.file(hvm(), "good")
        code, out, errors = self.run_text("verify", "/nonexistent/x", good)
        self.assertEqual(code, TROUBLE)
        self.assertEqual(errors, "xensr verify: /nonexistent/x: cannot open it: No such file or "
                                 "directory\n")
        self.assertIn(f"{good}: fine", out)
        self.assertIn("cannot read it: Is a directory", self.run_text("verify", "/")[2])

    def test_missing_as_json(self):
        good = self.file(hvm(), "good")
        code, out, _ = self.run_text("verify", "--json", "/nonexistent/x", good)
        self.assertEqual(code, TROUBLE)
        facts = json.loads(out)
        self.assertEqual(facts[0], {"file": "/nonexistent/x", "verdict": "trouble",
                                    "text": "cannot open it: No such file or directory"})
        self.assertEqual([fact["file"] for fact in facts], ["/nonexistent/x", good])

    def test_many_findings(self):
        for records, kept, more in ((10000, 10000, 0), (60000, 10000, 50000)):
            path = self.file(built.inserted(hvm(), "tsc", built.record(0x55) * records))
            code, octets = self.peak("verify", "--json", path)
            self.assertEqual(code, DAMAGED)
            self.assertLess(octets, 80 << 20)
            report = self.facts("verify", "--json", path, code=DAMAGED)[0]
            self.assertEqual((len(report["findings"]), report["more"], report["errors"]),
                             (kept, more, records))

    def test_quiet(self):
        code, out, errors = self.run_text("verify", "-q", self.file(built.octets(hvm())[:-8]))
        self.assertEqual((code, out, errors), (DAMAGED, "", ""))

    def test_standard_input(self):
        code, out, _ = self.run_text("verify", "-", data=built.octets(xl()))
        self.assertEqual(code, FINE)
        self.assertTrue(out.startswith("-: fine: "))

    def test_disk_full(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([cli_case.XENSR, "verify", self.file(hvm())], stdout=full,
                                  stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, TROUBLE)
        self.assertEqual(done.stderr.decode(), "xensr verify: cannot write: No space left on device\n")


if __name__ == "__main__":
    cli_case.main()
