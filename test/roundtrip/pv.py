# SPDX-License-Identifier: LGPL-2.1-or-later
"""PV guests: all pairings of saver and restorer give a guest that is what the saved one was."""

import itertools

import sim_case
from pv_stock import GUESTS, PvCase
from sim_case import needs_stock

KINDS = ("pv64", "pv32")


class Pairings(PvCase):
    def every(self, guests=None):
        for kind, p2m, (name, guest) in itertools.product(KINDS, ("linear", "tree"),
                                                          (guests or GUESTS).items()):
            yield kind, p2m, name, dict(guest, type=kind, p2m=p2m)

    def test_xensr_to_xensr(self):
        for kind, p2m, name, guest in self.every():
            with self.subTest(kind=kind, p2m=p2m, guest=name):
                host, *_ = self.round_trip(guest, "xensr", "xensr")
                self.assert_nothing_left(host)

    @needs_stock
    def test_with_stock(self):
        for kind, p2m, name, guest in self.every():
            for saver, restorer in (("xensr", "stock"), ("stock", "xensr")):
                with self.subTest(kind=kind, p2m=p2m, guest=name, saver=saver,
                                  restorer=restorer):
                    self.round_trip(guest, saver, restorer)

    def test_frames_that_are_no_neighbours(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.round_trip({"type": kind, "memory": 8, "ballooned": 300}, "xensr", "xensr",
                                scatter=True)

    def test_frames_above_4_gib(self):
        """Frame numbers of a 32-bit guest that wrap in its CR3."""
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.round_trip({"type": kind, "memory": 8}, "xensr", "xensr", frames=3 << 20,
                                first_frame=2 << 20)

    def test_grant_table_by_the_older_way(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.round_trip({"type": kind, "memory": 8}, "xensr", "xensr", no_resource=True)

    @needs_stock
    def test_p2m_beyond_memory(self):
        """Entries for memory that may be added later; one page stands for all that are missing."""
        for kind, p2m, slack, (saver, restorer) in itertools.product(
                KINDS, ("linear", "tree"), (100, 3000, 2000000),
                (("xensr", "xensr"), ("xensr", "stock"), ("stock", "xensr"))):
            with self.subTest(kind=kind, p2m=p2m, slack=slack, saver=saver, restorer=restorer):
                self.round_trip({"type": kind, "memory": 8, "p2m": p2m, "p2m_slack": slack},
                                saver, restorer)


if __name__ == "__main__":
    sim_case.main()
