"""What compiled code does by means of its own (:mod:`soen_event.engine.machine`), as plain Python does it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

PLAIN: dict[int, tuple[Any, tuple[str, ...], tuple[str, ...]]] = {}
"""Functions that :func:`invoke` calls, by their number, with the names of the two records' fields."""


def fetch(array: Any, at: int) -> None:
    """Say that ``array[at]`` will be needed soon. Compiled code brings it nearer; plain Python has nothing to do."""


def invoke(function: int, values: Any, at: int, parameters: Any, start: int) -> None:
    """Call a function of two records, which begin at ``values[at]`` and ``parameters[start]``; it may change both.

    ``function``: its address in compiled code, its number in :data:`PLAIN` here.
    """
    call, names, of_rule = PLAIN[function]
    one = SimpleNamespace(**{name: float(values[at + k]) for k, name in enumerate(names)})
    two = SimpleNamespace(**{name: float(parameters[start + k]) for k, name in enumerate(of_rule)})
    call(one, two)
    for k, name in enumerate(names):
        values[at + k] = getattr(one, name)
    for k, name in enumerate(of_rule):
        parameters[start + k] = getattr(two, name)
