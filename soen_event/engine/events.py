"""What one event does to a network, for the compiled engine: plain functions on flat arrays that Numba compiles.

Every event changes one loop (and the loops that it couples to). A change is always the same three steps:
*touch* (bring the loop to the event's time in closed form), the change itself, *look ahead* (say when its next own event comes).

Names in signatures: ``P`` a Plan as :class:`~soen_event.engine.state.Records`, ``S`` the :class:`~soen_event.engine.state.State`,
``W`` the :class:`Work`, ``L`` the :class:`Log`, ``d`` a loop, ``k`` a detector, ``now`` the time in fs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from soen_event.engine.queue import rekey
from soen_event.engine.state import (
    DETECTED,
    DETECTIONS,
    FLUXONS,
    FOREVER,
    IN_DEAD_TIME,
    IN_HOTSPOT,
    LOST_DEAD,
    LOST_EFFICIENCY,
    LOST_HOTSPOT,
    MISSED,
    PHOTONS_IN,
    SPIKES,
)
from soen_event.physics.detector import flux_after, flux_in_hotspot, recovery
from soen_event.physics.elementary import exp
from soen_event.physics.flow import (
    SOFT,
    cubic,
    cubic_area,
    cubic_square_area,
    first_crossing,
    first_guess,
    flow_step,
    flow_wake,
    highest,
    largest,
    onset_step,
    rests,
    sleeps_on,
    source_soft,
    stays_at,
)
from soen_event.physics.loop import (
    CROSS,
    EDGE,
    FLUXON,
    HELD,
    NEVER,
    NOTED,
    NOTHING,
    PANEL,
    PI,
    RELEASE,
    REST,
    RUN,
    SLEEP,
    STEP,
    TWO_PI,
    airy_start,
    end_of_turn,
    fallen_back,
    late_and_lag,
    leak_after,
    leaked,
    plan_rest,
    plan_run,
    plan_warm,
    rest_phase,
    saddle_node,
    square_area,
    stalls,
    wake_after,
)
from soen_event.physics.random import DETECTION, THERMAL, normal, uniform
from soen_event.physics.source import level, source_at
from soen_event.plan import PULSE, QUANTA

# Columns of a trace row, which the loop's mode amplitudes follow in Log.trace_amplitude. The current of a flowing loop is the cubic
# q + rate t + curve t^2 + kappa t^3 while it runs; it has no phase within the turn.
TRACE_FIELDS = (
    "q",
    "leak",
    "psi",
    "theta",
    "rate",
    "curve",
    "kappa",
    "steady",
    "ext",
    "ext_slope",
    "arm",
    "arm_slope",
    "in0",
    "in1",
    "in2",
    "in3",
    "lag",
    "phase_out",
)
TRACE_COLUMNS = len(TRACE_FIELDS)
(
    T_Q,
    T_LEAK,
    T_PSI,
    T_THETA,
    T_RATE,
    T_CURVE,
    T_KAPPA,
    T_BASE,
    T_EXT,
    T_EXT_SLOPE,
    T_ARM,
    T_ARM_SLOPE,
    T_IN0,
    T_IN1,
    T_IN2,
    T_IN3,
    T_LAG,
    T_PHASE_OUT,
) = range(TRACE_COLUMNS)
N_SPIKES, N_FLUXONS, N_PHOTONS, N_TRACES, N_AMPLITUDES, N_WRITES, N_SENT = range(7)
ROUNDS = 200  # loops that tell each other what they have become, in one event
BEYOND = 2  # steps into the unknown, in a ring of couplings, over the length of what is known


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
    sent_fs: np.ndarray  # spikes that have not set out yet
    sent_neuron: np.ndarray
    sent_ordinal: np.ndarray
    used: np.ndarray
    counts: np.ndarray
    latest: np.ndarray  # (1,) time of the latest event, fs
    key: np.ndarray  # (1,) key of the present event, and those of the events that photon and trace rows belong to
    photon_key: np.ndarray
    trace_key: np.ndarray
    write_fs: np.ndarray  # what learning has changed: where, and to what
    write_site: np.ndarray
    write_value: np.ndarray
    write_key: np.ndarray
    most_writes: np.ndarray  # (1,) that one event can make


LOG_COLUMNS = {
    N_SPIKES: ("spike_fs", "spike_neuron"),
    N_FLUXONS: ("fluxon_fs", "fluxon_loop"),
    N_PHOTONS: ("photon_fs", "photon_detector", "photon_fate"),
    N_TRACES: ("trace_fs", "trace_loop", "trace_mode", "trace_values"),
    N_AMPLITUDES: ("trace_amplitude",),
    N_WRITES: ("write_fs", "write_site", "write_value"),
}


SET = [
    ("start", "i8"),  # where its loops begin in ``queue``, and how many they are
    ("room", "i8"),
    ("hot_first", "i8"),  # its first hotspot
    ("box_first", "i8"),  # what arrives at it in the present window: a list in the order of keys
    ("box_last", "i8"),
    ("fs", "i8"),  # its first event when it has been run, apart from what arrives
    ("key", "i8"),
]


class Work(NamedTuple):
    """What follows from a State and is kept for speed: queues and lists. n loops in g sets, m detectors."""

    queue: np.ndarray  # (n,) the loops of every set as an indexed heap, sets one after another
    place: np.ndarray
    number: np.ndarray  # (n,) 0, 1, 2, ...: the key of a loop
    todo: np.ndarray  # (n,) loops that still have to look ahead in the present event, a ring for every set
    waiting: np.ndarray
    hot_next: np.ndarray  # (m,) hotspots of a set, a list in the order of their ends; -1 ends it
    sets: np.ndarray  # (g,) SET records
    first_fs: np.ndarray  # (g,) first event of every set, apart from what arrives
    first_key: np.ndarray
    top: np.ndarray  # (g,) the sets as an indexed heap
    top_place: np.ndarray
    box_fs: np.ndarray  # what arrives at the sets in the present window
    box_key: np.ndarray
    box_ordinal: np.ndarray
    box_drawn: np.ndarray
    box_next: np.ndarray
    active: np.ndarray  # (g,) sets that something happens to in the present window
    is_active: np.ndarray
    window: np.ndarray  # see windows.py
    progress: np.ndarray  # of every stretch of the active sets: which one is next
    parts: np.ndarray  # (1,) into how many stretches the present window is divided


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


# --------------------------------------------------------------------------- touch


def touch(P: Any, S: Any, L: Any, tau_0: float, d: int, now: int) -> None:
    """Bring loop ``d`` to time ``now``: modes and current decay, the phase moves on."""
    me = S.loops[d]
    dt_fs = now - me.since
    if dt_fs <= 0:
        return
    my = P.loops[d]
    leak = me.leak
    if my.watched == 1:
        watch(P, S, d, dt_fs * 1.0e-6)
    if my.flow == 1:
        touch_flow(P, S, L, d, now, dt_fs * 1.0e-6)
    else:
        touch_fluxon(P, S, tau_0, d, now, dt_fs * 1.0e-6)
    if my.watched == 1:  # the phase's part of the current leaks by itself
        me.current_area += my.tau * (me.leak - leak) / my.beta


def watch(P: Any, S: Any, d: int, dt: float) -> None:
    """The integrals of the flux of loop ``d`` and of its current, as far as it is of quanta, over the next ``dt`` ns."""
    me = S.loops[d]
    my = P.loops[d]
    flux = (me.steady + me.ext + 0.5 * me.ext_slope * dt) * dt + cubic_area(me.in0, me.in1, me.in2, me.in3, dt)
    current = 0.0
    for m in range(my.mode_start, my.mode_stop):
        v = S.amplitude[m]
        if v != 0.0:
            area = v * P.mode_tau[m] * (1.0 - exp(-dt / P.mode_tau[m]))
            if P.mode_arm[m] == 2:
                current += area
            else:
                flux += area
    if my.flow == 1 and me.mode == RUN:
        current = cubic_area(me.q, me.c1, me.c2, me.c3, dt)
    elif my.enter_stop == my.enter_start and me.mode != HELD:
        current = me.q * my.tau * (1.0 - exp(-dt / my.tau))
    me.flux_area += flux
    me.current_area += current


def touch_flow(P: Any, S: Any, L: Any, d: int, now: int, dt: float) -> None:
    """A flowing loop follows its cubic, or decays asleep; every 2 pi that its phase turns is a fluxon."""
    me = S.loops[d]
    my = P.loops[d]
    for m in range(my.mode_start, my.mode_stop):
        v = S.amplitude[m]
        if v != 0.0:
            S.amplitude[m] = v * exp(-dt / P.mode_tau[m])
    me.ext += me.ext_slope * dt
    me.arm += me.arm_slope * dt
    me.since = now
    if me.mode == HELD:
        return
    q = me.q
    if me.mode == RUN:
        c1 = me.c1
        c2 = me.c2
        c3 = me.c3
        s = cubic(q, c1, c2, c3, dt)
        turn = my.beta * (s - q + cubic_area(q, c1, c2, c3, dt) / my.tau)
        leak = my.beta * cubic_square_area(q, c1, c2, c3, dt) / my.tau
        me.leak_loss += leak
        me.slip_loss += turn * my.ib - 0.5 * my.beta * (s * s - q * q) - leak
        theta = me.theta + turn
        if theta >= TWO_PI:
            whole = int(theta / TWO_PI)
            me.fluxons += whole
            L.counts[FLUXONS] += whole
            theta -= whole * TWO_PI
        me.theta = theta
        me.q = s
        me.c1 = c1 + dt * (2.0 * c2 + dt * 3.0 * c3)
        me.c2 = c2 + dt * 3.0 * c3
        me.err = me.err / (1.0 + dt * me.fade) + me.err_rate * dt
    else:
        e = exp(-dt / my.tau)
        me.leak_loss += 0.5 * my.beta * q * q * (1.0 - e * e)
        me.q = q * e
        me.err *= e


def touch_fluxon(P: Any, S: Any, tau_0: float, d: int, now: int, dt: float) -> None:
    """Modes and quanta decay, the phase within the turn moves on, the leak follows."""
    me = S.loops[d]
    my = P.loops[d]
    shape, scale, _, levels, rest = P.sources
    start = my.mode_start
    stop = my.mode_stop
    mode = me.mode
    if mode != HELD and dt > PANEL:
        psi, leak = leak_after(
            me,
            S.amplitude,
            P.mode_tau,
            P.mode_arm,
            start,
            stop,
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
    loaded = my.enter_stop > my.enter_start
    if loaded:
        me.leak_loss += my.beta / my.tau * square_area(S.amplitude, P.mode_tau, P.mode_arm, start, stop, dt)
    phi = me.steady + cubic(me.in0, me.in1, me.in2, me.in3, dt)
    one = 0.0
    current = 0.0
    for m in range(start, stop):
        v = S.amplitude[m]
        if v != 0.0:
            v *= exp(-dt / P.mode_tau[m])
            S.amplitude[m] = v
            if P.mode_arm[m] == 2:
                current += v
            else:
                phi += v
                if P.mode_arm[m] == 1:
                    one += v
    me.ext += me.ext_slope * dt
    me.arm += me.arm_slope * dt
    phi += me.ext
    one += me.arm
    me.since = now
    e = exp(-dt / my.tau)
    me.phase_out *= e
    if mode != HELD:
        if loaded:
            me.q = current
        else:
            q = me.q
            me.leak_loss += 0.5 * my.beta * q * q * (1.0 - e * e)
            me.q = q * e
        if dt <= PANEL:
            psi = rest_phase(rest, shape, scale, levels, my.row, phi, my.ib) - my.rest_origin + PI * one + me.lag
            me.leak = leaked(me.leak, me.psi, psi, 1.0 - e)
            me.psi = psi
    if mode == RUN:
        turned = dt * (me.rate + 0.5 * me.curve * dt)
        me.theta += turned
        me.spread += me.fano * turned
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


# --------------------------------------------------------------------------- look ahead


def draw_in(P: Any, S: Any, d: int, now: int) -> tuple:
    """Add up the cubics of the flowing loops that couple into loop ``d``: (ns, ns, flux).

    For how long all of them hold; for how long its next step may be: in a ring of couplings each loop steps into what it was told of
    the others and a little beyond, since they tell when it matters. And a bound of their flux for as long as they hold.
    """
    me = S.loops[d]
    my = P.loops[d]
    a0 = 0.0
    a1 = 0.0
    a2 = 0.0
    a3 = 0.0
    bound = 0.0
    until = FOREVER
    reach = FOREVER
    for j in range(my.in_start, my.in_stop):
        other = S.loops[P.in_loop[j]]
        if other.awake == 1:
            J = S.out_J[P.in_coupling[j]]
            t = (now - other.out_fs) * 1.0e-6
            c2 = other.out2
            c3 = other.out3
            a0 += J * cubic(other.out0, other.out1, c2, c3, t)
            a1 += J * (other.out1 + t * (2.0 * c2 + t * 3.0 * c3))
            a2 += J * (c2 + t * 3.0 * c3)
            a3 += J * c3
            bound += abs(J) * other.out_top
            end = other.out_end
            if end < until:
                until = end
            if my.ring >= 0 and P.loops[P.in_loop[j]].ring == my.ring:
                end += BEYOND * (end - other.out_fs + 1)
            if end < reach:
                reach = end
    me.in0 = a0
    me.in1 = a1
    me.in2 = a2
    me.in3 = a3
    if until == FOREVER:
        return NEVER, NEVER, bound
    return (until - now) * 1.0e-6, (reach - now) * 1.0e-6, bound


def look_ahead(P: Any, S: Any, tau_0: float, d: int, now: int, undisturbed: int, fresh: int) -> None:
    """Say what loop ``d`` does next and when: sets its ``next_fs`` and ``next_kind``.

    ``undisturbed``: 1 if its flux has not changed since it was touched, so that its phase need not be looked up again.
    ``fresh``: 1 if a photon, a hotspot's end or a drive has just changed its flux.
    """
    me = S.loops[d]
    my = P.loops[d]
    known = NEVER
    reach = NEVER
    bound = 0.0
    if my.in_stop > my.in_start:
        known, reach, bound = draw_in(P, S, d, now)
    if me.mode == HELD:
        S.next_fs[d] = me.ready_fs
        me.next_kind = RELEASE
        return
    if my.flow == 1 and me.mode == SLEEP and rests(me, my, S.amplitude, my.mode_start, my.mode_stop, bound):
        S.next_fs[d] = FOREVER
        me.next_kind = NOTHING
        return
    shape, scale, cells, levels, rest = P.sources
    row = my.row
    start = my.mode_start
    stop = my.mode_stop
    phi = me.steady + me.ext + me.in0
    phi_slope = me.ext_slope + me.in1
    one = me.arm
    one_slope = me.arm_slope
    fall = 0.0
    for m in range(start, stop):
        v = S.amplitude[m]
        if v != 0.0:
            w = v / P.mode_tau[m]
            if P.mode_arm[m] == 2:
                fall += w
            else:
                phi += v
                phi_slope -= w
                if P.mode_arm[m] == 1:
                    one += v
                    one_slope -= w
    flow = my.flow
    psi = me.psi
    if flow == 0 and undisturbed == 0:
        psi = rest_phase(rest, shape, scale, levels, row, phi, my.ib) - my.rest_origin + PI * one + me.lag
        me.psi = psi
    s = me.q + (psi - me.leak) / my.beta  # a flowing loop has neither
    if my.enter_stop > my.enter_start:
        fall += (psi - me.leak) / (my.beta * my.tau)
    else:
        fall = s / my.tau
    if flow == 1:
        r, g_phi, g_i, u, u_phi, gain = source_soft(shape, scale, cells, levels, row, phi, my.ib - s, SOFT * my.own)
        me.u_slope = fall + u_phi * phi_slope
        plan_flow(P, S, tau_0, d, now, known, reach, bound, r, g_phi * phi_slope, g_i, u, gain, fresh)
        return
    r, g_phi, g_i, u, u_phi, gain = source_at(shape, scale, cells, levels, row, phi, my.ib - s)
    late = 0.0
    lag = 0.0
    above = u - scale[row, 13]
    if above > 0.0:
        late, lag = late_and_lag(rest, shape, scale, row, phi + scale[row, 4] * (my.ib - s), above, r)
    if my.warm == 1:
        me.u = u
        me.u_slope = fall + u_phi * phi_slope
        me.gain = gain
        if u > EDGE:
            bend_u = abs(s) / (my.tau * my.tau)
            for m in range(start, stop):
                bend_u += scale[row, 5] * abs(S.amplitude[m]) / (P.mode_tau[m] * P.mode_tau[m])
            me.lag = lag
            fano, _, _, _, _, _ = source_at(shape, scale, cells, levels, row + 1, phi, my.ib - s)
            h, kind = turn_on(me, my, r, g_phi, g_i, phi_slope, fall - PI * one_slope / my.beta, bend_u, fano, tau_0)
        else:
            stop_turning(me)
            h, kind = wake_after(
                me, my, S.amplitude, P.mode_tau, P.mode_arm, start, stop, shape, scale, levels, rest, known
            )
        me.next_kind = kind
        S.next_fs[d] = later(now, h)
        return
    me.late = late
    if me.mode == RUN:
        i_slope = fall - PI * one_slope / my.beta
        a = gain * u
        a_slope = gain * (i_slope + u_phi * phi_slope) * tau_0
        if u > 0.0 and r > 0.0 and not stalls(me.theta, a, a_slope, r):
            need = TWO_PI - late - me.theta
            rate, curve, h, complete = plan_run(r, g_phi, g_i, phi_slope, i_slope, my.tau, tau_0, need)
            me.u = u
            me.gain = gain
            me.lag = lag
            me.rate = rate
            me.curve = curve
            if complete == 1:
                me.next_kind = FLUXON
            else:
                me.next_kind = STEP
            S.next_fs[d] = later(now, h)
            return
        me.mode = REST
        if u > 0.0 and r > 0.0:
            me.z = fallen_back(me.theta, a, r, a_slope / a)
        else:
            me.z = fallen_back(me.theta, me.gain * me.u, me.rate * tau_0, 0.0)
        me.psi -= me.lag
        me.lag = 0.0
        me.theta = 0.0
        me.rate = 0.0
        me.curve = 0.0
    me.u = u
    me.u_slope = fall + u_phi * phi_slope
    me.gain = gain
    if u > EDGE:
        me.mode = REST
    elif me.mode == REST and (me.z <= 0.0 or me.z * me.z <= -gain * u):
        me.mode = SLEEP
    if me.mode == REST:
        h, kind = plan_rest(me.z, u, me.u_slope, gain, tau_0, r, late)
    else:
        h, kind = wake_after(
            me, my, S.amplitude, P.mode_tau, P.mode_arm, start, stop, shape, scale, levels, rest, known
        )
    me.next_kind = kind
    S.next_fs[d] = later(now, h)


def turn_on(
    me: Any,
    my: Any,
    r: float,
    g_phi: float,
    g_i: float,
    phi_slope: float,
    i_slope: float,
    bend_u: float,
    fano: float,
    tau_0: float,
) -> tuple:
    """Next step of a warm SQUID ``me`` (constants ``my``) that turns, at rate ``r`` and Fano factor ``fano``: (ns, FLUXON or STEP)."""
    if me.mode != RUN:
        me.mode = RUN
        me.theta = 0.0
        me.spread = 0.0
        me.first = 1
    me.fano = fano
    me.turn = end_of_turn(me.luck, me.theta, me.spread, fano, me.first)
    rate, curve, h, complete = plan_warm(r, g_phi, g_i, phi_slope, i_slope, bend_u, my.tau, tau_0, me.turn - me.theta)
    me.rate = rate
    me.curve = curve
    if complete == 1:
        return h, FLUXON
    return h, STEP


def stop_turning(me: Any) -> None:
    """A warm SQUID is where thermal slips do not matter any more."""
    me.mode = SLEEP
    me.psi -= me.lag
    me.lag = 0.0
    me.theta = 0.0
    me.rate = 0.0
    me.curve = 0.0
    me.fano = 0.0


def plan_flow(
    P: Any,
    S: Any,
    tau_0: float,
    d: int,
    now: int,
    known: float,
    reach: float,
    bound: float,
    r: float,
    r_slope: float,
    g_i: float,
    u: float,
    gain: float,
    fresh: int,
) -> None:
    """Next step of a flowing loop, or its sleep; arguments as its flux and current now make them."""
    me = S.loops[d]
    my = P.loops[d]
    shape, scale, cells, levels, _ = P.sources
    start = my.mode_start
    stop = my.mode_stop
    woken = me.mode == REST
    slides = me.mode == RUN and me.u_slope > 0.0 and u > -stays_at(my.own)
    if u <= 0.0 and not woken and not slides:
        asleep = me.mode == SLEEP
        me.mode = SLEEP
        if not asleep and rests(me, my, S.amplitude, start, stop, bound):
            S.next_fs[d] = FOREVER
            me.next_kind = NOTHING
            return
        h, kind = flow_wake(me, my, S.amplitude, P.mode_tau, start, stop, shape, scale, levels, tau_0, known)
        me.next_kind = kind
        S.next_fs[d] = later(now, h)
        return
    going = 1
    if me.mode != RUN:
        going = 0
        me.mode = RUN
        me.step = 0.0
        me.theta = PI  # at rest the phase is half a turn from its next slip (circuit.md 4)
        if woken:
            me.h = onset_step(my.own, gain, me.u_slope, 1.0 / (tau_0 * my.beta))
        else:
            fresh = 1
    if fresh == 1 and not woken:
        me.h = first_guess(my.own, r, r_slope, g_i, me.q, my.tau, 1.0 / (tau_0 * my.beta))
    me.next_kind = NOTHING
    S.next_fs[d] = FOREVER  # where nothing else is said, the input's next piece comes first
    me.end_fs = now
    if reach <= 0.0:
        return
    inputs = S.amplitude, P.mode_tau, start, stop
    tables = shape, scale, cells, levels
    h = flow_step(me, my, *inputs, *tables, tau_0, r, r_slope, g_i, u, reach, going)
    me.end_fs = now + int(h * 1.0e6 + 0.5)
    if h < reach or my.ring >= 0:
        me.next_kind = STEP
        S.next_fs[d] = me.end_fs
    if my.neuron < 0:
        return
    low = rearm_level(my.threshold, my.quantum)
    if me.armed == 0 and me.q < low:
        me.armed = 1
    t = -1.0
    kind = CROSS
    if me.armed == 0:
        t = first_crossing(me.q, me.c1, me.c2, me.c3, low, 0, h)
        kind = STEP
    elif me.q >= my.threshold:
        t = 0.0
    else:
        t = first_crossing(me.q, me.c1, me.c2, me.c3, my.threshold, 1, h)
    if t >= 0.0:
        at = later(now, t)
        if at <= me.end_fs:
            S.next_fs[d] = at
            me.next_kind = kind


def tells(me: Any) -> bool:
    """A sleeping loop's phase has moved so far that the loops to which it couples have to know."""
    return me.mode == SLEEP and abs(me.psi - me.shown) > NOTED


def rearm_level(threshold: float, quantum: float) -> float:
    """Current below which a soma that has spiked is armed again: one quantum, at most half the threshold, below threshold."""
    low = threshold - quantum
    if low < 0.5 * threshold:
        low = 0.5 * threshold
    return low


def give_out(P: Any, S: Any, d: int, now: int, own: int) -> int:
    """Whether the loops that flowing loop ``d`` couples to must be told what has become of its current, with the new cubic put out.

    ``own``: 1 if it plans because of an event of its own, not because another has told it something.
    Returns 0 for no: what they were told is still good enough; 1 for yes; 2 if it wakes; 3 if it has fallen asleep: then the current
    that it had reaches them as a decaying exponential from now on.
    """
    me = S.loops[d]
    my = P.loops[d]
    if my.out_start == my.out_stop:
        return 0
    if me.mode != RUN:
        if me.awake == 0:
            return 0
        me.awake = 0
        return 3
    told = 2
    if me.awake == 1:
        told = 1
        until = me.out_end if me.out_end < me.end_fs else me.end_fs
        if me.out_end > now and until > now and (own == 0 or my.ring >= 0 or me.end_fs <= me.out_end):
            t = (now - me.out_fs) * 1.0e-6
            late = largest(
                me.q - cubic(me.out0, me.out1, me.out2, me.out3, t),
                me.c1 - (me.out1 + t * (2.0 * me.out2 + t * 3.0 * me.out3)),
                me.c2 - (me.out2 + t * 3.0 * me.out3),
                me.c3 - me.out3,
                (until - now) * 1.0e-6,
            )
            if late <= my.slack:
                told = 0
    if told > 0:
        me.awake = 1
        me.out_fs = now
        me.out_end = me.end_fs
        me.out0 = me.q
        me.out1 = me.c1
        me.out2 = me.c2
        me.out3 = me.c3
        me.out_top = highest(me.q, me.c1, me.c2, me.c3, (me.end_fs - now) * 1.0e-6)
    elif me.out_end < S.next_fs[d]:
        S.next_fs[d] = me.out_end
        me.next_kind = STEP
    return told


def settle(
    P: Any,
    S: Any,
    W: Any,
    L: Any,
    tau_0: float,
    d: int,
    now: int,
    undisturbed: int,
    pushed: float,
    quanta: float,
    listed: int,
) -> None:
    """Loop ``d`` has been touched and changed: let it look ahead, and every loop that has to know of it.

    ``pushed``: what has entered at once, and reaches those that it couples to; 0 for nothing. Of a loaded loop as so many ``quanta``.
    With it goes what the phase has moved since. ``listed``: so many more that have been touched and changed are on their set's list,
    behind the place of ``d``.
    """
    my = P.loops[d]
    base = W.sets[my.group].start
    room = W.sets[my.group].room
    head = 1 if listed > 0 else 0
    count = listed
    rounds = 0
    while True:
        own = 1 if rounds == 0 else 0
        look_ahead(P, S, tau_0, d, now, undisturbed, own * (1 - undisturbed))
        my = P.loops[d]
        me = S.loops[d]
        moved = 0.0
        if my.flow == 0 and my.out_stop > my.out_start and (pushed != 0.0 or tells(me)):
            if pushed == 0.0:
                quanta = 0.0
            moved = me.psi - me.shown
            me.shown = me.psi
            pushed += moved / my.beta
            me.phase_out += moved / my.beta
        tell = pushed != 0.0
        more = abs(pushed)
        if my.flow == 1:
            before = me.out_top if me.awake == 1 else 0.0
            told = give_out(P, S, d, now, own)
            tell = told > 0 and rounds < ROUNDS
            if told == 2:
                pushed -= me.q
            elif told == 3:
                pushed = me.q
            elif me.awake == 1:
                pushed = 0.0
            else:
                tell = pushed != 0.0
            if told == 3:
                more = abs(me.q) - before
            elif me.awake == 1:
                more = me.out_top - before
        rekey(W.queue, W.place, S.next_fs, W.number, base, room, d)
        if L.want_trace[d] == 1:
            trace(P, S, L, d, now)
        if tell and my.enter_stop > my.enter_start:
            count = quanta_to_others(P, S, W, L, tau_0, d, now, base, room, head, count, quanta, moved)
        elif tell:
            for c in range(my.out_start, my.out_stop):
                other = P.out_loop[c]
                touch(P, S, L, tau_0, other, now)
                if pushed != 0.0:
                    S.amplitude[P.out_mode[c]] += S.out_J[c] * pushed
                if sleeps_on(S.loops[other], P.loops[other], abs(S.out_J[c]) * more):
                    draw_in(P, S, other, now)
                    if L.want_trace[other] == 1:
                        trace(P, S, L, other, now)
                elif W.waiting[other] == 0:
                    W.waiting[other] = 1
                    W.todo[base + (head + count) % room] = other
                    count += 1
        if count == 0:
            return
        d = W.todo[base + head]
        head = (head + 1) % room
        count -= 1
        W.waiting[d] = 0
        undisturbed = 0
        pushed = 0.0
        rounds += 1


def quanta_to_others(
    P: Any,
    S: Any,
    W: Any,
    L: Any,
    tau_0: float,
    d: int,
    now: int,
    base: int,
    room: int,
    head: int,
    count: int,
    quanta: float,
    moved: float,
) -> int:
    """``quanta`` have entered loop ``d``, which loads others: their currents change too, and the fluxes of all that they couple to.

    ``moved``: by how much its phase has moved since the others were told; as part of a quantum, in the fluxes only.
    Puts them on the list of those that have to look ahead; returns its length.
    """
    my = P.loops[d]
    for r in range(my.reach_start, my.reach_stop):
        touch(P, S, L, tau_0, P.reach_loop[r], now)
    for e in range(my.enter_own, my.enter_stop):
        value = quanta * P.enter_value[e]
        if P.enter_coupling[e] >= 0:
            value = (quanta + moved / TWO_PI) * P.enter_value[e] * S.out_J[P.enter_coupling[e]]
        S.amplitude[P.enter_mode[e]] += value
    for r in range(my.reach_start, my.reach_stop):
        other = P.reach_loop[r]
        its = P.loops[other]
        if its.enter_stop > its.enter_start:
            current = 0.0
            for m in range(its.mode_start, its.mode_stop):
                if P.mode_arm[m] == 2:
                    current += S.amplitude[m]
            S.loops[other].q = current
        if W.waiting[other] == 0:
            W.waiting[other] = 1
            W.todo[base + (head + count) % room] = other
            count += 1
    return count


# --------------------------------------------------------------------------- changes


def wake(P: Any, S: Any, tau_0: float, d: int) -> None:
    """Loop ``d`` crosses its threshold without an event: start the saddle-node where a steady drive would have brought it."""
    me = S.loops[d]
    my = P.loops[d]
    me.mode = REST
    if my.flow == 1 or my.warm == 1:
        return
    shape, scale, _, levels, _ = P.sources
    phi = me.steady + me.ext + me.in0
    phi_slope = me.ext_slope + me.in1
    s = me.q + (me.psi - me.leak) / my.beta
    fall = s / my.tau
    if my.enter_stop > my.enter_start:
        fall = (me.psi - me.leak) / (my.beta * my.tau)
    for m in range(my.mode_start, my.mode_stop):
        if P.mode_arm[m] == 2:
            fall += S.amplitude[m] / P.mode_tau[m]
        else:
            phi += S.amplitude[m]
            phi_slope -= S.amplitude[m] / P.mode_tau[m]
    effective = phi + scale[my.row, 6] + scale[my.row, 4] * (my.ib - s)
    _, slope, gain = level(shape, scale, levels, my.row, effective)
    me.z = airy_start(gain, fall - slope * phi_slope, tau_0)


def quantum_in(P: Any, S: Any, d: int, seed: int) -> None:
    """One flux quantum enters loop ``d`` and its phase starts a new turn. The bias does the work 2 pi ib; the loop stores a part."""
    me = S.loops[d]
    my = P.loops[d]
    me.slip_loss += TWO_PI * (my.ib - me.q - 0.5 * my.quantum)
    me.q += my.quantum
    for e in range(my.enter_start, my.enter_own):
        S.amplitude[P.enter_mode[e]] += P.enter_value[e]
    me.theta = -me.late
    me.turn = -me.late
    me.mode = RUN
    me.fluxons += 1
    if my.warm == 1:
        new_turn(me, my, seed)


def new_turn(me: Any, my: Any, seed: int) -> None:
    """Draw how far a warm SQUID's next turn goes."""
    me.luck = normal(seed, my.key, me.fluxons, THERMAL, 0)
    me.spread = 0.0
    me.first = 0


def fires(P: Any, S: Any, d: int, now: int, pushed: float) -> bool:
    """Soma ``d`` crosses its threshold upwards with the current ``pushed`` that has just entered, one fluxon or more at once.

    After a spike it is armed again once a fluxon finds its current one quantum (at most half the threshold) below threshold; a
    crossing within the absolute refractory time is lost. Its phase counts as in the bottleneck, to which a turn goes on quickly.
    """
    me = S.loops[d]
    my = P.loops[d]
    s = me.q + (me.psi - me.lag - me.leak) / my.beta
    if s - pushed < rearm_level(my.threshold, my.quantum):
        me.armed = 1
    if me.armed == 0 or s < my.threshold:
        return False
    if now < me.ready_fs:
        me.armed = 0
        return False
    return True


def spike(P: Any, S: Any, L: Any, d: int, now: int) -> None:
    """Soma ``d`` fires: light is sent out, its loop is emptied if it is to be."""
    me = S.loops[d]
    my = P.loops[d]
    row = L.used[N_SPIKES]
    L.spike_fs[row] = now
    L.spike_neuron[row] = my.neuron
    L.used[N_SPIKES] = row + 1
    sender = P.neurons[my.neuron]
    if sender.guide_stop > sender.guide_start:
        row = L.used[N_SENT]
        L.sent_fs[row] = now
        L.sent_neuron[row] = my.neuron
        L.sent_ordinal[row] = S.spikes[my.neuron]
        L.used[N_SENT] = row + 1
    S.spikes[my.neuron] += 1
    L.counts[SPIKES] += 1
    me.armed = 0
    me.ready_fs = now + my.t_ref_fs
    if my.purge == 1:
        me.purge_loss += 0.5 * my.beta * me.q * me.q
        me.q = 0.0
        if my.enter_stop > my.enter_start:
            for m in range(my.mode_start, my.mode_stop):
                if P.mode_arm[m] == 2:
                    S.amplitude[m] = 0.0
        me.leak = 0.0
        me.psi = 0.0
        me.late = 0.0
        me.lag = 0.0
        me.z = 0.0
        me.theta = 0.0
        me.rate = 0.0
        me.curve = 0.0
        me.err = 0.0
        me.mode = HELD


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


def photon_arrives(P: Any, S: Any, L: Any, k: int, now: int, drawn: int, seed: int) -> int:
    """A photon enters detector ``k``: what becomes of it, counted and logged. Arguments and result as of :func:`photon_fate`."""
    fate = photon_fate(P, S, k, now, drawn, seed)
    L.counts[PHOTONS_IN] += 1
    if L.want_photons[k] == 1:
        row = L.used[N_PHOTONS]
        L.photon_fs[row] = now
        L.photon_detector[row] = k
        L.photon_fate[row] = fate
        L.photon_key[row] = L.key[0]
        L.used[N_PHOTONS] = row + 1
    if fate == IN_HOTSPOT:
        L.counts[LOST_HOTSPOT] += 1
    elif fate == IN_DEAD_TIME:
        L.counts[LOST_DEAD] += 1
    elif fate == MISSED:
        L.counts[LOST_EFFICIENCY] += 1
    else:
        L.counts[DETECTIONS] += 1
    return fate


def hot_until(P: Any, S: Any, k: int) -> int:
    """When the present hotspot of detector ``k`` ends, fs."""
    return S.detectors[k].seen_fs + P.detectors[k].hotspot_fs


def enlist(P: Any, S: Any, W: Any, k: int) -> None:
    """Put detector ``k``, whose hotspot has begun, into its set's list of ends, in the order of (end, k)."""
    group = P.detectors[k].group
    ends = hot_until(P, S, k)
    last = -1
    j = W.sets[group].hot_first
    while j >= 0:
        other = hot_until(P, S, j)
        if other > ends or (other == ends and j > k):
            break
        last = j
        j = W.hot_next[j]
    W.hot_next[k] = j
    if last < 0:
        W.sets[group].hot_first = k
    else:
        W.hot_next[last] = k


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


def kick(P: Any, S: Any, k: int, d: int) -> float:
    """The external flux of loop ``d`` changes: a pulse begins or a piecewise-linear drive has a corner; or quanta enter.

    Returns by how much the loop's current jumps.
    """
    change = P.kicks[k]
    me = S.loops[d]
    if change.kind == QUANTA:
        my = P.loops[d]
        if me.mode == HELD:
            return 0.0
        pushed = change.x * my.quantum
        me.leak_loss -= TWO_PI * change.x * (me.q + 0.5 * pushed)
        me.q += pushed
        for e in range(my.enter_start, my.enter_own):
            S.amplitude[P.enter_mode[e]] += change.x * P.enter_value[e]
        return pushed
    if change.kind == PULSE:
        S.amplitude[change.fall] += change.x
        S.amplitude[change.rise] -= change.x
    else:
        me.ext += change.x
        me.ext_slope += change.y
        if change.arm == 1:
            me.arm += change.x
            me.arm_slope += change.y
    return 0.0


def trace(P: Any, S: Any, L: Any, d: int, now: int) -> None:
    """Write down the state from which the loop's current and flux follow until its next row."""
    me = S.loops[d]
    my = P.loops[d]
    row = L.used[N_TRACES]
    L.trace_fs[row] = now
    L.trace_loop[row] = d
    L.trace_mode[row] = me.mode
    L.trace_key[row] = L.key[0]
    values = L.trace_values[row]
    values[T_Q] = me.q
    values[T_LEAK] = me.leak
    values[T_PSI] = me.psi
    values[T_THETA] = me.theta
    if my.flow == 1:
        values[T_RATE] = me.c1
        values[T_CURVE] = me.c2
        values[T_KAPPA] = me.c3
    else:
        values[T_RATE] = me.rate
        values[T_CURVE] = me.curve
        values[T_KAPPA] = 0.0
        if me.mode == RUN and me.rate > 0.0:
            values[T_KAPPA] = me.gain * me.u / me.rate
            if my.warm == 0:
                whole = TWO_PI / (TWO_PI - me.late - me.turn)
                values[T_THETA] = whole * (me.theta - me.turn)
                values[T_RATE] = whole * me.rate
                values[T_CURVE] = whole * me.curve
            else:
                whole, shown = shown_turn(me, P.sources.scale[my.row, 13])
                values[T_THETA] = TWO_PI + whole * (me.theta - me.turn)
                values[T_RATE] = whole * me.rate
                values[T_CURVE] = whole * me.curve
                values[T_KAPPA] = shown
    values[T_BASE] = me.steady
    values[T_EXT] = me.ext
    values[T_EXT_SLOPE] = me.ext_slope
    values[T_ARM] = me.arm
    values[T_ARM_SLOPE] = me.arm_slope
    values[T_IN0] = me.in0
    values[T_IN1] = me.in1
    values[T_IN2] = me.in2
    values[T_IN3] = me.in3
    values[T_LAG] = me.lag
    values[T_PHASE_OUT] = me.phase_out
    at = L.used[N_AMPLITUDES]
    for m in range(my.mode_start, my.mode_stop):
        L.trace_amplitude[at] = S.amplitude[m]
        at += 1
    L.used[N_AMPLITUDES] = at
    L.used[N_TRACES] = row + 1


def shown_turn(me: Any, below: float) -> tuple:
    """How the turn of a warm SQUID is drawn, which goes from where it is to 2 pi: (factor of its phase, rate in its middle)."""
    whole = TWO_PI
    if me.first == 1:
        whole = PI
    if me.turn > 1e-3:
        whole /= me.turn
    middle = me.u - below
    if middle < 1e-4:
        middle = 1e-4
    return whole, me.gain * middle / (whole * me.rate)
