"""Time steps against events: what a time-stepped run of a network makes of the spikes, currents and answers of the event engine.

    report = agreement(twin_trains, recordings, dt=0.5)      # a sample each: trains by neuron id, and Recordings or the like
    print(report); report.plot("agreement.png")

Spikes are matched first (:mod:`soen_event.trains`), because at coarse steps their numbers differ; then times (features.md 3.4).
Any twin will do: what comes in is trains by neuron, currents as arrays, and answers. :func:`training.transfer.compare` makes all of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardware.answers import Answers
from soen_event.errors import InputError, nearest
from soen_event.trains import align, checked_train, van_rossum

__all__ = ["PROMISE", "Agreement", "CurrentRow", "TrainRow", "agreement", "trains_of_steps"]

PROMISE = 0.01  # largest share of trains (a neuron in a sample) that have another number of spikes in the time steps
SHOWN = 20  # rows of a printed table
Trains = Mapping[str, Any]


@dataclass(frozen=True)
class TrainRow:
    """One neuron over all samples, or all neurons (id "all"). A train is a neuron in a sample.

    Args:
        id: of the neuron.
        trains: number of trains.
        stepped, events: numbers of spikes.
        differing: trains whose numbers of spikes differ.
        victor_purpura: mean distance of a train.
        van_rossum: mean distance of a train.
        matched, missing, extra: spikes that both have, that the steps lack, that the steps have too many.
        median_ns, percentile_90_ns: of the distances of matched spikes; nan if there are none.
        bias_ns: mean of stepped - event time: positive if the steps are late.
        late: share of the matched spikes that are later in the steps; nan if there are none.
    """

    id: str
    trains: int
    stepped: int
    events: int
    differing: int
    victor_purpura: float
    van_rossum: float
    matched: int
    missing: int
    extra: int
    median_ns: float
    percentile_90_ns: float
    bias_ns: float
    late: float

    @property
    def share(self) -> float:
        """Of trains whose numbers of spikes differ; nan if there is none."""
        return self.differing / self.trains if self.trains else math.nan


@dataclass(frozen=True)
class CurrentRow:
    """One loop, or all (id "all"), at the steps of all samples; I_c.

    Args:
        id: of the loop.
        largest, rms: of stepped - event current.
        correlation: of both; nan if one is constant.
        peak: largest current of the events.
    """

    id: str
    largest: float
    rms: float
    correlation: float
    peak: float


@dataclass(frozen=True)
class Agreement:
    """What :func:`agreement` found.

    ``spikes``: over all neurons; ``current``: over all loops; ``shifts``: of all matched spikes, ns. ``trains``, ``currents``,
    ``answered``: what was compared, of the steps and of the events.
    """

    name: str
    dt: float
    duration: float | None
    samples: int
    cost: float
    tau: float
    neurons: list[TrainRow]
    spikes: TrainRow
    loops: list[CurrentRow]
    current: CurrentRow | None
    answers: Answers | None
    shifts: NDArray[np.float64] = field(repr=False, compare=False)
    trains: tuple[Sequence[Trains], Sequence[Trains]] = field(repr=False, compare=False)
    currents: tuple[NDArray[Any], NDArray[Any]] | None = field(default=None, repr=False, compare=False)
    answered: tuple[NDArray[Any], NDArray[Any]] | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Fewer than :data:`PROMISE` of the trains have another number of spikes. True if there are no neurons."""
        return self.spikes.trains == 0 or self.spikes.share < PROMISE

    @property
    def differing_neurons(self) -> float:
        """Share of neurons whose number of spikes differs in any sample; nan if there are none."""
        return float(np.mean([row.differing > 0 for row in self.neurons])) if self.neurons else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not finite is None."""
        return {
            "name": self.name,
            "dt_ns": self.dt,
            "duration_ns": self.duration,
            "samples": self.samples,
            "cost_per_ns": _plain(self.cost),
            "tau_ns": self.tau,
            "promise": PROMISE,
            "ok": self.ok,
            "share_of_trains_that_differ": _plain(self.spikes.share),
            "share_of_neurons_that_differ": _plain(self.differing_neurons),
            "spikes": self._row(self.spikes),
            "neurons": [self._row(row) for row in self.neurons],
            "current": _row(self.current) if self.current else None,
            "loops": [_row(row) for row in self.loops],
            "answers": self.answers.as_dict() if self.answers else None,
        }

    def _row(self, row: TrainRow) -> dict[str, Any]:
        times = {
            name.replace("_ns", "_steps"): _plain(getattr(row, name) / self.dt)
            for name in ("median_ns", "percentile_90_ns", "bias_ns")
        }
        return _row(row) | times

    def __str__(self) -> str:
        of = f", {self.name}" if self.name else ""
        long = f" of {self.duration:g} ns" if self.duration is not None else ""
        lines = [f"time steps against events{of}: {self.samples} samples{long}, steps of {self.dt:g} ns", ""]
        if self.neurons:
            lines += self._spike_lines()
        if self.current is not None:
            lines += self._current_lines()
        if self.answers is not None:
            lines += self.answers.told("steps", "events").splitlines()
        return "\n".join(lines).rstrip()

    def _spike_lines(self) -> list[str]:
        lines = [
            f"{'':<16}{'spikes, steps':>14}{'events':>9}{'differ':>9}{'VP':>8}{'VR':>8}{'missing':>9}{'extra':>7}"
            f"{'median, ns':>12}{'90 %':>8}{'mean':>8}"
        ]
        worst = sorted(self.neurons, key=lambda row: -row.victor_purpura)
        shown = {row.id for row in worst[:SHOWN]}
        rows = [row for row in self.neurons if row.id in shown]
        for row in [*rows, self.spikes]:
            if row is self.spikes and len(self.neurons) > SHOWN:
                lines.append(f"... {len(self.neurons) - SHOWN} more that are nearer")
            lines.append(
                f"{_short(row.id):<16}{row.stepped:>14}{row.events:>9}{100 * row.share:>7.2f} %"
                f"{row.victor_purpura:>8.3f}{row.van_rossum:>8.3f}"
                f"{row.missing:>9}{row.extra:>7}{_told(row.median_ns, '.3f'):>12}{_told(row.percentile_90_ns, '.3f'):>8}"
                f"{_told(row.bias_ns, '+.3f'):>8}"
            )
        all_, reach = self.spikes, 2.0 / self.cost if self.cost else math.inf
        lines += [
            "",
            f"{all_.differing} of {all_.trains} trains have another number of spikes: {100 * all_.share:.2f} % "
            f"({'less than' if self.ok else 'not less than'} {100 * PROMISE:g} %); in some sample "
            f"{100 * self.differing_neurons:.1f} % of the neurons",
        ]
        if all_.matched:
            lines += [
                f"{all_.matched} spikes matched within {reach:g} ns: half within {all_.median_ns / self.dt:.2f} steps, 90 % within "
                f"{all_.percentile_90_ns / self.dt:.2f}; {100 * all_.late:.0f} % of them come late in the steps, "
                f"{all_.bias_ns / self.dt:+.2f} steps in the mean",
            ]
        lines.append(f"VP: Victor-Purpura, {self.cost:g}/ns; VR: van Rossum, {self.tau:g} ns; means over trains")
        return [*lines, ""]

    def _current_lines(self) -> list[str]:
        lines = [f"{'':<16}{'largest, I_c':>14}{'rms':>11}{'correlation':>13}{'peak':>9}"]
        worst = sorted(self.loops, key=lambda row: -row.largest)
        shown = {row.id for row in worst[: SHOWN // 2]}
        if len(self.loops) > len(shown):
            lines[0] += "   (the loops that are farthest off)"
        for row in [row for row in self.loops if row.id in shown] + ([self.current] if self.current else []):
            lines.append(
                f"{_short(row.id):<16}{row.largest:>14.2e}{row.rms:>11.2e}{_told(row.correlation, '.6f'):>13}{row.peak:>9.4f}"
            )
        return [*lines, ""]

    def plot(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Draw the spikes of the sample that differs most, numbers of spikes, distances of matched spikes, and currents."""
        from soen_event import plotting

        plotting.check_target(path, overwrite)
        plotting.save(_picture(self), path, overwrite=overwrite)


def agreement(
    stepped: Trains | Sequence[Trains],
    events: Any,
    dt: float,
    *,
    cost: float = 0.1,
    tau: float = 10.0,
    duration: float | None = None,
    currents: tuple[ArrayLike, ArrayLike] | None = None,
    loops: Iterable[str] | None = None,
    answers: tuple[ArrayLike, ArrayLike] | None = None,
    labels: ArrayLike | None = None,
    name: str = "",
) -> Agreement:
    """Compare a time-stepped run with the events of the same network and light.

    Args:
        stepped: spike times (ns, ascending) by neuron id; a mapping for every sample (see :func:`trains_of_steps`).
        events: as many mappings, or whatever has them as ``spikes``: Recordings, Readouts.
        dt: step, ns.
        cost: of the Victor-Purpura distance, per ns: spikes are matched within 2/cost.
        tau: of the van Rossum distance, ns.
        duration: of a sample, ns, for the report's head.
        currents: of the steps and of the events at the same times, (samples, times, loops).
        loops: ids of the currents' columns.
        answers: of both, one a sample.
        labels: right answers.
        name: a title.

    Raises:
        InputError: with all that does not fit together.
    """
    mine, theirs, faults = _samples(stepped), _samples(events), []
    if not mine or len(mine) != len(theirs):
        faults.append(f"agreement.events: {len(theirs)} samples, of the steps {len(mine)}; give as many of both")
    if isinstance(dt, bool) or not isinstance(dt, int | float | np.number) or not 0.0 < dt < math.inf:
        faults.append(f"agreement.dt: {dt!r} is no step; give a positive number of ns")
    ids = list(mine[0]) if mine else []
    for k, (one, two) in enumerate(zip(mine, theirs, strict=False)):
        for which, trains in (("stepped", one), ("events", two)):
            faults += [
                f"agreement.{which}: no neuron {name!r} in sample {k}{nearest(name, trains)}; give the trains of all"
                for name in ids
                if name not in trains
            ]
        faults += [f"agreement.events: {name!r} of sample {k} is not in the steps" for name in two if name not in ids]
        faults += [f"agreement.stepped: {name!r} of sample {k} is not in sample 0" for name in one if name not in ids]
    pair, columns = _currents(currents, loops, len(mine), faults)
    if labels is not None and answers is None:
        faults.append("agreement.labels: there are no answers to judge; give answers=(of the steps, of the events)")
    if faults:
        raise InputError(faults[:20])
    step = float(dt)
    found = [
        _Train.of(one[name], two[name], name, cost, tau) for name in ids for one, two in zip(mine, theirs, strict=True)
    ]
    by = [found[k * len(mine) : (k + 1) * len(mine)] for k in range(len(ids))]
    shifts = np.concatenate([each.shifts for each in found]) if found else np.zeros(0)
    rows, total = [], None
    if pair is not None:
        rows = [_current_row(id_, pair[0][..., j], pair[1][..., j]) for j, id_ in enumerate(columns)]
        total = _current_row("all", *pair)
    return Agreement(
        name,
        step,
        duration,
        len(mine),
        float(cost),
        float(tau),
        [_train_row(id_, part) for id_, part in zip(ids, by, strict=True)],
        _train_row("all", found),
        rows,
        total,
        Answers.of(labels, *answers) if answers is not None else None,
        shifts,
        (mine, theirs),
        pair,
        (np.asarray(answers[0]), np.asarray(answers[1])) if answers is not None else None,
    )


def trains_of_steps(spikes: ArrayLike, dt: float, ids: Sequence[str]) -> list[dict[str, NDArray[Any]]]:
    """Trains by neuron of a batch of steps: a spike in step k comes at its end, (k + 1) dt.

    Args:
        spikes: (batch, steps, neurons); what is above one half is a spike.
        dt: ns.
        ids: of the neurons.

    Raises:
        InputError: spikes of another shape.
    """
    array = np.asarray(spikes)
    if array.ndim != 3 or array.shape[2] != len(ids):
        raise InputError(f"trains_of_steps.spikes: of shape {array.shape}; give (batch, steps, {len(ids)})")
    return [
        {name: (np.flatnonzero(sample[:, k] > 0.5) + 1.0) * float(dt) for k, name in enumerate(ids)} for sample in array
    ]


@dataclass(frozen=True)
class _Train:
    """A neuron in a sample."""

    stepped: int
    events: int
    distance: float
    blurred: float
    shifts: NDArray[np.float64]

    @classmethod
    def of(cls, stepped: Any, events: Any, name: str, cost: float, tau: float) -> _Train:
        truth, mine = (
            checked_train(events, f"agreement.events {name}"),
            checked_train(stepped, f"agreement.stepped {name}"),
        )
        both = align(truth, mine, cost)
        return cls(len(mine), len(truth), both.distance, van_rossum(truth, mine, tau), both.shifts)


def _train_row(name: str, trains: Sequence[_Train]) -> TrainRow:
    shifts = np.concatenate([each.shifts for each in trains]) if trains else np.zeros(0)
    stepped, events = sum(each.stepped for each in trains), sum(each.events for each in trains)
    off = np.abs(shifts)
    return TrainRow(
        name,
        len(trains),
        stepped,
        events,
        sum(each.stepped != each.events for each in trains),
        float(np.mean([each.distance for each in trains])) if trains else math.nan,
        float(np.mean([each.blurred for each in trains])) if trains else math.nan,
        len(shifts),
        events - len(shifts),
        stepped - len(shifts),
        float(np.median(off)) if len(off) else math.nan,
        float(np.percentile(off, 90)) if len(off) else math.nan,
        float(shifts.mean()) if len(off) else math.nan,
        float(np.mean(shifts > 0.0)) if len(off) else math.nan,
    )


def _current_row(name: str, stepped: NDArray[Any], events: NDArray[Any]) -> CurrentRow:
    off = stepped - events
    one, two = stepped - stepped.mean(), events - events.mean()
    size = math.sqrt(float((one**2).sum()) * float((two**2).sum()))
    return CurrentRow(
        name,
        float(np.abs(off).max()),
        float(np.sqrt(np.mean(off**2))),
        float((one * two).sum()) / size if size > 0.0 else math.nan,
        float(np.abs(events).max()),
    )


def _samples(given: Any) -> list[Trains]:
    single = isinstance(given, Mapping) or hasattr(given, "spikes")
    return [getattr(each, "spikes", each) for each in ([given] if single else list(given))]


def _currents(given: Any, loops: Any, samples: int, faults: list[str]) -> tuple[Any, list[str]]:
    if given is None:
        return None, []
    one, two = (np.asarray(each, dtype=float) for each in given)
    columns = list(loops) if loops is not None else [str(k) for k in range(one.shape[-1] if one.ndim else 0)]
    if one.ndim != 3 or one.shape != two.shape or one.shape[0] != samples or one.shape[2] != len(columns):
        faults.append(
            f"agreement.currents: of shapes {one.shape} and {two.shape}; give both as ({samples}, times, {len(columns)})"
        )
        return None, []
    return ((one, two), columns) if one.size else (None, [])


def _row(row: TrainRow | CurrentRow) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(row).items()}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _told(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _short(name: str) -> str:
    return name if len(name) < 16 else f"{name[:12]}..."


# ---------------------------------------------------------------------------------------------- the picture

LINES = 30  # neurons of the raster


def _picture(report: Agreement) -> Any:
    from matplotlib.figure import Figure

    spikes, currents = bool(report.neurons), report.currents is not None
    height = 0.8 + 3.2 * max(spikes + currents, 1)
    figure = Figure(figsize=(10.0, height), layout="constrained")
    panels = figure.subplots(max(spikes + currents, 1), 3, squeeze=False)
    if spikes:
        _raster(report, panels[0][0])
        _counts(report, panels[0][1])
        _lateness(report, panels[0][2])
    if report.currents is not None:
        _current_panels(report, report.currents, panels[-1])
    for axis in panels.flat:
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    figure.suptitle(
        f"time steps of {report.dt:g} ns against events{f', {report.name}' if report.name else ''}", fontsize=10
    )
    return figure


def _raster(report: Agreement, axis: Any) -> None:
    """The sample that differs most, the neurons that differ most in it."""
    far = [
        {name: align(two[name], one[name], report.cost).distance for name in one}
        for one, two in zip(*report.trains, strict=True)
    ]
    sample = int(np.argmax([sum(each.values()) for each in far]))
    one, two = (side[sample] for side in report.trains)
    chosen = set(sorted(far[sample], key=lambda name: -far[sample][name])[:LINES])
    names = [name for name in one if name in chosen]
    for trains, up, colour, label in ((two, -0.2, "0.55", "events"), (one, 0.2, "C0", "steps")):
        rows = [np.asarray(trains[name]) for name in names]
        drawn = axis.eventplot(rows, lineoffsets=np.arange(len(names)) + up, linelengths=0.36, colors=colour)
        drawn[0].set_label(label)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel("time, ns", fontsize=8)
    axis.set_title(f"sample {sample}, the one that differs most", fontsize=8)
    axis.legend(fontsize=7, loc="best")


def _counts(report: Agreement, axis: Any) -> None:
    """Numbers of spikes of every train; the area is how often a pair of numbers comes."""
    pairs = [(len(two[name]), len(one[name])) for one, two in zip(*report.trains, strict=True) for name in one]
    found, number = np.unique(pairs, axis=0, return_counts=True)
    same = found[:, 0] == found[:, 1]
    size = 8.0 + 150.0 * np.sqrt(number / number.max())
    for which, colour in ((same, "0.55"), (~same, "C3")):
        axis.scatter(*found[which].T, s=size[which], color=colour, alpha=0.7, lw=0)
    axis.set_xlabel("spikes of a train, events", fontsize=8)
    axis.set_ylabel("steps", fontsize=8)
    axis.set_title(f"{report.spikes.differing} of {report.spikes.trains} trains differ in number", fontsize=8)
    axis.locator_params(integer=True)


def _lateness(report: Agreement, axis: Any) -> None:
    axis.set_xlabel("matched spikes: step - event, ns", fontsize=8)
    if not len(report.shifts):
        axis.set_title("no spike is matched", fontsize=8)
        return
    axis.hist(report.shifts, bins=41, color="C0")
    axis.axvline(0.0, color="0.4", lw=0.8)
    axis.axvline(report.dt, color="0.4", lw=0.8, ls=":")
    axis.set_title(f"median distance {report.spikes.median_ns:.3g} ns; dotted: a step", fontsize=8)


def _current_panels(report: Agreement, currents: tuple[NDArray[Any], NDArray[Any]], axes: Any) -> None:
    one, two = currents
    off = one - two
    sample, _, loop = np.unravel_index(int(np.abs(off).argmax()), off.shape)
    times = np.arange(one.shape[1]) * report.dt
    axes[0].plot(times, two[sample, :, loop], color="0.6", lw=3.0, label="events")
    axes[0].plot(times, one[sample, :, loop], color="C0", lw=1.0, label="steps")
    axes[0].set_title(f"{report.loops[loop].id} in sample {sample}, farthest off", fontsize=8)
    axes[0].set_ylabel("current, I_c", fontsize=8)
    axes[0].legend(fontsize=7)
    axes[1].plot(times, np.sqrt(np.mean(off**2, axis=(0, 2))), color="C3", label="rms")
    axes[1].plot(times, np.abs(off).max(axis=(0, 2)), color="C3", lw=0.7, ls=":", label="largest")
    axes[1].set_title("step - event, all loops", fontsize=8)
    axes[1].legend(fontsize=7)
    some = np.linspace(0, one.size - 1, min(one.size, 20_000)).astype(int)
    axes[2].plot(two.flat[some], one.flat[some], ".", ms=2.0, color="C0", alpha=0.4, rasterized=True)
    axes[2].set_xlabel("event current, I_c", fontsize=8)
    axes[2].set_ylabel("step current, I_c", fontsize=8)
    for axis in axes[:2]:
        axis.set_xlabel("time, ns", fontsize=8)
