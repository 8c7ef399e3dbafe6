"""What a worker does with its shards, in whatever process or thread: see :mod:`training.parallel`, which hands them out.

A worker keeps a copy of the model and the loss under a token, for each of its threads. A task brings the present parameters, settings
and the loss's state; with a token that the thread does not know it is answered by None, and comes again with the pickled model.
"""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from soen_event.errors import InputError
from training.address import stream
from training.carried import ended
from training.gradients import loss_and_gradients
from training.model import LossValue, Run
from training.shards import Node, Sums, total
from training.stored import put_parameters, put_state

__all__ = ["Address", "Part", "Setting", "Share", "backward", "begin", "forget", "forward", "settings"]

Address = tuple[Any, ...]
_CHANGING = ("noise", "perturb", "pooling_scale", "dt", "initial_state")
_KEPT = 2  # models that a thread remembers
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def settings(model: Any) -> dict[str, Any]:
    """What of a model callbacks may change between steps, beside its parameters: small values that travel with each step.

    ``model.settings()`` if there is one, which goes with ``model.apply_settings(values)``. Else those of the attributes that callbacks
    of this library write: noise, perturb, pooling_scale, dt, initial_state.
    """
    own = getattr(model, "settings", None)
    if callable(own):
        return dict(own())
    return {name: copy.copy(getattr(model, name)) for name in _CHANGING if hasattr(model, name)}


def _apply(model: Any, values: Mapping[str, Any]) -> None:
    own = getattr(model, "apply_settings", None)
    if callable(own):
        own(dict(values))
        return
    for name, value in values.items():
        if not hasattr(model, name) or pickle.dumps(getattr(model, name)) != pickle.dumps(value):
            setattr(model, name, value)


@dataclass(frozen=True)
class Setting:
    """What a worker needs beside data. ``token`` names the pickled (model, loss), which it has or which is ``payload``."""

    token: str
    payload: bytes | None
    home: int  # process that asks
    parameters: dict[str, np.ndarray]
    settings: dict[str, Any]
    loss_state: dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Shards of a batch for one worker: (number, inputs, targets) each, of ``count``; which nodes of their tree it adds up."""

    shards: list[tuple[int, np.ndarray, Any]]
    nodes: list[Node]
    count: int
    address: Address
    numbered: bool
    keep: tuple[str, ...]
    starts: list[Any]
    """How each shard begins, where its examples have starts of their own; else empty."""


@dataclass
class Share:
    """What comes back: sums by node, and the runs of the shards in order."""

    sums: dict[Node, Sums]
    runs: list[dict[str, Any]]


_held = threading.local()  # a model is for one thread: its parameters are written into it


def _model_of(setting: Setting) -> tuple[Any, Any] | None:
    """This thread's copy of model and loss, with the present parameters; None if it has none and gets none."""
    cache: OrderedDict[str, tuple[Any, Any]] = _held.__dict__.setdefault("models", OrderedDict())
    if setting.token not in cache:
        if setting.payload is None:
            return None
        try:
            cache[setting.token] = pickle.loads(setting.payload)
        except Exception as trouble:
            raise InputError(
                f"DataParallel.model: it cannot be made again in a worker ({type(trouble).__name__}: {trouble}); define it in a "
                "module that workers can import, or at the top of the script"
            ) from None
        if os.getpid() != setting.home:
            _limit()
        while len(cache) > _KEPT:
            cache.popitem(last=False)
    model, loss = cache[setting.token]
    put_parameters(model, setting.parameters, "DataParallel")
    put_state(loss, setting.loss_state)
    return model, loss


@contextmanager
def _alone() -> Iterator[None]:
    """One OpenMP thread for what this thread does: OpenMP counts them by the thread that asks, other libraries by process."""
    from threadpoolctl import threadpool_limits

    if threading.current_thread() is threading.main_thread():
        yield  # limited already, by who asked or for good
    else:
        with threadpool_limits(1, user_api="openmp"):
            yield


def forget(token: str) -> None:
    """This thread's copy of the model of this token is not needed any more."""
    _held.__dict__.get("models", {}).pop(token, None)


def backward(setting: Setting, part: Part) -> Share | None:
    """Loss and gradients of some shards; None: send the model."""
    held = _model_of(setting)
    if held is None:
        return None
    model, loss = held
    first = part.shards[0][0]
    runs: list[dict[str, Any]] = []

    def leaf(number: int) -> Sums:
        k, x, y = part.shards[number - first]
        seconds: dict[str, float] = {}
        rng = stream(*part.address, "shard", k) if part.numbered else stream(*part.address)
        start = {"initial_state": part.starts[number - first]} if part.starts else {}
        _apply(model, {**setting.settings, **start})  # for each shard: a run may move what it began with
        try:
            value, gradients, run = loss_and_gradients(model, loss, x, y, rng, seconds)
        except Exception as error:
            raise _sendable(error, f"in shard {k} of {part.count}") from error
        runs.append(_copied(run, part.keep))
        share = len(x) if part.count > 1 else 1  # a shard alone is its own mean, to the bit
        return Sums.of(share, value.value, value.parts, gradients, seconds)

    with _alone():
        return Share({node: total(node, leaf, {}, Sums.add) for node in part.nodes}, runs)


def forward(
    setting: Setting, x: np.ndarray, y: Any, address: Address, judge: bool
) -> tuple[LossValue | None, np.ndarray] | None:
    """Outputs of a batch, and if wanted its loss; None: send the model."""
    held = _model_of(setting)
    if held is None:
        return None
    model, loss = held
    rng = stream(*address)
    _apply(model, setting.settings)
    try:
        with _alone():
            run = model.forward(x, train=False, rng=rng)
            value = loss(run, y, model=model, rng=rng) if judge else None
    except Exception as error:
        raise _sendable(error, f"in a batch of {len(x)}") from error
    told = None if value is None else LossValue(value.value, parts=dict(value.parts))
    return told, np.array(run.outputs)


def _copied(run: Run, keep: tuple[str, ...]) -> dict[str, Any]:
    """What goes back; copies, since a model may write its arrays anew."""
    found = {name: np.array(getattr(run, name)) for name in keep if name != "end" and getattr(run, name) is not None}
    end = ended(run) if "end" in keep else None
    return found if end is None else {**found, "end": copy.deepcopy(end)}


def _sendable(error: Exception, where: str) -> Exception:
    """The exception itself if it survives the way back, else its text."""
    try:
        again = pickle.loads(pickle.dumps(error))
        whole = type(again) is type(error) and str(again) == str(error)
    except Exception:
        whole = False
    if not whole:
        error = RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    error.add_note(f"{where} (DataParallel)")
    return error


def begin() -> None:
    """In a process of this library's own pool, as it starts."""
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # for what is loaded from now on
    # The GNU allocator gives pages back to the system, and takes them again in every step, until it has seen a large array.
    np.empty(2**25 - 2**16, dtype=np.uint8)


def _limit() -> None:
    """One thread for good, for what is loaded too, in a process that works for another."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(_THREADS, "1"))
    threadpool_limits(1)
    numba = sys.modules.get("numba")
    if numba is not None and numba.config.NUMBA_NUM_THREADS > 1:
        numba.set_num_threads(1)
