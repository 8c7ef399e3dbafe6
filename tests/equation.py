"""The continuous equations of a network without spikes, solved by LSODA to 1e-10: what `flow` is measured against."""

import heapq
import math

import numpy as np
from numba import njit
from scipy.integrate import solve_ivp

from soen_event.engine.jit import compile_function
from soen_event.physics.source import source_at
from soen_event.plan import lower

SOURCE = compile_function(source_at)


@njit
def slopes(t, s, row, ib, beta, tau, tau_0, steady, amplitude, mode_tau, mode_start, J, origin, goal, sources, out):
    shape, scale, cells, levels, _ = sources
    for d in range(len(s)):
        phi = steady[d]
        for m in range(mode_start[d], mode_start[d + 1]):
            phi += amplitude[m] * np.exp(-t / mode_tau[m])
        for c in range(len(J)):
            if goal[c] == d:
                phi += J[c] * s[origin[c]]
        r = SOURCE(shape, scale, cells, levels, row[d], phi, ib[d] - s[d])[0]
        out[d] = r / (tau_0 * beta[d]) - s[d] / tau[d]


def solve(network, photons, until, times):
    """Currents (times, loops) at ``times`` (ns, ascending) and the loops' ids. Overlapping pulses saturate (physics.md 1.2)."""
    plan = lower(network)
    a = plan.arrays
    origin = np.repeat(np.arange(len(a.row)), np.diff(a.out_start))
    steady, amplitude = a.offset.copy(), np.zeros(len(a.mode_tau))
    flux, seen = np.zeros(len(a.det_loop)), np.zeros(len(a.det_loop))
    hot = np.zeros(len(a.det_loop), dtype=bool)
    events = [(t, 1, plan.detector_index[name]) for name, train in photons.items() for t in train]
    heapq.heapify(events)
    s, now, rows, out = np.zeros(len(a.row)), 0.0, 0, np.empty((len(times), len(a.row)))
    buffer = np.empty(len(a.row))

    def slope(t, y):
        slopes(
            t, y, a.row, a.ib, a.beta, a.tau, plan.tau_0, steady, amplitude, a.mode_tau, a.mode_start,
            a.out_J, origin, a.out_loop, plan.sources, buffer,
        )  # fmt: skip
        return buffer.copy()

    while now < until:
        following = min(events[0][0] if events else until, until)
        if following > now:
            span = following - now
            inside = [t - now for t in times[rows:] if t < following or following == until]
            at = np.unique([*inside, span])
            found = solve_ivp(
                slope, (0.0, span), s, "LSODA", t_eval=at, rtol=1e-10, atol=1e-12, max_step=min(span / 100, 0.1)
            )
            for t in inside:
                out[rows] = found.y[:, np.searchsorted(at, t)]
                rows += 1
            s, now = found.y[:, -1], following
            amplitude *= np.exp(-span / a.mode_tau)
        if not events or events[0][0] > now:
            continue
        t, begins, k = heapq.heappop(events)
        w, level = a.det_weight[k], a.det_level[k]
        if begins and not hot[k]:
            flux[k] *= math.exp(-(t - seen[k]) / a.det_tau_fall[k])
            amplitude[a.det_fall[k]] -= w * flux[k]
            amplitude[a.det_rise[k]] += w * (flux[k] - level)
            steady[a.det_loop[k]] += w * level
            hot[k], seen[k] = True, t
            heapq.heappush(events, (t + a.det_hotspot_fs[k] * 1e-6, 0, k))
        elif not begins:
            left = (flux[k] - level) * math.exp(-(t - seen[k]) / a.det_tau_rise[k])
            amplitude[a.det_rise[k]] -= w * left
            steady[a.det_loop[k]] -= w * level
            flux[k] = level + left
            amplitude[a.det_fall[k]] += w * flux[k]
            hot[k], seen[k] = False, t
    return out, plan.loop_ids
