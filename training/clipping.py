"""Gradients made smaller in place, and decay added to them (features.md S2.06)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from soen_event.errors import InputError
from training.arguments import Faults, matching

__all__ = ["add_weight_decay", "clip_by_global_norm", "clip_by_norm", "clip_by_value", "global_norm"]

Array = NDArray[Any]
Gradients: TypeAlias = "Mapping[str, Array] | Iterable[Array]"


def global_norm(gradients: Gradients) -> float:
    """Root of the sum of all squares.

    Raises:
        InputError: a gradient is not finite; it names each.
    """
    return math.hypot(*_norms(gradients, "global_norm").values())


def clip_by_global_norm(gradients: Gradients, max_norm: float) -> float:
    """Scale all gradients by min(1, max_norm / (n + 1e-6)); returns n, the norm before.

    (3, 4), (12) with max_norm 1: n = 13, the factor is 0.0769.

    Raises:
        InputError: ``max_norm`` is not above 0, or a gradient is not finite; nothing is changed then.
    """
    most, named = _most("clip_by_global_norm", "max_norm", max_norm), _named(gradients)
    norm = math.hypot(*_norms(named, "clip_by_global_norm").values())
    factor = most / (norm + 1e-6)
    if factor < 1.0:
        for gradient in named.values():
            gradient *= factor
    return norm


def clip_by_norm(gradients: Gradients, max_norm: float) -> dict[str, float]:
    """The same for each gradient apart; returns their norms before, by name (or place)."""
    most, named = _most("clip_by_norm", "max_norm", max_norm), _named(gradients)
    norms = _norms(named, "clip_by_norm")
    for name, gradient in named.items():
        factor = most / (norms[name] + 1e-6)
        if factor < 1.0:
            gradient *= factor
    return norms


def clip_by_value(gradients: Gradients, max_value: float) -> float:
    """Hold every entry within -max_value and max_value; returns the largest size before. nan stays nan, and is returned."""
    most, largest = _most("clip_by_value", "max_value", max_value), 0.0
    for gradient in _named(gradients).values():
        if gradient.size:
            largest = float(np.max([largest, -float(np.min(gradient)), float(np.max(gradient))]))
            np.minimum(gradient, most, out=gradient)
            np.maximum(gradient, -most, out=gradient)
    return largest


def add_weight_decay(
    parameters: Mapping[str, Array],
    gradients: Mapping[str, Array],
    weight_decay: float,
    match: str | Iterable[str] = "*",
) -> None:
    """gradient += weight_decay * parameter, for names that fit the shell patterns ``match``.

    Raises:
        InputError: a decay below 0, a pattern that fits nothing, a parameter without a gradient.
    """
    faults = Faults("add_weight_decay")
    amount = faults.number("weight_decay", weight_decay, least=0.0)
    chosen = matching(match, parameters, "add_weight_decay.match")
    for name in chosen:
        if name not in gradients:
            faults.add("gradients", f"{name!r} has none; give one for every parameter")
    faults.done()
    for name in chosen:
        gradients[name][...] += amount * parameters[name]


def _most(place: str, field: str, value: float) -> float:
    faults = Faults(place)
    most = faults.number(field, value, above=0.0)
    faults.done()
    return most


def _named(gradients: Gradients) -> dict[str, Array]:
    if isinstance(gradients, Mapping):
        return dict(gradients)
    return {str(place): gradient for place, gradient in enumerate(gradients)}


def _norms(gradients: Gradients, place: str) -> dict[str, float]:
    norms, wrong = {}, []
    for name, gradient in _named(gradients).items():
        flat = gradient.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            norm = math.sqrt(float(np.dot(flat, flat)))
        if not math.isfinite(norm):
            size = float(np.max(np.abs(flat)))
            norm = size * float(np.linalg.norm(flat / size)) if math.isfinite(size) else math.nan
        if math.isnan(norm):
            wrong.append(f"{place}.gradients[{name!r}]: some are not finite; look for what made them so")
        norms[name] = norm
    if wrong:
        raise InputError(wrong)
    return norms
