#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr verify --tee, as it sits in a migration: every octet goes on, at once, whatever it is."""

import os
import select
import subprocess
import threading

import cli_case
from cli_case import DAMAGED, FINE, TROUBLE, CliCase, built, hvm, xl

PATIENCE = 30  # seconds; only a failure waits that long


class Tee(CliCase):
    def start(self, **options):
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            [cli_case.XENSR, "verify", "--tee", "-"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, **options)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
        process.wait()

    def pass_through(self, octets):
        code, out, errors = self.run_raw("verify", "--tee", "-", data=octets)
        self.assertEqual(len(out), len(octets))
        self.assertTrue(out == octets, "not what went in")
        return code, errors

    def test_good(self):
        for parts in (hvm(), xl()):
            code, errors = self.pass_through(built.octets(parts))
            self.assertEqual(code, FINE, errors)
            self.assertIn("-: fine: ", errors)

    def test_large(self):
        path = self.saved(type="hvm", memory=40)
        with open(path, "rb") as file:
            octets = file.read()
        code, errors = self.pass_through(octets + b"and more" * 100000)
        self.assertEqual(code, FINE, errors)  # that is the toolstacks' business
        self.assertNotIn("after the end", errors)

    def test_damage_does_not_stop_it(self):
        good = built.octets(hvm())
        for octets in (good[:-4], good[:60] + b"\xff" * 100 + good[60:], b"rubbish" * 99999, b"",
                       good[:44] + b"\xff" * 4 + good[48:]):
            code, errors = self.pass_through(octets)
            self.assertEqual(code, DAMAGED)
            self.assertIn("-: error: ", errors)

    def test_files_and_pipes(self):
        """The kernel moves octets between some kinds of descriptors only."""
        path = self.saved(type="pvh", memory=16)
        with open(path, "rb") as file:
            octets = file.read()
        for source in ("file", "pipe"):
            for sink in ("file", "pipe", "append"):
                with self.subTest(source=source, sink=sink):
                    self.assertTrue(self.shell(path, source, sink) == octets)

    def shell(self, path, source, sink) -> bytes:
        copy = os.path.join(self.folder, f"{source}-{sink}")
        before = f"< {path}" if source == "file" else ""
        after = {"file": f"> {copy}", "append": f">> {copy}", "pipe": f"| cat > {copy}"}[sink]
        feed = f"cat {path} | " if source == "pipe" else ""
        subprocess.run(["bash", "-c", "set -o pipefail; "
                        f"{feed}{cli_case.XENSR} verify --tee - {before} {after} 2>/dev/null"],
                       check=True)
        with open(copy, "rb") as file:
            return file.read()

    def test_holds_nothing_back(self):
        """What was sent comes out while the other end is still silent, wherever it stops."""
        octets = built.octets(xl())
        process = self.start()
        sent = 0
        for step in (1, 31, 5, 300, 4100, 7, 8192, len(octets)):
            part = octets[sent:sent + step]
            process.stdin.write(part)
            self.assertTrue(self.receive(process, len(part)) == part)
            sent += len(part)
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE), FINE)

    def receive(self, process, wanted) -> bytes:
        got = b""
        while len(got) < wanted:
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
            self.assertTrue(ready, f"{len(got)} of {wanted} octets came, and no more")
            part = process.stdout.read(wanted - len(got))
            self.assertTrue(part, "it has ended")
            got += part
        return got

    def test_tells_damage_at_once(self):
        process = self.start()
        process.stdin.write(built.octets(built.without(hvm(), "end")) + built.record(0x66))
        ready, _, _ = select.select([process.stderr], [], [], PATIENCE)
        self.assertTrue(ready)
        self.assertIn(b"type 0x66 is unknown", process.stderr.read(4096))

    def test_reader_gone(self):
        process = self.start()
        process.stdout.close()
        writer = threading.Thread(target=self.feed, args=(process,))
        writer.start()
        self.assertEqual(process.wait(PATIENCE), TROUBLE)
        writer.join(PATIENCE)
        self.assertIn(b"cannot pass on what is at offset 0: Broken pipe", process.stderr.read())
        process.stdout = open(os.devnull, "rb")  # pylint: disable=consider-using-with

    def test_reader_gone_after_the_end(self):
        """The receiving toolstack has what it wants; the other one still has a word to say."""
        octets = built.octets(hvm())
        process = self.start()
        process.stdin.write(octets)
        self.assertTrue(self.receive(process, len(octets)) == octets)
        process.stdout.close()
        process.stdin.write(b"domain is yours")
        process.stdin.close()
        self.assertEqual(process.wait(PATIENCE), FINE)
        self.assertIn(b"-: fine: ", process.stderr.read())

    @staticmethod
    def feed(process):
        try:
            for _ in range(100):
                process.stdin.write(built.octets(hvm()))
        except BrokenPipeError:
            pass

    def test_disk_full(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([cli_case.XENSR, "verify", "--tee", "-"], input=built.octets(hvm()),
                                  stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, TROUBLE)
        self.assertIn(b"No space left on device", done.stderr)

    def test_usage(self):
        path = self.file(hvm())
        self.assertEqual(self.run_text("verify", "--tee", path)[0], 3)
        self.assertEqual(self.run_text("verify", "--tee", "--json", "-", data=b"")[0], 3)


if __name__ == "__main__":
    cli_case.main()
