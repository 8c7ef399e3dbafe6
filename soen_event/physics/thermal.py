"""The SQUID at a temperature: its mean rate below, at and above the threshold, and how evenly its fluxons come.

Near threshold a turn of the phase is a passage through the bottleneck of a saddle-node with the noise of the shunts,

    z' = gain u + z^2 + kappa xi,    <xi xi'> = 2 Gamma delta,    Gamma = 2 pi k_B T/(I_c Phi0),

whose mean time and variance are universal functions of alpha = gain u / D^(2/3), D = kappa^2 Gamma (the noisy quadratic
integrate-and-fire neuron; B. Lindner, A. Longtin, A. Bulsara, Neural Computation 15, 1761 (2003))::

    D^(1/3) <t> = sqrt(pi) int_0^inf v^(-1/2) exp(-alpha v - v^3/12) dv

The rest of the turn, what the noiseless rate has beyond pi/sqrt(gain u), is added; next to half a flux quantum there is a second bottleneck
in every turn. What is left out (inertia, the other mode of the SQUID) is measured once for every device on its two junctions with noise
(:func:`measured`): a factor that is smooth in flux and in u, grows as T^(1/3), and for the default device lies between 0.95 and 1.3.

A warm table is a pair of tables over u + ``below``, so that its zero is where thermal fluxons become too rare to matter: the rate, and
the Fano factor of the number of fluxons. Both engines look them up like any other source function.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from soen_event.physics import source, squid
from soen_event.physics.source import (
    A_BACK,
    A_FROM,
    A_MAX,
    A_PER,
    BELOW,
    MIRROR,
    N_A,
    N_LEVEL,
    N_Y,
    U_MAX,
    Table,
    _cells,
    _nodes,
    _placing,
    evaluate,
)
from soen_event.physics.squid import TWO_PI, junction_slope

RAREST = -6.0  # alpha at which the table begins: a slip in 10^9 tau_0
REFERENCE = 1.7619624715882129e-3  # Gamma of 100 uA at 4.2 K, at which the correction is measured
_A_NODES = 288
_SOLID = 0.01  # u above which the rest of a turn is taken from the noiseless rate; below it is held
_SOLID_INERT = 0.04  # the same where inertia makes the noiseless rate jump at threshold
_INERT = 0.5  # beta_c above which it does
_MEAN_F = 0.62  # f of the saddle-node where only f kappa is known (circuit.md 5: .60 to .71)
_VERSION = 1


class _Passage(NamedTuple):
    alpha: np.ndarray
    log_mean: np.ndarray  # of the passage's mean time, in D^(-1/3)
    fano: np.ndarray  # variance over square of the mean


@lru_cache(maxsize=1)
def _passage() -> _Passage:
    """The universal passage on a grid of alpha, -9 to 30."""
    alpha = np.arange(-9.0, 30.001, 0.125)
    x, w = np.polynomial.legendre.leggauss(400)
    v = 2.25 * (x + 1.0)  # v = x^2 takes the root away; beyond 20 the integrand has vanished
    weight = 2.25 * w * 2.0
    with np.errstate(under="ignore"):
        mean = math.sqrt(math.pi) * np.exp(-np.outer(alpha, v * v) - v**6 / 12.0) @ weight
    # Moments of first passage: m' = 1 + U' m, w' = m^2 + U' w with U' = -(alpha + y^2); variance = 2 int w.
    n, far = 6000, 14.0
    y = np.linspace(-far, far, n + 1)
    h = y[1] - y[0]
    m = 1.0 / (alpha + far * far)
    second = np.zeros_like(alpha)
    area = np.zeros_like(alpha)
    for k in range(n):
        slope = -(alpha + (y[k] + 0.5 * h) ** 2)
        e = np.exp(slope * h)
        gained = np.where(np.abs(slope * h) < 1e-9, h, (e - 1.0) / slope)
        following = m * e + gained
        new = second * e + gained * 0.5 * (m * m + following * following)
        area += 0.5 * h * (second + new)
        m, second = following, new
    return _Passage(alpha, np.log(mean), np.minimum(2.0 * area / mean**2, 1.0))


def passage(alpha: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean time (in D^(-1/3)) and squared coefficient of variation of a passage through the noisy bottleneck.

    ``alpha``: gain u/D^(2/3), any shape, at least -9.
    """
    from scipy.interpolate import CubicSpline

    known = _passage()
    alpha = np.asarray(alpha, dtype=float)
    inside = np.clip(alpha, known.alpha[0], known.alpha[-1])
    mean = np.exp(CubicSpline(known.alpha, known.log_mean)(inside))
    fano = CubicSpline(known.alpha, known.fano)(inside)
    beyond = np.maximum(alpha, known.alpha[-1])
    mean = np.where(alpha > known.alpha[-1], math.pi / np.sqrt(beyond) * (1.0 - 0.15625 / beyond**3), mean)
    return mean, np.where(alpha > known.alpha[-1], 0.75 / math.pi * beyond**-1.5, fano)


class Bottleneck(NamedTuple):
    """The saddle-nodes of a SQUID along the nodes of its folded flux: ``gain`` = f kappa, ``kappa``, and by how much further from
    its threshold a turn's second bottleneck is (``second``, I_c; inf for none)."""

    gain: np.ndarray
    kappa: np.ndarray
    second: np.ndarray

    def below(self, gamma: float) -> float:
        """Distance under the threshold at which a warm table begins."""
        return float(-RAREST * np.max(np.cbrt(self.kappa**2 * gamma) ** 2 / self.gain))


def rate_and_fano(
    u: Any, neck: Bottleneck, gamma: float, cold: Any, solid: float = _SOLID
) -> tuple[np.ndarray, np.ndarray]:
    """Mean rate r = 2 pi f tau_0 at temperature, and Fano factor of the number of fluxons.

    Arguments: ``u`` distance above the static threshold (I_c), shape (k, 1); ``neck`` at m fluxes; ``gamma`` = 2 pi k_B T/(I_c Phi0);
    ``cold`` the noiseless rate at the larger of ``u`` and ``solid``, shape (k, m). Returns two arrays of shape (k, m).
    """
    strength = neck.kappa**2 * gamma
    unit = np.cbrt(strength)
    mean, fano = passage(neck.gain * u / unit**2)
    times, variance = mean / unit, fano * (mean / unit) ** 2
    above = np.maximum(u, solid)
    rest = TWO_PI / cold - math.pi / np.sqrt(neck.gain * above)
    mean, fano = passage(neck.gain * np.minimum(u + neck.second, 9.0) / unit**2)
    second = np.where(np.isfinite(neck.second), mean / unit, 0.0)
    rest = rest + np.where(second > 0.0, second - math.pi / np.sqrt(neck.gain * (above + neck.second)), 0.0)
    whole = np.maximum(times + rest, 0.3 * times)
    return TWO_PI / whole, np.minimum((variance + fano * second**2) / whole**2, 2.0)


def _waves(x: Any, phi: Any) -> np.ndarray:
    """Functions of which the logarithm of a smooth correction is a sum, along the last axis; ``x`` = u/below."""
    s = 1.0 / (1.0 + np.exp(np.asarray(x) / 0.35))
    waves = [np.cos(TWO_PI * k * np.asarray(phi)) for k in range(4)]
    return np.stack(np.broadcast_arrays(*(s**power * wave for power in (1, 2) for wave in waves)), axis=-1)


def corrected(correction: np.ndarray, x: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Logarithm of the correction at distances ``x`` = u/below, shape (k,), and fluxes ``phi`` from 0 to 1/2, (m,): shape (2, k, m)."""
    from scipy.interpolate import CubicSpline, PchipInterpolator

    at = np.append([place for place, _ in _AT], 2.5)
    rows = np.concatenate([correction, np.zeros_like(correction[:, :1])], axis=1)
    along = PchipInterpolator(at, rows, axis=1)(np.clip(x, at[0], at[-1]))
    return CubicSpline(np.array(_FLUXES), along, axis=2, bc_type="clamped")(phi)


def noisy_turns(
    i: float,
    phi: float,
    b: float,
    beta_c: float,
    gamma: float,
    d1: float,
    d2: float,
    span: float,
    step: float,
    seed: int,
) -> tuple:
    """Turns of a SQUID with the noise of its shunts at constant current and flux for ``span`` tau_0: (number, mean time, variance).

    Compiled only. The friction and noise of a step are exact, the rest is of second order (a splitting of Langevin's equation).
    """
    np.random.seed(seed)  # noqa: NPY002  (Numba's own generator, one for every thread)
    keep = math.exp(-step / beta_c)
    kick = math.sqrt(gamma / beta_c * (1.0 - keep * keep))
    half, flux, q = 0.5 * i, TWO_PI * phi, 0.5 / b
    v1 = v2 = t = last = total = square = 0.0
    turns = -1
    target = 0.5 * (d1 + d2) + math.pi
    a1, a2 = junction_slope(d1, 0.0, d2, 0.0, half, flux, q, beta_c)
    while t < span:
        v1 += 0.5 * step * a1
        v2 += 0.5 * step * a2
        d1 += 0.5 * step * v1
        d2 += 0.5 * step * v2
        v1 = keep * v1 + kick * np.random.standard_normal()  # noqa: NPY002
        v2 = keep * v2 + kick * np.random.standard_normal()  # noqa: NPY002
        d1 += 0.5 * step * v1
        d2 += 0.5 * step * v2
        a1, a2 = junction_slope(d1, 0.0, d2, 0.0, half, flux, q, beta_c)
        v1 += 0.5 * step * a1
        v2 += 0.5 * step * a2
        t += step
        phase = 0.5 * (d1 + d2)
        if phase >= target:
            target += TWO_PI
            if t > 200.0:
                if turns >= 0:
                    total += t - last
                    square += (t - last) * (t - last)
                turns += 1
                last = t
        elif phase < target - 3.0 * math.pi:
            target -= TWO_PI
    if turns < 2:
        return turns, 0.0, 0.0
    mean = total / turns
    return turns, mean, square / turns - mean * mean


# Where the correction is measured: distance from threshold in units of the table's depth, and for how many tau_0; fluxes.
_AT = (
    (-0.4, 2e6),
    (-0.3, 9e5),
    (-0.2, 5e5),
    (-0.1, 3e5),
    (0.0, 2.5e5),
    (0.1, 2e5),
    (0.25, 1.5e5),
    (0.5, 1e5),
    (1.0, 1e5),
)
_FLUXES = (0.0, 0.03, 0.06, 0.1, 0.14, 0.18, 0.23, 0.3, 0.38, 0.44, 0.48, 0.5)


def measured(beta_c: float, b: float, cold: Any, effort: float = 1.0) -> np.ndarray:
    """Logarithms of the correction of rate and Fano factor, (2, distances, fluxes). About a minute and a half of CPU, on two threads.

    ``cold(u, phi)``: the noiseless rate, arrays broadcast. Where inertia does not matter the correction is smooth, and a smooth function
    is put through what was measured (errors of 1 to 4 % become 1 %).
    """
    from concurrent.futures import ThreadPoolExecutor

    from soen_event.engine.jit import compile_function

    turn = compile_function(noisy_turns)
    solid = _solid(beta_c)
    phi = np.array(_FLUXES)
    neck = _neck(phi, b)
    below = neck.below(REFERENCE)
    fold = squid.static_fold(phi, b)
    u = np.array([x * below for x, _ in _AT])[:, None]
    r, fano = rate_and_fano(u, neck, REFERENCE, cold(np.maximum(u, solid), phi), solid)

    def one(place: tuple[int, int]) -> tuple[float, float, float]:
        j, k = place
        start = (
            float(fold["i"][k] + u[j, 0]),
            float(phi[k]),
            b,
            beta_c,
            REFERENCE,
            float(fold["d1"][k]),
            float(fold["d2"][k]),
        )
        n, mean, variance = turn(*start, effort * _AT[j][1], min(0.05, 0.25 * beta_c), 1 + 100 * j + k)
        if n < 20:
            return 0.0, 0.0, 0.0
        return math.log(TWO_PI / mean / r[j, k]), math.log(variance / mean**2 / fano[j, k]), n * mean**2 / variance

    places = [(j, k) for j in range(len(_AT)) for k in range(len(phi))]
    with ThreadPoolExecutor(2) as pool:
        found = np.array(list(pool.map(one, places)))
    shape = len(_AT), len(phi)
    errors = 1.0 / np.maximum(found[:, 2], 1.0)
    if beta_c > _INERT:
        return np.stack([found[:, column].reshape(shape) for column in (0, 1)])
    A = _waves(u / below, phi).reshape(len(places), -1)
    out = []
    for column, error in ((0, errors), (1, 2.0 * errors)):
        weight = 1.0 / np.sqrt(error + 0.005**2) * (found[:, 2] > 0.0)
        ridge = 0.3 * np.eye(A.shape[1])
        left, right = (
            np.concatenate([A * weight[:, None], ridge]),
            np.append(found[:, column] * weight, np.zeros(len(ridge))),
        )
        out.append((A @ np.linalg.lstsq(left, right, rcond=None)[0]).reshape(shape))
    return np.array(out)


def _solid(beta_c: float) -> float:
    return _SOLID_INERT if beta_c > _INERT else _SOLID


def _neck(phi: np.ndarray, b: float) -> Bottleneck:
    """The bottlenecks of a symmetric RI SQUID at fluxes from 0 to 1/2."""
    fold = squid.static_fold(phi, b)
    slope = float(squid.static_fold(np.array(0.5), b)["slope"])
    return Bottleneck(fold["gain"], fold["kappa"], -2.0 * slope * (0.5 - phi))


def _parameters(beta_c: float, b: float) -> dict[str, Any]:
    where = {"at": [list(x) for x in _AT], "fluxes": list(_FLUXES)}
    return {"kind": "warm", "generator": _VERSION, "beta_c": float(beta_c), "b": float(b), **where}


@lru_cache(maxsize=16)
def _correction(beta_c: float, b: float) -> np.ndarray:
    """:func:`measured` for a device, from the package or the user's cache folder if it is known there."""

    def make() -> dict[str, np.ndarray]:
        sys.stderr.write(
            f"soen-event: measuring how noise moves the fluxons of beta_c = {beta_c:g}, beta = {b:g}; once for every device, a minute ...\n"
        )
        cold = source._ri_table(beta_c, b, b, "table")
        return {"log": measured(beta_c, b, lambda u, phi: evaluate(cold, u, 0.5 - phi))}

    return source._cached("warm", _parameters(beta_c, b), make)["log"]


@lru_cache(maxsize=64)
def warm_ri(beta_c: float, beta_1: float, beta_2: float, kind: str, gamma: float) -> tuple[Table, Table]:
    """Rate and Fano factor of an RI dendrite's SQUID at temperature; arguments as of the noiseless table, ``gamma`` > 0."""
    b = 0.5 * (beta_1 + beta_2)
    table = source._ri_table(beta_c, beta_1, beta_2, kind)
    if kind == "fit":  # the closed fit is that of one device
        beta_c, b = 0.3, 0.5 * math.pi
    return warm(table, gamma, _neck(0.5 - _flux_nodes(table), b), _correction(beta_c, b), _solid(beta_c))


def _flux_nodes(table: Table) -> np.ndarray:
    n_a, n_y = int(table.shape[N_A]), int(table.shape[N_Y])
    edges = table.cells[16 * n_a * n_y :].reshape(-1, 2)[n_a:]
    return np.append(edges[:, 0], edges[-1, 0] + 1.0 / edges[-1, 1])


def warm(
    table: Table,
    gamma: float,
    neck: Bottleneck | None = None,
    correction: np.ndarray | None = None,
    solid: float = _SOLID,
) -> tuple[Table, Table]:
    """The tables of rate and Fano factor at temperature, from a noiseless table.

    Arguments: ``table`` of any kind, ``gamma`` > 0, ``neck`` at the table's flux nodes (default: from the table's gain, with
    f = 0.62 and without a second bottleneck), ``correction``: coefficients from :func:`measured` (default: none).
    """
    y = _flux_nodes(table)
    levels = table.levels.reshape(-1, 4)
    if neck is None:
        gain = np.interp(y, np.linspace(0.0, y[-1], int(table.shape[N_LEVEL]) + 1), levels[:, 2])
        neck = Bottleneck(gain, gain / _MEAN_F, np.full(len(y), np.inf))
    below = neck.below(gamma)
    a = _nodes(_A_NODES, math.sqrt(float(table.scale[U_MAX]) + below), 1.0)
    u = a[:, None] ** 2 - below
    values = rate_and_fano(u, neck, gamma, evaluate(table, np.maximum(u, solid), y[None, :]), solid)
    if correction is not None:
        terms = corrected(correction, u[:, 0] / below, np.clip(0.5 - y, 0.0, 0.5)) * math.cbrt(gamma / REFERENCE)
        values = values[0] * np.exp(terms[0]), values[1] * np.exp(terms[1])
    mirror = bool(table.shape[MIRROR])
    sides = [np.column_stack([axis[:-1], 1.0 / np.diff(axis)]).reshape(-1) for axis in (a, y)]
    out = []
    for value in (values[0] - values[0][:1], np.clip(values[1], 1e-6, 2.0)):
        cells = _cells(a, y, value, symmetric_end=mirror, periodic=not mirror)
        shape, scale, lowered = table.shape.copy(), table.scale.copy(), levels.copy()
        shape[N_A] = _A_NODES
        scale[A_MAX], scale[U_MAX], scale[BELOW] = a[-1], a[-1] ** 2, below
        scale[[A_FROM, A_PER, A_BACK]] = _placing(a, 1.0)
        lowered[:, 0] -= below
        blocks = np.concatenate([np.ascontiguousarray(cells).reshape(-1), *sides])
        out.append(Table(shape, scale, blocks, lowered.reshape(-1), table.rest))
    return out[0], out[1]


if __name__ == "__main__":  # regenerate the shipped default, four times as carefully as a user's device
    from pathlib import Path

    from soen_event.device import Device
    from soen_event.physics import tablefile

    standard = Device()
    b = standard.beta_1
    table = source._ri_table(standard.beta_c, b, b, "table")
    values = measured(standard.beta_c, b, lambda u, phi: evaluate(table, u, 0.5 - phi), 4.0)
    tablefile.write(Path(__file__).with_name("default_warm.npz"), _parameters(standard.beta_c, b), {"log": values})
