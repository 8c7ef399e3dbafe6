"""Distances of spike trains: golden numbers, laws of a metric, and the alignment against all alignments (features.md 2.2, 5.4, 5.5)."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.trains import align, checked_train, van_rossum, victor_purpura

# Times on a coarse grid too, so that trains share spikes and have several spikes at once.
TIMES = st.one_of(st.floats(0.0, 100.0), st.integers(0, 20).map(float))
TRAINS = st.lists(TIMES, max_size=12).map(sorted)
COSTS = st.one_of(st.floats(1e-3, 10.0), st.just(math.inf))
DISTANCES = {
    "Victor-Purpura": lambda a, b, x: victor_purpura(a, b, cost=x),
    "van Rossum": lambda a, b, x: van_rossum(a, b, tau=min(1.0 / x if x else math.inf, 1e3) or 1e-3),
}


def test_golden_victor_purpura():
    """features.md 2.2 (5.5): VP([10, 30], [12, 50], q = 0.1) = 2.2, VP([10], [40], 0.1) = 2."""
    assert victor_purpura([10, 30], [12, 50], cost=0.1) == 2.2
    assert victor_purpura([10], [40], cost=0.1) == 2.0
    found = align([10, 30], [12, 50], cost=0.1)
    assert found.pairs.tolist() == [[0, 0]]
    assert (found.missing.tolist(), found.extra.tolist(), found.shifts.tolist()) == ([1], [1], [2.0])


def test_golden_van_rossum():
    """features.md 2.2 (5.5): one unmatched spike D^2 = 1/2; [10] against [15] at tau 10, D^2 = 0.393469."""
    assert van_rossum([3.0], [], squared=True) == 0.5
    assert van_rossum([10], [15], tau=10.0, squared=True) == pytest.approx(1.0 - math.exp(-0.5), rel=1e-15)
    assert round(van_rossum([10], [15], tau=10.0, squared=True), 6) == 0.393469
    assert van_rossum([10], [15], tau=10.0) == math.sqrt(van_rossum([10], [15], tau=10.0, squared=True))


def test_limits_of_the_cost_and_of_the_decay_time():
    a, b = [1.0, 5.0, 9.0, 9.5], [1.0, 6.0]
    assert victor_purpura(a, b, cost=0.0) == 2.0
    assert align(a, b, cost=0.0).pairs.tolist() == [[0, 0], [1, 1]]
    assert victor_purpura(a, b, cost=math.inf) == 4.0
    assert align(a, b, cost=math.inf).pairs.tolist() == [[0, 0]]
    assert align(a, b, cost=1e20).pairs.tolist() == [[0, 0]]
    assert van_rossum(a, b, tau=1e-6, squared=True) == pytest.approx(2.0)
    assert van_rossum(a, b, tau=1e9, squared=True) == pytest.approx(2.0, rel=1e-6)


def test_empty_trains():
    for distance in DISTANCES.values():
        assert distance([], [], 0.1) == 0.0
    assert victor_purpura([], [1.0, 2.0]) == victor_purpura([1.0, 2.0], []) == 2.0
    nothing = align([], [1.0])
    assert nothing.pairs.shape == (0, 2)
    assert nothing.extra.tolist() == [0]


@pytest.mark.parametrize("name", DISTANCES)
@given(a=TRAINS, b=TRAINS, c=TRAINS, x=COSTS)
def test_laws_of_a_metric(name, a, b, c, x):
    """features.md 5.4 (S2.14): symmetry, triangle, identity, for Victor-Purpura and van Rossum."""
    distance = DISTANCES[name]
    ab = distance(a, b, x)
    assert distance(b, a, x) == pytest.approx(ab, rel=1e-12, abs=1e-12)
    assert distance(a, c, x) <= ab + distance(b, c, x) + 1e-9
    assert distance(a, a, x) == 0.0
    if a != b and not np.allclose(a, b, rtol=0.0, atol=1e-9) if len(a) == len(b) else True:
        assert ab > 0.0


@given(a=TRAINS, b=TRAINS, shift=st.floats(-50.0, 50.0), x=st.floats(1e-2, 1.0))
def test_a_shift_of_both_and_a_scale_of_time_change_nothing(a, b, shift, x):
    for distance in DISTANCES.values():
        there = distance(np.array(a) + shift, np.array(b) + shift, x)
        assert there == pytest.approx(distance(a, b, x), abs=1e-6)
        assert distance(3.0 * np.array(a), 3.0 * np.array(b), x / 3.0) == pytest.approx(distance(a, b, x), abs=1e-6)


def least(a, b, cost):
    """The least cost of all alignments in order, one by one."""
    best = len(a) + len(b)
    for k in range(1, min(len(a), len(b)) + 1):
        for of_a in combinations(a, k):
            for of_b in combinations(b, k):
                moved = sum(abs(s - t) for s, t in zip(of_a, of_b, strict=True))
                best = min(best, len(a) + len(b) - 2 * k + (cost * moved if moved else 0.0))
    return best


SHORT = st.lists(TIMES, max_size=5).map(sorted)


@settings(max_examples=200)
@given(a=SHORT, b=SHORT, cost=st.one_of(COSTS, st.just(0.0)))
def test_the_alignment_is_the_best_of_all(a, b, cost):
    """features.md 2.2: Victor-Purpura, against every alignment."""
    found = align(a, b, cost)
    assert found.distance == pytest.approx(least(a, b, cost), abs=1e-9)
    assert (np.diff(found.pairs, axis=0) > 0).all()
    assert len(found.missing) + len(found.pairs) == len(a)
    assert len(found.extra) + len(found.pairs) == len(b)
    if cost:
        assert (np.abs(found.shifts) * cost <= 2.0 + 1e-9).all() if not math.isinf(cost) else not found.shifts.any()


@given(a=TRAINS, b=TRAINS, tau=st.floats(0.1, 100.0))
def test_van_rossum_is_the_sum_over_all_pairs(a, b, tau):
    """features.md 2.2: D^2 = 1/2 sum c_k c_l exp(-|t_k - t_l|/tau), c = 1 in one train and -1 in the other."""
    t = np.array([*a, *b])
    c = np.repeat([1.0, -1.0], [len(a), len(b)])
    square = 0.5 * c @ np.exp(-np.abs(t[:, None] - t) / tau) @ c
    assert van_rossum(a, b, tau, squared=True) == pytest.approx(square, abs=1e-9)


def test_ten_thousand_spikes():
    """As far from their partners as from their neighbours: the dynamic programme against a row-by-row one of all pairs, of a part."""
    rng = np.random.default_rng(0)
    a = np.sort(rng.uniform(0.0, 1e5, 10_000))
    b = np.sort(np.delete(a, rng.choice(10_000, 300, replace=False)) + rng.normal(0.0, 3.0, 9_700))
    found = align(a, b, cost=0.1)
    assert found.distance == pytest.approx(victor_purpura(b, a, cost=0.1), rel=1e-12)
    some_a, some_b = a[:300], b[b < a[300]]
    whole = np.arange(len(some_b) + 1.0)
    for spike in some_a:
        new = whole + 1.0
        for j in range(len(some_b)):
            new[j + 1] = min(new[j + 1], new[j] + 1.0, whole[j] + 0.1 * abs(spike - some_b[j]))
        whole = new
    assert victor_purpura(some_a, some_b, cost=0.1) == pytest.approx(whole[-1], rel=1e-12)
    assert van_rossum(a, b) == pytest.approx(van_rossum(b, a), rel=1e-12)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([2.0, 1.0], "1 ns comes after 2 ns"),
        ([1.0, math.nan], "nan is not finite"),
        ([math.inf], "inf is not finite"),
        ([[1.0]], "one row"),
        ("often", "no train"),
    ],
)
def test_trains_that_are_refused(times, told):
    for call in (align, victor_purpura, van_rossum):
        with pytest.raises(se.InputError, match=told):
            call(times, [1.0])
        with pytest.raises(se.InputError, match=told):
            call([1.0], times)


@pytest.mark.parametrize("bad", [-0.1, math.nan, "much", None, True])
def test_costs_and_decay_times_that_are_refused(bad):
    with pytest.raises(se.InputError, match=r"align\.cost"):
        align([1.0], [1.0], bad)
    with pytest.raises(se.InputError, match=r"van_rossum\.tau"):
        van_rossum([1.0], [1.0], bad)
    for tau in (0.0, math.inf):
        with pytest.raises(se.InputError, match="positive"):
            van_rossum([], [], tau)


def test_a_train_is_checked_once():
    assert checked_train((1, 2), "here").dtype == np.float64
    assert checked_train([], "here").shape == (0,)
