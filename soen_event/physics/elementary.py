"""exp, expm1 and log from additions, multiplications and divisions only, so that every machine gives the same bits.

``np.exp`` differs between CPUs in the last bit and a C library's ``exp`` differs between systems; an engine that
promises the same events everywhere can use neither. IEEE 754 fixes the bits of + - * /, of comparisons and of
conversions between integers and floats, and nothing else is used here (``math.frexp`` takes a float apart without
rounding). The same source runs in CPython and in Numba; ``soen_event.engine.jit`` compiles it without ``fastmath``,
so no operation is reordered and none is fused with another.

Method of exp and expm1: x = (32 m + j) ln2/32 + r with |r| <= ln2/64, then exp(x) = 2^m 2^(j/32) (1 + p(r)), p the
Taylor polynomial of degree 6 (relative remainder 3.4e-18) and 2^(j/32) tabulated in two parts (P. T. P. Tang, ACM
TOMS 15, 144, 1989). Near zero expm1 is its Taylor polynomial of degree 10.
Method of log: x = 2^e m with m in [sqrt(1/2), sqrt 2), then log m = 2 artanh((m - 1)/(m + 1)) by the polynomial of
FDLIBM's ``e_log.c``.
Largest error found against 50 digits, in units of the last place: exp 0.54 (0.78 where the result is subnormal),
expm1 0.84, log 0.76.
"""

from __future__ import annotations

import math

__all__ = ["exp", "expm1", "log"]

_INFINITY = float("inf")
_NOT_A_NUMBER = float("nan")

EXP_OVERFLOW = 709.782712893384
"""Largest argument whose exponential is finite."""
EXP_UNDERFLOW = -745.1332191019412
"""Smallest argument whose exponential rounds to something above zero."""

_STEPS_PER_UNIT = 46.16624130844683  # 32/ln 2
_STEP = 0.021660849392446835  # ln2/32, last 17 bits zero: k*_STEP is exact for every k used here
_STEP_LOW = 5.145609244655338e-14  # ln2/32 - _STEP

_LN2 = 0.6931471803691238  # ln2, last 21 bits zero: e*_LN2 is exact for every binary exponent e
_LN2_LOW = 1.9082149292705877e-10  # ln2 - _LN2

_ROOT_HALF = 0.7071067811865476

_CHUNK = 4611686018427387904.0  # 2^62
_CHUNK_INVERSE = 2.168404344971009e-19  # 2^-62

# 2^(j/32), j = 0 ... 31, rounded to nearest, and what the rounding left over.
_ROOT = (
    1.0, 1.0218971486541166, 1.0442737824274138, 1.0671404006768237,
    1.0905077326652577, 1.1143867425958924, 1.1387886347566916, 1.1637248587775775,
    1.189207115002721, 1.215247359980469, 1.241857812073484, 1.2690509571917332,
    1.2968395546510096, 1.3252366431597413, 1.3542555469368927, 1.383909881963832,
    1.4142135623730951, 1.4451808069770467, 1.4768261459394993, 1.5091644275934228,
    1.5422108254079407, 1.5759808451078865, 1.6104903319492543, 1.645755478153965,
    1.681792830507429, 1.718619298122478, 1.7562521603732995, 1.7947090750031072,
    1.8340080864093424, 1.8741676341103, 1.9152065613971474, 1.9571441241754002,
)  # fmt: skip
_ROOT_LOW = (
    0.0, 5.109225028973444e-17, 8.551889705537965e-17, -7.899853966841582e-17,
    -3.046782079812471e-17, 1.0410278456845571e-16, 8.912812676025408e-17, 3.8292048369240935e-17,
    3.982015231465646e-17, -7.712630692681488e-17, 4.658027591836937e-17, 2.667932131342186e-18,
    2.5382502794888315e-17, -2.8587312100388614e-17, 7.70094837980299e-17, -6.770511658794786e-17,
    -9.667293313452913e-17, -3.0237581349939873e-17, -3.483994556892796e-17, -1.016455327754295e-16,
    7.949834809697621e-17, -1.0136916471278304e-17, 2.4707192569797888e-17, -1.0125679913674773e-16,
    8.199010020581497e-17, -1.851380418263111e-17, 2.960140695448873e-17, 1.8227458427912087e-17,
    3.283107224245627e-17, -6.122763413004143e-17, -1.0619946056195963e-16, 8.960767791036668e-17,
)  # fmt: skip

# 1/n!, the Taylor coefficients of the exponential.
_T3 = 0.16666666666666666
_T4 = 0.041666666666666664
_T5 = 0.008333333333333333
_T6 = 0.001388888888888889
_T7 = 0.0001984126984126984
_T8 = 2.48015873015873e-05
_T9 = 2.7557319223985893e-06
_T10 = 2.755731922398589e-07

# Coefficients of FDLIBM's e_log.c: log(1+f) = 2s + s R(s^2), s = f/(2+f), for |f| < sqrt(2) - 1.
_L1 = 6.666666666666735130e-01
_L2 = 3.999999999940941908e-01
_L3 = 2.857142874366239149e-01
_L4 = 2.222219843214978396e-01
_L5 = 1.818357216161805012e-01
_L6 = 1.531383769920937332e-01
_L7 = 1.479819860511658591e-01


def exp(x: float) -> float:
    """Return e to the power ``x``.

    Argument: ``x``, any float, without unit. Returns 1.0 exactly at 0, 0.0 below -745.13, inf above 709.78, nan for
    nan; elsewhere the error is below 0.55 units of the last place (below 1 where the result is subnormal).
    Raises nothing.
    """
    if x != x:
        return x
    if x > EXP_OVERFLOW:
        return _INFINITY
    if x < EXP_UNDERFLOW:
        return 0.0
    k = int(x * _STEPS_PER_UNIT + 0.5) if x >= 0.0 else int(x * _STEPS_PER_UNIT - 0.5)
    r = (x - k * _STEP) - k * _STEP_LOW
    r2 = r * r
    p = r + r2 * ((0.5 + r * _T3) + r2 * (_T4 + r * (_T5 + r * _T6)))
    j = k & 31
    m = k >> 5
    y = _ROOT[j] + (_ROOT_LOW[j] + _ROOT[j] * p)
    if m >= -62:
        if m <= 0:
            return y * (1.0 / float(1 << -m))
        while m > 62:
            y *= _CHUNK
            m -= 62
        return y * float(1 << m)
    # Far below one: the odd part of the power first, so that only the last product can round (into a subnormal).
    m = -m
    y *= 1.0 / float(1 << (m % 62))
    for _ in range(m // 62):
        y *= _CHUNK_INVERSE
    return y


def expm1(x: float) -> float:
    """Return exp(x) - 1 without the cancellation near zero.

    Argument: ``x``, any float, without unit. Returns -1.0 below -37.5, inf above 709.78, nan for nan; elsewhere the
    error is below 1 unit of the last place. Raises nothing.
    ``-expm1(-t/tau)`` is the fraction of an exponential decay that has happened at ``t``.
    """
    if x != x:
        return x
    if x < -37.5:
        return -1.0
    if x > 37.5:
        return exp(x) - 1.0
    if -0.0866 < x < 0.0866:
        z = x * x
        even = 0.5 + z * (_T4 + z * (_T6 + z * (_T8 + z * _T10)))
        odd = _T3 + z * (_T5 + z * (_T7 + z * _T9))
        return x + z * (even + x * odd)
    k = int(x * _STEPS_PER_UNIT + 0.5) if x >= 0.0 else int(x * _STEPS_PER_UNIT - 0.5)
    r = (x - k * _STEP) - k * _STEP_LOW
    r2 = r * r
    p = r + r2 * ((0.5 + r * _T3) + r2 * (_T4 + r * (_T5 + r * _T6)))
    j = k & 31
    m = k >> 5
    scale = float(1 << m) if m >= 0 else 1.0 / float(1 << -m)
    large = scale * _ROOT[j]
    small = scale * (_ROOT_LOW[j] + _ROOT[j] * p)
    # Subtract the one where it costs no bits: from the sum, from the large part (then exact), or from the small part.
    if large < 0.5:
        return (large + small) - 1.0
    if large <= 2.0:
        return (large - 1.0) + small
    return large + (small - 1.0)


def log(x: float) -> float:
    """Return the natural logarithm of ``x``.

    Argument: ``x``, any float, without unit. Returns 0.0 exactly at 1, -inf at 0, nan below 0, inf at inf and nan for
    nan; elsewhere (subnormal ``x`` included) the error is below 1 unit of the last place. Raises nothing.
    """
    if not x > 0.0:
        return -_INFINITY if x == 0.0 else _NOT_A_NUMBER
    if x == _INFINITY:
        return x
    m, e = math.frexp(x)  # x = m 2^e, 1/2 <= m < 1
    if m < _ROOT_HALF:
        m *= 2.0
        e -= 1
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    rest = w * (_L2 + w * (_L4 + w * _L6)) + z * (_L1 + w * (_L3 + w * (_L5 + w * _L7)))
    half = 0.5 * f * f
    if e == 0:
        return f - (half - s * (half + rest))
    return e * _LN2 - ((half - (s * (half + rest) + e * _LN2_LOW)) - f)
