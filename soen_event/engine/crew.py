"""Threads that share the windows of one run: compiled code only, without the interpreter between windows.

One thread leads: it opens a window, calls a turn, takes its share, waits for the others, and closes the window. The others follow.
They meet in ``sync``, an array of whole numbers that are read and written atomically. Who waits spins for some microseconds, then lets
others have the processor, then naps. The active sets of a window are cut into pieces; whoever is free takes the next one.

Names as in :mod:`soen_event.engine.windows`, whose :func:`~soen_event.engine.windows.run` does the same with one thread.
"""

from __future__ import annotations

import sys
from typing import Any

from numba.core import types

from soen_event.engine.machine import load, store, take
from soen_event.engine.state import EVENTS, FOREVER, NOW
from soen_event.engine.windows import (
    ACTIVE,
    APART,
    BEFORE,
    BUDGET_SPENT,
    COUNTED,
    DONE,
    HEAP_FULL,
    LATEST,
    LOG_FULL,
    OPEN,
    PIECES,
    STAGE,
    UNDER_WAY,
    USED,
    close_window,
    open_window,
    run_sets,
    send_off,
)

# Places of sync: the turn, the next piece; from CREW on two numbers for each thread.
TURN, NEXT, CREW = 0, APART, 2 * APART
HOME = -1  # a turn: go home
SPINS, YIELDS, NAP = 2000, 20, 50  # NAP in us

_NAP: Any = types.ExternalFunction("Sleep" if sys.platform == "win32" else "usleep", types.int32(types.uint32))
_YIELD: Any = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


def rest(times: int) -> int:
    """Wait a little, longer if it has been ``times`` before."""
    if times > SPINS + YIELDS:
        _NAP(NAP)
    elif times > SPINS:
        _YIELD()
    return times + 1


def share(P: Any, S: Any, W: Any, L: Any, tau_0: float, sync: Any, seed: int, reserve: int) -> int:
    """Run pieces of the window until none is left (DONE), or until the log is full (LOG_FULL)."""
    parts = W.parts[0]
    while True:
        part = take(sync, NEXT)
        if part >= parts:
            return DONE
        reason = run_sets(P, S, W, L, tau_0, part, parts, FOREVER, seed, reserve)
        if reason != DONE:
            return reason


def follow(P: Any, S: Any, W: Any, L: Any, tau_0: float, sync: Any, me: int, seed: int, reserve: int) -> int:
    """Take part in every turn that the leader calls, as thread ``me`` (1, 2, ...), until it sends everyone home."""
    mine = CREW + me * APART
    seen = 0
    while True:
        times = 0
        turn = load(sync, TURN)
        while turn == seen:
            times = rest(times)
            turn = load(sync, TURN)
        if turn == HOME:
            return DONE
        seen = turn
        sync[mine + 1] = share(P, S, W, L, tau_0, sync, seed, reserve)
        store(sync, mine, turn)


def happened(apart: Any) -> int:
    """Events in the logs of all threads."""
    total = 0
    for j in range(apart.shape[0]):
        total += apart[j, COUNTED + EVENTS]
    return total


def lead(
    P: Any,
    S: Any,
    W: Any,
    L: Any,
    tau_0: float,
    photon_fs: Any,
    photon_detector: Any,
    until: int,
    budget: int,
    length: int,
    sync: Any,
    apart: Any,
    sent: Any,
    worth: int,
    seed: int,
    reserve: int,
) -> int:
    """Window after window up to and including ``until``, or until ``budget`` events are spent; returns as windows.run does.

    ``apart``: (threads, APART_SIZE), what the logs of the threads count; ``sent``: (3, threads, rows), their spikes that have not set out.
    ``worth``: a window with fewer active sets for each thread is not shared.
    """
    threads = apart.shape[0]
    start = happened(apart)
    turn = 0
    while True:
        if W.window[STAGE] != UNDER_WAY:
            if happened(apart) - start >= budget:
                reason = BUDGET_SPENT
                break
            reason = open_window(P, S, W, photon_fs, photon_detector, until, length, 0, seed)
            if reason != OPEN:
                break
            active = W.window[ACTIVE]
            parts = 1
            if active >= worth * threads:
                parts = PIECES * threads
            for part in range(parts):
                W.progress[part * APART] = active * part // parts
            W.parts[0] = parts
            W.window[BEFORE] = happened(apart)
        reason = DONE
        if W.parts[0] == 1:
            reason = run_sets(P, S, W, L, tau_0, 0, 1, FOREVER, seed, reserve)
        else:
            sync[NEXT] = 0
            turn += 1
            store(sync, TURN, turn)
            reason = share(P, S, W, L, tau_0, sync, seed, reserve)
            for j in range(1, threads):
                mine = CREW + j * APART
                times = 0
                while load(sync, mine) != turn:
                    times = rest(times)
                if sync[mine + 1] != DONE:
                    reason = sync[mine + 1]
        for j in range(threads):
            if send_off(P, S, apart[j, USED:COUNTED], sent[0, j], sent[1, j], sent[2, j]) == HEAP_FULL:
                reason = HEAP_FULL
        if reason == LOG_FULL or reason == HEAP_FULL:
            W.window[BEFORE] -= happened(apart)  # the caller takes the counts
            break
        close_window(S, W, happened(apart) - W.window[BEFORE])
        latest = apart[0, LATEST]
        for j in range(1, threads):
            if apart[j, LATEST] > latest:
                latest = apart[j, LATEST]
        S.cursor[NOW] = latest
    store(sync, TURN, HOME)
    return reason
