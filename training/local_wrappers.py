"""Learning rates of local rules that adapt (features.md S0.R3) or follow a schedule (S0.R4), one or more for every rule.

    LocalTrainer(..., rates={"STDP": [ScheduledRate("cosine", max_steps=1000), AdaptiveRate("update_norm", target=0.1)]})

Each gives a factor after every sample; a rule's ``rate`` during the next one is that of its Plasticity times all of them, and
``rec.rule_changes`` has every change. What limits one single change is ``Plasticity.clip``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from soen_event.errors import InputError
from training.arguments import Faults
from training.schedules import Cosine, Exponential, Step

if TYPE_CHECKING:
    from training.local_reports import UpdateMetrics

__all__ = ["AdaptiveRate", "RateWrapper", "ScheduledRate"]


class RateWrapper:
    """Base: ``factor`` now, ``after(report)`` once a sample, ``reset``."""

    factor: float = 1.0

    def after(self, report: UpdateMetrics) -> None:
        """A sample has been learnt with the present factor; ``report``: what the rule did."""

    def reset(self) -> None:
        """Begin anew."""
        self.factor = 1.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {"factor": self.factor}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.factor = float(state["factor"])


class AdaptiveRate(RateWrapper):
    """A factor that follows what a rule does (S0.R3).

    ========================= ==============================================================================================
    ``method``                factor for the next sample
    ========================= ==============================================================================================
    ``"weight_norm"``         1/(1 + (|W|/target)^2), W the values of the rule's sites
    ``"update_norm"``         min(1, target/|dW|), dW the change that the last sample would have made at the full rate
    ``"activity"``            1/(1 + sqrt(<pre^2> <post^2>)), of photons at its sites and spikes of its neurons in the last sample
    ========================= ==============================================================================================

    Arguments:
        method: one of these.
        target: above 0.
        clip_update_norm: the factor is made smaller where the last update, at the new factor, would have been larger; above 0 or None.
        min_scale, max_scale: bounds of the factor (before ``clip_update_norm``); above 0.

    Other than in software, where an update is known before it is made, the sample that is too large is not scaled itself, but the next
    ones. The factor of the first sample is 1, with "weight_norm" what its norm says.

    Raises InputError: an argument that is not so.
    """

    def __init__(
        self,
        method: str = "weight_norm",
        target: float = 1.0,
        clip_update_norm: float | None = None,
        min_scale: float = 1e-6,
        max_scale: float = 10.0,
    ):
        faults = Faults("AdaptiveRate")
        self.method = faults.choice("method", method, ("weight_norm", "update_norm", "activity"))
        self.target = faults.number("target", target, above=0.0)
        self.clip = None if clip_update_norm is None else faults.number("clip_update_norm", clip_update_norm, above=0.0)
        self.low, self.high = (
            faults.number("min_scale", min_scale, above=0.0),
            faults.number("max_scale", max_scale, above=0.0),
        )
        if self.low > self.high:
            faults.add("max_scale", f"{max_scale!r} is below min_scale ({min_scale!r})")
        faults.done()

    def begin(self, norm: float) -> None:
        """Before the first sample, with the norm of all values."""
        if self.method == "weight_norm":
            self.factor = min(max(1.0 / (1.0 + (norm / self.target) ** 2), self.low), self.high)

    def after(self, report: UpdateMetrics) -> None:
        """Look at a sample."""
        full = report.update_norm / self.factor
        if self.method == "weight_norm":
            scale = 1.0 / (1.0 + (report.weight_norm_after / self.target) ** 2)
        elif self.method == "update_norm":
            scale = min(1.0, self.target / full) if full > 0.0 else 1.0
        else:
            scale = 1.0 / (1.0 + math.sqrt(report.pre_square * report.post_square))
        scale = min(max(scale, self.low), self.high)
        if self.clip is not None and full * scale > self.clip:
            scale = self.clip / full
        self.factor = scale


class ScheduledRate(RateWrapper):
    """A factor that falls with the number of samples (S0.R4).

    "step": decay_rate^floor(n/decay_every); "exponential": decay_rate^(n/decay_every); "cosine": half a cosine from 1 to ``min_factor``
    over ``max_steps``; or any schedule of :mod:`training.schedules`, whose epochs are then samples and whose rates are the factors.

    Arguments:
        schedule: one of these words, or an object with ``get_lr(n)``.
        decay_rate: above 0, at most 1. decay_every: samples, 1 or more.
        min_factor: smallest factor, at least 0.
        max_steps: samples; needed for "cosine", here or by :meth:`set_max_steps`.

    Raises InputError: an argument that is not so.
    """

    def __init__(
        self,
        schedule: Any = "step",
        decay_rate: float = 0.1,
        decay_every: int = 10,
        min_factor: float = 1e-6,
        max_steps: int | None = None,
    ):
        faults = Faults("ScheduledRate")
        if isinstance(schedule, str) or not callable(getattr(schedule, "get_lr", None)):
            faults.choice("schedule", schedule, ("step", "exponential", "cosine"))
        self.decay_rate = faults.number("decay_rate", decay_rate, above=0.0, most=1.0)
        self.decay_every = faults.whole("decay_every", decay_every, least=1)
        self.min_factor = faults.number("min_factor", min_factor, least=0.0, most=1.0)
        if max_steps is not None:
            faults.whole("max_steps", max_steps, least=1)
        faults.done()
        self.kind, self.max_steps, self.count = schedule, max_steps, 0
        self._make()

    def _make(self) -> None:
        if self.kind == "step":
            self._course: Any = Step(1.0, step_size=self.decay_every, gamma=self.decay_rate)
        elif self.kind == "exponential":
            self._course = Exponential(1.0, gamma=self.decay_rate ** (1.0 / self.decay_every))
        elif self.kind == "cosine":
            self._course = Cosine(1.0, T_max=self.max_steps or 1, eta_min=self.min_factor)
        else:
            self._course = self.kind
        if self.kind != "cosine" or self.max_steps is not None:
            self.factor = self._now()

    def set_max_steps(self, steps: int) -> None:
        """Over how many samples "cosine" falls; a trainer tells it, if it was not told before."""
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise InputError(f"ScheduledRate.max_steps: {steps!r} is no number of samples; give a whole number from 1")
        self.max_steps = steps
        self._make()

    def _now(self) -> float:
        return max(float(self._course.get_lr(self.count)), self.min_factor)

    def step(self) -> float:
        """One sample further; returns the factor."""
        self.count += 1
        self.factor = self._now()
        return self.factor

    def after(self, report: UpdateMetrics) -> None:
        """One sample further."""
        self.step()

    def reset(self) -> None:
        """Back to the first sample."""
        self.count = 0
        self.factor = self._now()

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"factor": self.factor, "count": self.count, "max_steps": self.max_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        self.count, self.max_steps = int(state["count"]), state["max_steps"]
        self._make()
        self.factor = float(state["factor"])
