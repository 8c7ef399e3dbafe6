"""Homeostasis: what keeps neurons and dendrites busy, neither silent nor saturated.

Both rules follow an equation dw/dt = lr (target - what is) whose right side they integrate exactly from each event that they hear to the
next. So it does not matter how often a signal "tick" comes; it has to come now and then so that the silent are heard of too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from soen_event.learning import Rule
from training.registry import register
from training.rules.checks import check

__all__ = ["FluxHomeostasis", "RateHomeostasis", "SynapticScaling"]


def shortfall(site: Any, p: Any) -> float:
    """Integral of target - rate since the last event that was heard, spikes. ``site`` has ``y``, ``was`` and ``since``."""
    out = p.target * (site.now - site.since) - (site.was - site.y)
    site.since = site.now
    site.was = site.y
    return out


@register("rule", "rate_homeostasis")
@dataclass(frozen=True)
class RateHomeostasis(Rule):
    """dw/dt = lr (target - r) with r the neuron's rate, low-passed: tau r' = -r, and r grows by 1/tau at a spike.

    Changes are made at the neuron's spikes and at the signals "tick" and "sample" (whose values do not matter), each the integral since
    the one before: with spikes at t_k, all changes until T add up to lr (target T - sum_k (1 - e^{-(T - t_k)/tau})). For weights,
    couplings, or the flux offset of a soma or dendrite (then it is the neuron's excitability that is kept).

    Args:
        target: spikes/ns, at least 0 (0.01 is 10 MHz).
        lr: change per spike that is missing; above 0 where the value excites, below 0 where it inhibits.
        tau: ns, above 0 and finite: over which the rate is taken.

    Raises InputError: an argument that is not so.
    """

    target: float = 0.01
    lr: float = 0.01
    tau: float = 1000.0
    requires = frozenset({"post", "broadcast"})
    variables = {"y": "tau", "was": None, "since": None}
    signals = ("tick", "sample")

    def __post_init__(self) -> None:
        check(self, numbers=("lr",), bounds={"target": {"least": 0.0}, "tau": {"above": 0.0}})

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * shortfall(site, p)
        site.y += 1.0
        site.was = site.y

    @staticmethod
    def on_tick(site, p):
        site.change += p.lr * shortfall(site, p)

    @staticmethod
    def on_sample(site, p):
        site.change += p.lr * shortfall(site, p)


@register("rule", "synaptic_scaling")
@dataclass(frozen=True)
class SynapticScaling(RateHomeostasis):
    """Homeostasis that keeps the ratios of a neuron's weights: dw/dt = lr w (target - r).

    Van Rossum, Bi, Turrigiano, J. Neurosci. 20:8812 (2000).

    Each change is the weight as it is times the integral of :class:`RateHomeostasis`, whose arguments it has. A weight of 0 stays 0.
    """

    requires = frozenset({"post", "weight", "broadcast"})

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * site.weight * shortfall(site, p)
        site.y += 1.0
        site.was = site.y

    @staticmethod
    def on_tick(site, p):
        site.change += p.lr * site.weight * shortfall(site, p)

    @staticmethod
    def on_sample(site, p):
        site.change += p.lr * site.weight * shortfall(site, p)


@register("rule", "flux_homeostasis")
@dataclass(frozen=True)
class FluxHomeostasis(Rule):
    """Keeps the mean flux or mean current of a loop at a target: lr (target - mean since the last tick) at the signal "tick".

    Meant for flux offsets (``loops=``), which move the mean flux one to one: with ``of="flux"`` and lr = 1 one tick corrects what the
    offset alone can. A weight or coupling is moved by the mean of the loop that it belongs to.

    Args:
        target: Phi0 for ``of="flux"``, I_c for ``of="current"``.
        lr: above 0: more where there is too little.
        of: "flux" or "current".

    Raises InputError: an argument that is not so.
    """

    target: float = 0.2
    lr: float = 0.1
    of: str = "flux"
    requires = frozenset({"averages", "broadcast"})
    variables = {"area": None, "since": None}
    signals = ("tick",)

    def __post_init__(self) -> None:
        check(self, numbers=("target", "lr"), choices={"of": ("flux", "current")})

    def parameters(self) -> dict[str, float]:
        """The numbers; ``of_current``: 1 for the current, 0 for the flux."""
        return {"target": self.target, "lr": self.lr, "of_current": float(self.of == "current")}

    @staticmethod
    def on_tick(site, p):
        area = site.flux_area
        if p.of_current > 0.0:
            area = site.current_area
        if site.now > site.since:
            site.change += p.lr * (p.target - (area - site.area) / (site.now - site.since))
        site.area = area
        site.since = site.now
