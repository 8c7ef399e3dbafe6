"""Everything that finds weights: the time-stepped twin, gradients, the training loop and what it is made of.

    from training import Trainer, fit, grad, value_and_grad

Names are loaded on first use; everything else is in its module (``training.data``, ``training.callbacks``, ``training.config``, ...).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "BasicTrainingLoop": "loop",
    "DataLoader": "data",
    "DataParallel": "parallel",
    "Dataset": "data",
    "Diverged": "loop",
    "LossValue": "model",
    "Model": "model",
    "Run": "model",
    "Trainer": "loop",
    "fit": "loop",
    "grad": "gradients",
    "init_all_states": "gradients",
    "register": "registry",
    "run_network": "gradients",
    "value_and_grad": "gradients",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from training.data import DataLoader, Dataset
    from training.gradients import grad, init_all_states, run_network, value_and_grad
    from training.loop import BasicTrainingLoop, Diverged, Trainer, fit
    from training.model import LossValue, Model, Run
    from training.parallel import DataParallel
    from training.registry import register


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    value = getattr(import_module(f"training.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
