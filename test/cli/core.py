# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr core: what it writes, read by gdb, readelf, crash where it is there, and readers of our own."""

import errno
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import unittest

import saved_domain as s
import sim
import sim_case
from saved_domain import PAGE, CommandCase, b
from stream_edit import HEADERS, VCPU_BASIC, Stream

KINDS = ("pvh", "hvm", "pv64", "pv32")
KERNEL = 0xffffffff81000000
DIRECT = 0xffff888000000000
WINDOW = 0x1000000000000000
VMCOREINFO = b"OSRELEASE=6.1.0-test\nPAGESIZE=4096\nSYMBOL(x)=ffffffff81000000\n"


class Elf:
    """An ELF file of either class: its program headers and sections."""

    def __init__(self, octets: bytes):
        self.octets = octets
        self.wide = octets[4] == 2
        self.machine = struct.unpack_from("<H", octets, 18)[0]
        header = struct.unpack_from("<QQIHHHHHH" if self.wide else "<IIIHHHHHH", octets,
                                    32 if self.wide else 28)
        self.phoff, self.shoff, _, _, self.phentsize, phnum, self.shentsize, shnum, names = header
        first = self.section(0) if self.shoff else None
        self.phnum = first["info"] if phnum == 0xffff else phnum
        self.sections = {}
        if names:
            strings = self.body(self.section(names))
            for i in range(shnum):
                section = self.section(i)
                self.sections[strings[section["name"]:].split(b"\0")[0].decode()] = section

    def section(self, i: int) -> dict:
        layout = "<IIQQQQIIQQ" if self.wide else "<IIIIIIIIII"
        names = ("name", "type", "flags", "addr", "offset", "size", "link", "info", "align",
                 "entsize")
        return dict(zip(names, struct.unpack_from(layout, self.octets,
                                                  self.shoff + i * self.shentsize)))

    def body(self, section: dict) -> bytes:
        return self.octets[section["offset"]:section["offset"] + section["size"]]

    def segments(self):
        """(type, offset, vaddr, paddr, filesz)."""
        for i in range(self.phnum):
            at = self.phoff + i * self.phentsize
            if self.wide:
                kind, _, *rest = struct.unpack_from("<IIQQQQ", self.octets, at)
            else:
                kind, *rest = struct.unpack_from("<IIIII", self.octets, at)
            yield kind, *rest

    def loads(self) -> list:
        return [segment[1:] for segment in self.segments() if segment[0] == 1]

    def physical(self) -> dict:
        """{pfn: content}, by p_paddr; what is in several segments must have one content."""
        pages = {}
        for offset, _, paddr, size in self.loads():
            for at in range(0, size, PAGE):
                content = self.octets[offset + at:offset + at + PAGE]
                assert pages.setdefault((paddr + at) // PAGE, content) == content
        return pages

    def virtual(self, address: int):
        """The physical address and the first octets that a debugger finds there, or None."""
        for offset, vaddr, paddr, size in self.loads():
            if vaddr <= address < vaddr + size:
                at = offset + address - vaddr
                return paddr + address - vaddr, self.octets[at:at + 16]
        return None

    def notes(self, octets: bytes = None) -> list:
        """(name, type, desc)."""
        if octets is None:
            _, offset, _, _, size = next(x for x in self.segments() if x[0] == 4)
            octets = self.octets[offset:offset + size]
        notes, at = [], 0
        while at < len(octets):
            name, desc, kind = struct.unpack_from("<III", octets, at)
            at += 12
            text = octets[at:at + name].rstrip(b"\0").decode()
            at += name + -name % 4
            notes.append((text, kind, octets[at:at + desc]))
            at += desc + -desc % 4
        return notes

    def machine_notes(self) -> list:
        return [desc for name, _, desc in self.notes() if name == "QEMU"]


needs_gdb = unittest.skipUnless(shutil.which("gdb"), "gdb is not there")


def gdb(core: str, *commands: str) -> str:
    words = ["gdb", "-nx", "-batch", "-ex", f"core-file {core}"]
    for command in commands:
        words += ["-ex", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def mapped_guest(**registers) -> bytes:
    """Pages 1..9 with text, tables from 0x10 on: the direct map with a page of 2 MiB, page 5 also
    at KERNEL."""
    pages = {n: b"page %d\0" % n for n in range(1, 10)}
    pages[0] = b""
    pages |= {
        0x10: s.table({273: 0x11003, 511: 0x13003}),  # L4
        0x11: s.table({0: 0x12003}),
        0x12: s.table({0: 0x0083}),
        0x13: s.table({510: 0x14003}),
        0x14: s.table({8: 0x15003}),
        0x15: s.table({0: 0x5003, 1: 0x999003}),
        0x400: b"not mapped\0",
    }
    cpu = s.cpu(**(s.LONG_MODE | {"cr3": 0x10000, "rip": KERNEL, "rax": 0x1234567890abcdef,
                                  "rsp": DIRECT + 0x3008, "gs_base": 0x77000, "rflags": 2,
                                  "cs": 0x10} | registers))
    return s.hvm(pages, cpu, s.cpu(**(s.LONG_MODE | {"cr3": 0x10000, "rip": 0x42})))


class ElfCores(CommandCase):
    def core(self, image: str, *options, name="core") -> Elf:
        self.does("core", *options, image, self.path(name))
        return Elf(self.contents(name))

    def test_memory_of_every_kind_of_guest(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                image = self.saved(kind, type=kind, memory=8, plain=300)
                done = self.xensr("core", "--quiet", image, self.path("core"))
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
                core = Elf(self.contents("core"))
                self.assertEqual(core.physical(), s.pages_of(self.contents(kind)))
                self.assertEqual((core.wide, core.machine),
                                 (False, 3) if kind == "pv32" else (True, 62))
                said = subprocess.run(["readelf", "-lnW", self.path("core")], capture_output=True,
                                      text=True, check=True)
                self.assertEqual(said.stderr, "")
                self.assertIn("NT_PRSTATUS", said.stdout)
                self.assertEqual(stat.S_IMODE(os.stat(self.path("core")).st_mode), 0o600)
                self.assertEqual(sorted(os.listdir(self.folder)), sorted({"core", *KINDS[
                    :KINDS.index(kind) + 1]}))

    def test_zero_pages_take_no_room(self):
        pages = {n: b"" for n in range(2000)} | {2001: b"x"}
        self.core(self.file("image", s.hvm(pages, s.cpu())))
        self.assertLess(os.stat(self.path("core")).st_blocks * 512, 200000)
        self.assertGreater(os.stat(self.path("core")).st_size, 2001 * PAGE)

    @needs_gdb
    def test_registers_and_memory_in_gdb(self):
        self.core(self.file("image", mapped_guest()))
        said = gdb(self.path("core"), "info registers", "p/x $gs_base", "x/s $rip", "x/s $rsp - 8",
                   f"x/s {WINDOW + 0x400000:#x}", "info threads", "thread 2", "p $rip",
                   f"x/s {KERNEL + PAGE:#x}")
        for name, value in (("rax", 0x1234567890abcdef), ("rip", KERNEL), ("rsp", DIRECT + 0x3008),
                            ("cs", 0x10)):
            self.assertRegex(said, rf"(?m)^{name} +{value:#x} ")
        self.assertIn("$1 = 0x77000\n", said)
        self.assertIn(f'{KERNEL:#x}:\t"page 5"', said)
        self.assertIn(f'{DIRECT + 0x3000:#x}:\t"page 3"', said)
        self.assertIn(f'{WINDOW + 0x400000:#x}:\t"not mapped"', said)
        self.assertIn("LWP 2", said)
        self.assertIn("= (void (*)()) 0x42", said)
        self.assertIn(f"Cannot access memory at address {KERNEL + PAGE:#x}", said)

    def test_virtual_addresses(self):
        core = self.core(self.file("image", mapped_guest()))
        self.assertEqual(core.virtual(DIRECT + 0x7000), (0x7000, b"page 7".ljust(16, b"\0")))
        self.assertEqual(core.virtual(KERNEL + 2), (0x5002, b"ge 5".ljust(16, b"\0")))
        self.assertIsNone(core.virtual(KERNEL + PAGE))
        self.assertEqual(core.loads()[0][1], DIRECT)

    def test_control_registers_are_noted(self):
        core = self.core(self.file("image", mapped_guest(ss_arbytes=0, fs_base=0x99)))
        notes = core.machine_notes()
        self.assertEqual(len(notes), 2)
        self.assertEqual(struct.unpack_from("<II", notes[0]), (1, 440))
        self.assertEqual(struct.unpack_from("<Q", notes[0], 8 + 18 * 8 + 10 * 24 + 3 * 8)[0], 0x10000)

    def test_pv_registers_have_pfns(self):
        """CR3 leads through the page tables of the core, as they are in it."""
        for kind in ("pv64", "pv32"):
            with self.subTest(kind=kind):
                image = self.saved(kind, type=kind, memory=8, vcpus=2)
                done = self.xensr("core", image, self.path("core"))
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                core = Elf(self.contents("core"))
                basic = Stream(self.contents(kind)).all(VCPU_BASIC)
                offset = 8 + (5168 if kind == "pv64" else 2800)
                self.assertEqual([len(record.body) for record in basic], [offset] * len(basic))
                statuses = [desc for _, kind_, desc in core.notes() if kind_ == 1 and len(desc) > 100]
                self.assertEqual(len(statuses), len(basic))
                cr3 = struct.unpack_from("<Q", core.machine_notes()[0], 8 + 18 * 8 + 10 * 24 + 24)[0]
                tables = {pfn for _, _, pfn, type_, _ in Stream(self.contents(kind)).pages()
                          if type_ in ((0xc, 4) if kind == "pv64" else (0xb, 3))}
                self.assertIn(cr3 >> 12, tables)
                # The direct map begins at this slot (test/sim/guest_pv.h).
                base = 0xffff880000000000 if kind == "pv64" else 0xc0000000
                pages = core.physical()
                for pfn in (1, 7, 0x15):
                    self.assertEqual(core.virtual(base + pfn * PAGE),
                                     (pfn * PAGE, pages[pfn][:16]))

    @needs_gdb
    def test_pv_registers_in_gdb(self):
        for kind, names in (("pv64", ("rip", "r12")), ("pv32", ("eip", "ebx"))):
            with self.subTest(kind=kind):
                image = self.saved(kind, type=kind, memory=8)
                self.does("core", image, self.path("core"))
                basic = Stream(self.contents(kind)).first(VCPU_BASIC)
                # The offsets of the registers in struct cpu_user_regs of either width.
                at = {"rip": ("Q", 8 + 520 + 128), "r12": ("Q", 8 + 520 + 24),
                      "eip": ("I", 8 + 516 + 32), "ebx": ("I", 8 + 516)}
                said = gdb(self.path("core"), "info registers")
                for name in names:
                    self.assertRegex(said, rf"(?m)^{name} +{basic.get(*at[name]):#x} ")

    @needs_gdb
    def test_guest_without_paging(self):
        core = self.core(self.file("image", s.hvm({7: b"seven", 9: b"nine"},
                                                  s.cpu(rip=0x7000, cr0=1))))
        self.assertFalse(core.wide)
        self.assertEqual([load[1] for load in core.loads()], [0x7000, 0x9000])
        self.assertIn('0x7000:\t"seven"', gdb(self.path("core"), "x/s $eip"))

    @needs_gdb
    def test_guest_with_pae(self):
        """CR3 of 32 octets' alignment, a page of 2 MiB, one of 4 KiB."""
        pages = {0x10: bytes(0x40) + s.table({3: 0x11001})[:64],
                 0x11: s.table({0: 0x0083, 5: 0x12003}), 0x12: s.table({3: 0x7003}),
                 3: b"three", 7: b"seven"}
        core = self.core(self.file("image", s.hvm(pages, s.cpu(
            **s.PAE_MODE | {"cr3": 0x10040, "rip": 0xc0003000}))))
        self.assertFalse(core.wide)
        self.assertEqual(core.virtual(0xc0003000)[0], 0x3000)
        self.assertEqual(core.virtual(0xc0a03000)[0], 0x7000)
        self.assertIn('0xc0003000:\t"three"', gdb(self.path("core"), "x/s $eip"))

    def test_guest_with_two_levels(self):
        """A page of 4 MiB above 4 GiB (PSE-36) makes it a 64-bit core."""
        directory = struct.pack("<3I", 0x11003, 0x00000083 | 1 << 13, 0)
        pages = {0x10: directory, 0x11: struct.pack("<2I", 0, 0x7003), 7: b"seven",
                 0x100001: b"high"}
        done = self.xensr("core", self.file("image", s.hvm(pages, s.cpu(
            cr0=0x80000001, cr3=0x10000))), self.path("core"))
        self.assertEqual((done.returncode, done.stderr), (
            0, f"xensr core: {self.path('image')}: more memory than a 32-bit core can have: written "
            "as a 64-bit one\n"))
        core = Elf(self.contents("core"))
        self.assertTrue(core.wide)
        self.assertEqual(core.virtual(0x1000)[0], 0x7000)
        self.assertEqual(core.virtual(0x401000), (0x100001000, b"high".ljust(16, b"\0")))

    def test_more_segments_than_the_header_counts(self):
        for count, apart in ((0xfffd, False), (0xfffe, True)):
            with self.subTest(count=count):
                pages = {2 * n: b"" for n in range(count)}
                core = self.core(self.file("image", s.hvm(pages, s.cpu())))
                self.assertEqual(struct.unpack_from("<H", core.octets, 44)[0],
                                 0xffff if apart else count + 1)
                self.assertEqual(core.phnum, count + 1)
                self.assertEqual(core.physical().keys(), pages.keys())
                said = subprocess.run(["readelf", "-lW", self.path("core")], capture_output=True,
                                      text=True, check=True)
                self.assertEqual(said.stderr, "")
                self.assertEqual(said.stdout.count(" LOAD "), count)

    def test_vmcoreinfo(self):
        places = {"page": {8: VMCOREINFO},
                  "note": {8: struct.pack("<III", 11, len(VMCOREINFO), 0) + b"VMCOREINFO\0\0"
                           + VMCOREINFO},
                  "across": {8: (b"x" * (PAGE - 20) + VMCOREINFO)[:PAGE], 9: VMCOREINFO[20:]}}
        for place, pages in places.items():
            with self.subTest(place=place):
                core = self.core(self.file("image", s.hvm(pages, s.cpu(**s.LONG_MODE, cr3=PAGE))),
                                 "--quiet")
                self.assertEqual([note for note in core.notes() if note[0] == "VMCOREINFO"],
                                 [("VMCOREINFO", 0, VMCOREINFO)])

    @unittest.skipUnless(shutil.which("crash"), "crash is not there")
    def test_crash_finds_the_release(self):
        image = self.file("image", s.hvm({8: VMCOREINFO}, s.cpu(**s.LONG_MODE, cr3=0x8000)))
        self.does("core", "--quiet", image, self.path("core"))
        said = subprocess.run(["crash", "--osrelease", self.path("core")], capture_output=True,
                              text=True, check=False)
        self.assertEqual(said.stdout, "6.1.0-test\n")

    def test_what_is_no_vmcoreinfo(self):
        for text in (b"OSRELEASE=6.1\n", b"OSRELEASE=6.1\nPAGESIZE=4096", b"OSRELEASE=" * 400,
                     b"OSRELEASE=6.1\n\x01=2\nPAGESIZE=4096\n",
                     (b"OSRELEASE=6.1\nPAGESIZE=4096\n" + b"A=1\n" * 1024)[:PAGE]):
            with self.subTest(text=text[:40]):
                image = self.file("image", s.hvm({8: text}, s.cpu()))
                self.assertNotIn("VMCOREINFO", [note[0] for note in self.core(image).notes()])

    def test_checkpoints(self):
        image = self.file("image", b.octets(s.checkpointed()))
        for options, fill in ((("--checkpoint", "1"), 0xc1), (("--checkpoint", "2"), 0xd2),
                              ((), 0xd3)):
            done = self.xensr("core", *options, image, self.path("core"))
            self.assertEqual(done.returncode, 0)
            self.assertEqual(Elf(self.contents("core")).physical()[0x20], b.page(fill))
        self.says(3, f"xensr core: {image}: no checkpoint 4: it has 3 that are complete", "core",
                  "--checkpoint", 4, image, self.path("none"))
        self.assertFalse(os.path.exists(self.path("none")))

    def test_cut_behind_a_checkpoint(self):
        parts = s.checkpointed()
        octets = b.octets(parts)[:b.offset_of(parts, "pages 3") + 20]
        image = self.file("image", octets)
        done = self.xensr("core", "--raw", image, self.path("core"))
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"^xensr core: .*; going by checkpoint 2, which is complete\n$")
        self.assertEqual(self.contents("core")[0x20 * PAGE:][:PAGE], b.page(0xd2))


    def test_damage_behind_a_checkpoint(self):
        """The core is written; the status tells that a restore refuses the image."""
        image = self.file("image", b.octets(s.checkpointed() | {"pages 3": b.record(0x77)}))
        for options, status, fill in (((), 2, 0xd2), (("--checkpoint=2",), 0, 0xd2),
                                      (("--checkpoint=1",), 0, 0xc1)):
            done = self.xensr("core", "--raw", *options, image, self.path("core"))
            self.assertEqual(done.returncode, status)
            self.assertRegex(done.stderr, r"type 0x77 is unknown.*; going by checkpoint [12], which "
                                          r"is complete\n$")
            self.assertEqual(self.contents("core")[0x20 * PAGE:][:PAGE], b.page(fill))


class RawCores(CommandCase):
    def test_every_page_at_its_address(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                image = self.saved(kind, type=kind, memory=8)
                self.does("core", "--raw", image, self.path("raw"))
                pages = s.pages_of(self.contents(kind))
                self.assertEqual(os.stat(self.path("raw")).st_size, (max(pages) + 1) * PAGE)
                with open(self.path("raw"), "rb") as raw:
                    for pfn, content in pages.items():
                        raw.seek(pfn * PAGE)
                        self.assertEqual(raw.read(PAGE), content)
                self.assertLess(os.stat(self.path("raw")).st_blocks * 512, 16 << 20)


class XenCores(CommandCase):
    def check(self, kind: str, vcpus: int = 2):
        image = self.saved(kind, type=kind, memory=8, vcpus=vcpus)
        self.does("core", "--format", "xen", image, self.path("core"))
        stream, core = Stream(self.contents(kind)), Elf(self.contents("core"))
        pages = s.pages_of(self.contents(kind))
        pv = kind.startswith("pv6") or kind.startswith("pv3")
        self.assertEqual(struct.unpack_from("<H", core.octets, 16)[0], 4)
        notes = core.notes(core.body(core.sections[".note.Xen"]))
        self.assertEqual([(name, type_ - 0x2000000, len(desc)) for name, type_, desc in notes],
                         [("Xen", 0, 0), ("Xen", 1, 32), ("Xen", 2, 1280), ("Xen", 3, 8)])
        prstatus = core.sections[".xen_prstatus"]
        self.assertEqual(prstatus["entsize"], 5168)
        self.assertEqual(struct.unpack("<QQQQ", notes[1][2]),
                         (0xf00febed if pv else 0xf00febee, prstatus["size"] // 5168, len(pages),
                          PAGE))
        self.assertEqual(struct.unpack_from("<QQ", notes[2][2]),
                         struct.unpack_from("<II", stream.headers, HEADERS - 8))
        self.assertEqual(struct.unpack("<Q", notes[3][2]), (1,))
        words = core.body(core.sections[".xen_p2m" if pv else ".xen_pfn"])
        numbers = list(struct.unpack(f"<{len(words) // 8}Q", words))
        if pv:
            self.assertEqual(numbers[::2], numbers[1::2])
            numbers = numbers[::2]
        body = core.body(core.sections[".xen_pages"])
        self.assertEqual(core.sections[".xen_pages"]["offset"] % PAGE, 0)
        self.assertEqual(numbers, sorted(pages))
        self.assertEqual({pfn: body[i * PAGE:(i + 1) * PAGE] for i, pfn in enumerate(numbers)},
                         pages)
        return core, stream

    def test_pv(self):
        for kind, octets in (("pv64", 5168), ("pv32", 2800)):
            with self.subTest(kind=kind):
                core, stream = self.check(kind)
                contexts = core.body(core.sections[".xen_prstatus"])
                for i, record in enumerate(stream.all(VCPU_BASIC)):
                    self.assertEqual(contexts[i * 5168:(i + 1) * 5168],
                                     bytes(record.body[8:]).ljust(5168, b"\0"))
                    self.assertEqual(len(record.body), 8 + octets)
                self.assertEqual(core.body(core.sections[".xen_shared_info"]),
                                 bytes(stream.first(7).body))

    def test_hvm(self):
        for kind in ("pvh", "hvm"):
            with self.subTest(kind=kind):
                core, _ = self.check(kind)
                self.assertNotIn(".xen_shared_info", core.sections)

    def test_registers_of_hvm(self):
        image = self.file("image", mapped_guest())
        self.does("core", "--format=xen", image, self.path("core"))
        core = Elf(self.contents("core"))
        context = core.body(core.sections[".xen_prstatus"])[:5168]
        self.assertEqual(struct.unpack_from("<Q", context, 520 + 80)[0], 0x1234567890abcdef)
        self.assertEqual(struct.unpack_from("<Q", context, 520 + 128)[0], KERNEL)
        ctrlreg = 520 + 200 + 256 * 16 + 16 + 17 * 8 + 16
        self.assertEqual(struct.unpack_from("<5Q", context, ctrlreg),
                         (0x80000001, 0, 0, 0x10000, 0x20))
        self.assertEqual(struct.unpack_from("<Q", context, 5168 - 16)[0], 0x77000)


class Hostile(CommandCase):
    def attempt(self, octets: bytes, warning: str):
        done = self.xensr("core", self.file("image", octets), self.path("core"))
        self.assertEqual((done.returncode, done.stderr),
                         (0, f"xensr core: {self.path('image')}: {warning}\n" if warning else ""))
        core = Elf(self.contents("core"))
        self.assertEqual(core.physical(), s.pages_of(octets))
        quiet = self.xensr("core", "-q", self.path("image"), self.path("core"))
        self.assertEqual((quiet.returncode, quiet.stderr), (0, ""))
        return core

    def test_root_outside_memory(self):
        for cr3 in (0x999000, (1 << 52) - PAGE, (1 << 64) - 1):
            core = self.attempt(s.hvm({1: b"x"}, s.cpu(**s.LONG_MODE, cr3=cr3)),
                                f"the page tables of vcpu 0 (CR3 {cr3:#x}) map nothing that is "
                                "there: no virtual addresses")
            self.assertEqual(core.virtual(WINDOW + PAGE)[0], PAGE)

    def test_tables_that_loop(self):
        everywhere = s.table({slot: 0x10003 for slot in range(512)})
        core = self.attempt(s.hvm({0x10: everywhere, 0x20: b"x"}, s.cpu(**s.LONG_MODE, cr3=0x10000)),
                            "")
        self.assertLess(len(core.loads()), 4096)
        self.attempt(s.hvm({n: s.table({slot: (n + 7 * slot) % 40 << 12 | 3 for slot in range(512)})
                            for n in range(40)}, s.cpu(**s.LONG_MODE, cr3=0x1000)),
                     "the page tables of vcpu 0 map more than can be: not all virtual addresses are "
                     "there")

    def test_large_pages_beyond_memory(self):
        pages = {0x10: s.table({n: 0x11003 for n in range(512)}),
                 0x11: s.table({n: (1 << 51) + (n << 30) | 0x83 for n in range(511)}
                               | {511: 0x83})}
        core = self.attempt(s.hvm(pages, s.cpu(**s.LONG_MODE, cr3=0x10000)), "")
        self.assertEqual(core.virtual((511 << 30) + 0x10000)[0], 0x10000)

    def test_vcpus_that_lie(self):
        good = s.entry(s.CPU, 0, s.cpu(rip=0x99))
        for name, entries in {"too short": (s.entry(s.CPU, 0, bytes(1000)),), "twice": (good, good)
                              }.items():
            with self.subTest(name=name):
                octets = b.octets(b.changed(b.hvm_stream(), context=b.hvm_context(s.chain(
                    *entries))))
                done = self.xensr("core", self.file("image", octets), self.path("core"))
                self.assertEqual(done.returncode, 0)
                first, *more = done.stderr.splitlines()
                self.assertEqual(first, f"xensr core: {self.path('image')}: 1 vcpus are not as they "
                                        "should be: they are left out")
                self.assertEqual(len(more), int(name == "too short"))

    def test_registers_as_before_xen_4_1(self):
        """Without msr_tsc_aux, which is in front of the last fields."""
        cpu = s.cpu(rip=0x7777, rax=0x99)
        octets = b.octets(b.changed(b.hvm_stream(), context=b.hvm_context(s.chain(
            s.entry(s.CPU, 0, cpu[:1000] + cpu[1008:1024])))))
        core = self.attempt(octets, "")
        self.assertEqual(struct.unpack_from("<I", core.notes()[0][2], 72 + 12 * 4)[0], 0x7777)

    def test_no_registers(self):
        octets = b.octets(b.changed(b.hvm_stream(), context=b.hvm_context(s.chain())))
        core = self.attempt(octets, "there are no registers in it: a core of memory alone")
        self.assertEqual(core.notes(), [])

    def test_highest_address(self):
        octets = s.hvm({(1 << 40) - 1: b"top", 1: b"x"}, s.cpu(**s.LONG_MODE, cr3=PAGE))
        core = self.attempt(octets, "the page tables of vcpu 0 (CR3 0x1000) map nothing that is "
                                    "there: no virtual addresses")
        self.assertEqual(core.loads()[-1][2], ((1 << 40) - 1) * PAGE)


class Failures(CommandCase):
    def setUp(self):
        super().setUp()
        self.good = self.file("image", mapped_guest())

    def left(self):
        return sorted(os.listdir(self.folder))

    def test_disk_full(self):
        with open(self.path("out"), "wb") as old:
            old.write(b"as it was")
        for options in ((), ("--raw",), ("--format", "xen")):
            done = self.xensr("core", *options, self.good, self.path("out"), preexec_fn=s.file_limit(20000))
            self.assertEqual(done.returncode, 4)
            self.assertRegex(done.stderr, rf"^xensr core: {re.escape(self.path('out'))}: cannot "
                                          r"(write|make it \d+ octets long): File too large\n$")
            self.assertEqual(self.left(), ["image", "out"])
            self.assertEqual(self.contents("out"), b"as it was")

    def core_with(self, **faults) -> subprocess.CompletedProcess:
        """Write it where there is a file already, with these faults (test/sim/fault_preload.c)."""
        self.file("out", b"as it was")
        faults = {f"XENFAULT_{name}": str(value) for name, value in faults.items()}
        return subprocess.run(
            [os.path.join(sim.BUILD, "xensr"), "core", self.good, self.path("out")],
            capture_output=True, text=True, check=False, env=os.environ | faults | {
                "LD_PRELOAD": sim.fault_library(),
                "ASAN_OPTIONS": "verify_asan_link_order=0"})

    def test_disk_full_at_the_end(self):
        """It is told before what was there is gone."""
        for faults in ({}, {"NO_PROC": 1}):
            done = self.core_with(SYNC=errno.ENOSPC, **faults)
            self.assertEqual((done.returncode, done.stderr), (
                4, f"xensr core: {self.path('out')}: cannot write: No space left on device\n"))
            self.assertEqual(self.left(), ["image", "out"])
            self.assertEqual(self.contents("out"), b"as it was")

    def test_without_proc(self):
        done = self.core_with(NO_PROC=1)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.left(), ["image", "out"])
        self.assertEqual(self.contents("out")[:4], b"\x7fELF")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("out")).st_mode), 0o600)

    def test_signals(self):
        """Whatever name it has by then, it goes."""
        for faults in ({}, {"NO_PROC": 1}):
            for place in "SYNC_SIGNAL", "RENAME_SIGNAL":
                done = self.core_with(**faults, **{place: int(signal.SIGTERM)})
                self.assertEqual(done.returncode, -signal.SIGTERM, done.stderr)
                self.assertEqual(self.left(), ["image", "out"])
                self.assertEqual(self.contents("out"), b"as it was")

    def test_replaces_what_was_there(self):
        self.file("out", b"as it was")
        os.chmod(self.path("out"), 0o644)
        self.does("core", self.good, self.path("out"))
        self.assertEqual(self.left(), ["image", "out"])
        self.assertEqual(stat.S_IMODE(os.stat(self.path("out")).st_mode), 0o600)
        self.assertEqual(self.contents("out")[:4], b"\x7fELF")

    def test_nowhere_to_write(self):
        self.says(4, "xensr core: /dev/null: not a regular file; it will not be replaced", "core",
                  self.good, "/dev/null")
        out = self.path("none/out")
        self.says(4, f"xensr core: {out}: cannot create a file beside it: No such file or directory",
                  "core", self.good, out)

    def test_input_that_is_not_there(self):
        done = self.xensr("core", self.path("none"), self.path("out"))
        self.assertEqual(done.returncode, 4)
        self.assertIn("No such file or directory", done.stderr)

    def test_damaged_input(self):
        cut = self.file("cut", self.contents("image")[:-100])
        done = self.xensr("core", cut, self.path("out"))
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, rf"^xensr core: {re.escape(cut)}: [^\n]+\n$")
        self.assertFalse(os.path.exists(self.path("out")))

    def test_usage(self):
        help_ = self.does("core", "--help")
        self.assertTrue(help_.startswith("usage: xensr core [OPTION...] FILE OUT\n"))

        def refused(text, *words):
            self.says(3, f"xensr core: {text}\n`xensr core --help' says more.", "core", *words)

        for words in ((), ("a",), ("a", "b", "c")):
            refused("it takes an image and the name of the core to write", *words)
        refused("no format `coff': elf or xen", "--format", "coff", "a", "b")
        refused("--raw and --format exclude each other", "--raw", "--format=elf", "a", "b")
        refused("a core cannot be written to standard output: it has holes", "a", "-")
        self.assertFalse(os.path.exists("-"))
        refused("unrecognized option '--bad'", "--bad", "a", "b")
        for bad in ("0", "x", "-1", "1x", "99999999999"):
            refused(f"`{bad}' is no number of a checkpoint (1, 2, …)", f"--checkpoint={bad}", "a",
                    "b")


if __name__ == "__main__":
    sim_case.main()
