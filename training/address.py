"""Random numbers of a training run: a stream is a function of its address, not of what was drawn before.

The address is the seed and any words and whole numbers: ``stream(seed, "shuffle", epoch)``. A run that is continued after a kill
needs no stored generator, validation draws from streams of its own, and a callback changes nobody else's numbers.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from soen_event.errors import InputError

__all__ = ["checked_seed", "stream"]


def checked_seed(seed: Any, place: str) -> int:
    """The seed as an int.

    Raises:
        InputError: it is no whole number from 0 to 2**63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError(f"{place}: {seed!r} is not a seed; give a whole number, 0 to 2**63 - 1")
    return int(seed)


def stream(seed: int, *address: str | int) -> np.random.Generator:
    """The generator (Philox) of an address; the same one for equal addresses, on every machine and version of Python."""
    words = "\0".join(repr(part) if isinstance(part, str) else repr(int(part)) for part in address)
    digest = hashlib.blake2b(words.encode(), digest_size=8).digest()
    key = np.array([seed, int.from_bytes(digest, "little")], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
