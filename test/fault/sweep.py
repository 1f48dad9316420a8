# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fault sweeps: the Nth hypercall, mapping or allocation of a save or restore fails, for every N.

Each ends in a clear error or in complete success; nothing leaks, the guest that was to be saved
is unharmed. In the long run of equal hypercalls over the holes of the address space, some stand
for all, unless XENSR_LONG is 1.
"""

import itertools
import os
import tempfile

import sim
import sim_case
from sim_case import LONG, SimCase

GUESTS = {
    "hvm": {"type": "hvm", "pages": 700},
    "pv64": {"type": "pv64", "pages": 700},
    "pv32": {"type": "pv32", "pages": 700, "p2m": "tree"},
}
HOLES = range(60, 1010)  # numbers of hypercalls that only walk over holes
STEP = 1 if LONG else 97


class Sweep(SimCase):
    def begin(self, kind):
        self.kind = kind
        self.sim_host, self.stream = self.host(frames=65536), self.image()
        self.guest = self.sim_host.build(**GUESTS[kind])
        self.mark = os.path.join(tempfile.gettempdir(), f"xenfault.{os.getpid()}")
        self.addCleanup(lambda: os.path.exists(self.mark) and os.unlink(self.mark))

    def delivered(self, before) -> bool:
        """Was the fault that was ordered delivered? Forgets it."""
        if os.path.exists(self.mark):
            os.unlink(self.mark)
            return True
        return self.sim_host.stats()["faults_delivered"] > before

    def numbers(self, name, operation):
        if name == "hypercall" and operation == "save" and self.kind == "hvm":
            return itertools.filterfalse(lambda n: n in HOLES and n % STEP, itertools.count(1))
        return itertools.count(1)

    def order(self, name, number) -> dict:
        if name == "allocation":
            return {"XENFAULT_ALLOC": number, "XENFAULT_MARK": self.mark}
        return {"XENSIM_FAIL": f"{name}:{number}"}

    def sweep(self, name, operation, attempt):
        """Attempt with each fault in turn until none is left to deliver."""
        survived = 0
        for number in self.numbers(name, operation):
            with self.subTest(guest=self.kind, fault=name, number=number):
                before = self.sim_host.stats()["faults_delivered"]
                outcome = attempt(self.order(name, number))
                if not self.delivered(before):
                    self.assertTrue(outcome.ok, outcome.errors)
                    break
                if outcome.ok:
                    survived += 1
                else:
                    self.assert_failed_clearly(outcome)
                self.assert_nothing_left(self.sim_host)
            self.assertLess(number, 20000, "the sweep does not end")
        self.assertGreater(number, 4, "the sweep did not reach anything")
        self.assertLess(survived, 100)

    def save_with(self, fault) -> sim.Outcome:
        self.stream.seek(0)
        self.stream.truncate()
        outcome = sim.save(sim.helper("xensr"), self.sim_host, self.guest, self.stream, env=fault)
        self.assert_guest_unharmed(self.sim_host, self.guest)
        return outcome

    def restore_with(self, fault) -> sim.Outcome:
        self.stream.seek(0)
        domid = self.sim_host.new(pages=700, type="hvm" if self.kind == "hvm" else "pv")
        outcome = sim.restore(sim.helper("xensr"), self.sim_host, domid, self.stream, env=fault)
        if outcome.ok:
            self.assertEqual(self.sim_host.compare(self.guest, self.sim_host, domid), "same")
        self.sim_host.destroy(domid)
        return outcome

    def test_save(self):
        for kind in GUESTS:
            self.begin(kind)
            for name in ("hypercall", "map", "allocation"):
                self.sweep(name, "save", self.save_with)

    def test_restore(self):
        for kind in GUESTS:
            self.begin(kind)
            self.save("xensr", self.sim_host, self.guest, self.stream)
            for name in ("hypercall", "map", "allocation"):
                self.sweep(name, "restore", self.restore_with)


if __name__ == "__main__":
    sim_case.main()
