"""A network, or a part of it, as a netlist of junctions for JoSIM or WRspice.

    from hardware import spice
    deck = spice.netlist(net, {"s1": [10.0]}, duration=50.0, dialect="josim")
    deck.save("deck.cir")                      # josim-cli -o traces.csv deck.cir
    traces = spice.read_traces("traces.csv", deck)
    print(spice.compare(traces, circuit.simulate(net, {"s1": [10.0]}, 50.0)))

The circuit is that of :mod:`hardware.circuit`, element by element:

* **RI** (circuit.md 2): three branches on one node, J1 and L1, J2 and L2, and the integration loop LD and RD. **RTTI** (physics.md
  2.5): two more junctions on a line.
* **Flux** comes in through coils that ideal current sources drive and that are coupled to the arms: to the second alone, or to both in
  proportion to their inductances (then it does not feed the loop). Of an RTTI dendrite it is the first arm, of inverse sense.
* **Couplings** without a collection loop: a current-controlled source drives such a coil, so nothing loads the sender.
* **Collection loops** are closed loops of real coils: LD and the second arm are so much larger that what is left when the loop screens
  them is nominal (circuit.md 7).
* **Detectors**: every detection is two or three ``exp`` sources whose sum is exactly the saturating pulse of physics.md 1.2.
* **Threshold, light, transmitters** are no junctions. What they do comes from a run, as the detections that it had.

Biases are ramped, not switched (circuit.md 1): the network's t = 0 is at ``start`` of the netlist. What the ramp would leave in the
loops is nulled by a coil on each LD, as circuit.md 2 tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware.deck import Deck
from hardware.netlist import DIALECTS, Netlist, read_netlist
from hardware.traces import Comparison, Traces, compare, read_traces
from soen_event.errors import InputError, nearest
from soen_event.plan import DETERMINISTIC, PHOTONS, Plan, lower
from soen_event.units import is_number, ns_to_fs

if TYPE_CHECKING:
    from soen_event.network import Network

__all__ = [
    "Comparison",
    "Netlist",
    "Traces",
    "compare",
    "detections",
    "netlist",
    "read_netlist",
    "read_traces",
]

PROBES = ("currents", "phases", "inputs", "voltages")


def netlist(
    network: Network | str | os.PathLike[str],
    photons: Any = None,
    duration: float | None = None,
    *,
    dialect: str = "josim",
    parts: Iterable[str] | str | None = None,
    step: float = 0.05,
    sample: float = 0.5,
    temperature: float | None = None,
    probes: Iterable[str] | str = ("currents", "phases"),
    spikes: Any = None,
    seed: int = 0,
) -> Netlist:
    """Write a network as a netlist.

    Args:
        network: a :class:`~soen_event.Network` or a path to a network file.
        photons: as for :func:`soen_event.simulate`: times in ns by synapse, a Stimulus, or a path.
        duration: ns of the network, above 0.
        dialect: "josim" or "wrspice".
        parts: ids of the dendrites and neurons that are written (a neuron: its soma and refractory dendrite; "n.soma" its soma alone).
            Default: all. Couplings from and to others are cut, and a warning says so.
        step: ps, 0.001 to 1, of integration. ``sample``: ps between the rows of the output, at least ``step``.
        temperature: K, 0 to 20: thermal noise. Default: the device's. JoSIM has it in its own cards, WRspice as sources at every resistor.
        probes: what is recorded, of "currents" (of the loops), "phases" (of the junctions that tell fluxons), "inputs" (currents that drive
            the flux coils), "voltages" (of the top nodes).
        spikes: what threshold and light did: a :class:`~hardware.circuit.CircuitRun`, a Recording with photons, or spike times in ns by
            neuron. Default: :mod:`hardware.circuit` is run where spikes matter.
        seed: of that run, and of its efficiencies.

    Returns:
        A :class:`~hardware.netlist.Netlist`; the same arguments give the same text.

    Raises:
        InputError: with everything that is wrong: unknown words and ids, couplings that are tighter than mutual inductances can be.
    """
    from soen_event.network import Network
    from soen_event.physics.random import checked_seed
    from soen_event.stimulus import Stimulus

    wanted = _words(probes, PROBES, "netlist.probes")
    faults = _faults(dialect, duration, step, sample, temperature) + wanted[1]
    if faults:
        raise InputError(faults)
    if isinstance(network, str | os.PathLike):
        network = Network.load(network)
    if not isinstance(network, Network):
        raise InputError(f"netlist.network: {type(network).__name__} is not a Network or a path to a file")
    seed = checked_seed(seed)
    kelvin = network.device.temperature if temperature is None else float(temperature)
    stimulus = Stimulus.coerce(photons)
    cold = network.at_temperature(0.0)
    plan = lower(cold, tuple(stimulus.drives), "fluxon")  # its rates are not used
    chosen = _chosen(plan, parts)
    length = float(duration or 0.0)
    seen, origin = detections(cold, stimulus, length, plan, chosen, spikes, seed)
    deck = Deck(cold, plan, dialect, chosen, length, step, sample, kelvin)
    for k in chosen:
        deck.add_loop(k)
    deck.couple()
    for name, times in seen.items():
        deck.detect(name, times)
    deck.drive()
    return read_netlist(deck.finished(origin, wanted[0], seed))


def _faults(dialect: Any, duration: Any, step: Any, sample: Any, temperature: Any) -> list[str]:
    faults = []
    if not isinstance(dialect, str) or dialect not in DIALECTS:
        faults.append(
            f"netlist.dialect: {dialect!r} is unknown{nearest(str(dialect), DIALECTS)}; give 'josim' or 'wrspice'"
        )
    if not (is_number(duration) and 0.0 < duration <= 1e6):
        faults.append(f"netlist.duration: {duration!r} is not a time in ns above 0 and at most 1e6, such as 50.0")
    if not (is_number(step) and 0.001 <= step <= 1.0):
        faults.append(f"netlist.step: {step!r} is not a step in ps from 0.001 to 1, such as 0.05")
    elif not (is_number(sample) and step <= sample <= 1e6):
        faults.append(f"netlist.sample: {sample!r} is not a time in ps from one step ({step:g}) on, such as 0.5")
    if temperature is not None and not (is_number(temperature) and 0.0 <= temperature <= 20.0):
        faults.append(f"netlist.temperature: {temperature!r} is not a temperature in K from 0 to 20")
    return faults


def _words(given: Any, known: tuple[str, ...], where: str) -> tuple[tuple[str, ...], list[str]]:
    given = (given,) if isinstance(given, str) else given
    try:
        words = tuple(given)
    except TypeError:
        return (), [f"{where}: {given!r} is no list; give some of {', '.join(known)}"]
    faults = [
        f"{where}: {word!r} is unknown{nearest(str(word), known)}; give some of {', '.join(known)}"
        for word in words
        if word not in known
    ]
    return words, faults


def _chosen(plan: Plan, parts: Any) -> list[int]:
    """Rows of the loops that are written, ascending."""
    if parts is None:
        if not plan.loop_ids:
            raise InputError("netlist.network: has no dendrite and no neuron; there is nothing to write")
        return list(range(len(plan.loop_ids)))
    names = [parts] if isinstance(parts, str) else list(parts) if isinstance(parts, Iterable) else [parts]
    rows: set[int] = set()
    faults = []
    for name in names:
        own = (f"{name}.soma", f"{name}.refractory") if name in plan.neuron_ids else (name,)
        found = [plan.loop_index[each] for each in own if isinstance(each, str) and each in plan.loop_index]
        if not found:
            faults.append(
                f"netlist.parts: there is no dendrite or neuron {name!r}{nearest(str(name), plan.loop_index)}"
            )
        rows.update(found)
    if not names:
        faults.append("netlist.parts: is empty; name a dendrite or a neuron, or leave parts out")
    if faults:
        raise InputError(faults)
    return sorted(rows)


# ---------------------------------------------------------------------------------------------- what light did


def detections(
    network: Network, stimulus: Any, duration: float, plan: Plan, chosen: list[int], spikes: Any, seed: int
) -> tuple[dict[str, np.ndarray], str]:
    """When the detectors of the chosen loops detected (ns, by detector id), and a sentence that says how this is known.

    Refractory dendrites have detectors too (``n.refractory.synapse``), which the soma's own spike reaches at once.

    Raises:
        InputError: ``spikes`` is not what it should be, or needs draws that only a run makes.
    """
    wanted = [plan.detector_ids[k] for k in np.flatnonzero(np.isin(plan.arrays.det_loop, chosen)).tolist()]
    if spikes is None:
        lit = {int(d) for d in plan.arrays.guide_detector} | {int(d) for d in plan.arrays.refractory_detector}
        if lit & {plan.detector_index[name] for name in wanted}:
            from hardware import circuit

            run: Any = circuit.simulate(network, stimulus, duration, seed=seed, sample=min(1.0, duration))
            told = f"detections of hardware.circuit at 0.05 ps, 0 K, seed {seed}"
        else:
            import soen_event as se

            run = se.simulate(network, stimulus, duration=duration, seed=seed, record=("photons",))
            told = f"detections of the photons that were given, seed {seed}"
    elif isinstance(spikes, Mapping):
        return _replayed(stimulus, duration, plan, wanted, spikes), "detections after the spike times that were given"
    elif hasattr(spikes, "detections"):
        run, told = spikes, f"detections of a {type(spikes).__name__} that was given"
    else:
        raise InputError(
            f"netlist.spikes: {type(spikes).__name__} is no run; give a CircuitRun, a Recording, or spike times by neuron"
        )
    found, faults = {}, []
    for name in wanted:
        try:
            times = np.asarray(run.detections[name], dtype=float)
        except (KeyError, InputError):
            faults.append(f"netlist.spikes: the run has no detections of {name}; record photons, of the same network")
            continue
        found[name] = times[times <= duration]
    if faults:
        raise InputError(faults)
    return found, told


def _replayed(
    stimulus: Any, duration: float, plan: Plan, wanted: list[str], spikes: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Detections that follow from spikes: light after latency and delay, photons that were given, hotspots and dead times."""
    from soen_event.simulate import _lowered

    a = plan.arrays
    faults = [
        f"netlist.spikes: there is no neuron {name!r}{nearest(str(name), plan.neuron_ids)}"
        for name in spikes
        if name not in plan.neuron_index
    ]
    arrivals: dict[int, list[int]] = {plan.detector_index[name]: [] for name in wanted}
    for fs, d in zip(*_lowered(stimulus, plan), strict=True):
        if int(d) in arrivals:
            arrivals[int(d)].append(int(fs))
    for name in plan.neuron_ids:
        n = plan.neuron_index[name]
        try:
            times = np.atleast_1d(np.asarray(spikes.get(name, ()), dtype=float))
            if not (np.isfinite(times).all() and (times >= 0.0).all() and times.ndim == 1):
                raise ValueError
        except (TypeError, ValueError):
            faults.append(f"netlist.spikes[{name!r}]: not times in ns, at least 0, in a list")
            continue
        at = [ns_to_fs(float(t)) for t in times]
        again = int(a.refractory_detector[n])
        if again in arrivals:
            arrivals[again] += at
        for g in range(int(a.guide_start[n]), int(a.guide_start[n + 1])):
            d = int(a.guide_detector[g])
            if d not in arrivals or not at:
                continue
            if a.emission[n] == PHOTONS or (a.emission[n] == DETERMINISTIC and a.guide_pass[g] < 1.0):
                faults.append(
                    f"netlist.spikes: the light of {name} to {plan.detector_ids[d]} is drawn; give a run instead"
                )
            elif a.emission[n] == DETERMINISTIC:
                arrivals[d] += [t + int(a.latency_fs[n]) + int(a.guide_delay_fs[g]) for t in at]
    found = {}
    for d, times_fs in arrivals.items():
        name = plan.detector_ids[d]
        if times_fs and (a.det_efficiency[d] < 1.0 or a.det_recovers[d] == 1):
            faults.append(f"netlist.spikes: whether {name} detects is drawn; give a run instead of spike times")
            continue
        seen, ready = [], -1
        for fs in sorted(times_fs):
            if fs > ready:
                seen.append(fs * 1e-6)
                ready = fs + max(int(a.det_hotspot_fs[d]) - 1, int(a.det_dead_fs[d]) - 1)
        found[name] = np.array([t for t in seen if t <= duration])
    if faults:
        raise InputError(faults)
    return found
