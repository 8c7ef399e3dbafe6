"""Distillation: a student learns what a teacher does (S0.24, features.md 3.6 direction 1).

    from training.distill import distill, generate_teacher_trajectories, validate_distillation_dataset

    generate_teacher_trajectories(teacher, data, "lessons.h5", outputs=("states", "outputs"))
    print(validate_distillation_dataset("lessons.h5"))
    found = distill(None, student, "lessons.h5", loss={"trajectory_mse": 1.0, "softmax_kl": 0.1}, epochs=20)

The teacher is a trained twin, any other model, or a function of inputs. The student is any model: a twin of a smaller network, of one
that a chip's limits have shaped, with a callback ``qat`` of a quantised one. Losses: :mod:`training.imitation`, and all others, which
see the true answers. A configuration does the same with ``training.paradigm: distillation`` and a block ``distillation:``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soen_event.errors import InputError
from training import lessons
from training.imitation import parts_of
from training.lessons import Lessons, Summary
from training.lessons import validate as validate_distillation_dataset
from training.loop import Trainer
from training.model import Model
from training.objective import Sum, make
from training.teacher import Recipe, Teacher, differences, digest_of, generate_teacher_trajectories, recipe_of, teach

__all__ = [
    "Distilled", "Recipe", "digest_of", "distill", "generate_teacher_trajectories", "lessons_for",
    "validate_distillation_dataset",
]  # fmt: skip

# ---------------------------------------------------------------------------------------------- lessons and the student


def lessons_for(
    teacher: Teacher | None,
    data: Any,
    recipe: Recipe | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    batch_size: int = 32,
    dt: float | None = None,
    parts: Sequence[str] = (),
    cache: bool = True,
    progress: Any = None,
) -> tuple[dict[str, Lessons], Summary]:
    """Lessons by split, and what is in them: from a file that is there, or else from a teacher, kept in that file if one is named.

    A file that is there must be of this teacher, these data and this recipe, as far as these are given.

    Args:
        teacher: None: the file is taken as it is, and ``data`` and ``recipe`` are not looked at.
        data, recipe, batch_size, progress: see :func:`generate_teacher_trajectories`.
        path: the file, or None: lessons are made in memory.
        dt: ns, the student's step, which must be the lessons'.
        parts: of the lessons that the student's losses look at.
        cache: whether a file is read into memory.

    Raises:
        InputError: what :func:`generate_teacher_trajectories` and :func:`validate_distillation_dataset` refuse; a file of something else;
            neither a file nor a teacher.
    """
    recipe = recipe or Recipe(outputs=tuple(parts) or "states")
    there = path is not None and Path(path).is_file()
    if teacher is None and not there:
        what = f"{path} is not there" if path is not None else "there is no file of lessons"
        raise InputError(f"lessons.teacher: missing, and {what}; give a teacher or such a file")
    if path is None and teacher is not None:
        import h5py

        with h5py.File(io.BytesIO(), "w") as file:
            teach(file, teacher, data, recipe, batch_size, progress)
            summary = lessons.examine(file, "lessons", dt=dt, required=("train",))
            found = lessons.splits_of(file, "lessons", cache=True)
    elif path is not None:
        if teacher is not None and not there:
            try:
                generate_teacher_trajectories(
                    teacher, data, path, batch_size=batch_size, progress=progress, **recipe.plain()
                )
            except InputError:
                there = Path(path).is_file()  # someone else has written it meanwhile
                if not there:
                    raise
        if teacher is not None and there:
            faults = differences(teacher, data, recipe, path)
            if faults:
                raise InputError(faults)
        summary = lessons.validate(path, dt=dt, required=("train",))
        found = lessons.load(path, cache=cache)
    lacking = [part for part in parts if part not in summary.columns]
    if lacking:
        raise InputError(
            f"lessons.outputs: {', '.join(summary.columns)} are there, and a loss looks at {', '.join(lacking)}; write them as well"
        )
    return found, summary


@dataclass
class Distilled:
    """What a distillation came to.

    ``history``: metrics of every epoch. ``before``, ``after``: loss and metrics of the student on the test split (or else on the validation
    split, or the training data). ``summary``: what the lessons hold. ``trainer``: to go on with.
    """

    history: list[dict[str, Any]]
    before: dict[str, float]
    after: dict[str, float]
    summary: Summary
    trainer: Any = field(repr=False)


def distill(
    teacher: Teacher | None,
    student: Model,
    data: Any,
    *,
    loss: Any = "trajectory_mse",
    optimizer: Any = "adam",
    epochs: int = 10,
    batch_size: int = 32,
    path: str | os.PathLike[str] | None = None,
    seed: int = 0,
    lessons_options: Mapping[str, Any] | None = None,
    progress: Any = None,
    **options: Any,
) -> Distilled:
    """Let a student learn from a teacher, in one call. The student is trained in place.

    Args:
        teacher: see :func:`generate_teacher_trajectories`; None if ``data`` is the path of a file of lessons.
        student: any model, run with the teacher's dt.
        data: what the teacher goes through, or the path of a file of lessons, which then must be the teacher's if one is given.
        loss: name, loss, or weights by name: {"trajectory_mse": 1.0, "van_rossum": 0.1, "softmax_kl": 0.1, "cross_entropy": 1.0}. At
            least one looks at the teacher; what they look at is what is asked of it. Other losses see the true answers.
        epochs, batch_size, seed: of the training; the seed is also that of the lessons.
        path: where lessons are kept; None: in memory.
        lessons_options: of :class:`Recipe`: subset_fraction, scale_min, loops, ...
        progress: of the lessons and of the training.
        options: of :class:`training.loop.Trainer`: metrics, callbacks, scheduler, clip_norm, ...

    Raises:
        InputError: what the parts refuse; a loss that does not look at the teacher.
    """
    several = isinstance(loss, list | tuple) or (isinstance(loss, Mapping) and "name" not in loss)
    made = Sum(loss) if several else make(loss)
    parts = parts_of(made)
    if not parts:
        raise InputError(
            f"distill.loss: {made.name} does not look at the teacher; give trajectory_mse, van_rossum or softmax_kl, or a sum with one"
        )
    trainer = Trainer(student, optimizer, loss=made, seed=seed, progress=progress, **options)
    if isinstance(data, str | os.PathLike) and _are_lessons(data):
        found, summary = lessons_for(None, None, None, data, dt=getattr(student, "dt", None), parts=parts)
        own = None if teacher is None else digest_of(teacher)
        if own is not None and summary.teacher.get("digest") != own:
            raise InputError(
                f"distill.teacher: {data} is of another teacher; leave the teacher out, or write lessons of it"
            )
    else:
        recipe = recipe_of({"outputs": parts, "seed": seed, **(lessons_options or {})})
        found, summary = lessons_for(
            teacher, data, recipe, path, batch_size=batch_size, dt=getattr(student, "dt", None), parts=parts, progress=progress
        )  # fmt: skip
    judged = found.get("test") or found.get("val") or found["train"]
    before = trainer.validate(judged)
    history = trainer.fit(found["train"], found.get("val"), epochs, batch_size=batch_size)
    return Distilled(history, before, trainer.validate(judged), summary, trainer)


def _are_lessons(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one of lessons, not of plain data; a missing one is told by whoever reads it."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == lessons.FORMAT)
    except OSError:
        return False
