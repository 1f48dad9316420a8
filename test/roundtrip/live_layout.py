# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live saves of a guest that changes its layout while it is sent: balloons, or changes its p2m and
its page tables."""

import itertools
import threading

import sim
import sim_case
from live_case import HELPERS, KINDS, LiveCase
from sim_case import needs_stock

FRESH = 0xff005  # a gfn above all that an HVM guest was built with
FIRST_TABLE = 0x23  # pfns: test/sim/guest_pv_layout.c
# p2m_generation in a shared_info (xen/xen.h, xen/arch-x86/xen.h)
GENERATION = {"pv64": 2048 + 1024 + 16 + 5 * 8, "pv32": 2048 + 256 + 12 + 5 * 4}


class Ballooning(LiveCase):
    """The guest's layout changes while it is saved."""

    GUEST = {"memory": 8}

    def hole(self):
        """A pfn that is data and not there."""
        self.sim_host.balloon(self.guest, out=[700])
        return 700

    def saved_with(self, saver, *lines, **options):
        self.assert_saved(saver, env=self.hooks(*lines), **options)
        stats = self.sim_host.stats()
        self.assertEqual(stats["hooks_run"], len(lines))
        self.assert_no_harm(saver)

    def test_out_between_type_and_mapping(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                self.saved_with("xensr", sim.hook("getpageframeinfo3", 1,
                                                  self.words("balloon", "out", "700,703-705")))

    def test_out_between_type_and_mapping_in_a_later_round(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                written = self.words("write", "600-799")
                self.saved_with("xensr", sim.hook("enable", 1, written),
                                sim.hook("clean", 1, written,
                                         self.words("balloon", "out", "700,703-705")),
                                gone=(700, 703, 704, 705))

    def test_out_after_it_was_sent(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                self.saved_with("xensr", sim.hook("clean", 1, self.words("balloon", "out", 700)),
                                gone=[700])

    def test_out_just_before_the_suspend(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)

                def suspend():
                    self.sim_host.balloon(self.guest, out=[7, 1500])
                    return self.suspend()
                self.assert_saved("xensr", answers={"suspend": suspend}, gone=(7, 1500))
                self.assert_no_harm("xensr")

    def test_out_and_in_again(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                self.saved_with("xensr",
                                sim.hook("getpageframeinfo3", 1, self.words("balloon", "out", 700)),
                                sim.hook("clean", 1, self.words("balloon", "in", 700),
                                         self.words("write", 700)))

    def test_in_and_written_again_when_it_has_been_sent(self):
        """Until the next cleaning its writes are not logged: it has to go out in the pause again."""
        self.start("pvh")
        self.hole()

        def suspend():
            self.sim_host.write(self.guest, [700])
            return self.suspend()
        self.saved_with("xensr", sim.hook("clean", 1, self.words("balloon", "in", 700),
                                          self.words("write", 700)),
                        answers={"suspend": suspend})

    def test_in_before_it_is_looked_at_and_written_after(self):
        self.start("pvh")
        self.hole()
        self.saved_with("xensr", sim.hook("enable", 1, self.words("balloon", "in", 700),
                                          self.words("write", 700)),
                        sim.hook("getpageframeinfo3", 1030, self.words("write", 700)))

    def test_one_given_back_and_one_got_far_away_in_the_first_round(self):
        """Behind the round's back: the number of pages is what it was."""
        self.start("pvh")
        far = 0x40000
        self.saved_with("xensr",
                        sim.hook("getpageframeinfo3", 1420, self.words("balloon", "out", 700),
                                 self.words("balloon", "in", far), self.words("write", far)),
                        sim.hook("clean", 1, self.words("write", "0-99")), gone=[700])

    def test_many_got_by_a_guest_that_has_all_it_may_have(self):
        """What it gave back has to go before it can have others."""
        self.start("pvh")
        far = f"{0x40000}-{0x40000 + 1199}"
        self.saved_with("xensr", sim.hook("clean", 1, self.words("balloon", "out", "700-1999"),
                                          self.words("balloon", "in", far),
                                          self.words("write", far)), restorers=("xensr",))

    def test_in(self):
        """Written to before the next cleaning: nothing says so but the page's being there."""
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                hole = self.hole()
                self.saved_with("xensr", sim.hook("clean", 1, self.words("balloon", "in", hole),
                                                  self.words("write", hole)))

    def test_in_and_written_to_later(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                hole = self.hole()
                self.saved_with("xensr",
                                sim.hook("enable", 1, self.words("write", "0-99")),
                                sim.hook("clean", 1, self.words("balloon", "in", hole)),
                                sim.hook("clean", 2, self.words("write", hole)))

    def test_replaced(self):
        """Sent, given back, and another got in its place: what was sent is not what is there.
        Of an HVM guest nothing tells that, if nobody looks in between and nothing is logged."""
        for kind in ("pv64", "pv32"):
            with self.subTest(kind=kind):
                self.start(kind)
                self.saved_with("xensr", sim.hook("clean", 1, self.words("balloon", "out", 700),
                                                  self.words("balloon", "in", 700),
                                                  self.words("write", 700)))

    def test_out_and_another_in(self):
        """The domain has as many pages as before, and they are others."""
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                hole = self.hole()
                self.saved_with("xensr", sim.hook("clean", 1, self.words("balloon", "in", hole),
                                                  self.words("balloon", "out", 1500),
                                                  self.words("write", hole)), gone=[1500])

    def test_in_just_before_the_suspend(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                hole = self.hole()

                def suspend(pfn=hole):
                    self.sim_host.balloon(self.guest, in_=[pfn])
                    self.sim_host.write(self.guest, [pfn])
                    return self.suspend()
                self.assert_saved("xensr", answers={"suspend": suspend})
                self.assert_no_harm("xensr")

    def test_above_the_highest_gfn(self):
        """A gfn that was not there when the save began: sent, or a clear failure."""
        for kind, moment in itertools.product(("hvm", "pvh"), ("enable", "clean")):
            with self.subTest(kind=kind, moment=moment):
                self.start(kind)
                outcome = self.attempt("xensr", env=self.hooks(
                    sim.hook(moment, 1, self.words("balloon", "in", FRESH),
                             self.words("write", FRESH))))
                self.assertEqual(self.sim_host.stats()["hooks_run"], 1)
                if outcome.ok:
                    for restorer in HELPERS:
                        if restorer == "xensr" or sim.have_stock():
                            self.assert_restores(restorer)
                else:
                    self.assert_failed_clearly(outcome)
                    self.assertIn("pfns", outcome.errors)
                self.assert_no_harm("xensr")

    def test_all_the_time(self):
        """A guest that writes and balloons without an end. (Never one page out and in again: see
        test_replaced.)"""
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind, {"working_set": 600})
                stop = threading.Event()
                self.sim_host.balloon(self.guest, out=range(1400, 1800))

                def change():
                    for pfn in range(1000, 1400):
                        if stop.is_set():
                            break
                        self.sim_host.balloon(self.guest, out=[pfn], in_=[pfn + 400])
                        self.sim_host.write(self.guest, [pfn + 400])

                def suspend(event=stop):
                    event.set()
                    changer.join()
                    return self.suspend()
                changer = threading.Thread(target=change)
                changer.start()
                try:
                    self.assert_saved("xensr", answers={"suspend": suspend},
                                      gone=range(1000, 1400))
                finally:
                    stop.set()
                    changer.join()
                self.assert_no_harm("xensr")


class PvLayout(LiveCase):
    """A PV guest's p2m and page tables change while it is saved."""

    GUEST = {"memory": 8}

    def scratch_entry(self):
        """An L1 and the offset of an entry in it that is empty."""
        tables = [pfn for pfn in range(FIRST_TABLE, FIRST_TABLE + 60)
                  if self.sim_host.frame(self.guest, pfn)["level"] == 1]
        for table, slot in itertools.product(reversed(tables), range(500)):
            if self.sim_host.peek(self.guest, table, 8 * slot) == 0:
                return table, 8 * slot
        raise AssertionError("no empty entry")

    def foreign_entry(self):
        other = self.sim_host.build(type=self.options["type"], pages=300)
        frame = self.sim_host.frame(other, 0x80)["mfn"]
        return frame, frame << 12 | 0x61

    def change_generation(self, saver, moment):
        for kind, offset in GENERATION.items():
            with self.subTest(kind=kind, saver=saver, moment=moment):
                self.start(kind)
                was = self.sim_host.peek(self.guest, "shared", offset)
                outcome = self.attempt(saver, env=self.hooks(sim.hook(
                    *moment, self.words("poke", "shared", offset, was + 2))))
                self.assert_failed_clearly(outcome)
                self.assertEqual(self.sim_host.stats()["hooks_run"], 1)
                if saver == "xensr":
                    self.assertIn("p2m", outcome.errors)
                self.assert_no_harm(saver)

    def test_p2m_generation(self):
        for moment in (("enable", 1), ("getpageframeinfo3", 2), ("clean", 1)):
            self.change_generation("xensr", moment)

    @needs_stock
    def test_p2m_generation_with_stock(self):
        self.change_generation("stock", ("clean", 1))

    def temporary_entry(self, saver, *, at_suspend):
        for kind in ("pv64", "pv32"):
            with self.subTest(kind=kind, saver=saver):
                self.start(kind)
                table, offset = self.scratch_entry()
                _, entry = self.foreign_entry()

                def suspend():
                    if at_suspend:
                        self.sim_host.poke(self.guest, table, offset, 0, dirty=True)
                    return self.suspend()

                lines = [sim.hook("enable", 1,
                                  self.words("poke", table, offset, entry, "--dirty"))]
                if not at_suspend:
                    lines.append(sim.hook("clean", 1,
                                          self.words("poke", table, offset, 0, "--dirty")))
                self.assert_saved(saver, env=self.hooks(*lines), answers={"suspend": suspend})
                self.assert_no_harm(saver)

    def test_temporary_foreign_entry(self):
        self.temporary_entry("xensr", at_suspend=False)

    def test_foreign_entry_until_the_suspend(self):
        self.temporary_entry("xensr", at_suspend=True)

    @needs_stock
    def test_temporary_foreign_entry_with_stock(self):
        self.temporary_entry("stock", at_suspend=True)

    def test_foreign_entry_that_stays(self):
        for kind in ("pv64", "pv32"):
            with self.subTest(kind=kind):
                self.start(kind)
                table, offset = self.scratch_entry()
                frame, entry = self.foreign_entry()
                outcome = self.attempt("xensr", env=self.hooks(sim.hook(
                    "enable", 1, self.words("poke", table, offset, entry, "--dirty"))))
                self.assert_failed_clearly(outcome)
                self.assertIn(f"page table pfn {table:#x} names frame {frame:#x}, which is not "
                              f"the guest's own", outcome.errors)
                self.sim_host.poke(self.guest, table, offset, 0)
                self.assert_guest_unharmed(self.sim_host, self.guest)
                self.assert_nothing_left(self.sim_host)


if __name__ == "__main__":
    sim_case.main()
