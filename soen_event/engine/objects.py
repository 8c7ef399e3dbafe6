"""The parts of a network as the reference engine has them: loops, detectors and neurons as objects, with what each of them does.

A loop changes in three steps: *touch* (bring it to the present, in closed form), the change itself, *look ahead* (say when
its own next event comes). Sums of floats are not associative, so the order of operations is part of the specification.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from soen_event.engine.events import BEYOND, later, new_turn, rearm_level, shown_turn, stop_turning, turn_on
from soen_event.engine.learn import MOST
from soen_event.engine.state import (
    AREAS,
    AT_OFFSET,
    AT_WEIGHT,
    CURRENTS,
    DETECTED,
    FOREVER,
    IN_DEAD_TIME,
    IN_HOTSPOT,
    MISSED,
    PARENT,
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
    source_soft,
    stays_at,
)
from soen_event.physics.loop import (
    CROSS,
    EDGE,
    FLUXON,
    HELD,
    NEVER,
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
    fallen_back,
    late_and_lag,
    leak_after,
    leaked,
    plan_rest,
    plan_run,
    rest_phase,
    saddle_node,
    square_area,
    stalls,
    wake_after,
)
from soen_event.physics.random import DETECTION, PLASTICITY, uniform
from soen_event.physics.source import BELOW, OFFSET, SHIFT, STEEPEST, level, source_at
from soen_event.physics.storage import HIDDEN, STOCHASTIC, level_below, stored
from soen_event.plan import PULSE, QUANTA


@dataclass
class Coupling:
    """What enters ``source`` adds ``J`` times as much to the flux of the target's mode."""

    source: Loop
    target: Loop
    mode: int
    J: float

    def becomes(self, J: float) -> None:
        """Another strength; the flux of the current that is there changes with it at once."""
        if self.source.awake == 0:  # else the target reads the current itself
            self.target.amplitude[self.mode] += (J - self.J) * (self.source.q + self.source.phase_out)
        self.J = J


class Loop:
    """The integration loop of a dendrite or soma with its SQUID (``physics/loop.py`` has the equations)."""

    # What changes; a State holds it under the same names. Currents in I_c, phases in rad, fluxes in Phi0.
    since: int  # fs up to which the loop has been advanced
    mode: int  # SLEEP, REST, RUN, or HELD after a purge
    q: float  # current of the quanta
    leak: float  # the current is q + (psi - leak)/beta
    psi: float
    shown: float  # the phase that the loops it couples to have been told of, and the current that it makes for them
    phase_out: float
    late: float  # by how much a turn's slip comes before its end, and how far the phase's mean is behind that of the bottleneck
    lag: float
    z: float  # saddle-node coordinate
    theta: float  # phase of the turn, pi at its bottleneck (warm or flowing: since the last fluxon); its rate and the derivative of that
    rate: float
    curve: float
    u: float  # distance above threshold when last looked at; its derivative; gain of the saddle-node
    u_slope: float
    gain: float
    turn: float  # a warm SQUID: where its turn ends, the draw that says so, Fano factor, its integral over theta
    luck: float
    fano: float
    spread: float
    first: int  # 1: it has just begun to turn
    steady: float  # flux of offset and hotspots
    ext: float  # flux of piecewise linear drives, its slope, and what of both threads one arm
    ext_slope: float
    arm: float
    arm_slope: float
    in0: float  # flux that flowing loops couple in: a cubic of the time since ``since``
    in1: float
    in2: float
    in3: float
    hot: int  # number of hotspots
    next_kind: int  # what the loop waits for
    armed: int  # a soma: 1 if it may spike
    ready_fs: int  # a soma: end of its absolute refractory time
    fluxons: int
    slip_loss: float  # dissipated energies, I_c Phi0/2 pi
    leak_loss: float
    purge_loss: float
    # A flowing loop only: its current is a cubic of the time since ``since``.
    c1: float
    c2: float
    c3: float
    h: float  # length to try for the next step, and length of the last one
    step: float
    end_fs: int
    err: float  # bound of the error of q, how fast the step adds to it, and how fast it fades
    err_rate: float
    fade: float
    awake: (
        int  # 1: those that it couples to read its current from the cubic given out at ``out_fs``, good to ``out_end``
    )
    out_fs: int
    out_end: int
    out0: float
    out1: float
    out2: float
    out3: float
    current_area: float  # of a watched loop: integrals of its current and its flux up to ``since``, ns
    flux_area: float

    def __init__(self, number: int, part: Any, state: Any, modes: list[list], next_fs: int, tables: Any, tau_0: float):
        self.number, self.part, self.tables, self.tau_0 = number, part, tables, tau_0
        vars(self).update(vars(state))
        # Exponentials of the flux: time constant, 1 if it threads one arm, amplitude, hotspots that rise through it.
        self.mode_tau, self.mode_arm, self.amplitude, self.mode_hot = modes
        self.couplings: list[Coupling] = []
        self.feeds: list[Coupling] = []  # from flowing loops
        # A loop that loads others: what a quantum adds to modes of its own, and to those of others (times J of a coupling, if any).
        self.own_parts: list[tuple[int, float]] = []
        self.other_parts: list[tuple[Loop, int, Coupling | None, float]] = []
        self.reach: list[Loop] = []
        self.next_fs = next_fs
        self.event: Any = None  # the loop's own next event

    def current(self) -> float:
        return self.q + (self.psi - self.leak) / self.part.beta

    @property
    def loaded(self) -> bool:
        """Whether others load it: then its current is made of modes that all of them share."""
        return self.part.enter_stop > self.part.enter_start

    def shared_current(self) -> float:
        """The current of a loaded loop, from its modes."""
        current = 0.0
        for m, v in enumerate(self.amplitude):
            if self.mode_arm[m] == 2:
                current += v
        return current

    def _phase(self, phi: float, one: float) -> float:
        """Phase within the turn at flux ``phi``, of which ``one`` threads a single arm."""
        my = self.part
        shape, scale, _, levels, rest = self.tables
        return rest_phase(rest, shape, scale, levels, my.row, phi, my.ib) - my.rest_origin + PI * one + self.lag

    def _level(self, phi: float, i: float) -> tuple:
        """Threshold of the SQUID's current ``i`` at flux ``phi``: (threshold, derivative, gain)."""
        row = self.part.row
        shape, scale, _, levels, _ = self.tables
        return level(shape, scale, levels, row, phi + scale[row, OFFSET] + scale[row, SHIFT] * i)

    # ------------------------------------------------------------------ touch

    def touch(self, now: int) -> int:
        """Bring the loop to time ``now``; returns how many fluxons of a flowing loop this was."""
        if now <= self.since:
            return 0
        dt = (now - self.since) * 1.0e-6
        leak, whole = self.leak, 0
        if self.part.watched == 1:
            self._watch(dt)
        if self.part.flow == 1:
            whole = self._touch_flow(now, dt)
        else:
            self._touch_fluxon(now, dt)
        if self.part.watched == 1:  # the phase's part of the current leaks by itself
            self.current_area += self.part.tau * (self.leak - leak) / self.part.beta
        return whole

    def _watch(self, dt: float) -> None:
        """The integrals of the flux and of the current, as far as it is of quanta, over the next ``dt`` ns."""
        my = self.part
        flux = (self.steady + self.ext + 0.5 * self.ext_slope * dt) * dt
        flux += cubic_area(self.in0, self.in1, self.in2, self.in3, dt)
        current = 0.0
        for v, tau, arm in zip(self.amplitude, self.mode_tau, self.mode_arm, strict=True):
            if v != 0.0:
                area = v * tau * (1.0 - exp(-dt / tau))
                if arm == 2:
                    current += area
                else:
                    flux += area
        if my.flow == 1 and self.mode == RUN:
            current = cubic_area(self.q, self.c1, self.c2, self.c3, dt)
        elif not self.loaded and self.mode != HELD:
            current = self.q * my.tau * (1.0 - exp(-dt / my.tau))
        self.flux_area += flux
        self.current_area += current

    def current_at(self, now: int) -> float:
        """Its current at ``now``, to which it need not have been brought: of whole quanta where they are events."""
        dt = (now - self.since) * 1.0e-6
        if self.mode == HELD or dt <= 0.0:
            return self.q
        if self.part.flow == 1:
            if self.mode == RUN:
                return cubic(self.q, self.c1, self.c2, self.c3, dt)
        elif self.loaded:
            current = 0.0
            for v, tau, arm in zip(self.amplitude, self.mode_tau, self.mode_arm, strict=True):
                if arm == 2:
                    current += v * exp(-dt / tau)
            return current
        return self.q * exp(-dt / self.part.tau)

    def _touch_flow(self, now: int, dt: float) -> int:
        """A flowing loop follows its cubic, or decays asleep; every 2 pi that its phase turns is a fluxon."""
        my = self.part
        for m, v in enumerate(self.amplitude):
            if v != 0.0:
                self.amplitude[m] = v * exp(-dt / self.mode_tau[m])
        self.ext += self.ext_slope * dt
        self.arm += self.arm_slope * dt
        self.since = now
        if self.mode == HELD:
            return 0
        q = self.q
        if self.mode != RUN:
            e = exp(-dt / my.tau)
            self.leak_loss += 0.5 * my.beta * q * q * (1.0 - e * e)
            self.q = q * e
            self.err *= e
            return 0
        curve = q, self.c1, self.c2, self.c3
        s = cubic(*curve, dt)
        turn = my.beta * (s - q + cubic_area(*curve, dt) / my.tau)
        leak = my.beta * cubic_square_area(*curve, dt) / my.tau
        self.leak_loss += leak
        self.slip_loss += turn * my.ib - 0.5 * my.beta * (s * s - q * q) - leak
        theta = self.theta + turn
        whole = 0
        if theta >= TWO_PI:
            whole = int(theta / TWO_PI)
            self.fluxons += whole
            theta -= whole * TWO_PI
        self.theta = theta
        self.q = s
        self.c1 = curve[1] + dt * (2.0 * curve[2] + dt * 3.0 * curve[3])
        self.c2 = curve[2] + dt * 3.0 * curve[3]
        self.err = self.err / (1.0 + dt * self.fade) + self.err_rate * dt
        return whole

    def _touch_fluxon(self, now: int, dt: float) -> None:
        """Modes and quanta decay, the phase within the turn moves on, the leak follows."""
        my = self.part
        if dt > PANEL and self.mode != HELD:
            shape, scale, _, levels, rest = self.tables
            self.psi, self.leak = leak_after(
                self,
                self.amplitude,
                self.mode_tau,
                self.mode_arm,
                0,
                len(self.amplitude),
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

        if self.loaded:
            modes = self.amplitude, self.mode_tau, self.mode_arm, 0, len(self.amplitude)
            self.leak_loss += my.beta / my.tau * square_area(*modes, dt)
        phi = self.steady + cubic(self.in0, self.in1, self.in2, self.in3, dt)
        one = current = 0.0
        for m, v in enumerate(self.amplitude):
            if v != 0.0:
                v *= exp(-dt / self.mode_tau[m])
                self.amplitude[m] = v
                if self.mode_arm[m] == 2:
                    current += v
                else:
                    phi += v
                    if self.mode_arm[m] == 1:
                        one += v
        self.ext += self.ext_slope * dt
        self.arm += self.arm_slope * dt
        phi += self.ext
        one += self.arm
        self.since = now

        e = exp(-dt / my.tau)
        self.phase_out *= e
        if self.mode != HELD:
            if self.loaded:
                self.q = current
            else:
                q = self.q
                self.leak_loss += 0.5 * my.beta * q * q * (1.0 - e * e)
                self.q = q * e
            if dt <= PANEL:
                psi = self._phase(phi, one)
                self.leak = leaked(self.leak, self.psi, psi, 1.0 - e)
                self.psi = psi

        if self.mode == RUN:
            turned = dt * (self.rate + 0.5 * self.curve * dt)
            self.theta += turned
            self.spread += self.fano * turned
        elif self.mode == REST:
            self.z = saddle_node(self.z, self.gain * (self.u + 0.5 * self.u_slope * dt), dt / self.tau_0)
        elif self.mode == SLEEP:
            i = my.ib - self.current()
            threshold, _, _ = self._level(phi, i)
            u = i - threshold
            mean = 0.5 * (self.u + u)
            if mean < 0.0:
                self.z = saddle_node(self.z, self.gain * mean, dt / self.tau_0)
            self.u = u

    # ------------------------------------------------------------------ look ahead

    def draw_in(self, now: int) -> tuple[float, float, float]:
        """Add up the cubics of the flowing loops that couple in: (ns for which all hold, ns to which to step, bound of their flux)."""
        a0 = a1 = a2 = a3 = bound = 0.0
        until = reach = FOREVER
        for feed in self.feeds:
            other = feed.source
            if other.awake == 1:
                t = (now - other.out_fs) * 1.0e-6
                a0 += feed.J * cubic(other.out0, other.out1, other.out2, other.out3, t)
                a1 += feed.J * (other.out1 + t * (2.0 * other.out2 + t * 3.0 * other.out3))
                a2 += feed.J * (other.out2 + t * 3.0 * other.out3)
                a3 += feed.J * other.out3
                bound += abs(feed.J) * other.out_top
                end = other.out_end
                until = min(until, end)
                if self.part.ring >= 0 and other.part.ring == self.part.ring:
                    end += BEYOND * (end - other.out_fs + 1)
                reach = min(reach, end)
        self.in0, self.in1, self.in2, self.in3 = a0, a1, a2, a3
        if until == FOREVER:
            return NEVER, NEVER, bound
        return (until - now) * 1.0e-6, (reach - now) * 1.0e-6, bound

    def look_ahead(self, now: int, undisturbed: bool, fresh: bool) -> None:
        """Set ``next_fs`` and ``next_kind``. ``undisturbed``: the flux is as touched, so its phase is known.

        ``fresh``: a photon, a hotspot's end or a drive has just changed the flux.
        """
        my = self.part
        known, reach, bound = self.draw_in(now) if self.feeds else (NEVER, NEVER, 0.0)
        if self.mode == HELD:
            self.next_fs, self.next_kind = self.ready_fs, RELEASE
            return
        if my.flow == 1 and self.mode == SLEEP and rests(self, my, self.amplitude, 0, len(self.amplitude), bound):
            self.next_fs, self.next_kind = FOREVER, NOTHING
            return
        shape, scale, cells, levels, rest = self.tables
        phi = self.steady + self.ext + self.in0
        phi_slope = self.ext_slope + self.in1
        one = self.arm
        one_slope = self.arm_slope
        fall = 0.0
        for m, v in enumerate(self.amplitude):
            if v != 0.0:
                w = v / self.mode_tau[m]
                if self.mode_arm[m] == 2:
                    fall += w
                else:
                    phi += v
                    phi_slope -= w
                    if self.mode_arm[m] == 1:
                        one += v
                        one_slope -= w
        if my.flow == 0 and not undisturbed:
            self.psi = self._phase(phi, one)
        s = self.current()
        i = my.ib - s
        if self.loaded:
            fall += (self.psi - self.leak) / (my.beta * my.tau)
        else:
            fall = s / my.tau
        if my.flow == 1:
            r, g_phi, g_i, u, u_phi, gain = source_soft(shape, scale, cells, levels, my.row, phi, i, SOFT * my.own)
            self.u_slope = fall + u_phi * phi_slope
            self._plan_flow(now, (known, reach, bound), r, g_phi * phi_slope, g_i, u, gain, fresh)
            return
        r, g_phi, g_i, u, u_phi, gain = source_at(shape, scale, cells, levels, my.row, phi, i)
        flux = self.amplitude, self.mode_tau, self.mode_arm, 0, len(self.amplitude)

        late = lag = 0.0
        above = u - scale[my.row, BELOW]
        if above > 0.0:
            late, lag = late_and_lag(rest, shape, scale, my.row, phi + scale[my.row, SHIFT] * i, above, r)

        if my.warm == 1:
            self.u, self.u_slope, self.gain = u, fall + u_phi * phi_slope, gain
            if u > EDGE:
                bend_u = abs(s) / (my.tau * my.tau)
                for v, tau in zip(self.amplitude, self.mode_tau, strict=True):
                    bend_u += scale[my.row, STEEPEST] * abs(v) / (tau * tau)
                self.lag = lag
                fano = source_at(shape, scale, cells, levels, my.row + 1, phi, i)[0]
                i_slope = fall - PI * one_slope / my.beta
                h, kind = turn_on(self, my, r, g_phi, g_i, phi_slope, i_slope, bend_u, fano, self.tau_0)
            else:
                stop_turning(self)
                h, kind = wake_after(self, my, *flux, shape, scale, levels, rest, known)
            self.next_fs, self.next_kind = later(now, h), kind
            return

        self.late = late
        if self.mode == RUN:
            i_slope = fall - PI * one_slope / my.beta
            a, a_slope = gain * u, gain * (i_slope + u_phi * phi_slope) * self.tau_0
            if u > 0.0 and r > 0.0 and not stalls(self.theta, a, a_slope, r):
                self.u, self.gain, self.lag = u, gain, lag
                need = TWO_PI - late - self.theta
                self.rate, self.curve, h, complete = plan_run(
                    r, g_phi, g_i, phi_slope, i_slope, my.tau, self.tau_0, need
                )
                self.next_fs, self.next_kind = later(now, h), FLUXON if complete == 1 else STEP
                return
            self.mode = REST
            if u > 0.0 and r > 0.0:
                self.z = fallen_back(self.theta, a, r, a_slope / a)
            else:
                self.z = fallen_back(self.theta, self.gain * self.u, self.rate * self.tau_0, 0.0)
            self.psi -= self.lag
            self.theta = self.rate = self.curve = self.lag = 0.0

        self.u, self.gain = u, gain
        self.u_slope = fall + u_phi * phi_slope
        if u > EDGE:
            self.mode = REST
        elif self.mode == REST and (self.z <= 0.0 or self.z * self.z <= -gain * u):
            self.mode = SLEEP
        if self.mode == REST:
            h, kind = plan_rest(self.z, u, self.u_slope, gain, self.tau_0, r, late)
        else:
            h, kind = wake_after(self, my, *flux, shape, scale, levels, rest, known)
        self.next_fs, self.next_kind = later(now, h), kind

    def _plan_flow(
        self, now: int, inputs: tuple, r: float, r_slope: float, g_i: float, u: float, gain: float, fresh: bool
    ) -> None:
        """Next step of a flowing loop, or its sleep; arguments as its flux and current now make them."""
        my = self.part
        shape, scale, cells, levels, _ = self.tables
        flux = self.amplitude, self.mode_tau, 0, len(self.amplitude)
        known, reach, bound = inputs
        drive = 1.0 / (self.tau_0 * my.beta)
        woken = self.mode == REST
        slides = self.mode == RUN and self.u_slope > 0.0 and u > -stays_at(my.own)
        if u <= 0.0 and not woken and not slides:
            asleep = self.mode == SLEEP
            self.mode = SLEEP
            if not asleep and rests(self, my, self.amplitude, 0, len(self.amplitude), bound):
                self.next_fs, self.next_kind = FOREVER, NOTHING
                return
            h, self.next_kind = flow_wake(self, my, *flux, shape, scale, levels, self.tau_0, known)
            self.next_fs = later(now, h)
            return
        going = int(self.mode == RUN)
        if self.mode != RUN:
            self.mode, self.step = RUN, 0.0
            self.theta = PI  # at rest the phase is half a turn from its next slip (circuit.md 4)
            if woken:
                self.h = onset_step(my.own, gain, self.u_slope, drive)
            else:
                fresh = True
        if fresh and not woken:
            self.h = first_guess(my.own, r, r_slope, g_i, self.q, my.tau, drive)
        # Where nothing else is said, the input's next piece comes first.
        self.next_fs, self.next_kind, self.end_fs = FOREVER, NOTHING, now
        if reach <= 0.0:
            return
        h = flow_step(self, my, *flux, shape, scale, cells, levels, self.tau_0, r, r_slope, g_i, u, reach, going)
        self.end_fs = now + int(h * 1.0e6 + 0.5)
        if h < reach or my.ring >= 0:
            self.next_fs, self.next_kind = self.end_fs, STEP
        if my.neuron >= 0:
            self._plan_crossing(now, h)

    def _plan_crossing(self, now: int, h: float) -> None:
        """A soma passes its threshold upwards within its step, or downwards the current below which it is armed again."""
        my = self.part
        curve = self.q, self.c1, self.c2, self.c3
        low = rearm_level(my.threshold, my.quantum)
        if self.armed == 0 and self.q < low:
            self.armed = 1
        kind = CROSS
        if self.armed == 0:
            t = first_crossing(*curve, low, 0, h)
            kind = STEP
        elif self.q >= my.threshold:
            t = 0.0
        else:
            t = first_crossing(*curve, my.threshold, 1, h)
        if t >= 0.0 and later(now, t) <= self.end_fs:
            self.next_fs, self.next_kind = later(now, t), kind

    def give_out(self, now: int, own: bool) -> int:
        """Whether those that a flowing loop couples to must be told of its current; the new cubic is put out for them.

        ``own``: it plans because of an event of its own, not because another has told it something.

        Returns 0: what they were told is still good enough; 1: tell them; 2: it wakes; 3: it has fallen asleep, and the
        current that it had reaches them as a decaying exponential from now on.
        """
        if not self.couplings:
            return 0
        if self.mode != RUN:
            told = 3 if self.awake == 1 else 0
            self.awake = 0
            return told
        told = 2
        if self.awake == 1:
            told = 1
            until = min(self.out_end, self.end_fs)
            held_back = not own or self.part.ring >= 0 or self.end_fs <= self.out_end
            if self.out_end > now and until > now and held_back:
                t = (now - self.out_fs) * 1.0e-6
                late = largest(
                    self.q - cubic(self.out0, self.out1, self.out2, self.out3, t),
                    self.c1 - (self.out1 + t * (2.0 * self.out2 + t * 3.0 * self.out3)),
                    self.c2 - (self.out2 + t * 3.0 * self.out3),
                    self.c3 - self.out3,
                    (until - now) * 1.0e-6,
                )
                if late <= self.part.slack:
                    told = 0
        if told > 0:
            self.awake, self.out_fs, self.out_end = 1, now, self.end_fs
            self.out0, self.out1, self.out2, self.out3 = self.q, self.c1, self.c2, self.c3
            self.out_top = highest(self.q, self.c1, self.c2, self.c3, (self.end_fs - now) * 1.0e-6)
        elif self.out_end < self.next_fs:
            self.next_fs, self.next_kind = self.out_end, STEP
        return told

    # ------------------------------------------------------------------ changes

    def wake(self) -> None:
        """The loop crosses its threshold by itself: its saddle-node starts where a steady drive has it."""
        my = self.part
        self.mode = REST
        if my.flow == 1 or my.warm == 1:
            return
        phi = self.steady + self.ext + self.in0
        phi_slope = self.ext_slope + self.in1
        s = self.current()
        fall = (self.psi - self.leak) / (my.beta * my.tau) if self.loaded else s / my.tau
        for v, tau, arm in zip(self.amplitude, self.mode_tau, self.mode_arm, strict=True):
            if arm == 2:
                fall += v / tau
            else:
                phi += v
                phi_slope -= v / tau
        _, slope, gain = self._level(phi, my.ib - s)
        self.z = airy_start(gain, fall - slope * phi_slope, self.tau_0)

    def quantum_in(self, seed: int) -> None:
        """A flux quantum enters and a new turn begins. The bias does the work 2 pi ib; the loop stores a part."""
        my = self.part
        self.slip_loss += TWO_PI * (my.ib - self.q - 0.5 * my.quantum)
        self.q += my.quantum
        for m, value in self.own_parts:
            self.amplitude[m] += value
        self.theta = self.turn = -self.late
        self.mode = RUN
        self.fluxons += 1
        if my.warm == 1:
            new_turn(self, my, seed)

    def fires(self, now: int, pushed: float) -> bool:
        """Whether a soma crosses its threshold upwards with the current that has just entered, one fluxon or more at once.

        After a spike it is armed again once a fluxon finds its current one quantum (at most half the threshold) below
        threshold; a crossing within the absolute refractory time is lost. Its phase counts as in the bottleneck, to which a turn goes
        on quickly.
        """
        my = self.part
        s = self.q + (self.psi - self.lag - self.leak) / my.beta
        if s - pushed < rearm_level(my.threshold, my.quantum):
            self.armed = 1
        if self.armed == 0 or s < my.threshold:
            return False
        if now < self.ready_fs:
            self.armed = 0
            return False
        return True

    def spike(self, now: int) -> None:
        """What its spike does to a soma: it is refractory, and emptied and held if it is purged."""
        my = self.part
        self.armed = 0
        self.ready_fs = now + my.t_ref_fs
        if my.purge == 1:
            self.purge_loss += 0.5 * my.beta * self.q * self.q
            self.q = self.leak = self.psi = self.z = self.theta = self.rate = self.curve = self.err = 0.0
            self.late = self.lag = 0.0
            if self.loaded:
                self.amplitude = [0.0 if arm == 2 else v for v, arm in zip(self.amplitude, self.mode_arm, strict=True)]
            self.mode = HELD

    def release(self) -> None:
        """A purged soma may make fluxons again."""
        self.mode = SLEEP
        self.z = 0.0

    def kick(self, change: Any) -> float:
        """The external flux changes: a pulse begins, or a piecewise linear drive has a corner; or quanta enter, returned as current."""
        my = self.part
        if change.kind == QUANTA:
            if self.mode == HELD:
                return 0.0
            pushed = change.x * my.quantum
            self.leak_loss -= TWO_PI * change.x * (self.q + 0.5 * pushed)
            self.q += pushed
            for m, value in self.own_parts:
                self.amplitude[m] += change.x * value
            return pushed
        if change.kind == PULSE:
            self.amplitude[change.fall] += change.x
            self.amplitude[change.rise] -= change.x
        else:
            self.ext += change.x
            self.ext_slope += change.y
            if change.arm == 1:
                self.arm += change.x
                self.arm_slope += change.y
        return 0.0

    def trace_row(self) -> tuple[float, ...]:
        """With the amplitudes, all from which current and flux follow until the next row: TRACE_FIELDS."""
        theta = self.theta
        if self.part.flow == 1:
            course = self.c1, self.c2, self.c3
        else:
            runs = self.mode == RUN and self.rate > 0.0
            course = self.rate, self.curve, self.gain * self.u / self.rate if runs else 0.0
            if runs and self.part.warm == 0:
                whole = TWO_PI / (TWO_PI - self.late - self.turn)
                theta = whole * (self.theta - self.turn)
                course = whole * self.rate, whole * self.curve, course[2]
            elif runs:
                whole, middle = shown_turn(self, self.tables[1][self.part.row, BELOW])
                theta = TWO_PI + whole * (self.theta - self.turn)
                course = whole * self.rate, whole * self.curve, middle
        return (
            self.q,
            self.leak,
            self.psi,
            theta,
            *course,
            self.steady,
            self.ext,
            self.ext_slope,
            self.arm,
            self.arm_slope,
            self.in0,
            self.in1,
            self.in2,
            self.in3,
            self.lag,
            self.phase_out,
        )


class Detector:
    """The single-photon detector of a synapse. Its own flux is kept before the weight with which it enters the loop."""

    flux: float  # Phi0, at ``seen_fs``
    seen_fs: int
    in_hotspot: int
    dead_fs: int  # end of the dead time
    arrived: int  # photons so far
    weight: float

    def __init__(self, part: Any, state: Any, loop: Loop, first_mode: int):
        self.part, self.loop = part, loop
        vars(self).update(vars(state))
        self.fall, self.rise = part.fall - first_mode, part.rise - first_mode  # modes of the loop

    def fate(self, now: int, drawn: bool, seed: int) -> int:
        """What becomes of a photon. ``drawn``: its efficiency was already drawn with the emission."""
        its = self.part
        ordinal = self.arrived
        self.arrived += 1
        if self.in_hotspot == 1:
            return IN_HOTSPOT
        if now < self.dead_fs:
            return IN_DEAD_TIME
        chance = 1.0 if drawn else its.efficiency
        if its.recovers == 1:
            chance *= recovery(self._fallen(now), its.peak)
        if chance < 1.0 and uniform(seed, its.key, ordinal, DETECTION, 0) >= chance:
            return MISSED
        return DETECTED

    def _fallen(self, now: int) -> float:
        return flux_after(self.flux, self.part.tau_fall, (now - self.seen_fs) * 1.0e-6)

    def hotspot_begins(self, now: int) -> None:
        """The wire turns resistive: its flux stops falling and rises towards its level."""
        its, loop, w = self.part, self.loop, self.weight
        f = self._fallen(now)
        loop.amplitude[self.fall] -= w * f
        if its.restarts == 1:
            f = 0.0
        loop.amplitude[self.rise] += w * (f - its.level)
        loop.mode_hot[self.rise] += 1
        loop.steady += w * its.level
        loop.hot += 1
        self.flux, self.seen_fs, self.in_hotspot = f, now, 1
        self.dead_fs = now + its.dead_fs

    def hotspot_ends(self, now: int) -> None:
        """The wire is superconducting again: its flux falls. The last hotspot of a loop leaves no rounding behind."""
        its, loop, w = self.part, self.loop, self.weight
        f = flux_in_hotspot(self.flux, its.level, its.tau_rise, (now - self.seen_fs) * 1.0e-6)
        loop.mode_hot[self.rise] -= 1
        if loop.mode_hot[self.rise] == 0:
            loop.amplitude[self.rise] = 0.0
        else:
            loop.amplitude[self.rise] -= w * (f - its.level)
        loop.hot -= 1
        if loop.hot == 0:
            loop.steady = loop.part.offset
        else:
            loop.steady -= w * its.level
        loop.amplitude[self.fall] += w * f
        self.flux, self.seen_fs, self.in_hotspot = f, now, 0

    def becomes(self, weight: float, now: int) -> None:
        """Another weight; the flux that it couples into its loop, which is at ``now``, changes with it at once."""
        its, more = self.part, weight - self.weight
        if self.in_hotspot == 1:
            f = flux_in_hotspot(self.flux, its.level, its.tau_rise, (now - self.seen_fs) * 1.0e-6)
            self.loop.amplitude[self.rise] += more * (f - its.level)
            self.loop.steady += more * its.level
        else:
            self.loop.amplitude[self.fall] += more * self._fallen(now)
        self.weight = weight


class Rule:
    """A rule of learning: its functions, its parameters ``p``, and which of them are time constants of its sites' variables."""

    def __init__(self, part: Any, hooks: dict[str, Any], parameters: dict[str, float], decay: dict[str, str]):
        self.part, self.hooks, self.decay = part, hooks, decay
        self.p = SimpleNamespace(**parameters)


class Site:
    """Where a rule changes a value: a synapse's weight, a loop's flux offset, or a coupling. ``values`` is what the rule sees."""

    def __init__(self, number: int, part: Any, rule: Rule, values: dict[str, float], since: int, place: Any):
        self.number, self.part, self.rule, self.since, self.place = number, part, rule, since, place
        self.values = SimpleNamespace(**values)
        self.loop: Loop
        self.post: Loop
        self.parent: Loop
        self.wanted = self.values.weight

    def catch_up(self, now: int) -> None:
        """Its variables decay to ``now``."""
        dt = (now - self.since) * 1.0e-6
        self.since = now
        if dt <= 0.0:
            return
        own, p = vars(self.values), vars(self.rule.p)
        for name, tau in self.rule.decay.items():
            if own[name] != 0.0:
                own[name] *= exp(-dt / p[tau])

    def ask(self, now: int, function: Any, seed: int) -> bool:
        """It hears an event. True if it wants another value, then in ``wanted``."""
        my, it, p = self.part, self.values, self.rule.p
        self.catch_up(now)
        it.change, it.now = 0.0, now * 1.0e-6
        if self.rule.part.reads & CURRENTS:
            it.current, it.post_current = self.loop.current_at(now), self.post.current_at(now)
        if self.rule.part.reads & AREAS:
            it.current_area, it.flux_area = self.loop.current_area, self.loop.flux_area
        if self.rule.part.reads & PARENT:
            it.parent_area = self.parent.current_area
        value = it.weight
        try:
            function(it, p)
            change = it.change * p.rate
        except (ArithmeticError, ValueError):  # machine code goes on with what is no number
            change = math.nan
        it.weight = it.change = self.wanted = value  # what the rule asks for goes through the memory
        if not abs(change) <= MOST:
            self.wanted = math.nan
            return True
        if change == 0.0 or it.now < p.begins or it.now >= p.ends:
            return False
        change = min(change, p.clip)
        change = max(change, -p.clip)
        draw = uniform(seed, my.key, int(it.asked), PLASTICITY, 0) if my.rounding == STOCHASTIC else 0.0
        it.asked += 1.0
        before = it.hidden
        new, it.hidden = stored(value, change, before, my.low, my.high, my.step, my.rounding, draw)
        if new == value:
            if my.rounding != HIDDEN or it.hidden == before:
                it.lost += 1.0
            return False
        self.wanted = it.change = new
        return True

    def bounded(self, factor: float) -> None:
        """It wants ``factor`` times as much, on levels of its memory the one towards zero."""
        my = self.part
        smaller = level_below(self.wanted * factor, my.low, my.step)
        self.wanted = self.values.change = min(max(smaller, my.low), my.high)
        self.values.hidden *= factor

    def put_in(self, now: int, touch: Any) -> list[Loop]:
        """It takes the value that it wants, another one than it has; returns the loops that this changes."""
        new, it = self.wanted, self.values
        old = it.weight
        if new != new:
            self.wanted = it.change = old
            return []
        it.weight = it.change = new
        it.writes += 1.0
        it.moved += abs(new - old)
        touch(self.loop)
        if self.part.kind == AT_WEIGHT:
            self.place.becomes(new * self.part.gain, now)
        elif self.part.kind == AT_OFFSET:
            self.loop.ext += (new - old) * self.part.gain
        else:
            touch(self.place.target)
            self.place.becomes(new * self.part.gain)
            return [self.loop, self.place.target]
        return [self.loop]


class Neuron:
    """The transmitter of a neuron, and the count of its spikes."""

    def __init__(self, part: Any, spikes: int):
        self.part, self.spikes = part, spikes
