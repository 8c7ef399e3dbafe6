"""Batches in shards: what cutting costs, what workers cost, and what they gain. All as ratios, side by side.

    python benchmarks/data_parallel.py            # table; half a minute
    python benchmarks/data_parallel.py --quick    # fewer repeats
    python benchmarks/data_parallel.py --gate     # exit 1 if two workers gain less than half of the goal, by CPU time

A step is forward, loss and backward of one batch of scikit-learn's digits through a twin: 50 steps of 64 pixels, a crossbar of
64 dendrites and 10 somas. Ways take turns of some steps, and each is judged by its least time: what others do only adds. By clock
two workers need two free cores; by CPU time (this process and then the busiest worker, on Linux) they do not. One BLAS thread
everywhere, so that workers are compared with one core. The last lines are a model without work: what a step has to carry.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from soen_event.network import Network
from training.datasets import prepare
from training.gradients import loss_and_gradients
from training.losses import CrossEntropy
from training.model import LossValue, Run
from training.parallel import DataParallel
from training.twin import Twin

GOAL = 1.6  # two workers against none, same shards
SHARDS, BATCH = 4, 64


class Nothing:
    """Parameters, and no work."""

    def __init__(self, size: int):
        self.weights, self.slope = {"w": np.zeros(size)}, {"w": np.ones(size)}

    def parameters(self) -> dict[str, np.ndarray]:
        return self.weights

    def bounds(self) -> dict[str, tuple[float, float]]:
        return {}

    def forward(self, inputs: np.ndarray, train: bool = False, rng: Any = None) -> Run:
        return Run(np.zeros((len(inputs), 10)))

    def backward(self, run: Run, outputs: Any = None, states: Any = None, spikes: Any = None) -> dict[str, np.ndarray]:
        return self.slope


class Zero:
    """A loss of nothing."""

    def __call__(self, run: Run, targets: Any, model: Any = None, rng: Any = None) -> LossValue:
        return LossValue(0.0, outputs=run.outputs)


def twin() -> Twin:
    """The model of the steps."""
    part = {
        "builder": "crossbar", "n_in": 64, "n_out": 10, "weights": 0.01, "dendrite": {"beta_over_2pi": 300, "tau": 50.0},
        "neuron": {"soma": {"threshold": 0.75, "beta_over_2pi": 100, "tau": 50.0, "phi_offset": 0.25}, "refractory": None},
    }  # fmt: skip
    return Twin(Network.from_dict({"soen": 1, "populations": [{"name": "net", **part}]}), dt=2.0, trainable=("J",))


def clocks(parallel: DataParallel | None) -> list[float]:
    """CPU seconds of this process and of the workers."""
    pool = getattr(parallel, "_pool", None)
    pids = list(pool._processes) if pool is not None else []
    return [time.process_time(), *(time.clock_gettime((~pid << 3) | 2) for pid in pids)]


def least(
    ways: dict[str, tuple[DataParallel | None, Callable[[], Any]]], repeats: int
) -> dict[str, tuple[float, float]]:
    """Least wall-clock and CPU seconds of each way; they take turns of four steps, of which the first does not count.

    CPU seconds are those of this process and of the busiest worker, one after the other: what a step takes if every process has
    a core of its own.
    """
    found = dict.fromkeys(ways, (np.inf, np.inf))
    for _ in range(repeats):
        for name, (parallel, way) in ways.items():
            for step in range(4):
                before, start = clocks(parallel), time.perf_counter()
                way()
                wall, after = time.perf_counter() - start, clocks(parallel)
                if step:
                    here, *there = [b - a for a, b in zip(before, after, strict=True)]
                    found[name] = min(found[name][0], wall), min(found[name][1], here + max(there, default=0.0))
    return found


def measured(model: Any, loss: Any, x: np.ndarray, y: np.ndarray, repeats: int) -> dict[str, tuple[float, float]]:
    """Seconds of a step: as it is, in shards, and with workers."""
    with DataParallel(workers=1, shards=SHARDS) as one, DataParallel(workers=2, shards=SHARDS) as two:

        def shared(parallel: DataParallel) -> tuple[DataParallel, Callable[[], Any]]:
            return parallel, lambda: parallel.gradients(model, loss, x, y, (0, "noise", 0))

        ways: dict[str, tuple[DataParallel | None, Callable[[], Any]]] = {
            "plain": (None, lambda: loss_and_gradients(model, loss, x, y)),
            "shards": shared(DataParallel(shards=SHARDS)),
            "one": shared(one),
            "two": shared(two),
        }
        for _, way in ways.values():  # starts the workers
            way()
        return least(ways, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--gate", action="store_true", help="exit 1 if less than half of the goal's gain is reached")
    arguments = parser.parse_args()
    repeats = 3 if arguments.quick or arguments.gate else 12
    data = prepare("digits", encoder="photons", steps=50, limit=BATCH)["all"]
    with threadpool_limits(1):
        found = measured(twin(), CrossEntropy(), np.asarray(data.x), data.y, repeats)

        def ratio(one: str, other: str) -> str:
            wall, cpu = (found[one][k] / found[other][k] for k in range(2))
            return f"{wall:10.2f} {cpu:10.2f}"

        print(f"{os.cpu_count()} cores, batch of {BATCH}, {SHARDS} shards            by clock     by CPU")
        print(
            f"a step, batch whole                     {1e3 * found['plain'][0]:7.1f} ms {1e3 * found['plain'][1]:7.1f} ms"
        )
        print(f"what cutting costs: shards / whole      {ratio('shards', 'plain')}")
        print(f"what a worker costs: one / none         {ratio('one', 'shards')}")
        print(f"what two gain: none / two               {ratio('shards', 'two')}   (goal: {GOAL:g})")
        print(f"               whole / two              {ratio('plain', 'two')}")
        print("what two workers add to a step of no work")
        for size, shape in ((1000, (64, 50, 64)), (1000, (64, 200, 256)), (1_000_000, (64, 50, 64))):
            x = np.zeros(shape)
            idle = measured(Nothing(size), Zero(), x, np.zeros(len(x)), max(repeats // 2, 3))
            more = " ".join(f"{1e3 * (idle['two'][k] - idle['shards'][k]):7.1f} ms" for k in range(2))
            print(f"  {size:9,d} parameters, {x.nbytes / 1e6:4.1f} MB in    {more}")
    if arguments.gate and found["shards"][1] / found["two"][1] < 1.0 + 0.5 * (GOAL - 1.0):
        sys.exit(1)


if __name__ == "__main__":
    main()
