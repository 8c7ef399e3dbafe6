"""Memory ahead of its use."""

from __future__ import annotations

from typing import Any


def fetch(array: Any, at: int) -> None:
    """Say that ``array[at]`` will be needed soon. Compiled code brings it nearer (machine.fetch); plain Python has nothing to do."""
