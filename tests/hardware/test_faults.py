"""Faults: who is hit depends on the seed and its own id alone, a larger share hits more of the same, and each acts."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware import faults as module
from hardware.faults import (
    Damaged,
    Faults,
    dead_detectors,
    firing_detectors,
    lost_waveguides,
    open_couplings,
    stuck_weights,
    survival_curve,
    weak_sources,
)
from hardware.quantize import Levels, quantize
from soen_event.errors import InputError
from soen_event.stimulus import Stimulus

firing = partial(firing_detectors, rate_MHz=20.0, duration=300.0)
EVERY = {
    "dead_detectors": dead_detectors,
    "firing_detectors": firing,
    "stuck_weights": stuck_weights,
    "open_couplings": open_couplings,
    "weak_sources": weak_sources,
    "lost_waveguides": lost_waveguides,
}
faults_by_name = pytest.mark.parametrize("name", EVERY)
shares = st.floats(0.0, 1.0)
seeds = st.integers(0, 2**63 - 1)
few = settings(max_examples=15, deadline=None)


def ring(size=12, order=1, emission="deterministic") -> se.Network:
    """Neurons in a ring: each lights a synapse on a dendrite that is coupled to the next."""
    parts: list = []
    for k in range(size):
        n, after = f"n{k}", f"n{(k + 1) % size}"
        light = se.Transmitter(emission=emission)
        parts += [
            se.Neuron(n, soma={"threshold": 0.05}, refractory=se.Refractory(), transmitter=light),
            se.Dendrite(f"d{k}", beta_over_2pi=100.0, tau=50.0),
            se.Synapse(f"s{k}", f"d{k}", weight=1.0, efficiency=0.9),
            se.Coupling(f"d{k}", n, J=0.7),
            se.Waveguide(n, f"s{(k + 1) % size}", delay=0.1, id=f"to_{after}" if k % 2 else None),
        ]
    net = se.Network(name="ring")
    net.extend(parts[::order])
    return net


RING = ring()


def wire(**source) -> se.Network:
    """A photon at ``in`` makes ``n1`` fire, whose light reaches ``s2`` on ``d2``."""
    with se.Network() as net:
        se.Synapse("in", "d1")
        se.Dendrite("d1", beta_over_2pi=100.0, tau=50.0)
        se.Coupling("d1", "n1", J=0.7)
        se.Neuron("n1", soma={"threshold": 0.05, "t_ref": 200.0}, transmitter=se.Transmitter(**source))
        se.Waveguide("n1", "s2")
        se.Synapse("s2", "d2")
        se.Dendrite("d2", beta_over_2pi=100.0, tau=50.0)
    return net


def ran(damaged, photons=None, duration=60.0, seed=0):
    record = ("photons", "fluxons", "currents")
    return damaged.simulate(photons, duration, engine="reference", record=record, seed=seed)


# ------------------------------------------------------------------------------ who is hit


@faults_by_name
@given(shares, shares, seeds)
@few
def test_a_larger_share_hits_a_superset(name, one, other, seed):
    small, large = (EVERY[name](RING, share, seed=seed).hits[name] for share in sorted((one, other)))
    assert set(small) <= set(large)
    assert EVERY[name](RING, 0.0, seed=seed).hits[name] == ()
    all_hit = EVERY[name](RING, 1.0, seed=seed)
    assert len(all_hit.hits[name]) == all_hit.exposed[name] == 12


@faults_by_name
@given(shares, seeds)
@few
def test_neither_order_nor_company_changes_who_is_hit(name, share, seed):
    damaged = EVERY[name](RING, share, seed=seed)
    reversed_ring = EVERY[name](ring(order=-1), share, seed=seed)
    assert (damaged.network, damaged.hits, damaged.photons) == (
        reversed_ring.network,
        reversed_ring.hits,
        reversed_ring.photons,
    )
    larger = ring()
    larger.extend(
        [
            se.Synapse("a1", "a2"),
            se.Dendrite("a2"),
            se.Coupling("a2", "n0", J=0.1),
            se.Neuron("a3", transmitter=se.Transmitter()),
            se.Waveguide("a3", "a1"),
        ]
    )
    with_more = EVERY[name](larger, share, seed=seed)
    strangers = {"a1", "a2->n0", "a3", "a3->a1"}
    assert tuple(hit for hit in with_more.hits[name] if hit not in strangers) == damaged.hits[name]
    for hit in damaged.hits[name]:
        assert with_more.network[hit] == damaged.network[hit]
        if hit in damaged.photons.photons:
            assert np.array_equal(with_more.photons.photons[hit], damaged.photons.photons[hit])


@faults_by_name
def test_the_given_network_stays_and_so_does_every_id(name):
    net = ring()
    damaged = EVERY[name](net, 0.5, seed=1)
    assert net == ring() and damaged.network != net
    for kind in ("synapse", "dendrite", "neuron", "coupling", "waveguide"):
        assert damaged.network.ids(kind) == net.ids(kind)
    assert damaged.network.validate() == []
    for hit in set(sum(map(net.ids, ("synapse", "neuron", "coupling", "waveguide")), ())) - set(damaged.hits[name]):
        dimmed = name == "weak_sources" and isinstance(net[hit], se.Waveguide)  # by its source
        assert dimmed or damaged.network[hit] == net[hit]
    assert se.Network.from_dict(damaged.network.to_dict()) == damaged.network
    undamaged = EVERY[name](net, 0.0)
    assert undamaged.network == net and undamaged.network is not net


def test_the_share_is_the_probability():
    """4000 detectors; five standard deviations, a false alarm in 1.7 million for each of 3 shares."""
    with se.Network() as net:
        se.Dendrite("d")
        for k in range(4000):
            se.Synapse(f"s{k}", "d")
    for share in (0.02, 0.3, 0.9):
        hit = len(dead_detectors(net, share, seed=8).hits["dead_detectors"])
        assert abs(hit - 4000 * share) < 5.0 * math.sqrt(4000 * share * (1.0 - share))


def test_seeds_and_faults_hit_independently():
    with se.Network() as net:
        se.Dendrite("d")
        for k in range(400):
            se.Synapse(f"s{k}", "d")
    hits = [
        set(dead_detectors(net, 0.5, seed=0).hits["dead_detectors"]),
        set(dead_detectors(net, 0.5, seed=1).hits["dead_detectors"]),
        set(firing(net, 0.5, seed=0).hits["firing_detectors"]),
        set(stuck_weights(net, 0.5, seed=0).hits["stuck_weights"]),
    ]
    for k, one in enumerate(hits):
        for other in hits[:k]:
            assert 150 < len(one ^ other) < 250  # 200 +- 10 were they independent: 5 standard deviations


@faults_by_name
def test_ids_choose_who_is_hit(name):
    everyone = EVERY[name](RING, 1.0).hits[name]
    chosen = [everyone[3], everyone[0], everyone[3]]
    assert EVERY[name](RING, ids=chosen).hits[name] == (everyone[0], everyone[3])
    assert EVERY[name](RING, ids=[]).network == RING


# ------------------------------------------------------------------------------ what it does


def test_a_dead_detector_detects_nothing_and_takes_photons_without_complaint():
    sound = ran(Damaged(wire()), {"in": [1.0, 20.0]})
    damaged = ran(dead_detectors(wire(), ids=["in"]), {"in": [1.0, 20.0]})
    assert len(sound.detections["in"]) == 2 and len(sound.spikes["n1"]) == 1
    assert len(damaged.detections["in"]) == 0 and damaged.fluxon_count["d1"] == 0
    assert damaged.lost["in"].tolist() == [1.0, 20.0]


@pytest.mark.parametrize("emission", ["deterministic", "photons"])
def test_a_dead_detector_sees_no_light_of_the_network_either(emission):
    sound = ran(Damaged(wire(emission=emission)), {"in": [1.0]})
    damaged = ran(dead_detectors(wire(emission=emission), ids=["s2"]), {"in": [1.0]})
    assert len(sound.detections["s2"]) == 1 and len(damaged.spikes["n1"]) == 1
    assert len(damaged.detections["s2"]) == 0


def test_a_firing_detector_makes_events_without_input():
    damaged = firing_detectors(wire(), ids=["in"], rate_MHz=100.0, duration=60.0, seed=2)
    rec = ran(damaged)
    assert 0 < len(rec.detections["in"]) <= damaged.photons.count
    assert len(rec.spikes["n1"]) == 1 and rec.fluxon_count["d1"] > 0
    assert ran(Damaged(wire())).event_counts["detections"] == 0
    both = ran(damaged, {"in": [0.5]})
    assert len(both.photons["in"]) == damaged.photons.count + 1


def test_a_firing_detector_detects_all_of_its_photons_whatever_its_efficiency():
    net = wire()
    net.replace("in", efficiency=0.0)
    rec = ran(firing_detectors(net, ids=["in"], rate_MHz=100.0, duration=60.0, spacing="regular"))
    assert len(rec.detections["in"]) == 6


@given(st.floats(1.0, 500.0), st.floats(10.0, 2000.0), st.floats(0.0, 500.0), st.sampled_from(module.SPACINGS), seeds)
def test_firing_begins_and_ends_in_time_and_a_longer_run_only_adds(rate, duration, t0, spacing, seed):
    def train(duration):
        damaged = firing_detectors(
            RING, ids=["s3"], rate_MHz=rate, duration=duration, t0=t0, spacing=spacing, seed=seed
        )
        return damaged.photons.photons["s3"]

    short, long = train(duration), train(1.5 * duration)
    assert np.array_equal(long[: short.size], short)
    assert np.all(short >= t0) and np.all(short <= t0 + duration)
    if spacing == "regular":
        assert np.allclose(np.diff(short), 1e3 / rate) and abs(short.size - rate * duration * 1e-3) <= 1.0


def test_the_rate_of_firing():
    """12 detectors, 20 MHz, 50 us: 12000 photons expected, five standard deviations allowed (false alarm 6e-7)."""
    damaged = firing_detectors(RING, 1.0, rate_MHz=20.0, duration=50_000.0, seed=3)
    assert abs(damaged.photons.count - 12_000) < 5.0 * math.sqrt(12_000)
    gaps = np.diff(damaged.photons.photons["s0"])
    assert 0.8 < gaps.std() / gaps.mean() < 1.2  # 1 for an exponential law; 0.03 is its standard deviation here
    assert not np.array_equal(*(damaged.photons.photons[name][:5] for name in ("s0", "s1")))


def test_firing_photons_are_not_those_of_a_stimulus_of_the_same_seed():
    damaged = firing_detectors(RING, ids=["s0"], rate_MHz=20.0, duration=1000.0, seed=0)
    outside = se.stimulus.poisson(["s0"], "20 MHz", 1000.0, seed=0)
    assert not set(damaged.photons.photons["s0"]) & set(outside.photons["s0"])


def test_weights_are_stuck_where_they_are_said_to_be():
    hit = stuck_weights(RING, 0.5, seed=3).hits["stuck_weights"]
    assert 0 < len(hit) < 12
    for at, value in (("zero", 0.0), ("low", -0.2), ("high", 0.8), (0.37, 0.37)):
        damaged = stuck_weights(RING, 0.5, at=at, between=(-0.2, 0.8), seed=3)
        assert damaged.hits["stuck_weights"] == hit
        for name, synapse in damaged.network.synapses.items():
            assert synapse.weight == (value if name in hit else 1.0)
    few_stuck, all_stuck = (stuck_weights(RING, s, at="random", between=(-0.2, 0.8), seed=3) for s in (0.5, 1.0))
    values = all_stuck.network.parameters()["weights"]
    assert np.all((values > -0.2) & (values < 0.8)) and len(set(values.tolist())) == 12
    assert all(few_stuck.network[name] == all_stuck.network[name] for name in hit)


@pytest.mark.parametrize("parameter", module.PROGRAMMED)
def test_other_programmed_values_may_be_stuck(parameter):
    damaged = stuck_weights(RING, 0.5, at=1.25, parameter=parameter, seed=4)
    changed = damaged.network.parameters()[parameter] != RING.parameters()[parameter]
    ids = np.array(RING.ids(parameter))
    assert tuple(ids[changed].tolist()) == tuple(n for n in ids.tolist() if n in damaged.hits["stuck_weights"])
    assert np.all(damaged.network.parameters()[parameter][changed] == 1.25)


def test_a_stuck_zero_weight_drives_nothing():
    rec = ran(stuck_weights(wire(), ids=["in"]), {"in": [1.0]})
    assert len(rec.detections["in"]) == 1 and rec.fluxon_count["d1"] == 0


def test_an_open_coupling_carries_no_flux():
    moments = np.linspace(0.0, 60.0, 61)
    sound, damaged = ran(Damaged(wire()), {"in": [1.0]}), ran(open_couplings(wire(), 1.0), {"in": [1.0]})
    assert np.max(np.abs(sound.flux("n1", moments))) > 0.1 and len(sound.spikes["n1"]) == 1
    assert np.all(damaged.flux("n1", moments) == 0.0) and len(damaged.spikes["n1"]) == 0
    assert np.max(damaged.current("d1", moments)) > 0.1


def test_an_open_coupling_that_was_declared_by_its_inductance():
    net = wire()
    net.replace("d1->n1", mutual="10 pH")
    new = open_couplings(net, 1.0).network
    assert (new["d1->n1"].J, new["d1->n1"].mutual) == (0.0, None) and net["d1->n1"].mutual is not None


@pytest.mark.parametrize("emission", ["deterministic", "photons"])
def test_a_lost_waveguide_passes_no_light(emission):
    sound = ran(Damaged(wire(emission=emission)), {"in": [1.0]})
    damaged = ran(lost_waveguides(wire(emission=emission), ids=["n1->s2"]), {"in": [1.0]})
    assert len(sound.detections["s2"]) == 1
    assert len(damaged.spikes["n1"]) == 1 and len(damaged.photons["s2"]) == 0


def test_weak_sources_give_the_stated_light():
    photons = weak_sources(ring(emission="photons"), 1.0, strength=0.25).network
    assert all(neuron.transmitter.photons == 2.5 for neuron in photons.neurons.values())
    assert all(guide.loss_db == 0.0 for guide in photons.waveguides)
    net = ring()
    net.replace("n0->s1", loss_db=3.0)
    dimmed = weak_sources(net, ids=["n0", "n1"], strength=0.1).network
    loss = {net.key(guide): guide.loss_db for guide in dimmed.waveguides if guide.loss_db}
    assert loss == {"n0->s1": 13.0, "to_n2": 10.0}
    assert weak_sources(net, 1.0, strength=1.0).network == net
    dark = weak_sources(lost_waveguides(net, 1.0).network, 1.0, strength=0.5).network
    assert all(guide.loss_db == 1000.0 for guide in dark.waveguides)


@pytest.mark.parametrize("emission", ["deterministic", "photons"])
def test_a_very_weak_source_is_rarely_seen(emission):
    """With 1e-6 of the light the far detector sees one of 20 spikes with a probability below 2e-4; the seed is fixed."""
    dim = weak_sources(wire(emission=emission), 1.0, strength=1e-6)
    seen = [len(ran(dim, {"in": [1.0]}, seed=seed).detections["s2"]) for seed in range(20)]
    assert sum(seen) == 0


def test_damage_adds_up_and_follows_quantization():
    coarse, _ = quantize(RING, {"J": Levels.bits(1, 0.0, 1.0)})
    first = open_couplings(coarse, 0.3, seed=2)
    second = dead_detectors(first.network, 0.3, seed=2)
    assert {coupling.J for coupling in second.network.couplings} == {0.0, 1.0}
    assert len(second.hits["dead_detectors"]) > 0


# ------------------------------------------------------------------------------ mixtures


def test_a_mixture_is_its_single_faults():
    mixture = Faults(
        dead_detectors=0.3,
        firing_detectors=0.4,
        stuck_weights=0.2,
        open_couplings=0.3,
        weak_sources=0.5,
        lost_waveguides=0.2,
        seed=6,
        firing_rate_MHz=20.0,
        firing_duration=300.0,
    )
    net = ring()
    damaged = mixture.apply(net)
    assert net == RING
    for name, fault in EVERY.items():
        assert damaged.hits[name] == fault(RING, getattr(mixture, name), seed=6).hits[name]
    assert damaged.photons == firing(RING, 0.4, seed=6).photons
    for name in damaged.hits["dead_detectors"]:
        assert damaged.network[name].efficiency == 0.0
    text = str(damaged)
    assert text == damaged.table() and all(name in text for name in EVERY)
    assert pickle.loads(pickle.dumps(damaged)) == damaged


def test_no_faults_are_a_copy_and_shares_scale():
    nothing = Faults(seed=3).apply(RING)
    assert nothing.network == RING and nothing.network is not RING and nothing.hits == {}
    half = Faults(dead_detectors=0.8, open_couplings=0.1).scaled(0.5)
    assert (half.dead_detectors, half.open_couplings) == (0.4, 0.05)
    assert half.scaled(100.0).dead_detectors == 1.0 and half.scaled(0.0) == Faults()


def test_options_of_a_mixture_reach_its_faults():
    mixture = Faults(stuck_weights=1.0, stuck_at="high", stuck_between=(0, 0.6), stuck_parameter="J", weak_sources=1.0)
    new = mixture.apply(RING).network
    assert {coupling.J for coupling in new.couplings} == {0.6}
    assert new.waveguides[0].loss_db == pytest.approx(3.0103, abs=1e-4)


# ------------------------------------------------------------------------------ survival


def alive(damaged: Damaged) -> float:
    return float(np.mean([synapse.efficiency > 0.0 for synapse in damaged.network.synapses.values()]))


def test_a_survival_curve_is_that_of_its_points():
    curve = survival_curve(RING, dead_detectors, [0.0, 0.3, 0.6, 1.0], alive, seeds=range(5))
    assert curve.scores.shape == (4, 5) and curve.seeds == (0, 1, 2, 3, 4)
    for row, share in enumerate(curve.shares):
        for column, seed in enumerate(curve.seeds):
            assert curve.scores[row, column] == alive(dead_detectors(RING, share, seed=seed))
    assert np.all(np.diff(curve.scores, axis=0) <= 0.0)  # the faults of a seed are nested
    assert curve.mean[0] == 1.0 and curve.mean[-1] == 0.0
    assert np.all(curve.low <= curve.mean) and np.all(curve.mean <= curve.high)
    assert np.array_equal(curve.low, np.quantile(curve.scores, 0.1, axis=1))


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(workers):
    alone = survival_curve(RING, dead_detectors, [0.2, 0.5], alive, seeds=[7, 2])
    with ThreadPoolExecutor(workers) as executor:
        together = survival_curve(RING, dead_detectors, [0.2, 0.5], alive, seeds=[7, 2], executor=executor)
    assert np.array_equal(alone.scores, together.scores)


def test_processes_change_nothing():
    fault = Faults(dead_detectors=1.0, firing_detectors=0.5, firing_rate_MHz=10.0, firing_duration=100.0)
    alone = survival_curve(RING, fault, [0.2, 0.5], alive, seeds=[7])
    with ProcessPoolExecutor(1) as executor:
        elsewhere = survival_curve(RING, fault, [0.2, 0.5], alive, seeds=[7], executor=executor)
    assert np.array_equal(alone.scores, elsewhere.scores)
    assert alone.scores[1, 0] == alive(dead_detectors(RING, 0.5, seed=7))


def test_faults_with_options_functions_that_return_networks_and_scores_that_are_bools():
    stuck = partial(stuck_weights, at="low", between=(0.25, 1.0))
    weights = survival_curve(RING, stuck, [1.0], lambda damaged: damaged.network["s0"].weight, seeds=[0])
    assert weights.scores.tolist() == [[0.25]]
    bare = survival_curve(RING, lambda net, share, seed: net, [0.5], lambda damaged: damaged.network == RING, seeds=[0])
    assert bare.scores.tolist() == [[1.0]]


def test_simulated_survival():
    def spikes(damaged: Damaged) -> float:
        rec = damaged.simulate({"in": [1.0]}, 30.0, engine="reference")
        return len(rec.spikes["n1"])

    curve = survival_curve(wire(), dead_detectors, [0.0, 1.0], spikes, seeds=[0])
    assert curve.mean.tolist() == [1.0, 0.0]


def test_a_curve_is_told_and_drawn(tmp_path):
    curve = survival_curve(RING, dead_detectors, [0.0, 0.5, 1.0], alive, seeds=range(4), quantiles=(0.25, 0.75))
    text = str(curve)
    assert "75 %" in text and "over 4 seeds" in text and len(text.splitlines()) == 4
    curve.plot(tmp_path / "curve.png", score="detectors alive")
    assert (tmp_path / "curve.png").stat().st_size > 5000
    with pytest.raises(InputError, match="exists already"):
        curve.plot(tmp_path / "curve.png")


# ------------------------------------------------------------------------------ bad input


def refused(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return "\n".join(caught.value.faults)


curve_of = partial(survival_curve, RING, dead_detectors)


@faults_by_name
def test_every_fault_tells_bad_shares_ids_seeds_and_networks(name):
    fault = EVERY[name]
    assert f"{name}.share" in refused(lambda: fault(RING))
    assert "not both" in refused(lambda: fault(RING, 0.5, ids=["s0"]))
    for share in (-0.1, 1.1, math.nan, "half", True):
        assert f"{name}.share" in refused(lambda share=share: fault(RING, share))
    assert "put it in a list" in refused(lambda: fault(RING, ids="s0"))
    known = fault(RING, 1.0).hits[name][0]
    assert f"did you mean {known!r}" in refused(lambda: fault(RING, ids=[known + "_"]))
    assert len(refused(lambda: fault(RING, ids=["x", 3])).splitlines()) == 2
    assert "seed" in refused(lambda: fault(RING, 0.5, seed=-1))
    assert "is not a Network" in refused(lambda: fault("net.yaml", 0.5))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: firing_detectors(RING, 0.5, rate_MHz=0.0, duration=1.0), "firing_detectors.rate_MHz: 0.0"),
        (lambda: firing_detectors(RING, 0.5, rate_MHz=1.0, duration=math.inf), "firing_detectors.duration: inf"),
        (lambda: firing_detectors(RING, 0.5, rate_MHz=1.0, duration=1.0, t0=-1.0), "firing_detectors.t0: -1.0"),
        (lambda: firing(RING, 0.5, spacing="poison"), "did you mean 'poisson'"),
        (lambda: firing_detectors(RING, 1.0, rate_MHz=1e6, duration=1e9), "more than 10 million"),
        (lambda: stuck_weights(RING, 0.5, at="hihg"), "did you mean 'high'"),
        (lambda: stuck_weights(RING, 0.5, at="high"), "stuck_weights.between: at is 'high'"),
        (lambda: stuck_weights(RING, 0.5, at=math.nan), "stuck_weights.at: nan"),
        (lambda: stuck_weights(RING, 0.5, at="low", between=(1.0, 0.0)), "exchange them"),
        (lambda: stuck_weights(RING, 0.5, at="low", between=0.5), "no pair"),
        (lambda: stuck_weights(RING, 0.5, parameter="weight"), "did you mean 'weights'"),
        (lambda: stuck_weights(RING, 1.0, at=9.0, parameter="ib"), "Dendrite.ib"),
        (lambda: weak_sources(RING, 0.5, strength=0.0), "weak_sources.strength: 0.0"),
        (lambda: weak_sources(RING, 0.5, strength=2.0), "weak_sources.strength: 2.0"),
        (lambda: Faults(dead_detectors=2.0), "Faults.dead_detectors: 2.0"),
        (lambda: Faults(firing_detectors=0.1), "Faults.firing_rate_MHz: missing"),
        (lambda: Faults(stuck_at="low"), "between"),
        (lambda: Faults(source_strength=0.0), "Faults.source_strength"),
        (lambda: Faults().scaled(-1.0), "Faults.scaled.factor"),
        (lambda: Faults().apply(3), "not a Network"),
        (lambda: survival_curve(RING, "dead_detectors", [0.5], alive), "no fault"),
        (lambda: survival_curve(None, dead_detectors, [0.5], alive), "not a Network"),
        (lambda: curve_of([0.5], 3), "no function"),
        (lambda: curve_of([], alive), "survival_curve.shares: the list is empty"),
        (lambda: curve_of(0.5, alive), "put it in one"),
        (lambda: curve_of([0.5, 1.5], alive), "survival_curve.shares[1]: 1.5"),
        (lambda: curve_of([0.5], alive, seeds=[1, 1]), "twice"),
        (lambda: curve_of([0.5], alive, seeds=[]), "survival_curve.seeds"),
        (lambda: curve_of([0.5], alive, seeds=[-1]), "seed: -1"),
        (lambda: curve_of([0.5], alive, quantiles=(0.9, 0.1)), "no range"),
        (lambda: curve_of([0.5], lambda damaged: math.nan), "at share 0.5 and seed 0"),
        (lambda: curve_of([0.5], lambda damaged: "good"), "is not a number"),
        (lambda: survival_curve(RING, lambda net, share, seed: 4, [0.5], alive), "return a Damaged or a Network"),
    ],
)
def test_bad_input_is_told(call, told):
    assert told in refused(call)


def test_all_faults_of_a_mixture_are_told_together():
    told = refused(lambda: Faults(dead_detectors=-1.0, lost_waveguides=math.nan, seed=-3))
    assert all(word in told for word in ("dead_detectors", "lost_waveguides", "seed"))


def test_a_neuron_without_transmitter_is_no_source():
    net = ring(2)
    net.add(se.Neuron("mute"))
    assert "'mute'" in refused(lambda: weak_sources(net, ids=["mute"]))
    assert weak_sources(net, 1.0).exposed == {"weak_sources": 2}


def test_photons_of_damaged_networks_are_a_stimulus():
    assert dead_detectors(RING, 0.5).photons == Stimulus()
