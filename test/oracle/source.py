# SPDX-License-Identifier: LGPL-2.1-or-later
"""The octets of a file or pipe, read once and in order."""

from __future__ import annotations

from typing import BinaryIO

PIECE = 1 << 20


class Violation(Exception):
    """The stream breaks its specification at an offset of the input."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(f"offset {offset}: {what}")
        self.offset = offset
        self.what = what


class Cut(Violation):
    """The input ends where the stream must go on."""


class Source:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ahead = b""
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """The next octets without taking them: fewer if the input ends."""
        while len(self._ahead) < size:
            piece = self._file.read(size - len(self._ahead))
            if not piece:
                break
            self._ahead += piece
        return self._ahead[:size]

    def take(self, size: int, inside: str) -> bytes:
        """Exactly size octets; inside names what a cut would cut."""
        if size <= PIECE and not self._ahead:
            data = self._file.read(size)
        else:
            data = self._take_pieces(size)
        self.offset += len(data)
        if len(data) < size:
            raise Cut(self.offset, f"the input ends inside {inside}")
        return data

    def take_zeros(self, size: int, what: str) -> None:
        start = self.offset
        data = self.take(size, what)
        check_zeros(data, start, what)

    def at_end(self) -> bool:
        return not self.peek(1)

    def _take_pieces(self, size: int) -> bytes:
        pieces = [self._ahead[:size]]
        self._ahead = self._ahead[size:]
        left = size - len(pieces[0])
        while left:
            piece = self._file.read(min(left, PIECE))
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def check_zeros(data: bytes, offset: int, what: str) -> None:
    """Refuse data, which starts at offset, unless all of it is zero."""
    rest = data.lstrip(b"\0")
    if rest:
        raise Violation(offset + len(data) - len(rest), f"{what} not zero")


def trailing_zeros(file: BinaryIO) -> tuple[int, int]:
    """Where the zeros at the end of a seekable file start, and its size."""
    size = start = file.seek(0, 2)
    while start:
        length = min(start, PIECE)
        file.seek(start - length)
        kept = len(file.read(length).rstrip(b"\0"))
        start -= length - kept
        if kept:
            break
    return start, size
