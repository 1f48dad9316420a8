# SPDX-License-Identifier: LGPL-2.1-or-later
"""Differences between two streams of the same domain."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from image import Image
from memory import Content, Memory
from page_data import TYPE_NAMES
from record import Record


class Picture:
    """What a compare needs of one image."""

    def __init__(self, image: Image) -> None:
        self.records: list[Record] = []
        self.memory = Memory()
        committed = 0
        for record in image.records():
            if record.pages:
                self.memory.apply(record.pages)
            else:
                self.records.append(record)
            if record.name == "VERIFY":
                self.memory.verify()
            if record.commits:
                self.memory.commit()
                committed = len(self.records)
        self.memory.rollback()
        del self.records[committed:]
        self.headers = image.domain.headers

    def domain_records(self) -> list[Record]:
        return [r for r in self.records if r.layer == "domain"]

    def has_libxl(self) -> bool:
        return any(r.layer == "libxl" for r in self.records)


def differences(a: Picture, b: Picture, ignore_holes: bool) -> Iterator[str]:
    if a.headers != b.headers:
        yield f"headers: {a.headers} | {b.headers}"
    yield from _record_differences(a, b)
    yield from _memory_differences(a.memory.contents(not ignore_holes),
                                   b.memory.contents(not ignore_holes))
    yield from _order_differences(a.memory, b.memory)


def _record_differences(a: Picture, b: Picture) -> Iterator[str]:
    """Of the libxl layer too if both have it."""
    if a.has_libxl() and b.has_libxl():
        pairs = zip_longest(a.records, b.records)
    else:
        pairs = zip_longest(a.domain_records(), b.domain_records())
    for number, (x, y) in enumerate(pairs):
        if x is None or y is None or (x.layer, x.name) != (y.layer, y.name):
            yield (f"record {number} without pages: {_describe(x)} | "
                   f"{_describe(y)}")
            return
        if (x.header.length, x.sha256) != (y.header.length, y.sha256):
            yield f"bodies differ: {_describe(x)} | {_describe(y)}"


def _memory_differences(a: dict[int, Content],
                        b: dict[int, Content]) -> Iterator[str]:
    for pfn in sorted(a.keys() | b.keys()):
        x, y = a.get(pfn), b.get(pfn)
        if x != y:
            yield f"pfn 0x{pfn:x}: {_content(x)} | {_content(y)}"


def _order_differences(a: Memory, b: Memory) -> Iterator[str]:
    """Only the first: all that follows one is shifted."""
    if a.order == b.order:
        return
    for number, (x, y) in enumerate(zip_longest(a.order, b.order)):
        if x != y:
            yield (f"page {number} of the stream: {_pfn(x)} | {_pfn(y)} "
                   f"({len(a.order)} | {len(b.order)} pages)")
            return


def _describe(record: Record | None) -> str:
    if record is None:
        return "none"
    layer = "libxl " if record.layer == "libxl" else ""
    return (f"{layer}{record.name} of {record.header.length} octets at offset "
            f"{record.header.offset}")


def _content(content: Content | None) -> str:
    if content is None:
        return "never sent"
    digest = content[1:].hex()
    return TYPE_NAMES[content[0]] + (f" {digest}" if digest else "")


def _pfn(pfn: int | None) -> str:
    return "none" if pfn is None else f"pfn 0x{pfn:x}"
