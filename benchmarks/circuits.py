"""Engine against junction-level circuit: CPU time on sparse input, and the circuit's own cost.

    python benchmarks/circuits.py [--duration 500] [--out benchmarks/results]

Networks of 1, 3 and 10 dendrites that couple into the first one, a photon at each of them (the "sparse" of circuit.md 8). CPU time of
both in one process, medians of the engine's runs; compilation apart. JoSIM 2.7 costs 6.9, 20.7 and 78.6 ms of CPU per ns for 1, 3 and
10 dendrites at 0.05 ps on another machine (circuit.md 8): an orientation, not a measurement here.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

import soen_event as se
from hardware import circuit

GOAL = 5000.0
JOSIM = {1: 6.92, 3: 20.7, 10: 78.6}  # ms/ns, circuit.md 8


def network(dendrites: int) -> se.Network:
    with se.Network() as net:
        for k in range(dendrites):
            se.Dendrite(f"d{k}", ib=1.7, beta_over_2pi=1000.0, tau=100.0)
            se.Synapse(f"s{k}", f"d{k}")
            if k:
                se.Coupling(f"d{k}", "d0", J=0.5 / (dendrites - 1))
    return net


def measure(dendrites: int, duration: float, repeats: int) -> tuple[float, dict[str, float]]:
    """(ms of CPU per ns of the circuit, us of CPU per ns of the engine by resolution)."""
    net = network(dendrites)
    rng = np.random.default_rng(dendrites)
    phase = {name: float(rng.uniform(0.0, 0.5 * min(duration, 1000.0))) for name in net.synapses}
    photons = {name: np.arange(first, duration, 1000.0).tolist() for name, first in phase.items()}
    truth = circuit.simulate(net, photons, duration, step=0.05, sample=1.0)
    engine = {}
    for resolution in ("fluxon", "flow"):
        found = []
        for repeat in range(repeats + 1):
            run = se.Simulation(net, photons, resolution=resolution, record=("spikes",))
            start = time.process_time()
            run.run(duration)
            if repeat:
                found.append(time.process_time() - start)
        engine[resolution] = 1e6 * statistics.median(found) / duration
    return 1e3 * truth.cpu_s / duration, engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=500.0, help="ns, below 1000: one photon a dendrite")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--out", type=Path, default=None, help="a folder: write circuits.md there too")
    given = parser.parse_args()
    lines = [
        "# Engine against circuit",
        "",
        f"`python benchmarks/circuits.py --duration {given.duration:g}`; circuit at 0.05 ps, CPU time of one thread.",
        "",
        "| dendrites | circuit, ms/ns | JoSIM elsewhere, ms/ns | fluxon, us/ns | times | flow 1e-4, us/ns | times |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines))
    for dendrites in (1, 3, 10):
        whole, engine = measure(dendrites, given.duration, given.repeats)
        fluxon, flow = engine["fluxon"], engine["flow"]
        row = (
            f"| {dendrites} | {whole:.2f} | {JOSIM[dendrites]:g} | {fluxon:.3f} | {1e3 * whole / fluxon:,.0f} "
            f"| {flow:.3f} | {1e3 * whole / flow:,.0f} |"
        )
        lines.append(row)
        print(row, flush=True)
    closing = f"Goal: {GOAL:,.0f} times on sparse input."
    print(f"\n{closing}")
    if given.out:
        (given.out / "circuits.md").write_text("\n".join([*lines, "", closing, ""]))


if __name__ == "__main__":
    main()
