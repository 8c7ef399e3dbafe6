"""What a field of a chip may hold, where its value comes from, and how it stands in a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hardware.quantize import SIGNS, Levels
from soen_event.errors import InputError, nearest
from soen_event.learning import NEEDS
from soen_event.parts import shown
from soen_event.units import parse

__all__ = [
    "METHODS",
    "NEEDED",
    "RULES",
    "SIGNALS",
    "STATUSES",
    "Known",
    "Setting",
    "aligned",
    "known_from",
    "lowest",
    "plain",
    "told",
]

STATUSES = ("measured", "published", "second-hand", "assumed", "given")
"""Measured on a device; published as a design or an estimate; told by someone else; assumed here; given by the user."""
KINDS = ("ri", "rtti")
PROGRAMMED = ("weights", "J", "phi_offset")
SIGNALS = (*NEEDS, "gradient")
"""What a way of learning may need where it changes something, from local to global: :data:`soen_event.learning.NEEDS`, what rules that
run on a chip can ask for, and the gradient, which nothing on a chip has."""
METHODS: dict[str, tuple[str, ...]] = {
    "stdp": ("pre", "post"),
    "hebbian": ("pre", "post"),
    "anti_hebbian": ("pre", "post"),
    "reward_hebbian": ("pre", "post", "broadcast"),
    "three_factor": ("pre", "post", "broadcast"),
    "backprop": ("gradient",),
    "bptt": ("gradient",),
    "eventprop": ("gradient",),
}
"""Ways of learning that can be spoken of by name, and what each needs of :data:`SIGNALS` (features.md S0.16)."""

Setting: TypeAlias = "Levels | tuple[float, float]"
"""Values that a chip has: levels, or a range (low, high) within which any will do."""


@dataclass(frozen=True)
class Known:
    """A number and where it comes from.

    Args:
        value: whatever the field holds.
        source: a paper, a file, a sentence; text of one line.
        status: one of :data:`STATUSES`.

    Raises:
        InputError: an unknown status, or a source that is no line of text.
    """

    value: Any
    source: str = ""
    status: str = "given"

    def __post_init__(self) -> None:
        faults = []
        if self.status not in STATUSES:
            remedy = f"give {', '.join(STATUSES)}"
            faults.append(
                f"Known.status: {shown(self.status)} is not known{nearest(str(self.status), STATUSES)}; {remedy}"
            )
        if not isinstance(self.source, str) or not self.source.isprintable():
            faults.append(f"Known.source: {shown(self.source)} is no line of text; say where the value comes from")
        if faults:
            raise InputError(faults)


class _Rule(NamedTuple):
    """What a field of a chip may hold: a function that returns the value as stored or raises InputError; its unit."""

    check: Callable[[Any, str], Any]
    unit: str = ""


def _count(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value <= 10**12:
        raise InputError(f"{place}: {shown(value)} is no number of parts; give a whole number, 0 or more, or None")
    return int(value)


def _bits(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= 16:
        raise InputError(f"{place}: {shown(value)} is no number of bits; give a whole number from 1 to 16, or None")
    return int(value)


def _quantity(
    dimension: str, least: float = 0.0, most: float = math.inf, scale: float = 1.0
) -> Callable[[Any, str], float]:
    """A finite number in [least, most], or a quantity string; ``scale`` turns the library's unit into the field's."""

    def check(value: Any, place: str) -> float:
        number = parse(value, dimension, place) * (scale if isinstance(value, str) else 1.0)
        if not least <= number <= most:
            bound = f"below {least:g}" if number < least else f"above {most:g}"
            raise InputError(
                f"{place}: {number:g} is {bound}; give a number from {least:g}" + f" to {most:g}" * (most < math.inf)
            )
        return number + 0.0

    return check


def _rate(value: Any, place: str) -> float:
    number = _quantity("frequency", scale=1e9)(value, place)
    if number <= 0.0:
        raise InputError(f"{place}: {number:g} Hz is not above 0; give a rate, or None where it is not known")
    return number


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{place}: {shown(value)} is neither true nor false; give one of them")
    return bool(value)


def _word(known: tuple[str, ...]) -> Callable[[Any, str], str]:
    def check(value: Any, place: str) -> str:
        if not isinstance(value, str) or value not in known:
            hint = nearest(str(value), known)
            raise InputError(f"{place}: {shown(value)} is not known{hint}; give {' or '.join(map(repr, known))}")
        return value

    return check


def _words(known: tuple[str, ...] | None = None) -> Callable[[Any, str], tuple[str, ...]]:
    def check(value: Any, place: str) -> tuple[str, ...]:
        if isinstance(value, str | Mapping) or not hasattr(value, "__iter__"):
            raise InputError(f"{place}: {shown(value)} is no list of words; give such as ['{(known or ('stdp',))[0]}']")
        words = list(value)
        faults = []
        for word in words:
            if not isinstance(word, str) or not word.isprintable() or not word:
                faults.append(f"{place}: {shown(word)} is no word; give text")
            elif known is not None and word not in known:
                faults.append(f"{place}: {word!r} is not known{nearest(word, known)}; give some of {', '.join(known)}")
        if faults:
            raise InputError(faults)
        return tuple(dict.fromkeys(words))

    return check


def _setting(dimension: str = "number", positive: bool = False) -> Callable[[Any, str], Setting]:
    def check(value: Any, place: str) -> Setting:
        if isinstance(value, Mapping):
            value = _levels_from(value, place)
        if isinstance(value, Levels):
            low, high = value.values[0], value.values[-1]
        elif isinstance(value, list | tuple) and len(value) == 2:
            low, high = (parse(end, dimension, f"{place}[{k}]") for k, end in enumerate(value))
            if low > high:
                raise InputError(f"{place}: {low:g} is above {high:g}; give (low, high)")
            value = (low, high)
        else:
            remedy = "give Levels or a range (low, high), or None where any value will do"
            raise InputError(f"{place}: {shown(value)} is no setting; {remedy}")
        if positive and low <= 0.0:
            raise InputError(f"{place}: {low:g} is not above 0; give values above 0")
        return value

    return check


def _span(value: Any, place: str) -> tuple[float, float]:
    found = _setting()(value, place)
    if isinstance(found, Levels) or not found[0] < found[1]:
        raise InputError(f"{place}: {shown(value)} is no range; give (low, high) with low below high")
    return found


RULES: dict[str, _Rule] = {
    "neurons": _Rule(_count),
    "dendrites": _Rule(_count),
    "inputs": _Rule(_count),
    "synapses": _Rule(_count),
    "input_synapses": _Rule(_count),
    "recurrent_synapses": _Rule(_count),
    "fan_in": _Rule(_count),
    "fan_out": _Rule(_count),
    "spiking": _Rule(_flag),
    "crossbar": _Rule(_flag),
    "kinds": _Rule(_words(KINDS)),
    "weights": _Rule(_setting()),
    "couplings": _Rule(_setting(), "Phi0 per unit s"),
    "sign": _Rule(_word(SIGNS)),
    "programmable": _Rule(_words(PROGRAMMED)),
    "ib": _Rule(_setting(), "I_c"),
    "tau": _Rule(_setting("time", positive=True), "ns"),
    "beta_over_2pi": _Rule(_setting(positive=True)),
    "phi_offset": _Rule(_setting("flux"), "Phi0"),
    "soma_tau": _Rule(_setting("time", positive=True), "ns"),
    "threshold": _Rule(_setting(positive=True), "I_c"),
    "efficiency": _Rule(_quantity("number", 0.0, 1.0)),
    "dead_time": _Rule(_quantity("time"), "ns"),
    "input_rate_hz": _Rule(_rate, "Hz"),
    "spike_rate_hz": _Rule(_rate, "Hz"),
    "readout_rate_hz": _Rule(_rate, "Hz"),
    "temperature": _Rule(_quantity("temperature", 0.0, 1e3), "K"),
    "write_energy_J": _Rule(_quantity("energy"), "J"),
    "settling": _Rule(_quantity("time"), "ns"),
    "readout_noise": _Rule(_quantity("number"), "I_c"),
    "adc_bits": _Rule(_bits),
    "adc_range": _Rule(_span, "I_c"),
    "methods": _Rule(_words()),
    "signals": _Rule(_words(SIGNALS)),
}
NEEDED = ("spiking", "crossbar", "kinds", "sign", "programmable", "adc_range")  # fields that cannot be None


# ---------------------------------------------------------------------------------------------- plain data and text


def lowest(setting: Setting) -> float:
    """The smallest value of a setting."""
    return setting.values[0] if isinstance(setting, Levels) else setting[0]


_SCHEMES: dict[str, Callable[[Any, Any, Any], Levels]] = {
    "bits": Levels.bits,
    "bits_with_zero": Levels.bits_with_zero,
    "bits_around_zero": Levels.bits_around_zero,
    "storage_loop": lambda quanta, low, high: Levels.storage_loop(low, high, quanta=quanta),
}


def _levels_from(document: Mapping[str, Any], place: str) -> Levels:
    scheme = [name for name in (*_SCHEMES, "values") if name in document]
    wanted = ["values"] if scheme == ["values"] else [*scheme, "low", "high"]
    if len(scheme) != 1 or sorted(document, key=str) != sorted(wanted):
        remedy = (
            "give {bits: 4, low: -1, high: 1} (or bits_with_zero, bits_around_zero, storage_loop), or {values: [...]}"
        )
        raise InputError(f"{place}: {shown(dict(document))} describes no levels; {remedy}")
    try:
        if scheme == ["values"]:
            return Levels(document["values"])
        return _SCHEMES[scheme[0]](document[scheme[0]], document["low"], document["high"])
    except InputError as error:
        raise InputError([f"{place}: {fault}" for fault in error.faults]) from None


def _levels_plain(levels: Levels) -> dict[str, Any]:
    """The shortest description that gives the same levels."""
    low, high, count = levels.values[0], levels.values[-1], len(levels)
    for scheme, extra in (("bits", 0), ("bits_with_zero", 1)):
        b = (count - extra).bit_length() - 1
        if 1 <= b <= 16 and 2**b + extra == count and _SCHEMES[scheme](b, low, high) == levels:
            return {scheme: b, "low": low, "high": high}
    b = count.bit_length() - 1
    if 2 <= b <= 16 and 2**b == count and low < 0.0 < high and Levels.bits_around_zero(b, low, high) == levels:
        return {"bits_around_zero": b, "low": low, "high": high}
    if count > 2 and _SCHEMES["storage_loop"](count - 1, low, high) == levels:
        return {"storage_loop": count - 1, "low": low, "high": high}
    return {"values": list(levels.values)}


def known_from(document: Any, place: str) -> Known:
    """A :class:`Known` of the mapping that a chip file holds for it; InputError, named by ``place``, if it is none."""
    if not isinstance(document, Mapping) or "value" not in document or set(document) - {"value", "status", "source"}:
        raise InputError(f"{place}: {shown(document)} is not {{value, status, source}}; correct it")
    try:
        return Known(document["value"], document.get("source", ""), document.get("status", "given"))
    except InputError as error:
        raise InputError([f"{place}: {fault}" for fault in error.faults]) from None


def plain(value: Any) -> Any:
    """A value as a chip file holds it."""
    if isinstance(value, Levels):
        return _levels_plain(value)
    return list(value) if isinstance(value, tuple) else value


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """Rows of text as lines in columns, those of ``right`` to the right; the last column as it is."""
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    return [
        "".join(
            f"{c:>{w}}  " if k in right else f"{c:<{w}}  " for k, (c, w) in enumerate(zip(row, widths, strict=False))
        )
        + row[-1]
        for row in rows
    ]


def told(value: Any, unit: str) -> str:
    """A value in a few characters."""
    if isinstance(value, Levels):
        text = value.name
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, tuple) and value and not isinstance(value[0], str):
        text = f"{value[0]:g} to {value[1]:g}" if value[0] != value[1] else f"{value[0]:g}"
    elif isinstance(value, tuple):
        text = ", ".join(value) or "none"
    elif isinstance(value, int):
        text = f"{value:,d}"
    elif isinstance(value, float):
        text = f"{value:g}"
    else:
        text = "not known" if value is None else str(value)
    return f"{text} {unit}" if unit and value is not None else text
