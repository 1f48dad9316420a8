#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr convert of images that Xen 4.5 and earlier wrote: every kind of chunk, every refusal, the
same records as stock's converter makes, and guests that are what they were."""

import json
import os
import subprocess
import struct
import sys

import cli_case
import legacy_image as legacy
import sim
import sim_case
from cli_case import DAMAGED, DIFFERENT, FINE, TROUBLE, USAGE, XENSR, CliCase
from legacy_image import ALLOCATE_ONLY, BROKEN, FILLER, INVALID, L1, L3_PINNED, L4_PINNED, NORMAL, \
    LegacyImage, chunk, octets, param
from sim_case import needs_stock
from stream_edit import CPUID_POLICY, END, MSR_POLICY, PAGE_DATA, PV_INFO, P2M_FRAMES, SHARED_INFO, STATIC_DATA_END, \
    TSC_INFO, VCPU_BASIC, VCPU_EXTENDED, VCPU_MSRS, VCPU_XSAVE, VERIFY, Record, Stream

HVM_CONTEXT, HVM_PARAMS = 0x09, 0x0a
XENSTORE, EMULATOR, LIBXC = 2, 3, 1
CONTEXT = legacy.hvm_context()
STORE, CONSOLE = 0xfeffc, 0xfefff
STOCKS = os.path.join(sim.STOCK, "bin", "convert-legacy-stream")
# The parameter that each chunk sets (xen/hvm/params.h).
PARAMS = {legacy.IDENT_PT: 12, legacy.VM86_TSS: 15, legacy.CONSOLE: 17, legacy.IOPORTS: 19,
          legacy.VIRIDIAN: 9, legacy.GENERATION_ID: 34, legacy.PAGING: 27, legacy.MONITOR: 28,
          legacy.SHARING: 29, legacy.IOREQ_SERVER: 32, legacy.IOREQ_SERVER_PAGES: 33}


def page(fill: int) -> bytes:
    return bytes([fill]) * 4096


def hvm_parts(width=8, **options):
    image = LegacyImage(width, **options)
    return image, {
        "head": image.head(),
        "pages": image.batch((STORE, NORMAL, page(1)), (CONSOLE, NORMAL, page(2)),
                             (7, ALLOCATE_ONLY, None)),
        "vcpus": legacy.vcpu_info(0, 1),
        "console": param(legacy.CONSOLE, CONSOLE),
        "tsc": legacy.tsc(),
        "last": chunk(legacy.LAST),
        "end": chunk(0),
        "tail": image.hvm_tail(CONTEXT),
    }


def pv_basic(guest: int, vcpu: int) -> bytes:
    """The registers of a vcpu: pfn 0 is the start info (EDX), which names pfns 8 and 9, pfn 2 the page table (CR3), no GDT, no
    user page table; the rest is what tells one vcpu from another. (xen/arch-x86)"""
    context = bytearray(bytes([0xb0 + vcpu]) * legacy.VCPU_SIZES[guest])
    edx, gdt_entries, cr1, cr3 = {8: (616, 4960, 4992, 5008), 4: (524, 2704, 2720, 2728)}[guest]
    for offset, value in ((edx, 0), (gdt_entries, 0), (cr1, 0), (cr3, 2 << 12)):
        struct.pack_into("<Q" if guest == 8 else "<I", context, offset, value)
    return bytes(context)


def p2m_pfns(pages: int, guest: int) -> tuple:
    """Those of a p2m of at most three frames."""
    return (0, 8, 9)[:(pages - 1) // (4096 // guest) + 1]


def pv_parts(width=8, guest=8, vcpus=(0,), extended=True, xsave=576, **options):
    image = LegacyImage(width, guest, **options)
    size = legacy.VCPU_SIZES[guest]
    blocks = [image.block(b"vcpu", bytes(size))]
    tail = image.unmapped(3, 4)
    if extended:
        blocks.append(image.block(b"extv", b""))
    if xsave:
        blocks.append(image.block(b"xcnt", struct.pack("<I", 16 + xsave)))
    for vcpu in vcpus:
        tail += pv_basic(guest, vcpu)
        if extended:
            tail += struct.pack("<I", vcpu) + bytes([0xe0 + vcpu]) * 124
        if xsave:
            tail += struct.pack("<QQ", 7, xsave) + bytes([0xc0 + vcpu]) * xsave
    return image, {
        "head": image.head(),
        "info": image.extended_info(*blocks),
        "p2m": image.p2m_frames(*p2m_pfns(image.pages, guest)),
        "pages": image.batch((0, NORMAL, cli_case.start_info(8, 9, guest).ljust(4096, b"\0")),
                             (1, L1, page(2)),
                             (2, L4_PINNED if guest == 8 else L3_PINNED, page(4)),
                             (8, NORMAL, page(4)), (9, NORMAL, page(5)),
                             (5, BROKEN, None), (6, INVALID, None), (7, ALLOCATE_ONLY, None)),
        "vcpus": legacy.vcpu_info(*vcpus),
        "tsc": legacy.tsc(),
        "last": chunk(legacy.LAST),
        "end": chunk(0),
        "tail": tail,
        "shared": page(0x51),
    }


def with_model(image, parts, *physmap):
    model = {"model": image.model(cli_case.SAVEVM)}
    if physmap:
        parts = {**parts, "pages": parts["pages"] + legacy.toolstack(image.physmap(*physmap))}
    return {**parts, **model}


class LegacyCase(CliCase):
    def convert(self, parts, *options) -> bytes:
        data = octets(parts) if isinstance(parts, dict) else parts
        out = os.path.join(self.folder, "out")
        self.assertEqual(self.run_text("convert", *options, self.file(data), out),
                         (FINE, "", ""))
        self.assertEqual(self.verify(data, DIFFERENT), [self.NOTE])
        with open(out, "rb") as file:
            return file.read()

    NOTE = "warning: a legacy image of Xen 4.5 or earlier: it has to be converted before it can be " \
        "restored (xensr convert)"
    # What verify says in other words: what it finds is of the image, and not of what comes of it.
    OTHERWISE = ("it has state of the device model", "what comes of it cannot be restored",
                 "this is no saved domain")

    def verify(self, data, code) -> list[str]:
        """What it finds, from a file; from a pipe the same, but for what has to be read again."""
        report = self.facts("verify", "--json", self.file(data), code=code)[0]
        found = [f"{f['severity']}: {f['text']}" for f in report["findings"]]
        piped = json.loads(self.run_text("verify", "--json", "-", data=data)[1])[0]
        if not piped["unchecked"]:
            self.assertEqual([f"{f['severity']}: {f['text']}" for f in piped["findings"]], found)
        return found

    def refused(self, parts, text, *options, code=DAMAGED):
        """By name, and nothing is left of the output."""
        data = octets(parts) if isinstance(parts, dict) else parts
        path, out = self.file(data), os.path.join(self.folder, "out")
        got, printed, errors = self.run_text("convert", *options, path, out)
        self.assertEqual((got, printed), (code, ""), errors)
        self.assertEqual(errors, f"xensr convert: {path}: {text}\n")
        self.assertEqual(os.listdir(self.folder), ["image"])
        if not text.startswith(self.OTHERWISE):
            self.assertEqual(self.verify(data, DAMAGED), [f"error: {text}"])
            self.assertTrue(self.facts("info", "--json", path, code=DAMAGED)["damaged"])

    def stream(self, parts, *options) -> Stream:
        return Stream(self.convert(parts, *options))


class Records(LegacyCase):
    def test_hvm(self):
        for width in (4, 8):
            with self.subTest(width=width):
                stream = self.stream(hvm_parts(width)[1])
                self.assertEqual(stream.headers[24:],
                                 struct.pack("<IHHII", 2, 12, 0, 0, 1))
                self.assertEqual([r.kind for r in stream.records], [
                    STATIC_DATA_END, PAGE_DATA, TSC_INFO, HVM_CONTEXT, HVM_PARAMS, END])
                data = stream.first(PAGE_DATA)
                self.assertEqual(bytes(data.body), struct.pack(
                    "<IIQQQ", 3, 0, STORE, CONSOLE, ALLOCATE_ONLY << 60 | 7) + page(1) + page(2))
                self.assertEqual(bytes(stream.first(HVM_CONTEXT).body), CONTEXT)
                self.assertEqual(self.params(stream),
                                 {1: STORE, 5: 0xfeff0, 6: 0xfeff1, 17: CONSOLE})

    @staticmethod
    def params_of(record):
        return {record.get("Q", at): record.get("Q", at + 8)
                for at in range(8, len(record.body), 16)}

    @staticmethod
    def params(stream):
        found = {}
        for record in stream.all(HVM_PARAMS):
            found.update(Records.params_of(record))
        return found

    def test_pv(self):
        for width in (4, 8):
            for guest in (4, 8):
                with self.subTest(width=width, guest=guest):
                    self.pv(width, guest)

    def pv(self, width, guest):
        stream = self.stream(pv_parts(width, guest, vcpus=(0, 2), pages=1100)[1])
        self.assertEqual([r.kind for r in stream.records], [
            PV_INFO, STATIC_DATA_END, P2M_FRAMES, PAGE_DATA, TSC_INFO, SHARED_INFO,
            *(2 * [VCPU_BASIC, VCPU_EXTENDED, VCPU_XSAVE]), END])
        self.assertEqual(bytes(stream.first(PV_INFO).body),
                         bytes([guest, 4 if guest == 8 else 3]) + bytes(6))
        frames = p2m_pfns(1100, guest)
        self.assertEqual(bytes(stream.first(P2M_FRAMES).body),
                         struct.pack(f"<II{len(frames)}Q", 0, 1099, *frames))
        self.assertEqual(stream.first(PAGE_DATA).get("I", 0), 8)
        self.assertEqual(bytes(stream.first(SHARED_INFO).body), page(0x51))
        for n, vcpu in enumerate((0, 2)):
            head = struct.pack("<II", vcpu, 0)
            self.assertEqual(bytes(stream.all(VCPU_BASIC)[n].body),
                             head + pv_basic(guest, vcpu))
            self.assertEqual(bytes(stream.all(VCPU_EXTENDED)[n].body),
                             head + struct.pack("<I", vcpu) + bytes([0xe0 + vcpu]) * 124)
            self.assertEqual(bytes(stream.all(VCPU_XSAVE)[n].body),
                             head + bytes([0xc0 + vcpu]) * 576)

    def test_tsc(self):
        record = self.stream(hvm_parts()[1]).first(TSC_INFO)
        self.assertEqual(bytes(record.body), struct.pack("<IIQII", 0, 2400000, 77, 3, 0))

    def test_without_tsc(self):
        self.assertEqual(self.stream(dict(hvm_parts()[1], tsc=b"")).all(TSC_INFO), [])

    def test_every_parameter(self):
        image, parts = hvm_parts()
        parts["console"] = b"".join(param(number, 1000 - number) for number in PARAMS)
        parts["pages"] += image.batch((1000 - legacy.CONSOLE, NORMAL, page(3)))
        expected = {index: 1000 - number for number, index in PARAMS.items()}
        self.assertEqual(self.params(self.stream(parts)),
                         {**expected, 1: 0xfeffc, 5: 0xfeff0, 6: 0xfeff1})

    def test_filler_is_dropped(self):
        image, parts = hvm_parts()
        parts["pages"] += image.raw_batch([FILLER, 9, FILLER], page(9)) + image.raw_batch([FILLER])
        stream = self.stream(parts)
        self.assertEqual(bytes(stream.all(PAGE_DATA)[1].body),
                         struct.pack("<IIQ", 1, 0, 9) + page(9))
        self.assertEqual(len(stream.all(PAGE_DATA)), 2)

    def test_largest_batch(self):
        image, parts = hvm_parts(pages=2000)
        parts["pages"] = image.batch(*((n, NORMAL, page(n % 251)) for n in range(1024))) + \
            hvm_parts()[1]["pages"]
        self.assertEqual(self.stream(parts).first(PAGE_DATA).get("I", 0), 1024)

    def test_vcpu_0_unless_told(self):
        stream = self.stream(dict(pv_parts()[1], vcpus=b""))
        self.assertEqual([r.get("I", 0) for r in stream.all(VCPU_BASIC)], [0])

    def test_many_vcpus(self):
        stream = self.stream(self.vcpus(0, 63, 64, 130))
        self.assertEqual([r.get("I", 0) for r in stream.all(VCPU_BASIC)], [0, 63, 64, 130])

    @staticmethod
    def vcpus(*online):
        image, parts = pv_parts(extended=False, xsave=0)
        parts["vcpus"] = legacy.vcpu_info(*online)
        parts["tail"] = image.unmapped() + pv_basic(8, 1) * len(online)
        return parts

    def test_verify_data(self):
        image, parts = hvm_parts()
        parts["last"] += chunk(legacy.VERIFY) + image.batch((STORE, NORMAL, page(1)))
        kinds = [r.kind for r in self.stream(parts).records]
        self.assertEqual(kinds[1:4], [PAGE_DATA, VERIFY, PAGE_DATA])
        kinds = [r.kind for r in self.stream(parts, "--drop-verify").records]
        self.assertEqual(kinds[1:3], [PAGE_DATA, TSC_INFO])

    def test_with_checksums(self):
        converted = self.convert(hvm_parts()[1], "--checksum")
        self.assertEqual(self.run_text("checksum", self.file(converted))[0], FINE)

    def test_from_and_to_a_pipe(self):
        for parts in (hvm_parts(4)[1], pv_parts()[1]):
            converted = self.convert(parts)
            code, out, errors = self.run_raw("convert", "-", "-", data=octets(parts))
            self.assertEqual((code, errors, out), (FINE, "", converted))


class Verified(LegacyCase):
    """What xensr verify and info say of an image that can be converted, but what comes of it not
    restored, with the places in the image."""

    def found(self, parts, *texts):
        self.assertEqual(self.verify(octets(parts), DAMAGED), [f"error: {text}" for text in texts])

    @staticmethod
    def at(parts, name) -> int:
        return sum(len(parts[part]) for part in list(parts)[:list(parts).index(name)])

    def end(self, parts) -> str:
        return f"end of the image at offset {len(octets(parts))}: "

    def test_pages_that_did_not_come(self):
        _, parts = hvm_parts()
        parts["console"] = param(legacy.CONSOLE, 0x99)
        self.found(parts, self.end(parts) + "the console page is pfn 0x99, which the stream did not bring")

    def test_page_tables(self):
        for guest in (4, 8):
            image, parts = pv_parts(guest=guest)
            tables = struct.pack("<QQQ", 0x80 << 12 | 1, 9 << 12 | 1, 0x258 << 12 | 1).ljust(4096, b"\0")
            parts["vcpus"] = image.batch((1, L1, tables)) + parts["vcpus"]
            place = f"batch of pages at offset {self.at(parts, 'vcpus')}: "
            entry = "of the level-1 page table pfn 0x1 names pfn"
            self.found(parts, f"{place}entry 2 {entry} 0x258, the guest's last is 0x257",
                       f"{place}entry 0 {entry} 0x80, which the stream did not bring")

    def test_page_beyond_the_p2m(self):
        image, parts = pv_parts()
        parts["vcpus"] = image.batch((600, NORMAL, page(9))) + parts["vcpus"]
        self.found(parts, f"batch of pages at offset {self.at(parts, 'vcpus')}: pfn 0x258 is beyond the "
                          "p2m, whose last is 0x257 (1 such entries)")

    def test_start_info(self):
        for width in (4, 8):
            image, parts = pv_parts(width)
            parts["vcpus"] = image.batch((0, NORMAL, cli_case.start_info(1, 8).ljust(4096, b"\0"))) + \
                parts["vcpus"]
            self.found(parts, self.end(parts) + "the xenstore page is pfn 0x1, which is a page of type 0x1")

    def test_verify_data(self):
        image, parts = hvm_parts()
        parts["pages"] += image.batch((3, NORMAL, page(3)), (4, NORMAL, page(4)))
        again = chunk(legacy.VERIFY) + image.batch((STORE, NORMAL, page(77)), (3, NORMAL, page(3)))
        self.assertEqual(self.verify(octets({**parts, "last": again + parts["last"]}), DIFFERENT), [self.NOTE])
        again += image.batch((4, NORMAL, page(5)))
        parts["last"] = again + parts["last"]
        self.found(parts, self.end(parts) + "verify data: 1 of 3 pages differ: pfn 0x4")

    def test_device_model(self):
        image, parts = hvm_parts()
        parts["model"] = image.model(cli_case.SAVEVM[:-1])
        self.assertRegex(self.verify(octets(parts), DAMAGED)[0],
                         rf"^error: device model's record at offset {self.at(parts, 'model')}: in the "
                         "device model's state, ")
        config = b'{"c_info": {"type": "hvm"}}\0'
        data = legacy.xl_header(config) + octets(hvm_parts()[1])
        self.assertEqual(self.verify(data, DAMAGED), [
            f"error: end of the image at offset {len(data)}: the image is incomplete, there was no "
            "EMULATOR_CONTEXT"])

    def test_passed_on(self):
        for data in (octets(hvm_parts()[1]), legacy.xl_header() + octets(pv_parts()[1]),
                     octets(hvm_parts()[1])[:-5] + b"more and more" * 9999):
            _, out, errors = self.run_raw("verify", "--tee", "-", data=data)
            self.assertEqual(out, data)
            self.assertIn("legacy image" if len(data) < 99999 else "damaged", errors)

    def test_info(self):
        for width in (4, 8):
            for guest in (4, 8):
                facts = self.facts("info", "--json", self.file(octets(pv_parts(width, guest, (0, 2))[1])))
                self.assertEqual((facts["kind"], facts["toolstack_bits"], facts["damaged"]),
                                 ("legacy", 8 * width, False))
                about = facts["legacy"]
                for name, value in {
                        "guest_type": "pv", "guest": f"x86 PV, {8 * guest}-bit", "guest_width": guest,
                        "p2m_pages": 600, "memory_pages": 6, "highest_pfn": "0x9", "vcpus": 2, "tails": 1,
                        "complete": True, "verify_data": False, "batches": 1,
                        "chunks": {"vcpu info": 1, "tsc info": 1, "last checkpoint": 1}}.items():
                    self.assertEqual(about[name], value, name)
                self.assertEqual(about["pages"]["types"], {
                    "normal": 3, "l1": 1, "l4_pinned" if guest == 8 else "l3_pinned": 1, "broken": 1,
                    "allocate_only": 1, "invalid": 1})

    def test_info_of_hvm(self):
        data = legacy.xl_header(b'{"c_info": {"type": "hvm", "name": "old"}}\0') + octets(
            with_model(*hvm_parts(4), *Wrapped.PHYSMAP))
        code, out, errors = self.run_text("info", self.file(data))
        self.assertEqual((code, errors), (FINE, ""))
        lines = {line[:31].strip(): line[31:].strip() for line in out.splitlines()}
        facts = {line[:16].strip(): line[17:] for line in out.splitlines()}
        for name, value in {"format": "xl file, legacy image of a 32-bit toolstack", "name": "old",
                            "guest": "x86 HVM", "vcpus": "2", "p2m": "600 pages",
                            "saved by": "Xen 4.5 or earlier", "device model": "qemu upstream",
                            "memory": "3 pages, 12.0 KiB; highest pfn 0xfefff", "complete": "yes",
                            "to restore it": "xensr convert makes a domain stream version 3 of it"}.items():
            self.assertEqual(facts[name], value, name)
        self.assertEqual((lines["batches of pages"], lines["hvm console pfn"], lines["toolstack"]),
                         ("1", "1", "1"))

    def test_info_of_a_damaged_one(self):
        """What came before the damage."""
        data = octets(pv_parts()[1])[:-5000]
        path = self.file(data)
        code, out, errors = self.run_text("info", path)
        self.assertEqual(code, DAMAGED)
        self.assertIn("complete         no\n", out)
        self.assertNotIn("to restore it", out)
        self.assertTrue(errors.startswith(f"xensr info: {path}: vcpu 0 at offset "), errors)
        about = self.facts("info", "--json", path, code=DAMAGED)["legacy"]
        self.assertEqual((about["complete"], about["vcpus"], about["pages"]["types"]["normal"]),
                         (False, 1, 3))

    def test_memory(self):
        """As little for many pages as for few."""
        least = self.peak("verify", self.file(octets(hvm_parts()[1])))[1]
        image, parts = hvm_parts(pages=1 << 20)
        path = self.file(octets({"head": parts.pop("head"), "pages": parts.pop("pages")}))
        with open(path, "ab") as file:
            for first in range(0, 16384, 256):
                file.write(image.batch(*((first + n, NORMAL, page(n)) for n in range(256))))
            file.write(octets(parts))
        code, most = self.peak("verify", path)
        self.assertEqual(code, DIFFERENT)
        self.assertLess(most, least + (12 << 20))


class Checkpointed(LegacyCase):
    """Remus of Xen 4.5: chunks and a tail for each checkpoint; the last one is the guest."""

    def image(self, last):
        image, parts = hvm_parts()
        parts["last"] = b""
        again = image.batch((77, NORMAL, page(9)), (0x123, NORMAL, page(8)))
        return octets(parts) + again + param(legacy.CONSOLE, 77) + last + chunk(0) + \
            image.hvm_tail(CONTEXT, store=0x123)

    def test_last_wins(self):
        for last in (b"", chunk(legacy.LAST)):
            stream = self.stream(self.image(last))
            self.assertEqual([r.kind for r in stream.records], [
                STATIC_DATA_END, PAGE_DATA, PAGE_DATA, TSC_INFO, HVM_CONTEXT, HVM_PARAMS, END])
            params = Records.params(stream)
            self.assertEqual((params[17], params[1]), (77, 0x123))

    def test_cut_in_a_later_one(self):
        whole = self.image(b"")
        self.refused(whole[:-10], f"hvm context at offset {len(whole) - 48}: the stream ends "
                     f"early, at offset {len(whole) - 10}: 10 more octets expected")

    def test_more_after_the_last(self):
        _, parts = hvm_parts()
        whole = octets(parts)
        self.refused(whole + chunk(0), f"there is more after its end, at offset {len(whole)}")


class Wrapped(LegacyCase):
    PHYSMAP = ((0xe0000000, 0xf0000000, 0x800000, "vga.vram"), (0x1000, 0x2000, 0x3000, "x"))
    KEYS = b"".join(key + b"\0" for key in (
        b"physmap/e0000000/start_addr", b"f0000000", b"physmap/e0000000/size", b"800000",
        b"physmap/e0000000/name", b"vga.vram", b"physmap/1000/start_addr", b"2000",
        b"physmap/1000/size", b"3000", b"physmap/1000/name", b"x"))
    LIBXL = b"LibxlFmt" + struct.pack(">II", 2, 2) + struct.pack("<II", LIBXC, 0)

    def assert_emulator(self, stream):
        around = stream.records[-3:]
        self.assertEqual([r.kind for r in around], [XENSTORE, EMULATOR, 0])
        head = struct.pack("<II", 2, 0)
        self.assertEqual(bytes(around[0].body), head + self.KEYS)
        self.assertEqual(bytes(around[1].body), head + cli_case.SAVEVM)

    def test_under_xl(self):
        for width in (4, 8):
            parts = with_model(*hvm_parts(width), *self.PHYSMAP)
            config, tail = b'{"c_info": {"type": "hvm"}}\0', b"tail"
            got = self.convert(legacy.xl_header(config, 1, tail) + octets(parts))
            front = legacy.xl_header(config, 3, tail) + self.LIBXL
            self.assertEqual(got[:len(front)], front)
            self.assert_emulator(Stream(got[len(front):]))
            code, out, errors = self.run_text("verify", self.file(got))
            self.assertEqual(code, FINE, out + errors)

    def test_pv_under_xl(self):
        got = self.convert(legacy.xl_header() + octets(pv_parts()[1]))
        front = legacy.xl_header(mandatory=3) + self.LIBXL
        self.assertEqual(got[:len(front)], front)
        self.assertEqual([r.kind for r in Stream(got[len(front):]).records[-2:]], [END, 0])

    def test_bare_as_libxl(self):
        parts = with_model(*hvm_parts(), *self.PHYSMAP)
        got = self.convert(parts, "--format=libxl")
        self.assertEqual(got[:24], self.LIBXL)
        self.assert_emulator(Stream(got[24:]))

    def test_bare_with_state_of_the_model(self):
        parts = with_model(*hvm_parts(), *self.PHYSMAP)
        self.refused(parts, "it has state of the device model, for which a domain stream has no "
                     "place: choose --format=libxl, or --format=domain to leave that out")
        plain = self.convert(hvm_parts()[1])
        self.assertEqual(self.convert(parts, "--format=domain"), plain)

    def test_format_is_for_bare_legacy_images(self):
        for data in (self.LIBXL, legacy.xl_header()):
            code, _, errors = self.run_text("convert", "--format=domain", self.file(data), "-")
            self.assertEqual(code, USAGE)
            self.assertIn("--format is for legacy images that xl has not wrapped", errors)

    def test_empty_physmap(self):
        got = Stream(self.convert(with_model(*hvm_parts(), ), "--format=libxl")[24:])
        self.assertEqual([r.kind for r in got.records[-2:]], [EMULATOR, 0])


class Refusals(LegacyCase):
    def hvm(self, text, name, data):
        """Refused when the part of this name is data."""
        image, parts = hvm_parts()
        parts[name] = data(image) if callable(data) else data
        at = 0
        for part in parts:
            if part == name:
                break
            at += len(parts[part])
        self.refused(parts, text.format(at=at))

    def test_tmem(self):
        for number, name in ((legacy.TMEM, "tmem"), (legacy.TMEM_EXTRA, "tmem extra")):
            self.hvm(f'chunk "{name}" at offset {{at}}: the guest has transcendent memory, which '
                     'Xen has no longer', "vcpus", chunk(number))

    def test_compression(self):
        for number, name in ((legacy.COMPRESSED, "compressed data"),
                             (legacy.ENABLE_COMPRESSION, "enable compression")):
            self.hvm(f'chunk "{name}" at offset {{at}}: pages compressed for Remus cannot be '
                     'converted', "vcpus", chunk(number))

    def test_duplicates(self):
        self.hvm("batch of pages at offset {at}: pfn 0x9 is in it twice", "pages",
                 lambda image: image.batch((9, NORMAL, page(1)), (5, NORMAL, page(1)),
                                           (9, NORMAL, page(1))))

    def test_batch_too_large(self):
        self.hvm("batch of pages at offset {at}: a batch of 1025 pages, at most 1024 are allowed",
                 "vcpus", chunk(1025))

    def test_unknown_chunk(self):
        for number in (-21, -(1 << 31)):
            self.hvm(f"chunk at offset {{at}}: number {number} is unknown", "vcpus",
                     chunk(number))

    def test_unknown_page_type(self):
        self.hvm("batch of pages at offset {at}: type 0x5 of pfn 0x9 is unknown", "pages",
                 lambda image: image.raw_batch([5 << 28 | 9], page(1)))

    def test_page_table_of_an_hvm_guest(self):
        self.hvm("batch of pages at offset {at}: type 0x1 of pfn 0x9 is a page table, which an "
                 "x86 HVM guest has not", "pages", lambda image: image.batch((9, L1, page(1))))

    def test_word_too_wide(self):
        self.hvm("batch of pages at offset {at}: pfn word 0x100000009 has bits beyond 31", "pages",
                 lambda image: image.raw_batch([1 << 32 | 9], page(1)))

    def test_vcpus(self):
        for highest in (-1, 4096):
            self.hvm(f'chunk "vcpu info" at offset {{at}}: vcpu {highest} is the highest, at most '
                     '4095 exist', "vcpus",
                     chunk(legacy.VCPU_INFO, struct.pack("<iQ", highest, 1)))

    def test_verify_twice(self):
        _, parts = hvm_parts()
        parts["last"] = chunk(legacy.VERIFY) * 2
        at = sum(len(parts[p]) for p in ("head", "pages", "vcpus", "console", "tsc")) + 4
        self.refused(parts, f'chunk "enable verify mode" at offset {at}: comes a second time')

    def test_no_page_for_xenstore(self):
        image, parts = hvm_parts()
        parts["tail"] = image.hvm_tail(CONTEXT, store=0x99)
        path, out = self.file(octets(parts)), os.path.join(self.folder, "out")
        code, _, errors = self.run_text("convert", path, out)
        self.assertEqual(code, DAMAGED)
        self.assertTrue(errors.startswith(
            f"xensr convert: {path}: what comes of it cannot be restored: END record at offset "),
            errors)
        self.assertTrue(errors.endswith(
            ": the xenstore page is pfn 0x99, which the stream did not bring\n"), errors)
        self.assertEqual(os.listdir(self.folder), ["image"])

    def test_verify_before_memory(self):
        _, parts = hvm_parts()
        parts["pages"] = chunk(legacy.VERIFY)
        self.refused(parts, 'chunk "enable verify mode" at offset 8: comes before PAGE_DATA')

    def test_no_memory(self):
        _, parts = hvm_parts()
        parts["pages"] = b""
        self.refused(parts, f"end of the image at offset {len(octets(parts))}: comes before "
                     "PAGE_DATA")

    def test_context_that_is_none(self):
        image, parts = hvm_parts()
        for context, text in ((b"nothing of the kind",
                               "hvm context, octet 0: 543649385 octets of type 28526, only 11 left"),
                              (b"", "is 0 octets long, at least 8 needed")):
            parts["tail"] = image.hvm_tail(context)
            at = len(octets(parts)) - len(context) - 4
            self.refused(parts, f"hvm context at offset {at}: {text}")

    def test_context_too_long(self):
        image, parts = hvm_parts()
        parts["tail"] = image.hvm_tail(b"")[:-4] + struct.pack("<I", (32 << 20) + 1)
        at = len(octets(parts)) - 4
        self.refused(parts, f"hvm context at offset {at}: 33554433 octets, at most 33554432 are "
                     "allowed")

    def test_model_of_another_kind(self):
        image, parts = hvm_parts()
        whole = octets(parts)
        self.refused(whole + image.model(b"x", b"QemuDeviceModelRecord"),
                     f"there is more after its end, at offset {len(whole)}")

    def test_model_too_long(self):
        _, parts = hvm_parts()
        whole = octets(parts)
        self.refused(whole + b"DeviceModelRecord0002" + struct.pack("<I", (16 << 20) + 1),
                     f"device model's record at offset {len(whole)}: 16777217 octets, at most "
                     "16777216 are allowed")

    def test_toolstack(self):
        for data, text in (
                (b"", "0 octets, at least 8 are needed"),
                (struct.pack("<II", 2, 0), "version 2 is unknown"),
                (struct.pack("<II", 1, 1), "an entry needs 28 octets, 0 are left"),
                (struct.pack("<IIQQQI", 1, 1, 1, 2, 3, 40), "a name of 40 octets, 0 are left"),
                (struct.pack("<IIQQQI", 1, 1, 1, 2, 3, 2) + b"ab",
                 "a name does not end with its only NUL"),
                (struct.pack("<IIQQQI", 1, 1, 1, 2, 3, 2) + b"a\0", "an entry ends too early"),
                (struct.pack("<II", 1, 0) + b"more", "4 octets are left after 0 entries")):
            with self.subTest(text=text):
                self.hvm('chunk "toolstack" at offset {at}: ' + text, "vcpus",
                         legacy.toolstack(data))
        self.hvm('chunk "toolstack" at offset {at}: 1048577 octets, at most 1048576 are allowed',
                 "vcpus", chunk(legacy.TOOLSTACK, struct.pack("<I", (1 << 20) + 1)))

    def pv(self, text, **changes):
        image, parts = pv_parts()
        first = next(iter(changes))
        parts.update({name: data(image) for name, data in changes.items()})
        at = 0
        for part in parts:
            if part == first:
                break
            at += len(parts[part])
        self.refused(parts, text.format(at=at, blocks=at + 8))

    def test_hvm_chunks_in_a_pv_image(self):
        for number, name in ((legacy.IDENT_PT, "hvm ident pt"), (legacy.TOOLSTACK, "toolstack")):
            self.pv(f'chunk "{name}" at offset {{at}}: does not belong to an x86 PV guest',
                    vcpus=lambda _, n=number: param(n, 1))

    def test_extended_info(self):
        for blocks, text in (
                ((b"",), 'there is no block "vcpu"'),
                ((LegacyImage.block(b"vcpu", bytes(0x1431)),), 'block "vcpu" has 5169 octets'),
                ((LegacyImage.block(b"extv", b"1"),), 'block "extv" has 1 octets'),
                ((LegacyImage.block(b"xcnt", b"1"),), 'block "xcnt" has 1 octets'),
                ((LegacyImage.block(b"xcnt", struct.pack("<I", 16)),),
                 "xsave state of 16 octets a vcpu"),
                ((LegacyImage.block(b"xcnt", struct.pack("<I", 1 << 30)),),
                 "xsave state of 1073741824 octets a vcpu"),
                ((LegacyImage.block(b"what", b""),), "block 77 68 61 74 is unknown"),
                ((b"vcp",), "3 octets are left, no block"),
                ((b"vcpu" + struct.pack("<I", 9),), "its last block has 9 octets, 0 are left")):
            with self.subTest(text=text):
                def info(image, blocks=blocks):
                    data = b"".join(blocks)
                    return image.ulong((1 << 64) - 1) + struct.pack("<I", len(data)) + data
                self.pv("extended info at offset {blocks}: " + text, info=info)
        self.pv("extended info at offset {blocks}: 1048577 octets, at most 1048576 are allowed",
                info=lambda i: i.ulong((1 << 64) - 1) + struct.pack("<I", (1 << 20) + 1))

    def test_p2m_frames(self):
        self.pv("p2m frame list at offset {at}: frame 1 is pfn 0x258, of a guest of 600",
                p2m=lambda image: image.p2m_frames(0, 600))

    def test_unmapped(self):
        self.pv("list of unmapped pages at offset {at}: has 601, of a guest of 600",
                tail=lambda image: struct.pack("<I", 601))

    def test_xsave(self):
        image, parts = pv_parts()
        place = len(image.unmapped(3, 4)) + 0x1430 + 128
        tail = bytearray(parts["tail"])
        struct.pack_into("<Q", tail, place + 8, 99)
        parts["tail"] = bytes(tail)
        at = sum(len(parts[p]) for p in ("head", "info", "p2m", "pages", "vcpus", "tsc", "last",
                                         "end")) + len(image.unmapped(3, 4))
        self.refused(parts, f"vcpu 0 at offset {at}: has 99 octets of xsave state, 576 were "
                     "announced")

    def test_extended_of_another_vcpu(self):
        image, parts = pv_parts(vcpus=(0, 2))
        size = 0x1430 + 128 + 16 + 576
        place = len(image.unmapped(3, 4)) + size
        tail = bytearray(parts["tail"])
        struct.pack_into("<I", tail, place + 0x1430, 7)
        parts["tail"] = bytes(tail)
        at = len(octets(parts)) - 4096 - size
        self.refused(parts, f"vcpu 2 at offset {at}: is for vcpu 2, but its content is vcpu 7's")

    def test_p2m_size(self):
        self.refused(struct.pack("<QQ", 0, 0), "this is no saved domain")
        self.refused(struct.pack("<QQ", (1 << 28) + 1, 0), "this is no saved domain")
        data = legacy.xl_header() + struct.pack("<QQ", (1 << 28) + 1, 0)
        self.refused(data, f"p2m size at offset {len(data) - 16}: 268435457 pages, 1 to "
                     "268435456 are possible")

    def test_disk_full(self):
        code, _, errors = self.run_text("convert", self.file(octets(hvm_parts()[1])), "/dev/full")
        self.assertEqual(code, TROUBLE)
        self.assertIn("No space left on device", errors)


class Hostile(LegacyCase):
    """Whatever is done to an image, the answer is clear: an error, or a stream that is one."""

    SAMPLES = (("hvm", lambda: octets(with_model(*hvm_parts(4), *Wrapped.PHYSMAP))),
               ("pv", lambda: octets(pv_parts(xsave=64)[1])))

    attempts = 0

    def attempt(self, data, options=()):
        code, out, errors = self.run_raw("convert", *options, "-", "-", data=data)
        self.assertIn(code, (FINE, DAMAGED), errors)
        self.attempts += 1
        if self.attempts % 8 == 0 or sim_case.LONG:
            self.verify_agrees(data, code, errors)
        if code == FINE:
            return out
        self.assertTrue(errors.startswith("xensr convert: -: "), errors)
        return None

    def verify_agrees(self, data, code, errors):
        """What convert refuses is a finding, in the same words; there may be more."""
        verdict, said, _ = self.run_raw("verify", "-", data=data)
        self.assertIn(verdict, (DIFFERENT, DAMAGED) if code == FINE else (DAMAGED,), said)
        if code == DAMAGED and b"no saved domain" not in said:
            self.assertIn(errors.removeprefix("xensr convert: -: ").encode(), said)

    @staticmethod
    def structure(data, step):
        """Places outside the pages, and some inside."""
        flat = {place for n in range(256)
                for at in Hostile.all_of(data, bytes([n]) * 64) for place in range(at, at + 64)}
        return [place for place in range(len(data)) if place not in flat or place % step == 0]

    @staticmethod
    def all_of(data, wanted):
        at = data.find(wanted)
        while at >= 0:
            yield at
            at = data.find(wanted, at + 64)

    def test_cut(self):
        for name, sample in self.SAMPLES:
            data = sample()
            # Where pages and the like are all the same, one cut is as good as the next.
            for end in self.structure(data, 17 if sim_case.LONG else 61):
                with self.subTest(image=name, end=end):
                    self.assertIsNone(self.attempt(data[:end], ("--format=libxl",)) if not
                                      self.complete(name, data, end) else None)

    @staticmethod
    def complete(name, data, end):
        """Without the device model's record it is whole."""
        return name == "hvm" and end == data.index(b"DeviceModelRecord")

    def peak(self, data) -> int:
        """Octets of memory that a conversion which fails took at most."""
        with open(os.path.join(self.folder, "errors"), "wb") as errors, \
                open(self.file(data), "rb") as image:
            process = subprocess.Popen([XENSR, "convert", "-", "/dev/null"], stdin=image,
                                       stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, DAMAGED)
        return usage.ru_maxrss * 1024

    def test_claims_take_no_memory(self):
        """Lengths as large as are allowed, and nothing behind them."""
        image, parts = hvm_parts()
        least = self.peak(b"\0" * 16)
        huge = struct.pack("<Q", 1 << 28)
        for data in (octets(dict(parts, tail=image.hvm_tail(b"")[:-4] +
                                 struct.pack("<I", 32 << 20))),
                     octets(parts) + b"DeviceModelRecord0002" + struct.pack("<I", 16 << 20),
                     huge + chunk(1024), huge + chunk(legacy.TOOLSTACK,
                                                      struct.pack("<I", 1 << 20)),
                     huge + LegacyImage(8, 8).extended_info()):
            self.assertLess(self.peak(data), least + (8 << 20))

    def test_flipped(self):
        for name, sample in self.SAMPLES:
            data = bytearray(sample())
            places = self.structure(data, 997)
            for place in places if sim_case.LONG else places[::3]:
                for bit in range(8) if sim_case.LONG else (place % 8,):
                    with self.subTest(image=name, place=place, bit=bit):
                        self.flipped(data, place, 1 << bit)

    def flipped(self, data, place, bit):
        data[place] ^= bit
        out = self.attempt(bytes(data), ("--format=libxl",))
        data[place] ^= bit
        if out is not None:
            kinds = [record.kind for record in Stream(out[24:]).records]
            self.assertEqual((kinds.count(END), kinds[-1]), (2, END))


class Peers(LegacyCase):
    """Stock's converter and restorers."""

    def stocks(self, data, width, guest, libxl=False):
        path, out = self.file(data, "legacy"), os.path.join(self.folder, "stocks")
        done = subprocess.run(
            [sys.executable, STOCKS, "-i", path, "-o", out, "-w", str(8 * width), "-g", guest,
             *(("-f", "libxl") if libxl else ("--skip-qemu",))],
            env=dict(os.environ, PYTHONPATH=os.path.join(sim.STOCK, "lib", "python")),
            capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(out, "rb") as file:
            return file.read()

    @staticmethod
    def normal(octets_, skip=0):
        """Records without regard to what may differ: stock writes parameters of chunks and those
        of the tail as two records, before the context, the shared info behind the vcpus, and 0
        (unknown) for the emulator where we write upstream QEMU's number. And it sets magic pfns that the
        guest has not to 0, for which stock's restore then clears pfn 0."""
        stream = Stream(octets_[skip:])
        params, others = {}, []
        for record in stream.records:
            if record.kind == HVM_PARAMS:
                params.update((index, value) for index, value in
                              Records.params_of(record).items()
                              if value or index not in (1, 5, 6))
            elif record.kind in (XENSTORE, EMULATOR) and skip and \
                    record in stream.records[-3:]:
                others.append((record.kind, bytes(record.body[8:])))
            else:
                others.append((record.kind, bytes(record.body)))
        return stream.headers, sorted(others, key=lambda r: r[0]), params

    @needs_stock
    def test_same_records(self):
        for width in (4, 8):
            for guest in ("hvm", 4, 8):
                with self.subTest(width=width, guest=guest):
                    _, parts = hvm_parts(width) if guest == "hvm" else pv_parts(
                        width, guest, vcpus=(0, 1))
                    ours = self.convert(parts)
                    stocks = self.stocks(octets(parts), width,
                                         "hvm" if guest == "hvm" else "pv")
                    self.assertEqual(self.normal(ours), self.normal(stocks))

    @needs_stock
    def test_same_records_under_libxl(self):
        for width in (4, 8):
            parts = with_model(*hvm_parts(width), *Wrapped.PHYSMAP)
            ours = self.convert(parts, "--format=libxl")
            stocks = self.stocks(octets(parts), width, "hvm", libxl=True)
            self.assertEqual(ours[:24], stocks[:24])
            self.assertEqual(self.normal(ours, 24), self.normal(stocks, 24))

    def legacy_of(self, stream, width, guest):
        """The image that Xen 4.5 would have written of a saved guest."""
        pfns = max(pfn for _, _, pfn, _, _ in stream.pages()) + 1
        image = LegacyImage(width, guest, pfns)
        data = image.head()
        if guest:
            data += self.pv_front(image, stream)
        for record in stream.all(PAGE_DATA):
            count = record.get("I", 0)
            entries = struct.unpack_from(f"<{count}Q", record.body, 8)
            words = [entry >> 60 << 28 | entry & 0xfffffff for entry in entries]
            data += image.raw_batch(words, bytes(record.body[8 + 8 * count:]))
        mode, khz, nsec, incarnation = struct.unpack_from("<IIQI", stream.first(TSC_INFO).body)
        data += legacy.tsc(mode, nsec, khz, incarnation)
        if not guest:
            return data + self.hvm_rest(image, stream)
        vcpus = [r.get("I", 0) for r in stream.all(VCPU_BASIC)]
        data += legacy.vcpu_info(*vcpus) + chunk(legacy.LAST) + chunk(0) + image.unmapped()
        for basic, extended in zip(stream.all(VCPU_BASIC), stream.all(VCPU_EXTENDED)):
            data += bytes(basic.body[8:]) + bytes(extended.body[8:]).ljust(128, b"\0")
            data += self.xsave_of(stream, basic.get("I", 0))
        return data + bytes(stream.first(SHARED_INFO).body)

    @staticmethod
    def xsave_of(stream, vcpu):
        found = [r for r in stream.all(VCPU_XSAVE) if r.get("I", 0) == vcpu]
        if not found:
            return b""
        blob = bytes(found[0].body[8:])
        return struct.pack("<QQ", 7, len(blob)) + blob

    @staticmethod
    def pv_front(image, stream):
        blocks = [image.block(b"vcpu", bytes(legacy.VCPU_SIZES[image.guest])),
                  image.block(b"extv", b"")]
        if stream.all(VCPU_XSAVE):
            blocks.append(image.block(b"xcnt", struct.pack(
                "<I", 16 + len(stream.first(VCPU_XSAVE).body) - 8)))
        frames = stream.first(P2M_FRAMES)
        start, end = frames.get("I", 0), frames.get("I", 4)
        assert start == 0
        image.pages = end + 1
        pfns = struct.unpack_from(f"<{(len(frames.body) - 8) // 8}Q", frames.body, 8)
        return image.extended_info(*blocks) + image.p2m_frames(*pfns)

    @staticmethod
    def hvm_rest(image, stream):
        params = Records.params(stream)
        numbers = {index: number for number, index in PARAMS.items()}
        data = b"".join(param(numbers[index], value) for index, value in params.items()
                        if index in numbers)
        return data + chunk(legacy.LAST) + chunk(0) + image.hvm_tail(
            bytes(stream.first(HVM_CONTEXT).body), params.get(5, 0), params.get(6, 0), params[1])

    @staticmethod
    def completed(converted, saved) -> bytes:
        """A converted stream with what legacy images have no place for: policies, MSRs, and the
        newer parameters."""
        stream = Stream(converted)
        static = next(n for n, r in enumerate(stream.records) if r.kind == STATIC_DATA_END)
        stream.records[static:static] = saved.all(CPUID_POLICY) + saved.all(MSR_POLICY)
        newer = [entry for entry in Records.params(saved).items()
                 if entry[0] not in (1, 5, 6, *PARAMS.values())]
        rest = saved.all(VCPU_MSRS)
        if newer:
            rest.append(Record(HVM_PARAMS, struct.pack("<II", len(newer), 0) + b"".join(
                struct.pack("<QQ", *entry) for entry in newer)))
        stream.records[-1:-1] = rest
        return stream.octets()

    def round_trip(self, kind, width):
        host = self.host()
        guest = {"type": kind, "memory": 8}
        domid = host.build(**guest)
        image = self.image()
        self.save("xensr", host, domid, image)
        image.seek(0)
        saved = Stream(image.read())
        data = self.legacy_of(saved, width, {"pv64": 8, "pv32": 4}.get(kind))
        ours = self.convert(data)
        completed = self.file(self.completed(ours, saved), "completed")
        for program in ("xensr", "stock") if sim.have_stock() else ("xensr",):
            with self.subTest(program=program):
                with open(os.path.join(self.folder, "out"), "rb") as converted:
                    host.destroy(self.restore(program, host, converted, guest))
                with open(completed, "rb") as converted:
                    new = self.restore(program, host, converted, guest)
                self.assertEqual(host.compare(domid, host, new), "same")
                host.destroy(new)
        if sim.have_stock():
            stocks = self.stocks(data, width, "pv" if kind in ("pv64", "pv32") else "hvm")
            self.assertEqual(self.normal(ours), self.normal(stocks))

    def test_restored(self):
        for kind in ("hvm", "pvh", "pv64", "pv32"):
            for width in (4, 8):
                with self.subTest(kind=kind, width=width):
                    self.round_trip(kind, width)


if __name__ == "__main__":
    cli_case.main()
