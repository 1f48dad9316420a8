# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock's save and ours of the same domain: the same records, but for the differences that
docs/testing.md lists. Both streams satisfy stock's checker and the oracle."""

import os
import subprocess
import sys
import tempfile

import sim
import sim_case
from sim_case import SimCase, needs_stock

ORACLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle", "oracle")
GUESTS = {
    "pvh": {"type": "pvh", "memory": 16},
    "hvm": {"type": "hvm", "memory": 16, "vcpus": 2},
    "ballooned": {"type": "hvm", "memory": 16, "ballooned": 300},
    "odd size": {"type": "pvh", "pages": 2500},
    "pv64": {"type": "pv64", "memory": 16, "vcpus": 2},
    "pv64, ballooned": {"type": "pv64", "memory": 16, "ballooned": 300},
    "pv64, p2m tree": {"type": "pv64", "memory": 16, "p2m": "tree"},
    "pv64, p2m beyond memory": {"type": "pv64", "memory": 16, "p2m_slack": 3000},
    "pv32": {"type": "pv32", "memory": 16, "vcpus": 2, "ballooned": 100},
}


def oracle(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ORACLE, *arguments], capture_output=True, text=True,
                          check=False)


def stock_verify(path: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, os.path.join(sim.STOCK, "bin", "verify-stream-v2"), "--in", path],
        env=dict(os.environ, PYTHONPATH=os.path.join(sim.STOCK, "lib", "python")),
        capture_output=True, text=True, check=False)


class Differential(SimCase):
    def saved_by(self, program, host, guest) -> str:
        file = self.enterContext(tempfile.NamedTemporaryFile(dir=sim.TMPFS,
                                                             prefix="xensim-image."))
        self.save(program, host, guest, file)
        host.resume(guest)
        return file.name

    def assert_passes(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_our_stream_satisfies_the_oracle(self):
        for name, options in GUESTS.items():
            with self.subTest(guest=name):
                host = self.host()
                self.assert_passes(oracle("check", self.saved_by("xensr", host,
                                                                 host.build(**options))))

    @needs_stock
    def test_same_records_as_stock(self):
        for name, options in GUESTS.items():
            with self.subTest(guest=name):
                host = self.host()
                guest = host.build(**options)
                ours = self.saved_by("xensr", host, guest)
                stocks = self.saved_by("stock", host, guest)
                self.assert_passes(oracle("check", stocks))
                self.assert_passes(oracle("compare", "--ignore-holes", ours, stocks))
                self.assert_passes(stock_verify(ours))
                self.assert_passes(stock_verify(stocks))

    @needs_stock
    def test_the_comparison_sees_a_difference(self):
        host = self.host()
        first = self.saved_by("xensr", host, host.build(type="pvh", pages=600, seed=1))
        second = self.saved_by("stock", host, host.build(type="pvh", pages=600, seed=2))
        self.assertEqual(oracle("compare", "--ignore-holes", first, second).returncode, 1)


if __name__ == "__main__":
    sim_case.main()
