"""Anything that gives batches, made to look like a :class:`~training.data.DataLoader`: ``batches(epoch, start)``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from soen_event.errors import InputError
from training.data import DataLoader, Dataset

__all__ = ["as_batches", "length", "numbered", "signature"]


class _Batches:
    """Batches of anything that can be iterated over again and again."""

    def __init__(self, source: Iterable[Any]):
        self.source = source

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of an epoch from number ``start`` on."""
        if hasattr(self.source, "set_epoch"):
            self.source.set_epoch(epoch)
        for number, (x, y) in enumerate(self.source):
            if number >= start:
                yield np.asarray(x), np.asarray(y)


def as_batches(data: Any, batch_size: int, seed: int, *, shuffle: bool) -> Any:
    """Something with ``batches(epoch, start)``: a loader as it is, one of a Dataset or of (x, y), or the batches of an iterable.

    Raises:
        InputError: it can be gone through only once, or gives nothing.
    """
    if hasattr(data, "batches"):
        return data
    pair = isinstance(data, tuple) and len(data) == 2 and all(hasattr(each, "shape") for each in data)
    if pair or isinstance(data, Dataset):
        return DataLoader(data, batch_size, shuffle=shuffle, seed=seed)
    if isinstance(data, Iterator) or not isinstance(data, Iterable):
        told = "can be gone through only once" if isinstance(data, Iterator) else "is no data"
        raise InputError(
            f"Trainer.data: {type(data).__name__} {told}; give a DataLoader, a Dataset, (x, y), or a list of batches"
        )
    return _Batches(data)


def length(loader: Any) -> int | None:
    """Batches in an epoch, or None where that is not known before."""
    source: Any = loader.source if isinstance(loader, _Batches) else loader
    return len(source) if hasattr(source, "__len__") else None


def signature(loader: Any) -> dict[str, Any]:
    """What must be the same for a run to be finished by another process."""
    if not isinstance(loader, DataLoader):
        return {"batches": length(loader)}
    return {
        "examples": len(loader.data),
        "batch_size": loader.batch_size,
        "shuffle": loader.shuffle,
        "drop_last": loader.drop_last,
        "data": loader.data.digest(),
        "data seed": loader.seed,
    }


def numbered(batches: Iterable[Any], start: int, size: int | None) -> Iterator[tuple[int, bool, Any]]:
    """Number, whether it is the last, and the batch; looks one ahead only where the number of batches is unknown."""
    if size is not None:
        for number, batch in enumerate(batches, start):
            yield number, number + 1 == size, batch
        return
    held: list[Any] = []
    number = start
    for batch in batches:
        if held:
            yield number, False, held.pop()
            number += 1
        held.append(batch)
    if held:
        yield number, True, held.pop()
