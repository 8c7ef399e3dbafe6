"""Time steps against events: spikes matched, currents, answers (features.md 3.4)."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import soen_event as se
from hardware import fidelity
from hardware.agreement import PROMISE, agreement, trains_of_steps
from hardware.answers import Answers, paired_interval, wilson


def two_samples():
    """n: late by 0.2 and 0.4 ns, one missing; m: one extra in the second sample."""
    events = [{"n": [10.0, 50.0, 90.0], "m": []}, {"n": [20.0], "m": [5.0]}]
    stepped = [{"n": [10.2, 50.4], "m": []}, {"n": [19.9], "m": [5.0, 60.0]}]
    return stepped, events


def test_spikes_are_matched_before_times_are_compared():
    """features.md 3.4: at coarse steps the numbers differ."""
    stepped, events = two_samples()
    report = agreement(stepped, events, 0.5, cost=0.1, tau=10.0)
    n, m = report.neurons
    assert (n.id, n.trains, n.stepped, n.events, n.differing) == ("n", 2, 3, 4, 1)
    assert (n.matched, n.missing, n.extra) == (3, 1, 0)
    assert (m.matched, m.missing, m.extra) == (1, 0, 1)
    assert n.median_ns == pytest.approx(0.2)
    assert n.bias_ns == pytest.approx(0.5 / 3)
    assert n.victor_purpura == pytest.approx((0.1 * 0.6 + 1 + 0.1 * 0.1) / 2)
    assert m.van_rossum == pytest.approx(math.sqrt(0.5) / 2)
    whole = report.spikes
    assert (whole.trains, whole.stepped, whole.events, whole.differing, whole.matched) == (4, 5, 5, 2, 4)
    assert whole.share == report.differing_neurons / 2 == 0.5
    assert not report.ok
    told = report.as_dict()
    assert told["neurons"][0]["bias_steps"] == pytest.approx(1 / 3)
    assert told["share_of_trains_that_differ"] == 0.5


@given(
    trains=st.lists(st.lists(st.integers(0, 200), max_size=8, unique=True).map(sorted), min_size=1, max_size=4),
    late=st.integers(0, 3),
)
def test_a_constant_lateness_is_found(trains, late):
    events = [{"n": np.array(each) * 8.0} for each in trains]
    stepped = [{"n": np.array(each) * 8.0 + late} for each in trains]
    report = agreement(stepped, events, 1.0)
    assert report.ok
    assert report.spikes.missing == report.spikes.extra == 0
    if report.spikes.matched:
        assert report.spikes.median_ns == report.spikes.bias_ns == late


def test_the_promise_is_a_share_of_trains():
    events = [{"n": [10.0]} for _ in range(200)]
    for wrong, kept in ((1, True), (2, False)):
        stepped = [{"n": [10.0] if k >= wrong else []} for k in range(200)]
        report = agreement(stepped, events, 0.5)
        assert report.spikes.share == wrong / 200
        assert report.ok is kept
    assert PROMISE == 0.01


def test_currents_and_answers():
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(2, 30, 2))
    off = truth.copy()
    off[1, 4, 1] += 0.25
    report = agreement(
        [{}, {}], [{}, {}], 0.5, currents=(off, truth), loops=["a", "b"], answers=([1, 2], [1, 3]), labels=[1, 2]
    )
    a, b = report.loops
    assert (a.largest, a.rms) == (0.0, 0.0)
    assert a.correlation == pytest.approx(1.0)
    assert b.largest == pytest.approx(0.25)
    assert b.rms == pytest.approx(0.25 / math.sqrt(60))
    assert report.current.correlation == pytest.approx(np.corrcoef(off.ravel(), truth.ravel())[0, 1])
    assert report.ok and math.isnan(report.differing_neurons)
    assert (report.answers.first, report.answers.second, report.answers.equal) == (1.0, 0.5, 0.5)


def test_newcombe_and_mcnemar():
    """Newcombe 1998, table II: 36, 12, 2, 0 gives 0.0569 to 0.3404 by method 10; McNemar from the binomial."""
    low, high = paired_interval(36, 12, 2, 0)
    assert (round(low, 4), round(high, 4)) == (0.0569, 0.3404)
    labels = np.zeros(50, dtype=int)
    first, second = np.repeat([0, 1], [48, 2]), np.repeat([0, 1, 0], [36, 12, 2])
    found = Answers.of(labels, first, second)
    assert (found.gap, found.gap_low, found.gap_high) == pytest.approx((0.2, low, high))
    assert found.p == pytest.approx(2 * sum(math.comb(14, k) for k in range(3)) / 2**14)
    assert wilson(0, 10)[0] == 0.0
    same = Answers.of(labels, first, first)
    assert (same.gap, same.p, same.equal) == (0.0, 1.0, 1.0)


@given(table=st.tuples(*[st.integers(0, 30)] * 4).filter(any))
def test_an_interval_holds_its_gap_and_turns_with_the_sides(table):
    both, one, two, none = table
    low, high = paired_interval(both, one, two, none)
    gap = (one - two) / sum(table)
    assert -1.0 <= low <= gap + 1e-12
    assert gap - 1e-12 <= high <= 1.0
    other = paired_interval(both, two, one, none)
    assert other == pytest.approx((-high, -low), abs=1e-9)


def test_the_engine_with_itself():
    with se.Network() as net:
        se.Dendrite("d", beta_over_2pi=300)
        se.Synapse("s", "d")
        se.Coupling("d", "n", J=0.5)
        se.Neuron("n", soma=se.Soma(threshold=0.1, beta_over_2pi=300))
    recs = [se.simulate(net, {"s": [t]}, 80.0) for t in (1.0, 5.0)]
    report = fidelity.agreement(recs, recs, 1.0)
    assert report.spikes.events == report.spikes.matched > 0
    assert report.spikes.victor_purpura == report.spikes.van_rossum == report.spikes.bias_ns == 0.0
    assert fidelity.agreement(recs[0], recs[0], 1.0).samples == 1


def test_what_a_person_sees(tmp_path):
    stepped, events = two_samples()
    truth = np.random.default_rng(0).uniform(size=(2, 30, 1))
    report = agreement(
        stepped, events, 0.5, duration=100.0, currents=(truth, truth), loops=["d"], answers=([1, 2], [1, 3]),
        labels=[1, 2], name="two samples",
    )  # fmt: skip
    told = str(report)
    for words in (
        "two samples: 2 samples of 100 ns, steps of 0.5 ns",
        "2 of 4 trains have another number of spikes: 50.00 % (not less than 1 %)",
        "4 spikes matched within 20 ns: half within 0.30 steps",
        "50 % of them come late in the steps, +0.25 steps in the mean",
        "accuracy steps 100.0 %, events 50.0 %; gap +50.00 points",
        "equal answers 50.0 %",
    ):
        assert words in told
    json.loads(json.dumps(report.as_dict(), allow_nan=False))
    report.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    with pytest.raises(se.InputError, match="exists"):
        report.plot(tmp_path / "a.png")
    many = [{f"n{k}": [float(k)] for k in range(30)}]
    assert "... 10 more that are nearer" in str(agreement(many, many, 1.0))


def test_silence_is_shown_and_drawn(tmp_path):
    report = agreement([{"n": []}], [{"n": []}], 1.0, cost=math.inf)
    assert "0 of 1 trains" in str(report)
    json.dumps(report.as_dict(), allow_nan=False)
    report.plot(tmp_path / "silent.svg")
    agreement([{}], [{}], 1.0).plot(tmp_path / "empty.svg")


def test_trains_of_steps():
    spikes = np.zeros((2, 4, 2))
    spikes[0, 1, 0] = spikes[1, 3, 1] = 1.0
    found = trains_of_steps(spikes, 0.5, ["a", "b"])
    assert [{name: t.tolist() for name, t in each.items()} for each in found] == [
        {"a": [1.0], "b": []},
        {"a": [], "b": [2.0]},
    ]
    with pytest.raises(se.InputError, match=r"batch, steps, 3"):
        trains_of_steps(spikes, 0.5, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (([{"n": []}], [{"n": []}] * 2, 1.0), "2 samples, of the steps 1"),
        (([], [], 1.0), "0 samples"),
        (([{"n1": []}], [{"n2": []}], 1.0), "no neuron 'n1' in sample 0 .did you mean 'n2'"),
        (([{"n": []}], [{"n": []}], 0.0), r"agreement\.dt: 0\.0"),
        (([{"n": []}], [{"n": []}], math.nan), r"agreement\.dt"),
        (([{"n": [2.0, 1.0]}], [{"n": []}], 1.0), r"agreement\.stepped n: 1 ns comes after 2 ns"),
    ],
)
def test_what_it_refuses(arguments, told):
    with pytest.raises(se.InputError, match=told):
        agreement(*arguments)


def test_what_it_refuses_of_currents_and_answers():
    one = [{"n": []}]
    with pytest.raises(se.InputError, match="no answers to judge"):
        agreement(one, one, 1.0, labels=[1])
    with pytest.raises(se.InputError, match=r"give both as \(1, times, 2\)"):
        agreement(one, one, 1.0, currents=(np.zeros((1, 3, 2)), np.zeros((1, 4, 2))))
    with pytest.raises(se.InputError, match="labels: of shape"):
        agreement(one, one, 1.0, answers=([1], [1]), labels=[1, 2])
    with pytest.raises(se.InputError, match="second: answers of shape"):
        agreement(one, one, 1.0, answers=([1], [1, 2]))
    with pytest.raises(se.InputError, match="no answer"):
        Answers.of(None, [], [])
