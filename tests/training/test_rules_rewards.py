"""Three-factor rules and the photonic rule are their definitions (features.md S0.14, 3.2; physics.md 7.1)."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from event_trains import AMPLITUDE, PHOTONS, SYNAPSES, TAU, TIMES, close, network, orders, ran, replayed
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from training.registry import get
from training.rules import STDP, Eligibility, PhotonicSTDP, ThreeFactor
from training.rules.pairs import COINCIDENCE

FEWER = settings(max_examples=settings().max_examples // 3)
ENGINE = st.sampled_from(["compiled"] * 9 + ["reference"])
SIGNALS = st.lists(st.integers(1, 40).map(lambda k: k * 4.25), min_size=1, max_size=4, unique=True).map(sorted)
VALUES = st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4)


# ---------------------------------------------------------------------------------------------- S0.14


@FEWER
@given(
    taus=st.tuples(TAU, TAU, TAU),
    amplitudes=st.tuples(AMPLITUDE, AMPLITUDE),
    policy=st.sampled_from(tuple(COINCIDENCE)),
    spend=st.booleans(),
    photons=PHOTONS,
    kicks=TIMES,
    ends=SIGNALS,
    values=VALUES,
    engine=ENGINE,
)
def test_s0_14_three_factors(taus, amplitudes, policy, spend, photons, kicks, ends, values, engine):
    """S0.14: every reward credits every pair that is complete by then with e^{-(time since then)/tau_e}; once, if it is spent."""
    plus, minus, tau_e = taus
    a_plus, a_minus = amplitudes
    rule = ThreeFactor(1e-3, plus, minus, a_plus, a_minus, policy, tau_e=tau_e, spend=spend)
    signals = [(t, "reward", v) for t, v in zip(ends, values, strict=False)]
    found = ran(rule.on(synapses="*"), photons, kicks, signals, engine=engine)
    up_too, down_too = policy in ("ltp", "both"), policy in ("ltd", "both")
    for name in SYNAPSES:
        dt = found.post[None, :] - found.pre[name][:, None]
        complete = np.maximum(found.post[None, :], found.pre[name][:, None])
        pairs = np.where((dt > 0) | ((dt == 0) & up_too), a_plus * np.exp(-np.abs(dt) / plus), 0.0)
        pairs = [pairs, np.where((dt < 0) | ((dt == 0) & down_too), -a_minus * np.exp(-np.abs(dt) / minus), 0.0)]
        terms, spent = [], -1.0
        for t, _, value in signals:
            credit = np.exp(-np.maximum(t - complete, 0.0) / tau_e) * ((complete <= t) & (complete > spent))
            terms.append(1e-3 * value * credit * pairs)
            spent = t if spend else spent
        close(found.learnt[name], np.array(terms))


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_s0_14_a_reward_that_comes_late_still_credits(engine):
    """S0.14: a sweep of gaps gives e^{-gap/tau_e}; none, none."""
    tau_e, gaps = 60.0, np.array([0.0, 5.0, 20.0, 60.0, 140.0])
    learnt = []
    for gap in gaps:
        rule = ThreeFactor(lr=1.0, tau_e=tau_e)
        found = ran(
            rule.on(synapses="s0"),
            {"s0": [20.0]},
            [30.0],
            [(30.0 + gap, "reward", 1.0)],
            net=network(J=0.0),
            engine=engine,
        )
        learnt.append(found.learnt["s0"])
    assert learnt[0] == pytest.approx(math.exp(-0.5), rel=1e-14)
    assert np.array(learnt) / learnt[0] == pytest.approx(np.exp(-gaps / tau_e), rel=1e-13)
    assert ran(rule.on(synapses="s0"), {"s0": [20.0]}, [30.0], net=network(J=0.0)).learnt["s0"] == 0.0


@given(trains=orders(), policy=st.sampled_from(tuple(COINCIDENCE)), nearest=st.booleans())
def test_s0_14_a_reward_at_once_is_stdp(trains, policy, nearest):
    """S0.14: with tau_e infinite and one reward of 1 at the end it learns what STDP learns."""
    events, _, _ = trains
    options = {"lr": 0.5, "tau_plus": 7.0, "tau_minus": 11.0, "coincidence": policy, "nearest": nearest}
    late = replayed(ThreeFactor(tau_e=math.inf, **options), events)
    assert late == 0.0
    end = [(500.0, "on_reward")]
    rule = ThreeFactor(tau_e=math.inf, **options)
    object.__setattr__(rule, "hooks", lambda: {**ThreeFactor.hooks(), "on_reward": rewarded})
    at_once = replayed(STDP(**options), events)
    assert replayed(rule, events + end) == pytest.approx(at_once, rel=1e-12, abs=1e-14)


def rewarded(site, p):
    """A reward of 1."""
    site.signal = 1.0
    ThreeFactor.on_reward(site, p)


# ---------------------------------------------------------------------------------------------- eligibility


@FEWER
@given(
    tau=TAU,
    tau_e=TAU,
    width=st.floats(0.05, 0.5),
    spend=st.booleans(),
    photons=PHOTONS,
    kicks=st.lists(st.floats(1.0, 199.0).map(lambda t: round(t, 2)), max_size=6, unique=True).map(sorted),
    ends=SIGNALS,
    values=VALUES,
    start=st.floats(0.5, 1.5),
    engine=ENGINE,
)
def test_s0_14_eligibility(tau, tau_e, width, spend, photons, kicks, ends, values, start, engine):
    """S0.14, features.md 3.2: pre-trace times pseudo-derivative of the soma's recorded current, low-passed, times the neuron's error."""
    rule = Eligibility(lr=1e-4, threshold=0.2, width=width, height=0.7, tau=tau, tau_e=tau_e, spend=spend)
    signals = [(t, "error", {"n": v}) for t, v in zip(ends, values, strict=False)]
    net = network(weight=start, J=0.4, t_ref=1.0)
    how = {"record": ("spikes", "detections", "currents"), "resolution": "flow", "net": net, "engine": engine}
    found = ran(rule.on(synapses="*"), photons, kicks, signals, **how)
    for name in SYNAPSES:
        pre = found.pre[name]
        kicks_of_e = []  # when and by how much
        for t in pre:
            x = np.exp(-(t - pre[pre <= t]) / tau).sum()
            if t in found.post:
                return  # which current is "at" a coincidence depends on the order
            current = float(found.rec.current("n", t))
            kicks_of_e.append((t, 0.7 * max(0.0, 1.0 - abs(current - 0.2) / width) * x))
        kicks_of_e += [(t, 0.7 * np.exp(-(t - pre[pre <= t]) / tau).sum()) for t in found.post]
        total, moved, spent = start, start, -1.0
        for t, _, value in signals:
            e = sum(math.exp(-(t - at) / tau_e) * k for at, k in kicks_of_e if spent < at <= t)
            total -= 1e-4 * value["n"] * e
            moved += 1e-4 * abs(value["n"] * e)
            spent = t if spend else spent
        assert abs(found.learnt[name] - total) <= 1e-12 * moved


def test_eligibility_by_hand():
    """Functions called directly: x counts the detection itself, psi is a tent, a spike counts as at the threshold."""
    rule = Eligibility(lr=1.0, threshold=0.4, width=0.2, height=2.0, tau=math.inf, tau_e=math.inf)
    site = SimpleNamespace(x=0.0, e=0.0, change=0.0, post_current=0.3, signal=0.0)
    p = SimpleNamespace(**rule.parameters())
    Eligibility.on_detection(site, p)
    assert site.e == pytest.approx(2.0 * 0.5 * 1.0)
    site.post_current = 0.65
    Eligibility.on_detection(site, p)
    assert site.e == pytest.approx(1.0) and site.x == 2.0
    site.post_current = 0.0
    Eligibility.on_spike(site, p)
    assert site.e == pytest.approx(1.0 + 2.0 * 2.0)
    site.signal = -0.5
    Eligibility.on_error(site, p)
    assert site.change == pytest.approx(2.5) and site.e == pytest.approx(5.0)


def test_s0_14_errors_bring_the_number_of_spikes_to_a_target():
    """S0.14: error = spikes - target, told at the end of each presentation to each neuron, teaches it its own number."""
    target = {"a": 2, "b": 5}
    with se.Network() as net:
        for n in target:
            se.Neuron(n, soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0))
            for k in range(3):
                se.Dendrite(f"{n}{k}", ib=1.8, beta_over_2pi=300.0, tau=100.0)
                se.Synapse(f"{n}.s{k}", f"{n}{k}", weight=0.8)
                se.Coupling(f"{n}{k}", n, J=0.4)
    rule = Eligibility(lr=1e-3, threshold=0.2, width=0.4, tau=100.0, tau_e=400.0, spend=True)
    learning = rule.on(synapses="*", storage=se.Storage(0.0, 1.5))
    run = se.Simulation(net, resolution="flow", learning=learning)
    errors = []
    for trial in range(60):
        t = 500.0 * trial
        run.inject({f"{n}.s{k}": [t + 10.0 + 7.0 * k, t + 60.0 + 7.0 * k] for n in target for k in range(3)})
        run.run(t + 499.0)
        spikes = run.recording().spikes
        error = {n: float((spikes[n] > t).sum() - wanted) for n, wanted in target.items()}
        errors.append(sum(map(abs, error.values())))
        run.signal("error", error)
    assert np.mean(errors[:3]) >= 3.0 and np.mean(errors[-10:]) <= 1.0


# ---------------------------------------------------------------------------------------------- photons and quanta


def quanta_of(rule, pre, post):
    """Quanta that come in less those that go out: each gate as the set of its photons, looked at whenever it is asked."""

    def moved(openers, askers):
        count, used = 0, -math.inf  # photons up to this time are used up
        for t in sorted(set(askers)):
            for _ in range(askers.count(t)):
                last = [o for o in openers if o < t and (rule.photons == 1 or o >= used)]
                near = [o for o in last if t - o <= rule.window]
                if near:
                    count += 1
                    used = t
        return count

    return moved(list(pre), list(post)) - moved(list(post), list(pre))


@FEWER
@given(
    photons_each=st.sampled_from([1, 2]),
    window=st.sampled_from([4.25, 10.0, 33.3]),
    photons=PHOTONS,
    kicks=TIMES,
    engine=ENGINE,
)
def test_photons_move_single_quanta(photons_each, window, photons, kicks, engine):
    """physics.md 7.1: a spike within the window of a detection puts one quantum in, a detection within that of a spike takes one out."""
    rule = PhotonicSTDP(photons=photons_each, window=window, step=1e-3)
    found = ran(rule.on(synapses="*"), photons, kicks, engine=engine)
    for name in SYNAPSES:
        quanta = quanta_of(rule, found.pre[name].tolist(), found.post.tolist())
        assert found.learnt[name] == pytest.approx(1e-3 * quanta, abs=1e-15)


@given(photons_each=st.sampled_from([1, 2]), window=st.sampled_from([4.25, 10.0, 60.0]), trains=orders(places=7))
def test_photons_in_any_order(photons_each, window, trains):
    """Events of one time do not see each other."""
    events, pre, post = trains
    rule = PhotonicSTDP(photons=photons_each, window=window, step=1.0)
    pre, post = np.unique(pre), np.unique(post)
    events = list(dict.fromkeys(events))
    assert replayed(rule, events) == quanta_of(rule, pre.tolist(), post.tolist())


def test_one_photon_or_two_for_a_quantum():
    """Two: each quantum needs a photon of the input of its own; one: the gate stays open."""
    for photons, quanta in ((1, 3), (2, 1)):
        rule = PhotonicSTDP(photons=photons, window=20.0, step=0.01)
        found = ran(rule.on(synapses="s0"), {"s0": [50.0]}, [55.0, 60.0, 65.0], net=network(J=0.0))
        assert found.learnt["s0"] == pytest.approx(0.01 * quanta)


def test_quanta_in_a_storage_loop_of_400_levels():
    """arXiv 2311.05881: the memory holds whole quanta within its bounds, and is full when it is full."""
    rule = PhotonicSTDP(photons=1, window=20.0)
    storage = rule.storage()
    assert storage.levels == 400 and storage.high == pytest.approx(1.0) and storage.step == pytest.approx(rule.step)
    times = np.arange(1.0, 196.0, 0.5)
    pairs = np.repeat(times[::30], 30)[: len(times)]
    found = ran(
        rule.on(synapses="s0", storage=storage),
        {"s0": np.unique(pairs)},
        times[~np.isin(times, pairs)],
        net=network(weight=0.5, J=0.0),
    )
    values = found.rec.writes["s0"][1]
    levels = (values - storage.low) / storage.step
    assert np.abs(levels - np.round(levels)).max() < 1e-9
    assert set(np.abs(np.diff(np.round(levels))).tolist()) == {1.0}
    assert found.learnt["s0"] == storage.high == values.max()


# ---------------------------------------------------------------------------------------------- what they need, and nonsense


def test_what_they_read():
    assert ThreeFactor.requires == {"pre", "post", "broadcast"}
    assert Eligibility.requires == {"pre", "post", "post current", "per-neuron"}
    assert PhotonicSTDP.requires == {"pre", "post"}
    for name, rule in {"three_factor": ThreeFactor, "eligibility": Eligibility, "photonic_stdp": PhotonicSTDP}.items():
        assert get("rule", name) is rule


@pytest.mark.parametrize(
    ("rule", "arguments", "what"),
    [
        (ThreeFactor, {"tau_e": 0.0}, r"ThreeFactor\.tau_e: 0 is not above 0"),
        (ThreeFactor, {"spend": 1.0}, r"ThreeFactor\.spend: 1.0 is no truth value"),
        (
            ThreeFactor,
            {"coincidence": "bothh"},
            r"ThreeFactor\.coincidence: 'bothh' is unknown \(did you mean 'both'\?\)",
        ),
        (Eligibility, {"threshold": 0.0}, r"Eligibility\.threshold: 0 is not above 0"),
        (Eligibility, {"width": -1.0}, r"Eligibility\.width: -1 is not above 0"),
        (Eligibility, {"height": None}, r"Eligibility\.height: None is not a number"),
        (Eligibility, {"tau_e": math.nan}, r"Eligibility\.tau_e: nan is not finite"),
        (PhotonicSTDP, {"photons": 3}, r"PhotonicSTDP\.photons: 3 is out of range; give 1 or 2"),
        (PhotonicSTDP, {"photons": True}, r"PhotonicSTDP\.photons: True"),
        (PhotonicSTDP, {"window": 0.0}, r"PhotonicSTDP\.window: 0 is not above 0"),
        (PhotonicSTDP, {"step": -0.1}, r"PhotonicSTDP\.step: -0.1 is not above 0"),
    ],
)
def test_nonsense(rule, arguments, what):
    with pytest.raises(InputError, match=what):
        rule(**arguments)
