"""A simulation that sees samples one after another in time, and what callbacks take for its model and its optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError
from soen_event.simulate import Simulation
from training.local_readouts import Readout

if TYPE_CHECKING:
    from training.local import LocalTrainer

__all__ = ["Chip", "LearningRate", "LocalModel"]


class Chip:
    """A run, and where in time its samples are, in whole fs: sample k from ``start`` on, for ``length``, then ``gap``.

    A sample has the events from its beginning to before its end, and signals come between that end and what happens at the very same
    time: so it does not matter when photons of the next sample were handed over.
    """

    def __init__(self, run: Simulation, length: float, gap: float):
        self.run, self.length, self.gap = run, length, gap
        self.length_fs, self.period_fs = round(length * 1e6), round(length * 1e6) + round(gap * 1e6)
        self.start_fs = round(run.now * 1e6)
        self._spikes = 0
        self.spikes = 0
        """Spikes of all neurons in the last sample and the rest after it."""

    @property
    def start(self) -> float:
        """Where the next sample begins, or the present one began, ns."""
        return self.start_fs * 1e-6

    @property
    def period(self) -> float:
        """From the beginning of a sample to that of the next, ns."""
        return self.period_fs * 1e-6

    def put(self, run: Simulation, start_fs: int) -> None:
        """Go on with another run."""
        self.run, self.start_fs = run, start_fs

    def frozen(self) -> Chip:
        """The same without learning, without the photons to come, and with a future of its own."""
        run = self.run.frozen()
        run.withdraw()
        copy = Chip(run, self.length, self.gap)
        copy.start_fs = self.start_fs
        return copy

    def inject(self, samples: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Photons of samples that come one after another, from the next on: (rows of detectors, fs from the beginning) of each."""
        rows = [r for r, _ in samples]
        times = [fs + self.start_fs + k * self.period_fs for k, (_, fs) in enumerate(samples)]
        self.run.inject_rows(np.concatenate(rows), np.concatenate(times))

    def begin(self) -> None:
        """A sample begins."""
        self._spikes = int(self.run.spike_counts().sum())

    def present(self, readout: Readout) -> np.ndarray:
        """Let the sample happen; returns the outputs."""
        readout.begin(self.run)
        for share in readout.moments:
            self._to(self.start_fs + int(share * self.length_fs) - 1)
            readout.look(self.run)
        self._to(self.start_fs + self.length_fs - 1)
        return readout.end(self.run, self.start, self.length)

    def spikes_now(self) -> int:
        """Spikes since the sample began."""
        return int(self.run.spike_counts().sum()) - self._spikes

    def rest(self) -> None:
        """The gap after a sample; then the next one may begin."""
        self.start_fs += self.period_fs
        self._to(self.start_fs - 1)
        self.spikes = self.spikes_now()

    def _to(self, fs: int) -> None:
        if fs * 1e-6 > 4e12:
            raise InputError(
                f"LocalTrainer: the chip's clock has come to {fs * 1e-6:g} ns, its end (over an hour); deploy() and train on"
            )
        self.run.run(fs * 1e-6)


class LearningRate:
    """What callbacks take for an optimizer: a factor of the rates of all rules, 1 at first."""

    def __init__(self) -> None:
        self._lr = 1.0

    def get_lr(self) -> float:
        """The factor."""
        return self._lr

    def set_lr(self, lr: float) -> None:
        """Another one; it holds from the next sample on."""
        self._lr = float(lr)


class LocalModel:
    """What callbacks take for a model: the values of every rule's sites, by the rule's name.

    They are those of the chip whenever they are asked for. What a callback writes into them in ``on_train_end`` is programmed afterwards.
    """

    def __init__(self, trainer: LocalTrainer):
        self._trainer = trainer
        self._held: dict[str, np.ndarray] | None = None

    def parameters(self) -> dict[str, np.ndarray]:
        """Values by rule, each (sites,)."""
        if self._held:
            return self._held
        state = self._trainer.simulation._engine.state()
        found = {sites.name: sites.values(state).copy() for sites in self._trainer.sites}
        if self._held is not None:
            self._held = found
        return found

    def open(self) -> None:
        """From now on the same arrays are given out, for :meth:`take_back`."""
        self._held = {}

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Of the memories."""
        held = {s.name: s.plasticity.storage_of(s.name) for s in self._trainer.sites}
        return {name: (one.low, one.high) for name, one in held.items()}

    def forward(self, inputs: np.ndarray, train: bool = False, rng: Any = None) -> Any:
        """The outputs of the chip as it is, as :meth:`training.local.LocalTrainer.predict` gives them."""
        from training.model import Run

        return Run(self._trainer.predict(inputs))

    def backward(self, run: Any, outputs: Any = None, states: Any = None, spikes: Any = None) -> dict[str, np.ndarray]:
        """There is none."""
        raise InputError("LocalTrainer: a chip that learns locally has no gradients; use training.loop.Trainer")

    def take_back(self) -> None:
        """Program what was written into the arrays that were given out since :meth:`open`."""
        given, self._held = self._held, None
        if not given:
            return
        state = self._trainer.simulation._engine.state()
        values = {}
        for sites in self._trainer.sites:
            now = sites.values(state)
            for k in np.flatnonzero(given[sites.name] != now).tolist():
                values[sites.ids[k]] = float(given[sites.name][k])
        if values:
            self._trainer.simulation.set_learnt(values)
            self._trainer._before = None
