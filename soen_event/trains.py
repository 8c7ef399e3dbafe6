"""Distances between spike trains, and which spike of one is which of the other (features.md 2.2).

    align(a, b, cost=0.1)           # matched, missing and extra spikes, at the least cost
    victor_purpura(a, b, cost=0.1)  # that cost
    van_rossum(a, b, tau=10.0)      # distance of the trains blurred by exp(-t/tau)

A train is an ascending array of times, in ns. Both distances are metrics of trains: zero for equal ones only (with ``cost`` > 0),
symmetric, and no way round is shorter.

* J. D. Victor, K. P. Purpura, J. Neurophysiol. 76, 1310 (1996): taking a spike away or adding one costs 1, moving it by dt costs
  ``cost`` dt. So spikes are never matched over 2/cost or more.
* M. C. W. van Rossum, Neural Comput. 13, 751 (2001): D^2 = 1/tau int (f - g)^2 dt with f = sum exp(-(t - t_i)/tau) over t_i < t;
  one unmatched spike makes D^2 = 1/2. Here it is summed exactly from spike to spike, not on a grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError

__all__ = ["Alignment", "align", "checked_train", "van_rossum", "victor_purpura"]

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """Which spike of ``a`` is which of ``b``, at the least cost.

    Args:
        a, b: the trains, ns.
        pairs: (k, 2) places in ``a`` and ``b`` of matched spikes, ascending in both.
        cost: per ns of a shift.
    """

    a: Times
    b: Times
    pairs: NDArray[np.int64]
    cost: float

    @property
    def shifts(self) -> Times:
        """b - a of the matched spikes, ns: positive where ``b`` is later."""
        shifts: Times = self.b[self.pairs[:, 1]] - self.a[self.pairs[:, 0]]
        return shifts

    @property
    def missing(self) -> NDArray[np.int64]:
        """Places in ``a`` of spikes that ``b`` has no partner for."""
        return np.setdiff1d(np.arange(len(self.a)), self.pairs[:, 0])

    @property
    def extra(self) -> NDArray[np.int64]:
        """Places in ``b`` of spikes that ``a`` has no partner for."""
        return np.setdiff1d(np.arange(len(self.b)), self.pairs[:, 1])

    @property
    def distance(self) -> float:
        """The Victor-Purpura distance: 1 for every spike without a partner, ``cost`` per ns of shift of the others."""
        alone = len(self.a) + len(self.b) - 2 * len(self.pairs)
        moved = math.fsum(np.abs(self.shifts).tolist())
        return alone + (self.cost * moved if moved else 0.0)


def align(a: ArrayLike, b: ArrayLike, cost: float = 0.1) -> Alignment:
    """The alignment of least Victor-Purpura cost.

    Args:
        a, b: trains, ascending times in ns; may be empty.
        cost: per ns of a shift, from 0 to infinity. 0: as many spikes as there can be are matched, with the smallest sum of shifts;
            infinity: only spikes of equal times are.

    Returns:
        an :class:`Alignment`; where several cost as little, one of those with fewest pairs.

    Raises:
        InputError: a train is not ascending, finite and of one dimension, or the cost is no number from 0 up.

    Pairs nearer than 2/cost are looked at only: time and memory grow with their number, at most len(a) len(b).
    """
    one, two = checked_train(a, "align.a"), checked_train(b, "align.b")
    if isinstance(cost, bool) or not isinstance(cost, int | float | np.number) or not cost >= 0.0:
        raise InputError(f"align.cost: {cost!r} is no cost; give a number from 0 up, per ns")
    return Alignment(one, two, _pairs(one, two, float(cost)), float(cost))


def victor_purpura(a: ArrayLike, b: ArrayLike, cost: float = 0.1) -> float:
    """The Victor-Purpura distance of two trains; arguments as for :func:`align`.

    ``cost`` 0 gives the difference of the numbers of spikes, infinity the number of spikes that are in one train only.
    """
    return align(a, b, cost).distance


def van_rossum(a: ArrayLike, b: ArrayLike, tau: float = 10.0, *, squared: bool = False) -> float:
    """The van Rossum distance of two trains.

    Args:
        a, b: trains, ascending times in ns; may be empty.
        tau: decay time of the blur, ns, above 0. If it is short D^2 is half the number of spikes that are in one train only, if it is
            long half the square of the difference of their numbers.
        squared: return D^2, which is not a metric.

    Raises:
        InputError: a train is not ascending, finite and of one dimension, or tau is no positive time.
    """
    one, two = checked_train(a, "van_rossum.a"), checked_train(b, "van_rossum.b")
    if isinstance(tau, bool) or not isinstance(tau, int | float | np.number) or not 0.0 < tau < math.inf:
        raise InputError(f"van_rossum.tau: {tau!r} is no decay time; give a positive number of ns")
    times, place = np.unique(np.concatenate([one, two]), return_inverse=True)
    if not len(times):
        return 0.0
    steps = np.zeros(len(times))
    np.add.at(steps, place, np.repeat([1.0, -1.0], [len(one), len(two)]))
    # f - g decays from its value after each spike to the next: its square is a sum without cancellation.
    gaps = np.diff(times, append=math.inf) / tau
    value, after = 0.0, []
    for step, keep in zip(steps.tolist(), np.exp(-gaps).tolist(), strict=True):
        value += step
        after.append(value)
        value *= keep
    square = 0.5 * math.fsum((np.square(after) * -np.expm1(-2.0 * gaps)).tolist())
    return square if squared else math.sqrt(square)


def checked_train(times: Any, place: str) -> Times:
    """The train as float64.

    Raises:
        InputError: it is not of one dimension, or a time is not finite or before the one in front of it.
    """
    try:
        train = np.asarray(times, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{place}: {times!r} is no train; give times in ns") from None
    if train.ndim != 1:
        raise InputError(f"{place}: times of shape {train.shape}; give them in one row")
    if not np.isfinite(train).all():
        raise InputError(f"{place}: the time {train[~np.isfinite(train)][0]} is not finite; give times in ns")
    late = np.flatnonzero(np.diff(train) < 0.0)
    if len(late):
        k = int(late[0])
        raise InputError(f"{place}: {train[k + 1]:g} ns comes after {train[k]:g} ns; give the times in ascending order")
    return train


def _pairs(a: Times, b: Times, cost: float) -> NDArray[np.int64]:
    """Matched places, (k, 2).

    A pair saves 2 - cost |dt|. gain[j]: the most that the spikes of ``a`` so far and the first j of ``b`` save. A spike of ``a`` can
    change it from its first reachable spike of ``b`` on, and after its last one it is constant.
    """
    none = np.empty((0, 2), dtype=np.int64)
    if not len(a) or not len(b):
        return none
    if cost == 0.0:  # the limit of a small cost: all shifts together weigh less than one spike
        span = max(a[-1], b[-1]) - min(a[0], b[0])
        cost = 1.0 / max(span * min(len(a), len(b)), 1e-300)
    reach = 2.0 / cost
    low = np.minimum(np.searchsorted(b, a - reach, "right"), np.searchsorted(b, a, "left"))  # a - reach may be a
    high = np.maximum(np.searchsorted(b, a + reach, "left"), np.searchsorted(b, a, "right"))
    gain = np.zeros(len(b) + 1)
    choices: list[NDArray[np.int8] | None] = []
    reached = 0
    for i, (start, stop) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if start >= stop:
            choices.append(None)
            continue
        if stop > reached:
            gain[reached + 1 : stop + 1] = gain[reached]
            reached = stop
        saved = 2.0 if math.isinf(cost) else 2.0 - cost * np.abs(b[start:stop] - a[i])
        now = gain[start : stop + 1].copy()
        np.maximum(now[1:], gain[start:stop] + saved, out=now[1:])
        np.maximum.accumulate(now, out=now)
        better = now[1:] > gain[start + 1 : stop + 1]
        # 0: this spike of ``a`` is not used by the first j of ``b``; 1: it is, by an earlier one; 2: by the j-th.
        choices.append(np.where(better, np.where(now[1:] > now[:-1], 2, 1), 0).astype(np.int8))
        gain[start : stop + 1] = now
    found, j = [], len(b)
    for i in range(len(a) - 1, -1, -1):
        choice = choices[i]
        if choice is None:
            continue
        start = int(low[i])
        j_in = min(j, int(high[i]))
        while j_in > start and choice[j_in - 1 - start] == 1:
            j_in -= 1
        if j_in > start and choice[j_in - 1 - start] == 2:
            found.append((i, j_in - 1))
            j = j_in - 1
    return np.array(found[::-1], dtype=np.int64).reshape(-1, 2)
