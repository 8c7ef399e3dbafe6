"""Handwritten digits, photon by photon: 1797 scanned digits through a network of 200 spiking neurons, and a ridge readout.

    python examples/digits/digits.py [folder for the pictures]

Every pixel of a digit (8 x 8, scikit-learn's scans) sends up to three photons in 40 ns, more if it is brighter. Each neuron has two
dendrites; each dendrite sees four pixels at random, with weights of either sign, and the light of two other neurons (recurrence over
waveguides of 0.1 to 2 ns). The digits follow one another every 80 ns on the same network, which is never reset. What the readout sees of
a digit is how often each neuron spiked in four windows of its 80 ns. A ridge classifier is trained on the spikes of 70 % of the digits; the
same classifier on the raw pixels stands beside it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

import soen_event as se

NEURONS, DENDRITES, PIXELS, PARTNERS = 200, 2, 4, 1
PERIOD, WINDOW, PHOTONS = 80.0, 40.0, 3
BINS = np.array([0.0, 15.0, 30.0, 45.0, PERIOD])


def network(seed: int = 0) -> se.Network:
    """200 neurons with two dendrites each; random pixels, random weights, random recurrence."""
    rng = np.random.default_rng(seed)
    with se.Network(name="digits") as net:
        for k in range(NEURONS):
            se.Neuron(
                f"n{k:03d}", soma=se.Soma(threshold=0.12, tau=20.0, t_ref=5.0), transmitter=se.Transmitter(latency=2.0)
            )
            for j in range(DENDRITES):
                dendrite = f"d{k:03d}.{j}"
                se.Dendrite(dendrite, beta_over_2pi=100, tau=30.0)
                se.Coupling(dendrite, f"n{k:03d}", J=0.6)
                pixels = rng.choice(64, PIXELS, replace=False)
                weights = rng.uniform(0.3, 1.0, PIXELS) * np.where(rng.uniform(size=PIXELS) < 0.2, -1.0, 1.0)
                weights *= 2.0 / np.abs(weights).sum()
                for pixel, weight in zip(pixels, weights, strict=True):
                    se.Synapse(f"p{pixel:02d}.{dendrite}", dendrite, weight=float(weight), tau_fall=20.0)
        for k in range(NEURONS):
            for target in rng.choice(NEURONS, PARTNERS, replace=False):
                light = f"r{k:03d}.d{target:03d}.0"
                se.Synapse(light, f"d{target:03d}.0", weight=float(rng.choice([-0.2, 0.2])), tau_fall=20.0)
                se.Waveguide(f"n{k:03d}", light, delay=float(rng.uniform(0.1, 2.0)))
    return net


def photons(net: se.Network, images: np.ndarray) -> dict[str, list[float]]:
    """Photon times by synapse: a pixel of brightness v (0 to 1) sends round(3 v) photons, evenly over the window."""
    times: list[list[float]] = [[] for _ in range(64)]
    for k, image in enumerate(images):
        for pixel, v in enumerate(image):
            n = round(float(v) * PHOTONS)
            times[pixel] += [k * PERIOD + 1.0 + (j + 0.5) * WINDOW / n for j in range(n)]
    return {name: times[int(name[1:3])] for name in net.synapses if name.startswith("p")}


def features(rec: se.Recording, count: int) -> np.ndarray:
    """Spikes of every neuron in every window of every digit: (digits, neurons x windows)."""
    table = rec.table("spikes")
    t = table["time_fs"] * 1e-6
    digit = np.minimum((t // PERIOD).astype(int), count - 1)
    window = np.clip(np.digitize(t - digit * PERIOD, BINS) - 1, 0, len(BINS) - 2)
    out = np.zeros((count, NEURONS, len(BINS) - 1))
    np.add.at(out, (digit, table["neuron"], window), 1.0)
    return out.reshape(count, -1)


def readout(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Accuracy and confusion matrix of a ridge classifier on 30 % of the digits, trained on the rest."""
    train, test = train_test_split(np.arange(len(y)), test_size=0.3, random_state=0, stratify=y)
    model = RidgeClassifierCV(np.logspace(-2, 3, 11)).fit(x[train], y[train])
    guess = model.predict(x[test])
    return float((guess == y[test]).mean()), confusion_matrix(y[test], guess)


def main(folder: str | None = None) -> None:
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    net = network()
    arriving = photons(net, images)
    print(
        f"{len(images)} digits, {sum(map(len, arriving.values()))} photons, {len(net.neurons)} neurons, {len(net.dendrites)} dendrites, "
        f"{len(net.synapses)} synapses"
    )
    start = time.process_time()
    rec = se.simulate(net, arriving, len(images) * PERIOD, record=("spikes",))
    counts = rec.event_counts
    print(f"{counts['spikes']} spikes, {counts['fluxons']} fluxons, {counts['events']} events")
    accuracy, confusion = readout(features(rec, len(images)), labels)
    pixels, _ = readout(images, labels)
    print(f"test accuracy on spikes:     {100 * accuracy:.1f} %")
    print(f"test accuracy on raw pixels: {100 * pixels:.1f} %")
    print(f"{time.process_time() - start:.0f} s of CPU", file=sys.stderr)
    if folder:
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        draw(net, arriving, confusion, place)
        print(f"drawn to {place / 'raster.png'} and {place / 'confusion.png'}")


def draw(net: se.Network, arriving: dict[str, list[float]], confusion: np.ndarray, place: Path) -> None:
    """The raster of the first ten digits (run once more: the same spikes) and the confusion matrix of the test digits."""
    from matplotlib.figure import Figure

    span = 10 * PERIOD
    rec = se.simulate(net, se.Stimulus(arriving).restricted(0.0, span), span, record=("spikes",))
    figure = Figure(figsize=(10, 6), layout="constrained")
    ax = figure.subplots()
    se.plotting.raster(rec, ax=ax)
    for k in range(11):
        ax.axvline(k * PERIOD, color="tab:red", linewidth=0.8)
    ax.set_title("the first ten digits, 0 to 9, one every 80 ns", loc="right")
    se.plotting.save(figure, place / "raster.png", overwrite=True)
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    se.plotting.confusion(confusion, [str(k) for k in range(10)], ax=figure.subplots())
    se.plotting.save(figure, place / "confusion.png", overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:2])
