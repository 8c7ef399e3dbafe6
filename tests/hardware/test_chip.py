"""Chips, their files and provenance; deploying: what is found, that it fits afterwards, that nothing else changes."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware import deployment as dp
from hardware.chip import ASCR_Y1, IDEAL, NIST_SPIKING, PROFILES, SIGNALS, STATUSES, Chip, Known, find
from hardware.deployment import check, deploy
from hardware.quantize import Levels
from hardware.spread import Spread, spread
from soen_event import testing
from soen_event.errors import InputError
from soen_event.plan import HOTTEST

NONSENSE = (None, "x", b"", -1, 1.5, math.nan, math.inf, True, [], {}, object(), ["a", 3], (1, 2, 3), 10**400)


def layer(loops=3, lines=2, weight=0.5, J=0.1, **dendrite):
    """Dendrites in a row; every line drives all of them."""
    with se.Network(name="layer") as net:
        for k in range(loops):
            se.Dendrite(f"d{k}", **dendrite)
            for j in range(lines):
                se.Synapse(f"s{k}.{j}", f"d{k}", weight=weight)
            if k:
                se.Coupling(f"d{k - 1}", f"d{k}", J=J)
    return net


def line_of(synapse):
    return "line" + synapse.id.rsplit(".", 1)[-1]


def pair(**neuron):
    """A neuron that lights another's dendrite."""
    with se.Network() as net:
        se.Synapse("s", "d")
        se.Dendrite("d")
        se.Coupling("d", "n", J=0.5)
        se.Neuron("n", transmitter=se.Transmitter(), refractory=se.Refractory(), **neuron)
        se.Dendrite("far")
        se.Synapse("t", "far")
        se.Waveguide("n", "t")
    return net


# ---------------------------------------------------------------------------------------------- chips


levels = st.one_of(
    st.builds(Levels.bits, st.integers(1, 6), st.just(0.0), st.floats(0.1, 2.0)),
    st.builds(Levels.bits_with_zero, st.integers(1, 6), st.just(-0.5), st.floats(0.1, 2.0)),
    st.builds(Levels.bits_around_zero, st.integers(2, 6), st.just(-0.5), st.floats(0.1, 2.0)),
    st.builds(lambda q: Levels.storage_loop(0.0, 1.0, quanta=q), st.integers(2, 50)),
    st.builds(Levels.codebook, st.lists(st.floats(0.0, 2.0), min_size=1, max_size=6)),
)
ranges = st.tuples(st.floats(-1.0, 0.0), st.floats(0.05, 1.0))
limits = st.one_of(st.none(), st.integers(0, 8))


@st.composite
def chips(draw):
    """Any chip: tight numbers, so that something does not fit; values that every network may take."""
    positive = st.one_of(st.none(), st.builds(lambda a, b: (a, a + b), st.floats(10.0, 100.0), st.floats(0.0, 100.0)))
    fields = {
        name: draw(limits) for name in ("synapses", "input_synapses", "recurrent_synapses", "fan_in", "fan_out")
    } | {
        "weights": draw(st.one_of(st.none(), levels, ranges)),
        "couplings": draw(st.one_of(st.none(), levels, ranges)),
        "crossbar": draw(st.booleans()),
        "spiking": draw(st.booleans()),
        "ib": draw(st.sampled_from([None, (1.6, 1.8), Levels.codebook([1.65, 1.75])])),
        "tau": draw(positive),
        "soma_tau": draw(positive),
        "beta_over_2pi": draw(positive),
        "phi_offset": draw(st.sampled_from([None, (-0.05, 0.05), Levels.bits_with_zero(2, -0.1, 0.1)])),
        "efficiency": draw(st.sampled_from([None, 0.7, 1.0])),
        "dead_time": draw(st.sampled_from([None, 0.0, 33.0])),
        "spike_rate_hz": draw(st.sampled_from([None, 20e6])),
        "temperature": draw(st.sampled_from([None, 0.0, 4.2])),
        "sign": draw(st.sampled_from(["free", "magnitude"])),
    }
    try:
        return Chip(name="drawn", **fields)
    except InputError:
        assume(False)


@given(chips())
def test_a_chip_survives_its_file(tmp_path_factory, chip):
    path = tmp_path_factory.mktemp("chip") / "chip.yaml"
    chip.save(path)
    assert Chip.load(path) == chip
    assert Chip.from_dict(json.loads(json.dumps(chip.to_dict()))) == chip
    assert dataclasses.replace(chip) == chip


@pytest.mark.parametrize("chip", PROFILES.values(), ids=list(PROFILES))
def test_profiles_survive_their_files_with_sources(chip, tmp_path):
    path = tmp_path / "chip.yaml"
    chip.save(path)
    back = Chip.load(path)
    assert (back, back.provenance, back.facts) == (chip, chip.provenance, chip.facts)
    with pytest.raises(InputError, match="exists already"):
        chip.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["chip.yaml"]


def test_every_number_of_a_profile_has_a_source():
    defaults = {f.name: f.default for f in dataclasses.fields(Chip)}
    for chip in (ASCR_Y1, NIST_SPIKING):
        for name, default in defaults.items():
            if name in ("name", "facts", "provenance") or getattr(chip, name) == default:
                continue
            known = chip.provenance[name]
            assert known.source and known.status in STATUSES[:-1], name
        text = str(chip)
        for known in (*chip.provenance.values(), *chip.facts.values()):
            assert known.source in text


def test_ascr_y1_is_what_the_notes_say():
    """physics.md 7.1, features of the year-1 chip: 28 neurons, 8 inputs, 784 + 224 weights, 4144 junctions."""
    assert (ASCR_Y1.neurons, ASCR_Y1.inputs, ASCR_Y1.spiking) == (28, 8, False)
    assert (ASCR_Y1.recurrent_synapses, ASCR_Y1.input_synapses, ASCR_Y1.synapses) == (784, 224, 784 + 224)
    assert len(ASCR_Y1.weights) == 2**4 + 1 and 0.0 in ASCR_Y1.weights.values
    assert ASCR_Y1.facts["junctions"].value == 4144
    assert ASCR_Y1.provenance["neurons"].status == "second-hand"
    assert (NIST_SPIKING.neurons, NIST_SPIKING.synapses, len(NIST_SPIKING.weights)) == (8100, 330_430, 401)
    assert NIST_SPIKING.write_energy_J == 0.4e-15


def test_a_changed_value_loses_its_source():
    more = dataclasses.replace(ASCR_Y1, neurons=56)
    assert "neurons" not in more.provenance and "inputs" in more.provenance
    assert "given" in next(line for line in str(more).splitlines() if line.startswith("neurons"))
    named = dataclasses.replace(ASCR_Y1, neurons=Known(56, "a wish", "assumed"))
    assert named.provenance["neurons"].source == "a wish" and named.neurons == 56


def test_unknown_limits_are_told_as_unknown():
    assert "not known, so no limit" in str(IDEAL) and "neurons" in str(IDEAL)
    assert IDEAL.to_dict() == {"soen_chip": 1, "name": "IDEAL"}


def test_quantities_are_converted():
    chip = Chip(
        tau=("100 ns", "1 ms"), temperature="4.2 K", input_rate_hz="20 MHz", write_energy_J="0.4 fJ", settling="1 us"
    )
    assert chip.tau == (100.0, pytest.approx(1e6))
    assert chip.input_rate_hz == pytest.approx(20e6)
    assert chip.write_energy_J == pytest.approx(0.4e-15)
    assert (chip.temperature, chip.settling) == (4.2, 1000.0)


def test_all_faults_of_a_chip_at_once():
    with pytest.raises(InputError) as error:
        Chip(
            neurons=-1,
            spiking=1,
            tau=(3, 1),
            temperature="4 s",
            efficiency=2,
            kinds=["ro"],
            sign="up",
            adc_bits=0,
            name="",
        )
    told = "\n".join(error.value.faults)
    for name in ("neurons", "spiking", "tau", "temperature", "efficiency", "kinds", "sign", "adc_bits", "name"):
        assert f"Chip.{name}" in told
    with pytest.raises(InputError, match=r"Chip.weights: -1 is below 0, but sign is 'magnitude'"):
        Chip(weights=(-1, 1), sign="magnitude")
    with pytest.raises(InputError) as error:
        Chip.from_dict({"inptus": 3, "neurons": {"value": 1, "status": "guess"}, "weights": {"bits": 4}, "facts": 3})
    told = "\n".join(error.value.faults)
    assert "did you mean 'inputs'" in told
    assert all(f"Chip.{name}" in told for name in ("neurons", "weights", "facts"))


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Chip)])
def test_nonsense_in_a_chip_is_an_input_error(name):
    for value in NONSENSE:
        try:
            chip = Chip(**{name: value})
        except InputError as error:
            places = {fault.split(".")[0] for fault in error.faults}
        else:
            places = {"Chip"}
            assert Chip.from_dict(chip.to_dict()) == chip
        assert places == {"Chip"}


@pytest.mark.parametrize(
    "text",
    ["", "- 1", "soen_chip: 2", "a: b: c", "neurons: 3\nneurons: 4", "neurons: !!python/object:os.system x", "\x00"],
)
def test_broken_files_are_told_with_their_name(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"broken.yaml"):
        Chip.load(path)
    with pytest.raises(InputError, match="absent"):
        Chip.load(tmp_path / "absent.yaml")
    with pytest.raises(InputError):
        Chip.load(tmp_path)


def test_find(tmp_path):
    assert find("ASCR_y1") is ASCR_Y1 and find(IDEAL) is IDEAL
    ASCR_Y1.save(tmp_path / "mine.yaml")
    assert find(tmp_path / "mine.yaml") == find(str(tmp_path / "mine.yaml")) == ASCR_Y1
    with pytest.raises(InputError, match="did you mean 'ascr_y1'"):
        find("ascr_y2")
    for value in NONSENSE:
        with pytest.raises(InputError):
            find(value)
    for value in NONSENSE[2:-1]:
        with pytest.raises(InputError):
            Known(1, value, "measured")
    with pytest.raises(InputError):
        Known(1, "", "sure")
    for path in (3, None, "a\0.yaml", "x" * 5000, tmp_path):
        for use in (Chip.load, IDEAL.save, find):
            with pytest.raises(InputError):
                use(path)


# ---------------------------------------------------------------------------------------------- deploying: laws


@given(testing.networks())
def test_an_ideal_chip_changes_nothing(net):
    found = deploy(net, IDEAL)
    assert found.network == net and not found.report.findings


@settings(max_examples=150)
@given(
    testing.networks(max_dendrites=4, max_neurons=2, max_synapses=6),
    chips(),
    st.integers(0, 9),
    st.sampled_from(["nearest", "stochastic"]),
)
def test_what_is_deployed_fits_and_stays(net, chip, seed, rounding):
    before = net.copy()
    ports = {
        name: f"p{k % 2}" for k, name in enumerate(net.synapses) if not any(g.target == name for g in net.waveguides)
    }
    options = {"ports": ports, "seed": seed, "rounding": rounding}
    report = check(net, chip, **options)
    assert net == before
    if not report.fits:
        with pytest.raises(InputError) as error:
            deploy(net, chip, **options)
        assert len(error.value.faults) == len(report.of("refused"))
        return
    found = deploy(net, chip, **options)
    assert net == before and found.report == report
    assert found.network.validate() == []
    again = deploy(found, chip, seed=seed + 1, rounding=rounding)
    assert again.network == found.network
    assert {finding.action for finding in again.report.findings} <= {"ignored"}
    for name, (used, limit) in found.report.usage.items():
        assert limit is None or used <= limit, name
    for parameter, setting in (("weights", chip.weights), ("J", chip.couplings)):
        values = found.network.parameters()[parameter]
        sizes = np.abs(values) if chip.sign == "magnitude" else values
        if isinstance(setting, Levels):
            assert set(sizes.tolist()) <= set(setting.values)
        elif setting is not None:
            assert np.all((sizes >= setting[0]) & (sizes <= setting[1]))
    for synapse in found.network.synapses.values():
        assert chip.efficiency in (None, synapse.efficiency) and chip.dead_time in (None, synapse.dead_time)
    gone = {*found.pruned, *found.merged}
    assert {*net.synapses} - {*found.network.synapses} == {name for name in gone if name in net.synapses}
    assert len(set(found.sites.values())) == len(found.sites)
    assert {*found.sites} == {
        *found.network.synapses, *found.network.dendrites, *found.network.neurons, *map(net.key, found.network.couplings)
    }  # fmt: skip
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(report)


@given(testing.networks(), chips())
def test_only_parameters_count(net, chip):
    """Two networks with equal parts, however they came about, are deployed alike (S0.04)."""
    other = se.Network.from_dict(net.to_dict())
    if check(net, chip).fits:
        assert deploy(net, chip).network == deploy(other, chip).network


def test_a_break_is_seen(monkeypatch):
    """The law above can fail: a chip that rounds to something else than its levels does not stay."""
    chip = Chip(weights=Levels.bits(2, 0.0, 1.0))
    monkeypatch.setattr(
        "hardware.fitting.stored",
        lambda chip, setting, wanted, *rest, **more: (wanted * 0.5, np.zeros(len(wanted), bool)),
    )
    found = deploy(layer(), chip)
    assert deploy(found, chip).network != found.network


# ---------------------------------------------------------------------------------------------- deploying: cases


class TestCases:
    def test_too_many_neurons_and_lines_are_refused_together(self):
        with pytest.raises(InputError) as error:
            deploy(layer(30, 1), ASCR_Y1)
        assert error.value.faults == [
            "ASCR_Y1.neurons: asked 30, the chip has 28; use fewer, or a larger chip",
            "ASCR_Y1.inputs: asked 30, the chip has 8; let several synapses hang on one line (ports=), or use fewer",
        ]
        assert deploy(layer(28, 8), ASCR_Y1, ports=line_of).report.usage["input_synapses"] == (224, 224)

    def test_drives_need_lines(self):
        net = layer(3, 2)
        for k in range(3):
            net.add(se.Drive(f"d{k}", points=[(0.0, 0.0), (1.0, 0.1)]))
        assert check(net, ASCR_Y1, ports=line_of).usage["inputs"] == (5, 8)

    def test_spikes_that_nothing_hears_are_dropped(self):
        net = pair()
        net.remove("n->t")
        net.add(se.Drive("n", points=[(0.0, 0.0), (1.0, 0.1)]))
        found = deploy(net, ASCR_Y1)
        soma, now = net["n"].soma, found.network["n"]
        assert isinstance(now, se.Dendrite) and not found.network.neurons
        assert (now.ib, now.tau, now.beta_over_2pi) == (soma.ib, soma.tau, soma.beta_over_2pi)
        assert [c.target for c in found.network.couplings] == ["n"] and len(found.network.drives) == 1
        assert [f.part for f in found.report.of("replaced")] == ["n"]
        assert {f.field for f in found.report.of("ignored")} - {"temperature"} == {
            "threshold",
            "refractory",
            "transmitter",
        }

    def test_spikes_that_are_needed_are_refused(self):
        with pytest.raises(InputError, match=r"n.spikes: asked 1 waveguides.*couple currents"):
            deploy(pair(), ASCR_Y1)

    def test_another_circuit_is_refused(self):
        with pytest.raises(InputError, match=r"d0.kind: asked rtti, the chip has ri"):
            deploy(layer(1, 1, kind="rtti"), ASCR_Y1)

    def test_the_weakest_go(self):
        net = layer(1, 4)
        for k, weight in enumerate((0.5, -0.9, 0.1, 0.3)):
            net.replace(f"s0.{k}", weight=weight)
        found = deploy(net, Chip(fan_in=2))
        assert found.pruned == ("s0.2", "s0.3") and {*found.network.synapses} == {"s0.0", "s0.1"}
        assert {*found.ports} == {"s0.0", "s0.1"}
        with pytest.raises(InputError, match=r"d0.fan_in: asked 4, the chip has 2"):
            deploy(net, Chip(fan_in=2), on_excess="refuse")

    def test_strength_is_flux(self):
        net = layer(1, 2, weight=0.5)
        net.replace("s0.0", phi_peak=0.1, weight=0.8)
        assert deploy(net, Chip(fan_in=1)).pruned == ("s0.0",)

    def test_fan_out_takes_the_detector_along(self):
        net = pair()
        net.extend([se.Synapse("u", "far", weight=0.2), se.Waveguide("n", "u")])
        found = deploy(net, Chip(fan_out=1))
        assert found.pruned == ("u",) and [g.target for g in found.network.waveguides] == ["t"]

    def test_parallel_connections_are_added(self):
        net = layer(2, 2, weight=0.25)
        net.add(se.Coupling("d0", "d1", J=0.05, id="more"))
        found = deploy(net, Chip(crossbar=True), ports=dict.fromkeys(net.synapses, "one"))
        assert found.merged == {"d0->d1": "more"} or found.merged["more"] == "d0->d1"
        assert [c.J for c in found.network.couplings] == [pytest.approx(0.15)]
        assert [s.weight for s in found.network.synapses.values()] == [0.5, 0.5]
        assert found.photons({"one": [3.0]}) == {"s0.0": [3.0], "s1.0": [3.0]}
        # Same light: the sum of what both would have done.
        one = se.simulate(net, {name: [5.0] for name in net.synapses}, 60.0)
        two = se.simulate(found.network, found.photons({"one": [5.0]}), 60.0)
        for name in ("d0", "d1"):
            assert abs(two.fluxon_count[name] - one.fluxon_count[name]) <= 1

    def test_unlike_detectors_cannot_be_added(self):
        net = layer(1, 2)
        net.replace("s0.1", tau_fall=20.0, weight=0.1)
        found = deploy(net, Chip(crossbar=True), ports=dict.fromkeys(net.synapses, "one"))
        assert found.pruned == ("s0.1",)

    def test_values_are_moved(self):
        chip = Chip(
            soma_tau=(60, 70),
            ib=(1.6, 1.7),
            tau=Levels.codebook([100.0, 1000.0]),
            beta_over_2pi=(500, 600),
            phi_offset=(0, 0.1),
            threshold=(0.1, 0.3),
        )
        net = layer(1, 1, tau=300.0, phi_offset=-0.02)
        net.add(se.Neuron("n", soma=se.Soma(threshold=0.5), refractory=se.Refractory(ib=1.5)))
        found = deploy(net, chip)
        d, n = found.network["d0"], found.network["n"]
        assert (d.ib, d.tau, d.beta_over_2pi, d.phi_offset) == (1.7, 100.0, 600.0, 0.0)
        assert (n.soma.ib, n.soma.tau, n.soma.threshold, n.refractory.ib) == (1.7, 60.0, 0.3, 1.6)
        errors = {f"{f.part}.{f.field}": f.error for f in found.report.findings}
        assert errors["d0.tau"] == 200.0 and errors["n.threshold"] == pytest.approx(0.2)
        assert [f.action for f in found.report.findings if f.field == "tau"] == ["clipped", "rounded"]

    def test_a_threshold_out_of_reach_is_refused(self):
        net = se.Network()
        net.add(se.Neuron("n", soma=se.Soma(threshold=0.7)))
        with pytest.raises(InputError, match=r"on this chip 0.7 is above the largest current"):
            deploy(net, Chip(ib=(1.2, 1.4)))

    def test_a_declared_resistance_gives_way(self):
        net = se.Network()
        net.add(se.Dendrite("d", inductance="2 nH", resistance="1 Ohm"))
        found = deploy(net, Chip(tau=(100.0, 200.0)))
        assert found.network["d"].tau == 100.0 and found.network["d"].inductance == net["d"].inductance

    def test_slow_light(self):
        assert deploy(pair(), Chip(spike_rate_hz=20e6)).network["n"].soma.t_ref == 50.0
        assert deploy(pair(soma=se.Soma(t_ref=60.0)), Chip(spike_rate_hz=20e6)).network["n"].soma.t_ref == 60.0

    def test_methods(self):
        class Rule:
            name = "stdp"
            needs = ("pre", "post")

        class Global:
            name = "backprop"
            needs = ("gradient",)

        assert check(layer(), NIST_SPIKING, method=["stdp", Rule()]).fits
        told = check(layer(2, 2), ASCR_Y1, method=Rule(), ports=line_of)
        assert [f.field for f in told.of("refused")] == ["method"]
        with pytest.raises(InputError, match=r"backprop.method.*needs gradient"):
            deploy(layer(), NIST_SPIKING, method=Global())
        assert check(layer(), IDEAL, method=Global()).fits
        for value in (3, object(), [None]):
            assert not check(layer(), IDEAL, method=value).fits

    @pytest.mark.parametrize("kelvin", [None, 0.0, 2.5, "4.2 K"])
    def test_temperature(self, kelvin):
        """Holds whether the engines run above 0 K or not."""
        found = deploy(layer(2, 2), NIST_SPIKING, temperature=kelvin)
        told = [f for f in found.report.findings if f.field == "temperature"]
        if kelvin is not None:
            assert found.network.device.temperature == (4.2 if kelvin == "4.2 K" else kelvin)
            assert {f.action for f in told} == (set() if kelvin == "4.2 K" else {"ignored"})
        elif HOTTEST >= 4.2:
            assert found.network.device.temperature == 4.2 and told[0].action == "set"
        else:
            assert found.network.device.temperature == 0.0 and told[0].action == "ignored"

    def test_two_neurons_that_light_one_synapse(self):
        """What one neuron's fan-out leaves out is gone for the other too."""
        with se.Network() as net:
            for n in "ab":
                se.Neuron(n, soma=se.Soma(), refractory=se.Refractory(), transmitter=se.Transmitter())
            se.Synapse("s", "a")
            for n in "ab":
                se.Waveguide(n, "s")
        found = deploy(net, Chip(name="dark", fan_out=0), temperature=0)
        assert not found.network.synapses and check(found.network, Chip(name="dark", fan_out=0), temperature=0).fits

    def test_spread(self):
        how = Spread.published()
        net = layer(2, 2)
        one, same, other = (deploy(net, NIST_SPIKING, seed=s, spread=how, temperature=0) for s in (1, 1, 2))
        assert one.network == same.network != other.network
        assert one.programmed == other.programmed == deploy(net, NIST_SPIKING, temperature=0).network
        assert one.network == spread(one.programmed, dataclasses.replace(how, detection=1.0), 1, out_of_range="clip")
        mean = np.mean([s.efficiency for s in one.network.synapses.values()])
        assert mean == pytest.approx(0.7, abs=0.02)  # not 0.9 of it
        assert deploy(one, NIST_SPIKING, temperature=0).programmed == one.programmed

    def test_report(self):
        report = check(layer(30, 2, weight=0.51), ASCR_Y1)
        assert report.counts["rounded"] == 60 + 29 and not report.fits and not report.unchanged
        assert report.worst["weight"].error == pytest.approx(0.01)
        text = report.table(most=3)
        assert "... and 86 more" in text and "neurons" in text and "30 of 28" in text
        assert json.loads(json.dumps(report.to_dict()))["usage"]["neurons"] == {"used": 30, "limit": 28}
        with pytest.raises(InputError, match="did you mean 'rounded'"):
            report.of("round")
        for value in (-1, 1.5, None, "x", True):
            with pytest.raises(InputError):
                report.table(value)


@pytest.mark.parametrize("name", ["network", "chip", "ports", "on_excess", "rounding", "seed", "spread", "temperature"])
def test_nonsense_when_deploying_is_an_input_error(name):
    fine = {"network": layer(1, 1), "chip": IDEAL}
    accepted = {"ports": (None, {}), "spread": (None,), "temperature": (None, 1.5)}.get(name, ())
    for value in NONSENSE:
        if any(value is a or (type(value) is type(a) and value == a) for a in accepted):
            continue
        arguments = {**fine, name: value}
        with pytest.raises(InputError):
            deploy(**arguments)
        if name != "spread":
            with pytest.raises(InputError):
                check(**arguments)


def test_wrong_ports_are_told_together():
    net = pair()
    with pytest.raises(InputError) as error:
        deploy(net, IDEAL, ports={"q": "a", "t": "b", "s": 3})
    told = "\n".join(error.value.faults)
    assert "no synapse 'q'" in told and "'t' is lit by a waveguide" in told and "3 is no name" in told
    with pytest.raises(InputError, match="no line 'p'"):
        deploy(net, IDEAL).photons({"p": [1.0]})
    with pytest.raises(InputError):
        deploy(net, IDEAL).photons([1.0])
    net.remove("d")
    with pytest.raises(InputError, match=r"Synapse.target"):
        deploy(net, IDEAL)


def test_names_are_documented():
    for name in dp.__all__:
        assert name == "ACTIONS" or getattr(dp, name).__doc__
    assert set(SIGNALS) >= set(NIST_SPIKING.signals)


def test_what_is_done_with_a_chip_can_be_imported_from_it():
    from hardware import chip
    from hardware.instrument import VirtualChip

    assert chip.deploy is deploy and chip.VirtualChip is VirtualChip
    with pytest.raises(AttributeError, match="did you mean 'VirtualChip'"):
        _ = chip.VirtulChip
