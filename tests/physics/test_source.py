"""The tabulated source function against the junction equations, the published tables, its own symmetries and derivatives."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soen_event.device import Device
from soen_event.engine.jit import compile_function
from soen_event.physics import rtti, source, squid, tablefile

HALF_PI = math.pi / 2
DEFAULT = source.stack([source.ri_table(Device())])
g = compile_function(source.source)

# physics.md 2.4: coarse copy of the published table, rows i_sq, columns phi = 0, .05 ... .5.
PUBLISHED = {
    1.105: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.129],
    1.260: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0.220, 0.259],
    1.415: [0, 0, 0, 0, 0, 0, 0, 0.082, 0.278, 0.337, 0.354],
    1.570: [0, 0, 0, 0, 0, 0, 0.199, 0.330, 0.394, 0.427, 0.437],
    1.725: [0, 0, 0, 0, 0, 0.277, 0.382, 0.446, 0.486, 0.508, 0.515],
    1.880: [0, 0, 0, 0.210, 0.350, 0.437, 0.497, 0.540, 0.568, 0.585, 0.590],
    2.035: [0.191, 0.246, 0.342, 0.428, 0.498, 0.553, 0.595, 0.626, 0.647, 0.660, 0.664],
    2.190: [0.461, 0.480, 0.523, 0.571, 0.616, 0.654, 0.685, 0.708, 0.724, 0.734, 0.737],
    2.345: [0.636, 0.644, 0.665, 0.694, 0.723, 0.749, 0.772, 0.789, 0.802, 0.809, 0.812],
    2.500: [0.781, 0.783, 0.792, 0.807, 0.825, 0.843, 0.858, 0.871, 0.880, 0.886, 0.887],
}


def exact(i, phi, beta_c, b=HALF_PI):
    fold = squid.static_fold(phi, b)
    return compile_function(squid.running_rate)(
        i, abs(phi - round(phi)), b, beta_c, float(fold["d1"]), float(fold["d2"]), 0.05
    )


def test_published_table():
    for i, row in PUBLISHED.items():
        for phi, r in zip(np.arange(11) * 0.05, row, strict=True):
            assert g(DEFAULT, 0, phi, i)[0] == pytest.approx(r, abs=1.1e-3), (i, phi)


@pytest.mark.parametrize("beta_c", [0.3, pytest.param(0.95, marks=pytest.mark.long)])
def test_error_against_the_junction_equations(beta_c):
    """<= 1e-3 everywhere, also at points that crowd around the onset and around half a flux quantum."""
    sources = source.stack([source.ri_table(Device(beta_c=beta_c, c_per_Ic=1.5e-9 if beta_c == 0.3 else 5e-9))])
    rng = np.random.default_rng(1)
    worst = 0.0
    for _ in range(1500):
        phi = 0.5 - 0.5 * rng.uniform() ** 2
        u = 2.0 * rng.uniform(0.003, 1.0) ** 3
        i = float(squid.critical_current(phi)) + u
        worst = max(worst, abs(g(sources, 0, phi, i)[0] - exact(i, phi, beta_c)))
    assert worst <= 1e-3


@given(phi=st.floats(0.0, 0.5), under=st.floats(1e-12, 0.5))
def test_nothing_below_threshold_and_a_square_root_above(phi, under):
    threshold = float(source.level(DEFAULT.shape, DEFAULT.scale, DEFAULT.levels, 0, phi)[0])
    assert g(DEFAULT, 0, phi, threshold - under)[0] == 0.0
    assert threshold == pytest.approx(float(squid.critical_current(phi)), abs=1e-7)
    if phi < 0.45:  # (two folds meet at half a quantum)
        u = 1e-7
        gain = float(squid.static_fold(phi, HALF_PI)["gain"])
        assert g(DEFAULT, 0, phi, threshold + u)[0] == pytest.approx(2 * math.sqrt(gain * u), rel=0.03)


@given(phi=st.floats(-4, 4), i=st.floats(0.5, 3.0))
def test_even_periodic_and_growing_with_current(phi, i):
    r, _, slope, _ = g(DEFAULT, 0, phi, i)
    assert g(DEFAULT, 0, -phi, i)[0] == pytest.approx(r, abs=2e-6)
    assert g(DEFAULT, 0, phi + 1.0, i)[0] == pytest.approx(r, abs=2e-6)
    assert r >= 0.0 and slope >= 0.0


@given(phi=st.floats(0.01, 0.495), u=st.floats(2e-3, 1.2), row=st.sampled_from(["table", "fit"]))
@settings(max_examples=150)
def test_derivatives_in_both_arguments(phi, u, row):
    sources = DEFAULT if row == "table" else source.stack([source.ri_table(Device(source="fit"))])
    i = float(squid.critical_current(phi)) + u
    h = 1e-6
    _, g_phi, g_i, _ = g(sources, 0, phi, i)
    assert g_i == pytest.approx(
        (g(sources, 0, phi, i + h)[0] - g(sources, 0, phi, i - h)[0]) / (2 * h), rel=1e-3, abs=1e-4
    )
    assert g_phi == pytest.approx(
        (g(sources, 0, phi + h, i)[0] - g(sources, 0, phi - h, i)[0]) / (2 * h), rel=1e-3, abs=1e-3
    )


def test_closed_fit_has_the_error_that_its_source_states():
    """physics.md 2.7: rms .0059, max .044 over the whole table."""
    fit = source.stack([source.ri_table(Device(source="fit"))])
    differences = [
        g(fit, 0, phi, i)[0] - g(DEFAULT, 0, phi, i)[0]
        for i in np.linspace(0.95, 2.5, 60)
        for phi in np.linspace(0, 0.5, 40)
    ]
    assert np.sqrt(np.mean(np.square(differences))) == pytest.approx(0.0059, abs=1.5e-3)
    assert np.abs(differences).max() < 0.05


@settings(max_examples=15, deadline=None)
@given(ib=st.floats(*rtti.NOMINAL_BIAS))
def test_rtti_row_has_the_circuits_level_and_its_asymmetry(ib):
    row = source.stack([source.rtti_table(ib)])
    offset = float(row.scale[0, source.OFFSET])
    phi = np.linspace(-0.6, 0.7, 53)
    exact = rtti.saturation(phi, ib)
    found = [ib - source.level(row.shape, row.scale, row.levels, 0, x + offset)[0] for x in phi]
    assert found == pytest.approx(exact, abs=0.012)  # in the cell of a corner, 0.0006 wide; elsewhere:
    assert np.quantile(np.abs(found - exact), 0.9) < 1e-5
    for x, s in zip(phi, exact, strict=True):
        if s > 0.0:
            assert g(row, 0, x, ib - (s + 0.012))[0] == 0.0 < g(row, 0, x, ib - (s - 0.012))[0]
            assert g(row, 0, x + 1.0, ib)[0] == pytest.approx(g(row, 0, x, ib)[0], abs=1e-6)
    plus, minus = (float(v) for v in rtti.threshold_flux(ib))
    assert abs(plus + minus) > 0.01
    assert g(row, 0, -plus - 1e-3, ib)[0] == 0.0 or ib > 2.6  # still at rest where the mirror image would start


@pytest.mark.parametrize(("ib", "typical", "most"), [(2.0, 1.2e-3, 0.02), (1.7, 4e-4, 0.01), (2.425, 2e-3, 0.04)])
def test_rtti_rates_against_its_junctions(ib, typical, most):
    """At a bias of the shipped row, and between two: the table against direct integration, anywhere above the onset."""
    row = source.stack([source.rtti_table(ib)])
    integrate = compile_function(rtti.line_rate)
    constants = np.array([2 / math.pi, 2 / math.pi, 1 / math.pi, 1 / math.pi, ib, 0.35, 0.70, 1 / 0.3])
    plus, minus = (float(v) for v in rtti.threshold_flux(ib))
    rng = np.random.default_rng(3)
    error = []
    while len(error) < 600:
        phi = rng.uniform(plus, 1 + minus)
        s = float(rtti.saturation(phi, ib)) - rng.uniform(0.02, 1.2) ** 2
        if s < -0.02:
            continue
        start = np.zeros(9)
        start[8] = -1.0
        error.append(g(row, 0, phi, ib - s)[0] - integrate(start, s, phi, constants, 0.1, 1e-6, 5e4))
    assert np.sqrt(np.mean(np.square(error))) < typical
    assert np.abs(error).max() < most


@pytest.mark.long
def test_thresholds_of_other_inductances():
    """circuit.md 3: phi_th(i_b = 1.7) and r(1.7, .5) at beta_c = .95 for beta_1 = beta_2 = pi/8 ... pi."""
    for b, phi_th, r in zip(
        (math.pi / 8, math.pi / 4, HALF_PI, 3 * HALF_PI / 2, math.pi),
        (0.181, 0.191, 0.220, 0.253, 0.287),
        (0.77, 0.65, 0.49, 0.39, 0.33),
        strict=True,
    ):
        phis = np.linspace(0.1, 0.4, 30001)
        assert phis[np.argmax(squid.critical_current(phis, b, b) < 1.7)] == pytest.approx(phi_th, abs=1.5e-3)
        assert exact(1.7, 0.5, 0.95, b) == pytest.approx(r, abs=0.011)


def test_a_damaged_cache_file_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SOEN_CACHE_DIR", str(tmp_path))
    axes = {"n_a": 6, "n_y": 6, "a_bend": 0.15, "y_bend": 0.03, "u_max": 2.2, "n_level": 16}
    monkeypatch.setattr(source, "_AXES", axes)
    first = source._rates(0.4, HALF_PI)
    (kept,) = tmp_path.iterdir()
    parameters, arrays = tablefile.read(kept)
    assert parameters["beta_c"] == 0.4 and np.array_equal(arrays["r"], first)
    whole = kept.read_bytes()
    for damaged in (whole[:100], b"", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]):
        kept.write_bytes(damaged)
        assert np.array_equal(source._rates(0.4, HALF_PI), first)
        assert np.array_equal(tablefile.read(kept)[1]["r"], first)


def test_shipped_default_is_what_the_generator_makes():
    """Two columns of the shipped table, integrated again."""
    a = source._nodes(source._AXES["n_a"], math.sqrt(source._AXES["u_max"]), source._AXES["a_bend"])
    y = source._nodes(source._AXES["n_y"], 0.5, source._AXES["y_bend"])
    rates = source._rates(0.3, HALF_PI)
    for k in (10, 70):
        for j in (5, 60, 128):
            phi = 0.5 - y[k]
            assert rates[j, k] == pytest.approx(
                exact(float(squid.critical_current(phi)) + a[j] ** 2, phi, 0.3), abs=1e-7
            )
