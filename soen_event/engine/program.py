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
from soen_event.engine.state import AT_COUPLING, AT_OFFSET, AT_WEIGHT, V_CHANGE, V_HIDDEN, V_WEIGHT

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
        return {name: rows[name] for table in (N_TRACES, N_AMPLITUDES) for name in LOG_COLUMNS[table]}


def set_weight(
    plan: Plan, state: State, k: int, weight: float, now: int, want_trace: np.ndarray
) -> dict[str, np.ndarray]:
    """Give detector ``k`` the weight ``weight`` at time ``now`` (fs). Its present flux is scaled with it.

    Returns trace rows of the loops that this changes, of those that ``want_trace`` (int64 per loop) asks for.
    """
    change = _Change(plan, state, now, want_trace)
    d = int(change.records.detectors[k].loop)
    change.touch(d)
    compile_function(reweigh, persistent=True)(change.records, state, k, weight, now)
    return change.settle([d])


def set_coupling(plan: Plan, state: State, c: int, J: float, now: int, want_trace: np.ndarray) -> dict[str, np.ndarray]:
    """Give coupling ``c`` the strength ``J`` (Phi0 per unit s) at time ``now`` (fs). The flux of the present current follows.

    Returns trace rows as :func:`set_weight` does.
    """
    change = _Change(plan, state, now, want_trace)
    a = plan.arrays
    source = int(np.searchsorted(a.out_start, c, side="right") - 1)
    d = int(a.out_loop[c])
    change.touch(source)
    change.touch(d)
    compile_function(recouple, persistent=True)(change.records, state, c, source, J)
    return change.settle([source] if d == source else [source, d])


def set_sites(
    plan: Plan, state: State, values: Mapping[int, float], now: int, want_trace: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """Give sites of learning, by their rows, other values at time ``now`` (fs): weights, flux offsets, couplings.

    Returns trace rows as :func:`set_weight` does, of one site after another.
    """
    change, how, rows = _Change(plan, state, now, want_trace), plan.learning, []
    for i, value in values.items():
        site = how.sites[i]
        loops = [int(site.loop)]
        if site.kind == AT_COUPLING and plan.arrays.out_loop[site.place] != site.loop:
            loops.append(int(plan.arrays.out_loop[site.place]))
        for d in loops:
            change.touch(d)
        if site.kind == AT_WEIGHT:
            compile_function(reweigh, persistent=True)(
                change.records, state, int(site.place), value * float(site.gain), now
            )
        elif site.kind == AT_OFFSET:
            state.loops["ext"][site.loop] += (value - state.sites[site.start + V_WEIGHT]) * float(site.gain)
        else:
            compile_function(recouple, persistent=True)(
                change.records, state, int(site.place), int(site.loop), value * float(site.gain)
            )
        rows.append(change.settle(loops))
        change.log.used[: len(LOG_COLUMNS)] = 0
        change.log.counts[:] = 0
        state.sites[[site.start + v for v in (V_WEIGHT, V_CHANGE, V_HIDDEN)]] = value
    return rows
