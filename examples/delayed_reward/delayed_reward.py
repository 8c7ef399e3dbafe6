"""A chip is rewarded some time after its answer, and learns which of two actions belongs to which of two stimuli.

    python examples/delayed_reward/delayed_reward.py [picture.png]

Two lines of light, each with four synapses on each of two neurons; who spikes first has answered, and holds the other down by light.
The rule (training.rules.ThreeFactor) remembers pairs of detections and spikes for tau_e = 200 ns; a reward, broadcast to all
synapses, decides what becomes of them. First: what one reward changes against how late it comes. Then the lab bench
(hardware.bench): trial after trial until 18 of the last 20 answers are right. The chip is NIST_SPIKING: 401 values a weight, and
detectors that miss three photons in ten, without which the chip would never try anything else.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

import soen_event as se
from hardware.bench import Bench, Criterion, Result, Task
from hardware.chip import NIST_SPIKING
from hardware.instrument import VirtualChip
from training.rules import ThreeFactor

TAU_E = 200.0
LINES, NEURONS, SYNAPSES, BRAKES = ("a", "b"), ("left", "right"), 4, 3
DELAYS = (0.0, 50.0, 100.0, 150.0, 200.0, 300.0, 400.0, 600.0)
BENCHES = (20.0, 200.0, 400.0)
SEEDS = (0, 1, 2)


def network() -> se.Network:
    """Each neuron hears both lines, and the other neuron."""
    with se.Network(name="two stimuli, two actions") as net:
        for neuron in NEURONS:
            se.Dendrite(f"d.{neuron}", ib=1.8, beta_over_2pi=1000.0, tau=100.0)
            for line in LINES:
                for k in range(SYNAPSES):
                    se.Synapse(f"{line}{k}.{neuron}", f"d.{neuron}", weight=0.6, phi_peak=0.16, tau_fall=50.0)
            soma = se.Soma(beta_over_2pi=100.0, tau=50.0, threshold=0.1)
            se.Neuron(neuron, soma=soma, refractory=se.Refractory(), transmitter=se.Transmitter())
            se.Coupling(f"d.{neuron}", neuron, J=1.5)
        for neuron, other in (NEURONS, NEURONS[::-1]):
            for k in range(BRAKES):
                se.Synapse(f"{neuron}{k}.{other}", f"d.{other}", weight=-1.0, phi_peak=0.08, tau_fall=50.0)
                se.Waveguide(neuron, f"{neuron}{k}.{other}")
    return net


def chip(seed: int) -> VirtualChip:
    """The chip with its rule; all synapses of a stimulus hang on one line."""
    found = VirtualChip(NIST_SPIKING, seed=seed)
    rule = ThreeFactor(lr=0.1, tau_plus=30.0, tau_minus=30.0, a_minus=0.0, tau_e=TAU_E, spend=True)
    found.load(network(), learning=rule.on(synapses="[ab]*"), ports=lambda synapse: synapse.id[0], temperature=0.0)
    return found


def one_reward(delays: Sequence[float]) -> np.ndarray:
    """By how much one reward changes all weights, of one and the same trial, for every delay (ns) from the answer."""
    here, out = chip(seed=1), []
    for delay in delays:
        here.reset(weights=True)
        before = here.weights
        here.inject({"a": [5.0]})
        here.run(20.0)
        answered = min(times[0] for times in here.read_out().spikes.values() if len(times))
        here.signal("reward", 1.0, delay=answered + delay + 20.0 - here.now)
        here.run(delay + 50.0)
        out.append(sum(value - before[name] for name, value in here.weights.items()))
    return np.array(out)


def on_the_bench(delay: float, seed: int, reward: float = 1.0) -> Result:
    """Until it is learnt, or 150 trials. ``reward``: for a right answer; a wrong one costs as much."""
    task = Task(
        stimuli={"a": {"a": [0.0]}, "b": {"b": [0.0]}},
        answers={"a": "left", "b": "right"},
        window=80.0,
        right=reward,
        wrong=-reward,
        delay=delay,
        pause=250.0,
    )
    return Bench(chip(seed), task, criterion=Criterion(18, 20), most=150, seed=seed).run()


def main(picture: str | None = None) -> None:
    changes = one_reward(DELAYS)
    print("one reward: what it changes, over what it changes after 0 ns")
    for delay, change in zip(DELAYS, changes, strict=True):
        print(f"{delay:6.0f} ns later: {change / changes[0]:.3f}   e^(-delay/tau_e): {math.exp(-delay / TAU_E):.3f}")
    runs: dict[float, list[Result]] = {}
    for delay in BENCHES:
        runs[delay] = [on_the_bench(delay, seed) for seed in SEEDS]
        told = ", ".join("not in 150" if found.learnt_at is None else str(found.learnt_at) for found in runs[delay])
        print(f"reward {delay:3.0f} ns after the answer: learnt at trial {told}")
    control = on_the_bench(BENCHES[0], SEEDS[0], reward=0.0)
    print(f"without reward: {sum(trial.right for trial in control.trials)} of {len(control.trials)} right")
    if picture:
        draw(changes, runs, picture)
        print(f"drawn to {picture}")


def draw(changes: np.ndarray, runs: dict[float, list[Result]], path: str) -> None:
    """Credit against delay, and learning curves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    t = np.linspace(0.0, max(DELAYS), 200)
    left.plot(t, np.exp(-t / TAU_E), color="0.6", label=r"$e^{-delay/\tau_e}$")
    left.plot(DELAYS, changes / changes[0], "o", label="on the chip")
    left.set(xlabel="delay of the reward (ns)", ylabel="credit, over that at once", ylim=(0.0, 1.05))
    left.legend(frameon=False)
    for k, (delay, found) in enumerate(runs.items()):
        for j, each in enumerate(found):
            curve = each.curve(20)
            right.plot(
                np.arange(1, len(curve) + 1)[9:], curve[9:], color=f"C{k}", label=f"{delay:g} ns" if j == 0 else None
            )
            if each.learnt_at is not None:
                right.plot(each.learnt_at, curve[-1], "o", color=f"C{k}")
    right.axhline(0.9, color="0.8", lw=1)
    right.set(xlabel="trial", ylabel="right among the last 20", ylim=(0.0, 1.05))
    right.legend(frameon=False, loc="lower right", title="reward after")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:2])
