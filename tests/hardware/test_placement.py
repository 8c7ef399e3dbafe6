"""Placement: light takes n_g L/c, nobody sits outside or on somebody else, and the order of declaration never shows."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware.placement import Die, Limits, Quantiles, Wafer, place
from soen_event import builders, testing
from soen_event.errors import InputError
from soen_event.units import c

AREAS = [Die(), Die(width_mm=20.0, height_mm=5.0, margin_mm=1.0), Wafer(), Wafer(diameter_mm=100.0, margin_mm=3.0)]
few = settings(max_examples=25, deadline=None)


def neurons(edges, count: int = 0, light: str = "deterministic") -> list:
    """Neurons n0 ... with a waveguide to a synapse of its own for every edge."""
    count = count or 1 + max((end for edge in edges for end in edge), default=0)
    parts = [se.Neuron(f"n{k}", transmitter=se.Transmitter(emission=light)) for k in range(count)]
    for k, (source, target) in enumerate(edges):
        parts += [se.Synapse(f"s{k}", f"n{target}"), se.Waveguide(f"n{source}", f"s{k}")]
    return parts


def network(parts) -> se.Network:
    net = se.Network()
    net.extend(parts)
    return net


def line(count: int = 3, **light) -> se.Network:
    return network(neurons([(k, k + 1) for k in range(count - 1)], **light))


def on_a_line(net: se.Network, step: float = 1.0):
    return place(net, Die(), "given", {name: (step * (k + 1), 2.0) for k, name in enumerate(net.neurons)})


wirings = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
)


# ---------------------------------------------------------------------------------------------- positions


@pytest.mark.parametrize("die", AREAS, ids=repr)
@pytest.mark.parametrize("method", ["grid", "spectral", "anneal"])
@given(wirings)
@settings(max_examples=8, deadline=None)
def test_sites_are_distinct_and_inside(method, die, wiring):
    count, edges = wiring
    placement = place(network(neurons(edges, count)), die, method, seed=3)
    assert set(placement.positions) == {f"n{k}" for k in range(count)}
    assert len(set(placement.positions.values())) == count
    assert all(die.holds(*point) for point in placement.positions.values())


@given(wirings, st.randoms(use_true_random=False), st.sampled_from(["grid", "spectral", "anneal"]))
@few
def test_the_order_of_declaration_does_not_show(wiring, shuffle, method):
    count, edges = wiring
    parts = neurons(edges, count)
    one = place(network(parts), Die(), method, seed=1)
    shuffle.shuffle(parts)
    other = place(network(parts), Die(), method, seed=1)
    assert one.positions == other.positions
    assert one.wires == other.wires


@given(testing.networks(), st.sampled_from(AREAS))
@few
def test_any_network_can_be_placed_and_routed(net, die):
    placement = place(net, die)
    assert set(placement.home) == {*net.neurons, *net.dendrites, *net.synapses}
    assert set(placement.home.values()) == set(placement.positions)
    routed = placement.route(net, loss_db_per_cm=0.1)
    assert routed.validate() == []
    placement.statistics(routed).table()
    placement.check(routed)


@pytest.mark.parametrize("count", [1, 2, 5, 29, 200])
def test_a_wafer_is_round(count):
    wafer = Wafer(diameter_mm=100.0)
    placement = place(network(neurons([], count)), wafer, "grid")
    points = np.array(list(placement.positions.values()))
    radius = np.hypot(*points.T)
    assert radius.max() <= 50.0
    assert not wafer.holds(45.0, 45.0) and wafer.holds(45.0, 0.0)
    if (
        count >= 200
    ):  # spread over all of it but half a pitch: over a disc x^2 + y^2 is half the radius squared on average
        assert np.mean(radius**2) == pytest.approx(0.5 * 47.0**2, rel=0.05)
        assert np.abs(points.mean(axis=0)).max() < 3.0
    pitch = min((math.dist(a, b) for k, a in enumerate(points.tolist()) for b in points[:k].tolist()), default=100.0)
    assert pitch >= 0.7 * math.sqrt(math.pi * 50.0**2 / (count + 8))


def test_neighbours_in_the_graph_become_neighbours_on_the_die():
    order = list(range(64))
    random.Random(1).shuffle(order)
    ring = [(order[k], order[(k + 1) % 64]) for k in range(64)]
    net = network(neurons(ring, 64))
    mean = {method: place(net, Die(), method).lengths().mean() for method in ("grid", "spectral", "anneal")}
    assert mean["spectral"] < 0.5 * mean["grid"]
    assert mean["anneal"] < mean["spectral"]
    assert mean["anneal"] < 2.5 * 1.25  # a pitch is 1.25 mm


def test_annealing_shortens_the_wires_of_a_lattice():
    """On itself the lattice would have a mean of one pitch, 1.25 mm; at random 6.7 mm."""
    edges = [(8 * y + x, 8 * y + x + 1) for y in range(8) for x in range(7)]
    edges += [(8 * y + x, 8 * y + x + 8) for y in range(7) for x in range(8)]
    net = network(neurons(edges, 64))
    means = [place(net, Die(), method).lengths().mean() for method in ("spectral", "anneal")]
    assert 1.25 < means[1] < means[0] < 2.2


def test_annealing_follows_its_seed_and_is_never_worse_than_its_start():
    for seed in range(3):
        draw = random.Random(seed)
        edges = [(draw.randrange(30), draw.randrange(30)) for _ in range(60)]
        net = network(neurons(edges, 30))
        start, end = place(net, None, "spectral"), place(net, None, "anneal", seed=seed)
        assert end.lengths().sum() <= start.lengths().sum()
        assert end.positions == place(net, None, "anneal", seed=seed).positions


def test_many_sites_use_the_sparse_eigenvectors():
    count = 1100
    net = network(neurons([(k, (k + 1) % count) for k in range(count)], count))
    assert place(net).lengths().mean() < 0.2 * place(net, None, "grid").lengths().max()


# ---------------------------------------------------------------------------------------------- who sits where


def test_dendrites_and_synapses_sit_at_their_soma():
    with se.Network() as net:
        for name in ("a", "b"):
            se.Neuron(name, transmitter=se.Transmitter())
        for name in ("leaf", "near_a", "near_b", "shared", "alone", "alone2"):
            se.Dendrite(name)
        for source, target in (
            ("leaf", "near_a"), ("near_a", "a"), ("near_b", "b"), ("shared", "near_a"), ("shared", "b"),
            ("a", "b"), ("alone2", "alone"),
        ):  # fmt: skip
            se.Coupling(source, target, J=0.1)
        se.Synapse("s1", "leaf")
        se.Synapse("s2", "alone2")
        se.Synapse("s3", "b")
        se.Waveguide("a", "s3")
        se.Waveguide("a", "s1")
    placement = place(net, None, "grid")
    home = placement.home
    assert home["leaf"] == home["near_a"] == home["s1"] == "a"
    assert home["shared"] == home["near_b"] == "b"  # b is nearer than a
    assert home["alone"] == home["alone2"] == home["s2"] == "alone"
    assert set(placement.positions) == {"a", "alone", "b"}
    assert placement.inputs == ("s2",)
    assert {w.key for w in placement.couplings} == {"a->b", "shared->near_a"}
    assert placement.distance("leaf", "a") == 0.0
    routed = placement.route(net)
    assert routed["a->s1"].delay == 0.0
    assert routed["a->s3"].delay > 0.0


def test_a_dendrite_between_two_neurons_goes_to_the_first_by_id():
    with se.Network() as net:
        se.Neuron("b")
        se.Neuron("a")
        se.Dendrite("d")
        se.Coupling("d", "b", J=0.1)
        se.Coupling("d", "a", J=0.1)
    assert place(net).home["d"] == "a"


def test_inputs_come_from_the_nearest_edge():
    net = network([*neurons([], 2), se.Synapse("s0", "n0"), se.Synapse("s1", "n1")])
    placement = place(net, Die(width_mm=10, height_mm=6), "given", {"n0": (1.0, 3.0), "n1": (5.0, 4.5)})
    np.testing.assert_allclose(placement.input_lengths(), [1.0, 1.5])
    placement = place(net, Wafer(diameter_mm=20), "given", {"n0": (0.0, 0.0), "n1": (3.0, 4.0)})
    np.testing.assert_allclose(placement.input_lengths(), [10.0, 5.0])


# ---------------------------------------------------------------------------------------------- light


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=2, max_size=6, unique=True),
    st.floats(1.0, 4.0),
    st.sampled_from(["manhattan", "straight"]),
)
@few
def test_light_takes_the_group_index_times_the_way_over_c(points, n_g, route):
    edges = [(0, k) for k in range(len(points))] + [(k, 0) for k in range(1, len(points))]
    net = network(neurons(edges))
    placement = place(net, Die(), "given", {f"n{k}": point for k, point in enumerate(points)})
    routed = placement.route(net, n_g, route=route)
    for k, (source, target) in enumerate(edges):
        dx, dy = (abs(points[source][axis] - points[target][axis]) for axis in (0, 1))
        metres = 1e-3 * (dx + dy if route == "manhattan" else math.hypot(dx, dy))
        assert routed[f"n{source}->s{k}"].delay == pytest.approx(1e9 * n_g * metres / c, rel=1e-12, abs=1e-15)
        there, back = (placement.distance(f"n{a}", f"n{b}", route) for a, b in ((source, target), (target, source)))
        assert there == back
        assert (
            placement.distance(f"n{source}", f"s{k}", "straight") <= placement.distance(f"n{source}", f"s{k}") + 1e-12
        )
    assert all(guide.loss_db == 0.0 for guide in routed.waveguides)
    assert net == network(neurons(edges))


def test_one_centimetre_takes_67_ps():
    """physics.md 4.5: 67 ps per cm at n_g = 2; about 2 ns across a 300 mm wafer."""
    net = line(2)
    placement = place(net, Wafer(), "given", {"n0": (0.0, 0.0), "n1": (0.0, 10.0)})
    assert 1e3 * placement.route(net)["n0->s0"].delay == pytest.approx(67.0, abs=0.3)
    across = place(net, Wafer(), "given", {"n0": (-150.0, 0.0), "n1": (150.0, 0.0)})
    assert across.route(net)["n0->s0"].delay == pytest.approx(2.0, abs=0.01)


def test_losses_grow_with_the_way_and_the_splitters():
    net = network(neurons([(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (2, 4), (2, 0)]))
    placement = on_a_line(net, 2.0)
    routed = placement.route(net, loss_db_per_cm=3.0, splitter_loss_db=0.2)
    losses = [routed[key].loss_db for key in ("n0->s0", "n0->s1", "n0->s2", "n0->s3", "n1->s4", "n2->s5")]
    # four ways need two splitters in a row, three ways too, and one way none
    np.testing.assert_allclose(losses, [0.6 + 0.4, 1.2 + 0.4, 1.8 + 0.4, 2.4 + 0.4, 0.6, 0.6 + 0.4])


def test_the_positions_of_a_spatial_network_give_the_delays_that_it_was_built_with():
    net = builders.spatial(20, 4.0, seed=5, loss_db_per_cm=1.5)
    placement = place(net, Die(), "given")
    assert placement.positions["n3"] == net.graph.nodes["n3"]["pos"]
    routed = placement.route(net, 2.0, 1.5, route="straight")
    for before, after in zip(net.waveguides, routed.waveguides, strict=True):
        assert after.delay == pytest.approx(before.delay, rel=1e-12)
        assert after.loss_db == pytest.approx(before.loss_db, rel=1e-12)


def test_light_arrives_later_by_the_delay():
    net = network([*neurons([(0, 1)]), se.Synapse("in", "n0", phi_peak=0.6)])
    placement = place(net, Wafer(), "given", {"n0": (0.0, 0.0), "n1": (30.0, 70.0)})
    routed = placement.route(net)
    arrivals = []
    for each in (net, routed):
        run = se.simulate(each, {"in": [1.0]}, 30.0, engine="reference", record=("spikes", "photons"))
        arrivals.append(run.detections["s0"][0])
    assert arrivals[1] - arrivals[0] == pytest.approx(routed["n0->s0"].delay, abs=1e-6)


# ---------------------------------------------------------------------------------------------- numbers


def test_statistics_of_a_line():
    net = line(4)
    placement = on_a_line(net)
    routed = placement.route(net, loss_db_per_cm=1.0)
    found = placement.statistics(routed)
    assert (found.sites, found.synapses, found.waveguides) == (4, 3, 3)
    assert found.total_length_mm == 3.0
    assert found.length == Quantiles(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert found.delay.mean == pytest.approx(2.0 * 1e-3 / c * 1e9)
    assert found.loss.most == pytest.approx(0.1)
    assert (found.hops.least, found.hops.most) == (1, 3)
    assert found.hops.mean == pytest.approx((3 * 1 + 2 * 2 + 3) / 6)
    assert found.unreachable == 0.5
    assert found.hop_sources == 4
    assert (found.fan_in.least, found.fan_in.most, found.fan_out.mean) == (0, 1, 0.75)
    text = found.table()
    assert "delay (ns)" in text and "50 % of the ordered pairs" in text
    assert "couplings between sites" not in text  # there are none


def test_hops_of_many_sites_are_counted_from_some():
    net = network(neurons([(k, (k + 1) % 300) for k in range(300)]))
    found = place(net, None, "grid").statistics(net)
    assert found.hop_sources == 256
    assert (found.hops.most, found.unreachable) == (299, 0.0)


def test_a_lonely_neuron_has_no_hops():
    net = network(neurons([], 1))
    found = place(net).statistics(net)
    assert math.isnan(found.hops.mean) and found.unreachable == 0.0
    assert "hops" not in found.table()


def test_what_does_not_fit_is_listed():
    net = network(neurons([(0, 1), (0, 2), (0, 3), (1, 3)], light="photons"))
    placement = place(net, Die(width_mm=1.0, height_mm=1.0))
    assert placement.check(net) == []
    tight = Limits(
        neurons_per_cm2=300, synapses_per_cm2=300, fan_out=2, fan_in=1, photons_per_spike=25, photons_per_synapse=11
    )
    told = placement.check(net, tight)
    assert [message.split(":")[0] for message in told] == ["neurons", "synapses", "fan-out", "fan-in", *["light"] * 5]
    assert "4 on 0.01 cm^2, but there is room for 3" in told[0]
    assert told[2].startswith("fan-out: n0 has 3, more than 2")
    assert told[3].startswith("fan-in: n3 has 2, more than 1")
    assert "n0 needs 10 for each of 3 waveguides are 30" in told[4]
    nothing = Limits(**dict.fromkeys(Limits.__dataclass_fields__, None))
    assert placement.check(net, nothing) == []


def test_the_published_die_is_full():
    """physics.md 4.5: 8100 neurons on 1 x 1 cm^2."""
    net = network([se.Neuron(f"n{k}") for k in range(90)])
    assert place(net, Die(width_mm=1.0, height_mm=10.0 * 90 / 810), "grid").check(net) == []
    assert len(place(net, Die(width_mm=1.0, height_mm=1.1), "grid").check(net)) == 1


def test_dim_light_is_told():
    net = line(2, light="photons")
    routed = on_a_line(net, 5.0).route(net, loss_db_per_cm=10.0)
    told = on_a_line(net, 5.0).check(routed)
    assert told == [
        "light: at s0 3.16 photons of a spike of n0 are detected on average, fewer than 5; raise Transmitter.photons or "
        "shorten the way (5 dB)"
    ]


# ---------------------------------------------------------------------------------------------- the picture


@pytest.mark.parametrize("die", [Die(margin_mm=0.5), Wafer()], ids=repr)
@pytest.mark.parametrize("route", ["manhattan", "straight"])
def test_a_placement_is_drawn(die, route, tmp_path):
    from matplotlib import image

    net = network(
        [*neurons([(0, 1), (1, 2), (2, 0), (1, 1)], 50), se.Synapse("in", "n0"), se.Coupling("n3", "n4", J=0.1)]
    )
    path = place(net, die).draw(tmp_path / "die.png", route)
    pixels = image.imread(path)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50
    with pytest.raises(InputError, match="exists already"):
        place(net, die).draw(path)


def test_a_placement_without_wires_is_drawn(tmp_path):
    assert place(network(neurons([], 1))).draw(tmp_path / "one.svg").stat().st_size > 1000


# ---------------------------------------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda net: place({}), "place.network"),
        (lambda net: place(se.Network()), "nothing to place"),
        (lambda net: place(net, (10, 10)), "place.die"),
        (lambda net: place(net, method="spectrum"), "did you mean 'spectral'"),
        (lambda net: place(net, seed=-1), "seed: -1"),
        (lambda net: place(net, positions={"n0": (0, 0)}), "place.positions: method 'spectral' finds its own"),
        (lambda net: place(net, method="given"), "builders.spatial"),
        (lambda net: place(net, None, "given", [(0, 0)]), "no mapping"),
        (lambda net: place(net, None, "given", {"n0": (1, 1)}), r"positions\['n1'\]: missing"),
        (lambda net: place(net, None, "given", {"n0": (1, 1), "n1": (1, 1)}), "taken by 'n0'"),
        (lambda net: place(net, None, "given", {"n0": (1, 1), "n1": (1, 11)}), r"\(1, 11\) mm is not inside"),
        (lambda net: place(net, None, "given", {"n0": (1, 1), "n1": (1, math.nan)}), "is not inside"),
        (lambda net: place(net, None, "given", {"n0": (1, 1), "n1": "here"}), "'here' is no position"),
        (lambda net: place(net, None, "given", {"n0": (1, 1), "n1": (2, 1), "n2": (0, 0)}), "there is no site 'n2'"),
        (lambda net: Die(width_mm=0), "Die.width_mm: 0"),
        (lambda net: Die(margin_mm=5), "leaves nothing"),
        (lambda net: Wafer(diameter_mm=math.inf), "Wafer.diameter_mm"),
        (lambda net: Limits(fan_in=-1), "Limits.fan_in"),
        (lambda net: place(net).route(net, 0.5), "n_g: 0.5"),
        (lambda net: place(net).route(net, loss_db_per_cm=-1), "loss_db_per_cm: -1"),
        (lambda net: place(net).route(net, splitter_loss_db="x"), "splitter_loss_db"),
        (lambda net: place(net).route(net, route="diagonal"), "Placement.route.route: 'diagonal'"),
        (lambda net: place(net).route(net, loss_db_per_cm=1e6), "Waveguide.loss_db"),
        (lambda net: place(net).route(line(4)), "'n2' was not placed"),
        (lambda net: place(net).route(None), "Placement.route.network"),
        (lambda net: place(net).statistics(line(4)), "'n2' was not placed"),
        (lambda net: place(net).check(line(4)), "was not placed"),
        (lambda net: place(net).position("n5"), "there is no 'n5'"),
        (lambda net: place(net).draw("/nowhere/x.png"), "there is no folder"),
        (lambda net: place(net).draw("x.doc"), "no picture format"),
    ],
)
def test_nonsense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call(line(2))


def test_all_faults_are_told_at_once():
    with pytest.raises(InputError) as caught:
        place(line(3), None, "given", {"n0": (-1, 0), "n2": (0, -1), "zz": (0, 0)})
    assert len(caught.value.faults) == 4


def test_a_faulty_network_is_not_placed():
    net = line(2)
    net.add(se.Synapse("lost", "nobody"))
    with pytest.raises(InputError, match="nobody"):
        place(net)
