"""Rate tables that other people made: measured, or from other programs.

**Reading** takes points (flux, current, rate): a long list, or a matrix with its axes; on a regular or a ragged grid (every flux with
currents of its own, as when a loop fills until it saturates). At every flux the *onset* is fitted to the lowest rates that are not
noise: near a saddle-node the period is pi/sqrt(gain u) and a constant D, so

    i = i_th + (1/gain) (r/(2 - D r/pi))^2

gives threshold, gain and the curve up to the first points; above, the points are joined over sqrt(u). So the engines see a sharp onset
also where the points are far apart, and averaging bumps below it are gone. What was repaired is told in the table's ``notes``.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soen_event.errors import InputError, checked_path, nearest
from soen_event.physics import family, source, squid, tablefile
from soen_event.physics.rate_table import KINDS, RateTable
from soen_event.units import is_number

if TYPE_CHECKING:
    from soen_event.device import Device

__all__ = ["read_foreign"]

Floats = NDArray[np.float64]
NOISE = (
    0.012  # rates at or below this say nothing about the onset: averages over finite times leave such (circuit.md 3)
)
LOWEST, DROP = -0.03, 0.03  # rates as negative as this, and falls with the current as large, are repaired
_ONSET_POINTS = 5
_FOREIGN: dict[str, Any] = {"n_a": 96, "n_y": 100, "a_bend": 0.15, "y_bend": 0.03, "u_max": 2.2, "n_level": 256}

# What other people call things: physics.md 2.4 and 2.5, circuit.md 3.
_NAMES = {
    "phi": ("phi", "flux", "phi_array", "phi_axis", "phi_r", "phi_r__array", "phi/phi0", "phi_phi0"),
    "i": ("i", "i_sq", "current", "ib_list", "i_axis", "i_squid"),
    "s": ("s", "i_di", "i_di__array", "s_axis"),
    "r": ("r", "rate", "g", "g_array", "r_fq", "r_fq__array", "r_array"),
    "ib": ("ib", "i_b", "ib1", "bias", "ib__list"),
}


def read_foreign(
    path: str | os.PathLike[str],
    *,
    kind: str = "ri",
    ib: float | None = None,
    device: Device | None = None,
    names: Mapping[str, str] | None = None,
    noise: float = NOISE,
) -> RateTable:
    """Read a rate table that somebody else made.

    Three layouts are recognised, in CSV (with a header), NPZ (never a pickle) and HDF5:

    * long: columns or arrays ``phi``, ``i`` (or ``s`` with ``ib``) and ``r`` of one length, in any order, regular or ragged;
    * matrix: two axes and a matrix; in CSV the first row holds the fluxes and the first column the currents;
    * the toolkit's: ``ib_list`` (currents), ``phi_array`` and ``g_array`` [current, flux] (physics.md 2.4).

    Args:
        path: .csv, .txt, .tsv, .npz, .h5 or .hdf5.
        kind: "ri": rates over flux and i = ib - s, mirrored at zero flux; "rtti": over flux (one period) and s at nominal biases.
        ib: bias of all points (I_c), where they give s and have no column of it; for RTTI needed then.
        device: junctions that it was measured on, if known: they shift the flux (unequal arms), and fill in thresholds where nothing was
            measured. They are noted in the table, and a device that uses it must have them. Default: unknown, pi/2 for both arms.
        names: what the file calls ``phi``, ``i``, ``s``, ``r``, ``ib``, where it is none of the usual names.
        noise: rates up to this are not taken for an onset.

    Returns:
        :class:`RateTable`, with what was repaired in its ``notes``: points that are not numbers are left out, rates slightly below zero
        become zero, small falls with the current are levelled, fluxes folded into half a period.

    Raises:
        InputError: a file that cannot be read; columns or arrays missing; rates that are far below zero, fall with the current or differ
            between mirrored fluxes; too few fluxes or currents, or fluxes that do not reach half a quantum. All that is found is told.
    """
    path, faults = checked_path(path, "read_foreign.path"), []
    if kind not in KINDS:
        faults.append(f"read_foreign.kind: {kind!r} is not known{nearest(str(kind), KINDS)}; give 'ri' or 'rtti'")
    if ib is not None and (not is_number(ib) or not 0.0 < ib <= 4.0):
        faults.append(f"read_foreign.ib: {ib!r} is not a bias above 0 and at most 4 I_c")
    if not is_number(noise) or not 0.0 <= noise <= 0.1:
        faults.append(f"read_foreign.noise: {noise!r} is not a rate from 0 to 0.1")
    if names is not None and not isinstance(names, Mapping):
        faults.append(f"read_foreign.names: {names!r} is no mapping; give what the file calls {', '.join(_NAMES)}")
        names = None
    for name, called in (names or {}).items():
        if name not in _NAMES or not isinstance(called, str):
            known = ", ".join(_NAMES)
            faults.append(
                f"read_foreign.names: {name!r}: {called!r}{nearest(str(name), _NAMES)}; give names by {known}"
            )
    if faults:
        raise InputError(faults)
    notes: list[str] = [f"read from {path.name}"]
    points = _cleaned(_points(path, kind, ib, dict(names or {})), path.name, notes)
    if kind == "ri":
        return _ri_from_points(points, path.name, device, noise, notes)
    return _rtti_from_points(points, path.name, noise, notes)


class _Points(NamedTuple):
    """Measured rates: all (n,). ``current``: i for RI, s for RTTI; ``ib``: NaN for RI."""

    phi: Floats
    current: Floats
    rate: Floats
    ib: Floats


def _points(path: Path, kind: str, ib: float | None, names: dict[str, str]) -> _Points:
    where = f"read_foreign: {path.name}"
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"read_foreign.path: there is no file {str(path)!r}{nearest(path.name, beside)}; give a table")
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".txt", ".tsv"):
            arrays = _csv_arrays(path, where, names)
        elif suffix == ".npz":
            arrays = _npz_arrays(path, where)
        elif suffix in (".h5", ".hdf5"):
            arrays = _hdf5_arrays(path)
        else:
            raise InputError(
                f"read_foreign.path: {path.name!r} is of no kind that is read here; give .csv, .npz, .h5 or .hdf5"
                + (
                    " (a pickle runs code when it is read: write it again as .npz)"
                    if suffix in (".pkl", ".soen", ".pickle")
                    else ""
                )
            )
    except (*tablefile.UNREADABLE, UnicodeDecodeError) as trouble:
        raise InputError(
            f"{where} cannot be read ({str(trouble).splitlines()[0] if str(trouble) else trouble!r}); get it again"
        ) from None
    return _named(arrays, where, kind, ib, names)


def _csv_arrays(path: Path, where: str, names: dict[str, str]) -> dict[str, np.ndarray]:
    text = path.read_text(encoding="utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) < 2:
        raise InputError(f"{where} holds {len(lines)} lines; a table has a header and rows of numbers")
    try:
        dialect: Any = csv.Sniffer().sniff("\n".join(lines[:3]), delimiters=",;\t ")
    except csv.Error:
        dialect = "excel"
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, dialect)]
    head, body = rows[0], rows[1:]
    uneven = [k for k, row in enumerate(body, start=2) if len(row) != len(head)]
    if uneven:
        raise InputError(
            f"{where}, line {uneven[0]} (comments not counted): has {len(body[uneven[0] - 2])} cells, the header {len(head)}"
        )
    values = np.array([[_as_float(cell) for cell in row] for row in body])
    header = [_as_float(cell) for cell in head]
    if all(math.isfinite(x) for x in header[1:]) and len(head) > 3:  # a matrix: fluxes along the first row
        return {
            "phi": np.array(header[1:]),
            "i" if head[0].lower() not in _NAMES["s"] else "s": values[:, 0],
            "r": values[:, 1:],
        }
    if all(math.isfinite(x) for x in header):
        raise InputError(f"{where} has no header; begin it with a line of names, such as phi,i,r")
    return {name: values[:, k] for k, name in enumerate(head)}


def _as_float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _npz_arrays(path: Path, where: str) -> dict[str, np.ndarray]:
    stored = np.load(path, allow_pickle=False)
    if not hasattr(stored, "files"):
        raise InputError(f"{where} holds one array, no table; save named arrays with numpy.savez")
    with stored:
        found = {}
        for name in stored.files:
            try:
                found[name] = stored[name]
            except ValueError:
                raise InputError(
                    f"{where}, array {name!r}: is a pickled object, which could run code when it is read; save ragged lists as long "
                    "arrays phi, s, r of one length"
                ) from None
        return found


def _hdf5_arrays(path: Path) -> dict[str, np.ndarray]:
    import h5py

    found: dict[str, np.ndarray] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf":
            found[name.rsplit("/", 1)[-1]] = np.asarray(item[()])

    with h5py.File(path, "r") as file:
        file.visititems(take)
    return found


def _named(arrays: dict[str, np.ndarray], where: str, kind: str, ib: float | None, names: dict[str, str]) -> _Points:
    """Bring what was read into long form."""
    plain = {name.lower(): name for name, array in arrays.items() if array.dtype.kind in "iuf"}
    found: dict[str, np.ndarray] = {}
    faults = []
    for meaning, usual in _NAMES.items():
        wanted = (names[meaning].lower(),) if meaning in names else usual
        here = [plain[name] for name in wanted if name in plain]
        if meaning in names and not here:
            faults.append(
                f"{where}: there is no {names[meaning]!r}{nearest(names[meaning], arrays)}; it has {', '.join(arrays)}"
            )
        if here:
            found[meaning] = np.asarray(arrays[here[0]], dtype=float)
    toolkit = "ib_list" in plain and "g_array" in plain
    if toolkit and "i" in found:
        found.pop("ib", None)
    across = "s" if "s" in found and ("i" not in found or kind == "rtti") else "i"
    for meaning in ("phi", across, "r"):
        if meaning not in found:
            known = ", ".join(_NAMES[meaning][:4])
            faults.append(
                f"{where}: there is no {meaning} (usual names: {known}); it has {', '.join(arrays) or 'nothing'}; use names"
            )
    if faults:
        raise InputError(faults)
    phi, current, rate = found["phi"], found[across], found["r"]
    bias = found.get("ib", np.array(math.nan if ib is None else float(ib)))
    if (
        rate.ndim == 3
        and phi.ndim == current.ndim == bias.ndim == 1
        and rate.shape == (bias.size, current.size, phi.size)
    ):
        bias, current, phi = np.broadcast_arrays(bias[:, None, None], current[None, :, None], phi[None, None, :])
    elif rate.ndim == 2 and phi.ndim == current.ndim == 1:
        if rate.shape == (current.size, phi.size):
            current, phi = np.meshgrid(current, phi, indexing="ij")
        elif rate.shape == (phi.size, current.size):
            phi, current = np.meshgrid(phi, current, indexing="ij")
        else:
            raise InputError(
                f"{where}: {rate.shape} rates must be those of {current.size} currents and {phi.size} fluxes"
            )
    if not phi.shape == current.shape == rate.shape:
        raise InputError(
            f"{where}: phi, {across} and r have {phi.size}, {current.size} and {rate.size} values; they must be one length"
        )
    if bias.ndim and bias.shape != rate.shape:
        raise InputError(f"{where}: ib has {bias.size} values and r {rate.size}; give one a point, or ib=")
    bias = np.broadcast_to(bias, rate.shape)
    if np.isnan(bias).all() and (kind == "rtti" or across == "s"):
        raise InputError(f"{where}: gives no bias; give ib=, or a column ib")
    if kind == "ri" and across == "s":
        current = bias - current
    if kind == "rtti" and across == "i":
        current = bias - current
    return _Points(*(np.array(x, dtype=float).ravel() for x in (phi, current, rate, bias)))


def _cleaned(points: _Points, name: str, notes: list[str]) -> _Points:
    where, faults = f"read_foreign: {name}", []
    good = np.isfinite(points.phi) & np.isfinite(points.current) & np.isfinite(points.rate)
    lost = int((~good).sum())
    if lost > 0.2 * good.size:
        raise InputError(f"{where}: {lost} of {good.size} points are not numbers; too many to leave out")
    if lost:
        notes.append(f"{lost} points that are not numbers are left out")
    points = _Points(*(column[good] for column in points))
    if points.rate.size < 25:
        raise InputError(f"{where}: {points.rate.size} points are too few for a table; give at least 25")
    if np.abs(points.phi).max() > 10.0:
        faults.append(f"{where}: fluxes reach {np.abs(points.phi).max():g}; they are in Phi0, of order 1: convert them")
    if np.abs(points.current).max() > 10.0:
        faults.append(
            f"{where}: currents reach {np.abs(points.current).max():g}; they are in units of I_c, of order 1: convert them"
        )
    if points.rate.max() > 20.0:
        faults.append(f"{where}: rates reach {points.rate.max():g}; r = 2 pi f tau_0 is of order 1: convert them")
    if points.rate.max() < 0.05:
        faults.append(f"{where}: no rate is above {points.rate.max():g}; r = 2 pi f tau_0 is of order 1: convert them")
    if points.rate.min() < LOWEST:
        k = int(np.argmin(points.rate))
        faults.append(
            f"{where}: rate {points.rate[k]:.4g} at flux {points.phi[k]:.4g}, current {points.current[k]:.4g} is negative"
        )
    if faults:
        raise InputError(faults)
    below = int((points.rate < 0.0).sum())
    if below:
        notes.append(f"{below} rates slightly below zero (down to {points.rate.min():.2g}) are taken as zero")
    return points._replace(rate=np.maximum(points.rate, 0.0))


class _Column(NamedTuple):
    """Rates at one flux: threshold ``start`` on the axis x (i, or -s), onset ``gain`` and ``delay``, and points above (a, r)."""

    phi: float
    start: float
    gain: float
    delay: float
    a: Floats
    r: Floats


def _columns(phi: Floats, x: Floats, rate: Floats, where: str, noise: float, notes: list[str]) -> list[_Column]:
    """Fit every flux by itself; those without an onset are left out."""
    columns, faults, levelled = [], [], 0
    distinct, member = np.unique(np.round(phi, 9), return_inverse=True)
    for k, flux in enumerate(distinct.tolist()):
        mine = np.flatnonzero(member == k)
        axis, back = np.unique(np.round(x[mine], 9), return_inverse=True)
        r = np.bincount(back, rate[mine]) / np.bincount(back)
        fall = np.maximum.accumulate(r) - r
        if fall.max(initial=0.0) > DROP:
            j = int(np.argmax(fall))
            faults.append(
                f"{where}: at flux {flux:.4g} the rate falls by {fall[j]:.3g} towards {abs(axis[j]):.4g} I_c; the SQUID's current must "
                "make it grow: correct it"
            )
            continue
        levelled += int((fall > 1e-12).sum())
        fitted = _onset(axis, np.maximum.accumulate(r), noise)
        if fitted is not None:
            columns.append(_Column(flux, *fitted))
    if faults:
        raise InputError(faults[:20] + ([f"{where}: and {len(faults) - 20} more of these"] if len(faults) > 20 else []))
    if levelled:
        notes.append(f"{levelled} points at which the rate falls slightly with the current are levelled")
    return columns


def _onset(x: Floats, r: Floats, noise: float) -> tuple[float, float, float, Floats, Floats] | None:
    """Threshold, gain and D of one flux (see the module's head), and its points above; None if there are fewer than three."""
    from scipy.optimize import least_squares

    on = np.flatnonzero(r > noise)
    if len(on) < 3:
        return None
    first = int(on[0])
    xs, rs = x[first : first + _ONSET_POINTS], r[first : first + _ONSET_POINTS]
    below = x[first - 1] if first > 0 else xs[0] - 3.0 * max(xs[1] - xs[0], 1e-3)

    def model(p: Floats, rates: Floats) -> Floats:
        return p[0] + math.exp(p[1]) * (rates / np.maximum(2.0 - p[2] * rates / math.pi, 0.2)) ** 2

    guess = np.array([max(below, xs[0] - rs[0] ** 2), 0.0, 1.0])
    low, high = [below - 1e-9, -4.0, -15.0], [xs[0] - 1e-9, 6.0, 1.6 * math.pi / rs[-1]]
    guess = np.clip(guess, np.array(low) + 1e-6, np.maximum(np.array(high) - 1e-6, np.array(low) + 1e-6))
    if high[0] <= low[0]:
        return None
    weight = 1.0 / (0.02 * (xs[-1] - below) + (xs - xs[0]))  # the lowest point counts most
    best = least_squares(lambda p: (model(p, rs) - xs) * weight, guess, bounds=(low, high), x_scale=[0.01, 1.0, 1.0])
    start = float(best.x[0])
    return start, math.exp(-float(best.x[1])), float(best.x[2]), np.sqrt(x[first:] - start), r[first:]


def _on_nodes(column: _Column, a: Floats) -> Floats:
    """Rates of one flux at the nodes ``a``: the onset's law up to the first point, the points joined, then their last slope in u."""
    from scipy.interpolate import Akima1DInterpolator

    u0 = np.linspace(0.0, column.a[0], 6)[1:-1]
    w = np.sqrt(column.gain) * u0
    law = 2.0 * math.pi / (math.pi / w + column.delay) if column.a[0] > 0 else w
    law = np.clip(law, 0.0, column.r[0]) * _matching(column)
    axis = np.concatenate([[0.0], u0, column.a])
    values = np.maximum.accumulate(np.concatenate([[0.0], np.minimum(law, column.r[0]), column.r]))
    keep = np.concatenate([[True], np.diff(axis) > 1e-9])
    curve = Akima1DInterpolator(axis[keep], values[keep])
    inside = curve(np.minimum(a, axis[-1]))
    last = column.a[-2:] ** 2
    steep = float(np.clip((column.r[-1] - column.r[-2]) / (last[1] - last[0]), 0.0, 1.0))
    return np.maximum.accumulate(np.maximum(inside + steep * np.maximum(a * a - axis[-1] ** 2, 0.0), 0.0))


def _matching(column: _Column) -> float:
    """Factor that makes the onset's law meet the first point."""
    w = math.sqrt(column.gain) * float(column.a[0])
    there = 2.0 * math.pi / (math.pi / w + column.delay)
    return float(np.clip(column.r[0] / there, 0.5, 2.0)) if there > 0 else 1.0


def _ri_from_points(points: _Points, name: str, device: Device | None, noise: float, notes: list[str]) -> RateTable:
    from scipy.interpolate import CubicSpline

    where = f"read_foreign: {name}"
    beta_1, beta_2 = (device.beta_1, device.beta_2) if device is not None else (0.5 * math.pi, 0.5 * math.pi)
    b = 0.5 * (beta_1 + beta_2)
    phi = points.phi + (beta_2 - beta_1) / (2.0 * squid.TWO_PI) * points.current if beta_1 != beta_2 else points.phi
    folded: Floats = np.asarray(np.round(np.abs(phi - np.round(phi)), 9), dtype=np.float64)
    if beta_1 != beta_2:  # every current has fluxes of its own now: gather them on even ones
        folded = np.asarray(np.round(folded * 200.0) / 200.0, dtype=np.float64)
        notes.append("fluxes are gathered in steps of 0.005 after the shift of unequal arms")
    _check_mirror(phi, folded, points, where, notes)
    columns = _columns(folded, points.current, points.rate, where, noise, notes)
    fluxes = np.array([c.phi for c in columns])
    faults = []
    if len(columns) < 5:
        faults.append(f"{where}: {len(columns)} fluxes have an onset and three points above it; a table needs 5")
    else:
        if fluxes.max() < 0.4:
            faults.append(
                f"{where}: fluxes end at {fluxes.max():g} Phi0; half a quantum must be reached (0.4 at least)"
            )
        if fluxes.min() > 0.35:
            faults.append(f"{where}: fluxes begin at {fluxes.min():g} Phi0; they must begin at 0.35 or below")
    if faults:
        raise InputError(faults)
    a = source._nodes(_FOREIGN["n_a"], math.sqrt(_FOREIGN["u_max"]), _FOREIGN["a_bend"])
    y = source._nodes(_FOREIGN["n_y"], 0.5, _FOREIGN["y_bend"])
    start = np.array([c.start for c in columns])
    gain = np.array([c.gain for c in columns])
    rate = np.array([_on_nodes(c, a) for c in columns])
    if fluxes.min() > 0.03:  # below, where nothing was measured, the static critical current, shifted to meet the edge
        grid = np.linspace(0.0, fluxes.min(), max(3, round(fluxes.min() / 0.02)), endpoint=False)
        static = squid.critical_current(grid, b, b) + start[0] - float(squid.critical_current(fluxes.min(), b, b))
        fluxes, start = np.concatenate([grid, fluxes]), np.concatenate([static, start])
        gain = np.concatenate([np.full(len(grid), gain[0]), gain])
        rate = np.concatenate([np.repeat(rate[:1], len(grid), axis=0), rate])
        notes.append(
            f"below flux {columns[0].phi:.4g} nothing was measured: thresholds there are those of arms of {b:.4g}"
        )
    even = np.concatenate([-fluxes[1:][::-1] if fluxes[0] < 1e-9 else -fluxes[::-1], fluxes])
    mirror = np.concatenate([np.arange(len(fluxes))[::-1][: len(even) - len(fluxes)], np.arange(len(fluxes))])
    turned = np.concatenate([even, 1.0 - fluxes[fluxes < 0.5 - 1e-9][::-1]])
    mirror = np.concatenate([mirror, np.flatnonzero(fluxes < 0.5 - 1e-9)[::-1]])
    nodes = np.linspace(0.0, 0.5, _FOREIGN["n_level"] + 1)
    curve = CubicSpline(turned, start[mirror])
    level, slope = curve(0.5 - nodes), -curve(0.5 - nodes, 1)
    parameters: dict[str, Any] = {
        "kind": "ri",
        "form": "samples",
        "a_bend": _FOREIGN["a_bend"],
        "y_bend": _FOREIGN["y_bend"],
    }
    if device is not None:
        parameters |= {"beta_c": device.beta_c, "beta_1": device.beta_1, "beta_2": device.beta_2}
    arrays = {"a": a, "y": y, "level": level, "slope": slope}
    arrays["gain"] = np.clip(np.interp(0.5 - nodes, fluxes, gain), 0.02, 5.0)
    arrays["rate"] = np.maximum(CubicSpline(turned, rate[mirror], axis=0)(0.5 - y).T, 0.0)
    arrays["rate"] = np.maximum.accumulate(arrays["rate"], axis=0)
    arrays["rate"][0] = 0.0
    return RateTable({**parameters, "notes": notes}, arrays)


def _check_mirror(phi: Floats, folded: Floats, points: _Points, where: str, notes: list[str]) -> None:
    """Fluxes of both signs must agree; the worst difference is told."""
    up = np.abs(np.mod(phi, 1.0) - folded) < 1e-6
    if up.all() or not up.any():
        return
    keys = np.round(np.column_stack([folded, points.current]), 6)
    sides = []
    for side in (up, ~up):
        order = np.lexsort(keys[side].T)
        sides.append(
            {tuple(k): r for k, r in zip(keys[side][order].tolist(), points.rate[side][order].tolist(), strict=True)}
        )
    both = [(abs(sides[0][key] - sides[1][key]), key) for key in sides[0] if key in sides[1]]
    if both:
        worst, key = max(both)
        median = float(np.median([d for d, _ in both]))
        if median > 0.02:
            raise InputError(
                f"{where}: rates at mirrored fluxes differ by {median:.3g} in the median ({worst:.3g} at flux {key[0]:.4g}); RI rates are "
                "equal: take a constant flux off, or give the device (unequal arms)"
            )
        notes.append(f"fluxes are folded into half a period; mirrored rates differ by {worst:.2g} at most")
    else:
        notes.append("fluxes are folded into half a period")


def _rtti_from_points(points: _Points, name: str, noise: float, notes: list[str]) -> RateTable:
    from scipy.interpolate import PchipInterpolator

    where = f"read_foreign: {name}"
    n_a, n_y, n_level = family.A_NODES, family.N_Y, family.N_LEVEL
    a = family.a_nodes()
    made: dict[str, list[Any]] = {key: [] for key in ("ib", "origin", "rate", "s", "slope", "gain")}
    for ib in np.unique(np.round(points.ib, 9)).tolist():
        mine = np.abs(points.ib - ib) < 1e-6
        columns = _columns(np.mod(points.phi[mine], 1.0), -points.current[mine], points.rate[mine], where, noise, notes)
        if len(columns) < 5:
            raise InputError(
                f"{where}: at ib = {ib:g} {len(columns)} fluxes have an onset and three points above it; a table needs 5"
            )
        fluxes = np.array([c.phi for c in columns])
        gaps = np.append(np.diff(fluxes), fluxes[0] + 1.0 - fluxes[-1])
        widest = int(np.argmax(gaps))
        turn = np.roll(np.arange(len(fluxes)), -(widest + 1))
        fluxes = np.concatenate([fluxes[widest + 1 :], fluxes[: widest + 1] + 1.0])
        s = -np.array([columns[k].start for k in turn])
        rate = np.array([_on_nodes(columns[k], a) for k in turn])
        gain = np.array([columns[k].gain for k in turn])
        first, last = float(fluxes[0]), float(fluxes[-1])
        origin = last + 0.5 * gaps[widest]
        if gaps[widest] > 0.05:  # nothing runs in between: the level falls steeply, to the next flux that was measured
            silent = np.setdiff1d(np.round(np.mod(points.phi[mine], 1.0), 9), np.round(np.mod(fluxes, 1.0), 9))
            most = 0.25 * float(gaps[widest])
            left = min([most, *(d for d in np.mod(first - silent, 1.0).tolist() if d > 0.0)])
            right = min([most, *(d for d in np.mod(silent - last, 1.0).tolist() if d > 0.0)])
            fluxes = np.concatenate([[first - 2 * left, first - left], fluxes, [last + right, last + 2 * right]])
            s = np.concatenate([[-0.7, -0.5], s, [-0.5, -0.7]])
            rate = np.concatenate([rate[:1], rate[:1], rate, rate[-1:], rate[-1:]])
            gain = np.concatenate([gain[:1], gain[:1], gain, gain[-1:], gain[-1:]])
            notes.append(
                f"at ib = {ib:g} nothing runs between flux {last - 1.0:.4g} and {first:.4g}: the level falls there"
            )
        wide = np.concatenate([fluxes - 1.0, fluxes, fluxes + 1.0])
        y = origin + np.arange(n_y + 1) / n_y
        z = origin + np.arange(n_level + 1) / n_level
        curve = PchipInterpolator(wide, np.tile(s, 3))
        made["ib"].append(ib)
        made["origin"].append(origin % 1.0)
        shift = math.floor(origin)
        made["s"].append(curve(z - shift))
        made["slope"].append(curve(z - shift, 1))
        made["gain"].append(np.clip(np.interp(z - shift, wide, np.tile(gain, 3)), 1e-3, 5.0))
        table = np.maximum(PchipInterpolator(wide, np.tile(rate, (3, 1)), axis=0)(y - shift).T, 0.0)
        table[0] = 0.0
        made["rate"].append(np.maximum.accumulate(table, axis=0))
    parameters = {"kind": "rtti", "form": "samples", "a_bend": family.A_BEND, "notes": notes}
    assert made["rate"][0].shape == (n_a + 1, n_y + 1)
    return RateTable(parameters, {"a": a, **{key: np.array(values) for key, values in made.items()}})
