"""Callbacks: when to stop, what to keep, how fast to learn; and the names of all others.

=================== ===================================================================================================
here                EarlyStopping, LRScheduler, ModelCheckpoint (SOENModelCheckpoint), InitialModelSaver
loggers             Logger, CSVLogger, JSONLogger, TensorBoardLogger, ProgressBar
probes              MetricsTracker, ConnectionParameterProbe, StateTrajectoryLogger, OutputStateStats, GradientStatistics, Profiler
hardening           QATStraightThrough, QuantizedAccuracy, ConnectionNoise, NoiseAnnealing
limits              Limits
curriculum          LossWeightScheduler, DynamicLossWeight, TargetSeqLenScheduler, TimePoolingScaleScheduler, StatefulTraining
interruption        TimeLimit, Interruption
=================== ===================================================================================================

All are importable from here and registered as "callback". What a callback may do is told in :mod:`training.hooks`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from soen_event.errors import InputError
from training import checkpoint
from training.arguments import Faults
from training.curriculum import (
    DynamicLossWeight,
    LossWeightScheduler,
    StatefulTraining,
    TargetSeqLenScheduler,
    TimePoolingScaleScheduler,
)
from training.hardening import ConnectionNoise, NoiseAnnealing, QATStraightThrough, QuantizedAccuracy
from training.hooks import CONTINUE, STOP, Callback, CallbackList, Signal, TrainingState, monitored
from training.interruption import Interruption, TimeLimit
from training.limits import Limits
from training.loggers import CSVLogger, JSONLogger, Logger, ProgressBar, TensorBoardLogger
from training.probes import (
    ConnectionParameterProbe,
    GradientStatistics,
    MetricsTracker,
    OutputStateStats,
    Profiler,
    StateTrajectoryLogger,
)
from training.registry import register
from training.stored import of_parameters

__all__ = [
    "CONTINUE",
    "STOP",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "ConnectionNoise",
    "ConnectionParameterProbe",
    "DynamicLossWeight",
    "EarlyStopping",
    "GradientStatistics",
    "InitialModelSaver",
    "Interruption",
    "JSONLogger",
    "LRScheduler",
    "Limits",
    "Logger",
    "LossWeightScheduler",
    "MetricsTracker",
    "ModelCheckpoint",
    "NoiseAnnealing",
    "OutputStateStats",
    "Profiler",
    "ProgressBar",
    "QATStraightThrough",
    "QuantizedAccuracy",
    "SOENModelCheckpoint",
    "Signal",
    "StateTrajectoryLogger",
    "StatefulTraining",
    "TargetSeqLenScheduler",
    "TensorBoardLogger",
    "TimeLimit",
    "TimePoolingScaleScheduler",
    "TrainingState",
]


@register("callback", "early_stopping", "EarlyStopping")
class EarlyStopping(Callback):
    """Stop once a metric has not become better for some epochs in a row (S2.19).

    Args:
        monitor: a metric at the end of an epoch; if it is not there at the end of the first, that is an error.
        patience: epochs in a row without improvement, 1 or more: a plateau stops after exactly so many.
        mode: ``min`` or ``max``.
        min_delta: an improvement is strictly larger than this; 0 or above.
        restore_best: leave the model with the weights of the best epoch.

    ``best``, ``best_epoch`` and ``wait`` tell where it stands. A value that is not a number is no improvement.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        mode: str = "min",
        min_delta: float = 0.0,
        restore_best: bool = False,
    ):
        faults = Faults("EarlyStopping")
        self.monitor = monitor
        self.patience = faults.whole("patience", patience, least=1)
        self.mode = faults.choice("mode", mode, ("min", "max"))
        self.min_delta = faults.number("min_delta", min_delta, least=0.0)
        self.restore_best = faults.flag("restore_best", restore_best)
        faults.done()
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.best: float | None = None
        self.best_epoch, self.wait = -1, 0
        self._weights: dict[str, np.ndarray] = {}

    def on_epoch_begin(self, state: TrainingState) -> Signal:
        """A run that was stopped is not gone on with; :meth:`reset` lets it."""
        return STOP if self.wait >= self.patience else CONTINUE

    def on_epoch_end(self, state: TrainingState) -> Signal:
        """Compare."""
        value = monitored(state, self.monitor, "EarlyStopping")
        if _better(value, self.best, self.mode, self.min_delta):
            self.best, self.best_epoch, self.wait = value, state.epoch, 0
            if self.restore_best and state.model is not None:
                self._weights = {name: array.copy() for name, array in state.model.parameters().items()}
            return CONTINUE
        self.wait += 1
        return STOP if self.wait >= self.patience else CONTINUE

    def on_train_end(self, state: TrainingState) -> None:
        """Bring back the best weights, if wanted."""
        if self._weights and state.model is not None:
            for name, array in state.model.parameters().items():
                np.copyto(array, self._weights[name])

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, and the best weights if they are wanted."""
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait, "weights": dict(self._weights)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
        self._weights = dict(state["weights"])


@register("callback", "lr_scheduler", "LRScheduler")
class LRScheduler(Callback):
    """Give the optimizer the learning rate of a schedule (S2.22); it is logged as ``lr``.

    Args:
        schedule: has ``get_lr(epoch, batch)``, or follows a metric: has ``needs_metric``, ``current()`` and ``update(value)``. Or a
            registered name, then ``options`` are its options. A schedule without a rate of its own takes the optimizer's.
        by: ``epoch`` or ``batch``; None: as the schedule wants, or every epoch.
        monitor: the metric that is followed; None: the one that the schedule names. One with ``intra_epoch`` follows the loss of
            every batch.

    Raises:
        InputError: an unknown name or option, or something that is no schedule.
    """

    def __init__(self, schedule: Any, by: str | None = None, monitor: str | None = None, **options: Any):
        from training.named import made

        faults = Faults("LRScheduler")
        if by is not None:
            faults.choice("by", by, ("epoch", "batch"))
        self.schedule = made("schedule", schedule, faults.found, **options)
        if not faults.found and not any(hasattr(self.schedule, name) for name in ("get_lr", "current")):
            faults.add("schedule", f"{type(self.schedule).__name__} has no get_lr(epoch, batch); give a schedule")
        faults.done()
        self.by = by or ("batch" if getattr(self.schedule, "adjust_on_batch", False) else "epoch")
        self.follows = bool(getattr(self.schedule, "needs_metric", False))
        self.intra_epoch = self.follows and bool(getattr(self.schedule, "intra_epoch", False))
        self.monitor = monitor or getattr(self.schedule, "monitor", None) or "val_loss"

    def on_train_begin(self, state: TrainingState) -> None:
        """Tell the schedule what it does not know: the optimizer's rate, the batches of an epoch."""
        schedule = self.schedule
        if self.follows and getattr(schedule, "now", 0.0) is None:
            schedule.bind(state.optimizer)
        elif hasattr(schedule, "take_rate"):
            schedule.take_rate(state.optimizer.get_lr())
        if self.by == "batch" and getattr(schedule, "batches_per_epoch", 0) is None:
            schedule.batches_per_epoch = state.batches

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Set the rate of the epoch."""
        if self.follows:
            state.optimizer.set_lr(self.schedule.current())
        else:
            state.optimizer.set_lr(self.schedule.get_lr(state.epoch, state.batch if self.by == "batch" else 0))

    def on_batch_begin(self, state: TrainingState) -> None:
        """Set the rate of the batch."""
        if self.by == "batch" and not self.follows:
            state.optimizer.set_lr(self.schedule.get_lr(state.epoch, state.batch))

    def on_batch_end(self, state: TrainingState) -> None:
        """Tell a schedule that follows the loss of batches."""
        if self.intra_epoch:
            state.optimizer.set_lr(self.schedule.update(float(state.metrics["loss"])))

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell a schedule that follows a metric."""
        if self.follows and not self.intra_epoch:
            state.optimizer.set_lr(self.schedule.update(monitored(state, self.monitor, "LRScheduler")))

    def state_dict(self) -> dict[str, Any]:
        """That of the schedule, if it has any."""
        held = getattr(self.schedule, "state_dict", None)
        return dict(held()) if held is not None else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        load = getattr(self.schedule, "load_state_dict", None)
        if load is not None and state:
            load(state)


@register("callback", "checkpoint", "ModelCheckpoint")
class ModelCheckpoint(Callback):
    """Keep the state of a run in files (S2.20): the best, every so many epochs, the last. Each is written in one step.

    Args:
        filepath: may hold ``{epoch}`` and metrics, as in ``"run-{epoch:03d}-{val_loss:.3f}.h5"``. A folder (it exists, or the text ends
            in ``/``) gets ``best.h5``, or a file for each epoch where there are several.
        monitor: the metric by which epochs are compared; None: none is, and files come by ``every_epochs`` (1 by default).
        mode: ``min`` or ``max``.
        top_k: how many of the best are kept; those that fall behind are deleted.
        every_epochs: also write a file after every so many epochs, and keep it.
        last: name of a file that always holds the newest state; True: ``last.h5`` beside the others. It is what a run is continued from.
        every_steps: renew it after so many updates, and not only after every epoch.
        weights_only: leave out optimizer, callbacks and position; a run can not be continued from such files.
        durable: wait until the disk has each file (a power cut, and not only a kill, then loses nothing).

    Raises:
        InputError: an option out of its range; at the end of the first epoch: a metric that is not there.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str] = "best.h5",
        monitor: str | None = "val_loss",
        mode: str = "min",
        *,
        top_k: int = 1,
        every_epochs: int | None = None,
        last: bool | str | os.PathLike[str] = False,
        every_steps: int | None = None,
        weights_only: bool = False,
        durable: bool = True,
    ):
        faults = Faults(type(self).__name__)
        several = top_k != 1 or monitor is None or every_epochs is not None
        self.filepath, self.monitor = _in_folder(filepath, "epoch-{epoch:03d}.h5" if several else "best.h5"), monitor
        self.mode = faults.choice("mode", mode, ("min", "max"))
        self.top_k = faults.whole("top_k", top_k, least=1)
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps)):
            if value is not None:
                faults.whole(name, value, least=1)
        self.every_epochs = 1 if monitor is None and every_epochs is None and not last else every_epochs
        self.every_steps = every_steps
        self.last = Path(self.filepath).with_name("last.h5") if last is True else (Path(last) if last else None)
        if every_steps is not None and self.last is None:
            faults.add("every_steps", "renews the file of the last state; name it with last=")
        if top_k > 1 and monitor is not None and "{" not in self.filepath:
            faults.add("filepath", f"{self.filepath!r} is one name for {top_k} files; put {{epoch}} into it")
        if self.last is not None and str(self.last) == self.filepath:
            faults.add("last", f"{self.filepath!r} is the name of the best as well; give another")
        self.weights_only, self.durable = weights_only, durable
        faults.done()
        self.reset()

    def reset(self) -> None:
        """Forget what was best; files stay."""
        self.best: list[tuple[float, str]] = []

    @property
    def best_path(self) -> str | None:
        """The file of the best epoch so far."""
        return self.best[0][1] if self.best else None

    def on_epoch_end(self, state: TrainingState) -> None:
        """See early that the metric is there."""
        if self.monitor is not None:
            monitored(state, self.monitor, type(self).__name__)

    def on_settled(self, state: TrainingState, event: str) -> None:
        """Write what is due."""
        if event == "batch":
            if (self.every_steps is not None and state.step % self.every_steps == 0) or (
                state.should_stop and self.last is not None
            ):
                self._write(self.last, state)
            return
        if event == "end":
            return
        if self.monitor is not None:
            self._rank(monitored(state, self.monitor, type(self).__name__), state)
        if self.every_epochs is not None and (state.epoch + 1) % self.every_epochs == 0:
            self._write(self._path(state), state)
        if self.last is not None:
            self._write(self.last, state)

    def _rank(self, value: float, state: TrainingState) -> None:
        worst = self.best[-1][0] if len(self.best) == self.top_k else None
        if not _better(value, worst, self.mode, 0.0):
            return
        path = self._path(state)
        ranked = [*self.best, (value, path)]
        ranked.sort(key=lambda each: each[0] if self.mode == "min" else -each[0])
        self.best, dropped = ranked[: self.top_k], ranked[self.top_k :]
        self._write(path, state)
        kept = {each for _, each in self.best}
        for _, old in dropped:
            if old not in kept and old != path:
                Path(old).unlink(missing_ok=True)

    def _path(self, state: TrainingState) -> str:
        try:
            return self.filepath.format_map({**state.metrics, "epoch": state.epoch, "step": state.step})
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(
                f"{type(self).__name__}.filepath: {self.filepath!r} cannot be filled in ({error}); "
                f"use {{epoch}} and {', '.join(sorted(state.metrics))}"
            ) from None

    def _write(self, path: Any, state: TrainingState) -> None:
        if state.trainer is not None and not self.weights_only:
            state.trainer.save(path, durable=self.durable)
            return
        if state.model is None:
            raise InputError(
                f"{type(self).__name__}: there is no model to store; in a loop of your own give it to CallbackList(model=)"
            )
        tree = {"kind": "weights", "model": of_parameters(state.model), "epoch": state.epoch}
        checkpoint.save(path, tree, durable=self.durable)

    def state_dict(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": [list(each) for each in self.best]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.best = [(value, path) for value, path in state["best"]]


@register("callback", "soen_checkpoint", "SOENModelCheckpoint")
class SOENModelCheckpoint(ModelCheckpoint):
    """A :class:`ModelCheckpoint` that keeps the best three and the last (S0.C10)."""

    def __init__(
        self,
        filepath: str | os.PathLike[str] = "epoch-{epoch:03d}.h5",
        monitor: str | None = "val_loss",
        **options: Any,
    ):
        super().__init__(filepath, monitor, **{"top_k": 3, "last": True, **options})


@register("callback", "initial_model", "InitialModelSaver")
class InitialModelSaver(Callback):
    """Store the weights before the first update (S0.C10); a run that is continued does not write them again.

    Args:
        filepath: where to.
    """

    def __init__(self, filepath: str | os.PathLike[str] = "initial.h5"):
        self.filepath = Path(filepath)

    def on_train_begin(self, state: TrainingState) -> None:
        """Write them."""
        if state.step == 0 and state.model is not None:
            checkpoint.save(self.filepath, {"kind": "weights", "model": of_parameters(state.model), "epoch": 0})


def _in_folder(path: str | os.PathLike[str], name: str) -> str:
    text = os.fspath(path)
    return str(Path(text) / name) if text.endswith(("/", os.sep)) or Path(text).is_dir() else str(path)


def _better(value: float, best: float | None, mode: str, margin: float) -> bool:
    if math.isnan(value):
        return False
    if best is None:
        return True
    return best - value > margin if mode == "min" else value - best > margin
