"""Losses that compare outputs with targets, and the doors to all others. Definitions: features.md S0.L1-S0.L6, S0.L10.

Outputs are (B, C), or (B, T, C) with a value for every step. Labels are whole numbers, or rows of one-hot; one that is
out of range raises an IndexError (S1.13). Every gradient is exact (``check``). Registered under their names in features.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp

from soen_event.errors import InputError
from training.arguments import Faults, LabelError
from training.model import LossValue, Run
from training.objective import (
    Bounded,
    Check,
    FunctionLoss,
    Loss,
    NotFiniteWarning,
    Sum,
    check,
    from_function,
    make,
)
from training.registry import register

__all__ = [
    "MSE",
    "AutoregressiveLoss",
    "Check",
    "CrossEntropy",
    "FirstSpikeCrossEntropy",
    "FunctionLoss",
    "GapLoss",
    "Loss",
    "MSEGradientCutoff",
    "NotFiniteWarning",
    "RelativeMSE",
    "RichMarginLoss",
    "Stub",
    "Sum",
    "TopGapLoss",
    "check",
    "from_function",
    "labels_of",
    "make",
    "softmax_cross_entropy_with_integer_labels",
]

Array = NDArray[Any]


# --------------------------------------------------------------------------------------------- labels and outputs


def labels_of(
    targets: Any, shape: tuple[int, ...], classes: int, place: str, ignored: int | None = None
) -> NDArray[np.int64]:
    """Whole labels of a shape, from such labels or from one-hot rows.

    Raises:
        InputError: another shape, or numbers that are not whole.
        LabelError: a label below 0 or not below ``classes`` (an IndexError), unless it is ``ignored``.
    """
    array = np.asarray(targets)
    if array.shape == (*shape, classes) and array.shape != shape:
        if not np.all((array == 0) | (array == 1)) or not np.all(array.sum(axis=-1) == 1):
            raise InputError(f"{place}.targets: the rows are not one-hot; give labels, or rows with a single 1")
        return np.asarray(np.argmax(array, axis=-1))
    if array.shape != shape:
        raise InputError(
            f"{place}.targets: the shape is {array.shape}; give labels {shape} or one-hot {(*shape, classes)}"
        )
    if array.dtype.kind not in "iufb" or (
        array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == np.floor(array)))
    ):
        raise InputError(f"{place}.targets: they are not whole ({array.dtype}); give labels from 0 to {classes - 1}")
    labels = array.astype(np.int64)
    wrong = (labels < 0) | (labels >= classes)
    if ignored is not None:
        wrong &= labels != ignored
    if np.any(wrong):
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise LabelError(
            f"{place}.targets{list(first)}: label {labels[first]} is out of range for {classes} classes; "
            f"give 0 to {classes - 1}"
        )
    return labels


def _outputs(run: Run, place: str, dimensions: tuple[int, ...] = (2,)) -> Array:
    array = np.asarray(run.outputs)
    if array.ndim not in dimensions or array.dtype.kind not in "iuf" or array.size == 0:
        wanted = " or ".join({2: "(B, C)", 3: "(B, T, C)"}[d] for d in dimensions)
        raise InputError(f"{place}.outputs: {array.dtype} {array.shape}; give numbers {wanted}, at least one")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _softmax(logits: Array) -> tuple[Array, Array]:
    """Softmax and its logarithm over the last axis."""
    log = logits - logsumexp(logits, axis=-1, keepdims=True)
    return np.exp(log), log


def _cross_entropy(logits: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """Values (N,) and gradients (N, C) of rows of logits; shares of the mean are not taken yet."""
    rows = np.arange(len(logits))
    share, log = _softmax(logits)
    share[rows, labels] -= 1.0
    return -log[rows, labels], share


def softmax_cross_entropy_with_integer_labels(logits: ArrayLike, labels: ArrayLike) -> Array:
    """Cross-entropy of every row, no mean: lse(z) - z_y (S1.13). z = (2, 1, 0.1), y = 0: 0.4170300163.

    Args:
        logits: (B, C). labels: (B,), whole, 0 to C - 1.

    Raises:
        LabelError: a label out of range; an IndexError.
    """
    place = "softmax_cross_entropy_with_integer_labels"
    z = _outputs(Run(outputs=np.asarray(logits)), place)
    return _cross_entropy(z, labels_of(labels, z.shape[:1], z.shape[1], place))[0]


# --------------------------------------------------------------------------------------------- one example, one value


@register("loss", "cross_entropy", "sparse_categorical_crossentropy")
@dataclass(frozen=True)
class CrossEntropy(Loss):
    """mean of -log softmax(z)_y (S0.L1); outputs (B, T, C) with labels (B, T) count every step alike.

    Rows of probabilities, (B, C), may stand for labels: mean of -sum p log softmax(z).
    """

    name = "cross_entropy"

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        outputs = _outputs(run, self.name, (2, 3))
        flat = outputs.reshape(-1, outputs.shape[-1])
        given = np.asarray(targets)
        if given.shape == outputs.shape and given.dtype.kind == "f":
            wanted = given.reshape(flat.shape)
            if np.any(wanted < 0) or not np.allclose(wanted.sum(axis=-1), 1.0, atol=1e-6):
                raise InputError(f"{self.name}.targets: rows are no probabilities; give labels, or rows with the sum 1")
            share, log = _softmax(flat)
            values, gradient = -np.sum(np.where(wanted > 0, wanted * log, 0.0), axis=-1), share - wanted
        else:
            labels = labels_of(targets, outputs.shape[:-1], outputs.shape[-1], self.name)
            values, gradient = _cross_entropy(flat, labels.reshape(-1))
        gradient = (gradient / len(flat)).reshape(outputs.shape)
        return LossValue(float(np.mean(values)), outputs=gradient.astype(outputs.dtype, copy=False))


@register("loss", "mse", "mean_square_error")
@dataclass(frozen=True)
class MSE(Loss):
    """mean of (o - t)^2 (S0.L2).

    Outputs of T + 1 steps with targets of T steps lose step 0, the start. Where one side alone has steps, it is averaged
    over them. Targets (B,) fit outputs (B, 1).
    """

    name = "mse"

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        outputs = _outputs(run, self.name, (2, 3))
        wanted = np.asarray(targets)
        if wanted.dtype.kind not in "iufb":
            raise InputError(f"{self.name}.targets: the type {wanted.dtype} is not that of numbers; give numbers")
        gradient = np.zeros_like(outputs)
        seen, back = outputs, gradient  # what is compared, and where its gradient goes
        if outputs.shape[1:] == (1,) and wanted.shape == outputs.shape[:1]:
            wanted = wanted[:, None]
        if outputs.ndim == wanted.ndim == 3 and outputs.shape[1] == wanted.shape[1] + 1:
            seen, back = outputs[:, 1:], gradient[:, 1:]
        elif outputs.ndim == 3 and wanted.ndim == 2:
            seen = outputs.mean(axis=1)
        elif outputs.ndim == 2 and wanted.ndim == 3:
            wanted = wanted.mean(axis=1)
        if seen.shape != wanted.shape:
            raise InputError(
                f"{self.name}.targets: the shape {np.shape(targets)} does not fit outputs {outputs.shape}; make them agree"
            )
        error = seen - wanted
        slope = 2.0 / error.size * error
        if seen.ndim < back.ndim:
            slope = np.broadcast_to(slope[:, None] / outputs.shape[1], back.shape)
        back[...] = slope
        return LossValue(float(np.mean(error**2)), outputs=gradient)


@register("loss", "mse_gradient_cutoff")
@dataclass(frozen=True)
class MSEGradientCutoff(Loss):
    """mse of the last step; every other step has gradient 0 (S0.L3). Targets (B, C), or (B, T, C) of which the last is taken.

    The cut is in the outputs: a model that carries state takes the gradient on through time.
    """

    name = "mse_gradient_cutoff"

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        outputs = _outputs(run, self.name, (2, 3))
        wanted = np.asarray(targets)
        wanted = wanted[:, -1] if wanted.ndim == 3 and wanted.shape[1] else wanted
        last = outputs[:, -1] if outputs.ndim == 3 else outputs
        found = MSE()(last, wanted)
        if outputs.ndim == 2 or found.outputs is None:
            return found
        gradient = np.zeros_like(outputs)
        gradient[:, -1] = found.outputs
        return LossValue(found.value, outputs=gradient)


@register("loss", "gap_loss")
@dataclass(frozen=True)
class GapLoss(Bounded):
    """mean over the batch of sum over j != y of relu(z_j - z_y + margin) (S0.L4). (2, 1, 0.1), margin 1: 0 for y = 0, 2.1 for y = 1."""

    margin: float = 1.0
    name = "gap_loss"
    nonnegative = ("margin",)

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        z = _outputs(run, self.name)
        labels, rows = labels_of(targets, z.shape[:1], z.shape[1], self.name), np.arange(len(z))
        over = z - z[rows, labels][:, None] + self.margin
        over[rows, labels] = 0.0
        value = np.maximum(over, 0.0).sum() / len(z)
        gradient = np.where(over > 0.0, z.dtype.type(1.0 / len(z)), z.dtype.type(0.0))
        gradient[rows, labels] = -gradient.sum(axis=1)
        return LossValue(float(value + 0.0 * over.sum()), outputs=gradient)  # nan stays nan


@register("loss", "top_gap_loss")
@dataclass(frozen=True)
class TopGapLoss(Bounded):
    """Wrong first class: ``max_penalty_offset``; right: that times relu(thr - (z_1 - z_2)) / thr; mean, times factor (S0.L5).

    ``z`` is the output over ``pooling_scale``. A wrong example has gradient 0: add a loss that has one.
    """

    separation_threshold: float = 0.1
    max_penalty_offset: float = 1.0
    factor: float = 1.0
    pooling_scale: float = 1.0
    name = "top_gap_loss"
    positive = ("separation_threshold", "pooling_scale")
    nonnegative = ("max_penalty_offset", "factor")

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        outputs = _outputs(run, self.name)
        z, count = outputs / self.pooling_scale, len(outputs)
        labels, rows = labels_of(targets, z.shape[:1], z.shape[1], self.name), np.arange(count)
        if z.shape[1] < 2:
            raise InputError(f"{self.name}.outputs: there is one class; give two or more")
        order = np.argsort(-z, axis=1, kind="stable")
        first, second = order[:, 0], order[:, 1]
        gap = self.separation_threshold - (z[rows, first] - z[rows, second])
        right = first == labels
        scale = self.factor * self.max_penalty_offset
        each = np.where(right, np.maximum(gap, 0.0) / self.separation_threshold, 1.0) * scale
        gradient = np.zeros_like(outputs)
        slope = np.where(right & (gap > 0.0), scale / (self.separation_threshold * self.pooling_scale * count), 0.0)
        gradient[rows, first], gradient[rows, second] = -slope, slope
        return LossValue(float(np.mean(each) + 0.0 * z.sum()), outputs=gradient)  # nan stays nan


@register("loss", "rich_margin_loss")
@dataclass(frozen=True)
class RichMarginLoss(Bounded):
    """A margin that counts hard examples most, with four helpers (S0.L6); all are means over the batch.

    lambda_gap sum over j != y of relu(m + z_j - z_y)^2 (1 - sigma(z_y - z_j))
    + lambda_noise KL(softmax z || softmax(z + noise)) - lambda_entropy H(softmax z)
    + lambda_consistency mean over pairs of examples (cosine of their z - same class)^2
    + lambda_diversity mean over pairs of classes of the cosine of their mean z.

    The noise is normal, of width ``sigma_noise``; without an ``rng`` it is always the same, so that evaluation repeats.
    """

    margin: float = 0.5
    sigma_noise: float = 0.05
    lambda_gap: float = 1.0
    lambda_noise: float = 0.3
    lambda_entropy: float = 0.1
    lambda_consistency: float = 0.2
    lambda_diversity: float = 0.1
    name = "rich_margin_loss"
    nonnegative = ("margin", "sigma_noise")
    finite = ("lambda_gap", "lambda_noise", "lambda_entropy", "lambda_consistency", "lambda_diversity")

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Sum of the terms, with their gradient; ``parts`` has each term before its lambda."""
        outputs = _outputs(run, self.name)
        z = outputs.astype(np.float64)
        labels = labels_of(targets, z.shape[:1], z.shape[1], self.name)
        noise = self.sigma_noise * (rng or np.random.default_rng(0)).standard_normal(z.shape)
        terms: dict[str, tuple[float, Callable[[], tuple[float, Array]]]] = {
            "gap": (self.lambda_gap, lambda: self._gap(z, labels)),
            "noise": (self.lambda_noise, lambda: _noise_term(z, noise)),
            "entropy": (-self.lambda_entropy, lambda: _entropy(z)),
            "consistency": (self.lambda_consistency, lambda: _consistency(z, labels)),
            "diversity": (self.lambda_diversity, lambda: _diversity(z, labels)),
        }
        total, gradient, parts = 0.0, np.zeros_like(z), {}
        for label, (weight, term) in terms.items():
            parts[label], slope = term()
            total += weight * parts[label]
            gradient += weight * slope
        return LossValue(total, outputs=gradient.astype(outputs.dtype, copy=False), parts=parts)

    def entangled(self, targets: Any = None) -> str | None:
        """Two of its terms compare samples."""
        if self.lambda_consistency == 0.0 and self.lambda_diversity == 0.0:
            return None
        return "its consistency and diversity compare the samples of a batch with each other"

    def _gap(self, z: Array, labels: NDArray[np.int64]) -> tuple[float, Array]:
        rows = np.arange(len(z))
        ahead = z - z[rows, labels][:, None]  # z_j - z_y; 1 - sigma(-x) = sigma(x)
        over, hard = np.maximum(self.margin + ahead, 0.0), expit(ahead)
        over[rows, labels] = 0.0
        slope = (2.0 * over * hard + over**2 * hard * (1.0 - hard)) / len(z)
        slope[rows, labels] = -slope.sum(axis=1)
        return float(np.sum(over**2 * hard) / len(z)), slope


def _noise_term(z: Array, noise: Array) -> tuple[float, Array]:
    p, log_p = _softmax(z)
    q, log_q = _softmax(z + noise)
    each = np.sum(p * (log_p - log_q), axis=1, keepdims=True)
    return float(np.mean(each)), (p * (log_p - log_q - each) + q - p) / len(z)


def _entropy(z: Array) -> tuple[float, Array]:
    p, log_p = _softmax(z)
    each = -np.sum(p * log_p, axis=1, keepdims=True)
    return float(np.mean(each)), -p * (log_p + each) / len(z)


def _directions(z: Array) -> tuple[Array, Array]:
    size = np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    return z / size, size


def _through_direction(slope: Array, unit: Array, size: Array) -> Array:
    """Gradient by z from the gradient by z / |z|."""
    return (slope - np.sum(slope * unit, axis=1, keepdims=True) * unit) / size


def _consistency(z: Array, labels: NDArray[np.int64]) -> tuple[float, Array]:
    if len(z) < 2:
        return 0.0, np.zeros_like(z)
    unit, size = _directions(z)
    error = unit @ unit.T - (labels[:, None] == labels[None, :])
    np.fill_diagonal(error, 0.0)
    pairs = len(z) * (len(z) - 1)
    return float(np.sum(error**2) / pairs), _through_direction(4.0 / pairs * error @ unit, unit, size)


def _diversity(z: Array, labels: NDArray[np.int64]) -> tuple[float, Array]:
    present = np.unique(labels)
    if len(present) < 2:
        return 0.0, np.zeros_like(z)
    member = (labels[:, None] == present[None, :]) / np.sum(labels[:, None] == present[None, :], axis=0)
    unit, size = _directions(member.T @ z)
    pairs = len(present) * (len(present) - 1)
    total = unit.sum(axis=0)
    value = (total @ total - np.sum(unit * unit)) / pairs
    return float(value), member @ _through_direction(2.0 / pairs * (total - unit), unit, size)


# --------------------------------------------------------------------------------------------- tokens, spike times, nothing


@register("loss", "autoregressive_loss", "autoregressive_cross_entropy")
@dataclass(frozen=True)
class AutoregressiveLoss(Bounded):
    """Cross-entropy of what was said at a token's last step against the token that follows (S0.L10).

    Token i fills steps ``start_timestep + i k`` to ``start_timestep + (i + 1) k - 1``, k = ``time_steps_per_token``. The mean is
    over the tokens that count.

    Args:
        vocab_size: of (B, T, C) outputs the first so many classes are used; None for all.
        ignore_index: targets of this value do not count.
        shifted: targets are moved by one token already: target i belongs to token i.
    """

    time_steps_per_token: int = 1
    start_timestep: int = 0
    vocab_size: int | None = None
    ignore_index: int = -100
    shifted: bool = False
    name = "autoregressive_loss"

    def _judge(self, faults: Faults) -> None:
        faults.whole("time_steps_per_token", self.time_steps_per_token, least=1)
        faults.whole("start_timestep", self.start_timestep)
        faults.whole("ignore_index", self.ignore_index, least=-(2**63))
        faults.flag("shifted", self.shifted)
        if self.vocab_size is not None:
            faults.whole("vocab_size", self.vocab_size, least=1)

    def places(self, steps: int, tokens: int) -> NDArray[np.int64]:
        """Step at which the token after each of the first ones is told; InputError if there are too few steps."""
        said = tokens if self.shifted else tokens - 1
        last = self.start_timestep + said * self.time_steps_per_token
        if said < 1 or last > steps:
            raise InputError(
                f"{self.name}.targets: {tokens} tokens need {max(last, 1)} steps and a token to follow; there are {steps} steps"
            )
        return self.start_timestep + self.time_steps_per_token * (np.arange(said) + 1) - 1

    def said(self, outputs: Array, targets: Any) -> tuple[NDArray[np.int64], int, NDArray[np.int64], NDArray[np.bool_]]:
        """(steps, classes, labels (B, n), which of them count) of outputs (B, T, C) and tokens (B, L)."""
        classes = outputs.shape[2] if self.vocab_size is None else self.vocab_size
        if classes > outputs.shape[2]:
            raise InputError(f"{self.name}.vocab_size: {classes} is above the {outputs.shape[2]} outputs; lower it")
        tokens = np.asarray(targets)
        if tokens.ndim != 2 or len(tokens) != len(outputs):
            raise InputError(f"{self.name}.targets: the shape is {tokens.shape}; give tokens ({len(outputs)}, L)")
        places = self.places(outputs.shape[1], tokens.shape[1])
        wanted = tokens if self.shifted else tokens[:, 1:]
        labels = labels_of(wanted, (len(outputs), len(places)), classes, self.name, self.ignore_index)
        return places, classes, labels, labels != self.ignore_index

    def entangled(self, targets: Any = None) -> str | None:
        """Where tokens are ignored, samples have different numbers of those that count."""
        if targets is None or not np.any(np.asarray(targets) == self.ignore_index):
            return None
        return f"its mean is over the tokens that are not {self.ignore_index}, which are not as many in every sample"

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient; targets are tokens (B, L)."""
        outputs = _outputs(run, self.name, (3,))
        places, classes, labels, counts = self.said(outputs, targets)
        if not np.any(counts):
            raise InputError(f"{self.name}.targets: all of them are {self.ignore_index}, to be ignored; give a token")
        values, slopes = _cross_entropy(outputs[:, places, :classes][counts], labels[counts])
        chosen = np.zeros((*counts.shape, classes), dtype=outputs.dtype)
        chosen[counts] = slopes / len(values)
        gradient = np.zeros_like(outputs)
        gradient[:, places, :classes] = chosen
        return LossValue(float(np.mean(values)), outputs=gradient)


@register("loss", "relative_mean_square_error")
@dataclass(frozen=True)
class RelativeMSE(Bounded):
    """mean over the batch of 1/2 sum over i != y of (t_i - t_y - delta)^2: outputs are spike times (Goeltz et al. 2021)."""

    delta: float = 1.0
    name = "relative_mean_square_error"
    finite = ("delta",)

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        times = _outputs(run, self.name)
        labels, rows = labels_of(targets, times.shape[:1], times.shape[1], self.name), np.arange(len(times))
        error = times - times[rows, labels][:, None] - self.delta
        error[rows, labels] = 0.0
        gradient = error / len(times)
        gradient[rows, labels] = -gradient.sum(axis=1)
        return LossValue(float(0.5 * np.sum(error**2) / len(times)), outputs=gradient)


@register("loss", "first_spike_cross_entropy", "ttfs_cross_entropy")
@dataclass(frozen=True)
class FirstSpikeCrossEntropy(Bounded):
    """mean of -log softmax(-t / tau)_y + alpha (exp(t_y / duration) - 1): outputs are first-spike times, inf for none.

    A silent neuron has probability 0; a silent correct one counts as a spike at the end, ``duration``, and its gradient is
    that of this spike (Wunderlich and Pehle 2021; features.md 2.4).
    """

    duration: float
    tau: float = 1.0
    alpha: float = 0.01
    name = "first_spike_cross_entropy"
    positive = ("duration", "tau")
    nonnegative = ("alpha",)

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        times = _outputs(run, self.name).copy()
        labels, rows = labels_of(targets, times.shape[:1], times.shape[1], self.name), np.arange(len(times))
        own = times[rows, labels]
        own[np.isposinf(own)] = self.duration
        times[rows, labels] = own
        values, slopes = _cross_entropy(-times / self.tau, labels)
        late = np.exp(own / self.duration)
        gradient = slopes / (-self.tau * len(times))
        gradient[rows, labels] += self.alpha / (self.duration * len(times)) * late
        return LossValue(float(np.mean(values + self.alpha * (late - 1.0))), outputs=gradient)


@register("loss", "stub")
@dataclass(frozen=True)
class Stub(Loss):
    """0, whatever happens (S0.L17)."""

    name = "stub"

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Nothing."""
        return LossValue(0.0)


from training import regularisers as regularisers  # noqa: E402  so that all names are registered
