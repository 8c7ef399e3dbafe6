"""The source function g(phi, i): how fast a dendrite's SQUID makes fluxons, with a sharp onset and both derivatives.

The rate depends on the bias and on the loop current only through i = ib - s (physics.md 2.2 a). It is tabulated over the
distance from threshold, u = i - level(phi), along a = sqrt(u), in which the saddle-node onset is a straight line, and over y, the
distance of the flux from half a quantum (folded), or the flux itself where the circuit has no mirror symmetry (RTTI).
Bicubic cells carry value and derivatives. Below the level the rate is exactly zero: nothing is smeared.

A table is a row of :class:`Sources`: flat arrays that both engines index in the same way. The scalar functions are compiled by
:mod:`soen_event.engine.jit`; the builders at the end run once per device (``default_ri.npz`` ships the default device's table).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from soen_event.errors import InputError
from soen_event.physics import family, squid, tablefile
from soen_event.physics.family import Family
from soen_event.physics.rtti import Line

if TYPE_CHECKING:
    from soen_event.device import Device

# Columns of Sources.shape (integers) and Sources.scale (floats).
N_A, N_Y, N_LEVEL, CELL_AT, LEVEL_AT, MIRROR = range(6)
A_MAX, LEVEL_PER, Y_MAX, U_MAX, SHIFT, STEEPEST, OFFSET, A_FROM, A_PER, A_BACK, Y_FROM, Y_PER, Y_BACK, BELOW = range(14)
PLACE = 0xFFFFFFFFFF  # a place in a table, so that compiled code knows that it is not negative (negative ones count from the end)


class Sources(NamedTuple):
    """Source-function tables of a network, one row each.

    ``shape``: int64 (n, 6), ``scale``: float64 (n, 14) (columns above; LEVEL_PER: level nodes per unit of y; BELOW: by how much
    the levels are lowered because the SQUID is warm, then the next row is its Fano factor, see thermal.py), ``cells``: float64, of
    each table 16 coefficients per bicubic cell, then (lower edge, 1/width) of every row and every column of cells,
    ``levels``: float64, (threshold current, its slope per node, normal-form gain, 0) per node of the level curve,
    ``rest``: float64 (n, 3, 33, 33) flattened, static phases (:func:`soen_event.physics.squid.rest_table`), and late and lag of running
    turns (:func:`soen_event.physics.squid.turn_shape`); zeros for RTTI.
    """

    shape: np.ndarray
    scale: np.ndarray
    cells: np.ndarray
    levels: np.ndarray
    rest: np.ndarray


def number_of_cell(scale: Any, row: int, first: int, x: float) -> int:
    """Which interval of an axis ``x`` falls into; ``first``: A_FROM or Y_FROM, of the three columns that describe the axis.

    Nodes at top z (bend + (1 - bend) z), z = 0, 1/n, ..., which crowd at 0, so n z = sqrt(from + per x) - back; from < 0: even nodes.
    """
    if scale[row, first] < 0.0:
        return int(x * scale[row, first + 1])
    return int(math.sqrt(scale[row, first] + x * scale[row, first + 1]) - scale[row, first + 2])


def fold_flux(phi: float, mirror: int) -> tuple:
    """Return (y, dy/dphi): 1/2 - |phi| within one period for a mirror-symmetric SQUID, phi mod 1 otherwise."""
    if mirror == 1:
        y = phi - math.floor(phi + 0.5)
        if y < 0.0:
            return 0.5 + y, 1.0
        return 0.5 - y, -1.0
    return phi - math.floor(phi), 1.0


def level(shape: Any, scale: Any, levels: Any, row: int, phi: float) -> tuple:
    """Threshold current at flux ``phi``: (level, dlevel/dphi, normal-form gain). Active exactly where i > level.

    For RI it is the static critical current of the SQUID (physics.md 2.2 b); for RTTI ib - s_sat(phi).
    """
    y, direction = fold_flux(phi, shape[row, MIRROR])
    n = shape[row, N_LEVEL]
    per = scale[row, LEVEL_PER]
    x = y * per
    k = int(x)
    if k >= n:
        k = n - 1
    t = x - k
    at = (shape[row, LEVEL_AT] + 4 * k) & PLACE
    v0 = levels[at]
    m0 = levels[at + 1]
    v1 = levels[at + 4]
    m1 = levels[at + 5]
    d = v1 - v0
    c2 = 3.0 * d - 2.0 * m0 - m1
    c3 = m0 + m1 - 2.0 * d
    value = v0 + t * (m0 + t * (c2 + t * c3))
    slope = (m0 + t * (2.0 * c2 + 3.0 * t * c3)) * per
    gain = levels[at + 2] + t * (levels[at + 6] - levels[at + 2])
    return value, slope * direction, gain


def flux_cell(shape: Any, scale: Any, cells: Any, row: int, phi: float) -> tuple:
    """Where flux ``phi`` falls in the table: (column of cells, place in it from 0 to 1, its derivative in phi)."""
    y, direction = fold_flux(phi, shape[row, MIRROR])
    n_y = shape[row, N_Y]
    k = number_of_cell(scale, row, Y_FROM, y)
    if k >= n_y:
        k = n_y - 1
    at = (shape[row, CELL_AT] + 16 * shape[row, N_A] * n_y + 2 * (shape[row, N_A] + k)) & PLACE
    per = cells[at + 1]
    return k, (y - cells[at]) * per, per * direction


def rate_at_root(shape: Any, scale: Any, cells: Any, row: int, a: float, k: int, t: float, per: float) -> tuple:
    """Rate where a = sqrt(u), at most A_MAX, and :func:`flux_cell` say: (r, dr/da, dr/dphi at constant u); a tiny negative rate is left."""
    n_a = shape[row, N_A]
    n_y = shape[row, N_Y]
    first = shape[row, CELL_AT]
    j = number_of_cell(scale, row, A_FROM, a)
    if j >= n_a:
        j = n_a - 1
    at = (first + 16 * n_a * n_y + 2 * j) & PLACE
    per_a = cells[at + 1]
    s = (a - cells[at]) * per_a
    at = (first + 16 * (j * n_y + k)) & PLACE
    t2 = t * t
    s2 = s * s
    p0 = (cells[at] + t * cells[at + 1]) + t2 * (cells[at + 2] + t * cells[at + 3])
    p1 = (cells[at + 4] + t * cells[at + 5]) + t2 * (cells[at + 6] + t * cells[at + 7])
    p2 = (cells[at + 8] + t * cells[at + 9]) + t2 * (cells[at + 10] + t * cells[at + 11])
    p3 = (cells[at + 12] + t * cells[at + 13]) + t2 * (cells[at + 14] + t * cells[at + 15])
    q0 = (cells[at + 1] + 2.0 * t * cells[at + 2]) + 3.0 * t2 * cells[at + 3]
    q1 = (cells[at + 5] + 2.0 * t * cells[at + 6]) + 3.0 * t2 * cells[at + 7]
    q2 = (cells[at + 9] + 2.0 * t * cells[at + 10]) + 3.0 * t2 * cells[at + 11]
    q3 = (cells[at + 13] + 2.0 * t * cells[at + 14]) + 3.0 * t2 * cells[at + 15]
    r = (p0 + s * p1) + s2 * (p2 + s * p3)
    r_a = ((p1 + 2.0 * s * p2) + 3.0 * s2 * p3) * per_a
    r_phi = ((q0 + s * q1) + s2 * (q2 + s * q3)) * per
    return r, r_a, r_phi


def rate_in_cell(shape: Any, scale: Any, cells: Any, row: int, u: float, k: int, t: float, per: float) -> tuple:
    """Rate at distance ``u`` > 0 above the level where :func:`flux_cell` says: (r, dr/du at constant flux, dr/dphi at constant u).

    Beyond the table (u > A_MAX^2) the rate goes on with the slope 1/2 of two shunts in parallel.
    """
    beyond = 0.0
    if u > scale[row, U_MAX]:
        beyond = u - scale[row, U_MAX]
        u = scale[row, U_MAX]
    a = math.sqrt(u)
    r, r_a, r_phi = rate_at_root(shape, scale, cells, row, a, k, t, per)
    if beyond > 0.0:
        return r + 0.5 * beyond, 0.5, r_phi
    if r < 0.0:
        return 0.0, 0.0, 0.0
    return r, 0.5 * r_a / a, r_phi


def rate_above(shape: Any, scale: Any, cells: Any, row: int, u: float, phi: float) -> tuple:
    """Rate at distance ``u`` above the level at flux ``phi``, as :func:`rate_in_cell`; zeros for u <= 0."""
    if u <= 0.0:
        return 0.0, 0.0, 0.0
    k, t, per = flux_cell(shape, scale, cells, row, phi)
    return rate_in_cell(shape, scale, cells, row, u, k, t, per)


def source_at(shape: Any, scale: Any, cells: Any, levels: Any, row: int, phi: float, i: float) -> tuple:
    """Source function at a part's flux and SQUID current: (r, g_phi, g_i, u, du/dphi, gain); the rate is looked up only if u > 0.

    r = 2 pi R_fq / omega_c (physics.md 2.1), u: distance above threshold, gain: of the saddle-node at threshold.
    """
    k = scale[row, SHIFT]
    effective = phi + scale[row, OFFSET] + k * i
    threshold, slope, gain = level(shape, scale, levels, row, effective)
    u = i - threshold
    if u <= 0.0:
        return 0.0, 0.0, 0.0, u, -slope, gain
    r, r_u, r_phi = rate_above(shape, scale, cells, row, u, effective)
    g_phi = r_phi - r_u * slope
    return r, g_phi, r_u + k * g_phi, u, -slope, gain


def source(sources: Sources, row: int, phi: float, i: float) -> tuple:
    """g(phi, i) with derivatives, for use outside the engines: (r, dr/dphi, dr/di, u)."""
    shape, scale, cells, levels, _ = sources
    r, g_phi, g_i, u, _, _ = source_at(shape, scale, cells, levels, row, phi, i)
    return r, g_phi, g_i, u


def rates_at(shape: Any, scale: Any, cells: Any, levels: Any, phi: Any, i: Any, out: Any) -> None:
    """Fill ``out`` with the rates of the first table at fluxes ``phi`` and currents ``i``, all of one length."""
    for k in range(phi.shape[0]):
        out[k] = source_at(shape, scale, cells, levels, 0, phi[k], i[k])[0]


# --------------------------------------------------------------------------- building the tables (once per device, not in the loop)

_VERSION = 1
_AXES: dict[str, Any] = {"n_a": 128, "n_y": 80, "a_bend": 0.15, "y_bend": 0.03, "u_max": 2.2, "n_level": 256}


def _nodes(n: int, top: float, bend: float) -> np.ndarray:
    x = np.arange(n + 1) / n
    return top * x * (bend + (1.0 - bend) * x)


def _placing(nodes: np.ndarray, bend: float) -> tuple[float, float, float]:
    """The three columns for :func:`number_of_cell` of an axis made by :func:`_nodes`."""
    n, top = len(nodes) - 1, float(nodes[-1])
    if bend >= 1.0:
        return -1.0, n / top, 0.0
    back = 0.5 * n * bend / (1.0 - bend)
    return back * back, n * n / ((1.0 - bend) * top), back


def _cells(a: np.ndarray, y: np.ndarray, r: np.ndarray, symmetric_end: bool, periodic: bool) -> np.ndarray:
    """Bicubic coefficients (n_a, n_y, 16) in cell coordinates from values on nodes, with spline derivatives at the nodes."""
    from scipy.interpolate import CubicSpline

    if symmetric_end:  # mirror the values beyond phi = 0, where the rate is even in the flux
        pad = min(12, len(y) - 1)
        ye = np.concatenate([y, 2.0 * y[-1] - y[-2 : -2 - pad : -1]])
        re = np.concatenate([r, r[:, -2 : -2 - pad : -1]], axis=1)
        r_y = CubicSpline(ye, re, axis=1)(y, 1)
    else:
        r_y = CubicSpline(y, r, axis=1, bc_type="periodic" if periodic else "not-a-knot")(y, 1)
    r_a = CubicSpline(a, r, axis=0)(a, 1)
    r_ay = CubicSpline(a, r_y, axis=0)(a, 1)
    ha, hy = np.diff(a)[:, None], np.diff(y)[None, :]

    def corner(f: np.ndarray) -> tuple[np.ndarray, ...]:
        return f[:-1, :-1], f[:-1, 1:], f[1:, :-1], f[1:, 1:]

    f, fa, fy, fay = corner(r), corner(r_a), corner(r_y), corner(r_ay)
    block = np.empty((*f[0].shape, 4, 4))
    block[..., 0, 0], block[..., 0, 1], block[..., 1, 0], block[..., 1, 1] = f
    block[..., 2, 0], block[..., 2, 1], block[..., 3, 0], block[..., 3, 1] = (v * ha for v in fa)
    block[..., 0, 2], block[..., 0, 3], block[..., 1, 2], block[..., 1, 3] = (v * hy for v in fy)
    block[..., 2, 2], block[..., 2, 3], block[..., 3, 2], block[..., 3, 3] = (v * ha * hy for v in fay)
    m = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [-3, 3, -2, -1], [2, -2, 1, 1]], dtype=float)
    return (m @ block @ m.T).reshape(*f[0].shape, 16)


class Table(NamedTuple):
    """One source function, ready to become a row of :class:`Sources`."""

    shape: np.ndarray
    scale: np.ndarray
    cells: np.ndarray
    levels: np.ndarray
    rest: np.ndarray


def assemble(
    r: np.ndarray,
    a: np.ndarray,
    y: np.ndarray,
    axes: dict,
    curve: tuple[np.ndarray, np.ndarray, np.ndarray],
    mirror: bool,
    shift: float,
    steepest: float,
    offset: float = 0.0,
    rest: np.ndarray | None = None,
) -> Table:
    """A table from rates ``r`` on the nodes ``a`` and ``y``, and its level curve (value, slope in y, gain) at even y."""
    value, slope, gain = curve
    per = (len(value) - 1) / y[-1]
    levels = np.column_stack([value, slope / per, gain, np.zeros_like(gain)])
    cells = _cells(a, y, r, symmetric_end=mirror, periodic=not mirror)
    shape = np.array([len(a) - 1, len(y) - 1, len(value) - 1, 0, 0, 1 if mirror else 0], dtype=np.int64)
    placing = [*_placing(a, axes["a_bend"]), *_placing(y, axes["y_bend"] if mirror else 1.0)]
    scale = np.array([a[-1], per, y[-1], a[-1] ** 2, shift, steepest, offset, *placing, 0.0])
    phases = np.zeros(3 * (squid.NODES + 1) ** 2) if rest is None else rest.reshape(-1)
    edges = [np.column_stack([axis[:-1], 1.0 / np.diff(axis)]).reshape(-1) for axis in (a, y)]
    blocks = np.concatenate([np.ascontiguousarray(cells).reshape(-1), *edges])
    return Table(shape, scale, blocks, levels.reshape(-1), phases)


def _ri_levels(b: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y = np.linspace(0.0, 0.5, n + 1)
    fold = squid.static_fold(0.5 - y, b)
    return fold["i"], -fold["slope"], fold["gain"]


def rates_on_grid(
    beta_c: float,
    b: float,
    axes: dict | None = None,
    progress: Callable[[float, float], None] | None = None,
    workers: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integrate the junction equations on the table's nodes: (a nodes, y nodes, r[a, y]); seconds of CPU.

    ``progress`` is called with (columns done, columns); ``workers``: threads.
    """
    from soen_event.engine.jit import compile_function

    axes = axes or _AXES
    a = _nodes(axes["n_a"], math.sqrt(axes["u_max"]), axes["a_bend"])
    y = _nodes(axes["n_y"], 0.5, axes["y_bend"])
    fold = squid.static_fold(0.5 - y, b)
    r = np.empty((len(a), len(y)))
    step = min(0.05, 0.25 * beta_c)
    kernel: Any = compile_function(squid.rate_grid, persistent=True)

    def column(k: int) -> None:
        out = np.empty((len(a), 1))
        one = slice(k, k + 1)
        kernel(a, 0.5 - y[one], b, beta_c, fold["i"][one], fold["d1"][one], fold["d2"][one], step, out)
        r[:, k] = out[:, 0]

    column(0)  # compiles
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for done, _ in enumerate(pool.map(column, range(1, len(y))), start=2):
            if progress is not None:
                progress(float(done), float(len(y)))
    return a, y, r


def _cache_folder() -> Path:
    """``SOEN_CACHE_DIR``, or the user's cache folder."""
    chosen = os.environ.get("SOEN_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "soen_event"


def _parameters(beta_c: float, b: float) -> dict[str, Any]:
    return {"kind": "ri", "generator": _VERSION, "beta_c": float(beta_c), "b": float(b), **_AXES}


def _cached(
    name: str, parameters: dict[str, Any], generate: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Arrays with exactly these parameters: shipped (``default_<name>.npz``), from the user's cache, or made now and kept there."""
    key = hashlib.blake2b(json.dumps(parameters, sort_keys=True).encode(), digest_size=8).hexdigest()
    kept = _cache_folder() / f"{name}_{key}.npz"
    for path in (Path(__file__).with_name(f"default_{name}.npz"), kept):
        with contextlib.suppress(InputError):  # a damaged file is made again
            found, arrays = tablefile.read(path)
            if found == parameters:
                return arrays
    arrays = generate()
    with contextlib.suppress(OSError):  # a read-only home costs the time each time, nothing else
        kept.parent.mkdir(parents=True, exist_ok=True)
        tablefile.write(kept, parameters, arrays)
    return arrays


def _rates(
    beta_c: float, b: float, progress: Callable[[float, float], None] | None = None, workers: int = 1
) -> np.ndarray:
    return _cached("ri", _parameters(beta_c, b), lambda: {"r": rates_on_grid(beta_c, b, None, progress, workers)[2]})[
        "r"
    ]


def _turns(b: float, beta_c: float) -> np.ndarray:
    from soen_event.engine.jit import compile_function

    n = squid.NODES
    u = squid.U_TOP * (np.arange(n + 1) / n) ** 2
    u[0] = 1e-4  # at threshold itself a turn takes for ever
    phi = 0.5 - np.linspace(0.0, 0.5, n + 1)
    fold = squid.static_fold(phi, b)
    out = np.empty((2, n + 1, n + 1))
    kernel: Any = compile_function(squid.turn_grid, persistent=True)
    kernel(u, phi, b, beta_c, fold["i"], fold["d1"], fold["d2"], min(0.05, 0.25 * beta_c), out)
    return out


def phases(b: float, beta_c: float | None) -> np.ndarray:
    """``rest`` of one RI table, (3, 33, 33): arms of inductance ``b``; without ``beta_c`` running turns are as symmetric as slow ones."""
    turns = np.zeros((2, squid.NODES + 1, squid.NODES + 1))
    if beta_c is not None:
        parameters = {"kind": "turn", "generator": _VERSION, "beta_c": float(beta_c), "b": float(b)}
        turns = _cached("turn", parameters, lambda: {"turns": _turns(b, beta_c)})["turns"]
    return np.concatenate([squid.rest_table(b)[None], turns])


def fitted_rate(phi: Any, i: Any) -> np.ndarray:
    """The closed fit of physics.md 2.7 (beta_c 0.3, beta_1 = beta_2 = pi/2): rms error 0.006, largest 0.044; exact onset."""
    threshold = squid.critical_current(phi)
    x = np.maximum(np.asarray(i, dtype=float) - threshold, 0.0)
    v = (threshold - 1.0472) / 0.9528
    root = np.sqrt(x)
    return root * (0.95819 + 0.16424 * v + (-1.18810 + 0.89761 * v) * root + 2.02711 * x) / (1.0 + 1.66800 * x)


@lru_cache(maxsize=64)
def _ri_table(beta_c: float, beta_1: float, beta_2: float, kind: str) -> Table:
    b = 0.5 * (beta_1 + beta_2)
    a = _nodes(_AXES["n_a"], math.sqrt(_AXES["u_max"]), _AXES["a_bend"])
    y = _nodes(_AXES["n_y"], 0.5, _AXES["y_bend"])
    curve = _ri_levels(b, _AXES["n_level"])
    if kind == "fit":
        threshold = squid.critical_current(0.5 - y)
        r = fitted_rate(0.5 - y[None, :], threshold[None, :] + (a * a)[:, None])
    else:
        r = _rates(beta_c, b)
    shift = (beta_2 - beta_1) / (2.0 * squid.TWO_PI)
    return assemble(r, a, y, _AXES, curve, True, shift, float(np.abs(curve[1]).max()), rest=phases(b, beta_c))


def ri_table(device: Device, kind: str | None = None) -> Table:
    """Table of the RI source function of ``device``; ``kind`` "table" (junction equations) or "fit" (closed fit).

    The shipped default loads at once; another device's table takes seconds and is kept in the user's cache folder with a checksum.
    """
    kind = kind or device.source
    if device.rate_table and kind == "table":
        from soen_event.physics.rate_table import of_device

        own = of_device(device, "ri")
        if own is not None:
            return own.source()
    return _ri_table(device.beta_c, device.beta_1, device.beta_2, kind)


def rtti_family(
    beta_c: float, line: Line, progress: Callable[[float, float], None] | None = None, workers: int = 1
) -> Family:
    """RTTI rates at a row of biases: shipped for the default device, else made once (half a minute) and kept."""
    parameters = {"kind": "rtti", "generator": family.VERSION, "beta_c": float(beta_c), **line._asdict()}
    arrays = _cached("rtti", parameters, lambda: family.packed(family.generate(beta_c, line, None, progress, workers)))
    return family.unpacked(arrays)


_kept_family = lru_cache(maxsize=8)(rtti_family)


def shipped_family() -> Family:
    """The family of the default device."""
    return _kept_family(0.3, Line())


def rtti_from_samples(ib: float, samples: dict[str, np.ndarray], a: np.ndarray, a_bend: float) -> Table:
    """A table from :func:`soen_event.physics.family.sampled`: its level is ib - s_sat(phi)."""
    n_y = samples["rate"].shape[1] - 1
    curve = (ib - samples["s"], -samples["slope"], samples["gain"])
    steepest = float(np.abs(curve[1]).max())
    y = np.linspace(0.0, 1.0, n_y + 1)
    return assemble(samples["rate"], a, y, {"a_bend": a_bend}, curve, False, 0.0, steepest, -float(samples["origin"]))


@lru_cache(maxsize=64)
def _rtti_table(ib: float, beta_c: float, beta_1: float, beta_2: float) -> Table:
    line = Line(beta_1, beta_2)
    kept = _kept_family(beta_c, line)
    return rtti_from_samples(ib, family.sampled(kept, ib, line), kept.a, family.A_BEND)


def rtti_table(ib: float, device: Device | None = None) -> Table:
    """Table of the RTTI source function at nominal bias ``ib`` from its junctions; ``device`` default: the default device.

    A bias costs some 60 ms. The shipped family serves the default device; another device's takes half a minute, once.
    """
    if device is not None and device.rate_table:
        from soen_event.physics.rate_table import of_device

        own = of_device(device, "rtti")
        if own is not None:
            return own.source(ib)
    if device is None:
        return _rtti_table(ib, 0.3, squid.TWO_PI / 4.0, squid.TWO_PI / 4.0)
    return _rtti_table(ib, device.beta_c, device.beta_1, device.beta_2)


def evaluate(table: Table, u: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rates of a table at distances ``u`` >= 0 above its level and folded fluxes ``y`` (:func:`fold_flux`); arrays broadcast."""
    u, y = np.broadcast_arrays(u, y)
    n_a, n_y = int(table.shape[N_A]), int(table.shape[N_Y])
    cells = table.cells[: 16 * n_a * n_y].reshape(n_a, n_y, 4, 4)
    edges = table.cells[16 * n_a * n_y :].reshape(-1, 2)
    top = float(table.scale[U_MAX])
    a = np.sqrt(np.minimum(u, top))
    j = np.clip(np.searchsorted(edges[:n_a, 0], a, side="right") - 1, 0, n_a - 1)
    k = np.clip(np.searchsorted(edges[n_a:, 0], y, side="right") - 1, 0, n_y - 1)
    s = (a - edges[j, 0]) * edges[j, 1]
    t = (y - edges[n_a + k, 0]) * edges[n_a + k, 1]
    powers = np.arange(4)
    r = np.einsum("...a,...ab,...b->...", s[..., None] ** powers, cells[j, k], t[..., None] ** powers)
    return np.maximum(r, 0.0) + 0.5 * np.maximum(u - top, 0.0)


def stack(tables: list[Table]) -> Sources:
    """Put tables one after another into the arrays that the engines index."""
    shape = np.array([t.shape for t in tables], dtype=np.int64).reshape(-1, 6)
    scale = np.array([t.scale for t in tables], dtype=float).reshape(-1, 14)
    cell_at = level_at = 0
    for row, table in enumerate(tables):
        shape[row, CELL_AT], shape[row, LEVEL_AT] = cell_at, level_at
        cell_at += table.cells.size
        level_at += table.levels.size
    cells = np.concatenate([t.cells for t in tables]) if tables else np.zeros(0)
    levels = np.concatenate([t.levels for t in tables]) if tables else np.zeros(0)
    rest = np.concatenate([t.rest for t in tables]) if tables else np.zeros(0)
    return Sources(shape, scale, cells, levels, rest)


if __name__ == "__main__":  # regenerate what is shipped
    _here = Path(__file__)
    for _name in ("ri", "rtti", "turn"):
        _here.with_name(f"default_{_name}.npz").unlink(missing_ok=True)
    os.environ["SOEN_CACHE_DIR"] = str(_here.parent / "made")
    _ri_table(0.3, squid.TWO_PI / 4.0, squid.TWO_PI / 4.0, "table")
    rtti_family(0.3, Line())
    for _made in (_here.parent / "made").glob("*.npz"):
        os.replace(_made, _here.with_name(f"default_{_made.name.split('_')[0]}.npz"))
    (_here.parent / "made").rmdir()
