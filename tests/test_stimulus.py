"""Photons and flux given to a network: laws of the container, files and their faults, generators and encoders."""

import math
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from soen_event import stimulus as generate
from soen_event.errors import InputError
from soen_event.network import Network
from soen_event.parts import Drive
from soen_event.stimulus import Stimulus

LIMIT = 2**62

ids = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6) | st.sampled_from(
    ["s1", "s2", "s10", "a,b", 'q"uote', "two words", "0"]
)
times = st.floats(0, 1e6) | st.integers(0, 50).map(float)
trains = st.lists(times, max_size=8).map(sorted)
photons = st.dictionaries(ids, trains, max_size=6)
stimuli = photons.map(Stimulus)
positions = st.dictionaries(st.integers(0, 20), trains, max_size=6).map(Stimulus)
seeds = st.integers(0, 2**63 - 1)
name_lists = st.lists(ids, min_size=1, max_size=6, unique=True)


def faults_of(call, *arguments, **named):
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)
    return caught.value.faults


# ---- the container ----


@given(photons)
def test_holds_what_it_was_given(given_photons):
    stimulus = Stimulus(given_photons)
    assert {key: train.tolist() for key, train in stimulus.photons.items()} == given_photons
    assert stimulus.count == sum(map(len, given_photons.values()))
    assert stimulus.synapses == sorted(given_photons)
    assert stimulus.duration == max((train[-1] for train in given_photons.values() if train), default=0.0)
    assert stimulus == Stimulus(dict(reversed(given_photons.items())))
    assert all(train.dtype == np.float64 for train in stimulus.photons.values())


def test_is_immutable():
    train = np.array([1.0, 2.0])
    stimulus = Stimulus({"s1": train})
    train[0] = 7.0
    assert stimulus.photons["s1"].tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        stimulus.photons["s1"][0] = 7.0
    with pytest.raises(TypeError):
        stimulus.photons["s2"] = train


@given(stimuli)
def test_survives_pickle(stimulus):
    assert pickle.loads(pickle.dumps(stimulus)) == stimulus


@given(stimuli, stimuli, stimuli)
def test_merging_is_a_commutative_sum(a, b, c):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Stimulus() == a == a.merge(None)
    assert (a + b).count == a.count + b.count
    assert a.merge(b) == a + b


@given(stimuli, st.floats(0, 1e4))
def test_shift_moves_every_photon(stimulus, dt):
    later = stimulus.shifted(dt)
    assert later.count == stimulus.count
    for key, train in stimulus.photons.items():
        assert later.photons[key].tolist() == [t + dt for t in train]
    assert later.shifted(-dt).duration == pytest.approx(stimulus.duration, abs=1e-6)


@given(stimuli, st.floats(1e-3, 1e3))
def test_scale_stretches_time(stimulus, factor):
    assert stimulus.scaled(time=factor).duration == stimulus.duration * factor
    assert stimulus.scaled() == stimulus


@given(stimuli, st.tuples(times, times, times))
def test_restriction_cuts_in_two_without_loss(stimulus, cuts):
    t0, middle, t1 = sorted(cuts)
    whole, left, right = stimulus.restricted(t0, t1), stimulus.restricted(t0, middle), stimulus.restricted(middle, t1)
    assert whole == left + right
    assert all(np.all((train >= t0) & (train < t1)) for train in whole.photons.values())
    assert stimulus.restricted() == stimulus


@given(stimuli)
def test_relabel_by_dict_and_function(stimulus):
    there = {key: f"n{i}" for i, key in enumerate(stimulus.synapses)}
    back = {new: old for old, new in there.items()}
    assert stimulus.relabel(there).relabel(back) == stimulus
    assert stimulus.relabel({}) == stimulus
    together = stimulus.relabel(lambda key: "all")
    assert together.count == stimulus.count
    assert together.synapses == (["all"] if stimulus.photons else [])


@pytest.mark.parametrize("given_photons", [{"s1": [10.0, 60.0]}, {}])
def test_coerce(tmp_path, given_photons):
    stimulus = Stimulus(given_photons)
    stimulus.save(tmp_path / "photons.npz")
    assert Stimulus.coerce(stimulus) is stimulus
    for other in (given_photons, tmp_path / "photons.npz", str(tmp_path / "photons.npz")):
        assert Stimulus.coerce(other) == stimulus
    assert Stimulus.coerce(None) == Stimulus()
    assert "list is none of" in faults_of(Stimulus.coerce, [1.0])[0]


def test_reads_well():
    assert repr(Stimulus({"s1": [10.0, 60.0]})) == "<Stimulus: 2 photons at 1 synapses, 0 drives, last at 60 ns>"
    assert Stimulus({"s1": [1.0]}) != Stimulus({"s1": [2.0]})
    assert Stimulus() != 3


# ---- lowering ----


@given(stimuli, st.randoms(use_true_random=False))
def test_lowering_is_canonical(stimulus, random):
    names = stimulus.synapses
    time, index = stimulus.lower(names)
    assert time.dtype == index.dtype == np.int64
    assert len(time) == stimulus.count
    rows = sorted(
        (round(t * 1e6), key) for key, train in stimulus.photons.items() for t in train.tolist()
    )  # round() is half to even too
    assert list(zip(time.tolist(), (names[i] for i in index), strict=True)) == rows
    # neither the order in which photons were given nor that of the network's ids matters
    items, shuffled = list(stimulus.photons.items()), list(names)
    random.shuffle(items)
    random.shuffle(shuffled)
    again, where = Stimulus(dict(items)).lower(shuffled)
    assert again.tolist() == time.tolist()
    assert [shuffled[i] for i in where] == [names[i] for i in index]


def test_lowering_breaks_ties_by_rank():
    stimulus = Stimulus({"b": [1.0], "a": [1.0], "c": [0.0, 1.0, 1.0]})
    time, index = stimulus.lower(["c", "b", "a"])
    assert time.tolist() == [0, 1_000_000, 1_000_000, 1_000_000, 1_000_000]
    assert index.tolist() == [0, 2, 1, 0, 0]
    assert stimulus.lower(["c", "b", "a"], order=[0, 1, 2])[1].tolist() == [0, 0, 0, 1, 2]
    assert "shape (2,)" in faults_of(stimulus.lower, ["a", "b", "c"], order=[0, 1])[0]


@pytest.mark.parametrize(
    ("t", "fs"), [(0.5e-6, 0), (1.5e-6, 2), (2.5e-6, 2), (1e-7, 0), (0.067, 67_000), (4e12, 4 * 10**18)]
)
def test_femtoseconds_are_rounded_half_to_even(t, fs):
    assert Stimulus({"s": [t]}).lower(["s"])[0].tolist() == [fs]
    assert fs < LIMIT


@given(positions, st.randoms(use_true_random=False))
def test_integers_are_positions_in_the_sorted_ids(stimulus, random):
    names = [f"s{i}" for i in range(21)]
    random.shuffle(names)
    alphabetical = sorted(names)
    time, index = stimulus.lower(names)
    other_time, other_index = stimulus.relabel(lambda i: alphabetical[i]).lower(names)
    assert time.tolist() == other_time.tolist() and index.tolist() == other_index.tolist()


def test_a_position_and_an_id_may_mean_the_same_synapse():
    time, index = Stimulus({1: [5.0], "b": [3.0]}).lower(["b", "a"])
    assert time.tolist() == [3_000_000, 5_000_000] and index.tolist() == [0, 0]


def test_every_unknown_synapse_is_named():
    faults = faults_of(Stimulus({"syn1": [1.0], "s2": [1.0], "x": [], 7: [1.0]}).lower, ["s1", "s2", "syn_1"])
    assert faults == [
        "photons[7]: there is no synapse at position 7 because the network has 3; positions run from 0 to 2",
        "photons['syn1']: the network has no synapse of this id (did you mean 'syn_1'?); rename or remove it",
        "photons['x']: the network has no synapse of this id; rename or remove it",
    ]
    assert "the network has no synapses" in faults_of(Stimulus({0: [1.0]}).lower, [])[0]
    assert len(faults_of(Stimulus({f"u{i}": [1.0] for i in range(50)}).lower, ["s1"])) == 50


# ---- refusals of the constructor ----


@pytest.mark.parametrize(
    ("given_photons", "message"),
    [
        (
            {"s1": [1.0, 7.0, 5.0]},
            "Stimulus.photons['s1'][2]: 5.0 ns comes after 7.0 ns (Stimulus.photons['s1'][1]) on the same synapse; "
            "times must ascend: sort them (np.sort)",
        ),
        ({"s1": [-1.0]}, "Stimulus.photons['s1'][0]: -1.0 ns is negative; times count from the start of the run"),
        ({"s1": [math.nan]}, "nan is not a time"),
        ({"s1": [math.inf]}, "inf ns is past the range of the clock (4.612e+12 ns, 77 minutes); check the unit"),
        ({"s1": [LIMIT / 1e6]}, "past the range of the clock"),
        ({"s1": 10.0}, "the shape () is not one-dimensional; put it in a list"),
        ({"s1": [[1.0], [2.0]]}, "the shape (2, 1) is not one-dimensional; flatten it"),
        ({"s1": [[1.0], [2.0, 3.0]]}, "is ragged"),
        ({"s1": ["10 ns"]}, "is not that of numbers; give times in ns"),
        ({"s1": [True]}, "the type bool is not that of numbers"),
        ({"s1": None}, "Stimulus.photons['s1']"),
        ({"": [1.0]}, "Stimulus.photons['']: a synapse id is a printable string"),
        ({" s1": [1.0]}, "neither is empty nor begins or ends with a space"),
        ({"s\n1": [1.0]}, "printable"),
        ({-1: [1.0]}, "a position in the sorted list of synapse ids is 0 or above"),
        ({1.5: [1.0]}, "a synapse is named by its id"),
        ({True: [1.0]}, "a synapse is named by its id"),
        ([1.0], "Stimulus.photons: list is not a mapping"),
    ],
)
def test_refusals(given_photons, message):
    assert message in faults_of(Stimulus, given_photons)[0]


def test_all_faults_are_reported_and_long_lists_are_cut():
    faults = faults_of(Stimulus, {"a": [2.0, 1.0], "b": [-1.0], "": [1.0], "ok": [1.0]})
    assert [fault.split(":")[0] for fault in faults] == [
        "Stimulus.photons['a'][1]",
        "Stimulus.photons['b'][0]",
        "Stimulus.photons['']",
    ]
    faults = faults_of(Stimulus, {"a": [-1.0] * 1000})
    assert len(faults) == 21 and faults[-1] == "... and 980 more of this kind"
    assert faults_of(Stimulus, {"a": np.arange(1000.0)[::-1]})[-1] == "... and 979 more of this kind"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.shifted(-11.0), "-1.0 ns is negative"),
        (lambda s: s.shifted("1 ns"), "Stimulus.shifted.dt: '1 ns' is not a number; give ns"),
        (lambda s: s.shifted(math.nan), "Stimulus.shifted.dt: nan is out of range"),
        (lambda s: s.shifted(1e13), "past the range of the clock"),
        (lambda s: s.scaled(time=0.0), "Stimulus.scaled.time: 0.0 is out of range; give a factor above 0"),
        (lambda s: s.scaled(flux=math.inf), "Stimulus.scaled.flux"),
        (lambda s: s.restricted(5.0, 1.0), "from 5.0 to 1.0 ns is no interval"),
        (lambda s: s.relabel({"s1": ""}), "Stimulus.relabel: 's1' becomes ''"),
    ],
)
def test_refusals_of_methods(call, message):
    assert message in faults_of(call, Stimulus({"s1": [10.0]}))[0]


def test_adding_something_else_is_a_type_error():
    with pytest.raises(TypeError):
        Stimulus() + 3


# ---- one row a photon ----


@given(stimuli, st.randoms(use_true_random=False))
def test_rows_of_different_synapses_interleave_freely(stimulus, random):
    queues = [[(key, t) for t in train.tolist()] for key, train in stimulus.photons.items()]
    rows = []
    while any(queues):
        rows.append(random.choice([queue for queue in queues if queue]).pop(0))
    again = Stimulus.from_arrays([key for key, _ in rows], [t for _, t in rows])
    assert again == stimulus


def test_rows_of_one_synapse_must_ascend():
    assert faults_of(Stimulus.from_arrays, ["a", "b", "a", "b"], [5.0, 1.0, 4.0, 2.0]) == [
        "Stimulus.from_arrays[2]: 4.0 ns comes after 5.0 ns (Stimulus.from_arrays[0]) on the same synapse; "
        "times must ascend: sort the rows by time"
    ]


@pytest.mark.parametrize(
    ("synapse", "time", "message"),
    [
        (["a"], [1.0, 2.0], "1 synapses and 2 times; give as many of each"),
        ([["a"]], [1.0], "synapse has the shape (1, 1)"),
        ([1.5], [1.0], "synapse has the type float64; give ids (strings) or positions (integers)"),
        ([-3], [1.0], "Stimulus.from_arrays[0]: synapse -3: a position"),
        (np.array(["a", 3], dtype=object), [1.0, 2.0], "Stimulus.from_arrays[1]: 3 is no synapse id"),
        (np.array([b"\xff"]), [1.0], "synapse ids are not UTF-8"),
        (["a"], ["x"], "time: the type <U1 is not that of numbers"),
    ],
)
def test_refusals_of_from_arrays(synapse, time, message):
    assert message in faults_of(Stimulus.from_arrays, synapse, time)[0]


def test_kinds_of_id_columns():
    expected = Stimulus({"a": [1.0], "b": [2.0]})
    for synapse in (["a", "b"], np.array([b"a", b"b"]), np.array(["a", "b"], dtype=object)):
        assert Stimulus.from_arrays(synapse, [1.0, 2.0]) == expected
    assert Stimulus.from_arrays(np.array([1, 0], dtype=np.uint8), [1, 2]) == Stimulus({0: [2.0], 1: [1.0]})
    assert Stimulus.from_arrays([], []) == Stimulus()


# ---- files ----

SUFFIXES = [".csv", ".npz", ".h5", ".hdf5"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25)
@given(stimulus=stimuli)
def test_files_give_back_the_same_bits(tmp_path_factory, suffix, stimulus):
    path = tmp_path_factory.mktemp("photons") / f"photons{suffix}"
    stimulus.save(path)
    assert Stimulus.load(path) == stimulus
    assert os.listdir(path.parent) == [path.name]
    first = path.read_bytes()
    Stimulus(dict(reversed(stimulus.photons.items()))).save(path, overwrite=True)
    assert Stimulus.load(path) == stimulus
    assert suffix != ".csv" or path.read_bytes() == first


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@settings(max_examples=10)
@given(stimulus=positions)
def test_positions_survive_in_binary_files(tmp_path_factory, suffix, stimulus):
    path = tmp_path_factory.mktemp("photons") / f"photons{suffix}"
    stimulus.save(path)
    assert Stimulus.load(path) == stimulus


def test_csv_looks_like_the_documented_format(tmp_path):
    Stimulus({"s2": [1.5], "s1": [10.0, 1e-7][::-1]}).save(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == "synapse,time\ns1,1e-07\ns2,1.5\ns1,10.0\n"


@pytest.mark.parametrize(
    "text",
    [
        "synapse,time\ns1,1\ns2,2.5\n",
        "time,synapse\n1,s1\n2.5,s2",
        "\ufeffsynapse , time\r\n s1 , 1 \r\n\r\ns2,2.5\r\n",
        'synapse,time\n"s1","1"\n"s2","2.5"\n',
    ],
)
def test_harmless_variants_of_csv(tmp_path, text):
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode())
    assert Stimulus.load(path) == Stimulus({"s1": [1.0], "s2": [2.5]})


def test_a_header_alone_is_an_empty_stimulus(tmp_path):
    (tmp_path / "p.csv").write_text("synapse,time\n")
    assert Stimulus.load(tmp_path / "p.csv") == Stimulus()


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "p.csv"
    Stimulus({"a": [1.0]}).save(path)
    assert faults_of(Stimulus().save, path) == [f"{path}: exists already; choose another name or pass overwrite=True"]
    assert Stimulus.load(path).count == 1
    Stimulus().save(path, overwrite=True)
    assert Stimulus.load(path).count == 0


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    path = tmp_path / "p.csv"
    Stimulus({"a": [1.0]}).save(path)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        Stimulus().save(path, overwrite=True)
    assert os.listdir(tmp_path) == ["p.csv"]
    assert Stimulus.load(path).count == 1


@pytest.mark.parametrize(
    ("stimulus", "name", "message"),
    [
        (Stimulus(), "p.txt", "the suffix '.txt' is not that of a photon file; use one of .csv, .npz, .h5, .hdf5"),
        (Stimulus(), "p.csc", "(did you mean '.csv'?)"),
        (Stimulus(), "missing/p.csv", "missing does not exist; make it first"),
        (Stimulus(), "folder.csv", "is a folder; give the name of a file in it"),
        (Stimulus({1: [1.0]}), "p.csv", "CSV holds ids, not positions such as 1"),
        (Stimulus({1: [1.0], "a": [1.0]}), "p.npz", "ids such as 'a' and positions such as 1 do not mix; relabel"),
    ],
)
def test_refusals_of_save(tmp_path, stimulus, name, message):
    (tmp_path / "folder.csv").mkdir()
    assert message in faults_of(stimulus.save, tmp_path / name)[0]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", [": the file is empty; a photon file has the columns synapse and time"]),
        ("\n\n", [": the file is empty; the first line must be 'synapse,time'"]),
        (
            "s1,10.0\n",
            [", line 1: 's1,10.0' is a photon, the header is missing; the first line must be 'synapse,time'"],
        ),
        (
            "synapses,t\ns1,1\n",
            [
                ", line 1: unknown column 'synapses' (did you mean 'synapse'?); the first line",
                ", line 1: unknown column 't'; the first line",
                ", line 1: there is no column 'synapse'; the first line",
                ", line 1: there is no column 'time'; the first line",
            ],
        ),
        (
            "Synapse,time_us\n",
            [": unknown column 'Synapse' (did you mean 'synapse'?)", "'time_us' (did you mean 'time'?)", "", ""],
        ),
        ("synapse,time,weight\n", [", line 1: unknown column 'weight'"]),
        ("synapse,synapse\n", [", line 1: there is no column 'time'"]),
        ("synapse,time,time\n", [", line 1: 'synapse,time,time' names a column twice"]),
        ("synapse;time\ns1;1\n", [", line 1: 'synapse;time' is not separated by commas"]),
        (
            "synapse,time\ns1,1\ns1,x\n,3\ns1,1,2\ns1,5\ns1,4\ns2,-1\ns2,nan\ns3,1_0\n",
            [
                ", line 3: time 'x' is not a number; give ns without a unit",
                ", line 4: the synapse id is missing",
                ", line 5: 3 values instead of 2 (synapse, time); one photon a line",
                ", line 10: time '1_0' is not a number",
                ", line 8: -1.0 ns is negative",
                ", line 9: nan is not a time",
                ", line 7: 4.0 ns comes after 5.0 ns (",
            ],
        ),
        ("synapse,time\ns1,10 ns\n", [", line 2: time '10 ns' is not a number; give ns without a unit"]),
        ('synapse,time\n"s1,1\n', [", line 2: is not CSV (unexpected end of data); check the quotes"]),
        ("synapse,time\ns1,1e300\n", [", line 2: 1e+300 ns is past the range of the clock"]),
    ],
)
def test_broken_csv(tmp_path, text, messages):
    path = tmp_path / "photons.csv"
    path.write_text(text)
    faults = faults_of(Stimulus.load, path)
    assert len(faults) == len(messages)
    for fault, message in zip(faults, messages, strict=True):
        assert fault.startswith(str(path)) and message in fault


def test_files_that_are_not_there(tmp_path):
    Stimulus().save(tmp_path / "photons.csv")
    assert "there is no such file (did you mean 'photons.csv'?)" in faults_of(Stimulus.load, tmp_path / "photon.csv")[0]
    (tmp_path / "folder.npz").mkdir()
    assert "is a folder; give the name of a photon file" in faults_of(Stimulus.load, tmp_path / "folder.npz")[0]
    assert "the suffix '' is not that of a photon file" in faults_of(Stimulus.load, tmp_path)[0]
    assert "there is no such file" in faults_of(Stimulus.load, tmp_path / "no" / "p.csv")[0]
    (tmp_path / "empty.h5").touch()
    assert "the file is empty" in faults_of(Stimulus.load, tmp_path / "empty.h5")[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_another_kind(tmp_path, suffix):
    path = tmp_path / f"p{suffix}"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe" * 20)
    fault = faults_of(Stimulus.load, path)[0]
    assert fault.startswith(str(path))
    assert re.search(r"is not (text in UTF-8|an NPZ file|an HDF5 file)", fault)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@settings(max_examples=40)
@given(data=st.data())
def test_truncated_binary_files(tmp_path_factory, suffix, data):
    path = tmp_path_factory.mktemp("cut") / f"p{suffix}"
    Stimulus({"s1": np.arange(200.0), "s2": [1.0]}).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole) - 1))])
    fault = faults_of(Stimulus.load, path)[0]
    assert fault.startswith(str(path))
    assert re.search(r"is truncated or damaged|is not an", fault)


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_npz_is_refused_or_unharmed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "p.npz"
    stimulus = Stimulus({"s1": np.arange(50.0)})
    stimulus.save(path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        loaded = Stimulus.load(path)
    except InputError as error:
        reported = str(error)
        loaded = stimulus
    else:
        reported = str(path)
    assert loaded == stimulus
    assert str(path) in reported


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"synapse": ["a"]}, "there is no array 'time', only 'synapse'"),
        (
            {"synapses": ["a"], "time": [1.0]},
            "there is no array 'synapse', only 'synapses', 'time' (did you mean 'synapses'?)",
        ),
        ({"synapse": ["a"], "time": [1.0], "weight": [1.0]}, "unknown array 'weight'"),
        ({"synapse": np.array(["a"], dtype=object), "time": [1.0]}, "array 'synapse' holds Python objects"),
        ({"synapse": ["a"], "time": [[1.0]]}, "time: the shape (1, 1) is not one-dimensional"),
        ({"synapse": ["a", "a"], "time": [2.0, 1.0]}, "row 1: 1.0 ns comes after 2.0 ns ("),
        ({"synapse": ["a", "a"], "time": [1.0]}, "2 synapses and 1 times"),
        ({"synapse": [0.5], "time": [1.0]}, "synapse has the type float64"),
        ({"synapse": ["a"], "time": ["1"]}, "time: the type <U1 is not that of numbers"),
    ],
)
def test_broken_npz(tmp_path, arrays, message):
    path = tmp_path / "p.npz"
    np.savez(path, **arrays)
    fault = faults_of(Stimulus.load, path)[0]
    assert fault.startswith(str(path)) and message in fault


def test_a_single_array_renamed_to_npz(tmp_path):
    np.save(tmp_path / "p.npy", np.zeros(3))
    (tmp_path / "p.npy").rename(tmp_path / "p.npz")
    assert "is not an NPZ file" in faults_of(Stimulus.load, tmp_path / "p.npz")[0]


def test_broken_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")

    def fault(fill):
        path = tmp_path / "p.h5"
        with h5py.File(path, "w") as file:
            fill(file)
        return faults_of(Stimulus.load, path)[0]

    assert "there is no dataset 'synapse', only nothing" in fault(lambda file: None)
    assert "'synapse' is a group" in fault(lambda f: (f.create_group("synapse"), f.update({"time": [1.0]})))
    assert "unknown dataset 'times' (did you mean 'time'?)" in fault(
        lambda f: [f.create_dataset(n, data=[1.0]) for n in ("synapse", "time", "times")]
    )
    assert "the shape ()" in fault(lambda f: [f.create_dataset(n, data=1) for n in ("synapse", "time")])


def test_hdf5_with_fixed_length_strings(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["synapse"] = np.array([b"a", b"b"])
        file["time"] = [1, 2]
    assert Stimulus.load(tmp_path / "p.h5") == Stimulus({"a": [1.0], "b": [2.0]})


# ---- generators ----


@given(name_lists, seeds, st.floats(0, 0.05), st.floats(1, 500))
def test_poisson_trains_depend_on_their_own_id_only(names, seed, rate, duration):
    stimulus = generate.poisson(names, rate, duration, seed=seed)
    assert stimulus == generate.poisson(names[::-1], rate, duration, seed=seed)
    for name in names:
        alone = generate.poisson([name], {name: rate}, duration, seed=seed)
        assert np.array_equal(alone.photons[name], stimulus.photons[name])
        assert np.all(stimulus.photons[name] < duration)


@given(seeds, st.floats(0.001, 1), st.floats(1, 300), st.floats(1, 300))
def test_a_longer_poisson_train_begins_with_the_shorter(seed, rate, a, b):
    short, long = sorted([a, b])
    train = generate.poisson(["s"], rate, long, seed=seed).photons["s"]
    assert np.array_equal(train[train < short], generate.poisson(["s"], rate, short, seed=seed).photons["s"])


def test_poisson_statistics():
    """Count and gaps of 400 trains of 0.02/ns over 5000 ns; fixed seed; limits at 5 sigma (6e-7 each)."""
    names = [f"s{i}" for i in range(400)]
    stimulus = generate.poisson(names, "20 MHz", 5000.0, seed=3)
    counts = np.array([stimulus.photons[name].size for name in names])
    assert abs(counts.mean() - 100) < 5 * 10 / 20
    assert abs(counts.var() / 100 - 1) < 5 * math.sqrt(2 / 400)
    gaps = np.concatenate([np.diff(stimulus.photons[name]) for name in names])
    assert abs(gaps.mean() / 50 - 1) < 0.03
    assert abs(np.mean(gaps > 50) - math.exp(-1)) < 5 * math.sqrt(0.2325 / gaps.size) + 0.005
    first = generate.poisson(names, 0.02, 5000.0, seed=4)
    assert first != stimulus
    assert np.corrcoef(counts, [first.photons[name].size for name in names])[0, 1] < 0.25


def test_poisson_gaps_add_up_across_blocks():
    class EvenGaps:
        def standard_exponential(self, n):
            return np.full(n, 0.5)  # half the mean, so that the first block does not reach the end

    train = generate._poisson_train(EvenGaps(), 0.1, 1000.0)
    assert train == pytest.approx(5.0 * np.arange(1, 200))


def test_rates_come_as_number_quantity_array_or_mapping():
    names = ["a", "b"]
    expected = generate.poisson(names, [0.01, 0.02], 1000.0, seed=1)
    for rate in (np.array([0.01, 0.02]), {"b": 0.02, "a": 0.01}, ["10 MHz", "0.02GHz"], {"a": "10000 kHz", "b": 0.02}):
        assert generate.poisson(names, rate, 1000.0, seed=1) == expected
    assert generate.poisson(names, 0.01, 1000.0, seed=1).photons["a"] == pytest.approx(expected.photons["a"])
    later = generate.poisson(names, 0.01, 1000.0, seed=1, t0=100.0)
    assert later.photons["a"] == pytest.approx(expected.photons["a"] + 100)
    assert generate.poisson(names, 0, 1000.0, seed=1).count == 0


@given(st.floats(0.5, 50), st.floats(0, 50), st.floats(0, 200))
def test_regular_trains(period, start, stop):
    train = generate.regular(["s"], period, start, stop).photons["s"]
    assert np.all((train >= start) & (train < stop))
    assert train == pytest.approx(start + period * np.arange(len(train)))
    assert start + period * len(train) >= stop - 1e-9


@given(name_lists, seeds, st.floats(0.01, 20))
def test_jitter_depends_on_the_own_id_only(names, seed, jitter):
    stimulus = generate.regular(names, 10.0, 5.0, 100.0, jitter=jitter, seed=seed)
    assert all(train.size == 10 for train in stimulus.photons.values())
    alone = generate.regular(names[:1], 10.0, 5.0, 100.0, jitter=jitter, seed=seed)
    assert np.array_equal(alone.photons[names[0]], stimulus.photons[names[0]])


def test_regular_per_id_and_jitter_statistics():
    stimulus = generate.regular(["a", "b"], [10.0, 20.0], {"a": 0.0, "b": 5.0}, 40.0)
    assert {k: v.tolist() for k, v in stimulus.photons.items()} == {"a": [0, 10, 20, 30], "b": [5, 25]}
    train = generate.regular(["a"], 100.0, 100.0, 1e6, jitter=2.0, seed=0).photons["a"]
    deviation = train - 100.0 * np.arange(1, 10000)
    assert abs(deviation.mean()) < 5 * 2.0 / 100 and abs(deviation.std() / 2.0 - 1) < 5 / math.sqrt(2 * 9999)


@given(st.lists(photons, max_size=4), st.floats(0, 1e3))
def test_in_sequence(samples, interval):
    stimulus = generate.in_sequence(map(Stimulus, samples), interval)
    expected = Stimulus()
    for k, sample in enumerate(samples):
        expected += Stimulus(sample).shifted(k * interval)
    assert stimulus == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generate.poisson(["a"], -1.0, 10.0, seed=0), "rate: -1.0 is out of range; give photons per ns, 0 or"),
        (lambda: generate.poisson(["a"], [1.0, 2.0], 10.0, seed=0), "2 values for 1 ids"),
        (lambda: generate.poisson(["a", "b"], [1.0, math.nan], 10.0, seed=0), "rate[1]: nan is out of range"),
        (lambda: generate.poisson(["a"], "20 mhz", 10.0, seed=0), "poisson.rate: '20 mhz' has the unknown unit"),
        (lambda: generate.poisson(["a"], "20 ns", 10.0, seed=0), "poisson.rate: '20 ns' is a time; a frequency"),
        (lambda: generate.poisson(["a"], "-1 MHz", 10.0, seed=0), "stimulus.poisson.rate: -0.001 is out of range"),
        (lambda: generate.poisson(["a"], {"b": 1.0}, 10.0, seed=0), "nothing is given for 'a'"),
        (lambda: generate.poisson(["a"], 1.0, 0.0, seed=0), "poisson.duration: 0.0 is out of range; give ns above 0"),
        (lambda: generate.poisson(["a"], 1.0, 1e10, seed=0), "about 1e+10 photons, more than 1e9"),
        (lambda: generate.poisson(["a"], 1.0, 1.0, seed=-1), "stimulus.poisson.seed: -1 is not a seed"),
        (lambda: generate.poisson(["a"], 1.0, 1.0, seed=1.0), "1.0 is not a seed"),
        (lambda: generate.poisson(["a"], 1.0, 1.0, seed=0, t0=-1.0), "stimulus.poisson.t0"),
        (lambda: generate.poisson(["a", "a"], 1.0, 1.0, seed=0), "stimulus.poisson.ids[1]: 'a' is there twice"),
        (lambda: generate.poisson("ab", 1.0, 1.0, seed=0), "'ab' is not a list of ids"),
        (lambda: generate.poisson(["a", ""], 1.0, 1.0, seed=0), "stimulus.poisson.ids[1]: ''"),
        (lambda: generate.regular(["a"], 0.0, 0.0, 10.0), "regular.period: 0.0 is out of range; give ns above 0"),
        (lambda: generate.regular(["a"], 1e-12, 0.0, 10.0), "more than 1e9"),
        (lambda: generate.regular(["a"], 1.0, -1.0, 10.0), "stimulus.regular.start: -1.0"),
        (lambda: generate.regular(["a"], 1.0, 0.0, 10.0, jitter=1.0), "stimulus.regular.seed: None with a jitter"),
        (lambda: generate.regular(["a"], 1.0, 0.0, 10.0, jitter=-1.0, seed=0), "stimulus.regular.jitter"),
        (lambda: generate.in_sequence([], -1.0), "stimulus.in_sequence.interval"),
    ],
)  # fmt: skip
def test_refusals_of_generators(call, message):
    assert message in faults_of(call)[0]


# ---- encoders ----

features = hnp.arrays(float, st.integers(1, 8), elements=st.floats(0, 1) | st.sampled_from([0.0, 0.25, 1.0]))
ENCODERS = {
    "latency": lambda v, names, **k: generate.latency(v, names, 100.0, **k),
    "log latency": lambda v, names, threshold=0.1, **k: generate.latency(
        v, names, 1e3, tau=50.0, threshold=max(threshold, 0.1), **k
    ),
    "rank order": lambda v, names, **k: generate.rank_order(v, names, 5.0, **k),
    "phase": lambda v, names, **k: generate.phase(v, names, 20.0, 3, **k),
    "rate": lambda v, names, **k: generate.rate(
        v, names, 0.2, 100.0, seed=1, **{n: k[n] for n in k if n != "threshold"}
    ),
}


def names_for(values):
    return [f"f{i}" for i in range(np.shape(values)[-1])]


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS.keys())
@given(values=features, data=st.data())
def test_encoders_do_not_see_the_order_of_features(encode, values, data):
    names = names_for(values)
    order = data.draw(st.permutations(range(len(values))))
    assert encode(values, names) == encode(values[order], [names[i] for i in order])


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS.keys())
@given(values=features, t0=st.floats(0, 1e3))
def test_encoders_start_at_t0_and_skip_small_values(encode, values, t0):
    names = names_for(values)
    base, later = encode(values, names), encode(values, names, t0=t0)
    assert base.photons.keys() == later.photons.keys()
    for key, train in base.photons.items():
        assert later.photons[key] == pytest.approx(train + t0)
        assert np.all(later.photons[key] >= t0)
    assert encode(np.zeros_like(values), names, threshold=0.5).count == 0


@given(features)
def test_latency_orders_by_value(values):
    stimulus = generate.latency(values, names_for(values), 100.0)
    t = np.array([stimulus.photons[name][0] for name in names_for(values)])
    assert t == pytest.approx(100 * (1 - values))
    log = generate.latency(values, names_for(values), 1e9, threshold=0.2, tau=50.0)
    assert {name for name, v in zip(names_for(values), values, strict=True) if v - 0.2 > 0} >= log.photons.keys()


def test_latency_golden_numbers():
    """Features.md S3.14: pixels 255, 128, 0 over a range of 100; logarithmic with tau 50 and threshold 51."""
    pixels = np.array([255, 128, 0]) / 255
    linear = generate.latency(pixels, ["a", "b", "c"], 100.0).photons
    assert [linear[key][0] for key in "abc"] == pytest.approx([0, 49.804, 100], abs=5e-4)
    pixels = np.array([255, 128, 52, 51]) / 255
    curved = generate.latency(pixels, ["a", "b", "c", "d"], 200.0, threshold=51 / 255, tau=50.0).photons
    assert [curved[key][0] for key in "abc"] == pytest.approx([11.157, 25.411, 197.562], abs=5e-4)
    assert "d" not in curved
    cut = generate.latency(pixels, ["a", "b", "c", "d"], 100.0, threshold=51 / 255, tau=50.0)
    assert cut.synapses == ["a", "b"]


@given(features)
def test_rank_order_keeps_order_and_ties(values):
    stimulus = generate.rank_order(values, names_for(values), 2.0)
    t = np.array([stimulus.photons[name][0] for name in names_for(values)])
    earlier = t[:, None] < t[None, :]
    assert np.array_equal(earlier, values[:, None] > values[None, :])
    assert sorted(set(t.tolist())) == [2.0 * k for k in range(len(set(values.tolist())))]


def test_rank_order_example():
    stimulus = generate.rank_order([0.2, 0.9, 0.9, 0.05], list("abcd"), 5.0, t0=10.0, threshold=0.1)
    assert {k: v.tolist() for k, v in stimulus.photons.items()} == {"a": [15.0], "b": [10.0], "c": [10.0]}


@given(features, st.integers(1, 5))
def test_phase_repeats_every_cycle(values, cycles):
    stimulus = generate.phase(values, names_for(values), 20.0, cycles)
    for name, value in zip(names_for(values), values, strict=True):
        if value == 0:
            assert name not in stimulus.photons
        else:
            assert stimulus.photons[name] == pytest.approx(20 * (np.arange(cycles) + 1 - value))


@given(features, seeds)
def test_rate_is_poisson_with_the_value_as_share(values, seed):
    names = names_for(values)
    stimulus = generate.rate(values, names, "100 MHz", 200.0, seed=seed)
    assert stimulus == generate.rate(values[None, :], names, 0.1, 200.0, seed=seed)[0]
    strongest = generate.rate(np.ones_like(values), names, 0.1, 200.0, seed=seed)
    for name, value in zip(names, values, strict=True):
        assert stimulus.photons[name].size <= strongest.photons[name].size
        assume(value > 0.01)
        n = stimulus.photons[name].size
        assert stimulus.photons[name] * value == pytest.approx(strongest.photons[name][:n])


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS.keys())
def test_two_dimensional_values_give_a_stimulus_each(encode):
    values = np.array([[0.1, 0.5, 1.0], [0.9, 0.4, 0.2]])
    result = encode(values, list("abc"))
    assert isinstance(result, list) and len(result) == 2
    assert result[0] == encode(values[0], list("abc"))
    assert encode(values[:0], list("abc")) == []


def test_samples_of_a_rate_code_are_independent():
    first, second = generate.rate(np.ones((2, 1)), ["a"], 0.1, 1000.0, seed=0)
    assert first != second


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS.keys())
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1.5], "values[1]: 1.5 is outside [0, 1]; scale the values"),
        ([-0.1, 0.5], "values[0]: -0.1 is outside [0, 1]"),
        ([[0.5, 0.5], [0.5, math.nan]], "values[1, 1]: nan is no number in [0, 1]"),
        ([0.5], "values: the shape (1,) does not fit 2 ids; give (2,) or (n_samples, 2)"),
        ([[[0.5, 0.5]]], "values: the shape (1, 1, 2) does not fit"),
        (0.5, "values: the shape () does not fit"),
        (["x", "y"], "values: the type <U1 is not that of numbers"),
        ([[0.5, 0.5], [0.5]], "values: is ragged"),
    ],
)
def test_encoders_refuse_wrong_values(encode, values, message):
    assert message in faults_of(encode, values, ["a", "b"])[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generate.latency([0.5], ["a"], -1.0), "t_window: -1.0 is out of range; give ns above 0"),
        (lambda: generate.latency([0.5], ["a"], 1.0, threshold=1.5), "threshold: 1.5 is above 1"),
        (lambda: generate.latency([0.5], ["a"], 1.0, tau=1.0), "threshold: 0 with a tau"),
        (lambda: generate.latency([0.5], ["a"], 1.0, t0=-1.0), "stimulus.latency.t0"),
        (lambda: generate.latency([0.5], ["a"], 1e14), "latency: 'a': 50000000000000.0 ns is past the range"),
        (lambda: generate.rank_order([0.5], ["a"], 0.0), "stimulus.rank_order.step"),
        (lambda: generate.phase([0.5], ["a"], 1.0, 0), "stimulus.phase.cycles: 0 is not a whole number"),
        (lambda: generate.phase([0.5], ["a"], 1.0, True), "stimulus.phase.cycles: True"),
        (lambda: generate.rate([0.5], ["a"], 1e6, 1e6, seed=0), "more than 1e9"),
    ],
)  # fmt: skip
def test_encoders_refuse_other_arguments(call, message):
    assert message in faults_of(call)[0]


# ---- event arrays ----

EVENT = [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")]
events_strategy = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 30), st.integers(0, 20), st.integers(0, 1)), max_size=30
).map(lambda rows: np.array(sorted(rows), dtype=EVENT))


@given(events_strategy)
def test_every_event_is_a_photon(events):
    stimulus = generate.from_events(events)
    assert stimulus.count == len(events)
    for t, x, y, p in events.tolist():
        assert 1000.0 * t in stimulus.photons[f"s_{x}_{y}_{p}"]


@given(events_strategy, st.integers(1, 4), st.integers(1, 4))
def test_downsampling_merges_neighbours(events, fy, fx):
    stimulus = generate.from_events(events, "{x}/{y}", downsample=(fy, fx))
    expected: dict[str, list[float]] = {}
    for t, x, y, _ in events.tolist():
        expected.setdefault(f"{x // fx}/{y // fy}", []).append(1000.0 * t)
    assert stimulus == Stimulus(expected)


@given(events_strategy)
def test_ways_to_name_the_synapse_agree(events):
    ny, nx = 21, 31
    by_shape = generate.from_events(events, (ny, nx))
    by_call = generate.from_events(events, lambda x, y, p: (p * ny + y) * nx + x)
    by_text = generate.from_events(events, "s{p}_{y:02d}_{x:02d}")
    grid = sorted(f"s{p}_{y:02d}_{x:02d}" for p in range(2) for y in range(ny) for x in range(nx))
    assert by_shape == by_call
    assert by_shape.lower(grid)[1].tolist() == by_text.lower(grid)[1].tolist()


@given(events_strategy)
def test_field_order_types_and_polarity_do_not_matter(events):
    other = np.zeros(len(events), dtype=[("p", "?"), ("id", "f4"), ("y", "u4"), ("t", "f8"), ("x", "u2")])
    for name in ("t", "x", "y", "p"):
        other[name] = events[name]
    assert generate.from_events(other) == generate.from_events(events)
    signed = events.copy()
    signed["p"] = 2 * signed["p"] - 1
    assert generate.from_events(signed) == generate.from_events(events)


@example(10**15)
@given(st.integers(0, 10**15))
def test_units_and_origin(offset):
    events = np.array([(offset + 1, 0, 0, 1), (offset + 4, 0, 0, 1)], dtype=EVENT)
    for unit, factor in {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}.items():
        for origin in (offset + 1, "first"):
            train = generate.from_events(events, unit=unit, origin=origin).photons["s_0_0_1"]
            assert train == pytest.approx([0.0, 3 * factor])


def test_sensors_with_one_dimension():
    events = np.array([(1, 3, 1), (2, 5, 1)], dtype=[("t", "i8"), ("x", "i8"), ("p", "i8")])
    assert generate.from_events(events, "c{x}") == Stimulus({"c3": [1e3], "c5": [2e3]})
    assert generate.from_events(events[["t", "x"]], "c{x}_{p}").synapses == ["c3_0", "c5_0"]


def test_a_function_may_drop_events():
    events = np.array([(1, 3, 0, 0), (2, 5, 0, 1)], dtype=EVENT)
    assert generate.from_events(events, lambda x, y, p: "on" if p else None) == Stimulus({"on": [2e3]})
    assert generate.from_events(events[:0]) == Stimulus()


@pytest.mark.parametrize(
    ("events", "named", "message"),
    [
        (np.zeros(3), {}, "events: an array of shape (3,) and type float64 is no list of events"),
        (np.zeros((2, 2), EVENT), {}, "is no list of events"),
        (np.zeros(1, [("ts", "i8"), ("x", "i8")]), {}, "there is no field 't', only ts, x"),
        (np.zeros(1, [("t", "i8"), ("x", "f8")]), {}, "field 'x' has the type float64; it must hold integers"),
        (np.zeros(1, [("t", "U3"), ("x", "i8")]), {}, "field 't' has the type <U3; it must hold numbers"),
        (np.array([(1, -1, 0, 0)], EVENT), {}, "events[0]: x = -1 is out of range; it must be 0 to 2**28 - 1"),
        (np.array([(1, 0, 0, 2)], EVENT), {}, "events[0]: p = 2 is out of range; it must be -1, 0 or 1"),
        (np.array([(2, 0, 0, 0), (1, 0, 0, 0)], EVENT), {}, "events[1]: 1000.0 ns comes after 2000.0 ns ("),
        (np.array([(-1, 0, 0, 0)], EVENT), {}, "events[0]: -1000.0 ns is negative"),
        (np.array([(math.nan, 0)], [("t", "f8"), ("x", "i8")]), {}, "events[0]: nan is not a time"),
        (np.array([(1, 9, 0, 0)], EVENT), {"synapse": (4, 5)}, "x, y = 9, 0 is outside the grid (ny, nx) = (4, 5)"),
        (np.zeros(1, EVENT), {"synapse": "s{z}"}, "uses {z}; a format string has the fields {x}, {y} and {p}"),
        (np.zeros(1, EVENT), {"synapse": "s{x.real}"}, "uses {x.real}"),
        (np.zeros(1, EVENT), {"synapse": "s"}, "uses none of them"),
        (np.zeros(1, EVENT), {"synapse": "s{x"}, "is no format string"),
        (np.zeros(1, EVENT), {"synapse": 7}, "7 is neither a format string"),
        (np.zeros(1, EVENT), {"synapse": lambda *_: ""}, "event x, y, p = (0, 0, 0) goes to ''"),
        (np.zeros(1, EVENT), {"unit": "µs"}, "unit: 'µs' is not one of ps, ns, us, ms, s"),
        (np.zeros(1, EVENT), {"downsample": 0}, "downsample: (0, 0) is not a whole factor"),
        (np.zeros(1, EVENT), {"downsample": (1, 2, 3)}, "downsample: (1, 2, 3)"),
        (np.zeros(1, EVENT), {"origin": "last"}, "origin: 'last' is neither a number nor 'first'"),
    ],
)  # fmt: skip
def test_refusals_of_events(events, named, message):
    assert message in faults_of(generate.from_events, events, **named)[0]


# ---- flux drives ----


POINTS = {"target": "d1", "points": [[0.0, 0.0], [1.0, 0.3], [40.0, 0.3]]}
PULSES = {"target": "d2", "pulses": [{"t0": 5.0, "phi_peak": 0.4, "tau_rise": 1.0, "tau_fall": 20.0}]}


def test_drives_from_dicts_and_parts():
    stimulus = Stimulus({"s1": [2.0]}, drives=[POINTS, PULSES])
    assert all(isinstance(drive, Drive) for drive in stimulus.drives)
    assert stimulus == Stimulus({"s1": [2.0]}, drives=stimulus.drives)
    assert stimulus != Stimulus({"s1": [2.0]})
    assert stimulus.duration == 40.0
    assert [drive.target for drive in (stimulus + stimulus).drives] == ["d1", "d2", "d1", "d2"]
    assert pickle.loads(pickle.dumps(stimulus)) == stimulus


def test_drives_move_and_scale():
    stimulus = Stimulus(drives=[POINTS, PULSES])
    points, pulses = stimulus.scaled(time=2.0, flux=0.5).shifted(3.0).drives
    assert np.allclose(points.points, [[3.0, 0.0], [5.0, 0.15], [83.0, 0.15]])
    (pulse,) = pulses.pulses
    assert (pulse.t0, pulse.phi_peak, pulse.tau_rise, pulse.tau_fall) == (13.0, 0.2, 2.0, 40.0)
    assert stimulus.restricted(0.0, 1.0).drives == stimulus.relabel({"d1": "d9"}).drives == stimulus.drives


def test_drives_of_a_stimulus_do_not_join_a_network_under_construction():
    network = Network()
    with network:
        Stimulus(drives=[POINTS, PULSES]).shifted(1.0).scaled(time=2.0)
        generate.flux_drive("d1", [0.0], [0.1])
    assert len(network.drives) == 0


def test_flux_drive_from_arrays():
    stimulus = generate.flux_drive("d1", np.array([0.0, 1.0, 40.0]), [0.0, 0.3, 0.3])
    assert stimulus == Stimulus(drives=[POINTS])
    assert (generate.regular(["s1"], 10.0, 0.0, 20.0) + stimulus).count == 2


def test_refusals_of_drives(tmp_path):
    assert "Drive.traget: unknown field (did you mean 'target'?)" in faults_of(Stimulus, drives=[{"traget": "d1"}])[0]
    pulse = {"t0": 5.0, "phi_peek": 0.4, "tau_rise": 1.0, "tau_fall": 20.0}
    assert "(did you mean 'phi_peak'?)" in faults_of(Stimulus, drives=[{"target": "d1", "pulses": [pulse]}])[0]
    assert "int is no drive" in faults_of(Stimulus, drives=[3])[0]
    assert "Drive.points" in faults_of(Stimulus, drives=[{"target": "d1"}])[0]
    assert "is below 0 ns" in faults_of(Stimulus(drives=[POINTS]).shifted, -1.0)[0]
    assert "holds no flux drives" in faults_of(Stimulus(drives=[POINTS]).save, tmp_path / "p.csv")[0]


@pytest.mark.parametrize(
    ("times_", "phi", "message"),
    [
        ([0.0, 1.0], [0.1], "2 times and 1 fluxes"),
        ([], [], "0 times and 0 fluxes"),
        ([1.0, 0.0], [0.1, 0.1], "stimulus.flux_drive('d1').times[1]: 0.0 ns is before 1.0 ns"),
        ([0.0], [math.nan], "stimulus.flux_drive('d1').phi[0]: nan is not finite"),
        ([[0.0]], [0.0], "is not one-dimensional"),
    ],
)
def test_refusals_of_flux_drive(times_, phi, message):
    assert message in faults_of(generate.flux_drive, "d1", times_, phi)[0]


def test_every_public_name_is_there_and_documented():
    for name in generate.__all__:
        assert getattr(generate, name).__doc__
    assert Path(generate.__file__).name == "stimulus.py"
