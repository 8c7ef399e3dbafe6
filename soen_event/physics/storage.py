"""The memory of a programmable value: flux quanta in a lossless storage loop (physics.md 7.1).

A loop that couples to a receiver's bias holds a whole number of flux quanta, of which more than 400 were measured
(arXiv 2311.05881). What a rule of learning asks for is not a whole number, and there are three ways to round it: to the
*nearest* level from where the value is, which loses every change below half a level; at random so that the mean is right
(*stochastic*); or from a *hidden* sum of all changes that is kept beside the loop.
"""

from __future__ import annotations

import math

__all__ = ["FREE", "HIDDEN", "NEAREST", "STOCHASTIC", "WRITE_ENERGY", "level_below", "stored"]

FREE, NEAREST, STOCHASTIC, HIDDEN = range(4)
WRITE_ENERGY = 0.4e-15
"""J for one programming of a synapse's memory, cooling included, as measured (arXiv 2311.05881, physics.md 8)."""


def stored(
    value: float, change: float, hidden: float, low: float, high: float, step: float, rounding: int, draw: float
) -> tuple[float, float]:
    """What a memory holds after it was asked for ``change``: (value, hidden sum).

    Arguments: its value and hidden sum now; its bounds and the ``step`` between two levels (0: any value), the first of which is
    ``low``; FREE, NEAREST, STOCHASTIC or HIDDEN; a random number in [0, 1) for STOCHASTIC.
    """
    wanted = value + change
    if rounding == HIDDEN:
        wanted = hidden + change
    if wanted < low:
        wanted = low
    if wanted > high:
        wanted = high
    if step <= 0.0 or rounding == FREE:
        return wanted, wanted
    up = 0.5
    if rounding == STOCHASTIC:
        up = draw
    number = math.floor((wanted - low) / step + up)
    last = math.floor((high - low) / step + 0.5)
    if number > last:
        number = last
    return low + number * step, wanted


def level_below(value: float, low: float, step: float) -> float:
    """The level from ``value`` towards zero, for a value that must not grow (with ``step`` 0 the value itself)."""
    if step <= 0.0:
        return value
    place = (value - low) / step
    if value >= 0.0:
        return low + math.floor(place + 1.0e-9) * step
    return low + math.ceil(place - 1.0e-9) * step
