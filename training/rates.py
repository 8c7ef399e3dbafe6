"""The source functions of a network laid out for the twin, which looks at one for every loop, sample and step.

The same bicubic cells and level curves as :mod:`soen_event.physics.source` has, in the twin's float type; a cell is found by a map of
even bins instead of roots, and its coefficients lie along the current. ``tests/training/test_twin_kernels.py`` holds both together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from soen_event.physics import source

if TYPE_CHECKING:
    from soen_event.plan import Plan

__all__ = ["Rates", "knees", "rates"]

# Columns of ``place`` (integers) and ``scale``.
MIRROR, LEVELS, LEVEL_AT, CELL_AT, N_A, Y_MAP, A_MAP, Y_EDGE, A_EDGE = range(9)
LEVEL_PER, SHIFT, Y_PER, A_PER, A_MAX = range(5)


class Rates(NamedTuple):
    """Tables, a row each. ``levels``: cubic coefficients of every interval; ``cells``: 16 coefficients each, those of a row of equal flux
    together; ``edges``: (lower edge, 1/width) of rows and columns; ``maps``: the cell at the beginning of every bin; ``offset``: Phi0.
    """

    place: np.ndarray
    scale: np.ndarray
    levels: np.ndarray
    cells: np.ndarray
    edges: np.ndarray
    maps: np.ndarray
    offset: np.ndarray


def _map(edges: np.ndarray, top: float) -> tuple[np.ndarray, float]:
    """The cell in which each of some even bins begins, and bins per unit: no bin has two edges."""
    bins = int(np.ceil(top * edges[:, 1].max())) + 1
    cell = np.searchsorted(edges[:, 0], np.arange(bins + 1) * (top / bins), side="right") - 1
    return np.clip(cell, 0, len(edges) - 1), bins / top


def rates(plan: Plan, dtype: Any) -> Rates:
    """The tables of a plan."""
    shape, scale, cells, levels, _ = plan.sources
    place, scales = np.zeros((len(shape), 9), dtype=np.int64), np.zeros((len(shape), 5))
    parts: dict[str, list[np.ndarray]] = {"levels": [], "cells": [], "edges": [], "maps": []}
    size = dict.fromkeys(parts, 0)

    def put(name: str, array: np.ndarray) -> int:
        at = size[name]
        parts[name].append(array.reshape(-1))
        size[name] += array.size
        return at

    for row, (n_a, n_y, n, first, at, mirror) in enumerate(shape.tolist()):
        v = levels[at : at + 4 * (n + 1)].reshape(-1, 4)[:, :2]
        v0, m0, v1, m1 = v[:-1, 0], v[:-1, 1], v[1:, 0], v[1:, 1]
        d = v1 - v0
        place[row, MIRROR], place[row, LEVELS], place[row, N_A] = mirror, n, n_a
        place[row, LEVEL_AT] = put("levels", np.column_stack([v0, m0, 3.0 * d - 2.0 * m0 - m1, m0 + m1 - 2.0 * d]))
        block = cells[first : first + 16 * n_a * n_y].reshape(n_a, n_y, 16)
        place[row, CELL_AT] = put("cells", np.ascontiguousarray(block.transpose(1, 0, 2)))
        edges = cells[first + 16 * n_a * n_y : first + 16 * n_a * n_y + 2 * (n_a + n_y)].reshape(-1, 2)
        scales[row, LEVEL_PER], scales[row, SHIFT] = scale[row, source.LEVEL_PER], scale[row, source.SHIFT]
        scales[row, A_MAX] = np.sqrt(scale[row, source.U_MAX])
        end = np.array([[np.inf, 1.0]])
        for axis, top, edge_at, map_at, per in (
            (edges[n_a:], scale[row, source.Y_MAX], Y_EDGE, Y_MAP, Y_PER),
            (edges[:n_a], scales[row, A_MAX], A_EDGE, A_MAP, A_PER),
        ):
            place[row, edge_at] = put("edges", np.concatenate([axis, end]))
            bins, scales[row, per] = _map(axis, float(top))
            place[row, map_at] = put("maps", bins)
    joined = {name: np.concatenate(some) if some else np.zeros(0) for name, some in parts.items()}
    return Rates(
        place,
        scales.astype(dtype),
        joined["levels"].astype(dtype),
        joined["cells"].astype(dtype),
        joined["edges"].astype(dtype),
        joined["maps"].astype(np.int16),
        scale[:, source.OFFSET].copy(),
    )


def knees(plan: Plan) -> np.ndarray:
    """sqrt(f kappa) of every loop's saddle-node, the median over flux: what the twin takes g's onset to be."""
    shape, _, _, levels, _ = plan.sources
    out = np.zeros(len(shape))
    for row, (_, _, n, _, at, _) in enumerate(shape.tolist()):
        gain = float(np.median(levels[at : at + 4 * (n + 1)].reshape(-1, 4)[:, 2]))
        out[row] = np.sqrt(max(gain, 0.0))
    return out[plan.arrays.row]
