# SPDX-License-Identifier: LGPL-2.1-or-later
"""The inside of every record of the domain stream but PAGE_DATA."""

from __future__ import annotations

import struct
from enum import IntEnum

from record import Header, need_array, need_at_least, need_length
from source import Violation, check_zeros


class Type(IntEnum):
    END = 0x00
    PAGE_DATA = 0x01
    X86_PV_INFO = 0x02
    X86_PV_P2M_FRAMES = 0x03
    X86_PV_VCPU_BASIC = 0x04
    X86_PV_VCPU_EXTENDED = 0x05
    X86_PV_VCPU_XSAVE = 0x06
    SHARED_INFO = 0x07
    X86_TSC_INFO = 0x08
    HVM_CONTEXT = 0x09
    HVM_PARAMS = 0x0a
    TOOLSTACK = 0x0b
    X86_PV_VCPU_MSRS = 0x0c
    VERIFY = 0x0d
    CHECKPOINT = 0x0e
    CHECKPOINT_DIRTY_PFN_LIST = 0x0f
    STATIC_DATA_END = 0x10
    X86_CPUID_POLICY = 0x11
    X86_MSR_POLICY = 0x12


NAMES = {int(t): t.name for t in Type}
VCPU_TYPES = (Type.X86_PV_VCPU_BASIC, Type.X86_PV_VCPU_EXTENDED,
              Type.X86_PV_VCPU_XSAVE, Type.X86_PV_VCPU_MSRS)
MAX_LENGTH = 128 << 20

LEVELS_OF_WIDTH = {4: 3, 8: 4}
# sizeof(struct vcpu_guest_context) of xen/arch-x86/xen.h, by guest width
CONTEXT_SIZE = {4: 2800, 8: 5168}
VCPU_HEADER = 8
MAX_EXTENDED = 128
MIN_XSAVE = 16
MSR_SIZE = 16
CPUID_LEAF_SIZE = 24

EMPTY = (Type.END, Type.VERIFY, Type.CHECKPOINT, Type.STATIC_DATA_END)
FIXED = {Type.X86_PV_INFO: 8, Type.SHARED_INFO: 4096, Type.X86_TSC_INFO: 24,
         **{empty: 0 for empty in EMPTY}}


def check_body(header: Header, body: bytes, width: int) -> None:
    """width: of the PV guest, as X86_PV_INFO said, 0 if it did not yet."""
    kind = Type(header.type)
    name = kind.name
    if kind in FIXED:
        need_length(header, name, FIXED[kind])
    if kind == Type.X86_PV_INFO:
        _check_pv_info(header, body)
    elif kind == Type.X86_PV_P2M_FRAMES:
        _check_p2m_frames(header, body, width)
    elif kind in VCPU_TYPES:
        _check_vcpu(header, body, width)
    elif kind == Type.X86_TSC_INFO:
        check_zeros(body[20:], header.body_offset + 20,
                    f"reserved field of {name}")
    elif kind == Type.HVM_CONTEXT:
        need_at_least(header, name, 1)
    elif kind == Type.HVM_PARAMS:
        _check_hvm_params(header, body)
    elif kind == Type.X86_CPUID_POLICY:
        need_at_least(header, name, CPUID_LEAF_SIZE)
        need_array(header, name, 0, CPUID_LEAF_SIZE)
    elif kind == Type.X86_MSR_POLICY:
        need_at_least(header, name, MSR_SIZE)
        need_array(header, name, 0, MSR_SIZE)


def is_tolerated_empty(header: Header) -> bool:
    """A header with nothing behind it, as Xen 4.6 to 4.8 wrote them."""
    return header.length == VCPU_HEADER and header.type in (
        Type.HVM_PARAMS, Type.X86_PV_VCPU_EXTENDED,
        Type.X86_PV_VCPU_XSAVE, Type.X86_PV_VCPU_MSRS)


def guest_width(pv_info: bytes) -> int:
    return pv_info[0]


def vcpu_id(body: bytes) -> int:
    return int(struct.unpack_from("<I", body)[0])


def _check_pv_info(header: Header, body: bytes) -> None:
    width, levels = body[0], body[1]
    if LEVELS_OF_WIDTH.get(width) != levels:
        raise Violation(header.body_offset,
                        f"X86_PV_INFO with guest width {width} and "
                        f"{levels} page table levels")
    check_zeros(body[2:], header.body_offset + 2,
                "reserved field of X86_PV_INFO")


def _check_p2m_frames(header: Header, body: bytes, width: int) -> None:
    need_at_least(header, "X86_PV_P2M_FRAMES", 16)
    start, end = struct.unpack_from("<II", body)
    if start > end:
        raise Violation(header.body_offset, "X86_PV_P2M_FRAMES from pfn "
                                            f"0x{start:x} to 0x{end:x}")
    per_frame = 4096 // width
    frames = end // per_frame - start // per_frame + 1
    if header.length != 8 + 8 * frames:
        raise Violation(header.offset,
                        f"X86_PV_P2M_FRAMES of {header.length} octets, but "
                        f"pfns 0x{start:x} to 0x{end:x} need "
                        f"{8 + 8 * frames}")


def _check_vcpu(header: Header, body: bytes, width: int) -> None:
    kind = Type(header.type)
    name = kind.name
    need_at_least(header, name, VCPU_HEADER)
    check_zeros(body[4:8], header.body_offset + 4,
                f"reserved field of {name}")
    if kind == Type.X86_PV_VCPU_BASIC:
        need_length(header, name, VCPU_HEADER + CONTEXT_SIZE[width])
    elif kind == Type.X86_PV_VCPU_EXTENDED:
        if header.length > VCPU_HEADER + MAX_EXTENDED:
            raise Violation(header.offset,
                            f"{name} of {header.length} octets, must be at "
                            f"most {VCPU_HEADER + MAX_EXTENDED}")
    elif kind == Type.X86_PV_VCPU_XSAVE:
        if header.length != VCPU_HEADER:
            need_at_least(header, name, VCPU_HEADER + MIN_XSAVE)
    else:
        need_array(header, name, VCPU_HEADER, MSR_SIZE)


def _check_hvm_params(header: Header, body: bytes) -> None:
    need_at_least(header, "HVM_PARAMS", 8)
    count, = struct.unpack_from("<I", body)
    check_zeros(body[4:8], header.body_offset + 4,
                "reserved field of HVM_PARAMS")
    if header.length != 8 + 16 * count:
        raise Violation(header.offset,
                        f"HVM_PARAMS of {header.length} octets, but its "
                        f"{count} entries need {8 + 16 * count}")
