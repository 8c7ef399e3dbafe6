"""Examples and batches of them: checked arrays, splits, HDF5 files, and a loader whose order is a function of (seed, epoch).

>>> import numpy as np
>>> data = Dataset(np.zeros((10, 20, 3)), np.arange(10) % 2)
>>> data.classes, len(DataLoader(data, batch_size=4)), [len(y) for _, y in DataLoader(data, batch_size=4)]
(2, 3, [4, 4, 2])
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from soen_event.errors import InputError, nearest
from training.address import checked_seed, stream
from training.arguments import existing
from training.checkpoint import replace_bytes

__all__ = ["DataLoader", "Dataset", "as_loader", "load", "resample", "save", "split"]

_NAMES = {
    "data": ("data", "x", "inputs"),
    "labels": ("labels", "targets", "y"),
}
_SPLITS = {"train": ("train", "training"), "val": ("val", "validation", "valid"), "test": ("test",)}
_HASHED = 1 << 28
_SCANNED = 1 << 22  # values of a file that are checked for nan at a time


class Dataset:
    """Time series and what they should give.

    Args:
        x: (N, T, D), numbers: N examples of T steps of D inputs. float32 stays float32; whole numbers and booleans become float64.
            An open HDF5 dataset stays in its file and is read batch by batch.
        y: (N, ...): labels (whole numbers from 0), or values to reach; or None, which makes x its own target.
        classes: number of classes; by default the largest label and 1, for labels of shape (N,) or (N, T).
        name: for messages.

    ``labelled``: whether y holds labels.

    Raises:
        InputError: no examples, shapes that do not fit, values that are not finite, labels below 0 or from ``classes`` up.
    """

    def __init__(self, x: Any, y: ArrayLike | None, *, classes: int | None = None, name: str = "Dataset"):
        self.name = name
        self.x = x if _in_file(x) else _series(x, f"{name}.x")
        faults = []
        if self.x.ndim != 3:
            faults.append(f"{name}.x: has shape {self.x.shape}; give (examples, steps, inputs), or encode it first")
        elif 0 in self.x.shape:
            faults.append(f"{name}.x: has shape {self.x.shape}, so it is empty; give at least one of each")
        elif _in_file(x):
            faults += _nan_in_file(x, f"{name}.x")
        self.autoencoding = y is None
        self.y = self.x if y is None else _targets(y, f"{name}.y", faults)
        if not faults and len(self.y) != len(self.x):
            faults.append(f"{name}.y: there are {len(self.y)} for {len(self.x)} examples; give one for each")
        self.labelled = self.y.dtype.kind in "iu"
        self.classes = _classes(self.y, classes, name, faults) if self.labelled and not faults else None
        if faults:
            raise InputError(faults)
        self._digest: str | None = None

    def __len__(self) -> int:
        """The number of examples."""
        return int(self.x.shape[0])

    def __repr__(self) -> str:
        n, steps, inputs = self.x.shape
        about = f", {self.classes} classes" if self.classes else ""
        return f"<{self.name}: {n} examples, {steps} steps, {inputs} inputs{about}>"

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (B, T, D) and targets (B, ...) of the examples with these numbers, in this order."""
        x = _read(self.x, chosen)
        return x, x if self.autoencoding else self.y[chosen]

    def subset(self, chosen: ArrayLike, name: str | None = None) -> Dataset:
        """The examples with these numbers, in memory."""
        chosen = np.asarray(chosen)
        if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or not len(chosen):
            raise InputError(f"{self.name}.subset: {chosen.dtype} of shape {chosen.shape}; give a list of numbers")
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise InputError(f"{self.name}.subset: numbers go from 0 to {len(self) - 1}; correct the list")
        x, y = self.batch(chosen)
        return Dataset(x, None if self.autoencoding else y, classes=self.classes, name=name or self.name)

    def one_hot(self) -> Dataset:
        """The same with targets (N, C) (or (N, T, C)) of zeros and a one.

        Raises:
            InputError: the targets are no labels.
        """
        if self.classes is None:
            raise InputError(f"{self.name}.one_hot: the targets are no labels; leave it out")
        hot = np.zeros((*self.y.shape, self.classes), dtype=self.x.dtype)
        np.put_along_axis(hot, self.y[..., None].astype(np.int64), 1.0, axis=-1)
        return Dataset(self.x, hot, name=self.name)

    def digest(self) -> str:
        """A checksum of the contents; of data in a file, or of more than 256 MiB, that of a thousand examples and all targets."""
        if self._digest is None:
            total = hashlib.blake2b(f"{self.x.shape} {self.x.dtype}".encode(), digest_size=16)
            _hash_rows(total, self.x)
            if not self.autoencoding:
                total.update(f"{self.y.shape} {self.y.dtype}".encode() + np.ascontiguousarray(self.y).tobytes())
            self._digest = total.hexdigest()
        return self._digest


class DataLoader:
    """Batches of a data set, each example once an epoch.

    Args:
        data: a :class:`Dataset`, or a pair (x, y) of arrays for one.
        batch_size: examples in a batch, 1 or more; the last batch holds what is left.
        shuffle: a new order every epoch.
        seed: 0 to 2**63 - 1. The order is a function of the seed and the epoch alone.
        drop_last: leave out a last batch that is not full.

    Iterating gives (x (B, T, D), y (B, ...)) and moves on to the next epoch; :meth:`batches` names the epoch instead.

    Raises:
        InputError: an argument out of its range, or ``drop_last`` with fewer examples than one batch.
    """

    def __init__(
        self, data: Any, batch_size: int = 32, *, shuffle: bool = True, seed: int = 0, drop_last: bool = False
    ):
        self.data = data if isinstance(data, Dataset) else _paired(data)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise InputError(f"DataLoader.batch_size: {batch_size!r} is no size; give a whole number from 1")
        self.batch_size, self.shuffle, self.drop_last = int(batch_size), bool(shuffle), bool(drop_last)
        self.seed = checked_seed(seed, "DataLoader.seed")
        self.epoch = 0
        if not len(self):
            count = len(self.data)
            raise InputError(
                f"DataLoader.drop_last: {count} examples fill no batch of {batch_size}; lower batch_size, or keep the last batch"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        count = len(self.data)
        return count // self.batch_size if self.drop_last else math.ceil(count / self.batch_size)

    @property
    def examples(self) -> int:
        """Examples in an epoch."""
        return len(self) * self.batch_size if self.drop_last else len(self.data)

    def order(self, epoch: int) -> np.ndarray:
        """The numbers of the examples in the order of this epoch."""
        if not self.shuffle:
            return np.arange(self.examples)
        return stream(self.seed, "shuffle", int(epoch)).permutation(len(self.data))[: self.examples]

    def sizes(self) -> list[int]:
        """The number of examples in each batch of an epoch."""
        full, rest = divmod(self.examples, self.batch_size)
        return [self.batch_size] * full + [rest] * (rest > 0)

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of an epoch, from number ``start`` on; nothing here is changed."""
        order = self.order(epoch)
        for first in range(start * self.batch_size, len(order), self.batch_size):
            yield self.data.batch(order[first : first + self.batch_size])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.epoch = int(epoch)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self.batches(epoch)


def as_loader(data: Any, batch_size: int = 32, *, shuffle: bool = False, seed: int = 0) -> DataLoader:
    """A loader as it is; of a data set or a pair of arrays a loader with these options."""
    return data if isinstance(data, DataLoader) else DataLoader(data, batch_size, shuffle=shuffle, seed=seed)


def split(
    data: Dataset, val: float = 0.2, test: float = 0.1, *, seed: int = 0, stratify: bool = True
) -> dict[str, Dataset]:
    """Part a data set into ``train``, ``val`` and ``test`` (those with a share above 0); every example is in exactly one.

    Args:
        data: what to part.
        val, test: shares, 0 or above, together below 1.
        seed: of the choice.
        stratify: keep the mix of the classes, where the labels are (N,) and every class has enough examples.

    Raises:
        InputError: shares out of their range, or too few examples for a part.
    """
    return {
        name: data.subset(chosen, data.name)
        for name, chosen in split_numbers(data, val, test, seed=seed, stratify=stratify).items()
    }


def split_numbers(
    data: Dataset, val: float = 0.2, test: float = 0.1, *, seed: int = 0, stratify: bool = True
) -> dict[str, np.ndarray]:
    """The numbers of the examples that :func:`split` gives to each part, ascending; errors as there."""
    shares = {"val": val, "test": test}
    faults = [
        f"split.{name}: {share!r} is no share; give 0 or above, and below 1"
        for name, share in shares.items()
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share < 1.0
    ]
    if not faults and val + test >= 1.0:
        faults.append(f"split.val: {val} and test = {test} leave nothing to train on; lower them")
    if faults:
        raise InputError(faults)
    count = len(data)
    sizes = {name: round(share * count) if share else 0 for name, share in shares.items()}
    empty = [name for name, share in shares.items() if share and not sizes[name]]
    if empty or count - sum(sizes.values()) < 1:
        raise InputError(f"split.{(empty or ['val'])[0]}: {count} examples are too few; give more data or other shares")
    order = mixed_order(data, np.arange(count), stream(checked_seed(seed, "split.seed"), "split"), stratify)
    first, second = sizes["val"], sizes["val"] + sizes["test"]
    members = {"train": order[second:], "val": order[:first], "test": order[first:second]}
    return {name: np.sort(chosen) for name, chosen in members.items() if len(chosen)}


def mixed_order(data: Dataset, chosen: np.ndarray, rng: np.random.Generator, stratify: bool = True) -> np.ndarray:
    """Some examples in an order drawn by ``rng``; every stretch of it has their mix of classes, where labels are (N,)."""
    order = chosen[rng.permutation(len(chosen))]
    return _mixed(order, data.y) if stratify and data.labelled and data.y.ndim == 1 else order


def with_steps(x: np.ndarray, y: Any, steps: int) -> tuple[np.ndarray, Any]:
    """Inputs (B, T, D) on another number of steps, and with them targets that have one value a step (labels: the nearest)."""
    old = x.shape[1]
    if old != steps and isinstance(y, np.ndarray) and y.ndim >= 2 and y.shape[1] == old:
        y = resample(y, steps, "nearest" if y.dtype.kind in "iu" else "linear")
    return resample(x, steps), y


def resample(x: np.ndarray, steps: int, how: str = "linear") -> np.ndarray:
    """A series (B, T, ...) on another number of steps, (B, steps, ...).

    ``linear``: values between the old ones, both ends kept. ``nearest``: the old step that is nearest, also for labels.
    ``crop``: the first steps, or zeros after the last. The same number of steps gives the same array.

    Raises:
        InputError: ``steps`` below 1 or an unknown ``how``.
    """
    if how not in ("linear", "nearest", "crop"):
        raise InputError(f"resample.how: {how!r} is unknown{nearest(str(how), ('linear', 'nearest', 'crop'))}")
    if steps < 1:
        raise InputError(f"resample.steps: {steps} is out of range; give 1 or more")
    old = x.shape[1]
    if old == steps:
        return x
    if how == "crop":
        kept = x[:, :steps]
        return np.concatenate([kept, np.zeros((len(x), steps - kept.shape[1], *x.shape[2:]), x.dtype)], axis=1)
    at = np.linspace(0.0, old - 1.0, steps) if steps > 1 else np.zeros(1)
    if how == "nearest":
        return np.asarray(x[:, np.floor(at + 0.5).astype(np.int64)])
    low = np.minimum(at.astype(np.int64), max(old - 2, 0))
    share = (at - low).astype(x.dtype).reshape(-1, *[1] * (x.ndim - 2))
    return np.asarray(x[:, low] * (1 - share) + x[:, np.minimum(low + 1, old - 1)] * share)


# ---------------------------------------------------------------------------------------------- files


def save(path: str | os.PathLike[str], splits: Dataset | Mapping[str, Dataset]) -> Path:
    """Write an HDF5 file in one step: ``data`` (N, T, D) and ``labels`` (N, ...), in a group a split where there are splits."""
    import h5py

    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        parts = splits.items() if isinstance(splits, Mapping) else [("", splits)]
        for name, data in parts:
            group = file.require_group(name) if name else file
            group.create_dataset("data", data=data.x[...])
            if not data.autoencoding:
                group.create_dataset("labels", data=data.y)
            if data.classes:
                group.attrs["classes"] = data.classes
    return replace_bytes(path, image.getvalue())


def load(path: str | os.PathLike[str], part: str | None = None, *, cache: bool = True) -> dict[str, Dataset]:
    """Read an HDF5 file: its splits by name (train, val, test), or {"all": ...} if it has none.

    Args:
        path: a file with ``data`` [N, T, D] and ``labels`` at its root, or in groups ``train``, ``val``, ``test``.
        part: read only this split.
        cache: read all into memory; otherwise batches are read when they are wanted, and the file stays open.

    Raises:
        InputError: no such file, split or array, or contents that :class:`Dataset` refuses.
    """
    import h5py

    path = existing(path, "an HDF5 file")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: is no HDF5 file ({error}); give one") from None
    found = {name: file[each] for name, words in _SPLITS.items() for each in words if each in file}
    if not found:
        found = {"all": file}
    if part is not None and part not in found:
        raise InputError(f"{path}: has no split {part!r}{nearest(part, found)}; it has {', '.join(found)}")
    result, faults = {}, []
    for name, group in found.items():
        if part in (None, name):
            try:
                result[name] = _from_group(group, f"{path.name}:{name}", cache)
            except InputError as error:
                faults += error.faults
    if cache or faults:
        file.close()
    if faults:
        raise InputError(faults)
    return result


def _from_group(group: Any, name: str, cache: bool) -> Dataset:
    held = {key: next((word for word in words if word in group), None) for key, words in _NAMES.items()}
    if held["data"] is None:
        raise InputError(f"{name}: has no array 'data'{nearest('data', group)}; store [examples, steps, inputs] there")
    x = group[held["data"]]
    y = group[held["labels"]][()] if held["labels"] else None
    classes = group.attrs.get("classes")
    return Dataset(x[()] if cache else x, y, classes=None if classes is None else int(classes), name=name)


# ---------------------------------------------------------------------------------------------- checks


def _in_file(x: Any) -> bool:
    return type(x).__module__.startswith("h5py")


def _read(x: Any, chosen: np.ndarray) -> np.ndarray:
    if not _in_file(x):
        return np.asarray(x[chosen])
    ordered, back = np.unique(chosen, return_inverse=True)  # HDF5 reads ascending numbers only
    rows = np.asarray(x[ordered])[back]
    return rows if rows.dtype.kind == "f" else rows.astype(np.float64)


def _hash_rows(total: Any, x: Any) -> None:
    """Put the rows of an array into a checksum; of many a thousand."""
    few = _in_file(x) or x.nbytes > _HASHED
    chosen = np.unique(np.linspace(0, len(x) - 1, 1000).astype(np.int64)) if few else np.arange(len(x))
    for first in range(0, len(chosen), 4096):
        total.update(np.ascontiguousarray(_read(x, chosen[first : first + 4096])).tobytes())


def _array(value: Any, place: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{place}: the rows differ in length; give a rectangular array") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{place}: the type {array.dtype} is not that of numbers; give numbers")
    return array


def _series(value: Any, place: str) -> np.ndarray:
    array = _array(value, place)
    array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    _check_finite(array, place)
    return array


def _check_finite(array: np.ndarray, place: str, first: int = 0) -> None:
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        at = wrong[0].tolist()
        shown = ", ".join(map(str, [at[0] + first, *at[1:]]))
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(
            f"{place}[{shown}]: {array[tuple(at)]} is not finite{more}; repair or leave out these examples"
        )


def _nan_in_file(x: Any, place: str) -> list[str]:
    rows = max(1, _SCANNED // max(1, int(np.prod(x.shape[1:]))))
    for first in range(0, x.shape[0], rows):
        try:
            _check_finite(np.asarray(x[first : first + rows]), place, first)
        except InputError as error:
            return error.faults
    return []


def _targets(y: Any, place: str, faults: list[str]) -> np.ndarray:
    try:
        array = _array(y, place)
        if array.ndim == 0:
            raise InputError(f"{place}: is a single number; give one target an example")
        if array.dtype.kind == "b":
            return array.astype(np.int64)
        if array.dtype.kind == "f":
            _check_finite(array, place)
        return array
    except InputError as error:
        faults += error.faults
        return np.zeros(0)


def _classes(y: np.ndarray, given: int | None, name: str, faults: list[str]) -> int:
    if given is not None and (isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1):
        faults.append(f"{name}.classes: {given!r} is no number of classes; give 1 or more")
        given = None
    count = int(y.max()) + 1 if given is None else int(given)
    wrong = np.argwhere((y < 0) | (y >= count))
    if len(wrong):
        at = tuple(wrong[0].tolist())
        shown = ", ".join(map(str, at))
        faults.append(f"{name}.y[{shown}]: {y[at]} is no label; labels go from 0 to {count - 1}")
    return count


def _paired(data: Any) -> Dataset:
    if isinstance(data, Sequence) and not isinstance(data, str) and len(data) == 2:
        return Dataset(*data)
    raise InputError(f"DataLoader.data: {type(data).__name__} is no data; give a Dataset or (x, y)")


def _mixed(order: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same examples in an order in which every stretch has the mix of the whole: classes dealt out evenly."""
    place = np.empty(len(order))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.asarray(order[np.argsort(place, kind="stable")])
