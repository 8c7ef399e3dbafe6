"""Which promised features have tests, and whether they pass: ID, what it is, tests that name it, verdict.

    python tests/feature_table.py                      # run the tests that name a feature, then print the table
    python tests/feature_table.py --junit result.xml   # take the verdicts from ``pytest --junitxml=result.xml``
    python tests/feature_table.py --collect            # only which tests there are

A test names a feature in its name (``test_s0_c10_...``) or in its docstring (``S0.C10``); tests of guarantees are listed in
features.yaml. Verdicts: passes; fails (one is enough); skipped (all were); missing (no test, or a listed one is gone); not run; later (in a
list of features.yaml, with its reason). Exit 1 if anything fails, with ``--strict`` also if anything is missing, skipped or not run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
IN_NAME = re.compile(r"(?<![a-z0-9])s([0-4])_([lrc]?\d{1,2}|surrogates)(?![a-z0-9])")
IN_TEXT = re.compile(r"\bS([0-4])\.([LRC]?\d{1,2}|surrogates)(?!\w)")
VERDICTS = ("passes", "fails", "skipped", "not run", "missing", "later")


@dataclass
class Feature:
    """One row. ``tests``: outcome by node id, of every case of its tests. ``asked``: functions that are its tests by name."""

    id: str
    what: str
    later: str = ""
    note: str = ""
    tests: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """One of :data:`VERDICTS`."""
        outcomes = set(self.tests.values())
        if "fails" in outcomes:
            return "fails"
        if not set(self.asked) <= set(self.functions):
            return "missing"
        if "passes" in outcomes:
            return "passes"
        if self.later:
            return "later"
        return next((each for each in ("skipped", "not run") if each in outcomes), "missing")

    @property
    def functions(self) -> list[str]:
        """Names of its tests, the cases of each together."""
        return list(dict.fromkeys(node.split("::", 1)[1].split("[")[0] for node in self.tests))


def read(path: Path = HERE / "features.yaml") -> dict[str, Feature]:
    """The rows by ID, without tests.

    Raises:
        ValueError: a later feature or a note has an ID that is not listed.
    """
    held = yaml.safe_load(path.read_text())
    rows = {name: Feature(name, what) for name, what in held["features"].items()}
    for name, row in held.get("guarantees", {}).items():
        rows[name] = Feature(name, row["what"], asked=row["tests"])
    for group in held["later"]:
        for name in group["ids"]:
            _row(rows, name).later = group["reason"]
    for name, note in held["notes"].items():
        _row(rows, name).note = note
    return rows


def _row(rows: Mapping[str, Feature], name: str) -> Feature:
    if name not in rows:
        raise ValueError(f"features.yaml: {name} is not in its list of features; add it or correct the name")
    return rows[name]


def named(name: str, text: str | None) -> list[str]:
    """IDs that a test's name and docstring tell, each once."""
    found = [f"S{a}.{b if b == 'surrogates' else b.upper()}" for a, b in IN_NAME.findall(name.lower())]
    found += [f"S{a}.{b}" for a, b in IN_TEXT.findall(text or "")]
    return list(dict.fromkeys(found))


class _Collected:
    """Pytest plugin: what was collected, deselected tests too."""

    def __init__(self) -> None:
        self.ids: dict[str, list[str]] = {}
        self.errors: list[str] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        name = getattr(item, "originalname", item.name)
        self.ids[item.nodeid] = named(name, getattr(getattr(item, "obj", None), "__doc__", None))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(report.nodeid)


def collect(paths: Iterable[str] = ()) -> dict[str, list[str]]:
    """IDs by node id, of all tests (under ``paths``).

    Raises:
        RuntimeError: a file could not be collected.
    """
    plugin = _Collected()
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml")]
    with contextlib.redirect_stdout(io.StringIO()) as told:
        pytest.main([*words, *(paths or [str(HERE)])], plugins=[plugin])
    if plugin.errors:
        raise RuntimeError(f"not collected: {', '.join(plugin.errors)}\n{told.getvalue()[-2000:]}")
    return plugin.ids


def outcomes(path: Path) -> dict[tuple[str, str], str]:
    """Outcome of every case in a junit file, by its classname and name."""
    found = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "fails" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passes"
        key = case.get("classname", ""), case.get("name", "")
        found[key] = outcome if found.get(key) != "fails" else "fails"  # an error in teardown comes as a second case
    return found


def key_of(node: str) -> tuple[str, str]:
    """Classname and name that pytest gives a case in a junit file."""
    head, bracket, case = node.partition("[")
    path, *names = head.split("::")
    return ".".join([path.removesuffix(".py").replace("/", "."), *names[:-1]]), names[-1] + bracket + case


def run(nodes: Iterable[str], workers: int = 1) -> dict[tuple[str, str], str]:
    """Run these tests in a process of their own."""
    functions = list(dict.fromkeys(node.split("[")[0] for node in nodes))
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.xml"
        words = [sys.executable, "-m", "pytest", "-q", f"--junitxml={result}", *(["-n", str(workers)] * (workers > 1))]
        told = subprocess.run([*words, *functions], cwd=ROOT, stdout=sys.stderr, check=False)
        if not result.exists():
            raise RuntimeError(f"pytest ended with {told.returncode} and no result")
        return outcomes(result)


def fill(
    rows: Mapping[str, Feature], ids: Mapping[str, list[str]], told: Mapping[tuple[str, str], str]
) -> dict[str, Feature]:
    """The rows with their tests and outcomes."""
    for node, names in wanted(rows, ids).items():
        for name in names:
            rows[name].tests[node] = told.get(key_of(node), "not run")
    return dict(rows)


def wanted(rows: Mapping[str, Feature], ids: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The node ids that belong to a row, with the rows' IDs."""
    asked: dict[str, list[str]] = {}
    for row in rows.values():
        for function in row.asked:
            asked.setdefault(function, []).append(row.id)
    found = {}
    for node, names in ids.items():
        function = node.split("[")[0].rsplit("::", 1)[-1]
        mine = list(dict.fromkeys([*(name for name in names if name in rows), *asked.get(function, [])]))
        if mine:
            found[node] = mine
    return found


def table(rows: Mapping[str, Feature]) -> str:
    """The table and a last line of counts."""
    lines = []
    for row in rows.values():
        tests = ", ".join(row.functions) or (f"({row.later})" if row.later else "-")
        note = f"  [{row.note}]" if row.note else ""
        cases = f" ({len(row.tests)} cases)" if len(row.tests) > len(row.functions) else ""
        lines.append(f"{row.id:<13} {row.verdict:<8} {row.what:<66} {tests}{cases}{note}")
    counts = Counter(row.verdict for row in rows.values())
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    return "\n".join([*lines, f"{len(rows)} features: {told}"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--junit", type=Path, help="take the verdicts from this file, written by pytest --junitxml")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    parser.add_argument("--strict", action="store_true", help="exit 1 also if anything is missing, skipped or not run")
    parser.add_argument("--workers", type=int, default=1, help="processes that run the tests")
    given = parser.parse_args(arguments)
    rows, ids = read(), collect()
    if given.collect:
        told = {}
    elif given.junit:
        told = outcomes(given.junit)
    else:
        told = run(wanted(rows, ids), given.workers)
    rows = fill(rows, ids, told)
    print(table(rows))
    verdicts = {row.verdict for row in rows.values()}
    bad = {"fails", *(("missing", "skipped", "not run") if given.strict else ())}
    return 1 if verdicts & bad else 0


if __name__ == "__main__":
    sys.exit(main())
