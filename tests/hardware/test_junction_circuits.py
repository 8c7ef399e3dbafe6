"""The junction-level circuit against JoSIM, closed forms and statistics, and what it refuses."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from josim_trees import CASES, TREES, fluxons, tree

import soen_event as se
from hardware import circuit

DATA = Path(__file__).parent.parent / "data"
# Copied from the transients computed with JoSIM 2.7 at 0.05 ps for this project (circuit.md; cases d01 to d10).
SINGLE = np.load(DATA / "circuit_cases.npz", allow_pickle=False)


def chi2(reference, model):
    return float(((reference - model) ** 2).sum() / (reference**2).sum())


def device(case):
    return se.Device(Ic=case["Ic"], beta_c=case["beta_c"], c_per_Ic=case["c_per_Ic"])


@pytest.mark.parametrize("name", ["d01", "d05", "d08", "d10"])
def test_a_dendrite_as_in_josim(name):
    case = next(c for c in json.loads(str(SINGLE["cases"])) if c["id"].startswith(name))
    with se.Network(device=device(case)) as net:
        se.Dendrite("d", ib=case["ib"], beta_over_2pi=case["beta"] / (2 * math.pi), tau=case["tau"])
        if case["pulses"]:
            se.Drive("d", pulses=[se.Pulse(*p) for p in case["pulses"]])
        if case["phi_const"]:
            se.Drive("d", points=[(0.0, 0.0), (case["ramp"], case["phi_const"])])
    end = min(case["tstop"], 60.0)
    run = circuit.simulate(net, duration=end, step=0.1, sample=0.05)
    t, s, fluxons = (SINGLE[f"{case['id']}/{k}"] for k in ("t_ns", "s", "fluxon_t_ns_0"))
    fluxons = fluxons[fluxons < end]
    late = (t > case["ramp"] + 0.5) & (t < end)
    assert len(run.fluxons["d"]) == len(fluxons)
    assert np.abs(run.fluxons["d"] - fluxons).max() < 0.002
    # Linear interpolation between samples that are 0.05 ns apart counts too, where a quantum is large.
    assert chi2(s[late].astype(float), run.current("d", t[late])) < 2e-6


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_tree_as_in_josim(case):
    """Two dendrites through a collection loop into a third: fluxon times, which need the SQUID's back-action too."""
    end = 110.0
    run = circuit.simulate(tree(case), duration=end, step=0.1, sample=0.1)
    t, s = TREES[f"{case['id']}/t_ns"], TREES[f"{case['id']}/s"]
    some = (t > 1.5) & (t < end)
    for k in range(3):
        theirs, mine = fluxons(case, k, end - 0.05), run.fluxons[f"d{k}"]
        assert np.abs(mine[: len(theirs)] - theirs).max() < 0.006
        assert abs(len(mine) - len(theirs)) <= 5  # those of the last 0.05 ns
        assert chi2(s[some, k].astype(float), run.current(f"d{k}", t[some])) < 2e-7


# physics.md 3.2: (ib, beta/2pi, fluxons of one photon, peak s).
@pytest.mark.parametrize(
    ("ib", "beta", "count", "peak"), [(1.4, 1e2, 27, 0.269), (1.6, 1e3, 317, 0.311), (1.8, 1e2, 66, 0.656)]
)
def test_one_photon(ib, beta, count, peak):
    with se.Network() as net:
        se.Dendrite("d", ib=ib, beta_over_2pi=beta)
        se.Synapse("s", "d")
    run = circuit.simulate(net, {"s": [1.0]}, 12.0, step=0.1)
    assert run.fluxon_count["d"] == count
    assert run.current("d").max() == pytest.approx(peak, rel=0.003)
    assert run.detections["s"].tolist() == [1.0]


# physics.md 2.5: thresholds for both signs of the flux at nominal biases 1.500, 1.807, 2.113 and 2.497, and largest currents at 2.0.
@pytest.mark.parametrize(
    ("ib", "plus", "minus"),
    [
        (1.5, 0.37, -0.59),
        (1.5 + 4 * 1.15 / 15, 0.29, -0.46),
        (1.5 + 8 * 1.15 / 15, 0.20, -0.33),
        (1.5 + 13 * 1.15 / 15, 0.08, -0.15),
    ],
)
def test_rtti_thresholds(ib, plus, minus):
    for flux, fires in ((plus - 0.015, False), (plus + 0.015, True), (minus + 0.015, False), (minus - 0.02, True)):
        with se.Network() as net:
            se.Dendrite("d", kind="rtti", ib=ib, beta_over_2pi=100.0, tau=1e6)
            se.Drive("d", points=[(0.0, 0.0), (2.0, flux)], arm="both")
        run = circuit.simulate(net, duration=6.0, step=0.1, sample=1.0)
        assert (run.fluxon_count["d"] > 0) == fires, flux


@pytest.mark.parametrize(("flux", "largest"), [(0.25, 0.576), (0.35, 1.296), (0.483, 1.141)])
def test_rtti_saturation(flux, largest):
    with se.Network() as net:
        se.Dendrite("d", kind="rtti", ib=2.0, beta_over_2pi=100.0, tau=1e6)
        se.Drive("d", points=[(0.0, 0.0), (1.0, flux)], arm="both")
    run = circuit.simulate(net, duration=30.0, step=0.1, sample=0.5)
    assert run.current("d")[-1] == pytest.approx(largest, abs=0.02)


@pytest.mark.parametrize("arm", ["first", "both"])
def test_flux_that_jumps(arm):
    """A jump of flux in one arm leaves the loop with the same current as a steep ramp, 2 pi beta_1/(beta_1 + beta_2) phi/beta_eff."""
    currents = []
    for rise in (0.0, 0.01):
        with se.Network() as net:
            se.Dendrite("d", ib=1.7, beta_over_2pi=300.0, tau=1e6)
            se.Drive("d", points=[(0.0, 0.0), (1.0, 0.0), (1.0 + rise, 0.1)], arm=arm)
        run = circuit.simulate(net, duration=2.0, step=0.05)
        currents.append(float(run.current("d", 1.9)))
    assert currents[0] == pytest.approx(currents[1], abs=1e-8)
    if arm == "first":
        assert currents[0] == pytest.approx(math.pi * 0.1 / (2.0 * math.pi * 300.25), rel=0.1)


class TestNeuron:
    def net(self, after="keep", **more):
        soma = se.Soma(ib=1.7, beta_over_2pi=300.0, tau=60.0, threshold=0.1, after_spike=after, t_ref=10.0, **more)
        with se.Network() as net:
            se.Synapse("s", "d")
            se.Dendrite("d", ib=1.8, beta_over_2pi=1000.0, tau=100.0)
            se.Coupling("d", "n", J=0.8)
            se.Neuron(
                "n", soma=soma, refractory=se.Refractory(beta_over_2pi=300.0, J=-0.7), transmitter=se.Transmitter()
            )
            se.Synapse("far", "e")
            se.Dendrite("e", beta_over_2pi=300.0)
            se.Waveguide("n", "far", delay=1.0)
        return net

    @pytest.mark.parametrize("after", ["keep", "purge"])
    def test_spikes_travel_as_in_the_engine(self, after):
        net, photons = self.net(after), {"s": [2.0, 40.0]}
        run = circuit.simulate(net, photons, 80.0, step=0.1, sample=0.1)
        rec = se.simulate(net, photons, 80.0)
        assert len(run.spikes["n"]) == len(rec.spikes["n"]) > 0
        assert run.spikes["n"] == pytest.approx(rec.spikes["n"], abs=0.1)
        latency = net.neurons["n"].transmitter.latency
        assert run.detections["far"] == pytest.approx(run.spikes["n"] + latency + 1.0, abs=2e-6)
        assert run.detections["n.refractory.synapse"] == pytest.approx(run.spikes["n"], abs=2e-4)
        if after == "purge":
            held = run.spikes["n"][0] + np.array([0.2, 5.0, 9.0])
            assert (run.current("n", held) == 0.0).all()

    def test_loading_moves_spikes_as_in_the_engine(self):
        """Without loading in the engine, spikes are off by more (circuit.md 7: 0.7 to 5 ns); with it 0.1 ns."""
        coils = {"collection_inductance": "60 pH", "collection_mutual": "6.5 pH"}
        net, photons = self.net(**coils), {"s": [2.0, 40.0, 85.0]}
        run = circuit.simulate(net, photons, 130.0, step=0.1, sample=0.1)
        rec = se.simulate(net, photons, 130.0)
        assert len(rec.spikes["n"]) == len(run.spikes["n"]) > 1
        assert rec.spikes["n"] == pytest.approx(run.spikes["n"], abs=0.1)


class TestNoise:
    def test_variance_of_a_loops_current(self):
        """Johnson noise of the loop's resistor: <s^2> = kT/(L_eff I_c^2) = Gamma/beta_eff (physics.md 6)."""
        count = 60
        with se.Network() as net:
            for k in range(count):
                se.Dendrite(f"d{k:02}", ib=1.0, beta_over_2pi=100.0, tau=0.5)
        run = circuit.simulate(net, duration=60.0, step=0.2, temperature=4.2, sample=0.25)
        values = np.array([run.current(f"d{k:02}")[16:] for k in range(count)])
        # What the SQUID's own noise adds is short-lived and small: sqrt of 1 % of kT/L.
        expected = net.device.gamma_thermal(4.2) / float(run.plan.arrays.beta[0])
        independent = values.size * 0.25 / (2 * 0.5 + 0.25)
        assert values.var() == pytest.approx(expected, rel=4.0 * math.sqrt(2.0 / independent) + 0.02)

    def test_heat_makes_fluxons_below_threshold(self):
        """circuit.md 6, case N3: at a flux of 0.21, below the threshold of 0.219, heat makes fluxons; cold there are none."""
        with se.Network(device=se.Device(beta_c=0.95, c_per_Ic=5e-9)) as net:
            for k in range(20):
                se.Dendrite(f"d{k:02}", ib=1.7, beta_over_2pi=1e4, tau=1000.0)
                se.Drive(f"d{k:02}", points=[(0.0, 0.0), (1.0, 0.21)])
        cold = circuit.simulate(net, duration=6.0, step=0.2, sample=1.0)
        warm = circuit.simulate(net, duration=6.0, step=0.2, sample=1.0, temperature=4.2)
        counts = [warm.fluxon_count[name] for name in warm.plan.loop_ids]
        assert not any(cold.fluxon_count.values())
        # r(.21) = .029 (circuit.md 6): 3.5 fluxons per ns, 5 ns of it, 20 loops; Poisson-like
        rate = 0.029 / (2 * math.pi * net.device.tau_0_ns)
        assert sum(counts) == pytest.approx(rate * 5.0 * 20, rel=0.2)

    def test_draws_have_addresses(self):
        with se.Network() as net:
            se.Dendrite("d", ib=1.7, beta_over_2pi=100.0)
        more = net.copy()
        more.add(se.Dendrite("another", ib=1.7, beta_over_2pi=100.0))
        one, two, other = (
            circuit.simulate(x, duration=0.5, temperature=4.2, seed=seed).current("d")
            for x, seed in ((net, 1), (more, 1), (net, 2))
        )
        assert (one == two).all()
        assert (one != other).any()


class TestReading:
    def test_splitting_events_do_not_matter(self):
        """Photons elsewhere cut steps; what they do to an independent loop stays within the error of the integration."""
        with se.Network() as net:
            for name in "ab":
                se.Dendrite(name, beta_over_2pi=100.0)
                se.Synapse(f"s{name}", name)
        alone = circuit.simulate(net, {"sa": [1.0]}, 5.0)
        both = circuit.simulate(net, {"sa": [1.0], "sb": [0.50003, 1.20007]}, 5.0)
        assert len(alone.fluxons["a"]) == len(both.fluxons["a"])
        assert alone.fluxons["a"] == pytest.approx(both.fluxons["a"], abs=3e-5)

    def test_samples_and_ids(self):
        with se.Network() as net:
            se.Neuron("n")
            se.Dendrite("d")
            se.Synapse("s", "d", weight=0.5)
        run = circuit.simulate(net, {"s": [0.1]}, 1.0, record=["d", "n"], sample=0.1)
        assert run.times == pytest.approx(np.arange(11) * 0.1)
        assert (run.current("n") == run.current("n.soma")).all()
        assert run.flux("d", 0.9) == pytest.approx(0.5 * 0.47 * math.exp(-0.74 / 50.0), rel=0.02)
        assert "CircuitRun" in repr(run)
        with pytest.raises(se.InputError, match="no loop 'x'"):
            run.current("x")
        with pytest.raises(se.InputError, match="outside the run"):
            run.current("d", 2.0)
        with pytest.raises(se.InputError, match="was not recorded"):
            circuit.simulate(net, {}, 1.0, record=["d"]).current("n")

    def test_many_events_pass_through_the_log(self, monkeypatch):
        monkeypatch.setattr(circuit, "_ROWS", 40)
        with se.Network() as net:
            se.Dendrite("d", beta_over_2pi=1000.0)
            se.Synapse("s", "d")
        run = circuit.simulate(net, {"s": [0.5]}, 12.0, step=0.2)
        assert run.fluxon_count["d"] == len(run.fluxons["d"]) == 479


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"duration": None}, "duration"),
        ({"duration": -1.0}, "duration"),
        ({"duration": math.nan}, "duration"),
        ({"duration": 1.0, "step": 0.0}, "step"),
        ({"duration": 1.0, "step": "fast"}, "step"),
        ({"duration": 1.0, "temperature": -4.2}, "temperature"),
        ({"duration": 1.0, "sample": 0.0}, "sample"),
        ({"duration": 1.0, "record": ["x"]}, "no loop 'x'"),
        ({"duration": 1.0, "seed": -1}, "seed"),
        ({"duration": 1e9, "sample": 1e-3}, "longer time between samples"),
        ({"duration": 1.0, "photons": {"t": [1.0]}}, "t"),
    ],
)
def test_nonsense(how, message):
    with se.Network() as net:
        se.Dendrite("d")
        se.Synapse("s", "d")
    with pytest.raises(se.InputError, match=message):
        circuit.simulate(net, **how)
    with pytest.raises(se.InputError, match="not a Network"):
        circuit.simulate(42, duration=1.0)
