"""Schedules: values of features.md (S0.18, S0.C1, S0.C2, S2.08-S2.13, S4.05-S4.08), joints, binding, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soen_event.errors import InputError
from training import registry
from training.optim import SGD
from training.reactive import Adaptive, Greedy, Plateau
from training.schedules import (
    Chain,
    Constant,
    Cooldown,
    Cosine,
    CosineRestarts,
    Exponential,
    Linear,
    Multiply,
    OneCycle,
    Rex,
    Schedule,
    Step,
    WarmCosine,
    Warmup,
    WarmupCosine,
    make,
)

few = settings(max_examples=50, deadline=None)


def at(schedule, *epochs):
    return [schedule.get_lr(epoch) for epoch in epochs]


def test_s0_c1_constant_linear_rex():
    """S0.C1: constant, linear (and of the logarithm), rex at t = 0, .25, .5, .75, 1."""
    assert at(Constant(0.1), 0, 1000) == [0.1, 0.1]
    assert at(Linear(1.0, 0.0, epochs=10), 0, 5, 10, 20) == [1.0, 0.5, 0.0, 0.0]
    assert at(Linear(1.0, 1e-4, log_space=True, epochs=4), 1, 2, 4) == pytest.approx([0.1, 0.01, 1e-4])
    assert (Linear().max_lr, Linear().min_lr) == (1e-3, 1e-6)
    golden = [1.0, 0.857143, 0.666667, 0.4, 0.0]
    assert at(Rex(max_lr=1.0), 0, 25, 50, 75, 100) == pytest.approx(golden, abs=5e-7)
    warm = Rex(warmup_epochs=10, warmup_start_lr=0.1, max_lr=1.0, min_lr=0.5, epochs=110)
    assert at(warm, 0, 5, 10, 60, 110) == pytest.approx([0.1, 0.55, 1.0, 0.5 + 0.5 * 0.666667, 0.5], abs=1e-6)


def test_s2_08_step():
    """S2.08, S4.06: step 30, gamma .1: e = 29 -> 1, e = 30 -> .1."""
    assert at(Step(1.0, 30, 0.1), 29, 30, 60) == pytest.approx([1.0, 0.1, 0.01])
    assert (Step().step_size, Step().gamma) == (30, 0.1)


def test_s2_09_cosine():
    """S2.09, S4.05: lr 1e-3, T 100, eta_min 1e-6: 8.53700e-4 at 25, 5.005e-4 at 50, 1e-6 from 100 on."""
    schedule = Cosine(1e-3, T_max=100, eta_min=1e-6)
    assert at(schedule, 0, 25, 50, 100, 500) == pytest.approx([1e-3, 8.53700e-4, 5.005e-4, 1e-6, 1e-6], rel=1e-6)


def test_s2_09_bound_to_an_optimizer():
    """S2.09: CosineAnnealingLR(optimizer, T_max, eta_min) and .step()."""
    sgd = SGD(lr=1e-3)
    schedule = registry.get("schedule", "CosineAnnealingLR")(sgd, 100, 1e-6)
    assert sgd.lr == 1e-3
    for _ in range(25):
        schedule.step()
    assert sgd.lr == pytest.approx(8.537e-4, rel=1e-6) and schedule.epoch == 25
    assert schedule.step(50) == sgd.lr == pytest.approx(5.005e-4)
    again = Cosine(T_max=100, eta_min=1e-6)
    with pytest.raises(InputError, match="bind"):
        again.get_lr(0)
    again.load_state_dict(schedule.state_dict())
    other = SGD(lr=9.0)
    again.bind(other)
    assert other.lr == sgd.lr and again.step() == schedule.step()
    with pytest.raises(InputError):
        again.bind(3)


def test_s2_10_warmup():
    """S2.10: the option first= says whether epoch 0 has 0 or lr / n."""
    assert at(Warmup(1.0, 10), 0, 5, 10, 11) == [0.0, 0.5, 1.0, 1.0]
    assert at(Warmup(1.0, 10, first="lr/n"), 0, 4, 9, 10) == [0.1, 0.5, 1.0, 1.0]
    with pytest.raises(InputError, match="did you mean 'zero'"):
        Warmup(1.0, 10, first="zeros")


def test_s2_11_exponential():
    """S2.11: lr gamma^e."""
    assert at(Exponential(2.0, 0.5), 0, 1, 3) == [2.0, 1.0, 0.25]


def test_s4_08_warmup_cosine():
    """S4.08: lr 1e-3: e = 0 -> 1e-4, 4 -> 5e-4, 9 and 10 -> 1e-3, 55 -> 5.005e-4, 100 -> 1e-6."""
    golden = [1e-4, 5e-4, 1e-3, 1e-3, 5.005e-4, 1e-6, 1e-6]
    assert at(WarmupCosine(1e-3), 0, 4, 9, 10, 55, 100, 300) == pytest.approx(golden, rel=1e-9)


def test_s2_12_chain():
    """S2.12: warm-up, cosine, cooldown; each on its own clock; continuous at the joints."""
    chain = Chain([(Warmup(1e-3, 10), 10), (Cosine(1e-3, 80, 1e-4), 80), (Cooldown(epochs=10), 10)])
    assert at(chain, 0, 5, 10, 50, 90, 95, 100, 150) == pytest.approx(
        [0.0, 5e-4, 1e-3, 5.5e-4, 1e-4, 5e-5, 0.0, 0.0], abs=1e-15
    )
    assert chain.jumps() == pytest.approx([0.0, 0.0], abs=1e-9)
    jumping = Chain([(Constant(1.0), 5), (Exponential(0.5, 0.5), 5)])
    assert jumping.jumps() == [-0.5]
    scaled = Chain([(Constant(1.0), 5), (Exponential(0.5, 0.5), 5)], continuous=True)
    assert scaled.jumps() == [0.0] and scaled.get_lr(6) == 0.5
    named = make(
        {"name": "chain", "parts": [[{"name": "warmup", "epochs": 4}, 4], ["cosine_annealing", 6], ["cooldown", 2]]}
    )
    sgd = SGD(lr=0.5)
    named.bind(sgd)
    assert sgd.lr == 0.0 and named.step(4) == 0.5 and named.get_lr(10) == named._parts[1][0].get_lr(6)
    fresh = make(
        {"name": "chain", "parts": [[{"name": "warmup", "epochs": 4}, 4], ["cosine_annealing", 6], ["cooldown", 2]]}
    )
    fresh.load_state_dict(named.state_dict())
    assert at(fresh, 0, 3, 7, 11) == at(named, 0, 3, 7, 11) and fresh.epoch == 4


@given(
    lr=st.floats(1e-4, 1.0),
    low=st.floats(0.0, 1e-4),
    spans=st.lists(st.integers(1, 50), min_size=3, max_size=3),
    continuous=st.booleans(),
)
@few
def test_s2_12_continuity(lr, low, spans, continuous):
    """S2.12: no jump where each part ends as the next begins."""
    warm, middle, cool = spans
    parts = [(Warmup(lr, warm), warm), (Cosine(lr, middle, low), middle), (Cooldown(epochs=cool), cool)]
    assert Chain(parts, continuous=continuous).jumps() == pytest.approx([0.0, 0.0], abs=1e-7 * lr)


def test_s2_12_multiply():
    """S2.12: factors are multiplied; the optimizer's rate goes to one of them."""
    both = Multiply([Cosine(1e-3, 100), Warmup(1.0, 10)])
    for epoch in (0, 5, 50):
        assert both.get_lr(epoch) == Cosine(1e-3, 100).get_lr(epoch) * Warmup(1.0, 10).get_lr(epoch)
    sgd = SGD(lr=0.5)
    assert make({"name": "compose", "parts": ["cosine_annealing", "warmup"]}).bind(sgd).step(5) == pytest.approx(
        Cosine(0.5, 100).get_lr(5) * 0.5
    )


def test_s2_13_one_cycle_and_restarts():
    """S2.13: up then down along cosines; restarts after T_i = T_0 mult^i."""
    cycle = OneCycle(1.0, 100)
    assert at(cycle, 0, 15, 30, 65, 100, 200) == pytest.approx([0.04, 0.52, 1.0, 0.5 + 2e-6, 4e-6, 4e-6], rel=1e-6)
    restarts = CosineRestarts(1.0, 10, 2, 0.2)
    assert at(restarts, 0, 5, 10, 20, 30, 50) == pytest.approx([1.0, 0.6, 1.0, 0.6, 1.0, 0.6])
    assert CosineRestarts(1.0, 10).get_lr(1e9) == 1.0


def test_s0_18_warm_cosine():
    """S0.18: warm-up min + (max - min) p, then min + A (1 + cos pi p) / 2, with restarts that may shrink."""
    plain = WarmCosine()
    middle = 1e-6 + (1e-3 - 1e-6) / 2
    golden = [1e-6, middle, 1e-3, middle, 1e-3, middle]
    assert at(plain, 0, 2.5, 5, 30, 55, 80) == pytest.approx(golden)
    once = WarmCosine(enable_restarts=False)
    assert at(once, 55, 300) == pytest.approx([1e-6, 1e-6])
    shrinking = WarmCosine(1.0, 0.1, 0, 10, restart_decay=0.5, period_decay=0.5, amplitude_decay=0.5)
    assert at(shrinking, 10, 15) == pytest.approx([0.1 + 0.4 * 0.5, 0.1 + 0.15 * 0.25])
    soft = WarmCosine(1.0, 0.0, 0, 10, soft_restart=True)
    assert at(soft, 0, 10, 15, 20) == pytest.approx([1.0, 0.0, 1.0, 0.0], abs=1e-12)
    assert WarmCosine(period_decay=1e-3).get_lr(500) > 0.0
    batches = WarmCosine(1.0, 0.0, 0, 10, batches_per_epoch=10, batches_per_adjustment=5)
    assert batches.get_lr(0, 7) == batches.get_lr(0, 5) == batches.get_lr(0.5) < batches.get_lr(0, 4) == 1.0
    whole = WarmCosine(1.0, 0.0, 0, 10, batches_per_epoch=10, adjust_on_batch=False)
    assert whole.get_lr(1, 7) == whole.get_lr(1)


def test_cosine_by_name():
    """S0.18, S4.05: "cosine" is either, by its options."""
    assert isinstance(make({"name": "cosine", "max_lr": 1e-2, "min_lr": 1e-5}), WarmCosine)
    assert isinstance(make({"name": "cosine", "T_max": 50, "eta_min": 0.0}), Cosine)
    assert make("cosine").max_lr == 1e-3 and make(0.1).get_lr(3) == 0.1
    with pytest.raises(InputError, match="did you mean 'max_lr'"):
        make({"name": "cosine", "max_rl": 1e-2})


STATELESS = {
    "constant": {},
    "linear": {},
    "rex": {},
    "step": {},
    "exponential": {},
    "cosine_annealing": {},
    "warmup": {},
    "warmup_cosine": {},
    "cooldown": {},
    "one_cycle": {},
    "cosine_restarts": {"T_mult": 1.5},
    "warm_cosine": {"period_decay": 0.9, "restart_decay": 0.9},
}


@pytest.mark.parametrize("name", STATELESS)
@given(epochs=st.lists(st.floats(0, 300), min_size=1, max_size=8), batch=st.integers(0, 9))
@few
def test_laws_of_every_schedule(name, epochs, batch):
    """Finite, 0 <= rate <= the highest; the same answer in any order; a batch is a share of an epoch."""
    schedule = make(name, **STATELESS[name], batches_per_epoch=10)
    schedule.bind(SGD(lr=1e-3))
    first = [schedule.get_lr(epoch, batch) for epoch in epochs]
    assert all(0.0 <= lr <= 1e-3 * (1 + 1e-12) for lr in first)
    schedule.step()
    assert [schedule.get_lr(epoch, batch) for epoch in reversed(epochs)] == first[::-1]
    if name != "warm_cosine":
        assert first[0] == schedule.get_lr(epochs[0] + batch / 10)


def test_s0_c2_greedy():
    """S0.C2: up after an improvement, down after patience without; bounds; warm-up; the mean of batches."""
    sgd = SGD(lr=1e-3)
    greedy = Greedy(patience=2).bind(sgd)
    seen = [greedy.update(value) for value in (1.0, 0.9, 0.95, 0.9, 0.9, 0.8)]
    expected, lr = [], 1e-3
    for factor in (1.1, 1.1, 1.0, 0.9, 1.0, 1.1):
        lr *= factor
        expected.append(lr)
    assert seen == pytest.approx(expected) and sgd.lr == seen[-1]
    assert Greedy(0.0099, factor_increase=2.0).update(1.0) == 0.01
    low = Greedy(1.1e-6, patience=1)
    low.update(1.0)
    assert [low.update(math.nan) for _ in range(4)][-1] == 1e-6
    warm = Greedy(1e-3, warmup=3, min_lr=0.0)
    assert [warm.current(), *(warm.update(1.0) for _ in range(4))] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])
    batches = Greedy(1e-3, intra_epoch=True, adjustment_frequency=4, ema_beta=0.5)
    assert [batches.update(1.0) for _ in range(4)] == pytest.approx([1e-3, 1e-3, 1e-3, 1.1e-3])


def test_s0_c2_mean_of_batches_is_free_of_bias():
    """S0.C2: the running mean of 1, 0.9 is 1, 0.933: an improvement."""
    greedy = Greedy(1e-3, intra_epoch=True, adjustment_frequency=1, ema_beta=0.5)
    assert [greedy.update(v) for v in (1.0, 0.9, 1.2)] == pytest.approx([1.1e-3, 1.21e-3, 1.21e-3])


def test_s0_c2_counts_are_part_of_the_state():
    """S0.C2: improvements before and after a break are in a row."""
    values = [1.0, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6]
    for cut in range(len(values)):
        whole, first, second = (Adaptive(warmup=0, patience_decrease=2, cooldown=1) for _ in range(3))
        expected = [whole.update(value) for value in values]
        assert expected[-1] > expected[3]
        seen = [first.update(value) for value in values[:cut]]
        second.load_state_dict(first.state_dict())
        assert seen + [second.update(value) for value in values[cut:]] == expected


def test_s0_c2_adaptive():
    """S0.C2: warm-up 3, up 1.2 after 3 improvements, down 0.7 after 5 without, threshold, cooldown."""
    adaptive = Adaptive(min_lr=0.0)
    assert [adaptive.current(), *(adaptive.update(1.0) for _ in range(3))] == pytest.approx(
        [2.5e-4, 5e-4, 7.5e-4, 1e-3]
    )
    assert [adaptive.update(1.0) for _ in range(5)] == pytest.approx([1e-3] * 4 + [7e-4])
    assert [adaptive.update(v) for v in (0.9, 0.8, 0.7)] == pytest.approx([7e-4, 7e-4, 8.4e-4])
    assert [adaptive.update(v) for v in (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)][-1] == 1e-3
    rel = Adaptive(warmup=0, threshold=0.1, patience_decrease=1, cooldown=2)
    assert [rel.update(v) for v in (1.0, 0.95, 0.94, 0.93, 0.92)] == pytest.approx([1e-3, 7e-4, 7e-4, 7e-4, 4.9e-4])
    absolute = Adaptive(warmup=0, threshold=0.1, threshold_mode="abs", patience_decrease=1, mode="max")
    assert [absolute.update(v) for v in (1.0, 1.2, 1.25)] == pytest.approx([1e-3, 1e-3, 7e-4])


def test_s4_07_plateau():
    """S4.07: times factor after patience updates without improvement; a plateau is none."""
    sgd = SGD(lr=1.0)
    plateau = Plateau(sgd, patience=2, min_lr=0.05)
    assert [plateau.update(v) for v in (1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5)] == pytest.approx(
        [1.0, 1.0, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05]
    )
    assert sgd.lr == 0.05 and plateau.needs_metric and not hasattr(plateau, "get_lr")
    assert isinstance(make("plateau", patience=3), Plateau)


@pytest.mark.parametrize(
    "made", [lambda: Greedy(1e-3, warmup=2), lambda: Adaptive(patience_decrease=2), lambda: Plateau(0.1)]
)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30), cut=st.integers(0, 30))
@few
def test_s0_c2_resume(made, values, cut):
    """S0.C2: a state that is saved and loaded anywhere changes nothing."""
    whole, first, second = made(), made(), made()
    expected = [whole.update(value) for value in values]
    seen = [first.update(value) for value in values[:cut]]
    second.load_state_dict(first.state_dict())
    assert seen + [second.update(value) for value in values[cut:]] == expected
    with pytest.raises(InputError):
        second.load_state_dict({})


def test_faults():
    """Options out of range are told together."""
    with pytest.raises(InputError) as told:
        Cosine(-1.0, T_max=0, eta_min=math.inf)
    assert len(told.value.faults) == 3
    for call in (
        lambda: Cosine(1.0).get_lr(-1),
        lambda: Cosine(1.0).get_lr(0, -1),
        lambda: Cosine(1.0, batches_per_epoch=0),
        lambda: Chain([]),
        lambda: Chain([Cosine(1.0)]),
        lambda: Chain([("cosin", 3)]),
        lambda: Multiply([]),
        lambda: Multiply("cosine"),
        lambda: Multiply([3.5, "no"]),
        lambda: Linear(0.0, 0.0, log_space=True),
        lambda: Rex(warmup_epochs=100),
        lambda: WarmupCosine(1.0, 100),
        lambda: WarmCosine(1e-9),
        lambda: OneCycle(1.0, pct_start=1.0),
        lambda: CosineRestarts(1.0, T_mult=0.5),
        lambda: Cooldown(1.0, shape="round"),
        lambda: make(Schedule),
        lambda: make("cosine_annealing", Tmax=3),
        lambda: Schedule().get_lr(0),
        lambda: Greedy().current(),
        lambda: Greedy(min_lr=1.0),
        lambda: Greedy(1.0).update("low"),
        lambda: Greedy().bind(3),
        lambda: Adaptive(threshold_mode="relative"),
        lambda: Adaptive(min_lr=1.0),
        lambda: Plateau(factor=1.0),
        lambda: Plateau(mode="least"),
    ):
        with pytest.raises(InputError):
            call()
    assert np.isfinite(make("rex", max_lr=1.0).get_lr(3))
