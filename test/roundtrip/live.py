# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live saves: the guest writes, and changes its layout, while it is sent; what is restored is what
it was when it was suspended. Whatever goes wrong, it can go on afterwards without log-dirty."""

import errno
import itertools
import os
import threading

import sim
import sim_case
from sim_case import SimCase, needs_stock
from stream_edit import PAGE, PAGE_DATA, PFN_MASK, VERIFY, Stream

LIVE = 1  # XCFLAGS_LIVE
KINDS = ("hvm", "pvh", "pv64", "pv32")
FRESH = 0xff005  # a gfn above all that an HVM guest was built with
HELPERS = ("xensr", "stock")
FIRST_TABLE = 0x23  # pfns: test/sim/guest_pv_layout.c
# p2m_generation in a shared_info (xen/xen.h, xen/arch-x86/xen.h)
GENERATION = {"pv64": 2048 + 1024 + 16 + 5 * 8, "pv32": 2048 + 256 + 12 + 5 * 4}


def is_pv(kind):
    return kind in ("pv64", "pv32")


class LiveCase(SimCase):
    GUEST = {"memory": 16, "ballooned": 50}
    RUN = {"working_set": 2000}

    def start(self, kind, run=None, **guest):
        """A guest that is writing, on a host of its own."""
        self.sim_host, self.stream = self.host(), self.image()
        self.options = dict(self.GUEST, type=kind, **guest)
        self.guest = self.sim_host.build(**self.options)
        self.program = None
        if run is not None:
            self.program = self.sim_host.start_guest(self.guest, through_suspends=True, **run)
            self.sim_host.await_writes(self.guest)

    def suspend(self):
        """As the toolstack's callback does it; what the guest was then is kept."""
        suspended = self.sim_host.suspend(self.guest)
        self.snapshot = self.enterContext(self.sim_host.snapshot())
        return int(suspended)

    def attempt(self, saver, stream=None, answers=None, **options):
        return sim.save(sim.helper(saver), self.sim_host, self.guest,
                        self.stream if stream is None else stream, flags=LIVE,
                        answers=dict({"suspend": self.suspend}, **(answers or {})), **options)

    def hooks(self, *lines):
        return {"XENSIM_HOOK": "\n".join(lines)}

    def words(self, command, *arguments):
        return self.sim_host.words(command, self.guest, *arguments)

    def assert_goes_on(self):
        """The guest can be resumed and writes, unlogged."""
        state = self.sim_host.show(self.guest)
        self.assertEqual(state["log_dirty"], 0, "log-dirty mode is still on")
        if state["shutdown"]:
            self.assertTrue(self.sim_host.resume(self.guest))
        if self.program:
            self.assertIsNone(self.program.poll())
            self.sim_host.await_writes(self.guest)

    def assert_no_harm(self, saver):
        self.assert_goes_on()
        if saver == "xensr":
            self.assert_nothing_left(self.sim_host)

    def assert_told_qemu(self, outcome):
        """HVM: log-dirty went on and off again."""
        told = [call for call in outcome.calls if call[0] == "switch_qemu_logdirty"]
        wanted = [] if is_pv(self.options["type"]) else [
            ("switch_qemu_logdirty", self.guest, enable) for enable in (1, 0)]
        self.assertEqual(told, wanted)

    def assert_restores(self, restorer, gone=()):
        """Restored, it is what the guest was; but for pages that are `gone` since they were sent:
        stock does not take back what it has populated."""
        restored = self.restore(restorer, self.sim_host, self.stream, self.options)
        verdict = self.snapshot.compare(self.guest, self.sim_host, restored)
        if restorer == "stock" and verdict.endswith(" is there and was not"):
            self.assertIn(int(verdict.split()[1], 16), gone)
        else:
            self.assertEqual(verdict, "same", f"restored by {restorer}")
        self.sim_host.destroy(restored)

    def assert_saved(self, saver, restorers=HELPERS, gone=(), **options):
        outcome = self.attempt(saver, **options)
        self.assertTrue(outcome.ok, f"save with {saver}: {outcome.errors}")
        self.assert_told_qemu(outcome)
        self.assertTrue(self.sim_host.show(self.guest)["logged_before"])
        for restorer in restorers:
            if restorer == "xensr" or sim.have_stock():
                self.assert_restores(restorer, gone)
        return outcome


class BusyGuests(LiveCase):
    def each(self, saver):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind, self.RUN)
                outcome = self.assert_saved(saver)
                self.assertEqual([call[0] for call in outcome.calls if call[0] == "suspend"],
                                 ["suspend"])
                self.assert_no_harm(saver)

    def test_saved_by_xensr(self):
        self.each("xensr")

    @needs_stock
    def test_saved_by_stock(self):
        self.each("stock")

    def test_writes_all_over_memory(self):
        for kind in ("hvm", "pv64"):
            with self.subTest(kind=kind):
                self.start(kind, {"stride": 1021})
                self.assert_saved("xensr")
                self.assert_no_harm("xensr")

    def test_with_a_rate(self):
        for kind in ("pvh", "pv32"):
            with self.subTest(kind=kind):
                self.start(kind, {"rate": 20000, "working_set": 700})
                self.assert_saved("xensr")
                self.assert_no_harm("xensr")

    def test_idle(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                self.assert_saved("xensr")
                self.assert_guest_unharmed(self.sim_host, self.guest)
                self.assert_nothing_left(self.sim_host)

    def test_video_ram_tracking_in_the_way(self):
        self.start("hvm", self.RUN, vram_tracked=True)
        self.assert_saved("xensr")
        self.assert_no_harm("xensr")

    def test_saved_twice(self):
        self.start("pvh", self.RUN)
        for _ in range(2):
            self.stream.seek(0)
            self.stream.truncate()
            self.assert_saved("xensr")
            self.assert_no_harm("xensr")

    def test_scattered_frames(self):
        for kind in ("hvm", "pv64"):
            with self.subTest(kind=kind):
                host = self.host
                self.host = lambda: host(scatter=True, refuse_order=8)
                try:
                    self.start(kind, self.RUN)
                finally:
                    del self.host
                self.assert_saved("xensr")

    def test_progress(self):
        """Of each thing that is done: from 0 on, never back, never beyond the total, and counted
        in pages and not in address space."""
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind, self.RUN)
                outcome = self.assert_saved("xensr", restorers=())
                pages = self.sim_host.show(self.guest)["tot_pages"]
                self.assertTrue(outcome.progress)
                for what, steps in itertools.groupby(outcome.progress, lambda step: step[0]):
                    steps = list(steps)
                    done = [step[1] for step in steps]
                    self.assertEqual(done[0], 0, what)
                    self.assertEqual(done, sorted(done), what)
                    for step in steps:
                        self.assertLessEqual(step[1], step[2], what)
                        self.assertLessEqual(step[2], pages + 64, what)


class SparseGuest(LiveCase):
    """A p2m that spans 1 TiB, and a thousand pages."""

    def test_live(self):
        self.sim_host, self.stream = self.host(), self.image()
        self.options = {"type": "pvh", "pages": 1000}
        self.guest = self.sim_host.build(sparse_top=(1 << 28) - 1, **self.options)
        self.program = self.sim_host.start_guest(self.guest, through_suspends=True,
                                                 working_set=500)
        self.sim_host.await_writes(self.guest)
        self.assert_saved("xensr", restorers=("xensr",))
        self.assert_no_harm("xensr")


class Failures(LiveCase):
    """What a save that fails leaves behind."""

    def failed(self, outcome, told=True):
        self.assert_failed_clearly(outcome)
        if told:
            self.assert_told_qemu(outcome)
        self.assert_no_harm("xensr")

    def test_cancelled(self):
        for kind, name in (("hvm", "switch_qemu_logdirty"), ("hvm", "suspend"),
                           ("pvh", "suspend"), ("pv64", "suspend")):
            with self.subTest(kind=kind, callback=name):
                self.start(kind, self.RUN)
                outcome = self.attempt("xensr", cancel_at=name)
                self.failed(outcome)
                self.assertEqual((outcome.status, outcome.complete), (0, (-1, errno.ECANCELED)))

    def test_cancelled_between_hypercalls(self):
        for kind, moment in itertools.product(("hvm", "pv64"), (
                ("enable", 1), ("getpageframeinfo3", 1), ("map", 2), ("clean", 1), ("clean", 2))):
            with self.subTest(kind=kind, moment=moment):
                self.start(kind, self.RUN)
                outcome = self.attempt("xensr", env=self.hooks(
                    sim.hook(*moment, "kill -TERM $PPID")))
                surveyed = moment != ("getpageframeinfo3", 1)  # before that nothing is logged yet
                self.failed(outcome, told=surveyed)
                if not surveyed:
                    self.assertEqual(outcome.calls, [])
                self.assertEqual(outcome.complete, (-1, errno.ECANCELED))

    def test_toolstack_vanishes(self):
        for kind, name in (("hvm", "switch_qemu_logdirty"), ("hvm", "suspend"),
                           ("pv64", "suspend")):
            with self.subTest(kind=kind, callback=name):
                self.start(kind, self.RUN)
                outcome = self.attempt("xensr", vanish_at=name)
                self.assertGreater(outcome.status, 0)
                self.assert_no_harm("xensr")

    def test_disk_full(self):
        for kind in ("hvm", "pv64"):
            with self.subTest(kind=kind), open("/dev/full", "wb") as full:
                self.start(kind, self.RUN)
                outcome = self.attempt("xensr", stream=full)
                # So early that a PV save has not begun to log.
                self.failed(outcome, told=False)
                self.assertEqual(outcome.complete, (-1, errno.ENOSPC))

    def test_pipe_closed(self):
        """At the start, within the first round, in a later one."""
        for kind, share in itertools.product(("hvm", "pv64"), (0.0, 0.5, 1.1)):
            with self.subTest(kind=kind, share=share):
                self.start(kind, self.RUN)
                octets = int(share * self.options["memory"] * 1048576)
                reading, writing = os.pipe()

                def read(left=octets, fd=reading):
                    while left > 0:
                        left -= len(os.read(fd, min(left, 65536)))
                    os.close(fd)

                reader = threading.Thread(target=read)
                reader.start()
                try:
                    outcome = self.attempt("xensr", stream=writing)
                finally:
                    os.close(writing)
                    reader.join()
                self.failed(outcome, told=False)
                self.assertEqual(outcome.complete, (-1, errno.EPIPE))

    def test_suspend_refused(self):
        for kind, answer in (("hvm", 0), ("pv64", 0)):
            with self.subTest(kind=kind):
                self.start(kind, self.RUN)
                outcome = self.attempt("xensr", answers={"suspend": answer})
                self.failed(outcome)
                self.assertIn("did not suspend domain 1", outcome.errors)

    def test_suspend_not_done(self):
        self.start("hvm", self.RUN)
        outcome = self.attempt("xensr", answers={"suspend": 1})
        self.failed(outcome)
        self.assertIn("domain 1 is still running after the suspend", outcome.errors)

    def test_qemu_refuses(self):
        self.start("hvm", self.RUN)
        outcome = self.attempt("xensr", answers={"switch_qemu_logdirty": -1})
        self.failed(outcome, told=False)

    def test_no_qemu_callback(self):
        self.start("hvm", self.RUN)
        outcome = self.attempt("xensr", callbacks=("suspend",))
        self.failed(outcome, told=False)

    def test_log_dirty_refused_for_good(self):
        self.start("hvm", self.RUN)
        self.sim_host.log_dirty(self.guest)  # somebody else's
        outcome = self.attempt("xensr")
        # Taken over, as stock does: off and on again.
        self.assertTrue(outcome.ok, outcome.errors)
        self.assert_no_harm("xensr")


class Precopy(LiveCase):
    """When the guest is paused: the options of our helper."""

    def rounds(self, saver, env=None):
        """How often the dirty bitmap was cleaned while a guest dirtied some pages each time."""
        self.start("pvh")
        lines = [sim.hook("clean", n, self.words("write", "0-199")) for n in range(1, 9)]
        self.assert_saved(saver, env=dict(self.hooks(*lines), **(env or {})))
        return self.sim_host.stats()["hooks_run"]

    @needs_stock
    def test_as_stock(self):
        self.assertEqual(self.rounds("xensr", {"XENSR_PRECOPY": "stock"}), self.rounds("stock"))

    def test_iterations(self):
        few, more = (self.rounds("xensr", {"XENSR_MAX_ITERATIONS": n, "XENSR_PRECOPY": policy,
                                           "XENSR_DOWNTIME_TARGET_MS": 1})
                     for n, policy in ((1, "target"), (1, "stock")))
        self.assertLessEqual(few, more)

    def test_too_busy(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.start(kind)
                written = self.words("write", "500-2499")
                lines = [sim.hook("enable", 1, written),
                         *(sim.hook("clean", n, written) for n in range(1, 4))]
                outcome = self.attempt("xensr", env=dict(self.hooks(*lines), **{
                    "XENSR_ABORT_IF_BUSY": 1, "XENSR_DOWNTIME_TARGET_MS": 1,
                    "XENSR_MAX_ITERATIONS": 3}))
                self.assert_failed_clearly(outcome)
                self.assertEqual(outcome.complete, (-1, errno.EBUSY))
                self.assertIn("domain 1 is too busy", outcome.errors)
                self.assertNotIn("suspend", [call[0] for call in outcome.calls])
                self.assert_told_qemu(outcome)
                self.assert_no_harm("xensr")

    def test_not_too_busy(self):
        self.start("pvh")
        self.assert_saved("xensr", env={"XENSR_ABORT_IF_BUSY": 1})

    def test_options_that_are_none(self):
        for name in ("XENSR_MAX_ITERATIONS", "XENSR_DOWNTIME_TARGET_MS"):
            with self.subTest(option=name):
                self.start("pvh")
                outcome = self.attempt("xensr", env={name: "many"})
                self.assert_failed_clearly(outcome)
                self.assertIn(name, outcome.errors)


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


class Verify(LiveCase):
    """XCFLAGS_DEBUG: all of it is sent again to be compared."""

    GUEST = {"memory": 8}
    DEBUG = 2

    def verified(self, saver, kind, flags, run=None):
        self.start(kind, run)
        outcome = sim.save(sim.helper(saver), self.sim_host, self.guest, self.stream, flags=flags,
                           answers={"suspend": self.suspend})
        self.assertTrue(outcome.ok, outcome.errors)
        self.assertEqual(self.sim_host.show(self.guest)["log_dirty"], 0)
        return outcome

    def test_pairings(self):
        for saver, kind, flags in itertools.product(HELPERS, KINDS,
                                                    (self.DEBUG, self.DEBUG | LIVE)):
            if saver == "stock" and not sim.have_stock():
                continue
            with self.subTest(saver=saver, kind=kind, flags=flags):
                self.verified(saver, kind, flags, self.RUN if flags & LIVE else None)
                for restorer in HELPERS:
                    if restorer == "xensr" or sim.have_stock():
                        self.assert_restores(restorer)
                self.assert_no_harm(saver)

    def damaged(self, kind, pfns):
        """A stream in whose verify part the contents of some pages are others."""
        self.verified("xensr", kind, self.DEBUG | LIVE)
        self.stream.seek(0)
        stream = Stream(self.stream.read())
        verify = [record.kind for record in stream.records].index(VERIFY)
        damaged = set()
        for record in stream.records[verify:]:
            if record.kind != PAGE_DATA:
                continue
            page = 8 + 8 * record.get("I", 0)
            for entry in range(8, 8 + 8 * record.get("I", 0), 8):
                value = record.get("Q", entry)
                if value & PFN_MASK in pfns:
                    record.put("Q", page + 80, record.get("Q", page + 80) ^ 0x100)
                    damaged.add(value & PFN_MASK)
                page += PAGE if value >> 60 < 0xd else 0
        self.assertEqual(damaged, set(pfns))
        self.stream.seek(0)
        self.stream.write(stream.octets())
        self.stream.truncate()

    def test_differences(self):
        for kind, pfns in itertools.product(KINDS, ([5], [5, 19, 1800])):
            with self.subTest(kind=kind, pfns=pfns):
                self.damaged(kind, pfns)
                self.stream.seek(0)
                target = self.sim_host.new(memory=8, type="pv" if is_pv(kind) else "hvm")
                outcome = sim.restore(sim.helper("xensr"), self.sim_host, target, self.stream)
                self.assert_failed_clearly(outcome)
                self.assertRegex(outcome.errors, rf"verify data: {len(pfns)} of [0-9]+ pages "
                                                 rf"differ: pfn {pfns[0]:#x}")
                self.assert_nothing_left(self.sim_host)

    def test_differences_tolerated(self):
        self.damaged("hvm", [5])
        self.stream.seek(0)
        target = self.sim_host.new(memory=8)
        outcome = sim.restore(sim.helper("xensr"), self.sim_host, target, self.stream,
                              env={"XENSR_VERIFY": "warn"})
        self.assertTrue(outcome.ok, outcome.errors)
        self.assertRegex(outcome.errors, "verify data: 1 of [0-9]+ pages differ: pfn 0x5")
        self.assertEqual(self.snapshot.compare(self.guest, self.sim_host, target), "same")


if __name__ == "__main__":
    sim_case.main()
