"""Metrics of classes: the confusion matrix and what is computed from it, and of the ranks of scores (features.md S2.16-S2.18)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError
from training.arguments import Faults, LabelError
from training.losses import labels_of
from training.metric import Metric, labelled, outputs_of
from training.registry import register

__all__ = ["F1", "AveragePrecision", "ConfusionMatrix", "Precision", "Recall", "RocAuc"]

Array = NDArray[Any]
AVERAGES = ("macro", "micro", "weighted", "none", "binary")


@register("metric", "confusion_matrix", "ConfusionMatrix")
class ConfusionMatrix(Metric):
    """counts[true, predicted] (S2.16).

    Args:
        num_classes: None: as many as outputs have, or up to the largest label that was seen.
        normalize: "none", "row" (of a true class), "column" (of a predicted one) or "total"; a sum of 0 gives 0.
    """

    name = "confusion_matrix"

    def __init__(self, num_classes: int | None = None, normalize: str | None = "none", *, empty: str = "raise"):
        self.num_classes, self.normalize = num_classes, normalize or "none"
        super().__init__(empty=empty)

    def _judge(self, faults: Faults) -> None:
        if self.num_classes is not None:
            faults.whole("num_classes", self.num_classes, least=1)
        faults.choice("normalize", self.normalize, ("none", "row", "column", "total"))

    def _fresh(self) -> dict[str, Any]:
        size = self.num_classes or 0
        return {"counts": np.zeros((size, size), dtype=np.int64)}

    def _is_empty(self) -> bool:
        return not np.any(self._sums["counts"])

    def update(self, predictions: ArrayLike, targets: ArrayLike) -> None:
        """Take a batch."""
        found, true, classes = labelled(predictions, targets, self.name)
        needed = max([classes or 0, *(int(array.max()) + 1 for array in (found, true) if array.size)])
        if self.num_classes is not None and needed > self.num_classes:
            raise LabelError(f"{self.name}: there are {needed} classes, not {self.num_classes}; raise num_classes")
        counts = self._sums["counts"]
        if needed > len(counts):
            larger = np.zeros((needed, needed), dtype=np.int64)
            larger[: len(counts), : len(counts)] = counts
            counts = self._sums["counts"] = larger
        np.add.at(counts, (true, found), 1)

    @property
    def counts(self) -> NDArray[np.int64]:
        """A copy of the counts."""
        return np.array(self._sums["counts"])

    def _value(self) -> Array:
        counts = self.counts
        if self.normalize == "none":
            return counts
        axis = {"row": 1, "column": 0, "total": None}[self.normalize]
        return counts / np.maximum(counts.sum(axis=axis, keepdims=True), 1)

    def scores(self, average: str = "macro", zero_division: float = 0.0) -> dict[str, Any]:
        """Precision, recall and F1, see :class:`Precision`."""
        from sklearn.metrics import precision_recall_fscore_support as scored

        faults = Faults(type(self).__name__)
        faults.choice("average", average, AVERAGES)
        if not (zero_division in (0.0, 1.0) or (isinstance(zero_division, float) and math.isnan(zero_division))):
            faults.add("zero_division", f"{zero_division!r} is none of 0, 1 and nan; give one of them")
        faults.done()
        counts = self.counts
        present = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
        if average == "binary" and present.size and present[-1] > 1:
            raise InputError(f"{self.name}.average: class {present[-1]} is there, so it is not binary; give another")
        labels = present if self.num_classes is None else np.arange(len(counts))
        true, found = np.nonzero(counts)
        found_scores = scored(
            true,
            found,
            sample_weight=counts[true, found],
            labels=[1] if average == "binary" else labels,
            average=None if average in ("none", "binary") else average,
            zero_division=zero_division,
        )[:3]
        pick = (lambda x: float(x[0])) if average == "binary" else (lambda x: x if average == "none" else float(x))
        return dict(zip(("precision", "recall", "f1"), map(pick, found_scores), strict=True))

    def precision(self, average: str = "macro", zero_division: float = 0.0) -> Any:
        """See :class:`Precision`."""
        return self.scores(average, zero_division)["precision"]

    def recall(self, average: str = "macro", zero_division: float = 0.0) -> Any:
        """See :class:`Recall`."""
        return self.scores(average, zero_division)["recall"]

    def f1(self, average: str = "macro", zero_division: float = 0.0) -> Any:
        """See :class:`F1`."""
        return self.scores(average, zero_division)["f1"]


@register("metric", "precision", "Precision")
class Precision(ConfusionMatrix):
    """Of what was predicted to be a class, the share that is (S2.17).

    Args:
        average: "macro" (mean over classes), "micro" (all samples together), "weighted" (by how often a class is true),
            "none" (an array by class), or "binary" (class 1 of 0 and 1).
        num_classes: all classes below count; None: those that were seen.
        zero_division: what a class has whose share is 0 / 0: 0, 1 or nan (left out of means).
    """

    name = "precision"

    def __init__(
        self,
        average: str = "macro",
        num_classes: int | None = None,
        zero_division: float = 0.0,
        *,
        empty: str = "raise",
    ):
        self.average, self.zero_division = average, zero_division
        super().__init__(num_classes, empty=empty)

    def _judge(self, faults: Faults) -> None:
        super()._judge(faults)
        faults.choice("average", self.average, AVERAGES)
        if not isinstance(self.zero_division, int | float) or not (
            self.zero_division in (0, 1) or math.isnan(self.zero_division)
        ):
            faults.add("zero_division", f"{self.zero_division!r} is none of 0, 1 and nan; give one of them")

    def _value(self) -> Any:
        return self.scores(self.average, self.zero_division)[self.name]


@register("metric", "recall", "Recall")
class Recall(Precision):
    """Of what is a class, the share that was predicted so (S2.17); options as :class:`Precision`."""

    name = "recall"


@register("metric", "f1", "F1")
class F1(Precision):
    """2 precision recall / (precision + recall) (S2.17); options as :class:`Precision`."""

    name = "f1"


# --------------------------------------------------------------------------------------------- ranks of scores


class _OfRanks(Metric):
    """Keeps all scores and labels.

    Args:
        undefined: where only one class is there: "raise" (ValueError) or "nan".
    """

    def __init__(self, *, undefined: str = "raise", empty: str = "raise"):
        self.undefined = undefined
        super().__init__(empty=empty)

    def _judge(self, faults: Faults) -> None:
        faults.choice("undefined", self.undefined, ("raise", "nan"))

    def _fresh(self) -> dict[str, Any]:
        return {"scores": [], "labels": []}

    def _is_empty(self) -> bool:
        return not any(len(labels) for labels in self._sums["labels"])

    def update(self, predictions: ArrayLike, targets: ArrayLike) -> None:
        """Take a batch: scores (B,) of class 1 with labels 0 and 1, or outputs (B, C)."""
        scores = outputs_of(predictions, self.name)
        if scores.ndim not in (1, 2) or (scores.ndim == 2 and scores.shape[1] < 2):
            raise InputError(f"{self.name}.predictions: the shape is {scores.shape}; give scores (B,) or (B, C)")
        held = self._sums["scores"]
        if held and held[0].shape[1:] != scores.shape[1:]:
            raise InputError(f"{self.name}.predictions: {scores.shape} after {held[0].shape}; give as many classes")
        classes = 2 if scores.ndim == 1 else scores.shape[1]
        self._sums["labels"].append(labels_of(targets, scores.shape[:1], classes, self.name).copy())
        held.append(scores.astype(np.float64))

    def state_dict(self) -> dict[str, Any]:
        """All scores and labels, in one array each."""
        return {key: np.concatenate(parts) if parts else np.zeros(0) for key, parts in self._sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict({key: [np.array(value)] if len(value) else [] for key, value in state.items()})

    def _score(self, true: Array, scores: Array) -> float:
        raise NotImplementedError

    def _value(self) -> float:
        scores, labels = (np.concatenate(self._sums[key]) for key in ("scores", "labels"))
        if scores.ndim == 1:
            columns = {1: scores}
        elif scores.shape[1] == 2:
            columns = {1: scores[:, 1] - scores[:, 0]}
        else:
            columns = dict(enumerate(scores.T))
        found = [
            self._score(labels == label, column)
            for label, column in columns.items()
            if 0 < np.count_nonzero(labels == label) < len(labels)
        ]
        if not found:
            if self.undefined == "raise":
                raise InputError(f"{self.name}: only one class is there; give samples of both, or undefined='nan'")
            return math.nan
        return float(np.mean(found))


@register("metric", "roc_auc", "RocAuc")
class RocAuc(_OfRanks):
    """Chance that a sample of the class has a higher score than another, ties count half (S2.18).

    With several classes: the mean over those that some samples have and others have not, each against the rest.
    """

    name = "roc_auc"

    def _score(self, true: Array, scores: Array) -> float:
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(true, scores))


@register("metric", "average_precision", "AveragePrecision", "map")
class AveragePrecision(_OfRanks):
    """Sum over thresholds of (recall - recall before) precision, in steps (S2.18); several classes as :class:`RocAuc`."""

    name = "average_precision"

    def _score(self, true: Array, scores: Array) -> float:
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(true, scores))
