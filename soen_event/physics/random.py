"""Random numbers with an address: Philox 4x32-10, a counter-based generator (Salmon et al., SC 2011).

A draw is a pure function of where it is used, not of how many draws came before it. Its address is
``(seed, part, ordinal, purpose, draw)``: the seed of the run, the key of the part (:func:`part_key` of its id), the
ordinal of the event at that part, what the number decides (one of the constants below) and, where one decision needs
several numbers, which of them. Adding a neuron, recording more or running on more threads changes nobody's numbers.

The key of Philox is the seed (low word, high word); the four counter words are

    word 0   part, bits 0-31
    word 1   ordinal, bits 0-31
    word 2   ordinal, bits 32-47, and part, bits 32-47, in the upper half
    word 3   draw, bits 0-23, and purpose, bits 0-7, in the upper eight bits

so addresses are distinct for 0 <= seed < 2^63, 0 <= part < 2^48, 0 <= ordinal < 2^48, 0 <= purpose < 2^8 and
0 <= draw < 2^24. Nothing checks this inside the kernels; :func:`checked_seed` does so for what a user gives.

All of it is integer arithmetic that stays below 2^63, so CPython's integers and Numba's int64 agree, and
:mod:`soen_event.physics.elementary` for logarithms: the numbers are the same bits on every machine.
"""

from __future__ import annotations

import hashlib
import math
import numbers
from typing import Any

from soen_event.errors import InputError
from soen_event.physics.elementary import exp, log

__all__ = [
    "CURRENT_NOISE",
    "DARK_COUNT",
    "DETECTION",
    "EMISSION_TIME",
    "FLUX_NOISE",
    "JITTER",
    "LOSS",
    "PHOTON_NUMBER",
    "PLASTICITY",
    "SPREAD",
    "STIMULUS",
    "THERMAL",
    "block",
    "checked_seed",
    "exponential",
    "log_factorial",
    "normal",
    "normal_quantile",
    "part_key",
    "philox4x32",
    "poisson",
    "uniform",
]

DETECTION = 1
"""Whether a photon that arrives at a detector is detected."""
PHOTON_NUMBER = 2
"""How many photons a pulse of light holds."""
EMISSION_TIME = 3
"""When a photon leaves its source."""
LOSS = 4
"""Whether a photon is lost on its way."""
STIMULUS = 5
"""Photons and drives that come from outside the network."""
DARK_COUNT = 6
"""Detections without a photon."""
JITTER = 7
"""Spread of a detector's reaction time."""
THERMAL = 8
"""Diffusion of a junction's phase at a temperature above zero."""
SPREAD = 9
"""Differences between fabricated devices."""
PLASTICITY = 10
"""Decisions of a learning rule."""
CURRENT_NOISE = 11
"""Noise of the resistor in a loop."""
FLUX_NOISE = 12
"""Noise of the flux in a SQUID."""

_MASK = 0xFFFFFFFF
_MULTIPLIER_0 = 0xD2511F53
_MULTIPLIER_1 = 0xCD9E8D57
_WEYL_0 = 0x9E3779B9
_WEYL_1 = 0xBB67AE85

_POISSON_INVERSION_BELOW = 10.0

# ln k! for k = 0 ... 9.
_LOG_FACTORIAL = (
    0.0, 0.0, 0.6931471805599453, 1.791759469228055, 3.1780538303479458,
    4.787491742782046, 6.579251212010101, 8.525161361065415, 10.60460290274525, 12.801827480081469,
)  # fmt: skip


def philox4x32(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[int, int, int, int]:
    """Return the Philox 4x32 permutation, 10 rounds, of a counter under a key.

    Arguments: four counter words and two key words, each an integer in [0, 2^32). Returns four words in [0, 2^32).
    Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; constants of Random123.
    """
    for _ in range(10):
        # 32 x 32 -> 64 bits in two steps of 48, because a signed 64-bit integer could not hold the whole product.
        low = _MULTIPLIER_0 * (c0 & 0xFFFF)
        high = _MULTIPLIER_0 * (c0 >> 16) + (low >> 16)
        high_0 = high >> 16
        low_0 = ((high & 0xFFFF) << 16) | (low & 0xFFFF)
        low = _MULTIPLIER_1 * (c2 & 0xFFFF)
        high = _MULTIPLIER_1 * (c2 >> 16) + (low >> 16)
        c0 = (high >> 16) ^ c1 ^ k0
        c1 = ((high & 0xFFFF) << 16) | (low & 0xFFFF)
        c2 = high_0 ^ c3 ^ k1
        c3 = low_0
        k0 = (k0 + _WEYL_0) & _MASK
        k1 = (k1 + _WEYL_1) & _MASK
    return c0, c1, c2, c3


def block(seed: int, part: int, ordinal: int, purpose: int, draw: int) -> tuple[int, int, int, int]:
    """Return the four random words at one address, each an integer in [0, 2^32).

    The ranges of the address are at the head of this file.
    """
    return philox4x32(
        part & _MASK,
        ordinal & _MASK,
        ((ordinal >> 32) & 0xFFFF) | (((part >> 32) & 0xFFFF) << 16),
        (draw & 0xFFFFFF) | ((purpose & 0xFF) << 24),
        seed & _MASK,
        (seed >> 32) & _MASK,
    )


def _unit(high: int, low: int) -> float:
    """Turn two random words into an odd multiple of 2^-53 in (0, 1): neither end occurs, and u and 1 - u are alike."""
    return float((((high << 20) | (low >> 12)) << 1) | 1) * 1.1102230246251565e-16


def uniform(seed: int, part: int, ordinal: int, purpose: int, draw: int) -> float:
    """Return a number uniform in (0, 1): one of the 2^52 odd multiples of 2^-53, never 0 and never 1."""
    words = block(seed, part, ordinal, purpose, draw)
    return _unit(words[0], words[1])


def exponential(seed: int, part: int, ordinal: int, purpose: int, draw: int) -> float:
    """Return a number with the exponential distribution of mean 1; always above 0, never above 36.8."""
    return -log(uniform(seed, part, ordinal, purpose, draw))


def normal(seed: int, part: int, ordinal: int, purpose: int, draw: int) -> float:
    """Return a number with the normal distribution of mean 0 and variance 1, by inversion; never beyond 8.3."""
    return normal_quantile(uniform(seed, part, ordinal, purpose, draw))


def poisson(seed: int, part: int, ordinal: int, purpose: int, draw: int, mean: float) -> int:
    """Return an integer with the Poisson distribution.

    Arguments: the address of the first draw; ``mean``, at least 0 and below 1e9 (0 is returned for a mean that is not
    positive). The draws ``draw``, ``draw + 1``, ... of the same address are used: one for a mean below 10, else 1.1 to
    1.4 on average and hardly ever ten. Below 10 the distribution function is inverted; above, the transformed
    rejection PTRS of W. Hoermann, Insurance: Mathematics and Economics 12, 39 (1993) is used. Both are exact.
    """
    if not mean > 0.0:
        return 0
    if mean < _POISSON_INVERSION_BELOW:
        u = uniform(seed, part, ordinal, purpose, draw)
        k = 0
        p = exp(-mean)
        total = p
        while u > total:
            k += 1
            p *= mean / k
            if total + p == total:  # beyond the last term that a float can tell from nothing
                return k
            total += p
        return k
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    log_inverse_alpha = log(1.1239 + 1.1328 / (b - 3.4))
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = log(mean)
    while True:
        words = block(seed, part, ordinal, purpose, draw)
        draw += 1
        u = _unit(words[0], words[1]) - 0.5
        v = _unit(words[2], words[3])
        us = 0.5 - abs(u)
        x = (2.0 * a / us + b) * u + mean + 0.43
        if x < 0.0 or (us < 0.013 and v > us):
            continue
        k = int(x)
        if us >= 0.07 and v <= v_r:
            return k
        if log(v) + log_inverse_alpha - log(a / (us * us) + b) <= k * log_mean - mean - log_factorial(k):
            return k


def log_factorial(k: int) -> float:
    """Return ln k! for an integer ``k`` >= 0, with an absolute error below 1e-12 or a relative one below 1e-14.

    A table below 10, Stirling's series to the seventh inverse power above.
    """
    if k < 10:
        return _LOG_FACTORIAL[k]
    x = k + 1.0
    z = 1.0 / (x * x)
    series = 7.936507936507937e-04 - z * 5.952380952380953e-04
    series = (0.08333333333333333 - z * (0.002777777777777778 - z * series)) / x
    return (x - 0.5) * log(x) - x + 0.9189385332046728 + series


def normal_quantile(p: float) -> float:
    """Return z such that a standard normal variable is below z with probability ``p``, 0 < p < 1.

    Relative error 1e-15 (algorithm AS 241, routine PPND16, M. J. Wichura, Applied Statistics 37, 477 (1988)).
    Only a square root, which IEEE 754 rounds correctly, and :func:`soen_event.physics.elementary.log` are used.
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        top = (2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r + 6.7265770927008700853e4
        top = ((top * r + 4.5921953931549871457e4) * r + 1.3731693765509461125e4) * r + 1.9715909503065514427e3
        top = (top * r + 1.3314166789178437745e2) * r + 3.3871328727963666080
        bottom = (5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r + 3.9307895800092710610e4
        bottom = ((bottom * r + 2.1213794301586595867e4) * r + 5.3941960214247511077e3) * r + 6.8718700749205790830e2
        bottom = (bottom * r + 4.2313330701600911252e1) * r + 1.0
        return q * top / bottom
    r = math.sqrt(-log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        top = (7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r + 2.41780725177450611770e-1
        top = ((top * r + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.76949722146069140550
        top = (top * r + 4.63033784615654529590) * r + 1.42343711074968357734
        bottom = (1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r + 1.51986665636164571966e-2
        bottom = ((bottom * r + 1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940
        bottom = (bottom * r + 2.05319162663775882187) * r + 1.0
    else:
        r -= 5.0
        top = (2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 1.24266094738807843860e-3
        top = ((top * r + 2.65321895265761230930e-2) * r + 2.96560571828504891230e-1) * r + 1.78482653991729133580
        top = (top * r + 5.46378491116411436990) * r + 6.65790464350110377720
        bottom = (2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r + 1.84631831751005468180e-5
        bottom = (bottom * r + 7.86869131145613259100e-4) * r + 1.48753612908506148525e-2
        bottom = ((bottom * r + 1.36929880922735805310e-1) * r + 5.99832206555887937690e-1) * r + 1.0
    z = top / bottom
    return -z if q < 0.0 else z


def part_key(id: str) -> int:
    """Return the 48-bit number that stands for a part in an address: the first six bytes of BLAKE2b of its id (UTF-8).

    It depends on the id alone, so the numbers of a part do not change when others are added, removed or reordered.
    Two ids share a key with probability 3.6e-15; among 100 000 parts some pair does with probability 2e-5.
    """
    return int.from_bytes(hashlib.blake2b(id.encode("utf-8"), digest_size=6).digest(), "little")


def checked_seed(seed: Any) -> int:
    """Return ``seed`` as a plain integer; raises :class:`InputError` unless it is a whole number in [0, 2^63)."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise InputError(f"seed: {seed!r} is not a whole number; give an integer from 0 to 2**63 - 1, for example 0")
    number = int(seed)
    if not 0 <= number < 2**63:
        raise InputError(f"seed: {number} is out of range; give an integer from 0 to 2**63 - 1")
    return number
