"""Learning rates over time, as functions of the epoch. Definitions: features.md S0.18, S0.C1, S2.08-S2.13, S4.05-S4.08.

    schedule = Cosine(1e-3, T_max=100)
    schedule.get_lr(25)                        # stateless: the same answer at any time
    schedule.get_lr(25, batch=3)               # between epochs, where batches_per_epoch is set

    schedule = Cosine(optimizer, T_max=100)    # or schedule.bind(optimizer): the optimizer's rate is the highest
    schedule.step()                            # the next epoch; or step(epoch, batch)

Epochs count from 0. Past its end every schedule stays where it ended. A rate that is None is taken from the optimizer when
it is bound. Those that follow a metric (greedy, adaptive, plateau) are in :mod:`training.reactive`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soen_event.errors import InputError
from training.arguments import Faults, build
from training.registry import register
from training.schedule import Schedule

__all__ = [
    "Chain",
    "Constant",
    "Cooldown",
    "Cosine",
    "CosineAnnealingLR",
    "CosineRestarts",
    "Exponential",
    "Linear",
    "Multiply",
    "OneCycle",
    "Rex",
    "Schedule",
    "Step",
    "WarmCosine",
    "Warmup",
    "WarmupCosine",
    "cosine",
    "make",
]


def _cosine(high: float, low: float, share: float) -> float:
    """From high at 0 to low at 1 along half a cosine, and there it stays."""
    return low + 0.5 * (high - low) * (1.0 + math.cos(math.pi * min(share, 1.0)))


# --------------------------------------------------------------------------------------------- one course


@register("schedule", "constant", "Constant")
@dataclass(eq=False)
class Constant(Schedule):
    """lr (S0.C1)."""

    lr: Any = None

    def at(self, position: float) -> float:
        """lr."""
        return self.lr


@register("schedule", "linear", "Linear")
@dataclass(eq=False)
class Linear(Schedule):
    """From max_lr to min_lr in a straight line over ``epochs``, of the logarithm with ``log_space`` (S0.C1)."""

    max_lr: Any = 1e-3
    min_lr: float = 1e-6
    log_space: bool = False
    epochs: float = 100.0
    rate = "max_lr"
    positive = ("epochs",)
    nonnegative = ("min_lr",)

    def _judge(self, faults: Faults) -> None:
        if faults.flag("log_space", self.log_space) and (self.min_lr == 0.0 or self.max_lr == 0.0):
            faults.add("min_lr", "log_space needs rates above 0; raise it")

    def at(self, position: float) -> float:
        """(1 - p) max_lr + p min_lr."""
        p = min(position / self.epochs, 1.0)
        if self.log_space:
            return self.max_lr ** (1.0 - p) * self.min_lr**p
        return (1.0 - p) * self.max_lr + p * self.min_lr


@register("schedule", "rex", "Rex")
@dataclass(eq=False)
class Rex(Schedule):
    """min_lr + (max_lr - min_lr) (1 - t) / (1/2 + (1 - t) / 2), after a linear warm-up (S0.C1).

    At t = 0, 0.25, 0.5, 0.75, 1 of the way the factor is 1, 0.857143, 0.666667, 0.4, 0.

    Args:
        max_lr: None for the optimizer's.
        epochs: of all, the warm-up with them.
    """

    warmup_epochs: float = 0.0
    warmup_start_lr: float = 1e-6
    min_lr: float = 0.0
    max_lr: Any = None
    epochs: float = 100.0
    rate = "max_lr"
    positive = ("epochs",)
    nonnegative = ("warmup_epochs", "warmup_start_lr", "min_lr")

    def _judge(self, faults: Faults) -> None:
        if self.warmup_epochs >= self.epochs:
            faults.add("warmup_epochs", f"{self.warmup_epochs:g} is not below epochs = {self.epochs:g}; lower it")

    def at(self, position: float) -> float:
        """As above."""
        if position < self.warmup_epochs:
            return self.warmup_start_lr + (self.max_lr - self.warmup_start_lr) * position / self.warmup_epochs
        left = 1.0 - min((position - self.warmup_epochs) / (self.epochs - self.warmup_epochs), 1.0)
        return self.min_lr + (self.max_lr - self.min_lr) * left / (0.5 + 0.5 * left)


@register("schedule", "step", "Step", "StepLR")
@dataclass(eq=False)
class Step(Schedule):
    """lr gamma^floor(e / step_size) (S2.08, S4.06)."""

    lr: Any = None
    step_size: float = 30.0
    gamma: float = 0.1
    positive = ("step_size", "gamma")

    def at(self, position: float) -> float:
        """As above."""
        return self.lr * self.gamma ** math.floor(position / self.step_size)


@register("schedule", "exponential", "Exponential")
@dataclass(eq=False)
class Exponential(Schedule):
    """lr gamma^e (S2.11)."""

    lr: Any = None
    gamma: float = 0.95
    positive = ("gamma",)

    def at(self, position: float) -> float:
        """As above."""
        return self.lr * self.gamma**position


@register("schedule", "cosine_annealing", "Cosine")
@dataclass(eq=False)
class Cosine(Schedule):
    """eta_min + (lr - eta_min) (1 + cos(pi min(e, T_max) / T_max)) / 2 (S2.09, S4.05).

    lr 1e-3, T_max 100, eta_min 1e-6: 8.53700e-4 at 25, 5.005e-4 at 50, 1e-6 from 100 on.
    """

    lr: Any = None
    T_max: float = 100.0
    eta_min: float = 0.0
    positive = ("T_max",)
    nonnegative = ("eta_min",)

    def at(self, position: float) -> float:
        """As above."""
        return _cosine(self.lr, self.eta_min, position / self.T_max)


@register("schedule", "CosineAnnealingLR")
def CosineAnnealingLR(
    optimizer: Any = None,
    T_max: float = 100.0,
    eta_min: float = 0.0,
    *,
    lr: float | None = None,
    batches_per_epoch: int | None = None,
) -> Cosine:
    """A :class:`Cosine` by the names of S2.09: its highest rate is the present one of ``optimizer``, which ``.step()`` sets, or ``lr``.

    Raises:
        InputError: both are given, or an option is out of its range.
    """
    if optimizer is not None and lr is not None:
        raise InputError("CosineAnnealingLR.lr: the optimizer has a rate; give one of them")
    return Cosine(lr if optimizer is None else optimizer, T_max, eta_min, batches_per_epoch=batches_per_epoch)


@register("schedule", "warmup", "Warmup", "WarmupLR")
@dataclass(eq=False)
class Warmup(Schedule):
    """Up to lr in a straight line over ``epochs``, then lr (S2.10).

    Args:
        first: what epoch 0 has: "zero", or "lr/n" for lr / epochs, so that the last of the epochs has lr.
    """

    lr: Any = None
    epochs: float = 10.0
    first: str = "zero"
    positive = ("epochs",)

    def _judge(self, faults: Faults) -> None:
        faults.choice("first", self.first, ("zero", "lr/n"))

    def at(self, position: float) -> float:
        """lr min(1, e / n), or lr min(1, (e + 1) / n)."""
        return self.lr * min((position + (self.first != "zero")) / self.epochs, 1.0)


@register("schedule", "warmup_cosine", "WarmupCosine")
@dataclass(eq=False)
class WarmupCosine(Schedule):
    """lr (e + 1) / w for e < w, then a cosine to eta_min at max_epochs (S4.08).

    lr 1e-3, 10 of 100 epochs, eta_min 1e-6: 1e-4 at 0, 5e-4 at 4, 1e-3 at 9 and 10, 5.005e-4 at 55, 1e-6 from 100 on.
    """

    lr: Any = None
    warmup_epochs: float = 10.0
    max_epochs: float = 100.0
    eta_min: float = 1e-6
    positive = ("max_epochs",)
    nonnegative = ("warmup_epochs", "eta_min")

    def _judge(self, faults: Faults) -> None:
        if self.warmup_epochs >= self.max_epochs:
            faults.add("warmup_epochs", f"{self.warmup_epochs:g} is not below max_epochs; lower it")

    def at(self, position: float) -> float:
        """As above."""
        if position < self.warmup_epochs:
            return self.lr * min((position + 1.0) / self.warmup_epochs, 1.0)
        share = (position - self.warmup_epochs) / (self.max_epochs - self.warmup_epochs)
        return _cosine(self.lr, self.eta_min, share)


@register("schedule", "cooldown", "Cooldown")
@dataclass(eq=False)
class Cooldown(Schedule):
    """From lr to ``end`` over ``epochs``, in a straight line or along a cosine (S2.12). In a chain lr may be left out."""

    lr: Any = None
    epochs: float = 10.0
    end: float = 0.0
    shape: str = "linear"
    positive = ("epochs",)
    nonnegative = ("end",)

    def _judge(self, faults: Faults) -> None:
        faults.choice("shape", self.shape, ("linear", "cosine"))

    def at(self, position: float) -> float:
        """As above."""
        share = min(position / self.epochs, 1.0)
        return _cosine(self.lr, self.end, share) if self.shape == "cosine" else self.lr + (self.end - self.lr) * share


@register("schedule", "one_cycle", "OneCycle", "OneCycleLR")
@dataclass(eq=False)
class OneCycle(Schedule):
    """Up from max_lr / div_factor, then down to that over final_div_factor, along cosines (S2.13; Smith and Topin 2019).

    Args:
        epochs: of both parts.
        pct_start: share of them that goes up, between 0 and 1.
    """

    max_lr: Any = None
    epochs: float = 100.0
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    rate = "max_lr"
    positive = ("epochs", "pct_start", "div_factor", "final_div_factor")

    def _judge(self, faults: Faults) -> None:
        faults.number("pct_start", self.pct_start, above=0.0, below=1.0)

    def at(self, position: float) -> float:
        """As above."""
        start, top = self.max_lr / self.div_factor, self.pct_start * self.epochs
        if position < top:
            return _cosine(start, self.max_lr, position / top)
        return _cosine(self.max_lr, start / self.final_div_factor, (position - top) / (self.epochs - top))


@register("schedule", "cosine_restarts", "CosineRestarts", "sgdr")
@dataclass(eq=False)
class CosineRestarts(Schedule):
    """Cosines from lr to eta_min, again and again; the i-th takes T_0 T_mult^i epochs (S2.13; Loshchilov and Hutter 2017)."""

    lr: Any = None
    T_0: float = 10.0
    T_mult: float = 1.0
    eta_min: float = 0.0
    positive = ("T_0",)
    nonnegative = ("eta_min",)

    def _judge(self, faults: Faults) -> None:
        faults.number("T_mult", self.T_mult, least=1.0)

    def at(self, position: float) -> float:
        """As above."""
        period = self.T_0
        if self.T_mult == 1.0:
            position = math.fmod(position, period)
        while position >= period:
            position -= period
            period *= self.T_mult
        return _cosine(self.lr, self.eta_min, position / period)


@register("schedule", "warm_cosine", "WarmCosine", "CosineAnnealingScheduler")
@dataclass(eq=False)
class WarmCosine(Schedule):
    """A linear warm-up from min_lr to max_lr, then cosines back to min_lr (S0.18).

    Warm-up: min + (max - min) p. Cycle i: min + A_i (1 + cos(pi p)) / 2, A_i = (max restart_decay^i - min) amplitude_decay^i, of
    cycle_epochs period_decay^i epochs (1 at least, or one cycle_epochs if that is less).

    Args:
        enable_restarts: False: one cycle, then min_lr.
        adjust_on_batch: False: whole epochs only.
        batches_per_adjustment: the rate changes every so many batches.
        soft_restart: later cycles rise along a cosine in their first half, so that nothing jumps.
    """

    max_lr: Any = 1e-3
    min_lr: float = 1e-6
    warmup_epochs: float = 5.0
    cycle_epochs: float = 50.0
    enable_restarts: bool = True
    restart_decay: float = 1.0
    period_decay: float = 1.0
    amplitude_decay: float = 1.0
    adjust_on_batch: bool = True
    batches_per_adjustment: int = 1
    soft_restart: bool = False
    rate = "max_lr"
    positive = ("cycle_epochs", "restart_decay", "period_decay", "amplitude_decay")
    nonnegative = ("min_lr", "warmup_epochs")

    def _judge(self, faults: Faults) -> None:
        for name in ("enable_restarts", "adjust_on_batch", "soft_restart"):
            faults.flag(name, getattr(self, name))
        faults.whole("batches_per_adjustment", self.batches_per_adjustment, least=1)
        if self.max_lr is not None and self.max_lr < self.min_lr:
            faults.add("max_lr", f"{self.max_lr:g} is below min_lr = {self.min_lr:g}; raise it")

    def get_lr(self, epoch: float, batch: int = 0) -> float:
        """As :meth:`Schedule.get_lr`, with the batches grouped."""
        if not self.adjust_on_batch:
            return super().get_lr(math.floor(epoch) if isinstance(epoch, float) else epoch)
        return super().get_lr(epoch, batch - batch % self.batches_per_adjustment)

    def at(self, position: float) -> float:
        """As above."""
        if position < self.warmup_epochs:
            return self.min_lr + (self.max_lr - self.min_lr) * position / self.warmup_epochs
        position, cycle, period = position - self.warmup_epochs, 0, self.cycle_epochs
        least = min(1.0, self.cycle_epochs)
        if not self.enable_restarts:
            position = min(position, period)
        while self.enable_restarts and position >= period:
            position -= period
            cycle += 1
            period = max(period * self.period_decay, least)
        height = max(self.max_lr * self.restart_decay**cycle - self.min_lr, 0.0) * self.amplitude_decay**cycle
        share = position / period
        if self.soft_restart and cycle:
            share = abs(2.0 * share - 1.0)
        return self.min_lr + 0.5 * height * (1.0 + math.cos(math.pi * share))


@register("schedule", "cosine")
def cosine(**options: Any) -> Schedule:
    """What "cosine" means in a configuration: :class:`Cosine` with T_max, eta_min or lr, else :class:`WarmCosine`."""
    chosen = Cosine if {"T_max", "eta_min", "lr"} & set(options) else WarmCosine
    made: Schedule = build("schedule", chosen.__name__, **options)
    return made


# --------------------------------------------------------------------------------------------- several


@register("schedule", "chain", "Chain")
@dataclass(eq=False)
class Chain(Schedule):
    """One schedule after the other, each on a clock of its own: ``Chain([(warmup, 10), (cosine, 80), (cooldown, 10)])`` (S2.12).

    Args:
        parts: pairs of a schedule (or its name, or a mapping) and its epochs; the last goes on after them. A
            :class:`Cooldown` without a rate starts where the one before it ends.
        continuous: scale each part so that it starts where the one before it ends.
    """

    parts: Sequence[Any] = ()
    continuous: bool = False
    rate = None

    def _judge(self, faults: Faults) -> None:
        self._parts: list[tuple[Schedule, float]] = []
        faults.flag("continuous", self.continuous)
        if not isinstance(self.parts, Sequence) or isinstance(self.parts, str) or not self.parts:
            faults.add("parts", f"{self.parts!r} are none; give pairs of a schedule and its epochs")
            return
        for index, part in enumerate(self.parts):
            if not isinstance(part, Sequence) or isinstance(part, str) or len(part) != 2:
                faults.add(f"parts[{index}]", f"{part!r} is no pair; give (schedule, epochs)")
                continue
            epochs = faults.number(f"parts[{index}].epochs", part[1], above=0.0)
            try:
                self._parts.append((make(part[0]), epochs))
            except InputError as error:
                faults.found += error.faults
        if not faults.found:
            self._join()

    def _join(self) -> None:
        for (before, epochs), (after, _) in zip(self._parts, self._parts[1:], strict=False):
            if isinstance(after, Cooldown) and after.lr is None:
                try:
                    after.lr = before.get_lr(epochs)
                except InputError:
                    return  # its rate is not known yet

    def take_rate(self, lr: float) -> None:
        """Use this rate for all parts without one, cooldowns aside."""
        for part, _ in self._parts:
            if not isinstance(part, Cooldown):
                part.take_rate(lr)
        self._join()
        for part, _ in self._parts:
            part.take_rate(lr)

    def _known(self) -> None:
        for part, _ in self._parts:
            part._known()

    def at(self, position: float) -> float:
        """Rate of the part that is on."""
        factor = 1.0
        for (part, epochs), (after, _) in zip(self._parts, self._parts[1:], strict=False):
            if position < epochs:
                return factor * part.at(position)
            position -= epochs
            if self.continuous:
                end, start = factor * part.at(epochs), after.at(0.0)
                factor = end / start if start > 0.0 else 1.0
        return factor * self._parts[-1][0].at(position)

    def jumps(self) -> list[float]:
        """How much the rate changes at each joint: 0 where it is continuous."""
        self._known()
        found, place = [], 0.0
        for _, epochs in self._parts[:-1]:
            before = place + epochs * (1.0 - 1e-9)
            place += epochs
            found.append(self.at(place) - self.at(before))
        return found

    def state_dict(self) -> dict[str, Any]:
        """Where it is, and the rates of its parts."""
        return {**super().state_dict(), "parts": [part.state_dict() for part, _ in self._parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(state)
        for (part, _), held in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(held)


@register("schedule", "multiply", "Multiply", "compose", "Compose")
@dataclass(eq=False)
class Multiply(Schedule):
    """The product of schedules: one has the rate, the others are factors, made with lr 1 (S2.12).

    Args:
        parts: schedules, names or mappings.
    """

    parts: Sequence[Any] = ()
    rate = None

    def _judge(self, faults: Faults) -> None:
        self._parts: list[Schedule] = []
        if not isinstance(self.parts, Sequence) or isinstance(self.parts, str) or not self.parts:
            faults.add("parts", f"{self.parts!r} are none; give schedules")
            return
        for part in self.parts:
            try:
                self._parts.append(make(part))
            except InputError as error:
                faults.found += error.faults

    def take_rate(self, lr: float) -> None:
        """Use this rate for the first part without one, and 1 for the others."""
        for part in self._parts:
            if part.rate is None or getattr(part, part.rate) is None:
                part.take_rate(lr)
                lr = 1.0

    def _known(self) -> None:
        for part in self._parts:
            part._known()

    def at(self, position: float) -> float:
        """The product."""
        return math.prod(part.at(position) for part in self._parts)

    def state_dict(self) -> dict[str, Any]:
        """Where it is, and the rates of its parts."""
        return {**super().state_dict(), "parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        super().load_state_dict(state)
        for part, held in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(held)


def make(schedule: Any, **options: Any) -> Any:
    """A schedule from its name, from ``{"name": ..., option: value}``, a number (constant), or the object itself.

    Raises:
        InputError: an unknown name or option, or a thing that has neither get_lr nor needs_metric.
    """
    if isinstance(schedule, numbers.Real) and not isinstance(schedule, bool):
        return Constant(schedule, **options)
    made = build("schedule", schedule, **options)
    if isinstance(made, type) or not (hasattr(made, "get_lr") or getattr(made, "needs_metric", False)):
        raise InputError(f"schedule: {made!r} is no schedule; give a name, a rate, or a Schedule")
    return made


from training import reactive as reactive  # noqa: E402  so that all names are registered
