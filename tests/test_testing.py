"""The strategies draw what they promise, cheaply, and the laws are applied in a few lines."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event import testing
from soen_event.device import Device
from soen_event.errors import InputError
from soen_event.parts import Neuron, Synapse
from soen_event.testing import HELD, LAWS, LawBroken, cases, check_laws, given_network, laws_hold, networks
from soen_event.units import ns_to_fs


def one_dendrite():
    with se.Network() as net:
        se.Synapse("s1", "d1")
        se.Dendrite("d1", beta_over_2pi=100.0, tau=50.0)
    return net


def wiring(network):
    """The directed graph of everything that acts on something else."""
    graph = nx.DiGraph()
    graph.add_edges_from((c.source, c.target) for c in [*network.couplings, *network.waveguides])
    graph.add_edges_from((name, synapse.target) for name, synapse in network.synapses.items())
    return graph


# ---------------------------------------------------------------------------------------------- strategies


def test_networks_are_valid_varied_and_cheap():
    features, events = set(), []

    @settings(max_examples=300)
    @given(case=cases())
    def look(case):
        network, photons, duration = case
        assert network.validate() == []
        rec = se.simulate(network, photons, duration, record=("photons",))
        events.append(rec.event_counts["events"])
        trains = [fs for times in photons.values() for fs in ns_to_fs(np.array(times)).tolist()]
        loops = [*network.dendrites.values(), *(neuron.soma for neuron in network.neurons.values())]
        features.update(
            name
            for name, there in {
                "rtti": any(loop.kind == "rtti" for loop in loops),
                "near threshold": any(loop.ib > 1.94 for loop in loops if loop.kind == "ri"),
                "large": any(loop.beta_over_2pi > 900.0 for loop in loops),
                "shared time constant": len({loop.tau for loop in loops}) < len(loops),
                "self-loop": any(c.source == c.target for c in network.couplings),
                "parallel couplings": len({(c.source, c.target) for c in network.couplings}) < len(network.couplings),
                "inhibition": any(c.J < 0.0 for c in network.couplings),
                "cycle of light": any(
                    set(cycle) & set(network.synapses) for cycle in nx.simple_cycles(wiring(network), length_bound=4)
                ),
                "refractory": any(neuron.refractory for neuron in network.neurons.values()),
                "no transmitter": any(neuron.transmitter is None for neuron in network.neurons.values()),
                "purge": any(neuron.soma.after_spike == "purge" for neuron in network.neurons.values()),
                "drawn photons": any(
                    neuron.transmitter and neuron.transmitter.emission == "photons"
                    for neuron in network.neurons.values()
                ),
                "loss": any(guide.loss_db > 0.0 for guide in network.waveguides),
                "efficiency": any(synapse.efficiency < 1.0 for synapse in network.synapses.values()),
                "recovery": any(synapse.recovery == "bias" for synapse in network.synapses.values()),
                "restart": any(synapse.overlap == "restart" for synapse in network.synapses.values()),
                "dead time": any(synapse.dead_time > 0.0 for synapse in network.synapses.values()),
                "points": any(drive.points for drive in network.drives),
                "pulses": any(drive.pulses for drive in network.drives),
                "both arms": any(drive.arm == "both" for drive in network.drives),
                "other device": network.device != Device(),
                "simultaneous photons": len(set(trains)) < len(trains),
                "photon at the end": int(ns_to_fs(duration)) in trains,
                "no photons": not trains,
                "lost in a hotspot": rec.event_counts["lost_hotspot"] > 0,
                "lost in a dead time": rec.event_counts["lost_dead"] > 0,
                "spikes": rec.event_counts["spikes"] > 1,
                "fluxons": rec.event_counts["fluxons"] > 20,
            }.items()
            if there
        )

    look()
    assert len(features) == 28, sorted(features)
    assert np.mean(events) < 1000 and np.quantile(events, 0.98) < 4000
    assert np.mean(np.array(events) > 20) > 0.5, "most networks should do something"


def rests(network):
    """Nothing happens without input."""
    with_nothing = network.copy()
    for drive_target in {drive.target for drive in network.drives}:
        part = with_nothing[drive_target]
        with_nothing.remove(drive_target)
        with_nothing.add(part)
    for coupling in network.couplings:
        if coupling.id not in {c.id for c in with_nothing.couplings}:
            with_nothing.add(coupling)
    for guide in network.waveguides:
        if guide.id not in {w.id for w in with_nothing.waveguides}:
            with_nothing.add(guide)
    return se.simulate(with_nothing, None, 5.0).event_counts["fluxons"] == 0


@settings(max_examples=60)
@given(network=networks())
def test_loops_rest_unless_over_biased_ones_are_wanted(network):
    assert rests(network)


def test_over_biased_loops_are_drawn_when_wanted():
    assert find(networks(over_biased=True), lambda network: not rests(network)) is not None


@settings(max_examples=60)
@given(case=cases(cycles=False, ties=False, random_parts=False, drives=False, rtti=False))
def test_what_is_not_wanted_is_not_drawn(case):
    network, photons, _ = case
    assert nx.is_directed_acyclic_graph(wiring(network))
    assert not network.drives
    assert all(loop.kind == "ri" for loop in network.dendrites.values())
    assert all(s.efficiency == 1.0 and s.recovery == "full" for s in network.synapses.values())
    assert all(guide.loss_db == 0.0 for guide in network.waveguides)
    times = [fs for train in photons.values() for fs in ns_to_fs(np.array(train)).tolist()]
    assert len(set(times)) == len(times)


@settings(max_examples=60)
@given(data=st.data(), duration=st.floats(0.5, 40.0), ties=st.booleans())
def test_photon_trains_fit_the_network(data, duration, ties):
    network = data.draw(networks())
    photons = data.draw(testing.photon_trains(network, duration, ties, max_photons=9))
    assert set(photons) <= set(network.synapses)
    assert sum(map(len, photons.values())) <= 9
    for times in photons.values():
        assert times == sorted(times) and times[0] >= 0.0 and ns_to_fs(times[-1]) <= ns_to_fs(duration)
    se.Stimulus(photons)


@given(device=testing.devices())
def test_devices_share_the_shipped_table(device):
    assert device.beta_c == 0.3
    assert 0.5 * (device.beta_1 + device.beta_2) == 0.5 * math.pi


def test_other_devices_when_wanted():
    assert find(testing.devices(tables=True), lambda device: device.beta_c != 0.3).beta_c == 0.7


@given(data=st.data())
def test_parts_by_themselves(data):
    """Every strategy of a part draws that part, with the given id."""
    assert isinstance(data.draw(testing.synapses("a", "b")), Synapse)
    assert data.draw(testing.dendrites("x")).id == "x"
    assert isinstance(data.draw(testing.neurons("n")), Neuron)
    assert isinstance(data.draw(testing.somas()), se.Soma)
    assert isinstance(data.draw(testing.refractories()), se.Refractory)
    assert isinstance(data.draw(testing.transmitters()), se.Transmitter)


def test_drawing_does_not_join_a_network_under_construction():
    with se.Network() as net:
        found = find(networks(max_dendrites=2), lambda network: len(network.dendrites) == 2)
    assert len(found.dendrites) == 2 and not net.dendrites


def test_sizes_are_bounded():
    @settings(max_examples=50)
    @given(network=networks(max_dendrites=1, max_neurons=1, max_synapses=2))
    def small(network):
        assert len(network.dendrites) <= 1 and len(network.neurons) <= 1 and 1 <= len(network.synapses) <= 2

    small()


# ---------------------------------------------------------------------------------------------- applying laws


def test_check_laws_says_what_it_found():
    verdicts = check_laws(one_dendrite(), {"s1": [1.0, 3.0]}, duration=5.0)
    assert list(verdicts) == list(LAWS)
    assert verdicts.pop("thinning") == "no detector misses photons"
    assert set(verdicts.values()) == {"holds"}


def test_check_laws_takes_a_choice_an_engine_and_a_seed():
    net = one_dendrite()
    net.replace("s1", efficiency=0.5)
    assert check_laws(net, {"s1": [1.0]}, 3.0, "energy", engine="reference", seed=7) == {"energy": "holds"}
    verdicts = check_laws(net, {"s1": [1.0]}, 3.0, ["relabelling", "detector"])
    assert verdicts == {"relabelling": "s1 draws which photons it detects, by its id", "detector": "holds"}


def test_check_laws_takes_a_stimulus_with_drives_and_positions():
    stimulus = se.Stimulus({0: [1.0, 3.0]}, drives=[{"target": "d1", "points": [[0.0, 0.0], [2.0, 0.2], [4.0, 0.0]]}])
    verdicts = check_laws(one_dendrite(), stimulus, duration=5.0)
    assert set(verdicts.values()) == {"holds", "no detector misses photons"}


def test_an_unknown_law_names_the_nearest():
    with pytest.raises(InputError, match=r"'enrgy' is no law \(did you mean 'energy'\?\)"):
        check_laws(one_dendrite(), {}, 1.0, ["enrgy", "decay"])


def test_a_broken_law_is_an_assertion_that_names_the_law(monkeypatch):
    monkeypatch.setattr(testing, "_booked", lambda recording, d, fs: np.full(len(fs), 0.25))
    with pytest.raises(
        AssertionError, match=r"^fluxons: loop d1 holds [\d.e-]+ I_c at [\d.]+ ns, but .* 0.25"
    ) as found:
        check_laws(one_dendrite(), {"s1": [1.0]}, 3.0, "fluxons")
    assert isinstance(found.value, LawBroken)


def test_laws_hold_on_many_photon_trains():
    laws_hold(one_dendrite(), duration=4.0, examples=5)


def test_laws_hold_shrinks_what_breaks_them(monkeypatch):
    monkeypatch.setitem(LAWS, "few photons", few_photons)
    with pytest.raises(LawBroken, match="2 photons"):
        laws_hold(one_dendrite(), duration=4.0, laws="few photons")


def few_photons(network, photons, duration, run=se.simulate):
    count = sum(map(len, photons.values()))
    if count > 1:
        raise LawBroken(f"{count} photons")


def test_given_network_draws_cases_for_a_test():
    seen = []

    @settings(max_examples=7)
    @given_network(max_neurons=0, max_duration=5.0)
    def draws(network, photons, duration):
        """What it says."""
        seen.append((len(network.neurons), duration <= 5.0))

    draws()
    assert draws.__name__ == "draws" and draws.__doc__ == "What it says."
    assert 1 <= len(seen) <= 7 and set(seen) == {(0, True)}


def test_given_network_keeps_settings_that_stand_below_it():
    seen = []

    @given_network(max_neurons=0, max_duration=2.0)
    @settings(max_examples=3)
    def draws(network, photons, duration):
        seen.append(network)

    draws()
    assert 1 <= len(seen) <= 3


def test_every_law_says_what_it_states_and_is_public():
    for name, law in LAWS.items():
        assert law.__doc__ and law.__name__ == f"law_{name.replace(' ', '_')}", name
        assert getattr(testing, law.__name__) is law and law.__name__ in testing.__all__
    assert set(LAWS) > HELD
    assert set(testing.__all__) <= set(vars(testing))


def test_example_of_the_module():
    failed, tried = doctest.testmod(testing)
    assert tried >= 4 and failed == 0


# ---------------------------------------------------------------------------------------------- an optional extra


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_hypothesis_is_not_imported_with_the_library():
    done = python("import sys, soen_event, soen_event.simulate, soen_event.network; print('hypothesis' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_without_hypothesis_it_says_what_to_install():
    done = python("import sys; sys.modules['hypothesis'] = None; import soen_event.testing")
    assert "pip install 'soen-event[testing]'" in done.stderr


def test_edges_are_named():
    """Parallel couplings and waveguides are drawn, so every one has an id."""

    @settings(max_examples=40)
    @given(network=networks())
    def named(network):
        edges = [*network.couplings, *network.waveguides]
        assert all(part.id for part in edges) and len({part.id for part in edges}) == len(edges)

    named()
