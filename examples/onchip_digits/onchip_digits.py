"""Digits learnt on the chip itself: hidden spiking neurons, a local eligibility at every synapse, and errors through random feedback.

    python examples/onchip_digits/onchip_digits.py [picture.png] [--full] [--seeds N]

Every pixel of a digit (8 x 8, scikit-learn's scans) sends up to two photons within 20 ns to the hidden neurons that see it (24 pixels
each). Their light falls on ten output neurons, whose currents after 60 ns are the answer. No gradient is computed anywhere. Each synapse
changes its own weight by what it knows:

* Readout, at the outputs: the trace of its photons times the error of its neuron, target minus softmax of the currents.
* Eprop, at the hidden neurons (features.md 3.2, 3.3): every photon adds psi(s - threshold) to the synapse's eligibility, with s the soma's
  current and psi a triangle, the pseudo-derivative of a spike. The error of a hidden neuron is a sum of the ten output errors with fixed
  random factors (random feedback, Lillicrap et al., Nature Communications 7:13276 (2016)).

What comes from outside is one number for every neuron at the end of a digit. Each weight is one of 401 levels of a storage loop
(physics.md 7.1) from -w to w, with the sum of changes kept beside it; the weights of a neuron share a norm. Digits follow one another every
100 ns on a chip that is never reset. Hidden weights that do not learn stand beside it, and a linear classifier on the pixels.

``--full``: ten seeds, and for each also 8 and 4 bits, symmetric feedback (the output weights of the moment, which a chip would
have to bring back), hidden weights that do not learn, and the same network trained by back-propagation in its twin.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import soen_event as se
from soen_event.physics.elementary import exp
from training.encoders import encode

PERIOD, READ, STEP, STEPS, FAN_IN = 100.0, 60.0, 1.0, 60, 24
THRESHOLD, SHARP = 0.15, 15.0


@dataclass(frozen=True)
class Readout(se.Rule):
    """At an error: lr times error times the trace of the synapse's photons, which decays with ``tau`` (ns)."""

    lr: float = 0.005
    tau: float = 30.0
    requires = frozenset({"pre", "per-neuron"})
    variables = {"x": "tau"}
    signals = ("error",)

    @staticmethod
    def on_detection(site, p):
        site.x += 1.0

    @staticmethod
    def on_error(site, p):
        site.change += p.lr * site.signal * site.x
        site.x = 0.0


@dataclass(frozen=True)
class Eprop(se.Rule):
    """At an error: lr times error times the sum over photons of max(0, 1 - |s - threshold|/width), with s the soma's current (I_c)."""

    lr: float = 0.008
    threshold: float = THRESHOLD
    width: float = 0.4
    requires = frozenset({"pre", "post current", "per-neuron"})
    variables = {"e": None}
    signals = ("error",)

    @staticmethod
    def on_detection(site, p):
        site.e += max(0.0, 1.0 - abs(site.post_current - p.threshold) / p.width)

    @staticmethod
    def on_error(site, p):
        site.change += p.lr * site.signal * site.e
        site.e = 0.0


@dataclass(frozen=True)
class Meter(se.Rule):
    """Learns nothing: notes its soma's current when it is told to."""

    requires = frozenset({"post current", "broadcast"})
    variables = {"seen": None}
    signals = ("read",)

    @staticmethod
    def on_read(site, p):
        site.seen = site.post_current


@dataclass(frozen=True)
class Size:
    """How much of everything, and how it learns.

    Args:
        hidden, epochs: neurons, and how often every training digit is shown.
        feedback: "random", "symmetric", or "none": the hidden weights stay what they are.
        levels: of a weight's memory. rounding: "hidden" or "stochastic" (:class:`soen_event.Storage`).
        lr, readout_lr: of the two rules in the first epoch; from there they fall evenly, to zero after the last.
    """

    hidden: int = 60
    epochs: int = 3
    feedback: str = "random"
    levels: int = 401
    rounding: str = "hidden"
    lr: float = 0.008
    readout_lr: float = 0.005


SIZE = Size()


def network(hidden: int, seed: int = 0) -> se.Network:
    """Hidden neurons with 24 pixels each, ten outputs that see all hidden ones; random weights of either sign."""
    rng = np.random.default_rng(seed)
    with se.Network(name="on-chip digits") as net:
        for h in range(hidden):
            soma = se.Soma(ib=1.75, beta_over_2pi=300, tau=20.0, threshold=THRESHOLD, t_ref=3.0, phi_offset=0.2)
            se.Neuron(f"h{h:03d}", soma=soma, transmitter=se.Transmitter(latency=1.0))
            for pixel in sorted(rng.choice(64, FAN_IN, replace=False).tolist()):
                weight = float(rng.normal(0.0, 0.08))
                se.Synapse(f"p{pixel:02d}.h{h:03d}", f"h{h:03d}", weight=weight, tau_fall=15.0)
        for o in range(10):  # they reach 0.69 I_c hardly ever: their currents are read, not their spikes
            se.Neuron(f"o{o}", soma=se.Soma(ib=1.75, beta_over_2pi=300, tau=40.0, threshold=0.69, phi_offset=0.2))
            for h in range(hidden):
                se.Synapse(f"h{h:03d}.o{o}", f"o{o}", weight=float(rng.normal(0.0, 0.03)), tau_fall=20.0)
                se.Waveguide(f"h{h:03d}", f"h{h:03d}.o{o}", delay=0.1)
    return net


def light(images: np.ndarray) -> np.ndarray:
    """(n, 60, 64): a pixel of brightness v (0 to 1) sends round(2 v) photons, evenly over the first 20 of 60 steps of 1 ns."""
    return encode(images, "photons", STEPS, most=2, window=20.0 / STEPS)


def softmax(currents: np.ndarray) -> np.ndarray:
    """Of 15 times the currents, with the engine's exponential: the same bits on every machine."""
    e = np.array([exp(SHARP * float(s - currents.max())) for s in currents])
    return e / sum(e.tolist())


class Chip:
    """The network in the engine, with its rules; digits are shown to it one after the other."""

    def __init__(self, size: Size, seed: int, net: se.Network | None = None):
        self.size, self.rng, self.now = size, np.random.default_rng((seed, 1)), 0.0
        self.hidden = [f"h{h:03d}" for h in range(size.hidden)]
        self.outputs = [f"o{o}" for o in range(10)]
        self.feedback = self.rng.normal(0.0, 1.0, (10, size.hidden))
        made = {"levels": size.levels, "rounding": size.rounding}
        learning = [
            Readout(lr=size.readout_lr).on(synapses="h*.o*", storage=se.Storage(-0.3, 0.3, **made), max_norm=0.8),
            Meter().on(loops=self.outputs),
        ]
        if size.feedback != "none":
            weights = se.Storage(-0.6, 0.6, **made)
            learning.append(Eprop(lr=size.lr).on(synapses="p*.h*", storage=weights, max_norm=1.0))
        net = network(size.hidden, seed) if net is None else net
        self.run = se.Simulation(net, resolution="flow", tol=1e-2, seed=seed, learning=learning)

    def show(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Digits (n, 64); answers (n,). With labels (n,) the chip is told its errors, digit by digit."""
        self.run.inject(self._photons(images))
        answers = np.zeros(len(images), dtype=np.int64)
        for k in range(len(images)):
            self.run.run(self.now + READ)
            currents = self._read()
            answers[k] = currents.argmax()
            if labels is not None:
                error = -softmax(currents)
                error[labels[k]] += 1.0
                self.run.signal("error", self._errors(error))
            self.now += PERIOD
        return answers

    def learn(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Which answers were right while the digits were learnt, (epochs, n)."""
        right = []
        for epoch in range(self.size.epochs):
            for name in {"Readout", "Eprop"} & set(self.run.plan.learning.names):
                self.run.set_rule(name, rate=1.0 - epoch / self.size.epochs)
            order = self.rng.permutation(len(labels))
            right.append(self.show(images[order], labels[order]) == labels[order])
        return np.array(right)

    def fields(self) -> np.ndarray:
        """Weights of the hidden neurons, (hidden, 64); nan where a pixel is not seen."""
        out = np.full((self.size.hidden, 64), np.nan)
        for name, weight in self.run.learnt.items():
            if name.startswith("p"):
                out[int(name[5:8]), int(name[1:3])] = weight
        return out

    def _photons(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Photon times by synapse."""
        digit, step, pixel = np.nonzero(light(images))
        t = self.now + digit * PERIOD + step * STEP
        times = [t[pixel == p] for p in range(64)]
        return {name: times[int(name[1:3])] for name in self.run.network.synapses if name.startswith("p")}

    def _read(self) -> np.ndarray:
        """Currents of the outputs now, I_c."""
        self.run.signal("read")
        return np.array([self.run.site(f"{name}.soma.phi_offset")["seen"] for name in self.outputs])

    def _errors(self, error: np.ndarray) -> dict[str, float]:
        """The error of every neuron, from those of the outputs."""
        told = dict(zip(self.outputs, error.tolist(), strict=True))
        if self.size.feedback == "none":
            return told
        back = self.feedback
        if self.size.feedback == "symmetric":
            learnt = self.run.learnt
            back = 10.0 * np.array([[learnt[f"{h}.{o}"] for h in self.hidden] for o in self.outputs])
        told.update(
            zip(self.hidden, sum(e * row for e, row in zip(error.tolist(), back, strict=True)).tolist(), strict=True)
        )
        return told


def backpropagated(size: Size, seed: int, images: np.ndarray, labels: np.ndarray, epochs: int = 6) -> se.Network:
    """The same network with weights from back-propagation through time in its twin, steps of 1 ns."""
    from training.loop import Trainer
    from training.optim import AdamW
    from training.twin import Twin

    net = network(size.hidden, seed)
    channels = {f"p{p:02d}": [s for s in net.synapses if s.startswith(f"p{p:02d}.")] for p in range(64)}
    twin = Twin(net, STEP, channels, [f"o{o}" for o in range(10)], pooling="last", scale=SHARP, width=0.1)
    trainer = Trainer(
        twin, AdamW(lr=3e-3), {"name": "cosine", "lr": 3e-3, "T_max": epochs}, loss="cross_entropy", seed=seed
    )
    trainer.fit((light(images).astype(np.float32), labels), epochs=epochs)
    return twin.deploy()


def interval(values: list[float]) -> str:
    """Mean and Student's 95 % interval of the mean."""
    from scipy import stats

    if len(values) < 2:
        return f"{values[0]:5.1f} %"
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):5.1f} % +- {half:.1f} (95 % interval of the mean of {len(values)} seeds)"


def over_seeds(seeds: int, images: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> None:
    """Other weights at the start, other feedback and other orders of the digits, and what else could be done with the same network."""
    variants = {
        "random feedback, 401 levels": SIZE,
        "symmetric feedback": replace(SIZE, feedback="symmetric", lr=0.5 * SIZE.lr),
        "hidden weights do not learn": replace(SIZE, feedback="none"),
        "8 bits, stochastic rounding": replace(SIZE, levels=256, rounding="stochastic"),
        "4 bits, hidden sums": replace(SIZE, levels=16),
    }
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        for name, size in variants.items():
            begin = time.process_time()
            chip = Chip(size, seed)
            chip.learn(images[train], labels[train])
            found.setdefault(name, []).append(100 * float(np.mean(chip.show(images[test]) == labels[test])))
            print(
                f"seed {seed}: {name}: {found[name][-1]:.1f} %, {time.process_time() - begin:.0f} s of CPU", flush=True
            )
        net = backpropagated(SIZE, seed, images[train], labels[train])
        back = Chip(replace(SIZE, feedback="none"), seed, net).show(images[test])
        name = "back-propagation in the twin, 401 levels in the engine"
        found.setdefault(name, []).append(100 * float(np.mean(back == labels[test])))
        print(f"seed {seed}: {name}: {found[name][-1]:.1f} %", flush=True)
    for name, values in found.items():
        print(f"{name:<56}{interval(values)}")


def main(picture: str | None = None, full: bool = False, seeds: int = 10) -> None:
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    linear = LogisticRegression(max_iter=2000).fit(images[train], labels[train])
    print(
        f"linear classifier on the pixels: {100 * linear.score(images[test], labels[test]):.1f} % of {len(test)} new digits"
    )
    if full:
        over_seeds(seeds, images, labels, train, test)
        return
    begin = time.process_time()
    chip = Chip(SIZE, 0)
    fields = [chip.fields()]
    right = chip.learn(images[train], labels[train])
    rec = chip.run.recording()
    written = len(rec.table("writes")["site"])
    answers = chip.show(images[test])
    fields.append(chip.fields())
    print(
        f"{SIZE.hidden} hidden neurons and 10 outputs, {SIZE.hidden * (FAN_IN + 10)} synapses that learn in {SIZE.levels} levels; "
        f"{len(train)} digits shown {SIZE.epochs} times, one every {PERIOD:.0f} ns"
    )
    shown = right.size
    counts = rec.event_counts
    print(
        f"of a digit: {counts['photons'] / shown:.0f} photons, {counts['spikes'] / shown:.0f} spikes, "
        f"{counts['events'] / shown:.0f} events, {written / shown:.0f} weights written"
    )
    told = ", ".join(f"{100 * share:.1f} %" for share in right.mean(axis=1))
    print(f"right while learning, by epoch:  {told}")
    print(f"read after learning:             {100 * np.mean(answers == labels[test]):.1f} % of {len(test)} new digits")
    print(f"{time.process_time() - begin:.0f} s of CPU", file=sys.stderr)
    if picture:
        draw(right.ravel(), fields, answers, labels[test], picture)


def draw(right: np.ndarray, fields: list[np.ndarray], answers: np.ndarray, labels: np.ndarray, picture: str) -> None:
    """How many of the last digits were right while they were learnt, what the first hidden neurons see, and what is taken for what."""
    from matplotlib.figure import Figure
    from sklearn.metrics import confusion_matrix

    figure = Figure(figsize=(14, 4.4), layout="constrained")
    left, middle, last = figure.subfigures(1, 3, width_ratios=(1.0, 0.95, 1.05))
    ax = left.subplots()
    course = np.convolve(right, np.full(200, 1 / 200), mode="valid")
    ax.plot(np.arange(200, len(right) + 1) * PERIOD * 1e-3, 100 * course)
    ax.set(xlabel="time (us)", ylabel="right of the last 200 digits (%)", ylim=(0, 100), title="learning")
    ax.grid(alpha=0.3)
    axes = middle.subplots(6, 6)
    most = max(float(np.nanmax(np.abs(each))) for each in fields)
    for k, pair in enumerate(axes.reshape(6, 3, 2).reshape(18, 2)):
        for ax, each in zip(pair, fields, strict=True):
            ax.set(xticks=[], yticks=[])
            ax.imshow(each[k].reshape(8, 8), cmap="RdBu_r", vmin=-most, vmax=most)
    middle.suptitle("weights of 18 hidden neurons, before | after", fontsize=10)
    se.plotting.confusion(confusion_matrix(labels, answers), [str(k) for k in range(10)], ax=last.subplots())
    se.plotting.save(figure, picture, overwrite=True)
    print(f"drawn to {picture}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Digits learnt on the chip itself.")
    parser.add_argument("picture", nargs="?", help="file for the picture")
    parser.add_argument("--full", action="store_true", help="several seeds and what to compare them with, for hours")
    parser.add_argument("--seeds", type=int, default=10, help="with --full: how many")
    options = parser.parse_args()
    main(options.picture, options.full, options.seeds)
