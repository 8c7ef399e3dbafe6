"""Forward-forward: updates are their formula, both engines agree, and real data end up with more goodness than false ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from soen_event.learning import Storage
from training.rules.forward import ForwardForward, ForwardForwardCurrent, sureness

few = settings(max_examples=15, deadline=None)
IMAGE, LABEL = {0: [0, 1, 2], 1: [3, 4, 5]}, {0: [6, 7], 1: [8, 9]}
UNITS = 6


def network(seed=0, spiking=True):
    """Six dendrites that each see the ten pixels, on a neuron each, or alone."""
    rng = np.random.default_rng(seed)
    with se.Network() as net:
        for u in range(UNITS):
            se.Dendrite(f"d{u}", beta_over_2pi=100, tau=30.0)
            if spiking:
                se.Neuron(f"n{u}", soma=se.Soma(threshold=0.15, tau=30.0, t_ref=5.0), refractory=None)
                se.Coupling(f"d{u}", f"n{u}", J=0.7)
            for k in range(10):
                se.Synapse(f"s{k}.d{u}", f"d{u}", weight=float(rng.uniform(0.05, 0.3)), tau_fall=20.0)
    return net


def photons(image, label, start, rng):
    """An image with one pixel too many or too few, and a label: five pixels that send three photons."""
    lit = set(IMAGE[image]) ^ {int(rng.integers(6))} | set(LABEL[label])
    return {f"s{k}.d{u}": [start + t for t in (5.0, 25.0, 45.0)] for k in sorted(lit) for u in range(UNITS)}


def present(run, start, image, label, rng, real):
    run.signal("begin")
    run.inject(photons(image, label, start, rng))
    run.run(start + 100.0)
    run.signal("positive" if real else "negative")
    run.run(start + 200.0)


def goodness(net, what):
    """Sum over the units for (image, label), means of 10 samples, (2, 2); and how many of 20 images their better label is right for."""
    run, rng = se.Simulation(net, record="spikes"), np.random.default_rng(5)
    mean, right = np.zeros((2, 2)), 0
    for image in (0, 1):
        for seed in rng.integers(1 << 30, size=10).tolist():
            found = []
            for label in (0, 1):
                one = run.afresh(photons(image, label, 0.0, np.random.default_rng(seed)))
                one.run(100.0)
                found.append(what(one.finish()))
            mean[image] += np.array(found) / 10
            right += found[image] > found[1 - image]
    return mean, right


def of_spikes(rec):
    return sum(len(rec.spikes[f"n{u}"]) ** 2 for u in range(UNITS))


def of_currents(rec):
    """The mean of s is that of its leak, tau/T times the current of all quanta that came in."""
    return sum((rec.fluxon_count[f"d{u}"] / 100.0 * 30.0 / 100.0) ** 2 for u in range(UNITS))


RULES = (
    (ForwardForward(), of_spikes, True, 18),
    (ForwardForwardCurrent(lr=0.05), of_currents, False, 16),
)


@pytest.mark.parametrize(("rule", "what", "spiking", "least"), RULES, ids=["spikes", "current"])
def test_real_samples_become_better_than_false_ones(rule, what, spiking, least):
    """Real: the label is the image's. It must be seen in the pair, for each image and each label is as often real as false."""
    net = network(0, spiking)
    before, right = goodness(net, what)
    run = se.Simulation(net, learning=rule.on(synapses="*", storage=Storage(-0.4, 0.4)), record="spikes")
    rng = np.random.default_rng(0)
    for n in range(200):
        image, real = int(rng.integers(2)), bool(n % 2)
        present(run, 200.0 * n, image, image if real else 1 - image, rng, real)
    for name, weight in run.learnt.items():
        net.replace(name, weight=weight)
    after, more = goodness(net, what)
    print(
        f"goodness (image, label) before {before.round(3).tolist()}, {right}/20; after {after.round(3).tolist()}, {more}/20"
    )
    real, false = np.trace(after), after.sum() - np.trace(after)
    assert np.trace(before) / (before.sum() - np.trace(before)) < 1.2
    assert real > 1.5 * false
    assert right <= 12 and more >= least


@few
@given(
    engine=st.sampled_from(["compiled", "reference"]),
    power=st.sampled_from([1, 2]),
    sign=st.sampled_from([1, -1]),
    tau_pre=st.sampled_from([math.inf, 30.0]),
    verdicts=st.lists(st.sampled_from(["positive", "negative"]), min_size=2, max_size=2),
)
def test_the_update_is_its_formula(engine, power, sign, tau_pre, verdicts):
    """Of two samples, from the spikes and detections of the recording."""
    net = network()
    rule = ForwardForward(0.01, 3.0, 2.0, power, tau_pre, 40.0, sign)
    rng = np.random.default_rng(1)
    given_photons = {s: t + [150.0 + x for x in t] for s, t in photons(0, 1, 0.0, rng).items()}
    run = se.Simulation(net, given_photons, engine=engine, learning=rule.on(synapses="*"), record="detections")
    held, begins = run.learnt, 0.0
    expected = dict(held)
    for end, verdict in zip((100.0, 250.0), verdicts, strict=True):
        run.run(end)
        rec = run.recording()
        run.signal(verdict)
        for site in held:
            x, y = (
                sum(math.exp(-(end - t) / tau) for t in times if begins < t <= end)
                for times, tau in ((rec.detections[site], tau_pre), (rec.spikes[f"n{site[-1]}"], 40.0))
            )
            g, slope = (y, 1.0) if power == 1 else (y * y, 2 * y)
            p = 1 / (1 + math.exp(-(g - 3.0) / 2.0))
            expected[site] += sign * 0.01 * slope * x * ((1 - p) if verdict == "positive" else -p)
        begins = end
    assert run.learnt == pytest.approx(expected, abs=1e-12)
    assert run.learnt != held


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("power", [1, 2])
def test_the_update_of_a_current_is_its_formula(engine, power):
    """Of the areas that a site sees, and of the mean current of the recording."""
    net = network(spiking=False)
    rule = ForwardForwardCurrent(0.05, 0.2, 0.1, power)
    run = se.Simulation(
        net,
        photons(1, 1, 0.0, np.random.default_rng(1)),
        engine=engine,
        learning=rule.on(synapses="*"),
        record={"currents": ["d0"], "detections": None},
    )
    run.run(3.0)
    run.signal("begin")
    start, before = run.learnt, run.site("s0.d0")["current_area"]
    run.run(83.0)
    run.signal("positive")
    middle, area = run.learnt, run.site("s0.d0")["current_area"]
    run.signal("negative")  # lasts no time
    assert run.learnt == middle
    run.run(163.0)
    run.signal("negative")
    last, rec = run.learnt, run.finish()
    last_area = run.site("s0.d0")["current_area"]
    seen = []
    for one, other, a, b, t0, t1, sure in (
        (start, middle, before, area, 3.0, 83.0, lambda p: 1 - p),
        (middle, last, area, last_area, 83.0, 163.0, lambda p: -p),
    ):
        y = (b - a) / (t1 - t0)
        grid = t0 + (np.arange(4000) + 0.5) / 4000 * (t1 - t0)
        assert y == pytest.approx(np.mean(rec.current("d0", grid)), abs=2e-4)
        g, slope = (y, 1.0) if power == 1 else (y * y, 2 * y)
        p = 1 / (1 + math.exp(-(g - 0.2) / 0.1))
        for k in range(10):
            x = np.sum((rec.detections[f"s{k}.d0"] > t0) & (rec.detections[f"s{k}.d0"] <= t1))
            moved = other[f"s{k}.d0"] - one[f"s{k}.d0"]
            assert moved == pytest.approx(0.05 * sure(p) * slope * x, abs=1e-12)
            seen.append(abs(moved))
    assert max(seen) > 1e-3 and min(seen) == 0.0


def test_the_logistic_does_not_overflow():
    for x in (-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4):
        assert sureness(x) == pytest.approx(0.5 * (1 + math.tanh(x / 2)), abs=1e-15)


def test_nonsense():
    for what, make in {
        "lr: -1 is below 0": lambda: ForwardForward(lr=-1),
        "width: 0 is not above": lambda: ForwardForward(width=0.0),
        "power: 3 is unknown": lambda: ForwardForward(power=3),
        "sign: 0 is unknown": lambda: ForwardForwardCurrent(sign=0),
        "tau_post: 0 is not above": lambda: ForwardForward(tau_post=0.0),
        "threshold: nan is not finite": lambda: ForwardForwardCurrent(threshold=math.nan),
    }.items():
        with pytest.raises(InputError, match=what):
            make()
