"""Files of JoSIM and WRspice, as their sources write them, read back; and broken ones."""

import io
import math

import numpy as np
import pytest

import soen_event as se
from hardware import circuit, spice
from hardware.traces import Traces, compare, read_traces


@pytest.fixture(scope="module")
def net():
    with se.Network() as net:
        se.Synapse("s", "d.1")
        se.Dendrite("d.1", ib=1.8, beta_over_2pi=100.0, tau=50.0)
    return net


PHOTONS = {"s": [100.5]}  # late, where times lose digits
DURATION = 103.0


@pytest.fixture(scope="module")
def run(net):
    return circuit.simulate(net, PHOTONS, DURATION)


@pytest.fixture(scope="module")
def decks(net):
    return {dialect: spice.netlist(net, PHOTONS, DURATION, dialect=dialect) for dialect in ("josim", "wrspice")}


@pytest.fixture(scope="module")
def solved(decks):
    """Times in s, as the programs have them, current and phases."""
    traces = decks["josim"].solve()
    times = traces.times * 1e-9 + decks["josim"].start
    return times, [traces.trace(name) for name in ("I(LD_D_1)", "P(B1_D_1)", "P(B2_D_1)")]


def josim_columns(solved, comma=","):
    """JoSIM's Output::format_csv_or_dat: quoted names, seven digits."""
    times, columns = solved
    out = io.StringIO()
    out.write(comma.join(["time", '"I(LD_D_1)"', '"P(B1_D_1)"', '"P(B2_D_1)"']) + "\n")
    for row in zip(times, *columns, strict=True):
        out.write(comma.join(f"{x:.6e}" for x in row) + "\n")
    return out.getvalue().encode()


def josim_raw(solved):
    """JoSIM's Output::format_raw: six digits, currents as branches."""
    times, columns = solved
    n = len(times)
    width = len(str(n)) + 1
    names = ("LD_D_1#branch Current", "P(B1_D_1) Phase", "P(B2_D_1) Phase")
    out = io.StringIO()
    out.write('Title: "traces"\nDate: Sat Nov 21 12:00:00 2026\nPlotname: Transient Analysis\nFlags: real\n')
    out.write(f"No. Variables: 4\nNo. Points: {n}\nCommand: JoSIM v2.7\nVariables:\n 0 time Seconds\n")
    out.write("".join(f" {k} {name}\n" for k, name in enumerate(names, 1)) + "Values:\n")
    for k, row in enumerate(zip(times, *columns, strict=True)):
        out.write(f"{k:<{width}}{row[0]:.6g}\n" + "".join(f"{'':<{width}}{x:.6g}\n" for x in row[1:]))
    return out.getvalue().encode()


def wrspice_raw(solved, binary=False, order="<", title="junction circuits"):
    """WRspice's rawfile.cc: names of vectors with their units, 16 digits or doubles point by point."""
    times, columns = solved
    out = io.BytesIO()
    head = f"Title: {title}\nDate: Sat Nov 21 12:00:00 2026\nPlotname: Transient analysis\nFlags: real\n"
    head += f"No. Variables: 4\nNo. Points: {len(times):<8d}\nCommand: version 4.3.10\nOption: filetype = ascii\nVariables:\n"
    head += " 0 time S\n 1 ld_d_1#branch A\n 2 v(ph1_d_1) V\n 3 v(ph2_d_1) V\n"
    out.write(head.encode() + (b"Binary:\n" if binary else b"Values:\n"))
    table = np.column_stack([times, *columns])
    if binary:
        out.write(table.astype(f"{order}f8").tobytes())
    else:
        for k, row in enumerate(table):
            out.write(f" {k}".encode() + "".join(f"\t{x:.15e}\n" for x in row).encode())
    return out.getvalue()


FORMATS = {
    "JoSIM CSV": ("josim", josim_columns),
    "JoSIM dat": ("josim", lambda solved: josim_columns(solved, " ")),
    "JoSIM raw": ("josim", josim_raw),
    "WRspice ASCII": ("wrspice", wrspice_raw),
    "WRspice binary": ("wrspice", lambda solved: wrspice_raw(solved, True)),
    "WRspice binary, other end first": ("wrspice", lambda solved: wrspice_raw(solved, True, ">")),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name, tmp_path, decks, solved, run):
    dialect, made = FORMATS[name]
    (tmp_path / "out").write_bytes(made(solved))
    traces = read_traces(tmp_path / "out", decks[dialect])
    assert traces.origin == name.split()[0]
    assert set(traces.columns) == {"I(LD_D_1)", "P(B1_D_1)", "P(B2_D_1)"}
    assert traces.parts == ("d.1",)
    # The programs' rounding of times (1 ps in JoSIM's raw files here) is undone.
    assert np.abs(traces.times - (solved[0] - 2e-9) * 1e9).max() < 1e-7
    rounding = 1e-5 if "raw" in name else 1e-6
    assert np.abs(traces.current("d.1") - solved[1][0] / 1e-4).max() < rounding
    row = compare(traces, run)["d.1"]
    assert row.fluxons == row.reference_fluxons == traces.fluxon_count("d.1") == len(run.fluxons["d.1"]) > 50
    assert row.largest_ps < 0.05
    assert row.chi2 < 1e-9
    assert "1 ps" not in repr(traces) and "traces" in repr(traces)
    # Without the netlist there are names, and the program's own times.
    alone = read_traces(tmp_path / "out")
    assert alone.times[0] == pytest.approx(solved[0][0] * 1e9, abs=1e-3)
    assert np.abs(np.diff(alone.times) - 5e-4).max() < 3e-7
    assert np.abs(alone.trace("i(ld_d_1)") - solved[1][0]).max() < 1e-9
    with pytest.raises(se.InputError, match="known from the netlist only"):
        alone.current("d.1")


def test_a_grid_that_is_none_stays(tmp_path, decks):
    """WRspice's own steps are not equal; they are kept as they are."""
    times = np.cumsum(np.linspace(1e-13, 9e-13, 200)) + 2e-9
    columns = [np.sin(times * 1e11) * 1e-5, times * 1e10, times * 1e10]
    (tmp_path / "out").write_bytes(wrspice_raw((times, columns)))
    traces = read_traces(tmp_path / "out", decks["wrspice"])
    assert traces.times == pytest.approx((times - 2e-9) * 1e9, abs=1e-9)


def test_comparing(net, decks, run):
    traces = decks["josim"].solve()
    found = compare(traces, run, until=101.0)
    assert found.duration == 101.0
    assert "d.1" in str(found) and found.as_dict()["loops"][0]["id"] == "d.1"
    assert compare(traces, traces)["d.1"].chi2 == 0.0
    rec = se.simulate(net, PHOTONS, DURATION, record=("fluxons", "currents"))
    engine = compare(traces, rec)["d.1"]
    assert abs(engine.fluxons - engine.reference_fluxons) <= 1
    assert 1e-12 < engine.chi2 < 1e-3
    with pytest.raises(se.InputError, match=r"no loop 'd\.2'"):
        found["d.2"]
    with pytest.raises(se.InputError, match="is not Traces"):
        compare(run, run)
    with pytest.raises(se.InputError, match="no CircuitRun"):
        compare(traces, 3)
    for until in (0.0, 1e9, "x", True, math.nan):
        with pytest.raises(se.InputError, match=r"compare\.until"):
            compare(traces, run, until=until)
    with se.Network() as other:
        se.Dendrite("z")
    with pytest.raises(se.InputError, match="no loop in common"):
        compare(traces, circuit.simulate(other, {}, 1.0))
    with pytest.raises(se.InputError, match="outside the traces"):
        traces.current("d.1", [500.0])
    with pytest.raises(se.InputError, match=r"did you mean 'd\.1'"):
        traces.current("d1")
    with pytest.raises(se.InputError, match="there is no 'I\\(LD\\)'"):
        traces.trace("I(LD)")


class TestFluxons:
    def at(self, phase, decks, step=0.5e-3):
        t = np.arange(len(phase)) * step
        return Traces(t, {"P(B1_D_1)": phase, "P(B2_D_1)": phase, "I(LD_D_1)": 0.0 * t}, decks["josim"])

    def test_a_ramp_of_phase(self, decks):
        """pi at 1 ns, 3 pi at 3 ns, ...: found far better than the samples are apart."""
        t = np.arange(2001) * 0.5e-2
        traces = self.at(math.pi * t + 0.05 * np.sin(2 * math.pi * t), decks, 0.5e-2)
        assert traces.fluxons("d.1") == pytest.approx([1.0, 3.0, 5.0, 7.0, 9.0], abs=1e-7)

    def test_one_that_comes_back_is_no_other(self, decks):
        """A phase that swings about pi makes one fluxon; one that falls a whole turn below undoes it (hardware.circuit)."""
        t = np.linspace(0.0, 10.0, 2001)
        swing = math.pi + 0.5 * np.sin(2 * math.pi * t) - 4.0 * np.exp(-5.0 * t)
        assert self.at(swing, decks).fluxon_count("d.1") == 1
        away = 4.0 * np.sin(2 * math.pi * t / 10.0)
        assert self.at(away, decks).fluxon_count("d.1") == 0
        assert len(self.at(away, decks).fluxons("d.1")) == 1

    def test_many_turns_between_two_samples(self, decks):
        assert self.at(np.array([0.0, 0.0, 0.0, 20.0, 20.0, 20.0]), decks).fluxon_count("d.1") == 3


GOOD = b'time,"I(LD_D_1)"\n0.0,1e-6\n1e-12,2e-6\n2e-12,3e-6\n'
RAW = (
    b"Title: x\nDate: y\nPlotname: Transient\nFlags: real\nNo. Variables: 2\nNo. Points: 2\nCommand: version 4\nVariables:\n"
    b" 0 time S\n 1 ld#branch A\nValues:\n 0\t0.0\n\t1.0\n 1\t1e-12\n\t2.0\n"
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"  \n \n", "is empty"),
        (b"\x80\x81\x82\xff" * 50, "neither text nor a rawfile"),
        (b"hello world\n1 2\n", "names the columns, time first"),
        (b"1.0,2.0\n3.0,4.0\n", "names the columns, time first"),
        (GOOD.splitlines(True)[0], "has 0 rows"),
        (b"".join(GOOD.splitlines(True)[:2]), "has 1 rows"),
        (GOOD[:-6], "line 4 has 1 values for 2 columns|line 4: "),
        (GOOD.replace(b"2e-6", b"2e-6,7"), "line 3 has 3 values for 2 columns"),
        (GOOD.replace(b"2e-6", b"oops"), "line 3: 'oops' is no number"),
        (GOOD.replace(b"2e-6", b"nan"), r"row 2 of .*I\(LD_D_1\).* is nan"),
        (GOOD.replace(b"2e-12", b"0.5e-12"), "times do not ascend: row 3"),
        (GOOD.replace(b"2e-12", b"1e-12"), "times do not ascend"),
        (b'time,"I(A)","i(a)"\n0,1,1\n1,2,3\n', r"two columns I\(A\) that differ"),
        (RAW.replace(b"Flags: real", b"Flags: complex"), "complex numbers"),
        (RAW.replace(b"No. Points: 2", b"No. Points: 3"), "ends after 2 of 3 points"),
        (RAW.replace(b"No. Points: 2", b"No. Points: 1"), "more values than its header says"),
        (RAW.replace(b"No. Points: 2\n", b""), "does not say 'no. points'"),
        (RAW.replace(b"No. Points: 2", b"No. Points: 0"), "'no. points': 0"),
        (RAW.replace(b"No. Variables: 2", b"No. Variables: two"), "does not say 'no. variables'"),
        (RAW.replace(b"No. Variables: 2", b"No. Variables: 3"), "does not name variable 2 of 3"),
        (RAW.replace(b" 1 ld#branch A\n", b" 1 ld#branch A\nnonsense\n"), "'nonsense', is not understood"),
        (RAW[: RAW.index(b"Values:")], "no values follow"),
        (RAW[: RAW.index(b"Values:")] + b"Binary:\n" + bytes(20), "ends after 1 of 2 points"),
        (RAW.replace(b"2.0", b"two"), "no number"),
        (RAW.replace(b" 1\t1e-12", b" 7\t1e-12"), "point 1 bears the number 7"),
        (RAW.replace(b" 0 time S", b" 0 v(1) V"), "its first column is 'v(1)'".replace("(", r"\(").replace(")", r"\)")),
        (RAW + RAW, "more than one plot"),
    ],
)
def test_broken_files(data, message, tmp_path):
    path = tmp_path / "broken"
    path.write_bytes(data)
    with pytest.raises(se.InputError, match=message) as error:
        read_traces(path)
    assert str(path) in str(error.value)


def test_files_that_are_not_there(tmp_path):
    for path in (tmp_path / "no", tmp_path):
        with pytest.raises(se.InputError, match="cannot be read"):
            read_traces(path)
    (tmp_path / "a").write_bytes(GOOD)
    with pytest.raises(se.InputError, match="is not a Netlist"):
        read_traces(tmp_path / "a", "deck.cir")
    assert read_traces(tmp_path / "a").trace("I(LD_D_1)").tolist() == [1e-6, 2e-6, 3e-6]


def test_columns_fit():
    with pytest.raises(se.InputError) as error:
        Traces([0.0, 0.0], {"a": [1.0]})
    assert len(error.value.faults) == 2
