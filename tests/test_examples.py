"""Every example prints what stands beside it, draws its pictures, and the README's snippets run."""

import subprocess
import sys
from pathlib import Path

import pytest
from snippets import run

import soen_event as se

ROOT = Path(__file__).parent.parent
TRAINING = (
    "train_loop",
    "basic_training_loop",
    "own_loop",
    "train_digits",  # takes minutes: in test_train_digits.py
)  # in test_training_examples.py: their last digits are not fixed
LONG = ("train_mnist",)  # minutes of training; test_train_mnist.py runs a part of it
EXAMPLES = sorted(path for path in ROOT.glob("examples/*/*.out") if path.stem not in TRAINING + LONG)


SPECIAL = {  # arguments and number of pictures, where they are not one picture's name and one
    "digits": (["{folder}"], 2),
    "imperfect_chips": (["--quick", "--out", "{folder}"], 1),
    "energy_of_digits": ([], 0),
    "learn_letters": (["{folder}"], 2),
}


@pytest.mark.parametrize("expected", EXAMPLES, ids=lambda p: p.stem)
def test_example_prints_what_stands_beside_it(expected, tmp_path):
    script = expected.with_suffix(".py")
    arguments, count = SPECIAL.get(script.stem, (["{folder}/picture.png"], 1))
    out = subprocess.run(
        [sys.executable, script, *(argument.format(folder=tmp_path) for argument in arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert out.returncode == 0, out.stderr
    lines = [line for line in out.stdout.splitlines() if not line.startswith("drawn to ")]
    assert lines == expected.read_text().splitlines()
    pictures = list(tmp_path.glob("*.png"))
    assert len(pictures) == count
    assert all(p.read_bytes().startswith(b"\x89PNG") and p.stat().st_size > 10_000 for p in pictures)


def test_no_example_is_missing():
    assert {p.stem for p in EXAMPLES} == {
        "one_photon",
        "nine_pixels",
        "learn_letters",
        "digits",
        "deploy_to_a_chip",
        "imperfect_chips",
        "energy_of_digits",
        "stdp_window",
        "delayed_reward",
        "relearning",
        "onchip_digits",
        "unsupervised_digits",
    }


def test_readme_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = run(ROOT / "README.md")
    assert len(scope["rec"].spikes["n1"]) >= 1
    assert (tmp_path / "run.h5").exists()


def test_every_exported_name_is_there_and_documented():
    for name in se.__all__:
        value = getattr(se, name)
        if name != "__version__":
            assert value.__doc__, name
    assert set(se.__all__) <= set(dir(se))
    assert callable(se.simulate)
    with pytest.raises(AttributeError, match="no attribute 'Netwrok'"):
        _ = se.Netwrok


def imports_of(statement):
    out = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True
    )
    return [line.rsplit("|", 1)[-1].strip() for line in out.stderr.splitlines()]


def test_import_is_light():
    loaded = imports_of("import soen_event")
    for heavy in (
        "numba",
        "scipy",
        "matplotlib",
        "h5py",
        "sklearn",
        "pydantic",
        "yaml",
        "hypothesis",
        "hardware",
        "training",
    ):
        assert heavy not in loaded, heavy
