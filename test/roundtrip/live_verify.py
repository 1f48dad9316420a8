# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saves and live saves that send everything again to be compared."""

import itertools

import sim
import sim_case
from live_case import HELPERS, KINDS, LIVE, LiveCase, is_pv
from stream_edit import PAGE, PAGE_DATA, PFN_MASK, VERIFY, Stream


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
