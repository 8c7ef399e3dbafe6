"""Loss and metrics of a model on data, and its outputs: nothing is changed by looking."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError
from training.address import stream
from training.metric import fed
from training.model import LossValue, Model
from training.stored import put_state, state_of

__all__ = ["evaluate", "outputs", "plain", "state_of_loss", "unchanged"]

if TYPE_CHECKING:
    from training.parallel import DataParallel

Batch = tuple[np.ndarray, Any]


def evaluate(
    model: Model,
    loss: Callable[..., LossValue],
    loader: Any,
    metrics: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    shape: Callable[[np.ndarray, Any], Batch] | None = None,
    most_batches: int | None = None,
    parallel: DataParallel | None = None,
    fill: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Mean loss, its parts as ``loss/<part>``, and the metrics' values.

    Args:
        model, loss: what is judged, by what; both keep the state that they had.
        loader: gives ``batches(epoch, start)``.
        metrics: by name; copies of them are filled.
        seed: of the loss's random numbers and the model's noise.
        shape: applied to every batch before the model sees it.
        most_batches: look at no more than this many.
        parallel: its workers do whole batches, several at once; the result is the same.
        fill: metrics by the names of others, that are filled themselves in place of copies of those.

    Raises:
        InputError: there is no batch.
    """
    filled = {**copy.deepcopy(dict(metrics or {})), **(fill or {})}
    for metric in filled.values():
        metric.reset()
    sums, examples = {"loss": 0.0}, 0
    with unchanged(model, loss):
        targets: deque[Any] = deque()  # of batches that are under way
        batches = _addressed(loader, shape, (seed, "validate"), targets, most_batches)
        run: Callable[..., Iterator[tuple[Any, np.ndarray]]] = parallel.forward if parallel else _forward
        for value, found in run(model, loss, batches):
            y, count = targets.popleft()
            examples += count
            sums["loss"] += count * value.value
            for name, part in value.parts.items():
                sums[f"loss/{name}"] = sums.get(f"loss/{name}", 0.0) + count * part
            for metric in filled.values():
                fed(metric, found, y, value)
    if not examples:
        raise InputError("evaluate.loader: gave no batch; give data that can be gone through again")
    result = {name: total / examples for name, total in sums.items()}
    return result | {name: plain(metric.compute()) for name, metric in filled.items()}


def outputs(
    model: Model,
    loader: Any,
    *,
    seed: int = 0,
    shape: Callable[[np.ndarray, Any], Batch] | None = None,
    parallel: DataParallel | None = None,
) -> np.ndarray:
    """The outputs for all batches, one below the other: (N, C) or (N, T, C)."""
    with unchanged(model, None):
        batches = _addressed(loader, shape, (seed, "predict"), deque())
        run = parallel.forward if parallel else _forward
        return np.concatenate([found for _, found in run(model, None, batches, judge=False)])


def _addressed(
    loader: Any, shape: Any, address: tuple[Any, ...], targets: deque[Any], most: int | None = None
) -> Iterator[tuple[np.ndarray, Any, tuple[Any, ...]]]:
    """Batches with the addresses of their random numbers; their targets and sizes are put into ``targets`` too."""
    for k, (x, y) in enumerate(loader.batches(0, 0)):
        if k == most:
            return
        x, y = shape(x, y) if shape else (x, y)
        targets.append((y, len(x)))
        yield x, y, (*address, k)


def _forward(
    model: Model, loss: Any, batches: Iterable[tuple[np.ndarray, Any, tuple[Any, ...]]], judge: bool = True
) -> Iterator[tuple[Any, np.ndarray]]:
    """Loss and outputs of each batch, here and now."""
    for x, y, address in batches:
        rng = stream(*address)
        run = model.forward(x, train=False, rng=rng)
        yield loss(run, y, model=model, rng=rng) if judge else None, run.outputs


@contextmanager
def unchanged(model: Any, loss: Any) -> Iterator[None]:
    """Puts back the state that a model and a loss carry from batch to batch."""
    start = copy.copy(getattr(model, "initial_state", None))
    held = copy.deepcopy(state_of_loss(loss))
    try:
        yield
    finally:
        if hasattr(model, "initial_state"):
            model.initial_state = start
        put_state(loss, held)


def state_of_loss(loss: Any) -> dict[str, Any]:
    """What a loss counts, if it does."""
    return state_of(loss) if hasattr(loss, "state_dict") else {}


def plain(value: Any) -> Any:
    """A number as float, an array as it is."""
    single = isinstance(value, int | float | np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return float(value) if single else value
