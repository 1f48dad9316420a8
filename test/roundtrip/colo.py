# SPDX-License-Identifier: LGPL-2.1-or-later
"""COLO: both guests run, and differ, until the next checkpoint makes the secondary what the primary
is; when the primary is gone, the secondary goes on as it is."""

import itertools
import struct

import sim
import sim_case
from replication import (CHECKPOINT_STATE, COLO, DIRTY_PFN_LIST, ERROR, FAILOVER, Replication,
                         record, write_all)
from replication_case import ReplicationCase
from sim_case import STOCK_COLO_SECONDARY, needs_stock, needs_stock_colo_secondary

KINDS = ("hvm", "pvh")


class ColoCase(ReplicationCase):
    SECONDARY_RUN = {"working_set": 1500, "stride": 7, "rate": 40000}

    def colo(self, kind="hvm", primary="xensr", secondary="xensr", **options):
        pair = self.pair(kind, primary, secondary, **dict(
            {"stream_type": COLO, "secondary_guest": self.SECONDARY_RUN, "checkpoints": 4},
            **options))
        return pair, pair.run()

    def lists(self, result):
        """The lists of dirty pages that came by the back channel."""
        for kind, body in result.back:
            self.assertIn(kind, (CHECKPOINT_STATE, DIRTY_PFN_LIST))
            if kind == DIRTY_PFN_LIST:
                yield struct.unpack(f"<{len(body) // 8}Q", body)


class Checkpoints(ColoCase):
    def each(self, helpers):
        for kind, (primary, secondary) in itertools.product(KINDS, helpers):
            with self.subTest(kind=kind, primary=primary, secondary=secondary):
                pair, result = self.colo(kind, primary, secondary)
                self.assertEqual(result.commits, ["same"] * 4)
                self.assertEqual(result.complete, 4)
                lists = list(self.lists(result))
                self.assertEqual(len(lists), 3)
                for dirty in lists:
                    self.assertTrue(dirty)
                    self.assertEqual(sorted(set(dirty)), list(dirty))
                # It ran on from the last one.
                self.assertNotEqual(self.verdict(pair, result, 3), "same")
                self.assert_guest_lives(pair)

    def test_xensr(self):
        self.each([("xensr", "xensr")])

    @needs_stock
    def test_with_stock_as_primary(self):
        self.each([("stock", "xensr")])

    @needs_stock_colo_secondary
    def test_with_stock_as_secondary(self):
        self.each([("xensr", "stock")])

    @needs_stock_colo_secondary
    def test_stock_alone(self):
        """The witness."""
        self.each([("stock", "stock")])

    def test_order_of_callbacks(self):
        _, result = self.colo(checkpoints=2)
        self.assertEqual([call[0] for call in result.primary.calls],
                         ["switch_qemu_logdirty",
                          *["suspend", "checkpoint", "postcopy", "wait_checkpoint"] * 2,
                          "switch_qemu_logdirty"])
        self.assertEqual([call[0] for call in result.secondary.calls],
                         ["static_data_done", "checkpoint", "postcopy", "wait_checkpoint",
                          "suspend", "checkpoint", "postcopy", "wait_checkpoint"])
        self.assertIsNotNone(result.secondary.results)

    def test_a_secondary_that_writes_nothing(self):
        _, result = self.colo(secondary_guest=None)
        self.assertEqual(result.commits, ["same"] * 4)
        self.assertEqual([dirty for dirty in self.lists(result) if dirty], [])

    def test_a_secondary_that_writes_all_over(self):
        _, result = self.colo(secondary_guest={"working_set": 2048, "stride": 1021})
        self.assertEqual(result.commits, ["same"] * 4)


class Failover(ColoCase):
    def kept(self, secondary, at, answer=None, kill=True):
        """The primary dies, and the secondary's guest is left as it is at that moment."""
        states = {}

        def gone(pair):
            if kill:
                pair.kill("primary")

        def look(pair):
            pair.there.pause(pair.restored)
            states["then"] = self.enterContext(pair.there.snapshot())
            return answer
        pair, result = self.colo("hvm", "xensr", secondary, checkpoints=1000, at={
            ("primary", *at): gone, ("secondary", "wait_checkpoint", at[1]): look})
        self.assertTrue(result.secondary.ok, result.secondary.errors)
        self.assertEqual(states["then"].compare(pair.restored, pair.there, pair.restored), "same")
        self.assertNotEqual(self.verdict(pair, result, at[1] - 1), "same")
        return pair, result

    def test_primary_killed(self):
        for secondary in ("xensr", *(["stock"] if sim.have_stock() and STOCK_COLO_SECONDARY else [])):
            for nth in (1, 3):
                with self.subTest(secondary=secondary, nth=nth):
                    self.kept(secondary, ("wait_checkpoint", nth))

    def test_the_toolstacks_word(self):
        self.kept("xensr", ("wait_checkpoint", 2), answer=FAILOVER, kill=False)

    def test_before_the_first_is_complete(self):
        pair, result = self.colo(at={("primary", "suspend", 1): lambda p: p.kill("primary")})
        self.assert_failed_clearly(result.secondary)
        self.assertEqual(result.succeeded, 0)
        self.assert_nothing_left(pair.there)

    def test_in_the_middle_of_a_later_one(self):
        """The secondary was suspended for it, and nothing of it was applied."""
        states = {}

        def keep(pair):
            states["then"] = self.enterContext(pair.there.snapshot())
        pair, result = self.colo(checkpoints=1000, at={
            ("primary", "after suspend", 3): lambda p: p.kill("primary"),
            ("secondary", "after suspend", 2): keep})
        self.assertTrue(result.secondary.ok, result.secondary.errors)
        self.assertEqual(result.succeeded, 2)
        self.assertEqual(states["then"].compare(pair.restored, pair.there, pair.restored), "same")
        self.assert_nothing_left(pair.there)

    def test_secondary_killed(self):
        for callback in (("checkpoint", 1), ("postcopy", 1), ("suspend", 1), ("checkpoint", 2)):
            with self.subTest(at=callback):
                pair, result = self.colo(checkpoints=1000, at={
                    ("secondary", *callback): lambda p: p.kill("secondary")})
                self.assertEqual(result.secondary.status, -9)
                self.assert_primary_lives(pair, result)


class Answers(ColoCase):
    def test_secondary_errs(self):
        for callback, nth, answer in (("postcopy", 1, ERROR), ("wait_checkpoint", 2, ERROR),
                                      ("suspend", 1, ERROR), ("suspend", 2, -1),
                                      ("checkpoint", 2, ERROR), ("postcopy", 2, 77)):
            with self.subTest(callback=callback, nth=nth, answer=answer):
                pair, result = self.colo(checkpoints=1000, at={
                    ("secondary", callback, nth): lambda _, a=answer: a})
                self.assert_failed_clearly(result.secondary)
                self.assert_nothing_left(pair.there)
                self.assert_primary_lives(pair, result)

    def test_primary_refuses(self):
        for callback, nth, answer in itertools.product(
                ("suspend", "checkpoint", "postcopy", "wait_checkpoint"), (1, 2), (0, -1)):
            if callback == "suspend" and answer:
                continue  # whatever is not 0 says that it is suspended
            with self.subTest(callback=callback, nth=nth, answer=answer):
                pair, result = self.colo(checkpoints=1000, at={
                    ("primary", callback, nth): lambda _, a=answer: a})
                self.assert_primary_lives(pair, result)

    def test_primary_cancelled(self):
        for callback in ("suspend", "checkpoint", "postcopy", "wait_checkpoint"):
            with self.subTest(callback=callback):
                pair, result = self.colo(checkpoints=1000, at={
                    ("primary", callback, 2): lambda p: p.cancel("primary")})
                self.assert_primary_lives(pair, result)

    def test_toolstacks_vanish(self):
        for side, callback in (("primary", "wait_checkpoint"), ("primary", "suspend"),
                               ("secondary", "suspend"), ("secondary", "postcopy")):
            with self.subTest(side=side, callback=callback):
                pair, result = self.colo(checkpoints=1000,
                                         at={(side, callback, 2): Replication.vanish})
                self.assertNotEqual(getattr(result, side).status, 0)
                self.assert_guest_lives(pair)


class Cancelled(ColoCase):
    def test_while_the_list_is_awaited(self):
        """The secondary is there and says nothing: that must not keep a save from ending."""
        asked = []

        def hold(channel, kind, body):
            if kind == DIRTY_PFN_LIST and not asked:
                asked.append(kind)
                pair.cancel("primary")
                pair.primary.driver.await_end(60)
            return None  # unchanged
        pair = self.pair("hvm", stream_type=COLO, checkpoints=3, edit_back=hold)
        result = pair.run()
        self.assertEqual(len(asked), 1)
        self.assertFalse(result.primary.ok)
        self.assertEqual(pair.here.show(pair.saved)["log_dirty"], 0)


class BackChannelDamage(ColoCase):
    """What the secondary says of its dirty pages is checked like everything from afar."""

    def refused(self, change, reason):
        """Change the second list."""
        seen = []

        def edit(_, kind, body):
            if kind != DIRTY_PFN_LIST:
                return None
            seen.append(body)
            return change(body) if len(seen) == 2 else None
        pair, result = self.colo(checkpoints=1000, edit_back=edit)
        self.assertEqual(len(seen), 2)
        self.assert_primary_lives(pair, result)
        self.assertIn(reason, result.primary.errors)

    def test_pfn_out_of_range(self):
        for pfn in (0xff000, 1 << 40, (1 << 64) - 1):
            with self.subTest(pfn=hex(pfn)):
                self.refused(lambda body, n=pfn: record(DIRTY_PFN_LIST,
                                                        body[8:] + struct.pack("<Q", n)),
                             f"back channel: pfn {pfn:#x} is beyond the guest's last")

    def test_odd_length(self):
        self.refused(lambda body: record(DIRTY_PFN_LIST, body + b"abc"),
                     "octets are no length of a list of pfns")

    def test_wrong_type(self):
        self.refused(lambda body: record(0x0e, body),
                     "back channel: a record of type 0xe, not CHECKPOINT_DIRTY_PFN_LIST")

    def test_too_long(self):
        self.refused(lambda body: struct.pack("<II", DIRTY_PFN_LIST, 0xfffffff8) + body,
                     "back channel")

    def test_longer_than_all_pfns(self):
        """Each of them many times over: legal, if foolish, or refused in words."""
        def many(body):
            return record(DIRTY_PFN_LIST, body * 400)
        seen = []

        def edit(_, kind, body):
            seen.append(kind)
            return many(body) if kind == DIRTY_PFN_LIST else None
        _, result = self.colo(edit_back=edit)
        if result.primary.status == 0 and len(result.commits) < 4:
            self.assertIn("back channel", result.primary.errors)

    def test_closed(self):
        def edit(channel, kind, _):
            if kind == DIRTY_PFN_LIST:
                channel.sink.close()
            return None
        pair, result = self.colo(checkpoints=1000, edit_back=edit)
        self.assert_primary_lives(pair, result)

    def test_cut_in_a_record(self):
        def edit(channel, kind, body):
            if kind != DIRTY_PFN_LIST:
                return None
            write_all(channel.sink.fd, record(kind, body)[:12])
            raise EOFError
        pair, result = self.colo(checkpoints=1000, edit_back=edit)
        self.assert_primary_lives(pair, result)


class Restrictions(ColoCase):
    def test_no_back_channel(self):
        host = self.host()
        guest = host.build(type="hvm", memory=8)
        outcome = sim.save(sim.helper("xensr"), host, guest, self.image(), flags=1,
                           stream_type=COLO, callbacks=(
                               "suspend", "switch_qemu_logdirty", "checkpoint", "postcopy",
                               "wait_checkpoint"))
        self.assert_failed_clearly(outcome)
        self.assert_guest_unharmed(host, guest)
        self.assert_nothing_left(host)

    def test_pv_is_refused(self):
        pair, result = self.colo("pv64", secondary_guest=None)
        self.assert_failed_clearly(result.primary)
        self.assertFalse(result.secondary.ok)
        self.assert_guest_lives(pair)


if __name__ == "__main__":
    sim_case.main()
