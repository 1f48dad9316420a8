#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Device state as QEMU itself writes it, read end to end: in the form of a save for Xen, with section
footers and without them as Xen's machine does it, and in the form of a migration, with memory and a
VMDESCRIPTION. What is found without a description must be what the description says."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

QEMU = shutil.which("qemu-system-x86_64")
QEMU_I386 = shutil.which("qemu-system-i386")  # what Xen runs
REQUIRED = os.environ.get("XENSR_REQUIRE_STOCK") == "1"
SHOW = os.path.join(os.environ.get("XENSIM_BUILD", "."), "device_show")
NO_FOOTERS = ("-global", "migration.send-section-footer=off")
NO_CONFIGURATION = ("-global", "migration.send-configuration=off")
# Those that known_devices.h describes, but for Xen's own platform device.
KNOWN = {"timer", "cpu_common", "cpu", "apic", "fw_cfg", "PCIBUS", "I440FX", "dma", "PIIX3", "ioapic", "hpet",
         "mc146818rtc", "fdc", "ps2kbd", "ps2mouse", "pckbd", "port92", "ide", "i2c_bus", "piix4_pm"}
CHANGING = {"timer", "hpet", "mc146818rtc"}  # two runs differ
OUR_NAMES = {"low", "high", "unused"}
MACHINES = {
    "pc": (),
    "q35": ("-device", "qemu-xhci", "-device", "usb-tablet", "-vga", "std"),
    "none": (),
    # Of the age of Xen's machine, which is for Xen alone, and without what that one has not.
    "pc-i440fx-3.1": ("-global", "PIIX4_PM.acpi-pci-hotplug-with-bridge-support=off",
                      "-global", "PIIX4_PM.acpi-root-pci-hotplug=off"),
}


class Machine:
    """A QEMU that was never started to run, driven over its standard input and output."""

    def __init__(self, machine: str, *options: str, qemu: str = QEMU):
        self.process = subprocess.Popen(
            [qemu, "-machine", machine, "-accel", "tcg", "-nodefaults", "-no-user-config", "-S",
             "-display", "none", "-m", "16", "-qmp", "stdio", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        self.process.stdout.readline()
        self.ask("qmp_capabilities")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, command: str, **arguments):
        line = json.dumps({"execute": command, "arguments": arguments}) + "\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        for line in self.process.stdout:
            answer = json.loads(line)
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]
        raise AssertionError(f"{command}: QEMU has ended")

    def migrate(self, path: str):
        self.ask("migrate", uri=f"exec:cat > '{path}'")
        while True:
            status = self.ask("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                raise AssertionError(f"migration {status}")


class Section:
    def __init__(self, words):
        self.kind, self.name, self.instance, self.version = words[2:6]
        self.octets, self.end = int(words[6]), words[7]
        self.values = []

    @property
    def key(self):
        return self.name, self.instance, self.version, self.octets

    def value(self, path: str) -> bytes:
        return next(octets for name, _, octets in self.values if name == path)


def show(path: str):
    """(exit code, error, element lines, sections)"""
    run = subprocess.run([SHOW, path], capture_output=True, text=True, check=False)
    elements, sections = [], []
    for line in run.stdout.splitlines():
        kind, *words = line.split("\t")
        if kind == "element":
            elements.append(words)
            if words[2].startswith("SECTION"):
                sections.append(Section(words))
        else:
            sections[-1].values.append((words[0], words[1], bytes.fromhex(words[2])))
    return run.returncode, run.stderr, elements, sections


@unittest.skipUnless(QEMU or REQUIRED, "qemu-system-x86_64 is not there: scripts/setup brings it")
class QemuState(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="qemu-state."))

    def saved(self, how: str, machine: str, *options: str, qemu: str = QEMU) -> str:
        path = os.path.join(self.folder, f"{how}-{machine}-{len(options)}")
        with Machine(machine, *MACHINES[machine], *options, qemu=qemu) as process:
            if how == "xen":
                process.ask("xen-save-devices-state", filename=path, live=True)
            else:
                process.migrate(path)
        return path

    def whole(self, path: str):
        """All of it is read, element behind element. Returns elements and sections."""
        code, error, elements, sections = show(path)
        self.assertEqual((code, error), (0, ""))
        at = 8
        for words in elements:
            self.assertEqual(int(words[0]), at)
            at += int(words[1])
        self.assertEqual(at, os.path.getsize(path))
        return elements, sections

    def described(self, machine: str, *options: str, qemu: str = QEMU):
        """The sections of a migration that the VMDESCRIPTION describes, which are all but memory."""
        elements, sections = self.whole(self.saved("migrate", machine, *options, qemu=qemu))
        self.assertEqual([e[2] for e in elements[-2:]], ["EOF", "VMDESCRIPTION"])
        self.assertEqual([len(e) for e in elements[-2:]], [3, 3], "a note on the VMDESCRIPTION")
        full = [s for s in sections if s.kind == "SECTION_FULL"]
        self.assertEqual({s.name for s in sections if s.kind != "SECTION_FULL"}, {"ram"})
        for section in full:
            self.assertEqual(section.end, "vmdescription", section.name)
            headers = section.octets - sum(len(octets) for _, _, octets in section.values)
            self.assertGreaterEqual(headers, 0)  # of subsections
        return full

    def test_what_is_searched_is_what_is_described(self):
        for machine in MACHINES:
            with self.subTest(machine):
                described = self.described(machine)
                for options, end in ((), "footer"), (NO_FOOTERS, "next element"):
                    elements, sections = self.whole(self.saved("xen", machine, *options))
                    self.assertEqual([s.key for s in sections], [s.key for s in described])
                    self.assertLessEqual({s.end for s in sections}, {end, "known device"})
                    self.assertEqual({e[2] for e in elements}, {"SECTION_FULL", "EOF"})

    def test_known_devices_are_what_is_described(self):
        smp = ("-smp", "2")  # the second waits to be started
        for qemu in QEMU_I386, QEMU:
            for machine in "pc", "pc-i440fx-3.1":
                with self.subTest(qemu, machine=machine):
                    described = {(s.name, s.instance): s
                                 for s in self.described(machine, *smp, qemu=qemu)}
                    path = self.saved("xen", machine, *NO_FOOTERS, *smp, qemu=qemu)
                    known = [s for s in self.whole(path)[1] if s.end == "known device"]
                    self.assertEqual({s.name.split("/")[-1] for s in known}, KNOWN)
                    self.assertEqual(sum(s.name == "apic" for s in known), 2)
                    for section in known:
                        self.same_fields(section, described[section.name, section.instance])

    def same_fields(self, known, described):
        """The same octets; each of our names is in the name that QEMU has for the same octet."""
        theirs = []
        for path, _, octets in described.values:
            theirs += [path] * len(octets)
        at = 0
        for path, _, octets in known.values:
            name = re.sub(r"(\[\d+\])+$", "", path).split(".")[-1]
            if name not in OUR_NAMES:
                self.assertIn(name, theirs[at], known.name)
            at += len(octets)
        self.assertEqual(at, len(theirs), known.name)
        if known.name not in CHANGING:
            self.assertEqual(b"".join(octets for _, _, octets in known.values),
                             b"".join(octets for _, _, octets in described.values), known.name)

    def test_migration_without_footers_and_configuration(self):
        self.assertEqual([s.key for s in self.described("pc", *NO_FOOTERS, *NO_CONFIGURATION)],
                         [s.key for s in self.described("pc")])

    def test_values(self):
        sections = {s.name: s for s in self.described("pc")}
        bridge = sections["0000:00:00.0/I440FX"].value("parent_obj.config[0]")
        self.assertEqual(bridge[:4].hex(), "86803712")  # Intel, 82441FX
        state = sections["globalstate"].value("runstate")
        self.assertEqual(state.rstrip(b"\0"), b"prelaunch")
        self.assertEqual(int.from_bytes(sections["cpu"].value("env.eip"), "big"), 0xfff0)
        self.assertEqual(sum(path.startswith("env.regs[") for path, _, _ in sections["cpu"].values),
                         16)

    def test_cut(self):
        path = self.saved("migrate", "pc")
        with open(path, "rb") as file:
            octets = file.read()
        whole = octets.rindex(b"\0\6") + 1
        for length in [*range(0, 400, 7), *range(400, len(octets), 4999), whole - 1, whole + 1]:
            with open(path, "wb") as file:
                file.write(octets[:length])
            code, error, _, _ = show(path)
            self.assertEqual(code, 1, length)
            self.assertNotEqual(error, "")


if __name__ == "__main__":
    unittest.main()
