# SPDX-License-Identifier: LGPL-2.1-or-later
"""PV guests that work against their own save: what they say of themselves is checked before it is
used, the save fails with the exact reason, and nothing of ours is left."""

import threading

import sim
import sim_case
from sim_case import SimCase

GUEST = {"type": "pv64", "pages": 3000}
# Places in a 64-bit shared_info and vcpu_guest_context (xen/xen.h, xen/arch-x86/xen.h).
ARCH = 2048 + 1024 + 16
MAX_PFN, LIST_LIST, P2M_CR3, P2M_VADDR, P2M_GENERATION = (ARCH + 8 * n for n in (0, 1, 3, 4, 5))
RDX, GDT, GDT_ENTS, CTRL = 520 + 12 * 8, 4832, 4960, 4984
START_INFO, FIRST_TABLE = 0x20, 0x23  # pfns: test/sim/guest_pv_layout.c


class PvGuests(SimCase):
    def setUp(self):
        self.sim_host, self.stream = self.host(), self.image()
        self.guest = self.sim_host.build(**GUEST)

    def poke(self, what, offset, word, domid=None):
        self.sim_host.poke(domid or self.guest, what, offset, word)

    def refused(self, reason, domid=None):
        domid = domid or self.guest
        outcome = sim.save(sim.helper("xensr"), self.sim_host, domid, self.stream)
        self.assert_failed_clearly(outcome)
        self.assertIn(reason, outcome.errors)
        self.assert_nothing_left(self.sim_host)
        self.assertEqual(self.sim_host.show(domid)["log_dirty"], 0)

    def table(self, level) -> int:
        return next(pfn for pfn in range(FIRST_TABLE, FIRST_TABLE + 60)
                    if self.sim_host.frame(self.guest, pfn)["level"] == level)

    def foreign_frame(self) -> int:
        other = self.sim_host.build(type="pv64", pages=300)
        return self.sim_host.frame(other, 0x80)["mfn"]

    # ---- the p2m

    def test_p2m_root_is_no_frame(self):
        self.poke("shared", P2M_CR3, 1)
        self.refused("the guest's p2m_cr3 is frame 0, which the machine has not")

    def test_p2m_root_beyond_the_machine(self):
        self.poke("shared", P2M_CR3, 0x7fffffff000)
        self.refused("the guest's p2m_cr3 is frame 0x7fffffff, which the machine has not")

    def test_p2m_root_of_another_guest(self):
        self.poke("shared", P2M_CR3, self.foreign_frame() << 12)
        self.refused("cannot map the guest's p2m_cr3, frame")

    def test_p2m_of_2_to_the_41(self):
        self.poke("shared", MAX_PFN, 1 << 41)
        self.refused("the guest says that its p2m has 0x20000000000 entries")

    def test_p2m_without_entries(self):
        self.poke("shared", MAX_PFN, 0)
        self.refused("the guest says that its p2m has 0 entries")

    def test_p2m_longer_than_its_mapping(self):
        self.poke("shared", MAX_PFN, 1 << 31)
        self.refused("the guest's p2m is not mapped at")

    def test_p2m_address(self):
        for address in (0xffff800000000000, 0xffff87fffffff000, 0x0000900000000000, 0xfff,
                        0xfffffffffffff000):
            with self.subTest(address=hex(address)):
                self.setUp()
                self.poke("shared", P2M_VADDR, address)
                self.refused(f"p2m_vaddr {address:#x} is no place for a p2m")

    def test_p2m_being_changed(self):
        self.poke("shared", P2M_GENERATION, 7)
        self.refused("the guest was suspended while it changed its p2m")

    def test_tree_that_is_none(self):
        guest = self.sim_host.build(type="pv64", pages=3000, p2m="tree")
        for frame, name in ((0, "0"), (0xffffffffffffffff, "0xffffffffffffffff")):
            with self.subTest(frame=name):
                self.poke("shared", LIST_LIST, frame, guest)
                self.refused(f"pfn_to_mfn_frame_list_list is frame {name}, which", guest)
                self.sim_host.resume(guest)

    # ---- page tables

    def entry(self, level, word):
        table = self.table(level)
        self.poke(table, 0, word)
        return f"entry 0 of the level-{level} page table pfn {table:#x}"

    def test_entry_names_a_frame_of_another_guest(self):
        frame = self.foreign_frame()
        where = self.entry(1, frame << 12 | 0x61)
        self.refused(f"{where} names frame {frame:#x}, which is not the guest's own")

    def test_entry_names_a_frame_beyond_the_machine(self):
        where = self.entry(1, 0xabcdef << 12 | 0x61)
        self.refused(f"{where} names frame 0xabcdef, which is not the guest's own")

    def test_superpage(self):
        frame = self.sim_host.frame(self.guest, 0x80)["mfn"]
        where = self.entry(2, frame << 12 | 0xe1)
        self.refused(f"{where} maps a superpage")

    def test_entries_that_flip_during_the_save(self):
        """Each is read once: a save either works with one of the values or names the other."""
        table, frame = self.table(1), self.foreign_frame()
        good = self.sim_host.frame(self.guest, 0x80)["mfn"] << 12 | 0x61
        stop = threading.Event()

        def flip():
            while not stop.is_set():
                self.poke(table, 8, frame << 12 | 0x61)
                self.poke(table, 8, good)

        thread = threading.Thread(target=flip)
        thread.start()
        try:
            for _ in range(15):
                outcome = sim.save(sim.helper("xensr"), self.sim_host, self.guest, self.stream)
                if not outcome.ok:
                    self.assert_failed_clearly(outcome)
                    self.assertIn(f"page table pfn {table:#x} names frame {frame:#x}",
                                  outcome.errors)
                self.assert_nothing_left(self.sim_host)
                self.sim_host.resume(self.guest)
        finally:
            stop.set()
            thread.join()

    # ---- vcpus

    def test_registers(self):
        frame = self.foreign_frame()
        for name, offset, word in (("CR3", CTRL + 24, frame << 12),
                                   ("the user page table", CTRL + 8, frame << 12),
                                   ("the start info", RDX, frame), ("the GDT", GDT, frame)):
            with self.subTest(register=name):
                self.setUp()
                self.foreign_frame()
                self.poke("vcpu0", offset, word)
                self.refused(f"{name} of vcpu 0 is frame {frame:#x}, which is not the guest's own")

    def test_gdt_too_long(self):
        self.poke("vcpu0", GDT_ENTS, 14 * 512 + 1)
        self.refused("the GDT of vcpu 0 has 7169 entries")


if __name__ == "__main__":
    sim_case.main()
