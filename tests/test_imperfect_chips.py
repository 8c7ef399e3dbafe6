"""The Monte-Carlo example: its chips are what they are called, its numbers can be done again, its energies add up."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware import montecarlo

FOLDER = Path(__file__).parent.parent / "examples" / "imperfect_chips"
sys.path.append(str(FOLDER))
import chip_study  # noqa: E402
import energy_of_digits  # noqa: E402
import imperfect_chips  # noqa: E402

TRAIN, TEST = 30, 10


@pytest.fixture(scope="module")
def drawn():
    return chip_study.digits.network()


def weights(**what):
    return chip_study.chip(chip_study.point(TRAIN, TEST, **what), 7).parameters()["weights"]


def test_points_differ_and_all_have_names_of_their_own():
    for quick in (True, False):
        exact, chips = chip_study.study(300, 200, quick)
        names = [imperfect_chips.label(point) for point in exact + chips]
        assert len(set(names)) == len(names)
        assert names[0] == "perfect chip"
        assert all(point["percent"] or point["dead"] for point in chips)  # something of each is drawn
        assert not any(point["percent"] or point["dead"] for point in exact)


def test_a_chip_deviates_in_proportion_to_the_percentage(drawn):
    nominal = drawn.parameters()["weights"]
    five, ten = (weights(quantity="mutual", percent=x) / nominal - 1.0 for x in (5.0, 10.0))
    np.testing.assert_allclose(ten, 2.0 * five, atol=1e-12)
    assert np.std(ten) == pytest.approx(0.1, rel=0.08)  # 1800 draws: 4.8 standard errors
    assert np.array_equal(weights(quantity="bias", percent=5.0), nominal)


def test_three_percent_of_everything_is_the_published_spread():
    published = chip_study.Spread.published()
    found = chip_study.how("all", chip_study.PUBLISHED)
    for name in ("critical_current", "bias", "inductance", "mutual", "threshold"):
        assert getattr(found, name) == getattr(published, name)
    assert found.detection == 1.0
    assert found.efficiency == 0.0


@given(bits=st.integers(1, 8), seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_fitted_levels_are_no_worse_than_those_that_span_the_weights(bits, seed):
    values = np.random.default_rng(seed).normal(size=100)
    error = {
        kind: np.mean((chip_study.levels(values, bits, kind).round(values) - values) ** 2)
        for kind in ("span", "fitted")
    }
    assert error["fitted"] <= error["span"] * (1.0 + 1e-12)  # but for rounding
    assert len(chip_study.levels(values, bits, "fitted")) == 2**bits


def test_programmed_weights_have_few_values_and_dead_detectors_no_efficiency():
    assert len(np.unique(weights(bits=3, levels="fitted"))) <= 8
    chip = chip_study.chip(chip_study.point(TRAIN, TEST, dead=0.2), 3)
    dead = sum(synapse.efficiency == 0.0 for synapse in chip.synapses.values())
    assert 0.15 * 1800 < dead < 0.25 * 1800


def test_on_a_perfect_chip_the_three_readouts_agree():
    found = chip_study.accuracies(chip_study.point(TRAIN, TEST), 0)
    assert found["trained"] == found["recentred"] == found["retrained"] > 0.4
    assert found["spikes"] > 1000


def test_a_stopped_study_goes_on_to_the_same_numbers_on_any_number_of_workers(tmp_path):
    points = [chip_study.point(TRAIN, TEST, percent=10.0)]
    whole = montecarlo.run(chip_study.accuracies, points, [0, 1], tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:20])
    again = montecarlo.run(chip_study.accuracies, points, [0, 1], tmp_path / "cut.jsonl", workers=2)
    assert whole.rows == again.rows
    assert whole.array("spikes")[0, 0] != whole.array("spikes")[0, 1]
    assert imperfect_chips.table([whole]) == imperfect_chips.table([again])


@pytest.mark.parametrize(
    ("given_", "faults"),
    [
        (["--chips", "1", "--train", "5", "--test", "541"], ["--chips: 1", "--train: 5", "--test: 541"]),
        (["--workers", "0"], ["--workers: 0"]),
        (["--out", __file__], ["--out: "]),
        (["--energy", "--test", "0"], ["--test: 0"]),
    ],
)
def test_nonsense_is_told_all_at_once(given_, faults, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert imperfect_chips.main(given_) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == len(faults)
    assert all(line.startswith(fault) for line, fault in zip(told, faults, strict=True))
    assert not list(tmp_path.iterdir())


def test_a_folder_with_another_study_is_refused(tmp_path, capsys):
    montecarlo.run(chip_study.accuracies, [chip_study.point(TRAIN, TEST)], [0], tmp_path / "exact.jsonl")
    assert imperfect_chips.main(["--quick", "--out", str(tmp_path)]) == 2
    assert "exact.jsonl: holds a study with other points" in capsys.readouterr().err


@pytest.mark.parametrize("given_", [["many"], ["0"], ["541"], ["-3"], ["2", "3"]])
def test_energy_refuses_what_is_no_number_of_digits(given_, capsys):
    assert energy_of_digits.main(given_) == 2
    assert "give 1 to 540" in capsys.readouterr().err


def test_energies_by_part_add_up():
    book = energy_of_digits.ledger(3)
    parts = energy_of_digits.by_part(book)
    assert sum(parts.values()) == pytest.approx(book.total.drawn, rel=1e-12)
    assert parts["dendrites"] + parts["somas"] == pytest.approx(book.kinds["loops"].drawn, rel=1e-12)
    detectors = parts["detectors of pixels"] + parts["detectors of neurons"]
    assert detectors == pytest.approx(book.kinds["detectors"].drawn, rel=1e-12)
    assert min(parts.values()) > 0.0
