"""Arrays to worker processes of the same machine and back through shared memory; everything else through the executor's pipe.

A task's arguments are pickled without their arrays, which are copied into a block that the worker maps: it reads them where they
lie. Its result comes back in a second block, as large as the largest result so far. Each task under way has two blocks of its own.
What is small, or does not fit into the system's shared memory, goes through the pipe.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

__all__ = ["Carrier", "Ticket"]

_SMALL = 2**15  # bytes that go through the pipe all the same
_ALIGNED = 64
_MAPPED = 32  # blocks that a worker keeps mapped


@dataclass(frozen=True)
class _Parcel:
    """A pickle, and its arrays: where they lie in a block, or the bytes themselves."""

    data: bytes
    block: str | None
    spans: tuple[tuple[int, int], ...]
    loose: tuple[bytes, ...]


@dataclass
class _Blocks:
    """What one task has: a block for its arguments, one for its result."""

    out: SharedMemory | None = None
    back: SharedMemory | None = None


class Ticket:
    """A task under way."""

    def __init__(self, carrier: Carrier, future: Future[Any], blocks: _Blocks):
        self._carrier, self._future, self._blocks = carrier, future, blocks

    def result(self) -> Any:
        """Wait for what it returns; raises what it raises."""
        try:
            parcel = self._future.result()
            return self._carrier._opened(parcel, self._blocks)
        finally:
            self._carrier._back(self._blocks, self._future.done())

    def cancel(self) -> None:
        """Nobody wants it any more. If it runs already it may still write: its blocks are not used again."""
        self._carrier._back(self._blocks, self._future.cancel() or self._future.done())


class Carrier:
    """Hands tasks to an executor whose workers are processes of this machine; see the module."""

    def __init__(self) -> None:
        self._free: list[_Blocks] = []
        self._held: dict[str, SharedMemory] = {}
        self._need = 0  # bytes of the largest result so far
        self._end = weakref.finalize(self, _removed, self._held)

    def submit(self, executor: Executor, work: Callable[..., Any], *arguments: Any) -> Ticket:
        """Hand out ``work(*arguments)``."""
        blocks = self._free.pop() if self._free else _Blocks()
        parcel = _packed(arguments, lambda size: self._room(blocks, "out", size))
        reply = self._room(blocks, "back", self._need) if self._need else None
        future = executor.submit(_carried, work, parcel, None if reply is None else reply.name)
        return Ticket(self, future, blocks)

    def close(self) -> None:
        """Give the memory back; workers that map it lose nothing."""
        self._free.clear()
        _removed(self._held)

    def _room(self, blocks: _Blocks, which: str, size: int) -> SharedMemory | None:
        block: SharedMemory | None = getattr(blocks, which)
        if block is not None and block.size >= size:
            return block
        if block is not None:
            self._remove(block)
        made = _made(size + size // 4)
        if made is not None:
            self._held[made.name] = made
        setattr(blocks, which, made)
        return made

    def _opened(self, parcel: _Parcel, blocks: _Blocks) -> Any:
        """What came back, in memory of its own."""
        total = sum(length for _, length in parcel.spans)
        self._need = max(self._need, total + _ALIGNED * len(parcel.spans) if total > _SMALL else 0)
        if parcel.block is None:
            return pickle.loads(parcel.data, buffers=[bytearray(each) for each in parcel.loose])
        assert blocks.back is not None
        view = _view(blocks.back)
        return pickle.loads(parcel.data, buffers=[bytearray(view[at : at + length]) for at, length in parcel.spans])

    def _back(self, blocks: _Blocks, idle: bool) -> None:
        if idle:
            self._free.append(blocks)
            return
        for block in (blocks.out, blocks.back):
            if block is not None:
                self._remove(block)

    def _remove(self, block: SharedMemory) -> None:
        _removed({block.name: self._held.pop(block.name, block)})


def _made(size: int) -> SharedMemory | None:
    """A block, or None if there is not that much: writing to it would end this process."""
    try:
        block = SharedMemory(create=True, size=size)
    except OSError:
        return None
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(block._fd, 0, size)  # type: ignore[attr-defined]
    except OSError:
        _removed({block.name: block})
        return None
    return block


def _removed(blocks: dict[str, SharedMemory]) -> None:
    for block in blocks.values():
        with contextlib.suppress(FileNotFoundError):
            block.unlink()
        with contextlib.suppress(BufferError):
            block.close()
    blocks.clear()


def _view(block: SharedMemory) -> memoryview:
    view = block.buf
    assert view is not None  # it is, of a block that was closed
    return view


def _packed(thing: Any, room: Callable[[int], SharedMemory | None]) -> _Parcel:
    """A thing in pieces, its arrays in a block if there is one that is large enough."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    spans, end = [], 0
    for each in raw:
        spans.append((end, each.nbytes))
        end += -(-each.nbytes // _ALIGNED) * _ALIGNED
    block = room(end) if end > _SMALL else None
    if block is None or block.size < end:
        return _Parcel(data, None, tuple(spans), tuple(bytes(each) for each in raw))
    whole = np.frombuffer(_view(block), dtype=np.uint8)
    for (at, length), each in zip(spans, raw, strict=True):
        whole[at : at + length] = np.frombuffer(each, dtype=np.uint8)
    return _Parcel(data, block.name, tuple(spans), ())


# --------------------------------------------------------------------------------------------- in a worker

_mapped: OrderedDict[str, SharedMemory] = OrderedDict()


def _carried(work: Callable[..., Any], parcel: _Parcel, reply: str | None) -> _Parcel:
    """Do the work on arguments where they lie."""
    if parcel.block is None:
        arguments = pickle.loads(parcel.data, buffers=[bytearray(each) for each in parcel.loose])
    else:
        view = _view(_map(parcel.block))
        arguments = pickle.loads(parcel.data, buffers=[view[at : at + length] for at, length in parcel.spans])
    found = work(*arguments)
    return _packed(found, lambda size: None if reply is None else _map(reply))


def _map(name: str) -> SharedMemory:
    if name not in _mapped:
        _mapped[name] = SharedMemory(name)
        while len(_mapped) > _MAPPED:
            _, old = _mapped.popitem(last=False)
            with contextlib.suppress(BufferError):  # somebody still looks at it
                old.close()
    _mapped.move_to_end(name)
    return _mapped[name]
