"""The training loop: gradients, accumulation, validation that changes nothing, errors, and resuming to the bit."""

import copy
import hashlib
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import Accuracy, CrossEntropy, Momentum, Tiny, blobs

from soen_event.errors import InputError
from training import checkpoint
from training.callbacks import Callback, EarlyStopping, ModelCheckpoint
from training.data import DataLoader, Dataset
from training.gradients import grad, init_all_states, run_network, value_and_grad
from training.loop import BasicTrainingLoop, Diverged, Trainer
from training.model import LossValue, Model

ROOT = Path(__file__).parents[2]


def trainer(model=None, callbacks=(), **options):
    options = {"loss": CrossEntropy(), "progress": False, "metrics": [Accuracy()], **options}
    return Trainer(model or Tiny(), options.pop("optimizer", None) or Momentum(), callbacks=callbacks, **options)


def bits(model):
    return {name: array.tobytes() for name, array in model.parameters().items()}


def everything(t):
    """A hash of all that training could depend on."""
    model = {k: v for k, v in vars(t.model).items() if k not in ("forwards", "backwards")}
    parts = (model, vars(t.optimizer), [vars(m) for m in t.metrics.values()], vars(t.loss), t.history, t.epoch, t.step)
    return hashlib.blake2b(pickle.dumps(copy.deepcopy(parts))).hexdigest()


def test_the_tiny_model_is_a_model_and_its_gradients_are_exact():
    model, (x, y) = Tiny(), blobs(6)
    assert isinstance(model, Model)
    value, grads = value_and_grad(model, CrossEntropy())(x, y)

    def at(parameters):
        other = Tiny()
        other.weights = parameters
        return CrossEntropy()(other.forward(x), y).value

    numeric, again = grad(at, return_value=True)(model.parameters())
    assert again == pytest.approx(value, abs=1e-15)
    for name, array in grads.items():
        np.testing.assert_allclose(numeric[name], array, atol=1e-8)


def test_s2_25_s1_15_basic_training_loop_learns():
    x, y = blobs()
    loop = BasicTrainingLoop(Tiny(), Momentum(), None, [Accuracy()], [], loss=CrossEntropy(), progress=False)
    seen = []

    class Seen(Callback):
        def on_epoch_end(self, state):
            seen.append(state.epoch)

    loop.add_callback(Seen())
    history = loop.fit((x, y), (x, y), 8, batch_size=16)
    assert BasicTrainingLoop is Trainer
    assert seen == list(range(8))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["val_accuracy"] > 0.9
    assert set(history[0]) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr"}
    assert loop.validate((x, y)) == {"loss": history[-1]["val_loss"], "accuracy": history[-1]["val_accuracy"]}


def test_s0_19_one_step_is_the_gradient_step():
    x, y = blobs(8)
    model = Tiny()
    before = {name: array.copy() for name, array in model.parameters().items()}
    grads = grad(Tiny(), CrossEntropy())(x, y)
    trainer(model, optimizer=Momentum(0.3, 0.0)).fit((x, y), batch_size=8)
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, before[name] - 0.3 * grads[name], atol=1e-15)


@pytest.mark.parametrize("count", [32, 29])
def test_s2_28_micro_batches_equal_one_batch_and_the_last_group_is_flushed(count):
    x, y = blobs(count)
    whole, parts = Tiny(), Tiny()
    data = DataLoader((x, y), 12, seed=4), DataLoader((x, y), 4, seed=4)
    one, three = trainer(whole), trainer(parts, accumulate=3)
    one.fit(data[0], epochs=3)
    three.fit(data[1], epochs=3)
    assert one.step == three.step == 9
    for name in whole.parameters():
        np.testing.assert_allclose(whole.parameters()[name], parts.parameters()[name], rtol=1e-12, atol=1e-14)
    assert one.history[-1]["loss"] == pytest.approx(three.history[-1]["loss"], abs=1e-12)


@given(st.integers(1, 3), st.integers(1, 3))
def test_training_n_epochs_is_n_times_one(first, second):
    x, y = blobs(20)
    a, b = Tiny(), Tiny()
    trainer(a).fit((x, y), epochs=first + second, batch_size=6)
    again = trainer(b)
    again.fit((x, y), epochs=first, batch_size=6)
    again.fit((x, y), epochs=second, batch_size=6)
    assert bits(a) == bits(b)
    assert [h["epoch"] for h in again.history] == list(range(first + second))


def test_s2_26_validation_and_prediction_change_nothing():
    x, y = blobs()
    model = Tiny()
    model.noise["s"] = 0.1

    class Counting(CrossEntropy):
        batch = 0

        def __call__(self, *args, **kw):
            self.batch += 1
            return super().__call__(*args, **kw)

        def state_dict(self):
            return {"batch": self.batch}

        def load_state_dict(self, d):
            self.batch = d["batch"]

    t = trainer(model, loss=Counting())
    t.fit((x, y), epochs=2)
    model.initial_state = np.arange(5.0)
    before = everything(t)
    first, second = t.validate((x, y)), t.validate((x, y))
    assert first == second
    assert t.predict(x).shape == (48, 2)
    assert everything(t) == before
    t.loss.batch += 1
    assert everything(t) != before  # the hash sees what it should

    one, two = Tiny(), Tiny()
    for each, val in ((one, None), (two, (x, y))):
        each.noise["s"] = 0.1
        trainer(each).fit((x, y), val, epochs=3)
    assert bits(one) == bits(two)


def test_predict_keeps_the_order_whatever_the_batches():
    x, _ = blobs()
    t = trainer()
    whole = t.model.forward(x).outputs
    np.testing.assert_array_equal(
        t.predict(x, batch_size=7), np.concatenate([t.model.forward(x[k : k + 7]).outputs for k in range(0, 48, 7)])
    )
    np.testing.assert_allclose(t.predict(x), whole, atol=1e-14)


def test_bounds_hold_after_every_step():
    model = Tiny()
    model.limits = {"W1": (-0.24, 0.24)}
    seen = []

    class Look(Callback):
        def on_batch_end(self, state):
            seen.append(np.abs(state.model.parameters()["W1"]).max())

    trainer(model, [Look()]).fit(blobs(), epochs=2, batch_size=8)
    assert len(seen) == 12
    assert max(seen) <= 0.24


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_nan_stops_with_a_clear_error_and_whole_weights(tmp_path, where):
    x, y = blobs()

    class Breaks(CrossEntropy):
        calls = 0

        def __call__(self, *args, **kw):
            self.calls += 1
            value = super().__call__(*args, **kw)
            if self.calls == 8:
                if where == "loss":
                    return LossValue(float("nan"), outputs=value.outputs, parts={"task": float("nan")})
                value.outputs[0, 0] = np.inf
            return value

    keep = ModelCheckpoint(tmp_path / "best.h5", None, last=tmp_path / "last.h5")
    t = trainer(callbacks=[keep], loss=Breaks())
    with np.errstate(invalid="ignore"), pytest.raises(Diverged, match=r"epoch 2, batch 1 \(step 7\).*last\.h5") as told:
        t.fit((x, y), epochs=5, batch_size=16)
    assert ("the loss (task) is nan" if where == "loss" else "the gradient by 'W") in str(told.value)
    assert all(np.isfinite(array).all() for array in t.model.parameters().values())
    held = checkpoint.load(tmp_path / "last.h5")
    assert held["position"]["epoch"] == 2


def test_bad_arguments_are_told_together():
    with pytest.raises(InputError) as told:
        Trainer(
            object(), Momentum(), loss=CrossEntropy(), seed=-1, accumulate=0, clip_norm=0.0, callbacks=[3], metrics=[7]
        )
    text = "\n".join(told.value.faults)
    for word in (
        "Trainer.model",
        "Trainer.seed",
        "Trainer.accumulate",
        "Trainer.clip_norm",
        "CallbackList",
        "Trainer.metrics",
    ):
        assert word in text
    t = trainer()
    for wrong in (0, True, 1.5):
        with pytest.raises(InputError, match="epochs"):
            t.fit(blobs(), epochs=wrong)
    with pytest.raises(InputError, match="only once"):
        t.fit(iter([]))
    with pytest.raises(InputError, match="gave no batch"):
        t.fit([])


def test_lists_and_generators_of_batches_train_alike():
    x, y = blobs(24)
    batches = [(x[k : k + 8], y[k : k + 8]) for k in range(0, 24, 8)]

    class Unsized:
        def __iter__(self):
            return iter(batches)

    a, b, c = Tiny(), Tiny(), Tiny()
    trainer(a).fit(batches, epochs=2)
    trainer(b).fit(Unsized(), epochs=2)
    trainer(c).fit(DataLoader((x, y), 8, shuffle=False), epochs=2)
    assert bits(a) == bits(b) == bits(c)
    t = trainer(accumulate=2)
    t.fit(Unsized(), epochs=1)
    assert t.step == 2


# ---------------------------------------------------------------------------------------------- gradients as functions


def test_s1_07_grad_returns_in_the_promised_order():
    model, (x, y) = Tiny(), blobs(6)
    loss = CrossEntropy()
    value, grads = value_and_grad(model, loss)(x, y)
    assert set(grad(model, loss)(x, y)) == {"W1", "b1", "W2"}
    got, v = grad(model, loss, return_value=True)(x, y)
    assert v == value
    np.testing.assert_array_equal(got["W1"], grads["W1"])
    got, run = grad(model, loss, has_aux=True)(x, y)
    assert run.outputs.shape == (6, 2)
    got, v, run = grad(model, loss, has_aux=True, return_value=True)(x, y)
    assert v == value and run.states.shape == (6, 7, 5)

    def plain(a, b):
        return float(a @ b), "aux"

    a, b = np.array([1.0, 2.0]), np.array([3.0, -4.0])
    slopes, aux = grad(plain, argnums=(0, 1), has_aux=True)(a, b)
    np.testing.assert_allclose(slopes[0], b, atol=1e-9)
    np.testing.assert_allclose(slopes[1], a, atol=1e-9)
    assert aux == "aux"
    assert grad(lambda x: x**3)(2.0) == pytest.approx(12.0, abs=1e-7)
    with pytest.raises(InputError, match="loss"):
        grad(model)
    with pytest.raises(InputError, match="argnums"):
        grad(lambda x: x, argnums=2)(1.0)


def test_s1_08_value_and_grad_runs_forward_once_and_equals_the_two_calls():
    model, (x, y) = Tiny(), blobs(6)
    value, grads = value_and_grad(model, CrossEntropy())(x, y)
    assert (model.forwards, model.backwards) == (1, 1)
    assert value == CrossEntropy()(model.forward(x), y).value
    for name, array in grad(model, CrossEntropy())(x, y).items():
        np.testing.assert_array_equal(array, grads[name])
    (v, run), _ = value_and_grad(model, CrossEntropy(), has_aux=True)(x, y)
    assert v == value and run.outputs.shape == (6, 2)


def test_a_loss_of_parameters_adds_to_the_gradient_and_its_names_are_checked():
    model, (x, y) = Tiny(), blobs(6)

    class Ridge(CrossEntropy):
        def __call__(self, run, targets, model=None, rng=None):
            value = super().__call__(run, targets)
            value.parameters = {"W1": 2 * model.parameters()["W1"]}
            return value

    plain, ridge = grad(model, CrossEntropy())(x, y), grad(model, Ridge())(x, y)
    np.testing.assert_allclose(ridge["W1"], plain["W1"] + 2 * model.parameters()["W1"])

    def wrong(run, targets, model=None, rng=None):
        return LossValue(0.0, parameters={"W3": np.zeros(1)})

    with pytest.raises(KeyError, match="W3"):
        grad(model, wrong)(x, y)


def test_s1_14_init_all_states_leaves_parameters_and_is_idempotent():
    model = Tiny()
    before = bits(model)
    model.initial_state = np.ones(5)
    init_all_states(model, 4)
    init_all_states(model, 4)
    assert model.initial_state is None
    assert bits(model) == before
    calls = []
    model.reset = calls.append
    init_all_states(model, 7)
    assert calls == [7]
    with pytest.raises(InputError, match="batch_size"):
        init_all_states(model, 0)


def test_s1_16_run_network_reads_out():
    model, (x, _) = Tiny(), blobs(4)
    states = model.forward(x).states[:, 1:]
    np.testing.assert_array_equal(run_network(model, x), model.forward(x).outputs)
    np.testing.assert_array_equal(run_network(model, x, "last"), states[:, -1])
    for name in ("sum", "mean", "max"):
        np.testing.assert_array_equal(run_network(model, x, name), getattr(states, name)(axis=1))
    forward = model.forward

    def spiking(inputs, **options):
        run = forward(inputs, **options)
        run.spikes = np.zeros((4, 6, 2))
        run.spikes[0, 3:5, 1] = 1.0
        return run

    with pytest.raises(InputError, match="spikes"):
        run_network(model, x, "spike_count")
    model.forward = spiking
    assert run_network(model, x, "spike_count").tolist() == [[0, 2], [0, 0], [0, 0], [0, 0]]
    assert run_network(model, x, "first_spike")[0].tolist() == [6, 3]
    with pytest.raises(InputError, match="did you mean 'mean'"):
        run_network(model, x, "meen")


# ---------------------------------------------------------------------------------------------- resuming


def keeper(folder, **options):
    return ModelCheckpoint(
        folder / "best.h5", "val_loss", last=folder / "last.h5", every_steps=1, durable=False, **options
    )


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, state):
        from training.callbacks import CONTINUE, STOP

        return STOP if state.step >= self.step else CONTINUE


@pytest.mark.parametrize("stop", [1, 3, 4, 7, 12])
def test_s2_07_a_continued_run_ends_in_the_same_bits(tmp_path, stop):
    x, y = blobs(30)

    def run(callbacks, **options):
        model = Tiny()
        model.noise["s"] = 0.05
        t = trainer(model, callbacks, accumulate=2)
        t.fit((x, y), (x, y), 4, batch_size=4, **options)
        return t

    patience = lambda: EarlyStopping(patience=2, restore_best=True)  # noqa: E731
    straight = run([patience(), keeper(tmp_path), StopAt(10**9)])
    broken = run([patience(), keeper(tmp_path), StopAt(stop)])
    assert broken.step == stop
    again = run([patience(), keeper(tmp_path), StopAt(10**9)], resume=tmp_path / "last.h5")
    assert bits(again.model) == bits(straight.model)
    assert again.history == straight.history
    assert again.step == straight.step


def test_a_checkpoint_of_another_run_or_model_is_refused(tmp_path):
    x, y = blobs(20)
    trainer(callbacks=[keeper(tmp_path)]).fit((x, y), (x, y), 1, batch_size=5)
    last = tmp_path / "last.h5"
    with pytest.raises(InputError, match="batch_size = 5"):
        trainer(callbacks=[keeper(tmp_path)]).fit((x, y), (x, y), 1, batch_size=4, resume=last)
    with pytest.raises(InputError, match="data"):
        trainer(callbacks=[keeper(tmp_path)]).fit((x + 1, y), (x, y), 1, batch_size=5, resume=last)
    with pytest.raises(InputError, match="W1"):
        trainer(Tiny(hidden=6), [keeper(tmp_path)]).fit((x, y), (x, y), 1, batch_size=5, resume=last)
    with pytest.raises(InputError, match="callbacks"):
        trainer().fit((x, y), (x, y), 1, batch_size=5, resume=last)
    with pytest.raises(InputError, match=r"did you mean 'last\.h5'"):
        trainer().fit((x, y), resume=tmp_path / "lost.h5")
    other = Trainer(Tiny(seed=9), Momentum(), loss=CrossEntropy(), progress=False)
    other.load_weights(last)
    assert other.model.parameters()["W1"].tobytes() == checkpoint.load(last)["model"]["W1"].tobytes()
    loaded = trainer(Tiny(seed=9), [keeper(tmp_path)])
    loaded.load(last)
    assert loaded.epoch == 1 and loaded.optimizer.v


class Carrying(Tiny):
    """Carries the last state from batch to batch, and tells it; ``whole``: with its parameters, as some models do."""

    def __init__(self, whole=False, **options):
        super().__init__(**options)
        self.whole, self.kept, self.loaded = whole, np.zeros(5), None

    def forward(self, inputs, train=False, rng=None):
        self.initial_state = np.broadcast_to(self.kept, (len(inputs), 5))
        run = super().forward(inputs, train, rng)
        if train:
            self.kept = run.states[:, -1].mean(axis=0)
        self.initial_state = None
        return run

    def state_dict(self):
        return {"kept": self.kept, **(self.weights if self.whole else {})}

    def load_state_dict(self, state):
        assert set(state) == set(self.state_dict())
        self.loaded, self.kept = state, np.array(state["kept"])
        if self.whole:
            self.weights.update({name: np.array(state[name]) for name in self.weights})


@pytest.mark.parametrize("whole", [False, True])
def test_s2_20_parameters_are_stored_once_and_what_a_model_carries_beside_them(tmp_path, whole):
    """Resumed to the bit; the file holds one copy of each weight; files of earlier releases, with two, are read as well."""
    x, y = blobs(20)

    def run(epochs, resume=None, model=None):
        one = trainer(model or Carrying(whole), [keeper(tmp_path)])
        one.fit((x, y), (x, y), epochs, batch_size=5, resume=resume)
        return one

    straight = run(3)
    run(1)
    last = tmp_path / "last.h5"
    tree = checkpoint.load(last)
    assert set(tree["model"]) == {"W1", "b1", "W2"} and set(tree["model_state"]) == {"kept"}
    assert bits(run(3, last).model) == bits(straight.model)
    run(1)
    old = {
        **tree,
        "model_state": {**tree["model_state"], "W1": np.zeros((3, 5)), "b1": np.zeros(5), "W2": np.zeros((5, 2))},
    }
    checkpoint.save(last, old)
    again = run(3, last)
    assert bits(again.model) == bits(straight.model)
    assert set(again.model.loaded) == set(again.model.state_dict())


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from tiny_model import Accuracy, CrossEntropy, Momentum, Tiny, blobs
from training.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint
from training.loop import Trainer
import numpy as np

folder = Path(sys.argv[1])
class Slow(Callback):
    def on_batch_end(self, state):
        time.sleep(float(sys.argv[2]))
model = Tiny()
model.noise["s"] = 0.05
last = folder / "last.h5"
keep = ModelCheckpoint(folder / "best.h5", "val_loss", last=last, every_steps=1, durable=False)
t = Trainer(model, Momentum(0.05), None, [Accuracy()], [Slow(), EarlyStopping(patience=50), keep, CSVLogger(folder / "log.csv")],
            loss=CrossEntropy(), accumulate=2, progress=False, seed=3)
data = blobs(40)
print("go", flush=True)
t.fit(data, data, 6, batch_size=4, resume=last if last.exists() else None)
np.savez(folder / "end.npz", **model.parameters())
"""


def test_s2_07_killed_at_any_moment_and_resumed_ends_in_the_same_bits(tmp_path):
    """SIGKILL again and again at random moments, until the run gets through."""
    script = tmp_path / "run.py"
    script.write_text(KILLED.format(tests=str(Path(__file__).parent)))

    def start(folder, delay):
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, script, folder, str(delay)],
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            stdout=subprocess.PIPE,
        )

    calm = start(tmp_path / "calm", 0.0)
    assert calm.wait() == 0
    rng = np.random.default_rng(0)
    kills = 0
    for _ in range(12):
        process = start(tmp_path / "rough", 0.004)
        process.stdout.readline()
        time.sleep(float(rng.uniform(0.02, 0.3)))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        kills += 1
        if kills == 3:
            assert start(tmp_path / "rough", 0.0).wait() == 0
            break
    assert kills >= 1
    with np.load(tmp_path / "calm/end.npz") as a, np.load(tmp_path / "rough/end.npz") as b:
        assert {k: a[k].tobytes() for k in a} == {k: b[k].tobytes() for k in b}
    assert (tmp_path / "calm/log.csv").read_text() == (tmp_path / "rough/log.csv").read_text()
    assert not list(tmp_path.glob("calm/.*.tmp"))


def test_a_data_set_that_reads_its_file_trains_like_one_in_memory(tmp_path):
    from training import data as d

    x, y = blobs(20)
    d.save(tmp_path / "a.h5", Dataset(x, y))
    a, b = Tiny(), Tiny()
    trainer(a).fit(Dataset(x, y), epochs=2, batch_size=6)
    trainer(b).fit(d.load(tmp_path / "a.h5", cache=False)["all"], epochs=2, batch_size=6)
    assert bits(a) == bits(b)
