# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain stream taken apart into records, to be changed and put together again."""

import struct

HEADERS = 24 + 16
END, PAGE_DATA, PV_INFO, P2M_FRAMES = 0x00, 0x01, 0x02, 0x03
VCPU_BASIC, VCPU_EXTENDED, VCPU_XSAVE, SHARED_INFO, TSC_INFO = 0x04, 0x05, 0x06, 0x07, 0x08
VERIFY, CHECKPOINT = 0x0d, 0x0e
VCPU_MSRS, STATIC_DATA_END, CPUID_POLICY, MSR_POLICY = 0x0c, 0x10, 0x11, 0x12
PAGE, PFN_MASK = 4096, (1 << 52) - 1


class Record:
    def __init__(self, kind: int, body: bytes = b""):
        self.kind, self.body = kind, bytearray(body)

    def put(self, layout: str, offset: int, *values):
        struct.pack_into("<" + layout, self.body, offset, *values)

    def get(self, layout: str, offset: int):
        return struct.unpack_from("<" + layout, self.body, offset)[0]

    def octets(self) -> bytes:
        return (struct.pack("<II", self.kind, len(self.body)) + self.body +
                bytes(-len(self.body) % 8))


class Stream:
    def __init__(self, octets: bytes):
        self.headers, self.records = octets[:HEADERS], []
        offset = HEADERS
        while offset < len(octets):
            kind, length = struct.unpack_from("<II", octets, offset)
            self.records.append(Record(kind, octets[offset + 8:offset + 8 + length]))
            offset += 8 + length + -length % 8

    def octets(self) -> bytes:
        return self.headers + b"".join(record.octets() for record in self.records)

    def first(self, kind: int) -> Record:
        return next(record for record in self.records if record.kind == kind)

    def all(self, kind: int) -> list:
        return [record for record in self.records if record.kind == kind]

    def without(self, *kinds: int):
        self.records = [record for record in self.records if record.kind not in kinds]

    def pages(self):
        """Each page with data: its record, the place of its entry, pfn, type, and of the page."""
        for record in self.all(PAGE_DATA):
            count = record.get("I", 0)
            page = 8 + 8 * count
            for entry in range(8, page, 8):
                value = record.get("Q", entry)
                kind = value >> 60
                yield record, entry, value & PFN_MASK, kind, page
                if kind < 0xd:
                    page += PAGE

    def page(self, pfn: int):
        """(record, offset of the page) of the last content of pfn."""
        found = None
        for record, _, number, kind, page in self.pages():
            if number == pfn and kind < 0xd:
                found = record, page
        return found
