"""Samples and targets of local learning: anything that an encoder takes, one at a time."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from soen_event.errors import InputError
from training.local_errors import DimensionMismatchError, NonFiniteError

__all__ = ["Samples"]


class Samples:
    """Samples, an array (N, ...) or a list of what the encoder takes; targets (N, ...), one for each, or None.

    Raises DimensionMismatchError: no samples, or not as many targets; NonFiniteError: values that are not finite.
    """

    def __init__(self, x: Any, y: Any, place: str):
        self.place = place
        self.x = x if isinstance(x, np.ndarray) else _listed(x, place)
        if len(self.x) == 0 or (isinstance(x, np.ndarray) and x.ndim == 0):
            raise DimensionMismatchError(f"{place}.inputs: there is no sample; give at least one")
        self.y = None if y is None else _targets(y, place)
        if self.y is not None and len(self.y) != len(self.x):
            raise DimensionMismatchError(
                f"{place}.targets: there are {len(self.y)} for {len(self.x)} samples; give one for each"
            )
        for name, array in (("inputs", self.x), ("targets", self.y)):
            if isinstance(array, np.ndarray) and array.dtype.kind in "fc" and not np.isfinite(array).all():
                where = np.argwhere(~np.isfinite(array))[0].tolist()
                raise NonFiniteError(f"{place}.{name}{where}: {array[tuple(where)]} is not finite; correct the data")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def compared(self) -> bool:
        """Whether there are targets that outputs can be compared with."""
        return self.y is not None

    def target(self, k: int) -> Any:
        """Of sample ``k``."""
        return None if self.y is None else self.y[k]

    def batch(self, k: int) -> np.ndarray:
        """The target of sample ``k`` as a batch of one."""
        assert self.y is not None
        return np.asarray(self.y[k])[None]

    def signature(self) -> dict[str, Any]:
        """What must be the same for a run to be finished."""
        total = hashlib.blake2b(digest_size=16)
        for part in (self.x, self.y):
            if isinstance(part, np.ndarray) and part.dtype.kind != "O":
                total.update(f"{part.shape}{part.dtype}".encode() + np.ascontiguousarray(part).tobytes())
        return {"samples": len(self.x), "data": total.hexdigest(), "compared": self.compared}


def _listed(x: Any, place: str) -> list[Any]:
    if isinstance(x, str | dict) or not hasattr(x, "__iter__"):
        raise InputError(
            f"{place}.inputs: {type(x).__name__} is not a list of samples; give an array (N, ...) or a list"
        )
    return list(x)


def _targets(y: Any, place: str) -> Any:
    if isinstance(y, np.ndarray):
        return y
    given = list(y) if hasattr(y, "__iter__") else None
    if given is None:
        raise InputError(f"{place}.targets: {type(y).__name__} is not a list; give one target for each sample")
    if given and isinstance(given[0], dict):
        return given
    try:
        return np.asarray(given)
    except ValueError as error:
        raise DimensionMismatchError(f"{place}.targets: are ragged ({error}); give targets of one shape") from None
