"""Callbacks that train for hardware, and those that change the task on the way."""

import numpy as np
import pytest
from tiny_model import Accuracy, CrossEntropy, Momentum, Tiny, blobs

from hardware.quantize import Levels
from soen_event.errors import InputError
from training import callbacks as cb
from training.gradients import grad
from training.hardening import levels_of
from training.hooks import Callback
from training.loop import Trainer
from training.objective import Sum


def trained(callbacks, epochs=3, *, model=None, data=None, optimizer=None, batch_size=16, **options):
    """A trainer after some epochs."""
    options = {"loss": CrossEntropy(), "metrics": [Accuracy()], "progress": False, **options}
    t = Trainer(model or Tiny(), optimizer or Momentum(0.02), callbacks=callbacks, **options)
    data = data or blobs()
    t.fit(data, data, epochs, batch_size=batch_size)
    return t


def bits(model):
    return {name: array.tobytes() for name, array in model.parameters().items()}


class Watch(Callback):
    """Keeps what the model sees in each pass, and the weights after each batch."""

    def __init__(self):
        self.seen, self.after = [], []

    def on_weights(self, parameters, state, rng):
        self.seen.append({name: array.copy() for name, array in parameters.items()})

    def on_batch_end(self, state):
        self.after.append({name: array.copy() for name, array in state.model.parameters().items()})


# ---------------------------------------------------------------------------------------------- levels


def test_s0_c3_forward_sees_levels_and_the_gradient_moves_the_exact_weights():
    watch, model = Watch(), Tiny()
    exact = {name: array.copy() for name, array in model.parameters().items()}
    x, y = blobs(16)
    levels = Levels.bits(3, -1.0, 1.0)
    snapped = Tiny()
    snapped.weights = {name: levels.round(array) for name, array in exact.items()}
    grads = grad(snapped, CrossEntropy())(x, y)
    trained(
        [cb.QATStraightThrough(-1.0, 1.0, bits=3), watch], 1, model=model, data=(x, y), optimizer=Momentum(0.1, 0.0)
    )
    for name in exact:
        np.testing.assert_array_equal(watch.seen[0][name], levels.round(exact[name]))
        np.testing.assert_allclose(model.parameters()[name], exact[name] - 0.1 * grads[name], rtol=1e-12, atol=1e-15)


def test_s0_c3_options():
    watch = Watch()
    trained([cb.QATStraightThrough(levels=[-0.5, 0.0, 0.5], connections="W*"), watch], 1)
    assert set(np.unique(watch.seen[0]["W1"])) <= {-0.5, 0.0, 0.5}
    assert len(np.unique(watch.seen[2]["b1"])) > 3
    project = Watch()
    trained(
        [cb.QATStraightThrough(-0.5, 0.5, levels=5, update_on_train_epoch_start=True), project],
        1,
        optimizer=Momentum(0.0),
    )
    assert set(np.unique(project.after[0]["W1"])) <= {-0.5, -0.25, 0.0, 0.25, 0.5}
    random = Watch()
    qat = cb.QATStraightThrough(-2.0, 2.0, bits=2, stochastic_rounding=True)
    model = Tiny()
    trained([qat, random], 100, model=model, optimizer=Momentum(0.0))
    seen = np.mean([each["W1"] for each in random.seen], axis=0)  # 300 draws of a step of 4/3: 6 sigma = 0.23
    assert np.abs(seen - model.parameters()["W1"]).max() < 0.23
    assert any(not np.array_equal(random.seen[0]["W1"], each["W1"]) for each in random.seen)
    with pytest.raises(InputError, match="did you mean"):
        trained([cb.QATStraightThrough(-1.0, 1.0, bits=2, connections="W11")])


def test_s0_c3_four_bits_are_sixteen_levels_unless_seventeen_are_asked_for():
    assert len(levels_of("x", -0.24, 0.24, 4, None)) == 16
    seventeen = levels_of("x", -0.24, 0.24, 4, None, "pow2+1")
    assert len(seventeen) == 17
    np.testing.assert_allclose(seventeen.values[:3], [-0.24, -0.21, -0.18], atol=1e-15)
    around = levels_of("x", -0.24, 0.24, 4, None, "pow2_zero")
    assert len(around) == 16 and 0.0 in around.values
    np.testing.assert_allclose(around.values[:2], [-0.24, -0.205714], atol=5e-7)  # features.md 5.5
    np.testing.assert_allclose(around.values[-2:], [0.21, 0.24], atol=1e-15)
    np.testing.assert_allclose(levels_of("x", -0.24, 0.24, 4, None).values[8] * 2, 0.032, atol=1e-15)
    assert levels_of("x", None, None, None, Levels.bits(2, 0, 1)).values == Levels.bits(2, 0, 1).values
    for arguments, told in (
        ((-1, 1, None, None), "either bits or levels"),
        ((-1, 1, 4, 4), "either bits or levels"),
        ((None, 1, 4, None), "min_val"),
        ((1, -1, None, 4), "not below"),
        ((0, 1, 4, None, "pow3"), "scheme"),
    ):
        with pytest.raises(InputError, match=told):
            levels_of("x", *arguments)


def test_s0_c4_quantized_accuracy_measures_and_puts_the_weights_back():
    look = cb.QuantizedAccuracy(-1.0, 1.0, bits=6)
    plain, looked = trained([]), trained([look])
    assert bits(plain.model) == bits(looked.model)
    x, y = blobs()
    snapped = Tiny()
    snapped.weights = {
        name: Levels.bits(6, -1.0, 1.0).round(array) for name, array in looked.model.parameters().items()
    }
    assert looked.history[-1]["quantized_accuracy"] == (snapped.forward(x).outputs.argmax(axis=1) == y).mean()
    # Every second update, on the first batch of 256 alone: three updates an epoch, so after the second one.
    data, kept = blobs(300, seed=6), {}

    class Keep(Callback):
        def on_batch_end(self, state):
            kept[state.step] = {name: array.copy() for name, array in state.model.parameters().items()}

    every = cb.QuantizedAccuracy(-1.0, 1.0, levels=2, data=data, eval_every_n_steps=2, max_eval_batches=1)
    told = trained([Keep(), every], 2)
    for epoch, step in ((0, 2), (1, 6)):
        snapped.weights = {name: np.where(array >= 0.0, 1.0, -1.0) for name, array in kept[step].items()}
        right = snapped.forward(data[0][:256]).outputs.argmax(axis=1) == data[1][:256]
        assert told.history[epoch]["quantized_accuracy"] == right.mean()
    with pytest.raises(InputError, match="no validation data"):
        Trainer(Tiny(), Momentum(), callbacks=[look], loss=CrossEntropy(), progress=False).fit(blobs())


# ---------------------------------------------------------------------------------------------- noise


def test_s0_c6_connection_noise_is_there_during_the_pass_only_and_has_an_address():
    model, watch = Tiny(), Watch()
    start = {name: array.copy() for name, array in model.parameters().items()}
    trained([cb.ConnectionNoise(0.1, "W1"), watch], 40, model=model, optimizer=Momentum(0.0))
    for name, array in model.parameters().items():
        assert array.tobytes() == start[name].tobytes()
    noise = np.array([each["W1"] - start["W1"] for each in watch.seen])
    assert all(each["W2"].tobytes() == start["W2"].tobytes() for each in watch.seen)
    assert noise.std() == pytest.approx(0.1, abs=6 * 0.1 / np.sqrt(2 * noise.size))
    assert abs(noise.mean()) < 6 * 0.1 / np.sqrt(noise.size)
    again = Watch()
    trained([Watch(), cb.ConnectionNoise(0.1, "W1"), again], 40, model=Tiny(), optimizer=Momentum(0.0))
    np.testing.assert_array_equal(noise[7], again.seen[7]["W1"] - start["W1"])
    epoch = Watch()
    trained([cb.ConnectionNoise(0.1, relative=True, per_step=False), epoch], 2, optimizer=Momentum(0.0))
    np.testing.assert_array_equal(epoch.seen[0]["W1"], epoch.seen[2]["W1"])
    assert not np.array_equal(epoch.seen[0]["W1"], epoch.seen[3]["W1"])
    assert np.all(epoch.seen[0]["b1"] == 0.0)  # a share of nothing


def test_s0_c5_noise_annealing_is_a_line_over_epochs():
    sizes = []

    class Look(Callback):
        def on_batch_end(self, state):
            sizes.append(state.model.noise["s"])

    trained([cb.NoiseAnnealing("s", start_value=0.0, end_value=0.3, start_epoch=1, end_epoch=3), Look()], 5)
    np.testing.assert_allclose(
        sizes, [0, 0, 0, 0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3], atol=1e-15
    )
    sizes.clear()
    t = trained(
        [cb.NoiseAnnealing("s", start_value=10.0, end_value=10.0, per_step=False, percent_of_param="W2"), Look()], 1
    )
    assert sizes[0] == pytest.approx(0.1 * np.abs(Tiny().weights["W2"]).mean())
    assert t.history[0]["noise/s"] == sizes[0]
    for options, told in (
        ({"key": "t"}, "is no noise"),
        ({"key": "s", "target": "perturb"}, "has no perturb"),
        ({"key": "s", "end_value": -1}, "end_value"),
    ):
        with pytest.raises(InputError, match=told):
            trained([cb.NoiseAnnealing(**options)])


def test_the_noise_of_a_run_does_not_depend_on_who_else_looks():
    def run(callbacks):
        model = Tiny()
        model.noise["s"] = 0.2
        return bits(trained(callbacks, 2, model=model).model)

    assert run([]) == run(
        [cb.MetricsTracker(), cb.QuantizedAccuracy(-1.0, 1.0, bits=4), cb.OutputStateStats(), Watch()]
    )


# ---------------------------------------------------------------------------------------------- curriculum


class Ridge:
    """Sum of squares of W1."""

    def __call__(self, run, targets=None, model=None, rng=None):
        from training.model import LossValue

        w = model.parameters()["W1"]
        return LossValue(float((w**2).sum()), parameters={"W1": 2 * w})


def summed():
    from training.objective import Loss

    class Task(Loss):
        name = "task"

        def value(self, run, targets, model, rng):
            return CrossEntropy()(run, targets)

    class Small(Loss):
        name = "small"

        def value(self, run, targets, model, rng):
            return Ridge()(run, model=model)

    return Sum([(Task(), 1.0), (Small(), 0.1)])


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("linear", {"start": 1.0, "end": 0.0}, [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("exponential_decay", {"start": 1.0, "end": 1 / 16}, [1.0, 0.5, 0.25, 0.125, 0.0625]),
        ("cosine_decay", {"start": 1.0, "end": 0.0}, [1.0, 0.8535533906, 0.5, 0.1464466094, 0.0]),
        ("sinusoidal", {"start": 0.0, "end": 1.0}, [0.0, 0.5, 1.0, 0.5, 0.0]),
    ],
)
def test_s0_c7_loss_weights_follow_their_course(kind, options, expected):
    loss = summed()
    t = trained([cb.LossWeightScheduler("small", kind, **options)], 5, loss=loss)
    np.testing.assert_allclose([h["loss_weight/small"] for h in t.history], expected, atol=1e-9)
    assert t.history[0]["loss"] == pytest.approx(t.history[0]["loss/task"] + expected[0] * t.history[0]["loss/small"])
    assert loss.weights["task"] == 1.0


def test_s0_c7_errors():
    for loss, told in ((CrossEntropy(), "no parts with weights"), (summed(), "did you mean 'small'")):
        with pytest.raises(InputError, match=told):
            trained([cb.LossWeightScheduler("smal")], loss=loss)
    with pytest.raises(InputError, match="start"):
        cb.LossWeightScheduler("a", "exponential_decay", start=0.0)


def test_s0_c7_dynamic_weight_falls_after_bad_epochs_and_rises_after_good_ones():
    class Told(Callback):
        values = iter([0.5, 0.6, 0.55, 0.55, 0.55, 0.605, 0.7])

        def on_epoch_end(self, state):
            state.metrics["val_accuracy"] = next(self.values)

    t = trained([Told(), cb.DynamicLossWeight("small", patience=3)], 7, loss=summed())
    steps = np.array([h["loss_weight/small"] for h in t.history])
    np.testing.assert_allclose(steps / 0.1, [1, 1.05, 1.05, 1.05, 1.05 * 0.7, 1.05 * 0.7, 1.05**2 * 0.7], rtol=1e-12)


def test_s0_06_alternating_losses_are_counted_by_training_alone_and_go_on_after_a_stop(tmp_path):
    def run(stop, **more):
        class Stop(Callback):
            def on_batch_end(self, state):
                from training.hooks import CONTINUE, STOP

                return STOP if state.step >= stop else CONTINUE

        loss = Sum([(label, part, 1.0) for label, part in summed().losses.items()], alternate_every=2)
        keep = cb.ModelCheckpoint(tmp_path / "b.h5", last=True, durable=False)
        t = Trainer(Tiny(), Momentum(0.01), callbacks=[keep, Stop()], loss=loss, progress=False)
        t.fit(blobs(), blobs(), 3, batch_size=16, **more)
        return t

    straight = run(10**9)
    assert straight.loss.batch == 9
    run(4)
    assert bits(run(10**9, resume=tmp_path / "last.h5").model) == bits(straight.model)


def test_s0_c8_sequence_lengths_grow_and_dt_keeps_the_time():
    lengths, steps = [], []

    class Look(Callback):
        def on_batch_end(self, state):
            lengths.append(state.run.states.shape[1] - 1)
            steps.append(state.model.dt)

    t = trained([cb.TargetSeqLenScheduler(2, 6, scale_dt=True), Look()], 5)
    assert lengths[::3] == [2, 3, 4, 5, 6]
    np.testing.assert_allclose(np.array(steps) * lengths, 3.0)
    assert [h["sequence_length"] for h in t.history] == [2, 3, 4, 5, 6]
    model = Tiny()
    del model.dt
    with pytest.raises(InputError, match="has no dt"):
        trained([cb.TargetSeqLenScheduler(2, 6, scale_dt=True)], model=model)


@pytest.mark.parametrize("selection", ["random", "first", "last"])
def test_s0_c9_batches_begin_where_an_example_ended(selection):
    begins, ends = [], []

    class Look(Callback):
        def on_batch_begin(self, state):
            begins.append((state.batch, state.model.initial_state))

        def on_batch_end(self, state):
            ends.append(state.run.states[:, -1].copy())

    t = trained([cb.StatefulTraining(selection), Look()], 2)
    for (batch, begin), end in zip(begins[1:], ends, strict=False):
        if batch == 0:
            assert begin is None
        else:
            k = np.flatnonzero((end == begin).all(axis=1))
            assert len(k) >= 1
            assert selection == "random" or {"first": 0, "last": 15}[selection] in k
    assert t.model.initial_state is None
    model = Tiny()
    del model.initial_state
    with pytest.raises(InputError, match="no initial_state"):
        trained([cb.StatefulTraining()], model=model)


def test_s0_c10_pooling_scale_follows_its_line():
    t = trained([cb.TimePoolingScaleScheduler(1.0, 2.0)], 3)
    assert [h["pooling_scale"] for h in t.history] == [1.0, 1.5, 2.0]
    seen = []

    class Look(Callback):
        def on_batch_end(self, state):
            run, model = state.run, state.model
            seen.append(np.ptp(run.outputs) / np.ptp(run.states[:, -1] @ model.weights["W2"]))

    trained([cb.TimePoolingScaleScheduler(2.0, 4.0, per_step=True), Look()], 2, optimizer=Momentum(0.0))
    assert seen[0] == pytest.approx(2.0) and seen[-1] == pytest.approx(4.0) and np.all(np.diff(seen) >= 0.0)
    model = Tiny()
    del model.pooling_scale
    with pytest.raises(InputError, match="pooling_scale"):
        trained([cb.TimePoolingScaleScheduler(1.0, 2.0)], model=model)


@pytest.mark.parametrize("stop", [2, 4])
def test_s2_07_all_of_them_together_go_on_after_a_stop(tmp_path, stop):
    """Every callback that changes training, killed in the middle of an epoch and at its end."""

    def run(at, **more):
        class Stop(Callback):
            def on_batch_end(self, state):
                from training.hooks import CONTINUE, STOP

                return STOP if state.step >= at else CONTINUE

        callbacks = [
            cb.QATStraightThrough(-1.0, 1.0, bits=5, stochastic_rounding=True, update_on_train_epoch_start=True),
            cb.ConnectionNoise(0.05), cb.NoiseAnnealing("s", end_value=0.1), cb.TargetSeqLenScheduler(3, 6, scale_dt=True),
            cb.StatefulTraining(), cb.TimePoolingScaleScheduler(1.0, 1.5, per_step=True),
            cb.LossWeightScheduler("small", per_step=True), cb.DynamicLossWeight("task", monitor="val_loss", mode="min"),
            cb.GradientStatistics(), cb.OutputStateStats(), cb.MetricsTracker(), cb.QuantizedAccuracy(-1.0, 1.0, bits=5),
            cb.LRScheduler("cosine", max_lr=0.02), cb.EarlyStopping(restore_best=True),
            cb.ModelCheckpoint(tmp_path / "b.h5", last=True, durable=False), Stop(),
        ]  # fmt: skip
        t = Trainer(
            Tiny(), "adam", metrics=[Accuracy()], callbacks=callbacks, loss=summed(), clip_norm=1.0, progress=False
        )
        t.fit(blobs(), blobs(), 4, batch_size=16, **more)
        return t

    straight = run(10**9)
    broken = run(stop)
    assert broken.step == stop
    again = run(10**9, resume=tmp_path / "last.h5")
    assert again.history == straight.history
    assert bits(again.model) == bits(straight.model)


@pytest.mark.parametrize("optimizer", ["sam", "lookahead", "adam"])
def test_s2_33_wrapped_optimizers_train_and_accumulate(optimizer):
    whole = trained([], 4, optimizer=optimizer, batch_size=48)
    parts = trained([], 4, optimizer=optimizer, batch_size=16, accumulate=3, data=blobs())
    assert whole.history[-1]["loss"] < whole.history[0]["loss"]
    if optimizer == "sam":  # the second gradient is of the same examples
        for name, array in whole.model.parameters().items():
            np.testing.assert_allclose(parts.model.parameters()[name], array, rtol=1e-6, atol=1e-9)
