"""Losses that compare a student's run with what its teacher did (features.md 3.6): trajectories, spike trains, outputs.

Time courses come from ``run.states`` and ``run.spikes``, which hold every step whatever the pooling of the outputs is, and gradients
go back the same way. So a student whose outputs are pooled learns trajectories all the same. ``run.outputs`` is compared as it is.

What the teacher did is a :class:`training.lessons.Lesson`, from which each loss takes its part (``of``), or that part itself as an
array. Columns of the teacher are compared with the student's outputs in their order, or with those that ``loops`` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter

from soen_event.errors import InputError, nearest
from training.arguments import Faults
from training.lessons import PARTS, Lesson
from training.losses import MSE, _outputs, _softmax
from training.model import LossValue, Run
from training.objective import Bounded, Sum
from training.registry import register

__all__ = ["Imitation", "SoftmaxKL", "TrajectoryMSE", "VanRossum", "columns", "parts_of", "spike_distance"]


def columns(model: Any, part: str, ids: Sequence[str] | None, width: int, place: str) -> tuple[np.ndarray, list[str]]:
    """Which columns of a run's ``states`` or ``spikes`` are meant, and their names.

    Args:
        model: that made the run. Ids need one with ``plan``, such as the twin.
        part: "states" or "spikes".
        ids: of loops (an id of a neuron is its soma) or neurons; None: the model's ``outputs``, or all columns of a model without.
        width: number of columns of the run.
        place: begins messages.

    Raises:
        InputError: an id that the model does not have, or that makes no spikes.
    """
    plan = getattr(model, "plan", None)
    if ids is None:
        ids = getattr(model, "outputs", None)
    if plan is None:
        if ids is not None:
            raise InputError(f"{place}.loops: {type(model).__name__} has no plan to find them in; leave them out")
        return np.arange(width), [str(k) for k in range(width)]
    known = list(plan.neuron_ids) if part == "spikes" else list(plan.loop_index)
    ids = list(plan.neuron_ids if ids is None and part == "spikes" else plan.loop_ids if ids is None else ids)
    faults = []
    for name in ids:
        if name not in known:
            silent = part == "spikes" and name in plan.loop_index
            what = "makes no spikes" if silent else f"is not in the network{nearest(str(name), known)}"
            faults.append(f"{place}.loops: {name!r} {what}; give ids of {'neurons' if part == 'spikes' else 'loops'}")
    if faults:
        raise InputError(faults)
    row = {name: k for k, name in enumerate(plan.neuron_ids)} if part == "spikes" else plan.loop_index
    return np.array([row[name] for name in ids], dtype=np.int64), ids


class Imitation(Bounded):
    """A loss that looks at what a teacher did. ``taught``: the part of a :class:`~training.lessons.Lesson` that it needs."""

    loops: Sequence[str] | None = None

    @property
    def taught(self) -> str:
        """The part that is compared."""
        return "states"

    def _judge(self, faults: Faults) -> None:
        loops = self.loops
        if loops is not None and (
            isinstance(loops, str) or not loops or not all(isinstance(name, str) for name in loops)
        ):
            faults.add("loops", f"{loops!r} is no list of ids; give such as ['n0', 'n1'], or None for the outputs")

    def wanted(self, targets: Any) -> np.ndarray:
        """What the teacher did.

        Raises:
            InputError: the lesson does not hold it, or it is not of numbers.
        """
        part = self.taught
        if isinstance(targets, Lesson):
            if part not in targets.parts:
                known = ", ".join(targets.parts)
                raise InputError(
                    f"{self.name}.targets: the lessons hold {known}, not {part}; write them with outputs={part!r}"
                )
            return np.asarray(targets.parts[part])
        wanted = np.asarray(targets)
        if wanted.dtype.kind not in "iufb":
            raise InputError(f"{self.name}.targets: the type {wanted.dtype} is not that of numbers; give lessons")
        return wanted

    def seen(self, run: Run, wanted: np.ndarray, model: Any) -> tuple[np.ndarray, np.ndarray]:
        """The course (B, T, C) of the run that is compared, and its columns in the run.

        Raises:
            InputError: the run does not have it, or the teacher has another number of columns.
        """
        part = self.taught
        course = getattr(run, part)
        if course is None:
            raise InputError(
                f"{self.name}.{part}: the model gives none; use one that does, such as a twin with keep_states"
            )
        chosen, _ = columns(model, part, self.loops, course.shape[-1], self.name)
        if wanted.ndim != 3 or wanted.shape[-1] != len(chosen) or len(wanted) != len(course):
            raise InputError(
                f"{self.name}.targets: the shape is {wanted.shape}; {len(chosen)} columns of the student are compared, in "
                f"{len(course)} examples of {course.shape[1]} steps; give lessons of as many, or the student's loops"
            )
        return np.asarray(course[:, :, chosen]), chosen


def parts_of(loss: Any) -> tuple[str, ...]:
    """The parts of lessons that a loss, or any part of a sum, looks at."""
    if isinstance(loss, Sum):
        found = {part for each in loss.losses.values() for part in parts_of(each)}
        return tuple(part for part in PARTS if part in found)
    return (loss.taught,) if isinstance(loss, Imitation) else ()


@register("loss", "trajectory_mse")
@dataclass(frozen=True)
class TrajectoryMSE(Imitation):
    """mean of (s - s_teacher)^2 over examples, steps and loops (S0.24, S0.L2).

    Args:
        of: "states" (currents), "spikes" or "outputs".
        loops: ids of the student's loops or neurons, in the order of the teacher's columns; None: its outputs.

    Teachers with T steps instead of T + 1 are compared from the first step on. ``of="outputs"`` compares as ``mse`` does.
    """

    of: str = "states"
    loops: Sequence[str] | None = None
    name = "trajectory_mse"

    @property
    def taught(self) -> str:
        """The part that is compared."""
        return self.of

    def _judge(self, faults: Faults) -> None:
        super()._judge(faults)
        faults.choice("of", self.of, PARTS)
        if self.of == "outputs" and self.loops is not None:
            faults.add("loops", "outputs are compared as they are; leave loops out")

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        wanted = self.wanted(targets)
        if self.of == "outputs":
            outputs = _outputs(run, self.name, (2, 3))
            if wanted.ndim != outputs.ndim:
                raise InputError(
                    f"{self.name}.targets: the teacher's outputs are {wanted.shape}, the student's {outputs.shape}; "
                    "give both the same pooling"
                )
            return MSE()(Run(outputs=outputs), wanted)
        course, chosen = self.seen(run, wanted, model)
        if course.shape[1] not in (wanted.shape[1], wanted.shape[1] + (self.of == "states")):
            raise InputError(
                f"{self.name}.targets: the teacher has {wanted.shape[1]} steps of {self.of}, the student {course.shape[1]}; "
                "run both on the same steps"
            )
        found = MSE()(course, wanted)
        told = LossValue(found.value)
        setattr(told, self.of, _put(getattr(run, self.of), chosen, found.outputs))
        return told


def spike_distance(one: Any, other: Any, dt: float, tau: float) -> tuple[np.ndarray, np.ndarray]:
    """Squared van Rossum distance of spike trains on a time grid, and its gradient by the first.

    D^2 = 1/tau integral of (f - g)^2, f = sum over spikes of exp(-(t - t_i)/tau) after each, exactly, to infinite time
    (van Rossum 2001; features.md 2.2). One unmatched spike: 1/2. Spikes at 10 and 15, tau = 10: 0.393469.

    Args:
        one, other: (..., T), spikes in each step; they may be parts of one.
        dt: of a step, above 0. tau: above 0, in the same unit.

    Returns:
        (D^2 (...), gradient (..., T)), float64.
    """
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    keep = np.exp(-dt / tau)
    course = lfilter([1.0], [1.0, -keep], difference, axis=-1)
    share = np.full(course.shape[-1], -0.5 * np.expm1(-2.0 * dt / tau))  # of a step; the last one goes on for ever
    share[-1] = 0.5
    slope = lfilter([1.0], [1.0, -keep], (2.0 * share * course)[..., ::-1], axis=-1)[..., ::-1]
    return np.sum(share * course**2, axis=-1), slope


@register("loss", "van_rossum")
@dataclass(frozen=True)
class VanRossum(Imitation):
    """mean over examples and neurons of the squared van Rossum distance of spike trains, see :func:`spike_distance`.

    Its gradient is exact by the spikes, and goes on through the twin's surrogate.

    Args:
        tau: ns, above 0: how far apart spikes may be to count as near.
        dt: ns of a step; None: the model's.
        loops: ids of the student's neurons, in the order of the teacher's columns; None: its outputs.
    """

    tau: float = 10.0
    dt: float | None = None
    loops: Sequence[str] | None = None
    name = "van_rossum"
    positive = ("tau",)

    @property
    def taught(self) -> str:
        """The part that is compared."""
        return "spikes"

    def _judge(self, faults: Faults) -> None:
        super()._judge(faults)
        if self.dt is not None:
            faults.number("dt", self.dt, above=0.0)

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        wanted = self.wanted(targets)
        course, chosen = self.seen(run, wanted, model)
        dt = self.dt if self.dt is not None else getattr(model, "dt", None)
        if dt is None:
            raise InputError(f"{self.name}.dt: missing, and the model has none; give the ns of a step")
        if course.shape != wanted.shape:
            raise InputError(
                f"{self.name}.targets: the teacher has {wanted.shape[1]} steps, the student {course.shape[1]}; "
                "run both on the same steps"
            )
        squares, slope = spike_distance(course.transpose(0, 2, 1), wanted.transpose(0, 2, 1), float(dt), self.tau)
        gradient = slope.transpose(0, 2, 1) / squares.size
        return LossValue(float(np.mean(squares)), spikes=_put(np.asarray(run.spikes), chosen, gradient))


@register("loss", "softmax_kl", "distillation_kl")
@dataclass(frozen=True)
class SoftmaxKL(Imitation):
    """T^2 mean of KL(softmax(z_teacher/T) || softmax(z/T)) over examples, and steps where outputs have any (Hinton et al. 2015).

    The factor T^2 keeps the size of the gradient, T (softmax(z/T) - softmax(z_teacher/T)), when T changes, so that weights against
    other losses need no change.

    Args:
        temperature: T, above 0; the higher, the more of the small outputs is learnt.
    """

    temperature: float = 2.0
    name = "softmax_kl"
    positive = ("temperature",)

    @property
    def taught(self) -> str:
        """The part that is compared."""
        return "outputs"

    def value(self, run: Run, targets: Any, model: Any, rng: np.random.Generator | None) -> LossValue:
        """Mean and gradient."""
        outputs, wanted = _outputs(run, self.name, (2, 3)), self.wanted(targets)
        if wanted.shape != outputs.shape:
            raise InputError(
                f"{self.name}.targets: the teacher's outputs are {wanted.shape}, the student's {outputs.shape}; "
                "give both as many outputs and the same pooling"
            )
        count, hot = outputs.size // outputs.shape[-1], self.temperature
        p, log_p = _softmax(wanted.astype(np.float64) / hot)
        q, log_q = _softmax(outputs.astype(np.float64) / hot)
        value = hot**2 * np.sum(p * (log_p - log_q)) / count
        gradient = hot / count * (q - p)
        return LossValue(float(value), outputs=gradient.astype(outputs.dtype, copy=False))


def _put(like: np.ndarray, chosen: np.ndarray, gradient: Any) -> np.ndarray:
    """Gradient by all columns of a run from that by some; a column that stands twice gets both."""
    whole = np.zeros_like(like)
    np.add.at(whole.transpose(2, 0, 1), chosen, gradient.transpose(2, 0, 1))
    return whole
