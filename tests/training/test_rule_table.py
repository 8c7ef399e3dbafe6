"""The documentation's table of rules is that of the code, and every rule has a file of tests (S0.16)."""

from pathlib import Path

from rule_table import TESTED, rules, table

ROOT = Path(__file__).parents[2]


def test_s0_16_the_documented_table_is_what_the_code_says():
    lines = (ROOT / "docs/local_learning.md").read_text().splitlines()
    start = lines.index(table()[0])
    assert lines[start : start + len(table())] == table()


def test_every_rule_has_its_tests():
    assert set(rules()) == set(TESTED)
    for name, file in TESTED.items():
        assert name in (Path(__file__).parent / f"{file}.py").read_text(), name
