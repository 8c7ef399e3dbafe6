"""Loops that load each other: the inductance matrix, what a quantum does, and both engines."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

import soen_event as se
from soen_event.physics import inductance
from soen_event.plan import lower

COLLECTION = {"collection_inductance": "60 pH", "collection_mutual": "6.503583711240423 pH"}


def tree(J=(0.35, 0.35), beta=1000.0, tau=(50.0, 50.0, 100.0), **more):
    with se.Network() as net:
        for j in range(len(J)):
            se.Dendrite(f"d{j}", ib=1.7, beta_over_2pi=beta, tau=tau[j])
            se.Synapse(f"s{j}", f"d{j}")
        se.Dendrite("top", ib=1.7, beta_over_2pi=beta, tau=tau[-1], **{**COLLECTION, **more})
        for j, strength in enumerate(J):
            se.Coupling(f"d{j}", "top", J=strength)
    return net


def matrix(plan):
    a = plan.arrays
    B = np.diag(a.beta)
    rows = np.repeat(np.arange(len(a.beta)), np.diff(a.load_start))
    np.add.at(B, (rows, a.load_loop), a.load_B)
    return B


@pytest.mark.parametrize(("J", "expected"), [((0.35, 0.35), -22.5775792), ((0.4, 0.3), -22.1168123)])
def test_matrix_of_the_stored_circuits(J, expected):
    """The collection loops of circuit.md 7 (cases t01 to t03): L_ct = 60 pH, M_out = 6.5036 pH, I_c = 100 uA."""
    n, nothing = 3, np.zeros(3)
    stiff = np.array([0.0, 0.0, inductance.stiffness(60e-12, 6.503583711240423e-12, 2.067833831170082e-15, 1e-4)])
    found = inductance.loading(n, np.array([0, 1]), np.array([2, 2]), np.array(J), stiff, nothing, nothing)
    assert found.start.tolist() == [0, 1, 2, 2]
    assert found.loop.tolist() == [1, 0]
    assert found.B.tolist() == pytest.approx([expected, expected], rel=1e-8)


def test_matrix_is_symmetric_and_the_squid_belongs_to_it():
    B = matrix(lower(tree(J=(0.4, -0.3))))
    assert (B == B.T).all()
    assert B[0, 2] == pytest.approx(-math.pi * 0.4)
    assert B[1, 2] == pytest.approx(math.pi * 0.3)
    assert B[0, 1] > 0.0  # windings of opposite sense


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_response_to_a_quantum(k, seed):
    """z at t = 0 is 2 pi B^-1, and the currents then follow s' = -B^-1 A s."""
    rng = np.random.default_rng(seed)
    alpha = 10.0 ** rng.uniform(-3, -1, k)
    beta = 10.0 ** rng.uniform(2.8, 4.8, k)
    loose = rng.uniform(-20, 20, (k, k)) * (rng.random((k, k)) < 0.7)
    B = np.diag(beta) + np.tril(loose, -1) + np.tril(loose, -1).T
    times, z = inductance.quantum_response(B, alpha)
    inverse = np.linalg.inv(B)
    assert z.sum(axis=2) == pytest.approx(2 * math.pi * inverse, rel=1e-9, abs=1e-12)
    t = 0.7 * times.min()
    later = (z * np.exp(-t / times)).sum(axis=2)
    assert later == pytest.approx(2 * math.pi * expm(-t * inverse @ np.diag(alpha)) @ inverse, rel=1e-8, abs=1e-12)


def test_alike_loops_share_two_time_constants():
    """Common and opposite motion of equal branches, whatever their number."""
    B = np.diag(np.full(6, 600.0)) - 10.0 * (np.ones((6, 6)) - np.eye(6))
    times, _ = inductance.quantum_response(B, np.full(6, 1e-2))
    assert times == pytest.approx([(600.0 - 50.0) / 1e-2, (600.0 + 10.0) / 1e-2])


def test_a_fluxon_moves_the_others_current():
    net = tree(J=(0.35, 0.35, 0.0), beta=100.0, tau=(50.0, 50.0, 50.0, 100.0))
    rec = se.simulate(net, {"s0": [1.0]}, 20.0, record=("fluxons", "currents"))
    assert rec.fluxon_count["d0"] > 10
    assert rec.fluxon_count["d1"] == 0
    share = rec.current("d1", 3.0) / rec.current("d0", 3.0)
    # -B_nm/beta, circuit.md 7: 22.58 of 629 (and a little through the SQUID that both couple to).
    assert share == pytest.approx(22.58 / 629.1, rel=0.1)
    assert rec.current("d2", 3.0) == 0.0


def test_no_collection_loop_no_loading():
    rec = se.simulate(
        tree(collection_inductance=None, collection_mutual=None), {"s0": [1.0]}, 20.0, record=("currents",)
    )
    assert rec.current("d1", 10.0) == 0.0


@st.composite
def loaded_networks(draw):
    """Random trees of up to three levels whose parts have collection loops or not, perhaps a neuron at the top, and photons."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    with se.Network() as net:
        with_neuron = bool(rng.integers(2))
        some = COLLECTION if rng.random() < 0.8 else {}
        beta = lambda: float(10.0 ** rng.uniform(2.0, 3.0))  # noqa: E731
        if with_neuron:
            soma = se.Soma(
                ib=1.75,
                beta_over_2pi=beta(),
                threshold=0.1,
                after_spike=("keep", "purge")[int(rng.integers(2))],
                **some,
            )
            se.Neuron("n", soma=soma, refractory=se.Refractory(J=-0.7) if rng.integers(2) else None)
        else:
            se.Dendrite("n", ib=1.75, beta_over_2pi=beta(), **some)
        for j in range(int(rng.integers(1, 4))):
            more = COLLECTION if rng.random() < 0.4 else {}
            se.Dendrite(
                f"a{j}", ib=float(rng.uniform(1.5, 1.9)), beta_over_2pi=beta(), tau=(50.0, 100.0)[j % 2], **more
            )
            se.Synapse(f"s{j}", f"a{j}")
            se.Coupling(f"a{j}", "n", J=float(rng.choice([-0.4, 0.3, 0.5])))
            if more or rng.random() < 0.3:
                se.Dendrite(f"b{j}", ib=1.8, beta_over_2pi=beta(), tau=80.0)
                se.Synapse(f"t{j}", f"b{j}")
                se.Coupling(f"b{j}", f"a{j}", J=0.4)
    photons = {name: sorted(rng.uniform(0.0, 60.0, int(rng.integers(0, 3))).tolist()) for name in net.synapses}
    return net, photons


@settings(deadline=None, max_examples=25)
@given(loaded_networks(), st.sampled_from(["fluxon", "flow", "auto"]))
def test_engines_agree(case, resolution):
    net, photons = case
    runs = [
        se.Simulation(net, photons, engine=engine, resolution=resolution, record=("fluxons", "currents", "spikes"))
        for engine in ("compiled", "reference")
    ]
    for run in runs:
        run.run(70.0, events=4000)
    one, other = (run.state for run in runs)
    from soen_event.engine.state import same

    assert same(one, other)
    end = runs[0].now
    for name in runs[0].plan.loop_ids:
        a, b = (run.recording().current(name, np.linspace(0.0, end, 20)) for run in runs)
        assert (a == b).all()


def test_a_loaded_run_splits(tmp_path):
    net = tree(beta=300.0)
    photons = {"s0": [1.0, 30.0], "s1": [10.0]}
    whole = se.simulate(net, photons, 60.0, record=("fluxons", "currents"))
    run = se.Simulation(net, photons, record=("fluxons", "currents"))
    run.run(15.0)
    run.checkpoint(tmp_path / "held.h5")
    rest = se.Simulation.restore(tmp_path / "held.h5")
    rest.run(60.0)
    again = rest.finish()
    for name in ("d0", "d1", "top"):
        assert (again.fluxons[name] == whole.fluxons[name]).all()
        t = np.linspace(16.0, 60.0, 200)
        assert (again.current(name, t) == whole.current(name, t)).all()


class TestRefusals:
    def test_half_a_collection_loop(self):
        with pytest.raises(se.InputError, match="collection_mutual: missing"):
            se.Dendrite("d", collection_inductance="60 pH")

    def test_couplings_that_cannot_be(self):
        with pytest.raises(se.InputError, match="more tightly"):
            lower(tree(J=(5.0, 5.0, 5.0), beta=100.0, tau=(50.0,) * 4))

    def test_purging_a_source(self):
        with se.Network() as net:
            se.Neuron("n", soma=se.Soma(after_spike="purge"))
            se.Dendrite("top", **COLLECTION)
            se.Coupling("n", "top", J=0.3)
        with pytest.raises(se.InputError, match="give 'keep'"):
            lower(net)

    def test_programming_a_coupling(self):
        run = se.Simulation(tree())
        with pytest.raises(se.InputError, match="collection loop"):
            run.set_coupling("d0", "top", 0.2)

    def test_tiled_networks(self):
        wiring = se.Wiring(source=[0], target=[1], synapse="s0", delay=1.0)
        with se.Network() as cell:
            se.Neuron("n", soma=se.Soma(after_spike="keep", **COLLECTION), transmitter=se.Transmitter())
            se.Dendrite("d0")
            se.Coupling("d0", "n", J=0.2)
            se.Synapse("s0", "d0")
        with pytest.raises(se.InputError, match="not part of tiled networks"):
            se.simulate(se.TiledNetwork(cell, 2, wiring), duration=1.0)
