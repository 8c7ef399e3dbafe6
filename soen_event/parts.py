"""The parts a network is declared from: frozen dataclasses that check themselves.

Times are in ns, fluxes in Phi0, currents in I_c, couplings in Phi0 per unit s. A quantity string ("50 ns", "2 nH", "100 uA") may
stand for any number and is converted: at once where no device constant is needed, else when the part joins a network (currents in
amperes; ``inductance``, ``resistance`` and ``mutual``, which are kept as declared). Every fault of a part is reported together, in
the form ``Soma.threshold: 1.4 is ...; do ...``.

What a field may hold is said once, in its annotation (:class:`Number`, :class:`Choice`, :class:`Name`, :class:`Nested`); validation
here, the strict models of :mod:`soen_event.files` and the published JSON Schema all read it from there.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from soen_event.errors import InputError, nearest

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

TWO_PI = 2.0 * math.pi
LATEST = 2.0**62 / 1e6
"""Upper bound of every time (ns): the engines count femtoseconds in an int64."""
SHORTEST = 1e-6
"""Lower bound of every time constant (ns): one femtosecond."""
RTTI_BIAS = (1.5, 2.65)
"""Nominal biases for which RTTI source functions exist (physics.md 2.5)."""
ID_PATTERN = r"^[A-Za-z0-9_.:/\[\]-]+$"
_ID = re.compile(ID_PATTERN)


class Amperes(float):
    """A current in amperes, waiting for the critical current of the device of the network that its part joins."""


class Derived(float):
    """A number that follows from another field of the part (``beta_over_2pi`` from ``inductance``) and is not written to files."""


# ---------------------------------------------------------------------------------------------------- what a field may hold


class _Refused(Exception):
    """Why a value can not stand, as the rest of a sentence that begins with the place."""


@dataclass(frozen=True)
class Number:
    """A finite number of one dimension within bounds; quantity strings are converted to ``unit``."""

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
        """Return the value as a float (or as one of the words); raise :class:`_Refused` with the reason."""
        if type(value) is float or type(value) is Derived:
            number = value
        elif isinstance(value, str):
            if value in self.words:
                return value
            number = self._converted(value)
        elif isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
            raise _Refused(f"{_shown(value)} is not a number; give {self.expected()}")
        elif isinstance(value, Amperes):
            number = value
        else:
            try:
                number = float(value)
            except OverflowError:
                raise _Refused(f"{_shown(value)} is too large for a number; give {self.expected()}") from None
        if not math.isfinite(number):
            raise _Refused(f"{number} is not finite; give {self.expected()}")
        if isinstance(number, Amperes):
            return number  # bounds are checked once the critical current is known
        self._within(number)
        return number + 0.0 if type(number) is float else number  # -0.0 becomes 0.0

    def _converted(self, text: str) -> float:
        from soen_event import units

        if not any(letter.isalpha() for letter in text.lower().replace("e", "")) and self.words == ():
            pass  # a bare number in quotes is judged by the parser like every other text
        try:
            if self.dimension == "current":
                amount = units.parse(text, "current", "x")
                return Amperes(amount)
            return float(units.parse(text, self.dimension, "x"))
        except InputError as error:
            reason = error.faults[0].removeprefix("x: ")
            words = f", or {' or '.join(map(repr, self.words))}{nearest(text, self.words)}" if self.words else ""
            raise _Refused(reason + words) from None

    def _within(self, number: float) -> None:
        unit = f" {self.unit}" if self.unit else ""
        remedy = f"; {self.remedy}" if self.remedy else f"; give {self.expected()}"
        if self.at_least is not None and number < self.at_least:
            raise _Refused(f"{number:g} is below {self.at_least:g}{unit}{remedy}")
        if self.above is not None and number <= self.above:
            raise _Refused(f"{number:g} is not above {self.above:g}{unit}{remedy}")
        if self.at_most is not None and number > self.at_most:
            raise _Refused(f"{number:g} is above {self.at_most:g}{unit}{remedy}")
        if self.below is not None and number >= self.below:
            raise _Refused(f"{number:g} is not below {self.below:g}{unit}{remedy}")

    def expected(self) -> str:
        """What would be right, such as ``a number from 0 to 1`` or ``a time in ns above 0``."""
        noun = {"number": "a number", "time": "a time", "flux": "a flux", "current": "a current"}.get(
            self.dimension, f"a {self.dimension}"
        )
        text = f"{noun} in {self.unit}" if self.unit else noun
        if self.at_least is not None and self.at_most is not None:
            return f"{text} from {self.at_least:g} to {self.at_most:g}"
        bounds = []
        if self.at_least is not None:
            bounds.append(f"at least {self.at_least:g}")
        if self.above is not None:
            bounds.append(f"above {self.above:g}")
        if self.at_most is not None:
            bounds.append(f"at most {self.at_most:g}")
        if self.below is not None:
            bounds.append(f"below {self.below:g}")
        text = f"{text} {' and '.join(bounds)}" if bounds else text
        return f"{text} or {' or '.join(map(repr, self.words))}" if self.words else text
