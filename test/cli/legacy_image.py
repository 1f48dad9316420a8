# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images as Xen 4.5 and earlier wrote them, built by hand from the specification.

    image = LegacyImage(width=8, hvm=True)
    image.parts["chunks"] = image.batch((0, 0, page), ...) + image.param(-8, 0xff) ...

An image is a dict of named parts, in order, like those of built_streams."""

import struct

NORMAL, L1, L3_PINNED, L4_PINNED, BROKEN, ALLOCATE_ONLY, INVALID = 0, 1, 0xb, 0xc, 0xd, 0xe, 0xf
FILLER = 0xf0000000
VCPU_SIZES = {8: 0x1430, 4: 0xaf0}
XL_MAGIC = b"Xen saved domain, xl format\n \0 \r"

VERIFY, VCPU_INFO, IDENT_PT, VM86_TSS, TMEM, TMEM_EXTRA, TSC_INFO, CONSOLE, LAST, IOPORTS = \
    range(-1, -11, -1)
VIRIDIAN, COMPRESSED, ENABLE_COMPRESSION, GENERATION_ID, PAGING, MONITOR, SHARING, TOOLSTACK, \
    IOREQ_SERVER, IOREQ_SERVER_PAGES = range(-11, -21, -1)


def chunk(number: int, body: bytes = b"") -> bytes:
    return struct.pack("<i", number) + body


def param(number: int, value: int) -> bytes:
    return chunk(number, struct.pack("<IQ", 0, value))


def tsc(mode=0, nsec=77, khz=2400000, incarnation=3) -> bytes:
    return chunk(TSC_INFO, struct.pack("<IQII", mode, nsec, khz, incarnation))


def vcpu_info(*online: int, highest=None) -> bytes:
    highest = max(online) if highest is None else highest
    words = [0] * (highest // 64 + 1)
    for vcpu in online:
        words[vcpu // 64] |= 1 << vcpu % 64
    return chunk(VCPU_INFO, struct.pack(f"<i{len(words)}Q", highest, *words))


def toolstack(data: bytes) -> bytes:
    return chunk(TOOLSTACK, struct.pack("<I", len(data)) + data)


class LegacyImage:
    """What a toolstack of this width (4, 8) writes. guest: the width of a PV guest."""

    def __init__(self, width=8, guest=None, pages=600):
        self.width, self.guest, self.pages = width, guest, pages

    def ulong(self, *values: int) -> bytes:
        return struct.pack(f"<{len(values)}{'Q' if self.width == 8 else 'I'}", *values)

    @staticmethod
    def block(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data

    def head(self) -> bytes:
        return self.ulong(self.pages)

    def extended_info(self, *blocks: bytes) -> bytes:
        """By default what says the guest's width."""
        data = b"".join(blocks) or self.block(b"vcpu", bytes(VCPU_SIZES[self.guest]))
        ones = (1 << 8 * self.width) - 1
        return self.ulong(ones) + struct.pack("<I", len(data)) + data

    def p2m_frames(self, *pfns: int) -> bytes:
        count = (self.pages - 1) // (4096 // self.guest) + 1
        return self.ulong(*(pfns or range(count)))

    def batch(self, *entries) -> bytes:
        """Of (pfn, type, page), page None for types without one."""
        words = [kind << 28 | pfn for pfn, kind, _ in entries]
        return self.raw_batch(words, b"".join(page for _, _, page in entries if page is not None))

    def raw_batch(self, words, pages=b"") -> bytes:
        return chunk(len(words), self.ulong(*words) + pages)

    def unmapped(self, *pfns: int) -> bytes:
        return struct.pack("<I", len(pfns)) + self.ulong(*pfns)

    @staticmethod
    def hvm_tail(context: bytes, ioreq=0xfeff0, bufioreq=0xfeff1, store=0xfeffc) -> bytes:
        return struct.pack("<QQQI", ioreq, bufioreq, store, len(context)) + context

    @staticmethod
    def model(state: bytes, signature=b"DeviceModelRecord0002") -> bytes:
        return signature + struct.pack("<I", len(state)) + state

    def physmap(self, *entries, version=1, count=None) -> bytes:
        """The toolstack data of libxl: entries are (phys, start, size, name)."""
        data = struct.pack("<II", version, len(entries) if count is None else count)
        for phys, start, size, name in entries:
            name = name.encode() + b"\0"
            data += struct.pack("<QQQI", phys, start, size, len(name)) + name
            if self.width == 8:
                data += b"\xee" * 4  # leaked
        return data


def xl_header(config=b'{"c_info": {}}\0', mandatory=1, tail=b"") -> bytes:
    optional = struct.pack("<I", len(config)) + config + tail
    return XL_MAGIC + struct.pack("<IIII", 0x01020304, mandatory, 0, len(optional)) + optional


def hvm_context() -> bytes:
    """The least that is one: header and END (xen/hvm/save.h)."""
    return struct.pack("<HHI", 1, 0, 28) + struct.pack("<IIQIIHH", 0x54381286, 1, 0, 0, 0, 0, 0)\
        + struct.pack("<HHI", 0, 0, 0)


def octets(parts) -> bytes:
    return b"".join(parts.values())
