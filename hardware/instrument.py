"""A chip on the bench: load a network, program weights, send light, let it run, read it out, learn, reset.

>>> from hardware.instrument import VirtualChip
>>> chip = VirtualChip("ascr_y1", seed=3)                                   # doctest: +SKIP
>>> chip.load(network)                                                      # doctest: +SKIP
>>> chip.inject({"s1": [5.0, 20.0]})                                        # doctest: +SKIP
>>> chip.run(100.0)                                                         # doctest: +SKIP
>>> chip.read_out().currents["d1"]                                          # doctest: +SKIP
array([0.4375])

The chip goes on where it stopped: run(100) twice is run(200), to the bit, and programming a weight leaves every loop's
current where it is. It takes what a chip takes: weights are rounded to its levels, light faster than its lines is refused,
currents come with its noise and its bits, as often as it can be read.

On a SimPy bench the environment's clock (ns) drives the chip. Whatever touches the chip there meets it at that time::

    def laser(env, chip):
        while True:
            chip.inject({"s1": [0.0]})
            yield env.timeout(50.0)

    env.process(laser(env, chip))
    env.run(chip.process(env, 400.0))
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hardware.chip import Chip, find
from hardware.deployment import Deployment, deploy
from hardware.faults import Damaged
from hardware.fitting import method_faults
from hardware.memory import on_chip, settings
from hardware.quantize import ROUNDINGS, Levels
from hardware.readout import Readout
from hardware.spread import Spread
from hardware.stored import WriteLedger, biases, gains, own_values, stored, values
from soen_event.engine.state import DETECTED
from soen_event.errors import InputError, nearest
from soen_event.learning import Plasticity
from soen_event.network import Network
from soen_event.parts import RI_BIAS, RTTI_BIAS, Coupling, Synapse, shown
from soen_event.physics.random import SPREAD, checked_seed, normal, part_key
from soen_event.plan import lower
from soen_event.simulate import Simulation
from soen_event.units import fs_to_ns, is_number

if TYPE_CHECKING:
    import simpy

    from soen_event.recording import Recording
    from soen_event.stimulus import Stimulus

__all__ = ["Readout", "VirtualChip", "WriteLedger"]

MOST_NS = 4e12  # the engines' clock
_NEVER = -(2**62)


class VirtualChip:
    """A chip as an instrument, with its state and its clock.

    Args:
        chip: a Chip, the name of a profile, or the path of a chip file.
        seed: 0 to 2^63 - 1. Every draw of the chip follows from it: its fabrication spread, detections and light of the
            run, stochastic rounding, noise of the readout. The same seed and the same verbs give the same bits. A
            Deployment that is loaded keeps the spread of its own seed.
        spread: fabrication spread of what is loaded, or None. A weight is then what was written times the deviation of
            its place; the deviation goes with the part's id, not with its site.
        engine, resolution, tol, threads: as in :func:`soen_event.simulate`.
        monitor: loops whose currents can be read; None: all on a chip that does not spike, else none. They cost memory.

    All that is recorded since loading or the last reset stays in memory.

    Raises:
        InputError: an argument that does not fit. Every verb raises it too, and does nothing then.
    """

    def __init__(
        self,
        chip: Any,
        seed: int = 0,
        *,
        spread: Spread | None = None,
        engine: str = "compiled",
        resolution: str = "fluxon",
        tol: float = 1e-4,
        threads: int = 1,
        monitor: Iterable[str] | None = None,
    ):
        faults = []
        try:
            self.chip: Chip = find(chip)
        except InputError as error:
            faults += error.faults
        try:
            self.seed = checked_seed(seed)
        except InputError as error:
            faults += error.faults
        if spread is not None and not isinstance(spread, Spread):
            faults.append(f"VirtualChip.spread: {shown(spread)} is no Spread; give for example Spread.published()")
        self._options: dict[str, Any] = {"engine": engine, "resolution": resolution, "tol": tol, "threads": threads}
        try:
            Simulation(Network(), seed=0, **self._options)
        except InputError as error:
            faults += error.faults
        if monitor is not None and not _ids(monitor):
            faults.append(f"VirtualChip.monitor: {shown(monitor)} are no ids; give a list of them, or None")
        if faults:
            raise InputError(faults)
        self._spread = spread
        self._monitor = None if monitor is None else [monitor] if isinstance(monitor, str) else sorted(set(monitor))
        self._ledger = WriteLedger(self.chip.write_energy_J)
        self._deployment: Deployment | None = None
        self._bench: tuple[simpy.Environment, int] | None = None

    # ---- loading

    def load(self, network: Any, *, learning: Any = None, **options: Any) -> Deployment:
        """Put a network on the chip; the clock begins at 0, all loops empty.

        Args:
            network: a Network or a network file, which is deployed with ``options`` (``ports``, ``on_excess``,
                ``rounding``, ``temperature``, ``method``: :func:`hardware.deployment.deploy`), or a Deployment on this chip.
            learning: rules that run on the chip, and where: a :class:`soen_event.Plasticity` or several; by default those of the
                Deployment. What they write is held in the chip's memory: its levels, range and signs (:mod:`hardware.memory`),
                and every place with its own deviation.

        Returns:
            The deployment, with its report.
        """
        self._off_the_bench("load")
        if isinstance(network, Deployment):
            if options:
                raise InputError(
                    f"VirtualChip.load: {', '.join(options)} cannot change a Deployment; give them to deploy()"
                )
            if network.chip != self.chip:
                raise InputError(
                    f"VirtualChip.load: this was deployed on {network.chip.name}, not on this {self.chip.name}"
                )
            found = network
        else:
            unknown = [
                name for name in options if name not in ("ports", "on_excess", "rounding", "temperature", "method")
            ]
            if unknown:
                raise InputError(
                    [f"VirtualChip.load.{name}: there is no such option; see deploy()" for name in unknown]
                )
            found = deploy(network, self.chip, seed=self.seed, spread=self._spread, learning=learning, **options)
        rules = list(found.learning) if learning is None else settings(learning, "VirtualChip.learning")
        monitored = self._monitored(found)
        made = own_values(found.network)
        deviations = gains(found)
        held = values(found.programmed)
        run = self._simulation(made, monitored, rules, held, deviations, ())
        self._deployment, self._monitored_loops, self._gain = found, monitored, deviations
        self._made, self._bias_of, self._values = made, biases(own_values(found.programmed)), held
        self._rules = rules
        self._told: dict[str, dict[str, float]] = {}
        self._broken: set[str] = set()
        self._own_light: Stimulus | None = None
        self._loaded = made.copy(), dict(self._values), dict(self._bias_of)
        programmable = [name for name in self._values if self._programmable(name)]
        self._ledger.by_part.update(programmable)
        self._begin(run)
        return found

    def reset(self, *, weights: bool = False) -> None:
        """Empty all loops, forget light and signals on their way and what was not read; the clock begins at 0 again.

        What rules have learnt stays, and so do parameters that were set (:meth:`set_rule`); their variables begin at 0.

        Args:
            weights: also write back the weights and biases that were loaded, and forget what was learnt and set; what differs is
                written, and costs energy. Faults stay (:meth:`damage`).
        """
        self._off_the_bench("reset")
        self._need("reset")
        if not isinstance(weights, bool):
            raise InputError(f"VirtualChip.reset.weights: {shown(weights)} is neither True nor False")
        self._keep_learnt()
        if weights:
            made, held, at = self._loaded
            self._ledger.by_part.update(name for name in held if held[name] != self._values[name])
            self._made, self._values, self._bias_of, self._told = made.copy(), dict(held), dict(at), {}
        self._start_again()

    def _start_again(self) -> None:
        """Clock at 0, with everything that is stored and set now."""
        rules = self._rules, self._values, self._gain, self._broken
        self._begin(self._simulation(self._made, self._monitored_loops, *rules))
        for rule, told in self._told.items():
            if rule in self._run.plan.learning.names:
                self._run.set_rule(rule, **told)
        if self._own_light is not None:
            self._run.inject({str(name): times for name, times in self._own_light.photons.items()})

    def _simulation(
        self,
        network: Network,
        monitored: list[str],
        rules: list[Plasticity],
        held: dict[str, float],
        gain: Mapping[str, float],
        broken: Iterable[str],
    ) -> Simulation:
        """A run; ``network`` and ``held`` take the values that the rules' memories can hold."""
        record = {"spikes": None, "photons": None, "currents": monitored}
        options = {"seed": self.seed, "record": record, **self._options}
        if not rules:
            return Simulation(network, **options)
        plan = lower(network, (), self._options["resolution"], self._options["tol"])
        key = _key_of_site(network)
        site = {name: each for each, name in key.items()}
        of_sites = {site[name]: value for name, value in held.items() if name in site}
        gains_of = {site[name]: value for name, value in gain.items() if name in site}
        fitted = on_chip(rules, plan, self.chip, of_sites, gains_of, {site.get(name, name) for name in broken})
        if not fitted:
            return Simulation(network, **options)
        run = Simulation(network, learning=fitted, **options)
        moved = {
            name: value
            for name, value in run.learnt.items()
            if not math.isclose(
                value, of_sites[name] if name in of_sites else _offset(network, name), rel_tol=1e-9, abs_tol=1e-12
            )
        }
        if not moved:
            return run
        for name, value in moved.items():
            _put(network, key, name, value, gain)
            if name in key:
                held[key[name]] = value
        return Simulation(network, learning=fitted, **options)

    def _keep_learnt(self) -> None:
        """What rules have written since the run began becomes what is stored."""
        self._book()
        for site, value in self._written().items():
            _put(self._made, self._key, site, value, self._gain)
            if site in self._key:
                self._values[self._key[site]] = value

    def _begin(self, run: Simulation) -> None:
        self._run, self._key = run, _key_of_site(self._made)
        self._booked = 0
        self._sent: list[tuple[int, str, Any]] = []
        self._fs = self._read_fs = self._settled_fs = self._writes = self._samples = 0
        self._sampled_fs = _NEVER
        self._seen = {"spikes": 0, "photons": 0, "writes": 0}
        self._seen_fluxons = np.zeros(len(run.plan.loop_ids), dtype=np.int64)
        self._pulses: dict[str, NDArray[np.float64]] = {}

    def _monitored(self, found: Deployment) -> list[str]:
        loops = [*found.network.dendrites, *found.network.neurons]
        if self._monitor is None:
            return [] if self.chip.spiking else sorted(loops)
        faults = [
            f"VirtualChip.monitor: there is no dendrite or neuron {name!r}{nearest(name, loops)} in what is loaded"
            for name in self._monitor
            if name not in loops
        ]
        if faults:
            raise InputError(faults[:20])
        return self._monitor

    # ---- what it is

    @property
    def now(self) -> float:
        """The chip's clock, ns: up to which everything has happened."""
        self._follow()
        return self._need("now")._fs * 1e-6

    @property
    def deployment(self) -> Deployment:
        """What was loaded."""
        found = self._need("deployment")._deployment
        assert found is not None
        return found

    @property
    def network(self) -> Network:
        """The network as the chip is now: with what was programmed and learnt since, and its fabrication spread. A copy."""
        made = self._need("network")._made.copy()
        self._follow()
        for site, value in self._written().items():
            _put(made, self._key, site, value, self._gain)
        return made

    @property
    def weights(self) -> dict[str, float]:
        """What is stored, by synapse (weight) and coupling (J), with what rules have written; ``d1.phi_offset`` where those learn."""
        self._need("weights")
        self._follow()
        return self._values | {self._key.get(site, site): value for site, value in self._written().items()}

    @property
    def ledger(self) -> WriteLedger:
        """What all writes have cost: of loading, programming, and rules."""
        if self._deployment is not None:
            self._follow()
            self._book()
        return self._ledger

    @property
    def learns(self) -> tuple[str, ...]:
        """Where rules write: ids of synapses, keys of couplings, ``d1.phi_offset``."""
        self._need("learns")
        return tuple(self._key.get(site, site) for site in self._run.plan.learning.site_ids)

    @property
    def biases(self) -> dict[str, float]:
        """Biases that are set (I_c), by dendrite, neuron, and ``n1.refractory``."""
        return dict(self._need("biases")._bias_of)

    @property
    def hears(self) -> frozenset[str]:
        """Names of the signals that rules on the chip hear."""
        return frozenset(self._need("hears")._run.plan.learning.signals)

    @property
    def settled(self) -> bool:
        """Whether the last write has settled."""
        self._need("settled")
        self._follow()
        self._book()
        return self._fs >= self._settled_fs

    def recording(self) -> Recording:
        """Everything since loading or the last reset, for plots. Energies are booked with the biases as they are now."""
        self._need("recording")
        self._follow()
        return self._run.recording()

    # ---- verbs

    def program(self, weights: Mapping[str, float], *, rounding: str = "nearest") -> dict[str, float]:
        """Write weights of synapses and J of couplings; loops keep their currents, flux that is there follows at once.

        Only values whose level changes are written; each costs the chip's energy, and the chip settles for a while
        (:attr:`settled`). A value beyond the range takes its end.

        Args:
            weights: by synapse id or coupling key, finite.
            rounding: "nearest", or "stochastic": right on average, so that steps below half a level are not lost.

        Returns:
            What is stored now, by name.
        """
        self._need("program")
        new = self._stored(weights, rounding)
        self._follow()
        now = self.weights
        for name, value in new.items():
            if value == now[name]:
                continue
            if name in self._broken:  # it is written, and stays as it is
                self._ledger.by_part[name] += 1
                new[name] = now[name]
                continue
            part, actual = self._made[name], value * self._gain.get(name, 1.0)
            if isinstance(part, Synapse):
                self._run.set_weight(name, actual)
                self._made.replace(name, weight=actual)
            else:
                self._run.set_coupling(part.source, part.target, actual)
                self._made.replace(name, J=actual)
            self._values[name] = value
            self._ledger.by_part[name] += 1
            self._unsettle()
        self._writes += 1
        return new

    def _stored(self, weights: Any, rounding: Any) -> dict[str, float]:
        place, chip = "VirtualChip.program", self.chip
        if not isinstance(weights, Mapping):
            raise InputError(f"{place}: {shown(weights)} is no mapping; give values by synapse or coupling")
        faults = []
        if rounding not in ROUNDINGS:
            faults.append(f"{place}.rounding: {shown(rounding)} is not known; give {' or '.join(map(repr, ROUNDINGS))}")
        pairs = Counter((c.source, c.target) for c in self._made.couplings)
        for name, value in weights.items():
            if name not in self._values:
                faults.append(f"{place}: {self._absent(name)}")
            elif not self._programmable(name):
                faults.append(
                    f"{place}: {name!r} is fixed on {chip.name}; it programs {' and '.join(chip.programmable) or 'nothing'}"
                )
            elif not is_number(value):
                faults.append(f"{place}[{name!r}]: {shown(value)} is no finite number; give one")
            elif isinstance(part := self._made[name], Coupling):
                target: Any = self._made[part.target]
                if pairs[part.source, part.target] > 1:
                    faults.append(f"{place}: {name!r} is one of several couplings of these loops; merge them")
                elif getattr(getattr(target, "soma", target), "collection_inductance", None) is not None:
                    faults.append(
                        f"{place}: {name!r} ends in a collection loop, whose inductances are fixed; load it anew"
                    )
        if faults:
            raise InputError(faults[:20])
        new: dict[str, float] = {}
        for kind, parameter, setting in ((Synapse, "weights", chip.weights), (Coupling, "J", chip.couplings)):
            names = [name for name in weights if isinstance(self._made[name], kind)]
            given = np.array([float(weights[name]) for name in names])
            if not names:
                continue
            labels = [f"{parameter} {name}" for name in names]
            after, _ = stored(chip, setting, given, labels, rounding, self.seed, ordinal=self._writes + 1)
            new |= dict(zip(names, after.tolist(), strict=True))
        return {name: new[name] for name in weights}

    def set_bias(self, part: str, ib: float) -> float:
        """Set the bias of a dendrite, of a neuron's soma, or of ``n1.refractory``; its current stays as it is.

        Args:
            part: id.
            ib: I_c; moved to what the chip has. Couplings do not follow, an automatic one of a refractory dendrite neither.

        Returns:
            What is set now.
        """
        self._need("set_bias")
        if not isinstance(part, str) or part not in self._bias_of:
            raise InputError(
                f"VirtualChip.set_bias: there is no loop {part!r}{nearest(str(part), self._bias_of)}; correct it"
            )
        if not is_number(ib):
            raise InputError(f"VirtualChip.set_bias: {shown(ib)} is no finite number; give a bias in I_c")
        inside = part not in self._made  # n1.refractory
        owner = part.removesuffix(".refractory") if inside else part
        old: Any = self._made[owner]
        kind, setting, value = getattr(old, "kind", "ri"), self.chip.ib, float(ib)
        if setting is not None and kind == "ri":
            value = (
                float(setting.round(value)) if isinstance(setting, Levels) else min(max(value, setting[0]), setting[1])
            )
        low, high = RTTI_BIAS if kind == "rtti" else RI_BIAS
        actual = value * self._gain.get(f"{part} ib", 1.0)
        if not low <= actual <= high:
            raise InputError(
                f"VirtualChip.set_bias: {actual:g} I_c of {part!r} is outside {low:g} to {high:g}; choose another"
            )
        self._follow()
        self._run.set_bias(part, actual)
        at = "refractory" if inside else "soma" if hasattr(old, "soma") else None
        self._made.replace(owner, **({"ib": actual} if at is None else {at: {"ib": actual}}))
        self._bias_of[part] = value
        self._unsettle()
        return value

    def inject(self, photons: Any, *, absolute: bool = False) -> int:
        """Send light to the chip's lines.

        Args:
            photons: times (ns, ascending; or one) by line, or by a synapse that has a line of its own; a Stimulus; a photon file.
                Photons at the same time are one pulse.
            absolute: times are those of the chip's clock; else they count from now.

        Returns:
            How many photons will arrive, over all synapses.
        """
        from soen_event.stimulus import Stimulus

        self._need("inject")
        self._follow()
        if isinstance(photons, Mapping):
            photons = {name: [t] if isinstance(t, int | float | np.number) else t for name, t in photons.items()}
        stimulus = Stimulus.coerce(photons)
        if not isinstance(absolute, bool):
            raise InputError(f"VirtualChip.inject.absolute: {shown(absolute)} is neither True nor False")
        faults = ["VirtualChip.inject: a flux drive is no light; put it into the network"] if stimulus.drives else []
        lines = self.deployment.lines
        least = 0.0 if self.chip.input_rate_hz is None else 1e9 / self.chip.input_rate_hz
        now, start = self._fs * 1e-6, 0 if absolute else self._fs
        trains: dict[str, Any] = {}
        pulses: dict[str, Any] = {}
        for name, times in stimulus.photons.items():
            line = name if name in lines else self.deployment.ports.get(str(name))
            if line is None:
                faults.append(f"VirtualChip.inject: {self._absent(name)}")
                continue
            if name not in lines and len(lines[line]) > 1:
                faults.append(
                    f"VirtualChip.inject: {name!r} hangs on the line {line!r} with others; send light to the line"
                )
                continue
            fs = np.rint(np.asarray(times) * 1e6).astype(np.int64) + start
            if len(fs) and fs[0] < self._fs:
                faults.append(
                    f"VirtualChip.inject: {name}: {fs[0] * 1e-6:g} ns is before now ({now:g} ns); light cannot arrive in the past"
                )
                continue
            if len(fs) and fs[-1] * 1e-6 > MOST_NS:
                faults.append(f"VirtualChip.inject: {name}: {fs[-1] * 1e-6:g} ns is beyond the clock's {MOST_NS:g} ns")
                continue
            before = pulses.get(line, self._pulses.get(line, np.zeros(0)))
            both = np.unique(np.concatenate([before, fs * 1e-6]))
            gap = np.diff(both)
            if len(gap) and gap.min() < least * (1.0 - 1e-9):
                k = int(gap.argmin())
                faults.append(
                    f"VirtualChip.inject: {line}: pulses at {both[k]:g} and {both[k + 1]:g} ns are {gap[k]:.4g} ns apart, and "
                    f"{self.chip.name} takes {self.chip.input_rate_hz:g} a second, {least:g} ns apart; send them more slowly"
                )
                continue
            pulses[line] = both
            trains[line] = np.concatenate([trains[line], fs]) if line in trains else fs
        if faults:
            raise InputError(faults[:20])
        light = {synapse: fs_to_ns(fs) for line, fs in trains.items() if len(fs) for synapse in lines[line]}
        if light:
            self._run.inject(light)
        # Only what can still be too near to light to come is kept.
        self._pulses |= {line: times[times >= now - least] for line, times in pulses.items()}
        return sum(map(len, light.values()))

    def run(self, duration: float) -> None:
        """Let the chip run for ``duration`` ns, above 0. Not on a bench, whose clock it follows there."""
        self._need("run")
        self._off_the_bench("run")
        self._advance(self._fs + _femtoseconds(duration, "VirtualChip.run.duration", self._fs))

    def read_out(self, currents: str | Iterable[str] | None = None, *, every: float | None = None) -> Readout:
        """What happened since the last readout, which then begins anew.

        Args:
            currents: monitored dendrites and neurons to sample; None: all that are monitored.
            every: sample at this spacing (ns) from the last readout on; None: once, now.

        Returns:
            A :class:`Readout`.
        """
        self._need("read_out")
        self._follow()
        names = self._chosen(currents)
        times_fs = self._sample_times(every) if names else np.zeros(0, np.int64)
        times: Any = times_fs * 1e-6
        recording = self._run.recording()
        self._book(recording)
        spikes, photons = self._new_rows(recording, "spikes"), self._new_rows(recording, "photons")
        plan = self._run.plan
        fired = _by_part(spikes["time_fs"], spikes["neuron"], plan.neuron_ids)
        seen = photons["fate"] == DETECTED
        arrived = _by_part(photons["time_fs"][seen], photons["detector"][seen], plan.detector_ids)
        detected = {name: arrived[name] for name in self._made.synapses}
        total = np.array([recording.fluxon_count[name] for name in plan.loop_ids], dtype=np.int64)
        fluxons = dict(zip(plan.loop_ids, (total - self._seen_fluxons).tolist(), strict=True))
        samples = {name: self._sampled(recording, name, times_fs) for name in names}
        settled = self._read_fs >= self._settled_fs
        written = self._new_rows(recording, "writes")["site"]
        sites = self._run.plan.learning.site_ids
        counts = np.bincount(written, minlength=len(sites)).tolist()
        writes = {self._key.get(site, site): count for site, count in zip(sites, counts, strict=True) if count}
        passed = [each for each in self._sent if each[0] <= self._fs]
        signals = tuple((fs * 1e-6, name, value) for fs, name, value in passed)
        self._sent = self._sent[len(passed) :]
        found = Readout(
            self._read_fs * 1e-6, self._fs * 1e-6, settled, fired, detected, fluxons, times, samples, writes, signals
        )
        self._seen = {
            "writes": len(recording.table("writes")["time_fs"]),
            "spikes": len(recording.table("spikes")["time_fs"]),
            "photons": len(recording.table("photons")["time_fs"]),
        }
        self._seen_fluxons, self._read_fs = total, self._fs
        if len(times_fs):
            self._sampled_fs, self._samples = int(times_fs[-1]), self._samples + len(times_fs)
        return found

    def learn(self, rule: Any, *, rounding: str = "nearest") -> dict[str, float]:
        """Let a rule find new weights and write them, if it runs on this chip.

        Args:
            rule: an object with ``name``, perhaps ``needs`` (signals, :data:`hardware.chip.SIGNALS`), and ``update(chip)``,
                which returns new weights by synapse or coupling; or a function of the chip with a ``name``.
            rounding: of what is written (:meth:`program`).

        Returns:
            What is stored now, by name.
        """
        self._need("learn")
        faults = method_faults(self.chip, rule, "VirtualChip.learn")
        update = getattr(rule, "update", rule)
        if not callable(update):
            faults.append(f"VirtualChip.learn: {shown(rule)} has no update(chip) to call; give a rule")
        if faults:
            raise InputError(faults)
        new = update(self)
        if new is not None and not isinstance(new, Mapping):
            raise InputError(f"VirtualChip.learn: {rule.name!r} returned {shown(new)}; it must return weights by name")
        return self.program(new or {}, rounding=rounding)

    # ---- rules that run on the chip

    def signal(self, name: str, value: float | Mapping[str, float] = 1.0, *, delay: float = 0.0) -> None:
        """Broadcast a signal to the rules that run on the chip: a reward, an error, the end of a sample.

        Args:
            name: as the rules have it.
            value: a number for all, or numbers by neuron (0 for those that are not named), if the chip can tell them apart.
            delay: ns from now, 0 or more.
        """
        place = "VirtualChip.signal"
        self._need("signal")
        self._follow()
        faults = []
        if not is_number(delay) or delay < 0.0:
            faults.append(f"{place}.delay: {shown(delay)} is no time of at least 0; give ns from now")
        by_neuron = isinstance(value, Mapping)
        if by_neuron and self.chip.signals is not None and "per-neuron" not in self.chip.signals:
            faults.append(
                f"{place}: {self.chip.name} has no signal of its own for every neuron; give one number for all"
            )
        try:
            if not faults:
                self._run.signal(name, value, at=None if delay == 0.0 else self._fs * 1e-6 + delay)
        except InputError as error:
            faults += [fault.replace("Simulation.signal", place, 1) for fault in error.faults]
        if faults:
            raise InputError(faults)
        given = dict(value) if isinstance(value, Mapping) else float(value)
        self._sent.append((self._fs + round(delay * 1e6), name, given))
        self._sent.sort(key=lambda each: each[0])

    def set_rule(self, rule: str, **parameters: float) -> None:
        """Change parameters of a rule from now on: its own, or ``rate`` (0: it does not learn), ``clip``, ``begins``, ``ends``.

        Args:
            rule: its name (:class:`soen_event.Plasticity`).
        """
        self._need("set_rule")
        self._follow()
        try:
            self._run.set_rule(rule, **parameters)
        except InputError as error:
            told = [fault.replace("Simulation.set_rule", "VirtualChip.set_rule", 1) for fault in error.faults]
            raise InputError(told) from None
        self._told.setdefault(rule, {}).update(parameters)

    def damage(self, fault: Any) -> Damaged:
        """Something on the chip breaks. What is stored stays; loops are empty and the clock begins at 0, as after :meth:`reset`.

        Values that are stuck, and couplings that are open, can no longer be written: what is written there costs energy and has no effect.

        Args:
            fault: :class:`hardware.faults.Faults`, or a function of a network that returns a :class:`hardware.faults.Damaged`, such as
                ``partial(dead_detectors, ids=["s1"])``.

        Returns:
            The damaged network and what was hit.
        """
        self._off_the_bench("damage")
        self._need("damage")
        apply = getattr(fault, "apply", fault)
        if not callable(apply):
            raise InputError(f"VirtualChip.damage: {shown(fault)} is no fault; give Faults, or a function of a network")
        self._keep_learnt()
        found = apply(self._made.copy())
        if not isinstance(found, Damaged) or set(values(found.network)) != set(self._values):
            raise InputError(
                f"VirtualChip.damage: the fault returned {shown(found)}; it must return a Damaged with the same parts"
            )
        made, held, at = self._loaded
        loaded = apply(made.copy()).network
        stays = values(found.network)
        for part in (name for kind in ("stuck_weights", "open_couplings") for name in found.hits.get(kind, ())):
            if part in stays:
                self._values[part] = held[part] = stays[part] / self._gain.get(part, 1.0)
            self._broken |= {part, f"{part}.phi_offset", f"{part}.soma.phi_offset"}
        self._made, self._loaded = found.network.copy(), (loaded, held, at)
        if found.photons.photons:
            self._own_light = found.photons if self._own_light is None else self._own_light + found.photons
        self._start_again()
        return found

    def _written(self) -> dict[str, float]:
        """What every place that learns holds, by site: on the chip's levels."""
        out = {}
        for site, value in self._run.learnt.items() if self._run.plan.rules is not None else ():
            name = self._key.get(site)
            part = None if name is None else self._made[name]
            setting = (
                self.chip.phi_offset
                if part is None
                else self.chip.weights
                if isinstance(part, Synapse)
                else self.chip.couplings
            )
            sign = "free" if part is None else self.chip.sign
            on_level = isinstance(setting, Levels)
            out[site] = float(setting.round(value, sign=sign)) if on_level else value
        return out

    def _book(self, recording: Recording | None = None) -> None:
        """Count what rules have written since the last time, and let the chip settle."""
        if self._run.plan.rules is None:
            return
        table = (recording or self._run.recording()).table("writes")
        new = table["site"][self._booked :]
        if not len(new):
            return
        sites = self._run.plan.learning.site_ids
        for row, count in zip(*np.unique(new, return_counts=True), strict=True):
            self._ledger.by_part[self._key.get(sites[row], sites[row])] += int(count)
        self._booked += len(new)
        if self.chip.settling:
            self._settled_fs = max(self._settled_fs, int(table["time_fs"][-1]) + round(self.chip.settling * 1e6))

    # ---- on a bench

    def process(
        self, env: simpy.Environment, duration: float, *, step: float | None = None, spikes: simpy.Store | None = None
    ) -> simpy.Process:
        """A SimPy process in which the chip runs for ``duration`` ns of the bench's clock (``env``, in ns).

        Meanwhile every verb meets the chip at the bench's time. Interrupting the process stops the chip there. Its value
        is the chip's clock at the end.

        Args:
            env: the bench.
            duration: ns, above 0.
            step: look at the chip at this spacing (ns), above 0; None: only when a verb needs it, and at the end.
            spikes: a store that gets (neuron, time on the bench's clock) of every spike, at the end of its step.
        """
        import simpy

        self._need("process")
        self._off_the_bench("process")
        if not isinstance(env, simpy.Environment):
            raise InputError(
                f"VirtualChip.process.env: {shown(env)} is no SimPy environment; give one, with its clock in ns"
            )
        if spikes is not None and not isinstance(spikes, simpy.Store):
            raise InputError(f"VirtualChip.process.spikes: {shown(spikes)} is no simpy.Store; give one, or None")
        length = _femtoseconds(duration, "VirtualChip.process.duration", self._fs)
        slice_fs = length if step is None else min(_femtoseconds(step, "VirtualChip.process.step", 0), length)
        return env.process(self._life(env, length, slice_fs, spikes))

    def _life(self, env: Any, length: int, slice_fs: int, store: Any) -> Generator[Any, Any, float]:
        self._off_the_bench("process")
        start = env.now
        ahead = self._fs - round(start * 1e6)
        self._bench = env, ahead
        told = len(self._run.recording().table("spikes")["time_fs"]) if store is not None else 0
        run = self._run
        try:
            for done in itertools.chain(range(slice_fs, length, slice_fs), [length]):
                yield env.timeout(max(start + done * 1e-6 - env.now, 0.0))
                self._follow()
                if store is not None:
                    table, names = self._run.recording().table("spikes"), run.plan.neuron_ids
                    for k in range(told, len(table["time_fs"])):
                        yield store.put((names[int(table["neuron"][k])], (int(table["time_fs"][k]) - ahead) * 1e-6))
                    told = len(table["time_fs"])
        finally:
            self._follow()
            self._bench = None
        return self._fs * 1e-6

    def _follow(self) -> None:
        """Bring the chip to the bench's time."""
        if self._bench is not None:
            env, ahead = self._bench
            until = round(env.now * 1e6) + ahead
            if until > self._fs:
                self._advance(until)

    # ---- inside

    def _advance(self, until_fs: int) -> None:
        self._run.run(until_fs * 1e-6)
        self._fs = until_fs

    def _need(self, verb: str) -> VirtualChip:
        if self._deployment is None:
            raise InputError(f"VirtualChip.{verb}: nothing is loaded; load a network first")
        return self

    def _off_the_bench(self, verb: str) -> None:
        if self._bench is not None:
            remedy = "let time pass with env.timeout, or wait until its process is over"
            raise InputError(f"VirtualChip.{verb}: the chip runs on a bench; {remedy}")

    def _unsettle(self) -> None:
        if self.chip.settling:
            self._settled_fs = self._fs + round(self.chip.settling * 1e6)

    def _programmable(self, name: str) -> bool:
        return ("weights" if isinstance(self._made[name], Synapse) else "J") in self.chip.programmable

    def _absent(self, name: Any) -> str:
        found = self.deployment
        if name in found.merged:
            return f"{name!r} was merged into {found.merged[name]!r}; use that"
        if name in found.pruned:
            return f"{name!r} was left out when the network was deployed (on_excess='prune')"
        if name in self._made.synapses:
            return f"{name!r} is lit by a waveguide, not from outside"
        known = (*found.lines, *self._values)
        return f"there is no {name!r}{nearest(str(name), known)}; correct it"

    def _chosen(self, currents: Any) -> list[str]:
        if currents is None:
            return list(self._monitored_loops)
        names = [currents] if isinstance(currents, str) else currents
        if not _ids(names):
            raise InputError(f"VirtualChip.read_out.currents: {shown(currents)} are no ids; give some, or None")
        names = list(names)
        known = self._monitored_loops
        faults = [
            f"VirtualChip.read_out.currents: {name!r} is not monitored{nearest(str(name), known)}; name it in VirtualChip(monitor=)"
            for name in names
            if name not in known
        ]
        if faults:
            raise InputError(faults[:20])
        return names

    def _sample_times(self, every: Any) -> NDArray[np.int64]:
        place, rate = "VirtualChip.read_out", self.chip.readout_rate_hz
        least = 0 if rate is None else round(1e15 / rate)
        if every is None:
            times = np.array([self._fs], dtype=np.int64)
        else:
            step = _femtoseconds(every, f"{place}.every", 0)
            if step < least:
                raise InputError(
                    f"{place}.every: {every:g} ns is below {least * 1e-6:g} ns ({rate:g} samples a second); give more"
                )
            times = np.arange(self._read_fs + step, self._fs + 1, step, dtype=np.int64)
        if len(times) and times[0] - self._sampled_fs < least:
            soonest = (self._sampled_fs + least) * 1e-6
            raise InputError(
                f"{place}: currents were sampled at {self._sampled_fs * 1e-6:g} ns, and {self.chip.name} gives {rate:g} samples a "
                f"second; read again from {soonest:g} ns on, or read without currents (currents=[])"
            )
        return times

    def _new_rows(self, recording: Recording, table: str) -> dict[str, NDArray[Any]]:
        return {name: column[self._seen[table] :] for name, column in recording.table(table).items()}

    def _sampled(self, recording: Recording, name: str, times_fs: NDArray[np.int64]) -> NDArray[np.float64]:
        chip = self.chip
        samples = np.atleast_1d(np.asarray(recording.current(name, times_fs * 1e-6), dtype=float))
        if chip.readout_noise:
            key = part_key(f"readout {name}")
            noise = [normal(self.seed, key, self._samples + k, SPREAD, 0) for k in range(len(samples))]
            samples = samples + chip.readout_noise * np.array(noise)
        if chip.adc_bits is not None:
            samples = Levels.bits(chip.adc_bits, *chip.adc_range).round(samples)
        return samples


def _key_of_site(network: Network) -> dict[str, str]:
    """By site of learning, the name of the synapse or coupling; parallel couplings are numbered there."""
    out = {name: name for name in network.synapses}
    seen: Counter[str] = Counter()
    for coupling in network.couplings:
        pair = f"{coupling.source}->{coupling.target}"
        seen[pair] += 1
        out[pair if seen[pair] == 1 else f"{pair}#{seen[pair]}"] = network.key(coupling)
    return out


def _loop_of(network: Network, site: str) -> tuple[str, str | None]:
    """The part whose offset a site is, and which loop of a neuron."""
    loop = site.removesuffix(".phi_offset")
    if loop in network.dendrites:
        return loop, None
    owner, _, inner = loop.rpartition(".")
    return owner, inner


def _offset(network: Network, site: str) -> float:
    owner, inner = _loop_of(network, site)
    part: Any = network[owner]
    return float((part if inner is None else getattr(part, inner)).phi_offset)


def _put(network: Network, key: Mapping[str, str], site: str, value: float, gain: Mapping[str, float]) -> None:
    """Give a network what is held at a site."""
    if site in key:
        name = key[site]
        field = "weight" if name in network.synapses else "J"
        network.replace(name, **{field: value * gain.get(name, 1.0)})
        return
    owner, inner = _loop_of(network, site)
    network.replace(owner, **({"phi_offset": value} if inner is None else {inner: {"phi_offset": value}}))


def _by_part(fs: NDArray[np.int64], row: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """Times (ns) by the part whose row stands beside them."""
    order = np.argsort(row, kind="stable")
    ends = np.searchsorted(row[order], np.arange(1, len(names)))
    return dict(zip(names, np.split(fs[order] * 1e-6, ends), strict=True)) if len(names) else {}


def _ids(names: Any) -> bool:
    """Whether this is one id or several, that can be read more than once."""
    return isinstance(names, str | list | tuple | set | frozenset) and all(isinstance(name, str) for name in names)


def _femtoseconds(value: Any, place: str, since: int) -> int:
    """A length of time in fs, above 0, that does not lead beyond the engines' clock."""
    if not is_number(value):
        raise InputError(f"{place}: {shown(value)} is no time; give ns, above 0")
    fs = round(float(value) * 1e6)
    if fs <= 0:
        raise InputError(f"{place}: {value:g} ns is not above 0; give at least 1e-6")
    if since + fs > MOST_NS * 1e6:
        raise InputError(f"{place}: {value:g} ns leads beyond the clock's {MOST_NS:g} ns; reset the chip first")
    return fs
