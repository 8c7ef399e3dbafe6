"""Fabrication spread: what a deviation does follows from the circuit, and nobody's draws depend on anybody else."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

import soen_event as se
from hardware import spread as module
from hardware.spread import DARK_RATE_HZ, FWHM, JITTER_FWHM_PS, Spread, dark_counts, jitter, spread
from soen_event import testing
from soen_event.errors import InputError
from soen_event.physics.squid import static_fold

RELATIVE = ("critical_current", "bias", "inductance", "resistance", "mutual", "threshold", "photons")


def neuron_parts(name: str) -> list:
    return [
        se.Synapse(f"{name}:s", f"{name}:d", phi_peak=0.6),
        se.Dendrite(f"{name}:d", tau=100.0),
        se.Coupling(f"{name}:d", name, J=0.6),
        se.Neuron(
            name,
            soma=se.Soma(threshold=0.3),
            refractory=se.Refractory(),
            transmitter=se.Transmitter(emission="photons"),
        ),
        se.Synapse(f"{name}:back", name, weight=-0.2),
        se.Waveguide(name, f"{name}:back", loss_db=3.0),
    ]


def network(*names: str) -> se.Network:
    net = se.Network()
    net.extend(part for name in names for part in neuron_parts(name))
    return net


def dendrites(count: int, **fields) -> se.Network:
    net = se.Network()
    net.extend(se.Dendrite(f"d{k}", **fields) for k in range(count))
    return net


def column(net: se.Network, field: str) -> np.ndarray:
    return np.array([getattr(part, field) for part in net.dendrites.values()])


# ---------------------------------------------------------------------------------------------- draws


@given(testing.networks(), st.integers(0, 2**63 - 1))
@settings(max_examples=30, deadline=None)
def test_without_spread_nothing_changes(net, seed):
    before = net.copy()
    assert spread(net, Spread.none(), seed) == before
    assert net == before


@given(seed=st.integers(0, 2**63 - 1))
@settings(max_examples=10, deadline=None)
def test_a_part_keeps_its_draws_when_others_come_and_in_any_order(seed):
    how = Spread(resistance=0.02, photons=0.1, stray_flux=0.01, path_loss_db=0.2)
    few, many = spread(network("a", "b"), how, seed), spread(network("a", "b", "c"), how, seed)
    for name in ("a", "a:s", "a:d", "a:back", "a:d->a", "a->a:back"):
        assert few[name] == many[name]
    backwards = se.Network()
    backwards.extend(reversed([*neuron_parts("a"), *neuron_parts("b")]))
    assert spread(backwards, how, seed) == few
    assert few != spread(network("a", "b"), how, seed ^ 1)


def test_a_quantity_keeps_its_draws_when_another_begins_to_vary():
    net = network("a")
    one = spread(net, Spread.only(inductance=0.03), 7)
    both = spread(net, Spread.only(inductance=0.03, bias=0.02, efficiency=0.1), 7)
    assert one["a:d"].beta_over_2pi == both["a:d"].beta_over_2pi
    assert one["a:d"].ib != both["a:d"].ib


@pytest.mark.parametrize(
    ("field", "sigma", "read"),
    [
        ("bias", 0.01, lambda part: part.ib / 1.8 - 1.0),
        ("inductance", 0.03, lambda part: part.beta_over_2pi / 1000.0 - 1.0),
        ("inductance", 0.03, lambda part: part.tau / 250.0 - 1.0),
        ("resistance", 0.05, lambda part: 250.0 / part.tau - 1.0),
        ("stray_flux", 0.1, lambda part: part.phi_offset),
        ("critical_current", 0.026 / math.sqrt(2.0), lambda part: 1.8 / part.ib - 1.0),
    ],
)
def test_deviations_have_the_standard_deviation_asked_for(field, sigma, read):
    """Mean within 5 standard errors and standard deviation within 5 of its own: false alarms 1e-6 each, the seed is fixed."""
    declared = sigma * math.sqrt(2.0) if field == "critical_current" else sigma
    count = 1000
    net = spread(dendrites(count), Spread.only(**{field: declared}), 3)
    deviations = np.array([read(part) for part in net.dendrites.values()])
    assert abs(deviations.mean()) < 5.0 * sigma / math.sqrt(count)
    assert abs(deviations.std() / sigma - 1.0) < 5.0 / math.sqrt(2.0 * count)
    assert np.abs(deviations).max() <= 4.0 * sigma * (math.sqrt(2.0) if field == "critical_current" else 1.0)


def test_detectors_couplings_waveguides_and_thresholds_deviate_by_what_is_asked():
    net, count = se.Network(), 600
    for k in range(count):
        net.extend([
            se.Synapse(f"s{k}", f"d{k}", weight=-2.0, efficiency=0.5), se.Dendrite(f"d{k}"),
            se.Neuron(f"n{k}", transmitter=se.Transmitter()), se.Coupling(f"d{k}", f"n{k}", J=-0.2),
            se.Waveguide(f"n{k}", f"s{k}", loss_db=3.0),
        ])  # fmt: skip
    how = Spread.only(mutual=0.03, efficiency=0.02, detection=0.9, path_loss_db=0.3, threshold=0.02, photons=0.1)
    chip = spread(net, how, 1)
    synapses, neurons = chip.synapses.values(), chip.neurons.values()
    for values, mean, sigma in (
        ([s.weight for s in synapses], -2.0, 0.06),
        ([s.efficiency for s in synapses], 0.45, 0.02),
        ([c.J for c in chip.couplings], -0.2, 0.006),
        ([w.loss_db for w in chip.waveguides], 3.0, 0.3),
        ([n.soma.threshold for n in neurons], 0.5, 0.01),
        ([n.transmitter.photons for n in neurons], 10.0, 1.0),
    ):
        assert abs(np.mean(values) - mean) < 5.0 * sigma / math.sqrt(count)
        assert abs(np.std(values) / sigma - 1.0) < 5.0 / math.sqrt(2.0 * count)
    assert np.corrcoef([c.J for c in chip.couplings], [s.weight for s in synapses])[0, 1] ** 2 < 0.05


def test_the_published_figures_are_the_defaults():
    how = Spread.published()
    assert how == Spread()
    assert (how.critical_current, how.bias, how.inductance, how.mutual) == (0.026, 0.01, 0.03, 0.03)
    assert how.stray_flux == 0.0 and Spread.published(shielded=False).stray_flux == 0.1
    assert JITTER_FWHM_PS["WSi"] / FWHM == pytest.approx(63.7, abs=0.1)
    assert DARK_RATE_HZ["WSi"] == 0.01


def test_truncation_cuts_the_tails():
    deviations = (
        column(spread(dendrites(2000), Spread.only(inductance=0.1, truncate=1.0), 5), "beta_over_2pi") / 1000 - 1
    )
    assert 0.099 < np.abs(deviations).max() <= 0.1
    # variance of a normal distribution cut off at one standard deviation: 1 - 2 pdf(1)/0.6827 = 0.291
    assert np.std(deviations) == pytest.approx(0.1 * math.sqrt(0.291), rel=0.05)


# ---------------------------------------------------------------------------------------------- physics


def fixed_deviations(monkeypatch, by_quantity: dict[int, float]) -> None:
    monkeypatch.setattr(module, "_truncated", lambda seed, key, ordinal, purpose, quantity, cut: by_quantity[quantity])


def test_more_critical_current_everywhere_is_another_device(monkeypatch):
    """All junctions 5 % up, in amperes, henries and ohms, against the nominal device with what spread() makes of it.

    The arms keep their beta and the shunts their resistance, as the head of spread.py says.
    """
    x = 0.05

    def declared(device: se.Device) -> se.Network:
        with se.Network(device) as net:
            se.Synapse("s", "d")
            se.Dendrite("d", ib="180 uA", inductance="206.8 nH", resistance="0.8 Ohm")
            se.Coupling("d", "n", mutual="30 pH")
            se.Neuron(
                "n",
                soma=se.Soma(ib="180 uA", inductance="206.8 nH", resistance="4 Ohm", threshold="6 uA", t_ref=0.0),
                refractory=se.Refractory(inductance="206.8 nH", resistance="4 Ohm", J=-0.5),
            )
        return net

    nominal, stronger = se.Device(), se.Device(Ic=100e-6 * (1 + x), c_per_Ic=1.5e-9 / (1 + x) ** 2)
    assert stronger.r_j == pytest.approx(nominal.r_j, rel=1e-12)
    truth = declared(stronger)
    truth.replace("n", refractory={"J": -0.5 * (1 + x)})  # the same mutual inductance
    fixed_deviations(monkeypatch, dict.fromkeys(range(13), 1.0))
    chip = spread(declared(nominal), Spread.only(critical_current=x, truncate=4.0), 0)
    runs = [
        se.simulate(net, {"s": [1.0, 30.0, 60.0]}, 100.0, resolution="flow", tol=1e-6, record=("spikes", "currents"))
        for net in (truth, chip)
    ]
    t = np.linspace(0.0, 100.0, 501)
    spikes = [run.spikes["n"] for run in runs]
    assert len(spikes[0]) >= 2
    np.testing.assert_allclose(spikes[1], spikes[0], atol=0.01)
    for name in ("d", "n.refractory"):
        currents = [run.current(name, t) for run in runs]
        assert currents[0].max() > 0.05
        np.testing.assert_allclose(currents[1], currents[0], atol=2e-4)


def exact_threshold(ib: float, y: float, b: float) -> float:
    """Flux at which a SQUID of junctions 1 + y and 1 - y switches at the current ``ib``, from its own fold."""

    def fold(d2: float) -> tuple[float, float]:
        c2 = (1 - y) * math.cos(d2)
        d1 = math.acos(max(-1.0, min(1.0, -c2 / (1 + 2 * b * c2) / (1 + y))))
        s1, s2 = (1 + y) * math.sin(d1), (1 - y) * math.sin(d2)
        return (d1 - d2 + b * (s1 - s2)) / (2 * math.pi), s1 + s2

    return fold(brentq(lambda d2: fold(d2)[1] - ib, -1.0, 1.5))[0]


@pytest.mark.parametrize("b", [0.8, math.pi / 2, 2.5])
@pytest.mark.parametrize("phi", [0.1, 0.2, 0.3, 0.4])
def test_unlike_junctions_shift_the_flux_as_their_fold_does(phi, b):
    ib = float(static_fold(phi, b)["i"])
    device, y = se.Device(beta_1=b, beta_2=b), 0.02
    shift = exact_threshold(ib, y, b) - exact_threshold(ib, -y, b)
    assert module._flux_per_difference(device, ib) == pytest.approx(shift / (2 * y), rel=5e-3)


def test_junctions_above_their_critical_current_and_below_shift_by_the_ends():
    device = se.Device()
    assert module._flux_per_difference(device, 2.5) == pytest.approx(0.5)
    assert module._flux_per_difference(device, 1.99) == pytest.approx(0.5, abs=0.01)
    assert module._flux_per_difference(device, 0.9) == pytest.approx(0.63, abs=0.01)


def test_one_junction_deviates_both_ways_it_can(monkeypatch):
    """Junction 1 at 1.04: the mean is 2 % up, and the rest is a difference of 1.96 %."""
    fixed_deviations(monkeypatch, {0: 1.0, 1: 0.0})
    part = spread(dendrites(1, phi_offset=0.1), Spread.only(critical_current=0.04), 0)["d0"]
    assert part.ib == pytest.approx(1.8 / 1.02)
    shift = 0.02 / 1.02 * module._flux_per_difference(se.Device(), 1.8)
    assert part.phi_offset == pytest.approx(0.1 - shift)
    assert part.beta_over_2pi == 1000.0 and part.tau == 250.0


def test_declared_circuit_values_stay_declared():
    with se.Network() as net:
        se.Dendrite("d", inductance="20 nH", resistance="80 mOhm")
        se.Dendrite("e")
        se.Coupling("d", "e", mutual="10 pH")
    part = spread(net, Spread.only(inductance=0.03, resistance=0.02, mutual=0.03), 2)
    d = part["d"]
    assert d.inductance != 20e-9 and d.resistance != 0.08
    assert d.tau == pytest.approx(net.device.tau_from_resistance(2 * math.pi * d.beta_over_2pi, d.resistance))
    assert part["d->e"].mutual != 10e-12
    assert se.Network.from_dict(part.to_dict()) == part


def test_a_refractory_dendrite_does_not_follow_its_soma_any_more():
    net = network("a")
    chip = spread(net, Spread.only(bias=0.02), 1)
    neuron = chip["a"]
    assert net.refractory_coupling("a") == neuron.refractory.J
    assert neuron.refractory.ib != neuron.soma.ib != 1.8


def test_dead_neurons_are_listed_not_hidden():
    with se.Network() as net:
        for k in range(20):
            se.Neuron(f"n{k}", soma=se.Soma(threshold=0.74))
    faults = spread(net, Spread.published(), 0).validate()
    assert 0 < len(faults) < 20
    assert all("Soma.threshold" in fault for fault in faults)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_engines_run_a_chip(engine):
    chip = spread(network("a"), Spread.published(), 11)
    run = se.simulate(chip, {"a:s": [1.0]}, 20.0, engine=engine, seed=4)
    assert np.array_equal(run.spikes["a"], se.simulate(chip, {"a:s": [1.0]}, 20.0, seed=4).spikes["a"])


# ---------------------------------------------------------------------------------------------- what goes in


def test_dark_counts_have_the_rate_that_is_counted_and_grow_at_the_end():
    net = network("a", "b")
    net.replace("a:s", efficiency=0.5)
    net.replace("b:s", efficiency=0.0)
    dark = dark_counts(net, 1e6, 1e6, 5)
    assert set(dark.photons) == {"a:s", "a:back", "b:back"}
    for name, expected in (("a:s", 2000.0), ("a:back", 1000.0), ("b:back", 1000.0)):
        assert abs(len(dark.photons[name]) - expected) < 5.0 * math.sqrt(expected)
    longer = dark_counts(network("a", "b", "c"), {"a:back": 1e6}, 2e6, 5).photons["a:back"]
    assert np.array_equal(longer[longer < 1e6], dark.photons["a:back"])
    gaps = np.diff(longer)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.15)
    assert dark_counts(net, 0.0, 100.0, 5).count == 0
    both = se.Stimulus({"a:s": [3.0]}) + dark
    assert both.count == dark.count + 1


def test_jitter_moves_every_photon_of_a_synapse_by_itself():
    trains = {"a": np.arange(1000.0), "b": [0.0, 5.0]}
    moved = jitter(trains, 40.0, 9)
    deviation = 1e3 * (moved.photons["a"] - np.arange(1000.0))[1:]
    assert abs(deviation.mean()) < 5.0 * 40.0 / math.sqrt(999)
    assert deviation.std() == pytest.approx(40.0, rel=5.0 / math.sqrt(2 * 999))
    assert np.abs(deviation).max() <= 160.0
    assert moved.photons["a"][0] >= 0.0
    assert np.array_equal(jitter({"a": np.arange(10.0)}, 40.0, 9).photons["a"], moved.photons["a"][:10])
    assert jitter(trains, 0.0, 9) == se.Stimulus(trains)
    assert jitter(se.stimulus.flux_drive("d", [0, 1], [0, 0.1]), 40.0, 1).drives


def test_jitter_sorts_what_it_has_overtaken():
    close = jitter({"a": [1.0] * 50}, 100.0, 0).photons["a"]
    assert np.all(np.diff(close) >= 0.0) and np.ptp(close) > 0.1


# ---------------------------------------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"bias": -0.1}, "Spread.bias: -0.1 is below 0"),
        ({"bias": "much"}, "Spread.bias: 'much' is not a finite number"),
        ({"bias": float("nan")}, "Spread.bias"),
        ({"inductance": 0.25}, "could become negative"),
        ({"truncate": 0.5}, "outside 1 to 8"),
        ({"detection": 1.2}, "no probability"),
        ({"bias": True}, "Spread.bias: True"),
    ],
)
def test_a_nonsense_spread_is_refused(fields, told):
    with pytest.raises(InputError, match=told):
        Spread(**fields)


def test_all_faults_of_a_spread_are_told_at_once():
    with pytest.raises(InputError) as caught:
        Spread(bias=-1.0, mutual=-1.0, detection=-1.0)
    assert len(caught.value.faults) == 3
    with pytest.raises(InputError, match="did you mean 'inductance'"):
        Spread.only(inductence=0.1)


def test_a_bias_beyond_its_source_function_is_an_error_or_clipped():
    net = dendrites(40, kind="rtti", ib=2.6)
    how = Spread.only(bias=0.02)
    with pytest.raises(InputError, match=r"spread.ib: 2\.\d+ has left the range 1.5 to 2.65 .*out_of_range") as caught:
        spread(net, how, 0)
    assert 1 < len(caught.value.faults) < 40
    clipped = column(spread(net, how, 0, out_of_range="clip"), "ib")
    assert clipped.max() == 2.65
    assert np.count_nonzero(clipped == 2.65) == len(caught.value.faults)


def test_probabilities_and_losses_stop_at_their_ends():
    net = network(*"abcdefgh")
    net.replace("a->a:back", loss_db=0.0)
    chip = spread(net, Spread.only(efficiency=0.2, path_loss_db=2.0), 3)
    assert {s.efficiency for s in chip.synapses.values()} & {1.0}
    assert all(0.0 <= s.efficiency <= 1.0 for s in chip.synapses.values())
    assert all(w.loss_db >= 0.0 for w in chip.waveguides)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda net: spread({}, Spread(), 0), "spread.network"),
        (lambda net: spread(net, 0.1, 0), "spread.how: 0.1 is no Spread"),
        (lambda net: spread(net, Spread(), -1), "seed: -1 is out of range"),
        (lambda net: spread(net, Spread(), 0, out_of_range="drop"), "spread.out_of_range: 'drop'"),
        (lambda net: dark_counts(net, -1.0, 10.0, 0), "dark_counts.rate_hz: -1.0"),
        (lambda net: dark_counts(net, {"zz": 1.0}, 10.0, 0), "there is no synapse 'zz'"),
        (lambda net: dark_counts(net, {"a:s": "x"}, 10.0, 0), "dark_counts.rate_hz"),
        (lambda net: dark_counts(net, 1.0, 0.0, 0), "dark_counts.duration"),
        (lambda net: dark_counts(net, 1e12, 1e9, 0), "more than 1e\\+08"),
        (lambda net: dark_counts(None, 1.0, 1.0, 0), "dark_counts.network"),
        (lambda net: jitter({"a": [1.0]}, -1.0, 0), "jitter.sigma_ps: -1.0"),
        (lambda net: jitter({"a": [1.0]}, 1.0, 0, truncate=0.1), "jitter.truncate"),
        (lambda net: jitter({0: [1.0]}, 1.0, 0), "by position such as 0"),
        (lambda net: jitter({"a": [1.0]}, 1.0, "seed"), "seed: 'seed'"),
    ],
)
def test_nonsense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call(network("a"))


def test_every_standard_deviation_is_used():
    """A field that spread() forgot would leave the chip as it was drawn."""
    net = network("a")
    for field in dataclasses.fields(Spread):
        if field.name != "truncate":
            value = 0.5 if field.name == "detection" else 0.05
            assert spread(net, Spread.only(**{field.name: value}), 1) != net, field.name
