# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a save or restore costs follows the pages that exist, and no batch allocates anything."""

import os
import tempfile

import sim
import sim_case
from sim_case import SimCase

SMALL, LARGE = {"type": "pvh", "memory": 8}, {"type": "pvh", "memory": 40}
BATCHES = (LARGE["memory"] - SMALL["memory"]) // 4  # of 1024 pages, that one has more


class BatchCost(SimCase):
    def counted(self, host, attempt):
        """Run it. Returns the allocations of the process, and what the host counted."""
        before = host.stats()
        with tempfile.NamedTemporaryFile(mode="r") as count:
            outcome = attempt({"XENFAULT_COUNT": count.name})
            self.assertTrue(outcome.ok, outcome.errors)
            allocations = int(count.read())
        after = host.stats()
        return allocations, {key: after[key] - before[key] for key in after}

    def both(self, guest):
        host, image = self.host(), self.image()
        saved, restored = host.build(**guest), host.new(memory=guest["memory"])
        save = self.counted(host, lambda env: sim.save(sim.helper("xensr"), host, saved, image,
                                                       env=env))
        image.seek(0)
        restore = self.counted(host, lambda env: sim.restore(sim.helper("xensr"), host, restored,
                                                             image, env=env))
        return save, restore, os.fstat(image.fileno()).st_size

    def test_follows_the_pages(self):
        (save, restore, _), (save_large, restore_large, _) = self.both(SMALL), self.both(LARGE)
        self.assertEqual(save[0], save_large[0], "saving allocates by the batch")
        self.assertEqual(restore[0], restore_large[0], "restoring allocates by the batch")
        # One mapping a batch; the walk over the address space is the same for both.
        self.assertEqual(save_large[1]["maps"] - save[1]["maps"], BATCHES)
        self.assertEqual(save_large[1]["hypercalls"], save[1]["hypercalls"])
        # One mapping and one hypercall, for its superpages, a batch.
        self.assertEqual(restore_large[1]["maps"] - restore[1]["maps"], BATCHES)
        self.assertEqual(restore_large[1]["hypercalls"] - restore[1]["hypercalls"], BATCHES)

    def test_holes_cost_nothing_in_the_stream(self):
        *_, octets = self.both(SMALL)
        self.assertLess(octets, (SMALL["memory"] << 20) * 1.02)


if __name__ == "__main__":
    sim_case.main()
