"""Rules of rates and correlations: Hebb, Oja, BCM; the first two with a reward too (features.md S0.07-S0.10, S0.R2; physics.md 7.3).

In the formulas of old, x and y are activities of input and neuron. Here they are traces: of the synapse's detections and of its
neuron's spikes, each event 1, forgotten with ``tau``; with ``tau`` infinite they count. Rules that wait for the end of a sample
(signal "sample") or for a reward (signal "reward") use both traces as they are then, and set them to 0: what comes next is another
sample. The mean over a batch of B samples is ``lr`` divided by B.

>>> run.signal("sample", at=200.0)                                # doctest: +SKIP
>>> run.signal("reward", 1.0, at=200.0)                           # doctest: +SKIP
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from soen_event.learning import Rule
from training.registry import register
from training.rules.checks import check

__all__ = ["BCM", "Hebbian", "Oja", "RewardHebbian", "RewardOja", "SampledHebbian", "SampledOja"]

WHEN = ("pairs", "signal")


def form(rule: type, args: tuple[Any, ...], options: dict[str, Any]) -> type:
    """The class of a rule for the form that is asked for: the rule itself, or :data:`SAMPLED` of it for ``when="signal"``."""
    when = args[2] if len(args) > 2 else options.get("when")
    return SAMPLED.get(rule, rule) if when == "signal" else rule


def count_detection(site: Any, p: Any) -> None:
    """A detection enters its trace."""
    site.x += 1.0


def count_spike(site: Any, p: Any) -> None:
    """A spike enters its trace."""
    site.y += 1.0


def begin_anew(site: Any) -> None:
    """Both traces are used up."""
    site.x = 0.0
    site.y = 0.0


class TwoForms(Rule):
    """A rule of lr and tau in two forms, each a class, since what a rule needs is of its class."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return object.__new__(form(cls, args, options))

    def __post_init__(self) -> None:
        when = WHEN if type(self) in SAMPLED else WHEN[1:]
        check(self, numbers=("lr",), taus=("tau",), choices={"when": when})

    def parameters(self) -> dict[str, float]:
        """``lr`` and ``tau``."""
        own = super().parameters()
        return {"lr": own["lr"], "tau": own["tau"]}


@register("rule", "hebbian", "hebb")
@dataclass(frozen=True)
class Hebbian(TwoForms):
    """Hebb's rule (S0.07): lr e^{-|dt|/tau} for every pair of a detection and a spike, or lr x y at the end of a sample.

    Args:
        lr: factor; of either sign.
        tau: ns, how soon detections and spikes are forgotten, above 0; infinite: never.
        when: "pairs": at each event, for the pairs that it completes. "signal": at the signal "sample", from traces, which are then 0; this
            makes a :class:`SampledHebbian`.

    Raises InputError: an argument that is not so.
    """

    lr: float = 0.01
    tau: float = 20.0
    when: str = "pairs"
    requires = frozenset({"pre", "post"})
    variables = {"x": "tau", "y": "tau"}

    @staticmethod
    def on_detection(site, p):
        site.change += p.lr * site.y
        site.x += 1.0

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * site.x
        site.y += 1.0


@register("rule", "sampled_hebbian")
@dataclass(frozen=True)
class SampledHebbian(Hebbian):
    """Hebb's rule at the end of a sample: lr x y at the signal "sample", after which x = y = 0. Arguments as of :class:`Hebbian`."""

    tau: float = math.inf
    when: str = "signal"
    requires = frozenset({"pre", "post", "broadcast"})
    signals = ("sample",)

    on_detection = staticmethod(count_detection)
    on_spike = staticmethod(count_spike)

    @staticmethod
    def on_sample(site, p):
        site.change += p.lr * site.x * site.y
        begin_anew(site)


@register("rule", "oja")
@dataclass(frozen=True)
class Oja(TwoForms):
    """Oja's rule (S0.08): lr (C_yx - C_yy w), which for a linear neuron ends at the leading eigenvector of C_xx, of norm 1.

    With ``when="pairs"``, C_yx sums e^{-|dt|/tau} over pairs of a detection and a spike, and C_yy over pairs of spikes, each in both
    orders and with itself; w is the weight when the pair is complete. With ``when="signal"`` C_yx = x y and C_yy = y^2 at the signal
    "sample", from traces, which are then 0; this makes a :class:`SampledOja`. lr C_yy has to stay well below 1.

    Args:
        lr: factor. tau: ns, above 0; infinite: never forgets. when: as above.

    Raises InputError: an argument that is not so.
    """

    lr: float = 0.01
    tau: float = 20.0
    when: str = "pairs"
    requires = frozenset({"pre", "post", "weight"})
    variables = {"x": "tau", "y": "tau"}

    @staticmethod
    def on_detection(site, p):
        site.change += p.lr * site.y
        site.x += 1.0

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * (site.x - (1.0 + 2.0 * site.y) * site.weight)
        site.y += 1.0


@register("rule", "sampled_oja")
@dataclass(frozen=True)
class SampledOja(Oja):
    """Oja's rule at the end of a sample: lr (x y - y^2 w) at the signal "sample", after which x = y = 0. Arguments as of :class:`Oja`."""

    tau: float = math.inf
    when: str = "signal"
    requires = frozenset({"pre", "post", "weight", "broadcast"})
    signals = ("sample",)

    on_detection = staticmethod(count_detection)
    on_spike = staticmethod(count_spike)

    @staticmethod
    def on_sample(site, p):
        site.change += p.lr * site.y * (site.x - site.y * site.weight)
        begin_anew(site)


SAMPLED: dict[type, type] = {Hebbian: SampledHebbian, Oja: SampledOja}


@register("rule", "bcm")
@dataclass(frozen=True)
class BCM(Rule):
    """The rule of Bienenstock, Cooper and Munro (S0.09): lr y (y - theta) x at the signal "sample", theta a sliding mean of y^2.

    At "sample", first theta <- m theta + (1 - m) y^2, then the change, then x = y = 0. theta begins at 0 and is that of the neuron: all its
    synapses hear the same spikes and signals, so each keeps the same number (with a finite tau to rounding: traces are decayed at each
    synapse's own events). The signal "reset" begins anew with x = y = theta = 0.

    Args:
        lr: factor; of either sign.
        threshold_momentum: m, from 0 (theta is the last y^2) to below 1.
        tau: ns, how soon detections and spikes are forgotten, above 0; by default infinite: they are counted.

    Raises InputError: an argument that is not so.
    """

    lr: float = 0.01
    threshold_momentum: float = 0.9
    tau: float = math.inf
    requires = frozenset({"pre", "post", "broadcast"})
    variables = {"x": "tau", "y": "tau", "theta": None}
    signals = ("sample", "reset")

    def __post_init__(self) -> None:
        check(self, numbers=("lr",), taus=("tau",), bounds={"threshold_momentum": {"least": 0.0, "below": 1.0}})

    on_detection = staticmethod(count_detection)
    on_spike = staticmethod(count_spike)

    @staticmethod
    def on_sample(site, p):
        site.theta = p.threshold_momentum * site.theta + (1.0 - p.threshold_momentum) * site.y * site.y
        site.change += p.lr * site.y * (site.y - site.theta) * site.x
        begin_anew(site)

    @staticmethod
    def on_reset(site, p):
        begin_anew(site)
        site.theta = 0.0


def advantage(site: Any, p: Any) -> float:
    """The reward that has come less the mean of those before it; the mean then takes it in.

    The mean is the plain one of the first 1/(1 - momentum) rewards, then sliding. Without baseline the reward itself.
    """
    out = site.signal - p.baseline * site.mean
    site.count += 1.0
    site.mean += max(1.0 / site.count, 1.0 - p.baseline_momentum) * (site.signal - site.mean)
    return out


@register("rule", "reward_hebbian")
@dataclass(frozen=True)
class RewardHebbian(Rule):
    """Hebb's rule modulated by a reward (S0.10): lr (r - baseline) x y at the signal "reward", whose value is r; then x = y = 0.

    Without a reward nothing is learnt: neither when none comes nor when it is 0.

    Args:
        lr: factor; of either sign.
        tau: ns, how soon detections and spikes are forgotten, above 0; by default infinite: they are counted.
        baseline: whether the mean of the rewards before this one is taken off (before the first it is 0).
        baseline_momentum: from 0 (only the last reward) to 1 (the mean of all); that of a sliding mean, once there are
            1/(1 - momentum) rewards.

    Raises InputError: an argument that is not so.
    """

    lr: float = 0.01
    tau: float = math.inf
    baseline: bool = False
    baseline_momentum: float = 0.9
    requires = frozenset({"pre", "post", "broadcast"})
    variables = {"x": "tau", "y": "tau", "mean": None, "count": None}
    signals = ("reward",)

    def __post_init__(self) -> None:
        check(
            self,
            numbers=("lr",),
            taus=("tau",),
            bounds={"baseline_momentum": {"least": 0.0, "most": 1.0}},
            flags=("baseline",),
        )

    def parameters(self) -> dict[str, float]:
        """The numbers, ``baseline`` as 0 or 1."""
        return {name: float(value) for name, value in super().parameters().items()}

    on_detection = staticmethod(count_detection)
    on_spike = staticmethod(count_spike)

    @staticmethod
    def on_reward(site, p):
        site.change += p.lr * advantage(site, p) * site.x * site.y
        begin_anew(site)


@register("rule", "reward_oja")
@dataclass(frozen=True)
class RewardOja(RewardHebbian):
    """Oja's rule modulated by a reward (S0.R2): lr (r - baseline) (x y - y^2 w) at the signal "reward". Arguments as of RewardHebbian."""

    requires = frozenset({"pre", "post", "weight", "broadcast"})

    @staticmethod
    def on_reward(site, p):
        site.change += p.lr * advantage(site, p) * site.y * (site.x - site.y * site.weight)
        begin_anew(site)
