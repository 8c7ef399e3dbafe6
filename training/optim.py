"""Optimizers: parameters are changed in place, state is allocated once. Definitions: features.md S0.17, S1.01-S1.05, S2.01-S2.07.

    optimizer = Adam(lr=1e-3)
    optimizer.register_trainable_weights(model)              # or a mapping of arrays
    optimizer.update(gradients)                              # the same names; nothing is returned

Other ways: ``Adam(parameters, lr=1e-3)``; ``step(parameters, gradients)``; ``accumulate(gradients)`` several times, then ``step()``
and ``zero_grad()``. lr is also learning_rate, eps is epsilon, (beta1, beta2) is betas, decay is alpha. Parameters that have
bounds are held within them after every step. ``groups`` give some of them another rate or decay::

    Adam(lr=1e-3, groups=[{"match": "threshold*", "lr_scale": 0.1}, {"regex": "J|ib", "weight_decay": 0.01}])

(``match`` is a shell pattern or several, ``regex`` must fit the whole name; the first group that fits counts.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.arguments import Faults
from training.clipping import add_weight_decay, clip_by_global_norm, clip_by_norm, clip_by_value, global_norm
from training.optimizer import Optimizer, Slot, make
from training.registry import register
from training.wrappers import SAM, Lookahead

__all__ = [
    "SAM",
    "SGD",
    "Adam",
    "AdamW",
    "Lion",
    "Lookahead",
    "Optimizer",
    "RMSprop",
    "add_weight_decay",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "global_norm",
    "make",
]

Array = NDArray[Any]

# --------------------------------------------------------------------------------------------- the rules


def _decayed(slot: Slot, gradient: Array, decay: float) -> Array:
    """gradient + decay w, in the slot's own room."""
    np.multiply(slot.weights, decay, out=slot.more)
    slot.more += gradient
    return slot.more


@register("optimizer", "sgd", "SGD")
class SGD(Optimizer):
    """g += weight_decay w; v = momentum v + (1 - dampening) g, at first v = g; w -= lr v (S1.02, S2.02).

    ``nesterov``: w -= lr (g + momentum v); it needs momentum, and no dampening (ValueError).
    """

    buffers = ("velocity",)

    def __init__(
        self,
        parameters: Any = None,
        /,
        *,
        lr: float = 0.01,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        groups: Iterable[Mapping[str, Any]] = (),
        check_finite: bool = False,
        **aliases: Any,
    ):
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(parameters, {**options, "nesterov": nesterov}, groups, check_finite, aliases)

    def _judge(self, faults: Faults) -> None:
        if self.options["nesterov"] and (self.options["momentum"] == 0.0 or self.options["dampening"] != 0.0):
            faults.add("nesterov", "it needs momentum above 0 and dampening 0; change them, or leave it out")

    def _change(self, slot: Slot, gradient: Array, lr: float, decay: float) -> None:
        work, options = slot.work, self.options
        if decay:
            gradient = _decayed(slot, gradient, decay)
        momentum = options["momentum"]
        if momentum:
            velocity = slot.state["velocity"]
            if self.steps == 1:
                velocity[...] = gradient
            else:
                velocity *= momentum
                if options["dampening"]:
                    gradient = np.multiply(gradient, 1.0 - options["dampening"], out=work)
                velocity += gradient
            if options["nesterov"]:
                np.multiply(velocity, momentum, out=work)
                work += gradient
                gradient = work
            else:
                gradient = velocity
        np.multiply(gradient, lr, out=work)
        slot.weights -= work


@register("optimizer", "adam", "Adam")
class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; w -= lr m^ / (sqrt(v^) + eps), with hats for the
    corrected means (S1.01, S2.03). ``weight_decay`` is added to the gradient; ``amsgrad`` uses the largest v so far.
    """

    buffers = ("m", "v")
    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Any = None,
        /,
        *,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        groups: Iterable[Mapping[str, Any]] = (),
        check_finite: bool = False,
        **aliases: Any,
    ):
        options = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, {**options, "amsgrad": amsgrad}, groups, check_finite, aliases)

    def _kept(self) -> tuple[str, ...]:
        return (*self.buffers, "largest") if self.options["amsgrad"] else self.buffers

    def _change(self, slot: Slot, gradient: Array, lr: float, decay: float) -> None:
        work, options = slot.work, self.options
        m, v, beta1, beta2 = slot.state["m"], slot.state["v"], options["beta1"], options["beta2"]
        if decay and self.decoupled:
            slot.weights *= 1.0 - lr * decay
        elif decay:
            gradient = _decayed(slot, gradient, decay)
        m *= beta1
        np.multiply(gradient, 1.0 - beta1, out=work)
        m += work
        v *= beta2
        np.multiply(gradient, gradient, out=work)
        work *= 1.0 - beta2
        v += work
        if options["amsgrad"]:
            v = np.maximum(slot.state["largest"], v, out=slot.state["largest"])
        np.sqrt(v, out=work)
        work *= 1.0 / math.sqrt(1.0 - beta2**self.steps)
        work += options["eps"]
        np.divide(m, work, out=work)
        work *= lr / (1.0 - beta1**self.steps)
        slot.weights -= work


@register("optimizer", "adamw", "AdamW")
class AdamW(Adam):
    """Adam with the decay apart from the gradient: w -= lr weight_decay w, then Adam (S2.04)."""

    decoupled = True

    def __init__(
        self,
        parameters: Any = None,
        /,
        *,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        groups: Iterable[Mapping[str, Any]] = (),
        check_finite: bool = False,
        **aliases: Any,
    ):
        options = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
        given = {**options, "amsgrad": amsgrad, "groups": groups, "check_finite": check_finite, **aliases}
        super().__init__(parameters, **given)


@register("optimizer", "rmsprop", "RMSprop")
class RMSprop(Optimizer):
    """v = decay v + (1 - decay) g^2; w -= lr g / (sqrt(v) + eps), eps outside the root (S1.03, S2.05).

    ``momentum``: the step is b = momentum b + g / (...) instead. ``centered``: v less the square of the mean of g.
    """

    buffers = ("v",)

    def __init__(
        self,
        parameters: Any = None,
        /,
        *,
        lr: float = 1e-3,
        decay: float = 0.9,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        groups: Iterable[Mapping[str, Any]] = (),
        check_finite: bool = False,
        **aliases: Any,
    ):
        options = {"lr": lr, "decay": decay, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, {**options, "centered": centered}, groups, check_finite, aliases)

    def _kept(self) -> tuple[str, ...]:
        return ("v", "velocity", *(("mean",) if self.options["centered"] else ()))

    def _change(self, slot: Slot, gradient: Array, lr: float, decay: float) -> None:
        work, options, rho = slot.work, self.options, self.options["decay"]
        if decay:
            gradient = _decayed(slot, gradient, decay)
        v = slot.state["v"]
        v *= rho
        np.multiply(gradient, gradient, out=work)
        work *= 1.0 - rho
        v += work
        if options["centered"]:
            mean = slot.state["mean"]
            mean *= rho
            np.multiply(gradient, 1.0 - rho, out=work)
            mean += work
            np.multiply(mean, mean, out=work)
            np.subtract(v, work, out=work)
            np.maximum(work, 0.0, out=work)
            np.sqrt(work, out=work)
        else:
            np.sqrt(v, out=work)
        work += options["eps"]
        np.divide(gradient, work, out=work)
        if options["momentum"]:
            velocity = slot.state["velocity"]
            velocity *= options["momentum"]
            velocity += work
            np.multiply(velocity, lr, out=work)
        else:
            work *= lr
        slot.weights -= work


@register("optimizer", "lion", "Lion")
class Lion(Optimizer):
    """u = sign(beta1 m + (1 - beta1) g); w -= lr (u + weight_decay w); m = beta2 m + (1 - beta2) g (S0.17)."""

    buffers = ("m",)

    def __init__(
        self,
        parameters: Any = None,
        /,
        *,
        lr: float = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.99,
        weight_decay: float = 0.0,
        groups: Iterable[Mapping[str, Any]] = (),
        check_finite: bool = False,
        **aliases: Any,
    ):
        options = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay}
        super().__init__(parameters, options, groups, check_finite, aliases)

    def _change(self, slot: Slot, gradient: Array, lr: float, decay: float) -> None:
        m, work, more = slot.state["m"], slot.work, slot.more
        beta1, beta2 = self.options["beta1"], self.options["beta2"]
        np.multiply(m, beta1, out=work)
        np.multiply(gradient, 1.0 - beta1, out=more)
        work += more
        np.sign(work, out=work)
        work *= lr
        if decay:
            slot.weights *= 1.0 - lr * decay
        slot.weights -= work
        m *= beta2
        np.multiply(gradient, 1.0 - beta2, out=more)
        m += more
