"""Files of rate tables: named arrays with their parameters and a checksum, as NPZ or HDF5, written atomically and checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from soen_event.errors import InputError, checked_path

FORMAT = "soen-rates"
VERSION = 1
HDF5 = (".h5", ".hdf5")
SUFFIXES = (".npz", *HDF5)
# What zipfile, zlib, numpy and h5py raise when a file is damaged or something else (numpy also ValueError).
UNREADABLE = (
    OSError,
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    NotImplementedError,
    MemoryError,
)


def checksum(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Hash of parameters and of all arrays with their names, types and shapes; the same whatever the file."""
    total = hashlib.blake2b(digest_size=16)
    total.update(json.dumps(parameters, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data)
    return total.hexdigest()


def write(path: str | os.PathLike[str], parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Write a table; what was there stays if anything goes wrong. Returns the checksum.

    Args:
        path: ends in .npz, .h5 or .hdf5. Its folder must exist.
        parameters: numbers and strings by name.
        arrays: numbers by name.

    Raises:
        InputError: for another ending, or a folder that is not there.
    """
    path = checked_path(path, "RateTable.save.path")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"RateTable.save.path: {str(path)!r} does not end in {', '.join(SUFFIXES)}; give one of these")
    if not path.parent.is_dir():
        raise InputError(f"RateTable.save.path: there is no folder {str(path.parent)!r}; make it first")
    total = checksum(parameters, arrays)
    head = json.dumps({"format": FORMAT, "version": VERSION, "parameters": dict(parameters), "checksum": total})
    with replaced(path) as temporary:
        if path.suffix.lower() in HDF5:
            import h5py

            with h5py.File(temporary, "w") as file:
                file.attrs["head"] = head
                for name, array in arrays.items():
                    packing = {"compression": "gzip", "shuffle": True} if np.ndim(array) else {}
                    file.create_dataset(name, data=array, **packing)
        else:
            with temporary.open("wb") as stream:
                np.savez_compressed(stream, **{"head": np.array(head), **arrays})  # type: ignore[arg-type]
    return total


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of ``path`` if nothing goes wrong."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(
    path: str | os.PathLike[str], where: str = "RateTable.load.path"
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a table and check it: (parameters, arrays).

    Args:
        path: a file of :func:`write`.
        where: what error messages begin with.

    Raises:
        InputError: the file is missing, is no table, is damaged, or of a later version.
    """
    path = checked_path(path, where)
    if not path.is_file():
        raise InputError(
            f"{where}: there is no file {str(path)!r}; give a table written by RateTable.save or `soen table`"
        )
    try:
        found = _raw(path)
    except (*UNREADABLE, ValueError) as trouble:
        if isinstance(trouble, InputError):
            raise
        raise InputError(f"{where}: {str(path)!r} can not be read ({_first_line(trouble)}); write it again") from None
    text = found.pop("head", None)
    try:
        head = json.loads(str(text[()])) if text is not None else {}
    except ValueError:
        head = {}
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise InputError(
            f"{where}: {str(path)!r} is not a rate table of this library; `soen table --from {path.name} --out table.npz` "
            "(hardware.tables.read_foreign) makes one of it"
        )
    if head.get("version") != VERSION:
        raise InputError(
            f"{where}: {str(path)!r} is of version {head.get('version')}, this library reads version {VERSION}"
        )
    parameters = head.get("parameters", {})
    if checksum(parameters, found) != head.get("checksum"):
        raise InputError(f"{where}: {str(path)!r} is damaged (its checksum is wrong); get or write it again")
    return parameters, found


def _raw(path: Path) -> dict[str, np.ndarray]:
    if path.suffix.lower() in HDF5:
        import h5py

        with h5py.File(path, "r") as file:
            if "head" not in file.attrs:
                return {}
            found = {name: np.asarray(item[()]) for name, item in file.items() if isinstance(item, h5py.Dataset)}
            found["head"] = np.array(str(file.attrs["head"]))
            return found
    stored = np.load(path, allow_pickle=False)
    if not hasattr(stored, "files"):
        return {}
    with stored:
        return {name: stored[name] for name in stored.files} if "head" in stored.files else {}


def _first_line(trouble: BaseException) -> str:
    text = str(trouble).strip().splitlines()
    return text[0] if text else type(trouble).__name__
