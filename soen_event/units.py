"""Units live at the boundary: a quantity string becomes a plain number in the library's own unit, and nothing else.

Inside the library a time is in ns, a flux in Phi0 and a current in units of a critical current, always as plain
floats; device values are in SI. :func:`parse` turns what a user wrote ("50 ns", "2 nH", 0.25) into such a number and
refuses the wrong dimension. The engines count time in integer femtoseconds: :func:`ns_to_fs` and :func:`fs_to_ns`.

===========================  ==================  =====================================
dimension                    unit of the number  units in a string
===========================  ==================  =====================================
``time``                     ns                  s
``flux``                     Phi0                Phi0, Wb
``current``                  I_c                 Ic; A where the critical current is known
``absolute_current``         A                   A
``inductance``               H                   H
``resistance``               Ohm                 Ohm, ohm, Ω
``capacitance``              F                   F
``capacitance_per_current``  F/A                 F/A
``temperature``              K                   K
``energy``                   J                   J
``voltage``                  V                   V
``frequency``                GHz (1/ns)          Hz
``loss``                     dB                  dB (no prefix)
``number``                   1                   %
===========================  ==================  =====================================

Every unit but dB, % and Ic takes a prefix a f p n u µ m k M G. Upper and lower case differ.

Constants: CODATA 2019, exact by definition of the SI (physics.md 0.3).
"""

from __future__ import annotations

import math
import numbers
import re
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from soen_event.errors import InputError, nearest

h = 6.62607015e-34
"""Planck constant, J s."""
e = 1.602176634e-19
"""Elementary charge, C."""
k_B = 1.380649e-23
"""Boltzmann constant, J/K."""
c = 299792458.0
"""Speed of light, m/s."""
Phi0 = h / (2.0 * e)
"""Magnetic flux quantum h/2e, Wb = 2.067833848e-15."""

# One unit in the library's unit of its dimension: 50 * units.ps is a time in ns, 2 * units.nH an inductance in H.
fs, ps, ns, us, ms, s = 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9
aJ, fJ, pJ, nJ = 1e-18, 1e-15, 1e-12, 1e-9
nA, uA, mA = 1e-9, 1e-6, 1e-3
pH, nH, uH = 1e-12, 1e-9, 1e-6
mOhm, Ohm, kOhm = 1e-3, 1.0, 1e3
fF, pF, nF = 1e-15, 1e-12, 1e-9
mK, K = 1e-3, 1.0
Hz, kHz, MHz, GHz = 1e-9, 1e-6, 1e-3, 1.0

LATEST_FS = 2**62
"""Largest time, in femtoseconds, that the engines can hold (77 minutes): a sum of two still fits an int64."""


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite real number; True and False are none."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return real and bool(abs(value) < math.inf)


def floats(values: Any, where: str) -> NDArray[np.float64]:
    """Numbers as an array of floats, of their shape. Raises InputError, which begins with ``where``, if they are none."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {values!r} are no numbers; give some, in a list or an array") from None


class _Dimension(NamedTuple):
    noun: str  # with its article, as errors say it
    unit: str  # of the plain number
    example: str


_DIMENSIONS = {
    "time": _Dimension("a time", "ns", "50 ns"),
    "flux": _Dimension("a flux", "Phi0", "0.5 Phi0"),
    "current": _Dimension("a current in units of I_c", "I_c", "1.8 Ic"),
    "absolute_current": _Dimension("a current", "A", "100 uA"),
    "inductance": _Dimension("an inductance", "H", "2 nH"),
    "resistance": _Dimension("a resistance", "Ohm", "2 Ohm"),
    "capacitance": _Dimension("a capacitance", "F", "150 fF"),
    "capacitance_per_current": _Dimension("a capacitance per current", "F/A", "1.5 fF/uA"),
    "temperature": _Dimension("a temperature", "K", "4.2 K"),
    "energy": _Dimension("an energy", "J", "0.2 aJ"),
    "voltage": _Dimension("a voltage", "V", "250 uV"),
    "frequency": _Dimension("a frequency", "GHz", "20 MHz"),
    "loss": _Dimension("a loss", "dB", "3 dB"),
    "number": _Dimension("a plain number", "1", "0.5"),
}
_ALIASES = {"dimensionless": "number"}

_PREFIXES = {"a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}

# Unit -> (dimension, power of ten, divisor) of the library's unit: value = number * 10^power / divisor.
_BASES = {
    "s": ("time", 9, 1.0),
    "Phi0": ("flux", 0, 1.0),
    "Phi_0": ("flux", 0, 1.0),
    "Φ0": ("flux", 0, 1.0),
    "Wb": ("flux", 0, Phi0),
    "A": ("absolute_current", 0, 1.0),
    "H": ("inductance", 0, 1.0),
    "Ohm": ("resistance", 0, 1.0),
    "ohm": ("resistance", 0, 1.0),
    "Ω": ("resistance", 0, 1.0),  # Greek capital omega
    "\u2126": ("resistance", 0, 1.0),  # the ohm sign, which looks the same
    "F": ("capacitance", 0, 1.0),
    "K": ("temperature", 0, 1.0),
    "J": ("energy", 0, 1.0),
    "V": ("voltage", 0, 1.0),
    "Hz": ("frequency", -9, 1.0),
}
_UNITS = {
    prefix + base: (dimension, power + exponent, divisor)
    for base, (dimension, power, divisor) in _BASES.items()
    for prefix, exponent in _PREFIXES.items()
} | {"dB": ("loss", 0, 1.0), "%": ("number", -2, 1.0), "Ic": ("current", 0, 1.0), "I_c": ("current", 0, 1.0)}
_QUOTIENTS = {("capacitance", "absolute_current"): "capacitance_per_current"}

_QUANTITY = re.compile(
    r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,5}))?\s*([^\s0-9.+-].*)?", re.DOTALL
)


def _unit(text: str) -> tuple[str, int, float] | None:
    """Look a unit up; a quotient such as ``fF/uA`` by its two parts. None if it is not known."""
    if text in _UNITS:
        return _UNITS[text]
    above, slash, below = (part.strip() for part in text.partition("/"))
    if not slash or above not in _UNITS or below not in _UNITS:
        return None
    (top, top_power, top_divisor), (bottom, bottom_power, bottom_divisor) = _UNITS[above], _UNITS[below]
    if (top, bottom) not in _QUOTIENTS:
        return None
    return _QUOTIENTS[top, bottom], top_power - bottom_power, top_divisor / bottom_divisor


def _suggestion(unit: str, dimension: str) -> str:
    """Return `` (did you mean 'ns'?)``: first among the units of the expected dimension, and by letters before case."""
    if "/" in unit:
        parts = [part.strip() for part in unit.split("/", 1)]
        wrong = [part for part in parts if part not in _UNITS]
        dimensions = next((pair for pair, quotient in _QUOTIENTS.items() if quotient == dimension), ("", ""))
        return _suggestion(wrong[0], dimensions[parts.index(wrong[0])]) if wrong else ""
    expected = [name for name, known in _UNITS.items() if known[0] == dimension]
    for names in (expected, list(_UNITS)):
        same = [name for name in names if name.lower() == unit.lower()]
        if same:
            return f" (did you mean {same[0]!r}?)"
    return nearest(unit, expected) or nearest(unit, _UNITS)


def _wanted(dimension: str) -> str:
    known = _DIMENSIONS[dimension]
    if dimension == "number":
        return f"a plain number (for example {known.example})"
    return f"{known.noun} in {known.unit}, as a plain number, or a string such as {known.example!r}"


def _expected(dimension: str) -> str:
    return f"{_DIMENSIONS[dimension].noun} was expected (for example {_DIMENSIONS[dimension].example!r})"


def _finite(number: float, shown: str, dimension: str, where: str) -> float:
    if not math.isfinite(number):
        raise InputError(f"{where}: {shown} is not finite; give {_wanted(dimension)}")
    return number


def _read(text: str, dimension: str, where: str) -> tuple[float, str | None]:
    """Split a quantity string into its value in the library's unit and the dimension of its unit (None without one)."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InputError(f"{where}: {text!r} is not a quantity; give {_wanted(dimension)}")
    digits, exponent, unit = match[1], int(match[2] or 0), (match[3] or "").strip()
    if not unit:
        return _finite(float(f"{digits}e{exponent}"), repr(text), dimension, where), None
    found = _unit(unit)
    if found is None:
        hint = _suggestion(unit, dimension)
        raise InputError(f"{where}: {text!r} has the unknown unit {unit!r}{hint}; {_expected(dimension)}")
    # The power of ten is joined to the digits before conversion, so '50 ps' is exactly the float 0.05.
    number = float(f"{digits}e{exponent + found[1]}")
    return _finite(number / found[2], repr(text), dimension, where), found[0]


def parse(value: Any, dimension: str, where: str = "value", *, critical_current: float | None = None) -> float:
    """Return ``value`` as a float in the library's unit of ``dimension``.

    Arguments: ``value`` a real number, which passes through, or a string such as ``"50 ns"`` (a string without a unit
    counts as the plain number); ``dimension`` one of the table at the head of this file; ``where`` the part and field
    that errors name, such as ``Dendrite.tau``; ``critical_current`` in A, with which a ``current`` in amperes is
    converted. Raises :class:`~soen_event.errors.InputError` for another dimension, an unknown unit, a value that is not
    finite, a boolean, None and anything else; ``ValueError`` if ``dimension`` itself is unknown.

    >>> parse("50 ps", "time"), parse("1.5 fF/uA", "capacitance_per_current"), parse(0.25, "flux")
    (0.05, 1.5e-09, 0.25)
    """
    dimension = _ALIASES.get(dimension, dimension)
    if dimension not in _DIMENSIONS:
        raise ValueError(f"units.parse: {dimension!r} is not a dimension{nearest(dimension, _DIMENSIONS)}")
    if not isinstance(value, str):
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
            raise InputError(f"{where}: {value!r} is not a quantity; give {_wanted(dimension)}")
        shown = str(value) if isinstance(value, float) else "an integer or fraction beyond 1.8e308"
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        return _finite(number, shown, dimension, where)
    number, found = _read(value, dimension, where)
    if found is None or found == dimension:
        return number
    if dimension == "current" and found == "absolute_current":
        if critical_current is None:
            raise InputError(
                f"{where}: {value!r} is in amperes and no critical current is known here; give it in units of I_c"
            )
        return number / critical_current
    raise InputError(f"{where}: {value!r} is {_DIMENSIONS[found].noun}; {_expected(dimension)}")


def dimension_of(text: str, where: str = "value") -> str:
    """Return the dimension of a quantity string by its unit; ``number`` without a unit.

    ``"100 uA"`` is an ``absolute_current`` and ``"1.8"`` a ``number``. Raises
    :class:`~soen_event.errors.InputError` for an unknown unit or a string that is no quantity.
    """
    return _read(text, "number", where)[1] or "number"


@overload
def ns_to_fs(time: float, where: str = ...) -> int: ...
@overload
def ns_to_fs(time: NDArray[Any], where: str = ...) -> NDArray[np.int64]: ...
def ns_to_fs(time: float | NDArray[Any], where: str = "time") -> int | NDArray[np.int64]:
    """Return ``time`` (ns) in whole femtoseconds, rounded half to even.

    Argument: a real number, which gives an int, or an array of any shape, which gives an int64 array of that shape with
    the same values. Raises :class:`~soen_event.errors.InputError` for booleans, NaN, infinities, other types, and
    beyond +-2^62 fs (4.6e12 ns).
    """
    if isinstance(time, np.ndarray):
        if time.dtype.kind in "iu":
            if np.any(time > LATEST_FS // 10**6) or np.any(time < -(LATEST_FS // 10**6)):
                raise _out_of_range(time, where)
            return time.astype(np.int64) * 10**6
        if time.dtype.kind != "f":
            raise InputError(f"{where}: an array of {time.dtype} holds no times; give floats in ns")
        with np.errstate(over="ignore"):
            scaled = time.astype(np.float64) * 1e6
        if not np.all(np.abs(scaled) <= LATEST_FS):  # false for NaN too
            raise _out_of_range(time, where)
        return np.rint(scaled).astype(np.int64)
    if isinstance(time, bool | np.bool_) or not isinstance(time, numbers.Real):
        raise InputError(f"{where}: {time!r} is not a time; give a number in ns")
    if isinstance(time, numbers.Integral):
        if abs(int(time)) > LATEST_FS // 10**6:
            raise _out_of_range(time, where)
        return int(time) * 10**6
    scaled = float(time) * 1e6
    if not abs(scaled) <= LATEST_FS:
        raise _out_of_range(time, where)
    return round(scaled)


def _out_of_range(time: Any, where: str) -> InputError:
    if isinstance(time, np.ndarray):
        flat = time.ravel()
        with np.errstate(over="ignore"):
            bad = np.flatnonzero(~(np.abs(flat.astype(np.float64)) * 1e6 <= LATEST_FS))
        place = int(bad[0]) if bad.size else int(np.argmax(np.abs(flat.astype(np.float64))))
        where, time = f"{where}[{', '.join(str(int(n)) for n in np.unravel_index(place, time.shape))}]", flat[place]
    if not math.isfinite(time):
        return InputError(f"{where}: {time} is not finite; give a time in ns")
    return InputError(f"{where}: {time} ns is beyond the clock's range of 2^62 fs = 4.6e12 ns; give an earlier time")


@overload
def fs_to_ns(time: int, where: str = ...) -> float: ...
@overload
def fs_to_ns(time: NDArray[Any], where: str = ...) -> NDArray[np.float64]: ...
def fs_to_ns(time: int | NDArray[Any], where: str = "time") -> float | NDArray[np.float64]:
    """Return ``time`` (whole femtoseconds) in ns.

    Argument: an integer, which gives a float, or an integer array of any shape, which gives a float64 array of that
    shape with the same values. :func:`ns_to_fs` undoes it exactly below 2^51 fs (2.25 s). Raises
    :class:`~soen_event.errors.InputError` for anything that is not of an integer type.
    """
    if isinstance(time, np.ndarray):
        if time.dtype.kind not in "iu":
            raise InputError(f"{where}: an array of {time.dtype} is no clock; give integer femtoseconds")
        return time.astype(np.float64) / 1e6
    if isinstance(time, bool | np.bool_) or not isinstance(time, numbers.Integral):
        raise InputError(f"{where}: {time!r} is no clock; give an integer number of femtoseconds")
    return float(int(time)) / 1e6
