"""Digits sorted by a chip that nobody tells what they are: spike-timing plasticity, lateral inhibition, homeostasis.

    python examples/unsupervised_digits/unsupervised_digits.py [picture.png] [--full] [--seeds N]

Every pixel of a digit (8 x 8, scikit-learn's scans) sends one photon to every neuron, the sooner the brighter it is. A neuron is one
loop that sums the flux of its 64 detectors; the first to spike lights a detector with a negative weight on each of the others, and for this
digit they are still (Diehl and Cook, Front. Comput. Neurosci. 9:99 (2015), have the same three parts). Two local rules run on the chip:

* Imprint, at the synapses: when the neuron spikes, weights whose photon has come grow towards 1, all others fall towards 0. The weights
  of a neuron share a norm (``max_norm``), and each is one of 401 levels of a storage loop.
* Fatigue, at the somas: a spike lowers the neuron's flux offset, the end of every digit raises it a little, so that all get their turn.

Then both rules are switched off and the training digits are shown once more. Only now labels are used: they say how often each neuron
fires for which digit, and what it fires for is its vote on new digits. A network of the same kind on which Fatigue alone was at work, so
that its weights are random, stands beside it. The digits follow one another every 600 ns on a chip that is never reset.

The first spike wins by what it is ahead of the others' light: latency and delay of 0.15 ns, within the 30 ns or so in which the photons of
a digit decide. Slower transmitters (physics.md 4.3 has 5.6 ns) need digits that are as much slower, or several neurons win.

``--full``: ten seeds, with k-means of as many clusters beside it, and a network of 100 neurons.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import soen_event as se

Split = tuple[np.ndarray, np.ndarray]
PERIOD, WINDOW, JITTER, LEAST = 600.0, 100.0, 5.0, 0.2


@dataclass(frozen=True)
class Imprint(se.Rule):
    """At a spike of its neuron a weight moves by ``lr`` of its distance from 1 if a photon has come with this digit, else from 0."""

    lr: float = 0.2
    requires = frozenset({"pre", "post", "weight", "broadcast"})
    variables = {"x": None}
    signals = ("end",)

    @staticmethod
    def on_detection(site, p):
        site.x = 1.0

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * (site.x - site.weight)

    @staticmethod
    def on_end(site, p):
        site.x = 0.0


@dataclass(frozen=True)
class Fatigue(se.Rule):
    """A spike lowers the offset (Phi0), the end of a digit raises it: in balance a neuron fires ``up / down`` times a digit."""

    down: float = 0.015
    up: float = 0.00033
    requires = frozenset({"post", "broadcast"})
    signals = ("end",)

    @staticmethod
    def on_spike(site, p):
        site.change -= p.down

    @staticmethod
    def on_end(site, p):
        site.change += p.up


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Args:
        neurons, epochs: how many; an epoch shows every training digit once.
        lr: of Imprint, in the first epoch; in epoch k it is 1/(1 + k) of it. down: of Fatigue, likewise.
        winners: that Fatigue aims at, for each digit.
    """

    neurons: int = 50
    epochs: int = 3
    lr: float = 0.2
    down: float = 0.015
    winners: float = 1.1


SIZE, LARGE = Size(), Size(neurons=100)


def network(neurons: int, seed: int = 0) -> se.Network:
    """Neurons that see 64 pixels with random weights, and one inhibiting detector each that the light of all others reaches."""
    rng = np.random.default_rng(seed)
    names = [f"n{k:03d}" for k in range(neurons)]
    with se.Network(name="unsupervised digits") as net:
        for name in names:
            soma = se.Soma(ib=1.75, beta_over_2pi=400, tau=30.0, threshold=0.3, t_ref=420.0, phi_offset=0.05)
            se.Neuron(name, soma=soma, transmitter=se.Transmitter(latency=0.1))
            for pixel, weight in enumerate(rng.uniform(0.0, 0.6, 64)):
                se.Synapse(f"p{pixel:02d}.{name}", name, weight=float(weight), phi_peak=0.03, tau_fall=200.0)
            se.Synapse(f"inhibit.{name}", name, weight=-1.0, phi_peak=0.3, tau_fall=200.0)
        for name in names:
            for other in names:
                if other != name:
                    se.Waveguide(name, f"inhibit.{other}", delay=0.05)
    return net


class Chip:
    """The network in the engine, with its rules; digits are shown to it one after the other."""

    def __init__(self, size: Size, seed: int, net: se.Network | None = None):
        self.size, self.rng, self.now = size, np.random.default_rng((seed, 1)), 0.0
        weights = se.Storage(0.0, 1.0, levels=401)
        learning = [
            Imprint(lr=size.lr).on(synapses="p*", storage=weights, max_norm=3.0),
            Fatigue(down=size.down, up=size.winners * size.down / size.neurons).on(
                loops="n*", storage=se.Storage(-0.3, 0.25)
            ),
        ]
        net = network(size.neurons, seed) if net is None else net
        self.run = se.Simulation(net, resolution="flow", tol=1e-3, learning=learning)

    def learn(self, imprint: float, fatigue: float) -> None:
        """From now on the rules change what they change times this."""
        self.run.set_rule("Imprint", rate=imprint)
        self.run.set_rule("Fatigue", rate=fatigue)

    def show(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Digits (n, 64); how often each neuron fired for each, (n, neurons), and when the spikes came after the start of theirs, ns."""
        start = self.now
        self.run.inject(self._light(images))
        for _ in images:
            self.now += PERIOD
            self.run.run(self.now)
            self.run.signal("end")
        table = self.run.recording().table("spikes")
        t, neuron = table["time_fs"] * 1e-6, table["neuron"]
        t, neuron = t[t > start] - start, neuron[t > start]
        counts = np.zeros((len(images), self.size.neurons))
        np.add.at(counts, (np.minimum((t // PERIOD).astype(int), len(images) - 1), neuron), 1.0)
        return counts, t % PERIOD

    def _light(self, images: np.ndarray) -> dict[str, list[float]]:
        """Photon times by synapse: a pixel of brightness v >= 0.2 sends one, 100 (1 - v) ns after the start and up to 5 ns later."""
        times: list[list[float]] = [[] for _ in range(64)]
        for k, image in enumerate(images):
            late = self.rng.uniform(0.0, JITTER, 64)
            for pixel in np.flatnonzero(image >= LEAST).tolist():
                times[pixel].append(self.now + k * PERIOD + 1.0 + WINDOW * (1.0 - image[pixel]) + late[pixel])
        return {name: times[int(name[1:3])] for name in self.run.network.synapses if name.startswith("p")}

    def fields(self) -> np.ndarray:
        """Weights, (neurons, 64)."""
        learnt = self.run.learnt
        return np.array([[learnt[f"p{pixel:02d}.n{k:03d}"] for pixel in range(64)] for k in range(self.size.neurons)])


def votes(counts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For which digit each neuron fires, (neurons, 10): shares of its mean spikes."""
    mean = np.stack([counts[labels == c].sum(axis=0) / max(1, np.sum(labels == c)) for c in range(10)], axis=1)
    return mean / np.maximum(mean.sum(axis=1, keepdims=True), 1e-9)


def answers(counts: np.ndarray, vote: np.ndarray) -> np.ndarray:
    """The digit that most of the votes are for; -1 where no neuron fired."""
    told = (counts[:, :, None] * vote).sum(axis=1)
    return np.where(counts.sum(axis=1) > 0, told.argmax(axis=1), -1)


@dataclass(frozen=True)
class Result:
    """What was answered to new digits, with which fields and votes; spikes for each of them, and when they came (ns)."""

    answers: np.ndarray
    fields: np.ndarray
    vote: np.ndarray
    spikes: float
    when: np.ndarray
    chip: Chip


def study(size: Size, seed: int, images: np.ndarray, labels: np.ndarray, split: Split, imprint: float = 1.0) -> Result:
    """Learn and read. ``imprint``: factor on the changes of Imprint; 0: only Fatigue is at work, for one epoch."""
    train, test = split
    chip = Chip(size, seed)
    for epoch in range(size.epochs if imprint else 1):
        slower = 1.0 / (1.0 + epoch)
        chip.learn(imprint * slower, slower)
        chip.show(images[chip.rng.permutation(train)])
    chip.learn(0.0, 0.0)
    vote = votes(chip.show(images[train])[0], labels[train])
    counts, when = chip.show(images[test])
    return Result(answers(counts, vote), chip.fields(), vote, float(counts.sum(axis=1).mean()), when, chip)


def main(picture: str | None = None, full: bool = False, seeds: int = 10) -> None:
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    split = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    right = labels[split[1]]
    size = SIZE
    begin = time.process_time()
    first = study(size, 0, images, labels, split)
    counts = first.chip.run.recording().event_counts
    print(
        f"{size.neurons} neurons, {64 * size.neurons} synapses that learn in 401 levels; {len(split[0])} digits shown "
        f"{size.epochs} times, one every {PERIOD:.0f} ns"
    )
    print(f"{counts['photons']} photons, {counts['spikes']} spikes, {counts['events']} events")
    print(f"a new digit: {first.spikes:.2f} spikes, half of them within {np.median(first.when):.0f} ns")
    print(f"seed 0 took {time.process_time() - begin:.0f} s of CPU", file=sys.stderr)
    some = split[0][:400], split[1]  # enough for what does not learn
    random = study(size, 0, images, labels, some, imprint=0.0)
    print(f"read with random weights: {100 * np.mean(random.answers == right):5.1f} % of {len(right)} new digits")
    print(f"read with what it learnt: {100 * np.mean(first.answers == right):5.1f} %")
    if full:
        over_seeds(size, seeds, images, labels, split, first)
        large = study(LARGE, 0, images, labels, split)
        print(
            f"{LARGE.neurons} neurons, {LARGE.epochs} epochs, one seed: {100 * np.mean(large.answers == right):.1f} %"
        )
    if picture:
        draw(first, right, picture)


def over_seeds(size: Size, seeds: int, images: np.ndarray, labels: np.ndarray, split: Split, first: Result) -> None:
    """Other seeds: other weights at the start, other orders of the digits. Student's interval of their mean."""
    from scipy import stats
    from sklearn.cluster import KMeans

    train, test = split
    shares, clusters = [], []
    for seed in range(seeds):
        result = first if seed == 0 else study(size, seed, images, labels, split)
        shares.append(100 * np.mean(result.answers == labels[test]))
        made = KMeans(size.neurons, n_init=1, random_state=seed).fit(images[train])
        vote = votes(np.eye(size.neurons)[made.labels_], labels[train])
        clusters.append(100 * np.mean(vote.argmax(axis=1)[made.predict(images[test])] == labels[test]))
        print(f"seed {seed}: {shares[-1]:.1f} %, k-means {clusters[-1]:.1f} %", flush=True)
    for what, found in (("chip", shares), ("k-means", clusters)):
        half = stats.t.ppf(0.975, len(found) - 1) * np.std(found, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0
        print(f"{what}: {np.mean(found):.1f} % +- {half:.1f} (95 % interval of the mean of {len(found)} seeds)")


def draw(result: Result, right: np.ndarray, picture: str) -> None:
    """What every neuron has become: its weights, by the digit that it votes for; and what is taken for what."""
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    mine = result.vote.argmax(axis=1)
    order = np.lexsort((-result.vote.max(axis=1), mine))
    columns = 10
    rows = -(-len(order) // columns)
    figure = Figure(figsize=(12.5, max(4.2, 0.72 * rows)), layout="constrained")
    left, middle = figure.subfigures(1, 2, width_ratios=(1.35, 1.0))
    for place, ax in enumerate(left.subplots(rows, columns).ravel()):
        ax.set(xticks=[], yticks=[])
        if place >= len(order):
            ax.axis("off")
            continue
        k = order[place]
        ax.imshow(result.fields[k].reshape(8, 8), cmap="Greys", vmin=0.0, vmax=1.0)
        ax.set_title(f"{mine[k]}", fontsize=8, pad=1.5, color=f"C{mine[k]}")
    left.suptitle("weights of every neuron, and the digit it votes for", fontsize=10)
    ax = middle.subplots()
    known = result.answers >= 0
    matrix = confusion_matrix(right[known], result.answers[known], labels=range(10))
    title = f"{100 * np.mean(result.answers == right):.1f} % right of {len(right)}, {np.sum(~known)} without an answer"
    se.plotting.confusion(matrix, [str(k) for k in range(10)], ax=ax, title=title)
    se.plotting.save(figure, picture, overwrite=True)
    print(f"drawn to {picture}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Digits sorted by a chip that nobody tells what they are.")
    parser.add_argument("picture", nargs="?", help="file for the picture")
    parser.add_argument("--full", action="store_true", help="several seeds, and 100 neurons, in many minutes")
    parser.add_argument("--seeds", type=int, default=10, help="with --full: how many")
    options = parser.parse_args()
    main(options.picture, options.full, options.seeds)
