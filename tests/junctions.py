"""A junction-level (RCSJ) integration of one RI dendrite for the tests: the truth that the event model is judged against.

Equations of circuit.md 2 (and physics.md 2.2), fourth-order Runge-Kutta. ``feed`` = 1: the flux threads the first arm only, so it also
feeds the loop through pi dphi/dt; 0: it threads both arms evenly.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True)
def _integrate(ib, beta, alpha, beta_c, b, feed, step, n, flux, flux_step, every, start, s_out, fluxon_out):
    y = np.zeros(5)
    y[0] = y[2] = start
    k = np.zeros((4, 5))
    yy = np.zeros(5)
    found = 0
    turn = math.floor((start - math.pi) / (2.0 * math.pi))
    for j in range(n):
        t = j * step
        for stage in range(4):
            at = t
            for m in range(5):
                if stage == 0:
                    yy[m] = y[m]
                elif stage < 3:
                    yy[m] = y[m] + 0.5 * step * k[stage - 1, m]
                else:
                    yy[m] = y[m] + step * k[2, m]
            if stage == 3:
                at = t + step
            elif stage > 0:
                at = t + 0.5 * step
            x = at / flux_step
            c = min(int(x), len(flux) - 2)
            phi = flux[c] + (x - c) * (flux[c + 1] - flux[c])
            slope = (flux[c + 1] - flux[c]) / flux_step
            i = ib - yy[4]
            i1 = 0.5 * i + (2.0 * math.pi * phi - yy[0] + yy[2]) / (2.0 * b)
            i2 = i - i1
            k[stage, 0] = yy[1]
            k[stage, 1] = (i1 - yy[1] - math.sin(yy[0])) / beta_c
            k[stage, 2] = yy[3]
            k[stage, 3] = (i2 - yy[3] - math.sin(yy[2])) / beta_c
            k[stage, 4] = (0.5 * (yy[1] + yy[3]) + feed * math.pi * slope - alpha * yy[4]) / (beta + 0.5 * b)
        before = 0.5 * (y[0] + y[2])
        for m in range(5):
            y[m] += step / 6.0 * (k[0, m] + 2.0 * k[1, m] + 2.0 * k[2, m] + k[3, m])
        after = 0.5 * (y[0] + y[2])
        now = math.floor((after - math.pi) / (2.0 * math.pi))
        if now > turn:
            fluxon_out[found] = t + step * ((2.0 * math.pi * now + math.pi - before) / (after - before))
            found += 1
            turn = now
        if j % every == 0:
            s_out[j // every] = y[4]
    return found


def dendrite(device, ib, beta_over_2pi, tau, times, flux, feed=0.0, step=0.04, every=8):
    """Integrate from rest; ``flux`` (Phi0) on the uniform grid ``times`` (ns, from 0). Returns (t, s, fluxon times), ns.

    The bias is on from the start; the phases begin at rest at ``flux[0]`` = 0. ``step`` in tau_0.
    """
    tau_0 = device.tau_0_ns
    beta = 2.0 * math.pi * beta_over_2pi
    n = int(times[-1] / tau_0 / step)
    s = np.zeros(n // every + 1)
    fluxons = np.zeros(200_000)
    found = _integrate(
        ib,
        beta,
        beta * tau_0 / tau,
        device.beta_c,
        device.beta_1,
        feed,
        step,
        n,
        np.asarray(flux, dtype=float),
        (times[1] - times[0]) / tau_0,
        every,
        math.asin(ib / 2.0),
        s,
        fluxons,
    )
    return np.arange(len(s)) * every * step * tau_0, s, fluxons[:found] * tau_0
