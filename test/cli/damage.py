#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Damaged images: no command ever crashes, and verify refuses what the independent oracle refuses.

Each bit and each cut against the library's own reader is test/unit/tools_walk.c; here is the command
itself, with all layers, on a sample of both."""

import io
import random

import cli_case
from cli_case import DAMAGED, DIFFERENT, FINE, CliCase, built, pv, xl
from image import Image
from memory import Memory
from source import Violation

SAMPLE = 4000 if cli_case.sim_case.LONG else 150

# What the oracle, which knows the format, does not look at: the command does.
STRICTER = ("hvm context", "HVM_CONTEXT", "parameter", "did not bring", "vcpu", "emulator",
            "device model", "section", "key ", "value ", "configuration", "options", "page table",
            "beyond what x86 can address", "beyond the p2m", "a page of type")

# What the oracle refuses, and a restore takes.
MILDER = "padding|reserved|zero|unknown (image )?options|optional flags|after the END"


def oracle_says(octets) -> str | None:
    """What is wrong with it, or None."""
    image, memory = Image(io.BytesIO(octets)), Memory()
    try:
        for record in image.records():
            if record.pages:
                memory.apply(record.pages)
    except Violation as violation:
        return str(violation)
    return None


class Damage(CliCase):
    def setUp(self):
        super().setUp()
        self.random = random.Random(6)

    def verdict(self, octets):
        code, out, errors = self.run_text("verify", self.file(octets))
        self.assertEqual(errors, "")
        return code, out

    def compare(self, octets, what):
        code, out = self.verdict(octets)
        oracle = oracle_says(octets)
        if oracle and code == DIFFERENT:
            self.assertRegex(oracle, MILDER, f"{what}: verify {out}")
        elif oracle and not (code == FINE and "does not follow its X86_PV_VCPU_BASIC" in oracle):
            self.assertEqual(code, DAMAGED, f"{what}: the oracle says {oracle}; verify {out}")
        elif code == DAMAGED:
            self.assertTrue(any(word in out for word in STRICTER), f"{what}: {out}")

    def interesting(self, octets):
        """Offsets outside the insides of pages."""
        return [n for n in range(len(octets))
                if octets[max(0, n - 8):n + 8] != octets[n:n + 1] * 16]

    def test_bits(self):
        for parts in (xl(), pv()):
            good = built.octets(parts)
            for at in self.random.sample(self.interesting(good), SAMPLE):
                bit = 1 << self.random.randrange(8)
                octets = good[:at] + bytes([good[at] ^ bit]) + good[at + 1:]
                if octets[:8] != good[:8] and octets[:4] != b"Xen ":
                    continue
                self.compare(octets, f"octet {at} ^ {bit:#x}")

    def test_cuts(self):
        good = built.octets(xl())
        for at in self.random.sample(range(len(good)), SAMPLE // 2):
            code, out = self.verdict(good[:at])
            self.assertEqual(code, DAMAGED, f"cut at {at}: {out}")

    def test_each_command(self):
        """On damage they say so and go on or stop; run_raw() asserts that they do not crash."""
        good = built.octets(xl())
        for at in self.random.sample(self.interesting(good), SAMPLE // 3):
            octets = bytearray(good)
            octets[at] ^= 1 << self.random.randrange(8)
            octets = octets if at % 3 else octets[:at]
            path = self.file(bytes(octets))
            for words in (["ls"], ["ls", "--json"], ["info"], ["info", "--json"],
                          ["cat", "--record", "HVM_PARAMS"], ["hexdump", "--pfn", "0-0xffff"]):
                code, _, errors = self.run_raw(*words, path)
                if code == DAMAGED:
                    self.assertTrue(errors.startswith(f"xensr {words[0]}: {path}: "), errors)

    def test_claims_cost_nothing(self):
        """A length that lies is not believed: the file is what bounds the memory."""
        import resource  # pylint: disable=import-outside-toplevel
        lies = built.octets(built.inserted(cli_case.hvm(), "tsc", built.record(
            1, b"\xff\xff\xff\x00" + bytes(60), length=128 << 20)))
        path = self.file(lies)
        for command in (["verify"], ["ls"], ["info"], ["cat", "--pfn", "0x20"]):
            self.assertEqual(self.run_raw(*command, path)[0], DAMAGED)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.assertLess(peak, 600 << 10)  # KiB; sanitizers take most of it

    def test_nothing_but_ends(self):
        self.assertEqual(self.verdict(built.octets(xl()) + bytes(4096))[0], DIFFERENT)
        self.assertEqual(self.verdict(bytes(4096))[0], DAMAGED)
        self.assertEqual(self.verdict(b"\xff" * 4096)[0], DAMAGED)


if __name__ == "__main__":
    cli_case.main()
