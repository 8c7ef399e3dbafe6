"""Fit a network to a chip: what does not fit is moved, rounded, merged or pruned, and every such thing is reported.

>>> from hardware.chip import ASCR_Y1
>>> from hardware.deployment import check, deploy
>>> deployment = deploy(network, ASCR_Y1)                                   # doctest: +SKIP
>>> print(deployment.report)                                                # doctest: +SKIP
>>> recording = se.simulate(deployment.network, photons, duration=400.0)    # doctest: +SKIP

============ ======================================================================================================
refused      cannot be made to fit: too many neurons or lines, light on a chip that does not spike, an unknown circuit
pruned       left out, the weakest first, because there are more connections than places
merged       added to a parallel connection, where there is one weight for every pair
replaced     a soma whose spikes nothing listens to becomes a dendrite on a chip that does not spike
clipped      moved to the end of the chip's range
rounded      moved to the nearest level
set          detectors and temperature: what the chip has
ignored      has no effect on the chip; the network keeps it, or loses it without consequences for the rest
============ ======================================================================================================

:func:`deploy` raises InputError with everything that is refused; :func:`check` only reports. A deployed network fits its
chip: deploying it again changes nothing. Only parameters count, not how they came about.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from hardware import spread as fabrication
from hardware.chip import IDEAL, Chip, find
from hardware.findings import ACTIONS, Finding, Report
from hardware.fitting import Fitting
from hardware.memory import settings
from hardware.quantize import ROUNDINGS
from hardware.spread import Spread
from soen_event.errors import InputError, nearest
from soen_event.learning import Plasticity
from soen_event.network import Network
from soen_event.parts import Synapse, shown
from soen_event.physics.random import checked_seed

__all__ = ["ACTIONS", "Deployment", "Finding", "Report", "check", "deploy"]

ON_EXCESS = ("prune", "refuse")

Ports: TypeAlias = "Mapping[str, str] | Callable[[Synapse], str | None]"
"""The line that a synapse hangs on, by id or as a function of the synapse; without one it has a line of its own name."""


# ---------------------------------------------------------------------------------------------- the deployment


@dataclass(frozen=True)
class Deployment:
    """A network on a chip.

    Args:
        network: what runs: the programmed network with the chip's fabrication spread, if asked for.
        programmed: what the chip was told: every value is one that the chip has.
        chip: the chip.
        report: what did not fit.
        sites: by part, its place on the chip, such as ``neuron[3]``, ``W[3,0]`` (row: target, column: source).
        ports: by synapse, the line from outside that it hangs on.
        merged: by part that is gone, the parallel one that it was added to.
        pruned: parts that were left out.
        seed: of rounding and spread.
        spread: the standard deviations, or None.
        learning: rules that are to run on the chip, as they were given.
    """

    network: Network
    programmed: Network
    chip: Chip
    report: Report
    sites: Mapping[str, str]
    ports: Mapping[str, str]
    merged: Mapping[str, str]
    pruned: tuple[str, ...]
    seed: int
    spread: Spread | None = None
    learning: tuple[Plasticity, ...] = ()

    @property
    def lines(self) -> dict[str, tuple[str, ...]]:
        """By line from outside, the synapses that hang on it."""
        found: dict[str, list[str]] = {}
        for synapse in sorted(self.ports):
            found.setdefault(self.ports[synapse], []).append(synapse)
        return {line: tuple(found[line]) for line in sorted(found)}

    def photons(self, by_line: Mapping[str, Any]) -> dict[str, Any]:
        """Photon times by synapse, for ``simulate``, out of those by line; every synapse of a line gets the same.

        Raises:
            InputError: there is no such line.
        """
        lines = self.lines
        if not isinstance(by_line, Mapping):
            raise InputError(f"Deployment.photons: {shown(by_line)} is no mapping; give times (ns) by line")
        faults = [
            f"Deployment.photons: there is no line {line!r}{nearest(str(line), lines)}; lines are Deployment.lines"
            for line in by_line
            if line not in lines
        ]
        if faults:
            raise InputError(faults[:20])
        return {synapse: times for line, times in by_line.items() for synapse in lines[line]}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the report and where everything went."""
        return {
            **self.report.to_dict(),
            "sites": dict(self.sites),
            "ports": dict(self.ports),
            "merged": dict(self.merged),
            "pruned": list(self.pruned),
            "seed": self.seed,
            "temperature_K": self.network.device.temperature,
        }

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the network that runs to a network file.

        Raises:
            InputError: as :meth:`soen_event.Network.save`.
        """
        self.network.save(path, overwrite=overwrite)

    def __str__(self) -> str:
        return self.report.table()


# ---------------------------------------------------------------------------------------------- deploying


def deploy(
    network: Network | Deployment | str | os.PathLike[str],
    chip: Chip | str | os.PathLike[str],
    *,
    ports: Ports | None = None,
    on_excess: str = "prune",
    rounding: str = "nearest",
    seed: int = 0,
    spread: Spread | None = None,
    temperature: float | str | None = None,
    method: Any = None,
    learning: Any = None,
) -> Deployment:
    """Fit ``network`` to ``chip``; the given network stays as it is.

    Args:
        network: a Network or the path of a network file; of a Deployment, what it programmed, with its ports.
        chip: a Chip, the name of a profile ("ascr_y1") or the path of a chip file.
        ports: which line from outside each synapse hangs on, by id, or a function of the synapse. Synapses without one, and
            flux drives, need a line of their own. Synapses that waveguides reach need none.
        on_excess: connections beyond the chip's numbers: "prune" the weakest (smallest \\|J\\|, or \\|weight\\| phi_peak, in
            Phi0), or "refuse".
        rounding: of weights and couplings, "nearest" or "stochastic" (:func:`hardware.quantize.quantize`).
        seed: 0 to 2^63 - 1. Of stochastic rounding, and which chip of those that a process with ``spread`` makes.
        spread: fabrication spread (:class:`hardware.spread.Spread`), or None for a perfect copy. Biases that it moves out of
            range are clipped. Where the chip has an efficiency, its ``detection`` is not used.
        temperature: K, or a quantity string. None: the chip's, if the engine that is installed runs at it, else the network's.
        method: a learning method that is to run on the chip: a name, a :class:`soen_event.Rule`, an object with ``name`` and
            ``needs``, or a list of them. It is only judged.
        learning: rules that are to run on the chip and where they act, a :class:`soen_event.Plasticity` or several. They are judged,
            and go with the deployment to :meth:`hardware.instrument.VirtualChip.load`.

    Raises:
        InputError: with every finding that is refused; an argument that does not fit; a network with faults of its own.
    """
    rules = () if learning is None else tuple(settings(learning, "deploy.learning"))
    fitted = _fitted(network, chip, ports, on_excess, rounding, seed, spread, temperature, [*_several(method), *rules])
    report = fitted.report()
    if not report.fits:
        raise InputError([finding.sentence() for finding in report.of("refused")])
    made = fitted.net
    if spread is not None:
        if fitted.chip.efficiency is not None:
            spread = dataclasses.replace(spread, detection=1.0)
        made = fabrication.spread(made, spread, fitted.seed, out_of_range="clip")
    return Deployment(
        made, fitted.net, fitted.chip, report, fitted.sites(), fitted.ports, fitted.merged, tuple(fitted.pruned),
        fitted.seed, spread, rules,
    )  # fmt: skip


def check(
    network: Network | Deployment | str | os.PathLike[str],
    chip: Chip | str | os.PathLike[str],
    *,
    ports: Ports | None = None,
    on_excess: str = "prune",
    rounding: str = "nearest",
    seed: int = 0,
    temperature: float | str | None = None,
    method: Any = None,
) -> Report:
    """What :func:`deploy` would find; arguments as there.

    Raises:
        InputError: an argument that does not fit; a network with faults of its own.
    """
    return _fitted(network, chip, ports, on_excess, rounding, seed, None, temperature, method).report()


def _fitted(
    network: Any,
    chip: Any,
    ports: Any,
    on_excess: Any,
    rounding: Any,
    seed: Any,
    how: Any,
    temperature: Any,
    method: Any,
) -> Fitting:
    """Judge the arguments, all of them, and fit."""
    from soen_event.units import parse

    faults = []
    found: dict[str, Any] = {"chip": IDEAL, "seed": 0}
    try:
        found["chip"] = find(chip)
    except InputError as error:
        faults += error.faults
    try:
        found["seed"] = checked_seed(seed)
    except InputError as error:
        faults += error.faults
    if isinstance(network, Deployment):
        ports = network.ports if ports is None else ports
        network = network.programmed
    if isinstance(network, str | os.PathLike):
        try:
            network = Network.load(network)
        except InputError as error:
            faults += error.faults
            network = Network()
    if not isinstance(network, Network):
        faults.append(f"deploy.network: {shown(network)} is no Network; give one, a Deployment, or a network file")
    else:
        faults += network.validate()
    for name, value, known in (("on_excess", on_excess, ON_EXCESS), ("rounding", rounding, ROUNDINGS)):
        if value not in known:
            faults.append(
                f"deploy.{name}: {shown(value)} is not known{nearest(str(value), known)}; give {' or '.join(known)}"
            )
    if how is not None and not isinstance(how, Spread):
        faults.append(f"deploy.spread: {shown(how)} is no Spread; give for example Spread.published()")
    if temperature is not None:
        try:
            temperature = parse(temperature, "temperature", "deploy.temperature")
            if not 0.0 <= temperature <= 1e3:
                faults.append(f"deploy.temperature: {temperature:g} K is outside 0 to 1000; give a temperature in K")
        except InputError as error:
            faults += error.faults
    if ports is not None and not isinstance(ports, Mapping) and not callable(ports):
        faults.append(
            f"deploy.ports: {shown(ports)} gives no lines; give them by synapse id, or a function of the synapse"
        )
    if faults:
        raise InputError(faults)
    fitting = Fitting(network, found["chip"], on_excess, rounding, found["seed"])
    fitting.fit(ports, temperature, _several(method))
    return fitting


def _several(method: Any) -> list[Any]:
    return [] if method is None else list(method) if isinstance(method, list | tuple) else [method]
