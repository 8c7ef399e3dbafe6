"""What a configuration makes: data, model, trainer, and a folder with results."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soen_event.errors import InputError
from soen_event.network import Network
from training import checkpoint
from training.blocks import Config, Distillation
from training.blocks import Model as ModelOptions
from training.callbacks import (
    CSVLogger,
    EarlyStopping,
    Interruption,
    JSONLogger,
    ModelCheckpoint,
    Profiler,
    TensorBoardLogger,
    TimeLimit,
)
from training.choices import callback_of, changed_model, loss_of, parallel_of, recipe_of, twin_faults
from training.config import load, read
from training.data import DataLoader, Dataset, split
from training.datasets import prepare
from training.loop import Trainer
from training.model import Model
from training.named import made
from training.parallel import DataParallel
from training.stored import put_parameters

__all__ = ["Outcome", "data_of", "network_of", "run", "teacher_of"]

Factory = Callable[[Config, dict[str, Dataset]], Model]


@dataclass
class Outcome:
    """One run: its seed, the metrics of every epoch, those of the test data at the best weights, its model and its folder."""

    seed: int
    history: list[dict[str, Any]]
    test: dict[str, float] = field(default_factory=dict)
    model: Any = None
    folder: Path | None = None
    finished: bool = True

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        last = self.history[-1] if self.history else {}
        plain = {name: _finite(value) for name, value in last.items() if isinstance(value, int | float)}
        return {
            "seed": self.seed, "epochs": len(self.history), "finished": self.finished, "last": plain,
            "test": {name: _finite(value) for name, value in self.test.items()}, "folder": str(self.folder or ""),
        }  # fmt: skip


def run(config: Config, make_model: Factory | None = None) -> list[Outcome]:
    """Do all repeats of a configuration; the seeds are seed, seed + 1, ...

    In ``logging.folder/name/seed-<seed>``: ``config.json`` (with all defaults), ``training.csv``, ``best.h5``, ``last.h5``,
    ``result.json``.

    Args:
        config: as :func:`training.config.load` gives it.
        make_model: makes a model of a configuration (of this one, and of the teacher's) and the splits; by default the twin of
            ``model.network``.

    Raises:
        InputError: what the network, the data or the twin refuse, or a mapping that is not that of the data.
    """
    splits = data_of(config, make_model)
    outcomes: list[Outcome] = []
    with parallel_of(config) or nullcontext() as parallel:
        for k in range(config.training.num_repeats):
            outcomes.append(_one(config, config.seed + k, splits, make_model or _twin, parallel))
            if not outcomes[-1].finished:
                break
    return outcomes


def data_of(config: Config, make_model: Factory | None = None) -> dict[str, Dataset]:
    """The splits: train, and val and test where there are any; of a distillation with what the teacher does (``training.lessons``).

    Args:
        config: which data, and which teacher. make_model: makes the teacher, see :func:`run`.

    Raises:
        InputError: the data do not fit the configuration, or what the teacher refuses.
    """
    distillation = config.distillation if config.training.paradigm == "distillation" else None
    splits = {} if distillation is not None and distillation.teacher is None else _plain_data(config)
    if distillation is not None:
        splits = _lessons(config, distillation, splits, make_model or _twin)
    found = mapping_of(splits["train"])
    if config.training.mapping not in (None, found):
        raise InputError(
            f"training.mapping: {config.training.mapping!r} is given, and the data are {found!r}; correct one of them"
        )
    return splits


def _plain_data(config: Config) -> dict[str, Dataset]:
    """The splits of a source."""
    chosen = config.data
    splits = prepare(
        chosen.source, chosen.options, encoder=chosen.encoder, steps=chosen.steps, encoding=chosen.encoding,
        limit=chosen.limit, dtype=config.model.dtype, cache=chosen.cache,
    )  # fmt: skip
    if list(splits) == ["all"]:
        splits = split(splits["all"], chosen.val, chosen.test, seed=chosen.split_seed)
    elif "train" not in splits:
        raise InputError(f"data.source: has only the splits {', '.join(splits)}; it needs 'train'")
    if config.training.paradigm == "unsupervised":
        return {name: Dataset(each.x, None, name=each.name) for name, each in splits.items()}
    return {name: each.one_hot() for name, each in splits.items()} if chosen.one_hot else splits


def _lessons(
    config: Config, distillation: Distillation, splits: dict[str, Dataset], make_model: Factory
) -> dict[str, Dataset]:
    """What the student of a configuration learns from."""
    from training.distill import lessons_for
    from training.imitation import parts_of

    teacher = None if distillation.teacher is None else teacher_of(config, splits, make_model)
    try:
        found, _ = lessons_for(
            teacher, splits, recipe_of(config), distillation.lessons, batch_size=distillation.batch_size,
            dt=config.model.dt, parts=parts_of(loss_of(config, [])),
            cache=distillation.cache, progress=config.logging.progress,
        )  # fmt: skip
    except InputError as error:
        raise InputError([re.sub(r"^lessons\.(?!data)", "distillation.", fault) for fault in error.faults]) from None
    return dict(found)


def teacher_of(config: Config, splits: dict[str, Dataset], make_model: Factory | None = None) -> Model:
    """The teacher that ``distillation.teacher`` names, with its weights.

    Raises:
        InputError: its configuration, network or checkpoint cannot be used.
    """
    chosen = config.distillation
    if chosen is None or chosen.teacher is None:
        raise InputError("distillation.teacher: missing; give a checkpoint or a network file")
    path = Path(chosen.teacher)
    try:
        if path.suffix.lower() != ".h5":
            theirs = config.model_copy(
                update={"model": changed_model(config.model, {**chosen.model, "network": str(path)})}
            )
            return (make_model or _twin)(theirs, splits)
        beside = Path(chosen.config) if chosen.config is not None else path.with_name("config.json")
        if not beside.is_file():
            raise InputError(f"{beside} is not there; give the configuration of its run as distillation.config")
        # a run writes its paths as they were seen from where it was started
        theirs = load(beside) if chosen.config is not None else read(json.loads(beside.read_text()), place=str(beside))
        theirs = theirs.model_copy(update={"model": changed_model(theirs.model, chosen.model)})
        model = (make_model or _twin)(theirs, splits)
        put_parameters(model, checkpoint.load(path).get("model", {}), str(path))
    except InputError as error:
        raise InputError([f"distillation.teacher: {fault}" for fault in error.faults]) from None
    return model


def mapping_of(data: Dataset) -> str:
    """seq2static, seq2seq, static2seq or static2static: series or single steps, to one target or one for every step."""
    steps = data.x.shape[1]
    series = data.y.ndim >= 2 and (data.y.shape[1] == steps or data.y.ndim == 3) and steps > 1
    return ("seq" if steps > 1 else "static") + ("2seq" if series or (steps == 1 and data.y.ndim == 3) else "2static")


def network_of(config: Config) -> Network:
    """The network of a configuration: from a file, from the contents of one, or from one builder."""
    given = config.model.network
    if isinstance(given, str):
        return Network.load(given)
    document = dict(given)
    if "builder" in document:
        rest = {key: document.pop(key) for key in ("device",) if key in document}
        document = {**rest, "populations": [{"name": "net", **document}]}
    return Network.from_dict({"soen": 1, **document})


def _twin(config: Config, splits: dict[str, Dataset]) -> Model:
    from training.twin import Twin

    chosen = config.model
    options = {name: getattr(chosen, name) for name in ("dt", "dtype", "noise", "perturb", "checkpoint", "keep_states")}
    if chosen.readout is not None:
        options["readout"] = chosen.readout
    if config.training.use_tbptt:
        options["truncate"] = config.training.tbptt_steps
    faults = twin_faults(chosen)
    for kind in ("pooling", "surrogate"):
        if (given := getattr(chosen, kind)) is not None:
            options[kind] = made(kind, given, faults)
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    network = network_of(config)
    try:
        model: Model = Twin(network, **options, **chosen.options)
    except InputError as error:
        raise InputError([re.sub(r"^Twin\.(\w+)", _key_of, fault) for fault in error.faults]) from None
    return model


def _key_of(found: re.Match[str]) -> str:
    """Where an option of the twin stands in a configuration."""
    name = found[1]
    if name == "truncate":
        return "training.tbptt_steps"
    return f"model.{name}" if name in ModelOptions.model_fields else f"model.options.{name}"


def _one(
    config: Config, seed: int, splits: dict[str, Dataset], make_model: Factory, parallel: DataParallel | None
) -> Outcome:
    chosen, logging = config.training, config.logging
    model = make_model(config, splits)
    if config.model.init_from is not None:
        put_parameters(model, checkpoint.load(config.model.init_from).get("model", {}), config.model.init_from)
    folder = Path(logging.folder) / config.name / f"seed-{seed}"
    faults: list[str] = []
    callbacks = [callback_of(config, name, faults, folder) for name in config.callbacks]
    monitor = logging.monitor or ("val_loss" if "val" in splits else "loss")
    if chosen.early_stopping_patience is not None:
        callbacks.append(EarlyStopping(monitor, chosen.early_stopping_patience, logging.mode))
    last = folder / "last.h5"
    if config.profiler.enabled:
        callbacks.append(Profiler())
    if logging.csv:
        callbacks.append(CSVLogger(folder / "training.csv"))
    if logging.jsonl:
        callbacks.append(JSONLogger(folder / "training.jsonl"))
    if logging.tensorboard:
        callbacks.append(TensorBoardLogger(folder / "tensorboard"))
    heard = Interruption()
    callbacks.append(heard)
    limit = TimeLimit(chosen.time_limit) if chosen.time_limit is not None else None
    if limit is not None:
        callbacks.append(limit)
    if logging.checkpoints:
        best = folder / ("best.h5" if logging.top_k == 1 else "best-{epoch:04d}.h5")
        callbacks.append(
            ModelCheckpoint(
                best,
                monitor,
                logging.mode,
                top_k=logging.top_k,
                last=last,
                every_steps=logging.every_steps,
                durable=logging.durable,
            )
        )
    clip = chosen.gradient_clip_val
    by_norm = chosen.gradient_clip_algorithm == "norm"
    loss, optimizer = loss_of(config, faults), made("optimizer", dict(chosen.optimizer), faults)
    if faults:
        raise InputError(faults)
    trainer = Trainer(
        model, optimizer, None, list(chosen.metrics), callbacks, loss=loss, seed=seed,
        accumulate=chosen.accumulate_grad_batches, clip_norm=clip if by_norm else None, clip_value=None if by_norm else clip,
        progress=logging.progress, parallel=parallel,
    )  # fmt: skip
    loader = DataLoader(
        splits["train"], chosen.batch_size, shuffle=config.data.shuffle, seed=seed, drop_last=config.data.drop_last
    )
    checkpoint.replace_bytes(folder / "config.json", (json.dumps(config.plain(), indent=1) + "\n").encode())
    resume = last if logging.resume and last.is_file() else None
    history = trainer.fit(loader, splits.get("val"), chosen.max_epochs, resume=resume)
    kept = next((each for each in callbacks if isinstance(each, ModelCheckpoint) and each.best_path), None)
    test: dict[str, float] = {}
    finished = not heard.requested and not (limit is not None and limit.reached)
    if "test" in splits and finished:
        if kept is not None:
            trainer.load_weights(str(kept.best_path))
        test = trainer.validate(splits["test"])
    outcome = Outcome(seed, history, test, model, folder, finished)
    checkpoint.replace_bytes(folder / "result.json", (json.dumps(outcome.as_dict(), indent=1) + "\n").encode())
    return outcome


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
