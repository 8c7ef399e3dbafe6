"""The two-junction SQUID of a dendrite, from its junction equations: where it switches and how fast it runs.

In units of one junction's critical current and of ``tau_0`` (dots are d/dtau), with ``i`` the current that the SQUID carries,
``phi`` the flux in Phi0 and ``b`` the dimensionless inductance of one arm (circuit.md 2, physics.md 2.2)::

    beta_c d1'' + d1' + sin d1 = i/2 + k      k = (2 pi phi - d1 + d2) / (2 b)
    beta_c d2'' + d2' + sin d2 = i/2 - k      r = <(d1' + d2')/2> = 2 pi f tau_0

Arms of unequal inductance shift the flux: ``g(phi, i; b1, b2) = g(phi + (b2 - b1) i / (4 pi), i; (b1 + b2)/2)``, exactly
(the division of the bias between the arms enters the equations only in that sum), so one symmetric SQUID serves every device.

The scalar functions here are compiled by :mod:`soen_event.engine.jit`; the others work on arrays and run once per device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

TWO_PI = 6.283185307179586
NODES = 32  # intervals of the tables of phases along each axis
U_TOP = 2.2  # the largest distance above threshold in them


def fold_of_parameter(d2: Any, b: float) -> tuple[Any, Any, Any]:
    """Return (phi, i, d1) of the static fold whose second junction phase is ``d2``, from pi/2 (no flux) down to -pi/2.

    At the fold the determinant of the static equations vanishes: cos d1 + cos d2 + 2 b cos d1 cos d2 = 0.
    """
    c2 = np.cos(d2)
    d1 = np.arccos(np.clip(-c2 / (1.0 + 2.0 * b * c2), -1.0, 1.0))
    s1, s2 = np.sin(d1), np.sin(d2)
    phi = (d1 - d2 + b * (s1 - s2)) / TWO_PI
    return phi, s1 + s2, d1


def static_fold(phi: Any, b: float) -> dict[str, np.ndarray]:
    """Static critical current of a symmetric SQUID and the fold's geometry.

    Arguments: ``phi`` flux in Phi0, any shape, folded into [0, 1/2]; ``b`` arm inductance (beta_1 = beta_2 = b > 0).
    Returns arrays of the shape of ``phi``: ``i`` (critical current, units of I_c), ``slope`` (di/dphi for phi in [0, 1/2], <= 0),
    ``d1``, ``d2`` (phases at the fold), ``gain`` = f kappa of the saddle-node normal form z' = gain u + z^2, z = kappa x
    (design.md 7.4, circuit.md 5). physics.md 2.2 tabulates ``i`` for b = pi/2.
    """
    if not b > 0:
        raise ValueError(f"static_fold: b = {b} is not positive")
    phi = np.asarray(phi, dtype=float)
    y = np.abs(phi - np.round(phi))
    high = np.full(y.shape, 0.5 * math.pi)
    low = np.full(y.shape, -0.5 * math.pi)
    for _ in range(60):  # phi grows as d2 falls along the fold: bisect to the last bit
        mid = 0.5 * (low + high)
        below = fold_of_parameter(mid, b)[0] < y
        low, high = np.where(below, low, mid), np.where(below, mid, high)
    d2 = 0.5 * (low + high)
    _, i, d1 = fold_of_parameter(d2, b)
    c1 = np.cos(d1)
    # Null vector v of the symmetric Jacobian [[-c1 - q, q], [q, -c2 - q]], q = 1/(2 b); then x' = f u + kappa x^2.
    q = 1.0 / (2.0 * b)
    v1, v2 = q, c1 + q
    norm = np.hypot(v1, v2)
    v1, v2 = v1 / norm, v2 / norm
    f = 0.5 * (v1 + v2)
    kappa = 0.5 * (np.sin(d1) * v1**3 + np.sin(d2) * v2**3)
    # On the fold v . dF = 0: (v1 + v2)/2 di + 2 pi q (v1 - v2) dphi = 0.
    slope = -2.0 * TWO_PI * q * (v1 - v2) / (v1 + v2)
    return {"i": i, "slope": slope, "d1": d1, "d2": d2, "f": f, "kappa": kappa, "gain": f * kappa}


def critical_current(phi: Any, beta_1: float = 1.5707963267948966, beta_2: float = 1.5707963267948966) -> np.ndarray:
    """Largest static current (units of I_c) at flux ``phi`` (Phi0), for arms ``beta_1``, ``beta_2``; any shape.

    physics.md 2.2 (b). For unequal arms the flux is shifted in proportion to the current, so the current is found by iteration.
    """
    b = 0.5 * (beta_1 + beta_2)
    shift = (beta_2 - beta_1) / (2.0 * TWO_PI)
    phi = np.asarray(phi, dtype=float)
    if shift == 0.0:
        return static_fold(phi, b)["i"]
    low, high = np.zeros(phi.shape), np.full(phi.shape, 2.0)
    for _ in range(60):
        mid = 0.5 * (low + high)
        rests = mid <= static_fold(phi + shift * mid, b)["i"]
        low, high = np.where(rests, mid, low), np.where(rests, high, mid)
    return 0.5 * (low + high)


def static_phase(phi: Any, i: Any, b: float) -> np.ndarray:
    """Mean junction phase (d1 + d2)/2 of the resting SQUID at flux ``phi`` (folded into [0, 1/2]) and current ``i``; arrays broadcast.

    At and above the critical current it is the phase of the fold itself. Newton's method along the stable branch from zero.
    """
    phi, i = np.broadcast_arrays(np.asarray(phi, dtype=float), np.asarray(i, dtype=float))
    fold = static_fold(phi, b)
    y = np.abs(phi - np.round(phi))
    target = np.minimum(i, fold["i"] * (1.0 - 1e-10))
    d1, d2 = np.zeros(phi.shape), np.zeros(phi.shape)
    q = 1.0 / (2.0 * b)
    steps = 1.0 - np.linspace(1.0, 0.0, 61)[1:] ** 2  # crowd where the branch turns
    for fraction in steps:
        flux, current = TWO_PI * y, target * fraction
        for _ in range(40):
            k = q * (flux - d1 + d2)
            r1 = 0.5 * current + k - np.sin(d1)
            r2 = 0.5 * current - k - np.sin(d2)
            a11, a22 = -np.cos(d1) - q, -np.cos(d2) - q
            det = a11 * a22 - q * q
            e1, e2 = -(a22 * r1 - q * r2) / det, -(a11 * r2 - q * r1) / det
            size = np.maximum(np.abs(e1), np.abs(e2))
            damp = np.minimum(1.0, 0.2 / np.maximum(size, 1e-300))
            d1, d2 = d1 + damp * e1, d2 + damp * e2
            if size.max(initial=0.0) < 1e-12:
                break
    at_fold = 0.5 * (fold["d1"] + fold["d2"])
    return np.where(i >= fold["i"], at_fold, 0.5 * (d1 + d2))


def rest_table(b: float, n: int = NODES) -> np.ndarray:
    """Static phases for :func:`soen_event.physics.loop.rest_phase`: (n+1, n+1) over k = sqrt(1 - i/i_th) and y = 1/2 - phi."""
    k = np.linspace(0.0, 1.0, n + 1)[:, None]
    phi = 0.5 - np.linspace(0.0, 0.5, n + 1)[None, :]
    threshold = static_fold(phi, b)["i"]
    return static_phase(np.broadcast_to(phi, (n + 1, n + 1)), threshold * (1.0 - k * k), b)


def junction_slope(
    d1: float, v1: float, d2: float, v2: float, half_i: float, flux: float, q: float, beta_c: float
) -> tuple:
    """Accelerations (v1', v2') of both junctions; ``flux`` = 2 pi phi, ``q`` = 1/(2 b)."""
    k = q * (flux - d1 + d2)
    return (half_i + k - v1 - math.sin(d1)) / beta_c, (half_i - k - v2 - math.sin(d2)) / beta_c


def junction_step(
    d1: float, v1: float, d2: float, v2: float, half_i: float, flux: float, q: float, beta_c: float, h: float
) -> tuple:
    """Both junctions ``h`` tau_0 later, by fourth-order Runge-Kutta: (d1, v1, d2, v2)."""
    a1, a2 = junction_slope(d1, v1, d2, v2, half_i, flux, q, beta_c)
    w1 = v1 + 0.5 * h * a1
    w2 = v2 + 0.5 * h * a2
    b1, b2 = junction_slope(d1 + 0.5 * h * v1, w1, d2 + 0.5 * h * v2, w2, half_i, flux, q, beta_c)
    x1 = v1 + 0.5 * h * b1
    x2 = v2 + 0.5 * h * b2
    c1, c2 = junction_slope(d1 + 0.5 * h * w1, x1, d2 + 0.5 * h * w2, x2, half_i, flux, q, beta_c)
    y1 = v1 + h * c1
    y2 = v2 + h * c2
    e1, e2 = junction_slope(d1 + h * x1, y1, d2 + h * x2, y2, half_i, flux, q, beta_c)
    d1 += h / 6.0 * (v1 + 2.0 * w1 + 2.0 * x1 + y1)
    d2 += h / 6.0 * (v2 + 2.0 * w2 + 2.0 * x2 + y2)
    v1 += h / 6.0 * (a1 + 2.0 * b1 + 2.0 * c1 + e1)
    v2 += h / 6.0 * (a2 + 2.0 * b2 + 2.0 * c2 + e2)
    return d1, v1, d2, v2


def running_rate(i: float, phi: float, b: float, beta_c: float, d1: float, d2: float, step: float) -> float:
    """Mean phase rate r = 2 pi f tau_0 of the SQUID at constant current and flux, on the branch reached from rest.

    ``d1``, ``d2`` are the phases it starts from (the fold's), ``step`` the integration step in tau_0. Fourth-order Runge-Kutta
    until two successive periods agree to 1e-8, or for 60 periods (then their mean); 0 if no slip is seen in 200000 tau_0.
    """
    q = 0.5 / b
    half_i = 0.5 * i
    flux = TWO_PI * phi
    v1 = 0.0
    v2 = 0.0
    target = 0.5 * (d1 + d2) + TWO_PI
    t = 0.0
    last = 0.0
    previous = -1.0
    slips = 0
    first_counted = 0.0
    h = step
    limit = 200000.0
    while t < limit:
        m0 = 0.5 * (d1 + d2)
        s0 = 0.5 * (v1 + v2)
        d1, v1, d2, v2 = junction_step(d1, v1, d2, v2, half_i, flux, q, beta_c, h)
        m1 = 0.5 * (d1 + d2)
        if m1 >= target:  # place the crossing on the cubic through both ends and their slopes
            s1 = 0.5 * (v1 + v2)
            x = (target - m0) / (m1 - m0)
            for _ in range(4):
                g = m0 + x * (
                    h * s0 + x * (3.0 * (m1 - m0) - h * (2.0 * s0 + s1) + x * (2.0 * (m0 - m1) + h * (s0 + s1)))
                )
                dg = h * s0 + x * (
                    2.0 * (3.0 * (m1 - m0) - h * (2.0 * s0 + s1)) + 3.0 * x * (2.0 * (m0 - m1) + h * (s0 + s1))
                )
                if dg > 0.0:
                    x -= (g - target) / dg
            crossing = t + x * h
            period = crossing - last
            slips += 1
            if slips == 4:
                first_counted = crossing
            if slips >= 3 and abs(period - previous) < 1e-8 * period:
                return TWO_PI / period
            if slips >= 64:
                return TWO_PI * (slips - 4) / (crossing - first_counted)
            previous = period
            last = crossing
            target += TWO_PI
            if slips == 1:
                # Time periods where the phase moves fast, so that a slow passage does not blur the crossing.
                target = TWO_PI * math.floor(target / TWO_PI) + math.pi
                if target <= m1:
                    target += TWO_PI
        t += h
    return 0.0


def rate_at(u: float, phi: float, b: float, beta_c: float, fold_i: float, d1: float, d2: float, step: float) -> float:
    """Rate at current ``fold_i + u``; at u = 0 the limit from above: 0 for a saddle-node on the cycle, else the jump.

    Close to the fold the passage time pi/sqrt(gain u) diverges; the limit is recognised by the ratio of two rates.
    """
    if u <= 0.0:
        near = running_rate(fold_i + 2.5e-5, phi, b, beta_c, d1, d2, step)
        far = running_rate(fold_i + 1e-4, phi, b, beta_c, d1, d2, step)
        if near < 0.7 * far:
            return 0.0
        return near
    return running_rate(fold_i + u, phi, b, beta_c, d1, d2, step)


def rate_grid(
    a_axis: np.ndarray,
    phi_axis: np.ndarray,
    b: float,
    beta_c: float,
    fold_i: np.ndarray,
    d1: np.ndarray,
    d2: np.ndarray,
    step: float,
    out: np.ndarray,
) -> None:
    """Fill ``out[j, k]`` with the rate at u = a_axis[j]^2 and flux phi_axis[k]."""
    for k in range(phi_axis.shape[0]):
        for j in range(a_axis.shape[0]):
            u = a_axis[j] * a_axis[j]
            out[j, k] = rate_at(u, phi_axis[k], b, beta_c, fold_i[k], d1[k], d2[k], step)


def turn_shape(i: float, phi: float, b: float, beta_c: float, d1: float, d2: float, step: float) -> tuple:
    """How m = (d1 + d2)/2 goes through a turn at constant current and flux above threshold: (late, lag).

    ``d1``, ``d2``: phases of the fold, where the turn has its bottleneck; ``step`` in tau_0, of fourth-order Runge-Kutta. ``late``: from
    the slip (m = pi) to the bottleneck, as a part of 2 pi, less pi. ``lag``: average of m over time from slip to slip, less that of the
    fold. Of the fifth turn; zeros if it does not come within 200000 tau_0.
    """
    q = 0.5 / b
    half_i = 0.5 * i
    flux = TWO_PI * phi
    fold = 0.5 * (d1 + d2)
    v1 = 0.0
    v2 = 0.0
    h = step
    t = 0.0
    slips = 0
    target = math.pi
    slipped = 0.0
    neck = 0.0
    area = 0.0
    m1 = fold
    while t < 200000.0:
        d1, v1, d2, v2 = junction_step(d1, v1, d2, v2, half_i, flux, q, beta_c, h)
        m0 = m1
        m1 = 0.5 * (d1 + d2)
        bottleneck = fold + target - math.pi
        if m0 < bottleneck <= m1:
            neck = t + h * (bottleneck - m0) / (m1 - m0)
        area += 0.5 * h * (m0 + m1)
        if m1 >= target:
            over = h * (m1 - target) / (m1 - m0)
            now = t + h - over
            over *= 0.5 * (m1 + target)
            slips += 1
            if slips == 5:
                period = now - slipped
                mean = (area - over) / period - (target - math.pi)
                return TWO_PI * (neck - slipped) / period - math.pi, mean - fold
            slipped = now
            area = over
            target += TWO_PI
        t += h
    return 0.0, 0.0


def turn_grid(
    u: np.ndarray,
    phi: np.ndarray,
    b: float,
    beta_c: float,
    fold_i: np.ndarray,
    d1: np.ndarray,
    d2: np.ndarray,
    step: float,
    out: np.ndarray,
) -> None:
    """Fill ``out[:, j, k]`` with :func:`turn_shape` at u[j] > 0 above threshold and flux phi[k]."""
    for k in range(phi.shape[0]):
        for j in range(u.shape[0]):
            out[0, j, k], out[1, j, k] = turn_shape(fold_i[k] + u[j], phi[k], b, beta_c, d1[k], d2[k], step)
