"""The reference engine against the compiled engine on random networks: the same events, traces and states, to the bit, in every resolution.

2,000 networks in the ``ci`` profile, 500 of each emphasis; twenty times as many in ``verify``.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soen_event.engine import state as engine_state
from soen_event.engine.compiled import CompiledEngine
from soen_event.engine.events import LOG_COLUMNS
from soen_event.engine.reference import ReferenceEngine
from soen_event.engine.state import COUNTS
from soen_event.engine.windows import DONE
from soen_event.plan import lower
from soen_event.simulate import Simulation
from soen_event.testing import LAWS, Case, LawBroken, cases
from soen_event.units import ns_to_fs

LIMIT = 10_000  # events: the first of these are compared
NETWORKS = 5 * settings().max_examples  # of each emphasis

EMPHASES = {
    "ties": {"max_duration": 10.0, "random_parts": False, "rtti": False},
    "cycles": {"max_duration": 12.0, "max_dendrites": 1, "max_neurons": 3, "drives": False},
    "rtti and over-biased": {"max_duration": 5.0, "max_neurons": 1, "over_biased": True},
    "trees without ties": {"max_duration": 12.0, "cycles": False, "ties": False},
    "at a temperature": {"max_duration": 8.0, "max_neurons": 1, "warm": True},
}


def run(engine, plan, fs, detector, until, seed, exact=True, **how):
    """All that an engine logs, and the state in which it ends."""
    loops, detectors = (np.ones(len(column), dtype=np.int64) for column in (plan.arrays.row, plan.arrays.det_loop))
    made = engine(plan, fs, detector, seed, loops, loops, detectors, **how)
    pieces = []
    while True:
        reason = made.advance(until, LIMIT if exact else 1 << 40, exact)
        pieces.append(made.drain())
        if reason == DONE or exact:
            break
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}, made.state()


def assert_engines_agree(case, seed, resolution="fluxon", tol=1e-4, threads=1, exact=False):
    network, photons, duration = case
    plan = lower(network, (), resolution, tol)
    trains = [
        (fs, plan.detector_index[name]) for name, times in photons.items() for fs in ns_to_fs(np.array(times)).tolist()
    ]
    fs, detector = np.array(sorted(trains), dtype=np.int64).reshape(-1, 2).T.copy()
    until = int(ns_to_fs(duration))
    log, state = run(ReferenceEngine, plan, fs, detector, until, seed)
    exact = exact or state.counts[0] >= LIMIT  # then both stop at that event
    other_log, other_state = run(CompiledEngine, plan, fs, detector, until, seed, exact, threads=threads)
    for name in (name for names in LOG_COLUMNS.values() for name in names):
        assert log[name].dtype == other_log[name].dtype
        assert log[name].tobytes() == other_log[name].tobytes(), f"{name}: {log[name]} against {other_log[name]}"
    assert dict(zip(COUNTS, state.counts, strict=True)) == dict(zip(COUNTS, other_state.counts, strict=True))
    assert engine_state.same(state, other_state)


@pytest.mark.parametrize("emphasis", EMPHASES)
def test_same_events_same_bits(emphasis, monkeypatch):
    """In windows or one by one, on any number of threads."""

    @settings(max_examples=NETWORKS)
    @given(
        case=cases(**EMPHASES[emphasis]),
        seed=st.integers(0, 2**63 - 1),
        resolution=st.sampled_from(["fluxon", "flow", "auto"]),
        tol=st.sampled_from([1e-2, 1e-4]),
        threads=st.sampled_from([1, 1, 2, 3]),
        exact=st.booleans(),
    )
    def agree(case, seed, resolution, tol, threads, exact):
        assert_engines_agree(case, seed, resolution, tol, threads, exact)

    monkeypatch.setattr(CompiledEngine, "PER_THREAD", 0)  # share even the smallest window

    agree()


def test_a_difference_of_one_bit_is_seen(monkeypatch):
    """The agreement can fail: a reference engine whose exponential is one unit in the last place off is found out."""
    from soen_event.engine import objects
    from soen_event.testing import check_laws

    with_one_bit = lambda exp: lambda x: float(np.nextafter(exp(x), 2.0)) if x < 0.0 else exp(x)  # noqa: E731
    monkeypatch.setattr(objects, "exp", with_one_bit(objects.exp))
    network, photons, duration = active_case()
    with pytest.raises(AssertionError):
        assert_engines_agree(Case(network, photons, duration), 0)
    with pytest.raises(LawBroken):
        check_laws(network, photons, duration, "engines")


def active_case():
    import soen_event as se

    with se.Network() as network:
        se.Dendrite("d", beta_over_2pi=100.0, tau=50.0)
        se.Synapse("s", "d")
    return network, {"s": [1.0, 3.0]}, 5.0


def test_the_law_says_the_same():
    assert LAWS["engines"](*active_case(), Simulation) is None


UNCOMPILED = """
import soen_event as se
with se.Network() as net:
    se.Synapse("s", "d")
    se.Dendrite("d", beta_over_2pi=100.0, collection_inductance="60 pH", collection_mutual="6.5 pH")
    for k in "ab":
        se.Dendrite(k, beta_over_2pi=100.0)
        se.Synapse(f"s{k}", k)
        se.Coupling(k, "d", J=0.3)
    se.Coupling("d", "n", J=0.8)
    se.Neuron("n", soma=se.Soma(threshold=0.1), refractory=se.Refractory(), transmitter=se.Transmitter())
    for k in "ab":
        se.Waveguide("n", f"s{k}", delay=0.5)
photons = {"s": [1.0, 8.0], "sa": [3.0]}
record = ("spikes", "fluxons", "photons")
one, other = (se.simulate(net, photons, 30.0, engine=engine, record=record) for engine in ("compiled", "reference"))
assert len(one.spikes["n"]) > 0 and len(one.detections["sb"]) > 0
assert all((one.fluxons[k] == other.fluxons[k]).all() for k in one.plan.loop_ids)
print("same")
"""


def test_without_the_compiler():
    """The compiled engine's source as plain Python (NUMBA_DISABLE_JIT=1), on a network with light, loading and a neuron."""
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILED],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=False,
    )
    assert done.stdout.strip() == "same", done.stderr


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_quanta_that_enter_together_make_a_soma_fire_again_and_again(engine):
    """A kick of many quanta arms the soma by where its current was before the kick, not one quantum before its end."""
    import soen_event as se

    with se.Network() as network:
        se.Neuron("n", soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0, after_spike="keep", t_ref=1.0))
    drive = se.Drive("n", quanta=[(10.0, 40.0), (400.0, 40.0), (800.0, 40.0)])
    rec = se.simulate(network, se.Stimulus(drives=[drive]), 1000.0, engine=engine)
    assert rec.spikes["n"].tolist() == [10.0, 400.0, 800.0]
