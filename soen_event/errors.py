"""The one exception that bad input raises. It carries every fault that was found, not only the first."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """Something the user gave cannot be used.

    ``faults`` is a list of sentences, each in the form ``Part.field: value is wrong because ...; what to do``.
    The command line prints them and exits with code 2.
    """

    def __init__(self, faults: str | Iterable[str]):
        self.faults: list[str] = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known word nearest to ``word``, or an empty string.

    Of very many ids, those that their ``near`` method chooses are looked at.
    """
    known = known.near(word) if hasattr(known, "near") else known
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def checked_path(value: Any, place: str) -> Path:
    """The path that ``value`` is. Raises InputError, which begins with ``place``, if it can be none."""
    if not isinstance(value, str | os.PathLike) or "\0" in str(value):
        raise InputError(f"{place}: {value!r} is no path; give that of a file")
    return Path(value)


class NonFiniteError(InputError):
    """A learnt value, an output or a signal that is no finite number."""
