"""The continuous dendrite: ds/dt = r(phi(t), ib - s)/(tau_0 beta_eff) - s/tau, solved to a tolerance (physics.md 2.1).

Fluxons are not events here; the current is a cubic of time for the length of a step,

    s(t) = q + c1 t + c2 t^2 + c3 t^3,

that satisfies the equation at the step's beginning, middle and end (collocation on Lobatto's three points: fourth order, no trouble
with stiffness, and the cubic is as good inside the step as at its end). How far it misses the equation in between, at a quarter and
three quarters of the step, is measured: that defect. Two currents under the same flux approach each other, at least as fast as the
loop leaks, since r grows with ib - s. So the error of s is never more than the integral of the defect, discounted by the leak, and
a step's length is chosen to keep this bound, carried from step to step in ``err``, below the loop's share of the tolerance.

Below threshold r is zero and the current decays exactly exponentially: the loop sleeps. The phase of the SQUID is carried along
without work: beta_eff (ds + s dt/tau) is the angle by which it has turned, and every 2 pi of that is a fluxon.

``me`` is the changing state of a loop and ``my`` its constants (engine/state.py has the fields). The flux that other flowing loops
couple in is a cubic too, ``in0`` to ``in3``. Times are in ns since the loop was last touched.
"""

from __future__ import annotations

import math
from typing import Any

from soen_event.physics.elementary import exp, log
from soen_event.physics.loop import NEVER, NOTHING, SLEEP, STEP, WAKE
from soen_event.physics.source import flux_cell, level, rate_above, rate_in_cell

THIRD = 1.0 / 3.0
SEVENTH = 1.0 / 7.0
SHARE = 0.6  # of what is left of the tolerance, at most for the next step
AIM = 0.4  # of that, what a step's length aims at
TRIES = 60
MOST = 6  # Newton steps
AFTER_ONSET = 2.0  # the first step has the onset in it, the second is easier
EXACT = 0.15  # of a step's error: what Newton's method may leave
GROWTH = 4.0  # largest ratio of one step to the last
FEMTO = 1.0e-6  # ns; steps are whole femtoseconds
SOFT = 0.05  # of the tolerance: u over which the rate rises from zero
TOUCH = 0.2  # of the tolerance: a loop this far below its threshold that is being driven up to it stays awake
NEAR = 1.0e-5  # a loop wakes this far below its threshold
EARLY = 0.02  # of the tolerance: the same, where that is more
ROUNDING = 1.0e-12  # flux


def cubic(c0: Any, c1: Any, c2: Any, c3: Any, t: Any) -> Any:
    return c0 + t * (c1 + t * (c2 + t * c3))


def cubic_area(c0: Any, c1: Any, c2: Any, c3: Any, t: Any) -> Any:
    """Integral of the cubic from 0 to ``t``."""
    return t * (c0 + t * (0.5 * c1 + t * (THIRD * c2 + t * 0.25 * c3)))


def turned(q: Any, c1: Any, c2: Any, c3: Any, beta: Any, tau: Any, t: Any) -> Any:
    """Angle (rad) by which the phase of a flowing loop turns in ``t`` ns: beta_eff (ds + s dt/tau)."""
    return beta * (cubic(q, c1, c2, c3, t) - q + cubic_area(q, c1, c2, c3, t) / tau)


def cubic_square_area(c0: float, c1: float, c2: float, c3: float, t: float) -> float:
    """Integral of the square of the cubic from 0 to ``t``."""
    return t * (
        c0 * c0
        + t
        * (
            c0 * c1
            + t
            * (
                THIRD * (2.0 * c0 * c2 + c1 * c1)
                + t
                * (
                    0.5 * (c0 * c3 + c1 * c2)
                    + t * (0.2 * (2.0 * c1 * c3 + c2 * c2) + t * (THIRD * c2 * c3 + t * SEVENTH * c3 * c3))
                )
            )
        )
    )


def largest(c0: float, c1: float, c2: float, c3: float, t: float) -> float:
    """A bound of the cubic's magnitude between 0 and ``t``."""
    return abs(c0) + t * (abs(c1) + t * (abs(c2) + t * abs(c3)))


def highest(c0: float, c1: float, c2: float, c3: float, t: float) -> float:
    """A close bound of the cubic's magnitude between 0 and ``t``: the largest of its Bezier points."""
    third = THIRD * t
    one = c0 + third * c1
    two = one + third * (c1 + t * c2)
    end = cubic(c0, c1, c2, c3, t)
    top = abs(c0)
    if abs(one) > top:
        top = abs(one)
    if abs(two) > top:
        top = abs(two)
    if abs(end) > top:
        top = abs(end)
    return top


def first_crossing(c0: float, c1: float, c2: float, c3: float, value: float, rising: int, t: float) -> float:
    """First time in (0, t] at which the cubic, which begins on the other side of it, passes ``value``; -1 if there is none.

    ``rising``: 1 upwards, 0 downwards.
    """
    sign = 1.0 if rising == 1 else -1.0
    begin = 0.0
    # The cubic is monotone between the zeros of its derivative.
    first = t
    second = t
    square = c2 * c2 - 3.0 * c1 * c3
    if square > 0.0:
        root = math.sqrt(square)
        big = -(c2 + root) if c2 > 0.0 else root - c2
        one = -1.0
        other = -1.0
        if c3 != 0.0:
            one = big / (3.0 * c3)
        if big != 0.0:
            other = c1 / big
        if one > other:
            one, other = other, one
        if 0.0 < one < t:
            first = one
        if 0.0 < other < t:
            second = other
    for k in range(3):
        end = t
        if k == 0:
            end = first if first < second else second
        elif k == 1:
            end = second if first < second else first
        if end <= begin:
            continue
        if sign * (cubic(c0, c1, c2, c3, end) - value) >= 0.0:
            low = begin
            high = end
            guess = 0.5 * (low + high)
            for _ in range(200):
                miss = sign * (cubic(c0, c1, c2, c3, guess) - value)
                if miss >= 0.0:
                    high = guess
                else:
                    low = guess
                if high - low < 1.0e-7:
                    break
                steep = sign * (c1 + guess * (2.0 * c2 + guess * 3.0 * c3))
                step = low - 1.0
                if steep > 0.0:
                    step = guess - miss / steep
                    # aim a little past the root, so that it is enclosed
                    step += 2.0e-8 if miss < 0.0 else -2.0e-8
                if step <= low or step >= high:
                    step = 0.5 * (low + high)
                guess = step
            return high
        begin = end
    return -1.0


def source_soft(shape: Any, scale: Any, cells: Any, levels: Any, row: int, phi: float, i: float, soft: float) -> tuple:
    """The source function as a flowing loop sees it: as :func:`source_at`, but r rises in a straight line from u = 0 to u = ``soft``.

    The rate rises as sqrt(u) there, or at once where a SQUID is hysteretic (circuit.md 3), and s can not be told better than ``soft``,
    a small part of the tolerance.
    """
    k = scale[row, 4]
    effective = phi + scale[row, 6] + k * i
    threshold, slope, gain = level(shape, scale, levels, row, effective)
    u = i - threshold
    if u <= 0.0:
        return 0.0, 0.0, 0.0, u, -slope, gain
    at = u if u > soft else soft
    r, r_u, r_phi = rate_above(shape, scale, cells, row, at, effective)
    if u < soft:
        r_u = r / soft
        r = r_u * u
    g_phi = r_phi - r_u * slope
    return r, g_phi, r_u + k * g_phi, u, -slope, gain


def at_flux(shape: Any, scale: Any, cells: Any, levels: Any, row: int, phi: float) -> tuple:
    """What of the source function depends on the flux alone: (threshold, its slope, place in the table: column, part of it, 1/width)."""
    threshold, slope, _ = level(shape, scale, levels, row, phi)
    k, part, per = flux_cell(shape, scale, cells, row, phi)
    return threshold, slope, k, part, per


def slope_there(
    shape: Any,
    scale: Any,
    cells: Any,
    row: int,
    threshold: float,
    slope: float,
    k: int,
    part: float,
    per: float,
    s: float,
    ib: float,
    tau: float,
    drive: float,
    soft: float,
) -> tuple:
    """ds/dt at the flux of :func:`at_flux` and its rate of relaxation -d(ds/dt)/ds; ``drive`` = 1/(tau_0 beta_eff)."""
    u = ib - s - threshold
    if u <= 0.0:
        return -s / tau, 1.0 / tau
    r, r_u, r_phi = rate_in_cell(shape, scale, cells, row, u if u > soft else soft, k, part, per)
    if u < soft:
        r_u = r / soft
        r = r_u * u
    g_i = r_u + scale[row, 4] * (r_phi - r_u * slope)
    return r * drive - s / tau, g_i * drive + 1.0 / tau


def flow_step(
    me: Any,
    my: Any,
    amplitude: Any,
    mode_tau: Any,
    start: int,
    stop: int,
    shape: Any,
    scale: Any,
    cells: Any,
    levels: Any,
    tau_0: float,
    r: float,
    r_slope: float,
    g_i: float,
    u0: float,
    most: float,
    going: int,
) -> float:
    """Find the next step of a loop that is awake: sets ``c1, c2, c3``, ``err_rate``, ``fade`` and ``h``; returns its length (ns).

    ``r``: rate at the flux and current now, ``r_slope`` its derivative in time at constant current, ``g_i`` its derivative in
    ib - s; ``u0`` the distance above threshold. ``most``: the input is known for this long (NEVER: for ever). ``me.h``: length to try.
    ``going``: 1 if the loop was awake before, so that ``me.c1`` is the slope at which it comes.
    """
    row = my.row
    ib = my.ib
    tau = my.tau
    drive = 1.0 / (tau_0 * my.beta)
    soft = SOFT * my.own
    s0 = me.q
    f0 = r * drive - s0 / tau
    relax = g_i * drive + 1.0 / tau
    bend = r_slope * drive - relax * f0
    if going == 1 and (r <= 0.0 or abs(me.c1 - f0) <= TOUCH * my.own * relax):
        # Where r is steep in s, an error of s far below the tolerance is a large one of the slope: the last step knew it better.
        f0 = me.c1
        if r <= 0.0 or relax * me.h > 1.0:
            bend = 0.0
    allow = SHARE * (my.own - me.err)
    if allow < 0.02 * my.own:
        allow = 0.02 * my.own
    h = me.h
    for m in range(start, stop):
        a = abs(amplitude[m])
        if a > allow and h > 3.0 * mode_tau[m]:
            h = 3.0 * mode_tau[m]
    base = me.steady + me.ext + scale[row, 6]
    shift = scale[row, 4]
    c1 = f0
    c2 = 0.0
    c3 = 0.0
    error = 0.0
    fade = 1.0 / tau
    hoped = h
    failed = False
    for _ in range(TRIES):
        if h >= most:
            h = most
        elif 2.0 * h > most:
            h = 0.5 * most
        n = int(h * 1.0e6 + 0.5)
        if n < 1:
            n = 1
        h = n * FEMTO
        t1 = 0.25 * h
        t2 = 0.5 * h
        t3 = 0.75 * h
        phi1 = base + me.ext_slope * t1 + cubic(me.in0, me.in1, me.in2, me.in3, t1)
        phi2 = base + me.ext_slope * t2 + cubic(me.in0, me.in1, me.in2, me.in3, t2)
        phi3 = base + me.ext_slope * t3 + cubic(me.in0, me.in1, me.in2, me.in3, t3)
        phi4 = base + me.ext_slope * h + cubic(me.in0, me.in1, me.in2, me.in3, h)
        for m in range(start, stop):
            a = amplitude[m]
            if a != 0.0:
                e = exp(-t1 / mode_tau[m])
                a *= e
                phi1 += a
                a *= e
                phi2 += a
                a *= e
                phi3 += a
                a *= e
                phi4 += a
        # First guess: relaxation towards where the equation, made linear here, would take it.
        fm = f0 + bend * t2 / (1.0 + relax * t2)
        f1 = f0 + bend * h / (1.0 + relax * h)
        rest_m = 0.0
        rest_1 = 0.0
        before = 1.0e300
        good = False
        # Where the arms of a SQUID differ, what its current adds to its flux: taken with the guess, and with every better one below.
        i2 = shift * (ib - s0 - t2 * fm)
        i4 = shift * (ib - s0 - h * f1)
        thr2, slope2, k2, part2, per2 = at_flux(shape, scale, cells, levels, row, phi2 + i2)
        thr4, slope4, k4, part4, per4 = at_flux(shape, scale, cells, levels, row, phi4 + i4)
        sm_before = 0.0
        s1_before = 0.0
        gm_before = 0.0
        g1_before = 0.0
        for k in range(MOST):
            sm = s0 + h * (5.0 * f0 + 8.0 * fm - f1) / 24.0
            s1 = s0 + h * (f0 + 4.0 * fm + f1) / 6.0
            if shift != 0.0:
                i2 = shift * (ib - sm)
                i4 = shift * (ib - s1)
                thr2, slope2, k2, part2, per2 = at_flux(shape, scale, cells, levels, row, phi2 + i2)
                thr4, slope4, k4, part4, per4 = at_flux(shape, scale, cells, levels, row, phi4 + i4)
            gm, lm = slope_there(shape, scale, cells, row, thr2, slope2, k2, part2, per2, sm, ib, tau, drive, soft)
            g1, l1 = slope_there(shape, scale, cells, row, thr4, slope4, k4, part4, per4, s1, ib, tau, drive, soft)
            if k > 0:
                # Where the slope breaks between two guesses, neither side's derivative tells of it; the secant does.
                if sm != sm_before:
                    secant = (gm_before - gm) / (sm - sm_before)
                    if secant > 2.0 * lm:
                        lm = secant
                if s1 != s1_before:
                    secant = (g1_before - g1) / (s1 - s1_before)
                    if secant > 2.0 * l1:
                        l1 = secant
            sm_before = sm
            s1_before = s1
            gm_before = gm
            g1_before = g1
            rest_m = gm - fm
            rest_1 = g1 - f1
            # Newton: (1 + h lm/3) dm - h lm/24 d1 = rest_m;  2 h l1/3 dm + (1 + h l1/6) d1 = rest_1
            am = 1.0 + h * lm / 3.0
            bm = -h * lm / 24.0
            a1 = 2.0 * h * l1 / 3.0
            b1 = 1.0 + h * l1 / 6.0
            det = am * b1 - bm * a1
            dm = (rest_m * b1 - bm * rest_1) / det
            d1 = (am * rest_1 - a1 * rest_m) / det
            fm += dm
            f1 += d1
            size = h * (abs(dm) + abs(d1))
            # The next correction will be of the square of this one, if the rate, a square root, is no other function meanwhile.
            near = 6.0 * abs(ib - s1 - thr4) > h * abs(4.0 * dm + d1) and 6.0 * abs(ib - sm - thr2) > h * abs(2.0 * dm)
            small = size <= EXACT * allow or (k > 0 and size * size <= EXACT * allow * before)
            if size <= 0.2 * EXACT * allow or (near and small):
                good = True
                break
            if k > 1 and size > before:
                break
            before = size
        if good:
            c2 = (4.0 * fm - 3.0 * f0 - f1) / (2.0 * h)
            c3 = 2.0 * (f0 - 2.0 * fm + f1) / (3.0 * h * h)
            p1 = cubic(s0, c1, c2, c3, t1)
            p3 = cubic(s0, c1, c2, c3, t3)
            thr, slope, k1, part, per = at_flux(shape, scale, cells, levels, row, phi1 + shift * (ib - p1))
            g, fade1 = slope_there(shape, scale, cells, row, thr, slope, k1, part, per, p1, ib, tau, drive, soft)
            early = abs(c1 + t1 * (2.0 * c2 + t1 * 3.0 * c3) - g)
            # Flux that sweeps past half a quantum wakes a loop for an instant only: the first sample must find it awake.
            passed = going == 0 and u0 <= 0.0 and ib - p1 - thr <= 0.0 and h * me.u_slope > -16.0 * u0
            thr, slope, k1, part, per = at_flux(shape, scale, cells, levels, row, phi3 + shift * (ib - p3))
            g, fade3 = slope_there(shape, scale, cells, row, thr, slope, k1, part, per, p3, ib, tau, drive, soft)
            late = abs(c1 + t3 * (2.0 * c2 + t3 * 3.0 * c3) - g)
            if ib - s1 - thr4 < 0.0 and ib - p3 - thr > 0.0:
                # It falls asleep in the last quarter, where there is no sample yet.
                t4 = 0.875 * h
                phi5 = base + me.ext_slope * t4 + cubic(me.in0, me.in1, me.in2, me.in3, t4)
                for m in range(start, stop):
                    a = amplitude[m]
                    if a != 0.0:
                        phi5 += a * exp(-t4 / mode_tau[m])
                p4 = cubic(s0, c1, c2, c3, t4)
                thr, slope, k1, part, per = at_flux(shape, scale, cells, levels, row, phi5 + shift * (ib - p4))
                g, _ = slope_there(shape, scale, cells, row, thr, slope, k1, part, per, p4, ib, tau, drive, soft)
                late += abs(c1 + t4 * (2.0 * c2 + t4 * 3.0 * c3) - g)
            # An error fades at the rate at which currents approach each other; nowhere in the step more slowly than this, it is taken.
            fade = relax if relax < lm else lm
            if l1 < fade:
                fade = l1
            if fade1 < fade:
                fade = fade1
            if fade3 < fade:
                fade = fade3
            if fade < -0.5 / h:
                fade = -0.5 / h
            # What is missed in the first half fades in the second, and so does, within each half, what is missed there.
            half = 1.0 + 0.5 * h * fade if fade > 0.0 else 1.0
            late += early / half
            error = THIRD * h * (early if early > late else late) / half
            if n <= 20 or (error <= allow and not passed):
                break
            failed = True
            shrink = 0.25
            if not passed:
                shrink = math.sqrt(math.sqrt(AIM * allow / error))
            if shrink < 0.1:
                shrink = 0.1
        else:
            failed = True
            shrink = 0.25
        if ib - s1 - thr4 < 0.0 and u0 > 0.0:
            # It falls asleep on the way: no cubic follows it beyond.
            um = ib - sm - thr2
            way = 0.5 * u0 / (u0 - um)
            if um > 0.0:
                way = 0.5 + 0.5 * um / (um - (ib - s1 - thr4))
            if way < shrink:
                shrink = way if way > 0.2 else 0.2
        h *= shrink
    # The next step: where steps are shrinking, as they do before a loop falls asleep, they will go on to.
    grow = GROWTH
    if error * GROWTH * GROWTH * GROWTH * GROWTH > AIM * allow:
        grow = math.sqrt(math.sqrt(AIM * allow / error))
    if me.step == 0.0:
        if grow < AFTER_ONSET:
            grow = AFTER_ONSET
    elif h < me.step and grow < 2.0:
        grow *= h / me.step
    if grow < 0.3:
        grow = 0.3
    if failed and grow > 1.0:
        grow = 1.0
    me.step = h
    me.c1 = c1
    me.c2 = c2
    me.c3 = c3
    me.err_rate = error / h
    me.fade = fade
    me.h = h * grow
    if not failed and grow > 1.0 and me.h < hoped:
        me.h = hoped  # the step was cut short by the input only
    return h


def wakes_at(own: float) -> float:
    """How far below its threshold a sleeping loop wakes."""
    return NEAR if EARLY * own < NEAR else EARLY * own


def stays_at(own: float) -> float:
    """How far below its threshold a loop that is awake, and being driven up to it, stays awake."""
    near = 2.0 * wakes_at(own)
    return near if near > TOUCH * own else TOUCH * own


def first_guess(own: float, r: float, r_slope: float, g_i: float, q: float, tau: float, drive: float) -> float:
    """First step of a loop that an event has thrown above its threshold, from how fast its current bends."""
    slope = r * drive - q / tau
    bend = abs(r_slope * drive - (g_i * drive + 1.0 / tau) * slope)
    slope = abs(slope) + own
    span = slope / (bend + 1.0e-30)
    if span > 1.0e3:
        span = 1.0e3
    return span * math.sqrt(math.sqrt(20.0 * AIM * SHARE * own / (slope * span)))


def onset_step(own: float, gain: float, u_slope: float, drive: float) -> float:
    """First step of a loop that wakes: from its threshold r = 2 sqrt(gain u), which no cubic follows for long."""
    c = 2.0 * drive * math.sqrt(gain * abs(u_slope))
    if c <= 1.0e-30:
        return 1.0
    h = exp(log(0.6 * SHARE * own / (0.05 * c)) * (2.0 / 3.0))
    if h > 10.0:
        return 10.0
    return h


def rests(me: Any, my: Any, amplitude: Any, start: int, stop: int, bound: float) -> bool:
    """A sleeping loop that flows is so far from its threshold that it sleeps on, whatever becomes of what reaches it now.

    ``bound``: of the flux from loops that are awake. Sets ``room``, by how much more it may grow.
    """
    me.room = 0.0
    if me.ext_slope != 0.0:
        return False
    level = me.steady + me.ext
    top = level
    bottom = level
    for m in range(start, stop):
        v = amplitude[m]
        if v > 0.0:
            top += v
        else:
            bottom += v
    room = my.high - top
    if bottom - my.low < room:
        room = bottom - my.low
    room -= bound + ROUNDING
    if room <= 0.0:
        return False
    me.room = room
    return True


def sleeps_on(me: Any, my: Any, more: float) -> bool:
    """The same of a loop to which at most the flux ``more`` comes in addition to what it knew."""
    if my.flow == 0 or me.mode != SLEEP or me.room <= 0.0:
        return False
    me.room -= more
    return me.room > 0.0


def flow_wake(
    me: Any,
    my: Any,
    amplitude: Any,
    mode_tau: Any,
    start: int,
    stop: int,
    shape: Any,
    scale: Any,
    levels: Any,
    tau_0: float,
    most: float,
) -> tuple:
    """When a sleeping loop may wake if no input comes: (ns or NEVER, WAKE, NOTHING, or STEP to ask again then).

    NEVER too if its input is not known so far.

    Marches by safe steps |u|/L, where L bounds du/dt from above for as long as the input is known. Between no flux and half a
    quantum the threshold of a symmetric SQUID is a concave function of the flux, so it lies above its chords.
    """
    row = my.row
    ib = my.ib
    rising = me.ext_slope if me.ext_slope > 0.0 else 0.0
    falling = -me.ext_slope if me.ext_slope < 0.0 else 0.0
    steep = scale[row, 5]
    shift = scale[row, 4]
    fed = me.in1 != 0.0 or me.in2 != 0.0 or me.in3 != 0.0
    even = shape[row, 5] == 1 and shift == 0.0
    near = wakes_at(my.own)
    t = 0.0
    for _ in range(60):
        e = 1.0
        if t > 0.0:
            e = exp(-t / my.tau)
        s = me.q * e
        phi = me.steady + me.ext + me.ext_slope * t
        up = rising
        down = falling
        top = 0.0
        bottom = 0.0
        slow = False
        if fed:
            left = most - t
            phi += cubic(me.in0, me.in1, me.in2, me.in3, t)
            most_slope = largest(
                me.in1 + t * (2.0 * me.in2 + t * 3.0 * me.in3), 2.0 * me.in2 + t * 6.0 * me.in3, 3.0 * me.in3, 0.0, left
            )
            up += most_slope
            down += most_slope
            top += most_slope * left
            bottom -= most_slope * left
        else:
            phi += me.in0
        for m in range(start, stop):
            a = amplitude[m]
            if a != 0.0:
                v = a
                if t > 0.0:
                    v = a * exp(-t / mode_tau[m])
                phi += v
                if v > 0.0:
                    down += v / mode_tau[m]
                    bottom -= v
                    slow = slow or mode_tau[m] > my.tau
                else:
                    up -= v / mode_tau[m]
                    top -= v
        effective = phi + scale[row, 6] + shift * (ib - s)
        threshold, _, gain = level(shape, scale, levels, row, effective)
        u = ib - s - threshold
        if u > -near:
            if t > 0.0 or me.u_slope >= 0.0:
                return t, WAKE
            # On its way down: it looks again when it has gone, or sooner, so that it could not have gained anything by then.
            fastest = abs(me.q) / my.tau + steep * (up if up > down else down)
            soon = onset_step(0.1 * my.own, gain, fastest, 1.0 / (tau_0 * my.beta))
            gone = -near / me.u_slope
            return gone if gone < soon else soon, STEP
        top += phi
        bottom += phi
        if rising > 0.0:  # a ramp has no top
            top = NEVER
        if falling > 0.0:
            bottom = -NEVER
        if top < my.high and bottom > my.low:
            return NEVER, NOTHING
        back = abs(me.q) * e / my.tau
        rate = up if up > down else down
        steepest = steep
        if even:
            # Up to half a quantum the threshold only falls with |phi|, so only growing flux can wake the loop.
            if bottom >= 0.0 and top <= 0.5:
                rate = up
                if up == 0.0 and not slow:
                    # The flux falls faster than the current leaks: where the fall raises the threshold enough, it stays above.
                    rest, _, _ = level(shape, scale, levels, row, bottom + scale[row, 6])
                    if rest - threshold >= s:
                        return NEVER, NOTHING
                elif top > phi:
                    high, _, _ = level(shape, scale, levels, row, top + scale[row, 6])
                    steepest = 1.01 * (threshold - high) / (top - phi)
            elif top <= 0.0 and bottom >= -0.5:
                rate = down
        t += -u / (back + steepest * rate + 1.0e-30)
        if t >= most or t > 1.0e9:
            return NEVER, NOTHING
    return t, WAKE
