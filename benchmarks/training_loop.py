"""The training loop against a bare loop that does the same: batches, forward, loss, backward, optimizer, nothing else.

    python benchmarks/training_loop.py            # table
    python benchmarks/training_loop.py --gate     # exit 1 if the loop adds more than 5 % to the smallest example's epoch (S2.31)

The smallest example is scikit-learn's digits, 20 steps of 64 pixels in batches of 32, through one layer of 32 leaky units. What the
loop adds is measured with a model that does nothing, on batches of the same size, and set against the CPU time of that epoch. Process time,
the least of several epochs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from training.data import DataLoader
from training.datasets import prepare
from training.loop import Trainer
from training.losses import CrossEntropy
from training.model import Run
from training.optim import Adam

GOAL = 0.05


class Nothing:
    """A model without work: its outputs are zeros, its gradients too."""

    def __init__(self, classes: int = 10):
        self.weights = {"w": np.zeros((64, 10))}
        self.zeros = {"w": np.zeros((64, 10))}
        self.classes = classes

    def parameters(self) -> dict[str, np.ndarray]:
        return self.weights

    def bounds(self) -> dict[str, tuple[float, float]]:
        return {}

    def forward(self, inputs: np.ndarray, train: bool = False, rng: Any = None) -> Run:
        return Run(np.zeros((len(inputs), self.classes)))

    def backward(self, run: Run, outputs: Any = None, states: Any = None, spikes: Any = None) -> dict[str, np.ndarray]:
        return self.zeros


class Leaky:
    """s' = a s + tanh(x W); outputs = s V at the end."""

    def __init__(self, inputs: int = 64, hidden: int = 32, classes: int = 10):
        rng = np.random.default_rng(0)
        self.weights = {"W": rng.normal(size=(inputs, hidden)) * 0.1, "V": rng.normal(size=(hidden, classes)) * 0.1}

    def parameters(self) -> dict[str, np.ndarray]:
        return self.weights

    def bounds(self) -> dict[str, tuple[float, float]]:
        return {}

    def forward(self, inputs: np.ndarray, train: bool = False, rng: Any = None) -> Run:
        drive = np.tanh(inputs @ self.weights["W"])
        states = np.zeros((len(inputs), inputs.shape[1] + 1, drive.shape[2]))
        for t in range(inputs.shape[1]):
            states[:, t + 1] = 0.9 * states[:, t] + drive[:, t]
        return Run(states[:, -1] @ self.weights["V"], states, tape=(inputs, drive))

    def backward(self, run: Run, outputs: Any = None, states: Any = None, spikes: Any = None) -> dict[str, np.ndarray]:
        x, drive = run.tape
        back = outputs @ self.weights["V"].T
        pre = np.empty_like(drive)
        for t in range(x.shape[1] - 1, -1, -1):
            pre[:, t] = back * (1 - drive[:, t] ** 2)
            back = 0.9 * back
        return {"W": np.tensordot(x, pre, ((0, 1), (0, 1))), "V": run.states[:, -1].T @ outputs}  # type: ignore[index]


def bare(model: Any, loader: DataLoader, loss: Any, optimizer: Any, epoch: int) -> None:
    """One epoch without a trainer."""
    for x, y in loader.batches(epoch):
        run = model.forward(x, train=True)
        value = loss(run, y, model)
        optimizer.step(model.parameters(), model.backward(run, value.outputs))


def spent(work: Callable[[int], Any], repeats: int) -> float:
    """Least process time of an epoch, after one that is not counted: what others do on the machine only adds."""
    found = []
    for epoch in range(repeats + 1):
        start = time.process_time()
        work(epoch)
        found.append(time.process_time() - start)
    return min(found[1:])


def measured(repeats: int) -> tuple[float, float, float, int]:
    """Seconds of (an epoch of the example, a bare epoch of nothing, the trainer's epoch of nothing), and batches."""
    data = prepare("digits", encoder="photons", steps=20)["all"]
    loader = DataLoader(data, 32)
    example, optimizer = Leaky(), Adam(1e-3)
    real = spent(lambda epoch: bare(example, loader, CrossEntropy(), optimizer, epoch), repeats)
    nothing, idle = Nothing(), Adam(1e-3)
    least = spent(lambda epoch: bare(nothing, loader, CrossEntropy(), idle, epoch), 10 * repeats)
    trainer = Trainer(Nothing(), Adam(1e-3), loss=CrossEntropy(), progress=False)
    whole = spent(lambda epoch: trainer.fit(loader, epochs=1), 10 * repeats)
    return real, least, whole, len(loader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gate", action="store_true", help="exit 1 if the goal is missed")
    arguments = parser.parse_args()
    real, least, whole, batches = measured(5 if arguments.gate else 15)
    share = (whole - least) / real
    print(f"an epoch of the smallest example, bare   {1e3 * real:8.2f} ms ({batches} batches)")
    print(f"an epoch of a model without work, bare   {1e3 * least:8.2f} ms")
    print(f"the same through the trainer             {1e3 * whole:8.2f} ms")
    print(f"what the loop adds, a batch              {1e6 * (whole - least) / batches:8.1f} us")
    print(f"what the loop adds, of the example       {100 * share:8.2f} %   (goal: below {100 * GOAL:g} %)")
    if arguments.gate and share > GOAL:
        sys.exit(1)


if __name__ == "__main__":
    main()
