"""Rules of pairs and triplets are the double and triple sums that define them (features.md S0.13; Pfister and Gerstner 2006)."""

import math

import numpy as np
import pytest
from event_trains import AMPLITUDE, END, PHOTONS, SYNAPSES, TAU, TIMES, close, kicked, network, orders, ran, replayed
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from training.registry import get
from training.rules import STDP, SoftSTDP, TripletSTDP
from training.rules.pairs import COINCIDENCE, FITS

ENGINES = ("compiled", "reference")
POLICIES = tuple(COINCIDENCE)

STDPS = st.builds(
    STDP,
    lr=st.sampled_from([1e-3, -2e-3]),
    tau_plus=TAU,
    tau_minus=TAU,
    a_plus=AMPLITUDE,
    a_minus=AMPLITUDE,
    coincidence=st.sampled_from(POLICIES),
    nearest=st.booleans(),
)
TRIPLETS = st.builds(
    TripletSTDP,
    lr=st.just(1e-3),
    a2_plus=AMPLITUDE,
    a2_minus=AMPLITUDE,
    a3_plus=AMPLITUDE,
    a3_minus=AMPLITUDE,
    tau_plus=TAU,
    tau_minus=TAU,
    tau_x=TAU,
    tau_y=TAU,
    coincidence=st.sampled_from(POLICIES),
)


# ---------------------------------------------------------------------------------------------- the definitions


def sides(coincidence):
    """Whether a pair at the very same time strengthens, weakens."""
    return coincidence in ("ltp", "both"), coincidence in ("ltd", "both")


def only_last(dt, counts, axis):
    """Of pairs that count, those whose |dt| is the least along an axis."""
    distance = np.where(counts, np.abs(dt), math.inf)
    return counts & (distance == distance.min(axis=axis, keepdims=True))


def pair_terms(rule, pre, post):
    """Terms of strengthening and weakening of every pair (pre, post), without lr."""
    if not len(pre) or not len(post):
        return np.zeros((2, 0, 0))
    dt = post[None, :] - pre[:, None]
    up_too, down_too = sides(rule.coincidence)
    up = (dt > 0) | ((dt == 0) & up_too)
    down = (dt < 0) | ((dt == 0) & down_too)
    if rule.nearest:
        up, down = only_last(dt, up, 0), only_last(dt, down, 1)
    return np.array(
        [
            np.where(up, rule.a_plus * np.exp(-np.abs(dt) / rule.tau_plus), 0.0),
            np.where(down, -rule.a_minus * np.exp(-np.abs(dt) / rule.tau_minus), 0.0),
        ]
    )


def earlier(times, t, tau):
    """Sum over events strictly before ``t``."""
    return float(np.exp(-(t - times[times < t]) / tau).sum())


def triplet_terms(rule, pre, post):
    """Every pair (pre, post) with the sum over its third events, without lr."""
    up_too, down_too = sides(rule.coincidence)
    terms = []
    for a in pre:
        for b in post:
            fast_plus, fast_minus = math.exp(-abs(b - a) / rule.tau_plus), math.exp(-abs(b - a) / rule.tau_minus)
            if a < b or (a == b and up_too):
                terms += [fast_plus * rule.a2_plus, fast_plus * rule.a3_plus * earlier(post, b, rule.tau_y)]
            if a > b or (a == b and down_too):
                terms += [-fast_minus * rule.a2_minus, -fast_minus * rule.a3_minus * earlier(pre, a, rule.tau_x)]
    return np.array(terms)


# ---------------------------------------------------------------------------------------------- S0.13


def check_stdp(rule, photons, kicks, engine):
    found = ran(rule.on(synapses="*"), photons, kicks, engine=engine)
    for name in SYNAPSES:
        close(found.learnt[name], rule.lr * pair_terms(rule, found.pre[name], found.post))
    return found


@given(rule=STDPS, photons=PHOTONS, kicks=TIMES)
def test_s0_13_stdp_is_the_sum_over_pairs(rule, photons, kicks):
    """S0.13: what a run has learnt is the double sum over its recorded detections and spikes."""
    check_stdp(rule, photons, kicks, "compiled")


@settings(max_examples=10)
@given(rule=STDPS, photons=PHOTONS, kicks=TIMES)
def test_s0_13_in_the_reference_engine_too(rule, photons, kicks):
    """S0.13"""
    check_stdp(rule, photons, kicks, "reference")


@given(rule=STDPS, trains=orders())
def test_s0_13_the_order_of_events_of_one_time_does_not_matter(rule, trains):
    """S0.13: several detections and spikes at the same times, handled in any order."""
    events, pre, post = trains
    close(replayed(rule, events), rule.lr * pair_terms(rule, pre, post))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("nearest", [False, True])
def test_s0_13_a_coincidence_is_made_in_the_engines_both_ways_round(engine, policy, nearest):
    """S0.13: a spike before a photon of the same time (a kick of the soma), and a photon before a spike (a crossing of the soma's own)."""
    rule = STDP(lr=1e-3, a_plus=1.0, a_minus=0.7, tau_plus=20.0, tau_minus=30.0, coincidence=policy, nearest=nearest)
    kicked = check_stdp(rule, {"s0": [10.0, 20.0], "s1": [20.0]}, [5.0, 20.0], engine)
    assert 20.0 in kicked.pre["s0"] and 20.0 in kicked.post
    net = network(J=0.6)
    net.replace("s2", weight=1.0)
    learning = rule.on(synapses=["s0", "s1"])
    drive = {"s2": [30.0, 31.0, 60.0]}
    crossings = ran(learning, drive, [], net=net, engine=engine).post
    assert len(crossings) >= 2
    t = float(crossings[-1])
    photons = {**drive, "s0": [20.0, t], "s1": [t]}
    found = ran(learning, photons, [], net=net, engine=engine)
    assert t in found.post and t in found.pre["s0"], "the photon changes nothing before it has been weighed"
    for name in ("s0", "s1"):
        close(found.learnt[name], rule.lr * pair_terms(rule, found.pre[name], found.post))
    pairs = (policy in ("ltp", "both")) * 1.0 - (policy in ("ltd", "both")) * 0.7
    before = found.post[found.post < t]
    late = np.exp(-(t - (before[-1:] if nearest else before)) / 30.0).sum() * (
        0.0 if nearest and policy in ("ltd", "both") else 0.7
    )
    assert found.learnt["s1"] == pytest.approx(1e-3 * (pairs - late), rel=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_s0_13_golden_vector(engine):
    """S0.13: +10 ns at tau_plus 20 ns gives 0.606531; -10 ns at tau_minus 40 ns gives -0.778801: the constants are not exchanged."""
    rule = STDP(lr=1.0, tau_plus=20.0, tau_minus=40.0)
    net = network(J=0.0)
    found = ran(rule.on(synapses="*"), {"s0": [50.0], "s1": [70.0]}, [60.0], net=net, engine=engine)
    assert list(found.post) == [60.0]
    assert found.learnt["s0"] == pytest.approx(0.606531, abs=5e-7)
    assert found.learnt["s1"] == pytest.approx(-0.778801, abs=5e-7)
    assert found.learnt["s2"] == 0.0


@given(trains=orders(), tau=TAU, policy=st.sampled_from(["none", "both"]), nearest=st.booleans())
def test_s0_13_time_reversal_changes_the_sign(trains, tau, policy, nearest):
    """S0.13: with equal constants the rule is antisymmetric: run backwards, every train learns the opposite.

    The nearest pairs of a train run backwards are others, so there each pair is taken alone.
    """
    _, pre, post = trains
    rule = STDP(tau_plus=tau, tau_minus=tau, coincidence=policy, nearest=nearest)

    def learnt(pre, post):
        events = sorted([(t, "on_detection") for t in pre] + [(t, "on_spike") for t in post])
        return replayed(rule, events)

    if nearest:
        for a in pre[:3]:
            for b in post[:3]:
                assert learnt([a], [b]) == pytest.approx(-learnt([END - a], [END - b]), abs=1e-15)
    else:
        scale = np.abs(pair_terms(rule, pre, post)).sum()
        assert learnt(pre, post) == pytest.approx(-learnt(END - pre, END - post), abs=1e-14 * (1.0 + scale))


# ---------------------------------------------------------------------------------------------- soft bounds


def soft_course(rule, pre, post, weight):
    """The weight event by event; of one time the spike first, as a kick of the soma makes it. Returns it and the sum of all steps."""
    up_too, down_too = sides(rule.coincidence)
    moved = 0.0
    for t, kind in sorted([(t, 0) for t in post] + [(t, 1) for t in pre]):
        if kind == 0:
            others, done = pre[pre < t], 0
            up = np.exp(-(t - others) / rule.tau_plus).sum()
            down = 0.0
        else:
            others, done = post[post < t], int((post == t).sum())
            up, down = done * up_too, np.exp(-(t - others) / rule.tau_minus).sum() + done * down_too
        u = (weight - rule.low) / (rule.high - rule.low)
        step = rule.lr * (rule.a_plus * (1.0 - u) ** rule.mu * up - rule.a_minus * u**rule.mu * down)
        weight += step
        moved += abs(step)
    return weight, moved


@given(
    mu=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    policy=st.sampled_from(POLICIES),
    start=st.floats(0.05, 0.95),
    photons=PHOTONS,
    kicks=TIMES,
    engine=st.sampled_from(["compiled"] * 9 + ["reference"]),
)
def test_s0_13_soft_bounds(mu, policy, start, photons, kicks, engine):
    """S0.13: with a power of the distance from the bounds; never beyond them."""
    rule = SoftSTDP(lr=0.02, mu=mu, low=-0.5, high=1.5, coincidence=policy, a_minus=1.2)
    found = ran(rule.on(synapses="*"), photons, kicks, weight=start, engine=engine)
    for name in SYNAPSES:
        value, moved = soft_course(rule, found.pre[name], found.post, start)
        assert abs(found.learnt[name] - value) <= 1e-12 * (moved + start)


def test_s0_13_soft_bounds_are_approached_and_not_crossed():
    """S0.13: many pairs of one kind bring the weight near its bound."""
    rule = SoftSTDP(lr=0.2, mu=1.0)
    times = np.arange(5.0, 195.0, 5.0)
    up = ran(rule.on(synapses="s0"), {"s0": times}, times + 1.0, net=network(J=0.0))
    down = ran(rule.on(synapses="s0"), {"s0": times}, times - 1.0, net=network(weight=1.0, J=0.0))
    assert 0.5 < up.learnt["s0"] < 1.0 and 0.0 < down.learnt["s0"] < 0.5


def test_s0_13_soft_bounds_with_mu_0_are_none():
    """S0.13: mu = 0 is STDP, to the bit."""
    trains = {"s0": [10.0, 30.0, 31.0]}, [12.0, 30.0, 44.0]
    plain = ran(STDP(lr=1e-3, nearest=True).on(synapses="*"), *trains).learnt
    assert ran(SoftSTDP(lr=1e-3, nearest=True, mu=0.0).on(synapses="*"), *trains).learnt == plain


# ---------------------------------------------------------------------------------------------- triplets


@given(rule=TRIPLETS, photons=PHOTONS, kicks=TIMES, engine=st.sampled_from(["compiled"] * 9 + ["reference"]))
def test_s0_13_triplets_are_the_sum_over_triplets(rule, photons, kicks, engine):
    """S0.13: every pair with every third event before the later of the two."""
    found = ran(rule.on(synapses="*"), photons, kicks, engine=engine)
    for name in SYNAPSES:
        close(found.learnt[name], rule.lr * triplet_terms(rule, found.pre[name], found.post))


@given(rule=TRIPLETS, trains=orders())
def test_s0_13_triplets_in_any_order(rule, trains):
    """S0.13: several events at the same times."""
    events, pre, post = trains
    close(replayed(rule, events), rule.lr * triplet_terms(rule, pre, post))


@given(trains=orders(), policy=st.sampled_from(POLICIES))
def test_s0_13_triplets_of_which_only_pairs_count_are_stdp(trains, policy):
    """S0.13: A3 = 0."""
    events, _, _ = trains
    three = TripletSTDP(lr=0.1, a2_plus=0.4, a2_minus=0.3, a3_plus=0.0, a3_minus=0.0, coincidence=policy)
    two = STDP(lr=0.1, a_plus=0.4, a_minus=0.3, tau_plus=16.8, tau_minus=33.7, coincidence=policy)
    assert replayed(three, events) == pytest.approx(replayed(two, events), rel=1e-12, abs=1e-15)


def sixty_pairs(rule, dt, hertz):
    """Sjostrom's protocol as the paper has it (its fig. 3): 60 pairs at a frequency, ms as ns."""
    times = 20.0 + np.arange(60) * 1e3 / hertz
    events = sorted([(t, "on_detection") for t in times] + [(t + dt, "on_spike") for t in times])
    return replayed(rule, events)


def test_triplets_of_the_visual_cortex_depend_on_frequency_and_pairs_alone_do_not():
    """Pfister and Gerstner (2006): pairs at +10 ms strengthen the more the faster they come, nearly nothing at 0.1 Hz; those at
    -10 ms weaken when slow and strengthen at 50 Hz. Pairs without triplets can do neither."""
    rule = TripletSTDP.fitted("visual cortex", "minimal")
    course = [sixty_pairs(rule, 10.0, f) for f in (0.1, 10.0, 20.0, 40.0, 50.0)]
    assert course == sorted(course) and abs(course[0]) < 0.02 < 0.4 < course[-1]
    assert sixty_pairs(rule, -10.0, 0.1) < -0.2 and sixty_pairs(rule, -10.0, 50.0) > 0.2
    pairs = STDP(lr=7e-3, tau_plus=16.8, tau_minus=33.7)
    assert sixty_pairs(pairs, 10.0, 0.1) > 0.2 > sixty_pairs(pairs, 10.0, 50.0)


def test_fitted_parameters():
    assert set(FITS) == {(t, m) for t in ("visual cortex", "hippocampus") for m in ("full", "minimal")}
    rule = TripletSTDP.fitted("visual cortex", "minimal", ms=0.5, lr=2.0)
    assert rule == TripletSTDP(2.0, 0.0, 7.1e-3, 6.5e-3, 0.0, 8.4, 16.85, 50.5, 57.0)
    assert TripletSTDP.fitted("hippocampus", "full").a3_minus == 1.4e-3
    with pytest.raises(InputError, match=r"'hipocampus' is unknown \(did you mean 'hippocampus'\?\)"):
        TripletSTDP.fitted("hipocampus")
    with pytest.raises(InputError, match=r"fitted\.ms: 0 is not above 0"):
        TripletSTDP.fitted(ms=0)


# ---------------------------------------------------------------------------------------------- what they need, and nonsense


def test_what_they_read():
    assert STDP.requires == TripletSTDP.requires == {"pre", "post"}
    assert SoftSTDP.requires == {"pre", "post", "weight"}
    for name, rule in {"stdp": STDP, "soft_stdp": SoftSTDP, "triplet_stdp": TripletSTDP}.items():
        assert get("rule", name) is rule


@pytest.mark.parametrize(
    ("rule", "arguments", "what"),
    [
        (STDP, {"lr": "a"}, r"STDP\.lr: 'a' is not a number"),
        (STDP, {"lr": math.inf}, r"STDP\.lr: inf is not finite"),
        (STDP, {"tau_plus": 0.0}, r"STDP\.tau_plus: 0 is not above 0"),
        (STDP, {"tau_minus": math.nan}, r"STDP\.tau_minus: nan is not finite"),
        (STDP, {"coincidence": "lpt"}, r"STDP\.coincidence: 'lpt' is unknown \(did you mean 'ltp'\?\)"),
        (STDP, {"nearest": 1}, r"STDP\.nearest: 1 is no truth value"),
        (SoftSTDP, {"mu": -1.0}, r"SoftSTDP\.mu: -1 is below 0"),
        (SoftSTDP, {"low": 1.0}, r"SoftSTDP\.high: 1 is not above 1"),
        (TripletSTDP, {"tau_y": -1.0}, r"TripletSTDP\.tau_y: -1 is not above 0"),
        (TripletSTDP, {"a3_plus": None}, r"TripletSTDP\.a3_plus: None is not a number"),
        (TripletSTDP, {"coincidence": 3}, r"TripletSTDP\.coincidence: 3 is unknown"),
    ],
)
def test_nonsense(rule, arguments, what):
    with pytest.raises(InputError, match=what):
        rule(**arguments)


def test_all_faults_are_told_together():
    with pytest.raises(InputError) as caught:
        STDP(lr=None, tau_plus=-1.0, coincidence="x")
    assert len(caught.value.faults) == 3


def test_never_forgotten_is_possible():
    found = ran(STDP(lr=1e-3, tau_plus=math.inf).on(synapses="s0"), {"s0": [1.0, 2.0]}, [150.0], net=network(J=0.0))
    assert found.learnt["s0"] == 2e-3


def test_an_option_can_be_changed_in_a_run():
    run = se.Simulation(
        network(J=0.0),
        se.Stimulus(photons={"s0": [50.0]}, drives=kicked([50.0])),
        learning=STDP(lr=1e-3).on(synapses="s0"),
    )
    run.set_rule("STDP", ltp=1.0)
    run.run(100.0)
    assert run.learnt["s0"] == 1e-3
