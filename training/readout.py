"""What the losses see: time courses of the output parts, pooled over time.

A pooling turns (B, T, C) into (B, C), or leaves time in. Names and meanings as in features.md S0 (time pooling) and S1.16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from soen_event.errors import InputError
from training.registry import get, register

__all__ = ["Pooling", "pooling"]


@dataclass(frozen=True)
class Pooling:
    """Base: the whole course, untouched ("none")."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        """(pooled, what :meth:`backward` needs) of ``x``, (B, T, C)."""
        return x, x.shape

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        """Gradient by ``x`` from the gradient by what was pooled."""
        return grad


register("pooling", "none")(Pooling)


def _zeros(shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
    return np.zeros(shape, dtype=like.dtype)


@register("pooling", "mean")
@dataclass(frozen=True)
class Mean(Pooling):
    """Mean over time."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return x.mean(axis=1), x.shape

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        return np.broadcast_to(grad[:, None] / kept[1], kept).astype(grad.dtype)


@register("pooling", "sum", "count")
@dataclass(frozen=True)
class Total(Pooling):
    """Sum over time; of spikes, their count."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return x.sum(axis=1), x.shape

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        return np.broadcast_to(grad[:, None], kept).astype(grad.dtype)


@register("pooling", "max")
@dataclass(frozen=True)
class Max(Pooling):
    """Largest over time; the gradient goes to the first of equals."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        at = x.argmax(axis=1)
        return np.take_along_axis(x, at[:, None], axis=1)[:, 0], (x.shape, at)

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        shape, at = kept
        out = _zeros(shape, grad)
        np.put_along_axis(out, at[:, None], grad[:, None], axis=1)
        return out


@register("pooling", "rms")
@dataclass(frozen=True)
class RootMeanSquare(Pooling):
    """Root of the mean square over time; gradient 0 where it is 0."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        value = np.sqrt(np.mean(x * x, axis=1))
        return value, (x, value)

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        x, value = kept
        share = np.divide(grad, value * x.shape[1], out=np.zeros_like(grad), where=value > 0.0)
        return x * share[:, None]


@register("pooling", "mean_last_n")
@dataclass(frozen=True)
class MeanLast(Pooling):
    """Mean over the last ``n`` steps (all, if there are fewer)."""

    n: int = 10

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"mean_last_n.n: {self.n!r}, at least 1")

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return x[:, -self.n :].mean(axis=1), x.shape

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        out = _zeros(kept, grad)
        n = min(self.n, kept[1])
        out[:, -n:] = grad[:, None] / n
        return out


@register("pooling", "final", "last")
@dataclass(frozen=True)
class Final(Pooling):
    """The last step."""

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return x[:, -1].copy(), x.shape

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        out = _zeros(kept, grad)
        out[:, -1] = grad
        return out


@register("pooling", "mean_range")
@dataclass(frozen=True)
class MeanRange(Pooling):
    """Mean over the steps ``start`` to ``stop`` (not included; None: to the end)."""

    start: int = 0
    stop: int | None = None

    def _slice(self, steps: int) -> slice:
        found = slice(*slice(self.start, self.stop).indices(steps))
        if found.stop <= found.start:
            raise InputError(f"mean_range: no step from {self.start} to {self.stop} among {steps}")
        return found

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return x[:, self._slice(x.shape[1])].mean(axis=1), x.shape

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        out, part = _zeros(kept, grad), self._slice(kept[1])
        out[:, part] = grad[:, None] / (part.stop - part.start)
        return out


@register("pooling", "ewa")
@dataclass(frozen=True)
class WeightedMean(Pooling):
    """Mean with weights that grow exponentially in time from ``min_weight`` at the first step to 1 at the last."""

    min_weight: float = 0.2

    def __post_init__(self) -> None:
        if not 0.0 < self.min_weight <= 1.0:
            raise InputError(f"ewa.min_weight: {self.min_weight!r}, above 0 and at most 1")

    def _weights(self, steps: int) -> np.ndarray:
        w = self.min_weight ** (1.0 - np.arange(steps) / max(steps - 1, 1)) if steps > 1 else np.ones(1)
        return w / w.sum()

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        return np.einsum("btc,t->bc", x, self._weights(x.shape[1]).astype(x.dtype)), x.shape

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        return grad[:, None] * self._weights(kept[1]).astype(grad.dtype)[None, :, None]


@register("pooling", "first_spike")
@dataclass(frozen=True)
class FirstSpike(Pooling):
    """Minus the time of the first spike in steps; minus the number of steps without one. Spikes of 0 to 1 count as shares.

    The time is sum over t of the probability that none has come by t, so it has a gradient by every spike until the first whole one.
    """

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        silent = np.cumprod(1.0 - x, axis=1)
        return -silent.sum(axis=1), (x, silent)

    def backward(self, grad: np.ndarray, kept: Any) -> np.ndarray:
        x, silent = kept
        out = np.zeros_like(x)
        before = np.concatenate([np.ones_like(silent[:, :1]), silent[:, :-1]], axis=1)
        later = np.zeros_like(x[:, 0])  # sum over t' > t of the product of (1 - x) from t + 1 to t'
        for t in range(x.shape[1] - 1, -1, -1):
            out[:, t] = grad * before[:, t] * (1.0 + later)
            later = (1.0 - x[:, t]) * (1.0 + later)
        return out


def pooling(name: str | Pooling, **options: Any) -> Pooling:
    """A pooling by name with its options; a pooling as it is."""
    if isinstance(name, Pooling):
        return name
    try:
        return get("pooling", name)(**options)
    except TypeError as told:
        raise InputError(f"pooling {name!r}: {told}; see its options") from None
