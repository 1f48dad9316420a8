#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr verify: what it finds, how bad it says that is, and where."""

import json
import os
import struct
import subprocess
import time

import cli_case
from stream_edit import Stream
from cli_case import DAMAGED, DIFFERENT, FINE, TROUBLE, CliCase, built, hvm, pv, pv_basic, \
    start_info, xl


def checkpointed() -> built.Parts:
    """Two checkpoints and END."""
    parts = built.without(hvm(), "end")
    epoch = {name: data for name, data in built.hvm_epoch(2).items()}
    epoch["context 2"] = parts["context"]
    epoch["params 2"] = parts["params"]
    return {**parts, "checkpoint 1": built.CHECKPOINT, **epoch, "end": built.END}


class FindingsCase(CliCase):
    def check(self, parts, code, *texts, options=()):
        """Each finding in its order, as severity and text."""
        path = self.file(parts)
        report = self.facts("verify", "--json", *options, path, code=code)[0]
        found = [f"{f['severity']}: {f['text']}" for f in report["findings"]]
        self.assertEqual(found, list(texts))
        self.assertEqual(report["errors"], sum(t.startswith("error") for t in texts))
        self.assertEqual(report["verdict"], ("fine", "warnings", "damaged")[code])
        return report

    def at(self, parts, name) -> int:
        return built.offset_of(parts, name)


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
        with open(path, "r+b") as file:
            file.seek(1 << 20)
            octet = file.read(1)[0]
            file.seek(1 << 20)
            file.write(bytes([octet ^ 4]))
        report = self.facts("verify", "--json", path, code=DAMAGED)[0]
        self.assertEqual(report["errors"], 1)
        self.assertRegex(report["findings"][0]["text"],
                         r"^CHECKSUM record at offset \d+: does not match: there is damage between "
                         r"offset \d+ and \d+$")

    def saved_with_checksums(self) -> str:
        path = self.folder + "/summed"
        host = self.host()
        with open(path, "w+b") as image:
            self.save("xensr", host, host.build(type="pvh", memory=8), image,
                      wrapper=("env", "XENSR_CHECKSUM=1"))
        return path


L2 = 2
PRESENT, PSE = 1, 0x80
MISSING = ", which the stream did not bring"


def table(*entries, **slots) -> bytes:
    """A page table with these pfns from entry 0 on, present; slots: raw entries, as e5=value."""
    content = bytearray(4096)
    for slot, pfn in enumerate(entries):
        struct.pack_into("<Q", content, 8 * slot, pfn << 12 | 0x67)
    for slot, value in slots.items():
        struct.pack_into("<Q", content, 8 * int(slot[1:]), value)
    return bytes(content)


def narrow(**replacements) -> built.Parts:
    """pv() for a 32-bit guest, with a level-3 page table at 0x12."""
    context = bytearray(2800)
    struct.pack_into("<I", context, 524, 0x10)  # edx
    struct.pack_into("<I", context, 2728, 0x12 << 12)  # CR3
    return built.without(pv(**{
        "info": built.pv_info(4, 3), "p2m": built.p2m_frames(0, 0x7ff, 0x10, 0x10),
        "pages": built.page_data((0x10, built.NORMAL, 0xa1), (0x11, built.L1, 0xa2),
                                 (0x12, 0xb, 0xa2), (0x14, built.ALLOCATE_ONLY, None)),
        "more_pages": built.page_data((0x10, built.NORMAL, start_info(width=4))),
        "basic_0": built.vcpu(4, 0, bytes(context)), **replacements}),
        "basic 2", "xsave 2", "extended 0", "msrs 0", "xsave 0")


class PageTables(FindingsCase):
    """What a restore refuses of them; the same texts are those of test/fault/pv_streams.py."""

    def more(self, *entries, stream=pv) -> built.Parts:
        return built.inserted(stream(), "tsc", built.page_data(*entries))

    def faults(self, parts, *texts):
        """In the new record, and no others."""
        at = self.at(parts, "new")
        self.check(parts, DAMAGED, *(f"error: PAGE_DATA record at offset {at}: {text}" for text in texts))

    def test_fine(self):
        for stream in (pv, narrow):
            for level in (built.L1, L2, 3, 9):
                with self.subTest(level=level, stream=stream):
                    # Whatever came counts, holes and earlier versions too; absent entries may be anything.
                    self.check(self.more((0x11, level, table(0x10, 0x11, 0x12, 0x14, e100=0xfffffffffffffffe)),
                                         stream=stream), FINE)
        self.check(self.more((0x11, built.L1, table(0x13, 0x15))), FINE)
        # A page comes behind who names it.
        self.check(self.more((0x11, built.L1, table(0x77)), (0x77, built.NORMAL, 1)), FINE)
        parts = self.more((0x11, built.L1, table(0x77)))
        for later in (built.INVALID, built.ALLOCATE_ONLY, built.BROKEN):
            self.check({**parts, "new": parts["new"] + built.page_data((0x77, later, None))}, FINE)

    def test_beyond_the_p2m(self):
        self.faults(self.more((0x11, built.L1, table(0x10, 0x5ff + 1))),
                    "entry 1 of the level-1 page table pfn 0x11 names pfn 0x600, the guest's last is 0x5ff")
        self.faults(self.more((0x12, 0xc, table(*[0x12345678] * 12)), (0x11, built.L1, table(0x7777))),
                    "entry 0 of the level-4 page table pfn 0x12 names pfn 0x12345678, the guest's last is "
                    "0x5ff; 12 more such entries in this record")
        self.faults(self.more((0x11, 9, table(e511=(1 << 52) - 1)), stream=narrow),
                    "entry 511 of the level-1 page table pfn 0x11 names pfn 0xffffffffff, the guest's last "
                    "is 0x7ff")

    def test_superpage(self):
        parts = self.more((0x11, L2, table(e3=0x10 << 12 | PRESENT | PSE, e4=0x999 << 12 | PSE,
                                           e5=0x999 << 12 | PRESENT | PSE, e6=0x999 << 12 | PRESENT)))
        self.faults(parts, "entry 3 of the level-2 page table pfn 0x11 maps a superpage; 1 more such "
                           "entries in this record",
                    "entry 6 of the level-2 page table pfn 0x11 names pfn 0x999, the guest's last is 0x5ff")
        # In a level-1 page table the bit is another one.
        self.check(self.more((0x11, built.L1, table(e3=0x10 << 12 | PRESENT | PSE))), FINE)

    def test_page_that_never_comes(self):
        self.faults(self.more((0x11, built.L1, table(0x10, 0x80, 0x81, 0x80)), (0x12, 0xc, table(0x82))),
                    f"entry 1 of the level-1 page table pfn 0x11 names pfn 0x80{MISSING}; 2 more such pfns "
                    "in this record")

    def test_each_record_is_told(self):
        parts = self.more((0x11, built.L1, table(0x80, 0x81)))
        again = built.page_data((0x11, built.L1, table(0x81, 0x90)))
        parts = {("first" if name == "new" else name): data for name, data in parts.items()}
        parts = built.inserted(parts, "tsc", again)
        self.check(parts, DAMAGED,
                   f"error: PAGE_DATA record at offset {self.at(parts, 'first')}: entry 0 of the level-1 "
                   f"page table pfn 0x11 names pfn 0x80{MISSING}; 1 more such pfns in this record",
                   f"error: PAGE_DATA record at offset {self.at(parts, 'new')}: entry 1 of the level-1 "
                   f"page table pfn 0x11 names pfn 0x90{MISSING}")

    def test_earlier_version(self):
        """A restore takes each one that comes: it gives what they name memory, for good."""
        bad, good = (0x11, built.L1, table(0x80)), (0x11, built.L1, table(0x10))
        text = f"entry 0 of the level-1 page table pfn 0x11 names pfn 0x80{MISSING}"
        self.faults(self.more(bad, good), text)
        # As data, what is in it is nobody's business.
        self.check(self.more((0x11, built.NORMAL, table(0x80, e1=0xffffffffffff))), FINE)

    def test_many_that_come_later(self):
        """What is kept of those that may still come follows the file."""
        tables = [(0x11 + n % 2, built.L1, table(*range(0x1000 + n * 512, 0x1200 + n * 512)))
                  for n in range(64)]
        parts = pv(p2m=built.p2m_frames(0, 0x9fff, *[0x10] * 0x50))
        parts["more pages"] += b"".join(built.page_data(entry) for entry in tables)
        later = built.page_data(*((pfn, built.ALLOCATE_ONLY, None) for pfn in range(0x1000, 0x9000)))
        last = built.page_data((0x12, built.L4_PINNED, 0xa2))
        self.check(built.inserted(parts, "tsc", later + last), FINE)
        report = self.check_errors(built.inserted(parts, "tsc", last))
        self.assertEqual(report["errors"], 64)
        self.assertIn("; 511 more such pfns in this record", report["findings"][63]["text"])

    def check_errors(self, parts):
        return self.facts("verify", "--json", self.file(parts), code=DAMAGED)[0]

    def test_entries_beyond_the_p2m(self):
        parts = self.more((0x600, built.NORMAL, 1), (0x601, built.ALLOCATE_ONLY, None))
        self.faults(parts, "pfn 0x600 is beyond the p2m, whose last is 0x5ff (2 such entries)")
        # Of holes alone a restore takes any.
        self.check(self.more((0x600, built.INVALID, None)), FINE)

    def test_p2m_that_grows(self):
        grown = built.p2m_frames(0x600, 0x7ff, 0x10)
        parts = self.more((0x11, built.L1, table(0x7ff)), (0x7ff, built.NORMAL, 1))
        self.faults(parts, "pfn 0x7ff is beyond the p2m, whose last is 0x5ff (1 such entries)",
                    "entry 0 of the level-1 page table pfn 0x11 names pfn 0x7ff, the guest's last is 0x5ff")
        self.check({**parts, "new": grown + parts["new"]}, FINE)

    def test_start_info(self):
        for layout, stream in ((8, pv), (4, narrow)):
            for values, text in (
                    ({"store": 0x99}, f"the xenstore page is pfn 0x99{MISSING}"),
                    ({"store": 0x12}, "the xenstore page is pfn 0x12, which is a page of type 0x"),
                    ({"console": 0x99}, f"the console page is pfn 0x99{MISSING}"),
                    ({"console": 0x14}, "the console page is pfn 0x14, which is a page of type 0xe")):
                with self.subTest(text=text, width=layout):
                    parts = stream(more_pages=built.page_data(
                        (0x10, built.NORMAL, start_info(width=layout, **values))))
                    report = self.check_errors(parts)
                    self.assertEqual(report["errors"], 1, report)
                    self.assertTrue(report["findings"][0]["text"].startswith(
                        f"END record at offset {self.at(parts, 'end')}: {text}"), report)

    def test_start_info_from_a_pipe(self):
        octets = built.octets(pv(more_pages=built.page_data((0x10, built.NORMAL, start_info(0x99)))))
        code, out, _ = self.run_text("verify", "-", data=octets)
        self.assertEqual(code, FINE)
        self.assertTrue(out.endswith("; it cannot be read again, so not checked: the pages that the start info "
                                     "names\n"), out)
        self.assertEqual(self.facts("verify", "--json", "-", data=octets)[0]["unchecked"], ["start_info"])
        # Page tables are looked at as they come.
        parts = self.more((0x11, built.L1, table(0x80)))
        code, out, _ = self.run_text("verify", "-", data=built.octets(parts))
        self.assertEqual(code, DAMAGED)
        self.assertIn(f"names pfn 0x80{MISSING}", out)

    def test_cut_in_a_page_table(self):
        parts = self.more((0x12, built.L4_PINNED, table(0x9999)), (0x11, built.L1, table(0x10)))
        octets = built.octets(parts)[:self.at(parts, "tsc") - 9]
        report = self.facts("verify", "--json", self.file(octets), code=DAMAGED)[0]
        texts = [finding["text"] for finding in report["findings"]]
        self.assertEqual(len(texts), 2)
        self.assertIn("the input ends early", texts[0])
        self.assertIn("entry 0 of the level-4 page table pfn 0x12 names pfn 0x9999", texts[1])

    def test_checkpoints(self):
        """Each must hold together by itself; a pfn is told once."""
        parts = built.without(pv(), "end")
        state = ("tsc", "shared", "basic 0", "extended 0", "xsave 0", "msrs 0")
        for number, again in ((1, (0x11, built.L1, table(0x80))), (2, (0x10, built.NORMAL, start_info(0x99))),
                              (3, (0x80, built.NORMAL, 7))):
            if number == 1:
                parts = built.inserted(parts, "tsc", built.page_data(again))
            else:
                parts[f"pages {number}"] = built.page_data(again)
                parts.update({f"{name} {number}": parts[name] for name in state})
            parts[f"checkpoint {number}"] = built.CHECKPOINT
        texts = [f["text"] for f in self.check_errors({**parts, "end": built.END})["findings"]]
        self.assertEqual(texts, [
            f"PAGE_DATA record at offset {self.at(parts, 'new')}: entry 0 of the level-1 page table pfn "
            f"0x11 names pfn 0x80{MISSING}",
            *(f"CHECKPOINT record at offset {self.at(parts, f'checkpoint {n}')}: the xenstore page is pfn "
              f"0x99{MISSING}" for n in (2, 3))])

    def test_memory_follows_the_file(self):
        """Pfns that lie far apart, named and never brought."""
        tables = 400
        parts = pv(p2m=built.p2m_frames(0, (1 << 24) - 1, *[0x10] * (1 << 15)))
        parts["more pages"] += b"".join(built.page_data((0x11, built.L1, table(
            *range((n * 512 + 64) * 64, (n * 512 + 576) * 64, 64)))) for n in range(tables))
        code, octets = self.peak("verify", "-q", self.file(parts))
        self.assertEqual(code, DAMAGED)
        self.assertLess(octets, 110 << 20)

    def test_of_hvm_guests_nothing_is_looked_at(self):
        parts = built.inserted(hvm(), "tsc", built.page_data((0x20, built.NORMAL, table(0x80))))
        self.check(parts, FINE)

    def test_saved_guests(self):
        """What the simulated guests have in theirs, damaged in one place."""
        for guest in ("pv64", "pv32"):
            path = self.saved(type=guest, memory=8)
            with open(path, "rb") as file:
                good = file.read()
            stream = Stream(good)
            record, page, pfn = next((r, page, pfn) for r, _, pfn, kind, page in stream.pages()
                                     if kind in (1, 9) and any(r.get("Q", at) & 1 for at in
                                                               range(page, page + 4096, 8)))
            at = next(at for at in range(page, page + 4096, 8) if record.get("Q", at) & 1)
            before = record.get("Q", at)
            record.put("Q", at, before & 0xfff | 0x12345678 << 12)
            report = self.facts("verify", "--json", self.file(stream.octets()), code=DAMAGED)[0]
            self.assertEqual(report["errors"], 1)
            self.assertIn(f"entry {(at - page) // 8} of the level-1 page table pfn {pfn:#x} names pfn "
                          "0x12345678, the guest's last is", report["findings"][0]["text"])


class VerifyData(FindingsCase):
    """What comes behind VERIFY, against what came before."""

    def stream(self, *entries, base=hvm) -> built.Parts:
        return built.inserted(base(), "tsc", built.VERIFY + built.page_data(*entries))

    def differ(self, parts, text):
        self.check(parts, DAMAGED,
                   f"error: END record at offset {self.at(parts, 'end')}: verify data: {text}")

    def test_same(self):
        self.check(self.stream((0x20, built.NORMAL, 0xc1), (0x22, built.NORMAL, 0xc2)), FINE)
        self.check(self.stream((0x10, built.NORMAL, start_info()), (0x11, built.L1, 0xa2),
                               (0x12, 0xc, 0xa2), (0x13, built.BROKEN, None), (0x14, built.NORMAL, 0),
                               (0x15, built.INVALID, None), base=pv), FINE)

    def test_pages_that_differ(self):
        """But not those that are made anew: store (0x20) and console (0x22)."""
        base = lambda: hvm(pages=built.page_data(*((0x20 + n, built.NORMAL, n) for n in range(40))))
        same = [(0x20 + n, built.NORMAL, n) for n in range(40)]
        self.check(self.stream(*same, base=base), FINE)
        self.check(self.stream((0x20, built.NORMAL, 99), (0x22, built.NORMAL, 99), base=base), FINE)
        self.differ(self.stream(*same[:5], (0x25, built.NORMAL, 6), (0x22, built.NORMAL, 99), base=base),
                    "1 of 7 pages differ: pfn 0x25")
        other = [(pfn, kind, fill + 1) for pfn, kind, fill in reversed(same)]
        self.differ(self.stream(*other, base=base), "38 of 40 pages differ: pfn 0x21, " + ", ".join(
            f"{pfn:#x}" for pfn in range(0x23, 0x2e)) + ", …")
        # Twice is once.
        self.differ(self.stream((0x25, built.NORMAL, 6), (0x25, built.NORMAL, 6), base=base),
                    "1 of 2 pages differ: pfn 0x25")

    def test_last_content_counts(self):
        parts = built.inserted(hvm(), "tsc", built.page_data((0x23, built.NORMAL, 1)) + built.page_data(
            (0x23, built.NORMAL, 2)) + built.page_data((0x23, built.ALLOCATE_ONLY, None)))
        verify = built.VERIFY + built.page_data((0x23, built.NORMAL, 2))
        self.check({**parts, "new": parts["new"] + verify}, FINE)
        verify = built.VERIFY + built.page_data((0x23, built.NORMAL, 1))
        self.differ({**parts, "new": parts["new"] + verify}, "1 of 1 pages differ: pfn 0x23")

    def test_memory_and_holes(self):
        # 0x21 is a hole: it has nothing to compare; 0x22 is the console's.
        self.differ(self.stream((0x21, built.NORMAL, 0)), "1 of 1 pages differ: pfn 0x21")
        self.differ(self.stream((0x99, built.NORMAL, 0)), "1 of 1 pages differ: pfn 0x99")
        self.check(self.stream((0x20, built.NORMAL, 0xc1), (0x21, built.INVALID, None)), FINE)
        more = built.page_data((0x30, built.NORMAL, 1))
        gone = built.page_data((0x30, built.INVALID, None))
        parts = built.inserted(hvm(), "tsc", more + built.VERIFY + gone)
        self.differ(parts, "1 of 0 pages differ: pfn 0x30")
        # Gone already.
        self.check({**parts, "new": more + gone + built.VERIFY + gone + built.page_data(
            (0x20, built.NORMAL, 0))}, FINE)
        # And come again.
        self.differ({**parts, "new": more + gone + more + built.VERIFY + gone},
                    "1 of 0 pages differ: pfn 0x30")
        # Memory without content is all zeroes.
        blank = built.page_data((0x30, built.ALLOCATE_ONLY, None))
        for fill, text in ((0, None), (1, "1 of 1 pages differ: pfn 0x30")):
            with_blank = {**parts, "new": blank + built.VERIFY + built.page_data((0x30, built.NORMAL, fill))}
            self.differ(with_blank, text) if text else self.check(with_blank, FINE)

    def test_page_tables(self):
        tables = built.page_data((0x11, built.L1, table(0x10, 0x14)))
        for entry, text in (((0x11, built.L1, table(0x10, 0x14)), None),
                            ((0x11, 9, table(0x10, 0x14)), None),
                            ((0x11, built.L1, table(0x10, 0x11)), "0x11"),
                            # The same octets, which only once stood for frames.
                            ((0x11, built.NORMAL, table(0x10, 0x14)), "0x11"),
                            ((0x10, built.L1, start_info()), None)):
            parts = built.inserted(pv(), "tsc", tables + built.VERIFY + built.page_data(entry))
            if text:
                self.differ(parts, f"1 of 1 pages differ: pfn {text}")
            else:
                self.check(parts, FINE)

    def test_page_tables_that_a_restore_refuses(self):
        parts = pv()
        parts["more pages"] += built.VERIFY
        parts = built.inserted(parts, "tsc", built.page_data((0x11, built.L1, table(0x600))))
        text = "entry 0 of the level-1 page table pfn 0x11 names pfn 0x600, the guest's last is 0x5ff"
        self.check(parts, DAMAGED, f"error: PAGE_DATA record at offset {self.at(parts, 'new')}: {text}",
                   f"error: END record at offset {self.at(parts, 'end')}: verify data: 1 of 1 pages "
                   "differ: pfn 0x11")
        code, out, _ = self.run_text("verify", "-", data=built.octets(parts))
        self.assertEqual(code, DAMAGED)
        self.assertIn(text, out)
        # A pfn that only verify data name gets no memory.
        parts["new"] = built.page_data((0x11, built.L1, table(0x80)))
        self.differ(parts, "1 of 1 pages differ: pfn 0x11")

    def test_console_of_a_pv_guest(self):
        base = lambda: pv(more_pages=built.page_data((0x10, built.NORMAL, start_info(0x20, 0x21)),
                                                     (0x20, built.NORMAL, 1), (0x21, built.NORMAL, 1),
                                                     (0x22, built.NORMAL, 1)))
        self.differ(self.stream(*((pfn, built.NORMAL, 2) for pfn in (0x20, 0x21, 0x22)), base=base),
                    "1 of 3 pages differ: pfn 0x22")

    def test_from_a_pipe(self):
        octets = built.octets(self.stream((0x21, built.NORMAL, 0)))
        code, out, _ = self.run_text("verify", "-", data=octets)
        self.assertEqual(code, FINE)
        self.assertTrue(out.endswith("; it cannot be read again, so not checked: the verify data's "
                                     "contents\n"), out)
        self.assertEqual(self.facts("verify", "--json", "-", data=octets)[0]["unchecked"], ["verify_data"])

    def test_memory_follows_the_file(self):
        """Pfns that lie far apart, in memory and in what differs."""
        pfns = [i << 15 for i in range(1, 150001)]
        parts = built.inserted(hvm(), "tsc", built.page_data(
            *((pfn, built.ALLOCATE_ONLY, None) for pfn in pfns)) + built.VERIFY + built.page_data(
                *((pfn, built.INVALID, None) for pfn in pfns)))
        path = self.file(parts)
        code, octets = self.peak("verify", path)
        self.assertEqual(code, DAMAGED)
        self.assertLess(octets, 160 << 20)

    def test_saved_with_verify_data(self):
        """As `xl migrate --debug` sends it, with one octet of them changed."""
        for guest in ("pvh", "pv64", "pv32"):
            with self.subTest(guest=guest):
                octets = self.saved_debug(guest)
                self.check(octets, FINE)
                stream = Stream(octets)
                verify = next(n for n, r in enumerate(stream.records) if r.kind == 0x0d)
                record = next(r for r in stream.records[verify:] if r.kind == 1 and len(r.body) > 9000)
                count = record.get("I", 0)
                record.body[8 + 8 * count + 4096 + 100] ^= 2
                report = self.facts("verify", "--json", self.file(stream.octets()), code=DAMAGED)[0]
                self.assertEqual(report["errors"], 1)
                self.assertRegex(report["findings"][0]["text"],
                                 r"verify data: 1 of \d+ pages differ: pfn 0x")

    def saved_debug(self, guest) -> bytes:
        host = self.host()
        with open(os.path.join(self.folder, "debug"), "w+b") as image:
            self.save("xensr", host, host.build(type=guest, memory=8), image, flags=2)
            image.seek(0)
            return image.read()


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
