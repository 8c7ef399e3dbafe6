"""Digits learnt in the twin, read by the event engine, on perfect and on imperfect chips (features.md S0.19, S0.04, S0.C3).

    python examples/train_digits/train_digits.py [folder for the pictures] [--quick]

The 64 pixels of a digit (scikit-learn's scans) send up to six photons each in 36 ns. A hundred dendrites see all pixels; ten more, a
digit each, see the currents of the hundred. Weights, couplings and offsets are trained by back-propagation through the time steps of the
twin (1 ns); the answer is the dendrite with the largest mean current in 48 ns. A linear classifier on the pixels stands beside it.

The training knows what chips are like. Every batch is seen by a chip of its own, whose biases, decay times, offsets, weights and
couplings are off by what 3 % of every junction, inductor, transformer and resistor and 1 % of every bias make of them; half of the digits
are moved by a pixel. Then the network is *hardened*: for some more epochs forward and backward passes see weights and couplings of
4 bits, and the gradient moves the exact ones underneath.

Both networks are run in the engine, photon by photon. Then chips are made of them: 4 bits, then the spread. Nothing is adjusted on a
chip afterwards. ``--quick`` does all of it with few of everything, in seconds; its numbers mean little.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

import soen_event as se
from hardware.quantize import Levels, quantize
from hardware.spread import Spread, spread
from training.address import stream
from training.encoders import encode as encoded
from training.hardening import QATStraightThrough
from training.loop import Trainer
from training.optim import AdamW
from training.transfer import compare, play
from training.twin import Twin

HIDDEN, STEPS, IB = 100, 48, 1.75
LEVELS = {"weights": Levels.bits(4, -0.35, 0.35), "J": Levels.bits(4, -0.4, 0.4)}
SPREAD = Spread.only(
    critical_current=0.03, bias=0.01, inductance=0.03, mutual=0.03, resistance=0.03, efficiency=0.0, detection=1.0
)


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Args:
        hidden: dendrites that see the pixels.
        train, test: digits; None: all of them, 1257 and 540.
        epochs, harden: epochs of training, and of hardening after it.
        chips: how many are made of a network.
        some: digits that the engine reads on each chip.
        fluxons, fluxons_of_chip: digits that it reads with every fluxon an event, which takes long on a chip.
    """

    hidden: int = HIDDEN
    train: int | None = None
    epochs: int = 80
    harden: int = 24
    test: int | None = None
    chips: int = 8
    some: int = 200
    fluxons: int = 50
    fluxons_of_chip: int = 5


QUICK = Size(hidden=32, train=800, epochs=15, harden=5, test=40, chips=2, some=20, fluxons=10, fluxons_of_chip=2)


def network(hidden: int = HIDDEN, seed: int = 0) -> se.Network:
    """64 channels on so many dendrites on 10; random weights and couplings of either sign."""
    rng = np.random.default_rng(seed)
    with se.Network(name="trained digits") as net:
        for h in range(hidden):
            se.Dendrite(f"h{h}", ib=IB, beta_over_2pi=300, tau=40.0, phi_offset=0.2)
            for p in range(64):
                se.Synapse(f"p{p}.h{h}", f"h{h}", weight=float(rng.normal(0.0, 0.06)), tau_fall=20.0)
        for o in range(10):
            se.Dendrite(f"o{o}", ib=IB, beta_over_2pi=300, tau=40.0, phi_offset=0.24)
            for h in range(hidden):
                se.Coupling(f"h{h}", f"o{o}", J=float(rng.normal(0.0, 0.6 / np.sqrt(hidden))))
    return net


def encode(images: np.ndarray) -> np.ndarray:
    """(n, steps, 64): a pixel of brightness v (0 to 1) sends round(6 v) photons, evenly over three quarters of the steps."""
    return encoded(images, "photons", STEPS, most=6, window=0.75).astype(np.float32)


def twin_of(net: se.Network, dt: float = 1.0) -> Twin:
    """The twin that is trained: the answer is the output with the largest mean current."""
    hidden = len(net.dendrites) - 10
    return Twin(
        net,
        dt=dt,
        channels={f"p{p}": [f"p{p}.h{h}" for h in range(hidden)] for p in range(64)},
        outputs=[f"o{o}" for o in range(10)],
        readout="current",
        pooling="mean",
        scale=10.0,
        trainable=("weights", "J", "phi_offset"),
    )


def deviations(how: Spread) -> dict[str, float]:
    """What a chip's arrays are off by (:mod:`hardware.spread`), as ``Twin.perturb`` takes it: standard deviations.

    A SQUID has two junctions: their mean moves bias and couplings, their half difference the flux, by 0.53 Phi0 of it. A synapse's weight
    stands for the area of its pulse, so its detector's bias, inductor and resistor count with it.
    """
    junction = how.critical_current / np.sqrt(2.0)
    decay = float(np.hypot(how.inductance, how.resistance))
    return {
        "weights": float(np.sqrt(how.mutual**2 + how.bias**2 + decay**2)),
        "J": float(np.hypot(how.mutual, junction)),
        "phi_offset": float(0.53 * junction),
        "ib": float(IB * np.hypot(how.bias, junction)),
        "tau": decay,
    }


class Shown:
    """Batches of digits as light, in a new order every epoch; half of them are moved by up to a pixel either way."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, seed: int, size: int = 32):
        self.images, self.labels, self.seed, self.size, self.epoch = images, labels, seed, size, 0

    def __len__(self) -> int:
        return -(-len(self.labels) // self.size)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = stream(self.seed, "shown", self.epoch)
        order = rng.permutation(len(self.labels))
        for first in range(0, len(order), self.size):
            chosen = order[first : first + self.size]
            yield encode(moved(self.images[chosen], rng)), self.labels[chosen]


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the images, each shifted by -1, 0 or 1 pixels down and to the right; darkness comes in."""
    wide = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    steps = rng.integers(-1, 2, (len(images), 2)) * (rng.random(len(images)) < 0.5)[:, None]
    return np.stack([one[1 + i : 9 + i, 1 + j : 9 + j] for one, (i, j) in zip(wide, steps, strict=True)]).reshape(
        -1, 64
    )


def learn(twin: Twin, images: np.ndarray, labels: np.ndarray, val: tuple | None, epochs: int, lr: float = 3e-3) -> list:
    """Train the twin on chips that differ from batch to batch; the metrics of every epoch."""
    return _fit(twin, images, labels, val, epochs, lr, [], 0)


def harden(twin: Twin, images: np.ndarray, labels: np.ndarray, val: tuple | None, epochs: int) -> list:
    """Train on with weights and couplings on their levels, so that they can be put there in the end."""
    callbacks = [QATStraightThrough(levels=levels, connections=name) for name, levels in LEVELS.items()]
    return _fit(twin, images, labels, val, epochs, 1e-3, callbacks, 1)


def _fit(
    twin: Twin,
    images: np.ndarray,
    labels: np.ndarray,
    val: tuple | None,
    epochs: int,
    lr: float,
    callbacks: list,
    seed: int,
) -> list:
    twin.perturb = deviations(SPREAD)
    trainer = Trainer(
        twin,
        AdamW(lr=lr, weight_decay=0.02, groups=[{"match": "J", "lr_scale": 3.0}]),
        {"name": "cosine", "lr": lr, "T_max": epochs, "eta_min": 1e-5},
        ["accuracy"],
        callbacks,
        loss="cross_entropy",
        seed=seed,
    )
    trainer.fit(Shown(images, labels, seed), val, epochs=epochs)
    return trainer.history


def programmed(net: se.Network) -> se.Network:
    """The network with weights and couplings of 4 bits."""
    return quantize(net, dict(LEVELS))[0]


def chip(net: se.Network, seed: int) -> se.Network:
    """One chip: 4 bits, then the spread. Its detectors decay alike, with the area of their pulses as it was drawn.

    64 decay times in a dendrite instead of one make the engine three times slower, and change the answer to two digits in a thousand.
    """
    drawn = spread(programmed(net), SPREAD, seed=seed)
    for name, part in net.synapses.items():
        made = drawn.synapses[name]
        longer = made.tau_fall / part.tau_fall
        drawn.replace(name, tau_rise=part.tau_rise, tau_fall=part.tau_fall, weight=made.weight * longer)
    return drawn


@dataclass(frozen=True)
class Row:
    """A line of the table. ``right``: of every digit, (digits,), or of every chip and digit, (chips, digits)."""

    what: str
    right: np.ndarray
    same: float | None = None

    @property
    def error(self) -> float:
        """Standard error: over chips, which are all asked the same digits; or over digits, as if two more had been asked and one read."""
        if self.right.ndim == 2:
            return float(self.right.mean(axis=1).std(ddof=1) / np.sqrt(len(self.right)))
        number = len(self.right) + 2
        share = (self.right.sum() + 1) / number
        return float(np.sqrt(share * (1.0 - share) / number))

    def __str__(self) -> str:
        chips = f"{len(self.right)} chips x " if self.right.ndim == 2 else ""
        asked = f"{chips}{self.right.shape[-1]} digits"
        same = "" if self.same is None else f"  as its twin: {100 * self.same:5.1f} %"
        return (
            f"  {self.what:<42}{100 * self.right.mean():5.1f} % +- {100 * self.error:.1f}   {asked:<20}{same}".rstrip()
        )


class Study:
    """What is measured of the two networks: rows of the table, with bars on standard error."""

    def __init__(self, size: Size, x: np.ndarray, labels: np.ndarray, bars: Progress):
        self.size, self.x, self.labels, self.bars = size, x, labels, bars
        self.chips_right: dict[str, np.ndarray] = {}

    def bar(self, name: str, total: int) -> Callable[[int, int], None]:
        """A bar, moved by the number that is done."""
        task = self.bars.add_task(name, total=total)
        return lambda done, _: self.bars.update(task, completed=done)

    def seen(self, net: se.Network) -> np.ndarray:
        """Answers of a network's twin, with the values that the network has."""
        twin = twin_of(net)
        return np.concatenate([answers(twin, self.x[k : k + 64]) for k in range(0, len(self.x), 64)])

    def by_fluxons(self, net: se.Network, name: str, digits: int) -> Row:
        """The engine with every fluxon an event."""
        some = slice(digits)
        played = play(twin_of(net), self.x[some], progress=self.bar("every fluxon", digits)).answers
        return Row(f"{name}, every fluxon", played == self.labels[some], float(np.mean(played == self.seen(net)[some])))

    def chips(self, net: se.Network, name: str, engine: bool) -> Iterator[Row]:
        """Chips of a network: by their twins, all digits; by the engine, some."""
        seen, played, same, some = [], [], [], slice(self.size.some)
        move = self.bar(f"chips, {name}", self.size.chips)
        for k in range(self.size.chips):
            made = chip(net, k)
            seen.append(self.seen(made))
            if engine:
                played.append(play(twin_of(made), self.x[some], resolution="flow", tol=1e-2).answers)
                same.append(np.mean(played[-1] == seen[-1][some]))
            move(k + 1, 0)
        self.chips_right[name] = np.array(seen) == self.labels
        yield Row("twin, chips of 4 bits, 3 % spread", self.chips_right[name])
        if engine:
            self.chips_right[f"{name}, engine"] = np.array(played) == self.labels[some]
            yield Row("engine, chips of 4 bits, 3 % spread", self.chips_right[f"{name}, engine"], float(np.mean(same)))


def answers(twin: Twin, x: np.ndarray) -> np.ndarray:
    """The largest output of every digit, of the twin as it is, without deviations."""
    found: np.ndarray = twin.forward(x).outputs.argmax(axis=1)
    return found


def main(folder: str | None = None, quick: bool = False) -> None:
    size = QUICK if quick else Size()
    images, labels = load_digits(return_X_y=True)
    images, labels = images / 16.0, labels.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    train, test = train[: size.train], test[: size.test]
    x, right = encode(images[test]), labels[test]
    begin = time.process_time()
    twin = twin_of(network(size.hidden))
    data = images[train], labels[train], (x, right)
    courses = {"trained": learn(twin, *data, size.epochs)}
    trained = twin.deploy().copy()
    courses["hardened"] = harden(twin, *data, size.harden)
    hardened = programmed(twin.deploy())
    clock("trained", begin, f" on {len(train)} digits, {size.epochs} + {size.harden} epochs")
    for name, course in courses.items():
        first, last = course[0]["loss"], course[-1]["loss"]
        print(f"{name} in {len(course)} epochs: loss {first:.3f} in the first, {last:.3f} in the last")
    linear = LogisticRegression(max_iter=2000).fit(images[train], labels[train])
    begin = time.process_time()
    with Progress(console=Console(stderr=True)) as bars:
        study = Study(size, x, right, bars)
        exact = compare(
            twin_of(trained),
            x,
            right,
            tol=1e-2,
            loops=twin.outputs,
            name="digits",
            progress=study.bar("engine", len(x)),
        )
        assert exact.answered is not None
        seen, played = exact.answered
        tables = {
            "": [Row("linear classifier on the pixels", linear.predict(images[test]) == right)],
            "trained": [
                Row("twin", seen == right),
                Row("engine", played == right, float(np.mean(seen == played))),
                study.by_fluxons(trained, "engine", size.fluxons),
                Row("twin, 4 bits", study.seen(programmed(trained)) == right),
                *study.chips(trained, "trained", engine=False),
            ],
            "hardened": [
                Row("twin, 4 bits", study.seen(hardened) == right),
                *study.chips(hardened, "hardened", engine=True),
                study.by_fluxons(chip(hardened, 0), "engine, one of the chips", size.fluxons_of_chip),
            ],
        }
    clock("measured", begin)
    for name, rows in tables.items():
        print(f"\n{name}" if name else "\nnew digits read, +- standard error over digits, or over chips")
        print(*rows, sep="\n")
    some = slice(size.some)
    exactly, on_chips = 100 * (played == right)[some].mean(), 100 * study.chips_right["hardened, engine"].mean()
    print(
        f"\nengine on the same {len(right[some])} digits: {exactly:.1f} % in full precision, {on_chips:.1f} % on the chips"
    )
    print(f"\n{exact}")
    if folder:
        draw(courses, right, played, study.chips_right, Path(folder))
        exact.plot(Path(folder) / "transfer.png", overwrite=True)


def clock(what: str, begin: float, more: str = "") -> None:
    """Say on standard error how long something took."""
    print(f"{what} in {time.process_time() - begin:.0f} s of CPU{more}", file=sys.stderr)


def draw(
    courses: dict[str, list], labels: np.ndarray, seen: np.ndarray, chips: dict[str, np.ndarray], folder: Path
) -> None:
    """The losses by epoch, the confusion matrix of the engine in full precision, and what each chip reads."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, middle, last = figure.subplots(1, 3, width_ratios=(1.1, 1.1, 0.9))
    course = [row for part in courses.values() for row in part]
    epochs = np.arange(1, len(course) + 1)
    left.semilogy(epochs, [row["loss"] for row in course], label="moved digits on imperfect chips (training)")
    left.semilogy(epochs, [row["val_loss"] for row in course], label="new digits on a perfect chip")
    left.axvline(len(courses["trained"]) + 0.5, color="0.6", linestyle=":", label="4 bits from here on")
    left.set(xlabel="epoch", ylabel="cross-entropy", title="training")
    left.legend(fontsize="small")
    ConfusionMatrixDisplay.from_predictions(labels, seen, ax=middle, colorbar=False, cmap="Blues")
    middle.set_title("event engine, full precision")
    for k, right in enumerate(chips.values()):
        share = 100 * right.mean(axis=1)
        last.plot(np.full(len(share), k) + np.linspace(-0.15, 0.15, len(share)), share, "o", alpha=0.7)
        last.hlines(share.mean(), k - 0.3, k + 0.3, color="0.3")
    told = [name if ", " in name else f"{name}, twin" for name in chips]
    last.set_xticks(
        range(len(chips)),
        [
            f"{name}\n{right.shape[1]} digits".replace(", ", ",\n")
            for name, right in zip(told, chips.values(), strict=True)
        ],
    )
    last.set(xlim=(-0.5, len(chips) - 0.5), ylabel="new digits read (%)", title="chips of 4 bits, 3 % spread")
    se.plotting.save(figure, folder / "training.png", overwrite=True)
    print(f"drawn to {folder / 'training.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Digits learnt in the twin, read by the event engine.")
    parser.add_argument("folder", nargs="?", help="for the pictures")
    parser.add_argument("--quick", action="store_true", help="few of everything, in seconds")
    options = parser.parse_args()
    main(options.folder, options.quick)
