"""The ledger: conserved, complete, and what its assumptions do."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware import energy
from soen_event import testing

RECORD = ("spikes", "fluxons", "detections")


def neuron(photons=10.0, source="qd", guides=2):
    with se.Network() as net:
        se.Synapse("s", "d")
        se.Dendrite("d", ib=1.8, beta_over_2pi=300.0, tau=100.0)
        se.Coupling("d", "n", J=0.8)
        se.Neuron(
            "n",
            soma=se.Soma(threshold=0.2),
            refractory=se.Refractory(),
            transmitter=se.Transmitter(photons=photons, source=source),
        )
        for k in range(guides):
            se.Dendrite(f"far{k}")
            se.Synapse(f"t{k}", f"far{k}")
            se.Waveguide("n", f"t{k}", delay=1.0)
    return net


def balanced(book):
    for name, entry in book.parts.items():
        assert abs(entry.residual) <= 1e-9 * max(entry.drawn, 1e-30), name
    total = book.total
    assert abs(total.residual) <= 1e-9 * max(total.drawn, 1e-30)
    assert total.drawn == pytest.approx(total.stored + total.dissipated + total.emitted, rel=1e-9)
    kinds = math.fsum(entry.drawn for entry in book.kinds.values())
    assert kinds == pytest.approx(total.drawn, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(testing.networks(quanta=False), st.integers(0, 2**32 - 1), st.sampled_from(["fluxon", "flow"]))
def test_drawn_is_stored_and_dissipated_and_emitted(net, seed, resolution):
    rng = np.random.default_rng(seed)
    photons = {name: sorted(rng.uniform(0.0, 50.0, 3).tolist()) for name in net.synapses}
    run = se.Simulation(net, photons, resolution=resolution, record=RECORD)
    run.run(60.0, events=5000)
    balanced(energy.ledger(run.recording()))


class TestNumbers:
    def book(self, **assumptions):
        rec = se.simulate(neuron(), {"s": [5.0, 60.0]}, 120.0, record=RECORD)
        return rec, energy.ledger(rec, energy.Assumptions(**assumptions))

    def test_loops_are_those_of_the_run(self):
        rec, book = self.book()
        assert book.kinds["loops"].drawn == pytest.approx(rec.energy["total"]["drawn"], rel=1e-12)
        assert book.parts["d"].drawn == pytest.approx(
            rec.fluxon_count["d"] * 1.8 * net_unit(rec) * 2.0 * math.pi, rel=1e-12
        )

    def test_detections(self):
        rec, book = self.book()
        seen = sum(len(times) for times in (rec.detections[name] for name in rec.plan.detector_ids))
        assert book.counts["detections"] == seen > 4
        # physics.md 8: 100 nH at 10 uA, 5 aJ
        assert book.kinds["detectors"].drawn == pytest.approx(5e-18 * seen)
        _, other = self.book(detector_bias=20e-6)
        assert other.kinds["detectors"].drawn == pytest.approx(20e-18 * seen)

    def test_light(self):
        rec, book = self.book()
        spikes = len(rec.spikes["n"])
        assert spikes > 0
        assert book.counts["photons"] == 20.0 * spikes
        assert book.total.emitted == pytest.approx(20.0 * spikes * 0.1628e-18, rel=1e-3)  # 1.22 um: .163 aJ
        assert book.total.amplifiers == pytest.approx(1.8e-15 * spikes)
        # physics.md 8: 11032 pairs of 1.42 eV for 10^4 photons, 2.5 fJ
        pairs = book.total.sources + book.total.emitted
        assert pairs * 1e4 / (20.0 * spikes) == pytest.approx(2.51e-15, rel=2e-3)

    def test_emissive_centres_cost_more(self):
        rec = se.simulate(neuron(photons=5000.0, source="ec"), {"s": [5.0]}, 60.0, record=RECORD)
        book = energy.ledger(rec)
        pairs = (book.total.sources + book.total.emitted) / len(rec.spikes["n"])
        assert pairs == pytest.approx(28.2e-15, rel=3e-3)  # physics.md 8: 28 fJ for 10^4 photons

    def test_cooling(self):
        _, book = self.book(cooling=300.0)
        total = book.total
        assert book.cooling_J == pytest.approx(300.0 * (total.dissipated + total.emitted))
        assert book.wall_J == pytest.approx(total.drawn + book.cooling_J)
        assert self.book(cooling=0.0)[1].wall_J == pytest.approx(total.drawn)

    def test_power_adds_up(self):
        _, book = self.book()
        edges = np.linspace(0.0, 120.0, 25)
        power = book.power(edges)
        seconds = np.diff(edges) * 1e-9
        assert (power["total"] * seconds).sum() == pytest.approx(book.total.drawn, rel=1e-9)
        for kind in ("loops", "detectors", "light"):
            assert (power[kind] * seconds).sum() == pytest.approx(book.kinds[kind].drawn, rel=1e-9)
        with pytest.raises(se.InputError, match="ascending"):
            book.power([1.0, 0.0])

    def test_table_and_json(self):
        _, book = self.book()
        text = str(book)
        for word in ("phase slips", "amplifiers", "light", "drawn", "cooling at 500 W/W", "fluxons"):
            assert word in text
        shares = [float(line.split()[-1].rstrip("%")) for line in text.splitlines()[1:9]]
        assert sum(shares) == pytest.approx(100.0, abs=0.05)
        assert shares == sorted(shares, reverse=True)
        assert json.loads(json.dumps(book.as_dict()))["total"]["drawn"] == book.total.drawn


def net_unit(rec):
    return rec.plan.device.josephson_energy_J


def test_a_dark_chip_draws_nothing():
    book = energy.ledger(se.simulate(neuron(), {}, 10.0, record=RECORD))
    assert book.total.drawn == 0.0
    assert "0 J" in str(book)


def test_what_was_not_recorded_is_asked_for():
    rec = se.simulate(neuron(), {"s": [5.0]}, 10.0, record=("spikes",))
    with pytest.raises(se.InputError):
        energy.ledger(rec)


@given(
    st.lists(st.floats(0.1, 0.45), min_size=1, max_size=3),
    st.lists(st.floats(0.0, 30.0), min_size=1, max_size=4),
    st.sampled_from([0.0, 4.2]),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(-3.0, 3.0)), max_size=2),
)
@settings(max_examples=40)
def test_loaded_loops_pass_energy_on_and_lose_none(strengths, photons, kelvin, quanta):
    """What one loop passes on others get: nothing in total, to 1e-9 of what is drawn."""
    with se.Network(device=se.Device(temperature=kelvin)) as net:
        se.Dendrite("top", beta_over_2pi=100.0, tau=30.0, collection_inductance="60 pH", collection_mutual="6.5 pH")
        for k, J in enumerate(strengths):
            se.Dendrite(f"d{k}", beta_over_2pi=100.0, tau=40.0 + 20.0 * k)
            se.Synapse(f"s{k}", f"d{k}", tau_fall=10.0)
            se.Coupling(f"d{k}", "top", J=J)
        if quanta:
            se.Drive("d0", quanta=quanta)
    rec = se.simulate(net, {f"s{k}": sorted(photons) for k in range(len(strengths))}, 40.0, record=RECORD)
    book = energy.ledger(rec)
    total = book.total
    assert total.drawn > 0.0
    assert abs(total.passed) < 1e-9 * total.drawn and abs(total.residual) < 1e-9 * total.drawn
    if len(strengths) > 1:
        assert max(abs(book.parts[f"d{k}"].passed) for k in range(len(strengths))) > 1e-6 * total.drawn


@pytest.mark.parametrize(
    "bad",
    [
        {"cooling": -1.0},
        {"cooling": math.nan},
        {"amplifier": -1e-15},
        {"detector_inductance": 0.0},
        {"detector_bias": "10 uA"},
        {"efficiency": {"qd": 1.5}},
        {"efficiency": {"laser": 0.5}},
        {"pair": {"ec": -1.0}},
        {"wavelength": 1e-9},
    ],
)
def test_nonsense(bad):
    with pytest.raises(se.InputError, match=next(iter(bad)) if "pair" not in bad else "pair"):
        energy.Assumptions(**bad)
