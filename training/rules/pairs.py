"""Spike-timing-dependent plasticity: what a pair or a triplet of a detection and spikes changes (features.md S0.13, physics.md 7.3).

A synapse hears its own detections (*pre*) and the spikes of its neuron (*post*). A pair with dt = t_post - t_pre strengthens if dt > 0
and weakens if dt < 0. What a pair at the very same time does has to be said (``coincidence``), and the result does not depend on which
of the two events an engine handles first: the traces of what happened at this very moment are kept apart from those of what happened
before (``x_now`` and ``x``), and the second of the two events sees to the pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from soen_event.learning import Rule
from soen_event.physics.elementary import exp, log
from training.arguments import Faults
from training.registry import register
from training.rules.checks import check

__all__ = ["COINCIDENCE", "STDP", "SoftSTDP", "TripletSTDP"]

COINCIDENCE = {"none": (0.0, 0.0), "ltp": (1.0, 0.0), "ltd": (0.0, 1.0), "both": (1.0, 1.0)}
"""What a pair at the very same time counts as: one of strengthening, one of weakening."""


def pairs_at_detection(site: Any, p: Any) -> tuple[float, float]:
    """A detection: sums over the pairs that it completes, (of strengthening, of weakening), each pair e^{-|dt|/tau}.

    ``site`` has ``x``, ``x_now``, ``pre_at`` (of detections) and ``y``, ``y_now``, ``post_at`` (of spikes); ``p`` has ``ltp``, ``ltd``
    and ``nearest``, 0 or 1.
    """
    now = site.now
    spikes = 0.0  # at this very time
    before = site.y_now + (1.0 - p.nearest) * site.y
    if site.post_at == now:
        spikes, before = site.y_now, site.y
    last = site.x_now + (1.0 - p.nearest) * site.x
    up, down = 0.0, before
    if spikes > 0.0:
        if p.ltd > 0.0:
            down = p.ltd * spikes + (1.0 - p.nearest) * before
        if p.ltp > 0.0:
            up = p.ltp * spikes
            if p.nearest > 0.0 and site.pre_at != now:
                up -= p.ltp * spikes * last  # those spikes have been paired with the detection before this one
    if site.pre_at != now:
        site.x, site.x_now, site.pre_at = last, 0.0, now
    site.x_now += 1.0
    return up, down


def pairs_at_spike(site: Any, p: Any) -> tuple[float, float]:
    """A spike: the same as :func:`pairs_at_detection`, the parts exchanged."""
    now = site.now
    detections = 0.0
    before = site.x_now + (1.0 - p.nearest) * site.x
    if site.pre_at == now:
        detections, before = site.x_now, site.x
    last = site.y_now + (1.0 - p.nearest) * site.y
    up, down = before, 0.0
    if detections > 0.0:
        if p.ltp > 0.0:
            up = p.ltp * detections + (1.0 - p.nearest) * before
        if p.ltd > 0.0:
            down = p.ltd * detections
            if p.nearest > 0.0 and site.post_at != now:
                down -= p.ltd * detections * last
    if site.post_at != now:
        site.y, site.y_now, site.post_at = last, 0.0, now
    site.y_now += 1.0
    return up, down


@register("rule", "stdp")
@dataclass(frozen=True)
class STDP(Rule):
    """Pairs of a detection and a spike: lr A+ e^{-dt/tau_plus} if the spike comes dt later, -lr A- e^{-|dt|/tau_minus} if earlier.

    Args:
        lr: factor of all changes; of either sign.
        tau_plus, tau_minus: ns, how soon detections (for strengthening) and spikes (for weakening) are forgotten; above 0.
        a_plus, a_minus: A+ and A-, of a pair with dt = 0; of either sign.
        coincidence: what a pair at the very same time does: "none", "ltp" (strengthens by A+), "ltd" (weakens by A-) or "both".
        nearest: False: every detection is paired with every spike. True: a spike with the last detections before it, a detection with
            the last spikes before it (symmetric nearest neighbours; Morrison, Diesmann, Gerstner, Biol. Cybern. 98:459, 2008, fig. 7A). A
            coincidence that counts is nearer than all that came before.

    Raises InputError: an argument that is not so.
    """

    lr: float = 0.01
    tau_plus: float = 20.0
    tau_minus: float = 20.0
    a_plus: float = 1.0
    a_minus: float = 1.0
    coincidence: str = "none"
    nearest: bool = False
    requires = frozenset({"pre", "post"})
    variables = {
        "x": "tau_plus",
        "x_now": "tau_plus",
        "y": "tau_minus",
        "y_now": "tau_minus",
        "pre_at": None,
        "post_at": None,
    }

    def __post_init__(self) -> None:
        self._check()

    def _check(self, **more: Any) -> None:
        check(
            self,
            numbers=("lr", "a_plus", "a_minus", *more.pop("numbers", ())),
            taus=("tau_plus", "tau_minus", *more.pop("taus", ())),
            choices={"coincidence": COINCIDENCE},
            flags=("nearest", *more.pop("flags", ())),
            **more,
        )

    def parameters(self) -> dict[str, float]:
        """The numbers: ``coincidence`` as ``ltp`` and ``ltd``, flags as 0 or 1."""
        out = super().parameters()
        out["ltp"], out["ltd"] = COINCIDENCE[self.coincidence]
        del out["coincidence"]
        return {name: float(value) for name, value in out.items()}

    @staticmethod
    def on_detection(site, p):
        up, down = pairs_at_detection(site, p)
        site.change += p.lr * (p.a_plus * up - p.a_minus * down)

    @staticmethod
    def on_spike(site, p):
        up, down = pairs_at_spike(site, p)
        site.change += p.lr * (p.a_plus * up - p.a_minus * down)


def power(base: float, exponent: float) -> float:
    """base^exponent for 0 <= base, the same bits everywhere; 1 for exponent 0; a base below 0 is 0."""
    if exponent == 0.0:
        return 1.0
    if base <= 0.0:
        return 0.0
    return exp(exponent * log(base))


@register("rule", "soft_stdp")
@dataclass(frozen=True)
class SoftSTDP(STDP):
    """STDP whose steps shrink towards bounds: A+ (1 - u)^mu and A- u^mu with u = (weight - low)/(high - low).

    Guetig, Aharonov, Rotter, Sompolinsky, J. Neurosci. 23:3697 (2003). ``mu`` 0: additive, as :class:`STDP`; 1: multiplicative.

    Args:
        mu: exponent, at least 0.
        low, high: weights at which weakening and strengthening vanish, low < high.

    Others as of :class:`STDP`. Raises InputError: an argument that is not so.
    """

    mu: float = 1.0
    low: float = 0.0
    high: float = 1.0
    requires = frozenset({"pre", "post", "weight"})

    def __post_init__(self) -> None:
        self._check(numbers=("low",), bounds={"mu": {"least": 0.0}})
        check(self, bounds={"high": {"above": self.low}})

    @staticmethod
    def on_detection(site, p):
        up, down = pairs_at_detection(site, p)
        u = (site.weight - p.low) / (p.high - p.low)
        site.change += p.lr * (p.a_plus * power(1.0 - u, p.mu) * up - p.a_minus * power(u, p.mu) * down)

    @staticmethod
    def on_spike(site, p):
        up, down = pairs_at_spike(site, p)
        u = (site.weight - p.low) / (p.high - p.low)
        site.change += p.lr * (p.a_plus * power(1.0 - u, p.mu) * up - p.a_minus * power(u, p.mu) * down)


FITS = {
    ("visual cortex", "full"): (5e-10, 7e-3, 6.2e-3, 2.3e-4, 101.0, 125.0),
    ("visual cortex", "minimal"): (0.0, 7.1e-3, 6.5e-3, 0.0, 101.0, 114.0),
    ("hippocampus", "full"): (6.1e-3, 1.6e-3, 6.7e-3, 1.4e-3, 946.0, 27.0),
    ("hippocampus", "minimal"): (5.3e-3, 3.5e-3, 8e-3, 0.0, 946.0, 40.0),
}
"""A2+, A2-, A3+, A3-, tau_x and tau_y (ms) of the all-to-all models of Pfister and Gerstner (2006), tables 3 and 4. Where A3- is 0,
tau_x does nothing; it is that of the full model."""


@register("rule", "triplet_stdp")
@dataclass(frozen=True)
class TripletSTDP(Rule):
    """Pairs and triplets of detections and spikes, all with all (Pfister, Gerstner, J. Neurosci. 26:9673, 2006, eqs. 3 and 4).

    A spike: +lr r1 (A2+ + A3+ o2); a detection: -lr o1 (A2- + A3- r2). r1 and r2 are traces of earlier detections (tau_plus, tau_x),
    o1 and o2 of earlier spikes (tau_minus, tau_y). "Earlier" is strictly so: events at the very same time do not see each other,
    unless ``coincidence`` says that a pair does.

    Args:
        lr: factor of all changes.
        a2_plus, a2_minus, a3_plus, a3_minus: of pairs and triplets. Minimal models: a3_minus = 0, or also a2_plus = 0. :meth:`fitted` has
            those of the paper. a3_plus = a3_minus = 0: :class:`STDP`.
        tau_plus, tau_minus, tau_x, tau_y: ns, above 0.
        coincidence: what a pair at the very same time does, as of :class:`STDP`; its triplets have earlier third events only.

    Raises InputError: an argument that is not so.
    """

    lr: float = 1.0
    a2_plus: float = 0.0
    a2_minus: float = 7.1e-3
    a3_plus: float = 6.5e-3
    a3_minus: float = 0.0
    tau_plus: float = 16.8
    tau_minus: float = 33.7
    tau_x: float = 101.0
    tau_y: float = 114.0
    coincidence: str = "none"
    requires = frozenset({"pre", "post"})
    variables = {
        "r1": "tau_plus", "r1_now": "tau_plus", "r2": "tau_x", "r2_now": "tau_x",
        "o1": "tau_minus", "o1_now": "tau_minus", "o2": "tau_y", "o2_now": "tau_y",
        "pre_at": None, "post_at": None,
    }  # fmt: skip

    def __post_init__(self) -> None:
        check(
            self,
            numbers=("lr", "a2_plus", "a2_minus", "a3_plus", "a3_minus"),
            taus=("tau_plus", "tau_minus", "tau_x", "tau_y"),
            choices={"coincidence": COINCIDENCE},
        )

    @classmethod
    def fitted(
        cls, tissue: str = "visual cortex", model: str = "minimal", ms: float = 1.0, **options: Any
    ) -> TripletSTDP:
        """The rule as fitted to tissue by Pfister and Gerstner (2006), all-to-all.

        Args:
            tissue: "visual cortex" or "hippocampus"; ``model``: "full" or "minimal".
            ms: how many ns here stand for a millisecond there, above 0.
            options: fields that are to be other than fitted.

        Raises InputError: unknown words, or ``ms`` out of range.
        """
        faults = Faults("TripletSTDP.fitted")
        faults.choice("tissue", tissue, dict.fromkeys(t for t, _ in FITS))
        faults.choice("model", model, dict.fromkeys(m for _, m in FITS))
        faults.number("ms", ms, above=0.0)
        faults.done()
        a2_plus, a2_minus, a3_plus, a3_minus, tau_x, tau_y = FITS[tissue, model]
        own = {
            "a2_plus": a2_plus,
            "a2_minus": a2_minus,
            "a3_plus": a3_plus,
            "a3_minus": a3_minus,
            "tau_plus": 16.8 * ms,
            "tau_minus": 33.7 * ms,
            "tau_x": tau_x * ms,
            "tau_y": tau_y * ms,
        }
        return cls(**{**own, **options})

    def parameters(self) -> dict[str, float]:
        """The numbers: ``coincidence`` as ``ltp`` and ``ltd``."""
        out = super().parameters()
        out["ltp"], out["ltd"] = COINCIDENCE[self.coincidence]
        del out["coincidence"]
        return out

    @staticmethod
    def on_detection(site, p):
        now = site.now
        if site.pre_at != now:
            site.r1 += site.r1_now
            site.r2 += site.r2_now
            site.r1_now, site.r2_now, site.pre_at = 0.0, 0.0, now
        before, before_2, spikes = site.o1 + site.o1_now, site.o2 + site.o2_now, 0.0
        if site.post_at == now:
            before, before_2, spikes = site.o1, site.o2, site.o1_now
        down = (before + p.ltd * spikes) * (p.a2_minus + p.a3_minus * site.r2)
        site.change += p.lr * (p.ltp * spikes * (p.a2_plus + p.a3_plus * before_2) - down)
        site.r1_now += 1.0
        site.r2_now += 1.0

    @staticmethod
    def on_spike(site, p):
        now = site.now
        if site.post_at != now:
            site.o1 += site.o1_now
            site.o2 += site.o2_now
            site.o1_now, site.o2_now, site.post_at = 0.0, 0.0, now
        before, before_2, detections = site.r1 + site.r1_now, site.r2 + site.r2_now, 0.0
        if site.pre_at == now:
            before, before_2, detections = site.r1, site.r2, site.r1_now
        up = (before + p.ltp * detections) * (p.a2_plus + p.a3_plus * site.o2)
        site.change += p.lr * (up - p.ltd * detections * (p.a2_minus + p.a3_minus * before_2))
        site.o1_now += 1.0
        site.o2_now += 1.0
