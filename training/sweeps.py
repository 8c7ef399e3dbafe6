"""A configuration at every point of a grid, with every seed: which point is best, and how sure that is (S2.33)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from hardware import montecarlo
from soen_event.errors import InputError
from training.blocks import Config
from training.config import read
from training.experiment import run

__all__ = ["Sweep", "sweep"]

_QUIET = {"training.num_repeats": 1, "logging.csv": False, "logging.checkpoints": False, "logging.progress": False}


@dataclass
class Sweep:
    """What a sweep found. ``rows``: one for every point, the best first: its overrides, mean, and interval of the mean.

    ``results``: everything, as :class:`hardware.montecarlo.Results`.
    """

    monitor: str
    mode: str
    rows: list[dict[str, Any]]
    results: montecarlo.Results

    @property
    def best(self) -> dict[str, Any]:
        """The overrides of the best point."""
        best: dict[str, Any] = self.rows[0]["overrides"]
        return best

    def __str__(self) -> str:
        lines = [f"{self.monitor:>12}  {'95 % of the mean':>20}  overrides"]
        for row in self.rows:
            told = " ".join(f"{key}={value}" for key, value in row["overrides"].items())
            lines.append(f"{row['mean']:12.5g}  {row['low']:9.4g} to {row['high']:7.4g}  {told}")
        return "\n".join(lines)


def sweep(
    config: Config | Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    seeds: Iterable[int] = (0, 1, 2),
    *,
    monitor: str = "val_loss",
    mode: str = "min",
    path: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    resamples: int = 2000,
) -> Sweep:
    """Run a configuration at every point of a grid with every seed, and rank the points (S2.33).

    Args:
        config: what is varied, or its plain data; repeats and log files are left out.
        grid: values by dotted key, such as ``{"training.optimizer.lr": [0.01, 0.001]}``.
        seeds: of the runs.
        monitor: by its value in the last epoch points are ranked; ``mode`` "min" or "max".
        path: a file (.jsonl) that keeps what is done: a sweep that was killed goes on.
        workers: processes.
        resamples: of the bootstrap that gives the interval of each mean; it is seeded.

    Raises:
        InputError: an unknown key or value in the grid (before anything runs), or a metric that is not there.
    """
    base = config.plain() if isinstance(config, Config) else dict(config)
    if not grid or not all(
        isinstance(values, Sequence) and not isinstance(values, str) and values for values in grid.values()
    ):
        raise InputError("sweep.grid: give lists of values by key, such as {'training.optimizer.lr': [0.1, 0.01]}")
    if mode not in ("min", "max"):
        raise InputError(f"sweep.mode: {mode!r} is unknown; give 'min' or 'max'")
    points, faults = [], []
    for values in product(*grid.values()):
        overrides = dict(zip(grid, values, strict=True))
        try:
            read(base, _texts({**_QUIET, **overrides}), place="sweep")
        except InputError as error:
            faults += error.faults
        points.append({"overrides": overrides, "config": base, "monitor": monitor})
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    results = montecarlo.run(_evaluate, points, seeds, path, workers=workers, progress=False)
    rows = []
    rng = np.random.default_rng(0)
    for k, point in enumerate(points):
        values_ = results.array(monitor)[k]
        draws = values_[rng.integers(len(values_), size=(resamples, len(values_)))].mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975]).tolist()
        rows.append(
            {
                "overrides": point["overrides"],
                "mean": float(values_.mean()),
                "low": low,
                "high": high,
                "values": values_.tolist(),
            }
        )
    rows.sort(key=lambda row: row["mean"] if mode == "min" else -row["mean"])
    return Sweep(monitor, mode, rows, results)


def _texts(overrides: Mapping[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]


def _evaluate(point: Mapping[str, Any], seed: int) -> dict[str, float]:
    """One run of a sweep, in a folder of its own."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        texts = _texts({**_QUIET, **point["overrides"], "seed": seed, "logging.folder": folder})
        outcome = run(read(point["config"], texts))[0]
    last = {name: float(value) for name, value in outcome.history[-1].items() if isinstance(value, int | float)}
    if point["monitor"] not in last:
        raise InputError(f"sweep.monitor: {point['monitor']!r} is no metric; there are {sorted(last)}")
    return last
