"""The source function of the RTTI dendrite, rebuilt from the few numbers of it that are published.

RTTI is a receiving loop, a two-stage Josephson transmission line and an integration loop: four junctions with
separate biases for threshold and storage. Its source function is periodic in flux with period 1 but, unlike the RI
dendrite's, symmetric about neither 0 nor 1/2: within one period the dendrite can produce fluxons for phi in (phi_th+,
1 + phi_th-), and the largest current it can reach rises in two steps to a nearly flat top. These are plain vectorised
functions. They are meant for building a table, not for the inside of a loop.

**Conventions.** ``ib`` is the *nominal* bias that names the published table files, 1.50 to 2.65 in 16 equal steps. It
is not the current into one branch: nominal 2.0 stands for branch biases 1.750, 0.350 and 0.700, chosen so that all four
junctions carry 0.7 of I_c. Flux is in Phi0, current in units of I_c, and r = 2 pi f tau_0 is the mean voltage in units
of I_c r_j.

**What is data** (physics.md section 2.5, and nothing else): the 16 pairs of threshold flux, on a flux grid of 0.01; the
16 largest currents; the saturation current at nominal bias index 10 for phi = 0.16 to 0.30; the saturation current and
the rate at nominal bias 2.0 for phi = 0.25, 0.35 and 0.483. Each of them is reproduced.

**What is assumed**, because there is no data:

1. Between the 16 biases, thresholds and largest currents are linear in ib.
2. Saturation over the largest current is one shape in v = (phi - phi_th+)/(1 + phi_th- - phi_th+), with one exception:
   the first rise happens over a fixed *flux*, not over a fixed share of the range. Both biases with data agree on that
   (the rise of index 10, stretched by 1.08, passes through the point at 2.0; in v alone it would miss by 60 %). Where
   the active range is so narrow that the rise would take more than 0.3 of it, the rise takes 0.3 of it.
3. The falling side has two data points (0.35 and 0.483 at 2.0); from there to the upper threshold the curve is a
   monotone cubic.
4. Outside the active range saturation goes on, with the slopes of both edges, as a negative cubic: a level, not a
   measured current.
5. The rate is a function of u = saturation - s and of v only, so a bias enters through saturation and the thresholds
   alone. This is what holds exactly for the RI dendrite (its rate depends on ib - s), and it has no singularity where
   saturation passes through zero. No further scale factor is applied at other biases: the rate at s = 0 grows with the
   saturation current roughly as its square root.
6. Between the three fluxes with data the rates are blended smoothly in v; beyond the outer two the nearest one is kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError

__all__ = ["NOMINAL_BIAS", "rate", "s_max", "saturation", "threshold_flux"]

_TABLE_BIAS = 1.5 + 1.15 / 15 * np.arange(16)
NOMINAL_BIAS: tuple[float, float] = (1.50, 2.65)
"""The lowest and the highest nominal bias for which there are thresholds (units of I_c)."""

_PHI_TH_PLUS = np.array([0.37, 0.35, 0.33, 0.31, 0.29, 0.27, 0.25, 0.22, 0.20, 0.18, 0.16, 0.13, 0.11, 0.08, 0.05, 0.0])
_PHI_TH_MINUS = -np.array(
    [0.59, 0.56, 0.53, 0.49, 0.46, 0.43, 0.40, 0.37, 0.33, 0.30, 0.27, 0.23, 0.19, 0.15, 0.11, 0.01]
)
_S_MAX = np.array(
    [0.518, 0.975, 1.122, 1.132, 1.145, 1.284, 1.292, 1.300, 1.308, 1.317, 1.325, 1.333, 1.342, 1.459, 1.470, 1.481]
)

# Saturation against flux at bias index 10, from phi = 0.16 in steps of 0.01.
_PLATEAU_INDEX = 10
_PLATEAU_STEP = 0.01
_PLATEAU = np.array(
    [0.0, 0.328, 0.877, 1.048, 1.047, 1.047, 1.047, 1.046, 1.046, 1.046, 1.047, 1.052, 1.247, 1.325, 1.323]
)  # fmt: skip
_RISE_END = 3  # positions in _PLATEAU between which the curve is flat; both have slope zero,
_FLAT_END = 9  # so that the change of scale there leaves no kink

# Rate against s at nominal bias 2.0; the last s of each slice is its saturation.
_SLICE_BIAS = 2.0
_SLICES: tuple[tuple[float, tuple[float, ...], tuple[float, ...]], ...] = (
    (0.25, (0.0, 0.14, 0.29, 0.43, 0.576), (0.139, 0.120, 0.099, 0.072, 0.0)),
    (0.35, (0.0, 0.32, 0.65, 0.97, 1.13, 1.296), (0.283, 0.253, 0.221, 0.159, 0.107, 0.0)),
    (0.483, (0.0, 0.29, 0.57, 0.86, 1.141), (0.268, 0.252, 0.228, 0.189, 0.0)),
)

_LARGEST_RISE = 0.3  # share of the active range that the first rise may take (assumption 2)
_SHORTEST_FLAT = 0.05  # share of the active range left between the two rises


def threshold_flux(ib: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two threshold fluxes at s = 0.

    Args:
        ib: nominal bias, 1.50 to 2.65 (units of I_c), any shape.

    Returns:
        ``(plus, minus)`` in Phi0, in the shape of ``ib``: plus from 0.37 down to 0, minus from -0.59 up to
        -0.01. The dendrite is active for phi in (plus, 1 + minus) and its periodic images. The data have a resolution
        of 0.01; linear in ib between them.

    Raises:
        InputError: a bias is outside the range or not finite.
    """
    ib = _checked_bias(ib)
    return _linear(ib, _PHI_TH_PLUS), _linear(ib, _PHI_TH_MINUS)


def s_max(ib: ArrayLike) -> NDArray[np.float64]:
    """The largest current (units of I_c) that any flux can drive the integration loop to: 0.518 to 1.481.

    Args:
        ib: nominal bias, 1.50 to 2.65 (units of I_c), any shape.

    Returns:
        Array in the shape of ``ib``; data at the 16 table biases, linear in ib between them.

    Raises:
        InputError: a bias is outside the range or not finite.
    """
    return _linear(_checked_bias(ib), _S_MAX)


def saturation(phi: ArrayLike, ib: ArrayLike) -> NDArray[np.float64]:
    """The current at which fluxon production stops at a given flux; a level function whose zero is the threshold.

    Positive exactly for phi in (phi_th+, 1 + phi_th-) modulo 1, zero at both thresholds, negative between them and
    the next period; at most ``s_max(ib)``. Continuous with a continuous slope in phi.

    Args:
        phi: flux (Phi0), any finite value, any shape.
        ib: nominal bias, 1.50 to 2.65 (units of I_c), broadcast against ``phi``.

    Returns:
        Saturation current (units of I_c) in the broadcast shape. At the data points of section 2.5 it is the
        data; elsewhere see the assumptions 1 to 4 in the head of this module.

    Raises:
        InputError: a bias is outside the range, or a value is not finite.
    """
    phi, ib = np.broadcast_arrays(_checked_finite(phi, "phi"), _checked_bias(ib))
    return _saturation(_Place(phi, ib), ib)[()]


def rate(phi: ArrayLike, s: ArrayLike, ib: ArrayLike) -> NDArray[np.float64]:
    """The mean rate of fluxons r = 2 pi f tau_0: zero exactly where ``s >= saturation(phi, ib)``, else positive.

    Falls monotonically with s and ends in a square root of ``saturation - s`` (a saddle-node). Negative s continues the
    curve: r goes on growing, linearly in sqrt(saturation - s). Where the saturation is negative (no drive) the rate is
    positive only for s below it.

    Args:
        phi: flux (Phi0), any finite value, any shape.
        s: current in the integration loop (units of I_c), meant for -0.5 and above, broadcast against ``phi``.
        ib: nominal bias, 1.50 to 2.65 (units of I_c), broadcast against both.

    Returns:
        Dimensionless rate in the broadcast shape: 0 to about 0.3 for s >= 0. At nominal bias 2.0 and phi = 0.25, 0.35,
        0.483 it passes through the data of section 2.5; elsewhere see assumptions 5 and 6 in the head of this module.

    Raises:
        InputError: a bias is outside the range, or a value is not finite.
    """
    phi, s, ib = np.broadcast_arrays(_checked_finite(phi, "phi"), _checked_finite(s, "s"), _checked_bias(ib))
    place = _Place(phi, ib)
    root = np.sqrt(np.maximum(_saturation(place, ib) - s, 0.0))
    total = np.zeros(root.shape)
    for (curve, last, slope), weight in zip(_slice_curves(), _slice_weights(place), strict=True):
        total += weight * (curve(np.minimum(root, last)) + slope * np.maximum(root - last, 0.0))
    return np.maximum(total, 0.0)[()]


class _Place:
    """Where a flux lies in its period.

    ``v`` runs from 0 to 1 across the active range, ``gap`` from 0 to 1 across the rest of the period; each stays at its
    end elsewhere. ``q`` is v with the first rise brought to the extent that it has in the tabulated shape.
    """

    def __init__(self, phi: NDArray[np.float64], ib: NDArray[np.float64]):
        plus, minus = _linear(ib, _PHI_TH_PLUS), _linear(ib, _PHI_TH_MINUS)
        self.width = 1.0 + minus - plus
        offset = np.mod(phi - plus, 1.0)
        offset = np.where(offset >= 1.0, 0.0, offset)  # the remainder of a tiny negative number rounds up to 1
        self.active = offset <= self.width
        self.v = np.minimum(offset / self.width, 1.0)
        self.gap = np.clip((offset - self.width) / (1.0 - self.width), 0.0, 1.0)
        # The shape is tabulated over q, which is v at bias index 10; the first rise keeps its extent in flux instead.
        rise, flat = _knee()
        stretch = np.interp(ib, [_SLICE_BIAS, _TABLE_BIAS[_PLATEAU_INDEX]], [_rise_stretch(), 1.0])
        extent = _RISE_END * _PLATEAU_STEP * stretch
        self.rise = np.minimum(extent / self.width, _LARGEST_RISE)
        self.flat = np.maximum(flat, self.rise + _SHORTEST_FLAT)
        self.rise_scale = rise / self.rise
        self.fall_scale = (1.0 - flat) / (1.0 - self.flat)

    def q(self) -> NDArray[np.float64]:
        rise, flat = _knee()
        middle = rise + (self.v - self.rise) * (flat - rise) / (self.flat - self.rise)
        upper = 1.0 - (1.0 - self.v) * self.fall_scale
        return np.where(self.v < self.rise, self.v * self.rise_scale, np.where(self.v < self.flat, middle, upper))


def _saturation(place: _Place, ib: NDArray[np.float64]) -> NDArray[np.float64]:
    shape = _shape()
    slope = shape.derivative()
    inside = shape(place.q())
    into = float(slope(1.0)) * place.fall_scale * (1.0 - place.width) / place.width
    out = float(slope(0.0)) * place.rise_scale * (1.0 - place.width) / place.width
    gap = place.gap
    outside = gap * (1.0 - gap) * (into * (1.0 - gap) - out * gap)
    return _linear(ib, _S_MAX) * np.where(place.active, inside, outside)


def _slice_weights(place: _Place) -> list[NDArray[np.float64]]:
    """How much each of the three measured fluxes counts; they add up to 1 everywhere."""
    v = _slice_positions()
    first = v[0] * place.rise / _slice_rise()  # this slice lies on the first rise and moves with it
    low = _smooth_step((place.v - first) / (v[1] - first))
    high = _smooth_step((place.v - v[1]) / (v[2] - v[1]))
    back = np.where(place.active, 0.0, _smooth_step(place.gap))
    return [1.0 - low + back, low - high, high - back]


def _smooth_step(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _linear(ib: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(ib, _TABLE_BIAS, values)


def _range_at(bias: float) -> tuple[float, float]:
    """The lower threshold and the width of the active range at one bias."""
    plus = float(np.interp(bias, _TABLE_BIAS, _PHI_TH_PLUS))
    return plus, 1.0 + float(np.interp(bias, _TABLE_BIAS, _PHI_TH_MINUS)) - plus


@lru_cache(maxsize=1)
def _slice_positions() -> tuple[float, ...]:
    """v of the three slices at their own bias."""
    plus, width = _range_at(_SLICE_BIAS)
    return tuple((phi - plus) / width for phi, _, _ in _SLICES)


@lru_cache(maxsize=1)
def _slice_rise() -> float:
    """The end of the first rise, in v, at the bias of the slices."""
    return _RISE_END * _PLATEAU_STEP * _rise_stretch() / _range_at(_SLICE_BIAS)[1]


@lru_cache(maxsize=1)
def _knee() -> tuple[float, float]:
    """q at the end of the first rise and at the end of the first plateau."""
    width = _range_at(_TABLE_BIAS[_PLATEAU_INDEX])[1]
    return _RISE_END * _PLATEAU_STEP / width, _FLAT_END * _PLATEAU_STEP / width


@lru_cache(maxsize=1)
def _shape() -> Any:
    """Saturation over its maximum against q: bias index 10 up to phi = 0.30, then the slices at 0.35 and 0.483."""
    from scipy.interpolate import PchipInterpolator

    width = _range_at(_TABLE_BIAS[_PLATEAU_INDEX])[1]
    top = float(np.interp(_SLICE_BIAS, _TABLE_BIAS, _S_MAX))
    q = [*(np.arange(len(_PLATEAU)) * _PLATEAU_STEP / width), *_slice_positions()[1:], 1.0]
    level = [*(_PLATEAU / _S_MAX[_PLATEAU_INDEX]), *(s[-1] / top for _, s, _ in _SLICES[1:]), 0.0]
    return PchipInterpolator(q, level)


@lru_cache(maxsize=1)
def _rise_stretch() -> float:
    """The factor by which the first rise is longer at 2.0 than at index 10, from the slice that lies on it."""
    top = float(np.interp(_SLICE_BIAS, _TABLE_BIAS, _S_MAX))
    q = float(np.min(_shape().solve(_SLICES[0][1][-1] / top, extrapolate=False)))
    return (_SLICES[0][0] - _range_at(_SLICE_BIAS)[0]) / (q * _range_at(_TABLE_BIAS[_PLATEAU_INDEX])[1])


@lru_cache(maxsize=1)
def _slice_curves() -> tuple[tuple[Any, float, float], ...]:
    """Per slice: monotone r against sqrt(saturation - s), its last abscissa (s = 0) and its slope there."""
    from scipy.interpolate import PchipInterpolator

    curves = []
    for _, s, r in _SLICES:
        root = np.sqrt(s[-1] - np.array(s[::-1]))
        curve = PchipInterpolator(root, r[::-1])
        curves.append((curve, float(root[-1]), float(curve.derivative()(root[-1]))))
    return tuple(curves)


def _checked_finite(value: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        bad = array[~np.isfinite(array)].ravel()[0]
        raise InputError(
            f"rtti.{name}: {bad} is not a finite number; the source function exists for finite values only"
        )
    return array


def _checked_bias(ib: ArrayLike) -> NDArray[np.float64]:
    array = _checked_finite(ib, "ib")
    low, high = NOMINAL_BIAS
    outside = (array < low - 1e-9) | (array > high + 1e-9)
    if np.any(outside):
        raise InputError(
            f"rtti.ib: {array[outside].ravel()[0]} is outside the nominal biases with data ({low} to {high}); "
            "choose a bias in this range"
        )
    return np.clip(array, low, high)
