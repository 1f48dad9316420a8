# SPDX-License-Identifier: LGPL-2.1-or-later
"""The head of an xl save file: magic, flags, domain configuration."""

from __future__ import annotations

import json
import struct

from source import Source, Violation

MAGIC = b"Xen saved domain, xl format\n \0 \r"
BYTEORDER = 0x01020304
CONFIG_IS_JSON = 1
LIBXL_STREAM = 2


def read_xl_header(source: Source) -> str:
    """Its configuration, in the file's own words."""
    start = source.offset
    magic = source.take(len(MAGIC), "the xl magic")
    if magic != MAGIC:
        raise Violation(start, "the xl magic is damaged")
    start = source.offset
    fields = source.take(16, "the xl header")
    byteorder, mandatory, _, length = struct.unpack("<IIII", fields)
    if byteorder != BYTEORDER:
        raise Violation(start, f"xl byteorder 0x{byteorder:08x} is not "
                               f"0x{BYTEORDER:08x}")
    if mandatory & ~(CONFIG_IS_JSON | LIBXL_STREAM):
        raise Violation(start + 4, "unknown mandatory xl flags "
                                   f"0x{mandatory:08x}")
    if not mandatory & LIBXL_STREAM:
        raise Violation(start + 4, "no libxl stream follows the xl header")

    start = source.offset
    optional = source.take(length, "the optional data of the xl header")
    if length < 4:
        raise Violation(start, "no room for the configuration's length in "
                               f"{length} octets of optional data")
    size, = struct.unpack_from("<I", optional)
    if size > length - 4:
        raise Violation(start, f"configuration of {size} octets in {length} "
                               "of optional data")
    try:
        config = optional[4:4 + size].rstrip(b"\0").decode()
        if mandatory & CONFIG_IS_JSON:
            json.loads(config)
    except ValueError as error:
        raise Violation(start + 4, f"configuration: {error}") from None
    return config
