# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests on simulated hosts share."""

import os
import sys
import tempfile
import unittest

import sim

STOCK_REQUIRED = os.environ.get("XENSR_REQUIRE_STOCK") == "1"
LONG = os.environ.get("XENSR_LONG") == "1"  # make check-long


def needs_stock(test):
    """Skipped where stock's helper is not there, unless it has to be (scripts/check)."""
    if sim.have_stock() or STOCK_REQUIRED:
        return test
    return unittest.skip("stock's helper is not there: scripts/setup brings it")(test)


# Stock 4.20's secondary writes a header of 16 octets to COLO's back channel; the format has 8.
STOCK_COLO_SECONDARY = sim.XEN != "4.20"


def needs_stock_colo_secondary(test):
    """needs_stock, and skipped where no primary understands stock's secondary."""
    if not STOCK_COLO_SECONDARY:
        return unittest.skip("stock's COLO back channel is broken in this release")(test)
    return needs_stock(test)


class SimCase(unittest.TestCase):
    """A test that makes hosts and images; all of it is gone when the test ends."""

    def host(self, **options) -> sim.Host:
        return self.enterContext(sim.Host(**options))

    def image(self):
        return self.enterContext(tempfile.TemporaryFile(dir=sim.TMPFS, prefix="xensim-image."))

    def save(self, program, host, domid, image, **options) -> sim.Outcome:
        outcome = sim.save(sim.helper(program), host, domid, image, **options)
        self.assertTrue(outcome.ok, f"save with {program}: {outcome.errors}")
        return outcome

    def restore(self, program, host, image, guest, **options):
        """Restore from the image's start into a new domain. Returns its domid."""
        image.seek(0)
        empty = {k: v for k, v in guest.items() if k in ("memory", "pages", "vcpus")}
        if guest.get("type") in ("pv64", "pv32"):
            empty["type"] = "pv"
        domid = host.new(**empty)
        outcome = sim.restore(sim.helper(program), host, domid, image, **options)
        self.assertTrue(outcome.ok, f"restore with {program}: {outcome.errors}")
        return domid

    def assert_nothing_left(self, host):
        """No mapping or buffer leaked, and nothing done that Xen would not allow."""
        stats = host.stats()
        left = {k: stats[k] for k in ("leaked_maps", "leaked_buffers", "violations") if stats[k]}
        self.assertEqual(left, {})

    def assert_guest_unharmed(self, host, domid):
        """The guest that was to be saved is as it was built and goes on without log-dirty."""
        state = host.show(domid)
        self.assertEqual(state["log_dirty"], 0, "log-dirty mode is still on")
        if state["shutdown"]:
            host.resume(domid)
        self.assertEqual(host.check(domid), "same")

    def assert_failed_clearly(self, outcome):
        """It says that it failed, to libxl and in words, and did not crash."""
        self.assertFalse(outcome.ok)
        self.assertGreaterEqual(outcome.status, 0, f"died of a signal: {outcome.stderr}")
        self.assertNotIn("Sanitizer", outcome.stderr)
        self.assertTrue(outcome.errors, "no word of why")


def main():
    """unittest.main(), with exit status 77 (skipped, to automake) when nothing could run."""
    program = unittest.main(module="__main__", exit=False, argv=[sys.argv[0], "-v", *sys.argv[1:]])
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun == len(result.skipped) else 0)
