"""The queues of the compiled engine, as plain functions on arrays.

Loops wait in *indexed* heaps, one heap for every connected set of loops and one place for every loop, re-keyed in place: a fluxon
replaces the loop's last plan and nothing stale is left. The sets themselves wait in another such heap. Travelling spikes, which are
never called back, wait in an ordinary heap. An event's key is (time, phase << 58 | target << 29 | source, ordinal); no key depends
on when the event was put in.
"""

from __future__ import annotations

from typing import Any


def before(fs: Any, key: Any, i: int, j: int) -> bool:
    """Item ``i`` comes before item ``j``: earlier, or at the same time with the lower key."""
    ti = fs[i]
    tj = fs[j]
    return ti < tj or (ti == tj and key[i] < key[j])


def rise(queue: Any, place: Any, fs: Any, key: Any, base: int, at: int) -> int:
    """Move the item at position ``at`` of the heap that begins at ``queue[base]`` towards the top while it comes before its parent."""
    item = queue[base + at]
    while at > 0:
        parent = (at - 1) >> 1
        other = queue[base + parent]
        if before(fs, key, item, other):
            queue[base + at] = other
            place[other] = at
            at = parent
        else:
            break
    queue[base + at] = item
    place[item] = at
    return at


def sink(queue: Any, place: Any, fs: Any, key: Any, base: int, size: int, at: int) -> int:
    """Move the item at position ``at`` away from the top while a child comes before it."""
    item = queue[base + at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = queue[base + child]
        if child + 1 < size:
            right = queue[base + child + 1]
            if before(fs, key, right, other):
                child += 1
                other = right
        if before(fs, key, other, item):
            queue[base + at] = other
            place[other] = at
            at = child
        else:
            break
    queue[base + at] = item
    place[item] = at
    return at


def rekey(queue: Any, place: Any, fs: Any, key: Any, base: int, size: int, item: int) -> None:
    """Restore the heap of ``size`` items at ``queue[base]`` after the time or key of ``item`` has changed."""
    at = place[item]
    if rise(queue, place, fs, key, base, at) == at:
        sink(queue, place, fs, key, base, size, at)


def arrange(queue: Any, place: Any, fs: Any, key: Any, base: int, size: int) -> None:
    """Make a heap of ``size`` items in any order."""
    for at in range(size):
        place[queue[base + at]] = at
    for at in range(size // 2 - 1, -1, -1):
        sink(queue, place, fs, key, base, size, at)


def earlier(t1: int, k1: int, o1: int, t2: int, k2: int, o2: int) -> bool:
    """Event key 1 comes before event key 2."""
    if t1 != t2:
        return t1 < t2
    if k1 != k2:
        return k1 < k2
    return o1 < o2


def push(fs: Any, key: Any, ordinal: Any, size: int, t: int, k: int, o: int) -> int:
    """Put an event into the heap (the caller sees to the room); returns the new size."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if earlier(t, k, o, fs[parent], key[parent], ordinal[parent]):
            fs[at] = fs[parent]
            key[at] = key[parent]
            ordinal[at] = ordinal[parent]
            at = parent
        else:
            break
    fs[at] = t
    key[at] = k
    ordinal[at] = o
    return size + 1


def replace(fs: Any, key: Any, ordinal: Any, size: int, t: int, k: int, o: int) -> None:
    """Put an event in the place of the first one."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and earlier(
            fs[child + 1], key[child + 1], ordinal[child + 1], fs[child], key[child], ordinal[child]
        ):
            child += 1
        if earlier(fs[child], key[child], ordinal[child], t, k, o):
            fs[at] = fs[child]
            key[at] = key[child]
            ordinal[at] = ordinal[child]
            at = child
        else:
            break
    fs[at] = t
    key[at] = k
    ordinal[at] = o


def pop(fs: Any, key: Any, ordinal: Any, size: int) -> int:
    """Take the first event out (read it at index 0 before); returns the new size."""
    size -= 1
    replace(fs, key, ordinal, size, fs[size], key[size], ordinal[size])
    return size
