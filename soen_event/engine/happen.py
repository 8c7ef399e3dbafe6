"""One event, for the compiled engine, with all that it does in its set of loops and what is learnt from it.

Names as in :mod:`soen_event.engine.events`.
"""

from __future__ import annotations

import math
from typing import Any

from soen_event.engine.events import (
    N_FLUXONS,
    enlist,
    event_key,
    fires,
    hot_until,
    hotspot_begins,
    hotspot_ends,
    kick,
    new_turn,
    photon_arrives,
    quantum_in,
    settle,
    spike,
    touch,
    wake,
)
from soen_event.engine.learn import DETECTION_HEARD, FLUXON_HEARD, SPIKE_HEARD, learn
from soen_event.engine.state import (
    DETECTED,
    EVENTS,
    FLUXONS,
    HOTSPOT_END,
    HOTSPOT_ENDS,
    KICK,
    KICKS,
    PHASE_SHIFT,
    PHOTON,
    PLACE_MASK,
    STEPS,
    TARGET_SHIFT,
    WAKES,
)
from soen_event.physics.loop import CROSS, FLUXON, RELEASE, SLEEP, SLIP, WAKE


def happen(
    P: Any,
    S: Any,
    W: Any,
    L: Any,
    tau_0: float,
    now: int,
    key: int,
    ordinal: int,
    drawn: int,
    seed: int,
) -> None:
    """One event, with all that it does in the connected set of loops to which it belongs.

    ``key``: its phase and target: a detector for HOTSPOT_END and PHOTON, a loop for KICK and LOOP. ``ordinal``: of a kick.
    """
    phase = key >> PHASE_SHIFT
    target = (key >> TARGET_SHIFT) & PLACE_MASK
    L.key[0] = key
    L.counts[EVENTS] += 1
    if now > L.latest[0]:
        L.latest[0] = now
    detected = -1
    fluxon = -1
    spiked = -1
    while True:
        d = target
        if phase == PHOTON:
            fate = photon_arrives(P, S, L, target, now, drawn, seed)
            if fate != DETECTED:
                break
            d = P.detectors[target].loop
        elif phase == HOTSPOT_END:
            L.counts[HOTSPOT_ENDS] += 1
            d = P.detectors[target].loop
            W.sets[P.detectors[target].group].hot_first = W.hot_next[target]
        elif phase == KICK:
            L.counts[KICKS] += 1
        touch(P, S, L, tau_0, d, now)
        undisturbed = 0
        pushed = 0.0
        quanta = 1.0
        again = -1
        if phase == PHOTON:
            if detected < 0 and spiked < 0:
                detected = target
            hotspot_begins(P, S, target, d, now)
            enlist(P, S, W, target)
        elif phase == HOTSPOT_END:
            hotspot_ends(P, S, target, d, now)
        elif phase == KICK:
            pushed = kick(P, S, ordinal, d)
            quanta = P.kicks[ordinal].x
            crosses = P.loops[d].flow == 0 or S.loops[d].mode == SLEEP  # one that flows looks for it in its step
            if pushed > 0.0 and P.loops[d].neuron >= 0 and crosses and fires(P, S, d, now, pushed):
                held = S.loops[d].q
                spiked = P.loops[d].neuron
                spike(P, S, L, d, now)
                pushed += S.loops[d].q - held
                again = P.neurons[P.loops[d].neuron].refractory_detector
        else:
            my = P.loops[d]
            kind = S.loops[d].next_kind
            if kind != RELEASE:
                undisturbed = 1
            if kind == FLUXON or kind == SLIP:
                quantum_in(P, S, d, seed)
                L.counts[FLUXONS] += 1
                if L.want_fluxons[d] == 1:
                    row = L.used[N_FLUXONS]
                    L.fluxon_fs[row] = now
                    L.fluxon_loop[row] = d
                    L.used[N_FLUXONS] = row + 1
                pushed = my.quantum
                fluxon = d
                if my.neuron >= 0 and fires(P, S, d, now, pushed):
                    held = S.loops[d].q
                    spiked = my.neuron
                    spike(P, S, L, d, now)
                    pushed += S.loops[d].q - held  # what a purge empties is missed wherever it was coupled
                    again = P.neurons[my.neuron].refractory_detector
            elif kind == CROSS:
                if now < S.loops[d].ready_fs:
                    S.loops[d].armed = 0
                else:
                    spiked = P.loops[d].neuron
                    spike(P, S, L, d, now)
                    again = P.neurons[my.neuron].refractory_detector
                L.counts[STEPS] += 1
            elif kind == WAKE:
                wake(P, S, tau_0, d)
                L.counts[WAKES] += 1
            elif kind == RELEASE:
                S.loops[d].mode = SLEEP
                S.loops[d].z = 0.0
            else:
                L.counts[STEPS] += 1
        settle(P, S, W, L, tau_0, d, now, undisturbed, pushed, quanta, 0)
        if again < 0:
            break
        # A soma's own spike hits its refractory detector at once.
        phase = PHOTON
        target = again
        drawn = 0
    if detected >= 0 and P.detectors[detected].site >= 0:
        site = P.detectors[detected].site
        learn(P, S, W, L, tau_0, site, site + 1, DETECTION_HEARD, now, seed)
    if fluxon >= 0 and P.loops[fluxon].hears_stop > P.loops[fluxon].hears_start:
        my = P.loops[fluxon]
        learn(P, S, W, L, tau_0, my.hears_start, my.hears_stop, FLUXON_HEARD, now, seed)
    if spiked >= 0 and P.neurons[spiked].site_stop > P.neurons[spiked].site_start:
        sender = P.neurons[spiked]
        learn(P, S, W, L, tau_0, sender.site_start, sender.site_stop, SPIKE_HEARD, now, seed)


def first_of_set(P: Any, S: Any, W: Any, g: int) -> tuple:
    """The first own event of set ``g``, hotspot end or loop: (fs, key)."""
    d = W.queue[W.sets[g].start]
    fs = S.next_fs[d]
    key = event_key(3, d, 0)
    k = W.sets[g].hot_first
    if k >= 0:
        ends = hot_until(P, S, k)
        if ends <= fs:
            return ends, event_key(1, k, 0)
    return fs, key


def begin(P: Any, S: Any, W: Any, L: Any, tau_0: float, seed: int) -> None:
    """Plan every loop's first event at time 0."""
    for d in range(P.loops.shape[0]):
        if P.loops[d].warm == 1:
            new_turn(S.loops[d], P.loops[d], seed)
        settle(P, S, W, L, tau_0, d, 0, 0, 0.0, 0.0, 0)
    for d in range(P.loops.shape[0]):
        me = S.loops[d]
        if me.mode == SLEEP and me.u < 0.0:
            me.z = -math.sqrt(-me.gain * me.u)  # at rest for ever
