# SPDX-License-Identifier: LGPL-2.1-or-later
"""The order of the records of a domain stream, and which it must have."""

from __future__ import annotations

from domain_records import VCPU_TYPES, Type
from source import Violation

PV, HVM = 1, 2

# A record may follow one of the same or of a lower rank.
MEMORY_RANK = 4
FINAL_RANK = 8
RANKS = {
    PV: {
        Type.X86_PV_INFO: 0,
        Type.X86_CPUID_POLICY: 1, Type.X86_MSR_POLICY: 1,
        Type.STATIC_DATA_END: 2,
        Type.X86_PV_P2M_FRAMES: 3,
        Type.PAGE_DATA: MEMORY_RANK, Type.VERIFY: MEMORY_RANK,
        Type.X86_TSC_INFO: 5,
        Type.SHARED_INFO: 6,
        **{vcpu: 7 for vcpu in VCPU_TYPES},
        Type.CHECKPOINT: FINAL_RANK, Type.END: FINAL_RANK,
    },
    HVM: {
        Type.X86_CPUID_POLICY: 1, Type.X86_MSR_POLICY: 1,
        Type.STATIC_DATA_END: 2,
        Type.PAGE_DATA: MEMORY_RANK, Type.VERIFY: MEMORY_RANK,
        Type.X86_TSC_INFO: 5, Type.HVM_CONTEXT: 5, Type.HVM_PARAMS: 5,
        Type.CHECKPOINT: FINAL_RANK, Type.END: FINAL_RANK,
    },
}
# What every record of a higher rank needs before it. HVM_PARAMS and the
# policies may be left out: they are when there is nothing in them.
REQUIRED = {
    PV: (Type.X86_PV_INFO, Type.STATIC_DATA_END, Type.X86_PV_P2M_FRAMES,
         Type.PAGE_DATA, Type.X86_TSC_INFO, Type.SHARED_INFO,
         Type.X86_PV_VCPU_BASIC),
    HVM: (Type.STATIC_DATA_END, Type.PAGE_DATA, Type.X86_TSC_INFO,
          Type.HVM_CONTEXT),
}
REPEATED = (Type.PAGE_DATA, Type.VERIFY, *VCPU_TYPES)
VERSION_3 = (Type.STATIC_DATA_END, Type.X86_CPUID_POLICY,
             Type.X86_MSR_POLICY)
NEVER = {
    Type.TOOLSTACK: "TOOLSTACK, which is never written",
    Type.CHECKPOINT_DIRTY_PFN_LIST: "CHECKPOINT_DIRTY_PFN_LIST outside the "
                                    "back channel of COLO",
}


class Order:
    def __init__(self, guest: int, version: int) -> None:
        self._guest = guest
        self._version = version
        self._last: Type | None = None
        self._rank = 0
        self._seen: set[Type] = set()
        self._vcpus: set[int] = set()
        self._vcpu: int | None = None
        self._vcpu_step = 0
        self.checkpoints = 0
        self.ended = False

    def arrive(self, kind: Type, offset: int) -> None:
        """Refuse a record that may not stand at offset."""
        if kind in NEVER:
            raise Violation(offset, NEVER[kind])
        if self._version < 3 and kind in VERSION_3:
            raise Violation(offset, f"{kind.name} in a version "
                                    f"{self._version} stream")
        ranks = RANKS[self._guest]
        if kind not in ranks:
            guest = "a PV" if self._guest == PV else "an HVM"
            raise Violation(offset, f"{kind.name} in {guest} stream")
        if kind in self._seen and kind not in REPEATED:
            raise Violation(offset, f"a second {kind.name}")
        if self._last is not None and ranks[kind] < self._rank:
            raise Violation(offset, f"{kind.name} after {self._last.name}")
        if not (kind == Type.END and self._last == Type.CHECKPOINT):
            self._need_before(kind, offset)
        self._seen.add(kind)
        self._last = kind
        self._rank = ranks[kind]
        self.ended = kind == Type.END

    def checkpoint(self) -> None:
        """The image is consistent; memory and state may come once more."""
        ranks = RANKS[self._guest]
        self._seen = {t for t in self._seen if ranks[t] <= MEMORY_RANK}
        self._rank = MEMORY_RANK
        self._vcpus.clear()
        self._vcpu = None
        self.checkpoints += 1

    def arrive_vcpu(self, kind: Type, vcpu: int, offset: int) -> None:
        """Per vcpu: BASIC, then EXTENDED, XSAVE, MSRS as far as present."""
        step = VCPU_TYPES.index(kind)
        if kind == Type.X86_PV_VCPU_BASIC:
            if vcpu in self._vcpus:
                raise Violation(offset, f"a second {kind.name} of vcpu "
                                        f"{vcpu}")
            self._vcpus.add(vcpu)
            self._vcpu = vcpu
        elif vcpu != self._vcpu:
            raise Violation(offset, f"{kind.name} of vcpu {vcpu} does not "
                                    "follow its X86_PV_VCPU_BASIC")
        elif step == self._vcpu_step:
            raise Violation(offset, f"a second {kind.name} of vcpu {vcpu}")
        elif step < self._vcpu_step:
            raise Violation(offset, f"{kind.name} of vcpu {vcpu} after "
                                    f"{VCPU_TYPES[self._vcpu_step].name}")
        self._vcpu_step = step

    def _need_before(self, kind: Type, offset: int) -> None:
        ranks = RANKS[self._guest]
        for needed in REQUIRED[self._guest]:
            if needed in VERSION_3 and self._version < 3:
                continue
            if ranks[needed] < ranks[kind] and needed not in self._seen:
                raise Violation(offset, f"{kind.name} before any "
                                        f"{needed.name}")
