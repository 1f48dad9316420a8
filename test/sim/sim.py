# SPDX-License-Identifier: LGPL-2.1-or-later
"""Simulated hosts from Python, and a driver that plays libxl to a save helper.

    with Host() as host:
        guest = host.build(type="pvh", memory=64)
        with open("image", "wb") as image:
            outcome = save(helper("xensr"), host, guest, image)

What the driver knows of the helper's protocol stands in one place, class Driver.
"""

import contextlib
import ctypes
import dataclasses
import json
import os
import resource
import shlex
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time

BUILD = os.environ.get("XENSIM_BUILD", os.getcwd())
CACHE = os.environ.get("XENSR_CACHE", os.path.expanduser("~/.cache/xensr"))
# Stock's tools, as a folder like /usr/lib/xen-4.17, and the Xen that hosts are to be.
STOCK = os.environ.get("XENSIM_STOCK", os.path.join(CACHE, "stock", "usr", "lib", "xen-4.17"))
XEN = os.environ.get("XENSIM_XEN", "4.17")
TMPFS = os.environ.get("XENSIM_TMPFS", "/dev/shm")
STORE_EVTCHN, CONSOLE_EVTCHN = 11, 12
STAMP_OCTET = 16  # where a guest's write numbers its page: test/sim/guest.h
STATIC_DATA_MISSING = {1: "CPUID", 2: "MSR"}


class SimError(Exception):
    """The simulated host or the driver itself failed: not a verdict on a helper."""


def library() -> str:
    return os.path.join(BUILD, ".libs", "libxensim.so")


def fault_library() -> str:
    return os.path.join(BUILD, ".libs", "libxenfault.so")


def helper(name: str) -> str:
    """The path of a helper: "xensr" is the one just built, "stock" Debian's."""
    if name == "xensr":
        # What libtool wraps in a script that finds the library: environment() does that here.
        return os.path.join(BUILD, ".libs", "libxl-save-helper")
    return os.path.join(STOCK, "bin", "libxl-save-helper")


def have_stock() -> bool:
    return os.access(helper("stock"), os.X_OK)


# ---- hosts ----------------------------------------------------------------------------------


class Host:
    """A simulated host in a folder of its own on tmpfs; gone after the with block."""

    def __init__(self, **options):
        self.dir = tempfile.mkdtemp(prefix="xensim.", dir=TMPFS)
        self.options = dict({"xen": XEN}, **options)
        self.programs = []  # of guests

    def __enter__(self):
        try:
            self.command("host", self.dir, **self.options)
        except BaseException:
            self.__exit__()
            raise
        return self

    def kill_guests(self):
        """End the guests' programs where they stand: nothing more is asked of these guests."""
        for program in self.programs:
            program.kill()
            program.wait()
            program.stdout.close()
        self.programs.clear()

    def __exit__(self, *unused):
        self.kill_guests()
        # A folder that is still mapped here would keep its memory.
        forget = ctypes.CDLL(library()).xensim_forget
        forget.restype = None
        forget(self.dir.encode())
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *arguments, **options):
        """Run an xensim command; its CompletedProcess. True stands for an option without value."""
        words = [os.path.join(BUILD, "xensim"), *map(str, arguments)]
        for name, value in options.items():
            if value is False or value is None:
                continue
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def command(self, *arguments, **options) -> str:
        done = self.run(*arguments, **options)
        if done.returncode != 0:
            raise SimError(f"xensim {arguments[0]}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def build(self, **options) -> int:
        return int(self.command("build", self.dir, **options))

    def new(self, **options) -> int:
        return int(self.command("new", self.dir, **options))

    def destroy(self, domid: int):
        self.command("destroy", self.dir, domid)

    def check(self, domid: int) -> str:
        """"same", or the first difference from what was built."""
        return self._verdict(self.run("check", self.dir, domid))

    def compare(self, domid: int, other: "Host", other_domid: int) -> str:
        """"same", or the first difference of the restored domain from the saved one."""
        return self._verdict(self.run("compare", self.dir, domid, other.dir, other_domid))

    @staticmethod
    def _verdict(done) -> str:
        if done.returncode > 1:
            raise SimError(done.stderr)
        return done.stdout.strip()

    def show(self, domid: int) -> dict:
        return json.loads(self.command("show", self.dir, domid))

    def stats(self) -> dict:
        return json.loads(self.command("stats", self.dir))

    def frame(self, domid: int, pfn: int) -> dict:
        return json.loads(self.command("frame", self.dir, domid, pfn))

    def poke(self, domid: int, what, offset: int, word: int, dirty: bool = False):
        """Change 8 octets of the page at a pfn, of "shared" or of "vcpuN"; `dirty`: as the guest
        does it, so that it is logged."""
        self.command("poke", self.dir, domid, what, offset, word, dirty=dirty)

    def peek(self, domid: int, what, offset: int) -> int:
        return int(self.command("peek", self.dir, domid, what, offset))

    def stamp(self, domid: int, pfn: int) -> int:
        """The number of the guest's last write to that page, if there was one."""
        return self.peek(domid, pfn, STAMP_OCTET)

    def write(self, domid: int, pfns):
        """The guest writes to each of these pages, once; unless it is suspended."""
        self.command("write", self.dir, domid, pfn_list(pfns))

    def balloon(self, domid: int, out=(), in_=()):
        """The guest gives pages back to Xen and gets others, also while its programs run."""
        if out:
            self.command("balloon", self.dir, domid, "out", pfn_list(out))
        if in_:
            self.command("balloon", self.dir, domid, "in", pfn_list(in_))

    def dirty(self, domid: int, clean: bool = False) -> list:
        """The pages in the log-dirty bitmap, which may be cleaned with that."""
        return json.loads(self.command("dirty", self.dir, domid, clean=clean))

    def words(self, command: str, domid: int, *arguments) -> str:
        """An xensim command about this host, as a hook's shell command."""
        return shlex.join(map(str, (os.path.join(BUILD, "xensim"), command, self.dir, domid,
                                    *arguments)))

    def snapshot(self) -> "Host":
        """Another host that is what this one is now: for compare(). The caller's to close (or to
        enter as a context)."""
        copy = Snapshot(**self.options)
        try:
            self.command("snapshot", self.dir, copy.dir)
        except BaseException:
            copy.__exit__()
            raise
        return copy

    def pin(self, domid: int, pfn: int, level: int) -> str:
        """Pin a page table of a PV guest (level 0: unpin); "" or why that was refused."""
        done = self.run("pin", self.dir, domid, pfn, level)
        if done.returncode > 1:
            raise SimError(done.stderr)
        return done.stderr.strip()

    def start_guest(self, domid: int, **options) -> subprocess.Popen:
        """A program that writes to the guest's memory until the guest suspends; with
        through_suspends=True until the domain is paused or destroyed. Killed with the host."""
        words = [os.path.join(BUILD, "xensim"), "run", self.dir, str(domid)]
        for name, value in options.items():
            words += ["--" + name.replace("_", "-"), *([] if value is True else [str(value)])]
        program = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.programs.append(program)
        return program

    def end_guest(self, domid: int, program: subprocess.Popen) -> int:
        """Have a guest's program end; the domain goes on. Returns the pages it wrote to."""
        self.pause(domid)
        written = int(program.communicate()[0])
        self.unpause(domid)
        return written

    def await_writes(self, domid: int, count: int = 1):
        """Until the guest has written to so many pages more."""
        start = self.show(domid)["writes"]
        deadline = time.monotonic() + 30
        while self.show(domid)["writes"] < start + count:
            if time.monotonic() > deadline:
                raise SimError("the guest does not write")
            time.sleep(0.001)

    def suspend(self, domid: int) -> bool:
        return _toolstack("xensim_suspend")(self.dir.encode(), domid) == 0

    def resume(self, domid: int) -> bool:
        return _toolstack("xensim_resume")(self.dir.encode(), domid) == 0

    def pause(self, domid: int) -> bool:
        return _toolstack("xensim_pause")(self.dir.encode(), domid) == 0

    def unpause(self, domid: int) -> bool:
        return _toolstack("xensim_unpause")(self.dir.encode(), domid) == 0

    def log_dirty(self, domid: int) -> bool:
        """Turn log-dirty mode on, as libxl does for COLO's secondary."""
        return _toolstack("xensim_log_dirty")(self.dir.encode(), domid) == 0


class Snapshot(Host):
    """A copy of a host: nothing runs on it."""

    def __enter__(self):
        return self


def pfn_list(pfns) -> str:
    """As the xensim command wants them: a number, a range, or several."""
    if isinstance(pfns, int):
        return str(pfns)
    if isinstance(pfns, range) and pfns.step == 1:
        return f"{pfns.start}-{pfns.stop - 1}"
    return ",".join(map(str, pfns))


def hook(kind: str, nth: int, *commands: str) -> str:
    """A line for the variable XENSIM_HOOK: run Host.words() commands right after a helper's nth
    hypercall of a kind (test/sim/hook.c)."""
    return f"{kind}:{nth}:" + " && ".join(commands)


def _toolstack(name):
    function = getattr(ctypes.CDLL(library()), name)
    function.argtypes = (ctypes.c_char_p, ctypes.c_uint32)
    function.restype = ctypes.c_int
    return function


def _environment(host: Host, extra: dict) -> dict:
    preload = [library()]
    if any(name.startswith("XENFAULT_") for name in extra):
        preload.insert(0, fault_library())
    return dict(
        os.environ,
        XENSIM_HOST=host.dir,
        LD_PRELOAD=":".join(preload),
        LD_LIBRARY_PATH=os.path.join(BUILD, ".libs"),
        ASAN_OPTIONS="verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", ""),
        **{name: str(value) for name, value in extra.items()},
    )


# ---- the driver -----------------------------------------------------------------------------


@dataclasses.dataclass
class Outcome:
    """What a helper did."""

    status: int = 0  # as subprocess has it: negative for a signal
    complete: tuple | None = None  # (retval, errnoval) of the complete message
    results: tuple | None = None  # (store gfn, console gfn) of restore_results; PV: MFNs
    log: list = dataclasses.field(default_factory=list)  # (level, text)
    progress: list = dataclasses.field(default_factory=list)  # (what, done, total)
    calls: list = dataclasses.field(default_factory=list)  # callbacks, in order
    stderr: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    pause_seconds: float = 0.0  # a save's: from the last answer to suspend on
    peak_private: int = 0  # octets of memory of its own (RssAnon), if watched

    @property
    def ok(self) -> bool:
        return self.status == 0 and self.complete is not None and self.complete[0] == 0

    @property
    def errors(self) -> str:
        """What it said at level error and above, and on stderr."""
        return "\n".join([text for level, text in self.log if level >= 7] + [self.stderr]).strip()


class Vanish(Exception):
    """Raised by a callback's answer: the toolstack is gone, its ends of the pipes are closed."""


class Driver:
    """Plays libxl to one helper process (spec: the save helper's protocol).

    `answers` gives the value, or a function of the arguments, for callbacks by name. What is
    not in it gets the answer of a toolstack that is content. `cancel_at` and `vanish_at` name a
    callback at which the helper is sent SIGTERM, or its pipes are closed.
    """

    CALLS = {
        3: ("suspend", ""),
        4: ("postcopy", ""),
        5: ("checkpoint", ""),
        6: ("wait_checkpoint", ""),
        7: ("switch_qemu_logdirty", "II"),
        8: ("static_data_done", "I"),
    }
    CONTENT = {"suspend": 1, "postcopy": 1, "checkpoint": 1, "wait_checkpoint": 1}

    def __init__(self, words, host, fds, answers=None, env=None, cancel_at=None, vanish_at=None,
                 timeout=120, wrapper=(), watch=False):
        self.outcome = Outcome()
        self.answers = dict(self.CONTENT, **(answers or {}))
        self.cancel_at, self.vanish_at = cancel_at, vanish_at
        self.deadline = time.monotonic() + timeout
        self.stderr = tempfile.TemporaryFile()
        self.watch, self.reaping = watch, threading.Lock()
        self.start = self.suspended = time.monotonic()
        self.process = subprocess.Popen(
            [*wrapper, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.stderr, pass_fds=fds, env=_environment(host, env or {}), bufsize=0)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.process.stdout.read(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _message(self):
        (length,) = struct.unpack("<H", self._read(2))
        body = self._read(length)
        return struct.unpack_from("<H", body)[0], body[2:]

    @staticmethod
    def _string(body: bytes):
        (size,) = struct.unpack_from("<I", body)
        return body[4:4 + size - 1].decode(errors="replace"), body[4 + size:]

    def _handle(self, number: int, body: bytes):
        """Record a message; the reply it wants, or None."""
        if number == 1:
            level, _ = struct.unpack_from("<II", body)
            _, rest = self._string(body[8:])
            self.outcome.log.append((level, self._string(rest)[0]))
            return None
        if number == 2:
            _, rest = self._string(body)
            what, rest = self._string(rest)
            self.outcome.progress.append((what, *struct.unpack("<QQ", rest)))
            return None
        if number == 9:
            self.outcome.results = struct.unpack("<QQ", body)
            return None
        if number == 10:
            self.outcome.complete = struct.unpack("<ii", body)
            self.outcome.seconds = time.monotonic() - self.start
            self.outcome.pause_seconds = time.monotonic() - self.suspended
            return 0
        if number not in self.CALLS:
            raise SimError(f"message {number} is unknown")
        name, layout = self.CALLS[number]
        arguments = struct.unpack("<" + layout, body)
        self.outcome.calls.append((name, *arguments))
        if name == self.cancel_at:
            self.signal(signal.SIGTERM)
        answer = self.answers.get(name, 0)
        answer = answer(*arguments) if callable(answer) else answer
        if name == "suspend":
            self.suspended = time.monotonic()
        return answer

    def _watch_memory(self):
        """Sample what the process has for itself until it is gone."""
        with contextlib.suppress(OSError):
            while True:
                with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
                    for line in status:
                        if line.startswith("RssAnon:"):
                            self.outcome.peak_private = max(self.outcome.peak_private,
                                                            int(line.split()[1]) * 1024)
                            break
                    else:
                        return
                time.sleep(0.0002)

    def run(self) -> Outcome:
        watcher = threading.Thread(target=self._watch_memory)
        if self.watch:
            watcher.start()
        try:
            while True:
                number, body = self._message()
                try:
                    reply = self._handle(number, body)
                except Vanish:
                    break
                if reply is None:
                    continue
                if number != 10 and self.CALLS[number][0] == self.vanish_at:
                    break
                self.process.stdin.write(struct.pack("<i", reply))
        except (EOFError, BrokenPipeError):
            pass
        finally:
            self.process.stdin.close()
            self.process.stdout.close()
            self._reap()
            if self.watch:
                watcher.join()
        return self.outcome

    def signal(self, number: int):
        """Send the helper a signal, from any thread, unless it has ended. (Popen's own way may
        reap it.)"""
        with self.reaping:
            if self.process.returncode is None:
                os.kill(self.process.pid, number)

    def await_end(self, timeout: float):
        """Until the helper has ended, from any thread. (Popen's own way may reap it.)"""
        deadline = time.monotonic() + timeout
        while self.process.returncode is None:
            if time.monotonic() > deadline:
                raise SimError(f"the helper does not end within {timeout} s")
            time.sleep(0.001)

    def _reaped(self):
        """What it used, once the helper has ended, else None."""
        with self.reaping:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if not pid:
                return None
            self.process.returncode = os.waitstatus_to_exitcode(status)
            return usage

    def _reap(self):
        while not (usage := self._reaped()):
            if time.monotonic() > self.deadline:
                self.signal(signal.SIGKILL)
                os.wait4(self.process.pid, 0)
                raise SimError("the helper does not end")
            time.sleep(0.0005)
        self.outcome.status = self.process.returncode
        self.outcome.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.stderr.seek(0)
        self.outcome.stderr = self.stderr.read().decode(errors="replace")
        self.stderr.close()


def _fd(stream) -> int:
    return stream if isinstance(stream, int) else stream.fileno()


def save(program, host, domid, stream, flags=0, stream_type=0, answers=None,
         callbacks=("suspend", "switch_qemu_logdirty"), recv_fd=-1, **driver) -> Outcome:
    """Have a helper save a domain to a file or descriptor. The guest is resumed by the caller."""
    bits = sum(1 << n for n, (name, _) in Driver.CALLS.items() if name in callbacks)
    answers = dict({"suspend": lambda: int(host.suspend(domid))}, **(answers or {}))
    words = [program, "--save-domain", _fd(stream), recv_fd, domid, flags, bits, stream_type]
    fds = tuple(fd for fd in (_fd(stream), recv_fd) if fd >= 0)
    return Driver(words, host, fds, answers, **driver).run()


def restore(program, host, domid, stream, stream_type=0, answers=None,
            callbacks=("static_data_done",), send_back_fd=-1, **driver) -> Outcome:
    """Have a helper restore a stream into an empty domain."""
    bits = sum(1 << n for n, (name, _) in Driver.CALLS.items() if name in callbacks)
    bits |= 1 << 9
    words = [program, "--restore-domain", _fd(stream), send_back_fd, domid, STORE_EVTCHN, 0,
             CONSOLE_EVTCHN, 0, bits, stream_type]
    fds = tuple(fd for fd in (_fd(stream), send_back_fd) if fd >= 0)
    return Driver(words, host, fds, answers, **driver).run()


def limit_core_dumps():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


limit_core_dumps()
