"""The RTTI source function: the published numbers, and the laws that hold between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from soen_event.errors import InputError
from soen_event.physics.rtti import NOMINAL_BIAS, rate, s_max, saturation, threshold_flux

BIAS = [1.5 + k * 1.15 / 15 for k in range(16)]

biases = st.floats(*NOMINAL_BIAS)
fluxes = st.floats(-2.0, 2.0)
currents = st.floats(-0.5, 2.0)


# ---- golden numbers: physics.md section 2.5 ----


def test_thresholds_and_largest_currents_are_the_published_ones():
    plus, minus = threshold_flux(BIAS)
    assert plus == pytest.approx(
        [0.37, 0.35, 0.33, 0.31, 0.29, 0.27, 0.25, 0.22, 0.20, 0.18, 0.16, 0.13, 0.11, 0.08, 0.05, 0]
    )
    assert -minus == pytest.approx(
        [0.59, 0.56, 0.53, 0.49, 0.46, 0.43, 0.40, 0.37, 0.33, 0.30, 0.27, 0.23, 0.19, 0.15, 0.11, 0.01]
    )
    assert s_max(BIAS) == pytest.approx(
        [0.518, 0.975, 1.122, 1.132, 1.145, 1.284, 1.292, 1.300, 1.308, 1.317, 1.325, 1.333, 1.342, 1.459, 1.470, 1.481]
    )


def test_plateau_of_bias_index_10():
    phi = 0.16 + 0.01 * np.arange(15)
    expected = [0, 0.328, 0.877, 1.048, 1.047, 1.047, 1.047, 1.046, 1.046, 1.046, 1.047, 1.052, 1.247, 1.325, 1.323]
    assert saturation(phi, BIAS[10]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("phi", "level"), [(0.25, 0.576), (0.35, 1.296), (0.483, 1.141)])
def test_saturation_at_nominal_bias_two(phi, level):
    assert saturation(phi, 2.0) == pytest.approx(level, abs=1e-9)


@pytest.mark.parametrize(
    ("phi", "s", "r"),
    [
        (0.35, [0, 0.32, 0.65, 0.97, 1.13, 1.296], [0.283, 0.253, 0.221, 0.159, 0.107, 0]),
        (0.25, [0, 0.14, 0.29, 0.43, 0.576], [0.139, 0.120, 0.099, 0.072, 0]),
        (0.483, [0, 0.29, 0.57, 0.86, 1.141], [0.268, 0.252, 0.228, 0.189, 0]),
    ],
)
def test_rate_slices_at_nominal_bias_two(phi, s, r):
    assert rate(phi, np.array(s), 2.0) == pytest.approx(r, abs=1e-6)


def test_first_rise_agrees_between_the_two_biases_with_data():
    """Where saturation reaches 0.444 of its maximum: 14.5 and 15.7 mPhi0 above threshold; the grid is 10 mPhi0."""
    reach = []
    for ib in (2.0, BIAS[10]):
        plus, _ = threshold_flux(ib)
        phi = np.linspace(plus, plus + 0.03, 30001)
        reach.append(phi[np.argmax(saturation(phi, ib) > 0.576 / 1.29617 * s_max(ib))] - plus)
    assert reach == pytest.approx([0.0157, 0.0145], abs=2e-4)


# ---- laws ----


@given(fluxes, biases)
def test_active_exactly_between_the_thresholds(phi, ib):
    plus, minus = threshold_flux(ib)
    offset = np.mod(phi - plus, 1.0)
    edge = 1e-9
    level = saturation(phi, ib)
    if edge < offset < 1 + minus - plus - edge:
        assert level > 0
    elif 1 + minus - plus + edge < offset < 1 - edge:
        assert level < 0
    else:
        assert level == pytest.approx(0, abs=1e-6)


@given(biases, st.integers(-2, 2))
def test_thresholds_are_zeros_of_the_saturation(ib, period):
    plus, minus = threshold_flux(ib)
    assert saturation(plus + period, ib) == pytest.approx(0, abs=1e-10)
    assert saturation(minus + period, ib) == pytest.approx(0, abs=1e-10)


@given(fluxes, currents, biases, st.integers(-3, 3))
def test_periodic_in_flux(phi, s, ib, period):
    assert saturation(phi + period, ib) == pytest.approx(saturation(phi, ib), abs=1e-10)
    # the rate has a square root in it: compare where rounding of the flux is not magnified
    if abs(saturation(phi, ib) - s) > 1e-6:
        assert rate(phi + period, s, ib) == pytest.approx(rate(phi, s, ib), abs=1e-6)


def test_not_symmetric():
    assert saturation(0.25, 2.0) > 0.5
    assert saturation(-0.25, 2.0) < 0
    assert saturation(0.5 + 0.2, 2.0) < 0 < saturation(0.5 - 0.2, 2.0)


@settings(max_examples=30)
@given(biases)
def test_largest_saturation_is_s_max(ib):
    level = saturation(np.linspace(0, 1, 20001), ib)
    assert level.max() == pytest.approx(s_max(ib), abs=1e-3)
    assert np.all(level <= s_max(ib) + 1e-12)


@settings(max_examples=30)
@given(st.floats(1.8, NOMINAL_BIAS[1]))
def test_saturation_and_its_slope_are_continuous(ib):
    phi = np.linspace(0, 1, 200001)
    level = saturation(phi, ib)
    assert np.abs(np.diff(level)).max() < 200 * phi[1]
    assert np.abs(np.diff(level, 2)).max() < 1e5 * phi[1] ** 2  # a kink of slope 0.5 would show


@given(fluxes, currents, biases)
def test_rate_is_zero_exactly_at_and_above_saturation(phi, s, ib):
    r = rate(phi, s, ib)
    if s >= saturation(phi, ib):
        assert r == 0
    else:
        assert 0 < r < 0.4


@given(fluxes, biases, hnp.arrays(float, 8, elements=st.floats(-0.5, 1.6), unique=True))
def test_rate_falls_with_current(phi, ib, s):
    s = np.sort(s)
    r = rate(phi, s, ib)
    assert np.all(np.diff(r) <= 1e-15)
    below = s < saturation(phi, ib) - 1e-6
    assert np.all(np.diff(r[below & np.roll(below, 1)]) <= 0)


@given(biases, st.floats(0.01, 0.99))
def test_onset_is_a_square_root(ib, where):
    plus, minus = threshold_flux(ib)
    phi = plus + where * (1 + minus - plus)
    top = saturation(phi, ib)
    u = np.array([1e-4, 1e-6])
    slope = rate(phi, top - u, ib) / np.sqrt(u)
    assert 0.1 < slope[1] < 0.6
    assert slope[0] == pytest.approx(slope[1], rel=0.02)


@given(biases, st.floats(0.0, 0.99))
def test_rate_grows_slightly_and_smoothly_below_zero_current(ib, where):
    plus, minus = threshold_flux(ib)
    phi = plus + where * (1 + minus - plus)
    s = np.linspace(-0.5, 0.0, 501)
    r = rate(phi, s, ib)
    assert np.all(np.diff(r) < 0)
    assert r[0] < r[-1] + 0.25
    assert np.abs(np.diff(r[:-20], 2)).max() < 1e-4


@settings(max_examples=30)
@given(biases, st.floats(-0.5, 0.4))
def test_rate_is_continuous_in_flux(ib, s):
    phi = np.linspace(0, 1, 100001)
    r, level = rate(phi, s, ib), saturation(phi, ib) - s
    inside = (level[1:] > 0.05) & (level[:-1] > 0.05)
    assert np.abs(np.diff(r))[inside].max(initial=0) < 400 * phi[1]


@settings(max_examples=30)
@given(st.floats(1.8, NOMINAL_BIAS[1]), st.floats(-0.5, 0.2))
def test_rate_has_no_kink_in_flux(ib, s):
    phi = np.linspace(0, 1, 100001)
    well_above = saturation(phi, ib) - s > 0.3
    change_of_slope = np.abs(np.diff(rate(phi, s, ib), 2)) / phi[1]
    assert change_of_slope[well_above[2:] & well_above[:-2]].max(initial=0) < 0.2


# ---- shapes and refusals ----


def test_arguments_broadcast():
    phi, s, ib = np.linspace(0, 1, 5)[:, None, None], np.linspace(0, 1, 4)[:, None], np.linspace(1.5, 2.65, 3)
    r = rate(phi, s, ib)
    assert r.shape == (5, 4, 3)
    assert r[2, 1, 2] == rate(phi[2, 0, 0], s[1, 0], ib[2])
    assert saturation(phi[:, 0], ib).shape == (5, 3)
    assert np.ndim(rate(0.3, 0.0, 2.0)) == 0 and np.ndim(s_max(2.0)) == 0


@pytest.mark.parametrize("ib", [1.4, 2.7, np.array([2.0, 3.0])])
def test_a_bias_without_data_is_refused(ib):
    for call in (threshold_flux, s_max, lambda b: saturation(0.3, b), lambda b: rate(0.3, 0.0, b)):
        with pytest.raises(InputError, match=r"rtti\.ib: .* outside the nominal biases"):
            call(ib)


@pytest.mark.parametrize("arguments", [(np.nan, 0.0, 2.0), (0.3, np.inf, 2.0), (0.3, 0.0, np.nan)])
def test_values_that_are_not_finite_are_refused(arguments):
    with pytest.raises(InputError, match="is not a finite number"):
        rate(*arguments)
