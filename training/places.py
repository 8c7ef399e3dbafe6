"""Where a fault of a configuration stands, file, line and key, and what is said there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from soen_event.errors import nearest
from training.blocks import Config

__all__ = ["placed", "worded"]


def worded(error: Any, place: str, locate: Any, changed: set[str], whole: Any = Config) -> str:
    """What pydantic found, in the words of this library."""
    path = tuple(
        step for step in error["loc"] if not (isinstance(step, str) and "[" in step) and step not in ("str", "dict")
    )
    begin = _place_of(path, place, locate, changed)
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return (
            f"{begin}: unknown key{nearest(str(path[-1]), _fields(path[:-1], whole))}; "
            f"known: {', '.join(_fields(path[:-1], whole))}"
        )
    if kind == "missing":
        return f"{begin}: missing; give it a value"
    expected = error["msg"][0].lower() + error["msg"][1:]
    return f"{begin}: {value!r} is not right ({expected}); correct it"


def _place_of(path: tuple[Any, ...], place: str, locate: Any, changed: set[str]) -> str:
    """Where a key stands: file, line and key, or the key alone where it was given by hand."""
    where = ".".join(map(str, path))
    if any(key == where or key.startswith(f"{where}.") or where.startswith(f"{key}.") for key in changed):
        return where
    line = locate(path) if locate is not None else None
    return f"{place}:{line}: {where}" if line else f"{place}: {where}"


def placed(fault: str, place: str, locate: Any, changed: set[str]) -> str:
    """A fault that begins with its key, with the file and the line."""
    key, _, text = fault.partition(": ")
    steps = tuple(int(step) if step.isdigit() else step for step in key.split("."))
    return f"{_place_of(steps, place, locate, changed)}: {text}"


def _fields(path: Iterable[Any], whole: Any) -> list[str]:
    kind: Any = whole
    for step in path:
        field = getattr(kind, "model_fields", {}).get(step)
        kind = field.annotation if field is not None else None
        kind = next((each for each in get_args(kind) if hasattr(each, "model_fields")), kind)
    return list(getattr(kind, "model_fields", {}))
