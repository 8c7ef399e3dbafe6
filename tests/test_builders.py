"""Builders: any networkx graph becomes the network that it describes, and equal seeds give equal networks."""

from __future__ import annotations

import inspect
import math

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_parts import faults_of

from soen_event import builders, network
from soen_event.builders import (
    BUILDERS,
    all_to_all,
    crossbar,
    detectors,
    from_graph,
    layers,
    one_to_one,
    population,
    power_law,
    random_network,
    random_pairs,
    small_world,
    spatial,
    tree,
)
from soen_event.device import Device
from soen_event.network import Network
from soen_event.parts import Coupling, Dendrite, Neuron, Refractory, Soma, Synapse, Transmitter

few = settings(max_examples=25, deadline=None)
GRAPHS = {
    "karate": networkx.karate_club_graph(),
    "women": networkx.davis_southern_women_graph(),
    "miserables": networkx.les_miserables_graph(),
    "grid": networkx.grid_2d_graph(3, 4),
    "cycle": networkx.cycle_graph(4, create_using=networkx.DiGraph),
    "scale-free multigraph": networkx.scale_free_graph(20, seed=1),
    "loops": networkx.MultiDiGraph([(0, 0), (0, 1), (0, 1), (1, 0)]),
    "one loop": networkx.Graph([("a", "a")]),
    "odd labels": networkx.Graph([("é", "ü"), (1, "n1"), (1.5, frozenset({2})), ((0, (1, 2)), "")]),
    "empty": networkx.Graph(),
    "alone": networkx.empty_graph(3),
    "tree": networkx.balanced_tree(2, 3),
    "hypercube": networkx.hypercube_graph(3),
}


def directed_edges(graph) -> int:
    return (graph if graph.is_directed() else graph.to_directed()).number_of_edges()


# ------------------------------------------------------------------------------ any graph


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("dendrites", [0, 2])
def test_nodes_become_neurons_and_edges_become_light(name, dendrites):
    graph = GRAPHS[name]
    net = from_graph(graph, weight=0.3, dendrites_per_neuron=dendrites, inputs=True)
    n, edges = graph.number_of_nodes(), directed_edges(graph)
    assert net.validate() == []
    assert len(net.neurons) == n
    assert len(net.dendrites) == len(net.couplings) == n * dendrites
    assert len(net.waveguides) == edges
    assert len(net.synapses) == edges + n * max(dendrites, 1)
    label = {neuron: data["label"] for neuron, data in net.graph.nodes(data=True) if "label" in data}
    assert sorted(map(repr, label.values())) == sorted(map(repr, graph.nodes))
    owner = {coupling.source: coupling.target for coupling in net.couplings}
    found = []
    for guide in net.waveguides:
        target = net[guide.target].target
        found.append((label[guide.source], label[owner.get(target, target)]))
    wanted = (graph if graph.is_directed() else graph.to_directed()).edges()
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


def test_names_tell_the_labels():
    assert list(from_graph(networkx.path_graph(2)).neurons) == ["n0", "n1"]
    assert list(from_graph(networkx.Graph([((0, 1), "Mr Hi")])).neurons) == ["Mr_Hi", "n[0][1]"]
    assert list(from_graph(networkx.path_graph(2), prefix="a").neurons) == ["a[0]", "a[1]"]
    assert list(from_graph(networkx.path_graph(2)).synapses) == ["n0:n1", "n1:n0"]
    assert sorted(from_graph(networkx.Graph([("é", "ü"), (1, "n1")])).neurons) == ["_", "_:2", "n1", "n1:2"]
    multiple = networkx.MultiDiGraph([(0, 1), (0, 1)])
    assert list(from_graph(multiple).synapses) == ["n0:n1", "n0:n1:2"]


@few
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_nodes_and_edges_never_shows(pairs, random):
    edges = [(u, v, {"weight": k / 7}) for k, (u, v) in enumerate(pairs)]
    shuffled = list(edges)
    random.shuffle(shuffled)
    nets = []
    for several in (edges, shuffled):
        graph = networkx.MultiDiGraph()
        graph.add_edges_from(several)
        nets.append(from_graph(graph, dendrites_per_neuron=2))
    assert nets[0] == nets[1]


def test_weights_and_delays_come_from_the_edges():
    graph = networkx.DiGraph()
    graph.add_edge("a", "b", weight=0.7, delay="67 ps", loss_db=1, length=2.0)
    graph.add_edge("b", "a", length=4.0)
    net = from_graph(graph, synapse={"weight": 0.1, "tau_fall": "20 ns"})
    assert (net["a:b"].weight, net["b:a"].weight) == (0.7, 0.1)
    assert net["a:b"].tau_fall == 20.0
    assert (net["a->a:b"].delay, net["a->a:b"].loss_db, net["b->b:a"].delay) == (0.067, 1.0, 0.0)
    net = from_graph(graph, weight=lambda u, v, data: data["length"] / 10, delay="length", loss_db="3 dB")
    assert (net["b:a"].weight, net["b->b:a"].delay, net["a->a:b"].loss_db) == (0.4, 4.0, 3.0)
    assert from_graph(graph, weight=-2, delay="1 ns")["a->a:b"].delay == 1.0


def test_templates_are_parts_or_mappings_or_made_for_each_label():
    graph = networkx.path_graph(2)
    default = from_graph(graph)["n0"]
    assert default == Neuron("n0", refractory=Refractory(), transmitter=Transmitter())
    soma = Soma(threshold=0.2)
    given_part = from_graph(graph, neuron=Neuron("any", soma, transmitter=Transmitter(latency=1.0)))
    assert given_part["n1"].soma == soma and given_part["n1"].refractory is None
    mapping = {"soma": {"threshold": 0.2}, "transmitter": {"latency": 1.0}}
    assert from_graph(graph, neuron=mapping) == given_part
    each = from_graph(graph, neuron=lambda label: {"soma": {"threshold": 0.1 * (label + 1)}, "transmitter": {}})
    assert [each[name].soma.threshold for name in ("n0", "n1")] == [0.1, 0.2]
    loop = Dendrite("any", inductance="2 nH", source="fit")
    made = from_graph(graph, dendrites_per_neuron=1, dendrite=loop, synapse=Synapse("s", "d", tau_fall=9.0))
    assert made["n0/0"].inductance == 2e-9 and made["n0/0"].source == "fit"
    assert made["n0:n1"].tau_fall == 9.0


def test_synapses_are_shared_out_over_the_dendrites():
    net = from_graph(networkx.star_graph(6), dendrites_per_neuron=3)
    on = [net[f"n{k}:n0"].target for k in range(1, 7)]
    assert on == ["n0/0", "n0/1", "n0/2"] * 2
    assert max(net._flux_ranges()["n0"]) == pytest.approx(0.5)


def test_inputs_for_chosen_nodes():
    net = from_graph(networkx.path_graph(3), inputs=[2])
    assert [name for name in net.synapses if name.startswith("in:")] == ["in:n2"]
    assert "'x' is no node" in faults_of(from_graph, networkx.path_graph(3), inputs=["x"])[0]


def test_a_graph_can_join_a_network_and_a_block_is_not_disturbed():
    with Network(name="whole") as net:
        Dendrite("d")
        from_graph(networkx.path_graph(2), into=net, prefix="a")
        other = from_graph(networkx.path_graph(2), device={"Ic": "90 uA"}, name="other")
    assert list(net.neurons) == ["a[0]", "a[1]"]
    assert (other.name, other.device) == ("other", Device(Ic=90e-6))
    assert "has one already" in faults_of(from_graph, networkx.path_graph(2), into=net, device={})[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"dendrites_per_neuron": -1},
            "from_graph.dendrites_per_neuron: -1 is out of range; give a whole number from 0",
        ),
        ({"dendrites_per_neuron": 1.5}, "is not a whole number"),
        ({"weight": {"normal": [0, 1]}}, "from_graph.weight.seed: missing, and a normal distribution must be"),
        ({"weight": {"norml": [0, 1]}, "seed": 1}, "is no distribution (did you mean 'normal'?)"),
        ({"weight": {"normal": [0, -1]}, "seed": 1}, "-1 is no spread"),
        ({"weight": {"normal": 3}, "seed": 1}, "normal takes two numbers"),
        ({"weight": [[1]]}, "a matrix has no meaning here"),
        ({"weight": math.nan}, "Synapse.weight: nan is not finite"),
        ({"delay": "-1 ns"}, "Waveguide.delay: -1 is below 0 ns"),
        ({"synapse": {"weigth": 1}}, "Synapse.weigth: not a field of a template (did you mean 'weight'?)"),
        ({"synapse": {"id": "x"}}, "Synapse.id: not a field of a template"),
        ({"neuron": 3}, "Neuron: 3 is no template"),
        ({"seed": -1, "weight": {"uniform": [0, 1]}}, "seed: -1 is out of range"),
    ],
)
def test_arguments_that_do_not_fit_a_graph(arguments, message):
    assert message in faults_of(from_graph, networkx.path_graph(2), **arguments)[0]


def test_only_graphs_are_graphs():
    assert "no networkx graph" in faults_of(from_graph, [(1, 2)])[0]


# ------------------------------------------------------------------------------ seeds


@few
@given(st.integers(0, 2**32 - 1))
def test_equal_seeds_give_equal_networks(seed):
    for build in (
        lambda: random_network(8, p=0.3, seed=seed, weight={"normal": [0.3, 0.1]}),
        lambda: random_network(8, degree=2, seed=seed, delay={"uniform": [0.0, 1.0]}),
        lambda: small_world(8, 4, 0.3, seed=seed),
        lambda: power_law(8, 2, seed=seed),
        lambda: spatial(8, 4.0, seed=seed),
        lambda: layers([3, 3], p=0.5, seed=seed),
    ):
        assert build() == build()


def test_different_seeds_differ():
    weights = [random_network(5, p=1.0, seed=s, weight={"normal": [0, 1]}).parameters()["weights"] for s in (1, 2)]
    assert not np.isclose(*weights).any()


def test_a_larger_network_keeps_the_values_of_a_smaller_one():
    small, large = (from_graph(networkx.complete_graph(n), weight={"normal": [0.3, 0.1]}, seed=4) for n in (4, 6))
    assert all(large[name].weight == synapse.weight for name, synapse in small.synapses.items())
    near, far = (spatial(n, 3.0, seed=4) for n in (5, 9))
    assert all(far.graph.nodes[name]["pos"] == near.graph.nodes[name]["pos"] for name in near.neurons)


@pytest.mark.parametrize(
    ("distribution", "mean", "deviation"),
    [
        ({"normal": [0.3, 0.1]}, 0.3, 0.1),
        ({"uniform": [0.2, 0.8]}, 0.5, 0.6 / math.sqrt(12)),
        ({"lognormal": [0.4, 0.5]}, 0.4 * math.exp(0.125), 0.4 * math.sqrt(math.exp(0.5) - math.exp(0.25))),
    ],
)
def test_distributions_have_their_moments(distribution, mean, deviation):
    weights = from_graph(networkx.complete_graph(45), weight=distribution, seed=0).parameters()["weights"]
    assert weights.size == 1980
    # five standard errors of the mean: false alarm 6e-7; of the deviation: generous for the lognormal's long tail
    assert weights.mean() == pytest.approx(mean, abs=5 * deviation / math.sqrt(weights.size))
    assert weights.std() == pytest.approx(deviation, rel=0.25)


# ------------------------------------------------------------------------------ architectures


@few
@given(st.integers(2, 12), st.data())
def test_random_networks_have_their_degree_and_no_loops(n, data):
    degree = data.draw(st.integers(0, n - 1))
    net = random_network(n, degree=degree, seed=data.draw(st.integers(0, 99)))
    fan_in = [sum(synapse.target == name for synapse in net.synapses.values()) for name in net.neurons]
    assert fan_in == [degree] * n
    assert all(guide.source != net[guide.target].target for guide in net.waveguides)


def test_random_networks_have_their_probability():
    net = random_network(60, p=0.2, seed=3)
    pairs = 60 * 59
    # binomial, five standard deviations: false alarm 6e-7
    assert len(net.waveguides) == pytest.approx(0.2 * pairs, abs=5 * math.sqrt(0.16 * pairs))
    assert len(random_network(5, p=1.0, seed=0).waveguides) == 20
    assert len(random_network(5, p=0.0, seed=0).waveguides) == 0


def test_small_world_and_power_law_are_the_graphs_of_networkx():
    ring = small_world(10, 4, 0.0, seed=1)
    assert len(ring.waveguides) == 10 * 4
    assert {guide.target for guide in ring.waveguides if guide.source == "n0"} == {f"n0:n{k}" for k in (1, 2, 8, 9)}
    assert len(power_law(10, 3, seed=1).waveguides) == 2 * networkx.barabasi_albert_graph(10, 3, seed=1).size()


@few
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=2, max_size=8, unique=True), st.floats(0.5, 9))
def test_spatial_delay_is_the_time_of_flight(points, radius):
    net = spatial(positions=points, radius_mm=radius, loss_db_per_cm=2.0)
    where = {f"n{k}": point for k, point in enumerate(points)}
    connected = {(guide.source, net[guide.target].target): guide for guide in net.waveguides}
    for u, v in ((u, v) for u in where for v in where if u != v):
        distance = math.dist(where[u], where[v])
        if abs(distance - radius) > 1e-9:
            assert ((u, v) in connected) == (distance < radius)
        if (u, v) in connected:
            assert connected[u, v].delay == pytest.approx(2.0 * distance * 1e-3 / 299792458.0 * 1e9, rel=1e-12)
            assert connected[u, v].loss_db == pytest.approx(0.2 * distance)
    assert all(net.graph.nodes[name]["pos"] == point for name, point in where.items())


def test_a_centimetre_takes_67_ps():
    net = spatial(positions={"a": (0, 0), "b": (10, 0)}, radius_mm=20)  # physics.md 4.5
    assert net["a->a:b"].delay == pytest.approx(0.067, abs=5e-4)


def test_layers_connect_each_to_the_next():
    net = layers([2, 3, 1], weight=[[[1, 2, 3], [4, 5, 6]], [[7], [8], [9]]])
    assert net["layer0[1]:layer1[2]"].weight == 6
    assert net["layer1[0]:layer2[0]"].weight == 7
    assert len(net.waveguides) == 9
    assert [name for name in net.synapses if name.startswith("in:")] == ["in:layer0[0]", "in:layer0[1]"]
    assert layers([2, 3], weight=np.arange(6.0).reshape(2, 3))["layer0[1]:layer1[0]"].weight == 3
    assert layers([2, 2], prefix="v", inputs=False, weight=0.3)["v0[0]:v1[0]"].weight == 0.3
    assert len(layers([30, 30], p=0.5, seed=1).waveguides) == pytest.approx(450, abs=75)


def test_a_crossbar_is_its_matrix():
    weights = np.arange(6.0).reshape(2, 3) / 10
    net = crossbar(2, 3, weights)
    assert net.validate() == []
    assert [[net[f"in[{i}]->out[{j}]"].J for j in range(3)] for i in range(2)] == weights.tolist()
    assert net["in:in[1]"].target == "in[1]"
    even = crossbar(4, 2, dendrite={"ib": 1.7}, neuron={})
    assert even._flux_ranges()["out[0]"] == pytest.approx((0.0, 0.5))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: random_network(3, seed=1), "random_network.p: give p or degree"),
        (lambda: random_network(3, seed=1, p=0.1, degree=2), "not both"),
        (lambda: random_network(3, seed=1, p=1.1), "random_network.p: 1.1 is above 1"),
        (lambda: random_network(3, seed=1, degree=3), "degree: 3 is out of range; give a whole number from 0 to 2"),
        (lambda: random_network(0, seed=1, p=0.5), "random_network.n: 0 is out of range"),
        (lambda: random_network(3, seed=None, p=0.5), "seed"),
        (lambda: random_network(10**9, seed=1, p=0.5), "from 1 to 10000000"),
        (lambda: small_world(3, 5, 0.1, seed=1), "small_world.k: 5 is out of range"),
        (lambda: power_law(3, 0, seed=1), "power_law.m: 0 is out of range"),
        (lambda: spatial(), "spatial.n: give n or positions"),
        (lambda: spatial(3, positions=[(0, 0)]), "not both"),
        (lambda: spatial(3), "spatial.seed: missing, and positions must be drawn at random"),
        (lambda: spatial(3, -1, seed=1), "spatial.radius_mm: -1 is not above 0"),
        (lambda: spatial(3, seed=1, delay=1), "spatial.delay: follows from the distance"),
        (lambda: spatial(positions=[(0, math.nan), "ab"]), "spatial.positions[0]: (0, nan) is not finite"),
        (lambda: spatial(positions=[(0, 0)], group_index=0.5), "group_index: 0.5 is below 1"),
        (lambda: layers([2, 0]), "layers.sizes: 0 is out of range"),
        (lambda: layers(3), "layers.sizes: 3 is no list"),
        (lambda: layers([2, 2], p=0.5), "layers.seed: missing"),
        (lambda: layers([2, 2, 2], weight=[[[1, 2], [3, 4]]]), "1 matrices for 2 steps"),
        (lambda: layers([2, 2], weight=[[1, 2, 3]]), "layers.weight[0]: shape (1, 3) does not fit; give shape (2, 2)"),
        (lambda: crossbar(2, 2, [[1, 2]]), "crossbar.weights: shape (1, 2) does not fit; give shape (2, 2)"),
        (lambda: crossbar(2, 2, [[1, 2], [3, math.inf]]), "not finite"),
        (lambda: crossbar(2, 2, "x"), "is no array of numbers"),
    ],
)
def test_arguments_that_do_not_fit(build, message):
    assert message in faults_of(build)[0]


# ------------------------------------------------------------------------------ onto a network


@few
@given(st.lists(st.integers(1, 3), max_size=3), st.sampled_from(["n", "d"]))
def test_a_tree_has_its_shape(branching, root):
    net = Network()
    net.add(Neuron("n"))
    net.add(Dendrite("d"))
    leaves = tree(net, root, branching)
    assert len(leaves) == len(set(leaves)) == math.prod(branching)
    grown = sum(math.prod(branching[: level + 1]) for level in range(len(branching)))
    assert len(net.dendrites) == 1 + grown
    assert len(net.couplings) == grown
    for leaf in leaves:
        path = networkx.shortest_path(net.graph, leaf, root)
        assert len(path) == len(branching) + 1
    for name, (low, high) in net._flux_ranges().items():
        assert low == 0.0
        has_inputs = any(coupling.target == name for coupling in net.couplings)
        assert high == pytest.approx(0.5 if has_inputs else 0.0)


def test_a_tree_takes_strengths_and_parts_by_level():
    net = Network()
    net.add(Neuron("n"))
    # physics.md 9.5: weights and time constants of the nine-pixel classifier's first level
    leaves = tree(net, "n", (3, 2), J=[[0.5, 0.4, 0.6], 0.5], dendrite=[{"tau": 10}, {"tau": 250, "ib": 1.5}])
    assert leaves == [f"n/{i}/{j}" for i in range(3) for j in range(2)]
    assert [net[f"n/{k}->n"].J for k in range(3)] == [0.5, 0.4, 0.6]
    assert {net[f"{leaf}->{leaf[:3]}"].J for leaf in leaves} == {0.5}
    assert (net["n/0"].tau, net["n/0/1"].tau, net["n/0/1"].ib) == (10.0, 250.0, 1.5)
    assert tree(net, "n/0/0", ()) == ["n/0/0"]


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("n11", {}, "tree.target: there is no 'n11' (did you mean 'n1'?)"),
        ("s", {}, "'s' has no loop to couple to"),
        ("n", {"branching": (0,)}, "tree.branching: 0 is out of range"),
        ("n", {"branching": 3}, "tree.branching: 3 is no list"),
        ("n", {"J": [0.5]}, "tree.J: 1 entries for 2 levels"),
        ("n", {"J": [[0.5, 0.5], 0.1]}, "tree.J[0]: shape (2,) does not fit; give shape (3,) or one number"),
        ("n", {"dendrite": {"taw": 1}}, "Dendrite.taw: not a field of a template (did you mean 'tau'?)"),
    ],
)
def test_trees_that_do_not_grow(target, arguments, message):
    net = Network()
    net.extend([Neuron("n"), Neuron("n1"), Synapse("s", "n")])
    assert message in faults_of(tree, net, target, **arguments)[0]


def two_populations() -> Network:
    net = Network()
    assert population(net, "a", 3) == ["a[0]", "a[1]", "a[2]"]
    population(net, "b", 2, dendrite={"tau": 9.0}, inputs=True)
    return net


def test_populations_connect_by_light_or_by_coupling():
    net = two_populations()
    a, b = list(net.neurons), list(net.dendrites)
    assert "in:b[1]" in net and net["b[0]"].tau == 9.0
    light = all_to_all(net, a, b, weight=[[1, 2], [3, 4], [5, 6]], delay="1 ns", synapse={"tau_fall": 9})
    assert light == [f"{u}:{v}" for u in a for v in b]
    assert [net[name].weight for name in light] == [1, 2, 3, 4, 5, 6]
    assert net["a[2]->a[2]:b[0]"].delay == 1.0 and net[light[0]].tau_fall == 9.0
    assert all_to_all(net, b, a, J=0.1) == [f"{u}->{v}" for u in b for v in a]
    assert one_to_one(net, a, a, J=0.3) == []
    assert one_to_one(net, a, a, J=0.3, self_loops=True) == [f"{u}->{u}" for u in a]
    assert len(all_to_all(net, a, a)) == 6
    assert all_to_all(net, a[:1], b[:1]) == ["a[0]:b[0]:2"]
    assert detectors(net, a, synapse={"weight": 0.2}) == [f"in:{name}" for name in a]
    assert net.validate() == []


@few
@given(st.integers(0, 99), st.integers(0, 5), st.floats(0, 1))
def test_random_pairs_have_their_degree_and_keep_their_lots(seed, degree, p):
    net = Network()
    a = population(net, "a", 6)
    random_pairs(net, a, a, degree=degree, seed=seed)
    assert [sum(s.target == name for s in net.synapses.values()) for name in a] == [degree] * 6
    small, large = Network(), Network()
    for each, size in ((small, 4), (large, 7)):
        random_pairs(each, population(each, "a", size), list(each.neurons), p=p, seed=seed)
    expected = {name for name in large.synapses if all(end in small.neurons for end in name.split(":"))}
    assert set(small.synapses) == expected


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda net, a, b: one_to_one(net, a, b), "one_to_one.target: 3 sources for 2 targets"),
        (lambda net, a, b: all_to_all(net, b, a), "all_to_all.J: missing for the coupling b[0]->a[0]; give J"),
        (lambda net, a, b: all_to_all(net, b, a, J=1, weight=2), "all_to_all.weight: 'b[0]' has no light"),
        (lambda net, a, b: all_to_all(net, a, b, wieght=2), "unknown argument (did you mean 'weight'?)"),
        (lambda net, a, b: all_to_all(net, ["q"], b), "all_to_all.source: there is no neuron or dendrite 'q'"),
        (lambda net, a, b: all_to_all(net, a, b, weight=[1, 2]), "shape (2,) does not fit; give shape (3, 2)"),
        (lambda net, a, b: random_pairs(net, a, b, seed=1), "give p or degree"),
        (lambda net, a, b: random_pairs(net, a, a, seed=1, degree=3), "degree: 3 is out of range"),
        (lambda net, a, b: detectors(net, ["q"]), "detectors.target: there is no neuron or dendrite 'q'"),
        (lambda net, a, b: detectors(net, b), "Synapse.id: 'in:b[0]' is taken"),
        (lambda net, a, b: population(net, "c", 0), "population.size: 0 is out of range"),
        (lambda net, a, b: population(net, "c", 1, neuron={}, dendrite={}), "given together with neuron"),
        (lambda net, a, b: population(net, "a", 1), "Neuron.id: 'a[0]' is taken"),
    ],
)
def test_connections_that_do_not_fit(build, message):
    net = two_populations()
    assert message in faults_of(build, net, list(net.neurons), list(net.dendrites))[0]


# ------------------------------------------------------------------------------ what files may name


def test_the_registry_knows_every_builder_and_its_arguments():
    assert set(BUILDERS) == set(builders.__all__) - {"BUILDERS", "from_graph"}
    for name, builder in BUILDERS.items():
        assert builder.section in ("populations", "connect")
        assert set(builder.required) <= set(builder.arguments)
        taken = set(inspect.signature(builder.function).parameters) - {"net", "into", "device", "prefix", "name"}
        assert taken - {"wiring", "wires"} <= set(builder.arguments), name


def test_every_builder_is_documented():
    for name in builders.__all__:
        if name != "BUILDERS":
            story = getattr(builders, name).__doc__
            assert "Args:" in story and "Raises:" in story, name


def test_couplings_share_half_a_flux_quantum_by_default():
    net = Network()
    net.extend([Neuron("n"), Dendrite("a", kind="rtti"), Dendrite("b")])
    J = builders._shared_coupling(net, ["a", "b"])
    full = sum(network._saturation(net.device, net[name], net[name].ib) for name in "ab")
    assert J * full == pytest.approx(0.5)
    net.extend([Coupling(name, "n", J=J) for name in "ab"])
    assert net.warnings() == []
