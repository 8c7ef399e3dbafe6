"""One registry for everything that has a name in a configuration file.

    @register("loss", "my_loss")
    def my_loss(outputs, targets): ...

    get("loss", "my_loss")

Kinds are listed in :data:`KINDS`. A name is found again by :func:`get`, all names of a kind by :func:`names`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from soen_event.errors import InputError, nearest

__all__ = ["KINDS", "get", "names", "register"]

KINDS = (
    "loss",
    "optimizer",
    "schedule",
    "callback",
    "metric",
    "surrogate",
    "pooling",
    "dataset",
    "encoder",
    "rule",
    "modulator",
    "ssl",
)
# Modules of this library that register entries of a kind: they are read when the kind is first asked for.
_HOMES = {
    "loss": ("losses", "regularisers", "objective", "imitation"),
    "optimizer": ("optim", "wrappers"),
    "schedule": ("schedules", "reactive"),
    "callback": ("callbacks", "curriculum", "hardening", "interruption", "limits", "loggers", "probes"),
    "metric": ("metrics",),
    "surrogate": ("surrogates",),
    "pooling": ("readout",),
    "dataset": ("datasets",),
    "encoder": ("encoders",),
    "rule": ("rules",),
    "modulator": ("modulators",),
}
_read: set[str] = set()
_entries: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
T = TypeVar("T")


def register(kind: str, name: str, *aliases: str, replace: bool = False) -> Callable[[T], T]:
    """Decorator: the class or function that follows is ``name`` (and ``aliases``) of this kind.

    Raises:
        InputError: the kind is unknown, or the name is taken and ``replace`` is not given.
    """
    held = _of(kind)

    def keep(thing: T) -> T:
        for each in (name, *aliases):
            if not isinstance(each, str) or not each:
                raise InputError(f"register.name: {each!r} is not a name; give a word")
            if each in held and held[each] is not thing and not replace:
                raise InputError(
                    f"register.name: {kind} {each!r} is taken by {held[each]!r}; choose another, or replace=True"
                )
            held[each] = thing
        return thing

    return keep


def get(kind: str, name: str) -> Any:
    """What is registered under this name.

    Raises:
        InputError: no such kind or name; it names the nearest.
    """
    held = _known(kind)
    if name not in held:
        hint = nearest(str(name), held)
        raise InputError(f"{kind}: {name!r} is not known{hint}; " + ("correct it" if hint else _listed(held)))
    return held[name]


def names(kind: str) -> list[str]:
    """All names of a kind, sorted."""
    return sorted(_known(kind))


def _known(kind: str) -> dict[str, Any]:
    """The entries of a kind, its modules read."""
    held = _of(kind)
    if kind not in _read:
        _read.add(kind)
        for home in _HOMES.get(kind, ()):
            import_module(f"training.{home}")
    return held


def _listed(held: dict[str, Any]) -> str:
    """The names, each thing once: under that which stands first."""
    once: dict[int, str] = {}
    for name, thing in held.items():
        once.setdefault(id(thing), name)
    return f"known: {', '.join(sorted(once.values()))}"


def _of(kind: str) -> dict[str, Any]:
    if kind not in _entries:
        raise InputError(
            f"register.kind: {kind!r} is not a kind{nearest(str(kind), KINDS)}; use one of {', '.join(KINDS)}"
        )
    return _entries[kind]
