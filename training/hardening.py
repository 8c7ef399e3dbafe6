"""Callbacks that train for hardware: weights on levels, weights with noise, noise that grows.

What a device does to the weights is done to the ones that the forward and backward pass see; the update moves the exact ones
underneath (straight-through, features.md 3.7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hardware.quantize import Levels
from soen_event.errors import InputError, nearest
from soen_event.physics.random import part_key
from training.address import checked_seed, stream
from training.arguments import Faults, matching
from training.batching import as_batches
from training.curriculum import Span, along
from training.hooks import Callback, TrainingState
from training.registry import register

__all__ = ["ConnectionNoise", "NoiseAnnealing", "QATStraightThrough", "QuantizedAccuracy", "levels_of"]

Names = str | Iterable[str] | None
_SHARES = ("weights", "J", "tau", "threshold")  # what a twin perturbs by a share
_SCHEMES: dict[str, Any] = {
    "pow2": Levels.bits,
    "pow2+1": Levels.bits_with_zero,
    "pow2_zero": Levels.bits_around_zero,
}


def levels_of(
    place: str,
    min_val: float | None,
    max_val: float | None,
    bits: int | None,
    levels: int | Iterable[float] | Levels | None,
    scheme: str = "pow2",
) -> Levels:
    """The levels that the options of a callback mean.

    Args:
        place: begins messages.
        min_val, max_val: first and last level, for ``bits`` and a number of levels.
        bits: with ``scheme`` "pow2" 2^bits levels, with "pow2+1" one more, so that one of a symmetric range is 0, with "pow2_zero"
            2^bits of which one is 0, so that the steps below and above it differ.
        levels: how many, or their values, or :class:`hardware.quantize.Levels`. Exactly one of ``bits`` and ``levels`` is given.
        scheme: never guessed: a 4-bit weight has 16 levels unless 17 are asked for.

    Raises:
        InputError: both or neither are given, or one is out of its range.
    """
    faults = Faults(place)
    if (bits is None) == (levels is None):
        faults.add("bits", "give either bits or levels")
    faults.choice("scheme", scheme, tuple(_SCHEMES))
    counted = bits is not None or (isinstance(levels, int | np.integer) and not isinstance(levels, bool))
    if counted:
        for name, value in (("min_val", min_val), ("max_val", max_val)):
            faults.number(name, value)
    faults.done()
    if isinstance(levels, Levels):
        return levels
    if bits is not None:
        return _SCHEMES[scheme](bits, min_val, max_val)
    if counted:
        count = faults.whole("levels", levels, least=2, most=65537)
        faults.done()
        if not float(min_val or 0.0) < float(max_val or 0.0):
            raise InputError(f"{place}.min_val: {min_val} is not below max_val = {max_val}; correct them")
        return Levels.codebook(np.linspace(float(min_val or 0.0), float(max_val or 0.0), count).tolist())
    return Levels.codebook(levels)  # type: ignore[arg-type]


@register("callback", "qat", "QATStraightThrough", "QATStraightThroughCallback")
class QATStraightThrough(Callback):
    """Forward and backward see weights on their levels; the gradient moves the exact weights unchanged (S0.C3).

    Args:
        min_val, max_val, bits, levels, scheme: see :func:`levels_of`.
        connections: names of parameters, or patterns such as "J*"; None: all.
        update_on_train_epoch_start: also put the exact weights on their levels when an epoch begins.
        stochastic_rounding: to one of the two neighbours, right on average; drawn anew for every batch.
        seed: of the rounding; None: that of the run.
    """

    def __init__(
        self,
        min_val: float | None = None,
        max_val: float | None = None,
        bits: int | None = None,
        levels: Any = None,
        connections: Names = None,
        update_on_train_epoch_start: bool = False,
        stochastic_rounding: bool = False,
        scheme: str = "pow2",
        seed: int | None = None,
    ):
        self.levels = levels_of("QATStraightThrough", min_val, max_val, bits, levels, scheme)
        self.connections, self.project = connections, update_on_train_epoch_start
        self.stochastic = stochastic_rounding
        self.seed = None if seed is None else checked_seed(seed, "QATStraightThrough.seed")
        self._keys: dict[str, np.ndarray] = {}

    def on_train_begin(self, state: TrainingState) -> None:
        """See that the parameters are there."""
        _chosen(self.connections, state.model.parameters(), "QATStraightThrough")

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Put the weights themselves on their levels, if wanted."""
        if self.project and state.batch == 0:
            self._snap(state.model.parameters(), state, 2 * state.epoch + 1)

    def on_weights(self, parameters: dict[str, np.ndarray], state: TrainingState, rng: np.random.Generator) -> None:
        """Put the weights of this pass on their levels."""
        self._snap(parameters, state, 2 * int(rng.integers(2**40)) if self.stochastic else 0)

    def _snap(self, parameters: Mapping[str, np.ndarray], state: TrainingState, ordinal: int) -> None:
        seed = state.seed if self.seed is None else self.seed
        for name in _chosen(self.connections, parameters, "QATStraightThrough"):
            array = parameters[name]
            if not self.stochastic:
                array[...] = self.levels.round(array)
                continue
            if name not in self._keys:
                self._keys[name] = (part_key(f"rounding {name}") + np.arange(array.size, dtype=np.int64)) % 2**48
            array[...] = self.levels.round_stochastically(array, seed, self._keys[name], ordinal=ordinal)


@register("callback", "quantized_accuracy", "QuantizedAccuracy", "QuantizedAccuracyCallback")
class QuantizedAccuracy(Callback):
    """The accuracy with weights on their levels, as ``quantized_accuracy`` (S0.C4). The weights are put back to the bit.

    Args:
        min_val, max_val, bits, levels, scheme: see :func:`levels_of`.
        data: labelled examples; None: the validation data of the run.
        eval_every_n_steps: after so many updates; None: after every epoch.
        max_eval_batches: look at no more than this many.
        connections: names of parameters, or patterns; None: all.
    """

    def __init__(
        self,
        min_val: float | None = None,
        max_val: float | None = None,
        bits: int | None = None,
        levels: Any = None,
        data: Any = None,
        eval_every_n_steps: int | None = None,
        max_eval_batches: int | None = None,
        connections: Names = None,
        scheme: str = "pow2",
    ):
        self.levels = levels_of("QuantizedAccuracy", min_val, max_val, bits, levels, scheme)
        faults = Faults("QuantizedAccuracy")
        for name, value in (("eval_every_n_steps", eval_every_n_steps), ("max_eval_batches", max_eval_batches)):
            if value is not None:
                faults.whole(name, value, least=1)
        faults.done()
        self.data, self.every, self.most, self.connections = data, eval_every_n_steps, max_eval_batches, connections
        self.value: float | None = None

    def on_train_begin(self, state: TrainingState) -> None:
        """See that there is something to look at."""
        if self.data is None and getattr(state.trainer, "val_data", None) is None:
            raise InputError("QuantizedAccuracy.data: missing, and the run has no validation data; give one of them")
        _chosen(self.connections, state.model.parameters(), "QuantizedAccuracy")

    def on_batch_end(self, state: TrainingState) -> None:
        """Measure, if it is due."""
        if self.every is not None and state.stepped and state.step % self.every == 0:
            self.value = state.metrics["quantized_accuracy"] = self.measure(state)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Measure, or tell the last measurement."""
        if self.every is None or self.value is None:
            self.value = self.measure(state)
        state.metrics["quantized_accuracy"] = self.value

    def measure(self, state: TrainingState) -> float:
        """The accuracy with weights on their levels."""
        parameters = state.model.parameters()
        names = _chosen(self.connections, parameters, "QuantizedAccuracy")
        exact = {name: parameters[name].copy() for name in names}
        data = self.data if self.data is not None else state.trainer.val_data
        right = count = 0
        try:
            for name in names:
                parameters[name][...] = self.levels.round(parameters[name])
            for k, (x, y) in enumerate(as_batches(data, 256, 0, shuffle=False).batches(0, 0)):
                if k == self.most:
                    break
                shaped = state.trainer.shaped(x, y) if state.trainer is not None else (x, y)
                guess = state.model.forward(shaped[0], rng=stream(state.seed, "quantized", k)).outputs.argmax(axis=-1)
                right, count = right + int((guess == shaped[1]).sum()), count + guess.size
        finally:
            for name in names:
                np.copyto(parameters[name], exact[name])
        return right / count

    def state_dict(self) -> dict[str, Any]:
        """The last measurement."""
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.value = state["value"]


@register("callback", "connection_noise", "ConnectionNoise", "ConnectionNoiseCallback")
class ConnectionNoise(Callback):
    """Gaussian noise on the weights of every forward and backward pass in training (S0.C6).

    Args:
        std: of the noise, 0 or above.
        connections: names of parameters, or patterns; None: all.
        relative: ``std`` is a share of each weight's magnitude.
        per_step: new noise for every batch; otherwise for every epoch.
        seed: of the noise; None: that of the run.
    """

    def __init__(
        self,
        std: float,
        connections: Names = None,
        relative: bool = False,
        per_step: bool = True,
        seed: int | None = None,
    ):
        faults = Faults("ConnectionNoise")
        self.std = faults.number("std", std, least=0.0)
        self.relative = faults.flag("relative", relative)
        self.per_step = faults.flag("per_step", per_step)
        faults.done()
        self.connections = connections
        self.seed = None if seed is None else checked_seed(seed, "ConnectionNoise.seed")

    def on_train_begin(self, state: TrainingState) -> None:
        """See that the parameters are there."""
        _chosen(self.connections, state.model.parameters(), "ConnectionNoise")

    def on_weights(self, parameters: dict[str, np.ndarray], state: TrainingState, rng: np.random.Generator) -> None:
        """Add the noise."""
        seed = state.seed if self.seed is None else self.seed
        place = (state.epoch, state.batch) if self.per_step else (state.epoch,)
        for name in _chosen(self.connections, parameters, "ConnectionNoise"):
            array = parameters[name]
            noise = self.std * stream(seed, "connection noise", name, *place).standard_normal(array.shape)
            array += noise * np.abs(array) if self.relative else noise


@register("callback", "noise_annealing", "NoiseAnnealing", "NoiseAnnealingCallback")
class NoiseAnnealing(Span):
    """Let the size of a model's noise go from one value to another, in a straight line over epochs (S0.C5).

    Args:
        key: which noise, a key of ``model.noise`` (drawn every step) or ``model.perturb`` (drawn every run).
        target: ``noise`` or ``perturb``.
        start_value, end_value: 0 or above.
        start_epoch, end_epoch: where the line begins and ends; None: the last epoch.
        per_step: move with every batch; otherwise with every epoch.
        relative: values are shares of the mean magnitude of what the noise is added to: the parameter ``key`` (of flux: ``phi_offset``).
            Not for what the twin perturbs in shares already: weights, J, tau, threshold.
        percent_of_param: name of a parameter: values are percents of its mean magnitude.
    """

    def __init__(
        self,
        key: str,
        target: str = "noise",
        start_value: float = 0.0,
        end_value: float = 0.1,
        start_epoch: int = 0,
        end_epoch: int | None = None,
        per_step: bool = True,
        relative: bool = False,
        percent_of_param: str | None = None,
    ):
        faults = Faults("NoiseAnnealing")
        self.key, self.target = key, faults.choice("target", target, ("noise", "perturb"))
        self.start_value = faults.number("start_value", start_value, least=0.0)
        self.end_value = faults.number("end_value", end_value, least=0.0)
        self._take(faults, start_epoch, end_epoch, per_step)
        if faults.flag("relative", relative) and percent_of_param is not None:
            faults.add("relative", f"and percents of {percent_of_param!r} are two units; leave one out")
        if relative and target == "perturb" and key in _SHARES:
            faults.add("relative", f"perturb[{key!r}] is a share already; leave relative out")
        faults.done()
        self.unit = percent_of_param if not relative else {"phi": "phi_offset"}.get(key, key)
        """Name of the parameter in whose mean magnitude values are told, or None."""
        self.scale = 1.0 if relative else 0.01

    def on_train_begin(self, state: TrainingState) -> None:
        """See that the model has this noise."""
        sizes = getattr(state.model, self.target, None)
        if not isinstance(sizes, Mapping):
            kind = type(state.model).__name__
            raise InputError(
                f"NoiseAnnealing.target: {kind} has no {self.target}, a dict of sizes by name; take another model"
            )
        known = _kinds(state.model, self.target) or sizes
        if self.key not in known:
            raise InputError(
                f"NoiseAnnealing.key: {self.key!r} is no {self.target}{nearest(self.key, known)}; there are {sorted(known)}"
            )
        if self.unit is not None:
            _chosen(self.unit, _values(state.model), "NoiseAnnealing.percent_of_param")

    def on_epoch_begin(self, state: TrainingState) -> None:
        """Set the size of the epoch."""
        self._set(state, False)

    def on_batch_begin(self, state: TrainingState) -> None:
        """Set the size of the batch."""
        if self.per_step:
            self._set(state, True)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell the size."""
        state.metrics[f"{self.target}/{self.key}"] = float(getattr(state.model, self.target)[self.key])

    def _set(self, state: TrainingState, per_step: bool) -> None:
        p = along(state, self.start_epoch, self.end_epoch, per_step)
        value = self.start_value + (self.end_value - self.start_value) * p
        if self.unit is not None:
            value *= self.scale * float(np.abs(_values(state.model)[self.unit]).mean())
        getattr(state.model, self.target)[self.key] = value


def _kinds(model: Any, target: str) -> tuple[str, ...]:
    """Names of the noise that a twin can have, whatever it has now; none of another model."""
    from training.twin import NAMES, NOISY, Twin

    if not isinstance(model, Twin):
        return ()
    return NOISY if target == "noise" else tuple(name for name in NAMES if name != "delay")


def _values(model: Any) -> Mapping[str, np.ndarray]:
    """Parameters of a model; of a twin also those that are not trained."""
    network = getattr(model, "network", None)
    return {**(network.parameters() if network is not None else {}), **model.parameters()}


def _chosen(names: Names, parameters: Mapping[str, np.ndarray], place: str) -> list[str]:
    return list(parameters) if names is None else matching(names, parameters, f"{place}.connections")
