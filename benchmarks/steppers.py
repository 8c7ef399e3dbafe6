"""The continuous model solved without the library's engines: a plain time-stepper, a tight reference, and SciPy.

All three read a lowered Plan and call the library's own compiled source function; nothing else is shared with the engines.

    ds/dt = r(phi(t), ib - s)/(tau_0 beta_eff) - s/tau      per loop,  phi = offset + detector flux + sum of J s

* :func:`march`: steps of ``dt`` for all loops together (Euler or midpoint). Detectors are exact at any time; a spike is
  placed by linear interpolation within its step.
* :func:`tight`: Dormand-Prince 5(4) with a local error below ``tol``, one neuron with its dendrites at a time, in steps that end at every
  photon, hotspot end, release and spike. The light of other neurons comes at least a waveguide's latency later, so that they may take
  turns of that length.
* :func:`scipy_neuron`: the same for one neuron with any method of ``scipy.integrate.solve_ivp``.

Restrictions: deterministic emission, efficiency 1, no dead time, saturating detectors, somas that are emptied by a spike, no flux drives.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from soen_event.engine.jit import compile_function
from soen_event.physics.source import source as plain_source
from soen_event.plan import Plan

source = compile_function(plain_source)
NEVER = 1e30


class Model(NamedTuple):
    """What the steppers read of a Plan; times in ns. Loops are grouped by neuron (``member``); ``own`` lists a neuron's detectors."""

    sources: Any
    row: np.ndarray
    ib: np.ndarray
    drive: np.ndarray  # 1/(tau_0 beta_eff)
    leak: np.ndarray  # 1/tau
    offset: np.ndarray
    threshold: np.ndarray
    neuron: np.ndarray
    t_ref: np.ndarray
    in_start: np.ndarray  # couplings by target
    in_loop: np.ndarray
    in_J: np.ndarray
    det_loop: np.ndarray
    weight: np.ndarray
    level: np.ndarray
    rise: np.ndarray
    fall: np.ndarray
    hotspot: np.ndarray
    refractory: np.ndarray  # detector of each neuron, or -1
    guide_start: np.ndarray
    guide_detector: np.ndarray
    guide_delay: np.ndarray  # latency included
    group_start: np.ndarray  # groups of coupled loops, each with at most one soma
    group_loop: np.ndarray
    own_start: np.ndarray
    own: np.ndarray
    det_group: np.ndarray


def model_of(plan: Plan) -> Model:
    a = plan.arrays
    n, k = len(a.row), len(a.soma)
    assert (a.det_efficiency == 1.0).all() and (a.det_dead_fs == 0).all() and not a.det_restarts.any()
    assert (
        (a.purge[a.soma] == 1).all() and (a.emission <= 1).all() and (a.guide_pass == 1.0).all() and len(a.kick_fs) == 0
    )
    origin = np.repeat(np.arange(n), np.diff(a.out_start))
    order = np.lexsort((origin, a.out_loop))
    group = np.arange(n)
    while True:  # loops that are coupled belong together
        lowest = group.copy()
        np.minimum.at(lowest, a.out_loop, group[origin])
        np.minimum.at(lowest, origin, group[a.out_loop])
        if (lowest == group).all():
            break
        group = lowest
    for j in range(k):  # so does a refractory dendrite
        if a.refractory_detector[j] >= 0:
            assert group[a.det_loop[a.refractory_detector[j]]] == group[a.soma[j]]
    group = np.unique(group, return_inverse=True)[1]
    det_group = group[a.det_loop]
    assert (np.bincount(group[a.soma]) <= 1).all(), "a group of loops has two somas"
    late = np.repeat(a.latency_fs, np.diff(a.guide_start))

    def starts(owner: np.ndarray, length: int) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=length))])

    groups = int(group.max()) + 1
    return Model(
        plan.sources,
        a.row,
        a.ib,
        1.0 / (plan.tau_0 * a.beta),
        1.0 / a.tau,
        a.offset,
        a.threshold,
        a.neuron,
        a.t_ref_fs * 1e-6,
        starts(a.out_loop, n),
        origin[order],
        a.out_J[order],
        a.det_loop,
        a.det_weight,
        a.det_level,
        a.det_tau_rise,
        a.det_tau_fall,
        a.det_hotspot_fs * 1e-6,
        a.refractory_detector,
        a.guide_start,
        a.guide_detector,
        (late + a.guide_delay_fs) * 1e-6,
        starts(group, groups),
        np.argsort(group, kind="stable"),
        starts(det_group, groups),
        np.argsort(det_group, kind="stable"),
        det_group,
    )


class Solution(NamedTuple):
    spike_time: np.ndarray
    spike_neuron: np.ndarray
    current: np.ndarray  # (samples, watched loops)


# ------------------------------------------------------------------------------------------------------------ detectors


@numba.njit(inline="always")
def flux_later(f: float, hot: float, since: float, to: float, level: float, rise: float, fall: float) -> float:
    """Flux at time ``to`` of a detector whose flux was ``f`` at ``since`` and whose hotspot ends at ``hot``."""
    if hot > since:
        end = to if to < hot else hot
        f = level + (f - level) * math.exp(-(end - since) / rise)
        since = end
    if to > since:
        f *= math.exp(-(to - since) / fall)
    return f


# ------------------------------------------------------------------------------------------------------------ fixed steps


@numba.njit
def all_slopes(m: Model, phi_det: np.ndarray, s: np.ndarray, ready: np.ndarray, t: float, out: np.ndarray) -> None:
    for i in range(s.shape[0]):
        out[i] = 0.0
        if ready[i] <= t:
            phi = m.offset[i] + phi_det[i]
            for c in range(m.in_start[i], m.in_start[i + 1]):
                phi += m.in_J[c] * s[m.in_loop[c]]
            r, _, _, _ = source(m.sources, m.row[i], phi, m.ib[i] - s[i])
            out[i] = r * m.drive[i] - s[i] * m.leak[i]


@numba.njit
def move_detectors(m, f, hot, seen, t0, t1, photon_t, photon_d, cursor, arrival, factor, phi_det):  # type: ignore
    """Bring all detectors from ``t0`` to ``t1``, photons on the way included; ``factor``: their fall in that time."""
    while True:
        t = NEVER
        guide = -1
        if cursor[0] < photon_t.shape[0]:
            t = photon_t[cursor[0]]
        if cursor[1] >= 0 and arrival[cursor[1]] < t:
            guide = cursor[1]
            t = arrival[guide]
        if t > t1:
            break
        if guide >= 0:
            k = m.guide_detector[guide]
            arrival[guide] = NEVER
            next_arrival(arrival, cursor)
        else:
            k = photon_d[cursor[0]]
            cursor[0] += 1
        since = seen[k] if seen[k] > t0 else t0
        if t > since:
            f[k] = flux_later(f[k], hot[k], since, t, m.level[k], m.rise[k], m.fall[k])
            seen[k] = t
        if t >= hot[k]:
            hot[k] = t + m.hotspot[k]
    phi_det[:] = 0.0
    for k in range(f.shape[0]):
        if hot[k] > t0 or seen[k] > t0:
            since = seen[k] if seen[k] > t0 else t0
            f[k] = flux_later(f[k], hot[k], since, t1, m.level[k], m.rise[k], m.fall[k])
        else:
            f[k] *= factor[k]
        phi_det[m.det_loop[k]] += m.weight[k] * f[k]


@numba.njit
def next_arrival(arrival, cursor):  # type: ignore
    cursor[1] = -1
    first = NEVER
    for g in range(arrival.shape[0]):
        if arrival[g] < first:
            first = arrival[g]
            cursor[1] = g


@numba.njit
def march(m, dt, order, steps, photon_t, photon_d, every, watched, room):  # type: ignore
    """``steps`` steps of ``dt`` by Euler's (``order`` 1) or the midpoint method (2); currents of ``watched`` every ``every`` steps."""
    n = m.row.shape[0]
    s = np.zeros(n)
    new = np.zeros(n)
    k1 = np.zeros(n)
    f = np.zeros(m.level.shape[0])
    hot = np.full(f.shape[0], -1.0)
    seen = np.full(f.shape[0], -1.0)
    arrival = np.full(m.guide_detector.shape[0], NEVER)
    ready = np.full(n, -1.0)
    cursor = np.array([0, -1])
    parts = 1 if order == 1 else 2
    factor = np.exp(-dt / parts / m.fall)
    phi_0 = np.zeros(n)
    phi_1 = np.zeros(n)
    phi_2 = np.zeros(n)
    spike_time = np.zeros(room)
    spike_neuron = np.zeros(room, dtype=np.int64)
    current = np.zeros((steps // every, watched.shape[0]))
    spikes = 0
    move_detectors(m, f, hot, seen, -1.0, 0.0, photon_t, photon_d, cursor, arrival, factor, phi_0)
    for step in range(steps):
        t = step * dt
        end = (step + 1) * dt
        middle = 0.5 * (t + end)
        all_slopes(m, phi_0, s, ready, end, k1)
        if order == 1:
            move_detectors(m, f, hot, seen, t, end, photon_t, photon_d, cursor, arrival, factor, phi_2)
        else:
            move_detectors(m, f, hot, seen, t, middle, photon_t, photon_d, cursor, arrival, factor, phi_1)
            move_detectors(m, f, hot, seen, middle, end, photon_t, photon_d, cursor, arrival, factor, phi_2)
            for i in range(n):
                new[i] = s[i] + 0.5 * dt * k1[i]
            all_slopes(m, phi_1, new, ready, end, k1)
        for i in range(n):
            before = s[i]
            s[i] += dt * k1[i]
            if s[i] < m.threshold[i] or before >= m.threshold[i]:
                continue
            at = t + dt * (m.threshold[i] - before) / (s[i] - before)
            s[i] = 0.0
            ready[i] = at + m.t_ref[i]
            a = m.neuron[i]
            if spikes < room:
                spike_time[spikes] = at
                spike_neuron[spikes] = a
            spikes += 1
            k = m.refractory[a]
            if k >= 0 and hot[k] <= at:
                last = f[k] * math.exp((end - at) / m.fall[k])
                hot[k] = at + m.hotspot[k]
                f[k] = flux_later(last, hot[k], at, end, m.level[k], m.rise[k], m.fall[k])
                phi_2[m.det_loop[k]] += m.weight[k] * (f[k] - last * math.exp(-(end - at) / m.fall[k]))
            for g in range(m.guide_start[a], m.guide_start[a + 1]):
                arrival[g] = at + m.guide_delay[g]
            if m.guide_start[a + 1] > m.guide_start[a]:
                next_arrival(arrival, cursor)
        phi_0, phi_2 = phi_2, phi_0
        if (step + 1) % every == 0:
            for j in range(watched.shape[0]):
                current[(step + 1) // every - 1, j] = s[watched[j]]
    return spike_time, spike_neuron, spikes, current


def stepped(
    m: Model, photons: tuple[np.ndarray, np.ndarray], dt: float, order: int, samples: np.ndarray, watched: np.ndarray
) -> Solution:
    """:func:`march` up to the last of ``samples`` (evenly spaced from one spacing on; ``dt`` divides it)."""
    every = round((samples[1] - samples[0]) / dt)
    steps = every * len(samples)
    assert abs(steps * dt - samples[-1]) < 1e-6 * dt * steps
    room = int(len(m.refractory) * (samples[-1] / m.t_ref.max() + 2))
    times, neurons, count, current = march(m, dt, order, steps, *photons, every, watched, room)
    by_time = np.argsort(times[:count], kind="stable")
    return Solution(times[:count][by_time], neurons[:count][by_time], current)


# ------------------------------------------------------------------------------------------------------------ adaptive steps


@numba.njit
def group_slopes(m, loops, place, dets, s, f, hot, since, t, held, out):  # type: ignore
    """ds/dt of a group's loops at time ``t``; its detectors had flux ``f`` at ``since``."""
    n = loops.shape[0]
    for j in range(n):
        i = loops[j]
        phi = m.offset[i]
        for c in range(m.in_start[i], m.in_start[i + 1]):
            phi += m.in_J[c] * s[place[m.in_loop[c]]]
        out[j] = phi
    for k in dets:
        if f[k] != 0.0 or hot[k] > since:
            j = place[m.det_loop[k]]
            out[j] += m.weight[k] * flux_later(f[k], hot[k], since, t, m.level[k], m.rise[k], m.fall[k])
    for j in range(n):
        if j == held:
            out[j] = 0.0
        else:
            i = loops[j]
            r, _, _, _ = source(m.sources, m.row[i], out[j], m.ib[i] - s[j])
            out[j] = r * m.drive[i] - s[j] * m.leak[i]


@numba.njit
def dormand_prince(m, loops, place, dets, s, f, hot, since, t, h, held, k, y):  # type: ignore
    """One step from ``s`` at ``t`` (k[0]: slope there); the result in ``y``, its slope in k[6]; returns the error estimate."""
    n = loops.shape[0]
    for j in range(n):
        y[j] = s[j] + h * k[0, j] / 5.0
    group_slopes(m, loops, place, dets, y, f, hot, since, t + h / 5.0, held, k[1])
    for j in range(n):
        y[j] = s[j] + h * (3.0 / 40.0 * k[0, j] + 9.0 / 40.0 * k[1, j])
    group_slopes(m, loops, place, dets, y, f, hot, since, t + 0.3 * h, held, k[2])
    for j in range(n):
        y[j] = s[j] + h * (44.0 / 45.0 * k[0, j] - 56.0 / 15.0 * k[1, j] + 32.0 / 9.0 * k[2, j])
    group_slopes(m, loops, place, dets, y, f, hot, since, t + 0.8 * h, held, k[3])
    for j in range(n):
        y[j] = s[j] + h * (
            19372.0 / 6561.0 * k[0, j]
            - 25360.0 / 2187.0 * k[1, j]
            + 64448.0 / 6561.0 * k[2, j]
            - 212.0 / 729.0 * k[3, j]
        )
    group_slopes(m, loops, place, dets, y, f, hot, since, t + 8.0 / 9.0 * h, held, k[4])
    for j in range(n):
        y[j] = s[j] + h * (
            9017.0 / 3168.0 * k[0, j]
            - 355.0 / 33.0 * k[1, j]
            + 46732.0 / 5247.0 * k[2, j]
            + 49.0 / 176.0 * k[3, j]
            - 5103.0 / 18656.0 * k[4, j]
        )
    group_slopes(m, loops, place, dets, y, f, hot, since, t + h, held, k[5])
    for j in range(n):
        y[j] = s[j] + h * (
            35.0 / 384.0 * k[0, j]
            + 500.0 / 1113.0 * k[2, j]
            + 125.0 / 192.0 * k[3, j]
            - 2187.0 / 6784.0 * k[4, j]
            + 11.0 / 84.0 * k[5, j]
        )
    group_slopes(m, loops, place, dets, y, f, hot, since, t + h, held, k[6])
    error = 0.0
    for j in range(n):
        miss = h * abs(
            71.0 / 57600.0 * k[0, j]
            - 71.0 / 16695.0 * k[2, j]
            + 71.0 / 1920.0 * k[3, j]
            - 17253.0 / 339200.0 * k[4, j]
            + 22.0 / 525.0 * k[5, j]
            - 1.0 / 40.0 * k[6, j]
        )
        if miss > error:
            error = miss
    return error


@numba.njit
def advance_group(
    m, loops, place, dets, s, f, hot, ready, t, end, photon_t, photon_d, first, last, tol, step, k, y, fired
):  # type: ignore
    """Bring one group from ``t`` to ``end`` with the photons ``first`` to ``last``; returns (spikes, step to try next)."""
    n = loops.shape[0]
    soma = -1
    for j in range(n):
        if m.neuron[loops[j]] >= 0:
            soma = j
    spikes = 0
    fresh = True
    while t < end:
        # The step may reach to the next event.
        stop = end
        if first < last and photon_t[first] < stop:
            stop = photon_t[first]
        for d in dets:
            if t < hot[d] < stop:
                stop = hot[d]
        held = -1
        if soma >= 0 and ready[loops[soma]] > t:
            held = soma
            if ready[loops[soma]] < stop:
                stop = ready[loops[soma]]
        if stop > t:
            if fresh:
                group_slopes(m, loops, place, dets, s, f, hot, t, t, held, k[0])
                fresh = False
            h = stop - t
            cut = True
            if step < h:
                h = step
                cut = False
            error = dormand_prince(m, loops, place, dets, s, f, hot, t, t, h, held, k, y)
            factor = 5.0
            if error > 0.0:
                factor = 0.9 * (tol / error) ** 0.2
            factor = min(5.0, max(0.2, factor))
            if error > tol and h > 1e-7:
                step = h * factor
                continue
            if not cut or h * factor > step:
                step = h * factor
            threshold = NEVER if soma < 0 else m.threshold[loops[soma]]
            fires = soma >= 0 and held < 0 and s[soma] < threshold <= y[soma]
            if fires:  # find the step that ends on the threshold (Illinois), with the result on the far side or exact
                a, fa, b, fb = 0.0, s[soma] - threshold, h, y[soma] - threshold
                for _ in range(60):
                    h = b - fb * (b - a) / (fb - fa)
                    dormand_prince(m, loops, place, dets, s, f, hot, t, t, h, held, k, y)
                    miss = y[soma] - threshold
                    if abs(miss) < 1e-15 or b - a < 1e-11:
                        break
                    if miss * fb < 0.0:
                        a, fa = b, fb
                    else:
                        fa *= 0.5
                    b, fb = h, miss
                cut = False
            new = t + h
            if cut:
                new = stop
            for d in dets:
                f[d] = flux_later(f[d], hot[d], t, new, m.level[d], m.rise[d], m.fall[d])
            for j in range(n):
                s[j] = y[j]
                k[0, j] = k[6, j]
            t = new
            if fires:
                s[soma] = 0.0
                i = loops[soma]
                ready[i] = t + m.t_ref[i]
                fired[spikes] = t
                spikes += 1
                d = m.refractory[m.neuron[i]]
                if d >= 0 and t >= hot[d]:
                    hot[d] = t + m.hotspot[d]
                fresh = True
                step = min(step, 0.01)
            if cut:
                fresh = True
                step = max(step, 1e-3)
        while first < last and photon_t[first] <= t:
            d = photon_d[first]
            first += 1
            if t >= hot[d]:
                hot[d] = t + m.hotspot[d]
                step = min(step, 0.01)
            fresh = True
    return spikes, step


def tight(
    m: Model, photons: tuple[np.ndarray, np.ndarray], samples: np.ndarray, watched: np.ndarray, tol: float
) -> Solution:
    """Solve with local errors below ``tol``; groups take turns of the shortest waveguide's length."""
    n, groups = len(m.row), len(m.group_start) - 1
    by_group = np.argsort(m.det_group[photons[1]], kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(m.det_group[photons[1]], minlength=groups))])
    queue_t = [photons[0][by_group[start[g] : start[g + 1]]] for g in range(groups)]
    queue_d = [photons[1][by_group[start[g] : start[g + 1]]] for g in range(groups)]
    cursor = np.zeros(groups, dtype=np.int64)
    turn = min(float(m.guide_delay.min(initial=NEVER)), float(samples[1] - samples[0]))
    place = np.zeros(n, dtype=np.int64)
    s, f = [], np.zeros(len(m.level))
    hot, ready, steps = np.full(len(f), -1.0), np.full(n, -1.0), np.full(groups, 0.01)
    loops = [m.group_loop[m.group_start[g] : m.group_start[g + 1]] for g in range(groups)]
    dets = [m.own[m.own_start[g] : m.own_start[g + 1]] for g in range(groups)]
    for g in range(groups):
        place[loops[g]] = np.arange(len(loops[g]))
        s.append(np.zeros(len(loops[g])))
    most = max(map(len, loops))
    k, y, fired = np.zeros((7, most)), np.zeros(most), np.zeros(10_000)
    home = np.zeros(n, dtype=np.int64)
    for g in range(groups):
        home[loops[g]] = g
    current = np.zeros((len(samples), len(watched)))
    spike_time, spike_neuron = [], []
    t, sample = 0.0, 0
    while sample < len(samples):
        end = min(samples[sample], t + turn)
        if samples[sample] - end < 1e-9:
            end = samples[sample]
        sent: list[tuple[int, float, int]] = []
        for g in range(groups):
            last = int(np.searchsorted(queue_t[g], end, side="right"))
            count, steps[g] = advance_group(
                m, loops[g], place, dets[g], s[g], f, hot, ready, t, end, queue_t[g], queue_d[g], cursor[g], last, tol,
                steps[g], k[:, : len(loops[g])], y, fired,
            )  # fmt: skip
            cursor[g] = last
            if count:
                a = int(max(m.neuron[loops[g]]))
                for at in fired[:count]:
                    spike_time.append(at)
                    spike_neuron.append(a)
                    for w in range(m.guide_start[a], m.guide_start[a + 1]):
                        sent.append((int(m.guide_detector[w]), at + m.guide_delay[w], w))
        for d, at, _ in sent:
            g = int(m.det_group[d])
            where = max(int(np.searchsorted(queue_t[g], at, side="right")), int(cursor[g]))
            queue_t[g] = np.insert(queue_t[g], where, at)
            queue_d[g] = np.insert(queue_d[g], where, d)
        t = end
        if end == samples[sample]:
            current[sample] = [s[home[i]][place[i]] for i in watched]
            sample += 1
    times, neurons = np.array(spike_time, dtype=float), np.array(spike_neuron, dtype=np.int64)
    by_time = np.argsort(times, kind="stable")
    return Solution(times[by_time], neurons[by_time], current)


def scipy_neuron(
    m: Model,
    group: int,
    photons: tuple[np.ndarray, np.ndarray],
    samples: np.ndarray,
    watched: np.ndarray,
    method: str,
    tol: float,
) -> Solution:
    """Solve one group, given all photons that come to it, by ``scipy.integrate.solve_ivp``; ``tol``: its rtol and atol."""
    from scipy.integrate import solve_ivp

    loops = m.group_loop[m.group_start[group] : m.group_start[group + 1]]
    dets = m.own[m.own_start[group] : m.own_start[group + 1]]
    place = np.zeros(len(m.row), dtype=np.int64)
    place[loops] = np.arange(len(loops))
    soma = int(np.argmax(m.neuron[loops]))
    i = loops[soma]
    photon_t, photon_d = photons
    s, f, hot = np.zeros(len(loops)), np.zeros(len(m.level)), np.full(len(m.level), -1.0)
    out = np.zeros(len(loops))
    t, ready, first, spikes = 0.0, -1.0, 0, []
    current, sample = np.zeros((len(samples), len(watched))), 0
    rows = place[watched]

    while sample < len(samples):
        while first < len(photon_t) and photon_t[first] <= t:
            if t >= hot[photon_d[first]]:
                hot[photon_d[first]] = t + m.hotspot[photon_d[first]]
            first += 1
        stop = samples[-1]
        if first < len(photon_t):
            stop = min(stop, photon_t[first])
        later = hot[dets][hot[dets] > t]
        stop = min(stop, later.min(initial=NEVER), ready if ready > t else NEVER)
        held = soma if ready > t else -1

        def rhs(x: float, y: np.ndarray, t: float = t, held: int = held) -> np.ndarray:
            group_slopes(m, loops, place, dets, y, f, hot, t, x, held, out)
            return out.copy()

        def crossing(x: float, y: np.ndarray) -> float:
            return y[soma] - m.threshold[i]

        crossing.terminal, crossing.direction = True, 1.0  # type: ignore[attr-defined]
        inside = samples[(samples > t) & (samples <= stop)]
        done = solve_ivp(
            rhs, (t, stop), s, method=method, rtol=tol, atol=tol, events=crossing if held < 0 else None,
            t_eval=np.unique(np.append(inside, stop)), first_step=min(1e-3, 0.5 * (stop - t)),
        )  # fmt: skip
        fires = done.status == 1
        new = float(done.t_events[0][0]) if fires else stop
        reached = inside[inside <= new]
        if len(reached):
            current[sample : sample + len(reached)] = done.y[rows, : len(reached)].T
            sample += len(reached)
        s = done.y_events[0][0].copy() if fires else done.y[:, -1].copy()
        for d in dets:
            f[d] = flux_later(f[d], hot[d], t, new, m.level[d], m.rise[d], m.fall[d])
        t = new
        if fires:
            spikes.append(t)
            s[soma] = 0.0
            ready = t + m.t_ref[i]
            d = m.refractory[m.neuron[i]]
            if d >= 0 and t >= hot[d]:
                hot[d] = t + m.hotspot[d]
    return Solution(np.array(spikes), np.full(len(spikes), m.neuron[i]), current)
