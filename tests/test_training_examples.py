"""The examples of training print what stands beside them, to within the last digits, and their losses fall (features.md 1.1, 1.2)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def printed(name, folder):
    """Lines of an example's output; its picture is in the folder."""
    script = ROOT / "examples" / name / f"{name}.py"
    out = subprocess.run(
        [sys.executable, script, folder / "picture.png"], capture_output=True, text=True, check=False, cwd=folder
    )
    assert out.returncode == 0, out.stderr
    assert [path.name for path in folder.iterdir()] == ["picture.png"]
    data = (folder / "picture.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 10_000
    return [line for line in out.stdout.splitlines() if not line.startswith("drawn to ")]


def alike(found, name):
    """The words are those of the .out file; its numbers, which follow from sums in another order elsewhere, nearly so."""
    wanted = (ROOT / "examples" / name / f"{name}.out").read_text().splitlines()
    assert [NUMBER.sub("#", line).split() for line in found] == [NUMBER.sub("#", line).split() for line in wanted]
    for one, other in zip(found, wanted, strict=True):
        for a, b in zip(NUMBER.findall(one), NUMBER.findall(other), strict=True):
            assert float(a) == pytest.approx(float(b), rel=0.1, abs=0.02), (one, other)


def losses(lines):
    return [
        float(found[1]) for line in lines if (found := re.search(r"(?<!_)\bloss (\d+\.\d+)", line)) and "epoch " in line
    ]


def percent(line):
    return [float(each) for each in re.findall(r"(\d+) %", line)]


def test_s1_15_train_loop(tmp_path):
    """S1.15: net, optimizer, loss function, loop: the printed loss falls; the engine reads new flowers as the twin does."""
    lines = printed("train_loop", tmp_path)
    course = losses(lines)
    assert len(course) == 6 and course[-1] < 0.2 * course[0]
    twin, engine = (percent(line)[0] for line in lines[-2:])
    assert min(twin, engine) >= 90 and abs(twin - engine) <= 6
    alike(lines, "train_loop")


def test_s2_25_basic_training_loop(tmp_path):
    """S2.25: optimizer, schedule, four metrics and callbacks in one loop; the loss falls, new digits are read."""
    lines = printed("basic_training_loop", tmp_path)
    course = [line for line in lines if line.startswith("epoch")]
    assert losses(course)[-1] < 0.05 * losses(course)[0]
    assert percent(lines[-1])[0] >= 90
    alike(lines, "basic_training_loop")


def test_s2_29_own_loop(tmp_path):
    """S2.29: standard parts in a loop of one's own: the loss falls in both trainings, and training in poor light helps there."""
    lines = printed("own_loop", tmp_path)
    for course in (losses(lines[1:4]), losses(lines[5:8])):
        assert len(course) == 3 and course[-1] < 0.3 * course[0]
    bright, dim = (percent(line)[1:] for line in lines[-2:])
    assert bright[0] >= 95 and dim[-2] > bright[-2] + 3 and dim[-1] > bright[-1] + 5
    alike(lines, "own_loop")
