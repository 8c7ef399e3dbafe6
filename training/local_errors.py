"""What goes wrong in local learning, each with a type of its own (features.md S0.R8). All are InputErrors and ValueErrors."""

from __future__ import annotations

from collections.abc import Iterable

from soen_event.errors import InputError, NonFiniteError

__all__ = [
    "ConnectionNotFoundError",
    "DimensionMismatchError",
    "InvalidLayerError",
    "LearningWarning",
    "NonFiniteError",
    "refuse",
]


class ConnectionNotFoundError(InputError):
    """A synapse or coupling that the network does not have, or that cannot learn."""


class InvalidLayerError(InputError):
    """A dendrite or neuron that the network does not have, where learning or reading wants one."""


class DimensionMismatchError(InputError):
    """Samples, channels, targets or outputs of which there are not as many as there should be."""


class LearningWarning(UserWarning):
    """Nothing, or nearly nothing, is learnt, and why."""


def refuse(faults: Iterable[tuple[type[InputError], str]]) -> None:
    """Raise all faults at once, as the type of the first; nothing if there are none."""
    found = list(faults)
    if found:
        raise found[0][0]([text for _, text in found[:20]])
