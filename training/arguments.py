"""Options and names that a user gives: judged once, all faults told together.

faults = Faults("Adam")
lr = faults.number("lr", lr, least=0.0)
beta1 = faults.number("beta1", beta1, least=0.0, below=1.0)
faults.done()                                   # InputError with every fault, if there are any
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from soen_event.errors import InputError, nearest
from training import registry

__all__ = ["Faults", "LabelError", "NameFault", "build", "check_options", "existing", "matching"]


class NameFault(InputError, KeyError):
    """A name that is not there, where a KeyError is promised."""

    __str__ = InputError.__str__


class LabelError(InputError, IndexError):
    """A class label that is out of range, where an IndexError is promised."""


class Faults:
    """Collects what is wrong with the options of one thing.

    Args:
        owner: its name, as it begins every sentence.
    """

    def __init__(self, owner: str):
        self.owner = owner
        self.found: list[str] = []

    def add(self, field: str, text: str) -> None:
        """Note a fault: ``owner.field: text``."""
        self.found.append(f"{self.owner}.{field}: {text}")

    def number(
        self,
        field: str,
        value: Any,
        *,
        least: float = -math.inf,
        most: float = math.inf,
        above: float = -math.inf,
        below: float = math.inf,
    ) -> float:
        """Return a finite number within bounds; nan after a fault."""
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
            self.add(field, f"{value!r} is not a number; give a finite one")
            return math.nan
        number = float(value)
        if not math.isfinite(number):
            self.add(field, f"{number} is not finite; give a finite number")
        elif number < least or number <= above:
            bound = f"below {least:g}" if number < least else f"not above {above:g}"
            self.add(field, f"{number:g} is {bound}; give a larger number")
        elif number > most or number >= below:
            bound = f"above {most:g}" if number > most else f"not below {below:g}"
            self.add(field, f"{number:g} is {bound}; give a smaller number")
        else:
            return number
        return math.nan

    def whole(self, field: str, value: Any, *, least: int = 0, most: int = 2**63 - 1) -> int:
        """Return a whole number from ``least`` to ``most``; ``least`` after a fault."""
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
            upper = "up" if most == 2**63 - 1 else f"to {most}"
            self.add(field, f"{value!r} is out of range; give a whole number from {least} {upper}")
            return least
        return int(value)

    def choice(self, field: str, value: Any, known: Iterable[str]) -> str:
        """Return one of the known words."""
        known = tuple(known)
        if not isinstance(value, str) or value not in known:
            self.add(field, f"{value!r} is unknown{nearest(str(value), known)}; give {' or '.join(map(repr, known))}")
        return str(value)

    def flag(self, field: str, value: Any) -> bool:
        """Return True or False."""
        if not isinstance(value, bool | np.bool_):
            self.add(field, f"{value!r} is no truth value; give True or False")
        return bool(value)

    def done(self) -> None:
        """Raise InputError if anything was found."""
        if self.found:
            raise InputError(self.found)


def existing(path: Any, wanted: str) -> Path:
    """The path of a file that is there.

    Raises:
        InputError: it is not; the file of nearly the same name is told.
    """
    path = Path(path)
    if not path.is_file():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"{path}: there is no such file{nearest(path.name, beside)}; give {wanted}")
    return path


def check_options(target: Callable[..., Any], options: Mapping[str, Any], place: str) -> None:
    """Raise InputError unless ``target(**options)`` is a possible call, as far as names go.

    Raises:
        InputError: an option that it does not have, or one that is missing; with every fault.
    """
    parameters = inspect.signature(target).parameters
    kinds = inspect.Parameter
    named = [name for name, p in parameters.items() if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    needed = [name for name in named if parameters[name].default is kinds.empty]
    faults = [f"{place}.{name}: missing; give it a value" for name in needed if name not in options]
    if not any(p.kind is kinds.VAR_KEYWORD for p in parameters.values()):
        faults += [
            f"{place}.{name}: there is no such option{nearest(str(name), named)}; known: {', '.join(named) or 'none'}"
            for name in options
            if name not in named
        ]
    if faults:
        raise InputError(faults)


def build(kind: str, given: Any, **options: Any) -> Any:
    """Make a registered thing from its name, or from a mapping ``{"name": ..., option: value}``.

    Anything else is taken to be the thing itself and returned.

    Args:
        kind: kind of the registry, see :data:`training.registry.KINDS`.
        given: name, mapping, or the thing itself.
        options: further options; those of the mapping come first.

    Raises:
        InputError: an unknown name or option, or options for a thing that is made already.
    """
    if isinstance(given, Mapping):
        options = {**options, **{str(key): value for key, value in given.items() if key != "name"}}
        if "name" not in given:
            raise InputError(f"{kind}.name: missing; give one of {', '.join(registry.names(kind))}")
        given = given["name"]
    if isinstance(given, str):
        target = registry.get(kind, given)
        if callable(target):
            check_options(target, options, given)
            return target(**options)
        given = target
    if options:
        raise InputError(f"{kind}: {given!r} is made already; give its options where it is made, not {sorted(options)}")
    return given


def matching(patterns: str | Iterable[str], names: Iterable[str], place: str) -> list[str]:
    """Names that fit any of some shell patterns ("*", "J", "weights*"), in the order of ``names``.

    Raises:
        InputError: a pattern that fits none.
    """
    patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    names = list(names)
    idle = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]
    if idle:
        known = ", ".join(names) or "none"
        raise InputError([f"{place}: {p!r} fits no parameter{nearest(p, names)}; known: {known}" for p in idle])
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
