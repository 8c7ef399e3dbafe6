"""What a schedule is: a learning rate as a function of the epoch, which may be bound to an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from soen_event.errors import InputError
from training.arguments import Faults
from training.optimizer import Optimizer

__all__ = ["Schedule"]


@dataclass(eq=False)
class Schedule:
    """What all of them share. A subclass defines ``at(position)``, with the position in epochs.

    Args:
        batches_per_epoch: lets a batch count, as this share of an epoch; None: batches do not count.
    """

    batches_per_epoch: int | None = field(default=None, kw_only=True)
    rate: ClassVar[str | None] = "lr"
    positive: ClassVar[tuple[str, ...]] = ()
    nonnegative: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        self.epoch, self.batch = 0, 0
        self.optimizer: Optimizer | None = None
        given = getattr(self, self.rate, None) if self.rate else None
        if isinstance(given, Optimizer):
            self.optimizer = given
            setattr(self, str(self.rate), given.get_lr())
        faults = Faults(type(self).__name__)
        if self.rate and getattr(self, self.rate, None) is not None:
            faults.number(self.rate, getattr(self, self.rate), least=0.0)
        for name in self.positive:
            faults.number(name, getattr(self, name), above=0.0)
        for name in self.nonnegative:
            faults.number(name, getattr(self, name), least=0.0)
        if self.batches_per_epoch is not None:
            faults.whole("batches_per_epoch", self.batches_per_epoch, least=1)
        if not faults.found:
            self._judge(faults)
        faults.done()
        if self.optimizer is not None:
            self.optimizer.set_lr(self.get_lr(0))

    def _judge(self, faults: Faults) -> None:
        """Further faults; those before are none."""

    def at(self, position: float) -> float:
        """Rate at a position, 0 or more, in epochs; may lie between them."""
        raise InputError(f"{type(self).__name__}: it has no rate; define at(position)")

    def get_lr(self, epoch: float, batch: int = 0) -> float:
        """Rate of an epoch, or of a batch in it.

        Raises:
            InputError: a number below 0, or no rate is known yet.
        """
        faults = Faults(f"{type(self).__name__}.get_lr")
        position = faults.number("epoch", epoch, least=0.0)
        within = faults.whole("batch", batch)
        faults.done()
        if self.batches_per_epoch is not None:
            position += within / self.batches_per_epoch
        self._known()
        return float(self.at(position))

    def _known(self) -> None:
        if self.rate and getattr(self, self.rate, None) is None:
            name = type(self).__name__
            raise InputError(f"{name}.{self.rate}: it is not known; give a rate, or bind(optimizer)")

    def take_rate(self, lr: float) -> None:
        """Use this rate if none was given."""
        if self.rate and getattr(self, self.rate, None) is None:
            setattr(self, self.rate, lr)

    def bind(self, optimizer: Optimizer) -> Schedule:
        """Let :meth:`step` set this optimizer's rate; it gets the rate of the present epoch now."""
        if not callable(getattr(optimizer, "set_lr", None)):
            raise InputError(f"{type(self).__name__}.bind: {optimizer!r} has no set_lr; give an optimizer")
        self.take_rate(optimizer.get_lr())
        self.optimizer = optimizer
        optimizer.set_lr(self.get_lr(self.epoch, self.batch))
        return self

    def step(self, epoch: float | None = None, batch: int = 0) -> float:
        """Go to the next epoch, or to the one given; set the optimizer's rate, if one is bound, and return it."""
        lr = self.get_lr(self.epoch + 1 if epoch is None else epoch, batch)
        self.epoch, self.batch = self.epoch + 1 if epoch is None else epoch, batch  # type: ignore[assignment]
        if self.optimizer is not None:
            self.optimizer.set_lr(lr)
        return lr

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is; options are not part of it, a rate taken from an optimizer is."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            **({"rate": getattr(self, self.rate, None)} if self.rate else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self.epoch, self.batch = state["epoch"], state["batch"]
        if self.rate and state.get("rate") is not None:
            setattr(self, self.rate, float(state["rate"]))
