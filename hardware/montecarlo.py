"""Many runs of one function over points and seeds, on any number of workers, that survive a kill.

A *study* is a function ``evaluate(point, seed) -> {name: number}``, a list of points (plain data) and a list of seeds; a *job*
is one point with one seed. :func:`run` does every job once and returns :class:`Results` in the order of points and seeds,
whoever did them and when::

    def spikes(point, seed):
        chip = spread(network, Spread.only(bias=point["bias"]), seed)
        return {"spikes": len(simulate(chip, photons, 400.0).spikes["n1"])}

    results = run(spikes, [{"bias": b} for b in (0.0, 0.01, 0.02)], range(100), "study.jsonl", workers=4)

With a path every job becomes a line of that file as soon as it is done. Started again after a kill, the same study
does only the jobs that are missing. **File** (JSON lines, UTF-8): the first line is the study (its digest, the name of the
function, points, seeds), every other one a job::

    {"job": digest, "point": 0, "seed": 3, "values": {"spikes": 4.0}}      or "error": "ValueError: ..." for "values"

Numbers that are not finite are the texts "nan", "inf" and "-inf". A line is written whole and brought to the disk before the next
job is handed out in its place; a torn last line is what a kill leaves, and is cut off. While a run writes, it holds a lock
on the file, which ends with its process.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardware.workers import process_pool
from soen_event.errors import InputError, nearest
from soen_event.parts import shown
from soen_event.physics.random import checked_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["JobsFailed", "Results", "read", "run"]

Evaluate: TypeAlias = "Callable[[Any, int], Mapping[str, float]]"
Progress: TypeAlias = "bool | Callable[[int, int], None] | None"
Outcome: TypeAlias = "tuple[str, Any]"  # ("values", {name: number}) or ("error", text)

VERSION = 1
_WAITING_PER_WORKER, _WAITING = 3, 256  # jobs handed out ahead of time: to workers of ours, to a foreign executor
_LISTED = 5
_TAKEN = ("point", "seed")  # columns of a table of results


class JobsFailed(RuntimeError):
    """Some jobs raised; all others are done. ``failures``: (point, seed, message) each; ``results``: with nan for them."""

    def __init__(self, results: Results):
        self.results, self.failures = results, results.failures
        told = [f"  seed {seed} of {point}: {message}" for point, seed, message in self.failures[:_LISTED]]
        more = [f"  and {len(self.failures) - _LISTED} more"] if len(self.failures) > _LISTED else []
        count = (
            f"{len(self.failures)} of {results.done.size} jobs failed; started again, the study tries them once more"
        )
        super().__init__("\n".join([count, *told, *more]))


# ---------------------------------------------------------------------------------------------- the study


@dataclass(frozen=True)
class _Study:
    """What is to be done. ``jobs``: (point, seed) indices by digest, in canonical order."""

    name: str
    points: tuple[Any, ...]
    seeds: tuple[int, ...]
    digest: str
    jobs: Mapping[str, tuple[int, int]] = field(repr=False)

    @classmethod
    def of(cls, name: str, points: Any, seeds: Any) -> _Study:
        texts, plain, faults = _canonical(points)
        numbers, seed_faults = _seeds(seeds)
        faults += seed_faults
        if faults:
            raise InputError(faults)
        total = hashlib.blake2b(digest_size=16)
        total.update("\n".join([name, *texts, *map(str, numbers)]).encode())
        jobs = {
            hashlib.blake2b(f"{text}\n{seed}".encode(), digest_size=16).hexdigest(): (i, j)
            for i, text in enumerate(texts)
            for j, seed in enumerate(numbers)
        }
        return cls(name, tuple(plain), tuple(numbers), total.hexdigest(), jobs)

    def header(self) -> dict[str, Any]:
        return {
            "soen_montecarlo": VERSION,
            "study": self.digest,
            "evaluate": self.name,
            "points": self.points,
            "seeds": self.seeds,
        }


def _canonical(points: Any) -> tuple[list[str], list[Any], list[str]]:
    """Points as text that does not depend on how they were written, as the plain data of that text, and faults."""
    if isinstance(points, str | Mapping) or not isinstance(points, Iterable):
        return (
            [],
            [],
            [f"montecarlo.points: {shown(points)} is no list; give a list of mappings, such as [{{'bias': 0.01}}]"],
        )
    texts: list[str] = []
    faults: list[str] = []
    seen: dict[str, int] = {}
    for k, point in enumerate(points):
        place = f"montecarlo.points[{k}]"
        if not isinstance(point, Mapping):
            faults.append(f"{place}: {shown(point)} is no mapping; give values by name")
            continue
        try:
            text = json.dumps(dict(point), sort_keys=True, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            remedy = "give finite numbers, text, lists and mappings (of a numpy value its .item() or .tolist())"
            faults.append(f"{place}: {shown(point)} is no plain data ({error}); {remedy}")
            continue
        taken = [name for name in _TAKEN if name in point]
        if taken:
            faults.append(f"{place}: {taken[0]!r} is the name of a column of its own; call it otherwise")
        if text in seen:
            faults.append(f"{place}: is the same as points[{seen[text]}]; leave one out, more seeds give more jobs")
        seen.setdefault(text, k)
        texts.append(text)
    if not texts and not faults:
        faults.append("montecarlo.points: there are none; give at least one, {} if nothing varies but the seed")
    return texts, [json.loads(text) for text in texts], faults


def _seeds(seeds: Any) -> tuple[list[int], list[str]]:
    if isinstance(seeds, str | Mapping) or not isinstance(seeds, Iterable):
        return [], [f"montecarlo.seeds: {shown(seeds)} is no list; give integers, such as range(100)"]
    numbers: dict[int, None] = {}
    faults = []
    for k, seed in enumerate(seeds):
        try:
            number = checked_seed(seed)
        except InputError as error:
            faults += [f"montecarlo.seeds[{k}]: {fault.removeprefix('seed: ')}" for fault in error.faults]
            continue
        if number in numbers:
            faults.append(f"montecarlo.seeds[{k}]: {number} is there already; every seed may stand once")
        numbers[number] = None
    if not numbers and not faults:
        faults.append("montecarlo.seeds: there are none; give at least one, such as [0]")
    return list(numbers), faults


def _name_of(evaluate: Any) -> str:
    """Module and name by which a worker, or a later run, finds the same function."""
    module, name = getattr(evaluate, "__module__", None), getattr(evaluate, "__qualname__", None)
    if not callable(evaluate) or not module or not name or "<" in name:
        raise InputError(
            f"montecarlo.evaluate: {shown(evaluate)} has no name of its own; give a function defined at the top of a module, "
            "and put what varies into the points"
        )
    if module == "__main__":  # a script: as it would be called if it were imported
        main = sys.modules["__main__"]
        spec, script = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(script).stem if script else module
    return f"{module}:{name}"


# ---------------------------------------------------------------------------------------------- the file


class _File:
    """The study's file, open and locked. ``outcomes``: by job, of the lines that were there."""

    def __init__(self, path: Path, study: _Study):
        self.path = path
        if path.is_dir() or not path.parent.is_dir():
            reason = "is a folder" if path.is_dir() else f"its folder {path.parent} does not exist"
            raise InputError(f"{path}: {reason}; give the name of a file in a folder that exists")
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        except OSError as trouble:
            raise InputError(f"{path}: cannot be written ({trouble.strerror}); check its permissions") from None
        try:
            _lock(self._handle, path)
            self.outcomes = self._begin(study)
        except BaseException:
            os.close(self._handle)
            raise

    def _begin(self, study: _Study) -> dict[str, Outcome]:
        """Write the first line, or read what is there and cut off a torn last line."""
        with open(self.path, "rb") as file:
            content = file.read()
        header = _line(study.header())
        whole = content.rfind(b"\n") + 1
        if whole == 0 and header.startswith(content):  # new, or killed before its first line was whole
            os.ftruncate(self._handle, 0)
            self._append(header)
            _sync_folder(self.path.parent)
            return {}
        found, outcomes, good = _parsed(content, self.path)
        if found.digest != study.digest:
            raise InputError(f"{self.path}: {_difference(found, study)}; give another path, or the study that it holds")
        os.ftruncate(self._handle, good)
        return outcomes

    def add(self, done: Sequence[tuple[str, tuple[int, int], int, Outcome]]) -> None:
        """Write jobs: (digest, (point, seed) indices, seed, outcome)."""
        rows = (
            {"job": job, "point": at[0], "seed": seed, what: _to_plain(told)} for job, at, seed, (what, told) in done
        )
        self._append(b"".join(map(_line, rows)))

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._handle, data) :]
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)


def _lock(handle: int, path: Path) -> None:
    """Keep other writers out until the file is closed or the process ends; on systems without flock there is no lock."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{path}: another run is writing it; wait for it, or give another path") from None


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, allow_nan=False, ensure_ascii=True).encode() + b"\n"


def _to_plain(told: Any) -> Any:
    if isinstance(told, str):
        return told
    return {name: value if math.isfinite(value) else repr(value) for name, value in told.items()}


def _parsed(content: bytes, path: Path) -> tuple[_Study, dict[str, Outcome], int]:
    """The study, its outcomes, and how many bytes of the file are whole lines."""
    lines = content.split(b"\n")
    tail = lines.pop()  # empty, or a torn line
    study = _header(lines[0] if lines else tail, path)
    outcomes: dict[str, Outcome] = {}
    good = len(content) - len(tail)
    for k, line in enumerate(lines[1:], start=2):
        try:
            job, outcome = _row(line, study)
        except (ValueError, KeyError, TypeError, AttributeError):
            if k == len(lines):  # the last one: its end was written before its middle
                return study, outcomes, good - len(line) - 1
            raise InputError(f"{path}, line {k}: is damaged; remove the line, and its job will be done again") from None
        if outcomes.get(job, ("error",))[0] == "values":
            raise InputError(f"{path}, line {k}: its job is there already; remove one of the two lines")
        outcomes[job] = outcome
    return study, outcomes, good


def _header(line: bytes, path: Path) -> _Study:
    try:
        header = json.loads(line)
        version = header["soen_montecarlo"]
        if version == VERSION:
            study = _Study.of(header["evaluate"], header["points"], header["seeds"])
            if study.digest == header["study"]:
                return study
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is no file of a study; give another path") from None
    if version != VERSION:
        raise InputError(
            f"{path}: is of version {shown(version)}, and this release reads {VERSION}; use a later release"
        )
    raise InputError(f"{path}, line 1: is damaged: the digest does not fit what it stands for; give another path")


def _row(line: bytes, study: _Study) -> tuple[str, Outcome]:
    row = json.loads(line)
    job = row["job"]
    i, j = study.jobs[job]
    if (row["point"], row["seed"]) != (i, study.seeds[j]):
        raise ValueError("the digest is that of another job")
    if "error" in row:
        return job, ("error", str(row["error"]))
    return job, ("values", {str(name): float(value) for name, value in row["values"].items()})


def _difference(found: _Study, study: _Study) -> str:
    """What sets the study in a file apart from the one that is to be run."""
    if found.name != study.name:
        return f"holds a study of {found.name}, not of {study.name}"
    for word in ("points", "seeds"):
        there, here = getattr(found, word), getattr(study, word)
        if there != here:
            where = next((k for k, pair in enumerate(zip(there, here, strict=False)) if pair[0] != pair[1]), None)
            at = f"the first difference is at {word}[{where}]" if where is not None else "one begins like the other"
            return f"holds a study with other {word} ({len(there)} there, {len(here)} here; {at})"
    return "holds another study"


# ---------------------------------------------------------------------------------------------- running it


def run(
    evaluate: Evaluate,
    points: Iterable[Mapping[str, Any]],
    seeds: Iterable[int],
    path: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress = None,
) -> Results:
    """Do every job of a study, all those that are not in its file yet, and return the results of all.

    Args:
        evaluate: a function at the top of a module, called as evaluate(point, seed), that returns numbers by name (any but
            "point" and "seed"). Its name, not its body, is part of the study: after a change of what it computes, take
            a new path. Whatever is random in it must come from ``point`` and ``seed`` alone; then the results are the
            same on any number of workers.
        points: mappings of plain data (finite numbers, text, lists, mappings), all different. ``evaluate`` gets a copy
            that went through JSON: a tuple arrives as a list.
        seeds: integers, 0 to 2**63 - 1, all different. Every point is run with every seed.
        path: the study's file, by convention ``.jsonl``; None keeps the results in memory alone.
        executor: any concurrent.futures.Executor, such as Dask's ``Client.get_executor()``; it is not shut down. Processes
            that it forks while the file is open keep the file's lock until they end.
        workers: processes to start without an ``executor``, 1 to 1024; None or 1 runs everything in this process. They are
            fresh interpreters ("spawn"), so a script needs ``if __name__ == "__main__":``; they end with this process,
            even if that is killed.
        progress: True, False, a function of (jobs done, jobs in all), or None: shown if standard error is a terminal.

    Raises:
        InputError: an argument that does not fit, a file that is damaged, in use or of another study.
        JobsFailed: after all others are done, if ``evaluate`` raised or returned something else in some jobs. They are noted
            in the file and tried again when the study is started again.
        RuntimeError: a worker died; what was done is in the file, and the study can be started again.

    On KeyboardInterrupt, too, the file keeps what was done.
    """
    name = _name_of(evaluate)
    study = _Study.of(name, points, seeds)
    workers = _checked_workers(workers, executor)
    if workers > 1 or executor is not None:
        _check_travels(evaluate)
    with ExitStack() as stack:
        show = _shown_progress(progress)
        file = None
        if path is not None:
            file = _File(Path(path), study)
            stack.callback(file.close)
        outcomes = dict(file.outcomes) if file is not None else {}
        todo = [job for job in study.jobs if outcomes.get(job, ("error",))[0] != "values"]
        ended, total = len(study.jobs) - len(todo), len(study.jobs)
        show(ended, total)
        waiting = _WAITING
        if todo and executor is None and workers > 1:
            executor = stack.enter_context(process_pool(workers))
            waiting = _WAITING_PER_WORKER * workers
        for done in _done(evaluate, study, todo, executor, waiting):
            if file is not None:
                file.add([(job, study.jobs[job], study.seeds[study.jobs[job][1]], outcome) for job, outcome in done])
            outcomes.update(done)
            ended += len(done)
            show(ended, total)
    results = _collected(study, outcomes)
    if results.failures:
        raise JobsFailed(results)
    return results


def _done(
    evaluate: Evaluate, study: _Study, todo: Sequence[str], executor: Executor | None, waiting: int
) -> Iterator[list[tuple[str, Outcome]]]:
    """Outcomes of jobs as they get done, some at a time."""

    def arguments(job: str) -> tuple[Any, int]:
        i, j = study.jobs[job]
        return json.loads(json.dumps(study.points[i])), study.seeds[j]

    if executor is None:
        for job in todo:
            yield [(job, _evaluated(evaluate, *arguments(job)))]
        return
    left = iter(todo)
    pending: dict[Future[Outcome], str] = {}
    try:
        while True:
            for job in left:
                pending[executor.submit(_evaluated, evaluate, *arguments(job))] = job
                if len(pending) >= waiting:
                    break
            if not pending:
                return
            ended = wait(pending, return_when=FIRST_COMPLETED).done
            finished = [future for future in pending if future in ended]
            lost = [future for future in finished if future.cancelled() or future.exception() is not None]
            yield [(pending.pop(future), future.result()) for future in finished if future not in lost]
            for future in lost:  # never for what evaluate does: that comes back as an outcome
                future.result()
    except (BrokenExecutor, CancelledError) as trouble:
        raise RuntimeError(
            f"a worker died ({type(trouble).__name__}: {trouble}); what was done is kept in the study's file, start it again"
        ) from trouble
    finally:
        for future in pending:
            future.cancel()


def _evaluated(evaluate: Evaluate, point: Any, seed: int) -> Outcome:
    """One job, in whatever process; an exception is an outcome too."""
    try:
        values = evaluate(point, seed)
        return "values", _numbers(values)
    except (Exception, SystemExit) as trouble:
        return "error", f"{type(trouble).__name__}: {trouble}"


def _numbers(values: Any) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise TypeError(f"evaluate returned {shown(values)}; it has to return numbers by name")
    numbers = {}
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, int | float | np.integer | np.floating | np.bool_):
            raise TypeError(f"evaluate returned {shown(value)} for {shown(name)}; it has to return numbers by name")
        if name in _TAKEN:
            raise TypeError(
                f"evaluate returned something under {name!r}, which is a column of its own; call it otherwise"
            )
        numbers[name] = float(value)
    return numbers


def _checked_workers(workers: Any, executor: Any) -> int:
    if executor is not None and not (hasattr(executor, "submit") and callable(executor.submit)):
        raise InputError(f"montecarlo.executor: {shown(executor)} has no submit; give a concurrent.futures.Executor")
    if workers is None:
        return 1
    if executor is not None:
        raise InputError("montecarlo.workers: an executor brings its own; give one of the two")
    if isinstance(workers, bool) or not isinstance(workers, int | np.integer) or not 1 <= workers <= 1024:
        raise InputError(f"montecarlo.workers: {shown(workers)} is no number of processes; give 1 to 1024")
    return int(workers)


def _check_travels(evaluate: Any) -> None:
    try:
        pickle.dumps(evaluate)
    except Exception as trouble:
        raise InputError(
            f"montecarlo.evaluate: {shown(evaluate)} cannot be sent to another process ({trouble}); define it at the top of "
            "a module"
        ) from None


def _shown_progress(progress: Any) -> Callable[[int, int], None]:
    if callable(progress):
        told: Callable[[int, int], None] = progress
        return told
    if progress is not None and not isinstance(progress, bool):
        raise InputError(f"montecarlo.progress: {shown(progress)} is none of True, False, None and a function")
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return lambda done, total: None

    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done} of {total} jobs" + ("\n" if done == total else ""))
        sys.stderr.flush()

    return show


# ---------------------------------------------------------------------------------------------- what came out


@dataclass(frozen=True, eq=False)
class Results:
    """What the jobs of a study returned, in the order of its points and seeds.

    ``points``: the points; ``seeds``: the seeds. ``values``: by name, float64 of shape (points, seeds), nan where a job has not
    been done, failed, or did not return that name. ``done``: bool, same shape. ``failures``: (point, seed, message) each.
    """

    points: tuple[Any, ...]
    seeds: tuple[int, ...]
    values: Mapping[str, NDArray[np.float64]]
    done: NDArray[np.bool_]
    failures: tuple[tuple[Any, int, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the jobs returned, sorted."""
        return tuple(self.values)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a job that is done: ``point`` (its index), ``seed``, then what the point holds and what was returned.

        A returned name takes the place of a point's of the same name.
        """
        return [
            {"point": i, "seed": self.seeds[j], **self.points[i], **{n: float(v[i, j]) for n, v in self.values.items()}}
            for i, j in np.argwhere(self.done).tolist()
        ]

    def array(self, name: str) -> NDArray[np.float64]:
        """What was returned under a name, shape (points, seeds), read-only; raises InputError for an unknown name."""
        if name not in self.values:
            hint = nearest(str(name), self.values)
            known = ", ".join(self.values) or "none"
            raise InputError(f"Results: nothing was returned under {name!r}{hint}; known are {known}")
        return self.values[name]

    def column(self, name: str) -> NDArray[Any]:
        """A column of :attr:`rows`, shape (jobs done,): what was returned, ``seed``, ``point``, or what the points hold.

        Raises:
            InputError: no row has it.
        """
        rows = self.rows
        if rows and not any(name in row for row in rows):
            known = sorted({key for row in rows for key in row})
            raise InputError(
                f"Results.column: there is no {name!r}{nearest(str(name), known)}; give {', '.join(known)}"
            )
        return np.array([row.get(name, math.nan) for row in rows])

    def at(self, point: int | Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
        """What was returned at one point (its index, or the point itself), by name, shape (seeds,)."""
        index = self.points.index(dict(point)) if isinstance(point, Mapping) and dict(point) in self.points else point
        if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < len(self.points):
            raise InputError(f"Results.at: {shown(point)} is no point of this study; give 0 to {len(self.points) - 1}")
        return {name: values[int(index)] for name, values in self.values.items()}

    def mean(self, name: str) -> NDArray[np.float64]:
        """Mean over the seeds that are there, shape (points,); nan where there are none."""
        return np.array([_of(row, np.mean) for row in self.array(name)])

    def std(self, name: str) -> NDArray[np.float64]:
        """Standard deviation over seeds (divisor n - 1), shape (points,); nan below two."""
        return np.array([_of(row, lambda found: np.std(found, ddof=1), 2) for row in self.array(name)])

    def quantile(self, name: str, q: ArrayLike) -> NDArray[np.float64]:
        """Quantiles over seeds (``q`` within 0 to 1), shape (points, *q.shape)."""
        levels = np.asarray(q, dtype=float)
        if levels.size and not (np.min(levels) >= 0.0 and np.max(levels) <= 1.0):
            raise InputError(f"Results.quantile.q: {shown(q)} is not within 0 to 1")
        empty = np.full(levels.shape, math.nan)
        found = [row[~np.isnan(row)] for row in self.array(name)]
        return np.array([np.quantile(row, levels) if row.size else empty for row in found])

    def to_csv(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write :attr:`rows` as CSV, in one step; equal studies give equal bytes, whoever did the jobs.

        Raises:
            InputError: the folder does not exist, or the file does while ``overwrite`` is False.
        """
        import csv
        import io

        path = Path(path)
        _check_new(path, overwrite)
        rows = self.rows
        first = ("point", "seed")
        held = dict.fromkeys(
            name for point in self.points for name in sorted(point) if name not in (*first, *self.values)
        )
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, [*_TAKEN, *held, *self.values], lineterminator="\n")
        table.writeheader()
        table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with open(part, "w", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def plot(self, x: str, y: str, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Draw what was returned under ``y`` against ``x`` into a .png, .pdf or .svg file; return its path.

        ``x`` is a number that every point holds: dots are jobs, the line is their median, the band goes from 10 to 90 %.

        Raises:
            InputError: an unknown name, an ``x`` that is no number of the points, or a path that does not fit.
        """
        from matplotlib.figure import Figure

        from soen_event import plotting

        plotting.check_target(path, overwrite)
        values = self.array(y)
        at = [point.get(x) for point in self.points]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in at):
            raise InputError(f"Results.plot.x: {x!r} is not a number in every point; give the name of one")
        where = np.array(at, dtype=float)
        figure = Figure(figsize=(6.0, 3.6), layout="constrained", facecolor="white")
        _draw_spread(figure.add_subplot(), where, values, x, y)
        return plotting.save(figure, path, overwrite)


def _of(row: NDArray[np.float64], summary: Callable[[Any], Any], least: int = 1) -> float:
    found = row[~np.isnan(row)]
    return float(summary(found)) if found.size >= least else math.nan


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, int | str) else json.dumps(value, sort_keys=True)


def _check_new(path: Path, overwrite: bool) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{path}: its folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file name")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another name or pass overwrite=True")


def _draw_spread(ax: Axes, where: NDArray[np.float64], values: NDArray[np.float64], x: str, y: str) -> None:
    from soen_event import plotting

    dots = np.repeat(where, values.shape[1]), values.ravel()
    ax.plot(*dots, ls="none", marker=".", ms=3.0, mec="none", color=plotting.GREY, alpha=0.5, zorder=1)
    kinds = np.unique(where)
    groups = [values[where == kind].ravel() for kind in kinds]
    groups = [group[~np.isnan(group)] for group in groups]
    there = [k for k, group in enumerate(groups) if group.size]
    low, middle, high = np.array([np.quantile(groups[k], [0.1, 0.5, 0.9]) for k in there]).reshape(-1, 3).T
    ax.fill_between(kinds[there], low, high, color=plotting.SKY, alpha=0.35, lw=0.0, zorder=2, label="10 to 90 %")
    ax.plot(kinds[there], middle, color=plotting.BLUE, marker="o", ms=4.0, lw=1.4, zorder=3, label="median")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.legend(frameon=False, fontsize=8.0)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _collected(study: _Study, outcomes: Mapping[str, Outcome]) -> Results:
    shape = len(study.points), len(study.seeds)
    done = np.zeros(shape, dtype=bool)
    found = [told for what, told in outcomes.values() if what == "values"]
    values = {name: np.full(shape, math.nan) for name in sorted({name for told in found for name in told})}
    failures = []
    for job, (i, j) in study.jobs.items():
        what, told = outcomes.get(job, ("missing", None))
        if what == "values":
            done[i, j] = True
            for name, value in told.items():
                values[name][i, j] = value
        elif what == "error":
            failures.append((study.points[i], study.seeds[j], told))
    for array in (*values.values(), done):
        array.flags.writeable = False
    return Results(study.points, study.seeds, values, done, tuple(failures))


def read(path: str | os.PathLike[str]) -> Results:
    """The results in a study's file as far as it has got, even while a run is writing it; nothing is run or changed.

    Raises:
        InputError: the file is missing, damaged, or none of a study.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as trouble:
        raise InputError(f"{path}: cannot be read ({trouble.strerror}); check the path") from None
    study, outcomes, _ = _parsed(content, path)
    return _collected(study, outcomes)
