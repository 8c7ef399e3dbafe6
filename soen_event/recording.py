"""What a run leaves behind: events, currents at any time, energy, provenance; in memory or in an HDF5 file that survives a kill.

Tables (int64 columns unless said; times in femtoseconds, parts as rows of the Plan):

=============  ================================================================================================
``spikes``      ``time_fs``, ``neuron``
``fluxons``     ``time_fs``, ``loop``
``photons``     ``time_fs``, ``detector``, ``fate`` (0 detected, 1 in the hotspot, 2 in the dead time, 3 missed)
``trace``       ``time_fs``, ``loop``, ``mode``, ``values`` (float64, one row of :mod:`soen_event.physics.readout`)
``amplitudes``  ``value`` (float64): the mode amplitudes of every trace row, one row after another
=============  ================================================================================================
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.engine.state import COUNTS, DETECTED
from soen_event.errors import InputError, nearest
from soen_event.physics.readout import TRACE_COLUMNS

if TYPE_CHECKING:
    from soen_event.network import Network
    from soen_event.plan import Plan

FORMAT, VERSION = "soen-recording", 1
TABLES: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
    "spikes": {"time_fs": ("i8", ()), "neuron": ("i8", ())},
    "fluxons": {"time_fs": ("i8", ()), "loop": ("i8", ())},
    "photons": {"time_fs": ("i8", ()), "detector": ("i8", ()), "fate": ("i8", ())},
    "trace": {"time_fs": ("i8", ()), "loop": ("i8", ()), "mode": ("i8", ()), "values": ("f8", (TRACE_COLUMNS,))},
    "amplitudes": {"value": ("f8", ())},
}
LOOP_PROGRESS = ("fluxons", "slip_loss", "leak_loss", "purge_loss", "q_end")
# A commit slot: sequence number, now_fs, closed, rows of every table, counts, checksum.
_SLOT = 3 + len(TABLES) + len(COUNTS) + 1
_CHUNK = 4096


def versions() -> dict[str, str]:
    """Versions of what a run's numbers depend on."""
    from importlib.metadata import version

    import soen_event

    return {"soen_event": soen_event.__version__, "numpy": np.__version__, "numba": version("numba"), "h5py": version("h5py"),
            "python": platform.python_version(), "machine": platform.machine()}


def _empty(table: str) -> dict[str, np.ndarray]:
    return {name: np.zeros((0, *shape), dtype=kind) for name, (kind, shape) in TABLES[table].items()}


class MemorySink:
    """Keeps the tables of a run in memory."""

    def __init__(self) -> None:
        self._parts: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in TABLES}

    def append(self, table: str, columns: dict[str, np.ndarray]) -> None:
        """Add rows to a table."""
        self._parts[table].append(columns)

    def commit(self, progress: dict[str, Any]) -> None:
        """Nothing to do: memory does not outlive the process."""

    def close(self, progress: dict[str, Any]) -> None:
        """Nothing to do."""

    def tables(self) -> dict[str, dict[str, np.ndarray]]:
        """The tables so far."""
        out = {}
        for table, parts in self._parts.items():
            joined = {name: np.concatenate([p[name] for p in parts]) for name in TABLES[table]} if parts else _empty(table)
            self._parts[table] = [joined] if parts else []
            out[table] = joined
        return out


class FileSink:
    """Streams the tables of a run to an HDF5 file (single-writer mode, Fletcher checksums).

    What :meth:`commit` has returned for is safe from a kill of the process: data are flushed first, then one of two alternating commit
    slots with the row counts and a checksum. The file is made under another name and moved into place when it is complete, so an
    existing file (only replaced with ``overwrite``) is never half overwritten.
    """

    def __init__(self, path: str | os.PathLike[str], header: dict[str, Any], overwrite: bool = False):
        import h5py

        self.path = Path(path)
        _refuse_existing(self.path, overwrite)
        header = {"format": FORMAT, "version": VERSION, "versions": versions(), **header}
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self._file: Any = None
        try:
            file = h5py.File(temporary, "w", libver="latest")
            self._file = file
            file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
            text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
            file.create_dataset("header", data=text, fletcher32=True, chunks=True)
            self._columns: dict[str, dict[str, Any]] = {}
            for table, columns in TABLES.items():
                self._columns[table] = {
                    name: file.create_dataset(f"{table}/{name}", shape=(0, *shape), maxshape=(None, *shape), dtype=kind,
                                              chunks=(_CHUNK, *shape), fletcher32=True)
                    for name, (kind, shape) in columns.items()}
            self._slots = file.create_dataset("commits", data=np.zeros((2, _SLOT), dtype=np.int64))
            self._loops = file.create_dataset("loops", data=np.zeros((2, len(header["loop_ids"]), len(LOOP_PROGRESS))))
            file.flush()
            self._waiting: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in TABLES}
            self._rows = dict.fromkeys(TABLES, 0)
            self._sequence = 0
            file.swmr_mode = True
            os.replace(temporary, self.path)
        except OSError as trouble:
            if self._file is not None:
                self._file.close()
            raise InputError(f"{self.path}: cannot be written ({trouble}); choose a folder that exists and is writable") from trouble
        finally:
            temporary.unlink(missing_ok=True)

    def append(self, table: str, columns: dict[str, np.ndarray]) -> None:
        """Take rows; they go to the file with the next commit."""
        self._waiting[table].append(columns)

    def commit(self, progress: dict[str, Any], closed: bool = False) -> None:
        """Write what has been taken, then acknowledge it."""
        for table, parts in self._waiting.items():
            if not parts:
                continue
            start = self._rows[table]
            joined = {name: np.concatenate([p[name] for p in parts]) for name in TABLES[table]}
            stop = start + len(next(iter(joined.values())))
            for name, column in joined.items():
                dataset = self._columns[table][name]
                dataset.resize(stop, axis=0)
                dataset[start:stop] = column
            self._rows[table] = stop
            self._waiting[table] = []
        self._file.flush()
        self._sequence += 1
        place = self._sequence % 2
        loops = np.column_stack([np.asarray(progress[name], dtype=float) for name in LOOP_PROGRESS]).reshape(self._loops.shape[1:])
        slot = np.zeros(_SLOT, dtype=np.int64)
        slot[:3] = self._sequence, progress["now_fs"], int(closed)
        slot[3:3 + len(TABLES)] = [self._rows[name] for name in TABLES]
        slot[3 + len(TABLES):-1] = [progress["counts"][name] for name in COUNTS]
        slot[-1] = _checksum(slot[:-1], loops)
        self._loops[place] = loops
        self._slots[place] = slot
        self._file.flush()

    def close(self, progress: dict[str, Any]) -> None:
        """Commit what is left, mark the run as finished and close the file."""
        if self._file:
            self.commit(progress, closed=True)
            self._file.close()
            self._file = None


def _checksum(slot: np.ndarray, loops: np.ndarray) -> int:
    digest = hashlib.blake2b(slot.tobytes() + np.ascontiguousarray(loops).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory; give the name of a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another name or ask to overwrite it")
    if not path.parent.exists():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")


class Events(Mapping[str, Any]):
    """Times by id: float64 ns, ascending. Parts without events give an empty array, unknown ids an error that names the nearest."""

    def __init__(self, kind: str, index: Mapping[str, int], fs: np.ndarray, part: np.ndarray, kept: np.ndarray | None = None):
        self._kind, self._index, self._fs, self._part, self._kept = kind, index, fs, part, kept
        self._order: np.ndarray | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        place = _place(name, self._index, f"Recording.{self._kind}")
        if self._kept is not None and not self._kept[place]:
            raise InputError(f"Recording.{self._kind}: {name!r} was not recorded; name it in record=")
        if self._order is None:
            self._order = np.argsort(self._part, kind="stable")
            self._sorted = self._part[self._order]
        start, stop = np.searchsorted(self._sorted, [place, place + 1])
        return self._fs[self._order[start:stop]] * 1e-6

    def __iter__(self) -> Iterator[str]:
        return (name for name, place in self._index.items() if self._kept is None or self._kept[place])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<{len(self._fs)} {self._kind} of {len(self)} parts>"


def _place(name: Any, index: Mapping[str, int], where: str) -> int:
    if name not in index:
        raise InputError(f"{where}: there is no {name!r}{nearest(str(name), index)}")
    return index[name]


class Recording:
    """A finished, held or interrupted run.

    ``spikes``, ``fluxons``, ``photons``, ``detections``, ``lost``: :class:`Events`, times in ns by id (a neuron's id means its soma).
    ``fluxon_count``: int by id, always kept. ``current``, ``flux``, ``quanta`` at any time for loops recorded with "currents".
    """

    def __init__(self, plan: Plan | None, tables: dict[str, dict[str, np.ndarray]], header: dict[str, Any], progress: dict[str, Any],
                 *, interrupted: bool = False):
        self._plan = plan
        self.tables = {name: tables.get(name) or _empty(name) for name in TABLES}
        self.header = {"format": FORMAT, "version": VERSION, "versions": versions(), **header}
        self._state = progress
        self._interrupted = interrupted
        self._traces: dict[int, np.ndarray] = {}

    # ------------------------------------------------------------------ what the run was

    @property
    def plan(self) -> Plan:
        """The lowered network; of a loaded recording it is lowered again from the network in the file, and compared."""
        if self._plan is None:
            from soen_event.network import Network
            from soen_event.parts import Drive
            from soen_event.plan import lower

            plan = lower(Network.from_dict(self.header["network"]), tuple(Drive(**d) for d in self.header["drives"]))
            if plan.digest != self.header["plan_digest"]:
                raise InputError("Recording: its network lowers to other numbers here than when it was run (another version of "
                                 f"soen-event, or an edited file; it was {self.header['versions']['soen_event']}); events can be "
                                 "read, currents and fluxes cannot")
            self._plan = plan
        return self._plan

    @property
    def network(self) -> Network:
        """The network that was run."""
        from soen_event.network import Network

        return Network.from_dict(self.header["network"])

    @property
    def seed(self) -> int:
        """Seed of the run; with it the run is repeated exactly."""
        return int(self.header["seed"])

    @property
    def duration(self) -> float | None:
        """Time in ns that the run was asked for; None if it was run piece by piece."""
        return self.header["duration_ns"]

    @property
    def end(self) -> float:
        """Time in ns up to which everything has been recorded."""
        return self._state["now_fs"] * 1e-6

    @property
    def status(self) -> str:
        """A sentence that says how the run ended and what to do about it."""
        asked = self.duration
        if self._interrupted:
            return (f"The run was interrupted at t = {self.end:g} ns" + (f" of {asked:g} ns" if asked else "")
                    + "; everything up to there is here, run it again for the rest.")
        if asked is not None and self.end < asked:
            return f"The run was held at t = {self.end:g} ns of {asked:g} ns; run it on for the rest."
        return f"The run is complete: {self.end:g} ns."

    @property
    def complete(self) -> bool:
        """The run reached the time that it was asked for and was closed."""
        return not self._interrupted and (self.duration is None or self.end >= self.duration)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: versions, engine, seed, what was recorded, when, and the digest of the lowered network."""
        return {k: self.header[k] for k in ("versions", "engine", "resolution", "seed", "created", "duration_ns", "plan_digest")}

    @property
    def event_counts(self) -> dict[str, int]:
        """Number of events of every kind in the whole run, whatever was recorded."""
        return dict(self._state["counts"])

    # ------------------------------------------------------------------ events

    def _loop_index(self) -> dict[str, int]:
        index = {name: k for k, name in enumerate(self.header["loop_ids"])}
        index.update({name: index[f"{name}.soma"] for name in self.header["neuron_ids"]})
        return index

    def _kept(self, what: str, ids: Sequence[str]) -> np.ndarray:
        chosen = set(self.header["record"][what])
        return np.array([name in chosen for name in ids], dtype=bool)

    @property
    def spikes(self) -> Events:
        """Spike times by neuron."""
        table = self.tables["spikes"]
        return Events("spikes", {name: k for k, name in enumerate(self.header["neuron_ids"])}, table["time_fs"], table["neuron"])

    @property
    def fluxons(self) -> Events:
        """Fluxon times by loop (dendrite, neuron, ``<neuron>.refractory``)."""
        table = self.tables["fluxons"]
        return Events("fluxons", self._loop_index(), table["time_fs"], table["loop"], self._kept("fluxons", self.header["loop_ids"]))

    @property
    def fluxon_count(self) -> dict[str, int]:
        """Number of fluxons by loop, counted also where their times were not recorded."""
        counts = self._state["fluxons"]
        return {name: int(counts[place]) for name, place in self._loop_index().items()}

    def _photons(self, kind: str, wanted: np.ndarray | slice) -> Events:
        table = self.tables["photons"]
        ids = self.header["detector_ids"]
        return Events(kind, {name: k for k, name in enumerate(ids)}, table["time_fs"][wanted], table["detector"][wanted],
                      self._kept("photons", ids))

    @property
    def photons(self) -> Events:
        """Arrival times by detector, detected or not."""
        return self._photons("photons", slice(None))

    @property
    def detections(self) -> Events:
        """Times of detected photons by detector."""
        return self._photons("detections", self.tables["photons"]["fate"] == DETECTED)

    @property
    def lost(self) -> Events:
        """Times of photons that were not detected, by detector."""
        return self._photons("lost", self.tables["photons"]["fate"] != DETECTED)

    def spike_counts(self) -> np.ndarray:
        """Number of spikes of every neuron, int64, in the order of ``header["neuron_ids"]`` (ascending id)."""
        return np.bincount(self.tables["spikes"]["neuron"], minlength=len(self.header["neuron_ids"]))

    def binned(self, width: float, *, start: float = 0.0, stop: float | None = None) -> np.ndarray:
        """Spike counts (neurons, bins), int64, in bins of ``width`` ns over [start, stop); the last bin may be cut."""
        stop = self.end if stop is None else stop
        if not (np.isfinite(width) and width > 0) or not stop > start:
            raise InputError(f"Recording.binned: width {width!r} ns over [{start!r}, {stop!r}) makes no bins; give width > 0, stop > start")
        n = int(np.ceil((stop - start) / width - 1e-9))
        table = self.tables["spikes"]
        t = table["time_fs"] * 1e-6
        inside = (t >= start) & (t < stop)
        out = np.zeros((len(self.header["neuron_ids"]), n), dtype=np.int64)
        np.add.at(out, (table["neuron"][inside], np.minimum(((t[inside] - start) / width).astype(np.int64), n - 1)), 1)
        return out

    # ------------------------------------------------------------------ currents and fluxes

    def current(self, id: str, t: Any) -> np.ndarray:
        """Current of a loop, I_c, at times ``t`` (ns, any shape, 0 to :attr:`end`): quanta and the phase within the turn."""
        return self._read(id, t, 0)

    def quanta(self, id: str, t: Any) -> np.ndarray:
        """The part of the current that is whole flux quanta: the sum of 2 pi/beta e^(-dt/tau) over past fluxons (since a purge)."""
        return self._read(id, t, 1)

    def flux(self, id: str, t: Any) -> np.ndarray:
        """Flux through a loop's SQUID, Phi0, at times ``t`` (ns)."""
        return self._read(id, t, 2)

    def phase(self, id: str, t: Any) -> np.ndarray:
        """Phase within the turn, rad, counted from that of the resting SQUID."""
        return self._read(id, t, 3)

    def _read(self, id: str, t: Any, column: int) -> np.ndarray:
        from soen_event.engine.jit import compile_function
        from soen_event.physics import readout

        d = _place(id, self._loop_index(), "Recording.current")
        if self.header["loop_ids"][d] not in set(self.header["record"]["currents"]):
            raise InputError(f"Recording.current: {id!r} was not recorded; add \"currents\" to record= (or record={{'currents': [{id!r}]}})")
        t = np.asarray(t, dtype=float)
        flat = t.reshape(-1)
        if flat.size and not (np.all(np.isfinite(flat)) and flat.min() >= 0.0 and flat.max() <= self.end * (1 + 1e-12)):
            raise InputError(f"Recording.current: a time is outside the recording, which runs from 0 to {self.end:g} ns")
        plan = self.plan
        a, src = plan.arrays, plan.sources
        trace = self.tables["trace"]
        if not self._traces:
            order = np.argsort(trace["loop"], kind="stable")
            bounds = np.searchsorted(trace["loop"][order], np.arange(len(a.row) + 1))
            self._traces = {k: order[bounds[k]:bounds[k + 1]] for k in range(len(a.row))}
            modes = np.diff(a.mode_start)
            self._amplitude_at = np.concatenate([[0], np.cumsum(modes[trace["loop"]])]).astype(np.int64)
        rows = self._traces[d]
        fs = np.floor(flat * 1e6 + 1e-3).astype(np.int64)  # a time that is an event's own to rounding counts as at the event
        last = rows[np.maximum(np.searchsorted(trace["time_fs"][rows], fs, side="right") - 1, 0)]
        modes = slice(a.mode_start[d], a.mode_start[d + 1])
        out = np.empty((flat.size, 4))
        compile_function(readout.read_all)(
            flat, last, trace["time_fs"], trace["mode"], trace["values"], self.tables["amplitudes"]["value"], self._amplitude_at,
            modes.stop - modes.start, a.mode_tau[modes], a.mode_arm[modes], a.tau[d], a.beta[d], src.rest, src.shape, src.scale,
            src.levels, a.row[d], a.ib[d], a.rest_origin[d], plan.tau_0, out)
        return out[:, column].reshape(t.shape)

    # ------------------------------------------------------------------ energy

    @property
    def energy(self) -> dict[str, dict[str, float]]:
        """Energy in joules by loop id, and their sum under "total" (physics.md 8).

        ``drawn``: work of the bias, i_b I_c Phi0 a fluxon; ``stored``: left in the loop when it was last touched; ``junctions``, ``leak``:
        dissipated in the SQUID and in the leak resistor; ``purge``: lost when a spike empties the loop. drawn = stored + the rest.
        """
        a = self.plan.arrays
        unit = self.plan.device.Ic * 2.067833848461929e-15 / (2 * np.pi)
        fluxons, slip, leak, purge, q = (np.asarray(self._state[name], dtype=float) for name in LOOP_PROGRESS)
        columns = {"drawn": fluxons * 2 * np.pi * a.ib, "stored": 0.5 * a.beta * q * q, "junctions": slip, "leak": leak, "purge": purge}
        out = {name: {k: float(v[d] * unit) for k, v in columns.items()} for d, name in enumerate(self.header["loop_ids"])}
        out["total"] = {k: float(v.sum() * unit) for k, v in columns.items()}
        return out

    # ------------------------------------------------------------------ files

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the recording to an HDF5 file, atomically. An existing file is refused unless ``overwrite``."""
        path = Path(path)
        _refuse_existing(path, overwrite)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            sink = FileSink(temporary, {k: v for k, v in self.header.items() if k not in ("format", "version")})
            for name, table in self.tables.items():
                if len(next(iter(table.values()))):
                    sink.append(name, table)
            if self._interrupted:
                sink.commit(self._state)
                sink._file.close()
            else:
                sink.close(self._state)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Read a recording, finished or cut off by a kill. Raises InputError for anything that is not one, or is damaged."""
        import h5py

        path = Path(path)
        if not path.exists():
            raise InputError(f"{path}: there is no such file")
        if path.is_dir():
            raise InputError(f"{path}: is a directory; give the name of a recording (an HDF5 file)")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: is empty; give a recording (an HDF5 file written by soen)")
        try:
            file = h5py.File(path, "r", libver="latest", swmr=True)
        except OSError as trouble:
            raise InputError(f"{path}: is not a readable HDF5 file, or was cut off ({trouble}); give a recording written by soen") from trouble
        with file:
            if file.attrs.get("format") != FORMAT:
                raise InputError(f"{path}: is an HDF5 file but not a recording; give one written by soen run --out or Recording.save")
            if int(file.attrs["version"]) != VERSION:
                raise InputError(f"{path}: is of recording version {file.attrs['version']}; this release reads version {VERSION}")
            try:
                header = json.loads(bytes(file["header"][()]))
                slots, loops = file["commits"][()], file["loops"][()]
                valid = [k for k in range(2) if slots[k, 0] > 0 and slots[k, -1] == _checksum(slots[k, :-1], loops[k])]
                best = max(valid, key=lambda k: int(slots[k, 0]), default=None)
                slot = np.zeros(_SLOT, dtype=np.int64) if best is None else slots[best]
                rows = dict(zip(TABLES, slot[3:3 + len(TABLES)].tolist(), strict=True))
                tables = {name: {c: file[name][c][:rows[name]] for c in columns} for name, columns in TABLES.items()}
            except (OSError, KeyError, ValueError) as trouble:
                raise InputError(f"{path}: is damaged ({trouble}); its checksums or tables do not match") from trouble
        if any(len(c) != rows[name] for name, table in tables.items() for c in table.values()):
            raise InputError(f"{path}: is damaged: it holds fewer rows than were acknowledged")
        progress: dict[str, Any] = {"now_fs": int(slot[1]), "counts": dict(zip(COUNTS, slot[3 + len(TABLES):-1].tolist(), strict=True))}
        found = np.zeros((len(header["loop_ids"]), len(LOOP_PROGRESS))) if best is None else loops[best]
        progress.update({name: found[:, k].tolist() for k, name in enumerate(LOOP_PROGRESS)})
        return cls(None, tables, header, progress, interrupted=best is None or slot[2] == 0)

    # ------------------------------------------------------------------ other forms

    def to_pandas(self, table: str = "spikes") -> Any:
        """One of the event tables as a pandas DataFrame with times in ns and ids."""
        try:
            import pandas as pd
        except ImportError as missing:
            raise ImportError("Recording.to_pandas needs pandas; install it with: pip install pandas") from missing
        parts = {"spikes": ("neuron", "neuron_ids"), "fluxons": ("loop", "loop_ids"), "photons": ("detector", "detector_ids")}
        if table not in parts:
            raise InputError(f"Recording.to_pandas: no table {table!r}{nearest(table, parts)}; choose one of {', '.join(parts)}")
        column, ids = parts[table]
        data = self.tables[table]
        frame = {"time_ns": data["time_fs"] * 1e-6, column: np.array(self.header[ids], dtype=object)[data[column]]}
        if table == "photons":
            frame["fate"] = np.array(["detected", "hotspot", "dead time", "missed"], dtype=object)[data["fate"]]
        return pd.DataFrame(frame)

    def to_xarray(self, ids: Sequence[str], times: Any) -> Any:
        """Currents and fluxes of ``ids`` at ``times`` (ns) as an xarray Dataset (extra ``xarray``)."""
        try:
            import xarray as xr
        except ImportError as missing:
            raise ImportError("Recording.to_xarray needs xarray; install it with: pip install 'soen-event[xarray]'") from missing
        times = np.asarray(times, dtype=float)
        variables = {name: (("id", "time"), np.array([read(i, times) for i in ids]), {"units": unit})
                     for name, read, unit in (("current", self.current, "I_c"), ("flux", self.flux, "Phi0"))}
        return xr.Dataset(variables, coords={"id": list(ids), "time": ("time", times, {"units": "ns"})})

    def to_neo(self) -> Any:
        """Spikes as a neo Block, one SpikeTrain a neuron (extra ``neo``)."""
        try:
            import neo
            import quantities as pq
        except ImportError as missing:
            raise ImportError("Recording.to_neo needs neo; install it with: pip install 'soen-event[neo]'") from missing
        block, segment = neo.Block(name="soen_event"), neo.Segment()
        for name, times in self.spikes.items():
            segment.spiketrains.append(neo.SpikeTrain(times * pq.ns, t_start=0 * pq.ns, t_stop=self.end * pq.ns, name=name))
        block.segments.append(segment)
        return block

    def same_events(self, other: Recording) -> bool:
        """Every table equals the other's to the bit."""
        return all(np.array_equal(self.tables[t][c].view("i8"), other.tables[t][c].view("i8")) for t in TABLES for c in TABLES[t])

    def summary(self) -> str:
        """Some lines on how the run went."""
        counts = self.event_counts
        lines = [self.status, f"{self.header['engine']} engine, {self.header['resolution']} resolution, seed {self.seed}"]
        lines += [f"{name.replace('_', ' '):>16s} {count:12,d}" for name, count in counts.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        counts = self.event_counts
        return f"<Recording of {self.end:g} ns: {counts['spikes']} spikes, {counts['fluxons']} fluxons, {counts['photons']} photons>"
