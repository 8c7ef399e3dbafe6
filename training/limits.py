"""A callback that keeps weights where a chip can hold them: within a range, and on the side of zero where they began.

Of a student that is distilled for a chip (features.md 3.6): limits of a profile, and polarity. Weights on levels are the matter of
:mod:`training.hardening`; both go together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hardware.chip import Chip, find
from soen_event.errors import InputError
from training.arguments import Faults, matching
from training.hooks import Callback, TrainingState
from training.registry import register

__all__ = ["Limits"]

_OF_CHIP = {"weights": "weights", "J": "couplings"}


@register("callback", "limits", "Limits")
class Limits(Callback):
    """After every update each weight is put back to the nearest value that it may have.

    Args:
        ranges: (smallest, largest) by name or pattern of a parameter; the chip's come where none is given.
        signs: names or patterns of parameters whose entries keep the sign that they have when the training begins: none crosses 0.
            An entry that begins at 0 may go either way.
        chip: a chip, the name of a profile, or a chip file: ranges of ``weights`` and ``J`` are from its first to its last level, with its
            rule for signs ("magnitude": levels of the size, the sign stays).

    Raises:
        InputError: nothing is given, a range that is none, or an unknown chip. When the training begins: a pattern that fits no parameter,
            or an entry that can have no value.
    """

    def __init__(
        self,
        ranges: Mapping[str, Sequence[float]] | None = None,
        signs: str | Iterable[str] | None = None,
        chip: str | Chip | None = None,
    ):
        faults = Faults("Limits")
        self.ranges: dict[str, tuple[float, float]] = {}
        if ranges is not None and not isinstance(ranges, Mapping):
            faults.add("ranges", f"{ranges!r} is no mapping; give such as {{'J': (-0.4, 0.4)}}")
            ranges = None
        for name, pair in (ranges or {}).items():
            self.ranges[str(name)] = _range(pair, f"ranges[{name!r}]", faults)
        self.signs = (signs,) if isinstance(signs, str) else tuple(signs or ())
        self.chip: Chip | None = None
        try:
            self.chip = None if chip is None else find(chip)
        except InputError as error:
            faults.found += [f"Limits.{fault}" for fault in error.faults]
        if not self.ranges and not self.signs and chip is None and not faults.found:
            faults.add("ranges", "there is nothing to keep; give ranges, signs or a chip")
        faults.done()
        self._began: dict[str, np.ndarray] = {}
        self._bounds: dict[str, tuple[np.ndarray, np.ndarray]] | None = None

    def reset(self) -> None:
        """A new training: signs are those that it begins with."""
        self._began = {}

    def on_train_begin(self, state: TrainingState) -> None:
        """Remember the signs, and see that every weight may have some value; those outside are put within."""
        parameters = state.model.parameters()
        for patterns in (self.ranges, self.signs):
            if patterns:
                matching(list(patterns), parameters, "Limits")
        for name, array in parameters.items():
            began = self._began.get(name)
            if began is None or began.shape != array.shape:
                self._began[name] = np.sign(array).astype(np.int8)
        faults = []
        self._bounds = self._limits(parameters)
        for name, (low, high) in self._bounds.items():
            for k in np.argwhere(np.broadcast_to(low > high, parameters[name].shape))[:1].tolist():
                faults.append(
                    f"Limits: {name}{k} began at {parameters[name][tuple(k)]:g}, and no value of its sign is within its range; "
                    "begin with another sign, or widen the range"
                )
        if faults:
            raise InputError(faults)
        self._project(parameters)

    def on_batch_end(self, state: TrainingState) -> None:
        """Put back what an update has taken too far."""
        if state.stepped:
            self._project(state.model.parameters())

    def state_dict(self) -> dict[str, Any]:
        """The signs with which the training began."""
        return {"began": dict(self._began)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the same signs."""
        self._began = {name: np.array(signs) for name, signs in state["began"].items()}
        self._bounds = None

    def _project(self, parameters: Mapping[str, np.ndarray]) -> None:
        if self._bounds is None:
            self._bounds = self._limits(parameters)
        for name, (low, high) in self._bounds.items():
            np.clip(parameters[name], low, high, out=parameters[name])

    def _limits(self, parameters: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Smallest and largest value of every entry, by parameter."""
        kept = set(matching(list(self.signs), parameters, "Limits.signs")) if self.signs else set()
        found = {}
        for name, array in parameters.items():
            given = [self.ranges[p] for p in self.ranges if name in matching(p, parameters, "Limits.ranges")]
            low, high = max((g[0] for g in given), default=-math.inf), min((g[1] for g in given), default=math.inf)
            rule = "keep" if name in kept else "free"
            if self.chip is not None and name in _OF_CHIP:
                theirs = getattr(self.chip, _OF_CHIP[name])
                if theirs is not None and not given:
                    low, high = _ends(theirs)
                    rule = self.chip.sign if self.chip.sign != "free" else rule
                elif self.chip.sign != "free":
                    rule = "keep"
            if rule == "free" and not math.isfinite(low) and not math.isfinite(high):
                continue
            began = self._began[name]
            least, most = np.full(array.shape, low), np.full(array.shape, high)
            if rule == "keep":
                least[began > 0], most[began < 0] = max(low, 0.0), min(high, 0.0)
            elif rule == "magnitude":
                least = np.where(began > 0, low, -high)
                most = np.where(began < 0, -low, high)
            found[name] = least.astype(array.dtype), most.astype(array.dtype)
        return found


def _range(pair: Any, place: str, faults: Faults) -> tuple[float, float]:
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        faults.add(place, f"{pair!r} is no range; give (smallest, largest)")
        return -math.inf, math.inf
    low, high = (faults.number(place, value) for value in pair)
    if low > high:
        faults.add(place, f"{low:g} is above {high:g}; exchange or correct them")
    return low, high


def _ends(limit: Any) -> tuple[float, float]:
    """First and last value of levels, or of a range."""
    values = getattr(limit, "values", limit)
    return float(values[0]), float(values[-1])
