# SPDX-License-Identifier: LGPL-2.1-or-later
"""What simulated guests do while they are saved: write through suspends, balloon, be changed at an
exact moment; and hosts as they were. Stock is the witness where a helper is needed."""

import itertools
import time

import sim
import sim_case
from replication import COLO, Replication
from sim_case import SimCase, needs_stock, needs_stock_colo_secondary

LIVE = 1  # XCFLAGS_LIVE
KINDS = ("hvm", "pvh", "pv64", "pv32")
LAST_GFN = (1 << 28) - 1


class Writers(SimCase):
    def test_waits_while_suspended(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                host = self.host()
                guest = host.build(type=kind, memory=8)
                program = host.start_guest(guest, through_suspends=True, working_set=500)
                for _ in range(3):
                    host.await_writes(guest)
                    self.assertTrue(host.suspend(guest))
                    self.assertIsNone(program.poll())
                    written = host.show(guest)["writes"]
                    time.sleep(0.005)
                    self.assertEqual(host.show(guest)["writes"], written)
                    self.assertTrue(host.resume(guest))
                host.await_writes(guest)
                self.assertGreater(host.end_guest(guest, program), 0)
                self.assertEqual(host.show(guest)["paused"], 0)

    def test_ends_with_its_domain(self):
        host = self.host()
        guest = host.build(type="pvh", memory=8)
        program = host.start_guest(guest, through_suspends=True)
        host.await_writes(guest)
        host.destroy(guest)
        self.assertEqual(program.wait(), 0)

    def test_stamps_grow(self):
        host = self.host()
        guest = host.build(type="pvh", memory=8)
        host.write(guest, range(20, 25))
        host.write(guest, [22])
        self.assertEqual([host.stamp(guest, pfn) for pfn in range(20, 25)], [1, 2, 6, 4, 5])

    def test_stride(self):
        host = self.host()
        guest = host.build(type="pvh", memory=8)
        first = [host.stamp(guest, pfn) for pfn in (0, 999, 1998)]
        program = host.start_guest(guest, stride=999, working_set=2048, rate=2000)
        host.await_writes(guest, 3)
        host.pause(guest)
        program.wait()
        self.assertEqual([host.stamp(guest, pfn) for pfn in (0, 999, 1998)], [1, 2, 3])
        self.assertNotEqual(first, [1, 2, 3])


class Snapshots(SimCase):
    def test_of_a_running_host(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                host = self.host()
                guest = host.build(type=kind, memory=8)
                host.start_guest(guest, through_suspends=True, working_set=500)
                host.await_writes(guest)
                host.suspend(guest)
                copy = self.enterContext(host.snapshot())
                host.resume(guest)
                host.await_writes(guest)
                with self.enterContext(copy.snapshot()) as again:
                    self.assertEqual(again.show(guest), copy.show(guest))
                self.assertGreater(host.show(guest)["writes"], copy.show(guest)["writes"])
                self.assertNotEqual(copy.stamp(guest, 1), host.stamp(guest, 1))

    @needs_stock
    def test_compare_sees_pages_too_many_and_too_few(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                host, image = self.host(), self.image()
                guest = host.build(type=kind, memory=8)
                self.save("stock", host, guest, image)
                restored = self.restore("stock", host, image, {"type": kind, "memory": 8})
                copy = self.enterContext(host.snapshot())
                self.assertEqual(copy.compare(guest, host, restored), "same")
                host.resume(guest)
                host.balloon(guest, out=[5])
                self.assertIn("0x5 is there and was not", host.compare(guest, host, restored))
                self.assertEqual(copy.compare(guest, host, restored), "same")
                host.balloon(guest, in_=[5])
                host.suspend(guest)
                self.assertNotEqual(host.compare(guest, host, restored), "same")


class Ballooning(SimCase):
    def test_running(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                host = self.host()
                guest = host.build(type=kind, memory=8)
                before = host.show(guest)["tot_pages"]
                program = host.start_guest(guest, through_suspends=True)
                for _ in range(10):
                    host.balloon(guest, out=range(1000, 1100))
                    self.assertEqual(host.show(guest)["tot_pages"], before - 100)
                    host.balloon(guest, in_=range(1000, 1100))
                    host.await_writes(guest)
                host.end_guest(guest, program)
                self.assertEqual(host.show(guest)["tot_pages"], before)
                self.assertEqual(host.stats()["violations"], 0)

    def test_what_cannot_be(self):
        for kind, busy in (("hvm", 0xf1000), ("pv64", 0x23), ("pv32", 0x20)):
            with self.subTest(kind=kind):
                host = self.host()
                guest = host.build(type=kind, memory=8)
                for wrong in ({"out": [busy]}, {"out": [5000]}, {"in_": [1000]}):
                    with self.assertRaises(sim.SimError):
                        host.balloon(guest, **wrong)
                self.assertEqual(host.check(guest), "same")

    @needs_stock
    def test_before_a_save(self):
        """A guest that ballooned is as whole as one that was built so."""
        for kind in KINDS:
            with self.subTest(kind=kind):
                host, image = self.host(), self.image()
                guest = host.build(type=kind, memory=8, ballooned=100)
                gone = list(itertools.islice(
                    (pfn for pfn in range(1024, 2048)
                     if host.run("frame", host.dir, guest, pfn).returncode), 40))
                self.assertEqual(len(gone), 40)
                host.balloon(guest, out=range(1, 20), in_=gone)
                host.write(guest, gone[:20])
                self.save("stock", host, guest, image)
                restored = self.restore("stock", host, image, {"type": kind, "memory": 8})
                self.assertEqual(host.compare(guest, host, restored), "same")

    def test_what_is_logged(self):
        """By the bitmap itself: what a page that was ballooned in leaves there."""
        host = self.host()
        guest = host.build(type="hvm", memory=8, ballooned=0)
        host.balloon(guest, out=[1000, 1001])
        self.assertTrue(host.log_dirty(guest))
        host.balloon(guest, in_=[1000, 1001])
        host.write(guest, [5, 1000])
        self.assertEqual(host.dirty(guest, clean=True), [5])
        host.write(guest, [1001])
        self.assertEqual(host.dirty(guest), [1001])


@needs_stock
class Hooks(SimCase):
    def test_between_hypercalls(self):
        host, image = self.host(), self.image()
        guest = host.build(type="hvm", memory=8)
        outcome = sim.save(sim.helper("stock"), host, guest, image, flags=LIVE, env={
            "XENSIM_HOOK": "\n".join((
                sim.hook("enable", 1, host.words("write", guest, "7,8")),
                sim.hook("clean", 1, host.words("write", guest, 9))))})
        self.assertTrue(outcome.ok, outcome.errors)
        self.assertEqual(host.stats()["hooks_run"], 2)
        self.assertEqual(host.show(guest)["writes"], 3)
        restored = self.restore("stock", host, image, {"type": "hvm", "memory": 8})
        self.assertEqual(host.compare(guest, host, restored), "same")

    def test_one_that_fails_is_noticed(self):
        host, image = self.host(), self.image()
        guest = host.build(type="hvm", memory=8)
        sim.save(sim.helper("stock"), host, guest, image, env={
            "XENSIM_HOOK": sim.hook("gettscinfo", 1, host.words("balloon", guest, "in", 7))})
        self.assertEqual(host.stats()["violations"], 1)


@needs_stock
class Sparse(SimCase):
    def test_a_page_at_the_top_of_a_tebibyte(self):
        host, image = self.host(), self.image()
        guest = host.build(type="pvh", pages=1000, sparse_top=LAST_GFN)
        self.assertEqual(host.show(guest)["max_gfn"], LAST_GFN)
        self.assertEqual(host.check(guest), "same")
        if not sim_case.LONG:
            return
        program = host.start_guest(guest, working_set=500)
        self.save("stock", host, guest, image, flags=LIVE)
        self.assertGreater(int(program.communicate()[0]), 0)
        restored = self.restore("stock", host, image, {"type": "pvh", "pages": 1000})
        self.assertEqual(host.compare(guest, host, restored), "same")


@needs_stock
class BothSides(SimCase):
    """Stock to stock, checkpointed."""

    def replicate(self, kind, **options):
        here, there = self.host(), self.host()
        guest = here.build(type=kind, memory=8)
        here.start_guest(guest, through_suspends=True, rate=50000, working_set=800)
        here.await_writes(guest)
        empty = there.new(memory=8, type="pv" if kind in ("pv64", "pv32") else "hvm")
        pair = self.enterContext(Replication(here, guest, there, empty, checkpoints=3, **options))
        return pair, pair.run()

    def test_remus(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                pair, result = self.replicate(kind)
                self.assertTrue(result.secondary.ok, result.secondary.errors)
                self.assertEqual((result.complete, result.succeeded), (3, 3))
                last, first = (result.checkpoints[n].snapshot for n in (2, 0))
                self.assertEqual(last.compare(pair.saved, pair.there, pair.restored), "same")
                self.assertNotEqual(first.compare(pair.saved, pair.there, pair.restored), "same")

    def test_remus_cut(self):
        pair, whole = self.replicate("pvh", snapshots=False)
        cut = whole.checkpoints[0].end + 100
        pair, result = self.replicate("pvh", cut_at=cut)
        self.assertEqual(result.delivered, cut)
        self.assertEqual(result.complete, result.succeeded)
        self.assertLess(result.primary.status, 0)
        if result.complete:
            self.assertTrue(result.secondary.ok)
            last = result.checkpoints[result.complete - 1].snapshot
            self.assertEqual(last.compare(pair.saved, pair.there, pair.restored), "same")

    @needs_stock_colo_secondary
    def test_colo(self):
        pair, result = self.replicate("hvm", stream_type=COLO,
                                      secondary_guest={"working_set": 300, "rate": 20000})
        self.assertEqual(result.commits, ["same"] * 3)
        lists = [body for kind, body in result.back if kind == 0x0f]
        self.assertEqual(len(lists), 2)
        self.assertTrue(all(lists))


if __name__ == "__main__":
    sim_case.main()
