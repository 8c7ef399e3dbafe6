"""Cost against size: build time, memory per synapse, and CPU time per spike, of random networks of 10^2 to 10^5 neurons.

    python benchmarks/scaling.py                                   # all sizes, the table on the screen
    python benchmarks/scaling.py --sizes 100 1000 --out results    # some sizes; results/scaling.csv, .md and .png

A neuron has ten dendrites with ten synapses each, wired at random to other neurons with delays of 0.5 to 50 ns and weights of -0.2 to
0.2, and two synapses for photons from outside (Poisson, together one per microsecond), each of which makes it spike. The light of
other neurons keeps its dendrites moving, mostly below their thresholds. The quiet runs get a tenth of the photons.

Every size and activity runs in a process of its own. CPU time of the process (one thread unless --threads says more), compile time
apart. Larger networks run shorter (see the column), so that every run has about 2000 spikes or more. Memory is that of the whole
process; bytes a synapse are what building adds to it.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

DENDRITES, SYNAPSES = 10, 10  # per neuron, per dendrite
RATE = 1e-3  # photons per ns and neuron
LEAST_SPIKES = 2000
SHORTEST = 1000.0  # ns
GOALS = {"build_s": 60.0, "peak_GiB": 16.0, "exponent": 1.1, "quiet": (7.0, 14.0)}


def cell() -> Any:
    """One neuron: a photon at ``in0`` or ``in1`` makes it spike; 100 more synapses on ten dendrites."""
    import soen_event as se

    with se.Network() as one:
        se.Neuron(
            "n", soma=se.Soma(threshold=0.1, t_ref=200.0), refractory=se.Refractory(), transmitter=se.Transmitter()
        )
        for d in range(DENDRITES):
            se.Dendrite(f"d{d}", beta_over_2pi=300.0, tau=100.0)
            se.Coupling(f"d{d}", "n", J=1.0)
            for s in range(SYNAPSES):
                se.Synapse(f"s{d}{s}", f"d{d}")
        se.Synapse("in0", "d0")
        se.Synapse("in1", "d5")
    return one


def network(count: int, seed: int = 0) -> Any:
    """``count`` of these neurons; every synapse hears one other neuron."""
    import soen_event as se

    one = cell()
    names = one.ids("synapse")
    wired = np.array([k for k, name in enumerate(names) if name.startswith("s")], dtype=np.int32)
    rng = np.random.default_rng(seed)
    rows = count * len(wired)
    weights = np.ones((count, len(names)))
    weights[:, wired] = rng.uniform(-0.2, 0.2, (count, len(wired)))
    wiring = se.Wiring(
        source=rng.integers(0, count, rows, dtype=np.int32),
        target=np.repeat(np.arange(count, dtype=np.int32), len(wired)),
        synapse=np.tile(wired, count),
        delay=rng.uniform(0.5, 50.0, rows),
    )
    return se.TiledNetwork(one, count, wiring, parameters={"weights": weights})


def photons(net: Any, rate: float, duration: float, seed: int = 1) -> Any:
    """Poisson photons from outside, ``rate`` per ns and neuron in all."""
    import soen_event as se

    rng = np.random.default_rng(seed)
    number = rng.poisson(rate * duration * net.count)
    inputs = np.stack([net.positions("in0"), net.positions("in1")])
    position = inputs[rng.integers(0, 2, number), rng.integers(0, net.count, number)]
    return se.Stimulus.from_arrays(position, np.sort(rng.uniform(0.0, duration, number)))


def resident() -> float:
    """Memory of this process now, bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(count: int, activity: float, resolution: str, tol: float, threads: int) -> dict[str, Any]:
    """Build and run one network in this process."""
    import resource

    import soen_event as se

    options: dict[str, Any] = {"record": ("spikes",), "seed": 1, "resolution": resolution}
    if resolution != "fluxon":
        options["tol"] = tol
    if threads > 1:
        options["threads"] = threads
    start = time.perf_counter()
    small = network(400)
    se.simulate(small, photons(small, RATE, 100.0), 100.0, **options)
    compiled = time.perf_counter() - start
    del small

    rate = RATE * activity
    duration = max(SHORTEST, LEAST_SPIKES / (rate * count))
    before, wall, cpu = resident(), time.perf_counter(), time.process_time()
    net = network(count)
    drawn = time.perf_counter() - wall, time.process_time() - cpu
    run = se.Simulation(net, photons(net, rate, duration), duration=duration, **options)
    built = time.perf_counter() - wall, time.process_time() - cpu
    held, peak_build = resident() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    wall, cpu = time.perf_counter(), time.process_time()
    run.run(duration)
    took = time.perf_counter() - wall, time.process_time() - cpu
    counts = run.finish().event_counts
    synapses = count * DENDRITES * SYNAPSES
    arrived = counts["photons"] - counts["spikes"]  # without the light of somas to their own refractory dendrites
    return {
        "neurons": count,
        "synapses": synapses,
        "activity": activity,
        "resolution": resolution,
        "duration_ns": duration,
        "first_run_s": compiled,
        "draw_s": drawn[0],
        "build_s": built[0],
        "build_cpu_s": built[1],
        "run_s": took[0],
        "run_cpu_s": took[1],
        "bytes_per_synapse": held / synapses,
        "peak_build_GiB": peak_build / 2**30,
        "peak_GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "spikes": counts["spikes"],
        "spikes_per_us": 1000.0 * counts["spikes"] / (count * duration),
        "photons": arrived,
        "events": counts["events"],
        "us_per_spike": 1e6 * took[1] / max(counts["spikes"], 1),
        "us_per_photon": 1e6 * took[1] / max(arrived, 1),
        "us_per_event": 1e6 * took[1] / max(counts["events"], 1),
        "cpu_s_per_us": 1000.0 * took[1] / duration,
    }


def in_own_process(arguments: list[str], count: int, activity: float) -> dict[str, Any]:
    """The numbers of :func:`measure` from a fresh process."""
    command = [sys.executable, __file__, "--one", str(count), str(activity), *arguments]
    # Freed arrays go back to the system, so that memory in use is what is needed.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{count} neurons: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def exponent(rows: list[dict[str, Any]], column: str, last: int = 0) -> float:
    """Slope of log(column) against log(neurons), by least squares; of the ``last`` sizes only, if given."""
    chosen = rows[-last:] if last else rows
    if len(chosen) < 2:
        return math.nan
    return float(
        np.polyfit(np.log([r["neurons"] for r in chosen]), np.log([max(r[column], 1e-9) for r in chosen]), 1)[0]
    )


SHOWN = (
    ("neurons", "neurons", "{:,.0f}"),
    ("synapses", "synapses", "{:,.0f}"),
    ("activity", "activity", "{:g}"),
    ("build_s", "build, s", "{:.3g}"),
    ("bytes_per_synapse", "bytes/synapse", "{:.0f}"),
    ("peak_GiB", "peak, GiB", "{:.2f}"),
    ("duration_ns", "simulated, ns", "{:,.0f}"),
    ("spikes", "spikes", "{:,.0f}"),
    ("events", "events", "{:,.0f}"),
    ("run_cpu_s", "run, CPU s", "{:.3g}"),
    ("us_per_spike", "us/spike", "{:.1f}"),
    ("us_per_photon", "us/photon", "{:.3f}"),
    ("us_per_event", "us/event", "{:.3f}"),
)


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = [
        "| " + " | ".join(title for _, title, _ in SHOWN) + " |",
        "|" + "|".join("---:" for _ in SHOWN) + "|",
        *("| " + " | ".join(form.format(row[name]) for name, _, form in SHOWN) + " |" for row in rows),
    ]
    return "\n".join(lines)


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """What the numbers say about the goals."""
    busy = [row for row in rows if row["activity"] == 1.0]
    quiet = {row["neurons"]: row for row in rows if row["activity"] != 1.0}
    lines = []

    def say(text: str, good: bool) -> None:
        lines.append(f"{text}  {'ok' if good else 'MISSED'}")

    for column, what in (
        ("build_s", "build time"),
        ("cpu_s_per_us", "CPU time per simulated microsecond"),
        ("us_per_spike", "CPU time per spike"),
    ):
        goal = GOALS["exponent"] - (1.0 if column == "us_per_spike" else 0.0)
        slope, late = exponent(busy, column), exponent(busy, column, 2)
        say(f"growth exponent of {what}: {slope:.2f}, last two sizes {late:.2f}   (goal {goal:.1f})", slope <= goal)
    largest = busy[-1]
    say(f"{largest['neurons']:,} neurons built in {largest['build_s']:.0f} s   (goal {GOALS['build_s']:.0f})",
        largest["build_s"] <= GOALS["build_s"])  # fmt: skip
    say(f"peak memory {largest['peak_GiB']:.1f} GiB   (goal {GOALS['peak_GiB']:.0f})",
        largest["peak_GiB"] <= GOALS["peak_GiB"])  # fmt: skip
    for row in busy:
        if row["neurons"] in quiet:
            less = row["cpu_s_per_us"] / quiet[row["neurons"]]["cpu_s_per_us"]
            fewer = (
                row["events"]
                / row["duration_ns"]
                * quiet[row["neurons"]]["duration_ns"]
                / quiet[row["neurons"]]["events"]
            )
            low, high = GOALS["quiet"]
            say(
                f"{row['neurons']:,} neurons: a tenth of the photons make {fewer:.1f} times fewer events and cost {less:.1f} "
                f"times less   (goal about 10)",
                low <= less <= high,
            )
    return lines


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Four panels against size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = (
        ("build_s", "build time, s"),
        ("bytes_per_synapse", "memory, bytes a synapse"),
        ("cpu_s_per_us", "CPU s per simulated us"),
        ("us_per_spike", "CPU us per spike"),
    )
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    for axis, (column, title) in zip(axes, panels, strict=True):
        for activity, style in ((1.0, "o-"), (0.1, "s--")):
            some = [row for row in rows if row["activity"] == activity]
            if some:
                label = "one photon per us" if activity == 1.0 else "a tenth of that"
                axis.plot([r["neurons"] for r in some], [r[column] for r in some], style, label=label)
        axis.set_xscale("log")
        if column in ("build_s", "cpu_s_per_us"):
            sizes = np.array(sorted({row["neurons"] for row in rows}), dtype=float)
            top = [row[column] for row in rows if row["activity"] == 1.0][-1]
            axis.plot(sizes, top * sizes / sizes[-1], ":", color="gray", label="in proportion to size")
            axis.set_yscale("log")
        else:
            axis.set_ylim(0.0, 1.3 * max(r[column] for r in rows))
        axis.set_xlabel("neurons")
        axis.set_title(title, fontsize=10)
        axis.grid(True, which="major", alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000, 100_000], help="neurons")
    parser.add_argument("--activities", type=float, nargs="+", default=[1.0, 0.1], help="share of the photons")
    parser.add_argument("--resolution", choices=("fluxon", "flow", "auto"), default="flow")
    parser.add_argument("--tol", type=float, default=1e-4, help="largest error of a flowing current, I_c")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for scaling.csv, scaling.md and scaling.png")
    parser.add_argument("--one", nargs=2, metavar=("NEURONS", "ACTIVITY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(int(given.one[0]), float(given.one[1]), given.resolution, given.tol, given.threads)))
        return 0
    common = ["--resolution", given.resolution, "--tol", str(given.tol), "--threads", str(given.threads)]
    first = in_own_process(common, 100, 1.0)["first_run_s"]
    rows = []
    for count in sorted(given.sizes):
        for activity in given.activities:
            rows.append(in_own_process(common, count, activity))
            last = rows[-1]
            print(
                f"{count:>8,} neurons, activity {activity:g}: built in {last['build_s']:.2f} s, {last['bytes_per_synapse']:.0f} "
                f"bytes a synapse; {last['spikes']:,} spikes in {last['run_cpu_s']:.2f} CPU s, "
                f"{last['us_per_spike']:.0f} us each; peak {last['peak_GiB']:.2f} GiB",
                flush=True,
            )
    said = [f"first run, with compilation if there was any: {first:.0f} s", *verdicts(rows)]
    print("\n" + table(rows) + "\n\n" + "\n".join(said))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        with open(given.out / "scaling.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        head = f"# Cost against size\n\n`python benchmarks/scaling.py {' '.join(common)}`\n\n"
        (given.out / "scaling.md").write_text(
            head + table(rows) + "\n\n" + "\n".join(f"* {line}" for line in said) + "\n"
        )
        picture(rows, given.out / "scaling.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
