"""A small recurrent model with exact gradients, written out: what losses and optimizers are tested with."""

from __future__ import annotations

import numpy as np

from training.model import Run


class SmallModel:
    """s(t + 1) = tanh(a s(t) + J x(t) + noise), outputs W s at every step or at the last one."""

    def __init__(self, seed=0, inputs=2, loops=3, classes=3, every_step=False, noise=0.0):
        rng = np.random.default_rng(seed)
        self.held = {
            "J": rng.normal(0.0, 0.5, (loops, inputs)),
            "leak": rng.uniform(0.3, 0.7, loops),
            "weights.out": rng.normal(0.0, 0.5, (classes, loops)),
        }
        self.every_step, self.noise = every_step, noise

    def parameters(self):
        return self.held

    def bounds(self):
        return {"leak": (0.0, 1.0)}

    def forward(self, inputs, train=False, rng=None):
        states = np.zeros((len(inputs), inputs.shape[1] + 1, len(self.held["leak"])))
        for t in range(inputs.shape[1]):
            drive = self.held["leak"] * states[:, t] + inputs[:, t] @ self.held["J"].T
            if train and self.noise:
                drive = drive + self.noise * rng.standard_normal(drive.shape)
            states[:, t + 1] = np.tanh(drive)
        seen = states[:, 1:] if self.every_step else states[:, -1]
        return Run(seen @ self.held["weights.out"].T, states=states, tape=inputs, inputs=inputs)

    def backward(self, run, outputs=None, states=None, spikes=None):
        found = {name: np.zeros_like(array) for name, array in self.held.items()}
        back = np.zeros_like(run.states) if states is None else states.copy()
        if outputs is not None:
            seen = run.states[:, 1:] if self.every_step else run.states[:, -1]
            found["weights.out"] = outputs.reshape(-1, outputs.shape[-1]).T @ seen.reshape(-1, seen.shape[-1])
            at = slice(1, None) if self.every_step else -1
            back[:, at] += outputs @ self.held["weights.out"]
        for t in reversed(range(run.tape.shape[1])):
            drive = back[:, t + 1] * (1.0 - run.states[:, t + 1] ** 2)
            found["J"] += drive.T @ run.tape[:, t]
            found["leak"] += np.sum(drive * run.states[:, t], axis=0)
            back[:, t] += drive * self.held["leak"]
        return found
