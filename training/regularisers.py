"""Losses without targets: of currents and spikes, of weights, and of the model run once more. Definitions: features.md S0.L7-S0.L16.

Those of a run look at ``of`` = "states" (every loop after every step; the start does not count), "outputs" or "spikes", and at
``loops`` = the indices of the last axis that count, all by default. Those of weights look at ``parameters``, a shell pattern or several;
by default couplings J (reg_J), or these and weights (gravity).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.quantize import Levels
from soen_event.errors import InputError
from training.arguments import Faults, matching
from training.model import LossValue, Run
from training.objective import Bounded
from training.registry import register

__all__ = [
    "AverageStateMagnitude",
    "BranchingLoss",
    "EnsurePostSampleDecay",
    "ExpHighStatePenalty",
    "FinalTimestepZeroMSE",
    "GetOffTheGround",
    "GravityQuantization",
    "LocalExpansion",
    "RegJ",
    "SpikeCountPenalty",
]

Array = NDArray[Any]


# --------------------------------------------------------------------------------------------- currents and spikes


@dataclass(frozen=True)
class _OfRun(Bounded):
    """A term of chosen currents, outputs or spikes."""

    of: str = field(default="states", kw_only=True)
    loops: Sequence[int] | None = field(default=None, kw_only=True)

    def _judge(self, faults: Faults) -> None:
        faults.choice("of", self.of, ("states", "outputs", "spikes"))
        if self.loops is not None:
            for loop in self.loops if isinstance(self.loops, Sequence) else [self.loops]:
                faults.whole("loops", loop)

    def _term(self, x: Array) -> tuple[float, Array]:
        raise NotImplementedError

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Value, and gradient by what is looked at."""
        array = getattr(run, self.of)
        if array is None or np.asarray(array).size == 0:
            raise InputError(f"{self.name}.of: the run has no {self.of}; let the model keep them, or look at others")
        array = np.asarray(array)
        array = array if array.dtype.kind == "f" else array.astype(np.float64)
        gradient = np.zeros_like(array)
        chosen = array[:, 1:] if self.of == "states" else array
        back = gradient[:, 1:] if self.of == "states" else gradient
        if self.loops is None:
            value, back[...] = self._term(chosen)
        else:
            columns = list(self.loops)
            if not columns or max(columns) >= array.shape[-1]:
                raise InputError(
                    f"{self.name}.loops: {columns} do not fit {array.shape[-1]} of them; give indices below"
                )
            value, back[..., columns] = self._term(chosen[..., columns])
        found = LossValue(float(value))
        setattr(found, self.of, gradient)
        return found


@register("loss", "exp_high_state_penalty")
@dataclass(frozen=True)
class ExpHighStatePenalty(_OfRun):
    """factor mean(exp(scale relu(|s| - threshold)) - 1) (S0.L8)."""

    threshold: float = 1.0
    scale: float = 1.0
    factor: float = 1.0
    name = "exp_high_state_penalty"
    positive = ("scale",)
    nonnegative = ("threshold", "factor")

    def _term(self, x: Array) -> tuple[float, Array]:
        over = np.abs(x) - self.threshold
        grown = np.expm1(self.scale * np.maximum(over, 0.0))
        slope = np.where(over > 0.0, self.factor * self.scale / x.size * (grown + 1.0) * np.sign(x), 0.0)
        return self.factor * float(np.mean(grown)), slope


@register("loss", "get_off_the_ground_loss")
@dataclass(frozen=True)
class GetOffTheGround(_OfRun):
    """What is dead costs: ``max_penalty_offset`` at s = 0, on a line to ``min_penalty_offset`` at threshold, 0 above; mean (S0.L9).

    It jumps at the threshold. At s = 0 the slope is that of a rising current, so that what is dead is pushed up.
    """

    threshold: float = 0.01
    min_penalty_offset: float = 0.5
    max_penalty_offset: float = 10.0
    factor: float = 1.0
    name = "get_off_the_ground_loss"
    positive = ("threshold",)
    nonnegative = ("min_penalty_offset", "max_penalty_offset", "factor")

    def _judge(self, faults: Faults) -> None:
        super()._judge(faults)
        if not faults.found and self.min_penalty_offset > self.max_penalty_offset:
            faults.add("min_penalty_offset", f"{self.min_penalty_offset:g} is above max_penalty_offset; lower it")

    def _term(self, x: Array) -> tuple[float, Array]:
        size, low = np.abs(x), np.abs(x) <= self.threshold
        rise = (self.min_penalty_offset - self.max_penalty_offset) / self.threshold
        cost = np.where(low, self.max_penalty_offset + rise * size, np.where(np.isnan(x), np.nan, 0.0))
        slope = np.where(low, self.factor * rise / x.size * np.where(x < 0.0, -1.0, 1.0), 0.0)
        return self.factor * float(np.mean(cost)), slope


@register("loss", "final_timestep_zero_mse")
@dataclass(frozen=True)
class FinalTimestepZeroMSE(_OfRun):
    """mean of s(T)^2 (S0.L11)."""

    name = "final_timestep_zero_mse"

    def _term(self, x: Array) -> tuple[float, Array]:
        slope = np.zeros_like(x)
        last = x[:, -1] if x.ndim == 3 else x
        (slope[:, -1] if x.ndim == 3 else slope)[...] = 2.0 / last.size * last
        return float(np.mean(last**2)), slope


@register("loss", "average_state_magnitude_loss")
@dataclass(frozen=True)
class AverageStateMagnitude(_OfRun):
    """(mean |s| - target)^2, or the absolute difference (S0.L16); the mean is over the whole batch."""

    target_magnitude: float = 0.5
    loss_type: str = "mse"
    name = "average_state_magnitude_loss"
    nonnegative = ("target_magnitude",)

    def _judge(self, faults: Faults) -> None:
        super()._judge(faults)
        faults.choice("loss_type", self.loss_type, ("mse", "abs"))

    def entangled(self, targets: Any = None) -> str | None:
        """The mean comes first, the distance then."""
        return "it is the distance of the batch's mean from a target, not the mean of distances"

    def _term(self, x: Array) -> tuple[float, Array]:
        error = float(np.mean(np.abs(x))) - self.target_magnitude
        value, slope = (error**2, 2.0 * error) if self.loss_type == "mse" else (abs(error), float(np.sign(error)))
        return value, slope / x.size * np.sign(x)


@register("loss", "branching_loss")
@dataclass(frozen=True)
class BranchingLoss(_OfRun):
    """factor mean (log sigma - log target)^2 of the branching ratio sigma = A(t + 1) / A(t), A = sum |s| (S0.L14).

    The mean is over examples and steps; steps of no activity do not count, and nothing at all costs 0 (add S0.L9).
    ``use_log_domain=False``: (sigma - target)^2. The ratio is held within ``clamp_min`` and ``clamp_max``: no gradient beyond.
    """

    target_sigma: float = 1.0
    factor: float = 1.0
    use_log_domain: bool = True
    clamp_min: float = 0.1
    clamp_max: float = 10.0
    name = "branching_loss"
    positive = ("target_sigma", "clamp_min", "clamp_max")
    nonnegative = ("factor",)

    def _judge(self, faults: Faults) -> None:
        super()._judge(faults)
        faults.flag("use_log_domain", self.use_log_domain)
        if not faults.found and self.clamp_min >= self.clamp_max:
            faults.add("clamp_min", f"{self.clamp_min:g} is not below clamp_max = {self.clamp_max:g}; lower it")

    def entangled(self, targets: Any = None) -> str | None:
        """Silent steps do not count."""
        return "its mean is over the steps with activity, which are not as many in every sample"

    def _term(self, x: Array) -> tuple[float, Array]:
        if x.ndim != 3 or x.shape[1] < 2:
            raise InputError(f"{self.name}.of: {self.of} {x.shape} have no two steps; look at what changes in time")
        activity = np.abs(x).sum(axis=2)
        value, slope = _of_ratios(activity, self.target_sigma, self.use_log_domain, self.clamp_min, self.clamp_max)
        return self.factor * value, self.factor * slope[..., None] * np.sign(x)


def _of_ratios(size: Array, target: float, log: bool, low: float, high: float) -> tuple[float, Array]:
    """Mean squared distance of size(t + 1) / size(t) from a target, and its gradient by size (..., T)."""
    before, after, slope = size[:, :-1], size[:, 1:], np.zeros_like(size)
    counts = ~(before <= 1e-12)
    if not np.any(counts):
        return 0.0, slope
    ratio = after[counts] / before[counts]
    held = np.clip(ratio, low, high)
    error = np.log(held / target) if log else held - target
    by_ratio = np.where(held == ratio, 2.0 / len(ratio) * (error / held if log else error), 0.0)
    slope[:, 1:][counts] += by_ratio / before[counts]
    slope[:, :-1][counts] -= by_ratio * ratio / before[counts]
    return float(np.mean(error**2)), slope


@register("loss", "spike_count_penalty")
@dataclass(frozen=True)
class SpikeCountPenalty(_OfRun):
    """mean over neurons of relu(n - upper)^2 + relu(lower - n)^2, n = spikes of an example in the batch's mean (features.md 2.4)."""

    lower: float = 0.0
    upper: float = 14.0
    factor: float = 1.0
    of: str = field(default="spikes", kw_only=True)
    name = "spike_count_penalty"
    nonnegative = ("lower", "upper", "factor")

    def entangled(self, targets: Any = None) -> str | None:
        """The mean comes first, the distance then."""
        return "it compares the batch's mean number of spikes with its bounds, not that of every sample"

    def _term(self, x: Array) -> tuple[float, Array]:
        count = x.reshape(len(x), -1, x.shape[-1]).sum(axis=1).mean(axis=0)
        over, under = np.maximum(count - self.upper, 0.0), np.maximum(self.lower - count, 0.0)
        slope = self.factor * 2.0 * (over - under) / (len(count) * len(x))
        return self.factor * float(np.mean(over**2 + under**2)), np.broadcast_to(slope, x.shape)


# --------------------------------------------------------------------------------------------- weights


def _chosen(loss: Any, model: Any, usual: tuple[str, ...]) -> dict[str, Array]:
    """The parameters that a loss looks at; ``usual``: beginnings of names, if it does not say."""
    if model is None:
        raise InputError(f"{loss.name}.model: there is none; call the loss with the model whose weights it looks at")
    parameters = model.parameters()
    if loss.parameters is None:
        patterns = [f"{p}*" for p in usual if any(name.startswith(p) for name in parameters)]
        if not patterns:
            known = ", ".join(parameters) or "none"
            raise InputError(f"{loss.name}.parameters: none begins with {' or '.join(usual)}; name some of {known}")
    else:
        patterns = [loss.parameters] if isinstance(loss.parameters, str) else list(loss.parameters)
    return {name: parameters[name] for name in matching(patterns, parameters, f"{loss.name}.parameters")}


@register("loss", "reg_J", "reg_J_loss")
@dataclass(frozen=True)
class RegJ(Bounded):
    """factor sum over |w| > threshold of (exp(scale (|w| - threshold)) - 1) (S0.L7). (0.3, -0.5, 0.1): 0.00358767.

    0.24 is the largest coupling that the hardware of features.md can make.
    """

    threshold: float = 0.24
    scale: float = 1.0
    factor: float = 0.01
    parameters: str | Sequence[str] | None = None
    name = "reg_J"
    positive = ("scale",)
    nonnegative = ("threshold", "factor")

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Sum, and gradients by parameter."""
        found = LossValue(0.0)
        for name, weights in _chosen(self, model, ("J",)).items():
            over = np.abs(weights) - self.threshold
            grown = np.expm1(self.scale * np.maximum(over, 0.0))
            found.value += self.factor * float(np.sum(grown))
            slope = np.where(over > 0.0, self.factor * self.scale * (grown + 1.0) * np.sign(weights), 0.0)
            found.parameters[name] = slope.astype(weights.dtype, copy=False)
        return found


@register("loss", "gravity_quantization_loss")
@dataclass(frozen=True)
class GravityQuantization(Bounded):
    """mean over weights of the distance to the nearest level, or of its square (S0.L13).

    Args:
        levels: a :class:`hardware.quantize.Levels`. Or
        codebook: the levels' values. Or
        min, max: ends of evenly spaced levels, with
        num_levels: how many, 2 or more, or
        bits: 2^bits levels; with scheme="pow2+1" 2^bits + 1, of which one is 0 if the range is symmetric.
        mode: "mae", or "mse" for the square.
        factor: of the mean.
        parameters: names or shell patterns.
    """

    levels: Levels | None = None
    codebook: Sequence[float] | None = None
    min: float | None = None
    max: float | None = None
    num_levels: int | None = None
    bits: int | None = None
    scheme: str = "pow2"
    mode: str = "mae"
    factor: float = 1.0
    parameters: str | Sequence[str] | None = None
    name = "gravity_quantization_loss"
    nonnegative = ("factor",)

    def _judge(self, faults: Faults) -> None:
        faults.choice("mode", self.mode, ("mae", "mse"))
        faults.choice("scheme", self.scheme, ("pow2", "pow2+1"))
        given = [name for name in ("levels", "codebook", "num_levels", "bits") if getattr(self, name) is not None]
        if len(given) != 1:
            told = " and ".join(given) or "nothing"
            faults.add("levels", f"{told} given; give one of levels, codebook, num_levels or bits")
        elif given[0] in ("num_levels", "bits") and (self.min is None or self.max is None):
            faults.add("min", f"{given[0]} needs min and max; give both ends")
        elif given[0] == "levels" and not isinstance(self.levels, Levels):
            faults.add("levels", f"{self.levels!r} is no Levels; give such as Levels.bits(4, -0.24, 0.24)")
        else:
            try:
                object.__setattr__(self, "_levels", self._made())
            except InputError as error:
                faults.found += error.faults

    def _made(self) -> Levels:
        if self.levels is not None:
            return self.levels
        if self.codebook is not None:
            return Levels.codebook(self.codebook)
        low, high = self.min, self.max
        assert low is not None and high is not None
        if self.bits is not None:
            return (Levels.bits if self.scheme == "pow2" else Levels.bits_with_zero)(self.bits, low, high)
        faults = Faults(self.name)
        ends = (faults.number("min", low), faults.number("max", high))
        count = faults.whole("num_levels", self.num_levels, least=2, most=65537)
        faults.done()
        return Levels.codebook(np.linspace(*ends, count).tolist())

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean over all chosen weights together, and gradients by parameter."""
        levels: Levels = self._levels  # type: ignore[attr-defined]
        chosen = _chosen(self, model, ("J", "weights"))
        count = sum(weights.size for weights in chosen.values())
        found = LossValue(0.0)
        for name, weights in chosen.items():
            finite = np.isfinite(weights)
            away = np.where(finite, weights - levels.round(np.where(finite, weights, 0.0)), np.nan)
            cost, slope = (np.abs(away), np.sign(away)) if self.mode == "mae" else (away**2, 2.0 * away)
            found.value += self.factor * float(np.sum(cost)) / max(count, 1)
            found.parameters[name] = (self.factor / max(count, 1) * slope).astype(weights.dtype, copy=False)
        return found


# --------------------------------------------------------------------------------------------- the model once more


def _inputs(loss: Any, run: Run, model: Any) -> Array:
    """What the run was made from; such losses run the model again."""
    faults = Faults(loss.name)
    if model is None:
        faults.add("model", "there is none; call the loss with the model that made the run")
    inputs = run.inputs if run.inputs is not None else getattr(run.tape, "inputs", None)
    if inputs is None:
        faults.add("run", "it has no inputs to run again; set run.inputs to what the model was given (B, T, n_in)")
    faults.done()
    return np.asarray(inputs)


def _states(loss: Any, run: Run) -> Array:
    if run.states is None:
        raise InputError(f"{loss.name}.run: the model keeps no states; let it return them")
    return run.states


@register("loss", "ensure_post_sample_decay")
@dataclass(frozen=True)
class EnsurePostSampleDecay(Bounded):
    """Is an example forgotten before the next (S0.L12)? The run goes on for ``num_zero_steps`` without input.

    factor times the mean over the batch of the sum over these steps and over all loops of |s| (``measure="square"``: of s^2).
    The model is run on its inputs and zeros, so the gradient goes through the example too.
    """

    num_zero_steps: int = 50
    measure: str = "abs"
    factor: float = 1.0
    name = "ensure_post_sample_decay"
    nonnegative = ("factor",)

    def _judge(self, faults: Faults) -> None:
        faults.whole("num_zero_steps", self.num_zero_steps, least=1)
        faults.choice("measure", self.measure, ("abs", "square"))

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Value, and gradients by parameter."""
        inputs = _inputs(self, run, model)
        silence = np.zeros((len(inputs), self.num_zero_steps, inputs.shape[2]), dtype=inputs.dtype)
        longer = model.forward(np.concatenate([inputs, silence], axis=1), train=True, rng=rng)
        states = _states(self, longer)
        rest, slope = states[:, -self.num_zero_steps :], np.zeros_like(states)
        share = self.factor / len(inputs)
        if self.measure == "abs":
            cost, by_state = np.abs(rest), share * np.sign(rest)
        else:
            cost, by_state = rest**2, share * 2.0 * rest
        slope[:, -self.num_zero_steps :] = by_state
        return LossValue(share * float(np.sum(cost)), parameters=dict(model.backward(longer, states=slope)))


@register("loss", "local_expansion_loss")
@dataclass(frozen=True)
class LocalExpansion(Bounded):
    """Do small differences grow (S0.L15)? The model runs twice, once with a little noise on its inputs, none below 0 by it.

    mean over examples and steps of (log sigma - log target)^2, sigma = |D(t)| / |D(t - 1)|, D = difference of the states.
    Steps before the difference is above 0 do not count. Both runs draw the same noise of their own.

    Args:
        target_value: of the ratio, above 0; 1 is the edge between fading and growing.
        perturbation_scale: width of the normal noise on the inputs; in float32 take 1e-3 or more.
        per_layer: |D| of every group of ``layers`` apart, then their mean.
        layers: lists of loop indices.
        use_log_loss: False for (sigma - target)^2.
        clamp_min, clamp_max: the ratio is held within; no gradient beyond.
        detach_clean: take the gradient through the disturbed run alone. Not the gradient of the value: for comparison
            with systems that do so.
    """

    target_value: float = 1.0
    perturbation_scale: float = 1e-5
    per_layer: bool = False
    layers: Sequence[Sequence[int]] | None = None
    use_log_loss: bool = True
    clamp_min: float = 0.01
    clamp_max: float = 100.0
    detach_clean: bool = False
    name = "local_expansion_loss"
    positive = ("target_value", "perturbation_scale", "clamp_min", "clamp_max")

    def _judge(self, faults: Faults) -> None:
        for option in ("per_layer", "use_log_loss", "detach_clean"):
            faults.flag(option, getattr(self, option))
        if self.per_layer and not self.layers:
            faults.add("layers", "per_layer needs the loops of each layer; give lists of indices")
        if not faults.found and self.clamp_min >= self.clamp_max:
            faults.add("clamp_min", f"{self.clamp_min:g} is not below clamp_max = {self.clamp_max:g}; lower it")

    def entangled(self, targets: Any = None) -> str | None:
        """Steps before the first difference do not count."""
        return "its mean is over the steps where the two runs differ, which are not as many in every sample"

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Value, and gradients by parameter."""
        inputs = _inputs(self, run, model)
        rng = rng or np.random.default_rng(0)
        noise = rng.normal(0.0, self.perturbation_scale, inputs.shape)
        noise = np.where((inputs >= 0.0) & (inputs + noise < 0.0), np.abs(noise), noise).astype(
            inputs.dtype, copy=False
        )
        seed = int(rng.integers(2**63))
        clean, moved = (model.forward(x, train=True, rng=np.random.default_rng(seed)) for x in (inputs, inputs + noise))
        apart = np.asarray(_states(self, moved), dtype=np.float64) - _states(self, clean)
        groups = [list(g) for g in self.layers or []] if self.per_layer else [list(range(apart.shape[2]))]
        total, slope = 0.0, np.zeros_like(apart)
        for group in groups:
            size = np.sqrt(np.sum(apart[..., group] ** 2, axis=2))
            cost, by_size = _of_ratios(
                size / self.perturbation_scale, self.target_value, self.use_log_loss, self.clamp_min, self.clamp_max
            )
            total += cost / len(groups)
            with np.errstate(invalid="ignore"):
                unit = apart[..., group] / np.where(size > 0.0, size, math.inf)[..., None]
            slope[..., group] += by_size[..., None] * unit / (self.perturbation_scale * len(groups))
        found = dict(model.backward(moved, states=slope.astype(clean.states.dtype, copy=False)))
        if not self.detach_clean:
            still = model.backward(clean, states=-slope.astype(clean.states.dtype, copy=False))
            found = {name: gradient + still[name] for name, gradient in found.items()}
        return LossValue(total, parameters=found)
