"""How well do imperfect chips read digits? The digits network on fabricated chips, with few bits and with dead detectors.

    python examples/imperfect_chips/imperfect_chips.py [--quick] [--workers N] [--chips N] [--out DIR]
    python examples/imperfect_chips/imperfect_chips.py --energy [--test N] [--out DIR]

Every chip sees the same scanned digits in the event engine, 300 for training and 200 for test. The study goes on where it was
stopped: what is done is in DIR (exact.jsonl and chips.jsonl), as are the table, all numbers as CSV, and the picture. ``--quick`` is the
same with few images and points, in some seconds. ``--energy`` books where the joules of the test digits go. What the numbers mean:
docs/imperfect_chips.md.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chip_study
import numpy as np
from chip_picture import draw
from chip_study import QUANTITIES, READOUTS
from energy_of_digits import told as told_energy

from hardware import montecarlo
from soen_event.errors import InputError

MOST_TRAIN, MOST_TEST = 1257, 540  # of scikit-learn's 1797 digits


def label(what: dict[str, Any]) -> str:
    """A point in words."""
    bits, kind = what["bits"], what["quantity"]
    words = []
    if bits:
        words.append(f"{bits} bit{'s' * (bits > 1)}, {what['levels']}")
    if what["percent"]:
        words.append(QUANTITIES[kind] + (f" {what['percent']:g} %" if kind != "published" else ""))
    if what["dead"]:
        words.append(f"{100.0 * what['dead']:g} % of the detectors dead")
    return " + ".join(words) or "perfect chip"


def table(studies: Sequence[montecarlo.Results]) -> str:
    """A line a point; of every readout the mean over the chips, their standard deviation, and the worst chip, in %."""
    first = studies[0].points[0]
    lines = [
        f"test accuracy in % on {first['test']} digits, {first['train']} for training; spikes a digit; neurons that never spike",
        (48 * " " + "".join(f"{name:^24}" for name in READOUTS.values())).rstrip(),
        f"{'':42}{'chips':>6}" + len(READOUTS) * f"{'mean':>10}{'std':>6}{'worst':>8}" + f"{'spikes':>9}{'silent':>8}",
    ]
    for results in studies:
        for k, what in enumerate(results.points):
            row = f"{label(what):42}{len(results.seeds):>6}"
            for name in READOUTS:
                found = 100.0 * results.array(name)[k]
                several = len(found) > 1
                row += f"{np.mean(found):>10.1f}"
                row += f"{np.std(found, ddof=1):>6.1f}{found.min():>8.1f}" if several else f"{'':14}"
            row += f"{results.mean('spikes')[k]:>9.0f}{results.mean('silent')[k]:>8.1f}"
            lines.append(row)
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------- running


@contextmanager
def _bar(name: str) -> Any:
    """Yields a function of (done, total) that moves a progress bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _finished(path: Path, evaluate: Callable[..., Any], points: Any, seeds: Any, workers: int) -> montecarlo.Results:
    with _bar(path.stem) as moved:
        return montecarlo.run(evaluate, points, seeds, path, workers=workers, progress=moved)


def _write(path: Path, text: str) -> None:
    """In one step: the whole file or the old one."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def run(args: argparse.Namespace) -> None:
    """Do what is left of the study, print its table, and write all files."""
    start = time.perf_counter()
    exact, chips = chip_study.study(args.train, args.test, args.quick)
    if args.workers > 1:  # the engine is compiled once, not by every worker
        chip_study.spikes(chip_study.digits.network(), chip_study.images(args.train, args.test)[0][:1], 0)
    jobs = ((args.out / "exact.jsonl", exact, [0]), (args.out / "chips.jsonl", chips, range(args.chips)))
    studies = [
        _finished(path, chip_study.accuracies, points, seeds, min(args.workers, len(points)))
        for path, points, seeds in jobs
    ]
    text = table(studies)
    print(text)
    _write(args.out / "table.txt", text)
    for results, name in zip(studies, ("exact.csv", "chips.csv"), strict=True):
        results.to_csv(args.out / name, overwrite=True)
    draw(studies, args.out / "accuracy.png")
    print(f"drawn to {args.out / 'accuracy.png'}")
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line.

    Raises:
        InputError: with every number that is out of its range.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few images, points and chips")
    parser.add_argument("--energy", action="store_true", help="book the energy of the test digits instead")
    parser.add_argument("--workers", type=int, default=1, help="processes, 1 to 1024")
    parser.add_argument("--chips", type=int, help="chips at every point, 2 to 10000 (10; quick: 2)")
    parser.add_argument("--train", type=int, help="training digits, 30 to 1257 (300; quick: 60)")
    parser.add_argument("--test", type=int, help="test digits, 10 to 540 (200; quick: 40)")
    parser.add_argument("--out", type=Path, default=Path("imperfect_chips"), help="folder of all files")
    args = parser.parse_args(given)
    faults = []
    for name, usual, few, low, high in (
        ("workers", 1, 1, 1, 1024),
        ("chips", 10, 2, 2, 10_000),
        ("train", 300, 60, 30, MOST_TRAIN),
        ("test", 200, 40, 10, MOST_TEST),
    ):
        value = getattr(args, name)
        if value is None:
            setattr(args, name, few if args.quick else usual)
        elif not low <= value <= high:
            faults.append(f"--{name}: {value} is out of range; give {low} to {high}")
    if args.out.exists() and not args.out.is_dir():
        faults.append(f"--out: {args.out} is no folder; give another name")
    if faults:
        raise InputError(faults)
    return args


def main(given: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code: 0, 1 (jobs failed), 2 (bad input) or 130 (stopped)."""
    try:
        args = arguments(given)
        args.out.mkdir(parents=True, exist_ok=True)
        if args.energy:
            text = told_energy(args.test)
            print(text)
            _write(args.out / "energy.txt", text)
        else:
            run(args)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (InputError, OSError) as trouble:
        print(trouble, file=sys.stderr)
        return 2
    except RuntimeError as trouble:  # montecarlo.JobsFailed, or a worker that died
        print(trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
