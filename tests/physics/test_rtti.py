"""The RTTI circuit at rest and in motion: published numbers, its own equations, and the laws that hold between its parts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soen_event.engine.jit import compile_function
from soen_event.errors import InputError
from soen_event.physics import rtti
from soen_event.physics.rtti import NOMINAL_BIAS, Line, folds, s_max, saturation, threshold_flux

BIAS = [1.5 + k * 1.15 / 15 for k in range(16)]
GRID = np.arange(400) / 400
OTHER = Line(1.8, 1.3, 2.5, 3.5, 0.30, 0.75)

biases = st.floats(*NOMINAL_BIAS)
fluxes = st.floats(-2.0, 2.0)


# ---- golden numbers: physics.md section 2.5, on its grid of 0.01 Phi0 ----


def test_thresholds_are_the_published_ones():
    plus, minus = threshold_flux(BIAS)
    published = [0.37, 0.35, 0.33, 0.31, 0.29, 0.27, 0.25, 0.22, 0.20, 0.18, 0.16, 0.13, 0.11, 0.08, 0.05]
    assert plus[:-1] == pytest.approx(published, abs=0.0101)
    published = [0.59, 0.56, 0.53, 0.49, 0.46, 0.43, 0.40, 0.37, 0.33, 0.30, 0.27, 0.23, 0.19, 0.15, 0.11]
    assert -minus[:-1] == pytest.approx(published, abs=0.0101)
    # 2.65: 0 and -0.01; it rests in between only, so one flux of the grid does.
    assert -0.05 < minus[-1] < -0.01 < plus[-1] <= 0.0


def test_largest_currents_are_the_published_ones():
    """Design value: within 0.02. On the grid on which they were found they agree to 0.001."""
    published = [0.518, 0.975, 1.122, 1.132, 1.145, 1.284, 1.292, 1.300]
    published += [1.308, 1.317, 1.325, 1.333, 1.342, 1.459, 1.470, 1.481]
    found = [saturation(np.arange(100) * 0.01, ib).max() for ib in BIAS]
    assert found == pytest.approx(published, abs=1e-3)
    assert s_max(BIAS[1:]) == pytest.approx(
        published[1:], abs=0.02
    )  # the first has a peak between two fluxes of the grid


def test_plateau_of_bias_index_10():
    phi = 0.17 + 0.01 * np.arange(13)
    expected = [0.328, 0.877, 1.048, 1.047, 1.047, 1.046, 1.046, 1.046, 1.047, 1.052, 1.247, 1.325, 1.323]
    assert saturation(phi, BIAS[10]) == pytest.approx(expected, abs=1.5e-3)
    assert saturation(0.16, BIAS[10]) < 0.0


@pytest.mark.parametrize(("phi", "level"), [(0.25, 0.576), (0.35, 1.296), (0.483, 1.141)])
def test_saturation_at_nominal_bias_two(phi, level):
    assert saturation(phi, 2.0) == pytest.approx(level, abs=1.5e-3)


def rate(phi, s, ib, line=None, beta_c=0.3, step=0.1):
    line = line or Line()
    constants = np.array([*(1 / b for b in line[:4]), ib, line.ib_2, line.ib_3, 1 / beta_c])
    start = np.zeros(9)
    start[8] = -1.0
    return compile_function(rtti.line_rate)(start, s, phi, constants, step, 1e-7, 50000.0)


@pytest.mark.parametrize(
    ("phi", "s", "r"),
    [
        (0.35, [0, 0.32, 0.65, 0.97, 1.13, 1.298], [0.283, 0.253, 0.221, 0.159, 0.107, 0]),
        (0.25, [0, 0.14, 0.29, 0.43, 0.578], [0.139, 0.120, 0.099, 0.072, 0]),
        (
            0.483,
            [0.29, 0.57, 0.86, 1.143],
            [0.252, 0.228, 0.189, 0],
        ),  # (the first is too small by its start, physics.md 2.5)
    ],
)
def test_rates_at_nominal_bias_two(phi, s, r):
    assert [rate(phi, x, 2.0) for x in s] == pytest.approx(r, abs=1.5e-3)


# ---- the resting states ----


@settings(max_examples=25, deadline=None)
@given(ib=biases, line=st.sampled_from([None, OTHER, Line(1.0, 1.4)]))
def test_folds_are_static_solutions_at_an_extreme_current(ib, line):
    """At a fold all four junctions carry sin d, and s does not change along the resting states."""
    found = folds(GRID, ib, line)
    line = line or Line()
    there = found.s < 100.0
    assert there[:, 0].all()
    assert (np.diff(np.where(there, found.s, 1e4), axis=1) >= 0.0).all()
    k = np.flatnonzero(there.any(axis=1))[::37]
    for row in k.tolist():
        d1, d2, s = (float(column[row, 0]) for column in (found.d1, found.d2, found.s))
        theta = d2 + line.beta_2 * math.sin(d2)
        turns = (theta - d1 + 2 * math.pi * GRID[row]) / line.beta_1 - math.sin(d1)
        assert math.remainder(turns * line.beta_1, 2 * math.pi) == pytest.approx(0.0, abs=1e-6)
        into = ib - math.sin(d1) - math.sin(d2)
        d3 = theta - line.beta_3 * into
        i34 = into + line.ib_2 - math.sin(d3)
        d4 = d3 - line.beta_4 * i34
        assert math.sin(d4) == pytest.approx(i34 + line.ib_3 - s, abs=1e-7)
        # the matrix of the static equations is singular there
        q = [1 / b for b in line[:4]]
        total = q[0] + q[1] + q[2]
        matrix = np.zeros((4, 4))
        for m in range(3):
            for n in range(3):
                matrix[m, n] = q[m] * q[n] / total - (q[m] if m == n else 0.0)
        matrix[2:, 2:] += q[3] * np.array([[-1.0, 1.0], [1.0, -1.0]])
        matrix -= np.diag(np.cos([d1, d2, d3, d4]))
        assert np.abs(np.linalg.eigvalsh(matrix)).min() < 1e-5


@settings(max_examples=25, deadline=None)
@given(ib=biases, phi=fluxes, line=st.sampled_from([None, OTHER]))
def test_it_runs_exactly_below_the_lowest_fold(ib, phi, line):
    """The claim of the module's head, by integration: just above saturation nothing turns for ever, just below it does."""
    level = float(saturation(phi, ib, line))
    if level < -0.4:  # there junction 4 alone is beyond its critical current
        return
    assert rate(phi, level + 1e-3, ib, line) == 0.0
    assert rate(phi, level - 1e-3, ib, line) > 0.0


@settings(max_examples=20, deadline=None)
@given(ib=biases, phi=st.floats(0.0, 1.0))
def test_gain_gives_the_passage_time(ib, phi):
    found = folds(np.sort(np.append(GRID, phi)), ib)
    row = int(np.searchsorted(np.append(GRID, phi)[np.argsort(np.append(GRID, phi))], phi))
    s, gain = found.s[row], found.gain[row]
    if s[0] < -0.4 or s[1] - s[0] < 0.05:
        return
    periods = [2 * math.pi / rate(phi, s[0] - u, ib) for u in (1e-5, 4e-5)]
    measured = math.pi * (1 / math.sqrt(1e-5) - 1 / math.sqrt(4e-5)) / (periods[0] - periods[1])
    assert measured**2 == pytest.approx(gain[0], rel=0.03)


@settings(max_examples=20, deadline=None)
@given(ib=biases)
def test_slope_is_the_derivative(ib):
    found = folds(GRID, ib)
    phi, h = GRID[::23] + 1e-3, 1e-5
    numeric = (saturation(phi + h, ib) - saturation(phi - h, ib)) / (2 * h)
    here = folds(np.sort(np.append(GRID, phi)), ib)
    slope = here.slope[np.searchsorted(np.sort(np.append(GRID, phi)), phi), 0]
    smooth = found.s[::23, 1] - found.s[::23, 0] > 0.02
    assert slope[smooth] == pytest.approx(numeric[smooth], rel=0.02, abs=0.02)


# ---- laws ----


@settings(max_examples=40, deadline=None)
@given(fluxes, biases)
def test_active_exactly_between_the_thresholds(phi, ib):
    plus, minus = threshold_flux(ib)
    offset = np.mod(phi - plus, 1.0)
    edge = 2e-4  # thresholds are interpolated in the bias
    level = saturation(phi, ib)
    if edge < offset < 1 + minus - plus - edge:
        assert level > 0
    elif 1 + minus - plus + edge < offset < 1 - edge:
        assert level < 0


@settings(max_examples=20, deadline=None)
@given(fluxes, biases, st.integers(-3, 3))
def test_periodic_in_flux(phi, ib, period):
    assert saturation(phi + period, ib) == pytest.approx(saturation(phi, ib), abs=1e-8)


def test_not_symmetric():
    assert saturation(0.25, 2.0) > 0.5
    assert saturation(-0.25, 2.0) < 0
    assert saturation(0.5 + 0.2, 2.0) < 0 < saturation(0.5 - 0.2, 2.0)


@settings(max_examples=20, deadline=None)
@given(biases)
def test_largest_saturation_is_s_max(ib):
    # The peak of the lowest biases is narrow: its height moves by 5 per I_c of bias, and it is interpolated.
    assert saturation(np.linspace(0, 1, 4001), ib).max() == pytest.approx(s_max(ib), abs=5e-3)


def test_a_circuit_that_always_or_never_runs():
    always, never = Line(ib_3=2.2), Line(ib_3=-1.5)
    plus, minus = threshold_flux(2.0, always)
    assert plus == minus and saturation(GRID[::40], 2.0, always).min() > 0.0
    plus, minus = threshold_flux(2.0, never)
    assert plus == 1 + minus and saturation(GRID[::40], 2.0, never).max() < 0.0


# ---- shapes and refusals ----


def test_arguments_broadcast():
    phi, ib = np.linspace(0, 1, 5)[:, None], np.linspace(1.5, 2.65, 3)
    level = saturation(phi, ib)
    assert level.shape == (5, 3)
    assert level[2, 1] == saturation(phi[2, 0], ib[1])
    assert np.ndim(saturation(0.3, 2.0)) == 0 and np.ndim(s_max(2.0)) == 0
    assert threshold_flux(np.full((2, 2), 2.0), OTHER)[0].shape == (2, 2)


@pytest.mark.parametrize("ib", [1.4, 2.7, np.array([2.0, 3.0])])
def test_a_bias_without_data_is_refused(ib):
    for call in (threshold_flux, s_max, lambda b: saturation(0.3, b)):
        with pytest.raises(InputError, match=r"rtti\.ib: .* outside the nominal biases"):
            call(ib)


@pytest.mark.parametrize("arguments", [(np.nan, 2.0), (np.inf, 2.0), (0.3, np.nan)])
def test_values_that_are_not_finite_are_refused(arguments):
    with pytest.raises(InputError, match="is not a finite number"):
        saturation(*arguments)
