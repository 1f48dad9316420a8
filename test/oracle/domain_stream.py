# SPDX-License-Identifier: LGPL-2.1-or-later
"""The domain stream: image header, domain header, records up to END."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import domain_records
from domain_order import HVM, PV, Order
from domain_records import VCPU_TYPES, Type
from page_data import read_page_data
from record import (Header, Record, read_body, read_header, read_padding,
                    sha256, type_name)
from source import Source, Violation, check_zeros

MARKER = b"\xff" * 8
IDENT = 0x58454E46
BIG_ENDIAN = 1
PAGE_SHIFT = 12
GUEST_NAMES = {PV: "x86 PV", HVM: "x86 HVM"}


@dataclass
class DomainHeaders:
    version: int
    guest: int
    xen_major: int
    xen_minor: int

    def __str__(self) -> str:
        saver = (f"saved by Xen {self.xen_major}.{self.xen_minor}"
                 if self.xen_major else
                 f"converted from legacy, converter {self.xen_minor}")
        return f"{GUEST_NAMES[self.guest]}, version {self.version}, {saver}"


class DomainStream:
    def __init__(self, source: Source, hash_bodies: bool) -> None:
        self._source = source
        self._hash_bodies = hash_bodies
        self._width = 0
        self.headers = read_headers(source)
        self.order = Order(self.headers.guest, self.headers.version)
        self.notes: list[str] = []

    def records(self) -> Iterator[Record]:
        """Up to and including the next CHECKPOINT or END."""
        while True:
            record = self._read_record()
            yield record
            if record.header.type == Type.CHECKPOINT:
                self.order.checkpoint()
                return
            if self.order.ended:
                return

    def _read_record(self) -> Record:
        header = read_header(self._source)
        name = type_name(domain_records.NAMES, header, "domain")
        if header.length > domain_records.MAX_LENGTH:
            raise Violation(header.offset, f"{name} of {header.length} "
                                           "octets, over 128 MiB")
        known = header.type in domain_records.NAMES
        if known:
            self.order.arrive(Type(header.type), header.offset)
        if header.type == Type.PAGE_DATA:
            return self._read_pages(header)

        body = read_body(self._source, header, name)
        if known:
            self._check(header, body)
        else:
            self.notes.append(f"{name} at offset {header.offset} skipped")
        return Record("domain", name, header,
                      sha256(body) if self._hash_bodies else None)

    def _check(self, header: Header, body: bytes) -> None:
        domain_records.check_body(header, body, self._width)
        kind = Type(header.type)
        if kind == Type.X86_PV_INFO:
            self._width = domain_records.guest_width(body)
        if kind in VCPU_TYPES:
            self.order.arrive_vcpu(kind, domain_records.vcpu_id(body),
                                   header.offset)
        if domain_records.is_tolerated_empty(header):
            self.notes.append(f"empty {kind.name} at offset {header.offset}, "
                              "tolerated")

    def _read_pages(self, header: Header) -> Record:
        body_hash = hashlib.sha256() if self._hash_bodies else None
        pages = read_page_data(self._source, header.offset, header.length,
                               body_hash.update if body_hash else None)
        read_padding(self._source, header, "PAGE_DATA")
        return Record("domain", "PAGE_DATA", header,
                      body_hash.hexdigest() if body_hash else None, pages)


def read_headers(source: Source) -> DomainHeaders:
    start = source.offset
    image = source.take(24, "the image header")
    marker, ident, version, options = struct.unpack_from(">8sIIH", image)
    if marker != MARKER:
        raise Violation(start, "image header marker is not all ones")
    if ident != IDENT:
        raise Violation(start + 8, f"image header id 0x{ident:08x} is not "
                                   f"0x{IDENT:08x}")
    if version not in (2, 3):
        raise Violation(start + 12, f"image version {version} is not 2 or 3")
    if options & BIG_ENDIAN:
        raise Violation(start + 16, "big-endian body on x86")
    if options:
        raise Violation(start + 16, f"unknown image options 0x{options:04x}")
    check_zeros(image[18:], start + 18, "reserved field of the image header")

    start = source.offset
    domain = source.take(16, "the domain header")
    guest, shift, reserved, major, minor = struct.unpack("<IHHII", domain)
    if guest not in GUEST_NAMES:
        raise Violation(start, f"unknown domain type {guest}")
    if shift != PAGE_SHIFT:
        raise Violation(start + 4, f"page shift {shift} is not {PAGE_SHIFT}")
    if reserved:
        raise Violation(start + 6, "reserved field of the domain header not "
                                   "zero")
    return DomainHeaders(version, guest, major, minor)
