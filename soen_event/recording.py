"""Recordings: what a run left behind, in memory or in one HDF5 file that survives a kill.

*Tables* hold the events in the order in which they happened (:data:`TABLES`): times in int64 fs, rows of loops,
detectors and neurons in the order of the Plan. A *trace* row is the state of a loop after a change; from it current
and flux follow in closed form until the loop's next row. Sinks take tables while a run goes: :class:`MemorySink`
keeps them, :class:`FileSink` streams them to a file.

The file, ``soen-recording`` version 3 (HDF5, latest format, single-writer mode, 4 KiB pages):

* ``/header``: JSON, bytes. Network, drives, seed, engine, what was recorded, versions; ids of loops, detectors and
  neurons in row order.
* ``/tables/<table>/<column>``: chunked, checksummed. While a run goes only whole chunks are written and no chunk is
  written twice, so a kill in the middle of a write can not hurt a row that was there before.
* ``/commit/0``, ``/commit/1``: two slots, used in turn. A slot says how many rows of each table count, with a
  checksum of them, carries the rows that do not fill a chunk yet and the progress of the run, and has a checksum of
  itself. A kill while one slot is written leaves the other.

What :meth:`FileSink.commit` has returned for is *acknowledged*: it is there whatever happens to the process afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import numpy as np

from soen_event.engine.events import TRACE_COLUMNS, TRACE_FIELDS
from soen_event.engine.state import DETECTED, IN_DEAD_TIME, IN_HOTSPOT, MISSED
from soen_event.errors import InputError, nearest
from soen_event.physics.elementary import exp
from soen_event.physics.flow import cubic, turned
from soen_event.physics.loop import HELD, PANEL, PI, RUN, TWO_PI, leak_after, leaked, rest_phase

if TYPE_CHECKING:
    from types import FunctionType, TracebackType

    import neo
    import pandas
    import xarray
    from numpy.typing import ArrayLike, NDArray

    from soen_event.network import Network
    from soen_event.plan import Plan

FORMAT, VERSION = "soen-recording", 4
FATES = {DETECTED: "detected", IN_HOTSPOT: "in hotspot", IN_DEAD_TIME: "in dead time", MISSED: "missed"}
"""What became of a photon, by the number in the column ``fate``."""

_INT, _FLOAT = np.dtype("<i8"), np.dtype("<f8")
TABLES: dict[str, dict[str, tuple[np.dtype, tuple[int, ...]]]] = {
    "spikes": {"time_fs": (_INT, ()), "neuron": (_INT, ())},
    "fluxons": {"time_fs": (_INT, ()), "loop": (_INT, ())},
    "photons": {"time_fs": (_INT, ()), "detector": (_INT, ()), "fate": (_INT, ())},
    "trace": {"time_fs": (_INT, ()), "loop": (_INT, ()), "mode": (_INT, ()), "values": (_FLOAT, (TRACE_COLUMNS,))},
    "amplitudes": {"value": (_FLOAT, ())},
    "writes": {"time_fs": (_INT, ()), "site": (_INT, ()), "value": (_FLOAT, ())},
}
"""Columns of every table: data type and shape of one row. ``amplitudes`` holds, for each trace row in turn, its
loop's modes in Phi0."""

_OWNER = {"spikes": "neuron", "fluxons": "loop", "photons": "detector", "trace": "loop", "writes": "site"}
_COLUMNS = ("fluxons", "slip_loss", "leak_loss", "purge_loss", "q_end")  # of the progress, one number a loop
_PYTHON_POINTS = 5000  # so many points of currents are computed without compiling
_BOTTLENECK = 2.5  # 1/kappa of the saddle-node x' = f u + kappa x^2, tabulated as 0.35 to 0.45 (circuit.md 5)

Tables = dict[str, dict[str, "NDArray[Any]"]]
_T = TypeVar("_T")


class UnknownId(InputError, KeyError):
    """There is no part of this id in the recording; a KeyError, so that recordings behave as mappings."""

    __str__ = Exception.__str__


# ---------------------------------------------------------------------------------------------- sinks


class Sink(Protocol):
    """Where a run puts its events."""

    def append(self, table: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take rows of one table; columns of equal length, as in :data:`TABLES`."""

    def commit(self, progress: Mapping[str, Any]) -> None:
        """Acknowledge all rows so far, with how far the run is: ``now_fs``, ``counts``, energies by loop."""

    def close(self, final: Mapping[str, Any] | None = None) -> None:
        """Acknowledge the last rows and end."""


def _checked_rows(table: str, columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The columns of some rows of ``table``, with the right types; raises ValueError if they do not fit the table."""
    schema = TABLES.get(table)
    if schema is None:
        raise ValueError(f"a recording has no table {table!r}{nearest(table, TABLES)}")
    if set(columns) != set(schema):
        raise ValueError(f"table {table!r} has the columns {', '.join(schema)}; got {', '.join(columns)}")
    out = {name: np.ascontiguousarray(columns[name], dtype=kind) for name, (kind, _) in schema.items()}
    rows = {len(column) for column in out.values()}
    if len(rows) != 1 or any(out[name].shape[1:] != shape for name, (_, shape) in schema.items()):
        raise ValueError(
            f"table {table!r}: its columns have the shapes {', '.join(str(c.shape) for c in out.values())}"
        )
    return out


class _Rows:
    """Rows of one table that wait to be put together."""

    def __init__(self, table: str):
        self._parts: dict[str, list[NDArray[Any]]] = {
            name: [np.zeros((0, *shape), kind)] for name, (kind, shape) in TABLES[table].items()
        }
        self.count = 0

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        for name, parts in self._parts.items():
            parts.append(columns[name])
        self.count += len(next(iter(columns.values())))

    def joined(self) -> dict[str, NDArray[Any]]:
        for name, parts in self._parts.items():
            if len(parts) > 1:
                self._parts[name] = [np.concatenate(parts)]
        return {name: parts[0] for name, parts in self._parts.items()}

    def last(self, count: int) -> dict[str, NDArray[Any]]:
        """The last ``count`` rows."""
        out = {}
        for name, parts in self._parts.items():
            chosen, missing = [parts[0][:0]], count
            for part in reversed(parts):
                if missing <= 0:
                    break
                chosen.insert(1, part[max(len(part) - missing, 0) :])
                missing -= len(part)
            out[name] = np.concatenate(chosen)
        return out

    def take(self, rows: int) -> dict[str, NDArray[Any]]:
        """Remove the first ``rows`` rows and return them."""
        whole = self.joined()
        self._parts = {name: [column[rows:].copy()] for name, column in whole.items()}
        self.count -= rows
        return {name: column[:rows] for name, column in whole.items()}


class MemorySink:
    """Keeps the tables in memory."""

    def __init__(self) -> None:
        self._rows = {table: _Rows(table) for table in TABLES}

    def append(self, table: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Keep rows of one table."""
        checked = _checked_rows(table, columns)
        self._rows[table].add(checked)

    def commit(self, progress: Mapping[str, Any]) -> None:
        """Nothing: memory needs no acknowledgement."""

    def close(self, final: Mapping[str, Any] | None = None) -> None:
        """Nothing: there is no file."""

    def last(self, table: str, count: int) -> dict[str, NDArray[Any]]:
        """The last ``count`` rows of a table, without joining the others."""
        return self._rows[table].last(count)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return self._rows[table].count

    def tables(self) -> Tables:
        """All rows so far: columns by table and name."""
        return {table: rows.joined() for table, rows in self._rows.items()}


class FileSink:
    """Streams the tables to one HDF5 file that can be read at any time, also after the process was killed.

    Arguments:
        path: the file. It comes into being under another name beside it and takes its own once its header is
            complete, so a file that is overwritten stays until then.
        header: what :attr:`Recording.provenance` tells; plain data with ``loop_ids``, ``detector_ids``, ``neuron_ids``.
        overwrite: replace an existing file.
        compression: None, "gzip" or "lzf", of the tables' chunks.
        durable: wait at every commit until the disk has the data, so that it survives a power cut too, not only a kill.
        chunk: rows in a chunk.
        atomic: let the file take its name only when it is closed.

    Raises :class:`~soen_event.errors.InputError` if the file exists and must not be replaced, or can not be made.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        *,
        overwrite: bool = False,
        compression: str | None = None,
        durable: bool = False,
        chunk: int = 4096,
        atomic: bool = False,
    ):
        self.path = Path(path)
        if compression not in (None, "gzip", "lzf"):
            raise InputError(f"FileSink.compression: {compression!r} is unknown; choose None, 'gzip' or 'lzf'")
        if self.path.is_dir():
            raise InputError(f"{self.path}: is a directory; give the name of a file in it")
        if self.path.exists() and not overwrite:
            raise InputError(_exists(self.path))
        self._overwrite, self._durable, self._chunk, self._atomic = overwrite, durable, chunk, atomic
        self._waiting = {table: _Rows(table) for table in TABLES}
        self._written = dict.fromkeys(TABLES, 0)  # rows in whole chunks
        self._sequence = 0
        # Fletcher's checksum, which HDF5 keeps of every chunk, takes a chunk of zeros for whole; this one does not.
        self._sums = {(table, name): hashlib.blake2b(digest_size=16) for table in TABLES for name in TABLES[table]}
        self._temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        self._file: Any = None
        try:
            self._create(_completed(header), compression)
            if not atomic:
                self._publish()
        except BaseException as trouble:
            self._discard()
            if isinstance(trouble, OSError):
                raise InputError(
                    f"{self.path}: can not be written ({_short(trouble)}); check the folder and its permissions"
                ) from trouble
            raise

    def _create(self, header: dict[str, Any], compression: str | None) -> None:
        import h5py

        # Small metadata never straddles a page, and a page is written as a whole or not at all.
        file = h5py.File(self._temporary, "w", libver="latest", fs_strategy="page", fs_page_size=4096)
        self._file = file
        # Text of fixed length: HDF5 keeps other text in a heap, which it reads for ever where the file has been cut off.
        file.attrs["format"], file.attrs["version"] = np.bytes_(FORMAT), VERSION
        text = np.frombuffer(json.dumps(header, default=_plain).encode(), dtype="u1")
        file.create_dataset("header", data=text, chunks=(min(len(text), 1 << 20),), fletcher32=True)
        self._sets: dict[str, dict[str, Any]] = {}
        for table, schema in TABLES.items():
            self._sets[table] = {
                name: file.create_dataset(
                    f"tables/{table}/{name}",
                    shape=(0, *shape),
                    maxshape=(None, *shape),
                    dtype=kind,
                    chunks=(self._chunk, *shape),
                    fletcher32=True,
                    compression=compression,
                    shuffle=compression is not None,
                )
                for name, (kind, shape) in schema.items()
            }
        self._slots = [
            file.create_dataset(f"commit/{k}", shape=(0,), maxshape=(None,), dtype="u1", chunks=(1 << 14,))
            for k in (0, 1)
        ]
        self._slot({"now_fs": 0}, None)
        file.flush()
        file.swmr_mode = True
        self._flush()

    def _publish(self) -> None:
        """Give the file its name. Without ``overwrite`` a file that another process made meanwhile is not replaced."""
        if not self._overwrite:
            try:
                os.link(self._temporary, self.path)
            except FileExistsError:
                raise InputError(_exists(self.path)) from None
            except OSError:  # a file system without links
                if self.path.exists():
                    raise InputError(_exists(self.path)) from None
            else:
                self._temporary.unlink()
                return
        os.replace(self._temporary, self.path)

    def _discard(self) -> None:
        if self._file is not None:
            with contextlib.suppress(Exception):
                self._file.close()
            self._file = None
        self._temporary.unlink(missing_ok=True)

    def append(self, table: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take rows of one table. Whole chunks go to the file at once, the rest with the next :meth:`commit`."""
        self._check_open()
        checked = _checked_rows(table, columns)
        rows = self._waiting[table]
        rows.add(checked)
        if rows.count >= self._chunk:
            self._write(table, rows.count - rows.count % self._chunk)

    def _write(self, table: str, count: int) -> None:
        start, stop = self._written[table], self._written[table] + count
        for name, column in self._waiting[table].take(count).items():
            self._sets[table][name].resize(stop, axis=0)
            self._sets[table][name][start:stop] = column
            self._sums[table, name].update(np.ascontiguousarray(column).data if count else b"")
        self._written[table] = stop

    def commit(self, progress: Mapping[str, Any]) -> None:
        """Acknowledge all rows so far: once this has returned, they and ``progress`` are found, whatever happens."""
        self._check_open()
        self._flush()  # the rows first, then the slot that counts them
        self._slot(progress, {table: rows.joined() for table, rows in self._waiting.items() if rows.count})
        self._flush()

    def _slot(self, progress: Mapping[str, Any], tails: Tables | None) -> None:
        written = {
            table: {"rows": rows, "sums": {name: self._sums[table, name].hexdigest() for name in TABLES[table]}}
            for table, rows in self._written.items()
        }
        record = np.frombuffer(_packed(self._sequence, written, dict(progress), tails or {}), dtype="u1")
        slot = self._slots[self._sequence % 2]
        if len(record) > slot.shape[0]:
            slot.resize((len(record),))
        slot[: len(record)] = record
        self._sequence += 1

    def _flush(self) -> None:
        self._file.flush()
        if self._durable:
            os.fsync(self._file.id.get_vfd_handle())

    def close(self, final: Mapping[str, Any] | None = None) -> None:
        """Put the last rows into their tables and close the file; a second call does nothing.

        ``final``: progress at the end of the run, which the recording then calls complete. Without it the run counts
        as interrupted at the last commit.
        """
        if self._file is None:
            return
        if final is not None:
            for table, rows in self._waiting.items():
                if rows.count:
                    self._write(table, rows.count)
            self.commit({"complete": True, **final})
        self._file.close()
        self._file = None
        if self._atomic and final is not None:
            self._publish()
        else:
            self._temporary.unlink(missing_ok=True)

    def _check_open(self) -> None:
        if self._file is None:
            raise ValueError(f"{self.path}: the recording is closed")

    def __enter__(self) -> FileSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _exists(path: Path) -> str:
    return f"{path}: exists already; choose another name or give overwrite=True"


def _short(trouble: BaseException) -> str:
    """The gist of an exception, on one line."""
    if isinstance(trouble, OSError) and trouble.strerror:
        return trouble.strerror
    text = trouble.args[0] if isinstance(trouble, KeyError) and trouble.args else trouble
    return " ".join(str(text).split()) or type(trouble).__name__


def _plain(value: Any) -> Any:
    """What JSON does not know, as what it knows."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} can not stand in a recording's header")


def _ids(stored: Any) -> Sequence[str]:
    """Ids as a header holds them: a tuple, or those of a tiled network, which are made when they are asked for."""
    from soen_event.tiled import TiledIds

    if isinstance(stored, Mapping):
        return TiledIds.from_dict(stored)
    return stored if isinstance(stored, TiledIds) else tuple(stored)


def _places(ids: Sequence[str]) -> Mapping[str, int]:
    """Row by id."""
    return ids.places if hasattr(ids, "places") else {name: k for k, name in enumerate(ids)}


def _completed(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header with format and versions; a header that was read from a file keeps the versions that wrote it."""
    return {"format": FORMAT, "version": VERSION, "versions": dict(_versions()), **header}


@cache  # reading them takes milliseconds
def _versions() -> dict[str, str]:
    from soen_event import __version__

    found = {"soen_event": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("numpy", "numba", "h5py"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


# ---------------------------------------------------------------------------------------------- commit slots

_MAGIC = b"SOENSLOT"
_HEAD = struct.Struct("<8sqq16s")  # magic, sequence, length of the payload, digest


def _digest(sequence: int, payload: bytes) -> bytes:
    return hashlib.blake2b(struct.pack("<q", sequence) + payload, digest_size=16).digest()


def _packed(sequence: int, written: Mapping[str, Any], progress: dict[str, Any], tails: Tables) -> bytes:
    """One commit as bytes: head, JSON, and the arrays that the JSON lists."""
    arrays: list[tuple[list[str], NDArray[Any]]] = []
    for name in _COLUMNS:
        if name in progress:
            arrays.append(
                (["progress", name], np.asarray(progress.pop(name), dtype=_INT if name == "fluxons" else _FLOAT))
            )
    for table, columns in tails.items():
        arrays += [([table, name], column) for name, column in columns.items()]
    listed = [[*place, array.dtype.str, list(array.shape)] for place, array in arrays]
    text = json.dumps({"written": dict(written), "progress": progress, "arrays": listed}, default=_plain).encode()
    payload = b"".join([struct.pack("<q", len(text)), text, *(array.tobytes() for _, array in arrays)])
    return _HEAD.pack(_MAGIC, sequence, len(payload), _digest(sequence, payload)) + payload


def _unpacked(record: bytes) -> tuple[int, dict[str, Any], dict[str, Any], Tables] | None:
    """(sequence, what the tables hold, progress, tails) of a commit; None if it was not written to its end."""
    if len(record) < _HEAD.size:
        return None
    magic, sequence, length, digest = _HEAD.unpack_from(record)
    payload = record[_HEAD.size : _HEAD.size + max(length, 0)]
    if magic != _MAGIC or len(payload) != length or _digest(sequence, payload) != digest:
        return None
    (at,) = struct.unpack_from("<q", payload)
    at += 8
    document = json.loads(payload[8:at])
    progress: dict[str, Any] = document["progress"]
    tails: Tables = {}
    for place, name, kind, shape in document["arrays"]:
        count = math.prod(shape)
        array = np.frombuffer(payload, dtype=kind, count=count, offset=at).reshape(shape)
        at += array.nbytes
        (progress if place == "progress" else tails.setdefault(place, {}))[name] = array
    return sequence, document["written"], progress, tails


# ---------------------------------------------------------------------------------------------- reading


def _read(path: Path) -> tuple[Tables, dict[str, Any], dict[str, Any]]:
    """(tables, header, progress) of a recording file; raises InputError for everything that is not one."""
    if path.is_dir():
        raise InputError(f"{path}: is a directory; give the name of a recording file (HDF5)")
    try:
        with open(path, "rb") as raw:
            start = raw.read(_SUPERBLOCK)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give {_WANTED}") from None
    except OSError as trouble:
        raise InputError(f"{path}: can not be read ({_short(trouble)}); check its permissions") from trouble
    if not start:
        raise InputError(f"{path}: is empty; give {_WANTED}")
    import h5py

    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: is not an HDF5 file; give {_WANTED}")
    for patience in (3, 2, 1, 0):
        marked = False
        try:
            marked = _marked(path)
            with _opened(path, marked) as file:
                return _contents(path, file)
        except InputError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, struct.error) as trouble:
            if patience == 0 or not marked:
                raise InputError(f"{path}: is damaged ({_short(trouble)}); use a copy of it or run again") from trouble
        time.sleep(0.01)  # a run that still writes may have been in the middle of something
    raise AssertionError("unreachable")


_WANTED = "a recording that simulate(..., out=...) or Recording.save wrote"


def _contents(path: Path, file: Any) -> tuple[Tables, dict[str, Any], dict[str, Any]]:
    """(tables, header, progress) of an open recording file."""
    kind, version = fixed_text(file, "format"), file.attrs.get("version")
    if kind != FORMAT:
        raise InputError(
            f"{path}: is HDF5 but not a recording (its attribute 'format' is {kind!r}, not {FORMAT!r}); give {_WANTED}"
        )
    if version != VERSION:
        raise InputError(
            f"{path}: is a recording of version {version}, and this library reads version {VERSION}; "
            "read it with the soen-event that wrote it"
        )
    header = json.loads(file["header"][()].tobytes())
    header.update({kind: _ids(header[kind]) for kind in ("loop_ids", "detector_ids", "neuron_ids")})
    found = [_unpacked(file[f"commit/{k}"][()].tobytes()) for k in (0, 1)]
    commits = [commit for commit in found if commit is not None]
    if not commits:
        raise ValueError("neither of its commit slots is whole")
    _, written, progress, tails = max(commits, key=lambda commit: commit[0])
    tables = {table: _table(file, table, written[table], tails.get(table)) for table in TABLES}
    _check_rows(tables, header)
    return tables, header, progress


def fixed_text(item: Any, name: str) -> str | None:
    """An attribute that is text of fixed length; None if it is not there or something else. Never reads HDF5's heap of texts.

    Where that heap is zeros, because pages were lost or a file was cut off, HDF5 2.0 reads it without an end.
    """
    if name not in item.attrs or item.attrs.get_id(name).dtype.kind != "S":
        return None
    value = item.attrs[name]
    return value.decode("ascii", "replace") if isinstance(value, bytes) else None


def _marked(path: Path) -> bool:
    """Whether an HDF5 file says that it is open for writing: a run was killed, or still writes."""
    with open(path, "rb") as raw:
        start = raw.read(_SUPERBLOCK)
    whole = len(start) == _SUPERBLOCK and _lookup3(start[:44]) == int.from_bytes(start[44:], "little")
    return whole and start[8] == 3 and start[11] != 0


@contextlib.contextmanager
def _opened(path: Path, marked: bool) -> Iterator[Any]:
    """The HDF5 file, for reading.

    HDF5 opens a file that is marked as open for writing only in its concurrent mode, where damage makes it try again
    for ever instead of failing. Nothing is read here that the commit slots do not vouch for, so the mark is taken off
    in a view of the file.
    """
    import h5py

    if marked:
        with contextlib.closing(_Unmarked(path)) as view, h5py.File(view, "r", libver="latest") as file:
            yield file
    else:
        with h5py.File(path, "r", libver="latest") as file:
            yield file


_SUPERBLOCK = 48  # bytes of a version 3 superblock with 8-byte addresses: mark at 11, end of file at 28, checksum at 44


class _Unmarked:
    """A read-only view of an HDF5 file without the mark that says it is open for writing.

    A file that a kill cut off may be shorter than the length that it states: the space is promised, not written, and
    reads as zeros, which the checksums in the commit slots tell from data.
    """

    def __init__(self, path: Path):
        self._raw = open(path, "rb")  # noqa: SIM115  (closed with the view)
        start = self._raw.read(_SUPERBLOCK)
        body = start[:11] + b"\0" + start[12:44]
        self._start = body + _lookup3(body).to_bytes(4, "little")
        self._size = max(self._raw.seek(0, os.SEEK_END), int.from_bytes(start[28:36], "little"))
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0 if whence == os.SEEK_SET else self._at if whence == os.SEEK_CUR else self._size)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        data = bytearray(self._size - self._at if size < 0 else size)
        self.readinto(data)
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._raw.seek(self._at)
        data = self._raw.read(len(view))
        view[: len(data)] = data
        view[len(data) :] = bytes(len(view) - len(data))
        if self._at < _SUPERBLOCK:
            patch = self._start[self._at : self._at + len(view)]
            view[: len(patch)] = patch
        self._at += len(view)
        return len(view)

    def write(self, data: bytes) -> int:
        raise OSError("the view is read-only")

    def truncate(self, size: int | None = None) -> int:
        raise OSError("the view is read-only")

    def flush(self) -> None:
        """Nothing is ever written."""

    def close(self) -> None:
        self._raw.close()


def _lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 hash (hashlittle, initial value 0): the checksum of HDF5's metadata."""
    mask = 0xFFFFFFFF

    def rot(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    at, left = 0, len(data)
    while left > 12:
        a = (a + int.from_bytes(data[at : at + 4], "little")) & mask
        b = (b + int.from_bytes(data[at + 4 : at + 8], "little")) & mask
        c = (c + int.from_bytes(data[at + 8 : at + 12], "little")) & mask
        a = ((a - c) & mask) ^ rot(c, 4)
        c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 6)
        a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 8)
        b = (b + a) & mask
        a = ((a - c) & mask) ^ rot(c, 16)
        c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 19)
        a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 4)
        b = (b + a) & mask
        at, left = at + 12, left - 12
    if left == 0:
        return c
    tail = data[at:].ljust(12, b"\0")
    a = (a + int.from_bytes(tail[:4], "little")) & mask
    b = (b + int.from_bytes(tail[4:8], "little")) & mask
    c = (c + int.from_bytes(tail[8:12], "little")) & mask
    for x, y, k in (
        ("c", "b", 14),
        ("a", "c", 11),
        ("b", "a", 25),
        ("c", "b", 16),
        ("a", "c", 4),
        ("b", "a", 14),
        ("c", "b", 24),
    ):
        values = {"a": a, "b": b, "c": c}
        values[x] = ((values[x] ^ values[y]) - rot(values[y], k)) & mask
        a, b, c = values["a"], values["b"], values["c"]
    return c


def _table(
    file: Any, table: str, written: Mapping[str, Any], tail: dict[str, NDArray[Any]] | None
) -> dict[str, NDArray[Any]]:
    """Columns of a table: the rows of its datasets that ``written`` vouches for, and after them ``tail``."""
    rows = int(written["rows"])
    out = {}
    for name, (kind, shape) in TABLES[table].items():
        try:
            stored = file[f"tables/{table}/{name}"]
            if stored.dtype != kind or stored.shape[1:] != shape or len(stored) < rows:
                raise ValueError(f"{stored.dtype} {stored.shape} instead of {kind} {(rows, *shape)}")
            column = np.ascontiguousarray(stored[:rows])
            if hashlib.blake2b(column.data if rows else b"", digest_size=16).hexdigest() != written["sums"][name]:
                raise ValueError("its rows are not those that were written")
        except (OSError, RuntimeError, KeyError, ValueError) as trouble:
            raise ValueError(f"table {table}, column {name}: {_short(trouble)}") from trouble
        out[name] = column if tail is None else np.concatenate([column, tail[name]])
    return _checked_rows(table, out)


def _check_rows(tables: Tables, header: Mapping[str, Any]) -> None:
    for table, owner in _OWNER.items():
        column, known = tables[table][owner], len(header.get(f"{owner}_ids", ()))
        if len(column) and (column.min() < 0 or column.max() >= known):
            raise ValueError(f"table {table}: a row belongs to {owner} {column.max()}, and there are {known}")


# ---------------------------------------------------------------------------------------------- between two trace rows


def phase_in_turn(theta: float, slow: float) -> float:
    """Phase of a running SQUID from the middle of its turn, -pi to pi, when its mean phase is ``theta``, 0 to 2 pi.

    A SQUID near threshold does not turn evenly: it waits at its bottleneck, where its phase moves ``slow`` (0 to 1)
    times as fast as on average, f u/r by the saddle-node x' = f u + kappa x^2 (circuit.md 5). Between that and its
    slip tan(P/2) = slow tan((theta - pi)/2), which is the exact motion of one overdamped junction.
    """
    half = 0.5 * (theta - PI)
    if half <= -0.5 * PI:
        return -PI
    if half >= 0.5 * PI:
        return PI
    return 2.0 * math.atan2(slow * math.sin(half), math.cos(half))


def sample(
    row: Any,
    dt: Any,
    mode: Any,
    values: Any,
    amplitude: Any,
    at: Any,
    mode_tau: Any,
    mode_arm: Any,
    flow: int,
    beta: float,
    tau: float,
    ib: float,
    rest_origin: float,
    source: int,
    rest: Any,
    shape: Any,
    scale: Any,
    levels: Any,
    tau_0: float,
    ramp: int,
    out: Any,
) -> None:
    """State of a loop ``dt`` (ns) after its trace rows ``row``; lines of ``out``: current, flux, quanta, phase.

    The same steps in the same order as the engine's ``touch``, so that without ``ramp`` the bits are the engine's.
    ``values``: records with the fields TRACE_FIELDS; ``amplitude[at[k]:]`` are the modes of trace row k; ``mode_tau``, ``mode_arm``
    those of the loop; ``flow``: 1 if its current flows.
    """
    modes = mode_tau.shape[0]
    for j in range(row.shape[0]):
        k = row[j]
        t = dt[j]
        now = values[k]
        mine = amplitude[at[k] : at[k] + modes]
        phi = now.steady + cubic(now.in0, now.in1, now.in2, now.in3, t)
        one = 0.0
        current = 0.0
        loaded = False
        for m in range(modes):
            v = mine[m]
            loaded = loaded or mode_arm[m] == 2
            if v != 0.0:
                v *= exp(-t / mode_tau[m])
                if mode_arm[m] == 2:
                    current += v
                else:
                    phi += v
                    if mode_arm[m] == 1:
                        one += v
        phi += now.ext + now.ext_slope * t
        one += now.arm + now.arm_slope * t
        out[j, 1] = phi
        if mode[k] == HELD:
            out[j, 0] = 0.0
            out[j, 2] = 0.0
            out[j, 3] = 0.0
            out[j, 4] = now.phase_out * exp(-t / tau)
            continue
        q = now.q
        if flow == 1:
            if mode[k] == RUN:
                q = cubic(q, now.rate, now.curve, now.kappa, t)
            else:
                q *= exp(-t / tau)
            out[j, 0] = q
            out[j, 2] = q
            out[j, 3] = 0.0
            out[j, 4] = q
            continue
        psi = now.psi
        leak = now.leak
        if t > PANEL:
            psi, leak = leak_after(
                now,
                mine,
                mode_tau,
                mode_arm,
                0,
                modes,
                rest,
                shape,
                scale,
                levels,
                source,
                ib,
                rest_origin,
                tau,
                t,
            )
            q *= exp(-t / tau)
            if loaded:
                q = current
        elif t > 0.0:
            e = exp(-t / tau)
            q *= e
            if loaded:
                q = current
            moved = rest_phase(rest, shape, scale, levels, source, phi, ib) - rest_origin + PI * one + now.lag
            leak = leaked(leak, psi, moved, 1.0 - e)
            psi = moved
        if ramp == 1 and mode[k] == RUN:
            slow = _BOTTLENECK * now.kappa / tau_0
            if slow > 1.0:
                slow = 1.0
            psi += phase_in_turn(now.theta + t * (now.rate + 0.5 * now.curve * t), slow)
        out[j, 0] = q + (psi - leak) / beta
        out[j, 2] = q
        out[j, 3] = psi
        out[j, 4] = q + now.phase_out * exp(-t / tau)


# ---------------------------------------------------------------------------------------------- the recording


class ById(Mapping[str, _T], Generic[_T]):
    """Something of every recorded part, by id in ascending order. A neuron's id stands for its soma among loops."""

    def __init__(self, ids: Iterable[str], find: Callable[[str], int], value: Callable[[int], _T], length: int):
        self._ids, self._find, self._value, self._length = ids, find, value, length

    def __getitem__(self, name: str) -> _T:
        return self._value(self._find(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        shown = ", ".join(f"{name!r}: {_brief(self[name])}" for name, _ in zip(self, range(8), strict=False))
        return f"{{{shown}{', ...' if len(self) > 8 else ''}}}"


def _brief(value: Any) -> str:
    return f"{len(value)} times" if isinstance(value, np.ndarray) else repr(value)


def _by_loop(ids: Sequence[str], value: Callable[[int], _T]) -> Mapping[str, _T]:
    """Something of every loop: a dict, or worked out when it is asked for where the ids are too."""
    if isinstance(ids, tuple):
        return {name: value(k) for k, name in enumerate(ids)}
    return ById(ids, lambda name: _row(_places(ids), name, "Recording.energy", "loop"), value, len(ids))


class Recording:
    """What happened in a run: events by id, currents and fluxes at any time, energies, and where all of it came from.

    Times are float64 ns; arrays that mappings return are read-only. An id of a neuron stands for its soma where a
    loop is asked for.

    Arguments:
        plan: the lowered network, or None if ``header`` holds the network to lower when it is needed.
        tables: columns by table and name, as in :data:`TABLES`; what is missing is empty.
        header: where the run came from (:attr:`provenance`).
        progress: how far it went: ``now_fs``, ``counts``, and by loop ``fluxons``, ``slip_loss``, ``leak_loss``,
            ``purge_loss``, ``q_end``; ``complete`` is False if it was cut off.
        network: stands in for the network in the header.
    """

    def __init__(
        self,
        plan: Plan | None,
        tables: Mapping[str, Mapping[str, NDArray[Any]]],
        header: Mapping[str, Any],
        progress: Mapping[str, Any],
        network: Network | None = None,
    ):
        self._plan, self._network = plan, network
        self._header = _completed(header)
        if plan is not None:
            for kind in ("loop_ids", "detector_ids", "neuron_ids"):
                self._header[kind] = getattr(plan, kind)
            self._header.setdefault("plan_digest", plan.digest)
        self._progress = dict(progress)
        self._tables: Tables = {}
        for table, schema in TABLES.items():
            given = tables.get(table) or {name: np.zeros((0, *shape), kind) for name, (kind, shape) in schema.items()}
            self._tables[table] = {name: _frozen(column) for name, column in _checked_rows(table, given).items()}
        self.loop_ids: Sequence[str] = _ids(self._header["loop_ids"])
        self.detector_ids: Sequence[str] = _ids(self._header["detector_ids"])
        self.neuron_ids: Sequence[str] = _ids(self._header["neuron_ids"])

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: Network | None = None) -> Recording:
        """Read a recording file, whole or left behind by a killed run; of a run that still goes, what is acknowledged.

        Everything is read and its checksums are compared. ``network``: use it in place of the one in the file.

        Raises:
            InputError: the file is missing, a directory, empty, not HDF5, not a recording, of another version, cut
            short or damaged.
        """
        tables, header, progress = _read(Path(path))
        return cls(None, tables, header, {"complete": False, **progress}, network)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False, compression: str | None = None) -> None:
        """Write the recording to an HDF5 file that :meth:`load` reads; the file appears when it is whole.

        ``compression``: None, "gzip" or "lzf". Raises InputError if the file exists and ``overwrite`` is False.
        """
        rows = max(len(next(iter(columns.values()))) for columns in self._tables.values())
        sink = FileSink(
            path,
            self._header,
            overwrite=overwrite,
            compression=compression,
            atomic=True,
            chunk=min(max(rows, 16), 1 << 16),
        )
        with sink:
            for table, columns in self._tables.items():
                sink.append(table, columns)
            sink.close({"complete": True, **self._progress})

    # ------------------------------------------------------------------ where it came from

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the recording came from, as plain data.

        ``network``, ``drives``, ``seed``, ``engine``, ``resolution``, ``record``, ``duration_ns``, ``created`` (ISO
        8601), ``plan_digest``, ``versions`` and whatever else the run put down.
        """
        return {key: value for key, value in self._header.items() if not key.endswith("_ids")}

    @property
    def seed(self) -> int | None:
        """Seed of every random draw of the run."""
        return self._header.get("seed")

    @property
    def end(self) -> float:
        """Time up to which everything has happened, ns."""
        return self._now_fs * 1e-6

    @property
    def duration(self) -> float:
        """Time that the run was to take, ns; :attr:`end` if it was not said."""
        planned = self._header.get("duration_ns")
        return self.end if planned is None else float(planned)

    @property
    def _now_fs(self) -> int:
        return int(self._progress.get("now_fs", 0))

    @property
    def complete(self) -> bool:
        """Whether the run ended by itself; False if it was cut off, or still writes."""
        return bool(self._progress.get("complete", True))

    @property
    def status(self) -> str:
        """A sentence that says how the run ended and what to do about it."""
        if not self.complete:
            return (
                f"the run was interrupted at t = {self.end:g} ns{self._of_all}, or still goes on; what happened "
                "until then is here. Run it again (the same seed gives the same events), or restore its last checkpoint"
            )
        if self._now_fs < int(np.rint(self.duration * 1e6)):
            return f"the run was held at t = {self.end:g} ns{self._of_all}; call Simulation.run to go on"
        return f"the run is complete: {self.end:g} ns"

    @property
    def _of_all(self) -> str:
        return "" if self._header.get("duration_ns") is None else f" of {self.duration:g} ns"

    @cached_property
    def network(self) -> Network:
        """The network that ran."""
        from soen_event.network import Network

        if self._network is not None:
            return self._network
        if "network" not in self._header:
            raise InputError(
                "Recording.network: the recording does not hold its network; load it with Recording.load(path, network)"
            )
        if "tiled" in self._header["network"]:
            raise InputError(
                "Recording.network: of a tiled network the recording holds the cell and digests; load it with "
                "Recording.load(path, network)"
            )
        return Network.from_dict(self._header["network"])

    @property
    def plan(self) -> Plan:
        """The lowered network. Raises InputError if the network does not lower to the Plan that ran."""
        if self._plan is None:
            from soen_event.parts import Drive, detached
            from soen_event.plan import lower

            with detached():
                drives = tuple(Drive(**drive) for drive in self._header.get("drives") or ())
            plan = lower(
                self.network,
                drives,
                self._header.get("resolution", "fluxon"),
                float(self._header.get("tol", 1e-4)),
            )
            if plan.digest != self._header.get("network_digest", self._header.get("plan_digest")):
                writer = self._header.get("versions", {}).get("soen_event", "of unknown version")
                raise InputError(
                    "Recording.plan: the network does not lower to the plan that ran; it was edited, or lowered by "
                    f"another version (the run's was soen-event {writer}, this is {_versions()['soen_event']}). "
                    "Events can be read without it; for currents use the network and the version of the run"
                )
            self._plan = plan
        return self._plan

    # ------------------------------------------------------------------ events

    def table(self, name: str) -> dict[str, NDArray[Any]]:
        """Columns of one of :data:`TABLES` in the order of the events: times in int64 fs, rows of parts (read-only)."""
        if name not in TABLES:
            raise InputError(
                f"Recording.table: there is no table {name!r}{nearest(name, TABLES)}; choose one of {', '.join(TABLES)}"
            )
        return dict(self._tables[name])

    @cached_property
    def _loop_index(self) -> Mapping[str, int]:
        if hasattr(self.loop_ids, "with_somas"):
            return self.loop_ids.with_somas(self.neuron_ids)
        index = {name: k for k, name in enumerate(self.loop_ids)}
        for name in self.neuron_ids:
            if f"{name}.soma" in index:
                index[name] = index[f"{name}.soma"]
        return index

    @cached_property
    def _detector_index(self) -> Mapping[str, int]:
        return _places(self.detector_ids)

    @cached_property
    def _neuron_index(self) -> Mapping[str, int]:
        return _places(self.neuron_ids)

    def _loop(self, name: str, where: str) -> int:
        return _row(self._loop_index, name, where, "dendrite or neuron")

    def _groups(self, table: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of a table by owner: (row numbers, in order of time within an owner; where each owner's begin)."""
        cache = self.__dict__.setdefault("_grouped", {})
        if table not in cache:
            owner = _OWNER[table]
            column = self._tables[table][owner]
            starts = np.zeros(len(self._header.get(f"{owner}_ids", ())) + 1, dtype=np.int64)
            np.cumsum(np.bincount(column, minlength=len(starts) - 1), out=starts[1:])
            cache[table] = np.argsort(column, kind="stable"), starts
        return cache[table]

    def _times(
        self, table: str, k: int, keep: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None
    ) -> NDArray[np.float64]:
        order, starts = self._groups(table)
        mine = order[starts[k] : starts[k + 1]]
        if keep is not None:
            mine = mine[keep(self._tables[table]["fate"][mine])]
        return _frozen(self._tables[table]["time_fs"][mine] * 1e-6)

    @cached_property
    def spikes(self) -> ById[NDArray[np.float64]]:
        """Spike times (ns, ascending) by neuron id."""
        return ById(
            self.neuron_ids,
            lambda name: _row(self._neuron_index, name, "Recording.spikes", "neuron"),
            lambda k: self._times("spikes", k),
            len(self.neuron_ids),
        )

    @cached_property
    def site_ids(self) -> tuple[str, ...]:
        """Ids of the sites of learning: synapses, ``<loop>.phi_offset``, couplings."""
        return tuple(self._header.get("site_ids", ()))

    @cached_property
    def writes(self) -> ById[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """What learning has changed, by site: (times in ns, values from then on). :meth:`learnt` tells the value at any time."""
        order, starts = self._groups("writes")
        columns = self._tables["writes"]
        index = {name: k for k, name in enumerate(self.site_ids)}

        def of(k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            mine = order[starts[k] : starts[k + 1]]
            return columns["time_fs"][mine] * 1e-6, columns["value"][mine]

        return ById(self.site_ids, lambda name: _row(index, name, "Recording.writes", "site"), of, len(self.site_ids))

    def learnt(self, site: str, t: ArrayLike | None = None) -> Any:
        """The value of a site of learning at times ``t`` (ns), by default at the end: a float or an array of the shape of ``t``."""
        times, values = self.writes[site]
        start = self._start_of(site)
        if t is None:
            return float(values[-1]) if len(values) else start
        place = np.searchsorted(times, np.asarray(t, dtype=float), side="right")
        out = np.concatenate([[start], values])[place]
        return float(out) if out.ndim == 0 else out

    @property
    def rule_changes(self) -> list[tuple[float, str, str, float]]:
        """Parameters of rules that were changed during the run: (ns, rule, parameter, value from then on) of each."""
        return [(fs * 1e-6, rule, name, value) for fs, rule, name, value in self._progress.get("rule_changes", [])]

    def _start_of(self, site: str) -> float:
        for rule in self._header.get("learning", {}).values():
            if site in rule["sites"]:
                return float(rule["start"][rule["sites"].index(site)])
        raise UnknownId([f"Recording.learnt: no site {site!r} learns{nearest(str(site), self.site_ids)}"])

    @cached_property
    def fluxons(self) -> ById[NDArray[np.float64]]:
        """Times (ns, ascending) at which a flux quantum entered, by loop id; of loops whose fluxons were recorded.

        Those of a flowing loop are no events: they are the times at which its phase completes a turn, found when they are asked for.
        """
        return self._recorded(
            "fluxons", "fluxons", self.loop_ids, lambda name: self._loop(name, "Recording.fluxons"), None
        )

    def _flows(self, k: int) -> bool:
        resolution = self._header.get("resolution", "fluxon")
        return resolution == "flow" or (resolution == "auto" and self.plan.arrays.flow[k] == 1)

    def _turns(self, d: int) -> NDArray[np.float64]:
        """Times at which the phase of a flowing loop completes its turns, from its trace."""
        order, starts = self._groups("trace")
        mine = order[starts[d] : starts[d + 1]]
        fs = self._trace_times(d, mine)
        lasts = np.diff(fs, append=max(self._now_fs, int(fs[-1]) if len(fs) else 0))
        runs = (self._tables["trace"]["mode"][mine] == RUN) & (lasts > 0)
        rows, begins, dt = self._trace_records[mine[runs]], fs[runs], lasts[runs] * 1e-6
        beta, tau = float(self.plan.arrays.beta[d]), float(self.plan.arrays.tau[d])
        course = rows.q, rows.rate, rows.curve, rows.kappa
        whole = np.maximum((rows.theta + turned(*course, beta, tau, dt)) / TWO_PI, 0.0).astype(np.int64)
        of = np.repeat(np.arange(len(whole)), whole)
        number = np.arange(len(of)) - np.repeat(np.cumsum(whole) - whole, whole) + 1
        goal, low, high = TWO_PI * number - rows.theta[of], np.zeros(len(of)), dt[of]
        course = tuple(column[of] for column in course)
        for _ in range(44):
            middle = 0.5 * (low + high)
            short = turned(*course, beta, tau, middle) < goal
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return _frozen(begins[of] * 1e-6 + high)

    @cached_property
    def fluxon_count(self) -> ById[int]:
        """Number of fluxons by loop id; counted in every run, recorded or not."""
        counts = self._progress.get("fluxons")

        def count(k: int) -> int:
            if counts is None:
                raise InputError(
                    "Recording.fluxon_count: this recording does not hold the counts by loop; run it again"
                )
            return int(counts[k])

        return ById(self.loop_ids, lambda name: self._loop(name, "Recording.fluxon_count"), count, len(self.loop_ids))

    @cached_property
    def photons(self) -> ById[NDArray[np.float64]]:
        """Times (ns, ascending) at which photons arrived, detected or not, by synapse id."""
        return self._arrivals("photons", None)

    @cached_property
    def detections(self) -> ById[NDArray[np.float64]]:
        """Times (ns, ascending) of photons that were detected, by synapse id."""
        return self._arrivals("detections", lambda fate: fate == DETECTED)

    @cached_property
    def lost(self) -> ById[NDArray[np.float64]]:
        """Times (ns, ascending) of photons that were lost (hotspot, dead time, efficiency), by synapse id."""
        return self._arrivals("lost", lambda fate: fate != DETECTED)

    def _arrivals(
        self, what: str, keep: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None
    ) -> ById[NDArray[np.float64]]:
        where = f"Recording.{what}"
        return self._recorded(
            "photons", what, self.detector_ids, lambda name: _row(self._detector_index, name, where, "synapse"), keep
        )

    def _recorded(
        self,
        table: str,
        what: str,
        ids: Sequence[str],
        find: Callable[[str], int],
        keep: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None,
    ) -> ById[NDArray[np.float64]]:
        """Times by id in ``table``, for the parts of which it was recorded."""
        asked: Mapping[str, Any] | None = self._header.get("record")
        chosen: Any = None if asked is None else _ids(asked.get(table) or ())
        if isinstance(chosen, tuple):
            chosen = frozenset(chosen)

        def found(name: str) -> int:
            k = find(name)
            if chosen is not None and ids[k] not in chosen:
                raise UnknownId(
                    f"Recording.{what}: {table} of {name!r} were not recorded; add {table!r} to record= of simulate"
                    + (" (their number is in fluxon_count)" if table == "fluxons" else "")
                )
            return k

        kept = ids if chosen is None or chosen is ids or chosen == ids else tuple(n for n in ids if n in chosen)

        def times(k: int) -> NDArray[np.float64]:
            return self._turns(k) if table == "fluxons" and self._flows(k) else self._times(table, k, keep)

        return ById(kept, found, times, len(kept))

    @property
    def event_counts(self) -> dict[str, int]:
        """How many events of every kind the run processed."""
        return {name: int(count) for name, count in self._progress.get("counts", {}).items()}

    def spike_counts(self) -> NDArray[np.int64]:
        """Number of spikes of every neuron, in the order of :attr:`neuron_ids`."""
        return np.bincount(self._tables["spikes"]["neuron"], minlength=len(self.neuron_ids)).astype(np.int64)

    def binned(self, width: float) -> NDArray[np.int64]:
        """Spikes per neuron and time bin: int64 (neurons, bins), in the order of :attr:`neuron_ids`.

        ``width``: ns, rounded to 1 fs. Bin k holds k width <= t < (k + 1) width; the last one also what comes at
        :attr:`end`.
        """
        if (
            isinstance(width, bool)
            or not isinstance(width, int | float | np.number)
            or not np.isfinite(width)
            or width < 1e-6
        ):
            raise InputError(
                f"Recording.binned.width: {width!r} is not a finite time of at least 1e-6 ns; give a width in ns"
            )
        step = round(float(width) * 1e6)
        bins = max(-(-self._now_fs // step), 1)
        neurons = len(self.neuron_ids)
        if bins * max(neurons, 1) > 1 << 31:
            raise InputError(
                f"Recording.binned.width: {width!r} ns makes {bins} bins of {neurons} neurons; give wider bins"
            )
        spikes = self._tables["spikes"]
        place = spikes["neuron"] * bins + np.minimum(spikes["time_fs"] // step, bins - 1)
        return np.bincount(place, minlength=neurons * bins).astype(np.int64).reshape(neurons, bins)

    # ------------------------------------------------------------------ currents and fluxes

    def current(self, id: str, t: ArrayLike, *, ramp: bool = True) -> Any:
        """Current s = I/I_c in a loop at any times, exact between events.

        s = q + (psi - leak)/beta_eff: decayed flux quanta, and the phase of the SQUID that has not completed a turn
        yet. While a SQUID runs, its phase ramps from one fluxon to the next; what the engine feeds back, and what a
        soma's threshold is compared with, is the staircase that this ramp runs through: ``ramp=False`` gives it, to
        the bit.

        Arguments:
            id: a dendrite, a neuron (its soma), ``<neuron>.soma`` or ``<neuron>.refractory``.
            t: ns, any shape, any order, 0 to :attr:`end`. At an event's time the state after the event.
            ramp: let the current follow the phase within a turn.

        Returns float64 in the shape of ``t`` (a float for one time).
        Raises InputError for an unknown id, for times outside the run, and if the currents of this loop were not
        recorded.
        """
        return self._sampled("current", id, t, ramp)

    def flux(self, id: str, t: ArrayLike) -> Any:
        """Flux in a loop's SQUID (Phi0) at any times; arguments as for :meth:`current`."""
        return self._sampled("flux", id, t, False)

    def quanta(self, id: str, t: ArrayLike) -> Any:
        """The part q of the current that is whole, decayed flux quanta (I_c); arguments as for :meth:`current`."""
        return self._sampled("quanta", id, t, False)

    def seen(self, id: str, t: ArrayLike) -> Any:
        """The current (I_c) that the loops see to which this one couples: quanta, and the phase as it was at the last one.

        Asleep, a phase that moves by more than 0.05 rad is told too. A loop that flows is seen as it is. Arguments as for :meth:`current`.
        """
        return self._sampled("seen", id, t, False)

    def phase(self, id: str, t: ArrayLike, *, ramp: bool = True) -> Any:
        """Phase across a loop's SQUID beyond whole turns (rad, 0 at rest); arguments as for :meth:`current`."""
        return self._sampled("phase", id, t, ramp)

    def _sampled(self, what: str, name: str, t: ArrayLike, ramp: bool) -> Any:
        where = f"Recording.{what}"
        d = self._loop(name, where)
        try:
            moments = np.asarray(t, dtype=float)
        except (TypeError, ValueError):
            raise InputError(f"{where}.t: {t!r} is not a time or an array of times; give ns") from None
        flat = moments.ravel()
        order, starts = self._groups("trace")
        mine = order[starts[d] : starts[d + 1]]
        if not len(mine):
            raise InputError(
                f'{where}: the current of {name!r} was not recorded; add "currents" to record= of simulate'
            )
        times = self._trace_times(d, mine)
        self._check_times(where, flat, times[0])
        # A time that is a whole number of fs counts as that: distances from events are then the engine's to the bit.
        near = np.rint(flat * 1e6).astype(np.int64)
        beyond = flat - near * 1e-6
        place = np.maximum(np.searchsorted(times, near - (beyond < 0.0), side="right") - 1, 0)
        dt = np.maximum((near - times[place]) * 1e-6 + beyond, 0.0)
        out = np.empty((len(flat), 5))
        self._compute(d, mine[place], dt, ramp, out)
        column = out[:, ("current", "flux", "quanta", "phase", "seen").index(what)]
        return float(column[0]) if moments.ndim == 0 else column.reshape(moments.shape).copy()

    def _trace_times(self, d: int, mine: NDArray[np.int64]) -> NDArray[np.int64]:
        cache = self.__dict__.setdefault("_traced", {})
        if d not in cache:
            cache[d] = self._tables["trace"]["time_fs"][mine]
        return cache[d]

    def _check_times(self, where: str, t: NDArray[np.float64], first_fs: int) -> None:
        if not len(t):
            return
        bad = ~np.isfinite(t)
        if bad.any():
            raise InputError(f"{where}.t: {t[bad][0]} is not a time; give finite times in ns")
        low, high = float(t.min()), float(t.max())
        if low < 0.0:
            raise InputError(f"{where}.t: {low!r} ns is before the run begins; give times from 0 to {self.end!r} ns")
        if high > self.end and np.rint(high * 1e6) > self._now_fs:
            raise InputError(
                f"{where}.t: {high!r} ns is after the end of the recording ({self.end!r} ns); give earlier times, or "
                "run longer"
            )
        if low < first_fs * 1e-6:
            raise InputError(
                f"{where}.t: {low!r} ns is before this recording begins ({first_fs * 1e-6!r} ns, where the run was "
                "restored); the earlier part is in the file of the run before"
            )

    @cached_property
    def _trace_records(self) -> NDArray[Any]:
        values = np.ascontiguousarray(self._tables["trace"]["values"])
        return values.view([(name, _FLOAT) for name in TRACE_FIELDS]).reshape(-1).view(np.recarray)

    @cached_property
    def _amplitude_at(self) -> NDArray[np.int64]:
        """Where the amplitudes of every trace row begin in their stream."""
        modes = np.diff(self.plan.arrays.mode_start)[self._tables["trace"]["loop"]]
        at = np.concatenate([[0], np.cumsum(modes)]).astype(np.int64)
        if at[-1] != len(self._tables["amplitudes"]["value"]):
            raise InputError(
                f"Recording: its trace needs {at[-1]} amplitudes, not {len(self._tables['amplitudes']['value'])}; "
                "the file is damaged, use a copy of it or run again"
            )
        return at

    def _compute(
        self, d: int, row: NDArray[np.int64], dt: NDArray[np.float64], ramp: bool, out: NDArray[np.float64]
    ) -> None:
        a, sources = self.plan.arrays, self.plan.sources
        modes = slice(int(a.mode_start[d]), int(a.mode_start[d + 1]))
        trace = self._tables["trace"]
        _sampler(len(row))(
            row,
            dt,
            trace["mode"],
            self._trace_records,
            self._tables["amplitudes"]["value"],
            self._amplitude_at,
            a.mode_tau[modes],
            a.mode_arm[modes],
            int(a.flow[d]),
            float(a.beta[d]),
            float(a.tau[d]),
            float(a.ib[d]),
            float(a.rest_origin[d]),
            int(a.row[d]),
            sources.rest,
            sources.shape,
            sources.scale,
            sources.levels,
            float(self.plan.tau_0),
            int(ramp),
            out,
        )

    # ------------------------------------------------------------------ energy

    @property
    def energy(self) -> dict[str, Any]:
        """Where the bias's energy went, in joules: ``{"total": {...}, "loops": {id: {...}}}``.

        ``drawn`` = fluxons 2 pi ib, from the bias; ``stored`` = beta_eff q^2/2, in the loop; ``junctions``, by the
        slips; ``leak``, in the loop's resistor; ``purge``, by emptying the loop after a spike; all times I_c Phi0/2
        pi (of a flowing loop: turns of its phase times ib). Drawn is the sum of the others. The phase within the turn
        holds no energy here. A loop's energies are those at its own last event: what it stored then is counted as
        ``stored`` although some of it has leaked away since.

        Loops that load each other store q B q/2 together, a loop q_k (B q)_k/2 of it, at the end of the run; ``passed`` is what one has
        passed on to the others, which is nothing in total.
        """
        plan = self.plan
        missing = [name for name in _COLUMNS if name not in self._progress]
        if missing:
            raise InputError(f"Recording.energy: this recording does not hold {', '.join(missing)}; run it again")
        unit = plan.device.josephson_energy_J
        q = np.asarray(self._progress["q_end"], dtype=float)
        a = plan.arrays
        of = np.repeat(np.arange(len(q)), np.diff(a.load_start))
        pulled = np.bincount(of, weights=a.load_B * q[a.load_loop], minlength=len(q)) if len(of) else np.zeros(len(q))
        columns = {
            "drawn": TWO_PI * plan.arrays.ib * np.asarray(self._progress["fluxons"], dtype=float),
            "stored": 0.5 * q * (a.beta * q + pulled),
            "junctions": np.asarray(self._progress["slip_loss"], dtype=float),
            "leak": np.asarray(self._progress["leak_loss"], dtype=float),
            "purge": np.asarray(self._progress["purge_loss"], dtype=float),
        }
        # The phase of a flowing loop turns without steps, and so the bias works: what it drew is what the run has added up.
        flowing = plan.arrays.flow == 1
        spent = columns["stored"] + columns["junctions"] + columns["leak"] + columns["purge"]
        columns["drawn"] = np.where(flowing, spent, columns["drawn"])
        columns["passed"] = np.where(np.diff(a.load_start) > 0, columns["drawn"] - spent, 0.0)
        return {
            "total": {name: float(math.fsum(column) * unit) for name, column in columns.items()},
            "loops": _by_loop(
                self.loop_ids, lambda k: {name: float(column[k] * unit) for name, column in columns.items()}
            ),
        }

    # ------------------------------------------------------------------ to other libraries

    def to_pandas(self, table: str = "spikes") -> pandas.DataFrame:
        """One of the tables "spikes", "fluxons" or "photons" as a pandas DataFrame, in the order of the events.

        Columns: ``time`` (ns) and ``neuron``, ``loop`` or ``synapse`` (categories of ids); for photons also ``fate``.
        Raises InputError if the table is not one of these or pandas is not installed.
        """
        pandas = _imported("pandas", "Recording.to_pandas")
        owners = {
            "spikes": ("neuron", self.neuron_ids),
            "fluxons": ("loop", self.loop_ids),
            "photons": ("synapse", self.detector_ids),
        }
        if table not in owners:
            raise InputError(
                f"Recording.to_pandas.table: {table!r} is unknown{nearest(table, owners)}; choose one of {[*owners]}"
            )
        title, ids = owners[table]
        columns = self._tables[table]
        frame = {
            "time": columns["time_fs"] * 1e-6,
            title: pandas.Categorical.from_codes(columns[_OWNER[table]], categories=list(ids)),
        }
        if table == "photons":
            frame["fate"] = pandas.Categorical.from_codes(columns["fate"], categories=list(FATES.values()))
        return pandas.DataFrame(frame)

    def to_xarray(self, ids: Iterable[str] | str, times: ArrayLike) -> xarray.Dataset:
        """Currents (I_c) and fluxes (Phi0) of the loops ``ids`` at ``times`` (ns, one axis) as an xarray Dataset over
        (id, time).

        Raises InputError as :meth:`current` does, or if xarray is not installed.
        """
        xarray = _imported("xarray", "Recording.to_xarray", "xarray")
        names = [ids] if isinstance(ids, str) else list(ids)
        moments = np.atleast_1d(np.asarray(times, dtype=float))
        if moments.ndim != 1:
            raise InputError(f"Recording.to_xarray.times: an array of shape {moments.shape}; give times along one axis")
        shape = (len(names), len(moments))
        sampled = {
            what: np.array([getattr(self, what)(name, moments) for name in names]).reshape(shape)
            for what in ("current", "flux")
        }
        return xarray.Dataset(
            {
                "current": (("id", "time"), sampled["current"], {"units": "I_c"}),
                "flux": (("id", "time"), sampled["flux"], {"units": "Phi0"}),
            },
            coords={"id": names, "time": ("time", moments, {"units": "ns"})},
            attrs={"seed": self.seed, "plan_digest": self._header.get("plan_digest", ""), "status": self.status},
        )

    def to_neo(self) -> neo.Block:
        """The spikes as a neo Block of one Segment with a SpikeTrain (ns) for every neuron, named by its id.

        Raises InputError if neo is not installed.
        """
        neo = _imported("neo", "Recording.to_neo", "neo")
        segment = neo.Segment(name="run")
        for name in self.neuron_ids:
            train = neo.SpikeTrain(self.spikes[name], units="ns", t_start=0.0, t_stop=self.end, name=name)
            segment.spiketrains.append(train)
        block = neo.Block(
            name="soen-event", seed=self.seed, plan_digest=self._header.get("plan_digest", ""), status=self.status
        )
        block.segments.append(segment)
        return block

    # ------------------------------------------------------------------ comparing and showing

    def same_events(self, other: Recording) -> bool:
        """Whether both hold the same rows in every table, to the bit, of parts of the same ids."""
        if any(getattr(self, kind) != getattr(other, kind) for kind in ("loop_ids", "detector_ids", "neuron_ids")):
            return False
        return all(
            column.shape == other._tables[table][name].shape
            and column.tobytes() == other._tables[table][name].tobytes()
            for table, columns in self._tables.items()
            for name, column in columns.items()
        )

    def summary(self) -> str:
        """Some lines of text: status, where it came from, what it holds."""
        rows = {table: len(next(iter(columns.values()))) for table, columns in self._tables.items()}
        traced = len(np.unique(self._tables["trace"]["loop"]))
        parts = f"{len(self.neuron_ids)} neurons, {len(self.loop_ids)} loops, {len(self.detector_ids)} detectors"
        origin = [f"{self._header[key]} {key}" for key in ("engine", "resolution") if key in self._header]
        origin += [f"seed {self.seed}", str(self._header.get("created", ""))]
        lines = [
            f"Recording of {self.end:g} ns; {self.status}",
            f"  network  {parts}",
            f"  run      {', '.join(filter(None, origin))}",
            f"  written  by soen-event {self._header['versions'].get('soen_event', '?')}",
            f"  holds    {rows['spikes']} spikes, {rows['fluxons']} fluxons, {rows['photons']} photons, "
            f"currents of {traced} loops",
        ]
        if self.event_counts:
            counted = ", ".join(f"{count} {name}" for name, count in self.event_counts.items() if count)
            lines.append(f"  counts   {counted}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        parts = f"{len(self.neuron_ids)} neurons, {len(self.loop_ids)} loops"
        spikes = len(self._tables["spikes"]["time_fs"])
        return f"<Recording of {self.end:g} ns: {parts}, {spikes} spikes{'' if self.complete else ', interrupted'}>"

    def __getstate__(self) -> dict[str, Any]:
        """Without what is found anew when asked for."""
        kept = ("_plan", "_network", "_header", "_progress", "_tables", "loop_ids", "detector_ids", "neuron_ids")
        return {name: self.__dict__[name] for name in kept}


def _row(index: Mapping[str, int], name: str, where: str, what: str) -> int:
    try:
        return index[name]
    except (KeyError, TypeError):
        raise UnknownId(f"{where}: there is no {what} {name!r}{nearest(name, index)}") from None


def _frozen(column: NDArray[Any]) -> NDArray[Any]:
    view = column.view()
    view.flags.writeable = False
    return view


def _imported(name: str, where: str, extra: str | None = None) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as trouble:
        how = f"'soen-event[{extra}]'" if extra else name
        raise InputError(f"{where}: {name} is not installed; install it with: pip install {how}") from trouble


_sampler_state: dict[str, Any] = {"points": 0, "compiled": None}


def _sampler(points: int) -> Callable[..., None]:
    """:func:`sample`, compiled once enough points have been asked for in this process that compiling (seconds) pays."""
    _sampler_state["points"] += points
    if _sampler_state["compiled"] is None:
        if _sampler_state["points"] <= _PYTHON_POINTS:
            return sample
        from soen_event.engine.jit import compile_function

        _sampler_state["compiled"] = compile_function(cast("FunctionType", sample))
    return cast("Callable[..., None]", _sampler_state["compiled"])
