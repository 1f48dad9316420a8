# SPDX-License-Identifier: LGPL-2.1-or-later
"""The framing that domain stream and libxl stream share: type, length,
body, zero padding to a multiple of 8."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from page_data import PageData
from source import Cut, Source, Violation

OPTIONAL = 0x80000000


@dataclass
class Header:
    offset: int
    type: int
    length: int

    @property
    def body_offset(self) -> int:
        return self.offset + 8


@dataclass
class Record:
    layer: str                      # "domain" or "libxl"
    name: str
    header: Header
    sha256: str | None = None       # of the body, when it was asked for
    pages: PageData | None = None   # PAGE_DATA only
    # An image that ends here is consistent: checkpoint or final END.
    commits: bool = False


def read_header(source: Source) -> Header:
    offset = source.offset
    if source.at_end():
        raise Cut(offset, "the input ends, no END yet")
    data = source.take(8, "a record header")
    return Header(offset, *struct.unpack("<II", data))


def type_name(names: dict[int, str], header: Header, layer: str) -> str:
    """Its name; an unknown type is refused unless it is optional."""
    if header.type in names:
        return names[header.type]
    if header.type & OPTIONAL:
        return f"optional 0x{header.type:08x}"
    raise Violation(header.offset,
                    f"unknown mandatory {layer} record 0x{header.type:08x}")


def read_body(source: Source, header: Header, name: str) -> bytes:
    body = source.take(header.length, f"{name} (record at {header.offset})")
    read_padding(source, header, name)
    return body


def read_padding(source: Source, header: Header, name: str) -> None:
    source.take_zeros(-header.length % 8,
                      f"padding of {name} (record at {header.offset})")


def need_length(header: Header, name: str, length: int) -> None:
    if header.length != length:
        raise Violation(header.offset, f"{name} of {header.length} octets, "
                                       f"must be {length}")


def need_at_least(header: Header, name: str, length: int) -> None:
    if header.length < length:
        raise Violation(header.offset, f"{name} of {header.length} octets, "
                                       f"must be at least {length}")


def need_array(header: Header, name: str, start: int, size: int) -> None:
    """What follows the first start octets must be whole elements."""
    if (header.length - start) % size:
        raise Violation(header.offset,
                        f"{name} of {header.length} octets is not {start} "
                        f"and a multiple of {size}")


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
