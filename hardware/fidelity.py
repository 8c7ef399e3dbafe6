"""Engine against circuit: how well events tell what junctions do.

    from hardware import fidelity
    report = fidelity.compare(net, {"s1": [10.0]}, duration=100.0)
    print(report); report.plot("fidelity.png")

:func:`compare` runs one network in the event engine and as a junction-level circuit (:mod:`hardware.circuit`), with the same photons, and
says how far apart they are, loop by loop and spike by spike. :func:`suite` does so for random dendrites, trees and neurons and holds
the result against what is promised (:data:`PROMISES`); ``soen validate circuit`` prints it.

:func:`agreement` compares time-stepped runs, such as a twin's, with the events of the engine (:mod:`hardware.agreement`).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware.agreement import Agreement, agreement
from soen_event.errors import InputError

if TYPE_CHECKING:
    from hardware.circuit import CircuitRun
    from soen_event.network import Network
    from soen_event.recording import Recording

__all__ = [
    "PROMISES",
    "Agreement",
    "Case",
    "LoopRow",
    "Report",
    "SpikeRow",
    "Suite",
    "agreement",
    "cases",
    "chi_squared",
    "compare",
    "suite",
]

PROMISES = {
    "exact counts": 0.90,  # share of loops with the circuit's number of fluxons, at least
    "count": 0.01,  # largest difference of a number of fluxons, relative, or 1
    "median time": 15.0,  # ps, median over loops of the median distance of a fluxon from the nearest of the other's
    "chi^2": 1e-4,  # largest
    "median chi^2": 1e-5,
    "spike": 100.0,  # ps, largest error of a spike time
}
COLUMNS = 0.02  # ns between the samples that chi^2 is taken over, for a run of at most 2000 ns


def chi_squared(circuit: np.ndarray, engine: np.ndarray) -> float:
    """sum |s_circuit - s_engine|^2 / sum |s_circuit|^2 over samples at equal distances (physics.md 9.1); 0 if both are zero."""
    circuit, engine = np.asarray(circuit, dtype=float), np.asarray(engine, dtype=float)
    if circuit.shape != engine.shape:
        raise InputError(f"fidelity.chi_squared: {circuit.shape} and {engine.shape} samples; give as many of both")
    below = float((circuit**2).sum())
    above = float(((circuit - engine) ** 2).sum())
    return above / below if below > 0.0 else (0.0 if above == 0.0 else math.inf)


@dataclass(frozen=True)
class LoopRow:
    """One loop: fluxons in the circuit and in the engine, the distance of the first ones (ps, engine later is positive), the median
    distance of a fluxon from the nearest of the other's (ps), chi^2 of the current, and the largest currents (I_c). NaN: no fluxons.
    """

    id: str
    fluxons: int
    engine_fluxons: int
    first_ps: float
    median_ps: float
    chi2: float
    peak: float
    engine_peak: float

    @property
    def exact(self) -> bool:
        return self.fluxons == self.engine_fluxons

    @property
    def close(self) -> bool:
        """Within 1 %, or one fluxon."""
        return abs(self.fluxons - self.engine_fluxons) <= max(1.0, PROMISES["count"] * self.fluxons)


@dataclass(frozen=True)
class SpikeRow:
    """One neuron: numbers of spikes, and the largest distance of spikes of equal rank (ps); infinite if the numbers differ."""

    id: str
    spikes: int
    engine_spikes: int
    largest_ps: float


@dataclass(frozen=True)
class Report:
    """What :func:`compare` found. ``circuit_cpu_s``, ``engine_cpu_s``: CPU seconds of both runs, compilation apart."""

    name: str
    loops: list[LoopRow]
    neurons: list[SpikeRow]
    circuit_cpu_s: float
    engine_cpu_s: float
    duration: float
    resolution: str
    circuit: CircuitRun = field(repr=False, compare=False)
    recording: Recording = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "duration_ns": self.duration,
            "resolution": self.resolution,
            "loops": [{k: _plain(v) for k, v in asdict(row).items()} for row in self.loops],
            "neurons": [{k: _plain(v) for k, v in asdict(row).items()} for row in self.neurons],
            "circuit_cpu_s": self.circuit_cpu_s,
            "engine_cpu_s": self.engine_cpu_s,
        }

    def __str__(self) -> str:
        lines = [f"{'loop':<18}{'fluxons':>16}{'first, ps':>11}{'median, ps':>12}{'chi^2':>10}{'peak s':>16}"]
        for row in self.loops:
            counts = f"{row.fluxons} / {row.engine_fluxons}"
            peaks = f"{row.peak:.4f} / {row.engine_peak:.4f}"
            lines.append(
                f"{row.id:<18}{counts:>16}{_told(row.first_ps, '.1f'):>11}{_told(row.median_ps, '.1f'):>12}"
                f"{row.chi2:>10.1e}{peaks:>16}"
            )
        for each in self.neurons:
            lines.append(
                f"{each.id}: {each.spikes} / {each.engine_spikes} spikes, largest error {_told(each.largest_ps, '.1f')} ps"
            )
        ratio = self.circuit_cpu_s / max(self.engine_cpu_s, 1e-9)
        lines.append(
            f"circuit / engine ({self.resolution}); {self.duration:g} ns in {self.circuit_cpu_s:.2f} s and "
            f"{self.engine_cpu_s * 1e3:.2f} ms of CPU: {ratio:,.0f} times"
        )
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Draw the currents of both, their difference, and the fluxes, loop by loop."""
        from soen_event import plotting

        plotting.check_target(path, overwrite)
        plotting.save(_picture(self), path, overwrite=overwrite)


def compare(
    network: Network,
    photons: Any = None,
    duration: float | None = None,
    *,
    resolution: str = "fluxon",
    tol: float = 1e-4,
    step: float = 0.05,
    seed: int = 0,
    name: str = "",
    progress: Callable[[float, float], None] | None = None,
) -> Report:
    """Run a network in the compiled engine and as a circuit, and compare.

    Args:
        network, photons, duration: as for :func:`soen_event.simulate` (ns).
        resolution, tol: of the engine.
        step: of the circuit, ps. With 0.1 its fluxon times are good to 0.5 ps, with 0.05 to 0.03 ps (circuit.md 1).
        seed: of both. ``name``: a title.

    Raises:
        InputError: what either refuses.
    """
    import soen_event as se
    from hardware import circuit

    sample = COLUMNS * max(1.0, float(duration or 1.0) / 2000.0)
    truth = circuit.simulate(network, photons, duration, step=step, seed=seed, sample=sample, progress=progress)
    run = se.Simulation(network, photons, resolution=resolution, tol=tol, seed=seed, record=("fluxons", "currents"))
    start = time.process_time()
    run.run(float(duration or 0.0))
    spent = time.process_time() - start
    rec = run.finish()
    times = truth.times[truth.times <= truth.duration]
    loops = [_loop_row(name_, truth, rec, times) for name_ in truth.plan.loop_ids]
    neurons = [_spike_row(name_, truth, rec) for name_ in truth.plan.neuron_ids]
    return Report(name, loops, neurons, truth.cpu_s, spent, truth.duration, resolution, truth, rec)


def _loop_row(name: str, truth: CircuitRun, rec: Recording, times: np.ndarray) -> LoopRow:
    there, here = truth.current(name, times), rec.current(name, times)
    a, b = truth.fluxons[name], np.asarray(rec.fluxons[name])
    first = (b[0] - a[0]) * 1e3 if len(a) and len(b) else math.nan
    return LoopRow(
        name,
        truth.fluxon_count[name],
        int(rec.fluxon_count[name]),
        first,
        _nearest(a, b),
        chi_squared(there, here),
        float(np.abs(there).max(initial=0.0)),
        float(np.abs(here).max(initial=0.0)),
    )


def _nearest(a: np.ndarray, b: np.ndarray) -> float:
    """Median distance (ps) of a time in ``a`` from the nearest in ``b``."""
    if not len(a) or not len(b):
        return math.nan
    right = np.searchsorted(b, a)
    after = np.abs(b[np.minimum(right, len(b) - 1)] - a)
    before = np.abs(a - b[np.maximum(right - 1, 0)])
    return float(np.median(np.minimum(after, before))) * 1e3


def _spike_row(name: str, truth: CircuitRun, rec: Recording) -> SpikeRow:
    a, b = truth.spikes[name], np.asarray(rec.spikes[name])
    if len(a) != len(b):
        largest = math.inf
    else:
        largest = float(np.abs(a - b).max(initial=0.0)) * 1e3
    return SpikeRow(name, len(a), len(b), largest)


# ---------------------------------------------------------------------------------------------- random cases


@dataclass(frozen=True)
class Case:
    """One network with its photons. ``kind``: "pulse", "train", "ramp", "tree" or "neuron"."""

    kind: str
    name: str
    network: Network
    photons: dict[str, list[float]]
    duration: float


_COILS: dict[str, Any] = {"collection_inductance": "60 pH", "collection_mutual": "6.5 pH"}  # as in circuit.md 7
KINDS = ("pulse", "train", "ramp", "tree", "neuron")


def cases(number: int = 40, seed: int = 0) -> Iterator[Case]:
    """Random cases: biases 1.4 to 1.95, beta/2pi 100 to 10,000, decay times 50 to 1000 ns; each kind in turn.

    One photon; a train of photons; ramps of flux; two dendrites and a third that they couple to through a collection loop; the same
    with a neuron and its refractory dendrite. The draws are those of ``numpy.random.default_rng((seed, k))`` for case k.
    """
    for k in range(number):
        rng = np.random.default_rng((seed, k))
        yield _MAKERS[KINDS[k % len(KINDS)]](k, rng)


def _dendrite(name: str, rng: np.random.Generator, largest: float = 4.0, **more: Any) -> Any:
    import soen_event as se

    return se.Dendrite(
        name,
        ib=float(rng.uniform(1.4, 1.95)),
        beta_over_2pi=float(10.0 ** rng.uniform(2.0, largest)),
        tau=float(10.0 ** rng.uniform(math.log10(50.0), 3.0)),
        **more,
    )


def _pulse(k: int, rng: np.random.Generator) -> Case:
    import soen_event as se

    with se.Network() as net:
        net.add(_dendrite("d", rng))
        se.Synapse("s", "d")
    return Case("pulse", f"{k} one photon", net, {"s": [1.0]}, 60.0)


def _train(k: int, rng: np.random.Generator) -> Case:
    import soen_event as se

    with se.Network() as net:
        net.add(_dendrite("d", rng))
        se.Synapse("s", "d", weight=float(rng.uniform(0.6, 1.0)))
    times = [float(t) for t in np.cumsum(rng.exponential(25.0, 8)) + 1.0 if t < 150.0]
    return Case("train", f"{k} {len(times)} photons", net, {"s": times}, 150.0)


def _ramp(k: int, rng: np.random.Generator) -> Case:
    import soen_event as se

    points, now = [(0.0, 0.0)], 2.0
    for _ in range(3):
        height, rise, stay, fall = (
            rng.uniform(0.2, 0.5),
            rng.uniform(0.5, 20.0),
            rng.uniform(1.0, 20.0),
            rng.uniform(0.5, 15.0),
        )
        for dt, phi in ((0.0, 0.0), (rise, height), (stay, height), (fall, 0.0)):
            now += float(dt)
            points.append((now, float(phi)))
        now += float(rng.uniform(1.0, 10.0))
    with se.Network() as net:
        net.add(_dendrite("d", rng))
        se.Drive("d", points=tuple(points), arm=("first", "both")[int(rng.integers(2))])
    return Case("ramp", f"{k} flux ramps", net, {}, 160.0)


def _tree(k: int, rng: np.random.Generator) -> Case:
    import soen_event as se

    J = rng.uniform(0.25, 0.5, 2)
    with se.Network() as net:
        for j in (0, 1):
            net.add(_dendrite(f"d{j}", rng, 3.5))
            se.Synapse(f"s{j}", f"d{j}")
        net.add(_dendrite("top", rng, 3.5, **_COILS))
        for j in (0, 1):
            se.Coupling(f"d{j}", "top", J=float(J[j]))
    photons = {f"s{j}": sorted(rng.uniform(1.0, 70.0, 3).tolist()) for j in (0, 1)}
    return Case("tree", f"{k} two dendrites into one", net, photons, 100.0)


def _neuron(k: int, rng: np.random.Generator) -> Case:
    import soen_event as se

    ib = float(rng.uniform(1.65, 1.85))
    soma = se.Soma(
        ib=ib,
        beta_over_2pi=float(10.0 ** rng.uniform(2.0, 3.0)),
        tau=float(rng.uniform(50.0, 100.0)),
        threshold=float(rng.uniform(0.08, 0.2)),
        after_spike=("keep", "purge")[int(rng.integers(2))],
        t_ref=10.0,
        **_COILS,
    )
    with se.Network() as net:
        for j in (0, 1):
            net.add(
                se.Dendrite(
                    f"d{j}",
                    ib=ib,
                    beta_over_2pi=float(10.0 ** rng.uniform(2.5, 3.3)),
                    tau=float(rng.uniform(50.0, 150.0)),
                )
            )
            se.Synapse(f"s{j}", f"d{j}")
            se.Coupling(f"d{j}", "n", J=float(rng.uniform(0.35, 0.5)))
        se.Neuron("n", soma=soma, refractory=se.Refractory(beta_over_2pi=soma.beta_over_2pi, J=-0.7))
    photons = {f"s{j}": [float(t) for t in np.arange(3) * 45.0 + rng.uniform(1.0, 20.0, 3)] for j in (0, 1)}
    return Case("neuron", f"{k} neuron", net, photons, 140.0)


_MAKERS: dict[str, Callable[[int, np.random.Generator], Case]] = {
    "pulse": _pulse,
    "train": _train,
    "ramp": _ramp,
    "tree": _tree,
    "neuron": _neuron,
}


@dataclass(frozen=True)
class Suite:
    """What :func:`suite` found: a report for every case, and the promises with what was measured."""

    reports: list[tuple[Case, Report]]
    resolution: str

    @property
    def verdicts(self) -> list[tuple[str, float, float, bool]]:
        """(what, measured, promised, kept)."""
        loops = [row for _, report in self.reports for row in report.loops]
        spikes = [row for _, report in self.reports for row in report.neurons]
        # Where a spike comes 50 ps late all that follows from it does, so neurons are judged by their spikes.
        silent = [row for case, report in self.reports if case.kind != "neuron" for row in report.loops]
        exact = float(np.mean([row.exact for row in silent])) if silent else math.nan
        worst = max((abs(r.fluxons - r.engine_fluxons) / max(r.fluxons, 1) for r in loops if not r.close), default=0.0)
        medians = [row.median_ps for row in loops if not math.isnan(row.median_ps)]
        active = [row.chi2 for row in silent if row.peak > 1e-9]
        found = [
            ("share of loops with exactly as many fluxons, without neurons, at least", exact, PROMISES["exact counts"]),
            ("largest relative difference of a number of fluxons, if more than one", worst, PROMISES["count"]),
            ("median error of a fluxon time, ps", _median(medians), PROMISES["median time"]),
            ("largest chi^2, without neurons", max(active, default=math.nan), PROMISES["chi^2"]),
            ("median chi^2, without neurons", _median(active), PROMISES["median chi^2"]),
        ]
        if spikes:
            found.append(("largest error of a spike time, ps", max(r.largest_ps for r in spikes), PROMISES["spike"]))
        return [
            (what, value, bound, value >= bound if "at least" in what else value <= bound)
            for what, value, bound in found
        ]

    @property
    def ok(self) -> bool:
        return all(kept for *_, kept in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "ok": self.ok,
            "resolution": self.resolution,
            "promises": [
                {"what": what, "measured": _plain(value), "promised": bound, "kept": kept}
                for what, value, bound, kept in self.verdicts
            ],
            "cases": [{"kind": case.kind, **report.as_dict()} for case, report in self.reports],
        }

    def __str__(self) -> str:
        lines = [
            f"{'case':<28}{'loop':<14}{'fluxons':>16}{'first, ps':>11}{'median, ps':>12}{'chi^2':>10}{'spikes':>10}{'error, ps':>11}"
        ]
        for case, report in self.reports:
            spikes = {row.id: row for row in report.neurons}
            for j, row in enumerate(report.loops):
                mine = spikes.get(row.id.removesuffix(".soma")) if row.id.endswith(".soma") else None
                told = f"{mine.spikes} / {mine.engine_spikes}" if mine else ""
                error = _told(mine.largest_ps, ".1f") if mine else ""
                lines.append(
                    f"{case.name if j == 0 else '':<28}{row.id:<14}{f'{row.fluxons} / {row.engine_fluxons}':>16}"
                    f"{_told(row.first_ps, '.1f'):>11}{_told(row.median_ps, '.1f'):>12}{row.chi2:>10.1e}{told:>10}{error:>11}"
                )
        lines.append("")
        for what, value, bound, kept in self.verdicts:
            lines.append(f"{'  ok' if kept else 'FAIL'}  {what}: {value:.3g}   (promised {bound:g})")
        circuit = sum(report.circuit_cpu_s for _, report in self.reports)
        engine = sum(report.engine_cpu_s for _, report in self.reports)
        lines.append(
            f"      circuit {circuit:.1f} s of CPU, engine ({self.resolution}) {engine:.3f} s: {circuit / max(engine, 1e-9):,.0f} times"
        )
        return "\n".join(lines)


def suite(
    number: int = 40,
    seed: int = 0,
    *,
    resolution: str = "fluxon",
    step: float = 0.1,
    show: Callable[[str], None] | None = None,
) -> Suite:
    """Compare engine and circuit on :func:`cases`. ``show`` is told the name of every case."""
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or not 1 <= number <= 100_000:
        raise InputError(f"fidelity.suite.number: {number!r} is not a whole number from 1 to 100000")
    reports = []
    for case in cases(int(number), seed):
        if show is not None:
            show(case.name)
        reports.append(
            (case, compare(case.network, case.photons, case.duration, resolution=resolution, step=step, name=case.name))
        )
    return Suite(reports, resolution)


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else math.nan


def _told(value: float, form: str) -> str:
    return "-" if not math.isfinite(value) else format(value, form)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _picture(report: Report) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    rows = report.loops[:8]
    figure = Figure(figsize=(9.0, 1.0 + 2.1 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 2, squeeze=False, sharex=True, width_ratios=(3, 2))
    times = report.circuit.times[report.circuit.times <= report.duration]
    for (left, right), row in zip(panels, rows, strict=True):
        there, here = report.circuit.current(row.id, times), report.recording.current(row.id, times)
        left.plot(times, there, color="0.6", lw=3.0, label="circuit")
        left.plot(times, here, color="C0", lw=1.0, label=f"engine, {report.resolution}")
        left.set_ylabel(f"{row.id}\ns, I_c", fontsize=8)
        right.plot(times, (here - there) * 1e3, color="C3", lw=0.8)
        right.set_ylabel("engine - circuit,\n1e-3 I_c", fontsize=8)
        right.set_title(f"chi^2 {row.chi2:.1e}; fluxons {row.fluxons} / {row.engine_fluxons}", fontsize=8)
        for axis in (left, right):
            axis.tick_params(labelsize=8)
            axis.grid(alpha=0.3)
    panels[0][0].legend(fontsize=8)
    for axis in panels[-1]:
        axis.set_xlabel("time, ns", fontsize=8)
    if report.name:
        figure.suptitle(report.name, fontsize=9)
    return figure
