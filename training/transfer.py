"""From the time steps to the events: the deployed network in the engine, sample by sample, and how far that is from the twin.

    report = compare(twin, x, labels)                   # x: (samples, steps, channels), as for Twin.forward
    print(report); report.plot("transfer.png")

    runs = play(twin, x, resolution="fluxon")           # the engine alone: its outputs, pooled as the twin pools
    runs.outputs, runs.answers

The report is that of :mod:`hardware.agreement`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardware.agreement import Agreement, agreement
from soen_event.errors import InputError, nearest
from training.arguments import Faults

if TYPE_CHECKING:
    from soen_event.network import Network
    from training.twin import Twin

__all__ = ["Played", "answers_of", "compare", "deployed", "photons_of", "play"]

Array = NDArray[Any]
Times = dict[str, Array]


@dataclass(frozen=True)
class Played:
    """What the engine made of a batch.

    Args:
        outputs: as the twin's, pooled and scaled in its way: (samples, C) or (samples, steps, C).
        spikes: times (ns) by neuron id, a mapping for every sample.
        currents: of ``loops`` at the steps, (samples, steps + 1, loops).
        loops: ids of the currents' columns.
    """

    outputs: Array
    spikes: list[Times]
    currents: Array
    loops: tuple[str, ...]

    @property
    def answers(self) -> Array:
        """The largest output of every sample."""
        return answers_of(self.outputs)


def compare(
    twin: Twin,
    samples: ArrayLike | Sequence[Any],
    labels: ArrayLike | None = None,
    *,
    network: Network | None = None,
    duration: float | None = None,
    resolution: str = "flow",
    tol: float = 1e-4,
    seed: int = 0,
    loops: Iterable[str] | None = None,
    answer: Callable[[Array], Array] | None = None,
    cost: float = 0.1,
    tau: float = 10.0,
    batch: int = 64,
    name: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Agreement:
    """Run the twin and the engine on the same samples (features.md 3.4).

    Args:
        twin: a :class:`training.twin.Twin`, or another model with its attributes and ``forward``.
        samples: (samples, steps, channels) of photons, 0 or 1 in each step, as :meth:`Twin.forward` takes them; or a stimulus for every
            sample, which the twin sees on its grid and the engine as it is.
        labels: right answers, one a sample.
        network: what the engine runs; by default the twin's network with the twin's values (:func:`deployed`). Another one with the same
            synapses and loops, such as a chip's, may be given.
        duration: ns, of every sample; needed with stimuli.
        resolution, tol, seed: of the engine; sample k has seed + k.
        loops: whose currents are compared; by default all.
        answer: from outputs (samples, ...) to an answer for every sample; by default the largest output, if they are (samples, C) with
            two or more C.
        cost, tau: of the distances, see :func:`hardware.agreement.agreement`.
        batch: samples that the twin runs at a time.
        name: a title of the report.
        progress: a function of (samples done, samples).

    Raises:
        InputError: samples that do not fit the twin or cannot be light, labels without answers, or what the engine refuses.
    """
    inputs, photons, span = _both(twin, samples, duration)
    judged = Faults("compare")
    whole = judged.whole("batch", batch, least=1)
    if not twin.keep_states:
        judged.add("twin", "its runs give no currents and spikes; set twin.keep_states = True")
    judged.done()
    columns = _loops(twin, loops)
    network = deployed(twin) if network is None else network
    steps: list[Array] = []
    currents: list[Array] = []
    trains: list[Times] = []
    place = [twin.plan.loop_index[id_] for id_ in columns]
    for k in range(0, len(inputs), whole):
        run = twin.forward(inputs[k : k + whole])
        steps.append(run.outputs)
        if run.states is not None:
            currents.append(run.states[:, :, place])
        trains += [twin.trains(run, b) if twin.plan.neuron_ids else {} for b in range(len(run.outputs))]
    mine = np.concatenate(steps)
    theirs = _play(twin, photons, inputs.shape[1], network, columns, resolution, tol, seed, progress)
    choose = answer or (answers_of if mine.ndim == 2 and mine.shape[1] > 1 else None)
    if choose is None and labels is not None:
        raise InputError(
            f"compare.answer: outputs of shape {mine.shape} are no answers; give a function that makes them"
        )
    return agreement(
        trains,
        theirs.spikes,
        twin.dt,
        cost=cost,
        tau=tau,
        duration=span,
        currents=(np.concatenate(currents), theirs.currents) if columns else None,
        loops=columns,
        answers=(choose(mine), choose(theirs.outputs)) if choose else None,
        labels=labels,
        name=name or getattr(twin.network, "name", "") or "",
    )


def play(
    twin: Twin,
    samples: ArrayLike | Sequence[Any],
    *,
    network: Network | None = None,
    duration: float | None = None,
    resolution: str = "fluxon",
    tol: float = 1e-4,
    seed: int = 0,
    loops: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Played:
    """Run the engine on the samples and read it out as the twin is read out; arguments as for :func:`compare`."""
    inputs, photons, _ = _both(twin, samples, duration)
    network = deployed(twin) if network is None else network
    return _play(twin, photons, inputs.shape[1], network, _loops(twin, loops), resolution, tol, seed, progress)


def deployed(twin: Twin) -> Network:
    """A copy of the twin's network with the twin's values; the twin's own network stays as it is.

    Raises:
        InputError: values that a part refuses.
    """
    network = twin.network.copy()
    network.set_parameters({name: value.astype(float) for name, value in twin.parameters().items()})
    return network


def photons_of(twin: Twin, inputs: ArrayLike) -> list[Times]:
    """The twin's inputs as light for the engine: times (ns) by synapse, a mapping for every sample. A photon comes as its step begins.

    Args:
        inputs: (samples, steps, channels); 0, or 1 and more, which the twin takes as one photon.

    Raises:
        InputError: inputs of another shape, or shares of a photon.
    """
    array = np.asarray(inputs)
    if array.ndim != 3 or array.shape[2] != len(twin.channels):
        raise InputError(f"photons_of.inputs: of shape {array.shape}; give (samples, steps, {len(twin.channels)})")
    part = (array != 0.0) & ~(array >= 1.0)
    if part.any():
        raise InputError(
            f"photons_of.inputs: {array[part][0]} of a photon in a step; light comes in whole photons, give 0 or 1"
        )
    synapses = _synapses(twin)
    out = []
    for sample in array:
        times = {c: np.flatnonzero(sample[:, c]) * twin.dt for c in np.flatnonzero(sample.any(axis=0)).tolist()}
        out.append({name: times[c] for name, c in synapses.items() if c in times})
    return out


def answers_of(outputs: ArrayLike) -> Array:
    """The place of the largest output: (samples,) of (samples, C).

    Raises:
        InputError: outputs of another shape.
    """
    array = np.asarray(outputs)
    if array.ndim != 2:
        raise InputError(f"answers_of.outputs: of shape {array.shape}; give (samples, C), pool the steps first")
    answers: Array = array.argmax(axis=1)
    return answers


# ---------------------------------------------------------------------------------------------- inside


def _play(
    twin: Twin,
    photons: Sequence[Any],
    steps: int,
    network: Network,
    loops: tuple[str, ...],
    resolution: str,
    tol: float,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Played:
    from soen_event.simulate import Simulation

    grid = np.arange(steps + 1) * twin.dt
    read = twin.outputs if twin.readout == "current" else ()
    kept = list(dict.fromkeys((*loops, *read)))
    first = Simulation(network, {}, resolution=resolution, tol=tol, seed=seed, record={"currents": kept})
    course, spikes, currents = [], [], np.zeros((len(photons), steps + 1, len(loops)))
    for k, light in enumerate(photons):
        run = first.afresh(light, seed=seed + k, duration=float(grid[-1]))
        run.run(float(grid[-1]))
        rec = run.finish()
        spikes.append({name: np.asarray(rec.spikes[name]) for name in twin.plan.neuron_ids})
        for j, id_ in enumerate(loops):
            currents[k, :, j] = rec.current(id_, grid)
        if read:
            course.append(np.column_stack([rec.current(id_, grid[1:]) for id_ in read]))
        else:
            course.append(np.column_stack([_in_steps(spikes[-1][id_], twin.dt, steps) for id_ in twin.outputs]))
        if progress is not None:
            progress(k + 1, len(photons))
    outputs, _ = twin.pooling.forward(np.array(course))
    return Played(outputs * twin.pooling_scale, spikes, currents, loops)


def _in_steps(times: Array, dt: float, steps: int) -> Array:
    """Numbers of spikes by step; one at the end of a step belongs to it, as the twin has it."""
    step = np.ceil(times / dt - 1e-9).astype(int) - 1
    return np.bincount(np.clip(step, 0, None), minlength=steps)[:steps].astype(float)


def _both(twin: Twin, samples: Any, duration: float | None) -> tuple[Array, list[Any], float]:
    """(inputs of the twin, photons of the engine, ns)."""
    if isinstance(samples, Mapping) or hasattr(samples, "photons"):
        raise InputError("compare.samples: this is one stimulus; give a list of them")
    if len(samples) == 0:
        raise InputError("compare.samples: there is none; give some")
    if not isinstance(samples, np.ndarray) and (isinstance(samples[0], Mapping) or hasattr(samples[0], "photons")):
        if isinstance(duration, bool) or not isinstance(duration, int | float) or not 0.0 < duration < math.inf:
            raise InputError(f"compare.duration: {duration!r} is no time; with stimuli give one, in ns")
        return np.stack([twin.encode(each, duration) for each in samples]), list(samples), float(duration)
    inputs = np.asarray(samples)
    photons = photons_of(twin, inputs)
    span = inputs.shape[1] * twin.dt
    if duration is not None and not math.isclose(duration, span):
        raise InputError(
            f"compare.duration: {duration!r} ns, the samples have {inputs.shape[1]} steps of {twin.dt:g} ns; leave it out"
        )
    return inputs, photons, span


def _synapses(twin: Twin) -> dict[str, int]:
    """Which channel lights a synapse, found by lighting it."""
    found = {}
    for name in twin.network.synapses:
        try:
            lit = np.flatnonzero(twin.encode({name: [0.0]}, twin.dt)[0])
        except InputError:  # of no channel
            continue
        found[name] = int(lit[0])
    return found


def _loops(twin: Twin, loops: Iterable[str] | None) -> tuple[str, ...]:
    chosen = tuple(twin.plan.loop_ids) if loops is None else tuple(loops)
    faults = [
        f"compare.loops: no loop {name!r}{nearest(str(name), twin.plan.loop_index)}"
        for name in chosen
        if name not in twin.plan.loop_index
    ]
    if faults:
        raise InputError(faults)
    return chosen
