"""Files of lessons: what is written, what the options do, what is refused, and that they are whole or not there."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from students import photons, students_twin
from tiny_model import Tiny

from soen_event.errors import InputError
from training import data, lessons
from training.data import Dataset
from training.distill import digest_of, generate_teacher_trajectories, validate_distillation_dataset
from training.lessons import Lesson, Lessons
from training.model import Run

quick = settings(max_examples=25, deadline=None)


def flat(x):
    """A teacher that is a function: the running sum of every input."""
    return np.cumsum(x, axis=1)


def labelled(count=40, steps=6, inputs=3, seed=0):
    rng = np.random.default_rng(seed)
    return Dataset(rng.uniform(0.0, 2.0, (count, steps, inputs)), np.arange(count) % 4, name="made up")


def written(path, teacher=flat, source=None, **options):
    options = {"outputs": "states", "progress": False, **options}
    return generate_teacher_trajectories(teacher, labelled() if source is None else source, path, **options)


def test_s0_24_a_twin_writes_states_spikes_and_outputs(tmp_path):
    """What is in the file is what the twin does, in the shapes of S0.24: data [N, T, in], labels [N, T + 1, out]."""
    twin = students_twin(4, scale=3.0)
    x = photons(20)
    path = written(
        tmp_path / "a.h5", twin, Dataset(x, np.arange(20) % 2), outputs=("states", "spikes", "outputs"), batch_size=7
    )
    summary = validate_distillation_dataset(path)
    assert summary.splits == {"train": 14, "val": 4, "test": 2}
    assert (summary.steps, summary.inputs, summary.classes, summary.dt) == (40, 3, 2, 1.0)
    assert summary.columns == {"states": ["n0", "n1"], "spikes": ["n0", "n1"], "outputs": ["n0", "n1"]}
    assert summary.teacher["digest"] == digest_of(twin) and summary.teacher["source_functions"] == ["ri"]
    with h5py.File(path) as file:
        assert file["train/data"].shape == (14, 40, 3) and file["train/labels"].shape == (14, 41, 2)
        assert file["train/labels"] == file["train/states"]
        every = np.concatenate([file[split]["data"][()] for split in ("train", "val", "test")])
    for one in lessons.load(path).values():
        run = twin.forward(one.x)
        somas = [twin.plan.loop_index[name] for name in ("n0", "n1")]
        np.testing.assert_allclose(one.parts["states"], run.states[:, :, somas], atol=2e-6)
        np.testing.assert_array_equal(one.parts["spikes"], run.spikes)
        np.testing.assert_allclose(one.parts["outputs"], run.outputs, atol=1e-5)
    assert sorted(map(bytes, every)) == sorted(map(bytes, x))  # every example once
    told = str(summary)
    assert "14 train, 4 val, 2 test" in told and digest_of(twin) in told


def test_s0_24_the_file_is_read_by_training_data_too(tmp_path):
    path = written(tmp_path / "a.h5", flat, labelled())
    plain = data.load(path)
    assert set(plain) == {"train", "val", "test"}
    np.testing.assert_allclose(plain["train"].y, np.cumsum(plain["train"].x, axis=1), rtol=1e-6)


def test_s0_24_loops_chooses_what_is_kept(tmp_path):
    twin = students_twin(4)
    path = written(tmp_path / "a.h5", twin, photons(10), loops=["d1", "n0"])
    one = lessons.load(path)["train"]
    run = twin.forward(one.x)
    assert validate_distillation_dataset(path).columns == {"states": ["d1", "n0"]}
    wanted = run.states[:, :, [twin.plan.loop_index["d1"], twin.plan.loop_index["n0"]]]
    np.testing.assert_allclose(one.parts["states"], wanted, atol=2e-6)


def test_s0_24_the_teacher_is_not_changed(tmp_path):
    """Weights, and state that it carries from batch to batch."""
    teacher = Tiny()
    teacher.initial_state = np.full(5, 0.25)
    before = {name: array.copy() for name, array in teacher.parameters().items()}
    written(tmp_path / "a.h5", teacher)
    assert all(np.array_equal(before[name], array) for name, array in teacher.parameters().items())
    np.testing.assert_array_equal(teacher.initial_state, np.full(5, 0.25))
    assert validate_distillation_dataset(tmp_path / "a.h5").columns["states"] == ["0", "1", "2", "3", "4"]


@quick
@given(
    count=st.integers(12, 60), share=st.floats(0.05, 1.0), most=st.none() | st.integers(1, 30), seed=st.integers(0, 9)
)
def test_s0_24_subset_fraction_and_max_samples(tmp_path_factory, count, share, most, seed):
    """Sizes as said, of each split; the chosen examples are some of it, each once; the mix of the classes is kept."""
    source = labelled(count)
    source.x[:, 0, 0] = np.arange(count)
    folder = tmp_path_factory.mktemp("subset")
    whole = lessons.load(written(folder / "whole.h5", source=source, seed=seed))
    part = lessons.load(
        written(folder / "part.h5", source=source, seed=seed, subset_fraction=share, max_samples=most, batch_size=5)
    )
    for split, one in part.items():
        wanted = max(1, round(share * len(whole[split])))
        assert len(one) == min(wanted, most or wanted)
        numbers = one.x[:, 0, 0].astype(int)
        assert set(numbers) <= set(whole[split].x[:, 0, 0].astype(int)) and len(set(numbers)) == len(numbers)
        np.testing.assert_array_equal(one.y, numbers % 4)
    classes = np.bincount(part["train"].y, minlength=4)
    share_of = np.bincount(whole["train"].y, minlength=4) * len(part["train"]) / len(whole["train"])
    assert np.abs(classes - share_of).max() <= 1.0 + 1e-9


def test_s0_24_target_seq_len_brings_inputs_to_a_number_of_steps(tmp_path):
    """Along a straight line, both ends kept; the teacher sees them so, and labels of every step go along."""
    x = np.linspace(0.0, 1.0, 5)[None, :, None] * np.arange(1.0, 13.0)[:, None, None]
    y = np.tile(np.array([0, 0, 1, 1, 1]), (12, 1))
    one = lessons.load(written(tmp_path / "a.h5", source=Dataset(x, y), target_seq_len=9))["train"]
    assert one.x.shape[1:] == (9, 1)
    np.testing.assert_allclose(one.x[:, :, 0], one.x[:, -1:, 0] * np.linspace(0, 1, 9))
    np.testing.assert_allclose(one.parts["states"], np.cumsum(one.x, axis=1), rtol=1e-6)
    assert one.y.shape[1] == 9 and one.y[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]


@quick
@given(low=st.floats(-5.0, 5.0), span=st.floats(0.01, 10.0))
def test_s0_24_scale_min_and_max_are_the_range_of_the_training_inputs(tmp_path_factory, low, span):
    """A straight line that takes the training inputs from scale_min to scale_max; others are cut at the bounds."""
    source = labelled(30)
    folder = tmp_path_factory.mktemp("scale")
    plain = lessons.load(written(folder / "plain.h5", source=source))
    one = lessons.load(written(folder / "scaled.h5", source=source, scale_min=low, scale_max=low + span, batch_size=4))
    old, new = plain["train"].x, one["train"].x
    assert (new.min(), new.max()) == pytest.approx((low, low + span), rel=1e-9, abs=1e-9)
    line = low + (old - old.min()) * span / (old.max() - old.min())
    np.testing.assert_allclose(new, line, rtol=1e-9, atol=1e-9)
    for each in one.values():
        assert each.x.min() >= low and each.x.max() <= low + span
        np.testing.assert_allclose(each.parts["states"], np.cumsum(each.x, axis=1), rtol=1e-6, atol=1e-6)


def test_s0_24_files_do_not_depend_on_the_batch_size_and_are_repeated_to_the_bit(tmp_path):
    for k, size in enumerate((32, 32, 7)):
        written(tmp_path / f"{k}.h5", subset_fraction=0.7, scale_min=0.0, scale_max=1.0, batch_size=size, seed=4)
    one, again, other = (lessons.load(tmp_path / f"{k}.h5") for k in range(3))
    assert (tmp_path / "0.h5").read_bytes() == (tmp_path / "1.h5").read_bytes()
    for split, each in one.items():
        assert each.digest() == again[split].digest() == other[split].digest()
    assert one["train"].digest() != lessons.load(written(tmp_path / "s.h5", seed=5))["train"].digest()


def test_s0_24_memory_is_that_of_a_batch(tmp_path):
    """Data in a file are read, and lessons written, a batch at a time."""
    data.save(tmp_path / "big.h5", {"train": labelled(50), "val": labelled(9, seed=1)})
    seen = []

    def teacher(x):
        seen.append(len(x))
        return flat(x)

    told = []
    written(
        tmp_path / "a.h5",
        teacher,
        tmp_path / "big.h5",
        batch_size=8,
        progress=lambda done, total: told.append((done, total)),
    )
    assert seen == [8] * 6 + [2] + [8, 1] and told[-1] == (59, 59) and told[0] == (8, 59)
    lazy = lessons.load(tmp_path / "a.h5", cache=False)["train"]
    assert type(lazy.x).__module__.startswith("h5py") and type(lazy.parts["states"]).__module__.startswith("h5py")
    x, lesson = lazy.batch(np.array([4, 1, 1]))
    np.testing.assert_allclose(lesson.parts["states"], np.cumsum(x, axis=1), rtol=1e-6)
    held = lessons.load(tmp_path / "a.h5")["train"]
    np.testing.assert_array_equal(x, held.x[[4, 1, 1]])
    assert lazy.digest() == held.digest()
    lazy.x.file.close()


def test_s0_24_a_teacher_that_fails_leaves_the_old_file(tmp_path):
    path = written(tmp_path / "a.h5")
    held = path.read_bytes()

    def bad(x):
        out = flat(x)
        out[-1, 2, 0] = np.nan
        return out

    with pytest.raises(InputError, match="states are not all finite"):
        written(path, bad, overwrite=True)
    with pytest.raises(ZeroDivisionError):
        written(path, lambda x: 1 // 0, overwrite=True)
    with pytest.raises(InputError, match="exists already"):
        written(path)
    assert path.read_bytes() == held and [each.name for each in tmp_path.iterdir()] == ["a.h5"]


def test_s0_24_lessons_are_data(tmp_path):
    """Batches, subsets, one-hot answers, and inputs alone without answers."""
    one = lessons.load(written(tmp_path / "a.h5"))["train"]
    assert isinstance(one, Lessons) and one.classes == 4 and one.labelled
    part = one.subset([5, 0])
    x, lesson = part.batch(np.array([1, 0]))
    np.testing.assert_array_equal(x, one.x[[0, 5]])
    np.testing.assert_array_equal(lesson.parts["states"], one.parts["states"][[0, 5]])
    np.testing.assert_array_equal(np.asarray(lesson), one.y[[0, 5]])
    assert isinstance(lesson, Lesson) and len(lesson) == 2 and lesson.shape == (2,) and lesson.ndim == 1
    assert lesson[0] == one.y[0] and lesson.dtype == one.y.dtype
    assert one.one_hot().batch(np.array([3]))[1].answers.tolist() == np.eye(4)[one.y[[3]]].tolist()
    bare = lessons.load(written(tmp_path / "b.h5", source=np.random.default_rng(0).uniform(size=(12, 4, 2))))["train"]
    lesson = bare.batch(np.arange(3))[1]
    assert lesson.answers is None and not bare.labelled
    np.testing.assert_array_equal(np.asarray(lesson), bare.parts["states"][:3])


def test_s0_24_functions_may_give_runs(tmp_path):
    def teacher(x):
        return Run(x[:, -1], states=flat(x), spikes=(x > 1.5) * 1.0)

    path = written(tmp_path / "a.h5", teacher, outputs=["outputs", "spikes"], dt=0.5)
    summary = validate_distillation_dataset(path, dt=0.5)
    assert set(summary.columns) == {"outputs", "spikes"} and summary.ranges["spikes"] == (0.0, 1.0)
    assert summary.teacher["kind"].endswith("teacher") and summary.teacher["digest"] is None
    np.testing.assert_allclose(data.load(path)["val"].y, data.load(path)["val"].x[:, -1])


def test_s0_24_the_digest_is_of_what_a_teacher_does():
    one, other = students_twin(3), students_twin(3)
    assert digest_of(one) == digest_of(other)
    other.parameters()["J"][0] += 1e-3
    assert digest_of(one) != digest_of(other)
    assert digest_of(one) != digest_of(students_twin(3, scale=2.0)) and digest_of(flat) is None


WRONG = [
    ({"subset_fraction": 0.0}, "subset_fraction: 0 is not above 0"),
    ({"subset_fraction": 1.5}, "subset_fraction: 1.5 is above 1"),
    ({"max_samples": 0}, "max_samples: 0 is out of range"),
    ({"max_samples": 2.5}, "max_samples: 2.5"),
    ({"batch_size": 0}, "batch_size: 0"),
    ({"target_seq_len": 0}, "target_seq_len: 0"),
    ({"scale_min": 0.0}, "scale_max: missing"),
    ({"scale_min": 1.0, "scale_max": 1.0}, "1 is not below scale_max = 1"),
    ({"scale_min": 0.0, "scale_max": float("nan")}, "scale_max: nan is not finite"),
    ({"outputs": "sates"}, "did you mean 'states'"),
    ({"outputs": ()}, "there are none"),
    ({"outputs": ("states", "states")}, "stands twice"),
    ({"outputs": ("states", "spikes")}, "gives one part"),
    ({"loops": "n0"}, "no list of ids"),
    ({"seed": -1}, "lessons.seed: -1"),
    ({"sed": 1}, "did you mean 'seed'"),
    ({"progress": "yes"}, "none of True, False"),
    ({"val": 0.7, "test": 0.4}, "leave nothing"),
    ({"teacher": 3}, "neither a model nor a function"),
    ({"teacher": lambda x: x[:, :2]}, r"return \(28, 7, C\)"),
    ({"teacher": lambda x: np.full(x.shape, "a")}, "not numbers"),
    ({"teacher": Tiny(), "outputs": "spikes"}, "gives no spikes"),
    ({"teacher": students_twin(1), "loops": ["d0", "n9"]}, "'n9' is not in the network"),
    ({"teacher": students_twin(1), "dt": 2.0}, "2 ns is given, and the teacher has 1"),
    ({"source": "none.h5"}, "there is no such file"),
    ({"source": 5}, "int is no data"),
    ({"source": {"trian": labelled()}}, "did you mean 'train'"),
    ({"source": Dataset(np.ones((20, 3, 1)), None), "scale_min": 0.0, "scale_max": 1.0}, "cannot be spread"),
]


@pytest.mark.parametrize(("options", "told"), WRONG)
def test_s0_24_wrong_options_are_told_and_leave_nothing(tmp_path, options, told):
    options = {"path": tmp_path / "a.h5", **options}
    with pytest.raises(InputError, match=told):
        written(**options)
    assert not list(tmp_path.iterdir())


def _replaced(file, name, array):
    del file[name]
    file[name] = array


def _meta(file, **changes):
    file.attrs["meta"] = json.dumps({**json.loads(file.attrs["meta"]), **changes})


def _nan(file):
    file["val/states"][1, 2, 0] = np.nan


def _constant(file):
    file["train/states"][...] = 0.25


def _answers(file):
    file["test/answers"][0] = 9


BROKEN = [
    (lambda f: f.pop("val"), "there is no split 'val'"),
    (lambda f: f["train"].pop("labels"), "train: has no array 'labels'"),
    (lambda f: f["train"].pop("data"), "train: has no array 'data'"),
    (lambda f: f["train"].pop("states"), "train: has no array 'states'"),
    (lambda f: _replaced(f, "val/data", np.zeros((3, 2))), "val/data: has shape (3, 2)"),
    (lambda f: _replaced(f, "val/states", np.zeros((3, 6, 3))), "val/states: has shape (3, 6, 3) for 8 examples"),
    (lambda f: _replaced(f, "val/states", np.zeros((8, 9, 3))), "states of 6 steps are (8, 7, 3)"),
    (lambda f: _replaced(f, "val/states", np.zeros((8, 6, 2))), "the last axis must be its 3 names"),
    (lambda f: _replaced(f, "test/data", np.ones((4, 6, 2))), "data of an example has shape (6, 2) in 'test'"),
    (lambda f: _replaced(f, "test/answers", np.zeros(3)), "test/answers: has shape (3,) for 4 examples"),
    (_nan, "val/states[1, 2, 0]: nan is not finite"),
    (_constant, "train/states: never changes"),
    (_answers, "test/answers[0]: 9 is not from 0 to 3"),
    (lambda f: _meta(f, dt=-1), "dt = -1 is no time"),
    (lambda f: _meta(f, dt=0.5), "dt is 0.5 ns, the student's 1 ns"),
    (lambda f: _meta(f, names={"stats": ["a"]}), "names are of ['stats']"),
    (lambda f: f.attrs.__setitem__("meta", "{"), "meta data cannot be read"),
    (lambda f: f.attrs.__setitem__("version", 7), "has version 7"),
    (lambda f: f.attrs.__setitem__("format", "x"), "is no file of lessons"),
]


@pytest.mark.parametrize(("damage", "told"), BROKEN)
def test_s0_24_broken_files_are_told(tmp_path, damage, told):
    path = written(tmp_path / "a.h5", dt=1.0)
    validate_distillation_dataset(path, dt=1.0)
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(InputError) as found:
        validate_distillation_dataset(path, dt=1.0)
    assert any(told in fault for fault in found.value.faults), found.value.faults


def test_s0_24_all_faults_are_told_together(tmp_path):
    path = written(tmp_path / "a.h5", dt=1.0)
    with h5py.File(path, "r+") as file:
        for damage in (lambda f: f.pop("test"), _nan, _constant):
            damage(file)
    with pytest.raises(InputError) as found:
        validate_distillation_dataset(path, dt=0.5, teacher="someone")
    assert len(found.value.faults) == 5


def test_s0_24_spikes_outside_0_and_1_and_single_constant_columns(tmp_path):
    path = written(
        tmp_path / "a.h5", lambda x: np.stack([0 * x[..., 0], 1.5 * (x[..., 0] > 1)], axis=-1), outputs="spikes"
    )
    with pytest.raises(InputError, match=r"go from 0 to 1\.5"):
        validate_distillation_dataset(path)
    path = written(tmp_path / "b.h5", lambda x: np.stack([0 * x[..., 0], x[..., 0] > 1], axis=-1), outputs="spikes")
    assert validate_distillation_dataset(path).constant == {"spikes": ["0"]}
    assert "1 never change" in str(validate_distillation_dataset(path))


def test_s0_24_a_damaged_or_other_file_is_told(tmp_path):
    path = written(tmp_path / "a.h5")
    whole = path.read_bytes()
    with h5py.File(path) as file:
        at = whole.index(file["val/states"][()].tobytes()[:32])
    path.write_bytes(whole[:at] + b"\x55" + whole[at + 1 :])
    with pytest.raises(InputError, match="damaged"):
        validate_distillation_dataset(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="no HDF5 file"):
        validate_distillation_dataset(path)
    with pytest.raises(InputError, match=r"did you mean 'a\.h5'"):
        validate_distillation_dataset(tmp_path / "b.h5")
    with pytest.raises(InputError, match="is no file of lessons"):
        validate_distillation_dataset(data.save(tmp_path / "c.h5", labelled()))
