"""A training run as a file: read strictly, all faults at once, then run, as often and with as many variations as wanted.

    soen train config.yaml training.max_epochs=5 training.optimizer.lr=0.01       or    python -m training config.yaml

    config = load("config.yaml", ["seed=3"])
    outcome = run(config)[0]
    outcome.history, outcome.test, outcome.folder

An unknown key, loss, optimizer, callback or option is a fault that names the nearest known one, with the line it stands in.
``examples/configs`` holds a minimal and a comprehensive file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from soen_event import files
from soen_event.errors import InputError
from training.arguments import existing
from training.blocks import Config, Distillation
from training.choices import check
from training.places import placed, worded

__all__ = ["Config", "Distillation", "load", "read"]


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
            faults.append(worded(each, place, locate, changed))
        raise InputError(list(dict.fromkeys(faults))) from None
    _resolve(config, Path(folder))
    faults += [placed(fault, place, locate, changed) for fault in check(config)]
    if faults:
        raise InputError(faults)
    return config


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
