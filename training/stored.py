"""What of a part belongs in a checkpoint: its ``state_dict``, or else those of its attributes that are plain data.

A model's parameters are stored once, by :func:`of_parameters`. What it carries beside them (state from batch to batch, say) is what its
``state_dict`` holds under other names, :func:`of_carried`; a model without that method carries nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from soen_event.errors import InputError, nearest
from training.model import Model

__all__ = ["of_carried", "of_parameters", "put_carried", "put_parameters", "put_state", "state_of"]

_PLAIN = (bool, int, float, str, type(None), np.ndarray, np.generic)


def state_of(part: Any) -> dict[str, Any]:
    """The state of an optimizer, loss or metric."""
    held = getattr(part, "state_dict", None)
    if callable(held):
        return dict(held())
    return {name: value for name, value in getattr(part, "__dict__", {}).items() if _is_plain(value)}


def put_state(part: Any, state: Mapping[str, Any]) -> None:
    """Go on from what :func:`state_of` gave."""
    if not state:
        return
    load = getattr(part, "load_state_dict", None)
    if callable(load):
        load(state)
    else:
        part.__dict__.update(copy.deepcopy(dict(state)))


def of_parameters(model: Model) -> dict[str, np.ndarray]:
    """The parameters of a model, by name."""
    return dict(model.parameters())


def put_parameters(model: Model, values: Mapping[str, np.ndarray], place: str) -> None:
    """Write values into the parameters, in place and to the bit.

    Raises:
        InputError: names, shapes or types are not those of the model; all differences are told, and nothing is changed.
    """
    own = model.parameters()
    faults = [
        f"{place}: holds {name!r}, which the model does not have{nearest(name, own)}"
        for name in values
        if name not in own
    ]
    for name, array in own.items():
        if name not in values:
            faults.append(f"{place}: does not hold {name!r}; give a checkpoint of this model")
        elif values[name].shape != array.shape or values[name].dtype != array.dtype:
            then = f"{values[name].dtype} of shape {values[name].shape}"
            faults.append(
                f"{place}: {name!r} is {then}, in the model {array.dtype} of {array.shape}; give a checkpoint of this model"
            )
    if faults:
        raise InputError(faults)
    for name, array in own.items():
        np.copyto(array, values[name])


def of_carried(model: Model) -> dict[str, Any]:
    """What a model carries beside its parameters."""
    if not hasattr(model, "state_dict"):
        return {}
    own = model.parameters()
    return {name: value for name, value in state_of(model).items() if name not in own}


def put_carried(model: Model, state: Mapping[str, Any]) -> None:
    """Go on from what :func:`of_carried` gave, with the parameters as they are: they are put back first.

    A model whose ``state_dict`` holds its parameters too gets them along. Entries of parameters in ``state`` (files of earlier releases
    have them) count for nothing.
    """
    own = model.parameters()
    kept = {name: value for name, value in state.items() if name not in own}
    if kept and hasattr(model, "load_state_dict"):
        held = {name: np.array(own[name]) for name in state_of(model) if name in own}
        model.load_state_dict({**held, **kept})


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str | int) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return isinstance(value, _PLAIN) and not (isinstance(value, np.ndarray) and value.dtype.kind == "O")
