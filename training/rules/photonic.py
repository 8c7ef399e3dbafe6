"""The plasticity that loop neurons have in hardware: photons move single flux quanta of a storage loop (physics.md 7.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from soen_event.errors import InputError
from soen_event.learning import Rule, Storage
from training.registry import register
from training.rules.checks import check

__all__ = ["PhotonicSTDP"]


@register("rule", "photonic_stdp")
@dataclass(frozen=True)
class PhotonicSTDP(Rule):
    """Coincident photons put a flux quantum into a synapse's storage loop or take one out (Shainline et al., arXiv 1805.01937, 1805.01947).

    A photon that the synapse detects opens one gate for ``window`` ns; one of its neuron's own spikes opens another. A spike that finds
    the first gate open puts a quantum in (first the input, then the neuron: Hebbian); a detection that finds the second open takes one
    out (anti-Hebbian). A gate that is open stays so until ``window`` ns have passed since the last photon that came to it. A photon and
    a spike at the very same time do not see each other, whichever is handled first.

    A gate that has been used: with ``photons`` 2 (1805.01937: two photons to strengthen and two to weaken) it closes, so each quantum
    costs a photon of the input and one of the neuron. With ``photons`` 1 (1805.01947: a single photon for each step) it stays open and
    every further photon moves a quantum. The papers' circuits set further limits, which could not be read (physics.md 7.1): this
    reading of them is ours.

    Args:
        photons: 1 or 2, as above.
        window: ns, above 0; how long a gate is open, a time constant of the circuit of the detector and its loop.
        step: change of the weight by a quantum, above 0; with a memory of levels their distance (:meth:`storage`).

    Raises InputError: an argument that is not so.
    """

    photons: int = 2
    window: float = 50.0
    step: float = 1.0 / 399.0
    requires = frozenset({"pre", "post"})
    variables = {
        "up_open": None, "up_since": None, "up_last": None,
        "down_open": None, "down_since": None, "down_last": None,
    }  # fmt: skip

    def __post_init__(self) -> None:
        check(self, bounds={"window": {"above": 0.0}, "step": {"above": 0.0}})
        if isinstance(self.photons, bool) or self.photons not in (1, 2):
            raise InputError(f"PhotonicSTDP.photons: {self.photons!r} is out of range; give 1 or 2")

    def storage(self, low: float = 0.0, levels: int = 400, **options: Any) -> Storage:
        """The storage loop: ``levels`` values from ``low``, one quantum apart (some 400: arXiv 2311.05881); options of Storage.

        >>> rule = PhotonicSTDP(window=30.0)
        >>> learning = rule.on(synapses="*", storage=rule.storage())
        """
        return Storage(low, low + (levels - 1) * self.step, levels=levels, **{"rounding": "nearest", **options})

    def parameters(self) -> dict[str, float]:
        """The numbers; ``spent``: 1 if a gate closes when it has been used."""
        return {"window": self.window, "step": self.step, "spent": float(self.photons - 1)}

    @staticmethod
    def on_detection(site, p):
        now = site.now
        if site.down_open > 0.0 and site.down_since < now and now - site.down_last <= p.window:
            site.change -= p.step
            if p.spent > 0.0:
                site.down_since = now
                if site.down_last < now:
                    site.down_open = 0.0
        if site.up_open == 0.0 or now - site.up_last > p.window:
            site.up_open, site.up_since = 1.0, now
        site.up_last = now

    @staticmethod
    def on_spike(site, p):
        now = site.now
        if site.up_open > 0.0 and site.up_since < now and now - site.up_last <= p.window:
            site.change += p.step
            if p.spent > 0.0:
                site.up_since = now
                if site.up_last < now:
                    site.up_open = 0.0
        if site.down_open == 0.0 or now - site.down_last > p.window:
            site.down_open, site.down_since = 1.0, now
        site.down_last = now
