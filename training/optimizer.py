"""What an optimizer is: arrays bound by name, state that is allocated once, steps in place (features.md S1.04, S1.05, S2.01, S2.07).

The rules themselves are in :mod:`training.optim`.
"""

from __future__ import annotations

import inspect
import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from soen_event.errors import InputError, nearest
from training.arguments import Faults, NameFault, build

__all__ = ["Optimizer", "Slot", "make"]

Array = NDArray[Any]
Arrays: TypeAlias = "Mapping[str, Array] | Sequence[Array]"

_ALIASES = {"learning_rate": "lr", "epsilon": "eps", "alpha": "decay", "betas": "beta1"}
_RANGES: dict[str, dict[str, float]] = {
    "lr": {"least": 0.0},
    "beta1": {"least": 0.0, "below": 1.0},
    "beta2": {"least": 0.0, "below": 1.0},
    "decay": {"least": 0.0, "below": 1.0},
    "eps": {"above": 0.0},
    "momentum": {"least": 0.0, "most": 1.0},
    "dampening": {"least": 0.0, "most": 1.0},
    "weight_decay": {"least": 0.0},
}


@dataclass
class Slot:
    """One parameter: the array itself, what is kept for it, and two arrays to work in, shared with others."""

    name: str
    weights: Array
    state: dict[str, Array]
    work: Array
    more: Array
    low: float = -math.inf
    high: float = math.inf
    lr_scale: float = 1.0
    weight_decay: float | None = None
    gradient: Array | None = field(default=None)


class Optimizer:
    """What all optimizers share.

    A subclass lists ``buffers``, the arrays that are kept for every parameter (zero at first), and defines
    ``_change(slot, gradient, lr, decay)``.

    Args:
        parameters: to be registered at once; a number stands for lr.
        options: by name, judged by what they are called.
        groups: mappings with ``match`` or ``regex``, and ``lr_scale`` or ``weight_decay``.
        check_finite: look at every gradient before anything is changed, and raise if one is nan or infinite.
        aliases: other names of options.

    Raises:
        InputError: an unknown option, or a value out of range; with every fault.
    """

    buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        parameters: Any,
        options: dict[str, Any],
        groups: Iterable[Mapping[str, Any]],
        check_finite: bool,
        aliases: dict[str, Any],
    ):
        faults = Faults(type(self).__name__)
        if isinstance(parameters, numbers.Real):
            if options["lr"] != inspect.signature(type(self)).parameters["lr"].default:
                faults.add("lr", f"it is given twice, {parameters!r} and {options['lr']!r}; give one")
            options["lr"], parameters = parameters, None
        self.options = _judged(options, aliases, faults)
        self.groups = _grouped(groups, "weight_decay" in options, faults)
        self.check_finite = faults.flag("check_finite", check_finite)
        self._judge(faults)
        faults.done()
        self._slots: dict[str, Slot] = {}
        self.steps = 0
        if parameters is not None:
            self.register_trainable_weights(parameters)

    def _judge(self, faults: Faults) -> None:
        """Further faults of the options."""

    def _change(self, slot: Slot, gradient: Array, lr: float, decay: float) -> None:
        raise InputError(f"{type(self).__name__}: it changes nothing; define _change(slot, gradient, lr, decay)")

    # ----------------------------------------------------------------------------------------- the rate

    @property
    def lr(self) -> float:
        """The learning rate, before a group's lr_scale."""
        return float(self.options["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        self.set_option("lr", value)

    learning_rate = lr

    def get_lr(self) -> float:
        """The learning rate (S2.01)."""
        return self.lr

    def set_lr(self, lr: float) -> None:
        """Another learning rate from the next step on, 0 or more (S2.01)."""
        self.set_option("lr", lr)

    def set_option(self, name: str, value: Any) -> None:
        """Another value of an option from the next step on; InputError for an unknown name or a value out of range."""
        faults = Faults(type(self).__name__)
        changed = _judged({**self.options}, {name: value}, faults)
        held, self.options = self.options, changed
        if not faults.found:
            self._judge(faults)
            for slot in self._slots.values():
                if set(slot.state) != set(self._kept()):
                    faults.add(name, f"{value!r} needs another state than is kept; make a new optimizer")
                    break
        if faults.found:
            self.options = held
        faults.done()

    # ----------------------------------------------------------------------------------------- the parameters

    def register_trainable_weights(
        self, parameters: Any, bounds: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        """Bind arrays by name, and allocate all that is kept for them (S1.04).

        Args:
            parameters: a mapping from names to arrays of floats, a list of arrays (names "0", "1", ...), or a model, whose
                bounds are taken too.
            bounds: smallest and largest value by name.

        Raises:
            InputError: something that is no writeable array of floats, a name or an array that is bound already, bounds
                that cross, or a step that was made already; nothing is bound then.
            NameFault: bounds of a name that is not there (a KeyError).
        """
        place = type(self).__name__
        if self.steps:
            raise InputError(f"{place}.parameters: {self.steps} steps are made already; bind all before the first one")
        if hasattr(parameters, "parameters"):
            bounds = parameters.bounds() if bounds is None and hasattr(parameters, "bounds") else bounds
            parameters = parameters.parameters()
        named, bounds, faults = _by_name(parameters, f"{place}.parameters"), dict(bounds or {}), Faults(place)
        unknown = [name for name in bounds if name not in named]
        if unknown:
            raise NameFault(
                [f"{place}.bounds: there is no parameter {n!r}{nearest(str(n), named)}; correct it" for n in unknown]
            )
        held: list[tuple[str, Array]] = [(slot.name, slot.weights) for slot in self._slots.values()]
        for name, weights in named.items():
            if not isinstance(weights, np.ndarray) or weights.dtype.kind != "f" or not weights.flags.writeable:
                faults.add(name, f"{type(weights).__name__} is no writeable array of floats; give a numpy array")
                continue
            if any(other == name for other, _ in held):
                faults.add(name, "the name is bound already; bind each once")
            elif twin := next((other for other, array in held if np.shares_memory(array, weights)), None):
                faults.add(name, f"it shares memory with {twin!r}; bind each array once")
            held.append((name, weights))
            low, high = bounds.get(name, (-math.inf, math.inf))
            if not low <= high:
                faults.add(f"bounds[{name!r}]", f"{low} is above {high}; exchange or correct them")
        faults.done()
        largest: dict[np.dtype[Any], int] = {}
        for weights in named.values():
            largest[weights.dtype] = max(largest.get(weights.dtype, 0), weights.size)
        shared = {kind: (np.empty(size, kind), np.empty(size, kind)) for kind, size in largest.items()}
        for name, weights in named.items():
            work, more = (array[: weights.size].reshape(weights.shape) for array in shared[weights.dtype])
            state = {buffer: np.zeros_like(weights) for buffer in self._kept()}
            low, high = (float(bound) for bound in bounds.get(name, (-math.inf, math.inf)))
            slot = Slot(name, weights, state, work, more, low, high)
            for group in self.groups:
                if group["fits"](name):
                    group["used"] = True
                    slot.lr_scale, slot.weight_decay = group["lr_scale"], group["weight_decay"]
                    break
            self._slots[name] = slot
        self._bound(list(named))

    def _kept(self) -> tuple[str, ...]:
        return self.buffers

    def _bound(self, names: list[str]) -> None:
        """Called with what was bound."""

    def parameters(self) -> dict[str, Array]:
        """The bound arrays, by name."""
        return {name: slot.weights for name, slot in self._slots.items()}

    # ----------------------------------------------------------------------------------------- the step

    def update(self, gradients: Arrays) -> None:
        """Change every bound parameter by its gradient, in place (S1.05).

        Raises:
            NameFault: names are missing or too many (a KeyError); nothing is changed.
            InputError: nothing is bound, a shape that does not fit, a group that fits nothing, or with ``check_finite`` a
                gradient that is not finite; nothing is changed.
        """
        named = self._judged_gradients(gradients)
        self.steps += 1
        rate, usual = self.lr, float(self.options.get("weight_decay", 0.0))
        for name, slot in self._slots.items():
            decay = usual if slot.weight_decay is None else slot.weight_decay
            self._change(slot, named[name], rate * slot.lr_scale, decay)
            self._hold(slot)

    def _hold(self, slot: Slot) -> None:
        """Within the bounds, in place."""
        if slot.low > -math.inf:
            np.maximum(slot.weights, slot.low, out=slot.weights)
        if slot.high < math.inf:
            np.minimum(slot.weights, slot.high, out=slot.weights)

    def _judged_gradients(self, gradients: Arrays) -> Mapping[str, Array]:
        place, named = type(self).__name__, _by_name(gradients, "gradients")
        if not self._slots:
            raise InputError(f"{place}: no parameters are bound; call register_trainable_weights first")
        if named.keys() != self._slots.keys():
            missing = [f"{place}.gradients: {n!r} is missing; give it" for n in self._slots if n not in named]
            extra = [
                f"{place}.gradients: {n!r} is no bound parameter{nearest(str(n), self._slots)}; leave it out"
                for n in named
                if n not in self._slots
            ]
            raise NameFault(missing + extra)
        faults = Faults(place)
        for name, slot in self._slots.items():
            gradient = named[name]
            if not isinstance(gradient, np.ndarray) or gradient.shape != slot.weights.shape:
                told = getattr(gradient, "shape", type(gradient).__name__)
                faults.add(f"gradients[{name!r}]", f"{told} does not fit; give an array {slot.weights.shape}")
            elif self.check_finite and not np.isfinite(np.sum(gradient)) and not np.all(np.isfinite(gradient)):
                faults.add(f"gradients[{name!r}]", "some are not finite; look for what made them so")
        if not self.steps:
            for group in self.groups:
                if not group["used"]:
                    faults.add("groups", f"{group['told']!r} fits no parameter{nearest(group['told'], self._slots)}")
        faults.done()
        return named

    def step(self, parameters: Arrays | None = None, gradients: Arrays | None = None) -> None:
        """Update with gradients, or without arguments with those that were accumulated (S2.01).

        Args:
            parameters: bound at the first call; later the same arrays.
            gradients: as for :meth:`update`.

        Raises:
            InputError: one of the two alone, other arrays than those that are bound, or nothing accumulated.
        """
        place = type(self).__name__
        if parameters is None and gradients is None:
            if any(slot.gradient is None for slot in self._slots.values()):
                raise InputError(
                    f"{place}.step: no gradients are accumulated; call accumulate(gradients), or give them"
                )
            self.update({name: slot.gradient for name, slot in self._slots.items() if slot.gradient is not None})
            return
        if parameters is None or gradients is None:
            raise InputError(f"{place}.step: one of parameters and gradients is missing; give both or none")
        if not self._slots:
            self.register_trainable_weights(parameters)
        elif not hasattr(parameters, "parameters"):
            for name, array in _by_name(parameters, f"{place}.parameters").items():
                if name not in self._slots or self._slots[name].weights is not array:
                    raise InputError(f"{place}.parameters[{name!r}]: it is not the array that is bound; give the same")
        self.update(gradients)

    def accumulate(self, gradients: Arrays, scale: float = 1.0) -> None:
        """Add gradients, times ``scale``, to those that :meth:`step` will use."""
        named = self._judged_gradients(gradients)
        for name, slot in self._slots.items():
            if slot.gradient is None:
                slot.gradient = np.zeros_like(slot.weights)
            np.multiply(named[name], scale, out=slot.work)
            slot.gradient += slot.work

    def zero_grad(self) -> None:
        """Set accumulated gradients to zero, in place (S2.01)."""
        for slot in self._slots.values():
            if slot.gradient is not None:
                slot.gradient[...] = 0.0

    # ----------------------------------------------------------------------------------------- its state

    def state_dict(self) -> dict[str, Any]:
        """Everything that a step depends on besides the parameters: numbers, and copies of arrays (S2.07)."""
        return {
            "kind": type(self).__name__,
            "steps": self.steps,
            "options": dict(self.options),
            "state": {n: {k: array.copy() for k, array in slot.state.items()} for n, slot in self._slots.items()},
            "gradients": {n: slot.gradient.copy() for n, slot in self._slots.items() if slot.gradient is not None},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on, to the bit, from a :meth:`state_dict`; the parameters must be bound.

        Raises:
            InputError: another optimizer, other parameters, shapes or types; nothing is changed then.
        """
        place = f"{type(self).__name__}.state"
        if not isinstance(state, Mapping) or {"kind", "steps", "options", "state"} - set(state):
            raise InputError(f"{place}: it is no state of an optimizer; give what state_dict() returned")
        if state["kind"] != type(self).__name__:
            raise InputError(f"{place}: it is of {state['kind']}; make that optimizer, or leave the state out")
        faults, kept = Faults(type(self).__name__), state["state"]
        for name in {**dict.fromkeys(kept), **self._slots}:
            if name not in kept or name not in self._slots:
                lack = "the state" if name not in kept else "the optimizer"
                faults.add("state", f"{name!r} is missing in {lack}; bind the same parameters")
        for name, slot in self._slots.items():
            found = {**kept.get(name, {})}
            if state.get("gradients", {}).get(name) is not None:
                found[""] = state["gradients"][name]
            for array in found.values():
                if np.shape(array) != slot.weights.shape or np.asarray(array).dtype != slot.weights.dtype:
                    told = f"{np.asarray(array).dtype} {np.shape(array)}"
                    faults.add(f"state[{name!r}]", f"{told} is not {slot.weights.dtype} {slot.weights.shape}")
            if name in kept and set(kept[name]) != set(slot.state):
                faults.add(f"state[{name!r}]", f"it has {sorted(kept[name])}, not {sorted(slot.state)}")
        options = _judged({**self.options}, dict(state["options"]), faults)
        steps = faults.whole("state.steps", state["steps"])
        faults.done()
        self.options, self.steps = options, steps
        for name, slot in self._slots.items():
            for buffer, array in kept[name].items():
                slot.state[buffer][...] = array
            gradient = state.get("gradients", {}).get(name)
            if gradient is not None:
                slot.gradient = np.array(gradient)
            elif slot.gradient is not None:
                slot.gradient[...] = 0.0

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({told})"


def _by_name(arrays: Any, place: str) -> Mapping[str, Array]:
    if isinstance(arrays, Mapping):
        return arrays
    if isinstance(arrays, Sequence) and not isinstance(arrays, str):
        return {str(index): array for index, array in enumerate(arrays)}
    raise InputError(f"{place}: {type(arrays).__name__} is no mapping from names to arrays; give one")


def _judged(options: dict[str, Any], aliases: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """Options with their other names resolved, every value within its range."""
    for alias, value in aliases.items():
        name = _ALIASES.get(alias, alias)
        if name not in options or (alias == "alpha" and "decay" not in options):
            known = [*options, *(other for other, own in _ALIASES.items() if own in options)]
            faults.add(alias, f"there is no such option{nearest(alias, known)}; known: {', '.join(known)}")
        elif alias == "betas":
            if not isinstance(value, Sequence) or len(value) != 2:
                faults.add("betas", f"{value!r} is no pair; give (beta1, beta2)")
            else:
                options["beta1"], options["beta2"] = value
        else:
            options[name] = value
    for name, value in options.items():
        if isinstance(value, bool | np.bool_) and name not in _RANGES:
            options[name] = bool(value)
        elif name in _RANGES:
            options[name] = faults.number(name, value, **_RANGES[name])
        else:
            options[name] = faults.flag(name, value)
    return options


def _fitting(patterns: list[str]) -> Callable[[str], bool]:
    return lambda name: any(fnmatchcase(name, pattern) for pattern in patterns)


def _grouped(groups: Iterable[Mapping[str, Any]], decays: bool, faults: Faults) -> list[dict[str, Any]]:
    found = []
    fits: Callable[[str], Any]
    known = ("match", "regex", "lr_scale", *(("weight_decay",) if decays else ()))
    for index, group in enumerate(groups):
        place = f"groups[{index}]"
        if not isinstance(group, Mapping) or ("match" in group) == ("regex" in group):
            faults.add(
                place, f"{group!r} has not one of match and regex; give such as {{'match': 'J*', 'lr_scale': 0.1}}"
            )
            continue
        for name in group:
            if name not in known:
                faults.add(
                    f"{place}.{name}", f"there is no such option{nearest(name, known)}; known: {', '.join(known)}"
                )
        scale = faults.number(f"{place}.lr_scale", group.get("lr_scale", 1.0), least=0.0)
        decay = group.get("weight_decay")
        decay = None if decay is None else faults.number(f"{place}.weight_decay", decay, least=0.0)
        if "match" in group:
            patterns: list[str] = [group["match"]] if isinstance(group["match"], str) else list(group["match"])
            fits = _fitting(patterns)
            told = ", ".join(patterns)
        else:
            try:
                fits, told = re.compile(group["regex"]).fullmatch, str(group["regex"])
            except (re.error, TypeError) as error:
                faults.add(f"{place}.regex", f"{group['regex']!r} is no regular expression ({error}); correct it")
                continue
        found.append({"fits": fits, "told": told, "lr_scale": scale, "weight_decay": decay, "used": False})
    return found


def make(optimizer: Any, **options: Any) -> Optimizer:
    """An optimizer from its name, from ``{"name": ..., option: value}``, or the object itself; InputError otherwise."""
    made = build("optimizer", optimizer, **options)
    if not isinstance(made, Optimizer):
        raise InputError(f"optimizer: {made!r} is no Optimizer; give a name, such as 'adam', or an Optimizer")
    return made
