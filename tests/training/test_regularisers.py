"""Losses without targets: numbers of features.md, exact gradients by currents, weights and through the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from smalls import SmallModel

from hardware.quantize import Levels
from soen_event.errors import InputError
from training.losses import NotFiniteWarning, Sum, check, make
from training.model import Run

rng = np.random.default_rng(11)
STATES = rng.normal(size=(3, 6, 4))
RUN = Run(outputs=rng.normal(size=(3, 2)), states=STATES, spikes=(rng.random((3, 5, 4)) < 0.3).astype(float))


class Weights:
    """Parameters and nothing else."""

    def __init__(self, **arrays):
        self.arrays = {name: np.array(array, dtype=float) for name, array in arrays.items()}

    def parameters(self):
        return self.arrays


def test_s0_l7_reg_j():
    """S0.L7: w = (.3, -.5, .1) -> 0.00358767."""
    model = Weights(J=[0.3, -0.5, 0.1], threshold=[9.0], weights=[0.9])
    found = make("reg_J")(RUN, model=model)
    assert found.value == pytest.approx(0.00358767, abs=5e-9) and list(found.parameters) == ["J"]
    assert check("reg_J", RUN, model=model)
    assert make("reg_J_loss", parameters="thr*")(RUN, model=model).value == pytest.approx(0.01 * math.expm1(8.76))
    both = make("reg_J", parameters=["J", "threshold"], threshold=0.0, scale=0.2)
    assert check(both, RUN, model=model)
    with pytest.raises(InputError, match="did you mean 'threshold'"):
        make("reg_J", parameters="treshold")(RUN, model=model)
    with pytest.raises(InputError, match="model"):
        make("reg_J")(RUN)
    with pytest.raises(InputError, match="none begins with J"):
        make("reg_J")(RUN, model=Weights(tau=[1.0]))
    with pytest.warns(NotFiniteWarning):
        assert make("reg_J")(RUN, model=Weights(J=[1e6])).value == math.inf


def test_s0_l8_high_states():
    """S0.L8: mean(exp(scale relu(|s| - thr)) - 1), the start left out."""
    loss = make("exp_high_state_penalty", threshold=0.5, scale=2.0, factor=3.0)
    plain = 3 * np.mean([math.exp(2 * max(abs(s) - 0.5, 0)) - 1 for s in STATES[:, 1:].ravel()])
    assert loss(RUN).value == pytest.approx(plain) and check(loss, RUN)
    assert not np.any(loss(RUN).states[:, 0])
    chosen = make("exp_high_state_penalty", threshold=0.5, loops=[1, 3])
    assert check(chosen, RUN) and not np.any(chosen(RUN).states[..., [0, 2]])
    assert check(make("exp_high_state_penalty", of="outputs", threshold=0.1), RUN)


def test_s0_l9_off_the_ground():
    """S0.L9: from max at 0 to min at the threshold, 0 above; what is dead is pushed up."""
    loss = make("get_off_the_ground_loss", threshold=0.5, min_penalty_offset=1.0, max_penalty_offset=9.0)
    for s, cost in ((0.0, 9.0), (0.25, 5.0), (-0.25, 5.0), (0.5, 1.0), (0.51, 0.0)):
        assert loss(Run(RUN.outputs, states=np.full((1, 2, 1), s))).value == pytest.approx(cost)
    assert check(loss, RUN)
    assert loss(Run(RUN.outputs, states=np.zeros((1, 2, 1)))).states[0, 1, 0] == -16.0
    default = make("get_off_the_ground_loss")(Run(RUN.outputs, states=np.zeros((1, 2, 1))))
    assert default.value == 10.0
    with pytest.raises(InputError):
        make("get_off_the_ground_loss", min_penalty_offset=11.0)


def test_s0_l11_end_at_zero():
    """S0.L11: mean s(T)^2."""
    loss = make("final_timestep_zero_mse")
    assert loss(RUN).value == pytest.approx(np.mean(STATES[:, -1] ** 2)) and check(loss, RUN)
    assert not np.any(loss(RUN).states[:, :-1])


@pytest.mark.parametrize("options", [{"bits": 3}, {"bits": 3, "scheme": "pow2+1"}, {"num_levels": 17}])
def test_s0_l13_gravity(options):
    """S0.L13: mean distance to the nearest level, over all weights together."""
    model = Weights(J=rng.uniform(-0.3, 0.3, 7), weights=rng.uniform(-0.3, 0.3, (2, 2)))
    count = {"bits": 8 + (options.get("scheme") == "pow2+1")}.get(next(iter(options)), 17)
    levels = np.linspace(-0.24, 0.24, count)
    entries = np.concatenate([a.ravel() for a in model.arrays.values()])
    away = np.abs(entries[:, None] - levels).min(axis=1)
    loss = make("gravity_quantization_loss", min=-0.24, max=0.24, **options)
    assert loss(RUN, model=model).value == pytest.approx(away.mean()) and check(loss, RUN, model=model)
    square = make("gravity_quantization_loss", min=-0.24, max=0.24, mode="mse", **options)
    assert square(RUN, model=model).value == pytest.approx(np.mean(away**2)) and check(square, RUN, model=model)


def test_s0_l13_levels_are_named():
    """S0.L13: a codebook, Levels of the hardware; bits alone are 2^b levels; what does not fit is told."""
    model = Weights(J=[0.2])
    assert make("gravity_quantization_loss", codebook=[0.0, 0.25])(RUN, model=model).value == pytest.approx(0.05)
    levels = Levels.bits_with_zero(4, -0.24, 0.24)
    assert make("gravity_quantization_loss", levels=levels)(RUN, model=model).value == pytest.approx(0.01)
    sixteen = make("gravity_quantization_loss", bits=4, min=-0.24, max=0.24)
    assert sixteen(RUN, model=model).value == pytest.approx(0.24 - 0.48 / 15 - 0.2)
    wrong = [{}, {"bits": 4}, {"bits": 4, "num_levels": 3, "min": 0, "max": 1}, {"codebook": []}]
    wrong += [{"bits": 4, "min": 1, "max": 0}, {"levels": 4}, {"codebook": [0, 1], "mode": "l2"}]
    for options in [*wrong, {"num_levels": 1, "min": 0, "max": 1}]:
        with pytest.raises(InputError):
            make("gravity_quantization_loss", **options)


def test_s0_l14_branching():
    """S0.L14: (log sigma - log target)^2; the target counts in the logarithmic form too."""
    decay = 0.5 ** np.arange(6.0)
    run = Run(RUN.outputs, states=np.broadcast_to(decay[None, :, None], (2, 6, 3)).copy())
    assert make("branching_loss")(run).value == pytest.approx(math.log(0.5) ** 2)
    assert make("branching_loss", target_sigma=0.5)(run).value == pytest.approx(0.0, abs=1e-20)
    assert make("branching_loss", target_sigma=2.0, use_log_domain=False)(run).value == pytest.approx(1.5**2)
    for options in ({}, {"target_sigma": 0.7, "factor": 2.0}, {"use_log_domain": False}, {"clamp_min": 0.8}):
        assert check(make("branching_loss", **options), RUN)
    held = make("branching_loss", clamp_min=0.8)(run)
    assert held.value == pytest.approx(math.log(0.8) ** 2) and not np.any(held.states)
    assert make("branching_loss")(Run(RUN.outputs, states=np.zeros((2, 4, 3)))).value == 0.0
    assert make("branching_loss", of="spikes")(RUN).spikes.shape == RUN.spikes.shape
    with pytest.raises(InputError):
        make("branching_loss", clamp_min=20.0)


def test_s0_l16_magnitude():
    """S0.L16: (mean |s| - target)^2 or the absolute difference."""
    mean = np.mean(np.abs(STATES[:, 1:]))
    for kind, value in (("mse", (mean - 0.5) ** 2), ("abs", abs(mean - 0.5))):
        loss = make("average_state_magnitude_loss", loss_type=kind)
        assert loss(RUN).value == pytest.approx(value) and check(loss, RUN)
    assert check(make("average_state_magnitude_loss", loops=[0, 2], target_magnitude=2.0), RUN)


def test_spike_counts():
    """Features.md 2.4: counts above the upper and below the lower bound cost their square."""
    spikes = np.zeros((2, 4, 2))
    spikes[:, :, 0] = 1.0
    run = Run(RUN.outputs, spikes=spikes)
    assert make("spike_count_penalty", lower=1.0, upper=3.0)(run).value == pytest.approx((1 + 1) / 2)
    assert check(make("spike_count_penalty", lower=1.5, upper=1.6), RUN)


INPUTS = rng.normal(size=(2, 4, 2))


def through(loss, model, seed=0):
    """Largest error of the gradients of a loss that runs the model, over the largest gradient."""
    run = model.forward(INPUTS)
    found, worst = loss(run, model=model, rng=np.random.default_rng(seed)), 0.0
    for name, array in model.parameters().items():
        for place in np.ndindex(array.shape):
            ends = []
            for step in (1e-6, -2e-6):
                array[place] += step
                ends.append(loss(run, model=model, rng=np.random.default_rng(seed)).value)
            array[place] += 1e-6
            worst = max(worst, abs((ends[0] - ends[1]) / 2e-6 - found.parameters[name][place]))
    return worst / max(np.max(np.abs(g)) for g in found.parameters.values())


@pytest.mark.parametrize("measure", ["abs", "square"])
def test_s0_l12_decay_after_the_example(measure):
    """S0.L12: the run goes on without input; what is left adds up; the gradient is exact."""
    model = SmallModel(1)
    loss = make("ensure_post_sample_decay", num_zero_steps=3, measure=measure, factor=2.0)
    run = model.forward(INPUTS)
    state, total = run.states[:, -1], 0.0
    for _ in range(3):
        state = np.tanh(model.parameters()["leak"] * state)
        total += np.sum(np.abs(state) if measure == "abs" else state**2)
    assert loss(run, model=model).value == pytest.approx(2.0 * total / 2)
    assert through(loss, model) < 1e-6 and check(loss, run, model=model)
    assert through(loss, SmallModel(1, noise=0.1)) < 1e-6


@pytest.mark.parametrize("options", [{}, {"use_log_loss": False}, {"per_layer": True, "layers": [[0], [1, 2]]}])
def test_s0_l15_local_expansion(options):
    """S0.L15: the ratio of successive differences of two runs; its gradient is exact, with the model's own noise too."""
    loss = make("local_expansion_loss", perturbation_scale=1e-2, target_value=0.9, **options)
    assert through(loss, SmallModel(2)) < 1e-4
    assert through(loss, SmallModel(2, noise=0.1)) < 1e-4


def test_s0_l15_of_a_known_ratio():
    """S0.L15: without input after one step a linear model shrinks differences by its leak."""
    model = SmallModel(3)
    model.parameters()["leak"][:] = 0.5
    model.parameters()["J"][:] *= 1e-3  # tanh is straight here
    quiet = np.zeros((2, 4, 2))

    class Once(SmallModel):
        def forward(self, inputs, train=False, rng=None):
            inputs = inputs.copy()
            inputs[:, 1:] = 0.0
            return super().forward(inputs, train, rng)

    model.__class__ = Once
    found = make("local_expansion_loss", target_value=2.0)(Run(RUN.outputs, inputs=quiet), model=model)
    assert found.value == pytest.approx(math.log(0.25) ** 2, rel=1e-6)


def test_s0_l15_clean_run_detached():
    """S0.L15: without the clean run's half the value is the same, but the gradient is not that of the value."""
    loss = make("local_expansion_loss", perturbation_scale=1e-2, detach_clean=True)
    run = SmallModel(2).forward(INPUTS)
    assert (
        loss(run, model=SmallModel(2)).value
        == make("local_expansion_loss", perturbation_scale=1e-2)(run, model=SmallModel(2)).value
    )
    assert through(loss, SmallModel(2)) > 0.5


def test_s0_l15_both_runs_have_the_same_noise():
    """S0.L15: the model's own noise is no part of the difference."""
    seen = []

    class Watched(SmallModel):
        def forward(self, inputs, train=False, rng=None):
            seen.append(super().forward(inputs, train, rng))
            return seen[-1]

    make("local_expansion_loss")(Run(RUN.outputs, inputs=INPUTS), model=Watched(2, noise=0.1))
    clean, moved = (run.states for run in seen)
    assert 0.0 < np.max(np.abs(clean - moved)) < 1e-3


def test_s0_l15_noise_keeps_inputs_from_falling_below_zero():
    """S0.L15: inputs that count photons stay 0 or more; others are free."""
    seen = []

    class Watched(SmallModel):
        def forward(self, inputs, train=False, rng=None):
            seen.append(inputs)
            return super().forward(inputs, train, rng)

    counts = np.zeros((2, 5, 2))
    counts[0, 0] = -1.0
    make("local_expansion_loss", perturbation_scale=0.1)(Run(RUN.outputs, inputs=counts), model=Watched(2))
    clean, moved = seen
    assert np.array_equal(clean, counts) and np.all(moved[counts == 0.0] > 0.0) and np.all(moved != counts)


def test_runs_that_lack_something():
    """What a regulariser needs and does not find is told."""
    bare, model = Run(RUN.outputs), SmallModel()
    for call in (
        lambda: make("branching_loss")(bare),
        lambda: make("branching_loss", of="outputs")(RUN),
        lambda: make("final_timestep_zero_mse", loops=[9])(RUN),
        lambda: make("final_timestep_zero_mse", loops=[-1]),
        lambda: make("final_timestep_zero_mse", of="stats"),
        lambda: make("ensure_post_sample_decay")(bare, model=model),
        lambda: make("local_expansion_loss")(Run(RUN.outputs, inputs=INPUTS)),
        lambda: make("local_expansion_loss", per_layer=True),
        lambda: make("local_expansion_loss", clamp_max=0.001),
    ):
        with pytest.raises(InputError):
            call()


def test_sum_of_all_kinds():
    """S0.06: outputs, states and weights in one sum, each with its gradient."""
    model = SmallModel(4, noise=0.0)
    model.parameters()["J"] *= 2
    run = model.forward(INPUTS)
    total = Sum({"cross_entropy": 1.0, "reg_J": 0.1, "branching_loss": 0.3, "ensure_post_sample_decay": 0.01})
    found = total(run, [0, 2], model)
    assert set(found.parts) == set(total.losses) and check(total, run, [0, 2], model)
    grads = model.backward(run, found.outputs, found.states)
    for name, array in model.parameters().items():
        place, ends = (0,) * array.ndim, []
        for step in (1e-6, -2e-6):
            array[place] += step
            ends.append(total(model.forward(INPUTS), [0, 2], model).value)
        array[place] += 1e-6
        whole = grads[name][place] + found.parameters[name][place]
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(whole, rel=1e-4, abs=1e-7)


def test_float32_stays():
    """Gradients have the type of what they belong to."""
    run = Run(RUN.outputs.astype(np.float32), STATES.astype(np.float32), RUN.spikes.astype(np.float32))
    for name in ("exp_high_state_penalty", "get_off_the_ground_loss", "branching_loss", "average_state_magnitude_loss"):
        assert make(name)(run).states.dtype == np.float32
    model = Weights(J=[0.3])
    model.arrays["J"] = model.arrays["J"].astype(np.float32)
    assert make("reg_J")(run, model=model).parameters["J"].dtype == np.float32


@pytest.mark.parametrize(
    "name",
    [
        "exp_high_state_penalty",
        "get_off_the_ground_loss",
        "final_timestep_zero_mse",
        "branching_loss",
        "average_state_magnitude_loss",
    ],
)
def test_nan_is_not_hidden(name):
    """A nan among the states is a nan in the value, and told."""
    broken = STATES.copy()
    broken[1, -1, 2] = np.nan
    with pytest.warns(NotFiniteWarning, match=name):
        assert math.isnan(make(name)(Run(RUN.outputs, states=broken)).value)
    for other in ("reg_J", make("gravity_quantization_loss", codebook=[0.0])):
        with pytest.warns(NotFiniteWarning):
            assert math.isnan(make(other)(RUN, model=Weights(J=[0.1, np.nan])).value)
