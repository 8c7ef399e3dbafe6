"""A network of parts: a networkx.MultiDiGraph with a part on every node and edge.

Nodes are synapses, dendrites and neurons (attribute ``part``). Edges are couplings and waveguides (attribute ``part``,
keyed by :meth:`Network.key`) and, keyed ``"synapse"``, the way from every synapse to its target. Flux drives lie on the
node they drive (attribute ``drives``). The order in which parts were added never shows: every view is sorted by id.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from soen_event import parts
from soen_event.errors import InputError, nearest
from soen_event.parts import Coupling, Dendrite, Drive, Neuron, Part, Refractory, Soma, Synapse, Waveguide

if TYPE_CHECKING:
    import networkx

    from soen_event.device import Device

__all__ = ["Network", "SortedParts", "auto_refractory_coupling"]

DERIVED_IDS = (".soma", ".refractory", ".refractory.synapse")
"""Ids ``<neuron>.soma`` and so on belong to the loops inside a neuron."""
PARAMETERS = ("weights", "J", "phi_offset", "ib", "tau", "threshold", "delay")
SYNAPSE_EDGE = "synapse"
_SUGGESTED = 20  # so many faults name the nearest known id: searching a large network takes time


# --------------------------------------------------------------------------------------------- threshold and saturation


@lru_cache(maxsize=4096)
def _inverse_critical_current(current: float, b: float) -> float:
    """Flux in [0, 1/2] at which the static critical current of a symmetric SQUID is ``current`` (physics.md 2.2 b).

    0 where the current is above the critical current at any flux, 1/2 where it is below it at any flux.
    """
    from scipy.optimize import brentq

    from soen_event.physics.squid import fold_of_parameter

    def excess(d2: float) -> float:
        return float(fold_of_parameter(d2, b)[1]) - current

    low, high = _fold_at_half(b)[1], 0.5 * math.pi  # second junction's phase on the fold, at flux 1/2 and at flux 0
    if excess(high) <= 0.0:
        return 0.0
    if excess(low) >= 0.0:
        return 0.5
    return float(fold_of_parameter(brentq(excess, low, high, xtol=1e-14, rtol=1e-14), b)[0])


@lru_cache(maxsize=256)
def _fold_at_half(b: float) -> tuple[float, float]:
    """Lowest critical current, at flux 1/2, and the second junction's phase there."""
    from soen_event.physics.squid import static_fold

    fold = static_fold(0.5, b)
    return float(fold["i"]), float(fold["d2"])


def _arms(device: Device) -> tuple[float, float]:
    """Mean arm inductance, and the flux shift per current of unequal arms (physics/squid.py)."""
    return 0.5 * (device.beta_1 + device.beta_2), (device.beta_2 - device.beta_1) / (4.0 * math.pi)


def _threshold_flux(device: Device, part: Any, ib: float, s: float = 0.0) -> tuple[float, float]:
    """Upper and lower flux (Phi0) between which ``part`` at bias ``ib`` rests with the current ``s`` in its loop."""
    if part.kind == "rtti":
        from soen_event.physics import rtti

        plus, minus = rtti.threshold_flux(ib, rtti.line_of(device))
        return float(plus), float(minus)
    b, shift = _arms(device)
    flux = _inverse_critical_current(ib - s, b)
    return flux - shift * (ib - s), -flux - shift * (ib - s)


def _saturation(device: Device, part: Any, ib: float) -> float:
    """Largest current (I_c) that any flux can drive the loop of ``part`` to; negative if none makes a fluxon."""
    if part.kind == "rtti":
        from soen_event.physics import rtti

        return float(rtti.s_max(ib, rtti.line_of(device)))
    return ib - _fold_at_half(_arms(device)[0])[0]


def _idle_currents(device: Device, loops: Mapping[str, Any]) -> dict[str, float]:
    """Current (I_c) to which the constant flux alone drives each loop; positive for an over-biased one."""
    from soen_event.physics import rtti
    from soen_event.physics.squid import critical_current

    currents: dict[str, float] = {}
    for kind in ("ri", "rtti"):
        chosen = {name: loop for name, loop in loops.items() if loop.kind == kind}
        flux = np.array([loop.phi_offset for loop in chosen.values()])
        ib = np.array([loop.ib for loop in chosen.values()])
        if chosen and kind == "ri":
            currents.update(zip(chosen, ib - critical_current(flux, device.beta_1, device.beta_2), strict=True))
        elif chosen:
            currents.update(zip(chosen, rtti.saturation(flux, ib, rtti.line_of(device)), strict=True))
    return currents


def auto_refractory_coupling(device: Device, soma: Soma, refractory: Refractory) -> float:
    """Coupling (Phi0 per unit s) of a refractory dendrite with J "auto" (physics.md 4.2).

    J = -[phi(s_th) + phi_th]/s_max: a full refractory loop pulls the soma's flux from the level at which its current
    can just reach the threshold down to the negative threshold flux.

    Args:
        device: the junctions.
        soma: bias and threshold are used, both in I_c.
        refractory: its bias is used, that of the soma if None.

    Raises:
        InputError: the soma cannot reach its threshold, or the refractory loop can hold no current.
    """
    faults = [*_threshold_fault(device, soma), *_refractory_fault(device, soma, refractory)]
    if faults:
        raise InputError(faults)
    upper, _ = _threshold_flux(device, soma, soma.ib, soma.threshold)
    _, lower = _threshold_flux(device, soma, soma.ib)
    return -(upper - lower) / _saturation(device, refractory, _refractory_bias(soma, refractory))


def _refractory_bias(soma: Soma, refractory: Refractory) -> float:
    return soma.ib if refractory.ib is None else refractory.ib


def _threshold_fault(device: Device, soma: Soma) -> list[str]:
    largest = _saturation(device, soma, soma.ib)
    if soma.threshold < largest:
        return []
    bound = "above" if soma.threshold > largest else "at"
    reason = f"{soma.threshold:g} is {bound} the largest current this soma can hold ({largest:.3f} at ib = {soma.ib:g})"
    return [f"Soma.threshold: {reason}; lower threshold or raise ib"]


def _refractory_fault(device: Device, soma: Soma, refractory: Refractory) -> list[str]:
    ib = _refractory_bias(soma, refractory)
    if refractory.J != "auto" or _saturation(device, refractory, ib) > 0.0:
        return []
    lowest = _fold_at_half(_arms(device)[0])[0]
    reason = f"{ib:g} is not above the lowest critical current {lowest:.3f}, so its loop stays empty"
    return [f"Refractory.ib: {reason}; raise ib or give J"]


# ---------------------------------------------------------------------------------------------- views


class _View(Mapping[str, Any]):
    """Parts of one class by id, ascending; reads the network as it is now."""

    def __init__(self, network: Network, part: type[Part]):
        self._network, self._part = network, part

    def __getitem__(self, name: str) -> Any:
        part = self._network._node_part(name)
        if not isinstance(part, self._part):
            raise KeyError(name)
        return part

    def __iter__(self) -> Iterator[str]:
        nodes = self._network._graph.nodes(data="part")
        return iter(sorted(name for name, part in nodes if isinstance(part, self._part)))

    def __len__(self) -> int:
        return sum(isinstance(part, self._part) for _, part in self._network._graph.nodes(data="part"))

    def __repr__(self) -> str:
        return repr(dict(self))


class SortedParts(NamedTuple):
    """All parts of a network by id; couplings and waveguides by ends and id; drives by target and content."""

    synapses: list[Synapse]
    dendrites: list[Dendrite]
    neurons: list[Neuron]
    couplings: list[Coupling]
    waveguides: list[Waveguide]
    drives: list[Drive]


@dataclasses.dataclass
class _Column:
    """One array of :meth:`Network.parameters` and what was last read out of it."""

    ids: tuple[str, ...]
    array: NDArray[np.float64]
    seen: NDArray[np.float64]
    rows: dict[str, int]


_FIELD = {"weights": "weight"}  # the part's field, where it is not called like the parameter
_INSTEAD = {"tau": "resistance", "J": "mutual"}  # a declared circuit value that a written number replaces


def _value_of(part: Any, name: str) -> float:
    holder = part.soma if isinstance(part, Neuron) else part
    return float(getattr(holder, _FIELD.get(name, name)))


def _bounds_of(part: Any, name: str) -> tuple[float, float]:
    """Smallest and largest value of a parameter that the part accepts."""
    holder = part.soma if isinstance(part, Neuron) else part
    if name == "ib" and isinstance(holder, Dendrite):  # its range depends on its kind
        return parts.RTTI_BIAS if holder.kind == "rtti" else parts.RI_BIAS
    kind: Any = type(holder)
    return _declared(kind, _FIELD.get(name, name))


@lru_cache(maxsize=64)
def _declared(kind: type, field: str) -> tuple[float, float]:
    number = get_type_hints(kind, include_extras=True)[field].__metadata__[0]
    low = number.at_least if number.at_least is not None else -math.inf
    high = number.at_most if number.at_most is not None else math.inf
    if number.above is not None:
        low = math.nextafter(number.above, math.inf)
    if number.below is not None:
        high = math.nextafter(number.below, -math.inf)
    return low, high


def _with_values(part: Any, values: Mapping[str, float]) -> Any:
    """The part with parameters changed (``values`` by parameter name)."""
    changes: dict[str, Any] = {_FIELD.get(name, name): float(value) for name, value in values.items()}
    holder = part.soma if isinstance(part, Neuron) else part
    for name, instead in _INSTEAD.items():
        if name in changes and getattr(holder, instead, None) is not None:
            changes[instead] = None
    with parts.detached():
        try:
            changed = dataclasses.replace(holder, **changes)
        except InputError as error:
            label = f" (neuron {part.id})" if isinstance(part, Neuron) else ""
            raise InputError([fault + label for fault in error.faults]) from None
        return dataclasses.replace(part, soma=changed) if isinstance(part, Neuron) else changed


class Network:
    """Synapses, dendrites and neurons with their couplings, waveguides and flux drives, on one kind of junction.

    Used as a context manager, it collects every part that is built inside the block::

        with se.Network() as net:
            se.Synapse("s1", "d1")
            se.Dendrite("d1")

    Args:
        device: the junctions (default: ``Device()``), a :class:`~soen_event.device.Device` or a mapping of its fields.
        name: a title for summaries and files.
    """

    __hash__ = None  # type: ignore[assignment]  # two networks are equal when their parts are

    def __init__(self, device: Device | Mapping[str, Any] | None = None, name: str = ""):
        import networkx

        from soen_event.device import Device

        if device is None:
            device = Device()
        elif isinstance(device, Mapping):
            device = Device.from_dict(dict(device))
        elif not isinstance(device, Device):
            shown = parts.shown(device)
            raise InputError(f"Network.device: {shown} is no Device; give a Device or a mapping of its fields")
        self._device = device
        self.name = name
        self._graph: networkx.MultiDiGraph = networkx.MultiDiGraph()
        self._ends: dict[str, tuple[str, str]] = {}  # of couplings and waveguides, by key
        self._columns: dict[str, _Column] = {}
        self._announced: Part | None = None

    # ---- building

    def __enter__(self) -> Network:
        parts._listeners.set((*parts._listeners.get(), self._hear))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        parts._listeners.set(parts._listeners.get()[:-1])
        self._announced = None

    def _hear(self, part: Part) -> None:
        self.add(part)
        self._announced = part

    def add(self, part: Part) -> Any:
        """Add a part and return it as stored: with circuit values converted by this network's device.

        Order does not matter: a part may name one that is added later. The very same object is added only once.

        Raises:
            InputError: the id, or the pair of ends of an unnamed coupling or waveguide, is taken; a converted value is
                out of bounds; or it is no part that stands alone.
        """
        if not isinstance(part, Part) or not part._stands_alone:
            known = "Synapse, Dendrite, Neuron, Coupling, Waveguide or Drive"
            raise InputError(f"Network.add: {parts.shown(part)} cannot stand alone; give a {known}")
        if part is self._announced:  # built inside this network's block and then added once more
            return part.resolved(self._device)
        stored = part.resolved(self._device)
        if isinstance(stored, Drive):
            there = self._graph.nodes[stored.target].get("drives", ()) if stored.target in self._graph else ()
            if not any(known is stored for known in there):
                self._graph.add_node(stored.target, drives=(*there, stored))
            return stored
        name = self.key(stored)
        existing = self._find(name)
        if existing is stored:
            return stored
        if existing is not None:
            kind = type(stored).__name__
            if stored.id is None:
                reason = f"there is already a {type(existing).__name__.lower()} {name}"
                raise InputError(f"{kind}.id: {reason}; give this one an id, or merge the two")
            taken = f"{name!r} is taken by a {type(existing).__name__.lower()}"
            raise InputError(f"{kind}.id: {taken}; ids are unique, give another")
        self._forget_columns()
        self._put(name, stored)
        return stored

    def extend(self, several: Iterable[Part]) -> None:
        """Add many parts: every one that can be added is, then one InputError tells all faults."""
        faults = []
        for part in several:
            try:
                self.add(part)
            except InputError as error:
                faults += error.faults
        if faults:
            raise InputError(faults)

    def _put(self, name: str, part: Any) -> None:
        if isinstance(part, Coupling | Waveguide):
            self._graph.add_edge(part.source, part.target, key=name, part=part)
            self._ends[name] = (part.source, part.target)
            return
        self._graph.add_node(name, part=part, kind=type(part).__name__.lower())
        if isinstance(part, Synapse):
            self._graph.add_edge(name, part.target, key=SYNAPSE_EDGE)

    @staticmethod
    def key(part: Any) -> str:
        """The name of a part in the network: its id, or ``source->target`` of an unnamed coupling or waveguide."""
        return part.id if part.id is not None else f"{part.source}->{part.target}"

    def replace(self, name: str, **changes: Any) -> Any:
        """Change fields of the part called ``name`` (an id or a key) and return the new part.

        For a neuron, ``soma``, ``refractory`` and ``transmitter`` may be mappings of the fields to change. A new
        ``beta_over_2pi``, ``tau`` or ``J`` takes the place of a declared inductance, resistance or mutual, and the
        other way round.

        Raises:
            InputError: no such part, an unknown field, an id, or a value out of bounds.
        """
        old = self[name]
        if "id" in changes and changes["id"] != old.id:
            raise InputError(f"Network.replace: the id of {name!r} is fixed; remove the part and add another")
        if isinstance(old, Neuron):
            for inner in ("soma", "refractory", "transmitter"):
                before = getattr(old, inner)
                if isinstance(changes.get(inner), Mapping) and before is not None:
                    changes[inner] = _changed(before, changes[inner], f" (neuron {name})")
        new = _changed(old, changes).resolved(self._device)
        moved = isinstance(new, Coupling | Waveguide) and (new.source, new.target) != self._ends[name]
        if moved or (isinstance(old, Synapse) and new.target != old.target):
            other = self.key(new)
            if other != name and self._find(other) is not None:
                raise InputError(
                    f"Network.replace: {name!r} would become {other!r}, which is taken; remove one of them"
                )
            self._forget_columns()
            ends = self._ends.pop(name) if moved else (name, old.target)
            self._graph.remove_edge(*ends, key=name if moved else SYNAPSE_EDGE)
            for end in ends:
                self._drop_placeholder(end)
            self._put(other, new)
        elif name in self._ends:
            self._graph.edges[(*self._ends[name], name)]["part"] = new
        else:
            self._graph.nodes[name]["part"] = new
        self._show(name, new)
        return new

    def remove(self, name: str | Drive) -> None:
        """Remove a part; with a dendrite or neuron its couplings, waveguides and drives, with a synapse its waveguides.

        A drive, which has no name, is given itself. Synapses aimed at a removed part stay, and :meth:`validate` tells
        of them until they are aimed elsewhere.

        Raises:
            InputError: no such part.
        """
        if isinstance(name, Drive):
            self._remove_drive(name)
            return
        part = self[name]
        self._forget_columns()
        if isinstance(part, Coupling | Waveguide):
            ends = self._ends.pop(name)
            self._graph.remove_edge(*ends, key=name)
        else:
            touching = {*self._graph.in_edges(name, keys=True), *self._graph.out_edges(name, keys=True)}
            ends = tuple({end for source, target, _ in touching for end in (source, target)} - {name})
            aimed = [source for source, _, key in touching if key == SYNAPSE_EDGE and source != name]
            for _, _, key in touching:
                self._ends.pop(key, None)
            self._graph.remove_node(name)
            self._graph.add_edges_from((source, name, SYNAPSE_EDGE) for source in aimed)
        for end in ends:
            self._drop_placeholder(end)

    def _remove_drive(self, drive: Drive) -> None:
        data = self._graph.nodes[drive.target] if drive.target in self._graph else {}
        there = list(data.get("drives", ()))
        if drive not in there:
            raise InputError(f"Network.remove: there is no such drive on {drive.target!r}; give one of Network.drives")
        there.remove(drive)
        data["drives"] = tuple(there)
        if not there:
            del data["drives"]
        self._drop_placeholder(drive.target)

    def _drop_placeholder(self, name: str) -> None:
        """Forget a name that no part bears and that nothing mentions any more."""
        if name in self._graph and not self._graph.nodes[name] and not self._graph.degree(name):
            self._graph.remove_node(name)

    def copy(self) -> Network:
        """An independent network with the same parts."""
        other = Network(self._device, self.name)
        other._graph = self.graph.copy()
        other._ends = dict(self._ends)
        return other

    def at_temperature(self, kelvin: float) -> Network:
        """The same network at another temperature, K."""
        other = self.copy()
        other._device = dataclasses.replace(self._device, temperature=kelvin)
        return other

    # ---- reading

    @property
    def device(self) -> Device:
        """The junctions; fixed, because circuit values were converted with it."""
        return self._device

    @property
    def name(self) -> str:
        """A title of one line."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str) or not name.isprintable():
            raise InputError(f"Network.name: {parts.shown(name)} is no title; give printable text of one line")
        self._name = name

    @property
    def graph(self) -> networkx.MultiDiGraph:
        """The networkx graph itself, with everything written into :meth:`parameters` folded in.

        Read it and draw it with networkx; add, change and remove parts through the network.
        """
        self._fold()
        return self._graph

    @property
    def synapses(self) -> Mapping[str, Synapse]:
        """Synapses by id, ascending."""
        return _View(self, Synapse)

    @property
    def dendrites(self) -> Mapping[str, Dendrite]:
        """Dendrites by id, ascending."""
        return _View(self, Dendrite)

    @property
    def neurons(self) -> Mapping[str, Neuron]:
        """Neurons by id, ascending."""
        return _View(self, Neuron)

    @property
    def couplings(self) -> list[Coupling]:
        """Couplings, ascending by (source, target, id)."""
        return self._edge_parts(Coupling)

    @property
    def waveguides(self) -> list[Waveguide]:
        """Waveguides, ascending by (source, target, id)."""
        return self._edge_parts(Waveguide)

    @property
    def drives(self) -> list[Drive]:
        """Flux drives, ascending by target, then by content."""
        found = [drive for _, drives in self._graph.nodes(data="drives") for drive in drives or ()]
        return sorted(found, key=_drive_order)

    def sorted_parts(self) -> SortedParts:
        """Every part in an order that does not depend on how the network was built."""
        self._fold()
        return SortedParts(
            list(self.synapses.values()),
            list(self.dendrites.values()),
            list(self.neurons.values()),
            self.couplings,
            self.waveguides,
            self.drives,
        )

    def ids(self, kind: str) -> tuple[str, ...]:
        """Names of all parts of a kind, or of the rows of an array of :meth:`parameters`.

        Args:
            kind: "synapse", "dendrite", "neuron", "coupling", "waveguide" or a parameter's name such as "weights".

        Raises:
            InputError: an unknown kind.
        """
        views: dict[str, Mapping[str, Any]] = {
            "synapse": self.synapses,
            "dendrite": self.dendrites,
            "neuron": self.neurons,
        }
        if kind in views:
            return tuple(views[kind])
        if kind in ("coupling", "J"):
            return tuple(map(self.key, self.couplings))
        if kind in ("waveguide", "delay"):
            return tuple(map(self.key, self.waveguides))
        if kind == "weights":
            return tuple(self.synapses)
        if kind == "threshold":
            return tuple(self.neurons)
        if kind in PARAMETERS:
            return tuple(sorted((*self.dendrites, *self.neurons)))
        known = (*views, "coupling", "waveguide", *PARAMETERS)
        raise InputError(f"Network.ids: {kind!r} is no kind{nearest(str(kind), known)}; give one of {', '.join(known)}")

    def __getitem__(self, name: str) -> Any:
        """The part with this id, or the coupling or waveguide with this key."""
        part = self._find(name)
        if part is None:
            raise InputError(f"Network: there is no part {name!r}{nearest(str(name), self._names())}")
        return part

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __len__(self) -> int:
        """The number of synapses, dendrites and neurons."""
        return sum(part is not None for _, part in self._graph.nodes(data="part"))

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        same = self._device == other._device and self.name == other.name
        return same and self.sorted_parts() == other.sorted_parts()

    def __getstate__(self) -> dict[str, Any]:
        self._fold()
        return {**self.__dict__, "_columns": {}, "_announced": None}

    def __repr__(self) -> str:
        counts = [f"{count} {word}" for word, count in self._counts().items() if count]
        return f"<Network{f' {self.name!r}' if self.name else ''}: {', '.join(counts) or 'empty'}>"

    def _counts(self) -> dict[str, int]:
        found: tuple[list[Any], ...] = self.sorted_parts()
        return {word: len(members) for word, members in zip(SortedParts._fields, found, strict=True)}

    def _names(self) -> list[str]:
        return [name for name, part in self._graph.nodes(data="part") if part is not None] + list(self._ends)

    def _find(self, name: Any) -> Any:
        part = self._node_part(name)
        if part is None and name in self._ends:
            self._sync(name)
            edge = self._graph.get_edge_data(*self._ends[name], key=name)
            part = edge.get("part") if edge else None
        return part

    def _node_part(self, name: Any) -> Any:
        if name not in self._graph:
            return None
        self._sync(name)
        return self._graph.nodes[name].get("part")

    def _edge_parts(self, kind: type[Any]) -> list[Any]:
        self._fold()
        found = [part for _, _, part in self._graph.edges(data="part") if isinstance(part, kind)]
        return sorted(found, key=lambda part: (part.source, part.target, part.id or ""))

    # ---- parameters as arrays

    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """What can be trained or programmed, as live arrays: what is written into them is what the network holds.

        ``weights`` of synapses, ``J`` of couplings (Phi0 per unit s), ``phi_offset`` (Phi0), ``ib`` (I_c) and ``tau``
        (ns) of dendrites and somas, ``threshold`` of somas (I_c), ``delay`` of waveguides (ns): float64, one row for
        each of ``ids(name)``. A value that a part refuses raises InputError when the network is next read. Adding or
        removing parts makes earlier arrays read-only, because their rows no longer fit; ask again.
        """
        return {name: self._column(name).array for name in PARAMETERS}

    def bounds(self) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Smallest and largest value that each part accepts, for the rows of :meth:`parameters`; infinite where there is none.

        What is between may still be refused together with other values: a threshold above all currents that its soma can hold.
        """
        found = {}
        for name in PARAMETERS:
            rows = [_bounds_of(self[row], name) for row in self.ids(name)]
            low, high = np.array(rows, dtype=float).reshape(-1, 2).T.copy()
            found[name] = low, high
        return found

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Write arrays by name, all or none.

        Args:
            values: numbers or arrays in the shape of ``parameters()[name]``.

        Raises:
            InputError: an unknown name, a wrong shape, or values that a part refuses; nothing is changed then.
        """
        faults, new = [], {}
        for name, value in values.items():
            if name not in PARAMETERS:
                known = ", ".join(PARAMETERS)
                faults.append(f"Network.parameters: no {name!r}{nearest(str(name), PARAMETERS)}; give some of {known}")
                continue
            array = self._column(name).array
            try:
                new[name] = np.broadcast_to(np.asarray(value, dtype=float), array.shape)
            except (ValueError, TypeError):
                shape = np.shape(value) if not isinstance(value, str) else "text"
                faults.append(
                    f"Network.parameters[{name!r}]: {shape} does not fit; give numbers of shape {array.shape}"
                )
        if faults:
            raise InputError(faults)
        old = {name: self._column(name).array.copy() for name in new}
        for name, array in new.items():
            self._columns[name].array[...] = array
        try:
            self._fold()
        except InputError:
            for name, array in old.items():
                self._columns[name].array[...] = array
            self._fold()
            raise

    def _column(self, name: str) -> _Column:
        self._fold()
        ids = self.ids(name)
        column = self._columns.get(name)
        if column is None or column.ids != ids:
            if column is not None:
                column.array.flags.writeable = False
            array = np.array([_value_of(self[row], name) for row in ids], dtype=float)
            column = _Column(ids, array, array.copy(), {row: k for k, row in enumerate(ids)})
            self._columns[name] = column
        return column

    def _fold(self) -> None:
        """Carry what was written into the arrays over to the parts; every refused value is told."""
        written: dict[str, None] = {}
        for column in self._columns.values():
            for row in np.flatnonzero(column.array != column.seen).tolist():
                written[column.ids[row]] = None
        faults = []
        for name in written:
            try:
                self._sync(name)
            except InputError as error:
                faults += error.faults
        if faults:
            raise InputError(faults)

    def _sync(self, name: str) -> None:
        """Carry what was written for one part over to it."""
        if not self._columns:
            return
        values = {}
        for parameter, column in self._columns.items():
            row = column.rows.get(name)
            if row is not None and column.array[row] != column.seen[row]:
                values[parameter] = column.array[row]
        if not values:
            return
        data = self._graph.edges[(*self._ends[name], name)] if name in self._ends else self._graph.nodes[name]
        data["part"] = _with_values(data["part"], values)
        for parameter in values:
            column = self._columns[parameter]
            column.seen[column.rows[name]] = column.array[column.rows[name]]

    def _show(self, name: str, part: Any) -> None:
        """Carry a changed part over to the arrays."""
        for parameter, column in self._columns.items():
            row = column.rows.get(name)
            if row is not None:
                column.array[row] = column.seen[row] = _value_of(part, parameter)

    def _forget_columns(self) -> None:
        if self._columns:
            self._fold()
            for column in self._columns.values():
                column.array.flags.writeable = False
            self._columns = {}

    # ---- checking

    def validate(self) -> list[str]:
        """Return every fault that would keep the network from running; an empty list if there is none.

        Missing or unfit ends of synapses, couplings, waveguides and drives (with the nearest known id), ids that belong
        to the loops inside a neuron, waveguides from a neuron without transmitter, thresholds that a soma cannot reach,
        refused values in :meth:`parameters`, and a graph that was changed behind the network's back.
        """
        return self._faults()

    def _faults(self, elsewhere: Collection[str] = (), open_waveguides: bool = False) -> list[str]:
        """Faults of the network, supposing that the ids ``elsewhere`` exist as well (parts that a file got wrong).

        ``open_waveguides``: say nothing of waveguides to a synapse that is not there.
        """
        try:
            self._fold()
        except InputError as error:
            return error.faults
        found = self.sorted_parts()
        faults = self._id_faults(found)
        ends = _Ends(self, elsewhere)
        for synapse in found.synapses:
            faults += ends.loop(synapse, "target")
        for coupling in found.couplings:
            faults += ends.loop(coupling, "source") + ends.loop(coupling, "target")
        for guide in found.waveguides:
            faults += ends.source_of_light(guide) + ends.synapse(guide, open_waveguides)
        for drive in found.drives:
            faults += ends.loop(drive, "target")
        for neuron in found.neurons:
            own = _threshold_fault(self._device, neuron.soma)
            if neuron.refractory is not None:
                own += _refractory_fault(self._device, neuron.soma, neuron.refractory)
            faults += [f"{fault} (neuron {neuron.id})" for fault in own]
        return faults

    def check(self) -> None:
        """Raise one InputError with every fault that :meth:`validate` finds."""
        faults = self.validate()
        if faults:
            raise InputError(faults)

    def _id_faults(self, found: SortedParts) -> list[str]:
        faults = []
        for neuron in found.neurons:
            for ending in DERIVED_IDS:
                name = f"{neuron.id}{ending}"
                if self._node_part(name) is not None:
                    part = self[name]
                    reason = f"{name!r} belongs to a loop inside the neuron {neuron.id}"
                    faults.append(f"{type(part).__name__}.id: {reason}; give another id{part._label()}")
        for name, data in self._graph.nodes(data=True):
            part = data.get("part")
            if part is not None and (not isinstance(part, Synapse | Dendrite | Neuron) or part.id != name):
                faults.append(f"Network.graph: the node {name!r} bears {parts.shown(part)}; add parts with Network.add")
            if isinstance(part, Synapse) and not self._graph.has_edge(name, part.target, SYNAPSE_EDGE):
                faults.append(
                    f"Network.graph: the edge from the synapse {name} to {part.target} is gone; use Network.remove"
                )
        for source, target, key, part in self._graph.edges(keys=True, data="part"):
            if part is None:
                aim = self._node_part(source)
                fits = key == SYNAPSE_EDGE and isinstance(aim, Synapse) and aim.target == target
            else:
                fits = isinstance(part, Coupling | Waveguide) and self._ends.get(key) == (source, target)
                fits = fits and (part.source, part.target) == (source, target)
            if not fits:
                faults.append(f"Network.graph: the edge {source} -> {target} bears no fitting part; use Network.add")
        return faults

    def refractory_coupling(self, name: str) -> float:
        """Coupling (Phi0 per unit s) of the refractory dendrite of the neuron ``name``, "auto" worked out.

        Raises:
            InputError: no such neuron, no refractory dendrite, or "auto" cannot be worked out.
        """
        neuron = self[name]
        if not isinstance(neuron, Neuron) or neuron.refractory is None:
            raise InputError(f"Network.refractory_coupling: {name!r} is no neuron with a refractory dendrite; name one")
        if neuron.refractory.J == "auto":
            return auto_refractory_coupling(self._device, neuron.soma, neuron.refractory)
        return float(neuron.refractory.J)

    def loading(self) -> dict[tuple[str, str], float]:
        """Estimate how much loops that couple into the same loop would pull at each other's currents on a chip, where that is left out.

        Where a target has no ``collection_inductance`` its inputs do not load each other; collected by the coils of circuit.md 7
        (60 pH, coupled into the SQUID by 6.5 pH) a fluxon in one would change the other's current by the returned share of its step.

        Returns:
            The share by (loop that is pulled, loop that pulls), the largest over all targets, descending; no pair twice.
        """
        from soen_event.physics.inductance import TWO_PI, stiffness
        from soen_event.plan import electrical
        from soen_event.units import Phi0

        stiff = stiffness(60e-12, 6.5e-12, Phi0, self._device.Ic)
        loops = self._loops()
        inputs: dict[str, list[tuple[str, float]]] = {}
        for coupling in self.couplings:
            inputs.setdefault(coupling.target, []).append((coupling.source, float(coupling.J)))
        for name, neuron in self.neurons.items():
            if neuron.refractory is not None:
                loops[f"{name}.refractory"] = neuron.refractory
                inputs.setdefault(name, []).append((f"{name}.refractory", self.refractory_coupling(name)))
        found: dict[tuple[str, str], float] = {}
        for target, ends in inputs.items():
            part = self.neurons[target].soma if target in self.neurons else self.dendrites[target]
            if part.collection_inductance is not None:
                continue
            betas = {source: electrical(self._device, loops[source])[0] for source, _ in ends}
            for (one, J), (other, K) in itertools.permutations(ends, 2):
                share = abs(TWO_PI * J * K * stiff) / betas[one]
                if one != other and share > found.get((one, other), 0.0):
                    found[one, other] = share
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def warnings(self) -> list[str]:
        """Return what will run but may not do what was meant.

        Loops whose flux can leave [-1/2, 1/2], where the response is no longer monotone (physics.md 5): the constant
        flux, full source loops, saturated detectors and flux drives are added up, positive and negative apart. The
        refractory dendrite is left out, because it acts against a flux that has just made the soma fire. And loops that
        make fluxons without input (over-biased), or none whatever the input.
        """
        messages = []
        ranges, loops = self._flux_ranges(), self._loops()
        idle_currents = _idle_currents(self._device, loops)
        for name, loop in loops.items():
            kind = type(loop).__name__
            label = f"{kind} {name}"
            for word, bound, total in zip(("down", "up"), (-0.5, 0.5), ranges[name], strict=True):
                if abs(total) > 0.5 + 1e-12:
                    terms = f"phi_offset {loop.phi_offset:g} and inputs {total - loop.phi_offset:.4g}"
                    messages.append(
                        f"{label}: flux can go {word} to {total:.4g} Phi0 ({terms}), beyond {bound:g}, where more flux "
                        "means less response; weaken the inputs or use normalize_fanin()"
                    )
            idle = idle_currents[name]
            largest = _saturation(self._device, loop, loop.ib)
            if largest <= 0.0:
                messages.append(f"{label}: ib = {loop.ib:g} is too low for any flux to make a fluxon; raise ib")
            elif idle > 0.0:
                messages.append(
                    f"{label}: ib = {loop.ib:g} is {idle:.4g} above the critical current at its phi_offset "
                    f"{loop.phi_offset:g}, so it makes fluxons with no input; lower ib or phi_offset"
                )
        return messages

    def _loops(self) -> dict[str, Any]:
        """Dendrites and somas by id, ascending; a soma by its neuron's."""
        found: dict[str, Any] = dict(self.dendrites)
        found.update((name, neuron.soma) for name, neuron in self.neurons.items())
        return dict(sorted(found.items()))

    def _input_ranges(self) -> list[tuple[str, str, float]]:
        """(target, key, largest contribution in Phi0) of every coupling and synapse whose ends exist."""
        loops = self._loops()
        full = {name: max(_saturation(self._device, loop, loop.ib), 0.0) for name, loop in loops.items()}
        found = [
            (c.target, self.key(c), c.J * full[c.source])
            for c in self.couplings
            if c.source in loops and c.target in loops
        ]
        for name, synapse in self.synapses.items():
            if synapse.target in loops:
                level = synapse.phi_peak * (1.0 - synapse.tau_rise / synapse.tau_fall)
                found.append((synapse.target, name, synapse.weight * level))
        return found

    def _flux_ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest flux (Phi0) that the inputs of every loop can add up to."""
        loops = self._loops()
        low = {name: [loop.phi_offset] for name, loop in loops.items()}
        high = {name: [loop.phi_offset] for name, loop in loops.items()}
        inputs = self._input_ranges()
        for drive in self.drives:
            if drive.target in loops:
                inputs += [(drive.target, "", extreme) for extreme in _drive_range(drive)]
        for target, _, flux in inputs:
            (low if flux < 0.0 else high)[target].append(flux)
        return {name: (math.fsum(low[name]), math.fsum(high[name])) for name in loops}

    def normalize_fanin(self, buffer: float = 0.0, coeff: float = 1.0) -> Network:
        """Return a network whose inputs cannot drive a loop beyond the monotone range (physics.md 5, "symmetric").

        With phi_max = 1/2 - buffer phi_th: where the positive contributions to a loop (J s_max of couplings, weight
        times pulse height of synapses) add up to more than phi_max, each is scaled by coeff phi_max over their sum;
        likewise the negative ones. Refractory dendrites and flux drives are left alone.

        Args:
            buffer: share of the loop's threshold flux phi_th kept free, 0 or more.
            coeff: factor on what was scaled, above 0.

        Raises:
            InputError: an argument out of its range.
        """
        faults = []
        if not (isinstance(buffer, int | float) and 0.0 <= buffer < math.inf):
            faults.append(f"Network.normalize_fanin: buffer = {buffer!r} is no share; give 0 or more")
        if not (isinstance(coeff, int | float) and 0.0 < coeff < math.inf):
            faults.append(f"Network.normalize_fanin: coeff = {coeff!r} is no factor; give a number above 0")
        if faults:
            raise InputError(faults)
        loops = self._loops()
        groups: dict[tuple[str, bool], list[tuple[str, float]]] = {}
        for target, key, flux in self._input_ranges():
            if flux != 0.0:
                groups.setdefault((target, flux > 0.0), []).append((key, abs(flux)))
        other = self.copy()
        for (target, _), members in groups.items():
            threshold, _ = _threshold_flux(self._device, loops[target], loops[target].ib)
            largest = 0.5 - buffer * max(threshold, 0.0)  # (an RTTI dendrite's may be just below zero)
            total = math.fsum(flux for _, flux in members)
            if total <= largest:
                continue
            for key, _ in members:
                part = other[key]
                field = "weight" if isinstance(part, Synapse) else "J"
                other.replace(key, **{field: getattr(part, field) * coeff * max(largest, 0.0) / total})
        return other

    # ---- telling

    def summary(self) -> str:
        """Return a table: device, counts, the spread of every parameter, fan-in and fan-out, faults and warnings."""
        return _table(self)

    # ---- files

    def to_dict(self) -> dict[str, Any]:
        """Return the network as the plain data of a network file (design.md 5)."""
        found: tuple[list[Any], ...] = self.sorted_parts()
        document: dict[str, Any] = {"soen": 1}
        if self.name:
            document["name"] = self.name
        document["device"] = dict(self._device.as_dict())
        for section, members in zip(SortedParts._fields, found, strict=True):
            if members:
                document[section] = [part.as_dict() for part in members]
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Network:
        """Build a network from the plain data of a network file.

        Raises:
            InputError: with every fault and its place, such as ``dendrites[2].tau``.
        """
        from soen_event.files import from_dict

        return from_dict(document)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Read a network file, YAML or JSON (design.md 5).

        A waveguide to a synapse that is not there is let through, as in an excerpt of a larger network; :meth:`check`
        tells of it before anything runs.

        Raises:
            InputError: with every fault, its file, line and place.
        """
        from soen_event.files import load

        return load(path)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write a network file, YAML or JSON by the suffix; in one step, so that no half-written file is left behind.

        Raises:
            InputError: the suffix is unknown, the folder is missing, or the file exists and ``overwrite`` is False.
        """
        from soen_event.files import save

        save(self, path, overwrite=overwrite)


# ---------------------------------------------------------------------------------------------- details


class _Ends:
    """Judges the ends of edges, and names the nearest known id for the first faults."""

    def __init__(self, network: Network, elsewhere: Collection[str]):
        self.network, self.elsewhere = network, elsewhere
        self.loops = {*network.dendrites, *network.neurons}
        self.suggested = 0

    def _nearest(self, word: str, known: Iterable[str]) -> str:
        self.suggested += 1
        return nearest(word, known) if self.suggested <= _SUGGESTED else ""

    def loop(self, part: Any, field: str) -> list[str]:
        name = getattr(part, field)
        if name in self.loops or name in self.elsewhere:
            return []
        place = f"{type(part).__name__}.{field}"
        if name in self.network.synapses:
            reason = "is a synapse, which has no loop"
            return [f"{place}: {name!r} {reason}; name a dendrite or a neuron{part._label()}"]
        owner = next((name.removesuffix(end) for end in DERIVED_IDS if name.endswith(end)), "")
        if owner in self.network.neurons:
            return [
                f"{place}: {name!r} is inside a neuron; name the neuron {owner!r}, which means its soma{part._label()}"
            ]
        hint = self._nearest(name, self.loops)
        return [f"{place}: there is no dendrite or neuron {name!r}{hint}; add it or correct the name{part._label()}"]

    def source_of_light(self, guide: Waveguide) -> list[str]:
        neuron = self.network.neurons.get(guide.source)
        if guide.source in self.elsewhere:
            return []
        if neuron is None:
            hint = self._nearest(guide.source, self.network.neurons)
            reason = f"there is no neuron {guide.source!r}{hint}"
            return [f"Waveguide.source: {reason}; add it or correct the name{guide._label()}"]
        if neuron.transmitter is None:
            reason = f"the neuron {guide.source!r} has no transmitter"
            return [f"Waveguide.source: {reason}; give it one or remove the waveguide{guide._label()}"]
        return []

    def synapse(self, guide: Waveguide, may_be_open: bool) -> list[str]:
        if guide.target in self.network.synapses or guide.target in self.elsewhere:
            return []
        if guide.target in self.loops:
            reason = f"{guide.target!r} is no synapse"
            return [f"Waveguide.target: {reason}; light goes to detectors, put a synapse in between{guide._label()}"]
        if may_be_open:
            return []
        hint = self._nearest(guide.target, self.network.synapses)
        reason = f"there is no synapse {guide.target!r}{hint}"
        return [f"Waveguide.target: {reason}; add it or correct the name{guide._label()}"]


def _drive_order(drive: Drive) -> tuple[Any, ...]:
    pulses = tuple((p.t0, p.phi_peak, p.tau_rise, p.tau_fall) for p in drive.pulses or ())
    return drive.target, drive.points or (), pulses, drive.quanta or (), drive.arm


def _drive_range(drive: Drive) -> tuple[float, float]:
    """Lowest (at most 0) and highest (at least 0) flux of a drive; of pulses, the flux at the peaks."""
    if drive.points is not None:
        values = np.array([flux for _, flux in drive.points])
    elif drive.quanta is not None:
        return 0.0, 0.0
    else:
        values = drive.flux(np.array([pulse.peak_time for pulse in drive.pulses or ()]))
    return min(float(values.min()), 0.0), max(float(values.max()), 0.0)


def _changed(part: Any, changes: Mapping[str, Any], label: str = "") -> Any:
    """The part with fields changed; of two fields that say the same, the one that is not given is dropped."""
    known = parts.fields_of(type(part))
    unknown = [
        f"{type(part).__name__}.{name}: unknown field{nearest(str(name), known)}; correct it{label}"
        for name in changes
        if name not in known
    ]
    if unknown:
        raise InputError(unknown)
    changes = dict(changes)
    for name, instead in (("beta_over_2pi", "inductance"), ("tau", "resistance"), ("J", "mutual")):
        if instead in known and name in changes and instead not in changes:
            changes[instead] = None
        elif instead in known and changes.get(instead) is not None and name not in changes:
            changes[name] = None
    with parts.detached():
        try:
            return dataclasses.replace(part, **changes)
        except InputError as error:
            raise InputError([fault + label for fault in error.faults]) from None


def _table(network: Network) -> str:
    counts = network._counts()
    device = ", ".join(f"{name} {value}" for name, value in network.device.as_dict().items())
    lines = [
        f"Network {network.name!r}" if network.name else "Network",
        f"device   {device}",
        f"parts    {', '.join(f'{count} {word}' for word, count in counts.items())}",
        "",
        f"{'':16}{'count':>8}{'min':>12}{'median':>12}{'max':>12}",
    ]

    def row(name: str, values: Any) -> None:
        if len(values):
            low, middle, high = np.min(values), np.median(values), np.max(values)
            lines.append(f"{name:16}{len(values):>8}{low:>12.5g}{middle:>12.5g}{high:>12.5g}")

    loops = network._loops()
    fan_in, fan_out = Counter(dict.fromkeys(loops, 0)), Counter(dict.fromkeys(loops, 0))
    receivers: list[Any] = [*network.synapses.values(), *network.couplings]
    senders: list[Any] = [*network.couplings, *network.waveguides]
    fan_in.update(part.target for part in receivers)
    fan_out.update(part.source for part in senders)
    units = {"J": "Phi0", "phi_offset": "Phi0", "ib": "I_c", "tau": "ns", "threshold": "I_c", "delay": "ns"}
    for name, array in network.parameters().items():
        row(f"{name} ({units[name]})" if name in units else name, array)
    row("beta/2pi", [loop.beta_over_2pi for loop in loops.values()])
    row("fan-in", list(fan_in.values()))
    row("fan-out", list(fan_out.values()))
    for word, messages in (("faults", network.validate()), ("warnings", network.warnings())):
        lines += ["", f"{word}   {len(messages)}", *(f"  {message}" for message in messages[:10])] if messages else []
        lines += [f"  ... and {len(messages) - 10} more"] if len(messages) > 10 else []
    return "\n".join(lines)
