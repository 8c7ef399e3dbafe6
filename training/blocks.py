"""The blocks of a configuration file: their keys, types, bounds and defaults. :mod:`training.choices` judges what they mean together."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

__all__ = ["Config", "Data", "Distillation", "Logging", "Losses", "Model", "Profile", "Training"]

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
