"""Callbacks: the contract, stopping, keeping, logging, looking."""

import csv
import json
import math
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import Accuracy, CrossEntropy, Momentum, Tiny, blobs

from soen_event.errors import InputError
from training import callbacks as cb
from training import checkpoint
from training.hooks import CONTINUE, STOP, Callback, CallbackList, TrainingState
from training.loop import Trainer
from training.registry import names


def trained(callbacks, epochs=3, *, model=None, val=True, data=None, optimizer=None, **options):
    """A trainer after some epochs."""
    options = {"loss": CrossEntropy(), "metrics": [Accuracy()], "progress": False, **options}
    t = Trainer(model or Tiny(), optimizer or Momentum(0.02), callbacks=callbacks, **options)
    data = data or blobs()
    t.fit(data, data if val else None, epochs, batch_size=16)
    return t


def bits(model):
    return {name: array.tobytes() for name, array in model.parameters().items()}


# ---------------------------------------------------------------------------------------------- the contract


def test_s2_23_hooks_come_in_order_and_every_list_is_one():
    heard = []

    class Note(Callback):
        def __init__(self, name):
            self.name = name

        def __getattribute__(self, name):
            return super().__getattribute__(name)

    def noting(hook):
        def call(self, state, *more):
            heard.append((self.name, hook, state.epoch, state.batch, *more))

        return call

    for hook in (
        "on_train_begin",
        "on_epoch_begin",
        "on_batch_begin",
        "on_batch_end",
        "on_epoch_end",
        "on_train_end",
        "on_settled",
    ):
        setattr(Note, hook, noting(hook))
    trained([Note("a"), [Note("b"), CallbackList([Note("c")])]], 1, data=blobs(20), val=False)
    order = [hook for name, hook, *_ in heard if name == "a"]
    assert order == [
        "on_train_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_settled", "on_batch_begin", "on_batch_end",
        "on_settled", "on_epoch_end", "on_settled", "on_train_end", "on_settled",
    ]  # fmt: skip
    assert [name for name, *_ in heard[:6]] == list("abcabc")
    assert [more[-1] for _, hook, *more in heard if hook == "on_settled"][::3] == ["batch", "batch", "epoch", "end"]


def test_s2_23_the_list_works_in_a_loop_of_ones_own(tmp_path):
    """The source's pattern: on_epoch_begin(epoch), on_epoch_end(epoch, logs)."""
    model, stop = Tiny(), cb.EarlyStopping(monitor="val_loss", patience=2)
    keep = cb.ModelCheckpoint(tmp_path / "best.h5", monitor="val_loss", mode="min")
    log = cb.CSVLogger(tmp_path / "training.log")
    callbacks = CallbackList([stop, keep, log], model=model, optimizer=Momentum(0.3))
    callbacks.on_train_begin()
    losses = [3.0, 2.0, 2.5, 2.0, 1.0]
    for epoch, loss in enumerate(losses):
        callbacks.on_epoch_begin(epoch)
        if callbacks.on_epoch_end(epoch, {"val_loss": loss}) is STOP:
            break
    callbacks.on_train_end()
    assert epoch == 3
    assert keep.best == [(2.0, str(tmp_path / "best.h5"))]
    assert checkpoint.load(tmp_path / "best.h5")["model"]["W1"].tobytes() == model.weights["W1"].tobytes()
    assert (tmp_path / "training.log").read_text().splitlines() == [
        "epoch,val_loss",
        "0,3.0",
        "1,2.0",
        "2,2.5",
        "3,2.0",
    ]


def test_s2_23_one_stop_stops_and_all_are_still_called():
    heard = []

    class Says(Callback):
        def __init__(self, answer):
            self.answer = answer

        def on_epoch_end(self, state):
            heard.append(self.answer)
            return self.answer

    t = trained([Says(CONTINUE), Says(STOP), Says(None)], 5)
    assert heard == [CONTINUE, STOP, None]
    assert t.epoch == 1
    with pytest.raises(InputError, match="returned True; return CONTINUE, STOP or nothing"):
        trained([Says(True)])
    with pytest.raises(InputError, match="derive it from Callback"):
        CallbackList([Says(STOP), 3])


def test_callbacks_write_only_metrics_and_should_stop():
    class Writes(Callback):
        def __init__(self, name, value):
            self.name, self.value = name, value

        def on_epoch_end(self, state):
            setattr(state, self.name, self.value)

    for name, value in (
        ("epoch", 3),
        ("model", None),
        ("learning_rate", 1.0),
        ("trainer", None),
        ("new", 1),
        ("metrics", 3),
    ):
        with pytest.raises(AttributeError, match="TrainingState"):
            trained([Writes(name, value)])
    assert trained([Writes("should_stop", True)], 4).epoch == 1

    class Adds(Callback):
        def on_epoch_end(self, state):
            state.metrics["mine"] = 7.0

    assert trained([Adds()]).history[2]["mine"] == 7.0
    with pytest.raises(InputError, match="did you mean 'epoch'"):
        TrainingState(epoc=3)

    class Spoils(Callback):
        def on_gradients(self, gradients, state):
            gradients["W1"][...] = 0.0

    with pytest.raises(ValueError, match="read-only"):
        trained([Spoils()])


def test_every_callback_is_registered_and_documented():
    for name in cb.__all__:
        thing = getattr(cb, name)
        if isinstance(thing, type) and issubclass(thing, Callback) and thing not in (Callback, CallbackList):
            assert name in names("callback") and thing.__doc__


def test_files_are_closed_after_an_error(tmp_path):
    log = cb.JSONLogger(tmp_path / "a.jsonl")

    class Breaks(Callback):
        def on_epoch_end(self, state):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        trained([log, Breaks()])
    assert log._file is None


# ---------------------------------------------------------------------------------------------- stopping


@given(patience=st.integers(1, 5), good=st.integers(0, 4), mode=st.sampled_from(["min", "max"]))
def test_s2_19_a_plateau_stops_after_exactly_patience_epochs(patience, good, mode):
    stop = cb.EarlyStopping("val_loss", patience, mode)
    sign = 1 if mode == "min" else -1
    values = [sign * (10.0 - k) for k in range(good + 1)]
    values += [values[-1]] * 20
    told = CallbackList([stop])
    for epoch, value in enumerate(values):
        if told.on_epoch_end(epoch, {"val_loss": value}) is STOP:
            break
    assert epoch == good + patience
    assert stop.best == values[good] and stop.best_epoch == good


def test_s2_19_min_delta_is_strict_and_nan_is_no_improvement():
    for values, stops in (
        ([1.0, 0.875, 0.875], 2),  # better by exactly min_delta: no improvement
        ([1.0, 0.75, 0.5], None),
        ([math.nan, math.nan, 1.0], 1),
        ([1.0, math.nan, math.nan], 2),
    ):
        told = CallbackList([cb.EarlyStopping(patience=2, min_delta=0.125)])
        answers = [told.on_epoch_end(k, {"val_loss": v}) for k, v in enumerate(values)]
        assert (answers.index(STOP) if STOP in answers else None) == stops


def test_s2_19_a_missing_monitor_raises_at_the_end_of_the_first_epoch():
    for callback in (
        cb.EarlyStopping("val_los"),
        cb.ModelCheckpoint("x.h5", "val_los"),
        cb.DynamicLossWeight("a", monitor="val_los"),
    ):
        seen = []

        class Count(Callback):
            def on_epoch_begin(self, state):
                seen.append(state.epoch)  # noqa: B023

        with pytest.raises(InputError, match=r"did you mean 'val_loss'|no parts with weights"):
            trained([Count(), callback])
        assert seen in ([0], [])
    with pytest.raises(InputError, match="give validation data"):
        trained([cb.EarlyStopping("val_loss")], val=False)


def test_s2_19_restore_best_brings_the_best_weights_back_and_a_stopped_run_stays_stopped():
    kept = {}

    class Keep(Callback):
        def on_epoch_end(self, state):
            kept[state.epoch] = bits(state.model)

    stop = cb.EarlyStopping(patience=1, restore_best=True)
    t = trained([Keep(), stop], 20, optimizer=Momentum(3.0))
    assert t.epoch < 20
    assert stop.best_epoch == t.epoch - 2
    assert bits(t.model) == kept[stop.best_epoch]
    before = t.epoch
    t.fit(blobs(), blobs(), 2)
    assert t.epoch == before
    for wrong in ({"patience": 0}, {"mode": "most"}, {"min_delta": -1.0}):
        with pytest.raises(InputError, match="EarlyStopping"):
            cb.EarlyStopping(**wrong)


def test_time_limit_stops_between_updates_and_keeps_the_state(tmp_path):
    limit = cb.TimeLimit(1e-9, tmp_path / "t.h5")
    t = trained([limit], 50)
    assert limit.reached and t.step == 1 and t.epoch == 0
    assert checkpoint.load(tmp_path / "t.h5")["position"] == {
        "epoch": 0,
        "batch": 1,
        "step": 1,
        "first": 0,
        "epochs": 50,
    }
    assert not cb.TimeLimit(1000.0).reached
    assert trained([cb.TimeLimit(1000.0)], 2).epoch == 2


def test_interruption_hears_a_signal_finishes_the_update_and_keeps_the_state(tmp_path):
    import signal

    before = signal.getsignal(signal.SIGINT)
    stop = cb.Interruption(tmp_path / "i.h5")

    class Send(Callback):
        def on_batch_begin(self, state):
            if state.step == 4 and not stop.requested:
                signal.raise_signal(signal.SIGINT)

    t = trained([stop, Send()], 50)
    assert stop.requested and t.step == 5
    assert signal.getsignal(signal.SIGINT) is before
    straight = trained([cb.Interruption(), Send2()], 4)
    again = Trainer(
        Tiny(),
        Momentum(0.02),
        callbacks=[cb.Interruption(), Send2()],
        loss=CrossEntropy(),
        metrics=[Accuracy()],
        progress=False,
    )
    again.fit(blobs(), blobs(), 4, batch_size=16, resume=tmp_path / "i.h5")
    assert bits(again.model) == bits(straight.model)
    asked = cb.Interruption()
    asked.request()
    assert trained([asked], 2).epoch == 2  # asked before the run began


class Send2(Callback):
    """Stands in the place of Send."""


Send2.__name__ = "Send"


# ---------------------------------------------------------------------------------------------- keeping


def test_s2_20_best_every_and_last_are_kept_and_loading_gives_the_same_predictions(tmp_path):
    best = cb.ModelCheckpoint(tmp_path / "best-{epoch}-{val_loss:.2f}.h5", "val_loss", top_k=2, last=True)
    every = cb.ModelCheckpoint(tmp_path / "every-{epoch}.h5", None, every_epochs=2)
    first = cb.InitialModelSaver(tmp_path / "initial.h5")
    model = Tiny()
    start = bits(model)
    t = trained([best, every, first], 5, model=model)
    losses = [h["val_loss"] for h in t.history]
    ranked = sorted(range(5), key=losses.__getitem__)[:2]
    assert {p.name for p in tmp_path.glob("best-*")} == {f"best-{k}-{losses[k]:.2f}.h5" for k in ranked}
    assert best.best_path.endswith(f"best-{ranked[0]}-{losses[ranked[0]]:.2f}.h5")
    assert {p.name for p in tmp_path.glob("every-*")} == {"every-1.h5", "every-3.h5"}
    other = Trainer(Tiny(seed=5), Momentum(), loss=CrossEntropy(), progress=False)
    other.load_weights(tmp_path / "last.h5")
    assert other.predict(blobs()[0]).tobytes() == t.predict(blobs()[0]).tobytes()
    other.load_weights(tmp_path / "initial.h5")
    assert bits(other.model) == start
    assert not list(tmp_path.glob(".*"))


def test_s0_c10_soen_checkpoint_keeps_three_and_the_last(tmp_path):
    trained([cb.SOENModelCheckpoint(tmp_path / "epoch-{epoch:03d}.h5")], 6)
    assert len(list(tmp_path.glob("epoch-*.h5"))) == 3
    assert (tmp_path / "last.h5").is_file()


def test_checkpoint_options_are_judged(tmp_path):
    for wrong, told in (
        ({"top_k": 2}, "one name for 2 files"),
        ({"every_steps": 3}, "last="),
        ({"mode": "most"}, "mode"),
        ({"filepath": "last.h5", "last": True}, "give another"),
    ):
        with pytest.raises(InputError, match=told):
            cb.ModelCheckpoint(**{"filepath": "a.h5", **wrong})
    with pytest.raises(InputError, match="cannot be filled in"):
        trained([cb.ModelCheckpoint(tmp_path / "{val_los}.h5")])
    with pytest.raises(InputError, match="no model to store"):
        CallbackList([cb.ModelCheckpoint(tmp_path / "a.h5")]).on_epoch_end(0, {"val_loss": 1.0})


# ---------------------------------------------------------------------------------------------- learning rates


def test_s2_22_schedules_set_and_log_the_rate():
    class Halving:
        def get_lr(self, epoch, batch=0):
            return 0.1 * 0.5**epoch * (1 + batch)

    t = trained([], 3, scheduler=Halving())
    assert [h["lr"] for h in t.history] == [0.1, 0.05, 0.025]
    t = trained([cb.LRScheduler(Halving(), by="batch")], 2)
    assert [h["lr"] for h in t.history] == pytest.approx([0.3, 0.15])
    for wrong, told in ((object(), "no get_lr"), ("cosin", "did you mean 'cosine'")):
        with pytest.raises(InputError, match=told):
            cb.LRScheduler(wrong)


def test_s0_18_s0_c2_registered_schedules_work_by_name():
    t = trained(
        [cb.LRScheduler("cosine", max_lr=0.1, min_lr=0.01, warmup_epochs=1, cycle_epochs=2, adjust_on_batch=False)], 3
    )
    assert [h["lr"] for h in t.history] == pytest.approx([0.01, 0.1, 0.055])
    t = trained([cb.LRScheduler("adaptive", max_lr=0.1, min_lr=1e-4)], 3)
    assert all(1e-4 <= h["lr"] <= 0.1 for h in t.history)
    t = trained([cb.LRScheduler("greedy", intra_epoch=True, adjustment_frequency=1, lr=0.005)], 2)
    assert t.history[0]["lr"] != t.history[1]["lr"]


@pytest.mark.parametrize(
    "schedule",
    [("cosine", {"max_lr": 0.1}), ("greedy", {"intra_epoch": True, "adjustment_frequency": 2}), ("adaptive", {})],
)
def test_a_schedule_goes_on_after_a_kill(tmp_path, schedule):
    name, options = schedule

    def run(stop, **more):
        class Stop(Callback):
            def on_batch_end(self, state):
                return STOP if state.step >= stop else CONTINUE

        keep = cb.ModelCheckpoint(tmp_path / "b.h5", last=True, durable=False)
        t = Trainer(
            Tiny(),
            Momentum(0.02),
            callbacks=[cb.LRScheduler(name, **options), keep, Stop()],
            loss=CrossEntropy(),
            progress=False,
        )
        t.fit(blobs(), blobs(), 4, batch_size=16, **more)
        return t

    straight = run(10**9)
    run(5)
    again = run(10**9, resume=tmp_path / "last.h5")
    assert again.history == straight.history and bits(again.model) == bits(straight.model)


# ---------------------------------------------------------------------------------------------- logging


def test_s2_21_logger_tells_every_few_epochs(caplog):
    lines = []
    trained([cb.Logger(2, lines.append)], 5)
    assert [line.split(":")[0] for line in lines] == ["epoch 2/5", "epoch 4/5", "epoch 5/5"]
    assert "val_loss" in lines[0]
    with caplog.at_level("INFO", "soen.training"):
        trained([cb.Logger()], 1)
    assert "epoch 1/1" in caplog.text


def test_s2_24_csv_has_a_row_an_epoch_and_the_union_of_columns(tmp_path):
    class Late(Callback):
        def on_epoch_end(self, state):
            if state.epoch == 1:
                state.metrics["late"] = 1 / 3
            rows.append(len(list(csv.reader(open(path)))) if path.exists() else 0)  # noqa: SIM115

    path, rows = tmp_path / "log.csv", []
    t = trained([cb.CSVLogger(path), Late()], 1)
    t = trained([Late(), cb.CSVLogger(path)], 3)
    with open(path, newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["epoch"] for row in table] == ["0", "1", "2"]
    assert [row["late"] for row in table] == ["", repr(1 / 3), ""]
    assert float(table[2]["val_loss"]) == t.history[2]["val_loss"]
    assert rows[-1] == 3  # a header and two rows were there when the third epoch ended
    t.fit(blobs(), blobs(), 1)
    with open(path, newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]


def test_s2_24_json_lines_survive_a_torn_end(tmp_path):
    path = tmp_path / "log.jsonl"

    class Strange(Callback):
        def on_epoch_end(self, state):
            state.metrics |= {"inf": math.inf, "list": np.arange(2)}

    trained([Strange(), cb.JSONLogger(path, every_steps=2)], 2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "step", "epoch", "step", "step", "epoch", "end"]
    assert lines[2]["inf"] == "inf" and lines[2]["list"] == [0, 1]
    with open(path, "a") as file:
        file.write('{"event": "to')
    trained([cb.JSONLogger(path)], 1)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 10


class Writer:
    """Stands for tensorboardX's SummaryWriter."""

    def __init__(self, folder, purge_step=None):
        self.folder, self.scalars, self.open = folder, [], True
        Writer.last = self

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def add_histogram(self, name, array, step):
        self.scalars.append((f"histogram {name}", array.size, step))

    def flush(self):
        pass

    def close(self):
        self.open = False


def test_s2_24_tensorboard_gets_every_metric(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    t = trained([cb.TensorBoardLogger(tmp_path, every_steps=3, histograms=True)], 2)
    scalars = Writer.last.scalars
    assert ("val_loss", t.history[1]["val_loss"], 1) in scalars
    assert [s[2] for s in scalars if s[0] == "step/loss"] == [3, 6]
    assert ("histogram W1", 15, 0) in scalars
    assert not Writer.last.open


def test_s2_24_tensorboard_without_the_package_is_a_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"soen-event\[tensorboard\]"):
        cb.TensorBoardLogger()


def test_s2_24_real_event_files(tmp_path):
    pytest.importorskip("tensorboardX")
    trained([cb.TensorBoardLogger(tmp_path, histograms=True)], 2)
    assert sum(p.stat().st_size for p in tmp_path.glob("events.*")) > 500


def test_progress_bars_show_epochs_and_metrics():
    import io

    from rich.console import Console

    text = io.StringIO()
    trained([cb.ProgressBar(Console(file=text, force_terminal=True, width=160))], 2)
    assert "2/2" in text.getvalue() and "val_loss" in text.getvalue()


# ---------------------------------------------------------------------------------------------- looking


def test_s0_c10_metrics_tracker_finds_the_best():
    track = cb.MetricsTracker()
    t = trained([track], 4)
    losses = [h["val_loss"] for h in t.history]
    assert track.array("val_loss").tolist() == losses
    assert track.best("val_loss") == (int(np.argmin(losses)), min(losses))
    assert track.best("val_loss", "max")[1] == max(losses)
    with pytest.raises(InputError, match="did you mean 'val_loss'"):
        track.array("val_los")
    told = CallbackList([track])
    track.reset()
    told.on_epoch_end(0, {"a": 1.0})
    told.on_epoch_end(1, {"b": 2.0})
    np.testing.assert_array_equal(track.array("a"), [1.0, np.nan])
    np.testing.assert_array_equal(track.array("b"), [np.nan, 2.0])


def test_s0_c10_parameter_probe_and_output_stats():
    probe = cb.ConnectionParameterProbe("W*", every_epochs=2, keep=True)
    t = trained([probe, cb.OutputStateStats(silent=0.1)], 4)
    w = t.model.parameters()["W1"]
    assert t.history[3]["W1/mean"] == w.mean() and t.history[3]["W2/max"] == t.model.parameters()["W2"].max()
    assert "W1/mean" not in t.history[2] and "b1/mean" not in t.history[3]
    assert probe.epochs == [1, 3] and probe.arrays["W1"][1].tobytes() == w.tobytes()
    frozen = Tiny()
    t = trained([cb.OutputStateStats(silent=0.1)], 1, model=frozen, optimizer=Momentum(0.0))
    out = frozen.forward(blobs()[0]).outputs
    for name, value in (
        ("mean", out.mean()),
        ("std", out.std()),
        ("min", out.min()),
        ("max", out.max()),
        ("silent", (abs(out) < 0.1).mean()),
    ):
        assert t.history[0][f"outputs/{name}"] == pytest.approx(value, abs=1e-12)


def test_s0_c10_state_trajectories_are_kept(tmp_path):
    log = cb.StateTrajectoryLogger(2, samples=3, folder=tmp_path)
    trained([log], 4)
    assert set(log.trajectories) == {0, 2}
    with np.load(tmp_path / "states-0002.npz") as file:
        np.testing.assert_array_equal(file["states"], log.trajectories[2])
        assert file["states"].shape == (3, 7, 5) and file["targets"].shape == (3,)


def test_gradient_statistics_before_clipping_and_their_health():
    from training.gradients import grad

    x, y = blobs(16)
    grads = grad(Tiny(), CrossEntropy())(x, y)
    norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
    look = cb.GradientStatistics()
    t = trained([look], 1, data=(x, y), clip_norm=1e-3)
    assert t.history[0]["grad/norm"] == pytest.approx(norm)
    assert t.history[0]["grad/W1"] == pytest.approx(np.linalg.norm(grads["W1"]))
    assert t.history[0]["grad/healthy"] == 1.0
    assert look.is_healthy({"a": np.ones(3)})
    for bad in (np.array([np.nan]), np.array([1e9]), np.zeros(3)):
        assert not look.is_healthy({"a": bad})


def test_s2_33_profiler_tells_where_the_time_goes():
    profile = cb.Profiler()
    t = trained([profile], 2)
    assert set(profile.totals) == {"data", "forward", "loss", "backward", "update", "callbacks", "validation"}
    assert all(seconds >= 0 for seconds in profile.totals.values())
    assert profile.totals["forward"] == pytest.approx(sum(h["time/forward"] for h in t.history))
    assert t.history[0]["examples_per_second"] > 0
    assert profile.report().count("%") == 7
