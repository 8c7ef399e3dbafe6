"""The reference engine and the compiled engine: the same events, counts and bits in every kind of network."""

import dataclasses
import random

import numpy as np
import pytest
import simpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.engine import objects, reference
from soen_event.engine import state as engine_state
from soen_event.engine.compiled import CompiledEngine
from soen_event.engine.events import event_key
from soen_event.engine.reference import Event, ReferenceEngine
from soen_event.engine.state import COUNTS, EVENTS, HOTSPOT_END, KICK, LOOP, PHOTON
from soen_event.engine.windows import BUDGET_SPENT, DONE
from soen_event.physics import source
from soen_event.plan import lower
from soen_event.testing import cases
from soen_event.units import ns_to_fs

ENGINES = {"compiled": CompiledEngine, "reference": ReferenceEngine}
SMALL = {"beta_over_2pi": 100.0, "tau": 20.0}
LIGHT = se.Transmitter(latency=1.0)


# --------------------------------------------------------------------------------------------------- the networks


def one_photon():
    se.Synapse("s", "d")
    se.Dendrite("d", tau=50.0)
    return {"s": [1.0]}, 20.0


def tree():
    for k in range(3):
        se.Synapse(f"s{k}", f"leaf{k}", tau_fall=10.0 + 10.0 * (k == 2))
        se.Dendrite(f"leaf{k}", **SMALL)
        se.Coupling(f"leaf{k}", f"branch{k // 2}", J=0.5)
    for k in range(2):
        se.Dendrite(f"branch{k}", **SMALL)
        se.Coupling(f"branch{k}", "root", J=0.6)
    se.Dendrite("root", **SMALL)
    return {"s0": [1.0], "s1": [1.0, 4.0], "s2": [2.0]}, 8.0


def inhibition():
    for k, J in (("up", 0.7), ("down", -0.6)):
        se.Synapse(f"s.{k}", k)
        se.Dendrite(k, **SMALL)
        se.Coupling(k, "d", J=J)
    se.Dendrite("d", **SMALL)
    return {"s.up": [1.0], "s.down": [4.0]}, 10.0


def inhibiting_synapse():
    se.Synapse("s.up", "d")
    se.Synapse("s.down", "d", weight=-0.8)
    se.Dendrite("d", **SMALL)
    return {"s.up": [1.0, 9.0], "s.down": [3.0]}, 15.0


def coupled_to_itself():
    se.Synapse("s", "d")
    se.Dendrite("d", **SMALL)
    se.Coupling("d", "d", J=0.2)
    return {"s": [1.0]}, 8.0


def refractory_dendrite_and_purge():
    se.Synapse("s", "n")
    se.Neuron("n", soma=se.Soma(threshold=0.1, t_ref=2.0), refractory=se.Refractory())
    return {"s": [1.0, 12.0]}, 25.0


def refractory_dendrite_and_keep():
    se.Synapse("s", "n", tau_fall=5.0)
    soma = se.Soma(threshold=0.1, after_spike="keep", t_ref=2.0, tau=5.0)
    se.Neuron("n", soma=soma, refractory=se.Refractory(J=-0.5, tau=5.0, tau_fall=5.0))
    return {"s": [1.0, 20.0]}, 30.0


def purge_without_refractory_time():
    se.Synapse("s", "n")
    se.Neuron("n", soma=se.Soma(threshold=0.05, t_ref=0.0, beta_over_2pi=60.0))
    return {"s": [1.0]}, 15.0


def exciting_itself():
    se.Synapse("s", "n")
    se.Synapse("back", "n", hotspot=0.5)
    se.Neuron("n", soma=se.Soma(threshold=0.05, t_ref=0.5), transmitter=LIGHT)
    se.Waveguide("n", "back", delay=0.5, id="long")
    se.Waveguide("n", "back", delay=0.1, id="short")
    se.Waveguide("n", "back", delay=0.1, id="as_short")
    return {"s": [1.0]}, 12.0


def drawn_photons():
    se.Synapse("s", "n1")
    for k in range(4):
        se.Synapse(f"far{k}", f"n{1 + k % 2}", weight=0.3, efficiency=0.5)
        se.Waveguide("n1", f"far{k}", loss_db=3.0)
        se.Waveguide("n2", f"far{k}")
    for k, photons in ((1, 6.0), (2, 2.0)):
        sender = se.Transmitter(emission="photons", photons=photons, latency=0.5)
        se.Neuron(f"n{k}", soma=se.Soma(threshold=0.05, t_ref=1.0), transmitter=sender)
    return {"s": [1.0]}, 10.0


def lossy_waveguides():
    se.Synapse("s", "n")
    se.Neuron("n", soma=se.Soma(threshold=0.05, t_ref=0.5), transmitter=LIGHT)
    for k in range(4):
        se.Synapse(f"far{k}", f"d{k}")
        se.Dendrite(f"d{k}", **SMALL)
        se.Waveguide("n", f"far{k}", delay=0.1 * k, loss_db=3.0)
    return {"s": [1.0]}, 6.0


def efficiency():
    se.Synapse("s", "d", efficiency=0.4, hotspot=0.05)
    se.Dendrite("d", tau=20.0)
    return {"s": [0.1 * k for k in range(30)]}, 4.0


def recovering_bias():
    se.Synapse("s", "d", recovery="bias", efficiency=0.9, tau_fall=3.0)
    se.Dendrite("d", tau=20.0)
    return {"s": [0.5 * k for k in range(20)]}, 10.0


def dead_time():
    se.Synapse("s", "d", dead_time=1.2, tau_fall=3.0)
    se.Dendrite("d", tau=20.0)
    return {"s": [1.0, 1.5, 2.2, 2.25, 3.0, 3.4]}, 6.0


def at_the_same_time():
    for k in range(3):
        se.Synapse(f"s{k}", f"d{k // 2}")
    for k in range(2):
        se.Dendrite(f"d{k}", **SMALL)
        se.Coupling(f"d{k}", f"d{1 - k}", J=0.1)
    return {name: [1.0, 1.06, 3.0] for name in ("s2", "s1", "s0")}, 6.0


def duplicate_photons():
    se.Synapse("s", "d", efficiency=0.6)
    se.Dendrite("d", tau=20.0)
    return {"s": [1.0, 1.0, 1.0, 1.06, 5.0, 5.0]}, 8.0


def restarting_pulses():
    se.Synapse("s", "d", overlap="restart", tau_fall=10.0)
    se.Dendrite("d", tau=20.0)
    return {"s": [1.0, 2.0, 5.0]}, 8.0


def drives():
    for k, arm in enumerate(("first", "both")):
        se.Dendrite(f"d{k}", **SMALL)
        se.Drive(f"d{k}", points=[(1.0, 0.0), (2.0, 0.4), (5.0, 0.3), (5.0, -0.4), (9.0, 0.0)], arm=arm)
        se.Drive(f"d{k}", pulses=[se.Pulse(0.0, 0.3, 0.2, 3.0), se.Pulse(4.0, -0.2, 1.0, 2.0)], arm=arm)
    se.Coupling("d0", "d1", J=0.3)
    return {}, 12.0


def rtti():
    se.Synapse("s", "d0")
    for k in range(2):
        se.Dendrite(f"d{k}", kind="rtti", ib=2.0, **SMALL)
    se.Coupling("d0", "d1", J=0.8)
    return {"s": [1.0, 4.0]}, 8.0


def over_biased():
    se.Synapse("s", "d", weight=-0.5)
    se.Dendrite("d", phi_offset=0.3, **SMALL)
    se.Dendrite("e", ib=2.2, **SMALL)
    return {"s": [3.0]}, 12.0


def unequal_arms():
    se.Synapse("s", "d")
    se.Dendrite("d", source="fit", **SMALL)
    return {"s": [1.0]}, 10.0


def no_parts():
    return {}, 10.0


NETWORKS = (one_photon, tree, inhibition, inhibiting_synapse, coupled_to_itself, refractory_dendrite_and_purge,
            refractory_dendrite_and_keep, purge_without_refractory_time, exciting_itself, drawn_photons,
            lossy_waveguides, efficiency, recovering_bias, dead_time, at_the_same_time, duplicate_photons,
            restarting_pulses, drives, rtti, over_biased, unequal_arms, no_parts)
# What must have been counted for the network to test what its name says.
SHOWS = {
    "inhibition": {"fluxons": 200}, "refractory_dendrite_and_purge": {"spikes": 2},
    "refractory_dendrite_and_keep": {"spikes": 2}, "exciting_itself": {"spikes": 3, "lost_hotspot": 1},
    "drawn_photons": {"spikes": 3, "detections": 10}, "lossy_waveguides": {"spikes": 2, "detections": 4},
    "efficiency": {"lost_efficiency": 5, "detections": 5}, "recovering_bias": {"lost_efficiency": 3, "detections": 3},
    "dead_time": {"lost_dead": 2}, "duplicate_photons": {"lost_hotspot": 1}, "drives": {"kicks": 14, "wakes": 1},
    "over_biased": {"fluxons": 50},
}


class Task:
    """A network lowered to a Plan, with its photons and a time to run to."""

    def __init__(self, network, photons, duration, seed=0):
        self.plan, self.seed, self.until = lower(network), seed, int(ns_to_fs(duration))
        rows = [(int(ns_to_fs(t)), self.plan.detector_index[name]) for name, times in photons.items() for t in times]
        self.fs, self.detector = np.array(sorted(rows), dtype=np.int64).reshape(-1, 2).T.copy()

    @classmethod
    def of(cls, build):
        with se.Network() as network:
            photons, duration = build()
        task = cls(network, photons, duration)
        if build is unequal_arms:  # a table for such junctions takes seconds; the engines need the shift only
            scale = task.plan.sources.scale.copy()
            scale[:, source.SHIFT] = 0.04
            task.plan = dataclasses.replace(task.plan, sources=task.plan.sources._replace(scale=scale))
        return task

    def engine(self, name, state=None, logged=1):
        a = self.plan.arrays
        loops, detectors = (np.full(len(column), logged, dtype=np.int64) for column in (a.row, a.det_loop))
        return ENGINES[name](self.plan, self.fs, self.detector, self.seed, loops, loops, detectors, state)

    def run(self, *pieces):
        """Run in pieces (engine, number of events), each from a copy of the state that the one before left.

        Returns the log of all, the last state and the reasons for which the pieces ended.
        """
        state, logs, reasons = None, [], []
        for name, events in pieces:
            engine = self.engine(name, state)
            reasons.append(engine.advance(self.until, events))
            logs.append(engine.drain())
            state = engine_state.copied(engine.state())
        return {name: np.concatenate([log[name] for log in logs]) for name in logs[0]}, state, reasons


ALL = 1 << 40


def assert_same(one, other):
    log, state, _ = one
    other_log, other_state, _ = other
    assert log.keys() == other_log.keys()
    for name, column in log.items():
        assert column.dtype == other_log[name].dtype
        np.testing.assert_array_equal(column, other_log[name], err_msg=name)
        assert column.tobytes() == other_log[name].tobytes(), f"{name}: the sign of a zero"
    assert dict(zip(COUNTS, state.counts, strict=True)) == dict(zip(COUNTS, other_state.counts, strict=True))
    assert engine_state.same(state, other_state)


@pytest.fixture(scope="module")
def whole():
    """A network's Task with its run in one piece by the compiled engine."""
    kept = {}

    def run(build):
        if build not in kept:
            task = Task.of(build)
            kept[build] = task, task.run(("compiled", ALL))
        return kept[build]

    return run


# ------------------------------------------------------------------------------------------------------- equality


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_engines_give_the_same_bits(build, whole):
    task, compiled = whole(build)
    here = task.run(("reference", ALL))
    assert_same(here, compiled)
    assert here[2] == compiled[2] == [DONE]
    counts = dict(zip(COUNTS, here[1].counts.tolist(), strict=True))
    for name, least in SHOWS.get(build.__name__, {"events": 10 * (build is not no_parts)}).items():
        assert counts[name] >= least


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_either_engine_goes_on_from_the_other(build, whole):
    """Restarted at random events from states that either engine wrote, bit for bit."""
    task, compiled = whole(build)
    chance = random.Random(build.__name__)
    events = int(compiled[1].counts[EVENTS])
    cuts = sorted(chance.randint(0, events) for _ in range(5))
    pieces = np.diff([0, *cuts, ALL]).tolist()
    names = ["reference", "compiled"] * 3
    split = task.run(*zip(names, pieces, strict=True))
    assert_same(split, compiled)
    assert split[2][-1] == DONE


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(max_duration=8.0, over_biased=True), st.integers(0, 2**63 - 1), st.integers(0, 1500))
def test_engines_give_the_same_bits_in_random_networks(case, seed, cut):
    task = Task(*case, seed=seed)
    compiled = task.run(("compiled", 1500))
    assert_same(task.run(("reference", 1500)), compiled)
    assert_same(task.run(("compiled", cut), ("reference", 1500 - cut)), compiled)
    assert_same(task.run(("reference", cut), ("compiled", 1500 - cut)), compiled)


def test_a_wrong_bit_is_seen(monkeypatch):
    """The comparison can fail: one more rounding in the decays is enough."""
    task = Task.of(tree)
    compiled = task.run(("compiled", ALL))
    right = objects.exp
    monkeypatch.setattr(objects, "exp", lambda x: right(0.5 * x) ** 2)
    with pytest.raises(AssertionError):
        assert_same(task.run(("reference", ALL)), compiled)


@pytest.mark.parametrize("name", ["fires", "wake", "kick", "spike", "release"])
def test_a_missing_rule_is_seen(monkeypatch, name):
    """The networks above need every rule of a loop."""
    monkeypatch.setattr(reference.Loop, name, lambda self, *arguments: 0.0)
    for build in (drives, refractory_dendrite_and_purge, purge_without_refractory_time):
        task = Task.of(build)
        counts = task.run(("compiled", ALL))[1].counts
        if task.run(("reference", int(counts[EVENTS])))[1].counts.tolist() != counts.tolist():
            return
    pytest.fail(f"nothing needs Loop.{name}")


# ------------------------------------------------------------------------------------------------------ how it runs


def test_events_of_one_time_happen_in_the_order_of_their_keys():
    keys = [(fs, phase, target, guide, ordinal) for fs in (0, 3) for phase in (KICK, HOTSPOT_END, PHOTON, LOOP)
            for target in (0, 1, 2**29 - 1) for guide in (0, 2**29 - 1) for ordinal in (0, 2**62)]
    shuffled = list(keys)
    random.Random(1).shuffle(shuffled)
    env, happened = simpy.Environment(), []
    for key in shuffled:
        fs, phase, target, guide, ordinal = key
        Event(env, fs, event_key(phase, target, guide), ordinal, lambda event, key=key: happened.append(key))
    while env.peek() < float("inf"):
        env.step()
    assert happened == keys


def test_a_budget_counts_events_and_nothing_else():
    """Plans that were replaced are no events, in either engine; a budget that ends with the last event is spent."""
    task = Task.of(refractory_dendrite_and_purge)
    events = int(task.run(("compiled", ALL))[1].counts[EVENTS])
    for name in ENGINES:
        engine = task.engine(name)
        assert engine.advance(task.until, 0) == BUDGET_SPENT
        assert engine.advance(-1, ALL) == DONE
        for k in range(1, 40):
            assert engine.advance(task.until, 1) == BUDGET_SPENT
            assert engine.state().counts[EVENTS] == k
        assert engine.advance(task.until, events - 39) == BUDGET_SPENT
        assert engine.advance(task.until, 1) == DONE


def test_running_in_pieces_of_time_is_running_at_once():
    task = Task.of(exciting_itself)
    at_once, in_pieces = task.engine("reference"), task.engine("reference")
    at_once.advance(task.until, ALL)
    for share in (0.0, 0.1, 0.1, 0.35, 0.8, 1.0):
        in_pieces.advance(int(share * task.until), ALL)
    assert engine_state.same(at_once.state(), in_pieces.state())


def test_what_is_logged_changes_nothing():
    task = Task.of(exciting_itself)
    full, bare = task.engine("reference"), task.engine("reference", logged=0)
    for engine in (full, bare):
        engine.advance(task.until, ALL)
    assert engine_state.same(full.state(), bare.state())
    log, rest = full.drain(), bare.drain()
    for name, column in rest.items():
        assert len(column) == (len(log[name]) if name.startswith("spike") else 0)
    assert all(len(column) == 0 for column in full.drain().values())


def test_a_given_state_is_only_read():
    task = Task.of(tree)
    _, state, _ = task.run(("compiled", 100))
    kept = engine_state.copied(state)
    engine = task.engine("reference", state)
    engine.advance(task.until, 100)
    assert engine_state.same(state, kept)
    assert not engine_state.same(engine.state(), kept)
