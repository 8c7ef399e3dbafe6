"""Rules of learning that the engines run while photons fly (features.md S0.07-S0.14).

>>> from training.rules import STDP
>>> learning = STDP(lr=0.02).on(synapses="*")                    # simulate(net, photons, 100.0, learning=learning)

Each is a :class:`soen_event.Rule` and registered by name: ``training.registry.get("rule", "stdp")``. Several at one site:
:class:`Together`. :func:`training.rules.arbor.arbor` puts the arbor rule on the dendrites of a neuron.
"""

from __future__ import annotations

from training.rules.arbor import Arbor, HebbianArbor
from training.rules.equilibrium import EquilibriumOffset, EquilibriumPropagation, EquilibriumTask
from training.rules.forward import ForwardForward, ForwardForwardCurrent
from training.rules.homeostasis import FluxHomeostasis, RateHomeostasis, SynapticScaling
from training.rules.pairs import STDP, SoftSTDP, TripletSTDP
from training.rules.photonic import PhotonicSTDP
from training.rules.rates import BCM, Hebbian, Oja, RewardHebbian, RewardOja, SampledHebbian, SampledOja
from training.rules.rewards import Eligibility, ThreeFactor
from training.rules.together import Together

__all__ = [
    "BCM",
    "STDP",
    "Arbor",
    "Eligibility",
    "EquilibriumOffset",
    "EquilibriumPropagation",
    "EquilibriumTask",
    "FluxHomeostasis",
    "ForwardForward",
    "ForwardForwardCurrent",
    "Hebbian",
    "HebbianArbor",
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
