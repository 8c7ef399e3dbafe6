"""Parts check themselves: every field, bound and quantity; faults come together and name part, field and value."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soen_event import parts
from soen_event.device import Device
from soen_event.errors import InputError
from soen_event.parts import (
    Amperes,
    Choice,
    Coupling,
    Dendrite,
    Derived,
    Drive,
    Name,
    Nested,
    Neuron,
    Number,
    Pulse,
    Refractory,
    Rows,
    Soma,
    Synapse,
    Transmitter,
    Waveguide,
    fields_of,
    made,
)

CLASSES = (Synapse, Dendrite, Soma, Refractory, Transmitter, Neuron, Coupling, Waveguide, Pulse, Drive)
NEEDED = {
    Synapse: {"id": "s", "target": "d"},
    Dendrite: {"id": "d"},
    Soma: {},
    Refractory: {},
    Transmitter: {},
    Neuron: {"id": "n"},
    Coupling: {"source": "a", "target": "b", "J": 0.3},
    Waveguide: {"source": "a", "target": "b"},
    Pulse: {"t0": 1.0, "phi_peak": 0.4, "tau_rise": 1.0, "tau_fall": 20.0},
    Drive: {"target": "a", "points": [[0.0, 0.1]]},
}
NUMBERS = [
    pytest.param(part, name, field, id=f"{part.__name__}.{name}")
    for part in CLASSES
    for name, field in fields_of(part).items()
    if isinstance(field.rule, Number)
]


def faults_of(build, *args, **kwargs) -> list[str]:
    with pytest.raises(InputError) as caught:
        build(*args, **kwargs)
    return caught.value.faults


# ------------------------------------------------------------------------------ strategies

ids = st.text("abcXYZ0189_.:/[]-", min_size=1, max_size=8)
finite = st.floats(-1e6, 1e6)
overlaps = st.sampled_from(["saturate", "restart"])
arms = st.sampled_from(["first", "both"])


def times(low: float = 0.0, high: float = 1e6):
    return st.floats(low, high).filter(lambda t: t == 0.0 or t >= parts.SHORTEST)


@st.composite
def pulse_shapes(draw):
    rise = draw(st.floats(1e-3, 1e2))
    return {"tau_rise": rise, "tau_fall": draw(st.floats(rise * 1.001, rise * 1e4))}


@st.composite
def loops(draw):
    """Electrical fields that every loop shares, at times by circuit values."""
    made_up = {"phi_offset": draw(finite)}
    if draw(st.booleans()):
        made_up["beta_over_2pi"] = draw(st.floats(0.5, 1e6))
    elif draw(st.booleans()):
        made_up["inductance"] = draw(st.floats(1e-12, 1e-6))
    if draw(st.booleans()):
        made_up["tau"] = draw(st.floats(1e-3, 1e6))
    elif draw(st.booleans()):
        made_up["resistance"] = draw(st.floats(1e-3, 1e2))
    return made_up


@st.composite
def somas(draw):
    ib = draw(st.floats(1.2, 3.0))
    return Soma(
        ib=ib,
        threshold=draw(st.floats(1e-3, ib - 1.05)),
        after_spike=draw(st.sampled_from(["purge", "keep"])),
        t_ref=draw(times()),
        source=draw(st.sampled_from([None, "table", "fit"])),
        **draw(loops()),
    )


@st.composite
def refractories(draw):
    return Refractory(
        ib=draw(st.none() | st.floats(1.1, 3.0)),
        J=draw(st.just("auto") | st.floats(-5.0, 0.0)),
        hotspot=draw(st.floats(1e-3, 1.0)),
        phi_peak=draw(st.floats(0.0, 2.0)),
        overlap=draw(overlaps),
        **draw(loops()),
        **draw(pulse_shapes()),
    )


@st.composite
def transmitters(draw):
    return Transmitter(
        emission=draw(st.sampled_from(["deterministic", "photons"])),
        latency=draw(times()),
        source=draw(st.sampled_from(["qd", "ec"])),
        photons=draw(st.floats(1e-3, 1e6)),
    )


@st.composite
def neurons(draw, name="n", light=None):
    transmitter = transmitters() if light else st.none() if light is False else st.none() | transmitters()
    return Neuron(name, draw(somas()), draw(st.none() | refractories()), draw(transmitter))


@st.composite
def dendrites(draw, name="d"):
    kind = draw(st.sampled_from(["ri", "rtti"]))
    low, high = parts.RTTI_BIAS if kind == "rtti" else parts.RI_BIAS
    source = draw(st.sampled_from([None, "table"] if kind == "rtti" else [None, "table", "fit"]))
    return Dendrite(name, kind=kind, ib=draw(st.floats(low, high)), source=source, **draw(loops()))


@st.composite
def synapses(draw, name="s", target="d"):
    return Synapse(
        name,
        target,
        weight=draw(finite),
        phi_peak=draw(st.floats(0.0, 2.0)),
        hotspot=draw(st.floats(1e-3, 1.0)),
        efficiency=draw(st.floats(0.0, 1.0)),
        dead_time=draw(times()),
        recovery=draw(st.sampled_from(["full", "bias"])),
        overlap=draw(overlaps),
        **draw(pulse_shapes()),
    )


@st.composite
def pulses(draw):
    return Pulse(draw(times()), draw(st.floats(-2.0, 2.0)), **draw(pulse_shapes()))


@st.composite
def drives(draw, target="d"):
    if draw(st.booleans()):
        return Drive(target, pulses=draw(st.lists(pulses(), min_size=1, max_size=3)), arm=draw(arms))
    t = sorted(draw(st.lists(st.floats(0.0, 1e3), min_size=1, max_size=6)))
    return Drive(target, points=[(each, draw(st.floats(-2.0, 2.0))) for each in t], arm=draw(arms))


@st.composite
def couplings(draw, source="d", target="n", name=None):
    if draw(st.booleans()):
        return Coupling(source, target, J=draw(st.floats(-10.0, 10.0)), id=name)
    return Coupling(source, target, mutual=draw(st.floats(-1e-9, 1e-9)), id=name)


@st.composite
def waveguides(draw, source="n", target="s", name=None):
    return Waveguide(source, target, delay=draw(times()), loss_db=draw(st.floats(0.0, 100.0)), id=name)


any_part = st.one_of(
    synapses(),
    dendrites(),
    somas(),
    refractories(),
    transmitters(),
    neurons(),
    couplings(),
    waveguides(),
    pulses(),
    drives(),
)
devices = st.builds(Device, Ic=st.floats(1e-5, 1e-3), beta_1=st.floats(0.1, 5.0), beta_2=st.floats(0.1, 5.0))

# ------------------------------------------------------------------------------ every field


@pytest.mark.parametrize("part", CLASSES)
def test_every_field_is_documented_with_a_rule(part):
    for name, field in fields_of(part).items():
        assert field.rule.doc, name
        assert f"{name}: {field.rule.doc}" in part.__doc__
    assert list(fields_of(part)) == [field.name for field in dataclasses.fields(part)]


@pytest.mark.parametrize(("part", "name", "field"), NUMBERS)
@pytest.mark.parametrize("value", [True, "a few", [1.0], {}, math.nan, math.inf, -math.inf, 10**400, 1j, "50 kg"])
def test_no_number_field_takes_what_is_no_number(part, name, field, value):
    faults = faults_of(part, **{**NEEDED[part], name: value})
    assert any(fault.startswith(f"{part.__name__}.{name}: ") and ";" in fault for fault in faults), faults


@pytest.mark.parametrize(("part", "name", "field"), NUMBERS)
def test_every_bound_is_where_it_is_said(part, name, field):
    rule = field.rule
    wrong = []
    for bound, closed, outward in (
        (rule.at_least, True, -math.inf),
        (rule.above, False, -math.inf),
        (rule.at_most, True, math.inf),
        (rule.below, False, math.inf),
    ):
        if bound is not None:
            wrong.append(math.nextafter(bound, outward) if closed else bound)
            if closed:
                assert rule.check(bound) == bound
            else:
                assert rule.check(math.nextafter(bound, -outward)) == math.nextafter(bound, -outward)
    for value in wrong:
        faults = faults_of(part, **{**NEEDED[part], name: value})
        fault = next(fault for fault in faults if fault.startswith(f"{part.__name__}.{name}: "))
        assert f"{value:.12g}" in fault


@pytest.mark.parametrize("part", CLASSES)
def test_numbers_become_plain_floats(part):
    whole = part(**NEEDED[part])
    for name, field in fields_of(part).items():
        value = getattr(whole, name)
        if isinstance(field.rule, Number) and value is not None and not isinstance(value, str):
            assert type(value) is float
    assert type(Synapse("s", "d", weight=np.int64(2)).weight) is float
    assert type(Synapse("s", "d", weight=np.float32(2)).weight) is float
    assert math.copysign(1.0, Dendrite("d", phi_offset=-0.0).phi_offset) == 1.0


@pytest.mark.parametrize("part", CLASSES)
def test_parts_do_not_change(part):
    whole = part(**NEEDED[part])
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(whole, next(iter(fields_of(part))), 1)


@settings(deadline=None)
@given(any_part)
def test_plain_data_gives_the_part_back(part):
    assert made(type(part), part.as_dict()) == part


@settings(deadline=None)
@given(any_part, devices)
def test_resolving_twice_changes_nothing_more(part, device):
    once = part.resolved(device)
    assert once.resolved(device) == once
    assert made(type(part), once.as_dict()).resolved(device) == once


# ------------------------------------------------------------------------------ quantities


@given(st.floats(1e-3, 1e9), st.sampled_from([("ps", 1e-3), ("ns", 1.0), ("us", 1e3)]))
def test_a_quantity_is_its_number_in_the_fields_unit(value, unit):
    word, factor = unit
    assert Dendrite("d", tau=f"{value!r} {word}").tau == pytest.approx(value * factor, rel=1e-15)


def test_quantities_of_every_dimension():
    assert Dendrite("d", phi_offset="20 mPhi0").phi_offset == 0.02
    assert Dendrite("d", ib="1.7 Ic").ib == 1.7
    assert Dendrite("d", inductance="20.7 nH").inductance == 20.7e-9
    assert Dendrite("d", resistance="80 mOhm").resistance == 0.08
    assert Coupling("a", "b", mutual="-7.9 pH").mutual == -7.9e-12
    assert Waveguide("n", "s", delay="67 ps", loss_db="3 dB") == Waveguide("n", "s", delay=0.067, loss_db=3.0)
    assert Drive("d", points=[["1 us", "500 mPhi0"]]).points == ((1000.0, 0.5),)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("tau_fall", "50 nH", "is an inductance; a time was expected"),
        ("tau_fall", "50 nz", "unknown unit 'nz' (did you mean 'ns'?)"),
        ("weight", "1 ns", "is a time; a plain number was expected"),
        ("recovery", "ful", "'ful' is not known (did you mean 'full'?); give 'full' or 'bias'"),
        ("target", 3, "3 is not text; quote it ('3')"),
        ("id", "s 1", "'s 1' is no id"),
        ("id", "", "'' is no id"),
        ("id", None, "None is not text"),
    ],
)
def test_a_wrong_value_is_told_with_what_would_be_right(field, value, expected):
    faults = faults_of(Synapse, **{**NEEDED[Synapse], field: value})
    assert faults[0].startswith(f"Synapse.{field}: ")
    assert expected in faults[0]


@given(st.text(max_size=6))
def test_ids_are_of_the_letters_that_the_format_allows(text):
    if re.fullmatch(parts.ID_PATTERN.replace("$", r"\Z"), text):
        assert Dendrite(text).id == text
    else:
        assert faults_of(Dendrite, text)[0].startswith("Dendrite.id: ")


def test_a_line_end_is_no_letter_of_an_id():
    assert "no id" in faults_of(Dendrite, "d\n")[0]


def test_currents_in_amperes_wait_for_the_device():
    dendrite = Dendrite("d", ib="180 uA")
    assert isinstance(dendrite.ib, Amperes)
    assert dendrite.resolved(Device(Ic="90 uA")).ib == pytest.approx(2.0)
    assert Soma(threshold="30 uA").resolved(Device()).threshold == pytest.approx(0.3)
    assert "ib: 9 is above 3" in faults_of(Dendrite("d", ib="900 uA").resolved, Device())[0]
    assert dendrite.as_dict()["ib"] == "0.00018 A"
    neuron = Neuron("n", Soma(ib="170 uA"), Refractory(ib="160 uA"))
    assert neuron.resolved(Device()).soma.ib == pytest.approx(1.7)
    assert neuron.resolved(Device()).refractory.ib == pytest.approx(1.6)


# ------------------------------------------------------------------------------ fields that hang together


def test_all_faults_of_a_part_come_together():
    faults = faults_of(Synapse, "s 1", "d", tau_rise=60, efficiency=1.2, weight=math.nan, hotspot=True, recovery="x")
    named = [fault.split(":")[0] for fault in faults]
    assert named == [f"Synapse.{name}" for name in ("id", "weight", "hotspot", "efficiency", "recovery", "tau_rise")]


def test_faults_of_inner_parts_come_with_those_of_the_neuron():
    faults = faults_of(Neuron, "n", soma={"threshold": -1, "t_re": 2}, refractory={"J": 0.5}, transmitter=7)
    assert [fault.split(":")[0] for fault in faults] == [
        "Soma.t_re",
        "Soma.threshold",
        "Refractory.J",
        "Neuron.transmitter",
    ]
    assert all(fault.endswith("(neuron n)") for fault in faults)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_rise_is_below_fall(rise, fall):
    for build in (
        lambda: Synapse("s", "d", tau_rise=rise, tau_fall=fall),
        lambda: Refractory(tau_rise=rise, tau_fall=fall),
        lambda: Pulse(0.0, 1.0, rise, fall),
    ):
        if rise < fall:
            build()
        else:
            assert "is not below tau_fall" in faults_of(build)[0]


def test_defaults_follow_the_kind_and_the_table():
    assert Dendrite("d").ib == 1.8
    assert Dendrite("d", kind="rtti").ib == 2.0
    assert (Dendrite("d").beta_over_2pi, Dendrite("d").tau) == (1000.0, 250.0)
    assert (Soma().beta_over_2pi, Soma().tau, Soma().threshold) == (100.0, 50.0, 0.5)  # physics.md 4.1
    refractory = Refractory()  # physics.md 4.2
    assert (refractory.beta_over_2pi, refractory.tau, refractory.ib, refractory.J) == (100.0, 50.0, None, "auto")
    assert (refractory.hotspot, refractory.phi_peak, refractory.tau_rise, refractory.tau_fall) == (0.04, 0.5, 0.02, 50)
    synapse = Synapse("s", "d")  # physics.md 1.1
    assert (synapse.phi_peak, synapse.tau_rise, synapse.tau_fall, synapse.hotspot) == (0.5, 0.02, 50.0, 0.06)
    assert Transmitter() == Transmitter(emission="deterministic", latency=5.6, source="qd", photons=10.0)


@pytest.mark.parametrize(
    ("kind", "ib", "fits"),
    [
        ("ri", 0.0, 1),
        ("ri", 3.0, 1),
        ("ri", 3.01, 0),
        ("ri", -0.1, 0),
        ("rtti", 1.5, 1),
        ("rtti", 2.65, 1),
        ("rtti", 1.49, 0),
        ("rtti", 2.66, 0),
    ],
)
def test_bias_ranges(kind, ib, fits):
    if fits:
        assert Dendrite("d", kind=kind, ib=ib).ib == ib
    else:
        assert f"outside the range of kind {kind!r}" in faults_of(Dendrite, "d", kind=kind, ib=ib)[0]


def test_a_fitted_source_exists_for_ri_only():
    assert Dendrite("d", source="fit").source == "fit"
    assert "Dendrite.source" in faults_of(Dendrite, "d", kind="rtti", source="fit")[0]


@given(devices, st.floats(1e-12, 1e-6), st.floats(1e-2, 1e2), st.floats(-1e-9, 1e-9))
def test_circuit_values_are_converted_by_the_device(device, inductance, resistance, mutual):
    dendrite = Dendrite("d", inductance=inductance, resistance=resistance).resolved(device)
    beta = device.beta_from_inductance(inductance)
    assert dendrite.beta_over_2pi == pytest.approx(beta / (2 * math.pi), rel=1e-14)
    assert dendrite.tau == pytest.approx(device.tau_from_resistance(beta, resistance), rel=1e-12)
    assert device.J_from_mutual(mutual) == Coupling("a", "b", mutual=mutual).resolved(device).J
    assert set(dendrite.as_dict()) & {"beta_over_2pi", "tau"} == set()
    assert isinstance(dendrite.tau, Derived)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Dendrite("d", beta_over_2pi=100, inductance="2 nH"), "beta_over_2pi"),
        (lambda: Soma(tau=50, resistance="1 Ohm"), "tau"),
        (lambda: Coupling("a", "b", J=0.5, mutual="10 pH"), "J"),
    ],
)
def test_two_fields_that_say_the_same_are_refused(build, field):
    assert re.search(rf"\.{field}: .* is given together with .*; give one of the two", faults_of(build)[0])


def test_a_bare_number_of_henries_is_taken_for_a_slip():
    assert 'write a quantity with its unit, such as "20.7 nH"' in faults_of(Dendrite, "d", inductance=20.7)[0]


def test_a_coupling_needs_a_strength_and_a_drive_a_shape():
    assert "Coupling.J: missing" in faults_of(Coupling, "a", "b")[0]
    assert "give points, pulses or quanta" in faults_of(Drive, "d")[0]
    both = faults_of(Drive, "d", points=[[0, 0]], pulses=[Pulse(0, 1, 1, 2)])
    assert "not points and pulses" in both[0]


def test_a_refractory_dendrite_does_not_excite():
    assert Refractory(J=-0.7).J == -0.7
    assert "did you mean 'auto'?" in faults_of(Refractory, J="aut")[0]
    assert "negative number" in faults_of(Refractory, J=0.7)[0]


def test_unknown_and_missing_fields_are_told_with_the_nearest():
    faults = faults_of(made, Synapse, {"id": "s", "weigth": 1, "efficiency": 2})
    assert faults[0] == "Synapse.weigth: unknown field (did you mean 'weight'?); remove it or correct it"
    assert faults[1].startswith("Synapse.target: missing; give ")
    assert faults[2].startswith("Synapse.efficiency: 2 is above 1")


# ------------------------------------------------------------------------------ drives


@given(drives(), st.lists(st.floats(0.0, 2e3), max_size=20))
def test_points_are_interpolated_and_held(drive, t):
    if drive.points is None:
        return
    when, flux = np.array(drive.points).T
    t = np.array([each for each in t if np.abs(when - each).min() > 1e-9] + [0.0 if when[0] > 0 else when[-1] + 1.0])
    assert drive.flux(t) == pytest.approx(np.interp(t, when, flux), abs=1e-9)


def test_two_points_at_one_time_are_a_jump():
    drive = Drive("d", points=[[1, 0.1], [2, 0.3], [2, 0.5], [3, 0.7]])
    at = [0.0, 1.0, 1.5, math.nextafter(2.0, 0.0), 2.0, 2.5, 3.0, 9.0]
    assert drive.flux(at) == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.7])
    assert drive.flux(2.5).shape == ()


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[1, 0], [0.5, 0]], "[1] time 0.5 ns comes after 1 ns; sort"),
        ([[-1, 0]], "[0] -1 is below 0 ns"),
        ([[0, math.nan]], "[0] nan is not finite"),
        ([[0, 1, 2]], "no row of 2 numbers"),
        ([], "nothing in the list"),
        ("abc", "is no list"),
        (7, "is no list"),
        ([[0, "x"]], "'x' is not a quantity"),
    ],
)
def test_points_that_make_no_drive(points, expected):
    fault = faults_of(Drive, "d", points=points)[0]
    assert fault.startswith("Drive.points: ")
    assert expected in fault


def test_points_may_be_an_array():
    assert Drive("d", points=np.array([[0, 0.1], [1, 0.2]])).points == ((0.0, 0.1), (1.0, 0.2))


@given(pulses())
def test_a_pulse_peaks_at_its_peak(pulse):
    around = pulse.peak_time + np.array([-1e-3, 0.0, 1e-3]) * (pulse.peak_time - pulse.t0)
    before, peak, after = np.abs(pulse.flux(around))
    assert peak == pytest.approx(abs(pulse.phi_peak), rel=1e-9)
    assert before <= peak * (1 + 1e-12) and after <= peak * (1 + 1e-12)
    assert pulse.flux(pulse.t0) == 0.0
    assert pulse.flux(pulse.t0 - 1.0) == 0.0


@given(st.floats(0.1, 10.0), st.floats(1.5, 100.0), st.floats(0.0, 50.0))
def test_a_pulse_is_a_difference_of_exponentials(rise, ratio, x):
    fall = rise * ratio
    peak = math.log(ratio) * rise * fall / (fall - rise)
    norm = math.exp(-peak / fall) - math.exp(-peak / rise)
    expected = 0.4 * (math.exp(-x / fall) - math.exp(-x / rise)) / norm
    assert Pulse(3.0, 0.4, rise, fall).flux(3.0 + x) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_pulse_of_nearly_equal_constants_keeps_its_shape():
    pulse = Pulse(0.0, 1.0, 1.0, 1.0 + 1e-13)  # x e^(1 - x) in the limit
    x = np.array([0.1, 1.0, 3.0])
    assert pulse.flux(x) == pytest.approx(x * np.exp(1.0 - x), rel=1e-9)


def test_pulses_add():
    one, two = Pulse(1.0, 0.3, 1.0, 20.0), Pulse(4.0, -0.2, 0.5, 3.0)
    t = np.linspace(0.0, 40.0, 101)
    assert Drive("d", pulses=[one, two]).flux(t) == pytest.approx(one.flux(t) + two.flux(t))


# ------------------------------------------------------------------------------ rules themselves


def test_rules_say_what_would_be_right():
    assert Number("", at_least=0.0, at_most=1.0).expected == "a number, 0 to 1"
    assert Number("", "time", "ns", above=0.0).expected == 'a number in ns, above 0, or a quantity such as "50 ns"'
    assert Number("", words=("auto",)).expected == "a number, or 'auto'"
    assert Choice("", ("a", "b")).expected == "'a' or 'b'"
    assert Name("").expected.startswith("text of letters")
    assert Nested("", Soma).expected == "a Soma or a mapping of its fields"
    assert Rows("", part=Pulse).expected == "a list of Pulse or of mappings of its fields"


def test_many_faults_in_rows_are_counted():
    fault = faults_of(Drive, "d", points=[[0, "x"]] * 9)[0]
    assert "[4]" in fault and "[5]" not in fault and fault.split(" (")[0].endswith("and 4 more")
