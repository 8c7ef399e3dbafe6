"""Three-factor rules: what has happened at a synapse is remembered, and a reward or an error decides what becomes of it.

:class:`ThreeFactor` remembers pairs of detections and spikes (features.md S0.14), :class:`Eligibility` how much a detection could have
moved the neuron's spikes (features.md 3.2, 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from soen_event.learning import Rule
from training.registry import register
from training.rules.checks import check
from training.rules.pairs import STDP, pairs_at_detection, pairs_at_spike

__all__ = ["Eligibility", "ThreeFactor"]


@register("rule", "three_factor")
@dataclass(frozen=True)
class ThreeFactor(STDP):
    """Reward-modulated STDP (S0.14): e' = -e/tau_e + STDP, and lr M e at the signal "reward", whose value is M.

    What STDP would have changed goes into an eligibility trace e instead. A reward that comes a gap later credits it with e^{-gap/tau_e}.

    Args:
        tau_e: ns, how soon pairs are forgotten, above 0; infinite: never.
        spend: True: a reward (of any value, 0 too) uses the trace up, e = 0. False: the same pairs are credited again by later rewards.

    Others as of :class:`training.rules.STDP`. Raises InputError: an argument that is not so.
    """

    tau_e: float = 200.0
    spend: bool = False
    requires = frozenset({"pre", "post", "broadcast"})
    variables = {**STDP.variables, "e": "tau_e"}
    signals = ("reward",)

    def __post_init__(self) -> None:
        self._check(taus=("tau_e",), flags=("spend",))

    @staticmethod
    def on_detection(site, p):
        up, down = pairs_at_detection(site, p)
        site.e += p.a_plus * up - p.a_minus * down

    @staticmethod
    def on_spike(site, p):
        up, down = pairs_at_spike(site, p)
        site.e += p.a_plus * up - p.a_minus * down

    @staticmethod
    def on_reward(site, p):
        site.change += p.lr * site.signal * site.e
        if p.spend > 0.0:
            site.e = 0.0


def tent(v: float, p: Any) -> float:
    """Pseudo-derivative of a spike at ``v`` above the threshold: height (1 - |v|/width), at least 0."""
    return p.height * max(0.0, 1.0 - abs(v) / p.width)


@register("rule", "eligibility")
@dataclass(frozen=True)
class Eligibility(Rule):
    """Error-driven rule with a local eligibility, after e-prop (features.md 3.2, 3.3): -lr L e at the signal "error", whose value is L.

    x is a trace of the synapse's detections (1 each, tau), what flux it has lately put in. Whenever the synapse detects, and whenever the
    neuron spikes, e grows by psi(s - threshold) x, with s the current of the soma, and psi(v) = height max(0, 1 - |v|/width) the
    pseudo-derivative of a spike; a detection counts in its own x. At a spike the soma is at its threshold, so psi is ``height``
    whatever the spike has done to the current. e is forgotten with tau_e (the filter kappa of e-prop). This is the rule that a chip can
    afford (features.md 3.2): pre-trace times post-factor. Of the neuron's Jacobian it has only the trace.

    The error is that of each neuron, d loss/d output: give the signal a mapping from neurons to numbers, or one number for all.

    Args:
        lr: factor.
        threshold: of the soma, I_c, above 0; as in the network (:class:`soen_event.Soma`).
        width: half width of psi, I_c, above 0. height: psi at the threshold, above 0.
        tau: ns, of the trace of detections; that of the dendrite is a good guess. tau_e: ns, of the eligibility. Above 0; may be infinite.
        spend: True: an error uses the eligibility up, e = 0.

    Raises InputError: an argument that is not so.
    """

    lr: float = 0.01
    threshold: float = 0.5
    width: float = 0.5
    height: float = 1.0
    tau: float = 250.0
    tau_e: float = 250.0
    spend: bool = False
    requires = frozenset({"pre", "post", "post current", "per-neuron"})
    variables = {"x": "tau", "e": "tau_e"}
    signals = ("error",)

    def __post_init__(self) -> None:
        check(
            self,
            numbers=("lr",),
            taus=("tau", "tau_e"),
            bounds={name: {"above": 0.0} for name in ("threshold", "width", "height")},
            flags=("spend",),
        )

    def parameters(self) -> dict[str, float]:
        """The numbers, ``spend`` as 0 or 1."""
        return {name: float(value) for name, value in super().parameters().items()}

    @staticmethod
    def on_detection(site, p):
        site.x += 1.0
        site.e += tent(site.post_current - p.threshold, p) * site.x

    @staticmethod
    def on_spike(site, p):
        site.e += p.height * site.x

    @staticmethod
    def on_error(site, p):
        site.change -= p.lr * site.signal * site.e
        if p.spend > 0.0:
            site.e = 0.0
