"""Training by local rules on one chip that goes on: samples come one after another, and the engines learn while photons fly.

    trainer = LocalTrainer(net, STDP().on(synapses="*"), encoder=PhotonCode("latency", channels), length=50.0, gap=100.0)
    trainer.fit(x, y, epochs=3)
    trainer.evaluate(x_test, y_test), trainer.predict(x_test), trainer.deploy()

A sample's photons come from its beginning on, for ``length`` ns; then outputs are read, the rules hear their signals, and for ``gap``
ns the loops come to rest. Results are a function of network, rules, samples and seed; not of how many samples' photons are handed
over at once, of validation in between, or of a kill and a continuation from a checkpoint.
"""

from __future__ import annotations

import copy
import math
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soen_event.errors import InputError, nearest
from soen_event.learning import Plasticity
from soen_event.network import Network
from soen_event.simulate import Simulation
from training import checkpoint, local_states
from training.address import checked_seed, stream
from training.arguments import Faults
from training.evaluate import plain, state_of_loss
from training.hooks import STOP, Callback, CallbackList, TrainingState
from training.local_chip import Chip, LearningRate, LocalModel
from training.local_data import Samples
from training.local_errors import LearningWarning
from training.local_inputs import Encoder
from training.local_places import placed
from training.local_readouts import Outputs, Readout, made
from training.local_reports import Sites, Snapshot, UpdateMetrics, diagnosis, summed
from training.local_signals import Signals
from training.local_wrappers import AdaptiveRate, RateWrapper, ScheduledRate
from training.metric import fed
from training.model import LossValue, Run
from training.named import made as named
from training.named import made_metrics
from training.stored import put_state

__all__ = ["LocalTrainer"]


class LocalTrainer:
    """Trains a network by local rules (features.md S0.R6).

    Arguments:
        network: a :class:`~soen_event.network.Network` (or tiled, or a file's path); it is copied.
        rules: a :class:`~soen_event.learning.Plasticity`, several, or a single Rule together with ``connections`` or ``layers``.
        connections: ids or patterns of the synapses and couplings that a bare rule changes.
        layers: ids or patterns of dendrites and neurons: a bare rule changes the synapses on their loops.
        encoder: a :class:`~training.local_inputs.PhotonCode`; a function ``(sample)`` or ``(sample, rng)`` that gives photons by
            synapse (ns from the sample's beginning); None: samples are photons by synapse.
        readout: "counts", "first_spike", "currents", ids of neurons whose spikes are counted, or a Readout.
        modulator: what the rules hear at the end of a sample (:class:`~training.local_signals.Signals`): a function
            ``(outputs, target)`` that gives a number, numbers by neuron, or either by signal; or a mapping from signals to functions.
        length, gap: ns, of a sample (above 0) and of the rest after it (0 or above).
        begin, end: names of signals that are sent at the beginning and at the end of every sample (the latter after the modulator's), as
            far as rules hear them.
        windows: by rule the times (ns from a sample's beginning) between which it makes changes. The signals of the end come at ``length``.
        rates: by rule a RateWrapper or several (:mod:`training.local_wrappers`).
        loss, metrics, callbacks: as for :class:`training.loop.Trainer`; without a loss there is none. A metric of the name
            ``val_<name>`` is that of the validation.
        seed: of shuffling, of the encoder's draws, and of the simulation.
        engine, resolution, tol, threads, record: as for :func:`~soen_event.simulate.simulate`.
        keep: False: the recording is dropped after every epoch, so that long runs need no more memory.
        check_finite: whether to stop with NonFiniteError at the first value, output or signal that is not finite.
        progress: show a progress bar; None: if there is a terminal.

    ``simulation``: the chip. ``history``: the metrics of every epoch. ``epoch``, ``step``: epochs and samples so far.

    Raises InputError with all faults: of its kinds ConnectionNotFoundError, InvalidLayerError (:mod:`training.local_errors`).
    """

    def __init__(
        self,
        network: Any,
        rules: Any,
        *,
        connections: Any = None,
        layers: Any = None,
        encoder: Any = None,
        readout: Any = "counts",
        modulator: Any = None,
        length: float = 100.0,
        gap: float = 100.0,
        begin: str | Sequence[str] = ("begin",),
        end: str | Sequence[str] = ("sample",),
        windows: Mapping[str, tuple[float, float]] | None = None,
        rates: Mapping[str, Any] | None = None,
        loss: Any = None,
        metrics: Any = None,
        callbacks: Any = None,
        seed: int = 0,
        engine: str = "compiled",
        resolution: str = "fluxon",
        tol: float = 1e-4,
        threads: int = 1,
        record: Any = (),
        keep: bool = True,
        check_finite: bool = True,
        progress: bool | None = None,
    ):
        judged = Faults("LocalTrainer")
        judged.number("length", length, above=0.0)
        judged.number("gap", gap, least=0.0)
        judged.flag("keep", keep)
        faults = judged.found
        self.loss = None if loss is None else named("loss", loss, faults)
        every = made_metrics(metrics, faults)
        paired = {name for name in every if name.startswith("val_") and name[4:] in every}
        self.metrics = {name: metric for name, metric in every.items() if name not in paired}
        self.val_metrics = {name[4:]: every[name] for name in paired}
        try:
            self.seed = checked_seed(seed, "LocalTrainer.seed")
        except InputError as error:
            faults += error.faults
        try:
            self.callbacks = CallbackList(callbacks or ())
        except InputError as error:
            faults += error.faults
        try:
            self.readout: Readout = made(readout)
        except InputError as error:
            faults += error.faults
        if faults:
            raise InputError(faults)
        if isinstance(network, str | os.PathLike):
            network = Network.load(network)
        self.rules: list[Plasticity] = placed(network, rules, connections, layers)
        self.check_finite, self.progress, self.keep = bool(check_finite), progress, keep
        self._engine_name, self._threads = engine, threads
        how = {"engine": engine, "resolution": resolution, "tol": tol, "threads": threads, "record": record}
        self.chip = Chip(Simulation(network, seed=self.seed, learning=self.rules, **how), float(length), float(gap))
        plan = self.simulation.plan
        self.sites = [Sites(plan, r, each) for r, each in enumerate(self.rules)]
        """Of every rule, :class:`~training.local_reports.Sites`."""
        self.readout.bind(self.simulation)
        self.encoder = Encoder(encoder, plan, self.chip.length, self.seed)
        self.signals = Signals(plan, modulator, _words(begin), _words(end))
        self.windows = self._judged_windows(windows or {})
        self.rates = self._judged_rates(rates or {})
        self.optimizer = LearningRate()
        self.model = LocalModel(self)
        self.history: list[dict[str, Any]] = []
        self.epoch = self.step = 0
        self.reports: dict[str, UpdateMetrics] = {}
        """What every rule did in the last sample."""
        self.epoch_reports: dict[str, UpdateMetrics] = {}
        """What every rule did in the last epoch."""
        self._sample = 0  # the next one of the epoch
        self._first, self._epochs = 0, 0
        self._of_epoch: dict[str, list[UpdateMetrics]] = {s.name: [] for s in self.sites}
        self._sums: dict[str, float] = {}
        self._before: list[Snapshot] | None = None
        self._signature: dict[str, Any] = {}
        self._warned: set[str] = set()
        self._set_rates: dict[str, float] = {s.name: float(s.plasticity.rate) for s in self.sites}
        self._state = TrainingState(model=self.model, optimizer=self.optimizer, trainer=self, seed=self.seed)

    @property
    def simulation(self) -> Simulation:
        """The chip that learns."""
        return self.chip.run

    def add_callback(self, callback: Callback) -> None:
        """Put a callback behind the others."""
        self.callbacks.append(CallbackList([callback]))

    def _rule_name(self, name: Any, where: str, faults: list[str]) -> bool:
        known = [s.name for s in self.sites]
        if name not in known:
            faults.append(f"LocalTrainer.{where}: there is no rule {name!r}{nearest(str(name), known)}")
        return name in known

    def _judged_windows(self, given: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        judged = Faults("LocalTrainer")
        out = {}
        for name, window in given.items():
            if not self._rule_name(name, "windows", judged.found):
                continue
            if not isinstance(window, Sequence) or len(window) != 2:
                judged.add(f"windows[{name!r}]", f"{window!r} is no window; give (first, last) in ns")
                continue
            first = judged.number(f"windows[{name!r}][0]", window[0], least=0.0)
            last = judged.number(f"windows[{name!r}][1]", window[1], above=first, most=self.chip.period)
            out[name] = first, last
        judged.done()
        return out

    def _judged_rates(self, given: Mapping[str, Any]) -> dict[str, list[RateWrapper]]:
        faults: list[str] = []
        out = {}
        for name, several in given.items():
            each = list(several) if isinstance(several, list | tuple) else [several]
            faults += [
                f"LocalTrainer.rates[{name!r}]: {type(one).__name__} is no RateWrapper; see training.local_wrappers"
                for one in each
                if not isinstance(one, RateWrapper)
            ]
            if self._rule_name(name, "rates", faults):
                out[name] = each
        if faults:
            raise InputError(faults)
        return out

    # ------------------------------------------------------------------ training

    def fit(
        self,
        inputs: Any,
        targets: Any = None,
        epochs: int | None = None,
        *,
        validation: Any = None,
        batch: int = 1,
        shuffle: bool = True,
        resume: str | os.PathLike[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Learn for a number of epochs, after those that were done before.

        Arguments:
            inputs: samples, an array (N, ...) or a list.
            targets: (N, ...), one for each; None (nothing is compared); or a function ``(outputs, sample)`` that gives what a
                modulator gives: a reward without targets.
            epochs: 1 or more; by default 1, or what the continued run had.
            validation: (inputs, targets) to evaluate after every epoch, as ``val_...``.
            batch: how many samples' photons are handed to the chip at once; a matter of speed alone.
            shuffle: a new order every epoch, by the seed.
            resume: a checkpoint of a run that ended early: it is finished, so ``epochs`` counts from where that run began.

        Returns ``history``. Warns (LearningWarning) where a rule learns nothing, and says why.
        Raises DimensionMismatchError, NonFiniteError, InputError.
        """
        judged = Faults("LocalTrainer.fit")
        if epochs is not None:
            judged.whole("epochs", epochs, least=1)
        judged.whole("batch", batch, least=1)
        judged.flag("shuffle", shuffle)
        judged.done()
        reward = targets if callable(targets) else None
        data = Samples(inputs, None if reward else targets, "LocalTrainer.fit")
        self._judge(data)
        val = None if validation is None else self._validation(validation)
        self._signature = {
            **data.signature(),
            "shuffle": bool(shuffle),
            "seed": self.seed,
            "period": self.chip.period_fs,
        }
        self._warned = set()
        if reward is None:
            self.signals.warn()
        callbacks = self._with_progress()
        held: Mapping[str, Any] | None = None
        if resume is not None:
            held = local_states.restore(self, checkpoint.load(resume), str(resume))
            self._epochs = epochs or self._epochs
        else:
            self._first, self._epochs, self._sample = self.epoch, epochs or 1, 0
            if self.epoch == 0:
                callbacks.reset()
        end = self._first + self._epochs
        for several in self.rates.values():
            for each in several:
                if isinstance(each, ScheduledRate) and each.kind == "cosine" and each.max_steps is None:
                    each.set_max_steps(self._epochs * len(data))
        state = self._state
        state._set(
            epoch=self.epoch, epochs=end, batches=len(data), step=self.step, should_stop=False, metrics={},
            learning_rate=self.optimizer.get_lr(),
        )  # fmt: skip
        try:
            callbacks.on_train_begin(state)
            if held is not None:
                self.callbacks.load_state_dict(held)
            self._begin_rates()
            while self.epoch < end and not state.should_stop:
                self._train_epoch(data, val, reward, batch, shuffle, callbacks)
            self.model.open()
            callbacks.on_train_end(state)
            self.model.take_back()
            callbacks.on_settled(state, "end")
        finally:
            self.simulation.withdraw()
            callbacks.close()
        return self.history

    def _train_epoch(
        self, data: Samples, val: Samples | None, reward: Any, batch: int, shuffle: bool, callbacks: CallbackList
    ) -> None:
        """From sample ``self._sample`` on; returns early if a callback wants to stop."""
        state, start = self._state, self._sample
        state._set(epoch=self.epoch, batch=start, metrics={}, learning_rate=self.optimizer.get_lr())
        if start == 0:
            self._sums = {}
            self._of_epoch = {s.name: [] for s in self.sites}
            for metric in self.metrics.values():
                metric.reset()
        if callbacks.on_epoch_begin(state) is STOP:
            return
        order = stream(self.seed, "shuffle", self.epoch).permutation(len(data)) if shuffle else np.arange(len(data))
        ahead = start
        for number in range(start, len(data)):
            if number == ahead:
                ahead = min(number + batch, len(data))
                chosen = order[number:ahead].tolist()
                self.chip.inject([self.encoder(data.x[k], "fit", self.epoch, k) for k in chosen])
            k = int(order[number])
            state._set(batch=number, examples=1, stepped=False, learning_rate=self.optimizer.get_lr())
            callbacks.on_batch_begin(state)
            value = self._learn(data, k, reward)
            self._sample = number + 1
            state._set(stepped=True, step=self.step)
            state.metrics["update_norm"] = self._total_norm()
            if value is not None:
                state.metrics["loss"] = value.value
            callbacks.on_batch_end(state)
            callbacks.on_settled(state, "batch")
            if state.should_stop and number + 1 < len(data):
                self.simulation.withdraw()
                return
        self._end_epoch(len(data), val, callbacks)

    def step_once(self, sample: Any, target: Any = None) -> dict[str, Any]:
        """Present one sample and learn from it (S0.R6).

        Returns ``outputs`` (:class:`~training.local_readouts.Outputs`), ``loss`` (None without one), ``total_update_norm``,
        ``weight_norm_change`` and ``update_metrics``, an UpdateMetrics for every rule.
        """
        reward = target if callable(target) else None
        data = Samples([sample], None if reward or target is None else [target], "LocalTrainer.step_once")
        self._judge(data)
        self.simulation.withdraw()
        self._begin_rates()
        self.chip.inject([self.encoder(sample, "step", self.step)])
        value = self._learn(data, 0, reward)
        change = sum(report.weight_norm_change for report in self.reports.values())
        return {
            "outputs": self._outputs,
            "loss": None if value is None else value.value,
            "total_update_norm": self._total_norm(),
            "weight_norm_change": change,
            "update_metrics": dict(self.reports),
        }

    def _total_norm(self) -> float:
        return math.hypot(*(report.update_norm for report in self.reports.values()))

    def _learn(self, data: Samples, k: int, reward: Any) -> LossValue | None:
        """One sample on the chip that learns."""
        where = f"in epoch {self.epoch}, sample {k}"
        self._set_windows()
        if self._before is None:
            now = self.simulation._engine.state()
            self._before = [s.snapshot(now) for s in self.sites]
        self.chip.begin()
        self.signals.begin(self.simulation)
        outputs = Outputs(self.readout.ids, self.chip.present(self.readout))
        if self.check_finite:
            self.signals.check(outputs, where)
        target = data.target(k)
        if reward is not None:
            self.signals.send(self.simulation, reward(outputs, data.x[k]), where)
        else:
            self.signals.modulate(self.simulation, outputs, target, where)
        self.chip.rest()
        self._outputs = outputs
        state = self.simulation._engine.state()
        for j, sites in enumerate(self.sites):
            after = sites.snapshot(state)
            if self.check_finite:
                sites.check(after, where)
            report = sites.between(self._before[j], after)
            self.reports[sites.name] = report
            self._of_epoch[sites.name].append(report)
            self._before[j] = after
        self._adapt()
        self.step += 1
        self._sums["spikes"] = self._sums.get("spikes", 0.0) + self.chip.spikes
        self._sums["samples"] = self._sums.get("samples", 0.0) + 1.0
        return self._compared(outputs, data, k, self.metrics, self._sums)

    def _compared(
        self, outputs: Outputs, data: Samples, k: int, metrics: Mapping[str, Any], sums: dict[str, float]
    ) -> LossValue | None:
        """Loss and metrics of one sample."""
        if not data.compared:
            return None
        found, y = np.asarray(outputs)[None], data.batch(k)
        value = None
        if self.loss is not None:
            run = Run(found)
            value = self.loss(run, y, model=self.model, rng=stream(self.seed, "loss", self.step))
            sums["loss"] = sums.get("loss", 0.0) + value.value
            for name, part in value.parts.items():
                sums[f"loss/{name}"] = sums.get(f"loss/{name}", 0.0) + part
        for metric in metrics.values():
            fed(metric, found, y, value)  # type: ignore[arg-type]
        return value

    def _end_epoch(self, count: int, val: Samples | None, callbacks: CallbackList) -> None:
        state = self._state
        metrics = {name: total / count for name, total in self._sums.items() if name != "samples"}
        if self.metrics and self._signature["compared"]:
            metrics |= {name: plain(metric.compute()) for name, metric in self.metrics.items()}
        self.epoch_reports = {name: summed(several) for name, several in self._of_epoch.items()}
        single = len(self.sites) == 1
        metrics["update_norm"] = math.hypot(*(r.update_norm for r in self.epoch_reports.values()))
        metrics["weight_norm"] = math.hypot(*(r.weight_norm_after for r in self.epoch_reports.values()))
        metrics["writes"] = float(sum(r.writes for r in self.epoch_reports.values()))
        asked = sum(r.asked for r in self.epoch_reports.values())
        metrics["lost"] = sum(r.lost for r in self.epoch_reports.values()) / asked if asked else 0.0
        for name, report in self.epoch_reports.items():
            metrics[f"{name}/rate"] = self._set_rates[name]
            if not single:
                metrics[f"{name}/update_norm"], metrics[f"{name}/weight_norm"] = (
                    report.update_norm,
                    report.weight_norm_after,
                )
                metrics[f"{name}/writes"], metrics[f"{name}/lost"] = float(report.writes), report.lost_share
        if val is not None:
            metrics |= {f"val_{name}": value for name, value in self._evaluated(val, self.val_metrics).items()}
        metrics["lr"] = self.optimizer.get_lr()
        self._tell()
        state._set(metrics=metrics, run=None, targets=None)
        callbacks.on_epoch_end(state)
        self.history.append({"epoch": self.epoch, **state.metrics})
        self.epoch, self._sample = self.epoch + 1, 0
        if not self.keep:
            self.simulation.forget()
        callbacks.on_settled(state, "epoch")

    def diagnose(self) -> dict[str, str]:
        """Of the last epoch: the rules that moved nothing, or nearly nothing, and why."""
        found, state = {}, self.simulation._engine.state()
        for sites in self.sites:
            total, rate = self.epoch_reports.get(sites.name), self._set_rates[sites.name]
            told = total and diagnosis(sites, total, rate, self.signals.sent, sites.ever(state))
            if told:
                found[sites.name] = told
        return found

    def _tell(self) -> None:
        for name, text in self.diagnose().items():
            if name not in self._warned:
                self._warned.add(name)
                warnings.warn(text, LearningWarning, stacklevel=5)

    # ------------------------------------------------------------------ rates and windows

    def _set_windows(self) -> None:
        start = self.chip.start
        for name, (first, last) in self.windows.items():
            self.simulation.set_rule(name, begins=start + first, ends=start + last)

    def _begin_rates(self) -> None:
        state = self.simulation._engine.state()
        for sites in self.sites:
            for each in self.rates.get(sites.name, ()):
                if isinstance(each, AdaptiveRate) and self.step == 0:
                    each.begin(math.hypot(*sites.values(state).tolist()))
        self._put_rates()

    def _adapt(self) -> None:
        for name, several in self.rates.items():
            for each in several:
                each.after(self.reports[name])
        self._put_rates()

    def _put_rates(self) -> None:
        """Give every rule the rate that its wrappers and the trainer's schedule want."""
        for sites in self.sites:
            rate = float(sites.plasticity.rate) * self.optimizer.get_lr()
            for each in self.rates.get(sites.name, ()):
                rate *= each.factor
            if rate != self._set_rates[sites.name]:
                self.simulation.set_rule(sites.name, rate=rate)
                self._set_rates[sites.name] = rate

    # ------------------------------------------------------------------ looking, without changing anything

    def evaluate(self, inputs: Any, targets: Any) -> dict[str, float]:
        """Loss and metrics on samples, and the mean number of spikes, with learning off.

        They run one after another on a copy of the chip as it is now. Weights, traces, random numbers, metrics, and what is learnt
        afterwards, stay as they were, to the bit.
        """
        return self._evaluated(self._validation((inputs, targets)), None)

    def predict(self, inputs: Any) -> np.ndarray:
        """The outputs for samples, (N, outputs), in the readout's order, with learning off as in :meth:`evaluate`."""
        data = Samples(inputs, None, "LocalTrainer.predict")
        return np.array([np.asarray(outputs) for outputs in self._shown(data)]).reshape(
            len(data), len(self.readout.ids)
        )

    def _shown(self, data: Samples) -> Any:
        chip = self.chip.frozen()
        for k in range(len(data)):
            chip.inject([self.encoder(data.x[k], "evaluate", k)])
            chip.begin()
            values = chip.present(self.readout)
            self._shown_spikes = chip.spikes_now()
            yield Outputs(self.readout.ids, values)
            chip.rest()

    def _validation(self, given: Any) -> Samples:
        if not isinstance(given, tuple) or len(given) != 2:
            raise InputError("LocalTrainer.validation: give (inputs, targets)")
        data = Samples(*given, "LocalTrainer.validation")
        self._judge(data)
        return data

    def _evaluated(self, data: Samples, fill: Mapping[str, Any] | None) -> dict[str, float]:
        metrics = {**copy.deepcopy(self.metrics), **(fill or {})}
        for metric in metrics.values():
            metric.reset()
        held = copy.deepcopy(state_of_loss(self.loss)) if self.loss is not None else None
        sums: dict[str, float] = {}
        spikes = 0.0
        for k, outputs in enumerate(self._shown(data)):
            self._compared(outputs, data, k, metrics, sums)
            spikes += self._shown_spikes
        if held is not None:
            put_state(self.loss, held)
        found = {name: total / len(data) for name, total in sums.items()}
        if data.compared:
            found |= {name: plain(metric.compute()) for name, metric in metrics.items()}
        return {**found, "spikes": spikes / len(data)}

    def _judge(self, data: Samples) -> None:
        if self.loss is not None and not data.compared:
            raise InputError("LocalTrainer.loss: there are no targets to compare with; give targets or loss=None")

    # ------------------------------------------------------------------ what comes out

    def recording(self) -> Any:
        """What the chip has recorded: spikes, writes, rule_changes (:class:`~soen_event.recording.Recording`)."""
        return self.simulation.recording()

    def deploy(self) -> Network:
        """A copy of the network with what was learnt: weights, flux offsets, couplings. For the engines, and for other chips.

        Raises InputError: a tiled network, whose parts have no values of their own.
        """
        from training.local_places import with_learnt

        return with_learnt(self.simulation)

    # ------------------------------------------------------------------ checkpoints

    def save(self, path: str | os.PathLike[str], *, durable: bool = True) -> Path:
        """Write all that a run needs to go on, the chip in the middle of learning with it, to one file in one step.

        Between two samples only: from a callback's ``on_settled``, or when no run is going.
        """
        return checkpoint.save(path, self.state_dict(), durable=durable)

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`save` writes, as a tree of plain data and arrays."""
        return local_states.state_of(self)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take the chip, rates, metrics and position from a checkpoint; a following :meth:`fit` begins a run of its own there.

        Raises InputError: the file is no checkpoint of a LocalTrainer, or of other rules.
        """
        held = local_states.restore(self, checkpoint.load(path), str(path), same_run=False)
        self._sample = 0
        self.callbacks.load_state_dict(held)

    def _with_progress(self) -> CallbackList:
        if self.progress is False or (self.progress is None and not sys.stderr.isatty()):
            return self.callbacks
        from training.loggers import ProgressBar

        if any(isinstance(each, ProgressBar) for each in self.callbacks):
            return self.callbacks
        return CallbackList([*self.callbacks, ProgressBar()])


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
