"""Two that answer the same questions: how often each is right, and whether one is right more often.

    print(Answers.of(labels, twin, engine))

* The gap of two accuracies on the same samples lies in the interval of R. G. Newcombe, Statist. Med. 17, 2635 (1998), method 10: Wilson's
  intervals of both, joined with the correlation of being right.
* McNemar's exact test: of the samples that one only is right about, half should be each one's if they are equally good.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from soen_event.errors import InputError

__all__ = ["Answers", "paired_interval", "wilson"]


@dataclass(frozen=True)
class Answers:
    """How two compare on ``samples`` questions.

    Args:
        samples: their number.
        equal: share of equal answers, right or wrong; ``equal_low`` to ``equal_high``: Wilson's interval, 95 %.
        first, second: accuracies; None without labels, as is all that follows.
        gap: first - second; ``gap_low`` to ``gap_high``: its 95 % interval (Newcombe, method 10).
        p: of McNemar's exact test, two-sided.
    """

    samples: int
    equal: float
    equal_low: float
    equal_high: float
    first: float | None = None
    second: float | None = None
    gap: float | None = None
    gap_low: float | None = None
    gap_high: float | None = None
    p: float | None = None

    @classmethod
    def of(cls, labels: ArrayLike | None, first: ArrayLike, second: ArrayLike) -> Answers:
        """From answers and, if they are known, labels: (samples,), or of any equal shape.

        Raises:
            InputError: there are none, or not as many of all.
        """
        one, two = np.asarray(first), np.asarray(second)
        faults = []
        if one.shape != two.shape:
            faults.append(f"Answers.second: answers of shape {two.shape}, the first's are {one.shape}; give as many")
        if labels is not None and np.shape(labels) != one.shape:
            faults.append(f"Answers.labels: of shape {np.shape(labels)}, the answers are {one.shape}; give as many")
        if one.size == 0:
            faults.append("Answers.first: there is no answer; give some")
        if faults:
            raise InputError(faults)
        same = int(np.count_nonzero(one == two))
        low, high = wilson(same, one.size)
        if labels is None:
            return cls(one.size, same / one.size, low, high)
        right = one == np.asarray(labels), two == np.asarray(labels)
        both, only_first = int(np.sum(right[0] & right[1])), int(np.sum(right[0] & ~right[1]))
        only_second = int(np.sum(~right[0] & right[1]))
        gap_low, gap_high = paired_interval(both, only_first, only_second, one.size - both - only_first - only_second)
        return cls(
            one.size,
            same / one.size,
            low,
            high,
            (both + only_first) / one.size,
            (both + only_second) / one.size,
            (only_first - only_second) / one.size,
            gap_low,
            gap_high,
            _mcnemar(only_first, only_second),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def told(self, first: str = "first", second: str = "second") -> str:
        """In one or two lines, with the names of both."""
        text = (
            f"equal answers {100 * self.equal:.1f} % ({100 * self.equal_low:.1f} to {100 * self.equal_high:.1f}) of "
            f"{self.samples} samples"
        )
        if self.first is None or self.second is None or self.gap is None:
            return text
        return (
            f"accuracy {first} {100 * self.first:.1f} %, {second} {100 * self.second:.1f} %; gap {100 * self.gap:+.2f} points "
            f"({100 * (self.gap_low or 0.0):+.2f} to {100 * (self.gap_high or 0.0):+.2f}), p = {self.p:.2g}\n{text}"
        )

    def __str__(self) -> str:
        return self.told()


def wilson(hits: int, number: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(hits, number).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def paired_interval(both: int, only_first: int, only_second: int, neither: int) -> tuple[float, float]:
    """95 % interval of the difference of two shares of the same samples (Newcombe 1998, method 10).

    Args:
        both, only_first, only_second, neither: samples that are hits of both, of one, of none.
    """
    number = both + only_first + only_second + neither
    one, two = both + only_first, both + only_second
    low_1, high_1 = wilson(one, number)
    low_2, high_2 = wilson(two, number)
    p_1, p_2 = one / number, two / number
    spread = one * (number - one) * two * (number - two)
    off = float(both * neither - only_first * only_second)
    if off > 0.0:  # with a continuity correction
        off = max(off - number / 2.0, 0.0)
    phi = off / math.sqrt(spread) if spread else 0.0

    def joined(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2.0 * phi * a * b + b * b, 0.0))

    gap = p_1 - p_2
    return gap - joined(p_1 - low_1, high_2 - p_2), gap + joined(high_1 - p_1, p_2 - low_2)


def _mcnemar(only_first: int, only_second: int) -> float:
    from scipy.stats import binomtest

    number = only_first + only_second
    return float(binomtest(only_first, number, 0.5).pvalue) if number else 1.0
