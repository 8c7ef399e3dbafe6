"""The junction equations of whole networks, step by step: plain functions that Numba compiles.

Every loop is integrated with its Josephson junctions (the RCSJ model) by the fourth-order Runge-Kutta method, all loops together;
detectors, light and drives are those of the event engine (:mod:`soen_event.engine.events`), so what differs is the SQUID alone. In
units of I_c, tau_0 and rad (dots are d/dtau), with s the current of a loop and ``v = d'``:

RI (circuit.md 2, physics.md 2.2), junctions 1 and 2, flux phi and bias ib::

    i_1 = (beta_2 (ib - s) - (d_1 - d_2) + 2 pi phi)/(beta_1 + beta_2)        i_2 = ib - s - i_1
    rhs = (beta_2 v_1 + beta_1 v_2)/(beta_1 + beta_2) + feed - alpha s

RTTI (physics.md 2.5): the node above both arms also feeds a transmission line of two junctions, 3 and 4, over beta_3 and beta_4, with
biases ib, 0.35 and 0.70; junction 4 fills the loop::

    theta = ((d_1 - 2 pi phi)/beta_1 + d_2/beta_2 + d_3/beta_3 + ib)/(1/beta_1 + 1/beta_2 + 1/beta_3)
    i_1 = (theta - d_1 + 2 pi phi)/beta_1    i_2 = (theta - d_2)/beta_2    i_3 = (theta - d_3)/beta_3 - i_34 + 0.35
    i_34 = (d_3 - d_4)/beta_4                i_4 = i_34 + 0.70 - s         rhs = v_4 - alpha s

and for all of them ``beta_c v' + v + sin d = i (+ noise)`` and ``s' = (B^-1) rhs``, B the inductance matrix. ``feed`` is
2 pi beta_1/(beta_1 + beta_2) times the rate of the flux that threads one arm only, that of junction 2.

A collection loop couples to that arm, and by reciprocity the arm's current i_2 to the loops that feed it: rhs of a source has the term
``-2 pi J i_2'``. Where i_2' contains s', it belongs to B (:func:`hardware.circuit._response`); the rest is
``(v_1 - v_2 - 2 pi phi')/(beta_1 + beta_2)`` with phi' of detectors and drives.

Noise at a temperature T (circuit.md 6): every junction's shunt adds a white current of spectral density 2 Gamma, the loop's resistor a
white voltage of density 2 Gamma alpha, Gamma = 2 pi k T/(I_c Phi0). Both are constant over a step, of variance density/step.

Names: ``P``, ``S``, ``L`` as in :mod:`soen_event.engine.events`; ``C`` the :class:`Wires`, ``Y`` the :class:`Motion`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from soen_event.engine.events import (
    N_FLUXONS,
    N_PHOTONS,
    N_SENT,
    N_SPIKES,
    event_key,
    hot_until,
    hotspot_begins,
    hotspot_ends,
    kick,
    photon_arrives,
    rearm_level,
    spike,
)
from soen_event.engine.queue import earlier
from soen_event.engine.state import (
    DETECTED,
    HEAP_SIZE,
    HOTSPOT_ENDS,
    KICKS,
    NEXT_KICK,
    NEXT_PHOTON,
    NOW,
    PHOTON,
    PLACE_MASK,
    STEPS,
    TARGET_SHIFT,
)
from soen_event.engine.state import FLUXONS as FLUXON_COUNT
from soen_event.engine.windows import arrive, send_off
from soen_event.physics.elementary import exp
from soen_event.physics.loop import HELD, RUN
from soen_event.physics.random import THERMAL, block, normal_quantile
from soen_event.physics.rtti import Line
from soen_event.physics.squid import TWO_PI
from soen_event.plan import PULSE, QUANTA

RI, RTTI = 0, 1
REACHED, LOG_FULL, HEAP_FULL, SPIKED = range(4)
# Of an RTTI dendrite's transmission line (physics.md 2.5): biases of its two junctions; beta_3, which is beta_4 too.
IB2, IB3, BETA_LINE = Line().ib_2, Line().ib_3, Line().beta_3


class Wires(NamedTuple):
    """What of a circuit a Plan's records do not say. n loops, j junctions."""

    kind: np.ndarray  # (n,) RI or RTTI
    first: np.ndarray  # (n + 1,) junctions of a loop
    beta_1: np.ndarray  # (n,)
    beta_2: np.ndarray
    alpha: np.ndarray
    in_start: np.ndarray  # (n + 1,) couplings by target
    in_loop: np.ndarray  # their source
    in_coupling: np.ndarray  # their place in State.out_J
    in_arm: np.ndarray  # 1: through a collection loop to one arm of an RI target
    own_start: np.ndarray  # (n + 1,) modes of detectors and drives; those that stand for couplings are left out
    own_mode: np.ndarray
    back_start: np.ndarray  # (n + 1,) rows of B^-1: s' of loop n is the sum of value times rhs of loop
    back_loop: np.ndarray
    back_value: np.ndarray
    key: np.ndarray  # (n,) address of the noise
    constants: np.ndarray  # tau_0 (ns), beta_c, Gamma, share of the biases that is on


class Motion(NamedTuple):
    """What moves, and room to work in."""

    d: np.ndarray  # (j,) phases
    v: np.ndarray  # (j,) their rates
    s: np.ndarray  # (n,)
    turn: np.ndarray  # (n,) whole turns so far
    d_rest: np.ndarray  # (j,) phases at rest, to which a purged soma is put back
    flux: np.ndarray  # (3, n) outer flux at the beginning, in the middle and at the end of a step
    feed: np.ndarray  # (3, n) what flux that threads one arm adds to rhs
    change: np.ndarray  # (3, n) rate of the outer flux, Phi0/tau_0
    half: np.ndarray  # decay of every mode in own_mode over half a step
    d_mid: np.ndarray  # arguments of a stage
    v_mid: np.ndarray
    s_mid: np.ndarray
    a: np.ndarray  # (j,) accelerations, and the sums of all stages
    rhs: np.ndarray  # (n,)
    slope: np.ndarray  # (n,)
    d_sum: np.ndarray
    v_sum: np.ndarray
    s_sum: np.ndarray
    kicks: np.ndarray  # (j,) noise currents of a step
    volts: np.ndarray  # (n,) noise voltages
    hot: np.ndarray  # (m,) detectors with a hotspot, and how many
    n_hot: np.ndarray
    sample_fs: np.ndarray  # (2,) when the next sample is due, and how far they lie apart
    n_samples: np.ndarray  # (1,)
    samples: np.ndarray  # (rows, watched, 2): current and flux
    watched: np.ndarray


def slopes(C: Any, Y: Any, P: Any, S: Any, stage: int, d: Any, v: Any, s: Any) -> None:
    """Accelerations of all junctions and s' of all loops, for phases ``d``, rates ``v`` and currents ``s``."""
    beta_c = C.constants[1]
    on = C.constants[3]
    n = C.kind.shape[0]
    for k in range(n):
        j = C.first[k]
        if S.loops[k].mode == HELD:
            Y.rhs[k] = 0.0
            for m in range(j, C.first[k + 1]):
                Y.a[m] = 0.0
            continue
        phi = Y.flux[stage, k]
        for c in range(C.in_start[k], C.in_start[k + 1]):
            phi += S.out_J[C.in_coupling[c]] * s[C.in_loop[c]]
        b1 = C.beta_1[k]
        b2 = C.beta_2[k]
        now = s[k]
        ib = on * P.loops[k].ib
        if C.kind[k] == RI:
            i = ib - now
            i1 = (b2 * i - d[j] + d[j + 1] + TWO_PI * phi) / (b1 + b2)
            Y.a[j] = (i1 - v[j] - math.sin(d[j]) + Y.kicks[j]) / beta_c
            Y.a[j + 1] = (i - i1 - v[j + 1] - math.sin(d[j + 1]) + Y.kicks[j + 1]) / beta_c
            moved = (b2 * v[j] + b1 * v[j + 1]) / (b1 + b2)
        else:
            flux = TWO_PI * phi
            theta = (d[j] - flux) / b1 + d[j + 1] / b2 + d[j + 2] / BETA_LINE + ib
            theta /= 1.0 / b1 + 1.0 / b2 + 1.0 / BETA_LINE
            line = (d[j + 2] - d[j + 3]) / BETA_LINE
            Y.a[j] = ((theta - d[j] + flux) / b1 - v[j] - math.sin(d[j]) + Y.kicks[j]) / beta_c
            Y.a[j + 1] = ((theta - d[j + 1]) / b2 - v[j + 1] - math.sin(d[j + 1]) + Y.kicks[j + 1]) / beta_c
            i3 = (theta - d[j + 2]) / BETA_LINE - line + on * IB2
            Y.a[j + 2] = (i3 - v[j + 2] - math.sin(d[j + 2]) + Y.kicks[j + 2]) / beta_c
            Y.a[j + 3] = (line + on * IB3 - now - v[j + 3] - math.sin(d[j + 3]) + Y.kicks[j + 3]) / beta_c
            moved = v[j + 3]
        Y.rhs[k] = moved + Y.feed[stage, k] - C.alpha[k] * now + Y.volts[k]
    for k in range(n):
        j = C.first[k]
        for c in range(C.in_start[k], C.in_start[k + 1]):
            if C.in_arm[c] == 1:
                back = (v[j] - v[j + 1] - TWO_PI * Y.change[stage, k]) / (C.beta_1[k] + C.beta_2[k])
                Y.rhs[C.in_loop[c]] -= TWO_PI * S.out_J[C.in_coupling[c]] * back
    for k in range(n):
        total = 0.0
        for c in range(C.back_start[k], C.back_start[k + 1]):
            total += C.back_value[c] * Y.rhs[C.back_loop[c]]
        if S.loops[k].mode == HELD:
            total = 0.0
        Y.slope[k] = total


def outer_flux(C: Any, Y: Any, P: Any, S: Any, stage: int, ns: float) -> None:
    """Flux of detectors and drives now, ``ns`` after the beginning of the step (for ramps)."""
    tau_0 = C.constants[0]
    for k in range(C.kind.shape[0]):
        me = S.loops[k]
        phi = me.steady + me.ext + me.ext_slope * ns
        rate = me.arm_slope
        change = me.ext_slope
        for c in range(C.own_start[k], C.own_start[k + 1]):
            m = C.own_mode[c]
            value = S.amplitude[m]
            phi += value
            change -= value / P.mode_tau[m]
            if P.mode_arm[m] == 1:
                rate -= value / P.mode_tau[m]
        Y.flux[stage, k] = phi
        Y.change[stage, k] = change * tau_0
        Y.feed[stage, k] = 0.0
        if C.kind[k] == RI:
            Y.feed[stage, k] = TWO_PI * C.beta_1[k] / (C.beta_1[k] + C.beta_2[k]) * rate * tau_0


def mean_phase(C: Any, k: int, d: Any) -> float:
    """The phase of loop ``k`` whose turns are fluxons."""
    j = C.first[k]
    if C.kind[k] == RI:
        b1 = C.beta_1[k]
        b2 = C.beta_2[k]
        return (b2 * d[j] + b1 * d[j + 1]) / (b1 + b2)
    return d[j + 3]


def shake(C: Any, Y: Any, fs: int, h: float, seed: int) -> None:
    """Draw the noise of the step that begins at ``fs`` and is ``h`` tau_0 long. One address a loop and step, two normals a block."""
    gamma = C.constants[2]
    if gamma == 0.0:
        return
    current = math.sqrt(2.0 * gamma / h)
    for k in range(C.kind.shape[0]):
        begin = C.first[k]
        number = C.first[k + 1] - begin
        draw = 0
        spare = 0.0
        for m in range(number + 1):
            if m % 2 == 0:
                w0, w1, w2, w3 = block(seed, C.key[k], fs, THERMAL, draw)
                draw += 1
                z = normal_quantile((float((w0 << 20) | (w1 >> 12)) + 0.5) * 2.220446049250313e-16)
                spare = (float((w2 << 20) | (w3 >> 12)) + 0.5) * 2.220446049250313e-16
            else:
                z = normal_quantile(spare)
            if m < number:
                Y.kicks[begin + m] = current * z
            else:
                Y.volts[k] = current * math.sqrt(C.alpha[k]) * z


def one_step(C: Any, Y: Any, P: Any, S: Any, fs: int, length_fs: int, seed: int) -> None:
    """One Runge-Kutta step of all loops. ``Y.half`` holds the modes' decay over half of it."""
    ns = length_fs * 1.0e-6
    h = ns / C.constants[0]
    outer_flux(C, Y, P, S, 0, 0.0)
    for m in range(Y.half.shape[0]):
        S.amplitude[C.own_mode[m]] *= Y.half[m]
    outer_flux(C, Y, P, S, 1, 0.5 * ns)
    for m in range(Y.half.shape[0]):
        S.amplitude[C.own_mode[m]] *= Y.half[m]
    outer_flux(C, Y, P, S, 2, ns)
    shake(C, Y, fs, h, seed)
    junctions = Y.d.shape[0]
    n = Y.s.shape[0]
    slopes(C, Y, P, S, 0, Y.d, Y.v, Y.s)
    for stage in range(4):
        part = 0.5 * h
        weight = 2.0
        if stage == 2:
            part = h
        if stage == 0 or stage == 3:
            weight = 1.0
        for m in range(junctions):
            velocity = Y.v_mid[m]
            if stage == 0:
                velocity = Y.v[m]
                Y.d_sum[m] = 0.0
                Y.v_sum[m] = 0.0
            Y.d_sum[m] += weight * velocity
            Y.v_sum[m] += weight * Y.a[m]
            Y.d_mid[m] = Y.d[m] + part * velocity
            Y.v_mid[m] = Y.v[m] + part * Y.a[m]
        for k in range(n):
            if stage == 0:
                Y.s_sum[k] = 0.0
            Y.s_sum[k] += weight * Y.slope[k]
            Y.s_mid[k] = Y.s[k] + part * Y.slope[k]
        if stage == 0 or stage == 1:
            slopes(C, Y, P, S, 1, Y.d_mid, Y.v_mid, Y.s_mid)
        elif stage == 2:
            slopes(C, Y, P, S, 2, Y.d_mid, Y.v_mid, Y.s_mid)
    for m in range(junctions):
        Y.d[m] += h / 6.0 * Y.d_sum[m]
        Y.v[m] += h / 6.0 * Y.v_sum[m]
    for k in range(n):
        Y.s[k] += h / 6.0 * Y.s_sum[k]
        me = S.loops[k]
        if me.ext_slope != 0.0:
            me.ext += me.ext_slope * ns
            me.arm += me.arm_slope * ns


def set_half(C: Any, P: Any, Y: Any, length_fs: int) -> None:
    """Prepare ``Y.half`` for steps of a length."""
    for m in range(Y.half.shape[0]):
        Y.half[m] = exp(-0.5e-6 * length_fs / P.mode_tau[C.own_mode[m]])


def sample(C: Any, Y: Any, P: Any, S: Any) -> None:
    """Write down currents and fluxes of the watched loops."""
    row = Y.n_samples[0]
    outer_flux(C, Y, P, S, 0, 0.0)
    for w in range(Y.watched.shape[0]):
        k = Y.watched[w]
        phi = Y.flux[0, k]
        for c in range(C.in_start[k], C.in_start[k + 1]):
            phi += S.out_J[C.in_coupling[c]] * Y.s[C.in_loop[c]]
        Y.samples[row, w, 0] = Y.s[k]
        Y.samples[row, w, 1] = phi
    Y.n_samples[0] = row + 1
    Y.sample_fs[0] += Y.sample_fs[1]


def march(C: Any, Y: Any, P: Any, S: Any, L: Any, fs: int, until: int, step_fs: int, seed: int) -> int:
    """Integrate from ``fs`` to ``until``, or to the end of the step in which a soma reaches its threshold. Returns where it stopped.

    Fluxons are logged; a soma that spikes gets ``next_kind`` 1 and its time in ``next_fs``. Stops early if the log is full.
    """
    set_half(C, P, Y, step_fs)
    while fs < until:
        if L.used[N_FLUXONS] + 2 * Y.s.shape[0] > L.fluxon_fs.shape[0]:
            return fs
        length = step_fs
        if until - fs < step_fs:
            length = until - fs
            set_half(C, P, Y, length)
        for k in range(Y.s.shape[0]):
            S.loops[k].u = mean_phase(C, k, Y.d)
            S.loops[k].q = Y.s[k]
        one_step(C, Y, P, S, fs, length, seed)
        L.counts[STEPS] += 1
        stop = False
        for k in range(Y.s.shape[0]):
            me = S.loops[k]
            if me.mode == HELD:
                continue
            before = me.u
            after = mean_phase(C, k, Y.d)
            turn = math.floor((after + math.pi) / TWO_PI)
            if turn > Y.turn[k]:
                share = (TWO_PI * turn - math.pi - before) / (after - before)
                Y.turn[k] = turn
                me.fluxons += 1
                L.counts[FLUXON_COUNT] += 1
                if L.want_fluxons[k] == 1:
                    row = L.used[N_FLUXONS]
                    L.fluxon_fs[row] = fs + int(share * length + 0.5)
                    L.fluxon_loop[row] = k
                    L.used[N_FLUXONS] = row + 1
            elif after < TWO_PI * Y.turn[k] - TWO_PI - math.pi:
                Y.turn[k] -= 1  # a quantum has left the loop
                me.fluxons -= 1
            my = P.loops[k]
            if my.neuron >= 0:
                if Y.s[k] < rearm_level(my.threshold, my.quantum):
                    me.armed = 1
                if me.armed == 1 and Y.s[k] >= my.threshold:
                    share = 1.0
                    if Y.s[k] > me.q and me.q < my.threshold:
                        share = (my.threshold - me.q) / (Y.s[k] - me.q)
                    me.next_kind = 1
                    S.next_fs[k] = fs + int(share * length + 0.5)
                    stop = True
        fs += length
        if stop:
            return fs
    return fs


def photon(Y: Any, P: Any, S: Any, L: Any, k: int, now: int, drawn: int, seed: int) -> None:
    """A photon arrives at detector ``k``."""
    if photon_arrives(P, S, L, k, now, drawn, seed) == DETECTED:
        hotspot_begins(P, S, k, P.detectors[k].loop, now)
        Y.hot[Y.n_hot[0]] = k
        Y.n_hot[0] += 1


def fire(C: Any, Y: Any, P: Any, S: Any, L: Any, k: int, now: int, seed: int) -> None:
    """Soma ``k`` has reached its threshold at ``S.next_fs``; ``now`` is the end of that step."""
    me = S.loops[k]
    me.next_kind = 0
    at = S.next_fs[k]
    if at < me.ready_fs:
        me.armed = 0
        return
    spike(P, S, L, k, at)
    if me.mode == HELD:
        j = C.first[k]
        arms = Y.d_rest[j] - Y.d_rest[j + 1] - Y.d[j] + Y.d[j + 1]
        Y.s[k] = 0.0
        for m in range(j, C.first[k + 1]):
            Y.d[m] = Y.d_rest[m]
            Y.v[m] = 0.0
        Y.turn[k] = 0
        throw(C, Y, S, k, 0.0, arms)
    again = P.neurons[P.loops[k].neuron].refractory_detector
    if again >= 0:
        photon(Y, P, S, L, again, now, 0, seed)


def jump(C: Any, Y: Any, P: Any, S: Any, which: int) -> None:
    """Flux that jumps throws currents into loops at once, junction phases do not jump; or quanta enter a loop."""
    change = P.kicks[which]
    k = change.loop
    if change.kind == QUANTA:
        if S.loops[k].mode != HELD:
            throw(C, Y, S, k, TWO_PI * change.x, 0.0)
    elif change.kind != PULSE and change.x != 0.0 and C.kind[k] == RI:
        own = 0.0
        if change.arm == 1:
            own = TWO_PI * C.beta_1[k] / (C.beta_1[k] + C.beta_2[k]) * change.x
        throw(C, Y, S, k, own, -TWO_PI * change.x)


def throw(C: Any, Y: Any, S: Any, k: int, own: float, arms: float) -> None:
    """The phase across loop ``k`` jumps by ``own`` and what drives current round its SQUID's arms by ``arms``, rad.

    The terms of both in ``rhs``, integrated over the jump: the arm's current throws currents into the loops that feed it.
    """
    n = C.kind.shape[0]
    for m in range(n):
        Y.rhs[m] = 0.0
    Y.rhs[k] = own
    back = arms / (C.beta_1[k] + C.beta_2[k])
    for c in range(C.in_start[k], C.in_start[k + 1]):
        if C.in_arm[c] == 1:
            Y.rhs[C.in_loop[c]] -= TWO_PI * S.out_J[C.in_coupling[c]] * back
    for m in range(n):
        if S.loops[m].mode != HELD:
            for c in range(C.back_start[m], C.back_start[m + 1]):
                Y.s[m] += C.back_value[c] * Y.rhs[C.back_loop[c]]


def run(
    P: Any,
    S: Any,
    L: Any,
    C: Any,
    Y: Any,
    photon_fs: Any,
    photon_detector: Any,
    until: int,
    step_fs: int,
    seed: int,
) -> int:
    """Everything up to and including ``until``: REACHED; or LOG_FULL, HEAP_FULL: empty the log, enlarge the heap, call again."""
    n_photons = photon_fs.shape[0]
    n_kicks = P.kicks.shape[0]
    n = Y.s.shape[0]
    while True:
        now = S.cursor[NOW]
        if (
            L.used[N_FLUXONS] + 4 * n > L.fluxon_fs.shape[0]
            or L.used[N_SPIKES] + 2 * n > L.spike_fs.shape[0]
            or L.used[N_PHOTONS] + 2 * n > L.photon_fs.shape[0]
            or L.used[N_SENT] + 2 * n > L.sent_fs.shape[0]
            or Y.n_samples[0] + 1 > Y.samples.shape[0]
        ):
            return LOG_FULL
        if send_off(P, S, L.used, L.sent_fs, L.sent_neuron, L.sent_ordinal) != 0:
            return HEAP_FULL
        if S.cursor[HEAP_SIZE] + 2 > S.heap_fs.shape[0]:
            return HEAP_FULL
        # What comes first: a kick, the end of a hotspot, a photon, the end of a soma's refractory time, a sample.
        first = until
        what = 0
        which = 0
        key = 0
        if Y.sample_fs[0] <= first:
            first = Y.sample_fs[0]
            what = 5
        for k in range(n):
            if S.loops[k].mode == HELD and S.loops[k].ready_fs < first:
                first = S.loops[k].ready_fs
                what = 4
                which = k
        if S.cursor[HEAP_SIZE] > 0 and S.heap_fs[0] <= first:
            first = S.heap_fs[0]
            key = S.heap_key[0]
            what = 3
        c = S.cursor[NEXT_PHOTON]
        if c < n_photons and photon_fs[c] <= first:
            other = event_key(PHOTON, photon_detector[c], 0)
            if what != 3 or earlier(photon_fs[c], other, c, first, key, 0):
                first = photon_fs[c]
                what = 2
                which = c
        for j in range(Y.n_hot[0]):
            cold = hot_until(P, S, Y.hot[j])
            if cold < first or (cold == first and what != 1):
                first = cold
                what = 1
                which = j
        c = S.cursor[NEXT_KICK]
        if c < n_kicks and P.kicks[c].fs <= first:
            first = P.kicks[c].fs
            what = 6
            which = c
        if first > now:
            reached = march(C, Y, P, S, L, now, first, step_fs, seed)
            S.cursor[NOW] = reached
            if reached < first or what == 0:
                fired = False
                for k in range(n):
                    if S.loops[k].next_kind == 1:
                        fire(C, Y, P, S, L, k, reached, seed)
                        fired = True
                if reached < first or fired:
                    continue
            else:
                for k in range(n):
                    if S.loops[k].next_kind == 1:
                        fire(C, Y, P, S, L, k, reached, seed)
        now = S.cursor[NOW]
        if what == 0:
            return REACHED
        if what == 1:
            d = Y.hot[which]
            Y.hot[which] = Y.hot[Y.n_hot[0] - 1]
            Y.n_hot[0] -= 1
            hotspot_ends(P, S, d, P.detectors[d].loop, now)
            L.counts[HOTSPOT_ENDS] += 1
        elif what == 2:
            S.cursor[NEXT_PHOTON] += 1
            photon(Y, P, S, L, photon_detector[which], now, 0, seed)
        elif what == 3:
            drawn = arrive(P, S, seed)
            if drawn > 0:
                photon(Y, P, S, L, (key >> TARGET_SHIFT) & PLACE_MASK, now, drawn - 1, seed)
        elif what == 4:
            S.loops[which].mode = RUN
        elif what == 5:
            sample(C, Y, P, S)
        else:
            S.cursor[NEXT_KICK] += 1
            kick(P, S, which, P.kicks[which].loop)
            jump(C, Y, P, S, which)
            L.counts[KICKS] += 1


def settle(C: Any, Y: Any, P: Any, S: Any) -> None:
    """Put all junctions at rest, with their biases on and no current in any loop: biases are ramped up, then friction does the rest."""
    h = 0.04
    n = Y.s.shape[0]
    outer_flux(C, Y, P, S, 0, 0.0)
    ramp = 200.0
    for j in range(int(1000.0 / h)):
        C.constants[3] = min(j * h / ramp, 1.0)
        slopes(C, Y, P, S, 0, Y.d, Y.v, Y.s)
        for m in range(Y.d.shape[0]):
            Y.v[m] += h * Y.a[m]
            Y.d[m] += h * Y.v[m]
    for k in range(n):
        turns = math.floor((mean_phase(C, k, Y.d) + math.pi) / TWO_PI)
        for m in range(C.first[k], C.first[k + 1]):
            Y.d[m] -= TWO_PI * turns
            Y.d_rest[m] = Y.d[m]
            Y.v[m] = 0.0
        Y.turn[k] = 0
