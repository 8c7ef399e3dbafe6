"""A teacher goes through data, and what it does is written down as :mod:`training.lessons` (S0.24)."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soen_event import files
from soen_event.errors import InputError, nearest
from training import data as datas
from training import lessons
from training.address import checked_seed, stream
from training.arguments import Faults
from training.data import Dataset
from training.evaluate import unchanged
from training.imitation import columns
from training.lessons import PARTS, Lesson
from training.model import Model, Run

__all__ = ["Recipe", "Teacher", "differences", "digest_of", "generate_teacher_trajectories", "recipe_of", "teach"]

Teacher = Model | Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Recipe:
    """How lessons are made of data.

    Args:
        subset_fraction: share of the examples of each split that is taken, above 0 to 1; the mix of the classes is kept.
        max_samples: at most so many of each split, 1 or more, or None.
        target_seq_len: steps that inputs are brought to (along a straight line between old ones), 1 or more, or None.
        scale_min, scale_max: inputs are moved so that those of the training data go from one to the other; those of other splits that
            would lie outside are put on the bound. Both or none.
        outputs: what is kept of the teacher: one or more of "states", "spikes", "outputs". The first is ``labels`` in the file.
        loops: ids of the teacher's loops or neurons whose states and spikes are kept; None: its outputs.
        val, test: shares of data that bring no splits.
        seed: 0 to 2**63 - 1: of the splits, the subset, and noise of a teacher that has any.
        dt: ns of a step of a teacher that does not tell.

    Raises:
        InputError: with every fault.
    """

    subset_fraction: float = 1.0
    max_samples: int | None = None
    target_seq_len: int | None = None
    scale_min: float | None = None
    scale_max: float | None = None
    outputs: str | Sequence[str] = "states"
    loops: Sequence[str] | None = None
    val: float = 0.2
    test: float = 0.1
    seed: int = 0
    dt: float | None = None

    def __post_init__(self) -> None:
        faults = Faults("lessons")
        faults.number("subset_fraction", self.subset_fraction, above=0.0, most=1.0)
        for name in ("max_samples", "target_seq_len"):
            if getattr(self, name) is not None:
                faults.whole(name, getattr(self, name), least=1)
        given = [name for name in ("scale_min", "scale_max") if getattr(self, name) is not None]
        bounds = [faults.number(name, getattr(self, name)) for name in given]
        if len(given) == 1:
            other = "scale_max" if given == ["scale_min"] else "scale_min"
            faults.add(other, f"missing, and {given[0]} is given; give both or none")
        elif len(given) == 2 and bounds[0] >= bounds[1]:
            faults.add("scale_min", f"{bounds[0]:g} is not below scale_max = {bounds[1]:g}; correct them")
        parts = [self.outputs] if isinstance(self.outputs, str) else list(self.outputs)
        if not parts:
            faults.add("outputs", f"there are none; give one or more of {', '.join(PARTS)}")
        for part in parts:
            faults.choice("outputs", part, PARTS)
        if len(set(parts)) < len(parts):
            faults.add("outputs", "one of them stands twice; leave it out")
        if self.loops is not None and (isinstance(self.loops, str) or not list(self.loops)):
            faults.add("loops", f"{self.loops!r} is no list of ids; give such as ['n0', 'n1'], or None")
        if self.dt is not None:
            faults.number("dt", self.dt, above=0.0)
        try:
            checked_seed(self.seed, "lessons.seed")
        except InputError as error:
            faults.found += error.faults
        faults.done()

    @property
    def parts(self) -> tuple[str, ...]:
        """``outputs`` as a tuple."""
        return (self.outputs,) if isinstance(self.outputs, str) else tuple(self.outputs)

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        held = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**held, "outputs": list(self.parts), "loops": None if self.loops is None else list(self.loops)}


def generate_teacher_trajectories(
    teacher: Teacher,
    data: Any,
    path: str | os.PathLike[str],
    subset_fraction: float = 1.0,
    max_samples: int | None = None,
    batch_size: int = 32,
    target_seq_len: int | None = None,
    scale_min: float | None = None,
    scale_max: float | None = None,
    outputs: str | Sequence[str] = "states",
    progress: bool | Callable[[int, int], None] | None = None,
    *,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Let a teacher go through data, and write down what it does (S0.24). A batch at a time is in memory, beside the data themselves.

    Args:
        teacher: a model, which is not changed; or a function of inputs (B, T, D) that returns a :class:`training.model.Run`, or the array
            of the one thing that ``outputs`` names.
        data: splits by name, a :class:`~training.data.Dataset`, (x, y), inputs (N, T, D) alone, or the path of an HDF5 file of
            :mod:`training.data`, which is read batch by batch.
        path: the file, HDF5 as :mod:`training.lessons` says; it is there whole or not at all. ``overwrite``: whether it may be replaced.
        batch_size: examples at a time.
        progress: True, False, a function of (examples done, examples in all), or None: shown if standard error is a terminal.
        subset_fraction, max_samples, target_seq_len, scale_min, scale_max, outputs, options: see :class:`Recipe`.

    Returns:
        The path.

    Raises:
        InputError: an option out of its range, data that the teacher refuses, or a teacher that does not give what is asked for, or
            values that are not finite.
    """
    import h5py

    recipe = recipe_of(
        {
            "subset_fraction": subset_fraction, "max_samples": max_samples, "target_seq_len": target_seq_len,
            "scale_min": scale_min, "scale_max": scale_max, "outputs": outputs, **options,
        }
    )  # fmt: skip
    with (
        files.replacement(path, overwrite=overwrite, make_folders=True) as temporary,
        h5py.File(temporary, "w") as file,
    ):
        teach(file, teacher, data, recipe, batch_size, progress)
    return Path(path)


def recipe_of(options: Mapping[str, Any]) -> Recipe:
    """The recipe of options by name.

    Raises:
        InputError: an option that there is not, or one out of its range.
    """
    known = list(Recipe.__dataclass_fields__)
    faults = [f"lessons.{name}: there is no such option{nearest(name, known)}" for name in options if name not in known]
    if faults:
        raise InputError([f"{fault}; known: {', '.join(known)}" for fault in faults])
    return Recipe(**options)


# ---------------------------------------------------------------------------------------------- the teacher


def digest_of(teacher: Teacher) -> str | None:
    """A checksum of a model: its values, and of a twin its network and how it is read. None for a function."""
    if not isinstance(teacher, Model):
        return None
    total = hashlib.blake2b(type(teacher).__name__.encode(), digest_size=16)
    plan = getattr(teacher, "plan", None)
    if plan is not None:
        total.update(str(plan.digest).encode())
    about = {
        name: getattr(teacher, name, None)
        for name in ("dt", "readout", "pooling_scale", "outputs", "channels", "pooling")
    }
    total.update(repr(about).encode())
    for name, array in sorted(teacher.parameters().items()):
        total.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


class _Asked:
    """A teacher that is asked for some parts of what it does."""

    def __init__(self, teacher: Teacher, recipe: Recipe):
        if not isinstance(teacher, Model) and not callable(teacher):
            raise InputError(
                f"lessons.teacher: {type(teacher).__name__} is neither a model nor a function; give a twin, or a function of inputs"
            )
        self.teacher, self.recipe = teacher, recipe
        own = getattr(teacher, "dt", None)
        if own is not None and recipe.dt is not None and not math.isclose(own, recipe.dt, rel_tol=1e-9):
            raise InputError(f"lessons.dt: {recipe.dt:g} ns is given, and the teacher has {own:g}; leave it out")
        self.dt = float(own) if own is not None else recipe.dt
        self.names: dict[str, list[str]] = {}

    def about(self) -> dict[str, Any]:
        """Kind, digest, and of a twin what its loops are made of."""
        teacher, model = self.teacher, isinstance(self.teacher, Model)
        kind = type(teacher).__name__ if model else getattr(teacher, "__qualname__", type(teacher).__name__)
        network = getattr(teacher, "network", None)
        found = {"kind": kind, "digest": digest_of(teacher)}
        if network is not None:
            each = [*network.dendrites.values(), *(neuron.soma for neuron in network.neurons.values())]
            found["source_functions"] = sorted({part.kind for part in each})
            found["channels"] = list(getattr(teacher, "channels", ()))
        return found

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """What it does with a batch, by part."""
        run: Any
        if isinstance(self.teacher, Model):
            with unchanged(self.teacher, None):
                run = self.teacher.forward(x, train=False, rng=rng)
        else:
            run = self.teacher(x)
            if not isinstance(run, Run):
                if len(self.recipe.parts) > 1:
                    raise InputError(
                        f"lessons.outputs: a function that returns an array gives one part, not {', '.join(self.recipe.parts)}; "
                        "let it return a training.model.Run"
                    )
                return {self.recipe.parts[0]: self._judged(self.recipe.parts[0], np.asarray(run), x)}
        found = {}
        for part in self.recipe.parts:
            course = getattr(run, part)
            if course is None:
                raise InputError(f"lessons.outputs: the teacher gives no {part}; ask for something else")
            if part != "outputs":
                chosen, names = columns(self.teacher, part, self.recipe.loops, course.shape[-1], "lessons")
                self.names.setdefault(part, names)
                course = course[:, :, chosen]
            found[part] = self._judged(part, np.asarray(course), x)
        return found

    def _judged(self, part: str, array: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The array, if it can be what it is said to be."""
        if array.dtype.kind not in "biuf":
            raise InputError(f"lessons.teacher: {part} of type {array.dtype} are not numbers; return numbers")
        count, steps = x.shape[:2]
        allowed = {"states": (steps, steps + 1), "spikes": (steps,)}.get(part)
        fits = array.ndim == 3 and array.shape[1] in allowed if allowed else array.ndim in (2, 3)
        if not fits or len(array) != count or 0 in array.shape:
            wanted = {"states": f"({count}, {steps + 1}, C)", "spikes": f"({count}, {steps}, C)"}.get(
                part, f"({count}, C) or ({count}, T, C)"
            )
            raise InputError(f"lessons.teacher: {part} of shape {array.shape}; return {wanted}")
        if not np.isfinite(array).all():
            raise InputError(f"lessons.teacher: {part} are not all finite; look at the teacher and at its inputs")
        if part not in self.names:
            ids = getattr(self.teacher, "outputs", None) if part == "outputs" else None
            own = [str(k) for k in range(array.shape[-1])]
            self.names[part] = list(ids) if ids is not None and len(ids) == array.shape[-1] else own
        if array.shape[-1] != len(self.names[part]):
            raise InputError(
                f"lessons.teacher: {part} of {array.shape[-1]} columns after some of {len(self.names[part])}; return always as many"
            )
        return array if array.dtype.kind == "f" else array.astype(np.float32)


# ---------------------------------------------------------------------------------------------- the data


def _sources(data: Any, recipe: Recipe) -> dict[str, tuple[Dataset, np.ndarray]]:
    """Data sets and the numbers of their examples, by split."""
    if isinstance(data, str | os.PathLike):
        data = datas.load(data, cache=False)
    if isinstance(data, np.ndarray):
        data = Dataset(data, None)
    elif isinstance(data, tuple | list) and len(data) == 2:
        data = Dataset(*data)
    if isinstance(data, Mapping) and set(data) == {"all"}:
        data = data["all"]
    if isinstance(data, Dataset):
        members = datas.split_numbers(data, recipe.val, recipe.test, seed=recipe.seed)
        splits = {name: (data, chosen) for name, chosen in members.items()}
    elif isinstance(data, Mapping):
        faults = [
            f"lessons.data: {name!r} is no split{nearest(str(name), lessons.SPLITS)}; name them train, val and test"
            for name in data
            if name not in lessons.SPLITS
        ]
        if "train" not in data:
            faults.append("lessons.data: has no split 'train'; give one")
        if faults:
            raise InputError(faults)
        splits = {
            name: (each if isinstance(each, Dataset) else Dataset(*each), np.arange(0)) for name, each in data.items()
        }
        splits = {name: (each, np.arange(len(each))) for name, (each, _) in splits.items()}
    else:
        raise InputError(f"lessons.data: {type(data).__name__} is no data; give splits, a Dataset, (x, y) or a path")
    return {name: (each, _subset(each, chosen, name, recipe)) for name, (each, chosen) in splits.items()}


def _subset(data: Dataset, chosen: np.ndarray, split: str, recipe: Recipe) -> np.ndarray:
    count = max(1, round(recipe.subset_fraction * len(chosen)))
    count = min(count, recipe.max_samples or count)
    if count == len(chosen):
        return chosen
    return np.sort(datas.mixed_order(data, chosen, stream(recipe.seed, "lessons", "subset", split))[:count])


class _Prepared:
    """Batches of a split as the teacher and the student see them."""

    def __init__(self, sources: Mapping[str, tuple[Dataset, np.ndarray]], recipe: Recipe, batch_size: int):
        self.sources, self.recipe, self.batch_size = sources, recipe, batch_size
        self.range: tuple[float, float] | None = None
        if recipe.scale_min is not None:
            data, chosen = sources["train"]
            low, high = math.inf, -math.inf
            for first in range(0, len(chosen), batch_size):
                x, _ = data.batch(chosen[first : first + batch_size])
                low, high = min(low, float(x.min())), max(high, float(x.max()))
            if not low < high:
                raise InputError(
                    f"lessons.scale_min: all inputs are {low:g}, which cannot be spread; leave scale_min and scale_max out"
                )
            self.range = low, high

    def batch(self, split: str, first: int) -> tuple[np.ndarray, Any]:
        """Inputs and true answers (or None) of the examples from ``first`` on."""
        data, chosen = self.sources[split]
        y: Any
        x, y = data.batch(chosen[first : first + self.batch_size])
        y = y.answers if isinstance(y, Lesson) else None if data.autoencoding else y
        if self.recipe.target_seq_len is not None:
            x, y = datas.with_steps(x, y, self.recipe.target_seq_len)
        if self.range is not None:
            (low, high), (least, most) = self.range, (self.recipe.scale_min or 0.0, self.recipe.scale_max or 0.0)
            x = np.clip(least + (x - low) * ((most - least) / (high - low)), least, most).astype(x.dtype, copy=False)
        return x, y


def teach(file: Any, teacher: Teacher, data: Any, recipe: Recipe, batch_size: int, progress: Any) -> None:
    """Write lessons into an open file."""
    faults = Faults("lessons")
    faults.whole("batch_size", batch_size, least=1)
    faults.done()
    show = _shown(progress)
    asked = _Asked(teacher, recipe)
    sources = _sources(data, recipe)
    try:
        prepared = _Prepared(sources, recipe, batch_size)
        total, done = sum(len(chosen) for _, chosen in sources.values()), 0
        for split, (source, chosen) in sources.items():
            group = file.create_group(split)
            if source.classes is not None:
                group.attrs["classes"] = source.classes
            for first in range(0, len(chosen), batch_size):
                x, answers = prepared.batch(split, first)
                rows = {"data": x, **asked(x, stream(recipe.seed, "lessons", split, first))}
                if answers is not None:
                    rows["answers"] = np.asarray(answers)
                _put(group, rows, first, len(chosen))
                done += len(x)
                show(done, total)
            group["labels"] = group[recipe.parts[0]]
        file.attrs["format"], file.attrs["version"] = lessons.FORMAT, lessons.VERSION
        file.attrs["meta"] = json.dumps(
            {
                "dt": asked.dt, "teacher": asked.about(), "seed": recipe.seed, "parts": list(recipe.parts),
                "names": asked.names, "input_range": prepared.range,
                "recipe": {**recipe.plain(), "data": _digests(sources)},
            }
        )  # fmt: skip
    finally:
        if isinstance(data, str | os.PathLike):
            for each in {id(source): source for source, _ in sources.values()}.values():
                _close(each.x)


def _close(x: Any) -> None:
    """Close the file that an array is in."""
    if datas._in_file(x) and x.id.valid:
        x.file.close()


def _digests(sources: Mapping[str, tuple[Dataset, np.ndarray]]) -> dict[str, str]:
    """Of the data, before a subset is taken: the rest is told by the recipe."""
    return {split: source.digest() for split, (source, _) in sources.items()}


def differences(teacher: Teacher, data: Any, recipe: Recipe, path: str | os.PathLike[str]) -> list[str]:
    """In what a file differs from what would be written now: faults."""
    meta = lessons.meta_of(path, str(path))
    now = {
        **json.loads(json.dumps(recipe.plain())),
        "data": _digests(_sources(data, recipe)),
        "teacher": digest_of(teacher),
    }
    then = {**(meta.get("recipe") or {}), "teacher": (meta.get("teacher") or {}).get("digest")}
    faults = []
    for name, value in now.items():
        if then.get(name) != value:
            what = {"teacher": "is of another teacher", "data": "is of other data"}.get(
                name, f"was written with {name} = {then.get(name)!r}, now it is {value!r}"
            )
            faults.append(f"{path}: {what}; name another file, or remove this one")
    return faults


def _put(group: Any, rows: Mapping[str, np.ndarray], first: int, count: int) -> None:
    """Rows of a batch in their places; the arrays are made with the first of them."""
    for name, array in rows.items():
        if first == 0:
            each = max(1, (1 << 18) // max(1, array[0].nbytes))
            squeezed = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if name == "spikes" else {}
            group.create_dataset(
                name, shape=(count, *array.shape[1:]), dtype=array.dtype, chunks=(min(each, count), *array.shape[1:]),
                fletcher32=True, **squeezed,
            )  # fmt: skip
        if group[name].shape[1:] != array.shape[1:]:
            raise InputError(
                f"lessons.{name}: examples of shape {array.shape[1:]} after some of {group[name].shape[1:]}; give all the same"
            )
        group[name][first : first + len(array)] = array


def _shown(progress: Any) -> Callable[[int, int], None]:
    import sys

    if callable(progress):
        told: Callable[[int, int], None] = progress
        return told
    if progress is not None and not isinstance(progress, bool):
        raise InputError(f"lessons.progress: {progress!r} is none of True, False, None and a function")
    if progress is False or (progress is None and not sys.stderr.isatty()):
        return lambda done, total: None

    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\rlessons: {done} of {total} examples" + ("\n" if done == total else ""))
        sys.stderr.flush()

    return show
