"""How good predictions are. Definitions: features.md S0.C11, S2.14-S2.18.

    metric = Accuracy()
    metric.update(predictions, targets)        # batch by batch; how the data are split does not matter
    metric.compute(), metric.reset()
    accuracy(predictions, targets)             # at once

Predictions of classes are outputs (B, C) or (B, T, C), whose largest counts (the first of equal ones), or labels in whole numbers.
Targets are labels, or one-hot rows where predictions are outputs. A label that is out of range raises an IndexError.
Without any update ``compute`` raises a ValueError; with ``empty="nan"`` it is nan.
"""

from __future__ import annotations

import math
import numbers
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError, nearest
from training.arguments import Faults, build
from training.classes import F1, AveragePrecision, ConfusionMatrix, Precision, Recall, RocAuc
from training.losses import MSE, AutoregressiveLoss, labels_of, softmax_cross_entropy_with_integer_labels
from training.metric import Metric, labelled, outputs_of
from training.model import LossValue, Run
from training.registry import register

__all__ = [
    "F1",
    "Accuracy",
    "AutoregressiveAccuracy",
    "AveragePrecision",
    "BitsPerCharacter",
    "ConfusionMatrix",
    "LossTracker",
    "MeanSquaredError",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "RocAuc",
    "TopK",
    "accuracy",
    "average_precision",
    "bits_per_character",
    "confusion_matrix",
    "f1",
    "make",
    "mse",
    "perplexity",
    "precision",
    "recall",
    "roc_auc",
    "top_k",
]

Array = NDArray[Any]


# --------------------------------------------------------------------------------------------- shares and means


@register("metric", "accuracy", "acc", "Accuracy")
class Accuracy(Metric):
    """Correct over total (S2.14, S0.C11)."""

    name = "accuracy"

    def update(self, predictions: ArrayLike, targets: ArrayLike) -> None:
        """Take a batch."""
        found, true, _ = labelled(predictions, targets, self.name)
        self._sums["sum"] += float(np.count_nonzero(found == true))
        self._sums["count"] += true.size


@register("metric", "top_k", "TopK", "top_k_accuracy")
class TopK(Metric):
    """Share of samples whose class is among the k largest outputs; of equal ones the first counts as larger (S0.C11)."""

    name = "top_k"

    def __init__(self, k: int = 5, *, empty: str = "raise"):
        self.k = k
        super().__init__(empty=empty)

    def _judge(self, faults: Faults) -> None:
        faults.whole("k", self.k, least=1)

    def update(self, predictions: ArrayLike, targets: ArrayLike) -> None:
        """Take a batch."""
        found = outputs_of(predictions, self.name)
        if found.ndim < 2 or found.shape[-1] < self.k:
            raise InputError(f"{self.name}.predictions: {found.shape} have no {self.k} classes; give more, or lower k")
        true = labels_of(targets, found.shape[:-1], found.shape[-1], self.name).reshape(-1)
        flat, rows = found.reshape(-1, found.shape[-1]), np.arange(true.size)
        own = flat[rows, true][:, None]
        ahead = (flat > own) | ((flat == own) & (np.arange(flat.shape[1]) < true[:, None]))
        self._sums["sum"] += float(np.count_nonzero(ahead.sum(axis=1) < self.k))
        self._sums["count"] += true.size


@register("metric", "mse", "MeanSquaredError")
class MeanSquaredError(Metric):
    """Mean squared error, with the shapes of :class:`training.losses.MSE` (S0.C11)."""

    name = "mse"

    def update(self, predictions: ArrayLike, targets: ArrayLike) -> None:
        """Take a batch."""
        found, wanted = outputs_of(predictions, self.name), np.asarray(targets)
        value = MSE().value(Run(outputs=found), wanted, None, None).value
        count = min(found.size, wanted.size)
        self._sums["sum"] += value * count
        self._sums["count"] += count


class _OfTokens(Metric):
    """Options as those of :class:`training.losses.AutoregressiveLoss`."""

    def __init__(
        self,
        time_steps_per_token: int = 1,
        start_timestep: int = 0,
        vocab_size: int | None = None,
        ignore_index: int = -100,
        shifted: bool = False,
        *,
        empty: str = "raise",
    ):
        self.tokens = AutoregressiveLoss(time_steps_per_token, start_timestep, vocab_size, ignore_index, shifted)
        super().__init__(empty=empty)

    def update(self, predictions: ArrayLike, targets: ArrayLike) -> None:
        """Take a batch: outputs (B, T, C), tokens (B, L)."""
        found = outputs_of(predictions, self.name)
        if found.ndim != 3:
            raise InputError(f"{self.name}.predictions: the shape is {found.shape}; give outputs (B, T, C)")
        places, classes, labels, counts = self.tokens.said(found, targets)
        if np.any(counts):
            self._sums["sum"] += self._of(found[:, places, :classes][counts], labels[counts])
            self._sums["count"] += int(np.count_nonzero(counts))

    def _of(self, logits: Array, labels: Array) -> float:
        return float(np.sum(softmax_cross_entropy_with_integer_labels(logits, labels)))


@register("metric", "autoregressive_accuracy", "AutoregressiveAccuracy")
class AutoregressiveAccuracy(_OfTokens):
    """Share of tokens that are told right before they come (S0.C11)."""

    name = "autoregressive_accuracy"

    def _of(self, logits: Array, labels: Array) -> float:
        return float(np.count_nonzero(np.argmax(logits, axis=-1) == labels))


@register("metric", "perplexity", "Perplexity")
class Perplexity(_OfTokens):
    """exp of the mean cross-entropy of a token (S0.C11)."""

    name = "perplexity"

    def _value(self) -> float:
        mean = super()._value()
        return math.exp(mean) if mean < 709.0 else math.inf


@register("metric", "bits_per_character", "BitsPerCharacter")
class BitsPerCharacter(_OfTokens):
    """Mean cross-entropy of a token, in bits (S0.C11)."""

    name = "bits_per_character"

    def _value(self) -> float:
        return super()._value() / math.log(2.0)


# --------------------------------------------------------------------------------------------- losses


@register("metric", "loss_tracker", "LossTracker")
class LossTracker(Metric):
    """Means of a loss, weighted by batch size, and of its named parts (S2.15).

        tracker.update(found, batch_size=32)           # a LossValue, a number, or numbers by name
        tracker.compute(), tracker.stats("reg_J")

    Args:
        window: of the running mean, in updates.

    Among the metrics of a :class:`training.loop.Trainer` it is told every batch's loss and its parts.
    """

    name = "loss_tracker"
    sees = "loss"

    def __init__(self, window: int = 100, *, empty: str = "raise"):
        self.window = window
        super().__init__(empty=empty)

    def _judge(self, faults: Faults) -> None:
        faults.whole("window", self.window, least=1)

    def _fresh(self) -> dict[str, Any]:
        return {"components": {}}

    def _is_empty(self) -> bool:
        return not self._sums["components"]

    def update(self, predictions: Any, targets: Any = 1, *, batch_size: int | None = None) -> None:
        """Take the loss of a batch; ``targets`` or ``batch_size`` is how many examples it is the mean of, 1 or more."""
        size = targets if batch_size is None else batch_size
        faults = Faults(type(self).__name__)
        weight = faults.whole("batch_size", size, least=1)
        if isinstance(predictions, LossValue):
            values: dict[str, Any] = {"loss": predictions.value, **predictions.parts}
        else:
            values = dict(predictions) if isinstance(predictions, Mapping) else {"loss": predictions}
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                faults.add(str(name), f"{value!r} is not a number; give a loss")
        faults.done()
        for name, value in values.items():
            held = self._sums["components"].setdefault(
                name, {"weight": 0, "mean": 0.0, "squares": 0.0, "min": math.inf, "max": -math.inf, "last": []}
            )
            held["weight"] += weight
            away = float(value) - held["mean"]
            held["mean"] += away * weight / held["weight"]
            held["squares"] += weight * away * (float(value) - held["mean"])
            held["min"], held["max"] = float(np.minimum(held["min"], value)), float(np.maximum(held["max"], value))
            held["last"] = list(deque([*held["last"], [float(value), float(weight)]], maxlen=self.window))

    def stats(self, name: str = "loss") -> dict[str, float]:
        """count (of examples), mean, std (of batches, weighted), min, max, and window: the mean of the last updates."""
        components = self._sums["components"]
        if name not in components:
            raise InputError(
                f"{self.name}: {name!r} was not told{nearest(name, components)}; known: {', '.join(components)}"
            )
        held = components[name]
        last = np.array(held["last"])
        return {
            "count": held["weight"],
            "mean": held["mean"],
            "std": math.sqrt(max(held["squares"], 0.0) / held["weight"]),
            "min": held["min"],
            "max": held["max"],
            "window": float(np.average(last[:, 0], weights=last[:, 1])),
        }

    def _value(self) -> Any:
        components = self._sums["components"]
        if "loss" in components:
            return components["loss"]["mean"]
        return {name: held["mean"] for name, held in components.items()}


# --------------------------------------------------------------------------------------------- at once


def make(metric: Any, **options: Any) -> Any:
    """A metric from its name, from ``{"name": ..., option: value}``, or the object itself.

    Raises:
        InputError: an unknown name or option, or a thing without update, compute and reset.
    """
    made = build("metric", metric, **options)
    if isinstance(made, type) or not all(
        callable(getattr(made, call, None)) for call in ("update", "compute", "reset")
    ):
        raise InputError(f"metric: {made!r} has no update, compute and reset; give a name or a Metric")
    return made


def _at_once(name: str) -> Callable[..., Any]:
    def function(predictions: ArrayLike, targets: ArrayLike, **options: Any) -> Any:
        return make(name, **options)(predictions, targets)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f'The metric "{name}" of predictions and targets at once; options are those of its class.'
    return function


accuracy = _at_once("accuracy")
average_precision = _at_once("average_precision")
bits_per_character = _at_once("bits_per_character")
confusion_matrix = _at_once("confusion_matrix")
f1 = _at_once("f1")
mse = _at_once("mse")
perplexity = _at_once("perplexity")
precision = _at_once("precision")
recall = _at_once("recall")
roc_auc = _at_once("roc_auc")
top_k = _at_once("top_k")
