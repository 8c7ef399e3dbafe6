"""Learning rates that follow a metric. Definitions: features.md S0.C2, S4.07.

    schedule = Adaptive(monitor="val_loss").bind(optimizer)
    schedule.update(value)                     # once an epoch (greedy with intra_epoch: once a batch); returns the rate

They have state, so there is no ``get_lr(epoch)``: ``current()`` tells the present rate. A value that is nan is no improvement.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from soen_event.errors import InputError
from training.arguments import Faults
from training.optimizer import Optimizer
from training.registry import register

__all__ = ["Adaptive", "Greedy", "Plateau", "Reactive"]


@dataclass(eq=False)
class Reactive:
    """What all of them share. A subclass defines ``_react(value)``, which changes ``self.now``.

    Args:
        monitor: the metric that a training loop passes to :meth:`update`.
        mode: "min" or "max": what is better.
    """

    monitor: str = field(default="val_loss", kw_only=True)
    mode: str = field(default="min", kw_only=True)
    positive: ClassVar[tuple[str, ...]] = ()
    nonnegative: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[tuple[tuple[str, int], ...]] = ()
    kept: ClassVar[tuple[str, ...]] = ("now", "start", "updates", "best", "good", "bad", "rest", "mean")
    needs_metric: ClassVar[bool] = True

    def __post_init__(self) -> None:
        faults = Faults(type(self).__name__)
        faults.choice("mode", self.mode, ("min", "max"))
        for name in self.positive:
            faults.number(name, getattr(self, name), above=0.0)
        for name in self.nonnegative:
            faults.number(name, getattr(self, name), least=0.0)
        for name, least in self.counts:
            faults.whole(name, getattr(self, name), least=least)
        if not faults.found:
            self._judge(faults)
        faults.done()
        self.optimizer: Optimizer | None = None
        self.start: float | None = None
        self.now: float | None = None
        self.updates = self.good = self.bad = self.rest = 0
        self.best, self.mean = math.inf, 0.0
        self._begin(self._first())

    def _judge(self, faults: Faults) -> None:
        """Further faults; those before are none."""

    def _first(self) -> float | None:
        """The rate to begin with, or None for the optimizer's."""
        return None

    def _warm(self) -> int:
        """Updates of the warm-up."""
        return 0

    def _low(self) -> float:
        return 0.0

    def _begin(self, start: float | None) -> None:
        self.start = start
        if start is not None:
            self.now = start if not self._warm() else self._low() + (start - self._low()) / (self._warm() + 1)

    def _react(self, value: float) -> None:
        raise InputError(f"{type(self).__name__}: it does not react; define _react(value)")

    def current(self) -> float:
        """The present rate; InputError if none is known yet."""
        if self.now is None:
            raise InputError(f"{type(self).__name__}.lr: it is not known; give a rate, or bind(optimizer)")
        return self.now

    def bind(self, optimizer: Optimizer) -> Reactive:
        """Let :meth:`update` set this optimizer's rate; it gets the present one now."""
        if not callable(getattr(optimizer, "set_lr", None)):
            raise InputError(f"{type(self).__name__}.bind: {optimizer!r} has no set_lr; give an optimizer")
        if self.start is None:
            self._begin(optimizer.get_lr())
        self.optimizer = optimizer
        optimizer.set_lr(self.current())
        return self

    def update(self, value: float) -> float:
        """Take a value of the metric; set the optimizer's rate, if one is bound, and return it."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise InputError(
                f"{type(self).__name__}.update: {value!r} is not a number; give the metric {self.monitor!r}"
            )
        self.current()
        self.updates += 1
        self._react(float(value) if self.mode == "min" else -float(value))
        if self.start is not None and self.updates <= self._warm():
            self.now = self._low() + (self.start - self._low()) * (self.updates + 1) / (self._warm() + 1)
        lr = self.current()
        if self.optimizer is not None:
            self.optimizer.set_lr(lr)
        return lr

    step = update

    def state_dict(self) -> dict[str, Any]:
        """All that the next rate depends on, options aside."""
        return {name: getattr(self, name) for name in self.kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`; InputError if something is missing."""
        missing = [name for name in self.kept if name not in state]
        if missing:
            raise InputError(
                f"{type(self).__name__}.state: {', '.join(missing)} missing; give what state_dict() returned"
            )
        for name in self.kept:
            setattr(self, name, state[name])


@register("schedule", "plateau", "Plateau", "ReduceLROnPlateau")
@dataclass(eq=False)
class Plateau(Reactive):
    """Times ``factor`` after ``patience`` updates in a row without an improvement of more than ``min_delta`` (S4.07)."""

    lr: Any = None
    factor: float = 0.1
    patience: int = 10
    min_lr: float = 0.0
    min_delta: float = 0.0
    positive = ("factor",)
    nonnegative = ("min_lr", "min_delta")
    counts = (("patience", 1),)

    def _judge(self, faults: Faults) -> None:
        faults.number("factor", self.factor, above=0.0, below=1.0)
        if self.lr is not None and not isinstance(self.lr, Optimizer):
            faults.number("lr", self.lr, least=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.lr, Optimizer):
            self.bind(self.lr)

    def _first(self) -> float | None:
        return None if isinstance(self.lr, Optimizer) else self.lr

    def _react(self, value: float) -> None:
        if value < self.best - self.min_delta:
            self.best, self.bad = value, 0
            return
        self.bad += 1
        if self.bad >= self.patience:
            self.now, self.bad = max(self.current() * self.factor, min(self.min_lr, self.current())), 0


@register("schedule", "greedy", "Greedy")
@dataclass(eq=False)
class Greedy(Reactive):
    """Up by ``factor_increase`` after every improvement, down by ``factor_decrease`` after ``patience`` without one (S0.C2).

    Args:
        lr: to begin with; None for the optimizer's.
        warmup: updates over which the rate rises from min_lr in a straight line; it does not react then.
        intra_epoch: updates are batches; their running mean (``ema_beta``, free of bias) counts, every
            ``adjustment_frequency`` of them.
    """

    lr: float | None = None
    factor_increase: float = 1.1
    factor_decrease: float = 0.9
    patience: int = 3
    min_lr: float = 1e-6
    max_lr: float = 0.01
    warmup: int = 0
    intra_epoch: bool = False
    adjustment_frequency: int = 100
    ema_beta: float = 0.9
    positive = ("factor_increase", "factor_decrease", "max_lr")
    nonnegative = ("min_lr",)
    counts = (("patience", 1), ("warmup", 0), ("adjustment_frequency", 1))

    def _judge(self, faults: Faults) -> None:
        faults.number("factor_increase", self.factor_increase, least=1.0)
        faults.number("factor_decrease", self.factor_decrease, above=0.0, most=1.0)
        faults.number("ema_beta", self.ema_beta, least=0.0, below=1.0)
        faults.flag("intra_epoch", self.intra_epoch)
        if self.lr is not None:
            faults.number("lr", self.lr, least=0.0)
        if self.min_lr > self.max_lr:
            faults.add("min_lr", f"{self.min_lr:g} is above max_lr = {self.max_lr:g}; lower it")

    def _first(self) -> float | None:
        return None if self.lr is None else min(max(self.lr, self.min_lr), self.max_lr)

    def _warm(self) -> int:
        return self.warmup

    def _low(self) -> float:
        return self.min_lr

    def _react(self, value: float) -> None:
        if self.intra_epoch:
            self.mean = self.ema_beta * self.mean + (1.0 - self.ema_beta) * value
            value = self.mean / (1.0 - self.ema_beta**self.updates)
            if self.updates % self.adjustment_frequency:
                return
        better = value < self.best
        if better:
            self.best = value
        if self.updates <= self.warmup:
            return
        if better:
            self.now, self.bad = min(self.current() * self.factor_increase, self.max_lr), 0
            return
        self.bad += 1
        if self.bad >= self.patience:
            self.now, self.bad = max(self.current() * self.factor_decrease, self.min_lr), 0


@register("schedule", "adaptive", "Adaptive")
@dataclass(eq=False)
class Adaptive(Reactive):
    """Up after ``patience_increase`` improvements in a row, down after ``patience_decrease`` updates without one (S0.C2).

    Args:
        max_lr: where it begins, after the warm-up, and the most it can be.
        warmup: updates over which the rate rises from min_lr in a straight line; it does not react then.
        threshold: an improvement is more than this, of the best value (threshold_mode "rel") or as it is ("abs").
        cooldown: updates after a change that do not count.
    """

    max_lr: float = 1e-3
    min_lr: float = 1e-6
    warmup: int = 3
    factor_increase: float = 1.2
    factor_decrease: float = 0.7
    patience_increase: int = 3
    patience_decrease: int = 5
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    positive = ("max_lr", "factor_increase", "factor_decrease")
    nonnegative = ("min_lr", "threshold")
    counts = (("warmup", 0), ("patience_increase", 1), ("patience_decrease", 1), ("cooldown", 0))

    def _judge(self, faults: Faults) -> None:
        faults.number("factor_increase", self.factor_increase, least=1.0)
        faults.number("factor_decrease", self.factor_decrease, above=0.0, most=1.0)
        faults.choice("threshold_mode", self.threshold_mode, ("rel", "abs"))
        if self.min_lr > self.max_lr:
            faults.add("min_lr", f"{self.min_lr:g} is above max_lr = {self.max_lr:g}; lower it")

    def _first(self) -> float | None:
        return self.max_lr

    def _warm(self) -> int:
        return self.warmup

    def _low(self) -> float:
        return self.min_lr

    def _react(self, value: float) -> None:
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" and self.best < math.inf else 1.0)
        better = value < self.best - margin
        if better:
            self.best = value
        if self.updates <= self.warmup:
            return
        if self.rest:
            self.rest -= 1
            return
        self.good, self.bad = (self.good + 1, 0) if better else (0, self.bad + 1)
        if self.good >= self.patience_increase:
            self.now, self.good, self.rest = min(self.current() * self.factor_increase, self.max_lr), 0, self.cooldown
        elif self.bad >= self.patience_decrease:
            self.now, self.bad, self.rest = max(self.current() * self.factor_decrease, self.min_lr), 0, self.cooldown
