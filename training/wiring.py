"""What a network becomes on a time grid: lines of detectors, the light that falls on them, and where everything leads.

Detectors that see the same photons and answer alike are one *line*, however many synapses it stands for. Lines are lit from outside
(channels) or by neurons ("own"; both at once is possible). Nothing here changes in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from soen_event.errors import InputError, nearest
from soen_event.plan import DARK
from training import kernels

if TYPE_CHECKING:
    from soen_event.network import Network
    from soen_event.plan import Plan

__all__ = ["Lines", "Ways", "Wiring", "answers"]

MOST_GROUPS = 4  # filters a loop, for lines of so many different decays; beyond, a product with all weights is cheaper


def answers(rows: np.ndarray, dt: float) -> np.ndarray:
    """How lines answer, columns of :mod:`training.kernels` (F_KEEP ...), from rows (level, tau_rise, tau_fall, hotspot, restarts); ns.

    Physics.md 1.2: a hotspot drives the flux towards the level with tau_rise, then it decays with tau_fall; the photon comes at the
    beginning of the step, and the mean over the step is exact.
    """
    level, rise, fall, hot, restarts = rows.T
    rest = dt - hot
    left = np.exp(-np.divide(hot, rise, out=np.full_like(hot, np.inf), where=rise > 0.0))
    lost = np.where(restarts > 0, 0.0, left)
    later, keep = np.exp(-rest / fall), np.exp(-dt / fall)
    tail = fall * (1.0 - later) / dt
    m_keep = fall * (1.0 - keep) / dt
    in_hot = np.where(restarts > 0, 0.0, rise * (1.0 - left) / dt)
    out = np.empty((len(rows), 6))
    out[:, kernels.F_KEEP] = keep
    out[:, kernels.F_NEW] = later * level * (1.0 - left)
    out[:, kernels.F_LOST] = keep - later * lost
    out[:, kernels.M_KEEP] = m_keep
    out[:, kernels.M_NEW] = level * (hot - rise * (1.0 - left)) / dt + level * (1.0 - left) * tail
    out[:, kernels.M_LOST] = m_keep - in_hot - lost * tail
    return out


class Lines:
    """Lines of one kind, from outside or own. ``answers``: (6, lines); ``group`` of each; ``groups``: (groups, 2), keeps of flux and mean.

    ``groups`` is empty if there are more than MOST_GROUPS: then products with all weights are taken. ``det``: its detectors;
    ``flat``: their places in W (line, loop), one for each if ``alone``.
    """

    def __init__(
        self, rows: np.ndarray, det: np.ndarray, line: np.ndarray, loop: np.ndarray, n: int, dt: float, dtype: Any
    ):
        self.det, self.n, self.dtype = det, n, dtype
        self.flat = line * n + loop
        self.alone = len(np.unique(self.flat)) == len(self.flat)
        self.W = np.zeros((len(rows), n), dtype=dtype)
        exact = answers(rows, dt)
        self.answers = np.ascontiguousarray(exact.T).astype(self.dtype)
        groups, self.group = np.unique(exact[:, (kernels.F_KEEP, kernels.M_KEEP)], axis=0, return_inverse=True)
        self.group = self.group.reshape(-1)
        self.groups = (groups if len(groups) <= MOST_GROUPS else groups[:0]).astype(self.dtype)

    def __len__(self) -> int:
        return len(self.W)

    def weigh(self, weights: np.ndarray) -> None:
        """Put the detectors' weights into W."""
        if self.alone:
            self.W.reshape(-1)[self.flat] = weights[self.det]
        else:
            self.W.fill(0.0)
            np.add.at(self.W.reshape(-1), self.flat, weights[self.det])

    def start(self, f: np.ndarray) -> np.ndarray:
        """Filters (groups, batch, loops) from the lines' fluxes (batch, lines)."""
        out = np.zeros((len(self.groups), len(f), self.n), dtype=self.dtype)
        if f.any():
            for g in range(len(out)):
                of = self.group == g
                out[g] = f[:, of] @ self.W[of]
        return out


class Ways:
    """Light from somas to own lines: soma m's ``start[m]`` to ``start[m + 1]``; ``ways`` (line, whole steps), ``share`` of the next."""

    def __init__(self, light: list[tuple[int, int, int]], neurons: int):
        order = sorted(range(len(light)), key=lambda k: light[k][1])  # light: (line, neuron, waveguide or -1)
        self.line = np.array([light[k][0] for k in order], dtype=np.int64)
        self.neuron = np.array([light[k][1] for k in order], dtype=np.int64)
        self.guide = np.array([light[k][2] for k in order], dtype=np.int64)
        self.start = np.searchsorted(self.neuron, np.arange(neurons + 1)).astype(np.int64)
        self.ways = np.column_stack([self.line, np.zeros_like(self.line)])
        self.share = np.zeros(len(self.line))

    def time(self, steps: np.ndarray, whole: bool, dtype: Any) -> None:
        """Set how many steps each takes."""
        floor = np.round(steps) if whole else np.floor(steps)
        self.ways[:, kernels.STEPS] = floor
        self.share = (
            np.where(self.guide >= 0, steps - floor, 0.0).astype(dtype)
            if not whole
            else np.zeros(len(steps), dtype=dtype)
        )

    @property
    def longest(self) -> int:
        return int(self.ways[:, kernels.STEPS].max(initial=-1)) + 2


class Rows(NamedTuple):
    """Rows of a network's parameters, by the plan's detectors, waveguides and couplings; -1 where a part has none of its own."""

    weights: np.ndarray
    guide: np.ndarray
    J: np.ndarray

    @classmethod
    def of(cls, plan: Plan, network: Network, ids: Mapping[str, tuple[str, ...]], J: np.ndarray) -> Rows:
        """For a plan just lowered from the network, whose couplings are ``J``."""
        weights, delays = ({name: k for k, name in enumerate(ids[what])} for what in ("weights", "delay"))
        by_ends: dict[tuple[int, int], list[int]] = {}
        for k, name in enumerate(ids["J"]):
            part = network[name]
            by_ends.setdefault((plan.loop_index[part.source], plan.loop_index[part.target]), []).append(k)
        source = np.repeat(np.arange(len(plan.loop_ids)), np.diff(plan.arrays.out_start))
        known = np.full(len(source), -1)
        for c, ends in enumerate(zip(source.tolist(), plan.arrays.out_loop.tolist(), strict=True)):
            for k in by_ends.get(ends, []):  # several between the same two are told apart by their values
                if J[k] == plan.arrays.out_J[c]:
                    known[c] = k
                    by_ends[ends].remove(k)
                    break
        return cls(
            np.array([weights.get(name, -1) for name in plan.detector_ids], dtype=np.int64),
            np.array([delays[name] for name in plan.guide_ids], dtype=np.int64),
            known,
        )


class Wiring:
    """Lines, channels, ways and couplings of a plan.

    Args:
        channels: as of :class:`training.twin.Twin`.
        linear: delays between two steps, one line for every delay.

    Raises:
        InputError: channels that name no synapse.
    """

    def __init__(self, plan: Plan, rows: Rows, channels: Any, dt: float, linear: bool, dtype: Any):
        self.plan, self.n, self.dtype = plan, len(plan.loop_ids), dtype
        arrays, m = plan.arrays, len(plan.detector_ids)
        lights: dict[int, list[tuple[int, int]]] = {}  # (neuron, waveguide or -1) by detector
        for k, detector in enumerate(arrays.refractory_detector.tolist()):
            if detector >= 0:
                lights.setdefault(detector, []).append((k, -1))
        self.guide_row = rows.guide
        latency = arrays.latency_fs * 1e-6
        starts, target = arrays.guide_start.tolist(), arrays.guide_detector.tolist()
        for k in range(len(plan.neuron_ids)):
            if arrays.emission[k] != DARK:
                for w in range(starts[k], starts[k + 1]):
                    lights.setdefault(target[w], []).append((k, w))
        shone = self._channels(channels, lights)
        # Sets of equal detectors: a number for what they see and one for how they answer.
        kinds = np.column_stack(
            [
                arrays.det_level,
                arrays.det_tau_rise,
                arrays.det_tau_fall,
                arrays.det_hotspot_fs * 1e-6,
                arrays.det_restarts,
            ]
        )
        kinds, answer = np.unique(kinds, axis=0, return_inverse=True) if m else (kinds, np.zeros(0, dtype=int))
        answer = answer.reshape(-1)
        arrival = np.zeros(len(plan.guide_ids), dtype=np.int64)  # steps, or with linear delays the waveguide itself
        for k in range(len(plan.neuron_ids)):
            for w in range(starts[k], starts[k + 1]):
                arrival[w] = w if linear else round((latency[k] + arrays.guide_delay_fs[w] * 1e-6) / dt)
        seen: dict[Any, int] = {}
        sight = np.array(
            [
                seen.setdefault(
                    (shone[d], tuple((k, -1 if w < 0 else int(arrival[w])) for k, w in lights.get(d, ()))), len(seen)
                )
                for d in range(m)
            ],
            dtype=np.int64,
        )
        pairs, line = np.unique(sight * max(len(kinds), 1) + answer, return_inverse=True)
        line = line.reshape(-1)
        one = np.zeros(len(pairs), dtype=np.int64)  # a detector of each line
        one[line] = np.arange(m)
        own = np.array([bool(lights.get(d)) for d in one.tolist()], dtype=bool)
        place = np.where(own, np.cumsum(own) - 1, np.cumsum(~own) - 1)
        self.outside, self.own = (
            Lines(
                kinds[answer[one[of]]],
                det := np.flatnonzero(of[line]),
                place[line[det]],
                arrays.det_loop[det],
                self.n,
                dt,
                dtype,
            )
            for of in (~own, own)
        )
        self.ways = Ways(
            [(int(place[line[d]]), k, w) for d in one[own].tolist() for k, w in lights[d]], len(plan.neuron_ids)
        )
        self.shine = [self._shine([shone[d] for d in one[of].tolist()]) for of in (~own, own)]
        self._couplings(rows.J)

    def _channels(self, channels: Any, lights: Mapping[int, Any]) -> list[tuple[int, ...]]:
        """The channels that each detector sees."""
        plan = self.plan
        if channels is None:
            channels = [name for d, name in enumerate(plan.detector_ids) if d not in lights]
        named = channels if isinstance(channels, Mapping) else {name: [name] for name in channels}
        self.channels = tuple(named)
        self.channel_of: dict[str, int] = {}
        faults, shone = [], [()] * len(plan.detector_ids)  # type: list[str], list[tuple[int, ...]]
        for c, synapses in enumerate(named.values()):
            for name in [synapses] if isinstance(synapses, str) else synapses:
                if name in plan.detector_index:
                    shone[plan.detector_index[name]] += (c,)
                    self.channel_of[name] = c
                else:
                    faults.append(f"Twin.channels: no synapse {name!r}{nearest(str(name), plan.detector_index)}")
        if faults:
            raise InputError(faults)
        return shone

    def _shine(self, seen: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """(first, where): the lines of channel c are where[first[c]:first[c + 1]]; and (channels, lines) if one sees several channels."""
        count = np.zeros(len(self.channels) + 1, dtype=np.int64)
        lines: list[list[int]] = [[] for _ in self.channels]
        for k, every in enumerate(seen):
            for c in every:
                lines[c].append(k)
        count[1:] = np.cumsum([len(one) for one in lines])
        where = np.array([k for one in lines for k in one], dtype=np.int64)
        if all(len(every) <= 1 for every in seen):
            return count, where, None
        matrix = np.zeros((len(self.channels), len(seen)))
        matrix[np.repeat(np.arange(len(lines)), np.diff(count)), where] = 1.0
        return np.arange(len(seen) + 1), np.arange(len(seen)), matrix

    def _couplings(self, known: np.ndarray) -> None:
        """By target: ``into`` (offsets), ``source``, and each one's row of J (-1: a refractory dendrite's); ``dense``: of many pairs."""
        arrays = self.plan.arrays
        source = np.repeat(np.arange(self.n), np.diff(arrays.out_start))
        order = np.argsort(arrays.out_loop, kind="stable")
        self.source, self.target = source[order], arrays.out_loop[order]
        self.J_row, self.J_fixed = known[order], arrays.out_J[order]
        self.into = np.searchsorted(self.target, np.arange(self.n + 1)).astype(np.int64)
        level = self._levels()
        later = (
            (level[self.source] < level[self.target]) & (arrays.neuron[self.source] < 0) & (len(arrays.load_loop) == 0)
        )
        self.newer = np.where(later, 0.5, 0.0).astype(self.dtype)
        self.dense = not later.any() and len(order) > 0.1 * self.n * self.n
        self.flat = self.source * self.n + self.target
        self.order = np.lexsort((np.arange(self.n), arrays.row, level)).astype(np.int64)
        kind = np.column_stack([level, arrays.row])[self.order]
        new = (
            np.flatnonzero(np.concatenate([[True], (kind[1:] != kind[:-1]).any(axis=1)]))
            if self.n
            else np.zeros(0, dtype=int)
        )
        self.spans = np.column_stack([new, np.append(new[1:], self.n), arrays.row[self.order[new]]]).astype(np.int64)

    @property
    def listed(self) -> np.ndarray:
        """Sources of the couplings that are followed one by one: none of them if they are ``dense``."""
        return self.source[:0] if self.dense else self.source

    def _levels(self) -> np.ndarray:
        """A number for every loop, larger than those of all loops that couple into it, except on circles."""
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_nodes_from(range(self.n))
        graph.add_edges_from(zip(self.source.tolist(), self.target.tolist(), strict=True))
        whole = nx.condensation(graph)
        level = np.zeros(self.n, dtype=np.int64)
        for number, every in enumerate(nx.topological_generations(whole)):
            for one in every:
                level[list(whole.nodes[one]["members"])] = number
        return level

    def steps(self, ways: Ways, dt: float, delays: np.ndarray | None) -> np.ndarray:
        """Steps of every way from a spike to its light's arrival; 0: at the beginning of the next step. ``delays``: by row, trained."""
        arrays = self.plan.arrays
        latency = arrays.latency_fs[ways.neuron] * 1e-6
        if len(self.plan.guide_ids) == 0:
            return np.zeros(len(ways.line))
        by_guide = arrays.guide_delay_fs * 1e-6 if delays is None else delays[self.guide_row]
        return np.where(ways.guide >= 0, (latency + by_guide[ways.guide]) / dt, 0.0)

    def mixing(self) -> tuple[np.ndarray, np.ndarray]:
        """Loops that load each other (physics/inductance.py): (share, (to, from)) of what a current changes by, alone.

        sum_m B_nm ds_m/dtau = r_n - alpha_n s_n, so ds = B^-1 diag(beta) times what each would change by alone.
        """
        arrays = self.plan.arrays
        if not len(arrays.load_loop):
            return np.zeros(0), np.zeros((0, 2), dtype=np.int64)
        which = np.flatnonzero(np.diff(arrays.load_start))
        place = {k: j for j, k in enumerate(which.tolist())}
        B = np.diag(arrays.beta[which])
        for k, j in place.items():
            for e in range(arrays.load_start[k], arrays.load_start[k + 1]):
                B[j, place[int(arrays.load_loop[e])]] += arrays.load_B[e]
        share = np.linalg.solve(B, np.diag(arrays.beta[which])) - np.eye(len(which))
        to, source = np.nonzero(np.abs(share) > 1e-12)
        return share[to, source], np.column_stack([which[to], which[source]]).astype(np.int64)
