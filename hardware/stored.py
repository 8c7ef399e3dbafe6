"""What a chip stores: the value that is nearest to a wanted one, what is stored by name, what a write costs, and what a
stored value then is on a chip with fabrication spread."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware import spread as fabrication
from hardware.chip import Chip, Setting
from hardware.quantize import Levels, quantize_array
from soen_event.errors import InputError
from soen_event.network import Network

if TYPE_CHECKING:
    from hardware.deployment import Deployment

__all__ = ["WriteLedger", "biases", "gains", "own_values", "stored", "values"]


@dataclass
class WriteLedger:
    """What programming has cost. ``writes``: weights that were changed, at loading all of them; ``by_part``: of each.

    ``energy_J`` follows from the chip's energy of a write; nan where that is not known.
    """

    energy_per_write_J: float | None = None
    by_part: Counter[str] = field(default_factory=Counter)

    @property
    def writes(self) -> int:
        return sum(self.by_part.values())

    @property
    def energy_J(self) -> float:
        return math.nan if self.energy_per_write_J is None else self.writes * self.energy_per_write_J

    def __str__(self) -> str:
        energy = "energy not known" if self.energy_per_write_J is None else f"{self.energy_J * 1e15:.4g} fJ"
        return f"{self.writes:,d} writes, {energy}"


def stored(
    chip: Chip,
    setting: Setting | None,
    wanted: np.ndarray,
    names: list[str],
    rounding: str,
    seed: int,
    ordinal: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The values that a chip stores for the given ones, and which of those are beyond its range.

    Args:
        chip: its sign rule is used.
        setting: Levels, a range, or None for any value.
        wanted: finite, shape (n,).
        names: one a value, for stochastic rounding: "weights s1", "J d1->n1".
        rounding, seed, ordinal: as :func:`hardware.quantize.quantize_array`.

    Raises:
        InputError: a value must keep its sign and no level has it.
    """
    if setting is None:
        return wanted, np.zeros(wanted.shape, bool)
    if isinstance(setting, Levels):
        after = quantize_array(
            wanted, setting, rounding=rounding, seed=seed, names=names, ordinal=ordinal, sign=chip.sign
        )
        return after, setting.saturates(wanted, sign=chip.sign)
    low, high = np.full(wanted.shape, setting[0]), np.full(wanted.shape, setting[1])
    if chip.sign == "magnitude":
        size = np.clip(np.abs(wanted), low, high)
        return np.copysign(size, wanted) + 0.0, size != np.abs(wanted)
    if chip.sign == "keep":
        low, high = (
            np.where(wanted > 0.0, np.maximum(low, 0.0), low),
            np.where(wanted < 0.0, np.minimum(high, 0.0), high),
        )
        if np.any(low > high):
            value = wanted[low > high][0]
            raise InputError(
                f"stored: {value:g} must keep its sign, and no value from {setting[0]:g} to {setting[1]:g} has it; widen the range"
            )
    after = np.clip(wanted, low, high)
    return after + 0.0, after != wanted


def values(network: Network) -> dict[str, float]:
    """Weights by synapse and J by coupling."""
    found = {name: synapse.weight for name, synapse in network.synapses.items()}
    return found | {network.key(coupling): coupling.J for coupling in network.couplings}


def biases(network: Network) -> dict[str, float]:
    """Biases by dendrite, neuron and ``n1.refractory``."""
    found: dict[str, Any] = {name: dendrite.ib for name, dendrite in network.dendrites.items()}
    for name, neuron in network.neurons.items():
        found[name] = neuron.soma.ib
        if neuron.refractory is not None:
            found[f"{name}.refractory"] = neuron.refractory.ib
    return found


def own_values(network: Network) -> Network:
    """The network with what follows from other values written out: a chip does not adapt."""
    own = network.copy()
    for name, neuron in network.neurons.items():
        if neuron.refractory is not None:
            ib = neuron.soma.ib if neuron.refractory.ib is None else neuron.refractory.ib
            own.replace(name, refractory={"ib": ib, "J": network.refractory_coupling(name)})
    return own


def gains(found: Deployment) -> dict[str, float]:
    """What a weight, a J and a bias (``<id> ib``) are on this chip over what is written: the deviations of its places."""
    if found.spread is None:
        return {}
    unit = found.programmed.copy()
    unit.set_parameters({"weights": 1.0, "J": 1.0})
    gains = values(fabrication.spread(unit, found.spread, found.seed, out_of_range="clip"))
    drawn, made = biases(own_values(found.programmed)), biases(own_values(found.network))
    return gains | {f"{name} ib": made[name] / ib for name, ib in drawn.items() if ib > 0.0}
