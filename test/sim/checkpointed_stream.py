# SPDX-License-Identifier: LGPL-2.1-or-later
"""A checkpointed stream taken apart: the domain stream's records, and between each CHECKPOINT and
its CHECKPOINT_END those of libxl."""

import struct

from replication import CHECKPOINT_END
from stream_edit import CHECKPOINT, HEADERS, Record, Stream


class CheckpointedStream(Stream):
    """Its records are in one list; `toolstack` says of each whose it is."""

    def __init__(self, octets: bytes):  # pylint: disable=super-init-not-called
        self.headers, self.records = octets[:HEADERS], []
        offset, toolstack = HEADERS, False
        while offset < len(octets):
            kind, length = struct.unpack_from("<II", octets, offset)
            record = Record(kind, octets[offset + 8:offset + 8 + length])
            record.toolstack = toolstack
            self.records.append(record)
            offset += 8 + length + -length % 8
            if toolstack:
                toolstack = kind != CHECKPOINT_END
            else:
                toolstack = kind == CHECKPOINT

    def ends(self) -> list:
        """The places behind each checkpoint's last record."""
        return [n + 1 for n, record in enumerate(self.records)
                if record.toolstack and record.kind == CHECKPOINT_END]

    def in_checkpoint(self, nth: int) -> list:
        """The domain stream's records of the nth checkpoint, from 0, without CHECKPOINT."""
        ends = [0, *self.ends()]
        return [record for record in self.records[ends[nth]:ends[nth + 1]]
                if not record.toolstack and record.kind != CHECKPOINT]

    def insert(self, checkpoint: int, *records: Record):
        """Put records at the start of a checkpoint, from 0."""
        place = [0, *self.ends()][checkpoint]
        for record in records:
            record.toolstack = False
        self.records[place:place] = records
