"""Flow resolution: the continuous equation to a tolerance, and everything else as exact as with fluxons."""

import json

import numpy as np
import pytest
from equation import solve
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

import soen_event as se
from soen_event.engine.jit import compiled
from soen_event.physics import flow
from soen_event.physics.flow import turned
from soen_event.plan import lower

FAST = compiled(flow)
CASES = max(settings().max_examples // 2, 25)


def any_dendrite(name, rng, ib, decades, offset):
    """A dendrite drawn evenly: bias and offset between bounds, ``tau`` between powers of ten."""
    return se.Dendrite(
        name,
        ib=rng.uniform(*ib),
        beta_over_2pi=10 ** rng.uniform(2.0, 4.0),
        tau=10 ** rng.uniform(*decades),
        phi_offset=rng.uniform(*offset),
    )


def case(seed):
    """A tree of one to three levels, of any biases, inductances and time constants, with photons on its leaves."""
    rng = np.random.default_rng(seed)
    net, photons, level = se.Network(), {}, ["r"]

    def dendrite(name):
        net.add(any_dendrite(name, rng, (1.4, 1.95), (1.0, 3.0), (-0.1, 0.15)))

    dendrite("r")
    for _ in range(rng.integers(0, 3)):
        below = []
        for parent in level:
            for k in range(rng.integers(1, 3)):
                dendrite(f"{parent}{k}")
                net.add(se.Coupling(f"{parent}{k}", parent, J=rng.uniform(-0.5, 0.8)))
                below.append(f"{parent}{k}")
        level = below
    for name in level:
        net.add(se.Synapse(f"s{name}", name, weight=rng.uniform(0.4, 1.0), tau_fall=10 ** rng.uniform(0.7, 2.3)))
        photons[f"s{name}"] = np.sort(rng.uniform(0.0, 60.0, rng.integers(1, 6))).round(3).tolist()
    return net, photons, np.sort(rng.uniform(0.5, 90.0, 50))


def assert_within_tolerance(seed):
    net, photons, times = case(seed)
    truth, ids = solve(net, photons, 90.0, times)
    for tol in (1e-3, 1e-4, 1e-5):
        rec = se.simulate(net, photons, 90.0, resolution="flow", tol=tol, record="currents")
        for d, name in enumerate(ids):
            error = np.abs(rec.current(name, times) - truth[:, d]).max()
            assert error <= tol, f"seed {seed}, {name}: error {error:.2e} above tol {tol:.0e}"


@settings(max_examples=CASES)
@given(st.integers(0, 2**32))
def test_the_error_is_never_above_the_tolerance(seed):
    assert_within_tolerance(seed)


@pytest.mark.long
@settings(max_examples=1000)
@given(st.integers(0, 2**32))
def test_the_error_is_never_above_the_tolerance_in_a_thousand_cases(seed):
    assert_within_tolerance(seed)


def circle(seed):
    """One to three dendrites that couple in a circle, one of them to itself too perhaps, with photons on the first."""
    rng = np.random.default_rng(seed)
    net, names = se.Network(), ["a", "b", "c"][: rng.integers(1, 4)]
    for name in names:
        net.add(any_dendrite(name, rng, (1.5, 1.9), (1.0, 2.5), (-0.1, 0.3)))
    for name, other in zip(names, [*names[1:], names[0]], strict=True):
        net.add(se.Coupling(name, other, J=rng.uniform(-0.3, 0.3)))
    if len(names) > 1 and rng.random() < 0.5:
        net.add(se.Coupling("b", "b", J=rng.uniform(-0.3, 0.3)))
    net.add(se.Synapse("s", "a", tau_fall=10 ** rng.uniform(0.7, 2.0)))
    return net, {"s": np.sort(rng.uniform(0.0, 60.0, rng.integers(1, 5))).round(3).tolist()}


@settings(max_examples=CASES // 2)
@given(st.integers(0, 2**32))
def test_circles_of_couplings(seed):
    """Nothing is promised there, but moderate circles keep to the tolerance, and do not stall."""
    net, photons = circle(seed)
    times = np.linspace(0.5, 90.0, 60)
    truth, ids = solve(net, photons, 90.0, times)
    for tol in (1e-3, 1e-5):
        sim = se.Simulation(net, photons, resolution="flow", tol=tol, record="currents")
        assert sim.run(90.0, events=20_000) == "done", f"seed {seed}: stalls at {sim.now} ns"
        rec = sim.recording()
        error = max(np.abs(rec.current(name, times) - truth[:, d]).max() for d, name in enumerate(ids))
        assert error <= tol, f"seed {seed}: error {error:.2e} above tol {tol:.0e}"


def neuron(**soma):
    with se.Network() as net:
        se.Dendrite("d", ib=1.8, beta_over_2pi=1000.0, tau=250.0)
        se.Synapse("s", "d")
        se.Neuron(
            "n",
            soma=se.Soma(**{"threshold": 0.2, "beta_over_2pi": 1000.0, "tau": 100.0, **soma}),
            refractory=se.Refractory(beta_over_2pi=1000.0),
            transmitter=se.Transmitter(),
        )
        se.Coupling("d", "n", J=0.6)
        se.Synapse("back", "d")
        se.Waveguide("n", "back", delay=1.0)
    return net


PHOTONS = {"s": [10.0, 60.0, 100.0]}


def test_spikes_are_at_the_threshold():
    """At a spike the current is the threshold, to the clock; and the time errs by no more than tol over the current's slope."""
    best = se.simulate(neuron(), PHOTONS, 60.0, resolution="flow", tol=1e-8, record=("spikes", "currents"))
    for tol in (1e-2, 1e-3, 1e-4):
        rec = se.simulate(neuron(), PHOTONS, 60.0, resolution="flow", tol=tol, record=("spikes", "currents"))
        assert len(rec.spikes["n"]) == len(best.spikes["n"]) == 2
        for found, true in zip(rec.spikes["n"], best.spikes["n"], strict=True):
            assert rec.current("n", found - 1e-6) == pytest.approx(0.2, abs=1e-6)
            slope = (best.current("n", true - 1e-6) - best.current("n", true - 0.01)) / 0.01
            assert abs(found - true) <= tol / slope + 2e-6


@pytest.mark.parametrize("after", ["keep", "purge"])
def test_a_spike_for_every_upward_crossing(after):
    """A soma under a steady drive that is switched: it spikes when it crosses, and with "purge" again and again."""
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(threshold=0.2, beta_over_2pi=1000.0, tau=20.0, after_spike=after, t_ref=5.0))
    drive = se.Drive("n", points=[(0.0, 0.0), (1.0, 0.4), (60.0, 0.4), (61.0, 0.0), (200.0, 0.0), (201.0, 0.4)])
    rec = se.simulate(
        net, se.Stimulus(drives=[drive]), 260.0, resolution="flow", tol=1e-6, record=("spikes", "currents")
    )
    spikes = rec.spikes["n"]
    t = np.linspace(0.0, 260.0, 260_001)
    s = rec.current("n", t)
    up = t[1:][(s[:-1] < 0.2) & (s[1:] >= 0.2)]
    if after == "keep":
        assert len(spikes) == 2 and np.abs(spikes - up).max() < 2e-3
    else:
        assert len(spikes) > 6
        for spike in spikes:
            assert rec.current("n", spike) == 0.0 and rec.current("n", min(spike + 4.9, 260.0)) == 0.0
            assert rec.current("n", spike - 1e-6) == pytest.approx(0.2, abs=1e-5)
        assert np.diff(spikes).min() > 5.0


def test_fluxons_are_the_turns_of_the_phase():
    """Counts and times follow from s: beta (ds + s dt/tau) = 2 pi per fluxon, from half a turn at rest (circuit.md 4)."""
    net = neuron(after_spike="keep")
    rec = se.simulate(net, PHOTONS, 180.0, resolution="flow", tol=1e-6, record=("fluxons", "currents"))
    fine = se.simulate(net, PHOTONS, 180.0)
    a = rec.plan.arrays
    for name in ("d", "n", "n.refractory"):
        d = rec.plan.loop_index[name]
        times = rec.fluxons[name]
        assert len(times) == rec.fluxon_count[name] and (np.diff(times) > 0.0).all()
        charge = quad(lambda t, name=name: rec.current(name, t), 0.0, 180.0, limit=2000, epsabs=1e-6)[0] / a.tau[d]
        turns = a.beta[d] * (rec.current(name, 180.0) + charge) / (2 * np.pi)
        assert abs(turns - rec.fluxon_count[name]) <= 6.0  # half a turn at every sleep
        assert abs(rec.fluxon_count[name] - fine.fluxon_count[name]) <= 0.01 * fine.fluxon_count[name] + 2
    assert rec.event_counts["fluxons"] == sum(rec.fluxon_count.values())
    first = fine.fluxons["d"][:400]
    assert np.abs(rec.fluxons["d"][:400] - first).max() < 0.02


def test_the_energy_is_conserved():
    rec = se.simulate(neuron(after_spike="purge"), PHOTONS, 180.0, resolution="flow", record="currents")
    for one in [rec.energy["total"], *rec.energy["loops"].values()]:
        spent = one["stored"] + one["junctions"] + one["leak"] + one["purge"]
        assert one["drawn"] == pytest.approx(spent, rel=0.03, abs=1e-18)
    loose = rec.energy["total"]
    fine = se.simulate(neuron(after_spike="purge"), PHOTONS, 180.0).energy["total"]
    assert loose["drawn"] == pytest.approx(fine["drawn"], rel=0.01)
    assert loose["leak"] == pytest.approx(fine["leak"], rel=0.02)


def tables(rec):
    return {name: {k: v.tobytes() for k, v in rec.table(name).items()} for name in ("spikes", "photons", "trace")}


RESOLUTIONS = pytest.mark.parametrize("resolution", ["flow", "auto"])


@RESOLUTIONS
@given(cuts=st.lists(st.floats(0.0, 150.0), max_size=5).map(sorted), budget=st.integers(1, 60))
@settings(max_examples=15)
def test_any_way_of_splitting_a_run_is_the_same_run(resolution, cuts, budget):
    how = {"resolution": resolution, "record": ("spikes", "photons", "currents")}
    whole = se.simulate(neuron(), PHOTONS, 150.0, **how)
    run = se.Simulation(neuron(), PHOTONS, **how)
    for cut in cuts:
        run.run(cut, events=budget)
        run.run(cut)
    run.run(150.0)
    rec = run.finish()
    assert tables(rec) == tables(whole)
    assert rec.event_counts == whole.event_counts
    assert list(rec.fluxon_count.values()) == list(whole.fluxon_count.values())


@RESOLUTIONS
def test_a_checkpoint_goes_on_bit_for_bit(tmp_path, resolution):
    how = {"resolution": resolution, "tol": 1e-5, "record": ("spikes", "photons", "currents")}
    whole = se.simulate(neuron(), PHOTONS, 150.0, **how)
    for events in range(0, 300, 37):
        run = se.Simulation(neuron(), PHOTONS, **how)
        run.run(150.0, events=events)
        run.checkpoint(tmp_path / f"{events}.h5")
        on = se.Simulation.restore(tmp_path / f"{events}.h5", engine="reference" if events % 2 else None, threads=2)
        on.run(150.0)
        assert tables(on.finish()) == tables(whole)


@RESOLUTIONS
def test_programming_during_a_run_is_the_same_in_both_engines(resolution):
    found = []
    for engine in ("compiled", "reference"):
        run = se.Simulation(
            neuron(), PHOTONS, engine=engine, resolution=resolution, record=("spikes", "currents", "photons")
        )
        run.run(15.0)
        run.set_coupling("d", "n", 0.8)
        run.run(20.0)
        run.set_weight("s", 0.7)
        run.inject("s", [30.0, 31.0])
        run.run(62.0)
        run.set_coupling("d", "n", 0.1)
        run.run(150.0)
        rec = run.finish()
        found.append((tables(rec), rec.event_counts))
    assert found[0] == found[1]


def test_programming_keeps_the_current_and_changes_the_flux():
    run = se.Simulation(neuron(), PHOTONS, resolution="flow", tol=1e-6, record="currents")
    run.run(15.0)
    run.set_coupling("d", "n", 0.3)
    run.run(20.0)
    rec = run.finish()
    before, after = 15.0 - 1e-6, 15.0
    assert rec.current("n", before) == pytest.approx(rec.current("n", after), abs=1e-6)
    assert rec.flux("n", before) == pytest.approx(0.6 * rec.current("d", 15.0), abs=1e-5)
    assert rec.flux("n", after) == pytest.approx(0.3 * rec.current("d", 15.0), abs=1e-5)


def test_flux_is_what_couples_in():
    rec = se.simulate(neuron(), PHOTONS, 150.0, resolution="flow", tol=1e-6, record="currents")
    t = np.linspace(0.0, 150.0, 700)
    J = rec.plan.arrays.out_J
    coupled = 0.6 * rec.current("d", t) + J[J < 0][0] * rec.current("n.refractory", t)
    assert np.abs(rec.flux("n", t) - coupled).max() < 3e-6


def test_threads_and_windows_change_no_bit():
    """A ring of neurons, run by any number of threads and one event at a time."""
    rng = np.random.default_rng(0)
    net = se.Network()
    for k in range(60):
        net.add(se.Neuron(f"n{k}", soma=se.Soma(threshold=0.1, beta_over_2pi=1000.0), transmitter=se.Transmitter()))
        net.add(se.Dendrite(f"d{k}", beta_over_2pi=1000.0))
        net.add(se.Coupling(f"d{k}", f"n{k}", J=0.6))
        for name in ("s", "r"):
            net.add(se.Synapse(f"{name}{k}", f"d{k}"))
    for k in range(60):
        net.add(se.Waveguide(f"n{k}", f"r{(k + 1) % 60}", delay=0.3, loss_db=1.0))
        net.add(se.Waveguide(f"n{k}", f"r{(k + 7) % 60}", delay=2.0))
    photons = {f"s{k}": np.sort(rng.uniform(0.0, 80.0, 3)) for k in range(60)}
    for resolution in ("fluxon", "flow"):
        found = []
        for threads, events in ((1, None), (2, None), (3, None), (1, 10**9)):
            run = se.Simulation(
                net, photons, resolution=resolution, threads=threads, seed=3, record=("spikes", "photons", "currents")
            )
            assert run.run(100.0, events=events) == "done"
            rec = run.finish()
            found.append((tables(rec), rec.event_counts, run.state.loops.tobytes()))
        assert len(found[0][0]["spikes"]["time_fs"]) > 8 * 60
        assert all(one == found[0] for one in found[1:])


def test_asleep_it_costs_nothing():
    """A photon's events do not grow with the time that follows it, nor with a tighter look at the end."""
    short = se.simulate(neuron(threshold=0.7), {"s": [1.0]}, 200.0, resolution="flow").event_counts["events"]
    long = se.simulate(neuron(threshold=0.7), {"s": [1.0]}, 2e6, resolution="flow").event_counts["events"]
    assert short == long < 80


def test_auto_lets_small_quanta_flow():
    with se.Network() as net:
        se.Dendrite("coarse", beta_over_2pi=100.0)
        se.Dendrite("fine", beta_over_2pi=1000.0)
        se.Coupling("coarse", "fine", J=0.5)
        se.Synapse("s", "coarse")
    plan = lower(net, (), "auto", 1e-4)
    assert dict(zip(plan.loop_ids, plan.arrays.flow.tolist(), strict=True)) == {"coarse": 0, "fine": 1}
    rec = se.simulate(net, {"s": [1.0]}, 30.0, resolution="auto")
    same = se.simulate(net, {"s": [1.0]}, 30.0)
    assert rec.fluxons["coarse"].tolist() == same.fluxons["coarse"].tolist()
    with pytest.raises(KeyError, match="not recorded"):
        rec.fluxons["fine"]
    assert abs(rec.fluxon_count["fine"] - same.fluxon_count["fine"]) <= 3


def test_a_recording_on_disk_reads_the_same(tmp_path):
    how = {"resolution": "flow", "record": ("spikes", "fluxons", "currents")}
    kept = se.simulate(neuron(), PHOTONS, 100.0, **how)
    rec = se.simulate(neuron(), PHOTONS, 100.0, out=tmp_path / "run.h5", **how)
    t = np.linspace(0.0, 100.0, 333)
    for name in ("d", "n"):
        assert rec.fluxons[name].tolist() == kept.fluxons[name].tolist()
        assert rec.current(name, t).tolist() == kept.current(name, t).tolist()
    assert json.loads(json.dumps(rec.provenance["resolution"])) == "flow" and rec.provenance["tol"] == 1e-4


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"resolution": "flux"}, "did you mean"),
        ({"resolution": None}, "choose one of fluxon, flow, auto"),
        ({"tol": 0.0}, "simulate.tol"),
        ({"tol": float("nan")}, "simulate.tol"),
        ({"tol": "1e-4"}, "simulate.tol"),
        ({"threads": 0}, "simulate.threads"),
        ({"threads": 1.5}, "simulate.threads"),
        ({"threads": True}, "simulate.threads"),
    ],
)
def test_nonsense(how, says):
    with pytest.raises(se.InputError, match=says):
        se.simulate(neuron(), PHOTONS, 10.0, **{"resolution": "flow", **how})


# ---------------------------------------------------------------------------------------------- kernels

COEFFICIENT = st.floats(-2.0, 2.0)


@given(COEFFICIENT, COEFFICIENT, COEFFICIENT, st.floats(0.0, 3.0), st.floats(0.01, 3.0), st.booleans())
@settings(max_examples=400)
def test_the_first_crossing_of_a_cubic(c1, c2, c3, away, span, rising):
    value = away + 1e-9 if rising else -away - 1e-9
    found = FAST.first_crossing(0.0, c1, c2, c3, value, int(rising), span)
    t = np.linspace(0.0, span, 40_001)
    s = t * (c1 + t * (c2 + t * c3))
    past = s >= value if rising else s <= value
    if past.any():
        first = t[np.argmax(past)]
        assert 0.0 < found <= first + 1e-6 and first - found < span / 40_000 + 1e-6
    elif found >= 0.0:  # it touches between two samples
        assert abs(found * (c1 + found * (c2 + found * c3)) - value) < 1e-5


@given(COEFFICIENT, COEFFICIENT, COEFFICIENT, COEFFICIENT, st.floats(0.0, 3.0))
def test_areas_of_a_cubic(c0, c1, c2, c3, t):
    def s(x):
        return FAST.cubic(c0, c1, c2, c3, x)

    assert FAST.cubic_area(c0, c1, c2, c3, t) == pytest.approx(quad(s, 0.0, t)[0], abs=1e-9)
    assert FAST.cubic_square_area(c0, c1, c2, c3, t) == pytest.approx(quad(lambda x: s(x) ** 2, 0.0, t)[0], abs=1e-8)
    grid = np.linspace(0.0, t, 200)
    assert np.abs(s(0.0) if t == 0 else [s(x) for x in grid]).max() <= FAST.largest(c0, c1, c2, c3, t) + 1e-12
    assert turned(c0, c1, c2, c3, 7.0, 3.0, t) == pytest.approx(
        7.0 * (s(t) - c0 + FAST.cubic_area(c0, c1, c2, c3, t) / 3.0)
    )
