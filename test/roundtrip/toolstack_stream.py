# SPDX-License-Identifier: LGPL-2.1-or-later
"""The toolstack's stream of the library, on simulated hosts: PV, PVH and HVM guests with their
emulator's state, plain and Remus. toolstack_stream.c is the toolstack. What it writes satisfies the
oracle and stock's checker."""

import os
import re
import subprocess
import sys
import tempfile

import sim
import sim_case
from sim_case import SimCase, needs_stock

ORACLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle")
sys.path.insert(0, ORACLE)

import built_streams  # noqa: E402  pylint: disable=wrong-import-position

GUESTS = {
    "pvh": ({"type": "pvh", "memory": 8}, "pvh", ()),
    "hvm": ({"type": "hvm", "memory": 8, "vcpus": 2}, "hvm", ("emulator",)),
    "pv64": ({"type": "pv64", "memory": 8, "vcpus": 2}, "pv", ()),
    "pv32": ({"type": "pv32", "memory": 8}, "pv", ()),
}
PAGES = 4096  # of the restored domain at most
CONFIG = '{"c_info": {"name": "simulated"}}'


def emulator(age: int, times: int = 1) -> list:
    """What a restore prints of the emulator of this age, and of those before it."""
    lines = []
    for n in range(age - times + 1, age + 1):
        lines += ["xenstore: 2 physmap/f0000000/name=vga.vram", f"xenstore: 2 age={n}",
                  f"context: 2 {len(f'QEVM {n}')} octets, QEVM {n}"]
    return lines


class ToolstackStream(SimCase):
    def setUp(self):
        self.stream = self.enterContext(tempfile.NamedTemporaryFile(dir=sim.TMPFS,
                                                                    prefix="xensim-image.")).name

    def run_toolstack(self, expected, *words):
        """The lines it prints."""
        done = subprocess.run([os.path.join(sim.BUILD, "toolstack_stream"), *map(str, words)],
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (expected, ""), done.stdout)
        return done.stdout.splitlines()

    def save_guest(self, name, *words, expected=0):
        """A host, the guest on it, and what the save printed."""
        options, _, emulator_word = GUESTS[name]
        host = self.host()
        guest = host.build(**options)
        lines = self.run_toolstack(expected, "save", host.dir, guest, self.stream, *words,
                                   *emulator_word)
        self.assert_nothing_left(host)
        self.assertEqual(host.show(guest)["log_dirty"], 0)
        return host, guest, lines

    def restore_guest(self, name, *words, expected=0, kind=None):
        """A host, the domain on it (None: there is none), and what the restore printed."""
        host = self.host()
        lines = self.run_toolstack(expected, "restore", host.dir, kind or GUESTS[name][1], PAGES,
                                   self.stream, *words)
        self.assert_nothing_left(host)
        domain = [int(line.split()[1]) for line in lines if line.startswith("domain: ")]
        return host, domain[0] if domain else None, \
            [line for line in lines if not line.startswith("domain: ")]

    def assert_passes(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def oracle(self) -> str:
        done = subprocess.run([sys.executable, os.path.join(ORACLE, "oracle"), "check",
                               self.stream], capture_output=True, text=True, check=False)
        self.assert_passes(done)
        return done.stdout

    def stock_checks(self, form):
        self.assert_passes(subprocess.run(
            [sys.executable, os.path.join(sim.STOCK, "bin", "verify-stream-v2"), "--in",
             self.stream, "--format", form],
            env=dict(os.environ, PYTHONPATH=os.path.join(sim.STOCK, "lib", "python")),
            capture_output=True, text=True, check=False))

    def edit(self, old: bytes, new: bytes):
        """Replace what comes once in the stream."""
        with open(self.stream, "rb") as file:
            octets = file.read()
        self.assertEqual(octets.count(old), 1)
        with open(self.stream, "wb") as file:
            file.write(octets.replace(old, new))

    def test_round_trips(self):
        for name, (_, _, emulator_word) in GUESTS.items():
            for words in ((), ("xl",), ("xl", "live")):
                with self.subTest(guest=name, words=words):
                    there, guest, saved = self.save_guest(name, "0", *words)
                    size = os.path.getsize(self.stream)
                    self.assertEqual(saved, [f"saved: {size} octets, 0 checkpoints"])
                    here, domain, lines = self.restore_guest(name, *words[:1])
                    self.assertEqual(lines, [
                        *([f"config: {len(CONFIG)} octets, JSON"] if words else []),
                        *(emulator(1) if emulator_word else []),
                        f"restored: 0 checkpoints, stream at {size}"])
                    self.assertEqual(there.compare(guest, here, domain), "same")

    def test_oracle(self):
        for name, (_, _, emulator_word) in GUESTS.items():
            for words, kind in (((), "libxl stream"), (("xl",), "xl save file")):
                with self.subTest(guest=name, words=words):
                    self.save_guest(name, "0", *words)
                    said = self.oracle()
                    self.assertIn(kind, said)
                    self.assertEqual("libxl EMULATOR_CONTEXT 1" in said, bool(emulator_word))

    @needs_stock
    def test_stock(self):
        """Without xenstore data: with Python 3 stock's checker takes all of them for damaged (it
        compares their last octet, a number, with a string)."""
        for name in GUESTS:
            with self.subTest(guest=name):
                self.save_guest(name, "0", "no-xenstore")
                self.stock_checks("libxl")
                self.save_guest(name, "0", "no-xenstore", "xl")
                self.stock_checks("xl")

    def test_remus(self):
        for name, (_, _, emulator_word) in GUESTS.items():
            with self.subTest(guest=name):
                there, guest, saved = self.save_guest(name, "3", expected=1)
                size = os.path.getsize(self.stream)
                self.assertEqual(saved, [
                    f"failed: the toolstack ended the replication of domain {guest} after "
                    "checkpoint 3 (checkpoint answered 0)",
                    f"saved: {size} octets, 3 checkpoints"])
                self.assertIn("checkpoints: 3", self.oracle())
                here, domain, lines = self.restore_guest(name, "remus")
                self.assertEqual([line for line in lines if not line.startswith("notice: ")], [
                    *(emulator(3, 3) if emulator_word else []),
                    f"restored: 3 checkpoints, failed over, stream at {size}"])
                self.assertTrue(there.suspend(guest))
                self.assertEqual(there.compare(guest, here, domain), "same")

    def test_colo(self):
        """Both sides at once, with their two channels; then the primary ends."""
        there, here = self.host(), self.host()
        guest = there.build(**GUESTS["hvm"][0])
        stream, back = os.pipe(), os.pipe()
        program = os.path.join(sim.BUILD, "toolstack_stream")
        # A descriptor is a file here: the driver opens a path.
        sides = [
            subprocess.Popen([program, "save", there.dir, str(guest), f"/dev/fd/{stream[1]}", "3",
                              "emulator", f"colo={back[0]}"], stdout=subprocess.PIPE, text=True,
                             pass_fds=(stream[1], back[0])),
            subprocess.Popen([program, "restore", here.dir, "hvm", str(PAGES),
                              f"/dev/fd/{stream[0]}", f"colo={back[1]}"], stdout=subprocess.PIPE,
                             text=True, pass_fds=(stream[0], back[1]))]
        for fd in (*stream, *back):
            os.close(fd)
        saved, restored = [side.communicate()[0].splitlines() for side in sides]
        self.assertEqual([side.returncode for side in sides], [1, 0], (saved, restored))
        self.assertIn("failed: the toolstack ended the replication of domain "
                      f"{guest} after checkpoint 3 (checkpoint answered 0)", saved)
        self.assertEqual([line for line in restored if line.startswith(("xenstore", "context"))],
                         emulator(3, 3))
        self.assertEqual(restored[-1], "restored: 3 checkpoints, failed over")
        self.assertEqual([line for line in restored if line.startswith("secondary: ")][:2],
                         ["secondary: starts", "secondary: goes on"])
        domain = int(next(line for line in restored if line.startswith("domain: ")).split()[1])
        self.assertEqual(there.compare(guest, here, domain), "same")

    def test_cut_in_the_toolstacks_part(self):
        """The domain's part of the last checkpoint has come, the emulator's has not."""
        there, guest, _ = self.save_guest("hvm", "3", expected=1)
        self.assertTrue(there.suspend(guest))
        os.truncate(self.stream, os.path.getsize(self.stream) - 8)
        here, domain, lines = self.restore_guest("hvm", "remus")
        self.assertEqual([line for line in lines if line.startswith("context")],
                         ["context: 2 6 octets, QEVM 1", "context: 2 6 octets, QEVM 2"])
        self.assertIn("restored: 2 checkpoints, failed over", lines[-1])
        self.assertTrue(any("notice: the primary is gone: libxl record header" in line
                            for line in lines))
        self.assertEqual(there.compare(guest, here, domain), "same")

    def test_emulator_of_a_pv_domain(self):
        host = self.host()
        guest = host.build(**GUESTS["pv64"][0])
        lines = self.run_toolstack(1, "save", host.dir, guest, self.stream, "0", "emulator")
        self.assertEqual(lines[0], f"failed: domain {guest} is PV and cannot have an emulator")
        self.assertEqual(os.path.getsize(self.stream), 0)

    def test_emulator_in_a_pv_stream(self):
        self.save_guest("pv64", "0")
        end = os.path.getsize(self.stream) - 8
        with open(self.stream, "r+b") as file:
            file.seek(end)
            file.write(built_streams.emulator(3, b"QEVM state") + built_streams.record(0))
        _, domain, lines = self.restore_guest("pv64", expected=1)
        self.assertEqual(lines, [
            f"failed: libxl EMULATOR_CONTEXT record at offset {end}: does not belong to domain "
            f"{domain}, which is no HVM domain"])

    def test_hvm_without_its_emulator(self):
        self.save_guest("pvh", "0")
        end = os.path.getsize(self.stream) - 8
        _, _, lines = self.restore_guest("pvh", expected=1, kind="hvm")
        self.assertEqual(lines, [f"failed: libxl END record at offset {end}: the image is "
                                 "incomplete, there was no EMULATOR_CONTEXT"])

    def test_key_that_leads_out(self):
        self.save_guest("hvm", "0")
        self.edit(b"physmap/f0000000/name\0", b"../../../../0/control\0")
        _, _, lines = self.restore_guest("hvm", expected=1)
        self.assertRegex(lines[0], re.compile(
            r"^failed: libxl EMULATOR_XENSTORE_DATA record at offset \d+: key 0 leads out of its "
            r"directory$"))


if __name__ == "__main__":
    sim_case.main()
