"""Changing a copy of a network until it fits a chip, and noting every change; :mod:`hardware.deployment` is the way in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hardware.chip import Chip
from hardware.findings import ACTIONS, Finding, Report
from hardware.limits import METHODS, SIGNALS
from hardware.quantize import Levels
from hardware.stored import stored
from soen_event.errors import InputError, nearest
from soen_event.learning import Plasticity, Rule
from soen_event.network import Network
from soen_event.parts import Coupling, Dendrite, Soma, Synapse, detached, shown
from soen_event.plan import HOTTEST

__all__ = ["Fitting", "described", "method_faults", "method_name", "missing_signals"]

_DETECTOR = ("phi_peak", "tau_rise", "tau_fall", "hotspot", "efficiency", "dead_time", "recovery", "overlap")
_SAME = 1e-12  # a value this near to a level, relatively, is on it
_NOT_A_DENDRITE = ("threshold", "after_spike", "t_ref")


class Fitting:
    """Walks over the parts of a copy of the network, changes what does not fit and notes it."""

    def __init__(self, network: Network, chip: Chip, on_excess: str, rounding: str, seed: int):
        self.chip, self.on_excess, self.rounding, self.seed = chip, on_excess, rounding, seed
        self.net = network.copy()
        self.findings: list[Finding] = []
        self.ports: dict[str, str] = {}
        self.merged: dict[str, str] = {}
        self.pruned: list[str] = []
        self.usage: dict[str, tuple[int, int | None]] = {}

    def note(self, part: str, field: str, asked: Any, has: Any, action: str, why: str = "") -> None:
        numbers = isinstance(asked, float) and isinstance(has, float)
        self.findings.append(Finding(part, field, asked, has, action, abs(asked - has) if numbers else None, why))

    def fit(self, ports: Any, temperature: float | None, methods: Iterable[Any]) -> None:
        for method in methods:
            told = method_faults(self.chip, method, "deploy.method")
            name = method_name(method)
            if told:
                has = ", ".join(self.chip.methods or ()) or "none"
                self.note(str(name), "method", str(name), has, "refused", "; ".join(t.split(": ", 1)[1] for t in told))
        self._circuits()
        if not self.chip.spiking:
            self._silence()
        self._lines(ports)
        self._detectors()
        if self.chip.crossbar:
            self._merge()
        self._prune()
        self._loops()
        self._weights()
        self._temperature(temperature)
        self._count()
        if not any(finding.action == "refused" for finding in self.findings):
            for fault in self.net.validate():
                place, _, why = fault.partition(": ")
                self.note(place, "", None, None, "refused", f"on this chip {why}")

    # ---- what parts there are

    def _circuits(self) -> None:
        for name, dendrite in self.net.dendrites.items():
            if dendrite.kind not in self.chip.kinds:
                has = ", ".join(self.chip.kinds)
                self.note(name, "kind", dendrite.kind, has, "refused", "another circuit responds otherwise; use these")

    def _silence(self) -> None:
        """Somas become dendrites, where no light is missed."""
        lit = Counter(guide.source for guide in self.net.waveguides)
        made: dict[str, Any] = {}
        for name, neuron in self.net.neurons.items():
            if lit[name]:
                why = "others need its light; couple currents instead"
                self.note(name, "spikes", f"{lit[name]} waveguides", "no light", "refused", why)
                continue
            self.note(name, "soma", "soma", "dendrite", "replaced", "nothing listens to its spikes")
            threshold = float(neuron.soma.threshold)
            self.note(name, "threshold", threshold, "no spikes", "ignored", "its current is read instead")
            for inner in ("refractory", "transmitter"):
                if getattr(neuron, inner) is not None:
                    self.note(f"{name}.{inner}", inner, inner, "no spikes", "ignored", "left out: only spikes drive it")
            declared = {k: v for k, v in neuron.soma.as_dict().items() if k not in _NOT_A_DENDRITE}
            with detached():
                made[name] = Dendrite(name, **declared)
        couplings = [c for c in self.net.couplings if c.source in made or c.target in made]
        drives = [drive for drive in self.net.drives if drive.target in made]
        for name in made:
            self.net.remove(name)
        self.net.extend([*made.values(), *couplings, *drives])

    def _lines(self, ports: Any) -> None:
        inside = {guide.target for guide in self.net.waveguides}
        synapses = self.net.synapses
        faults = []
        given: dict[str, Any] = {}
        if isinstance(ports, Mapping):
            for name, line in ports.items():
                if name not in synapses:
                    faults.append(
                        f"deploy.ports: there is no synapse {name!r}{nearest(str(name), synapses)}; correct it"
                    )
                elif name in inside:
                    faults.append(f"deploy.ports: {name!r} is lit by a waveguide; leave it out")
                given[name] = line
        elif ports is not None:
            given = {name: ports(synapse) for name, synapse in synapses.items() if name not in inside}
        for name, line in given.items():
            if line is not None and (not isinstance(line, str) or not line or not line.isprintable()):
                faults.append(f"deploy.ports[{name!r}]: {shown(line)} is no name of a line; give text, or None")
        if faults:
            raise InputError(faults[:20])
        self.ports = {name: given.get(name) or name for name in synapses if name not in inside}

    def _detectors(self) -> None:
        chip = self.chip
        for name, synapse in self.net.synapses.items():
            changes = {
                field: has
                for field, has in (("efficiency", chip.efficiency), ("dead_time", chip.dead_time))
                if has is not None and getattr(synapse, field) != has
            }
            for field, has in changes.items():
                self.note(name, field, getattr(synapse, field), has, "set")
            if changes:
                self.net.replace(name, **changes)

    def _merge(self) -> None:
        """One weight for every pair of loops, and of line and loop."""
        pairs: dict[Any, list[Any]] = {}
        for coupling in self.net.couplings:
            pairs.setdefault((coupling.source, coupling.target), []).append(coupling)
        for members in pairs.values():
            if len(members) > 1:
                kept = members[0]
                self._merged(kept, "J", members[1:])
        on_line: dict[Any, list[Synapse]] = {}
        for name in self.ports:
            synapse = self.net[name]
            on_line.setdefault((self.ports[name], synapse.target), []).append(synapse)
        for (line, target), found in on_line.items():
            kinds: dict[Any, list[Synapse]] = {}
            for synapse in found:
                kinds.setdefault(tuple(getattr(synapse, name) for name in _DETECTOR), []).append(synapse)
            for alike in kinds.values():
                if len(alike) > 1:
                    self._merged(alike[0], "weight", alike[1:])
            self._cut([kind[0].id for kind in kinds.values()], 1, f"{line} to {target}", "crossbar")

    def _merged(self, kept: Any, field: str, gone: list[Any]) -> None:
        name = self.net.key(kept)
        total = math.fsum(getattr(part, field) for part in (kept, *gone))
        for part in gone:
            self.note(
                self.net.key(part), field, float(getattr(part, field)), name, "merged", "one weight for every pair"
            )
            self._drop(self.net.key(part))
            self.merged[self.net.key(part)] = name
        self.net.replace(name, **{field: total})

    # ---- how many

    def _strength(self, name: str) -> float:
        part = self.net[name]
        return abs(part.J) if isinstance(part, Coupling) else abs(part.weight) * part.phi_peak

    def _drop(self, name: str) -> None:
        self.net.remove(name)
        self.ports.pop(name, None)

    def _cut(self, names: list[str], limit: int | None, part: str, field: str) -> None:
        """Leave at most ``limit`` of the named connections, the strongest; of equals the first by name."""
        if limit is None or len(names) <= limit:
            return
        if self.on_excess == "refuse":
            remedy = "leave some out, or let on_excess='prune'"
            self.note(part, field, len(names), limit, "refused", remedy)
            return
        order = sorted(names, key=lambda name: (-self._strength(name), name))
        for name in sorted(order[limit:]):
            gone = self.net[name]
            asked = float(gone.J if isinstance(gone, Coupling) else gone.weight)
            self.note(
                name,
                "J" if isinstance(gone, Coupling) else "weight",
                asked,
                0.0,
                "pruned",
                f"{field} of {part} is {limit}",
            )
            self._drop(name)
            self.pruned.append(name)

    def _prune(self) -> None:
        chip = self.chip
        if chip.fan_out is not None:
            light: dict[str, list[str]] = {}
            for guide in self.net.waveguides:
                light.setdefault(guide.source, []).append(guide.target)
            for source, targets in light.items():
                # Another neuron's cut may have taken one.
                left = [name for name in dict.fromkeys(targets) if name in self.net.synapses]
                self._cut(left, chip.fan_out, source, "fan_out")
        if chip.fan_in is not None:
            onto: dict[str, list[str]] = {}
            for name in (*self.net.synapses, *map(self.net.key, self.net.couplings)):
                onto.setdefault(self.net[name].target, []).append(name)
            for target, names in onto.items():
                self._cut(names, chip.fan_in, target, "fan_in")
        self._cut(list(self.ports), chip.input_synapses, chip.name, "input_synapses")
        inner = [name for name in self.net.synapses if name not in self.ports]
        self._cut(
            [*inner, *map(self.net.key, self.net.couplings)], chip.recurrent_synapses, chip.name, "recurrent_synapses"
        )
        self._cut([*self.net.synapses, *map(self.net.key, self.net.couplings)], chip.synapses, chip.name, "synapses")

    def _count(self) -> None:
        chip, net = self.chip, self.net
        inner = len(net.synapses) - len(self.ports)
        receivers: list[Any] = [*net.synapses.values(), *net.couplings]
        onto = Counter(part.target for part in receivers)
        lit = Counter(guide.source for guide in net.waveguides)
        used: dict[str, int] = {"neurons": len(net.neurons) + (0 if chip.spiking else len(net.dendrites))}
        if chip.spiking:
            used["dendrites"] = len(net.dendrites)
        used["inputs"] = len({*self.ports.values()}) + len({drive.target for drive in net.drives})
        used["input_synapses"] = len(self.ports)
        used["recurrent_synapses"] = inner + len(net.couplings)
        used["synapses"] = len(net.synapses) + len(net.couplings)
        used["fan_in"] = max(onto.values(), default=0)
        used["fan_out"] = max(lit.values(), default=0)
        self.usage = {name: (count, getattr(chip, name)) for name, count in used.items()}
        remedies = {
            "neurons": "use fewer, or a larger chip",
            "dendrites": "use fewer, or a larger chip",
            "inputs": "let several synapses hang on one line (ports=), or use fewer",
        }
        for name, remedy in remedies.items():
            count, limit = self.usage.get(name, (0, None))
            if limit is not None and count > limit:
                self.note(chip.name, name, count, limit, "refused", remedy)

    # ---- what values

    def _moved(self, part: str, field: str, value: float, setting: Any) -> float:
        """The nearest value that the chip has."""
        if setting is None:
            return value
        if isinstance(setting, Levels):
            new = float(setting.round(value))
            low, high = setting.values[0], setting.values[-1]
        else:
            low, high = setting
            new = min(max(value, low), high)
        if abs(new - value) > _SAME * max(abs(new), abs(value)):
            self.note(part, field, float(value), new, "rounded" if low <= value <= high else "clipped")
        return new

    def _loop_changes(self, part: str, loop: Any, names: Iterable[str]) -> dict[str, float]:
        changes = {}
        for field in names:
            value = getattr(loop, field)
            if value is None or (field == "ib" and loop.kind != "ri"):
                continue
            of_soma = field == "tau" and isinstance(loop, Soma)
            new = self._moved(part, field, float(value), getattr(self.chip, "soma_tau" if of_soma else field))
            if new != value:
                changes[field] = new
        return changes

    def _loops(self) -> None:
        net = self.net
        for name, dendrite in net.dendrites.items():
            changes = self._loop_changes(name, dendrite, ("ib", "tau", "beta_over_2pi", "phi_offset"))
            if changes:
                net.replace(name, **changes)
        slowest = None if self.chip.spike_rate_hz is None else 1e9 / self.chip.spike_rate_hz
        for name, neuron in net.neurons.items():
            soma = self._loop_changes(name, neuron.soma, ("ib", "tau", "phi_offset", "threshold"))
            if slowest is not None and neuron.transmitter is not None and neuron.soma.t_ref < slowest:
                why = f"{self.chip.spike_rate_hz / 1e6:g} MHz"
                self.note(name, "t_ref", float(neuron.soma.t_ref), slowest, "clipped", why)
                soma["t_ref"] = slowest
            inner: dict[str, Any] = {"soma": soma} if soma else {}
            if neuron.refractory is not None:
                refractory = self._loop_changes(f"{name}.refractory", neuron.refractory, ("ib",))
                inner |= {"refractory": refractory} if refractory else {}
            if inner:
                net.replace(name, **inner)

    def _weights(self) -> None:
        fields = (("weights", "weight", self.chip.weights), ("J", "J", self.chip.couplings))
        for parameter, field, setting in fields:
            ids = self.net.ids(parameter)
            before = np.array([float(getattr(self.net[name], field)) for name in ids])
            if setting is None or not ids:
                continue
            after, beyond = self._stored(setting, before, [f"{parameter} {name}" for name in ids], parameter)
            for name, old, new, far in zip(ids, before.tolist(), after.tolist(), beyond.tolist(), strict=True):
                if new != old:
                    if abs(new - old) > _SAME * max(abs(old), abs(new)):
                        self.note(name, field, old, new, "clipped" if far else "rounded")
                    self.net.replace(name, **{field: new})

    def _stored(
        self, setting: Any, values: np.ndarray, names: list[str], parameter: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The values that the chip stores, and which of the given ones are beyond its range."""
        try:
            return stored(self.chip, setting, values, names, self.rounding, self.seed)
        except InputError as error:
            self.note(self.chip.name, parameter, None, None, "refused", error.faults[0].split(": ", 1)[-1])
            return values, np.zeros(values.shape, bool)

    def _temperature(self, wanted: float | None) -> None:
        has, device = self.chip.temperature, self.net.device
        kelvin = device.temperature
        if wanted is not None:
            kelvin = wanted
            if has is not None and wanted != has:
                self.note("device", "temperature", wanted, has, "ignored", "the temperature was given")
        elif has is not None and has != kelvin:
            if has <= HOTTEST:
                self.note("device", "temperature", kelvin, has, "set")
                kelvin = has
            else:
                why = "the engines that are installed do not run at it"
                self.note("device", "temperature", kelvin, has, "ignored", why)
        if kelvin != device.temperature:
            self.net = self.net.at_temperature(kelvin)

    # ---- the results

    def report(self) -> Report:
        order = {action: k for k, action in enumerate(ACTIONS)}
        found = sorted(self.findings, key=lambda f: order[f.action])
        return Report(self.net.name, self.chip.name, tuple(found), self.usage)

    def sites(self) -> dict[str, str]:
        net = self.net
        one_kind = self.chip.crossbar or not self.chip.spiking
        loops = sorted((*net.neurons, *net.dendrites)) if one_kind else list(net.neurons)
        sites = {name: f"neuron[{k}]" for k, name in enumerate(loops)}
        if not one_kind:
            sites |= {name: f"dendrite[{k}]" for k, name in enumerate(net.dendrites)}
        lines = {line: k for k, line in enumerate(sorted({*self.ports.values()}))}
        if not self.chip.crossbar:
            sites |= {name: f"synapse[{k}]" for k, name in enumerate(net.synapses)}
            return sites | {net.key(c): f"coupling[{k}]" for k, c in enumerate(net.couplings)}
        row = {name: k for k, name in enumerate(loops)}
        sites |= {net.key(c): f"W[{row[c.target]},{row[c.source]}]" for c in net.couplings}
        inner = [name for name in net.synapses if name not in self.ports]
        sites |= {name: f"V[{row[net[name].target]},{lines[line]}]" for name, line in self.ports.items()}
        return sites | {name: f"synapse[{k}]" for k, name in enumerate(inner)}


def described(method: Any) -> tuple[str, tuple[str, ...], bool] | None:
    """Name and needs of a way of learning, and whether it says itself what it needs; None if it is none.

    A :class:`soen_event.Rule`, its class or a :class:`soen_event.Plasticity` has the name of the rule's class and its ``requires``;
    a name alone the needs of :data:`hardware.limits.METHODS`.
    """
    rule = method.rule if isinstance(method, Plasticity) else method
    of = rule if isinstance(rule, type) else type(rule)
    if issubclass(of, Rule):
        return of.__name__, tuple(need for need in SIGNALS if need in of.requires), True
    if isinstance(method, str):
        return (method, METHODS.get(method, ()), False) if method else None
    name, needs = getattr(method, "name", None), getattr(method, "needs", ())
    needs = (needs,) if isinstance(needs, str) else needs
    if not isinstance(name, str) or not name:
        return None
    if not isinstance(needs, Iterable) or not all(isinstance(need, str) for need in needs):
        raise InputError(f"needs of {name!r} are {shown(needs)}, no list of words; give such as ('pre', 'post')")
    return name, tuple(needs), False


def method_name(method: Any) -> str:
    """What to call a way of learning in a report."""
    try:
        found = described(method)
    except InputError:
        found = None
    return found[0] if found is not None else str(getattr(method, "name", shown(method)))


def missing_signals(chip: Chip, needs: Iterable[str]) -> list[str]:
    """Those of ``needs`` that a chip has not; none where its signals are not known. Per neuron includes the same for all."""
    if chip.signals is None:
        return []
    has = {*chip.signals, *(("broadcast",) if "per-neuron" in chip.signals else ())}
    return [need for need in needs if need not in has]


def method_faults(chip: Chip, method: Any, place: str) -> list[str]:
    """Why a way of learning cannot run on a chip; an empty list if it can.

    Args:
        chip: the chip.
        method: a :class:`soen_event.Rule`, its class, or a :class:`soen_event.Plasticity`, which is judged by what it requires and by
            what it changes; a name; or an object with a ``name`` and, if it has any, ``needs`` (:data:`hardware.chip.SIGNALS`).
        place: of what the faults speak.
    """
    try:
        found = described(method)
    except InputError as error:
        return [f"{place}: {fault}" for fault in error.faults]
    if found is None:
        return [f"{place}: {shown(method)} is no method; give a Rule, a name, or an object with a name"]
    name, needs, itself = found
    faults = []
    binding = chip.methods is not None and (not itself or not chip.methods or chip.signals is None)
    if binding and _plain(name) not in map(_plain, chip.methods):
        known = ", ".join(chip.methods)
        remedy = f"it has {known}" if known else "nothing is learned on it; find the weights outside and program them"
        faults.append(f"{place}: {name!r} does not run on {chip.name}{nearest(name, chip.methods)}; {remedy}")
    elif chip.methods is None and isinstance(method, str) and method not in METHODS:
        faults.append(
            f"{place}: {name!r} is unknown{nearest(name, METHODS)}; give one of {', '.join(METHODS)}, or a Rule"
        )
    missing = missing_signals(chip, needs)
    if missing:
        have = ", ".join(chip.signals) or "no signals for learning"
        faults.append(
            f"{place}: {name!r} needs {', '.join(missing)}, and {chip.name} has {have}; use a more local rule"
        )
    if isinstance(method, Plasticity):
        for places, what in (("synapses", "weights"), ("couplings", "J"), ("loops", "phi_offset")):
            if getattr(method, places) is not None and what not in chip.programmable:
                has = " and ".join(chip.programmable) or "nothing"
                faults.append(
                    f"{place}: {name!r} changes {what} of {places}, and {chip.name} programs {has}; leave them out"
                )
    return faults


def _plain(name: str) -> str:
    """A name without what a class and a method write differently: ThreeFactor, three_factor."""
    return name.replace("_", "").lower()
