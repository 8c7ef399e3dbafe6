"""The command ``soen``: what it prints, what it writes, and what it says to nonsense."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import soen_event as se
from soen_event import cli

NET = """\
soen: 1
name: pair
synapses:
  - {id: s1, target: d1}
  - {id: s2, target: n1, weight: 0.2}
dendrites:
  - {id: d1, beta_over_2pi: 300, tau: 100.0}
neurons:
  - {id: n1, soma: {threshold: 0.3}, refractory: {}}
couplings:
  - {source: d1, target: n1, J: 0.45}
"""
PHOTONS = "synapse,time\ns1,5.0\ns2,9.5\ns1,40.0\n"


@pytest.fixture(scope="module", autouse=True)
def engine_is_compiled():
    """Otherwise the first command says on standard error that it compiles."""
    with se.Network() as net:
        se.Dendrite("d")
    se.simulate(net, {}, 1.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "photons.csv").write_text(PHOTONS)
    return tmp_path


@pytest.fixture
def soen(folder, capsys):
    """Run a command line; returns exit code, standard output, standard error."""

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return run


RUN = ("run", "net.yaml", "--photons", "photons.csv", "--duration", "100")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# ---------------------------------------------------------------------------------------------- running


def test_run_tells_what_happened(soen):
    code, out, err = soen(*RUN)
    expected = se.simulate("net.yaml", "photons.csv", 100.0)
    assert (code, err) == (0, "")
    assert out.startswith("the run is complete: 100 ns\n")
    assert re.search(r"photons +3\n", out)
    assert re.search(rf"spikes +{expected.spike_counts().sum()} of 1 neuron\n", out)
    assert f"{expected.spikes['n1'][0]:.3f}" in out
    assert re.search(r"energy +[0-9.]+ aJ drawn", out)


def test_json_is_one_object_and_nothing_else(soen):
    code, out, err = soen(*RUN, "--json", "--seed", "3", "--out", "run.h5")
    expected = se.simulate("net.yaml", "photons.csv", 100.0, seed=3)
    told = json.loads(out)
    assert code == 0 and err == "" and out.count("\n") == 1
    assert list(told) == [
        "status", "duration_ns", "seed", "engine", "resolution", "events", "spikes", "fluxons", "energy_J", "provenance",
        "warnings", "out", "cpu_s",
    ]  # fmt: skip
    assert (told["duration_ns"], told["seed"], told["engine"], told["resolution"]) == (100.0, 3, "compiled", "fluxon")
    assert told["spikes"] == {"n1": pytest.approx(expected.spikes["n1"].tolist(), abs=1e-9)}
    assert told["fluxons"] == dict(expected.fluxon_count)
    assert told["events"] == expected.event_counts and told["energy_J"] == expected.energy
    assert told["out"] == "run.h5" and told["cpu_s"] >= 0.0
    assert told["provenance"]["plan_digest"] == expected.plan.digest and "network" not in told["provenance"]


def test_out_and_plot_are_written(soen, folder):
    code, out, _ = soen(*RUN, "--out", "run.h5", "--plot", "run.png", "--record", "spikes,fluxons,currents:d1")
    assert code == 0 and "saved    run.h5" in out and "drawn    run.png" in out
    rec = se.Recording.load(folder / "run.h5")
    assert rec.complete and np.all(np.isfinite(rec.current("d1", [1.0, 50.0])))
    with pytest.raises(se.InputError):
        rec.current("n1", 1.0)
    assert (folder / "run.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(contents(folder)) == ["net.yaml", "photons.csv", "run.h5", "run.png"]


def test_engines_and_durations_with_units_agree(soen):
    told = []
    for words in (
        ("100",),
        ("0.1 us", "--engine", "reference"),
        ("100 ns", "--resolution", "fluxon"),
        ("100", "--threads", "2"),
    ):
        code, out, _ = soen("run", "net.yaml", "--photons", "photons.csv", "--json", "--duration", *words)
        assert code == 0
        told.append(json.loads(out))
    assert told[0]["spikes"] == told[1]["spikes"] == told[2]["spikes"]
    assert told[1]["engine"] == "reference" and told[0]["events"] == told[1]["events"]


def test_quiet_and_warnings(soen, folder):
    (folder / "net.yaml").write_text(NET.replace("J: 0.45", "J: 6"))
    code, out, err = soen(*RUN)
    assert code == 0 and err.startswith("soen: warning: Soma n1: flux can go up to") and "error" not in err
    assert soen(*RUN, "--quiet") == (0, "", "")
    _, out, err = soen(*RUN, "--json")
    assert err == "" and len(json.loads(out)["warnings"]) == 1


def test_photons_are_optional_and_a_pipe_has_no_progress(soen):
    code, out, err = soen("run", "net.yaml", "--duration", "10")
    assert code == 0 and "photons  0" in out and err == ""


def test_overwrite(soen, folder):
    assert soen(*RUN, "--out", "run.h5", "--plot", "run.png")[0] == 0
    before = contents(folder)
    code, out, err = soen(*RUN, "--out", "run.h5", "--plot", "run.png", "--duration", "50")
    assert code == 2 and out == "" and contents(folder) == before
    assert err.splitlines() == [
        "soen: error: --out: run.h5: exists already; choose another name or add --overwrite",
        "soen: error: --plot: run.png: exists already; choose another name or add --overwrite",
    ]
    assert soen(*RUN, "--out", "run.h5", "--plot", "run.png", "--duration", "50", "--overwrite")[0] == 0
    assert se.Recording.load("run.h5").end == 50.0 and contents(folder)["run.png"] != before["run.png"]


# ---------------------------------------------------------------------------------------------- looking


def test_info(soen):
    code, out, err = soen("info", "net.yaml")
    assert code == 0 and err == "" and "Network 'pair'" in out and "2 synapses" in out and "threshold" in out
    _, out, _ = soen("info", "net.yaml", "--json")
    told = json.loads(out)
    assert told["parts"] == {"synapses": 2, "dendrites": 1, "neurons": 1, "couplings": 1, "waveguides": 0, "drives": 0}
    assert told["parameters"]["threshold"]["max"] == 0.3 and told["device"]["beta_c"] == 0.3


def test_check(soen, folder):
    code, out, err = soen("check", "net.yaml")
    assert (
        (code, err) == (0, "")
        and out.startswith("note: 2 pairs of loops")
        and out.endswith("net.yaml: can be run, 0 warnings\n")
    )
    (folder / "hot.yaml").write_text(NET + "device: {temperature: 4.2 s}\n")
    code, out, err = soen("check", "hot.yaml")
    assert code == 2 and out == "" and "temperature" in err
    (folder / "strong.yaml").write_text(NET.replace("J: 0.45", "J: 6"))
    code, out, _ = soen("check", "strong.yaml")
    assert code == 0 and out.startswith("warning: Soma n1: flux can go up") and "1 warning\n" in out
    told = json.loads(soen("check", "net.yaml", "--json")[1])
    assert len(told.pop("notes")) == 1 and told == {"ok": True, "faults": [], "warnings": []}


def test_check_tells_all_faults(soen, folder):
    bad = NET.replace("weight: 0.2", "wieght: 0.2").replace("tau: 100.0", "tau: -3").replace("J: 0.45", "J: .nan")
    (folder / "bad.yaml").write_text(bad.replace("target: d1}", "target: d9}"))
    code, out, err = soen("check", "bad.yaml")
    lines = err.splitlines()
    assert code == 2 and out == "" and len(lines) == 4
    assert all(line.startswith("soen: error: bad.yaml:") for line in lines)
    for words in ("d9", "'weight'", "tau: -3 is below", "nan is not finite"):
        assert any(words in line for line in lines), words
    code, out, err = soen("check", "bad.yaml", "--json")
    assert code == 2 and len(json.loads(out)["faults"]) == 4 and err == ""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "run.png"),
        (("--window", "0:20"), "run.png"),
        (("--kind", "raster"), "run-raster.png"),
        (("--kind", "traces", "--ids", "d1,n1", "--what", "flux"), "run-traces.png"),
        (("--kind", "traces"), "run-traces.png"),
        (("--kind", "dendrite", "--ids", "d1", "--window", "4:12"), "run-dendrite.png"),
        (("--kind", "network"), "run-network.png"),
        (("--kind", "source", "--ids", "n1", "--out", "map.svg"), "map.svg"),
    ],
)
def test_plot_of_a_recording(words, name, soen, folder):
    se.simulate("net.yaml", "photons.csv", 100.0, record=("spikes", "fluxons", "photons", "currents"), out="run.h5")
    assert soen("plot", "run.h5", *words) == (0, name + "\n", "")
    assert len((folder / name).read_bytes()) > 5000


def test_plot_of_a_network(soen, folder):
    assert soen("plot", "net.yaml") == (0, "net.png\n", "")
    assert soen("plot", "net.yaml", "--kind", "source", "--ids", "n1") == (0, "net-source.png\n", "")
    assert {"net.png", "net-source.png"} < set(contents(folder))


def test_schema_and_version(soen):
    from soen_event.files import schema

    assert json.loads(soen("schema")[1]) == json.loads(json.dumps(schema()))
    assert soen("--version") == (0, f"soen-event {se.__version__}\n", "")


def test_bench(soen):
    code, out, _ = soen("bench", "--json")
    told = json.loads(out)
    assert code == 0 and [row["engine"] for row in told["engines"]] == ["compiled", "reference"]
    assert all(row["fluxons"] > 1000 and row["fluxons_per_cpu_s"] > 0 for row in told["engines"]) and told["ratio"] > 0
    code, out, _ = soen("bench")
    assert code == 0 and "compiled over reference" in out and "fluxons per CPU s" in out


DEPLOY = ("deploy", "net.yaml", "--chip", "ascr_y1", "--temperature", "0")


def test_deploy_tells_and_writes(soen, folder):
    code, out, err = soen(*DEPLOY, "--out", "deployed.yaml")
    assert (code, err) == (0, "")
    assert "pair on ASCR_Y1: 1 replaced, 1 clipped, 1 rounded" in out and "2 of 28" in out
    assert out.endswith("written to deployed.yaml\n")
    net = se.Network.load("deployed.yaml")
    assert net["n1"].ib == 1.8 and not net.neurons and net["d1->n1"].J == 0.38
    before = contents(folder)
    code, _, err = soen(*DEPLOY, "--out", "deployed.yaml")
    assert code == 2 and "exists already" in err and contents(folder) == before
    code, out, _ = soen("deploy", "deployed.yaml", "--chip", "ascr_y1", "--temperature", "0", "--json")
    told = json.loads(out)
    assert code == 0 and told["counts"] == {"ignored": 1} and told["sites"]["n1"] == "neuron[1]" and told["out"] is None


def test_deploy_refuses_with_all_of_it(soen, folder):
    (folder / "chip.yaml").write_text("soen_chip: 1\nname: tiny\nneurons: 0\ndendrites: 0\nmethods: []\n")
    before = contents(folder)
    code, out, err = soen("deploy", "net.yaml", "--chip", "chip.yaml", "--out", "x.yaml", "--method", "stdp", "--json")
    told = json.loads(out)
    assert code == 2 and told["fits"] is False and told["counts"]["refused"] == 3
    assert all(f"net.yaml: {place}" in err for place in ("stdp.method", "tiny.neurons", "tiny.dendrites"))
    assert contents(folder) == before


def test_deploy_takes_lines_from_a_file(soen, folder):
    (folder / "lines.csv").write_text("synapse,line\ns1,a\ns2,a\n")
    code, out, _ = soen(*DEPLOY, "--ports", "lines.csv", "--json", "--spread", "--seed", "3", "--out", "x.json")
    told = json.loads(out)
    assert code == 0 and told["usage"]["inputs"] == {"used": 1, "limit": 8} and told["ports"] == {"s1": "a", "s2": "a"}
    assert told["seed"] == 3 and se.Network.load("x.json")["s1"].weight not in (0.5, 1.0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--chip", "ascr_y2"), "did you mean 'ascr_y1'"),
        (("--chip", "net.yaml"), "net.yaml: Chip.synapses"),
        (("--chip", "gone.yaml"), "gone.yaml: cannot be read"),
        (("--temperature", "3 s"), "--temperature: '3 s' is a time"),
        (("--seed", "-1"), "--seed: "),
        (("--on-excess", "prun"), "--on-excess: 'prun' is unknown (did you mean 'prune'?)"),
        (("--rounding", "up"), "--rounding: 'up' is unknown"),
        (("--most", "-1"), "--most: -1 is no number of lines"),
        (("--out", "x.txt"), "--out: x.txt: unknown ending"),
        (("--out", "net.yaml"), "--out: net.yaml: is another file"),
        (("--ports", "gone.csv"), "--ports: gone.csv: cannot be read"),
        (("--ports", "photons.csv"), "--ports: photons.csv:1: the header"),
        (("--ports", "twice.csv"), "twice.csv:3: 's1' comes a second time"),
        (("--ports", "other.csv"), "--ports: there is no synapse 's9'"),
    ],
)
def test_deploy_names_what_is_wrong(words, told, soen, folder):
    (folder / "twice.csv").write_text("synapse,line\ns1,a\ns1,b\n")
    (folder / "other.csv").write_text("synapse,line\ns9,a\n")
    before = contents(folder)
    code, out, err = soen(*DEPLOY, *words)
    assert code == 2 and out == "" and told in err and contents(folder) == before


def test_validate_prints_verdicts(soen, monkeypatch):
    from soen_event import validate

    section = validate._Section("Section", "a source")
    good, bad = section.near("one", "number", 1.0, 1.05, 0.1, "ns"), section.near("two", "number", 2.0, 1.0, 0.1, "ns")
    monkeypatch.setattr(validate, "checks", lambda full: iter([good]))
    code, out, _ = soen("validate")
    assert code == 0 and "1 checks, all as expected" in out and "a source" in out
    monkeypatch.setattr(validate, "checks", lambda full: iter([good, bad]))
    code, out, _ = soen("validate", "--full")
    assert code == 1 and "1 FAILED" in out
    code, out, err = soen("validate", "--json")
    told = json.loads(out)
    assert code == 1 and err == "" and told["ok"] is False and [each["ok"] for each in told["checks"]] == [True, False]


# ---------------------------------------------------------------------------------------------- nonsense


def nonsense(folder):
    """Files that are wrong, each in one way."""
    (folder / "empty.yaml").write_text("")
    (folder / "binary.yaml").write_bytes(b"\x89HDF\r\n\x1a\n\0\0")
    (folder / "broken.yaml").write_text("soen: 1\nsynapses: [{id: s1\n")
    (folder / "no_target.yaml").write_text("soen: 1\nsynapses: [{id: s1, target: d9}]\ndendrites: [{id: d1}]\n")
    (folder / "nan.yaml").write_text("soen: 1\ndendrites: [{id: d1, ib: .nan}]\n")
    (folder / "negative.yaml").write_text("soen: 1\ndendrites: [{id: d1, tau: -5}]\n")
    (folder / "unknown_key.yaml").write_text("soen: 1\ndendrites: [{id: d1, taau: 5}]\n")
    (folder / "future.yaml").write_text("soen: 2\n")
    (folder / "folder").mkdir()
    (folder / "folder.h5").mkdir()
    (folder / "empty.csv").write_text("")
    (folder / "headless.csv").write_text("s1,5.0\n")
    (folder / "unsorted.csv").write_text("synapse,time\ns1,5.0\ns1,4.0\n")
    (folder / "negative.csv").write_text("synapse,time\ns1,-4.0\n")
    (folder / "nan.csv").write_text("synapse,time\ns1,nan\n")
    (folder / "word.csv").write_text("synapse,time\ns1,soon\n")
    (folder / "unknown.csv").write_text("synapse,time\ns3,5\n")
    (folder / "broken.npz").write_bytes(b"PK\x03\x04")
    (folder / "empty.h5").write_bytes(b"")
    (folder / "text.h5").write_text("hello")
    se.simulate("net.yaml", "photons.csv", 100.0, out="run.h5")
    (folder / "old.h5").write_text("precious")
    (folder / "old.png").write_text("precious")


NETWORK_FAULTS = [
    ("nix.yaml", "nix.yaml", "no such file"),
    ("net.yml", "'net.yaml'", "did you mean"),
    ("folder", "folder", "is a folder"),
    ("photons.csv", "photons.csv", ".yaml or .json"),
    ("empty.yaml", "empty.yaml", "is empty"),
    ("binary.yaml", "binary.yaml", "text"),
    ("broken.yaml", "broken.yaml:", "is no YAML"),
    ("no_target.yaml", "no_target.yaml:2: synapses[0].target", "no dendrite or neuron 'd9' (did you mean 'd1'?)"),
    ("nan.yaml", "nan.yaml:2: dendrites[0].ib", "nan is not finite; give a number in I_c"),
    ("negative.yaml", "negative.yaml:2: dendrites[0].tau", "-5 is below 1e-06 ns; give"),
    ("unknown_key.yaml", "dendrites[0].taau", "(did you mean 'tau'?)"),
    ("future.yaml", "future.yaml:1: soen", "give soen: 1"),
]
NONSENSE = [
    *((("run", name, "--duration", "5"), *told) for name, *told in NETWORK_FAULTS),
    *(((command, name), *told) for command in ("info", "check", "plot") for name, *told in NETWORK_FAULTS[4:8]),
    *(
        (("run", "net.yaml", "--duration", "5", "--photons", name), place, reason)
        for name, place, reason in (
            ("nix.csv", "nix.csv", "no such file"),
            ("folder", "folder", ""),
            ("net.yaml", "net.yaml", ".csv"),
            ("empty.csv", "empty.csv", "is empty"),
            ("headless.csv", "headless.csv, line 1", "synapse,time"),
            ("unsorted.csv", "unsorted.csv, line 3", "4.0 ns comes after 5.0 ns"),
            ("negative.csv", "negative.csv, line 2", "-4.0 ns is negative"),
            ("nan.csv", "nan.csv, line 2", "nan is not a time"),
            ("word.csv", "word.csv, line 2", "'soon' is not a number"),
            ("unknown.csv", "photons['s3']", "(did you mean 's"),
            ("broken.npz", "broken.npz", ""),
            ("text.h5", "text.h5", ""),
        )
    ),
    *(
        (("run", "net.yaml", "--duration", value), "--duration", reason)
        for value, reason in (
            ("nan", "is not finite"),
            ("inf", "is not finite"),
            ("0", "not above 0"),
            ("-1", "not above 0"),
            ("soon", "is not a quantity"),
            ("5 mV", "is a voltage"),
            ("", "quantity"),
            ("1e300", "clock"),
        )
    ),
    (("run", "net.yaml", "--duration", "5", "--engine", "compield"), "--engine: 'compield'", "mean 'compiled'?"),
    (("run", "net.yaml", "--duration", "5", "--resolution", "flux"), "--resolution: 'flux'", "mean 'fluxon'?"),
    (("run", "net.yaml", "--duration", "5", "--tol", "0"), "--tol: 0.0", "1e-9 to 0.1"),
    (("run", "net.yaml", "--duration", "5", "--threads", "0"), "--threads: 0", "from 1 to 1024"),
    (("run", "net.yaml", "--duration", "5", "--seed", "x"), "--seed: 'x'", "whole number"),
    (("run", "net.yaml", "--duration", "5", "--seed", "-1"), "--seed: -1", "out of range"),
    (("run", "net.yaml", "--duration", "5", "--seed", "9" * 400), "--seed", "whole number"),
    (("run", "net.yaml", "--duration", "5", "--record", "spike"), "--record: 'spike'", "did you mean 'spikes'?"),
    (("run", "net.yaml", "--duration", "5", "--record", "currents:d7"), "--record", "'d7' (did you mean 'd1'?)"),
    (("run", "net.yaml", "--duration", "5", "--out", "old.h5"), "--out: old.h5", "add --overwrite"),
    (("run", "net.yaml", "--duration", "5", "--plot", "old.png"), "--plot: old.png", "add --overwrite"),
    (("run", "net.yaml", "--duration", "5", "--out", "no/run.h5"), "--out: no/run.h5", "there is no folder"),
    (("run", "net.yaml", "--duration", "5", "--out", "folder"), "--out: folder", "is a folder"),
    (("run", "net.yaml", "--duration", "5", "--out", "net.yaml", "--overwrite"), "--out: net.yaml", "another name"),
    (("run", "net.yaml", "--duration", "5", "--plot", "a.gif"), "--plot: a.gif", ".png, .pdf or .svg"),
    (("run", "net.yaml", "--duration", "5", "--out", "a.png", "--plot", "a.png"), "--plot: a.png", "another name"),
    *(
        (("plot", name, "--out", "new.png"), name, reason)
        for name, reason in (
            ("nix.h5", "no such file"),
            ("folder.h5", "director"),
            ("empty.h5", "is empty"),
            ("text.h5", "HDF5"),
            ("photons.csv", "HDF5"),
        )
    ),
    (("plot", "run.h5", "--kind", "rastr"), "--kind: 'rastr'", "did you mean 'raster'?"),
    (("plot", "net.yaml", "--kind", "raster"), "--kind: 'raster'", "no picture of a network file"),
    (("plot", "run.h5", "--kind", "raster", "--ids", "n7"), "'n7'", "did you mean 'n1'?"),
    (("plot", "run.h5", "--kind", "traces"), "--kind: 'traces'", "run it again with --record"),
    (("plot", "run.h5", "--kind", "dendrite", "--ids", "d1,n1"), "--ids: 'd1,n1'", "give one"),
    (("plot", "run.h5", "--kind", "source", "--ids", "d9"), "'d9'", "did you mean 'd1'?"),
    (("plot", "run.h5", "--ids", ","), "--ids: ','", "give at least one"),
    (("plot", "run.h5", "--window", "5"), "--window: '5'", "such as 0:30"),
    (("plot", "run.h5", "--window", "50:200"), "--window: 50 to 200 ns", "runs from 0 to 100 ns"),
    (("plot", "run.h5", "--window", "nan:3"), "--window", "runs from 0 to 100 ns"),
    (("plot", "run.h5", "--out", "old.png"), "--out: old.png", "add --overwrite"),
    (("plot", "run.h5", "--out", "run.h5", "--overwrite"), "--out: run.h5", "another name"),
    (("plot", "run.h5", "--out", "a.gif"), "--out: a.gif", ".png, .pdf or .svg"),
]


@pytest.mark.parametrize(("words", "place", "reason"), NONSENSE, ids=lambda value: "".join(value)[:40])
def test_nonsense_is_refused_with_a_reason(words, place, reason, soen, folder):
    nonsense(folder)
    before = contents(folder)
    code, out, err = soen(*words)
    assert code == 2, err
    assert out == "" and "Traceback" not in err
    assert all(line.startswith("soen: error: ") for line in err.splitlines())
    assert any(place in line and reason in line for line in err.splitlines()), err
    assert contents(folder) == before


def test_all_faults_of_a_command_are_told_together(soen, folder):
    nonsense(folder)
    code, _, err = soen("run", "nan.yaml", "--photons", "word.csv", "--duration", "nan", "--engine", "x", "--seed", "x",
                        "--out", "old.h5", "--plot", "a.gif")  # fmt: skip
    assert code == 2 and len(err.splitlines()) == 7


@pytest.mark.parametrize("cut", [100, 600, 3000, 4096, 5000, 0.3, 0.6])
def test_a_truncated_recording_is_refused(cut, folder):
    """In a process of its own: a library that waits for the rest of a file would wait for ever."""
    se.simulate("net.yaml", "photons.csv", 100.0, out="run.h5")
    whole = (folder / "run.h5").read_bytes()
    (folder / "cut.h5").write_bytes(whole[: cut if cut > 1 else int(cut * len(whole))])
    command = [sys.executable, "-m", "soen_event.cli", "plot", "cut.h5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60.0)
    assert done.returncode == 2 and done.stdout == "" and not (folder / "cut.png").exists()
    assert done.stderr.startswith("soen: error: cut.h5: ") and done.stderr.count("\n") == 1


# ---------------------------------------------------------------------------------------------- the words themselves


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rnu",), "'run'"),
        (("run",), "NET: missing; wanted: network file"),
        (("run", "net.yaml"), "--duration: missing; wanted: how long to run"),
        (("run", "net.yaml", "--durration", "5"), "--durration: there is no such option (did you mean '--duration'?)"),
        (("plot", "run.h5", "--knid", "raster"), "--knid: there is no such option (did you mean '--kind'?)"),
        (("validate", "--ful"), "(did you mean '--full'?)"),
        (("run", "net.yaml", "--duration"), "'--duration' requires an argument"),
        (("run", "net.yaml", "more.yaml", "--duration", "5"), "more.yaml"),
    ],
)
def test_wrong_words_name_the_nearest(words, told, soen):
    code, out, err = soen(*words)
    assert code == 2 and out == "" and told in err
    assert err.startswith("soen: error: ") and "--help" in err and err.count("\n") == 1


@pytest.mark.parametrize("command", ["", "run", "info", "check", "plot", "validate", "deploy", "bench", "schema"])
def test_help(command, soen):
    code, out, err = soen(*([command] if command else []), "--help")
    assert code == 0 and err == "" and "Usage: soen" in out
    if command == "run":
        for word in [
            "photons",
            "duration",
            "engine",
            "resolution",
            "seed",
            "record",
            "out",
            "overwrite",
            "plot",
            "json",
            "quiet",
        ]:
            assert f"--{word}" in out


def test_without_a_command_help_is_shown(soen):
    code, out, _ = soen()
    assert code == 0 and "validate" in out and "bench" in out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from soen_event import cli\n"
        "try: cli.main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'matplotlib', 'h5py', 'scipy', 'networkx', 'yaml', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_installed_command_is_this_one():
    from importlib.metadata import entry_points

    (found,) = entry_points(group="console_scripts", name="soen")
    assert found.load() is cli.main


# ---------------------------------------------------------------------------------------------- failures and signals


def test_a_failure_is_one_line_and_the_traceback_is_there_for_the_asking(soen, monkeypatch):
    def fail(path):
        raise RuntimeError("the roof\nis on fire")

    monkeypatch.setattr(cli, "_network", fail)
    code, out, err = soen("info", "net.yaml")
    assert (code, out) == (1, "")
    assert err == "soen: failure: RuntimeError: the roof is on fire; run it again with --debug for the traceback\n"
    code, _, err = soen("info", "net.yaml", "--debug")
    assert code == 1 and "Traceback" in err and "--debug" not in err
    monkeypatch.setenv("SOEN_DEBUG", "1")
    assert "Traceback" in soen("info", "net.yaml")[2]


def acknowledged(path):
    """How far (ns) a run has come that is still going, by its file."""
    try:
        return se.Recording.load(path).end
    except se.InputError:
        return 0.0


BUSY = "soen: 1\ndendrites: [{id: d1, ib: 2.1, tau: 5}]\n"


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_interrupt_saves_what_there_is(engine, folder):
    (folder / "busy.yaml").write_text(BUSY)
    words = ["run", "busy.yaml", "--duration", "1e9", "--record", "spikes", "--out", "busy.h5", "--engine", engine]
    command = [sys.executable, "-m", "soen_event.cli", *words]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120.0
        while time.monotonic() < until and acknowledged(folder / "busy.h5") == 0.0:
            time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60.0)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert "soen: interrupted at" in err and "busy.h5 holds everything up to there" in err and "Traceback" not in err
    rec = se.Recording.load("busy.h5")
    assert 0.0 < rec.end < 1e9 and rec.fluxon_count["d1"] > 100 and "stopped at" in out


def test_interrupt_elsewhere_says_so(soen, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_network", interrupt)
    code, out, err = soen("info", "net.yaml")
    assert (code, out) == (130, "") and "interrupted" in err


def test_a_reader_that_leaves_is_no_failure(folder):
    command = f"{sys.executable} -m soen_event.cli schema | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env={**os.environ})
    assert done.stdout == "{\n" and "Traceback" not in done.stderr and "soen:" not in done.stderr


class TestNetlist:
    def test_a_netlist_is_written(self, soen):
        words = ("netlist", "net.yaml", "--photons", "photons.csv", "--duration", "0.02 us", "--out", "deck.cir")
        code, out, err = soen(*words)
        assert code == 0
        assert out.startswith("deck.cir: 3 loops, ") and "20 ns" in out
        assert "warning: nothing empties the loops of n1.soma here" in err
        code, _, err = soen(*words)
        assert code == 2 and "--out: deck.cir: exists already" in err
        code, out, err = soen(
            *words, "--overwrite", "--json", "--parts", "d1", "--dialect", "wrspice", "--probes", "currents"
        )
        told = json.loads(out)
        assert (code, err) == (0, "")
        assert told["dialect"] == "wrspice" and told["elements"]["B"] == 2 and list(told["loops"]) == ["d1"]
        with open("deck.cir") as file:
            assert ".save i(LD_D1)\n" in file.read()

    def test_a_recording_gives_the_detections(self, soen):
        run = ("run", "net.yaml", "--photons", "photons.csv", "--duration", "20", "--out", "run.h5", "--quiet")
        assert soen(*run, "--record", "spikes,photons")[0] == 0
        code, _, _ = soen("netlist", "net.yaml", "--duration", "20", "--out", "deck.cir", "--spikes", "run.h5")
        with open("deck.cir") as file:
            assert code == 0 and "detector s1: 1 detections, 5 to 5 ns" in file.read()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--dialect", "josmi"), "--dialect: 'josmi' is unknown (did you mean 'josim'?)"),
            (("--step", "7"), "--step: 7.0 is not a step in ps"),
            (("--sample", "0.001"), "--sample: 0.001"),
            (("--probes", "flux"), "--probes: 'flux' is unknown"),
            (("--parts", "d2"), "--parts: there is no dendrite or neuron 'd2'"),
            (("--parts", ","), "--parts: is empty"),
            (("--temperature", "-4"), "--temperature: -4.0"),
            (("--seed", "x"), "--seed"),
            (("--duration", "soon"), "--duration"),
            (("--spikes", "net.yaml"), "net.yaml"),
            (("--out", "nowhere/deck.cir"), "--out: nowhere/deck.cir: there is no folder"),
        ],
    )
    def test_nonsense(self, soen, words, message):
        given = {"--duration": "1", "--out": "deck.cir", **dict([words])}
        code, out, err = soen("netlist", "net.yaml", *(word for pair in given.items() for word in pair))
        assert (code, out) == (2, "")
        assert message in err and "Traceback" not in err
        assert not os.path.exists("deck.cir")
