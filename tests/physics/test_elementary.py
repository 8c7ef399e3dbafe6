"""exp, expm1 and log: right to the last place, and the same bits compiled and uncompiled."""

import ast
import inspect
import math
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soen_event.engine.jit import compiled
from soen_event.physics import elementary
from soen_event.physics.elementary import exp, expm1, log

DIGITS = Context(prec=60, Emin=-999999, Emax=999999)


def true_exp(x: float) -> Decimal:
    return DIGITS.exp(Decimal(x))


def true_expm1(x: float) -> Decimal:
    if abs(x) < 1e-20:  # 60 digits of exp would not reach the second term
        return Decimal(x)
    return DIGITS.subtract(DIGITS.exp(Decimal(x)), Decimal(1))


def true_log(x: float) -> Decimal:
    return DIGITS.ln(Decimal(x))


def error_in_ulp(true: Decimal, got: float) -> float:
    """Distance of ``got`` from ``true`` in units of the last place of the correctly rounded result."""
    return float(DIGITS.divide(abs(DIGITS.subtract(true, Decimal(got))), Decimal(math.ulp(float(true)))))


def positive_floats(generator, count):
    """Positive floats whose bit patterns are uniform: all exponents alike, subnormals included."""
    largest = int(np.array([np.finfo(float).max]).view(np.int64)[0])
    return generator.integers(1, largest, count).view(np.float64).tolist()


# ------------------------------------------------------------------------------------------------------------- accuracy


@pytest.mark.parametrize(
    ("low", "high", "bound"),
    [(-708.0, 709.7827128933839, 0.55), (-40.0, 0.0, 0.55), (-1.0, 1.0, 0.55), (-745.13, -708.0, 1.0)],
)
def test_exp_is_within_one_unit_of_the_last_place(low, high, bound):
    for x in np.random.default_rng(1).uniform(low, high, 2000).tolist():
        assert error_in_ulp(true_exp(x), exp(x)) < bound, x


@pytest.mark.parametrize("width", [37.4, 1.0, 0.1, 0.0869, 1e-5, 1e-18])
def test_expm1_is_within_one_unit_of_the_last_place(width):
    for x in np.random.default_rng(2).uniform(-width, width, 1500).tolist():
        assert error_in_ulp(true_expm1(x), expm1(x)) < 0.9, x


def test_log_is_within_one_unit_of_the_last_place():
    generator = np.random.default_rng(3)
    samples = positive_floats(generator, 2500)  # 1 in 2048 of these is subnormal: add some on purpose
    samples += generator.integers(1, 2**52, 300).view(np.float64).tolist()
    samples += generator.uniform(0.0, 1.0, 1500).tolist() + generator.uniform(0.5, 2.0, 1500).tolist()
    samples += (1.0 + generator.uniform(-1e-3, 1e-3, 500)).tolist()
    for x in samples:
        assert error_in_ulp(true_log(x), log(x)) < 0.85, x


@given(st.floats(-745.13, 709.78))
def test_exp_anywhere(x):
    assert error_in_ulp(true_exp(x), exp(x)) < 1.0


@given(st.floats(-700.0, 709.78))
def test_expm1_anywhere(x):
    assert error_in_ulp(true_expm1(x), expm1(x)) < 1.0


@given(st.floats(0.0, exclude_min=True, allow_infinity=False))
def test_log_anywhere(x):
    if x != 1.0:
        assert error_in_ulp(true_log(x), log(x)) < 1.0


def test_the_tabulated_roots_of_two_are_right():
    with localcontext(DIGITS):
        for j in range(32):
            root = (Decimal(2).ln() * j / 32).exp()
            assert elementary._ROOT[j] == float(root)
            assert elementary._ROOT_LOW[j] == float(root - Decimal(elementary._ROOT[j]))


def test_the_split_constants_are_exact_where_the_method_needs_it():
    """k ln2/32 and e ln2 lose no bit, and the two parts add up to ln 2."""
    with localcontext(DIGITS):
        ln2 = Decimal(2).ln()
        assert abs(Decimal(elementary._LN2) + Decimal(elementary._LN2_LOW) - ln2) < Decimal("2e-26")
        assert abs(Decimal(elementary._STEP) + Decimal(elementary._STEP_LOW) - ln2 / 32) < Decimal("1e-29")
        for k in (34437, 34399, 32768 + 16383):
            assert Decimal(k) * Decimal(elementary._STEP) == Decimal(k * elementary._STEP)
        for e in (1023, 1074, 1055):
            assert Decimal(e) * Decimal(elementary._LN2) == Decimal(e * elementary._LN2)


# ---------------------------------------------------------------------------------------------------- special arguments


def test_exact_values():
    assert exp(0.0) == exp(-0.0) == 1.0
    assert expm1(0.0) == expm1(-0.0) == 0.0
    assert log(1.0) == 0.0


def test_ends_of_the_range():
    inf = math.inf
    assert exp(-inf) == exp(-1e9) == exp(-745.2) == 0.0
    assert exp(inf) == exp(1e9) == exp(math.nextafter(elementary.EXP_OVERFLOW, inf)) == inf
    assert exp(elementary.EXP_OVERFLOW) < inf
    assert exp(-745.13) == 5e-324
    assert exp(5e-324) == exp(-5e-324) == 1.0
    assert expm1(-inf) == expm1(-40.0) == -1.0
    assert expm1(inf) == expm1(800.0) == inf
    assert expm1(5e-324) == 5e-324
    assert log(0.0) == log(-0.0) == -inf
    assert log(inf) == inf
    for value in (log(-1.0), log(-inf), log(math.nan), exp(math.nan), expm1(math.nan)):
        assert math.isnan(value)


def test_plain_calls_return_plain_floats():
    """A numpy scalar would make every later operation of the reference engine slow."""
    for function in (exp, expm1, log):
        assert type(function(0.7)) is float


# ----------------------------------------------------------------------------------------------------------------- laws


@given(st.floats(-700.0, 700.0))
def test_log_undoes_exp(x):
    assert log(exp(x)) == pytest.approx(x, rel=4e-16, abs=4e-16)


@given(st.floats(-800.0, 800.0), st.floats(1e-9, 10.0))
def test_exp_grows(x, step):
    assert exp(x + step) >= exp(x)


@given(st.floats(-30.0, 30.0))
def test_expm1_agrees_with_exp(x):
    assert expm1(x) + 1.0 == pytest.approx(exp(x), rel=1e-15, abs=2.3e-16)


# -------------------------------------------------------------------------------------------------------- the same bits


def bits(values) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).view(np.int64)


@pytest.mark.parametrize("name", ["exp", "expm1", "log"])
def test_compiled_copies_give_the_same_bits(name):
    generator = np.random.default_rng(4)
    if name == "log":
        samples = positive_floats(generator, 50_000) + generator.uniform(0.0, 2.0, 50_000).tolist()
        samples += [0.0, 1.0, -1.0, math.inf, math.nan, 5e-324]
    else:
        samples = generator.uniform(-750.0, 712.0, 50_000).tolist() + generator.normal(0.0, 3.0, 50_000).tolist()
        samples += [0.0, -0.0, math.inf, -math.inf, math.nan, elementary.EXP_OVERFLOW, elementary.EXP_UNDERFLOW]
    plain, fast = getattr(elementary, name), getattr(compiled(elementary), name)
    np.testing.assert_array_equal(bits([plain(x) for x in samples]), bits([fast(x) for x in samples]))


def test_exp_and_log_compile_by_themselves():
    from numba import njit

    for function in (exp, log):
        fast = njit(function)
        assert fast(0.3) == function(0.3)


@settings(max_examples=20, deadline=None)  # the first call compiles
@given(st.lists(st.floats(-745.0, 709.0), min_size=1, max_size=50))
def test_compiled_in_a_loop_gives_the_same_bits(samples):
    """Inlined and vectorised code keeps the order of the operations."""
    values = np.array(samples)
    np.testing.assert_array_equal(bits(_exp_of_array(values)), bits([exp(x) for x in samples]))


_loop = None


def _exp_of_array(values):
    global _loop
    if _loop is None:
        from numba import njit

        fast = compiled(elementary).exp

        @njit
        def loop(values):
            out = np.empty_like(values)
            for n in range(values.size):
                out[n] = fast(values[n])
            return out

        _loop = loop
    return _loop(values)


def test_nothing_but_arithmetic_is_used():
    """The only call into ``math`` is frexp, which is exact; ``**`` (libm's pow) does not appear."""
    tree = ast.parse(inspect.getsource(elementary))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Pow)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "math":
            assert node.attr == "frexp"
        if isinstance(node, ast.Import):
            assert [name.name for name in node.names] == ["math"]
