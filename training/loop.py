"""The training loop: batches -> forward -> loss -> backward -> optimizer -> weights, with validation, callbacks and checkpoints.

    trainer = Trainer(model, optimizer, schedule, metrics=["accuracy"], callbacks=[...], loss="cross_entropy")
    history = trainer.fit(train, val, epochs=20)

A run is a function of the model's weights, the data, the options and the seed: every random number has an address, so a run that is
killed at any moment and continued from its last checkpoint (``fit(..., resume=path)``) ends in the same bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from soen_event.errors import InputError
from training import checkpoint
from training.address import checked_seed, stream
from training.arguments import Faults
from training.batching import as_batches, length, numbered, signature
from training.clipping import clip_by_global_norm, clip_by_value
from training.data import Dataset, with_steps
from training.evaluate import evaluate, outputs, plain, state_of_loss
from training.gradients import grad as grad
from training.gradients import init_all_states, loss_and_gradients, run_network, value_and_grad
from training.hooks import STOP, Callback, CallbackList, TrainingState
from training.metric import fed
from training.model import LossValue, Model, Run
from training.named import made, made_metrics
from training.parallel import DataParallel, WorkerDied
from training.stored import of_carried, of_parameters, put_carried, put_parameters, put_state, state_of

__all__ = [
    "BasicTrainingLoop",
    "Diverged",
    "Trainer",
    "fit",
    "grad",
    "init_all_states",
    "run_network",
    "value_and_grad",
]


_PHASES = ("data", "forward", "loss", "backward", "update", "callbacks", "validation")


class Diverged(RuntimeError):
    """A loss or a gradient is no longer a finite number; the weights are those before the step, the last checkpoint is whole."""


class Trainer:
    """Trains a model.

    Args:
        model: a :class:`training.model.Model`.
        optimizer: an optimizer, or the registered name of one.
        scheduler: a schedule of the learning rate, applied every epoch; for other ways give a LRScheduler among the callbacks.
        metrics: metrics (``update``, ``compute``, ``reset``) or registered names, in a list or by the name to log under. They are
            filled by training; validation fills copies, or the metric of the name ``val_<name>`` (in a list: a second of the same kind).
        callbacks: see :mod:`training.callbacks`.
        loss: a loss ``loss(run, targets, model=, rng=) -> LossValue``, or the registered name of one.
        seed: 0 to 2**63 - 1: of shuffling and of noise in training.
        accumulate: micro-batches whose gradients are averaged (by their numbers of examples) before a step; what is left at the end
            of an epoch makes a step of its own.
        clip_norm: largest norm of all gradients together (S2.06), or None.
        clip_value: largest magnitude of a gradient's element, or None.
        check_finite: whether to stop with :class:`Diverged` at the first loss or gradient that is not finite.
        progress: show a progress bar; None: if there is a terminal.
        parallel: a :class:`training.parallel.DataParallel`: batches are cut into shards, which workers share; None: neither.

    ``history``: the metrics of every epoch. ``epoch``: how many are done.

    Raises:
        InputError: with all faults of the arguments.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Any,
        scheduler: Any = None,
        metrics: Any = None,
        callbacks: Any = None,
        *,
        loss: Any = "cross_entropy",
        seed: int = 0,
        accumulate: int = 1,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        check_finite: bool = True,
        progress: bool | None = None,
        parallel: DataParallel | None = None,
    ):
        judged = Faults("Trainer")
        if not isinstance(model, Model):
            judged.add("model", f"{type(model).__name__} has no parameters, bounds, forward and backward; give a model")
        judged.whole("accumulate", accumulate, least=1)
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if value is not None:
                judged.number(name, value, above=0.0)
        if parallel is not None and not isinstance(parallel, DataParallel):
            judged.add("parallel", f"{parallel!r} shares no work; give DataParallel(workers=2, shards=4), or None")
        self.model, self.accumulate, self.parallel = model, accumulate, parallel
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.check_finite, self.progress = check_finite, progress
        faults = judged.found
        self.optimizer = made("optimizer", optimizer, faults)
        self.loss = made("loss", loss, faults)
        every = made_metrics(metrics, faults)
        paired = {name for name in every if name.startswith("val_") and name[4:] in every}
        self.metrics = {name: metric for name, metric in every.items() if name not in paired}
        self.val_metrics = {name[4:]: every[name] for name in paired}
        """Those that the validation after each epoch fills, by the names of the others."""
        self.seed, self.callbacks = 0, CallbackList()
        for attempt in (self._take_seed, self._take_callbacks, self._judge_loss):
            try:
                attempt(seed, callbacks, scheduler)
            except InputError as error:
                faults += error.faults
        if faults:
            raise InputError(faults)
        self.sequence_length: int | None = None
        """Steps that inputs are brought to before the model sees them; None leaves them."""
        self.history: list[dict[str, Any]] = []
        self.epoch = self.step = 0
        self._batch = 0  # the next one of the epoch
        self._first, self._epochs = 0, 0  # of the run: its first epoch, and how many
        self._signature: dict[str, Any] = {}
        self._sums: dict[str, float] = {}
        self._buffers: dict[str, np.ndarray] = {}
        self._hidden: dict[str, np.ndarray] = {}
        self._group: list[
            tuple[int, np.ndarray, Any, Any]
        ] = []  # micro-batches of this update, and how they began, for SAM
        self._last: Path | None = None
        self.val_data: Any = None
        self.timings: dict[str, float] = {}
        """Seconds of the present epoch by phase: data, forward, loss, backward, update, callbacks, validation."""
        self._state = TrainingState(model=model, optimizer=self.optimizer, trainer=self, seed=self.seed)

    def _take_seed(self, seed: Any, callbacks: Any, scheduler: Any) -> None:
        self.seed = checked_seed(seed, "Trainer.seed")

    def _take_callbacks(self, seed: Any, callbacks: Any, scheduler: Any) -> None:
        from training.callbacks import LRScheduler

        self.callbacks = CallbackList([] if scheduler is None else [LRScheduler(scheduler)])
        self.callbacks.append(CallbackList(callbacks or ()))

    def _judge_loss(self, seed: Any, callbacks: Any, scheduler: Any) -> None:
        if isinstance(self.parallel, DataParallel):
            self.parallel.judge(self.loss)

    def add_callback(self, callback: Callback) -> None:
        """Put a callback behind the others."""
        self.callbacks.append(CallbackList([callback]))

    @property
    def examples_seen(self) -> int:
        """Examples of the present epoch so far."""
        return int(self._sums.get("examples", 0.0))

    # ---- training

    def fit(
        self,
        train_data: Any,
        val_data: Any = None,
        epochs: int | None = None,
        *,
        batch_size: int = 32,
        resume: str | os.PathLike[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Train for a number of epochs, after those that were done before: fit(2) twice is fit(4).

        Args:
            train_data: a :class:`~training.data.DataLoader`; a Dataset or (x, y), which are shuffled by the trainer's seed; or any
                iterable of batches (x, y) that can be gone through again, of which an epoch is one pass (``set_epoch(epoch)`` is
                called if it is there).
            val_data: the same, for validation after every epoch, or None.
            epochs: how many, 1 or more; by default 1, or what the continued run had.
            batch_size: for data that bring no loader.
            resume: a checkpoint of a run that ended early: it is finished, so ``epochs`` counts from where that run began.

        Returns:
            ``history``: of every epoch so far its metrics.

        Raises:
            InputError: data or options that do not fit, or a checkpoint of another run.
            Diverged: the loss or a gradient is not finite.
        """
        if epochs is not None:
            judged = Faults("Trainer.fit")
            judged.whole("epochs", epochs, least=1)
            judged.done()
        loader = as_batches(train_data, batch_size, self.seed, shuffle=True)
        val = None if val_data is None else as_batches(val_data, max(batch_size, 256), 0, shuffle=False)
        self._signature = {**signature(loader), "seed": self.seed, "accumulate": self.accumulate}
        self._signature["shards"] = self.parallel.shards if self.parallel is not None else None
        self._renew()
        self.val_data = val
        callbacks = self._with_progress()
        held: Mapping[str, Any] | None = None
        if resume is not None:
            held = self._restore(checkpoint.load(resume), str(resume))
            self._epochs = epochs or self._epochs
        else:
            self._first, self._epochs, self._batch = self.epoch, epochs or 1, 0
            if self.epoch == 0:
                callbacks.reset()
        state = self._state
        end = self._first + self._epochs
        state._set(epoch=self.epoch, epochs=end, batches=length(loader), step=self.step, should_stop=False, metrics={})
        self._bind()
        try:
            callbacks.on_train_begin(state)
            if held is not None:
                self.callbacks.load_state_dict(held)
            while self.epoch < end and not state.should_stop:
                self._train_epoch(loader, val, callbacks)
            callbacks.on_train_end(state)
            callbacks.on_settled(state, "end")
        finally:
            callbacks.close()
        return self.history

    def _train_epoch(self, loader: Any, val: Any, callbacks: CallbackList) -> None:
        """From batch ``self._batch`` on; returns early if a callback wants to stop."""
        state, start = self._state, self._batch
        state._set(epoch=self.epoch, batch=start, metrics={}, learning_rate=_rate(self.optimizer))
        self.timings = dict.fromkeys(_PHASES, 0.0)
        if start == 0:
            self._sums = {"examples": 0.0, "loss": 0.0}
            for metric in self.metrics.values():
                metric.reset()
        if callbacks.on_epoch_begin(state) is STOP:
            return
        self._group.clear()
        held: dict[str, np.ndarray] = {}
        waiting, examples, clock = 0, 0, perf_counter()
        for number, last, (x, y) in numbered(loader.batches(self.epoch, start), start, length(loader)):
            clock = self._spent("data", clock)
            state._set(batch=number, examples=len(x), stepped=False)
            callbacks.on_batch_begin(state)
            clock = self._spent("callbacks", clock)
            count, gradients = self._one_batch(x, y, callbacks)
            clock = perf_counter()
            waiting, examples = waiting + 1, examples + count
            held = gradients if self.accumulate == 1 else self._gather(gradients, count, waiting == 1)
            if waiting == self.accumulate or last:
                self._update(held, examples, callbacks)
                waiting, examples, self._batch = 0, 0, number + 1
                state._set(stepped=True, step=self.step, learning_rate=_rate(self.optimizer))
            clock = self._spent("update", clock)
            callbacks.on_batch_end(state)
            if state.stepped:
                callbacks.on_settled(state, "batch")
                if state.should_stop and not last:
                    return
            clock = self._spent("callbacks", clock)
        if waiting:  # the data said that there was more
            self._update(held, examples, callbacks)
            self._batch = state.batch + 1
        if not self._sums["examples"]:
            raise InputError("Trainer.fit.train_data: gave no batch; give an iterable that can be gone through again")
        self._end_epoch(val, callbacks)

    def _end_epoch(self, val: Any, callbacks: CallbackList) -> None:
        state = self._state
        metrics = {name: value / self._sums["examples"] for name, value in self._sums.items() if name != "examples"}
        metrics |= {name: plain(metric.compute()) for name, metric in self.metrics.items()}
        if val is not None:
            clock = perf_counter()
            metrics |= {f"val_{name}": value for name, value in self._evaluate(val, self.val_metrics).items()}
            self._spent("validation", clock)
        rate = _rate(self.optimizer)
        if rate is not None:
            metrics["lr"] = rate
        state._set(metrics=metrics, run=None, targets=None)
        callbacks.on_epoch_end(state)
        self.history.append({"epoch": self.epoch, **state.metrics})
        self.epoch, self._batch = self.epoch + 1, 0
        callbacks.on_settled(state, "epoch")

    def _one_batch(self, x: np.ndarray, y: Any, callbacks: CallbackList) -> tuple[int, dict[str, np.ndarray]]:
        """Forward and backward; returns the number of examples and the gradients."""
        state = self._state
        x, y = self.shaped(x, y)
        if getattr(self.optimizer, "needs_second_gradient", False):
            self._group.append((state.batch, x, y, getattr(self.model, "initial_state", None)))
        value, gradients, run = self._pass(state.batch, x, y, callbacks)
        if self.check_finite:
            self._check(value, gradients)
        advance = getattr(self.loss, "advance", None)
        if advance is not None:
            advance()
        count = len(x)
        self._count(value, count)
        for metric in self.metrics.values():
            fed(metric, run.outputs, y, value)
        state.metrics["loss"] = value.value
        state._set(run=run, targets=y)
        return count, gradients

    def _pass(
        self, number: int, x: np.ndarray, y: Any, callbacks: CallbackList
    ) -> tuple[LossValue, dict[str, np.ndarray], Run]:
        """Forward and backward with the weights that callbacks make of the true ones, which stand again afterwards."""
        if not callbacks.wants("on_weights"):
            return self._gradients(number, x, y, callbacks)
        parameters = self.model.parameters()
        self._hide(parameters)
        try:
            callbacks.on_weights(parameters, self._state, stream(self.seed, "weights", self.epoch, number))
            return self._gradients(number, x, y, callbacks)
        finally:
            for name, array in parameters.items():
                np.copyto(array, self._hidden[name])

    def _gradients(
        self, number: int, x: np.ndarray, y: Any, callbacks: CallbackList
    ) -> tuple[LossValue, dict[str, np.ndarray], Run]:
        """Forward and backward, here or by workers."""
        address = (self.seed, "noise", self.epoch, number)
        if self.parallel is None:
            return loss_and_gradients(self.model, self.loss, x, y, stream(*address), self.timings)
        keep = [what for each in callbacks for what in each.reads]
        try:
            return self.parallel.gradients(self.model, self.loss, x, y, address, timings=self.timings, keep=keep)
        except WorkerDied as error:
            kept = f"; the last checkpoint is {self._last}" if self._last else ""
            raise WorkerDied(f"{error} (epoch {self.epoch}, batch {number}, step {self.step}){kept}") from error

    def _renew(self) -> None:
        """Workers get the model as it is now."""
        if self.parallel is not None:
            self.parallel.renew()

    def _spent(self, phase: str, since: float) -> float:
        now = perf_counter()
        self.timings[phase] += now - since
        return now

    def _count(self, value: LossValue, count: int) -> None:
        sums = self._sums
        sums["examples"] += count
        sums["loss"] += count * value.value
        for name, part in value.parts.items():
            key = f"loss/{name}"
            sums[key] = sums.get(key, 0.0) + count * part

    def _hide(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Keep the true weights while others stand in their place."""
        for name, array in parameters.items():
            if name in self._hidden and self._hidden[name].shape == array.shape:
                np.copyto(self._hidden[name], array)
            else:
                self._hidden[name] = array.copy()

    def _gather(self, gradients: Mapping[str, np.ndarray], count: int, first: bool) -> dict[str, np.ndarray]:
        """Add the gradients of a micro-batch, by its number of examples."""
        for name, gradient in gradients.items():
            total = self._buffers.get(name)
            if total is None or total.shape != gradient.shape:
                total = self._buffers[name] = np.zeros_like(gradient)
            elif first:
                total.fill(0.0)
            total += count * gradient
        return self._buffers

    def _update(self, gradients: dict[str, np.ndarray], examples: int, callbacks: CallbackList) -> None:
        """Average, clip, let the optimizer step, and keep the parameters within their bounds."""
        if self.accumulate > 1:
            for total in gradients.values():
                total /= examples
        callbacks.on_gradients(gradients, self._state)
        self._clip(gradients)
        parameters = self.model.parameters()
        if getattr(self.optimizer, "needs_second_gradient", False):
            self.optimizer.update(gradients, again=lambda: self._again(callbacks))
        else:
            self.optimizer.step(parameters, gradients)
        self._group.clear()
        for name, (low, high) in self.model.bounds().items():
            np.clip(parameters[name], low, high, out=parameters[name])
        self.step += 1

    def _clip(self, gradients: dict[str, np.ndarray]) -> None:
        if self.clip_value is not None:
            clip_by_value(gradients, self.clip_value)
        if self.clip_norm is not None:
            clip_by_global_norm(gradients, self.clip_norm)

    def _again(self, callbacks: CallbackList) -> dict[str, np.ndarray]:
        """The gradients of the same batches, with the same noise, at the parameters as they are now (SAM)."""
        total: dict[str, np.ndarray] = {}
        examples = 0
        for number, x, y, start in self._group:
            if hasattr(self.model, "initial_state"):
                self.model.initial_state = start
            value, gradients, _ = self._pass(number, x, y, callbacks)
            if self.check_finite:
                self._check(value, gradients)
            examples += len(x)
            for name, gradient in gradients.items():
                total[name] = total.get(name, 0.0) + len(x) * gradient
        for gradient in total.values():
            gradient /= examples
        self._clip(total)
        return total

    def _check(self, value: LossValue, gradients: Mapping[str, np.ndarray]) -> None:
        state = self._state
        wrong = None
        if not math.isfinite(value.value):
            parts = [name for name, part in value.parts.items() if not math.isfinite(part)]
            wrong = f"the loss{' (' + ', '.join(parts) + ')' if parts else ''} is {value.value}"
        else:
            for name, gradient in gradients.items():
                if not np.isfinite(gradient).all():
                    wrong = f"the gradient by {name!r} is not finite"
                    break
        if wrong is not None:
            kept = f"; the last checkpoint is {self._last}" if self._last else ""
            raise Diverged(
                f"Trainer.fit: {wrong} in epoch {self.epoch}, batch {state.batch} (step {self.step}); the weights are those before it. "
                f"Lower the learning rate ({_rate(self.optimizer)}), give clip_norm, or look at the data of this batch{kept}"
            )

    def _bind(self) -> None:
        """Let the optimizer know the weights, unless it does already."""
        register = getattr(self.optimizer, "register_trainable_weights", None)
        if register is None:
            return
        held = getattr(self.optimizer, "parameters", dict)
        known = held() if callable(held) else held
        if any(known.get(name) is not array for name, array in self.model.parameters().items()):
            register(self.model)

    # ---- looking, without changing anything

    def validate(self, data: Any, *, batch_size: int = 256) -> dict[str, float]:
        """Loss and metrics on data. Weights, optimizer, metrics, random numbers and the loss's own state stay as they are.

        Raises:
            InputError: data that do not fit.
        """
        self._renew()
        return self._evaluate(as_batches(data, batch_size, 0, shuffle=False))

    def predict(self, inputs: Any, *, batch_size: int = 256) -> np.ndarray:
        """The model's outputs, (N, C) or (N, T, C).

        Args:
            inputs: (N, T, n_in), a Dataset or a DataLoader (whose order is kept).
            batch_size: how many at a time.
        """
        if isinstance(inputs, np.ndarray):
            inputs = Dataset(inputs, np.zeros(len(inputs), dtype=np.int64), name="predict")
        loader = as_batches(inputs, batch_size, 0, shuffle=False)
        self._renew()
        return outputs(self.model, loader, seed=self.seed, shape=self.shaped, parallel=self.parallel)

    def _evaluate(self, loader: Any, fill: Mapping[str, Any] | None = None) -> dict[str, float]:
        options: dict[str, Any] = {"seed": self.seed, "shape": self.shaped, "fill": fill, "parallel": self.parallel}
        return evaluate(self.model, self.loss, loader, self.metrics, **options)

    def shaped(self, x: np.ndarray, y: Any) -> tuple[np.ndarray, Any]:
        """Inputs on ``sequence_length`` steps, and with them targets that have one value a step."""
        length = self.sequence_length
        return (x, y) if length is None or x.shape[1] == length else with_steps(x, y, length)

    # ---- checkpoints

    def save(self, path: str | os.PathLike[str], *, durable: bool = True) -> Path:
        """Write all that a run needs to go on: weights, optimizer, schedule, callbacks, metrics, position. In one step.

        Between two updates of the weights only: from a callback's ``on_settled``, or when no run is going.
        """
        self._last = checkpoint.save(path, self.state_dict(), durable=durable)
        return self._last

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`save` writes, as a tree of plain data and arrays."""
        return {
            "kind": "trainer",
            "position": {
                "epoch": self.epoch, "batch": self._batch, "step": self.step, "first": self._first, "epochs": self._epochs,
            },
            "run": self._signature,
            "model": of_parameters(self.model),
            "model_state": of_carried(self.model),
            "optimizer": state_of(self.optimizer),
            "loss": state_of_loss(self.loss),
            "metrics": {name: state_of(metric) for name, metric in self.metrics.items()},
            "sums": dict(self._sums),
            "callbacks": self.callbacks.state_dict(),
            "sequence_length": self.sequence_length,
            "history": self.history,
        }  # fmt: skip

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take weights, optimizer, metrics and position from a checkpoint; a following :meth:`fit` begins a run of its own there.

        Raises:
            InputError: the file is no checkpoint, or of a model with other parameters.
        """
        held = self._restore(checkpoint.load(path), str(path), same_run=False)
        self._batch = 0
        self.callbacks.load_state_dict(held)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights alone from a checkpoint.

        Raises:
            InputError: the file is no checkpoint, or of a model with other parameters.
        """
        put_parameters(self.model, checkpoint.load(path).get("model", {}), str(path))

    def _restore(self, tree: Mapping[str, Any], path: str, same_run: bool = True) -> Mapping[str, Any]:
        """Put back all but the callbacks, whose state is returned."""
        if tree.get("kind") != "trainer":
            raise InputError(f"{path}: holds no run of a trainer (but {tree.get('kind')!r}); give a checkpoint of one")
        if same_run:
            other = [
                f"{path}: was written with {name} = {tree['run'].get(name)!r}, this run has {value!r}; give the same to finish it"
                for name, value in self._signature.items()
                if tree["run"].get(name) != value
            ]
            if other:
                raise InputError(other)
        put_parameters(self.model, tree["model"], path)
        self._bind()
        put_state(self.optimizer, tree["optimizer"])
        put_state(self.loss, tree["loss"])
        put_carried(self.model, tree["model_state"])
        if set(tree["metrics"]) != set(self.metrics):
            raise InputError(
                f"{path}: was written with metrics {sorted(tree['metrics'])}, this run has {sorted(self.metrics)}"
            )
        for name, held in tree["metrics"].items():
            put_state(self.metrics[name], held)
        place = tree["position"]
        self.epoch, self._batch, self.step = place["epoch"], place["batch"], place["step"]
        self._first, self._epochs = place["first"], place["epochs"]
        self._sums, self.history = dict(tree["sums"]), list(tree["history"])
        self.sequence_length = tree["sequence_length"]
        self._last = Path(path)
        callbacks: Mapping[str, Any] = tree["callbacks"]
        return callbacks

    def _with_progress(self) -> CallbackList:
        import sys

        if self.progress is False or (self.progress is None and not sys.stderr.isatty()):
            return self.callbacks
        from training.loggers import ProgressBar

        if any(isinstance(each, ProgressBar) for each in self.callbacks):
            return self.callbacks
        return CallbackList([*self.callbacks, ProgressBar()])


BasicTrainingLoop = Trainer
"""The same under the name of S2.25."""


def fit(
    model: Model, data: Any, loss: Any = "cross_entropy", optimizer: Any = "adam", *, val_data: Any = None, epochs: int = 1,
    batch_size: int = 32, **options: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """Train a model in one call; ``options`` are those of :class:`Trainer`. Returns the metrics of every epoch."""
    return Trainer(model, optimizer, loss=loss, **options).fit(data, val_data, epochs, batch_size=batch_size)


def _rate(optimizer: Any) -> float | None:
    read = getattr(optimizer, "get_lr", None)
    return float(read()) if read is not None else None
