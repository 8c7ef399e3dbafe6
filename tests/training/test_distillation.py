"""Distillation: small students learn from bigger teachers, in one call and by a configuration (S0.24, features.md 3.6)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from students import network, photons, students_twin
from tiny_model import Tiny

from hardware.quantize import Levels
from soen_event import cli
from soen_event.errors import InputError
from training import checkpoint, experiment, lessons
from training import config as configuration
from training.callbacks import ModelCheckpoint
from training.data import Dataset
from training.distill import Recipe, distill, generate_teacher_trajectories, lessons_for
from training.hardening import QATStraightThrough
from training.imitation import spike_distance
from training.loop import Trainer
from training.sweeps import sweep

X = photons(128, steps=50, seed=3, share=0.04)
ADAM = {"name": "adam", "lr": 0.01}


def teacher(seed=1, **options):
    return students_twin(10, seed=seed, J=(-0.15, 0.35), **{"spiking": False, **options})


def outputs_of(run, twin):
    return run.states[:, :, [twin.plan.loop_index[name] for name in twin.outputs]]


def test_s0_24_a_small_student_learns_a_bigger_teachers_trajectory():
    """3 dendrites instead of 10: the error falls by more than 15, to less than a tenth of what a constant could do."""
    big, student = teacher(), students_twin(3, seed=7, J=(0.05, 0.2), spiking=False)
    found = distill(big, student, X, optimizer=ADAM, epochs=20, batch_size=16, progress=False)
    assert found.after["loss"] < found.before["loss"] / 15
    assert found.after["loss"] < 0.1 * outputs_of(big.forward(X), big).var()
    assert len(found.history) == 20 and found.history[-1]["val_loss"] < found.history[0]["val_loss"] / 3
    assert found.summary.splits == {"train": 89, "val": 26, "test": 13}
    held = outputs_of(big.forward(X), big) - outputs_of(student.forward(X), student)
    assert np.mean(held**2) < found.before["loss"] / 15  # by another way


def test_s0_24_a_small_student_learns_a_bigger_teachers_spikes():
    """van Rossum through the surrogate: falls by more than 6, to less than a fifth of that of a silent student."""
    big, student = teacher(spiking=True), students_twin(3, seed=7, J=(0.05, 0.2))
    found = distill(big, student, X, loss="van_rossum", optimizer=ADAM, epochs=20, batch_size=16, progress=False)
    spikes = big.forward(X).spikes.transpose(0, 2, 1)
    silent = spike_distance(spikes, np.zeros_like(spikes), 1.0, 10.0)[0].mean()
    assert found.after["loss"] < found.before["loss"] / 6
    assert found.after["loss"] < 0.2 * silent


def test_s0_24_trajectories_and_outputs_together_make_the_same_choices():
    """features.md 3.6: a sum of losses; KL falls by more than 20, the student chooses as the teacher does."""
    big = teacher(scale=10.0)
    student = students_twin(4, seed=7, J=(-0.1, 0.3), spiking=False, scale=10.0)
    found = distill(
        big, student, X, loss={"trajectory_mse": 10.0, "softmax_kl": 1.0}, optimizer=ADAM, epochs=25, batch_size=16,
        progress=False,
    )  # fmt: skip
    assert found.after["loss/softmax_kl"] < found.before["loss/softmax_kl"] / 20
    assert found.after["loss/trajectory_mse"] < found.before["loss/trajectory_mse"] / 10
    assert np.mean(student.forward(X).outputs.argmax(1) == big.forward(X).outputs.argmax(1)) > 0.8


def test_s0_24_a_student_of_few_levels_learns_better_than_a_rounded_one():
    """Direction 1 of 3.6: teacher in floating point, students with couplings of 2 bits; against rounding after the training.

    Means over three students: where one of them ends hangs on the few levels that it happens to choose.
    """
    big, levels, steps = teacher(), Levels.bits(2, -0.4, 0.4), {"max_lr": 0.02, "min_lr": 1e-4, "cycle_epochs": 40}
    test = lessons_for(big, X)[0]["test"]
    errors, before = {"rounded": 0.0, "aware": 0.0}, 0.0
    for seed in (1, 2, 3):
        for name, callbacks in (("rounded", []), ("aware", [QATStraightThrough(levels=levels, connections="J")])):
            student = students_twin(4, seed=seed, J=(0.05, 0.2), spiking=False)
            found = distill(
                big, student, X, optimizer=ADAM, scheduler={"name": "cosine", "warmup_epochs": 0, **steps}, epochs=40,
                batch_size=16, progress=False, callbacks=callbacks,
            )  # fmt: skip
            student.parameters()["J"][...] = levels.round(student.parameters()["J"])
            errors[name] += found.trainer.validate(test)["loss"] / 3
        before += found.before["loss"] / 3
    assert errors["aware"] < 0.4 * errors["rounded"]
    assert errors["aware"] < before / 8


def test_s0_24_the_student_may_have_loops_of_its_own_names_and_another_pooling():
    """A spiking teacher's currents, learnt by dendrites; the student's outputs are pooled otherwise."""
    big = teacher()
    student = students_twin(3, seed=7, J=(0.05, 0.2), spiking=False, pooling="final")
    loss = {"name": "trajectory_mse", "loops": ["o1"]}
    found = distill(
        big, student, X[:64], loss=loss, optimizer=ADAM, epochs=15, batch_size=16, progress=False,
        lessons_options={"loops": ["o1"]},
    )  # fmt: skip
    assert found.after["loss"] < found.before["loss"] / 5
    assert found.summary.columns == {"states": ["o1"]}


def test_s0_24_true_answers_go_to_the_other_losses_and_to_metrics():
    """cross_entropy and accuracy see the labels; only what a loss looks at is asked of the teacher."""
    labels = np.arange(64) % 2
    x = photons(64, steps=20, seed=2)
    x[..., 0] *= labels[:, None]
    student = students_twin(3, seed=7, J=(0.05, 0.2), spiking=False, scale=5.0)
    found = distill(
        teacher(scale=5.0), student, (x, labels), loss={"softmax_kl": 0.1, "cross_entropy": 1.0}, metrics=["accuracy"],
        optimizer=ADAM, epochs=3, progress=False,
    )  # fmt: skip
    assert set(found.summary.columns) == {"outputs"}
    test = lessons_for(teacher(scale=5.0), (x, labels), Recipe(outputs="outputs"))[0]["test"]
    share = np.mean(student.forward(test.x).outputs.argmax(axis=1) == test.y)
    assert found.after["accuracy"] == pytest.approx(share)
    assert {"loss/softmax_kl", "loss/cross_entropy", "val_accuracy"} <= set(found.history[-1])


def test_s0_24_a_function_teaches_any_model():
    """A leaky sum, written out, learnt by the states of a model without a plan."""

    def leaky(x):
        states = np.zeros((len(x), x.shape[1] + 1, 5))
        for t in range(x.shape[1]):
            states[:, t + 1] = 0.7 * states[:, t] + np.tanh(x[:, t] @ np.linspace(-1, 1, 15).reshape(3, 5))
        return states

    x = np.random.default_rng(0).normal(size=(60, 6, 3))
    student = Tiny()
    found = distill(leaky, student, x, optimizer={"name": "adam", "lr": 0.05}, epochs=40, progress=False)
    assert found.after["loss"] < found.before["loss"] / 200
    np.testing.assert_allclose(student.parameters()["W1"], np.linspace(-1, 1, 15).reshape(3, 5), atol=0.15)


def test_s0_24_a_distillation_that_is_stopped_goes_on_to_the_same_bits(tmp_path):
    """S2.20 for lessons: one epoch, then the checkpoint, against two epochs at once; also from a file that is not in memory."""
    generate_teacher_trajectories(teacher(), X[:32], tmp_path / "a.h5", progress=False)
    ends = []
    for stop in (False, True):
        data = lessons.load(tmp_path / "a.h5", cache=not stop)["train"]

        def trainer(kept):
            return Trainer(
                students_twin(3, seed=7, spiking=False), dict(ADAM), loss="trajectory_mse", progress=False,
                callbacks=[ModelCheckpoint(tmp_path / "best.h5", "loss", last=kept)],
            )  # fmt: skip

        one = trainer(tmp_path / f"last{stop}.h5")
        one.fit(data, epochs=1 if stop else 2, batch_size=8)
        if stop:
            one = trainer(tmp_path / f"last{stop}.h5")
            one.fit(data, epochs=2, batch_size=8, resume=tmp_path / f"last{stop}.h5")
            data.x.file.close()
        ends.append({name: array.copy() for name, array in one.model.parameters().items()})
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_s0_24_lessons_are_kept_and_found_again(tmp_path):
    """The same teacher, data and recipe: the file is read. Anything else is told, and the file stays."""
    asked = []

    class Counting(Tiny):
        def forward(self, *args, **options):
            asked.append(1)
            return super().forward(*args, **options)

    path, x = tmp_path / "a.h5", np.random.default_rng(0).normal(size=(30, 4, 3))
    first, _ = lessons_for(Counting(), x, path=path, progress=False)
    assert asked
    held, count = path.read_bytes(), len(asked)
    again, summary = lessons_for(Counting(), x, path=path, progress=False)
    assert len(asked) == count and again["train"].digest() == first["train"].digest()
    alone, _ = lessons_for(None, None, path=path)
    assert alone["val"].digest() == first["val"].digest() and summary.splits["train"] == 21
    for change, told in (
        (lambda: lessons_for(Counting(seed=5), x, path=path), "is of another teacher"),
        (lambda: lessons_for(Counting(), x + 1.0, path=path), "is of other data"),
        (lambda: lessons_for(Counting(), x, Recipe(max_samples=3), path=path), "max_samples = None, now it is 3"),
        (lambda: lessons_for(None, None, path=path, dt=0.5, parts=["spikes"]), "looks at spikes"),
        (lambda: lessons_for(None, None, path=tmp_path / "b.h5"), "missing, and .* is not there"),
        (lambda: lessons_for(None, None), "no file of lessons"),
    ):
        with pytest.raises(InputError, match=told):
            change()
    assert path.read_bytes() == held


def test_s0_24_nonsense_is_told_before_anything_is_learnt(tmp_path):
    student = students_twin(3, seed=7, spiking=False)
    path = generate_teacher_trajectories(teacher(), X[:20], tmp_path / "a.h5", progress=False)
    before = {name: array.copy() for name, array in student.parameters().items()}
    for change, told in (
        (lambda: distill(teacher(), student, X, loss="cross_entropy"), "does not look at the teacher"),
        (lambda: distill(teacher(), student, X, loss={"mse": 1.0, "reg_J": 0.1}), "does not look at the teacher"),
        (lambda: distill(teacher(), student, X, loss="trajectory_mes"), "did you mean 'trajectory_mse'"),
        (lambda: distill(teacher(), student, X, lessons_options={"subset": 1}), "did you mean 'subset_fraction'"),
        (lambda: distill(None, student, X), "give a teacher"),
        (lambda: distill(teacher(seed=2), student, path), "of another teacher"),
        (lambda: distill(None, students_twin(3, spiking=False, dt=0.5), path), "dt is 1 ns, the student's 0.5 ns"),
        (lambda: distill(None, student, path, loss="softmax_kl"), "a loss looks at outputs"),
        (lambda: distill(None, students_twin(3, inputs=2, spiking=False), path), r"\(batch, steps, 2\)"),
        (lambda: distill(teacher(), student, np.zeros((20, 5, 3))), "never changes"),
        (
            lambda: distill(teacher(), students_twin(3, spiking=False, outputs=["o0"]), X[:8]),
            r"\(1, 51, 2\); 1 columns of the student",
        ),
        (
            lambda: distill(teacher(), students_twin(3, spiking=False), X, loss="van_rossum"),
            "gives no spikes|makes no spikes",
        ),
    ):
        with pytest.raises(InputError, match=told):
            change()
    assert all(np.array_equal(before[name], array) for name, array in student.parameters().items())


# ------------------------------------------------------------------------------ configurations

TEACHER = """\
name: teacher
seed: 1
training: {batch_size: 16, max_epochs: 2, optimizer: {name: adam, lr: 0.01}, num_repeats: 1}
data: {source: synthetic, options: {examples: 60, steps: 20, inputs: 3, classes: 2}, encoder: null}
model:
  network: teacher.yaml
  dt: 1.0
  options: {outputs: [o0, o1], trainable: [weights, J], scale: 5.0, channels: CHANNELS}
logging: {folder: FOLDER, progress: false, durable: false}
"""
STUDENT = """\
name: student
seed: 2
training:
  paradigm: distillation
  batch_size: 16
  max_epochs: 25
  optimizer: {name: adam, lr: 0.01}
  metrics: [accuracy]
  loss: {losses: [{name: trajectory_mse, weight: 10.0}, {name: softmax_kl, params: {temperature: 3.0}}]}
distillation:
  teacher: FOLDER/teacher/seed-1/best.h5
data: {source: synthetic, options: {examples: 60, steps: 20, inputs: 3, classes: 2}}
model:
  network: student.yaml
  dt: 1.0
  options: {outputs: [o0, o1], trainable: [weights, J], scale: 5.0, channels: CHANNELS}
logging: {folder: FOLDER, progress: false, durable: false}
"""


def channels(count):
    return json.dumps({f"c{c}": [f"s{c}.{k}" for k in range(count)] for c in range(3)})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with networks, configurations, and a teacher that has been trained."""
    folder = tmp_path_factory.mktemp("distillation")
    network(6, 1, J=(-0.15, 0.35), spiking=False).save(folder / "teacher.yaml")
    network(3, 7, J=(0.2, 0.4), spiking=False).save(folder / "student.yaml")
    for name, text, count in (("teach", TEACHER, 6), ("learn", STUDENT, 3)):
        text = text.replace("CHANNELS", channels(count)).replace("FOLDER", str(folder / "runs"))
        (folder / f"{name}.yaml").write_text(text.replace("source: synthetic", "source: arrays").replace(
            "options: {examples: 60, steps: 20, inputs: 3, classes: 2}", "options: {path: photons.npz}"))  # fmt: skip
    x = photons(60, steps=20, seed=2)
    x[1::2, :, 0] = 0.0
    np.savez(folder / "photons.npz", x=x, y=np.arange(60) % 2)
    experiment.run(configuration.load(folder / "teach.yaml"))
    return folder


def test_s0_24_a_configuration_distils_from_a_checkpoint(home, capsys):
    """``soen train``: the teacher is made of the run beside its checkpoint, with that checkpoint's weights."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", str(home / "learn.yaml"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and told["runs"][0]["finished"]
    chosen = configuration.load(home / "learn.yaml")
    one = json.loads((home / "runs/student/seed-2/result.json").read_text())
    assert {"loss", "loss/trajectory_mse", "loss/softmax_kl", "accuracy"} <= set(one["test"])
    rows = (home / "runs/student/seed-2/training.csv").read_text().splitlines()
    losses = [float(dict(zip(rows[0].split(","), row.split(","), strict=True))["loss"]) for row in rows[1:]]
    assert losses[-1] < losses[0] / 4
    splits = experiment.data_of(chosen)
    made = experiment.teacher_of(chosen, splits)
    held = checkpoint.load(home / "runs/teacher/seed-1/best.h5")["model"]
    assert all(np.array_equal(array, held[name]) for name, array in made.parameters().items())
    run = made.forward(splits["test"].x)
    np.testing.assert_allclose(splits["test"].parts["outputs"], run.outputs)
    np.testing.assert_allclose(splits["test"].parts["states"], outputs_of(run, made))
    again = configuration.read(json.loads((home / "runs/student/seed-2/config.json").read_text()))
    assert again == chosen.model_copy(update={"logging": again.logging})


def test_s0_24_a_configuration_distils_from_a_network_file(home):
    """The teacher is a twin like the student's, with what ``distillation.model`` changes; weights are those in the file."""
    chosen = configuration.load(
        home / "learn.yaml",
        ["distillation.teacher=teacher.yaml", f"distillation.model={{options: {{channels: {channels(6)}}}}}"],
    )
    made = experiment.teacher_of(chosen, {})
    plain = students_twin(6, 1, J=(-0.15, 0.35), spiking=False, scale=5.0, dtype="float64")
    x = photons(5)
    np.testing.assert_allclose(made.forward(x).outputs, plain.forward(x).outputs, rtol=1e-12)
    assert set(experiment.data_of(chosen)["train"].parts) == {"states", "outputs"}


def test_s0_24_a_configuration_keeps_and_reuses_lessons(home, tmp_path):
    """Written once; then the teacher is not needed; options do what they say."""
    text = (home / "learn.yaml").read_text()
    options = ["distillation.lessons=lessons.h5", "distillation.subset_fraction=0.5", "distillation.max_samples=15"]
    chosen = configuration.load(home / "learn.yaml", options)
    splits = experiment.data_of(chosen)
    assert {name: len(each) for name, each in splits.items()} == {"train": 15, "val": 6, "test": 3}
    assert lessons.validate(home / "lessons.h5").splits == {"train": 15, "val": 6, "test": 3}
    data = "data: {source: arrays, options: {path: photons.npz}}"
    assert data in text
    alone = text.replace(data, "").replace(f"teacher: {home}/runs/teacher/seed-1/best.h5", "lessons: lessons.h5")
    (home / "alone.yaml").write_text(alone)
    found = configuration.load(home / "alone.yaml", [f"logging.folder={tmp_path}", "training.max_epochs=2"])
    outcome = experiment.run(found)[0]
    assert outcome.finished and outcome.history[-1]["loss"] < outcome.history[0]["loss"]
    with pytest.raises(InputError, match=r"subset_fraction = 0\.5, now it is 1\.0") as told:
        experiment.data_of(configuration.load(home / "learn.yaml", [options[0], options[2]]))
    assert len(told.value.faults) == 1
    with pytest.raises(InputError, match="dt is 1 ns, the student's 2 ns"):
        experiment.run(configuration.load(home / "alone.yaml", ["model.dt=2.0"]))


def test_s0_24_a_configuration_distils_for_a_chip(home, tmp_path):
    """The callbacks of docs/training_loop.md: the best weights are within the chip's ranges, with the signs of the network file."""
    qat = "{bits: 4, scheme: pow2+1, min_val: -0.38, max_val: 0.38, connections: J}"
    chosen = configuration.load(
        home / "learn.yaml",
        [
            f"logging.folder={tmp_path}",
            "training.max_epochs=3",
            "callbacks.limits={chip: ascr_y1, signs: J}",
            f"callbacks.qat={qat}",
        ],
    )
    J = experiment.run(chosen)[0].model.parameters()["J"]
    assert J.min() >= 0.0 and J.max() <= 0.38


def test_s0_24_a_sweep_distils(home, tmp_path):
    chosen = configuration.load(home / "learn.yaml", ["training.max_epochs=1"])
    found = sweep(
        chosen,
        {"training.optimizer.lr": [1e-2, 1e-5]},
        seeds=[0],
        monitor="val_loss",
        path=tmp_path / "s.jsonl",
        workers=1,
    )
    assert found.best == {"training.optimizer.lr": 1e-2}


FAULTS = [
    (["distillation.teachr=a"], r"distillation\.teachr: unknown key \(did you mean 'teacher'\?\)"),
    (["distillation.teacher=a.txt"], r"distillation\.teacher: .*a\.txt: the suffix '\.txt'"),
    (
        ["distillation.teacher=runs/teacher/seed-1/bst.h5"],
        r"distillation\.teacher: .* no such file \(did you mean 'best\.h5'",
    ),
    (["distillation.config=nope.yaml"], r"distillation\.config: .*nope\.yaml: there is no such file"),
    (
        ["distillation.teacher=teacher.yaml", "distillation.config=teach.yaml"],
        "the teacher is a network file; leave it out",
    ),
    (["distillation.subset_fraction=0"], r"distillation\.subset_fraction: 0 is not above 0"),
    (["distillation.scale_min=0.5"], r"distillation\.scale_max: missing"),
    (["distillation.outputs=[sates]"], "did you mean 'states'"),
    (["distillation.outputs=[states]"], r"distillation\.outputs: a loss looks at outputs; add that"),
    (["distillation.batch_size=0"], r"distillation\.batch_size: 0"),
    (["distillation.model={dtt: 1}"], r"distillation\.model\.dtt: unknown key \(did you mean 'dt'\?\)"),
    (["distillation.model={dt: -1.0}"], r"distillation\.model\.dt: -1\.0 is not right"),
    (["distillation.model={options: 3}"], r"distillation\.model\.options: 3 is not right"),
    (["distillation.teacher=null"], r"distillation\.teacher: missing, and there are no lessons"),
    (["distillation.teacher=null", "distillation.lessons=l.h5"], r"data\.source: is for writing lessons"),
    (
        ["distillation.teacher=null", "distillation.lessons=l.h5", "distillation.max_samples=3"],
        r"max_samples: is for writing",
    ),
    (["training.loss.losses=[{name: cross_entropy}]"], r"training\.loss: no part looks at the teacher"),
    (["training.loss.losses=[{name: van_rosum}]"], "did you mean 'van_rossum'"),
    (["training.paradigm=supervised"], "the paradigm is 'supervised'; leave it out"),
    (["distillation=null"], "distillation: missing"),
]


@pytest.mark.parametrize(("changes", "told"), FAULTS)
def test_s0_24_faults_of_a_configuration_name_their_keys(home, changes, told):
    with pytest.raises(InputError, match=told):
        configuration.load(home / "learn.yaml", changes)


def test_s0_24_all_faults_of_the_block_are_told_at_once(home):
    with pytest.raises(InputError) as found:
        configuration.load(
            home / "learn.yaml",
            [
                "distillation.subset_fraction=2",
                "distillation.max_samples=0",
                "distillation.teacher=x.h5",
                "training.metrics=[acuracy]",
            ],
        )
    assert len(found.value.faults) == 4


def test_s0_24_teachers_that_do_not_fit_are_told(home, tmp_path):
    """No configuration beside the checkpoint; a checkpoint of another network."""
    held = (home / "runs/teacher/seed-1/best.h5").read_bytes()
    (tmp_path / "lost.h5").write_bytes(held)
    with pytest.raises(
        InputError, match=r"distillation\.teacher: .*config\.json is not there; give .* distillation\.config"
    ):
        experiment.data_of(configuration.load(home / "learn.yaml", [f"distillation.teacher={tmp_path}/lost.h5"]))
    chosen = configuration.load(
        home / "learn.yaml", [f"distillation.teacher={tmp_path}/lost.h5", "distillation.config=teach.yaml"]
    )
    assert "outputs" in experiment.data_of(chosen)["train"].parts
    other = f"{{network: student.yaml, options: {{channels: {channels(3)}}}}}".replace("student", str(home / "student"))
    with pytest.raises(InputError, match=r"distillation\.teacher: .*'weights' is float64 of shape \(18,\)"):
        experiment.data_of(configuration.load(home / "learn.yaml", [f"distillation.model={other}"]))


def test_s0_24_what_the_teacher_refuses_is_told_by_key(home):
    for change, told in (
        ("distillation.loops=[o9]", r"^distillation\.loops: 'o9' is not in the network"),
        ("distillation.outputs=[states, outputs, spikes]", r"^distillation\.outputs: the teacher gives no spikes"),
        ("distillation.model={options: {tau: 1}}", r"^distillation\.teacher: model\.options\.tau: there is no"),
    ):
        with pytest.raises(InputError, match=told):
            experiment.data_of(configuration.load(home / "learn.yaml", [change]))


def test_s0_24_a_labelled_set_stays_labelled():
    data = Dataset(X[:20], np.arange(20) % 2)
    one = lessons_for(teacher(), data)[0]["train"]
    assert one.labelled and one.classes == 2 and experiment.mapping_of(one) == "seq2static"
