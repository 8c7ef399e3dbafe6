"""What a loss is: an object with options, called with a run; weighted sums of losses; a check of any loss's gradient.

    loss = make("gap_loss", margin=0.5)
    found = loss(run, targets, model, rng)         # a training.model.LossValue; an array may stand for the run
    found.value, found.outputs

A loss of your own is a subclass of :class:`Loss` with ``value``, or a plain function (features.md S0.05)::

    @register("loss", "mine")
    def mine(outputs, targets):
        return np.mean((outputs - targets) ** 2), 2 * (outputs - targets) / outputs.size     # or the value alone

A value that is not finite is passed on as it is, with a :class:`NotFiniteWarning` that names the loss.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError
from training import registry
from training.arguments import Faults, build
from training.model import LossValue, Run

__all__ = ["Bounded", "Check", "FunctionLoss", "Loss", "NotFiniteWarning", "Sum", "check", "from_function", "make"]

Array = NDArray[Any]


class NotFiniteWarning(UserWarning):
    """The value of a loss is nan or infinite."""


class Loss:
    """One thing to make small. ``name`` is what it is registered as; calls change nothing in it.

    A subclass defines ``value(run, targets, model, rng)``, which returns a :class:`~training.model.LossValue`.
    """

    name: str = "loss"

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Value and gradients; to be defined by each loss."""
        raise InputError(f"{type(self).__name__}.value: not defined; define value(run, targets, model, rng)")

    def entangled(self, targets: Any = None) -> str | None:
        """Why the value for a batch is not the mean of its values for single samples; None if it is.

        Over shards of a batch (:mod:`training.parallel`) such a loss is the mean of its values for the shards: another number.
        A loss of your own that compares samples with each other, or whose mean is over things that not all samples have
        alike, says so here in half a sentence.

        Args:
            targets: of the batch, where it depends on them; None: in general.
        """
        return None

    def __call__(
        self, run: Run | ArrayLike, targets: Any = None, model: Any = None, rng: np.random.Generator | None = None
    ) -> LossValue:
        """Value and gradients of this loss.

        Args:
            run: of a model, or the array of outputs alone: (B, C) or (B, T, C).
            targets: what the loss compares outputs with; None for regularisers.
            model: its parameters may be penalised, or it may be run again.
            rng: of losses that draw noise.

        Raises:
            InputError: shapes that do not fit, or something missing. IndexError too for a label out of range.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = self.value(run if isinstance(run, Run) else Run(outputs=np.asarray(run)), targets, model, rng)
        if not math.isfinite(found.value):
            warnings.warn(f"{self.name}: the value is {found.value}; look at the run", NotFiniteWarning, stacklevel=2)
        return found


class Bounded(Loss):
    """A loss whose options are numbers: above 0 (``positive``), not below 0 (``nonnegative``), or any (``finite``)."""

    positive: ClassVar[tuple[str, ...]] = ()
    nonnegative: ClassVar[tuple[str, ...]] = ()
    finite: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        faults = Faults(self.name)
        for option in self.positive:
            faults.number(option, getattr(self, option), above=0.0)
        for option in self.nonnegative:
            faults.number(option, getattr(self, option), least=0.0)
        for option in self.finite:
            faults.number(option, getattr(self, option))
        self._judge(faults)
        faults.done()

    def _judge(self, faults: Faults) -> None:
        """Further faults of the options."""


# --------------------------------------------------------------------------------------------- functions as losses


class FunctionLoss(Loss):
    """A function ``(outputs, targets) -> (value, gradient)`` or ``-> value`` as a loss.

    Without a gradient, central differences are taken: two calls for every output.

    Args:
        function: of outputs (an array, not to be changed) and targets; its value is a mean over the batch. Arguments named ``model``
            and ``rng`` get those; a first one named ``run`` gets the whole run. It may return a LossValue too.
        name: what messages call it; its own name by default.
        step: of the differences, above 0.
        options: further keyword arguments of the function.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None, step: float = 1e-6, **options: Any):
        faults = Faults("from_function")
        if not callable(function):
            faults.add("function", f"{function!r} cannot be called; give a function of outputs and targets")
        self.step = faults.number("step", step, above=0.0)
        faults.done()
        self.function, self.options = function, options
        asked = _parameters(function)
        self._whole, self._asked = asked[:1] == ["run"], [name for name in ("model", "rng") if name in asked[1:]]
        self.name = name or str(getattr(function, "__name__", type(function).__name__))

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Value and gradient, or central differences."""
        outputs = np.asarray(run.outputs)
        more = {name: value for name, value in (("model", model), ("rng", rng)) if name in self._asked}

        def call(array: Array) -> Any:
            first = dataclasses.replace(run, outputs=array) if self._whole else array
            return self.function(first, targets, **self.options, **more)

        found = call(outputs)
        if isinstance(found, LossValue):
            return found
        if not isinstance(found, tuple):
            return LossValue(self._number(found), outputs=self._differences(call, outputs))
        if len(found) != 2:
            raise InputError(f"{self.name}: it returned {len(found)} things; return (value, gradient), or the value")
        gradient = np.asarray(found[1])
        if gradient.shape != outputs.shape:
            raise InputError(f"{self.name}: the gradient is {gradient.shape}; give the outputs' {outputs.shape}")
        return LossValue(self._number(found[0]), outputs=gradient.astype(outputs.dtype, copy=False))

    def number(self, outputs: Array, targets: Any) -> float:
        """The value alone."""
        found = self.function(outputs, targets, **self.options)
        return self._number(found[0] if isinstance(found, tuple) else found)

    def _number(self, value: Any) -> float:
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "iufb":
            raise InputError(
                f"{self.name}: the value is {array.dtype} {array.shape}; return one number, such as a mean"
            )
        return float(array.reshape(()))

    def _differences(self, call: Callable[[Array], Any], outputs: Array) -> Array:
        moved = outputs.astype(np.float64)
        gradient = np.empty(outputs.shape, dtype=outputs.dtype)
        for place in np.ndindex(outputs.shape):
            gradient[place] = _difference(lambda: self._number(call(moved)), moved, place, self.step)
        return gradient


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of a builtin
        return []


def _difference(value: Callable[[], float], array: Array, place: Any, step: float) -> float:
    """Central difference of a value by one entry of an array, which is put back."""
    middle = array[place]
    h = step * max(1.0, abs(float(middle)))
    ends = []
    for moved in (middle + h, middle - h):
        array[place] = moved
        ends.append(value())
    array[place] = middle
    return (ends[0] - ends[1]) / (2.0 * h)


def from_function(function: Callable[..., Any], name: str | None = None, step: float = 1e-6, **options: Any) -> Loss:
    """A plain function as a loss, see :class:`FunctionLoss` (S0.05)."""
    return FunctionLoss(function, name, step, **options)


def make(loss: Any, **options: Any) -> Loss:
    """A loss from a registered name, ``{"name": ..., option: value}``, a function, or the loss itself.

    Raises:
        InputError: an unknown name or option; it names the nearest.
    """
    name = loss.get("name") if isinstance(loss, Mapping) else loss
    if isinstance(name, str):
        target = registry.get("loss", name)
        if inspect.isfunction(target):
            given = {str(k): v for k, v in loss.items() if k != "name"} if isinstance(loss, Mapping) else {}
            return FunctionLoss(target, name, **{**options, **given})
    made = build("loss", loss, **options)
    if isinstance(made, Loss):
        return made
    if callable(made):
        return FunctionLoss(made)
    raise InputError(f"loss: {made!r} is no loss; give a name, a function of outputs and targets, or a Loss")


# --------------------------------------------------------------------------------------------- sums


class Sum(Loss):
    """Weighted sum of losses; value and gradients are the weighted sums, every part is told by name (S0.06).

        Sum({"cross_entropy": 1.0, "reg_J": 0.1})
        Sum([{"name": "gap_loss", "weight": 1.0, "params": {"margin": 0.5}}, {"name": "reg_J", "weight": 0.1}])
        Sum({"task": {"name": "cross_entropy", "weight": 1.0}, "limits": {"name": "reg_J", "scale": 2.0}})

    A weight can be changed later, ``sum.weights["reg_J"] = 0.05``; a part of weight 0 is told, but adds nothing.

    Args:
        parts: weights or mappings (name, weight, params or options, label) by name or label, or a list of mappings, of
            (loss, weight) or of (label, loss, weight). A loss is anything that :func:`make` takes.
        alternate_every: after so many batches the next part takes its turn, alone: part (batch // n) mod k. The
            training loop calls :meth:`advance` after each training batch; a call of the loss itself counts nothing, so
            that validation changes nothing. None: all parts, always.

    Raises:
        InputError: no part, an unknown loss, a label that stands twice, a weight that is no number; with every fault.
    """

    name = "sum"

    def __init__(self, parts: Mapping[str, Any] | Sequence[Any], *, alternate_every: int | None = None):
        self.losses: dict[str, Loss] = {}
        self.weights: dict[str, float] = {}
        self.batch = 0
        faults = Faults("Sum")
        self.alternate_every = (
            None if alternate_every is None else faults.whole("alternate_every", alternate_every, least=1)
        )
        for label, given, weight in _listed(parts, faults):
            try:
                made = make(given)
            except InputError as error:
                faults.found += error.faults
                continue
            label = label or made.name
            if label in self.losses:
                faults.add(label, "stands twice; give one of them another label")
            self.losses[label] = made
            self.weights[label] = faults.number(f"{label}.weight", weight)
        if not self.losses and not faults.found:
            faults.add("parts", "there are none; give such as {'cross_entropy': 1.0}")
        faults.done()

    @property
    def active(self) -> tuple[str, ...]:
        """Labels of the parts that count now."""
        labels = tuple(self.losses)
        if self.alternate_every is None:
            return labels
        return (labels[(self.batch // self.alternate_every) % len(labels)],)

    def entangled(self, targets: Any = None) -> str | None:
        """The reasons of its parts, whichever is active, but for those of weight 0."""
        found = [
            f"{label}: {reason}"
            for label, loss in self.losses.items()
            if self.weights[label] != 0.0 and (reason := loss.entangled(targets)) is not None
        ]
        return "; ".join(found) or None

    def advance(self) -> None:
        """A training batch is done: alternation counts it."""
        self.batch += 1

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs: the count of batches and the weights."""
        return {"batch": self.batch, "weights": dict(self.weights)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`; InputError if its parts are others."""
        if set(state["weights"]) != set(self.weights):
            raise InputError(f"Sum.weights: the state is of {sorted(state['weights'])}, not {sorted(self.weights)}")
        self.batch = int(state["batch"])
        self.weights.update({label: float(weight) for label, weight in state["weights"].items()})

    def __call__(
        self, run: Run | ArrayLike, targets: Any = None, model: Any = None, rng: np.random.Generator | None = None
    ) -> LossValue:
        """Weighted sum of the active parts; a part whose value is not finite is named in a warning of its own."""
        return self.value(run if isinstance(run, Run) else Run(outputs=np.asarray(run)), targets, model, rng)

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """As the call."""
        total = LossValue(0.0)
        for label in self.active:
            found, weight = self.losses[label](run, targets, model, rng), float(self.weights[label])
            total.parts[label] = found.value
            if weight == 0.0:
                continue
            total.value += weight * found.value
            for field in ("outputs", "states", "spikes"):
                setattr(total, field, _added(getattr(total, field), getattr(found, field), weight))
            for name, gradient in found.parameters.items():
                summed = _added(total.parameters.get(name), gradient, weight)
                assert summed is not None
                total.parameters[name] = summed
        return total


def _added(total: Array | None, more: Array | None, weight: float) -> Array | None:
    if more is None:
        return total
    scaled = more * weight
    return scaled if total is None else np.add(total, scaled, out=scaled)


def _listed(parts: Any, faults: Faults) -> list[tuple[str | None, Any, Any]]:
    """(label or None, what to make, weight) of each part."""
    found: list[tuple[str | None, Any, Any]] = []
    if not isinstance(parts, Mapping) and (isinstance(parts, str) or not isinstance(parts, Sequence)):
        faults.add("parts", f"{parts!r} is no list; give such as {{'cross_entropy': 1.0}}")
        return found
    items = list(parts.items()) if isinstance(parts, Mapping) else [(None, part) for part in parts]
    for label, part in items:
        if isinstance(part, Mapping):
            told = dict(part)
            weight, params = told.pop("weight", 1.0), told.pop("params", None) or {}
            own = told.pop("label", None)
            if not isinstance(params, Mapping):
                faults.add(f"{label or own or told.get('name')}.params", f"{params!r} is no mapping of options")
                params = {}
            found.append((own or label, {"name": label, **told, **params}, weight))
        elif label is not None and isinstance(part, numbers.Real | str):
            found.append((label, label, part))
        elif label is not None:
            found.append((label, part, 1.0))
        elif isinstance(part, tuple | list) and len(part) in (2, 3):
            found.append((part[0] if len(part) == 3 else None, part[-2], part[-1]))
        else:
            found.append((None, part, 1.0))
    return found


# --------------------------------------------------------------------------------------------- the check


@dataclass(frozen=True)
class Check:
    """What :func:`check` found.

    Args:
        errors: by what the gradient is by ("outputs", "states", "spikes", "parameters.J"): largest difference from the
            central differences, over the largest entry of either.
        tolerance: what is let pass.
    """

    errors: dict[str, float]
    tolerance: float

    @property
    def worst(self) -> float:
        """The largest of the errors; nan if any is."""
        return float(np.max(list(self.errors.values()), initial=0.0))

    def __bool__(self) -> bool:
        return self.worst <= self.tolerance

    def __str__(self) -> str:
        rows = [f"{name:24}{error:12.3g}" for name, error in self.errors.items()]
        return "\n".join([*rows, f"{'ok' if self else 'wrong':24}{self.tolerance:12.3g} allowed"])


def check(
    loss: Any,
    run: Run | ArrayLike | None = None,
    targets: Any = None,
    model: Any = None,
    *,
    seed: int = 0,
    step: float = 1e-6,
    tolerance: float = 1e-5,
    samples: int = 200,
) -> Check:
    """Compare the gradients of a loss with central differences (S0.05).

    Every array of the run and every parameter that the loss names is moved, entry by entry; the run itself is not
    repeated. Each value is taken with a fresh generator of the same seed.

    Args:
        loss: anything that :func:`make` takes.
        run: a run, or outputs; by default normal outputs (5, 4), with labels or, where these do not fit, normal targets.
        seed: of the default run, of the entries that are looked at, and of the loss's own noise.
        step: of the differences; ``tolerance``: what is let pass; ``samples``: most entries of one array.

    Returns:
        the errors; false if one is above the tolerance. ``print(check(loss, run, targets))`` shows them.
    """
    made, rng = make(loss), np.random.default_rng(seed)
    if run is None:
        run = rng.normal(size=(5, 4))
        if targets is None:
            targets = np.arange(5) % 4
            try:
                made(run, targets, model, np.random.default_rng(seed))
            except (ValueError, IndexError, TypeError):
                targets = rng.normal(size=(5, 4))
    whole = run if isinstance(run, Run) else Run(outputs=np.asarray(run))
    held = {name: getattr(whole, name) for name in ("outputs", "states", "spikes")}
    held = {name: np.array(array, dtype=np.float64) for name, array in held.items() if array is not None}
    copy = Run(tape=whole.tape, inputs=whole.inputs, **held)

    def value() -> LossValue:
        return made(copy, targets, model, np.random.default_rng(seed))

    found = value()
    arrays = dict(held)
    gradients = {name: getattr(found, name) for name in held}
    if model is not None:
        arrays.update({f"parameters.{name}": array for name, array in model.parameters().items()})
        gradients.update({f"parameters.{name}": found.parameters.get(name) for name in model.parameters()})
    errors = {}
    for name, array in arrays.items():
        gradient = np.zeros(array.shape) if gradients[name] is None else np.asarray(gradients[name])
        if gradient.shape != array.shape:
            raise InputError(f"check.{name}: the gradient is {gradient.shape}; it must be {array.shape}")
        chosen = rng.permutation(array.size)[:samples]
        pairs = []
        for place in zip(*np.unravel_index(chosen, array.shape), strict=True):
            pairs.append((gradient[place], _difference(lambda: value().value, array, place, step)))
        both = np.array(pairs).reshape(-1, 2)
        size = max(float(np.max(np.abs(both), initial=0.0)), 1e-9)
        errors[name] = float(np.max(np.abs(both[:, 0] - both[:, 1]), initial=0.0)) / size
    return Check(errors, tolerance)
