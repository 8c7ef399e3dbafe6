"""What a configuration chooses: loss, callbacks, workers, lessons, options of the twin; and the faults of these choices.

Nothing that takes long is made here: no network, no data.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from soen_event.errors import InputError, nearest
from training.arguments import check_options, existing
from training.blocks import Config, Data, Distillation, Model, Training
from training.named import made, made_metrics
from training.places import worded
from training.registry import get

if TYPE_CHECKING:
    from training.parallel import DataParallel
    from training.teacher import Recipe

__all__ = ["callback_of", "changed_model", "check", "loss_of", "parallel_of", "recipe_of", "twin_faults"]


def check(config: Config) -> list[str]:
    """Faults of the names and options in a configuration: nothing that takes long is made."""
    training, data, faults = config.training, config.data, []
    if training.paradigm == "self_supervised":
        faults.append(
            "training.paradigm: 'self_supervised' has a program of its own; here it is supervised, unsupervised or distillation"
        )
    faults += _distillation(config)
    faults += _under("training.loss", lambda found: loss_of(config, found))
    faults += _under("training.optimizer", lambda found: made("optimizer", dict(training.optimizer), found))
    faults += _under("training.metrics", lambda found: made_metrics(list(training.metrics), found))
    for name in config.callbacks:
        faults += _under(f"callbacks.{name}", lambda found, name=name: callback_of(config, name, found))
    faults += _under("training", lambda found: parallel_of(config))
    faults += _truncation(training)
    faults += twin_faults(config.model)
    faults += _names("data.source", "dataset", data.source, data.options, ())
    if data.encoder is not None:
        faults += _names("data.encoding", "encoder", data.encoder, data.encoding, ("values", "steps"))
    if data.val + data.test >= 1.0:
        faults.append(f"data.val: {data.val} and test = {data.test} leave nothing to train on; lower them")
    if not config.model.network:
        faults.append("model.network: missing; give a network file, or {builder: layers, sizes: [4, 2]}")
    for key, path in (
        ("model.network", config.model.network),
        ("model.init_from", config.model.init_from),
        ("data.options.path", data.options.get("path")),
    ):
        faults += _lost(key, path) if isinstance(path, str) else []
    return faults


def _truncation(training: Training) -> list[str]:
    """Faults of the options of truncated back-propagation."""
    steps, stride = training.tbptt_steps, training.stride
    if not training.use_tbptt:
        told = "is there, and use_tbptt is false; give use_tbptt: true, or leave it out"
        given = {"tbptt_steps": steps, "stride": stride}
        return [f"training.{name}: {value} {told}" for name, value in given.items() if value is not None]
    if steps is None:
        return ["training.tbptt_steps: missing, and use_tbptt is true; give the steps between two cuts, such as 50"]
    if stride not in (None, steps):
        return [f"training.stride: {stride} is not tbptt_steps = {steps}; cuts lie tbptt_steps apart: leave stride out"]
    return []


def twin_faults(model: Model) -> list[str]:
    """Faults of the options of a twin, as far as they are told without its network."""
    from training.twin import NAMES, NOISY, Twin

    own = {"truncate": "training.tbptt_steps", **{name: f"model.{name}" for name in Model.model_fields}}
    faults = [f"model.options.{name}: has a key of its own; write {own[name]}" for name in model.options if name in own]
    known = [name for name in inspect.signature(Twin).parameters if name not in own]
    faults += [
        f"model.options.{name}: there is no such option{nearest(name, known)}; known: {', '.join(known)}"
        for name in model.options
        if name not in own and name not in known
    ]
    for kind in ("surrogate", "pooling"):
        if (given := getattr(model, kind)) is not None:
            faults += _under(f"model.{kind}", lambda found, kind=kind, given=given: made(kind, given, found))
    for place, sizes in (("noise", NOISY), ("perturb", tuple(name for name in NAMES if name != "delay"))):
        faults += [
            f"model.{place}.{name}: is not known{nearest(name, sizes)}; use {', '.join(sizes)}"
            for name in getattr(model, place)
            if name not in sizes
        ]
    return faults


def recipe_of(config: Config) -> Recipe:
    """How the lessons of a configuration are made.

    Raises:
        InputError: options out of their range.
    """
    from training.imitation import parts_of
    from training.teacher import Recipe

    chosen = config.distillation or Distillation()
    parts = tuple(chosen.outputs) if chosen.outputs is not None else parts_of(loss_of(config, []))
    return Recipe(
        outputs=parts or "states", seed=config.data.split_seed,
        **{name: getattr(chosen, name) for name in (*_ASKED, "loops")},
    )  # fmt: skip


def changed_model(model: Model, changes: Mapping[str, Any]) -> Model:
    """A block ``model`` with other values for some keys, and for some of its ``options``.

    Raises:
        InputError: a key that there is not, or a value that is not right; with every fault.
    """
    own, given = model.model_dump(), changes.get("options", {})
    options = {**own["options"], **given} if isinstance(given, Mapping) else given
    try:
        return Model.model_validate({**own, **changes, "options": options})
    except pydantic.ValidationError as error:
        told = [worded(each, "model", None, set(), Model) for each in error.errors(include_url=False)]
        raise InputError([text.replace("model: ", "model.", 1) for text in told]) from None


_ASKED = ("subset_fraction", "max_samples", "target_seq_len", "scale_min", "scale_max")


def _distillation(config: Config) -> list[str]:
    """Faults of the block ``distillation``."""
    from training.imitation import parts_of

    chosen, wanted = config.distillation, config.training.paradigm == "distillation"
    if chosen is None or not wanted:
        if wanted:
            return ["distillation: missing; give such as {teacher: runs/teacher/seed-0/best.h5}"]
        return (
            []
            if chosen is None
            else [f"distillation: is there, and the paradigm is {config.training.paradigm!r}; leave it out"]
        )
    faults = _in_distillation(lambda: recipe_of(config))
    if chosen.teacher is None:
        if chosen.lessons is None:
            faults.append("distillation.teacher: missing, and there are no lessons; give one of them")
        told = "is for writing lessons, and there is no teacher; leave it out, or give a teacher"
        plain = Distillation()
        unused = ("config", "model", "outputs", "loops", "batch_size", *_ASKED)
        faults += [f"distillation.{name}: {told}" for name in unused if getattr(chosen, name) != getattr(plain, name)]
        idle = Data(shuffle=config.data.shuffle, drop_last=config.data.drop_last)
        faults += [
            f"data.{name}: {told}" for name in Data.model_fields if getattr(config.data, name) != getattr(idle, name)
        ]
    else:
        suffix = Path(chosen.teacher).suffix.lower()
        if suffix not in (".h5", ".yaml", ".yml", ".json"):
            faults.append(
                f"distillation.teacher: {chosen.teacher}: the suffix {suffix!r} is none of .h5, .yaml, .yml and .json; "
                "give a checkpoint or a network file"
            )
        elif suffix != ".h5" and chosen.config is not None:
            faults.append("distillation.config: is for a checkpoint, and the teacher is a network file; leave it out")
        faults += _lost("distillation.teacher", chosen.teacher) + _lost("distillation.config", chosen.config)
        faults += _in_distillation(lambda: changed_model(config.model, chosen.model))
    unknown: list[str] = []
    loss = loss_of(config, unknown)
    if not unknown and loss is not None:
        parts = parts_of(loss)
        if not parts:
            faults.append(
                "training.loss: no part looks at the teacher; give one of trajectory_mse, van_rossum and softmax_kl"
            )
        lacking = [part for part in parts if chosen.outputs is not None and part not in chosen.outputs]
        if lacking:
            faults.append(f"distillation.outputs: a loss looks at {', '.join(lacking)}; add that, or leave outputs out")
    return faults


def _lost(key: str, path: str | None) -> list[str]:
    """A fault, where a file that a key names is not there."""
    try:
        if path is not None:
            existing(path, "a path as seen from the configuration")
    except InputError as error:
        return [f"{key}: {fault}" for fault in error.faults]
    return []


def _in_distillation(make: Any) -> list[str]:
    """Faults of something that is made of the block, by its keys."""
    try:
        make()
    except InputError as error:
        return [f"distillation.{fault.removeprefix('lessons.')}" for fault in error.faults]
    return []


def loss_of(config: Config, faults: list[str]) -> Any:
    """The loss that a configuration means."""
    from training.objective import Sum

    chosen = config.training.loss
    if len(chosen.losses) == 1 and set(chosen.losses[0]) <= {"name", "params"}:
        one = chosen.losses[0]
        return made("loss", {"name": one.get("name"), **(one.get("params") or {})}, faults)
    try:
        return Sum(chosen.losses, alternate_every=chosen.batches_per_loss if chosen.alternate_losses else None)
    except InputError as error:
        faults += error.faults
    return None


def parallel_of(config: Config) -> DataParallel | None:
    """Who shares the batches, if they are cut; raises InputError for more workers than shards."""
    from training.parallel import DataParallel

    chosen = config.training
    if chosen.shards is None and chosen.workers is None:
        return None
    return DataParallel(workers=chosen.workers, shards=4 if chosen.shards is None else chosen.shards)


def callback_of(config: Config, name: str, faults: list[str], folder: Path | None = None) -> Any:
    """The callback of one entry; ``{folder}`` in a text stands for that of the run."""
    options = {
        key: value.replace("{folder}", str(folder)) if folder is not None and isinstance(value, str) else value
        for key, value in (config.callbacks[name] or {}).items()
    }
    if name in ("lr_scheduler", "LRScheduler"):
        options["schedule"] = options.pop("type", options.get("schedule"))
        if options["schedule"] is None:
            faults.append("type: missing; name a schedule, such as cosine")
            return None
        from training.callbacks import LRScheduler

        try:
            return LRScheduler(**options)
        except InputError as error:
            faults += error.faults
        return None
    return made("callback", {"name": options.pop("name", name), **options}, faults)


def _under(place: str, make: Any) -> list[str]:
    """Faults of something that is made, under the place where it stands."""
    found: list[str] = []
    try:
        make(found)
    except InputError as error:
        found += error.faults
    return [f"{place}: {fault}" for fault in found]


def _names(place: str, kind: str, name: str, options: Mapping[str, Any], given: tuple[str, ...]) -> list[str]:
    def look(found: list[str]) -> None:
        check_options(get(kind, name), {**dict.fromkeys(given), **options}, name)

    return _under(place, look)
