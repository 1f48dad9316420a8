#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Help and wrong usage of the command, its man pages and its completion."""

import os
import re
import subprocess

import cli_case
from cli_case import FINE, USAGE, CliCase

TOP = os.path.join(cli_case.HERE, "..", "..")
COMPLETION = os.path.join(TOP, "tools", "xensr.bash")
MINE = ("info", "ls", "verify", "cat", "hexdump")


class Usage(CliCase):
    def commands(self):
        code, out, errors = self.run_text("--help")
        self.assertEqual((code, errors), (FINE, ""))
        return re.findall(r"^  ([a-z]+) +\S", out, re.MULTILINE)

    def test_the_command(self):
        self.assertTrue(set(MINE) <= set(self.commands()))
        code, out, errors = self.run_text()
        self.assertEqual((code, out), (USAGE, ""))
        self.assertIn("usage: xensr COMMAND", errors)
        code, out, errors = self.run_text("nonsense")
        self.assertEqual((code, out, errors), (
            USAGE, "", "xensr: there is no command `nonsense'; see xensr --help\n"))
        self.assertRegex(self.run_text("--version")[1], r"^xensr \d+\.\d+")

    def test_help_of_each(self):
        for command in self.commands():
            code, out, errors = self.run_text(command, "--help")
            self.assertEqual((code, errors), (FINE, ""), command)
            self.assertTrue(out.startswith(f"usage: xensr {command} "), out)

    def test_wrong_usage_of_each(self):
        for command in self.commands():
            code, out, errors = self.run_text(command, "--no-such-option")
            self.assertEqual((code, out), (USAGE, ""), command)
            self.assertIn("--no-such-option", errors)
        for command in MINE:
            code, out, errors = self.run_text(command)
            self.assertEqual((code, out), (USAGE, ""), command)
            self.assertTrue(errors.startswith(f"xensr {command}: "), errors)
        for command in ("info", "ls"):
            self.assertEqual(self.run_text(command, "a", "b")[0], USAGE)

    def test_names_that_begin_with_a_dash(self):
        path = self.file(cli_case.hvm(), "-q")
        done = subprocess.run([cli_case.XENSR, "verify", "--", "-q"], cwd=os.path.dirname(path),
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout[:10]), (FINE, b"-q: fine: "))

    def options(self, command):
        """As its help says them."""
        return set(re.findall(r"(?:^| )(--[a-z][a-z-]*)", self.run_text(command, "--help")[1]))

    def test_man_pages(self):
        for command in MINE:
            path = os.path.join(TOP, "docs", "man", f"xensr-{command}.1")
            with open(path, encoding="utf-8") as file:
                page = file.read().replace("\\-", "-")
            for option in self.options(command):
                self.assertIn(option, page, path)
        self.assertTrue(os.path.exists(os.path.join(TOP, "docs", "man", "xensr.1")))

    def complete(self, *words):
        """What bash would offer for the last of the words."""
        quoted = " ".join(f"'{word}'" for word in words)
        script = (f". '{COMPLETION}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
                  'COMPREPLY=(); _xensr; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True,
                              cwd=self.folder)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())

    def test_completion(self):
        self.assertTrue(set(self.commands()) <= self.complete("xensr", ""))
        self.assertEqual(self.complete("xensr", "ver"), {"verify"})
        for command in MINE:
            self.assertEqual(self.complete("xensr", command, "--"), self.options(command), command)
        self.assertEqual(self.complete("xensr", "verify", "--js"), {"--json"})
        self.file(b"", "an-image")
        self.assertEqual(self.complete("xensr", "ls", "an-"), {"an-image"})


if __name__ == "__main__":
    cli_case.main()
