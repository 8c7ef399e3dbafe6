"""Where each joule goes: a ledger of a run by part and by kind of event, power against time, and cooling.

    from hardware import energy
    book = energy.ledger(rec)
    print(book)                    # the table, largest first
    book.parts["n1"], book.total.drawn, book.wall_J

What is booked (physics.md 8), in joules:

============== ====================================================================================================
loops          the bias draws ``2 pi ib`` of I_c Phi0/2 pi a fluxon; the loop stores beta s^2/2; junctions, the
               loop's resistor and a purge dissipate the rest (measured in the run, not estimated)
detectors      every detection loses the energy of the nanowire's current, L I^2/2, which the bias puts back
amplifier      every spike of a neuron with a transmitter switches an amplifier once
light source   every such spike injects pairs until the photons of all its waveguides are out: pairs = photons/efficiency
photons        what of that leaves as light
memory         every write by a rule of learning, in two ways that are alternatives: as measured, with cooling, 0.4 fJ
               (arXiv 2311.05881), and as flux quanta moved, the work of one each. The first counts at the wall; neither is
               in ``total``, because the first has the cooler in it
============== ====================================================================================================

Drawn = stored + passed + dissipated + emitted, for every part; in total nothing is passed. Light that arrives from outside is
not booked as drawn. Cooling is a factor on all that is dissipated or emitted in the cold; it is an assumption with a name, like every
other number here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError
from soen_event.physics.storage import WRITE_ENERGY
from soen_event.units import c as SPEED_OF_LIGHT
from soen_event.units import e as ELEMENTARY_CHARGE
from soen_event.units import floats, is_number
from soen_event.units import h as PLANCK

if TYPE_CHECKING:
    from soen_event.recording import Recording

__all__ = ["Assumptions", "Entry", "Ledger", "Memory", "ledger"]


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Numbers that a network does not say. All in SI; every one can be given.

    Args:
        detector_inductance: H, of a detector's nanowire and leads; 100 nH (physics.md 1.1, 8).
        detector_bias: A; 10 uA, which makes 5 aJ a detection (physics.md 8; 20 uA: 20 aJ).
        amplifier: J a spike; an hTron of 10 um^2 at 0.18 fJ/um^2 (physics.md 4.3, 8; the area is an assumption).
        efficiency: photons per injected pair by source; 0.9063 and 0.0635 (physics.md 4.3, stored transients).
        pair: eV per injected pair by source; 1.42 and 1.12 (physics.md 8).
        wavelength: m; 1.22 um, 0.163 aJ a photon (physics.md 8).
        cooling: W at room temperature per W at 4.2 K; 500, within the practical 300 to 1000 (physics.md 8 marks this range as unverified;
            Carnot alone is 70). 0: leave cooling out.
        write: J of one write to a memory, cooling included; 0.4 fJ (arXiv 2311.05881, physics.md 8).
        quantum: J of moving one flux quantum into or out of a storage loop; None: I_c Phi0 of the network's device, one slip of a
            junction (physics.md 8).
        quanta: flux quanta for a change by 1 of a value that has no levels; 400, the states of a storage loop
            (arXiv 2311.05881) over a range of 1, which is an assumption. Where there are levels, a step is a quantum.
    """

    detector_inductance: float = 100e-9
    detector_bias: float = 10e-6
    amplifier: float = 1.8e-15
    efficiency: Mapping[str, float] = None  # type: ignore[assignment]  # filled
    pair: Mapping[str, float] = None  # type: ignore[assignment]  # filled
    wavelength: float = 1.22e-6
    cooling: float = 500.0
    write: float = WRITE_ENERGY
    quantum: float | None = None
    quanta: float = 400.0

    def __post_init__(self) -> None:
        defaults = {"efficiency": {"qd": 0.9063, "ec": 0.0635}, "pair": {"qd": 1.42, "ec": 1.12}}
        faults = []
        for name, known in defaults.items():
            given = getattr(self, name)
            if given is not None and not isinstance(given, Mapping):
                faults.append(
                    f"Assumptions.{name}: {given!r} is no mapping; give numbers by source, {', '.join(known)}"
                )
                given = None
            object.__setattr__(self, name, {**known, **(given or {})})
            for source, value in getattr(self, name).items():
                if source not in known:
                    faults.append(f"Assumptions.{name}: there is no source {source!r}; give {', '.join(known)}")
                elif not (is_number(value) and value > 0.0) or (name == "efficiency" and value > 1.0):
                    faults.append(
                        f"Assumptions.{name}: {source}: {value!r} is not above 0"
                        + (" and at most 1" * (name == "efficiency"))
                    )
        for name in ("detector_inductance", "detector_bias", "wavelength"):
            value = getattr(self, name)
            if not (is_number(value) and value > 0.0):
                faults.append(f"Assumptions.{name}: {value!r} is not a number above 0")
        for name in ("amplifier", "cooling", "write", "quantum", "quanta"):
            value = getattr(self, name)
            if name == "quantum" and value is None:
                continue
            if not (is_number(value) and value >= 0.0):
                faults.append(f"Assumptions.{name}: {value!r} is not a number of at least 0")
        if not faults:
            for source, pair in self.pair.items():
                if self.photon > pair * ELEMENTARY_CHARGE / self.efficiency[source]:
                    faults.append(
                        f"Assumptions.wavelength: a photon of {self.photon:.3g} J holds more than the pairs that make it ({source}: "
                        f"{pair} eV at efficiency {self.efficiency[source]}); give a longer wavelength"
                    )
        if faults:
            raise InputError(faults)

    @property
    def photon(self) -> float:
        """Energy of a photon, J."""
        return PLANCK * SPEED_OF_LIGHT / self.wavelength

    @property
    def detection(self) -> float:
        """Energy of a detector's current, J."""
        return 0.5 * self.detector_inductance * self.detector_bias**2


@dataclass(frozen=True)
class Entry:
    """Energies in J: drawn from supplies; stored in loops; passed on to loops that load this one (nothing in total); dissipated in
    junctions, leak, purge, detectors, amplifiers, sources; light."""

    drawn: float = 0.0
    stored: float = 0.0
    passed: float = 0.0
    junctions: float = 0.0
    leak: float = 0.0
    purge: float = 0.0
    detectors: float = 0.0
    amplifiers: float = 0.0
    sources: float = 0.0
    emitted: float = 0.0

    @property
    def dissipated(self) -> float:
        return math.fsum((self.junctions, self.leak, self.purge, self.detectors, self.amplifiers, self.sources))

    @property
    def residual(self) -> float:
        """drawn - stored - passed - dissipated - emitted: 0 but for rounding."""
        return math.fsum(
            (
                self.drawn,
                -self.stored,
                -self.passed,
                -self.junctions,
                -self.leak,
                -self.purge,
                -self.detectors,
                -self.amplifiers,
                -self.sources,
                -self.emitted,
            )
        )


@dataclass(frozen=True)
class Memory:
    """Writes to one memory, or to several: how many; flux quanta moved in and out; their energy in J as measured, with cooling, and by
    the work of the quanta, without."""

    writes: int = 0
    quanta: float = 0.0
    measured: float = 0.0
    worked: float = 0.0


_NAMES = tuple(each.name for each in fields(Entry))


def _sum(entries: Iterable[Entry]) -> Entry:
    rows = list(entries)
    return Entry(**{name: math.fsum(getattr(row, name) for row in rows) for name in _NAMES})


@dataclass(frozen=True)
class Ledger:
    """Energies of a run. ``parts``: an :class:`Entry` by id: every dendrite, soma (``n1.soma``), refractory dendrite, synapse
    (``s1``), and, for its amplifier and light, neuron (``n1``). ``counts``: fluxons, detections, spikes with light, photons emitted.
    ``memories``: a :class:`Memory` by place that learns.
    """

    parts: Mapping[str, Entry]
    kinds: Mapping[str, Entry]
    counts: Mapping[str, float]
    duration: float
    assumptions: Assumptions
    _recording: Recording
    memories: Mapping[str, Memory] = field(default_factory=dict)

    @property
    def memory(self) -> Memory:
        """All memories together."""
        rows = self.memories.values()
        return Memory(
            sum(row.writes for row in rows),
            *(math.fsum(getattr(row, name) for row in rows) for name in ("quanta", "measured", "worked")),
        )

    @property
    def total(self) -> Entry:
        return _sum(self.parts.values())

    @property
    def cooling_J(self) -> float:
        """Work of the cooler: the cooling factor times all that turns into heat in the cold (the emitted light too, in the end)."""
        total = self.total
        return self.assumptions.cooling * (total.dissipated + total.emitted)

    @property
    def wall_J(self) -> float:
        """Drawn by the chip and by its cooler, and for writing to memories, as measured."""
        return self.total.drawn + self.cooling_J + self.memory.measured

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, in J."""

        def plain(entry: Entry) -> dict[str, float]:
            return {**{name: getattr(entry, name) for name in _NAMES}, "dissipated": entry.dissipated}

        return {
            "duration_ns": self.duration,
            "total": plain(self.total),
            "kinds": {name: plain(entry) for name, entry in self.kinds.items()},
            "counts": dict(self.counts),
            "memory": asdict(self.memory),
            "memories": {name: asdict(memory) for name, memory in self.memories.items()},
            "cooling_J": self.cooling_J,
            "wall_J": self.wall_J,
        }

    def __str__(self) -> str:
        total = self.total
        share = max(total.drawn, 1e-300)
        rows = [
            ("phase slips in the junctions", total.junctions),
            ("resistors of the loops", total.leak),
            ("loops emptied by spikes", total.purge),
            ("left in the loops", total.stored),
            ("detectors recharged", total.detectors),
            ("amplifiers", total.amplifiers),
            ("light sources, as heat", total.sources),
            ("light", total.emitted),
        ]
        lines = [f"{'where it goes':<32}{'energy':>12}{'share':>9}"]
        lines += [
            f"{what:<32}{_told(x, 'J'):>12}{100.0 * x / share:>8.2f}%"
            for what, x in sorted(rows, key=lambda row: -row[1])
        ]
        lines.append(f"{'drawn':<32}{_told(total.drawn, 'J'):>12}")
        lines.append(
            f"{'cooling at ' + format(self.assumptions.cooling, 'g') + ' W/W':<32}{_told(self.cooling_J, 'J'):>12}"
        )
        if self.memories:
            told = self.memory
            lines.append(f"{'writes to memories, with cooling':<32}{_told(told.measured, 'J'):>12}")
            lines.append(
                f"{told.writes:,d} writes; they move {told.quanta:,.1f} flux quanta, whose work is {_told(told.worked, 'J')} in the cold"
            )
        c = self.counts
        mean = _told(total.drawn / (self.duration * 1e-9), "W") if self.duration > 0.0 else "no time"
        lines.append(
            f"{c['fluxons']:,.0f} fluxons, {c['detections']:,.0f} detections, {c['spikes']:,.0f} spikes with light, "
            f"{c['photons']:,.0f} photons, in {self.duration:g} ns; {mean} in the mean"
        )
        return "\n".join(lines)

    def power(self, edges: Any) -> dict[str, np.ndarray]:
        """Power drawn in every interval between ``edges`` (ns, ascending, n + 1), W: by kind and "total", (n,) each.

        Loops draw at their fluxons, which must have been recorded for all loops (``record="fluxons"``, with "currents" at flow resolution).
        """
        edges = floats(edges, "Ledger.power.edges")
        if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0.0):
            raise InputError("Ledger.power: edges are not at least two ascending times in ns")
        rec, unit = self._recording, self._recording.plan.device.josephson_energy_J
        seconds = np.diff(edges) * 1e-9
        arrays = rec.plan.arrays
        loops = np.zeros(len(seconds))
        for k, name in enumerate(rec.plan.loop_ids):
            times = np.asarray(rec.fluxons[name])
            loops += 2.0 * math.pi * arrays.ib[k] * unit * np.histogram(times, edges)[0]
        detectors = np.zeros(len(seconds))
        for name in rec.plan.detector_ids:
            detectors += self.assumptions.detection * np.histogram(np.asarray(rec.detections[name]), edges)[0]
        light = np.zeros(len(seconds))
        for name in rec.plan.neuron_ids:
            each = self.parts[name].drawn
            times = np.asarray(rec.spikes[name])
            if len(times):
                light += each / len(times) * np.histogram(times, edges)[0]
        found = {"loops": loops / seconds, "detectors": detectors / seconds, "light": light / seconds}
        return {**found, "total": np.sum(list(found.values()), axis=0)}


def ledger(recording: Recording, assumptions: Assumptions | None = None) -> Ledger:
    """Book the energies of a run.

    Needs detections (``record`` with "detections" or "photons") of all detectors; everything else is always recorded.

    Raises:
        InputError: detections were not recorded.
    """
    from soen_event.recording import Recording

    if not isinstance(recording, Recording):
        raise InputError(f"ledger.recording: {type(recording).__name__} is no Recording; give what simulate returns")
    if assumptions is not None and not isinstance(assumptions, Assumptions):
        raise InputError(f"ledger.assumptions: {type(assumptions).__name__} are no Assumptions; give some, or None")
    known = assumptions if assumptions is not None else Assumptions()
    plan = recording.plan
    parts: dict[str, Entry] = {}
    whole = recording.energy["loops"]
    for name in plan.loop_ids:
        found = whole[name]
        parts[name] = Entry(**{x: float(found[x]) for x in ("drawn", "stored", "passed", "junctions", "leak", "purge")})
    loops = _sum(parts.values())
    detections = 0
    booked = []
    for name in plan.detector_ids:
        count = len(recording.detections[name])
        energy = count * known.detection
        booked.append(Entry(drawn=energy, detectors=energy))
        parts[name] = booked[-1]
        detections += count
    lights, spikes, photons = [], 0, 0.0
    for k, name in enumerate(plan.neuron_ids):
        count = len(recording.spikes[name])
        transmitter = recording.network[name].transmitter
        if transmitter is None:
            parts[name] = Entry()
            continue
        guides = int(plan.arrays.guide_start[k + 1] - plan.arrays.guide_start[k])
        light = transmitter.photons * guides
        pairs = light / known.efficiency[transmitter.source] * known.pair[transmitter.source] * ELEMENTARY_CHARGE
        amplifier, injected, emitted = count * known.amplifier, count * pairs, count * light * known.photon
        lights.append(
            Entry(drawn=amplifier + injected, amplifiers=amplifier, sources=injected - emitted, emitted=emitted)
        )
        parts[name] = lights[-1]
        spikes += count
        photons += count * light
    kinds = {"loops": loops, "detectors": _sum(booked), "light": _sum(lights)}
    fluxons = math.fsum(float(recording.fluxon_count[name]) for name in plan.loop_ids)
    return Ledger(
        parts,
        kinds,
        {"fluxons": fluxons, "detections": float(detections), "spikes": float(spikes), "photons": photons},
        float(recording.end),
        known,
        recording,
        _memories(recording, known),
    )


def _memories(recording: Recording, known: Assumptions) -> dict[str, Memory]:
    """What writing to every place that learns has cost."""
    sites = recording.site_ids
    if not sites:
        return {}
    step, start = np.zeros(len(sites)), np.zeros(len(sites))
    for rule in recording.provenance["learning"].values():
        rows = np.array(rule["rows"], dtype=np.int64)
        step[rows], start[rows] = rule["step"], rule["start"]
    work = recording.plan.device.switching_energy_J if known.quantum is None else known.quantum
    out = {}
    for k, name in enumerate(sites):
        values = np.asarray(recording.writes[name][1])
        moved = math.fsum(np.abs(np.diff(values, prepend=start[k])).tolist())
        quanta = moved / step[k] if step[k] > 0.0 else moved * known.quanta
        out[name] = Memory(len(values), quanta, len(values) * known.write, quanta * work)
    return out


def _told(value: float, unit: str) -> str:
    """A number with a prefix: 1.23 fJ."""
    if value == 0.0:
        return f"0 {unit}"
    prefixes = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: ""}
    exponent = max(-18, min(0, 3 * math.floor(math.log10(abs(value)) / 3)))
    return f"{value / 10.0**exponent:.3g} {prefixes[exponent]}{unit}"
