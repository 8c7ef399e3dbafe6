"""Wiring: any networkx graph as a network, dendritic trees, and the usual architectures on networkx generators.

Graph nodes become neurons, edges become a waveguide and a synapse. Everything random takes an explicit ``seed``; a
drawn weight or delay depends on the seed and the names of its two ends only, so a larger network keeps the values of a
smaller one. :data:`BUILDERS` holds the functions that ``populations:`` and ``connect:`` of a network file may name.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from soen_event import parts
from soen_event.errors import InputError, nearest
from soen_event.network import Network, _saturation
from soen_event.parts import Coupling, Dendrite, Neuron, Part, Refractory, Synapse, Transmitter, Waveguide

if TYPE_CHECKING:
    import networkx

    from soen_event.device import Device

__all__ = [
    "BUILDERS",
    "all_to_all",
    "crossbar",
    "detectors",
    "from_graph",
    "layers",
    "one_to_one",
    "population",
    "power_law",
    "random_network",
    "random_pairs",
    "small_world",
    "spatial",
    "tree",
]

Template: TypeAlias = "Part | Mapping[str, Any] | None"
"""A part whose id and ends do not count, or a mapping of its other fields."""
Value: TypeAlias = Any
"""A number or quantity for all, an edge attribute's name, a distribution, a matrix, or a callable (see from_graph)."""

MOST = 10_000_000
"""More neurons than this in one call are taken for a slip."""
LIGHT_NS_PER_CM = 1.0 / 29.9792458
DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, float, float], float]] = {
    "normal": lambda random, mean, deviation: random.normal(mean, deviation),
    "uniform": lambda random, low, high: random.uniform(low, high),
    "lognormal": lambda random, median, sigma: median * math.exp(random.normal(0.0, sigma)),
}
_ENDS: dict[type, tuple[str, ...]] = {Synapse: ("id", "target"), Dendrite: ("id",), Neuron: ("id",)}
_OTHER = re.compile(r"[^A-Za-z0-9_.:/\[\]\-]+")
_STARTS_A_NUMBER = re.compile(r"\s*[+-]?\.?\d")


# ---------------------------------------------------------------------------------------------- any graph


def from_graph(
    graph: networkx.Graph,
    *,
    neuron: Template | Callable[[Any], Any] = None,
    synapse: Template = None,
    weight: Value = "weight",
    delay: Value = "delay",
    loss_db: Value = "loss_db",
    dendrites_per_neuron: int = 0,
    dendrite: Template = None,
    J: float | None = None,
    inputs: bool | Iterable[Hashable] = False,
    seed: int | None = None,
    prefix: str | None = None,
    device: Device | Mapping[str, Any] | None = None,
    name: str | None = None,
    into: Network | None = None,
) -> Network:
    """Turn any networkx graph into a network: a neuron for every node, a waveguide and a synapse for every edge.

    An undirected edge counts in both directions; parallel edges and self-loops are kept. A node ``3`` becomes the
    neuron ``n3``, ``(0, 1)`` becomes ``n[0][1]``, text keeps the characters of ids (others become ``_``), and with a
    ``prefix`` every label becomes ``prefix[label]``; equal names are numbered. The node attribute ``label`` in
    ``net.graph`` holds the original. The synapse of an edge is called ``source:target``.

    Args:
        graph: Graph, DiGraph, MultiGraph or MultiDiGraph with any labels.
        neuron: fields of every neuron (default: soma, refractory dendrite and transmitter with their defaults), or a
            callable that returns them for a node's label. In a mapping, what is left out is not there.
        synapse: fields of every synapse.
        weight: of each synapse: a number; the name of an edge attribute (default "weight"; an edge without it takes the
            template's); a distribution such as ``{"normal": [0.4, 0.1]}``, ``{"uniform": [low, high]}`` or
            ``{"lognormal": [median, sigma]}``, which needs ``seed``; or a callable of (source, target, edge data).
        delay: of each waveguide, ns, in the same ways (default: edge attribute "delay", else 0).
        loss_db: of each waveguide, dB, in the same ways (default: edge attribute "loss_db", else 0).
        dendrites_per_neuron: with k > 0 the synapses of a neuron sit on its k dendrites ``neuron/0`` ..., shared out in
            turn in the order of their sources, and the dendrites are coupled to the soma with ``J``.
        dendrite: fields of these dendrites.
        J: coupling of every dendrite to its soma, Phi0 per unit s (default: all k full give 1/2 Phi0).
        inputs: labels of nodes that get a synapse ``in:<neuron>`` for photons from outside; True for all. With k > 1
            dendrites there is one on each, ``in:<neuron>:0`` ....
        seed: for distributions.
        prefix: begins every neuron's id.
        device: of a new network.
        name: of a new network.
        into: an existing network to add to.

    Raises:
        InputError: an argument that does not fit, or a part that refuses its values.
    """
    import networkx

    place = "from_graph"
    if not isinstance(graph, networkx.Graph):
        raise InputError(f"{place}.graph: {parts.shown(graph)} is no networkx graph; give one")
    _whole(dendrites_per_neuron, f"{place}.dendrites_per_neuron", 0)
    net = _network(into, device, graph.name if name is None else name, place)
    names = _names(graph.nodes, prefix, net)
    labels = sorted(names, key=names.__getitem__)
    with parts.detached():
        for label in labels:
            template = neuron(label) if callable(neuron) else neuron
            net.add(_neuron(names[label], template))
            net.graph.nodes[names[label]]["label"] = label
        aims = {label: [names[label]] for label in labels}
        if dendrites_per_neuron:
            for label in labels:
                aims[label] = tree(net, names[label], (dendrites_per_neuron,), J=J, dendrite=dendrite)
        wires = _Wires(net, synapse, weight, delay, loss_db, seed, place)
        directed = graph if graph.is_directed() else graph.to_directed()
        incoming = dict.fromkeys(labels, 0)
        edges = [(names[u], names[v], _edge_order(data), u, v, data) for u, v, data in directed.edges(data=True)]
        for source, target, _, u, v, data in sorted(edges, key=lambda edge: edge[:3]):
            aim = aims[v][incoming[v] % len(aims[v])]
            incoming[v] += 1
            wires.light(source, target, aim, u, v, data)
        for label in labels if inputs is True else inputs or ():
            if label not in names:
                raise InputError(f"{place}.inputs: {label!r} is no node of the graph; give labels of nodes, or True")
            _input(net, names[label], aims[label], synapse)
    return net


def _edge_order(data: Mapping[Any, Any]) -> str:
    """Orders parallel edges by what they carry, not by when they were added."""
    return repr(sorted((str(key), repr(value)) for key, value in data.items()))


def _names(labels: Iterable[Hashable], prefix: str | None, net: Network) -> dict[Any, str]:
    """An id for every label, unique in itself and in the network, independent of the order of the labels."""
    taken: set[str] = set()
    names = {}
    for label in sorted(labels, key=lambda label: (_label_text(label), repr(label))):
        text = _label_text(label)
        if prefix is not None:
            base = f"{prefix}[{text}]" if not isinstance(label, tuple) else f"{prefix}{text}"
        elif isinstance(label, str):
            base = text
        else:
            base = f"n{text}"
        name, count = base, 1
        while name in taken or name in net:
            count += 1
            name = f"{base}:{count}"
        taken.add(name)
        names[label] = name
    return names


def _label_text(label: Any) -> str:
    if isinstance(label, tuple):
        return "".join(f"[{_label_text(item)}]" for item in label) or "[]"
    return _OTHER.sub("_", str(label)) or "_"


# ---------------------------------------------------------------------------------------------- architectures


def layers(sizes: Sequence[int], *, p: float = 1.0, seed: int | None = None, **wiring: Any) -> Network:
    """Feed-forward layers of neurons ``layer0[0]`` ..., each connected to the next.

    Args:
        sizes: neurons in every layer.
        p: probability of each connection; 1 connects all. Below 1 it needs ``seed``.
        seed: for ``p`` and distributions.
        wiring: keywords of :func:`from_graph`; ``inputs`` is True by default and means the first layer; ``prefix``
            stands for "layer"; ``weight`` may also be a list of one matrix (n_before, n_after) for every step.

    Raises:
        InputError: an argument that does not fit.
    """
    import networkx

    place = "layers"
    sizes = [_whole(size, f"{place}.sizes", 1, MOST) for size in _listed(sizes, f"{place}.sizes")]
    _share(p, f"{place}.p")
    if p < 1.0:
        _seeded(seed, place, "connections")
    prefix = wiring.pop("prefix", None) or "layer"
    graph = networkx.DiGraph()
    members = [[f"{prefix}{level}[{k}]" for k in range(size)] for level, size in enumerate(sizes)]
    graph.add_nodes_from(itertools.chain(*members))
    matrices = _matrices(wiring.get("weight"), sizes, place)
    if matrices:
        wiring["weight"] = "weight"
    for level, (before, after) in enumerate(itertools.pairwise(members)):
        for (row, u), (column, v) in itertools.product(enumerate(before), enumerate(after)):
            if p >= 1.0 or _lot(seed, "layers", f"{u}:{v}") < p:
                graph.add_edge(u, v, **({"weight": float(matrices[level][row, column])} if matrices else {}))
    if wiring.setdefault("inputs", True) is True:
        wiring["inputs"] = members[0]
    return from_graph(graph, seed=seed, **wiring)


def _matrices(weight: Any, sizes: Sequence[int], place: str) -> list[np.ndarray]:
    if isinstance(weight, np.ndarray):
        weight = weight.tolist()
    if not isinstance(weight, list | tuple):
        return []
    shapes = list(itertools.pairwise(sizes))
    nested = weight if len(shapes) != 1 or np.ndim(weight) == 3 else [weight]
    if len(nested) != len(shapes):
        raise InputError(
            f"{place}.weight: {len(nested)} matrices for {len(shapes)} steps between layers; give one each"
        )
    return [
        _matrix(matrix, shape, f"{place}.weight[{k}]")
        for k, (matrix, shape) in enumerate(zip(nested, shapes, strict=True))
    ]


def crossbar(
    n_in: int,
    n_out: int,
    weights: Any = None,
    *,
    neuron: Template = None,
    dendrite: Template = None,
    synapse: Template = None,
    prefix: str | None = None,
    device: Device | Mapping[str, Any] | None = None,
    name: str | None = None,
    into: Network | None = None,
) -> Network:
    """A crossbar of couplings: row dendrites ``in[i]`` with a detector ``in:in[i]`` each, column neurons ``out[j]``.

    Args:
        n_in: rows.
        n_out: columns.
        weights: couplings J (Phi0 per unit s), shape (n_in, n_out) or one number (default: full rows give 1/2 Phi0).
        neuron: fields of the column neurons.
        dendrite: fields of the row dendrites.
        synapse: fields of the detectors.
        prefix: put before "in" and "out", with a dot.
        device: of a new network.
        name: of a new network.
        into: an existing network to add to.

    Raises:
        InputError: an argument that does not fit.
    """
    place = "crossbar"
    n_in, n_out = _whole(n_in, f"{place}.n_in", 1, MOST), _whole(n_out, f"{place}.n_out", 1, MOST)
    net = _network(into, device, name, place)
    before = f"{prefix}." if prefix else ""
    rows, columns = ([f"{before}{side}[{k}]" for k in range(n)] for side, n in (("in", n_in), ("out", n_out)))
    with parts.detached():
        for row in rows:
            net.add(_made(Dendrite, dendrite, id=row))
            net.add(_made(Synapse, synapse, id=f"in:{row}", target=row))
        for column in columns:
            net.add(_neuron(column, neuron))
        if weights is None:
            weights = _shared_coupling(net, rows)
        matrix = _matrix(weights, (n_in, n_out), f"{place}.weights")
        for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
            net.add(Coupling(row, column, J=float(matrix[i, j])))
    return net


def random_network(n: int, *, seed: int, p: float | None = None, degree: int | None = None, **wiring: Any) -> Network:
    """Neurons with random connections and no self-loops.

    Args:
        n: neurons.
        seed: of the connections, and for distributions.
        p: probability of each directed connection (``networkx.fast_gnp_random_graph``); or
        degree: number of inputs of every neuron (``networkx.random_uniform_k_out_graph``, reversed). Give one of them.
        wiring: keywords of :func:`from_graph`.

    Raises:
        InputError: an argument that does not fit.
    """
    import networkx
    from networkx.generators.directed import random_uniform_k_out_graph

    place = "random_network"
    n, seed = _whole(n, f"{place}.n", 1, MOST), _seeded(seed, place, "connections")
    if (p is None) == (degree is None):
        raise InputError(f"{place}.p: give p or degree{'' if p is None else ', not both'}")
    if p is not None:
        graph = networkx.fast_gnp_random_graph(n, _share(p, f"{place}.p"), seed=seed, directed=True)
    else:
        k = _whole(degree, f"{place}.degree", 0, n - 1)
        graph = random_uniform_k_out_graph(n, k, self_loops=False, with_replacement=False, seed=seed)
        graph = networkx.DiGraph(graph.reverse())
    graph.graph.clear()
    return from_graph(graph, seed=seed, **wiring)


def small_world(n: int, k: int, p: float, *, seed: int, **wiring: Any) -> Network:
    """A ring of neurons, each tied to its k nearest in both directions, ties rewired with probability p.

    ``networkx.watts_strogatz_graph`` (Watts and Strogatz 1998).

    Args:
        n: neurons.
        k: ties of each neuron, even, below n (an odd k counts as k - 1).
        p: probability that a tie is rewired.
        seed: of the rewiring, and for distributions.
        wiring: keywords of :func:`from_graph`.

    Raises:
        InputError: an argument that does not fit.
    """
    import networkx

    place = "small_world"
    n = _whole(n, f"{place}.n", 1, MOST)
    k, p = _whole(k, f"{place}.k", 0, n - 1), _share(p, f"{place}.p")
    graph = networkx.watts_strogatz_graph(n, k, p, seed=_seeded(seed, place, "connections"))
    return from_graph(graph, seed=seed, **wiring)


def power_law(n: int, m: int, *, seed: int, **wiring: Any) -> Network:
    """Neurons with a power law of degrees (exponent 3): each new one is tied in both directions to m earlier ones.

    ``networkx.barabasi_albert_graph`` (Barabasi and Albert 1999).

    Args:
        n: neurons.
        m: ties of every new neuron, 1 to n - 1.
        seed: of the ties, and for distributions.
        wiring: keywords of :func:`from_graph`.

    Raises:
        InputError: an argument that does not fit.
    """
    import networkx

    place = "power_law"
    n = _whole(n, f"{place}.n", 2, MOST)
    m = _whole(m, f"{place}.m", 1, n - 1)
    return from_graph(
        networkx.barabasi_albert_graph(n, m, seed=_seeded(seed, place, "connections")), seed=seed, **wiring
    )


def spatial(
    n: int | None = None,
    radius_mm: float = 2.0,
    *,
    seed: int | None = None,
    positions: Mapping[Any, Sequence[float]] | Sequence[Sequence[float]] | None = None,
    size_mm: float = 10.0,
    group_index: float = 2.0,
    loss_db_per_cm: float = 0.0,
    **wiring: Any,
) -> Network:
    """Neurons on a die, connected in both directions within a radius; light takes group_index times distance over c.

    ``networkx.random_geometric_graph``; with a group index of 2 the delay is 67 ps per cm (physics.md 4.5). The node
    attribute ``pos`` in ``net.graph`` holds the position in mm.

    Args:
        n: neurons at uniformly drawn positions on a square; or give ``positions``.
        radius_mm: neurons this close are connected.
        seed: of the positions, and for distributions.
        positions: (x, y) in mm by label, or one row each.
        size_mm: edge of the square.
        group_index: of the waveguides, 1 or more.
        loss_db_per_cm: attenuation of the waveguides.
        wiring: keywords of :func:`from_graph` but ``delay`` and ``loss_db``.

    Raises:
        InputError: an argument that does not fit.
    """
    import networkx

    place = "spatial"
    radius_mm = _positive(radius_mm, f"{place}.radius_mm")
    group_index = _positive(group_index, f"{place}.group_index", 1.0)
    loss_db_per_cm = _positive(loss_db_per_cm, f"{place}.loss_db_per_cm", 0.0)
    if (n is None) == (positions is None):
        raise InputError(f"{place}.n: give n or positions{'' if n is None else ', not both'}")
    for name in ("delay", "loss_db"):
        if name in wiring:
            raise InputError(f"{place}.{name}: follows from the distance; leave it out, or use from_graph")
    if positions is None:
        count, size_mm = _whole(n, f"{place}.n", 1, MOST), _positive(size_mm, f"{place}.size_mm")
        seed = _seeded(seed, place, "positions")
        drawn = (_random(seed, "spatial", str(k)).uniform(0.0, size_mm, 2) for k in range(count))
        where = {k: tuple(map(float, point)) for k, point in enumerate(drawn)}
    else:
        where = _positions(positions, f"{place}.positions")
    graph = networkx.random_geometric_graph(list(where), radius_mm, pos=where)
    for u, v, data in graph.edges(data=True):
        centimetres = math.dist(where[u], where[v]) / 10.0
        data["delay"] = group_index * LIGHT_NS_PER_CM * centimetres
        data["loss_db"] = loss_db_per_cm * centimetres
    net = from_graph(graph, seed=seed, **wiring)
    for _, data in net.graph.nodes(data=True):
        if "label" in data and "pos" not in data:
            data["pos"] = where.get(data["label"])
    return net


def _positions(given: Any, place: str) -> dict[Any, tuple[float, ...]]:
    items = given.items() if isinstance(given, Mapping) else enumerate(_listed(given, place))
    where: dict[Any, tuple[float, ...]] = {}
    faults = []
    for label, point in items:
        try:
            x, y = (float(value) for value in point)
        except (TypeError, ValueError):
            faults.append(f"{place}[{label!r}]: {parts.shown(point)} is no position; give (x, y) in mm")
            continue
        if not (math.isfinite(x) and math.isfinite(y)):
            faults.append(f"{place}[{label!r}]: {parts.shown(point)} is not finite; give (x, y) in mm")
        where[label] = (x, y)
    if faults:
        raise InputError(faults)
    return where


# ---------------------------------------------------------------------------------------------- onto a network


def tree(
    net: Network, target: str, branching: Sequence[int] = (3, 3), J: Any = None, dendrite: Any = None
) -> list[str]:
    """Grow a dendritic arbor onto a neuron or dendrite and return the ids of its leaves.

    The first level has ``branching[0]`` dendrites ``target/0``, ``target/1`` ... coupled to the target; each of them
    gets ``branching[1]`` dendrites ``target/0/0`` ..., and so on.

    Args:
        net: the network to add to.
        target: id of the neuron or dendrite at the root.
        branching: dendrites on each dendrite of the level before; () returns the target itself.
        J: couplings (Phi0 per unit s): a number, or for every level a number or a list with one for every dendrite
            (default: the full dendrites on one target add up to 1/2 Phi0).
        dendrite: fields of every dendrite, or a list of them for every level.

    Raises:
        InputError: no such target, or an argument that does not fit.
    """
    place = "tree"
    if target not in net:
        raise InputError(f"{place}.target: there is no {target!r}{nearest(str(target), net.graph.nodes)}; add it first")
    if not isinstance(net[target], Neuron | Dendrite):
        raise InputError(f"{place}.target: {target!r} has no loop to couple to; name a neuron or a dendrite")
    counts = [_whole(count, f"{place}.branching", 1) for count in _listed(branching, f"{place}.branching")]
    leaves = [target]
    with parts.detached():
        for level, count in enumerate(counts):
            template = _of_level(dendrite, level, len(counts), f"{place}.dendrite")
            grown = [(root, f"{root}/{k}") for root in leaves for k in range(count)]
            for _, name in grown:
                net.add(_made(Dendrite, template, id=name))
            given = _of_level(J, level, len(counts), f"{place}.J")
            if given is None:
                given = _shared_coupling(net, [name for _, name in grown[:count]])
            strengths = _matrix(given, (len(grown),), f"{place}.J[{level}]")
            for (root, name), strength in zip(grown, strengths, strict=True):
                net.add(Coupling(name, root, J=float(strength)))
            leaves = [name for _, name in grown]
    return leaves


def _trees(
    net: Network, target: Sequence[str], branching: Sequence[int] = (3, 3), J: Any = None, dendrite: Any = None
) -> list[str]:
    """A tree on each of several targets; returns all leaves."""
    return [leaf for each in target for leaf in tree(net, each, branching, J, dendrite)]


def _of_level(given: Any, level: int, levels: int, place: str) -> Any:
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, list | tuple):
        return given
    if len(given) != levels:
        raise InputError(f"{place}: {len(given)} entries for {levels} levels; give one for each level, or one for all")
    return given[level]


def _shared_coupling(net: Network, names: Sequence[str]) -> float:
    """The coupling with which these dendrites, all full, add up to half a flux quantum."""
    full = [_saturation(net.device, net[name], net[name].ib) for name in names]
    total = math.fsum(max(current, 0.0) for current in full)
    return 0.5 / total if total > 0.0 else 0.5


def population(
    net: Network,
    name: str,
    size: int,
    *,
    neuron: Template = None,
    dendrite: Template = None,
    inputs: bool = False,
    synapse: Template = None,
) -> list[str]:
    """Add neurons ``name[0]`` ... without connections, or dendrites if ``dendrite`` is given; return their ids.

    Args:
        net: the network to add to.
        name: begins every id.
        size: how many.
        neuron: fields of every neuron.
        dendrite: fields of every dendrite (an empty mapping for the defaults).
        inputs: a synapse ``in:<id>`` on each, for photons from outside.
        synapse: fields of these synapses.

    Raises:
        InputError: an argument that does not fit.
    """
    place = "population"
    size = _whole(size, f"{place}.size", 1, MOST)
    if neuron is not None and dendrite is not None:
        raise InputError(f"{place}.dendrite: given together with neuron; give one of the two")
    names = [f"{name}[{k}]" for k in range(size)]
    with parts.detached():
        for each in names:
            net.add(_neuron(each, neuron) if dendrite is None else _made(Dendrite, dendrite, id=each))
            if inputs:
                _input(net, each, [each], synapse)
    return names


def detectors(net: Network, target: Sequence[str], *, synapse: Template = None) -> list[str]:
    """Put a synapse ``in:<id>`` for photons from outside on each of several dendrites or neurons; return their ids.

    Args:
        net: the network to add to.
        target: ids of dendrites or neurons.
        synapse: fields of the synapses.

    Raises:
        InputError: no such target, or one has such a synapse already.
    """
    for name in target:
        if name not in net or not isinstance(net[name], Neuron | Dendrite):
            raise InputError(f"detectors.target: there is no neuron or dendrite {name!r}; name one")
    with parts.detached():
        return [net.add(_made(Synapse, synapse, id=f"in:{name}", target=name)).id for name in target]


def all_to_all(
    net: Network,
    source: Sequence[str],
    target: Sequence[str],
    *,
    self_loops: bool = False,
    seed: int | None = None,
    **wires: Any,
) -> list[str]:
    """Connect every source to every target; return the ids of the synapses, or the keys of the couplings.

    Neurons connect by light: a waveguide and a synapse ``source:target`` on the target. Dendrites, or neurons when
    ``J`` is given, connect by a coupling.

    Args:
        net: the network to add to.
        source: ids of neurons or dendrites.
        target: ids of neurons or dendrites.
        self_loops: whether a part may connect to itself.
        seed: for distributions.
        wires: ``weight``, ``delay``, ``loss_db`` and ``synapse`` as in :func:`from_graph`, or ``J``; each a number, a
            distribution or a matrix of shape (sources, targets).

    Raises:
        InputError: an argument that does not fit.
    """
    pairs = itertools.product(range(len(source)), range(len(target)))
    return _connect(net, source, target, pairs, self_loops, seed, wires, "all_to_all")


def one_to_one(
    net: Network,
    source: Sequence[str],
    target: Sequence[str],
    *,
    self_loops: bool = False,
    seed: int | None = None,
    **wires: Any,
) -> list[str]:
    """Connect the first source to the first target, the second to the second, and so on; return as :func:`all_to_all`.

    Args:
        net: the network to add to.
        source: ids of neurons or dendrites.
        target: as many ids of neurons or dendrites.
        self_loops: whether a part may connect to itself.
        seed: for distributions.
        wires: as for :func:`all_to_all`; a matrix counts on its diagonal.

    Raises:
        InputError: the two differ in number, or an argument does not fit.
    """
    if len(source) != len(target):
        reason = f"{len(source)} sources for {len(target)} targets"
        raise InputError(f"one_to_one.target: {reason}; give as many, or use all_to_all")
    return _connect(
        net, source, target, zip(*[range(len(source))] * 2, strict=True), self_loops, seed, wires, "one_to_one"
    )


def random_pairs(
    net: Network,
    source: Sequence[str],
    target: Sequence[str],
    *,
    seed: int,
    p: float | None = None,
    degree: int | None = None,
    self_loops: bool = False,
    **wires: Any,
) -> list[str]:
    """Connect random pairs; return as :func:`all_to_all`.

    Args:
        net: the network to add to.
        source: ids of neurons or dendrites.
        target: ids of neurons or dendrites.
        seed: of the pairs, and for distributions. A pair's lot depends on the seed and its two ids only.
        p: probability of each pair; or
        degree: number of sources of every target. Give one of them.
        self_loops: whether a part may connect to itself.
        wires: as for :func:`all_to_all`.

    Raises:
        InputError: an argument that does not fit.
    """
    place = "random_pairs"
    seed = _seeded(seed, place, "pairs")
    if (p is None) == (degree is None):
        raise InputError(f"{place}.p: give p or degree{'' if p is None else ', not both'}")
    p = None if p is None else _share(p, f"{place}.p")
    pairs: list[tuple[int, int]] = []
    for j, v in enumerate(target):
        allowed = [i for i, u in enumerate(source) if self_loops or u != v]
        lots = {i: _lot(seed, place, f"{source[i]}:{v}") for i in allowed}
        if p is not None:
            chosen = [i for i in allowed if lots[i] < p]
        else:
            count = _whole(degree, f"{place}.degree", 0, len(allowed))
            chosen = sorted(allowed, key=lots.__getitem__)[:count]
        pairs += [(i, j) for i in sorted(chosen)]
    return _connect(net, source, target, pairs, self_loops, seed, wires, place)


def _connect(
    net: Network,
    source: Sequence[str],
    target: Sequence[str],
    pairs: Iterable[tuple[int, int]],
    self_loops: bool,
    seed: int | None,
    wires: Mapping[str, Any],
    place: str,
) -> list[str]:
    known = ("J", *WIRES)
    faults = [f"{place}.{key}: unknown argument{nearest(key, known)}; correct it" for key in wires if key not in known]
    for side, names in (("source", source), ("target", target)):
        for name in names:
            if name not in net or not isinstance(net[name], Neuron | Dendrite):
                faults.append(f"{place}.{side}: there is no neuron or dendrite {name!r}; name one")
    if faults:
        raise InputError(faults)
    done = []
    with parts.detached():
        strength = _evaluator(wires.get("J"), None, f"{place}.J", seed, (len(source), len(target)))
        light = {name: wires[name] for name in WIRES if name in wires}
        light_wires = _Wires(
            net,
            light.get("synapse"),
            light.get("weight"),
            light.get("delay"),
            light.get("loss_db"),
            seed,
            place,
            (len(source), len(target)),
        )
        for i, j in pairs:
            u, v = source[i], target[j]
            if u == v and not self_loops:
                continue
            if "J" not in wires and isinstance(net[u], Neuron):
                done.append(light_wires.light(u, v, v, u, v, {}, (i, j)))
                continue
            if light:
                faults.append(f"{place}.{next(iter(light))}: {u!r} has no light; give J, or connect neurons")
                break
            value = strength(u, v, {}, (i, j), f"{u}->{v}")
            if value is None:
                faults.append(f"{place}.J: missing for the coupling {u}->{v}; give J in Phi0 per unit s")
                break
            coupling = Coupling(u, v, J=value)
            done.append(net.key(net.add(coupling)))
    if faults:
        raise InputError(faults)
    return done


# ---------------------------------------------------------------------------------------------- wires and values

WIRES = ("synapse", "weight", "delay", "loss_db")


class _Wires:
    """Adds a waveguide and a synapse for one connection after another."""

    def __init__(
        self,
        net: Network,
        synapse: Any,
        weight: Any,
        delay: Any,
        loss_db: Any,
        seed: int | None,
        place: str,
        shape: tuple[int, int] | None = None,
    ):
        self.net = net
        self.synapse = _fields(Synapse, synapse)
        self.weight = _evaluator(weight, self.synapse.get("weight", 1.0), f"{place}.weight", seed, shape)
        self.delay = _evaluator(delay, 0.0, f"{place}.delay", seed, shape)
        self.loss_db = _evaluator(loss_db, 0.0, f"{place}.loss_db", seed, shape)

    def light(
        self, source: str, target: str, aim: str, u: Any, v: Any, data: Mapping[str, Any], at: tuple[int, int] = (0, 0)
    ) -> str:
        base = f"{source}:{target}"
        name, count = base, 1
        while name in self.net:
            count += 1
            name = f"{base}:{count}"
        fields = {**self.synapse, "weight": self.weight(u, v, data, at, name)}
        self.net.add(Synapse(name, aim, **fields))
        delay, loss = self.delay(u, v, data, at, name), self.loss_db(u, v, data, at, name)
        self.net.add(Waveguide(source, name, delay=delay, loss_db=loss))
        return name


_Evaluator: TypeAlias = Callable[[Any, Any, Mapping[str, Any], tuple[int, int], str], Any]


def _evaluator(given: Any, default: Any, place: str, seed: int | None, shape: tuple[int, int] | None) -> _Evaluator:
    """A function of (source, target, edge data, matrix place, name) that returns the value of one connection."""
    if given is None:
        return lambda u, v, data, at, name: default
    if isinstance(given, str) and not _STARTS_A_NUMBER.match(given):
        return lambda u, v, data, at, name: data.get(given, default)
    if callable(given):
        return lambda u, v, data, at, name: given(u, v, data)
    if isinstance(given, Mapping):
        if len(given) != 1 or next(iter(given)) not in DISTRIBUTIONS:
            word = next(iter(given), "")
            known = ", ".join(DISTRIBUTIONS)
            raise InputError(
                f"{place}: {parts.shown(given)} is no distribution{nearest(str(word), DISTRIBUTIONS)}; give {known}"
            )
        (kind, arguments), draw = next(iter(given.items())), DISTRIBUTIONS[next(iter(given))]
        number = parts.Number("")
        try:
            first, second = (number.check(value) for value in arguments)
        except (TypeError, ValueError, parts.Refused):
            raise InputError(f"{place}: {kind} takes two numbers, not {parts.shown(arguments)}; give [a, b]") from None
        if kind != "uniform" and second < 0.0:
            raise InputError(f"{place}: {second:g} is no spread; give 0 or more")
        fixed = _seeded(seed, place, f"a {kind} distribution")
        return lambda u, v, data, at, name: float(draw(_random(fixed, place, name), first, second))
    if isinstance(given, list | tuple | np.ndarray):
        if shape is None:
            raise InputError(f"{place}: a matrix has no meaning here; give a number, an edge attribute or a callable")
        matrix = _matrix(given, shape, place)
        return lambda u, v, data, at, name: float(matrix[at])
    return lambda u, v, data, at, name: given


def _random(seed: int | None, purpose: str, key: str) -> np.random.Generator:
    """The random stream of one connection: Philox keyed by the seed and a hash of purpose and name."""
    digest = hashlib.blake2b(f"{purpose}\0{key}".encode(), digest_size=8).digest()
    words = np.array([(seed or 0) % 2**64, int.from_bytes(digest, "little")], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def _lot(seed: int | None, purpose: str, key: str) -> float:
    """A number in [0, 1) for one connection, from a hash of seed, purpose and name."""
    digest = hashlib.blake2b(f"{seed}\0{purpose}\0{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def _fields(kind: type[Part], template: Template) -> dict[str, Any]:
    """The fields of a template without id and ends."""
    if template is None:
        return {}
    if isinstance(template, kind):
        found = {name: getattr(template, name) for name in parts.fields_of(kind)}
        return {
            name: value
            for name, value in found.items()
            if name not in _ENDS[kind] and value is not None and not isinstance(value, parts.Derived)
        }
    if not isinstance(template, Mapping):
        name = kind.__name__
        raise InputError(f"{name}: {parts.shown(template)} is no template; give a {name} or a mapping of its fields")
    known = [name for name in parts.fields_of(kind) if name not in _ENDS[kind]]
    faults = [
        f"{kind.__name__}.{key}: not a field of a template{nearest(str(key), known)}; remove it or correct it"
        for key in template
        if key not in known
    ]
    if faults:
        raise InputError(faults)
    return dict(template)


def _made(kind: type[Any], template: Template, **ends: str) -> Any:
    return kind(**ends, **_fields(kind, template))


def _neuron(name: str, template: Any) -> Neuron:
    if template is None:
        return Neuron(name, refractory=Refractory(), transmitter=Transmitter())
    return _made(Neuron, template, id=name)


def _input(net: Network, name: str, aims: Sequence[str], synapse: Template) -> None:
    """Give a neuron a detector for photons from outside, on each of its dendrites if it has some."""
    for k, aim in enumerate(aims):
        net.add(_made(Synapse, synapse, id=f"in:{name}" if len(aims) == 1 else f"in:{name}:{k}", target=aim))


def _network(into: Network | None, device: Any, name: str | None, place: str) -> Network:
    if into is None:
        return Network(device, name or "")
    if device is not None:
        raise InputError(f"{place}.device: the network given with into has one already; leave device out")
    return into


# ---------------------------------------------------------------------------------------------- arguments


def _whole(value: Any, place: str, at_least: int, at_most: int | None = None) -> int:
    bound = f"a whole number from {at_least}" + (f" to {at_most}" if at_most is not None else " up")
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise InputError(f"{place}: {parts.shown(value)} is not a whole number; give {bound}")
    if value < at_least or (at_most is not None and value > at_most):
        raise InputError(f"{place}: {value} is out of range; give {bound}")
    return int(value)


def _number(value: Any, place: str, rule: parts.Number) -> float:
    try:
        return float(rule.check(value))
    except parts.Refused as refused:
        raise InputError(f"{place}: {refused}") from None


def _share(value: Any, place: str) -> float:
    return _number(value, place, parts.Number("", at_least=0.0, at_most=1.0))


def _positive(value: Any, place: str, at_least: float | None = None) -> float:
    return _number(value, place, parts.Number("", at_least=at_least, above=None if at_least is not None else 0.0))


def _seeded(seed: Any, place: str, what: str) -> int:
    if seed is None:
        raise InputError(f"{place}.seed: missing, and {what} must be drawn at random; give a whole number")
    return _whole(seed, f"{place}.seed", 0, 2**32 - 1)


def _listed(value: Any, place: str) -> list[Any]:
    if isinstance(value, str | Mapping) or not hasattr(value, "__iter__"):
        raise InputError(f"{place}: {parts.shown(value)} is no list; give one")
    return list(value)


def _matrix(value: Any, shape: tuple[int, ...], place: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
        matrix = np.broadcast_to(array, shape) if array.ndim == 0 else array
    except (TypeError, ValueError):
        raise InputError(f"{place}: {parts.shown(value)} is no array of numbers; give shape {shape}") from None
    if matrix.shape != shape:
        raise InputError(f"{place}: shape {matrix.shape} does not fit; give shape {shape} or one number")
    if not np.isfinite(matrix).all():
        raise InputError(f"{place}: holds values that are not finite; give numbers")
    return matrix


# ---------------------------------------------------------------------------------------------- what files may name


class Builder(NamedTuple):
    """A function that a network file may name, the section it may stand in, and the names of its arguments."""

    function: Callable[..., Any]
    section: str
    arguments: tuple[str, ...]
    required: tuple[str, ...]


def _builder(function: Callable[..., Any], section: str) -> Builder:
    own = inspect.signature(function).parameters
    names = [name for name in own if name not in ("wiring", "wires")]
    if "wiring" in own:
        names += [name for name in inspect.signature(from_graph).parameters if name != "graph"]
    if "wires" in own:
        names += ["J", *WIRES]
    hidden = {"net", "into", "device", "prefix", "name"}
    required = [name for name, each in own.items() if each.default is each.empty and each.kind is not each.VAR_KEYWORD]
    return Builder(
        function,
        section,
        tuple(dict.fromkeys(name for name in names if name not in hidden)),
        tuple(name for name in required if name not in hidden),
    )


BUILDERS: dict[str, Builder] = {
    function.__name__: _builder(function, section)
    for section, functions in (
        ("populations", (population, layers, crossbar, random_network, small_world, power_law, spatial)),
        ("connect", (all_to_all, one_to_one, random_pairs, detectors)),
    )
    for function in functions
}
BUILDERS["tree"] = _builder(_trees, "connect")
"""Builders by name, for the sections ``populations:`` and ``connect:`` of a network file."""


def build(net: Network, name: str, builder: str, given: Mapping[str, Any]) -> list[str]:
    """Run a builder on behalf of a file; return the ids of the loops it made (the leaves, of a tree).

    Args:
        net: the network to add to.
        name: of the group; begins the ids of a population's parts.
        builder: a key of :data:`BUILDERS`.
        given: its arguments.

    Raises:
        InputError: what the builder refuses.
    """
    chosen = BUILDERS[builder]
    if chosen.section == "connect":
        return list(chosen.function(net, **given))
    if chosen.function is population:
        return list(population(net, name, **given))
    before = {*net.neurons, *net.dendrites}
    chosen.function(**given, prefix=name, into=net)
    made = {*net.neurons, *net.dendrites} - before
    return sorted((loop for loop in made if "/" not in loop.removeprefix(name)), key=_natural)


def _natural(name: str) -> list[Any]:
    """Orders ``a[2]`` before ``a[10]``."""
    return [(1, int(piece), "") if piece.isdigit() else (0, 0, piece) for piece in re.split(r"(\d+)", name)]
