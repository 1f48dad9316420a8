# SPDX-License-Identifier: LGPL-2.1-or-later
"""A primary may die at any octet: a Remus stream of ours or stock's, cut at one after the other.

cut_checkpoints.c does the restores; here the stream is recorded, with a snapshot of the guest at
each checkpoint. The guest writes between checkpoints, so each is another state.
"""

import itertools
import os
import subprocess

import replication
import sim
import sim_case
from checkpointed_stream import CheckpointedStream
from sim_case import LONG, SimCase, needs_stock
from stream_edit import HEADERS, PAGE

CHECKPOINTS = 3
WORKERS = 2
CUTS_A_JOB = 1000  # as a process and a host have only so many mappings and domain ids
# With sanitizers, which make each cut thrice as slow, of a page or a large body: so much of its front and of
# its end at every octet, and what is between them, which is read in one call, every so often.
SPARSE = bool(os.environ.get("XENSR_SANITIZED")) and not LONG
FRONT, BACK, BETWEEN = 256, 64, 17


def ranges(stream, first, end):
    """Where to cut from one octet of a stream up to another, both included."""
    if not SPARSE:
        return [range(first, end + 1)]
    records = CheckpointedStream(stream).records
    places = list(itertools.accumulate((len(record.octets()) for record in records),
                                       initial=HEADERS))
    # Pages end where their record does.
    places = sorted({at for start, stop in itertools.pairwise(places)
                     for at in (start, *range(stop, start, -PAGE)) if first <= at <= end})
    found, dense = [], first
    for start, stop in itertools.pairwise([first, *places, end]):
        if stop - start > FRONT + BACK:
            found += [range(dense, start + FRONT), range(start + FRONT, stop - BACK, BETWEEN)]
            dense = stop - BACK
    return [*found, range(dense, end + 1)]


class Cuts(SimCase):
    maxDiff = None

    def record(self, primary, guest):
        """The saved domain, the path of a stream, the stream, and its checkpoints."""
        here, there = self.host(), self.host()
        saved = here.build(**guest)
        here.start_guest(saved, working_set=1, rate=2000, through_suspends=True)
        restored = there.new(type=self.kind(guest), pages=guest["pages"])
        pair = replication.Replication(here, saved, there, restored, primary, "xensr",
                                       checkpoints=CHECKPOINTS, interval=0.004, keep=True)
        result = pair.run()
        for checkpoint in result.checkpoints:
            self.enterContext(checkpoint.snapshot)
        self.assertEqual(result.complete, CHECKPOINTS)
        stream = self.enterContext(sim.tempfile.NamedTemporaryFile(dir=sim.TMPFS))
        stream.write(result.stream)
        stream.flush()
        return saved, stream.name, result.stream, result.checkpoints

    @staticmethod
    def kind(guest):
        return "pv" if guest["type"].startswith("pv") and guest["type"] != "pvh" else "hvm"

    def job(self, guest, saved, path, checkpoints, cuts):
        """Start the restores of a range of cuts, on a host of their own."""
        host = self.host(frames=4 * (guest["pages"] + 512))
        ends = [f"{c.end}:{c.snapshot.dir}:{saved}" for c in checkpoints]
        return subprocess.Popen(
            [os.path.join(sim.BUILD, "cut_checkpoints"), host.dir, self.kind(guest),
             str(guest["pages"] + 1024), path, str(cuts[0]), str(cuts[-1]), str(cuts.step), *ends],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def cut(self, guest, saved, path, checkpoints, ranges_):
        """All these cuts, WORKERS jobs at a time."""
        jobs = [cuts[i:i + CUTS_A_JOB] for cuts in ranges_
                for i in range(0, len(cuts), CUTS_A_JOB)]
        while jobs:
            running = [self.job(guest, saved, path, checkpoints, job) for job in jobs[:WORKERS]]
            del jobs[:WORKERS]
            for worker in running:
                said = worker.communicate()[0]
                self.assertEqual((worker.returncode, said), (0, ""))

    def sweep(self, primary, **guest):
        """Every octet of the last two checkpoints; the image before them, which is mostly pages, every so
        often."""
        saved, path, stream, checkpoints = self.record(primary, guest)
        first = checkpoints[0].start
        self.cut(guest, saved, path, checkpoints, [
            *ranges(stream, first, checkpoints[-1].end), range(0, first, 1 if LONG else 211)])

    def test_hvm(self):
        self.sweep("xensr", type="pvh", pages=16)

    def test_pv64(self):
        self.sweep("xensr", type="pv64", pages=128)

    def test_pv32(self):
        self.sweep("xensr", type="pv32", pages=128)

    @needs_stock
    def test_stock_primary(self):
        """PV, because stock sends a PVH guest's holes: eight megabytes to read for each cut."""
        self.sweep("stock", type="pv64", pages=128)


if __name__ == "__main__":
    sim_case.main()
