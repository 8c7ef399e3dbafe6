"""Compiled engine against reference engine, and fluxon events per CPU second.

    python benchmarks/engines.py            # table
    python benchmarks/engines.py --gate     # the same with fewer repeats; exit 1 if a goal is missed

CPU time of one thread, medians of several runs, compile time apart. Ratios come from one process, so that a noisy machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np

import soen_event as se
from soen_event.stimulus import poisson

GOAL_RATIO = 10.0
GOAL_RATE = 2e6
FLOOR_RATE = 1e6  # the gate: half the goal, since continuous integration runs on shared machines


def recurrent_network(n: int, seed: int = 0) -> se.Network:
    """``n`` neurons, each with three dendrites that a detector drives, coupled by light in a random ring."""
    rng = np.random.default_rng(seed)
    net = se.Network()
    for k in range(n):
        net.add(
            se.Neuron(f"n{k}", soma=se.Soma(threshold=0.15), refractory=se.Refractory(), transmitter=se.Transmitter())
        )
        for j in range(3):
            net.add(se.Dendrite(f"d{k}_{j}", beta_over_2pi=300.0, tau=100.0))
            net.add(se.Coupling(f"d{k}_{j}", f"n{k}", J=0.25))
            net.add(se.Synapse(f"s{k}_{j}", f"d{k}_{j}"))
    for k in range(n):
        for target in rng.choice(n, size=2, replace=False):
            net.add(se.Synapse(f"r{k}_{target}", f"d{target}_0"))
            net.add(se.Waveguide(f"n{k}", f"r{k}_{target}", delay=1.0))
    return net


def lone_dendrites(n: int) -> se.Network:
    """``n`` dendrites, each with a detector of its own: fluxons and nothing else."""
    net = se.Network()
    for k in range(n):
        net.add(se.Dendrite(f"d{k}", beta_over_2pi=1000.0, tau=50.0))
        net.add(se.Synapse(f"s{k}", f"d{k}"))
    return net


def cpu_of(net: se.Network, photons: se.Stimulus, duration: float, engine: str, repeats: int) -> tuple[float, dict]:
    """Median CPU seconds of the event loop, and its counts."""
    seconds = []
    for _ in range(repeats):
        run = se.Simulation(net, photons, engine=engine, record=("spikes",))
        start = time.thread_time()
        run.run(duration)
        seconds.append(time.thread_time() - start)
    return statistics.median(seconds), run.finish().event_counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gate", action="store_true", help="few repeats; exit 1 if a ratio gate is missed")
    gate = parser.parse_args().gate
    start = time.perf_counter()
    se.Simulation(lone_dendrites(1), {"s0": [1.0]}).run(2.0)
    print(f"first run, with compilation if there was any: {time.perf_counter() - start:.2f} s")

    net = recurrent_network(100)
    photons = poisson([s for s in net.synapses if s.startswith("s")], 0.01, 20.0 if gate else 50.0, seed=1)
    span = 25.0 if gate else 60.0
    slow, counts = cpu_of(net, photons, span, "reference", 1 if gate else 3)
    fast, again = cpu_of(net, photons, span, "compiled", 5)
    assert counts == again, "the engines disagree"
    ratio = slow / fast
    print(
        f"100 neurons, {counts['events']} events ({counts['fluxons']} fluxons, {counts['spikes']} spikes): reference "
        f"{1e6 * slow / counts['events']:.1f} us/event, compiled {1e6 * fast / counts['events']:.3f} us/event"
    )
    print(
        f"  compiled over reference: {ratio:8.1f} x   (goal {GOAL_RATIO:.0f} x)  {'ok' if ratio >= GOAL_RATIO else 'MISSED'}"
    )

    rates = []
    for n, duration in ((1, 4000.0), (100, 400.0), (1000, 100.0)):
        net = lone_dendrites(n)
        photons = poisson(list(net.synapses), 0.05, duration, seed=2)
        seconds, counts = cpu_of(net, photons, duration, "compiled", 3 if gate else 7)
        rates.append(counts["fluxons"] / seconds)
        print(
            f"{n:5d} dendrites: {counts['fluxons']:8d} fluxons, {rates[-1] / 1e6:.2f} million fluxon events per CPU second   "
            f"(goal {GOAL_RATE / 1e6:.0f})  {'ok' if rates[-1] >= GOAL_RATE else 'MISSED'}"
        )
    if gate and (ratio < GOAL_RATIO or min(rates) < FLOOR_RATE):
        print("gate: missed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
