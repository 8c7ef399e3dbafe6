"""Queue work of the compiled engine against a bare Numba heap that does the same pushes and pops.

    python benchmarks/queues.py            # table
    python benchmarks/queues.py --gate     # fewer repeats; exit 1 if the goal is missed

Both hold the next event of every loop and are asked for the first one, a million times over; its loop gets a new time. The engine's way
is an indexed heap for every connected set of loops and one of the sets, worked on window by window: the sets that have something to do in
the window are found, each is run to its end, then put back. The bare heap pops a pair (time, loop) and pushes another.
CPU time of one thread, median of several runs, compile time apart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
from numba import njit

from soen_event.engine import queue
from soen_event.engine.compiled import new_work
from soen_event.engine.jit import compile_function
from soen_event.engine.state import packed
from soen_event.engine.windows import gather
from soen_event.plan import lower

GOAL = 2.0
REKEY, ARRANGE, GATHER = (compile_function(f) for f in (queue.rekey, queue.arrange, gather))


@njit
def bare_push(heap_fs, heap_item, size, fs, item):
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if fs < heap_fs[parent] or (fs == heap_fs[parent] and item < heap_item[parent]):
            heap_fs[at], heap_item[at] = heap_fs[parent], heap_item[parent]
            at = parent
        else:
            break
    heap_fs[at], heap_item[at] = fs, item
    return size + 1


@njit
def bare_pop(heap_fs, heap_item, size):
    size -= 1
    fs, item, at = heap_fs[size], heap_item[size], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and (
            heap_fs[child + 1] < heap_fs[child]
            or (heap_fs[child + 1] == heap_fs[child] and heap_item[child + 1] < heap_item[child])
        ):
            child += 1
        if heap_fs[child] < fs or (heap_fs[child] == fs and heap_item[child] < item):
            heap_fs[at], heap_item[at] = heap_fs[child], heap_item[child]
            at = child
        else:
            break
    heap_fs[at], heap_item[at] = fs, item
    return size


@njit
def bare(steps, heap_fs, heap_item, next_fs, events):
    size = 0
    for d in range(len(next_fs)):
        size = bare_push(heap_fs, heap_item, size, next_fs[d], d)
    total = 0
    for n in range(events):
        fs, d = heap_fs[0], heap_item[0]
        total += d
        size = bare_pop(heap_fs, heap_item, size)
        size = bare_push(heap_fs, heap_item, size, fs + steps[n % len(steps)], d)
    return total


@njit
def engine(steps, W, group, start, next_fs, length, events):
    sets = len(W.top)
    for g in range(sets):
        ARRANGE(W.queue, W.place, next_fs, W.number, start[g], start[g + 1] - start[g])
        W.first_fs[g], W.first_key[g] = next_fs[W.queue[start[g]]], W.queue[start[g]]
    ARRANGE(W.top, W.top_place, W.first_fs, W.first_key, 0, sets)
    total = n = 0
    while n < events:
        ends = W.first_fs[W.top[0]] + length
        W.window[2] = 0
        GATHER(W, ends)
        for j in range(W.window[2]):
            g = W.active[j]
            base = start[g]
            size = start[g + 1] - base
            while True:
                d = W.queue[base]
                if next_fs[d] >= ends:
                    break
                total += d
                next_fs[d] += steps[n % len(steps)]
                REKEY(W.queue, W.place, next_fs, W.number, base, size, d)
                n += 1
            W.sets[g].fs, W.sets[g].key = next_fs[W.queue[base]], W.queue[base]
        many = 4 * W.window[2] > sets
        for j in range(W.window[2]):
            g = W.active[j]
            W.is_active[g] = 0
            W.first_fs[g], W.first_key[g] = W.sets[g].fs, W.sets[g].key
            if not many:
                REKEY(W.top, W.top_place, W.first_fs, W.first_key, 0, sets, g)
        if many:
            ARRANGE(W.top, W.top_place, W.first_fs, W.first_key, 0, sets)
    return n


def measured(sets: int, loops: int, events: int, repeats: int) -> tuple[float, float]:
    """Median ns an event of (engine, bare heap)."""
    import soen_event as se

    net = se.Network()
    for k in range(sets):
        for j in range(loops):
            net.add(se.Dendrite(f"d{k:05}_{j:02}"))
            if j:
                net.add(se.Coupling(f"d{k:05}_{j:02}", f"d{k:05}_00", J=0.1))
    records = packed(lower(net, (), "flow"))
    n = sets * loops
    rng = np.random.default_rng(0)
    steps = rng.exponential(1e6, 4096).astype(np.int64) + 1  # a step of 1 ns in the mean
    times = rng.integers(0, 1_000_000, n)
    found: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        work = new_work(records, 16, 1)
        group = np.asarray(records.loops["group"])
        start = time.thread_time()
        made = engine(steps, work, group, records.group_start, times.copy(), 6_000_000, events)
        one = (time.thread_time() - start) / made
        start = time.thread_time()
        bare(steps, np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1, dtype=np.int64), times.copy(), made)
        other = (time.thread_time() - start) / made
        if repeat:  # the first run compiles
            found[0].append(one * 1e9)
            found[1].append(other * 1e9)
    return statistics.median(found[0]), statistics.median(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gate", action="store_true")
    gate = parser.parse_args().gate
    worst = 0.0
    print("sets x loops    engine ns/event    bare heap ns/event    ratio")
    for sets, loops in ((100, 13), (1000, 13)) if gate else ((1, 40), (100, 13), (1000, 13), (10_000, 13)):
        mine, its = measured(sets, loops, 300_000 if gate else 1_000_000, 3 if gate else 7)
        worst = max(worst, mine / its)
        print(f"{sets:6} x {loops:<6} {mine:12.1f} {its:20.1f} {mine / its:16.2f}")
    print(f"largest ratio {worst:.2f}; goal: at most {GOAL}")
    return int(gate and worst > GOAL)


if __name__ == "__main__":
    sys.exit(main())
