"""A small model with exact gradients, an optimizer, a loss and a metric, as the training loop asks for them."""

import numpy as np

from training.model import LossValue, Run


class Tiny:
    """Leaky hidden units, read out at the end: s' = a s + tanh(x W1 + b1); outputs = scale s_T W2."""

    def __init__(self, inputs=3, hidden=5, outputs=2, seed=0, leak=0.7):
        rng = np.random.default_rng(seed)
        self.weights = {
            "W1": rng.normal(size=(inputs, hidden)) * 0.5,
            "b1": np.zeros(hidden),
            "W2": rng.normal(size=(hidden, outputs)) * 0.5,
        }
        self.leak, self.dt, self.pooling_scale = leak, 0.5, 1.0
        self.noise = {"s": 0.0}
        self.initial_state = None
        self.forwards = self.backwards = 0
        self.limits = {}

    def parameters(self):
        return self.weights

    def bounds(self):
        return self.limits

    def forward(self, inputs, train=False, rng=None):
        self.forwards += 1
        w = self.weights
        drive = np.tanh(inputs @ w["W1"] + w["b1"])
        if train and self.noise["s"]:
            drive = drive + self.noise["s"] * rng.standard_normal(drive.shape)
        states = np.zeros((len(inputs), inputs.shape[1] + 1, drive.shape[2]))
        if self.initial_state is not None:
            states[:, 0] = self.initial_state
        for t in range(inputs.shape[1]):
            states[:, t + 1] = self.leak * states[:, t] + drive[:, t]
        return Run(
            self.pooling_scale * states[:, -1] @ w["W2"], states, tape=(inputs, np.tanh(inputs @ w["W1"] + w["b1"]))
        )

    def backward(self, run, outputs=None, states=None, spikes=None):
        self.backwards += 1
        x, drive = run.tape
        w = self.weights
        back = np.zeros_like(run.states) if states is None else states.copy()
        out = np.zeros_like(run.outputs) if outputs is None else outputs * self.pooling_scale
        back[:, -1] += out @ w["W2"].T
        pre = np.empty_like(drive)
        for t in range(x.shape[1] - 1, -1, -1):
            pre[:, t] = back[:, t + 1] * (1 - drive[:, t] ** 2)
            back[:, t] += self.leak * back[:, t + 1]
        return {
            "W1": np.einsum("bti,bth->ih", x, pre),
            "b1": pre.sum(axis=(0, 1)),
            "W2": run.states[:, -1].T @ out,
        }


class Momentum:
    """Plain SGD with momentum."""

    def __init__(self, lr=0.1, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, {}

    def step(self, params, grads):
        for name, p in params.items():
            v = self.v.setdefault(name, np.zeros_like(p))
            v *= self.momentum
            v += grads[name]
            p -= self.lr * v

    def get_lr(self):
        return self.lr

    def set_lr(self, lr):
        self.lr = lr

    def zero_grad(self):
        pass

    def state_dict(self):
        return {"lr": self.lr, "v": self.v}

    def load_state_dict(self, d):
        self.lr, self.v = d["lr"], {k: np.array(v) for k, v in d["v"].items()}


class CrossEntropy:
    """Mean of -log softmax."""

    def __call__(self, run, targets, model=None, rng=None):
        z = run.outputs - run.outputs.max(axis=1, keepdims=True)
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        b = np.arange(len(z))
        slope = p.copy()
        slope[b, targets] -= 1
        return LossValue(float(-np.log(p[b, targets]).mean()), outputs=slope / len(z))


class Accuracy:
    """Share of right guesses."""

    name = "accuracy"

    def __init__(self):
        self.reset()

    def reset(self):
        self.right = self.count = 0

    def update(self, pred, target):
        self.right += int((pred.argmax(axis=1) == target).sum())
        self.count += len(target)

    def compute(self):
        return self.right / self.count


def blobs(count=48, steps=6, inputs=3, classes=2, seed=1):
    """Two kinds of series that can be told apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = rng.normal(size=(count, steps, inputs)) * 0.4
    x[..., 0] += np.where(y == 1, 0.6, -0.6)[:, None]
    return x, y
