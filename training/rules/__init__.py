"""Rules of learning that the engines run while photons fly (features.md S0.07-S0.14).

>>> from training.rules import STDP
>>> learning = STDP(lr=0.02).on(synapses="*")                    # simulate(net, photons, 100.0, learning=learning)

Each is a :class:`soen_event.Rule` and registered by name: ``training.registry.get("rule", "stdp")``. Several at one site:
:class:`Together`.
"""

from __future__ import annotations

from training.rules.homeostasis import FluxHomeostasis, RateHomeostasis, SynapticScaling
from training.rules.pairs import STDP, SoftSTDP, TripletSTDP
from training.rules.photonic import PhotonicSTDP
from training.rules.rates import BCM, Hebbian, Oja, RewardHebbian, RewardOja, SampledHebbian, SampledOja
from training.rules.rewards import Eligibility, ThreeFactor
from training.rules.together import Together

__all__ = [
    "BCM",
    "STDP",
    "Eligibility",
    "FluxHomeostasis",
    "Hebbian",
    "Oja",
    "PhotonicSTDP",
    "RateHomeostasis",
    "RewardHebbian",
    "RewardOja",
    "SampledHebbian",
    "SampledOja",
    "SoftSTDP",
    "SynapticScaling",
    "ThreeFactor",
    "Together",
    "TripletSTDP",
]
