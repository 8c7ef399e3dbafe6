"""What the rules ask of their arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from training.arguments import Faults

__all__ = ["check"]


def check(
    rule: Any,
    *,
    numbers: Iterable[str] = (),
    taus: Iterable[str] = (),
    bounds: Mapping[str, Mapping[str, float]] | None = None,
    choices: Mapping[str, Iterable[str]] | None = None,
    flags: Iterable[str] = (),
) -> None:
    """Raise InputError with all that is wrong with a rule's fields.

    Args:
        rule: the rule, whose class is named in what is said.
        numbers: fields that are finite numbers of either sign.
        taus: time constants in ns, above 0; infinite: never forgets.
        bounds: fields with bounds, as :meth:`training.arguments.Faults.number` has them.
        choices: fields that are one of some words.
        flags: fields that are True or False.
    """
    faults = Faults(type(rule).__name__)
    for name in numbers:
        faults.number(name, getattr(rule, name))
    for name in taus:
        value = getattr(rule, name)
        if not (isinstance(value, float) and math.isinf(value) and value > 0):
            faults.number(name, value, above=0.0)
    for name, limits in (bounds or {}).items():
        faults.number(name, getattr(rule, name), **limits)
    for name, words in (choices or {}).items():
        faults.choice(name, getattr(rule, name), words)
    for name in flags:
        faults.flag(name, getattr(rule, name))
    faults.done()
