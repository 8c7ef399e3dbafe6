"""A batch in shards, and sums over shards in one order, whoever computes them.

Shards are contiguous, in order, and differ by one sample at most. Sums go along a binary tree over the shards,

    total(lo, hi) = total(lo, mid) + total(mid, hi),        mid - lo: the largest power of two below hi - lo

in float64. The tree depends on the number of shards alone, so a worker that has several neighbouring ones may add up what lies
wholly in its part, and the bits are those of one worker that has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from soen_event.errors import InputError
from training.lessons import Lesson

__all__ = ["Sums", "cut", "nodes", "taken", "total"]

T = TypeVar("T")
Node = tuple[int, int]


def cut(count: int, parts: int) -> list[Node]:
    """Ends (start, stop) of contiguous parts of ``count`` things; the first ones have one more. None is empty: there may be fewer."""
    parts = max(min(parts, count), 1)
    each, more = divmod(count, parts)
    ends = [k * each + min(k, more) for k in range(parts + 1)]
    return list(pairwise(ends))


def total(node: Node, leaf: Callable[[int], T], known: Mapping[Node, T], add: Callable[[T, T], T]) -> T:
    """The sum of a node of the tree: as it is known, of one shard, or of its two halves."""
    low, high = node
    if node in known:
        return known[node]
    if high - low == 1:
        return leaf(low)
    middle = _middle(low, high)
    left = total((low, middle), leaf, known, add)
    return add(left, total((middle, high), leaf, known, add))


def nodes(tree: Node, part: Node) -> Iterator[Node]:
    """The largest nodes of a tree that lie wholly in a part, in order."""
    low, high = tree
    if part[0] <= low and high <= part[1]:
        yield tree
    elif high - low > 1 and low < part[1] and part[0] < high:
        middle = _middle(low, high)
        yield from nodes((low, middle), part)
        yield from nodes((middle, high), part)


def _middle(low: int, high: int) -> int:
    return low + (1 << ((high - low - 1).bit_length() - 1))


@dataclass
class Sums:
    """What shards add up to: samples, loss and its parts and gradients, each times the shard's samples; seconds by phase."""

    samples: int
    value: float
    parts: dict[str, float]
    gradients: dict[str, np.ndarray]
    seconds: dict[str, float]

    @classmethod
    def of(
        cls,
        samples: int,
        value: float,
        parts: Mapping[str, float],
        gradients: Mapping[str, np.ndarray],
        seconds: dict[str, float],
    ) -> Sums:
        """One shard's share."""
        weighted = {name: samples * np.array(each, dtype=np.float64) for name, each in gradients.items()}
        return cls(samples, samples * value, {name: samples * each for name, each in parts.items()}, weighted, seconds)

    def add(self, other: Sums) -> Sums:
        """Both together; this one is changed."""
        self.samples += other.samples
        self.value += other.value
        for mine, others in ((self.parts, other.parts), (self.seconds, other.seconds)):
            for name, each in others.items():
                mine[name] = mine.get(name, 0.0) + each
        for name, gradient in other.gradients.items():
            if name in self.gradients:
                self.gradients[name] += gradient
            else:
                self.gradients[name] = gradient
        return self


def taken(targets: Any, low: int, high: int, samples: int, place: str = "DataParallel.targets") -> Any:
    """The samples from ``low`` to ``high`` of targets: arrays, lessons, or mappings, tuples and lists of arrays; None as it is.

    Raises:
        InputError: an array that does not have as many samples as the inputs, or something that cannot be cut.
    """
    if targets is None:
        return None
    if isinstance(targets, Lesson):
        shown = {name: taken(each, low, high, samples, f"{place}.{name}") for name, each in targets.parts.items()}
        return Lesson(shown, taken(targets.answers, low, high, samples, f"{place}.answers"))
    if isinstance(targets, Mapping):
        return {key: taken(each, low, high, samples, f"{place}.{key}") for key, each in targets.items()}
    if isinstance(targets, tuple | list) and all(isinstance(each, np.ndarray) for each in targets):
        parts = [taken(each, low, high, samples, f"{place}[{k}]") for k, each in enumerate(targets)]
        return tuple(parts) if isinstance(targets, tuple) else parts
    array = targets if isinstance(targets, np.ndarray) else np.asarray(targets)
    if array.dtype.kind == "O" or array.ndim == 0:
        raise InputError(f"{place}: {type(targets).__name__} cannot be cut into shards; give arrays, the samples first")
    if len(array) != samples:
        raise InputError(f"{place}: there are {len(array)} for {samples} inputs; give one for each")
    return np.ascontiguousarray(array[low:high])
