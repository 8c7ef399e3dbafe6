"""CPU time against error for every way of solving the same networks: both engines, SciPy, a plain time-stepper, Brian2.

    python benchmarks/work_precision.py [--brian PYTHON] [--quick] [--out benchmarks/results]
    python benchmarks/work_precision.py --gate      # small cases, no Brian2; exit 1 if flow has lost half of its lead

Nine cases: one neuron, a tree of 40 dendrites and 1000 neurons with 12 dendrites each, at 0.1, 1 and 9 MHz of photons per synapse.
Errors are against :func:`steppers.tight` with a local error of 1e-11. CPU time is that of the run alone: no compilation, no building of
the network. Each finished series is a JSON file in ``OUT/series`` and is not run again (``--again`` does); table and pictures are drawn
from all that are there. What is measured and how is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import itertools
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import steppers
from steppers import Solution
from workloads import RATES, Case

import soen_event as se
from soen_event.engine.jit import compile_function
from soen_event.physics.source import rate_above
from soen_event.plan import lower

HERE = Path(__file__).resolve().parent
SPACING = 10.0  # ns between samples of the currents
WINDOW = 20.0  # ns; a spike further from its partner is another spike
DURATION = {
    "one": {0.1: 100_000.0, 1.0: 20_000.0, 9.0: 5_000.0},
    "tree": {0.1: 20_000.0, 1.0: 5_000.0, 9.0: 1_000.0},
    "many": {0.1: 3_000.0, 1.0: 1_000.0, 9.0: 400.0},
}
STEPS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
TOLS = (1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
TARGETS = (10.0, 100.0)  # ps
SERIES = {  # name: (label, colour, marker)
    "reference": ("reference engine (fluxon)", "#7f7f7f", "X"),
    "fluxon": ("compiled fluxon", "#d62728", "D"),
    "flow": ("compiled flow, over tol", "#1f77b4", "o"),
    "lsoda": ("SciPy LSODA, over rtol", "#9467bd", "s"),
    "euler": ("Numba Euler, over dt", "#bcbd22", "<"),
    "midpoint": ("Numba midpoint, over dt", "#8c9a00", ">"),
    "brian_euler": ("Brian2 C++ Euler, over dt", "#ff9f4a", "v"),
    "brian_midpoint": ("Brian2 C++ midpoint, over dt", "#c95a00", "P"),
}


def flow_options() -> dict[str, Any] | None:
    """Options that choose flow on one thread; None if this version does not have it."""
    known = inspect.signature(se.simulate).parameters
    if "tol" not in known:
        return None
    return {"resolution": "flow", **({"threads": 1} if "threads" in known else {})}


# ---------------------------------------------------------------------------------------------------- one case, solved


class Problem:
    """A case with all that the methods need: the network, its Plan and photons, what to sample, and the reference."""

    def __init__(self, case: Case, work: Path):
        self.case = case
        self.net, self.photons = case.build()
        self.plan = lower(self.net)
        self.model = steppers.model_of(self.plan)
        fs, synapse = self.photons.lower([d for d in self.plan.detector_ids if not d.endswith(".refractory.synapse")])
        own = [k for k, d in enumerate(self.plan.detector_ids) if not d.endswith(".refractory.synapse")]
        self.light = fs * 1e-6, np.array(own, dtype=np.int64)[synapse]
        self.samples = SPACING * np.arange(1, round(case.duration / SPACING) + 1)
        groups = len(self.model.group_start) - 1
        self.groups = np.unique(np.linspace(0, groups - 1, 8).astype(int))  # whose currents are looked at
        m = self.model
        self.watched = np.concatenate([m.group_loop[m.group_start[g] : m.group_start[g + 1]] for g in self.groups])
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        kept = work / f"{case.name}.npz"
        digest = hashlib.blake2b(
            b"".join(c.tobytes() for c in (*m[1:], *m.sources, *self.light)), digest_size=16
        ).hexdigest()
        if kept.exists() and str(np.load(kept)["digest"]) == digest:
            found = np.load(kept)
            self.truth = Solution(found["time"], found["neuron"], found["current"])
        else:
            start = time.process_time()
            self.truth = steppers.tight(m, self.light, self.samples, self.watched, 1e-11)
            print(f"  reference solution: {time.process_time() - start:.1f} CPU s, {len(self.truth.spike_time)} spikes")
            np.savez_compressed(
                kept,
                digest=digest,
                time=self.truth.spike_time,
                neuron=self.truth.spike_neuron,
                current=self.truth.current,
            )

    def cpu(self, run: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
        """Median CPU seconds, of one run if it is long."""
        seconds: list[float] = []
        while len(seconds) < repeats and (not seconds or sum(seconds) + seconds[-1] < 3.0):
            start = time.process_time()
            result = run()
            seconds.append(time.process_time() - start)
        return statistics.median(seconds), result

    def simulated(self, duration: float | None = None, repeats: int = 5, **options: Any) -> tuple[float, se.Recording]:
        """Median CPU seconds of the library's event loop, and a recording of spikes."""
        duration = duration or self.case.duration
        seconds: list[float] = []
        while len(seconds) < repeats and (not seconds or sum(seconds) + seconds[-1] < 3.0):
            run = se.Simulation(self.net, self.photons, record=("spikes",), **options)
            start = time.process_time()
            run.run(duration)
            seconds.append(time.process_time() - start)
        return statistics.median(seconds), run.finish()

    def solution(self, recording: se.Recording, **options: Any) -> Solution:
        """Spikes of ``recording``, and the currents of a second run."""
        table = recording.table("spikes")
        ids = [self.plan.loop_ids[d] for d in self.watched]
        traced = se.simulate(self.net, self.photons, self.case.duration, record={"currents": ids}, **options)
        current = np.stack([traced.current(name, self.samples) for name in ids], axis=1)
        return Solution(table["time_fs"] * 1e-6, table["neuron"], current)


def spike_errors(truth: Solution, found: Solution, until: float) -> tuple[np.ndarray, int, int]:
    """Distances (ps) of spikes that are each other's nearest within WINDOW, and how many of truth and of found have no such partner.

    Spikes within WINDOW of the end may have their partner beyond it and are not counted as missing or extra.
    """
    far = until + 3.0 * WINDOW  # puts neurons apart on one axis
    a = np.sort(truth.spike_neuron * far + truth.spike_time)
    b = np.sort(found.spike_neuron * far + found.spike_time)

    def nearest(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if not len(y):
            return np.full(len(x), -1)
        right = np.clip(np.searchsorted(y, x), 1, max(len(y) - 1, 1))
        right = np.minimum(right, len(y) - 1)
        left = np.maximum(right - 1, 0)
        return np.where(np.abs(x - y[left]) <= np.abs(x - y[right]), left, right)

    to_b, to_a = nearest(a, b), nearest(b, a)
    mutual = np.zeros(len(a), dtype=bool)
    if len(a) and len(b):
        mutual = (to_a[to_b] == np.arange(len(a))) & (np.abs(a - b[to_b]) < WINDOW)
    early_a = np.mod(a, far) < until - WINDOW
    alone_b = np.ones(len(b), dtype=bool)
    alone_b[to_b[mutual]] = False
    missing = int(np.sum(~mutual & early_a))
    extra = int(np.sum(alone_b & (np.mod(b, far) < until - WINDOW)))
    return 1e3 * np.abs(a - b[to_b])[mutual] if len(b) else np.zeros(0), missing, extra


def judged(
    problem: Problem, found: Solution, seconds: float, truth: Solution | None = None, **more: Any
) -> dict[str, Any]:
    """One point of a series. Of the currents only those count that are not at rest."""
    truth = truth or problem.truth
    distance, missing, extra = spike_errors(truth, found, problem.case.duration)
    off = np.abs(found.current - truth.current)[np.abs(truth.current) > 1e-6]

    def at(values: np.ndarray, q: float) -> float | None:
        return float(np.quantile(values, q)) if len(values) else None

    return {
        **more,
        "cpu_s_per_us": seconds / (problem.case.duration * 1e-3),
        "spike_median_ps": at(distance, 0.5),
        "spike_95_ps": at(distance, 0.95),
        "spikes": len(found.spike_time),
        "missing": missing,
        "extra": extra,
        "s_median": at(off, 0.5),
        "s_95": at(off, 0.95),
    }


# ---------------------------------------------------------------------------------------------------- the series


def series_fluxon(p: Problem, limit: float) -> list[dict[str, Any]]:
    seconds, recording = p.simulated()
    return [judged(p, p.solution(recording), seconds, setting="")]


def series_reference(p: Problem, limit: float) -> list[dict[str, Any]]:
    """The readable engine makes the same events as the compiled one, so only its CPU time is measured, on a beginning of the run."""
    span = min(p.case.duration, {"one": 1000.0, "tree": 200.0, "many": 2.0}[p.case.network] * 9.0 / p.case.rate)
    slow, recording = p.simulated(span, 1, engine="reference")
    fast, _ = p.simulated(span, 3)
    _, compiled = p.simulated(repeats=1)
    events = compiled.event_counts["events"] / max(recording.event_counts["events"], 1)
    return [judged(p, p.solution(compiled), slow * events, setting="", over_compiled=slow / fast, measured_ns=span)]


def series_flow(p: Problem, limit: float, tols: tuple[float, ...] = TOLS) -> list[dict[str, Any]]:
    points = []
    for tol in tols:
        options = {**(flow_options() or {}), "tol": tol}
        seconds, recording = p.simulated(**options)
        points.append(judged(p, p.solution(recording, **options), seconds, setting=tol))
        if seconds > limit:
            break
    return points


def series_lsoda(p: Problem, limit: float) -> list[dict[str, Any]]:
    """LSODA from event to event, one neuron at a time; of many neurons a few, given the light of the others, stand for all."""
    m, truth = p.model, p.truth
    groups = len(m.group_start) - 1
    count = int(np.clip(30 * len(m.refractory) / max(len(truth.spike_time), 1), 3, 120))  # neurons with about 30 spikes
    chosen = np.union1d(p.groups[::4], np.linspace(0, groups - 1, min(count, groups)).astype(int))
    loops = {g: m.group_loop[m.group_start[g] : m.group_start[g + 1]] for g in chosen}
    seen = [g for g in chosen if g in p.groups]
    columns = np.concatenate([np.flatnonzero(np.isin(p.watched, loops[g])) for g in seen])
    few = np.isin(truth.spike_neuron, [m.neuron[loops[g]].max() for g in chosen])
    part = Solution(truth.spike_time[few], truth.spike_neuron[few], truth.current[:, columns])
    light_t, light_d = list(p.light[0]), list(p.light[1])
    for at, a in zip(truth.spike_time, truth.spike_neuron, strict=True):
        for w in range(m.guide_start[a], m.guide_start[a + 1]):
            light_t.append(at + m.guide_delay[w])
            light_d.append(m.guide_detector[w])
    order = np.argsort(light_t, kind="stable")
    photon_t, photon_d = np.array(light_t)[order], np.array(light_d, dtype=np.int64)[order]
    points = []
    for tol in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10):
        total, times, neurons, currents = 0.0, [], [], []
        for g in chosen:
            mine = m.det_group[photon_d] == g

            def run(g: int = g, mine: Any = mine, tol: float = tol) -> Solution:
                light = photon_t[mine], photon_d[mine]
                return steppers.scipy_neuron(m, g, light, p.samples, loops[g], "LSODA", tol)

            seconds, found = p.cpu(run, 3 if len(chosen) < 10 else 1)
            total += seconds
            times.append(found.spike_time)
            neurons.append(found.spike_neuron)
            if g in seen:
                currents.append(found.current)
        all_found = Solution(np.concatenate(times), np.concatenate(neurons), np.concatenate(currents, axis=1))
        points.append(judged(p, all_found, total * groups / len(chosen), part, setting=tol, neurons_solved=len(chosen)))
        if total > 0.2 * limit:
            break
    return points


def series_stepper(order: int, steps: tuple[float, ...] = STEPS) -> Callable[[Problem, float], list[dict[str, Any]]]:
    def series(p: Problem, limit: float) -> list[dict[str, Any]]:
        steppers.stepped(p.model, p.light, SPACING / 20, order, p.samples[:2], p.watched)  # compile
        points: list[dict[str, Any]] = []
        for dt in steps:
            if points and points[-1]["cpu_s_per_us"] * p.case.duration * 1e-3 * points[-1]["setting"] / dt > limit:
                break
            seconds, found = p.cpu(lambda dt=dt: steppers.stepped(p.model, p.light, dt, order, p.samples, p.watched), 3)
            points.append(judged(p, found, seconds, setting=dt))
        return points

    return series


# ---------------------------------------------------------------------------------------------------- Brian2


def compact_table(plan: Any) -> dict[str, np.ndarray]:
    """The default device's source function for a bilinear look-up: threshold currents over |phi|, rates over sqrt(u) and |phi|."""
    shape, scale, cells, levels, _ = plan.sources
    assert len(shape) == 1 and scale[0, 4] == 0.0, "one symmetric source function"
    from soen_event.physics.source import level

    threshold, rate = compile_function(level), compile_function(rate_above)
    a = np.linspace(0.0, 1.0, 129)
    x = np.linspace(0.0, 0.5, 129)
    fine = np.linspace(0.0, 0.5, 1025)
    return {
        "levels": np.array([threshold(shape, scale, levels, 0, phi)[0] for phi in fine]),
        "rates": np.array([[rate(shape, scale, cells, 0, u * u, phi)[0] for phi in x] for u in a]),
        "a_max": np.array(a[-1]),
    }


def brian_problem(p: Problem) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The Plan as the arrays that brian.py reads, and the order of the watched loops in its answer."""
    m, a = p.model, p.plan.arrays
    soma = a.soma
    hit = a.refractory_detector
    refractory = a.det_loop[hit]
    dendrite = np.setdiff1d(np.arange(len(a.row)), np.concatenate([soma, refractory]))
    place = np.full(len(a.row), -1)
    place[dendrite] = np.arange(len(dendrite))
    neuron_of = m.neuron
    own = np.setdiff1d(np.arange(len(a.det_loop)), hit)
    assert (a.det_weight == 1.0).all() and len(np.unique(a.det_loop)) == len(a.det_loop)
    origin = np.repeat(np.arange(len(a.row)), np.diff(a.out_start))
    inner = (place[origin] >= 0) & (place[a.out_loop] >= 0)
    outer = (place[origin] >= 0) & (neuron_of[a.out_loop] >= 0)
    back = np.isin(origin, refractory)
    assert (inner | outer | back).all()
    # A photon in the hotspot of the last one is lost.
    time_, target = p.light
    keep, last = np.ones(len(time_), dtype=bool), np.full(len(a.det_loop), -1e9)
    for k, (t, d) in enumerate(zip(time_, target, strict=True)):
        keep[k] = t >= last[d]
        if keep[k]:
            last[d] = t + m.hotspot[d]
    guide_source = np.repeat(np.arange(len(soma)), np.diff(a.guide_start))
    watched_d = p.watched[place[p.watched] >= 0]
    watched_n = np.unique(neuron_of[p.watched][neuron_of[p.watched] >= 0])
    arrays = {
        **compact_table(p.plan),
        "offset_d": a.offset[dendrite],
        "offset_n": a.offset[soma],
        "threshold": a.threshold[soma],
        "t_ref": m.t_ref[soma],
        "J_r": a.out_J[back],
        "inner_source": place[origin[inner]],
        "inner_target": place[a.out_loop[inner]],
        "inner_J": a.out_J[inner],
        "outer_source": place[origin[outer]],
        "outer_target": neuron_of[a.out_loop[outer]],
        "outer_J": a.out_J[outer],
        "photon_time": time_[keep],
        "photon_target": place[a.det_loop[target[keep]]],
        "guide_source": guide_source,
        "guide_target": place[a.det_loop[a.guide_detector]],
        "guide_delay": m.guide_delay,
        "samples": p.samples,
        "watch_d": place[watched_d],
        "watch_n": watched_n,
    }
    for x, rows in (("d", dendrite), ("n", soma), ("r", refractory)):
        arrays |= {f"drive_{x}": m.drive[rows], f"leak_{x}": m.leak[rows], f"ib_{x}": m.ib[rows]}
    for x, rows in (("d", own), ("r", hit)):
        arrays |= {key + "_" + x: getattr(m, key)[rows] for key in ("rise", "fall", "hotspot", "level")}
    return arrays, np.concatenate([watched_d, soma[watched_n], refractory[watched_n]])


def series_brian(method: str, python: str) -> Callable[[Problem, float], list[dict[str, Any]]]:
    def series(p: Problem, limit: float) -> list[dict[str, Any]]:
        arrays, order = brian_problem(p)
        columns = np.array([int(np.flatnonzero(order == d)[0]) for d in p.watched])
        folder = p.work / f"brian_{p.case.name}_{method}"
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "problem.npz", **arrays)
        points: list[dict[str, Any]] = []
        for dt in STEPS[1:]:
            if points and points[-1]["cpu_s_per_us"] * p.case.duration * 1e-3 * points[-1]["setting"] / dt > limit:
                break
            command = [python, str(HERE / "brian.py"), "problem.npz", "answer.npz", str(dt), method, "build"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=4 * limit + 600)
            if done.returncode != 0:
                raise RuntimeError(f"Brian2 failed: {done.stderr[-2000:]}")
            answer = np.load(folder / "answer.npz")
            found = Solution(answer["spike_time"], answer["spike_neuron"], answer["current"][:, columns])
            points.append(judged(p, found, float(answer["cpu"]), setting=dt, compile_s=float(answer["compile"])))
        shutil.rmtree(folder, ignore_errors=True)
        return points

    return series


def has_brian(python: str | None) -> bool:
    if not python:
        print("Brian2: left out; give --brian PYTHON (or SOEN_BRIAN_PYTHON), a Python in which brian2 is installed")
        return False
    try:
        done = subprocess.run([python, "-c", "import brian2"], capture_output=True, timeout=300)
    except OSError:
        done = None
    if done is None or done.returncode != 0:
        print(f"Brian2: left out; {python} can not import brian2 (pip install brian2 'numpy<2.4' there)")
        return False
    return True


# ---------------------------------------------------------------------------------------------------- what comes out


def cpu_at(points: list[dict[str, Any]], error: float, key: str = "spike_median_ps") -> float | None:
    """CPU s per us at which a curve reaches ``error``: the cheapest way along its segments (log-log). None if it does not get there."""
    curve = [(q["cpu_s_per_us"], q[key]) for q in points if q[key] is not None]
    costs = [cpu for cpu, e in curve if e <= error]
    for (c0, e0), (c1, e1) in itertools.pairwise(curve):
        if e1 <= error < e0:
            x = math.log(e0 / error) / math.log(e0 / max(e1, 1e-12))
            costs.append(math.exp(math.log(c0) + x * math.log(c1 / c0)))
    return min(costs, default=None)


def written(folder: Path, case: Case, name: str) -> Path:
    return folder / "series" / f"{case.name}.{name}.json"


def load(folder: Path, cases: list[Case]) -> dict[Case, dict[str, list[dict[str, Any]]]]:
    found = {}
    for case in cases:
        files = {name: written(folder, case, name) for name in SERIES}
        found[case] = {name: json.loads(f.read_text())["points"] for name, f in files.items() if f.exists()}
    return found


def number(value: Any, form: str = ".3g") -> str:
    return "" if value is None else format(value, form)


def tabulate(folder: Path, results: dict[Case, dict[str, list[dict[str, Any]]]], closing: list[str]) -> None:
    columns = (
        "setting",
        "cpu_s_per_us",
        "spike_median_ps",
        "spike_95_ps",
        "spikes",
        "missing",
        "extra",
        "s_median",
        "s_95",
    )
    rows = [
        (case, name, point) for case, by_name in results.items() for name, points in by_name.items() for point in points
    ]
    with open(folder / "work_precision.csv", "w") as file:
        file.write("network,rate_MHz,series," + ",".join(columns) + "\n")
        for case, name, q in rows:
            file.write(f"{case.network},{case.rate:g},{name},{','.join(number(q[c], '') for c in columns)}\n")
    with open(folder / "work_precision.md", "w") as file:
        file.write(
            "# Work and precision\n\nCPU s per simulated us; spike-time errors in ps; missing and extra spikes; errors in s.\n"
        )
        for case, by_name in results.items():
            file.write(
                f"\n## {case.title}, {case.duration:g} ns\n\n| series | setting | CPU s/us | spike median | spike 95 % "
            )
            file.write("| spikes | missing | extra | s median | s 95 % |\n|---|---|---|---|---|---|---|---|---|---|\n")
            for name, points in by_name.items():
                for q in points:
                    values = [
                        number(q[c]) if c not in ("spikes", "missing", "extra") else str(q[c]) for c in columns[1:]
                    ]
                    setting = f"{q['setting']:g}" if q["setting"] != "" else ""
                    file.write(f"| {SERIES[name][0].split(',')[0]} | {setting} | {' | '.join(values)} |\n")
        file.write("\n" + "\n".join(closing) + "\n")


def ratios(results: dict[Case, dict[str, list[dict[str, Any]]]]) -> list[str]:
    """CPU of the others over that of flow at equal spike-time error, as a Markdown table."""
    wanted = {0.1: 100.0, 1.0: 10.0, 9.0: 1.0}
    rivals = (("brian_euler",), ("brian_euler", "brian_midpoint"), ("euler", "midpoint"), ("lsoda",))
    lines = ["## CPU time over that of flow, at equal spike-time error", ""]
    lines += [
        "| case | error, ps | flow, CPU s/us | Brian2 Euler | Brian2 best | Numba stepper | LSODA | fluxon | goal | |"
    ]
    lines += ["|" + "---|" * 10]

    def best(by_name: dict[str, Any], names: tuple[str, ...], error: float, key: str) -> float | None:
        found = [cpu_at(by_name[n], error, key) for n in names if n in by_name]
        return min((c for c in found if c is not None), default=None)

    for case, by_name in results.items():
        for word, key in (("median", "spike_median_ps"), ("95 %", "spike_95_ps")):
            for error in TARGETS:
                flow = best(by_name, ("flow",), error, key)
                if flow is None or (key != "spike_median_ps" and case.network != "many"):
                    continue
                others = [best(by_name, names, error, key) for names in rivals]
                cells = ["-" if cpu is None else f"{cpu / flow:.3g}" for cpu in others]
                fluxon = by_name.get("fluxon")
                cells.append(f"{fluxon[0]['cpu_s_per_us'] / flow:.3g}" if fluxon else "-")
                goal, verdict = "", ""
                if case.network == "many" and word == "median":
                    goal = f"{wanted[case.rate]:g}"
                    if others[1] is not None:
                        verdict = "ok" if others[1] / flow >= wanted[case.rate] else "MISSED"
                name = f"{case.title} | {word} {error:g}"
                lines.append(f"| {name} | {flow:.3g} | {' | '.join(cells)} | {goal} | {verdict} |")
    lines += [
        "",
        "-: the curve does not reach that error, or was not measured. Fluxon stands at its own error (its quanta).",
    ]
    lines += ["The goal is for the best of both Brian2 curves."]
    return lines


def draw(folder: Path, results: dict[Case, dict[str, list[dict[str, Any]]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    networks = [n for n in ("one", "tree", "many") if any(c.network == n for c in results)]
    rates = [r for r in RATES if any(c.rate == r for c in results)]
    for name, keys, label in (
        ("spikes", ("spike_median_ps", "spike_95_ps"), "spike-time error, ps"),
        ("currents", ("s_median", "s_95"), "error of s"),
    ):
        figure, axes = plt.subplots(
            len(networks), len(rates), figsize=(4.6 * len(rates), 3.9 * len(networks) + 0.9), squeeze=False
        )
        for case, by_name in results.items():
            ax = axes[networks.index(case.network)][rates.index(case.rate)]
            for series, points in by_name.items():
                text, colour, marker = SERIES[series]
                for key, solid in zip(keys, (True, False), strict=True):
                    x = [q[key] for q in points if q[key]]
                    y = [q["cpu_s_per_us"] for q in points if q[key]]
                    style = {
                        "ls": "-" if solid else ":",
                        "lw": 1.6 if solid else 0.9,
                        "ms": 5 if solid else 4,
                        "mfc": colour if solid else "white",
                        "zorder": 3 if series == "flow" else 2,
                    }
                    ax.plot(x, y, color=colour, marker=marker, label=text if solid else None, **style)
            ax.set_xscale("log")
            ax.set_yscale("log")
            if name == "spikes":
                for target in TARGETS:
                    ax.axvline(target, color="0.6", lw=0.8, ls="--", zorder=0)
            ax.set_title(case.title, fontsize=10)
            ax.grid(True, which="major", color="0.93")
            ax.set_axisbelow(True)
        for ax in axes[-1]:
            ax.set_xlabel(label)
        for row in axes:
            row[0].set_ylabel("CPU s per simulated us")
        known = {t: h for ax in axes.flat for h, t in zip(*ax.get_legend_handles_labels(), strict=True)}
        texts = [t for t, _, _ in SERIES.values() if t in known]
        figure.legend(
            [known[t] for t in texts], texts, loc="lower center", ncol=min(5, len(texts)), frameon=False, fontsize=9
        )
        figure.suptitle("filled: median, hollow: 95 %; lower left is better", fontsize=10)
        figure.tight_layout(rect=(0, 0.9 / (3.9 * len(networks) + 0.9), 1, 1))
        figure.savefig(folder / f"work_precision_{name}.png", dpi=110)
        plt.close(figure)


# ---------------------------------------------------------------------------------------------------- running


def run_case(case: Case, args: argparse.Namespace, brian: bool) -> None:
    runners: dict[str, Callable[[Problem, float], list[dict[str, Any]]]] = {
        "flow": series_flow,
        "fluxon": series_fluxon,
        "reference": series_reference,
        "lsoda": series_lsoda,
        "euler": series_stepper(1),
        "midpoint": series_stepper(2),
    }
    if flow_options() is None:
        del runners["flow"]
    if brian:
        runners |= {f"brian_{method}": series_brian(method, args.brian) for method in ("euler", "midpoint")}
    if args.series:
        runners = {name: run for name, run in runners.items() if name in args.series}
    todo = {n: r for n, r in runners.items() if args.again or not written(args.out, case, n).exists()}
    if not todo:
        return
    print(case.title, flush=True)
    problem = Problem(case, args.work)
    for name, run in todo.items():
        start = time.perf_counter()
        points = run(problem, args.limit if case.network == "many" else 0.25 * args.limit)
        target = written(args.out, case, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        head = {"case": case.name, "series": name, "processor": platform.machine(), "python": platform.python_version()}
        target.with_suffix(".part").write_text(
            json.dumps({**head, "soen_event": se.__version__, "points": points}, indent=1)
        )
        os.replace(target.with_suffix(".part"), target)
        last = points[-1]
        print(
            f"  {name:15s} {len(points)} points in {time.perf_counter() - start:.0f} s; last {last['setting'] or ''}: "
            f"{last['cpu_s_per_us']:.3g} CPU s/us, {number(last['spike_median_ps'])} ps (95 % {number(last['spike_95_ps'])}), "
            f"{last['missing']} missing, {last['extra']} extra",
            flush=True,
        )


def lead(case: Case, repeats: int = 5) -> float:
    """Median of the ratios of CPU time, fluxon over flow at tol 1e-4, of runs one after another."""
    net, photons = case.build()
    ratios_ = []
    for _ in range(repeats):
        seconds = []
        for options in ({}, {**(flow_options() or {}), "tol": 1e-4}):
            run = se.Simulation(net, photons, record=("spikes",), **options)
            start = time.process_time()
            run.run(case.duration)
            seconds.append(time.process_time() - start)
        ratios_.append(seconds[0] / seconds[1])
    return statistics.median(ratios_)


def leads(folder: Path, cases: list[Case], again: bool) -> list[str]:
    """The leads of all cases (100 neurons instead of more) at beta 2 pi 1e3 and 1e4, as a Markdown table; kept in a file."""
    kept = folder / "series" / "flow_over_fluxon.json"
    found = json.loads(kept.read_text()) if kept.exists() and not again else {}
    lines = [
        "## Compiled flow at tol 1e-4 over compiled fluxon",
        "",
        "| case | beta 2 pi 1e3 | beta 2 pi 1e4 |",
        "|---|---|---|",
    ]
    for case in cases:
        cells = []
        for beta in (1e3, 1e4):
            small = replace(case, beta=beta, size=min(case.size, 100))
            if small.name not in found:
                found[small.name] = lead(small)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(found, indent=1))
            cells.append(f"{found[small.name]:.3g}")
        lines.append(f"| {small.title} | {' | '.join(cells)} |")
    return [*lines, "", "Goals: 5 and 30."]


def gate() -> int:
    """Flow against fluxon and against the plain time-stepper on small networks; half of each goal must be kept."""
    if flow_options() is None:
        print("gate: this version has no resolution='flow'")
        return 0
    bad = 0

    def verdict(what: str, ratio: float, goal: float) -> None:
        nonlocal bad
        bad += ratio < 0.5 * goal
        word = "ok" if ratio >= goal else "below the goal" if ratio >= 0.5 * goal else "MISSED"
        print(f"{what:62s} {ratio:8.1f} x   (goal {goal:g} x)  {word}", flush=True)

    for beta, goal in ((1e3, 5.0), (1e4, 30.0)):
        for rate, duration in ((1.0, 600.0), (9.0, 300.0)):
            ratio = lead(Case("many", rate, duration, beta, 20), 3)
            verdict(f"flow over fluxon, {rate:g} MHz, beta 2 pi {beta:g}:", ratio, goal)
    for rate, duration, goal in ((0.1, 4000.0, 100.0), (1.0, 600.0, 10.0)):
        with tempfile.TemporaryDirectory() as work:
            p = Problem(Case("many", rate, duration, size=10), Path(work))
        flow = cpu_at(series_flow(p, 60.0, (1e-1, 1e-2, 1e-3)), 10.0)
        plain = [cpu_at(series_stepper(order, (0.2, 0.1, 0.05, 0.02))(p, 0.8), 10.0) for order in (1, 2)]
        plain = [cpu for cpu in plain if cpu is not None]
        if flow is None or not plain:
            print("a curve does not reach 10 ps")
            bad += flow is None
        else:
            verdict(f"flow over a plain time-stepper at 10 ps, {rate:g} MHz:", min(plain) / flow, goal)
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 neurons instead of 1000, shorter series")
    parser.add_argument(
        "--gate", action="store_true", help="small cases only; exit 1 if flow has lost half of its lead"
    )
    parser.add_argument("--brian", default=os.environ.get("SOEN_BRIAN_PYTHON"), help="a Python that has brian2")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where results go")
    parser.add_argument(
        "--work", type=Path, default=HERE.parent / "build" / "work_precision", help="kept reference solutions"
    )
    parser.add_argument("--series", nargs="*", choices=SERIES, help="only these")
    parser.add_argument("--case", nargs="*", choices=("one", "tree", "many"), help="only these networks")
    parser.add_argument(
        "--limit",
        type=float,
        default=60.0,
        help="CPU s of one point at which a series ends (a quarter for small networks)",
    )
    parser.add_argument("--again", action="store_true", help="run also what is there already")
    args = parser.parse_args()
    if args.gate:
        return gate()
    args.work, args.out = args.work.resolve(), args.out.resolve()
    size = 50 if args.quick else 1000
    args.limit = min(args.limit, 5.0) if args.quick else args.limit
    chosen = args.case or list(DURATION)
    cases = [
        Case(network, rate, duration, size=size)
        for network, by_rate in DURATION.items()
        if network in chosen
        for rate, duration in by_rate.items()
    ]
    if flow_options() is None:
        print("flow: left out; this version of soen_event does not have it")
    brian = has_brian(args.brian)
    for case in cases:
        run_case(case, args, brian)
    results = {case: by_name for case, by_name in load(args.out, cases).items() if by_name}
    args.out.mkdir(parents=True, exist_ok=True)
    closing = ratios(results)
    if flow_options() is not None and not args.series:
        closing += ["", *leads(args.out, cases, args.again)]
    tabulate(args.out, results, closing)
    draw(args.out, results)
    print("\n".join(closing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
