"""Values into time series: (N, D) numbers from 0 to 1 become (N, T, D) inputs of a time-stepped network.

The codes of :mod:`soen_event.stimulus` on a grid of steps. Every encoder is registered as "encoder" and called as
``encoder(values, steps, **options)``; those that draw numbers take ``seed``, and an example's draws depend on the seed and its own
number alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from soen_event.errors import InputError
from training.address import checked_seed, stream
from training.registry import get, register

__all__ = ["encode", "hold", "latency", "phase", "photons", "rank_order", "rate", "rows"]


def encode(values: ArrayLike, encoder: str | Callable[..., np.ndarray], steps: int, **options: Any) -> np.ndarray:
    """Series (N, steps, D) of values (N, D) by the encoder of this name.

    Raises:
        InputError: an unknown encoder, an option that it does not have, values outside [0, 1], or ``steps`` below 1.
    """
    function = get("encoder", encoder) if isinstance(encoder, str) else encoder
    try:
        return np.asarray(function(values, steps, **options))
    except TypeError as error:
        raise InputError(
            f"encode.options: {encoder!r} does not take {sorted(options)} ({error}); correct them"
        ) from None


@register("encoder", "hold")
def hold(
    values: ArrayLike, steps: int, *, amplitude: float = 1.0, start: int = 0, stop: int | None = None
) -> np.ndarray:
    """A steady input: ``amplitude`` times the value from step ``start`` to before ``stop`` (the end by default), else 0."""
    v, steps = _checked(values, steps, "hold")
    out = np.zeros((len(v), steps, v.shape[1]))
    out[:, start:stop] = amplitude * v[:, None, :]
    return out


@register("encoder", "photons")
def photons(values: ArrayLike, steps: int, *, most: int = 3, window: float = 0.5) -> np.ndarray:
    """Counts of photons: a value v sends round(most v) of them, evenly over the first ``window`` (a share of the steps).

    The code of ``examples/digits``.
    """
    v, steps = _checked(values, steps, "photons")
    if not 0.0 < window <= 1.0:
        raise InputError(f"photons.window: {window!r} is no share of the steps; give more than 0, up to 1")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InputError(f"photons.most: {most!r} is no number of photons; give a whole number from 1")
    out = np.zeros((len(v), steps, v.shape[1]))
    count = np.round(v * most).astype(np.int64)
    for k in range(most):
        sample, feature = np.nonzero(count > k)
        at = ((k + 0.5) / count[sample, feature] * window * steps).astype(np.int64)
        np.add.at(out, (sample, at, feature), 1.0)
    return out


@register("encoder", "rate", "poisson")
def rate(values: ArrayLike, steps: int, *, max_rate: float = 0.5, seed: int = 0) -> np.ndarray:
    """Poisson counts with a mean of value times ``max_rate`` a step."""
    v, steps = _checked(values, steps, "rate")
    if not max_rate >= 0.0 or not np.isfinite(max_rate):
        raise InputError(f"rate.max_rate: {max_rate!r} is no rate; give photons a step, 0 or above")
    seed = checked_seed(seed, "rate.seed")
    out = np.empty((len(v), steps, v.shape[1]))
    for n, row in enumerate(v):
        out[n] = stream(seed, "rate", n).poisson(row * max_rate, (steps, len(row)))
    return out


@register("encoder", "latency")
def latency(values: ArrayLike, steps: int, *, threshold: float = 0.0) -> np.ndarray:
    """One photon a feature with v >= threshold, the sooner the larger: at step round((1 - v)(steps - 1))."""
    v, steps = _checked(values, steps, "latency")
    out = np.zeros((len(v), steps, v.shape[1]))
    sample, feature = np.nonzero(v >= threshold)
    out[sample, np.floor((1.0 - v[sample, feature]) * (steps - 1) + 0.5).astype(np.int64), feature] = 1.0
    return out


@register("encoder", "rank_order")
def rank_order(values: ArrayLike, steps: int, *, threshold: float = 0.0) -> np.ndarray:
    """One photon a feature with v >= threshold, in descending order of value, one step a rank; equal values share a rank.

    Ranks past the last step send nothing.
    """
    v, steps = _checked(values, steps, "rank_order")
    out = np.zeros((len(v), steps, v.shape[1]))
    for n, row in enumerate(v):
        kept = np.flatnonzero(row >= threshold)
        rank = np.unique(-row[kept], return_inverse=True)[1]
        out[n, rank[rank < steps], kept[rank < steps]] = 1.0
    return out


@register("encoder", "phase")
def phase(values: ArrayLike, steps: int, *, cycles: int = 1, threshold: float = 0.0) -> np.ndarray:
    """One photon a feature with v > threshold in every cycle, the earlier in it the larger: (1 - v) of a cycle."""
    v, steps = _checked(values, steps, "phase")
    if cycles < 1 or steps < cycles:
        raise InputError(f"phase.cycles: {cycles} cycles do not fit into {steps} steps; give 1 to {steps}")
    out = np.zeros((len(v), steps, v.shape[1]))
    sample, feature = np.nonzero(v > threshold)
    for cycle in range(cycles):
        at = (steps / cycles * (cycle + 1.0 - v[sample, feature])).astype(np.int64)
        out[sample, np.minimum(at, steps - 1), feature] = 1.0
    return out


@register("encoder", "rows")
def rows(values: ArrayLike, steps: int, *, amplitude: float = 1.0) -> np.ndarray:
    """Pictures row by row: D = R C values are R rows of C, each shown for steps // R steps; (N, steps, C).

    Raises:
        InputError: D is not R C for a square, or the rows do not share the steps evenly.
    """
    v, steps = _checked(values, steps, "rows")
    side = round(v.shape[1] ** 0.5)
    if side * side != v.shape[1]:
        raise InputError(f"rows.values: {v.shape[1]} values make no square picture; give n x n")
    if steps % side:
        raise InputError(f"rows.steps: {steps} steps do not share out among {side} rows; give a multiple of {side}")
    return np.repeat(amplitude * v.reshape(-1, side, side), steps // side, axis=1)


def _checked(values: ArrayLike, steps: int, place: str) -> tuple[np.ndarray, int]:
    v = np.asarray(values, dtype=np.float64)
    faults = []
    if v.ndim != 2 or 0 in v.shape:
        faults.append(f"{place}.values: has shape {v.shape}; give (examples, features), at least one of each")
    elif not np.all((v >= 0.0) & (v <= 1.0)):
        at = np.argwhere(~((v >= 0.0) & (v <= 1.0)))[0].tolist()
        faults.append(f"{place}.values{at}: {v[tuple(at)]} is not in [0, 1]; scale the values")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        faults.append(f"{place}.steps: {steps!r} is no number of steps; give 1 or more")
    if faults:
        raise InputError(faults)
    return v, int(steps)
