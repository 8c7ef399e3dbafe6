"""What is read of a chip after each sample: spike counts, first spikes, currents. Larger means more of what the part stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError, nearest
from training.arguments import Faults
from training.local_errors import InvalidLayerError, refuse

if TYPE_CHECKING:
    from soen_event.simulate import Simulation

__all__ = ["Currents", "FirstSpikes", "Outputs", "Readout", "SpikeCounts"]


class Outputs(Mapping[str, float]):
    """What was read, by id, in the readout's order; as an array of the same order for numpy."""

    def __init__(self, ids: tuple[str, ...], values: np.ndarray):
        self.ids, self.values_ = ids, values

    def __getitem__(self, name: str) -> float:
        return float(self.values_[self.ids.index(name)])

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values_, dtype=dtype)

    def __repr__(self) -> str:
        return f"Outputs({dict(self)})"


class Readout:
    """Base: which parts are read. ``parts``: ids, or patterns with ``*`` and ``?``; by default all neurons in the network's order."""

    def __init__(self, parts: str | Iterable[str] | None = None):
        self.parts: Any = parts if parts is None or isinstance(parts, str) else tuple(parts)
        self.ids: tuple[str, ...] = ()

    moments: tuple[float, ...] = ()
    """When in a sample it has to look, as shares of its length; the end is not told."""

    def bind(self, run: Simulation) -> None:
        """Find the parts. Raises InvalidLayerError."""
        known = self.known(run)
        patterns = ["*"] if self.parts is None else [self.parts] if isinstance(self.parts, str) else list(self.parts)
        found: dict[str, None] = {}
        faults = []
        for pattern in patterns:
            mine = [name for name in known if name == pattern or fnmatchcase(name, pattern)]
            found |= dict.fromkeys(mine)
            if not mine:
                hint = nearest(str(pattern), known)
                faults.append((InvalidLayerError, f"{type(self).__name__}.parts: there is no {pattern!r}{hint}"))
        refuse(faults)
        self.ids = tuple(found)
        index = self.index(run)
        self.rows = np.array([index[name] for name in self.ids], dtype=np.int64)

    def known(self, run: Simulation) -> list[str]:
        """Ids that can be read."""
        return list(run.plan.neuron_ids)

    def index(self, run: Simulation) -> Mapping[str, int]:
        """Their rows."""
        return run.plan.neuron_index

    def begin(self, run: Simulation) -> None:
        """A sample begins."""

    def look(self, run: Simulation) -> None:
        """One of the ``moments``."""

    def end(self, run: Simulation, begin: float, length: float) -> np.ndarray:
        """The outputs, (len(ids),), of the sample that began at ``begin`` and has lasted ``length`` ns."""
        raise NotImplementedError


class SpikeCounts(Readout):
    """Number of spikes of each neuron during the sample."""

    def begin(self, run: Simulation) -> None:
        """Remember the counts."""
        self._before = run.spike_counts()[self.rows]

    def end(self, run: Simulation, begin: float, length: float) -> np.ndarray:
        """Count."""
        return (run.spike_counts()[self.rows] - self._before).astype(float)


class FirstSpikes(Readout):
    """Minus the time of each neuron's first spike, ns from the beginning of the sample; minus its length if there is none."""

    def end(self, run: Simulation, begin: float, length: float) -> np.ndarray:
        """Look for it."""
        times, neurons = run.spikes_since(begin)
        first = np.full(len(run.plan.neuron_ids), length)
        np.minimum.at(first, neurons, times - begin)
        return -first[self.rows]


class Currents(Readout):
    """Currents (I_c) of loops, of neurons those of their somas: at the end of the sample, or their mean or largest over moments.

    Arguments:
        parts: ids or patterns, of dendrites and neurons.
        reduce: "last", "mean" or "max".
        points: number of moments, evenly spaced and the last at the end, 1 or more; for "last" there is one.

    Raises InputError: an unknown ``reduce``, or no points.
    """

    def __init__(self, parts: str | Iterable[str] | None = None, reduce: str = "last", points: int = 20):
        super().__init__(parts)
        faults = Faults("Currents")
        self.reduce = faults.choice("reduce", reduce, ("last", "mean", "max"))
        points = 1 if self.reduce == "last" else faults.whole("points", points, least=1)
        faults.done()
        self.moments = tuple((k + 1) / points for k in range(points - 1))

    def known(self, run: Simulation) -> list[str]:
        """Neurons first: a pattern for all of them finds them in their order."""
        if self.parts is None:
            return list(run.plan.neuron_ids)
        return [*run.plan.neuron_ids, *(name for name in run.plan.loop_ids)]

    def index(self, run: Simulation) -> Mapping[str, int]:
        """Loops."""
        return run.plan.loop_index

    def begin(self, run: Simulation) -> None:
        """Forget the last sample."""
        self._seen: list[list[float]] = []

    def look(self, run: Simulation) -> None:
        """Take the currents of now."""
        self._seen.append([run.current(name) for name in self.ids])

    def end(self, run: Simulation, begin: float, length: float) -> np.ndarray:
        """The last look."""
        self.look(run)
        seen = np.array(self._seen).reshape(len(self._seen), len(self.ids))
        return {"last": lambda: seen[-1], "mean": lambda: seen.mean(axis=0), "max": lambda: seen.max(axis=0)}[
            self.reduce
        ]()


READOUTS = {"counts": SpikeCounts, "first_spike": FirstSpikes, "currents": Currents}


def made(readout: Any) -> Readout:
    """A readout from its name ("counts", "first_spike", "currents"), from ids (whose spikes are counted), or as it is."""
    if isinstance(readout, Readout):
        return readout
    if isinstance(readout, str) and readout in READOUTS:
        return READOUTS[readout]()
    if isinstance(readout, str) and not any(c in readout for c in "*?["):
        raise InputError(
            f"LocalTrainer.readout: {readout!r} is unknown{nearest(readout, READOUTS)}; choose one of {', '.join(READOUTS)}, "
            "or give SpikeCounts(ids)"
        )
    if readout is None or isinstance(readout, str | list | tuple):
        return SpikeCounts(readout)
    raise InputError(
        f"LocalTrainer.readout: {type(readout).__name__} is no readout; derive it from training.local_readouts.Readout"
    )
