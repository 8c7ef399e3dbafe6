"""Callbacks that end a run early and in order: after so much time, or when somebody asks for it."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from training.arguments import Faults
from training.hooks import CONTINUE, STOP, Callback, Signal, TrainingState
from training.registry import register

__all__ = ["Interruption", "TimeLimit"]


@register("callback", "time_limit", "TimeLimit")
class TimeLimit(Callback):
    """Stop when a run has taken a time by the clock on the wall; between two updates, so that the run can be continued.

    Args:
        seconds: above 0.
        path: where the state is written then, or None.

    ``reached``: whether it was.
    """

    def __init__(self, seconds: float, path: str | os.PathLike[str] | None = None):
        faults = Faults("TimeLimit")
        self.seconds = faults.number("seconds", seconds, above=0.0)
        faults.done()
        self.path = None if path is None else Path(path)
        self.reached = False
        self._end = 0.0

    def on_train_begin(self, state: TrainingState) -> None:
        """Start the clock."""
        self._end, self.reached = time.monotonic() + self.seconds, False

    def on_batch_end(self, state: TrainingState) -> Signal:
        """Look at it."""
        self.reached = self.reached or time.monotonic() >= self._end
        return STOP if self.reached else CONTINUE

    def on_settled(self, state: TrainingState, event: str) -> None:
        """Write the state, if it ends here."""
        if self.reached and self.path is not None and event != "end":
            state.trainer.save(self.path)


@register("callback", "interruption", "Interruption")
class Interruption(Callback):
    """On SIGINT (Ctrl-C) or SIGTERM: finish the update, write the state, end the run. A second one ends it at once.

    Signals are heard in the main thread only; elsewhere call :meth:`request`.

    Args:
        path: where the state is written then, or None.

    ``requested``: whether it was.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = None if path is None else Path(path)
        self.requested = False
        self._before: dict[int, Any] = {}

    def request(self) -> None:
        """Ask for the end, from any thread."""
        self.requested = True

    def on_train_begin(self, state: TrainingState) -> None:
        """Begin to hear."""
        self.requested = False
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)

    def _hear(self, number: int, frame: Any) -> None:
        self.requested = True
        self._restore()

    def on_batch_end(self, state: TrainingState) -> Signal:
        """Stop, if somebody asked."""
        return STOP if self.requested else CONTINUE

    def on_epoch_end(self, state: TrainingState) -> Signal:
        """Stop, if somebody asked while it was validated."""
        return STOP if self.requested else CONTINUE

    def on_settled(self, state: TrainingState, event: str) -> None:
        """Write the state, if it ends here."""
        if self.requested and self.path is not None and event != "end":
            state.trainer.save(self.path)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def close(self) -> None:
        """Stop hearing."""
        self._restore()
