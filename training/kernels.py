"""What every loop of the twin does in one step, forward and back; compiled, since it is nearly all of the twin's time.

Arrays are (batch, loops). The source function is that of the engines (:func:`soen_event.physics.source.source_at`).
"""

from __future__ import annotations

from typing import Any

from soen_event.physics.source import source_at

FREE, MAY = 1, 2  # bits of ``flags``: the loop is not held after a spike; it may spike


def implicit(
    c: float, gain: float, phi: float, ib: float, row: int, tol: float, shape: Any, scale: Any, cells: Any, levels: Any
) -> tuple:
    """The current x = c + gain g(phi, ib - x) to ``tol``, and g's derivatives there: (x, dg/dphi, dg/di).

    g grows with its current, so there is one solution; Newton's steps from c come down on it from above, but near the onset.
    """
    r, g_phi, g_i, u, _, _ = source_at(shape, scale, cells, levels, row, phi, ib - c)
    if u <= 0.0 or r <= 0.0:
        return c, 0.0, 0.0
    low = c
    high = c + gain * r
    x = c + gain * r / (1.0 + gain * g_i)
    for _ in range(80):
        r, g_phi, g_i, u, _, _ = source_at(shape, scale, cells, levels, row, phi, ib - x)
        off = x - c - gain * r
        if off > 0.0:
            high = x
        else:
            low = x
        change = off / (1.0 + gain * g_i)
        if abs(change) <= tol and r > 0.0:
            return x - change, g_phi, g_i
        new = x - change
        if u <= 0.0 or new <= low or new >= high:
            new = 0.5 * (low + high)
        if high - low <= 1.0e-15 or new == x:
            break
        x = new
    return x, g_phi, g_i


def step(
    s: Any,
    phi: Any,
    held: Any,
    armed: Any,
    ib: Any,
    row: Any,
    keep: Any,
    gain: Any,
    threshold: Any,
    rearm: Any,
    purge: Any,
    pause: Any,
    tol: float,
    shape: Any,
    scale: Any,
    cells: Any,
    levels: Any,
    before: Any,
    after: Any,
    g_phi: Any,
    g_i: Any,
    spikes: Any,
    flags: Any,
) -> None:
    """One step of every loop: s' = keep s + gain g(phi, ib - s'), and a spike where s' reaches the threshold of an armed soma.

    ``before``: s', ``after``: the same with purged somas emptied. ``held``: steps for which a soma is still held; ``armed``: 1 if its
    current has been below ``rearm`` since its last spike; both are changed. ``pause``: steps of the absolute refractory time.
    """
    for b in range(s.shape[0]):
        for j in range(s.shape[1]):
            flag = 0
            now = 0.0
            slope_phi = 0.0
            slope_i = 0.0
            waits = held[b, j]
            if waits > 0:
                held[b, j] = waits - 1
            if waits == 0 or purge[j] == 0:
                now, slope_phi, slope_i = implicit(
                    keep[j] * s[b, j], gain[j], phi[b, j], ib[j], row[j], tol, shape, scale, cells, levels
                )
                flag = FREE
            before[b, j] = now
            spike = 0.0
            if now < rearm[j]:
                armed[b, j] = 1
            if armed[b, j] == 1 and flag == FREE:
                if waits == 0:
                    flag = FREE | MAY
                if now >= threshold[j]:
                    armed[b, j] = 0
                    if waits == 0:
                        spike = 1.0
                        held[b, j] = pause[j]
                        if purge[j] == 1:
                            now = 0.0
                            armed[b, j] = 1
            after[b, j] = now
            g_phi[b, j] = slope_phi
            g_i[b, j] = slope_i
            spikes[b, j] = spike
            flags[b, j] = flag


def back(
    after: Any,
    before: Any,
    spike_slope: Any,
    spikes: Any,
    to_spikes: Any,
    g_phi: Any,
    g_i: Any,
    flags: Any,
    keep: Any,
    gain: Any,
    purge: Any,
    to_phi: Any,
    to_s: Any,
    to_before: Any,
    to_v: Any,
) -> None:
    """One step of :func:`step`, backwards.

    ``after``: gradient by the current after the step; ``to_spikes``: by the spikes; ``spike_slope``: derivative of a spike by its current.
    Returned: by flux, by the current before the step (but for what couplings add), by what s' is made of, and by the threshold's distance.
    """
    for b in range(after.shape[0]):
        for j in range(after.shape[1]):
            flag = flags[b, j]
            pull = after[b, j]
            to_z = to_spikes[b, j]
            if purge[j] == 1:
                to_z -= before[b, j] * pull
                pull *= 1.0 - spikes[b, j]
            moved = 0.0
            if flag & MAY:
                moved = spike_slope[b, j] * to_z
            to_v[b, j] = moved
            pull += moved
            if flag & FREE:
                pull /= 1.0 + gain[j] * g_i[b, j]
                to_phi[b, j] = gain[j] * pull * g_phi[b, j]
                to_s[b, j] = keep[j] * pull
                to_before[b, j] = pull
            else:
                to_phi[b, j] = 0.0
                to_s[b, j] = 0.0
                to_before[b, j] = 0.0
