"""Losses of a student against its teacher: golden numbers, laws of a distance, exact gradients, columns, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy
from students import students_twin

from soen_event.errors import InputError
from training import registry
from training.imitation import columns, parts_of, spike_distance
from training.lessons import Lesson
from training.losses import Sum, check, make
from training.model import Run

rng = np.random.default_rng(5)
RUN = Run(outputs=rng.normal(size=(3, 4)), states=rng.normal(size=(3, 7, 4)), spikes=rng.uniform(size=(3, 6, 4)))
few = settings(max_examples=40, deadline=None)


def train(*times, steps=60):
    spikes = np.zeros(steps)
    np.add.at(spikes, list(times), 1.0)
    return spikes


def test_s2_14_golden_van_rossum_distances():
    """features.md 2.2: one unmatched spike .5 (kernel norm 1/2); [10] against [15], tau = 10: .393469."""
    assert spike_distance(train(10), train(), 1.0, 10.0)[0] == pytest.approx(0.5, rel=1e-14)
    assert spike_distance(train(59), train(), 1.0, 10.0)[0] == pytest.approx(0.5, rel=1e-14)  # the tail counts
    assert spike_distance(train(10), train(15), 1.0, 10.0)[0] == pytest.approx(1.0 - np.exp(-0.5), rel=1e-14)
    assert spike_distance(train(20), train(30), 0.5, 10.0)[0] == pytest.approx(0.3934693402873666, rel=1e-14)


@few
@given(
    trains=st.lists(st.lists(st.integers(0, 29), max_size=6), min_size=3, max_size=3),
    tau=st.floats(0.3, 100.0),
    dt=st.floats(0.1, 3.0),
)
def test_s2_14_van_rossum_is_a_metric_and_the_double_sum_over_spikes(trains, tau, dt):
    """Symmetry, identity, triangle; D^2 = sum over all pairs of signs times exp(-|t_i - t_j|/tau)/2, by another way."""
    a, b, c = (train(*each, steps=30) for each in trains)

    def distance(one, other):
        return float(np.sqrt(max(spike_distance(one, other, dt, tau)[0], 0.0)))

    assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-9)
    assert distance(a, a) == 0.0
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-7
    times = dt * np.array([*trains[0], *trains[1]], dtype=float)
    signs = np.array([1.0] * len(trains[0]) + [-1.0] * len(trains[1]))
    pairs = np.exp(-np.abs(times[:, None] - times[None, :]) / tau)
    assert spike_distance(a, b, dt, tau)[0] == pytest.approx(0.5 * signs @ pairs @ signs, abs=1e-9)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (make("van_rossum", dt=0.5, tau=2.0), rng.uniform(size=(3, 6, 4))),
        (make("trajectory_mse"), rng.normal(size=(3, 7, 4))),
        (make("trajectory_mse"), rng.normal(size=(3, 6, 4))),
        (make("trajectory_mse", of="spikes"), rng.uniform(size=(3, 6, 4))),
        (make("trajectory_mse", of="outputs"), rng.normal(size=(3, 4))),
        (make("softmax_kl", temperature=3.0), rng.normal(size=(3, 4))),
    ],
)
def test_s0_24_gradients_are_exact(loss, targets):
    """Against central differences (the loss also moves what it should not look at: that has gradient 0)."""
    found = check(loss, RUN, targets)
    assert found, found
    assert loss(RUN, targets).value > 0.0


def test_s0_24_the_losses_are_registered():
    assert {"trajectory_mse", "van_rossum", "softmax_kl", "distillation_kl"} <= set(registry.names("loss"))


def test_s0_24_trajectory_mse_is_the_mean_over_steps_and_loops():
    teacher = RUN.states + 0.5
    assert make("trajectory_mse")(RUN, teacher).value == pytest.approx(0.25)
    assert make("trajectory_mse")(RUN, teacher[:, 1:]).value == pytest.approx(0.25)  # a teacher that tells no start
    assert make("trajectory_mse")(RUN, RUN.states).value == 0.0


@few
@given(seed=st.integers(0, 10**6), hot=st.floats(0.5, 20.0))
def test_s0_24_softmax_kl_is_scipys_times_t_squared(seed, hot):
    """T^2 KL(teacher || student), 0 where they agree up to a constant, never below 0."""
    draw = np.random.default_rng(seed)
    z, t = draw.normal(size=(2, 5, 3)) * 3
    expected = hot**2 * np.mean(entropy(softmax(t / hot, axis=1), softmax(z / hot, axis=1), axis=1))
    assert make("softmax_kl", temperature=hot)(z, t).value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert make("softmax_kl", temperature=hot)(t + 2.0, t).value == pytest.approx(0.0, abs=1e-9)


def test_s0_24_the_gradient_of_softmax_kl_keeps_its_size_when_hot():
    """Hinton et al. 2015: for a high temperature T^2 KL goes to the mean of squares of centred outputs, over 2."""
    z, t = rng.normal(size=(2, 8, 5))
    centred = (z - z.mean(axis=1, keepdims=True)) - (t - t.mean(axis=1, keepdims=True))
    found = make("softmax_kl", temperature=1e4)(z, t)
    assert found.value == pytest.approx(np.mean(np.sum(centred**2, axis=1)) / 10, rel=1e-3)
    np.testing.assert_allclose(found.outputs, centred / 5 / 8, rtol=1e-2, atol=1e-5)


def test_s0_24_a_lesson_hands_every_loss_its_part():
    """Losses of the teacher take their parts, all others the true answers; a sum weighs and tells them."""
    lesson = Lesson(
        {"states": RUN.states + 1.0, "spikes": RUN.spikes, "outputs": RUN.outputs}, answers=np.array([0, 1, 2])
    )
    loss = Sum({"trajectory_mse": 2.0, "van_rossum": {"dt": 1.0}, "softmax_kl": 1.0, "cross_entropy": 0.5})
    found = loss(RUN, lesson)
    alone = make("cross_entropy")(RUN, np.array([0, 1, 2]))
    assert found.parts["trajectory_mse"] == pytest.approx(1.0)
    assert found.parts["van_rossum"] == 0.0 and found.parts["softmax_kl"] == pytest.approx(0.0, abs=1e-12)
    assert found.parts["cross_entropy"] == alone.value
    assert found.value == pytest.approx(2.0 + 0.5 * alone.value)
    assert parts_of(loss) == ("states", "spikes", "outputs") and parts_of(make("mse")) == ()
    assert check(loss, RUN, lesson)
    plain = make(lambda outputs, targets: np.mean((outputs.argmax(axis=1) == targets) * 1.0))
    assert plain(RUN, lesson).value == np.mean(RUN.outputs.argmax(axis=1) == np.array([0, 1, 2]))
    assert make("mse")(RUN, Lesson({"outputs": RUN.outputs})).value == 0.0  # without answers: the first part


def test_s0_24_trajectories_do_not_depend_on_the_pooling_of_the_outputs():
    """The same value and the same gradients whether outputs are pooled or not, down to the parameters."""
    x = (np.random.default_rng(1).uniform(size=(4, 30, 3)) < 0.1).astype(float)
    found = []
    for pooling in ("none", "mean", "max"):
        twin = students_twin(3, pooling=pooling, dtype="float64")
        run = twin.forward(x, train=True)
        target = np.zeros((4, 31, 2))
        value = make("trajectory_mse")(run, target, twin)
        assert value.outputs is None
        found.append((value.value, twin.backward(run, states=value.states)["J"]))
    for value, gradient in found[1:]:
        assert value == found[0][0]
        np.testing.assert_array_equal(gradient, found[0][1])
    assert np.abs(found[0][1]).max() > 0.0


def test_s0_24_van_rossum_goes_through_the_surrogate():
    """Down to the parameters, with smooth spikes for which differences exist."""
    twin = students_twin(3, dtype="float64", width=0.05)
    x = (np.random.default_rng(1).uniform(size=(2, 40, 3)) < 0.15).astype(float)
    target = np.zeros((2, 40, 2))
    target[:, 20] = 1.0
    loss = make("van_rossum", tau=8.0)
    run = twin.forward(x, train=True, smooth=True)
    value = loss(run, target, twin)
    gradient = twin.backward(run, spikes=value.spikes)["J"]
    array, step = twin.parameters()["J"], 1e-6
    for k in range(len(array)):
        ends = []
        for side in (step, -step):
            array[k] += side
            ends.append(loss(twin.forward(x, smooth=True), target, twin).value)
            array[k] -= side
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(gradient[k], rel=1e-5, abs=1e-9)
    assert np.abs(gradient).max() > 1e-3


def test_s0_24_columns_are_the_outputs_or_the_named_ones():
    twin = students_twin(3)
    chosen, names = columns(twin, "states", None, 5, "x")
    assert names == ["n0", "n1"]
    assert chosen.tolist() == [twin.plan.loop_index["n0"], twin.plan.loop_index["n1"]]
    assert columns(twin, "spikes", ["n1"], 2, "x")[0].tolist() == [1]
    assert columns(twin, "states", ["d2", "n0"], 5, "x")[0].tolist() == [twin.plan.loop_index["d2"], chosen[0]]
    assert columns(None, "states", None, 4, "x")[0].tolist() == [0, 1, 2, 3]
    twice = make("trajectory_mse", loops=["n0", "n0"])
    x = (np.random.default_rng(1).uniform(size=(2, 20, 3)) < 0.2).astype(float)
    run = twin.forward(x)
    one = make("trajectory_mse", loops=["n0"])(run, np.zeros((2, 21, 1)), twin)
    two = twice(run, np.zeros((2, 21, 2)), twin)
    np.testing.assert_allclose(two.states, one.states, rtol=1e-6)


NONSENSE = [
    (lambda: make("van_rossum", tau=0.0), "van_rossum.tau: 0 is not above 0"),
    (lambda: make("van_rossum", dt=-1.0), "van_rossum.dt"),
    (lambda: make("softmax_kl", temperature=-1), "softmax_kl.temperature"),
    (lambda: make("softmax_kl", temprature=1), "did you mean 'temperature'"),
    (lambda: make("trajectory_mse", of="stats"), "did you mean 'states'"),
    (lambda: make("trajectory_mse", loops="n0"), "is no list of ids"),
    (lambda: make("trajectory_mse", of="outputs", loops=["n0"]), "leave loops out"),
    (lambda: make("van_rossum")(RUN, RUN.spikes), "van_rossum.dt: missing"),
    (lambda: make("van_rossum", dt=1.0)(RUN, RUN.spikes[:, :4]), "4 steps, the student 6"),
    (lambda: make("van_rossum", dt=1.0)(np.zeros((2, 2)), np.zeros((2, 3, 2))), "the model gives none"),
    (lambda: make("trajectory_mse")(RUN, RUN.states[:, :, :2]), "4 columns of the student"),
    (lambda: make("trajectory_mse")(RUN, RUN.states[:, :3]), "3 steps of states, the student 7"),
    (lambda: make("trajectory_mse")(RUN, RUN.states[:2]), "in 3 examples"),
    (lambda: make("trajectory_mse")(RUN, np.array([["a"]])), "not that of numbers"),
    (lambda: make("trajectory_mse", of="outputs")(RUN, np.zeros((3, 6, 4))), "the same pooling"),
    (lambda: make("softmax_kl")(RUN, np.zeros((3, 5))), r"\(3, 5\), the student's \(3, 4\)"),
    (lambda: make("softmax_kl")(RUN, Lesson({"states": RUN.states})), "hold states, not outputs"),
    (lambda: make("trajectory_mse", loops=["n0"])(RUN, RUN.states), "has no plan"),
    (lambda: columns(students_twin(1), "states", ["n7"], 3, "x"), "not in the network"),
    (lambda: columns(students_twin(1), "spikes", ["d0"], 3, "x"), "makes no spikes"),
]


@pytest.mark.parametrize(("make_it", "told"), NONSENSE)
def test_s0_24_nonsense_is_told(make_it, told):
    with pytest.raises(InputError, match=told):
        make_it()
