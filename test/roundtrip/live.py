# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live saves: the guest writes while it is sent; what is restored is what it was when it was
suspended. Whatever goes wrong, it can go on afterwards without log-dirty."""

import errno
import itertools
import os
import threading

import sim
import sim_case
from live_case import KINDS, LiveCase
from sim_case import needs_stock


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


if __name__ == "__main__":
    sim_case.main()
