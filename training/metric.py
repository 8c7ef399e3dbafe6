"""What a metric is: sums over batches that are made a value at the end, and how predictions are read."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError
from training.arguments import Faults
from training.losses import labels_of
from training.model import LossValue

__all__ = ["Metric", "fed", "labelled", "outputs_of"]

Array = NDArray[Any]


class Metric:
    """What all metrics share: sums that updates add to. A subclass defines ``_fresh``, ``update`` and ``_value``.

    Args:
        empty: what :meth:`compute` does before any update: "raise" (ValueError) or "nan".
    """

    name: str = "metric"

    def __init__(self, *, empty: str = "raise"):
        faults = Faults(type(self).__name__)
        self.empty = faults.choice("empty", empty, ("raise", "nan"))
        self._judge(faults)
        faults.done()
        self._sums: dict[str, Any] = self._fresh()

    def _judge(self, faults: Faults) -> None:
        """Further faults of the options."""

    def _fresh(self) -> dict[str, Any]:
        return {"sum": 0.0, "count": 0.0}

    def _value(self) -> Any:
        return self._sums["sum"] / self._sums["count"]

    def _is_empty(self) -> bool:
        return not self._sums["count"]

    def reset(self) -> None:
        """Forget all updates."""
        self._sums = self._fresh()

    def update(self, predictions: ArrayLike, targets: ArrayLike) -> None:
        """Take a batch."""
        raise InputError(f"{type(self).__name__}.update: not defined; define update(predictions, targets)")

    def compute(self) -> Any:
        """The value over all updates since the last reset."""
        if self._is_empty():
            if self.empty == "raise":
                raise InputError(
                    f"{type(self).__name__}: there is no sample yet; update it, or make it with empty='nan'"
                )
            return math.nan
        return self._value()

    def __call__(self, predictions: ArrayLike, targets: ArrayLike) -> Any:
        """The value of one batch alone; the metric's own sums stay."""
        alone = copy.deepcopy(self)
        alone.reset()
        alone.update(predictions, targets)
        return alone.compute()

    def state_dict(self) -> dict[str, Any]:
        """A copy of the sums."""
        return copy.deepcopy(self._sums)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`; InputError if it is of another metric."""
        if set(state) != set(self._sums):
            raise InputError(f"{type(self).__name__}.state: it has {sorted(state)}, not {sorted(self._sums)}")
        self._sums = copy.deepcopy(dict(state))


def outputs_of(predictions: ArrayLike, place: str) -> Array:
    """Predictions as an array; InputError, named by ``place``, if they are no numbers or some are nan."""
    array = np.asarray(predictions)
    if array.dtype.kind not in "iufb":
        raise InputError(f"{place}.predictions: the type {array.dtype} is not that of numbers; give outputs or labels")
    if array.dtype.kind == "f" and np.any(np.isnan(array)):
        raise InputError(f"{place}.predictions: {np.count_nonzero(np.isnan(array))} are nan; look at the model")
    return array


def fed(metric: Any, outputs: Any, targets: Any, value: LossValue) -> None:
    """Tell a metric about a batch: outputs and targets, which it can not write to, or, where it ``sees`` "loss", the loss."""
    if getattr(metric, "sees", "outputs") == "loss":
        metric.update(value, batch_size=len(outputs))
    else:
        metric.update(_read_only(outputs), _read_only(targets))


def _read_only(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.flags.writeable = False
    return view


def labelled(predictions: ArrayLike, targets: ArrayLike, place: str) -> tuple[Array, Array, int | None]:
    """Predicted and true labels in a row, and how many classes there are, if outputs tell."""
    found, wanted = outputs_of(predictions, place), np.asarray(targets)
    if found.ndim >= 2 and (found.ndim == wanted.ndim + 1 or found.dtype.kind == "f"):
        true = labels_of(wanted, found.shape[:-1], found.shape[-1], place)
        return np.argmax(found, axis=-1).reshape(-1), true.reshape(-1), found.shape[-1]
    if found.dtype.kind == "f":
        raise InputError(
            f"{place}.predictions: {found.dtype} {found.shape} are neither outputs nor labels; give (B, C)"
        )
    most = np.iinfo(np.int64).max
    if wanted.shape != found.shape:
        raise InputError(f"{place}.targets: the shape is {wanted.shape}; labels that are predicted have {found.shape}")
    found, wanted = labels_of(found, found.shape, most, place), labels_of(wanted, found.shape, most, place)
    return found.reshape(-1), wanted.reshape(-1), None
