"""Callbacks that change the task while it is learned: weights of losses, lengths of series, pooling, and where a batch begins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from soen_event.errors import InputError, nearest
from training import carried
from training.address import stream
from training.arguments import Faults
from training.hooks import Callback, TrainingState, monitored
from training.registry import register

__all__ = [
    "DynamicLossWeight",
    "LossWeightScheduler",
    "StatefulTraining",
    "TargetSeqLenScheduler",
    "TimePoolingScaleScheduler",
]


def along(state: TrainingState, start_epoch: int, end_epoch: int | None, per_step: bool) -> float:
    """How far a run is between two epochs, from 0 to 1; ``end_epoch`` None is the last one."""
    now = state.epoch + (state.batch / state.batches if per_step and state.batches else 0.0)
    end = end_epoch if end_epoch is not None else (state.epochs or 1) - 1
    if end <= start_epoch:
        return 1.0 if now >= start_epoch else 0.0
    return min(max((now - start_epoch) / (end - start_epoch), 0.0), 1.0)


class Span(Callback):
    """Options that callbacks over a span of epochs share."""

    def _take(self, faults: Faults, start_epoch: Any, end_epoch: Any, per_step: Any = False) -> None:
        self.start_epoch = faults.whole("start_epoch", start_epoch)
        self.end_epoch = None if end_epoch is None else faults.whole("end_epoch", end_epoch, least=self.start_epoch)
        self.per_step = faults.flag("per_step", per_step)


@register("callback", "loss_weight", "LossWeightScheduler")
class LossWeightScheduler(Span):
    """Let the weight of one part of a sum of losses go from ``start`` to ``end`` (S0.C7).

    With p from 0 to 1 between the epochs: ``linear``: start + (end - start) p. ``exponential_decay``: start (end/start)^p, both above 0.
    ``cosine_decay``: end + (start - end)(1 + cos(pi p))/2. ``sinusoidal``: between start and end and back, ``cycles`` times.

    Args:
        loss_name: label of a part of the trainer's loss.
        scheduler_type: as above.
        start, end: weights.
        start_epoch, end_epoch: where p is 0 and 1; None: the last epoch.
        cycles: of ``sinusoidal``, above 0.
        per_step: move with every batch.
    """

    def __init__(
        self,
        loss_name: str,
        scheduler_type: str = "linear",
        start: float = 1.0,
        end: float = 0.0,
        start_epoch: int = 0,
        end_epoch: int | None = None,
        cycles: float = 1.0,
        per_step: bool = False,
    ):
        faults = Faults("LossWeightScheduler")
        kinds = ("linear", "exponential_decay", "cosine_decay", "sinusoidal")
        self.loss_name, self.kind = loss_name, faults.choice("scheduler_type", scheduler_type, kinds)
        positive = 0.0 if scheduler_type == "exponential_decay" else -math.inf
        self.start, self.end = faults.number("start", start, above=positive), faults.number("end", end, above=positive)
        self.cycles = faults.number("cycles", cycles, above=0.0)
        self._take(faults, start_epoch, end_epoch, per_step)
        faults.done()

    def on_train_begin(self, state: TrainingState) -> None:
        """See that there is such a loss."""
        _weights(state, self.loss_name, "LossWeightScheduler")

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Set the weight of the epoch."""
        _weights(state, self.loss_name, "LossWeightScheduler")[self.loss_name] = self.weight(
            along(state, self.start_epoch, self.end_epoch, self.per_step)
        )

    def on_batch_begin(self, state: TrainingState) -> None:
        """Set the weight of the batch."""
        if self.per_step:
            self.on_epoch_begin(state)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell the weight."""
        held = _weights(state, self.loss_name, "LossWeightScheduler")
        state.metrics[f"loss_weight/{self.loss_name}"] = float(held[self.loss_name])

    def weight(self, p: float) -> float:
        """The weight at p."""
        a, b = self.start, self.end
        if self.kind == "linear":
            return a + (b - a) * p
        if self.kind == "exponential_decay":
            return a * (b / a) ** p
        if self.kind == "cosine_decay":
            return b + (a - b) * 0.5 * (1.0 + math.cos(math.pi * p))
        return a + (b - a) * 0.5 * (1.0 - math.cos(2.0 * math.pi * self.cycles * p))


@register("callback", "dynamic_loss_weight", "DynamicLossWeight", "DynamicLossWeightCallback")
class DynamicLossWeight(Callback):
    """Lower the weight of one part of a loss while it does harm, raise it while all is well (S0.C7).

    An epoch is bad if the metric is more than ``degradation`` behind its best, good if it is more than ``improvement`` ahead.
    After ``patience`` bad epochs in a row the weight is multiplied by ``down``; after a good one by ``up``.

    Args:
        loss_name: label of a part of the trainer's loss.
        monitor: a metric; ``mode`` "max" or "min".
        patience, degradation, improvement, down, up: as above.
        low, high: bounds of the weight.
    """

    def __init__(
        self,
        loss_name: str,
        monitor: str = "val_accuracy",
        mode: str = "max",
        patience: int = 3,
        degradation: float = 0.02,
        improvement: float = 0.01,
        down: float = 0.7,
        up: float = 1.05,
        low: float = 0.001,
        high: float = 10.0,
    ):
        faults = Faults("DynamicLossWeight")
        self.loss_name, self.monitor = loss_name, monitor
        self.mode = faults.choice("mode", mode, ("min", "max"))
        self.patience = faults.whole("patience", patience, least=1)
        self.degradation = faults.number("degradation", degradation, least=0.0)
        self.improvement = faults.number("improvement", improvement, least=0.0)
        self.down, self.up = faults.number("down", down, above=0.0, most=1.0), faults.number("up", up, least=1.0)
        self.low = faults.number("low", low, least=0.0)
        self.high = faults.number("high", high, least=self.low)
        faults.done()
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.best: float | None = None
        self.bad = 0

    def on_train_begin(self, state: TrainingState) -> None:
        """See that there is such a loss."""
        _weights(state, self.loss_name, "DynamicLossWeight")

    def on_epoch_end(self, state: TrainingState) -> None:
        """Judge the epoch."""
        sign = 1.0 if self.mode == "max" else -1.0
        value = sign * monitored(state, self.monitor, "DynamicLossWeight")
        held = _weights(state, self.loss_name, "DynamicLossWeight")
        factor = 1.0
        if self.best is None:
            self.best = value
        elif value > self.best + self.improvement:
            self.best, self.bad, factor = value, 0, self.up
        elif value < self.best - self.degradation:
            self.bad += 1
            if self.bad == self.patience:
                self.bad, factor = 0, self.down
        else:
            self.bad = 0
        held[self.loss_name] = min(max(held[self.loss_name] * factor, self.low), self.high)
        state.metrics[f"loss_weight/{self.loss_name}"] = float(held[self.loss_name])

    def state_dict(self) -> dict[str, Any]:
        """Where it stands; the weight itself is the loss's."""
        return {"best": self.best, "bad": self.bad}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.best, self.bad = state["best"], state["bad"]


@register("callback", "target_seq_len", "TargetSeqLenScheduler")
class TargetSeqLenScheduler(Span):
    """Bring inputs to a number of steps that changes from epoch to epoch, in a straight line (S0.C8).

    Args:
        start_len, end_len: steps, 1 or more.
        start_epoch, end_epoch: where the line begins and ends; None: the last epoch.
        scale_dt: change the model's ``dt`` along, so that the length in time stays steps times dt.
    """

    def __init__(
        self, start_len: int, end_len: int, start_epoch: int = 0, end_epoch: int | None = None, scale_dt: bool = False
    ):
        faults = Faults("TargetSeqLenScheduler")
        self.start_len, self.end_len = (
            faults.whole("start_len", start_len, least=1),
            faults.whole("end_len", end_len, least=1),
        )
        self._take(faults, start_epoch, end_epoch)
        self.scale_dt = faults.flag("scale_dt", scale_dt)
        faults.done()
        self.time: float | None = None

    def reset(self) -> None:
        """Begin anew."""
        self.time = None

    def on_train_begin(self, state: TrainingState) -> None:
        """See that the model has a dt to change, and takes those at both ends of the line."""
        if not self.scale_dt:
            return
        model, faults = state.model, []
        if not hasattr(model, "dt"):
            raise InputError(f"TargetSeqLenScheduler.scale_dt: {type(model).__name__} has no dt; leave scale_dt out")
        dt = float(model.dt)
        time = self.time if self.time is not None else dt * self.end_len
        for name, steps in (("start_len", self.start_len), ("end_len", self.end_len)):
            try:
                model.dt = time / steps
            except InputError as error:
                faults += [
                    f"TargetSeqLenScheduler.{name}: {steps} steps in {time:g} ns: {each}" for each in error.faults
                ]
        model.dt = dt
        if faults:
            raise InputError(faults)

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Set the length of the epoch."""
        p = along(state, self.start_epoch, self.end_epoch, False)
        steps = round(self.start_len + (self.end_len - self.start_len) * p)
        state.trainer.sequence_length = steps
        if self.scale_dt:
            if self.time is None:
                self.time = float(state.model.dt) * self.end_len
            state.model.dt = self.time / steps

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell the length."""
        state.metrics["sequence_length"] = state.trainer.sequence_length

    def state_dict(self) -> dict[str, Any]:
        """The length in time."""
        return {"time": self.time}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.time = state["time"]


@register("callback", "time_pooling_scale", "TimePoolingScaleScheduler")
class TimePoolingScaleScheduler(Span):
    """Let the factor behind a model's pooling over time go from ``start`` to ``end``, in a straight line (S0.C10).

    Args:
        start, end: values of ``model.pooling_scale``, or, where there is none, of ``model.scale``.
        start_epoch, end_epoch: where the line begins and ends; None: the last epoch.
        per_step: move with every batch.
    """

    def __init__(
        self, start: float, end: float, start_epoch: int = 0, end_epoch: int | None = None, per_step: bool = False
    ):
        faults = Faults("TimePoolingScaleScheduler")
        self.start, self.end = faults.number("start", start), faults.number("end", end)
        self._take(faults, start_epoch, end_epoch, per_step)
        faults.done()

    def on_train_begin(self, state: TrainingState) -> None:
        """See that the model has such a factor."""
        if not hasattr(state.model, "scale"):
            _needs(state, "pooling_scale", "TimePoolingScaleScheduler")

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Set the factor."""
        p = along(state, self.start_epoch, self.end_epoch, self.per_step)
        setattr(state.model, _scale_of(state), self.start + (self.end - self.start) * p)

    def on_batch_begin(self, state: TrainingState) -> None:
        """Set the factor of the batch."""
        if self.per_step:
            self.on_epoch_begin(state)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell the factor."""
        state.metrics["pooling_scale"] = float(getattr(state.model, _scale_of(state)))


def _scale_of(state: TrainingState) -> str:
    return "pooling_scale" if hasattr(state.model, "pooling_scale") else "scale"


@register("callback", "stateful", "StatefulTraining", "StatefulTrainingCallback")
class StatefulTraining(Callback):
    """Begin every batch from where one example of the batch before ended; the first of an epoch from rest (S0.C9).

    Needs a model with ``initial_state``. Of a twin the whole state goes on: currents, fluxes of detectors, light on its way, somas
    that are held. Of a model whose runs have no ``end`` it is the last currents. Validation begins from rest.

    Args:
        sample_selection: which example: ``random``, ``first`` or ``last``.
    """

    reads = ("end",)

    def __init__(self, sample_selection: str = "random"):
        faults = Faults("StatefulTraining")
        self.selection = faults.choice("sample_selection", sample_selection, ("random", "first", "last"))
        faults.done()
        self._held: Any = None

    def on_train_begin(self, state: TrainingState) -> None:
        """See that the model can begin elsewhere."""
        _needs(state, "initial_state", "StatefulTraining")

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Begin from rest, or from where a continued run stood."""
        if state.batch == 0:
            self._held = None

    def on_batch_begin(self, state: TrainingState) -> None:
        """Begin all examples of the batch where that one ended."""
        state.model.initial_state = carried.shared(self._held, state.examples or 1)

    def on_batch_end(self, state: TrainingState) -> None:
        """Take the end of one example; whoever looks at the model meanwhile finds it at rest."""
        end = carried.ended(state.run)
        if end is None:
            raise InputError("StatefulTraining: the model's runs have neither end nor states; take another model")
        count = len(state.run.outputs)
        k = {"first": 0, "last": count - 1}.get(self.selection, -1)
        if k < 0:
            k = int(stream(state.seed, "stateful", state.epoch, state.batch).integers(count))
        self._held = carried.one(end, k)
        state.model.initial_state = None

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch begins."""
        return {"held": carried.plain(self._held)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self._held = carried.restored(state["held"])


def _weights(state: TrainingState, name: str, who: str) -> dict[str, float]:
    weights = getattr(getattr(state.trainer, "loss", None), "weights", None)
    if not isinstance(weights, dict):
        raise InputError(f"{who}.loss_name: the loss has no parts with weights; train with a Sum of losses")
    if name not in weights:
        raise InputError(
            f"{who}.loss_name: {name!r} is no part of the loss{nearest(name, weights)}; it has {', '.join(weights)}"
        )
    return weights


def _needs(state: TrainingState, attribute: str, who: str) -> None:
    if not hasattr(state.model, attribute):
        raise InputError(
            f"{who}: {type(state.model).__name__} has no {attribute}; take a model that has, or leave this out"
        )
