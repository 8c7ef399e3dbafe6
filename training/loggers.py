"""Callbacks that tell how a run goes: to the terminal, to CSV, to JSON lines, to TensorBoard."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soen_event.errors import InputError
from training.arguments import Faults
from training.checkpoint import replace_bytes
from training.hooks import Callback, TrainingState
from training.registry import register

__all__ = ["CSVLogger", "JSONLogger", "Logger", "ProgressBar", "TensorBoardLogger"]

_log = logging.getLogger("soen.training")


@register("callback", "logger", "Logger")
class Logger(Callback):
    """One line for every few epochs, to the logger ``soen.training`` or to a function (S2.21).

    Args:
        interval: epochs between lines, 1 or more.
        write: gets each line; ``print`` for instance.
    """

    def __init__(self, interval: int = 1, write: Any = None):
        faults = Faults("Logger")
        self.interval = faults.whole("interval", interval, least=1)
        faults.done()
        self.write = write or _log.info

    def on_epoch_end(self, state: TrainingState) -> None:
        """Tell the epoch."""
        if (state.epoch + 1) % self.interval == 0 or state.epoch + 1 == state.epochs:
            of = f"/{state.epochs}" if state.epochs else ""
            self.write(f"epoch {state.epoch + 1}{of}: {told(state.metrics)}")


@register("callback", "csv", "csv_logger", "CSVLogger")
class CSVLogger(Callback):
    """A CSV file with one row an epoch (S2.24): ``epoch`` and every metric that is a number; on the disk after each epoch.

    A metric that turns up later gets a column, empty before. A continued run goes on with the file and rewrites the epochs that it
    repeats; a new run begins it anew.

    Args:
        path: of the file.
        append: keep the rows that are there, whatever run they are from.
    """

    def __init__(self, path: str | os.PathLike[str] = "training.csv", *, append: bool = False):
        self.path, self.append = Path(path), append
        self.header: list[str] = []
        self._length = 0  # of the file after our last row

    def on_train_begin(self, state: TrainingState) -> None:
        """Read what is there, as far as it stays."""
        rows: list[dict[str, str]] = []
        if self.path.is_file() and (self.append or state.epoch > 0):
            with open(self.path, newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                self.header = list(reader.fieldnames or [])
                rows = [row for row in reader if self.append or _number(row.get("epoch")) < state.epoch]
        else:
            self.header = []
        self._rewrite(rows)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Add the row."""
        row = {"epoch": state.epoch, **{name: value for name, value in state.metrics.items() if _is_number(value)}}
        new = [name for name in row if name not in self.header]
        if new:
            rows: list[dict[str, str]] = []
            if self.header:
                with open(self.path, newline="", encoding="utf-8") as file:
                    rows = list(csv.DictReader(file))
            self.header += new
            self._rewrite(rows)
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.header).writerow({name: _shown(value) for name, value in row.items()})
            file.flush()
            os.fsync(file.fileno())

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        if self.header:
            writer = csv.DictWriter(text, self.header, extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows(rows)
        replace_bytes(self.path, text.getvalue().encode())


@register("callback", "jsonl", "json_logger", "JSONLogger")
class JSONLogger(Callback):
    """A file of JSON lines (S2.24): the beginning, every epoch, and the end of a run, each with the time of day.

    Numbers that are not finite are the texts "nan", "inf" and "-inf". A torn last line is what a kill leaves; it is cut off when the
    run goes on.

    Args:
        path: of the file; lines are added to it.
        every_steps: also a line with the loss after so many updates.
    """

    def __init__(self, path: str | os.PathLike[str] = "training.jsonl", *, every_steps: int | None = None):
        faults = Faults("JSONLogger")
        if every_steps is not None:
            faults.whole("every_steps", every_steps, least=1)
        faults.done()
        self.path, self.every_steps = Path(path), every_steps
        self._file: Any = None

    def on_train_begin(self, state: TrainingState) -> None:
        """Open the file."""
        self._open()
        self._line("begin", state, {"seed": state.seed})

    def _open(self) -> None:
        """Behind its last whole line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_file():
            data = self.path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                with open(self.path, "r+b") as file:
                    file.truncate(whole)
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115

    def on_batch_end(self, state: TrainingState) -> None:
        """A line, if it is due."""
        if self.every_steps is not None and state.stepped and state.step % self.every_steps == 0:
            self._line("step", state, state.metrics)

    def on_epoch_end(self, state: TrainingState) -> None:
        """A line."""
        self._line("epoch", state, state.metrics)

    def on_train_end(self, state: TrainingState) -> None:
        """The last line."""
        self._line("end", state, {})

    def _line(self, event: str, state: TrainingState, values: Mapping[str, Any]) -> None:
        plain = {name: _jsonable(value) for name, value in values.items()}
        line = {"event": event, "time": time.time(), "epoch": state.epoch, "step": state.step, **plain}
        if self._file is None:  # a loop of one's own may begin with an epoch
            self._open()
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


@register("callback", "tensorboard", "TensorBoardLogger")
class TensorBoardLogger(Callback):
    """Event files for TensorBoard (S2.24), written by tensorboardX (``pip install soen-event[tensorboard]``).

    Args:
        folder: for the event files.
        every_steps: the loss after so many updates, beside the metrics of every epoch.
        histograms: also the distribution of every parameter, after every epoch.

    Raises:
        InputError: tensorboardX is not installed.
    """

    def __init__(
        self, folder: str | os.PathLike[str] = "logs", *, every_steps: int | None = None, histograms: bool = False
    ):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise InputError(
                "TensorBoardLogger: tensorboardX is not installed; pip install 'soen-event[tensorboard]', or use JSONLogger"
            ) from None
        faults = Faults("TensorBoardLogger")
        if every_steps is not None:
            faults.whole("every_steps", every_steps, least=1)
        faults.done()
        self.folder, self.every_steps, self.histograms = Path(folder), every_steps, histograms
        self._make, self._writer = SummaryWriter, None

    def on_train_begin(self, state: TrainingState) -> None:
        """Open an event file; what a continued run repeats hides what was there."""
        self._open(state)

    def _open(self, state: TrainingState) -> Any:
        if self._writer is None:  # a loop of one's own may begin with an epoch
            self._writer = self._make(str(self.folder), purge_step=state.epoch if state.epoch else None)
        return self._writer

    def on_batch_end(self, state: TrainingState) -> None:
        """The loss, if it is due."""
        if self.every_steps is not None and state.stepped and state.step % self.every_steps == 0:
            self._open(state).add_scalar("step/loss", state.metrics["loss"], state.step)

    def on_epoch_end(self, state: TrainingState) -> None:
        """The metrics."""
        writer = self._open(state)
        for name, value in state.metrics.items():
            if _is_number(value):
                writer.add_scalar(name, value, state.epoch)
        if self.histograms:
            for name, array in state.model.parameters().items():
                writer.add_histogram(name, array, state.epoch)
        writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@register("callback", "progress", "ProgressBar")
class ProgressBar(Callback):
    """Bars of epochs and batches on standard error, with the metrics beside them. A trainer adds it by itself on a terminal.

    Args:
        console: a rich Console; by default standard error.
        rate: renewals a second at most.
    """

    def __init__(self, console: Any = None, rate: float = 8.0):
        self.console, self.interval = console, 1.0 / rate
        self._progress: Any = None
        self._due = 0.0

    def on_train_begin(self, state: TrainingState) -> None:
        """Show the bars."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description:>7}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = self.console or Console(stderr=True)
        self._progress = Progress(*columns, TextColumn("{task.fields[told]}"), console=console, auto_refresh=False)
        self._progress.start()
        self._epochs = self._progress.add_task("epochs", total=state.epochs, completed=state.epoch, told="")
        self._batches = self._progress.add_task("batches", total=state.batches, told="")

    def on_batch_end(self, state: TrainingState) -> None:
        """Move on, not more often than is seen."""
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + self.interval
            known = {name: value for name, value in state.metrics.items() if name in ("loss", "update_norm")}
            self._progress.update(self._batches, completed=state.batch + 1, told=told(known))
            self._progress.refresh()

    def on_epoch_end(self, state: TrainingState) -> None:
        """One epoch more."""
        self._progress.update(self._batches, completed=state.batch + 1)
        self._progress.update(self._epochs, completed=state.epoch + 1, told=told(state.metrics))
        self._progress.refresh()

    def close(self) -> None:
        """Leave the bars as they are."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def told(metrics: Mapping[str, Any]) -> str:
    """Metrics as short text."""
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if hasattr(value, "tolist"):
        return _jsonable(value.tolist())
    return [_jsonable(each) for each in value] if isinstance(value, list | tuple) else value
