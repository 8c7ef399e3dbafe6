"""Noise of loops and fluxes, and quanta that enter loops from outside."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware import circuit
from hardware.noise import current_noise, flux_noise
from soen_event.plan import electrical

RESOLUTIONS = pytest.mark.parametrize("resolution", ["fluxon", "flow"])


def loops(number=40, temperature=0.0, **of):
    with se.Network(device=se.Device(temperature=temperature)) as net:
        for k in range(number):
            se.Dendrite(f"d{k:02d}", **{"ib": 1.7, "beta_over_2pi": 100.0, "tau": 20.0, **of})
    return net


class TestCurrentNoise:
    @RESOLUTIONS
    @pytest.mark.parametrize("steps", [4, 20])
    def test_variance_is_kT_over_L(self, resolution, steps):
        """Johnson noise (physics.md 6) within 2 %; 20,000 independent values, standard error 1 % of the variance: seed fixed."""
        net = loops(200)
        noise = current_noise(net, 2000.0, 2, temperature=4.2, steps=steps)
        rec = se.simulate(net, noise, 2000.0, resolution=resolution, record=("currents",))
        times = np.linspace(0.0, 2000.0, 20_001)
        s = np.array([rec.current(name, times) for name in net.dendrites])
        beta = electrical(net.device, net.dendrites["d00"])[0]
        assert (s**2).mean() == pytest.approx(net.device.gamma_thermal(4.2) / beta, rel=0.02)
        assert math.sqrt((s**2).mean()) == pytest.approx(1.67e-3, rel=0.02)  # physics.md 6
        lag = 200  # 20 ns, a decay time
        assert (s[:, lag:] * s[:, :-lag]).mean() / (s**2).mean() == pytest.approx(math.exp(-1.0), abs=0.05)

    def test_as_the_circuit_has_it(self):
        """The noisy circuit's resistors give the same variance (circuit.md 6)."""
        net = loops(8, tau=5.0)
        run = circuit.simulate(net, duration=150.0, step=0.2, temperature=4.2, sample=0.5, seed=1)
        s = np.array([run.current(name)[40:] for name in net.dendrites])
        noise = current_noise(net, 150.0, 1, temperature=4.2)
        rec = se.simulate(net, noise, 150.0, record=("currents",))
        mine = np.array([rec.current(name, np.arange(20.0, 150.0, 0.5)) for name in net.dendrites])
        assert s.var() == pytest.approx(mine.var(), rel=0.35)  # 200 independent values each

    def test_loops_that_load_each_other(self):
        """Equilibrium: <s s'> = Gamma B^-1, whatever the resistors."""
        with se.Network(device=se.Device(temperature=0.0)) as net:
            se.Dendrite("top", beta_over_2pi=100.0, tau=20.0, collection_inductance="60 pH", collection_mutual="6.5 pH")
            for k, tau in (("a", 10.0), ("b", 30.0)):
                se.Dendrite(k, beta_over_2pi=50.0, tau=tau)
                se.Coupling(k, "top", J=0.5)
        rec = se.simulate(net, current_noise(net, 60_000.0, 5, temperature=4.2), 60_000.0, record=("currents",))
        times = np.linspace(0.0, 60_000.0, 60_001)
        s = np.array([rec.current(name, times) for name in rec.plan.loop_ids])
        a = rec.plan.arrays
        B = np.diag(a.beta)
        for k in range(3):
            for e in range(a.load_start[k], a.load_start[k + 1]):
                B[k, a.load_loop[e]] += a.load_B[e]
        expected = net.device.gamma_thermal(4.2) * np.linalg.inv(B)
        found = s @ s.T / s.shape[1]
        assert abs(expected[0, 1]) > 0.02 * expected[0, 0]
        assert np.abs(found - expected).max() < 0.06 * expected.max()

    def test_nobody_changes_anothers_noise(self):
        few = current_noise(loops(2), 50.0, 9, temperature=4.2)
        many = current_noise(loops(5), 100.0, 9, temperature=4.2)
        for one, other in zip(few.drives, many.drives, strict=False):
            assert one.target == other.target and one.quanta == other.quanta[: len(one.quanta)]
        assert current_noise(loops(2), 50.0, 8, temperature=4.2).drives[0].quanta != few.drives[0].quanta


class TestFluxNoise:
    def test_rms_and_correlation(self):
        net = loops(60)
        stimulus = flux_noise(net, 500.0, 3, density=2e-7, correlation=2.0)
        times = np.linspace(0.0, 500.0, 10_001)
        phi = np.array([drive.flux(times) for drive in stimulus.drives])
        assert phi.std() == pytest.approx(2e-7 / (2.0 * math.sqrt(2e-9)), rel=0.03)
        assert (phi[:, 40:] * phi[:, :-40]).mean() / phi.var() == pytest.approx(math.exp(-1.0), abs=0.05)

    def test_it_reaches_the_squid_and_nothing_else(self):
        net = loops(1)
        stimulus = flux_noise(net, 50.0, 3)
        rec = se.simulate(net, stimulus, 50.0, record=("currents",))
        times = np.linspace(0.0, 50.0, 501)
        assert np.abs(rec.flux("d00", times) - stimulus.drives[0].flux(times)).max() < 1e-12
        assert np.abs(rec.current("d00", times, ramp=False)).max() < 1e-6  # its phase at rest leaks a little


class TestQuanta:
    @RESOLUTIONS
    @given(
        st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(-3.0, 3.0)), min_size=1, max_size=5), st.floats(-0.5, 0.5)
    )
    @settings(max_examples=20)
    def test_currents_jump_decay_and_couple(self, resolution, rows, J):
        """Below threshold: the sum of n 2 pi/beta e^(-t/tau), and J times that as flux in what the loop couples to."""
        with se.Network() as net:
            se.Dendrite("a", ib=1.2, beta_over_2pi=100.0, tau=20.0)
            se.Dendrite("b", ib=1.2, beta_over_2pi=100.0, tau=20.0)
            se.Coupling("a", "b", J=J)
        rec = se.simulate(
            net, se.Stimulus(drives=[se.Drive("a", quanta=rows)]), 40.0, resolution=resolution, record=("currents",)
        )
        a = rec.plan.arrays
        fs = [round(t * 1e6) for t, _ in rows]
        times = np.array(sorted({*fs, 40_000_000}))
        due = sum(
            n * a.quantum[0] * np.where(times >= t, np.exp(-(times - t) * 1e-6 / a.tau[0]), 0.0)
            for t, (_, n) in zip(fs, rows, strict=True)
        )
        assert np.abs(rec.current("a", times * 1e-6, ramp=False) - due).max() < 1e-12
        assert np.abs(rec.flux("b", times * 1e-6) - J * due).max() < 1e-12
        energy = rec.energy["loops"]["a"]
        scale = energy["stored"] + abs(energy["leak"]) + 1e-40
        assert energy["drawn"] < 1e-9 * scale and abs(energy["stored"] + energy["leak"]) < 1e-9 * scale

    def test_a_soma_fires_when_they_carry_it_over_its_threshold(self):
        for resolution in ("fluxon", "flow"):
            with se.Network() as net:
                se.Neuron(
                    "n",
                    soma=se.Soma(threshold=0.1, beta_over_2pi=100.0, ib=1.3),
                    refractory=se.Refractory(ib=1.8, J=-0.1),
                )
                se.Drive("n", quanta=[[5.0, 12.0], [20.0, -10.0]])
            rec = se.simulate(net, {}, 30.0, resolution=resolution, record=("spikes", "fluxons"))
            assert rec.spikes["n"].tolist() == pytest.approx([5.0], abs=1e-5)
            assert rec.fluxon_count["n.refractory"] > 0

    def test_a_negative_current_may_wake_a_loop(self):
        """A loop whose bias alone is too small makes fluxons when quanta are taken out of it."""
        with se.Network() as net:
            se.Dendrite("d", ib=1.9, beta_over_2pi=100.0, tau=20.0, phi_offset=0.05)
            se.Drive("d", quanta=[[5.0, -30.0]])
        for resolution in ("fluxon", "flow"):
            assert se.simulate(net, {}, 20.0, resolution=resolution).fluxon_count["d"] > 5
        assert circuit.simulate(net, duration=20.0, step=0.2).fluxon_count["d"] == pytest.approx(
            se.simulate(net, {}, 20.0).fluxon_count["d"], abs=1
        )

    def test_in_the_circuit_they_enter_as_in_the_engine(self):
        with se.Network() as net:
            se.Dendrite("d", ib=1.2, beta_over_2pi=100.0, tau=20.0)
            se.Drive("d", quanta=[[2.0, 5.0], [6.0, -3.0]])
        run = circuit.simulate(net, duration=10.0, step=0.1, sample=1.0)
        rec = se.simulate(net, {}, 10.0, record=("currents",))
        assert np.abs(run.current("d")[3:] - rec.current("d", run.times[3:])).max() < 3e-4

    def test_files(self, tmp_path):
        with se.Network() as net:
            se.Dendrite("d")
            se.Drive("d", quanta=[[2.0, 5.0], [1.0, -3.0]])
        net.save(tmp_path / "net.yaml")
        assert se.Network.load(tmp_path / "net.yaml").drives == net.drives


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: current_noise(loops(1), 10.0, 0), "current_noise.temperature: 0.0"),
        (lambda: current_noise(loops(1), -1.0, 0, temperature=4.2), "current_noise.duration: -1.0"),
        (lambda: current_noise(loops(1), 10.0, 0, temperature=4.2, loops=["e00"]), "did you mean 'd00'"),
        (lambda: current_noise(loops(1), 10.0, 0, temperature=4.2, loops="d00"), "one string"),
        (lambda: current_noise(loops(1), 10.0, 0, temperature=4.2, steps=1), "current_noise.steps: 1"),
        (lambda: current_noise(loops(1), 1e9, 0, temperature=4.2, steps=1000), "draws are more than"),
        (lambda: current_noise("net.yaml", 10.0, 0), "current_noise.network: str"),
        (lambda: flux_noise(loops(1), 10.0, 0, density=-1), "flux_noise.density: -1"),
        (lambda: flux_noise(loops(1), 10.0, 0, correlation=0.0), "flux_noise.correlation: 0.0"),
        (lambda: flux_noise(loops(1), 10.0, 0, points=0), "flux_noise.points: 0"),
        (lambda: flux_noise(loops(1), math.nan, 0), "flux_noise.duration: nan"),
        (
            lambda: se.Drive("d", quanta=[[1.0, 2.0]], points=[[0.0, 0.0]]),
            "give points, pulses or quanta, not points and quanta",
        ),
        (lambda: se.Drive("d", quanta=[[-1.0, 2.0]]), "quanta"),
    ],
)
def test_nonsense(call, says):
    with pytest.raises(se.InputError) as trouble:
        call()
    assert says in str(trouble.value)


def test_tiled_networks_refuse_quanta():
    with se.Network() as cell:
        se.Dendrite("d")
        se.Synapse("s", "d")
    tiled = se.TiledNetwork(cell, 3)
    with pytest.raises(se.InputError, match="not part of tiled networks"):
        se.simulate(tiled, se.Stimulus(drives=[se.Drive("d.0", quanta=[[1.0, 1.0]])]), 5.0)
