"""Optimizers: the series of features.md (S0.17, S1.01-S1.05, S2.01-S2.07, S2.33), memory, resuming, errors."""

from __future__ import annotations

import gc
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from smalls import SmallModel

from soen_event.errors import InputError
from training import optim, registry
from training.optim import SAM, SGD, Adam, AdamW, Lion, Lookahead, RMSprop

few = settings(max_examples=30, deadline=None)
NAMES = ("sgd", "adam", "adamw", "rmsprop", "lion", "lookahead")


def series(optimizer, gradients=(0.1, -0.2, 0.3), start=1.0):
    """Values of one weight, step by step."""
    w = np.array([start])
    optimizer.register_trainable_weights({"w": w})
    found = []
    for gradient in gradients:
        optimizer.update({"w": np.array([gradient])})
        found.append(float(w[0]))
    return found


@pytest.mark.parametrize(
    ("optimizer", "values"),
    [
        (Adam(learning_rate=1e-3), (0.9990000001, 0.9993661036, 0.9990228625)),
        (AdamW(lr=1e-3, weight_decay=0.01), (0.99899, 0.9993461137, 0.9989928792)),
        (RMSprop(learning_rate=1e-3, decay=0.9, eps=1e-8), (0.9968377233, 0.9996948658, 0.9971042272)),
        (Lion(lr=1e-3, weight_decay=0.0), (0.999, 1.000, 0.999)),
    ],
)
def test_golden_series_s1_01_s1_03_s2_04_s0_17(optimizer, values):
    """S1.01, S1.03, S2.03, S2.04, S2.05, S0.17: three steps with g = (.1, -.2, .3)."""
    assert series(optimizer) == pytest.approx(values, abs=1.1e-10)  # the last digit that is given


@pytest.mark.parametrize(
    ("optimizer", "values"),
    [
        (SGD(lr=0.1, momentum=0.9), (-0.1, -0.29, -0.561)),
        (SGD(lr=0.1, momentum=0.9, dampening=0.1), (-0.1, -0.28, -0.532)),
        (SGD(lr=0.1, momentum=0.9, nesterov=True), (-0.19, -0.461, -0.8049)),
    ],
)
def test_golden_series_s1_02_s2_02(optimizer, values):
    """S1.02, S2.02: momentum, dampening and nesterov with g = 1, 1, 1."""
    assert series(optimizer, (1.0, 1.0, 1.0), 0.0) == pytest.approx(values, abs=1e-15)


def test_s2_02_nesterov_needs_plain_momentum():
    """S2.02: nesterov with dampening or without momentum is a ValueError."""
    for options in ({}, {"momentum": 0.9, "dampening": 0.1}):
        with pytest.raises(ValueError, match="nesterov"):
            SGD(nesterov=True, **options)


def test_other_names_of_options():
    """S1.01, S1.03, S2.03: lr is learning_rate, eps epsilon, (beta1, beta2) betas, decay alpha; defaults as they are told."""
    assert (
        Adam(learning_rate=0.1, epsilon=1e-3, betas=(0.8, 0.9)).options
        == Adam(0.1, beta1=0.8, beta2=0.9, eps=1e-3).options
    )
    assert Adam(lr=0.1).options == Adam(0.1).options and RMSprop(alpha=0.5).options == RMSprop(decay=0.5).options
    assert (SGD().lr, Adam().lr, AdamW().options["weight_decay"], Lion().options["beta2"]) == (0.01, 1e-3, 0.01, 0.99)
    assert Adam().options["eps"] == 1e-8 and RMSprop().options["decay"] == 0.9
    with pytest.raises(InputError) as told:
        Adam(lr=-1.0, beta1=1.0, epsilon=0.0, beta3=0.1, alpha=0.9, groups=[{"match": "J", "lrscale": 2.0}, {}])
    assert len(told.value.faults) == 7 and "did you mean 'beta" in str(told.value)
    assert registry.get("optimizer", "adam") is registry.get("optimizer", "Adam") is Adam
    assert optim.make({"name": "sgd", "lr": 0.5}).lr == 0.5


def test_rmsprop_momentum_and_centered():
    """S2.05: written out for two steps."""
    v = g_mean = velocity = 0.0
    w, plain = 1.0, []
    for g in (0.1, -0.2):
        v, g_mean = 0.9 * v + 0.1 * g * g, 0.9 * g_mean + 0.1 * g
        velocity = 0.5 * velocity + g / (math.sqrt(v - g_mean**2) + 1e-8)
        w -= 1e-3 * velocity
        plain.append(w)
    assert series(RMSprop(momentum=0.5, centered=True), (0.1, -0.2)) == pytest.approx(plain, abs=1e-12)


def test_weight_decay_and_amsgrad():
    """S2.06: Adam adds the decay to the gradient, AdamW and Lion take it from the weights; amsgrad keeps the largest v."""
    assert series(Adam(weight_decay=0.5), (0.1,)) == pytest.approx(series(Adam(), (0.6,)), abs=1e-15)
    assert series(SGD(weight_decay=0.5), (0.1,)) == pytest.approx([1 - 0.01 * 0.6])
    assert series(RMSprop(weight_decay=0.5), (0.1,)) == pytest.approx(series(RMSprop(), (0.6,)))
    assert series(Lion(lr=0.1, weight_decay=0.5), (0.1,)) == pytest.approx([1 - 0.1 * 1.5])
    plain, ams = series(Adam(beta2=0.5), (1.0, 0.0, 0.1)), series(Adam(beta2=0.5, amsgrad=True), (1.0, 0.0, 0.1))
    assert plain[0] == ams[0] and abs(ams[2] - ams[1]) < abs(plain[2] - plain[1])


def test_s1_04_binding():
    """S1.04: arrays are bound once by name; duplicates and other things are told; state is there at once."""
    a, b = np.zeros((2, 3)), np.zeros(4)
    adam = Adam({"a": a}, lr=0.1)
    adam.register_trainable_weights({"b": b})
    assert list(adam.parameters()) == ["a", "b"] and adam.parameters()["a"] is a
    assert Adam([a, b]).parameters().keys() == {"0", "1"} and Adam(SmallModel()).parameters()["leak"].shape == (3,)
    table = np.zeros((3, 2))
    assert list(Adam({"left": table[:, 0], "right": table[:, 1]}).parameters()) == ["left", "right"]
    locked = np.zeros(2)
    locked.flags.writeable = False
    for wrong in ({"a": np.zeros(2)}, {"c": b[:2]}, {"c": [1.0]}, {"c": np.zeros(2, int)}, {"c": locked}, 7):
        with pytest.raises(InputError):
            adam.register_trainable_weights(wrong)
    assert list(adam.parameters()) == ["a", "b"]
    with pytest.raises(KeyError, match="did you mean 'x1'"):
        Adam().register_trainable_weights({"x1": np.zeros(1)}, bounds={"x2": (0, 1)})
    with pytest.raises(InputError, match="above"):
        Adam().register_trainable_weights({"x": np.zeros(1)}, bounds={"x": (1, 0)})
    adam.update({"a": a * 0, "b": b * 0})
    with pytest.raises(InputError, match="before the first"):
        adam.register_trainable_weights({"late": np.zeros(1)})


def test_s1_05_update():
    """S1.05: the same names or a KeyError that names what is missing and extra; None is returned; nothing half done."""
    w = {"a": np.ones(2), "b": np.ones(3)}
    adam = Adam(w)
    with pytest.raises(KeyError) as told:
        adam.update({"a": np.ones(2), "c": np.ones(3)})
    assert "'b' is missing" in str(told.value) and "'c' is no bound parameter" in str(told.value)
    for gradients in ({"a": np.ones(2), "b": np.ones(2)}, {"a": np.ones(2), "b": None}, {"a": [1, 1], "b": np.ones(3)}):
        with pytest.raises(InputError):
            adam.update(gradients)
    with pytest.raises(InputError, match="bound"):
        Adam().update({})
    assert np.array_equal(w["a"], np.ones(2)) and adam.steps == 0
    assert adam.update({"a": np.ones(2), "b": np.ones(3)}) is None and adam.steps == 1
    careful = SGD({"a": np.ones(2)}, check_finite=True)
    with pytest.raises(InputError, match="not finite"):
        careful.update({"a": np.array([0.0, np.nan])})


def test_s2_01_the_four_calls():
    """S2.01: step, zero_grad, get_lr and set_lr on every optimizer; buffers are zeroed in place."""
    for name in (*NAMES, "sam"):
        made = registry.get("optimizer", name)(lr=0.25)
        assert made.get_lr() == made.lr == made.learning_rate == 0.25
        made.set_lr(0.5)
        assert made.get_lr() == 0.5
        with pytest.raises(InputError):
            made.set_lr(-1.0)
        w = {"w": np.ones(3)}
        made.register_trainable_weights(w)
        made.accumulate({"w": np.full(3, 0.5)})
        made.zero_grad()
        if name != "sam":  # which needs a second gradient
            made.set_option("weight_decay", 0.0)
            made.step()
            assert np.array_equal(w["w"], np.ones(3)), name  # nothing of what was added up is left
            made.accumulate({"w": np.full(3, 0.5)})
            made.step()
            assert np.all(w["w"] < 1.0), name
    w = {"w": np.ones(3)}
    sgd = SGD(lr=1.0)
    sgd.step(w, {"w": np.full(3, 0.25)})
    assert np.array_equal(w["w"], np.full(3, 0.75))
    sgd.accumulate({"w": np.ones(3)}, scale=0.25)
    sgd.accumulate({"w": np.ones(3)}, scale=0.25)
    sgd.step()
    assert np.array_equal(w["w"], np.full(3, 0.25))
    buffer = sgd._slots["w"].gradient
    sgd.zero_grad()
    assert sgd._slots["w"].gradient is buffer and not np.any(buffer)
    sgd.step()
    assert np.array_equal(w["w"], np.full(3, 0.25))
    adam = Adam({"w": np.ones(1)})
    adam.set_option("beta1", 0.5)
    with pytest.raises(InputError, match="another state"):
        adam.set_option("amsgrad", True)
    assert adam.options["beta1"] == 0.5 and not adam.options["amsgrad"]
    for wrong in (lambda: sgd.step(w), lambda: sgd.step({"w": np.ones(3)}, w), lambda: SGD(w).step()):
        with pytest.raises(InputError):
            wrong()


@pytest.mark.parametrize("name", NAMES)
def test_s1_04_memory_is_allocated_once(name):
    """S1.04, S2.31: after the first step no step allocates an array."""
    options = {"amsgrad": True, "weight_decay": 0.1} if name == "adam" else {"momentum": 0.9} if name == "sgd" else {}
    options = {"momentum": 0.9, "centered": True} if name == "rmsprop" else options
    made = registry.get("optimizer", name)(**options)
    w = {"a": np.ones((100, 1000)), "b": np.ones(50_000, dtype=np.float32)}
    made.register_trainable_weights(w, bounds={"a": (0.0, 1.0)})
    gradients = {key: np.full_like(array, 0.5) for key, array in w.items()}
    made.update(gradients)
    made.accumulate(gradients)
    held = {key: id(array) for slot in made._slots.values() for key, array in slot.state.items()}
    gc.collect()
    tracemalloc.start()
    for _ in range(6):
        made.update(gradients)
        made.accumulate(gradients)
        made.zero_grad()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000  # the smallest array here has 200 000 bytes
    assert held == {key: id(array) for slot in made._slots.values() for key, array in slot.state.items()}
    assert w["b"].dtype == np.float32


def run(made, w, gradients):
    for gradient in gradients:
        made.update({key: array * (1 + w[key]) for key, array in gradient.items()})


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 1000), cut=st.integers(0, 7))
@few
def test_s2_07_resume_to_the_bit(name, seed, cut):
    """S2.07: state_dict, a fresh optimizer, load_state_dict: the same bits as without the break."""
    rng = np.random.default_rng(seed)
    gradients = [{"a": rng.normal(size=(2, 3)), "b": rng.normal(size=4).astype(np.float32)} for _ in range(7)]
    start = {"a": rng.normal(size=(2, 3)), "b": rng.normal(size=4).astype(np.float32)}

    def made_for(w, lr):
        made = registry.get("optimizer", name)(lr=lr)
        made.register_trainable_weights(w)
        return made

    whole = {key: array.copy() for key, array in start.items()}
    run(made_for(whole, 0.05), whole, gradients)
    first = {key: array.copy() for key, array in start.items()}
    made = made_for(first, 0.05)
    run(made, first, gradients[:cut])
    state, second = made.state_dict(), {key: array.copy() for key, array in first.items()}
    run(made, first, gradients)  # the state is a copy: this does not matter to it
    second_half = made_for(second, 9.0)
    second_half.load_state_dict(state)
    run(second_half, second, gradients[cut:])
    assert all(np.array_equal(whole[key], second[key]) for key in start)


def test_s2_07_state_that_does_not_fit():
    """S2.07: another optimizer, other names, shapes or types are told, and nothing is changed; options are restored."""
    adam = Adam({"a": np.ones(2)}, lr=0.3)
    adam.accumulate({"a": np.ones(2)})
    adam.update({"a": np.ones(2)})
    state = adam.state_dict()
    for other in (SGD({"a": np.ones(2)}), Adam({"b": np.ones(2)}), Adam({"a": np.ones(3)})):
        with pytest.raises(InputError):
            other.load_state_dict(state)
        assert other.steps == 0
    with pytest.raises(InputError):
        Adam({"a": np.ones(2, np.float32)}).load_state_dict(state)
    with pytest.raises(InputError):
        Adam({"a": np.ones(2)}, amsgrad=True).load_state_dict(state)
    with pytest.raises(InputError):
        Adam({"a": np.ones(2)}).load_state_dict({"steps": 1})
    again = Adam({"a": np.ones(2)})
    again.load_state_dict(state)
    assert again.lr == 0.3 and again.steps == 1
    again.step()  # the accumulated gradient is part of the state


def test_groups_and_bounds():
    """S0.17: groups by shell pattern or regular expression scale the rate; bounds hold after every step."""
    w = {name: np.ones(1) for name in ("J.in", "J.out", "threshold", "tau")}
    groups = [{"match": "J.*", "lr_scale": 0.5}, {"regex": "thr.*|J.in", "weight_decay": 1.0, "lr_scale": 2.0}]
    sgd = SGD(lr=0.1, groups=groups)
    sgd.register_trainable_weights(w, bounds={"tau": (0.95, 2.0), "J.out": (0.0, 0.9)})
    sgd.update({name: np.ones(1) for name in w})
    expected = {"J.in": 0.95, "J.out": 0.9, "threshold": 1 - 0.2 * 2, "tau": 0.95}
    assert {name: float(array[0]) for name, array in w.items()} == pytest.approx(expected)
    model = SmallModel()
    made = SGD(model, lr=100.0)
    made.update({name: np.ones_like(array) for name, array in model.parameters().items()})
    assert np.array_equal(model.parameters()["leak"], np.zeros(3))
    with pytest.raises(InputError, match="did you mean 'tau'"):
        SGD({"tau": np.ones(1)}, groups=[{"match": "tua"}]).update({"tau": np.ones(1)})
    with pytest.raises(InputError, match="given twice"):
        SGD(0.1, lr=0.2)
    for wrong in ([{"match": "a", "regex": "b"}], [{"regex": "("}], [3], [{"match": "a", "lr_scale": -1}]):
        with pytest.raises(InputError):
            SGD(groups=wrong)


@given(
    g=arrays(np.float64, 5, elements=st.floats(-10, 10)),
    low=st.floats(-1, 0),
    high=st.floats(0, 1),
    name=st.sampled_from(NAMES),
)
@few
def test_bounds_hold(g, low, high, name):
    """Whatever the gradient, every parameter is within its bounds after the step."""
    w = {"w": np.linspace(-2, 2, 5)}
    made = registry.get("optimizer", name)(lr=0.5)
    made.register_trainable_weights(w, {"w": (low, high)})
    for _ in range(6):
        made.update({"w": g})
        assert np.all((w["w"] >= low) & (w["w"] <= high))


def test_lookahead():
    """S2.33: every k steps slow += alpha (fast - slow), fast = slow."""
    fast, slow, plain = 0.0, 0.0, []
    for step in range(1, 8):
        fast -= 0.1
        if step % 3 == 0:
            slow += 0.25 * (fast - slow)
            fast = slow
        plain.append(fast)
    assert series(Lookahead(SGD(lr=0.1), k=3, alpha=0.25), [1.0] * 7, 0.0) == pytest.approx(plain)
    assert series(Lookahead("adam", alpha=1.0)) == pytest.approx(series(Adam()))
    assert (Lookahead().k, Lookahead().alpha) == (5, 0.5) and Lookahead("sgd", lr=0.5).lr == 0.5
    for wrong in (lambda: Lookahead(k=0), lambda: Lookahead(alpha=2.0), lambda: Lookahead("sdg"), lambda: Lookahead(3)):
        with pytest.raises(InputError):
            wrong()


def test_sam():
    """S2.33: the gradient is taken at w + rho g / |g|, the step made from w; rho = 0.05 by default."""
    w = {"a": np.array([3.0]), "b": np.array([4.0])}
    places = []

    def gradients():
        places.append((float(w["a"][0]), float(w["b"][0])))
        return {key: array.copy() for key, array in w.items()}  # of |w|^2 / 2

    sam = SAM(SGD(lr=0.1), rho=0.5)
    sam.register_trainable_weights(w)
    sam.update(gradients(), gradients)
    assert places == [(3.0, 4.0), pytest.approx((3.3, 4.4))]
    assert (w["a"][0], w["b"][0]) == pytest.approx((3.0 - 0.33, 4.0 - 0.44))
    assert SAM().rho == 0.05 and SAM.needs_second_gradient

    def broken():
        raise RuntimeError("lost")

    before = {key: array.copy() for key, array in w.items()}
    with pytest.raises(RuntimeError):
        sam.update(gradients(), broken)
    assert all(np.array_equal(before[key], w[key]) for key in w)
    for wrong in (lambda: sam.update(gradients()), lambda: sam.descend(gradients()), lambda: SAM(rho=0.0)):
        with pytest.raises(InputError):
            wrong()
    sam.ascend(gradients())
    with pytest.raises(InputError):
        sam.ascend(gradients())
    sam.descend(gradients())
    state = sam.state_dict()
    again = SAM(SGD())
    again.register_trainable_weights({key: array.copy() for key, array in w.items()})
    again.load_state_dict(state)
    assert again.lr == 0.1 and again.steps == sam.steps
    with pytest.raises(InputError):
        Lookahead().load_state_dict(state)


@pytest.mark.parametrize("name", NAMES)
def test_a_bowl_is_descended(name):
    """Every optimizer finds the bottom of a quadratic bowl."""
    w = {"w": np.array([2.0, -3.0])}
    made = registry.get("optimizer", name)(lr=0.05)
    made.register_trainable_weights(w)
    for step in range(1200):
        made.set_lr(0.05 * (1 - step / 1200))
        made.update({"w": w["w"] * [1.0, 3.0]})
    assert np.all(np.abs(w["w"]) < 1e-2)


def test_s2_06_clipping():
    """S2.06: g = (3, 4), (12), max 1: n = 13, factor 0.0769; per parameter; by value."""
    g = {"a": np.array([3.0, 4.0]), "b": np.array([12.0])}
    assert optim.clip_by_global_norm(g, 1.0) == 13.0
    assert g["a"] == pytest.approx(np.array([3.0, 4.0]) * 0.0769, abs=5e-4)
    assert optim.global_norm(g) == pytest.approx(1.0, abs=1e-6)
    assert optim.clip_by_global_norm(g, 2.0) == pytest.approx(1.0, abs=1e-6)
    assert optim.global_norm(g) == pytest.approx(1.0, abs=1e-6)
    g = {"a": np.array([3.0, 4.0]), "b": np.array([0.5])}
    assert optim.clip_by_norm(g, 1.0) == {"a": 5.0, "b": 0.5}
    assert optim.global_norm([g["a"]]) == pytest.approx(1.0, abs=1e-6) and g["b"][0] == 0.5
    g = [np.array([3.0, -4.0]), np.array([0.5])]
    assert optim.clip_by_value(g, 1.0) == 4.0 and np.array_equal(g[0], [1.0, -1.0]) and g[1][0] == 0.5
    assert optim.global_norm({"a": np.full(2, 1e200)}) == pytest.approx(math.sqrt(2) * 1e200)
    assert optim.global_norm([]) == 0.0
    broken = {"a": np.array([1.0, np.nan]), "b": np.ones(2)}
    for function in (optim.clip_by_global_norm, optim.clip_by_norm):
        with pytest.raises(InputError, match="'a'"):
            function(broken, 0.1)
        assert np.array_equal(broken["b"], np.ones(2))
        with pytest.raises(InputError):
            function({}, 0.0)
    assert math.isnan(optim.clip_by_value(broken, 0.5)) and math.isnan(broken["a"][1])


@given(g=arrays(np.float64, (2, 3), elements=st.floats(-1e3, 1e3)), most=st.floats(1e-3, 1e3))
@few
def test_s2_06_clipping_laws(g, most):
    """S2.06: never above the bound, direction kept, small gradients untouched."""
    held = {"a": g[0].copy(), "b": g[1].copy()}
    norm = optim.clip_by_global_norm(held, most)
    assert norm == pytest.approx(np.linalg.norm(g)) and optim.global_norm(held) <= most * (1 + 1e-9)
    both = np.stack([held["a"], held["b"]])
    assert np.allclose(both * norm, g * np.linalg.norm(both))
    if norm < most - 1e-5:
        assert np.array_equal(both, g)


def test_s2_06_weight_decay_utility():
    """S2.06: decay added to the gradients of chosen parameters."""
    w, g = {"J": np.full(2, 2.0), "tau": np.ones(1)}, {"J": np.ones(2), "tau": np.ones(1)}
    optim.add_weight_decay(w, g, 0.5, match="J*")
    assert np.array_equal(g["J"], [2.0, 2.0]) and g["tau"][0] == 1.0
    for wrong in ((w, {}, 0.5), (w, g, -1.0), (w, g, 0.5, "x")):
        with pytest.raises(InputError):
            optim.add_weight_decay(*wrong)


def test_s1_15_small_model_learns():
    """S1.15: network, optimizer, loss, loop: the loss falls."""
    from training.losses import make

    model, rng = SmallModel(0), np.random.default_rng(0)
    x, y = rng.normal(size=(20, 5, 2)), rng.integers(0, 2, 20)
    x[:, -1, 0] += 3.0 * y
    adam, loss, seen = Adam(model, lr=0.03), make("cross_entropy"), []
    for _ in range(60):
        run_ = model.forward(x, train=True)
        found = loss(run_, y, model)
        seen.append(found.value)
        adam.update(model.backward(run_, found.outputs))
    assert seen[-1] < 0.5 * seen[0] and np.all(model.parameters()["leak"] >= 0.0)
