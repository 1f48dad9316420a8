# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the xensr command share."""

import json
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("sim", "oracle"):
    path = os.path.join(HERE, "..", folder)
    if path not in sys.path:
        sys.path.insert(0, path)

import built_streams as built  # noqa: E402 pylint: disable=wrong-import-position
import sim  # noqa: E402 pylint: disable=wrong-import-position
import sim_case  # noqa: E402 pylint: disable=wrong-import-position

XENSR = os.path.join(sim.BUILD, "xensr")
FINE, DIFFERENT, DAMAGED, USAGE, TROUBLE = range(5)


def entry(code: int, body: bytes = b"", instance: int = 0) -> bytes:
    """One of an HVM context."""
    return struct.pack("<HHI", code, instance, len(body)) + body


# HEADER, two CPUs, END. What the oracle's streams have in its place is no such chain.
HVM_CONTEXT = (entry(1, struct.pack("<IIQII", 0x54381286, 1, 0, 0, 0)) + entry(2, bytes(16)) +
               entry(2, bytes(16), 1) + entry(0))


def hvm(**replacements) -> built.Parts:
    """A small HVM stream that a restore takes: xenstore and console pages are there."""
    parts = {"context": built.hvm_context(HVM_CONTEXT),
             "params": built.hvm_params((1, 0x20), (17, 0x22)), **replacements}
    return built.changed(built.hvm_stream(), **parts)


def pv_basic(number: int = 0, edx: int = 0x10, gdt: tuple[int, ...] = (), entries: int = 0,
             cr1: int = 0, cr3: int = 0x12 << 12) -> bytes:
    """The registers of a vcpu of a 64-bit PV guest that name pages."""
    context = bytearray(5168)
    struct.pack_into("<Q", context, 616, edx)
    struct.pack_into(f"<{len(gdt)}Q", context, 4832, *gdt)
    struct.pack_into("<Q", context, 4960, entries)
    struct.pack_into("<Q", context, 4992, cr1)
    struct.pack_into("<Q", context, 5008, cr3)
    return built.vcpu(0x04, number, bytes(context))


def start_info(store: int = 0x10, console: int = 0x10, width: int = 8) -> bytes:
    """The page with these pfns (xen/xen.h); by default a page that pv() has, itself."""
    if width == 8:
        return struct.pack("<56xQQQ", store, 0, console)
    return struct.pack("<44xIII", store, 0, console)


def pv(**replacements) -> built.Parts:
    """A small PV stream that a restore takes: pfn 0x10 is the start info, 0x11 a level-1 and 0x12 a
    level-4 page table, without entries that are present."""
    return built.changed(built.pv_stream(), **{
        "pages": built.page_data(
            (0x10, built.NORMAL, 0xa1), (0x11, built.L1, 0xa2), (0x12, built.L4_PINNED, 0xa2),
            (0x13, built.BROKEN, None), (0x14, built.ALLOCATE_ONLY, None), (0x15, built.INVALID, None)),
        "more_pages": built.page_data((0x10, built.NORMAL, start_info())),
        "p2m": built.p2m_frames(0, 0x5ff, 0x10, 0x10, 0x10), "basic_0": pv_basic(0),
        "basic_2": pv_basic(2), **replacements})


# The oracle's device-model state is no savevm container; this is an empty one.
SAVEVM = b"QEVM" + struct.pack(">I", 3) + b"\0"


def savevm(*sections: tuple[bytes, bytes], description: dict | None = None) -> bytes:
    """A container with these sections (idstr, data), and what it says itself of their fields."""
    octets = SAVEVM[:-1]
    for number, (idstr, data) in enumerate(sections):
        octets += struct.pack(">BIB", 4, number, len(idstr)) + idstr + struct.pack(">II", 0, 1)
        octets += data + struct.pack(">BI", 0x7e, number)
    octets += b"\0"
    if description:
        text = json.dumps(description).encode()
        octets += struct.pack(">BI", 6, len(text)) + text
    return octets


def xl(config: bytes = b'{"c_info": {"type": "hvm", "name": "guest"}}') -> built.Parts:
    """The same under libxl and xl, with device-model records."""
    around = built.xl_save()
    return {
        "xl": built.xl_header(config=config), "libxl": around["libxl"], "libxc": around["libxc"],
        **hvm(), "xenstore": around["xenstore"],
        "emulator": built.emulator(3, SAVEVM), "libxl end": around["libxl end"],
    }



class CliCase(sim_case.SimCase):
    """Runs the command on files that are gone when the test ends."""

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(dir=sim.TMPFS,
                                                                    prefix="xensr-cli."))

    def file(self, octets, name="image") -> str:
        if isinstance(octets, dict):
            octets = built.octets(octets)
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(octets)
        return path

    def saved(self, name="image", **guest) -> str:
        """A guest saved on the simulated host."""
        host = self.host()
        with open(os.path.join(self.folder, name), "w+b") as image:
            self.save("xensr", host, host.build(**guest), image)
        return image.name

    def run_raw(self, *words, data=None):
        """(exit code, octets of stdout, text of stderr). It must not have crashed."""
        given = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
        done = subprocess.run([XENSR, *words], capture_output=True, check=False, **given)
        errors = done.stderr.decode()
        self.assertGreaterEqual(done.returncode, 0, errors)
        self.assertLessEqual(done.returncode, TROUBLE, errors)
        self.assertNotIn("Sanitizer", errors)
        return done.returncode, done.stdout, errors

    def run_text(self, *words, data=None):
        code, out, errors = self.run_raw(*words, data=data)
        return code, out.decode(), errors

    def peak(self, *words) -> tuple[int, int]:
        """Its exit code, and the octets of memory it had at most."""
        # What has been freed is no memory in use, though a sanitizer holds on to it for a while.
        options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
        with subprocess.Popen([XENSR, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL,
                              env={**os.environ, "ASAN_OPTIONS": options}) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, usage.ru_maxrss * 1024

    def facts(self, *words, data=None, code=FINE):
        """What it prints as JSON."""
        got, out, errors = self.run_text(*words, data=data)
        self.assertEqual(got, code, errors)
        return json.loads(out)


main = sim_case.main


class FindingsCase(CliCase):
    """What xensr verify finds."""

    def check(self, parts, code, *texts, options=()):
        """Each finding in its order, as severity and text."""
        path = self.file(parts)
        report = self.facts("verify", "--json", *options, path, code=code)[0]
        found = [f"{f['severity']}: {f['text']}" for f in report["findings"]]
        self.assertEqual(found, list(texts))
        self.assertEqual(report["errors"], sum(t.startswith("error") for t in texts))
        self.assertEqual(report["verdict"], ("fine", "warnings", "damaged")[code])
        self.assertEqual(report["unchecked"], [])
        self.check_quick(path, report, options)
        return report

    def check_quick(self, path, report, options):
        """Where no content is damaged it finds the same."""
        quick = self.facts("verify", "--quick", "--json", *options, path,
                           code=("fine", "warnings", "damaged").index(report["verdict"]))[0]
        self.assertIn(quick.pop("unchecked"), ([], ["contents"], ["checksums", "contents"]))
        for what, fact in quick.items():
            if what != "checksums":
                self.assertEqual(fact, report[what])

    def at(self, parts, name) -> int:
        return built.offset_of(parts, name)
