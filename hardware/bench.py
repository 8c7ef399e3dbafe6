"""The lab bench: a chip is shown stimuli, answers, gets its reward some time later, and stops when it has learnt the task.

>>> from hardware.bench import Bench, Criterion, Task
>>> task = Task(stimuli={"left": {"a": [0.0]}, "right": {"b": [0.0]}}, answers={"left": "n1", "right": "n2"}, delay=50.0)
>>> found = Bench(chip, task, criterion=Criterion(18, 20), seed=1).run()    # doctest: +SKIP
>>> found.learnt_at, found.accuracy(20)                                     # doctest: +SKIP
(57, 0.9)

The chip (:class:`hardware.instrument.VirtualChip`) runs as one SimPy process, and around it the apparatus: one process shows stimuli,
one watches for the answer, and one pays: it waits ``delay`` ns after the answer and broadcasts the reward to the rules on the
chip. Everything is logged with the chip's time. The order of stimuli follows from ``seed``, all else from the seed of the chip, so the same
bench gives the same bits.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hardware.instrument import VirtualChip
from soen_event.errors import InputError, nearest
from soen_event.parts import shown
from soen_event.physics.random import checked_seed
from soen_event.units import is_number

if TYPE_CHECKING:
    import simpy

__all__ = ["Bench", "Criterion", "Result", "Task", "Trial"]

DECISIONS = ("first", "most")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is shown, what should be answered, and what an answer earns.

    Args:
        stimuli: by name, light: times (ns from the start of the trial, 0 or later) by line of the chip.
        answers: by stimulus, the neuron that should answer.
        choices: neurons that can answer; by default those that ever should.
        window: ns from the start of a trial in which the chip may answer, above 0.
        decide: "first": who spikes first has answered. "most": who spikes most in the window; nobody, if two spike as often.
        signal: name of the reward, which a rule on the chip hears; None: nothing is paid.
        right, wrong, silent: what a right, a wrong and no answer earn.
        delay: ns from the answer (with "most" or without one: from the end of the window) to the reward.
        pause: ns from the end of the window or from the reward, whichever is later, to the next trial.

    Raises:
        InputError: with everything that does not fit.
    """

    stimuli: Mapping[str, Mapping[str, Any]]
    answers: Mapping[str, str]
    choices: tuple[str, ...] | None = None
    window: float = 60.0
    decide: str = "first"
    signal: str | None = "reward"
    right: float = 1.0
    wrong: float = -1.0
    silent: float = 0.0
    delay: float = 0.0
    pause: float = 200.0

    def __post_init__(self) -> None:
        faults = []
        if not isinstance(self.stimuli, Mapping) or not self.stimuli:
            faults.append(f"Task.stimuli: {shown(self.stimuli)} is no mapping with stimuli; give light by name")
        if not isinstance(self.answers, Mapping):
            faults.append(
                f"Task.answers: {shown(self.answers)} is no mapping; give the neuron that should answer by stimulus"
            )
        if not faults:
            faults += self._light_faults()
            faults += [
                f"Task.answers: none for {name!r}; say who should answer"
                for name in self.stimuli
                if name not in self.answers
            ]
            faults += [
                f"Task.answers: there is no stimulus {name!r}{nearest(str(name), self.stimuli)}"
                for name in self.answers
                if name not in self.stimuli
            ]
            if self.choices is None:
                object.__setattr__(self, "choices", tuple(sorted({str(name) for name in self.answers.values()})))
            elif isinstance(self.choices, str) or not isinstance(self.choices, Iterable):
                faults.append(f"Task.choices: {shown(self.choices)} is no list of neurons")
            else:
                object.__setattr__(self, "choices", tuple(self.choices))
                missing = sorted({*map(str, self.answers.values())} - {*map(str, self.choices or ())})
                faults += [f"Task.choices: {name!r} should answer and cannot; add it" for name in missing]
        if self.decide not in DECISIONS:
            faults.append(
                f"Task.decide: {shown(self.decide)} is unknown{nearest(str(self.decide), DECISIONS)}; give 'first' or 'most'"
            )
        if self.signal is not None and not isinstance(self.signal, str):
            faults.append(f"Task.signal: {shown(self.signal)} is no name; give that of a signal, or None")
        for name, above in (("window", True), ("delay", False), ("pause", False)):
            value = getattr(self, name)
            if not is_number(value) or value < 0.0 or (above and value == 0.0):
                faults.append(
                    f"Task.{name}: {shown(value)} is no time {'above' if above else 'of at least'} 0; give ns"
                )
        for name in ("right", "wrong", "silent"):
            if not is_number(getattr(self, name)):
                faults.append(f"Task.{name}: {shown(getattr(self, name))} is no finite number")
        if faults:
            raise InputError(faults[:20])

    def _light_faults(self) -> list[str]:
        faults = []
        for name, light in self.stimuli.items():
            if not isinstance(light, Mapping):
                faults.append(f"Task.stimuli[{name!r}]: {shown(light)} is no mapping; give times (ns) by line")
                continue
            for line, times in light.items():
                try:
                    found = np.atleast_1d(np.asarray(times, dtype=float))
                    good = found.ndim == 1 and bool(np.all(np.isfinite(found) & (found >= 0.0)))
                except (TypeError, ValueError):
                    good = False
                if not good:
                    faults.append(
                        f"Task.stimuli[{name!r}][{line!r}]: {shown(times)} are no times of at least 0; give ns"
                    )
        return faults


@dataclass(frozen=True)
class Criterion:
    """Learnt: ``right`` of the ``last`` answers were right (whole numbers, 1 <= right <= last)."""

    right: int = 18
    last: int = 20

    def __post_init__(self) -> None:
        for name in ("right", "last"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"Criterion.{name}: {shown(value)} is no whole number of at least 1")
        if self.right > self.last:
            raise InputError(f"Criterion.right: {self.right} is more than last ({self.last}); lower it")

    def met(self, right: list[bool]) -> bool:
        """Whether these answers, oldest first, meet it."""
        return len(right) >= self.last and sum(right[-self.last :]) >= self.right


@dataclass(frozen=True)
class Trial:
    """One trial; times in ns on the chip's clock.

    Args:
        number: from 1. stimulus: what was shown. wanted: who should have answered. answer: who did, or None.
        start: of the trial. answered: when, None without an answer. right: whether it was.
        reward: what was paid, and at which time (``paid``); None where nothing is paid.
    """

    number: int
    stimulus: str
    wanted: str
    answer: str | None
    start: float
    answered: float | None
    right: bool
    reward: float | None
    paid: float | None


@dataclass(frozen=True)
class Result:
    """What happened on the bench.

    Args:
        trials: all trials, in order.
        learnt_at: number of the trial at which the criterion was met, None if it was not.
        criterion: what counts as learnt.
        weights: of the places that learn, before and after.
        log: (ns on the chip's clock, what, detail), in order.
        seed: of the order of stimuli.
    """

    trials: tuple[Trial, ...]
    learnt_at: int | None
    criterion: Criterion
    weights: tuple[Mapping[str, float], Mapping[str, float]]
    log: tuple[tuple[float, str, str], ...]
    seed: int

    @property
    def status(self) -> str:
        """How it ended, a sentence."""
        if self.learnt_at is not None:
            return f"learnt: {self.criterion.right} of the last {self.criterion.last} right at trial {self.learnt_at}"
        return f"not learnt in {len(self.trials)} trials; give more (most=), another rule, or an easier criterion"

    def accuracy(self, last: int | None = None) -> float:
        """Share of right answers among the last so many trials, or all; nan without trials."""
        right = [trial.right for trial in self.trials][-(last or len(self.trials)) :]
        return float(np.mean(right)) if right else float("nan")

    def curve(self, width: int = 20) -> NDArray[np.float64]:
        """The learning curve: share of right answers among each trial and up to ``width`` - 1 before it, (trials,)."""
        if isinstance(width, bool) or not isinstance(width, int | np.integer) or width < 1:
            raise InputError(f"Result.curve.width: {shown(width)} is no whole number of at least 1")
        total = np.cumsum([0, *(trial.right for trial in self.trials)])
        k = np.arange(1, len(self.trials) + 1)
        first = np.maximum(k - width, 0)
        return (total[k] - total[first]) / (k - first)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "status": self.status,
            "learnt_at": self.learnt_at,
            "criterion": asdict(self.criterion),
            "seed": self.seed,
            "trials": [asdict(trial) for trial in self.trials],
            "weights": {"before": dict(self.weights[0]), "after": dict(self.weights[1])},
            "log": [list(each) for each in self.log],
        }

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write it as JSON, in one step.

        Raises:
            InputError: the file exists and ``overwrite`` is False, or it cannot be written.
        """
        from soen_event.files import write

        write(path, json.dumps(self.to_dict(), indent=1) + "\n", overwrite)

    def __str__(self) -> str:
        right = sum(trial.right for trial in self.trials)
        silent = sum(trial.answer is None for trial in self.trials)
        return f"{len(self.trials)} trials, {right} right, {silent} without an answer; {self.status}"


class Bench:
    """A chip and the apparatus around it.

    Args:
        chip: a VirtualChip on which a network is loaded, with rules that hear the task's signal.
        task: what is shown and paid.
        criterion: when to stop; None: never before ``most``.
        most: trials at most, 1 or more.
        look: ns between two looks for an answer, above 0; a reward cannot come sooner than the look that sees the answer.
        seed: 0 to 2^63 - 1, of the order of stimuli: all of them, shuffled, again and again.

    Raises:
        InputError: with everything that does not fit.
    """

    def __init__(
        self,
        chip: VirtualChip,
        task: Task,
        *,
        criterion: Criterion | None = Criterion(),
        most: int = 500,
        look: float = 2.0,
        seed: int = 0,
    ):
        faults = []
        if not isinstance(chip, VirtualChip):
            faults.append(f"Bench.chip: {shown(chip)} is no VirtualChip; give one that is loaded")
        if not isinstance(task, Task):
            faults.append(f"Bench.task: {shown(task)} is no Task")
        if criterion is not None and not isinstance(criterion, Criterion):
            faults.append(f"Bench.criterion: {shown(criterion)} is no Criterion; give one, or None")
        if isinstance(most, bool) or not isinstance(most, int | np.integer) or most < 1:
            faults.append(f"Bench.most: {shown(most)} is no number of trials; give a whole number of at least 1")
        if not is_number(look) or look <= 0.0:
            faults.append(f"Bench.look: {shown(look)} is no time above 0; give ns")
        try:
            self.seed = checked_seed(seed)
        except InputError as error:
            faults += error.faults
        if not faults:
            faults += _fit_faults(chip, task)
        if faults:
            raise InputError(faults[:20])
        self.chip, self.task, self.criterion = chip, task, criterion
        self.most, self.look = int(most), float(look)

    def run(self, *, progress: bool | Callable[[int, int], None] = False) -> Result:
        """Trial after trial until the criterion is met, or ``most`` of them.

        Args:
            progress: True: a line on standard error; or a function of (trials done, trials at most).

        A second call goes on with the chip as it is, with the same order of stimuli.
        """
        import simpy

        if progress is not False and progress is not True and not callable(progress):
            raise InputError(f"Bench.run.progress: {shown(progress)} is neither True, False nor a function")
        session = _Session(self, simpy.Environment(), progress)
        return session.result()


def _fit_faults(chip: VirtualChip, task: Task) -> list[str]:
    """What of a task a chip has not."""
    try:
        deployment = chip.deployment
    except InputError as error:
        return error.faults
    lines, neurons = {**deployment.lines, **deployment.ports}, deployment.network.neurons
    faults = [
        f"Task.stimuli[{name!r}]: the chip has no line {line!r}{nearest(str(line), lines)}"
        for name, light in task.stimuli.items()
        for line in light
        if line not in lines
    ]
    faults += [
        f"Task.choices: the chip has no neuron {name!r}{nearest(str(name), neurons)}"
        for name in task.choices or ()
        if name not in neurons
    ]
    if task.signal is not None and task.signal not in chip.hears:
        has = ", ".join(sorted(chip.hears)) or "none"
        faults.append(
            f"Task.signal: no rule on the chip hears {task.signal!r}{nearest(task.signal, chip.hears)}; heard: {has}"
        )
    return faults


class _Session:
    """One run of a bench: its processes and what they write down."""

    def __init__(self, bench: Bench, env: simpy.Environment, progress: Any):
        self.bench, self.task, self.chip, self.env = bench, bench.task, bench.chip, env
        self.progress = _teller(progress, bench.most)
        self.ahead = self.chip.now - env.now
        self.trials: list[Trial] = []
        self.log: list[tuple[float, str, str]] = []
        self.learnt_at: int | None = None
        self.rng = np.random.default_rng(np.random.PCG64(bench.seed))

    def result(self) -> Result:
        learns = self.chip.learns
        before = {name: self.chip.weights[name] for name in learns}
        self.chip.read_out([])  # what came before is none of ours
        self.env.run(self.env.process(self._session()))
        after = {name: self.chip.weights[name] for name in learns}
        bench = self.bench
        return Result(
            tuple(self.trials), self.learnt_at, bench.criterion or Criterion(bench.most, bench.most), (before, after),
            tuple(self.log), bench.seed,
        )  # fmt: skip

    @property
    def now(self) -> float:
        """The chip's time."""
        return float(self.env.now) + self.ahead

    def note(self, what: str, detail: str, at: float | None = None) -> None:
        self.log.append((round(self.now if at is None else at, 6), what, detail))

    def _session(self) -> Generator[Any, Any, None]:
        """The chip runs as long as stimuli are shown."""
        import simpy

        task = self.task
        life = self.chip.process(
            self.env, self.bench.most * (task.window + self.bench.look + task.delay + task.pause) + 1.0
        )
        yield self.env.process(self._show())
        if life.is_alive:
            life.interrupt()
        with contextlib.suppress(simpy.Interrupt):
            yield life

    def _show(self) -> Generator[Any, Any, None]:
        task, env, names = self.task, self.env, sorted(self.task.stimuli)
        order: list[str] = []
        for number in range(1, self.bench.most + 1):
            if not order:
                order = [names[k] for k in self.rng.permutation(len(names))]
            stimulus, start = order.pop(), float(env.now)
            self.note("stimulus", stimulus)
            self.chip.read_out([])  # what came before is no answer to it
            self.chip.inject(task.stimuli[stimulus])
            answer, answered = yield env.process(self._watch(start))
            right = answer == task.answers[stimulus]
            since = start + task.window if answered is None or task.decide == "most" else answered - self.ahead
            pay = env.process(self._pay(answer, right, since))
            yield env.timeout(max(start + task.window - env.now, 0.0))
            reward, paid = yield pay
            self.trials.append(
                Trial(
                    number, stimulus, task.answers[stimulus], answer, start + self.ahead, answered, right, reward, paid
                )
            )
            self.progress(number)
            criterion = self.bench.criterion
            if criterion is not None and criterion.met([trial.right for trial in self.trials]):
                self.learnt_at = number
                self.note("learnt", f"{criterion.right} of the last {criterion.last}")
                return
            yield env.timeout(task.pause)

    def _watch(self, start: float) -> Generator[Any, Any, tuple[str | None, float | None]]:
        """Who answers in the window, and when (the chip's time)."""
        task, env = self.task, self.env
        end, counts, first = start + task.window, dict.fromkeys(task.choices or (), 0), dict[str, float]()
        while env.now < end:
            yield env.timeout(min(self.bench.look, end - env.now))
            spikes = self.chip.read_out([]).spikes
            for name in counts:
                if len(spikes[name]):
                    counts[name] += len(spikes[name])
                    first.setdefault(name, float(spikes[name][0]))
            if first and task.decide == "first":
                break
        if not first:
            self.note("answer", "none")
            return None, None
        if task.decide == "first":
            answer = min(first, key=lambda name: (first[name], name))
        else:
            most = max(counts.values())
            able = [name for name, count in counts.items() if count == most]
            if len(able) > 1:
                self.note("answer", f"none: {' and '.join(able)} spiked as often")
                return None, None
            answer = able[0]
        self.note("answer", answer, first[answer])
        return answer, first[answer]

    def _pay(
        self, answer: str | None, right: bool, since: float
    ) -> Generator[Any, Any, tuple[float | None, float | None]]:
        """The reward, ``delay`` after ``since``."""
        task, env = self.task, self.env
        if task.signal is None:
            return None, None
        yield env.timeout(max(since + task.delay - env.now, 0.0))
        value = float(task.silent if answer is None else task.right if right else task.wrong)
        self.chip.signal(task.signal, value)
        self.note(task.signal, f"{value:g}")
        return value, self.now


def _teller(progress: Any, most: int) -> Callable[[int], None]:
    if callable(progress):
        return lambda done: progress(done, most)
    if not progress:
        return lambda done: None
    import sys

    return lambda done: print(
        f"\rtrial {done} of at most {most}", end="\n" if done == most else "", file=sys.stderr, flush=True
    )
