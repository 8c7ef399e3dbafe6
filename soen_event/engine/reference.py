"""The reference engine: a network as objects on SimPy, in plain Python. It says what the compiled engine has to do.

Both engines make the same events, the same counts and the same bits of every number; the compiled one
(:mod:`soen_event.engine.events`, :mod:`soen_event.engine.windows`) is some hundred times faster. They share the functions of
:mod:`soen_event.physics`, which run here uncompiled. All else is written twice.

Where to begin: :class:`ReferenceEngine`, "running". SimPy hands the next event to its handler (``_on_...``), which
changes one loop in three steps: *touch* (bring the loop to the present, in closed form), the change itself, *look
ahead* (say when the loop's own next event comes, and schedule it). :mod:`soen_event.engine.objects` has the parts. What a loop
has become, the loops that it couples to have to know: they do the same in turn (``_settle``). Every change thus replaces the loop's
plan; the SimPy event of the plan before stays in SimPy's queue and is passed over when it comes up.

Time is in integer femtoseconds. Events of one time happen in the order of their keys, never in that of scheduling:
kicks, ends of hotspots, photons, loops, and each of these by row (:class:`Event`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby, islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy
from simpy.core import EventPriority

from soen_event.engine.events import LOG_COLUMNS, ROUNDS, TRACE_COLUMNS, event_key, new_turn, tells
from soen_event.engine.objects import Coupling, Detector, Loop, Neuron, Rule, Site
from soen_event.engine.state import (
    AREAS,
    AT_COUPLING,
    AT_WEIGHT,
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
    PARENT,
    PHOTON,
    PLACE_MASK,
    SITE_VALUES,
    TARGET_SHIFT,
    State,
    fresh,
    packed,
)
from soen_event.engine.windows import BUDGET_SPENT, DONE, EMIT
from soen_event.physics.flow import sleeps_on
from soen_event.physics.loop import CROSS, FLUXON, RELEASE, SLEEP, SLIP, TWO_PI, WAKE
from soen_event.physics.random import EMISSION_TIME, LOSS, uniform
from soen_event.physics.source import Sources
from soen_event.physics.transmitter import first_photon_delay
from soen_event.plan import DARK, PHOTONS

if TYPE_CHECKING:
    from soen_event.plan import Plan

COUNTED_AS = {DETECTED: "detections", IN_HOTSPOT: "lost_hotspot", IN_DEAD_TIME: "lost_dead", MISSED: "lost_efficiency"}


class Event(simpy.Event):
    """A SimPy event whose place among those of its time is its key (:func:`event_key`) and ordinal, whoever schedules it.

    SimPy orders its queue by (time, priority, order of scheduling), and a priority may be any integer.
    """

    def __init__(self, env: simpy.Environment, fs: int, key: int, ordinal: int, handler: Callable[[Any], None]):
        super().__init__(env)
        self.fs, self.key, self.ordinal = fs, key, ordinal
        self.target = (key >> TARGET_SHIFT) & PLACE_MASK
        self.callbacks.append(handler)
        self._ok, self._value = True, None  # SimPy's mark of an event that will happen
        env.schedule(self, priority=EventPriority((key << 64) + ordinal), delay=fs - env.now)


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
        self._under_way: set[Event] = set()  # travelling spikes, each as its next arrival
        heap = zip(start.heap_fs.tolist(), start.heap_key.tolist(), start.heap_ordinal.tolist(), strict=True)
        for fs, key, ordinal in islice(heap, int(start.cursor[HEAP_SIZE])):
            self._send(fs, key, ordinal)
        for k, detector in enumerate(self.detectors):
            if detector.in_hotspot == 1:
                self._schedule_end(k)
        self._schedule_kick()
        self._schedule_photon()
        if state is not None:
            for loop in self.loops:
                self._schedule(loop)
            return
        for loop in self.loops:
            if loop.part.warm == 1:
                new_turn(loop, loop.part, self.seed)
            self._settle(loop, undisturbed=False)
        for loop in self.loops:
            if loop.mode == SLEEP and loop.u < 0.0:
                loop.z = -math.sqrt(-loop.gain * loop.u)  # at rest for ever

    def _build(self, state: State) -> None:
        """Make the objects from the Plan and a state."""
        a, p = self.plan.arrays, packed(self.plan)
        first = a.mode_start.tolist()
        of_modes = a.mode_tau, a.mode_arm, state.amplitude, state.mode_hot
        tables = _tables(p.sources)
        self.loops = []
        for d, (part, values) in enumerate(zip(_rows(p.loops), _rows(state.loops), strict=True)):
            modes = [column[part.mode_start : part.mode_stop].tolist() for column in of_modes]
            self.loops.append(Loop(d, part, values, modes, int(state.next_fs[d]), tables, self.plan.tau_0))
        origin = np.repeat(np.arange(len(self.loops)), np.diff(a.out_start)).tolist()
        columns = zip(origin, a.out_loop.tolist(), a.out_mode.tolist(), state.out_J.tolist(), strict=True)
        couplings = [Coupling(self.loops[s], self.loops[d], mode - first[d], J) for s, d, mode, J in columns]
        feeds = [couplings[c] for c in a.in_coupling.tolist()]
        for loop in self.loops:
            loop.couplings = couplings[loop.part.out_start : loop.part.out_stop]
            loop.feeds = feeds[loop.part.in_start : loop.part.in_stop]
        owner = (np.searchsorted(a.mode_start, a.enter_mode, side="right") - 1).tolist()
        modes, of, value = a.enter_mode.tolist(), a.enter_coupling.tolist(), a.enter_value.tolist()
        for loop in self.loops:
            my = loop.part
            own, others = range(my.enter_start, my.enter_own), range(my.enter_own, my.enter_stop)
            loop.own_parts = [(modes[e] - first[loop.number], value[e]) for e in own]
            loop.other_parts = [
                (
                    self.loops[owner[e]],
                    modes[e] - first[owner[e]],
                    couplings[of[e]] if of[e] >= 0 else None,
                    value[e],
                )
                for e in others
            ]
            loop.reach = [self.loops[k] for k in a.reach_loop[my.reach_start : my.reach_stop].tolist()]
        self.detectors = [
            Detector(part, values, self.loops[part.loop], first[part.loop])
            for part, values in zip(_rows(p.detectors), _rows(state.detectors), strict=True)
        ]
        self._guides = _rows(p.guides)
        self.neurons = [
            Neuron(part, spikes) for part, spikes in zip(_rows(p.neurons), state.spikes.tolist(), strict=True)
        ]
        self._kicks = _rows(p.kicks)
        for change in self._kicks:
            change.fall -= first[change.loop]
            change.rise -= first[change.loop]
        self._build_sites(p, state)

    def _build_sites(self, p: Any, state: State) -> None:
        """Rules of learning, and the sites that they have."""
        how = self.plan.learning
        values, parameters = state.sites.tolist(), state.rule_values.tolist()
        self.rules: list[Rule] = []
        for r, part in enumerate(_rows(p.rules)):
            names, own = how.parameters[r], how.fields[r][len(SITE_VALUES) :]
            taus = p.decay[part.decay_start : part.decay_stop].tolist()
            decay = {name: names[tau] for name, tau in zip(own, taus, strict=True) if tau >= 0}
            mine = dict(zip(names, parameters[part.start :], strict=False))
            self.rules.append(Rule(part, how.hooks[r], mine, decay))
        self.sites: list[Site] = []
        for i, part in enumerate(_rows(p.sites)):
            rule = self.rules[part.rule]
            mine = dict(zip(how.fields[part.rule], values[part.start :], strict=False))
            place: Any = None
            if part.kind == AT_WEIGHT:
                place = self.detectors[part.place]
            elif part.kind == AT_COUPLING:
                source = self.loops[part.loop]
                place = source.couplings[part.place - source.part.out_start]
            site = Site(i, part, rule, mine, int(state.site_fs[i]), place)
            site.loop, site.post, site.parent = (self.loops[d] for d in (part.loop, part.post, part.parent))
            self.sites.append(site)

    # ------------------------------------------------------------------ running

    def advance(self, until_fs: int, budget: int, exact: bool = True) -> int:
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
        self._happens()
        self._counts["kicks"] += 1
        self._next_kick += 1
        self._schedule_kick()
        loop = self.loops[event.target]
        self._touch(loop)
        change = self._kicks[event.ordinal]
        pushed = loop.kick(change)
        soma = loop.part
        crosses = soma.flow == 0 or loop.mode == SLEEP  # one that flows looks for it in its step
        spikes = pushed > 0.0 and soma.neuron >= 0 and crosses and loop.fires(self._now, pushed)
        if spikes:
            held = loop.q
            self._spike(loop)
            pushed += loop.q - held
        self._settle(loop, undisturbed=False, pushed=pushed, quanta=change.x)
        if spikes:
            self._own_photon(soma.neuron)
            self._learn_from_spike(soma.neuron)

    def _on_stimulus(self, event: Event) -> None:
        self._next_photon += 1
        self._schedule_photon()
        self._happens()
        self._photon(event.target, drawn=False)

    def _on_light(self, event: Event) -> None:
        """A travelling spike is about to enter a waveguide whose photons are still to be drawn. Not an event."""
        self._under_way.remove(event)
        w = event.key + EMIT
        guide = self._guides[w]
        self._fly_on(event.fs, w, event.ordinal)
        u = uniform(self.seed, guide.key, event.ordinal, EMISSION_TIME, 0)
        late = first_photon_delay(u, guide.photons, self.neurons[guide.neuron].part.tau_rad)
        if late >= 0.0:
            arrives = event.fs + int(late * 1.0e6 + 0.5)
            self._send(arrives, event_key(PHOTON, guide.detector, w + 1), event.ordinal)

    def _on_arrival(self, event: Event) -> None:
        """A travelling spike reaches the end of a waveguide."""
        self._under_way.remove(event)
        w = (event.key & PLACE_MASK) - 1
        guide = self._guides[w]
        if self.neurons[guide.neuron].part.emission != PHOTONS:
            self._fly_on(event.fs, w, event.ordinal)
            if guide.passes < 1.0 and uniform(self.seed, guide.key, event.ordinal, LOSS, 0) >= guide.passes:
                return  # lost on the way: not an event
        self._happens()
        self._photon(event.target, drawn=guide.drawn == 1)

    def _photon(self, k: int, drawn: bool) -> None:
        """A photon reaches detector ``k``."""
        now, detector = self._now, self.detectors[k]
        fate = detector.fate(now, drawn, self.seed)
        self._counts["photons"] += 1
        self._counts[COUNTED_AS[fate]] += 1
        if self._wants_photons[k] == 1:
            self._write(photon_fs=now, photon_detector=k, photon_fate=fate)
        if fate != DETECTED:
            return
        self._touch(detector.loop)
        detector.hotspot_begins(now)
        self._schedule_end(k)
        self._settle(detector.loop, undisturbed=False)
        site = detector.part.site
        if site >= 0:
            self._learn(self.sites[site : site + 1], "on_detection")

    def _on_hotspot_end(self, event: Event) -> None:
        now = self._happens()
        self._counts["hotspot_ends"] += 1
        detector = self.detectors[event.target]
        self._touch(detector.loop)
        detector.hotspot_ends(now)
        self._settle(detector.loop, undisturbed=False)

    def _on_loop(self, event: Event) -> None:
        loop = self.loops[event.target]
        if loop.event is not event:
            return  # something came in between, and the loop has another plan now
        now = self._happens()
        self._touch(loop)
        kind, pushed, spikes = loop.next_kind, 0.0, False
        if kind in (FLUXON, SLIP):
            loop.quantum_in(self.seed)
            self._counts["fluxons"] += 1
            if self._wants_fluxons[loop.number] == 1:
                self._write(fluxon_fs=now, fluxon_loop=loop.number)
            pushed = loop.part.quantum
            if loop.part.neuron >= 0 and loop.fires(now, pushed):
                held, spikes = loop.q, True
                self._spike(loop)
                pushed += loop.q - held  # what a purge empties is missed wherever it was coupled
        elif kind == CROSS:
            self._counts["steps"] += 1
            if now < loop.ready_fs:
                loop.armed = 0
            else:
                spikes = True
                self._spike(loop)
        elif kind == WAKE:
            loop.wake()
            self._counts["wakes"] += 1
        elif kind == RELEASE:
            loop.release()
        else:
            self._counts["steps"] += 1
        self._settle(loop, undisturbed=kind != RELEASE, pushed=pushed)
        own = slice(loop.part.hears_start, loop.part.hears_stop)
        if spikes:
            self._own_photon(loop.part.neuron)
        if kind in (FLUXON, SLIP):
            self._learn(self.sites[own], "on_fluxon")
        if spikes:
            self._learn_from_spike(loop.part.neuron)

    def _own_photon(self, neuron: int) -> None:
        """A soma's own spike hits its refractory detector at once."""
        own = self.neurons[neuron].part.refractory_detector
        if own >= 0:
            self._photon(own, drawn=False)

    def _learn_from_spike(self, neuron: int) -> None:
        my = self.neurons[neuron].part
        self._learn(self.sites[my.site_start : my.site_stop], "on_spike")

    def _spike(self, soma: Loop) -> None:
        """A soma fires: a spike sets out along the neuron's waveguides."""
        neuron = self.neurons[soma.part.neuron]
        self._counts["spikes"] += 1
        self._write(spike_fs=self._now, spike_neuron=soma.part.neuron)
        soma.spike(self._now)
        my = neuron.part
        if my.emission != DARK and my.guide_stop > my.guide_start:
            w = my.guide_start
            self._fly(self._now + my.latency_fs + self._guides[w].delay_fs, w, neuron.spikes)
        neuron.spikes += 1

    def _touch(self, loop: Loop) -> None:
        self._counts["fluxons"] += loop.touch(self._now)

    def _settle(
        self,
        loop: Loop,
        undisturbed: bool,
        pushed: float = 0.0,
        quanta: float = 1.0,
        listed: Iterable[Loop] = (),
    ) -> None:
        """The last step of every change of a loop: it makes a new plan, and so does every loop that has to know of it.

        ``pushed``: what has entered at once, and reaches those that it couples to; of a loaded loop as so many ``quanta``.
        With it goes what the phase has moved since. ``listed``: more that have been touched and changed.
        """
        todo: deque[Loop] = deque(listed)
        rounds = 0
        while True:
            loop.look_ahead(self._now, undisturbed, fresh=rounds == 0 and not undisturbed)
            moved = 0.0
            if loop.part.flow == 0 and loop.couplings and (pushed != 0.0 or tells(loop)):
                if pushed == 0.0:
                    quanta = 0.0
                moved = loop.psi - loop.shown
                loop.shown = loop.psi
                pushed += moved / loop.part.beta
                loop.phase_out += moved / loop.part.beta
            tell, more = pushed != 0.0, abs(pushed)
            if loop.part.flow == 1:
                before = loop.out_top if loop.awake == 1 else 0.0
                told = loop.give_out(self._now, own=rounds == 0)
                tell = told > 0 and rounds < ROUNDS
                if told == 2:
                    pushed -= loop.q
                elif told == 3:
                    pushed = loop.q
                elif loop.awake == 1:
                    pushed = 0.0
                else:
                    tell = pushed != 0.0
                if told == 3:
                    more = abs(loop.q) - before
                elif loop.awake == 1:
                    more = loop.out_top - before
            self._schedule(loop)
            self._trace(loop)
            if tell and loop.loaded:
                self._quanta_to_others(loop, quanta, moved)
                todo.extend(other for other in loop.reach if other not in todo)
            elif tell:
                for coupling in loop.couplings:
                    other = coupling.target
                    self._touch(other)
                    if pushed != 0.0:
                        other.amplitude[coupling.mode] += coupling.J * pushed
                    if sleeps_on(other, other.part, abs(coupling.J) * more):
                        other.draw_in(self._now)
                        self._trace(other)
                    elif other not in todo:
                        todo.append(other)
            if not todo:
                return
            loop, undisturbed, pushed = todo.popleft(), False, 0.0
            rounds += 1

    def _quanta_to_others(self, loop: Loop, quanta: float, moved: float) -> None:
        """Quanta have entered a loop that loads others: their currents change, and the fluxes of all that they couple to.

        ``moved``: by how much its phase has moved since the others were told; as part of a quantum, in the fluxes only.
        """
        for other in loop.reach:
            self._touch(other)
        for other, m, coupling, value in loop.other_parts:
            if coupling is None:
                other.amplitude[m] += quanta * value
            else:
                other.amplitude[m] += (quanta + moved / TWO_PI) * value * coupling.J
        for other in loop.reach:
            if other.loaded:
                other.q = other.shared_current()

    def _trace(self, loop: Loop) -> None:
        if self._wants_trace[loop.number] == 1:
            self._write(trace_fs=self._now, trace_loop=loop.number, trace_mode=loop.mode, trace_values=loop.trace_row())
            self._log["trace_amplitude"] += loop.amplitude

    # ------------------------------------------------------------------ learning

    def _learn(self, sites: list[Site], hook: str) -> None:
        """Sites hear an event."""
        wanting = []
        for site in sites:
            function = site.rule.hooks.get(hook)
            if function is not None and site.ask(self._now, function, self.seed):
                wanting.append(site)
        if wanting:
            self._carry_out(sites, wanting, [])

    def signal(self, name: str, values: np.ndarray, now: int) -> None:
        """Let the sites of learning hear a signal at ``now`` (fs), after all events up to then. ``values`` as in the compiled engine."""
        self._now = now

        def together(site: Site) -> tuple[int, int]:
            return site.part.neuron, -1 if site.part.neuron >= 0 else site.part.loop

        for _, group in groupby(self.sites, together):
            sites, wanting, listed = list(group), [], []
            for site in sites:
                function = site.rule.hooks.get(f"on_{name}")
                if function is None:
                    continue
                reads = site.rule.part.reads
                for loop in [site.loop] * bool(reads & AREAS) + [site.parent] * bool(reads & PARENT):
                    self._touch(loop)
                    if loop not in listed:
                        listed.append(loop)
                site.values.signal = float(values[site.part.neuron])
                if site.ask(now, function, self.seed):
                    wanting.append(site)
            if wanting or listed:
                self._carry_out(sites, wanting, listed)

    def set_parameters(self, r: int, values: dict[str, float], decayed_to: int | None) -> None:
        """Give rule ``r`` other parameters. ``decayed_to`` (fs): up to when its variables have decayed with the old ones."""
        rule = self.rules[r]
        for site in self.sites:
            if decayed_to is not None and site.rule is rule:
                site.catch_up(decayed_to)
        vars(rule.p).update(values)

    def _carry_out(self, sites: list[Site], wanting: list[Site], listed: list[Loop]) -> None:
        """Put what sites want into the loops; with all sites of the neuron if a rule bounds their sum."""
        normed = [site for site in wanting if site.rule.part.norm > 0.0 and site.wanted == site.wanted]
        if normed:
            neuron = normed[-1].part.neuron
            if neuron >= 0:
                my = self.neurons[neuron].part
                sites = self.sites[my.site_start : my.site_stop]
            for rule, _ in groupby(site.rule for site in sites):
                if rule.part.norm > 0.0:
                    self._within_norm([site for site in sites if site.rule is rule], rule.part.norm)
        for site in sites:
            if site.wanted != site.values.weight:
                self._write(write_fs=self._now, write_site=site.number, write_value=site.wanted)
                changed = site.put_in(self._now, self._touch)
                listed += [loop for loop in dict.fromkeys(changed) if loop not in listed]
        if listed:
            self._settle(listed[0], undisturbed=False, listed=listed[1:])

    def _within_norm(self, sites: list[Site], norm: float) -> None:
        squares = 0.0
        sites = [site for site in sites if site.wanted == site.wanted]
        for site in sites:
            squares += site.wanted * site.wanted
        if squares > norm * norm:
            for site in sites:
                site.bounded(norm / math.sqrt(squares))

    # ------------------------------------------------------------------ scheduling

    def _send(self, fs: int, key: int, ordinal: int) -> None:
        """Schedule the next arrival of a travelling spike, which is never called back."""
        self._under_way.add(Event(self.env, fs, key, ordinal, self._on_light if key < 0 else self._on_arrival))

    def _fly(self, fs: int, w: int, ordinal: int) -> None:
        """A travelling spike comes to waveguide ``w``."""
        guide = self._guides[w]
        drawn = self.neurons[guide.neuron].part.emission == PHOTONS
        self._send(fs, w - EMIT if drawn else event_key(PHOTON, guide.detector, w + 1), ordinal)

    def _fly_on(self, fs: int, w: int, ordinal: int) -> None:
        """A travelling spike goes from waveguide ``w``, at ``fs``, to the one with the next longer delay."""
        if w + 1 < self.neurons[self._guides[w].neuron].part.guide_stop:
            self._fly(fs - self._guides[w].delay_fs + self._guides[w + 1].delay_fs, w + 1, ordinal)

    def _schedule_end(self, k: int) -> None:
        detector = self.detectors[k]
        ends = detector.seen_fs + detector.part.hotspot_fs
        Event(self.env, ends, event_key(HOTSPOT_END, k, 0), 0, self._on_hotspot_end)

    def _schedule_kick(self) -> None:
        if self._next_kick < len(self._kicks):
            change = self._kicks[self._next_kick]
            Event(self.env, change.fs, event_key(KICK, change.loop, 0), self._next_kick, self._on_kick)

    def _schedule_photon(self) -> None:
        if self._next_photon < len(self._photons):
            fs, detector = self._photons[self._next_photon]
            Event(self.env, fs, event_key(PHOTON, detector, 0), self._next_photon, self._on_stimulus)

    def _schedule(self, loop: Loop) -> None:
        loop.event = None
        if loop.next_fs < FOREVER:
            loop.event = Event(self.env, loop.next_fs, event_key(LOOP, loop.number, 0), 0, self._on_loop)

    # ------------------------------------------------------------------ what comes out

    def _write(self, **row: Any) -> None:
        for name, value in row.items():
            self._log[name].append(value)

    def drain(self) -> dict[str, np.ndarray]:
        """Take out what has been logged since the last call: columns of the compiled engine's ``Log`` by name."""
        floats = ("trace_values", "trace_amplitude", "write_value")
        out = {name: np.array(rows, dtype=float if name in floats else np.int64) for name, rows in self._log.items()}
        out["trace_values"] = out["trace_values"].reshape(-1, TRACE_COLUMNS)
        for rows in self._log.values():
            rows.clear()
        return out

    def current(self, d: int, now: int) -> float:
        """Current of loop ``d`` at ``now`` (fs), up to which it need not have been brought."""
        return float(self.loops[d].current_at(now))

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
        cursor = {NEXT_KICK: self._next_kick, NEXT_PHOTON: self._next_photon, HEAP_SIZE: len(entries), NOW: self._now}
        return State(
            loops=records(form.loops, loops),
            next_fs=ints([loop.next_fs for loop in loops]),
            amplitude=np.array([v for loop in loops for v in loop.amplitude], dtype=float),
            mode_hot=ints([n for loop in loops for n in loop.mode_hot]),
            detectors=records(form.detectors, self.detectors),
            out_J=np.array([coupling.J for loop in loops for coupling in loop.couplings], dtype=float),
            sites=np.array([v for site in self.sites for v in vars(site.values).values()], dtype=float),
            site_fs=ints([site.since for site in self.sites]),
            rule_values=np.array([v for rule in self.rules for v in vars(rule.p).values()], dtype=float),
            spikes=ints([neuron.spikes for neuron in self.neurons]),
            heap_fs=heap[:, 0].copy(),
            heap_key=heap[:, 1].copy(),
            heap_ordinal=heap[:, 2].copy(),
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
