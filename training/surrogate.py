"""What a surrogate slope is: forward a step, backward a slope, and a curve that has this slope."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError
from training.arguments import Faults

__all__ = ["Surrogate", "floats"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Surrogate:
    """What all surrogates share. One of your own defines ``_slope``, and ``_area`` if it is known.

    ``_slope(u)`` changes ``u`` in place, from |x| to the slope (from x, where ``even`` is False); ``_area(u)`` returns
    the integral of the slope from 0 to u.

    Args:
        strict: a spike needs x > 0, not x >= 0.
    """

    strict: bool = field(default=False, kw_only=True)
    even: ClassVar[bool] = True
    positive: ClassVar[tuple[str, ...]] = ()
    nonnegative: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        faults = Faults(type(self).__name__)
        faults.flag("strict", self.strict)
        for name in self.positive:
            faults.number(name, getattr(self, name), above=0.0)
        for name in self.nonnegative:
            faults.number(name, getattr(self, name), least=0.0)
        self._judge(faults)
        faults.done()

    def _judge(self, faults: Faults) -> None:
        """Further faults of the options."""

    def _slope(self, u: Array) -> None:
        raise InputError(f"{type(self).__name__}: it has no slope; define _slope(u), which changes u in place")

    def _area(self, u: Array) -> Array:
        name = type(self).__name__
        raise InputError(f"{name}.smooth: no closed form is known; define _area(u), or take another surrogate")

    def forward(self, x: ArrayLike, out: Array | None = None) -> Array:
        """Return exactly 0.0 or 1.0 for each value, in the shape and type of ``x`` (or of ``out``)."""
        values = floats(x)
        result = np.empty_like(values) if out is None else _fitting(out, values, self)
        (np.greater if self.strict else np.greater_equal)(values, 0.0, out=result)
        return result if out is not None else result[()]

    def backward(self, x: ArrayLike, out: Array | None = None) -> Array:
        """Return the slope at each value, in the shape and type of ``x`` (or of ``out``, which may be ``x``)."""
        values = floats(x)
        result = np.empty_like(values) if out is None else _fitting(out, values, self)
        if self.even:
            np.absolute(values, out=result)
        elif result is not values:
            np.copyto(result, values, casting="same_kind")
        with np.errstate(over="ignore", under="ignore"):
            self._slope(result)
        return result if out is not None else result[()]

    def smooth(self, x: ArrayLike) -> Array:
        """Return a rising curve whose derivative is :meth:`backward`, 1/2 at x = 0 (LeakyRelu and LogTailedRelu: 0)."""
        values = floats(x)
        return 0.5 + np.copysign(self._area(np.abs(values)), values)

    __call__ = forward


def floats(x: ArrayLike) -> Array:
    """An array of floats: float32 stays, integers become float64; InputError for anything else."""
    array = np.asarray(x)
    if array.dtype.kind == "f":
        return array
    if array.dtype.kind not in "iub":
        raise InputError(f"surrogate.x: the type {array.dtype} is not that of numbers; give real numbers")
    return array.astype(np.float64)


def _fitting(out: Any, values: Array, owner: Surrogate) -> Array:
    if not isinstance(out, np.ndarray) or out.dtype.kind != "f" or out.shape != values.shape:
        told = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else repr(out)
        raise InputError(f"{type(owner).__name__}.out: {told} does not fit; give an array of floats, {values.shape}")
    return out
