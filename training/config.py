"""A training run as a file: read strictly, all faults at once, then run, as often and with as many variations as wanted.

    soen train config.yaml training.max_epochs=5 training.optimizer.lr=0.01       or    python -m training config.yaml

    config = load("config.yaml", ["seed=3"])
    outcome = run(config)[0]
    outcome.history, outcome.test, outcome.folder

An unknown key, loss, optimizer, callback or option is a fault that names the nearest known one, with the line it stands in.
``examples/configs`` holds a minimal and a comprehensive file.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import pydantic
from pydantic import Field

from soen_event import files
from soen_event.errors import InputError, nearest
from training.arguments import check_options, existing
from training.named import made, made_metrics
from training.registry import get

if TYPE_CHECKING:
    from training.parallel import DataParallel
    from training.teacher import Recipe

__all__ = ["Config", "load", "read"]

Steps = Literal["seq2static", "seq2seq", "static2seq", "static2static"]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Paradigm = Literal["supervised", "unsupervised", "self_supervised", "distillation"]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, validate_default=False, protected_namespaces=())


class Losses(_Strict):
    """The loss: one or more by name, with weights."""

    losses: list[dict[str, Any]] = Field(default_factory=lambda: [{"name": "cross_entropy"}], min_length=1)
    """Each ``{name, weight (1), params, label}``."""
    alternate_losses: bool = False
    """One after the other instead of their sum."""
    batches_per_loss: int = Field(default=1, ge=1)


class Training(_Strict):
    """How it is trained."""

    batch_size: int = Field(default=32, ge=1)
    max_epochs: int = Field(default=100, ge=1)
    num_repeats: int = Field(default=1, ge=1)
    """Runs with the seeds seed, seed + 1, ..."""
    paradigm: Paradigm = "supervised"
    """unsupervised: the input is its own target. distillation: see :class:`Distillation`. self_supervised has a program of its own."""
    mapping: Steps | None = None
    """What goes in and what comes out; None: as the data are. Given, it is checked."""
    optimizer: dict[str, Any] = Field(default_factory=lambda: {"name": "adam"})
    loss: Losses = Field(default_factory=Losses)
    metrics: list[str | dict[str, Any]] = Field(default_factory=list)
    accumulate_grad_batches: int = Field(default=1, ge=1)
    gradient_clip_val: float | None = Field(default=None, gt=0)
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    use_tbptt: bool = False
    """Truncated back-propagation through time: gradients are cut every ``tbptt_steps`` steps on their way back."""
    tbptt_steps: int | None = Field(default=None, ge=1)
    stride: int | None = Field(default=None, ge=1)
    """Steps from one cut to the next; there is no other than ``tbptt_steps``."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    time_limit: float | None = Field(default=None, gt=0)
    """Seconds for each run, which then can be continued."""
    shards: int | None = Field(default=None, ge=1)
    """Parts of a batch that are computed on their own; results depend on it. None: 4 with workers, else the batch is whole."""
    workers: int | None = Field(default=None, ge=1, le=1024)
    """Processes that share the shards; results do not depend on it. None: no others than this one."""


class Data(_Strict):
    """What it is trained on."""

    source: str = "digits"
    """Name of a data set."""
    options: dict[str, Any] = Field(default_factory=dict)
    encoder: str | None = None
    steps: int = Field(default=50, ge=1)
    encoding: dict[str, Any] = Field(default_factory=dict)
    val: float = Field(default=0.2, ge=0, lt=1)
    test: float = Field(default=0.1, ge=0, lt=1)
    """Shares, of data that bring no splits of their own."""
    limit: int | None = Field(default=None, ge=1)
    one_hot: bool = False
    shuffle: bool = True
    drop_last: bool = False
    cache: str | None = None
    """Folder for encoded series."""
    split_seed: int = Field(default=0, ge=0)


class Model(_Strict):
    """The network and its time-stepped twin."""

    network: str | dict[str, Any] = Field(default_factory=dict)
    """A network file, the contents of one, or ``{builder: name, ...}`` for one population of a builder."""
    dt: float = Field(default=0.5, gt=0)
    dtype: Literal["float32", "float64"] = "float64"
    readout: str | None = None
    pooling: str | dict[str, Any] | None = None
    surrogate: str | dict[str, Any] | None = None
    """Of spikes: a name, or ``{name: ..., options}``."""
    noise: dict[str, Size] = Field(default_factory=dict)
    """Standard deviations of what is drawn in every step of training: phi (Phi0), s, ib (I_c)."""
    perturb: dict[str, Size] = Field(default_factory=dict)
    """Of what is drawn once a batch in training, as if on another chip: shares of weights, J, tau, threshold; phi_offset, ib."""
    checkpoint: int | None = Field(default=None, ge=1)
    """Steps of which only the first state is kept for the way back; less memory, one more run."""
    keep_states: bool = True
    """Whether runs give the currents and spikes of all steps; some losses and callbacks look at them."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further options of the twin: channels, outputs, scale, width, trainable, delays, loading."""
    init_from: str | None = None
    """A checkpoint whose weights it begins with."""


class Distillation(_Strict):
    """The teacher of a run with ``training.paradigm: distillation``, and the lessons that the student gets (training/distill.py).

    The teacher goes through ``data``; what the losses look at is asked of it. Losses that look at it: trajectory_mse, van_rossum,
    softmax_kl; others see the true answers.
    """

    teacher: str | None = None
    """A checkpoint (.h5) of a run, or a network file (.yaml, .yml, .json) with the weights in it; None: the lessons are there already."""
    config: str | None = None
    """Configuration of the teacher's run; None: the ``config.json`` beside its checkpoint."""
    model: dict[str, Any] = Field(default_factory=dict)
    """What is different in the teacher's ``model``: of a network file, from the student's; of a checkpoint, from its run's."""
    lessons: str | None = None
    """A file of lessons: read if it is there, and written otherwise; None: they are kept in memory."""
    outputs: list[str] | None = None
    """What is kept of the teacher: states, spikes, outputs; None: what the losses look at."""
    loops: list[str] | None = None
    """Ids of the teacher's loops or neurons; None: its outputs."""
    subset_fraction: float = 1.0
    max_samples: int | None = None
    target_seq_len: int | None = None
    scale_min: float | None = None
    scale_max: float | None = None
    batch_size: int = Field(default=32, ge=1)
    """Examples that the teacher sees at a time."""
    cache: bool = True
    """Whether a file of lessons is read into memory."""


class Logging(_Strict):
    """What is kept, in ``folder/name/seed-<seed>``."""

    folder: str = "runs"
    csv: bool = True
    jsonl: bool = False
    tensorboard: bool = False
    checkpoints: bool = True
    """The best and the last state."""
    top_k: int = Field(default=1, ge=1)
    monitor: str | None = None
    """What is best; None: val_loss, or loss without validation data."""
    mode: Literal["min", "max"] = "min"
    every_steps: int | None = Field(default=None, ge=1)
    """Renew the last state after so many updates."""
    durable: bool = True
    resume: bool = False
    """Finish what an earlier start has left in the folder."""
    progress: bool | None = None


class Profile(_Strict):
    """Whether it is told where the time goes."""

    enabled: bool = False


class Config(_Strict):
    """A whole training run."""

    name: str = Field(default="experiment", pattern=r"^[\w.\- ]+$")
    description: str = ""
    seed: int = Field(default=42, ge=0, lt=2**63)
    training: Training = Field(default_factory=Training)
    data: Data = Field(default_factory=Data)
    model: Model
    distillation: Distillation | None = None
    logging: Logging = Field(default_factory=Logging)
    profiler: Profile = Field(default_factory=Profile)
    callbacks: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """By registered name their options; ``lr_scheduler: {type: cosine, ...}`` names a schedule. May stand under ``training``.

    ``{folder}`` in a text is that of the run."""

    def plain(self) -> dict[str, Any]:
        """The whole of it as plain data, defaults filled in."""
        return self.model_dump()


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a file, change it by ``key=value`` texts, and check it; paths in it are as seen from its folder.

    Raises:
        InputError: with every fault, its line and what would be right.
    """
    path = existing(path, "a configuration in YAML")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a text file") from None
    if not re.sub(r"(?m)^\s*(#.*)?$", "", text).strip():
        raise InputError(f"{path}: is empty; it needs at least 'model: {{network: FILE}}'")
    document = files._parsed(text, "JSON" if path.suffix == ".json" else "YAML", str(path))
    return read(document.data, overrides, place=str(path), locate=document.locate, folder=path.parent)


def read(
    document: Any,
    overrides: Iterable[str] = (),
    *,
    place: str = "config",
    locate: Any = None,
    folder: str | Path = ".",
) -> Config:
    """Check the plain data of a configuration.

    Args:
        document: a mapping.
        overrides: texts ``a.b.c=value``; the value is read as YAML, entries of lists are numbers from 0.
        place: begins messages. ``locate``: gives the line of a path of keys, or None.
        folder: what paths to networks, data and checkpoints are relative to.

    Raises:
        InputError: with every fault.
    """
    if not isinstance(document, Mapping):
        raise InputError(f"{place}: holds no mapping; write such as 'training: {{max_epochs: 5}}'")
    data = _copied(document)
    changed, faults = _override(data, overrides)
    faults += _lifted(data, place)
    try:
        config = Config.model_validate(data)
    except pydantic.ValidationError as error:
        for each in error.errors(include_url=False):
            faults.append(_told(each, place, locate, changed))
        raise InputError(list(dict.fromkeys(faults))) from None
    _resolve(config, Path(folder))
    faults += [_placed(fault, place, locate, changed) for fault in check(config)]
    if faults:
        raise InputError(faults)
    return config


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
        told = [_told(each, "model", None, set(), Model) for each in error.errors(include_url=False)]
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


# ---------------------------------------------------------------------------------------------- reading


def _lifted(data: dict[str, Any], place: str) -> list[str]:
    """Callbacks that stand under ``training``, as some files have them, are those of the run; returns faults."""
    training = data.get("training")
    above = data.get("callbacks") or {}
    if not isinstance(training, dict) or not isinstance(training.get("callbacks"), dict) or not isinstance(above, dict):
        return []
    nested = training.pop("callbacks")
    data["callbacks"] = {**nested, **above}
    return [
        f"{place}: training.callbacks.{name}: stands under callbacks as well; leave one out"
        for name in nested
        if name in above
    ]


def _override(data: dict[str, Any], overrides: Iterable[str]) -> tuple[set[str], list[str]]:
    """Put ``key=value`` texts into plain data; returns the keys, and faults."""
    changed, faults = set(), []
    for text in overrides:
        key, mark, value = text.partition("=")
        path = [step for step in key.strip().split(".") if step]
        if not mark or not path:
            faults.append(f"{text!r}: is no key=value; write such as training.max_epochs=5")
            continue
        try:
            parsed = files._parsed(value, "YAML", key).data if value.strip() else None
        except InputError as error:
            faults += error.faults
            continue
        here: Any = data
        for step in path[:-1]:
            if isinstance(here, list):
                here = here[int(step)] if step.isdigit() and int(step) < len(here) else None
            elif isinstance(here, dict):
                if not isinstance(here.get(step), dict | list):
                    here[step] = {}
                here = here[step]
        last = path[-1]
        if isinstance(here, list) and last.isdigit() and int(last) < len(here):
            here[int(last)] = parsed
        elif isinstance(here, dict):
            here[last] = parsed
        else:
            faults.append(
                f"{key}: there is no such place; give a key of the configuration, or a number from 0 in a list"
            )
            continue
        changed.add(".".join(path))
    return changed, faults


def _told(error: Any, place: str, locate: Any, changed: set[str], whole: Any = Config) -> str:
    """What pydantic found, in the words of this library."""
    path = tuple(
        step for step in error["loc"] if not (isinstance(step, str) and "[" in step) and step not in ("str", "dict")
    )
    head = _head(path, place, locate, changed)
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return (
            f"{head}: unknown key{nearest(str(path[-1]), _fields(path[:-1], whole))}; "
            f"known: {', '.join(_fields(path[:-1], whole))}"
        )
    if kind == "missing":
        return f"{head}: missing; give it a value"
    expected = error["msg"][0].lower() + error["msg"][1:]
    return f"{head}: {value!r} is not right ({expected}); correct it"


def _head(path: tuple[Any, ...], place: str, locate: Any, changed: set[str]) -> str:
    """Where a key stands: file, line and key, or the key alone where it was given by hand."""
    where = ".".join(map(str, path))
    if any(key == where or key.startswith(f"{where}.") or where.startswith(f"{key}.") for key in changed):
        return where
    line = locate(path) if locate is not None else None
    return f"{place}:{line}: {where}" if line else f"{place}: {where}"


def _placed(fault: str, place: str, locate: Any, changed: set[str]) -> str:
    """A fault that begins with its key, with the file and the line."""
    key, _, text = fault.partition(": ")
    steps = tuple(int(step) if step.isdigit() else step for step in key.split("."))
    return f"{_head(steps, place, locate, changed)}: {text}"


def _fields(path: Iterable[Any], whole: Any) -> list[str]:
    kind: Any = whole
    for step in path:
        field = getattr(kind, "model_fields", {}).get(step)
        kind = field.annotation if field is not None else None
        kind = next((each for each in get_args(kind) if hasattr(each, "model_fields")), kind)
    return list(getattr(kind, "model_fields", {}))


def _resolve(config: Config, folder: Path) -> None:
    """Paths as seen from here."""
    model, data = config.model, config.data
    if isinstance(model.network, str):
        model.network = str(folder / model.network)
    if model.init_from is not None:
        model.init_from = str(folder / model.init_from)
    if config.distillation is not None:
        for name in ("teacher", "config", "lessons"):
            path = getattr(config.distillation, name)
            if path is not None:
                setattr(config.distillation, name, str(folder / path))
    if isinstance(data.options.get("path"), str):
        data.options["path"] = str(folder / data.options["path"])


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list | tuple) else value


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
