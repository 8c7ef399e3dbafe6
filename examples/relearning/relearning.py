"""A chip that loses detectors while it works, and learns to do without them.

    python examples/relearning/relearning.py [picture.png]

Handwritten digits 0, 4 and 7 (8 x 8 pixels, scikit-learn), a neuron each, a synapse from every pixel to every neuron; who spikes most has
answered. While it is taught, light on a teacher's line makes the right neuron spike and holds the others down, and the rule
(training.rules.STDP, with the norm of each neuron's weights bounded) strengthens the pixels that were lit just before. Then
half of the detectors die. The same lessons again mend a part of it; with the rule switched off nothing does
(what differs then is which photons were missed). The chip is NIST_SPIKING.
"""

from __future__ import annotations

import sys

import numpy as np

import soen_event as se
from hardware import energy
from hardware.chip import NIST_SPIKING
from hardware.faults import Damaged, dead_detectors
from hardware.instrument import VirtualChip
from training.rules import STDP

CLASSES = (0, 4, 7)
LESSONS, QUESTIONS, ROUNDS = 60, 90, 1
PERIOD, FLASHES = 500.0, np.array([0.0, 100.0, 200.0])  # ns; a line takes 10 MHz
NORM, SHARE, PEAK = 2.0, 0.5, 0.085


def network() -> se.Network:
    """64 pixels onto every neuron, and a teacher."""
    with se.Network(name="digits") as net:
        for c in CLASSES:
            se.Dendrite(f"d{c}", ib=1.8, beta_over_2pi=1000.0, tau=100.0)
            for k in range(64):
                se.Synapse(f"p{k}.{c}", f"d{c}", weight=0.25, phi_peak=PEAK, tau_fall=50.0)
            for k in range(3):
                se.Synapse(f"yes{k}.{c}", f"d{c}", weight=1.0, phi_peak=0.12, tau_fall=20.0)
                se.Synapse(f"no{k}.{c}", f"d{c}", weight=-1.0, phi_peak=0.12, tau_fall=50.0)
            se.Neuron(f"n{c}", soma=se.Soma(beta_over_2pi=100.0, tau=50.0, threshold=0.1), refractory=se.Refractory())
            se.Coupling(f"d{c}", f"n{c}", J=1.5)
    return net


def line(synapse: se.Synapse) -> str:
    """One line a pixel; one that makes a neuron spike, one that holds it down."""
    name, _, c = synapse.id.partition(".")
    return name if name.startswith("p") else f"{name[:-1]}.{c}"


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lit pixels (images, 64) and classes, for lessons and for questions."""
    from sklearn.datasets import load_digits

    data = load_digits()
    rows = np.flatnonzero(np.isin(data.target, CLASSES))
    rows = np.random.default_rng(0).permutation(rows)[: LESSONS + QUESTIONS]
    lit, target = data.data[rows] >= 8, data.target[rows]
    return lit[:LESSONS], target[:LESSONS], lit[LESSONS:], target[LESSONS:]


def show(chip: VirtualChip, lit: np.ndarray, teach: int | None = None) -> int | None:
    """Show an image; who spiked most, of equals the first; None if nobody did."""
    light = {f"p{k}": FLASHES + 1.0 for k in np.flatnonzero(lit)}
    if teach is not None:
        light |= {f"yes.{teach}": FLASHES + 3.0} | {f"no.{c}": FLASHES + 0.9 for c in CLASSES if c != teach}
    chip.inject(light)
    chip.run(PERIOD)
    spikes = chip.read_out().spikes
    able = [c for c in CLASSES if len(spikes[f"n{c}"])]
    return min(able, key=lambda c: (-len(spikes[f"n{c}"]), spikes[f"n{c}"][0]), default=None)


def teach(chip: VirtualChip, images: np.ndarray, target: np.ndarray) -> None:
    """All lessons, some times."""
    for _ in range(ROUNDS):
        for lit, wanted in zip(images, target, strict=True):
            show(chip, lit, int(wanted))


def accuracy(chip: VirtualChip, images: np.ndarray, target: np.ndarray) -> float:
    """Share of questions that are answered right; nothing is learnt meanwhile."""
    chip.set_rule("STDP", rate=0.0)
    right = [show(chip, lit) == wanted for lit, wanted in zip(images, target, strict=True)]
    chip.set_rule("STDP", rate=1.0)
    return float(np.mean(right))


def half_die(net: se.Network) -> Damaged:
    """Half of the pixels' detectors, drawn one by one; the teacher's live."""
    rng = np.random.default_rng(7)
    return dead_detectors(net, ids=[name for name in sorted(net.synapses) if name[0] == "p" and rng.random() < SHARE])


def life(relearn: bool) -> tuple[dict[str, float], VirtualChip, Damaged]:
    """Accuracies on the way; with ``relearn`` False the rule is off after the damage."""
    lessons, wanted, questions, answers = digits()
    chip = VirtualChip(NIST_SPIKING, seed=1)
    rule = STDP(lr=0.01, tau_plus=20.0, a_minus=0.0)
    chip.load(network(), learning=rule.on(synapses="p*", max_norm=NORM), ports=line, temperature=0.0)
    found = {"before it has learnt": accuracy(chip, questions, answers)}
    teach(chip, lessons, wanted)
    found["taught"] = accuracy(chip, questions, answers)
    damage = chip.damage(half_die)
    found["damaged"] = accuracy(chip, questions, answers)
    if not relearn:
        chip.set_rule("STDP", rate=0.0)
    teach(chip, lessons, wanted)
    found["taught again"] = accuracy(chip, questions, answers)
    return found, chip, damage


def main(picture: str | None = None) -> None:
    found, chip, damage = life(relearn=True)
    control = life(relearn=False)[0]
    hit = damage.hits["dead_detectors"]
    print(
        f"{len(hit)} of {64 * len(CLASSES)} pixel detectors die; {QUESTIONS} questions, chance {1 / len(CLASSES):.2f}"
    )
    print(f"{'':22}{'learning':>10}{'off after the damage':>22}")
    for name in found:
        print(f"{name:22}{found[name]:>10.2f}{control[name]:>22.2f}")
    book = energy.ledger(chip.recording())
    told = book.memory
    print(
        f"learning again: {told.writes:,d} writes, {told.measured * 1e12:.2f} pJ with cooling; all writes: {chip.ledger}"
    )
    if picture:
        draw(found, control, chip, set(hit), picture)
        print(f"drawn to {picture}")


def draw(found: dict[str, float], control: dict[str, float], chip: VirtualChip, hit: set[str], path: str) -> None:
    """Accuracies, and the weights of every neuron with its dead detectors."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 1 + len(CLASSES), figsize=(11, 3), layout="constrained", width_ratios=[1.5, 1, 1, 1])
    axes[0].plot([*found], [*found.values()], "o-", label="learning")
    axes[0].plot([*control], [*control.values()], "s--", mfc="none", label="off after the damage")
    axes[0].axhline(1 / len(CLASSES), color="0.8", lw=1)
    axes[0].set(ylim=(0.0, 1.0), ylabel="right answers")
    axes[0].tick_params(axis="x", rotation=20)
    axes[0].legend(frameon=False, loc="lower right")
    weights = chip.weights
    for axis, c in zip(axes[1:], CLASSES, strict=True):
        image = np.array([weights[f"p{k}.{c}"] for k in range(64)]).reshape(8, 8)
        shown = axis.imshow(image, cmap="viridis", vmin=0.0)
        dead = np.array([k for k in range(64) if f"p{k}.{c}" in hit])
        axis.plot(dead % 8, dead // 8, "x", color="w", ms=5)
        axis.set(title=f"weights of {c}, x: dead", xticks=[], yticks=[])
        figure.colorbar(shown, ax=axis, shrink=0.8)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:2])
