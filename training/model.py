"""What the training loop asks of a model, and what a loss gives back. :class:`training.twin.Twin` is the model of this library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["LossValue", "Model", "Run"]


@dataclass
class Run:
    """One forward pass over a batch.

    ``outputs``: what the losses compare with targets: (B, C), or (B, T, C) where every step has an output. ``states``: current of every
    loop, (B, T + 1, n) (step 0 is the start), or None. ``spikes``: (B, T, k) of every neuron, or None. ``tape``: the model's own.
    ``inputs``: what was run, (B, T, n_in), for losses that run the model once more (S0.L12, S0.L15); None if it is not kept.
    ``end``: the model's state after the last step, to go on from. ``lead``: like ``spikes``: the share of its step (0 to 1) after which a
    spike came; of no meaning where there was none.
    """

    outputs: np.ndarray
    states: np.ndarray | None = None
    spikes: np.ndarray | None = None
    tape: Any = None
    inputs: np.ndarray | None = None
    end: Any = None
    lead: np.ndarray | None = None


@dataclass
class LossValue:
    """Value of a loss, a mean over the batch, and its gradients: by what it was computed from.

    ``outputs``, ``states``, ``spikes``: arrays like those of the :class:`Run`, or None for zero; ``parameters``: by parameter name.
    ``parts``: values by name of a sum's parts, before their weights.
    """

    value: float
    outputs: np.ndarray | None = None
    states: np.ndarray | None = None
    spikes: np.ndarray | None = None
    parameters: dict[str, np.ndarray] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Model(Protocol):
    """A model that can be trained. Parameters are named arrays that are changed in place.

    What it carries from batch to batch beside them, and a checkpoint should keep, it gives and takes as ``state_dict`` and
    ``load_state_dict``, if it has them.
    """

    def parameters(self) -> dict[str, np.ndarray]:
        """The trainable arrays, by name: the arrays themselves, not copies."""

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of a parameter, where it has any."""

    def forward(self, inputs: np.ndarray, train: bool = False, rng: np.random.Generator | None = None) -> Run:
        """Run a batch (B, T, n_in). ``train``: keep what :meth:`backward` needs, and apply noise that is for training only."""

    def backward(
        self,
        run: Run,
        outputs: np.ndarray | None = None,
        states: np.ndarray | None = None,
        spikes: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Gradients of a loss by parameter name, from its gradients by outputs, states and spikes of a training run."""
