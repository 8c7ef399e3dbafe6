"""docs/training_loop.md: its snippets run, its files are read, what it names is there."""

import re
from pathlib import Path

import pytest
import yaml

from training import config as configuration
from training import registry

PAGE = Path(__file__).parents[2] / "docs" / "training_loop.md"


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.S)


def test_the_snippets_run_and_do_what_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {}
    for block in blocks("python"):
        exec(compile(block, PAGE.name, "exec"), scope)
        if "history" in scope and "learnt" not in scope:
            scope["learnt"] = scope["history"][-1]["loss"] / scope["history"][0]["loss"]
            assert scope["learnt"] < 0.95 and scope["history"][-1]["val_accuracy"] > 0.7
    assert {path.name for path in tmp_path.iterdir()} >= {"best.h5", "last.h5", "sweep.jsonl", "lessons.h5"}


def test_the_file_is_one_that_can_be_run():
    first, second = blocks("yaml")
    assert configuration.read(yaml.safe_load(first)).training.max_epochs == 5
    for line in re.findall(r"\| `((?:model|training): .*?)` \|", PAGE.read_text()):
        document, more = yaml.safe_load(first), yaml.safe_load(line)
        for name, block in more.items():
            document[name] = {**document[name], **block}
        configuration.read(document)
    assert configuration.Distillation.model_validate(yaml.safe_load(second)["distillation"])


@pytest.mark.parametrize("name", ["noise_annealing", "qat", "connection_noise", "stateful", "target_seq_len", "limits"])
def test_the_callbacks_that_it_names_are_there(name):
    assert f"`{name}`" in PAGE.read_text() and registry.get("callback", name)
