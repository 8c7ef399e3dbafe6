"""One file for the state of a training run: nested plain data and arrays, written in one step, read back to the bit.

A *tree* is made of dicts, lists, tuples, numbers, text, None and numpy arrays. It is stored as HDF5: every array is a dataset
``arrays/<place in the tree>``, everything else is JSON in ``tree``, and ``digest`` is a checksum of both. A reader sees the old
file or the whole new one; a damaged file is told as such. Nothing in a file is ever executed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from soen_event.errors import InputError
from soen_event.files import replacement
from soen_event.recording import fixed_text
from training.arguments import existing

__all__ = ["load", "replace_bytes", "save"]

FORMAT, VERSION = "soen_training", 2
_ARRAY, _PAIRS, _TUPLE = "__array__", "__pairs__", "__tuple__"


def save(path: str | os.PathLike[str], tree: Mapping[str, Any], *, durable: bool = True) -> Path:
    """Write a tree; a file of this name is replaced.

    Args:
        path: any name; folders on the way are made.
        tree: what to store. Keys are text or whole numbers.
        durable: wait until the disk has it, so that it also survives a power cut.

    Raises:
        InputError: something in the tree is no plain data, or the place cannot be written to.
    """
    import h5py

    arrays: dict[str, np.ndarray] = {}
    faults: list[str] = []
    text = json.dumps(_packed(tree, "", arrays, faults))
    if faults:
        raise InputError(faults)
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file.attrs["format"], file.attrs["version"] = np.bytes_(FORMAT), VERSION
        file.attrs["digest"] = np.bytes_(_digest(text, arrays))
        file.create_dataset("tree", data=np.frombuffer(text.encode(), dtype=np.uint8))
        group = file.create_group("arrays")
        for name, array in arrays.items():
            stored = group.create_dataset(name, data=_storable(array))
            stored.attrs["dtype"] = np.bytes_(array.dtype.str)
    return replace_bytes(path, image.getvalue(), durable=durable)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a tree that :func:`save` wrote.

    Raises:
        InputError: no such file, no file of this kind or version, or one that is damaged.
    """
    import h5py

    path = existing(path, "a checkpoint")
    try:
        with h5py.File(path, "r") as file:
            if fixed_text(file, "format") != FORMAT:
                raise InputError(f"{path}: is no checkpoint of a training run; give a file that a trainer wrote")
            if file.attrs.get("version") != VERSION:
                told = f"{path}: has version {file.attrs.get('version')}, this release reads {VERSION}; use the release that wrote it"
                raise InputError(told)
            text = file["tree"][()].tobytes().decode()
            arrays: dict[str, np.ndarray] = {}
            file["arrays"].visititems(
                lambda name, item: arrays.update({name: _restored(item)}) if isinstance(item, h5py.Dataset) else None
            )
            digest = fixed_text(file, "digest")
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: cannot be read ({error}); it is damaged, or no checkpoint") from error
    if digest != _digest(text, arrays):
        raise InputError(f"{path}: its checksum does not fit its contents; it is damaged, use an older checkpoint")
    tree: dict[str, Any] = _unpacked(json.loads(text), arrays)
    return tree


def replace_bytes(path: str | os.PathLike[str], data: bytes, *, durable: bool = True) -> Path:
    """Put a file in place in one step, and make the folders on the way: a reader sees the old file or the whole new one.

    Raises:
        InputError: the place cannot be written to.
    """
    with replacement(path, overwrite=True, make_folders=True, durable=durable) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def _packed(value: Any, place: str, arrays: dict[str, np.ndarray], faults: list[str]) -> Any:
    """Plain data for JSON; arrays are put aside under the name of their place."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return value
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in "biufcU":
            faults.append(
                f"checkpoint.{place}: an array of {array.dtype} cannot be stored; give numbers, booleans or text"
            )
            return None
        name = place if place and place not in arrays else f"{place}#{len(arrays)}"
        arrays[name] = array
        return {_ARRAY: name, "scalar": isinstance(value, np.generic)}
    if isinstance(value, Mapping):
        inner = {key: _packed(each, _joined(place, key), arrays, faults) for key, each in value.items()}
        if all(isinstance(key, str) and not key.startswith("__") for key in inner):
            return inner
        if all(isinstance(key, str | int) for key in inner):
            return {_PAIRS: [[key, each] for key, each in inner.items()]}
        faults.append(f"checkpoint.{place}: has keys that are neither text nor whole numbers; rename them")
        return None
    if isinstance(value, list | tuple):
        items = [_packed(each, _joined(place, k), arrays, faults) for k, each in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    faults.append(f"checkpoint.{place}: {type(value).__name__} is no plain data; store numbers, text, lists or arrays")
    return None


def _joined(place: str, key: Any) -> str:
    """A place one step further; what HDF5 reads as a path of its own is spelled otherwise."""
    word = str(key).replace("/", "|") or "_"
    word = f"_{word}" if set(word) == {"."} else word
    return f"{place}/{word}" if place else word


def _unpacked(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpacked(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        array = arrays[value[_ARRAY]]
        return array[()] if value["scalar"] else array
    if _PAIRS in value:
        return {key: _unpacked(each, arrays) for key, each in value[_PAIRS]}
    if _TUPLE in value:
        return tuple(_unpacked(each, arrays) for each in value[_TUPLE])
    return {key: _unpacked(each, arrays) for key, each in value.items()}


def _storable(array: np.ndarray) -> np.ndarray:
    """Text goes as its code points, because HDF5 has no fixed text of this kind."""
    if array.dtype.kind != "U":
        return array
    width = max(array.dtype.itemsize // 4, 1)
    return np.ascontiguousarray(array.astype(f"<U{width}")).view(np.uint32).reshape(*array.shape, width)


def _restored(item: Any) -> np.ndarray:
    array = np.asarray(item[()])
    kind = np.dtype(fixed_text(item, "dtype"))
    if kind.kind != "U":
        return array
    width = array.shape[-1]
    return np.ascontiguousarray(array.astype("<u4")).view(f"<U{width}").reshape(array.shape[:-1])


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    total = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(arrays):
        array = _storable(np.asarray(arrays[name]))
        total.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
