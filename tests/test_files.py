"""Network files: what is written is read back, and every fault is told at once with its place."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from pathlib import Path

import jsonschema
import networkx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_network import built, part_lists
from test_parts import faults_of

from soen_event import builders, files
from soen_event.device import Device
from soen_event.errors import InputError
from soen_event.network import Network
from soen_event.parts import Coupling, Dendrite, Drive, Neuron, Pulse, Refractory, Soma, Synapse, Transmitter, Waveguide

# design.md 5, to the letter
EXAMPLE = """\
soen: 1
device: {Ic: 100 uA, beta_c: 0.3, c_per_Ic: 1.5 fF/uA, beta_1: 1.5708, beta_2: 1.5708, temperature: 0 K}   # all optional
synapses:                                     # a detector that drives one dendrite or soma
  - {id: s1, target: d1, weight: 1.0, phi_peak: 0.5, tau_rise: 0.02, tau_fall: 50.0, hotspot: 0.06, efficiency: 1.0, dead_time: 0.0}
dendrites:
  - {id: d1, kind: ri, ib: 1.8, beta_over_2pi: 1000, tau: 250.0, phi_offset: 0.0}
neurons:
  - id: n1
    soma: {ib: 1.8, beta_over_2pi: 100, tau: 50.0, threshold: 0.5, after_spike: purge, t_ref: 10.0}
    refractory: {ib: 1.8, beta_over_2pi: 100, tau: 50.0, J: auto, hotspot: 0.04}   # or null
    transmitter: {emission: deterministic, latency: 5.6}                           # or {emission: photons, source: qd, photons: 10}
couplings:
  - {source: d1, target: n1, J: 0.5}          # Phi0 per unit s
waveguides:
  - {source: n1, target: s2, delay: 0.067, loss_db: 0.0}
drives:                                       # external flux in Phi0 against ns: piecewise linear points, or pulses that add linearly
  - {target: d1, points: [[0.0, 0.0], [1.0, 0.3], [40.0, 0.3], [41.0, 0.0]]}
  - {target: d1, pulses: [{t0: 5.0, phi_peak: 0.4, tau_rise: 1.0, tau_fall: 20.0}]}   # difference of exponentials
"""

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
devices = st.builds(Device, Ic=st.floats(1e-5, 1e-3), beta_c=st.floats(0.1, 1.0), beta_1=st.floats(0.1, 1.5))
networks = st.builds(built, part_lists(), devices, st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8))


def written(folder: Path, text: str, name: str = "net.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults_in(folder: Path, text: str, name: str = "net.yaml") -> list[str]:
    """The faults of a file, without the folder in front."""
    faults = faults_of(files.load, written(folder, text, name))
    assert all(fault.startswith(f"{folder}{os.sep}") for fault in faults)
    return [fault.removeprefix(f"{folder}{os.sep}") for fault in faults]


# ------------------------------------------------------------------------------ reading what was written


def test_the_example_of_the_format_loads(tmp_path):
    net = Network.load(written(tmp_path, EXAMPLE))
    assert net.device == Device()
    assert net["s1"] == Synapse("s1", "d1")
    assert net["d1"] == Dendrite("d1", ib=1.8, beta_over_2pi=1000, tau=250.0)
    assert net["n1"] == Neuron("n1", Soma(), Refractory(ib=1.8), Transmitter())
    assert net.couplings == [Coupling("d1", "n1", J=0.5)]
    assert net.waveguides == [Waveguide("n1", "s2", delay=0.067)]
    points = Drive("d1", points=[[0, 0], [1, 0.3], [40, 0.3], [41, 0]])
    assert sorted(net.drives, key=repr) == sorted([points, Drive("d1", pulses=[Pulse(5, 0.4, 1, 20)])], key=repr)
    # the excerpt leaves the waveguide's synapse out: let through on reading, told before anything runs
    assert "there is no synapse 's2'" in faults_of(net.check)[0]


@few
@given(networks, st.sampled_from(["net.yaml", "net.yml", "net.json", "NET.JSON"]))
def test_a_network_is_read_back_as_it_was(tmp_path, net, name):
    path = tmp_path / name
    net.save(path, overwrite=True)
    again = Network.load(path)
    assert again == net
    for array, other in zip(net.parameters().values(), again.parameters().values(), strict=True):
        assert array.tobytes() == other.tobytes()
    again.save(path, overwrite=True)
    assert Network.load(path) == net
    assert Network.from_dict(net.to_dict()) == net
    assert Network.from_dict(json.loads(json.dumps(net.to_dict()))) == net


@few
@given(networks)
def test_files_are_fit_for_other_readers(net):
    from_yaml = yaml.safe_load(files.to_yaml(net))  # YAML 1.1
    assert from_yaml == json.loads(files.to_json(net)) == json.loads(json.dumps(net.to_dict()))
    VALIDATOR.validate(from_yaml)
    assert files.to_yaml(net).isascii() and files.to_json(net).isascii()


@few
@given(part_lists(), st.randoms(use_true_random=False))
def test_the_order_of_adding_does_not_show_in_files(parts, random):
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert files.to_yaml(built(parts)) == files.to_yaml(built(shuffled))


def test_declared_circuit_values_stay_declared(tmp_path):
    text = "soen: 1\ndevice: {Ic: 50 uA}\ndendrites:\n  - {id: d, inductance: 20 nH, resistance: 80 mOhm, ib: 90 uA}\n"
    text += "couplings:\n  - {source: d, target: d, mutual: -10 pH}\n"
    net = Network.load(written(tmp_path, text))
    assert net["d"].ib == pytest.approx(1.8)
    assert net["d"].beta_over_2pi == pytest.approx(net.device.beta_from_inductance(20e-9) / (2 * math.pi))
    assert pytest.approx(net.device.J_from_mutual(-1e-11)) == net["d->d"].J
    entry = net.to_dict()["dendrites"][0]
    assert entry["inductance"] == "2e-08 H" and "beta_over_2pi" not in entry and "tau" not in entry


def test_an_empty_network_and_empty_sections(tmp_path):
    assert Network.load(written(tmp_path, "soen: 1\nsynapses:\ndendrites: []\ndevice:\n")) == Network()
    assert files.to_yaml(Network()).startswith("soen: 1\ndevice: {Ic: 0.0001, ")


# ------------------------------------------------------------------------------ YAML


@pytest.mark.parametrize(
    ("written_as", "value"),
    [
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("1.e3", 1000.0),
        (".5e3", 500.0),
        ("+7", 7.0),
        ("010", 10.0),
        ("0x10", 16.0),
        ("0o10", 8.0),
        ("'1e3'", 1000.0),
        ("1 us", 1000.0),
        ('"50 ns"', 50.0),
        ("!!float 5", 5.0),
    ],
)
def test_numbers_are_read_as_people_write_them(tmp_path, written_as, value):
    net = Network.load(written(tmp_path, f"soen: 1\ndendrites:\n  - {{id: d, tau: {written_as}}}\n"))
    assert net["d"].tau == value


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "NO", "Off"])
def test_short_words_are_text(tmp_path, word):
    text = f"soen: 1\nname: {word}\ndendrites:\n  - {{id: {word}}}\n"
    net = Network.load(written(tmp_path, text))
    assert net.name == word and list(net.dendrites) == [word]
    net.save(tmp_path / "again.yaml")
    assert Network.load(tmp_path / "again.yaml") == net
    assert yaml.safe_load((tmp_path / "again.yaml").read_text())["name"] == word


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("true", "True is not a number"),
        ("yes", "'yes' is not a quantity"),
        ("1:30", "'1:30'"),
        ("1_000", "'1_000'"),
        ("2001-01-01", "'2001-01-01'"),
        (".inf", "inf is not finite"),
        ("-.INF", "-inf is not finite"),
        (".nan", "nan is not finite"),
        ("~", "None is not a number"),
        ("[1]", "[1] is not a number"),
        ("!!str 5 kg", "unknown unit 'kg'"),
        ("9" * 5000, "not"),
    ],
)
def test_what_is_no_number_in_yaml(tmp_path, value, message):
    fault = faults_in(tmp_path, f"soen: 1\ndendrites:\n  - {{id: d, phi_offset: {value}}}\n")[0]
    assert fault.startswith("net.yaml:3: dendrites[0].phi_offset: ")
    assert message in fault


def test_anchors_and_merge_keys_save_typing(tmp_path):
    text = """\
soen: 1
dendrites:
  - &like {id: a, tau: 10, ib: 1.7}
  - {<<: *like, id: b}
  - {id: c, <<: [{tau: 20}, *like]}
"""
    net = Network.load(written(tmp_path, text))
    assert [(name, part.tau, part.ib) for name, part in net.dendrites.items()] == [
        ("a", 10.0, 1.7),
        ("b", 10.0, 1.7),
        ("c", 20.0, 1.7),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "soen: 1\ndendrites:\n  - {id: d, tau: 1, tau: 2}",
            "net.yaml:3: dendrites[0].tau: stands twice in one mapping",
        ),
        (
            "soen: 1\ndendrites: []\ndendrites: []",
            "net.yaml:3: dendrites: stands twice in one mapping (first in line 2)",
        ),
        (
            "soen: 1\nname: !!python/object/apply:os.system [ls]",
            "net.yaml:2: name: the tag 'tag:yaml.org,2002:python/o",
        ),
        ("soen: 1\nname: !mine x", "net.yaml:2: name: the tag '!mine' names a type that is not allowed here"),
        ("soen: 1\n? [a]\n: 1", "net.yaml:2: a list or mapping cannot be a key"),
        ("soen: 1\nname: &a x\n*a : 1", "net.yaml:3: an alias cannot be a key"),
        ("soen: 1\nname: *a", "net.yaml:2: name: *a is not anchored before"),
        ("soen: 1\ndendrites: &a [*a]", "net.yaml:2: dendrites[0]: *a contains itself"),
        ("soen: 1\n<<: 3", "net.yaml:2: '<<' merges mappings only"),
        ("soen: 1\n---\nsoen: 1", "net.yaml:2: begins a second document"),
        ("soen: [1", "net.yaml:2: is no YAML"),
        ("soen: 1\n\tname: x", "net.yaml:2: is no YAML"),
        ("soen: 1\nname: a: b", "net.yaml:2: is no YAML"),
        ("soen: 1\x07", "net.yaml: is no YAML"),
        ("[" * 20000, "net.yaml:1: is nested too deeply"),
        ("{a: " * 20000, "net.yaml:1: is nested too deeply"),
        ("- " * 20000, "net.yaml:1: is nested too deeply"),
        ("# nothing\n", "net.yaml: holds nothing but comments"),
    ],
)
def test_texts_that_are_no_plain_yaml(tmp_path, text, expected):
    assert faults_in(tmp_path, text)[0].startswith(expected)


def test_aliases_cannot_unfold_without_end(tmp_path):
    lines = ["a0: &a0 [" + "1," * 10 + "]"]
    lines += [f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    assert "aliases unfold to more than" in faults_in(tmp_path, "\n".join(lines))[0]


# ------------------------------------------------------------------------------ files that are none


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("net.yaml", b"", "is empty; a network file begins with 'soen: 1'"),
        ("net.yaml", b" \n\n", "is empty"),
        ("net.json", b"", "is empty"),
        ("net.yaml", b"soen: 1\n\xff\xfe", "net.yaml:2: byte 0xff is no UTF-8 text"),
        ("net.yaml", b"soen: 1\n\0\0", "net.yaml:2: holds zero bytes"),
        ("net.yaml", bytes(range(256)), "is no UTF-8 text"),
        ("net.yaml", "soen: 1".encode("utf-16"), "is no UTF-8 text"),
        ("net.json", b'{"soen": 1', "net.json:1: is no JSON: Expecting"),
        ("net.json", b"{\n'soen': 1}", "net.json:2: is no JSON"),
        ("net.json", b'{"soen": 1, "soen": 1}', "net.json: soen: stands twice in one mapping"),
        ("net.json", b"[" * 100000, "is nested too deeply"),
        ("net.json", b'{"soen": ' + b"1" * 5000 + b"}", "holds a whole number of thousands of digits"),
        ("net.json", b'{"soen": NaN}', "net.json:1: soen: nan is not a version"),
        ("net.json", b"[1]", "net.json:1: holds [1], no mapping"),
        ("net.yaml", b"just text", "net.yaml:1: holds 'just text', no mapping"),
        (
            "net.yaml",
            b"soen: 2\nneurones: 3",
            "net.yaml:1: soen: 2 is not a version that this library reads; give soen: 1",
        ),
        ("net.yaml", b"soen: '1'", "soen: '1' is not a version"),
        ("net.yaml", b"soen: 1.0", "soen: 1.0 is not a version"),
        ("net.yaml", b"soen: true", "soen: True is not a version"),
        ("net.yaml", b"name: x", "net.yaml:1: soen: missing; give soen: 1"),
        ("net.toml", b"soen = 1", "the suffix '.toml' tells no format; name it .yaml or .json"),
        ("net", b"soen: 1", "there is no suffix to tell the format"),
    ],
)
def test_the_matrix_of_broken_files(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    faults = faults_of(Network.load, path)
    assert len(faults) == 1
    assert message in faults[0] and str(path) in faults[0]


def test_missing_files_folders_and_unreadable_files(tmp_path):
    written(tmp_path, "soen: 1")
    assert "there is no such file (did you mean 'net.yaml'?)" in faults_of(Network.load, tmp_path / "nets.yaml")[0]
    assert "there is no folder" in faults_of(Network.load, tmp_path / "nowhere" / "net.yaml")[0]
    assert "is a folder; give a network file" in faults_of(Network.load, tmp_path)[0]
    if os.geteuid():
        locked = written(tmp_path, "soen: 1", "locked.yaml")
        locked.chmod(0)
        assert "cannot be read" in faults_of(Network.load, locked)[0]


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_bytes(b"\xef\xbb\xbfsoen: 1\r\nname: x\r\n")
    assert Network.load(path).name == "x"


# ------------------------------------------------------------------------------ faults, all at once

BROKEN = """\
soen: 1
devise: {}
device: {Ic: 100 ns, beta: 0.3}
synapses:
  - {id: s1, target: d9, weigth: 1.0, tau_rise: 60, efficiency: 1e3}
  - {id: s 2, target: d1, hotspot: on}
  - {target: d1}
  - 17
  - {id: s4, target: dd}
dendrites:
  - {id: d1, kind: ry, ib: 3.8, tau: -1}
  - {id: d2, kind: rtti, ib: 1.0, inductance: 2}
  - {id: d3, beta_over_2pi: 100, inductance: 2 nH}
  - {id: 7}
neurons:
  - id: n1
    soma: {ib: 1.8, threshold: 0.4, after_spik: purge}
    refractory: {J: 0.5}
  - id: n2
    transmitter: {source: eq}
  - id: n3
    soma: {threshold: 1.4}
couplings: {source: d1, target: n1, J: 0.5}
waveguides:
  - {source: n2, target: s4, delay: 1 Ohm}
  - {source: n1, target: n2}
drives:
  - {target: d1, points: [[0.0, 0.0], [1.0, x], [-40.0, 0.3]]}
  - {target: d1, pulses: [{t0: 5.0, phi_peak: 0.4, tau_rise: 1.0}]}
  - {target: d1}
  - {target: q, points: [[0, 0]]}
"""
PLACES = """\
2: devise: unknown key (did you mean 'device'?); remove it or correct it
3: device.Ic: '100 ns' is a time; a current was expected
3: device.beta: there is no such field (did you mean 'beta_c'?)
5: synapses[0].weigth: unknown key (did you mean 'weight'?); remove it or correct it
5: synapses[0].efficiency: 1000 is above 1; give a number, 0 to 1
5: synapses[0].tau_rise: 60 ns is not below tau_fall = 50 ns
6: synapses[1].id: 's 2' is no id
6: synapses[1].hotspot: 'on' is not a quantity
7: synapses[2].id: missing; give text
8: synapses[3]: 17 is no mapping; give fields such as {id, target, weight}
9: synapses[4].target: there is no dendrite or neuron 'dd'
11: dendrites[0].kind: 'ry' is not known (did you mean 'ri'?); give 'ri' or 'rtti'
11: dendrites[0].tau: -1 is below 1e-06 ns
12: dendrites[1].ib: 1 is below 1.5 I_c, outside the range of kind 'rtti'
12: dendrites[1].inductance: 2 is above 0.001 H; write a quantity with its unit
13: dendrites[2].beta_over_2pi: 100 is given together with inductance
14: dendrites[3].id: 7 is not text; quote it ('7')
17: neurons[0].soma.after_spik: unknown key (did you mean 'after_spike'?)
18: neurons[0].refractory.J: 0.5 is above 0
20: neurons[1].transmitter.source: 'eq' is not known (did you mean 'qd'?); give 'qd' or 'ec'
22: neurons[2].soma.threshold: 1.4 is above the largest current this soma can hold (0.753 at ib = 1.8)
23: couplings: {'source': 'd1', 'target': 'n1', 'J': 0.5} is no list
25: waveguides[0].delay: '1 Ohm' is a resistance; a time was expected
26: waveguides[1].source: the neuron 'n1' has no transmitter
26: waveguides[1].target: 'n2' is no synapse; light goes to detectors
28: drives[0].points: [1] 'x' is not a quantity
29: drives[1].pulses[0].tau_fall: missing
30: drives[2].points: give points, pulses or quanta
31: drives[3].target: there is no dendrite or neuron 'q'
"""


@pytest.mark.parametrize("name", ["net.yaml", "net.json"])
def test_every_fault_is_told_with_its_line_place_and_value(tmp_path, name):
    text = BROKEN
    if name == "net.json":
        data = yaml.load(BROKEN.replace("on}", "'on'}").replace("1e3", "1.0e+3"), yaml.SafeLoader)
        text = json.dumps(data)  # one line
    faults = faults_in(tmp_path, text, name)
    expected = [line.split(": ", 1) for line in PLACES.splitlines()]
    for line, message in expected:
        start = f"{name}:{line if name == 'net.yaml' else 1}: {message}"
        assert sum(fault.startswith(start) for fault in faults) == 1, (start, faults)
    assert len(faults) == len(expected), [f for f in faults if not any(m in f for _, m in expected)]
    assert faults == sorted(faults, key=lambda fault: int(fault.split(":")[1]))


def test_faults_of_the_network_are_told_with_their_place(tmp_path):
    text = """\
soen: 1
dendrites:
  - {id: d1, ib: 900 uA}
  - {id: d1}
  - {id: n1.soma}
neurons:
  - id: n1
  - id: d2
couplings:
  - {source: d1, target: d2, J: 1}
  - {source: d1, target: d2, J: 1}
  - {source: d1, target: d5, J: 1}
drives:
  - {target: x, points: [[0, 0]]}
  - {target: x, points: [[0, 1]]}
"""
    assert [fault.split("; ")[0] for fault in faults_in(tmp_path, text)] == [
        "net.yaml:3: dendrites[0].ib: 9 is above 3 I_c, outside the range of kind 'ri'",
        "net.yaml:4: dendrites[1].id: 'd1' is taken",
        "net.yaml:5: dendrites[2].id: 'n1.soma' belongs to a loop inside the neuron n1",
        "net.yaml:11: couplings[1].id: there is already a coupling d1->d2",
        "net.yaml:12: couplings[2].target: there is no dendrite or neuron 'd5' (did you mean 'd2'?)",
        "net.yaml:14: drives[0].target: there is no dendrite or neuron 'x'",
        "net.yaml:15: drives[1].target: there is no dendrite or neuron 'x'",
    ]


def test_from_dict_names_places_without_a_file():
    assert faults_of(Network.from_dict, {"soen": 1, "dendrites": [{"id": "d", "tau": -1}]})[0].startswith(
        "dendrites[0].tau: -1 is below"
    )
    assert "no mapping" in faults_of(Network.from_dict, [])[0]
    assert faults_of(Network.from_dict, {"soen": 1, "name": 3})[0].startswith("name: 3 is no title")
    assert faults_of(Network.from_dict, {"soen": 1, 3: 3})
    assert faults_of(Network.from_dict, {"soen": 1, "device": 3})[0].startswith("device: 3 is no mapping")


PIECES = "soen 1 id d1 tau dendrites synapses neurons soma populations connect builder - : { } [ ] , &a *a << null 1e3"
WORDS = st.sampled_from([*PIECES.split(), "50 ns", "!!int", "'", '"', "#", "---", " ", "  ", "\n"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.lists(WORDS, max_size=40).map("".join), st.sampled_from(["n.yaml", "n.json"]))
def test_no_text_raises_anything_but_faults(tmp_path, text, name):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        Network.load(path)
    except InputError as error:
        strays = [fault for fault in error.faults if not fault.startswith(str(path))]
        assert not strays


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("50 ns"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_data_raises_anything_but_faults(data):
    document = json.loads(json.dumps(yaml.safe_load(EXAMPLE)))
    document["populations"] = [{"name": "p", "size": 2, "neuron": {"soma": {}}, "inputs": True}]
    document["connect"] = [{"builder": "all_to_all", "source": "p", "target": "n1", "J": 0.1}]
    for _ in range(data.draw(st.integers(1, 3))):
        place, holder = document, None
        while isinstance(place, dict | list) and place and (holder is None or data.draw(st.booleans())):
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            holder, place = place, place[key]
        if holder is not None:
            holder[key] = data.draw(VALUES)
    with contextlib.suppress(InputError):
        Network.from_dict(document)


# ------------------------------------------------------------------------------ groups


def test_groups_expand_to_what_the_builders_make(tmp_path):
    text = """\
soen: 1
populations:
  - {name: a, size: 3, inputs: true}
  - {name: b, size: 12, neuron: {soma: {threshold: 0.3}, transmitter: {}}}
  - {name: c, builder: small_world, n: 6, k: 2, p: 0.1, seed: 3, weight: {uniform: [0.1, 0.2]}, delay: 10 ps}
  - {name: l, builder: layers, sizes: [2, 3, 1], weight: 0.2}
  - {name: x, builder: crossbar, n_in: 2, n_out: 3}
  - {name: dd, size: 2, dendrite: {tau: 1 us}}
connect:
  - {builder: all_to_all, source: a, target: "b[1*]", weight: [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}
  - {builder: tree, name: leaves, target: [b], branching: [2, 2]}
  - {builder: detectors, target: leaves, synapse: {weight: 0.4}}
  - {builder: one_to_one, source: dd, target: ["b[2]", "l2[0]"], J: 0.2}
  - {builder: random_pairs, source: l, target: c, p: 0.5, seed: 2}
"""
    net = Network.load(written(tmp_path, text))
    with Network() as twin:
        builders.population(twin, "a", 3, inputs=True)
        b = builders.population(twin, "b", 12, neuron={"soma": {"threshold": 0.3}, "transmitter": {}})
        builders.small_world(6, 2, 0.1, seed=3, weight={"uniform": [0.1, 0.2]}, delay="10 ps", prefix="c", into=twin)
        builders.layers([2, 3, 1], weight=0.2, prefix="l", into=twin)
        builders.crossbar(2, 3, prefix="x", into=twin)
        builders.population(twin, "dd", 2, dendrite={"tau": 1000})
        a = [f"a[{k}]" for k in range(3)]
        builders.all_to_all(twin, a, ["b[1]", "b[10]", "b[11]"], weight=[[1, 2, 3], [4, 5, 6], [7, 8, 9]])
        leaves = [leaf for name in b for leaf in builders.tree(twin, name, [2, 2])]
        builders.detectors(twin, leaves, synapse={"weight": 0.4})
        builders.one_to_one(twin, ["dd[0]", "dd[1]"], ["b[2]", "l2[0]"], J=0.2)
        layer = [name for name in twin.neurons if name.startswith("l")]
        builders.random_pairs(twin, layer, [f"c[{k}]" for k in range(6)], p=0.5, seed=2)
    assert net == twin
    assert net.validate() == []


def test_parts_may_name_members_of_groups(tmp_path):
    text = "soen: 1\nsynapses: [{id: s, target: 'p[1]'}]\npopulations: [{name: p, size: 2}]\n"
    assert Network.load(written(tmp_path, text))["s"].target == "p[1]"
    text = "soen: 1\nsynapses: [{id: s, target: 'p[2]'}]\npopulations: [{name: p, size: 2}]\n"
    assert "there is no dendrite or neuron 'p[2]' (did you mean 'p[1]'?)" in faults_in(tmp_path, text)[0]


def test_faults_of_groups_are_told_with_their_place(tmp_path):
    text = """\
soen: 1
populations:
  - {name: a, size: 3, neuron: {soma: {thresold: 1}}}
  - {name: b, size: 0}
  - {name: c, size: 1}
  - {name: c, size: 2}
  - {name: d, size: 1, synapse: {weigth: 2}, inputs: true}
connect:
  - {builder: all_to_all, source: aa, target: b}
  - {builder: random_pairs, source: c, target: c, seed: 1, p: 2}
  - {builder: all_to_all, source: "q*", target: "c[0]"}
  - {builder: all_to_all, source: 3, target: c}
"""
    assert [fault.split("; ")[0] for fault in faults_in(tmp_path, text)] == [
        "net.yaml:3: populations[0]: Soma.thresold: unknown field (did you mean 'threshold'?)",
        "net.yaml:4: populations[1].size: 0 is out of range",
        "net.yaml:6: populations[3].name: 'c' is taken",
        "net.yaml:7: populations[4]: Synapse.weigth: not a field of a template (did you mean 'weight'?)",
        "net.yaml:9: connect[0].source: there is no group, neuron or dendrite 'aa' (did you mean 'a'?)",
        "net.yaml:10: connect[1].p: 2 is above 1",
        "net.yaml:11: connect[2].source: 'q*' fits no neuron and no dendrite",
        "net.yaml:12: connect[3].source: 3 is no name",
    ]
    text = """\
soen: 1
populations:
  - {size: 3}
  - {name: a b, builder: smal_world}
  - {name: c, builder: small_world, n: 4, q: 2}
  - {name: t, builder: tree}
  - 5
connect:
  - {source: a}
  - {builder: all_to_all, source: a, wieght: 1}
"""
    assert [fault.split("; ")[0] for fault in faults_in(tmp_path, text)] == [
        "net.yaml:3: populations[0].name: missing",
        "net.yaml:4: populations[1].builder: 'smal_world' is no builder (did you mean 'small_world'?)",
        "net.yaml:4: populations[1].name: 'a b' is no id",
        "net.yaml:5: populations[2].q: unknown key",
        "net.yaml:5: populations[2].k: missing",
        "net.yaml:5: populations[2].p: missing",
        "net.yaml:5: populations[2].seed: missing",
        "net.yaml:6: populations[3].builder: 'tree' is no builder",
        "net.yaml:7: populations[4]: 5 is no mapping",
        "net.yaml:9: connect[0].builder: missing",
        "net.yaml:10: connect[1].wieght: unknown key (did you mean 'weight'?)",
        "net.yaml:10: connect[1].target: missing",
    ]


# ------------------------------------------------------------------------------ writing


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "net.yaml"
    one, two = Network(name="one"), Network(name="two")
    one.save(path)
    assert "exists already; choose another name or pass overwrite=True" in faults_of(two.save, path)[0]
    assert Network.load(path) == one
    two.save(path, overwrite=True)
    assert Network.load(path) == two
    assert [each.name for each in tmp_path.iterdir()] == ["net.yaml"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "net.yaml"
    Network(name="old").save(path)

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, step, full)
    assert "cannot be written (No space left on device)" in faults_of(Network().save, path, overwrite=True)[0]
    assert Network.load(path).name == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["net.yaml"]


def test_two_writers_of_a_new_file_do_not_overwrite_each_other(tmp_path, monkeypatch):
    path = tmp_path / "net.yaml"
    link = os.link

    def late(source, target):
        Path(target).write_text("soen: 1\nname: theirs\n")
        link(source, target)

    monkeypatch.setattr(files.os, "link", late)
    assert "exists already" in faults_of(Network(name="ours").save, path)[0]
    assert Network.load(path).name == "theirs"


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def none(*_args):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", none)
    Network(name="x").save(tmp_path / "net.json")
    assert Network.load(tmp_path / "net.json").name == "x"


def test_a_link_is_followed(tmp_path):
    Network(name="old").save(tmp_path / "net.yaml")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "net.yaml")
    Network(name="new").save(tmp_path / "link.yaml", overwrite=True)
    assert (tmp_path / "link.yaml").is_symlink()
    assert Network.load(tmp_path / "net.yaml").name == "new"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.txt", "the suffix '.txt' tells no format; name it .yaml or .json"),
        ("net", "there is no suffix"),
        ("no/net.yaml", "there is no folder"),
        ("folder.yaml", "is a folder; give a file name"),
    ],
)
def test_places_that_cannot_be_written_to(tmp_path, name, message):
    (tmp_path / "folder.yaml").mkdir()
    assert message in faults_of(Network().save, tmp_path / name)[0]


# ------------------------------------------------------------------------------ JSON Schema

SCHEMA = files.schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_published_schema_is_the_generated_one(tmp_path):
    files.write_schema(tmp_path / "schema.json")
    published = Path(files.__file__).with_name("network.schema.json").read_text()
    assert (tmp_path / "schema.json").read_text() == published, "run soen_event.files.write_schema()"
    assert json.loads(published) == SCHEMA
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_takes_the_example_and_describes_every_field():
    jsonschema.validate(yaml.safe_load(EXAMPLE), SCHEMA)
    for name, definition in SCHEMA["$defs"].items():
        assert definition["description"], name
        assert all(field["description"] for field in definition["properties"].values()), name
    assert SCHEMA["$defs"]["Soma"]["properties"]["tau"]["description"].endswith("(ns)")
    assert SCHEMA["$defs"]["Synapse"]["properties"]["efficiency"]["default"] == 1.0


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_schema_refuses_only_what_the_reader_refuses(data):
    """Whatever one value is changed to: a file that the schema refuses is refused by the reader as well."""
    document = yaml.safe_load(EXAMPLE)
    section = data.draw(st.sampled_from(["synapses", "dendrites", "couplings", "waveguides", "drives"]))
    entry = document[section][0]
    entry[data.draw(st.sampled_from([*entry, "other"]))] = data.draw(VALUES)
    if not VALIDATOR.is_valid(document):
        with pytest.raises(InputError):
            Network.from_dict(document)


@pytest.mark.parametrize(
    "place", [(), ("device",), ("synapses", 0), ("neurons", 0, "soma"), ("drives", 1, "pulses", 0)]
)
def test_schema_and_reader_refuse_unknown_keys(place):
    document = yaml.safe_load(EXAMPLE)
    Network.from_dict(document)
    target = document
    for step in place:
        target = target[step]
    target["other"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)
    with pytest.raises(InputError, match="other"):
        Network.from_dict(document)


def test_large_networks_pass_in_reasonable_time(tmp_path):
    """A guard against anything quadratic: 20 000 parts, which take a few seconds."""
    net = builders.from_graph(networkx.circulant_graph(2000, [1, 2]), weight=0.1)
    assert len(net) == 10000
    net.save(tmp_path / "net.json")
    assert Network.load(tmp_path / "net.json") == net
