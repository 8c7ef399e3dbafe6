"""The compiled engine: one loop over events on flat arrays, in Numba. Same events and same bits as the reference engine.

Every event changes one loop (and, for a fluxon, the loops that it couples to). A change is always the same three steps:
*touch* (bring the loop to the event's time in closed form), the change itself, *look ahead* (say when its next own event comes).

Names in signatures: ``P`` a Plan as :class:`~soen_event.engine.state.Records`, ``S`` the :class:`~soen_event.engine.state.State`,
``L`` the :class:`Log`, ``d`` a loop, ``k`` a detector, ``now`` the time in fs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from soen_event.engine import state as engine_state
from soen_event.engine.jit import compile_function
from soen_event.engine.queue import earlier, pop, push, rekey
from soen_event.engine.state import (
    DETECTED,
    DETECTIONS,
    EVENTS,
    FLUXONS,
    FOREVER,
    HEAP_SIZE,
    HOTSPOT_END,
    HOTSPOT_ENDS,
    IN_DEAD_TIME,
    IN_HOTSPOT,
    KICK,
    KICKS,
    LOOP,
    LOST_DEAD,
    LOST_EFFICIENCY,
    LOST_HOTSPOT,
    MISSED,
    NEXT_KICK,
    NEXT_PHOTON,
    NOW,
    PHASE_SHIFT,
    PHOTON,
    PHOTONS_IN,
    PLACE_MASK,
    SPIKES,
    STEPS,
    TARGET_SHIFT,
    WAKES,
)
from soen_event.physics.detector import flux_after, flux_in_hotspot, recovery
from soen_event.physics.elementary import exp
from soen_event.physics.loop import (
    EDGE,
    FLUXON,
    HELD,
    PANEL,
    PI,
    RELEASE,
    REST,
    RUN,
    SLEEP,
    SLIP,
    STEP,
    TWO_PI,
    WAKE,
    airy_start,
    fallen_back,
    leak_after,
    leaked,
    plan_rest,
    plan_run,
    rest_phase,
    saddle_node,
    source_at,
    wake_after,
)
from soen_event.physics.random import DETECTION, EMISSION_TIME, LOSS, uniform
from soen_event.physics.source import level
from soen_event.physics.transmitter import first_photon_delay
from soen_event.plan import DARK, PHOTONS, PULSE

if TYPE_CHECKING:
    from soen_event.engine.state import State
    from soen_event.plan import Plan

DONE, LOG_FULL, HEAP_FULL, BUDGET_SPENT = range(4)
# Columns of a trace row, which the loop's mode amplitudes follow in Log.trace_amplitude.
T_Q, T_LEAK, T_PSI, T_THETA, T_RATE, T_CURVE, T_KAPPA, T_BASE, T_EXT, T_EXT_SLOPE, T_ARM, T_ARM_SLOPE = range(12)
TRACE_COLUMNS = 12
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


LOG_COLUMNS = {
    N_SPIKES: ("spike_fs", "spike_neuron"),
    N_FLUXONS: ("fluxon_fs", "fluxon_loop"),
    N_PHOTONS: ("photon_fs", "photon_detector", "photon_fate"),
    N_TRACES: ("trace_fs", "trace_loop", "trace_mode", "trace_values"),
    N_AMPLITUDES: ("trace_amplitude",),
}


def event_key(phase: int, target: int, source: int) -> int:
    """The second part of an event's key, after its time."""
    return (phase << 58) | (target << 29) | source


def later(now: int, ns: float) -> int:
    """``now`` plus a positive time in ns, at least 1 fs later; FOREVER for NEVER."""
    if ns >= 1.0e12:
        return FOREVER
    step = int(ns * 1.0e6 + 0.5)
    if step < 1:
        step = 1
    return now + step


def touch(P: Any, S: Any, tau_0: float, d: int, now: int) -> None:
    """Bring loop ``d`` to time ``now``: modes and quanta decay, the phase moves on, the leak follows."""
    me = S.loops[d]
    dt_fs = now - me.since
    if dt_fs <= 0:
        return
    my = P.loops[d]
    shape, scale, _, levels, rest = P.sources
    dt = dt_fs * 1.0e-6
    start = my.mode_start
    stop = my.mode_stop
    mode = me.mode
    if mode != HELD and dt > PANEL:
        psi, leak = leak_after(
            me.leak,
            me.psi,
            S.amplitude,
            P.mode_tau,
            P.mode_arm,
            start,
            stop,
            me.steady,
            me.ext,
            me.ext_slope,
            me.arm,
            me.arm_slope,
            rest,
            shape,
            scale,
            levels,
            my.row,
            my.ib,
            my.rest_origin,
            my.tau,
            dt,
        )
        me.psi = psi
        me.leak = leak
    phi = me.steady
    one = 0.0
    for m in range(start, stop):
        v = S.amplitude[m]
        if v != 0.0:
            v *= exp(-dt / P.mode_tau[m])
            S.amplitude[m] = v
            phi += v
            if P.mode_arm[m] == 1:
                one += v
    me.ext += me.ext_slope * dt
    me.arm += me.arm_slope * dt
    phi += me.ext
    one += me.arm
    me.since = now
    if mode != HELD:
        e = exp(-dt / my.tau)
        q = me.q
        me.leak_loss += 0.5 * my.beta * q * q * (1.0 - e * e)
        me.q = q * e
        if dt <= PANEL:
            psi = rest_phase(rest, shape, scale, levels, my.row, phi, my.ib) - my.rest_origin + PI * one
            me.leak = leaked(me.leak, me.psi, psi, 1.0 - e)
            me.psi = psi
    if mode == RUN:
        me.theta += dt * (me.rate + 0.5 * me.curve * dt)
    elif mode == REST:
        me.z = saddle_node(me.z, me.gain * (me.u + 0.5 * me.u_slope * dt), dt / tau_0)
    elif mode == SLEEP:
        i = my.ib - (me.q + (me.psi - me.leak) / my.beta)
        effective = phi + scale[my.row, 6] + scale[my.row, 4] * i
        threshold, _, _ = level(shape, scale, levels, my.row, effective)
        u = i - threshold
        mean = 0.5 * (me.u + u)
        if mean < 0.0:
            me.z = saddle_node(me.z, me.gain * mean, dt / tau_0)
        me.u = u


def look_ahead(P: Any, S: Any, tau_0: float, d: int, now: int, undisturbed: int) -> None:
    """Say what loop ``d`` does next and when: sets its ``next_fs`` and ``next_kind``.

    ``undisturbed``: 1 if its flux has not changed since it was touched, so that its phase need not be looked up again.
    """
    me = S.loops[d]
    if me.mode == HELD:
        S.next_fs[d] = me.ready_fs
        me.next_kind = RELEASE
        return
    my = P.loops[d]
    shape, scale, cells, levels, rest = P.sources
    row = my.row
    start = my.mode_start
    stop = my.mode_stop
    phi = me.steady + me.ext
    phi_slope = me.ext_slope
    one = me.arm
    one_slope = me.arm_slope
    for m in range(start, stop):
        v = S.amplitude[m]
        if v != 0.0:
            w = v / P.mode_tau[m]
            phi += v
            phi_slope -= w
            if P.mode_arm[m] == 1:
                one += v
                one_slope -= w
    psi = me.psi
    if undisturbed == 0:
        psi = rest_phase(rest, shape, scale, levels, row, phi, my.ib) - my.rest_origin + PI * one
        me.psi = psi
    s = me.q + (psi - me.leak) / my.beta
    r, g_phi, g_i, u, u_phi, gain = source_at(shape, scale, cells, levels, row, phi, my.ib - s)
    if me.mode == RUN:
        if u > 0.0 and r > 0.0:
            rate, curve, h, complete = plan_run(
                r, g_phi, g_i, phi_slope, s / my.tau - PI * one_slope / my.beta, my.tau, tau_0, me.theta
            )
            me.u = u
            me.gain = gain
            me.rate = rate
            me.curve = curve
            if complete == 1:
                me.next_kind = FLUXON
            else:
                me.next_kind = STEP
            S.next_fs[d] = later(now, h)
            return
        me.mode = SLEEP
        me.z = fallen_back(me.theta, me.u * gain)
        me.theta = 0.0
        me.rate = 0.0
        me.curve = 0.0
    me.u = u
    me.u_slope = s / my.tau + u_phi * phi_slope
    me.gain = gain
    if u > EDGE:
        me.mode = REST
    elif me.mode == REST and (me.z <= 0.0 or me.z * me.z <= -gain * u):
        me.mode = SLEEP
    if me.mode == REST:
        h, kind = plan_rest(me.z, u, me.u_slope, gain, tau_0)
    else:
        h, kind = wake_after(
            S.amplitude,
            P.mode_tau,
            P.mode_arm,
            start,
            stop,
            me.steady,
            me.ext,
            me.ext_slope,
            me.q,
            me.leak,
            my.tau,
            my.beta,
            my.ib,
            my.low,
            my.high,
            shape,
            scale,
            levels,
            row,
            rest,
            my.rest_origin,
            me.arm,
            me.arm_slope,
        )
    me.next_kind = kind
    S.next_fs[d] = later(now, h)


def wake(P: Any, S: Any, tau_0: float, d: int) -> None:
    """Loop ``d`` crosses its threshold without an event: start the saddle-node where a steady drive would have brought it."""
    me = S.loops[d]
    my = P.loops[d]
    shape, scale, _, levels, _ = P.sources
    phi = me.steady + me.ext
    phi_slope = me.ext_slope
    for m in range(my.mode_start, my.mode_stop):
        phi += S.amplitude[m]
        phi_slope -= S.amplitude[m] / P.mode_tau[m]
    s = me.q + (me.psi - me.leak) / my.beta
    effective = phi + scale[my.row, 6] + scale[my.row, 4] * (my.ib - s)
    _, slope, gain = level(shape, scale, levels, my.row, effective)
    me.mode = REST
    me.z = airy_start(gain, s / my.tau - slope * phi_slope, tau_0)


def quantum_in(P: Any, S: Any, d: int) -> None:
    """One flux quantum enters loop ``d`` and its phase starts a new turn. The bias does the work 2 pi ib; the loop stores a part."""
    me = S.loops[d]
    my = P.loops[d]
    q = me.q
    more = q + my.quantum
    me.slip_loss += TWO_PI * my.ib - 0.5 * my.beta * (more * more - q * q)
    me.q = more
    me.theta = 0.0
    me.mode = RUN
    me.fluxons += 1


def fires(P: Any, S: Any, d: int, now: int) -> bool:
    """Soma ``d`` crosses its threshold upwards with the fluxon that has just entered.

    After a spike it is armed again once a fluxon finds its current one quantum (at most half the threshold) below threshold; a
    crossing within the absolute refractory time is lost.
    """
    me = S.loops[d]
    my = P.loops[d]
    s = me.q + (me.psi - me.leak) / my.beta
    low = my.threshold - my.quantum
    if low < 0.5 * my.threshold:
        low = 0.5 * my.threshold
    if s - my.quantum < low:
        me.armed = 1
    if me.armed == 0 or s < my.threshold:
        return False
    if now < me.ready_fs:
        me.armed = 0
        return False
    return True


def spike(P: Any, S: Any, d: int, now: int, seed: int) -> None:
    """Soma ``d`` fires: light goes out, its refractory detector is hit, its loop is emptied if it is to be."""
    me = S.loops[d]
    my = P.loops[d]
    sender = P.neurons[my.neuron]
    me.armed = 0
    me.ready_fs = now + my.t_ref_fs
    if my.purge == 1:
        me.purge_loss += 0.5 * my.beta * me.q * me.q
        me.q = 0.0
        me.leak = 0.0
        me.psi = 0.0
        me.z = 0.0
        me.theta = 0.0
        me.rate = 0.0
        me.curve = 0.0
        me.mode = HELD
    size = S.cursor[HEAP_SIZE]
    ordinal = S.spikes[my.neuron]
    if sender.refractory_detector >= 0:
        size = push(
            S.heap_fs, S.heap_key, S.heap_ordinal, size, now, event_key(PHOTON, sender.refractory_detector, 0), ordinal
        )
    if sender.emission != DARK:
        for w in range(sender.guide_start, sender.guide_stop):
            guide = P.guides[w]
            arrives = now + sender.latency_fs + guide.delay_fs
            if sender.emission == PHOTONS:
                late = first_photon_delay(
                    uniform(seed, guide.key, ordinal, EMISSION_TIME, 0), guide.photons, sender.tau_rad
                )
                if late < 0.0:
                    continue
                arrives += int(late * 1.0e6 + 0.5)
            elif guide.passes < 1.0 and uniform(seed, guide.key, ordinal, LOSS, 0) >= guide.passes:
                continue
            size = push(
                S.heap_fs, S.heap_key, S.heap_ordinal, size, arrives, event_key(PHOTON, guide.detector, w + 1), ordinal
            )
    S.cursor[HEAP_SIZE] = size
    S.spikes[my.neuron] += 1
    S.counts[SPIKES] += 1


def photon_fate(P: Any, S: Any, k: int, now: int, drawn: int, seed: int) -> int:
    """What becomes of a photon at detector ``k``. ``drawn``: 1 if its efficiency was already drawn with the emission."""
    it = S.detectors[k]
    its = P.detectors[k]
    ordinal = it.arrived
    it.arrived = ordinal + 1
    if it.in_hotspot == 1:
        return IN_HOTSPOT
    if now < it.dead_fs:
        return IN_DEAD_TIME
    chance = 1.0
    if drawn == 0:
        chance = its.efficiency
    if its.recovers == 1:
        chance *= recovery(flux_after(it.flux, its.tau_fall, (now - it.seen_fs) * 1.0e-6), its.peak)
    if chance < 1.0 and uniform(seed, its.key, ordinal, DETECTION, 0) >= chance:
        return MISSED
    return DETECTED


def hotspot_begins(P: Any, S: Any, k: int, d: int, now: int) -> None:
    """Detector ``k`` turns resistive: its flux in loop ``d`` stops falling and rises towards its level."""
    it = S.detectors[k]
    its = P.detectors[k]
    me = S.loops[d]
    f = flux_after(it.flux, its.tau_fall, (now - it.seen_fs) * 1.0e-6)
    w = it.weight
    S.amplitude[its.fall] -= w * f
    if its.restarts == 1:
        f = 0.0
    S.amplitude[its.rise] += w * (f - its.level)
    S.mode_hot[its.rise] += 1
    me.steady += w * its.level
    me.hot += 1
    it.flux = f
    it.seen_fs = now
    it.in_hotspot = 1
    it.dead_fs = now + its.dead_fs
    S.cursor[HEAP_SIZE] = push(
        S.heap_fs,
        S.heap_key,
        S.heap_ordinal,
        S.cursor[HEAP_SIZE],
        now + its.hotspot_fs,
        event_key(HOTSPOT_END, k, 0),
        0,
    )


def hotspot_ends(P: Any, S: Any, k: int, d: int, now: int) -> None:
    """Detector ``k`` is superconducting again: its flux falls with tau_fall. The last hotspot leaves no rounding behind."""
    it = S.detectors[k]
    its = P.detectors[k]
    me = S.loops[d]
    dt = (now - it.seen_fs) * 1.0e-6
    f = flux_in_hotspot(it.flux, its.level, its.tau_rise, dt)
    w = it.weight
    S.mode_hot[its.rise] -= 1
    if S.mode_hot[its.rise] == 0:
        S.amplitude[its.rise] = 0.0
    else:
        S.amplitude[its.rise] -= w * (f - its.level)
    me.hot -= 1
    if me.hot == 0:
        me.steady = P.loops[d].offset
    else:
        me.steady -= w * its.level
    S.amplitude[its.fall] += w * f
    it.flux = f
    it.seen_fs = now
    it.in_hotspot = 0


def kick(P: Any, S: Any, k: int, d: int) -> None:
    """The external flux of loop ``d`` changes: a pulse begins or a piecewise-linear drive has a corner."""
    change = P.kicks[k]
    me = S.loops[d]
    if change.kind == PULSE:
        S.amplitude[change.fall] += change.x
        S.amplitude[change.rise] -= change.x
    else:
        me.ext += change.x
        me.ext_slope += change.y
        if change.arm == 1:
            me.arm += change.x
            me.arm_slope += change.y


def trace(P: Any, S: Any, L: Any, d: int, now: int) -> None:
    """Write down the state from which the loop's current and flux follow until its next row."""
    me = S.loops[d]
    my = P.loops[d]
    row = L.used[N_TRACES]
    L.trace_fs[row] = now
    L.trace_loop[row] = d
    L.trace_mode[row] = me.mode
    values = L.trace_values[row]
    values[T_Q] = me.q
    values[T_LEAK] = me.leak
    values[T_PSI] = me.psi
    values[T_THETA] = me.theta
    values[T_RATE] = me.rate
    values[T_CURVE] = me.curve
    values[T_KAPPA] = 0.0
    if me.mode == RUN and me.rate > 0.0:
        values[T_KAPPA] = me.gain * me.u / me.rate
    values[T_BASE] = me.steady
    values[T_EXT] = me.ext
    values[T_EXT_SLOPE] = me.ext_slope
    values[T_ARM] = me.arm
    values[T_ARM_SLOPE] = me.arm_slope
    at = L.used[N_AMPLITUDES]
    for m in range(my.mode_start, my.mode_stop):
        L.trace_amplitude[at] = S.amplitude[m]
        at += 1
    L.used[N_AMPLITUDES] = at
    L.used[N_TRACES] = row + 1


def begin(P: Any, S: Any, L: Any, tau_0: float) -> None:
    """Plan every loop's first event at time 0 and put all in order."""
    n = P.loops.shape[0]
    for d in range(n):
        look_ahead(P, S, tau_0, d, 0, 0)
        me = S.loops[d]
        if me.mode == SLEEP and me.u < 0.0:
            me.z = -math.sqrt(-me.gain * me.u)  # at rest for ever
        rekey(S.queue, S.queue_place, S.next_fs, n, d)
        if L.want_trace[d] == 1:
            trace(P, S, L, d, 0)


def advance(
    P: Any,
    S: Any,
    L: Any,
    tau_0: float,
    photon_fs: Any,
    photon_detector: Any,
    until: int,
    budget: int,
    seed: int,
    reserve: int,
    reserve_heap: int,
) -> int:
    """Process events up to and including time ``until``, at most ``budget`` of them; returns why it stopped.

    ``reserve``: trace rows that one event may need; ``reserve_heap``: entries that it may need in the heap.
    """
    n_kicks = P.kicks.shape[0]
    n_photons = photon_fs.shape[0]
    n_loops = P.loops.shape[0]
    while budget > 0:
        if (
            L.used[N_TRACES] + reserve > L.trace_fs.shape[0]
            or L.used[N_FLUXONS] + 2 > L.fluxon_fs.shape[0]
            or L.used[N_SPIKES] + 2 > L.spike_fs.shape[0]
            or L.used[N_PHOTONS] + 2 > L.photon_fs.shape[0]
        ):
            return LOG_FULL
        size = S.cursor[HEAP_SIZE]
        if size + reserve_heap > S.heap_fs.shape[0]:
            return HEAP_FULL
        # The first of: next kick, next photon of the stimulus, the heap of travelling photons, the queue of loops.
        now = FOREVER
        key = 0
        ordinal = 0
        where = -1
        c = S.cursor[NEXT_KICK]
        if c < n_kicks:
            now = P.kicks[c].fs
            key = event_key(KICK, P.kicks[c].loop, 0)
            ordinal = c
            where = 0
        c = S.cursor[NEXT_PHOTON]
        if c < n_photons:
            other = event_key(PHOTON, photon_detector[c], 0)
            if earlier(photon_fs[c], other, c, now, key, ordinal):
                now = photon_fs[c]
                key = other
                ordinal = c
                where = 1
        if size > 0 and earlier(S.heap_fs[0], S.heap_key[0], S.heap_ordinal[0], now, key, ordinal):
            now = S.heap_fs[0]
            key = S.heap_key[0]
            ordinal = S.heap_ordinal[0]
            where = 2
        if n_loops > 0:
            first = S.queue[0]
            other = event_key(LOOP, first, 0)
            if earlier(S.next_fs[first], other, 0, now, key, ordinal):
                now = S.next_fs[first]
                key = other
                where = 3
        if now > until or where < 0:
            return DONE
        budget -= 1
        S.counts[EVENTS] += 1
        S.cursor[NOW] = now
        phase = key >> PHASE_SHIFT
        target = (key >> TARGET_SHIFT) & PLACE_MASK
        d = target
        if phase == PHOTON:
            drawn = 0
            if where == 1:
                S.cursor[NEXT_PHOTON] += 1
            else:
                guide = (key & PLACE_MASK) - 1
                S.cursor[HEAP_SIZE] = pop(S.heap_fs, S.heap_key, S.heap_ordinal, size)
                if guide >= 0:
                    drawn = P.guides[guide].drawn
            fate = photon_fate(P, S, target, now, drawn, seed)
            S.counts[PHOTONS_IN] += 1
            if L.want_photons[target] == 1:
                row = L.used[N_PHOTONS]
                L.photon_fs[row] = now
                L.photon_detector[row] = target
                L.photon_fate[row] = fate
                L.used[N_PHOTONS] = row + 1
            if fate == IN_HOTSPOT:
                S.counts[LOST_HOTSPOT] += 1
            elif fate == IN_DEAD_TIME:
                S.counts[LOST_DEAD] += 1
            elif fate == MISSED:
                S.counts[LOST_EFFICIENCY] += 1
            if fate != DETECTED:
                continue
            S.counts[DETECTIONS] += 1
            d = P.detectors[target].loop
        elif phase == HOTSPOT_END:
            S.cursor[HEAP_SIZE] = pop(S.heap_fs, S.heap_key, S.heap_ordinal, size)
            S.counts[HOTSPOT_ENDS] += 1
            d = P.detectors[target].loop
        elif phase == KICK:
            S.cursor[NEXT_KICK] += 1
            S.counts[KICKS] += 1

        # One pass for the loop that the event belongs to, then one for every loop that a fluxon couples to.
        coupling = -1
        last = -1
        pushed = 0.0
        while True:
            touch(P, S, tau_0, d, now)
            undisturbed = 0
            if coupling >= 0:
                S.amplitude[P.out_mode[coupling]] += S.out_J[coupling] * pushed
                while coupling < last and P.out_loop[coupling + 1] == d:  # parallel couplings are one change
                    coupling += 1
                    S.amplitude[P.out_mode[coupling]] += S.out_J[coupling] * pushed
            elif phase == PHOTON:
                hotspot_begins(P, S, target, d, now)
            elif phase == HOTSPOT_END:
                hotspot_ends(P, S, target, d, now)
            elif phase == KICK:
                kick(P, S, ordinal, d)
            else:
                kind = S.loops[d].next_kind
                if kind != RELEASE:
                    undisturbed = 1
                if kind == FLUXON or kind == SLIP:
                    quantum_in(P, S, d)
                    S.counts[FLUXONS] += 1
                    if L.want_fluxons[d] == 1:
                        row = L.used[N_FLUXONS]
                        L.fluxon_fs[row] = now
                        L.fluxon_loop[row] = d
                        L.used[N_FLUXONS] = row + 1
                    my = P.loops[d]
                    coupling = my.out_start - 1
                    last = my.out_stop - 1
                    pushed = my.quantum
                    if my.neuron >= 0 and fires(P, S, d, now):
                        row = L.used[N_SPIKES]
                        L.spike_fs[row] = now
                        L.spike_neuron[row] = my.neuron
                        L.used[N_SPIKES] = row + 1
                        held = S.loops[d].q
                        spike(P, S, d, now, seed)
                        pushed += S.loops[d].q - held  # what a purge empties is missed wherever it was coupled
                elif kind == WAKE:
                    wake(P, S, tau_0, d)
                    S.counts[WAKES] += 1
                elif kind == RELEASE:
                    S.loops[d].mode = SLEEP
                    S.loops[d].z = 0.0
                else:
                    S.counts[STEPS] += 1
            look_ahead(P, S, tau_0, d, now, undisturbed)
            rekey(S.queue, S.queue_place, S.next_fs, n_loops, d)
            if L.want_trace[d] == 1:
                trace(P, S, L, d, now)
            if coupling >= last:
                break
            coupling += 1
            d = P.out_loop[coupling]
    return BUDGET_SPENT


class CompiledEngine:
    """The compiled engine of one Plan, with its state and its log. The reference engine has the same four methods.

    ``photon_fs``, ``photon_detector``: photons of the stimulus, sorted by (time, detector). ``want_*``: int64 flags per loop, loop
    and detector, what to log. ``state``: where to begin (by default at rest at time 0); the engine takes it over and changes it.
    """

    ROWS = 1 << 16

    def __init__(
        self,
        plan: Plan,
        photon_fs: np.ndarray,
        photon_detector: np.ndarray,
        seed: int,
        want_fluxons: np.ndarray,
        want_trace: np.ndarray,
        want_photons: np.ndarray,
        state: State | None = None,
    ):
        self.plan, self.seed = plan, int(seed)
        self.photon_fs, self.photon_detector = photon_fs, photon_detector
        self.records = engine_state.packed(plan)
        a = plan.arrays
        modes = np.diff(a.mode_start)
        self.reserve = 2 + int(np.diff(a.out_start).max(initial=0))
        self.reserve_heap = 4 + int(np.diff(a.guide_start).max(initial=0))
        tracing = bool(want_trace.any())
        rows = max(self.ROWS, 2 * self.reserve, 2 * len(a.row) + 2) if tracing else self.reserve
        self.log = new_log(want_fluxons, want_trace, want_photons, self.ROWS, rows, rows * int(modes.max(initial=0)))
        self._state = state if state is not None else engine_state.fresh(plan)
        self._advance = compile_function(advance, persistent=True)
        if state is None:
            compile_function(begin, persistent=True)(self.records, self._state, self.log, plan.tau_0)

    def advance(self, until_fs: int, budget: int) -> int:
        """Process events up to and including ``until_fs``, at most ``budget``; stops at DONE, BUDGET_SPENT or LOG_FULL."""
        before = int(self._state.counts[EVENTS])
        while True:
            spent = int(self._state.counts[EVENTS]) - before
            reason = self._advance(
                self.records,
                self._state,
                self.log,
                self.plan.tau_0,
                self.photon_fs,
                self.photon_detector,
                int(until_fs),
                int(budget) - spent,
                self.seed,
                self.reserve,
                self.reserve_heap,
            )
            if reason != HEAP_FULL:
                return int(reason)
            room = 2 * len(self._state.heap_fs) + self.reserve_heap
            self._state = self._state._replace(
                **{
                    name: np.resize(getattr(self._state, name), room)
                    for name in ("heap_fs", "heap_key", "heap_ordinal")
                }
            )

    def state(self) -> State:
        """The state as it is now (not a copy)."""
        return self._state

    def drain(self) -> dict[str, np.ndarray]:
        """Take out what has been logged since the last call: columns of :class:`Log` by name."""
        out = {
            name: getattr(self.log, name)[: self.log.used[table]].copy()
            for table, names in LOG_COLUMNS.items()
            for name in names
        }
        self.log.used[:] = 0
        return out


def new_log(
    want_fluxons: np.ndarray, want_trace: np.ndarray, want_photons: np.ndarray, rows: int, traces: int, amplitudes: int
) -> Log:
    """Empty buffers: ``rows`` for spikes, fluxons and photons, ``traces`` trace rows with ``amplitudes`` mode amplitudes in all."""

    def ints(length: int) -> np.ndarray:
        return np.zeros(length, dtype=np.int64)

    return Log(
        want_fluxons,
        want_trace,
        want_photons,
        ints(rows),
        ints(rows),
        ints(rows),
        ints(rows),
        ints(rows),
        ints(rows),
        ints(rows),
        ints(traces),
        ints(traces),
        ints(traces),
        np.zeros((traces, TRACE_COLUMNS)),
        np.zeros(amplitudes),
        ints(5),
    )
