"""The Plan: a network lowered to flat arrays. The one contract between the graph and everything that computes.

Order is by id (byte order of the strings), never by insertion, so a network declared in any order gives the same Plan. Times that the
engines compare are int64 femtoseconds (columns ``*_fs``); the rest is in ns, Phi0 and I_c.

*Loops* are all integration loops: dendrites, somas (``<neuron>.soma``) and refractory dendrites (``<neuron>.refractory``).
*Detectors* are all synapses, with ``<neuron>.refractory.synapse`` for the detector that a soma's own spike drives.
A *mode* of a loop is one exponential in its flux; inputs with the same time constant share it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from soen_event.errors import InputError, nearest
from soen_event.learning import Learning, nothing_learns
from soen_event.physics import inductance, loop, squid, thermal
from soen_event.physics import source as source_function
from soen_event.physics.detector import pulse_level
from soen_event.physics.random import part_key
from soen_event.physics.source import Sources
from soen_event.physics.transmitter import mean_detected_photons, source_constants
from soen_event.units import Phi0, ns_to_fs

if TYPE_CHECKING:
    from soen_event.device import Device
    from soen_event.network import Network
    from soen_event.parts import Drive
    from soen_event.tiled import TiledNetwork

NO_THRESHOLD = 1.0e300
HOTTEST = 20.0  # K
LONGEST_WAY = 2**60  # fs (19 minutes); later than any run ends, and two of them and the clock still fit 63 bits
DARK, DETERMINISTIC, PHOTONS = 0, 1, 2  # emission of a neuron
PULSE, CORNER, QUANTA = 0, 1, 2  # kinds of kick


class Arrays(NamedTuple):
    """Columns of a Plan. n loops, m detectors, k neurons; ``*_start`` are offsets of length n + 1 into the next columns."""

    # loops
    row: np.ndarray  # int64 (n,), row of Sources; of a warm loop the first of two
    ib: np.ndarray  # bias, I_c
    beta: np.ndarray  # beta_eff = 2 pi L I_c/Phi0 + beta_1 beta_2/(beta_1 + beta_2)
    tau: np.ndarray  # ns, decay of the loop's current
    quantum: np.ndarray  # 2 pi/beta_eff, current of one fluxon
    offset: np.ndarray  # Phi0
    low: np.ndarray  # the loop rests whatever its current while low < phi < high
    high: np.ndarray
    rest_origin: np.ndarray  # static phase at the offset flux: psi is counted from it
    threshold: np.ndarray  # current at which a soma spikes; NO_THRESHOLD for other loops
    neuron: np.ndarray  # int64, neuron of a soma, else -1
    purge: np.ndarray  # int64, 1 if the loop is emptied by a spike
    t_ref_fs: np.ndarray
    mode_start: np.ndarray
    mode_tau: np.ndarray
    mode_arm: (
        np.ndarray
    )  # int64, 1: the flux threads one arm of the SQUID only; 2: it is no flux but a part of the loop's current
    out_start: np.ndarray
    out_loop: np.ndarray  # couplings, sorted by source, target, id
    out_mode: np.ndarray
    out_J: np.ndarray
    in_start: np.ndarray
    in_loop: np.ndarray  # couplings from flowing loops, sorted by target, then as above: the loop that they come from
    in_coupling: np.ndarray  # their places among all couplings
    # int64 (n,), number of the connected set of loops, 0 to the number of sets - 1 in order of first loops
    group: np.ndarray
    ring: np.ndarray  # int64, which circle of flowing loops that couple into each other the loop is part of; -1: none
    flow: np.ndarray  # int64, 1: the loop's current flows (resolution "flow"), 0: every fluxon is an event
    warm: np.ndarray  # int64, 1: the loop's fluxons are events, and thermal: the ends of turns are drawn
    key: np.ndarray  # int64, address of those draws; 0 at 0 K
    own: np.ndarray  # a flowing loop's share of the tolerance for its own steps, and for what it tells others late; I_c
    slack: np.ndarray
    # loops that load each other through a collection loop (physics/inductance.py); B less beta_eff, rows by loop
    stiff: np.ndarray  # (n,) of the collection loop that a loop is coupled to by; 0: none
    load_start: np.ndarray
    load_loop: np.ndarray
    load_B: np.ndarray
    # what one quantum that enters such a loop adds to modes: first to the loop's own current, up to ``enter_own``, then to others'
    # currents, and to fluxes: times the J of ``enter_coupling`` (-1: a current)
    enter_start: np.ndarray
    enter_own: np.ndarray
    enter_mode: np.ndarray
    enter_coupling: np.ndarray
    enter_value: np.ndarray
    reach_start: np.ndarray  # the other loops that this happens to
    reach_loop: np.ndarray
    # detectors
    det_loop: np.ndarray
    det_fall: np.ndarray  # mode of the fall in its loop
    det_rise: np.ndarray
    det_weight: np.ndarray
    det_level: np.ndarray  # flux towards which a hotspot drives, phi_peak (1 - tau_rise/tau_fall)
    det_peak: np.ndarray
    det_tau_rise: np.ndarray
    det_tau_fall: np.ndarray
    det_hotspot_fs: np.ndarray
    det_efficiency: np.ndarray
    det_recovers: np.ndarray  # int64, 1: efficiency follows the recovering bias current
    det_restarts: np.ndarray  # int64, 1: a new pulse forgets the old one instead of saturating
    det_dead_fs: np.ndarray
    det_key: np.ndarray  # int64, address of its random draws
    # neurons
    soma: np.ndarray
    refractory_detector: np.ndarray  # -1 without
    emission: np.ndarray
    latency_fs: np.ndarray
    tau_rad: np.ndarray
    guide_start: np.ndarray
    guide_detector: np.ndarray  # waveguides, sorted by source, delay, target, id
    guide_delay_fs: np.ndarray
    guide_mean: np.ndarray  # mean detected photons per spike (emission "photons")
    guide_pass: np.ndarray  # probability that the light arrives (emission "deterministic")
    guide_drawn: np.ndarray  # int64, 1: its photons are drawn from the emission statistics, efficiency included
    guide_key: np.ndarray
    # kicks: changes of external flux, sorted by time, loop, order
    kick_fs: np.ndarray
    kick_loop: np.ndarray
    kick_kind: np.ndarray
    kick_x: np.ndarray  # PULSE: amplitude; CORNER: jump of the flux, Phi0; QUANTA: how many enter the loop
    kick_y: np.ndarray  # CORNER: change of slope, Phi0/ns
    kick_fall: np.ndarray
    kick_rise: np.ndarray
    kick_arm: np.ndarray


@dataclass(frozen=True, eq=False)
class Plan:
    """A lowered network.

    ``arrays``: :class:`Arrays`; ``sources``: :class:`~soen_event.physics.source.Sources`; ``tau_0``: ns; ids in row order.
    """

    device: Device
    arrays: Arrays
    sources: Sources
    tau_0: float
    loop_ids: Sequence[str]
    detector_ids: Sequence[str]
    neuron_ids: Sequence[str]
    coupling_ids: Sequence[str]
    guide_ids: Sequence[str]
    warnings: tuple[str, ...] = ()
    rules: Learning | None = None

    @cached_property
    def learning(self) -> Learning:
        """Rules of learning and where they act."""
        if self.rules is not None:
            return self.rules
        return nothing_learns(len(self.loop_ids), len(self.detector_ids), len(self.neuron_ids))

    @cached_property
    def loop_index(self) -> Mapping[str, int]:
        """Row of every loop by id; a neuron's id names its soma."""
        index = {name: k for k, name in enumerate(self.loop_ids)}
        for k, name in enumerate(self.neuron_ids):
            index[name] = int(self.arrays.soma[k])
        return index

    @cached_property
    def detector_index(self) -> Mapping[str, int]:
        return {name: k for k, name in enumerate(self.detector_ids)}

    @cached_property
    def neuron_index(self) -> Mapping[str, int]:
        return {name: k for k, name in enumerate(self.neuron_ids)}

    @property
    def own_synapses(self) -> tuple[Sequence[str], np.ndarray]:
        """Ids of the network's synapses, ascending, and their rows among the detectors."""
        own = [k for k, name in enumerate(self.detector_ids) if not name.endswith(".refractory.synapse")]
        return [self.detector_ids[k] for k in own], np.array(own, dtype=np.int64)

    def _names(self) -> bytes:
        return "\0".join((*self.loop_ids, "", *self.detector_ids, "", *self.neuron_ids)).encode()

    @cached_property
    def digest(self) -> str:
        """Hash of everything that affects a run: a checkpoint or recording belongs to this Plan and no other."""
        total = hashlib.blake2b(digest_size=16)
        for table in (self.arrays, self.sources):
            for name, column in zip(table._fields, table, strict=True):
                total.update(name.encode() + str(column.dtype).encode())
                total.update(np.ascontiguousarray(column).data)
        total.update(self._names())
        total.update(repr(self.tau_0).encode())
        if self.rules is not None:
            total.update(self.rules.digest)
        return total.hexdigest()


Handle = tuple[int, tuple[float, int, bool]]


class _Modes:
    """Collects the distinct exponentials of every loop."""

    def __init__(self, n: int):
        self.found: list[dict[tuple[float, int, bool], None]] = [{} for _ in range(n)]

    def add(self, loop_row: int, tau: float, arm: int = 0, hotspot: bool = False) -> Handle:
        """A mode of a loop. Rises of hotspots keep to modes of their own: the last hotspot's end sets them to zero."""
        key = (float(tau), arm, hotspot)
        self.found[loop_row].setdefault(key)
        return loop_row, key

    def freeze(self) -> None:
        self.start = np.zeros(len(self.found) + 1, dtype=np.int64)
        self.place: list[dict[tuple[float, int, bool], int]] = []
        taus, arms, total = [], [], 0
        for k, found in enumerate(self.found):
            keys = sorted(found)
            self.place.append({key: total + j for j, key in enumerate(keys)})
            taus += [tau for tau, _, _ in keys]
            arms += [arm for _, arm, _ in keys]
            total += len(keys)
            self.start[k + 1] = total
        self.tau, self.arm = np.array(taus, dtype=float), np.array(arms, dtype=np.int64)

    def at(self, handle: Handle) -> int:
        return self.place[handle[0]][handle[1]]


class _Shared:
    """Groups of loops that load each other through collection loops: their common decay times, and what a quantum does to them."""

    def __init__(
        self, loads: inductance.Loading, parameters: list[tuple[float, float]], tau_0: float, names: Sequence[str]
    ):
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        n = len(parameters)
        self.n = n
        self.loaded = np.flatnonzero(np.diff(loads.start))
        self.group = np.full(n, -1, dtype=np.int64)
        self.members: list[np.ndarray] = []
        self.times: list[np.ndarray] = []  # ns
        self.response: list[np.ndarray] = []  # (to, from, time), I_c
        self.own_decay = [tau for _, tau in parameters]
        if not len(self.loaded):
            return
        pairs = csr_array((np.ones(len(loads.loop)), loads.loop, loads.start), shape=(n, n))
        label = connected_components(pairs, directed=False)[1]
        for g in np.unique(label[self.loaded]):
            mine = np.flatnonzero(label == g)
            place = {int(k): j for j, k in enumerate(mine)}
            B = np.diag([parameters[k][0] for k in mine])
            for j, k in enumerate(mine):
                for e in range(loads.start[k], loads.start[k + 1]):
                    B[j, place[int(loads.loop[e])]] += loads.B[e]
            alpha = np.array([parameters[k][0] * tau_0 / parameters[k][1] for k in mine])
            try:
                times, z = inductance.quantum_response(B, alpha)
            except ValueError:
                raise InputError(
                    f"Coupling.J: {', '.join(names[int(k)] for k in mine)} are coupled more tightly through collection loops than "
                    "mutual inductances can be; weaken J, or give collection_inductance and collection_mutual that fit"
                ) from None
            self.group[mine] = len(self.members)
            self.members.append(mine)
            self.times.append(times * tau_0)
            self.response.append(z)

    def decays(self, loop_row: int) -> list[float]:
        """Decay times of what a loop's current is made of, ns."""
        g = self.group[loop_row]
        return [self.own_decay[loop_row]] if g < 0 else self.times[g].tolist()

    def modes(self, modes: _Modes) -> dict[int, list[Handle]]:
        """The modes that are parts of currents, by loop."""
        return {
            int(k): [modes.add(int(k), tau, arm=2) for tau in self.times[g].tolist()]
            for g, members in enumerate(self.members)
            for k in members
        }

    def quanta(self, parameters: list[tuple[float, float]]) -> np.ndarray:
        """What a quantum adds to its loop's current, I_c."""
        quanta = _floats(squid.TWO_PI / b for b, _ in parameters)
        for members, z in zip(self.members, self.response, strict=True):
            for j, k in enumerate(members):
                quanta[k] = math.fsum(z[j, j])
        return quanta

    def reaches(self, bias: list[float]) -> list[float]:
        """By how much others can pull a loop's current below zero, I_c: none carries more than its bias."""
        below = [0.0] * self.n
        for members, z in zip(self.members, self.response, strict=True):
            whole = np.abs(z).sum(axis=2)
            share = whole / np.diag(whole)[None, :]
            np.fill_diagonal(share, 0.0)
            for j, k in enumerate(members):
                below[k] = float(2.0 * (share[j] * np.array([bias[m] for m in members])).sum())
        return below

    def columns(
        self,
        modes: _Modes,
        current_modes: dict[int, list[Handle]],
        coupling_modes: list[list[Handle]],
        out_from: np.ndarray,
        out_loop: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """What one quantum adds to which modes, by the loop that it enters."""
        own: dict[int, list[tuple[int, int, float]]] = {}
        others: dict[int, list[tuple[int, int, float]]] = {}
        reach: dict[int, set[int]] = {}
        for g, (members, z) in enumerate(zip(self.members, self.response, strict=True)):
            couplings = np.flatnonzero(self.group[out_from] == g)
            place = {int(k): j for j, k in enumerate(members)}
            for source, m in place.items():
                mine: list[tuple[int, int, float]] = []
                rest: list[tuple[int, int, float]] = []
                for to, j in place.items():
                    for k, handle in enumerate(current_modes[to]):
                        (mine if to == source else rest).append((modes.at(handle), -1, float(z[j, m, k])))
                for c in couplings.tolist():
                    j = place[int(out_from[c])]
                    rest += [(modes.at(h), c, float(z[j, m, k])) for k, h in enumerate(coupling_modes[c])]
                least = inductance.NOTHING * float(np.abs(z[:, m]).max())
                own[source] = [e for e in mine if abs(e[2]) > least]
                others[source] = [e for e in rest if abs(e[2]) > least]
                reach[source] = {*place, *out_loop[couplings].tolist()} - {source}
        rows = [own.get(k, []) + others.get(k, []) for k in range(self.n)]
        reached = [sorted(reach.get(k, ())) for k in range(self.n)]
        start = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        flat = [entry for row in rows for entry in row]
        return {
            "enter_start": start,
            "enter_own": start[:-1] + _ints(len(own.get(k, [])) for k in range(self.n)),
            "enter_mode": _ints(e[0] for e in flat),
            "enter_coupling": _ints(e[1] for e in flat),
            "enter_value": _floats(e[2] for e in flat),
            "reach_start": np.concatenate([[0], np.cumsum([len(row) for row in reached])]).astype(np.int64),
            "reach_loop": _ints(k for row in reached for k in row),
        }


def _starts(owners: list[int], n: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(np.array(owners, dtype=np.int64), minlength=n))]).astype(np.int64)


def _ints(values: Any) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)


def _floats(values: Any) -> np.ndarray:
    return np.array(list(values), dtype=float)


def electrical(device: Device, part: Any) -> tuple[float, float]:
    """(beta_eff, decay time in ns) of a loop part, from its inductance or beta_over_2pi and its tau or resistance.

    ``tau`` of a part is L/r of its own inductance (physics.md 2.1). The SQUID's arms in parallel add to that inductance, so the current
    decays with tau beta_eff/beta: 0.125 % longer at beta = 2 pi 100 (circuit.md 2; ``tau_eff_ns`` of its cases).
    """
    whole = getattr(part, "inductance", None)
    beta = device.beta_from_inductance(whole) if whole is not None else 2.0 * math.pi * part.beta_over_2pi
    resistance = getattr(part, "resistance", None)
    if resistance is not None:
        tau = device.tau_from_resistance(beta, resistance)
        return device.beta_eff(beta), float(tau)
    return device.beta_eff(beta), float(part.tau) * device.beta_eff(beta) / beta


def source_kind(device: Device, part: Any, ib: float) -> tuple:
    """What the source function of a part depends on, apart from the device."""
    if getattr(part, "kind", None) == "rtti":
        return "rtti", ib
    return "ri", getattr(part, "source", None) or device.source


def tables(device: Device, kind: tuple) -> list[source_function.Table]:
    """The table of a source function (:func:`source_kind`); at a temperature two: rate and Fano factor."""
    name, which = kind
    cold = source_function.rtti_table(which, device) if name == "rtti" else source_function.ri_table(device, which)
    if device.temperature == 0.0:
        return [cold]
    if device.temperature > HOTTEST:
        raise InputError(
            f"Device.temperature: {device.temperature} K is above {HOTTEST:g} K, for which thermal rates are good; niobium is "
            "superconducting up to 9.2 K"
        )
    gamma = device.gamma_thermal()
    if name == "rtti" or device.rate_table:  # what is known of its noise is its saddle-node
        return list(thermal.warm(cold, gamma))
    return list(thermal.warm_ri(device.beta_c, device.beta_1, device.beta_2, which, gamma))


def collection_stiffness(device: Device, part: Any) -> float:
    """:func:`soen_event.physics.inductance.stiffness` of the loop that collects a part's couplings; 0 if none is given."""
    whole, mutual = getattr(part, "collection_inductance", None), getattr(part, "collection_mutual", None)
    if whole is None or mutual is None:
        return 0.0
    return inductance.stiffness(whole, mutual, Phi0, device.Ic)


def pulse_norm(tau_rise: float, tau_fall: float) -> float:
    """Factor that makes e^(-x/tau_fall) - e^(-x/tau_rise) peak at 1."""
    x = math.log(tau_fall / tau_rise) * tau_rise * tau_fall / (tau_fall - tau_rise)
    return 1.0 / (math.exp(-x / tau_fall) - math.exp(-x / tau_rise))


def _resting_range(sources: Sources, row: int, ib: float, beta: float, below: float = 0.0) -> tuple[float, float]:
    """Flux range around 0 in which a loop cannot run whatever its current.

    That may dip below 0 by the phase part, 4/beta, and by ``below``, what loops that load it may take away.
    """
    mirror = sources.shape[row, source_function.MIRROR] == 1
    shift, offset = sources.scale[row, source_function.SHIFT], sources.scale[row, source_function.OFFSET]
    reach = ib + 4.0 / beta + below
    n = sources.shape[row, source_function.N_LEVEL]
    at = sources.shape[row, source_function.LEVEL_AT]
    values = sources.levels[at : at + 4 * (n + 1)].reshape(-1, 4)[:, 0]
    y = np.linspace(0.0, sources.scale[row, source_function.Y_MAX], n + 1)
    if not mirror:  # phi = y - offset modulo 1; the dead band is around y = 0 and y = 1
        rests = values > reach
        if not rests[0]:
            return 0.0, 0.0
        first = int(np.argmin(rests)) if not rests.all() else n
        last = n - int(np.argmin(rests[::-1])) if not rests.all() else 0
        if rests.all():
            return -1e9, 1e9
        return -offset + (y[last] - 1.0) + 1.0 / n, -offset + y[first] - 1.0 / n
    phi = (0.5 - y)[::-1]
    rests = values[::-1] > reach
    if not rests[0]:
        return 0.0, 0.0
    high = 1e9 if rests.all() else phi[int(np.argmin(rests)) - 1]
    margin = abs(shift) * reach
    return min(0.0, -high + margin), max(0.0, high - margin)


def lower(
    network: Network | TiledNetwork,
    drives: tuple[Drive, ...] | list[Drive] = (),
    resolution: str = "fluxon",
    tol: float = 1e-4,
) -> Plan:
    """Lower a network, with further flux drives of a stimulus, to a :class:`Plan`.

    ``resolution``: "fluxon", "flow" or "auto" (:func:`flows`); ``tol``: largest error of a flowing loop's current, I_c.

    Raises :class:`~soen_event.errors.InputError` with every fault of the network.
    """
    from soen_event.network import Network

    if not isinstance(network, Network):
        return network.lower(drives, resolution, tol)
    network.check()
    device = network.device

    loops: dict[str, Any] = dict(network.dendrites)
    detectors: dict[str, Any] = dict(network.synapses)
    owner: dict[str, str] = {}
    aim: dict[str, str] = {}
    couplings: list[tuple[str, str, float, Any]] = [(c.source, c.target, c.J, c) for c in network.couplings]
    for name, neuron in network.neurons.items():
        loops[f"{name}.soma"] = neuron.soma
        owner[f"{name}.soma"] = name
        if neuron.refractory is not None:
            loops[f"{name}.refractory"] = neuron.refractory
            detectors[f"{name}.refractory.synapse"] = neuron.refractory
            aim[f"{name}.refractory.synapse"] = f"{name}.refractory"

    loop_ids = tuple(sorted(loops))
    detector_ids = tuple(sorted(detectors))
    neuron_ids = tuple(sorted(network.neurons))
    place = {name: k for k, name in enumerate(loop_ids)}
    for name in neuron_ids:
        place[name] = place[f"{name}.soma"]
    neuron_place = {name: k for k, name in enumerate(neuron_ids)}
    detector_place = {name: k for k, name in enumerate(detector_ids)}
    n = len(loop_ids)

    # sources, one row per distinct source function, two at a temperature
    found: dict[tuple, int] = {}
    built: list[Any] = []

    def source_row(part: Any, ib: float) -> int:
        key = source_kind(device, part, ib)
        if key not in found:
            found[key] = len(built)
            built.extend(tables(device, key))
        return found[key]

    bias, parameters, rows = [], [], []
    for name in loop_ids:
        part = loops[name]
        ib = part.ib
        if ib is None:  # a refractory dendrite is biased like its soma
            ib = network.neurons[name.removesuffix(".refractory")].soma.ib
        bias.append(float(ib))
        parameters.append(electrical(device, part))
        rows.append(source_row(part, float(ib)))
    sources = source_function.stack(built)

    modes = _Modes(n)
    # refractory couplings
    for name in neuron_ids:
        neuron = network.neurons[name]
        if neuron.refractory is not None:
            couplings.append((f"{name}.refractory", name, network.refractory_coupling(name), None))
    couplings.sort(key=lambda c: (place[c[0]], place[c[1]], getattr(c[3], "id", None) or ""))
    out_from = _ints(place[c[0]] for c in couplings)
    out_loop = _ints(place[c[1]] for c in couplings)
    out_J = _floats(c[2] for c in couplings)
    stiff = _floats(collection_stiffness(device, loops[name]) for name in loop_ids)
    has_arms = sources.shape[_ints(rows), source_function.MIRROR] == 1  # an RTTI dendrite's arms are not in its loop
    loads = inductance.loading(
        n, out_from, out_loop, out_J, stiff, *(has_arms * x for x in inductance.reciprocal(device))
    )
    purged = {loop_ids[k] for k in np.unique(out_from[stiff[out_loop] > 0.0])} & set(owner) if len(out_from) else set()
    purged = {owner[name] for name in purged if network.neurons[owner[name]].soma.after_spike == "purge"}
    if purged:
        raise InputError(
            f"Soma.after_spike: 'purge' does not go with a collection loop that {', '.join(sorted(purged))} couples into: what empties one "
            "loop would act on all of them; give 'keep', or leave out collection_inductance"
        )
    shared = _Shared(loads, parameters, device.tau_0_ns, loop_ids)
    coupling_modes = [
        [modes.add(target, tau) for tau in shared.decays(origin)]
        for origin, target in zip(out_from.tolist(), out_loop.tolist(), strict=True)
    ]
    current_modes = shared.modes(modes)

    detector_loop = []
    detector_modes = []
    for name in detector_ids:
        part = detectors[name]
        row = place[aim.get(name) or part.target]
        detector_loop.append(row)
        detector_modes.append((modes.add(row, part.tau_fall), modes.add(row, part.tau_rise, hotspot=True)))

    kicks = _kicks([*network.drives, *drives], place, modes)
    modes.freeze()

    guides = sorted(network.waveguides, key=lambda w: (neuron_place[w.source], detector_place[w.target], w.id or ""))
    guide_keys = _distinct([f"{w.source}->{w.target}" for w in guides])
    # A spike travels as one entry of the queue, its next arrival: so a neuron's waveguides stand in the order of their delays.
    delays = [min(ns_to_fs(w.delay), LONGEST_WAY) for w in guides]
    by_delay = sorted(range(len(guides)), key=lambda k: (neuron_place[guides[k].source], delays[k], k))
    guides, delays = [guides[k] for k in by_delay], [delays[k] for k in by_delay]
    guide_keys = [guide_keys[k] for k in by_delay]

    offsets = [float(getattr(loops[name], "phi_offset", 0.0)) for name in loop_ids]
    resting = cache(lambda *alike: _resting_range(sources, *alike))  # most loops are alike
    origin = cache(lambda *of: loop.rest_phase(sources.rest, sources.shape, sources.scale, sources.levels, *of))
    below = np.array(shared.reaches(bias)) + pulled_below(kicks, parameters, shared.group)
    ranges = [
        resting(r, ib, beta, float(reach))
        for r, ib, (beta, _), reach in zip(rows, bias, parameters, below, strict=True)
    ]
    origins = [origin(r, phi, ib) for r, ib, phi in zip(rows, bias, offsets, strict=True)]
    flow = _ints(flows(resolution, loops[name], device) for name in loop_ids)
    flow[shared.loaded] = 0  # their currents decay together, from fluxon to fluxon
    inward = np.flatnonzero(flow[out_from] == 1) if len(out_from) else out_from
    inward = inward[np.argsort(out_loop[inward], kind="stable")]
    ring = rings(n, out_from[inward], out_loop[inward])
    own, slack = shares(tol, flow, out_from, out_loop, out_J, ring, rows, sources)
    somas = [loops[name] if name in owner else None for name in loop_ids]
    parts = [detectors[name] for name in detector_ids]
    neurons = [network.neurons[name] for name in neuron_ids]
    senders = [neuron.transmitter for neuron in neurons]

    def emission(transmitter: Any) -> int:
        if transmitter is None:
            return DARK
        return PHOTONS if transmitter.emission == "photons" else DETERMINISTIC

    def guide_mean(w: Any) -> float:
        transmitter: Any = network.neurons[w.source].transmitter
        return mean_detected_photons(transmitter.photons, w.loss_db, network.synapses[w.target].efficiency)

    arrays = Arrays(
        row=_ints(rows),
        ib=_floats(bias),
        beta=_floats(b for b, _ in parameters),
        tau=_floats(t for _, t in parameters),
        quantum=shared.quanta(parameters),
        offset=_floats(offsets),
        low=_floats(low for low, _ in ranges),
        high=_floats(high for _, high in ranges),
        rest_origin=_floats(origins),
        threshold=_floats(s.threshold if s is not None else NO_THRESHOLD for s in somas),
        neuron=_ints(neuron_place[owner[name]] if name in owner else -1 for name in loop_ids),
        purge=_ints(int(s is not None and s.after_spike == "purge") for s in somas),
        t_ref_fs=_ints(ns_to_fs(s.t_ref) if s is not None else 0 for s in somas),
        mode_start=modes.start,
        mode_tau=modes.tau,
        mode_arm=modes.arm,
        out_start=_starts([place[c[0]] for c in couplings], n),
        out_loop=_ints(place[c[1]] for c in couplings),
        out_mode=_ints(modes.at(h[0]) for h in coupling_modes),
        out_J=out_J,
        in_start=_starts(out_loop[inward].tolist(), n),
        in_loop=out_from[inward],
        in_coupling=inward,
        group=groups(n, out_from, out_loop),
        ring=ring,
        flow=flow,
        warm=(1 - flow) * int(device.temperature > 0.0),
        key=_ints(part_key(name) if device.temperature > 0.0 else 0 for name in loop_ids),
        own=own,
        slack=slack,
        stiff=stiff,
        load_start=loads.start,
        load_loop=loads.loop,
        load_B=loads.B,
        **shared.columns(modes, current_modes, coupling_modes, out_from, out_loop),
        det_loop=_ints(detector_loop),
        det_fall=_ints(modes.at(f) for f, _ in detector_modes),
        det_rise=_ints(modes.at(r) for _, r in detector_modes),
        det_weight=_floats(getattr(p, "weight", 1.0) for p in parts),
        det_level=_floats(pulse_level(p.phi_peak, p.tau_rise, p.tau_fall) for p in parts),
        det_peak=_floats(p.phi_peak for p in parts),
        det_tau_rise=_floats(p.tau_rise for p in parts),
        det_tau_fall=_floats(p.tau_fall for p in parts),
        det_hotspot_fs=_ints(ns_to_fs(p.hotspot) for p in parts),
        det_efficiency=_floats(getattr(p, "efficiency", 1.0) for p in parts),
        det_recovers=_ints(int(getattr(p, "recovery", "full") == "bias") for p in parts),
        det_restarts=_ints(int(getattr(p, "overlap", "saturate") == "restart") for p in parts),
        det_dead_fs=_ints(ns_to_fs(getattr(p, "dead_time", 0.0)) for p in parts),
        det_key=_ints(part_key(name) for name in detector_ids),
        soma=_ints(place[name] for name in neuron_ids),
        refractory_detector=_ints(detector_place.get(f"{name}.refractory.synapse", -1) for name in neuron_ids),
        emission=_ints(emission(t) for t in senders),
        latency_fs=_ints(0 if t is None else min(ns_to_fs(t.latency), LONGEST_WAY) for t in senders),
        tau_rad=_floats(1.0 if t is None else source_constants(t.source)[1] for t in senders),
        guide_start=_starts([neuron_place[w.source] for w in guides], len(neuron_ids)),
        guide_detector=_ints(detector_place[w.target] for w in guides),
        guide_delay_fs=_ints(delays),
        guide_mean=_floats(guide_mean(w) for w in guides),
        guide_pass=_floats(10.0 ** (-w.loss_db / 10.0) for w in guides),
        guide_drawn=_ints(int(emission(network.neurons[w.source].transmitter) == PHOTONS) for w in guides),
        guide_key=_ints(part_key(k) for k in guide_keys),
        **_kick_columns(kicks, modes),
    )
    return Plan(
        device=device,
        arrays=arrays,
        sources=sources,
        tau_0=device.tau_0_ns,
        loop_ids=loop_ids,
        detector_ids=detector_ids,
        neuron_ids=neuron_ids,
        coupling_ids=tuple(f"{c[0]}->{c[1]}" for c in couplings),
        guide_ids=tuple(guide_keys),
        warnings=tuple(network.warnings()),
    )


FLOW_BETA = 2.0 * math.pi * 300.0  # above this a quantum is small enough for the continuous equation (circuit.md 4)


def flows(resolution: str, part: Any, device: Device) -> int:
    """1 if a loop's current is to flow under a resolution, 0 if its fluxons are events.

    "auto" lets it flow where a quantum is below 1/300 I_c: there the continuous equation is as good (circuit.md 0, 4).
    """
    if resolution == "auto":
        return int(electrical(device, part)[0] >= FLOW_BETA)
    return int(resolution == "flow")


def groups(n: int, out_from: np.ndarray, out_loop: np.ndarray) -> np.ndarray:
    """Number of the connected set that every loop belongs to: loops of different sets reach each other by light only."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(out_from), dtype=np.int8), (out_from, out_loop)), shape=(n, n))
    label = connected_components(graph, directed=False)[1]
    first = np.full(int(label.max(initial=-1)) + 1, n, dtype=np.int64)
    np.minimum.at(first, label, np.arange(n))
    return np.argsort(np.argsort(first))[label].astype(np.int64)


def rings(n: int, out_from: np.ndarray, out_loop: np.ndarray) -> np.ndarray:
    """Number of the circle of couplings that every loop is part of (strongly connected loops, or one that couples to itself); else -1."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(out_from), dtype=np.int8), (out_from, out_loop)), shape=(n, n))
    label = connected_components(graph, directed=True, connection="strong")[1]
    closed = np.bincount(label, minlength=1) > 1
    closed[label[out_from[out_from == out_loop]]] = True
    first = np.full(len(closed), n, dtype=np.int64)
    np.minimum.at(
        first, label, np.arange(n)
    )  # its first loop, so that the number does not depend on how they were found
    return np.where(closed[label], first[label], -1).astype(np.int64) if n else np.zeros(0, dtype=np.int64)


def shares(
    tol: float,
    flow: np.ndarray,
    out_from: np.ndarray,
    out_loop: np.ndarray,
    out_J: np.ndarray,
    ring: np.ndarray,
    rows: list[int],
    sources: Sources,
) -> tuple[np.ndarray, np.ndarray]:
    """What of the tolerance a flowing loop may spend on its own steps, and on telling others late: (own, slack), I_c.

    An error e in a loop's current is an error J e in the flux of the loop that it is coupled to, and moves that loop's current by at
    most J e times the steepest slope of its threshold: all inputs of a loop together may move it by its own tolerance. (Not a proof: the
    worst case of everything at once is twice that. Measured errors are a sixth of the tolerance in the median.) In a circle of
    couplings nothing can be promised, an error may grow there without bound; its loops get a tenth.
    """
    n = len(flow)
    steepest = sources.scale[np.array(rows, dtype=np.int64), source_function.STEEPEST] if n else np.zeros(0)
    open_ = (ring[out_from] < 0) | (ring[out_from] != ring[out_loop]) if len(out_from) else np.zeros(0, dtype=bool)
    out_from, out_loop, out_J = out_from[open_], out_loop[open_], out_J[open_]
    fed = np.zeros(n)
    weight = np.abs(out_J) * (flow[out_from] if len(out_from) else 0)
    np.add.at(fed, out_loop, weight)
    most = np.where(ring >= 0, 0.1 * tol, float(tol))
    total = most.copy()
    for _ in range(64):  # from the somas outwards
        allowed = most.copy()
        limit = np.where(fed > 0.0, total / np.maximum(fed * steepest, 1e-300), np.inf)
        np.minimum.at(allowed, out_from, limit[out_loop])
        allowed = np.maximum(allowed, 1e-3 * tol)
        if np.array_equal(allowed, total):
            break
        total = allowed
    return np.where(fed > 0.0, 0.8 * total, 0.9 * total), 0.1 * total


def _distinct(names: list[str]) -> list[str]:
    """Number repeated names, in order, so that parallel waveguides have addresses of their own."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return out


def _kicks(drives: list[Any], place: dict[str, int], modes: _Modes) -> list[tuple]:
    """All changes of external flux: (fs, loop, order, kind, x, y, fall handle, rise handle, arm), in canonical order.

    Raises InputError for drives of parts that are not there, all of them at once.
    """
    lost = [
        f"Drive.target: there is no dendrite or neuron {d.target!r}{nearest(d.target, place)}"
        for d in drives
        if d.target not in place
    ]
    if lost:
        raise InputError(lost)
    kicks: list[tuple] = []
    for drive in drives:
        row = place[drive.target]
        arm = 1 if drive.arm == "first" else 0
        for pulse in drive.pulses or ():
            amplitude = pulse.phi_peak * pulse_norm(pulse.tau_rise, pulse.tau_fall)
            handles = modes.add(row, pulse.tau_fall, arm), modes.add(row, pulse.tau_rise, arm)
            kicks.append(
                (ns_to_fs(pulse.t0), row, PULSE, amplitude, 0.0, pulse.tau_fall, pulse.tau_rise, *handles, arm)
            )
        for t, number in drive.quanta or ():
            kicks.append((ns_to_fs(t), row, QUANTA, float(number), 0.0, 0.0, 0.0, None, None, 0))
        level, slope = 0.0, 0.0
        points = [(ns_to_fs(t), float(phi)) for t, phi in drive.points or ()]
        for j, (t, phi) in enumerate(points):
            following = points[j + 1] if j + 1 < len(points) else (t, phi)
            if following[0] == t:
                new_slope = 0.0
            else:
                new_slope = (following[1] - phi) / ((following[0] - t) * 1e-6)
            jump = phi - level if j == 0 or points[j - 1][0] == t else 0.0
            at = t if j > 0 else 0  # the first value holds before the first point
            if j == 0 and t > 0:
                kicks.append((0, row, CORNER, jump, 0.0, 0.0, 0.0, None, None, arm))
                jump, at = 0.0, t
            kicks.append((at if j == 0 else t, row, CORNER, jump, new_slope - slope, 0.0, 0.0, None, None, arm))
            level, slope = phi, new_slope
    kicks.sort(key=lambda k: (*k[:7], k[9]))
    return kicks


def pulled_below(kicks: list[tuple], parameters: list[tuple[float, float]], group: np.ndarray) -> np.ndarray:
    """By how much the quanta of drives can pull the current of each loop below zero, I_c; of loops that load each other, all alike."""
    lowest = np.zeros(len(parameters))
    now: dict[int, tuple[int, float]] = {}
    for fs, row, kind, number, *_ in kicks:
        if kind == QUANTA:
            beta, tau = parameters[row]
            before, held = now.get(row, (fs, 0.0))
            held = held * math.exp(-(fs - before) * 1e-6 / tau) + min(0.0, squid.TWO_PI / beta * number)
            now[row] = fs, held
            lowest[row] = min(lowest[row], held)
    for g in np.unique(group[group >= 0]):
        lowest[group == g] = lowest[group == g].sum()
    return -lowest


def _kick_columns(kicks: list[tuple], modes: _Modes) -> dict[str, np.ndarray]:
    def mode(handle: Any) -> int:
        return -1 if handle is None else modes.at(handle)

    return {
        "kick_fs": _ints(k[0] for k in kicks),
        "kick_loop": _ints(k[1] for k in kicks),
        "kick_kind": _ints(k[2] for k in kicks),
        "kick_x": _floats(k[3] for k in kicks),
        "kick_y": _floats(k[4] for k in kicks),
        "kick_fall": _ints(mode(k[7]) for k in kicks),
        "kick_rise": _ints(mode(k[8]) for k in kicks),
        "kick_arm": _ints(k[9] for k in kicks),
    }
