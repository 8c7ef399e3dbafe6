"""Surrogate slopes: numbers of features.md (S0.20, S1.09-S1.12 and the list after S1.17), and laws of all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from soen_event.errors import InputError
from training import registry, surrogates
from training.surrogates import Sigmoid, Surrogate, Triangle, make, psi

few = settings(max_examples=60, deadline=None)
NAMES = sorted({registry.get("surrogate", name).__name__ for name in registry.names("surrogate")})
AT_0_3 = {  # features.md, the list after S1.17
    "Sigmoid": 0.711578,
    "ReluGrad": 0.21,
    "Arctan": 0.409143,
    "PiecewiseQuadratic": 0.7,
    "PiecewiseExp": 0.370409,
    "SoftSign": 0.295858,
    "ERF": 0.515630,
    "QPseudoSpike": 0.694444,
    "SlayerGrad": 0.740818,
    "InvSquareGrad": 0.001041,
}
KINKS = (-1.0, 0.0, 1.0)  # of the default options: no derivative there


def test_s1_surrogates_the_list_is_whole():
    """S1.surrogates: every surrogate of the list is registered, with the triangle (S0.20) and psi of e-prop."""
    rest = ["NonzeroSignLog", "PiecewiseLeakyRelu", "SquarewaveFourierSeries", "S2NN", "LeakyRelu", "LogTailedRelu"]
    assert sorted([*AT_0_3, *rest, "GaussianGrad", "MultiGaussianGrad", "Triangle", "EpropPsi"]) == NAMES


@pytest.mark.parametrize(("name", "value"), AT_0_3.items())
def test_golden_slopes_s1_09_s1_10_s1_11(name, value):
    """S1.09, S1.10, S1.11 and S1.surrogates: the slope at 0.3."""
    assert make(name).backward(0.3) == pytest.approx(value, abs=5e-7)


def test_s0_20_triangle():
    """S0.20: (0) -> 1, (0.25) -> 0.75, (-0.5; w=2, s=3) -> 1.125; clipped at ``clip``."""
    assert make("triangle").backward(0.0) == 1.0
    assert make("triangle").backward(0.25) == 0.75
    assert Triangle(width=2.0, scale=3.0).backward(-0.5) == 1.125
    assert np.array_equal(Triangle(clip=0.5).backward([0.0, 0.4, 0.75, 2.0]), [0.5, 0.5, 0.25, 0.0])
    assert np.array_equal(Triangle(strict=True).forward([-1.0, 0.0, 1.0]), [0.0, 0.0, 1.0])


def test_s1_10_both_forms_of_sigmoid():
    """S1.10: sigmoid(alpha=4.) returns a surrogate, sigmoid(x, alpha) applies it."""
    assert surrogates.sigmoid(alpha=4.0) == Sigmoid(4.0)
    assert np.array_equal(surrogates.sigmoid([-0.1, 0.0, 0.2], 4.0), [0.0, 1.0, 1.0])
    assert surrogates.sigmoid() == Sigmoid()
    for name in surrogates.__all__:
        if name[0].islower() and name not in ("make", "psi"):
            function = getattr(surrogates, name)
            assert isinstance(function(), Surrogate)
            assert function(np.array([-1.0, 1.0])).tolist() == [0.0, 1.0]


def test_s1_11_slayer_and_superspike_are_two():
    """S1.11: SLAYER is exponential, SuperSpike an inverse square."""
    x = np.linspace(-2, 2, 9)
    assert np.allclose(surrogates.slayer_grad(alpha=4.0).backward(x), np.exp(-4 * np.abs(x)))
    assert np.allclose(surrogates.SuperSpike(10.0).backward(x), 1 / (10 * np.abs(x) + 1) ** 2)
    assert surrogates.slayer_grad(alpha=2.0).backward(0.3) == pytest.approx(math.exp(-0.6))


def test_s1_12_chosen_by_name_or_object():
    """S1.12: whatever takes a surrogate takes a name, a mapping with options, or an object."""
    assert make("relu", alpha=0.5) == make({"name": "ReluGrad", "alpha": 0.5}) == surrogates.ReluGrad(0.5)
    mine = surrogates.ReluGrad(1.0)
    assert make(mine) is mine

    class Own:
        def forward(self, x):
            return x

        def backward(self, x):
            return x

    assert isinstance(make(Own()), Own)


def test_s3_06_psi():
    """S3.06: V = 0.5, V_th = 0.61 -> 0.403117, and 0 while refractory."""
    assert psi(0.5, 0.61) == pytest.approx(0.403117, abs=5e-7)
    assert np.allclose(psi([0.5, 0.5], 0.61, refractory=[False, True]), [0.403117, 0.0], atol=5e-7)
    assert surrogates.EpropPsi(0.61).backward(0.5 - 0.61) == psi(0.5, 0.61)
    assert psi(np.float32([0.5]), 0.61, refractory=[True]).dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
@given(x=arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6)))
@few
def test_laws_of_every_surrogate(name, x):
    """S1.surrogates: forward exactly 0 or 1; slope finite, even and not negative where that is stated."""
    made = make(name)
    forward, slope = made.forward(x), made.backward(x)
    assert set(np.unique(forward)) <= {0.0, 1.0} and np.array_equal(forward == 1.0, x >= 0.0)
    assert np.all(np.isfinite(slope))
    if name not in ("MultiGaussianGrad", "SquarewaveFourierSeries"):
        assert np.all(slope >= 0.0)
    if name not in ("S2NN", "LeakyRelu", "LogTailedRelu"):
        assert np.array_equal(slope, made.backward(-x))
    buffer = x.copy()
    assert made.backward(buffer, out=buffer) is buffer and np.array_equal(buffer, slope)
    assert np.array_equal(made.forward(x, out=np.empty(x.shape, dtype=np.float32)), forward)


@pytest.mark.parametrize("name", NAMES)
def test_ends_and_types(name):
    """S1.surrogates: finite at 0 and at 1e6 on both sides; float32 stays float32; shapes stay."""
    made = make(name)
    x = np.array([[0.0, 1e6, -1e6], [1e30, -1e30, 3e38]], dtype=np.float32)
    for array in (made.forward(x), made.backward(x[:1]), made.smooth(x[:1])):
        assert array.dtype == np.float32 and np.all(np.isfinite(array))
    assert np.all(np.isfinite(made.backward(x)))
    assert np.allclose(made.backward(np.float32([0.3])), made.backward(0.3), rtol=1e-5)
    assert made.backward(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert made.backward([1, 2]).dtype == np.float64
    assert np.isnan(make("sigmoid").backward(np.nan)) and make(name).forward(np.nan) == 0.0


@pytest.mark.parametrize("name", NAMES)
@given(x=st.floats(-3.0, 3.0).filter(lambda x: min(abs(x - k) for k in KINKS) > 1e-3))
@few
def test_smooth_has_the_slope(name, x):
    """The companion's central difference is ``backward``, for default options and others."""
    for made in (make(name), *OTHERS.get(name, ())):
        h = 1e-5
        numeric = (made.smooth(x + h) - made.smooth(x - h)) / (2 * h)
        assert numeric == pytest.approx(made.backward(x), rel=1e-5, abs=1e-6)


OTHERS = {
    "Triangle": (Triangle(1.0, 3.0, strict=True), Triangle(5.0, 2.0, clip=0.1), Triangle(5.0, 2.0, clip=9.0)),
    "QPseudoSpike": (surrogates.QPseudoSpike(1.0), surrogates.QPseudoSpike(0.5), surrogates.QPseudoSpike(3.0)),
    "S2NN": (surrogates.S2NN(2.0, 0.7),),
    "SquarewaveFourierSeries": (surrogates.SquarewaveFourierSeries(5, 4.0),),
    "MultiGaussianGrad": (surrogates.MultiGaussianGrad(0.3, 2.0, 0.4, 1.0),),
}


def test_most_smooth_curves_rise_from_zero_to_one():
    """The companions of the normalised surrogates are S-shaped: 0, 1/2, 1."""
    normalised = ["Sigmoid", "Triangle", "Arctan", "PiecewiseQuadratic", "PiecewiseExp", "SoftSign", "ERF"]
    for name in normalised:
        low, middle, high = make(name).smooth([-1e6, 0.0, 1e6])
        assert (low, middle, high) == pytest.approx((0.0, 0.5, 1.0), abs=1e-5), name


def test_faults_are_told_together():
    """A bad option names itself, its bound, and the nearest known name."""
    with pytest.raises(InputError) as told:
        surrogates.ReluGrad(-1.0, float("nan"))
    assert [fault.split(":")[0] for fault in told.value.faults] == ["ReluGrad.alpha", "ReluGrad.width"]
    for call in (
        lambda: make("sigmoyd"),
        lambda: make("sigmoid", alfa=1.0),
        lambda: make(Sigmoid(), alpha=1.0),
        lambda: make(3.0),
        lambda: Sigmoid().backward(np.zeros(3), out=np.zeros(2)),
        lambda: Sigmoid().backward(["a"]),
        lambda: surrogates.sigmoid(1.0, 2.0, 3.0),
        lambda: surrogates.SquarewaveFourierSeries(n=0),
        lambda: Surrogate().backward(1.0),
        lambda: Surrogate().smooth(1.0),
    ):
        with pytest.raises(InputError):
            call()
    with pytest.raises(InputError, match="did you mean 'alpha'"):
        make("sigmoid", alfa=1.0)
