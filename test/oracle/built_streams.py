# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small streams built by hand from the specification, for test_oracle.

A stream is a dict of named parts, in order, so that a test can replace,
drop or move one and say at which part the reader must stop."""

from __future__ import annotations

import struct

Parts = dict[str, bytes]

PV, HVM = 1, 2
NORMAL, L1, L4_PINNED, BROKEN, ALLOCATE_ONLY, INVALID = (0, 1, 0xc, 0xd, 0xe,
                                                         0xf)
XL_MAGIC = b"Xen saved domain, xl format\n \0 \r"


def record(kind: int, body: bytes = b"", length: int | None = None,
           padding: bytes = b"\0") -> bytes:
    return struct.pack("<II", kind, len(body) if length is None else length) \
        + body + padding * (-len(body) % 8)


def image_header(marker: bytes = b"\xff" * 8, ident: int = 0x58454E46,
                 version: int = 3, options: int = 0,
                 reserved: bytes = bytes(6)) -> bytes:
    return marker + struct.pack(">IIH", ident, version, options) + reserved


def domain_header(guest: int, shift: int = 12, reserved: int = 0,
                  major: int = 4, minor: int = 20) -> bytes:
    return struct.pack("<IHHII", guest, shift, reserved, major, minor)


def page(fill: int | bytes) -> bytes:
    """An octet to fill it with, or what it begins with."""
    return bytes([fill]) * 4096 if isinstance(fill, int) \
        else fill.ljust(4096, b"\0")


def page_data(*entries: tuple[int, int, int | bytes | None], reserved: int = 0,
              count: int | None = None) -> bytes:
    """Entries are pfn, type and what its page has (see page), if any."""
    body = struct.pack("<II", len(entries) if count is None else count,
                       reserved)
    body += b"".join(struct.pack("<Q", kind << 60 | pfn)
                     for pfn, kind, _ in entries)
    body += b"".join(page(fill) for _, _, fill in entries
                     if fill is not None)
    return record(0x01, body)


def pv_info(width: int = 8, levels: int = 4,
            reserved: bytes = bytes(6)) -> bytes:
    return record(0x02, bytes([width, levels]) + reserved)


def p2m_frames(start: int, end: int, *frames: int) -> bytes:
    return record(0x03, struct.pack(f"<II{len(frames)}Q", start, end,
                                    *frames))


def vcpu(kind: int, number: int, blob: bytes, reserved: int = 0) -> bytes:
    return record(kind, struct.pack("<II", number, reserved) + blob)


def basic(number: int = 0, size: int = 5168) -> bytes:
    return vcpu(0x04, number, bytes(size))


def extended(number: int = 0, size: int = 64) -> bytes:
    return vcpu(0x05, number, bytes(size))


def xsave(number: int = 0, size: int = 592) -> bytes:
    return vcpu(0x06, number, bytes(size))


def msrs(number: int = 0, size: int = 32) -> bytes:
    return vcpu(0x0c, number, bytes(size))


def shared_info(size: int = 4096) -> bytes:
    return record(0x07, bytes(size))


def tsc_info(size: int = 24, reserved: int = 0) -> bytes:
    return record(0x08, struct.pack("<IIQII", 2, 1000, 5, 1,
                                    reserved)[:size])


def hvm_context(blob: bytes = b"context of the vcpus!") -> bytes:
    return record(0x09, blob)


def hvm_params(*params: tuple[int, int], count: int | None = None,
               reserved: int = 0) -> bytes:
    return record(0x0a, struct.pack(
        "<II", len(params) if count is None else count, reserved)
        + b"".join(struct.pack("<QQ", *param) for param in params))


def cpuid_policy(size: int = 48) -> bytes:
    return record(0x11, bytes(size))


def msr_policy(size: int = 16) -> bytes:
    return record(0x12, bytes(size))


END = record(0x00)
VERIFY = record(0x0d)
CHECKPOINT = record(0x0e)
STATIC_DATA_END = record(0x10)


def pv_stream() -> Parts:
    """Version 3, 64-bit, two vcpus."""
    return {
        "image": image_header(),
        "domain": domain_header(PV),
        "info": pv_info(),
        "cpuid": cpuid_policy(),
        "msr": msr_policy(),
        "static end": STATIC_DATA_END,
        "p2m": p2m_frames(0x1ff, 0x400, 0x10, 0x11, 0x12),
        "pages": page_data((0x10, NORMAL, 0xa1), (0x11, L1, 0xa2),
                           (0x12, L4_PINNED, 0xa3), (0x13, BROKEN, None),
                           (0x14, ALLOCATE_ONLY, None),
                           (0x15, INVALID, None)),
        "more pages": page_data((0x10, NORMAL, 0xb1)),
        "tsc": tsc_info(),
        "shared": shared_info(),
        "basic 0": basic(0),
        "extended 0": extended(0),
        "xsave 0": xsave(0),
        "msrs 0": msrs(0),
        "basic 2": basic(2),
        "xsave 2": xsave(2),
        "end": END,
    }


def hvm_stream() -> Parts:
    return {
        "image": image_header(),
        "domain": domain_header(HVM),
        "cpuid": cpuid_policy(),
        "msr": msr_policy(),
        "static end": STATIC_DATA_END,
        "pages": page_data((0x20, NORMAL, 0xc1), (0x21, INVALID, None),
                           (0x22, NORMAL, 0xc2)),
        "tsc": tsc_info(),
        "context": hvm_context(),
        "params": hvm_params((1, 0xfeffc), (5, 0xfeffd)),
        "end": END,
    }


def version_2(parts: Parts) -> Parts:
    parts = without(parts, "cpuid", "msr", "static end")
    return changed(parts, image=image_header(version=2))


def hvm_epoch(number: int) -> Parts:
    """What one more checkpoint sends of an HVM domain."""
    return {
        f"pages {number}": page_data((0x20, NORMAL, 0xd0 + number)),
        f"tsc {number}": tsc_info(),
        f"context {number}": hvm_context(),
        f"params {number}": hvm_params((1, number)),
        f"checkpoint {number}": CHECKPOINT,
    }


def checkpointed_stream() -> Parts:
    """Three checkpoints, then END."""
    return {
        **without(hvm_stream(), "end"),
        "checkpoint 1": CHECKPOINT,
        **hvm_epoch(2),
        **hvm_epoch(3),
        "end": END,
    }


def emulator(kind: int, data: bytes, number: int = 2) -> bytes:
    return record(kind, struct.pack("<II", number, 0) + data)


def libxl_header(ident: bytes = b"LibxlFmt", version: int = 2,
                 options: int = 0) -> bytes:
    return ident + struct.pack(">II", version, options)


def libxl_stream() -> Parts:
    return {
        "libxl": libxl_header(),
        "libxc": record(1),
        **hvm_stream(),
        "xenstore": emulator(2, b"physmap/1/name\0vga\0physmap/1/size\0\0"),
        "emulator": emulator(3, b"QEVM state"),
        "libxl end": record(0),
    }


def libxl_checkpointed() -> Parts:
    """Two checkpoints; whoever sent it died after them."""
    return {
        "libxl": libxl_header(),
        "libxc": record(1),
        **without(hvm_stream(), "end"),
        "checkpoint 1": CHECKPOINT,
        "emulator 1": emulator(3, b"QEVM state"),
        "checkpoint end 1": record(4),
        **hvm_epoch(2),
        "emulator 2": emulator(3, b"QEVM more"),
        "checkpoint end 2": record(4),
    }


def xl_header(magic: bytes = XL_MAGIC, byteorder: int = 0x01020304,
              mandatory: int = 3, config: bytes = b'{"c_info": {}}',
              size: int | None = None, tail: bytes = b"tail") -> bytes:
    optional = struct.pack("<I", len(config) if size is None else size) \
        + config + tail
    return magic + struct.pack("<IIII", byteorder, mandatory, 0,
                               len(optional)) + optional


def xl_save() -> Parts:
    return {"xl": xl_header(), **libxl_stream()}


def changed(parts: Parts, **replacements: bytes) -> Parts:
    """Names with a space are written with an underscore here."""
    new = {name.replace("_", " "): data
           for name, data in replacements.items()}
    assert new.keys() <= parts.keys()
    return {**parts, **new}


def without(parts: Parts, *names: str) -> Parts:
    assert parts.keys() >= set(names)
    return {name: data for name, data in parts.items() if name not in names}


def inserted(parts: Parts, before: str, data: bytes) -> Parts:
    """With one more part, named "new"."""
    assert before in parts
    result: Parts = {}
    for name, part in parts.items():
        if name == before:
            result["new"] = data
        result[name] = part
    return result


def moved(parts: Parts, name: str, before: str) -> Parts:
    result = inserted(without(parts, name), before, parts[name])
    return {name if n == "new" else n: data for n, data in result.items()}


def octets(parts: Parts) -> bytes:
    return b"".join(parts.values())


def offset_of(parts: Parts, wanted: str) -> int:
    offset = 0
    for name, data in parts.items():
        if name == wanted:
            return offset
        offset += len(data)
    raise KeyError(wanted)
