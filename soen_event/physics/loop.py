"""The integration loop of a dendrite: leak, flux quantum, phase, and when the next fluxon comes.

The current in the loop obeys beta_eff ds/dtau = dp/dtau - alpha s, where p is the phase across the SQUID's arms (circuit.md 2). The
whole turns of p are the fluxons; what is left is the phase within the turn, psi. So the current is kept as

    s = q + (psi - leak) / beta_eff        q: sum of decayed quanta 2 pi/beta_eff,    d(leak)/dt = (psi - leak)/tau

At rest psi is the static phase, while it runs the average over a turn (:func:`late_and_lag`).

Three states of the SQUID (circuit.md 4 and 5, model f; design.md section 7):

* SLEEP, u < 0: nothing happens until an input changes it or a bound on du/dt says that it may wake;
* REST, u > 0 but not yet slipped: the saddle-node z' = gain u + z^2 carries the latency of the first fluxon (Airy law);
* RUN: theta advances at the rate r of the source function. It is counted from the bottleneck of the turn, which is at pi; the slip, a
  fluxon, comes before 2 pi by ``late``. u <= 0 ends it, and a slowing down in which the saddle-node has to be followed (:func:`stalls`).

At a temperature (:mod:`soen_event.physics.thermal`) there are only SLEEP and RUN: theta advances at the mean thermal rate, which is there
below threshold too, and a turn ends at a phase that is drawn (:func:`end_of_turn`).

Everything here is a plain function of numbers and arrays. Times are in ns, currents in I_c, fluxes in Phi0.
"""

from __future__ import annotations

import math
from typing import Any

from soen_event.physics.elementary import exp, log
from soen_event.physics.source import fold_flux, level
from soen_event.physics.squid import NODES, U_TOP

TWO_PI = 6.283185307179586
PI = 3.141592653589793

# States of a dendrite's SQUID.
SLEEP, REST, RUN, HELD = 0, 1, 2, 3
# What a dendrite waits for.
NOTHING, LOOK, WAKE, STEP, SLIP, FLUXON, RELEASE, CROSS = range(8)

CHANGE = 0.2  # largest relative change of the rate in one step
SHORTEST = 0.001  # ns; a step is never shorter unless its goal is
LONGEST = 0.2  # ns; longest step while running
STALL = 1.0  # beyond this a turn does not go at its mean rate any more
NEAR = 1.4  # a turn has entered its bottleneck this long (in 1/sqrt(a)) before its middle
FIRM = 0.03  # a slip is certain where a drive that falls takes no more than this from z' while z runs away
LINE = 11.0  # tau_0; chosen by comparison with junctions: fluxons within 3 ps, instead of 13 to 17 ps early
NOTED = 0.05  # rad; a sleeping loop's phase has to change by more before others are told
REST_ANGLE = 0.25  # largest turn of the saddle-node in one step
REST_LONGEST = 0.05  # ns
IDLE = 100.0  # ns; longest step of a warm SQUID that hardly turns, and how far it may turn (rad) and come closer (I_c) in one
IDLE_TURN = 0.05
IDLE_WAY = 0.004
PANEL = 0.25  # ns; over longer times the leak of the phase is integrated in several panels
EDGE = 1.0e-12  # a SQUID counts as above threshold when u exceeds this: exactly at threshold it rests
NEVER = 1.0e18  # ns


def decay(dt: float, tau: float) -> float:
    """e^(-dt/tau), exactly 1 at dt = 0."""
    return exp(-dt / tau)


def flux_at(me: Any, amplitude: Any, tau: Any, arm: Any, start: int, stop: int, dt: float) -> tuple:
    """Flux ``dt`` after loop ``me`` was last touched: (phi, of which one-arm inputs make this much, current of a loaded loop).

    phi = steady + ext + ext_slope dt + in(dt) + sum over modes start..stop of amplitude e^(-dt/tau), where in(dt) is the cubic that
    flowing loops couple in; ``arm`` is 1 for modes of inputs that thread one arm of the SQUID only (circuit.md 2), 0 for balanced ones,
    2 for what is no flux but a part of the loop's own current (:mod:`soen_event.physics.inductance`).
    """
    phi = me.steady + me.ext + me.ext_slope * dt
    phi += me.in0 + dt * (me.in1 + dt * (me.in2 + dt * me.in3))
    one = me.arm + me.arm_slope * dt
    current = 0.0
    for m in range(start, stop):
        a = amplitude[m]
        if a != 0.0:
            v = a * exp(-dt / tau[m])
            if arm[m] == 2:
                current += v
            else:
                phi += v
                if arm[m] == 1:
                    one += v
    return phi, one, current


def square_area(amplitude: Any, tau: Any, arm: Any, start: int, stop: int, dt: float) -> float:
    """Integral of the square of a loaded loop's current over the next ``dt``, ns: its modes with ``arm`` 2."""
    total = 0.0
    for m in range(start, stop):
        if arm[m] == 2 and amplitude[m] != 0.0:
            for n in range(start, stop):
                if arm[n] == 2 and amplitude[n] != 0.0:
                    both = tau[m] * tau[n] / (tau[m] + tau[n])
                    total += amplitude[m] * amplitude[n] * both * (1.0 - exp(-dt / both))
    return total


def rest_phase(rest: Any, shape: Any, scale: Any, levels: Any, row: int, phi: float, ib: float) -> float:
    """Mean junction phase of the resting SQUID at flux ``phi`` and the full bias, from the table of static phases.

    Taken at i = ib (not ib - s), so that without flux the current of a loop decays exactly exponentially.
    """
    if shape[row, 5] != 1:
        return 0.0
    effective = phi + scale[row, 6] + scale[row, 4] * ib
    threshold, _, _ = level(shape, scale, levels, row, effective)
    threshold += scale[row, 13]
    y, _ = fold_flux(effective, 1)
    k = 0.0
    if ib < threshold:
        k = math.sqrt(1.0 - ib / threshold)
    return between(rest, 3 * row, k * NODES, y)


def between(rest: Any, table: int, x: float, y: float) -> float:
    """What stands in a table of phases at place ``x`` of its first axis, 0 to NODES, and at folded flux ``y``; bilinear."""
    n = NODES
    j = int(x)
    if j >= n:
        j = n - 1
    f = x - j
    w = y * 2.0 * n
    m = int(w)
    if m >= n:
        m = n - 1
    g = w - m
    at = table * (n + 1) * (n + 1) + j * (n + 1) + m
    low = rest[at] + g * (rest[at + 1] - rest[at])
    at += n + 1
    high = rest[at] + g * (rest[at + 1] - rest[at])
    return low + f * (high - low)


def late_and_lag(rest: Any, shape: Any, scale: Any, row: int, phi: float, u: float, r: float) -> tuple:
    """How a SQUID turns that is ``u`` > 0 above threshold at flux ``phi``: :func:`soen_event.physics.squid.turn_shape`, from its table.

    (late, lag), rad: by how much the slip comes before the end of a turn whose middle is its bottleneck, and how far the phase is, on
    average over the turn, behind that of the bottleneck (negative). Zeros where the junctions are not known. In an RTTI dendrite, which
    turns at rate ``r``, the output junction slips later than the SQUID by the time that its line takes.
    """
    if shape[row, 5] != 1:
        return -LINE * r, 0.0
    effective = phi + scale[row, 6]
    y, _ = fold_flux(effective, 1)
    x = NODES * math.sqrt(u / U_TOP)
    if x > NODES:
        x = 1.0 * NODES
    return between(rest, 3 * row + 1, x, y), between(rest, 3 * row + 2, x, y)


def leaked(leak: float, psi_before: float, psi_now: float, fraction: float) -> float:
    """Leak of the phase after a stretch in which psi went from ``psi_before`` to ``psi_now``; fraction = 1 - e^(-dt/tau)."""
    return leak + (0.5 * (psi_before + psi_now) - leak) * fraction


def leak_after(
    me: Any,
    amplitude: Any,
    tau_modes: Any,
    arm: Any,
    start: int,
    stop: int,
    rest: Any,
    shape: Any,
    scale: Any,
    levels: Any,
    row: int,
    ib: float,
    rest_origin: float,
    tau: float,
    dt: float,
) -> tuple:
    """Phase and leak ``dt`` after loop ``me`` was last touched, from the flux that it had then: (psi, leak).

    d(leak)/dt = (psi - leak)/tau with psi linear between nodes that crowd at the beginning, where the flux changes most.
    """
    leak = me.leak
    psi = me.psi
    done = 0.0
    panel = dt
    if dt > PANEL:
        panel = dt / 32.0
    while True:
        phi, one, _ = flux_at(me, amplitude, tau_modes, arm, start, stop, panel)
        now = rest_phase(rest, shape, scale, levels, row, phi, ib) - rest_origin + PI * one
        leak = leaked(leak, psi, now, 1.0 - exp(-(panel - done) / tau))
        psi = now
        if panel >= dt:
            return psi, leak
        done = panel
        panel *= 2.0
        if panel > 0.75 * dt:
            panel = dt


def saddle_node(z: float, a: float, turn: float) -> float:
    """Advance z' = a + z^2 by ``turn`` (in tau_0) with constant a. Exact; by series for short turns, by exponentials for a < 0."""
    x = a * turn * turn
    if -0.25 < x < 0.25:
        return saddle_node_short(z, a, turn)
    if a < 0.0:
        w = math.sqrt(-a)
        e = exp(-2.0 * w * turn)
        below = e * (z + w) - (z - w)
        if below < 1e-300:
            return 1e9
        return w * (e * (z + w) + (z - w)) / below
    # A long turn above threshold: split it. (Callers keep turns short there.)
    for _ in range(64):
        z = saddle_node_short(z, a, turn / 64.0)
    return z


def saddle_node_short(z: float, a: float, turn: float) -> float:
    """One short exact step of z' = a + z^2 (|a| turn^2 < 1/4)."""
    x = a * turn * turn
    c = 1.0 - x * (0.5 - x * (1.0 / 24.0 - x * (1.0 / 720.0 - x / 40320.0)))
    s = turn * (1.0 - x * (1.0 / 6.0 - x * (1.0 / 120.0 - x * (1.0 / 5040.0 - x / 362880.0))))
    below = c - s * z
    if below < 1e-9:
        return 1e9
    return (c * z + s * a) / below


def plan_rest(z: float, u: float, u_slope: float, gain: float, tau_0: float, r: float, late: float) -> tuple:
    """Next step of a SQUID that is about to slip: (ns, SLIP or STEP); ``r``, ``late``: of its turn, were it running.

    When z has left the bottleneck (z >= 3 sqrt|a|), for good, the time that is left is arctan(w/z)/w tau_0, by its series, and what a turn
    takes from its bottleneck to its slip beyond the pi/(2 w) of the saddle-node.
    """
    a = gain * u
    w = math.sqrt(abs(a))
    if z > 0.0 and z >= 3.0 * w and -gain * u_slope * tau_0 <= FIRM * z * z * z:
        p = a / (z * z)
        left = (1.0 - p * (1.0 / 3.0 - p * (0.2 - p * (1.0 / 7.0 - p / 9.0)))) / z
        if a > 0.0 and r > 0.0:
            left += (PI - late) / r - 0.5 * PI / w
            if left < 0.0:
                left = 0.0
        return left * tau_0, SLIP
    h = REST_ANGLE * tau_0 / (w + abs(z) + 1e-12)
    if h > REST_LONGEST:
        h = REST_LONGEST
    if u_slope < 0.0 and u > 0.0 and -u_slope * h > 0.5 * u:
        h = 0.5 * u / -u_slope
        if h < SHORTEST:
            h = SHORTEST
    return h, STEP


def airy_start(gain: float, u_slope: float, tau_0: float) -> float:
    """z at the moment a smooth drive carries u through zero: Ai'(0)/Ai(0) (gain du/dtau)^(1/3); circuit.md 5."""
    c = gain * u_slope * tau_0
    if c <= 1e-30:
        return 0.0
    return -0.7290111 * exp(log(c) / 3.0)


def plan_run(
    r: float, g_phi: float, g_i: float, phi_slope: float, i_slope: float, tau: float, tau_0: float, need: float
) -> tuple:
    """Second-order step of theta towards the next fluxon, ``need`` rad away: (dtheta/dt, d2theta/dt2, ns, 1 if it gets there else 0).

    ``i_slope`` = di/dt of the SQUID's current (the loop's leak). A step is cut where the rate would change by more than CHANGE.
    """
    rate = r / tau_0
    curve = (g_phi * phi_slope + g_i * i_slope) / tau_0
    if need < 0.0:
        need = 0.0
    square = rate * rate + 2.0 * curve * need
    h = NEVER
    if square > 0.0:
        h = 2.0 * need / (rate + math.sqrt(square))
    cap = LONGEST
    if 0.02 * tau < cap:
        cap = 0.02 * tau
    bend = abs(curve)
    if bend * cap > CHANGE * rate:
        cap = CHANGE * rate / bend
    if cap < SHORTEST:
        cap = SHORTEST
    if h > cap:
        return rate, curve, cap, 0
    return rate, curve, h, 1


def end_of_turn(luck: float, theta: float, spread: float, fano: float, first: int) -> float:
    """Phase at which a warm SQUID's turn ends if all stays as it is.

    ``luck``: a standard normal draw for this turn; ``theta``: how far it has come at the mean rate, and ``spread`` the integral of the
    Fano factor over that; ``fano``: of the rest. The ends have a gamma distribution of mean 2 pi and variance (2 pi)^2 F, F the mean Fano
    factor of the turn (by the cube of a normal variable, E. B. Wilson, M. M. Hilferty, PNAS 17, 684 (1931)): an exponential far below
    threshold, where slips are rare and independent, nearly a point far above. The ``first`` turn after rest has the mean pi (1 + F) and
    half the variance, as a resting phase is half a turn from its slip (circuit.md 4); then the mean number of fluxons of a pulse is that
    of the mean rate.
    """
    whole = TWO_PI
    if first == 1:
        whole = PI * (1.0 + fano)
    left = whole - theta
    mean = spread / theta if left <= 0.0 else (spread + fano * left) / whole
    if first == 1 and mean < 1.0:
        whole = PI * (1.0 + mean)
        mean = 2.0 * mean / (1.0 + mean)
    c = 1.0 - mean / 9.0 + math.sqrt(mean) * luck / 3.0
    if c < 0.0:
        c = 0.0
    return whole * c * c * c


def plan_warm(
    r: float,
    g_phi: float,
    g_i: float,
    phi_slope: float,
    i_slope: float,
    bend_u: float,
    tau: float,
    tau_0: float,
    need: float,
) -> tuple:
    """As :func:`plan_run` for a warm SQUID that has ``need`` rad to go; ``bend_u`` bounds the second derivative of u, 1/ns^2.

    Where it hardly turns a step may be long, and the rate may change by its own size in it.
    """
    rate = r / tau_0
    curve = (g_phi * phi_slope + g_i * i_slope) / tau_0
    if need < 0.0:
        need = 0.0
    square = rate * rate + 2.0 * curve * need
    h = NEVER
    if square > 0.0 and rate > 0.0:
        h = 2.0 * need / (rate + math.sqrt(square))
    cap = LONGEST
    if 0.02 * tau < cap:
        cap = 0.02 * tau
    if rate * cap < IDLE_TURN:
        cap = math.sqrt(2.0 * IDLE_WAY / (bend_u + 1e-12))
        if cap > IDLE:
            cap = IDLE
        if rate * cap > IDLE_TURN:
            cap = IDLE_TURN / rate
    bend = abs(curve)
    change = CHANGE
    if rate * rate < IDLE_TURN * bend:
        change = 1.0
    if bend * cap > change * rate:
        cap = change * rate / bend
    if cap < SHORTEST:
        cap = SHORTEST
    if h > cap:
        return rate, curve, cap, 0
    return rate, curve, h, 1


def tangent(x: float) -> float:
    """tan x for -pi/2 < x < pi/2 to 2e-9: its poles, and a polynomial in (2 x/pi)^2 fitted to the rest."""
    w = (x / (0.5 * PI)) ** 2
    g = 1.0 - w * (
        0.17753303536319 + w * (0.01072381567065 + w * (1.05048454702e-3 + w * (1.0580369134e-4 + w * 1.73915313e-5)))
    )
    return x * g / (1.0 - w)


def stalls(theta: float, a: float, a_slope: float, r: float) -> bool:
    """A SQUID in its bottleneck slows down so fast that its last turns are no longer those of a constant drive: |a'| > STALL a^(3/2).

    a = gain u > 0, a' per tau_0. Then the saddle-node has to be followed (as at rest) instead of turning at the mean rate ``r``.
    """
    w = math.sqrt(a)
    return -a_slope > STALL * a * w and (theta - PI) * w > -NEAR * r


def fallen_back(theta: float, a: float, r: float, slope: float) -> float:
    """Saddle-node coordinate of a SQUID that stops running at phase ``theta``; a = gain u and r when it last ran, ``slope`` = a'/a.

    With z = -y'/y the saddle-node z' = a + z^2 is y'' = -a y, and while a changes slowly y = a^(-1/4) cos(sqrt(a) t), t from the middle
    of the bottleneck: (theta - pi)/r.
    """
    if a <= 0.0 or r <= 0.0:
        return -1.0
    w = math.sqrt(a)
    x = (theta - PI) * w / r
    if x >= 0.5 * PI:
        return 1.0
    if x <= -0.5 * PI:
        return -1.0
    z = w * tangent(x) + 0.25 * slope
    if z < -1.0:
        return -1.0
    if z > 1.0:
        return 1.0
    return z


def wake_after(
    me: Any,
    my: Any,
    amplitude: Any,
    tau_modes: Any,
    arm: Any,
    start: int,
    stop: int,
    shape: Any,
    scale: Any,
    levels: Any,
    rest: Any,
    known: float,
) -> tuple:
    """When sleeping SQUID ``me`` (constants ``my``) may wake if no input comes: (ns or NEVER, WAKE or LOOK or NOTHING).

    Marches by safe steps |u|/L, where L bounds du/dt from above for all later times (every mode decays towards zero), so no
    crossing is passed over. ``my.low``, ``my.high``: flux between which the part rests whatever its current. ``known``: the flux that
    flowing loops couple in is known for this long; it is not asked what comes after.
    """
    row = my.row
    tau = my.tau
    beta = my.beta
    ib = my.ib
    low = my.low
    high = my.high
    q = me.q
    leak = me.leak
    ext_slope = me.ext_slope
    rising = ext_slope if ext_slope > 0.0 else 0.0
    falling = -ext_slope if ext_slope < 0.0 else 0.0
    fed = me.in1 != 0.0 or me.in2 != 0.0 or me.in3 != 0.0
    top = me.steady + me.ext + me.in0
    bottom = top
    loaded = my.enter_stop > my.enter_start
    for m in range(start, stop):
        a = amplitude[m]
        if loaded and arm[m] == 2:
            continue
        if a > 0.0:
            top += a
        elif a < 0.0:
            bottom += a
    if rising == 0.0 and falling == 0.0 and not fed and top < high and bottom > low:
        return NEVER, NOTHING
    steep = scale[row, 5] + 8.0 / beta
    # Up to half a quantum the threshold of a symmetric SQUID only falls with |phi|; an RTTI dendrite's rises again.
    even = shape[row, 5] == 1 and scale[row, 4] == 0.0
    t = 0.0
    psi_first = 0.0
    for _ in range(48):
        phi, one, current = flux_at(me, amplitude, tau_modes, arm, start, stop, t)
        e = exp(-t / tau)
        if not loaded:
            current = q * e
        psi = rest_phase(rest, shape, scale, levels, row, phi, ib) - my.rest_origin + PI * one
        if t == 0.0:
            psi_first = psi
        # The leak relaxes towards the phase: exact while the phase stays, and a phase that has just changed has not leaked yet.
        s = current + (psi - psi_first + (psi_first - leak) * e) / beta
        effective = phi + scale[row, 6] + scale[row, 4] * (ib - s)
        threshold, _, _ = level(shape, scale, levels, row, effective)
        u = ib - s - threshold
        if u > EDGE:
            return t, WAKE
        u -= EDGE
        up = rising
        down = falling
        inside = me.in0 + t * (me.in1 + t * (me.in2 + t * me.in3))
        top = me.steady + me.ext + ext_slope * t + inside
        bottom = top
        back = abs(q) * e / tau
        if loaded:
            back = 0.0
        for m in range(start, stop):
            a = amplitude[m]
            if a != 0.0:
                v = a * exp(-t / tau_modes[m])
                if arm[m] == 2:
                    back += abs(v) / tau_modes[m]
                elif v > 0.0:
                    down += v / tau_modes[m]
                    top += v
                else:
                    up -= v / tau_modes[m]
                    bottom += v
        if fed:
            left = known - t
            fastest = abs(me.in1 + t * (2.0 * me.in2 + t * 3.0 * me.in3))
            fastest += left * (abs(2.0 * me.in2 + t * 6.0 * me.in3) + left * abs(3.0 * me.in3))
            up += fastest
            down += fastest
            top += fastest * left
            bottom -= fastest * left
        if rising > 0.0:  # a ramp has no top
            top = NEVER
        if falling > 0.0:
            bottom = -NEVER
        if top < high and bottom > low:
            return NEVER, NOTHING
        back += abs(psi_first - leak) / beta * e / tau
        if even and phi >= 0.0 and phi <= 0.5 and low < 0.0 and high > 0.0 and high < 0.5:
            # Upwards the threshold must be met with |phi| growing; downwards the flux must first cross the whole dead band.
            h = -u / (back + steep * up + 1e-30)
            if down > 0.0 and bottom <= low:
                way = (phi - low) / down
                if way < h:
                    h = way
        elif even and phi <= 0.0 and phi >= -0.5 and low < 0.0 and high > 0.0 and low > -0.5:
            h = -u / (back + steep * down + 1e-30)
            if up > 0.0 and top >= high:
                way = (high - phi) / up
                if way < h:
                    h = way
        else:
            rate = up if up > down else down
            h = -u / (back + steep * rate + 1e-30)
        if h < 1.0e-6:
            return t + 1.0e-6, WAKE
        if t + h > 1.0e9 or t + h > known:
            return NEVER, NOTHING
        t += h
    return t, LOOK
