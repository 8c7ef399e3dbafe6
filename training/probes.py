"""Callbacks that look: at metrics, parameters, states, outputs, gradients, and at where the time goes."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from soen_event.errors import InputError, nearest
from training.arguments import Faults, matching
from training.checkpoint import replace_bytes
from training.hooks import Callback, TrainingState
from training.registry import register

__all__ = [
    "ConnectionParameterProbe",
    "GradientStatistics",
    "MetricsTracker",
    "OutputStateStats",
    "Profiler",
    "StateTrajectoryLogger",
]


@register("callback", "metrics_tracker", "MetricsTracker")
class MetricsTracker(Callback):
    """Keeps the metrics of every epoch, by name (S0.C10).

    ``values``: name -> one value an epoch, nan where there was none. :meth:`best` and :meth:`array` read it.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.values: dict[str, list[float]] = {}
        self.epochs: list[int] = []

    def on_epoch_end(self, state: TrainingState) -> None:
        """Keep them."""
        for name, value in state.metrics.items():
            if isinstance(value, int | float):
                self.values.setdefault(name, [math.nan] * len(self.epochs)).append(float(value))
        self.epochs.append(state.epoch)
        for each in self.values.values():
            each += [math.nan] * (len(self.epochs) - len(each))

    def array(self, name: str) -> np.ndarray:
        """One metric over epochs, (epochs,)."""
        if name not in self.values:
            raise InputError(
                f"MetricsTracker: {name!r} was not seen{nearest(name, self.values)}; seen: {sorted(self.values)}"
            )
        return np.array(self.values[name])

    def best(self, name: str, mode: str = "min") -> tuple[int, float]:
        """Epoch and value of the best; the earliest of equals."""
        if mode not in ("min", "max"):
            raise InputError(f"MetricsTracker.best.mode: {mode!r} is unknown; give 'min' or 'max'")
        values = self.array(name)
        if np.isnan(values).all():
            raise InputError(f"MetricsTracker.best: {name!r} was never a number")
        k = int(np.nanargmin(values) if mode == "min" else np.nanargmax(values))
        return self.epochs[k], float(values[k])

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {"values": {name: list(each) for name, each in self.values.items()}, "epochs": list(self.epochs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.values = {name: list(each) for name, each in state["values"].items()}
        self.epochs = list(state["epochs"])


@register("callback", "parameter_probe", "ConnectionParameterProbe")
class ConnectionParameterProbe(Callback):
    """Mean, spread, ends and largest magnitude of parameters after every few epochs (S0.C10).

    They are logged as ``J/mean``, ``J/std``, ``J/min``, ``J/max``; with ``keep`` the arrays themselves are kept in ``arrays[name]``, one
    an entry of ``epochs``.

    Args:
        connections: names of parameters, or patterns; None: all.
        every_epochs: 1 or more.
        keep: keep the arrays.
    """

    def __init__(self, connections: Any = None, every_epochs: int = 1, keep: bool = False):
        faults = Faults("ConnectionParameterProbe")
        self.every = faults.whole("every_epochs", every_epochs, least=1)
        self.keep = faults.flag("keep", keep)
        faults.done()
        self.connections = connections
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.epochs: list[int] = []
        self.arrays: dict[str, list[np.ndarray]] = {}

    def on_epoch_end(self, state: TrainingState) -> None:
        """Look."""
        if (state.epoch + 1) % self.every:
            return
        parameters = state.model.parameters()
        names = (
            list(parameters)
            if self.connections is None
            else matching(self.connections, parameters, "ConnectionParameterProbe")
        )
        self.epochs.append(state.epoch)
        for name in names:
            array = parameters[name]
            for what in ("mean", "std", "min", "max"):
                state.metrics[f"{name}/{what}"] = float(getattr(array, what)()) if array.size else math.nan
            if self.keep:
                self.arrays.setdefault(name, []).append(array.copy())

    def state_dict(self) -> dict[str, Any]:
        """What was kept."""
        return {"epochs": list(self.epochs), "arrays": {name: list(each) for name, each in self.arrays.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.epochs = list(state["epochs"])
        self.arrays = {name: list(each) for name, each in state["arrays"].items()}


@register("callback", "state_trajectory", "StateTrajectoryLogger")
class StateTrajectoryLogger(Callback):
    """Keeps the states of some examples of the first batch of every few epochs (S0.C10).

    ``trajectories``: epoch -> (samples, T + 1, n). With a folder each is also written there, as ``states-<epoch>.npz`` with
    ``states`` and ``targets``.

    Args:
        every_epochs: 1 or more.
        samples: examples, from the first of the batch on.
        folder: where files go, or None.
    """

    reads = ("states",)

    def __init__(self, every_epochs: int = 1, samples: int = 1, folder: str | os.PathLike[str] | None = None):
        faults = Faults("StateTrajectoryLogger")
        self.every = faults.whole("every_epochs", every_epochs, least=1)
        self.samples = faults.whole("samples", samples, least=1)
        faults.done()
        self.folder = None if folder is None else Path(folder)
        self.trajectories: dict[int, np.ndarray] = {}

    def reset(self) -> None:
        """Begin anew."""
        self.trajectories = {}

    def on_batch_end(self, state: TrainingState) -> None:
        """Look."""
        if state.batch or state.epoch % self.every:
            return
        if state.run.states is None:
            raise InputError("StateTrajectoryLogger: the model's runs have no states; take another model")
        kept = np.array(state.run.states[: self.samples])
        self.trajectories[state.epoch] = kept
        if self.folder is not None:
            image = io.BytesIO()
            np.savez_compressed(image, states=kept, targets=np.asarray(state.targets)[: self.samples])
            replace_bytes(self.folder / f"states-{state.epoch:04d}.npz", image.getvalue(), durable=False)


@register("callback", "output_stats", "OutputStateStats")
class OutputStateStats(Callback):
    """Mean, spread and ends of the outputs over an epoch of training, logged as ``outputs/mean`` and so on (S0.C10).

    ``outputs/silent`` is the share of outputs whose magnitude is below ``silent``.

    Args:
        silent: 0 or above.
    """

    def __init__(self, silent: float = 0.01):
        faults = Faults("OutputStateStats")
        self.silent = faults.number("silent", silent, least=0.0)
        faults.done()
        self._sums = np.zeros(4)
        self._ends = [math.inf, -math.inf]

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Begin anew."""
        if state.batch == 0:
            self._sums[:] = 0.0
            self._ends = [math.inf, -math.inf]

    def on_batch_end(self, state: TrainingState) -> None:
        """Count a batch."""
        out = np.asarray(state.run.outputs, dtype=np.float64)
        quiet = np.count_nonzero(np.abs(out) < self.silent)
        self._sums += np.array([out.size, out.sum(), np.square(out).sum(), quiet], dtype=np.float64)
        self._ends = [min(self._ends[0], float(out.min())), max(self._ends[1], float(out.max()))]

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell."""
        count, total, squares, silent = self._sums.tolist()
        mean = total / count
        found = {"mean": mean, "std": math.sqrt(max(squares / count - mean * mean, 0.0)), "silent": silent / count}
        found |= {"min": self._ends[0], "max": self._ends[1]}
        state.metrics.update({f"outputs/{name}": value for name, value in found.items()})

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {"sums": self._sums, "ends": list(self._ends)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self._sums, self._ends = np.array(state["sums"]), list(state["ends"])


@register("callback", "gradient_statistics", "GradientStatistics")
class GradientStatistics(Callback):
    """Norms of the gradients before clipping, and whether they are healthy (S0.C10, features.md 2.3).

    Logged for an epoch: ``grad/norm`` (mean over updates of the norm of all), ``grad/max`` (the largest of these),
    ``grad/<parameter>`` (mean of each), ``grad/healthy`` (share of updates). Healthy: every gradient is finite, the norm is not above
    ``exploding`` and not below ``vanishing``.

    Args:
        exploding: above 0.
        vanishing: 0 or above.
    """

    def __init__(self, exploding: float = 1e3, vanishing: float = 1e-9):
        faults = Faults("GradientStatistics")
        self.exploding = faults.number("exploding", exploding, above=0.0)
        self.vanishing = faults.number("vanishing", vanishing, least=0.0)
        faults.done()
        self._start()

    def _start(self) -> None:
        self._sums: dict[str, float] = {}
        self._updates, self._healthy, self._largest = 0, 0, 0.0

    def is_healthy(self, gradients: Mapping[str, np.ndarray]) -> bool:
        """Whether these gradients are."""
        total = _norms(gradients)[1]
        return math.isfinite(total) and self.vanishing <= total <= self.exploding

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Begin anew."""
        if state.batch == 0:
            self._start()

    def on_gradients(self, gradients: Mapping[str, np.ndarray], state: TrainingState) -> None:
        """Count an update."""
        norms, total = _norms(gradients)
        for name, norm in (("norm", total), *norms.items()):
            self._sums[name] = self._sums.get(name, 0.0) + norm
        self._updates += 1
        self._healthy += math.isfinite(total) and self.vanishing <= total <= self.exploding
        self._largest = max(self._largest, total)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell."""
        if self._updates:
            told = {f"grad/{name}": total / self._updates for name, total in self._sums.items()}
            state.metrics.update(told, **{"grad/max": self._largest, "grad/healthy": self._healthy / self._updates})

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {"sums": dict(self._sums), "counts": [self._updates, self._healthy], "largest": self._largest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self._sums, self._largest = dict(state["sums"]), state["largest"]
        self._updates, self._healthy = state["counts"]


@register("callback", "profiler", "Profiler")
class Profiler(Callback):
    """Where the time of an epoch goes (S2.33): ``time/<phase>`` in seconds, and ``examples_per_second``.

    Phases: data, forward, loss, backward, update, callbacks, validation. ``totals`` sums them over the run; :meth:`report` is a table.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.totals: dict[str, float] = {}
        self.examples = 0.0

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell the epoch."""
        spent = dict(state.trainer.timings)
        for name, seconds in spent.items():
            self.totals[name] = self.totals.get(name, 0.0) + seconds
            state.metrics[f"time/{name}"] = seconds
        training = math.fsum(seconds for name, seconds in spent.items() if name != "validation")
        state.metrics["examples_per_second"] = state.trainer.examples_seen / training if training > 0 else math.nan

    def report(self) -> str:
        """Seconds and share of every phase, the longest first."""
        whole = math.fsum(self.totals.values()) or 1.0
        rows = sorted(self.totals.items(), key=lambda each: -each[1])
        return "\n".join(f"{name:12}{seconds:10.3f} s{100 * seconds / whole:7.1f} %" for name, seconds in rows)

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {"totals": dict(self.totals)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.totals = dict(state["totals"])


def _norms(gradients: Mapping[str, np.ndarray]) -> tuple[dict[str, float], float]:
    """The norm of each and of all."""
    norms = {name: float(np.linalg.norm(array)) for name, array in gradients.items()}
    return norms, math.sqrt(sum(norm * norm for norm in norms.values()))
