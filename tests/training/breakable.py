"""Models and losses that fail in a chosen way, in a file that workers can import."""

import os
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info
from tiny_model import Tiny

from soen_event.errors import InputError


class Odd(Exception):
    """An exception that does not survive pickling."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Breakable(Tiny):
    """Breaks at inputs that hold 99.0, in the way that ``how`` says; with a ``once`` file only if that is there, which it removes."""

    def __init__(self, how="none", once=None, slow=0.0, **options):
        super().__init__(**options)
        self.how, self.once, self.slow = how, once, slow

    def forward(self, inputs, train=False, rng=None):
        if (inputs == 99.0).any() and (self.once is None or Path(self.once).exists()):
            if self.once is not None:
                Path(self.once).unlink()
            if self.how == "input":
                raise InputError(["Breakable.forward: 99 is too much; lower it", "Breakable.other: wrong too; mend it"])
            if self.how == "odd":
                raise Odd("this", "that")
            if self.how == "exit":
                os._exit(7)
            if self.how == "nan":
                inputs = np.full_like(inputs, np.nan)
        time.sleep(self.slow)
        return super().forward(inputs, train, rng)


class Told(Tiny):
    """Has settings of its own; counts how often a copy was made of it."""

    copies = 0

    def __init__(self, **options):
        super().__init__(**options)
        self.gain, self.applied = 1.0, 0

    def settings(self):
        return {"gain": self.gain}

    def apply_settings(self, values):
        self.gain = values["gain"]
        self.applied += 1

    def forward(self, inputs, train=False, rng=None):
        return super().forward(self.gain * inputs, train, rng)

    def __setstate__(self, state):
        Told.copies += 1
        self.__dict__.update(state)


class Lost(Tiny):
    """Cannot be made again."""

    def __setstate__(self, state):
        raise RuntimeError("lost")


class Writer(Tiny):
    """Gives the same arrays again and again, written anew."""

    def forward(self, inputs, train=False, rng=None):
        run = super().forward(inputs, train, rng)
        held = self.__dict__.setdefault("outputs", {}).setdefault(len(inputs), np.empty_like(run.outputs))
        held[...] = run.outputs
        run.outputs = held
        return run

    def backward(self, run, outputs=None, states=None, spikes=None):
        held = self.__dict__.setdefault("buffers", {})
        for name, gradient in super().backward(run, outputs, states, spikes).items():
            held.setdefault(name, np.empty_like(gradient))[...] = gradient
        return held


class Counting(Tiny):
    """Its outputs are the most threads that BLAS may use."""

    def forward(self, inputs, train=False, rng=None):
        run = super().forward(inputs, train, rng)
        run.outputs[...] = max(each["num_threads"] for each in threadpool_info())
        return run


class Slow(Tiny):
    """Takes its time."""

    def forward(self, inputs, train=False, rng=None):
        time.sleep(0.02)
        return super().forward(inputs, train, rng)


class Pairing:
    """Not a mean over samples, and does not say so; stands for a function."""

    def __call__(self, outputs, targets):
        middle = outputs.mean(axis=0)
        return float((middle**2).sum()), np.broadcast_to(2 * middle / len(outputs), outputs.shape).copy()


def square(outputs, targets):
    """A plain function as a loss, without a gradient."""
    return float(np.mean((outputs[:, 0] - targets) ** 2))
