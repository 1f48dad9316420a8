# SPDX-License-Identifier: LGPL-2.1-or-later
"""Both sides of a checkpointed migration at once: Remus and COLO.

    pair = Replication(here, saved, there, restored, "xensr", "xensr", checkpoints=3)
    result = pair.run()                 # two helpers, two threads that play libxl to them
    there.compare / result.restored_is(...)

Between the helpers stands a Relay. It knows how many octets the secondary was given, and can end
the stream at any one of them. What libxl does around the helpers stands in class Primary and
class Secondary: the records that it writes into the same stream after each CHECKPOINT, COLO's
CHECKPOINT_STATE records both ways, suspending and resuming on both sides.
"""

import dataclasses
import fcntl
import os
import select
import signal
import struct
import termios
import threading
import time

import sim

REMUS, COLO = 1, 2
LIVE = 1  # XCFLAGS_LIVE
# Records of libxl's stream.
EMULATOR_CONTEXT, CHECKPOINT_END, CHECKPOINT_STATE = 3, 4, 5
NEW, SUSPENDED, READY, RESUMED = range(4)  # CHECKPOINT_STATE
ERROR, SUCCESS, FAILOVER = range(3)  # XGR_CHECKPOINT_*
DIRTY_PFN_LIST = 0x0f


def record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def state_record(state: int) -> bytes:
    return record(CHECKPOINT_STATE, struct.pack("<II", state, 0))


def write_all(fd: int, octets: bytes):
    view = memoryview(octets)
    while view:
        view = view[os.write(fd, view):]


def read_exactly(fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(fd, count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_record(fd: int):
    kind, length = struct.unpack("<II", read_exactly(fd, 8))
    return kind, read_exactly(fd, length + -length % 8)[:length]


class Descriptor:
    """A file descriptor that is closed once, from whichever thread."""

    def __init__(self, fd: int):
        self.fd, self.lock = fd, threading.Lock()

    def close(self):
        with self.lock:
            if self.fd >= 0:
                os.close(self.fd)
            self.fd = -1


def pipe():
    return map(Descriptor, os.pipe())


class Relay(threading.Thread):
    """Moves octets from one pipe to another. `moved` of them got through. `broken_by` is the side
    that ended it: "primary" also for a cut."""

    def __init__(self, source: Descriptor, sink: Descriptor, cut_at=None, on_cut=None, keep=False):
        super().__init__(daemon=True)
        self.source, self.sink = source, sink
        self.cut_at, self.on_cut = cut_at, on_cut
        self.moved, self.kept, self.broken_by = 0, bytearray() if keep else None, None
        self.moving, self.ended, self.writing = threading.Lock(), threading.Event(), False

    def _move(self) -> bool:
        """One piece; is there more to come?"""
        wanted = 1 << 16
        if self.cut_at is not None:
            wanted = min(wanted, self.cut_at - self.moved)
        data = os.read(self.source.fd, wanted) if wanted else b""
        if self.kept is not None:
            self.kept += data
        self.writing = bool(data)
        while data:
            count = os.write(self.sink.fd, data)
            self.moved += count
            data = data[count:]
        self.writing = False
        return self.moved < self.cut_at if self.cut_at is not None else wanted > 0

    def _wait_readable(self):
        select.select([self.source.fd], [], [])

    def run(self):
        more = True
        try:
            while more:
                self._wait_readable()
                with self.moving:
                    before = self.moved
                    more = self._move() and self.moved > before
            if self.cut_at is not None and self.moved >= self.cut_at and self.on_cut:
                self.on_cut()
        except (OSError, ValueError):
            pass  # the other side is gone
        finally:
            self.broken_by = "secondary" if self.writing else "primary"
            self.ended.set()
            self.source.close()
            self.sink.close()

    def settle(self) -> int:
        """Wait until all that was written has been moved; its number of octets."""
        while not self.ended.is_set():
            with self.moving:
                waiting = bytearray(4)
                try:
                    fcntl.ioctl(self.source.fd, termios.FIONREAD, waiting)
                except (OSError, ValueError):
                    break
                if not any(waiting):
                    return self.moved
            time.sleep(0.0002)
        return self.moved


class BackChannel(threading.Thread):
    """COLO's way back: whole records, kept in `records`, that a test can change."""

    def __init__(self, source: Descriptor, sink: Descriptor, edit=None):
        super().__init__(daemon=True)
        self.source, self.sink, self.edit, self.records = source, sink, edit, []

    def run(self):
        try:
            while True:
                kind, body = read_record(self.source.fd)
                self.records.append((kind, body))
                octets = self.edit(self, kind, body) if self.edit else None
                write_all(self.sink.fd, record(kind, body) if octets is None else octets)
        except (OSError, EOFError):
            pass
        finally:
            self.source.close()
            self.sink.close()


@dataclasses.dataclass
class Checkpoint:
    """What there is to know of one of the primary's checkpoints."""

    snapshot: sim.Host | None  # of the primary's host, when the guest was suspended
    start: int | None = None  # octets of the stream up to its CHECKPOINT record
    end: int | None = None  # and up to libxl's CHECKPOINT_END


@dataclasses.dataclass
class Result:
    primary: sim.Outcome | None
    secondary: sim.Outcome
    checkpoints: list  # of Checkpoint: one for each time the guest was suspended
    delivered: int  # octets that the secondary could read
    succeeded: int  # checkpoints to which the secondary's callback said SUCCESS
    commits: list  # COLO: Host.compare() at each of the secondary's postcopy callbacks
    broken_by: str | None = None  # "primary" or "secondary": who was gone first
    stream: bytes | None = None
    back: list = dataclasses.field(default_factory=list)  # (kind, body) of the back channel

    @property
    def complete(self) -> int:
        """Checkpoints that the secondary was given whole, libxl's part too."""
        return sum(1 for c in self.checkpoints if c.end is not None and c.end <= self.delivered)


class Side:
    """What both sides' callbacks share: things to happen `at` some of them.

    `at` maps ("primary" or "secondary", callback, nth) to a function of the Replication. When it
    returns a number, that is the answer, and nothing else is done. "after suspend" and so on: when
    the work is done.
    """

    def __init__(self, pair, name: str):
        self.pair, self.name, self.driver = pair, name, None

    def _event(self, callback: str, nth: int):
        action = self.pair.at.get((self.name, callback, nth))
        return action(self.pair) if action else None

    def wrap(self, callback: str, work):
        count = 0

        def answer(*arguments):
            nonlocal count
            count += 1
            early = self._event(callback, count)
            if early is not None:
                return early
            result = work(*arguments)
            late = self._event("after " + callback, count)
            return result if late is None else late
        return answer

    def answers(self) -> dict:
        return {name: self.wrap(name, getattr(self, name)) for name in self.CALLBACKS}

    def bits(self) -> int:
        return sum(1 << n for n, (name, _) in sim.Driver.CALLS.items() if name in self.CALLBACKS)


class Primary(Side):
    REMUS_CALLBACKS = ("suspend", "postcopy", "checkpoint", "switch_qemu_logdirty")
    COLO_CALLBACKS = (*REMUS_CALLBACKS, "wait_checkpoint")

    def __init__(self, pair):
        super().__init__(pair, "primary")
        self.CALLBACKS = self.COLO_CALLBACKS if pair.colo else self.REMUS_CALLBACKS

    def switch_qemu_logdirty(self, *_):
        return 0

    def _await(self, state: int) -> bool:
        """Read the secondary's word from the back channel."""
        try:
            kind, body = read_record(self.pair.recv.fd)
        except (EOFError, OSError):
            return False
        if kind != CHECKPOINT_STATE or struct.unpack_from("<I", body)[0] != state:
            raise sim.SimError(f"record {kind:#x} of {len(body)} octets, not state {state}")
        return True

    def _send(self, octets: bytes) -> bool:
        try:
            write_all(self.pair.io.fd, octets)
        except OSError:
            return False
        return True

    def suspend(self):
        pair = self.pair
        if pair.colo and pair.checkpoints and not self._send(state_record(NEW)):
            return 0
        if not pair.here.suspend(pair.saved):
            return 0
        if pair.colo and pair.checkpoints and not self._await(SUSPENDED):
            return 0
        pair.checkpoints.append(Checkpoint(pair.here.snapshot() if pair.snapshots else None))
        return 1

    def checkpoint(self):
        pair, this = self.pair, self.pair.checkpoints[-1]
        this.start = pair.relay.settle()
        number = len(pair.checkpoints)
        octets = record(EMULATOR_CONTEXT, struct.pack("<II", 2, 0) + bytes([number]) * 777)
        octets += record(CHECKPOINT_END)
        this.end = this.start + len(octets)
        if not self._send(octets):
            return 0
        if pair.colo:
            return 1
        time.sleep(pair.interval)
        return int(number < pair.limit)

    def postcopy(self):
        pair = self.pair
        if pair.colo and not self._await(READY):
            return 0
        resumed = pair.here.resume(pair.saved)
        if pair.colo and not self._await(RESUMED):
            return 0
        return int(resumed)

    def wait_checkpoint(self):
        time.sleep(self.pair.interval)
        return int(len(self.pair.checkpoints) < self.pair.limit)


class Secondary(Side):
    REMUS_CALLBACKS = ("static_data_done", "checkpoint")
    COLO_CALLBACKS = (*REMUS_CALLBACKS, "suspend", "postcopy", "wait_checkpoint")

    def __init__(self, pair):
        super().__init__(pair, "secondary")
        self.CALLBACKS = self.COLO_CALLBACKS if pair.colo else self.REMUS_CALLBACKS
        self.succeeded, self.runs = 0, False
        self.toolstack_records = []

    def static_data_done(self, *_):
        return 0

    def checkpoint(self):
        """Read libxl's part of the checkpoint."""
        kind = None
        try:
            while kind != CHECKPOINT_END:
                kind, body = read_record(self.pair.source.fd)
                self.toolstack_records.append((kind, body))
        except (EOFError, OSError):
            return FAILOVER
        self.succeeded += 1
        return SUCCESS

    def _tell(self, state: int) -> bool:
        try:
            write_all(self.pair.send_back.fd, state_record(state))
        except OSError:
            return False
        return True

    def postcopy(self):
        pair = self.pair
        if pair.snapshots:
            snapshot = pair.checkpoints[self.succeeded - 1].snapshot
            pair.commits.append(snapshot.compare(pair.saved, pair.there, pair.restored))
        if not self._tell(READY):
            return FAILOVER
        if self.runs:
            pair.there.resume(pair.restored)
        else:
            pair.there.log_dirty(pair.restored)
            pair.there.unpause(pair.restored)
            if pair.secondary_guest:
                pair.there.start_guest(pair.restored, through_suspends=True,
                                       **pair.secondary_guest)
            self.runs = True
        if pair.secondary_guest:
            pair.there.await_writes(pair.restored)  # so that it does differ
        return 1 if self._tell(RESUMED) else FAILOVER

    def wait_checkpoint(self):
        try:
            kind, body = read_record(self.pair.source.fd)
        except (EOFError, OSError):
            return FAILOVER
        if (kind, body[:4]) != (CHECKPOINT_STATE, struct.pack("<I", NEW)):
            raise sim.SimError(f"record {kind:#x} where a new checkpoint was to begin")
        return 1

    def suspend(self):
        if not self.pair.there.suspend(self.pair.restored):
            return ERROR
        return 1 if self._tell(SUSPENDED) else FAILOVER


class Replication:
    """A saved domain on one host, a new one on another, and a helper for each ("stock", "xensr").

    checkpoints      how many; then the toolstack's answer ends the save
    interval         seconds between them, in which the guest can write
    at               things to happen at callbacks: see Side
    cut_at           the stream ends after so many octets, and the primary is killed then
    kill_after       (side, seconds): killed that long after the start
    snapshots        of the primary's host at each suspend: Checkpoint.snapshot
    keep             keep what the secondary got: Result.stream
    secondary_guest  COLO: options for start_guest() on the secondary
    edit_back        COLO: function(BackChannel, kind, body) -> octets to pass on, None: unchanged
    """

    def __init__(self, here, saved, there, restored, primary="stock", secondary="stock",
                 stream_type=REMUS, checkpoints=3, interval=0.003, at=None, cut_at=None,
                 kill_after=None, snapshots=True, keep=False, secondary_guest=None,
                 edit_back=None, flags=LIVE, env=None, timeout=120):
        self.here, self.saved, self.there, self.restored = here, saved, there, restored
        self.helpers = {"primary": primary, "secondary": secondary}
        self.stream_type, self.colo, self.flags = stream_type, stream_type == COLO, flags
        self.limit, self.interval, self.at = checkpoints, interval, at or {}
        self.cut_at, self.kill_after, self.snapshots = cut_at, kill_after, snapshots
        self.keep, self.secondary_guest, self.edit_back = keep, secondary_guest, edit_back
        self.env, self.timeout = env or {}, timeout
        self.checkpoints, self.commits = [], []
        self.primary, self.secondary = Primary(self), Secondary(self)
        self.errors = []
        self.relay = self.back = None

    def kill(self, side: str):
        """SIGKILL a helper. For `at`: returns None, so the callback goes on."""
        self.signal(side, signal.SIGKILL)

    def cancel(self, side: str):
        """SIGTERM, as libxl sends it."""
        self.signal(side, signal.SIGTERM)

    def signal(self, side: str, number: int):
        driver = getattr(self, side).driver
        if driver:
            driver.signal(number)

    @staticmethod
    def vanish(_=None):
        """For `at`: the toolstack of that side is gone."""
        raise sim.Vanish

    def _start_secondary(self):
        bits = self.secondary.bits() | 1 << 9
        fds = (self.source.fd, *([self.send_back.fd] if self.colo else []))
        words = [sim.helper(self.helpers["secondary"]), "--restore-domain", self.source.fd,
                 self.send_back.fd if self.colo else -1, self.restored, sim.STORE_EVTCHN, 0,
                 sim.CONSOLE_EVTCHN, 0, bits, self.stream_type]
        self.secondary.driver = sim.Driver(words, self.there, fds, self.secondary.answers(),
                                           env=self.env, timeout=self.timeout)

    def _start_primary(self):
        fds = (self.io.fd, *([self.recv.fd] if self.colo else []))
        words = [sim.helper(self.helpers["primary"]), "--save-domain", self.io.fd,
                 self.recv.fd if self.colo else -1, self.saved, self.flags, self.primary.bits(),
                 self.stream_type]
        self.primary.driver = sim.Driver(words, self.here, fds, self.primary.answers(),
                                         env=self.env, timeout=self.timeout)

    def _play(self, side: Side, *ends):
        """A side's thread. When its helper is gone, so are libxl's ends of what it used."""
        try:
            side.driver.run()
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)
            side.driver.signal(signal.SIGKILL)
        finally:
            for end in ends:
                end.close()

    def _watch(self, threads):
        timers = [threading.Timer(self.timeout, lambda: [
            self.errors.append(sim.SimError("the helpers do not end")),
            self.kill("primary"), self.kill("secondary")])]
        if self.kill_after:
            side, seconds = self.kill_after
            timers.append(threading.Timer(seconds, self.kill, (side,)))
        for thread in (*timers, *threads):
            thread.daemon = True
            thread.start()
        for thread in threads:
            thread.join()
        for timer in timers:
            timer.cancel()
            timer.join()
        if self.errors:
            raise self.errors[0]

    def run(self) -> Result:
        relay_source, self.io = pipe()
        self.source, relay_sink = pipe()
        self.relay = Relay(relay_source, relay_sink, self.cut_at, lambda: self.kill("primary"),
                           self.keep)
        self.send_back = self.recv = Descriptor(-1)
        if self.colo:
            back_source, self.send_back = pipe()
            self.recv, back_sink = pipe()
            self.back = BackChannel(back_source, back_sink, self.edit_back)
        self._start_secondary()
        self._start_primary()
        threads = [threading.Thread(target=self._play, args=(self.primary, self.io, self.recv)),
                   threading.Thread(target=self._play,
                                    args=(self.secondary, self.source, self.send_back)),
                   self.relay, *([self.back] if self.back else [])]
        self._watch(threads)
        return Result(self.primary.driver.outcome, self.secondary.driver.outcome,
                      self.checkpoints, self.relay.moved, self.secondary.succeeded, self.commits,
                      self.relay.broken_by, bytes(self.relay.kept) if self.keep else None,
                      self.back.records if self.back else [])

    def close(self):
        """Give back the snapshots' memory."""
        for checkpoint in self.checkpoints:
            if checkpoint.snapshot:
                checkpoint.snapshot.__exit__()
                checkpoint.snapshot = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Replay(Replication):
    """A secondary alone, that is given a stream of octets (or what an iterator yields): Remus."""

    def __init__(self, there, restored, octets, secondary="stock", **options):
        super().__init__(None, None, there, restored, None, secondary, snapshots=False, **options)
        self.octets = [octets] if isinstance(octets, (bytes, bytearray)) else octets
        self.fed = 0

    def _feed(self, sink):
        try:
            for piece in self.octets:
                write_all(sink.fd, piece)
                self.fed += len(piece)
        except OSError:
            pass
        finally:
            sink.close()

    def run(self) -> Result:
        self.source, sink = pipe()
        self.send_back = Descriptor(-1)
        self._start_secondary()
        self._watch([threading.Thread(target=self._play, args=(self.secondary, self.source)),
                     threading.Thread(target=self._feed, args=(sink,))])
        return Result(None, self.secondary.driver.outcome, [], self.fed,
                      self.secondary.succeeded, [])
