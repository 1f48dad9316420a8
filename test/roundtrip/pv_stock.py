# SPDX-License-Identifier: LGPL-2.1-or-later
"""PV guests on the simulated host, with stock as the witness: it saves and restores them, and what
Xen would refuse is refused."""

import ctypes
import itertools
import json
import os
import struct

import sim
import sim_case
from sim_case import SimCase, needs_stock

GUESTS = {
    "plain": {"memory": 24},
    "two vcpus": {"memory": 8, "vcpus": 2},
    "a vcpu that is offline": {"memory": 8, "vcpus": 3},
    "ballooned": {"memory": 24, "ballooned": 200},
    "odd size": {"pages": 3333},
    "odd size, ballooned": {"pages": 2051, "ballooned": 400, "vcpus": 2},
    "zero and equal pages": {"memory": 8, "plain": 900},
    "smallest": {"pages": 150},
}
LIVE = 1  # XCFLAGS_LIVE
PRESENT, WRITABLE, PSE = 0x1, 0x2, 0x80
START_INFO, STORE, CONSOLE = 0x20, 0x21, 0x22  # pfns: test/sim/guest_pv_layout.c
FIRST_GDT = 0x23
DOMID_XEN = 0x7FF2


class PvCase(SimCase):
    def tables(self, host, domid, level):
        """The pfns of the guest's page tables of a level."""
        return [pfn for pfn in range(FIRST_GDT, FIRST_GDT + 60)
                if host.frame(domid, pfn)["level"] == level]

    def round_trip(self, guest, saver="stock", restorer="stock", **host_options):
        host, image = self.host(**host_options), self.image()
        saved = host.build(**guest)
        self.save(saver, host, saved, image)
        restored = self.restore(restorer, host, image, guest)
        self.assertEqual(host.compare(saved, host, restored), "same")
        self.assert_guest_unharmed(host, saved)
        stats = host.stats()
        self.assertEqual((stats["leaked_buffers"], stats["leaked_maps"]), (0, 0))
        # Stock has Xen write the number of the compat M2P onto its stack.
        compat = 1 if guest["type"] == "pv32" and saver == "stock" else 0
        self.assertEqual(stats["violations"], compat)
        return host, saved, restored


@needs_stock
class StockToStock(PvCase):
    def test_guests(self):
        for kind, p2m, (name, guest) in itertools.product(
                ("pv64", "pv32"), ("linear", "tree"), GUESTS.items()):
            with self.subTest(kind=kind, p2m=p2m, guest=name):
                self.round_trip(dict(guest, type=kind, p2m=p2m))

    def test_frames_that_are_no_neighbours(self):
        for kind, p2m in itertools.product(("pv64", "pv32"), ("linear", "tree")):
            with self.subTest(kind=kind, p2m=p2m):
                self.round_trip({"type": kind, "pages": 5003, "p2m": p2m, "vcpus": 2,
                                 "ballooned": 300}, scatter=True)

    def test_frames_above_4_gib(self):
        """CR3 of a 32-bit guest has the frame's high bits at the low end."""
        for kind in ("pv64", "pv32"):
            with self.subTest(kind=kind):
                host, saved, _ = self.round_trip({"type": kind, "memory": 8},
                                                 first_frame=0x123000)
                self.assertGreater(host.frame(saved, 0)["mfn"], 0x100000)

    def test_p2m_of_several_tables(self):
        """More than fits into one L1, one mid page, one L2 of the direct map."""
        for p2m in ("tree", "linear"):
            with self.subTest(p2m=p2m):
                self.round_trip({"type": "pv64", "memory": 1200, "p2m": p2m, "ballooned": 950})

    def test_p2m_beyond_memory(self):
        """Entries for memory that may be added later; one page stands for all that are missing."""
        for kind, p2m, slack in itertools.product(("pv64", "pv32"), ("linear", "tree"),
                                                  (100, 3000, 2000000)):
            with self.subTest(kind=kind, p2m=p2m, slack=slack):
                self.round_trip({"type": kind, "memory": 8, "p2m": p2m, "p2m_slack": slack})

    def test_grant_table_by_the_older_way(self):
        for kind in ("pv64", "pv32"):
            with self.subTest(kind=kind):
                self.round_trip({"type": kind, "memory": 8}, no_resource=True)

    def test_to_another_host(self):
        here, there, image = self.host(), self.host(scatter=True, frames=300000), self.image()
        guest = {"type": "pv64", "memory": 16, "ballooned": 50}
        saved = here.build(**guest)
        self.save("stock", here, saved, image)
        restored = self.restore("stock", there, image, guest)
        self.assertEqual(here.compare(saved, there, restored), "same")

    def test_results_are_frames(self):
        host, image = self.host(), self.image()
        guest = {"type": "pv64", "memory": 8}
        self.save("stock", host, host.build(**guest), image)
        image.seek(0)
        restored = host.new(type="pv", memory=8)
        outcome = sim.restore(sim.helper("stock"), host, restored, image)
        self.assertEqual(outcome.results, tuple(host.frame(restored, pfn)["mfn"]
                                                for pfn in (STORE, CONSOLE)))

    def test_live(self):
        for kind in ("pv64", "pv32"):
            with self.subTest(kind=kind):
                host, image = self.host(), self.image()
                guest = {"type": kind, "memory": 24, "ballooned": 50}
                saved = host.build(**guest)
                program = host.start_guest(saved, working_set=3000)
                self.save("stock", host, saved, image, flags=LIVE)
                self.assertGreater(int(program.communicate()[0]), 0)
                restored = self.restore("stock", host, image, guest)
                self.assertEqual(host.compare(saved, host, restored), "same")
                self.assertEqual(host.show(saved)["log_dirty"], 0)


@needs_stock
class Differences(PvCase):
    """What is not as it was is noticed, and named."""

    def setUp(self):
        self.sim_host, self.saved, self.restored = self.round_trip({"type": "pv64", "memory": 8})

    def found(self, what, offset, word=0x1234567890ABCDEF):
        self.sim_host.poke(self.restored, what, offset, word)
        return self.sim_host.compare(self.saved, self.sim_host, self.restored)

    def test_page(self):
        self.assertEqual(self.found(5, 80), "pfn 0x5 differs from octet 80 on")

    def test_page_table(self):
        pfn = self.tables(self.sim_host, self.restored, 1)[0]
        self.assertIn(f"entry 7 of pfn {pfn:#x}, an L1, is 0x1234567890abcdef, was ",
                      self.found(pfn, 56))

    def test_xens_own_entry(self):
        pfn = self.tables(self.sim_host, self.restored, 4)[0]
        self.assertIn(f"entry 258 of pfn {pfn:#x}, an L4, is ", self.found(pfn, 258 * 8))

    def test_page_table_names_another_page(self):
        pfn = self.tables(self.sim_host, self.restored, 4)[0]
        other = self.sim_host.frame(self.restored, 1)["mfn"]
        self.assertIn(f"entry 272 of pfn {pfn:#x}, an L4, is ",
                      self.found(pfn, 272 * 8, other << 12 | 0x67))

    def test_p2m(self):
        self.assertIn("the p2m's entry of pfn 0x604 is ", self.found(FIRST_GDT + 2, 32))

    def test_start_info(self):
        self.assertEqual(self.found(START_INFO, 2000),
                         "the start info, pfn 0x20 differs from octet 2000 on")
        self.assertIn("the start info's nr_pages is 0x77, not 0x800",
                      self.found(START_INFO, 32, 0x77))

    def test_shared_info(self):
        self.assertIn(" differs from octet 16 on", self.found("shared", 16))

    def test_pending_event(self):
        self.assertIn(" differs from octet 2056 on", self.found("shared", 2056))

    def test_vcpu(self):
        self.assertEqual(self.found("vcpu0", 64),
                         "the context of vcpu 0 differs from octet 64 on")

    def test_frames_of_a_vcpu(self):
        other = self.sim_host.frame(self.restored, 1)["mfn"]
        gdt_frames, cr3 = 4832, 5008  # in vcpu_guest_context, xen/arch-x86/xen.h
        self.assertEqual(self.found("vcpu0", gdt_frames, other), "vcpu 0 has its GDT elsewhere")
        self.assertIn("vcpu 0 has its page tables at pfn 0x1 and ",
                      self.found("vcpu0", cr3, other << 12))

    def test_pin(self):
        pfn = self.tables(self.sim_host, self.restored, 4)[0]
        self.assertEqual(self.sim_host.pin(self.restored, pfn, 0), "")
        self.assertIn(f"pfn {pfn:#x} is of type 4 with 1 uses, was 4 with 2 uses, pinned",
                      self.sim_host.compare(self.saved, self.sim_host, self.restored))

    def test_other_guest(self):
        for kind in ("pv64", "pv32"):
            other = self.sim_host.build(type=kind, memory=8, seed=9)
            self.assertNotEqual(self.sim_host.compare(self.saved, self.sim_host, other), "same")


class AsBuilt(PvCase):
    def test_check(self):
        for kind, p2m in itertools.product(("pv64", "pv32"), ("linear", "tree")):
            with self.subTest(kind=kind, p2m=p2m):
                host = self.host()
                guest = host.build(type=kind, memory=8, p2m=p2m, vcpus=3)
                self.assertEqual(host.check(guest), "same")
                host.suspend(guest)
                # The rings' frames are pfns now.
                self.assertIn("pfn 0x20 differs", host.check(guest))
                host.resume(guest)
                self.assertEqual(host.check(guest), "same")

    def test_a_write_is_seen(self):
        host = self.host()
        guest = host.build(type="pv64", memory=8)
        host.start_guest(guest, working_set=1, seconds=0.01).communicate()
        self.assertEqual(host.check(guest), "pfn 0 differs from octet 16 on")

    def test_frames_come_back(self):
        host = self.host()
        before = host.stats()["free_frames"]
        host.destroy(host.build(type="pv32", memory=16, ballooned=100))
        self.assertEqual(host.stats()["free_frames"], before)


class PageTypes(PvCase):
    """Xen's rules for page tables, on pages at the end of memory that are mapped nowhere."""

    def setUp(self):
        self.sim_host = self.host()
        self.guest = self.sim_host.build(type="pv64", memory=8, plain=1000)
        self.scratch = self.blank_pages(self.guest, 3)

    def blank_pages(self, guest, count):
        """Pages without a present entry, of no type."""
        found = []
        for pfn in range(8 * 256 - 1, 0, -1):
            if len(found) == count:
                break
            if self.sim_host.frame(guest, pfn)["uses"] == 0 and not self.pin(pfn, 1, guest):
                self.assertEqual(self.pin(pfn, 0, guest), "")
                found.append(pfn)
        return found

    def pin(self, pfn, level, guest=None):
        return self.sim_host.pin(guest or self.guest, pfn, level)

    def mfn(self, pfn, guest=None):
        return self.sim_host.frame(guest or self.guest, pfn)["mfn"]

    def entry(self, table, target_mfn, flags, slot=0):
        self.sim_host.poke(self.guest, table, 8 * slot, target_mfn << 12 | flags)

    def test_own_page_for_reading(self):
        self.entry(self.scratch[0], self.mfn(5), PRESENT)
        self.assertEqual(self.pin(self.scratch[0], 1), "")
        self.assertEqual(self.sim_host.frame(self.guest, self.scratch[0]),
                         {"mfn": self.mfn(self.scratch[0]), "level": 1, "pinned": 1, "uses": 1})

    def test_frame_of_another_domain(self):
        other = self.sim_host.build(type="pv64", memory=8)
        self.entry(self.scratch[0], self.mfn(5, other), PRESENT)
        self.assertIn("is not domain 1's", self.pin(self.scratch[0], 1))

    def test_no_frame(self):
        self.entry(self.scratch[0], 1 << 30, PRESENT)
        self.assertIn("is not domain 1's", self.pin(self.scratch[0], 1))

    def test_reserved_bits(self):
        for bit in (47, 53, 62):
            self.entry(self.scratch[0], self.mfn(5) | 1 << bit - 12, PRESENT)
            self.assertIn("reserved bits", self.pin(self.scratch[0], 1))

    def test_superpage(self):
        self.entry(self.scratch[0], self.mfn(self.scratch[1]), PRESENT | PSE)
        for level in (2, 3, 4):
            self.assertIn("superpage", self.pin(self.scratch[0], level))
        self.assertEqual(self.pin(self.scratch[0], 1), "")

    def test_writable_page_table(self):
        table = self.tables(self.sim_host, self.guest, 1)[0]
        self.entry(self.scratch[0], self.mfn(table), PRESENT | WRITABLE)
        self.assertIn("is in use as type 1 and wanted as 5", self.pin(self.scratch[0], 1))
        self.entry(self.scratch[0], self.mfn(table), PRESENT)
        self.assertEqual(self.pin(self.scratch[0], 1), "")

    def test_page_table_that_is_writable(self):
        self.entry(self.scratch[0], self.mfn(self.scratch[1]), PRESENT | WRITABLE)
        self.assertEqual(self.pin(self.scratch[0], 1), "")
        self.assertIn("is in use as type 5 and wanted as 1", self.pin(self.scratch[1], 1))
        self.assertEqual(self.pin(self.scratch[0], 0), "")
        self.assertEqual(self.pin(self.scratch[1], 1), "")

    def test_wrong_type(self):
        self.assertIn("is in use as type 1 and wanted as 2",
                      self.pin(self.tables(self.sim_host, self.guest, 1)[0], 2))
        self.entry(self.scratch[0], self.mfn(self.tables(self.sim_host, self.guest, 3)[0]), PRESENT)
        self.assertIn("is in use as type 3 and wanted as 1", self.pin(self.scratch[0], 2))

    def test_pins(self):
        self.assertEqual(self.pin(self.scratch[0], 1), "")
        self.assertIn("is pinned already", self.pin(self.scratch[0], 1))
        self.assertEqual(self.pin(self.scratch[0], 0), "")
        self.assertIn("is not pinned", self.pin(self.scratch[0], 0))

    def test_tables_below(self):
        top, first, second = self.scratch
        self.entry(top, self.mfn(first), PRESENT)
        self.entry(top, self.mfn(first), PRESENT, slot=9)
        self.entry(top, self.mfn(second), PRESENT, slot=10)
        self.entry(second, 1 << 30, PRESENT)
        # A wrong entry further down: nothing of it stays.
        self.assertIn("entry 10", self.pin(top, 2))
        self.assertEqual([self.sim_host.frame(self.guest, pfn)["uses"] for pfn in self.scratch],
                         [0, 0, 0])
        self.entry(second, 0, 0)
        self.assertEqual(self.pin(top, 2), "")
        self.assertEqual([self.sim_host.frame(self.guest, pfn)["uses"] for pfn in self.scratch],
                         [1, 2, 1])
        self.assertEqual(self.pin(top, 0), "")
        self.assertEqual([self.sim_host.frame(self.guest, pfn)["level"] for pfn in self.scratch],
                         [0, 0, 0])

    def test_32_bit(self):
        guest = self.sim_host.build(type="pv32", memory=8, plain=1000)
        (scratch,) = self.blank_pages(guest, 1)
        self.assertIn("has no L4", self.pin(scratch, 4, guest))
        self.assertIn("has no top slot", self.pin(scratch, 3, guest))
        top = self.tables(self.sim_host, guest, 2)
        shared = [pfn for pfn in top if self.sim_host.frame(guest, pfn)["uses"] == 1]
        for pfn in shared:
            self.sim_host.poke(guest, scratch, 24, self.mfn(pfn, guest) << 12 | PRESENT)
            self.assertNotEqual(self.pin(scratch, 3, guest), "")

    @needs_stock
    def test_corrupt_table_in_a_restore(self):
        image = self.image()
        table = self.tables(self.sim_host, self.guest, 1)[-1]
        self.sim_host.poke(self.guest, table, 0, self.mfn(5) << 12 | 1 << 53 | PRESENT)
        self.save("stock", self.sim_host, self.guest, image)
        image.seek(0)
        restored = self.sim_host.new(type="pv", memory=8)
        outcome = sim.restore(sim.helper("stock"), self.sim_host, restored, image)
        self.assertFalse(outcome.ok)
        self.assertIn("reserved bits are set", outcome.stderr)
        self.assertIn("(22 = Invalid argument)", outcome.errors)


class Mappings(PvCase):
    """What a toolstack can map of a PV domain: frames, by their numbers."""

    READ, WRITE = 1, 2  # PROT_*

    def in_process(self, host, work):
        """What work() returns, in a process of its own that uses the host."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.environ["XENSIM_HOST"] = host.dir
            xen = ctypes.CDLL(sim.library())
            for name in ("xenforeignmemory_open", "xenforeignmemory_map", "xencall_open",
                         "xencall_alloc_buffer"):
                getattr(xen, name).restype = ctypes.c_void_p
            os.write(writing, json.dumps(work(xen)).encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(pid, 0)
        with os.fdopen(reading) as answer:
            return json.loads(answer.read())

    def map_frames(self, host, *attempts):
        """Map single frames, each given as (domid, prot, mfn): the first 8 octets of each, None
        for those that are refused."""
        def work(xen):
            handle = ctypes.c_void_p(xen.xenforeignmemory_open(None, 0))
            pages = [xen.xenforeignmemory_map(handle, domid, prot, ctypes.c_size_t(1),
                                              (ctypes.c_ulong * 1)(mfn), None)
                     for domid, prot, mfn in attempts]
            return [ctypes.c_uint64.from_address(page).value if page else None for page in pages]
        return self.in_process(host, work)

    def test_frames(self):
        host = self.host()
        first, second = (host.build(type="pv64", memory=8, seed=seed) for seed in (1, 2))
        plain, table = (host.frame(first, pfn)["mfn"]
                        for pfn in (5, self.tables(host, first, 1)[0]))
        gdt = host.frame(first, FIRST_GDT)["mfn"]
        host.poke(first, 5, 0, 77)
        words = self.map_frames(host, (first, self.READ, plain), (first, self.WRITE, plain),
                                (second, self.READ, plain), (first, self.READ, table),
                                (first, self.WRITE, table), (first, self.WRITE, gdt),
                                (first, self.READ, 1 << 40))
        self.assertEqual(words[0], 77)
        self.assertEqual([word is not None for word in words],
                         [True, True, False, True, False, False, False])

    def test_writable_mapping_of_a_page_table_to_be(self):
        host = self.host()
        guest = host.build(type="pv64", memory=8, plain=1000)
        table = next(pfn for pfn in range(2047, 0, -1) if host.frame(guest, pfn)["uses"] == 0)
        mfn = host.frame(guest, table)["mfn"]

        def work(xen):
            memory = ctypes.c_void_p(xen.xenforeignmemory_open(None, 0))
            call = ctypes.c_void_p(xen.xencall_open(None, 0))
            buffer = xen.xencall_alloc_buffer(call, ctypes.c_size_t(24))
            page = xen.xenforeignmemory_map(memory, guest, self.READ | self.WRITE,
                                            ctypes.c_size_t(1), (ctypes.c_ulong * 1)(mfn), None)
            ctypes.memset(page, 0, 4096)
            results = []
            ctypes.memmove(buffer, struct.pack("<IxxxxQQ", 0, mfn, 0), 24)  # MMUEXT_PIN_L1_TABLE
            pin = (call, 26, *map(ctypes.c_uint64, (buffer, 1, 0, guest)))
            results.append(xen.xencall4(*pin))
            xen.xenforeignmemory_unmap(memory, ctypes.c_void_p(page), ctypes.c_size_t(1))
            results.append(xen.xencall4(*pin))
            return results
        # First while it is mapped, then when it no longer is.
        self.assertEqual(self.in_process(host, work), [-1, 0])
        self.assertEqual(host.frame(guest, table)["level"], 1)

    def test_m2p(self):
        host = self.host(frames=300000)
        guest = host.build(type="pv64", memory=8)
        mfn = host.frame(guest, 5)["mfn"]
        entry = mfn - mfn % 512
        (pfn,) = [pfn for pfn in range(2048) if host.frame(guest, pfn)["mfn"] == entry]
        m2p = -(-300000 // 512) * 512
        self.assertEqual(
            self.map_frames(host, (DOMID_XEN, self.READ, m2p + mfn // 512),
                            (DOMID_XEN, self.READ | self.WRITE, m2p),
                            (DOMID_XEN, self.READ, m2p + 1024), (DOMID_XEN, self.READ, 1)),
            [pfn, None, None, None])


if __name__ == "__main__":
    sim_case.main()
