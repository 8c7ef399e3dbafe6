"""The two queues of the engines, as plain functions on arrays.

Loops wait in an *indexed* heap, one place each, re-keyed in place: a fluxon replaces the loop's last plan and nothing stale is left.
Travelling photons and hotspot ends, which are never called back, wait in an ordinary heap. An event's key is
(time, phase << 58 | target << 29 | source, ordinal); no key depends on when the event was put in.
"""

from __future__ import annotations

from typing import Any


def loop_before(next_fs: Any, i: int, j: int) -> bool:
    """Loop ``i`` comes before loop ``j``: earlier, or at the same time with the lower row."""
    ti = next_fs[i]
    tj = next_fs[j]
    return ti < tj or (ti == tj and i < j)


def rise(queue: Any, place: Any, next_fs: Any, at: int) -> int:
    """Move the loop at heap position ``at`` towards the top while it comes before its parent."""
    item = queue[at]
    while at > 0:
        parent = (at - 1) >> 1
        other = queue[parent]
        if loop_before(next_fs, item, other):
            queue[at] = other
            place[other] = at
            at = parent
        else:
            break
    queue[at] = item
    place[item] = at
    return at


def sink(queue: Any, place: Any, next_fs: Any, size: int, at: int) -> int:
    """Move the loop at heap position ``at`` away from the top while a child comes before it."""
    item = queue[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = queue[child]
        if child + 1 < size:
            right = queue[child + 1]
            if loop_before(next_fs, right, other):
                child += 1
                other = right
        if loop_before(next_fs, other, item):
            queue[at] = other
            place[other] = at
            at = child
        else:
            break
    queue[at] = item
    place[item] = at
    return at


def rekey(queue: Any, place: Any, next_fs: Any, size: int, loop: int) -> None:
    """Restore the heap after ``next_fs[loop]`` has changed."""
    at = place[loop]
    if rise(queue, place, next_fs, at) == at:
        sink(queue, place, next_fs, size, at)


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


def pop(fs: Any, key: Any, ordinal: Any, size: int) -> int:
    """Take the first event out (read it at index 0 before); returns the new size."""
    size -= 1
    t = fs[size]
    k = key[size]
    o = ordinal[size]
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
    return size
