"""Nine pixels, three neurons: the letters z, v and n are learnt on the network, sample by sample, by the arbor rule (physics.md 7.2, 9.5).

    python examples/nine_pixels/learn_letters.py [folder for the pictures] [--seeds 10]

Each letter has a neuron with a tree of dendrites: three on the soma, on each of them three leaves, on every leaf the detector of one
pixel. A neuron's light falls on the other two somas and holds them down: the first to fire wins. The 30 samples are the letters and
what one flipped pixel makes of them. A sample lasts 250 ns: every lit pixel sends a photon at 10, 60, 110 and 160 ns. At its end every
neuron is told its error, 5 spikes for its own letter and none for another less those that it has fired, and the flux offset of every
dendrite moves by eta error mean(s) inside the compiled engine, while the simulation goes on. After every 10 presentations of each letter
a copy of the network with the offsets of that moment is tried on all 30 samples; a sample counts if its neuron fires more often
than any other. Learning ends when all 30 count, or after 200 presentations of each letter.

Numbers are those of physics.md 9.5, but for what it leaves open (when photons come) and the lateral inhibition: with a weight of -1 a
photon takes 1/2 Phi0 from the other somas, and since a SQUID answers to negative flux as to positive, that makes them fire. -0.3 takes
0.15 Phi0, less than the threshold flux of 0.17.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

import soen_event as se
from training.modulators import OutputError
from training.rules.arbor import arbor

LETTERS = {"z": "110/010/011", "v": "101/101/010", "n": "010/101/101"}
BIAS, TAU, BETA, THRESHOLD = 1.8, 50.0, 100.0, 0.5
ON_SOMA, ON_DENDRITE, INHIBITION = 0.5, 0.3, -0.3  # couplings (Phi0 per I_c), weight
ETA, TARGET, SPREAD = 0.005, 5.0, 0.005
TIMES, SAMPLE, GAP = (10.0, 60.0, 110.0, 160.0), 250.0, 150.0  # ns
PER_LETTER, MOST = 10, 200  # presentations between two trials, and at most


def network(seed: int) -> se.Network:
    """Three trees and the light between them; flux offsets at first at random within 5 mPhi0."""
    rng = np.random.default_rng(seed)
    dendrite = {"ib": BIAS, "tau": TAU, "beta_over_2pi": BETA}
    with se.Network(name="letters") as net:
        for letter in LETTERS:
            soma = se.Soma(threshold=THRESHOLD, **dendrite)
            se.Neuron(letter, soma=soma, refractory=se.Refractory(), transmitter=se.Transmitter())
            leaves = se.builders.tree(net, letter, (3, 3), J=[ON_SOMA, ON_DENDRITE], dendrite=dendrite)
            for pixel, leaf in enumerate(leaves):
                se.Synapse(f"{letter}.p{pixel}", leaf)
        for source in LETTERS:
            for target in LETTERS:
                if source != target:
                    se.Synapse(f"{source}-{target}", target, weight=INHIBITION)
                    se.Waveguide(source, f"{source}-{target}", delay=0.1)
    for name in net.dendrites:
        net.replace(name, phi_offset=float(rng.uniform(-SPREAD, SPREAD)))
    return net


def samples() -> list[tuple[str, np.ndarray]]:
    """(letter, nine pixels) of the letters and all that one flipped pixel makes of them: 30."""
    flips = np.vstack([np.zeros((1, 9), dtype=int), np.eye(9, dtype=int)])
    letters = {letter: np.array([int(p) for p in rows.replace("/", "")]) for letter, rows in LETTERS.items()}
    return [(letter, pixels ^ flip) for letter, pixels in letters.items() for flip in flips]


SAMPLES = samples()


def photons(pixels: np.ndarray, start: float = 0.0) -> dict[str, list[float]]:
    """What the lit pixels send to every tree."""
    return {f"{n}.p{k}": [start + t for t in TIMES] for n in LETTERS for k in np.flatnonzero(pixels).tolist()}


def responses(net: se.Network) -> np.ndarray:
    """Spikes of the three neurons, (30, 3), each sample from rest."""
    run = se.Simulation(net, record="spikes")
    out = []
    for _, pixels in SAMPLES:
        one = run.afresh(photons(pixels))
        one.run(SAMPLE)
        spikes = one.finish().spikes
        out.append([len(spikes[n]) for n in LETTERS])
    return np.array(out)


def right(counts: np.ndarray) -> int:
    """Samples whose own neuron fires more often than any other."""
    own = [list(LETTERS).index(letter) for letter, _ in SAMPLES]
    mine = counts[np.arange(len(own)), own]
    others = np.where(np.eye(len(LETTERS), dtype=bool)[own], -1, counts)
    return int(np.sum(mine > others.max(axis=1)))


class Learnt(NamedTuple):
    curve: list[int]  # samples that count, after 0, 10, 20 ... presentations of each letter
    before: np.ndarray
    after: np.ndarray
    offsets: dict[str, float]


def learn(seed: int, patient: bool = False) -> Learnt:
    """One network, from its random start until all samples count (``patient``: until the end)."""
    net = network(seed)
    rng = np.random.default_rng([seed, 1])
    run = se.Simulation(net, learning=arbor(net, eta=ETA), record="spikes")
    error = OutputError(active=TARGET)
    before = after = responses(net)
    curve, start = [right(before)], 0.0
    while (patient or curve[-1] < len(SAMPLES)) and PER_LETTER * len(curve) <= MOST:
        for k in rng.permutation(len(SAMPLES)):
            letter, pixels = SAMPLES[k]
            run.inject(photons(pixels, start))
            run.signal("begin")
            run.run(start + SAMPLE)
            spikes = run.recording().spikes
            counts = {n: int(np.sum(spikes[n] > start)) for n in LETTERS}
            run.signal("error", error(counts, letter))
            start += SAMPLE + GAP
            run.run(start)
        trial = net.copy()
        for site, offset in run.learnt.items():
            trial.replace(site.removesuffix(".phi_offset"), phi_offset=offset)
        after = responses(trial)
        curve.append(right(after))
    return Learnt(curve, before, after, run.learnt)


def main(folder: str | None = None, seeds: int = 2, patient: bool = False) -> None:
    found = [learn(seed, patient) for seed in range(seeds)]
    print(f"{len(SAMPLES)} samples; right after 0, {PER_LETTER}, {2 * PER_LETTER} ... presentations of each letter")
    for seed, each in enumerate(found):
        print(f"seed {seed}:  " + "  ".join(f"{n:2d}" for n in each.curve))
    done = [len(each.curve) - 1 for each in found if each.curve[-1] == len(SAMPLES)]
    most = f", within {PER_LETTER * max(done)} presentations of each letter" if done else ""
    print(f"all {len(SAMPLES)} right: {len(done)} of {seeds} seeds{most}")
    print("spikes of neurons z, v, n, mean over the ten samples of a letter, seed 0")
    for k, letter in enumerate(LETTERS):
        rows = slice(10 * k, 10 * k + 10)
        shown = [
            "  ".join(f"{m:4.1f}" for m in counts[rows].mean(axis=0)) for counts in (found[0].before, found[0].after)
        ]
        print(f"  {letter}:  {shown[0]}   learnt  {shown[1]}")
    if folder:
        draw(found, Path(folder))


def draw(found: list[Learnt], folder: Path) -> None:
    """Offsets and responses of seed 0, and what all seeds got right."""
    from matplotlib.figure import Figure

    first, names = found[0], list(LETTERS)
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(3, 3, gridspec_kw={"width_ratios": [1, 1.2, 1.2]})
    bound = max(abs(v) for v in first.offsets.values()) * 1e3
    for row, name in enumerate(names):
        leaves = [1e3 * first.offsets[f"{name}/{b}/{k}.phi_offset"] for b in range(3) for k in range(3)]
        image = axes[row, 0].imshow(np.reshape(leaves, (3, 3)), cmap="RdBu_r", vmin=-bound, vmax=bound)
        for k, pixel in enumerate(LETTERS[name].replace("/", "")):
            axes[row, 0].text(k % 3, k // 3, "on" if pixel == "1" else "", ha="center", va="center", color="white")
        axes[row, 0].set(xticks=[], yticks=[], ylabel=f"neuron {name}")
        for column, counts in ((1, first.before), (2, first.after)):
            ax = axes[row, column]
            ax.bar(np.arange(30), counts[:, row], color=[f"C{k // 10}" for k in range(30)])
            ax.axhline(TARGET, color="grey", linewidth=0.8, linestyle=":")
            ax.set(ylim=(0, max(first.before.max(), first.after.max()) + 1), xticks=[4.5, 14.5, 24.5])
            ax.set_xticklabels(names)
            ax.set_xlabel("ten samples of each letter" if row == 2 else "")
            if column == 1:
                ax.set_ylabel("spikes")
    axes[0, 0].set_title("offsets of the leaves, learnt")
    axes[0, 1].set_title("responses before")
    axes[0, 2].set_title("responses after; dotted: wanted")
    figure.colorbar(image, ax=axes[:, 0], location="left", label="mPhi0", shrink=0.6)
    se.plotting.save(figure, folder / "letters.png", overwrite=True)

    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = figure.subplots()
    for seed, each in enumerate(found):
        x = PER_LETTER * np.arange(len(each.curve))
        ax.plot(x, each.curve, marker="o", markersize=4, linewidth=1.2, alpha=0.7, label=f"seed {seed}")
    ax.axhline(30, color="grey", linewidth=0.8, linestyle=":")
    ax.set(xlabel="presentations of each letter", ylabel="samples right, of 30", ylim=(-1, 31.5))
    ax.legend(ncols=2, frameon=False)
    se.plotting.save(figure, folder / "accuracy.png", overwrite=True)
    print(f"drawn to {folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Learn three letters by the arbor rule.")
    parser.add_argument("folder", nargs="?", help="where pictures go")
    parser.add_argument("--seeds", type=int, default=2, help="how many networks learn")
    parser.add_argument("--patient", action="store_true", help="go on after all samples are right")
    given = parser.parse_args()
    main(given.folder, given.seeds, given.patient)
