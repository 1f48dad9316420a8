# SPDX-License-Identifier: LGPL-2.1-or-later
"""Streams of PV guests that no saver writes: each is refused with its exact reason, and the host
is left with nothing of ours. What was changed is in the name of the test. What does not depend on the
host, xensr verify refuses too, if it was built, and takes what a restore takes."""

import os
import struct
import subprocess
import tempfile

import sim
import sim_case
import stream_edit as se
from sim_case import SimCase

GUEST = {"type": "pv64", "pages": 4000, "vcpus": 2}
# Places in a 64-bit vcpu_guest_context (xen/foreign/x86_64.h), behind the record's own 8 octets.
REGS, GDT, GDT_ENTS, CTRL = 8 + 520, 8 + 4832, 8 + 4960, 8 + 4984
RDX = REGS + 12 * 8
START_INFO_STORE, START_INFO_CONSOLE = 56, 72


class PvStreams(SimCase):
    @classmethod
    def setUpClass(cls):
        with sim.Host(frames=65536) as host, tempfile.TemporaryFile(
                dir=sim.TMPFS) as image:
            outcome = sim.save(sim.helper("xensr"), host, host.build(**GUEST), image)
            assert outcome.ok, outcome.errors
            image.seek(0)
            cls.good = image.read()

    def setUp(self):
        self.stream = se.Stream(self.good)
        self.basic = self.stream.first(se.VCPU_BASIC)

    def verify(self) -> tuple[int, str] | None:
        """Exit status, and what it found."""
        xensr = os.path.join(sim.BUILD, "xensr")
        if not os.path.exists(xensr):
            return None
        image = self.image()
        image.write(self.stream.octets())
        image.flush()
        done = subprocess.run([xensr, "verify", f"/proc/self/fd/{image.fileno()}"], text=True,
                              pass_fds=[image.fileno()], capture_output=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def attempt(self):
        host, image = self.host(frames=65536), self.image()
        image.write(self.stream.octets())
        image.seek(0)
        domid = host.new(type="pv", pages=GUEST["pages"], vcpus=GUEST["vcpus"])
        self.last_host, self.last_domid = host, domid
        outcome = sim.restore(sim.helper("xensr"), host, domid, image)
        self.assert_nothing_left(host)
        return outcome

    def refused(self, reason, found=None):
        """found: what verify says, if that is not the same; "" if it says nothing, because it takes a
        host or a domain to know."""
        outcome = self.attempt()
        self.assert_failed_clearly(outcome)
        self.assertIn(reason, outcome.errors)
        verified = self.verify()
        if not verified:
            return
        self.assertEqual(verified[0], 0 if found == "" else 2, verified[1])
        self.assertIn(reason if found is None else found, verified[1])

    def taken(self):
        outcome = self.attempt()
        self.assertTrue(outcome.ok, outcome.errors)
        verified = self.verify()
        if verified:
            self.assertEqual(verified[0], 0, verified[1])
        return outcome

    def page_of(self, kind) -> tuple:
        """A page of that type: record, place of its entry, pfn, place of the page."""
        return next((r, e, pfn, page) for r, e, pfn, k, page in self.stream.pages() if k == kind)

    def present_entry(self, record, page) -> int:
        return next(at for at in range(page, page + se.PAGE, 8) if record.get("Q", at) & 1)

    def test_good(self):
        self.taken()

    def test_version_2(self):
        """As Xen 4.6 to 4.12 wrote it: no policies, no end of the static data."""
        self.stream.without(se.CPUID_POLICY, se.MSR_POLICY, se.STATIC_DATA_END)
        self.stream.headers = self.good[:12] + struct.pack(">I", 2) + self.good[16:se.HEADERS]
        outcome = self.taken()
        self.assertEqual(outcome.calls, [("static_data_done", 3)])

    # ---- page tables

    def test_entry_beyond_the_p2m(self):
        record, _, pfn, page = self.page_of(9)
        at = self.present_entry(record, page)
        record.put("Q", at, record.get("Q", at) & 0xfff | 0x12345678 << 12)
        self.refused(f"of the level-1 page table pfn {pfn:#x} names pfn 0x12345678")

    def test_superpage(self):
        record, _, pfn, page = next(
            (r, e, pfn, page) for r, e, pfn, k, page in self.stream.pages() if k in (2, 10))
        at = self.present_entry(record, page)
        record.put("Q", at, record.get("Q", at) | 0x80)
        self.refused(f"of the level-2 page table pfn {pfn:#x} maps a superpage")

    def test_writable_mapping_of_a_page_table(self):
        """Xen itself refuses it when vcpu 0 gets its root."""
        _, _, table, _ = self.page_of(9)
        record, _, _, page = self.page_of(9)
        record.put("Q", self.present_entry(record, page), table << 12 | 0x67)
        self.refused("Xen refused the context of vcpu 0", "")

    def test_level_5(self):
        record, entry, _, _ = self.page_of(0)
        record.put("Q", entry, record.get("Q", entry) | 5 << 60)
        self.refused("type 0x5 of pfn")

    def more_pages(self, entries, pages=b""):
        """Another PAGE_DATA record behind the last."""
        body = struct.pack(f"<II{len(entries)}Q", len(entries), 0, *entries) + pages
        at = max(i for i, r in enumerate(self.stream.records) if r.kind == se.PAGE_DATA)
        self.stream.records.insert(at + 1, se.Record(se.PAGE_DATA, body))

    def test_table_twice_in_a_record(self):
        """As stock may never do, but the format allows: the last content wins, localised once."""
        record, entry, _, page = self.page_of(9)
        entry, content = record.get("Q", entry), bytes(record.body[page:page + se.PAGE])
        self.more_pages([entry, entry], content * 2)
        self.taken()

    def test_table_that_became_data_in_the_same_record(self):
        record, entry, pfn, page = self.page_of(0)
        other = self.page_of(9)
        table = bytes(other[0].body[other[3]:other[3] + se.PAGE])
        content = bytes(record.body[page:page + se.PAGE])
        self.more_pages([pfn | 1 << 60, pfn], table + content)
        self.taken()

    def test_table_that_became_a_hole(self):
        """A live save's last word on a pfn that left the guest: it is not pinned any more."""
        _, _, pfn, _ = self.page_of(9)
        self.more_pages([pfn | 0xf << 60])
        self.taken()
        self.assertEqual(self.last_host.frame(self.last_domid, pfn)["pinned"], 0)

    def test_page_that_only_a_table_names(self):
        for record in self.stream.all(se.PAGE_DATA):
            count = record.get("I", 0)
            pfn = record.get("Q", 8 * count)
            # Take the last page of the first record whose last page is plain data.
            if pfn >> 60 == 0:
                del record.body[-se.PAGE:]
                del record.body[8 * count:8 * count + 8]
                record.put("I", 0, count - 1)
                break
        self.refused("which the stream did not bring")

    # ---- order and counts

    def test_pages_before_p2m_frames(self):
        self.stream.without(se.P2M_FRAMES)
        self.refused("comes before X86_PV_P2M_FRAMES")

    def test_vcpu_before_pv_info(self):
        self.stream.without(se.PV_INFO)
        self.refused("comes before X86_PV_INFO")

    def test_p2m_frames_of_one_pfn(self):
        frames = self.stream.first(se.P2M_FRAMES)
        frames.body = bytearray(struct.pack("<IIQ", 0, 0, frames.get("Q", 8)))
        self.refused("is beyond what domain", "is beyond the p2m, whose last is 0")

    def test_p2m_frames_of_16_octets_for_4_billion_pfns(self):
        self.stream.first(se.P2M_FRAMES).body = bytearray(struct.pack("<IIQ", 0, 0xfffffffe, 1))
        self.refused("has 1 frames, but pfns 0 to 0xfffffffe need 8388608")

    def test_p2m_too_large_for_the_domain(self):
        frames = (1 << 18) + 100
        self.stream.first(se.P2M_FRAMES).body = bytearray(
            struct.pack(f"<II{frames}Q", 0, frames * 512 - 1, *[1] * frames))
        self.refused("is too large for domain", "")

    def test_p2m_frames_with_a_gap(self):
        frames = self.stream.first(se.P2M_FRAMES)
        frames.put("II", 0, 512, frames.get("I", 4))
        del frames.body[8:16]
        self.refused("begins at pfn 0x200, not at 0")

    def test_p2m_page_that_did_not_come(self):
        frames = self.stream.first(se.P2M_FRAMES)
        frames.put("Q", 8, 0xfffff)
        self.refused("a page of the p2m is pfn 0xfffff, which the stream did not bring")

    def test_p2m_page_that_is_a_page_table(self):
        table = self.page_of(9)[2]
        self.stream.first(se.P2M_FRAMES).put("Q", 8, table)
        self.refused(f"a page of the p2m is pfn {table:#x}, which is a page of type 0x9")

    def test_p2m_frames_twice(self):
        """The same again, as a p2m that did not grow: nothing changes."""
        at = self.stream.records.index(self.stream.first(se.P2M_FRAMES))
        self.stream.records.insert(at, self.stream.records[at])
        self.taken()

    # ---- vcpus

    def test_no_vcpu_0(self):
        self.stream.records = [r for r in self.stream.records
                               if r.kind not in (4, 5, 6, 12) or r.get("I", 0) != 0]
        self.refused("the stream did not bring vcpu 0")

    def test_vcpu_without_registers(self):
        self.stream.records.remove(self.stream.all(se.VCPU_BASIC)[1])
        self.refused("the stream brought state of vcpu 1, but not its registers")

    def test_vcpu_twice(self):
        self.stream.records.insert(-1, self.basic)
        self.refused("comes a second time for vcpu 0")

    def test_vcpu_that_the_domain_has_not(self):
        self.basic.put("I", 0, 9)
        self.refused("vcpu 9, domain 1 has 2",
                     "the stream brought state of vcpu 0, but not its registers")

    def test_extended_state_of_another_vcpu(self):
        self.stream.first(se.VCPU_EXTENDED).put("I", 8, 1)
        self.refused("is for vcpu 0, but its content is vcpu 1's")

    def test_context_of_the_other_width(self):
        del self.basic.body[8 + 2800:]
        self.refused("a vcpu of a guest of width 8 has 5176")

    def test_cr3_that_is_no_table(self):
        self.basic.put("Q", CTRL + 3 * 8, self.page_of(0)[2] << 12)
        self.refused("CR3 is pfn")

    def test_cr3_beyond_the_p2m(self):
        self.basic.put("Q", CTRL + 3 * 8, 0xfffff << 12)
        self.refused("CR3 is pfn 0xfffff, which the stream did not bring")

    def test_user_page_table_that_is_none(self):
        self.basic.put("Q", CTRL + 1 * 8, self.page_of(0)[2] << 12 | 1)
        self.refused("a user page table is pfn")

    def test_user_page_table_that_is_not_marked(self):
        self.basic.put("Q", CTRL + 1 * 8, 0x1234000)
        self.refused("a user page table is 0x1234000, which is not marked as valid")

    def test_xsave_state_cut_short(self):
        xsave = self.stream.first(se.VCPU_XSAVE)
        for octets in (9, 23):
            with self.subTest(octets=octets):
                del xsave.body[octets:]
                xsave.body += bytes(octets - len(xsave.body))
                self.refused(f"is {octets} octets long, at least 24 needed")

    def test_gdt_too_long(self):
        self.basic.put("Q", GDT_ENTS, 14 * 512 + 1)
        self.refused("a GDT has 7169 entries")

    def test_gdt_beyond_the_p2m(self):
        self.basic.put("Q", GDT, 0xfffff)
        self.refused("a GDT is pfn 0xfffff, which the stream did not bring")

    # ---- start info

    def test_start_info_beyond_the_p2m(self):
        self.basic.put("Q", RDX, 0xfffff)
        self.refused("the start info is pfn 0xfffff, which the stream did not bring")

    def test_store_page_beyond_the_p2m(self):
        record, page = self.stream.page(self.basic.get("Q", RDX))
        record.put("Q", page + START_INFO_STORE, 0xfffff)
        self.refused("the xenstore page is pfn 0xfffff")

    def test_console_page_that_is_a_page_table(self):
        record, page = self.stream.page(self.basic.get("Q", RDX))
        record.put("Q", page + START_INFO_CONSOLE, self.page_of(9)[2])
        self.refused("the console page is pfn")

    # ---- what must be there

    def test_incomplete(self):
        for kind, name in ((se.SHARED_INFO, "SHARED_INFO"), (se.TSC_INFO, "X86_TSC_INFO")):
            with self.subTest(without=name):
                self.stream = se.Stream(self.good)
                self.stream.without(kind)
                self.refused(f"the image is incomplete, there was no {name}")

    def test_into_an_hvm_domain(self):
        host, image = self.host(frames=65536), self.image()
        image.write(self.good)
        image.seek(0)
        outcome = sim.restore(sim.helper("xensr"), host, host.new(pages=4000), image)
        self.assert_failed_clearly(outcome)
        self.assertIn("the stream holds an x86 PV guest, domain 1 is x86 HVM", outcome.errors)


if __name__ == "__main__":
    sim_case.main()
