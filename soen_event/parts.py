"""The parts a network is declared from: frozen dataclasses that check themselves.

Times are in ns, fluxes in Phi0, currents in I_c, couplings in Phi0 per unit s. A quantity string ("50 ns", "2 nH",
"180 uA") may stand for any number and is converted: at once where no device constant is needed, else when the part
joins a network (currents in amperes, and ``inductance``, ``resistance`` and ``mutual``, which are kept as declared).
All faults of a part are reported together, in the form ``Soma.threshold: 1.4 is ...; do ...``.

What a field may hold is said once, in its annotation (:class:`Number`, :class:`Choice`, :class:`Name`,
:class:`Nested`, :class:`Rows`). Validation here, the generated "Args" of the docstrings, the strict models of
:mod:`soen_event.files` and the published JSON Schema all read it from there.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError, nearest

if TYPE_CHECKING:
    from soen_event.device import Device

__all__ = [
    "Amperes",
    "Coupling",
    "Dendrite",
    "Derived",
    "Drive",
    "Neuron",
    "Part",
    "Pulse",
    "Refractory",
    "Soma",
    "Synapse",
    "Transmitter",
    "Waveguide",
    "detached",
]

LATEST = 2.0**62 / 1e6
"""Every time is below this (ns): the engines count femtoseconds in an int64."""
SHORTEST = 1e-6
"""No time constant is below this (ns): one femtosecond."""
RTTI_BIAS = (1.5, 2.65)
"""Nominal biases for which RTTI source functions exist (physics.md 2.5)."""
RI_BIAS = (0.0, 3.0)
ID_PATTERN = r"^[A-Za-z0-9_.:/\[\]\-]+$"

_ID = re.compile(ID_PATTERN)
_C = TypeVar("_C", bound=type)


class Amperes(float):
    """A current in amperes that waits for the critical current of the device of the network its part joins."""


class Derived(float):
    """A number that follows from another field (``beta_over_2pi`` from ``inductance``) and is not written to files."""


# ---------------------------------------------------------------------------------------------- what a field may hold


class Refused(Exception):
    """Why a value cannot stand: the rest of a sentence that begins with its place."""


@dataclass(frozen=True)
class Number:
    """A finite number within bounds, or a quantity string of the right dimension; becomes a float in ``unit``.

    ``words``: names that may stand instead of a number. ``remedy``: what to do about a value out of bounds.
    """

    doc: str
    dimension: str = "number"
    unit: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    words: tuple[str, ...] = ()
    remedy: str = ""

    def check(self, value: Any) -> Any:
        """Return ``value`` as a float, or as one of ``words``; raise :class:`Refused` with the reason."""
        if type(value) is not float:
            if isinstance(value, str):
                if value in self.words:
                    return value
                value = self._converted(value)
            elif isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
                raise Refused(f"{shown(value)} is not a number; give {self.expected}")
            elif not isinstance(value, Amperes | Derived):
                try:
                    value = float(value)
                except OverflowError:
                    raise Refused(f"{shown(value)} is out of the range of numbers; give {self.expected}") from None
        if not math.isfinite(value):
            raise Refused(f"{float(value)} is not finite; give {self.expected}")
        if isinstance(value, Amperes):
            return value  # its bounds are in units of I_c, which only the network's device knows
        reason = self._out_of_bounds(value)
        if reason:
            unit = f" {self.unit}" if self.unit else ""
            raise Refused(f"{float(value):.12g} is {reason}{unit}; {self.remedy or f'give {self.expected}'}")
        return type(value)(0.0) if value == 0.0 else value  # -0.0 becomes 0.0

    def _converted(self, text: str) -> float:
        from soen_event import units

        try:
            if self.dimension == "current" and units.dimension_of(text) == "absolute_current":
                return Amperes(units.parse(text, "absolute_current"))
            return units.parse(text, self.dimension)
        except InputError as error:
            reason = error.faults[0].removeprefix("value: ")
            words = f", or {' or '.join(map(repr, self.words))}{nearest(text, self.words)}" if self.words else ""
            raise Refused(f"{reason}{words}") from None

    def _out_of_bounds(self, value: float) -> str:
        if self.at_least is not None and value < self.at_least:
            return f"below {self.at_least:g}"
        if self.above is not None and value <= self.above:
            return f"not above {self.above:g}"
        if self.at_most is not None and value > self.at_most:
            return f"above {self.at_most:g}"
        if self.below is not None and value >= self.below:
            return f"not below {self.below:.4g}"
        return ""

    @property
    def bounds(self) -> str:
        """The range in words, such as ``0 to 1``, ``above 0``; empty if any finite number will do."""
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        named = (("at least", self.at_least), ("above", self.above), ("at most", self.at_most))
        words = [f"{word} {bound:g}" for word, bound in named if bound is not None]
        if self.below is not None and self.below != LATEST:
            words.append(f"below {self.below:g}")
        return " and ".join(words)

    @property
    def expected(self) -> str:
        """What would be right, such as ``a number in ns, at least 0, or a quantity such as "50 ns"``."""
        text = "a number" + (f" in {self.unit}" if self.unit else "") + (f", {self.bounds}" if self.bounds else "")
        if self.dimension in EXAMPLES:
            text += f', or a quantity such as "{EXAMPLES[self.dimension]}"'
        return text + "".join(f", or {word!r}" for word in self.words)


EXAMPLES = {
    "time": "50 ns",
    "flux": "500 mPhi0",
    "current": "180 uA",
    "inductance": "20.7 nH",
    "resistance": "80 mOhm",
    "loss": "3 dB",
}


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    doc: str
    options: tuple[str, ...]

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.options:
            raise Refused(f"{shown(value)} is not known{nearest(str(value), self.options)}; give {self.expected}")
        return str(value)

    @property
    def expected(self) -> str:
        return " or ".join(map(repr, self.options))


@dataclass(frozen=True)
class Name:
    """An id: letters, digits and ``_ . : / [ ] -``."""

    doc: str

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            remedy = f"quote it ({str(value)!r})" if isinstance(value, int | float) else f"give {self.expected}"
            raise Refused(f"{shown(value)} is not text; {remedy}")
        if not _ID.fullmatch(value):
            raise Refused(f"{shown(value)} is no id; give {self.expected}")
        return str(value)

    @property
    def expected(self) -> str:
        return "text of letters, digits and _ . : / [ ] - without spaces"


@dataclass(frozen=True)
class Nested:
    """A part inside a part; a mapping of its fields will do."""

    doc: str
    part: type[Part]

    def check(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return made(self.part, value)
        if not isinstance(value, self.part):
            raise Refused(f"{shown(value)} is no {self.part.__name__}; give {self.expected}")
        return value

    @property
    def expected(self) -> str:
        return f"a {self.part.__name__} or a mapping of its fields"


@dataclass(frozen=True)
class Rows:
    """A sequence of fixed-width rows of numbers (``columns``), or of nested parts (``part``)."""

    doc: str
    columns: tuple[Number, ...] = ()
    part: type[Part] | None = None

    def check(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str | Mapping) or not hasattr(value, "__iter__"):
            raise Refused(f"{shown(value)} is no list; give {self.expected}")
        rows = list(value)
        if not rows:
            raise Refused(f"there is nothing in the list; give {self.expected} or leave the whole part out")
        if self.part is not None:
            nested = Nested(self.doc, self.part)
            return tuple(self._gathered(rows, nested.check))
        return tuple(self._gathered(rows, self._row))

    def _gathered(self, rows: list[Any], check: Callable[[Any], Any]) -> list[Any]:
        """Check every row; the first few refusals are told, each with its index."""
        done, faults = [], []
        for index, row in enumerate(rows):
            try:
                done.append(check(row))
            except Refused as refused:
                faults.append(f"[{index}] {refused}")
            except InputError as error:
                faults += [f"[{index}] {fault}" for fault in error.faults]
        if faults:
            more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
            raise Refused("; ".join(faults[:5]) + more)
        return done

    def _row(self, row: Any) -> tuple[float, ...]:
        if isinstance(row, str | Mapping) or not hasattr(row, "__len__") or len(row) != len(self.columns):
            raise Refused(f"{shown(row)} is no row of {len(self.columns)} numbers; give {self.expected}")
        return tuple([rule.check(value) for rule, value in zip(self.columns, row, strict=True)])

    @property
    def expected(self) -> str:
        if self.part is not None:
            return f"a list of {self.part.__name__} or of mappings of its fields"
        return f"a list of [{', '.join(rule.doc for rule in self.columns)}]"


Rule: TypeAlias = Number | Choice | Name | Nested | Rows


class Field(NamedTuple):
    """One field of a part: its rule, whether it must be given, whether it may be None."""

    rule: Rule
    required: bool
    optional: bool
    default: Any


def shown(value: Any) -> str:
    """The value for an error message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_fields: dict[type, dict[str, Field]] = {}


def fields_of(part: type[Any]) -> dict[str, Field]:
    """The declared fields of a part's class, in order."""
    if part in _fields:
        return _fields[part]
    hints = typing.get_type_hints(part, include_extras=True)
    found = {}
    for field in dataclasses.fields(part):
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        rule = next(extra for extra in hints[field.name].__metadata__ if isinstance(extra, Rule))
        default = None if missing or field.default is dataclasses.MISSING else field.default
        optional = field.default is None
        found[field.name] = Field(rule, missing, optional, default)
    _fields[part] = found
    return found


def made(part: type[Any], given: Mapping[str, Any]) -> Any:
    """Build a part from a mapping of its fields.

    Raises:
        InputError: with every fault; an unknown key is told with the nearest known one.
    """
    known = fields_of(part)
    name = part.__name__
    faults = [
        f"{name}.{key}: unknown field{nearest(str(key), known)}; remove it or correct it"
        for key in given
        if key not in known
    ]
    faults += [
        f"{name}.{key}: missing; give {field.rule.expected}"
        for key, field in known.items()
        if field.required and key not in given
    ]
    if not faults:
        return part(**given)
    # Tell what is wrong with the rest as well.
    if any(field.required and key not in given for key, field in known.items()):
        for key, value in given.items():
            if key in known and (value is not None or not known[key].optional):
                try:
                    known[key].rule.check(value)
                except Refused as refused:
                    faults.append(f"{name}.{key}: {refused}")
                except InputError as error:
                    faults += error.faults
    else:
        with detached():
            try:
                part(**{key: value for key, value in given.items() if key in known})
            except InputError as error:
                faults += error.faults
    raise InputError(faults)


# ---------------------------------------------------------------------------------------------- joining a network

_listeners: ContextVar[tuple[Callable[[Any], None], ...]] = ContextVar("soen_event_networks", default=())


@contextmanager
def detached() -> Iterator[None]:
    """Build parts that do not join the network of a surrounding ``with Network()`` block."""
    token = _listeners.set(())
    try:
        yield
    finally:
        _listeners.reset(token)


def _documented(part: _C) -> _C:
    """Append the fields to the class's docstring."""
    lines = []
    for name, field in fields_of(part).items():
        rule = field.rule
        bounds = rule.bounds if isinstance(rule, Number) else ""
        unit = rule.unit if isinstance(rule, Number) else ""
        notes = [text for text in (unit, bounds) if text]
        if isinstance(rule, Choice):
            notes.append(" | ".join(rule.options))
        if field.default is not None:
            notes.append(f"default {field.default}")
        lines.append(f"{name}: {rule.doc}" + (f" ({'; '.join(notes)})." if notes else "."))
    part.__doc__ = (
        f"{(part.__doc__ or '').rstrip()}\n\n    Args:\n" + "\n".join(f"        {line}" for line in lines) + "\n"
    )
    return part


class Part:
    """Base of every part: checks the fields, joins the surrounding network, converts what needs a device."""

    _stands_alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        faults: list[str] = []
        bad: set[str] = set()
        for name, field in fields_of(type(self)).items():
            value = getattr(self, name)
            if value is None and field.optional:
                continue
            try:
                kept = field.rule.check(value)
            except Refused as refused:
                faults.append(f"{type(self).__name__}.{name}: {refused}")
                bad.add(name)
            except InputError as error:
                faults += error.faults
                bad.add(name)
            else:
                if kept is not value:
                    object.__setattr__(self, name, kept)
        faults += [f"{type(self).__name__}.{fault}" for fault in self._together(bad)]
        if faults:
            label = "" if "id" in bad else self._label()
            raise InputError([fault + label for fault in faults])
        if self._stands_alone:
            for listener in _listeners.get()[-1:]:
                listener(self)

    def _label(self) -> str:
        name = getattr(self, "id", None)
        return f" ({type(self).__name__.lower()} {name})" if name else ""

    def _together(self, bad: Collection[str]) -> list[str]:
        """Fill defaults that depend on other fields; return faults that need several fields, those not in ``bad``."""
        return []

    def _fill(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def resolved(self, device: Device) -> Any:
        """The same part with everything in its public unit: amperes in I_c, and beta, tau and J from circuit values.

        Raises:
            InputError: a converted value is out of its bounds.
        """
        changes: dict[str, Any] = {}
        given = {name: getattr(self, name) for name in fields_of(type(self))}
        for name, value in given.items():
            if isinstance(value, Amperes):
                changes[name] = float(value) / device.Ic
            elif isinstance(value, Part):
                inner = value.resolved(device)
                if inner is not value:
                    changes[name] = inner
        if given.get("inductance") is not None:
            changes["beta_over_2pi"] = Derived(device.beta_from_inductance(given["inductance"]) / (2.0 * math.pi))
        if given.get("resistance") is not None:
            beta = 2.0 * math.pi * changes.get("beta_over_2pi", given["beta_over_2pi"])
            changes["tau"] = Derived(device.tau_from_resistance(beta, given["resistance"]))
        if given.get("mutual") is not None:
            changes["J"] = Derived(device.J_from_mutual(given["mutual"]))
        if not changes:
            return self
        with detached():
            return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def as_dict(self) -> dict[str, Any]:
        """The declared fields as plain data (numbers, text, lists, dicts), as they stand in a network file."""
        out: dict[str, Any] = {}
        for name, field in fields_of(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, Derived) or (value is None and not isinstance(field.rule, Nested)):
                continue
            if isinstance(value, Part):
                value = value.as_dict()
            elif isinstance(value, Amperes):
                value = f"{float(value)!r} A"
            elif isinstance(field.rule, Number) and field.rule.unit in ("H", "Ohm"):
                value = f"{float(value)!r} {field.rule.unit}"
            elif isinstance(field.rule, Rows):
                value = [row.as_dict() if isinstance(row, Part) else list(row) for row in value]
            out[name] = value
        return out


# ---------------------------------------------------------------------------------------------- electrical fields

_Ri = Number(
    "bias current; more than the critical current 2 makes fluxons without input",
    "current",
    "I_c",
    at_least=RI_BIAS[0],
    at_most=RI_BIAS[1],
)
_Ib = Number("bias current: 0 to 3 for ri (default 1.8), nominal 1.5 to 2.65 for rtti (default 2.0)", "current", "I_c")
_RefractoryIb = dataclasses.replace(_Ri, doc="bias current; None: that of the soma")
_Beta = Number(
    "dimensionless inductance L I_c/Phi0 of the integration loop; one fluxon adds about 1/beta_over_2pi to s",
    above=0.0,
    at_most=1e12,
)
_Inductance = Number(
    "inductance of the integration loop, instead of beta_over_2pi",
    "inductance",
    "H",
    above=0.0,
    at_most=1e-3,
    remedy='write a quantity with its unit, such as "20.7 nH"',
)
_Tau = Number("decay time of the loop's current", "time", "ns", at_least=SHORTEST, below=LATEST)
_Resistance = Number(
    "resistance in the integration loop, instead of tau = L/r",
    "resistance",
    "Ohm",
    above=0.0,
    at_most=1e3,
    remedy='write a quantity with its unit, such as "80 mOhm"',
)
_Offset = Number("constant flux", "flux", "Phi0")
_CollectionInductance = Number(
    "total inductance of the closed loop that collects this part's couplings; None: couplings that do not load each other",
    "inductance",
    "H",
    above=0.0,
    at_most=1e-6,
    remedy='write a quantity with its unit, such as "60 pH"',
)
_CollectionMutual = Number(
    "mutual inductance of that loop with this part's SQUID",
    "inductance",
    "H",
    above=0.0,
    at_most=1e-6,
    remedy='write a quantity with its unit, such as "6.5 pH"',
)
_Source = Choice(
    "source function: from the junction equations or from the closed fit; None: the device's choice", ("table", "fit")
)


def _electrical(part: Any, bad: Collection[str], beta_over_2pi: float, tau: float) -> list[str]:
    """Fill beta_over_2pi and tau where nothing stands for them; refuse two that say the same."""
    faults = []
    for name, instead, default in (("beta_over_2pi", "inductance", beta_over_2pi), ("tau", "resistance", tau)):
        if name in bad or instead in bad:
            continue
        value, other = getattr(part, name), getattr(part, instead)
        if other is None:
            part._fill(name, default if value is None else float(value))
        elif value is not None and not isinstance(value, Derived):
            faults.append(f"{name}: {float(value):g} is given together with {instead}; give one of the two")
    return faults


def _collection(part: Any, bad: Collection[str]) -> list[str]:
    """A collection loop has both of its circuit values or none."""
    given = [n for n in ("collection_inductance", "collection_mutual") if getattr(part, n) is not None or n in bad]
    if len(given) != 1:
        return []
    other = "collection_mutual" if given[0] == "collection_inductance" else "collection_inductance"
    return [f"{other}: missing; {given[0]} needs it too, give both or neither"]


def _pulse_order(part: Any, bad: Collection[str]) -> list[str]:
    if "tau_rise" in bad or "tau_fall" in bad or part.tau_rise < part.tau_fall:
        return []
    reason = f"{part.tau_rise:g} ns is not below tau_fall = {part.tau_fall:g} ns"
    return [f"tau_rise: {reason}; lower tau_rise or raise tau_fall"]


_Id = Name("unique name")
_PhiPeak = Number(
    "flux that a hotspot would reach if it lasted; the sign belongs in the weight", "flux", "Phi0", at_least=0.0
)
_Rise = Number("rise time of the pulse, below tau_fall", "time", "ns", at_least=SHORTEST, below=LATEST)
_Fall = Number("fall time of the pulse", "time", "ns", at_least=SHORTEST, below=LATEST)
_Hotspot = Number("how long the hotspot of a photon lasts", "time", "ns", above=0.0, below=LATEST)
_Overlap = Choice(
    "a new pulse on top of an old one: saturates as the circuit does, or restarts as if it were alone",
    ("saturate", "restart"),
)


# ---------------------------------------------------------------------------------------------- the parts


@_documented
@dataclass(frozen=True)
class Synapse(Part):
    """A single-photon detector and the flux pulse it puts into one dendrite or soma (physics.md 1.1, 1.2).

    During the hotspot the flux relaxes towards phi_peak (1 - tau_rise/tau_fall), afterwards it decays with tau_fall.
    """

    _stands_alone: ClassVar[bool] = True

    id: Annotated[str, _Id]
    target: Annotated[str, Name("id of the dendrite or neuron that is driven")]
    _: KW_ONLY
    weight: Annotated[float, Number("factor on the flux, of either sign")] = 1.0
    phi_peak: Annotated[float, _PhiPeak] = 0.5
    tau_rise: Annotated[float, _Rise] = 0.02
    tau_fall: Annotated[float, _Fall] = 50.0
    hotspot: Annotated[float, _Hotspot] = 0.06
    efficiency: Annotated[
        float, Number("probability that a photon is detected at full bias", at_least=0.0, at_most=1.0)
    ] = 1.0
    dead_time: Annotated[
        float, Number("photons this soon after a detection are lost", "time", "ns", at_least=0.0, below=LATEST)
    ] = 0.0
    recovery: Annotated[
        Literal["full", "bias"],
        Choice(
            "efficiency after a detection: full at once, or following the recovering bias current", ("full", "bias")
        ),
    ] = "full"
    overlap: Annotated[Literal["saturate", "restart"], _Overlap] = "saturate"

    def _together(self, bad: Collection[str]) -> list[str]:
        return _pulse_order(self, bad)


@_documented
@dataclass(frozen=True)
class Dendrite(Part):
    """A SQUID that pumps fluxons into a leaky integration loop (physics.md 2.1): beta s' = g(phi, ib - s) - alpha s."""

    _stands_alone: ClassVar[bool] = True

    id: Annotated[str, _Id]
    _: KW_ONLY
    kind: Annotated[Literal["ri", "rtti"], Choice("circuit, physics.md 2.2 and 2.5", ("ri", "rtti"))] = "ri"
    ib: Annotated[float, _Ib] = None  # type: ignore[assignment]  # filled: depends on kind
    beta_over_2pi: Annotated[float, _Beta] = None  # type: ignore[assignment]  # filled: 1000, or from inductance
    inductance: Annotated[float | None, _Inductance] = None
    tau: Annotated[float, _Tau] = None  # type: ignore[assignment]  # filled: 250, or from resistance
    resistance: Annotated[float | None, _Resistance] = None
    phi_offset: Annotated[float, _Offset] = 0.0
    source: Annotated[Literal["table", "fit"] | None, _Source] = None
    collection_inductance: Annotated[float | None, _CollectionInductance] = None
    collection_mutual: Annotated[float | None, _CollectionMutual] = None

    def _together(self, bad: Collection[str]) -> list[str]:
        faults = _electrical(self, bad, 1000.0, 250.0) + _collection(self, bad)
        if "kind" in bad:
            return faults
        if self.ib is None:
            self._fill("ib", 2.0 if self.kind == "rtti" else 1.8)
        elif "ib" not in bad and not isinstance(self.ib, Amperes):
            low, high = RTTI_BIAS if self.kind == "rtti" else RI_BIAS
            if not low <= self.ib <= high:
                which = f"below {low:g}" if self.ib < low else f"above {high:g}"
                reason = f"{self.ib:.12g} is {which} I_c, outside the range of kind {self.kind!r}"
                faults.append(f"ib: {reason}; give {low:g} to {high:g}")
        if self.kind == "rtti" and self.source == "fit":
            faults.append("source: 'fit' is a closed form for kind 'ri' only; leave source out")
        return faults


@_documented
@dataclass(frozen=True)
class Soma(Part):
    """The RI dendrite whose current makes the neuron spike when it crosses a threshold upwards (physics.md 4.1)."""

    kind: ClassVar[str] = "ri"

    _: KW_ONLY
    ib: Annotated[float, _Ri] = 1.8
    beta_over_2pi: Annotated[float, _Beta] = None  # type: ignore[assignment]  # filled: 100, or from inductance
    inductance: Annotated[float | None, _Inductance] = None
    tau: Annotated[float, _Tau] = None  # type: ignore[assignment]  # filled: 50, or from resistance
    resistance: Annotated[float | None, _Resistance] = None
    phi_offset: Annotated[float, _Offset] = 0.0
    source: Annotated[Literal["table", "fit"] | None, _Source] = None
    collection_inductance: Annotated[float | None, _CollectionInductance] = None
    collection_mutual: Annotated[float | None, _CollectionMutual] = None
    threshold: Annotated[float, Number("current at which the soma spikes", "current", "I_c", above=0.0)] = 0.5
    after_spike: Annotated[
        Literal["purge", "keep"],
        Choice("what a spike does to the soma's current: set it to 0, or nothing", ("purge", "keep")),
    ] = "purge"
    t_ref: Annotated[
        float, Number("absolute refractory time after a spike", "time", "ns", at_least=0.0, below=LATEST)
    ] = 10.0

    def _together(self, bad: Collection[str]) -> list[str]:
        return _electrical(self, bad, 100.0, 50.0) + _collection(self, bad)


@_documented
@dataclass(frozen=True)
class Refractory(Part):
    """The RI dendrite that the soma's own spike drives and that pulls the soma's flux down (physics.md 4.2).

    J "auto": from the flux at which the soma can just fire down to its negative threshold, when this loop is full.
    """

    kind: ClassVar[str] = "ri"

    _: KW_ONLY
    ib: Annotated[float | None, _RefractoryIb] = None
    beta_over_2pi: Annotated[float, _Beta] = None  # type: ignore[assignment]  # filled: 100, or from inductance
    inductance: Annotated[float | None, _Inductance] = None
    tau: Annotated[float, _Tau] = None  # type: ignore[assignment]  # filled: 50, or from resistance
    resistance: Annotated[float | None, _Resistance] = None
    phi_offset: Annotated[float, _Offset] = 0.0
    source: Annotated[Literal["table", "fit"] | None, _Source] = None
    J: Annotated[
        float | Literal["auto"],
        Number(
            "coupling to the soma, not positive",
            unit="Phi0 per unit s",
            at_most=0.0,
            words=("auto",),
            remedy="a refractory dendrite holds the soma down; give 'auto' or a negative number",
        ),
    ] = "auto"
    hotspot: Annotated[float, _Hotspot] = 0.04
    phi_peak: Annotated[float, _PhiPeak] = 0.5
    tau_rise: Annotated[float, _Rise] = 0.02
    tau_fall: Annotated[float, _Fall] = 50.0
    overlap: Annotated[Literal["saturate", "restart"], _Overlap] = "saturate"

    def _together(self, bad: Collection[str]) -> list[str]:
        return _electrical(self, bad, 100.0, 50.0) + _pulse_order(self, bad)


@_documented
@dataclass(frozen=True)
class Transmitter(Part):
    """Turns a spike into light after a latency (physics.md 4.3, 4.4)."""

    _: KW_ONLY
    emission: Annotated[
        Literal["deterministic", "photons"],
        Choice("light after a fixed latency, or photons with drawn numbers and times", ("deterministic", "photons")),
    ] = "deterministic"
    latency: Annotated[
        float, Number("from the spike to the start of the light", "time", "ns", at_least=0.0, below=LATEST)
    ] = 5.6
    source: Annotated[
        Literal["qd", "ec"],
        Choice("emitter: III-V quantum dots (1 ns) or silicon emissive centres (40 ns)", ("qd", "ec")),
    ] = "qd"
    photons: Annotated[
        float, Number("mean number of photons at the input of each outgoing waveguide", above=0.0, at_most=1e12)
    ] = 10.0


@_documented
@dataclass(frozen=True)
class Neuron(Part):
    """A soma, perhaps with a refractory dendrite, perhaps with a transmitter; only with one it can feed waveguides."""

    _stands_alone: ClassVar[bool] = True

    id: Annotated[str, Name("unique name; as a coupling's end or a recorded current it means the soma")]
    soma: Annotated[Soma, Nested("the thresholding loop", Soma)] = dataclasses.field(default_factory=Soma)
    refractory: Annotated[Refractory | None, Nested("the refractory dendrite, or None", Refractory)] = None
    transmitter: Annotated[Transmitter | None, Nested("the light source, or None", Transmitter)] = None


@_documented
@dataclass(frozen=True)
class Coupling(Part):
    """Flux J s of a source loop's current s in a target's SQUID (physics.md 5). Give ``J`` or ``mutual``."""

    _stands_alone: ClassVar[bool] = True

    source: Annotated[str, Name("id of a dendrite or neuron, whose soma's current it is")]
    target: Annotated[str, Name("id of a dendrite or neuron, whose soma is coupled to")]
    _: KW_ONLY
    J: Annotated[float, Number("coupling, of either sign", unit="Phi0 per unit s")] = None  # type: ignore[assignment]
    mutual: Annotated[
        float | None,
        Number(
            "mutual inductance of either sign, instead of J = M I_c/Phi0",
            "inductance",
            "H",
            at_least=-1e-6,
            at_most=1e-6,
            remedy='write a quantity with its unit, such as "10.3 pH"',
        ),
    ] = None
    id: Annotated[str | None, Name("optional name; needed to tell parallel couplings apart")] = None

    def _together(self, bad: Collection[str]) -> list[str]:
        if "J" in bad or "mutual" in bad:
            return []
        if self.mutual is None:
            if self.J is None:
                return ["J: missing; give J in Phi0 per unit s or mutual as an inductance"]
            self._fill("J", float(self.J))
        elif self.J is not None and not isinstance(self.J, Derived):
            return [f"J: {self.J:g} is given together with mutual; give one of the two"]
        return []

    def _label(self) -> str:
        return f" (coupling {self.id or f'{self.source}->{self.target}'})"


@_documented
@dataclass(frozen=True)
class Waveguide(Part):
    """Carries the light of a neuron's transmitter to one synapse, later and weaker (physics.md 4.5)."""

    _stands_alone: ClassVar[bool] = True

    source: Annotated[str, Name("id of a neuron with a transmitter")]
    target: Annotated[str, Name("id of a synapse")]
    _: KW_ONLY
    delay: Annotated[
        float, Number("propagation time, 67 ps per cm at a group index of 2", "time", "ns", at_least=0.0, below=LATEST)
    ] = 0.0
    loss_db: Annotated[float, Number("attenuation", "loss", "dB", at_least=0.0, at_most=1e3)] = 0.0
    id: Annotated[str | None, Name("optional name; needed to tell parallel waveguides apart")] = None

    def _label(self) -> str:
        return f" (waveguide {self.id or f'{self.source}->{self.target}'})"


@_documented
@dataclass(frozen=True)
class Pulse(Part):
    """A flux pulse: difference of exponentials, zero before ``t0``, with the peak value ``phi_peak``."""

    t0: Annotated[float, Number("start", "time", "ns", at_least=0.0, below=LATEST)]
    phi_peak: Annotated[float, Number("largest flux, of either sign", "flux", "Phi0")]
    tau_rise: Annotated[float, _Rise]
    tau_fall: Annotated[float, _Fall]

    def _together(self, bad: Collection[str]) -> list[str]:
        return _pulse_order(self, bad)

    @property
    def peak_time(self) -> float:
        """When the pulse is at its peak (ns)."""
        excess = (self.tau_fall - self.tau_rise) / self.tau_rise
        return self.t0 + math.log1p(excess) * self.tau_fall / excess

    def flux(self, t: ArrayLike) -> NDArray[np.float64]:
        """Flux (Phi0) at times ``t`` (ns, any shape)."""
        excess = (self.tau_fall - self.tau_rise) / self.tau_rise
        norm = math.exp(-math.log1p(excess) / excess) * excess / (1.0 + excess)
        late = np.maximum(np.asarray(t, dtype=float) - self.t0, 0.0)
        # e^(-x/fall) - e^(-x/rise) without the cancellation of two nearly equal exponentials
        return np.asarray(
            -self.phi_peak / norm * np.exp(-late / self.tau_fall) * np.expm1(-late * excess / self.tau_fall)
        )


@_documented
@dataclass(frozen=True)
class Drive(Part):
    """What acts on a dendrite or soma from outside: flux, as piecewise linear ``points`` or ``pulses`` that add, or ``quanta`` that enter
    its loop. Give one of the three.

    The flux is held before the first and after the last point; two points at the same time are a jump. A drive threads
    one arm of the SQUID (circuit.md 2: its flux also feeds the loop with pi phi/beta_eff) unless ``arm`` is "both".
    Quanta are pulses of voltage in the integration loop: each lets n flux quanta in at once, n any number of either sign, and
    the loop's current jumps by n 2 pi/beta_eff (as noise of its resistor does, :func:`hardware.noise.current_noise`).
    """

    _stands_alone: ClassVar[bool] = True

    target: Annotated[str, Name("id of the dendrite or neuron that is driven")]
    _: KW_ONLY
    points: Annotated[
        tuple[tuple[float, float], ...] | None,
        Rows(
            "[time in ns, flux in Phi0], times at least 0 and not decreasing",
            (Number("time", "time", "ns", at_least=0.0, below=LATEST), Number("flux", "flux", "Phi0")),
        ),
    ] = None
    pulses: Annotated[tuple[Pulse, ...] | None, Rows("pulses that add", part=Pulse)] = None
    quanta: Annotated[
        tuple[tuple[float, float], ...] | None,
        Rows(
            "[time in ns, flux quanta that enter the loop], times at least 0",
            (Number("time", "time", "ns", at_least=0.0, below=LATEST), Number("quanta", "number", "")),
        ),
    ] = None
    arm: Annotated[
        Literal["first", "both"],
        Choice(
            "arms of the SQUID that the flux threads: the first alone, which also feeds the loop, or both",
            ("first", "both"),
        ),
    ] = "first"

    def _together(self, bad: Collection[str]) -> list[str]:
        if {"points", "pulses", "quanta"} & set(bad):
            return []
        given = [name for name in ("points", "pulses", "quanta") if getattr(self, name) is not None]
        if len(given) != 1:
            return [
                "points: give points, pulses or quanta"
                + (f", not {' and '.join(given)}; use two drives" if given else "")
            ]
        points = self.points or ()
        return [
            f"points: [{k + 1}] time {late[0]:g} ns comes after {early[0]:g} ns; sort the points by time"
            for k, (early, late) in enumerate(itertools.pairwise(points))
            if late[0] < early[0]
        ][:5]

    def _label(self) -> str:
        return f" (drive on {self.target})"

    def flux(self, t: ArrayLike) -> NDArray[np.float64]:
        """Flux (Phi0) at times ``t`` (ns, any shape); at a jump the later value."""
        t = np.asarray(t, dtype=float)
        if self.points is None:  # quanta are no flux in the SQUID
            return np.asarray(sum((pulse.flux(t) for pulse in self.pulses or ()), np.zeros(t.shape)))
        times, fluxes = np.array(self.points).T
        after = np.searchsorted(times, t, side="right")
        before, after = np.maximum(after - 1, 0), np.minimum(after, len(times) - 1)
        span = times[after] - times[before]
        share = np.where(span > 0.0, (t - times[before]) / np.where(span > 0.0, span, 1.0), 0.0)
        return np.asarray(fluxes[before] + np.clip(share, 0.0, 1.0) * (fluxes[after] - fluxes[before]))
