"""Configurations: what is read, what is refused and how, what a run leaves, and sweeps."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_model import Tiny

from soen_event import cli
from soen_event.errors import InputError
from training import config as configuration
from training import experiment
from training.sweeps import sweep

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "examples/configs").glob("*.yaml"))

TEXT = """\
name: trial
seed: 1
training: {batch_size: 8, max_epochs: 3, optimizer: {name: adam, lr: 0.02}}
data: {source: synthetic, options: {examples: 40, steps: 5, inputs: 3, classes: 2}}
model: {network: {builder: layers, sizes: [3, 2]}}
logging: {folder: FOLDER, progress: false, durable: false}
"""


def tiny(config, splits):
    data = splits["train"]
    return Tiny(data.x.shape[2], 5, data.classes or data.y.shape[-1], seed=3)


def written(tmp_path, text=TEXT):
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("FOLDER", str(tmp_path / "runs")))
    return path


def test_s0_17_s0_21_s0_19_a_configuration_trains_and_leaves_its_results(tmp_path):
    chosen = configuration.load(written(tmp_path))
    outcomes = experiment.run(chosen, tiny)
    assert len(outcomes) == 1
    one = outcomes[0]
    assert [h["epoch"] for h in one.history] == [0, 1, 2]
    folder = tmp_path / "runs/trial/seed-1"
    assert {p.name for p in folder.iterdir()} == {"config.json", "training.csv", "best.h5", "last.h5", "result.json"}
    assert json.loads((folder / "result.json").read_text())["test"]["loss"] == one.test["loss"]
    again = configuration.read(json.loads((folder / "config.json").read_text()))
    assert again == chosen


def test_s1_15_the_loss_falls(tmp_path):
    chosen = configuration.load(written(tmp_path), ["training.max_epochs=12"])
    history = experiment.run(chosen, tiny)[0].history
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]


def test_repeats_take_following_seeds(tmp_path):
    chosen = configuration.load(written(tmp_path), ["training.num_repeats=2", "training.max_epochs=1"])
    one, two = experiment.run(chosen, tiny)
    assert (one.seed, two.seed) == (1, 2)
    assert one.history[0]["loss"] != two.history[0]["loss"]


def test_all_faults_are_told_at_once_with_line_and_nearest(tmp_path):
    text = (
        TEXT.replace("batch_size: 8", "batch_siz: 8")
        .replace("max_epochs: 3", "max_epochs: -1")
        .replace("seed: 1", "seed: one")
    )
    with pytest.raises(InputError) as told:
        configuration.load(written(tmp_path, text))
    faults = told.value.faults
    assert len(faults) == 3
    assert any(":3: training.batch_siz: unknown key (did you mean 'batch_size'?)" in f for f in faults)
    assert any("training.max_epochs: -1" in f for f in faults)
    assert any(":2: seed: 'one'" in f for f in faults)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("training.optimizer.name=sdg", "did you mean 'sgd'"),
        ("training.optimizer.lrr=1", "'lr'"),
        ("training.loss.losses=[{name: cros_entropy}]", "cross_entropy"),
        ("callbacks.early_stoping={}", "did you mean 'early_stopping'"),
        ("callbacks.early_stopping={patience: 0}", "EarlyStopping.patience"),
        ("data.source=digit", "did you mean 'digits'"),
        ("data.options={exampels: 3}", "did you mean 'examples'"),
        ("data.encoder=photon", "did you mean 'photons'"),
        ("training.paradigm=self_supervised", "program of its own"),
        ("training.paradigm=distillation", "distillation: missing"),
        ("distillation.lessons=a.h5", "leave it out"),
        ("training.max_epochs=3.5", "training.max_epochs: 3.5"),
        ("trainin.max_epochs=3", "did you mean 'training'"),
        ("training.max_epochs", "no key=value"),
        ("training.loss.losses.4.weight=1", "valid list"),
        ("model.network={}", "model.network: missing"),
        ("data.val=0.95", "leave nothing"),
        ("logging.mode=most", "logging.mode"),
    ],
)
def test_wrong_names_and_values_are_faults(tmp_path, change, told):
    with pytest.raises(InputError, match=told):
        configuration.load(written(tmp_path), [change])


def test_overrides_reach_into_lists_and_make_what_is_not_there(tmp_path):
    text = TEXT.replace(
        "training: {", "training: {loss: {losses: [{name: cross_entropy}, {name: reg_J, weight: 0.1}]}, "
    )
    chosen = configuration.load(
        written(tmp_path, text),
        ["training.loss.losses.1.weight=0.5", "callbacks.early_stopping.patience=4", "name=other"],
    )
    assert chosen.training.loss.losses[1]["weight"] == 0.5
    assert chosen.callbacks == {"early_stopping": {"patience": 4}}
    assert chosen.name == "other"


def test_missing_empty_and_wrong_files(tmp_path):
    written(tmp_path)
    with pytest.raises(InputError, match=r"did you mean 'config\.yaml'"):
        configuration.load(tmp_path / "confg.yaml")
    for text, told in (
        ("# nothing\n", "is empty"),
        ("- 1\n", "no mapping"),
        ("name: a\nname: b\n", "twice"),
        ("seed: 1\n", "model: missing"),
    ):
        with pytest.raises(InputError, match=told):
            configuration.load(written(tmp_path, text))


def test_the_mapping_is_found_and_checked(tmp_path):
    chosen = configuration.load(written(tmp_path), ["training.mapping=seq2seq"])
    with pytest.raises(InputError, match="'seq2static'"):
        experiment.run(chosen, tiny)
    from training.data import Dataset

    x = np.zeros((4, 5, 2))
    assert experiment.mapping_of(Dataset(x, np.zeros((4, 5, 3)))) == "seq2seq"
    assert experiment.mapping_of(Dataset(x, np.zeros((4, 3)))) == "seq2static"
    assert experiment.mapping_of(Dataset(x[:, :1], np.zeros(4, int))) == "static2static"
    assert experiment.mapping_of(Dataset(x[:, :1], np.zeros((4, 7, 1)))) == "static2seq"


def test_networks_come_from_files_contents_and_builders(tmp_path):
    chosen = configuration.load(written(tmp_path))
    assert len(experiment.network_of(chosen).neurons) == 5
    experiment.network_of(chosen).save(tmp_path / "net.yaml")
    by_file = configuration.load(written(tmp_path), ["model.network=net.yaml"])
    assert len(experiment.network_of(by_file).neurons) == 5
    inline = configuration.load(
        written(tmp_path), ["model.network={dendrites: [{id: d1}], synapses: [{id: s1, target: d1}]}"]
    )
    assert list(experiment.network_of(inline).dendrites) == ["d1"]


def test_a_run_that_was_stopped_is_finished_in_the_same_bits(tmp_path):
    whole = experiment.run(configuration.load(written(tmp_path), ["name=whole", "training.max_epochs=4"]), tiny)[0]
    parts = ["name=parts", "training.max_epochs=4", "logging.every_steps=1"]
    stopped = experiment.run(configuration.load(written(tmp_path), [*parts, "training.time_limit=1e-9"]), tiny)[0]
    assert not stopped.finished and len(stopped.history) < 4
    rest = experiment.run(configuration.load(written(tmp_path), [*parts, "logging.resume=true"]), tiny)[0]
    assert rest.finished
    assert rest.test == whole.test
    for name, array in whole.model.parameters().items():
        assert array.tobytes() == rest.model.parameters()[name].tobytes()


def test_s2_33_sweep_ranks_points_and_goes_on_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "_twin", tiny)
    chosen = configuration.load(written(tmp_path), ["training.max_epochs=2"])
    grid = {"training.optimizer.lr": [0.02, 1e-6]}
    found = sweep(chosen, grid, seeds=[0, 1], path=tmp_path / "sweep.jsonl")
    assert found.best == {"training.optimizer.lr": 0.02}
    assert [row["overrides"]["training.optimizer.lr"] for row in found.rows] == [0.02, 1e-6]
    row = found.rows[0]
    assert row["low"] <= row["mean"] <= row["high"]
    assert "training.optimizer.lr=0.02" in str(found)
    monkeypatch.setattr(experiment, "run", None)  # nothing is left to do
    assert sweep(chosen, grid, seeds=[0, 1], path=tmp_path / "sweep.jsonl").rows == found.rows
    assert sweep(chosen, grid, seeds=[0, 1], path=tmp_path / "sweep.jsonl", mode="max").best != found.best
    with pytest.raises(InputError, match="did you mean 'optimizer'"):
        sweep(chosen, {"training.optimiser.lr": [1.0]})
    with pytest.raises(InputError, match="lists of values"):
        sweep(chosen, {"seed": 3})


def test_soen_train_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(experiment, "_twin", tiny)
    path = str(written(tmp_path))

    def soen(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main(["train", *words])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    code, out, _ = soen(path, "training.max_epochs=2", "--json")
    assert code == 0
    runs = json.loads(out)["runs"]
    assert runs[0]["epochs"] == 2 and runs[0]["finished"]
    code, out, _ = soen(path, "--check")
    assert code == 0 and "can be run" in out
    code, out, _ = soen(path)
    assert code == 0 and "seed 1: 3 epochs" in out
    code, out, err = soen(path, "training.max_epoch=2")
    assert code == 2 and "did you mean 'max_epochs'" in err and not out
    code, _, err = soen(path, "training.time_limit=1e-9", "name=short")
    assert code == 130 and "--resume goes on" in err


def test_python_m_training_is_soen_train(tmp_path):
    words = [sys.executable, "-m", "training", str(written(tmp_path)), "--check"]
    out = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (out.returncode, out.stderr) == (0, "")
    assert "can be run" in out.stdout


INTERRUPTED = """
import sys, time
sys.path.insert(0, {tests!r})
from tiny_model import Tiny
from training import experiment
def slow(config, splits):
    model = Tiny(3, 5, 2)
    forward = model.forward
    def wait(*args, **kw):
        if kw.get("train"):
            print("go", flush=True)
            time.sleep(0.02)
        return forward(*args, **kw)
    model.forward = wait
    return model
experiment._twin = slow
from soen_event.cli import main
main(sys.argv[1:])
"""


def test_control_c_keeps_the_state_and_exits_with_130(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED.format(tests=str(Path(__file__).parent)))
    process = subprocess.Popen(
        [sys.executable, script, "train", written(tmp_path), "training.max_epochs=500"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
    )  # fmt: skip
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "goes on" in err
    assert (tmp_path / "runs/trial/seed-1/last.h5").is_file()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_s0_21_every_shipped_configuration_runs_an_epoch(path, tmp_path):
    pytest.importorskip("training.twin")
    pytest.importorskip("training.metrics")
    pytest.importorskip("training.schedules")
    chosen = configuration.load(
        path, ["training.max_epochs=1", f"logging.folder={tmp_path}", "data.limit=100", "logging.progress=false"]
    )
    one = experiment.run(chosen)[0]
    assert np.isfinite(one.history[0]["loss"])
    assert {p.name for p in one.folder.iterdir()} >= {"best.h5", "last.h5", "result.json"}


@pytest.mark.parametrize(("stem", "least"), [("minimal", 0.8), ("comprehensive", 0.6)])
def test_s0_21_what_is_shipped_learns_the_digits(stem, least, tmp_path):
    pytest.importorskip("training.twin")
    path = ROOT / f"examples/configs/{stem}.yaml"
    chosen = configuration.load(path, [f"logging.folder={tmp_path}", "logging.progress=false", "logging.durable=false"])
    assert experiment.run(chosen)[0].test["accuracy"] > least


def test_s0_21_the_comprehensive_file_has_every_option_and_tells_only_names_that_there_are():
    """S0.21: no option of a run is left out, and a name that a comment offers is registered."""
    import pydantic
    import yaml

    from training import registry

    text = (ROOT / "examples/configs/comprehensive.yaml").read_text()

    def left_out(model, document, path=""):
        for name, field in model.model_fields.items():
            if name not in document:
                yield path + name
            elif isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
                yield from left_out(field.annotation, document[name], f"{path}{name}.")

    assert list(left_out(configuration.Config, yaml.safe_load(text))) == []
    assert list(left_out(configuration.Config, {"model": {}}))[:1] == ["name"]  # it sees what is not there
    offered = yaml.safe_load(
        "\n".join(re.findall(r"(?m)^# (distillation:|  .*)$", text.split("distillation: null")[1]))
    )["distillation"]
    assert list(left_out(configuration.Distillation, offered)) == []
    configuration.Distillation.model_validate(offered)
    for key, kind in (("source", "dataset"), ("encoder", "encoder"), ("pooling", "pooling")):
        told = (
            next(line for line in text.splitlines() if line.strip().startswith(f"{key}:")).split("#")[1].split(";")[0]
        )
        assert set(told.replace(" ", "").split(",")) <= set(registry.names(kind)), key


def test_both_configurations_are_there():
    assert [path.stem for path in CONFIGS] == ["comprehensive", "minimal"]
