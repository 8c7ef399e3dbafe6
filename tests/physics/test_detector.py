"""The saturating detector: its published numbers, continuity, saturation, and the circuit that it solves."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid

from soen_event.engine.jit import compiled
from soen_event.physics import detector
from soen_event.physics.detector import flux_after, flux_in_hotspot, pulse_level, recovery, single_photon

PHI_PEAK, TAU_RISE, TAU_FALL, HOTSPOT = 0.5, 0.02, 50.0, 0.06  # the defaults of physics.md 1.1
DEFAULTS = (PHI_PEAK, TAU_RISE, TAU_FALL, HOTSPOT)

peaks = st.floats(-2.0, 2.0)
levels = st.floats(0.0, 1.0)
rises = st.floats(1e-3, 1.0)
ratios = st.floats(1.5, 1e5)  # tau_fall / tau_rise
times = st.floats(0.0, 1e3)


def train(arrivals, phi_peak=PHI_PEAK, tau_rise=TAU_RISE, tau_fall=TAU_FALL, hotspot=HOTSPOT):
    """Flux just after the hotspot of each accepted photon, by stepping from event to event."""
    level = pulse_level(phi_peak, tau_rise, tau_fall)
    phi, end, out = 0.0, None, []
    for t in arrivals:
        if end is not None:
            if t < end:
                continue
            phi = flux_after(phi, tau_fall, t - end)
        phi = flux_in_hotspot(phi, level, tau_rise, hotspot)
        end = t + hotspot
        out.append(phi)
    return out


# ------------------------------------------------------------------------------------------------------- golden numbers


def test_reached_maximum():
    """physics.md 1.1: 0.4749 Phi0 with a hotspot of 3 tau_rise, 0.4322 with 2 tau_rise."""
    assert single_photon(0.06, *DEFAULTS) == pytest.approx(0.4749, abs=5e-5)
    assert single_photon(0.04, PHI_PEAK, TAU_RISE, TAU_FALL, 0.04) == pytest.approx(0.4322, abs=5e-5)


def test_flux_area_of_one_photon():
    """physics.md 1.1: about 0.4749*50 = 23.7 Phi0 ns."""
    t = np.concatenate([np.linspace(0.0, 0.06, 601), np.linspace(0.06, 1500.0, 60_001)[1:]])
    phi = np.array([single_photon(x, *DEFAULTS) for x in t.tolist()])
    assert trapezoid(phi, t) == pytest.approx(0.4749 * 50.0, rel=1.5e-3)


def test_recovery_after_one_photon():
    """physics.md 1.2: the current in the wire recovers as 1 - 0.95 exp(-t/tau_fall)."""
    for t in (0.0, 10.0, 50.0, 200.0):
        phi = single_photon(HOTSPOT + t, *DEFAULTS)
        assert recovery(phi, PHI_PEAK) == pytest.approx(1.0 - 0.95 * math.exp(-t / TAU_FALL), abs=3e-4)


def test_residual_weight_of_the_old_flux():
    """physics.md 1.2: what was there before a photon counts for exp(-3) = 5 % after its hotspot."""
    level = pulse_level(PHI_PEAK, TAU_RISE, TAU_FALL)
    slope = (flux_in_hotspot(0.3, level, TAU_RISE, HOTSPOT) - flux_in_hotspot(0.1, level, TAU_RISE, HOTSPOT)) / 0.2
    assert slope == pytest.approx(math.exp(-3.0), rel=1e-12)


# ----------------------------------------------------------------------------------------------------------------- laws


@given(levels, peaks, rises, ratios)
def test_continuous_to_the_bit_where_pieces_meet(phi0, phi_peak, tau_rise, ratio):
    assert flux_in_hotspot(phi0, pulse_level(phi_peak, tau_rise, tau_rise * ratio), tau_rise, 0.0) == phi0
    assert flux_after(phi0, tau_rise * ratio, 0.0) == phi0


@given(peaks, rises, ratios, st.floats(0.1, 10.0))
def test_no_jump_around_detection_and_end_of_hotspot(phi_peak, tau_rise, ratio, lengths):
    hotspot = lengths * tau_rise
    step = 1e-9 * tau_rise
    for edge in (0.0, hotspot):
        before, after = (single_photon(edge + d, phi_peak, tau_rise, tau_rise * ratio, hotspot) for d in (-step, step))
        assert abs(after - before) <= 3e-9 * abs(phi_peak)


@given(levels, peaks, rises, ratios, st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_two_steps_equal_one(phi0, phi_peak, tau_rise, ratio, first, second):
    """Splitting an interval changes nothing: run(T) equals any way of splitting it."""
    level = pulse_level(phi_peak, tau_rise, tau_rise * ratio)
    a, b = first * tau_rise, second * tau_rise
    split = flux_in_hotspot(flux_in_hotspot(phi0, level, tau_rise, a), level, tau_rise, b)
    assert split == pytest.approx(flux_in_hotspot(phi0, level, tau_rise, a + b), abs=1e-14)
    split = flux_after(flux_after(phi0, tau_rise, a), tau_rise, b)
    assert split == pytest.approx(flux_after(phi0, tau_rise, a + b), abs=1e-14)


@given(st.lists(st.floats(0.0, 500.0), min_size=1, max_size=20).map(sorted))
def test_pulses_saturate(arrivals):
    """However many photons come, the flux stays below phi_inf."""
    assert max(train(arrivals)) <= pulse_level(PHI_PEAK, TAU_RISE, TAU_FALL) * (1.0 + 1e-15)


@given(st.floats(0.06, 20.0))
def test_pulses_do_not_add(delay):
    """Two photons stay at phi_inf, far below what a linear sum of two pulses reaches."""
    one, two = train([0.0, delay])
    linear = one + one * math.exp(-(delay - HOTSPOT) / TAU_FALL)
    assert one <= two <= 0.5
    assert two < 0.65 * linear


@given(levels, st.floats(1e-3, 1.0), rises, ratios, st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_flux_moves_one_way(phi0, phi_peak, tau_rise, ratio, early, more):
    """Towards the level in the hotspot, towards zero after it, and never beyond."""
    level = pulse_level(phi_peak, tau_rise, tau_rise * ratio)
    a, b = (flux_in_hotspot(phi0, level, tau_rise, x * tau_rise) for x in (early, early + more))
    assert abs(b - level) <= abs(a - level) + 1e-15
    assert min(phi0, level) - 1e-15 <= b <= max(phi0, level) + 1e-15
    assert 0.0 <= flux_after(phi0, tau_rise, early + more) <= flux_after(phi0, tau_rise, early) <= phi0


@given(st.floats(allow_nan=False, allow_infinity=False), peaks)
def test_recovery_is_a_fraction(phi, phi_peak):
    assert 0.0 <= recovery(phi, phi_peak) <= 1.0


@given(peaks.filter(lambda x: abs(x) > 1e-6), st.floats(0.0, 1.0))
def test_recovery_tells_the_current_left(phi_peak, diverted):
    """The sign of the coupling does not matter: a synapse that pulls the flux down recovers alike."""
    assert recovery(diverted * phi_peak, phi_peak) == pytest.approx(1.0 - diverted, abs=1e-15)


def test_recovery_of_a_detector_without_flux():
    assert recovery(0.0, 0.0) == 1.0


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.01, 0.1), st.floats(10.0, 500.0), st.floats(1.0, 4.0),
    st.lists(st.floats(0.5, 40.0), min_size=1, max_size=4),
)  # fmt: skip
def test_the_closed_form_solves_the_circuit(tau_rise, ratio, lengths, gaps):
    """L dI/dt = r_1(t) (I_spd - I) - r_2 I (physics.md 1.2), stepped by Runge-Kutta with the resistances themselves."""
    tau_fall, hotspot = tau_rise * ratio, tau_rise * lengths
    inductance, current = 100.0, 20.0  # nH, uA: r in Ohm, t in ns
    r_2 = inductance / tau_fall
    r_1 = inductance / tau_rise - r_2

    def advance(i, duration, hot):
        def slope(i):
            return ((r_1 if hot else 0.0) * (current - i) - r_2 * i) / inductance

        steps = 200
        h = duration / steps
        for _ in range(steps):
            k1 = slope(i)
            k2 = slope(i + 0.5 * h * k1)
            k3 = slope(i + 0.5 * h * k2)
            k4 = slope(i + h * k3)
            i += h * (k1 + 2.0 * k2 + 2.0 * k3 + k4) / 6.0
        return i

    level = pulse_level(PHI_PEAK, tau_rise, tau_fall)
    i, phi = 0.0, 0.0
    for gap in gaps:
        i, phi = advance(i, hotspot, True), flux_in_hotspot(phi, level, tau_rise, hotspot)
        assert phi == pytest.approx(PHI_PEAK * i / current, abs=1e-8)
        i, phi = advance(i, gap, False), flux_after(phi, tau_fall, gap)
        assert phi == pytest.approx(PHI_PEAK * i / current, abs=1e-8)


# -------------------------------------------------------------------------------------------------------- the same bits


@settings(deadline=None)
@given(st.floats(-1.0, 1e3), peaks, rises, ratios, st.floats(0.0, 10.0))
def test_compiled_copies_give_the_same_bits(t, phi_peak, tau_rise, ratio, lengths):
    fast = compiled(detector)
    arguments = (t, phi_peak, tau_rise, tau_rise * ratio, lengths * tau_rise)
    assert fast.single_photon(*arguments) == single_photon(*arguments)
    assert fast.recovery(t, phi_peak) == recovery(t, phi_peak)
