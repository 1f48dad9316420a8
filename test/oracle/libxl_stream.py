# SPDX-License-Identifier: LGPL-2.1-or-later
"""The libxl stream, version 2, around a domain stream."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

from domain_order import HVM
from domain_stream import DomainStream
from record import (Header, Record, need_at_least, need_length, read_body,
                    read_header, sha256, type_name)
from source import Source, Violation

IDENT = b"LibxlFmt"
VERSION = 2
BIG_ENDIAN = 1
FROM_LEGACY = 2


class Type(IntEnum):
    END = 0
    LIBXC_CONTEXT = 1
    EMULATOR_XENSTORE_DATA = 2
    EMULATOR_CONTEXT = 3
    CHECKPOINT_END = 4
    CHECKPOINT_STATE = 5


NAMES = {int(t): t.name for t in Type}
EMULATOR_TYPES = (Type.EMULATOR_XENSTORE_DATA, Type.EMULATOR_CONTEXT)
EMULATOR_HEADER = 8
EMULATOR_IDS = (0, 1, 2)


class LibxlStream:
    """Around a domain stream; self.domain is there once it has begun."""

    def __init__(self, source: Source, hash_bodies: bool) -> None:
        self._source = source
        self._hash_bodies = hash_bodies
        self.from_legacy = _read_stream_header(source)
        self.domain: DomainStream | None = None
        self.notes: list[str] = []

    def records(self) -> Iterator[Record]:
        """Its own and, in their place, those of the domain stream."""
        yield from self._begin()
        self.domain = DomainStream(self._source, self._hash_bodies)
        while True:
            yield from self.domain.records()
            yield from self._after_domain(self.domain)
            if self.domain.order.ended:
                return

    def _begin(self) -> Iterator[Record]:
        """Up to and including LIBXC_CONTEXT."""
        while True:
            record, _ = self._read_record()
            kind = record.header.type
            if kind in NAMES and kind != Type.LIBXC_CONTEXT:
                raise Violation(record.header.offset,
                                f"libxl {record.name} before any "
                                "LIBXC_CONTEXT")
            yield record
            if kind == Type.LIBXC_CONTEXT:
                return

    def _after_domain(self, domain: DomainStream) -> Iterator[Record]:
        """Up to END, or CHECKPOINT_END if the domain stream goes on."""
        last_kind = Type.END if domain.order.ended else Type.CHECKPOINT_END
        before = ("the END" if domain.order.ended else "a CHECKPOINT") + \
            " of the domain stream"
        allowed = list(EMULATOR_TYPES)
        while True:
            record, body = self._read_record()
            header = record.header
            if header.type in NAMES:
                kind = Type(header.type)
                if kind in EMULATOR_TYPES:
                    _check_emulator(domain, header, body)
                    if kind not in allowed:
                        raise Violation(
                            header.offset, f"libxl {kind.name} twice or out "
                            "of order")
                    allowed = allowed[allowed.index(kind) + 1:]
                elif kind != last_kind:
                    raise Violation(header.offset,
                                    f"libxl {kind.name} after {before}")
                record.commits = kind == last_kind
            yield record
            if header.type == last_kind:
                return

    def _read_record(self) -> tuple[Record, bytes]:
        header = read_header(self._source)
        name = type_name(NAMES, header, "libxl")
        body = read_body(self._source, header, f"libxl {name}")
        if header.type not in NAMES:
            self.notes.append(f"libxl {name} at offset {header.offset} "
                              "skipped")
        elif header.type == Type.CHECKPOINT_STATE:
            raise Violation(header.offset, "libxl CHECKPOINT_STATE, none is "
                                           "awaited")
        elif header.type not in EMULATOR_TYPES:
            need_length(header, f"libxl {name}", 0)
        return Record("libxl", name, header,
                      sha256(body) if self._hash_bodies else None), body


def _read_stream_header(source: Source) -> bool:
    """True if the stream was converted from a legacy image."""
    start = source.offset
    data = source.take(16, "the libxl stream header")
    ident, version, options = struct.unpack(">8sII", data)
    if ident != IDENT:
        raise Violation(start, f"no libxl stream: ident {ident!r}")
    if version != VERSION:
        raise Violation(start + 8, f"libxl stream version {version} is not "
                                   f"{VERSION}")
    if options & BIG_ENDIAN:
        raise Violation(start + 12, "big-endian libxl stream on x86")
    if options & ~FROM_LEGACY:
        raise Violation(start + 12, "unknown libxl stream options "
                                    f"0x{options:08x}")
    return bool(options & FROM_LEGACY)


def _check_emulator(domain: DomainStream, header: Header,
                    body: bytes) -> None:
    kind = Type(header.type)
    if domain.headers.guest != HVM:
        raise Violation(header.offset, f"libxl {kind.name} in a PV stream")
    need_at_least(header, f"libxl {kind.name}", EMULATOR_HEADER)
    emulator, = struct.unpack_from("<I", body)
    if emulator not in EMULATOR_IDS:
        raise Violation(header.body_offset, f"unknown emulator {emulator}")
    if kind == Type.EMULATOR_XENSTORE_DATA:
        _check_xenstore(header, body[EMULATOR_HEADER:])


def _check_xenstore(header: Header, data: bytes) -> None:
    if not data:
        return
    if not data.endswith(b"\0"):
        raise Violation(header.offset, "libxl EMULATOR_XENSTORE_DATA does "
                                       "not end with a NUL")
    strings = data[:-1].split(b"\0")
    if len(strings) % 2:
        raise Violation(header.offset, "libxl EMULATOR_XENSTORE_DATA ends "
                                       "with a key without its value")
    for key in strings[::2]:
        if not key or key.startswith(b"/"):
            raise Violation(header.offset, "libxl EMULATOR_XENSTORE_DATA "
                                           f"with key {key!r}")
