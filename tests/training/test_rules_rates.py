"""Rules of rates are their definitions (features.md S0.07-S0.10, S0.15, S0.R2)."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
from event_trains import END, PHOTONS, SYNAPSES, TIMES, close, heard, kicked, network, orders, ran, replayed, site_of
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from training.registry import get
from training.rules import BCM, Hebbian, Oja, RewardHebbian, RewardOja, SampledHebbian, SampledOja

ENGINE = st.sampled_from(["compiled"] * 9 + ["reference"])
TAU = st.floats(1.0, 500.0) | st.just(math.inf)
FEWER = settings(max_examples=settings().max_examples // 3)
SIGNALS = st.lists(st.integers(1, 40).map(lambda k: k * 4.25), min_size=1, max_size=4, unique=True).map(sorted)
VALUES = st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4)


def trace(times, after, until, tau):
    """What is left at ``until`` of events later than ``after``."""
    mine = times[(times > after) & (times <= until)]
    return float(np.exp(-(until - mine) / tau).sum())


def samples(found, name, ends, tau):
    """(x, y) at the end of each sample, from the recorded detections and spikes."""
    begins = [-1.0, *ends[:-1]]
    return [
        (trace(found.pre[name], a, b, tau), trace(found.post, a, b, tau)) for a, b in zip(begins, ends, strict=True)
    ]


# ---------------------------------------------------------------------------------------------- S0.07


@FEWER
@given(tau=TAU, photons=PHOTONS, kicks=TIMES, engine=ENGINE)
def test_s0_07_hebb_is_the_sum_over_pairs(tau, photons, kicks, engine):
    """S0.07: lr e^{-|dt|/tau} of every pair, a coincidence once."""
    found = ran(Hebbian(lr=1e-3, tau=tau).on(synapses="*"), photons, kicks, engine=engine)
    for name in SYNAPSES:
        dt = np.abs(found.post[None, :] - found.pre[name][:, None])
        close(found.learnt[name], 1e-3 * np.exp(-dt / tau))


@given(tau=TAU, trains=orders())
def test_s0_07_in_any_order(tau, trains):
    """S0.07: events of one time."""
    events, pre, post = trains
    close(replayed(Hebbian(lr=0.5, tau=tau), events), 0.5 * np.exp(-np.abs(post[None, :] - pre[:, None]) / tau))


@FEWER
@given(tau=TAU, photons=PHOTONS, kicks=TIMES, ends=SIGNALS, engine=ENGINE)
def test_s0_07_hebb_at_the_end_of_samples(tau, photons, kicks, ends, engine):
    """S0.07: lr x y at each signal, each sample by itself."""
    rule = Hebbian(lr=1e-3, tau=tau, when="signal")
    found = ran(rule.on(synapses="*"), photons, kicks, [(t, "sample", 0.0) for t in ends], engine=engine)
    for name in SYNAPSES:
        close(found.learnt[name], [1e-3 * x * y for x, y in samples(found, name, ends, tau)])


def test_s0_07_counts_over_a_batch_are_the_mean_of_post_pre():
    """S0.07: dW = lr <post pre>, with lr divided by the size of the batch; counts are those of the recording."""
    rng = np.random.default_rng(5)
    ends = [50.0, 100.0, 150.0, 200.0]
    photons = {name: np.sort(rng.uniform(0, END, 9)) for name in SYNAPSES}
    rule = SampledHebbian(lr=0.01 / len(ends))
    found = ran(rule.on(synapses="*"), photons, rng.uniform(0, END, 14), [(t, "sample", 0.0) for t in ends])
    edges = [0.0, *ends]
    post = np.histogram(found.post, edges)[0]
    for name in SYNAPSES:
        pre = np.histogram(found.pre[name], edges)[0]
        assert pre.sum() == 9 and post.sum() == 14
        assert found.learnt[name] == pytest.approx(0.01 * np.mean(post * pre), rel=1e-13)


# ---------------------------------------------------------------------------------------------- S0.08


@FEWER
@given(tau=TAU, start=st.floats(-1.0, 1.0), photons=PHOTONS, kicks=TIMES, engine=ENGINE)
def test_s0_08_oja_is_its_sums_over_pairs(tau, start, photons, kicks, engine):
    """S0.08: pairs of a detection and a spike less pairs of spikes times the weight, event by event."""
    lr = 2e-3
    found = ran(Oja(lr=lr, tau=tau).on(synapses="*"), photons, kicks, weight=start, engine=engine)
    for name in SYNAPSES:
        weight, moved, pre = start, abs(start), []
        post = []
        for t, kind in sorted([(t, 0) for t in found.post] + [(t, 1) for t in found.pre[name]]):
            if kind == 1:
                step = lr * np.exp(-(t - np.array(post)) / tau).sum()
                pre.append(t)
            else:
                yx = np.exp(-(t - np.array(pre)) / tau).sum()
                yy = 1.0 + 2.0 * np.exp(-(t - np.array(post)) / tau).sum()
                step = lr * (yx - yy * weight)
                moved += lr * (yx + yy * abs(weight))
                post.append(t)
            weight += step
            moved += abs(step)
        assert abs(found.learnt[name] - weight) <= 1e-12 * moved


@FEWER
@given(tau=TAU, start=st.floats(-1.0, 1.0), photons=PHOTONS, kicks=TIMES, ends=SIGNALS, engine=ENGINE)
def test_s0_08_oja_at_the_end_of_samples(tau, start, photons, kicks, ends, engine):
    """S0.08: lr (x y - y^2 w)."""
    rule = Oja(lr=2e-3, tau=tau, when="signal")
    found = ran(rule.on(synapses="*"), photons, kicks, [(t, "sample", 0.0) for t in ends], weight=start, engine=engine)
    for name in SYNAPSES:
        weight, moved = start, abs(start)
        for x, y in samples(found, name, ends, tau):
            weight += 2e-3 * (x * y - y * y * weight)
            moved += 2e-3 * (x * y + y * y * abs(weight))
        assert abs(found.learnt[name] - weight) <= 1e-12 * moved


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_s0_08_a_linear_neuron_learns_the_leading_eigenvector(seed):
    """S0.08: with a small lr the weights end at norm 1 along the leading eigenvector of <x x>."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    spread = np.array([2.0, 0.8, 0.3])
    rule = SampledOja(lr=4e-3)
    sites = [site_of(rule) for _ in range(3)]
    w = rng.normal(size=3)
    w /= np.linalg.norm(w)
    xs = (rng.normal(size=(3000, 3)) * spread) @ turn.T
    for t, x in enumerate(xs, start=1):
        y = float(w @ x)
        w = w + [heard(rule, s, "on_sample", float(t), x=a, y=y, weight=v) for s, a, v in zip(sites, x, w, strict=True)]
    leading = np.linalg.eigh(xs.T @ xs)[1][:, -1]
    assert np.linalg.norm(w) == pytest.approx(1.0, abs=0.05)
    assert abs(w @ leading) / np.linalg.norm(w) > 0.99


# ---------------------------------------------------------------------------------------------- S0.09


@FEWER
@given(
    momentum=st.floats(0.0, 0.99),
    tau=TAU,
    photons=PHOTONS,
    kicks=TIMES,
    ends=SIGNALS,
    reset=st.booleans(),
    engine=ENGINE,
)
def test_s0_09_bcm(momentum, tau, photons, kicks, ends, reset, engine):
    """S0.09: the threshold slides first, then lr y (y - theta) x; all synapses of a neuron have one threshold."""
    signals = [(t, "sample", 0.0) for t in ends] + ([(ends[0], "reset", 0.0)] if reset else [])
    rule = BCM(lr=1e-3, threshold_momentum=momentum, tau=tau)
    found = ran(rule.on(synapses="*"), photons, kicks, signals, engine=engine)
    thresholds = [found.run.site(name)["theta"] for name in SYNAPSES]
    assert tau < math.inf or len(set(thresholds)) == 1
    for name, threshold in zip(SYNAPSES, thresholds, strict=True):
        theta, terms = 0.0, []
        for k, (x, y) in enumerate(samples(found, name, ends, tau)):
            theta = momentum * theta + (1.0 - momentum) * y**2
            terms += [1e-3 * y * y * x, -1e-3 * y * theta * x]
            if reset and k == 0:
                theta = 0.0
        close(found.learnt[name], terms)
        assert threshold == pytest.approx(theta, rel=1e-12)


@given(x=st.floats(0.1, 5.0), y=st.floats(0.1, 5.0), theta=st.floats(0.0, 25.0))
def test_s0_09_the_sign_flips_at_the_threshold(x, y, theta):
    """S0.09: strengthened above theta, weakened below."""
    rule = BCM(lr=1.0, threshold_momentum=0.999)
    site = site_of(rule)
    change = heard(rule, site, "on_sample", 1.0, x=x, y=y, theta=theta)
    assert np.sign(change) == np.sign(y - site.theta)


# ---------------------------------------------------------------------------------------------- S0.10, S0.R2, S0.15


def advantages(values, baseline, momentum):
    """Rewards less the sliding mean of those before."""
    out, mean = [], 0.0
    for n, r in enumerate(values, start=1):
        out.append(r - mean if baseline else r)
        mean += max(1.0 / n, 1.0 - momentum) * (r - mean)
    return out


@FEWER
@given(
    tau=TAU,
    baseline=st.booleans(),
    momentum=st.floats(0.0, 1.0),
    photons=PHOTONS,
    kicks=TIMES,
    ends=SIGNALS,
    values=VALUES,
    start=st.floats(-1.0, 1.0),
    oja=st.booleans(),
    engine=ENGINE,
)
def test_s0_10_rewards(tau, baseline, momentum, photons, kicks, ends, values, start, oja, engine):
    """S0.10: lr r y x. S0.R2: lr r (y x - y^2 w). With and without the mean of earlier rewards as a baseline."""
    kind = RewardOja if oja else RewardHebbian
    rule = kind(lr=1e-3, tau=tau, baseline=baseline, baseline_momentum=momentum)
    signals = [(t, "reward", r) for t, r in zip(ends, values, strict=False)]
    found = ran(rule.on(synapses="*"), photons, kicks, signals, weight=start, engine=engine)
    rewards = advantages(values[: len(ends)], baseline, momentum)
    for name in SYNAPSES:
        weight, moved = start, abs(start)
        for (x, y), r in zip(samples(found, name, ends, tau), rewards, strict=True):
            terms = 1e-3 * r * np.array([x * y, -y * y * weight * oja])
            weight += terms.sum()
            moved += np.abs(terms).sum() + 1e-3 * 4 * y * (x + y)
        assert abs(found.learnt[name] - weight) <= 1e-12 * moved


@pytest.mark.parametrize("kind", [RewardHebbian, RewardOja])
def test_s0_10_without_a_reward_nothing_is_learnt(kind):
    """S0.10: no silent Hebb: neither without any reward nor with one of 0; and a reward of -1 is the opposite of one of 1."""
    photons, kicks = {"s0": [10.0, 20.0], "s1": [30.0]}, [15.0, 40.0]

    def learnt(*signals):
        found = ran(kind(lr=1e-3).on(synapses="*"), photons, kicks, signals, weight=0.5)
        assert len(found.post) == 2
        return np.array([found.learnt[name] - 0.5 for name in SYNAPSES])

    assert (learnt() == 0.0).all()
    assert (learnt((60.0, "reward", 0.0)) == 0.0).all()
    good, bad = learnt((60.0, "reward", 1.0)), learnt((60.0, "reward", -1.0))
    assert good[0] != 0.0 and good == pytest.approx(-bad, rel=1e-12)
    hebb = np.array([4e-3, 2e-3, 0.0]) - (kind is RewardOja) * 2e-3
    assert good == pytest.approx(hebb, rel=1e-12)


def test_s0_10_the_mean_of_all_rewards():
    """S0.10: baseline r - mean r, of the rewards before; with momentum 1 the plain mean."""
    rule = RewardHebbian(lr=1.0, baseline=True, baseline_momentum=1.0)
    site = site_of(rule)
    changes = [
        heard(rule, site, "on_reward", float(t), x=1.0, y=1.0, signal=r) for t, r in enumerate([1.0, 3.0, 8.0], 1)
    ]
    assert changes == [1.0, 2.0, 6.0]
    assert site.mean == pytest.approx(4.0)


def test_s0_15_a_bandit_is_learnt():
    """S0.15: two neurons are two arms, noise photons make them explore; the one that pays gets the weight. It is rewarded by 1 or -1."""
    with se.Network() as net:
        for arm in ("a", "b"):
            se.Neuron(arm, soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0))
            se.Dendrite(f"{arm}.cue", ib=1.8, beta_over_2pi=300.0, tau=50.0)
            se.Synapse(f"cue.{arm}", f"{arm}.cue", weight=0.5)
            se.Coupling(f"{arm}.cue", arm, J=0.4)
            se.Dendrite(f"{arm}.noise", ib=1.8, beta_over_2pi=300.0, tau=50.0)
            se.Synapse(f"noise.{arm}", f"{arm}.noise")
            se.Coupling(f"{arm}.noise", arm, J=0.4)
    rng = np.random.default_rng(3)
    learning = RewardHebbian(lr=0.01, tau=100.0).on(synapses="cue.*", storage=se.Storage(0.0, 1.5, levels=400))
    run = se.Simulation(net, resolution="flow", learning=learning, seed=1)
    paid, before = [], 0
    for trial in range(100):
        t = 300.0 * trial
        cue = {f"cue.{arm}": [t + 1.0, t + 15.0] for arm in "ab"}
        noise = {f"noise.{arm}": np.sort(rng.uniform(t, t + 60.0, rng.poisson(2.0))) for arm in "ab"}
        run.inject({**cue, **noise})
        run.run(t + 100.0)
        counts = run.state.spikes - before
        before = run.state.spikes
        choice = int(rng.integers(2)) if counts[0] == counts[1] else int(np.argmax(counts))
        paid.append(float(choice == 1))
        run.signal("reward", {"ab"[choice]: 2.0 * paid[-1] - 1.0})
        run.run(t + 300.0)
    assert run.learnt["cue.b"] > run.learnt["cue.a"] + 0.2
    assert np.mean(paid[-40:]) > 0.9 > 0.8 > np.mean(paid[:20])


# ---------------------------------------------------------------------------------------------- what they need, and nonsense


def test_what_they_read():
    traces, sampled = {"pre", "post"}, {"pre", "post", "broadcast"}
    needs = {
        "hebbian": (Hebbian, traces),
        "sampled_hebbian": (SampledHebbian, sampled),
        "oja": (Oja, traces | {"weight"}),
        "sampled_oja": (SampledOja, sampled | {"weight"}),
        "bcm": (BCM, sampled),
        "reward_hebbian": (RewardHebbian, sampled),
        "reward_oja": (RewardOja, sampled | {"weight"}),
    }
    for name, (rule, wanted) in needs.items():
        assert get("rule", name) is rule and rule.requires == wanted
    assert get("rule", "hebb") is Hebbian


@pytest.mark.parametrize(("rule", "sampled"), [(Hebbian, SampledHebbian), (Oja, SampledOja)])
def test_the_form_of_a_rule(rule, sampled):
    """What is heard is said by the class, so a chip without broadcast can run the first form and refuse the second."""
    other = rule(0.1, 5.0, "signal")
    assert type(other) is sampled and other == rule(lr=0.1, tau=5.0, when="signal") == sampled(0.1, 5.0)
    assert type(rule()) is rule and "broadcast" not in rule().requires
    assert dataclasses.replace(other, lr=0.2) == sampled(0.2, 5.0)
    for twin in (
        copy.deepcopy(other),
        pickle.loads(pickle.dumps(other)),
        dataclasses.replace(rule(0.1, 5.0), when="signal"),
    ):
        assert twin == other and type(twin) is sampled
    with pytest.raises(InputError, match=f"{sampled.__name__}.when: 'pairs' is unknown.*give 'signal'"):
        sampled(when="pairs")


@pytest.mark.parametrize(
    ("rule", "arguments", "what"),
    [
        (Hebbian, {"lr": None}, r"Hebbian\.lr: None is not a number"),
        (Hebbian, {"tau": 0.0}, r"Hebbian\.tau: 0 is not above 0"),
        (Hebbian, {"when": "signals"}, r"Hebbian\.when: 'signals' is unknown \(did you mean 'signal'\?\)"),
        (SampledHebbian, {"tau": -math.inf}, r"SampledHebbian\.tau: -inf is not finite"),
        (Oja, {"tau": "20"}, r"Oja\.tau: '20' is not a number"),
        (BCM, {"threshold_momentum": 1.0}, r"BCM\.threshold_momentum: 1 is not below 1"),
        (BCM, {"threshold_momentum": -0.1}, r"BCM\.threshold_momentum: -0.1 is below 0"),
        (RewardHebbian, {"baseline": "mean"}, r"RewardHebbian\.baseline: 'mean' is no truth value"),
        (RewardOja, {"baseline_momentum": 1.5}, r"RewardOja\.baseline_momentum: 1.5 is above 1"),
    ],
)
def test_nonsense(rule, arguments, what):
    with pytest.raises(InputError, match=what):
        rule(**arguments)


def test_a_signal_that_no_rule_hears_is_refused():
    with pytest.raises(InputError, match=r"'sampel' is unknown.*did you mean 'sample'"):
        se.Simulation(
            network(),
            se.Stimulus(drives=kicked([1.0])),
            learning=BCM().on(synapses="*"),
            signals=[(1.0, "sampel", 0.0)],
        )
