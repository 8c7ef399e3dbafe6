"""What plasticity on every synapse costs the compiled engine.

    python benchmarks/plasticity.py            # table
    python benchmarks/plasticity.py --gate     # fewer repeats; exit 1 if the goal is missed

The same network and photons without a rule, with pair STDP on every synapse at a rate of 0 (the same events, each heard by
the rule, and no weight moves), and at a rate that moves weights. CPU time of one thread, medians; a ratio is of times, so it
counts the events that changed weights bring about too; the ratio per event is printed beside it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
from engines import recurrent_network

import soen_event as se
from soen_event.stimulus import poisson
from training.rules import STDP

GOAL = 2.0


def one_neuron(synapses: int) -> se.Network:
    """One neuron with all its synapses on one dendrite: a spike is heard by all of them at once."""
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(threshold=0.1, beta_over_2pi=300.0), refractory=se.Refractory())
        se.Dendrite("d", beta_over_2pi=1000.0, tau=50.0)
        se.Coupling("d", "n", J=0.8)
        for k in range(synapses):
            se.Synapse(f"s{k}", "d", weight=0.2 + 0.2 * (k % 3), tau_fall=20.0)
    return net


def cpu_of(
    net: se.Network, photons: se.Stimulus, duration: float, resolution: str, rate: float | None, repeats: int
) -> tuple[float, dict, int]:
    """Median CPU seconds of the event loop, its counts, and how many weights were written."""
    learning = None if rate is None else STDP(lr=0.002).on(synapses="*", storage=se.Storage(0.0, 1.5), rate=rate)
    seconds = []
    for _ in range(repeats):
        run = se.Simulation(net, photons, resolution=resolution, learning=learning)
        start = time.thread_time()
        run.run(duration)
        seconds.append(time.thread_time() - start)
    rec = run.finish()
    return statistics.median(seconds), rec.event_counts, len(rec.table("writes")["site"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gate", action="store_true", help="few repeats; exit 1 if the goal is missed")
    gate = parser.parse_args().gate
    repeats = 3 if gate else 7
    net = recurrent_network(100)
    busy = poisson([s for s in net.synapses if s.startswith("s")], 0.01, 200.0, seed=1)
    alone = one_neuron(100)
    light = poisson(list(alone.synapses), 0.002, 4000.0, seed=2)
    print("network, resolution                         events   spikes     writes   heard only   with writes   per event")
    worst = 0.0
    for name, network, photons, duration, resolution in (
        ("100 neurons, 500 synapses, fluxon", net, busy, 220.0, "fluxon"),
        ("100 neurons, 500 synapses, flow", net, busy, 220.0, "flow"),
        ("1 neuron, 100 synapses, fluxon", alone, light, 4000.0, "fluxon"),
        ("1 neuron, 100 synapses, flow", alone, light, 4000.0, "flow"),
    ):
        cpu_of(network, photons, 1.0, resolution, 1.0, 1)
        plain, counts, _ = cpu_of(network, photons, duration, resolution, None, repeats)
        heard, same, _ = cpu_of(network, photons, duration, resolution, 0.0, repeats)
        learnt, more, writes = cpu_of(network, photons, duration, resolution, 1.0, repeats)
        assert counts == same, "a rule that changes nothing has changed something"
        ratio = learnt / plain
        per_event = ratio * counts["events"] / more["events"]
        worst = max(worst, ratio)
        print(
            f"{name:40} {more['events']:9} {more['spikes']:8} {writes:10} {heard / plain:12.2f} {ratio:13.2f} {per_event:11.2f}"
        )
    missed = worst >= GOAL
    print(f"largest ratio {worst:.2f}; goal: below {GOAL:g}")
    return int(missed and gate)


if __name__ == "__main__":
    np.seterr(all="raise")
    sys.exit(main())
