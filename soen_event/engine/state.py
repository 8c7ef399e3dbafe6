"""What the engines run on: a Plan as records, and everything that changes while a network runs, as flat arrays.

A checkpoint holds a :class:`State` and nothing else that changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from soen_event.physics import loop
from soen_event.physics.source import Sources

if TYPE_CHECKING:
    from soen_event.plan import Plan

# What is counted, in the order of State.counts.
COUNTS = (
    "events",
    "fluxons",
    "photons",
    "detections",
    "lost_hotspot",
    "lost_dead",
    "lost_efficiency",
    "spikes",
    "hotspot_ends",
    "kicks",
    "steps",
    "wakes",
)
(
    EVENTS,
    FLUXONS,
    PHOTONS_IN,
    DETECTIONS,
    LOST_HOTSPOT,
    LOST_DEAD,
    LOST_EFFICIENCY,
    SPIKES,
    HOTSPOT_ENDS,
    KICKS,
    STEPS,
    WAKES,
) = range(len(COUNTS))

# Order of events at one time, the first part of an event's key: phase << 58 | target << 29 | source.
KICK, HOTSPOT_END, PHOTON, LOOP = 0, 1, 2, 3
NO_KEY = 2**62
PHASE_SHIFT, TARGET_SHIFT, PLACE_MASK = 58, 29, 0x1FFFFFFF
FOREVER = 2**62  # fs

# Fate of a photon.
DETECTED, IN_HOTSPOT, IN_DEAD_TIME, MISSED = range(4)

LOOP_PLAN = [
    ("flow", "i8"),
    ("group", "i8"),
    ("neuron", "i8"),
    ("mode_start", "i8"),
    ("mode_stop", "i8"),
    ("in_start", "i8"),
    ("in_stop", "i8"),
    ("out_start", "i8"),
    ("out_stop", "i8"),
    ("tau", "f8"),
    ("beta", "f8"),
    ("low", "f8"),
    ("high", "f8"),
    ("offset", "f8"),
    ("own", "f8"),
    ("slack", "f8"),
    ("row", "i8"),
    ("ib", "f8"),
    ("quantum", "f8"),
    ("rest_origin", "f8"),
    ("threshold", "f8"),
    ("purge", "i8"),
    ("t_ref_fs", "i8"),
    ("ring", "i8"),
    ("warm", "i8"),
    ("key", "i8"),
    ("enter_start", "i8"),
    ("enter_own", "i8"),
    ("enter_stop", "i8"),
    ("reach_start", "i8"),
    ("reach_stop", "i8"),
    ("hears_start", "i8"),  # sites that learn from its fluxons
    ("hears_stop", "i8"),
    ("watched", "i8"),  # 1: the areas under its current and its flux are kept
]
_RANGES = ("mode", "out", "in", "enter", "reach")
DETECTOR_PLAN = [
    ("loop", "i8"),
    ("group", "i8"),
    ("fall", "i8"),
    ("rise", "i8"),
    ("level", "f8"),
    ("peak", "f8"),
    ("tau_rise", "f8"),
    ("tau_fall", "f8"),
    ("hotspot_fs", "i8"),
    ("efficiency", "f8"),
    ("recovers", "i8"),
    ("restarts", "i8"),
    ("dead_fs", "i8"),
    ("key", "i8"),
    ("site", "i8"),  # the site that learns from its detections; -1: none
]
NEURON_PLAN = [
    ("soma", "i8"),
    ("refractory_detector", "i8"),
    ("emission", "i8"),
    ("latency_fs", "i8"),
    ("tau_rad", "f8"),
    ("guide_start", "i8"),
    ("guide_stop", "i8"),
    ("site_start", "i8"),  # sites that learn from its spikes
    ("site_stop", "i8"),
]
GUIDE_PLAN = [
    ("neuron", "i8"),
    ("detector", "i8"),
    ("delay_fs", "i8"),
    ("photons", "f8"),
    ("passes", "f8"),
    ("drawn", "i8"),
    ("key", "i8"),
]
KICK_PLAN = [
    ("fs", "i8"),
    ("loop", "i8"),
    ("kind", "i8"),
    ("x", "f8"),
    ("y", "f8"),
    ("fall", "i8"),
    ("rise", "i8"),
    ("arm", "i8"),
]

# A site is where a rule of learning changes something: a synapse's weight, a loop's flux offset, a coupling.
SITE_PLAN = [
    ("kind", "i8"),  # AT_WEIGHT, AT_OFFSET or AT_COUPLING
    ("place", "i8"),  # its detector, loop or coupling
    ("loop", "i8"),  # the loop that it belongs to: of a coupling the one that it comes from
    ("post", "i8"),  # the loop behind it: the soma of its neuron, or the target of a coupling
    ("parent", "i8"),  # the only loop that ``loop`` couples into; -1: none, or several
    ("neuron", "i8"),  # whose spikes it learns from; -1: none
    ("rule", "i8"),
    ("start", "i8"),  # its values in State.sites
    ("key", "i8"),  # address of its random draws
    ("low", "f8"),
    ("high", "f8"),
    ("step", "f8"),  # between two levels of its memory; 0: any value
    ("rounding", "i8"),
    ("gain", "f8"),  # what the value does in the network over what its memory holds
]
RULE_PLAN = [
    ("on_detection", "i8"),  # functions, see fetch.invoke; 0: none
    ("on_spike", "i8"),
    ("on_fluxon", "i8"),
    ("start", "i8"),  # its parameters in State.rule_values
    ("decay_start", "i8"),  # of its variables: the parameters that are their time constants, in Records.decay
    ("decay_stop", "i8"),
    ("reads", "i8"),  # CURRENTS, AREAS, PARENT
    ("norm", "f8"),  # largest root of the sum of squares over a neuron's sites; 0: any
]
AT_WEIGHT, AT_OFFSET, AT_COUPLING = range(3)
CURRENTS, AREAS, PARENT = 1, 2, 4
# Values of a site; a rule's own variables follow.
SITE_VALUES = (
    "weight",
    "change",
    "current",
    "post_current",
    "signal",
    "now",
    "current_area",
    "flux_area",
    "parent_area",
    "hidden",
    "asked",
    "writes",
    "moved",
    "lost",
)
(
    V_WEIGHT,
    V_CHANGE,
    V_CURRENT,
    V_POST_CURRENT,
    V_SIGNAL,
    V_NOW,
    V_CURRENT_AREA,
    V_FLUX_AREA,
    V_PARENT_AREA,
    V_HIDDEN,
    V_ASKED,
    V_WRITES,
    V_MOVED,
    V_LOST,
) = range(len(SITE_VALUES))
# Parameters of a rule that every rule has; its own follow.
RULE_VALUES = ("rate", "clip", "begins", "ends")
R_RATE, R_CLIP, R_BEGINS, R_ENDS = range(len(RULE_VALUES))

LOOP_STATE = [
    ("since", "i8"),  # fs up to which the loop has been advanced
    ("mode", "i8"),  # SLEEP, REST, RUN or HELD
    ("q", "f8"),  # sum of decayed quanta, I_c
    ("leak_loss", "f8"),
    ("err", "f8"),  # bound of the error of q, how fast the present step adds to it, and how fast it fades (1/ns)
    ("room", "f8"),  # asleep: flux that may still come in before it can wake; 0: not known
    ("steady", "f8"),  # flux that stays: offset and hotspots
    ("ext", "f8"),  # external flux of corners, its slope, and the parts of both that thread one arm
    ("ext_slope", "f8"),
    ("arm", "f8"),
    ("arm_slope", "f8"),
    ("hot", "i8"),  # number of hotspots on the loop
    ("next_kind", "i8"),
    # 1: the loops that it couples to read its current from the cubic given out at ``out_fs``, good to ``out_end``
    ("awake", "i8"),
    ("ready_fs", "i8"),  # end of the absolute refractory time
    ("in0", "f8"),  # flux that flowing loops couple in: a cubic of the time since ``since``
    ("in1", "f8"),
    ("in2", "f8"),
    ("in3", "f8"),
    ("leak", "f8"),  # leak of the phase, rad
    ("psi", "f8"),  # phase within the turn, rad
    (
        "shown",
        "f8",
    ),  # the phase that the loops it couples to have been told of, and the current that it makes for them, I_c
    ("phase_out", "f8"),
    (
        "late",
        "f8",
    ),  # rad by which a turn's slip comes before its end, and the phase's mean behind that of the bottleneck
    ("lag", "f8"),
    ("z", "f8"),  # saddle-node coordinate, 1/tau_0
    ("theta", "f8"),  # phase of the turn, rad: pi at its bottleneck (warm or flowing: since the last fluxon)
    ("rate", "f8"),  # dtheta/dt, rad/ns
    ("curve", "f8"),  # d2theta/dt2
    ("u", "f8"),  # distance above threshold when last looked at
    ("u_slope", "f8"),  # 1/ns
    ("gain", "f8"),  # of the saddle-node
    # Phase at which the turn began; warm: at which it ends, the draw that says so, Fano factor now, its integral over theta.
    ("turn", "f8"),
    ("luck", "f8"),
    ("fano", "f8"),
    ("spread", "f8"),
    ("first", "i8"),  # 1: it has just begun to turn
    ("armed", "i8"),
    ("fluxons", "i8"),  # count since the start
    ("slip_loss", "f8"),  # energy dissipated, I_c Phi0/2pi
    ("purge_loss", "f8"),
    # a flowing loop only
    ("c1", "f8"),  # its current is the cubic q + c1 t + c2 t^2 + c3 t^3 of the time since ``since``
    ("c2", "f8"),
    ("c3", "f8"),
    ("h", "f8"),  # ns, length to try for the next step, and length of the last one
    ("step", "f8"),
    ("end_fs", "i8"),  # end of the present step
    ("err_rate", "f8"),
    ("fade", "f8"),
    ("out_fs", "i8"),
    ("out_end", "i8"),
    ("out0", "f8"),
    ("out1", "f8"),
    ("out2", "f8"),
    ("out3", "f8"),
    ("out_top", "f8"),  # bound of the magnitude of what was given out last, while awake
    ("current_area", "f8"),  # of a watched loop: the integrals of its current and its flux up to ``since``, ns
    ("flux_area", "f8"),
]
DETECTOR_STATE = [
    ("flux", "f8"),  # own flux over weight at ``seen_fs``
    ("seen_fs", "i8"),
    ("in_hotspot", "i8"),
    ("dead_fs", "i8"),
    ("arrived", "i8"),  # photons so far: the ordinal of the next draw
    ("weight", "f8"),  # may be reprogrammed
]


class Records(NamedTuple):
    """A Plan as the compiled engine reads it: one record a part, so that a loop's numbers lie together in memory."""

    loops: np.ndarray
    mode_tau: np.ndarray
    mode_arm: np.ndarray
    out_loop: np.ndarray
    out_mode: np.ndarray
    # Couplings from flowing loops by target: the loop that they come from, and their place among all couplings.
    in_loop: np.ndarray
    in_coupling: np.ndarray
    enter_mode: np.ndarray  # what a quantum adds where loops load each other, see Plan
    enter_coupling: np.ndarray
    enter_value: np.ndarray
    reach_loop: np.ndarray
    detectors: np.ndarray
    neurons: np.ndarray
    guides: np.ndarray
    kicks: np.ndarray
    group_start: np.ndarray  # connected sets of loops: where each begins in ``group_member``
    group_member: np.ndarray
    sites: np.ndarray  # sites of learning by neuron, then loop; their rules
    rules: np.ndarray
    decay: np.ndarray
    sources: Sources


class State(NamedTuple):
    """n loops, m detectors, k neurons, q modes. Times are int64 fs."""

    loops: np.ndarray
    next_fs: np.ndarray  # (n,) time of every loop's own next event
    amplitude: np.ndarray  # (q,) flux of every mode at its loop's ``since``
    mode_hot: np.ndarray  # (q,) hotspots that rise through this mode
    detectors: np.ndarray
    out_J: np.ndarray  # couplings, may be reprogrammed
    sites: (
        np.ndarray
    )  # values of all sites of learning (SITE_VALUES and a rule's own variables), one site after another
    site_fs: np.ndarray  # up to when the variables of a site have decayed
    rule_values: np.ndarray  # parameters of the rules (RULE_VALUES and their own)
    spikes: np.ndarray  # (k,) counts
    heap_fs: np.ndarray  # travelling spikes, each as its next arrival: a binary heap of ``cursor[HEAP_SIZE]`` entries
    heap_key: np.ndarray
    heap_ordinal: np.ndarray
    cursor: np.ndarray
    counts: np.ndarray


NEXT_KICK, NEXT_PHOTON, HEAP_SIZE, NOW = range(4)


def _records(fields: list[tuple[str, str]], columns: dict[str, np.ndarray]) -> np.ndarray:
    table = np.zeros(len(next(iter(columns.values()))), dtype=np.dtype(fields)).view(np.recarray)
    given = [name for name, _ in fields if name in columns]
    for first in range(0, len(table), 1 << 12):  # some records at a time stay in cache
        rows = slice(first, first + (1 << 12))
        for name in given:
            table[name][rows] = columns[name][rows]
    return table


def _sets(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    member = np.argsort(group, kind="stable").astype(np.int64)
    return np.concatenate([[0], np.cumsum(np.bincount(group))]).astype(np.int64), member


def packed(plan: Plan) -> Records:
    """The Plan's columns as records."""
    a, learning = plan.arrays, plan.learning
    loops = _records(
        LOOP_PLAN,
        {
            **{name: getattr(a, name) for name, _ in LOOP_PLAN if name in a._fields},
            **{f"{name}_start": getattr(a, f"{name}_start")[:-1] for name in _RANGES},
            **{f"{name}_stop": getattr(a, f"{name}_start")[1:] for name in _RANGES},
            **learning.of_loops,
        },
    )
    detectors = _records(
        DETECTOR_PLAN,
        {
            **{name: getattr(a, f"det_{name}") for name, _ in DETECTOR_PLAN if name not in ("group", "site")},
            "group": a.group[a.det_loop],
            "site": learning.of_detectors,
        },
    )
    neurons = _records(
        NEURON_PLAN,
        {
            **{name: getattr(a, name) for name in ("soma", "refractory_detector", "emission", "latency_fs", "tau_rad")},
            "guide_start": a.guide_start[:-1],
            "guide_stop": a.guide_start[1:],
            "site_start": learning.of_neurons[:-1],
            "site_stop": learning.of_neurons[1:],
        },
    )
    guides = _records(
        GUIDE_PLAN,
        {
            "neuron": np.repeat(np.arange(len(a.soma)), np.diff(a.guide_start)),
            "detector": a.guide_detector,
            "delay_fs": a.guide_delay_fs,
            "photons": a.guide_mean,
            "passes": a.guide_pass,
            "drawn": a.guide_drawn,
            "key": a.guide_key,
        },
    )
    kicks = _records(KICK_PLAN, {name: getattr(a, f"kick_{name}") for name, _ in KICK_PLAN})
    return Records(
        loops,
        a.mode_tau,
        a.mode_arm,
        a.out_loop,
        a.out_mode,
        a.in_loop,
        a.in_coupling,
        a.enter_mode,
        a.enter_coupling,
        a.enter_value,
        a.reach_loop,
        detectors,
        neurons,
        guides,
        kicks,
        *_sets(a.group),
        learning.sites,
        learning.rules.copy(),
        learning.decay,
        plan.sources,
    )


def fresh(plan: Plan) -> State:
    """State of a network that has rested for ever, at time 0. The engines plan the first event of every loop themselves."""
    a = plan.arrays
    n, k = len(a.row), len(a.soma)

    def ints(length: int, value: int = 0) -> np.ndarray:
        return np.full(length, value, dtype=np.int64)

    return State(
        loops=_records(
            LOOP_STATE,
            {"steady": a.offset, "mode": ints(n, loop.SLEEP), "armed": ints(n, 1), "next_kind": ints(n, loop.NOTHING)},
        ),
        next_fs=ints(n, FOREVER),
        amplitude=np.zeros(len(a.mode_tau)),
        mode_hot=ints(len(a.mode_tau)),
        detectors=_records(DETECTOR_STATE, {"weight": a.det_weight}),
        out_J=a.out_J.copy(),
        sites=plan.learning.values.copy(),
        site_fs=ints(len(plan.learning.sites)),
        rule_values=plan.learning.rule_values.copy(),
        spikes=ints(k),
        heap_fs=ints(64),
        heap_key=ints(64),
        heap_ordinal=ints(64),
        cursor=ints(4),
        counts=ints(len(COUNTS)),
    )


def copied(state: State) -> State:
    return State(*(column.copy() for column in state))


def with_more_heap(state: State) -> State:
    """The same state with twice the room for travelling spikes."""
    room = 2 * len(state.heap_fs)
    return state._replace(**{n: np.resize(getattr(state, n), room) for n in ("heap_fs", "heap_key", "heap_ordinal")})


def same(one: State, other: State) -> bool:
    """Equal to the bit, whatever room their heaps have left (heaps are compared as sets of keys)."""
    skip = {"heap_fs", "heap_key", "heap_ordinal"}
    for name, x, y in zip(State._fields, one, other, strict=True):
        if name not in skip and x.tobytes() != y.tobytes():
            return False

    def entries(state: State) -> list[tuple]:
        size = int(state.cursor[HEAP_SIZE])
        return sorted(
            zip(
                state.heap_fs[:size].tolist(),
                state.heap_key[:size].tolist(),
                state.heap_ordinal[:size].tolist(),
                strict=True,
            )
        )

    return entries(one) == entries(other)
