"""Lessons: what a teacher did with inputs, for a student to learn from; as data, and as a file that can be checked (S0.24).

    from training import lessons

    print(lessons.validate("lessons.h5"))            # every fault at once, or a summary
    train = lessons.load("lessons.h5")["train"]      # a Dataset, whose batches are (inputs, Lesson)

A file is HDF5, because that can be written and read batch by batch, which an NPZ cannot. In a group ``train``, ``val`` and ``test`` each:
``data`` (N, T, D), the inputs; any of ``states`` (N, T + 1, C), ``spikes`` (N, T, C) and ``outputs`` (N, C) or (N, T, C) of the teacher;
``labels``, the first of these under the name that :func:`training.data.load` reads; ``answers`` (N, ...), the true ones, where the data
had any. ``meta`` is JSON: ``dt`` (ns), ``teacher``, ``seed``, ``names`` of the columns, ``parts`` and the ``recipe`` of the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from soen_event.errors import InputError, checked_path, nearest
from training import data
from training.arguments import existing
from training.data import Dataset

__all__ = ["PARTS", "Lesson", "Lessons", "Summary", "load", "meta_of", "validate"]

FORMAT, VERSION = "soen_lessons", 1
PARTS = ("states", "spikes", "outputs")
SPLITS = ("train", "val", "test")
_SCANNED = 1 << 22  # values that are looked at in one go


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a batch of examples should give. For numpy it is the true answers, so that every loss and metric can be used with it.

    Args:
        parts: of the teacher, by name (see :data:`PARTS`), each (B, ...).
        answers: the true ones (B, ...), or None: then the first part stands for them.
    """

    parts: Mapping[str, np.ndarray]
    answers: np.ndarray | None = None

    @property
    def truth(self) -> np.ndarray:
        """The answers, or else the first part."""
        return self.answers if self.answers is not None else next(iter(self.parts.values()))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is None:
            return np.asarray(self.truth, dtype=dtype)
        return np.array(self.truth, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, chosen: Any) -> Any:
        """Of the answers."""
        return self.truth[chosen]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the answers."""
        return self.truth.shape

    @property
    def ndim(self) -> int:
        """Of the answers."""
        return self.truth.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the answers."""
        return self.truth.dtype


class Lessons(Dataset):
    """A data set with what a teacher did; batches are (x (B, T, D), :class:`Lesson`).

    Args:
        x: (N, T, D), inputs.
        parts: of the teacher, by name, (N, ...) each; arrays, or open HDF5 datasets that are read batch by batch.
        answers: the true ones (N, ...), or None.
        classes: number of classes, where the answers are labels.
        name: for messages. ``meta``: what is known about them.

    Raises:
        InputError: no part or one of another name, numbers of examples that differ, or what :class:`~training.data.Dataset` refuses.
    """

    def __init__(
        self,
        x: Any,
        parts: Mapping[str, Any],
        answers: Any = None,
        *,
        classes: int | None = None,
        name: str = "Lessons",
        meta: Mapping[str, Any] | None = None,
    ):
        faults = [f"{name}.parts: {part!r} is none{nearest(str(part), PARTS)}" for part in parts if part not in PARTS]
        if not parts:
            faults.append(f"{name}.parts: there are none; give one of {', '.join(PARTS)}")
        faults += [
            f"{name}.{part}: there are {len(each)} for {len(x)} examples; give one for each"
            for part, each in parts.items()
            if len(each) != len(x)
        ]
        if faults:
            raise InputError(faults)
        self.parts = dict(parts)
        self.answered = answers is not None
        self.meta = dict(meta or {})
        first = next(iter(self.parts.values()))
        inside = np.zeros(len(x)) if data._in_file(first) else first  # what stays in its file is not read here
        super().__init__(x, answers if self.answered else inside, classes=classes, name=name)

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, Any]:
        """Inputs (B, T, D) and the :class:`Lesson` of the examples with these numbers, in this order."""
        parts = {name: data._read(each, chosen) for name, each in self.parts.items()}
        return data._read(self.x, chosen), Lesson(parts, self.y[chosen] if self.answered else None)

    def subset(self, chosen: Any, name: str | None = None) -> Lessons:
        """The examples with these numbers, in memory."""
        kept = super().subset(chosen, name)
        parts = {part: data._read(each, np.asarray(chosen)) for part, each in self.parts.items()}
        return Lessons(
            kept.x, parts, kept.y if self.answered else None, classes=self.classes, name=kept.name, meta=self.meta
        )

    def one_hot(self) -> Lessons:
        """The same with answers (N, C) of zeros and a one."""
        hot = super().one_hot().y
        return Lessons(self.x, self.parts, hot, name=self.name, meta=self.meta)

    def digest(self) -> str:
        """A checksum of inputs, answers and parts; of large ones as :meth:`training.data.Dataset.digest`."""
        if self._digest is None:
            total = hashlib.blake2b(Dataset.digest(self).encode(), digest_size=16)
            for name, part in self.parts.items():
                total.update(f"{name} ".encode())
                data._hash_rows(total, part)
            self._digest = total.hexdigest()
        return self._digest


# ---------------------------------------------------------------------------------------------- files


def load(path: str | os.PathLike[str], *, cache: bool = True) -> dict[str, Lessons]:
    """The splits of a file of lessons.

    Args:
        path: a file of :func:`training.distill.generate_teacher_trajectories`.
        cache: read all into memory; otherwise batches are read when they are wanted, and the file stays open.

    Raises:
        InputError: no such file, or one of another kind.
    """
    file = _opened(path)
    try:
        return splits_of(file, Path(path).name, cache)
    finally:
        if cache:
            file.close()


def splits_of(file: Any, name: str, cache: bool) -> dict[str, Lessons]:
    """The splits of an open file."""
    meta, found = meta_of(file, name), {}
    for split in SPLITS:
        if split in file:
            group = file[split]
            parts = {part: group[part][()] if cache else group[part] for part in PARTS if part in group}
            answers = group["answers"][()] if "answers" in group else None
            classes = group.attrs.get("classes")
            x = group["data"][()] if cache else group["data"]
            count = None if classes is None else int(classes)
            found[split] = Lessons(x, parts, answers, classes=count, name=f"{name}:{split}", meta=meta)
    return found


def _opened(path: str | os.PathLike[str]) -> Any:
    import h5py

    path = existing(checked_path(path, "lessons.path"), "a file of lessons")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: is no HDF5 file ({error}); give a file of lessons") from None


def meta_of(file: Any, place: str) -> dict[str, Any]:
    """What a file says about itself.

    Args:
        file: a path, or an open HDF5 file.
        place: begins messages.

    Raises:
        InputError: it is no file of lessons, or of another version.
    """
    if isinstance(file, str | os.PathLike):
        with _opened(file) as opened:
            return meta_of(opened, place)
    if file.attrs.get("format") != FORMAT:
        raise InputError(f"{place}: is no file of lessons; write one with generate_teacher_trajectories")
    if file.attrs.get("version") != VERSION:
        told = f"{place}: has version {file.attrs.get('version')}, this release reads {VERSION}"
        raise InputError(f"{told}; use the release that wrote it")
    try:
        meta = json.loads(file.attrs["meta"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{place}: its meta data cannot be read ({error}); it is damaged, write it anew") from None
    if not isinstance(meta, dict):
        raise InputError(f"{place}: its meta data are no mapping; it is damaged, write it anew")
    return meta


# ---------------------------------------------------------------------------------------------- checks


@dataclass(frozen=True)
class Summary:
    """What is in a file of lessons.

    Args:
        splits: examples by split. steps, inputs: T and D. classes: of the answers, or None.
        columns: names of the columns by part. ranges: smallest and largest value by part, of all splits.
        constant: names of columns that never change in the training data, by part.
        dt: ns, or None if the teacher has none. teacher: its kind and digest.
    """

    splits: dict[str, int]
    steps: int
    inputs: int
    classes: int | None
    columns: dict[str, list[str]]
    ranges: dict[str, tuple[float, float]]
    constant: dict[str, list[str]] = field(default_factory=dict)
    dt: float | None = None
    teacher: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.splits.items())
        dt = f" of {self.dt:g} ns" if self.dt is not None else ""
        lines = [
            f"examples  {counts}",
            f"inputs    {self.inputs}, {self.steps} steps{dt}",
            f"teacher   {self.teacher.get('kind', 'unknown')} {self.teacher.get('digest') or ''}".rstrip(),
        ]
        for part, names in self.columns.items():
            low, high = self.ranges[part]
            still = f", {len(self.constant[part])} never change" if self.constant.get(part) else ""
            lines.append(f"{part:9} {len(names)} columns, {low:.4g} to {high:.4g}{still}")
        return "\n".join(lines)


def validate(
    path: str | os.PathLike[str],
    *,
    dt: float | None = None,
    required: Iterable[str] = SPLITS,
    teacher: str | None = None,
) -> Summary:
    """Look at all of a file of lessons, a piece at a time.

    Args:
        path: the file.
        dt: ns, the student's step: another one is a fault.
        required: splits that must be there.
        teacher: digest of the teacher that is expected.

    Raises:
        InputError: with every fault: missing splits or arrays, shapes and numbers of examples that do not fit, values that are not
            finite, spikes outside 0 to 1, answers outside their classes, parts that never change, another dt or teacher, damage.
    """
    with _opened(path) as file:
        return examine(file, Path(path).name, dt=dt, required=required, teacher=teacher)


def examine(
    file: Any, name: str, *, dt: float | None = None, required: Iterable[str] = SPLITS, teacher: str | None = None
) -> Summary:
    """As :func:`validate`, of an open file, which messages call ``name``."""
    look = _Look(file, name, meta_of(file, name))
    look.meta_faults(dt, teacher)
    for split in required:
        if split not in file:
            known = nearest(split, SPLITS) if split not in SPLITS else ""
            look.faults.append(f"{name}: there is no split {split!r}{known}; write it with that split")
    for split in SPLITS:
        if split in file:
            look.split(split, file[split])
    look.together()
    if look.faults:
        raise InputError(look.faults)
    return look.summary()


class _Look:
    """What was seen of a file, and its faults."""

    def __init__(self, file: Any, name: str, meta: Mapping[str, Any]):
        self.file, self.name, self.meta = file, name, meta
        self.faults: list[str] = []
        names = meta.get("names")
        self.columns = (
            {str(part): list(map(str, ids)) for part, ids in names.items()} if isinstance(names, dict) else {}
        )
        self.counts: dict[str, int] = {}
        self.shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.constant: dict[str, list[str]] = {}
        self.classes: int | None = None

    def meta_faults(self, dt: float | None, teacher: str | None) -> None:
        """Faults of what the file says about itself."""
        held = self.meta.get("dt")
        if held is not None and not (isinstance(held, int | float) and math.isfinite(held) and held > 0):
            self.faults.append(f"{self.name}: dt = {held!r} is no time; write the lessons anew")
        elif dt is not None and held is not None and not math.isclose(held, dt, rel_tol=1e-9):
            self.faults.append(
                f"{self.name}: dt is {held:g} ns, the student's {dt:g} ns; give the student the same, or write lessons for it"
            )
        about = self.meta.get("teacher")
        own = about.get("digest") if isinstance(about, dict) else None
        if teacher is not None and own != teacher:
            self.faults.append(
                f"{self.name}: is of the teacher {own}, not of {teacher}; give that one, or write it anew"
            )
        if not self.columns or not set(self.columns) <= set(PARTS):
            self.faults.append(f"{self.name}: names are of {sorted(self.columns)}; they must be of {', '.join(PARTS)}")

    def split(self, split: str, group: Any) -> None:
        """Faults of one split."""
        place, shapes = f"{self.name}:{split}", {}
        for each in ("data", "labels", *self.columns):
            if each not in group or not hasattr(group[each], "shape"):
                known = nearest(each, group)
                self.faults.append(f"{place}: has no array {each!r}{known}; write it anew")
            else:
                shapes[each] = tuple(group[each].shape)
        if "data" not in shapes:
            return
        if len(shapes["data"]) != 3 or 0 in shapes["data"]:
            self.faults.append(f"{place}/data: has shape {shapes['data']}; it must be (examples, steps, inputs)")
            return
        count, steps, _ = shapes["data"]
        self.counts[split], self.shapes[split] = count, shapes
        for each, shape in shapes.items():
            if each != "data":
                self._shape(f"{place}/{each}", each, shape, count, steps)
        for each in shapes:
            if each != "labels":
                self._values(place, each, group[each], split)
        if "answers" in group:
            self._answers(place, group, count)

    def _shape(self, place: str, part: str, shape: tuple[int, ...], count: int, steps: int) -> None:
        wide = len(self.columns[part]) if part in self.columns else None
        if not shape or shape[0] != count:
            self.faults.append(f"{place}: has shape {shape} for {count} examples; there must be one for each")
        elif wide is None:
            return
        elif part == "states" and (len(shape) != 3 or shape[1] not in (steps, steps + 1)):
            self.faults.append(
                f"{place}: has shape {shape}; states of {steps} steps are ({count}, {steps + 1}, {wide})"
            )
        elif part == "spikes" and (len(shape) != 3 or shape[1] != steps):
            self.faults.append(f"{place}: has shape {shape}; spikes of {steps} steps are ({count}, {steps}, {wide})")
        elif len(shape) not in (2, 3) or shape[-1] != wide:
            self.faults.append(f"{place}: has shape {shape}; the last axis must be its {wide} names")

    def _values(self, place: str, part: str, array: Any, split: str) -> None:
        low, high = self.ranges.get(part, (math.inf, -math.inf))
        wide = array.shape[-1] if array.shape else 0
        least, most = np.full(wide, np.inf), np.full(wide, -np.inf)
        for first, rows in self._pieces(f"{place}/{part}", array):
            wrong = np.argwhere(~np.isfinite(rows))
            if len(wrong):
                at = [int(wrong[0][0]) + first, *wrong[0][1:].tolist()]
                self.faults.append(
                    f"{place}/{part}{at}: {rows[tuple(wrong[0])]} is not finite; leave the example out, or write it anew"
                )
                return
            flat = rows.reshape(-1, wide)
            least, most = np.minimum(least, flat.min(axis=0)), np.maximum(most, flat.max(axis=0))
        if not wide or not np.isfinite(least).all():
            return
        self.ranges[part] = min(low, float(least.min())), max(high, float(most.max()))
        if part == "spikes" and (least.min() < 0.0 or most.max() > 1.0):
            self.faults.append(f"{place}/spikes: go from {least.min():g} to {most.max():g}; they must be from 0 to 1")
        if part in self.columns and split == "train" and len(self.columns[part]) == wide:
            still = [name for name, same in zip(self.columns[part], least == most, strict=True) if same]
            self.constant[part] = still
            if len(still) == wide:
                self.faults.append(
                    f"{place}/{part}: never changes, so there is nothing to learn; look at the teacher and at its inputs"
                )

    def _pieces(self, place: str, array: Any) -> Iterator[tuple[int, np.ndarray]]:
        rows = max(1, _SCANNED // max(1, math.prod(array.shape[1:])))
        for first in range(0, array.shape[0] if array.shape else 0, rows):
            try:
                piece = np.asarray(array[first : first + rows])
            except OSError as error:
                self.faults.append(f"{place}: cannot be read ({error}); the file is damaged, write it anew")
                return
            if piece.dtype.kind not in "biuf":
                self.faults.append(f"{place}: the type {piece.dtype} is not that of numbers; write it anew")
                return
            yield first, piece

    def _answers(self, place: str, group: Any, count: int) -> None:
        array, classes = group["answers"], group.attrs.get("classes")
        if not array.shape or array.shape[0] != count:
            self.faults.append(
                f"{place}/answers: has shape {array.shape} for {count} examples; there must be one for each"
            )
            return
        self.classes = None if classes is None else int(classes)
        for first, rows in self._pieces(f"{place}/answers", array):
            wrong = ~np.isfinite(rows) if self.classes is None else (rows < 0) | (rows >= self.classes)
            if wrong.any():
                at = np.argwhere(wrong)[0]
                known = "finite" if self.classes is None else f"from 0 to {self.classes - 1}"
                self.faults.append(
                    f"{place}/answers[{int(at[0]) + first}]: {rows[tuple(at)]} is not {known}; correct it"
                )
                return

    def together(self) -> None:
        """Faults of splits that do not go together."""
        splits = list(self.shapes)
        for split in splits[1:]:
            for part in ("data", *self.columns):
                one, other = self.shapes[splits[0]].get(part), self.shapes[split].get(part)
                if one is not None and other is not None and one[1:] != other[1:]:
                    self.faults.append(
                        f"{self.name}: {part} of an example has shape {other[1:]} in {split!r} and {one[1:]} in {splits[0]!r}; "
                        "make them agree"
                    )

    def summary(self) -> Summary:
        """What there is, where there is no fault."""
        first: Sequence[int] = next(iter(self.shapes.values()))["data"]
        return Summary(
            self.counts, first[1], first[2], self.classes, self.columns,
            {part: self.ranges[part] for part in self.columns},
            {part: names for part, names in self.constant.items() if names}, self.meta.get("dt"),
            dict(self.meta.get("teacher") or {}),
        )  # fmt: skip
