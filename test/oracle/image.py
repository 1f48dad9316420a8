# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole input: detects what it is and walks it to its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import domain_stream
import libxl_stream
import xl_file
from domain_records import Type
from domain_stream import DomainStream
from libxl_stream import LibxlStream
from record import Record
from source import Cut, Source, Violation


class Image:
    """records() must run to its end before anything is said of the end."""

    def __init__(self, file: BinaryIO, hash_bodies: bool = False) -> None:
        self._source = Source(file)
        self._hash_bodies = hash_bodies
        self._libxl: LibxlStream | None = None
        self._domain: DomainStream | None = None
        self.kind = ""
        self.config: str | None = None
        # Set when a checkpointed stream ends without END, and where.
        self.cut: Cut | None = None
        self.consistent_to: int | None = None

    @property
    def domain(self) -> DomainStream:
        domain = self._libxl.domain if self._libxl else self._domain
        assert domain, "nothing read yet"
        return domain

    @property
    def size(self) -> int:
        return self._source.offset

    @property
    def notes(self) -> list[str]:
        notes = list(self.domain.notes)
        return notes + self._libxl.notes if self._libxl else notes

    def records(self) -> Iterator[Record]:
        """Raises Violation. A cut is one unless a checkpoint is complete:
        the receiver of such a stream goes on from there."""
        try:
            for record in self._all_records():
                if record.commits:
                    self.consistent_to = self._source.offset
                yield record
            if not self._source.at_end():
                raise Violation(self._source.offset, "octets after the END")
        except Cut as cut:
            if self.consistent_to is None:
                raise
            self.cut = cut

    def _all_records(self) -> Iterator[Record]:
        start = self._source.peek(8)
        if start == domain_stream.MARKER:
            self.kind = "bare domain stream"
            yield from self._bare_records()
            return
        if start == xl_file.MAGIC[:8]:
            self.kind = "xl save file"
            self.config = xl_file.read_xl_header(self._source)
        elif start == libxl_stream.IDENT:
            self.kind = "libxl stream"
        elif len(start) < 8:
            raise Cut(len(start), "the input ends inside its magic")
        else:
            raise Violation(0, "neither a domain stream, a libxl stream nor "
                               "an xl save file (a legacy image?)")
        self._libxl = LibxlStream(self._source, self._hash_bodies)
        yield from self._libxl.records()

    def _bare_records(self) -> Iterator[Record]:
        self._domain = DomainStream(self._source, self._hash_bodies)
        while not self._domain.order.ended:
            for record in self._domain.records():
                record.commits = record.header.type in (Type.CHECKPOINT,
                                                        Type.END)
                yield record
