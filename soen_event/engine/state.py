"""Everything that changes while a network runs, as flat arrays: what a checkpoint holds and both engines read and write."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from soen_event.physics import loop

if TYPE_CHECKING:
    from soen_event.plan import Plan

# What is counted, in the order of State.counts.
COUNTS = ("events", "fluxons", "photons", "detections", "lost_hotspot", "lost_dead", "lost_efficiency", "spikes", "hotspot_ends",
          "kicks", "steps", "wakes")
(EVENTS, FLUXONS, PHOTONS_IN, DETECTIONS, LOST_HOTSPOT, LOST_DEAD, LOST_EFFICIENCY, SPIKES, HOTSPOT_ENDS, KICKS, STEPS,
 WAKES) = range(len(COUNTS))

# Order of events at one time, the second part of an event's key.
KICK, HOTSPOT_END, PHOTON, LOOP = 0, 1, 2, 3
PHASE_SHIFT, TARGET_SHIFT = 58, 29  # key = phase << 58 | target << 29 | source, so targets and sources stay below 2^29
FOREVER = 2**62  # fs


class State(NamedTuple):
    """n loops, m detectors, k neurons, q modes. Times int64 fs; ``since`` is the time up to which a loop has been advanced."""

    # loops
    since: np.ndarray
    mode: np.ndarray  # SLEEP, REST, RUN or HELD
    q: np.ndarray  # sum of decayed quanta, I_c
    leak: np.ndarray  # leak of the phase, rad
    psi: np.ndarray  # phase within the turn, rad
    z: np.ndarray  # saddle-node coordinate
    theta: np.ndarray  # phase since the last fluxon, rad
    rate: np.ndarray  # dtheta/dt, rad/ns
    curve: np.ndarray  # d2theta/dt2
    u: np.ndarray  # distance above threshold when last looked at
    u_slope: np.ndarray  # 1/ns
    gain: np.ndarray
    base: np.ndarray  # flux that stays: offset and hotspots
    ext: np.ndarray
    ext_slope: np.ndarray
    ext_arm: np.ndarray
    ext_arm_slope: np.ndarray
    hot: np.ndarray  # number of hotspots on the loop
    next_fs: np.ndarray
    next_kind: np.ndarray
    armed: np.ndarray
    ready_fs: np.ndarray  # end of the absolute refractory time
    fluxons: np.ndarray  # count since the start
    slip_loss: np.ndarray  # energy dissipated in junctions, I_c Phi0/2pi
    leak_loss: np.ndarray
    purge_loss: np.ndarray
    amplitude: np.ndarray  # (q,) flux of every mode at ``since``
    mode_hot: np.ndarray  # (q,) hotspots that rise through this mode
    # detectors
    flux: np.ndarray  # own flux over weight at ``seen_fs``
    seen_fs: np.ndarray
    in_hotspot: np.ndarray
    dead_fs: np.ndarray
    arrived: np.ndarray  # photons so far, ordinal of the next draw
    det_weight: np.ndarray  # a copy of the plan's: may be reprogrammed
    out_J: np.ndarray
    # neurons
    spikes: np.ndarray
    # travelling photons and hotspot ends: a binary heap of ``cursor[2]`` entries
    heap_fs: np.ndarray
    heap_key: np.ndarray
    heap_ordinal: np.ndarray
    # indexed heap of loops
    queue: np.ndarray
    queue_place: np.ndarray
    cursor: np.ndarray  # next kick, next stimulus photon, heap size, length of the loop queue, time of the last event
    counts: np.ndarray


NEXT_KICK, NEXT_PHOTON, HEAP_SIZE, QUEUE_SIZE, NOW = range(5)


def fresh(plan: Plan) -> State:
    """State of a network that has rested for ever, at time 0. The engines plan the first event of every loop themselves."""
    a = plan.arrays
    n, m, k, modes = len(a.row), len(a.det_loop), len(a.soma), len(a.mode_tau)

    def zeros(length: int) -> np.ndarray:
        return np.zeros(length)

    def ints(length: int, value: int = 0) -> np.ndarray:
        return np.full(length, value, dtype=np.int64)

    return State(
        since=ints(n), mode=ints(n, loop.SLEEP), q=zeros(n), leak=zeros(n), psi=zeros(n), z=zeros(n), theta=zeros(n), rate=zeros(n),
        curve=zeros(n), u=zeros(n), u_slope=zeros(n), gain=zeros(n), base=a.offset.copy(), ext=zeros(n), ext_slope=zeros(n),
        ext_arm=zeros(n), ext_arm_slope=zeros(n), hot=ints(n), next_fs=ints(n, FOREVER), next_kind=ints(n, loop.NOTHING),
        armed=ints(n, 1), ready_fs=ints(n), fluxons=ints(n), slip_loss=zeros(n), leak_loss=zeros(n), purge_loss=zeros(n),
        amplitude=zeros(modes), mode_hot=ints(modes), flux=zeros(m), seen_fs=ints(m), in_hotspot=ints(m), dead_fs=ints(m),
        arrived=ints(m), det_weight=a.det_weight.copy(), out_J=a.out_J.copy(), spikes=ints(k), heap_fs=ints(64), heap_key=ints(64),
        heap_ordinal=ints(64), queue=np.arange(n, dtype=np.int64), queue_place=np.arange(n, dtype=np.int64),
        cursor=np.array([0, 0, 0, n, -1], dtype=np.int64), counts=ints(len(COUNTS)),
    )


def copied(state: State) -> State:
    return State(*(column.copy() for column in state))
