"""Program weights while a network runs: what a change of a weight or a coupling does to the flux that is already there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from soen_event.engine import state as engine_state
from soen_event.engine import windows
from soen_event.engine.compiled import logged, new_log, new_work
from soen_event.engine.events import LOG_COLUMNS, N_AMPLITUDES, N_TRACES, ROUNDS, settle, touch
from soen_event.engine.jit import compile_function
from soen_event.engine.learn import recouple, reweigh
from soen_event.engine.state import AT_OFFSET, AT_WEIGHT, V_CHANGE, V_HIDDEN, V_WEIGHT

if TYPE_CHECKING:
    from soen_event.engine.state import State
    from soen_event.plan import Plan


class _Change:
    """A change at time ``now`` (fs): touch the loops, change, let them settle."""

    def __init__(self, plan: Plan, state: State, now: int, want_trace: np.ndarray):
        self.plan, self.state, self.now = plan, state, now
        self.records = engine_state.packed(plan)
        self.work = new_work(self.records, 1, 1)
        compile_function(windows.prepare, persistent=True)(self.records, state, self.work)
        rows = 4 * (ROUNDS + len(plan.loop_ids) + 1)
        width = int(np.diff(plan.arrays.mode_start).max(initial=0))
        none = np.zeros(len(plan.loop_ids), dtype=np.int64)
        photons = np.zeros(len(plan.detector_ids), dtype=np.int64)
        self.log = new_log(none, want_trace, photons, 1, rows, rows * width)

    def touch(self, d: int) -> None:
        compile_function(touch, persistent=True)(self.records, self.state, self.log, self.plan.tau_0, d, self.now)

    def settle(self, loops: list[int]) -> dict[str, np.ndarray]:
        """Plan anew; returns the trace rows of the loops that this changes (columns of a Log)."""
        for d in loops:
            compile_function(settle, persistent=True)(
                self.records, self.state, self.work, self.log, self.plan.tau_0, d, self.now, 0, 0.0, 0.0, 0
            )
        self.state.counts[:] += self.log.counts
        rows = logged(self.log)
        self.log.used[: len(LOG_COLUMNS)] = 0
        self.log.counts[:] = 0
        return {name: rows[name] for table in (N_TRACES, N_AMPLITUDES) for name in LOG_COLUMNS[table]}

    def weight(self, k: int, weight: float) -> dict[str, np.ndarray]:
        """Detector ``k`` has the weight ``weight`` from now on."""
        d = int(self.records.detectors[k].loop)
        self.touch(d)
        compile_function(reweigh, persistent=True)(self.records, self.state, k, weight, self.now)
        return self.settle([d])

    def offset(self, d: int, more: float) -> dict[str, np.ndarray]:
        """The flux offset of loop ``d`` grows by ``more``, Phi0."""
        self.touch(d)
        self.state.loops["ext"][d] += more
        return self.settle([d])

    def coupling(self, c: int, J: float) -> dict[str, np.ndarray]:
        """Coupling ``c`` has the strength ``J`` from now on."""
        a = self.plan.arrays
        source, d = int(np.searchsorted(a.out_start, c, side="right") - 1), int(a.out_loop[c])
        self.touch(source)
        self.touch(d)
        compile_function(recouple, persistent=True)(self.records, self.state, c, source, J)
        return self.settle([source] if d == source else [source, d])


def set_weight(
    plan: Plan, state: State, k: int, weight: float, now: int, want_trace: np.ndarray
) -> dict[str, np.ndarray]:
    """Give detector ``k`` the weight ``weight`` at time ``now`` (fs). Its present flux is scaled with it.

    Returns trace rows of the loops that this changes, of those that ``want_trace`` (int64 per loop) asks for.
    """
    return _Change(plan, state, now, want_trace).weight(k, weight)


def set_coupling(plan: Plan, state: State, c: int, J: float, now: int, want_trace: np.ndarray) -> dict[str, np.ndarray]:
    """Give coupling ``c`` the strength ``J`` (Phi0 per unit s) at time ``now`` (fs). The flux of the present current follows.

    Returns trace rows as :func:`set_weight` does.
    """
    return _Change(plan, state, now, want_trace).coupling(c, J)


def set_sites(
    plan: Plan, state: State, values: Mapping[int, float], now: int, want_trace: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """Give sites of learning, by their rows, other values at time ``now`` (fs): weights, flux offsets, couplings.

    Returns trace rows as :func:`set_weight` does, of one site after another.
    """
    change, how, rows = _Change(plan, state, now, want_trace), plan.learning, []
    for i, value in values.items():
        site = how.sites[i]
        place, gain = int(site.place), float(site.gain)
        if site.kind == AT_WEIGHT:
            rows.append(change.weight(place, value * gain))
        elif site.kind == AT_OFFSET:
            rows.append(change.offset(place, (value - float(state.sites[site.start + V_WEIGHT])) * gain))
        else:
            rows.append(change.coupling(place, value * gain))
        state.sites[[site.start + v for v in (V_WEIGHT, V_CHANGE, V_HIDDEN)]] = value
    return rows
