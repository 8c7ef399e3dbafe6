"""What learning on a chip needs of the engines: memories by site with gains, and rules that outlive a change of bias."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from soen_event.learning import Rule, Storage


@dataclasses.dataclass(frozen=True)
class Grow(Rule):
    """Every detection adds a little."""

    lr: float = 0.1
    requires = frozenset({"pre"})

    @staticmethod
    def on_detection(site, p):
        site.change += p.lr


def neuron():
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0), refractory=se.Refractory())
        for k in range(2):
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=300.0, tau=100.0)
            se.Synapse(f"s{k}", f"d{k}", weight=0.6)
            se.Coupling(f"d{k}", "n", J=0.4)
    return net


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@settings(max_examples=8, deadline=None)
@given(gain=st.floats(0.5, 1.5), levels=st.sampled_from([None, 101]))
def test_a_gain_lies_between_memory_and_network(engine, gain, levels):
    """Currents are those of a network whose weight is the gain times what is held; what is held and recorded knows nothing of it."""
    net = neuron()
    net.replace("s0", weight=0.6 * gain)
    held = Storage(0.0, 2.0, levels=levels, gain=gain)
    run = se.Simulation(
        net,
        {"s0": [10.0, 60.0]},
        learning=Grow().on(synapses="*", storage={"s0": held}),
        engine=engine,
        record="currents",
    )
    run.run(100.0)
    rec = run.finish()
    assert rec.learnt("s0") == pytest.approx(0.8, abs=1e-12)
    assert rec.learnt("s0", 0.0) == pytest.approx(0.6, abs=1e-12)
    by_hand = se.Simulation(net, {"s0": [10.0, 60.0]}, engine=engine, record="currents")
    for time, value in ((10.0, 0.7), (60.0, 0.8)):
        by_hand.run(time)
        by_hand.set_weight("s0", value * gain)
    by_hand.run(100.0)
    t = np.linspace(11.0, 59.0, 30)
    np.testing.assert_allclose(rec.current("d0", t), by_hand.finish().current("d0", t), atol=1e-9)


def test_programming_a_site_from_outside_knows_the_gain():
    held = Storage(0.0, 1.0, levels=11, gain=0.8)
    net = neuron()
    net.replace("s0", weight=0.48)
    run = se.Simulation(net, learning=Grow().on(synapses="s0", storage={"s0": held}))
    run.set_weight("s0", 0.3 * 0.8)
    assert run.learnt["s0"] == pytest.approx(0.3, abs=1e-15)
    run.inject("s0", [5.0])
    run.run(10.0)
    assert run.learnt["s0"] == pytest.approx(0.4, abs=1e-15)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_rules_outlive_a_change_of_bias(engine):
    run = se.Simulation(neuron(), {"s0": [10.0, 50.0]}, learning=Grow().on(synapses="*"), engine=engine)
    run.run(30.0)
    run.set_bias("d0", 1.75)
    run.run(80.0)
    assert run.learnt == {"s0": pytest.approx(0.8), "s1": 0.6}
    assert len(run.finish().writes["s0"][0]) == 2


def test_nonsense():
    for gain in (0.0, float("nan"), float("inf"), "a", True):
        with pytest.raises(InputError, match=r"Storage\.gain"):
            Storage(gain=gain)
    with pytest.raises(InputError, match=r"storage\['s0'\]: int is not a Storage"):
        Grow().on(synapses="*", storage={"s0": 3})
    with pytest.raises(InputError, match="'s9' is no site of this rule"):
        se.Simulation(neuron(), learning=Grow().on(synapses="*", storage={"s9": Storage()}))
