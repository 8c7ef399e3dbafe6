"""One thread against several: 1000 neurons with 12 dendrites each, wall-clock time of the run alone.

    python benchmarks/threads.py [--threads 2] [--out benchmarks/results]

The runs take turns (one thread, several, one thread, ...) and the medians are compared, so that a change of the machine's load meets
both. Spikes are compared to the bit. A machine whose cores are busy with other work shows no gain.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

from workloads import Case

import soen_event as se

GOAL = 1.7
CASES = [Case("many", 0.1, 4000.0), Case("many", 1.0, 800.0), Case("many", 9.0, 200.0)]


def measure(case: Case, resolution: str, tol: float, threads: int, rounds: int) -> tuple[float, float, bool]:
    """Median wall-clock seconds with one thread and with several, and whether their spikes are the same bits."""
    net, photons = case.build()
    walls: dict[int, list[float]] = {1: [], threads: []}
    found = {}
    for k in range(rounds + 1):
        for n in walls:
            sim = se.Simulation(net, photons, resolution=resolution, tol=tol, threads=n, record=("spikes",))
            sim.run(min(1.0, case.duration))  # threads are started, code is loaded
            begin = time.perf_counter()
            sim.run(case.duration)
            if k > 0:  # the first round warms up
                walls[n].append(time.perf_counter() - begin)
            found[n] = sim.recording().table("spikes")
    same = all((found[1][name] == found[threads][name]).all() for name in found[1])
    return statistics.median(walls[1]), statistics.median(walls[threads]), same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None, help="a folder: write threads.md there too")
    options = parser.parse_args()
    lines = [
        "# Threads",
        "",
        f"1000 neurons with 12 dendrites; wall-clock s, medians of {options.rounds} runs that take turns; {os.cpu_count()} cores.",
        "",
        f"| rate | resolution | 1 thread | {options.threads} threads | ratio | same bits |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for case in CASES:
        for resolution, tol in (("flow", 1e-4), ("flow", 1e-2), ("fluxon", 1e-4)):
            if resolution == "fluxon" and case.rate > 1.0:
                continue  # the same again, slower
            one, several, same = measure(case, resolution, tol, options.threads, options.rounds)
            name = f"flow, tol {tol:g}" if resolution == "flow" else resolution
            row = f"| {case.rate:g} MHz | {name} | {one:.3f} | {several:.3f} | {one / several:.2f} | {'yes' if same else 'NO'} |"
            lines.append(row)
            print(row, flush=True)
    closing = f"Goal: {GOAL} with two threads."
    print(f"\n{closing}")
    if options.out:
        (options.out / "threads.md").write_text("\n".join([*lines, "", closing, ""]))


if __name__ == "__main__":
    main()
