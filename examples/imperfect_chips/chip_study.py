"""One chip made of the digits network, and how well its spikes tell digits: what the study does once for every point and seed.

A *point* says what is imperfect: ``percent`` of spread of one ``quantity``, ``bits`` of the weights (0: exact) with their
``levels``, the share of ``dead`` detectors, and how many digits are for training and test. A *seed* is one chip of that kind.
Its spikes are read in three ways, by the same ridge classifier with the same regularisation:

as trained   the readout knows the network as it was drawn (the perfect chip) and has never seen this one
recentred    so does this one, but every feature is shifted so that its mean over the training digits is that of the perfect chip; no
             label is needed, only some images run on the chip
retrained    a readout of this chip's own, trained on its spikes with labels
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

import soen_event as se
from hardware.faults import dead_detectors
from hardware.quantize import Levels, quantize
from hardware.spread import Spread, spread

sys.path.append(str(Path(__file__).resolve().parent.parent / "digits"))
import digits

PUBLISHED = 3.0
"""Percent at which "all" is the published spread: 3 % of inductances and transformers, 2.6 % of junctions, 1 % of biases."""
QUANTITIES = {
    "all": "all",
    "bias": "bias currents",
    "critical_current": "junctions (I_c)",
    "inductance": "inductors",
    "mutual": "transformers (J, weights)",
    "threshold": "thresholds",
    "published": "all 3 %, detectors 90 %",
}
"""What may deviate. "published" is all at its published spread with detectors of 90.0 +- 0.5 % efficiency."""
READOUTS = {"trained": "as trained", "recentred": "recentred", "retrained": "retrained"}
RESOLUTION, TOLERANCE = "flow", 1e-2


def point(
    train: int,
    test: int,
    quantity: str = "all",
    percent: float = 0.0,
    bits: int = 0,
    levels: str = "span",
    dead: float = 0.0,
) -> dict[str, Any]:
    """A point of the study, as plain data. ``levels``: "span" (from -max to max of the weights' sizes) or "fitted"."""
    return {
        "quantity": quantity,
        "percent": percent,
        "bits": bits,
        "levels": levels,
        "dead": dead,
        "train": train,
        "test": test,
    }


@lru_cache(maxsize=2)
def images(train: int, test: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (0 to 1) and labels of the first digits of each part of the digits example's split, training before test."""
    pixels, labels = load_digits(return_X_y=True)
    for_training, for_test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    chosen = np.concatenate([for_training[:train], for_test[:test]])
    return pixels[chosen] / 16.0, labels[chosen]


def how(quantity: str, percent: float) -> Spread:
    """The spread of a quantity, or of all of them in their published proportions."""
    if quantity == "published":
        return Spread.published()
    if quantity == "all":
        known, scale = Spread.published(), percent / PUBLISHED
        names = ("critical_current", "bias", "inductance", "mutual", "threshold")
        return Spread.only(**{name: scale * getattr(known, name) for name in names})
    return Spread.only(**{quantity: percent / 100.0})


def levels(weights: np.ndarray, bits: int, kind: str) -> Levels:
    """2^bits levels from -r to r: r the largest weight ("span"), or such that the rms error of the weights is least ("fitted")."""
    largest = float(np.abs(weights).max())
    if kind == "span":
        return Levels.bits(bits, -largest, largest)
    errors = []
    ranges = [largest * share / 200.0 for share in range(40, 201)]
    for r in ranges:
        errors.append(float(np.mean((Levels.bits(bits, -r, r).round(weights) - weights) ** 2)))
    best = ranges[int(np.argmin(errors))]
    return Levels.bits(bits, -best, best)


def chip(what: Mapping[str, Any], seed: int) -> se.Network:
    """The digits network, programmed, fabricated and damaged. A seed's deviations are the same at any percentage, only larger."""
    net = digits.network()
    if what["bits"]:
        net, _ = quantize(net, levels(net.parameters()["weights"], what["bits"], what["levels"]))
    if what["percent"]:
        net = spread(net, how(what["quantity"], what["percent"]), seed, out_of_range="clip")
    return dead_detectors(net, what["dead"], seed=seed).network if what["dead"] else net


def spikes(net: se.Network, pixels: np.ndarray, seed: int) -> np.ndarray:
    """Run the digits one after another on a network; (digits, features)."""
    photons, duration = digits.photons(net, pixels), len(pixels) * digits.PERIOD
    rec = se.simulate(net, photons, duration, resolution=RESOLUTION, tol=TOLERANCE, record=("spikes",), seed=seed)
    return digits.features(rec, len(pixels))


@lru_cache(maxsize=2)
def perfect(train: int, test: int) -> tuple[RidgeClassifierCV, np.ndarray]:
    """The readout trained on the network as it was drawn, and the means of its features."""
    pixels, labels = images(train, test)
    x = spikes(digits.network(), pixels[:train], 0)
    with threadpool_limits(1):
        return RidgeClassifierCV(np.logspace(-2, 3, 11)).fit(x, labels[:train]), x.mean(axis=0)


def accuracies(what: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Test accuracy of one chip with each readout (0 to 1), its spikes per digit, and its silent neurons."""
    train, test = what["train"], what["test"]
    pixels, labels = images(train, test)
    x = spikes(chip(what, seed), pixels, seed)
    model, means = perfect(train, test)
    with threadpool_limits(1):  # so that sums have one order on any machine
        own = RidgeClassifier(alpha=float(model.alpha_)).fit(x[:train], labels[:train])
        guesses = {
            "trained": model.predict(x[train:]),
            "recentred": model.predict(x[train:] - x[:train].mean(axis=0) + means),
            "retrained": own.predict(x[train:]),
        }
    found = {name: float(np.mean(guess == labels[train:])) for name, guess in guesses.items()}
    per_neuron = x.sum(axis=0).reshape(digits.NEURONS, -1).sum(axis=1)
    return {**found, "spikes": float(x.sum() / len(x)), "silent": float(np.count_nonzero(per_neuron == 0))}


def study(train: int, test: int, quick: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Points at which nothing is random (run once), and points of which several chips are made."""

    def at(**what: Any) -> dict[str, Any]:
        return point(train, test, **what)

    if quick:
        exact = [at(), at(bits=2, levels="fitted"), at(bits=4, levels="fitted")]
        return exact, [
            at(percent=10.0),
            at(quantity="bias", percent=10.0),
            at(percent=PUBLISHED, bits=4, levels="fitted"),
            at(dead=0.2),
        ]
    exact = [at()] + [at(bits=b, levels=kind) for kind in ("span", "fitted") for b in range(1, 9)]
    chips = [at(quantity=q, percent=x) for q in ("all", "bias") for x in (1.0, 2.0, 3.0, 5.0, 10.0)]
    chips += [at(quantity=q, percent=10.0) for q in ("critical_current", "inductance", "mutual", "threshold")]
    chips += [at(percent=PUBLISHED, bits=b, levels="fitted") for b in (2, 3, 4)]
    chips += [at(dead=share) for share in (0.1, 0.2, 0.4)]
    return exact, [*chips, at(quantity="published", percent=PUBLISHED, bits=4, levels="fitted")]
