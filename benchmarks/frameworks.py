"""Training by the twin against other frameworks: a spiking network, and a layer of dendrites. CPU time of one thread, float32.

    python benchmarks/frameworks.py                            # all tables; about ten minutes
    python benchmarks/frameworks.py --out benchmarks/results   # and write frameworks.md there
    python benchmarks/frameworks.py --part spiking             # or layer, steps, memory
    python benchmarks/frameworks.py --quick                    # small sizes, two rounds: whether everything runs

The frameworks are optional; what is missing is said and left out: PyTorch (a CPU build), snnTorch, Norse, JAX, brainstate with
braintools and brainevent. An environment that has them all:

    python -m venv E
    E/bin/pip install torch snntorch jax brainstate braintools brainevent nir nirtorch -e .
    E/bin/pip install --no-deps norse          # with its dependencies it brings another PyTorch

``spiking.py`` and ``dendrites.py`` say what is computed. Everything runs in one process on one core, with one thread in every library, and
the frames take turns: medians of the rounds, with least and most. Making a frame and its first step, with all compilation, count apart.
Memory is measured in a process for each frame and number of steps, one after the other: the peak of its resident memory during a
training step, above what it held after a step of a short sequence (Linux only).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import dendrites
import numpy as np
import spiking
import threadpoolctl

# By how much our time is to be below: "train" and "forward", of frames whose names begin so.
SPIKING_GOALS = {"snnTorch": 1 / 2, "Norse": 1 / 2, "brainstate": 1.0}
LAYER_GOALS = {"JAX": (1 / 3, 1 / 5), "PyTorch": (1 / 20, 1 / 5)}
STEPS = (125, 250, 500, 1000, 2000)
LONGEST = 20.0  # s: a frame whose next training step would take longer is left out from there on
QUICK_SPIKING, QUICK_LAYER = spiking.Size(30, 12, 4, 10, 4), dendrites.Size(12, 12, 40, 4)

Report = Callable[[str], None]


def one_thread() -> None:
    """This process on one core, and every library with one thread, whether it is loaded already or later."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    threadpoolctl.threadpool_limits(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if not missing(("torch",)):
        import torch

        torch.set_num_threads(1)


def missing(modules: Iterable[str]) -> list[str]:
    """Those of these modules that cannot be imported."""
    out = []
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            out.append(name)
    return out


def made(frames: Mapping[str, tuple[tuple[str, ...], Callable]], given: Any, report: Report) -> tuple[dict, dict, dict]:
    """(frames that can be had, CPU seconds of making each and of its first step and forward pass, loss of that step), by name."""
    out, first, losses = {}, {}, {}
    for name, (modules, make) in frames.items():
        if gone := missing(modules):
            report(f"{name} is left out: {' and '.join(gone)} cannot be imported.\n")
            continue
        start = time.process_time()
        out[name] = make(given)
        losses[name] = out[name].train()
        if hasattr(out[name], "forward"):
            out[name].forward()
        first[name] = time.process_time() - start
    return out, first, losses


def timed(works: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each work, ``rounds`` times, taking turns."""
    out: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            work()
            out[name].append(time.process_time() - start)
    return out


def spread(times: list[float], unit: float = 1e3) -> str:
    return f"{unit * statistics.median(times):.1f} ({unit * min(times):.1f} to {unit * max(times):.1f})"


def verdict(ours: float, theirs: float, goal: float | None) -> str:
    """Our time over theirs, and whether that is the goal."""
    if goal is None:
        return f"{ours / theirs:.2f} | |"
    return f"{ours / theirs:.2f} | {goal:.2f} | {'yes' if ours <= goal * theirs else 'NO'}"


# ------------------------------------------------------------------------------------------------------------ tables


def spiking_table(size: spiking.Size, rounds: int, report: Report) -> None:
    given = spiking.task(size)
    start = time.process_time()
    ours = spiking.Ours(given)
    built = time.process_time() - start
    frames, first, losses = made({**spiking.FRAMES, "ours": ((), lambda _: ours.frame())}, given, report)
    times = timed({name: frame.train for name, frame in frames.items()}, rounds)
    mine = statistics.median(times["ours"])
    report(
        f"A training step of {size.channels} channels, {size.neurons} recurrent neurons, {size.outputs} outputs, {size.steps} steps, "
        f"batch {size.batch}; inputs 2 % spikes.\n"
        f"Medians of {rounds} (least to most); 'first': making it and its first step. The goals are for ours / it.\n\n"
        "| frame | step, ms | spikes, % of steps | first loss | first, s | ours / it | goal | met |\n"
        "|---|---:|---:|---:|---:|---:|---:|---|\n"
    )
    for name in frames:
        end = (
            "| | |" if name == "ours" else f"{verdict(mine, statistics.median(times[name]), SPIKING_GOALS.get(name))} |"
        )
        report(
            f"| {name} | {spread(times[name])} | {100 * frames[name].spikes:.1f} | {losses[name]:.4f} | "
            f"{first[name] + (built if name == 'ours' else 0.0):.1f} | {end}\n"
        )
    report(
        "\nOurs by activity: spikes of the neurons; somas and outputs whose SQUID is above threshold.\n\n"
        "| weights | step, ms | forward alone, ms | spikes, % | somas active, % | outputs active, % |\n|---|---:|---:|---:|---:|---:|\n"
    )
    for scale in spiking.SCALES:
        frame = ours.frame(scale)
        shares = ours.activity()
        frame.train()
        found = timed({"train": frame.train, "forward": lambda: ours.twin.forward(given.inputs)}, rounds)
        report(
            f"| {scale} | {spread(found['train'])} | {spread(found['forward'])} | {100 * shares['spikes']:.1f} | "
            f"{100 * shares['somas']:.0f} | {100 * shares['outputs']:.0f} |\n"
        )


def layer_table(size: dendrites.Size, rounds: int, report: Report) -> None:
    given = dendrites.task(size)
    share = dendrites.active(dendrites.twin_of(given), given)
    frames, first, losses = made(dendrites.FRAMES, given, report)
    train = timed({name: frame.train for name, frame in frames.items()}, rounds)
    forward = timed({name: frame.forward for name, frame in frames.items()}, rounds)
    per = 1e9 / (size.units * size.batch * size.steps)
    mine, pure = statistics.median(train["ours"]), statistics.median(forward["ours"])
    report(
        f"{size.units} dendrites, {size.channels} channels, {size.steps} steps, batch {size.batch}; ours are above threshold in "
        f"{100 * share:.0f} % of the steps.\nMedians of {rounds} (least to most); 'first': making it and its first step; forward alone in "
        "ns for each unit, example and step. The goals are for ours / it.\n\n"
        "| frame | training, ms | first, s | first loss | ours / it | goal | met | forward, ns | ours / it | goal | met |\n"
        "|---|---:|---:|---:|---:|---:|---|---:|---:|---:|---|\n"
    )
    for name in frames:
        ends = ["| |", "| |"]
        if name != "ours":
            goals = LAYER_GOALS[name.split(",")[0]]
            ends = [
                verdict(mine, statistics.median(train[name]), goals[0]),
                verdict(pure, statistics.median(forward[name]), goals[1]),
            ]
        report(
            f"| {name} | {spread(train[name])} | {first[name]:.1f} | {losses[name]:.4f} | {ends[0]} | "
            f"{spread(forward[name], per)} | {ends[1]} |\n"
        )


def steps_table(size: dendrites.Size, steps: tuple[int, ...], rounds: int, report: Report) -> None:
    report(
        f"Training step, ms, of the same layer against the number of steps (medians of {rounds}), and the exponent of its growth over the\n"
        "last two doublings: 1 is linear, 2 quadratic.\n\n"
        f"| frame |{''.join(f' {T} |' for T in steps)} exponent |\n|---|{'---:|' * (len(steps) + 1)}\n"
    )
    for name, (modules, make) in dendrites.FRAMES.items():
        if missing(modules):
            continue
        row: list[float] = []
        for T in steps:
            if row and (row[-1] * (row[-1] / row[-2]) if len(row) > 1 else 0.0) > LONGEST:
                break
            frame = make(dendrites.task(size._replace(steps=T)))
            frame.train()
            row.append(statistics.median(timed({"": frame.train}, rounds)[""]))
        report(
            f"| {name} |{''.join(f' {1e3 * t:.1f} |' for t in row)}{' |' * (len(steps) - len(row))} {exponent(steps, row):.2f} |\n"
        )


def exponent(steps: tuple[int, ...], times: list[float]) -> float:
    """Of time against steps, by the last three points."""
    last = min(3, len(times))
    x = np.log(np.array(steps[len(times) - last : len(times)], dtype=float))
    return float(np.polyfit(x, np.log(times[-last:]), 1)[0])


# ------------------------------------------------------------------------------------------------------------ memory


def resident(what: str) -> int:
    """Bytes of ``VmRSS`` (now) or ``VmHWM`` (most)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024
    raise OSError(f"this system does not tell {what}")


def added(name: str, size: dendrites.Size) -> int:
    """Most bytes that a training step of this frame adds to this process."""
    make = dendrites.FRAMES[name][1]
    make(dendrites.task(size._replace(steps=16))).train()
    given = dendrites.task(size)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is forgotten
    make(given).train()
    return resident("VmHWM") - before


def memory_table(size: dendrites.Size, steps: tuple[int, ...], report: Report) -> None:
    report(
        "Memory that a training step of the layer needs, MiB, and bytes for each unit, example and further step.\n\n"
        f"| frame |{''.join(f' {T} |' for T in steps)} bytes |\n|---|{'---:|' * (len(steps) + 1)}\n"
    )
    for name, (modules, _) in dendrites.FRAMES.items():
        if missing(modules):
            continue
        row = []
        for T in steps:
            ask = json.dumps([name, [*size._replace(steps=T)]])
            done = subprocess.run(
                [sys.executable, __file__, "--memory-of", ask], capture_output=True, text=True, check=True
            )
            row.append(int(done.stdout.split()[-1]))
        per = (row[-1] - row[0]) / ((steps[-1] - steps[0]) * size.units * size.batch)
        report(f"| {name} |{''.join(f' {b / 2**20:.0f} |' for b in row)} {per:.0f} |\n")


# ------------------------------------------------------------------------------------------------------------ all


def versions() -> str:
    names = ("numpy", "numba", "torch", "snntorch", "norse", "jax", "brainstate", "braintools")
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("spiking", "layer", "steps", "memory"), action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small sizes, two rounds")
    parser.add_argument("--out", type=Path, default=None, help="a folder: write frameworks.md there too")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    one_thread()
    if options.memory_of:
        name, size = json.loads(options.memory_of)
        print(added(name, dendrites.Size(*size)))
        return
    written: list[str] = []

    def report(text: str) -> None:
        written.append(text)
        print(text, end="", flush=True)

    parts = options.part or ["spiking", "layer", "steps", "memory"]
    layer = QUICK_LAYER if options.quick else dendrites.FULL
    net = QUICK_SPIKING if options.quick else spiking.FULL
    steps = (20, 40, 80) if options.quick else STEPS
    rounds = 2 if options.quick else options.rounds
    report(f"# Training against other frameworks\n\nOne thread, CPU time, float32. {platform.machine()}, Python ")
    report(f"{platform.python_version()}, {versions()}.\n")
    if "spiking" in parts:
        report("\n## A spiking network\n\n")
        spiking_table(net, rounds, report)
    if "layer" in parts:
        report("\n## A layer of dendrites\n\n")
        layer_table(layer, rounds, report)
    if "steps" in parts:
        report("\n## Against the number of steps\n\n")
        steps_table(layer, steps, min(rounds, 3), report)
    if "memory" in parts:
        report("\n## Memory\n\n")
        memory_table(layer, steps[-3:] if options.quick else (250, 500, 1000), report)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "frameworks.md").write_text("".join(written))


if __name__ == "__main__":
    main()
