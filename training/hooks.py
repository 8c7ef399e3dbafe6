"""What a callback is: hooks that are called while a network is trained, and what they may do.

A hook gets the :class:`TrainingState`, reads all of it, writes only ``state.metrics`` and ``state.should_stop`` (anything else raises), and
returns :data:`CONTINUE` (or nothing) or :data:`STOP`. What a callback does elsewhere (a file, the learning rate, the weight of a loss)
it does through ``state.trainer`` and its parts.

>>> class Quiet(Callback):
...     def on_epoch_end(self, state):
...         return STOP if state.metrics["loss"] < 0.1 else CONTINUE
>>> CallbackList([Quiet()]).on_epoch_end(3, {"loss": 0.01}) is STOP
True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np

from soen_event.errors import InputError, nearest
from training.registry import get, names

__all__ = ["CONTINUE", "STOP", "Callback", "CallbackList", "Signal", "TrainingState", "monitored"]


class Signal(Enum):
    """What a hook answers."""

    CONTINUE = 0
    STOP = 1


CONTINUE, STOP = Signal.CONTINUE, Signal.STOP
_HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
    "on_settled",
    "on_weights",
    "on_gradients",
)


class TrainingState:
    """Where a run stands. Callbacks may write ``metrics`` and ``should_stop`` and nothing else.

    Attributes:
        epoch: from 0. ``epochs``: number at which the run ends.
        batch: from 0, within the epoch. ``batches``: of an epoch, or None. ``examples``: of this batch.
        step: updates of the weights so far. ``stepped``: whether this batch ended with one.
        metrics: values by name. At the end of a batch: ``loss``. At the end of an epoch also the means, ``val_...`` and ``lr``.
        learning_rate: of the optimizer.
        should_stop: end the run after this batch or epoch.
        model, optimizer, trainer: what is trained, by what; ``trainer`` is None outside of a trainer.
        run, targets: the last batch's forward pass (:class:`training.model.Run`) and what it was compared with, at the end of a batch.
        seed: of the run.
    """

    _FREE = ("metrics", "should_stop")

    def __init__(self, **values: Any):
        held: dict[str, Any] = {
            "epoch": 0, "epochs": None, "batch": 0, "batches": None, "examples": None, "step": 0, "stepped": False, "metrics": {},
            "learning_rate": None, "should_stop": False, "model": None, "optimizer": None, "trainer": None, "run": None,
            "targets": None, "seed": 0,
        }  # fmt: skip
        unknown = sorted(set(values) - set(held))
        if unknown:
            raise InputError(f"TrainingState.{unknown[0]}: unknown{nearest(unknown[0], held)}; leave it out")
        self.__dict__.update(held | values)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._FREE:
            raise AttributeError(f"TrainingState.{name}: callbacks write only {' and '.join(self._FREE)}")
        if name == "metrics" and not isinstance(value, dict):
            raise AttributeError(f"TrainingState.metrics: {type(value).__name__} is no dict of values by name")
        self.__dict__[name] = bool(value) if name == "should_stop" else value

    def __repr__(self) -> str:
        return f"<TrainingState: epoch {self.epoch}, batch {self.batch}, step {self.step}>"

    epoch: int
    epochs: int | None
    batch: int
    batches: int | None
    examples: int | None
    step: int
    stepped: bool
    metrics: dict[str, Any]
    learning_rate: float | None
    should_stop: bool
    model: Any
    optimizer: Any
    trainer: Any
    run: Any
    targets: Any
    seed: int

    def _set(self, **values: Any) -> None:
        """For the loop, which may write everything."""
        self.__dict__.update(values)


class Callback:
    """Base of callbacks: override the hooks that are needed; those that are not cost nothing.

    ``on_epoch_begin`` is called once more when a run is continued in the middle of an epoch, after :meth:`load_state_dict`.
    ``reads``: what of ``state.run`` it looks at beside the outputs, "states", "spikes" or "end"; workers (:mod:`training.parallel`) send
    nothing else.
    """

    reads: tuple[str, ...] = ()

    def on_train_begin(self, state: TrainingState) -> Signal | None:
        """Before the first epoch of a run."""

    def on_train_end(self, state: TrainingState) -> Signal | None:
        """After the last, also if it was stopped; not after an error."""

    def on_epoch_begin(self, state: TrainingState) -> Signal | None:
        """Before the first batch of an epoch."""

    def on_epoch_end(self, state: TrainingState) -> Signal | None:
        """After the last batch of an epoch and after validation."""

    def on_batch_begin(self, state: TrainingState) -> Signal | None:
        """Before a batch."""

    def on_batch_end(self, state: TrainingState) -> Signal | None:
        """After a batch and, if ``state.stepped``, the update of the weights."""

    def on_settled(self, state: TrainingState, event: str) -> Signal | None:
        """After all callbacks have seen ``event`` ("batch" with an update, "epoch", "end"): when everything can be stored."""

    def on_weights(self, parameters: dict[str, np.ndarray], state: TrainingState, rng: np.random.Generator) -> None:
        """Before a forward pass in training: what is written into ``parameters`` holds for this forward and backward pass only.

        The gradient by the changed weights then moves the unchanged ones (straight-through).
        """

    def on_gradients(self, gradients: Mapping[str, np.ndarray], state: TrainingState) -> None:
        """Before an update: its gradients by name, before clipping, to look at only."""

    def close(self) -> None:
        """Give back files and handlers; always called at the end, also after an error."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold of this callback: plain data and arrays."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""

    def reset(self) -> None:
        """Forget what an earlier run left; called before a run that begins with the first epoch."""


class CallbackList(Callback):
    """Callbacks in their order. All are called, even after one said STOP; one STOP is enough to stop.

    Args:
        callbacks: callbacks, or lists of them.
        model, optimizer: what the callbacks see where no trainer tells them, so that a loop of one's own can use the list.

    In such a loop the hooks take an epoch and its metrics: ``callbacks.on_epoch_begin(epoch)``,
    ``callbacks.on_epoch_end(epoch, logs)``; what the callbacks add to the metrics is added to ``logs``.

    Raises:
        InputError: one of them is no callback.
    """

    def __init__(self, callbacks: Iterable[Any] = (), *, model: Any = None, optimizer: Any = None):
        self._held: list[Callback] = []
        self._calls: dict[str, list[Any]] = {hook: [] for hook in _HOOKS}
        self._own = TrainingState(model=model, optimizer=optimizer)
        faults: list[str] = []
        for each in _flat(callbacks):
            if isinstance(each, Callback):
                self.append(each)
            else:
                faults.append(f"CallbackList: {each!r} is no callback; derive it from Callback")
        if faults:
            raise InputError(faults)

    def append(self, callback: Callback) -> None:
        """Put a callback behind the others; of a CallbackList its members."""
        if isinstance(callback, CallbackList):
            for each in callback:
                self.append(each)
            return
        self._held.append(callback)
        for hook, calls in self._calls.items():
            if getattr(type(callback), hook) is not getattr(Callback, hook):
                calls.append(getattr(callback, hook))

    def __iter__(self) -> Iterator[Callback]:
        return iter(self._held)

    def __len__(self) -> int:
        """The number of callbacks."""
        return len(self._held)

    def wants(self, hook: str) -> bool:
        """Whether any callback has this hook."""
        return bool(self._calls[hook])

    def on_train_begin(self, state: Any = None, logs: dict[str, Any] | None = None) -> Signal:
        """All callbacks' hook; in a loop of one's own without arguments."""
        return self._all("on_train_begin", state, logs)

    def on_train_end(self, state: Any = None, logs: dict[str, Any] | None = None) -> Signal:
        """All callbacks' hook; in a loop of one's own without arguments."""
        return self._all("on_train_end", state, logs)

    def on_epoch_begin(self, state: Any = None, logs: dict[str, Any] | None = None) -> Signal:
        """All callbacks' hook; ``state`` may be the number of the epoch."""
        return self._all("on_epoch_begin", state, logs)

    def on_epoch_end(self, state: Any = None, logs: dict[str, Any] | None = None) -> Signal:
        """All callbacks' hook; ``state`` may be the number of the epoch, ``logs`` its metrics."""
        answer = self._all("on_epoch_end", state, logs)
        return answer if isinstance(state, TrainingState) else self._settled("epoch", answer)

    def on_batch_begin(self, state: Any = None, logs: dict[str, Any] | None = None) -> Signal:
        """All callbacks' hook; ``state`` may be the number of the batch."""
        return self._all("on_batch_begin", state, logs)

    def on_batch_end(self, state: Any = None, logs: dict[str, Any] | None = None) -> Signal:
        """All callbacks' hook; ``state`` may be the number of the batch, ``logs`` its metrics."""
        return self._all("on_batch_end", state, logs)

    def on_settled(self, state: TrainingState, event: str) -> Signal:
        """All callbacks' hook."""
        return _answers([(call, call(state, event)) for call in self._calls["on_settled"]], state)

    def on_weights(self, parameters: dict[str, np.ndarray], state: TrainingState, rng: np.random.Generator) -> None:
        """All callbacks' hook, one after the other on the same arrays."""
        for call in self._calls["on_weights"]:
            call(parameters, state, rng)

    def on_gradients(self, gradients: Mapping[str, np.ndarray], state: TrainingState) -> None:
        """All callbacks' hook; the arrays that they see cannot be written to."""
        calls = self._calls["on_gradients"]
        if calls:
            seen = {name: array.view() for name, array in gradients.items()}
            for view in seen.values():
                view.flags.writeable = False
            for call in calls:
                call(seen, state)

    def close(self) -> None:
        """Close all, even if one of them fails."""
        failure: BaseException | None = None
        for each in self._held:
            try:
                each.close()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def reset(self) -> None:
        """Reset all."""
        for each in self._held:
            each.reset()

    def state_dict(self) -> dict[str, Any]:
        """The states of all, with the names of their classes."""
        return {"callbacks": [[type(each).__name__, each.state_dict()] for each in self._held]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the states of callbacks of the same classes in the same order; those that have no state do not count.

        Raises:
            InputError: the callbacks are others.
        """
        kept = [(name, held) for name, held in state["callbacks"] if held]
        own = [each for each in self._held if each.state_dict()]
        then, now = [name for name, _ in kept], [type(each).__name__ for each in own]
        if then != now:
            raise InputError(
                f"callbacks: the checkpoint has {then}, this run {now}; give the same ones, in their order"
            )
        for each, (_, held) in zip(own, kept, strict=True):
            each.load_state_dict(held)

    def _all(self, hook: str, given: Any, logs: dict[str, Any] | None) -> Signal:
        if isinstance(given, TrainingState):
            calls = self._calls[hook]
            return _answers([(call, call(given)) for call in calls], given) if calls else CONTINUE
        state = self._own
        if given is not None:
            state._set(**{"batch" if "batch" in hook else "epoch": int(given)})
        rate = getattr(state.optimizer, "get_lr", None)
        state._set(metrics=logs if logs is not None else {}, learning_rate=rate() if rate else None)
        return _answers([(call, call(state)) for call in self._calls[hook]], state)

    def _settled(self, event: str, before: Signal) -> Signal:
        after = self.on_settled(self._own, event)
        return STOP if STOP in (before, after) else CONTINUE


def monitored(state: TrainingState, name: str, who: str) -> float:
    """The value of a metric at the end of an epoch.

    Where the metric is logged under another of its registered names (``val_accuracy`` for ``val_acc``), that one is meant.

    Raises:
        InputError: there is no such metric; it names the nearest.
    """
    if name not in state.metrics:
        name = next((other for other in state.metrics if _same_metric(name, other)), name)
    if name not in state.metrics:
        known = ", ".join(sorted(state.metrics)) or "none at all"
        hint = (
            "; give validation data"
            if name.startswith("val_") and not any(k.startswith("val_") for k in state.metrics)
            else ""
        )
        raise InputError(
            f"{who}.monitor: {name!r} is no metric{nearest(name, state.metrics)}; there are: {known}{hint}"
        )
    return float(state.metrics[name])


def _same_metric(name: str, other: str) -> bool:
    """Whether both are names of one registered metric, of training or both of validation."""
    one, two, known = name.removeprefix("val_"), other.removeprefix("val_"), names("metric")
    return (
        (one == name) == (two == other) and one in known and two in known and get("metric", one) is get("metric", two)
    )


def _flat(callbacks: Any) -> Iterator[Any]:
    for each in [callbacks] if isinstance(callbacks, Callback) else callbacks or ():
        if isinstance(each, list | tuple):
            yield from _flat(each)
        else:
            yield each


def _answers(answers: list[tuple[Any, Any]], state: TrainingState) -> Signal:
    stop = False
    for call, answer in answers:
        if answer is STOP:
            stop = True
        elif answer is not None and answer is not CONTINUE:
            raise InputError(f"{call.__qualname__}: returned {answer!r}; return CONTINUE, STOP or nothing")
    if stop:
        state.should_stop = True
    return STOP if state.should_stop else CONTINUE
