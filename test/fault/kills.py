# SPDX-License-Identifier: LGPL-2.1-or-later
"""Either side of a checkpointed migration dies at a random moment while the guest writes.

What must hold whatever the moment is:

1.  The secondary succeeds only when its stream broke off, and the primary's save never says that it
    succeeded: while the stream stands, there is one copy that may run, the primary's. (That a
    primary behind a broken network lives on is for the toolstacks' fencing to prevent.)
2.  The secondary succeeds if and only if it lives itself and was given a whole checkpoint, libxl's
    part too; then its domain is exactly the last whole one (Remus). With COLO it was exactly the
    primary's guest at each checkpoint, and goes on as it is.
3.  When the secondary died, and the primary's helper did not, the primary's save fails in words and
    its guest can go on, without log-dirty.
So one copy survives the death of either side, from the first whole checkpoint on.

XENSR_SEED replays a run. XENSR_LONG=1 tries 1,000 moments.
"""

import contextlib
import os
import random
import time

import sim_case
from replication import COLO, REMUS, Replication
from replication_case import ReplicationCase
from sim_case import LONG, STOCK_COLO_SECONDARY, needs_stock

SEED = int(os.environ.get("XENSR_SEED", time.time_ns() % 1000000))
MOMENTS = 1000 if LONG else 40
CHECKPOINTS = 5
RUNS = (("hvm", REMUS), ("pvh", REMUS), ("pv64", REMUS), ("pv32", REMUS), ("hvm", COLO))
KILLS = ("cut", "primary", "secondary", "primary's toolstack", "secondary's toolstack")
CALLBACKS = {
    ("primary", REMUS): ("suspend", "postcopy", "checkpoint"),
    ("primary", COLO): ("suspend", "checkpoint", "postcopy", "wait_checkpoint"),
    ("secondary", REMUS): ("checkpoint",),
    ("secondary", COLO): ("checkpoint", "postcopy", "wait_checkpoint", "suspend"),
}


class Kills(ReplicationCase):
    MEMORY = 4
    RUN = {"working_set": 600, "rate": 80000}
    HELPER = "xensr"
    RUNS = RUNS

    def enterContext(self, context):
        """Everything that a moment needs goes with it."""
        return self.stack.enter_context(context)

    def replicate(self, kind, stream_type, **options):
        pair = self.pair(kind, self.HELPER, self.HELPER, stream_type=stream_type,
                         checkpoints=CHECKPOINTS, secondary_guest={"working_set": 500}
                         if stream_type == COLO else None, **options)
        return pair, pair.run()

    def measure(self):
        """How long a replication is, in octets and seconds."""
        self.sizes = {}
        for run in self.RUNS:
            with contextlib.ExitStack() as self.stack:
                start = time.monotonic()
                _, result = self.replicate(*run, snapshots=False)
                self.sizes[run] = result.delivered, time.monotonic() - start

    def order(self, rng, run):
        """Options that have something killed at a random moment, and what."""
        octets, seconds = self.sizes[run]
        what = rng.choice(KILLS)
        if what == "cut":
            return {"cut_at": rng.randrange(int(octets * 1.05))}, what
        if what in ("primary", "secondary"):
            return {"kill_after": (what, rng.uniform(0, seconds))}, what
        side = what.partition("'")[0]
        callback = rng.choice(CALLBACKS[side, run[1]])
        nth = rng.randint(1, CHECKPOINTS)
        return {"at": {(side, callback, nth): Replication.vanish}}, what

    def check(self, what, pair, result):
        if self.HELPER == "xensr":
            self.assertFalse(result.primary.ok, "a checkpointed save says that it succeeded")
        self.assertNotIn("Sanitizer", result.primary.stderr + result.secondary.stderr)
        for verdict in result.commits:
            self.assertEqual(verdict, "same")
        # One that was killed may have got so far as to say that it succeeded: it is dead.
        if result.secondary.complete and result.secondary.status >= 0:
            self.assertEqual(result.secondary.ok, result.complete > 0, result.secondary.errors)
        if result.secondary.ok:
            self.assertEqual(result.broken_by, "primary")
            self.assertEqual(result.succeeded, result.complete)
            if not pair.colo:
                self.assertEqual(self.verdict(pair, result, result.complete - 1), "same")
        if result.primary.status != -9 and self.HELPER == "xensr":
            self.assert_guest_lives(pair)
            if result.primary.complete:
                self.assert_failed_clearly(result.primary)

    def try_moments(self, count):
        rng = random.Random(SEED)
        print(f"XENSR_SEED={SEED}", flush=True)
        self.measure()
        for number in range(count):
            run = rng.choice(self.RUNS)
            options, what = self.order(rng, run)
            with self.subTest(moment=number, kind=run[0], type=run[1], what=what, **options), \
                    contextlib.ExitStack() as self.stack:
                pair, result = self.replicate(*run, **options)
                self.check(what, pair, result)

    def test_random_moments(self):
        self.try_moments(MOMENTS)


@needs_stock
class Witness(Kills):
    """Stock, whose primary leaves log-dirty mode on and claims success: what holds of it shows that
    the test itself is right."""

    HELPER = "stock"
    RUNS = [run for run in RUNS if run[1] != COLO or STOCK_COLO_SECONDARY]

    def test_random_moments(self):
        self.try_moments(MOMENTS // 4)


if __name__ == "__main__":
    sim_case.main()
