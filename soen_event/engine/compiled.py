"""The compiled engine: events on flat arrays, in Numba. Same events and same bits as the reference engine.

:mod:`soen_event.engine.events` says what one event does, :mod:`soen_event.engine.windows` in which order they come.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.engine import state as engine_state
from soen_event.engine import windows
from soen_event.engine.events import LOG_COLUMNS, N_PHOTONS, N_TRACES, N_WRITES, ROUNDS, SET, TRACE_COLUMNS, Log, Work
from soen_event.engine.happen import begin
from soen_event.engine.jit import compile_function
from soen_event.engine.learn import broadcast, current_at
from soen_event.engine.state import COUNTS, EVENTS, FOREVER, NEXT_PHOTON, NO_KEY, NOW
from soen_event.engine.windows import (
    APART,
    APART_SIZE,
    BOX_FULL,
    COUNTED,
    HEAP_FULL,
    KEY,
    LATEST,
    LOG_FULL,
    PIECES,
    USED,
)

if TYPE_CHECKING:
    from soen_event.engine.state import State
    from soen_event.plan import Plan


FIRST_SPAN = 10_000_000  # fs


class CompiledEngine:
    """The compiled engine of one Plan, with its state and its logs. The reference engine has the same methods.

    ``photon_fs``, ``photon_detector``: photons of the stimulus, sorted by (time, detector). ``want_*``: int64 flags per loop, loop
    and detector, what to log. ``state``: where to begin (by default at rest at time 0); the engine takes it over and changes it.
    ``threads``: how many run at the same time; the results do not depend on it.
    """

    ROWS = 1 << 16
    BOX = 1 << 13
    PER_THREAD = 4  # a window with fewer active sets for each thread is not worth sharing

    def __init__(
        self,
        plan: Plan,
        photon_fs: np.ndarray,
        photon_detector: np.ndarray,
        seed: int,
        want_fluxons: np.ndarray,
        want_trace: np.ndarray,
        want_photons: np.ndarray,
        state: State | None = None,
        threads: int = 1,
    ):
        self.plan, self.seed, self.threads = plan, int(seed), max(1, int(threads))
        self.photon_fs, self.photon_detector = photon_fs, photon_detector
        self.records = engine_state.packed(plan)
        for hook in ("on_detection", "on_spike", "on_fluxon"):
            self.records.rules[hook] = plan.learning.functions(hook, code=True)
        a = plan.arrays
        modes = np.diff(a.mode_start)
        # One event may take every loop of its set and then their rounds, twice if a soma spikes, and as often for what is learnt.
        self.reserve = (4 if len(plan.learning.sites) else 2) * (
            ROUNDS + int(np.diff(self.records.group_start).max(initial=0)) + 1
        )
        tracing = bool(want_trace.any())
        rows = max(self.ROWS, 2 * self.reserve, 2 * len(a.row) + 2 * self.reserve) if tracing else self.reserve
        width = int(modes.max(initial=0)) if tracing else 0
        # What every event writes lies apart from what other threads write, where the one that leads can reach it.
        self._apart = np.zeros((self.threads, APART_SIZE), dtype=np.int64)
        self._sent = np.zeros((3, self.threads, self.ROWS), dtype=np.int64)
        self.logs = [
            new_log(
                want_fluxons,
                want_trace,
                want_photons,
                self.ROWS,
                rows,
                rows * width,
                self._apart[j],
                self._sent[:, j],
                plan.learning.most,
            )
            for j in range(self.threads)
        ]
        self._kept: list[dict[str, np.ndarray]] = []
        self._mixed = False
        self._state = state if state is not None else engine_state.fresh(plan)
        for log in self.logs:
            log.latest[0] = self._state.cursor[NOW]
        sets = len(self.records.group_start) - 1
        self.work = new_work(self.records, max(self.BOX, 2 * sets), PIECES * self.threads)
        self._length = int(compile_function(windows.look_out, persistent=True)(self.records))
        self._run = compile_function(windows.run, persistent=True)
        prepare = compile_function(windows.prepare, persistent=True)
        prepare(self.records, self._state, self.work)
        if state is None:
            compile_function(begin, persistent=True)(
                self.records, self._state, self.work, self.logs[0], plan.tau_0, self.seed
            )
            self._fold()
        else:
            self._relist()
        prepare(self.records, self._state, self.work)

    def _relist(self) -> None:
        """Put the hotspots of a state back into the lists of their sets, last ends first."""
        hot = np.flatnonzero(self._state.detectors["in_hotspot"] == 1)
        ends = self._state.detectors["seen_fs"][hot] + self.records.detectors["hotspot_fs"][hot]
        of = self.records.loops["group"][self.records.detectors["loop"][hot]]
        for j in np.lexsort((hot, ends))[::-1].tolist():
            k, g = int(hot[j]), int(of[j])
            self.work.hot_next[k] = self.work.sets["hot_first"][g]
            self.work.sets["hot_first"][g] = k

    def advance(self, until_fs: int, budget: int, exact: bool = True) -> int:
        """Process events up to and including ``until_fs``; returns DONE, or BUDGET_SPENT once ``budget`` events have happened.

        ``exact``: stop at that very event. Otherwise the window under way is finished first.
        """
        before = int(self._state.counts[EVENTS])
        alone = exact or self._length <= 0
        self._mixed = not alone  # one by one, events are logged as they happen
        step = self._shared if self.threads > 1 and not alone else self._by_one
        while True:
            spent = int(self._state.counts[EVENTS]) - before
            reason = step(int(until_fs), int(budget) - spent, int(alone))
            self._fold()
            if reason == LOG_FULL:
                self._keep()
            elif reason == HEAP_FULL:
                self._state = engine_state.with_more_heap(self._state)
            elif reason == BOX_FULL:
                names = ("box_fs", "box_key", "box_ordinal", "box_drawn", "box_next")
                room = 2 * len(self.work.box_fs)
                self.work = self.work._replace(**{n: np.resize(getattr(self.work, n), room) for n in names})
            else:
                return int(reason)

    def _by_one(self, until_fs: int, budget: int, exact: int) -> int:
        return int(
            self._run(
                self.records,
                self._state,
                self.work,
                self.logs[0],
                self.plan.tau_0,
                self.photon_fs,
                self.photon_detector,
                until_fs,
                budget,
                self._length,
                exact,
                self.seed,
                self.reserve,
            )
        )

    def _shared(self, until_fs: int, budget: int, exact: int) -> int:
        """The same by several threads."""
        from soen_event.engine import crew

        lead: Any = compile_function(crew.lead, persistent=True)
        follow: Any = compile_function(crew.follow, persistent=True)
        shared: tuple[Any, ...] = (self.records, self._state, self.work)
        end: tuple[Any, ...] = (self.seed, self.reserve)
        if not hasattr(self, "_pool"):
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="soen-event")
        sync = np.zeros(crew.CREW + self.threads * APART, dtype=np.int64)
        others = [
            self._pool.submit(partial(follow, *shared, log, self.plan.tau_0, sync, j, *end))
            for j, log in enumerate(self.logs[1:], start=1)
        ]
        light = self.photon_fs, self.photon_detector, until_fs, budget, self._length
        try:
            reason = lead(
                *shared, self.logs[0], self.plan.tau_0, *light, sync, self._apart, self._sent, self.PER_THREAD, *end
            )
        finally:
            sync[crew.TURN] = crew.HOME  # whatever happens
        for other in others:
            other.result()
        return int(reason)

    def signal(self, functions: np.ndarray, values: np.ndarray, now: int) -> None:
        """Let the sites of learning hear a signal at ``now`` (fs), after all events up to then.

        ``functions``: int64 per rule, see ``Learning.functions``; ``values``: float64 per neuron, and one more for sites without.
        """
        heard, log, i = compile_function(broadcast, persistent=True), self.logs[0], 0
        log.key[0] = NO_KEY
        while i < len(self.records.sites):
            if log.used[N_TRACES] + self.reserve > len(log.trace_fs) or log.used[N_WRITES] + log.most_writes[0] > len(
                log.write_fs
            ):
                self._keep()
            i = int(
                heard(
                    self.records,
                    self._state,
                    self.work,
                    log,
                    self.plan.tau_0,
                    functions,
                    values,
                    i,
                    int(now),
                    self.seed,
                )
            )
        for each in self.logs:
            each.latest[0] = max(int(each.latest[0]), int(now))
        self._state.cursor[NOW] = max(int(self._state.cursor[NOW]), int(now))
        self._fold()
        self._order_sets()

    def _order_sets(self) -> None:
        """Put the sets back into their queue, after changes from outside."""
        compile_function(windows.prepare, persistent=True)(self.records, self._state, self.work)

    def expect(self, photon_fs: np.ndarray, photon_detector: np.ndarray) -> None:
        """Take other photons for those that are still to come, sorted by (time, detector)."""
        self.photon_fs, self.photon_detector = photon_fs, photon_detector
        self._state.cursor[NEXT_PHOTON] = 0

    def set_parameters(self, r: int, values: dict[str, float], decayed_to: int | None) -> None:
        """Give rule ``r`` other parameters. ``decayed_to`` (fs): up to when its variables have decayed with the old ones."""
        how = self.plan.learning
        if decayed_to is not None:
            how.catch_up(r, self._state, decayed_to)
        for name, value in values.items():
            self._state.rule_values[how.rules[r].start + how.parameters[r].index(name)] = value

    def _fold(self) -> None:
        """Add what the threads have counted to the state."""
        for log in self.logs:
            self._state.counts[:] += log.counts
            log.counts[:] = 0

    def current(self, d: int, now: int) -> float:
        """Current of loop ``d`` at ``now`` (fs), up to which it need not have been brought."""
        return float(current_at(self.records, self._state, d, now))

    def state(self) -> State:
        """The state as it is now (not a copy)."""
        return self._state

    def _keep(self) -> None:
        """Empty the logs into memory."""
        for log in self.logs:
            if log.used[: len(LOG_COLUMNS)].any():
                self._kept.append(logged(log))
                log.used[: len(LOG_COLUMNS)] = 0

    def drain(self) -> dict[str, np.ndarray]:
        """Take out what has been logged since the last call, in order: columns of :class:`Log` by name."""
        self._keep()
        if not self._kept:
            self._kept.append(logged(self.logs[0]))
        out = {name: np.concatenate([part[name] for part in self._kept]) for name in self._kept[0]}
        self._kept = []
        return in_order(out, self.plan, self._mixed)


def logged(log: Log) -> dict[str, np.ndarray]:
    """A copy of the filled rows of a log, with the keys of the events that they belong to."""
    columns = [(name, table) for table, names in LOG_COLUMNS.items() for name in names]
    columns += [("photon_key", N_PHOTONS), ("trace_key", N_TRACES), ("write_key", N_WRITES)]
    return {name: getattr(log, name)[: log.used[table]].copy() for name, table in columns}


def in_order(rows: dict[str, np.ndarray], plan: Plan, mixed: bool) -> dict[str, np.ndarray]:
    """Rows of a log in the order of their events, by time and key; rows of one event as they were written.

    Unless they were ``mixed`` up, they are in that order already. (Where light takes no time, a later key may come first.)
    """
    a = plan.arrays
    keys = {
        "spike": a.soma[rows["spike_neuron"]],
        "fluxon": rows["fluxon_loop"],
        "photon": rows.pop("photon_key"),
        "trace": rows.pop("trace_key"),
        "write": rows.pop("write_key"),
    }
    for table, key in keys.items() if mixed else ():
        order = np.lexsort((key, rows[f"{table}_fs"]))
        if (order[1:] > order[:-1]).all():
            continue
        if table == "trace":  # their amplitudes are of different widths
            width = np.diff(a.mode_start)[rows["trace_loop"]]
            begins, moved = np.cumsum(width) - width, width[order]
            shift = np.repeat(begins[order] - (np.cumsum(moved) - moved), moved)
            rows["trace_amplitude"] = rows["trace_amplitude"][np.arange(len(shift)) + shift]
        for name in (n for n in rows if n.startswith(table) and n != "trace_amplitude"):
            rows[name] = rows[name][order]
    return rows


def new_work(records: engine_state.Records, box: int, stretches: int) -> Work:
    """Queues and lists of a network; :func:`soen_event.engine.windows.prepare` puts them in order."""
    n, m, g = len(records.loops), len(records.detectors), len(records.group_start) - 1

    def ints(length: int, value: int = 0) -> np.ndarray:
        return np.full(length, value, dtype=np.int64)

    sets = np.zeros(g, dtype=np.dtype(SET)).view(np.recarray)
    sets["start"], sets["room"] = records.group_start[:-1], np.diff(records.group_start)
    sets["hot_first"] = sets["box_first"] = sets["box_last"] = -1
    return Work(
        queue=records.group_member.copy(),
        place=ints(n),
        number=np.arange(n, dtype=np.int64),
        todo=ints(n),
        waiting=ints(n),
        hot_next=ints(m, -1),
        sets=sets,
        first_fs=ints(g, FOREVER),
        first_key=ints(g),
        top=np.arange(g, dtype=np.int64),
        top_place=np.arange(g, dtype=np.int64),
        box_fs=ints(box),
        box_key=ints(box),
        box_ordinal=ints(box),
        box_drawn=ints(box),
        box_next=ints(box),
        active=ints(g),
        is_active=np.zeros(g, dtype=np.int8),
        window=np.array([0, 0, 0, 0, FIRST_SPAN, 0], dtype=np.int64),
        progress=ints(stretches * APART),
        parts=ints(1, 1),
    )


def new_log(
    want_fluxons: np.ndarray,
    want_trace: np.ndarray,
    want_photons: np.ndarray,
    rows: int,
    traces: int,
    amplitudes: int,
    apart: np.ndarray | None = None,
    sent: np.ndarray | None = None,
    writes: int = 0,
) -> Log:
    """Empty buffers: ``rows`` for spikes, fluxons and photons, ``traces`` trace rows with ``amplitudes`` mode amplitudes in all.

    ``apart``: (APART_SIZE,), where to put the numbers that every event writes; ``sent``: (3, rows), spikes that have not set out;
    ``writes``: that one event can make.
    """
    changes = max(rows, 2 * writes) if writes else 0

    def ints(*shape: int) -> np.ndarray:
        return np.zeros(shape, dtype=np.int64)

    apart = ints(APART_SIZE) if apart is None else apart
    sent = ints(3, rows) if sent is None else sent
    return Log(
        want_fluxons,
        want_trace,
        want_photons,
        ints(rows),
        ints(rows),
        ints(rows),
        ints(rows),
        ints(rows),
        ints(rows),
        ints(rows),
        ints(traces),
        ints(traces),
        ints(traces),
        np.zeros((traces, TRACE_COLUMNS)),
        np.zeros(amplitudes),
        sent[0],
        sent[1],
        sent[2],
        apart[USED : USED + 7],
        apart[COUNTED : COUNTED + len(COUNTS)],
        apart[LATEST : LATEST + 1],
        apart[KEY : KEY + 1],
        ints(rows),
        ints(traces),
        ints(changes),
        ints(changes),
        np.zeros(changes),
        ints(changes),
        np.array([writes], dtype=np.int64),
    )
