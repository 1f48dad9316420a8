# SPDX-License-Identifier: LGPL-2.1-or-later
"""PAGE_DATA: its entries and, as digests, its pages."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from source import Source, Violation, check_zeros

PAGE_SIZE = 4096
PFN_BITS = 52
PFN_MASK = (1 << PFN_BITS) - 1
RESERVED_BITS = 0xff << PFN_BITS

BROKEN, ALLOCATE_ONLY, INVALID = 0xd, 0xe, 0xf
TYPE_NAMES = {
    0x0: "normal", 0x1: "L1", 0x2: "L2", 0x3: "L3", 0x4: "L4",
    0x9: "L1-pinned", 0xa: "L2-pinned", 0xb: "L3-pinned", 0xc: "L4-pinned",
    BROKEN: "broken", ALLOCATE_ONLY: "allocate-only", INVALID: "invalid",
}


@dataclass
class PageData:
    # Per entry: pfn, type, and the digest of its page if it carries one.
    entries: list[tuple[int, int, bytes | None]]

    def type_counts(self) -> dict[str, int]:
        counts = Counter(page_type for _, page_type, _ in self.entries)
        return {TYPE_NAMES[t]: counts[t] for t in sorted(counts)}


def carries_data(page_type: int) -> bool:
    return page_type < BROKEN


def page_digest(page: bytes) -> bytes:
    return hashlib.blake2b(page, digest_size=16).digest()


def read_page_data(source: Source, offset: int, length: int,
                   feed: Callable[[bytes], None] | None) -> PageData:
    """The body of the PAGE_DATA at offset; feed, if given, gets all of it."""
    inside = f"PAGE_DATA (record at {offset})"
    if length < 16:
        raise Violation(offset, f"PAGE_DATA of {length} octets, must be "
                                "at least 16")
    start = source.offset
    head = source.take(8, inside)
    count, = struct.unpack_from("<I", head)
    if not count:
        raise Violation(offset, "PAGE_DATA of no entries")
    check_zeros(head[4:], start + 4, "reserved field of PAGE_DATA")
    if 8 + 8 * count > length:
        raise Violation(offset, f"PAGE_DATA of {length} octets has no room "
                                f"for its {count} entries")
    raw = source.take(8 * count, inside)
    if feed:
        feed(head + raw)

    values = struct.unpack(f"<{count}Q", raw)
    for index, value in enumerate(values):
        _check_entry(value, start + 8 + 8 * index)

    pages = sum(carries_data(value >> 60) for value in values)
    needed = 8 + 8 * count + PAGE_SIZE * pages
    if length != needed:
        raise Violation(offset,
                        f"PAGE_DATA of {length} octets, but its {count} "
                        f"entries, {pages} with data, need {needed}")

    entries: list[tuple[int, int, bytes | None]] = []
    for value in values:
        digest = None
        if carries_data(value >> 60):
            page = source.take(PAGE_SIZE, inside)
            digest = page_digest(page)
            if feed:
                feed(page)
        entries.append((value & PFN_MASK, value >> 60, digest))
    return PageData(entries)


def _check_entry(value: int, offset: int) -> None:
    if value & RESERVED_BITS:
        raise Violation(offset, "reserved bits of a PAGE_DATA entry not zero:"
                                f" 0x{value:016x}")
    if value >> 60 not in TYPE_NAMES:
        raise Violation(offset, f"unknown page type 0x{value >> 60:x} "
                                f"for pfn 0x{value & PFN_MASK:x}")
