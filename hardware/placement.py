"""Where the neurons sit on a die or a wafer, and what light then needs from one to the next.

:func:`place` gives every neuron a position. Its dendrites and the detectors on them sit at its soma: a loop belongs to
the neuron that its couplings lead to over the fewest loops (of several, the first by id). Dendrites whose couplings lead
to no neuron form groups with a site of their own, named after the first dendrite. Detectors that no waveguide reaches
are lit from outside, through a waveguide from the nearest edge.

:meth:`Placement.route` turns the positions into delays and losses (physics.md 4.5)::

    delay = n_g L/c                      67 ps per cm at n_g = 2
    loss  = loss_db_per_cm L + splitter_loss_db ceil(log2(fan-out))

with one tree of 1 x 2 splitters at every transmitter. What an ideal splitter takes from each branch is not a loss here:
``Transmitter.photons`` counts photons at the input of each waveguide. The splitters of one neuron and the crossings of
waveguides have no length.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from soen_event.errors import InputError, nearest
from soen_event.parts import shown
from soen_event.physics.random import checked_seed
from soen_event.physics.transmitter import mean_detected_photons
from soen_event.units import c as speed_of_light
from soen_event.units import is_number

if TYPE_CHECKING:
    from soen_event.network import Network

__all__ = ["Die", "Limits", "Placement", "Quantiles", "Statistics", "Wafer", "Wire", "place"]

Floats: TypeAlias = "NDArray[np.float64]"
METHODS = ("grid", "spectral", "anneal", "given")
ROUTES = ("manhattan", "straight")

_DENSE = 1000  # sites up to which all eigenvectors are computed
_SWAPS_PER_SITE, _MOST_SWAPS = 200, 400_000
_AROUND, _ANYWHERE, _COLD = 13, 0.1, 1e-2  # sites near one; share of swaps with any; last over first temperature
_HOP_SOURCES = 256
_LISTED = 20
_MOST_LINES = 20_000
_LONGEST_LABELS = 40


# ---------------------------------------------------------------------------------------------- the area


@dataclass(frozen=True, kw_only=True)
class Die:
    """A rectangle from (0, 0) to (width_mm, height_mm).

    Arguments: ``width_mm`` and ``height_mm``, mm, above 0 and at most 1000; ``margin_mm``, kept free at every edge (pads), mm,
    at least 0 and less than half of both. Raises InputError.
    """

    width_mm: float = 10.0
    height_mm: float = 10.0
    margin_mm: float = 0.0

    def __post_init__(self) -> None:
        _check_area(self, ("width_mm", "height_mm"))

    @property
    def area_cm2(self) -> float:
        """The whole area, cm^2, margins included."""
        return self.width_mm * self.height_mm / 100.0

    def holds(self, x: float, y: float) -> bool:
        """Whether (x, y) in mm is inside, margins excluded; their border belongs to the inside."""
        m = self.margin_mm
        return m <= x <= self.width_mm - m and m <= y <= self.height_mm - m

    def to_edge(self, x: float, y: float) -> tuple[float, float]:
        """The point (mm) of the outer edge nearest to (x, y)."""
        edges = ((0.0, y), (self.width_mm, y), (x, 0.0), (x, self.height_mm))
        return min(edges, key=lambda point: math.dist(point, (x, y)))

    def _sites(self, n: int) -> Floats:
        """``n`` places (mm, shape (n, 2)) in rows from below, each row from the left."""
        width, height = self.width_mm - 2.0 * self.margin_mm, self.height_mm - 2.0 * self.margin_mm
        columns = min(n, max(1, math.ceil(math.sqrt(n * width / height))))
        rows = math.ceil(n / columns)
        k = np.arange(n)
        x = self.margin_mm + width * (k % columns + 0.5) / columns
        y = self.margin_mm + height * (k // columns + 0.5) / rows
        return np.stack([x, y], axis=1)


@dataclass(frozen=True, kw_only=True)
class Wafer:
    """A circle about (0, 0).

    Arguments: ``diameter_mm``, mm, above 0 and at most 1000; ``margin_mm``, kept free at the edge, mm, at least 0 and less than
    the radius. Raises InputError.
    """

    diameter_mm: float = 300.0
    margin_mm: float = 0.0

    def __post_init__(self) -> None:
        _check_area(self, ("diameter_mm",))

    @property
    def area_cm2(self) -> float:
        """The whole area, cm^2, margin included."""
        return math.pi * self.diameter_mm**2 / 400.0

    def holds(self, x: float, y: float) -> bool:
        """Whether (x, y) in mm is inside, the margin excluded; its border belongs to the inside."""
        return math.hypot(x, y) <= 0.5 * self.diameter_mm - self.margin_mm

    def to_edge(self, x: float, y: float) -> tuple[float, float]:
        """The point (mm) of the outer edge nearest to (x, y)."""
        r, radius = math.hypot(x, y), 0.5 * self.diameter_mm
        return (x / r * radius, y / r * radius) if r > 0.0 else (radius, 0.0)

    def _sites(self, n: int) -> Floats:
        """``n`` places (mm, shape (n, 2)): of the widest square lattice that has as many in the circle, the innermost."""
        radius = 0.5 * self.diameter_mm - self.margin_mm
        low, high = radius / (math.sqrt(n) + 1.0), 2.0 * radius
        for _ in range(50):
            pitch = 0.5 * (low + high)
            low, high = (pitch, high) if len(_lattice(radius, pitch)) >= n else (low, pitch)
        points = _lattice(radius, low)
        x, y = points.T
        inner = np.lexsort((x, y, np.round(np.hypot(x, y), 9)))[:n]
        points = points[inner]
        return points[np.lexsort((points[:, 0], points[:, 1]))]


def _lattice(radius: float, pitch: float) -> Floats:
    """Points of a square lattice with one at the circle's centre, at least half a pitch inside the circle."""
    k = np.arange(-math.floor(radius / pitch), math.floor(radius / pitch) + 1)
    x, y = np.meshgrid(pitch * k, pitch * k)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    return np.asarray(points[np.hypot(*points.T) <= radius - 0.5 * pitch])


def _check_area(area: Any, sides: Sequence[str]) -> None:
    name, faults = type(area).__name__, []
    for side in (*sides, "margin_mm"):
        value = getattr(area, side)
        if not is_number(value) or value < 0.0 or value > 1000.0 or (value == 0.0 and side in sides):
            low = "above 0" if side in sides else "0 or more"
            faults.append(f"{name}.{side}: {shown(value)} is no length; give mm, {low} and at most 1000")
    if not faults:
        half = 0.5 * min(getattr(area, side) for side in sides)
        if area.margin_mm >= half:
            faults.append(f"{name}.margin_mm: {area.margin_mm:g} mm leaves nothing; give less than {half:g}")
    if faults:
        raise InputError(faults)


# ---------------------------------------------------------------------------------------------- what is placed


class Wire(NamedTuple):
    """A waveguide or a coupling between two sites: its key in the network, and the ids of the sites."""

    key: str
    source: str
    target: str


def _homes(network: Network) -> dict[str, str]:
    """The site of every neuron, dendrite and synapse, by id."""
    home = {name: name for name in network.neurons}
    feeds: dict[str, list[str]] = {}  # loops that are coupled into a loop
    for coupling in network.couplings:
        feeds.setdefault(coupling.target, []).append(coupling.source)
    front = dict(home)
    while front:
        reached: dict[str, str] = {}
        for name, site in front.items():
            for source in feeds.get(name, ()):
                if source not in home:
                    reached[source] = min(site, reached.get(source, site))
        home.update(reached)
        front = reached
    home.update(_groups(network, home))
    home.update((name, home[synapse.target]) for name, synapse in network.synapses.items())
    return home


def _groups(network: Network, home: Mapping[str, str]) -> dict[str, str]:
    """Dendrites that lead to no neuron, by the first of those that they are coupled with."""
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(name for name in network.dendrites if name not in home)
    pairs = ((c.source, c.target) for c in network.couplings)
    graph.add_edges_from(pair for pair in pairs if pair[0] in graph and pair[1] in graph)
    return {name: min(group) for group in networkx.connected_components(graph) for name in group}


def place(
    network: Network,
    die: Die | Wafer | None = None,
    method: str = "spectral",
    positions: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> Placement:
    """Give every neuron of a network a position.

    Args:
        network: a Network without faults, with a neuron or a dendrite at least. The order in which it was declared does not
            matter.
        die: a Die (default: 10 x 10 mm) or a Wafer.
        method: "grid": on a regular lattice, rows in the order of the ids. "spectral": on the same lattice, neighbours in the
            graph of waveguides and couplings near each other (the second and third eigenvector of the normalised
            Laplacian; for one version of scipy and LAPACK). "anneal": from there, pairs swap places while that shortens
            the wires, or, ever more rarely, lengthens them; never longer than "spectral" in all. "given": by ``positions``.
        positions: (x, y) in mm by id of neuron, or of the first dendrite of a group that leads to no neuron. With "given" and
            without it, the positions are those of ``builders.spatial`` (node attribute ``pos``).
        seed: of "anneal", 0 to 2**63 - 1; for one version of numpy.

    Raises:
        InputError: a fault of the network, an argument that does not fit, positions that are missing, unknown, outside or taken
            twice; all at once.
    """
    from soen_event.network import Network

    die = Die() if die is None else die
    faults = []
    if not isinstance(network, Network):
        faults.append(f"place.network: {shown(network)} is no Network; give one")
    if not isinstance(die, Die | Wafer):
        faults.append(f"place.die: {shown(die)} is no area; give a Die or a Wafer")
    if not isinstance(method, str) or method not in METHODS:
        known = ", ".join(METHODS)
        faults.append(f"place.method: {shown(method)} is unknown{nearest(str(method), METHODS)}; give one of {known}")
    elif positions is not None and method != "given":
        faults.append(f"place.positions: method {method!r} finds its own; leave them out, or method='given'")
    if faults:
        raise InputError(faults)
    seed = checked_seed(seed)
    network.check()
    home = _homes(network)
    names = sorted(set(home.values()))
    if not names:
        raise InputError("place.network: has no neuron and no dendrite; there is nothing to place")
    wires = tuple(Wire(network.key(w), home[w.source], home[w.target]) for w in network.waveguides)
    coupled = (Wire(network.key(c), home[c.source], home[c.target]) for c in network.couplings)
    couplings = tuple(wire for wire in coupled if wire.source != wire.target)
    if method == "given":
        given = _attributes(network, names) if positions is None else positions
        where = _checked_positions(given, names, die)
    else:
        where = _arranged(names, [*wires, *couplings], die._sites(len(names)), method, seed)
    lit = {guide.target for guide in network.waveguides}
    return Placement(
        die=die,
        method=method,
        positions=where,
        home=home,
        wires=wires,
        couplings=couplings,
        inputs=tuple(name for name in network.synapses if name not in lit),
    )


def _attributes(network: Network, names: Sequence[str]) -> dict[str, Any]:
    nodes = network.graph.nodes
    found = {name: nodes[name]["pos"] for name in names if nodes[name].get("pos") is not None}
    if not found:
        raise InputError(
            "place.positions: missing, and the network does not come from builders.spatial; give (x, y) in mm by id"
        )
    return found


def _checked_positions(given: Any, names: Sequence[str], die: Die | Wafer) -> dict[str, tuple[float, float]]:
    if not isinstance(given, Mapping):
        raise InputError(f"place.positions: {shown(given)} is no mapping; give (x, y) in mm by id of neuron")
    known, faults = set(names), []
    unknown = sorted(str(name) for name in given if name not in known)
    faults += [f"place.positions: there is no site {name!r}{nearest(name, names)}; remove it" for name in unknown]
    where: dict[str, tuple[float, float]] = {}
    taken: dict[tuple[float, float], str] = {}
    for name in names:
        point = given.get(name)
        if point is None:
            faults.append(f"place.positions[{name!r}]: missing; give (x, y) in mm")
            continue
        try:
            x, y = (float(value) for value in point)
        except (TypeError, ValueError):
            faults.append(f"place.positions[{name!r}]: {shown(point)} is no position; give (x, y) in mm")
            continue
        if not die.holds(x, y):  # nor does it hold a position that is not finite
            faults.append(f"place.positions[{name!r}]: ({x:g}, {y:g}) mm is not inside {die}; move it")
        elif (x, y) in taken:
            faults.append(f"place.positions[{name!r}]: ({x:g}, {y:g}) mm is taken by {taken[x, y]!r}; move one of them")
        where[name] = (x, y)
        taken.setdefault((x, y), name)
    if faults:
        more = [f"place.positions: and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else []
        raise InputError(faults[:_LISTED] + more)
    return where


# ---------------------------------------------------------------------------------------------- arranging


def _arranged(
    names: Sequence[str], wires: Sequence[Wire], sites: Floats, method: str, seed: int
) -> dict[str, tuple[float, float]]:
    """A site for every name."""
    index = {name: k for k, name in enumerate(names)}
    weights = Counter(tuple(sorted((index[w.source], index[w.target]))) for w in wires if w.source != w.target)
    edges = np.array(sorted(weights), dtype=np.int64).reshape(-1, 2)
    weight = np.array([weights[a, b] for a, b in edges.tolist()], dtype=float)
    chosen = np.arange(len(names))  # the site of every name
    if method != "grid":
        chosen = _spectral(len(names), edges, weight, sites)
    if method == "anneal":
        chosen = _annealed(chosen, edges, weight, sites, seed)
    return {name: (float(sites[k, 0]), float(sites[k, 1])) for name, k in zip(names, chosen.tolist(), strict=True)}


def _spectral(n: int, edges: NDArray[np.int64], weight: Floats, sites: Floats) -> NDArray[np.int64]:
    """Sites by two eigenvectors: the first orders the names from left to right, the second within a column upwards."""
    first, second = _eigenvectors(n, edges, weight)
    by_first = np.lexsort((np.arange(n), first))
    columns = np.unique(np.round(sites[:, 0], 9), return_inverse=True)[1].reshape(-1)
    chosen = np.empty(n, dtype=np.int64)
    done = 0
    for column in range(int(columns.max()) + 1):
        there = np.flatnonzero(columns == column)
        there = there[np.argsort(sites[there, 1], kind="stable")]
        names = by_first[done : done + len(there)]
        chosen[names[np.lexsort((names, second[names]))]] = there
        done += len(there)
    return chosen


def _eigenvectors(n: int, edges: NDArray[np.int64], weight: Floats) -> tuple[Floats, Floats]:
    """Second and third eigenvector of the graph's normalised Laplacian, shape (n,) each, to nine decimals.

    Parts of the graph that do not hang together are chained by weak edges between their first members.
    """
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import eigsh

    if n < 3:
        return np.arange(n, dtype=float), np.zeros(n)
    graph = coo_array((weight, (edges[:, 0], edges[:, 1])), shape=(n, n))
    label = connected_components(graph, directed=False)[1]
    firsts = np.sort(np.unique(label, return_index=True)[1])
    chain = np.stack([firsts[:-1], firsts[1:]], axis=1)
    rows = np.concatenate([edges[:, 0], chain[:, 0]])
    columns = np.concatenate([edges[:, 1], chain[:, 1]])
    values = np.concatenate([weight, np.full(len(chain), 1e-3)])
    graph = coo_array((values, (rows, columns)), shape=(n, n))
    graph = (graph + graph.T).tocsr()
    root = diags_array(1.0 / np.sqrt(np.asarray(graph.sum(axis=1)).reshape(-1)))
    similar = root @ graph @ root  # its largest eigenvalues are 1 minus the Laplacian's smallest
    if n <= _DENSE:
        vectors = np.linalg.eigh(similar.toarray())[1][:, [-2, -3]]
    else:
        values, vectors = eigsh(similar, k=3, which="LA", v0=np.cos(np.arange(n)), tol=1e-7, maxiter=20 * n)
        vectors = vectors[:, np.argsort(values)[[-2, -3]]]
    vectors = root @ vectors
    for k in range(2):
        vectors[:, k] /= vectors[np.argmax(np.abs(np.round(vectors[:, k], 9))), k]
    vectors = np.round(vectors, 9)
    return vectors[:, 0], vectors[:, 1]


def _annealed(
    chosen: NDArray[np.int64], edges: NDArray[np.int64], weight: Floats, sites: Floats, seed: int
) -> NDArray[np.int64]:
    """Let names swap sites at a falling temperature; the sum of weight times manhattan length never ends above its start.

    Mostly a name asks for a site next to one that it is wired to, else for any.
    """
    from scipy.spatial import cKDTree

    n = len(chosen)
    if n < 3 or not len(edges):
        return chosen
    draw = np.random.Generator(np.random.Philox(key=seed))
    around = np.asarray(cKDTree(sites).query(sites, k=min(_AROUND, n))[1], dtype=np.int64)
    near = _neighbours(n, edges, weight)
    at, who = chosen.copy(), np.argsort(chosen)  # the site of a name, the name at a site
    start = _cost(sites[at], edges, weight)
    hot = 2.0 * start / float(weight.sum())
    where = sites[at]
    swaps = min(_SWAPS_PER_SITE * n, _MOST_SWAPS)
    names = draw.integers(0, n, swaps).tolist()
    for step, (a, (chance, friend, place_)) in enumerate(zip(names, draw.random((swaps, 3)).tolist(), strict=True)):
        ends = near[a][0]
        if not len(ends) or friend < _ANYWHERE:
            b = int(place_ * n)
        else:
            beside = int(ends[int((friend - _ANYWHERE) / (1.0 - _ANYWHERE) * len(ends))])
            b = int(who[around[at[beside], int(place_ * around.shape[1])]])
        if a == b:
            continue
        change = _change(where, near, a, b)
        if change <= 0.0 or chance < math.exp(-change / (hot * _COLD ** (step / swaps))):
            at[[a, b]] = at[[b, a]]
            who[at[[a, b]]] = a, b
            where[[a, b]] = where[[b, a]]
    return at if _cost(where, edges, weight) < start else chosen


def _cost(where: Floats, edges: NDArray[np.int64], weight: Floats) -> float:
    return float(weight @ np.abs(where[edges[:, 0]] - where[edges[:, 1]]).sum(axis=1))


def _neighbours(n: int, edges: NDArray[np.int64], weight: Floats) -> list[tuple[NDArray[np.int64], Floats]]:
    ends = np.concatenate([edges, edges[:, ::-1]])
    both = np.concatenate([weight, weight])
    row = np.argsort(ends[:, 0], kind="stable")
    starts = np.searchsorted(ends[row, 0], np.arange(n + 1))
    return [(ends[row[i:j], 1], both[row[i:j]]) for i, j in itertools.pairwise(starts)]


def _change(where: Floats, near: Sequence[tuple[NDArray[np.int64], Floats]], a: int, b: int) -> float:
    """How much longer all wires get if ``a`` and ``b`` swap places; a wire between the two keeps its length."""
    total = 0.0
    for one, other in ((a, b), (b, a)):
        ends, weight = near[one]
        far = where[ends]
        before, after = np.abs(far - where[one]).sum(axis=1), np.abs(far - where[other]).sum(axis=1)
        after[ends == other] = before[ends == other]
        total += float(weight @ (after - before))
    return total


# ---------------------------------------------------------------------------------------------- what follows from it


class Quantiles(NamedTuple):
    """Smallest, 10 %, median, 90 %, largest and mean of some numbers; all nan if there are none."""

    least: float
    low: float
    median: float
    high: float
    most: float
    mean: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Quantiles:
        found = np.array(list(values), dtype=float)
        if not found.size:
            found = np.array([math.nan])
        least, low, median, high, most = np.quantile(found, [0.0, 0.1, 0.5, 0.9, 1.0]).tolist()
        return cls(least, low, median, high, most, float(found.mean()))


@dataclass(frozen=True)
class Statistics:
    """What a placement costs. Lengths in mm, delays in ns, losses in dB."""

    sites: int
    synapses: int
    waveguides: int
    length: Quantiles = field(metadata={"unit": "mm", "title": "length"})
    delay: Quantiles = field(metadata={"unit": "ns", "title": "delay"})
    loss: Quantiles = field(metadata={"unit": "dB", "title": "loss"})
    input_length: Quantiles = field(metadata={"unit": "mm", "title": "length from the edge"})
    coupling_length: Quantiles = field(metadata={"unit": "mm", "title": "couplings between sites"})
    hops: Quantiles = field(metadata={"unit": "", "title": "hops"})
    fan_in: Quantiles = field(metadata={"unit": "", "title": "fan-in, synapses a site"})
    fan_out: Quantiles = field(metadata={"unit": "", "title": "fan-out, waveguides a site"})
    total_length_mm: float
    unreachable: float
    """Share of the ordered pairs of sites between which no waveguides and couplings lead."""
    hop_sources: int
    """From so many sites hops were counted: all of them, or 256 evenly chosen by id."""

    def table(self) -> str:
        """The numbers as text."""
        head = f"{self.sites} sites, {self.synapses} synapses, {self.waveguides} waveguides of {self.total_length_mm:.6g} mm"
        lines = [
            head,
            "",
            f"{'':32}" + "".join(f"{word:>11}" for word in ("min", "10 %", "median", "90 %", "max", "mean")),
        ]
        for row in fields(self):
            values = getattr(self, row.name)
            if isinstance(values, Quantiles) and not math.isnan(values.mean):
                unit = row.metadata["unit"]
                title = row.metadata["title"] + (f" ({unit})" if unit else "")
                lines.append(f"{title:32}" + "".join(f"{value:>11.4g}" for value in values))
        if self.unreachable:
            lines += [
                "",
                f"{100.0 * self.unreachable:.3g} % of the ordered pairs of sites are out of reach of each other",
            ]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What fits; None leaves a limit out.

    Args:
        neurons_per_cm2, synapses_per_cm2: 8100 and 330 430, of a 1 x 1 cm^2 die (physics.md 4.5, JAP 126, 044902).
        fan_out: waveguides of one neuron, 10 000 (physics.md 5, Schneider and Segall).
        fan_in: synapses and couplings of one loop, 1000. Sources differ: about 20 if each couples directly, a few hundred
            (Schneider and Segall), thousands through a collection coil (JAP 126, 044902); physics.md 4.5, 5.
        photons_per_spike: photons of one neuron's spike over all its waveguides, 10 000 (physics.md 4.3, 1805.01947).
        photons_per_synapse: fewest mean detected photons of a spike at a synapse, 5, which misses 0.7 % (physics.md 4.4).

    Both photon limits concern transmitters with emission "photons" alone.
    """

    neurons_per_cm2: float | None = 8100.0
    synapses_per_cm2: float | None = 330_430.0
    fan_out: float | None = 10_000.0
    fan_in: float | None = 1000.0
    photons_per_spike: float | None = 1e4
    photons_per_synapse: float | None = 5.0

    def __post_init__(self) -> None:
        faults = []
        for limit in fields(self):
            value = getattr(self, limit.name)
            if value is not None and not (is_number(value) and value >= 0.0):
                faults.append(f"Limits.{limit.name}: {shown(value)} is no limit; give a number, 0 or more, or None")
        if faults:
            raise InputError(faults)


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Positions of a network's neurons. Made by :func:`place`.

    ``positions``: (x, y) in mm by site. ``home``: the site of every neuron, dendrite and synapse. ``wires``: the waveguides,
    ``couplings``: those couplings that lead from one site to another. ``inputs``: synapses that no waveguide reaches.
    """

    die: Die | Wafer
    method: str
    positions: Mapping[str, tuple[float, float]]
    home: Mapping[str, str]
    wires: tuple[Wire, ...]
    couplings: tuple[Wire, ...]
    inputs: tuple[str, ...]

    def position(self, part: str) -> tuple[float, float]:
        """(x, y) in mm of a neuron, dendrite or synapse; raises InputError for another id."""
        if part not in self.home:
            raise InputError(
                f"Placement.position: there is no {part!r} here{nearest(str(part), self.home)}; give an id"
            )
        return self.positions[self.home[part]]

    def distance(self, one: str, other: str, route: str = "manhattan") -> float:
        """Length (mm) of the way between two parts: along the edges of the die ("manhattan"), or "straight"."""
        _check_route(route, "Placement.distance")
        return _length(self.position(one), self.position(other), route)

    def lengths(self, route: str = "manhattan") -> Floats:
        """Length (mm) of every waveguide, in the order of ``wires``; a waveguide to its own neuron has length 0."""
        _check_route(route, "Placement.lengths")
        return self._lengths(self.wires, route)

    def _lengths(self, wires: Sequence[Wire], route: str) -> Floats:
        ways = [_length(self.positions[w.source], self.positions[w.target], route) for w in wires]
        return np.array(ways, dtype=float)

    def input_lengths(self) -> Floats:
        """Length (mm) from the nearest edge of the die to every synapse of ``inputs``."""
        points = [self.position(name) for name in self.inputs]
        return np.array([math.dist(point, self.die.to_edge(*point)) for point in points], dtype=float)

    def route(
        self,
        network: Network,
        n_g: float = 2.0,
        loss_db_per_cm: float = 0.0,
        splitter_loss_db: float = 0.0,
        route: str = "manhattan",
    ) -> Network:
        """Return the network with the delay and loss of every waveguide as they follow from the positions.

        Args:
            network: the one that was placed, or another with waveguides between the same parts; it is not changed.
            n_g: group index of the waveguides, 1 to 10. 2 stands for silicon nitride, from memory: physics.md 4.5 does
                not verify it.
            loss_db_per_cm: propagation loss, dB/cm, 0 or more. physics.md has no figure, hence 0.
            splitter_loss_db: excess loss of each 1 x 2 splitter, dB, 0 or more. physics.md has no figure, hence 0.
            route: "manhattan": along x and y, |dx| + |dy|; "straight".

        Raises:
            InputError: an argument out of its range, a waveguide of a neuron or to a synapse that was not placed, or a loss above
                1000 dB.
        """
        from soen_event.network import Network

        place_ = "Placement.route"
        if not isinstance(network, Network):
            raise InputError(f"{place_}.network: {shown(network)} is no Network; give one")
        faults = [] if is_number(n_g) and 1.0 <= n_g <= 10.0 else [f"{place_}.n_g: {shown(n_g)} is not within 1 to 10"]
        for name, value in (("loss_db_per_cm", loss_db_per_cm), ("splitter_loss_db", splitter_loss_db)):
            if not (is_number(value) and value >= 0.0):
                faults.append(f"{place_}.{name}: {shown(value)} is no loss; give dB, 0 or more")
        if faults:
            raise InputError(faults)
        _check_route(route, place_)
        routed = network.copy()
        guides = network.waveguides
        self._check_placed((end for guide in guides for end in (guide.source, guide.target)), f"{place_}.network")
        fan_out = Counter(guide.source for guide in guides)
        for guide in guides:
            length = self.distance(guide.source, guide.target, route)
            splitters = math.ceil(math.log2(fan_out[guide.source]))
            loss = loss_db_per_cm * length / 10.0 + splitter_loss_db * splitters
            try:
                routed.replace(network.key(guide), delay=n_g * length * 1e6 / speed_of_light, loss_db=loss)
            except InputError as error:
                faults += error.faults
        if faults:
            raise InputError(faults)
        return routed

    def _check_placed(self, names: Iterable[str], place_: str) -> None:
        lost = sorted({name for name in names if name not in self.home})
        faults = [f"{place_}: {name!r} was not placed{nearest(name, self.home)}" for name in lost[:_LISTED]]
        if len(lost) > _LISTED:
            faults.append(f"{place_}: and {len(lost) - _LISTED} more were not")
        if faults:
            raise InputError([f"{fault}; place this network" for fault in faults])

    def statistics(self, network: Network, route: str = "manhattan") -> Statistics:
        """Lengths by the positions; delays and losses as they stand in ``network`` (after :meth:`route`); hops and fans.

        A hop leads from a site over one waveguide or coupling to another; the hops of a pair are those of a shortest way.

        Raises:
            InputError: an unknown route, or a network with parts that were not placed.
        """
        lengths = self.lengths(route)
        self._check_placed([*network.neurons, *network.dendrites, *network.synapses], "Placement.statistics.network")
        hops, sources = self._hops()
        pairs = sources * (len(self.positions) - 1)
        fan_in = Counter(dict.fromkeys(self.positions, 0))
        fan_in.update(self.home[name] for name in network.synapses)
        fan_out = Counter(dict.fromkeys(self.positions, 0))
        fan_out.update(wire.source for wire in self.wires)
        return Statistics(
            sites=len(self.positions),
            synapses=len(network.synapses),
            waveguides=len(self.wires),
            length=Quantiles.of(lengths),
            delay=Quantiles.of(guide.delay for guide in network.waveguides),
            loss=Quantiles.of(guide.loss_db for guide in network.waveguides),
            input_length=Quantiles.of(self.input_lengths()),
            coupling_length=Quantiles.of(self._lengths(self.couplings, route)),
            hops=Quantiles.of(hops),
            fan_in=Quantiles.of(fan_in.values()),
            fan_out=Quantiles.of(fan_out.values()),
            total_length_mm=math.fsum(lengths.tolist()),
            unreachable=1.0 - len(hops) / pairs if pairs else 0.0,
            hop_sources=sources,
        )

    def _hops(self) -> tuple[list[int], int]:
        """Hops of all pairs that are in reach, and from how many sites they were counted."""
        import networkx

        graph = networkx.DiGraph()
        graph.add_nodes_from(self.positions)
        graph.add_edges_from((wire.source, wire.target) for wire in (*self.wires, *self.couplings))
        names = sorted(self.positions)
        count = min(len(names), _HOP_SOURCES)
        hops: list[int] = []
        for k in range(count):
            reached = networkx.single_source_shortest_path_length(graph, names[k * len(names) // count])
            hops += [far for far in reached.values() if far > 0]
        return hops, count

    def check(self, network: Network, limits: Limits | None = None) -> list[str]:
        """Everything that does not fit, a sentence each; an empty list if all fits.

        Args:
            network: after :meth:`route` if losses matter.
            limits: see :class:`Limits`.

        Raises:
            InputError: a network with parts that were not placed.
        """
        limits = Limits() if limits is None else limits
        self._check_placed([*network.neurons, *network.dendrites, *network.synapses], "Placement.check.network")
        return [*self._dense(network, limits), *_fans(network, limits), *_dim(network, limits)]

    def _dense(self, network: Network, limits: Limits) -> list[str]:
        found = []
        area = self.die.area_cm2
        for word, count, limit in (
            ("neurons", len(network.neurons), limits.neurons_per_cm2),
            ("synapses", len(network.synapses), limits.synapses_per_cm2),
        ):
            if limit is not None and count > limit * area:
                room = f"there is room for {math.floor(limit * area)} ({limit:g} per cm^2)"
                found.append(f"{word}: {count} on {area:.4g} cm^2, but {room}; take a larger die")
        return found

    def draw(self, path: str | os.PathLike[str], route: str = "manhattan", overwrite: bool = False) -> Path:
        """Draw die, sites and waveguides into a .png, .pdf or .svg file; return its path.

        A waveguide is drawn as a bow, which shows what it joins, in the colour of its length along ``route``. Couplings
        between sites are grey, sites with inputs from outside are open. Of more than 20 000 waveguides one in k is
        drawn. Sites are named up to 40.

        Raises:
            InputError: an unknown route, another suffix, a missing folder, or a file that exists while ``overwrite`` is False.
        """
        from soen_event import plotting

        _check_route(route, "Placement.draw")
        plotting.check_target(path, overwrite)
        return plotting.save(_drawing(self, route), path, overwrite)


def _check_route(route: Any, place_: str) -> None:
    if route not in ROUTES:
        hint = nearest(str(route), ROUTES)
        raise InputError(f"{place_}.route: {shown(route)} is unknown{hint}; give 'manhattan' or 'straight'")


def _length(one: tuple[float, float], other: tuple[float, float], route: str) -> float:
    dx, dy = abs(one[0] - other[0]), abs(one[1] - other[1])
    return dx + dy if route == "manhattan" else math.hypot(dx, dy)


def _fans(network: Network, limits: Limits) -> list[str]:
    found = []
    fan_out = Counter(guide.source for guide in network.waveguides)
    fan_in = Counter(synapse.target for synapse in network.synapses.values())
    fan_in.update(coupling.target for coupling in network.couplings)
    for word, counts, limit, remedy in (
        ("fan-out", fan_out, limits.fan_out, "pass its light on through another neuron"),
        ("fan-in", fan_in, limits.fan_in, "put a tree of dendrites in between"),
    ):
        if limit is not None:
            found += [
                f"{word}: {name} has {count}, more than {limit:g}; {remedy}"
                for name, count in sorted(counts.items())
                if count > limit
            ]
    return found


def _dim(network: Network, limits: Limits) -> list[str]:
    """Spikes that need more photons than an emitter has, and synapses that see too few."""
    found = []
    fan_out = Counter(guide.source for guide in network.waveguides)
    neurons, synapses = network.neurons, network.synapses
    for name in sorted(fan_out):
        light = neurons[name].transmitter
        if limits.photons_per_spike is None or light is None or light.emission != "photons":
            continue
        total = light.photons * fan_out[name]
        if total > limits.photons_per_spike:
            reason = f"{light.photons:g} for each of {fan_out[name]} waveguides are {total:g}"
            found.append(f"light: {name} needs {reason} photons a spike, more than {limits.photons_per_spike:g}")
    for guide in network.waveguides:
        light = neurons[guide.source].transmitter
        if limits.photons_per_synapse is None or light is None or light.emission != "photons":
            continue
        mean = mean_detected_photons(light.photons, guide.loss_db, synapses[guide.target].efficiency)
        if mean < limits.photons_per_synapse:
            reason = f"{mean:.3g} photons of a spike of {guide.source} are detected on average"
            found.append(
                f"light: at {guide.target} {reason}, fewer than {limits.photons_per_synapse:g}; "
                f"raise Transmitter.photons or shorten the way ({guide.loss_db:.3g} dB)"
            )
    return found


# ---------------------------------------------------------------------------------------------- the picture


def _drawing(placement: Placement, route: str) -> Any:
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    from soen_event import plotting

    tall = placement.die.height_mm / placement.die.width_mm if isinstance(placement.die, Die) else 1.0
    figure = Figure(figsize=(6.4, float(np.clip(5.2 * tall, 2.2, 9.0)) + 0.8), layout="constrained", facecolor="white")
    ax = figure.add_subplot()
    _draw_die(ax, placement.die)
    step = 1 + len(placement.wires) // _MOST_LINES
    drawn, lengths = placement.wires[::step], placement.lengths(route)[::step]
    crowd = float(np.clip(4.0 / math.sqrt(1.0 + len(drawn) / 20.0), 0.2, 1.4))
    grey = [_line(placement, wire) for wire in placement.couplings[:_MOST_LINES]]
    ax.add_collection(LineCollection(grey, colors=plotting.GREY, lw=crowd, alpha=0.6, zorder=1))
    if len(drawn):
        order = np.argsort(lengths, kind="stable")  # long ones on top
        lines = LineCollection([_line(placement, drawn[k]) for k in order], cmap=plotting.MAP, lw=crowd, zorder=2)
        lines.set_array(lengths[order])
        lines.set_clim(0.0, float(lengths.max()) or 1.0)
        lines.set_alpha(float(np.clip(crowd, 0.4, 0.9)))
        ax.add_collection(lines)
        bar = figure.colorbar(lines, ax=ax, shrink=0.85, pad=0.02)
        bar.set_label("waveguide length (mm)")
        if bar.solids is not None:
            bar.solids.set_alpha(1.0)
    _draw_sites(ax, placement)
    some = f", one in {step} drawn" if step > 1 else ""
    mean = f", mean {placement.lengths(route).mean():.3g} mm" if placement.wires else ""
    title = (
        f"{len(placement.positions)} sites, {len(placement.wires)} waveguides{mean}{some} ({placement.method}, {route})"
    )
    ax.set_title(title, fontsize=9.0, loc="left")
    ax.set_xlabel("x (mm)")
    ax.set_ylabel("y (mm)")
    ax.set_aspect("equal")
    return figure


def _line(placement: Placement, wire: Wire) -> Floats:
    """A bow from site to site, shape (n, 2); light that runs back bows to the other side."""
    start, stop = np.array(placement.positions[wire.source]), np.array(placement.positions[wire.target])
    t = np.linspace(0.0, 1.0, 13)[:, None]
    aside = np.array([start[1] - stop[1], stop[0] - start[0]])
    return np.asarray(start + t * (stop - start) + 0.5 * t * (1.0 - t) * aside)


def _draw_die(ax: Any, die: Die | Wafer) -> None:
    from matplotlib.patches import Circle, Patch, Rectangle

    m = die.margin_mm
    outlines: list[Patch] = []
    for inset, style in ((0.0, "-"), (m, ":")):
        if inset or style == "-":
            how: dict[str, Any] = {"fill": False, "ls": style, "lw": 1.0, "ec": "#1a1a1a", "zorder": 0}
            if isinstance(die, Die):
                outlines.append(Rectangle((inset, inset), die.width_mm - 2 * inset, die.height_mm - 2 * inset, **how))
            else:
                outlines.append(Circle((0.0, 0.0), 0.5 * die.diameter_mm - inset, **how))
    for outline in outlines:
        ax.add_patch(outline)
    if isinstance(die, Die):
        low, high, top = 0.0, die.width_mm, die.height_mm
        pad = 0.03 * max(high, top)
        ax.set_xlim(low - pad, high + pad)
        ax.set_ylim(low - pad, top + pad)
    else:
        edge = 0.53 * die.diameter_mm
        ax.set_xlim(-edge, edge)
        ax.set_ylim(-edge, edge)


def _draw_sites(ax: Any, placement: Placement) -> None:
    from matplotlib.patheffects import withStroke

    from soen_event import plotting

    fed = {placement.home[name] for name in placement.inputs}
    size = float(np.clip(900.0 / (10.0 + len(placement.positions)), 1.5, 40.0))
    for names, face, label in (
        ([name for name in placement.positions if name not in fed], plotting.BLUE, "site"),
        ([name for name in placement.positions if name in fed], "white", "site with inputs from outside"),
    ):
        if names:
            x, y = np.array([placement.positions[name] for name in names]).T
            ax.scatter(x, y, s=size, c=face, edgecolors=plotting.BLUE, linewidths=0.8, zorder=3, label=label)
    if fed and len(fed) < len(placement.positions):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=8.0, frameon=False)
    if len(placement.positions) <= _LONGEST_LABELS:
        halo = [withStroke(linewidth=2.0, foreground="white")]
        for name, point in placement.positions.items():
            offset = (0.0, 0.6 * math.sqrt(size) + 1.0)
            ax.annotate(
                name, point, offset, textcoords="offset points", fontsize=7, ha="center", path_effects=halo, zorder=4
            )
