"""What cannot be used is refused with a sentence, whatever it is."""

import pytest

import soen_event as se
from hardware import energy, noise, spice, tables, traces, warm
from soen_event.errors import InputError

PATHS = (None, 5, "x.csv\0", b"x.csv")


def network():
    with se.Network() as net:
        se.Synapse("s", "d")
        se.Dendrite("d", beta_over_2pi=100)
    return net


@pytest.fixture(scope="module")
def table():
    return tables.generate()


@pytest.fixture(scope="module")
def deck():
    return spice.netlist(network(), duration=0.1)


@pytest.mark.parametrize("path", PATHS)
def test_paths(path, table, deck):
    for verb in (
        lambda: tables.export(table, path), lambda: tables.read_foreign(path), lambda: table.save(path),
        lambda: tables.RateTable.load(path), lambda: traces.read_traces(path), lambda: deck.save(path),
    ):  # fmt: skip
        with pytest.raises(InputError, match="is no path"):
            verb()


def test_tables(table, tmp_path):
    points = tmp_path / "t.csv"
    tables.export(table, points)
    for verb in (
        lambda: tables.export(None, points), lambda: tables.export(table, points, phi="abc"),
        lambda: tables.export(table, points, current=5), lambda: tables.export(table, points, layout="filling", ib=1e9),
        lambda: tables.read_foreign(points, names=5), lambda: tables.read_foreign(points, names={"phi": 5}),
        lambda: table.rate("a", 1.0), lambda: table.rate([0.1, 0.2], [1.0, 1.0, 1.0]), lambda: table.threshold("a"),
        lambda: table.compare(table, points=0), lambda: table.compare(table, points="a"),
    ):  # fmt: skip
        with pytest.raises(InputError):
            verb()


def test_netlists_and_traces(deck):
    solved = deck.solve()
    for verb in (
        lambda: spice.netlist(network(), duration=1.0, parts=5), lambda: spice.netlist(network(), duration=1.0, parts=[["d"]]),
        lambda: deck.loop(["d"]), lambda: solved.current("d", "a"), lambda: solved.current(["d"]),
        lambda: traces.Traces("a", {}), lambda: traces.Traces([1, 2], {"a": "b"}),
    ):  # fmt: skip
        with pytest.raises(InputError):
            verb()


def test_energy():
    run = se.Simulation(network(), {"s": [1.0]}, record=("photons",))
    assert "0 ns" in str(energy.ledger(run.recording()))  # before anything has happened
    run.run(5.0)
    rec = run.finish()
    for verb in (
        lambda: energy.Assumptions(efficiency=5), lambda: energy.ledger(None), lambda: energy.ledger(rec, 5),
        lambda: energy.ledger(rec).power("x"), lambda: energy.ledger(rec).power(None),
    ):  # fmt: skip
        with pytest.raises(InputError):
            verb()


def test_noise():
    for kind in (noise.current_noise, noise.flux_noise):
        for loops in (5, [["d"]], [None], "d"):
            with pytest.raises(InputError, match="loops"):
                kind(network(), 10.0, 0, loops=loops)
        with pytest.raises(InputError, match="duration"):
            kind(network(), 10**400, 0)
    for verb in (
        lambda: warm.near_threshold("a"), lambda: warm.near_threshold(0.22, True), lambda: warm.pulses("no such"),
        lambda: warm.pulses("0.4 Phi0, 1/20 ns", copies=0), lambda: warm.report(fluxes=(None,)), lambda: warm.report(copies=-1),
    ):  # fmt: skip
        with pytest.raises(InputError):
            verb()
