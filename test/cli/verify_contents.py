#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr verify and what is in the pages: a PV guest's page tables and start info, verify data."""

import os
import struct

import cli_case
from cli_case import DAMAGED, FINE, FindingsCase, built, hvm, pv, start_info, xl
from stream_edit import Stream


L2 = 2
PRESENT, PSE = 1, 0x80
MISSING = ", which the stream did not bring"


def table(*entries, **slots) -> bytes:
    """A page table with these pfns from entry 0 on, present; slots: raw entries, as e5=value."""
    content = bytearray(4096)
    for slot, pfn in enumerate(entries):
        struct.pack_into("<Q", content, 8 * slot, pfn << 12 | 0x67)
    for slot, value in slots.items():
        struct.pack_into("<Q", content, 8 * int(slot[1:]), value)
    return bytes(content)


def narrow(**replacements) -> built.Parts:
    """pv() for a 32-bit guest, with a level-3 page table at 0x12."""
    context = bytearray(2800)
    struct.pack_into("<I", context, 524, 0x10)  # edx
    struct.pack_into("<I", context, 2728, 0x12 << 12)  # CR3
    return built.without(pv(**{
        "info": built.pv_info(4, 3), "p2m": built.p2m_frames(0, 0x7ff, 0x10, 0x10),
        "pages": built.page_data((0x10, built.NORMAL, 0xa1), (0x11, built.L1, 0xa2),
                                 (0x12, 0xb, 0xa2), (0x14, built.ALLOCATE_ONLY, None)),
        "more_pages": built.page_data((0x10, built.NORMAL, start_info(width=4))),
        "basic_0": built.vcpu(4, 0, bytes(context)), **replacements}),
        "basic 2", "xsave 2", "extended 0", "msrs 0", "xsave 0")


class PageTables(FindingsCase):
    """What a restore refuses of them; the same texts are those of test/fault/pv_streams.py."""

    def more(self, *entries, stream=pv) -> built.Parts:
        return built.inserted(stream(), "tsc", built.page_data(*entries))

    def faults(self, parts, *texts):
        """In the new record, and no others."""
        at = self.at(parts, "new")
        self.check(parts, DAMAGED, *(f"error: PAGE_DATA record at offset {at}: {text}" for text in texts))

    def test_fine(self):
        for stream in (pv, narrow):
            for level in (built.L1, L2, 3, 9):
                with self.subTest(level=level, stream=stream):
                    # Whatever came counts, holes and earlier versions too; absent entries may be anything.
                    self.check(self.more((0x11, level, table(0x10, 0x11, 0x12, 0x14, e100=0xfffffffffffffffe)),
                                         stream=stream), FINE)
        self.check(self.more((0x11, built.L1, table(0x13, 0x15))), FINE)
        # A page comes behind who names it.
        self.check(self.more((0x11, built.L1, table(0x77)), (0x77, built.NORMAL, 1)), FINE)
        parts = self.more((0x11, built.L1, table(0x77)))
        for later in (built.INVALID, built.ALLOCATE_ONLY, built.BROKEN):
            self.check({**parts, "new": parts["new"] + built.page_data((0x77, later, None))}, FINE)

    def test_beyond_the_p2m(self):
        self.faults(self.more((0x11, built.L1, table(0x10, 0x5ff + 1))),
                    "entry 1 of the level-1 page table pfn 0x11 names pfn 0x600, the guest's last is 0x5ff")
        self.faults(self.more((0x12, 0xc, table(*[0x12345678] * 12)), (0x11, built.L1, table(0x7777))),
                    "entry 0 of the level-4 page table pfn 0x12 names pfn 0x12345678, the guest's last is "
                    "0x5ff; 12 more such entries in this record")
        self.faults(self.more((0x11, 9, table(e511=(1 << 52) - 1)), stream=narrow),
                    "entry 511 of the level-1 page table pfn 0x11 names pfn 0xffffffffff, the guest's last "
                    "is 0x7ff")

    def test_superpage(self):
        parts = self.more((0x11, L2, table(e3=0x10 << 12 | PRESENT | PSE, e4=0x999 << 12 | PSE,
                                           e5=0x999 << 12 | PRESENT | PSE, e6=0x999 << 12 | PRESENT)))
        self.faults(parts, "entry 3 of the level-2 page table pfn 0x11 maps a superpage; 1 more such "
                           "entries in this record",
                    "entry 6 of the level-2 page table pfn 0x11 names pfn 0x999, the guest's last is 0x5ff")
        # In a level-1 page table the bit is another one.
        self.check(self.more((0x11, built.L1, table(e3=0x10 << 12 | PRESENT | PSE))), FINE)

    def test_page_that_never_comes(self):
        self.faults(self.more((0x11, built.L1, table(0x10, 0x80, 0x81, 0x80)), (0x12, 0xc, table(0x82))),
                    f"entry 1 of the level-1 page table pfn 0x11 names pfn 0x80{MISSING}; 2 more such pfns "
                    "in this record")

    def test_each_record_is_told(self):
        parts = self.more((0x11, built.L1, table(0x80, 0x81)))
        again = built.page_data((0x11, built.L1, table(0x81, 0x90)))
        parts = {("first" if name == "new" else name): data for name, data in parts.items()}
        parts = built.inserted(parts, "tsc", again)
        self.check(parts, DAMAGED,
                   f"error: PAGE_DATA record at offset {self.at(parts, 'first')}: entry 0 of the level-1 "
                   f"page table pfn 0x11 names pfn 0x80{MISSING}; 1 more such pfns in this record",
                   f"error: PAGE_DATA record at offset {self.at(parts, 'new')}: entry 1 of the level-1 "
                   f"page table pfn 0x11 names pfn 0x90{MISSING}")

    def test_earlier_version(self):
        """A restore takes each one that comes: it gives what they name memory, for good."""
        bad, good = (0x11, built.L1, table(0x80)), (0x11, built.L1, table(0x10))
        text = f"entry 0 of the level-1 page table pfn 0x11 names pfn 0x80{MISSING}"
        self.faults(self.more(bad, good), text)
        # As data, what is in it is nobody's business.
        self.check(self.more((0x11, built.NORMAL, table(0x80, e1=0xffffffffffff))), FINE)

    def test_many_that_come_later(self):
        """What is kept of those that may still come follows the file."""
        tables = [(0x11 + n % 2, built.L1, table(*range(0x1000 + n * 512, 0x1200 + n * 512)))
                  for n in range(64)]
        parts = pv(p2m=built.p2m_frames(0, 0x9fff, *[0x10] * 0x50))
        parts["more pages"] += b"".join(built.page_data(entry) for entry in tables)
        later = built.page_data(*((pfn, built.ALLOCATE_ONLY, None) for pfn in range(0x1000, 0x9000)))
        last = built.page_data((0x12, built.L4_PINNED, 0xa2))
        self.check(built.inserted(parts, "tsc", later + last), FINE)
        report = self.check_errors(built.inserted(parts, "tsc", last))
        self.assertEqual(report["errors"], 64)
        self.assertIn("; 511 more such pfns in this record", report["findings"][63]["text"])

    def check_errors(self, parts):
        return self.facts("verify", "--json", self.file(parts), code=DAMAGED)[0]

    def test_entries_beyond_the_p2m(self):
        parts = self.more((0x600, built.NORMAL, 1), (0x601, built.ALLOCATE_ONLY, None))
        self.faults(parts, "pfn 0x600 is beyond the p2m, whose last is 0x5ff (2 such entries)")
        # Of holes alone a restore takes any.
        self.check(self.more((0x600, built.INVALID, None)), FINE)

    def test_p2m_that_grows(self):
        grown = built.p2m_frames(0x600, 0x7ff, 0x10)
        parts = self.more((0x11, built.L1, table(0x7ff)), (0x7ff, built.NORMAL, 1))
        self.faults(parts, "pfn 0x7ff is beyond the p2m, whose last is 0x5ff (1 such entries)",
                    "entry 0 of the level-1 page table pfn 0x11 names pfn 0x7ff, the guest's last is 0x5ff")
        self.check({**parts, "new": grown + parts["new"]}, FINE)

    def test_start_info(self):
        for layout, stream in ((8, pv), (4, narrow)):
            for values, text in (
                    ({"store": 0x99}, f"the xenstore page is pfn 0x99{MISSING}"),
                    ({"store": 0x12}, "the xenstore page is pfn 0x12, which is a page of type 0x"),
                    ({"console": 0x99}, f"the console page is pfn 0x99{MISSING}"),
                    ({"console": 0x14}, "the console page is pfn 0x14, which is a page of type 0xe")):
                with self.subTest(text=text, width=layout):
                    parts = stream(more_pages=built.page_data(
                        (0x10, built.NORMAL, start_info(width=layout, **values))))
                    report = self.check_errors(parts)
                    self.assertEqual(report["errors"], 1, report)
                    self.assertTrue(report["findings"][0]["text"].startswith(
                        f"END record at offset {self.at(parts, 'end')}: {text}"), report)

    def test_start_info_from_a_pipe(self):
        octets = built.octets(pv(more_pages=built.page_data((0x10, built.NORMAL, start_info(0x99)))))
        code, out, _ = self.run_text("verify", "-", data=octets)
        self.assertEqual(code, FINE)
        self.assertTrue(out.endswith("; it cannot be read again, so not checked: the pages that the start info "
                                     "names\n"), out)
        self.assertEqual(self.facts("verify", "--json", "-", data=octets)[0]["unchecked"], ["start_info"])
        # Page tables are looked at as they come.
        parts = self.more((0x11, built.L1, table(0x80)))
        code, out, _ = self.run_text("verify", "-", data=built.octets(parts))
        self.assertEqual(code, DAMAGED)
        self.assertIn(f"names pfn 0x80{MISSING}", out)

    def test_cut_in_a_page_table(self):
        parts = self.more((0x12, built.L4_PINNED, table(0x9999)), (0x11, built.L1, table(0x10)))
        octets = built.octets(parts)[:self.at(parts, "tsc") - 9]
        report = self.facts("verify", "--json", self.file(octets), code=DAMAGED)[0]
        texts = [finding["text"] for finding in report["findings"]]
        self.assertEqual(len(texts), 2)
        self.assertIn("the input ends early", texts[0])
        self.assertIn("entry 0 of the level-4 page table pfn 0x12 names pfn 0x9999", texts[1])

    def test_checkpoints(self):
        """Each must hold together by itself; a pfn is told once."""
        parts = built.without(pv(), "end")
        state = ("tsc", "shared", "basic 0", "extended 0", "xsave 0", "msrs 0")
        for number, again in ((1, (0x11, built.L1, table(0x80))), (2, (0x10, built.NORMAL, start_info(0x99))),
                              (3, (0x80, built.NORMAL, 7))):
            if number == 1:
                parts = built.inserted(parts, "tsc", built.page_data(again))
            else:
                parts[f"pages {number}"] = built.page_data(again)
                parts.update({f"{name} {number}": parts[name] for name in state})
            parts[f"checkpoint {number}"] = built.CHECKPOINT
        texts = [f["text"] for f in self.check_errors({**parts, "end": built.END})["findings"]]
        self.assertEqual(texts, [
            f"PAGE_DATA record at offset {self.at(parts, 'new')}: entry 0 of the level-1 page table pfn "
            f"0x11 names pfn 0x80{MISSING}",
            *(f"CHECKPOINT record at offset {self.at(parts, f'checkpoint {n}')}: the xenstore page is pfn "
              f"0x99{MISSING}" for n in (2, 3))])

    def test_memory_follows_the_file(self):
        """Pfns that lie far apart, named and never brought."""
        tables = 400
        parts = pv(p2m=built.p2m_frames(0, (1 << 24) - 1, *[0x10] * (1 << 15)))
        parts["more pages"] += b"".join(built.page_data((0x11, built.L1, table(
            *range((n * 512 + 64) * 64, (n * 512 + 576) * 64, 64)))) for n in range(tables))
        code, octets = self.peak("verify", "-q", self.file(parts))
        self.assertEqual(code, DAMAGED)
        self.assertLess(octets, 110 << 20)

    def test_of_hvm_guests_nothing_is_looked_at(self):
        parts = built.inserted(hvm(), "tsc", built.page_data((0x20, built.NORMAL, table(0x80))))
        self.check(parts, FINE)

    def test_saved_guests(self):
        """What the simulated guests have in theirs, damaged in one place."""
        for guest in ("pv64", "pv32"):
            path = self.saved(type=guest, memory=8)
            with open(path, "rb") as file:
                good = file.read()
            stream = Stream(good)
            record, page, pfn = next((r, page, pfn) for r, _, pfn, kind, page in stream.pages()
                                     if kind in (1, 9) and any(r.get("Q", at) & 1 for at in
                                                               range(page, page + 4096, 8)))
            at = next(at for at in range(page, page + 4096, 8) if record.get("Q", at) & 1)
            before = record.get("Q", at)
            record.put("Q", at, before & 0xfff | 0x12345678 << 12)
            report = self.facts("verify", "--json", self.file(stream.octets()), code=DAMAGED)[0]
            self.assertEqual(report["errors"], 1)
            self.assertIn(f"entry {(at - page) // 8} of the level-1 page table pfn {pfn:#x} names pfn "
                          "0x12345678, the guest's last is", report["findings"][0]["text"])


class VerifyData(FindingsCase):
    """What comes behind VERIFY, against what came before."""

    def stream(self, *entries, base=hvm) -> built.Parts:
        return built.inserted(base(), "tsc", built.VERIFY + built.page_data(*entries))

    def differ(self, parts, text):
        self.check(parts, DAMAGED,
                   f"error: END record at offset {self.at(parts, 'end')}: verify data: {text}")

    def test_same(self):
        self.check(self.stream((0x20, built.NORMAL, 0xc1), (0x22, built.NORMAL, 0xc2)), FINE)
        self.check(self.stream((0x10, built.NORMAL, start_info()), (0x11, built.L1, 0xa2),
                               (0x12, 0xc, 0xa2), (0x13, built.BROKEN, None), (0x14, built.NORMAL, 0),
                               (0x15, built.INVALID, None), base=pv), FINE)

    def test_pages_that_differ(self):
        """But not those that are made anew: store (0x20) and console (0x22)."""
        base = lambda: hvm(pages=built.page_data(*((0x20 + n, built.NORMAL, n) for n in range(40))))
        same = [(0x20 + n, built.NORMAL, n) for n in range(40)]
        self.check(self.stream(*same, base=base), FINE)
        self.check(self.stream((0x20, built.NORMAL, 99), (0x22, built.NORMAL, 99), base=base), FINE)
        self.differ(self.stream(*same[:5], (0x25, built.NORMAL, 6), (0x22, built.NORMAL, 99), base=base),
                    "1 of 7 pages differ: pfn 0x25")
        other = [(pfn, kind, fill + 1) for pfn, kind, fill in reversed(same)]
        self.differ(self.stream(*other, base=base), "38 of 40 pages differ: pfn 0x21, " + ", ".join(
            f"{pfn:#x}" for pfn in range(0x23, 0x2e)) + ", …")
        # Twice is once.
        self.differ(self.stream((0x25, built.NORMAL, 6), (0x25, built.NORMAL, 6), base=base),
                    "1 of 2 pages differ: pfn 0x25")

    def test_last_content_counts(self):
        parts = built.inserted(hvm(), "tsc", built.page_data((0x23, built.NORMAL, 1)) + built.page_data(
            (0x23, built.NORMAL, 2)) + built.page_data((0x23, built.ALLOCATE_ONLY, None)))
        verify = built.VERIFY + built.page_data((0x23, built.NORMAL, 2))
        self.check({**parts, "new": parts["new"] + verify}, FINE)
        verify = built.VERIFY + built.page_data((0x23, built.NORMAL, 1))
        self.differ({**parts, "new": parts["new"] + verify}, "1 of 1 pages differ: pfn 0x23")

    def test_memory_and_holes(self):
        # 0x21 is a hole: it has nothing to compare; 0x22 is the console's.
        self.differ(self.stream((0x21, built.NORMAL, 0)), "1 of 1 pages differ: pfn 0x21")
        self.differ(self.stream((0x99, built.NORMAL, 0)), "1 of 1 pages differ: pfn 0x99")
        self.check(self.stream((0x20, built.NORMAL, 0xc1), (0x21, built.INVALID, None)), FINE)
        more = built.page_data((0x30, built.NORMAL, 1))
        gone = built.page_data((0x30, built.INVALID, None))
        parts = built.inserted(hvm(), "tsc", more + built.VERIFY + gone)
        self.differ(parts, "1 of 0 pages differ: pfn 0x30")
        # Gone already.
        self.check({**parts, "new": more + gone + built.VERIFY + gone + built.page_data(
            (0x20, built.NORMAL, 0))}, FINE)
        # And come again.
        self.differ({**parts, "new": more + gone + more + built.VERIFY + gone},
                    "1 of 0 pages differ: pfn 0x30")
        # Memory without content is all zeroes.
        blank = built.page_data((0x30, built.ALLOCATE_ONLY, None))
        for fill, text in ((0, None), (1, "1 of 1 pages differ: pfn 0x30")):
            with_blank = {**parts, "new": blank + built.VERIFY + built.page_data((0x30, built.NORMAL, fill))}
            self.differ(with_blank, text) if text else self.check(with_blank, FINE)

    def test_page_tables(self):
        tables = built.page_data((0x11, built.L1, table(0x10, 0x14)))
        for entry, text in (((0x11, built.L1, table(0x10, 0x14)), None),
                            ((0x11, 9, table(0x10, 0x14)), None),
                            ((0x11, built.L1, table(0x10, 0x11)), "0x11"),
                            # The same octets, which only once stood for frames.
                            ((0x11, built.NORMAL, table(0x10, 0x14)), "0x11"),
                            ((0x10, built.L1, start_info()), None)):
            parts = built.inserted(pv(), "tsc", tables + built.VERIFY + built.page_data(entry))
            if text:
                self.differ(parts, f"1 of 1 pages differ: pfn {text}")
            else:
                self.check(parts, FINE)

    def test_page_tables_that_a_restore_refuses(self):
        parts = pv()
        parts["more pages"] += built.VERIFY
        parts = built.inserted(parts, "tsc", built.page_data((0x11, built.L1, table(0x600))))
        text = "entry 0 of the level-1 page table pfn 0x11 names pfn 0x600, the guest's last is 0x5ff"
        self.check(parts, DAMAGED, f"error: PAGE_DATA record at offset {self.at(parts, 'new')}: {text}",
                   f"error: END record at offset {self.at(parts, 'end')}: verify data: 1 of 1 pages "
                   "differ: pfn 0x11")
        code, out, _ = self.run_text("verify", "-", data=built.octets(parts))
        self.assertEqual(code, DAMAGED)
        self.assertIn(text, out)
        # A pfn that only verify data name gets no memory.
        parts["new"] = built.page_data((0x11, built.L1, table(0x80)))
        self.differ(parts, "1 of 1 pages differ: pfn 0x11")

    def test_console_of_a_pv_guest(self):
        base = lambda: pv(more_pages=built.page_data((0x10, built.NORMAL, start_info(0x20, 0x21)),
                                                     (0x20, built.NORMAL, 1), (0x21, built.NORMAL, 1),
                                                     (0x22, built.NORMAL, 1)))
        self.differ(self.stream(*((pfn, built.NORMAL, 2) for pfn in (0x20, 0x21, 0x22)), base=base),
                    "1 of 3 pages differ: pfn 0x22")

    def test_from_a_pipe(self):
        octets = built.octets(self.stream((0x21, built.NORMAL, 0)))
        code, out, _ = self.run_text("verify", "-", data=octets)
        self.assertEqual(code, FINE)
        self.assertTrue(out.endswith("; it cannot be read again, so not checked: the verify data's "
                                     "contents\n"), out)
        self.assertEqual(self.facts("verify", "--json", "-", data=octets)[0]["unchecked"], ["verify_data"])

    def test_memory_follows_the_file(self):
        """Pfns that lie far apart, in memory and in what differs."""
        pfns = [i << 15 for i in range(1, 150001)]
        parts = built.inserted(hvm(), "tsc", built.page_data(
            *((pfn, built.ALLOCATE_ONLY, None) for pfn in pfns)) + built.VERIFY + built.page_data(
                *((pfn, built.INVALID, None) for pfn in pfns)))
        path = self.file(parts)
        code, octets = self.peak("verify", path)
        self.assertEqual(code, DAMAGED)
        self.assertLess(octets, 160 << 20)

    def test_saved_with_verify_data(self):
        """As `xl migrate --debug` sends it, with one octet of them changed."""
        for guest in ("pvh", "pv64", "pv32"):
            with self.subTest(guest=guest):
                octets = self.saved_debug(guest)
                self.check(octets, FINE)
                stream = Stream(octets)
                verify = next(n for n, r in enumerate(stream.records) if r.kind == 0x0d)
                record = next(r for r in stream.records[verify:] if r.kind == 1 and len(r.body) > 9000)
                count = record.get("I", 0)
                record.body[8 + 8 * count + 4096 + 100] ^= 2
                report = self.facts("verify", "--json", self.file(stream.octets()), code=DAMAGED)[0]
                self.assertEqual(report["errors"], 1)
                self.assertRegex(report["findings"][0]["text"],
                                 r"verify data: 1 of \d+ pages differ: pfn 0x")

    def saved_debug(self, guest) -> bytes:
        host = self.host()
        with open(os.path.join(self.folder, "debug"), "w+b") as image:
            self.save("xensr", host, host.build(type=guest, memory=8), image, flags=2)
            image.seek(0)
            return image.read()


if __name__ == "__main__":
    cli_case.main()
