# SPDX-License-Identifier: LGPL-2.1-or-later
"""Remus: checkpoint after checkpoint, and whatever happens to either side, the secondary's domain
is the last complete checkpoint or nothing at all."""

import errno
import itertools
import struct

import sim
import sim_case
from checkpointed_stream import CheckpointedStream
from replication import ERROR, FAILOVER, Replication, record
from replication_case import KINDS, ReplicationCase, pairings
from sim_case import needs_stock
from stream_edit import PAGE_DATA, Record

OPTIONAL = 1 << 31


class Checkpoints(ReplicationCase):
    def replicated(self, kind, primary, secondary, **options):
        pair = self.pair(kind, primary, secondary, **options)
        result = pair.run()
        self.assertEqual(len(result.checkpoints), pair.limit)
        self.assertEqual(result.complete, pair.limit)
        self.assert_last_complete(pair, result)
        self.assertNotEqual(self.verdict(pair, result, 0), "same")
        if secondary == "xensr":
            self.assert_nothing_left(pair.there)
        return pair, result

    def each(self, helpers):
        for kind, (primary, secondary) in itertools.product(KINDS, helpers):
            with self.subTest(kind=kind, primary=primary, secondary=secondary):
                pair, result = self.replicated(kind, primary, secondary, checkpoints=4)
                self.assert_guest_lives(pair)
                if primary == "xensr":
                    # The toolstack ended it: not a save that can be relied on.
                    self.assert_failed_clearly(result.primary)
                    self.assertEqual(result.primary.complete, (-1, errno.ECANCELED))

    def test_xensr(self):
        self.each([("xensr", "xensr")])

    @needs_stock
    def test_with_stock(self):
        self.each([pair for pair in pairings() if "stock" in pair])

    @needs_stock
    def test_stock_alone(self):
        """The witness."""
        self.each([("stock", "stock")])

    def test_many(self):
        pair, _ = self.replicated("pvh", "xensr", "xensr", checkpoints=25, interval=0.001)
        self.assert_guest_lives(pair)

    def test_order_of_callbacks(self):
        pair = self.pair("hvm", checkpoints=2)
        result = pair.run()
        names = [call[0] for call in result.primary.calls]
        self.assertEqual(names, ["switch_qemu_logdirty",
                                 *["suspend", "postcopy", "checkpoint"] * 2,
                                 "switch_qemu_logdirty"])
        self.assertEqual([call[0] for call in result.secondary.calls],
                         ["static_data_done", "checkpoint", "checkpoint"])

    def test_ballooning_between_checkpoints(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                def balloon(pair):
                    pair.here.balloon(pair.saved, out=[700, 1500])

                def back(pair):
                    pair.here.balloon(pair.saved, in_=[1500])
                    pair.here.write(pair.saved, [1500])
                pair = self.pair(kind, checkpoints=4,
                                 at={("primary", "after postcopy", 1): balloon,
                                     ("primary", "after postcopy", 2): back})
                self.assert_last_complete(pair, pair.run())


class DeadPrimary(ReplicationCase):
    def killed(self, at, helpers=None, kinds=KINDS, checkpoints=5):
        for kind, (primary, secondary) in itertools.product(kinds, helpers or pairings()):
            with self.subTest(kind=kind, primary=primary, secondary=secondary, at=at):
                pair = self.pair(kind, primary, secondary, checkpoints=checkpoints,
                                 at={("primary", *at): lambda pair: pair.kill("primary")})
                result = pair.run()
                self.assertEqual(result.primary.status, -9)
                self.assert_last_complete(pair, result)
                yield pair, result

    def test_while_the_guest_is_suspended(self):
        for _, result in self.killed(("suspend", 3)):
            self.assertEqual(result.complete, 2)

    def test_before_libxls_part(self):
        """All of the domain stream's part is there, but not the toolstack's."""
        def die(pair):
            pair.kill("primary")
            raise sim.Vanish
        for primary, secondary in pairings():
            with self.subTest(primary=primary, secondary=secondary):
                pair = self.pair("hvm", primary, secondary,
                                 at={("primary", "checkpoint", 3): die})
                result = pair.run()
                self.assertEqual(result.complete, 2)
                self.assert_last_complete(pair, result)

    def test_after_a_complete_checkpoint(self):
        for _, result in self.killed(("after checkpoint", 3)):
            self.assertEqual(result.complete, 3)

    def test_before_the_first_is_complete(self):
        for _, result in self.killed(("suspend", 1)):
            self.assertEqual(result.complete, 0)
            self.assertIsNotNone(result.secondary.complete)
            self.assertNotEqual(result.secondary.complete[0], 0)

    def test_cut_anywhere_in_a_checkpoint(self):
        """The stream ends at exactly one octet: within headers, bodies, padding, libxl's part."""
        for kind in ("hvm", "pv64"):
            _, whole = self.recorded(kind, checkpoints=3)
            places = [place for checkpoint in whole.checkpoints
                      for place in (checkpoint.start - 9, checkpoint.start - 8,
                                    checkpoint.start - 1, checkpoint.start, checkpoint.start + 3,
                                    checkpoint.end - 8, checkpoint.end - 1, checkpoint.end,
                                    checkpoint.end + 4, checkpoint.end + 4000)]
            for place in places:
                with self.subTest(kind=kind, place=place):
                    replay, result = self.replay(kind, whole.stream[:place])
                    complete = sum(1 for c in whole.checkpoints if c.end <= place)
                    self.assertEqual(result.succeeded, complete)
                    self.assertEqual(result.secondary.ok, complete > 0, result.secondary.errors)
                    if complete:
                        self.assertEqual(whole.checkpoints[complete - 1].snapshot.compare(
                            1, replay.there, replay.restored), "same")
                    self.assert_nothing_left(replay.there)


class DeadSecondary(ReplicationCase):
    def test_killed(self):
        for kind, callback in itertools.product(("hvm", "pv64"), (
                ("static_data_done", 1), ("checkpoint", 1), ("after checkpoint", 2))):
            with self.subTest(kind=kind, at=callback):
                pair = self.pair(kind, checkpoints=1000, at={
                    ("secondary", *callback): lambda pair: pair.kill("secondary")})
                result = pair.run()
                self.assertEqual(result.secondary.status, -9)
                self.assert_primary_lives(pair, result)


class Answers(ReplicationCase):
    """What the toolstacks say."""

    def secondary_says(self, answer, nth, **options):
        pair = self.pair("hvm", checkpoints=1000,
                         at={("secondary", "checkpoint", nth): lambda _: answer}, **options)
        return pair, pair.run()

    def test_failover_at_the_first_checkpoint(self):
        pair, result = self.secondary_says(FAILOVER, 1)
        self.assert_failed_clearly(result.secondary)
        self.assertEqual(result.succeeded, 0)
        self.assert_primary_lives(pair, result)

    def test_failover_later(self):
        for secondary in ("xensr", *(["stock"] if sim.have_stock() else [])):
            with self.subTest(secondary=secondary):
                pair, result = self.secondary_says(FAILOVER, 4, secondary=secondary)
                self.assertTrue(result.secondary.ok, result.secondary.errors)
                self.assertEqual(result.succeeded, 3)
                self.assertEqual(self.verdict(pair, result, 2), "same")

    def test_error(self):
        for nth in (1, 3):
            with self.subTest(nth=nth):
                pair, result = self.secondary_says(ERROR, nth)
                self.assert_failed_clearly(result.secondary)
                self.assert_primary_lives(pair, result)

    def test_answers_that_are_none(self):
        for answer in (-1, 3, 77):
            with self.subTest(answer=answer):
                _, result = self.secondary_says(answer, 3)
                self.assert_failed_clearly(result.secondary)

    def test_primary_refuses(self):
        for kind, callback, nth, answer in (
                *itertools.product(("hvm",), ("postcopy", "checkpoint"), (1, 3), (0, -1)),
                ("hvm", "suspend", 1, 0), ("hvm", "suspend", 3, 0), ("pv64", "suspend", 3, 0),
                ("pv64", "postcopy", 2, 0), ("pv64", "checkpoint", 2, 0)):
            with self.subTest(kind=kind, callback=callback, nth=nth, answer=answer):
                pair = self.pair(kind, checkpoints=1000,
                                 at={("primary", callback, nth): lambda _, a=answer: a})
                result = pair.run()
                self.assert_primary_lives(pair, result)
                self.assert_last_complete(pair, result)

    def test_primary_cancelled(self):
        for callback in ("suspend", "postcopy", "checkpoint"):
            with self.subTest(callback=callback):
                def cancel(pair):
                    pair.cancel("primary")
                pair = self.pair("hvm", checkpoints=1000, at={("primary", callback, 3): cancel})
                result = pair.run()
                self.assert_primary_lives(pair, result)
                self.assertEqual(result.primary.complete, (-1, errno.ECANCELED))
                self.assert_last_complete(pair, result)

    def test_primary_toolstack_vanishes(self):
        for callback in ("suspend", "postcopy", "checkpoint"):
            with self.subTest(callback=callback):
                pair = self.pair("hvm", checkpoints=1000,
                                 at={("primary", callback, 3): Replication.vanish})
                result = pair.run()
                self.assertGreater(result.primary.status, 0)
                self.assert_guest_lives(pair)
                self.assert_last_complete(pair, result)

    def test_secondary_toolstack_vanishes(self):
        pair = self.pair("hvm", checkpoints=1000,
                         at={("secondary", "checkpoint", 3): Replication.vanish})
        result = pair.run()
        self.assertNotEqual(result.secondary.status, 0)
        self.assert_primary_lives(pair, result)


class Streams(ReplicationCase):
    """Streams that were changed on their way: damage is an error, not a dead primary."""

    KIND = "hvm"

    def setUp(self):
        self.whole_pair, self.whole = self.recorded(self.KIND, checkpoints=3)
        self.parsed = CheckpointedStream(self.whole.stream)

    def given(self, octets=None, **options):
        return self.replay(self.KIND, self.parsed.octets() if octets is None else octets,
                           **options)

    def assert_is(self, replay, nth):
        self.assertEqual(self.whole.checkpoints[nth].snapshot.compare(
            self.whole_pair.saved, replay.there, replay.restored), "same")

    def refused(self, *reasons, **options):
        replay, result = self.given(**options)
        self.assert_failed_clearly(result.secondary)
        for reason in reasons:
            self.assertIn(reason, result.secondary.errors)
        self.assert_nothing_left(replay.there)

    def test_unchanged(self):
        replay, result = self.given()
        self.assertTrue(result.secondary.ok, result.secondary.errors)
        self.assert_is(replay, 2)

    def test_record_types_that_are_none(self):
        for checkpoint in (1, 2):
            with self.subTest(checkpoint=checkpoint):
                self.parsed = CheckpointedStream(self.whole.stream)
                self.parsed.insert(checkpoint, Record(0x77))
                self.refused("0x77")

    def test_damaged_page_data(self):
        for layout, offset, value in (("I", 0, 0), ("I", 0, 1 << 30),
                                      ("Q", 8, 5 << 60), ("Q", 8, 1 << 50)):
            with self.subTest(offset=offset, value=value):
                self.parsed = CheckpointedStream(self.whole.stream)
                page_data = next(record for record in self.parsed.in_checkpoint(2)
                                 if record.kind == PAGE_DATA)
                page_data.put(layout, offset, value)
                self.refused()

    def test_length_beyond_the_limit(self):
        octets = bytearray(self.whole.stream)
        place = self.whole.checkpoints[0].end
        struct.pack_into("<I", octets, place + 4, 0xfffffff9)
        self.refused(octets=octets)

    def test_optional_record(self):
        for checkpoint in (0, 1, 2):
            with self.subTest(checkpoint=checkpoint):
                self.parsed = CheckpointedStream(self.whole.stream)
                self.parsed.insert(checkpoint, Record(OPTIONAL | 0x77, b"nobody knows"))
                replay, result = self.given()
                self.assertTrue(result.secondary.ok, result.secondary.errors)
                self.assert_is(replay, 2)

    def test_records_without_end(self):
        """Between two checkpoints, as many as the secondary takes."""
        pages = next(bytes(r.octets()) for r in self.parsed.records if r.kind == PAGE_DATA)
        taken = 0

        def endless():
            nonlocal taken
            yield self.whole.stream[:self.whole.checkpoints[0].end]
            while taken < 4096:
                yield pages
                taken += 1
        replay, result = self.given(octets=endless(), env={"XENSR_CHECKPOINT_LIMIT_MIB": 16})
        self.assert_failed_clearly(result.secondary)
        self.assertIn("the checkpoint takes up more than the limit of 16777216 octets",
                      result.secondary.errors)
        self.assertLess(taken * len(pages), 64 << 20)
        self.assert_nothing_left(replay.there)

    def test_small_records_without_end(self):
        def endless():
            yield self.whole.stream[:self.whole.checkpoints[0].end]
            for _ in range(8):  # mebibytes
                yield record(OPTIONAL | 0x77, bytes(8)) * 65536
        _, result = self.given(octets=endless(), env={"XENSR_CHECKPOINT_LIMIT_MIB": 1})
        # Nothing of what is skipped needs to be kept: then the stream broke off.
        if not result.secondary.ok:
            self.assertIn("the checkpoint takes up more than the limit", result.secondary.errors)

    def test_verify_is_for_plain_streams(self):
        self.parsed.insert(1, Record(0x0d))
        self.refused()

    def test_end_inside_a_checkpoint(self):
        """The saver ended the stream in order: what came before it is complete."""
        self.parsed.records = self.parsed.records[:self.parsed.ends()[1]]
        end = Record(0)
        end.toolstack = False
        self.parsed.records.append(end)
        replay, result = self.given()
        if result.secondary.ok:
            self.assert_is(replay, 1)
        else:
            self.assert_failed_clearly(result.secondary)

    def test_checkpoint_in_a_plain_restore(self):
        there = self.host()
        image = self.image()
        image.write(self.whole.stream)
        image.seek(0)
        outcome = sim.restore(sim.helper("xensr"), there, self.empty(there, self.KIND), image)
        self.assert_failed_clearly(outcome)
        self.assert_nothing_left(there)


class PvStreams(Streams):
    KIND = "pv64"


if __name__ == "__main__":
    sim_case.main()
