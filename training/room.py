"""Arrays that are used again: fresh memory for a run costs more than the run's arithmetic (the system hands it out page by page)."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["Room"]

SMALL = 1 << 16  # bytes; below, numpy's own memory is as quick


class Room:
    """Hands out arrays of whatever they held before. One is taken back when nobody refers to it, or to a part of it, any more."""

    def __init__(self) -> None:
        self._held: list[np.ndarray] = []

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Like ``numpy.empty``."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size < SMALL:
            return np.empty(shape, dtype=dtype)
        free = [
            k for k in range(len(self._held)) if sys.getrefcount(self._held[k]) == 2
        ]  # the list's, and the argument
        fitting = [k for k in free if size <= self._held[k].nbytes <= 2 * size]
        if not fitting:
            held = set(free)
            self._held = [one for k, one in enumerate(self._held) if k not in held]  # of another size: let go
            self._held.append(np.empty(size, dtype=np.uint8))
            fitting = [len(self._held) - 1]
        best = min(fitting, key=lambda k: self._held[k].nbytes)
        return self._held[best][:size].view(dtype).reshape(shape)

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Like ``numpy.zeros``."""
        out = self.empty(shape, dtype)
        out.fill(0)
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {"_held": []}
