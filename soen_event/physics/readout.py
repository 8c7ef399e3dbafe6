"""A loop's current, flux and phase at any time, from the state in which its last event left it.

This is the other end of :mod:`soen_event.physics.loop`: the same closed forms that the engines step with, evaluated in between.
While the SQUID runs its phase sweeps from -pi to pi about the bottleneck in every turn, so the current is continuous through a fluxon.
Nothing here goes back into a run, so libm may be used.
"""

from __future__ import annotations

import math
from typing import Any

from soen_event.physics.elementary import exp
from soen_event.physics.loop import HELD, PI, RUN, flux_at, leak_after

# Columns of a trace row (see engine.compiled.trace), which mode amplitudes follow.
T_Q, T_LEAK, T_PSI, T_THETA, T_RATE, T_CURVE, T_KAPPA, T_BASE, T_EXT, T_EXT_SLOPE, T_ARM, T_ARM_SLOPE = range(12)
TRACE_COLUMNS = 12


SLOWNESS = 1.45  # f/kappa of the fold's normal form (design.md 7.4): 1.35 at half a quantum, 1.42 at a quarter, 2 without flux


def swept(theta: float, kappa: float) -> float:
    """Phase about the bottleneck, -pi to pi, at the uniform phase ``theta`` (0 to 2 pi) of a turn.

    ``kappa`` in (0, 1]: speed in the bottleneck over the mean speed. tan(swept/2) = kappa tan((theta - pi)/2), the turn of an
    overdamped junction: a step for kappa -> 0 (near threshold), a ramp for kappa = 1.
    """
    if theta <= 0.0:
        return -PI
    if theta >= 2.0 * PI:
        return PI
    return 2.0 * math.atan(kappa * math.tan(0.5 * (theta - PI)))


def read(mode: int, values: Any, k: int, amplitude: Any, start: int, stop: int, tau_modes: Any, arm: Any, tau: float, beta: float,
         rest: Any, shape: Any, scale: Any, levels: Any, row: int, ib: float, rest_origin: float, tau_0: float, dt: float) -> tuple:
    """State ``dt`` ns after trace row ``k``: (current, quanta, flux, phase within the turn).

    ``values``: trace rows; ``amplitude[start:stop]``: mode amplitudes of that row; ``tau_modes``, ``arm`` indexed alike.
    """
    phi, _, _, _ = flux_at(amplitude, tau_modes, arm, start, stop, values[k, T_BASE], values[k, T_EXT], values[k, T_EXT_SLOPE],
                           values[k, T_ARM], values[k, T_ARM_SLOPE], dt)
    if mode == HELD:
        return 0.0, 0.0, phi, 0.0
    psi = values[k, T_PSI]
    leak = values[k, T_LEAK]
    if dt > 0.0:
        psi, leak = leak_after(leak, psi, amplitude, tau_modes, arm, start, stop, values[k, T_BASE], values[k, T_EXT],
                               values[k, T_EXT_SLOPE], values[k, T_ARM], values[k, T_ARM_SLOPE], rest, shape, scale, levels, row, ib,
                               rest_origin, tau, dt)
    q = values[k, T_Q] * exp(-dt / tau)
    sweep = 0.0
    if mode == RUN:
        theta = values[k, T_THETA] + dt * (values[k, T_RATE] + 0.5 * values[k, T_CURVE] * dt)
        sweep = swept(theta, min(1.0, SLOWNESS * values[k, T_KAPPA] / tau_0))
    return q + (psi + sweep - leak) / beta, q, phi, psi + sweep


def read_all(times: Any, rows: Any, row_fs: Any, mode: Any, values: Any, amplitude: Any, amplitude_at: Any, modes: int, tau_modes: Any,
             arm: Any, tau: float, beta: float, rest: Any, shape: Any, scale: Any, levels: Any, row: int, ib: float, rest_origin: float,
             tau_0: float, out: Any) -> None:
    """Fill ``out[j]`` = (current, quanta, flux, phase) at ``times[j]`` (ns), whose last trace row is ``rows[j]``.

    ``tau_modes``, ``arm`` belong to this loop alone and start at 0; a row's amplitudes begin at ``amplitude_at``.
    """
    for j in range(times.shape[0]):
        k = rows[j]
        dt = times[j] - row_fs[k] * 1.0e-6
        if dt < 0.0:
            dt = 0.0
        at = amplitude_at[k]
        s, q, phi, psi = read(mode[k], values, k, amplitude[at:at + modes], 0, modes, tau_modes, arm, tau, beta, rest, shape, scale,
                              levels, row, ib, rest_origin, tau_0, dt)
        out[j, 0] = s
        out[j, 1] = q
        out[j, 2] = phi
        out[j, 3] = psi
