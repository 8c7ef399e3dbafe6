"""Run a network: :func:`simulate`, the one call that most users need, and :class:`Simulation`, a run that can be held, changed, saved."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.engine import state as engine_state
from soen_event.engine.state import COUNTS, FOREVER, NEXT_PHOTON, NOW, State
from soen_event.errors import InputError, NonFiniteError, nearest
from soen_event.plan import Plan, lower
from soen_event.units import is_number, ns_to_fs, parse

if TYPE_CHECKING:
    from soen_event.learning import Learning
    from soen_event.network import Network
    from soen_event.recording import Recording
    from soen_event.stimulus import Stimulus
    from soen_event.tiled import TiledNetwork

RECORDABLE = ("spikes", "fluxons", "photons", "detections", "currents", "fluxes", "energy")
ENGINES = ("compiled", "reference")
RESOLUTIONS = ("fluxon", "flow", "auto")
CHECKPOINT_VERSION = 7
_CHUNK = {"compiled": 200_000, "reference": 2_000}


def simulate(
    network: Network | TiledNetwork | str | os.PathLike[str],
    photons: Any = None,
    duration: float | None = None,
    *,
    engine: str = "compiled",
    resolution: str = "fluxon",
    tol: float = 1e-4,
    threads: int = 1,
    record: Any = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[float, float], None] | None = None,
    learning: Any = None,
    signals: Any = None,
) -> Recording:
    """Run ``network`` on ``photons`` for ``duration`` ns and return its :class:`~soen_event.recording.Recording`.

    Arguments:
        network: a :class:`~soen_event.network.Network`, a :class:`~soen_event.tiled.TiledNetwork` or the path of a network file.
        photons: arrival times in ns by synapse id, a :class:`~soen_event.stimulus.Stimulus`, or the path of a photon file.
        duration: ns, > 0. Events up to and including this time happen.
        engine: ``"compiled"`` (Numba) or ``"reference"`` (SimPy); the same events and bits, the first many times faster.
        resolution: ``"fluxon"``: every flux quantum is an event. ``"flow"``: the continuous equation of every loop, solved to ``tol``;
            as faithful once a quantum is small (beta_over_2pi of 300 or more) and far cheaper when busy. ``"auto"``: for each loop
            the one that suits it.
        tol: largest error of the current of a flowing loop, I_c (1e-9 to 0.1); not used by "fluxon". Loops that couple in a circle
            are run at a tenth of it, without a promise: errors can grow there.
        threads: threads of the compiled engine. The results are the same bits for any number. More than there are free processor
            cores cost time.
        record: what to keep: any of "spikes" (always kept), "fluxons", "photons" (arrivals and detections), "currents" (with fluxes;
            both can then be asked for at any time); or a mapping from such a name to the ids to keep. By default spikes, and the
            fluxons of loops in which they are events. The fluxon times of a flowing loop are found from its currents, which
            asking for them keeps.
        seed: integer in [0, 2^63). Every random draw has an address (seed, part id, ordinal, purpose), so a run is repeated exactly by
            its seed, in either engine and with anything recorded, and a new part changes nobody else's numbers. The seed is stored
            in the recording. No draw is made unless a detector has efficiency < 1 or recovery "bias", a waveguide has loss, or a
            transmitter emits "photons".
        out: stream the recording to this HDF5 file as the run goes; a killed run leaves a readable file.
        overwrite: let ``out`` replace an existing file.
        progress: True, False, a function of (ns done, ns in all), or None: shown if standard error is a terminal.
        learning: rules of learning and where they act: a :class:`~soen_event.learning.Plasticity` or several
            (``STDP().on(synapses="*")``). They change weights while photons fly; ``rec.writes`` has every change.
        signals: what is broadcast to the rules: (time in ns, name, value) of each, value as for :meth:`Simulation.signal`.

    Raises :class:`~soen_event.errors.InputError` with everything that is wrong before anything runs.
    """
    if duration is None:
        raise InputError("simulate: duration is missing; give the time to run in ns, for example duration=400.0")
    run = Simulation(
        network,
        photons,
        engine=engine,
        resolution=resolution,
        tol=tol,
        threads=threads,
        record=record,
        seed=seed,
        out=out,
        overwrite=overwrite,
        duration=duration,
        learning=learning,
        signals=signals,
    )
    run.run(duration, progress=progress)
    return run.finish()


class Simulation:
    """A run that can be held at any event, looked at, changed, saved and continued. Arguments as in :func:`simulate`.

    ``run(until)`` any number of times equals one run to the last ``until``. ``duration`` only labels the recording.
    """

    def __init__(
        self,
        network: Network | TiledNetwork | str | os.PathLike[str],
        photons: Any = None,
        *,
        engine: str = "compiled",
        resolution: str = "fluxon",
        tol: float = 1e-4,
        threads: int = 1,
        record: Any = None,
        seed: int = 0,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        duration: float | None = None,
        learning: Any = None,
        signals: Any = None,
    ):
        from soen_event.learning import lower_learning
        from soen_event.network import Network
        from soen_event.physics.random import checked_seed
        from soen_event.stimulus import Stimulus
        from soen_event.tiled import TiledNetwork

        faults = []
        if engine not in ENGINES:
            faults.append(
                f"simulate.engine: {engine!r} is unknown{nearest(engine, ENGINES)}; choose one of {', '.join(ENGINES)}"
            )
        if resolution not in RESOLUTIONS:
            faults.append(
                f"simulate.resolution: {resolution!r} is unknown{nearest(str(resolution), RESOLUTIONS)}; choose one of "
                f"{', '.join(RESOLUTIONS)}"
            )
        faults += _tol_faults(tol) + _thread_faults(threads)
        try:
            seed = checked_seed(seed)
        except InputError as trouble:
            faults += trouble.faults
        if duration is not None:
            faults += _time_faults("simulate.duration", duration, positive=True)
        if faults:
            raise InputError(faults)
        if isinstance(network, str | os.PathLike):
            network = Network.load(network)
        if not isinstance(network, Network | TiledNetwork):
            raise InputError(
                f"simulate.network: {type(network).__name__} is not a Network; give a soen_event.Network, a TiledNetwork "
                "or a path to a file"
            )
        self.network = network.copy()
        self.stimulus: Stimulus = Stimulus.coerce(photons)
        self.engine_name, self.resolution, self.seed = engine, resolution, seed
        self.tol, self.threads = float(tol), int(threads)
        drives = tuple(self.stimulus.drives)
        self.plan: Plan = lower(self.network, drives, resolution, self.tol)
        network_digest = self.plan.digest
        if learning is not None:
            self.plan = _learning(self.plan, lower_learning(self.plan, learning))
        self._signals: list[tuple[int, str, np.ndarray]] = []
        self._rule_changes: list[list[Any]] = []
        for when, name, value in signals or ():
            self.signal(name, value, at=when)
        self.wanted = _wanted(record, self.plan)
        if record is None:
            self.wanted["fluxons"] = 1 - self.plan.arrays.flow
        fs, detector = _lowered(self.stimulus, self.plan)
        self._until_fs = 0
        self._header = {
            "network": self.network.to_dict(),
            "drives": [_plain(d) for d in drives],
            "seed": seed,
            "engine": engine,
            "resolution": resolution,
            "tol": self.tol,
            "record": {k: self._recorded(k, v) for k, v in self.wanted.items()},
            "duration_ns": duration,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "plan_digest": self.plan.digest,
        }
        if self.plan.rules is not None:
            self._header["learning"] = self.plan.rules.described()
            self._header["site_ids"] = list(self.plan.rules.site_ids)
            self._header["network_digest"] = network_digest
        self._open_sink(out, overwrite)
        self._start(fs, detector, None)

    # ------------------------------------------------------------------ running

    def run(
        self,
        until: float | None = None,
        *,
        events: int | None = None,
        progress: bool | Callable[[float, float], None] | None = False,
    ) -> str:
        """Process events up to and including ``until`` (ns), or at most ``events`` of them, whichever comes first.

        Returns "done" if everything up to ``until`` has happened, "held" if the events were spent first.
        """
        if until is None and events is None:
            raise InputError(
                "Simulation.run: neither until nor events is given; say until which time (ns) or how many events to run"
            )
        if until is not None:
            faults = _time_faults("Simulation.run until", until)
            if faults:
                raise InputError(faults)
        if events is not None and (not isinstance(events, int | np.integer) or isinstance(events, bool) or events < 0):
            raise InputError(f"Simulation.run events: {events!r} is not a whole number >= 0")
        until_fs = FOREVER - 1 if until is None else int(np.rint(float(until) * 1e6))
        left = 2**62 if events is None else int(events)
        show = _progress(progress)
        start, last_write, pause = time.monotonic(), time.monotonic(), 0.5
        from soen_event.engine.windows import DONE

        while left > 0:
            budget = min(left, _CHUNK[self.engine_name])
            before = self.event_count
            pending = bool(self._signals) and self._signals[0][0] <= until_fs
            reason = self._engine.advance(self._signals[0][0] if pending else until_fs, budget, events is not None)
            left -= self.event_count - before
            self._collect()
            if reason == DONE:
                if not pending:
                    break
                self._broadcast(*self._signals.pop(0))
            now = time.monotonic()
            if show is not None and until is not None:
                show(min(self.now, until), until, now - start)
            if self._out is not None and now - last_write > pause:
                self._sink.commit(self._progress())
                last_write = time.monotonic()
                pause = max(0.5, 20.0 * (last_write - now))  # of a large network a commit takes a while
        done = reason == DONE if left > 0 or events is None else False
        if done and until is not None:
            self._until_fs = max(self._until_fs, until_fs)
        else:
            self._until_fs = max(self._until_fs, int(self._engine.state().cursor[NOW]))
        if show is not None and until is not None:
            show(until if done else self.now, until, time.monotonic() - start, True)
        self._sink.commit(self._progress())
        return "done" if done else "held"

    @property
    def now(self) -> float:
        """Time up to which everything has happened, ns."""
        return self._passed_fs() * 1e-6

    @property
    def event_count(self) -> int:
        """Events processed so far."""
        return int(self._engine.state().counts[engine_state.EVENTS])

    @property
    def state(self) -> State:
        """A copy of the engine's state, for looking at."""
        return engine_state.copied(self._engine.state())

    def afresh(self, photons: Any = None, *, seed: int | None = None, duration: float | None = None) -> Simulation:
        """A run of the same network from its start with other photons: as if it were made anew, but nothing is lowered again.

        For many samples: making a run of a large network takes longer than running it. Biases are those of now; weights and couplings
        those that the run was made with, not what was programmed since.

        Arguments:
            photons: as for :func:`simulate`; drives are those of this run.
            seed: by default this run's. ``duration`` only labels the recording.

        Raises InputError: photons that do not fit, drives among them, or a run that streams to a file.
        """
        from soen_event.physics.random import checked_seed
        from soen_event.stimulus import Stimulus

        stimulus = Stimulus.coerce(photons)
        faults = []
        if stimulus.drives:
            faults.append("Simulation.afresh: drives belong to the run that was made first; give them there")
        if self._out is not None:
            faults.append("Simulation.afresh: this run streams to a file; record in memory")
        if faults:
            raise InputError(faults)
        new = copy.copy(self)
        new.seed = self.seed if seed is None else checked_seed(seed)
        drives = self.stimulus.drives
        new.stimulus = Stimulus(photons=stimulus.photons, drives=drives) if drives else stimulus
        fs, detector = _lowered(stimulus, self.plan)
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        new._header = {**self._header, "seed": new.seed, "duration_ns": duration, "created": created}
        new._until_fs = 0
        new._signals, new._rule_changes = [], []
        new._open_sink(None, False)
        del new._engine
        new._start(fs, detector, None)
        return new

    def frozen(self) -> Simulation:
        """A copy of this run as it is now, currents and photons to come with it, that does not learn any more and records anew.

        To try something on a chip in the middle of learning: whatever the copy does, nothing here is changed.

        Raises InputError: a run that streams to a file.
        """
        if self._out is not None:
            raise InputError("Simulation.frozen: this run streams to a file; record in memory")
        state = engine_state.copied(self._engine.state())
        none = np.zeros(0)
        state = state._replace(sites=none, site_fs=none.astype(np.int64), rule_values=none.copy())
        new = copy.copy(self)
        new.plan = dataclasses.replace(self.plan, rules=None)
        new._signals, new._rule_changes = [], []
        new._header = {k: v for k, v in self._header.items() if k not in ("learning", "site_ids")}
        new._header["plan_digest"] = new.plan.digest
        new._open_sink(None, False)
        done = int(state.cursor[NEXT_PHOTON])
        light = self._engine.photon_fs[done:].copy(), self._engine.photon_detector[done:].copy()
        del new._engine
        new._start(*light, state._replace(cursor=_rewound(state.cursor)))
        return new

    def recording(self) -> Recording:
        """What has been recorded up to now. (Of a run that streams to a file, what its file holds.)"""
        from soen_event.recording import Recording

        self._collect()
        if self._out is not None:
            self._sink.commit(self._progress())
            return Recording.load(self._out, self._not_in_header())
        return Recording(self.plan, self._sink.tables(), self._header, self._progress(), self._not_in_header())

    def finish(self) -> Recording:
        """Close the output file, if any, and return the recording."""
        from soen_event.recording import Recording

        self._collect()
        if self._out is None:
            return Recording(self.plan, self._sink.tables(), self._header, self._progress(), self._not_in_header())
        self._sink.close(self._progress())
        return Recording.load(self._out, self._not_in_header())

    def _not_in_header(self) -> Any:
        """The network, if it is too large for a recording's header."""
        from soen_event.network import Network

        return None if isinstance(self.network, Network) else self.network

    # ------------------------------------------------------------------ changing a run

    def inject(self, synapse: str | Mapping[str, Any], times: float | Iterable[float] | None = None) -> None:
        """Add photons to come: at ``times`` in ns, none before :attr:`now`, or with a mapping on many synapses at once.

        >>> run.inject("s1", [5.0, 20.0]); run.inject({"s1": 40.0, "s2": [30.0, 40.0]})        # doctest: +SKIP

        Raises InputError with everything that is wrong; no photon is added then.
        """
        given = synapse.items() if isinstance(synapse, Mapping) else [(synapse, times)]
        if isinstance(synapse, Mapping) and times is not None:
            raise InputError("Simulation.inject: times come twice; give them in the mapping alone")
        floor = self._passed_fs()
        fs, rows, faults = [], [], []
        for name, train in given:
            try:
                detector = self._detector(name, "Simulation.inject")
                new = np.atleast_1d(np.asarray(train, dtype=float))
                if new.ndim > 1 or not np.all(np.isfinite(new)):
                    raise ValueError
                found = ns_to_fs(new, f"Simulation.inject: {name}")
            except InputError as error:
                faults += error.faults
                continue
            except (TypeError, ValueError):
                faults.append(f"Simulation.inject: {name}: a time is not finite; give times in ns")
                continue
            if found.size and found.min() < floor:
                faults.append(
                    f"Simulation.inject: {name}: {found.min() * 1e-6} ns is before now ({floor * 1e-6} ns); photons cannot "
                    "arrive in the past"
                )
            fs.append(found)
            rows.append(np.full(len(found), detector, dtype=np.int64))
        if faults:
            raise InputError(faults[:20])
        if fs:
            self._expect(np.concatenate(fs), np.concatenate(rows))

    def inject_rows(self, rows: np.ndarray, fs: np.ndarray) -> None:
        """The same for many photons: ``rows`` in ``plan.detector_ids`` and times in fs, int64 arrays of one length, in any order.

        Raises InputError: arrays that do not fit, an unknown row, a time before :attr:`now`.
        """
        where, floor, faults = "Simulation.inject_rows", self._passed_fs(), []
        rows, fs = np.asarray(rows), np.asarray(fs)
        if rows.ndim != 1 or rows.shape != fs.shape or not {rows.dtype.kind, fs.dtype.kind} <= set("iu"):
            raise InputError(
                f"{where}: {rows.dtype} {rows.shape} and {fs.dtype} {fs.shape}; give whole numbers, (n,) both"
            )
        if not len(rows):
            return
        if rows.min() < 0 or rows.max() >= len(self.plan.detector_ids):
            faults.append(
                f"{where}.rows: go from {rows.min()} to {rows.max()}; give 0 to {len(self.plan.detector_ids) - 1}"
            )
        if fs.min() < floor:
            faults.append(f"{where}.fs: {fs.min()} is before now ({floor}); photons cannot arrive in the past")
        if fs.max() > 4 * 10**18:
            faults.append(f"{where}.fs: {fs.max()} is beyond the clock's range of 4e18 fs")
        if faults:
            raise InputError(faults)
        self._expect(fs.astype(np.int64), rows.astype(np.int64))

    def withdraw(self) -> int:
        """Take back all photons of the stimulus, and of :meth:`inject`, that are still to come. Returns how many."""
        left = len(self._engine.photon_fs) - int(self._engine.state().cursor[NEXT_PHOTON])
        if left:
            none = np.zeros(0, dtype=np.int64)
            if self.engine_name == "compiled":
                self._engine.expect(none, none)
            else:
                state = self._engine.state()
                self._start(none, none, state._replace(cursor=_rewound(state.cursor)))
        return left

    def signal(self, name: str, value: float | Mapping[str, float] = 0.0, at: float | None = None) -> None:
        """Broadcast a signal to the rules that listen to it: a reward, an error, the end of a sample.

        Arguments:
            name: as the rules have it in their ``signals``.
            value: one number for all, or numbers by neuron (0 for neurons that are not named and sites without a neuron).
            at: ns, not before :attr:`now`, by default now. It comes after all else that happens at that time.

        Raises InputError: no rule that listens, an unknown neuron, a value that is no finite number, a time that has passed.
        """
        where, heard = "Simulation.signal", self.plan.learning.signals
        faults = []
        if name not in heard:
            which = f"choose one of {', '.join(sorted(heard))}" if heard else "no rule of this run hears signals"
            faults.append(f"{where}: {name!r} is unknown{nearest(str(name), heard)}; {which}")
        index = self.plan.neuron_index
        values = np.zeros(len(self.plan.neuron_ids) + 1)
        for neuron, number in value.items() if isinstance(value, Mapping) else [(None, value)]:
            if neuron is not None and neuron not in index:
                faults.append(f"{where}: there is no neuron {neuron!r}{nearest(str(neuron), index)}")
            elif not is_number(number):
                faults.append(f"{where}: {number!r} is not a finite number")
            elif neuron is None:
                values[:] = float(number)
            else:
                values[index[neuron]] = float(number)
        now = fs = self._passed_fs()
        if at is not None:
            late = _time_faults(f"{where}.at", at)
            fs = fs if late else int(np.rint(float(at) * 1e6))
            if fs < now:
                late = [f"{where}.at: {at!r} ns is before now ({now * 1e-6} ns); a signal cannot be sent into the past"]
            faults += late
        if faults:
            raise InputError(faults)
        if at is None:
            self._broadcast(fs, name, values)
        else:
            self._signals.append((fs, name, values))
            self._signals.sort(key=lambda each: each[0])  # signals of one time in the order in which they were given

    def _passed_fs(self) -> int:
        """Time up to which everything has happened, fs."""
        if not hasattr(self, "_engine"):
            return 0
        return max(int(self._engine.state().cursor[NOW]), self._until_fs)

    def _broadcast(self, fs: int, name: str, values: np.ndarray) -> None:
        if self.engine_name == "reference":
            self._engine.signal(name, values, fs)
        else:
            self._engine.signal(self.plan.learning.functions(f"on_{name}", code=True), values, fs)
        self._until_fs = max(self._until_fs, fs)
        self._collect()

    def set_rule(self, rule: str, **values: float) -> None:
        """Change parameters of a rule of learning from now on: its own, or ``rate``, ``clip``, ``begins``, ``ends``.

        ``rule``: its name (:class:`~soen_event.learning.Plasticity`). What has decayed until now has done so with the old ones. Every
        change is kept in the recording (``rec.rule_changes``).
        """
        where, how = "Simulation.set_rule", self.plan.learning
        if rule not in how.names:
            raise InputError(f"{where}: there is no rule {rule!r}{nearest(str(rule), how.names)}")
        r = how.names.index(rule)
        names = how.parameters[r]
        faults = [f"{where}: {rule} has no {n!r}{nearest(n, names)}" for n in values if n not in names]
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or np.isnan(value):
                faults.append(f"{where}: {name}: {value!r} is not a number")
            elif name in names and name in set(how.time_constants(r)) and not value > 0:
                faults.append(f"{where}: {name}: {value!r} is no time constant; give a number above 0")
        if faults:
            raise InputError(faults)
        now, decays = self._passed_fs(), not set(how.time_constants(r)).isdisjoint(values)
        self._engine.set_parameters(r, {name: float(value) for name, value in values.items()}, now if decays else None)
        self._rule_changes += [[now, rule, name, float(value)] for name, value in values.items()]

    def set_learnt(self, values: Mapping[str, float]) -> None:
        """Program sites of learning, by their ids: each gets the value that its memory can hold and that is nearest.

        Fluxes of what is there now change with them at once, and the recording has them among its ``writes``.

        Raises InputError: an unknown site, a value that is not finite; nothing is changed then.
        """
        from soen_event.engine.program import set_sites

        where, how = "Simulation.set_learnt", self.plan.learning
        index = how.index
        faults = [
            f"{where}: there is no site {site!r}{nearest(str(site), index)}" for site in values if site not in index
        ]
        faults += [f"{where}: {site}: {v!r} is not a finite number" for site, v in values.items() if not is_number(v)]
        if faults:
            raise InputError(faults[:20])
        now, state = self._passed_fs(), self._engine.state()
        held = {index[site]: how.held(index[site], float(value)) for site, value in values.items()}
        new = {i: value for i, value in sorted(held.items()) if value != state.sites[how.sites[i].start]}
        if not new:
            return
        self._collect()
        for rows in set_sites(self.plan, state, new, now, self._traced()):
            self._append(rows)
        self._append(
            {
                "write_fs": np.full(len(new), now, dtype=np.int64),
                "write_site": np.array(list(new), dtype=np.int64),
                "write_value": np.array(list(new.values())),
            }
        )
        self._go_on(state)

    def forget(self) -> None:
        """Drop what has been recorded up to now, so that a long run needs no more memory; the recording goes on from here.

        Counts, energies and what was learnt stay; spikes, fluxons, photons and changes of weights of the past do not.

        Raises InputError: a run that streams to a file, or whose currents are recorded, which need their past.
        """
        if self._out is not None or self._traced().any():
            what = "streams to a file" if self._out is not None else "records currents, which need their past"
            raise InputError(f"Simulation.forget: this run {what}; there is nothing to drop")
        self._collect()
        if self.plan.rules is not None:
            values = self._engine.state().sites
            described = self.plan.rules.described()
            for rule in described.values():
                rule["start"] = [float(values[self.plan.learning.sites[i].start]) for i in rule["rows"]]
            self._header = {**self._header, "learning": described}
        self._header = {**self._header, "forgotten_fs": self._passed_fs()}
        self._open_sink(None, False)

    def spikes_since(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Spikes after ``t`` (ns): their times (ns, ascending) and the rows of their neurons in ``plan.neuron_ids``.

        Takes as long as it takes to look at these spikes, however long the run is. Raises InputError: a run that streams to a file.
        """
        if self._out is not None:
            raise InputError("Simulation.spikes_since: this run streams to a file; look at recording() instead")
        self._collect()
        fs, count = round(float(t) * 1e6), 64
        while True:
            rows = self._sink.last("spikes", count)
            if len(rows["time_fs"]) < count or rows["time_fs"][0] <= fs:
                break
            count *= 4
        new = rows["time_fs"] > fs
        return rows["time_fs"][new] * 1e-6, rows["neuron"][new]

    def spike_counts(self) -> np.ndarray:
        """Number of spikes of every neuron so far, in the order of ``plan.neuron_ids``."""
        return np.array(self._engine.state().spikes)

    def current(self, loop: str) -> float:
        """Current of a loop now, I_c; where quanta are events, that of whole quanta, with which a soma's threshold is compared.

        ``loop``: a dendrite, a neuron (its soma) or ``<neuron>.refractory``. Nothing is changed by looking.
        """
        index = self.plan.loop_index
        if not isinstance(loop, str) or loop not in index:
            raise InputError(f"Simulation.current: no loop {loop!r}{nearest(str(loop), index)}")
        return float(self._engine.current(index[loop], self._passed_fs()))

    @property
    def learnt(self) -> dict[str, float]:
        """The values of all sites of learning now, by their ids (:class:`~soen_event.learning.Learning`)."""
        how = self.plan.learning
        values = self._engine.state().sites
        return {site: float(values[how.sites[i].start]) for i, site in enumerate(how.site_ids)}

    def site(self, site: str) -> dict[str, float]:
        """All that is known at a site of learning, as of the last event that it heard: its value and the variables of its rule."""
        how = self.plan.learning
        i = how.row(site)
        it, values = how.sites[i], self._engine.state().sites
        return {name: float(values[it.start + k]) for k, name in enumerate(how.fields[it.rule])}

    def set_weight(self, synapse: str, weight: float) -> None:
        """Program a synapse's weight. The flux that the detector couples in now changes with it at once."""
        self._change("weight", self._detector(synapse, "Simulation.set_weight"), weight, "Simulation.set_weight")

    def set_coupling(self, source: str, target: str, J: float) -> None:
        """Program a coupling, Phi0 per unit s. Flux of quanta that are already in the source's loop changes with it at once."""
        a = self.plan.arrays
        index = self.plan.loop_index
        for name in (source, target):
            if not isinstance(name, str) or name not in index:
                raise InputError(f"Simulation.set_coupling: no loop {name!r}{nearest(str(name), index)}")
        start, stop = a.out_start[index[source]], a.out_start[index[source] + 1]
        found = [c for c in range(start, stop) if a.out_loop[c] == index[target]]
        if not found:
            raise InputError(
                f"Simulation.set_coupling: {source!r} is not coupled to {target!r}; add a Coupling to the network"
            )
        if a.stiff[index[target]] > 0.0 or a.enter_start[index[source]] < a.enter_start[index[source] + 1]:
            raise InputError(
                f"Simulation.set_coupling: {source!r} and {target!r} are joined by a collection loop, whose inductances follow from its "
                "couplings; make a network with the other J and run that"
            )
        self._change("J", found[0], J, "Simulation.set_coupling")

    def _change(self, what: str, place: int, value: float, where: str) -> None:
        if not is_number(value):
            raise InputError(f"{where}: {value!r} is not a finite number")
        from soen_event.engine.program import set_coupling, set_weight

        state = self._engine.state()
        now = self._passed_fs()
        self._collect()
        program = set_weight if what == "weight" else set_coupling
        self._append(program(self.plan, state, place, float(value), now, self._traced()))
        self.plan.learning.reprogrammed(state, what, place, float(value))
        self._go_on(state)

    def set_bias(self, loop: str, ib: float | str) -> None:
        """Program the bias (I_c) of a dendrite, of a neuron's soma, or of ``n1.refractory``. Its current stays as it is.

        So does all else: what a refractory dendrite takes from its soma's bias is kept. From now on :attr:`network` and the
        recording have this bias, and energies are booked with it, those of the time before too.

        Raises InputError: no such loop, a bias that the network cannot have, a tiled network, a run that streams to a file (whose
        first lines say the bias).
        """
        from soen_event.engine.program import _Change
        from soen_event.network import Network

        where, index = "Simulation.set_bias", self.plan.loop_index
        if not isinstance(loop, str) or loop not in index:
            raise InputError(f"{where}: no loop {loop!r}{nearest(str(loop), index)}")
        if not isinstance(self.network, Network) or self._out is not None:
            what = "a run that streams to a file; record in memory" if self._out is not None else "a tiled network"
            raise InputError(f"{where}: the bias is fixed in {what}")
        ib = parse(ib, "current", f"{where}.ib", critical_current=self.network.device.Ic)
        network, k = self.network.copy(), index[loop]
        if loop in network.dendrites:
            network.replace(loop, ib=ib)
        else:
            inner = "refractory" if loop not in network.neurons and loop.endswith(".refractory") else "soma"
            neuron = network.neurons[loop if loop in network.neurons else loop.removesuffix(f".{inner}")]
            if neuron.refractory is not None:
                own = neuron.soma.ib if neuron.refractory.ib is None else neuron.refractory.ib
                network.replace(neuron.id, refractory={"ib": own, "J": network.refractory_coupling(neuron.id)})
            network.replace(neuron.id, **{inner: {"ib": ib}})
        plan = lower(network, tuple(self.stimulus.drives), self.resolution, self.tol)
        if self.plan.rules is not None:
            self._header = {**self._header, "network_digest": plan.digest}
            plan = _learning(plan, self.plan.rules)
        state = self._engine.state()
        now = self._passed_fs()
        self._collect()
        until_now = _Change(self.plan, state, now, self._traced())  # with the old bias
        until_now.touch(k)
        self._append(until_now.settle([]))
        state.loops["room"][k] = 0.0  # how much flux it can take asleep depends on the bias
        self._append(_Change(plan, state, now, self._traced()).settle([k]))
        self.network, self.plan = network, plan
        self._header = {**self._header, "network": network.to_dict(), "plan_digest": plan.digest}
        self._go_on(state)

    # ------------------------------------------------------------------ checkpoints

    def checkpoint(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write everything that a fresh process needs to go on from here, bit for bit, to an HDF5 file (atomically).

        A run in memory takes its recording along; a run that streams to a file leaves that in its file.
        """
        import h5py

        from soen_event.recording import _plain as _plain_json

        path = Path(path)
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists already; choose another name or give overwrite=True")
        self._collect()
        state = self._engine.state()
        done = int(state.cursor[NEXT_PHOTON])
        head = {
            "format": "soen-checkpoint",
            "version": CHECKPOINT_VERSION,
            "until_fs": self._until_fs,
            "rule_changes": self._rule_changes,
            "signals": [[fs, name, values.tolist()] for fs, name, values in self._signals],
            "header": self._header,
            "progress": self._progress(),
            "streamed": self._out is not None,
        }
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with h5py.File(temporary, "w", libver="latest") as file:
                file.attrs["head"] = np.void(json.dumps(head, default=_plain_json).encode())
                group = file.create_group("state")
                for name, column in zip(State._fields, state, strict=True):
                    group.create_dataset(
                        name, data=np.asarray(column), fletcher32=column.size > 0, chunks=column.size > 0 or None
                    )
                photons = file.create_group("photons")
                photons["fs"], photons["detector"] = self._engine.photon_fs[done:], self._engine.photon_detector[done:]
                if self._out is None:
                    for table, columns in self._sink.tables().items():
                        for name, column in columns.items():
                            file[f"tables/{table}/{name}"] = column
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def restore(
        cls,
        path: str | os.PathLike[str],
        *,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        engine: str | None = None,
        threads: int = 1,
        network: Any = None,
        learning: Any = None,
    ) -> Simulation:
        """Continue from a checkpoint, in either engine. Raises InputError if the file is damaged or from another version.

        ``network``: the network that ran; needed if it was tiled, because a checkpoint holds the arrays of none.
        ``learning``: the rules that it learnt with; a checkpoint holds what they have learnt, but no functions.
        """
        import h5py

        from soen_event.network import Network
        from soen_event.parts import Drive

        path = Path(path)
        if path.is_dir() or not path.exists():
            raise InputError(
                f"{path}: {'is a directory' if path.is_dir() else 'there is no such file'}; give a checkpoint file"
            )
        try:
            with h5py.File(path, "r") as file:
                head = json.loads(bytes(file.attrs["head"]))
                columns = {name: file["state"][name][()] for name in State._fields}
                fs, detector = file["photons/fs"][()], file["photons/detector"][()]
                tables = {t: {n: c[()] for n, c in group.items()} for t, group in file.get("tables", {}).items()}
        except (OSError, KeyError, ValueError) as trouble:
            raise InputError(
                f"{path}: is not a readable checkpoint ({trouble}); write one with Simulation.checkpoint"
            ) from trouble
        if head.get("format") != "soen-checkpoint" or head.get("version") != CHECKPOINT_VERSION:
            raise InputError(f"{path}: is not a checkpoint of this version; write one with Simulation.checkpoint")
        header = head["header"]
        self = cls.__new__(cls)
        if network is None and "tiled" in header["network"]:
            raise InputError(
                f"{path}: is of a tiled network, whose arrays it does not hold; give it: Simulation.restore(path, network=...)"
            )
        self.network = Network.from_dict(header["network"]) if network is None else network.copy()
        from soen_event.stimulus import Stimulus

        drives = [Drive(**d) for d in header["drives"]]
        self.stimulus = Stimulus(drives=drives)
        self.engine_name = engine or header["engine"]
        if self.engine_name not in ENGINES:
            raise InputError(f"Simulation.restore.engine: {engine!r} is unknown{nearest(str(engine), ENGINES)}")
        faults = _thread_faults(threads)
        if faults:
            raise InputError(faults)
        self.resolution, self.seed = header["resolution"], header["seed"]
        self.tol, self.threads = float(header["tol"]), int(threads)
        self.plan = lower(self.network, tuple(drives), self.resolution, self.tol)
        if learning is not None:
            from soen_event.learning import lower_learning

            self.plan = _learning(self.plan, lower_learning(self.plan, learning))
        if header.get("learning") and self.plan.digest != header["plan_digest"]:
            raise InputError(
                f"{path}: learnt with rules that are not those given ({', '.join(header['learning'])}); "
                "give the same: Simulation.restore(path, learning=...)"
            )
        self._signals = [(int(fs), str(name), np.array(values)) for fs, name, values in head["signals"]]
        self._rule_changes = head["rule_changes"]
        if self.plan.digest != header["plan_digest"]:
            raise InputError(
                f"{path}: was written by another version of soen-event (its lowered network differs); run it there"
            )
        self.wanted = _wanted(header["record"], self.plan)
        self._header, self._until_fs = header, int(head["until_fs"])
        state = State(
            *(columns[name].view(np.recarray) if columns[name].dtype.names else columns[name] for name in State._fields)
        )
        self._open_sink(out, overwrite)
        for table, found in tables.items():
            self._sink.append(table, found)
        self._start(fs, detector, state._replace(cursor=_rewound(state.cursor)))
        return self

    # ------------------------------------------------------------------ inside

    def _start(self, fs: np.ndarray, detector: np.ndarray, state: State | None) -> None:
        """Make the engine, on ``state`` if given. What the present one has logged is collected first."""
        if state is not None and hasattr(self, "_engine"):
            self._collect()
        wanted = self.wanted
        arguments = (
            self.plan,
            fs,
            detector,
            self.seed,
            wanted["fluxons"],
            self._traced(),
            wanted["photons"],
            state,
        )
        if self.engine_name == "compiled":
            from soen_event.engine.compiled import CompiledEngine
            from soen_event.engine.jit import announce_compilation

            with announce_compilation():
                self._engine: Any = CompiledEngine(*arguments, threads=self.threads)
                self._engine.advance(-1, 1)
        else:
            from soen_event.engine.reference import ReferenceEngine

            self._engine = ReferenceEngine(*arguments)

    def _go_on(self, state: State) -> None:
        """Make the engine anew on ``state``, with the photons that are still to come."""
        done = int(state.cursor[NEXT_PHOTON])
        light = self._engine.photon_fs[done:], self._engine.photon_detector[done:]
        self._start(*light, state._replace(cursor=_rewound(state.cursor)))

    def _expect(self, fs: np.ndarray, detector: np.ndarray) -> None:
        """More photons to come. The compiled engine takes them as it is; SimPy's next photon is scheduled, so that engine is made anew."""
        state = self._engine.state()
        done = int(state.cursor[NEXT_PHOTON])
        fs = np.concatenate([self._engine.photon_fs[done:], fs])
        detector = np.concatenate([self._engine.photon_detector[done:], detector])
        order = np.lexsort((detector, fs))
        if self.engine_name == "compiled":
            self._engine.expect(fs[order], detector[order])
        else:
            self._start(fs[order], detector[order], state._replace(cursor=_rewound(state.cursor)))

    def _traced(self) -> np.ndarray:
        """Loops whose state is written down at every change: for their currents, and for the fluxons of those that flow."""
        return np.maximum(self.wanted["currents"], self.wanted["fluxons"] * self.plan.arrays.flow)

    def _open_sink(self, out: str | os.PathLike[str] | None, overwrite: bool) -> None:
        from soen_event.recording import FileSink, MemorySink

        self._out = None if out is None else Path(out)
        ids = {kind: getattr(self.plan, kind) for kind in ("loop_ids", "detector_ids", "neuron_ids")}
        self._header = {**self._header, **ids}
        self._sink: Any = MemorySink() if out is None else FileSink(out, self._header, overwrite=overwrite)

    def _collect(self) -> None:
        self._append(self._engine.drain())

    def _append(self, log: dict[str, np.ndarray]) -> None:
        bad = np.flatnonzero(np.isnan(log.get("write_value", np.zeros(0))))
        if len(bad):
            keep = ~np.isnan(log["write_value"])
            how, k = self.plan.learning, int(bad[0])
            site, when = int(log["write_site"][k]), int(log["write_fs"][k]) * 1e-6
            log = {**log, **{name: log[name][keep] for name in _TABLES["writes"].values()}}
            self._append(log)
            raise NonFiniteError(
                f"{how.names[how.sites[site].rule]}: {how.site_ids[site]} was asked for a change that is no finite number, at {when:g} ns; "
                f"no such change was made; look at its variables with Simulation.site({how.site_ids[site]!r})"
            )
        for table, names in _TABLES.items():
            columns = {name: log[key] for name, key in names.items() if key in log}
            if columns and len(next(iter(columns.values()))):
                self._sink.append(table, columns)

    def _progress(self) -> dict[str, Any]:
        state = self._engine.state()
        loops = state.loops
        now = self._passed_fs()
        more = unfinished_fluxons(self.plan, state, now)
        counts = dict(zip(COUNTS, (int(c) for c in state.counts), strict=True))
        counts["fluxons"] += int(more.sum())
        q, leaked = at_the_end(self.plan, state, now)
        more_of_learning = {"rule_changes": self._rule_changes} if self._rule_changes else {}
        return {
            **more_of_learning,
            "now_fs": now,
            "counts": counts,
            "fluxons": loops["fluxons"] + more,
            "slip_loss": np.array(loops["slip_loss"]),
            "leak_loss": loops["leak_loss"] + leaked,
            "purge_loss": np.array(loops["purge_loss"]),
            "q_end": q,
        }

    def _recorded(self, what: str, flags: np.ndarray) -> Any:
        """Ids of what is kept. Of a tiled network all of them are not spelled out."""
        ids = self.plan.detector_ids if what == "photons" else self.plan.loop_ids
        if not isinstance(ids, tuple) and flags.all():
            return ids
        return [ids[j] for j in np.flatnonzero(flags).tolist()]

    def _detector(self, synapse: str, where: str) -> int:
        index = self.plan.detector_index
        if not isinstance(synapse, str) or synapse not in index:
            raise InputError(f"{where}: no synapse {synapse!r}{nearest(str(synapse), index)}")
        return index[synapse]

    def __repr__(self) -> str:
        return (
            f"<Simulation at {self.now:g} ns, {self.event_count} events, {self.engine_name} engine, seed {self.seed}>"
        )


def unfinished_fluxons(plan: Plan, state: State, now: int) -> np.ndarray:
    """Fluxons of every flowing loop since it was last touched, up to ``now`` (fs)."""
    from soen_event.physics.flow import turned
    from soen_event.physics.loop import RUN, TWO_PI

    it, a = state.loops, plan.arrays
    out = np.zeros(len(it), dtype=np.int64)
    k = np.flatnonzero((a.flow == 1) & (it["mode"] == RUN))
    if len(k):
        dt = (now - it["since"][k]) * 1e-6
        turn = turned(it["q"][k], it["c1"][k], it["c2"][k], it["c3"][k], a.beta[k], a.tau[k], dt)
        out[k] = ((it["theta"][k] + np.maximum(turn, 0.0)) / TWO_PI).astype(np.int64)
    return out


def at_the_end(plan: Plan, state: State, now: int) -> tuple[np.ndarray, np.ndarray]:
    """Currents of all loops, and what has leaked since each was last touched: of loops that load each other at ``now`` (fs).

    They share energy, so it can be told only at a common time; that of any other loop is told at its own last event, without a leak.
    """
    from soen_event.physics.elementary import exp
    from soen_event.physics.loop import square_area

    a, loops = plan.arrays, state.loops
    q, leaked = np.array(loops["q"]), np.zeros(len(loops))
    for k in np.flatnonzero(np.diff(a.load_start) > 0).tolist():
        dt = (now - int(loops["since"][k])) * 1e-6
        start, stop = int(a.mode_start[k]), int(a.mode_start[k + 1])
        leaked[k] = a.beta[k] / a.tau[k] * square_area(state.amplitude, a.mode_tau, a.mode_arm, start, stop, dt)
        own = [m for m in range(start, stop) if a.mode_arm[m] == 2]
        q[k] = sum(float(state.amplitude[m]) * exp(-dt / float(a.mode_tau[m])) for m in own)
    return q, leaked


_TABLES = {
    "spikes": {"time_fs": "spike_fs", "neuron": "spike_neuron"},
    "fluxons": {"time_fs": "fluxon_fs", "loop": "fluxon_loop"},
    "photons": {"time_fs": "photon_fs", "detector": "photon_detector", "fate": "photon_fate"},
    "trace": {"time_fs": "trace_fs", "loop": "trace_loop", "mode": "trace_mode", "values": "trace_values"},
    "amplitudes": {"value": "trace_amplitude"},
    "writes": {"time_fs": "write_fs", "site": "write_site", "value": "write_value"},
}


def _learning(plan: Plan, rules: Learning) -> Plan:
    """The plan with rules, whose memories hold what they can hold of the network's values from the start."""
    a = plan.arrays
    columns = {
        engine_state.AT_WEIGHT: a.det_weight.copy(),
        engine_state.AT_OFFSET: a.offset.copy(),
        engine_state.AT_COUPLING: a.out_J.copy(),
    }
    for site in rules.sites:
        columns[int(site.kind)][site.place] = rules.values[site.start] * site.gain
    weights, offsets, couplings = columns.values()
    return dataclasses.replace(
        plan, rules=rules, arrays=a._replace(det_weight=weights, offset=offsets, out_J=couplings)
    )


def _lowered(stimulus: Stimulus, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Photons as (fs, row of the detector), sorted. Only a network's own synapses can be addressed."""
    own, rows = plan.own_synapses
    fs, place = stimulus.lower(own)
    return fs, rows[place]


def _rewound(cursor: np.ndarray) -> np.ndarray:
    cursor = cursor.copy()
    cursor[NEXT_PHOTON] = 0
    return cursor


def _plain(drive: Any) -> dict[str, Any]:
    import dataclasses

    return {k: v for k, v in dataclasses.asdict(drive).items() if v is not None}


def _tol_faults(tol: Any) -> list[str]:
    if not (is_number(tol) and 1e-9 <= tol <= 0.1):
        return [f"simulate.tol: {tol!r} is not a number from 1e-9 to 0.1; give the largest error of a current in I_c"]
    return []


def _thread_faults(threads: Any) -> list[str]:
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or not 1 <= threads <= 1024:
        return [f"simulate.threads: {threads!r} is not a whole number from 1 to 1024"]
    return []


def _time_faults(where: str, value: Any, positive: bool = False) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return [f"{where}: {value!r} is not a number; give a time in ns"]
    if not np.isfinite(value) or value < 0 or (positive and value == 0):
        return [
            f"{where}: {value!r} is not a finite time {'above' if positive else 'of at least'} 0; give a time in ns"
        ]
    if value > 4e12:
        return [f"{where}: {value!r} ns is beyond the clock's range of 4e12 ns (over an hour); run it in parts"]
    return []


def _wanted(record: Any, plan: Plan) -> dict[str, np.ndarray]:
    """Flags of what to log: fluxons and currents per loop, photons per detector."""
    flags = {
        "fluxons": np.zeros(len(plan.loop_ids), dtype=np.int64),
        "currents": np.zeros(len(plan.loop_ids), dtype=np.int64),
        "photons": np.zeros(len(plan.detector_ids), dtype=np.int64),
    }
    if isinstance(record, str):
        record = (record,)
    chosen: Mapping[str, Any] = record if isinstance(record, Mapping) else dict.fromkeys(record or ())
    faults = []
    same = {"detections": "photons", "fluxes": "currents"}
    for what, ids in chosen.items():
        if what not in RECORDABLE:
            faults.append(
                f"simulate.record: {what!r} is unknown{nearest(str(what), RECORDABLE)}; choose among {', '.join(RECORDABLE)}"
            )
            continue
        what = same.get(what, what)
        if what not in flags:
            continue  # spikes and energy are always kept
        if ids is None or isinstance(ids, Mapping) or hasattr(ids, "places"):  # all, those of a tiled network too
            flags[what][:] = 1
            continue
        index = plan.detector_index if what == "photons" else plan.loop_index
        for name in [ids] if isinstance(ids, str) else ids:
            if name in index:
                flags[what][index[name]] = 1
            else:
                faults.append(f"simulate.record.{what}: there is no {name!r}{nearest(str(name), index)}")
    if faults:
        raise InputError(faults)
    return flags


def _progress(progress: Any) -> Callable[..., None] | None:
    """A function (done ns, all ns, seconds so far, last) that shows progress at most once a second; None for silence."""
    if progress is None:
        progress = sys.stderr.isatty()
    if progress is False:
        return None
    if callable(progress):
        told = progress

        def tell(done: float, total: float, seconds: float, last: bool = False) -> None:
            told(done, total)

        return tell
    shown = [time.monotonic(), False]

    def show(done: float, total: float, seconds: float, last: bool = False) -> None:
        now = time.monotonic()
        if now - shown[0] < 1.0 and not (last and shown[1]):
            return
        shown[0], shown[1] = now, True
        share = done / total if total > 0 else 1.0
        left = f"{seconds * (1.0 - share) / share:.0f} s left" if share > 0 else "time left unknown"
        sys.stderr.write(f"\r{100.0 * share:5.1f} %  {done:.6g} of {total:.6g} ns  {left}   " + ("\n" if last else ""))
        sys.stderr.flush()

    return show
