"""Junction-level circuits of whole networks: the truth that the event engines are judged against.

    from hardware import circuit
    run = circuit.simulate(net, {"s1": [10.0]}, duration=50.0)
    run.fluxons["d1"], run.spikes["n1"], run.current("d1")

Every dendrite, soma and refractory dendrite is integrated with its junctions (:mod:`hardware.junctions` has the equations), from the
same Plan that the engines run, with the same photons, detectors, light, delays and random draws. What is ideal in it: a detector's flux
(two exponentials, physics.md 1.1), the transmitter (a threshold, then photons), and the mutual inductances; an RI dendrite's loading
by other loops follows from its collection loop (``Collection``), if it has one. Thermal noise is that of all shunts and loop resistors.

It costs some 5,000 to 100,000 times what the engines cost. Steps are multiples of a femtosecond; 0.05 ps gives fluxon times to 0.03 ps.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.engine import state as engine_state
from soen_event.engine.events import LOG_COLUMNS
from soen_event.engine.state import STEPS
from soen_event.errors import InputError, nearest
from soen_event.physics.inductance import loading, pairs
from soen_event.physics.random import checked_seed, part_key
from soen_event.physics.source import MIRROR
from soen_event.plan import Plan, lower
from soen_event.units import is_number

if TYPE_CHECKING:
    from soen_event.network import Network

__all__ = ["CircuitRun", "simulate", "wires"]

MOST_SAMPLES = 20_000_000  # numbers kept of currents and fluxes
_ROWS = 1 << 16


def simulate(
    network: Network | str | os.PathLike[str],
    photons: Any = None,
    duration: float | None = None,
    *,
    step: float = 0.05,
    temperature: float | None = None,
    seed: int = 0,
    record: Iterable[str] | None = None,
    sample: float = 0.01,
    progress: Callable[[float, float], None] | None = None,
) -> CircuitRun:
    """Integrate the junctions of a network.

    Args:
        network: a :class:`~soen_event.Network` or a path to a network file.
        photons: as for :func:`soen_event.simulate`: times in ns by synapse, a Stimulus, or a path.
        duration: ns, above 0.
        step: ps, 0.001 to 1; whole femtoseconds. 0.05 ps gives fluxon times to 0.03 ps (circuit.md 1).
        temperature: K, at least 0: thermal noise of shunts and loop resistors. Default: the device's.
        seed: of noise, efficiencies and emission; the same draws as the engine's.
        record: ids of the loops whose currents and fluxes are sampled; default all.
        sample: ns between samples.
        progress: called with (time, duration) in ns about once a second.

    Returns:
        A :class:`CircuitRun`.

    Raises:
        InputError: with everything that is wrong, before anything runs.
    """
    from soen_event.network import Network
    from soen_event.simulate import _lowered
    from soen_event.stimulus import Stimulus

    faults = _number_faults(duration, step, temperature, sample)
    if faults:
        raise InputError(faults)
    if isinstance(network, str | os.PathLike):
        network = Network.load(network)
    if not isinstance(network, Network):
        raise InputError(f"circuit.simulate.network: {type(network).__name__} is not a Network or a path to a file")
    seed = checked_seed(seed)
    kelvin = network.device.temperature if temperature is None else float(temperature)
    stimulus = Stimulus.coerce(photons)
    plan = lower(network.at_temperature(0.0), tuple(stimulus.drives), "fluxon")  # its rates are not used here
    fs, detector = _lowered(stimulus, plan)
    run = CircuitRun(plan, fs, detector, kelvin, seed, step, record, sample, float(duration or 0.0))
    run._integrate(progress)
    return run


def _number_faults(duration: Any, step: Any, temperature: Any, sample: Any) -> list[str]:
    faults = []
    if not (is_number(duration) and 0.0 < duration <= 1e9):
        faults.append(f"circuit.simulate.duration: {duration!r} is not a time in ns above 0, such as 50.0")
    if not (is_number(step) and 0.001 <= step <= 1.0):
        faults.append(f"circuit.simulate.step: {step!r} is not a step in ps from 0.001 to 1, such as 0.05")
    if temperature is not None and not (is_number(temperature) and 0.0 <= temperature <= 20.0):
        faults.append(f"circuit.simulate.temperature: {temperature!r} is not a temperature in K from 0 to 20")
    if not (is_number(sample) and 0.0 < sample <= 1e9):
        faults.append(f"circuit.simulate.sample: {sample!r} is not a time in ns above 0, such as 0.01")
    return faults


class CircuitRun:
    """What the junctions did. Times in ns, currents in I_c, fluxes in Phi0.

    Attributes:
        plan: the lowered network. ``times``: (samples,) when currents and fluxes were sampled.
        fluxons, fluxon_count, spikes, detections: by id, as in a :class:`~soen_event.Recording`.
        steps: integration steps; ``cpu_s``: CPU seconds spent in them (compilation apart).
    """

    def __init__(
        self,
        plan: Plan,
        photon_fs: np.ndarray,
        photon_detector: np.ndarray,
        temperature: float,
        seed: int,
        step: float,
        record: Iterable[str] | None,
        sample: float,
        duration: float,
    ):
        from soen_event.engine.compiled import new_log

        self.plan, self.temperature, self.seed, self.duration = plan, temperature, seed, duration
        self.step_fs = max(1, round(step * 1000.0))
        self._photons = photon_fs, photon_detector
        watched = self._watched(record)
        self._row = {int(k): w for w, k in enumerate(watched)}
        self._records = engine_state.packed(plan)
        self._state = engine_state.fresh(plan)
        self._wires = wires(plan, temperature)
        n, m = len(plan.loop_ids), len(plan.detector_ids)
        sample_fs = max(1, round(sample * 1e6))
        rows = round(duration * 1e6) // sample_fs + 2
        if 2 * rows * len(watched) > MOST_SAMPLES:
            raise InputError(
                f"circuit.simulate.sample: {rows} samples of {len(watched)} loops are more than {MOST_SAMPLES} numbers; "
                "take a longer time between samples or record fewer loops"
            )
        flags = np.ones(n, dtype=np.int64)
        self._log = new_log(flags, np.zeros(n, dtype=np.int64), np.ones(m, dtype=np.int64), max(_ROWS, 8 * n), 1, 1)
        self._motion = _motion(self._wires, plan, rows, watched, sample_fs)
        self._kept: list[dict[str, np.ndarray]] = []
        self.cpu_s = 0.0

    def _watched(self, record: Iterable[str] | None) -> np.ndarray:
        if record is None:
            return np.arange(len(self.plan.loop_ids), dtype=np.int64)
        if isinstance(record, str):
            record = [record]
        rows, faults = [], []
        for name in record:
            place = self.plan.loop_index.get(name)
            if place is None:
                faults.append(
                    f"circuit.simulate.record: there is no loop {name!r}{nearest(str(name), self.plan.loop_index)}"
                )
            else:
                rows.append(place)
        if faults:
            raise InputError(faults)
        return np.array(sorted(set(rows)), dtype=np.int64)

    # ------------------------------------------------------------------ running

    def _integrate(self, progress: Callable[[float, float], None] | None) -> None:
        from hardware import junctions
        from soen_event.engine.jit import compile_function

        run: Any = compile_function(junctions.run, persistent=True)
        settle: Any = compile_function(junctions.settle, persistent=True)
        until = round(self.duration * 1e6)
        settle(self._wires, self._motion, self._records, self._state)

        def ahead(to: int) -> int:
            return run(
                self._records,
                self._state,
                self._log,
                self._wires,
                self._motion,
                *self._photons,
                to,
                self.step_fs,
                self.seed,
            )

        ahead(-1)  # compiles
        piece = max(1, until // 200) if progress is not None else until
        reached, told = 0, time.monotonic()
        while reached < until:
            aim = min(until, reached + piece)
            start = time.process_time()
            reason = ahead(aim)
            self.cpu_s += time.process_time() - start
            if reason == junctions.LOG_FULL:
                self._keep()
            elif reason == junctions.HEAP_FULL:
                self._state = engine_state.with_more_heap(self._state)
            else:
                reached = aim
            if progress is not None and time.monotonic() - told > 1.0:
                progress(reached * 1e-6, self.duration)
                told = time.monotonic()
        self._keep()
        self._finish()

    def _keep(self) -> None:
        from soen_event.engine.compiled import logged

        self._kept.append(logged(self._log))
        self._log.used[: len(LOG_COLUMNS)] = 0

    def _finish(self) -> None:
        plan = self.plan
        found = {name: np.concatenate([part[name] for part in self._kept]) for name in self._kept[0]}
        self.fluxons = _by_id(found["fluxon_loop"], found["fluxon_fs"], plan.loop_ids)
        self.fluxon_count = {name: int(c) for name, c in zip(plan.loop_ids, self._state.loops["fluxons"], strict=True)}
        self.spikes = _by_id(found["spike_neuron"], found["spike_fs"], plan.neuron_ids)
        seen = found["photon_fate"] == engine_state.DETECTED
        self.detections = _by_id(found["photon_detector"][seen], found["photon_fs"][seen], plan.detector_ids)
        self.fluxons.update({name: self.fluxons[f"{name}.soma"] for name in plan.neuron_ids})
        self.fluxon_count.update({name: self.fluxon_count[f"{name}.soma"] for name in plan.neuron_ids})
        self.steps = int(self._log.counts[STEPS])
        used = int(self._motion.n_samples[0])
        self.times = np.arange(used) * (self._motion.sample_fs[1] * 1e-6)
        self._samples = self._motion.samples[:used]

    # ------------------------------------------------------------------ reading

    def current(self, name: str, t: Any = None) -> np.ndarray:
        """Current of a loop (I_c) at the sample times, or at times ``t`` in ns by linear interpolation."""
        return self._read(name, t, 0)

    def flux(self, name: str, t: Any = None) -> np.ndarray:
        """Flux of a loop (Phi0), as :meth:`current`."""
        return self._read(name, t, 1)

    def _read(self, name: str, t: Any, what: int) -> np.ndarray:
        place = self.plan.loop_index.get(name)
        if place is None:
            raise InputError(f"CircuitRun: there is no loop {name!r}{nearest(str(name), self.plan.loop_index)}")
        if place not in self._row:
            raise InputError(f"CircuitRun: {name!r} was not recorded; name it in record")
        values = self._samples[:, self._row[place], what]
        if t is None:
            return values.copy()
        t = np.asarray(t, dtype=float)
        if not np.all((t >= 0.0) & (t <= self.duration)):
            raise InputError(f"CircuitRun: a time is outside the run, 0 to {self.duration} ns")
        return np.interp(t, self.times, values)

    def __repr__(self) -> str:
        total = sum(self.fluxon_count[name] for name in self.plan.loop_ids)
        spikes = sum(len(times) for times in self.spikes.values())
        return (
            f"<CircuitRun: {self.duration:g} ns, {len(self.plan.loop_ids)} loops, {total} fluxons, {spikes} spikes, "
            f"{self.temperature:g} K, {self.cpu_s:.2f} s of CPU>"
        )


def _by_id(rows: np.ndarray, fs: np.ndarray, ids: Any) -> dict[str, np.ndarray]:
    order = np.lexsort((fs, rows))
    cut = np.searchsorted(rows[order], np.arange(len(ids) + 1))
    times = fs[order] * 1e-6
    return {name: times[cut[k] : cut[k + 1]] for k, name in enumerate(ids)}


def wires(plan: Plan, temperature: float = 0.0) -> Any:
    """The circuit of a Plan: :class:`hardware.junctions.Wires`. ``temperature`` in K."""
    from hardware.junctions import RI, RTTI, Wires

    a, device = plan.arrays, plan.device
    n = len(a.row)
    mirror = plan.sources.shape[a.row, MIRROR] == 1
    kind = np.where(mirror, RI, RTTI).astype(np.int64)
    junctions = np.where(mirror, 2, 4)
    source = np.repeat(np.arange(n), np.diff(a.out_start))
    order = np.lexsort((source, a.out_loop))
    used = np.zeros(len(a.mode_tau), dtype=bool)
    for column in (a.det_fall, a.det_rise, a.kick_fall, a.kick_rise):
        used[column[column >= 0]] = True
    own = np.flatnonzero(used)
    start = np.searchsorted(own, a.mode_start)
    back = _response(plan, source)
    return Wires(
        kind=kind,
        first=np.concatenate([[0], np.cumsum(junctions)]).astype(np.int64),
        beta_1=np.full(n, device.beta_1),
        beta_2=np.full(n, device.beta_2),
        alpha=a.beta * plan.tau_0 / a.tau,
        in_start=np.concatenate([[0], np.cumsum(np.bincount(a.out_loop, minlength=n))]).astype(np.int64),
        in_loop=source[order].astype(np.int64),
        in_coupling=order.astype(np.int64),
        in_arm=(_armed(plan) & mirror[a.out_loop])[order].astype(np.int64),
        own_start=start.astype(np.int64),
        own_mode=own.astype(np.int64),
        back_start=back[0].astype(np.int64),
        back_loop=back[1].astype(np.int64),
        back_value=back[2].astype(float),
        key=np.array([part_key(name) for name in plan.loop_ids], dtype=np.int64),
        constants=np.array([plan.tau_0, device.beta_c, device.gamma_thermal(temperature), 1.0]),
    )


def _armed(plan: Plan) -> np.ndarray:
    """Couplings through a collection loop, which thread one arm of their target's SQUID: (couplings,) bool."""
    return plan.arrays.stiff[plan.arrays.out_loop] > 0.0


def _response(plan: Plan, source: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the inverse of the inductance matrix, as (start, loop, value): s' of a loop is the sum of value times rhs of loop.

    The matrix is beta_eff on its diagonal, the loading by collection loops (:mod:`soen_event.physics.inductance`), and what couplings to
    one arm of a SQUID add: flux that threads an arm feeds the target's loop as it changes, -2 pi beta_1/(beta_1 + beta_2) J (circuit.md
    2), the arm's current acts back with the same, and its screening changes the sources' inductances by -4 pi^2 J_n J_m/(beta_1 + beta_2).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, device = plan.arrays, plan.device
    n = len(a.row)
    arms = device.beta_1 + device.beta_2
    mirror = plan.sources.shape[a.row, MIRROR] == 1
    none = np.zeros(n)
    loads = loading(n, source, a.out_loop, a.out_J, a.stiff, none, none)
    back = np.flatnonzero(_armed(plan) & mirror[a.out_loop])
    one, other = pairs(a.out_loop[back])
    one, other = back[one], back[other]
    feed = -2.0 * math.pi * device.beta_1 / arms
    row = np.concatenate([np.repeat(np.arange(n), np.diff(loads.start)), a.out_loop[back], source[back], source[one]])
    column = np.concatenate([loads.loop, source[back], a.out_loop[back], source[other]])
    across = feed * a.out_J[back]
    screened = -4.0 * math.pi**2 / arms * a.out_J[one] * a.out_J[other]
    value = np.concatenate([loads.B, across, across, screened])
    label = connected_components(coo_array((np.ones(len(row)), (row, column)), shape=(n, n)), directed=False)[1]
    order = np.argsort(label, kind="stable")
    cut = np.searchsorted(label[order], np.arange(label.max(initial=-1) + 2))
    members = [order[cut[g] : cut[g + 1]] for g in range(len(cut) - 1)]
    place = np.empty(n, dtype=np.int64)
    for group in members:
        place[group] = np.arange(len(group))
    of = label[row]
    entries: list[tuple[int, int, float]] = []
    by_group = np.argsort(of, kind="stable")
    edge = np.searchsorted(of[by_group], np.arange(len(members) + 1))
    for g, group in enumerate(members):
        if len(group) == 1:
            entries.append((int(group[0]), int(group[0]), 1.0 / float(a.beta[group[0]])))
            continue
        B = np.diag(a.beta[group])
        mine = by_group[edge[g] : edge[g + 1]]
        np.add.at(B, (place[row[mine]], place[column[mine]]), value[mine])
        inverse = np.linalg.inv(B)
        for x, y in zip(*np.nonzero(inverse), strict=True):
            entries.append((int(group[x]), int(group[y]), float(inverse[x, y])))
    entries.sort()
    table = np.array(entries, dtype=float).reshape(-1, 3)
    rows = table[:, 0].astype(np.int64)
    return np.searchsorted(rows, np.arange(n + 1)), table[:, 1].astype(np.int64), table[:, 2]


def _motion(wired: Any, plan: Plan, rows: int, watched: np.ndarray, sample_fs: int) -> Any:
    from hardware.junctions import Motion

    n, j = len(wired.kind), int(wired.first[-1])

    def floats(*shape: int) -> np.ndarray:
        return np.zeros(shape)

    return Motion(
        d=floats(j),
        v=floats(j),
        s=floats(n),
        turn=np.zeros(n, dtype=np.int64),
        d_rest=floats(j),
        flux=floats(3, n),
        feed=floats(3, n),
        change=floats(3, n),
        half=floats(len(wired.own_mode)),
        d_mid=floats(j),
        v_mid=floats(j),
        s_mid=floats(n),
        a=floats(j),
        rhs=floats(n),
        slope=floats(n),
        d_sum=floats(j),
        v_sum=floats(j),
        s_sum=floats(n),
        kicks=floats(j),
        volts=floats(n),
        hot=np.zeros(len(plan.detector_ids) + 1, dtype=np.int64),
        n_hot=np.zeros(1, dtype=np.int64),
        sample_fs=np.array([0, sample_fs], dtype=np.int64),
        n_samples=np.zeros(1, dtype=np.int64),
        samples=floats(rows, len(watched), 2),
        watched=watched,
    )
