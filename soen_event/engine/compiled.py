"""The compiled engine: one loop over events on flat arrays, in Numba. Same events and same bits as the reference engine.

Every event changes one loop (and, for a fluxon, the loops that it couples to). A change is always the same three steps:
*touch* (bring the loop to the event's time in closed form), the change itself, *plan* (say when the loop's next own event comes).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from soen_event.engine import queue, state
from soen_event.engine.jit import compile_function
from soen_event.engine.queue import earlier, pop, push, rekey
from soen_event.engine.state import (
    DETECTIONS, EVENTS, FLUXONS, FOREVER, HEAP_SIZE, HOTSPOT_END, HOTSPOT_ENDS, KICK, KICKS, LOOP, LOST_DEAD, LOST_EFFICIENCY,
    LOST_HOTSPOT, NEXT_KICK, NEXT_PHOTON, NOW, PHASE_SHIFT, PHOTON, PHOTONS_IN, QUEUE_SIZE, SPIKES, STEPS, TARGET_SHIFT, WAKES, State,
)
from soen_event.physics.detector import flux_after, flux_in_hotspot, recovery
from soen_event.physics.elementary import exp
from soen_event.physics.loop import (
    CROSS, FLUXON, HELD, LOOK, NEVER, NOTHING, PI, RELEASE, REST, RUN, SLEEP, SLIP, STEP, TWO_PI, WAKE, airy_start, flux_at, leaked,
    plan_rest, plan_run, rest_phase, saddle_node, source_at, wake_after,
)
from soen_event.physics.source import level
from soen_event.physics.random import DETECTION, EMISSION_TIME, LOSS, uniform
from soen_event.physics.transmitter import first_photon_delay
from soen_event.plan import DETERMINISTIC, PHOTONS, PULSE, Arrays, Plan

DONE, LOG_FULL, HEAP_FULL, BUDGET_SPENT = range(4)
# Fate of a photon.
DETECTED, IN_HOTSPOT, IN_DEAD_TIME, MISSED = range(4)
# Columns of a trace row, followed by the loop's mode amplitudes in Log.trace_amplitude.
T_Q, T_LEAK, T_PSI, T_RATE, T_CURVE, T_BASE, T_EXT, T_EXT_SLOPE, T_ARM, T_ARM_SLOPE = range(10)
TRACE_COLUMNS = 10
N_SPIKES, N_FLUXONS, N_PHOTONS, N_TRACES, N_AMPLITUDES = range(5)


class Log(NamedTuple):
    """Buffers that a run writes into; ``used`` counts filled rows. They are emptied by the recorder and used again."""

    want_fluxons: np.ndarray  # int64 per loop
    want_trace: np.ndarray
    want_photons: np.ndarray  # per detector
    spike_fs: np.ndarray
    spike_neuron: np.ndarray
    fluxon_fs: np.ndarray
    fluxon_loop: np.ndarray
    photon_fs: np.ndarray
    photon_detector: np.ndarray
    photon_fate: np.ndarray
    trace_fs: np.ndarray
    trace_loop: np.ndarray
    trace_mode: np.ndarray
    trace_values: np.ndarray
    trace_amplitude: np.ndarray
    used: np.ndarray


def event_key(phase: int, target: int, source: int) -> int:
    """The second part of an event's key."""
    return (phase << 58) | (target << 29) | source


def touch(A: Any, T: Any, S: Any, tau_0: float, d: int, now: int) -> None:
    """Bring loop ``d`` to time ``now``: modes and quanta decay, the phase moves on, the leak follows."""
    shape, scale, _, levels, rest = T
    dt_fs = now - S.since[d]
    if dt_fs <= 0:
        return
    dt = dt_fs * 1.0e-6
    start = A.mode_start[d]
    stop = A.mode_start[d + 1]
    phi = S.base[d]
    one = 0.0
    for m in range(start, stop):
        v = S.amplitude[m]
        if v != 0.0:
            v *= exp(-dt / A.mode_tau[m])
            S.amplitude[m] = v
            phi += v
            if A.mode_arm[m] == 1:
                one += v
    S.ext[d] += S.ext_slope[d] * dt
    S.ext_arm[d] += S.ext_arm_slope[d] * dt
    phi += S.ext[d]
    one += S.ext_arm[d]
    S.since[d] = now
    mode = S.mode[d]
    if mode == HELD:
        return
    tau = A.tau[d]
    beta = A.beta[d]
    e = exp(-dt / tau)
    q = S.q[d]
    S.leak_loss[d] += 0.5 * beta * q * q * (1.0 - e * e)
    q *= e
    S.q[d] = q
    if mode == RUN:
        S.theta[d] += dt * (S.rate[d] + 0.5 * S.curve[d] * dt)
        psi = S.theta[d] - PI - A.rest_origin[d] + PI * one
    else:
        psi = rest_phase(rest, shape, scale, levels, A.row[d], phi, A.ib[d]) - A.rest_origin[d] + PI * one
    S.leak[d] = leaked(S.leak[d], S.psi[d], psi, 1.0 - e)
    S.psi[d] = psi
    if mode == REST:
        S.z[d] = saddle_node(S.z[d], S.gain[d] * (S.u[d] + 0.5 * S.u_slope[d] * dt), dt / tau_0)
    elif mode == SLEEP:
        i = A.ib[d] - (q + (psi - S.leak[d]) / beta)
        u = source_level(shape, scale, levels, A.row[d], phi, i)
        mean = 0.5 * (S.u[d] + u)
        if mean < 0.0:
            S.z[d] = saddle_node(S.z[d], S.gain[d] * mean, dt / tau_0)
        S.u[d] = u


def source_level(shape: Any, scale: Any, levels: Any, row: int, phi: float, i: float) -> float:
    """Distance of the current ``i`` above threshold at flux ``phi``."""
    effective = phi + scale[row, 6] + scale[row, 4] * i
    threshold, _, _ = level(shape, scale, levels, row, effective)
    return i - threshold


def arm_flux(A: Any, S: Any, d: int) -> float:
    """Flux of loop ``d`` that threads one arm of its SQUID only."""
    one = S.ext_arm[d]
    for m in range(A.mode_start[d], A.mode_start[d + 1]):
        if A.mode_arm[m] == 1:
            one += S.amplitude[m]
    return one


def crossing_slope(A: Any, T: Any, S: Any, d: int) -> float:
    """du/dt (1/ns) of loop ``d`` as it crosses its threshold without an event."""
    shape, scale, _, levels, _ = T
    phi = S.base[d] + S.ext[d]
    phi_slope = S.ext_slope[d]
    for m in range(A.mode_start[d], A.mode_start[d + 1]):
        phi += S.amplitude[m]
        phi_slope -= S.amplitude[m] / A.mode_tau[m]
    s = S.q[d] + (S.psi[d] - S.leak[d]) / A.beta[d]
    effective = phi + scale[A.row[d], 6] + scale[A.row[d], 4] * (A.ib[d] - s)
    _, slope, _ = level(shape, scale, levels, A.row[d], effective)
    return s / A.tau[d] - slope * phi_slope


def later(now: int, ns: float) -> int:
    """``now`` plus a positive time in ns, at least 1 fs later; FOREVER for NEVER."""
    if ns >= 1.0e12:
        return FOREVER
    step = int(ns * 1.0e6 + 0.5)
    if step < 1:
        step = 1
    return now + step


def plan(A: Any, T: Any, S: Any, tau_0: float, d: int, now: int) -> None:
    """Say what loop ``d`` does next and when: sets ``next_fs`` and ``next_kind``."""
    if S.mode[d] == HELD:
        S.next_fs[d] = S.ready_fs[d]
        S.next_kind[d] = RELEASE
        return
    shape, scale, cells, levels, rest = T
    row = A.row[d]
    ib = A.ib[d]
    tau = A.tau[d]
    beta = A.beta[d]
    start = A.mode_start[d]
    stop = A.mode_start[d + 1]
    phi = S.base[d] + S.ext[d]
    phi_slope = S.ext_slope[d]
    one = S.ext_arm[d]
    one_slope = S.ext_arm_slope[d]
    for m in range(start, stop):
        v = S.amplitude[m]
        if v != 0.0:
            w = v / A.mode_tau[m]
            phi += v
            phi_slope -= w
            if A.mode_arm[m] == 1:
                one += v
                one_slope -= w
    if S.mode[d] == RUN:
        psi = S.theta[d] - PI - A.rest_origin[d] + PI * one
        s = S.q[d] + (psi - S.leak[d]) / beta
        r, g_phi, g_i, u, u_phi, gain = source_at(shape, scale, cells, levels, row, phi, ib - s)
        if u > 0.0 and r > 0.0:
            goal = TWO_PI
            kind = FLUXON
            if A.neuron[d] >= 0 and S.armed[d] == 1 and now >= S.ready_fs[d]:
                way = beta * (A.threshold[d] - s)
                if way < 0.0:
                    way = 0.0
                drop = beta * s * tau_0 / tau
                if r > 1.05 * drop:
                    way *= r / (r - drop)
                if S.theta[d] + way < TWO_PI:
                    goal = S.theta[d] + way
                    kind = CROSS
            rate, curve, h, reached = plan_run(r, g_phi, g_i, phi_slope, one_slope, s, tau, beta, tau_0, S.theta[d], goal)
            if reached == 0:
                kind = STEP
            S.psi[d] = psi
            S.rate[d] = rate
            S.curve[d] = curve
            S.next_kind[d] = kind
            S.next_fs[d] = later(now, h)
            return
        S.mode[d] = SLEEP
        S.z[d] = 0.0
        S.theta[d] = 0.0
        S.rate[d] = 0.0
        S.curve[d] = 0.0
    psi = rest_phase(rest, shape, scale, levels, row, phi, ib) - A.rest_origin[d] + PI * one
    S.psi[d] = psi
    s = S.q[d] + (psi - S.leak[d]) / beta
    r, g_phi, g_i, u, u_phi, gain = source_at(shape, scale, cells, levels, row, phi, ib - s)
    S.u[d] = u
    S.u_slope[d] = s / tau + u_phi * phi_slope
    S.gain[d] = gain
    if u >= 0.0:
        S.mode[d] = REST
    elif S.mode[d] == REST:
        w2 = -gain * u
        if S.z[d] <= 0.0 or S.z[d] * S.z[d] <= w2:
            S.mode[d] = SLEEP
    if S.mode[d] == REST:
        h, kind = plan_rest(S.z[d], u, S.u_slope[d], gain, tau_0)
    else:
        h, kind = wake_after(S.amplitude, A.mode_tau, A.mode_arm, start, stop, S.base[d], S.ext[d], S.ext_slope[d], S.q[d], S.leak[d],
                             tau, beta, ib, A.low[d], A.high[d], shape, scale, levels, row, rest, A.rest_origin[d], S.ext_arm[d],
                             S.ext_arm_slope[d], tau_0)
    S.next_kind[d] = kind
    S.next_fs[d] = later(now, h)


def quantum_in(A: Any, S: Any, d: int) -> None:
    """One flux quantum enters loop ``d`` and its phase starts a new turn. The bias does the work 2 pi ib; the loop stores a part."""
    q = S.q[d]
    more = q + A.quantum[d]
    S.slip_loss[d] += TWO_PI * A.ib[d] - 0.5 * A.beta[d] * (more * more - q * q)
    S.q[d] = more
    S.theta[d] = 0.0
    S.psi[d] = -PI - A.rest_origin[d] + PI * arm_flux(A, S, d)
    S.mode[d] = RUN
    S.fluxons[d] += 1


def fires(A: Any, S: Any, d: int, now: int) -> bool:
    """Soma ``d`` crosses its threshold upwards at this event of its own.

    After a spike it is armed again once its current has been one quantum below threshold; a crossing within the absolute refractory
    time is lost. The current is compared with a tolerance of a thousandth of a quantum, the rounding of the predicted crossing.
    """
    s = S.q[d] + (S.psi[d] - S.leak[d]) / A.beta[d]
    if s < A.threshold[d] - A.quantum[d]:
        S.armed[d] = 1
        return False
    if S.armed[d] == 0 or S.mode[d] != RUN or s < A.threshold[d] - 0.001 * A.quantum[d]:
        return False
    if now < S.ready_fs[d]:
        S.armed[d] = 0
        return False
    return True


def spike(A: Any, S: Any, neuron: int, d: int, now: int, seed: int) -> None:
    """Neuron ``neuron`` fires: light goes out, its refractory detector is hit, its soma ``d`` is emptied if it is to be."""
    S.armed[d] = 0
    S.ready_fs[d] = now + A.t_ref_fs[d]
    if A.purge[d] == 1:
        S.purge_loss[d] += 0.5 * A.beta[d] * S.q[d] * S.q[d]
        S.q[d] = 0.0
        S.leak[d] = 0.0
        S.psi[d] = 0.0
        S.z[d] = 0.0
        S.theta[d] = 0.0
        S.rate[d] = 0.0
        S.curve[d] = 0.0
        S.mode[d] = HELD
    size = S.cursor[HEAP_SIZE]
    ordinal = S.spikes[neuron]
    if A.refractory_detector[neuron] >= 0:
        size = push(S.heap_fs, S.heap_key, S.heap_ordinal, size, now, event_key(PHOTON, A.refractory_detector[neuron], 0), ordinal)
    if A.emission[neuron] != 0:
        for w in range(A.guide_start[neuron], A.guide_start[neuron + 1]):
            arrives = now + A.latency_fs[neuron] + A.guide_delay_fs[w]
            if A.emission[neuron] == PHOTONS:
                late = first_photon_delay(uniform(seed, A.guide_key[w], ordinal, EMISSION_TIME, 0), A.guide_mean[w], A.tau_rad[neuron])
                if late < 0.0:
                    continue
                arrives += int(late * 1.0e6 + 0.5)
            elif A.guide_pass[w] < 1.0:
                if uniform(seed, A.guide_key[w], ordinal, LOSS, 0) >= A.guide_pass[w]:
                    continue
            size = push(S.heap_fs, S.heap_key, S.heap_ordinal, size, arrives, event_key(PHOTON, A.guide_detector[w], w + 1), ordinal)
    S.cursor[HEAP_SIZE] = size
    S.spikes[neuron] += 1
    S.counts[SPIKES] += 1


def photon_fate(A: Any, S: Any, k: int, now: int, sure: int, seed: int) -> int:
    """What becomes of a photon at detector ``k``. ``sure``: 1 if its efficiency was already drawn by the transmitter."""
    ordinal = S.arrived[k]
    S.arrived[k] = ordinal + 1
    if S.in_hotspot[k] == 1:
        return IN_HOTSPOT
    if now < S.dead_fs[k]:
        return IN_DEAD_TIME
    chance = 1.0
    if sure == 0:
        chance = A.det_efficiency[k]
    if A.det_recovers[k] == 1:
        chance *= recovery(flux_after(S.flux[k], A.det_tau_fall[k], (now - S.seen_fs[k]) * 1.0e-6), A.det_peak[k])
    if chance < 1.0 and uniform(seed, A.det_key[k], ordinal, DETECTION, 0) >= chance:
        return MISSED
    return DETECTED


def hotspot_begins(A: Any, S: Any, k: int, d: int, now: int) -> None:
    """Detector ``k`` turns resistive: its flux in loop ``d`` stops falling and rises towards its level."""
    f = flux_after(S.flux[k], A.det_tau_fall[k], (now - S.seen_fs[k]) * 1.0e-6)
    w = S.det_weight[k]
    S.amplitude[A.det_fall[k]] -= w * f
    S.amplitude[A.det_rise[k]] += w * (f - A.det_level[k])
    S.base[d] += w * A.det_level[k]
    S.hot[d] += 1
    S.mode_hot[A.det_rise[k]] += 1
    S.flux[k] = f
    S.seen_fs[k] = now
    S.in_hotspot[k] = 1
    S.dead_fs[k] = now + A.det_dead_fs[k]
    S.cursor[HEAP_SIZE] = push(S.heap_fs, S.heap_key, S.heap_ordinal, S.cursor[HEAP_SIZE], now + A.det_hotspot_fs[k],
                               event_key(HOTSPOT_END, k, 0), 0)


def hotspot_ends(A: Any, S: Any, k: int, d: int, now: int) -> None:
    """Detector ``k`` is superconducting again: its flux falls with tau_fall. The last hotspot leaves no rounding behind."""
    dt = (now - S.seen_fs[k]) * 1.0e-6
    f = flux_in_hotspot(S.flux[k], A.det_level[k], A.det_tau_rise[k], dt)
    w = S.det_weight[k]
    rise = A.det_rise[k]
    S.hot[d] -= 1
    S.mode_hot[rise] -= 1
    if S.mode_hot[rise] == 0:
        S.amplitude[rise] = 0.0
    else:
        S.amplitude[rise] -= w * (f - A.det_level[k])
    if S.hot[d] == 0:
        S.base[d] = A.offset[d]
    else:
        S.base[d] -= w * A.det_level[k]
    S.amplitude[A.det_fall[k]] += w * f
    S.flux[k] = f
    S.seen_fs[k] = now
    S.in_hotspot[k] = 0


def trace(A: Any, S: Any, L: Any, d: int, now: int) -> None:
    """Write down the state from which the loop's current and flux follow until its next row."""
    row = L.used[N_TRACES]
    L.trace_fs[row] = now
    L.trace_loop[row] = d
    L.trace_mode[row] = S.mode[d]
    L.trace_values[row, T_Q] = S.q[d]
    L.trace_values[row, T_LEAK] = S.leak[d]
    L.trace_values[row, T_PSI] = S.psi[d]
    L.trace_values[row, T_RATE] = S.rate[d]
    L.trace_values[row, T_CURVE] = S.curve[d]
    L.trace_values[row, T_BASE] = S.base[d]
    L.trace_values[row, T_EXT] = S.ext[d]
    L.trace_values[row, T_EXT_SLOPE] = S.ext_slope[d]
    L.trace_values[row, T_ARM] = S.ext_arm[d]
    L.trace_values[row, T_ARM_SLOPE] = S.ext_arm_slope[d]
    at = L.used[N_AMPLITUDES]
    for m in range(A.mode_start[d], A.mode_start[d + 1]):
        L.trace_amplitude[at] = S.amplitude[m]
        at += 1
    L.used[N_AMPLITUDES] = at
    L.used[N_TRACES] = row + 1


def begin(A: Any, T: Any, S: Any, L: Any, tau_0: float) -> None:
    """Plan every loop's first event at time 0 and put all in order."""
    n = A.row.shape[0]
    for d in range(n):
        plan(A, T, S, tau_0, d, 0)
        rekey(S.queue, S.queue_place, S.next_fs, n, d)
        if L.want_trace[d] == 1:
            trace(A, S, L, d, 0)


def advance(A: Any, T: Any, S: Any, L: Any, tau_0: float, photon_fs: Any, photon_detector: Any, until: int, budget: int, seed: int,
            reserve: int, reserve_heap: int) -> int:
    """Process events up to and including time ``until``, at most ``budget`` of them; returns why it stopped.

    ``reserve``: rows that one event may need in the log; ``reserve_heap``: entries that it may need in the heap.
    """
    n_kicks = A.kick_fs.shape[0]
    n_photons = photon_fs.shape[0]
    n_loops = A.row.shape[0]
    while budget > 0:
        if (L.used[N_TRACES] + reserve > L.trace_fs.shape[0] or L.used[N_FLUXONS] + 2 > L.fluxon_fs.shape[0]
                or L.used[N_SPIKES] + 2 > L.spike_fs.shape[0] or L.used[N_PHOTONS] + 2 > L.photon_fs.shape[0]):
            return LOG_FULL
        size = S.cursor[HEAP_SIZE]
        if size + reserve_heap > S.heap_fs.shape[0]:
            return HEAP_FULL
        # The first of: next kick, next photon of the stimulus, the heap of travelling photons, the queue of loops.
        now = FOREVER
        key = 0
        ordinal = 0
        where = -1
        k = S.cursor[NEXT_KICK]
        if k < n_kicks:
            now = A.kick_fs[k]
            key = event_key(KICK, A.kick_loop[k], 0)
            ordinal = k
            where = 0
        k = S.cursor[NEXT_PHOTON]
        if k < n_photons:
            other = event_key(PHOTON, photon_detector[k], 0)
            if earlier(photon_fs[k], other, k, now, key, ordinal):
                now = photon_fs[k]
                key = other
                ordinal = k
                where = 1
        if size > 0 and earlier(S.heap_fs[0], S.heap_key[0], S.heap_ordinal[0], now, key, ordinal):
            now = S.heap_fs[0]
            key = S.heap_key[0]
            ordinal = S.heap_ordinal[0]
            where = 2
        if n_loops > 0:
            d = S.queue[0]
            other = event_key(LOOP, d, 0)
            if earlier(S.next_fs[d], other, 0, now, key, ordinal):
                now = S.next_fs[d]
                key = other
                where = 3
        if now > until or where < 0:
            return DONE
        budget -= 1
        S.counts[EVENTS] += 1
        S.cursor[NOW] = now
        phase = key >> PHASE_SHIFT
        target = (key >> TARGET_SHIFT) & 0x1FFFFFFF
        d = target
        if phase == PHOTON:
            sure = 0
            if where == 1:
                S.cursor[NEXT_PHOTON] += 1
            else:
                guide = (key & 0x1FFFFFFF) - 1
                S.cursor[HEAP_SIZE] = pop(S.heap_fs, S.heap_key, S.heap_ordinal, size)
                if guide >= 0 and A.guide_drawn[guide] == 1:
                    sure = 1
            fate = photon_fate(A, S, target, now, sure, seed)
            S.counts[PHOTONS_IN] += 1
            if L.want_photons[target] == 1:
                row = L.used[N_PHOTONS]
                L.photon_fs[row] = now
                L.photon_detector[row] = target
                L.photon_fate[row] = fate
                L.used[N_PHOTONS] = row + 1
            if fate != DETECTED:
                if fate == IN_HOTSPOT:
                    S.counts[LOST_HOTSPOT] += 1
                elif fate == IN_DEAD_TIME:
                    S.counts[LOST_DEAD] += 1
                else:
                    S.counts[LOST_EFFICIENCY] += 1
                continue
            S.counts[DETECTIONS] += 1
            d = A.det_loop[target]
        elif phase == HOTSPOT_END:
            S.cursor[HEAP_SIZE] = pop(S.heap_fs, S.heap_key, S.heap_ordinal, size)
            S.counts[HOTSPOT_ENDS] += 1
            d = A.det_loop[target]
        elif phase == KICK:
            S.cursor[NEXT_KICK] += 1
            S.counts[KICKS] += 1

        # One pass for the loop that the event belongs to, then one for every loop that a fluxon couples to.
        push_on = -1
        last = -1
        pushed = 0.0
        while True:
            touch(A, T, S, tau_0, d, now)
            if push_on >= 0:
                S.amplitude[A.out_mode[push_on]] += S.out_J[push_on] * pushed
            elif phase == PHOTON:
                hotspot_begins(A, S, target, d, now)
            elif phase == HOTSPOT_END:
                hotspot_ends(A, S, target, d, now)
            elif phase == KICK:
                k = ordinal
                if A.kick_kind[k] == PULSE:
                    S.amplitude[A.kick_fall[k]] += A.kick_x[k]
                    S.amplitude[A.kick_rise[k]] -= A.kick_x[k]
                else:
                    S.ext[d] += A.kick_x[k]
                    S.ext_slope[d] += A.kick_y[k]
                    if A.kick_arm[k] == 1:
                        S.ext_arm[d] += A.kick_x[k]
                        S.ext_arm_slope[d] += A.kick_y[k]
            else:
                kind = S.next_kind[d]
                if kind == FLUXON or kind == SLIP:
                    quantum_in(A, S, d)
                    S.counts[FLUXONS] += 1
                    if L.want_fluxons[d] == 1:
                        row = L.used[N_FLUXONS]
                        L.fluxon_fs[row] = now
                        L.fluxon_loop[row] = d
                        L.used[N_FLUXONS] = row + 1
                    push_on = A.out_start[d] - 1
                    last = A.out_start[d + 1] - 1
                    pushed = A.quantum[d]
                elif kind == WAKE:
                    S.mode[d] = REST
                    S.z[d] = airy_start(S.gain[d], crossing_slope(A, T, S, d), tau_0)
                    S.counts[WAKES] += 1
                elif kind == RELEASE:
                    S.mode[d] = SLEEP
                    S.z[d] = 0.0
                else:
                    S.counts[STEPS] += 1
                if A.neuron[d] >= 0 and fires(A, S, d, now):
                    row = L.used[N_SPIKES]
                    L.spike_fs[row] = now
                    L.spike_neuron[row] = A.neuron[d]
                    L.used[N_SPIKES] = row + 1
                    spike(A, S, A.neuron[d], d, now, seed)
            plan(A, T, S, tau_0, d, now)
            rekey(S.queue, S.queue_place, S.next_fs, n_loops, d)
            if L.want_trace[d] == 1:
                trace(A, S, L, d, now)
            push_on += 1
            if push_on > last or last < 0:
                break
            d = A.out_loop[push_on]
    return BUDGET_SPENT
