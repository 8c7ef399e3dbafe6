"""The chip on the bench: it goes on where it stopped, keeps its currents, takes what a chip takes, and refuses the rest."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import simpy
import snippets
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware.chip import ASCR_Y1, IDEAL, NIST_SPIKING, Chip
from hardware.deployment import deploy
from hardware.instrument import VirtualChip
from hardware.quantize import Levels
from hardware.spread import Spread
from soen_event import testing
from soen_event.errors import InputError

NONSENSE = (None, "x", b"", -1.0, math.nan, math.inf, [], {}, object())
COLD = {"temperature": 0.0}
FOUR_BITS = Chip(name="four bits", weights=Levels.bits(4, 0.0, 1.5), couplings=Levels.bits_with_zero(4, -0.8, 0.8))


def tree(**soma):
    """Two dendrites into a neuron that lights a third."""
    with se.Network() as net:
        for k in range(2):
            se.Synapse(f"s{k}", f"d{k}", weight=0.8)
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=300.0, tau=100.0)
            se.Coupling(f"d{k}", "n", J=0.6)
        se.Neuron("n", soma=se.Soma(threshold=0.2, **soma), transmitter=se.Transmitter(), refractory=se.Refractory())
        se.Dendrite("far", beta_over_2pi=300.0)
        se.Synapse("t", "far")
        se.Waveguide("n", "t", delay=0.1)
    return net


def loaded(chip=IDEAL, net=None, ports=None, **options):
    device = VirtualChip(chip, **options)
    device.load(tree() if net is None else net, ports=ports, **COLD)
    return device


def same(one, other):
    """Equal to the bit: all that was recorded, and the state of the engine."""
    for table in ("spikes", "photons", "trace", "fluxons"):
        a, b = one.recording().table(table), other.recording().table(table)
        assert all(np.array_equal(a[name], b[name]) for name in a), table
    assert one.now == other.now and one.weights == other.weights


# ---------------------------------------------------------------------------------------------- running on


@settings(max_examples=40)
@given(
    testing.cases(max_duration=20.0), st.lists(st.floats(0.01, 5.0), max_size=4), st.sampled_from(["fluxon", "flow"])
)
def test_run_any_way_of_splitting_it(case, pieces, resolution):
    net = case.network
    inside = {guide.target for guide in net.waveguides}
    photons = {name: times for name, times in case.photons.items() if name not in inside}
    chips = [
        VirtualChip(IDEAL, seed=3, resolution=resolution, monitor=[*net.dendrites, *net.neurons]) for _ in range(2)
    ]
    total = sum(round(piece * 1e6) for piece in [*pieces, 5.0])
    for chip in chips:
        chip.load(net, temperature=net.device.temperature)
        chip.inject(photons)
    for piece in [*pieces, 5.0]:
        chips[0].run(piece)
        chips[0].read_out()
    chips[1].run(total * 1e-6)
    same(*chips)


@pytest.mark.parametrize("resolution", ["fluxon", "flow"])
def test_run_100_twice_is_run_200(resolution):
    one, two = (loaded(resolution=resolution, monitor=["d0", "n"]) for _ in range(2))
    for chip in (one, two):
        chip.inject({"s0": [5.0, 80.0, 150.0], "s1": [6.0]})
    one.run(100.0)
    one.run(100.0)
    two.run(200.0)
    same(one, two)
    rec = se.simulate(
        tree(), {"s0": [5.0, 80.0, 150.0], "s1": [6.0]}, 200.0, resolution=resolution, record=("currents", "photons")
    )
    assert np.array_equal(rec.spikes["n"], one.recording().spikes["n"]) and len(rec.spikes["n"])
    assert rec.current("n", 200.0) == one.read_out("n").currents["n"][0]


def test_reference_and_compiled_agree():
    one, two = (loaded(engine=engine, monitor=["n"]) for engine in ("compiled", "reference"))
    for chip in (one, two):
        chip.inject({"s0": [5.0]})
        chip.run(20.0)
        chip.program({"s0": 0.4})
        chip.set_bias("d1", 1.85)
        chip.inject({"s0": [1.0], "s1": [2.0]})
        chip.run(20.0)
    same(one, two)


def test_readouts_tile_the_run():
    """What many readouts show is what one shows; an event at the edge belongs to one of them."""
    many, one = loaded(monitor=["n"]), loaded(monitor=["n"])
    for chip in (many, one):
        chip.inject({"s0": [5.0, 80.0], "s1": [6.0, 10.0]})
    seen = []
    for piece in (5.0, 1.0, 4.0, 30.0, 60.0):
        many.run(piece)
        seen.append(many.read_out())
    one.run(100.0)
    whole = one.read_out()
    assert [r.start for r in seen] == [0.0, 5.0, 6.0, 10.0, 40.0] and seen[-1].end == whole.end == 100.0
    assert np.array_equal(np.concatenate([r.spikes["n"] for r in seen]), whole.spikes["n"]) and whole.counts["n"] > 0
    for name, times in whole.detections.items():
        assert np.array_equal(np.concatenate([r.detections[name] for r in seen]), times), name
    assert {n: sum(r.fluxons[n] for r in seen) for n in whole.fluxons} == whole.fluxons
    assert seen[-1].currents["n"] == whole.currents["n"]
    assert whole.to_dict()["fluxons"] == whole.fluxons and "spikes" in str(whole)
    assert many.read_out().start == many.now


def test_reset():
    chip = loaded(NIST_SPIKING, seed=5)
    chip.inject({"s0": [5.0], "s1": [8.0]})
    chip.run(50.0)
    first = chip.read_out()
    chip.program({"s0": 0.1})
    chip.reset()
    assert chip.now == 0.0 and chip.weights["s0"] == 0.1 and chip.read_out().fluxons["d0"] == 0
    writes = chip.ledger.writes
    chip.reset(weights=True)
    assert chip.ledger.writes == writes + 1
    chip.inject({"s0": [5.0], "s1": [8.0]})
    chip.run(50.0)
    again = chip.read_out()
    assert again.fluxons == first.fluxons and again.to_dict()["spikes"] == first.to_dict()["spikes"]


def test_seeds():
    def seen(seed):
        chip = loaded(NIST_SPIKING, seed=seed)
        chip.inject({"s0": np.arange(40) * 200.0})
        chip.run(8000.0)
        return chip.read_out().detections["s0"].tolist()

    assert seen(1) == seen(1) != seen(2)
    assert 15 <= len(seen(1)) <= 38  # 40 photons at 0.7: beyond this 1e-6


# ---------------------------------------------------------------------------------------------- programming


def test_programming_keeps_the_currents():
    chip, other = loaded(FOUR_BITS, monitor=["d0", "n"]), loaded(FOUR_BITS, monitor=["d0", "n"])
    for each in (chip, other):
        each.inject({"s0": [5.0]})
        each.run(30.0)
    before = chip.recording().quanta("d0", 30.0)
    stored = chip.program({"s0": 0.32, "d0->n": 0.31, "s1": 9.0})
    assert stored == {"s0": pytest.approx(0.3), "d0->n": pytest.approx(0.3), "s1": 1.5}
    assert chip.weights["s0"] == stored["s0"] and chip.network["s0"].weight == stored["s0"]
    assert chip.recording().quanta("d0", 30.0) == before > 0.1
    for each in (chip, other):
        each.inject({"s0": [0.0]})
        each.run(20.0)
    weaker, full = chip.read_out().fluxons["d0"], other.read_out().fluxons["d0"]
    assert weaker < full


def test_programmed_before_is_loaded_so():
    """Weights that are written before anything happens do what the same weights do in the network."""
    net = tree()
    chip = loaded(net=net, monitor=["n"])
    chip.program({"s0": 0.7, "d1->n": -0.2})
    net.replace("s0", weight=0.7)
    net.replace("d1->n", J=-0.2)
    other = loaded(net=net, monitor=["n"])
    for each in (chip, other):
        each.inject({"s0": [5.0], "s1": [5.0]})
        each.run(60.0)
    a, b = chip.read_out(), other.read_out()
    assert a.fluxons == b.fluxons and np.allclose(a.currents["n"], b.currents["n"], atol=1e-9)


def test_the_ledger_counts_what_changes():
    chip = loaded(ASCR_Y1, net=flat(), ports=None)
    assert chip.ledger.writes == 4 and chip.ledger.energy_J == pytest.approx(4 * 0.4e-15)
    level = chip.weights["s0"]
    chip.program({"s0": level + 0.01})
    assert chip.ledger.writes == 4
    chip.program({"s0": level + 0.25, "d0->d1": 0.0})
    assert chip.ledger.writes == 6 and chip.ledger.by_part["s0"] == 2
    assert "6 writes, 2.4 fJ" in str(chip.ledger)
    assert math.isnan(loaded().ledger.energy_J)


def flat():
    with se.Network() as net:
        for k in range(2):
            se.Synapse(f"s{k}", f"d{k}", weight=0.5)
            se.Dendrite(f"d{k}", beta_over_2pi=300.0, tau=100.0)
        se.Coupling("d0", "d1", J=0.2)
        se.Coupling("d1", "d0", J=-0.1)
    return net


def test_stochastic_rounding_moves_on_average():
    """A step of a tenth of a level is lost when rounded to the nearest, and arrives on average when rounded by chance."""
    chip = loaded(Chip(weights=Levels.bits(4, 0.0, 1.5)), net=flat(), seed=1)
    start = chip.weights["s0"]
    written = [chip.program({"s0": start + 0.01}, rounding="stochastic")["s0"] for _ in range(400)]
    share = (np.mean(written) - start) / 0.1
    assert abs(share - 0.1) < 4.9 * math.sqrt(0.1 * 0.9 / 400)  # 1e-6
    assert chip.program({"s0": start + 0.01})["s0"] == start


def test_settling():
    chip = loaded(ASCR_Y1, net=flat(), ports=None)
    assert chip.settled
    chip.run(10.0)
    chip.program({"s0": 1.0})
    assert not chip.settled
    chip.run(29.0)
    assert not chip.read_out().settled
    chip.run(1.0)
    assert chip.settled and not chip.read_out([]).settled
    chip.run(1.0)
    assert chip.read_out([]).settled


def test_a_fixed_coupling_and_absent_parts():
    chip = loaded(NIST_SPIKING)
    with pytest.raises(InputError) as error:
        chip.program({"d0->n": 0.1, "s9": 1.0, "s0": math.nan, "n": 0.3})
    told = "\n".join(error.value.faults)
    for part in ("'d0->n' is fixed", "no 's9'", "['s0']", "no 'n'"):
        assert part in told
    assert chip.ledger.writes == 3  # nothing was written
    net = flat()
    net.add(se.Synapse("weak", "d0", weight=0.1))
    chip = loaded(Chip(fan_in=2), net=net)
    with pytest.raises(InputError, match="'weak' was left out"):
        chip.inject({"weak": [1.0]})
    net.replace("weak", weight=0.5)
    chip = loaded(Chip(crossbar=True), net=net, ports={"weak": "line", "s0": "line"})
    with pytest.raises(InputError, match="was merged into 's0'"):
        chip.program({"weak": 0.3})


def test_spread_acts_on_what_is_written():
    how = Spread.only(mutual=0.05, bias=0.01, critical_current=0.02)
    net = tree()
    chip = loaded(FOUR_BITS, net=net, seed=4, spread=how)
    chip.program({"s0": 0.3, "d0->n": -0.5})
    chip.set_bias("d0", 1.7)
    for name, changes in (("s0", {"weight": 0.3}), ("d0->n", {"J": -0.5}), ("d0", {"ib": 1.7})):
        net.replace(name, **changes)
    other = loaded(FOUR_BITS, net=net, seed=4, spread=how).network
    assert chip.network["s0"].weight == pytest.approx(other["s0"].weight, rel=1e-12)
    assert math.isclose(chip.network["d0->n"].J, other["d0->n"].J, rel_tol=1e-12)
    assert chip.network["d0"].ib == pytest.approx(other["d0"].ib, rel=1e-12)
    assert chip.weights["s0"] == pytest.approx(0.3) != pytest.approx(chip.network["s0"].weight, rel=1e-3)


# ---------------------------------------------------------------------------------------------- biases


class TestBias:
    @pytest.mark.parametrize("resolution", ["fluxon", "flow"])
    def test_set_before_is_loaded_so(self, resolution):
        chip = loaded(monitor=["d0", "n"], resolution=resolution)
        chip.set_bias("d0", 1.7)
        chip.set_bias("n", 1.75)
        net = tree()
        net.replace("d0", ib=1.7)
        net.replace("n", refractory={"ib": 1.8, "J": net.refractory_coupling("n")})
        net.replace("n", soma={"ib": 1.75})
        other = loaded(net=net, monitor=["d0", "n"], resolution=resolution)
        assert chip.network == other.network
        for each in (chip, other):
            each.inject({"s0": [5.0, 60.0], "s1": [5.0]})
            each.run(100.0)
        a, b = chip.read_out(), other.read_out()
        assert all(abs(a.fluxons[name] - b.fluxons[name]) <= 1 for name in a.fluxons)
        assert np.allclose(a.spikes["n"], b.spikes["n"], atol=0.05) and len(a.spikes["n"])

    @pytest.mark.parametrize("resolution", ["fluxon", "flow"])
    def test_over_bias_makes_fluxons_and_stops(self, resolution):
        """Above the critical current 2 fluxons come without input (physics.md 2.2); the current is kept, then leaks."""
        chip = loaded(net=flat(), monitor=["d0"], resolution=resolution)
        chip.run(10.0)
        assert chip.read_out().fluxons["d0"] == 0
        chip.set_bias("d0", 2.2)
        chip.run(10.0)
        made = chip.read_out()
        assert made.fluxons["d0"] > 50 and made.currents["d0"] > 0.15
        before = chip.recording().current("d0", 20.0)
        chip.set_bias("d0", 1.8)
        assert chip.recording().current("d0", 20.0) == pytest.approx(before, abs=0.005)
        chip.run(50.0)
        after = chip.read_out()
        assert after.fluxons["d0"] <= 1
        assert after.currents["d0"][0] == pytest.approx(before * math.exp(-0.5), abs=0.005)

    def test_the_same_bias_changes_nothing(self):
        chip, other = loaded(monitor=["d0"]), loaded(monitor=["d0"])
        for each in (chip, other):
            each.inject({"s0": [5.0]})
            each.run(8.0)
        chip.set_bias("d0", 1.8)
        for each in (chip, other):
            each.run(30.0)
        a, b = chip.read_out(), other.read_out()
        assert a.fluxons == b.fluxons and a.currents["d0"][0] == pytest.approx(b.currents["d0"][0], abs=1e-7)

    def test_moved_to_what_the_chip_has(self):
        chip = loaded(Chip(ib=Levels.codebook([1.7, 1.8])), net=flat())
        assert chip.set_bias("d0", 1.74) == 1.7 and chip.biases["d0"] == 1.7 and chip.network["d0"].ib == 1.7
        chip = loaded()
        assert chip.set_bias("n.refractory", 1.6) == 1.6 and chip.network["n"].refractory.ib == 1.6
        with pytest.raises(InputError, match=r"Soma\.threshold"):
            chip.set_bias("n", 1.0)
        with pytest.raises(InputError, match="outside 0 to 3"):
            chip.set_bias("d0", 3.5)
        assert chip.biases["n"] == 1.8


# ---------------------------------------------------------------------------------------------- light and readout


def test_lines_have_a_rate():
    chip = loaded(NIST_SPIKING)
    with pytest.raises(InputError, match=r"s0: pulses at 5 and 50 ns are 45 ns apart.*100 ns"):
        chip.inject({"s0": [5.0, 50.0]})
    chip.inject({"s0": [5.0, 105.0, 105.0], "s1": [7.0]})
    with pytest.raises(InputError, match="apart"):
        chip.inject({"s0": [150.0]})
    chip.run(180.0)
    with pytest.raises(InputError, match="apart"):
        chip.inject({"s0": [0.0]})
    assert chip.inject({"s0": [30.0]}) == 1
    assert loaded().inject({"s0": [5.0, 5.001]}) == 2


def test_light_by_line_and_by_clock():
    chip = loaded(net=flat(), ports={"s0": "both", "s1": "both"})
    assert chip.inject({"both": [1.0, 60.0]}) == 4
    chip.run(10.0)
    assert chip.inject({"both": 5.0}) == 2
    assert chip.inject({"both": [12.0]}, absolute=True) == 2
    chip.run(60.0)
    assert chip.read_out().detections["s1"].tolist() == [1.0, 12.0, 15.0, 60.0]
    with pytest.raises(InputError) as error:
        chip.inject({"s0": [1.0], "up": [2.0]})
    assert "with others" in error.value.faults[0] and "no 'up'" in error.value.faults[1]
    with pytest.raises(InputError, match="in the past"):
        chip.inject({"both": [69.0]}, absolute=True)
    with pytest.raises(InputError, match="lit by a waveguide"):
        loaded().inject({"t": [1.0]})
    with pytest.raises(InputError, match="flux drive is no light"):
        chip.inject(se.Stimulus({}, [se.Drive("d0", points=[(0.0, 0.1)])]))


def test_readout_noise_and_bits():
    noisy = Chip(readout_noise=0.01, adc_bits=4, adc_range=(0.0, 0.75))
    chip, clear = loaded(noisy, net=flat(), monitor=["d0"]), loaded(net=flat(), monitor=["d0"])
    for each in (chip, clear):
        each.inject({"s0": [5.0]})
        each.run(200.0)
    got, true = chip.read_out(every=1.0), clear.read_out(every=1.0)
    assert np.array_equal(got.times, np.arange(1.0, 201.0)) and np.array_equal(got.times, true.times)
    steps = got.currents["d0"] / 0.05
    assert np.allclose(steps, np.rint(steps)) and got.currents["d0"].min() >= 0.0
    off = got.currents["d0"] - true.currents["d0"]
    assert 0.008 < np.std(off[true.currents["d0"] > 0.05]) < 0.035 and np.max(np.abs(off)) < 0.025 + 6 * 0.01
    chip.reset()
    chip.inject({"s0": [5.0]})
    chip.run(200.0)
    assert np.array_equal(chip.read_out(every=1.0).currents["d0"], got.currents["d0"])


def test_readouts_have_a_rate():
    chip = loaded(ASCR_Y1, net=flat())
    chip.run(50.0)
    chip.read_out()
    chip.run(50.0)
    with pytest.raises(InputError, match="read again from 150 ns"):
        chip.read_out()
    with pytest.raises(InputError, match=r"every: 10 ns is below 100 ns"):
        chip.read_out(every=10.0)
    assert not chip.read_out([]).currents
    chip.run(300.0)
    assert chip.read_out(every=100.0).times.tolist() == [200.0, 300.0, 400.0]
    with pytest.raises(InputError, match="not monitored"):
        loaded().read_out("d0")
    with pytest.raises(InputError, match="did you mean 'far'"):
        loaded(monitor=["fat"])


# ---------------------------------------------------------------------------------------------- learning


class Decay:
    """Every weight loses a share."""

    name, needs = "hebbian", ("weight",)

    def update(self, chip):
        return {name: 0.5 * value for name, value in chip.weights.items() if name.startswith("s")}


class TestLearning:
    def test_a_rule_writes_levels(self):
        chip = loaded(NIST_SPIKING)
        chip.inject({"s0": [5.0]})
        chip.run(30.0)
        assert chip.learn(Decay()) == {"s0": pytest.approx(0.4), "s1": pytest.approx(0.4)}
        assert set(chip.weights[name] for name in ("s0", "s1")) <= set(NIST_SPIKING.weights.values)
        assert chip.ledger.writes == 3 + 2 and chip.now == 30.0
        chip.run(10.0)

    def test_what_does_not_run_on_the_chip(self):
        with pytest.raises(InputError, match="nothing is learned on it"):
            loaded(ASCR_Y1, net=flat()).learn(Decay())
        rule = Decay()
        rule.needs = ("gradient",)
        with pytest.raises(InputError, match="needs gradient"):
            loaded(NIST_SPIKING).learn(rule)
        rule.name = "hebian"
        with pytest.raises(InputError, match="did you mean 'hebbian'"):
            loaded(NIST_SPIKING).learn(rule)

    def test_a_function_and_nothing(self):
        def nothing(chip):
            return None

        nothing.name = "nothing"
        assert loaded().learn(nothing) == {}
        nothing.name = 3
        with pytest.raises(InputError, match="is no method"):
            loaded().learn(nothing)
        with pytest.raises(InputError):
            loaded().learn("stdp")
        rule = Decay()
        rule.update = lambda chip: [1.0]
        with pytest.raises(InputError, match="must return weights"):
            loaded().learn(rule)
        rule.update = lambda chip: {"s9": 1.0}
        with pytest.raises(InputError, match="no 's9'"):
            loaded().learn(rule)


# ---------------------------------------------------------------------------------------------- on a bench


class TestBench:
    def test_a_laser_on_the_bench_is_light_sent_before(self):
        env = simpy.Environment(initial_time=1000.0)
        chip, other = loaded(monitor=["n"]), loaded(monitor=["n"])
        chip.run(10.0)

        def laser():
            for _ in range(4):
                yield env.timeout(20.0)
                assert chip.now == pytest.approx(10.0 + env.now - 1000.0)
                chip.inject({"s0": [0.0], "s1": [1.5]})

        env.process(laser())
        assert env.run(chip.process(env, 100.0)) == 110.0
        assert env.now == 1100.0 and chip.now == 110.0
        other.inject({"s0": [30.0, 50.0, 70.0, 90.0], "s1": [31.5, 51.5, 71.5, 91.5]})
        other.run(110.0)
        same(chip, other)
        assert chip.read_out().counts["n"] > 0

    def test_a_controller_answers_spikes(self):
        env = simpy.Environment()
        chip, spikes, seen = loaded(), simpy.Store(env), []
        chip.inject({"s0": [5.0], "s1": [5.0]})

        def controller():
            while True:
                name, at = yield spikes.get()
                seen.append((name, at, env.now))
                chip.program({"s0": 0.0, "s1": 0.0})

        env.process(controller())
        env.run(chip.process(env, 60.0, step=0.5, spikes=spikes))
        first = chip.recording().spikes["n"][0]
        assert seen[0][:2] == ("n", first) and 0.0 <= seen[0][2] - first <= 0.5
        assert len(seen) == len(chip.recording().spikes["n"])
        free = loaded()
        free.inject({"s0": [5.0], "s1": [5.0]})
        free.run(60.0)
        assert free.read_out().fluxons["d0"] > chip.read_out().fluxons["d0"]

    def test_steps_change_nothing(self):
        chips = [loaded(monitor=["n"]) for _ in range(2)]
        for chip, step in zip(chips, (None, 0.7), strict=True):
            env = simpy.Environment()
            chip.inject({"s0": [5.0], "s1": [5.0]})
            env.run(chip.process(env, 30.0, step=step))
        same(*chips)

    def test_interrupted(self):
        env, chip = simpy.Environment(), loaded()

        def life():
            running = chip.process(env, 100.0)
            yield env.timeout(30.0)
            running.interrupt()
            with pytest.raises(simpy.Interrupt):
                yield running
            yield env.timeout(10.0)

        env.run(env.process(life()))
        assert chip.now == 30.0
        chip.run(5.0)
        assert chip.now == 35.0

    def test_the_bench_drives(self):
        env, chip = simpy.Environment(), loaded()
        chip.process(env, 50.0)
        env.run(until=20.0)
        for verb in (lambda: chip.run(1.0), chip.reset, lambda: chip.load(tree()), lambda: chip.process(env, 1.0)):
            with pytest.raises(InputError, match="runs on a bench"):
                verb()
        assert chip.read_out().end == 20.0
        env.run()
        assert chip.now == 50.0


# ---------------------------------------------------------------------------------------------- loading, nonsense


def test_loading():
    chip = VirtualChip("nist_spiking", seed=2)
    for verb in (
        lambda: chip.now, lambda: chip.weights, lambda: chip.network, lambda: chip.deployment, lambda: chip.biases,
        lambda: chip.settled, lambda: chip.run(1.0), chip.read_out, chip.reset, chip.recording, lambda: chip.program({}),
        lambda: chip.inject({}), lambda: chip.set_bias("d", 1.8), lambda: chip.learn(Decay()),
        lambda: chip.process(simpy.Environment(), 1.0),
    ):  # fmt: skip
        with pytest.raises(InputError, match="nothing is loaded"):
            verb()
    found = deploy(tree(), NIST_SPIKING, **COLD)
    assert chip.load(found) is found is chip.deployment
    with pytest.raises(InputError, match="not on this"):
        chip.load(deploy(tree(), IDEAL))
    with pytest.raises(InputError, match="cannot change a Deployment"):
        chip.load(found, ports={})
    with pytest.raises(InputError, match="no such option"):
        chip.load(tree(), prots={})
    with pytest.raises(InputError, match="waveguides"):
        VirtualChip(ASCR_Y1).load(tree())
    chip.run(5.0)
    chip.load(tree(), **COLD)
    assert chip.now == 0.0 and chip.ledger.writes == 6


@pytest.mark.parametrize("name", ["chip", "seed", "spread", "engine", "resolution", "tol", "threads", "monitor"])
def test_nonsense_when_made(name):
    accepted = {"spread": (None,), "monitor": (None, "x", [])}.get(name, ())
    for value in NONSENSE:
        if not any(value is a or value == a for a in accepted):
            with pytest.raises(InputError):
                VirtualChip(**{"chip": IDEAL, name: value})


def refused(verb, value):
    try:
        verb(value)
    except InputError:
        return True
    return False


def test_nonsense_in_every_verb():
    chip, env = loaded(monitor=["n"]), simpy.Environment()
    verbs = {
        "run": (chip.run, ()),
        "program": (chip.program, ({},)),
        "program one": (lambda v: chip.program({"s0": v}), (-1.0,)),
        "program rounding": (lambda v: chip.program({"s0": 1.0}, rounding=v), ()),
        "bias of": (lambda v: chip.set_bias(v, 1.8), ()),
        "bias": (lambda v: chip.set_bias("d0", v), ()),
        "inject": (chip.inject, (None, {})),
        "inject at": (lambda v: chip.inject({"s0": v}), ([],)),
        "absolute": (lambda v: chip.inject({}, absolute=v), ()),
        "read": (chip.read_out, (None, [])),
        "every": (lambda v: chip.read_out(every=v), (None,)),
        "learn": (chip.learn, ()),
        "reset": (lambda v: chip.reset(weights=v), ()),
        "load": (chip.load, ()),
        "env": (lambda v: chip.process(v, 1.0), ()),
        "process": (lambda v: chip.process(env, v), ()),
        "step": (lambda v: chip.process(env, 1.0, step=v), (None,)),
        "store": (lambda v: chip.process(env, 1.0, spikes=v), (None,)),
    }
    before = chip.network
    for name, (verb, accepted) in verbs.items():
        for value in NONSENSE:
            if not any(value is a or (type(value) is type(a) and value == a) for a in accepted):
                assert refused(verb, value), (name, value)
    assert chip.network == before and chip.now == 0.0
    with pytest.raises(InputError, match="beyond the clock"):
        chip.run(5e12)


def test_the_snippets_of_the_docs_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs" / "chips.md"
    scope, text = snippets.run(page), page.read_text()
    assert "second-hand" in capsys.readouterr().out and scope["chip"].now == 400.0
    (tmp_path / "mine.yaml").write_text(re.findall(r"```yaml\n(.*?)```", text, re.S)[0])
    assert Chip.load("mine.yaml").tau == (100.0, 1000.0)
