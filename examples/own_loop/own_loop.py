"""A loop of one's own with standard parts: digits that are read though half the light is lost (features.md S2.29).

    python examples/own_loop/own_loop.py [picture.png]

Waveguides lose photons. Here a network is trained with the losses that it will meet: the loop shows it every batch twice, each time with
other photons missing, and averages the two gradients. No trainer does that; the loop is written out, and optimizer, schedule, metric,
early stopping, checkpoints and logs are the library's, each used alone. The same network, trained on all of the light, stands beside it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

import soen_event as se
from training import DataLoader, Dataset, value_and_grad
from training.address import stream
from training.callbacks import CallbackList, CSVLogger, EarlyStopping, JSONLogger, ModelCheckpoint
from training.data import split
from training.datasets import prepare
from training.evaluate import evaluate
from training.hooks import STOP
from training.losses import CrossEntropy
from training.metrics import Accuracy
from training.optim import Adam
from training.schedules import CosineAnnealingLR
from training.twin import Twin

HIDDEN, STEPS, EPOCHS, DIGITS = 16, 20, 20, 5
LOST = (0.0, 0.2, 0.4, 0.6, 0.8)


def network(seed: int = 0) -> se.Network:
    """64 channels on sixteen dendrites on five; random weights and couplings of either sign."""
    rng = np.random.default_rng(seed)
    with se.Network(name="five digits in poor light") as net:
        for h in range(HIDDEN):
            se.Dendrite(f"h{h}", ib=1.75, beta_over_2pi=300, tau=40.0, phi_offset=0.2)
            for p in range(64):
                se.Synapse(f"p{p}.h{h}", f"h{h}", weight=float(rng.normal(0.0, 0.06)), tau_fall=20.0)
        for o in range(DIGITS):
            se.Dendrite(f"o{o}", ib=1.75, beta_over_2pi=300, tau=40.0, phi_offset=0.24)
            for h in range(HIDDEN):
                se.Coupling(f"h{h}", f"o{o}", J=float(rng.normal(0.0, 0.15)))
    return net


def dimmed(photons: np.ndarray, lost: float, rng: np.random.Generator) -> np.ndarray:
    """Each photon is lost with probability ``lost``."""
    return photons * (rng.random(photons.shape) >= lost)


def trained(parts: dict[str, Dataset], lost: float, folder: Path) -> tuple[Twin, list[float]]:
    """A network trained with this share of photons lost, and its loss in each epoch."""
    model = Twin(
        network(),
        dt=3.0,
        channels={f"p{p}": [f"p{p}.h{h}" for h in range(HIDDEN)] for p in range(64)},
        outputs=[f"o{o}" for o in range(DIGITS)],
        scale=20.0,
        trainable=("weights", "J", "phi_offset"),
    )
    train = DataLoader(parts["train"], 32, seed=0)
    optimizer, loss = Adam(lr=0.01), CrossEntropy()
    scheduler = CosineAnnealingLR(optimizer, T_max=EPOCHS * len(train))
    metric, step = Accuracy(), value_and_grad(model, loss, has_aux=True)
    dim = Dataset(dimmed(parts["val"].x, lost, stream(0, "val")), parts["val"].y, name="val")
    val = DataLoader(dim, 128, shuffle=False)
    callbacks = CallbackList(
        [
            EarlyStopping(monitor="val_loss", patience=10),
            ModelCheckpoint(f"{folder}/checkpoints/", monitor="val_loss"),
            CSVLogger(folder / "training.log"),
            JSONLogger(folder / "training.jsonl"),
        ],
        model=model,
        optimizer=optimizer,
    )
    losses = []
    callbacks.on_train_begin()
    for epoch in track(range(EPOCHS), f"{100 * lost:.0f} % lost", console=Console(stderr=True), transient=True):
        callbacks.on_epoch_begin(epoch)
        metric.reset()
        total, seen = 0.0, 0
        for number, (x, y) in enumerate(train):
            half = {}
            for again in range(2):
                photons = dimmed(x, lost, stream(0, "light", epoch, number, again))
                (value, run), grads = step(photons, y)
                total, seen = total + len(x) * value, seen + len(x)
                metric.update(run.outputs, y)
                half = {name: half.get(name, 0.0) + 0.5 * array for name, array in grads.items()}
            optimizer.step(model.parameters(), half)
            scheduler.step()
        logs = {"loss": total / seen, "accuracy": metric.compute(), "val_loss": evaluate(model, loss, val)["loss"]}
        losses.append(logs["loss"])
        if callbacks.on_epoch_end(epoch, logs) is STOP:
            break
    callbacks.on_train_end()
    callbacks.close()
    return model, losses


def right(model: Twin, test: Dataset, lost: float) -> float:
    """Share of digits that are read with this loss, over five draws of it."""
    found = []
    for draw in range(5):
        photons = dimmed(test.x, lost, stream(1, "test", draw))
        found.append(float(np.mean(np.argmax(model.forward(photons).outputs, axis=1) == test.y)))
    return float(np.mean(found))


def main(picture: str | None = None) -> None:
    digits = prepare("digits", {"classes": DIGITS}, encoder="photons", steps=STEPS, limit=600, dtype="float32")["all"]
    parts = split(digits, 0.2, 0.3, seed=0)
    curves, courses = {}, {}
    for lost in (0.0, 0.6):
        with tempfile.TemporaryDirectory() as folder:
            model, losses = trained(parts, lost, Path(folder))
        print(f"trained with {100 * lost:2.0f} % of the light lost")
        for epoch in (0, len(losses) // 2, len(losses) - 1):
            print(f"  epoch {epoch:2d}  loss {losses[epoch]:.3f}")
        curves[lost], courses[lost] = [right(model, parts["test"], share) for share in LOST], losses
    print("new digits that are read, with light lost: " + "  ".join(f"{100 * share:3.0f} %" for share in LOST))
    for lost, curve in curves.items():
        print(
            f"  trained with {100 * lost:2.0f} % lost:                  "
            + "  ".join(f"{100 * c:3.0f} %" for c in curve)
        )
    if picture:
        draw(courses, curves, picture)


def draw(courses: dict[float, list[float]], curves: dict[float, list[float]], picture: str) -> None:
    """The losses of both trainings, and what is read as the light fails."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right_ = figure.subplots(1, 2)
    for lost, losses in courses.items():
        left.semilogy(np.arange(1, len(losses) + 1), losses, label=f"{100 * lost:.0f} % lost")
        right_.plot(
            100 * np.array(LOST), 100 * np.array(curves[lost]), "o-", label=f"trained with {100 * lost:.0f} % lost"
        )
    left.set(xlabel="epoch", ylabel="cross-entropy", title="training")
    left.xaxis.get_major_locator().set_params(integer=True)
    right_.set(xlabel="photons lost (%)", ylabel="new digits read (%)", title="afterwards", ylim=(0, 102))
    right_.axhline(100 / DIGITS, color="0.6", linestyle=":", label="chance")
    left.legend()
    right_.legend()
    se.plotting.save(figure, picture, overwrite=True)
    print(f"drawn to {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
