"""The table of features: what it reads from tests, results and its list, and that nothing promised is without a test."""

import subprocess
import sys

import feature_table as ft
import pytest

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_s0_c3_x[1]"/>
<testcase classname="tests.test_a" name="test_s0_c3_x[a.b::c]"><failure message="no"/></testcase>
<testcase classname="tests.deep.test_b.TestC" name="test_y"><skipped message="no"/></testcase>
<testcase classname="tests.test_a" name="test_z"/>
<testcase classname="tests.test_a" name="test_z"><error message="teardown"/></testcase>
</testsuite></testsuites>"""
COMING = {"S0.24": "distill", "S2.27": "parallel"}  # features whose module is still to come


def test_ids_are_read_from_names_and_docstrings():
    assert ft.named("test_s0_c10_s2_07_something", None) == ["S0.C10", "S2.07"]
    assert ft.named("test_golden_s1_01", "S1.01, S0.L2 and S2.2; see features.md S1.surrogates.") == [
        "S1.01", "S0.L2", "S2.2", "S1.surrogates",
    ]  # fmt: skip
    assert ft.named("test_list_s1_surrogates_whole", "no ID: XS1.01, S1.017x, s1.01") == ["S1.surrogates"]
    assert ft.named("test_units1_02_and_s1_2345", None) == []


def test_results_are_found_by_node(tmp_path):
    path = tmp_path / "r.xml"
    path.write_text(JUNIT)
    told = ft.outcomes(path)
    assert told[ft.key_of("tests/test_a.py::test_s0_c3_x[1]")] == "passes"
    assert told[ft.key_of("tests/test_a.py::test_s0_c3_x[a.b::c]")] == "fails"
    assert told[ft.key_of("tests/deep/test_b.py::TestC::test_y")] == "skipped"
    assert told[ft.key_of("tests/test_a.py::test_z")] == "fails"


def test_verdicts_and_the_table():
    rows = {
        name: ft.Feature(name, "what", later="then" if name == "S0.07" else "")
        for name in ("S0.07", "S0.C3", "S1.01", "S1.02")
    }
    ids = {
        "tests/test_a.py::test_s0_c3_x[1]": ["S0.C3", "S1.02"],
        "tests/test_a.py::test_s0_c3_x[2]": ["S0.C3"],
        "t.py::u": ["S4.01"],
    }
    told = {ft.key_of(node): outcome for node, outcome in zip(ids, ("passes", "fails"), strict=False)}
    found = ft.fill(rows, ids, told)
    assert [row.verdict for row in found.values()] == ["later", "fails", "missing", "passes"]
    text = ft.table(found)
    assert "test_s0_c3_x (2 cases)" in text and "(then)" in text
    assert text.splitlines()[-1] == "4 features: 1 passes, 1 fails, 1 missing, 1 later"
    guarantee = {"5.4.01": ft.Feature("5.4.01", "what", asked=["test_s0_c3_x", "test_gone"])}
    assert ft.fill(guarantee, ids, told)["5.4.01"].verdict == "fails"
    assert (
        ft.fill({"g": ft.Feature("g", "what", asked=["u", "gone"])}, ids, {("t", "u"): "passes"})["g"].verdict
        == "missing"
    )
    assert ft.fill({"g": ft.Feature("g", "what", asked=["u"])}, ids, {("t", "u"): "passes"})["g"].verdict == "passes"
    rows["S0.07"].tests["t.py::v"] = "skipped"
    assert rows["S0.07"].verdict == "later"
    rows["S1.01"].tests["t.py::v"] = "skipped"
    assert rows["S1.01"].verdict == "skipped"
    rows["S1.01"].tests["t.py::w"] = "not run"
    assert rows["S1.01"].verdict == "skipped"


def test_the_list_is_whole_and_refuses_strangers(tmp_path):
    rows = ft.read()
    wanted = [f"S0.{k:02d}" for k in range(1, 25)]
    for letter, last in (("L", 17), ("R", 9), ("C", 11)):
        wanted += [f"S0.{letter}{k}" for k in range(1, last + 1)]
    wanted += [f"S1.{k:02d}" for k in range(1, 18)] + ["S1.surrogates"] + [f"S2.{k:02d}" for k in range(1, 35)]
    wanted += [f"5.4.{k:02d}" for k in range(1, 18)] + ["5.5"]
    assert list(rows) == wanted
    assert {name for name, row in rows.items() if row.later} == {"5.4.14"}
    path = tmp_path / "f.yaml"
    path.write_text("features: {S0.01: a}\nlater: [{reason: b, ids: [S0.99]}]\nnotes: {}\n")
    with pytest.raises(ValueError, match=r"S0\.99"):
        ft.read(path)


def test_everything_promised_has_a_test_that_names_it():
    """By the command itself; verdicts are for ``make features``, where the tests have run."""
    out = subprocess.run(
        [sys.executable, ft.__file__, "--collect"], capture_output=True, text=True, check=False, cwd=ft.ROOT
    )
    assert out.returncode == 0, out.stderr
    lines = [line.split() for line in out.stdout.splitlines()[:-1]]
    assert len(lines) == len(ft.read())
    missing = {line[0] for line in lines if line[1] == "missing"}
    assert missing == {name for name, module in COMING.items() if not (ft.ROOT / f"training/{module}.py").exists()}
