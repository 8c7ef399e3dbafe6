"""Programmed values come in steps: levels, rounding to them, and a network rounded connection by connection.

A weight is the bias current of a receiver, set by the flux that is stored in a loop, and flux comes in quanta. One
loop was measured to hold more than 400 states (arXiv 2311.05881, physics.md 7.1); a bare flux memory cell has two.

>>> from hardware.quantize import Levels, quantize
>>> levels = Levels.bits(4, 0.0, 1.0)
>>> float(levels.round(0.51)), int(levels.index(0.51)), len(levels)
(0.5333333333333333, 8, 16)

``quantize(network, {"weights": levels, "J": {"d1->n1": other}})`` returns a new network and a report of what it cost.

Stochastic rounding draws one number a value, with the address (seed, name of the value, ordinal): adding a part, or
declaring parts in another order, changes nobody else's rounding.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError, nearest
from soen_event.network import PARAMETERS, Network
from soen_event.physics.random import SPREAD, block, checked_seed, part_key

__all__ = ["Levels", "QuantizationReport", "QuantizedParameter", "Scheme", "quantize", "quantize_array"]

ROUNDINGS = ("nearest", "stochastic")
SIGNS = ("free", "keep", "magnitude")
MOST_BITS = 16
MOST_LEVELS = 2**MOST_BITS + 1
STORAGE_LOOP_QUANTA = 400
"""Flux quanta of a storage loop: more than 400 states were measured (arXiv 2311.05881, physics.md 7.1)."""
_LISTED = 20  # faults of one kind that are spelled out


@dataclass(frozen=True)
class Levels:
    """The values that a programmable quantity can take.

    Args:
        values: in the unit of what is programmed, finite, strictly ascending, 1 to 65537 of them.
        name: for reports; two schemes of the same values are equal whatever their names.

    Raises:
        InputError: no values, too many, one that is no finite number, or values that do not ascend.
    """

    values: tuple[float, ...]
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        values = _value_list(self.values, "Levels.values")
        faults = [
            f"Levels.values[{k + 1}]: {late:g} does not come after {early:g}; sort them, or use Levels.codebook"
            for k, (early, late) in enumerate(itertools.pairwise(values))
            if late <= early
        ]
        if not math.isfinite(values[-1] - values[0]):
            faults.append(f"Levels.values: from {values[0]:g} to {values[-1]:g} is too wide; narrow the range")
        if faults:
            raise InputError(faults[:_LISTED])
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "name", str(self.name) or f"{len(values)} levels")

    # ---- schemes

    @classmethod
    def bits(cls, b: int, low: float, high: float) -> Levels:
        """2^b equally spaced levels from ``low`` to ``high``; in a symmetric range none of them is 0.

        Args:
            b: number of bits, 1 to 16.
            low: first level.
            high: last level, above ``low``.

        Raises:
            InputError: an argument out of its range.
        """
        place = "Levels.bits"
        count = 2 ** _whole(b, f"{place}.b", 1, MOST_BITS)
        return cls(_spaced(low, high, count, place), f"{b} bits, {low:g} to {high:g}")

    @classmethod
    def bits_with_zero(cls, b: int, low: float, high: float) -> Levels:
        """2^b + 1 equally spaced levels: in a symmetric range exactly one of them is 0.

        The convention of soen_toolkit (physics.md 7.1). Arguments and errors as in :meth:`bits`.
        """
        place = "Levels.bits_with_zero"
        count = 2 ** _whole(b, f"{place}.b", 1, MOST_BITS) + 1
        return cls(_spaced(low, high, count, place), f"{b} bits and one, {low:g} to {high:g}")

    @classmethod
    def bits_around_zero(cls, b: int, low: float, high: float) -> Levels:
        """2^b levels of which one is 0: 2^(b-1) - 1 below it and 2^(b-1) above, equally spaced on either side.

        The two steps differ: for 4 bits from -0.24 to 0.24 they are 0.24/7 and 0.03 (features.md 2.1).

        Args:
            b: number of bits, 2 to 16.
            low: first level, below 0.
            high: last level, above 0.

        Raises:
            InputError: an argument out of its range.
        """
        place = "Levels.bits_around_zero"
        half = 2 ** (_whole(b, f"{place}.b", 2, MOST_BITS) - 1)
        below, above = _spaced(low, 0.0, half, place), _spaced(0.0, high, half + 1, place)
        return cls((*below[:-1], *above), f"{b} bits around 0, {low:g} to {high:g}")

    @classmethod
    def codebook(cls, values: Iterable[float]) -> Levels:
        """Levels of any values in any order; a value that is there twice counts once.

        Raises:
            InputError: no values, too many, or one that is no finite number.
        """
        chosen = tuple(sorted(set(_value_list(values, "Levels.codebook"))))
        return cls(chosen, f"codebook of {len(chosen)}")

    @classmethod
    def storage_loop(cls, low: float, high: float, *, quanta: int = STORAGE_LOOP_QUANTA) -> Levels:
        """A loop that stores a whole number n of flux quanta: low + n (high - low)/quanta, n = 0 ... quanta.

        Args:
            low: value of the empty loop.
            high: value of the full loop, above ``low``.
            quanta: largest number of flux quanta, 1 to 65536 (default 400: arXiv 2311.05881, physics.md 7.1).
                :meth:`index` tells how many a value takes.

        Raises:
            InputError: an argument out of its range.
        """
        place = "Levels.storage_loop"
        count = _whole(quanta, f"{place}.quanta", 1, MOST_LEVELS - 1) + 1
        return cls(_spaced(low, high, count, place), f"storage loop of {quanta} quanta, {low:g} to {high:g}")

    # ---- reading

    def __len__(self) -> int:
        """The number of levels."""
        return len(self.values)

    def __repr__(self) -> str:
        return f"<Levels: {self.name}>"

    @cached_property
    def step(self) -> float:
        """The largest distance between neighbours, 0 for a single level.

        Within the range, rounding to the nearest level errs by at most half of it, stochastic rounding by less than it.
        """
        return float(np.max(np.diff(self._array), initial=0.0))

    @cached_property
    def _array(self) -> NDArray[np.float64]:
        return np.array(self.values)

    def index(self, values: ArrayLike, *, sign: str = "free") -> NDArray[np.int64]:
        """Place of the nearest level (int64, 0 to len - 1, the shape of ``values``). Arguments as in :meth:`round`."""
        size = self._sized(values, sign)
        below, above = self._neighbours(size, sign)
        size = np.clip(size, self.values[0], self.values[-1])
        down, up = size - self._array[below], self._array[above] - size
        upwards = (up < down) | ((up == down) & (above % 2 == 0))
        return np.asarray(np.where(upwards, above, below))

    def saturates(self, values: ArrayLike, *, sign: str = "free") -> NDArray[np.bool_]:
        """Whether each value lies outside the levels that it may take. Arguments as in :meth:`round`."""
        size = self._sized(values, sign)
        first, last = self._ends(size, sign)
        return np.asarray((size < self._array[first]) | (size > self._array[last]))

    # ---- rounding

    def round(self, values: ArrayLike, *, sign: str = "free") -> NDArray[np.float64]:
        """The nearest level of every value; of two that are equally near, the one with the even index.

        Args:
            values: finite numbers of any shape. Values beyond the first or last level take that level.
            sign: "free": the levels as they are. "keep": a positive value takes no negative level, nor the other way
                round (a coupling's sign is the sense of its winding, which is not programmed); 0 may take any.
                "magnitude": the levels, none below 0, are those of the absolute value, and the sign stays.

        Returns:
            float64 in the shape of ``values``.

        Raises:
            InputError: a value is not finite, the sign rule is unknown, or no level has the sign that a value must keep.
        """
        return self._taken(values, sign, self.index(values, sign=sign))

    def round_stochastically(
        self,
        values: ArrayLike,
        seed: int,
        names: Sequence[str] | ArrayLike | None = None,
        *,
        ordinal: int = 0,
        sign: str = "free",
    ) -> NDArray[np.float64]:
        """One of the two levels around every value, the nearer with the larger probability: right on average.

        A value on a level stays there; one beyond the first or last level takes that level.

        Args:
            values: finite numbers of any shape.
            seed: 0 to 2^63 - 1. A rounding is a function of the seed, the value's own name, the ordinal and the value.
            names: one a value, in the order of the flattened array: text, or integers in [0, 2^48), such as
                ``soen_event.physics.random.part_key`` of the text "rounding <name>", worked out once for many calls.
                None: the position in the flattened array. :func:`quantize` uses the names "weights s1", "J d1->n1".
            ordinal: which rounding of the same value this is, such as the step of a training, 0 to 2^48 - 1.
            sign: as in :meth:`round`.

        Returns:
            float64 in the shape of ``values``.

        Raises:
            InputError: an argument that does not fit.
        """
        place = "Levels.round_stochastically"
        seed, ordinal = checked_seed(seed), _whole(ordinal, f"{place}.ordinal", 0, 2**48 - 1)
        size = self._sized(values, sign)
        drawn = _uniforms(seed, _keys(names, size.size, place), ordinal).reshape(size.shape)
        below, above = self._neighbours(size, sign)
        size = np.clip(size, self.values[0], self.values[-1])
        low, gap = self._array[below], self._array[above] - self._array[below]
        share = np.where(gap > 0.0, (size - low) / np.where(gap > 0.0, gap, 1.0), 0.0)
        return self._taken(values, sign, np.where(drawn < share, above, below))

    def _sized(self, values: ArrayLike, sign: str) -> NDArray[np.float64]:
        """What is compared with the levels: the values, or for "magnitude" their sizes."""
        _one_of(sign, SIGNS, "Levels.round.sign")
        size = _finite_array(values, "Levels.round.values")
        if sign != "magnitude":
            return size
        if self.values[0] < 0.0:
            raise InputError(
                f"Levels.round.sign: 'magnitude' with a level below 0 ({self.values[0]:g}); give levels from 0 upwards, "
                "or sign='keep'"
            )
        return np.abs(size)

    def _ends(self, size: NDArray[np.float64], sign: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the first and the last level that each value may take."""
        first, last = np.zeros(size.shape, np.int64), np.full(size.shape, len(self) - 1, np.int64)
        if sign == "keep":
            first = np.where(size > 0.0, np.searchsorted(self._array, 0.0, "left"), first)
            last = np.where(size < 0.0, np.searchsorted(self._array, 0.0, "right") - 1, last)
            if np.any(first > last):
                value = size[first > last].flat[0]
                which = "at or above" if value > 0.0 else "at or below"
                raise InputError(
                    f"Levels.round.values: {value:g} must keep its sign, but no level of {self.name} is {which} 0; "
                    "give levels of both signs, or sign='free'"
                )
        return first, last

    def _neighbours(self, size: NDArray[np.float64], sign: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the levels at or below and at or above each value, within those that it may take."""
        first, last = self._ends(size, sign)
        below = np.clip(np.searchsorted(self._array, size, "right") - 1, first, last)
        above = np.clip(np.searchsorted(self._array, size, "left"), first, last)
        return below, above

    def _taken(self, values: ArrayLike, sign: str, place: NDArray[np.int64]) -> NDArray[np.float64]:
        level = self._array[place]
        if sign == "magnitude":
            level = np.copysign(level, np.asarray(values, dtype=float) + 0.0) + 0.0  # -0.0 becomes 0.0
        return level


Scheme: TypeAlias = "Levels | Mapping[str, Levels] | Callable[[Any], Levels | None]"
"""Levels for all, by the id of each part, or a function of the part; parts without levels stay as they are."""


# ---------------------------------------------------------------------------------------------- arrays and networks


def quantize_array(
    values: ArrayLike,
    levels: Levels,
    *,
    rounding: str = "nearest",
    seed: int = 0,
    names: Sequence[str] | ArrayLike | None = None,
    ordinal: int = 0,
    sign: str = "free",
) -> NDArray[np.float64]:
    """The levels that an array of values is rounded to, in the same shape; ``values`` is not changed.

    With the names "weights <id>" (or "J <key>" and so on) it gives the very levels that :func:`quantize` gives.

    Args:
        values: finite numbers of any shape.
        levels: what they can take.
        rounding: "nearest" (:meth:`Levels.round`) or "stochastic" (:meth:`Levels.round_stochastically`).
        seed: of stochastic rounding, 0 to 2^63 - 1.
        names: of the values, for stochastic rounding.
        ordinal: of stochastic rounding.
        sign: "free", "keep" or "magnitude" (:meth:`Levels.round`).

    Raises:
        InputError: an argument that does not fit.
    """
    _one_of(rounding, ROUNDINGS, "quantize_array.rounding")
    if not isinstance(levels, Levels):
        raise InputError(f"quantize_array.levels: {levels!r} is no Levels; give for example Levels.bits(4, 0.0, 1.0)")
    if rounding == "nearest":
        return levels.round(values, sign=sign)
    return levels.round_stochastically(values, seed, names, ordinal=ordinal, sign=sign)


def quantize(
    network: Network,
    levels: Levels | Mapping[str, Scheme],
    *,
    rounding: str = "nearest",
    seed: int = 0,
    sign: str = "free",
) -> tuple[Network, QuantizationReport]:
    """Return a network whose programmed values are levels, and a report; the given network stays as it is.

    Args:
        network: any network.
        levels: by parameter ("weights", "J", "phi_offset", or another name of ``network.parameters()``) one
            :class:`Levels` for all, a mapping from ids (``network.ids(parameter)``) to levels, or a function of the
            part (a Synapse, Coupling, Dendrite, Neuron) that returns its levels or None. What has no levels stays as
            it is. A single :class:`Levels` is that of the weights.
        rounding: "nearest" or "stochastic".
        seed: of stochastic rounding, 0 to 2^63 - 1; the rounding of a value depends on the seed, its parameter, the id
            of its part and the value.
        sign: "free", "keep" or "magnitude" (:meth:`Levels.round`).

    Returns:
        The new network, and the errors of every parameter. A coupling that was declared by its mutual inductance is
        given by J where its value changed.

    Raises:
        InputError: an unknown parameter, id, rounding or sign rule, something that is no Levels, or a level that a part
            refuses; with every fault.
    """
    if not isinstance(network, Network):
        raise InputError(f"quantize.network: {type(network).__name__} is not a Network; give a soen_event.Network")
    faults = _gathered(
        lambda: _one_of(rounding, ROUNDINGS, "quantize.rounding"),
        lambda: _one_of(sign, SIGNS, "quantize.sign"),
        lambda: checked_seed(seed),
    )
    schemes: Mapping[str, Scheme] = {"weights": levels} if isinstance(levels, Levels) else levels
    if not isinstance(schemes, Mapping) or not schemes:
        faults.append(
            f"quantize.levels: {schemes!r} is no scheme; give Levels, or such as {{'J': Levels.bits(4, -1, 1)}}"
        )
        raise InputError(faults)
    new = network.copy()
    plans: dict[str, dict[Levels, list[int]]] = {}
    for parameter, scheme in schemes.items():
        try:
            plans[parameter] = _rows(new, parameter, scheme)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    found = []
    changed = {}
    for parameter in sorted(plans, key=PARAMETERS.index):
        before, ids = new.parameters()[parameter], new.ids(parameter)
        after, beyond = before.copy(), 0
        for scheme, rows in plans[parameter].items():
            chosen = before[rows]
            names = [f"{parameter} {ids[row]}" for row in rows] if rounding == "stochastic" else None
            after[rows] = quantize_array(chosen, scheme, rounding=rounding, seed=seed, names=names, sign=sign)
            beyond += int(np.count_nonzero(scheme.saturates(chosen, sign=sign)))
        every = sorted(row for rows in plans[parameter].values() for row in rows)
        found.append(_compared(parameter, before[every], after[every], beyond))
        changed[parameter] = after
    new.set_parameters(changed)
    return new, QuantizationReport(tuple(found), rounding, seed if rounding == "stochastic" else None)


def _rows(network: Network, parameter: str, scheme: Scheme) -> dict[Levels, list[int]]:
    """The rows of a parameter's array that each of the levels is for."""
    place = f"quantize.levels[{parameter!r}]"
    if parameter not in PARAMETERS:
        known = ", ".join(PARAMETERS)
        raise InputError(f"{place}: no such parameter{nearest(str(parameter), PARAMETERS)}; give some of {known}")
    ids = network.ids(parameter)
    if isinstance(scheme, Levels):
        return {scheme: list(range(len(ids)))}
    if isinstance(scheme, Mapping):
        known_ids = set(ids)
        unknown = [key for key in scheme if key not in known_ids]
        if unknown:
            hints = [
                f"{place}[{key!r}]: there is no such part{nearest(str(key), ids)}; correct it"
                for key in unknown[:_LISTED]
            ]
            raise InputError(hints + [f"... and {len(unknown) - _LISTED} more"] * (len(unknown) > _LISTED))
        given = [scheme.get(name) for name in ids]
        wanted = [name in scheme for name in ids]
    elif callable(scheme):
        given = [scheme(network[name]) for name in ids]
        wanted = [levels is not None for levels in given]
    else:
        raise InputError(f"{place}: {scheme!r} is no scheme; give Levels, a mapping from ids to Levels, or a function")
    rows: dict[Levels, list[int]] = {}
    faults = []
    for row, (name, levels, is_wanted) in enumerate(zip(ids, given, wanted, strict=True)):
        if isinstance(levels, Levels):
            rows.setdefault(levels, []).append(row)
        elif is_wanted:
            faults.append(f"{place}[{name!r}]: {levels!r} is no Levels; give for example Levels.bits(4, 0.0, 1.0)")
    if faults:
        raise InputError(faults[:_LISTED])
    return rows


# ---------------------------------------------------------------------------------------------- the report


@dataclass(frozen=True)
class QuantizedParameter:
    """What rounding did to one parameter.

    Args:
        parameter: its name, such as "weights".
        count: values that were rounded.
        changed: those of them that were no level before.
        saturated: those that lay beyond the levels they may take.
        largest_error: largest difference between a value and its level, in the parameter's unit.
        rms_error: root of the mean squared difference, likewise; 0 if there were no values.
    """

    parameter: str
    count: int
    changed: int
    saturated: int
    largest_error: float
    rms_error: float


def _compared(
    parameter: str, before: NDArray[np.float64], after: NDArray[np.float64], saturated: int
) -> QuantizedParameter:
    error = np.abs(after - before)
    largest = float(np.max(error, initial=0.0))
    rms = largest * float(np.sqrt(np.mean((error / largest) ** 2))) if largest > 0.0 else 0.0
    return QuantizedParameter(parameter, error.size, int(np.count_nonzero(error)), saturated, largest, rms)


@dataclass(frozen=True)
class QuantizationReport:
    """What :func:`quantize` did, parameter by parameter; ``report["weights"]`` is one of them.

    Args:
        parameters: one entry a parameter that was rounded.
        rounding: "nearest" or "stochastic".
        seed: of stochastic rounding, else None.
    """

    parameters: tuple[QuantizedParameter, ...]
    rounding: str
    seed: int | None = None

    def __getitem__(self, parameter: str) -> QuantizedParameter:
        """The entry of a parameter; InputError if it was not rounded."""
        for found in self.parameters:
            if found.parameter == parameter:
                return found
        known = [found.parameter for found in self.parameters]
        raise InputError(f"QuantizationReport: {parameter!r} was not rounded{nearest(str(parameter), known)}")

    def table(self) -> str:
        """Return a line a parameter: values, how many changed and saturated, largest and rms error."""
        how = self.rounding if self.seed is None else f"{self.rounding}, seed {self.seed}"
        lines = [
            f"rounding: {how}",
            f"{'':12}{'values':>9}{'changed':>9}{'saturated':>11}{'largest error':>15}{'rms error':>12}",
        ]
        lines += [
            f"{row.parameter:12}{row.count:>9}{row.changed:>9}{row.saturated:>11}{row.largest_error:>15.4g}"
            f"{row.rms_error:>12.4g}"
            for row in self.parameters
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


# ---------------------------------------------------------------------------------------------- draws and arguments


def _keys(names: Sequence[str] | ArrayLike | None, count: int, place: str) -> NDArray[np.int64]:
    """The number that stands for each value in the address of its draw."""
    if names is None:
        return np.arange(count, dtype=np.int64)
    given = [names] if isinstance(names, str) else np.ravel(np.asarray(names)).tolist()
    if len(given) != count:
        raise InputError(f"{place}.names: {len(given)} names for {count} values; give one each, or None")
    if all(isinstance(name, str) for name in given):
        return np.array([part_key(f"rounding {name}") for name in given], dtype=np.int64)
    if all(isinstance(name, int) and 0 <= name < 2**48 for name in given):
        return np.array(given, dtype=np.int64)
    raise InputError(f"{place}.names: neither all text nor all integers from 0 to 2**48 - 1; give one or the other")


def _uniforms(seed: int, keys: Any, ordinal: int) -> NDArray[np.float64]:
    """``uniform(seed, key, ordinal, SPREAD, 0)`` of :mod:`soen_event.physics.random` for an array of keys at once.

    No part's id can be the text that a key is made of, because it has a space in it, so the purpose is shared with
    other differences between devices.
    """
    high, low, _, _ = block(seed, keys, ordinal, SPREAD, 0)  # works on whole arrays, all of it below 2^63
    return np.asarray((((high << 20) | (low >> 12)) << 1) | 1) * 2.0**-53


def _gathered(*checks: Callable[[], Any]) -> list[str]:
    faults: list[str] = []
    for check in checks:
        try:
            check()
        except InputError as error:
            faults += error.faults
    return faults


def _one_of(value: Any, known: Sequence[str], place: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise InputError(
            f"{place}: {value!r} is unknown{nearest(str(value), known)}; give {' or '.join(map(repr, known))}"
        )


def _whole(value: Any, place: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise InputError(f"{place}: {value!r} is out of range; give a whole number from {least} to {most}")
    return int(value)


def _finite(value: Any, place: str) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise InputError(f"{place}: {value!r} is not a number; give a finite one")
    try:
        number = float(value) + 0.0  # -0.0 becomes 0.0
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{place}: {number} is not finite; give a finite number")
    return number


def _value_list(values: Any, place: str) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{place}: {values!r} is no list; give the values of the levels, such as [0.0, 0.25, 1.0]")
    given = list(values)
    if not 1 <= len(given) <= MOST_LEVELS:
        raise InputError(f"{place}: there are {len(given)} values; give 1 to {MOST_LEVELS}")
    found: list[float] = []
    faults: list[str] = []
    for k, value in enumerate(given):
        try:
            found.append(_finite(value, f"{place}[{k}]"))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults[:_LISTED])
    return tuple(found)


def _spaced(low: Any, high: Any, count: int, place: str) -> tuple[float, ...]:
    """``count`` equally spaced values, the first and the last of them exactly ``low`` and ``high``."""
    low, high = _finite(low, f"{place}.low"), _finite(high, f"{place}.high")
    if low >= high:
        raise InputError(f"{place}.low: {low:g} is not below high = {high:g}; exchange or correct them")
    if not math.isfinite(high - low):
        raise InputError(f"{place}.high: from {low:g} to {high:g} is too wide; narrow the range")
    share = np.arange(count) / (count - 1)
    values = (
        low * share[::-1] + high * share + 0.0
    )  # so that a symmetric range has levels that mirror each other exactly
    if np.any(np.diff(values) <= 0.0):
        raise InputError(f"{place}.high: {count} levels from {low!r} to {high!r} fall together; widen the range")
    return tuple(values.tolist())


def _finite_array(values: ArrayLike, place: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{place}: the rows differ in length; give numbers in a rectangular array") from None
    if array.size and array.dtype.kind not in "iuf":
        raise InputError(f"{place}: the type {array.dtype} is not that of numbers; give finite numbers")
    array = array.astype(np.float64) + 0.0
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        at = f"[{', '.join(map(str, wrong[0].tolist()))}]" if array.ndim else ""
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"{place}{at}: {array[tuple(wrong[0])]} is not finite{more}; give a finite number")
    return array
