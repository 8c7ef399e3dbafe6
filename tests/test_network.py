"""The network: the order of adding never shows, arrays are live, faults and warnings name the part and the remedy."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_parts import couplings, dendrites, drives, faults_of, neurons, synapses, waveguides

import soen_event as se
from soen_event import network as module
from soen_event.device import Device
from soen_event.errors import InputError
from soen_event.network import PARAMETERS, Network, auto_refractory_coupling
from soen_event.parts import (
    Coupling,
    Dendrite,
    Drive,
    Neuron,
    Pulse,
    Refractory,
    Soma,
    Synapse,
    Transmitter,
    Waveguide,
    detached,
)


@st.composite
def part_lists(draw, dendrite=dendrites, light=None):
    """Parts of a network without faults: every end is there."""
    loops = [draw(dendrite(f"d{k}")) for k in range(draw(st.integers(0, 3)))]
    bodies = [draw(neurons(f"n{k}", light=True)) for k in range(draw(st.integers(1, 3)))]
    names = [part.id for part in (*loops, *bodies)]
    detectors = [draw(synapses(f"s{k}", draw(st.sampled_from(names)))) for k in range(draw(st.integers(0, 4)))]
    pairs = st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=5, unique=True)
    wires = [draw(couplings(*pair)) for pair in draw(pairs)]
    wires += [draw(couplings(*pair, name=f"second{k}")) for k, pair in enumerate(draw(pairs))]
    guides = []
    if detectors:
        ends = st.tuples(st.sampled_from(bodies), st.sampled_from(detectors))
        chosen = draw(st.lists(ends, max_size=4, unique_by=lambda pair: (pair[0].id, pair[1].id)))
        guides = [draw(waveguides(neuron.id, synapse.id)) for neuron, synapse in chosen]
    flux = [draw(drives(name)) for name in draw(st.lists(st.sampled_from(names), max_size=2))]
    return [*loops, *bodies, *detectors, *wires, *guides, *flux]


def built(parts, device=None, name="") -> Network:
    net = Network(device, name)
    net.extend(parts)
    return net


networks = st.builds(built, part_lists())
few = settings(max_examples=25, deadline=None)


def example() -> Network:
    """Photons on a dendrite on a neuron, whose light returns to its own soma."""
    with Network(name="example") as net:
        Synapse("s1", "d1")
        Synapse("s2", "n1", weight=0.2)
        Dendrite("d1", inductance="20.7 nH")
        Neuron("n1", refractory=Refractory(), transmitter=Transmitter())
        Coupling("d1", "n1", J=0.3)
        Waveguide("n1", "s2", delay="67 ps")
        Drive("d1", points=[[0, 0], [1, 0.1]])
    return net


# ------------------------------------------------------------------------------ building


def test_a_block_collects_what_is_built_inside():
    net = example()
    assert list(net.synapses) == ["s1", "s2"]
    assert [len(members) for members in net.sorted_parts()] == [2, 1, 1, 1, 1, 1]
    Dendrite("outside")
    assert "outside" not in net


def test_blocks_nest_and_end_with_an_exception():
    inner = Network()
    with Network() as outer:
        Dendrite("a")
        with pytest.raises(ZeroDivisionError), inner:
            Dendrite("b") and 1 / 0
        with detached():
            Dendrite("c")
        Dendrite("d")
    Dendrite("e")
    assert (list(outer.dendrites), list(inner.dendrites)) == (["a", "d"], ["b"])


def test_a_part_built_in_the_block_may_be_added_once_more():
    with Network() as net:
        net.add(Dendrite("d", inductance="20 nH"))
        drive = net.add(Drive("d", points=[[0, 0.1]]))
        net.add(drive)
    assert len(net.dendrites) == len(net.drives) == 1
    with pytest.raises(InputError, match=r"Dendrite.id: 'd' is taken by a dendrite; ids are unique"):
        net.add(Dendrite("d"))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (Neuron("d"), "Neuron.id: 'd' is taken by a dendrite"),
        (Coupling("d", "n", J=1), "Coupling.id: there is already a coupling d->n; give this one an id, or merge"),
        (Coupling("d", "x", J=1, id="d"), "Coupling.id: 'd' is taken by a dendrite"),
        (Dendrite("named"), "Dendrite.id: 'named' is taken by a coupling"),
        (Soma(), "Soma"),
        ("d2", "cannot stand alone"),
    ],
)
def test_what_cannot_be_added(second, message):
    net = built([Dendrite("d"), Coupling("d", "n", J=0.2), Coupling("d", "n", J=0.3, id="named")])
    before = net.copy()
    assert message in faults_of(net.add, second)[0]
    assert net == before


def test_extend_adds_what_it_can_and_tells_the_rest():
    net = Network()
    faults = faults_of(net.extend, [Dendrite("a"), Dendrite("a"), 7, Dendrite("b", ib="1 mA"), Dendrite("c")])
    assert list(net.dendrites) == ["a", "c"]
    assert len(faults) == 3


@few
@given(part_lists(), st.randoms(use_true_random=False))
def test_the_order_of_adding_never_shows(parts, random):
    shuffled = list(parts)
    random.shuffle(shuffled)
    one, two = built(parts), built(shuffled)
    assert one == two
    assert one.to_dict() == two.to_dict()
    assert one.sorted_parts() == two.sorted_parts()
    assert {kind: one.ids(kind) for kind in PARAMETERS} == {kind: two.ids(kind) for kind in PARAMETERS}
    for name, array in one.parameters().items():
        assert np.array_equal(array, two.parameters()[name])
    assert one.summary() == two.summary()
    assert one.warnings() == two.warnings()
    assert one.validate() == two.validate() == []


@given(networks)
@few
def test_views_are_sorted_and_complete(net):
    assert list(net.dendrites) == sorted(net.dendrites)
    assert len(net) == len(net.synapses) + len(net.dendrites) + len(net.neurons)
    for view in (net.synapses, net.dendrites, net.neurons):
        assert dict(view) == view
        assert all(net[name] is part for name, part in view.items())
    ends = [(part.source, part.target) for part in net.couplings]
    assert ends == sorted(ends)
    assert all(net[net.key(part)] is part for part in (*net.couplings, *net.waveguides))


def test_the_graph_is_a_networkx_graph_with_parts_on_nodes_and_edges():
    graph = example().graph
    assert isinstance(graph, networkx.MultiDiGraph)
    assert graph.nodes["d1"]["part"].id == "d1"
    assert graph.nodes["n1"]["kind"] == "neuron"
    assert graph.edges["d1", "n1", "d1->n1"]["part"].J == 0.3
    assert graph.has_edge("s1", "d1", "synapse")
    assert graph.nodes["d1"]["drives"][0].points == ((0.0, 0.0), (1.0, 0.1))
    assert networkx.has_path(graph, "s1", "s2")


@given(networks)
@few
def test_copies_are_equal_and_independent(net):
    for other in (net.copy(), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other == net
        before = net.to_dict()
        other.add(Dendrite("new"))
        other.parameters()["threshold"][:] = 0.0123
        assert other != net
        assert net.to_dict() == before


def test_networks_differ_by_device_name_and_parts():
    assert example() == example()
    assert Network(Device(beta_c=0.9)) != Network()
    assert Network(name="a") != Network(name="b")
    assert Network() != 3
    assert Network({"Ic": "90 uA"}).device.Ic == pytest.approx(90e-6)


@pytest.mark.parametrize(("given", "message"), [({"device": 3}, "no Device"), ({"name": "a\nb"}, "one line")])
def test_arguments_of_a_network(given, message):
    assert message in faults_of(Network, **given)[0]


# ------------------------------------------------------------------------------ changing


def test_replace_changes_fields_and_keeps_the_rest():
    net = example()
    assert net.replace("s1", weight=0.7).weight == 0.7
    assert net.replace("d1->n1", J=0.4) == net.couplings[0]
    assert net.replace("n1->s2", delay="1 ns").delay == 1.0
    assert net.replace("n1", soma={"threshold": 0.3}).soma == Soma(threshold=0.3)
    assert net.replace("n1", refractory=None).refractory is None
    assert net.replace("n1", refractory={"J": -0.2}).refractory == Refractory(J=-0.2)
    assert net["n1"].transmitter == Transmitter()
    assert net.validate() == []


def test_replace_moves_edges_with_their_ends():
    net = example()
    net.add(Neuron("n2", transmitter=Transmitter()))
    net.replace("s1", target="n2")
    net.replace("d1->n1", target="n2")
    net.replace("n1->s2", source="n2")
    assert [net.key(part) for part in (*net.couplings, *net.waveguides)] == ["d1->n2", "n2->s2"]
    assert net.graph.has_edge("s1", "n2", "synapse") and not net.graph.has_edge("s1", "d1")
    assert net.validate() == []


def test_a_circuit_value_and_its_number_take_each_others_place():
    net = example()
    assert net.replace("d1", beta_over_2pi=500).inductance is None
    assert net["d1"].beta_over_2pi == 500
    changed = net.replace("d1", inductance="2 nH", resistance="1 Ohm")
    beta = net.device.beta_from_inductance(2e-9)
    assert changed.beta_over_2pi == pytest.approx(beta / (2 * math.pi))
    assert changed.tau == pytest.approx(net.device.tau_from_resistance(beta, 1.0))
    net.parameters()["tau"][:] = 77.0
    assert net["d1"].tau == 77.0 and net["d1"].resistance is None
    assert pytest.approx(net.device.J_from_mutual(1e-11)) == net.replace("d1->n1", mutual="10 pH").J
    assert net.replace("d1->n1", J=0.1).mutual is None


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("s9", {}, "there is no part 's9' (did you mean 's"),
        ("s1", {"id": "s3"}, "the id of 's1' is fixed"),
        ("s1", {"weigth": 1}, "Synapse.weigth: unknown field (did you mean 'weight'?)"),
        ("s1", {"efficiency": 2}, "Synapse.efficiency: 2 is above 1"),
        ("n1", {"soma": {"thresold": 1}}, "did you mean 'threshold'?"),
        ("n1", {"soma": {"threshold": -1}}, "Soma.threshold: -1 is not above 0"),
        ("d1", {"ib": "1 mA"}, "Dendrite.ib: 10 is above 3"),
        ("a", {"target": "n1"}, "'a' would become 'd1->n1', which is taken"),
    ],
)
def test_a_refused_change_changes_nothing(name, changes, message):
    net = example()
    net.add(Coupling("d1", "d1", J=0.1))
    if name == "a":
        name = "d1->d1"
        message = message.replace("'a'", "'d1->d1'")
    before = net.copy()
    assert message in faults_of(net.replace, name, **changes)[0]
    assert net == before


def test_remove_takes_what_hangs_on_a_part():
    net = example()
    net.remove("d1")
    assert (net.couplings, net.drives, list(net.dendrites)) == ([], [], [])
    assert net.validate() == [
        "Synapse.target: there is no dendrite or neuron 'd1' (did you mean 'n1'?); "
        "add it or correct the name (synapse s1)"
    ]
    net.add(Dendrite("d1"))
    assert net.graph.has_edge("s1", "d1", "synapse")
    assert net.validate() == []
    net.remove("s2")
    assert net.waveguides == []
    net.remove("s1")
    net.remove("d1")
    net.remove("n1")
    assert len(net) == len(net.graph) == 0
    assert "there is no part" in faults_of(net.remove, "n1")[0]


def test_remove_a_drive():
    net = example()
    net.add(Drive("q", points=[[0, 0.1]]))
    net.remove(net.drives[1])
    net.remove(Drive("d1", points=[[0, 0], [1, 0.1]]))
    assert net.drives == [] and "q" not in net.graph
    assert "there is no such drive on 'd1'" in faults_of(net.remove, Drive("d1", points=[[0, 0]]))[0]


def test_remove_an_edge():
    net = example()
    net.remove("d1->n1")
    assert net.couplings == [] and "d1->n1" not in net
    net.add(Coupling("d1", "n1", J=0.1))
    assert net.couplings[0].J == 0.1


# ------------------------------------------------------------------------------ parameters


@few
@given(networks, st.data())
def test_arrays_are_live_in_both_directions(net, data):
    """S1.06: an ordered dict of live arrays by name."""
    arrays = net.parameters()
    assert tuple(arrays) == PARAMETERS
    for name, array in arrays.items():
        assert array.dtype == np.float64
        assert array.shape == (len(net.ids(name)),)
        if array.size:
            row = data.draw(st.integers(0, array.size - 1))
            array[row] = value = data.draw(st.floats(1.5, 1.9)) if name != "threshold" else 0.01
            part = net[net.ids(name)[row]]
            field = {"weights": "weight"}.get(name, name)
            assert getattr(part.soma if isinstance(part, Neuron) else part, field) == value
            assert net.parameters()[name] is array
    assert net.to_dict() == net.copy().to_dict()
    if net.synapses:
        first = net.ids("weights")[0]
        net.replace(first, weight=-3.0)
        assert arrays["weights"][0] == -3.0


@few
@given(networks)
def test_s1_06_bounds_are_what_parts_accept(net):
    """S1.06: values at the bounds are taken, the next ones beyond them refused; there is a pair for every row."""
    bounds, arrays = net.bounds(), net.parameters()
    assert tuple(bounds) == PARAMETERS
    for name, (low, high) in bounds.items():
        assert low.shape == high.shape == arrays[name].shape
        assert np.all((low <= arrays[name]) & (arrays[name] <= high))
        for row in range(len(low)):
            held = arrays[name][row]
            for edge, away in ((low[row], -math.inf), (high[row], math.inf)):
                if math.isfinite(edge):
                    arrays[name][row] = edge
                    net.parameters()
                    arrays[name][row] = np.nextafter(edge, away)
                    with pytest.raises(InputError):
                        net.parameters()
            arrays[name][row] = held


def test_every_way_of_reading_sees_what_was_written():
    for read in (
        lambda net: net["s1"].weight,
        lambda net: net.synapses["s1"].weight,
        lambda net: net.graph.nodes["s1"]["part"].weight,
        lambda net: net.sorted_parts().synapses[0].weight,
        lambda net: net.to_dict()["synapses"][0]["weight"],
        lambda net: net.copy()["s1"].weight,
    ):
        net = example()
        net.parameters()["weights"][:] *= 3.0
        assert read(net) == 3.0
    net = example()
    net.parameters()["J"] += 1.0
    assert net.couplings[0].J == 1.3
    net.parameters()["delay"][0] = 2.0
    assert net.waveguides[0].delay == 2.0


def test_what_a_part_refuses_is_told_and_can_be_mended():
    net = example()
    arrays = net.parameters()
    arrays["weights"][0], arrays["tau"][1] = math.nan, -1.0
    faults = net.validate()
    assert faults[0].startswith("Synapse.weight: nan is not finite") and faults[0].endswith("(synapse s1)")
    assert faults[1].startswith("Soma.tau: -1 is below") and faults[1].endswith("(neuron n1)")
    with pytest.raises(InputError):
        net.check()
    arrays["weights"][0], arrays["tau"][1] = 1.0, 50.0
    assert net == example()


def test_arrays_of_an_older_structure_are_read_only():
    net = example()
    arrays = net.parameters()
    arrays["weights"][0] = 0.5
    net.add(Synapse("s0", "d1"))
    with pytest.raises(ValueError, match="read-only"):
        arrays["weights"][0] = 0.6
    assert net.parameters()["weights"].tolist() == [1.0, 0.5, 0.2]


def test_set_parameters_writes_all_or_none():
    net = example()
    net.set_parameters({"weights": [0.1, 0.2], "J": 0.9})
    assert (net["s1"].weight, net.couplings[0].J) == (0.1, 0.9)
    before = net.copy()
    assert "Soma.threshold: -1 is not above 0" in faults_of(net.set_parameters, {"J": 0.1, "threshold": [-1.0]})[0]
    faults = faults_of(net.set_parameters, {"J": [1, 2], "wieghts": 1, "tau": "x"})
    assert faults[0] == "Network.parameters['J']: (2,) does not fit; give numbers of shape (1,)"
    assert "did you mean 'weights'?" in faults[1] and "'tau'" in faults[2]
    assert net == before


def test_ids_name_the_rows():
    net = example()
    assert net.ids("weights") == ("s1", "s2")
    assert net.ids("tau") == net.ids("ib") == net.ids("phi_offset") == ("d1", "n1")
    assert net.ids("threshold") == net.ids("neuron") == ("n1",)
    assert net.ids("J") == net.ids("coupling") == ("d1->n1",)
    assert net.ids("delay") == net.ids("waveguide") == ("n1->s2",)
    assert "did you mean 'weights'?" in faults_of(net.ids, "weigths")[0]


# ------------------------------------------------------------------------------ faults and warnings


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (Synapse("s", "d2"), "Synapse.target: there is no dendrite or neuron 'd2' (did you mean 'd1'?); add it or"),
        (Synapse("s", "s1"), "Synapse.target: 's1' is a synapse, which has no loop; name a dendrite or a neuron"),
        (
            Synapse("s", "n1.soma"),
            "Synapse.target: 'n1.soma' is inside a neuron; name the neuron 'n1', which means its",
        ),
        (Coupling("d2", "n1", J=1), "Coupling.source: there is no dendrite or neuron 'd2' (did you mean 'd1'?)"),
        (Coupling("d1", "n9", J=1), "Coupling.target: there is no dendrite or neuron 'n9'"),
        (Waveguide("d1", "s1"), "Waveguide.source: there is no neuron 'd1'"),
        (Waveguide("n1", "s9"), "Waveguide.target: there is no synapse 's9' (did you mean 's"),
        (Waveguide("n1", "d1"), "Waveguide.target: 'd1' is no synapse; light goes to detectors"),
        (Waveguide("dark", "s1"), "Waveguide.source: the neuron 'dark' has no transmitter; give it one or remove"),
        (Drive("q", points=[[0, 0]]), "Drive.target: there is no dendrite or neuron 'q'"),
        (Dendrite("n1.soma"), "Dendrite.id: 'n1.soma' belongs to a loop inside the neuron n1; give another id"),
        (Synapse("n1.refractory.synapse", "d1"), "Synapse.id: 'n1.refractory.synapse' belongs to a loop inside"),
        (
            Neuron("m", Soma(ib=1.802, threshold=1.4)),
            "Soma.threshold: 1.4 is above the largest current this soma can hold (0.755 at ib = 1.802); "
            "lower threshold or raise ib",
        ),
        (Neuron("m", Soma(), Refractory(ib=1.0)), "Refractory.ib: 1 is not above the lowest critical current 1.047"),
    ],
)
def test_every_fault_is_found_with_its_remedy(part, fault):
    net = example()
    net.add(Neuron("dark"))
    assert net.validate() == []
    net.add(part)
    found = net.validate()
    assert len(found) == 1
    assert found[0].startswith(fault), found
    with pytest.raises(InputError) as caught:
        net.check()
    assert caught.value.faults == found


def test_all_faults_are_listed_together():
    net = built([Synapse("s", "x"), Coupling("a", "b", J=1), Waveguide("n", "t"), Drive("q", points=[[0, 0]])])
    assert len(net.validate()) == 6


def test_a_graph_changed_behind_the_back_is_noticed():
    tampered = []
    for tamper in (
        lambda graph: graph.remove_edge("s1", "d1", "synapse"),
        lambda graph: graph.add_edge("d1", "n1"),
        lambda graph: graph.add_node("d7", part=Dendrite("d8")),
        lambda graph: graph.add_edge("d1", "n1", key="q", part=Coupling("n1", "d1", J=1)),
    ):
        net = example()
        tamper(net.graph)
        tampered.append(net.validate())
    assert all(len(faults) == 1 and "Network.graph" in faults[0] for faults in tampered), tampered


def test_a_part_removed_from_the_graph_is_gone():
    net = example()
    net.parameters()
    net.graph.remove_node("d1")
    assert net.couplings == [] and "d1" not in net and "d1->n1" not in net
    assert net.ids("tau") == ("n1",)
    assert net.parameters()["tau"].shape == (1,)


def test_warnings_tell_of_flux_beyond_the_monotone_range():
    net = built(
        [
            Neuron("n", Soma(phi_offset=0.1)),
            Dendrite("a"),
            Dendrite("b", kind="rtti"),
            Coupling("a", "n", J=0.4),
            Coupling("b", "n", J=-1.0),
            Synapse("s", "n", weight=0.5),
            Drive("n", pulses=[Pulse(5.0, 0.05, 1.0, 20.0), Pulse(500.0, 0.05, 1.0, 20.0)]),
        ]
    )
    full = 1.8 - 1.0472  # physics.md 2.2 b
    high = 0.1 + 0.4 * full + 0.5 * 0.5 * (1.0 - 0.02 / 50.0) + 0.05
    low = 0.1 - 1.3
    down, up = net.warnings()
    assert down.startswith("Soma n: flux can go down to -1.") and up.startswith(f"Soma n: flux can go up to {high:.4g}")
    assert float(down.split()[7]) == pytest.approx(low, abs=0.1)
    net.replace("a->n", J=-0.2)
    net.remove("b->n")
    assert net.warnings() == []
    net.add(Drive("n", points=[[0, 0.0], [1, 0.2]]))
    assert len(net.warnings()) == 1


def test_warnings_tell_of_loops_that_run_or_rest_whatever_the_input():
    net = built(
        [
            Dendrite("over", ib=2.1),
            Dendrite("shifted", ib=1.7, phi_offset=0.23),  # physics.md 2.1: just above threshold, idles at up to .023
            Dendrite("under", ib=1.0),
            Dendrite("fine", ib=1.7, phi_offset=0.21),
            Dendrite("flat", kind="rtti"),
            Dendrite("steep", kind="rtti", phi_offset=0.3),
        ]
    )
    over, shifted, steep, under = net.warnings()
    assert over.startswith("Dendrite over: ib = 2.1 is 0.1 above the critical current at its phi_offset 0")
    assert shifted.startswith("Dendrite shifted: ib = 1.7 is 0.02287 above")
    assert steep.startswith("Dendrite steep: ")
    assert under.startswith("Dendrite under: ib = 1 is too low")


# ------------------------------------------------------------------------------ threshold and saturation


def test_threshold_and_saturation_of_physics_md_2_2():
    device, soma = Device(), Soma()
    table = """.3735 .3523 .3309 .3092 .2871 .2646 .2416 .2179 .1934 .1676 .1401 .1097 .0732 0 0"""
    for k, expected in enumerate(map(float, table.split())):
        ib = 1.3523958588 + 0.05 * k
        upper, lower = module._threshold_flux(device, soma, ib)
        assert upper == -lower == pytest.approx(expected, abs=2e-4)
        assert module._saturation(device, soma, ib) == pytest.approx(0.3052 + 0.05 * k, abs=1e-4)


@settings(deadline=None)
@given(st.floats(1.1, 1.99), st.floats(0.2, 3.0), st.floats(0.2, 3.0))
def test_threshold_flux_is_where_the_critical_current_is_the_bias(ib, beta_1, beta_2):
    from soen_event.physics.squid import critical_current

    device = Device(beta_1=beta_1, beta_2=beta_2)
    lowest = ib - module._saturation(device, Soma(), ib)
    for flux in module._threshold_flux(device, Soma(), ib):
        if ib > lowest + 1e-3:
            assert float(critical_current(flux, beta_1, beta_2)) == pytest.approx(ib, abs=1e-6)


@pytest.mark.parametrize(
    ("ib", "threshold", "expected"),
    [
        (1.8024, 0.1, -0.5105),
        (1.8024, 0.25, -0.6021),
        (1.8024, 0.5, -0.7444),
        (1.7024, 0.1, -0.7365),
        (1.7024, 0.25, -0.8376),
        (1.7024, 0.5, -0.9983),
        (1.5024, 0.1, -1.453),
        (1.5024, 0.25, -1.592),
    ],
)
def test_auto_refractory_coupling_of_physics_md_4_2(ib, threshold, expected):
    soma = Soma(ib=ib, threshold=threshold)
    assert auto_refractory_coupling(Device(), soma, Refractory()) == pytest.approx(expected, abs=1e-3)
    net = built([Neuron("n", soma, Refractory()), Neuron("m", soma, Refractory(J=-0.3))])
    assert net.refractory_coupling("n") == auto_refractory_coupling(Device(), soma, Refractory())
    assert net.refractory_coupling("m") == -0.3


@settings(deadline=None)
@given(st.floats(1.2, 1.95), st.floats(0.05, 0.9), st.floats(0.3, 3.0))
def test_a_full_refractory_loop_pulls_from_firing_to_the_negative_threshold(ib, share, beta):
    device = Device(beta_1=beta, beta_2=beta)
    full = module._saturation(device, Soma(), ib)
    if full < 0.01:
        return
    soma = Soma(ib=ib, threshold=share * full)
    fires, _ = module._threshold_flux(device, soma, ib, soma.threshold)
    _, edge = module._threshold_flux(device, soma, ib)
    coupling = auto_refractory_coupling(device, soma, Refractory())
    assert fires + coupling * full == pytest.approx(edge, abs=1e-9)


def test_auto_needs_a_soma_that_can_fire():
    faults = faults_of(auto_refractory_coupling, Device(), Soma(threshold=2.0), Refractory(ib=0.5))
    assert [fault.split(":")[0] for fault in faults] == ["Soma.threshold", "Refractory.ib"]
    net = built([Neuron("n")])
    assert "no neuron with a refractory dendrite" in faults_of(net.refractory_coupling, "n")[0]


# ------------------------------------------------------------------------------ normalisation


@few
@given(part_lists(), st.floats(0.0, 1.0))
def test_normalised_inputs_stay_in_the_monotone_range(parts, buffer):
    net = built([part for part in parts if not isinstance(part, Drive)])
    for name in (*net.dendrites, *net.neurons):
        net.replace(name, **({"phi_offset": 0.0} if name in net.dendrites else {"soma": {"phi_offset": 0.0}}))
    before = net.copy()
    done = net.normalize_fanin(buffer)
    assert net == before
    assert not [warning for warning in done.warnings() if "flux can go" in warning]
    for name, (low, high) in done._flux_ranges().items():
        loop = done._loops()[name]
        largest = 0.5 - buffer * module._threshold_flux(net.device, loop, loop.ib)[0]
        old_low, old_high = net._flux_ranges()[name]
        assert high == pytest.approx(min(old_high, largest), abs=1e-9)
        assert low == pytest.approx(max(old_low, -largest), abs=1e-9)
    again = done.normalize_fanin(buffer)
    for name, array in again.parameters().items():
        assert array == pytest.approx(done.parameters()[name], rel=1e-9)


def test_normalisation_scales_the_members_of_one_sign_alike():
    net = built(
        [Neuron("n"), *(Dendrite(f"d{k}") for k in range(3))]
        + [Coupling(f"d{k}", "n", J=J) for k, J in enumerate((0.8, 0.4, -0.3))]
        + [Synapse("s", "n", weight=0.5)]
    )
    full = 1.8 - 1.04720
    total = 1.2 * full + 0.25 * (1 - 0.0004)
    J = net.normalize_fanin(coeff=0.5).parameters()["J"]
    assert pytest.approx([0.8 * 0.25 / total, 0.4 * 0.25 / total, -0.3], rel=1e-4) == J
    assert net.normalize_fanin()["s"].weight == pytest.approx(0.25 / total, rel=1e-4)
    assert "coeff" in faults_of(net.normalize_fanin, coeff=0)[0]
    assert "buffer" in faults_of(net.normalize_fanin, buffer=-1)[0]


# ------------------------------------------------------------------------------ telling


def test_summary_and_repr_tell_what_there_is():
    net = example()
    assert repr(net) == ("<Network 'example': 2 synapses, 1 dendrites, 1 neurons, 1 couplings, 1 waveguides, 1 drives>")
    assert repr(Network()) == "<Network: empty>"
    net.add(Coupling("d1", "n9", J=2.0))
    text = net.summary()
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["weights"][1:] == ["2", "0.2", "0.6", "1"]
    assert rows["fan-in"][1:] == ["2", "1", "1.5", "2"] or rows["fan-in"][1] == "3"
    assert "faults   1" in text and "'n9'" in text
    assert all(len(line) < 400 for line in text.splitlines())
    assert Network().summary()


def test_importing_is_light():
    code = (
        "import sys, soen_event.network, soen_event.builders, soen_event.parts\n"
        "heavy = {'networkx', 'scipy', 'pydantic', 'yaml', 'numba', 'matplotlib', 'h5py'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_that_is_left_out_is_estimated_as_collection_loops_have_it():
    """Equal to the element of the inductance matrix over beta that the same coils give when they are declared."""
    from soen_event.plan import lower

    def made(**coils):
        with se.Network() as net:
            se.Dendrite("top", **coils)
            for k, beta in (("a", 100.0), ("b", 300.0)):
                se.Dendrite(k, beta_over_2pi=beta)
                se.Coupling(k, "top", J=0.4)
        return net

    shares = made().loading()
    coils = {"collection_inductance": "60 pH", "collection_mutual": "6.5 pH"}
    assert made(**coils).loading() == {}
    a = lower(made(**coils)).arrays
    place = {name: k for k, name in enumerate(lower(made(**coils)).loop_ids)}
    for one, other in (("a", "b"), ("b", "a")):
        k = place[one]
        elements = {int(a.load_loop[e]): a.load_B[e] for e in range(a.load_start[k], a.load_start[k + 1])}
        assert shares[one, other] == pytest.approx(
            abs(elements[place[other]]) / a.beta[k], rel=0.25
        )  # but for what the SQUID gives back
    assert list(shares) == [("a", "b"), ("b", "a")] and 0.03 < shares["a", "b"] < 0.1


def test_a_neuron_with_its_refractory_dendrite_is_noted():
    with se.Network() as net:
        se.Dendrite("d")
        se.Coupling("d", "n", J=0.5)
        se.Neuron("n", soma=se.Soma(), refractory=se.Refractory())
    assert ("d", "n.refractory") in net.loading()
