"""Optimizers around an optimizer: Lookahead and SAM (features.md S2.33). Both may be nested."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soen_event.errors import InputError
from training.arguments import Faults
from training.clipping import global_norm
from training.optimizer import Arrays, Optimizer, Slot, make
from training.registry import register

__all__ = ["SAM", "Lookahead", "Wrapper"]

Array = NDArray[Any]


class Wrapper(Optimizer):
    """An optimizer that uses another: what is bound, the rate and the options are the inner one's.

    Args:
        inner: an optimizer, its name, or a mapping with name and options.
    """

    def __init__(self, inner: Any, **options: Any):
        import training.optim  # noqa: F401  so that all names are registered

        self.inner = make(inner, **options)
        self.own: dict[str, Array] = {}
        self._bound(list(self._slots))

    @property
    def options(self) -> dict[str, Any]:  # type: ignore[override]
        """Options of the inner optimizer."""
        return self.inner.options

    @property
    def _slots(self) -> dict[str, Slot]:  # type: ignore[override]
        return self.inner._slots

    @property
    def steps(self) -> int:  # type: ignore[override]
        """Steps that were made."""
        return self.inner.steps

    def set_option(self, name: str, value: Any) -> None:
        """An option of the inner optimizer."""
        self.inner.set_option(name, value)

    def register_trainable_weights(
        self, parameters: Any, bounds: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        """As :meth:`Optimizer.register_trainable_weights`."""
        before = set(self._slots)
        self.inner.register_trainable_weights(parameters, bounds)
        self._bound([name for name in self._slots if name not in before])

    def _bound(self, names: list[str]) -> None:
        for name in names:
            self.own[name] = self._slots[name].weights.copy()

    def _judged_gradients(self, gradients: Arrays) -> Mapping[str, Array]:
        return self.inner._judged_gradients(gradients)

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's state and one's own."""
        own = {name: array.copy() for name, array in self.own.items()}
        return {"kind": type(self).__name__, "inner": self.inner.state_dict(), "own": own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`; InputError if it does not fit."""
        name = type(self).__name__
        if not isinstance(state, Mapping) or state.get("kind") != name or not {"inner", "own"} <= set(state):
            raise InputError(f"{name}.state: it is no state of a {name}; give what its state_dict() returned")
        shapes = {key: np.shape(array) for key, array in state["own"].items()}
        if shapes != {key: array.shape for key, array in self.own.items()}:
            raise InputError(f"{name}.state: it is of other parameters; bind the same")
        self.inner.load_state_dict(state["inner"])
        for key, array in state["own"].items():
            self.own[key][...] = array

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"


@register("optimizer", "lookahead", "Lookahead")
class Lookahead(Wrapper):
    """Every k steps: slow += alpha (fast - slow); fast = slow (Zhang et al. 2019).

    Args:
        inner: makes the fast steps.
        k: 1 or more.
        alpha: 0 to 1; 1 is the inner optimizer alone.
        options: of the inner optimizer, if it is given by name.
    """

    def __init__(self, inner: Any = "adam", k: int = 5, alpha: float = 0.5, **options: Any):
        faults = Faults("Lookahead")
        self.k, self.alpha = faults.whole("k", k, least=1), faults.number("alpha", alpha, least=0.0, most=1.0)
        faults.done()
        super().__init__(inner, **options)

    def update(self, gradients: Arrays) -> None:
        """A step of the inner optimizer, and every k-th time a step of the slow weights."""
        self.inner.update(gradients)
        if self.steps % self.k == 0:
            for name, slot in self._slots.items():
                slow = self.own[name]
                np.subtract(slot.weights, slow, out=slot.work)
                slot.work *= self.alpha
                slow += slot.work
                slot.weights[...] = slow
                self._hold(slot)


@register("optimizer", "sam", "SAM")
class SAM(Wrapper):
    """The gradient is taken where the loss is worst nearby: at w + rho g / |g| (Foret et al. 2021).

        sam.update(gradients, again)               # again() returns the gradients at the parameters as they are then

    or ``ascend(gradients)``, new gradients, ``descend(gradients)``. ``needs_second_gradient`` tells a training loop so.

    Args:
        inner: makes the step, from the old place.
        rho: how far away, above 0.
        options: of the inner optimizer, if it is given by name.
    """

    needs_second_gradient = True

    def __init__(self, inner: Any = "adam", rho: float = 0.05, **options: Any):
        faults = Faults("SAM")
        self.rho, self.away = faults.number("rho", rho, above=0.0), False
        faults.done()
        super().__init__(inner, **options)

    def ascend(self, gradients: Arrays) -> None:
        """Move the parameters to w + rho g / |g|, all of them together; InputError if they are away already."""
        if self.away:
            raise InputError("SAM.ascend: the parameters are away already; call descend(gradients) first")
        named = self._judged_gradients(gradients)
        share = self.rho / max(global_norm(named), 1e-12)
        self.away = True
        for name, slot in self._slots.items():
            self.own[name][...] = slot.weights
            np.multiply(named[name], share, out=slot.work)
            slot.weights += slot.work

    def restore(self) -> None:
        """Put the parameters back, to the bit."""
        if self.away:
            for name, slot in self._slots.items():
                slot.weights[...] = self.own[name]
            self.away = False

    def descend(self, gradients: Arrays) -> None:
        """Go back, and step with the gradients that were found away."""
        if not self.away:
            raise InputError("SAM.descend: the parameters are where they were; call ascend(gradients) first")
        self.restore()
        self.inner.update(gradients)

    def update(self, gradients: Arrays, again: Callable[[], Arrays] | None = None) -> None:
        """Go up, take ``again()``, go back and step; if it raises, the parameters are back."""
        if again is None:
            raise InputError("SAM.update: a second gradient is needed; give again=, a function that returns gradients")
        self.ascend(gradients)
        try:
            found = again()
        finally:
            self.restore()
        self.inner.update(found)
