# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unpleasant streams: one octet at a time, interrupted calls, full disks, cuts at many offsets."""

import errno
import os

import sim
import sim_case
from sim_case import LONG, SimCase

class Stream(SimCase):
    GUEST = {"type": "hvm", "pages": 300}
    TARGET = {"pages": 300}

    def setUp(self):
        self.sim_host, self.stream = self.host(frames=65536), self.image()
        self.guest = self.sim_host.build(**self.GUEST)
        self.save("xensr", self.sim_host, self.guest, self.stream)
        self.sim_host.resume(self.guest)
        self.octets = os.fstat(self.stream.fileno()).st_size
        self.stream.seek(0)
        self.content = self.stream.read()

    def save_with(self, **env) -> sim.Outcome:
        self.stream.seek(0)
        self.stream.truncate()
        outcome = sim.save(sim.helper("xensr"), self.sim_host, self.guest, self.stream,
                           env=dict(env, XENFAULT_FD=self.stream.fileno()))
        self.assert_guest_unharmed(self.sim_host, self.guest)
        self.assert_nothing_left(self.sim_host)
        return outcome

    def restore_with(self, **env):
        self.stream.seek(0)
        domid = self.sim_host.new(**self.TARGET)
        outcome = sim.restore(sim.helper("xensr"), self.sim_host, domid, self.stream,
                              env=dict(env, XENFAULT_FD=self.stream.fileno()))
        verdict = self.sim_host.compare(self.guest, self.sim_host, domid) if outcome.ok else None
        self.sim_host.destroy(domid)
        self.assert_nothing_left(self.sim_host)
        return outcome, verdict

    def offsets(self):
        """Where to cut: around the headers, each record's start, and spread over the pages."""
        step = 997 if LONG else self.octets // 40
        near_start = range(0, 64 if not LONG else 2048)
        return sorted({*near_start, *range(0, self.octets, step), self.octets - 1,
                       self.octets - 8, self.octets - 9})

    def test_save_in_pieces(self):
        for env in ({"XENFAULT_CHUNK": 1}, {"XENFAULT_CHUNK": 4097}, {"XENFAULT_EINTR": 2},
                    {"XENFAULT_CHUNK": 100, "XENFAULT_EINTR": 3}):
            with self.subTest(**env):
                outcome = self.save_with(**env)
                self.assertTrue(outcome.ok, outcome.errors)
                self.stream.seek(0)
                self.assertEqual(self.stream.read(), self.content)

    def test_restore_in_pieces(self):
        for env in ({"XENFAULT_CHUNK": 1}, {"XENFAULT_CHUNK": 4097}, {"XENFAULT_EINTR": 2},
                    {"XENFAULT_CHUNK": 100, "XENFAULT_EINTR": 3}):
            with self.subTest(**env):
                outcome, verdict = self.restore_with(**env)
                self.assertTrue(outcome.ok, outcome.errors)
                self.assertEqual(verdict, "same")

    def test_save_to_a_full_disk(self):
        for offset in self.offsets():
            with self.subTest(offset=offset):
                outcome = self.save_with(XENFAULT_CUT=offset, XENFAULT_ERRNO=errno.ENOSPC)
                self.assert_failed_clearly(outcome)
                self.assertEqual(outcome.complete, (-1, errno.ENOSPC))
                self.assertIn(f"cannot write the stream at offset {offset}: No space left",
                              outcome.errors)

    def test_restore_of_a_cut_stream(self):
        for offset in self.offsets():
            with self.subTest(offset=offset):
                outcome, _ = self.restore_with(XENFAULT_CUT=offset)
                self.assert_failed_clearly(outcome)
                self.assertIn(f"the stream ends early, at offset {offset}: ", outcome.errors)

    def test_restore_of_a_reset_stream(self):
        for offset in (0, 30, 5000, self.octets - 1):
            with self.subTest(offset=offset):
                outcome, _ = self.restore_with(XENFAULT_CUT=offset,
                                               XENFAULT_ERRNO=errno.ECONNRESET)
                self.assert_failed_clearly(outcome)
                self.assertEqual(outcome.complete, (-1, errno.ECONNRESET))


class PvStream(Stream):
    GUEST = {"type": "pv64", "pages": 300, "vcpus": 2}
    TARGET = {"type": "pv", "pages": 300, "vcpus": 2}


if __name__ == "__main__":
    sim_case.main()
