"""The reference engine: a network as objects on SimPy, in plain Python. It says what the compiled engine has to do.

Both engines make the same events, the same counts and the same bits of every number;
:mod:`soen_event.engine.compiled` is some hundred times faster. They share the functions of :mod:`soen_event.physics`,
which run here uncompiled. All else is written twice.

Where to begin: :class:`ReferenceEngine`, "running". SimPy hands the next event to its handler (``_on_...``), which
changes one loop in three steps: *touch* (bring the loop to the present, in closed form), the change itself, *look
ahead* (say when the loop's own next event comes, and schedule it). A fluxon does the same to every loop that it
couples to. Every change thus replaces the loop's plan; the SimPy event of the plan before stays in SimPy's queue and
is passed over when it comes up, since the loop no longer knows it.

Time is in integer femtoseconds. Events of one time happen in the order of their keys, never in that of scheduling:
kicks, ends of hotspots, photons, loops, and each of these by row (:class:`Event`). Sums of floats are not associative,
so the order of operations is part of the specification.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import simpy
from simpy.core import EventPriority

from soen_event.engine.compiled import BUDGET_SPENT, DONE, LOG_COLUMNS, TRACE_COLUMNS
from soen_event.engine.state import (
    COUNTS,
    DETECTED,
    FOREVER,
    HEAP_SIZE,
    HOTSPOT_END,
    IN_DEAD_TIME,
    IN_HOTSPOT,
    KICK,
    LOOP,
    MISSED,
    NEXT_KICK,
    NEXT_PHOTON,
    NOW,
    PHASE_SHIFT,
    PHOTON,
    PLACE_MASK,
    TARGET_SHIFT,
    State,
    fresh,
    packed,
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
from soen_event.physics.source import OFFSET, SHIFT, Sources, level
from soen_event.physics.transmitter import first_photon_delay
from soen_event.plan import DARK, PHOTONS, PULSE

if TYPE_CHECKING:
    from soen_event.plan import Plan

COUNTED_AS = {DETECTED: "detections", IN_HOTSPOT: "lost_hotspot", IN_DEAD_TIME: "lost_dead", MISSED: "lost_efficiency"}


class Event(simpy.Event):
    """A SimPy event whose place among those of its time is (phase, target, source, ordinal), whoever schedules it.

    SimPy orders its queue by (time, priority, order of scheduling), and a priority may be any integer.
    """

    def __init__(
        self,
        env: simpy.Environment,
        fs: int,
        phase: int,
        target: int,
        source: int,
        ordinal: int,
        handler: Callable[[Any], None],
    ):
        super().__init__(env)
        self.fs, self.target, self.source, self.ordinal = fs, target, source, ordinal
        self.key = (phase << PHASE_SHIFT) | (target << TARGET_SHIFT) | source
        self.callbacks.append(handler)
        self._ok, self._value = True, None  # SimPy's mark of an event that will happen
        env.schedule(self, priority=EventPriority(self.key << 64 | ordinal), delay=fs - env.now)


def later(now: int, ns: float) -> int:
    """``now`` plus a positive time in ns, at least 1 fs later; FOREVER for NEVER."""
    if ns >= 1.0e12:
        return FOREVER
    return now + max(int(ns * 1.0e6 + 0.5), 1)


class Coupling(NamedTuple):
    """What a fluxon does to another loop: the flux of the target's mode grows by ``J`` times the quantum."""

    target: Loop
    mode: int
    J: float


class Loop:
    """The integration loop of a dendrite or soma with its SQUID (``physics/loop.py`` has the equations)."""

    # What changes; a State holds it under the same names. Currents in I_c, phases in rad, fluxes in Phi0.
    since: int  # fs up to which the loop has been advanced
    mode: int  # SLEEP, REST, RUN, or HELD after a purge
    q: float  # current of the quanta
    leak: float  # the current is q + (psi - leak)/beta
    psi: float
    z: float  # saddle-node coordinate
    theta: float  # phase since the last fluxon; its rate and the derivative of that
    rate: float
    curve: float
    u: float  # distance above threshold when last looked at; its derivative; gain of the saddle-node
    u_slope: float
    gain: float
    steady: float  # flux of offset and hotspots
    ext: float  # flux of piecewise linear drives, its slope, and what of both threads one arm
    ext_slope: float
    arm: float
    arm_slope: float
    hot: int  # number of hotspots
    next_kind: int  # what the loop waits for
    armed: int  # a soma: 1 if it may spike
    ready_fs: int  # a soma: end of its absolute refractory time
    fluxons: int
    slip_loss: float  # dissipated energies, I_c Phi0/2 pi
    leak_loss: float
    purge_loss: float

    def __init__(self, number: int, part: Any, state: Any, modes: list[list], next_fs: int, tables: Any, tau_0: float):
        self.number, self.part, self.tables, self.tau_0 = number, part, tables, tau_0
        vars(self).update(vars(state))
        # Exponentials of the flux: time constant, 1 if it threads one arm, amplitude, hotspots that rise through it.
        self.mode_tau, self.mode_arm, self.amplitude, self.mode_hot = modes
        self.couplings: list[Coupling] = []
        self.next_fs = next_fs
        self.event: Event | None = None  # the loop's own next event

    def current(self) -> float:
        return self.q + (self.psi - self.leak) / self.part.beta

    def _phase(self, phi: float, one: float) -> float:
        """Phase within the turn at flux ``phi``, of which ``one`` threads a single arm."""
        my = self.part
        shape, scale, _, levels, rest = self.tables
        return rest_phase(rest, shape, scale, levels, my.row, phi, my.ib) - my.rest_origin + PI * one

    def _level(self, phi: float, i: float) -> tuple:
        """Threshold of the SQUID's current ``i`` at flux ``phi``: (threshold, derivative, gain)."""
        row = self.part.row
        shape, scale, _, levels, _ = self.tables
        return level(shape, scale, levels, row, phi + scale[row, OFFSET] + scale[row, SHIFT] * i)

    def touch(self, now: int) -> None:
        """Bring the loop to time ``now``: modes and quanta decay, the phase moves on, the leak follows."""
        if now <= self.since:
            return
        my = self.part
        dt = (now - self.since) * 1.0e-6
        if dt > PANEL and self.mode != HELD:
            shape, scale, _, levels, rest = self.tables
            self.psi, self.leak = leak_after(
                self.leak,
                self.psi,
                self.amplitude,
                self.mode_tau,
                self.mode_arm,
                0,
                len(self.amplitude),
                self.steady,
                self.ext,
                self.ext_slope,
                self.arm,
                self.arm_slope,
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

        phi = self.steady
        one = 0.0
        for m, v in enumerate(self.amplitude):
            if v != 0.0:
                v *= exp(-dt / self.mode_tau[m])
                self.amplitude[m] = v
                phi += v
                if self.mode_arm[m] == 1:
                    one += v
        self.ext += self.ext_slope * dt
        self.arm += self.arm_slope * dt
        phi += self.ext
        one += self.arm
        self.since = now

        if self.mode != HELD:
            e = exp(-dt / my.tau)
            q = self.q
            self.leak_loss += 0.5 * my.beta * q * q * (1.0 - e * e)
            self.q = q * e
            if dt <= PANEL:
                psi = self._phase(phi, one)
                self.leak = leaked(self.leak, self.psi, psi, 1.0 - e)
                self.psi = psi

        if self.mode == RUN:
            self.theta += dt * (self.rate + 0.5 * self.curve * dt)
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

    def look_ahead(self, now: int, undisturbed: bool) -> None:
        """Set ``next_fs`` and ``next_kind``. ``undisturbed``: the flux is as touched, so its phase is known."""
        if self.mode == HELD:
            self.next_fs, self.next_kind = self.ready_fs, RELEASE
            return
        my = self.part
        shape, scale, cells, levels, rest = self.tables
        phi = self.steady + self.ext
        phi_slope = self.ext_slope
        one = self.arm
        one_slope = self.arm_slope
        for m, v in enumerate(self.amplitude):
            if v != 0.0:
                w = v / self.mode_tau[m]
                phi += v
                phi_slope -= w
                if self.mode_arm[m] == 1:
                    one += v
                    one_slope -= w
        if not undisturbed:
            self.psi = self._phase(phi, one)
        s = self.current()
        r, g_phi, g_i, u, u_phi, gain = source_at(shape, scale, cells, levels, my.row, phi, my.ib - s)

        if self.mode == RUN:
            if u > 0.0 and r > 0.0:
                i_slope = s / my.tau - PI * one_slope / my.beta
                self.u, self.gain = u, gain
                self.rate, self.curve, h, complete = plan_run(
                    r, g_phi, g_i, phi_slope, i_slope, my.tau, self.tau_0, self.theta
                )
                self.next_fs, self.next_kind = later(now, h), FLUXON if complete == 1 else STEP
                return
            self.mode = SLEEP
            self.z = fallen_back(self.theta, self.u * gain)
            self.theta = self.rate = self.curve = 0.0

        self.u, self.gain = u, gain
        self.u_slope = s / my.tau + u_phi * phi_slope
        if u > EDGE:
            self.mode = REST
        elif self.mode == REST and (self.z <= 0.0 or self.z * self.z <= -gain * u):
            self.mode = SLEEP
        if self.mode == REST:
            h, kind = plan_rest(self.z, u, self.u_slope, gain, self.tau_0)
        else:
            h, kind = wake_after(
                self.amplitude,
                self.mode_tau,
                self.mode_arm,
                0,
                len(self.amplitude),
                self.steady,
                self.ext,
                self.ext_slope,
                self.q,
                self.leak,
                my.tau,
                my.beta,
                my.ib,
                my.low,
                my.high,
                shape,
                scale,
                levels,
                my.row,
                rest,
                my.rest_origin,
                self.arm,
                self.arm_slope,
            )
        self.next_fs, self.next_kind = later(now, h), kind

    def wake(self) -> None:
        """The loop crosses its threshold by itself: its saddle-node starts where a steady drive has it."""
        my = self.part
        phi = self.steady + self.ext
        phi_slope = self.ext_slope
        for v, tau in zip(self.amplitude, self.mode_tau, strict=True):
            phi += v
            phi_slope -= v / tau
        s = self.current()
        _, slope, gain = self._level(phi, my.ib - s)
        self.mode = REST
        self.z = airy_start(gain, s / my.tau - slope * phi_slope, self.tau_0)

    def quantum_in(self) -> None:
        """A flux quantum enters and a new turn begins. The bias does the work 2 pi ib; the loop stores a part."""
        my = self.part
        more = self.q + my.quantum
        self.slip_loss += TWO_PI * my.ib - 0.5 * my.beta * (more * more - self.q * self.q)
        self.q = more
        self.theta = 0.0
        self.mode = RUN
        self.fluxons += 1

    def fires(self, now: int) -> bool:
        """Whether a soma crosses its threshold upwards with the fluxon that has just entered.

        After a spike it is armed again once a fluxon finds its current one quantum (at most half the threshold) below
        threshold; a crossing within the absolute refractory time is lost.
        """
        my = self.part
        s = self.current()
        low = my.threshold - my.quantum
        if low < 0.5 * my.threshold:
            low = 0.5 * my.threshold
        if s - my.quantum < low:
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
            self.q = self.leak = self.psi = self.z = self.theta = self.rate = self.curve = 0.0
            self.mode = HELD

    def release(self) -> None:
        """A purged soma may make fluxons again."""
        self.mode = SLEEP
        self.z = 0.0

    def kick(self, change: Any) -> None:
        """The external flux changes: a pulse begins, or a piecewise linear drive has a corner."""
        if change.kind == PULSE:
            self.amplitude[change.fall] += change.x
            self.amplitude[change.rise] -= change.x
        else:
            self.ext += change.x
            self.ext_slope += change.y
            if change.arm == 1:
                self.arm += change.x
                self.arm_slope += change.y

    def trace_row(self) -> tuple[float, ...]:
        """With the amplitudes, all from which current and flux follow until the next row (columns ``T_...``)."""
        kappa = 0.0
        if self.mode == RUN and self.rate > 0.0:
            kappa = self.gain * self.u / self.rate
        return (
            self.q,
            self.leak,
            self.psi,
            self.theta,
            self.rate,
            self.curve,
            kappa,
            self.steady,
            self.ext,
            self.ext_slope,
            self.arm,
            self.arm_slope,
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


class Neuron:
    """The transmitter of a neuron with its waveguides (row, guide), and the count of its spikes."""

    def __init__(self, part: Any, guides: list[tuple[int, Any]], spikes: int):
        self.part, self.guides, self.spikes = part, guides, spikes

    def photons(self, now: int, seed: int) -> Iterator[tuple[int, int, int]]:
        """What a spike at ``now`` sends out: (fs of arrival, detector, source); source 0 is the soma's own spike."""
        my = self.part
        if my.refractory_detector >= 0:
            yield now, my.refractory_detector, 0
        if my.emission == DARK:
            return
        for w, guide in self.guides:
            arrives = now + my.latency_fs + guide.delay_fs
            if my.emission == PHOTONS:
                u = uniform(seed, guide.key, self.spikes, EMISSION_TIME, 0)
                late = first_photon_delay(u, guide.photons, my.tau_rad)
                if late < 0.0:
                    continue
                arrives += int(late * 1.0e6 + 0.5)
            elif guide.passes < 1.0 and uniform(seed, guide.key, self.spikes, LOSS, 0) >= guide.passes:
                continue
            yield arrives, guide.detector, w + 1


class ReferenceEngine:
    """The network of a Plan, run on a SimPy environment. The arguments and methods are those of the compiled engine.

    ``photon_fs``, ``photon_detector``: photons of the stimulus, sorted by (time, detector). ``want_*``: int64 flags per
    loop, loop and detector, what to log. ``state``: where to begin, written by either engine (by default at rest at
    time 0); it is only read.
    """

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
        self._photons = list(zip(photon_fs.tolist(), photon_detector.tolist(), strict=True))
        self._wants_fluxons, self._wants_trace = want_fluxons.tolist(), want_trace.tolist()
        self._wants_photons = want_photons.tolist()
        self._log: dict[str, list] = {name: [] for names in LOG_COLUMNS.values() for name in names}
        start = fresh(plan) if state is None else state
        self._now = int(start.cursor[NOW])
        self._next_kick, self._next_photon = int(start.cursor[NEXT_KICK]), int(start.cursor[NEXT_PHOTON])
        self._counts: dict[str, int] = dict(zip(COUNTS, start.counts.tolist(), strict=True))
        self._build(start)

        self.env = simpy.Environment(initial_time=self._now)
        self._under_way: set[Event] = set()  # travelling photons and the ends of present hotspots
        heap = zip(start.heap_fs.tolist(), start.heap_key.tolist(), start.heap_ordinal.tolist(), strict=True)
        for fs, key, ordinal in islice(heap, int(start.cursor[HEAP_SIZE])):
            self._send(fs, key >> PHASE_SHIFT, (key >> TARGET_SHIFT) & PLACE_MASK, key & PLACE_MASK, ordinal)
        self._schedule_kick()
        self._schedule_photon()
        for loop in self.loops:
            if state is None:
                self._look_ahead(loop, undisturbed=False)
                if loop.mode == SLEEP and loop.u < 0.0:
                    loop.z = -math.sqrt(-loop.gain * loop.u)  # at rest for ever
            else:
                self._schedule(loop)

    def _build(self, state: State) -> None:
        """Make the objects from the Plan and a state."""
        a, p = self.plan.arrays, packed(self.plan)
        first = a.mode_start.tolist()
        columns = a.mode_tau, a.mode_arm, state.amplitude, state.mode_hot
        tables = _tables(p.sources)
        self.loops = []
        for d, (part, values) in enumerate(zip(_rows(p.loops), _rows(state.loops), strict=True)):
            modes = [column[part.mode_start : part.mode_stop].tolist() for column in columns]
            self.loops.append(Loop(d, part, values, modes, int(state.next_fs[d]), tables, self.plan.tau_0))
        couplings = [
            Coupling(self.loops[d], mode - first[d], J)
            for d, mode, J in zip(a.out_loop.tolist(), a.out_mode.tolist(), state.out_J.tolist(), strict=True)
        ]
        for loop in self.loops:
            loop.couplings = couplings[loop.part.out_start : loop.part.out_stop]
        self.detectors = [
            Detector(part, values, self.loops[part.loop], first[part.loop])
            for part, values in zip(_rows(p.detectors), _rows(state.detectors), strict=True)
        ]
        self._guides = _rows(p.guides)
        numbered = list(enumerate(self._guides))
        self.neurons = [
            Neuron(part, numbered[part.guide_start : part.guide_stop], spikes)
            for part, spikes in zip(_rows(p.neurons), state.spikes.tolist(), strict=True)
        ]
        self._kicks = _rows(p.kicks)
        for change in self._kicks:
            change.fall -= first[change.loop]
            change.rise -= first[change.loop]

    # ------------------------------------------------------------------ running

    def advance(self, until_fs: int, budget: int) -> int:
        """Process events up to and including ``until_fs``, at most ``budget``; returns DONE or BUDGET_SPENT."""
        last = self._counts["events"] + budget
        while self._counts["events"] < last:
            if self.env.peek() > until_fs:
                return DONE
            self.env.step()
        return BUDGET_SPENT

    def _happens(self) -> int:
        """Count the event that SimPy has come to; returns its time."""
        self._counts["events"] += 1
        self._now = int(self.env.now)
        return self._now

    def _on_kick(self, event: Event) -> None:
        now = self._happens()
        self._counts["kicks"] += 1
        self._next_kick += 1
        self._schedule_kick()
        loop = self.loops[event.target]
        loop.touch(now)
        loop.kick(self._kicks[event.ordinal])
        self._look_ahead(loop, undisturbed=False)

    def _on_stimulus(self, event: Event) -> None:
        self._next_photon += 1
        self._schedule_photon()
        self._photon(event.target, drawn=False)

    def _on_arrival(self, event: Event) -> None:
        self._under_way.remove(event)
        self._photon(event.target, drawn=event.source > 0 and self._guides[event.source - 1].drawn == 1)

    def _photon(self, k: int, drawn: bool) -> None:
        """A photon reaches detector ``k``."""
        now = self._happens()
        detector = self.detectors[k]
        fate = detector.fate(now, drawn, self.seed)
        self._counts["photons"] += 1
        self._counts[COUNTED_AS[fate]] += 1
        if self._wants_photons[k] == 1:
            self._write(photon_fs=now, photon_detector=k, photon_fate=fate)
        if fate != DETECTED:
            return
        self._send(now + detector.part.hotspot_fs, HOTSPOT_END, k, 0, 0)
        detector.loop.touch(now)
        detector.hotspot_begins(now)
        self._look_ahead(detector.loop, undisturbed=False)

    def _on_hotspot_end(self, event: Event) -> None:
        now = self._happens()
        self._counts["hotspot_ends"] += 1
        self._under_way.remove(event)
        detector = self.detectors[event.target]
        detector.loop.touch(now)
        detector.hotspot_ends(now)
        self._look_ahead(detector.loop, undisturbed=False)

    def _on_loop(self, event: Event) -> None:
        loop = self.loops[event.target]
        if loop.event is not event:
            return  # something came in between, and the loop has another plan now
        now = self._happens()
        loop.touch(now)
        kind = loop.next_kind
        if kind in (FLUXON, SLIP):
            self._fluxon(loop, now)
            return
        if kind == WAKE:
            loop.wake()
            self._counts["wakes"] += 1
        elif kind == RELEASE:
            loop.release()
        else:
            self._counts["steps"] += 1
        self._look_ahead(loop, undisturbed=kind != RELEASE)

    def _fluxon(self, loop: Loop, now: int) -> None:
        """A fluxon enters ``loop``, which may spike, and adds to the flux of the loops that it is coupled to."""
        loop.quantum_in()
        self._counts["fluxons"] += 1
        if self._wants_fluxons[loop.number] == 1:
            self._write(fluxon_fs=now, fluxon_loop=loop.number)
        pushed = loop.part.quantum
        if loop.part.neuron >= 0 and loop.fires(now):
            held = loop.q
            self._spike(loop, now)
            pushed += loop.q - held  # what a purge empties is missed wherever it was coupled
        self._look_ahead(loop, undisturbed=True)
        for number, couplings in groupby(loop.couplings, lambda coupling: coupling.target.number):
            target = self.loops[number]
            target.touch(now)
            for _, mode, J in couplings:  # parallel couplings are one change
                target.amplitude[mode] += J * pushed
            self._look_ahead(target, undisturbed=False)

    def _spike(self, soma: Loop, now: int) -> None:
        neuron = self.neurons[soma.part.neuron]
        self._counts["spikes"] += 1
        self._write(spike_fs=now, spike_neuron=soma.part.neuron)
        soma.spike(now)
        for arrives, detector, source in neuron.photons(now, self.seed):
            self._send(arrives, PHOTON, detector, source, neuron.spikes)
        neuron.spikes += 1

    # ------------------------------------------------------------------ scheduling

    def _send(self, fs: int, phase: int, target: int, source: int, ordinal: int) -> None:
        """Schedule the arrival of a photon or the end of a hotspot. Neither is ever called back."""
        handler = self._on_arrival if phase == PHOTON else self._on_hotspot_end
        self._under_way.add(Event(self.env, fs, phase, target, source, ordinal, handler))

    def _schedule_kick(self) -> None:
        if self._next_kick < len(self._kicks):
            change = self._kicks[self._next_kick]
            Event(self.env, change.fs, KICK, change.loop, 0, self._next_kick, self._on_kick)

    def _schedule_photon(self) -> None:
        if self._next_photon < len(self._photons):
            fs, detector = self._photons[self._next_photon]
            Event(self.env, fs, PHOTON, detector, 0, self._next_photon, self._on_stimulus)

    def _schedule(self, loop: Loop) -> None:
        loop.event = None
        if loop.next_fs < FOREVER:
            loop.event = Event(self.env, loop.next_fs, LOOP, loop.number, 0, 0, self._on_loop)

    def _look_ahead(self, loop: Loop, undisturbed: bool) -> None:
        """The last step of every change of a loop: it makes a new plan, and a row of its trace is written."""
        loop.look_ahead(self._now, undisturbed)
        self._schedule(loop)
        if self._wants_trace[loop.number] == 1:
            self._write(trace_fs=self._now, trace_loop=loop.number, trace_mode=loop.mode, trace_values=loop.trace_row())
            self._log["trace_amplitude"] += loop.amplitude

    # ------------------------------------------------------------------ what comes out

    def _write(self, **row: Any) -> None:
        for name, value in row.items():
            self._log[name].append(value)

    def drain(self) -> dict[str, np.ndarray]:
        """Take out what has been logged since the last call: columns of the compiled engine's ``Log`` by name."""
        floats = ("trace_values", "trace_amplitude")
        out = {name: np.array(rows, dtype=float if name in floats else np.int64) for name, rows in self._log.items()}
        out["trace_values"] = out["trace_values"].reshape(-1, TRACE_COLUMNS)
        for rows in self._log.values():
            rows.clear()
        return out

    def state(self) -> State:
        """The state as it is now, from which either engine can go on (a copy)."""
        form = fresh(self.plan)
        loops = self.loops

        def records(form: np.ndarray, parts: list[Any]) -> np.ndarray:
            rows = [tuple(getattr(part, name) for name in form.dtype.names or ()) for part in parts]
            return np.array(rows, dtype=form.dtype).view(np.recarray)

        def ints(values: Any) -> np.ndarray:
            return np.array(values, dtype=np.int64)

        # A sorted list is a heap. It gets the room of a fresh one, for the compiled engine to go on in.
        entries = sorted((event.fs, event.key, event.ordinal) for event in self._under_way)
        heap = ints(entries + [(0, 0, 0)] * (len(form.heap_fs) - len(entries))).reshape(-1, 3)
        queue = sorted(range(len(loops)), key=lambda d: (loops[d].next_fs, d))
        cursor = {NEXT_KICK: self._next_kick, NEXT_PHOTON: self._next_photon, HEAP_SIZE: len(entries), NOW: self._now}
        return State(
            loops=records(form.loops, loops),
            next_fs=ints([loop.next_fs for loop in loops]),
            amplitude=np.array([v for loop in loops for v in loop.amplitude], dtype=float),
            mode_hot=ints([n for loop in loops for n in loop.mode_hot]),
            detectors=records(form.detectors, self.detectors),
            out_J=np.array([coupling.J for loop in loops for coupling in loop.couplings], dtype=float),
            spikes=ints([neuron.spikes for neuron in self.neurons]),
            heap_fs=heap[:, 0].copy(),
            heap_key=heap[:, 1].copy(),
            heap_ordinal=heap[:, 2].copy(),
            queue=ints(queue),
            queue_place=ints(np.argsort(queue)),
            cursor=ints([cursor[k] for k in sorted(cursor)]),
            counts=ints([self._counts[name] for name in COUNTS]),
        )


def _rows(table: np.ndarray) -> list[Any]:
    """Records as objects that hold Python's own numbers: numpy's are slower, and its integers overflow silently."""
    return [SimpleNamespace(**dict(zip(table.dtype.names or (), row, strict=True))) for row in table.tolist()]


def _tables(sources: Sources) -> tuple:
    """The source-function tables in what Python indexes fast: dictionaries by (row, column), and flat views."""
    shape, scale = (
        {(row, column): number for row, numbers in enumerate(table.tolist()) for column, number in enumerate(numbers)}
        for table in (sources.shape, sources.scale)
    )
    return shape, scale, sources.cells.data, sources.levels.data, sources.rest.data
