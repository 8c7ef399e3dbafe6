"""What rules of learning do in the compiled engine: sites hear an event, and what they ask for is carried out.

A *site* is where a rule changes something: the weight of a synapse, the flux offset of a loop, the strength of a coupling. Its
variables decay by themselves, each with its own time constant, and are brought to the present only when the site hears something. So
a rule costs something for every event that it hears, and nothing in between.

One event is heard in three passes: each site's rule says what it wants; sums over a neuron's sites are bounded; what has changed is
put into the loops, which then settle together. Names as in :mod:`soen_event.engine.events`; ``i`` is a site.
"""

from __future__ import annotations

import math
from typing import Any

from soen_event.engine.events import N_WRITES, settle, touch
from soen_event.engine.fetch import invoke
from soen_event.engine.state import (
    AREAS,
    AT_COUPLING,
    AT_OFFSET,
    AT_WEIGHT,
    CURRENTS,
    PARENT,
    R_BEGINS,
    R_CLIP,
    R_ENDS,
    R_RATE,
    V_ASKED,
    V_CHANGE,
    V_CURRENT,
    V_CURRENT_AREA,
    V_FLUX_AREA,
    V_HIDDEN,
    V_LOST,
    V_MOVED,
    V_NOW,
    V_PARENT_AREA,
    V_POST_CURRENT,
    V_SIGNAL,
    V_WEIGHT,
    V_WRITES,
)
from soen_event.physics.detector import flux_after, flux_in_hotspot
from soen_event.physics.elementary import exp
from soen_event.physics.flow import cubic
from soen_event.physics.loop import HELD, RUN
from soen_event.physics.random import PLASTICITY, uniform
from soen_event.physics.storage import HIDDEN, STOCHASTIC, level_below, stored

DETECTION_HEARD, SPIKE_HEARD, FLUXON_HEARD = range(3)
MOST = 1.0e300  # of a change; what is no number is a rule's fault and told (NaN in the log)


def current_at(P: Any, S: Any, d: int, now: int) -> float:
    """Current of loop ``d`` at ``now``, which it need not have been brought to: of whole quanta where they are events."""
    me = S.loops[d]
    my = P.loops[d]
    dt = (now - me.since) * 1.0e-6
    if me.mode == HELD or dt <= 0.0:
        return me.q
    if my.flow == 1:
        if me.mode == RUN:
            return cubic(me.q, me.c1, me.c2, me.c3, dt)
    elif my.enter_stop > my.enter_start:
        current = 0.0
        for m in range(my.mode_start, my.mode_stop):
            if P.mode_arm[m] == 2:
                current += S.amplitude[m] * exp(-dt / P.mode_tau[m])
        return current
    return me.q * exp(-dt / my.tau)


def catch_up(P: Any, S: Any, i: int, now: int) -> None:
    """The variables of site ``i`` decay to ``now``."""
    site = P.sites[i]
    rule = P.rules[site.rule]
    dt = (now - S.site_fs[i]) * 1.0e-6
    S.site_fs[i] = now
    if dt <= 0.0:
        return
    at = site.start + V_LOST + 1
    for v in range(rule.decay_start, rule.decay_stop):
        which = P.decay[v]
        if which >= 0 and S.sites[at] != 0.0:
            S.sites[at] *= exp(-dt / S.rule_values[rule.start + which])
        at += 1


def ask(P: Any, S: Any, i: int, now: int, function: int, seed: int) -> bool:
    """Site ``i`` hears an event: its rule's ``function`` is called. True if it wants another value, then at V_CHANGE."""
    site = P.sites[i]
    rule = P.rules[site.rule]
    at = site.start
    catch_up(P, S, i, now)
    S.sites[at + V_CHANGE] = 0.0
    S.sites[at + V_NOW] = now * 1.0e-6
    if rule.reads & CURRENTS:
        S.sites[at + V_CURRENT] = current_at(P, S, site.loop, now)
        S.sites[at + V_POST_CURRENT] = current_at(P, S, site.post, now)
    if rule.reads & AREAS:
        S.sites[at + V_CURRENT_AREA] = S.loops[site.loop].current_area
        S.sites[at + V_FLUX_AREA] = S.loops[site.loop].flux_area
    if rule.reads & PARENT:
        S.sites[at + V_PARENT_AREA] = S.loops[site.parent].current_area
    value = S.sites[at + V_WEIGHT]
    invoke(function, S.sites, at, S.rule_values, rule.start)
    change = S.sites[at + V_CHANGE] * S.rule_values[rule.start + R_RATE]
    S.sites[at + V_WEIGHT] = value  # a rule reads it; what it asks for goes through the memory
    S.sites[at + V_CHANGE] = value
    ns = S.sites[at + V_NOW]
    if not abs(change) <= MOST:
        S.sites[at + V_CHANGE] = math.nan
        return True
    if change == 0.0 or ns < S.rule_values[rule.start + R_BEGINS] or ns >= S.rule_values[rule.start + R_ENDS]:
        return False
    clip = S.rule_values[rule.start + R_CLIP]
    if change > clip:
        change = clip
    if change < -clip:
        change = -clip
    draw = 0.0
    if site.rounding == STOCHASTIC:
        draw = uniform(seed, site.key, int(S.sites[at + V_ASKED]), PLASTICITY, 0)
    S.sites[at + V_ASKED] += 1.0
    before = S.sites[at + V_HIDDEN]
    new, hidden = stored(value, change, before, site.low, site.high, site.step, site.rounding, draw)
    S.sites[at + V_HIDDEN] = hidden
    if new == value:
        if site.rounding != HIDDEN or hidden == before:
            S.sites[at + V_LOST] += 1.0
        return False
    S.sites[at + V_CHANGE] = new
    return True


def within_norm(P: Any, S: Any, first: int, last: int, rule: int) -> None:
    """Scale what sites ``first`` to ``last`` of one rule are to hold down to the rule's norm, towards zero on levels."""
    squares = 0.0
    for i in range(first, last):
        wanted = S.sites[P.sites[i].start + V_CHANGE]
        if P.sites[i].rule == rule and wanted == wanted:
            squares += wanted * wanted
    norm = P.rules[rule].norm
    if squares <= norm * norm:
        return
    factor = norm / math.sqrt(squares)
    for i in range(first, last):
        site = P.sites[i]
        at = site.start
        if site.rule == rule and S.sites[at + V_CHANGE] == S.sites[at + V_CHANGE]:
            smaller = level_below(S.sites[at + V_CHANGE] * factor, site.low, site.step)
            if smaller < site.low:
                smaller = site.low
            if smaller > site.high:
                smaller = site.high
            S.sites[at + V_CHANGE] = smaller
            S.sites[at + V_HIDDEN] *= factor


def reweigh(P: Any, S: Any, k: int, weight: float, now: int) -> None:
    """Detector ``k`` gets another weight; the flux that it couples into its loop, which is at ``now``, changes with it at once."""
    it = S.detectors[k]
    its = P.detectors[k]
    more = weight - it.weight
    dt = (now - it.seen_fs) * 1.0e-6
    if it.in_hotspot == 1:
        f = flux_in_hotspot(it.flux, its.level, its.tau_rise, dt)
        S.amplitude[its.rise] += more * (f - its.level)
        S.loops[its.loop].steady += more * its.level
    else:
        S.amplitude[its.fall] += more * flux_after(it.flux, its.tau_fall, dt)
    it.weight = weight


def recouple(P: Any, S: Any, c: int, source: int, J: float) -> None:
    """Coupling ``c`` from loop ``source`` gets another strength; the flux of the current that is there changes with it at once."""
    me = S.loops[source]
    if me.awake == 0:  # else the target reads the current itself
        S.amplitude[P.out_mode[c]] += (J - S.out_J[c]) * (me.q + me.phase_out)
    S.out_J[c] = J


def put_in(P: Any, S: Any, W: Any, L: Any, tau_0: float, i: int, now: int, count: int) -> int:
    """Site ``i`` takes the value at V_CHANGE. Its loops are put on the list of those that have to look ahead; returns its length."""
    site = P.sites[i]
    at = site.start
    new = S.sites[at + V_CHANGE]
    old = S.sites[at + V_WEIGHT]
    if new == old:
        return count
    row = L.used[N_WRITES]
    L.write_fs[row] = now
    L.write_site[row] = i
    L.write_value[row] = new
    L.write_key[row] = L.key[0]
    L.used[N_WRITES] = row + 1
    if new != new:  # told by the row, and not put in
        S.sites[at + V_CHANGE] = old
        return count
    S.sites[at + V_WEIGHT] = new
    S.sites[at + V_WRITES] += 1.0
    S.sites[at + V_MOVED] += abs(new - old)
    touch(P, S, L, tau_0, site.loop, now)
    count = put_on_list(P, W, site.loop, count)
    if site.kind == AT_WEIGHT:
        reweigh(P, S, site.place, new * site.gain, now)
    elif site.kind == AT_OFFSET:
        S.loops[site.loop].ext += (new - old) * site.gain
    elif site.kind == AT_COUPLING:
        target = P.out_loop[site.place]
        touch(P, S, L, tau_0, target, now)
        recouple(P, S, site.place, site.loop, new * site.gain)
        count = put_on_list(P, W, target, count)
    return count


def put_on_list(P: Any, W: Any, d: int, count: int) -> int:
    """Loop ``d`` has to look ahead; returns the length of its set's list, which begins at 0."""
    if W.waiting[d] == 0:
        W.waiting[d] = 1
        W.todo[W.sets[P.loops[d].group].start + count] = d
        count += 1
    return count


def settle_listed(P: Any, S: Any, W: Any, L: Any, tau_0: float, group: int, now: int, count: int) -> None:
    """Every loop on the list of set ``group`` looks ahead, and those that have to know of it."""
    if count == 0:
        return
    d = W.todo[W.sets[group].start]
    W.waiting[d] = 0
    settle(P, S, W, L, tau_0, d, now, 0, 0.0, 0.0, count - 1)


def learn(P: Any, S: Any, W: Any, L: Any, tau_0: float, first: int, last: int, heard: int, now: int, seed: int) -> None:
    """Sites ``first`` to ``last``, all of one set of loops, hear an event: DETECTION_HEARD, SPIKE_HEARD or FLUXON_HEARD."""
    changed = False
    bounded = -1
    for i in range(first, last):
        rule = P.rules[P.sites[i].rule]
        function = rule.on_detection
        if heard == SPIKE_HEARD:
            function = rule.on_spike
        elif heard == FLUXON_HEARD:
            function = rule.on_fluxon
        if function != 0 and ask(P, S, i, now, function, seed):
            changed = True
            if rule.norm > 0.0 and S.sites[P.sites[i].start + V_CHANGE] == S.sites[P.sites[i].start + V_CHANGE]:
                bounded = i
    if changed:
        carry_out(P, S, W, L, tau_0, first, last, bounded, now, 0)


def broadcast(
    P: Any, S: Any, W: Any, L: Any, tau_0: float, functions: Any, values: Any, i: int, now: int, seed: int
) -> int:
    """Site ``i`` and all others of its neuron, or of its loop if it has none, hear a signal; returns the site after them.

    ``functions``: of every rule, 0 for one that does not listen. ``values``: of every neuron, and one more for sites without.
    """
    first = i
    n = P.sites[i].neuron
    home = P.sites[i].loop
    changed = False
    bounded = -1
    count = 0
    while i < P.sites.shape[0] and P.sites[i].neuron == n and (n >= 0 or P.sites[i].loop == home):
        rule = P.rules[P.sites[i].rule]
        function = functions[P.sites[i].rule]
        if function != 0:
            if rule.reads & AREAS:
                touch(P, S, L, tau_0, P.sites[i].loop, now)
                count = put_on_list(P, W, P.sites[i].loop, count)
            if rule.reads & PARENT:
                touch(P, S, L, tau_0, P.sites[i].parent, now)
                count = put_on_list(P, W, P.sites[i].parent, count)
            S.sites[P.sites[i].start + V_SIGNAL] = values[n]
            if ask(P, S, i, now, function, seed):
                changed = True
                if rule.norm > 0.0 and S.sites[P.sites[i].start + V_CHANGE] == S.sites[P.sites[i].start + V_CHANGE]:
                    bounded = i
        i += 1
    if changed or count > 0:
        carry_out(P, S, W, L, tau_0, first, i, bounded, now, count)
    return i


def carry_out(
    P: Any, S: Any, W: Any, L: Any, tau_0: float, first: int, last: int, bounded: int, now: int, count: int
) -> None:
    """Put what sites ``first`` to ``last`` want into the loops.

    ``bounded``: a site whose rule has a norm, which concerns all sites of its neuron; -1: none. ``count``: loops that are on the list.
    """
    if bounded >= 0:
        n = P.sites[bounded].neuron
        if n >= 0:
            first = P.neurons[n].site_start
            last = P.neurons[n].site_stop
        for i in range(first, last):
            rule = P.sites[i].rule
            if P.rules[rule].norm > 0.0 and (i == first or P.sites[i - 1].rule != rule):
                within_norm(P, S, first, last, rule)
    for i in range(first, last):
        count = put_in(P, S, W, L, tau_0, i, now, count)
    settle_listed(P, S, W, L, tau_0, P.loops[P.sites[first].loop].group, now, count)
