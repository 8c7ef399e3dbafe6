"""What a name in a configuration stands for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from soen_event.errors import InputError
from training.arguments import build
from training.objective import make

__all__ = ["made", "made_metrics"]


def made(kind: str, given: Any, faults: list[str], **options: Any) -> Any:
    """The thing of a name, or of a mapping of ``name`` and options; anything else as it is. None after a fault."""
    function = kind == "loss" and inspect.isfunction(given)
    if not isinstance(given, str | Mapping) and not function and not options:
        return given
    try:
        if kind == "loss":
            return make(given, **options)
        return build(kind, given, **options)
    except InputError as error:
        faults += error.faults
    return None


def made_metrics(given: Any, faults: list[str]) -> dict[str, Any]:
    """Metrics by the name to log under: of a list of names or metrics, of a mapping, or of a single one.

    In a list, a second metric (not its name) of the same name is that of the validation, ``val_<name>``.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping) and "name" not in given:
        named = list(given.items())
    else:
        several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        named = [(_name(each), each) for each in several]
    result: dict[str, Any] = {}
    for name, each in named:
        before = len(faults)
        metric = made("metric", each, faults)
        if len(faults) == before and not all(
            callable(getattr(metric, p, None)) for p in ("update", "compute", "reset")
        ):
            faults.append(f"Trainer.metrics: {name!r} has no update, compute and reset; give a metric")
        if name in result and metric is each and metric is not result[name] and f"val_{name}" not in result:
            name = f"val_{name}"
        if name in result or name in ("loss", "lr", "epoch"):
            faults.append(f"Trainer.metrics: {name!r} is taken; give metrics by another name, {{name: metric}}")
        result[str(name)] = metric
    return result


def _name(metric: Any) -> str:
    if isinstance(metric, Mapping):
        return str(metric.get("name"))
    return metric if isinstance(metric, str) else str(getattr(metric, "name", type(metric).__name__.lower()))
