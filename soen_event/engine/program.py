"""Program weights while a network runs: what a change of a weight or a coupling does to the flux that is already there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from soen_event.engine import state as engine_state
from soen_event.engine.compiled import LOG_COLUMNS, N_AMPLITUDES, N_TRACES, look_ahead, new_log, touch, trace
from soen_event.engine.jit import compile_function
from soen_event.engine.queue import rekey
from soen_event.physics.detector import flux_after, flux_in_hotspot

if TYPE_CHECKING:
    from soen_event.engine.state import State
    from soen_event.plan import Plan


def set_weight(plan: Plan, state: State, k: int, weight: float, now: int) -> list[int]:
    """Give detector ``k`` the weight ``weight`` at time ``now`` (fs). Its present flux is scaled with it. Returns the changed loop."""
    records = engine_state.packed(plan)
    it, its = state.detectors[k], records.detectors[k]
    d = int(its.loop)
    compile_function(touch)(records, state, plan.tau_0, d, now)
    more = weight - float(it.weight)
    dt = (now - int(it.seen_fs)) * 1.0e-6
    if it.in_hotspot == 1:
        f = flux_in_hotspot(float(it.flux), float(its.level), float(its.tau_rise), dt)
        state.amplitude[its.rise] += more * (f - its.level)
        state.loops[d].steady += more * its.level
    else:
        state.amplitude[its.fall] += more * flux_after(float(it.flux), float(its.tau_fall), dt)
    it.weight = weight
    _replan(plan, records, state, d, now)
    return [d]


def set_coupling(plan: Plan, state: State, c: int, J: float, now: int) -> list[int]:
    """Give coupling ``c`` the strength ``J`` (Phi0 per unit s) at time ``now`` (fs). The flux of quanta already stored follows.

    Returns the changed loops.
    """
    records = engine_state.packed(plan)
    a = plan.arrays
    source = int(np.searchsorted(a.out_start, c, side="right") - 1)
    d = int(a.out_loop[c])
    advance = compile_function(touch)
    advance(records, state, plan.tau_0, source, now)
    advance(records, state, plan.tau_0, d, now)
    state.amplitude[a.out_mode[c]] += (J - float(state.out_J[c])) * float(state.loops[source].q)
    state.out_J[c] = J
    _replan(plan, records, state, source, now)
    if d == source:
        return [d]
    _replan(plan, records, state, d, now)
    return [source, d]


def trace_rows(plan: Plan, state: State, loops: list[int], now: int) -> dict[str, np.ndarray]:
    """Trace rows (columns of :class:`~soen_event.engine.compiled.Log`) of loops that were changed from outside."""
    none = np.zeros(0, dtype=np.int64)
    width = max(int(plan.arrays.mode_start[d + 1] - plan.arrays.mode_start[d]) for d in loops)
    log = new_log(none, none, none, 0, len(loops), len(loops) * width)
    for d in loops:
        trace(engine_state.packed(plan), state, log, d, now)
    return {
        name: getattr(log, name)[: log.used[table]] for table in (N_TRACES, N_AMPLITUDES) for name in LOG_COLUMNS[table]
    }


def _replan(plan: Plan, records: engine_state.Records, state: State, d: int, now: int) -> None:
    compile_function(look_ahead)(records, state, plan.tau_0, d, now, 0)
    rekey(state.queue, state.queue_place, state.next_fs, len(state.next_fs), d)
