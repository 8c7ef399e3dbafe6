"""Rules of learning in both engines: the same bits, whatever hears what, however the run is cut, from a checkpoint too."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.engine.state import same
from soen_event.errors import InputError
from soen_event.learning import Plasticity, Rule, Storage, lower_learning
from soen_event.physics.elementary import exp
from soen_event.testing import cases

CASES = settings().max_examples


def bell(x: float) -> float:
    """A helper that rules call, to see that plain functions are compiled with them."""
    return exp(-x * x)


@dataclass(frozen=True)
class Everything(Rule):
    """Hears and reads all that there is."""

    lr: float = 0.02
    tau_pre: float = 15.0
    tau_post: float = 40.0
    requires = frozenset({"pre", "post", "weight", "post current", "averages", "per-neuron"})
    variables = {"x": "tau_pre", "y": "tau_post", "count": None}
    signals = ("reward", "tick")

    @staticmethod
    def on_detection(site, p):
        site.change += p.lr * (bell(site.post_current) - site.y)
        site.x += 1.0

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * (site.x - 0.5 * site.weight)
        site.y += 1.0

    @staticmethod
    def on_reward(site, p):
        site.change += p.lr * site.signal * (site.x + site.y)

    @staticmethod
    def on_tick(site, p):
        site.change += p.lr * (0.2 - (site.current_area + site.flux_area) / (1.0 + site.now))


class WithFluxons(Everything):
    """Hears fluxons too, where they are events."""

    requires = Everything.requires | {"fluxons", "current"}

    @staticmethod
    def on_fluxon(site, p):
        site.count += 1.0
        if site.count >= 50.0:
            site.count = 0.0
            site.change += 0.1 * p.lr * site.current


@dataclass(frozen=True)
class Elsewhere(Rule):
    """For offsets and couplings; hears no photons."""

    lr: float = 0.01
    tau: float = 25.0
    requires = frozenset({"post", "current", "post current", "averages", "broadcast"})
    variables = {"y": "tau"}
    signals = ("reward", "tick")

    @staticmethod
    def on_spike(site, p):
        site.change -= p.lr * site.current
        site.y += 1.0

    @staticmethod
    def on_reward(site, p):
        site.change += p.lr * site.signal * site.post_current

    @staticmethod
    def on_tick(site, p):
        site.change += p.lr * (site.flux_area / (1.0 + site.now) - 0.1)


class WithParent(Elsewhere):
    """Sees the loop too that its own couples into, where there is one."""

    requires = Elsewhere.requires | {"parent average"}
    variables = {"y": "tau", "before": None}

    @staticmethod
    def on_tick(site, p):
        site.change += p.lr * (0.2 - (site.parent_area - site.before + site.flux_area) / (1.0 + site.now))
        site.before = site.parent_area


STORAGES = (
    Storage(),
    Storage(-1.0, 1.5, keep_sign=True),
    Storage(-1.5, 1.5, levels=64, rounding="nearest"),
    Storage(-1.5, 1.5, levels=401, rounding="stochastic"),
    Storage(-1.5, 1.5, levels=16, rounding="hidden"),
)


def learning_of(network, resolution, storage, norm):
    """Every synapse, every dendrite's offset and every coupling that can learn, learn."""
    plan = se.lower(network, (), resolution)
    a = plan.arrays
    everywhere = WithFluxons() if resolution == "fluxon" else Everything()
    own, _ = plan.own_synapses
    free = [
        name
        for c, name in enumerate(plan.coupling_ids)
        if plan.coupling_ids.index(name) == c
        and a.stiff[a.out_loop[c]] == 0.0
        and a.enter_start[(s := int(np.searchsorted(a.out_start, c, side="right") - 1))] == a.enter_start[s + 1]
    ]
    wanted = []
    if own:
        wanted.append(("synapses", own, everywhere))
    if network.dendrites:
        ids = sorted(network.dendrites)
        joined = [d for d in ids if len({c.target for c in network.couplings if c.source == d}) == 1]
        wanted.append(("loops", joined, WithParent()))
        wanted.append(("loops", [d for d in ids if d not in joined], Elsewhere()))
    if free:
        wanted.append(("couplings", free, Elsewhere()))
    out = []
    for kind, ids, rule in wanted:
        kept = []
        for name in ids:  # those that lead to exactly one neuron
            try:
                lower_learning(plan, rule.on(**{kind: [name]}))
            except InputError:
                continue
            kept.append(name)
        if kept:
            out.append(rule.on(**{kind: kept}, storage=storage, max_norm=norm, clip=0.2))
    return out


def outcome(run, until, cuts=()):
    for cut in cuts:
        run.run(cut)
    run.run(until)
    rec = run.finish()
    tables = {name: {k: v.tobytes() for k, v in rec.table(name).items()} for name in ("spikes", "writes")}
    return tables, run.state, rec


@settings(max_examples=CASES)
@given(
    case=cases(max_duration=12.0, max_neurons=2),
    seed=st.integers(0, 2**63 - 1),
    resolution=st.sampled_from(["fluxon", "flow"]),
    storage=st.sampled_from(STORAGES),
    norm=st.sampled_from([None, 0.8]),
    threads=st.sampled_from([1, 2]),
    data=st.data(),
)
def test_both_engines_learn_the_same_bits(case, seed, resolution, storage, norm, threads, data):
    network, photons, duration = case
    learning = learning_of(network, resolution, storage, norm)
    if not learning:
        return
    times = sorted(data.draw(st.lists(st.floats(0.0, duration), max_size=3)))
    signals = [(t, data.draw(st.sampled_from(["reward", "tick"])), data.draw(st.floats(-1.0, 1.0))) for t in times]
    how = {"resolution": resolution, "seed": seed, "learning": learning, "signals": signals}
    cut = data.draw(st.floats(0.0, duration))
    one = se.Simulation(network, photons, engine="reference", **how)
    two = se.Simulation(network, photons, threads=threads, **how)
    tables, state, _ = outcome(one, duration)
    other_tables, other_state, _ = outcome(two, duration, (cut,))
    assert tables == other_tables
    assert same(state, other_state)


@dataclass(frozen=True)
class PairRule(Rule):
    lr: float = 0.01
    tau_plus: float = 20.0
    tau_minus: float = 30.0
    requires = frozenset({"pre", "post"})
    variables = {"x": "tau_plus", "y": "tau_minus"}

    @staticmethod
    def on_detection(site, p):
        site.change -= p.lr * site.y
        site.x += 1.0

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * site.x
        site.y += 1.0


def neuron_with(n=4, seed=1, duration=400.0):
    with se.Network() as net:
        se.Neuron(
            "n",
            soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0),
            refractory=se.Refractory(),
            transmitter=se.Transmitter(),
        )
        for k in range(n):
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=300.0, tau=100.0)
            se.Synapse(f"s{k}", f"d{k}")
            se.Coupling(f"d{k}", "n", J=0.4)
    rng = np.random.default_rng(seed)
    return net, {f"s{k}": np.sort(rng.uniform(0, duration, 8)).tolist() for k in range(n)}


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_a_checkpoint_in_the_middle_of_learning_goes_on_to_the_same_bits(tmp_path, engine):
    net, photons = neuron_with()
    learning = PairRule().on(synapses="*", storage=Storage(0.0, 1.5, levels=400, rounding="stochastic"))
    whole = outcome(se.Simulation(net, photons, engine=engine, learning=learning), 400.0)
    half = se.Simulation(net, photons, engine=engine, learning=learning)
    half.run(150.0)
    half.checkpoint(tmp_path / "half.h5")
    other = "reference" if engine == "compiled" else "compiled"
    rest = se.Simulation.restore(tmp_path / "half.h5", learning=learning, engine=other)
    found = outcome(rest, 400.0)
    assert found[0] == whole[0]
    for name in ("loops", "sites", "site_fs", "rule_values", "detectors", "spikes"):
        assert getattr(found[1], name).tobytes() == getattr(whole[1], name).tobytes()
    with pytest.raises(InputError, match="learnt with rules that are not those given"):
        se.Simulation.restore(tmp_path / "half.h5")
    with pytest.raises(InputError, match="learnt with rules that are not those given"):
        se.Simulation.restore(tmp_path / "half.h5", learning=PairRule(lr=0.02).on(synapses="*"))


def recurrent(n, seed=0):
    """Neurons with trees, coupled by light, every synapse of which can learn."""
    rng = np.random.default_rng(seed)
    net = se.Network()
    for k in range(n):
        soma = se.Soma(threshold=0.15, beta_over_2pi=100.0)
        net.add(se.Neuron(f"n{k}", soma=soma, refractory=se.Refractory(), transmitter=se.Transmitter()))
        for j in range(3):
            net.add(se.Dendrite(f"d{k}_{j}", beta_over_2pi=100.0, tau=100.0))
            net.add(se.Coupling(f"d{k}_{j}", f"n{k}", J=0.3))
            net.add(se.Synapse(f"s{k}_{j}", f"d{k}_{j}"))
    for k in range(n):
        for target in rng.choice(n, size=2, replace=False).tolist():
            net.add(se.Synapse(f"r{k}_{target}", f"d{target}_0"))
            net.add(se.Waveguide(f"n{k}", f"r{k}_{target}", delay=1.0))
    photons = {f"s{k}_{j}": np.sort(rng.uniform(0.0, 80.0, 2)).tolist() for k in range(n) for j in range(3)}
    return net, photons


@pytest.mark.parametrize("rule", [PairRule(), WithFluxons()], ids=["pairs", "all that there is"])
def test_weights_are_the_same_after_ten_thousand_events_with_plasticity_everywhere(rule):
    net, photons = recurrent(24)
    learning = rule.on(synapses="*", storage=Storage(0.0, 1.5, levels=401, rounding="stochastic"))
    how = {"learning": learning, "seed": 5}
    found = []
    for engine, threads in (("reference", 1), ("compiled", 1), ("compiled", 2)):
        run = se.Simulation(net, photons, engine=engine, threads=threads, **how)
        run.run(90.0)
        found.append((run.learnt, run.state.sites.tobytes(), run.finish().event_counts))
    assert found[0] == found[1] == found[2]
    learnt, _, counts = found[0]
    assert counts["events"] > 10_000 and counts["spikes"] > 20
    assert sum(value != 1.0 for value in learnt.values()) > 0.5 * len(learnt)


def test_what_was_written_is_recorded(tmp_path):
    net, photons = neuron_with()
    learning = PairRule().on(synapses="*")
    run = se.Simulation(net, photons, learning=learning, out=tmp_path / "run.h5")
    run.run(400.0)
    learnt = run.learnt
    rec = run.finish()
    assert rec.site_ids == tuple(learnt) == ("s0", "s1", "s2", "s3")
    for site, value in learnt.items():
        times, values = rec.writes[site]
        assert len(times) > 5 and (np.diff(times) >= 0).all()
        assert rec.learnt(site) == values[-1] == value != 1.0
        assert rec.learnt(site, 0.0) == 1.0 and rec.learnt(site, 1e4) == value
        assert rec.learnt(site, times[2]) == values[2]
    with pytest.raises(InputError, match="no site"):
        rec.learnt("s9")


def test_parameters_can_be_changed_and_are_recorded():
    net, photons = neuron_with()
    runs = []
    for engine in ("compiled", "reference"):
        run = se.Simulation(net, photons, engine=engine, learning=PairRule().on(synapses="*"))
        run.run(100.0)
        before = run.learnt
        run.set_rule("PairRule", rate=0.0)
        run.run(200.0)
        assert run.learnt == before
        run.set_rule("PairRule", rate=1.0, tau_plus=5.0)
        run.run(400.0)
        assert run.learnt != before
        rec = run.finish()
        assert rec.rule_changes == [
            (100.0, "PairRule", "rate", 0.0),
            (200.0, "PairRule", "rate", 1.0),
            (200.0, "PairRule", "tau_plus", 5.0),
        ]
        runs.append(run.learnt)
    assert runs[0] == runs[1]
    with pytest.raises(InputError, match=r"tau_pluss.*tau_plus"):
        run.set_rule("PairRule", tau_pluss=1.0)
    with pytest.raises(InputError, match="no rule 'Pair'"):
        run.set_rule("Pair", rate=1.0)
    with pytest.raises(InputError, match="is no time constant"):
        run.set_rule("PairRule", tau_plus=0.0)


def test_learning_goes_on_after_weights_and_biases_were_programmed():
    net, photons = neuron_with()
    runs = []
    for engine in ("compiled", "reference"):
        run = se.Simulation(net, photons, engine=engine, learning=PairRule().on(synapses="*"))
        run.run(100.0)
        run.set_weight("s1", 0.5)
        assert run.learnt["s1"] == 0.5
        run.set_bias("d0", 1.75)
        run.inject("s0", [120.0, 130.0])
        run.run(400.0)
        assert run.learnt["s1"] != 0.5
        runs.append((run.learnt, len(run.finish().table("writes")["site"])))
    assert runs[0] == runs[1]


def test_a_rule_that_says_less_than_it_uses_is_refused():
    with pytest.raises(TypeError, match="requires says pre, but its functions use post, pre"):

        class Sly(Rule):
            requires = frozenset({"pre"})

            @staticmethod
            def on_detection(site, p):
                site.change += 1.0

            @staticmethod
            def on_spike(site, p):
                site.change += 1.0


@dataclass(frozen=True)
class Dividing(Rule):
    by: float = 0.0
    requires = frozenset({"post", "weight"})

    @staticmethod
    def on_spike(site, p):
        site.change += site.weight / p.by


@pytest.mark.parametrize("norm", [None, 1.0])
def test_a_change_that_is_no_number_is_told_and_not_made(norm):
    net, photons = neuron_with()
    for engine in ("compiled", "reference"):
        run = se.Simulation(net, photons, engine=engine, learning=Dividing().on(synapses=["s0", "s1"], max_norm=norm))
        with pytest.raises(InputError, match="Dividing: s0 was asked for a change that is no finite number, at"):
            run.run(400.0)
        assert run.learnt == {"s0": 1.0, "s1": 1.0}
        rec = run.recording()
        assert len(rec.table("writes")["site"]) == 0 and len(rec.spikes["n"]) >= 1
        assert run.site("s0")["writes"] == 0.0


@dataclass(frozen=True)
class Careless(Rule):
    lr: float = 0.1
    requires = frozenset({"pre", "weight"})

    @staticmethod
    def on_detection(site, p):
        site.weight += 0.1
        p.lr = 0.2
        site.chnge += p.lrr


def test_a_rule_that_sets_what_it_may_only_read_is_refused():
    net, photons = neuron_with()
    with pytest.raises(InputError) as told:
        se.Simulation(net, photons, learning=Careless().on(synapses="*"))
    text = "\n".join(told.value.faults)
    for part in (
        "sets 'weight', which is only read",
        "sets 'lr', which is a parameter",
        "'chnge'",
        "has 'lrr' (did you mean 'lr'",
    ):
        assert part in text


def test_nonsense():
    net, photons = neuron_with()
    rule = PairRule()
    bad = {
        "there is no synapse 's9'.*did you mean": rule.on(synapses=["s9"]),
        "no synapse matches 'q\\*'": rule.on(synapses="q*"),
        "is no synapse and never detects": rule.on(loops="d0"),
        "there is no neuron 'm'": rule.on(synapses="s0", post="m"),
        "does not say where it acts": rule,
        "int is not a Plasticity": 3,
        "learns already": [rule.on(synapses="s0"), rule.on(synapses="*")],
        "tau_plus: the time constant of x": PairRule(tau_plus=-1.0).on(synapses="*"),
        "lr: 'a' is not a number": PairRule(lr="a").on(synapses="*"),
        "s0 is 1, and a memory from -2 to -1 cannot keep its sign": rule.on(
            synapses="s0", storage=Storage(-2.0, -1.0, keep_sign=True)
        ),
    }
    for what, learning in bad.items():
        with pytest.raises(InputError, match=what):
            se.Simulation(net, photons, learning=learning)
    for what, arguments in {
        "no place is given": {},
        "rule: int is not a Rule": {"rule": 3, "synapses": "*"},
        "clip: -1.0 is below 0": {"synapses": "*", "clip": -1.0},
        "max_norm: 0 is not a number above 0": {"synapses": "*", "max_norm": 0},
    }.items():
        with pytest.raises(InputError, match=what):
            Plasticity(**{"rule": rule, **arguments})
    for what, arguments in {
        "high: 0.0 is not above low": {"low": 1.0, "high": 0.0},
        "levels need bounds": {"levels": 4},
        "levels: 1 is not": {"low": 0.0, "high": 1.0, "levels": 1},
        "rounding: 'hiden' is unknown.*hidden": {"rounding": "hiden"},
    }.items():
        with pytest.raises(InputError, match=what):
            Storage(**arguments)
    run = se.Simulation(net, photons, learning=rule.on(synapses="*"))
    with pytest.raises(InputError, match="no rule of this run hears signals"):
        run.signal("reward", 1.0)
