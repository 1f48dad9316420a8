# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a toolstack can do to a save or restore: refuse, cancel, vanish, offer less."""

import errno

import sim
import sim_case
from sim_case import SimCase

GUEST = {"type": "pvh", "memory": 8}


class Save(SimCase):
    def setUp(self):
        self.sim_host, self.stream = self.host(), self.image()
        self.guest = self.sim_host.build(**GUEST)

    def attempt(self, **options):
        outcome = sim.save(sim.helper("xensr"), self.sim_host, self.guest, self.stream, **options)
        self.assert_nothing_left(self.sim_host)
        self.assert_guest_unharmed(self.sim_host, self.guest)
        return outcome

    def test_progress_counts_pages(self):
        outcome = self.attempt()
        self.assertTrue(outcome.ok)
        done = [step[1] for step in outcome.progress]
        self.assertEqual(done, sorted(done))
        total = self.sim_host.show(self.guest)["tot_pages"]
        # One page of Xen's own is in the guest's address space, and counted when it is sent.
        self.assertIn(outcome.progress[-1][1], (total, total + 1))
        self.assertEqual(outcome.progress[-1][1], outcome.progress[-1][2])

    def test_suspend_refused(self):
        outcome = self.attempt(answers={"suspend": 0})
        self.assert_failed_clearly(outcome)
        self.assertIn("the toolstack did not suspend domain 1", outcome.errors)

    def test_suspend_not_done(self):
        outcome = self.attempt(answers={"suspend": 1})
        self.assert_failed_clearly(outcome)
        self.assertIn("domain 1 is still running after the suspend", outcome.errors)

    def test_no_suspend_callback(self):
        outcome = self.attempt(callbacks=())
        self.assert_failed_clearly(outcome)
        self.assertIn("no suspend callback", outcome.errors)

    def test_cancelled(self):
        outcome = self.attempt(cancel_at="suspend")
        self.assert_failed_clearly(outcome)
        self.assertEqual((outcome.status, outcome.complete), (0, (-1, errno.ECANCELED)))

    def test_toolstack_vanishes(self):
        outcome = self.attempt(vanish_at="suspend")
        self.assertNotEqual(outcome.status, 0)
        self.assertGreater(outcome.status, 0)

    def test_live_without_the_device_models_log(self):
        outcome = self.attempt(flags=1, callbacks=("suspend",))
        self.assert_failed_clearly(outcome)
        self.assertIn("there is no switch_qemu_logdirty callback, without which what the device "
                      "model writes would be lost", outcome.errors)
        self.assertEqual(outcome.calls, [])

    def test_no_such_domain(self):
        outcome = sim.save(sim.helper("xensr"), self.sim_host, 77, self.stream)
        self.assert_failed_clearly(outcome)
        self.assertIn("77", outcome.errors)


class Restore(SimCase):
    def setUp(self):
        self.sim_host, self.stream = self.host(), self.image()
        self.guest = self.sim_host.build(**GUEST)
        self.save("xensr", self.sim_host, self.guest, self.stream)
        self.stream.seek(0)
        self.target = self.sim_host.new(**{"memory": GUEST["memory"]})

    def attempt(self, **options):
        outcome = sim.restore(sim.helper("xensr"), self.sim_host, self.target, self.stream,
                              **options)
        self.assert_nothing_left(self.sim_host)
        return outcome

    def test_event_channels_and_results(self):
        outcome = self.attempt()
        self.assertTrue(outcome.ok)
        self.assertEqual(outcome.calls, [("static_data_done", 0)])
        self.assertEqual(outcome.results, (0xfeffc, 0xfefff))

    def test_static_data_refused(self):
        outcome = self.attempt(answers={"static_data_done": 1})
        self.assert_failed_clearly(outcome)
        self.assertIn("the toolstack refused the domain", outcome.errors)

    def test_without_callbacks(self):
        self.assertTrue(self.attempt(callbacks=()).ok)

    def test_toolstack_vanishes(self):
        outcome = self.attempt(vanish_at="static_data_done")
        self.assertGreater(outcome.status, 0)

    def test_no_such_domain(self):
        outcome = sim.restore(sim.helper("xensr"), self.sim_host, 77, self.stream)
        self.assert_failed_clearly(outcome)
        self.assertIn("no information about domain 77", outcome.errors)


if __name__ == "__main__":
    sim_case.main()
