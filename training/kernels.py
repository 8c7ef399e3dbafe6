"""What the twin does in one step, forward and back; compiled, since it is nearly all of the twin's time.

Arrays are (batch, loops), of the twin's own float type, and so is the arithmetic. The source functions are :mod:`training.rates`.

Photons come as a list of events. A detector's flux f after a step and its mean m over it follow from the flux f0 before it and the
photon x (0 to 1): f = keep f0 + x (new - lost f0), m likewise, so an event adds something to both, and all else is decay. Lines with
equal decays (a *group*) therefore need one filter a loop, fed with W's row of a line when it sees a photon, and no product with all W.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from soen_event.physics.source import PLACE
from training.rates import (
    A_EDGE,
    A_MAP,
    A_MAX,
    A_PER,
    CELL_AT,
    LEVEL_AT,
    LEVEL_PER,
    LEVELS,
    MIRROR,
    N_A,
    SHIFT,
    Y_EDGE,
    Y_MAP,
    Y_PER,
)

# Rows of loops; of somas; of somas, integers. Columns of ways of light. Rows of lines.
KEEP, GAIN, KNEE, IB, KEEP_SLOPE, GAIN_SLOPE = range(6)
THRESHOLD, REARM, PAUSE = range(3)
LOOP, PURGE = range(2)
LINE, STEPS = range(2)
F_KEEP, F_NEW, F_LOST, M_KEEP, M_NEW, M_LOST = range(6)
E, FLUX, Y, FAR, ONSET, T, V, A, ROOT, Y_WIDTH, A_WIDTH = range(11)  # rows of ``room``
FREE, MAY, EARLY = 1, 2, 4  # bits of ``flags``: a soma is not held empty; it may spike; it did in the step's first half


def rises(
    b: int,
    first: int,
    stop: int,
    table: int,
    order: Any,
    s: Any,
    phi: Any,
    push: Any,
    lift: Any,
    loops: Any,
    place: Any,
    scale: Any,
    levels: Any,
    cells: Any,
    edges: Any,
    maps: Any,
    units: Any,
    room: Any,
    active: Any,
    after: Any,
    by_phi: Any,
    by_s: Any,
    risen: Any,
) -> None:
    """The currents of sample b's loops ``order[first:stop]``, of one ``table``, at the end of a step: x = c + gain g(phi, i), c = keep s.

    i is the SQUID's current halfway: if g were as at its onset, 2 sqrt(f kappa u), all the way, sqrt(u) would fall evenly, by gain
    sqrt(f kappa) in a step. KNEE is half of this; a = sqrt(u) from a^2 + 2 knee a = u at c. Near the onset, where g's slope has no bound
    and along which currents slide, x stops at the onset itself. ``by_phi``, ``by_s``: dx/dphi, dx/ds; ``risen``: gain dx/dgain.

    Three passes, since loops without branches run side by side: where is every loop above its onset, which cells do those that are lie
    in, and what do they gain? ``room`` (rows, loops + 1), ``active`` (2, loops + 1): of the latter, their places and cells.
    ``units``: 0, 1/2, 1, 2, 3 in the arrays' own type, so that nothing is computed in another.
    """
    zero, half, one, two, three = units[0], units[1], units[2], units[3], units[4]
    kept = by_phi.shape[0] > 0
    size = stop - first
    low = order[first]  # within a span ``order`` rises
    apart = order[stop - 1] - low != size - 1
    mirror = place[table, MIRROR] == 1
    n_level = place[table, LEVELS] - 1
    level_at = place[table, LEVEL_AT]
    per, shift = scale[table, LEVEL_PER], scale[table, SHIFT]
    for i in range(size):
        j = low + i
        if apart:
            j = order[first + i]
        c = loops[KEEP, j] * s[b, j]
        after[b, j] = c
        room[E, i] = loops[IB, j] - c
    if push.shape[0] > 0:
        for i in range(size):
            after[b, order[first + i]] += push[b, order[first + i]]
            room[E, i] -= push[b, order[first + i]]
    if lift.shape[0] > 0:
        for i in range(size):
            room[E, i] += lift[b, order[first + i]]
    for i in range(size):
        j = low + i
        if apart:
            j = order[first + i]
        room[FLUX, i] = phi[b, j] + shift * room[E, i]
    if mirror:
        for i in range(size):
            flux = room[FLUX, i]
            flux -= np.floor(flux + half)
            room[FLUX, i] = flux
            room[Y, i] = half - abs(flux)  # falls with a flux from 0
    else:
        for i in range(size):
            flux = room[FLUX, i]
            room[FLUX, i] = -one
            room[Y, i] = flux - np.floor(flux)
    if kept:
        for i in range(size):
            j = low + i
            if apart:
                j = order[first + i]
            by_phi[b, j] = zero
            by_s[b, j] = loops[KEEP, j]
    if risen.shape[0] > 0:
        for i in range(size):
            risen[b, order[first + i]] = zero
    count = 0
    for i in range(size):
        x = room[Y, i] * per
        k = min(int(x), n_level)
        t = x - np.int16(k)  # int16, or else float32 would become float64
        at = (level_at + 4 * k) & PLACE
        far = room[E, i] - (levels[at] + t * (levels[at + 1] + t * (levels[at + 2] + t * levels[at + 3])))
        room[FAR, i] = far
        active[0, count] = i
        if far > zero:
            count += 1
    cell_at, n_a = place[table, CELL_AT], place[table, N_A]
    y_map, a_map = place[table, Y_MAP], place[table, A_MAP]
    y_edge, a_edge = place[table, Y_EDGE], place[table, A_EDGE]
    y_per, a_per, a_max = scale[table, Y_PER], scale[table, A_PER], scale[table, A_MAX]
    for n in range(count):
        i = active[0, n] & PLACE
        j = order[first + i] & PLACE
        far = room[FAR, i]
        y = room[Y, i]
        side = one
        if room[FLUX, i] < zero:
            side = -one
        x = y * per
        k = min(int(x), n_level)
        t = x - np.int16(k)
        at = (level_at + 4 * k) & PLACE
        room[ONSET, n] = -side * (levels[at + 1] + t * (two * levels[at + 2] + three * t * levels[at + 3])) * per
        k = int(maps[(y_map + int(y * y_per)) & PLACE])
        k += y >= edges[(y_edge + 2 * k + 2) & PLACE]
        at = (y_edge + 2 * k) & PLACE
        room[T, n] = (y - edges[at]) * edges[at + 1]
        room[Y_WIDTH, n] = -side * edges[at + 1]
        knee = loops[KNEE, j]
        w = math.sqrt(knee * knee + far)
        whole = far / (knee + w)
        a = min(whole, a_max)
        m = int(maps[(a_map + int(a * a_per)) & PLACE])
        m += a >= edges[(a_edge + 2 * m + 2) & PLACE]
        at = (a_edge + 2 * m) & PLACE
        room[V, n] = (a - edges[at]) * edges[at + 1]
        room[A_WIDTH, n] = edges[at + 1]
        room[ROOT, n] = w
        room[A, n] = whole
        active[1, n] = cell_at + 16 * (k * n_a + m)
    for n in range(count):
        i = active[0, n] & PLACE
        at = active[1, n] & PLACE
        j = order[first + i] & PLACE
        far = room[FAR, i]
        t = room[T, n]
        v = room[V, n]
        whole = room[A, n]
        a = min(whole, a_max)
        beyond = half * (whole * whole - a * a)
        gain = loops[GAIN, j]
        t2 = t * t
        v2 = v * v
        p0 = (cells[at] + t * cells[at + 1]) + t2 * (cells[at + 2] + t * cells[at + 3])
        p1 = (cells[at + 4] + t * cells[at + 5]) + t2 * (cells[at + 6] + t * cells[at + 7])
        p2 = (cells[at + 8] + t * cells[at + 9]) + t2 * (cells[at + 10] + t * cells[at + 11])
        p3 = (cells[at + 12] + t * cells[at + 13]) + t2 * (cells[at + 14] + t * cells[at + 15])
        added = gain * ((p0 + v * p1) + v2 * (p2 + v * p3) + beyond)
        after[b, j] += max(min(added, far), zero)
        if risen.shape[0] > 0 and zero < added < far:
            risen[b, j] = added
        if kept:
            t_2 = two * t
            t_3 = three * t2
            q0 = cells[at + 1] + t_2 * cells[at + 2] + t_3 * cells[at + 3]
            q1 = cells[at + 5] + t_2 * cells[at + 6] + t_3 * cells[at + 7]
            q2 = cells[at + 9] + t_2 * cells[at + 10] + t_3 * cells[at + 11]
            q3 = cells[at + 13] + t_2 * cells[at + 14] + t_3 * cells[at + 15]
            by_a = (p1 + two * v * p2 + three * v2 * p3) * room[A_WIDTH, n]
            by_a = whole if beyond > zero else by_a
            onset = room[ONSET, n]
            by_far = half * by_a / room[ROOT, n]
            by_flux = ((q0 + v * q1) + v2 * (q2 + v * q3)) * room[Y_WIDTH, n] - by_far * onset
            to_phi = gain * by_flux
            to_s = one - gain * (by_far + shift * by_flux)
            if added >= far:
                to_phi = -onset
                to_s = shift * onset
            if added > zero:
                by_phi[b, j] = to_phi
                by_s[b, j] = loops[KEEP, j] * to_s


def events(
    x: Any, first: Any, where: Any, lines: Any, start: Any, line: Any, to_f: Any, to_m: Any, f: Any, last: Any
) -> int:
    """The photons of ``x`` (batch, steps, channels) as events on lines: how many, or -1 for a number that is negative or not finite.

    Channel c is seen by lines ``where[first[c]:first[c + 1]]``, and a line sees one channel. Written: ``start`` (batch, steps + 1), places
    in ``line``, ``to_f`` and ``to_m``; ``f`` (batch, lines), flux after step ``last``. Nothing but ``start`` if these are too short.
    """
    n = 0
    room = line.shape[0]
    for b in range(x.shape[0]):
        for k in range(x.shape[1]):
            start[b, k] = n
            for c in range(x.shape[2]):
                v = x[b, k, c]
                if v != 0.0:
                    if not (v > 0.0 and v < math.inf):
                        return -1
                    for at in range(first[c], first[c + 1]):
                        if n < room:
                            line[n] = where[at]
                            to_f[n] = v
                            if v > 1.0:
                                to_f[n] = 1.0
                        n += 1
        start[b, x.shape[1]] = n
    if n > room:
        return n
    for b in range(x.shape[0]):
        for k in range(x.shape[1]):
            for at in range(start[b, k], start[b, k + 1]):
                j = line[at]
                v = to_f[at]
                before = f[b, j]
                if last[b, j] < k:
                    before *= lines[F_KEEP, j] ** (k - last[b, j])
                to_m[at] = v * (lines[M_NEW, j] - lines[M_LOST, j] * before)
                to_f[at] = v * (lines[F_NEW, j] - lines[F_LOST, j] * before)
                f[b, j] = lines[F_KEEP, j] * before + to_f[at]
                last[b, j] = k + 1
    return n


def filtered(groups: Any, filters: Any, b: int, phi: Any) -> None:
    """Add the filters' fluxes to ``phi`` and let them decay by a step."""
    for g in range(groups.shape[0]):
        mean = groups[g, 1]
        keep = groups[g, 0]
        for j in range(phi.shape[1]):
            v = filters[g, b, j]
            phi[b, j] += mean * v
            filters[g, b, j] = keep * v


def filtered_back(groups: Any, filters: Any, b: int, to_phi: Any) -> None:
    """:func:`filtered` backwards."""
    for g in range(groups.shape[0]):
        mean = groups[g, 1]
        keep = groups[g, 0]
        for j in range(to_phi.shape[1]):
            filters[g, b, j] = keep * filters[g, b, j] + mean * to_phi[b, j]


def feed_back(
    k: int, start: Any, line: Any, to_f: Any, to_m: Any, group: Any, groups: Any, filters: Any, to_phi: Any, to_W: Any
) -> None:
    """:func:`feed` backwards. ``filters``: gradients by them after the step; on return before it."""
    for b in range(to_phi.shape[0]):
        for at in range(start[b, k], start[b, k + 1]):
            row = line[at]
            g = group[row]
            by_f = to_f[at]
            by_m = to_m[at]
            for j in range(to_phi.shape[1]):
                to_W[row, j] += by_f * filters[g, b, j] + by_m * to_phi[b, j]
        filtered_back(groups, filters, b, to_phi)


def shine_back(
    light: Any,
    kept: Any,
    group: Any,
    lines: Any,
    groups: Any,
    filters: Any,
    to_phi: Any,
    to_mean: Any,
    to_f: Any,
    to_light: Any,
    to_W: Any,
) -> None:
    """:func:`shine` backwards. ``to_mean``: gradient by the lines' means; ``to_f``: by their fluxes, changed. ``to_light`` is filled."""
    zero, one = lines.dtype.type(0.0), lines.dtype.type(1.0)
    for b in range(to_phi.shape[0]):
        for row in range(light.shape[1]):
            before = kept[b, row]
            by_f = to_f[b, row]
            by_m = to_mean[b, row]
            x = light[b, row]
            lit = by_f * (lines[F_NEW, row] - lines[F_LOST, row] * before)
            lit += by_m * (lines[M_NEW, row] - lines[M_LOST, row] * before)
            to_light[b, row] = lit if x <= one else zero
            x = min(x, one)
            by_f *= lines[F_KEEP, row] - x * lines[F_LOST, row]
            to_f[b, row] = by_f + by_m * (lines[M_KEEP, row] - x * lines[M_LOST, row])
        if groups.shape[0] > 0:
            for row in range(light.shape[1]):
                x = min(light[b, row], one)
                if x > zero:
                    g = group[row]
                    by_f = x * (lines[F_NEW, row] - lines[F_LOST, row] * kept[b, row])
                    by_m = x * (lines[M_NEW, row] - lines[M_LOST, row] * kept[b, row])
                    for j in range(to_phi.shape[1]):
                        to_W[row, j] += by_f * filters[g, b, j] + by_m * to_phi[b, j]
            filtered_back(groups, filters, b, to_phi)


def shine(
    b: int,
    light: Any,
    f: Any,
    kept: Any,
    mean: Any,
    group: Any,
    lines: Any,
    groups: Any,
    W: Any,
    filters: Any,
    phi: Any,
) -> None:
    """One step of sample b's lines that neurons light. ``light``: their photons; ``f``: their flux, changed; ``kept``: what it was.

    With groups their filters add to ``phi``; without (lines of many decays) ``mean`` is filled, for a product with W.
    """
    filtered(groups, filters, b, phi)
    for row in range(light.shape[1]):
        before = f[b, row]
        kept[b, row] = before
        f[b, row] = lines[F_KEEP, row] * before
    if groups.shape[0] == 0:
        for row in range(light.shape[1]):
            mean[b, row] = lines[M_KEEP, row] * kept[b, row]
    for row in range(light.shape[1]):
        x = min(light[b, row], lines.dtype.type(1.0))
        if x > 0.0:
            before = kept[b, row]
            by_f = x * (lines[F_NEW, row] - lines[F_LOST, row] * before)
            by_m = x * (lines[M_NEW, row] - lines[M_LOST, row] * before)
            f[b, row] += by_f
            if groups.shape[0] > 0:
                g = group[row]
                for j in range(phi.shape[1]):
                    v = W[row, j]
                    filters[g, b, j] += by_f * v
                    phi[b, j] += by_m * v
            else:
                mean[b, row] += by_m


def means(light: Any, f: Any, kept: Any, mean: Any, lines: Any, groups: Any, none: Any, phi: Any, whole: Any) -> None:
    """:func:`shine` of a batch without groups."""
    for b in range(light.shape[0]):
        shine(b, light, f, kept, mean, whole, lines, groups, phi, none, phi)


def hold(
    b: int,
    s: Any,
    loops: Any,
    soma: Any,
    held: Any,
    units: Any,
    after: Any,
    by_phi: Any,
    by_s: Any,
    risen: Any,
    flags: Any,
) -> None:
    """What refractory times leave of sample b's step; ``held``: steps that are left of them, below 0 just after a crossing without one.

    An emptied soma stays empty for a whole step, or rises for what is left of it (up to two steps, if it was crossed early in the last).
    """
    zero, half, one = units[0], units[1], units[2]
    for m in range(soma.shape[1]):
        waits = held[b, m]
        if waits == zero:
            flags[b, m] = FREE | MAY
            continue
        j = soma[LOOP, m]
        flags[b, m] = FREE
        if soma[PURGE, m] == 0:
            if waits < half:
                flags[b, m] = FREE | MAY
            held[b, m] = max(waits - one, zero)
        elif waits >= one:
            flags[b, m] = 0
            held[b, m] = waits - one
            after[b, j] = zero
            if by_phi.shape[0] > 0:
                by_phi[b, j] = zero
                by_s[b, j] = zero
            if risen.shape[0] > 0:
                risen[b, j] = zero
        else:
            flags[b, m] = FREE | MAY
            held[b, m] = zero
            part = one - waits
            c = loops[KEEP, j] * s[b, j]
            after[b, j] = c + part * (after[b, j] - c)
            if by_phi.shape[0] > 0:
                by_phi[b, j] *= part
                by_s[b, j] = loops[KEEP, j] + part * (by_s[b, j] - loops[KEEP, j])
            if risen.shape[0] > 0:
                risen[b, j] *= part


def fire(
    b: int,
    k: int,
    s: Any,
    somas: Any,
    soma: Any,
    held: Any,
    armed: Any,
    width: float,
    smooth: bool,
    way_start: Any,
    ways: Any,
    share: Any,
    light: Any,
    units: Any,
    after: Any,
    before: Any,
    spikes: Any,
    lead: Any,
    slope: Any,
    flags: Any,
) -> None:
    """Spikes of sample b in step k, where a current reaches the threshold of an armed soma; their light goes to later steps of ``light``.

    ``armed``: 1 if the current has been below REARM since the last spike. ``lead``: share of the step after which the threshold was
    crossed: light and refractory time are reckoned from there. ``smooth``: spikes are a sigmoid of s' at the end of the step, with its
    ``slope``.
    """
    zero, half, one = units[0], units[1], units[2]
    for m in range(soma.shape[1]):
        j = soma[LOOP, m]
        now = after[b, j]
        before[b, m] = now
        spikes[b, m] = zero
        if armed[b, m] == 1 and now < somas[THRESHOLD, m] and not smooth:  # as nearly always
            continue
        if now < somas[REARM, m]:
            armed[b, m] = 1
        if armed[b, m] == 0 or flags[b, m] == 0:
            flags[b, m] &= FREE
            continue
        left = zero  # of the step, after the crossing
        may = flags[b, m] & MAY
        if smooth and may:
            z = 1.0 / (1.0 + math.exp(-4.0 * (now - somas[THRESHOLD, m]) / width))
            spikes[b, m] = z
            slope[b, m] = 4.0 * z * (1.0 - z) / width
        if now >= somas[THRESHOLD, m]:
            armed[b, m] = 0
            if may:
                if not smooth:
                    spikes[b, m] = one
                    left = min((now - somas[THRESHOLD, m]) / (now - s[b, j]), one)
                    lead[b, m] = one - left
                    if left > half:
                        flags[b, m] |= EARLY
                held[b, m] = somas[PAUSE, m] - left
                armed[b, m] = soma[PURGE, m]
                if soma[PURGE, m] == 0:
                    held[b, m] = max(held[b, m], zero)
        spike = spikes[b, m]
        if spike > zero:
            if soma[PURGE, m] == 1:
                after[b, j] = now * (one - spike)
            for at in range(way_start[m], way_start[m + 1]):
                later = k + 1 + ways[at, STEPS]
                if flags[b, m] & EARLY and ways[at, STEPS] > 0:
                    later -= 1
                light[later, b, ways[at, LINE]] += (one - share[at]) * spike
                if share[at] > zero:
                    light[later + 1, b, ways[at, LINE]] += share[at] * spike


def march(
    begin: int,
    end: int,
    given: Any,
    start: Any,
    line: Any,
    to_f: Any,
    to_m: Any,
    group: Any,
    groups: Any,
    W: Any,
    filters: Any,
    light: Any,
    f_own: Any,
    kept_own: Any,
    mean: Any,
    group_own: Any,
    lines_own: Any,
    groups_own: Any,
    W_own: Any,
    filters_own: Any,
    into: Any,
    source: Any,
    J: Any,
    newer: Any,
    push: Any,
    lift: Any,
    offset: Any,
    loops: Any,
    order: Any,
    spans: Any,
    somas: Any,
    soma: Any,
    held: Any,
    armed: Any,
    width: float,
    smooth: bool,
    mix: Any,
    mixed: Any,
    way_start: Any,
    ways: Any,
    share: Any,
    place: Any,
    scale: Any,
    levels: Any,
    cells: Any,
    edges: Any,
    maps: Any,
    units: Any,
    room: Any,
    active: Any,
    phi: Any,
    s: Any,
    by_phi: Any,
    by_s: Any,
    risen: Any,
    before: Any,
    spikes: Any,
    lead: Any,
    slope: Any,
    flags: Any,
) -> None:
    """Steps ``begin`` to ``end`` of the twin, sample by sample; arrays over time have it first, those that are not kept one step or none.

    The flux ``phi`` of a loop: ``offset`` (or ``given``, with noise and products with whole matrices), lines from outside (``start`` ...
    ``filters``, see :func:`events`; no ``groups``: they are in ``given``), own lines (:func:`shine`, if they have groups), and couplings,
    ``into[j]`` to ``into[j + 1]`` to loop j, with the current at the step's start, or for ``newer`` 1/2 with the mean over the step.
    ``spans`` (first, stop, table) of ``order``: loops after those that couple into them.
    ``push``, ``lift``: noise of currents and biases. ``mix``: shares of what the current of one loop changes by that reach that of another,
    ``mixed`` (to, from). For the rest see :func:`rises`, :func:`hold`
    and :func:`fire`.
    """
    for b in range(s.shape[1]):
        for k in range(begin, end):
            kept = 0
            if by_phi.shape[0] > 1:
                kept = k
            at_risen = 0
            if risen.shape[0] > 1:
                at_risen = k
            for j in range(phi.shape[1]):
                phi[b, j] = offset[j]
            if given.shape[0] > 0:
                at = k - begin
                for j in range(phi.shape[1]):
                    phi[b, j] = given[at, b, j]
            if groups.shape[0] > 0:
                filtered(groups, filters, b, phi)
                for at in range(start[b, k], start[b, k + 1]):
                    row = line[at]
                    g = group[row]
                    by_f = to_f[at]
                    by_m = to_m[at]
                    for j in range(phi.shape[1]):
                        v = W[row, j]
                        filters[g, b, j] += by_f * v
                        phi[b, j] += by_m * v
            if groups_own.shape[0] > 0:
                now = 0
                if kept_own.shape[0] > 1:
                    now = k
                shine(
                    b,
                    light[k],
                    f_own,
                    kept_own[now],
                    mean[0],
                    group_own,
                    lines_own,
                    groups_own,
                    W_own,
                    filters_own,
                    phi,
                )
            for n in range(spans.shape[0]):
                if source.shape[0] > 0:
                    for i in range(spans[n, 0], spans[n, 1]):
                        j = order[i]
                        for at in range(into[j], into[j + 1]):
                            old = s[k, b, source[at]]
                            phi[b, j] += J[at] * (old + newer[at] * (s[k + 1, b, source[at]] - old))
                rises(
                    b,
                    spans[n, 0],
                    spans[n, 1],
                    spans[n, 2],
                    order,
                    s[k],
                    phi,
                    push[k],
                    lift[k],
                    loops,
                    place,
                    scale,
                    levels,
                    cells,
                    edges,
                    maps,
                    units,
                    room,
                    active,
                    s[k + 1],
                    by_phi[kept],
                    by_s[kept],
                    risen[at_risen],
                )
            hold(
                b,
                s[k],
                loops,
                soma,
                held,
                units,
                s[k + 1],
                by_phi[kept],
                by_s[kept],
                risen[at_risen],
                flags[k],
            )
            if mix.shape[0] > 0:
                for j in range(phi.shape[1]):
                    phi[b, j] = s[k + 1, b, j] - s[k, b, j]  # the flux is not needed any more
                for at in range(mix.shape[0]):
                    s[k + 1, b, mixed[at, 0]] += mix[at] * phi[b, mixed[at, 1]]
            now = 0
            if slope.shape[0] > 1:
                now = k
            fire(
                b,
                k,
                s[k],
                somas,
                soma,
                held,
                armed,
                width,
                smooth,
                way_start,
                ways,
                share,
                light,
                units,
                s[k + 1],
                before[k],
                spikes[k],
                lead[k],
                slope[now],
                flags[k],
            )


def retreat(
    k: int,
    pull: Any,
    back: Any,
    to_spikes: Any,
    s: Any,
    after: Any,
    before: Any,
    spikes: Any,
    slope: Any,
    flags: Any,
    by_phi: Any,
    by_s: Any,
    risen: Any,
    into: Any,
    source: Any,
    J: Any,
    newer: Any,
    loops: Any,
    order: Any,
    units: Any,
    soma: Any,
    mix: Any,
    mixed: Any,
    way_start: Any,
    ways: Any,
    share: Any,
    to_light: Any,
    to_phi: Any,
    to_J: Any,
    to_offset: Any,
    to_ib: Any,
    to_tau: Any,
    to_threshold: Any,
    to_steps: Any,
) -> None:
    """One step of :func:`march` backwards, but for lines. ``pull``: gradient by currents after the step, used up; ``back``: before.

    ``to_light``: ring of gradients by the light of later steps. ``to_phi`` is filled, the others are sums over batch and steps: gradients
    by couplings, offsets, biases, decay times, thresholds, steps of ways; of no length: not asked for.
    """
    ring = to_light.shape[0]
    now = (k + 1) % ring
    one = units[2]
    for b in range(s.shape[0]):
        for m in range(soma.shape[1]):
            j = soma[LOOP, m]
            to_z = to_spikes[b, m]
            spike = spikes[b, m]
            flag = flags[b, m]
            for at in range(way_start[m], way_start[m + 1]):
                later = now + ways[at, STEPS]
                if flag & EARLY and ways[at, STEPS] > 0:
                    later -= 1
                if later >= ring:
                    later -= ring
                first = to_light[later, b, ways[at, LINE]]
                to_z += (one - share[at]) * first
                if to_steps.shape[0] > 0:
                    second = to_light[later + 1 - ring if later + 1 >= ring else later + 1, b, ways[at, LINE]]
                    to_z += share[at] * second
                    to_steps[at] += spike * (second - first)
            value = pull[b, j]
            if soma[PURGE, m] == 1:
                to_z -= before[b, m] * value
                value *= one - spike
            if flag & MAY:
                moved = slope[b, m] * to_z
                to_threshold[m] -= moved
                value += moved
            pull[b, j] = value
        for j in range(s.shape[1]):
            back[b, j] = units[0]
        if mix.shape[0] > 0:
            for j in range(s.shape[1]):
                to_phi[b, j] = pull[b, j]
            for at in range(mix.shape[0]):
                moved = mix[at] * to_phi[b, mixed[at, 0]]
                pull[b, mixed[at, 1]] += moved
                back[b, mixed[at, 1]] -= moved
            for m in range(soma.shape[1]):
                if flags[b, m] & FREE == 0:  # its current was held at zero
                    pull[b, soma[LOOP, m]] = units[0]
        if source.shape[0] == 0:
            for j in range(s.shape[1]):
                value = pull[b, j]
                to_phi[b, j] = value * by_phi[b, j]
                back[b, j] += value * by_s[b, j]
        else:
            for i in range(s.shape[1] - 1, -1, -1):
                j = order[i]
                value = pull[b, j]
                flux = value * by_phi[b, j]
                to_phi[b, j] = flux
                back[b, j] += value * by_s[b, j]
                if flux != units[0]:
                    for at in range(into[j], into[j + 1]):
                        n = source[at]
                        moved = J[at] * flux
                        old = s[b, n]
                        pull[b, n] += newer[at] * moved
                        back[b, n] += (one - newer[at]) * moved
                        to_J[at] += flux * (old + newer[at] * (after[b, n] - old))
        if to_offset.shape[0] > 0:
            for j in range(s.shape[1]):
                value = pull[b, j]
                by_start = value * by_s[b, j] / loops[KEEP, j]
                to_offset[j] += to_phi[b, j]
                to_ib[j] += value - by_start
                if risen.shape[0] > 0:
                    to_tau[j] += loops[KEEP_SLOPE, j] * s[b, j] * by_start + loops[GAIN_SLOPE, j] * value * risen[b, j]
            for m in range(soma.shape[1]):  # what was held has no bias
                if flags[b, m] & FREE == 0:
                    to_ib[soma[LOOP, m]] -= pull[b, soma[LOOP, m]]
