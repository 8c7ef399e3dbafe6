"""Gradients as functions: of a model and a loss exactly, of any plain function by central differences.

>>> slope = grad(lambda w: float((w**2).sum()), return_value=True)
>>> gradient, value = slope(np.array([1.0, -2.0]))
>>> gradient.round(6), value
(array([ 2., -4.]), 5.0)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

from soen_event.errors import InputError
from training.model import LossValue, Model, Run
from training.objective import make

__all__ = ["grad", "init_all_states", "loss_and_gradients", "merged", "run_network", "value_and_grad"]

READOUTS = ("sum", "mean", "max", "last", "spike_count", "first_spike")


def loss_and_gradients(
    model: Model,
    loss: Callable[..., LossValue],
    inputs: np.ndarray,
    targets: Any,
    rng: np.random.Generator | None = None,
    timings: dict[str, float] | None = None,
) -> tuple[LossValue, dict[str, np.ndarray], Run]:
    """One forward and one backward pass: the loss, the gradients of all parameters, and the run.

    Args:
        model: what is trained.
        loss: ``loss(run, targets, model=, rng=)``.
        inputs: (B, T, n_in).
        targets: what the loss wants.
        rng: for noise in training.
        timings: seconds are added to its "forward", "loss" and "backward".
    """
    t0 = perf_counter()
    run = model.forward(inputs, train=True, rng=rng)
    t1 = perf_counter()
    value = loss(run, targets, model=model, rng=rng)
    t2 = perf_counter()
    if value.outputs is None and value.states is None and value.spikes is None:
        gradients = {name: np.zeros_like(array) for name, array in model.parameters().items()}
    else:
        gradients = model.backward(run, value.outputs, value.states, value.spikes)
    gradients = merged(gradients, value.parameters) if value.parameters else dict(gradients)
    if timings is not None:
        for phase, seconds in (("forward", t1 - t0), ("loss", t2 - t1), ("backward", perf_counter() - t2)):
            timings[phase] = timings.get(phase, 0.0) + seconds
    return value, gradients, run


def merged(gradients: Mapping[str, np.ndarray], direct: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gradients through the run and those of a loss by the parameters themselves, added up.

    Raises:
        InputError, KeyError: the loss names a parameter that the model does not have.
    """
    result = dict(gradients)
    for name, part in direct.items():
        if name not in result:
            raise UnknownParameter(f"LossValue.parameters: there is no parameter {name!r}; there are {sorted(result)}")
        result[name] = result[name] + part
    return result


class UnknownParameter(InputError, KeyError):
    """A name that is no parameter of the model."""

    __str__ = Exception.__str__


def grad(
    fun: Any, loss: Any = None, *, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, return_value: bool = False
) -> Callable[..., Any]:
    """A function that gives gradients: ``grads``, ``(grads, value)``, ``(grads, aux)`` or ``(grads, value, aux)``.

    Args:
        fun: a :class:`~training.model.Model`; the result is then called as ``f(inputs, targets, rng=None)`` and ``aux`` is the
            :class:`~training.model.Run`. Or a plain function of arrays, or of dicts of them, that returns a number (with
            ``has_aux`` a number and something): its gradient is taken by central differences, good to about 1e-9 and meant for
            few numbers.
        loss: of a model: a loss, its registered name, or a function of outputs and targets.
        argnums: of a plain function: which arguments; several give a tuple.
        has_aux: whether ``aux`` is wanted (of a model) or returned (by a plain function).
        return_value: whether the value is returned as well.

    Raises:
        InputError: a model without a loss, or something that is neither model nor function.
    """
    both = value_and_grad(fun, loss, argnums=argnums, has_aux=has_aux)

    def gradient(*args: Any, **options: Any) -> Any:
        told, gradients = both(*args, **options)
        value, *aux = told if has_aux else (told,)
        parts = [gradients, *([value] if return_value else []), *aux]
        return parts[0] if len(parts) == 1 else tuple(parts)

    return gradient


def value_and_grad(
    fun: Any, loss: Any = None, *, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives ``(value, grads)``, or ``((value, aux), grads)``, of one forward and one backward pass.

    Arguments and errors as for :func:`grad`.
    """
    if isinstance(fun, Model):
        if loss is None:
            raise InputError("value_and_grad.loss: missing; give a loss or its name with a model")
        chosen = make(loss) if isinstance(loss, str | Mapping) or inspect.isfunction(loss) else loss

        def of_model(inputs: np.ndarray, targets: Any, rng: np.random.Generator | None = None) -> Any:
            value, gradients, run = loss_and_gradients(fun, chosen, inputs, targets, rng)
            return ((value.value, run), gradients) if has_aux else (value.value, gradients)

        return of_model
    if not callable(fun):
        raise InputError(f"value_and_grad.fun: {type(fun).__name__} is neither a model nor a function; give one")
    several = argnums if isinstance(argnums, tuple) else (argnums,)

    def of_function(*args: Any, **options: Any) -> Any:
        told = fun(*args, **options)
        slopes = tuple(_differences(fun, args, options, k, has_aux) for k in several)
        return told, slopes if isinstance(argnums, tuple) else slopes[0]

    return of_function


def _differences(fun: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], k: int, has_aux: bool) -> Any:
    if not -len(args) <= k < len(args):
        raise InputError(f"grad.argnums: {k} is no argument; {len(args)} were given")

    def at(changed: Any) -> float:
        told = fun(*args[:k], changed, *args[k:][1:], **options)
        return float(told[0] if has_aux else told)

    point = args[k]
    if isinstance(point, Mapping):
        return {
            name: _slope(lambda array, name=name: at({**point, name: array}), each)  # type: ignore[misc]
            for name, each in point.items()
        }
    return _slope(at, point)


def _slope(at: Callable[[Any], float], point: Any) -> Any:
    base = np.array(point, dtype=np.float64)
    result = np.empty_like(base)
    for index in np.ndindex(base.shape):
        step = 6e-6 * max(1.0, abs(float(base[index])))
        above, below = base.copy(), base.copy()
        above[index] += step
        below[index] -= step
        result[index] = (at(above) - at(below)) / (above[index] - below[index])
    return result if result.ndim else float(result)


def init_all_states(model: Any, batch_size: int = 1) -> None:
    """Put the dynamic state of a model back to its start, for a batch of this size; parameters stay as they are.

    Twice is the same as once. A model that keeps nothing between runs has nothing to reset.

    Raises:
        InputError: the batch size is below 1.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise InputError(f"init_all_states.batch_size: {batch_size!r} is no size; give 1 or more")
    reset = getattr(model, "reset", None)
    if callable(reset):
        reset(int(batch_size))
    elif getattr(model, "initial_state", None) is not None:
        model.initial_state = None


def run_network(model: Model, inputs: np.ndarray, readout: str | None = None) -> np.ndarray:
    """Run a batch and read it out: (B, C).

    Args:
        model: what is run, from its start.
        inputs: (B, T, n_in).
        readout: None: the model's own outputs. ``sum``, ``mean``, ``max``, ``last``: over the steps of outputs (B, T, C), or else of
            the states after the start. ``spike_count``: of every neuron. ``first_spike``: step of the first, T for none.

    Raises:
        InputError: an unknown readout, or a model that does not give what it reads.
    """
    if readout is not None and readout not in READOUTS:
        from soen_event.errors import nearest

        raise InputError(
            f"run_network.readout: {readout!r} is unknown{nearest(readout, READOUTS)}; use one of {', '.join(READOUTS)}"
        )
    init_all_states(model, len(inputs))
    run = model.forward(inputs)
    if readout is None:
        return run.outputs
    if readout in ("spike_count", "first_spike"):
        if run.spikes is None:
            raise InputError(f"run_network.readout: {readout!r} reads spikes, and this model gives none; use another")
        fired = run.spikes > 0
        if readout == "spike_count":
            return np.asarray(fired.sum(axis=1, dtype=np.float64))
        first = np.where(fired.any(axis=1), fired.argmax(axis=1), fired.shape[1])
        return first.astype(np.float64)
    if run.outputs.ndim == 3:
        series = run.outputs
    elif run.states is not None:
        series = run.states[:, 1:]
    else:
        raise InputError(
            f"run_network.readout: {readout!r} reads every step, and this model gives the end only; use None"
        )
    return np.asarray(series[:, -1] if readout == "last" else getattr(series, readout)(axis=1))
