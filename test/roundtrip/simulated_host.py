# SPDX-License-Identifier: LGPL-2.1-or-later
"""The simulated host itself, with stock as the witness: what it marks dirty, what it refuses."""

import sim
import sim_case
from sim_case import SimCase, needs_stock

LIVE = 1  # XCFLAGS_LIVE


@needs_stock
class LogDirty(SimCase):
    def live_round_trip(self, run, **guest):
        """Stock saves a guest that is writing, live; what it restores must be what was there
        when the guest was suspended."""
        host, image = self.host(), self.image()
        saved = host.build(**guest)
        program = host.start_guest(saved, **run)
        outcome = self.save("stock", host, saved, image, flags=LIVE)
        written = int(program.communicate()[0])
        self.assertGreater(written, 0)
        restored = self.restore("stock", host, image, guest)
        self.assertEqual(host.compare(saved, host, restored), "same")
        state = host.show(saved)
        self.assertEqual((state["log_dirty"], state["logged_before"]), (0, 1))
        return outcome

    def test_busy_guest(self):
        outcome = self.live_round_trip({"working_set": 2000}, type="pvh", memory=24)
        self.assertEqual([call[0] for call in outcome.calls],
                         ["switch_qemu_logdirty", "suspend", "switch_qemu_logdirty"])

    def test_guest_with_a_rate(self):
        self.live_round_trip({"working_set": 500, "rate": 20000}, type="hvm", memory=24)

    def test_video_ram_tracking_in_the_way(self):
        self.live_round_trip({"working_set": 100}, type="hvm", memory=8, vram_tracked=True)


class Strictness(SimCase):
    def test_memory_that_is_there_already(self):
        host, image = self.host(), self.image()
        saved = host.build(type="pvh", pages=600)
        self.save("xensr", host, saved, image)
        restored = self.restore("xensr", host, image, {"pages": 600})
        self.assertEqual(host.stats()["violations"], 0)
        image.seek(0)
        sim.restore(sim.helper("xensr"), host, restored, image)
        self.assertGreater(host.stats()["violations"], 0)

    def test_difference_is_seen(self):
        host = self.host()
        first, second = (host.build(type="pvh", pages=600, seed=seed) for seed in (1, 2))
        self.assertNotEqual(host.compare(first, host, second), "same")
        self.assertEqual(host.check(first), "same")

    def test_a_write_is_seen(self):
        host = self.host()
        guest = host.build(type="pvh", pages=600)
        host.start_guest(guest, working_set=1, seconds=0.01).communicate()
        self.assertEqual(host.check(guest), "gfn 0 differs from octet 16 on")

    def test_frames_come_back(self):
        host = self.host()
        before = host.stats()["free_frames"]
        host.destroy(host.build(type="hvm", memory=16))
        self.assertEqual(host.stats()["free_frames"], before)


if __name__ == "__main__":
    sim_case.main()
