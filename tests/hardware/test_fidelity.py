"""Engine against circuit: the comparison itself, the random cases, and the command."""

import json
import math

import numpy as np
import pytest

import soen_event as se
from hardware import fidelity
from soen_event.cli import _exit_code


def dendrite(**more):
    with se.Network() as net:
        se.Dendrite("d", ib=1.7, beta_over_2pi=300.0, **more)
        se.Synapse("s", "d")
    return net


def test_chi_squared():
    assert fidelity.chi_squared([1.0, 2.0], [1.0, 1.0]) == pytest.approx(1.0 / 5.0)
    assert fidelity.chi_squared([0.0], [0.0]) == 0.0
    assert fidelity.chi_squared([0.0], [1.0]) == math.inf
    with pytest.raises(se.InputError):
        fidelity.chi_squared([1.0], [1.0, 2.0])


def test_one_photon(tmp_path):
    report = fidelity.compare(dendrite(), {"s": [1.0]}, 20.0, step=0.1, name="one photon")
    (row,) = report.loops
    assert row.exact
    assert row.fluxons > 100
    assert abs(row.first_ps) < 5.0
    assert row.median_ps < 5.0
    assert row.chi2 < 1e-6
    assert row.engine_peak == pytest.approx(row.peak, rel=1e-3)
    assert report.circuit_cpu_s > 0.0 < report.engine_cpu_s
    assert f"{row.fluxons} / {row.fluxons}" in str(report)
    assert json.loads(json.dumps(report.as_dict()))["loops"][0]["id"] == "d"
    report.plot(tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000
    with pytest.raises(se.InputError):
        report.plot(tmp_path / "one.png")


def test_flow_is_compared_too():
    report = fidelity.compare(dendrite(), {"s": [1.0]}, 20.0, step=0.1, resolution="flow", tol=1e-5)
    assert report.loops[0].close
    assert report.loops[0].chi2 < 1e-4
    assert "flow" in str(report)


def test_a_difference_is_seen():
    """A network that is not the circuit's: the comparison says so."""
    other = se.simulate(dendrite(phi_offset=0.01), {"s": [1.0]}, 20.0, record=("fluxons", "currents"))
    same = fidelity.compare(dendrite(), {"s": [1.0]}, 20.0, step=0.1)
    truth = same.circuit
    row = fidelity._loop_row("d", truth, other, truth.times[truth.times <= 20.0])
    assert not row.exact
    assert row.chi2 > 100 * same.loops[0].chi2


def test_silence():
    report = fidelity.compare(dendrite(), {}, 1.0, step=0.2)
    assert report.loops[0].fluxons == report.loops[0].engine_fluxons == 0
    assert math.isnan(report.loops[0].first_ps)
    assert "-" in str(report)


def test_cases_are_reproducible_and_in_their_ranges():
    one, two = list(fidelity.cases(10, 3)), list(fidelity.cases(10, 3))
    assert [case.kind for case in one] == [*fidelity.KINDS, *fidelity.KINDS]
    for a, b in zip(one, two, strict=True):
        assert a.network == b.network
        assert a.photons == b.photons
        a.network.check()
        for part in a.network.dendrites.values():
            assert 1.4 <= part.ib <= 1.95
            assert 100.0 <= part.beta_over_2pi <= 10_000.0
            assert 50.0 <= part.tau <= 1000.0
    assert next(fidelity.cases(1, 4)).network != one[0].network


def test_a_small_suite():
    """The first five cases of seed 1: what is promised of every loop and spike; shares need more cases (`soen validate circuit`)."""
    suite = fidelity.suite(5, 1)
    for case, report in suite.reports:
        assert all(row.close for row in report.loops), case.name
        assert all(row.largest_ps <= fidelity.PROMISES["spike"] for row in report.neurons), case.name
    medians = [row.median_ps for _, report in suite.reports for row in report.loops]
    assert np.nanmedian(medians) < fidelity.PROMISES["median time"]
    assert len(suite.verdicts) == 6
    assert "promised" in str(suite)


@pytest.mark.parametrize("number", [0, -1, 1.5, "many", True])
def test_nonsense(number):
    with pytest.raises(se.InputError, match="whole number"):
        fidelity.suite(number)


class TestCommand:
    def test_json(self, capsys):
        code = _exit_code(["validate", "circuit", "--cases", "2", "--json"])
        found = json.loads(capsys.readouterr().out)
        assert code == (0 if found["ok"] else 1)
        assert [case["kind"] for case in found["cases"]] == ["pulse", "train"]
        assert {"what", "measured", "promised", "kept"} == set(found["promises"][0])

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["validate", "circit"], "circuit"),
            (["validate", "circuit", "--cases", "0"], "whole number"),
            (["validate", "circuit", "--resolution", "fluxons"], "fluxon"),
            (["validate", "circuit", "--seed", "-1"], "seed"),
            (["validate", "--cases", "3"], "soen validate circuit"),
            (["validate", "circuit", "--plot", "x.txt"], "--plot"),
        ],
    )
    def test_mistakes(self, capsys, words, message):
        assert _exit_code(words) == 2
        assert message in capsys.readouterr().err
