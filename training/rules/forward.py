"""Forward-forward: every neuron learns to be active on real data and silent on false ones, with no error from elsewhere (Hinton 2022).

>>> learning = ForwardForward(threshold=30.0).on(synapses="in*", storage=Storage(-0.3, 0.3))
>>> run.signal("begin"); run.inject(photons); run.run(run.now + 100.0)                                        # doctest: +SKIP
>>> run.signal("positive")                                         # or "negative", if the sample was a false one     # doctest: +SKIP

Of a neuron's goodness g the logistic p = 1/(1 + exp(-(g - threshold)/width)) says how sure it is that the sample is real. The weights climb
log p of positive and log(1 - p) of negative samples,

    positive: w += lr sign (1 - p) g' x       negative: w -= lr sign p g' x,

where x is the synapse's trace of detected photons and g' the slope of the goodness in what the neuron does: 1 for g = y, 2 y for g = y^2
(features.md, comparison 16: sum of s^2, or the mean of s for hardware).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from soen_event.learning import Rule
from soen_event.physics.elementary import exp
from training.arguments import Faults
from training.registry import register
from training.rules.rates import begin_anew, count_detection, count_spike

__all__ = ["ForwardForward", "ForwardForwardCurrent", "sureness"]


def sureness(excess: float) -> float:
    """The logistic 1/(1 + e^-x), without overflow at either end; the same bits in both engines."""
    if excess >= 0.0:
        return 1.0 / (1.0 + exp(-excess))
    tail = exp(excess)
    return tail / (1.0 + tail)


def powered(y: float, p: Any) -> tuple[float, float]:
    """y^power, for a power of 1 or 2, and its derivative."""
    if p.power == 2.0:
        return y * y, 2.0 * y
    return y, 1.0


def _judge(rule: Any, *times: str) -> None:
    faults = Faults(type(rule).__name__)
    faults.number("lr", rule.lr, least=0.0)
    faults.number("threshold", rule.threshold)
    faults.number("width", rule.width, above=0.0)
    for name in times:
        if getattr(rule, name) != math.inf:
            faults.number(name, getattr(rule, name), above=0.0)
    if rule.sign not in (1, -1):
        faults.add("sign", f"{rule.sign!r} is unknown; give 1 or -1")
    if rule.power not in (1, 2):
        faults.add("power", f"{rule.power!r} is unknown; give 1 (g = y) or 2 (g = y^2)")
    faults.done()


@register("rule", "forward_forward", "ForwardForward")
@dataclass(frozen=True)
class ForwardForward(Rule):
    """Goodness of the spikes of a synapse's neuron: y counts them since the signal ``"begin"`` or the last verdict, g = y^power.

    The verdict is the signal ``"positive"`` or ``"negative"``. Counts then begin anew.

    Arguments:
        lr: at least 0. threshold: of g (30 is between 5 and 6 spikes). width: of the logistic, above 0.
        power: 1 or 2. With 1 a neuron that is silent still learns from positive samples; with 2 neurons become choosier.
        tau_pre, tau_post: ns, with which x and y forget; infinite by default: x and y are counts.
        sign: -1 for synapses behind an odd number of negative couplings.
    """

    lr: float = 5e-4
    threshold: float = 30.0
    width: float = 15.0
    power: float = 2.0
    tau_pre: float = math.inf
    tau_post: float = math.inf
    sign: float = 1.0
    requires = frozenset({"pre", "post", "broadcast"})
    variables = {"x": "tau_pre", "y": "tau_post"}
    signals = ("begin", "positive", "negative")

    def __post_init__(self) -> None:
        _judge(self, "tau_pre", "tau_post")

    on_detection = staticmethod(count_detection)

    on_spike = staticmethod(count_spike)

    @staticmethod
    def on_begin(site: Any, p: Any) -> None:
        begin_anew(site)

    @staticmethod
    def on_positive(site: Any, p: Any) -> None:
        g, slope = powered(site.y, p)
        site.change += p.lr * p.sign * (1.0 - sureness((g - p.threshold) / p.width)) * slope * site.x
        begin_anew(site)

    @staticmethod
    def on_negative(site: Any, p: Any) -> None:
        g, slope = powered(site.y, p)
        site.change -= p.lr * p.sign * sureness((g - p.threshold) / p.width) * slope * site.x
        begin_anew(site)


def sample_begins(site: Any) -> None:
    """Trace and mean begin anew."""
    site.x = 0.0
    site.began = site.now
    site.before = site.current_area


@register("rule", "forward_forward_current", "ForwardForwardCurrent")
@dataclass(frozen=True)
class ForwardForwardCurrent(Rule):
    """Goodness of the mean current y of the loop that a synapse is on, over the sample: each dendrite is a unit, which need not spike.

    Signals and arguments as of :class:`ForwardForward`; ``threshold`` and ``width`` are of mean(s)^power. A sample that lasts no time
    changes nothing.
    """

    lr: float = 0.01
    threshold: float = 0.1
    width: float = 0.05
    power: float = 2.0
    tau_pre: float = math.inf
    sign: float = 1.0
    requires = frozenset({"pre", "averages", "broadcast"})
    variables = {"x": "tau_pre", "began": None, "before": None}
    signals = ("begin", "positive", "negative")

    def __post_init__(self) -> None:
        _judge(self, "tau_pre")

    on_detection = staticmethod(count_detection)

    @staticmethod
    def on_begin(site: Any, p: Any) -> None:
        sample_begins(site)

    @staticmethod
    def on_positive(site: Any, p: Any) -> None:
        if site.now > site.began:
            g, slope = powered((site.current_area - site.before) / (site.now - site.began), p)
            site.change += p.lr * p.sign * (1.0 - sureness((g - p.threshold) / p.width)) * slope * site.x
        sample_begins(site)

    @staticmethod
    def on_negative(site: Any, p: Any) -> None:
        if site.now > site.began:
            g, slope = powered((site.current_area - site.before) / (site.now - site.began), p)
            site.change -= p.lr * p.sign * sureness((g - p.threshold) / p.width) * slope * site.x
        sample_begins(site)
