# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of live saves share: a guest that writes, its save, and what must be true then."""

import sim
from sim_case import SimCase

LIVE = 1  # XCFLAGS_LIVE
KINDS = ("hvm", "pvh", "pv64", "pv32")
HELPERS = ("xensr", "stock")


def is_pv(kind):
    return kind in ("pv64", "pv32")


class LiveCase(SimCase):
    sim_host = None  # the last one
    GUEST = {"memory": 16, "ballooned": 50}
    RUN = {"working_set": 2000}

    def start(self, kind, run=None, **guest):
        """A guest that is writing, on a host of its own. The one before writes no more."""
        if self.sim_host:
            self.sim_host.kill_guests()
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
