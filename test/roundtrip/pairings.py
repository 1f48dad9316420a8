# SPDX-License-Identifier: LGPL-2.1-or-later
"""All pairings of saver and restorer give a guest that is what the saved one was."""

import itertools

import sim
import sim_case
from sim_case import SimCase, needs_stock

GUESTS = {
    "pvh": {"type": "pvh", "memory": 24},
    "hvm": {"type": "hvm", "memory": 24},
    "four vcpus": {"type": "hvm", "memory": 8, "vcpus": 4},
    "ballooned": {"type": "pvh", "memory": 24, "ballooned": 200},
    "zero and equal pages": {"type": "hvm", "memory": 24, "plain": 900},
    "odd size": {"type": "pvh", "pages": 3333},
    "smallest": {"type": "hvm", "pages": 300},
}


class Pairings(SimCase):
    def round_trip(self, guest, saver, restorer, **host_options):
        host, image = self.host(**host_options), self.image()
        saved = host.build(**guest)
        self.save(saver, host, saved, image)
        restored = self.restore(restorer, host, image, guest)
        self.assertEqual(host.compare(saved, host, restored), "same")
        self.assert_guest_unharmed(host, saved)
        if "stock" not in (saver, restorer):
            self.assert_nothing_left(host)
        return host, restored

    def test_xensr_to_xensr(self):
        for name, guest in GUESTS.items():
            with self.subTest(guest=name):
                self.round_trip(guest, "xensr", "xensr")

    @needs_stock
    def test_with_stock(self):
        for (name, guest), saver, restorer in itertools.product(
                GUESTS.items(), ("stock", "xensr"), ("stock", "xensr")):
            if saver == restorer == "xensr":
                continue
            with self.subTest(guest=name, saver=saver, restorer=restorer):
                self.round_trip(guest, saver, restorer)

    def test_to_another_host(self):
        here, there, image = self.host(), self.host(scatter=True), self.image()
        guest = {"type": "hvm", "memory": 16, "ballooned": 50}
        saved = here.build(**guest)
        self.save("xensr", here, saved, image)
        restored = self.restore("xensr", there, image, guest)
        self.assertEqual(here.compare(saved, there, restored), "same")

    def test_frames_that_are_no_neighbours(self):
        host, image = self.host(scatter=True, refuse_order=8), self.image()
        guest = {"type": "pvh", "memory": 8, "ballooned": 500}
        saved = host.build(**guest)
        self.save("xensr", host, saved, image)
        restored = self.restore("xensr", host, image, guest)
        self.assertEqual(host.compare(saved, host, restored), "same")

    def test_grant_table_by_the_older_way(self):
        host, restored = self.round_trip({"type": "hvm", "memory": 8}, "xensr", "xensr",
                                         no_resource=True)
        # Nothing of it stays in the guest: the domain's size is what its memory says.
        self.assertEqual(host.show(restored)["paused"], 1)


class Superpages(SimCase):
    GUEST = {"type": "pvh", "memory": 24}

    def restored_in_superpages(self, **host_options):
        host, image = self.host(**host_options), self.image()
        saved = host.build(**self.GUEST)
        self.save("xensr", host, saved, image)
        return host.show(self.restore("xensr", host, image, self.GUEST))["in_superpages"]

    def test_rebuilt(self):
        self.assertEqual(self.restored_in_superpages(), 24 * 256)

    def test_refused_by_xen(self):
        self.assertEqual(self.restored_in_superpages(refuse_order=8), 0)


class LowMemory(SimCase):
    def test_host_without_frames(self):
        here, there, image = self.host(), self.host(frames=2048), self.image()
        saved = here.build(type="pvh", memory=16)
        self.save("xensr", here, saved, image)
        image.seek(0)
        domid = there.new(memory=16)
        outcome = sim.restore(sim.helper("xensr"), there, domid, image)
        self.assert_failed_clearly(outcome)
        self.assertIn("Xen has no memory for", outcome.errors)
        self.assert_nothing_left(there)

    def test_domain_with_a_lower_limit(self):
        host, image = self.host(), self.image()
        saved = host.build(type="pvh", memory=16)
        self.save("xensr", host, saved, image)
        image.seek(0)
        domid = host.new(memory=8)
        outcome = sim.restore(sim.helper("xensr"), host, domid, image)
        self.assert_failed_clearly(outcome)
        self.assertIn("may have 3072", outcome.errors)


if __name__ == "__main__":
    sim_case.main()
