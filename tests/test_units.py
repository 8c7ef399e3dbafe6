"""Quantity strings, wrong dimensions, and the femtosecond clock."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soen_event import units
from soen_event.errors import InputError
from soen_event.units import dimension_of, fs_to_ns, ns_to_fs, parse

DIMENSIONS = list(units._DIMENSIONS)
SHOWN = [known.example for name, known in units._DIMENSIONS.items() if name != "number"]
PREFIXES = {"f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}

numbers_as_text = st.builds(
    lambda sign, whole, part, exponent: f"{sign}{whole}{part}{exponent}",
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**6),
    st.one_of(st.just(""), st.integers(0, 10**6).map(lambda n: f".{n}")),
    st.one_of(st.just(""), st.integers(-20, 20).map(lambda n: f"e{n}")),
)


def fault(value, dimension="time", where="Dendrite.tau", **more) -> str:
    """The one sentence with which a value is refused."""
    with pytest.raises(InputError) as caught:
        parse(value, dimension, where, **more)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


# ------------------------------------------------------------------------------------------------------------ constants


def test_constants_are_codata_2019():
    """physics.md 0.3 and the SI: all five are exact by definition."""
    assert (units.h, units.e, units.k_B, units.c) == (6.62607015e-34, 1.602176634e-19, 1.380649e-23, 299792458.0)
    assert units.Phi0 == pytest.approx(2.067833848e-15, rel=5e-10, abs=0.0)
    exact = Decimal("6.62607015e-34") / (2 * Decimal("1.602176634e-19"))
    assert abs(Decimal(units.Phi0) / exact - 1) < Decimal("2e-16")


MULTIPLIERS = [
    "fs", "ps", "ns", "us", "ms", "s", "aJ", "fJ", "pJ", "nJ", "nA", "uA", "mA", "pH", "nH", "uH", "mOhm", "Ohm",
    "kOhm", "fF", "pF", "nF", "mK", "K", "Hz", "kHz", "MHz", "GHz",
]  # fmt: skip


@pytest.mark.parametrize("name", MULTIPLIERS)
def test_every_multiplier_is_what_its_string_means(name):
    """50 * units.ps and "50 ps" are the same time."""
    assert parse(f"1 {name}", dimension_of(f"1 {name}")) == getattr(units, name)


# -------------------------------------------------------------------------------------------------------------- numbers


@given(
    st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53)),
    st.sampled_from(DIMENSIONS),
)
def test_plain_numbers_pass_through(value, dimension):
    assert parse(value, dimension) == value
    assert type(parse(value, dimension)) is float
    assert parse(np.float64(value), dimension) == float(value)
    assert parse(repr(float(value)), dimension) == float(value)


def test_other_real_numbers():
    assert parse(np.float32(0.5), "flux") == 0.5
    assert parse(np.int32(3), "time") == 3.0
    assert parse(Fraction(1, 4), "number") == 0.25


@pytest.mark.parametrize(
    "value", [True, False, np.True_, None, [1.0], (1.0,), {"ns": 1}, 1j, b"50 ns", np.array([1.0, 2.0]), object]
)
def test_what_is_no_number_is_refused(value):
    assert fault(value).startswith("Dendrite.tau: ")
    assert fault(value).endswith("is not a quantity; give a time in ns, as a plain number, or a string such as '50 ns'")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), "1e400", "-1e308 s", 10**400])
def test_what_is_not_finite_is_refused(value):
    assert "is not finite; give a time in ns" in fault(value)


# -------------------------------------------------------------------------------------------------------------- strings


@pytest.mark.parametrize(
    ("text", "dimension", "expected"),
    [
        ("50 ns", "time", 50.0),
        ("50ns", "time", 50.0),
        ("  50 \t ns ", "time", 50.0),
        ("50 ps", "time", 0.05),
        ("1.5e-2 us", "time", 15.0),
        ("2 s", "time", 2e9),
        ("1 fs", "time", 1e-6),
        ("0.5 Phi0", "flux", 0.5),
        ("500 mPhi0", "flux", 0.5),
        (".5 Φ0", "flux", 0.5),
        ("1.8 Ic", "current", 1.8),
        ("1.8", "current", 1.8),
        ("100 uA", "absolute_current", 100e-6),
        ("100 µA", "absolute_current", 100e-6),
        ("100 μA", "absolute_current", 100e-6),
        ("2 nH", "inductance", 2e-9),
        ("5.17 pH", "inductance", 5.17e-12),
        ("2 Ohm", "resistance", 2.0),
        ("5 kohm", "resistance", 5e3),
        ("80 mΩ", "resistance", 80e-3),
        ("80 m\u2126", "resistance", 80e-3),
        ("150 fF", "capacitance", 150e-15),
        ("1.5 fF/uA", "capacitance_per_current", 1.5e-9),
        ("5 fF / µA", "capacitance_per_current", 5e-9),
        ("4.2 K", "temperature", 4.2),
        ("700 mK", "temperature", 0.7),
        ("0.2 aJ", "energy", 0.2e-18),
        ("250 uV", "voltage", 250e-6),
        ("20 MHz", "frequency", 0.02),
        ("3 dB", "loss", 3.0),
        ("1e3", "number", 1000.0),
        ("-7", "dimensionless", -7.0),
        ("90 %", "number", 0.9),
    ],
)
def test_quantities(text, dimension, expected):
    """To the last bit: the power of ten is joined to the digits before they become a float."""
    assert parse(text, dimension) == expected


def test_flux_in_webers():
    assert parse("2.067833848461929 fWb", "flux") == pytest.approx(1.0, rel=1e-15)


@given(numbers_as_text, st.sampled_from(sorted(PREFIXES)), st.sampled_from(["", " ", "  "]))
def test_a_prefix_is_a_power_of_ten_rounded_once(number, prefix, space):
    for base, dimension, shift in (("H", "inductance", 0), ("A", "absolute_current", 0), ("s", "time", 9)):
        exact = Decimal(number).scaleb(PREFIXES[prefix] + shift)
        assert parse(f"{number}{space}{prefix}{base}", dimension) == float(exact)


@given(numbers_as_text, st.sampled_from(sorted(PREFIXES)), st.sampled_from(sorted(PREFIXES)))
def test_a_quotient_divides_its_prefixes(number, above, below):
    exact = Decimal(number).scaleb(PREFIXES[above] - PREFIXES[below])
    assert parse(f"{number} {above}F/{below}A", "capacitance_per_current") == float(exact)


@given(st.floats(1e-6, 1e-2), st.floats(1e-7, 1e-1))
def test_a_current_in_amperes_needs_the_critical_current(critical, current):
    text = f"{current!r} A"
    assert parse(text, "current", critical_current=critical) == current / critical
    assert "no critical current is known here; give it in units of I_c" in fault(text, "current", "Dendrite.ib")
    assert parse(text, "absolute_current") == current


# --------------------------------------------------------------------------------------------------------------- errors


def test_the_error_names_both_dimensions():
    assert fault("2 nH") == "Dendrite.tau: '2 nH' is an inductance; a time was expected (for example '50 ns')"
    assert fault("4.2 K", "number", "Device.beta_c") == (
        "Device.beta_c: '4.2 K' is a temperature; a plain number was expected (for example '0.5')"
    )


@pytest.mark.parametrize("text", SHOWN)
def test_every_example_is_right_and_wrong_elsewhere(text):
    """The example that an error shows is accepted for its own dimension and refused for every other one."""
    own = dimension_of(text)
    assert units._DIMENSIONS[own].example == text
    parse(text, own)
    for other in DIMENSIONS:
        if other != own and (own, other) != ("absolute_current", "current"):
            expected = f"{units._DIMENSIONS[own].noun}; {units._DIMENSIONS[other].noun} was expected"
            assert expected in fault(text, other)


@pytest.mark.parametrize(
    ("text", "dimension", "unit", "hint"),
    [
        ("50 nz", "time", "nz", "ns"),
        ("50 NS", "time", "NS", "ns"),
        ("50 nsec", "time", "nsec", "ns"),
        ("5 m", "time", "m", "ms"),
        ("2 khm", "resistance", "khm", "kohm"),
        ("1 db", "loss", "db", "dB"),
        ("1 phi0", "flux", "phi0", "Phi0"),
        ("1.5 ff/uA", "capacitance_per_current", "ff/uA", "fF"),
        ("1.5 fF/ua", "capacitance_per_current", "fF/ua", "uA"),
    ],
)
def test_an_unknown_unit_names_the_nearest(text, dimension, unit, hint):
    assert f"{text!r} has the unknown unit {unit!r} (did you mean {hint!r}?); " in fault(text, dimension)


@pytest.mark.parametrize("text", ["1 fF/ns", "1 s/A", "1 %/s", "1 furlong/fortnight/s"])
def test_an_unknown_quotient(text):
    assert "has the unknown unit" in fault(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "ns", "fifty ns", "1,5 ns", "1_000 ns", "0x10", "--1", "1 2", "1e", "nan", "inf", "nan ns", "infinity",
     "1e3.5 ns", "1e999999 ns", "١ ns"],
)  # fmt: skip
def test_what_is_no_quantity(text):
    message = fault(text)
    assert "is not a quantity; give a time in ns" in message or "has the unknown unit" in message


@given(st.text(max_size=12), st.sampled_from(DIMENSIONS))
def test_any_text_is_a_finite_number_or_a_fault(text, dimension):
    """Nothing a user types leads to another exception."""
    try:
        number = parse(text, dimension, "Part.field")
    except InputError:
        assert fault(text, dimension, "Part.field").startswith("Part.field: ")
    else:
        assert math.isfinite(number)


def test_an_unknown_dimension_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="'tine' is not a dimension \\(did you mean 'time'\\?\\)") as caught:
        parse(1.0, "tine")
    assert not isinstance(caught.value, InputError)


def test_dimension_of():
    assert dimension_of("100 uA") == "absolute_current"
    assert dimension_of("1.8 Ic") == "current"
    assert dimension_of("1.8") == "number"
    with pytest.raises(InputError, match="unknown unit"):
        dimension_of("1 parsec")


# ------------------------------------------------------------------------------------------------------------ the clock


@given(st.integers(-(2**51), 2**51))
def test_femtoseconds_survive_the_round_trip(time):
    assert ns_to_fs(fs_to_ns(time)) == time


@given(st.floats(-4.6e12, 4.6e12))
def test_rounding_is_to_the_nearest_femtosecond(time):
    got = ns_to_fs(time)
    assert type(got) is int
    exact = Fraction(time) * 10**6
    assert abs(got - exact) <= Fraction(1, 2) + abs(exact) / 2**53


@given(st.integers(-1000, 1000))
def test_halves_go_to_the_even_femtosecond(n):
    """The doubles just at n + 1/2 fs: only those whose product with 1e6 is exact are ties."""
    time = (n + 0.5) * 1e-6
    if time * 1e6 == n + 0.5:
        assert ns_to_fs(time) == n + (n % 2)
    assert ns_to_fs(5e-7) == 0 and ns_to_fs(1.5e-6) == 2 and ns_to_fs(2.5e-6) == 2


@given(st.lists(st.floats(-4.6e12, 4.6e12), max_size=20))
def test_arrays_of_floats_agree_with_scalars(times):
    got = ns_to_fs(np.array(times, dtype=float))
    assert got.dtype == np.int64 and got.shape == (len(times),)
    assert got.tolist() == [ns_to_fs(t) for t in times]
    back = fs_to_ns(got)
    assert back.dtype == np.float64
    assert back.tolist() == [fs_to_ns(t) for t in got.tolist()]


@given(st.lists(st.integers(-4_611_686_018_427, 4_611_686_018_427), max_size=20))
def test_whole_nanoseconds_are_exact(times):
    assert [ns_to_fs(t) for t in times] == [t * 10**6 for t in times]
    assert ns_to_fs(np.array(times, dtype=np.int64)).tolist() == [t * 10**6 for t in times]


def test_shapes_and_types_of_arrays():
    assert ns_to_fs(np.ones((2, 3))).shape == (2, 3)
    assert ns_to_fs(np.array([1, 2], dtype=np.uint8)).tolist() == [10**6, 2 * 10**6]
    assert ns_to_fs(np.array([0.5], dtype=np.float32)).tolist() == [500_000]
    assert fs_to_ns(np.array([[1_500_000]], dtype=np.int32)).tolist() == [[1.5]]
    assert type(ns_to_fs(np.float64(1.0))) is int and type(ns_to_fs(np.int64(1))) is int
    assert type(fs_to_ns(np.int64(1))) is float


def test_the_range_of_the_clock():
    assert ns_to_fs(2.0**62 / 1e6) <= 2**62
    for time in (2.0**62 / 1e6 * 1.0000001, 1e300, -1e300, 5 * 10**12, -(10**40), 1e308):
        with pytest.raises(InputError, match="clock's range of 2\\^62 fs"):
            ns_to_fs(time)
    for times in (np.array([0.0, 1e13]), np.array([0, 2**62]), np.array([0.0, 1e308]), np.array([0, -(2**63)])):
        with pytest.raises(InputError, match=r"^times\[1\]: .*clock's range"):
            ns_to_fs(times, "times")


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf])
def test_a_time_is_finite(time):
    with pytest.raises(InputError, match=r"^Waveguide.delay: .* is not finite; give a time in ns$"):
        ns_to_fs(time, "Waveguide.delay")
    with pytest.raises(InputError, match=r"^times\[1, 0\]: .* is not finite"):
        ns_to_fs(np.array([[0.0], [time]]), "times")


@pytest.mark.parametrize(
    "time", [True, np.True_, None, "1", "1 ns", 1j, [1.0], np.array(["1"]), np.array([True]), np.array([None])]
)
def test_other_things_are_no_times(time):
    with pytest.raises(InputError, match=r"^time: "):
        ns_to_fs(time)


@pytest.mark.parametrize("time", [1.0, True, None, "1", np.array([1.0]), np.array([True])])
def test_a_clock_counts_in_integers(time):
    with pytest.raises(InputError, match=r"^time: .*integer"):
        fs_to_ns(time)
