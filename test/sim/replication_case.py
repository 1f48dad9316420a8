# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of checkpointed migrations share."""

import sim
from replication import REMUS, Replay, Replication
from sim_case import SimCase

KINDS = ("hvm", "pvh", "pv64", "pv32")
PAIRINGS = [(primary, secondary) for primary in ("xensr", "stock")
            for secondary in ("xensr", "stock")]


def pairings():
    """(primary, secondary), without stock where it is not."""
    return [pair for pair in PAIRINGS if "stock" not in pair or sim.have_stock()]


class ReplicationCase(SimCase):
    hosts = ()  # of the last pair
    MEMORY = 8
    RUN = {"working_set": 800, "rate": 60000}

    def empty(self, host, kind):
        return host.new(memory=self.MEMORY, type="pv" if kind in ("pv64", "pv32") else "hvm")

    def pair(self, kind="pvh", primary="xensr", secondary="xensr", run=None, guest=None,
             **options) -> Replication:
        """Two hosts: on one a guest that is writing, on the other a new domain. The guests of the
        pair before write no more."""
        for host in self.hosts:
            host.kill_guests()
        self.hosts = here, there = self.host(), self.host()
        saved = here.build(**dict({"type": kind, "memory": self.MEMORY}, **(guest or {})))
        here.start_guest(saved, through_suspends=True, **(self.RUN if run is None else run))
        here.await_writes(saved)
        return self.enterContext(Replication(here, saved, there, self.empty(there, kind), primary,
                                             secondary, **options))

    def recorded(self, kind="pvh", primary="xensr", checkpoints=3, **options):
        """A pair whose replication went well, its guest gone; and its Result with the stream. In each
        checkpoint there is memory."""
        def write(pair):
            pair.here.await_writes(pair.saved)
        pair = self.pair(kind, primary, primary, keep=True, checkpoints=checkpoints,
                         at={("primary", "checkpoint", n): write for n in range(1, checkpoints)},
                         **dict({"stream_type": REMUS}, **options))
        result = pair.run()
        self.assertTrue(result.secondary.ok, result.secondary.errors)
        pair.here.kill_guests()
        return pair, result

    def replay(self, kind, octets, secondary="xensr", **options):
        """Give a stream to a new secondary: (Replay, Result)."""
        there = self.host()
        replay = Replay(there, self.empty(there, kind), octets, secondary, **options)
        return replay, replay.run()

    def verdict(self, pair, result, nth, there=None, restored=None):
        """Host.compare() of the secondary's domain with the primary's guest at a checkpoint."""
        snapshot = result.checkpoints[nth].snapshot
        return snapshot.compare(pair.saved, there or pair.there, restored or pair.restored)

    def assert_last_complete(self, pair, result):
        """The secondary succeeded with exactly the last checkpoint it was given whole; where there
        was none it failed."""
        self.assertEqual(result.succeeded, result.complete)
        if result.complete == 0:
            self.assertFalse(result.secondary.ok)
            return
        self.assertTrue(result.secondary.ok, result.secondary.errors)
        self.assertEqual(self.verdict(pair, result, result.complete - 1), "same")

    def assert_primary_lives(self, pair, result, goes_on=True):
        """Its save says that it failed, and its guest can go on without log-dirty."""
        self.assert_failed_clearly(result.primary)
        self.assert_guest_lives(pair, goes_on)

    def assert_guest_lives(self, pair, goes_on=True):
        state = pair.here.show(pair.saved)
        self.assertEqual(state["log_dirty"], 0, "log-dirty mode is still on")
        if state["shutdown"]:
            self.assertTrue(pair.here.resume(pair.saved))
        if goes_on:
            pair.here.await_writes(pair.saved)
        if pair.helpers["primary"] == "xensr":
            self.assert_nothing_left(pair.here)
