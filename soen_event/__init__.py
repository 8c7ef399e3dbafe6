"""Event-by-event simulation of superconducting optoelectronic networks (SOENs).

>>> import soen_event as se
>>> with se.Network() as net:
...     dendrite = se.Dendrite("d1", ib=1.8, beta_over_2pi=1000, tau=250.0)
...     synapse = se.Synapse("s1", "d1")
>>> recording = se.simulate(net, photons={"s1": [10.0]}, duration=100.0)
>>> recording.fluxon_count["d1"]
479

Names are loaded on first use, so that ``import soen_event`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Eager, so that ``soen_event.simulate`` stays the function whoever imports the module of that name later.
from soen_event.simulate import Simulation, simulate

__version__ = "0.1.0"

_HOME = {
    "Coupling": "parts",
    "Dendrite": "parts",
    "Device": "device",
    "Drive": "parts",
    "InputError": "errors",
    "Network": "network",
    "Neuron": "parts",
    "Plan": "plan",
    "Plasticity": "learning",
    "Pulse": "parts",
    "Recording": "recording",
    "Refractory": "parts",
    "Rule": "learning",
    "Soma": "parts",
    "Stimulus": "stimulus",
    "Storage": "learning",
    "Synapse": "parts",
    "TiledNetwork": "tiled",
    "Transmitter": "parts",
    "Waveguide": "parts",
    "Wiring": "tiled",
    "lower": "plan",
}
_ROOMS = ("builders", "plotting", "stimulus", "testing", "trains", "units")

__all__ = ["Simulation", "__version__", "simulate", *sorted(_HOME), *_ROOMS]

if TYPE_CHECKING:
    from soen_event import builders, plotting, stimulus, testing, trains, units
    from soen_event.device import Device
    from soen_event.errors import InputError
    from soen_event.learning import Plasticity, Rule, Storage
    from soen_event.network import Network
    from soen_event.parts import (
        Coupling,
        Dendrite,
        Drive,
        Neuron,
        Pulse,
        Refractory,
        Soma,
        Synapse,
        Transmitter,
        Waveguide,
    )
    from soen_event.plan import Plan, lower
    from soen_event.recording import Recording
    from soen_event.stimulus import Stimulus
    from soen_event.tiled import TiledNetwork, Wiring


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"soen_event.{_HOME[name]}"), name)
    elif name in _ROOMS:
        value = import_module(f"soen_event.{name}")
    else:
        raise AttributeError(f"module 'soen_event' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
