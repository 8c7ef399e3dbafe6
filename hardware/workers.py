"""Worker processes that go when the process that started them goes, whatever ends it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

__all__ = ["exit_codes", "follow_parent", "process_pool", "start", "stop"]


def start(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = (), method: str = "spawn"
) -> ProcessPoolExecutor:
    """All processes of a pool, fresh interpreters; a Ctrl-C does not reach them, not even while they start.

    Args:
        workers: how many, 1 or more.
        initializer: called in each with ``arguments``, after :func:`follow_parent`.
        method: "spawn" or "forkserver".
    """
    import multiprocessing

    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context(method),
        initializer=_begin,
        initargs=(initializer, arguments),
    )
    with _interrupts_wait():
        for _ in range(workers):
            pool.submit(_nothing)
    return pool


def stop(pool: ProcessPoolExecutor) -> None:
    """End the processes at once; what they were doing is lost."""
    processes = dict(getattr(pool, "_processes", None) or {})
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes.values():
        process.terminate()


def exit_codes(pool: ProcessPoolExecutor, within: float = 2.0) -> list[int]:
    """How the processes of a broken pool ended; those that were ended because of the others stand last."""
    held = list(dict(getattr(pool, "_processes", None) or {}).values())
    end = time.monotonic() + within
    while any(each.exitcode is None for each in held) and time.monotonic() < end:
        time.sleep(0.01)
    codes = [each.exitcode for each in held if each.exitcode is not None]
    return sorted(codes, key=lambda code: code == -signal.SIGTERM)


@contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool for one piece of work: at its end the processes finish what they have, after an error they end at once."""
    pool = start(workers)
    try:
        yield pool
    except BaseException:  # their jobs are lost anyhow, and may be long
        stop(pool)
        raise
    else:
        pool.shutdown()


def follow_parent() -> None:
    """In a worker: leave interrupts to the parent, and end as soon as it has ended."""
    import threading
    from multiprocessing import connection, parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _begin(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    follow_parent()
    if initializer is not None:
        initializer(*arguments)


def _nothing() -> None:
    pass


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold a Ctrl-C back: processes that are started here never hear one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
