# SPDX-License-Identifier: LGPL-2.1-or-later
"""The memory a restore of the stream ends with, as digests."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from page_data import INVALID, PageData

# The type of the last entry of a pfn, then the digest of its page if any.
Content = bytes


class Memory:
    """What comes after the last commit counts only once committed."""

    def __init__(self) -> None:
        self._contents: dict[int, Content] = {}
        self._pending: dict[int, Content] = {}
        self._bare_types = {t: bytes([t]) for t in range(16)}
        self._verifying = False
        self._committed_order = 0
        # Pfns in the order of their pages, each as often as it came.
        self.order = array("Q")
        # Pfns whose page differed when it was sent again after VERIFY.
        self.mismatches: list[int] = []

    def apply(self, pages: PageData) -> None:
        if self._verifying:
            self._verify(pages)
            return
        for pfn, page_type, digest in pages.entries:
            content = self._bare_types[page_type]
            if digest is not None:
                content += digest
                self.order.append(pfn)
            self._pending[pfn] = content

    def verify(self) -> None:
        self._verifying = True

    def commit(self) -> None:
        if self._contents:
            self._contents.update(self._pending)
        else:
            self._contents = self._pending
        self._pending = {}
        self._committed_order = len(self.order)
        self._verifying = False

    def rollback(self) -> None:
        self._pending = {}
        del self.order[self._committed_order:]

    def contents(self, holes: bool = True) -> dict[int, Content]:
        """Committed; without holes, no invalid pfn that never had a page."""
        if holes:
            return self._contents
        carried = set(self.order)
        return {pfn: content for pfn, content in self._contents.items()
                if content[0] != INVALID or pfn in carried}

    def pages(self) -> Iterator[tuple[int, int, str]]:
        """Pfn, type and digest of every page, by pfn."""
        for pfn in sorted(self._contents):
            content = self._contents[pfn]
            if len(content) > 1:
                yield pfn, content[0], content[1:].hex()

    def _verify(self, pages: PageData) -> None:
        for pfn, page_type, digest in pages.entries:
            if digest is None:
                continue
            content = self._pending.get(pfn, self._contents.get(pfn))
            if content != self._bare_types[page_type] + digest:
                self.mismatches.append(pfn)
