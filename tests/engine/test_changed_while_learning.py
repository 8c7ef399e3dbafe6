"""A run that learns is changed from outside: photons, parameters of rules, values of sites. Both engines, the same bits."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.engine.state import same
from soen_event.errors import InputError
from soen_event.learning import Rule, Storage

CASES = settings().max_examples


@dataclass(frozen=True)
class Pairs(Rule):
    """Potentiation at spikes, depression at photons; adds what a signal says."""

    lr: float = 0.02
    tau_plus: float = 20.0
    tau_minus: float = 30.0
    requires = frozenset({"pre", "post", "broadcast"})
    variables = {"x": "tau_plus", "y": "tau_minus"}
    signals = ("reward",)

    @staticmethod
    def on_detection(site, p):
        site.change -= p.lr * site.y
        site.x += 1.0

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * site.x
        site.y += 1.0

    @staticmethod
    def on_reward(site, p):
        site.change += p.lr * site.signal * site.x


@dataclass(frozen=True)
class AtCouplings(Rule):
    """A little with every spike."""

    lr: float = 0.01
    requires = frozenset({"post", "current"})

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * site.current


def network(n=3):
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(threshold=0.2, beta_over_2pi=100.0), refractory=se.Refractory())
        for k in range(n):
            se.Dendrite(f"d{k}", beta_over_2pi=300.0, tau=100.0)
            se.Synapse(f"s{k}", f"d{k}")
            se.Coupling(f"d{k}", "n", J=0.4)
    return net


NET = network()
LEARNING = [
    Pairs().on(synapses="*", storage=Storage(0.0, 1.5, levels=400, rounding="stochastic")),
    AtCouplings().on(couplings=["d0->n", "d1->n"], storage=Storage(0.0, 1.0)),
    AtCouplings().on(loops="d2", name="Offsets", storage=Storage(-0.2, 0.2, levels=64, rounding="nearest")),
]
PHOTONS = {"s0": [5.0, 30.0, 61.0, 95.0], "s1": [6.0, 31.0, 62.0, 99.0], "s2": [7.0, 60.0, 97.0]}


def started(engine="compiled", photons=PHOTONS, resolution="fluxon"):
    return se.Simulation(NET, photons, engine=engine, learning=LEARNING, seed=3, resolution=resolution)


def end(run, until=120.0):
    run.run(until)
    return run.state, run.recording()


def tables(rec):
    return {name: {k: v.tobytes() for k, v in rec.table(name).items()} for name in ("spikes", "writes")}


@settings(max_examples=min(CASES, 40))
@given(
    cuts=st.lists(st.floats(1.0, 110.0), min_size=1, max_size=3).map(sorted),
    rate=st.floats(-1.0, 2.0),
    tau=st.floats(1.0, 100.0),
    changed=st.sampled_from(["rate", "tau_plus", "lr", "ends", "all"]),
    resolution=st.sampled_from(["fluxon", "flow"]),
)
def test_parameters_change_in_place_as_in_an_engine_that_is_made_anew(
    tmp_path_factory, cuts, rate, tau, changed, resolution
):
    """set_rule, inject and signals in the compiled engine without a rebuild, in the reference engine, and over a checkpoint."""
    values = {"rate": rate, "tau_plus": tau, "lr": 0.03, "ends": 100.0}
    values = values if changed == "all" else {changed: values[changed]}
    one, two, three = (
        started(resolution=resolution),
        started("reference", resolution=resolution),
        started(resolution=resolution),
    )
    folder = tmp_path_factory.mktemp("cut")
    for k, cut in enumerate(cuts):
        for run in (one, two, three):
            run.run(cut)
            run.set_rule("Pairs", **values)
            run.inject("s1", cut + 0.5)
            run.inject_rows(np.array([run.plan.detector_index["s2"]]), np.array([round(cut * 1e6) + 700_000]))
            run.signal("reward", rate, at=cut + 0.6)
        three.checkpoint(folder / f"{k}.h5")
        three = se.Simulation.restore(folder / f"{k}.h5", learning=LEARNING)
    (state, rec), *others = [end(run) for run in (one, two, three)]
    for other, of_other in others:
        assert tables(rec) == tables(of_other)
        for name in ("loops", "sites", "site_fs", "rule_values", "detectors", "spikes", "out_J", "amplitude"):
            assert getattr(state, name).tobytes() == getattr(other, name).tobytes(), name
    assert rec.rule_changes == others[0][1].rule_changes == others[1][1].rule_changes


def test_a_rate_that_is_changed_leaves_traces_to_the_bit():
    """Only a time constant makes variables decay to the moment of the change: a learning rate is not heard by them."""
    runs = [started(), started()]
    for run in runs:
        run.run(70.0)
    runs[1].set_rule("Pairs", rate=0.5)
    runs[1].set_rule("Pairs", rate=1.0)
    (state, _), (other, _) = (end(run) for run in runs)
    assert same(state, other)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_photons_come_one_by_one_or_all_at_once(engine):
    whole, _ = end(started(engine))
    run = started(engine, None)
    for name, times in PHOTONS.items():
        for t in times[::-1]:
            run.inject(name, t)
    now, _ = end(run)
    assert same(whole, now)
    run = started(engine, None)
    rows = [run.plan.detector_index[name] for name in PHOTONS for _ in PHOTONS[name]]
    run.inject_rows(np.array(rows), np.array([round(t * 1e6) for times in PHOTONS.values() for t in times]))
    now, _ = end(run)
    assert same(whole, now)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_photons_are_withdrawn(engine):
    run = started(engine)
    run.run(50.0)
    assert run.withdraw() == 6 and run.withdraw() == 0
    early = {name: [t for t in times if t <= 50.0] for name, times in PHOTONS.items()}
    left, others = end(run)[0], end(started(engine, early))[0]
    for name in ("loops", "sites", "detectors", "spikes"):
        assert getattr(left, name).tobytes() == getattr(others, name).tobytes()


def test_bad_rows_are_refused():
    run = started()
    run.run(50.0)
    for rows, fs, what in (
        ([0], [10], "photons cannot arrive in the past"),
        ([99], [60_000_000], r"rows: go from 99 to 99; give 0 to 3"),
        ([0, 1], [60_000_000], r"give whole numbers, \(n,\) both"),
        ([0.5], [60_000_000], "give whole numbers"),
        ([0], [5 * 10**18], "beyond the clock"),
    ):
        with pytest.raises(InputError, match=what):
            run.inject_rows(np.array(rows), np.array(fs))
    run.inject_rows(np.zeros(0, dtype=int), np.zeros(0, dtype=int))


def test_sites_are_programmed_as_parts_are():
    """Weights and couplings of sites against set_weight and set_coupling: the same bits; values as the memory can hold them."""
    runs = []
    for which in range(3):
        run = started("reference" if which == 2 else "compiled")
        run.run(62.5)
        if which == 1:
            run.set_weight("s1", 200 * (1.5 / 399))
            run.set_coupling("d0", "n", 0.3)
        else:
            run.set_learnt({"s1": 0.7519, "d0->n": 0.3})
        runs.append(run)
    assert runs[0].site("s1")["weight"] == 200 * (1.5 / 399)
    states = [end(run)[0] for run in runs]
    for name in ("loops", "sites", "detectors", "spikes", "out_J"):
        assert getattr(states[0], name).tobytes() == getattr(states[2], name).tobytes()
        assert getattr(states[0], name).tobytes() == getattr(states[1], name).tobytes()
    rec = runs[0].finish()
    assert rec.learnt("s1", 62.5) == 200 * (1.5 / 399) and rec.learnt("d0->n", 62.5) == 0.3


def test_an_offset_is_programmed():
    run = started()
    run.set_learnt({"d2.phi_offset": 0.1})
    step = 0.4 / 63
    assert abs(run.learnt["d2.phi_offset"] - 0.1) <= step / 2
    value = run.learnt["d2.phi_offset"]
    net = NET.copy()
    net.replace("d2", phi_offset=value)
    other = se.Simulation(net, PHOTONS, learning=LEARNING, seed=3)
    # Of a chip that has rested with this offset for ever the phase is elsewhere by what moves spikes by a picosecond.
    assert np.allclose(end(run)[1].spikes["n"], end(other)[1].spikes["n"], rtol=0.0, atol=1e-3)
    with pytest.raises(InputError, match=r"no site 's9'.*did you mean"):
        run.set_learnt({"s9": 1.0})
    with pytest.raises(InputError, match="s1: nan is not a finite number"):
        run.set_learnt({"s1": np.nan})


def test_the_past_can_be_forgotten():
    whole, part = started(), started()
    end(whole)
    part.run(70.0)
    part.forget()
    state, rec = end(part)
    assert same(whole.state, state)
    all_of_it = whole.recording()
    for site in rec.site_ids:
        assert rec.learnt(site) == all_of_it.learnt(site)
        assert rec.learnt(site, 80.0) == all_of_it.learnt(site, 80.0)
        assert len(rec.writes[site][0]) == np.count_nonzero(all_of_it.writes[site][0] > 70.0)
    assert rec.spikes["n"].tolist() == [t for t in all_of_it.spikes["n"].tolist() if t > 70.0]
    run = se.Simulation(NET, PHOTONS, record="currents")
    with pytest.raises(InputError, match="records currents"):
        run.forget()


def test_memories_hold_levels_from_the_start():
    """A weight between two levels is the nearest one before anything is learnt, in the loop and not in the memory's books only."""
    coarse = Storage(0.0, 1.5, levels=3, rounding="nearest")  # 0, 0.75, 1.5
    run = se.Simulation(NET, PHOTONS, learning=Pairs(lr=0.0).on(synapses="*", storage=coarse))
    assert run.learnt == {"s0": 0.75, "s1": 0.75, "s2": 0.75} or run.learnt == {"s0": 1.5, "s1": 1.5, "s2": 1.5}
    net = NET.copy()
    for name, value in run.learnt.items():
        net.replace(name, weight=value)
    assert end(run)[1].spikes["n"].tolist() == end(se.Simulation(net, PHOTONS))[1].spikes["n"].tolist()


def test_the_recording_of_a_run_that_learns_finds_its_plan(tmp_path):
    """Also from a file, and after a bias was set."""
    run = se.Simulation(NET, PHOTONS, learning=LEARNING, record="currents")
    run.run(50.0)
    run.set_bias("d0", 1.75)
    _, rec = end(run)
    rec.save(tmp_path / "run.h5")
    loaded = se.Recording.load(tmp_path / "run.h5")
    t = np.linspace(0.0, 120.0, 50)
    assert loaded.current("n", t).tolist() == rec.current("n", t).tolist()
    run.checkpoint(tmp_path / "c.h5")
    assert same(
        se.Simulation.restore(tmp_path / "c.h5", learning=LEARNING).state._replace(cursor=run.state.cursor), run.state
    )
