"""What a chip is told about each sample: rewards, errors and other third factors, at its beginning and at its end."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError, nearest
from training.local_errors import InvalidLayerError, LearningWarning, NonFiniteError
from training.registry import get, names
from training.stored import put_state, state_of

if TYPE_CHECKING:
    from soen_event.plan import Plan
    from soen_event.simulate import Simulation
    from training.local_readouts import Outputs

__all__ = ["Signals"]


class Signals:
    """Signals of every sample.

    Arguments:
        plan: of the chip; its rules say what they hear.
        modulator: a function ``(outputs, target)``, the registered name of one, a mapping from signals to either, or None. ``outputs`` is
            an :class:`~training.local_readouts.Outputs` (a mapping by id, an array for numpy). It returns a number, a mapping of numbers by
            neuron, or a mapping of either by signal. A single modulator speaks to all signals that rules hear, but for those of ``begin``
            and ``end``.
        begin, end: names of signals that are sent at the beginning of a sample, and at its end after the modulator's, with value 1.

    At a sample's end the modulator's signals come in the order in which rules name them, then those of ``end``.
    """

    def __init__(self, plan: Plan, modulator: Any, begin: tuple[str, ...], end: tuple[str, ...]):
        heard: dict[str, None] = {}
        for hooks in plan.learning.hooks:
            heard |= dict.fromkeys(name[3:] for name in hooks if name[3:] in plan.learning.signals)
        self.heard = tuple(heard)
        self.neurons = set(plan.neuron_ids)
        faults: list[str] = []
        self.begins = tuple(name for name in begin if name in heard)
        self.ends = tuple(name for name in end if name in heard)
        both = sorted(set(self.begins) & set(self.ends))
        if both:
            faults.append(f"LocalTrainer.begin: {both[0]!r} is sent at the end too; give it to one of begin and end")
        rest = [name for name in self.heard if name not in (*self.begins, *self.ends)]
        self.modulators: dict[str, Any] = {}
        self.single: Any = None
        self._rest = rest
        if isinstance(modulator, Mapping):
            for name, each in modulator.items():
                if name not in heard:
                    what = f"rules hear {', '.join(heard)}" if heard else "no rule hears signals"
                    faults.append(f"LocalTrainer.modulator: {name!r} is not heard{nearest(str(name), heard)}; {what}")
                self.modulators[name] = _function(each, faults)
        elif modulator is not None:
            self.single = _function(modulator, faults)
        if faults:
            raise InputError(faults)
        self.sent: set[str] = set()

    def begin(self, run: Simulation) -> None:
        """A sample begins."""
        for name in self.begins:
            run.signal(name, 1.0)
            self.sent.add(name)

    def modulate(self, run: Simulation, outputs: Outputs, target: Any, where: str) -> None:
        """A sample has ended with these outputs."""
        if self.single is not None:
            self.send(run, self.single(outputs, target), where)
            return
        self._send(run, {name: each(outputs, target) for name, each in self.modulators.items()}, where)

    def send(self, run: Simulation, found: Any, where: str) -> None:
        """Send what a modulator has said of the sample that has ended."""
        if isinstance(found, Mapping) and found and set(found) <= set(self.heard) and not set(found) <= self.neurons:
            self._send(run, found, where)
        else:
            self._send(run, dict.fromkeys(self._rest, found), where)

    def _send(self, run: Simulation, values: Mapping[str, Any], where: str) -> None:
        told = {name: self._value(name, value, where) for name, value in values.items() if value is not None}
        for name in (*(n for n in self.heard if n in told and n not in self.ends), *self.ends):
            run.signal(name, told.get(name, 1.0))
            self.sent.add(name)

    def _value(self, name: str, value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            return _number(name, value, where)
        unknown = [n for n in value if n not in self.neurons]
        if unknown:
            known = self.neurons | set(self.heard)
            raise InvalidLayerError(
                f"LocalTrainer.modulator: {unknown[0]!r} is neither a neuron nor a signal{nearest(str(unknown[0]), known)} ({where})"
            )
        return {n: _number(f"{name} of {n}", v, where) for n, v in value.items()}

    def check(self, outputs: Outputs, where: str) -> None:
        """Raise NonFiniteError if an output is no finite number."""
        wrong = [name for name, value in outputs.items() if not math.isfinite(value)]
        if wrong:
            raise NonFiniteError(
                [f"LocalTrainer.readout: {n} gives {outputs[n]} {where}; look at the run" for n in wrong[:20]]
            )

    def warn(self) -> None:
        """Say which signals rules hear and nobody sends."""
        sent = {*self.begins, *self.ends, *(self._rest if self.single is not None else self.modulators)}
        silent = [name for name in self.heard if name not in sent]
        if silent:
            warnings.warn(
                f"LocalTrainer.modulator: rules hear {', '.join(silent)}, and nothing sends it; give a modulator, a reward, or name it in "
                "begin or end",
                LearningWarning,
                stacklevel=4,
            )

    def _all(self) -> list[tuple[str, Any]]:
        return [("", self.single)] if self.single is not None else list(self.modulators.items())

    def state_dict(self) -> dict[str, Any]:
        """What modulators remember from sample to sample, where they are objects and not functions."""
        held = {name: state_of(each) for name, each in self._all() if not inspect.isroutine(each)}
        return {"modulators": held, "sent": sorted(self.sent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on."""
        for name, each in self._all():
            if name in state["modulators"] and state["modulators"][name]:
                put_state(each, state["modulators"][name])
        self.sent = set(state["sent"])


def _function(given: Any, faults: list[str]) -> Callable[[Any, Any], Any]:
    if isinstance(given, str):
        try:
            given = get("modulator", given)
        except InputError:
            known = names("modulator")
            faults.append(f"LocalTrainer.modulator: {given!r} is unknown{nearest(given, known)}")
            return lambda outputs, target: None
        given = given() if inspect.isclass(given) else given
    if not callable(given):
        faults.append(f"LocalTrainer.modulator: {given!r} cannot be called; give a function (outputs, target)")
    return given


def _number(name: str, value: Any, where: str) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iufb":
        raise InputError(
            f"LocalTrainer.modulator: {name}: {value!r} is no number ({where}); give one, or numbers by neuron"
        )
    number = float(array.reshape(()))
    if not math.isfinite(number):
        raise NonFiniteError(f"LocalTrainer.modulator: {name}: {number} is not finite ({where}); look at the outputs")
    return number
