"""Homeostasis is the integral that defines it; rules together are the rules by themselves (features.md S0.13, S0.14, S0.R1)."""

import copy
import math
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from event_trains import END, PHOTONS, SYNAPSES, TIMES, close, network, ran
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from soen_event.physics.elementary import exp
from training.registry import get
from training.rules import (
    STDP,
    Eligibility,
    FluxHomeostasis,
    Hebbian,
    RateHomeostasis,
    RewardHebbian,
    SoftSTDP,
    SynapticScaling,
    ThreeFactor,
    Together,
)

FEWER = settings(max_examples=settings().max_examples // 5)
ENGINE = st.sampled_from(["compiled"] * 9 + ["reference"])
TICKS = st.lists(st.integers(1, 47).map(lambda k: k * 4.25), max_size=5, unique=True).map(sorted)


def rate_terms(rule, post, until):
    """target T less the part of each spike that the filter has let through by then."""
    mine = post[post <= until]
    return np.array([rule.target * until, *(np.exp(-(until - mine) / rule.tau) - 1.0)])


@FEWER
@given(
    target=st.floats(0.0, 0.2),
    tau=st.floats(1.0, 500.0),
    kicks=TIMES,
    ticks=TICKS,
    name=st.sampled_from(["tick", "sample"]),
    engine=ENGINE,
)
def test_rates_are_kept_by_an_integral(target, tau, kicks, ticks, name, engine):
    """All changes until T, a spike or a tick, add up to lr (target T - sum_k (1 - e^{-(T - t_k)/tau})), however many ticks there are."""
    rule = RateHomeostasis(target=target, lr=1e-3, tau=tau)
    signals = [(t, name, 0.0) for t in ticks]
    found = ran(rule.on(synapses="*"), {}, kicks, signals, engine=engine)
    until = max([0.0, *ticks, *found.post])
    terms = rate_terms(rule, found.post, until)
    close(found.learnt["s0"], 1e-3 * np.array([*terms, len(found.post), -len(found.post)]))
    assert len(set(found.learnt.values())) == 1


@FEWER
@given(target=st.floats(0.0, 0.1), start=st.floats(-1.0, 1.0), kicks=TIMES, ticks=TICKS, engine=ENGINE)
def test_scaling_multiplies(target, start, kicks, ticks, engine):
    """Each change is lr w times the integral since the one before."""
    rule = SynapticScaling(target=target, lr=0.02, tau=50.0)
    found = ran(rule.on(synapses="*"), {}, kicks, [(t, "tick", 0.0) for t in ticks], weight=start, engine=engine)
    weight, done, moved = start, 0.0, abs(start)
    for t in sorted({*ticks, *found.post}):
        # a spike is filtered from its own time on, so at its own event it does not count yet
        now = rate_terms(rule, found.post, t).sum()
        weight += 0.02 * weight * (now - done)
        moved += 0.02 * abs(weight) * (target * t + len(found.post))
        done = now
    assert abs(found.learnt["s0"] - weight) <= 1e-12 * moved


def busy(learning, until, signals=(), resolution="flow", seed=4):
    """A neuron under steady random photons; the run."""
    rng = np.random.default_rng(seed)
    photons = {name: np.sort(rng.uniform(0, until, int(until * 0.03))) for name in SYNAPSES}
    run = se.Simulation(
        network(weight=0.6, J=0.4, t_ref=10.0), photons, learning=learning, signals=signals, resolution=resolution
    )
    run.run(until)
    return run


@pytest.mark.parametrize("rule", [RateHomeostasis, SynapticScaling])
@pytest.mark.parametrize("target", [0.004, 0.03])
def test_a_neuron_comes_to_its_rate(rule, target):
    """Weights move until the neuron fires at the target, from above and from below; without the rule it does not."""
    until = 40000.0
    free = busy(None, until).finish().spikes["n"]
    learning = rule(target=target, lr=0.02, tau=500.0).on(synapses="*", storage=se.Storage(0.0, 3.0))
    held = busy(learning, until, [(t, "tick", 0.0) for t in np.arange(100.0, until, 100.0)]).finish().spikes["n"]
    late = [np.mean(times > until / 2) * len(times) / (until / 2) for times in (free, held)]
    assert abs(late[1] - target) < 0.1 * target < abs(late[0] - target)


def test_a_silent_neuron_recovers_by_ticks_alone():
    """Without spikes nothing is heard but the signal."""
    learning = RateHomeostasis(target=0.01, lr=0.02, tau=500.0).on(loops="n")
    ticks = [(t, "tick", 0.0) for t in np.arange(50.0, 4000.0, 50.0)]
    run = se.Simulation(network(), learning=learning, signals=ticks, resolution="flow")
    run.run(4000.0)
    spikes = run.finish().spikes["n"]
    assert len(spikes) > 10 and spikes[0] > 300.0
    still = se.Simulation(network(), learning=learning, resolution="flow")
    still.run(4000.0)
    assert len(still.finish().spikes["n"]) == 0


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("of", ["flux", "current"])
def test_a_dendrite_is_kept_by_its_averages(engine, of):
    """lr (target - mean since the last tick), the mean from the recorded flux or current."""
    rng = np.random.default_rng(2)
    photons = {"s0": np.sort(rng.uniform(0, END, 6))}
    ticks = [40.0, 41.0, 90.0, 200.0]
    learning = FluxHomeostasis(target=0.2, lr=0.05, of=of).on(loops="d0")
    run = se.Simulation(
        network(weight=1.0),
        photons,
        engine=engine,
        resolution="flow",
        tol=1e-7,
        learning=learning,
        signals=[(t, "tick", 0.0) for t in ticks],
        record=("currents",),
    )
    run.run(END)
    rec = run.finish()
    times, values = rec.writes["d0.phi_offset"]
    assert times.tolist() == ticks
    asked = rec.flux if of == "flux" else rec.current
    for a, b, change in zip([0.0, *ticks[:-1]], ticks, np.diff([0.0, *values]), strict=True):
        t = np.linspace(a, b, 20001)
        middle = asked("d0", 0.5 * (t[1:] + t[:-1])).mean()
        assert change == pytest.approx(0.05 * (0.2 - middle), abs=2e-6)


def test_a_dendrite_comes_to_its_mean_flux():
    """The offset ends where the mean flux is the target."""
    learning = FluxHomeostasis(target=0.1, lr=0.3).on(loops="d0")
    until = 20000.0
    run = busy(learning, until, [(t, "tick", 0.0) for t in np.arange(200.0, until + 1, 200.0)])
    half = run.site("d0.phi_offset")
    rec = run.finish()
    times, values = rec.writes["d0.phi_offset"]
    assert half["since"] == until
    changes = np.diff(values[times > 2000.0]) / 0.3
    assert abs(changes.mean()) < 2e-3, "the mean of target - flux"
    assert values[-1] < 0.05


# ---------------------------------------------------------------------------------------------- together


@FEWER
@given(photons=PHOTONS, kicks=TIMES, ticks=TICKS, engine=ENGINE)
def test_rules_together_add_up(photons, kicks, ticks, engine):
    """With a weight of no effect, several rules at one site change it by the sum of what each changes alone."""
    parts = [
        STDP(lr=1e-3, tau_plus=7.0, coincidence="both", nearest=True),
        RateHomeostasis(target=0.02, lr=1e-3, tau=30.0),
        STDP(lr=-2e-3, tau_plus=90.0, tau_minus=3.0),
        ThreeFactor(lr=1e-3, tau_e=50.0, spend=True),
    ]
    signals = [(t, name, 0.7) for t in ticks for name in ("tick", "reward")]

    def learnt(rule, names):
        mine = [s for s in signals if s[1] in names]
        return ran(rule.on(synapses="*"), photons, kicks, mine, net=network(J=0.0), engine=engine).learnt

    whole = learnt(Together(*parts), ("tick", "reward"))
    alone = [learnt(part, part.signals) for part in parts]
    for name in SYNAPSES:
        terms = [each[name] for each in alone]
        assert abs(whole[name] - sum(terms)) <= 1e-12 * (sum(map(abs, terms)) + 1e-3 * (len(kicks) + 4) ** 2)


x = 2.0  # a global of the name of a variable, and a function that has both


def doubled(site):
    return x * site.x


@dataclass(frozen=True)
class Odd(se.Rule):
    """Uses a global that is named as one of its variables, by a function of its own and through another."""

    lr: float = 1e-3
    requires = frozenset({"pre", "post"})
    variables = {"x": None}

    @staticmethod
    def on_detection(site, p):
        site.x += x * exp(0.0)

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * doubled(site)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_names_do_not_clash(engine):
    """Variables, parameters and globals of one name stay apart; one rule twice, and rules together with another."""
    rule = Together(Together(Odd(), Odd(lr=1e-2)), STDP(lr=0.0), Odd(lr=0.1))
    found = ran(rule.on(synapses="*"), {"s0": [10.0, 20.0]}, [30.0], net=network(J=0.0), engine=engine)
    assert found.learnt["s0"] == pytest.approx(4.0 * 2.0 * 0.111, rel=1e-12)
    site = found.run.site("s0")
    assert site["Odd_x"] == site["Together_Odd_x"] == site["Together_Odd_2_x"] == 4.0 and site["STDP_y_now"] > 0.0
    found.run.set_rule("Together", Together_Odd_2_lr=0.5)


def test_what_rules_together_are():
    """The union of what they read, and a rule like others: equal, copied, told, refused."""
    both = Together(STDP(lr=0.02), RateHomeostasis(target=0.005))
    assert both.requires == {"pre", "post", "broadcast"} and both.signals == ("tick", "sample")
    assert both.variables["STDP_x"] == "STDP_tau_plus" and both.variables["RateHomeostasis_since"] is None
    assert both.parameters()["RateHomeostasis_target"] == 0.005
    assert "per-neuron" in Together(Eligibility(), ThreeFactor()).requires
    assert "broadcast" not in Together(Eligibility(), ThreeFactor()).requires
    assert "weight" in Together(SoftSTDP(), Hebbian()).requires
    assert both == Together(STDP(lr=0.02), RateHomeostasis(target=0.005)) != Together(STDP(), RateHomeostasis())
    assert copy.copy(both) == pickle.loads(pickle.dumps(both)) == both and hash(both) == hash(copy.deepcopy(both))
    assert repr(both).startswith("Together(STDP(lr=0.02,")
    assert type(both) is type(Together(STDP(), RateHomeostasis())), "compiled once"
    assert get("rule", "together") is Together
    with pytest.raises(AttributeError, match="a rule does not change"):
        both.rules = ()
    with pytest.raises(InputError, match="1 given; give two or more"):
        Together(STDP())
    with pytest.raises(InputError, match=r"Plasticity is not a rule.*without \.on"):
        Together(STDP(), STDP().on(synapses="*"))
    with pytest.raises(InputError, match="STDP is not a rule"):
        Together(STDP, STDP())


def test_checkpoints_tell_rules_together_apart(tmp_path):
    """The functions that a rule calls are part of what a checkpoint remembers."""
    learning = {kind: Together(kind(lr=1e-3), Hebbian()).on(synapses="*") for kind in (RewardHebbian, AsReward)}
    run = se.Simulation(network(), {"s0": [1.0]}, learning=learning[RewardHebbian])
    run.run(10.0)
    run.checkpoint(tmp_path / "a.h5")
    assert se.Simulation.restore(tmp_path / "a.h5", learning=learning[RewardHebbian]).learnt == run.learnt
    with pytest.raises(InputError, match="learnt with rules that are not those given"):
        se.Simulation.restore(tmp_path / "a.h5", learning=learning[AsReward])


class AsReward(RewardHebbian):
    """Of the same variables, parameters and hooks, but of another mind."""

    @staticmethod
    def on_reward(site, p):
        site.change -= p.lr * site.signal * site.x


AsReward.__name__ = "RewardHebbian"


def test_a_rule_that_hides_what_it_reads_is_refused():
    """What the functions that it calls read counts too."""
    with pytest.raises(TypeError, match="requires says post, but its functions use post, weight"):

        class Sly(se.Rule):
            requires = frozenset({"post"})

            @staticmethod
            def on_spike(site, p):
                site.change += hidden(site)


def hidden(site):
    return 0.1 * site.weight


# ---------------------------------------------------------------------------------------------- what they need, and nonsense


def test_what_they_read():
    needs = {
        "rate_homeostasis": (RateHomeostasis, {"post", "broadcast"}),
        "synaptic_scaling": (SynapticScaling, {"post", "weight", "broadcast"}),
        "flux_homeostasis": (FluxHomeostasis, {"averages", "broadcast"}),
    }
    for name, (rule, wanted) in needs.items():
        assert get("rule", name) is rule and rule.requires == wanted


@pytest.mark.parametrize(
    ("rule", "arguments", "what"),
    [
        (RateHomeostasis, {"target": -1.0}, r"RateHomeostasis\.target: -1 is below 0"),
        (RateHomeostasis, {"tau": math.inf}, r"RateHomeostasis\.tau: inf is not finite"),
        (RateHomeostasis, {"tau": 0.0}, r"RateHomeostasis\.tau: 0 is not above 0"),
        (SynapticScaling, {"lr": "1"}, r"SynapticScaling\.lr: '1' is not a number"),
        (FluxHomeostasis, {"target": math.nan}, r"FluxHomeostasis\.target: nan is not finite"),
        (FluxHomeostasis, {"of": "fluxx"}, r"FluxHomeostasis\.of: 'fluxx' is unknown \(did you mean 'flux'\?\)"),
    ],
)
def test_nonsense(rule, arguments, what):
    with pytest.raises(InputError, match=what):
        rule(**arguments)
