"""Metrics: definitions of features.md (S0.C11, S2.14-S2.18), laws of splitting and renaming, scikit-learn as the judge."""

from __future__ import annotations

import copy
import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
import sklearn.metrics as judge
from hypothesis import given, settings
from hypothesis import strategies as st

from soen_event.errors import InputError
from training import metrics
from training.metrics import F1, Accuracy, ConfusionMatrix, LossTracker, Precision, Recall, RocAuc, TopK, make
from training.model import LossValue

few = settings(max_examples=30, deadline=None)
rng = np.random.default_rng(8)
LOGITS, LABELS = rng.normal(size=(40, 4)), rng.integers(0, 4, 40)
FOUND = LOGITS.argmax(axis=1)


def test_s2_14_accuracy():
    """S2.14, S0.C11: correct over total; no sample is a ValueError, or nan by option; labels out of range raise."""
    assert metrics.accuracy([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]], [0, 1, 1]) == pytest.approx(2 / 3)
    assert metrics.accuracy(LOGITS, LABELS) == judge.accuracy_score(LABELS, FOUND)
    assert (
        metrics.accuracy(FOUND, LABELS)
        == metrics.accuracy(LOGITS, np.eye(4)[LABELS])
        == metrics.accuracy(LOGITS, LABELS)
    )
    steps = LOGITS.reshape(8, 5, 4)
    assert metrics.accuracy(steps, LABELS.reshape(8, 5)) == metrics.accuracy(LOGITS, LABELS)
    with pytest.raises(ValueError, match="no sample"):
        Accuracy().compute()
    assert math.isnan(Accuracy(empty="nan").compute())
    for wrong in (-1, 4):
        with pytest.raises(IndexError):
            metrics.accuracy(LOGITS[:1], [wrong])
    with pytest.raises(IndexError):
        metrics.accuracy([0, -1], [0, 1])
    metric = Accuracy()
    metric.update(LOGITS, LABELS)
    held = metric.compute()
    assert metric([[1.0, 0.0]], [0]) == 1.0 and metric.compute() == held
    metric.reset()
    with pytest.raises(InputError):
        metric.compute()


def test_s0_c11_top_k():
    """S0.C11: among the k largest; k = 5 by default."""
    for k in (1, 2, 3, 4):
        expected = judge.top_k_accuracy_score(LABELS, LOGITS, k=k) if k < 4 else 1.0
        assert metrics.top_k(LOGITS, LABELS, k=k) == pytest.approx(expected)
    assert TopK().k == 5 and metrics.top_k([[1.0, 1.0, 0.0]], [1], k=1) == 0.0
    with pytest.raises(InputError, match="5 classes"):
        metrics.top_k(LOGITS, LABELS)


def test_s0_c11_mse():
    """S0.C11: mean squared error, over all elements of all batches."""
    o, t = rng.normal(size=(7, 3)), rng.normal(size=(7, 3))
    metric = make("mse")
    metric.update(o[:2], t[:2])
    metric.update(o[2:], t[2:])
    assert metric.compute() == pytest.approx(judge.mean_squared_error(t, o))


def test_s0_c11_tokens():
    """S0.C11: autoregressive accuracy, perplexity and bits per character, over the tokens that count."""
    outputs, tokens = rng.normal(size=(2, 4, 3)), np.array([[0, 1, 2, 0], [2, 2, -100, -100]])
    kept = [(outputs[0, i], tokens[0, i + 1]) for i in range(3)] + [(outputs[1, 0], 2)]
    mean = np.mean([-math.log(np.exp(z[y]) / np.exp(z).sum()) for z, y in kept])
    assert metrics.perplexity(outputs, tokens) == pytest.approx(math.exp(mean))
    assert metrics.bits_per_character(outputs, tokens) == pytest.approx(mean / math.log(2))
    right = np.mean([z.argmax() == y for z, y in kept])
    assert make("autoregressive_accuracy")(outputs, tokens) == right
    uniform = np.zeros((1, 8, 16))
    assert metrics.perplexity(uniform, np.zeros((1, 8), int)) == pytest.approx(16.0)
    assert metrics.bits_per_character(uniform, np.zeros((1, 8), int)) == pytest.approx(4.0)
    metric = make("perplexity")
    metric.update(outputs, tokens * 0 - 100)
    with pytest.raises(InputError):
        metric.compute()
    metric.update(outputs * 1e5, np.array([[0, 1, 2, 0], [2, 2, 1, 1]]))
    assert metric.compute() == math.inf
    with pytest.raises(IndexError):
        metric.update(outputs, np.full((2, 4), 3))


def test_s2_15_loss_tracker():
    """S2.15: mean weighted by batch size, min, max, std, window, named parts."""
    tracker, values, sizes = LossTracker(window=3), [1.0, 2.0, 4.0, 8.0], [1, 2, 3, 4]
    for value, size in zip(values, sizes, strict=True):
        tracker.update(LossValue(value, parts={"reg_J": value / 2}), batch_size=size)
    mean = np.average(values, weights=sizes)
    stats = tracker.stats()
    assert tracker.compute() == pytest.approx(mean) == stats["mean"] and stats["count"] == 10
    assert stats["std"] == pytest.approx(math.sqrt(np.average((np.array(values) - mean) ** 2, weights=sizes)))
    assert (stats["min"], stats["max"]) == (1.0, 8.0)
    assert stats["window"] == pytest.approx(np.average(values[1:], weights=sizes[1:]))
    assert tracker.stats("reg_J")["mean"] == pytest.approx(mean / 2)
    tracker.update({"other": 3.0}, 5)
    assert tracker.stats("other")["mean"] == 3.0 and LossTracker().window == 100
    again = LossTracker(window=3)
    again.load_state_dict(tracker.state_dict())
    for each in (tracker, again):
        each.update(0.5)
    assert again.stats() == tracker.stats()
    tracker.update(math.nan)
    assert math.isnan(tracker.compute()) and math.isnan(tracker.stats()["max"])
    for call in (
        lambda: tracker.update("much"),
        lambda: tracker.update(1.0, 0),
        lambda: tracker.stats("reg"),
        lambda: LossTracker(window=0),
        lambda: LossTracker().compute(),
    ):
        with pytest.raises(InputError):
            call()


def test_s2_16_confusion_matrix():
    """S2.16: counts[true, predicted]; normalised by row, column or total."""
    matrix = metrics.confusion_matrix([0, 0, 1, 2], [0, 1, 1, 1])
    assert np.array_equal(matrix, [[1, 0, 0], [1, 1, 1], [0, 0, 0]])
    assert metrics.confusion_matrix([1], [0], num_classes=3).shape == (3, 3)
    plain = judge.confusion_matrix(LABELS, FOUND)
    assert np.array_equal(metrics.confusion_matrix(LOGITS, LABELS), plain)
    for mode, other in (("row", "true"), ("column", "pred"), ("total", "all")):
        mine = metrics.confusion_matrix(LOGITS, LABELS, normalize=mode)
        assert np.allclose(mine, judge.confusion_matrix(LABELS, FOUND, normalize=other))
    assert not np.any(metrics.confusion_matrix([0], [0], num_classes=2, normalize="row")[1])
    with pytest.raises(IndexError):
        metrics.confusion_matrix([3], [0], num_classes=3)
    matrix = ConfusionMatrix()
    matrix.update(LOGITS, LABELS)
    assert matrix.precision("micro") == judge.precision_score(LABELS, FOUND, average="micro")
    assert matrix.recall("macro") == pytest.approx(judge.recall_score(LABELS, FOUND, average="macro"))
    assert matrix.f1("weighted") == pytest.approx(judge.f1_score(LABELS, FOUND, average="weighted"))


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "none"])
@pytest.mark.parametrize(
    ("cls", "plain"), [(Precision, judge.precision_score), (Recall, judge.recall_score), (F1, judge.f1_score)]
)
@given(data=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20), cut=st.integers(0, 20))
@settings(max_examples=10, deadline=None)
def test_s2_17_precision_recall_f1(average, cls, plain, data, cut):
    """S2.17: as scikit-learn has them at once, however the data are split."""
    found, true = np.array(data).T
    metric = cls(average)
    for part in (slice(None, cut), slice(cut, None)):
        metric.update(found[part], true[part])
    expected = plain(true, found, average=None if average == "none" else average, zero_division=0)
    assert metric.compute() == pytest.approx(expected)


def test_s2_17_binary_and_zero_division():
    """S2.17, S0.C11: class 1 alone; 0 / 0 is what is asked for."""
    found, true = [1, 1, 0, 0, 1], [1, 0, 1, 0, 1]
    assert metrics.precision(found, true, average="binary") == pytest.approx(2 / 3)
    assert metrics.recall(found, true, average="binary") == pytest.approx(2 / 3)
    assert metrics.f1(found, true, average="binary") == pytest.approx(2 / 3)
    never = {"predictions": [0, 0, 0], "targets": [0, 0, 1]}
    for value in (0.0, 1.0):
        assert metrics.precision(**never, average="binary", zero_division=value) == value
    assert math.isnan(metrics.precision(**never, average="binary", zero_division=math.nan))
    assert metrics.precision(**never, zero_division=math.nan) == pytest.approx(2 / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(metrics.recall([0, 1], [0, 1], average="none", num_classes=4), [1, 1, 0, 0])
    with pytest.raises(InputError, match="not binary"):
        metrics.precision([2], [1], average="binary")
    for options in ({"average": "makro"}, {"zero_division": 0.5}, {"num_classes": 0}):
        with pytest.raises(InputError):
            Precision(**options)
    with pytest.raises(InputError):
        ConfusionMatrix().scores(zero_division=2)


def test_s2_18_auc_and_average_precision():
    """S2.18: rank-based with ties a half; steps; several classes by the mean of one against the rest."""
    scores, labels = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
    assert metrics.roc_auc(scores, labels) == 0.75
    assert metrics.average_precision(scores, labels) == pytest.approx(0.8333333333)
    assert metrics.roc_auc([0.5, 0.5, 0.5], [0, 1, 1]) == 0.5
    pairs = [(a > b) + 0.5 * (a == b) for a in (1, 2, 2) for b in (0, 2)]
    assert metrics.roc_auc([1, 2, 2, 0, 2], [1, 1, 1, 0, 0]) == pytest.approx(np.mean(pairs))
    two = np.stack([np.zeros(4), scores], axis=1)
    assert metrics.roc_auc(two, labels) == 0.75
    each = [judge.roc_auc_score(k == LABELS, LOGITS[:, k]) for k in range(4)]
    assert metrics.roc_auc(LOGITS, LABELS) == pytest.approx(np.mean(each))
    each = [judge.average_precision_score(k == LABELS, LOGITS[:, k]) for k in range(4)]
    assert metrics.average_precision(LOGITS, LABELS) == pytest.approx(np.mean(each))
    with pytest.raises(ValueError, match="one class"):
        metrics.roc_auc(scores, [1, 1, 1, 1])
    assert math.isnan(metrics.roc_auc(scores, [1, 1, 1, 1], undefined="nan"))
    metric = RocAuc()
    metric.update(scores, labels)
    with pytest.raises(InputError):
        metric.update(LOGITS, LABELS)
    with pytest.raises(IndexError):
        metric.update([0.5], [2])


ALL = ("accuracy", "top_k", "confusion_matrix", "precision", "recall", "f1", "roc_auc", "average_precision")


@pytest.mark.parametrize("name", ALL)
@given(cuts=st.lists(st.integers(0, 40), max_size=3), seed=st.integers(0, 99))
@few
def test_s2_14_splits_change_nothing(name, cuts, seed):
    """S2.14 (and all others): invariant to the split into batches, to the order, and to saving in between."""
    options = {"k": 2} if name == "top_k" else {}
    order, whole = np.random.default_rng(seed).permutation(40), make(name, **options)
    whole.update(LOGITS, LABELS)
    split = make(name, **options)
    edges = [0, *sorted(cuts), 40]
    for a, b in pairwise(edges):
        split.update(LOGITS[order[a:b]], LABELS[order[a:b]])
        again = copy.deepcopy(make(name, **options))
        again.load_state_dict(split.state_dict())
        split = again
    assert np.allclose(split.compute(), whole.compute(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", [n for n in ALL if n != "confusion_matrix"])
@given(names=st.permutations(range(4)))
@few
def test_s2_14_names_of_classes_do_not_matter(name, names):
    """S2.14 (features.md 5.4): invariant to renaming classes."""
    options = {"k": 2} if name == "top_k" else {}
    names = np.array(names)
    assert make(name, **options)(LOGITS[:, np.argsort(names)], names[LABELS]) == pytest.approx(
        make(name, **options)(LOGITS, LABELS)
    )


def test_faults():
    """What is no prediction, metric or option is told."""
    for call in (
        lambda: metrics.accuracy(["a"], [0]),
        lambda: metrics.accuracy([[np.nan, 1.0]], [0]),
        lambda: metrics.accuracy([0.5, 0.2], [0, 1]),
        lambda: metrics.accuracy([0, 1], [0]),
        lambda: make("acuracy"),
        lambda: make("accuracy", topk=3),
        lambda: make(Accuracy),
        lambda: Accuracy(empty="zero"),
        lambda: TopK(0),
        lambda: metrics.perplexity(LOGITS, LABELS),
        lambda: RocAuc(undefined="0"),
        lambda: metrics.roc_auc(np.zeros((2, 1)), [0, 0]),
        lambda: Accuracy().load_state_dict({"counts": 1}),
        lambda: metrics.Metric().update([0], [0]),
    ):
        with pytest.raises(InputError):
            call()
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        make("acuracy")
