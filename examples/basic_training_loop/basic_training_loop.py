"""Optimizer, schedule, metrics and callbacks in a BasicTrainingLoop: five digits on dendrites (features.md S2.25).

    python examples/basic_training_loop/basic_training_loop.py [picture.png]

The digits 0 to 4 of scikit-learn's scans, 64 pixels that send up to three photons each. Twenty dendrites see all pixels; five more, a digit
each, see the twenty; the answer is the one with the largest mean current. The loop is told its parts, trains, validates after each epoch,
keeps the best weights in a file and stops once they get no better; the rate follows half a cosine.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay

import soen_event as se
from training import BasicTrainingLoop, DataLoader, Dataset
from training.callbacks import EarlyStopping, ModelCheckpoint
from training.data import split
from training.datasets import prepare
from training.metrics import Accuracy, LossTracker
from training.optim import Adam
from training.schedules import CosineAnnealingLR
from training.twin import Twin

HIDDEN, STEPS, EPOCHS, DIGITS = 20, 20, 30, 5


def network(seed: int = 0) -> se.Network:
    """64 channels on twenty dendrites on five; random weights and couplings of either sign."""
    rng = np.random.default_rng(seed)
    with se.Network(name="five digits") as net:
        for h in range(HIDDEN):
            se.Dendrite(f"h{h}", ib=1.75, beta_over_2pi=300, tau=40.0, phi_offset=0.2)
            for p in range(64):
                se.Synapse(f"p{p}.h{h}", f"h{h}", weight=float(rng.normal(0.0, 0.06)), tau_fall=20.0)
        for o in range(DIGITS):
            se.Dendrite(f"o{o}", ib=1.75, beta_over_2pi=300, tau=40.0, phi_offset=0.24)
            for h in range(HIDDEN):
                se.Coupling(f"h{h}", f"o{o}", J=float(rng.normal(0.0, 0.15)))
    return net


def main(picture: str | None = None) -> None:
    digits = prepare("digits", {"classes": DIGITS}, encoder="photons", steps=STEPS, dtype="float32")["all"]
    parts = split(digits, 0.2, 0.2, seed=0)
    model = Twin(
        network(),
        dt=3.0,
        channels={f"p{p}": [f"p{p}.h{h}" for h in range(HIDDEN)] for p in range(64)},
        outputs=[f"o{o}" for o in range(DIGITS)],
        scale=20.0,
        trainable=("weights", "J", "phi_offset"),
    )
    optimizer = Adam(learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8)
    scheduler = CosineAnnealingLR(optimizer=optimizer, T_max=EPOCHS, eta_min=1e-5)
    train_loss, train_acc, val_loss, val_acc = LossTracker(), Accuracy(), LossTracker(), Accuracy()

    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(filepath=Path(folder) / "best.h5", monitor="val_acc", mode="max")
        loop = BasicTrainingLoop(
            model=model,
            optimizer=optimizer,
            scheduler=scheduler,
            metrics=[train_loss, train_acc, val_loss, val_acc],
            callbacks=[best],
        )
        loop.add_callback(EarlyStopping(monitor="val_loss", patience=10, mode="min"))
        history = loop.fit(
            train_data=DataLoader(parts["train"], 32, seed=0),
            val_data=DataLoader(parts["val"], 128, shuffle=False),
            epochs=EPOCHS,
        )
        for row in history[:: max(len(history) // 5, 1)]:
            print(
                f"epoch {row['epoch']:2d}  loss {row['loss']:.3f}  val_loss {row['val_loss']:.3f}  val_accuracy {row['val_accuracy']:.2f}"
            )
        print(
            f"the last epoch: loss {train_loss.compute():.3f}, {100 * val_acc.compute():.0f} % of the validation digits"
        )
        loop.load_weights(str(best.best_path))
    test: Dataset = parts["test"]
    found = loop.validate(test)
    print(f"the best weights, on new digits: {100 * found['accuracy']:.0f} %")
    if picture:
        draw(history, test, np.argmax(loop.predict(test), axis=1), picture)


def draw(history: list, test: Dataset, seen: np.ndarray, picture: str) -> None:
    """Loss, accuracy and rate by epoch, and the confusion matrix of the new digits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.2, 1.2, 1])
    epochs = np.arange(1, len(history) + 1)
    for ax, name, scale in ((left, "loss", "log"), (middle, "accuracy", "linear")):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            ax.plot(epochs, [row[key] for row in history], label=label)
        ax.set(xlabel="epoch", ylabel="cross-entropy" if name == "loss" else name, yscale=scale)
        ax.legend(loc="upper right" if name == "loss" else "center right")
    rate = middle.twinx()
    rate.plot(epochs, [row["lr"] for row in history], "k:", linewidth=1)
    rate.set_ylabel("learning rate (dotted)")
    ConfusionMatrixDisplay.from_predictions(test.y, seen, ax=right, colorbar=False)
    right.set_title("new digits")
    se.plotting.save(figure, picture, overwrite=True)
    print(f"drawn to {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
