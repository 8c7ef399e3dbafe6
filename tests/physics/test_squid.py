"""The SQUID's static curve and running rate against physics.md 2.2 and against each other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soen_event.engine.jit import compile_function
from soen_event.physics import squid

HALF_PI = math.pi / 2

# physics.md 2.2: static critical current at phi = 0, 0.025 ... 0.5, beta_1 = beta_2 = pi/2.
CRITICAL = [
    2.0000,
    1.9939,
    1.9767,
    1.9503,
    1.9168,
    1.8780,
    1.8348,
    1.7883,
    1.7391,
    1.6877,
    1.6343,
    1.5795,
    1.5233,
    1.4660,
    1.4079,
    1.3490,
    1.2894,
    1.2293,
    1.1689,
    1.1081,
    1.0472,
]


def test_critical_current_is_the_published_table():
    assert squid.critical_current(np.linspace(0.0, 0.5, 21)) == pytest.approx(CRITICAL, abs=6e-5)


@given(phi=st.floats(-3, 3), b=st.floats(0.1, 4.0))
def test_critical_current_is_even_and_periodic(phi, b):
    here = float(squid.critical_current(phi, b, b))
    assert float(squid.critical_current(-phi, b, b)) == pytest.approx(here, abs=1e-9)
    assert float(squid.critical_current(phi + 1.0, b, b)) == pytest.approx(here, abs=1e-9)
    assert 0.0 <= here <= 2.0


@given(phi=st.floats(0.0, 0.5), b=st.floats(0.2, 3.0))
def test_fold_is_a_static_solution_at_its_largest_current(phi, b):
    fold = squid.static_fold(phi, b)
    d1, d2, i = float(fold["d1"]), float(fold["d2"]), float(fold["i"])
    k = (2 * math.pi * phi - d1 + d2) / (2 * b)
    assert math.sin(d1) == pytest.approx(i / 2 + k, abs=1e-6)
    assert math.sin(d2) == pytest.approx(i / 2 - k, abs=1e-6)
    determinant = math.cos(d1) + math.cos(d2) + 2 * b * math.cos(d1) * math.cos(d2)
    assert determinant == pytest.approx(0.0, abs=1e-6)


@given(phi=st.floats(0.01, 0.49), b=st.floats(0.2, 3.0))
def test_slope_is_the_derivative(phi, b):
    h = 1e-5
    difference = (squid.static_fold(phi + h, b)["i"] - squid.static_fold(phi - h, b)["i"]) / (2 * h)
    assert float(squid.static_fold(phi, b)["slope"]) == pytest.approx(float(difference), abs=1e-3)


def test_normal_form_gain_gives_the_passage_time():
    """Just above the fold the period is pi/sqrt(gain u) and a constant: two values of u separate them."""
    rate = compile_function(squid.running_rate)
    for phi in (0.1, 0.25, 0.4):
        fold = squid.static_fold(phi, HALF_PI)
        periods = [
            2 * math.pi / rate(float(fold["i"]) + u, phi, HALF_PI, 0.3, float(fold["d1"]), float(fold["d2"]), 0.05)
            for u in (1e-5, 4e-5)
        ]
        measured = math.pi * (1 / math.sqrt(1e-5) - 1 / math.sqrt(4e-5)) / (periods[0] - periods[1])
        assert measured**2 == pytest.approx(float(fold["gain"]), rel=0.02)


def test_unequal_arms_are_a_shifted_flux():
    """Direct integration of unequal arms (circuit.md 2: the origin moves by (b1 - b2) i/(4 pi)) against the symmetric SQUID."""
    b1, b2, i, phi, beta_c, h = 1.8, 1.3, 1.7, 0.35, 0.3, 0.02

    def slope(y):
        i1 = (b2 * i - (y[0] - y[2]) + 2 * math.pi * phi) / (b1 + b2)
        return np.array([y[1], (i1 - y[1] - math.sin(y[0])) / beta_c, y[3], (i - i1 - y[3] - math.sin(y[2])) / beta_c])

    y, crossings, t = np.array([1.5, 0.0, 1.0, 0.0]), [], 0.0
    while len(crossings) < 8:
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        new = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        before, after = (y[0] + y[2]) / 2, (new[0] + new[2]) / 2
        if math.floor((after - math.pi) / (2 * math.pi)) > math.floor((before - math.pi) / (2 * math.pi)):
            edge = math.floor((after - math.pi) / (2 * math.pi)) * 2 * math.pi + math.pi
            crossings.append(t + h * (edge - before) / (after - before))
        y, t = new, t + h
    direct = 2 * math.pi / np.diff(crossings)[-1]
    shifted = phi + (b2 - b1) * i / (4 * math.pi)
    fold = squid.static_fold(shifted, (b1 + b2) / 2)
    equal = compile_function(squid.running_rate)(
        i, shifted, (b1 + b2) / 2, beta_c, float(fold["d1"]), float(fold["d2"]), 0.05
    )
    assert direct == pytest.approx(equal, rel=1e-4)
    # The sign of the shift and the static curve: 5 % asymmetry moves phi_th(1.7) from 0.220 to 0.198 (circuit.md 2).
    b = HALF_PI
    phis = np.linspace(0.15, 0.25, 2001)
    # 0.022 = (b1 - b2) i_b/(4 pi) needs (b1 - b2)/b = 0.1, that is each arm 5 % off its mean.
    lowered = [phis[np.argmax(squid.critical_current(phis, *arms) < 1.7)] for arms in ((b, b), (0.95 * b, 1.05 * b))]
    assert lowered == pytest.approx([0.220, 0.198], abs=2e-3)


def test_static_phase_meets_the_fold_and_solves_the_static_equations():
    for phi in (0.0, 0.2, 0.45):
        top = float(squid.static_fold(phi, HALF_PI)["i"])
        fold = squid.static_fold(phi, HALF_PI)
        assert float(squid.static_phase(phi, top + 0.1, HALF_PI)) == pytest.approx(float(fold["d1"] + fold["d2"]) / 2)
        assert float(squid.static_phase(phi, 0.0, HALF_PI)) == pytest.approx(0.0, abs=1e-9)
    # Without flux both junctions carry i/2: the phase is asin(i/2).
    i = np.array([0.3, 1.0, 1.7, 1.99])
    assert squid.static_phase(0.0, i, HALF_PI) == pytest.approx(np.arcsin(i / 2), abs=1e-9)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="not positive"):
        squid.static_fold(0.1, 0.0)
