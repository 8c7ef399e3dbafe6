"""Noise of loops and fluxes, as a stimulus: ``se.simulate(net, photons + current_noise(net, 500.0, seed=1), ...)``.

A temperature of the device (``Device.temperature``) already makes its fluxons thermal: the noise of the junctions' shunts is in the rate.
What it does not hold is added here, where it is wanted, because it costs events in loops that would else sleep:

* :func:`current_noise`, Johnson noise of the leak resistor: an Ornstein-Uhlenbeck process of the loop's current with variance
  kT/L and the loop's own decay time (physics.md 6). The resistor lets a few random flux quanta in, many times in every decay time.
* :func:`flux_noise` in the SQUIDs from outside, an Ornstein-Uhlenbeck process too, so white up to 1/(2 pi correlation).

Every draw has the address (seed, id of the loop, k): adding a loop or a longer duration changes nobody's noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError, nearest
from soen_event.physics.random import CURRENT_NOISE, FLUX_NOISE, checked_seed, normal, part_key
from soen_event.units import is_number

if TYPE_CHECKING:
    from soen_event.network import Network
    from soen_event.stimulus import Stimulus

__all__ = ["DENSITY", "current_noise", "flux_noise"]

DENSITY = 9.5e-8
"""Flux noise of a dc SQUID with the default device's shunts at 4.2 K, Phi0 per root Hz (physics.md 6: sqrt(16 kT L^2/R))."""
_MOST = 20_000_000  # draws


def current_noise(
    network: Network,
    duration: float,
    seed: int,
    *,
    temperature: float | None = None,
    steps: int = 20,
    loops: Iterable[str] | None = None,
) -> Stimulus:
    """Johnson noise of the resistors in integration loops.

    The current of a loop becomes an Ornstein-Uhlenbeck process of variance kT/(L I_c^2) (units of I_c; 1.7e-3 rms at 2 nH and 4.2 K),
    correlated over the loop's decay time, from time 0 on. Averaged over time the variance is exact for any ``steps``; loops that
    load each other share their noise as their resistors say.

    Args:
        network: a Network. duration: ns, above 0. seed: 0 to 2**63 - 1.
        temperature: K; default the device's.
        steps: in every decay time of a loop, 2 to 1000; each is an event.
        loops: ids of dendrites, ``<neuron>.soma`` and ``<neuron>.refractory`` that are noisy; default all.

    Returns:
        A Stimulus of drives.

    Raises:
        InputError: an argument out of its range, an unknown loop, temperature 0, or more than 2e7 draws.
    """
    parts, seed = _checked("current_noise", network, duration, seed, loops)
    kelvin = network.device.temperature if temperature is None else temperature
    faults = []
    if not (is_number(kelvin) and 0.0 < kelvin <= 20.0):
        faults.append(f"current_noise.temperature: {kelvin!r} is no temperature for it; give K, above 0 to 20")
    if isinstance(steps, bool) or not isinstance(steps, int) or not 2 <= steps <= 1000:
        faults.append(f"current_noise.steps: {steps!r} is outside 2 to 1000; give a whole number, such as 20")
    if faults:
        raise InputError(faults)
    from soen_event.parts import Drive, detached
    from soen_event.plan import electrical
    from soen_event.stimulus import Stimulus

    gamma = network.device.gamma_thermal(kelvin)
    drives = []
    electric = {name: electrical(network.device, part) for name, part in parts.items()}
    _check_number("current_noise", sum(duration / tau * steps for _, tau in electric.values()))
    for name, (beta, tau) in electric.items():
        kept = math.exp(-1.0 / steps)
        # The current decays between the steps: its mean square there is this share of that right after a step.
        share = (1.0 - kept * kept) * steps / 2.0
        spread = math.sqrt(gamma / beta / share) * beta / (2.0 * math.pi)  # in quanta
        z = _normals(seed, part_key(name), CURRENT_NOISE, int(duration / tau * steps) + 1)
        size = np.full(len(z), spread * math.sqrt(1.0 - kept * kept))
        size[0] = spread
        times = np.arange(len(z)) * (tau / steps)
        with detached():
            drives.append(Drive(name, quanta=tuple(zip(times.tolist(), (size * z).tolist(), strict=True))))
    return Stimulus(drives=drives)


def flux_noise(
    network: Network,
    duration: float,
    seed: int,
    *,
    density: float = DENSITY,
    correlation: float = 1.0,
    points: int = 4,
    loops: Iterable[str] | None = None,
) -> Stimulus:
    """Noise of the flux in the SQUIDs.

    An Ornstein-Uhlenbeck process with the one-sided spectral density ``density`` squared at low frequency: its rms is
    density/(2 sqrt(correlation)), 1.5e-3 Phi0 at the default. Piecewise linear between its points, of which there are ``points`` in every
    correlation time; the variance averaged over time is exact.

    Args:
        network: a Network. duration: ns, above 0. seed: 0 to 2**63 - 1.
        density: Phi0 per root Hz, above 0.
        correlation: ns, 1e-3 to 1e6: white below 1/(2 pi correlation).
        points: in every correlation time, 1 to 100.
        loops: ids of noisy loops, as of :func:`current_noise`.

    Returns:
        A Stimulus of drives that thread both arms of the SQUIDs.

    Raises:
        InputError: an argument out of its range, an unknown loop, or more than 2e7 draws.
    """
    parts, seed = _checked("flux_noise", network, duration, seed, loops)
    faults = []
    if not (is_number(density) and 0.0 < density <= 1e-3):
        faults.append(f"flux_noise.density: {density!r} is no flux noise; give Phi0 per root Hz, such as {DENSITY}")
    if not (is_number(correlation) and 1e-3 <= correlation <= 1e6):
        faults.append(f"flux_noise.correlation: {correlation!r} is outside 1e-3 to 1e6 ns")
    if isinstance(points, bool) or not isinstance(points, int) or not 1 <= points <= 100:
        faults.append(f"flux_noise.points: {points!r} is outside 1 to 100; give a whole number, such as 4")
    if faults:
        raise InputError(faults)
    _check_number("flux_noise", len(parts) * duration / correlation * points)
    from soen_event.parts import Drive, detached
    from soen_event.stimulus import Stimulus

    kept = math.exp(-1.0 / points)
    rms = density / (2.0 * math.sqrt(correlation * 1e-9)) / math.sqrt((2.0 + kept) / 3.0)
    drives = []
    for name in parts:
        z = _normals(seed, part_key(name), FLUX_NOISE, int(duration / correlation * points) + 2)
        flux = np.empty(len(z))
        now = 0.0
        for k, value in enumerate(z.tolist()):
            now = value if k == 0 else kept * now + math.sqrt(1.0 - kept * kept) * value
            flux[k] = rms * now
        times = np.arange(len(z)) * (correlation / points)
        with detached():
            drives.append(Drive(name, points=tuple(zip(times.tolist(), flux.tolist(), strict=True)), arm="both"))
    return Stimulus(drives=drives)


def _normals(seed: int, key: int, purpose: int, count: int) -> np.ndarray:
    return np.array([normal(seed, key, k, purpose, 0) for k in range(count)])


def _checked(where: str, network: Any, duration: Any, seed: Any, loops: Any) -> tuple[dict[str, Any], int]:
    """The noisy loops as parts, by id, and the seed."""
    from soen_event.network import Network

    if not isinstance(network, Network):
        raise InputError(f"{where}.network: {type(network).__name__} is no Network; give one")
    seed = checked_seed(seed)
    known: dict[str, Any] = dict(network.dendrites)
    for name, neuron in network.neurons.items():
        known[f"{name}.soma"] = neuron.soma
        if neuron.refractory is not None:
            known[f"{name}.refractory"] = neuron.refractory
    faults = []
    if not (is_number(duration) and 0.0 < duration <= 1e9):
        faults.append(f"{where}.duration: {duration!r} is no time; give ns, above 0, such as 500.0")
    if isinstance(loops, str):
        faults.append(f"{where}.loops: {loops!r} is one string; give a list of ids, such as [{loops!r}]")
        loops = ()
    elif loops is not None and not isinstance(loops, Iterable):
        faults.append(f"{where}.loops: {loops!r} is no list of ids; give one")
        loops = ()
    chosen = sorted(known) if loops is None else list(loops)
    missing = [x for x in chosen if not isinstance(x, str) or x not in known]
    faults += [f"{where}.loops: there is no loop {x!r}{nearest(str(x), known)}" for x in missing]
    if faults:
        raise InputError(faults)
    return {name: known[name] for name in dict.fromkeys(chosen)}, seed


def _check_number(where: str, draws: float) -> None:
    if draws > _MOST:
        raise InputError(
            f"{where}: {draws:.3g} draws are more than {_MOST:g}; shorten the duration, or name fewer loops"
        )
