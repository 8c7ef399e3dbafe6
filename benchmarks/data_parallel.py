"""Batches in shards: what cutting costs, what workers cost, and what they gain. All as ratios of wall-clock time, side by side.

    python benchmarks/data_parallel.py            # table; a minute on two free cores
    python benchmarks/data_parallel.py --quick    # fewer repeats
    python benchmarks/data_parallel.py --gate     # exit 1 if two workers gain less than half of the goal

A step is forward, loss and backward of one batch of scikit-learn's digits through a twin: 50 steps of 64 pixels, a crossbar of 640
dendrites and 10 somas. Ways take turns, and each is judged by its least time: what others do on the machine only adds. One BLAS
thread everywhere, so that workers are compared with one core. The last lines are a model without work: what a step has to carry.
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


def least(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Least seconds of each way; they take turns, and the first turn does not count."""
    found = dict.fromkeys(ways, np.inf)
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:
                found[name] = min(found[name], time.perf_counter() - start)
    return found


def measured(model: Any, loss: Any, x: np.ndarray, y: np.ndarray, repeats: int) -> dict[str, float]:
    """Seconds of a step: as it is, in shards, and with workers."""
    with DataParallel(workers=1, shards=SHARDS) as one, DataParallel(workers=2, shards=SHARDS) as two:

        def shared(parallel: DataParallel) -> Callable[[], Any]:
            return lambda: parallel.gradients(model, loss, x, y, (0, "noise", 0))

        ways: dict[str, Callable[[], Any]] = {
            "plain": lambda: loss_and_gradients(model, loss, x, y),
            "shards": shared(DataParallel(shards=SHARDS)),
            "one": shared(one),
            "two": shared(two),
        }
        return least(ways, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--gate", action="store_true", help="exit 1 if less than half of the goal's gain is reached")
    arguments = parser.parse_args()
    repeats = 5 if arguments.quick or arguments.gate else 20
    data = prepare("digits", encoder="photons", steps=50, limit=BATCH)["all"]
    with threadpool_limits(1):
        found = measured(twin(), CrossEntropy(), np.asarray(data.x), data.y, repeats)
        shards, gain = found["shards"], found["shards"] / found["two"]
        print(f"{os.cpu_count()} cores, batch of {BATCH}, {SHARDS} shards")
        print(f"a step, batch whole                 {1e3 * found['plain']:9.1f} ms")
        print(f"  in shards, here                   {shards / found['plain']:9.2f} x   of that")
        print(f"  in shards, by one worker          {found['one'] / shards:9.2f} x   of shards here")
        print(f"  in shards, by two workers         {gain:9.2f} x   as fast as shards here   (goal: {GOAL:g})")
        print(
            f"                                    {found['plain'] / found['two']:9.2f} x   as fast as the batch whole"
        )
        print("what two workers add to a step of no work")
        for size, shape in ((1000, (64, 50, 64)), (1000, (64, 200, 256)), (1_000_000, (64, 50, 64))):
            x = np.zeros(shape)
            idle = measured(Nothing(size), Zero(), x, np.zeros(len(x)), max(repeats // 2, 3))
            print(
                f"  {size:9,d} parameters, inputs of {x.nbytes / 1e6:4.1f} MB   {1e3 * (idle['two'] - idle['shards']):9.1f} ms"
            )
    if arguments.gate and gain < 1.0 + 0.5 * (GOAL - 1.0):
        sys.exit(1)


if __name__ == "__main__":
    main()
