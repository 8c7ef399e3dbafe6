"""What a real chip has: numbers of neurons, inputs and synapses, the values it can store, its rates, what it can learn.

>>> from hardware.chip import ASCR_Y1
>>> ASCR_Y1.neurons, ASCR_Y1.inputs, ASCR_Y1.spiking, len(ASCR_Y1.weights)
(28, 8, False, 17)
>>> ASCR_Y1.provenance["neurons"].status
'second-hand'

``print(chip)`` shows every number with where it comes from. A limit that is None is not known, and does not bind. A chip
of your own is made of keywords, of a mapping or of a YAML file::

    chip = Chip(name="mine", neurons=4, weights=Levels.bits(4, 0.0, 1.0), temperature=Known(4.2, "cryostat", "measured"))
    chip.save("mine.yaml"); Chip.load("mine.yaml") == chip

:mod:`hardware.deployment` fits a network to a chip, :mod:`hardware.instrument` runs it there.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hardware.limits import (
    KINDS,
    NEEDED,
    PROGRAMMED,
    RULES,
    SIGNALS,
    STATUSES,
    Known,
    Setting,
    aligned,
    known_from,
    lowest,
    plain,
    told,
)
from hardware.quantize import STORAGE_LOOP_QUANTA, Levels
from soen_event.errors import InputError, checked_path, nearest
from soen_event.parts import shown

__all__ = ["ASCR_Y1", "IDEAL", "NIST_SPIKING", "PROFILES", "SIGNALS", "STATUSES", "Chip", "Known", "Setting", "find"]

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Chip:
    """The limits of a chip. Every limit may be None (not known, so not binding) and may be given as a :class:`Known`.

    How many (whole numbers):

        neurons: sites for neurons; on a chip that does not spike, for dendrites, which are then all the loops there are.
        dendrites: sites for dendrites, on a chip that spikes.
        inputs: lines from outside; several synapses may hang on one (``ports=`` of ``deploy``), a flux drive needs its own.
        synapses: all of them, couplings and detectors; input_synapses: those on lines from outside;
            recurrent_synapses: couplings, and detectors that waveguides reach.
        fan_in: couplings and detectors on one loop. fan_out: waveguides from one neuron.

    What it is:

        spiking: whether neurons emit light when they cross a threshold. crossbar: one weight for every pair of loops, and
            for every pair of line and loop, so that parallel ones are added. kinds: circuits of dendrites, "ri", "rtti".

    What can be set (:class:`~hardware.quantize.Levels`, or a range (low, high)):

        weights: of synapses. couplings: J, Phi0 per unit s. sign: of both, "free", "keep" or "magnitude"
            (:meth:`Levels.round`). programmable: which of "weights", "J", "phi_offset" can be changed after
            fabrication (offsets by rules of learning on the chip only).
        ib (I_c): of ri loops. tau (ns), beta_over_2pi: of dendrites. phi_offset (Phi0): of dendrites and somas.
            soma_tau (ns), threshold (I_c): of somas.

    Detectors and rates:

        efficiency: 0 to 1. dead_time: ns. input_rate_hz: light pulses a second on one line. spike_rate_hz: spikes a second
            of a neuron with a transmitter. readout_rate_hz: samples a second of a current.

    The rest:

        temperature: K. write_energy_J: of one write to a weight. settling: ns after a write. readout_noise: I_c, rms.
        adc_bits: 1 to 16, over adc_range (I_c).
        methods: names of learning methods that run on it; () for none, so that nothing learns. They bind what is given by
            name. A rule that says what it needs (:class:`soen_event.Rule`) is judged by ``signals``, if those are known.
        signals: what is there, where something is to be learnt, for a method to use, of :data:`SIGNALS`.
        facts: what is known besides and limits nothing, as :class:`Known` by name.
        provenance: a :class:`Known` by field; what is given as Known comes here by itself.

    Raises:
        InputError: with every field that does not fit.
    """

    name: str = "chip"
    neurons: Any = None
    dendrites: Any = None
    inputs: Any = None
    synapses: Any = None
    input_synapses: Any = None
    recurrent_synapses: Any = None
    fan_in: Any = None
    fan_out: Any = None
    spiking: Any = True
    crossbar: Any = False
    kinds: Any = KINDS
    weights: Any = None
    couplings: Any = None
    sign: Any = "free"
    programmable: Any = PROGRAMMED
    ib: Any = None
    tau: Any = None
    beta_over_2pi: Any = None
    phi_offset: Any = None
    soma_tau: Any = None
    threshold: Any = None
    efficiency: Any = None
    dead_time: Any = None
    input_rate_hz: Any = None
    spike_rate_hz: Any = None
    readout_rate_hz: Any = None
    temperature: Any = None
    write_energy_J: Any = None
    settling: Any = None
    readout_noise: Any = None
    adc_bits: Any = None
    adc_range: Any = (0.0, 1.0)
    methods: Any = None
    signals: Any = None
    facts: Mapping[str, Known] = field(default_factory=dict, compare=False)
    provenance: Mapping[str, Known] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        faults = []
        if not isinstance(self.name, str) or not self.name.isprintable() or not self.name:
            faults.append(f"Chip.name: {shown(self.name)} is no name; give printable text of one line")
        for name in ("facts", "provenance"):
            faults += self._known_faults(name)
        sources: dict[str, Known] = {} if faults else dict(self.provenance)
        for name, rule in RULES.items():
            value = getattr(self, name)
            known = value if isinstance(value, Known) else None
            value = known.value if known is not None else value
            try:
                if value is not None:
                    value = rule.check(value, f"Chip.{name}")
                elif name in NEEDED:
                    faults.append(f"Chip.{name}: None will not do; leave it out for the default")
            except InputError as error:
                faults += error.faults
            object.__setattr__(self, name, value)
            if known is not None:
                sources[name] = known
        if not faults:
            faults = self._sign_faults()
        if faults:
            raise InputError(faults)
        # A source belongs to a value: whoever changes the value (dataclasses.replace) has to name a new one.
        kept = {n: k for n in RULES if (k := sources.get(n)) is not None and self._same(n, k.value)}
        kept = {n: Known(getattr(self, n), k.source, k.status) for n, k in kept.items()}
        object.__setattr__(self, "provenance", kept)
        object.__setattr__(self, "facts", dict(self.facts))

    def _known_faults(self, name: str) -> list[str]:
        given: Any = getattr(self, name)
        if not isinstance(given, Mapping):
            return [f"Chip.{name}: {shown(given)} is no mapping; give a Known by name"]
        faults = [
            f"Chip.{name}: {shown(value)} of {key!r} is no Known; give Known(value, source, status)"
            for key, value in given.items()
            if not isinstance(value, Known) or not isinstance(key, str)
        ]
        if name == "provenance":
            faults += [
                f"Chip.provenance: there is no field {key!r}{nearest(str(key), RULES)}"
                for key in given
                if key not in RULES
            ]
        return faults

    def _same(self, name: str, value: Any) -> bool:
        try:
            return bool((None if value is None else RULES[name].check(value, "")) == getattr(self, name))
        except InputError:
            return False

    def _sign_faults(self) -> list[str]:
        if self.sign != "magnitude":
            return []
        lows = {n: lowest(getattr(self, n)) for n in ("weights", "couplings") if getattr(self, n) is not None}
        remedy = "give values from 0 upwards, or another sign"
        return [
            f"Chip.{name}: {low:g} is below 0, but sign is 'magnitude'; {remedy}"
            for name, low in lows.items()
            if low < 0.0
        ]

    # ---- telling

    def table(self) -> str:
        """Every field with its value, its status and its source; then what is known besides; then what is not known."""
        rows, unknown = [], []
        for name, rule in RULES.items():
            value = getattr(self, name)
            known = self.provenance.get(name)
            if value is None and known is None:
                unknown.append(name)
            elif known is not None or value != _DEFAULTS[name]:
                status, source = (known.status, known.source) if known is not None else ("given", "")
                rows.append((name, told(value, rule.unit), status, source))
        rows += [(name, told(known.value, ""), known.status, known.source) for name, known in self.facts.items()]
        lines = [f"Chip {self.name!r}"]
        if rows:
            lines += aligned([("", "value", "status", "source"), *rows])
        if unknown:
            lines += textwrap.wrap(f"not known, so no limit: {', '.join(unknown)}", 116, subsequent_indent="  ")
        return "\n".join(line.rstrip() for line in lines)

    def __str__(self) -> str:
        return self.table()

    # ---- files

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a chip file holds it; :meth:`from_dict` undoes it exactly."""
        document: dict[str, Any] = {"soen_chip": VERSION, "name": self.name}
        for name in RULES:
            value, known = getattr(self, name), self.provenance.get(name)
            if known is not None:
                document[name] = {"value": plain(value), "status": known.status, "source": known.source}
            elif value != _DEFAULTS[name]:
                document[name] = plain(value)
        if self.facts:
            document["facts"] = {
                name: {"value": plain(known.value), "status": known.status, "source": known.source}
                for name, known in self.facts.items()
            }
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Chip:
        """The chip that plain data describe.

        Args:
            document: fields by name, each a value, or ``{value, status, source}``. Levels are ``{bits: 4, low: -1, high: 1}``,
                ``{bits_with_zero: ...}``, ``{storage_loop: 400, ...}`` or ``{values: [...]}``; a range is ``[low, high]``.

        Raises:
            InputError: with every fault; an unknown key is told with the nearest known one.
        """
        if not isinstance(document, Mapping):
            raise InputError(f"Chip: {shown(document)} is no mapping; give fields by name")
        faults, given = [], dict(document)
        version = given.pop("soen_chip", VERSION)
        if version != VERSION or isinstance(version, bool):
            faults.append(
                f"Chip.soen_chip: {shown(version)} is no version of chip files that is known here; give {VERSION}"
            )
        known = [f.name for f in fields(cls) if f.name != "provenance"]
        for key in [key for key in given if key not in known]:
            del given[key]
            faults.append(f"Chip.{key}: there is no such field{nearest(str(key), known)}; correct or remove it")
        for key in given:
            try:
                if key == "facts" and isinstance(given[key], Mapping):
                    given[key] = {name: known_from(value, f"Chip.facts.{name}") for name, value in given[key].items()}
                elif key != "name" and isinstance(given[key], Mapping) and "value" in given[key]:
                    given[key] = known_from(given[key], f"Chip.{key}")
            except InputError as error:
                faults += error.faults
                given[key] = {} if key == "facts" else _DEFAULTS[key]
        try:
            chip = cls(**given)
        except InputError as error:
            faults += error.faults
        if faults:
            raise InputError(faults)
        return chip

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a chip file (YAML), in one step.

        Raises:
            InputError: the file exists and ``overwrite`` is False, or it cannot be written.
        """
        from soen_event.files import _flow, write

        lines = []
        for key, value in self.to_dict().items():
            if key == "facts":
                lines += ["facts:", *(f"  {_flow(name)}: {_flow(each)}" for name, each in value.items())]
            else:
                lines.append(f"{key}: {_flow(value)}")
        write(path, "\n".join(lines) + "\n", overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Chip:
        """Read a chip file, YAML or JSON.

        Raises:
            InputError: with the file and every fault in it.
        """
        from soen_event.files import _from_yaml

        name = str(checked_path(path, "Chip.load.path"))
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, ValueError) as trouble:
            reason = getattr(trouble, "strerror", None) or "it is no text"
            raise InputError(f"{name}: cannot be read ({reason}); give a chip file") from None
        document = _from_yaml(text, name)[0]
        try:
            return cls.from_dict(document)
        except InputError as error:
            raise InputError([f"{name}: {fault}" for fault in error.faults]) from None


_DEFAULTS = {f.name: f.default for f in fields(Chip)}


# ---------------------------------------------------------------------------------------------- profiles

_NOTES = "soen_toolkit, claudedocs/HARDWARE_REFERENCE_SOEN_CHIP.md (physics.md 7.1)"
_WRITE = Known(0.4e-15, "arXiv 2311.05881, with cooling (physics.md 7.1)", "measured")

IDEAL = Chip(name="IDEAL")
"""A chip without limits: a network is deployed on it as it is."""

ASCR_Y1 = Chip(
    name="ASCR_Y1",
    neurons=Known(28, _NOTES, "second-hand"),
    inputs=Known(8, _NOTES, "second-hand"),
    synapses=Known(1008, f"784 + 224; {_NOTES}", "second-hand"),
    input_synapses=Known(224, f"8 x 28; {_NOTES}", "second-hand"),
    recurrent_synapses=Known(784, f"28 x 28; {_NOTES}", "second-hand"),
    fan_in=Known(36, "28 + 8, one weight for every pair", "assumed"),
    spiking=Known(False, f"continuous-valued; {_NOTES}", "second-hand"),
    crossbar=Known(True, "784 = 28 x 28 and 224 = 8 x 28", "assumed"),
    kinds=Known(("ri",), "soen_toolkit's dendrites of this chip; RTTI is not mentioned", "assumed"),
    weights=Known(
        Levels.bits_with_zero(4, -1.0, 1.0),
        "at least 4 bits (the same); 2^4 + 1 levels as soen_toolkit counts (physics.md 7.1); the range is assumed",
        "second-hand",
    ),
    couplings=Known(
        Levels.bits_with_zero(4, -0.38, 0.38),
        "at least 4 bits (the same); up to soen_toolkit's fixed coupling of a connection, 0.38 (physics.md 5)",
        "second-hand",
    ),
    input_rate_hz=Known(12e9, f"at most 12 GHz; {_NOTES}", "second-hand"),
    readout_rate_hz=Known(10e6, "prototype, 10 million frames a second (physics.md 7.1)", "second-hand"),
    temperature=Known(4.2, "liquid helium (physics.md 6)", "assumed"),
    write_energy_J=_WRITE,
    settling=Known(
        30.0, "10 to 30 ns in soen_toolkit's documents, about 0.1 ns in its notes (physics.md 10.2)", "second-hand"
    ),
    programmable=Known(("weights", "J"), "weights between all pairs are set from outside (the same)", "assumed"),
    methods=Known((), "nothing is said of learning on the chip", "assumed"),
    signals=Known((), "nothing is said of learning on the chip", "assumed"),
    facts={
        "junctions": Known(4144, _NOTES, "second-hand"),
        "area": Known("1.2 x 1.2 cm^2", _NOTES, "second-hand"),
        "lithography": Known("365 nm", _NOTES, "second-hand"),
        "currents": Known("0 to 1 I_c", _NOTES, "second-hand"),
    },
)
"""The year-1 chip of which only second-hand notes are at hand: 28 dendrites that do not spike, 8 inputs, 784 + 224 weights."""

_JAP = "JAP 126, 044902, on 1 cm^2 (physics.md 4.5)"
_RULES_ON_CHIP = (
    "Hebbian and anti-Hebbian: designed in arXiv 1805.01937 (physics.md 7.1); the others need a broadcast besides"
)

NIST_SPIKING = Chip(
    name="NIST_SPIKING",
    neurons=Known(8100, _JAP, "published"),
    synapses=Known(330_430, _JAP, "published"),
    fan_in=Known(1000, "thousands (JAP 126, 044902); the least that this can mean", "published"),
    fan_out=Known(10_000, "Schneider and Segall, 1:10^4 (physics.md 5)", "published"),
    spiking=Known(True, "SOEN I to V (physics.md 4)", "published"),
    kinds=Known(("ri",), "physics.md 2.2", "assumed"),
    weights=Known(
        Levels.storage_loop(0.0, 1.0, quanta=STORAGE_LOOP_QUANTA),
        "more than 400 states, arXiv 2311.05881 (physics.md 7.1); the range is assumed",
        "measured",
    ),
    sign=Known("magnitude", "the sense of a winding is not programmed (physics.md 5)", "assumed"),
    programmable=Known(
        ("weights",), "the memory is at the synapse; couplings are inductors (physics.md 7.1)", "published"
    ),
    tau=Known((100.0, 1e6), "hundreds of ns to ms, arXiv 2204.09665 (physics.md 1.3)", "measured"),
    efficiency=Known(0.7, "70-80 % at up to 4.2 K, arXiv 1708.04231, in the UV (physics.md 1.3)", "measured"),
    dead_time=Known(33.0, "synapses recover at about 30 MHz, soen_toolkit's documents (physics.md 1.3)", "second-hand"),
    input_rate_hz=Known(10e6, "more than 10 MHz, arXiv 2204.09665 (physics.md 1.3)", "measured"),
    spike_rate_hz=Known(20e6, "20 MHz or more (physics.md 4.3, 4.5)", "published"),
    temperature=Known(4.2, "liquid helium (physics.md 6)", "published"),
    write_energy_J=_WRITE,
    methods=Known(("stdp", "hebbian", "anti_hebbian", "reward_hebbian", "three_factor"), _RULES_ON_CHIP, "assumed"),
    signals=Known(
        ("pre", "post", "weight", "broadcast"),
        "pre and post: photons of both move the weight, arXiv 1805.01937 (physics.md 7.1); its own value and a broadcast: assumed",
        "assumed",
    ),
    facts={
        "signals pre, post": Known(
            "two photons to strengthen, two to weaken",
            "arXiv 1805.01937, JAP 126, 044902 (physics.md 7.1)",
            "published",
        ),
        "signal weight": Known(
            "the storage loop's current flows there", "none; no circuit that reads it is known", "assumed"
        ),
        "signal broadcast": Known("light that reaches all synapses", "none; no such circuit is known", "assumed"),
        "synapse event": Known("33 aJ before cooling", "arXiv 2204.09665 (physics.md 8)", "measured"),
        "power": Known(
            "1 mW/cm^2 at 20 MHz, 700 connections a neuron", "arXiv 1610.00053 (physics.md 4.5)", "published"
        ),
    },
)
"""A spiking chip of one cm^2 after the publications of NIST: no such chip is known to have been made."""

PROFILES = {"ideal": IDEAL, "ascr_y1": ASCR_Y1, "nist_spiking": NIST_SPIKING}
"""The profiles by the name that ``soen deploy --chip`` takes."""


def find(chip: Any) -> Chip:
    """A chip from itself, the name of a profile (in any case), or the path of a chip file.

    Raises:
        InputError: it is none of them, or the file has faults.
    """
    if isinstance(chip, Chip):
        return chip
    if isinstance(chip, str) and chip.lower() in PROFILES:
        return PROFILES[chip.lower()]
    if isinstance(chip, str | os.PathLike) and (Path(chip).suffix or os.path.exists(chip)):
        return Chip.load(chip)
    known = ", ".join(PROFILES)
    hint = nearest(str(chip).lower(), PROFILES)
    raise InputError(f"chip: {shown(chip)} is no chip{hint}; give {known}, a Chip, or a chip file")


_ELSEWHERE = {"check": "deployment", "deploy": "deployment", "Deployment": "deployment", "VirtualChip": "instrument"}


def __getattr__(name: str) -> Any:
    """What is done with a chip can be imported from here too: ``from hardware.chip import deploy, VirtualChip``."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'hardware.chip' has no attribute {name!r}{nearest(name, _ELSEWHERE)}")
    import importlib

    return getattr(importlib.import_module(f"hardware.{_ELSEWHERE[name]}"), name)
