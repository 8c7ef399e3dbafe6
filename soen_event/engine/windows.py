"""Time in windows: light takes time, so sets of loops that only light connects can be run one after another, or side by side.

A *window* begins at the earliest event that is left and is as long as the fastest light takes from any spike to any detector
(:func:`look_out`). Whatever happens in it can reach another set only after it. So a window is three steps:

* :func:`open_window` hands every photon and kick of the window to its set, in the order of their keys, and lists the active sets;
* :func:`run_sets` runs each active set by itself to the end of the window, its numbers in cache; threads share the sets;
* :func:`close_window` sends the window's spikes off and puts the sets back into the queue.

Every set sees the same events in the same order however the time is cut and whoever runs it, so the results are the same bits for
any number of threads. With ``exact`` a window is one single event, the first of all: no windows at all. A run that is to stop after a
number of events goes that way, and so does a network in which light takes no time.

Names as in :mod:`soen_event.engine.events`.
"""

from __future__ import annotations

from typing import Any

from soen_event.engine.events import (
    N_FLUXONS,
    N_PHOTONS,
    N_SENT,
    N_SPIKES,
    N_TRACES,
    N_WRITES,
    event_key,
    hot_until,
)
from soen_event.engine.fetch import fetch
from soen_event.engine.happen import first_of_set, happen
from soen_event.engine.queue import arrange, earlier, pop, push, rekey, replace
from soen_event.engine.state import (
    EVENTS,
    FOREVER,
    HEAP_SIZE,
    HOTSPOT_END,
    KICK,
    LOOP,
    NEXT_KICK,
    NEXT_PHOTON,
    NO_KEY,
    NOW,
    PHASE_SHIFT,
    PHOTON,
    PLACE_MASK,
    TARGET_SHIFT,
)
from soen_event.physics.random import EMISSION_TIME, LOSS, uniform
from soen_event.physics.transmitter import first_photon_delay
from soen_event.plan import DARK, PHOTONS

DONE, LOG_FULL, HEAP_FULL, BOX_FULL, BUDGET_SPENT, OPEN = range(6)
# Places of Work.window: CLOSED, FILLING or UNDER_WAY; where it ends (fs); how many sets are active; how much has been handed out;
# how long it may be at most (fs), so that a run comes back now and then; events before it.
STAGE, ENDS, ACTIVE, FILLED, SPAN, BEFORE = range(6)
MANY = 100_000  # events of a window: with more the next is shorter
APART = 16  # numbers between those of one thread and the next: two lines of memory
PIECES = 8  # into which threads cut a window's work, for each thread
# A row of numbers for every thread: where its log has its numbers of rows, its counts, the time of its latest event, its key.
USED, COUNTED, LATEST, KEY, APART_SIZE = 512, 640, 768, 896, 2048
CLOSED, FILLING, UNDER_WAY = range(3)
EMIT = 1 << 40  # key w - EMIT: light is about to enter waveguide w, its photons are still to be drawn


def look_out(P: Any) -> int:
    """Shortest time (fs) from a spike to an arrival; FOREVER if nothing shines."""
    shortest = FOREVER
    for n in range(P.neurons.shape[0]):
        sender = P.neurons[n]
        if sender.emission != DARK and sender.guide_stop > sender.guide_start:
            way = sender.latency_fs + P.guides[sender.guide_start].delay_fs
            if way < shortest:
                shortest = way
    return shortest


def launch(P: Any, S: Any, fs: int, neuron: int, ordinal: int) -> None:
    """A spike sets out: one entry of the heap, its first arrival."""
    sender = P.neurons[neuron]
    if sender.emission == DARK or sender.guide_stop == sender.guide_start:
        return
    w = sender.guide_start
    key = w - EMIT
    if sender.emission != PHOTONS:
        key = event_key(PHOTON, P.guides[w].detector, w + 1)
    S.cursor[HEAP_SIZE] = push(
        S.heap_fs,
        S.heap_key,
        S.heap_ordinal,
        S.cursor[HEAP_SIZE],
        fs + sender.latency_fs + P.guides[w].delay_fs,
        key,
        ordinal,
    )


def guide_of(key: int) -> int:
    """The waveguide of a travelling spike, from its key in the heap."""
    if key < 0:
        return key + EMIT
    return (key & PLACE_MASK) - 1


def arrive(P: Any, S: Any, seed: int) -> int:
    """Take the first travelling spike's next arrival from the heap, and put the one after it there.

    Returns 0 if no photon arrives after all (lost on the way, or its time is drawn only now), 1 for a photon, 2 for one whose detection
    was drawn with its emission.
    """
    size = S.cursor[HEAP_SIZE]
    fs = S.heap_fs[0]
    key = S.heap_key[0]
    ordinal = S.heap_ordinal[0]
    w = guide_of(key)
    guide = P.guides[w]
    sender = P.neurons[guide.neuron]
    if size > 2:
        fetch(P.guides, guide_of(S.heap_key[1]))
        fetch(P.guides, guide_of(S.heap_key[2]))
    if sender.emission == PHOTONS and key >= 0:
        S.cursor[HEAP_SIZE] = pop(S.heap_fs, S.heap_key, S.heap_ordinal, size)
        return 1 + guide.drawn
    if w + 1 < sender.guide_stop:
        after = P.guides[w + 1]
        follows = w + 1 - EMIT
        if key >= 0:
            follows = event_key(PHOTON, after.detector, w + 2)
        replace(S.heap_fs, S.heap_key, S.heap_ordinal, size, fs - guide.delay_fs + after.delay_fs, follows, ordinal)
    else:
        size = pop(S.heap_fs, S.heap_key, S.heap_ordinal, size)
        S.cursor[HEAP_SIZE] = size
    if key >= 0:
        if guide.passes < 1.0 and uniform(seed, guide.key, ordinal, LOSS, 0) >= guide.passes:
            return 0
        return 1
    late = first_photon_delay(uniform(seed, guide.key, ordinal, EMISSION_TIME, 0), guide.photons, sender.tau_rad)
    if late >= 0.0:
        S.cursor[HEAP_SIZE] = push(
            S.heap_fs,
            S.heap_key,
            S.heap_ordinal,
            size,
            fs + int(late * 1.0e6 + 0.5),
            event_key(PHOTON, guide.detector, w + 1),
            ordinal,
        )
    return 0


def receiver(P: Any, key: int) -> int:
    """The set at which a photon or a kick arrives."""
    target = (key >> TARGET_SHIFT) & PLACE_MASK
    if key >> PHASE_SHIFT == PHOTON:
        return P.detectors[target].group
    return P.loops[target].group


def hand_out(P: Any, W: Any) -> None:
    """Put what arrives in the window into the inboxes of its sets, in order, and the sets among the active ones."""
    filled = W.window[FILLED]
    for row in range(filled):
        if row + 12 < filled:
            key = W.box_key[row + 12]
            if key >> PHASE_SHIFT == PHOTON:
                fetch(P.detectors, (key >> TARGET_SHIFT) & PLACE_MASK)
        if row + 4 < filled:
            fetch(W.sets, receiver(P, W.box_key[row + 4]))
        g = receiver(P, W.box_key[row])
        W.box_next[row] = -1
        if W.sets[g].box_first < 0:
            W.sets[g].box_first = row
        else:
            W.box_next[W.sets[g].box_last] = row
        W.sets[g].box_last = row
        if W.is_active[g] == 0:
            W.is_active[g] = 1
            W.active[W.window[ACTIVE]] = g
            W.window[ACTIVE] += 1


def open_window(
    P: Any, S: Any, W: Any, photon_fs: Any, photon_detector: Any, until: int, length: int, exact: int, seed: int
) -> int:
    """Begin the next window: OPEN, or DONE if nothing is left up to ``until``.

    HEAP_FULL, BOX_FULL: give the heap or the inbox more room and call again.
    """
    n_kicks = P.kicks.shape[0]
    n_photons = photon_fs.shape[0]
    sets = W.top.shape[0]
    begun = W.window[STAGE] == FILLING
    ends = W.window[ENDS]
    last = FOREVER  # time of what was handed out last
    if not begun:
        W.window[ACTIVE] = 0
        W.window[FILLED] = 0
        ends = until + 1
    while True:
        # The first of what arrives: kicks, photons of the stimulus, travelling spikes.
        fs = FOREVER
        key = NO_KEY
        ordinal = 0
        where = -1
        c = S.cursor[NEXT_KICK]
        if c < n_kicks:
            fs = P.kicks[c].fs
            key = event_key(KICK, P.kicks[c].loop, 0)
            ordinal = c
            where = 0
        c = S.cursor[NEXT_PHOTON]
        if c < n_photons:
            other = event_key(PHOTON, photon_detector[c], 0)
            if earlier(photon_fs[c], other, c, fs, key, ordinal):
                fs = photon_fs[c]
                key = other
                ordinal = c
                where = 1
        if S.cursor[HEAP_SIZE] > 0 and earlier(S.heap_fs[0], S.heap_key[0], S.heap_ordinal[0], fs, key, ordinal):
            fs = S.heap_fs[0]
            key = S.heap_key[0]
            ordinal = S.heap_ordinal[0]
            where = 2
        if not begun:
            own = FOREVER
            own_key = NO_KEY
            if sets > 0:
                own = W.first_fs[W.top[0]]
                own_key = W.first_key[W.top[0]]
            first = fs if fs < own else own
            if first > until or first >= FOREVER:
                return DONE
            if exact == 1:
                if own < fs or (own == fs and own_key < key):
                    W.active[0] = W.top[0]
                    W.is_active[W.top[0]] = 1
                    W.window[ACTIVE] = 1
                    W.window[ENDS] = own + 1
                    W.window[STAGE] = UNDER_WAY
                    return OPEN
                ends = fs + 1
            else:
                if W.window[SPAN] < length:
                    length = W.window[SPAN]
                if length < ends - first:
                    ends = first + length
            begun = True
        if fs >= ends or where < 0:
            break
        if 2 * W.window[FILLED] >= W.box_fs.shape[0] and fs > last:
            ends = fs  # enough for one window
            break
        reason = OPEN
        if W.window[FILLED] >= W.box_fs.shape[0]:
            reason = BOX_FULL
        if S.cursor[HEAP_SIZE] + 2 > S.heap_fs.shape[0]:
            reason = HEAP_FULL
        if reason != OPEN:
            W.window[ENDS] = ends
            W.window[STAGE] = FILLING
            return reason
        drawn = 0
        if where == 0:
            S.cursor[NEXT_KICK] += 1
        elif where == 1:
            S.cursor[NEXT_PHOTON] += 1
        else:
            what = arrive(P, S, seed)
            if what == 0:
                if exact == 1:
                    begun = False
                    ends = until + 1
                continue
            drawn = what - 1
        row = W.window[FILLED]
        W.window[FILLED] = row + 1
        W.box_fs[row] = fs
        W.box_key[row] = key
        W.box_ordinal[row] = ordinal
        W.box_drawn[row] = drawn
        last = fs
        if exact == 1:
            break
    W.window[ENDS] = ends
    W.window[STAGE] = UNDER_WAY
    hand_out(P, W)
    if exact == 0:
        gather(W, ends)
        if 16 * W.window[ACTIVE] > sets:  # many: take them in the order in which they lie in memory
            at = 0
            for g in range(sets):
                if W.is_active[g] == 1:
                    W.active[at] = g
                    at += 1
    return OPEN


def gather(W: Any, ends: int) -> None:
    """Add the sets that have events of their own before ``ends`` to the active ones: a walk over the top of their heap."""
    sets = W.top.shape[0]
    at = 0
    while sets > 0:
        # Walk the heap as a tree, left to right, passing by what comes later.
        g = W.top[at]
        inside = W.first_fs[g] < ends
        if inside and W.is_active[g] == 0:
            W.is_active[g] = 1
            W.active[W.window[ACTIVE]] = g
            W.window[ACTIVE] += 1
        if inside and 2 * at + 1 < sets:
            at = 2 * at + 1
            continue
        while at > 0 and (at % 2 == 0 or at + 1 >= sets):
            at = (at - 1) >> 1
        if at == 0:
            return
        at += 1


def fetch_ahead(P: Any, S: Any, W: Any, at: int, last: int) -> None:
    """Ask for the memory of the active sets that follow the ``at``-th: for a farther one, what leads to the rest."""
    if at + 9 < last:
        fetch(W.sets, W.active[at + 9])
    if at + 7 < last:
        it = W.sets[W.active[at + 7]]
        fetch(W.queue, it.start)
        if it.box_first >= 0:
            fetch(W.box_fs, it.box_first)
            fetch(W.box_key, it.box_first)
            fetch(W.box_next, it.box_first)
    if at + 5 < last:
        k = first_detector(W, W.sets[W.active[at + 5]])
        if k >= 0:
            fetch(P.detectors, k)
            fetch(S.detectors, k)
            fetch(W.hot_next, k)
    if at + 3 < last:
        d = first_loop(P, W, W.sets[W.active[at + 3]])
        fetch(P.loops, d)
        fetch(S.loops, d)
    if at + 1 < last:
        d = first_loop(P, W, W.sets[W.active[at + 1]])
        fetch(S.amplitude, P.loops[d].mode_start)
        fetch(S.mode_hot, P.loops[d].mode_start)
        fetch(S.next_fs, d)
        fetch(W.place, d)


def first_detector(W: Any, it: Any) -> int:
    """The detector of a set's first photon, or else of its first hotspot; -1 if there is neither."""
    if it.box_first >= 0 and W.box_key[it.box_first] >> PHASE_SHIFT == PHOTON:
        return (W.box_key[it.box_first] >> TARGET_SHIFT) & PLACE_MASK
    return it.hot_first


def first_loop(P: Any, W: Any, it: Any) -> int:
    """The loop that something will probably happen to first in a set."""
    k = first_detector(W, it)
    if k >= 0:
        return P.detectors[k].loop
    return W.queue[it.start]


def run_sets(
    P: Any, S: Any, W: Any, L: Any, tau_0: float, part: int, parts: int, left: int, seed: int, reserve: int
) -> int:
    """Run the ``part``-th of ``parts`` equal stretches of the active sets to the end of the window, at most ``left`` events in all.

    Stretches, not every so-manieth, so that threads rarely write to the same lines of memory. Returns DONE, BUDGET_SPENT, or
    LOG_FULL: empty the log and call again.
    """
    ends = W.window[ENDS]
    mine = part * APART
    last = W.window[ACTIVE] * (part + 1) // parts
    while W.progress[mine] < last:
        g = W.active[W.progress[mine]]
        base = W.sets[g].start
        fetch_ahead(P, S, W, W.progress[mine], last)
        while True:
            if (
                L.used[N_TRACES] + reserve > L.trace_fs.shape[0]
                or L.used[N_FLUXONS] + 2 > L.fluxon_fs.shape[0]
                or L.used[N_SPIKES] + 2 > L.spike_fs.shape[0]
                or L.used[N_PHOTONS] + 3 > L.photon_fs.shape[0]
                or L.used[N_SENT] + 2 > L.sent_fs.shape[0]
                or L.used[N_WRITES] + L.most_writes[0] > L.write_fs.shape[0]
            ):
                return LOG_FULL
            # The set's first event: the head of its inbox, its first hotspot end, or its first loop.
            d = W.queue[base]
            now = S.next_fs[d]
            key = event_key(LOOP, d, 0)
            ordinal = 0
            drawn = 0
            k = W.sets[g].hot_first
            if k >= 0:
                cold = hot_until(P, S, k)
                if cold <= now:
                    now = cold
                    key = event_key(HOTSPOT_END, k, 0)
            row = W.sets[g].box_first
            if row >= 0:
                fs = W.box_fs[row]
                if fs < now or (fs == now and W.box_key[row] < key):
                    now = fs
                    key = W.box_key[row]
                    ordinal = W.box_ordinal[row]
                    drawn = W.box_drawn[row]
                    W.sets[g].box_first = W.box_next[row]
            if now >= ends:
                break
            happen(P, S, W, L, tau_0, now, key, ordinal, drawn, seed)
            left -= 1
            if left <= 0:
                break
        fs, key = first_of_set(P, S, W, g)
        W.sets[g].fs = fs
        W.sets[g].key = key
        W.progress[mine] += 1
        if left <= 0:
            return BUDGET_SPENT
    return DONE


def send_off(P: Any, S: Any, used: Any, sent_fs: Any, sent_neuron: Any, sent_ordinal: Any) -> int:
    """Let a log's spikes so far set out, none of which arrives before the window ends; HEAP_FULL if the heap needs more room first."""
    while used[N_SENT] > 0:
        if S.cursor[HEAP_SIZE] + 2 > S.heap_fs.shape[0]:
            return HEAP_FULL
        row = used[N_SENT] - 1
        used[N_SENT] = row
        launch(P, S, sent_fs[row], sent_neuron[row], sent_ordinal[row])
    return DONE


def close_window(S: Any, W: Any, happened: int) -> None:
    """Put the sets that were active back into the queue. ``happened``: events in the window."""
    if happened > MANY:
        W.window[SPAN] //= 2
    elif 4 * happened < MANY and W.window[SPAN] < FOREVER // 2:
        W.window[SPAN] *= 2
    sets = W.top.shape[0]
    active = W.window[ACTIVE]
    many = 4 * active > sets
    for j in range(active):
        g = W.active[j]
        W.is_active[g] = 0
        W.first_fs[g] = W.sets[g].fs
        W.first_key[g] = W.sets[g].key
        if not many:
            rekey(W.top, W.top_place, W.first_fs, W.first_key, 0, sets, g)
    if many:
        arrange(W.top, W.top_place, W.first_fs, W.first_key, 0, sets)
    W.window[STAGE] = CLOSED


def run(
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
    exact: int,
    seed: int,
    reserve: int,
) -> int:
    """Window after window by one thread, up to and including ``until``; stops when ``budget`` events are spent (exactly so, if exact)."""
    start = L.counts[EVENTS]
    while True:
        if W.window[STAGE] != UNDER_WAY:
            if L.counts[EVENTS] - start >= budget:
                return BUDGET_SPENT
            reason = open_window(P, S, W, photon_fs, photon_detector, until, length, exact, seed)
            if reason != OPEN:
                return reason
            W.progress[0] = 0
            W.window[BEFORE] = L.counts[EVENTS]
        left = FOREVER
        if exact == 1:
            left = 1
        reason = run_sets(P, S, W, L, tau_0, 0, 1, left, seed, reserve)
        if send_off(P, S, L.used, L.sent_fs, L.sent_neuron, L.sent_ordinal) == HEAP_FULL:
            reason = HEAP_FULL
        if reason == LOG_FULL or reason == HEAP_FULL:
            W.window[BEFORE] -= L.counts[EVENTS]  # the caller takes the counts
            return reason
        close_window(S, W, MANY if exact == 1 else L.counts[EVENTS] - W.window[BEFORE])
        S.cursor[NOW] = L.latest[0]


def prepare(P: Any, S: Any, W: Any) -> None:
    """Put the queues in order from a state."""
    for g in range(W.top.shape[0]):
        arrange(W.queue, W.place, S.next_fs, W.number, W.sets[g].start, W.sets[g].room)
    for g in range(W.top.shape[0]):
        fs, key = first_of_set(P, S, W, g)
        W.first_fs[g] = fs
        W.first_key[g] = key
    arrange(W.top, W.top_place, W.first_fs, W.first_key, 0, W.top.shape[0])
