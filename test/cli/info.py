#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr info: what it says of images that were saved and of ones that were built."""

import json
import os

import cli_case
from cli_case import DAMAGED, FINE, TROUBLE, CliCase, built, hvm, pv, xl

CONFIG = {"c_info": {"type": "pvh", "name": "web\x1b1"}, "b_info": {"device_model_version": "none"}}


class Info(CliCase):
    def test_xl(self):
        path = self.file(xl())
        facts = self.facts("info", "--json", path)
        self.assertEqual((facts["kind"], facts["damaged"], facts["octets"]),
                         ("xl", False, os.path.getsize(path)))
        domain = facts["domain"]
        for name, value in {
                "version": 3, "guest_type": "hvm", "guest": "x86 HVM", "memory_pages": 2,
                "memory_octets": 8192, "highest_pfn": "0x22", "vcpus": 2, "xen_major": 4,
                "xen_minor": 20, "name": "guest", "device_model": "qemu upstream",
                "checkpointed": False, "complete": True}.items():
            self.assertEqual(domain[name], value, name)
        self.assertEqual(domain["records"]["domain"]["PAGE_DATA"], {"count": 1, "octets": 8224})
        self.assertEqual(domain["records"]["libxl"]["END"], {"count": 1, "octets": 0})
        self.assertEqual(domain["pages"]["types"], {"normal": 2, "invalid": 1})

    def test_text(self):
        path = self.file(xl(config=json.dumps(CONFIG).encode()))
        code, out, errors = self.run_text("info", path)
        self.assertEqual((code, errors), (FINE, ""))
        lines = {line[:16].strip(): line[17:] for line in out.splitlines()}
        self.assertEqual(lines["format"], "xl file, domain stream version 3")
        self.assertEqual(lines["name"], "web?1")
        self.assertEqual(lines["guest"], "x86 PVH")
        self.assertEqual(lines["memory"], "2 pages, 8.0 KiB; highest pfn 0x22")
        self.assertEqual(lines["vcpus"], "2")
        self.assertEqual(lines["saved by"], "Xen 4.20")
        self.assertEqual(lines["complete"], "yes")

    def test_pv(self):
        domain = self.facts("info", "--json", self.file(pv()))["domain"]
        self.assertEqual((domain["guest"], domain["guest_width"], domain["vcpus"]),
                         ("x86 PV, 64-bit", 8, 2))
        # 0x10 twice; broken and invalid have no memory, allocate-only has.
        self.assertEqual(domain["memory_pages"], 4)
        self.assertEqual(domain["pages"]["sent_again"], 1)
        self.assertEqual(domain["pages"]["types"], {
            "normal": 2, "l1": 1, "l4_pinned": 1, "broken": 1, "allocate_only": 1, "invalid": 1})

    def test_versions_and_layers(self):
        self.assertIn("domain stream, domain stream version 2",
                      self.run_text("info", self.file(built.version_2(hvm())))[1])
        libxl = built.without(xl(), "xl")
        self.assertEqual(self.facts("info", "--json", self.file(libxl))["kind"], "libxl")
        old = hvm(domain=built.domain_header(built.HVM, major=0, minor=3))
        self.assertIn("Xen 4.5 or earlier, and converted", self.run_text("info", self.file(old))[1])

    def test_contents(self):
        """Zero pages, equal pages, and a sample that compresses."""
        entries = [(pfn, 0, 0) for pfn in range(40)] + [(pfn, 0, 7) for pfn in range(40, 100)]
        parts = hvm(pages=built.page_data(*entries), params=built.hvm_params((1, 1)))
        pages = self.facts("info", "--json", self.file(parts))["domain"]["pages"]
        self.assertEqual((pages["zero"], pages["same_content"], pages["with_content"]), (40, 59, 100))
        sample = pages["compression"]
        self.assertEqual((sample["method"], sample["level"], sample["sampled_octets"]),
                         ("zstd", 1, 96 * 4096))
        self.assertLess(sample["compressed_octets"], 96 * 4096 / 50)
        self.assertGreater(sample["compressed_octets"], 0)

    def test_large_sample_is_bounded(self):
        """Random and zero halves: the estimate lies between, from no more than 16 MiB."""
        noise = os.urandom(4096 * 1024)
        body = b""
        for batch in range(12):
            pfns = range(batch * 1024, batch * 1024 + 1024)
            body += built.record(1, b"".join(
                [(1024).to_bytes(8, "little"), *(pfn.to_bytes(8, "little") for pfn in pfns),
                 noise if batch % 2 else bytes(4096 * 1024)]))
        parts = hvm(pages=body, params=built.hvm_params((1, 1)))
        domain = self.facts("info", "--json", self.file(parts))["domain"]
        sample = domain["pages"]["compression"]
        self.assertLessEqual(sample["sampled_octets"], 16 << 20)
        self.assertGreaterEqual(sample["sampled_octets"], 8 << 20)
        self.assertAlmostEqual(sample["compressed_octets"] / sample["sampled_octets"], 0.5, delta=0.05)
        self.assertEqual(domain["pages"]["zero"], 6 * 1024)
        self.assertEqual(domain["pages"]["same_content"], 5 * 1024)

    def test_saved_guests(self):
        # One vcpu of the simulated PV guests is offline.
        for guest, text, vcpus in (("hvm", "x86 HVM or PVH", 3), ("pv64", "x86 PV, 64-bit", 2),
                                   ("pv32", "x86 PV, 32-bit", 2)):
            with self.subTest(guest=guest):
                domain = self.facts("info", "--json",
                                    self.saved(type=guest, memory=8, vcpus=3))["domain"]
                self.assertEqual((domain["guest"], domain["vcpus"]), (text, vcpus))
                self.assertAlmostEqual(domain["memory_pages"], 8 << 8, delta=40)

    def test_checkpoints(self):
        parts = built.libxl_checkpointed()
        for name in ("context", "context 2"):
            parts[name] = hvm()["context"]
        parts["emulator 1"] = parts["emulator 2"] = built.emulator(3, cli_case.SAVEVM)
        domain = self.facts("info", "--json", self.file(parts))["domain"]
        self.assertEqual((domain["checkpointed"], domain["checkpoints"], domain["complete"],
                          domain["vcpus"]), (True, 2, True, 2))

    def test_pipe(self):
        octets = built.octets(xl())
        from_pipe, from_file = (self.facts("info", "--json", "-", data=octets),
                                self.facts("info", "--json", self.file(octets)))
        self.assertEqual(from_pipe["domain"], from_file["domain"])
        self.assertEqual(from_pipe["octets"], from_file["octets"])

    def test_legacy(self):
        """Not more than the front of one: what is in whole ones, test/cli/convert_legacy.py asks."""
        for octets, bits in ((b"\0\0\1\0\0\0\0\0" + b"\xff" * 99, 64),
                             (b"\0\0\1\0" + b"\xff" * 99, 32),
                             (built.xl_header(mandatory=1) + b"\0\0\1\0\0\0\0\0\x10\0\0\0" + bytes(9), 64)):
            facts = self.facts("info", "--json", self.file(octets), code=DAMAGED)
            self.assertEqual((facts["kind"], facts["toolstack_bits"]), ("legacy", bits))
            code, out, _ = self.run_text("info", self.file(octets))
            self.assertEqual(code, DAMAGED)
            self.assertIn(f"legacy image of a {bits}-bit toolstack", out)

    def test_damaged(self):
        path = self.file(built.octets(hvm())[:-20])
        code, out, errors = self.run_text("info", path)
        self.assertEqual(code, DAMAGED)
        self.assertIn("complete         no", out)
        self.assertIn(f"xensr info: {path}: HVM_PARAMS record at offset ", errors)
        facts = self.facts("info", "--json", path, code=DAMAGED)
        self.assertTrue(facts["damaged"])
        code, out, errors = self.run_text("info", "/nonexistent")
        self.assertEqual((code, out), (TROUBLE, ""))

    def test_no_saved_domain(self):
        """It is not called one; an xl file whose content is damaged is still an xl file."""
        path = self.file(b"nothing of the kind, and not short")
        code, out, errors = self.run_text("info", path)
        self.assertEqual((code, errors), (DAMAGED, f"xensr info: {path}: this is no saved domain\n"))
        self.assertEqual(out.splitlines()[2:], ["format           unknown"])
        facts = self.facts("info", "--json", path, code=DAMAGED)
        self.assertEqual(facts["kind"], "unknown")
        self.assertNotIn("domain", facts)
        parts = xl()
        parts["image"] = bytes(24)
        self.assertEqual(self.facts("info", "--json", self.file(parts), code=DAMAGED)["kind"], "xl")


if __name__ == "__main__":
    cli_case.main()
