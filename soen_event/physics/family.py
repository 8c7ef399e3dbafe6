"""RTTI source functions for any bias, from the junctions: integrated at a row of biases, carried to those between in milliseconds.

An RTTI dendrite's rate depends on its bias and on its current separately, so every bias has a source function of its own. Where it
begins is exact for every bias (:func:`soen_event.physics.rtti.folds`). How fast it runs above that, over a = sqrt(s_sat - s), is
integrated at the biases of a row, and interpolated: not at equal flux, since the curve's features move with the bias, but at equal
place between its *marks*, the fluxes where one fold takes over from another as the lowest and where the curve is at half its height.
Marks of two biases belong together if they lie between folds of the same kind (how many turns apart the junctions are).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soen_event.physics.rtti import TWO_PI, Folds, Line, edges_of, folds, line_rates, turns_apart

VERSION = 1
Floats = NDArray[np.float64]
Progress = Callable[[float, float], None]

# Nominal biases that are integrated: closer together where the curve changes most.
BIASES = (*(1.5 + 0.025 * k for k in range(18)), *(1.95 + 0.05 * k for k in range(15)))
A_NODES, A_BEND, U_MAX = 48, 0.15, 2.2
GRID = 400  # nodes of flux at which folds are kept, to start from
EDGE_STEP = 0.005
N_LEVEL = 1600
N_Y = 400
_PER_SEGMENT = 20  # nodes of flux between two marks, at least
_WIDEST = 0.025  # and at most this far apart, Phi0
_RISE, _FALL = 1, 2  # names of the marks at half height


class Family(NamedTuple):
    """Rates at a row of biases.

    ``ib``: (n,). ``a``: (nodes,) of sqrt(u), from 0. ``phi``: flux nodes of all biases one after another, those of bias k from
    ``start[k]`` to ``start[k + 1]``; ``rate``: (nodes of a, all of phi). ``mark``, ``mark_phi``: (n, most marks) names (0: none) and
    places of the marks. ``d1``, ``d2``: (n, GRID, KEPT) phases of the folds at even flux.
    ``edge_ib``: (m,) biases, closer together, and ``edges``: (m, 3) both threshold fluxes and the largest current there.
    """

    ib: Floats
    a: Floats
    start: NDArray[np.int64]
    phi: Floats
    rate: Floats
    mark: NDArray[np.int64]
    mark_phi: Floats
    d1: Floats
    d2: Floats
    edge_ib: Floats
    edges: Floats


def a_nodes() -> Floats:
    """Nodes of a = sqrt(u), which crowd at the threshold."""
    x = np.arange(A_NODES + 1) / A_NODES
    return math.sqrt(U_MAX) * x * (A_BEND + (1.0 - A_BEND) * x)


def marks(phi: Floats, found: Folds, ib: float, line: Line) -> dict[int, float]:
    """Fluxes where the curve of saturation has corners or is at half its height, by name."""
    n = len(phi)
    s, slope = found.s[:, 0], found.slope[:, 0]
    kind = turns_apart(found.d1[:, 0], found.d2[:, 0], ib, line)
    after = np.roll(np.arange(n), -1)
    step = np.mod(phi[after] - phi, 1.0)
    moved = sum(np.abs(np.angle(np.exp(1j * (d[after, 0] - d[:, 0])))) for d in (found.d1, found.d2))
    out: dict[int, float] = {}
    for k in np.flatnonzero(moved > 0.3):
        j = after[k]
        steeper = slope[k] - slope[j]
        x = (s[j] - slope[j] * step[k] - s[k]) / steeper if abs(steeper) > 1e-9 else 0.5 * step[k]
        name = 16 + int(kind[k]) * 256 + int(kind[j])
        out.setdefault(name, float(phi[k] + min(max(x, 0.0), step[k])))
    half = 0.5 * (s.min() + s.max())
    for name, crossing in (
        (_RISE, (s < half) & (s[after] >= half)),
        (_FALL, (s >= half) & (s[after] < half)),
    ):
        where = np.flatnonzero(crossing)
        if len(where) == 1:
            k = where[0]
            out[name] = float(phi[k] + step[k] * (half - s[k]) / (s[after[k]] - s[k]))
    return out


def _flux_nodes(at: dict[int, float]) -> Floats:
    """Nodes over one period from the first mark, which crowd at all marks; every mark is a node."""
    edges = np.unique(np.round(np.mod(list(at.values()) or [0.0], 1.0), 9))
    edges = np.append(edges, edges[0] + 1.0)
    parts = []
    for low, high in itertools.pairwise(edges.tolist()):
        if high - low < 2e-3:
            parts.append(np.array([low]))
            continue
        n = max(_PER_SEGMENT, math.ceil(1.6 * (high - low) / _WIDEST))
        z = np.arange(n) / n
        parts.append(low + (high - low) * (z - 0.85 * np.sin(TWO_PI * z) / TWO_PI))
    return np.concatenate(parts)


def _folds_at(phi: Floats, ib: float, line: Line, found: Folds) -> Folds:
    """Folds at the fluxes ``phi`` from those at GRID even ones."""
    near = np.rint(np.mod(phi, 1.0) * GRID).astype(np.int64) % GRID
    return folds(phi, ib, line, (found.d1[near], found.d2[near]))


def generate(
    beta_c: float,
    line: Line | None = None,
    biases: Floats | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> Family:
    """Integrate a family.

    Args:
        beta_c: Stewart-McCumber parameter of the junctions.
        line: the circuit, default physics.md 2.5.
        biases: nominal biases (I_c), ascending; default 33 from 1.50 to 2.65.
        progress: called with (columns done, columns) after each.
        workers: threads.

    Returns:
        :class:`Family`. Tens of seconds of CPU for 33 biases.
    """
    from soen_event.engine.jit import compile_function

    line = line or Line()
    ibs = np.array(BIASES if biases is None else biases, dtype=float)
    a = a_nodes()
    grid = np.arange(GRID) / GRID
    fine = np.arange(N_LEVEL) / N_LEVEL
    found, named, nodes, there = [], [], [], []
    for ib in ibs.tolist():
        found.append(folds(grid, ib, line))
        named.append(marks(fine, _folds_at(fine, ib, line, found[-1]), ib, line))
        nodes.append(_flux_nodes(named[-1]))
        there.append(_folds_at(nodes[-1], ib, line, found[-1]))
    start = np.concatenate([[0], np.cumsum([len(x) for x in nodes])]).astype(np.int64)
    rate = np.zeros((len(a), start[-1]))
    kernel: Any = compile_function(line_rates, persistent=True)
    step = min(0.25, 0.5 * math.sqrt(beta_c), beta_c)
    columns = [(k, j) for k in range(len(ibs)) for j in range(0, len(nodes[k]), 8)]
    done = 0

    def integrate(k: int, j: int) -> int:
        phi = nodes[k][j : j + 8]
        constants = np.array([*(1.0 / b for b in line[:4]), ibs[k], line.ib_2, line.ib_3, 1.0 / beta_c])
        out = np.zeros((len(a), len(phi)))
        s, gain = there[k].s[j : j + 8], there[k].gain[j : j + 8]
        kernel(s, gain, phi, a, constants, step, 1e-5, np.zeros(9), out)
        rate[:, start[k] + j : start[k] + j + len(phi)] = out
        return len(phi)

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(float(done), float(start[-1]))

    if workers > 1:
        integrate(*columns[0])  # compiles, in one thread
        with ThreadPoolExecutor(workers) as pool:
            for count in pool.map(lambda c: integrate(*c), columns):
                report(count)
    else:
        for k, j in columns:
            report(integrate(k, j))
    # At the threshold: 0 for a saddle-node on the cycle, else (hysteretic junctions) the rate jumps.
    rate[0] = np.where(rate[1] < 0.5 * (1.0 + a[1] / a[2]) * rate[2], 0.0, rate[1])
    most = max(len(x) for x in named)
    mark = np.zeros((len(ibs), most), dtype=np.int64)
    mark_phi = np.zeros((len(ibs), most))
    for k, at in enumerate(named):
        mark[k, : len(at)], mark_phi[k, : len(at)] = list(at), list(at.values())
    d1, d2 = (np.array([getattr(f, name) for f in found]) for name in ("d1", "d2"))
    edge_ib = np.linspace(ibs[0], ibs[-1], max(1, round((ibs[-1] - ibs[0]) / EDGE_STEP) + 1))
    edges = np.array([edges_of(x, line, _around(ibs, (d1, d2), x)) for x in edge_ib.tolist()])
    return Family(ibs, a, start, np.concatenate(nodes), rate, mark, mark_phi, d1, d2, edge_ib, edges)


def _around(ibs: Floats, phases: tuple[Floats, Floats], ib: float) -> tuple[Floats, Floats]:
    """Phases of the folds of the biases next to ``ib``, to start from."""
    k = int(np.clip(np.searchsorted(ibs, ib), 1, max(len(ibs) - 1, 1)))
    d1, d2 = (np.concatenate(list(d[k - 1 : k + 1]), axis=1) for d in phases)
    return d1, d2


def sampled(family: Family, ib: float, line: Line | None = None) -> dict[str, Floats]:
    """Source function at one bias within the family's range.

    Returns:
        ``origin``: flux at which the table begins, in the middle of where the dendrite rests (Phi0); ``s``, ``slope``, ``gain``:
        saturation current, its slope (I_c per Phi0) and the saddle-node's gain at N_LEVEL + 1 even fluxes from there;
        ``rate``: (nodes of a, N_Y + 1) at even fluxes from there.
    """
    from scipy.interpolate import PchipInterpolator

    line = line or Line()
    k = int(np.clip(np.searchsorted(family.ib, ib) - 1, 0, max(len(family.ib) - 2, 0)))
    pair = [k] if len(family.ib) == 1 or family.ib[k] == ib else [k, k + 1]
    if len(pair) == 2 and family.ib[k + 1] == ib:
        pair = [k + 1]
    grid = np.rint(np.arange(N_LEVEL) * (GRID / N_LEVEL)).astype(np.int64) % GRID
    d1, d2 = (np.concatenate([d[j][grid] for j in pair], axis=1) for d in (family.d1, family.d2))
    fine = np.arange(N_LEVEL) / N_LEVEL
    found = folds(fine, ib, line, (d1, d2))
    mine = marks(fine, found, ib, line)
    lowest = int(np.argmin(found.s[:, 0]))
    if _RISE in mine and _FALL in mine:
        middle = mine[_FALL] + 0.5 * np.mod(mine[_RISE] - mine[_FALL], 1.0)
        lowest = round(float(np.mod(middle, 1.0)) * N_LEVEL) % N_LEVEL
    turned = np.append(np.arange(lowest, lowest + N_LEVEL), lowest + N_LEVEL) % N_LEVEL
    origin = lowest / N_LEVEL
    phi = origin + np.arange(N_Y + 1) / N_Y
    rate = np.zeros((len(family.a), N_Y + 1))
    for j in pair:
        weight = 1.0 if len(pair) == 1 else abs(ib - family.ib[k + k + 1 - j]) / (family.ib[k + 1] - family.ib[k])
        here = slice(int(family.start[j]), int(family.start[j + 1]))
        theirs = dict(zip(family.mark[j].tolist(), family.mark_phi[j].tolist(), strict=True))
        nodes, values = family.phi[here], family.rate[:, here]
        around = np.concatenate([nodes[-3:] - 1.0, nodes, nodes[:4] + 1.0])
        curve = PchipInterpolator(around, np.concatenate([values[:, -3:], values, values[:, :4]], axis=1), axis=1)
        place = _carried(phi, mine, theirs)
        rate += weight * curve(nodes[0] + np.mod(place - nodes[0], 1.0))
    rate[:, -1] = rate[:, 0]
    s, slope, gain = (np.ascontiguousarray(column[turned, 0]) for column in (found.s, found.slope, found.gain))
    return {"origin": np.array(origin), "s": s, "slope": slope, "gain": gain, "rate": np.maximum(rate, 0.0)}


def packed(made: Family) -> dict[str, np.ndarray]:
    """The family as arrays for a file, rounded: rates to 1e-5 (the first node's, at the threshold, is exact 0 or near the next)."""
    arrays: dict[str, np.ndarray] = {name: np.asarray(column) for name, column in made._asdict().items()}
    # Differences between neighbours are small numbers, which pack well; both round trips are exact in integers.
    whole = np.rint(made.rate * 1e5).astype(np.int32)
    arrays["rate"] = np.diff(whole, axis=0, prepend=0)
    for name in ("d1", "d2"):
        arrays[name] = np.diff(np.rint(arrays[name] * 1e3).astype(np.int32), axis=1, prepend=0)
    return arrays


def unpacked(arrays: dict[str, np.ndarray]) -> Family:
    """What :func:`packed` has packed."""
    found = dict(arrays)
    found["rate"] = np.cumsum(arrays["rate"], axis=0) * 1e-5
    for name in ("d1", "d2"):
        found[name] = np.cumsum(arrays[name], axis=1) * 1e-3
    return Family(**{name: found[name] for name in Family._fields})


def _carried(phi: Floats, mine: dict[int, float], theirs: dict[int, float]) -> Floats:
    """Flux of the other bias that corresponds to ``phi``: linear between the marks that both have."""
    both = [name for name in mine if name in theirs]
    if not both:
        return phi
    at = np.array([np.mod(mine[name], 1.0) for name in both])
    shift = np.array([theirs[name] - mine[name] for name in both])
    shift -= np.round(shift)
    order = np.argsort(at)
    at, shift = at[order], shift[order]
    keep = np.concatenate([[True], np.diff(at + shift) > 1e-6])
    at, shift = at[keep], shift[keep]
    return phi + np.interp(np.mod(phi, 1.0), np.concatenate([at - 1.0, at, at + 1.0]), np.tile(shift, 3))
