#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The oracle on streams built by hand, as its user runs it."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))

import built_streams as b  # noqa: E402
from built_streams import Parts  # noqa: E402

OVER_128_MIB = (128 << 20) + 1
PAGES_AGAIN = b.page_data((0x10, b.NORMAL, 0xb1))


def oracle(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, str(HERE / "oracle"), *arguments],
                          input=stdin, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def blake(fill: int) -> str:
    return hashlib.blake2b(b.page(fill), digest_size=16).hexdigest()


class Bad(NamedTuple):
    parts: Parts
    part: str           # where the violation is
    delta: int          # octets after the start of that part
    what: str


def bad_headers() -> list[Bad]:
    pv = b.pv_stream()

    def image(delta: int, what: str, header: bytes) -> Bad:
        return Bad(b.changed(pv, image=header), "image", delta, what)

    def domain(delta: int, what: str, header: bytes) -> Bad:
        return Bad(b.changed(pv, domain=header), "domain", delta, what)

    return [
        image(0, "neither a domain stream, a libxl stream nor an xl save "
                 "file (a legacy image?)",
              b.image_header(marker=b"\xff" * 7 + b"\xfe")),
        image(8, "image header id 0x58454e47 is not 0x58454e46",
              b.image_header(ident=0x58454E47)),
        image(12, "image version 1 is not 2 or 3",
              b.image_header(version=1)),
        image(12, "image version 4 is not 2 or 3",
              b.image_header(version=4)),
        image(16, "big-endian body on x86", b.image_header(options=1)),
        image(16, "unknown image options 0x0002", b.image_header(options=2)),
        image(20, "reserved field of the image header not zero",
              b.image_header(reserved=b"\0\0\1\0\0\0")),
        domain(0, "unknown domain type 3", b.domain_header(3)),
        domain(4, "page shift 13 is not 12", b.domain_header(b.PV, shift=13)),
        domain(6, "reserved field of the domain header not zero",
               b.domain_header(b.PV, reserved=1)),
    ]


def bad_framing() -> list[Bad]:
    pv, hvm = b.pv_stream(), b.hvm_stream()
    context = b.record(0x09, b"odd", padding=b"\1")
    return [
        Bad(b.inserted(pv, "tsc", b.record(0x13)), "new", 0,
            "unknown mandatory domain record 0x00000013"),
        Bad(b.changed(hvm, context=b.record(0x09, length=OVER_128_MIB)),
            "context", 0, "HVM_CONTEXT of 134217729 octets, over 128 MiB"),
        Bad(b.inserted(hvm, "tsc", b.record(0x80000001,
                                            length=OVER_128_MIB)),
            "new", 0,
            "optional 0x80000001 of 134217729 octets, over 128 MiB"),
        Bad(b.changed(hvm, context=context), "context", 11,
            "padding of HVM_CONTEXT (record at "
            f"{b.offset_of(hvm, 'context')}) not zero"),
        Bad({**hvm, "new": bytes(1)}, "new", 0, "octets after the END"),
        Bad(b.without(hvm, "end"), "params", len(hvm["params"]),
            "the input ends, no END yet"),
        Bad(b.changed(hvm, end=b.END[:5]), "end", 5,
            "the input ends inside a record header"),
        Bad(b.changed(b.without(hvm, "end"), params=hvm["params"][:-1]),
            "params", len(hvm["params"]) - 1,
            "the input ends inside HVM_PARAMS (record at "
            f"{b.offset_of(hvm, 'params')})"),
        Bad({"image": hvm["image"][:9]}, "image", 9,
            "the input ends inside the image header"),
        Bad({"image": hvm["image"][:7]}, "image", 7,
            "the input ends inside its magic"),
        Bad({"image": b""}, "image", 0, "the input ends inside its magic"),
    ]


def bad_order() -> list[Bad]:
    pv, hvm = b.pv_stream(), b.hvm_stream()
    pv2, hvm2 = b.version_2(pv), b.version_2(hvm)
    checkpointed = b.checkpointed_stream()
    return [
        Bad(b.without(pv, "info"), "cpuid", 0,
            "X86_CPUID_POLICY before any X86_PV_INFO"),
        Bad(b.without(pv2, "info"), "p2m", 0,
            "X86_PV_P2M_FRAMES before any X86_PV_INFO"),
        Bad(b.moved(pv, "p2m", "tsc"), "pages", 0,
            "PAGE_DATA before any X86_PV_P2M_FRAMES"),
        Bad(b.without(pv, "static end"), "p2m", 0,
            "X86_PV_P2M_FRAMES before any STATIC_DATA_END"),
        Bad(b.without(hvm, "static end"), "pages", 0,
            "PAGE_DATA before any STATIC_DATA_END"),
        Bad(b.inserted(hvm, "pages", b.STATIC_DATA_END), "new", 0,
            "a second STATIC_DATA_END"),
        Bad(b.moved(hvm, "msr", "pages"), "msr", 0,
            "X86_MSR_POLICY after STATIC_DATA_END"),
        Bad(b.inserted(hvm, "msr", b.cpuid_policy()), "new", 0,
            "a second X86_CPUID_POLICY"),
        Bad(b.inserted(pv, "pages", b.pv_info()), "new", 0,
            "a second X86_PV_INFO"),
        Bad(b.without(pv, "pages", "more pages"), "tsc", 0,
            "X86_TSC_INFO before any PAGE_DATA"),
        Bad(b.inserted(pv, "end", PAGES_AGAIN), "new", 0,
            "PAGE_DATA after X86_PV_VCPU_XSAVE"),
        Bad(b.inserted(pv, "shared", b.VERIFY), "new", 0,
            "VERIFY after X86_TSC_INFO"),
        Bad(b.moved(pv, "tsc", "basic 0"), "shared", 0,
            "SHARED_INFO before any X86_TSC_INFO"),
        Bad(b.without(pv, "shared"), "basic 0", 0,
            "X86_PV_VCPU_BASIC before any SHARED_INFO"),
        Bad({**pv, "basic 0": b"", "extended 0": b"", "xsave 0": b"",
             "msrs 0": b"", "basic 2": b"", "xsave 2": b""}, "end", 0,
            "END before any X86_PV_VCPU_BASIC"),
        Bad(b.without(hvm, "context"), "end", 0,
            "END before any HVM_CONTEXT"),
        Bad(b.without(hvm, "tsc"), "end", 0, "END before any X86_TSC_INFO"),
        Bad(b.inserted(hvm, "end", b.hvm_params((1, 1))), "new", 0,
            "a second HVM_PARAMS"),
        Bad(b.moved(pv, "basic 0", "xsave 0"), "extended 0", 0,
            "X86_PV_VCPU_EXTENDED of vcpu 0 does not follow its "
            "X86_PV_VCPU_BASIC"),
        Bad(b.moved(pv, "msrs 0", "xsave 2"), "msrs 0", 0,
            "X86_PV_VCPU_MSRS of vcpu 0 does not follow its "
            "X86_PV_VCPU_BASIC"),
        Bad(b.moved(pv, "xsave 0", "extended 0"), "extended 0", 0,
            "X86_PV_VCPU_EXTENDED of vcpu 0 after X86_PV_VCPU_XSAVE"),
        Bad(b.inserted(pv, "xsave 0", b.extended(0)), "new", 0,
            "a second X86_PV_VCPU_EXTENDED of vcpu 0"),
        Bad(b.inserted(pv, "basic 2", b.basic(0)), "new", 0,
            "a second X86_PV_VCPU_BASIC of vcpu 0"),
        Bad(b.inserted(pv, "tsc", b.hvm_context()), "new", 0,
            "HVM_CONTEXT in a PV stream"),
        Bad(b.inserted(hvm, "end", b.shared_info()), "new", 0,
            "SHARED_INFO in an HVM stream"),
        Bad(b.inserted(hvm, "end", b.record(0x0b)), "new", 0,
            "TOOLSTACK, which is never written"),
        Bad(b.inserted(hvm, "tsc", b.record(0x0f, bytes(8))), "new", 0,
            "CHECKPOINT_DIRTY_PFN_LIST outside the back channel of COLO"),
        Bad(b.inserted(hvm2, "pages", b.STATIC_DATA_END), "new", 0,
            "STATIC_DATA_END in a version 2 stream"),
        Bad(b.inserted(pv2, "p2m", b.cpuid_policy()), "new", 0,
            "X86_CPUID_POLICY in a version 2 stream"),
        Bad(b.without(checkpointed, "context"), "checkpoint 1", 0,
            "CHECKPOINT before any HVM_CONTEXT"),
        Bad(b.without(checkpointed, "tsc 2"), "checkpoint 2", 0,
            "CHECKPOINT before any X86_TSC_INFO"),
        Bad(b.without(checkpointed, "context 3", "checkpoint 3"), "end", 0,
            "END before any HVM_CONTEXT"),
        Bad(b.inserted(checkpointed, "pages 2", b.CHECKPOINT), "new", 0,
            "CHECKPOINT before any X86_TSC_INFO"),
        Bad(b.inserted(checkpointed, "pages 2", b.STATIC_DATA_END), "new", 0,
            "a second STATIC_DATA_END"),
        Bad(b.inserted(b.without(checkpointed, "msr"), "pages 2",
                       b.msr_policy()), "new", 0,
            "X86_MSR_POLICY after CHECKPOINT"),
    ]


def bad_pages() -> list[Bad]:
    hvm = b.hvm_stream()

    def pages(delta: int, what: str, record: bytes) -> Bad:
        return Bad(b.changed(hvm, pages=record), "pages", delta, what)

    whole = b.page_data((1, b.NORMAL, 1), (2, b.INVALID, None))
    return [
        pages(0, "PAGE_DATA of 8 octets, must be at least 16",
              b.page_data()),
        pages(0, "PAGE_DATA of no entries",
              b.page_data((1, b.INVALID, None), count=0)),
        pages(12, "reserved field of PAGE_DATA not zero",
              b.page_data((1, b.NORMAL, 1), reserved=1)),
        pages(0, "PAGE_DATA of 16 octets has no room for its 2 entries",
              b.page_data((1, b.INVALID, None), count=2)),
        pages(24, "reserved bits of a PAGE_DATA entry not zero: "
                  "0x0010000000000002",
              b.page_data((1, b.NORMAL, 1), (2 | 1 << 52, b.NORMAL, 1))),
        pages(16, "reserved bits of a PAGE_DATA entry not zero: "
                  "0xf800000000000001",
              b.page_data((1 | 1 << 59, b.INVALID, None))),
        *(pages(24, f"unknown page type 0x{kind:x} for pfn 0x7",
                b.page_data((6, b.NORMAL, 1), (7, kind, 1)))
          for kind in (5, 6, 7, 8)),
        pages(0, "PAGE_DATA of 24 octets, but its 2 entries, 1 with data, "
                 "need 4120",
              b.page_data((1, b.NORMAL, None), (2, b.INVALID, None))),
        pages(0, "PAGE_DATA of 4112 octets, but its 1 entries, 0 with data, "
                 "need 16", b.page_data((1, b.ALLOCATE_ONLY, 1))),
        pages(0, "PAGE_DATA of 4112 octets, but its 1 entries, 0 with data, "
                 "need 16", b.page_data((1, b.BROKEN, 1))),
        Bad({**b.hvm_stream(), "pages": whole[:100], "tsc": b"",
             "context": b"", "params": b"", "end": b""}, "pages", 100,
            "the input ends inside PAGE_DATA (record at "
            f"{b.offset_of(hvm, 'pages')})"),
    ]


def bad_pv_bodies() -> list[Bad]:
    pv = b.pv_stream()

    def body(part: str, delta: int, what: str, record: bytes) -> Bad:
        return Bad({**pv, part: record}, part, delta, what)

    return [
        body("info", 0, "X86_PV_INFO of 9 octets, must be 8",
             b.pv_info(reserved=bytes(7))),
        body("info", 8, "X86_PV_INFO with guest width 8 and 3 page table "
                        "levels", b.pv_info(8, 3)),
        body("info", 8, "X86_PV_INFO with guest width 2 and 4 page table "
                        "levels", b.pv_info(2, 4)),
        body("info", 15, "reserved field of X86_PV_INFO not zero",
             b.pv_info(reserved=b"\0\0\0\0\0\1")),
        body("cpuid", 0, "X86_CPUID_POLICY of 40 octets is not 0 and a "
                         "multiple of 24", b.cpuid_policy(40)),
        body("cpuid", 0, "X86_CPUID_POLICY of 0 octets, must be at least 24",
             b.cpuid_policy(0)),
        body("msr", 0, "X86_MSR_POLICY of 24 octets is not 0 and a multiple "
                       "of 16", b.msr_policy(24)),
        body("static end", 0, "STATIC_DATA_END of 8 octets, must be 0",
             b.record(0x10, bytes(8))),
        body("p2m", 0, "X86_PV_P2M_FRAMES of 8 octets, must be at least 16",
             b.p2m_frames(0, 1)),
        body("p2m", 8, "X86_PV_P2M_FRAMES from pfn 0x2 to 0x1",
             b.p2m_frames(2, 1, 0x10)),
        body("p2m", 0, "X86_PV_P2M_FRAMES of 24 octets, but pfns 0x1ff to "
                       "0x400 need 32", b.p2m_frames(0x1ff, 0x400, 1, 2)),
        body("tsc", 0, "X86_TSC_INFO of 16 octets, must be 24",
             b.tsc_info(16)),
        body("tsc", 28, "reserved field of X86_TSC_INFO not zero",
             b.tsc_info(reserved=1)),
        body("shared", 0, "SHARED_INFO of 4088 octets, must be 4096",
             b.shared_info(4088)),
        body("basic 2", 0, "X86_PV_VCPU_BASIC of 2808 octets, must be 5176",
             b.basic(2, 2800)),
        body("basic 0", 0, "X86_PV_VCPU_BASIC of 0 octets, must be at least "
                           "8", b.record(0x04)),
        body("extended 0", 0, "X86_PV_VCPU_EXTENDED of 144 octets, must be "
                              "at most 136", b.extended(0, 136)),
        body("extended 0", 12, "reserved field of X86_PV_VCPU_EXTENDED not "
                               "zero",
             b.vcpu(0x05, 0, bytes(64), reserved=1)),
        body("xsave 0", 0, "X86_PV_VCPU_XSAVE of 16 octets, must be at least "
                           "24", b.xsave(0, 8)),
        body("msrs 0", 0, "X86_PV_VCPU_MSRS of 32 octets is not 8 and a "
                          "multiple of 16", b.msrs(0, 24)),
        body("end", 0, "END of 8 octets, must be 0",
             b.record(0x00, bytes(8))),
    ]


def bad_hvm_bodies() -> list[Bad]:
    hvm = b.hvm_stream()

    def body(part: str, delta: int, what: str, record: bytes) -> Bad:
        return Bad({**hvm, part: record}, part, delta, what)

    return [
        body("context", 0, "HVM_CONTEXT of 0 octets, must be at least 1",
             b.hvm_context(b"")),
        body("params", 0, "HVM_PARAMS of 24 octets, but its 2 entries need "
                          "40", b.hvm_params((1, 1), count=2)),
        body("params", 0, "HVM_PARAMS of 40 octets, but its 1 entries need "
                          "24", b.hvm_params((1, 1), (2, 2), count=1)),
        body("params", 0, "HVM_PARAMS of 0 octets, must be at least 8",
             b.record(0x0a)),
        body("params", 12, "reserved field of HVM_PARAMS not zero",
             b.hvm_params((1, 1), reserved=1)),
        Bad(b.inserted(hvm, "tsc", b.record(0x0d, bytes(8))), "new", 0,
            "VERIFY of 8 octets, must be 0"),
        Bad(b.inserted(hvm, "end", b.record(0x0e, bytes(8))), "new", 0,
            "CHECKPOINT of 8 octets, must be 0"),
    ]


def bad_libxl() -> list[Bad]:
    libxl = b.libxl_stream()
    remus = b.libxl_checkpointed()

    def part(name: str, delta: int, what: str, data: bytes) -> Bad:
        return Bad({**libxl, name: data}, name, delta, what)

    pv = {"libxl": libxl["libxl"], "libxc": libxl["libxc"], **b.pv_stream(),
          "emulator": libxl["emulator"], "libxl end": libxl["libxl end"]}
    return [
        part("libxl", 8, "libxl stream version 1 is not 2",
             b.libxl_header(version=1)),
        part("libxl", 12, "big-endian libxl stream on x86",
             b.libxl_header(options=1)),
        part("libxl", 12, "unknown libxl stream options 0x00000004",
             b.libxl_header(options=4)),
        part("libxc", 0, "libxl LIBXC_CONTEXT of 8 octets, must be 0",
             b.record(1, bytes(8))),
        part("libxc", 0, "libxl END before any LIBXC_CONTEXT", b.record(0)),
        part("image", 0, "image header marker is not all ones",
             b.image_header(marker=bytes(8))),
        Bad(b.moved(libxl, "emulator", "xenstore"), "xenstore", 0,
            "libxl EMULATOR_XENSTORE_DATA twice or out of order"),
        Bad(b.inserted(libxl, "libxl end", libxl["emulator"]), "new", 0,
            "libxl EMULATOR_CONTEXT twice or out of order"),
        Bad(pv, "emulator", 0, "libxl EMULATOR_CONTEXT in a PV stream"),
        part("emulator", 0, "libxl EMULATOR_CONTEXT of 4 octets, must be at "
                            "least 8", b.record(3, bytes(4))),
        part("emulator", 8, "unknown emulator 3", b.emulator(3, b"", 3)),
        part("xenstore", 0, "libxl EMULATOR_XENSTORE_DATA does not end with "
                            "a NUL", b.emulator(2, b"a\0b")),
        part("xenstore", 0, "libxl EMULATOR_XENSTORE_DATA ends with a key "
                            "without its value", b.emulator(2, b"a\0b\0c\0")),
        part("xenstore", 0, "libxl EMULATOR_XENSTORE_DATA with key b'/a'",
             b.emulator(2, b"/a\0b\0")),
        part("libxl end", 0, "libxl CHECKPOINT_END after the END of the "
                             "domain stream", b.record(4)),
        part("libxl end", 0, "libxl CHECKPOINT_STATE, none is awaited",
             b.record(5, bytes(8))),
        part("libxl end", 0, "unknown mandatory libxl record 0x00000006",
             b.record(6)),
        Bad(b.without(libxl, "libxl end"), "emulator",
            len(libxl["emulator"]), "the input ends, no END yet"),
        Bad({**libxl, "new": b.record(0)}, "new", 0, "octets after the END"),
        Bad({**remus, "checkpoint end 1": b.record(0)}, "checkpoint end 1",
            0, "libxl END after a CHECKPOINT of the domain stream"),
        Bad(dict(list(remus.items())[:list(remus).index("emulator 1") + 1]),
            "emulator 1", len(remus["emulator 1"]),
            "the input ends, no END yet"),
    ]


def bad_xl() -> list[Bad]:
    xl = b.xl_save()

    def head(delta: int, what: str, data: bytes) -> Bad:
        return Bad({**xl, "xl": data}, "xl", delta, what)

    return [
        head(0, "the xl magic is damaged",
             b.xl_header(magic=b.XL_MAGIC[:-1] + b"\n")),
        head(32, "xl byteorder 0x04030201 is not 0x01020304",
             b.xl_header(byteorder=0x04030201)),
        head(36, "unknown mandatory xl flags 0x00000007",
             b.xl_header(mandatory=7)),
        head(36, "no libxl stream follows the xl header",
             b.xl_header(mandatory=1)),
        head(48, "configuration of 999 octets in 22 of optional data",
             b.xl_header(size=999)),
        head(48, "no room for the configuration's length in 0 octets of "
                 "optional data",
             b.XL_MAGIC + struct.pack("<IIII", 0x01020304, 3, 0, 0)),
        head(52, "configuration: Expecting value: line 1 column 1 (char 0)",
             b.xl_header(config=b"type = 'pv'")),
        Bad({**xl, "libxl": b.libxl_header(ident=b"LibxlFmr")}, "libxl", 0,
            "no libxl stream: ident b'LibxlFmr'"),
    ]


class Check(unittest.TestCase):
    def assert_good(self, parts: Parts, *lines: str) -> None:
        status, out, err = oracle("check", "-", stdin=b.octets(parts))
        self.assertEqual((status, err), (0, ""), out)
        for line in lines:
            self.assertIn(line, out.splitlines())

    def assert_bad(self, variants: list[Bad]) -> None:
        for bad in variants:
            with self.subTest(bad.what):
                offset = b.offset_of(bad.parts, bad.part) + bad.delta
                self.assertEqual(
                    oracle("check", "-", stdin=b.octets(bad.parts)),
                    (1, f"-: offset {offset}: {bad.what}\n", ""))

    def test_pv(self) -> None:
        self.assert_good(
            b.pv_stream(),
            "-: bare domain stream, x86 PV, version 3, saved by Xen 4.20",
            "entries: normal 2, L1 1, L4-pinned 1, broken 1, "
            "allocate-only 1, invalid 1",
            "memory: 3 pages, sent 4",
            f"end: END, {len(b.octets(b.pv_stream()))} octets")

    def test_pv_32_bit(self) -> None:
        parts = b.without(b.pv_stream(), "basic 2", "xsave 2")
        self.assert_good(b.changed(
            parts, info=b.pv_info(4, 3), basic_0=b.basic(0, 2800),
            p2m=b.p2m_frames(0, 0x400, 0x10, 0x11)))

    def test_hvm(self) -> None:
        self.assert_good(
            b.hvm_stream(),
            "-: bare domain stream, x86 HVM, version 3, saved by Xen 4.20",
            "memory: 2 pages, sent 2")

    def test_hvm_tail_in_any_order(self) -> None:
        hvm = b.hvm_stream()
        self.assert_good(b.moved(hvm, "params", "tsc"))
        self.assert_good(b.moved(hvm, "context", "tsc"))
        self.assert_good(b.moved(hvm, "tsc", "end"))

    def test_left_out_when_empty(self) -> None:
        self.assert_good(b.without(b.hvm_stream(), "params", "cpuid", "msr"))
        self.assert_good(b.without(b.pv_stream(), "extended 0", "xsave 0",
                                   "msrs 0"))

    def test_version_2(self) -> None:
        self.assert_good(
            b.version_2(b.pv_stream()),
            "-: bare domain stream, x86 PV, version 2, saved by Xen 4.20")
        self.assert_good(b.version_2(b.hvm_stream()))

    def test_converted_from_legacy(self) -> None:
        self.assert_good(
            b.changed(b.version_2(b.hvm_stream()),
                      domain=b.domain_header(b.HVM, major=0, minor=1)),
            "-: bare domain stream, x86 HVM, version 2, converted from "
            "legacy, converter 1")

    def test_empty_records_of_old_xen(self) -> None:
        pv = b.changed(b.version_2(b.pv_stream()), msrs_0=b.msrs(0, 0),
                       extended_0=b.extended(0, 0), xsave_0=b.xsave(0, 0))
        notes = [f"note: empty {name} at offset {b.offset_of(pv, part)}, "
                 "tolerated"
                 for name, part in (("X86_PV_VCPU_EXTENDED", "extended 0"),
                                    ("X86_PV_VCPU_XSAVE", "xsave 0"),
                                    ("X86_PV_VCPU_MSRS", "msrs 0"))]
        self.assert_good(pv, *notes)
        hvm = b.changed(b.version_2(b.hvm_stream()), params=b.hvm_params())
        self.assert_good(
            hvm, "note: empty HVM_PARAMS at offset "
            f"{b.offset_of(hvm, 'params')}, tolerated")

    def test_optional_record_is_skipped(self) -> None:
        parts = b.inserted(b.hvm_stream(), "tsc",
                           b.record(0x80000001, b"what"))
        self.assert_good(parts, "note: optional 0x80000001 at offset "
                                f"{b.offset_of(parts, 'new')} skipped")

    def test_verify(self) -> None:
        same = b.inserted(
            b.hvm_stream(), "tsc",
            b.VERIFY + b.page_data((0x20, b.NORMAL, 0xc1)))
        self.assert_good(same, "memory: 2 pages, sent 2")
        other = b.inserted(
            b.hvm_stream(), "tsc",
            b.VERIFY + b.page_data((0x20, b.NORMAL, 0xc9)))
        self.assert_good(other, "verify: 1 pages differ, first pfn 0x20")

    def test_checkpointed(self) -> None:
        parts = b.checkpointed_stream()
        self.assert_good(parts, "checkpoints: 3",
                         f"end: END, {len(b.octets(parts))} octets")

    def test_checkpoint_without_new_pages(self) -> None:
        self.assert_good(b.without(b.checkpointed_stream(), "pages 2"))

    def test_checkpointed_pv(self) -> None:
        pv = b.pv_stream()
        again = {f"{name} again": data for name, data in pv.items()
                 if b.offset_of(pv, name) >= b.offset_of(pv, "more pages")}
        self.assert_good({**b.without(pv, "end"),
                          "checkpoint": b.CHECKPOINT, **again})

    def test_cut_after_a_checkpoint(self) -> None:
        parts = b.without(b.checkpointed_stream(), "end")
        whole = len(b.octets(parts))
        self.assert_good(
            parts, f"end: no END, cut at offset {whole}: the input ends, no "
            f"END yet; consistent up to the checkpoint that ends at offset "
            f"{whole}")
        inside = b.offset_of(parts, "pages 3")
        self.assert_good(
            {"cut": b.octets(parts)[:inside + 500]},
            "memory: 2 pages, sent 3", "checkpoints: 2",
            f"end: no END, cut at offset {inside + 500}: the input ends "
            f"inside PAGE_DATA (record at {inside}); consistent up to the "
            f"checkpoint that ends at offset {inside}")

    def test_pages_after_the_last_checkpoint_do_not_count(self) -> None:
        parts = b.without(b.checkpointed_stream(), "checkpoint 3", "end")
        self.assert_good(parts, "memory: 2 pages, sent 3")

    def test_libxl_checkpointed(self) -> None:
        parts = b.libxl_checkpointed()
        whole = len(b.octets(parts))
        self.assert_good(
            parts, "checkpoints: 2",
            f"end: no END, cut at offset {whole}: the input ends, no END "
            "yet; consistent up to the checkpoint that ends at offset "
            f"{whole}")
        second = b.offset_of(parts, "pages 2")
        self.assert_good(
            b.without(parts, "checkpoint end 2"),
            f"end: no END, cut at offset {whole - 8}: the input ends, no END "
            "yet; consistent up to the checkpoint that ends at offset "
            f"{second}")

    def test_libxl_and_xl(self) -> None:
        self.assert_good(
            b.libxl_stream(),
            "-: libxl stream, x86 HVM, version 3, saved by Xen 4.20")
        self.assert_good(
            b.xl_save(),
            "-: xl save file, x86 HVM, version 3, saved by Xen 4.20")
        self.assert_good(b.without(b.libxl_stream(), "xenstore", "emulator"))
        self.assert_good(b.changed(b.libxl_stream(),
                                   libxl=b.libxl_header(options=2)))

    def test_bad_headers(self) -> None:
        self.assert_bad(bad_headers())

    def test_bad_framing(self) -> None:
        self.assert_bad(bad_framing())

    def test_bad_order(self) -> None:
        self.assert_bad(bad_order())

    def test_bad_pages(self) -> None:
        self.assert_bad(bad_pages())

    def test_bad_pv_bodies(self) -> None:
        self.assert_bad(bad_pv_bodies())

    def test_bad_hvm_bodies(self) -> None:
        self.assert_bad(bad_hvm_bodies())

    def test_bad_libxl(self) -> None:
        self.assert_bad(bad_libxl())

    def test_bad_xl(self) -> None:
        self.assert_bad(bad_xl())


class InFiles(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name: str, parts: Parts) -> str:
        path = self.folder / name
        path.write_bytes(b.octets(parts))
        return str(path)


class Files(InFiles):
    def test_no_such_file(self) -> None:
        missing = str(self.folder / "missing")
        self.assertEqual(oracle("check", missing), (
            2, "", "oracle: [Errno 2] No such file or directory: "
            f"'{missing}'\n"))

    def test_lost_tail_is_told(self) -> None:
        """A file whose end was never written to the disk reads as zeros."""
        parts = b.hvm_stream()
        at = b.offset_of(parts, "pages")
        kept = b.octets(parts)[:at + 29] + b"\x80"
        path = self.write("lost", {"kept": kept, "lost": bytes(9000)})
        self.assertEqual(oracle("check", path), (
            1, f"{path}: offset {at}: PAGE_DATA of 8224 octets, but its 3 "
            "entries, 3 with data, need 12320\n"
            f"{path}: the last 9000 octets, from offset {at + 30}, are "
            "zero\n", ""))


class Records(unittest.TestCase):
    def test_lines(self) -> None:
        parts = b.xl_save()

        def line(part: str, text: str) -> str:
            return f"{b.offset_of(parts, part)} {text}\n"

        status, out, err = oracle("records", "-", stdin=b.octets(parts))
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out, line("libxc", "libxl LIBXC_CONTEXT 0")
            + line("cpuid", "X86_CPUID_POLICY 48")
            + line("msr", "X86_MSR_POLICY 16")
            + line("static end", "STATIC_DATA_END 0")
            + line("pages", "PAGE_DATA 8224 normal=2 invalid=1")
            + line("tsc", "X86_TSC_INFO 24")
            + line("context", "HVM_CONTEXT 21")
            + line("params", "HVM_PARAMS 40")
            + line("end", "END 0")
            + line("xenstore", "libxl EMULATOR_XENSTORE_DATA 43")
            + line("emulator", "libxl EMULATOR_CONTEXT 18")
            + line("libxl end", "libxl END 0"))

    def test_json(self) -> None:
        parts = b.pv_stream()
        status, out, err = oracle("records", "--json", "-",
                                  stdin=b.octets(parts))
        self.assertEqual((status, err), (0, ""))
        found = json.loads(out)
        self.assertEqual([r["offset"] for r in found],
                         [b.offset_of(parts, name) for name in parts][2:])
        pages = parts["pages"]
        self.assertEqual(found[5], {
            "layer": "domain", "type": 1, "name": "PAGE_DATA",
            "offset": b.offset_of(parts, "pages"), "length": len(pages) - 8,
            "sha256": hashlib.sha256(pages[8:]).hexdigest(),
            "entries": {"normal": 1, "L1": 1, "L4-pinned": 1, "broken": 1,
                        "allocate-only": 1, "invalid": 1}})
        context = found[0]
        self.assertEqual(context["sha256"],
                         hashlib.sha256(parts["info"][8:]).hexdigest())

    def test_up_to_the_violation(self) -> None:
        parts = b.changed(b.hvm_stream(), tsc=b.tsc_info(16))
        at = b.offset_of(parts, "tsc")
        status, out, _ = oracle("records", "-", stdin=b.octets(parts))
        self.assertEqual(status, 1)
        self.assertEqual(out.splitlines()[-2:], [
            f"{b.offset_of(parts, 'pages')} PAGE_DATA 8224 normal=2 "
            "invalid=1",
            f"-: offset {at}: X86_TSC_INFO of 16 octets, must be 24"])


class MemoryMap(unittest.TestCase):
    def memory(self, parts: Parts) -> list[str]:
        status, out, err = oracle("memory", "-", stdin=b.octets(parts))
        self.assertEqual((status, err), (0, ""))
        return out.splitlines()

    def test_last_content_wins(self) -> None:
        self.assertEqual(self.memory(b.pv_stream()), [
            f"0x10 normal {blake(0xb1)}", f"0x11 L1 {blake(0xa2)}",
            f"0x12 L4-pinned {blake(0xa3)}"])

    def test_invalid_after_a_page(self) -> None:
        parts = b.inserted(b.hvm_stream(), "tsc",
                           b.page_data((0x20, b.INVALID, None)))
        self.assertEqual(self.memory(parts), [f"0x22 normal {blake(0xc2)}"])

    def test_verify_changes_nothing(self) -> None:
        parts = b.inserted(b.hvm_stream(), "tsc", b.VERIFY
                           + b.page_data((0x20, b.NORMAL, 0xc9)))
        self.assertEqual(self.memory(parts), [f"0x20 normal {blake(0xc1)}",
                                              f"0x22 normal {blake(0xc2)}"])

    def test_cut_falls_back_to_the_checkpoint(self) -> None:
        whole = b.checkpointed_stream()
        self.assertEqual(self.memory(whole)[0], f"0x20 normal {blake(0xd3)}")
        self.assertEqual(
            self.memory(b.without(whole, "checkpoint 3", "end"))[0],
            f"0x20 normal {blake(0xd2)}")

    def test_json(self) -> None:
        _, out, _ = oracle("memory", "-", "--json",
                           stdin=b.octets(b.hvm_stream()))
        self.assertEqual(json.loads(out), [
            {"pfn": 0x20, "type": "normal", "blake2b": blake(0xc1)},
            {"pfn": 0x22, "type": "normal", "blake2b": blake(0xc2)}])


class Compare(InFiles):
    def compare(self, x: Parts, y: Parts,
                *options: str) -> tuple[int, list[str]]:
        status, out, err = oracle("compare", self.write("x", x),
                                  self.write("y", y), *options)
        self.assertEqual(err, "")
        return status, out.splitlines()

    def test_same(self) -> None:
        same = (0, ["same"])
        self.assertEqual(self.compare(b.pv_stream(), b.pv_stream()), same)
        # The same pages cut into other records, and without what surrounds.
        split = b.changed(b.hvm_stream(), pages=b.page_data(
            (0x20, b.NORMAL, 0xc1), (0x21, b.INVALID, None))
            + b.page_data((0x22, b.NORMAL, 0xc2)))
        self.assertEqual(self.compare(b.hvm_stream(), split), same)
        self.assertEqual(self.compare(b.xl_save(), b.hvm_stream()), same)

    def test_headers(self) -> None:
        other = b.changed(b.hvm_stream(),
                          domain=b.domain_header(b.HVM, minor=17))
        self.assertEqual(self.compare(b.hvm_stream(), other), (1, [
            "headers: x86 HVM, version 3, saved by Xen 4.20 | "
            "x86 HVM, version 3, saved by Xen 4.17"]))

    def test_bodies(self) -> None:
        parts = b.hvm_stream()
        at = b.offset_of(parts, "context")
        other = b.changed(parts, context=b.hvm_context(b"c" * 21))
        self.assertEqual(self.compare(parts, other), (1, [
            f"bodies differ: HVM_CONTEXT of 21 octets at offset {at} | "
            f"HVM_CONTEXT of 21 octets at offset {at}"]))

    def test_sequence(self) -> None:
        parts = b.hvm_stream()
        self.assertEqual(self.compare(parts, b.without(parts, "params")), (
            1, ["record 5 without pages: HVM_PARAMS of 40 octets at offset "
                f"{b.offset_of(parts, 'params')} | END of 0 octets at offset "
                f"{b.offset_of(parts, 'params')}"]))

    def test_libxl_layer(self) -> None:
        parts = b.libxl_stream()
        at = b.offset_of(parts, "emulator")
        other = b.changed(parts, emulator=b.emulator(3, b"QEVM other"))
        self.assertEqual(self.compare(parts, other), (1, [
            f"bodies differ: libxl EMULATOR_CONTEXT of 18 octets at offset "
            f"{at} | libxl EMULATOR_CONTEXT of 18 octets at offset {at}"]))

    def test_content_and_type(self) -> None:
        parts = b.hvm_stream()
        other = b.changed(parts, pages=b.page_data(
            (0x20, b.NORMAL, 0xc3), (0x21, b.INVALID, None),
            (0x22, b.L1, 0xc2)))
        self.assertEqual(self.compare(parts, other), (1, [
            f"pfn 0x20: normal {blake(0xc1)} | normal {blake(0xc3)}",
            f"pfn 0x22: normal {blake(0xc2)} | L1 {blake(0xc2)}"]))

    def test_order(self) -> None:
        parts = b.hvm_stream()
        other = b.changed(parts, pages=b.page_data(
            (0x22, b.NORMAL, 0xc2), (0x21, b.INVALID, None),
            (0x20, b.NORMAL, 0xc1)))
        self.assertEqual(self.compare(parts, other), (1, [
            "page 0 of the stream: pfn 0x20 | pfn 0x22 (2 | 2 pages)"]))

    def test_holes(self) -> None:
        parts = b.hvm_stream()
        other = b.changed(parts, pages=b.page_data(
            (0x20, b.NORMAL, 0xc1), (0x22, b.NORMAL, 0xc2)))
        self.assertEqual(self.compare(parts, other),
                         (1, ["pfn 0x21: invalid | never sent"]))
        self.assertEqual(self.compare(parts, other, "--ignore-holes"),
                         (0, ["same"]))
        # Invalid after a page is no hole.
        gone = b.inserted(other, "tsc",
                          b.page_data((0x20, b.INVALID, None)))
        self.assertEqual(self.compare(parts, gone, "--ignore-holes"), (
            1, [f"pfn 0x20: normal {blake(0xc1)} | invalid"]))

    def test_first_ten_only(self) -> None:
        def many(fill: int) -> Parts:
            return b.changed(b.hvm_stream(), pages=b.page_data(
                *((pfn, b.NORMAL, fill) for pfn in range(12))))
        status, lines = self.compare(many(1), many(2))
        self.assertEqual(status, 1)
        self.assertEqual(len(lines), 11)
        self.assertEqual(lines[9:], [
            f"pfn 0x9: normal {blake(1)} | normal {blake(2)}", "and more"])

    def test_bad_stream(self) -> None:
        parts = b.hvm_stream()
        at = b.offset_of(parts, "end")
        status, lines = self.compare(parts, b.without(parts, "end"))
        self.assertEqual((status, lines), (
            1, [f"{self.folder / 'y'}: offset {at}: the input ends, no END "
                "yet"]))


def main() -> int:
    details = io.StringIO()
    suite = unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules[__name__])
    result = unittest.TextTestRunner(details).run(suite)
    if not result.wasSuccessful():
        print(details.getvalue(), file=sys.stderr)
    variants = sum(len(group()) for group in (
        bad_headers, bad_framing, bad_order, bad_pages, bad_pv_bodies,
        bad_hvm_bodies, bad_libxl, bad_xl))
    print(f"test_oracle: {result.testsRun} tests, {variants} bad streams, "
          f"{len(result.failures) + len(result.errors)} failed")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
