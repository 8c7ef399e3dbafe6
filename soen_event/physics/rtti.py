"""The RTTI dendrite's circuit: where it makes fluxons, and how fast, from its four junctions.

A receiving SQUID (junctions 1 and 2, flux phi in Phi0) hangs on a node that also feeds a Josephson transmission line of two junctions
(3 and 4) over beta_3 and beta_4; junction 4 fills the integration loop, which carries s (physics.md 2.5; hardware/junctions.py). With the
node's phase theta and biases ib, ib_2 and ib_3, in units of I_c, tau_0 and rad (dots are d/dtau)::

    beta_c d_k'' + d_k' + sin d_k = i_k        i_1 = (theta - d_1 + 2 pi phi)/beta_1     i_2 = (theta - d_2)/beta_2
    i_1 + i_2 + i_n = ib                       i_n = (theta - d_3)/beta_3                i_34 = (d_3 - d_4)/beta_4
    i_3 = i_n - i_34 + ib_2                    i_4 = i_34 + ib_3 - s                     r = <d_4'> = 2 pi f tau_0

**At rest** everything follows from d_1 and d_2: theta = d_2 + beta_2 sin d_2, then i_n from the node, d_3, i_34 from junction 3, d_4, and s
from junction 4; 2 pi phi = d_1 - d_2 + beta_1 sin d_1 - beta_2 sin d_2. So for given flux the resting states are a curve in (d_1, d_2), and
s along it has minima: the folds. The junctions only pull each other forward, so a resting state anywhere keeps the circuit from running for
ever (no two motions cross; exactly true without capacitance): **the circuit makes fluxons exactly where s is below every fold.** The
lowest fold is the saturation current s_sat(phi; ib). Its lower and upper zeros are the two thresholds. A fold that can be the
lowest one moves all four junctions forward; only such folds are looked at.

**Close to a fold** the circuit lingers pi/sqrt(gain u), u = s_fold - s, gain that of the normal form z' = gain u + z^2. Several folds
may lie close together, and each makes it linger.

Nominal bias: ``ib`` of the first branch (physics.md 2.5 names its table files by it), with ib_2 = 0.35 and ib_3 = 0.70.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError

__all__ = ["NOMINAL_BIAS", "Folds", "Line", "folds", "line_of", "s_max", "saturation", "threshold_flux"]

Floats = NDArray[np.float64]

TWO_PI = 6.283185307179586
HALF_PI = 1.5707963267948966
NOMINAL_BIAS: tuple[float, float] = (1.50, 2.65)
"""The lowest and the highest nominal bias for which published numbers exist (physics.md 2.5), and source functions are made."""
KEPT = 3  # folds kept at every flux, the lowest ones
LONG = 400.0  # tau_0; a period from which the next ones are extrapolated
_NEVER = 1e3  # current of a fold that is not there


class Line(NamedTuple):
    """What the circuit is made of, apart from its first bias: inductances 2 pi L I_c/Phi0 and the biases of the line, I_c."""

    beta_1: float = HALF_PI
    beta_2: float = HALF_PI
    beta_3: float = math.pi
    beta_4: float = math.pi
    ib_2: float = 0.35
    ib_3: float = 0.70


class Folds(NamedTuple):
    """The lowest folds at every flux, ascending in s; arrays (flux, KEPT).

    ``s``: I_c (1000 where there are fewer); ``slope``: ds/dphi; ``gain``: of the normal form; ``d1``, ``d2``: junction phases.
    """

    s: Floats
    slope: Floats
    gain: Floats
    d1: Floats
    d2: Floats


# ------------------------------------------------------------------------------------------------------------ at rest


def _at_rest(d1: Floats, d2: Floats, ib: ArrayLike, line: Line) -> dict[str, Floats]:
    """Resting states with phases ``d1``, ``d2``: s, the flux, and derivatives along the curve of constant flux and across it.

    The curve's tangent is (1 + beta_2 cos d_2, 1 + beta_1 cos d_1) = (A2, A1), taken on to d_3 and d_4 as (t3, t4); J = ds along it.
    """
    b1, b2, b3, b4, ib_2, ib_3 = line
    s1, c1, s2, c2 = np.sin(d1), np.cos(d1), np.sin(d2), np.cos(d2)
    a1, a2 = 1.0 + b1 * c1, 1.0 + b2 * c2
    left = ib - s1 - s2  # what goes into the line
    d3 = d2 + b2 * s2 - b3 * left
    s3, c3 = np.sin(d3), np.cos(d3)
    i34 = left + ib_2 - s3
    d4 = d3 - b4 * i34
    s4, c4 = np.sin(d4), np.cos(d4)
    turn = c1 * a2 + c2 * a1
    t3 = a1 * a2 + b3 * turn
    t4 = t3 + b4 * (turn + c3 * t3)
    J = -turn - c3 * t3 - c4 * t4
    # Derivatives of all this in d1 and d2.
    found = {"s": i34 + ib_3 - s4, "flux": d1 - d2 + b1 * s1 - b2 * s2, "J": J, "t3": t3, "t4": t4, "a1": a1, "a2": a2}
    turn_k = -s1 * (a2 + b1 * c2), -s2 * (a1 + b2 * c1)
    both_k = -b1 * s1 * a2, -b2 * s2 * a1
    d3_k = b3 * c1, a2 + b3 * c2
    for k, (own, turned, both, d3_own) in enumerate(zip((c1, c2), turn_k, both_k, d3_k, strict=True), start=1):
        d4_own = d3_own + b4 * (own + c3 * d3_own)
        t3_own = both + b3 * turned
        t4_own = t3_own + b4 * (turned - s3 * d3_own * t3 + c3 * t3_own)
        found[f"J{k}"] = -turned + s3 * d3_own * t3 - c3 * t3_own + s4 * d4_own * t4 - c4 * t4_own
        found[f"s{k}"] = -own - c3 * d3_own - c4 * d4_own
    return found


def _polished(phi: Floats, d1: Floats, d2: Floats, ib: ArrayLike, line: Line, rounds: int = 12) -> Folds:
    """Newton's method from (d1, d2) to folds at flux ``phi`` (modulo 1), elementwise; s = 1000 where it finds none that counts."""
    with np.errstate(all="ignore"):
        for _ in range(rounds):
            x = _at_rest(d1, d2, ib, line)
            off = x["flux"] - TWO_PI * phi
            off -= TWO_PI * np.round(off / TWO_PI)
            det = x["a1"] * x["J2"] + x["a2"] * x["J1"]
            e1 = (off * x["J2"] + x["a2"] * x["J"]) / det
            e2 = (x["a1"] * x["J"] - off * x["J1"]) / det
            size = np.maximum(np.abs(e1), np.abs(e2))
            damp = np.minimum(1.0, 0.3 / size)
            d1, d2 = d1 - damp * e1, d2 - damp * e2
            if np.nanmax(size, initial=0.0) < 1e-9:
                break
        x = _at_rest(d1, d2, ib, line)
        off = x["flux"] - TWO_PI * phi
        off -= TWO_PI * np.round(off / TWO_PI)
        a1, a2, t3, t4 = x["a1"], x["a2"], x["t3"], x["t4"]
        length = a1 * a1 + a2 * a2 + t3 * t3 + t4 * t4
        bend = x["J1"] * a2 + x["J2"] * a1
        forward = np.minimum(np.minimum(a1, a2), np.minimum(t3, t4)) > 0.0
        backward = np.maximum(np.maximum(a1, a2), np.maximum(t3, t4)) < 0.0
        good = (
            (np.abs(off) < 1e-8) & (np.abs(x["J"]) < 1e-7 * (1.0 + np.abs(bend))) & (bend > 0.0) & (forward | backward)
        )
        gain = 0.5 * (t4 / length) ** 2 * bend
        slope = TWO_PI * np.where(np.abs(a1) > np.abs(a2), x["s1"] / a1, -x["s2"] / a2)
    return Folds(*(np.where(good, v, w) for v, w in ((x["s"], _NEVER), (slope, 0.0), (gain, 1.0), (d1, d1), (d2, d2))))


def _lowest(found: Folds) -> Folds:
    """Of many folds at every flux (flux, many) the KEPT lowest, each once."""
    order = np.argsort(found.s, axis=1)
    s = np.take_along_axis(found.s, order, 1)
    again = np.zeros(s.shape, dtype=bool)
    again[:, 1:] = np.diff(s, axis=1) < 1e-6
    order = np.take_along_axis(order, np.argsort(np.where(again, _NEVER + 1.0, s), axis=1, kind="stable"), 1)
    picked = [np.take_along_axis(column, order, 1) for column in found]
    picked[0] = np.where(
        np.take_along_axis(again, np.argsort(np.where(again, _NEVER + 1.0, s), 1, kind="stable"), 1), _NEVER, picked[0]
    )
    return Folds(*(column[:, :KEPT] for column in picked))


def _seeds(ib: float, line: Line, n: int = 256) -> tuple[Floats, Floats, Floats]:
    """Points near all folds that count: (phi modulo 1, d1, d2), where J changes sign between neighbours of a grid over both phases."""
    axis = TWO_PI * np.arange(n) / n
    d1, d2 = np.meshgrid(axis, axis, indexing="ij")
    x = _at_rest(d1, d2, ib, line)
    J = x["J"]
    near = ((J > 0) != (np.roll(J, -1, 0) > 0)) | ((J > 0) != (np.roll(J, -1, 1) > 0))
    all_forward = (x["a1"] > -0.3) & (x["a2"] > -0.3) & (x["t3"] > -1.5) & (x["t4"] > -5.0)
    all_backward = (x["a1"] < 0.3) & (x["a2"] < 0.3) & (x["t3"] < 1.5) & (x["t4"] < 5.0)
    chosen = near & (all_forward | all_backward) & (x["s"] < 4.0)
    return np.mod(x["flux"][chosen] / TWO_PI, 1.0), d1[chosen], d2[chosen]


def folds(phi: ArrayLike, ib: float, line: Line | None = None, start: tuple[Floats, Floats] | None = None) -> Folds:
    """The lowest folds over a period of flux.

    Args:
        phi: flux nodes (Phi0), shape (n,), ascending and close together (each is started from its neighbours too).
        ib: nominal bias, I_c.
        line: the circuit; default physics.md 2.5.
        start: phases (n, any) to start from, as the ``d1`` and ``d2`` of the folds at a bias close by; default: a search.

    Returns:
        :class:`Folds` of shape (n, 3).
    """
    line = line or Line()
    phi = np.asarray(phi, dtype=float)
    if start is None:
        flux, d1, d2 = _seeds(ib, line)
        node = np.searchsorted(phi, flux) % len(phi)
        best = _polished(phi[node], d1, d2, ib, line, 20)
        order = np.lexsort((best.s, node))
        rank = np.arange(len(order)) - np.searchsorted(node[order], node[order], "left")
        width = int(rank.max(initial=0)) + 1
        table = [np.full((len(phi), width), fill) for fill in (_NEVER, 0.0, 1.0, 0.0, 0.0)]
        for column, values in zip(table, best, strict=True):
            column[node[order], rank] = values[order]
        found = _lowest(Folds(*table))
        rounds = 12
    else:
        found = _lowest(_polished(phi[:, None], start[0], start[1], ib, line))
        rounds = 2
    for k in range(rounds):  # what neighbours have found
        reach = 1 if k % 2 == 0 else 3
        near = [np.roll(column, shift, 0) for shift in (-reach, reach) for column in (found.d1, found.d2)]
        d1, d2 = np.concatenate(near[0::2], 1), np.concatenate(near[1::2], 1)
        more = _polished(phi[:, None], d1, d2, ib, line, 8)
        new = _lowest(Folds(*(np.concatenate(pair, 1) for pair in zip(found, more, strict=True))))
        if start is None and k > 3 and np.allclose(new.s, found.s, atol=1e-7):
            return new
        found = new
    return found


def turns_apart(d1: Floats, d2: Floats, ib: float, line: Line) -> NDArray[np.int64]:
    """A number for the kind of a fold: how many turns junctions 3 and 4, and 2 and 3, are apart (0 to 255)."""
    left = ib - np.sin(d1) - np.sin(d2)
    d3 = d2 + line.beta_2 * np.sin(d2) - line.beta_3 * left
    d4 = d3 - line.beta_4 * (left + line.ib_2 - np.sin(d3))
    apart = [np.clip(np.rint(x / TWO_PI).astype(np.int64), -8, 7) + 8 for x in (d4 - d3, d3 - d2)]
    return 16 * apart[0] + apart[1]


# ------------------------------------------------------------------------------------------ thresholds and saturation


def line_of(device: Any) -> Line:
    """The circuit of a device's RTTI dendrites: its arms, with the line of physics.md 2.5."""
    return Line(device.beta_1, device.beta_2)


def threshold_flux(ib: ArrayLike, line: Line | None = None) -> tuple[Floats, Floats]:
    """The two threshold fluxes at s = 0.

    Args:
        ib: nominal bias, 1.50 to 2.65 (units of I_c), any shape.
        line: the circuit; default physics.md 2.5.

    Returns:
        ``(plus, minus)`` in Phi0, in the shape of ``ib``. The dendrite is active for phi in (plus, 1 + minus) and its periodic
        images; plus = 1 + minus if never, plus = minus if always. Within 1e-4.

    Raises:
        InputError: a bias is outside the range or not finite.
    """
    edges = _edges(ib, line)
    return edges[..., 0], edges[..., 1]


def s_max(ib: ArrayLike, line: Line | None = None) -> Floats:
    """The largest current (units of I_c) that any flux can drive the integration loop to, within 0.005.

    Arguments and errors as for :func:`threshold_flux`.
    """
    return _edges(ib, line)[..., 2]


def saturation(phi: ArrayLike, ib: ArrayLike, line: Line | None = None) -> Floats:
    """The current at which fluxon production stops at a given flux; a level function whose zero is the threshold.

    Positive exactly for phi in (phi_th+, 1 + phi_th-) modulo 1. Exact: the lowest fold.

    Args:
        phi: flux (Phi0), any finite value, any shape.
        ib: nominal bias, 1.50 to 2.65 (units of I_c), broadcast against ``phi``.
        line: the circuit; default physics.md 2.5.

    Returns:
        Saturation current (units of I_c) in the broadcast shape.

    Raises:
        InputError: a bias is outside the range, or a value is not finite.
    """
    line = line or Line()
    phi, ib = np.broadcast_arrays(_checked_finite(phi, "phi"), _checked_bias(ib))
    flux = np.mod(phi, 1.0).ravel()
    out = np.empty(flux.shape)
    for bias in np.unique(ib):
        mine = np.flatnonzero(ib.ravel() == bias)
        d1, d2 = _starts(float(bias), line)
        near = np.rint(flux[mine] * len(d1)).astype(np.int64)
        near = [(near + shift) % len(d1) for shift in (-1, 0, 1)]
        first, second = (np.concatenate([d[k] for k in near], axis=1) for d in (d1, d2))
        out[mine] = _polished(flux[mine][:, None], first, second, bias, line).s.min(axis=1)
    return out.reshape(phi.shape)[()]


def edges_of(ib: float, line: Line, start: tuple[Floats, Floats] | None = None) -> tuple[float, float, float]:
    """(plus, minus, s_max) of one bias, from its folds; ``start`` as for :func:`folds`, on any even grid."""
    n = 800
    phi = np.arange(n) / n
    if start is not None:
        near = np.rint(phi * len(start[0])).astype(np.int64) % len(start[0])
        start = start[0][near], start[1][near]
    found = folds(phi, ib, line, start)
    s = found.s[:, 0]
    after = np.roll(np.arange(n), -1)
    # A corner between two nodes may be higher than both: there the two folds meet.
    both = (
        s
        + (s[after] - s - found.slope[after, 0] / n)
        / np.where(found.slope[:, 0] > found.slope[after, 0], found.slope[:, 0] - found.slope[after, 0], np.inf)
        * found.slope[:, 0]
    )
    steep = np.maximum(np.abs(found.slope[:, 0]), np.abs(found.slope[after, 0])) / n
    corner = np.where(both <= np.maximum(s, s[after]) + steep, both, -_NEVER)
    largest = float(max(s.max(), corner.max()))

    def crossing(rising: bool) -> float | None:
        signs = (s < 0.0) & (s[after] >= 0.0) if rising else (s >= 0.0) & (s[after] < 0.0)
        where = np.flatnonzero(signs)
        if len(where) == 0:
            return None
        k = where[0] if rising else where[-1]
        low, high = 0.0, 1.0 / n
        first, second = (np.concatenate([column[k], column[after[k]]])[None, :] for column in (found.d1, found.d2))
        for _ in range(24):
            middle = 0.5 * (low + high)
            above = _polished(np.array([[phi[k] + middle]]), first, second, ib, line).s.min() >= 0.0
            low, high = (low, middle) if above == rising else (middle, high)
        return float(phi[k] + 0.5 * (low + high))

    plus, minus = crossing(True), crossing(False)
    if plus is None or minus is None:
        middle = float(phi[int(np.argmin(s))] if s.min() >= 0.0 else phi[int(np.argmax(s))])
        middle -= float(middle > 0.5)
        return (middle, middle, largest) if s.min() >= 0.0 else (middle, middle - 1.0, largest)
    plus -= float(plus > 0.75)
    return plus, minus - 1.0 if minus > plus else minus, largest


def _edges(ib: ArrayLike, line: Line | None) -> Floats:
    ib = _checked_bias(ib)
    if line is None or line == Line():
        from soen_event.physics.source import shipped_family

        known = shipped_family()
        return np.stack([np.interp(ib, known.edge_ib, column) for column in known.edges.T], axis=-1)
    return np.array([_known_edges(float(x), line) for x in np.ravel(ib)]).reshape(*np.shape(ib), 3)


@lru_cache(maxsize=4096)
def _known_edges(ib: float, line: Line) -> tuple[float, float, float]:
    return edges_of(ib, line)


@lru_cache(maxsize=64)
def _starts(ib: float, line: Line) -> tuple[Floats, Floats]:
    """Phases near all low folds on an even grid of flux: from the shipped family, or searched."""
    if line == Line():
        from soen_event.physics.source import shipped_family

        known = shipped_family()
        k = int(np.clip(np.searchsorted(known.ib, ib), 1, len(known.ib) - 1))
        first, second = (np.concatenate([d[k - 1], d[k]], axis=1) for d in (known.d1, known.d2))
        return first, second
    found = folds(np.arange(400) / 400, ib, line)
    return found.d1, found.d2


def _checked_finite(value: ArrayLike, name: str) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        bad = array[~np.isfinite(array)].ravel()[0]
        raise InputError(
            f"rtti.{name}: {bad} is not a finite number; the source function exists for finite values only"
        )
    return array


def _checked_bias(ib: ArrayLike) -> Floats:
    array = _checked_finite(ib, "ib")
    low, high = NOMINAL_BIAS
    outside = (array < low - 1e-9) | (array > high + 1e-9)
    if np.any(outside):
        raise InputError(
            f"rtti.ib: {array[outside].ravel()[0]} is outside the nominal biases with data ({low} to {high}); "
            "choose a bias in this range"
        )
    return np.clip(array, low, high)


# ---------------------------------------------------------------------------------------------------------- in motion


def line_slope(
    d1: float,
    v1: float,
    d2: float,
    v2: float,
    d3: float,
    v3: float,
    d4: float,
    v4: float,
    s: float,
    flux: float,
    C: Any,
) -> tuple:
    """Accelerations of the four junctions. ``flux`` = 2 pi phi; C: (1/beta_1 ... 1/beta_4, ib, ib_2, ib_3, 1/beta_c)."""
    theta = ((d1 - flux) * C[0] + d2 * C[1] + d3 * C[2] + C[4]) / (C[0] + C[1] + C[2])
    i34 = (d3 - d4) * C[3]
    return (
        ((theta - d1 + flux) * C[0] - v1 - math.sin(d1)) * C[7],
        ((theta - d2) * C[1] - v2 - math.sin(d2)) * C[7],
        ((theta - d3) * C[2] - i34 + C[5] - v3 - math.sin(d3)) * C[7],
        (i34 + C[6] - s - v4 - math.sin(d4)) * C[7],
    )


def line_rate(y: Any, s: float, phi: float, C: Any, h: float, tolerance: float, longest: float) -> float:
    """Mean phase rate r = 2 pi f tau_0 at constant current ``s`` and flux; 0 if no turn is seen in ``longest`` tau_0.

    ``y``: (d_1, v_1, ... d_4, v_4, t) to start from, and where it ended, turned back below 2 pi; t: how long ago junction 4 passed pi,
    -1 if it did not. ``h``: step in tau_0. Fourth-order Runge-Kutta until two periods of junction 4 agree to ``tolerance`` or 40 have
    passed; a period of more than 150 tau_0 need not be repeated, since the circuit forgets in its bottleneck how it began.
    """
    d1, v1, d2, v2, d3, v3, d4, v4 = y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7]
    flux = TWO_PI * phi
    target = TWO_PI * math.floor((d4 - math.pi) / TWO_PI) + 3.0 * math.pi
    t = 0.0
    last = -y[8]
    previous = -1.0
    slips = 0
    if y[8] >= 0.0:
        slips = 1
    g = 0.5 * h
    p = h / 6.0
    while t < longest:
        a1, a2, a3, a4 = line_slope(d1, v1, d2, v2, d3, v3, d4, v4, s, flux, C)
        w1, w2, w3, w4 = v1 + g * a1, v2 + g * a2, v3 + g * a3, v4 + g * a4
        b1, b2, b3, b4 = line_slope(d1 + g * v1, w1, d2 + g * v2, w2, d3 + g * v3, w3, d4 + g * v4, w4, s, flux, C)
        x1, x2, x3, x4 = v1 + g * b1, v2 + g * b2, v3 + g * b3, v4 + g * b4
        c1, c2, c3, c4 = line_slope(d1 + g * w1, x1, d2 + g * w2, x2, d3 + g * w3, x3, d4 + g * w4, x4, s, flux, C)
        z1, z2, z3, z4 = v1 + h * c1, v2 + h * c2, v3 + h * c3, v4 + h * c4
        e1, e2, e3, e4 = line_slope(d1 + h * x1, z1, d2 + h * x2, z2, d3 + h * x3, z3, d4 + h * x4, z4, s, flux, C)
        before, rate = d4, v4
        d1 += p * (v1 + 2.0 * (w1 + x1) + z1)
        d2 += p * (v2 + 2.0 * (w2 + x2) + z2)
        d3 += p * (v3 + 2.0 * (w3 + x3) + z3)
        d4 += p * (v4 + 2.0 * (w4 + x4) + z4)
        v1 += p * (a1 + 2.0 * (b1 + c1) + e1)
        v2 += p * (a2 + 2.0 * (b2 + c2) + e2)
        v3 += p * (a3 + 2.0 * (b3 + c3) + e3)
        v4 += p * (a4 + 2.0 * (b4 + c4) + e4)
        if d4 >= target:  # place the crossing on the cubic through both ends and their slopes
            bend = 3.0 * (d4 - before) - h * (2.0 * rate + v4)
            twist = 2.0 * (before - d4) + h * (rate + v4)
            x = (target - before) / (d4 - before)
            for _ in range(3):
                value = before + x * (h * rate + x * (bend + x * twist))
                slope = h * rate + x * (2.0 * bend + 3.0 * x * twist)
                if slope > 0.0:
                    x -= (value - target) / slope
            crossing = t + x * h
            slips += 1
            if slips >= 2:
                period = crossing - last
                if period > 150.0 or (slips >= 3 and abs(period - previous) < tolerance * period) or slips >= 40:
                    turns = TWO_PI * math.floor(d4 / TWO_PI)
                    y[0], y[2], y[4], y[6] = d1 - turns, d2 - turns, d3 - turns, d4 - turns
                    y[1], y[3], y[5], y[7], y[8] = v1, v2, v3, v4, t + h - crossing
                    return TWO_PI / period
                previous = period
            last = crossing
            target += TWO_PI
        t += h
    return 0.0


def lingering(u: float, k: int, s: Any, gain: Any) -> float:
    """Time that the folds of column ``k`` (``s``, ``gain``: (columns, folds)) take together, ``u`` below the lowest; tau_0."""
    total = 0.0
    for m in range(s.shape[1]):
        if s[k, m] < 100.0:
            total += math.pi / math.sqrt(gain[k, m] * (s[k, m] - s[k, 0] + u))
    return total


def line_rates(s: Any, gain: Any, phi: Any, a: Any, C: Any, h: float, tolerance: float, y: Any, out: Any) -> None:
    """Fill ``out[j, k]`` with the rate at s[k, 0] - a[j]^2, a[0] left out, and flux phi[k]; ``y``: room for 9 numbers.

    ``s``, ``gain``: (columns, folds), of the folds. Once a period is long and mostly spent at folds, what is not hardly changes any more,
    and the rest of the column follows from :func:`lingering` (against integration: within 5e-5).
    """
    for k in range(phi.shape[0]):
        for m in range(8):
            y[m] = 0.0
        y[8] = -1.0
        rest = -1.0
        for j in range(a.shape[0] - 1, 0, -1):  # from fast to slow, each from where the last one ran
            u = a[j] * a[j]
            known = lingering(u, k, s, gain)
            if rest >= 0.0:
                out[j, k] = TWO_PI / (known + rest)
                continue
            out[j, k] = line_rate(y, s[k, 0] - u, phi[k], C, h, tolerance, 50000.0)
            if 0.0 < out[j, k] < TWO_PI / LONG and known < TWO_PI / out[j, k] < 1.25 * known:
                rest = TWO_PI / out[j, k] - known
