# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live saves of guests that write meanwhile: total time, pages sent, and the pause."""

import contextlib
import os
import statistics
import threading
import time

CHUNK = 4 << 20
LIVE = 1  # XCFLAGS_LIVE
MEGABYTE_PAGES = 256
WARM_UP_SECONDS = 0.05

# A guest, and what it writes: pages a second (None: as fast as it can) within a working set.
CASES = {
    "idle": ({"type": "pvh", "memory": 1024, "plain": 0}, None),
    "10k pages/s": ({"type": "pvh", "memory": 1024, "plain": 0},
                    {"working_set": 64 * MEGABYTE_PAGES, "rate": 10000}),
    "50k pages/s": ({"type": "pvh", "memory": 1024, "plain": 0},
                    {"working_set": 128 * MEGABYTE_PAGES, "rate": 50000}),
    "flat out, 64 MiB": ({"type": "pvh", "memory": 1024, "plain": 0},
                         {"working_set": 64 * MEGABYTE_PAGES}),
    "PV 10k pages/s": ({"type": "pv64", "memory": 1024, "plain": 0},
                       {"working_set": 64 * MEGABYTE_PAGES, "rate": 10000}),
    "p2m of 1 TiB": ({"type": "pvh", "memory": 16, "plain": 0, "sparse_top": (1 << 28) - 1},
                     {"working_set": 1000}),
}

HEAD = ("live case         through   total s: xensr    stock  ratio (least–most)   "
        "pause ms: xensr    stock  ratio (least–most)      pages: xensr    stock")


@contextlib.contextmanager
def counting_pipe(counted):
    """A descriptor to save to, drained by a thread that counts."""
    end, start = os.pipe()

    def drain():
        while data := os.read(end, CHUNK):
            counted[0] += len(data)

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        yield start
    finally:
        os.close(start)
        thread.join()
        os.close(end)


def save(sim, host, guest, program, writes):
    """One live save; (seconds, seconds of pause, pages)."""
    writer = host.start_guest(guest, **writes) if writes else None
    if writer:
        time.sleep(WARM_UP_SECONDS)
    counted = [0]
    with counting_pipe(counted) as descriptor:
        outcome = sim.save(sim.helper(program), host, guest, descriptor, flags=LIVE,
                           timeout=600)
    if writer:
        writer.communicate()
    host.resume(guest)
    if not outcome.ok:
        raise SystemExit(f"bench: {program}'s live save failed: {outcome.errors}")
    return outcome.seconds, outcome.pause_seconds, counted[0] // 4096


def measure(sim, name, rounds) -> dict:
    options, writes = CASES[name]
    runs = {"stock": [], "xensr": []}
    with sim.Host(frames=(2 * options["memory"] + 64) << 8, resident=True) as host:
        guest = host.build(**options)
        for number in range(rounds + 1):
            order = ["stock", "xensr"] if number % 2 else ["xensr", "stock"]
            for program in order:
                runs[program].append(save(sim, host, guest, program, writes))
    for values in runs.values():
        del values[:1]  # the first round warms up
    return {"operation": "live save", "through": "pipe", "runs": runs}


def row(name, result) -> str:
    runs = result["runs"]

    def column(index, scale):
        middle = {p: statistics.median(r[index] for r in runs[p]) for p in runs}
        ratios = [s[index] / x[index] for s, x in zip(runs["stock"], runs["xensr"])]
        return (f"{middle['xensr'] * scale:8.{3 if scale == 1 else 1}f} "
                f"{middle['stock'] * scale:8.{3 if scale == 1 else 1}f}  "
                f"{statistics.median(ratios):6.2f} ({min(ratios):.2f}–{max(ratios):.2f})")

    pages = {p: statistics.median(r[2] for r in runs[p]) for p in runs}
    return (f"{name:17} pipe             {column(0, 1)}         {column(1, 1000)}     "
            f"{pages['xensr']:8.0f} {pages['stock']:8.0f}")
