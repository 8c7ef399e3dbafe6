"""Losses of outputs and targets: numbers of features.md, exact gradients, errors that are told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from smalls import SmallModel

from soen_event.errors import InputError
from training import registry
from training.gradients import value_and_grad
from training.loop import Trainer
from training.losses import (
    MSE,
    AutoregressiveLoss,
    FirstSpikeCrossEntropy,
    GapLoss,
    LabelError,
    Loss,
    MSEGradientCutoff,
    NotFiniteWarning,
    RelativeMSE,
    RichMarginLoss,
    Sum,
    TopGapLoss,
    check,
    from_function,
    make,
    softmax_cross_entropy_with_integer_labels,
)
from training.model import LossValue, Run

few = settings(max_examples=40, deadline=None)
Z = np.array([[2.0, 1.0, 0.1]])
rng = np.random.default_rng(3)
LOGITS, LABELS = rng.normal(size=(6, 4)), np.array([0, 1, 2, 3, 1, 0])


def classified(loss):
    return make(loss)(LOGITS, LABELS)


def test_s0_l1_cross_entropy():
    """S0.L1 (golden of 5.5): (2, 1, .1), y = 0 is .4170300163; steps are flattened; one-hot rows are labels."""
    assert make("cross_entropy")(Z, [0]).value == pytest.approx(0.4170300163, abs=1e-10)
    assert check("cross_entropy", LOGITS, LABELS)
    one = make("cross_entropy")
    assert one(LOGITS, np.eye(4)[LABELS]).value == pytest.approx(one(LOGITS, LABELS).value)
    assert check(one, LOGITS, softmax(rng.normal(size=(6, 4)), axis=1))
    steps, labels = rng.normal(size=(2, 3, 4)), rng.integers(0, 4, (2, 3))
    assert one(steps, labels).value == pytest.approx(one(steps.reshape(6, 4), labels.reshape(6)).value)
    assert check(one, steps, labels)
    huge = one(np.array([[1e4, 0.0], [0.0, -1e4]]), [1, 1])
    assert huge.value == pytest.approx(1e4) and np.all(np.isfinite(huge.outputs))


def test_s1_13_no_mean_and_labels_at_both_ends():
    """S1.13: a value a row; labels outside raise an IndexError at both ends."""
    both = softmax_cross_entropy_with_integer_labels(np.repeat(Z, 3, axis=0), [0, 1, 2])
    assert both == pytest.approx([0.4170300163, 1.4170300163, 2.3170300163], abs=1e-9)
    for wrong in (-1, 3):
        with pytest.raises(IndexError, match=f"label {wrong} is out of range for 3 classes"):
            softmax_cross_entropy_with_integer_labels(Z, [wrong])
        for name in ("cross_entropy", "gap_loss", "top_gap_loss", "rich_margin_loss", "relative_mean_square_error"):
            with pytest.raises(LabelError):
                make(name)(Z, [wrong])
    with pytest.raises(InputError, match="not whole"):
        softmax_cross_entropy_with_integer_labels(Z, [0.5])
    with pytest.raises(InputError, match="shape"):
        softmax_cross_entropy_with_integer_labels(Z, [0, 1])
    with pytest.raises(InputError, match="one-hot"):
        make("gap_loss")(Z, [[0.5, 0.5, 0.0]])


@given(
    z=arrays(np.float64, (3, 5), elements=st.floats(-50, 50)),
    labels=arrays(np.int64, 3, elements=st.integers(0, 4)),
    shift=st.floats(-100, 100),
)
@few
def test_laws_of_cross_entropy(z, labels, shift):
    """S0.L1: not below 0, unmoved by a shift of all logits; rows of the gradient add up to 0."""
    found, moved = make("cross_entropy")(z, labels), make("cross_entropy")(z + shift, labels)
    assert found.value >= 0.0 and moved.value == pytest.approx(found.value, abs=1e-9)
    assert np.allclose(found.outputs.sum(axis=1), 0.0)


def test_s0_l2_mse():
    """S0.L2: mean square; T + 1 steps lose the start; one side's steps are averaged; a mismatch raises."""
    o, t = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 4, 3))
    found = MSE()(o, t)
    assert found.value == pytest.approx(np.mean((o[:, 1:] - t) ** 2)) and not np.any(found.outputs[:, 0])
    assert MSE()(o, t[:, 0]).value == pytest.approx(np.mean((o.mean(axis=1) - t[:, 0]) ** 2))
    assert MSE()(o[:, 0], t).value == pytest.approx(np.mean((o[:, 0] - t.mean(axis=1)) ** 2))
    for outputs, targets in ((o, t), (o, t[:, 0]), (o[:, 0], t), (o[:, :4], t), (o[:, 0, :1], t[:, 0, 0])):
        assert check(MSE(), outputs, targets)
    for targets in (t[:, :2], t[..., :2], t[0], np.zeros(2)):
        with pytest.raises(InputError, match="does not fit"):
            MSE()(o, targets)


def test_s0_l3_only_the_last_step():
    """S0.L3: mse of the last step, gradient there alone."""
    o, t = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 3))
    found = MSEGradientCutoff()(o, t)
    assert found.value == pytest.approx(np.mean((o[:, -1] - t) ** 2))
    assert not np.any(found.outputs[:, :-1]) and np.all(found.outputs[:, -1] != 0)
    assert check(MSEGradientCutoff(), o, t) and check(MSEGradientCutoff(), o[:, 0], t)
    assert MSEGradientCutoff()(o, np.stack([t * 0, t], axis=1)).value == found.value


def test_s0_l4_gap():
    """S0.L4: z = (2, 1, .1): 0.0 for y = 0, 2.1 for y = 1."""
    assert GapLoss()(Z, [0]).value == 0.0
    assert GapLoss()(Z, [1]).value == pytest.approx(0.0 + 2.0 + 0.1)
    assert check(GapLoss(0.7), LOGITS, LABELS)


def test_s0_l5_top_gap():
    """S0.L5: wrong first class costs P; right ones cost by how small the lead is."""
    loss = TopGapLoss(0.5, 2.0, 3.0)
    assert loss(Z, [1]).value == 6.0 and not np.any(loss(Z, [1]).outputs)
    assert loss(Z, [0]).value == 0.0
    near = np.array([[1.0, 0.8, 0.0]])
    assert loss(near, [0]).value == pytest.approx(3.0 * 2.0 * 0.3 / 0.5)
    assert check(loss, near, [0]) and check(TopGapLoss(0.5, pooling_scale=4.0), near, [0])
    assert check(TopGapLoss(5.0), LOGITS, LABELS)


@pytest.mark.parametrize("term", ["gap", "noise", "entropy", "consistency", "diversity"])
def test_s0_l6_rich_margin_terms(term):
    """S0.L6: each term alone has an exact gradient."""
    weights = {
        f"lambda_{name}": float(name == term) for name in ("gap", "noise", "entropy", "consistency", "diversity")
    }
    loss = RichMarginLoss(sigma_noise=0.5, **weights)
    found = loss(LOGITS, LABELS, rng=np.random.default_rng(1))
    assert abs(found.value) == pytest.approx(abs(found.parts[term])) and found.value != 0.0
    assert check(loss, LOGITS, LABELS)


def test_s0_l6_rich_margin_by_hand():
    """S0.L6: the terms written out plainly."""
    loss = RichMarginLoss()
    parts = loss(LOGITS, LABELS, rng=np.random.default_rng(5)).parts
    gap = sum(
        max(0.5 + z[j] - z[y], 0) ** 2 * (1 - 1 / (1 + math.exp(-(z[y] - z[j]))))
        for z, y in zip(LOGITS, LABELS, strict=True)
        for j in range(4)
        if j != y
    )
    assert parts["gap"] == pytest.approx(gap / 6)
    p = softmax(LOGITS, axis=1)
    assert parts["entropy"] == pytest.approx(np.mean(-np.sum(p * np.log(p), axis=1)))
    q = softmax(LOGITS + 0.05 * np.random.default_rng(5).standard_normal((6, 4)), axis=1)
    assert parts["noise"] == pytest.approx(np.mean(np.sum(p * np.log(p / q), axis=1)))
    unit = LOGITS / np.linalg.norm(LOGITS, axis=1, keepdims=True)
    pairs = [(unit[i] @ unit[j] - (LABELS[i] == LABELS[j])) ** 2 for i in range(6) for j in range(6) if i != j]
    assert parts["consistency"] == pytest.approx(np.mean(pairs))
    means = np.array([LOGITS[y == LABELS].mean(axis=0) for y in range(4)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    between = [means[i] @ means[j] for i in range(4) for j in range(4) if i != j]
    assert parts["diversity"] == pytest.approx(np.mean(between))
    whole = 1.0 * parts["gap"] + 0.3 * parts["noise"] - 0.1 * parts["entropy"]
    whole += 0.2 * parts["consistency"] + 0.1 * parts["diversity"]
    assert loss(LOGITS, LABELS, rng=np.random.default_rng(5)).value == pytest.approx(whole)
    assert loss(LOGITS, LABELS).value == loss(LOGITS, LABELS).value
    apart = loss([[0.0, 0.0], [1.0, 0.0]], [0, 1]).parts["consistency"]
    assert apart == 0.0  # a pair with a row of zeros has the cosine 0; a row is no pair with itself
    lone = loss(LOGITS[:1], LABELS[:1])
    assert lone.parts["consistency"] == lone.parts["diversity"] == 0.0 and np.all(np.isfinite(lone.outputs))


def test_s0_l10_autoregressive():
    """S0.L10: the last step of a token against the token that follows."""
    outputs, tokens = rng.normal(size=(2, 9, 5)), np.array([[0, 1, 2, 3], [4, 3, 2, 1]])
    loss = AutoregressiveLoss(time_steps_per_token=2, start_timestep=1, vocab_size=5)
    said = outputs[:, [2, 4, 6]].reshape(6, 5)
    plain = softmax_cross_entropy_with_integer_labels(said, tokens[:, 1:].reshape(6))
    assert loss(outputs, tokens).value == pytest.approx(plain.mean())
    assert check(loss, outputs, tokens) and make("autoregressive_cross_entropy") == AutoregressiveLoss()
    padded = np.array([[0, 1, -100, -100], [4, 3, 2, -100]])
    assert loss(outputs, padded).value == pytest.approx(plain[[0, 3, 4]].mean())
    assert check(loss, outputs, padded)
    shifted = AutoregressiveLoss(2, 1, shifted=True)
    assert shifted(outputs, tokens[:, 1:]).value == pytest.approx(plain.mean())
    for wrong in (
        lambda: loss(outputs[:, :6], tokens),
        lambda: loss(outputs, tokens * 0 - 100),
        lambda: loss(Z, tokens),
    ):
        with pytest.raises(InputError):
            wrong()
    with pytest.raises(IndexError):
        loss(outputs, tokens + 2)


def test_s0_l17_stub():
    """S0.L17: 0 and no gradient."""
    assert make("stub")(Z) == LossValue(0.0)


def test_spike_time_losses():
    """Features.md 2.4: relative mean square error, and softmax over times with a phantom spike."""
    times, labels = np.array([[3.0, 5.0, 9.0], [4.0, 2.0, 6.0]]), np.array([0, 2])
    relative = RelativeMSE(delta=2.0)
    assert relative(times, labels).value == pytest.approx(0.5 * (0 + 16 + 16 + 36) / 2)
    assert check(relative, times, labels)
    loss = FirstSpikeCrossEntropy(duration=20.0, tau=3.0)
    assert check(loss, times, labels)
    silent = np.array([[np.inf, 5.0, np.inf]])
    found = loss(silent, [0])
    expected = -math.log(math.exp(-20 / 3) / (math.exp(-20 / 3) + math.exp(-5 / 3))) + 0.01 * (math.e - 1)
    assert found.value == pytest.approx(expected) and found.outputs[0, 0] > 0.0 > found.outputs[0, 1]
    assert loss(silent, [1]).value == pytest.approx(0.01 * (math.exp(0.25) - 1))


def test_s0_05_functions_are_losses():
    """S0.05: a registered or plain function, with its gradient or without; check() finds a wrong one."""

    def cubic(outputs, targets, scale=1.0):
        return scale * np.mean((outputs - targets) ** 3), scale * 3 * (outputs - targets) ** 2 / outputs.size

    def bare(outputs, targets):
        return np.mean((outputs - targets) ** 3)

    def wrong(outputs, targets):
        return np.mean((outputs - targets) ** 3), 3 * (outputs - targets) / outputs.size

    registry.register("loss", "test_cubic", replace=True)(cubic)
    t = rng.normal(size=(6, 4))
    assert check(cubic) and check(bare) and not check(wrong)
    assert "wrong" in str(check(wrong)) and "outputs" in str(check(cubic))
    assert np.allclose(from_function(bare)(LOGITS, t).outputs, cubic(LOGITS, t)[1], atol=1e-8)
    assert make("test_cubic", scale=2.0)(LOGITS, t).value == pytest.approx(2 * bare(LOGITS, t))
    assert make({"name": "test_cubic", "scale": 2.0})(LOGITS, t).value == pytest.approx(2 * bare(LOGITS, t))
    assert Sum({"test_cubic": 2.0})(LOGITS, t).value == pytest.approx(2 * bare(LOGITS, t))
    found, x, y = [], rng.normal(size=(4, 5, 2)), rng.normal(size=(4, 3))
    for function in (cubic, bare, "test_cubic", {"name": "test_cubic"}):  # wherever a loss goes
        model = SmallModel()
        found.append(value_and_grad(model, function)(x, y))
        again = Trainer(model, "sgd", loss=function, progress=False).validate((x, y))["loss"]
        assert again == pytest.approx(found[-1][0])
    for value, grads in found[1:]:
        assert value == pytest.approx(found[0][0])
        for key, array in found[0][1].items():
            np.testing.assert_allclose(grads[key], array, atol=1e-9)

    def asks(run, targets, model, rng):
        return LossValue(float(np.mean(run.states**2) + model.held["J"][0, 0]), states=2 * run.states / run.states.size)

    def asks_less(outputs, targets, model=None):
        return np.mean(outputs**2) + model.held["J"][0, 0]

    whole = value_and_grad(model, asks)(x, y)
    run = model.forward(x)
    assert whole[0] == pytest.approx(np.mean(run.states**2) + model.held["J"][0, 0]) and np.abs(whole[1]["J"]).max() > 0
    assert make(asks_less)(run, y, model=model).value == pytest.approx(np.mean(run.outputs**2) + model.held["J"][0, 0])
    for broken in (lambda o, t: o, lambda o, t: (1.0, o[:1]), lambda o, t: (1.0, o, o)):
        with pytest.raises(InputError):
            from_function(broken)(LOGITS, t)
    for thing in (3, None):
        with pytest.raises(InputError):
            make(thing)


def test_s0_06_sum():
    """S0.06: value and gradient are the weighted sums, each part is told, unknown names raise."""
    total = Sum({"cross_entropy": 1.0, "gap_loss": 0.1})(LOGITS, LABELS)
    ce, gap = classified("cross_entropy"), classified("gap_loss")
    assert total.value == pytest.approx(ce.value + 0.1 * gap.value)
    assert np.allclose(total.outputs, ce.outputs + 0.1 * gap.outputs)
    assert total.parts == {"cross_entropy": ce.value, "gap_loss": gap.value}
    forms = [
        Sum([{"name": "cross_entropy"}, {"name": "gap_loss", "weight": 0.1, "params": {"margin": 1.0}}]),
        Sum({"cross_entropy": 1.0, "other": {"name": "gap_loss", "weight": 0.1}}),
        Sum([("cross_entropy", 1.0), ("margin", GapLoss(), 0.1)]),
        Sum([("cross_entropy", 1.0), {"name": "gap_loss", "label": "m", "weight": 0.05}, (GapLoss(), 0.05)]),
    ]
    for form in forms:
        assert form(LOGITS, LABELS).value == pytest.approx(total.value)
        assert check(form, LOGITS, LABELS)
    assert isinstance(make({"name": "gap_loss", "margin": 2.0}), GapLoss)
    with pytest.raises(InputError) as told:
        Sum({"cros_entropy": 1.0, "gap_loss": "much", "mse": {"margin": 1}})
    assert len(told.value.faults) == 3 and "did you mean 'cross_entropy'" in told.value.faults[0]
    for parts in ({}, "mse", [("mse", 1.0), ("mse", 1.0)], {"mse": math.nan}):
        with pytest.raises(InputError):
            Sum(parts)


def test_s0_06_weights_can_change():
    """S0.06: a weight that is changed counts at once; one of 0 is told and adds nothing, not even nan."""
    total = Sum({"cross_entropy": 1.0, "gap_loss": 0.0})
    assert total(LOGITS, LABELS).value == classified("cross_entropy").value
    total.weights["gap_loss"] = 3.0
    assert total(LOGITS, LABELS).value == pytest.approx(
        classified("cross_entropy").value + 3 * classified("gap_loss").value
    )
    with pytest.warns(NotFiniteWarning, match="mse"):
        found = Sum({"stub": 1.0, "mse": 0.0})(LOGITS, LOGITS * np.nan)
    assert found.value == 0.0 and math.isnan(found.parts["mse"]) and found.outputs is None


def test_s0_06_alternation():
    """S0.06: part (batch // n) mod k alone; calls count nothing, advance() does; the count is in the state."""
    total = Sum({"cross_entropy": 1.0, "gap_loss": 0.5, "stub": 1.0}, alternate_every=2)
    seen = []
    for _ in range(7):
        total(LOGITS, LABELS)
        found = total(LOGITS, LABELS)
        (label,) = found.parts
        assert found.value == total.weights[label] * found.parts[label]
        seen.append(label)
        total.advance()
    assert seen == ["cross_entropy"] * 2 + ["gap_loss"] * 2 + ["stub"] * 2 + ["cross_entropy"]
    again = Sum({"cross_entropy": 1.0, "gap_loss": 0.1, "stub": 1.0}, alternate_every=2)
    again.load_state_dict(total.state_dict())
    assert again.active == total.active and again.weights == total.weights
    with pytest.raises(InputError):
        Sum({"mse": 1.0}).load_state_dict(total.state_dict())
    with pytest.raises(InputError):
        Sum({"mse": 1.0}, alternate_every=0)


def test_not_finite_is_told():
    """A nan in the outputs is a nan in the value, and a warning that names the loss."""
    broken = LOGITS.copy()
    broken[0, 0] = np.nan
    for name in ("cross_entropy", "gap_loss", "top_gap_loss", "rich_margin_loss"):
        with pytest.warns(NotFiniteWarning, match=name):
            assert math.isnan(make(name)(broken, LABELS).value)
    with pytest.warns(NotFiniteWarning, match="mse"):
        assert math.isnan(Sum({"stub": 0.0, "mse": 1.0})(LOGITS, np.full((6, 4), np.nan)).value)


def test_types_and_faults():
    """float32 stays float32; empty or odd outputs, bad options and an unfinished loss are told."""
    for name in ("cross_entropy", "gap_loss", "top_gap_loss", "rich_margin_loss", "relative_mean_square_error"):
        found = make(name)(LOGITS.astype(np.float32), LABELS)
        assert found.outputs.dtype == np.float32 and isinstance(found.value, float), name
    assert MSE()(Run(LOGITS.astype(np.float32)), LOGITS).outputs.dtype == np.float32
    for call in (
        lambda: MSE()(np.zeros((0, 3)), np.zeros((0, 3))),
        lambda: MSE()(np.zeros(3), np.zeros(3)),
        lambda: MSE()(Z, [["a", "b", "c"]]),
        lambda: GapLoss(-1.0),
        lambda: make("gap_loss", margine=1.0),
        lambda: make("autoregressive_loss", time_steps_per_token=0),
        lambda: TopGapLoss()(np.zeros((2, 1)), [0, 0]),
        lambda: make("cross_entropy")(Z, [[0.2, 0.2, 0.2]]),
        lambda: Loss()(Z),
        lambda: GapLoss()(Z, [np.inf]),
    ):
        with pytest.raises(InputError):
            call()
