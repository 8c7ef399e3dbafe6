"""Rules of learning that the engines run while photons fly (features.md S0.07-S0.14).

>>> from training.rules import STDP
>>> learning = STDP(lr=0.02).on(synapses="*")                    # simulate(net, photons, 100.0, learning=learning)

Each is a :class:`soen_event.Rule` and registered by name: ``training.registry.get("rule", "stdp")``.
"""

from __future__ import annotations

from training.rules.pairs import STDP, SoftSTDP, TripletSTDP

__all__ = [
    "STDP",
    "SoftSTDP",
    "TripletSTDP",
]
