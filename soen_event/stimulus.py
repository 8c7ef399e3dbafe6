"""What a network is given: photons at its synapses, and flux on top of the drives of the network file.

A `Stimulus` holds ascending arrival times (ns) by synapse id. It is read from and written to CSV, NPZ, HDF5, made by
generators (`poisson`, `regular`), by encoders of numbers in [0, 1] (`latency`, `rank_order`, `rate`, `phase`) or from
an event camera's array (`from_events`), and handed to an engine through `Stimulus.lower`.

Everything random here is drawn per synapse, from a Philox stream keyed by the seed and the synapse's id: adding a
synapse changes nobody else's train.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import math
import os
import re
import secrets
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError, nearest
from soen_event.units import ns_to_fs, parse

if TYPE_CHECKING:
    from soen_event.parts import Drive

__all__ = [
    "Stimulus",
    "flux_drive",
    "from_events",
    "in_sequence",
    "latency",
    "phase",
    "poisson",
    "rank_order",
    "rate",
    "regular",
]

Id: TypeAlias = "str | int"
"""A synapse's id, or (integer) its position in the sorted list of the network's synapse ids."""

_LATEST = 2.0**62 / 1e6  # ns; the engines' clock counts femtoseconds in an int64
_MOST_PHOTONS = 1e9
_LISTED = 20  # faults of one kind that are spelled out
_COLUMNS = ("synapse", "time")
_SUFFIXES = {".csv": "CSV", ".npz": "NPZ", ".h5": "HDF5", ".hdf5": "HDF5"}
_TO_NS = {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


class _Trains(Mapping[Id, "NDArray[np.float64]"]):
    """Trains by position, kept as two columns, so that a million synapses need no object each.

    ``position``: int64, ascending; ``time``: ns, ascending within a position.
    """

    def __init__(self, position: NDArray[np.int64], time: NDArray[np.float64]):
        self.position, self.time = position, time
        self.known, first = np.unique(position, return_index=True)
        self._ends = np.append(first, len(position))

    def __getitem__(self, key: Id) -> NDArray[np.float64]:
        j = int(np.searchsorted(self.known, key)) if isinstance(key, int) else len(self.known)
        if j == len(self.known) or self.known[j] != key:
            raise KeyError(key)
        return self.time[self._ends[j] : self._ends[j + 1]]

    def __iter__(self) -> Iterator[Id]:
        return iter(self.known.tolist())

    def __len__(self) -> int:
        return len(self.known)


class Stimulus:
    """Photons by synapse id, and flux drives. Immutable; every method returns a new stimulus.

    Args:
        photons: arrival times (ns) by synapse id. Each train is a sequence or one-dimensional array of finite numbers,
            0 or later (below 4.6e12), ascending; equal times mean that many photons at once. An integer key is a
            position in the sorted list of the network's synapse ids (so ``"s10"`` comes before ``"s2"``).
        drives: flux drives that are added to those of the network: `soen_event.parts.Drive` objects or dicts with
            ``target`` and ``points`` or ``pulses`` as in a network file.

    Raises:
        InputError: with every fault found (unsorted, negative or non-finite times, wrong shapes, unusable ids).
    """

    __slots__ = ("_drives", "_photons")

    def __init__(self, photons: Mapping[Id, ArrayLike] | None = None, drives: Iterable[Any] = ()):
        if photons is not None and not isinstance(photons, Mapping):
            raise InputError(
                f"Stimulus.photons: {type(photons).__name__} is not a mapping; give times by synapse id, "
                'such as {"s1": [10.0, 60.0]}'
            )
        faults: list[str] = []
        trains: dict[Id, NDArray[np.float64]] = {}
        for key, value in (photons or {}).items():
            place = f"Stimulus.photons[{key!r}]"
            id_fault = _id_fault(key)
            if id_fault:
                faults.append(f"{place}: {id_fault}")
                continue
            try:
                times = _number_array(value, place, "times in ns")
            except InputError as error:
                faults += error.faults
                continue
            code = np.zeros(times.size, dtype=np.intp)
            found = _time_faults(times, code, _indexed(place), "sort them (np.sort)")
            faults += found
            if not found:
                times = times + 0.0  # a copy, and -0.0 becomes 0.0
                trains[_plain(key)] = times
        if faults:
            raise InputError(faults)
        self._photons = _frozen(trains)
        self._drives = tuple(_as_drive(drive) for drive in drives)

    # ---- making one ----

    @classmethod
    def from_arrays(cls, synapse: ArrayLike, time: ArrayLike) -> Stimulus:
        """One row a photon.

        Args:
            synapse: ids (strings), or positions in the sorted list of synapse ids (integers), shape (n,). Positions
                stay arrays: millions of rows take no time.
            time: arrival times in ns, shape (n,). Rows of different synapses may interleave in any order; the rows of
                each synapse must ascend.

        Raises:
            InputError: with every fault found, each naming its index.
        """
        ids = np.asarray(synapse)
        place = "Stimulus.from_arrays"
        return cls._of(_from_columns(ids, time, place, _indexed(place)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Stimulus:
        """Read a photon file. The suffix tells the format.

        ``.csv``: header ``synapse,time``, ids and ns. ``.npz`` (never unpickled): arrays ``synapse`` (strings, or
        integers that are positions in the sorted list of synapse ids) and ``time`` (ns). ``.h5``, ``.hdf5``: datasets
        of the same names. In all three the rows of each synapse must ascend in time.

        Raises:
            InputError: the file is missing, a folder, empty, truncated or of another kind, a column is missing or
                unknown, or rows are wrong; each fault names the file, the row or line and the value.
        """
        path = Path(path)
        kind = _kind(path)
        _check_readable(path)
        try:
            if kind == "CSV":
                ids, time, lines, faults = _read_csv(path)
                return cls._of(_from_columns(ids, time, str(path), lambda i: f"{path}, line {lines[i]}", faults))
            ids, time = _read_npz(path) if kind == "NPZ" else _read_hdf5(path)
        except (PermissionError, IsADirectoryError) as error:
            raise InputError(f"{path}: can not be read ({error.strerror}); check its permissions") from error
        return cls._of(_from_columns(ids, time, str(path), lambda i: f"{path}, row {i}"))

    @classmethod
    def coerce(cls, x: Stimulus | Mapping[Id, ArrayLike] | str | os.PathLike[str] | None) -> Stimulus:
        """A stimulus from whatever a user may hand over: one of these, times by synapse id, a path, or nothing."""
        if x is None:
            return cls()
        if isinstance(x, Stimulus):
            return x
        if isinstance(x, Mapping):
            return cls(x)
        if isinstance(x, str | os.PathLike):
            return cls.load(x)
        raise InputError(
            f"photons: {type(x).__name__} is none of a dict of times by synapse id, a Stimulus or a path; "
            'give for example {"s1": [10.0, 60.0]}'
        )

    @classmethod
    def _of(cls, trains: Mapping[Id, NDArray[np.float64]], drives: Iterable[Drive] = ()) -> Stimulus:
        """From trains that are known to be right."""
        made = cls.__new__(cls)
        made._photons = _frozen(trains)
        made._drives = tuple(drives)
        return made

    # ---- looking at it ----

    @property
    def photons(self) -> Mapping[Id, NDArray[np.float64]]:
        """Arrival times (ns, ascending, read-only) by synapse id."""
        return self._photons

    @property
    def drives(self) -> list[Drive]:
        """The flux drives, a new list."""
        return list(self._drives)

    @property
    def synapses(self) -> list[Id]:
        """The ids that have a train, sorted; integers first."""
        return sorted(self._photons, key=_id_order)

    @property
    def count(self) -> int:
        """The number of photons."""
        if isinstance(self._photons, _Trains):
            return self._photons.time.size
        return sum(train.size for train in self._photons.values())

    @property
    def duration(self) -> float:
        """The time (ns) of the last photon, point or pulse start; 0 for an empty stimulus."""
        last = [float(train[-1]) for train in self._photons.values() if train.size]
        for drive in self._drives:
            last += [point[0] for point in drive.points or ()]
            last += [pulse.t0 for pulse in drive.pulses or ()]
            last += [t for t, _ in drive.quanta or ()]
        return max(last, default=0.0)

    def __eq__(self, other: object) -> bool:
        """The same photons and the same drives; a train without photons is no difference."""
        if not isinstance(other, Stimulus):
            return NotImplemented
        mine = {key: train for key, train in self._photons.items() if train.size}
        theirs = {key: train for key, train in other._photons.items() if train.size}
        return (
            mine.keys() == theirs.keys()
            and all(np.array_equal(train, theirs[key]) for key, train in mine.items())
            and self._drives == other._drives
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return Stimulus._of, ({key: np.array(train) for key, train in self._photons.items()}, self._drives)

    def __repr__(self) -> str:
        return (
            f"<Stimulus: {self.count} photons at {len(self._photons)} synapses, {len(self._drives)} drives, "
            f"last at {self.duration:g} ns>"
        )

    # ---- changing it ----

    def __add__(self, other: Stimulus) -> Stimulus:
        """Both stimuli at once: trains of the same synapse are merged, drives add up."""
        return _merged([self, other]) if isinstance(other, Stimulus) else NotImplemented

    def merge(self, other: Stimulus | Mapping[Id, ArrayLike] | str | os.PathLike[str] | None) -> Stimulus:
        """This stimulus and another at once; takes whatever `coerce` takes."""
        return _merged([self, Stimulus.coerce(other)])

    def shifted(self, dt: float) -> Stimulus:
        """Everything ``dt`` ns later (earlier if negative).

        Raises:
            InputError: a photon would arrive before 0 or past the range of the clock.
        """
        dt = _number(dt, "Stimulus.shifted.dt", "ns")
        drives = [_retimed(drive, 1.0, dt, 1.0) for drive in self._drives]
        return Stimulus({key: train + dt for key, train in self._photons.items()}, drives)

    def scaled(self, *, time: float = 1.0, flux: float = 1.0) -> Stimulus:
        """Stretched in time about 0, and with stronger or weaker drives.

        Args:
            time: factor on every photon time, drive point, pulse start and pulse time constant; above 0.
            flux: factor on the flux of every drive; any finite number.

        Raises:
            InputError: a factor is out of range, or a time is moved past the range of the clock.
        """
        time = _number(time, "Stimulus.scaled.time", "a factor", above=0.0)
        flux = _number(flux, "Stimulus.scaled.flux", "a factor")
        drives = [_retimed(drive, time, 0.0, flux) for drive in self._drives]
        return Stimulus({key: train * time for key, train in self._photons.items()}, drives)

    def restricted(self, t0: float = 0.0, t1: float = math.inf) -> Stimulus:
        """Only the photons with ``t0 <= t < t1`` (ns). Drives stay whole: a flux does not stop at a window's edge."""
        if math.isnan(t0) or math.isnan(t1) or t1 < t0:
            raise InputError(f"Stimulus.restricted: from {t0} to {t1} ns is no interval; give t0 <= t1")
        cut = {key: train[slice(*np.searchsorted(train, [t0, t1]))] for key, train in self._photons.items()}
        return Stimulus._of(cut, self._drives)

    def relabel(self, mapping: Mapping[Id, Id] | Callable[[Id], Id]) -> Stimulus:
        """The same photons at other synapses.

        Args:
            mapping: new id by old id (ids that it does not have stay), or a function of the id. Trains that get the
                same id are merged. Targets of drives, which are dendrites and somas, stay.

        Raises:
            InputError: a new id can not be one.
        """
        new = mapping if callable(mapping) else lambda key: mapping.get(key, key)
        faults, parts = [], []
        for key, train in self._photons.items():
            label = new(key)
            fault = _id_fault(label)
            if fault:
                faults.append(f"Stimulus.relabel: {key!r} becomes {label!r}: {fault}")
            else:
                parts.append(Stimulus._of({_plain(label): train}))
        if faults:
            raise InputError(faults)
        return _merged([*parts, Stimulus._of({}, self._drives)])

    # ---- giving it away ----

    def lower(
        self, synapse_ids: Sequence[str], order: ArrayLike | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The photons as an engine wants them: one canonical row each, whatever the order in which they were given.

        Args:
            synapse_ids: the ids of all synapses of the network, in the order to which the returned indices refer.
            order: rank of each of them (integers, shape (len(synapse_ids),)), which decides between photons that arrive
                in the same femtosecond; by default the alphabetical order of the ids.

        Returns:
            ``(time_fs, synapse_index)``, both int64 of shape (count,), sorted by (time, rank, index). Times are rounded
            to femtoseconds, half to even.

        Raises:
            InputError: a train is for a synapse that the network does not have; lists every such id, with the nearest
                known one.
        """
        ids: Sequence[str] = synapse_ids
        position: Mapping[str, int]
        rank: NDArray[np.int64] | None = None
        if order is None and hasattr(ids, "places"):  # TiledIds: ascending, and never spelled out
            alphabetical, position = ids, ids.places
        else:
            ids = list(ids)
            position = {key: index for index, key in enumerate(ids)}
            alphabetical = sorted(ids)
            rank = np.empty(len(ids), dtype=np.int64)
            rank[[position[key] for key in alphabetical]] = np.arange(len(ids))
            if order is not None:
                rank = np.asarray(order, dtype=np.int64)
        if rank is not None and rank.shape != (len(ids),):
            raise InputError(f"Stimulus.lower.order: shape {rank.shape} is not one rank for each of {len(ids)} ids")
        if isinstance(self._photons, _Trains):
            faults = [_no_position(key, len(ids)) for key in self._photons.known.tolist() if key >= len(ids)]
            if faults:
                raise InputError(_capped(faults))
            where = self._photons.position
            if rank is not None:
                where = np.array([position[key] for key in alphabetical], dtype=np.int64)[where]
            time_fs = ns_to_fs(self._photons.time)
        else:
            time_fs, where = self._gathered(alphabetical, position)
        row = np.lexsort((where, time_fs) if rank is None else (where, rank[where], time_fs))
        return time_fs[row], where[row]

    def _gathered(
        self, alphabetical: Sequence[str], position: Mapping[str, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Times (fs) and synapses of all photons, train by train."""
        faults, times, index = [], [np.empty(0)], [np.empty(0, dtype=np.int64)]
        for key in self.synapses:
            name = key
            if isinstance(key, int):
                if key >= len(alphabetical):
                    faults.append(_no_position(key, len(alphabetical)))
                    continue
                name = alphabetical[key]
            if name not in position:
                hint = nearest(str(name), position) if len(faults) < _LISTED else ""
                faults.append(f"photons[{name!r}]: the network has no synapse of this id{hint}; rename or remove it")
                continue
            train = self._photons[key]
            times.append(train)
            index.append(np.full(train.size, position[str(name)], dtype=np.int64))
        if faults:
            raise InputError(faults)
        return ns_to_fs(np.concatenate(times)), np.concatenate(index)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the photons to a CSV, NPZ or HDF5 file; `load` gives the same stimulus back, to the last bit.

        The file appears whole or not at all: it is written under another name beside its place and then renamed.

        Args:
            path: the suffix (``.csv``, ``.npz``, ``.h5``, ``.hdf5``) tells the format.
            overwrite: replace an existing file.

        Raises:
            InputError: the file exists, its folder does not, the suffix is unknown, or the stimulus holds what a photon
                file can not: flux drives, a mixture of ids and positions, or (CSV) positions at all.
        """
        path = Path(path)
        kind = _kind(path)
        ids, time = self._columns(path, kind)
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file in it, such as {path / 'photons.csv'}")
        if not path.parent.is_dir():
            raise InputError(f"{path}: its folder {path.parent} does not exist; make it first")
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists already; choose another name or pass overwrite=True")
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            {"CSV": _write_csv, "NPZ": _write_npz, "HDF5": _write_hdf5}[kind](part, ids, time)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def _columns(self, path: Path, kind: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
        faults = []
        if self._drives:
            faults.append(
                f"{path}: a photon file holds no flux drives ({len(self._drives)} here); put them under drives: in the "
                "network file and save Stimulus(stimulus.photons)"
            )
        keys = [key for key in self.synapses if self._photons[key].size]
        integers = [key for key in keys if isinstance(key, int)]
        if integers and kind == "CSV":
            faults.append(f"{path}: CSV holds ids, not positions such as {integers[0]}; relabel, or save NPZ or HDF5")
        elif integers and len(integers) < len(keys):
            faults.append(f"{path}: ids such as {keys[-1]!r} and positions such as {integers[0]} do not mix; relabel")
        if faults:
            raise InputError(faults)
        trains = [self._photons[key] for key in keys]
        code = np.repeat(np.arange(len(keys)), [train.size for train in trains])
        time = np.concatenate([np.empty(0), *trains])
        row = np.lexsort((code, time))
        ids = np.array(keys, dtype=np.int64 if integers else np.str_)
        return ids[code[row]], time[row]


# ---- generators ----


def poisson(ids: Sequence[Id], rate: Any, duration: float, *, seed: int, t0: float = 0.0) -> Stimulus:
    """Independent Poisson trains.

    Args:
        ids: synapse ids, all different.
        rate: mean photons per ns, 0 or above: a number, a quantity such as ``"20 MHz"``, one of these for each id, or a
            mapping by id.
        duration: length of the trains (ns), above 0.
        seed: 0 to 2**63 - 1. A train is a function of the seed, its own id and its own rate: other ids change nothing,
            and a longer duration only adds photons at its end. Promised for one version of numpy.
        t0: start of the trains (ns), 0 or later. Photons lie in [t0, t0 + duration).

    Raises:
        InputError: an argument is out of range, or more than 1e9 photons are expected.
    """
    place = "stimulus.poisson"
    ids = _checked_ids(ids, place)
    rates = _rates(rate, ids, f"{place}.rate")
    duration = _number(duration, f"{place}.duration", "ns", above=0.0)
    t0 = _number(t0, f"{place}.t0", "ns", least=0.0)
    seed = _checked_seed(seed, f"{place}.seed")
    _check_expected(float(np.sum(rates)) * duration, place)
    return Stimulus(
        {
            key: t0 + _poisson_train(_generator(seed, "poisson", key), value, duration)
            for key, value in zip(ids, rates, strict=True)
        }
    )


def regular(
    ids: Sequence[Id], period: Any, start: Any, stop: float, *, jitter: float = 0.0, seed: int | None = None
) -> Stimulus:
    """A photon every period, in [start, stop), before jitter.

    Args:
        ids: synapse ids, all different.
        period: ns, above 0: a number, or one for each id.
        start: time of the first photon (ns), 0 or later: a number, or one for each id.
        stop: end (ns), not itself included.
        jitter: standard deviation (ns) of a normal deviation of each photon, 0 or above. A photon that would come
            before 0 comes at 0; the train is sorted again.
        seed: needed with a jitter; 0 to 2**63 - 1. The deviations are a function of the seed and the synapse's id.

    Raises:
        InputError: an argument is out of range, or more than 1e9 photons would be made.
    """
    place = "stimulus.regular"
    ids = _checked_ids(ids, place)
    periods = _per_id(period, ids, f"{place}.period", "ns", above=0.0)
    starts = _per_id(start, ids, f"{place}.start", "ns", least=0.0)
    stop = _number(stop, f"{place}.stop", "ns")
    jitter = _number(jitter, f"{place}.jitter", "ns", least=0.0)
    if jitter and seed is None:
        raise InputError(f"{place}.seed: None with a jitter of {jitter} ns; give a seed, 0 to 2**63 - 1")
    seed = _checked_seed(0 if seed is None else seed, f"{place}.seed")
    counts = np.maximum(np.ceil((stop - starts) / periods), 0.0)
    _check_expected(float(np.sum(counts)), place)
    trains = {}
    for key, step, first, count in zip(ids, periods, starts, counts, strict=True):
        train = first + step * np.arange(int(count))
        train = train[train < stop]
        if jitter:
            deviation = jitter * _generator(seed, "jitter", key).standard_normal(train.size)
            train = np.sort(np.maximum(train + deviation, 0.0))
        trains[key] = train
    return Stimulus(trains)


def in_sequence(stimuli: Iterable[Stimulus], interval: float) -> Stimulus:
    """One stimulus after another: the k-th is shifted by ``k * interval`` ns (0 or above) and all are merged."""
    interval = _number(interval, "stimulus.in_sequence.interval", "ns", least=0.0)
    return _merged([stimulus.shifted(k * interval) for k, stimulus in enumerate(stimuli)])


def flux_drive(target: str, times: ArrayLike, phi: ArrayLike) -> Stimulus:
    """A stimulus without photons and with one piecewise-linear flux drive.

    Args:
        target: id of the dendrite, or of the soma or neuron, that is driven.
        times: ns, ascending, shape (n,).
        phi: flux (Phi0) at these times, shape (n,).

    Raises:
        InputError: shapes differ, values are not finite, times do not ascend, or the drive can not be one.
    """
    place = f"stimulus.flux_drive({target!r})"
    t = _number_array(times, f"{place}.times", "times in ns")
    value = _number_array(phi, f"{place}.phi", "fluxes in Phi0")
    faults = [
        f"{place}.{name}[{i}]: {array[i]} is not finite; give a number"
        for name, array in (("times", t), ("phi", value))
        for i in np.flatnonzero(~np.isfinite(array))[:_LISTED]
    ]
    if t.size != value.size or not t.size:
        faults.append(f"{place}: {t.size} times and {value.size} fluxes; give as many of each, at least one")
    faults += [
        f"{place}.times[{i + 1}]: {t[i + 1]} ns is before {t[i]} ns; sort the points by time"
        for i in np.flatnonzero(np.diff(t) < 0)[:_LISTED]
    ]
    if faults:
        raise InputError(faults)
    return Stimulus(
        drives=[{"target": target, "points": [list(p) for p in zip(t.tolist(), value.tolist(), strict=True)]}]
    )


# ---- encoders ----


def latency(
    values: ArrayLike,
    ids: Sequence[Id],
    t_window: float,
    *,
    t0: float = 0.0,
    threshold: float = 0.0,
    tau: float | None = None,
) -> Stimulus | list[Stimulus]:
    """At most one photon a feature; the larger the value, the sooner.

    Linear: ``t = t0 + t_window (1 - v)`` for v >= threshold. With ``tau`` the time at which a node that charges towards
    v reaches the threshold: ``t = t0 + tau log(v/(v - threshold))`` for v > threshold, as far as it lies in the window.

    Args:
        values: numbers in [0, 1], shape (n_features,) or (n_samples, n_features).
        ids: n_features synapse ids, all different.
        t_window: length of the window (ns), above 0.
        t0: its start (ns), 0 or later.
        threshold: in [0, 1]; smaller values send nothing. Above 0 if there is a ``tau``.
        tau: charging time (ns), above 0, or None for the linear code.

    Returns:
        A stimulus; for two-dimensional values a list of them, one a sample (`in_sequence` puts them one after another).

    Raises:
        InputError: values outside [0, 1], not finite or of a wrong shape, or another argument out of range.
    """
    place = "stimulus.latency"
    t_window = _number(t_window, f"{place}.t_window", "ns", above=0.0)
    t0, threshold = _encoder_numbers(place, t0, threshold)
    if tau is not None:
        tau = _number(tau, f"{place}.tau", "ns", above=0.0)
        if threshold == 0:
            raise InputError(f"{place}.threshold: 0 with a tau puts every photon at t0; give a threshold in (0, 1)")

    def times(v: NDArray[np.float64]) -> NDArray[np.float64]:
        if tau is None:
            return np.where(v >= threshold, t0 + t_window * (1.0 - v), np.nan)
        excess = v - threshold
        reached = excess > 0
        delay = tau * np.log(v / np.where(reached, excess, 1.0), out=np.zeros_like(v), where=reached)
        return np.where(reached & (delay <= t_window), t0 + delay, np.nan)

    return _encoded(values, ids, place, lambda v: times(v)[:, None])


def rank_order(
    values: ArrayLike, ids: Sequence[Id], step: float, *, t0: float = 0.0, threshold: float = 0.0
) -> Stimulus | list[Stimulus]:
    """One photon a feature with v >= threshold, in descending order of value, ``step`` ns apart.

    The largest value comes at t0; equal values come together and count as one rank, so that the order of the features
    does not matter. Arguments, result and errors otherwise as for `latency`; ``step`` is in ns, above 0.
    """
    place = "stimulus.rank_order"
    step = _number(step, f"{place}.step", "ns", above=0.0)
    t0, threshold = _encoder_numbers(place, t0, threshold)

    def times(v: NDArray[np.float64]) -> NDArray[np.float64]:
        kept = v >= threshold
        rank = np.unique(-v[kept], return_inverse=True)[1]
        result = np.full(v.shape, np.nan)
        result[kept] = t0 + step * rank
        return result

    return _encoded(values, ids, place, lambda v: times(v)[:, None])


def rate(
    values: ArrayLike, ids: Sequence[Id], max_rate: Any, duration: float, *, seed: int, t0: float = 0.0
) -> Stimulus | list[Stimulus]:
    """Poisson trains whose mean rate is the value times ``max_rate``.

    Args:
        values: numbers in [0, 1], shape (n_features,) or (n_samples, n_features).
        ids: n_features synapse ids, all different.
        max_rate: photons per ns at v = 1, 0 or above, or a quantity such as ``"20 MHz"``.
        duration: length of the trains (ns), above 0.
        seed: 0 to 2**63 - 1. A train is a function of the seed, its own id, its own value and the number of its sample;
            one-dimensional values are sample 0. Promised for one version of numpy.
        t0: start of the trains (ns), 0 or later.

    Returns:
        A stimulus; for two-dimensional values a list of them, one a sample.

    Raises:
        InputError: as for `latency`, or more than 1e9 photons are expected.
    """
    place = "stimulus.rate"
    top = float(_rates(max_rate, [0], f"{place}.max_rate")[0])
    duration = _number(duration, f"{place}.duration", "ns", above=0.0)
    t0 = _number(t0, f"{place}.t0", "ns", least=0.0)
    seed = _checked_seed(seed, f"{place}.seed")
    samples, names, single = _samples(values, ids, place)
    _check_expected(float(samples.sum()) * top * duration, place)
    result = [
        Stimulus(
            {
                key: t0 + _poisson_train(_generator(seed, "rate", key, number), float(value) * top, duration)
                for key, value in zip(names, sample, strict=True)
            }
        )
        for number, sample in enumerate(samples)
    ]
    return result[0] if single else result


def phase(
    values: ArrayLike, ids: Sequence[Id], period: float, cycles: int, *, t0: float = 0.0, threshold: float = 0.0
) -> Stimulus | list[Stimulus]:
    """One photon a feature and cycle, the earlier in the cycle the larger the value: ``t0 + period (c + 1 - v)``.

    Features with v > threshold take part: a value of 0 has no phase of its own, it would fall on the next cycle's 1.

    Args:
        period: length of a cycle (ns), above 0.
        cycles: number of cycles, 1 or more.

    Other arguments, result and errors as for `latency`.
    """
    place = "stimulus.phase"
    period = _number(period, f"{place}.period", "ns", above=0.0)
    if isinstance(cycles, bool) or not isinstance(cycles, int | np.integer) or cycles < 1:
        raise InputError(f"{place}.cycles: {cycles!r} is not a whole number of cycles; give 1 or more")
    t0, threshold = _encoder_numbers(place, t0, threshold)
    cycle = np.arange(int(cycles))

    def times(v: NDArray[np.float64]) -> NDArray[np.float64]:
        t = t0 + period * (cycle[None, :] + (1.0 - v)[:, None])
        return np.where((v > threshold)[:, None], t, np.nan)

    return _encoded(values, ids, place, times)


# ---- event arrays ----


def from_events(
    events: NDArray[Any],
    synapse: str | tuple[int, int] | Callable[[int, int, int], Id | None] = "s_{x}_{y}_{p}",
    *,
    unit: str = "us",
    downsample: int | tuple[int, int] = 1,
    origin: float | str = 0,
) -> Stimulus:
    """Photons from the events of an event camera or a silicon cochlea.

    Args:
        events: structured array of shape (n,) with the integer fields ``x``, ``y`` (0 or above) and ``p`` (polarity: 0
            or -1 for off, 1 for on, or a boolean), and ``t``, a number; in any order, other fields are ignored. Without
            ``y`` (one-dimensional sensors) y is 0, without ``p`` polarity is 0. The events of each synapse must ascend.
        synapse: which synapse an event goes to: a format string with ``{x}``, ``{y}``, ``{p}`` (format specifications
            such as ``{x:03d}`` are allowed; leaving one out merges what it tells apart); a function of (x, y, p) that
            returns an id, or None to drop the event; or the shape (ny, nx) of a grid of synapses, which means position
            ``(p ny + y) nx + x`` in the sorted list of synapse ids. Polarity is 0 or 1 here, x and y are downsampled.
        unit: unit of t: ps, ns, us, ms or s.
        downsample: x and y are divided by this (rounded down), 1 or more; or (factor of y, factor of x).
        origin: subtracted from t, in its unit; ``"first"`` is the first event's t.

    Raises:
        InputError: a field is missing or of a wrong kind, values are out of range, an event falls off the grid, or
            events do not ascend.
    """
    place = "stimulus.from_events"
    if unit not in _TO_NS:
        raise InputError(f"{place}.unit: {unit!r} is not one of {', '.join(_TO_NS)}{nearest(unit, _TO_NS)}")
    fields = _event_fields(events, place)
    if isinstance(downsample, int | np.integer):
        downsample = (int(downsample), int(downsample))
    if len(downsample) != 2 or any(not isinstance(f, int | np.integer) or f < 1 for f in downsample):
        raise InputError(f"{place}.downsample: {downsample!r} is not a whole factor; give 1 or more, or two for (y, x)")
    y, x, p = fields["y"] // downsample[0], fields["x"] // downsample[1], fields["p"]
    t = fields["t"]
    if t.size and isinstance(origin, str):
        if origin != "first":
            raise InputError(f"{place}.origin: {origin!r} is neither a number nor 'first'")
        origin = t[0]
    time = (t - (0 if isinstance(origin, str) else origin)).astype(np.float64) * _TO_NS[unit]
    label = _event_label(synapse, place)
    columns = int(x.max(initial=0)) + 1
    rows = int(y.max(initial=0)) + 1
    kinds, code = np.unique((p * rows + y) * columns + x, return_inverse=True)
    faults: list[str] = []
    keys: list[Id | None] = []
    for kind in kinds.tolist():
        event = (kind % columns, kind // columns % rows, kind // columns // rows)
        try:
            key = label(*event)
        except InputError as error:
            faults += error.faults
            continue
        fault = None if key is None else _id_fault(key)
        if fault:
            faults.append(f"{place}.synapse: event x, y, p = {event} goes to {key!r}: {fault}")
        keys.append(None if key is None else _plain(key))
    if faults:
        raise InputError(_capped(faults))
    names = sorted({key for key in keys if key is not None}, key=_id_order)
    number = {key: i for i, key in enumerate(names)}
    target = np.array([-1 if key is None else number[key] for key in keys], dtype=np.intp)[code.reshape(-1)]
    kept = np.flatnonzero(target >= 0)
    time, target = time[kept], target[kept]
    faults = _time_faults(
        time, target, lambda i: f"{place}: events[{kept[i]}]", "sort them (np.sort(events, order='t'))"
    )
    if faults:
        raise InputError(faults)
    return Stimulus._of(_grouped(names, target, time))


def _event_fields(events: NDArray[Any], place: str) -> dict[str, NDArray[Any]]:
    events = np.asarray(events)
    names = events.dtype.names
    if names is None or events.ndim != 1:
        raise InputError(
            f"{place}.events: an array of shape {events.shape} and type {events.dtype} is no list of events; give a "
            "structured array of shape (n,) with the fields t, x, y, p"
        )
    faults, fields = [], {}
    for name in ("t", "x", "y", "p"):
        if name not in names:
            if name in "tx":
                found = ", ".join(names)
                faults.append(
                    f"{place}.events: there is no field {name!r}, only {found}{nearest(name, names)}; rename it"
                )
            else:
                fields[name] = np.zeros(events.shape, dtype=np.int64)
            continue
        column = events[name]
        kinds = {"t": "iuf", "p": "biu"}.get(name, "iu")
        if column.dtype.kind not in kinds or column.ndim != 1:
            faults.append(
                f"{place}.events: field {name!r} has the type {column.dtype}; it must hold "
                f"{'numbers' if name == 't' else 'integers'}"
            )
            continue
        if column.dtype.kind != "f":
            if column.dtype.kind == "u" and column.size and column.max() > 2**62:
                faults.append(f"{place}.events: field {name!r} reaches {column.max()}, beyond 2**62; check its type")
                continue
            column = column.astype(np.int64)
        if name == "p":
            wrong, bound = np.flatnonzero((column < -1) | (column > 1)), "-1, 0 or 1"
            column = (column > 0).astype(np.int64)
        elif name == "t":
            wrong, bound = np.empty(0, dtype=np.intp), ""
        else:
            wrong, bound = np.flatnonzero((column < 0) | (column >= 2**28)), "0 to 2**28 - 1"
        faults += _capped(
            [f"{place}: events[{i}]: {name} = {events[name][i]} is out of range; it must be {bound}" for i in wrong]
        )
        fields[name] = column
    if faults:
        raise InputError(faults)
    return fields


def _event_label(synapse: Any, place: str) -> Callable[[int, int, int], Id | None]:
    place = f"{place}.synapse"
    if callable(synapse):
        return synapse
    if isinstance(synapse, str):
        try:
            used = {name for _, name, _, _ in string.Formatter().parse(synapse) if name is not None}
            unknown = sorted(used - {"x", "y", "p"})
            if not unknown:
                synapse.format(x=0, y=0, p=0)
        except ValueError as error:
            raise InputError(
                f"{place}: {synapse!r} is no format string ({error}); write it like 's_{{x}}_{{y}}_{{p}}'"
            ) from error
        if unknown or not used:
            what = f"uses {{{unknown[0]}}}" if unknown else "uses none of them"
            raise InputError(f"{place}: {synapse!r} {what}; a format string has the fields {{x}}, {{y}} and {{p}}")
        return lambda x, y, p: synapse.format(x=x, y=y, p=p)
    shape = tuple(synapse) if isinstance(synapse, Iterable) else ()
    if len(shape) == 2 and all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        ny, nx = (int(n) for n in shape)

        def position(x: int, y: int, p: int) -> int:
            if x >= nx or y >= ny:
                raise InputError(
                    f"{place}: event at x, y = {x}, {y} is outside the grid (ny, nx) = ({ny}, {nx}); "
                    "enlarge the grid or the downsampling factor"
                )
            return (p * ny + y) * nx + x

        return position
    raise InputError(f"{place}: {synapse!r} is neither a format string, a function of (x, y, p) nor a shape (ny, nx)")


# ---- files ----


def _kind(path: Path) -> str:
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(_SUFFIXES)
        raise InputError(
            f"{path}: the suffix {path.suffix!r} is not that of a photon file{nearest(path.suffix, _SUFFIXES)}; "
            f"use one of {known}"
        )
    return kind


def _check_readable(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a photon file in it")
    if not path.exists():
        beside = os.listdir(path.parent) if path.parent.is_dir() else []
        raise InputError(f"{path}: there is no such file{nearest(path.name, beside)}; check the name")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; a photon file has the columns synapse and time")


def _read_csv(path: Path) -> tuple[NDArray[Any], NDArray[np.float64], list[int], list[str]]:
    """Ids and times, the line that each stands on, and the faults of the lines that hold neither."""
    wanted = "the first line must be 'synapse,time'"
    faults: list[str] = []
    ids: list[str] = []
    times: list[float] = []
    lines: list[int] = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next((row for row in reader if row), None)
            if header is None:
                raise InputError(f"{path}: the file is empty; {wanted}")
            columns = _csv_columns([cell.strip() for cell in header], path, reader.line_num, wanted)
            for row in reader:
                if not row:
                    continue
                place = f"{path}, line {reader.line_num}"
                if len(row) != 2:
                    faults.append(f"{place}: {len(row)} values instead of 2 (synapse, time); one photon a line")
                    continue
                name, cell = row[columns[0]].strip(), row[columns[1]].strip()
                try:
                    time = float(cell.replace("_", "?"))
                except ValueError:
                    faults.append(f"{place}: time {cell!r} is not a number; give ns without a unit")
                    continue
                if not name:
                    faults.append(f"{place}: the synapse id is missing; give one before the time {cell}")
                    continue
                ids.append(name)
                times.append(time)
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: is not CSV ({error}); check the quotes") from error
    return np.array(ids, dtype=np.str_), np.array(times, dtype=np.float64), lines, _capped(faults)


def _csv_columns(header: list[str], path: Path, line: int, wanted: str) -> tuple[int, int]:
    """Where synapse and time stand."""
    place = f"{path}, line {line}"
    if sorted(header) == sorted(_COLUMNS):
        return header.index("synapse"), header.index("time")
    if len(header) == 1 and re.search(r"[;\t]", header[0]):
        raise InputError(f"{place}: {header[0]!r} is not separated by commas; {wanted}")
    if len(header) == 2 and any(_is_number(cell) for cell in header):
        raise InputError(f"{place}: {','.join(header)!r} is a photon, the header is missing; {wanted}")
    faults = [
        f"{place}: unknown column {cell!r}{nearest(cell.lower(), _COLUMNS)}; {wanted}"
        for cell in header
        if cell not in _COLUMNS
    ]
    faults += [f"{place}: there is no column {name!r}; {wanted}" for name in _COLUMNS if name not in header]
    raise InputError(faults or f"{place}: {','.join(header)!r} names a column twice; {wanted}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            raise InputError(f"{path}: is not an NPZ file; write one with Stimulus.save or numpy.savez")
    try:
        with np.load(path, allow_pickle=False) as archive:
            _check_columns(path, archive.files, "array")
            found = []
            for name in _COLUMNS:
                try:
                    found.append(np.asarray(archive[name]))
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    raise InputError(
                        f"{path}: array {name!r} holds Python objects, which are not read; "
                        "save ids with dtype=str and times with dtype=float"
                    ) from error
    except InputError:
        raise
    except Exception as error:  # whatever a damaged archive makes zipfile, zlib and numpy raise is a fault of the file
        raise InputError(f"{path}: is truncated or damaged ({error}); write it again") from error
    return found[0], found[1]


def _read_hdf5(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    import h5py

    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: is not an HDF5 file; write one with Stimulus.save or h5py")
    try:
        with h5py.File(path, "r") as file:
            _check_columns(path, list(file), "dataset")
            found = []
            for name in _COLUMNS:
                dataset = file[name]
                if not isinstance(dataset, h5py.Dataset):
                    raise InputError(f"{path}: {name!r} is a group; it must be a dataset of shape (n,)")
                text = h5py.check_string_dtype(dataset.dtype) is not None
                found.append(np.asarray(dataset.asstr()[...] if text else dataset[...]))
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes the HDF5 library raise is a fault of the file
        raise InputError(f"{path}: is truncated or damaged ({error}); write it again") from error
    return found[0], found[1]


def _check_columns(path: Path, names: list[str], kind: str) -> None:
    faults = [
        f"{path}: there is no {kind} {name!r}, only {', '.join(map(repr, names)) or 'nothing'}{nearest(name, names)}; "
        f"a photon file has 'synapse' and 'time'"
        for name in _COLUMNS
        if name not in names
    ]
    faults += [
        f"{path}: unknown {kind} {name!r}{nearest(name, _COLUMNS)}; a photon file has 'synapse' and 'time' only"
        for name in names
        if name not in _COLUMNS
    ]
    if faults:
        raise InputError(faults)


def _write_csv(path: Path, ids: NDArray[Any], time: NDArray[np.float64]) -> None:
    with open(path, "x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(zip(ids.tolist(), map(repr, time.tolist()), strict=True))


def _write_npz(path: Path, ids: NDArray[Any], time: NDArray[np.float64]) -> None:
    with open(path, "xb") as file:
        np.savez_compressed(file, synapse=ids, time=time)


def _write_hdf5(path: Path, ids: NDArray[Any], time: NDArray[np.float64]) -> None:
    import h5py

    with h5py.File(path, "x") as file:
        if ids.dtype.kind == "U":
            file.create_dataset("synapse", data=ids.astype(object), dtype=h5py.string_dtype())
        else:
            file["synapse"] = ids
        file["time"] = time
        file["time"].attrs["unit"] = "ns"


# ---- trains ----


def _from_columns(
    synapse: NDArray[Any],
    time: ArrayLike,
    place: str,
    where: Callable[[int], str],
    earlier: Sequence[str] = (),
) -> Mapping[Id, NDArray[np.float64]]:
    """Trains from one row a photon; of positions, as two columns.

    ``where`` names the place of row i; ``earlier`` are faults that were found before and are reported with the others.
    """
    times = _number_array(time, f"{place}: time", "times in ns")
    if synapse.ndim != 1:
        raise InputError(f"{place}: synapse has the shape {synapse.shape}; give one id a photon, shape (n,)")
    if synapse.size != times.size:
        raise InputError(f"{place}: {synapse.size} synapses and {times.size} times; give as many of each")
    if not synapse.size:
        if earlier:
            raise InputError(earlier)
        return {}
    kind = synapse.dtype.kind
    if kind == "S":
        try:
            synapse = np.char.decode(synapse, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{place}: synapse ids are not UTF-8 ({error.reason}); save them as text") from error
    elif kind == "O":
        other = next((i for i, key in enumerate(synapse) if not isinstance(key, str)), None)
        if other is not None:
            raise InputError(
                f"{where(other)}: {synapse[other]!r} is no synapse id; give strings, or integers throughout"
            )
        synapse = synapse.astype(np.str_)
    elif kind not in "Uiu":
        raise InputError(f"{place}: synapse has the type {synapse.dtype}; give ids (strings) or positions (integers)")
    unique, first, code = np.unique(synapse, return_index=True, return_inverse=True)
    keys: list[Id] = unique.tolist() if kind not in "iu" else []
    unnamed = []
    doubtful = keys if kind not in "iu" else unique[unique < 0].tolist()
    for key, row in zip(doubtful, first.tolist(), strict=False):
        fault = _id_fault(key)
        if fault:
            unnamed.append(f"{where(row)}: synapse {key!r}: {fault}")
    faults = list(earlier) + _capped(unnamed) + _time_faults(times, code, where, "sort the rows by time")
    if faults:
        raise InputError(faults)
    if kind in "iu":
        row = np.lexsort((times, code))
        return _Trains(synapse[row].astype(np.int64), times[row] + 0.0)
    return _grouped(keys, code, times)


def _no_position(key: int, count: int) -> str:
    if not count:
        return f"photons[{key}]: the network has no synapses; add one or leave the photons out"
    return (
        f"photons[{key}]: there is no synapse at position {key} because the network has {count}; positions run from 0 "
        f"to {count - 1}"
    )


def _grouped(keys: Sequence[Id], code: NDArray[np.intp], time: NDArray[np.float64]) -> dict[Id, NDArray[np.float64]]:
    row = np.lexsort((time, code))
    ends = np.searchsorted(code[row], np.arange(1, len(keys)))
    return dict(zip(keys, np.split(time[row] + 0.0, ends), strict=True)) if len(keys) else {}


def _time_faults(
    time: NDArray[np.float64], code: NDArray[np.intp], where: Callable[[int], str], remedy: str
) -> list[str]:
    """Times that can not be, and pairs of one group (``code``) that do not ascend."""
    wrong = np.flatnonzero(~((time >= 0) & (time < _LATEST)))
    faults = []
    for i in wrong[:_LISTED].tolist():
        if time[i] < 0:
            why = f"{time[i]} ns is negative; times count from the start of the run, 0 or later"
        elif time[i] >= _LATEST:
            why = f"{time[i]} ns is past the range of the clock ({_LATEST:.4g} ns, 77 minutes); check the unit"
        else:
            why = "nan is not a time; leave the photon out"
        faults.append(f"{where(i)}: {why}")
    row = np.argsort(code, kind="stable")
    group, t = code[row], time[row]
    late = np.flatnonzero((group[1:] == group[:-1]) & (t[1:] < t[:-1]))
    disorder = [
        f"{where(int(row[j + 1]))}: {t[j + 1]} ns comes after {t[j]} ns ({where(int(row[j]))}) on the same synapse; "
        f"times must ascend: {remedy}"
        for j in late[:_LISTED].tolist()
    ]
    return _capped(faults, wrong.size) + _capped(disorder, late.size)


def _capped(faults: list[str], total: int | None = None) -> list[str]:
    """The first faults of one kind, and how many more there are."""
    more = (len(faults) if total is None else total) - _LISTED
    return [*faults[:_LISTED], f"... and {more} more of this kind"] if more > 0 else faults


def _indexed(place: str) -> Callable[[int], str]:
    return lambda i: f"{place}[{i}]"


def _frozen(trains: Mapping[Id, NDArray[np.float64]]) -> Mapping[Id, NDArray[np.float64]]:
    if isinstance(trains, _Trains):
        trains.time.setflags(write=False)
        return trains
    for train in trains.values():
        train.setflags(write=False)
    return MappingProxyType(dict(trains))


def _merged(stimuli: Sequence[Stimulus]) -> Stimulus:
    pieces: dict[Id, list[NDArray[np.float64]]] = {}
    for stimulus in stimuli:
        for key, train in stimulus.photons.items():
            pieces.setdefault(key, []).append(train)
    trains = {key: parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts)) for key, parts in pieces.items()}
    return Stimulus._of(trains, [drive for stimulus in stimuli for drive in stimulus.drives])


# ---- ids, drives and random streams ----


def _id_order(key: Id) -> tuple[bool, Any]:
    return isinstance(key, str), key


def _plain(key: Any) -> Id:
    return str(key) if isinstance(key, str) else int(key)


def _id_fault(key: Any) -> str | None:
    if isinstance(key, str):
        if not key or key != key.strip() or not key.isprintable():
            return "a synapse id is a printable string that neither is empty nor begins or ends with a space"
    elif isinstance(key, bool | np.bool_) or not isinstance(key, int | np.integer):
        return "a synapse is named by its id (a string) or by its position in the sorted list of ids (an integer)"
    elif key < 0:
        return "a position in the sorted list of synapse ids is 0 or above"
    return None


def _as_drive(drive: Any) -> Drive:
    from soen_event.parts import Drive, detached, made

    if isinstance(drive, Drive):
        return drive
    if not isinstance(drive, Mapping):
        raise InputError(
            f"Stimulus.drives: {type(drive).__name__} is no drive; give a Drive, or a dict with target and points, "
            "pulses or quanta"
        )
    with detached():  # it belongs to the stimulus, not to a network under construction
        return made(Drive, drive)


def _retimed(drive: Drive, stretch: float, dt: float, flux: float) -> Drive:
    """The drive with times ``t -> stretch t + dt`` and its flux multiplied."""
    from soen_event.parts import detached

    changes: dict[str, Any] = {}
    with detached():
        if drive.points is not None:
            changes["points"] = tuple((stretch * t + dt, flux * phi) for t, phi in drive.points)
        if drive.quanta is not None:
            changes["quanta"] = tuple((stretch * t + dt, flux * n) for t, n in drive.quanta)
        if drive.pulses is not None:
            changes["pulses"] = tuple(
                dataclasses.replace(
                    pulse,
                    t0=stretch * pulse.t0 + dt,
                    phi_peak=flux * pulse.phi_peak,
                    tau_rise=stretch * pulse.tau_rise,
                    tau_fall=stretch * pulse.tau_fall,
                )
                for pulse in drive.pulses
            )
        return dataclasses.replace(drive, **changes)


def _generator(seed: int, purpose: str, key: Id, ordinal: int = 0) -> np.random.Generator:
    """The random stream of one synapse: Philox keyed by the seed and a hash of (purpose, id, ordinal)."""
    digest = hashlib.blake2b(f"{key!r}\0{ordinal}".encode(), digest_size=8, person=purpose.encode()).digest()
    words = np.array([seed, int.from_bytes(digest, "little")], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def _poisson_train(random: np.random.Generator, rate: float, duration: float) -> NDArray[np.float64]:
    """Sums of exponential gaps; neither the duration nor the size of the blocks changes their values."""
    end = rate * duration * (1.0 + 1e-9)  # in mean gaps, so that no rate is too small to divide by
    pieces = [np.empty(0)]
    last = 0.0
    while last < end:
        rest = end - last
        gaps = random.standard_exponential(int(rest + 4.0 * math.sqrt(rest)) + 8)
        gaps[0] += last
        pieces.append(np.cumsum(gaps))
        last = float(pieces[-1][-1])
    reached = np.concatenate(pieces)
    train = reached[reached < end] / rate if end else reached
    return train[train < duration]


# ---- arguments ----


def _number(value: Any, place: str, unit: str, *, least: float = -math.inf, above: float = -math.inf) -> float:
    bound = f" above {above:g}" if above > -math.inf else f", {least:g} or more" if least > -math.inf else ""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{place}: {value!r} is not a number; give {unit}{bound}")
    if not (math.isfinite(value) and value >= least and value > above):
        raise InputError(f"{place}: {value} is out of range; give {unit}{bound}")
    return float(value)


def _number_array(value: ArrayLike, place: str, what: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{place}: is ragged ({error}); give {what} as a flat list") from error
    if array.ndim != 1:
        hint = "put it in a list" if array.ndim == 0 else "flatten it"
        raise InputError(f"{place}: the shape {array.shape} is not one-dimensional; {hint}")
    if array.size and array.dtype.kind not in "iuf":
        raise InputError(f"{place}: the type {array.dtype} is not that of numbers; give {what}")
    return array.astype(np.float64)


def _per_id(value: Any, ids: Sequence[Id], place: str, unit: str, **bounds: float) -> NDArray[np.float64]:
    if isinstance(value, Mapping):
        missing = [key for key in ids if key not in value]
        if missing:
            raise InputError([f"{place}: nothing is given for {key!r}; add it" for key in missing])
        value = [value[key] for key in ids]
    if isinstance(value, Iterable) and not isinstance(value, str) and np.ndim(value) > 0:  # type: ignore[arg-type]
        items = list(value)
        if len(items) != len(ids):
            raise InputError(f"{place}: {len(items)} values for {len(ids)} ids; give one number, or one for each id")
        return np.array([_number(item, f"{place}[{i}]", unit, **bounds) for i, item in enumerate(items)])
    return np.full(len(ids), _number(value, place, unit, **bounds))


def _rates(rate: Any, ids: Sequence[Id], place: str) -> NDArray[np.float64]:
    """Photons per ns for each id."""

    def plain(value: Any) -> Any:
        return parse(value, "frequency", place) if isinstance(value, str) else value

    if isinstance(rate, Mapping):
        rate = {key: plain(value) for key, value in rate.items()}
    elif isinstance(rate, list | tuple):
        rate = [plain(value) for value in rate]
    return _per_id(plain(rate), ids, place, "photons per ns", least=0.0)


def _checked_ids(ids: Sequence[Id], place: str) -> list[Id]:
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise InputError(f"{place}.ids: {ids!r} is not a list of ids; give for example ['s1', 's2']")
    result = list(ids)
    faults = [f"{place}.ids[{i}]: {key!r}: {fault}" for i, key in enumerate(result) if (fault := _id_fault(key))]
    if not faults:
        result = [_plain(key) for key in result]
        seen: set[Id] = set()
        for i, key in enumerate(result):
            if key in seen:
                faults.append(f"{place}.ids[{i}]: {key!r} is there twice; every synapse has one train")
            seen.add(key)
    if faults:
        raise InputError(_capped(faults))
    return result


def _checked_seed(seed: Any, place: str) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError(f"{place}: {seed!r} is not a seed; give an integer, 0 to 2**63 - 1")
    return int(seed)


def _check_expected(count: float, place: str) -> None:
    if count > _MOST_PHOTONS:
        raise InputError(
            f"{place}: this makes about {count:.3g} photons, more than 1e9; lower the rate or the duration"
        )


def _samples(values: ArrayLike, ids: Sequence[Id], place: str) -> tuple[NDArray[np.float64], list[Id], bool]:
    """Values as (n_samples, n_features), the ids, and whether there was one sample without its own axis."""
    names = _checked_ids(ids, place)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{place}.values: is ragged ({error}); give as many features in every sample") from error
    if array.dtype.kind not in "iufb":
        raise InputError(f"{place}.values: the type {array.dtype} is not that of numbers; give numbers in [0, 1]")
    if array.ndim not in (1, 2) or array.shape[-1] != len(names):
        raise InputError(
            f"{place}.values: the shape {array.shape} does not fit {len(names)} ids; "
            f"give ({len(names)},) or (n_samples, {len(names)})"
        )
    array = array.astype(np.float64)
    wrong = np.argwhere(~((array >= 0) & (array <= 1)))
    faults = [
        f"{place}.values[{', '.join(map(str, at))}]: {array[tuple(at)]} is "
        + ("outside [0, 1]; scale the values" if np.isfinite(array[tuple(at)]) else "no number in [0, 1]; replace it")
        for at in wrong[:_LISTED].tolist()
    ]
    if faults:
        raise InputError(_capped(faults, len(wrong)))
    return np.atleast_2d(array), names, array.ndim == 1


def _encoder_numbers(place: str, t0: Any, threshold: Any) -> tuple[float, float]:
    t0 = _number(t0, f"{place}.t0", "ns", least=0.0)
    threshold = _number(threshold, f"{place}.threshold", "a number in [0, 1]", least=0.0)
    if threshold > 1:
        raise InputError(f"{place}.threshold: {threshold} is above 1, the largest value; give a number in [0, 1]")
    return t0, threshold


def _encoded(
    values: ArrayLike,
    ids: Sequence[Id],
    place: str,
    times: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Stimulus | list[Stimulus]:
    """One stimulus a sample; ``times(sample)`` gives (n_features, n_photons) with nan where there is none."""
    samples, names, single = _samples(values, ids, place)
    result = []
    for sample in samples:
        t = times(sample)
        feature, photon = np.nonzero(~np.isnan(t))
        time = t[feature, photon]
        faults = _time_faults(time, feature, lambda i, f=feature: f"{place}: {names[f[i]]!r}", "")  # type: ignore[misc]
        if faults:
            raise InputError(faults)
        trains = _grouped(names, feature, time)
        result.append(Stimulus._of({key: train for key, train in trains.items() if train.size}))
    return result[0] if single else result
