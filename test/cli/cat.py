#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr cat and hexdump: the right octets, or a clear no."""

import subprocess

import cli_case
from cli_case import DAMAGED, FINE, TROUBLE, USAGE, CliCase, built, hvm, pv, xl
from stream_edit import Stream


def checkpointed() -> built.Parts:
    parts = built.without(hvm(), "end")
    result = {**parts, "checkpoint 1": built.CHECKPOINT}
    for number in (2, 3):
        result.update(built.hvm_epoch(number))
        result[f"context {number}"] = parts["context"]
    return {**result, "end": built.END}


class Cat(CliCase):
    def cat(self, *words, code=FINE) -> bytes:
        got, out, errors = self.run_raw("cat", *words)
        self.assertEqual((got, errors), (code, ""))
        return out

    def refused(self, text, *words, code=USAGE):
        got, out, errors = self.run_raw("cat", *words)
        self.assertEqual((got, out), (code, b""))
        self.assertIn(text, errors)

    def test_pages(self):
        path = self.file(xl())
        self.assertEqual(self.cat("--pfn", "0x20", path), built.page(0xc1))
        self.assertEqual(self.cat("--pfn", "34,0x20", path), built.page(0xc2) + built.page(0xc1))
        # Sent twice: the last content counts.
        again = {"more_pages": built.page_data((0x10, built.NORMAL, 0xb1))}
        self.assertEqual(self.cat("--pfn", "0x10-0x12", self.file(pv(**again))),
                         built.page(0xb1) + built.page(0xa2) + built.page(0xa2))

    def test_pages_without_content(self):
        path = self.file(pv())
        self.refused(f"xensr cat: {path}: pfn 0x13 has no content: its type is broken\n", "--pfn",
                     "0x12-0x13", path)
        self.refused("pfn 0x14 has no content: its type is allocate-only", "--pfn", "0x14", path)
        self.refused("pfn 0x15 has no content: its type is invalid", "--pfn", "0x15", path)
        self.refused("there is no pfn 0x16", "--pfn", "0x16", path)

    def test_all_of_a_saved_guest(self):
        path = self.saved(type="pvh", memory=8)
        with open(path, "rb") as file:
            stream = Stream(file.read())
        memory = {}
        for record, _, pfn, kind, page in stream.pages():
            if kind < 0xd:
                memory[pfn] = bytes(record.body[page:page + 4096])
        low = sorted(pfn for pfn in memory if pfn < 0x700)
        first, last = low[0], low[0]
        while last + 1 in memory:
            last += 1
        self.assertGreater(last - first, 500)
        self.assertTrue(self.cat("--pfn", f"{first}-{last}", path) ==
                        b"".join(memory[pfn] for pfn in range(first, last + 1)))

    def test_checkpoints(self):
        path = self.file(checkpointed())
        for words, fill in (([], 0xd3), (["--checkpoint", "3"], 0xd3), (["--checkpoint", "2"], 0xd2),
                            (["--checkpoint", "1"], 0xc1)):
            self.assertEqual(self.cat(*words, "--pfn", "0x20", path), built.page(fill))
        self.refused("no checkpoint 4: it has 3 that are complete", "--checkpoint", "4", "--pfn", "1",
                     path)
        # What of a checkpoint is not complete does not count.
        cut = self.file(built.octets(built.without(checkpointed(), "checkpoint 3", "end")))
        code, out, errors = self.run_raw("cat", "--pfn", "0x20", cut)
        self.assertEqual((code, out), (FINE, built.page(0xd2)))
        self.assertRegex(errors, "; a restore takes checkpoint 2; going by checkpoint 2, which is "
                                 "complete\n$")

    def test_damage_behind_a_checkpoint(self):
        """A restore refuses such an image, so this says it; not to whom that checkpoint is enough."""
        parts = {**checkpointed(), "checkpoint 3": built.record(0x77)}
        path = self.file(parts)
        for command in "cat", "hexdump":
            for words, code in (([], DAMAGED), (["--checkpoint", "2"], FINE),
                                (["--checkpoint", "1"], FINE)):
                got, out, errors = self.run_raw(command, *words, "--pfn", "0x20", path)
                self.assertEqual(got, code)
                self.assertTrue(out)
                self.assertRegex(errors, f"^xensr {command}: {path}: .*type 0x77 is unknown.*; going "
                                         rf"by checkpoint {words[1] if words else 2}, which is "
                                         "complete\n$")
        got, out, _ = self.run_raw("cat", "--pfn", "0x20", path)
        self.assertEqual((got, out), (DAMAGED, built.page(0xd2)))

    def test_records(self):
        path = self.file(xl())
        self.assertEqual(self.cat("--record", "EMULATOR_CONTEXT", path),
                         b"\2\0\0\0\0\0\0\0" + cli_case.SAVEVM)
        self.assertEqual(self.cat("--record", "X86_TSC_INFO:0", path), built.tsc_info()[8:])
        self.assertEqual(self.cat("--record", "6", path), cli_case.HVM_CONTEXT)
        self.assertEqual(self.cat("--record", "END", path), b"")
        self.refused("there is no record `X86_TSC_INFO:1'", "--record", "X86_TSC_INFO:1", path)
        self.refused("there is no record `99'", "--record", "99", path)
        self.refused("there is no record `NONSENSE'", "--record", "NONSENSE", path)
        path = self.file(checkpointed())
        self.assertEqual(self.cat("--checkpoint", "2", "--record", "HVM_PARAMS", path),
                         built.hvm_params((1, 2))[8:])

    def test_damaged_file(self):
        """What came before the damage can be looked at; the exit code tells."""
        parts = hvm()
        path = self.file(built.octets(parts)[:built.offset_of(parts, "context") + 20])
        code, out, errors = self.run_raw("cat", "--pfn", "0x22", path)
        self.assertEqual((code, out), (DAMAGED, built.page(0xc2)))
        self.assertIn("HVM_CONTEXT record at offset", errors)
        self.assertIn("the input ends early", errors)
        # What is not there may have been behind it.
        for words in (["cat", "--pfn", "0x99"], ["cat", "--record", "HVM_PARAMS"],
                      ["hexdump", "--pfn", "0x99"]):
            code, _, errors = self.run_text(*words, path)
            self.assertEqual(code, DAMAGED, words)
            self.assertRegex(errors, "the input ends early.*\n.*(there is no|none of these)", words)

    def test_not_a_file(self):
        self.refused("not a regular file: it must be possible to go back in it", "--pfn", "1",
                     "/dev/null", code=TROUBLE)
        self.refused("cannot open it: No such file or directory", "--pfn", "1", "/nonexistent",
                     code=TROUBLE)
        self.refused("this is no saved domain", "--pfn", "1", self.file(b"x" * 100), code=DAMAGED)
        self.refused("legacy image", "--pfn", "1", self.file(b"\0\0\1\0\0\0\0\0" + b"\xff" * 99),
                     code=DAMAGED)

    def test_usage(self):
        path = self.file(hvm())
        for words in (["--pfn", "x"], ["--pfn", "2-1"], ["--pfn", "1,,2"], ["--pfn", ""],
                      ["--pfn", "0x10000000000"], ["--pfn", "-1"], ["--pfn", "1", "--record", "1"],
                      [], ["--pfn", "1", "--checkpoint", "0"], ["--pfn", "1", "--checkpoint", "x"]):
            code, out, errors = self.run_text("cat", *words, path)
            self.assertEqual((code, out), (USAGE, ""), words)
            self.assertIn("`xensr cat --help' says more.\n", errors)


class Hexdump(CliCase):
    def test_lines(self):
        octets = bytes(range(256)) * 2 + bytes(4096 - 512)
        parts = hvm()
        pages = bytearray(parts["pages"])
        start = len(pages) - 2 * 4096
        pages[start:start + 4096] = octets
        path = self.file(hvm(pages=bytes(pages)))
        code, out, errors = self.run_text("hexdump", "--pfn", "0x20", path)
        self.assertEqual((code, errors), (FINE, ""))
        # The same as hexdump -C says, but for addresses of 16 digits.
        raw = self.file(octets, "raw")
        expect = subprocess.run(["od", "-A", "n", "-t", "x1", "-v", raw], capture_output=True,
                                check=True, text=True).stdout.splitlines()
        lines = out.splitlines()
        self.assertEqual(lines[0], "0000000000020000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f"
                                   "  |................|")
        self.assertEqual(lines[4], "0000000000020040  40 41 42 43 44 45 46 47  48 49 4a 4b 4c 4d 4e 4f"
                                   "  |@ABCDEFGHIJKLMNO|")
        for number in range(33):
            self.assertEqual(lines[number][18:67].split(), expect[number].split())
        self.assertEqual(lines[33:], ["*", "0000000000021000"])

    def test_holes(self):
        path = self.file(hvm())
        code, out, _ = self.run_text("hexdump", "--pfn", "0x1f-0x23", path)
        self.assertEqual(code, FINE)
        line = " ".join(["c1"] * 8)
        self.assertEqual(out.splitlines()[:4], [
            "000000000001f000  no content up to 000000000001ffff",
            f"0000000000020000  {line}  {line}  |................|", "*",
            "0000000000021000  no content up to 0000000000021fff"])
        self.assertEqual(out.splitlines()[-1], "0000000000023000  no content up to 0000000000023fff")
        code, out, errors = self.run_text("hexdump", "--pfn", "0x21", path)
        self.assertEqual((code, out), (USAGE, "0000000000021000  no content up to 0000000000021fff\n"))
        self.assertEqual(errors, f"xensr hexdump: {path}: none of these pages has content\n")

    def test_ranges_without_content(self):
        """They do not keep the others from being shown."""
        code, out, errors = self.run_text("hexdump", "--pfn", "0x21,0x22,0xfefff",
                                          self.file(hvm()))
        self.assertEqual((code, errors), (FINE, ""))
        lines = out.splitlines()
        self.assertEqual(lines[0], "0000000000021000  no content up to 0000000000021fff")
        self.assertTrue(lines[1].startswith("0000000000022000  c2 c2"), lines)
        self.assertEqual(lines[3:], ["0000000000023000",
                                     "00000000fefff000  no content up to 00000000feffffff"])

    def test_checkpoint(self):
        path = self.file(checkpointed())
        out = self.run_text("hexdump", "--checkpoint", "2", "--pfn", "0x20", path)[1]
        self.assertIn("0000000000020000  d2 d2", out)

    def test_whole_address_space(self):
        """The range costs nothing; what is in the image does."""
        code, out, _ = self.run_text("hexdump", "--pfn", "0-0xffffffffff", self.file(hvm()))
        self.assertEqual(code, FINE)
        self.assertEqual(len(out.splitlines()), 7)


if __name__ == "__main__":
    cli_case.main()
