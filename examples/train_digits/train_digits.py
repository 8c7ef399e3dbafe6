"""Digits learnt in the twin, read by the event engine (features.md S0.19, S0.04).

    python examples/train_digits/train_digits.py [folder for the pictures]

The 64 pixels of a digit (scikit-learn's scans) send up to three photons each in 36 ns. A hundred dendrites see all pixels; ten more, a
digit each, see the currents of the hundred. Weights, couplings and offsets are trained by back-propagation through the time steps of the
twin (1 ns), with AdamW; the answer is the dendrite with the largest mean current in 60 ns. The trained network is then run in the engines,
photon by photon, in full precision and as a chip would hold it: weights and couplings of 4 bits, 3 % spread of critical currents,
inductances and resistances, 1 % of biases. A linear classifier on the pixels stands beside it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

import soen_event as se
from hardware.quantize import Levels, quantize
from hardware.spread import Spread, spread
from training.data import DataLoader
from training.loop import Trainer
from training.optim import AdamW
from training.transfer import compare, play
from training.twin import Twin

HIDDEN, STEPS, WINDOW, EPOCHS = 100, 60, 36, 30
TESTED = 200  # digits that the engine runs with every fluxon an event, and on imperfect chips


def network(seed: int = 0) -> se.Network:
    """64 channels on 100 dendrites on 10 dendrites; random weights and couplings of either sign."""
    rng = np.random.default_rng(seed)
    with se.Network(name="trained digits") as net:
        for h in range(HIDDEN):
            se.Dendrite(f"h{h}", ib=1.75, beta_over_2pi=300, tau=40.0, phi_offset=0.2)
            for p in range(64):
                se.Synapse(f"p{p}.h{h}", f"h{h}", weight=float(rng.normal(0.0, 0.06)), tau_fall=20.0)
        for o in range(10):
            se.Dendrite(f"o{o}", ib=1.75, beta_over_2pi=300, tau=40.0, phi_offset=0.24)
            for h in range(HIDDEN):
                se.Coupling(f"h{h}", f"o{o}", J=float(rng.normal(0.0, 0.6 / np.sqrt(HIDDEN))))
    return net


def encode(images: np.ndarray) -> np.ndarray:
    """(n, steps, 64): a pixel of brightness v (0 to 1) sends round(3 v) photons, evenly over the window."""
    out = np.zeros((len(images), STEPS, 64), dtype=np.float32)
    number = np.round(3.0 * images).astype(int)
    for n in range(1, 4):
        image, pixel = np.nonzero(number == n)
        for j in range(n):
            out[image, 2 + round(WINDOW * j / n), pixel] = 1.0
    return out


def share(right: np.ndarray) -> str:
    """Accuracy with its standard error."""
    return f"{100 * right.mean():5.1f} % +- {100 * right.std() / np.sqrt(len(right)):.1f} ({len(right)} digits)"


def twin_of(net: se.Network, dt: float = 1.0) -> Twin:
    """The twin that is trained: the answer is the output with the largest mean current."""
    return Twin(
        net,
        dt=dt,
        channels={f"p{p}": [f"p{p}.h{h}" for h in range(HIDDEN)] for p in range(64)},
        outputs=[f"o{o}" for o in range(10)],
        readout="current",
        pooling="mean",
        scale=20.0,
        trainable=("weights", "J", "phi_offset"),
    )


def learn(twin: Twin, x: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> list:
    """Train the twin; the metrics of every epoch."""
    groups = [{"match": "J", "lr_scale": 3.0}]
    trainer = Trainer(
        twin,
        AdamW(lr=3e-3, weight_decay=0.02, groups=groups),
        {"name": "cosine", "lr": 3e-3, "T_max": EPOCHS, "eta_min": 1e-5},
        ["accuracy"],
        loss="cross_entropy",
        seed=0,
    )
    begin = time.process_time()
    trainer.fit(DataLoader((x[train], labels[train]), 32, seed=0), (x[test], labels[test]), epochs=EPOCHS)
    print(f"{EPOCHS} epochs of {len(train)} digits in {time.process_time() - begin:.0f} s of CPU", file=sys.stderr)
    return trainer.history


def main(folder: str | None = None) -> None:
    images, labels = load_digits(return_X_y=True)
    x = encode(images / 16.0)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    net = network()
    twin = twin_of(net)
    history = learn(twin, x, labels, train, test)
    linear = LogisticRegression(max_iter=2000).fit(images[train] / 16.0, labels[train])
    print(f"linear classifier on pixels:      {share(linear.predict(images[test] / 16.0) == labels[test])}")
    twin.deploy()
    report = compare(twin, x[test], labels[test], tol=1e-3, loops=twin.outputs, name="digits")
    assert report.answered is not None
    seen, flowing = report.answered
    print(f"twin:                             {share(seen == labels[test])}")
    print(
        f"event engine, flow:               {share(flowing == labels[test])}; as the twin: {100 * np.mean(flowing == seen):.1f} %"
    )
    some = test[:TESTED]
    fluxons = play(twin, x[some]).answers
    same = 100 * np.mean(fluxons == seen[:TESTED])
    print(f"event engine, every fluxon:       {share(fluxons == labels[some])}; as the twin: {same:.1f} %")
    four = {
        name: Levels.bits(4, -top, top)
        for name in ("weights", "J")
        if (top := float(np.abs(net.parameters()[name]).max()))
    }
    held, _ = quantize(net, four)
    every = Spread(critical_current=0.03, bias=0.01, inductance=0.03, mutual=0.03, resistance=0.03)
    imperfect = spread(held, every, seed=1, out_of_range="clip")
    chip = play(twin, x[some], network=imperfect).answers
    print(f"the same, 4 bits, 3 % spread:     {share(chip == labels[some])}")
    print(f"\n{report}")
    if folder:
        draw(history, labels[test], flowing, Path(folder))
        report.plot(Path(folder) / "transfer.png", overwrite=True)


def draw(history: list, labels: np.ndarray, seen: np.ndarray, folder: Path) -> None:
    """The loss by epoch, and the confusion matrix of the engine."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, of in (("loss", "training"), ("val_loss", "test")):
        left.semilogy(np.arange(1, len(history) + 1), [row[name] for row in history], label=of)
    left.set_xlabel("epoch")
    left.set_ylabel("cross-entropy")
    left.legend()
    ConfusionMatrixDisplay.from_predictions(labels, seen, ax=right, colorbar=False)
    right.set_title("event engine")
    se.plotting.save(figure, folder / "training.png", overwrite=True)
    print(f"drawn to {folder / 'training.png'}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
