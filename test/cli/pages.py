# SPDX-License-Identifier: LGPL-2.1-or-later
"""xensr pages: its table against the pages of the stream, its pictures by their pixels."""

import collections
import itertools
import json
import os
import stat
import struct
import xml.etree.ElementTree
import zlib

import saved_domain as s
import sim_case
from saved_domain import PAGE, CommandCase, b
from stream_edit import Stream

KINDS = ("pvh", "hvm", "pv64", "pv32")
TYPES = {0: "normal", 0xd: "broken", 0xe: "allocate-only"} | {
    n: f"L{n}" for n in range(1, 5)} | {8 + n: f"L{n} pinned" for n in range(1, 5)}
# Where the map is in a picture that is not scaled, and the colours of what is in it.
LEFT, TOP, CELL, CELLS, BREAK = 124, 104, 7, 128, 18
DATA, DUPLICATE, ZERO, HOLE = (0, 115, 179), (87, 181, 232), (220, 220, 220), (255, 255, 255)
L1, PINNED, ALLOCATED, BROKEN = (240, 227, 66), (204, 120, 166), (0, 158, 115), (0, 0, 0)


def runs_of(octets: bytes) -> list:
    """(first, last, type, content) by a reading of our own."""
    pages = {}
    for record, _, pfn, kind, offset in Stream(octets).pages():
        pages[pfn] = kind, bytes(record.body[offset:offset + PAGE]) if kind < 0xd else None
    count = collections.Counter(content for _, content in pages.values())
    runs = []
    for pfn in sorted(pages):
        kind, content = pages[pfn]
        if kind == 0xf:
            continue
        what = ("none" if content is None else "zero" if not any(content)
                else "duplicate" if count[content] > 1 else "data")
        if runs and runs[-1][1] == pfn - 1 and runs[-1][2:] == [TYPES[kind], what]:
            runs[-1][1] = pfn
        else:
            runs.append([pfn, pfn, TYPES[kind], what])
    return runs


def added(a: int, b_: int) -> int:
    return a + b_ & 255


class Png:
    """The pixels of a PNG with 8 bits for each of red, green, blue (and what else there may be)."""

    def __init__(self, octets: bytes):
        assert octets[:8] == b"\x89PNG\r\n\x1a\n"
        at, data = 8, b""
        while at < len(octets):
            size, kind = struct.unpack_from(">I4s", octets, at)
            body = octets[at + 8:at + 8 + size]
            assert zlib.crc32(kind + body) == struct.unpack_from(">I", octets, at + 8 + size)[0]
            if kind == b"IHDR":
                self.width, self.height, depth, color = struct.unpack_from(">IIBB", body)
                assert (depth, color) in ((8, 2), (8, 6))
                self.step = 3 if color == 2 else 4
            elif kind == b"IDAT":
                data += body
            at += 12 + size
        self.rows = []
        raw, stride = zlib.decompress(data), self.width * self.step
        before = bytes(stride)
        for y in range(self.height):
            line = raw[y * (stride + 1):(y + 1) * (stride + 1)]
            before = self.unfilter(line[0], bytearray(line[1:]), before)
            self.rows.append(before)

    def unfilter(self, kind: int, line: bytearray, up: bytes) -> bytes:
        n = self.step
        if kind == 1:
            for channel in range(n):
                line[channel::n] = bytes(itertools.accumulate(line[channel::n], added))
        elif kind == 2 and any(line):
            line[:] = map(added, line, up)
        elif kind == 2:
            return up
        elif kind == 3:
            for i, above in enumerate(up):
                line[i] = line[i] + ((line[i - n] if i >= n else 0) + above) // 2 & 255
        elif kind == 4:
            left = corner = bytes(n)
            for i, above in enumerate(up):
                if i >= n:
                    left, corner = line, up
                a, c = left[i - n], corner[i - n]
                # How far each is from a + above - c, the guess.
                from_a, from_above, from_c = abs(above - c), abs(a - c), abs(a + above - 2 * c)
                best = (a if from_a <= from_above and from_a <= from_c
                        else above if from_above <= from_c else c)
                line[i] = line[i] + best & 255
        return bytes(line)

    def pixel(self, x: float, y: float) -> tuple:
        """Of a picture that is not scaled."""
        at = int(2 * x) * self.step
        return tuple(self.rows[int(2 * y)][at:at + 3])

    def colors(self, x0: int, y0: int, x1: int, y1: int) -> set:
        # Most rows are like the one before.
        some = {row[2 * x0 * self.step:2 * x1 * self.step] for row in self.rows[2 * y0:2 * y1]}
        return {tuple(row[i:i + 3]) for row in some for i in range(0, len(row), self.step)}


class Tables(CommandCase):
    def check(self, image: str, octets: bytes):
        runs = runs_of(octets)
        found = json.loads(self.does("pages", "--json", image))
        self.assertEqual([[run["first"], run["last"]] for run in found["runs"]],
                         [run[:2] for run in runs])
        self.assertEqual([run["content"] for run in found["runs"]], [run[3] for run in runs])
        lines = self.does("pages", image).splitlines()
        self.assertEqual(lines[0].split(), ["pfn", "pages", "type", "content"])
        for line, (first, last, kind, content) in zip(lines[1:], runs, strict=True):
            range_ = f"{first:#x}-{last:#x}" if last > first else f"{first:#x}" if first else "0"
            self.assertEqual(line, f"{range_:26} {last - first + 1:10}  {kind:14} {content}")
        self.assertEqual(found["pages"], sum(last - first + 1 for first, last, *_ in runs))
        self.assertEqual(sum(found["types"].values()), found["pages"])
        self.assertEqual(sum(found["contents"].values()), found["pages"])
        self.assertEqual(found["contents"]["zero"], sum(
            last - first + 1 for first, last, _, content in runs if content == "zero"))
        return found

    def test_every_kind_of_guest(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                image = self.saved(kind, type=kind, memory=8, plain=500)
                found = self.check(image, self.contents(kind))
                self.assertTrue(all(found["contents"][c] for c in ("zero", "duplicate", "data")))

    def test_every_type(self):
        octets = b.octets(b.pv_stream())
        found = self.check(self.file("image", octets), octets)
        self.assertEqual(found["types"], {"normal": 1, "l1": 1, "l4_pinned": 1, "broken": 1,
                                          "allocate_only": 1})

    def test_checkpoints(self):
        image = self.file("image", b.octets(s.checkpointed()))
        for number in (1, 3):
            self.assertEqual(len(self.does("pages", f"--checkpoint={number}", image).splitlines()), 3)
        damaged = self.file("damaged", b.octets(s.checkpointed() | {"pages 3": b.record(0x77)}))
        for options, status in (((), 2), (("--checkpoint=2",), 0)):
            done = self.xensr("pages", *options, damaged)
            self.assertEqual((done.returncode, len(done.stdout.splitlines())), (status, 3))
            self.assertIn("; going by checkpoint 2, which is complete\n", done.stderr)
        self.says(3, f"xensr pages: {image}: no checkpoint 4: it has 3 that are complete", "pages",
                  "--checkpoint", 4, image)

    def test_no_pages(self):
        octets = b.octets(b.hvm_stream() | {"context": b.hvm_context(s.context()), "pages":
                                            b.page_data((1, b.INVALID, None))})
        self.check(self.file("image", octets), octets)


class Plots(CommandCase):
    def setUp(self):
        super().setUp()
        if "draws nothing" in self.xensr("pages", "--plot", self.path("x.png"), self.file(
                "probe", s.hvm({1: b""}))).stderr:
            self.assertFalse(os.path.exists(self.path("x.png")))
            self.skipTest("built without cairo")
        for name in ("probe", "x.png"):
            os.unlink(self.path(name))

    def plot(self, octets: bytes, name="map.png") -> Png:
        image = self.file("image.save", octets)
        self.assertEqual(self.does("pages", "--plot", self.path(name), image), "")
        self.assertEqual(sorted(os.listdir(self.folder)), ["image.save", name])
        return Png(self.contents(name))

    def cell(self, png: Png, row: int, cell: int, breaks: int = 0) -> tuple:
        """The colour of the middle of a cell."""
        return png.pixel(LEFT + (cell + .5) * CELL, TOP + (row + .5) * CELL + breaks * BREAK)

    def test_colors_of_every_kind(self):
        octets = b.octets(b.pv_stream() | {"more pages": b"", "pages": b.page_data(
            (0, b.NORMAL, 1), (1, b.NORMAL, 2), (2, b.NORMAL, 2), (3, b.NORMAL, 0), (4, b.L1, 3),
            (5, b.L4_PINNED, 4), (6, b.ALLOCATE_ONLY, None), (7, b.BROKEN, None),
            (8, b.INVALID, None), (0x10, b.NORMAL, 5), (0x11, b.NORMAL, 6), (0x12, b.NORMAL, 0x12),
            (0x80, b.NORMAL, 7))})
        png = self.plot(octets)
        self.assertEqual([self.cell(png, 0, n) for n in range(9)],
                         [DATA, DUPLICATE, DUPLICATE, ZERO, L1, PINNED, ALLOCATED, BROKEN, HOLE])
        self.assertEqual(self.cell(png, 1, 0), DATA)
        # The legend has a swatch of each.
        swatches = [png.pixel(LEFT + CELLS * CELL + 32 + 7, TOP - 12 + 22 * n - 4)
                    for n in range(1, 9)]
        self.assertEqual(swatches, [DATA, DUPLICATE, ZERO, L1, PINNED, ALLOCATED, BROKEN, HOLE])

    def test_hole_is_a_break(self):
        png = self.plot(s.hvm({0: b"x", 128 * 9: b"y", 128 * 10 + 5: b"z"}))
        self.assertEqual(self.cell(png, 0, 0), DATA)
        self.assertEqual(self.cell(png, 1, 0, breaks=1), DATA)
        self.assertEqual(self.cell(png, 2, 5, breaks=1), DATA)
        self.assertEqual(self.cell(png, 2, 4, breaks=1), HOLE)

    def test_cells_of_several_pages(self):
        """Too many for a page in a cell: shares of what is in it, from left to right."""
        png = self.plot(s.hvm({n: b"" if n % 2 else b"%d" % n for n in range(128 * 128)}))
        for row, cell in ((0, 0), (5, 77), (63, 127)):
            x, y = LEFT + cell * CELL, TOP + (row + .5) * CELL
            self.assertEqual(png.pixel(x + 1, y), DATA)
            self.assertEqual(png.pixel(x + 5.5, y), ZERO)
        self.assertNotEqual(self.cell(png, 63, 5), HOLE)
        self.assertEqual(self.cell(png, 65, 5), HOLE)

    def test_what_is_rare_is_seen(self):
        pages = {n: b"%d" % n for n in range(128 * 128 * 2)}
        parts = b.hvm_stream() | {"context": b.hvm_context(s.context()), "pages": s.page_record(
            pages) + b.page_data((1000, b.BROKEN, None))}
        png = self.plot(b.octets(parts))
        self.assertIn(BROKEN, png.colors(LEFT, TOP, LEFT + CELLS * CELL, TOP + 3 * CELL))

    def test_sparse_address_space(self):
        """Pages anywhere: neither time, nor memory, nor the picture goes by their addresses."""
        pages = {n * 0x9e3779b97f4a7c15 % (1 << 40): b"%d" % n for n in range(1000)}
        png = self.plot(s.hvm(pages))
        self.assertLess(png.height, 2 * 1000)
        self.assertIn(DATA, png.colors(LEFT, TOP, LEFT + CELLS * CELL, TOP + 20 * CELL))

    def test_nothing_is_cut_off(self):
        """Nothing is drawn near the edges, whatever the names and numbers."""
        for octets in (s.hvm({1: b""}), s.hvm({(1 << 40) - 1: b"x", 0: b""})):
            image = self.file("n" * 200 + ".save", octets)
            self.does("pages", "--plot", self.path("map.png"), image)
            png = Png(self.contents("map.png"))
            for x0, x1 in ((0, 20), (png.width // 2 - 20, png.width // 2)):
                self.assertEqual(png.colors(x0, 0, x1, png.height // 2), {HOLE})
            self.assertEqual(png.colors(0, png.height // 2 - 8, png.width // 2, png.height // 2),
                             {HOLE})

    def test_svg(self):
        for kind in ("hvm", "pv64"):
            with self.subTest(kind=kind):
                image = self.saved("image", type=kind, memory=8)
                self.does("pages", "--plot", self.path("map.svg"), image)
                root = xml.etree.ElementTree.fromstring(self.contents("map.svg"))
                self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
                self.assertGreater(len(list(root.iter())), 500)
                self.assertEqual(stat.S_IMODE(os.stat(self.path("map.svg")).st_mode), 0o600)

    def test_names_that_are_no_text(self):
        image = os.path.join(os.fsencode(self.folder), b"\xff\x1b[1m.save")
        with open(image, "wb") as file:
            file.write(s.hvm({1: b"x"}))
        done = self.xensr("pages", "--plot", self.path("map.png"), os.fsdecode(image))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        Png(self.contents("map.png"))

    def test_disk_full(self):
        image = self.file("image", s.hvm({1: b"x"}))
        for name in ("map.png", "map.svg"):
            done = self.xensr("pages", "--plot", self.path(name), image,
                              preexec_fn=s.file_limit(1000))
            self.assertEqual(done.returncode, 4)
            self.assertEqual(done.stderr, f"xensr pages: {self.path(name)}: cannot write: File too "
                                          "large\n")
            self.assertEqual(os.listdir(self.folder), ["image"])


class Failures(CommandCase):
    def test_damaged(self):
        octets = s.hvm({1: b"x"})
        cut = self.file("cut", octets[:-10])
        done = self.xensr("pages", cut)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, rf"^xensr pages: {cut}: [^\n]+\n$")
        self.assertEqual(self.xensr("pages", self.path("none")).returncode, 4)

    def test_nowhere_to_print(self):
        image = self.file("image", s.hvm({1: b"x"}))
        for options in ((), ("--json",)):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = self.run_to(full, "pages", *options, image)
            self.assertEqual((done.returncode, done.stderr),
                             (4, "xensr pages: cannot write: No space left on device\n"))

    def test_usage(self):
        help_ = self.does("pages", "--help")
        self.assertTrue(help_.startswith("usage: xensr pages [OPTION...] FILE\n"))

        def refused(text, *words):
            self.says(3, f"xensr pages: {text}\n`xensr pages --help' says more.", "pages", *words)

        refused("it takes one image")
        refused("it takes one image", "a", "b")
        refused("--plot and --json exclude each other", "--json", "--plot", "x.png", "a")
        refused("`x.gif' ends neither with .png nor with .svg", "--plot", "x.gif", "a")
        refused("`png' ends neither with .png nor with .svg", "--plot=png", "a")
        refused("unrecognized option '--bad'", "--bad", "a")
        refused("`0' is no number of a checkpoint (1, 2, …)", "--checkpoint=0", "a")


if __name__ == "__main__":
    sim_case.main()
