# SPDX-License-Identifier: LGPL-2.1-or-later
"""Saved domains for tests of the xensr command: made on simulated hosts, or page by page with chosen
registers and page tables."""

import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

import sim
from sim_case import SimCase
from stream_edit import Stream

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "oracle"))

import built_streams as b  # noqa: E402

PAGE = 4096
CPU, CPU_OCTETS = 2, 1032
CPU_REGISTERS = ("rax", "rbx", "rcx", "rdx", "rbp", "rsi", "rdi", "rsp", "r8", "r9", "r10", "r11",
                 "r12", "r13", "r14", "r15", "rip", "rflags", "cr0", "cr2", "cr3", "cr4")
CPU_OFFSETS = {name: 512 + 8 * i for i, name in enumerate(CPU_REGISTERS)}
CPU_OFFSETS |= {"cs": 736, "ss": 756, "fs_base": 832, "gs_base": 840, "ss_arbytes": 908,
                "efer": 992}
LONG_MODE = {"cr0": 0x80000001, "cr4": 0x20, "efer": 0x500}
PAE_MODE = {"cr0": 0x80000001, "cr4": 0x20}


def cpu(**registers) -> bytes:
    """A CPU entry's content (struct hvm_hw_cpu)."""
    content = bytearray(CPU_OCTETS)
    for name, value in registers.items():
        layout = "<I" if name in ("cs", "ss", "ss_arbytes") else "<Q"
        struct.pack_into(layout, content, CPU_OFFSETS[name], value)
    return bytes(content)


def entry(kind: int, instance: int, content: bytes) -> bytes:
    return struct.pack("<HHI", kind, instance, len(content)) + content


def chain(*entries: bytes) -> bytes:
    """An HVM context with these entries."""
    header = struct.pack("<IIQII", 0x54381286, 1, 0, 0, 0)
    return entry(1, 0, header) + b"".join(entries) + entry(0, 0, b"")


def context(*cpus: bytes) -> bytes:
    """An HVM context of nothing but CPU entries."""
    return chain(*(entry(CPU, n, content) for n, content in enumerate(cpus)))


def page_record(pages: dict) -> bytes:
    """PAGE_DATA of normal pages with these contents, by pfn."""
    records, pfns = [], list(pages)
    for first in range(0, len(pfns), 1024):
        some = pfns[first:first + 1024]
        records.append(b.record(0x01, struct.pack(f"<II{len(some)}Q", len(some), 0, *some)
                                + b"".join(pages[pfn].ljust(PAGE, b"\0") for pfn in some)))
    return b"".join(records)


def table(entries: dict) -> bytes:
    """A page table with entries of 8 octets, by slot."""
    content = bytearray(PAGE)
    for slot, value in entries.items():
        struct.pack_into("<Q", content, 8 * slot, value)
    return bytes(content)


def hvm(pages: dict, *cpus: bytes, **replaced: bytes) -> bytes:
    """A domain stream of an HVM guest with these pages and vcpus."""
    parts = b.changed(b.hvm_stream(), pages=page_record(pages),
                      context=b.hvm_context(context(*cpus)), **replaced)
    return b.octets(parts)


def checkpointed() -> dict:
    """built_streams' one with three checkpoints, each with a vcpu at 0x100 times its number."""
    return b.checkpointed_stream() | {
        "context": b.hvm_context(context(cpu(rip=0x100))),
        "context 2": b.hvm_context(context(cpu(rip=0x200))),
        "context 3": b.hvm_context(context(cpu(rip=0x300)))}


def pages_of(octets: bytes) -> dict:
    """{pfn: content} of a domain stream without checkpoints: the last one of each."""
    pages = {}
    for record, _, pfn, kind, offset in Stream(octets).pages():
        if kind < 0xd:
            pages[pfn] = bytes(record.body[offset:offset + PAGE])
        else:
            pages.pop(pfn, None)
    return pages


def file_limit(octets: int):
    """For preexec_fn: no file may be longer than that."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets))

    return limit


class CommandCase(SimCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=sim.TMPFS, prefix="xensr-cli.")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def file(self, name: str, octets: bytes) -> str:
        with open(self.path(name), "wb") as file:
            file.write(octets)
        return self.path(name)

    def contents(self, name: str) -> bytes:
        with open(self.path(name), "rb") as file:
            return file.read()

    def saved(self, name: str, **guest) -> str:
        """The file with a save of a guest built so on a simulated host."""
        host = self.host()
        domid = host.build(**guest)
        with open(self.path(name), "wb") as file:
            self.save("xensr", host, domid, file)
        return self.path(name)

    def xensr(self, *words, **options) -> subprocess.CompletedProcess:
        """Run the command; its outcome, which is no crash."""
        suppressed = f"suppressions={HERE}/leaks.supp:print_suppressions=0"
        done = subprocess.run([os.path.join(sim.BUILD, "xensr"), *map(str, words)],
                              capture_output=True, text=True, check=False,
                              env=os.environ | {"LSAN_OPTIONS": suppressed}, **options)
        self.assertGreaterEqual(done.returncode, 0, f"died of a signal: {done.stderr}")
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertNotIn("runtime error", done.stderr)
        return done

    def run_to(self, file, *words) -> subprocess.CompletedProcess:
        """Run the command with that as stdout."""
        return subprocess.run([os.path.join(sim.BUILD, "xensr"), *words], stdout=file,
                              stderr=subprocess.PIPE, text=True, check=False)

    def does(self, *words) -> str:
        """Run it; it must go well and say nothing on stderr. What it says on stdout."""
        done = self.xensr(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def says(self, status: int, text: str, *words):
        """Run it; it must end with that status and say exactly that on stderr, and nothing else."""
        done = self.xensr(*words)
        self.assertEqual((done.returncode, done.stderr, done.stdout), (status, text + "\n", ""))
