"""Optimizer steps against the same updates written in bare numpy, in place, by hand.

    python benchmarks/optimisers.py            # table
    python benchmarks/optimisers.py --gate     # fewer repeats; exit 1 if the goal is missed

Two sets of parameters: a few large arrays, where arithmetic counts, and twenty arrays of a small network, where calls do.
CPU time of one thread; both take turns, least of several runs.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable

import numpy as np

from training import registry

GOAL = 1.5
SIZES = {"3 x 400 000": [(400_000,)] * 3, "20 x 2 000": [(40, 50)] * 20}


def bare_sgd(weights, state, gradients, t):
    for w, s, g in zip(weights, state, gradients, strict=True):
        v, work = s
        if t == 1:
            v[...] = g
        else:
            v *= 0.9
            v += g
        np.multiply(v, 1e-3, out=work)
        w -= work


def bare_adam(weights, state, gradients, t):
    first, second = 1.0 / math.sqrt(1.0 - 0.999**t), 1e-3 / (1.0 - 0.9**t)
    for w, s, g in zip(weights, state, gradients, strict=True):
        m, v, work = s
        m *= 0.9
        np.multiply(g, 0.1, out=work)
        m += work
        v *= 0.999
        np.multiply(g, g, out=work)
        work *= 0.001
        v += work
        np.sqrt(v, out=work)
        work *= first
        work += 1e-8
        np.divide(m, work, out=work)
        work *= second
        w -= work


def bare_adamw(weights, state, gradients, t):
    for w in weights:
        w *= 1.0 - 1e-3 * 0.01
    bare_adam(weights, state, gradients, t)


def bare_rmsprop(weights, state, gradients, t):
    for w, s, g in zip(weights, state, gradients, strict=True):
        v, work = s
        v *= 0.9
        np.multiply(g, g, out=work)
        work *= 0.1
        v += work
        np.sqrt(v, out=work)
        work += 1e-8
        np.divide(g, work, out=work)
        work *= 1e-3
        w -= work


def bare_lion(weights, state, gradients, t):
    for w, s, g in zip(weights, state, gradients, strict=True):
        m, work, more = s
        np.multiply(m, 0.9, out=work)
        np.multiply(g, 0.1, out=more)
        work += more
        np.sign(work, out=work)
        work *= 1e-3
        w -= work
        m *= 0.99
        np.multiply(g, 0.01, out=more)
        m += more


CASES: dict[str, tuple[dict[str, float], Callable, int]] = {
    "sgd": ({"momentum": 0.9}, bare_sgd, 2),
    "adam": ({}, bare_adam, 3),
    "adamw": ({}, bare_adamw, 3),
    "rmsprop": ({}, bare_rmsprop, 2),
    "lion": ({}, bare_lion, 3),
}


def measured(name: str, shapes: list[tuple[int, ...]], repeats: int) -> tuple[float, float]:
    """Microseconds of a step of the library's optimizer and of the bare one, which must agree to rounding."""
    options, bare, buffers = CASES[name]
    rng = np.random.default_rng(0)
    gradients = {str(k): rng.normal(size=shape) for k, shape in enumerate(shapes)}
    mine = {key: np.ones_like(g) for key, g in gradients.items()}
    its = [np.ones_like(g) for g in gradients.values()]
    state = [[np.zeros_like(g) for _ in range(buffers)] for g in gradients.values()]
    made = registry.get("optimizer", name)(lr=1e-3, **options)
    made.register_trainable_weights(mine)
    steps = max(3, 3_000_000 // sum(math.prod(shape) for shape in shapes) // 4)
    best, t, plain = [math.inf, math.inf], 0, list(gradients.values())
    for _ in range(repeats):
        start = time.thread_time()
        for _ in range(steps):
            made.update(gradients)
        middle = time.thread_time()
        for _ in range(steps):
            t += 1
            bare(its, state, plain, t)
        best = [min(best[0], middle - start), min(best[1], time.thread_time() - middle)]
    if not all(np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(mine.values(), its, strict=True)):
        raise AssertionError(f"{name}: the two updates differ")
    return best[0] / steps * 1e6, best[1] / steps * 1e6


def main() -> int:
    import training.optim  # noqa: F401  registers the names

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gate", action="store_true", help="fewer repeats; exit 1 if the goal is missed")
    gate = parser.parse_args().gate
    worst = 0.0
    print("optimizer  arrays         step us    bare numpy us    ratio")
    for label, shapes in SIZES.items():
        for name in CASES:
            mine, its = measured(name, shapes, 7 if gate else 25)
            worst = max(worst, mine / its)
            print(f"{name:10} {label:12} {mine:10.1f} {its:16.1f} {mine / its:8.2f}")
    print(f"largest ratio {worst:.2f}; goal: at most {GOAL}")
    return int(gate and worst > GOAL)


if __name__ == "__main__":
    sys.exit(main())
