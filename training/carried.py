"""Where a run ended, for another to go on from: the whole state of a twin, or the currents that another model's runs show.

A model begins with its ``initial_state``: None (rest), currents (n,) that all examples share, or one start for every example:
currents (B, n), or a :class:`~training.stretch.State` of B examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.model import Run

__all__ = ["cut", "ended", "joined", "one", "plain", "restored", "shared"]


def ended(run: Run) -> Any:
    """Where the examples of a run ended: its ``end``, else the last currents (B, n); None if it has neither."""
    if run.end is not None:
        return run.end
    return None if run.states is None else run.states[:, -1]


def one(end: Any, k: int) -> Any:
    """The end of example ``k``, in memory of its own: a state of one example, or currents (n,)."""
    return np.array(end[k]) if isinstance(end, np.ndarray) else end.take(np.array([k]))


def shared(start: Any, examples: int) -> Any:
    """What :func:`one` gave, as the start of so many examples."""
    return start if start is None or isinstance(start, np.ndarray) else start.take(np.zeros(examples, dtype=int))


def cut(start: Any, low: int, high: int, examples: int) -> Any:
    """The starts from ``low`` to ``high`` of a batch of ``examples``; what all share, and what does not fit, as it is."""
    if isinstance(start, np.ndarray):
        return start[low:high] if start.ndim > 1 and len(start) == examples else start
    return start if start is None or len(start.s) != examples else start.take(np.arange(low, high))


def joined(ends: Sequence[Any]) -> Any:
    """The ends of the parts of a batch, as that of the batch."""
    if isinstance(ends[0], np.ndarray):
        return np.concatenate(ends)
    along = {"light": 1}  # of the others the first axis is that of examples
    parts = {name: [vars(end)[name] for end in ends] for name in vars(ends[0])}
    return type(ends[0])(**{name: np.concatenate(each, axis=along.get(name, 0)) for name, each in parts.items()})


def plain(start: Any) -> Any:
    """For a checkpoint: None, an array, or arrays by name."""
    return start if start is None or isinstance(start, np.ndarray) else dict(vars(start))


def restored(held: Any) -> Any:
    """What :func:`plain` was given."""
    from training.stretch import State

    return State(**held) if isinstance(held, Mapping) else held
