"""First-photon statistics: miss probabilities and jitter of physics.md 4.4, by quadrature and by sampling."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from soen_event.engine.jit import compiled
from soen_event.physics import random, transmitter
from soen_event.physics.random import EMISSION_TIME, PHOTON_NUMBER, part_key
from soen_event.physics.transmitter import (
    EC_LATENCY,
    EC_TAU_RAD,
    QD_LATENCY,
    QD_TAU_RAD,
    first_photon_delay,
    mean_detected_photons,
    miss_probability,
    source_constants,
    transmission,
)

ALARM = 1e-6  # false-alarm probability of each statistical test
SEED = 44
FAST = compiled(transmitter)
DRAW = compiled(random)

unit = st.floats(2.0**-53, 1.0 - 2.0**-53)
means = st.floats(1e-6, 1e4)
lifetimes = st.floats(1e-3, 1e3)


def tail(t, n, tau_rad):
    """P(first detected photon later than t), none counted as never: physics.md 4.4."""
    return math.exp(n * math.expm1(-t / tau_rad))


def moments(n, tau_rad):
    """Mean and standard deviation of the first photon's delay, if one is detected, by quadrature of its tail."""
    missed = math.exp(-n)

    def share(t):
        return (tail(t, n, tau_rad) - missed) / (1.0 - missed)

    where = {"a": 0.0, "b": 60.0 * tau_rad, "limit": 500, "points": [tau_rad / n, tau_rad]}
    mean = integrate.quad(share, **where)[0]
    square = integrate.quad(lambda t: 2.0 * t * share(t), **where)[0]
    return mean, math.sqrt(square - mean * mean)


def sampled(n, tau_rad, count=20_000):
    address = part_key("n1->s1")
    return np.array([
        FAST.first_photon_delay(DRAW.uniform(SEED, address, k, EMISSION_TIME, 0), n, tau_rad) for k in range(count)
    ])  # fmt: skip


# ------------------------------------------------------------------------------------------------------- golden numbers


@pytest.mark.parametrize(("n", "missed"), [(5.0, 6.7e-3), (7.0, 9.1e-4), (10.0, 4.5e-5)])
def test_miss_probability(n, missed):
    """physics.md 4.4: 6.7e-3, 9.1e-4 and 4.5e-5 with 5, 7 and 10 detected photons on average."""
    assert miss_probability(n) == pytest.approx(missed, rel=0.01)
    # The kernel misses for exactly that share of the unit interval.
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        if first_photon_delay(middle, n, 1.0) < 0.0:
            low = middle
        else:
            high = middle
    assert high == pytest.approx(math.exp(-n), rel=1e-12)


def test_jitter_of_an_exponential_source():
    """physics.md 4.4: the earliest of exactly n photons is Exp(tau_rad/n): 0.20/0.14/0.10 ns (QD), 8/5.7/4 ns (EC).

    That is the limit of many photons. With a Poisson number of mean n the few pulses of little light come late, and the
    standard deviation is 1.8, 1.6 and 1.3 times as large at n = 5, 7 and 10 (computed by quadrature of the tail above).
    """
    for tau_rad, quoted in ((QD_TAU_RAD, (0.20, 0.14, 0.10)), (EC_TAU_RAD, (8.0, 5.7, 4.0))):
        for n, jitter, wider in zip((5.0, 7.0, 10.0), quoted, (1.785, 1.584, 1.337), strict=True):
            assert tau_rad / n == pytest.approx(jitter, rel=0.03)
            assert moments(n, tau_rad)[1] == pytest.approx(wider * tau_rad / n, rel=1e-3)
        mean, deviation = moments(1000.0, tau_rad)
        assert mean == pytest.approx(tau_rad / 1000.0, rel=3e-3)
        assert deviation == pytest.approx(tau_rad / 1000.0, rel=5e-3)


@pytest.mark.parametrize(("n", "quoted"), [(5, 0.20), (7, 0.14), (10, 0.10)])
def test_the_bulk_of_the_delays_has_the_quoted_width(n, quoted):
    """The early half of the delays is spread as Exp(tau_rad/n) to within 1/n: from the 10 % to the 50 % point."""
    early, half = (first_photon_delay(u, float(n), QD_TAU_RAD) for u in (0.9, 0.5))
    assert half - early == pytest.approx(quoted * math.log(0.9 / 0.5), rel=1.0 / n)


def test_sources():
    """physics.md 4.3: latency 5.6 and 5.3 ns, lifetime 1 and 40 ns."""
    assert source_constants("qd") == (QD_LATENCY, QD_TAU_RAD) == (5.6, 1.0)
    assert source_constants("ec") == (EC_LATENCY, EC_TAU_RAD) == (5.3, 40.0)
    with pytest.raises(KeyError):
        source_constants("led")


def test_detected_photons():
    assert mean_detected_photons(10.0, 0.0, 1.0) == 10.0
    assert mean_detected_photons(10.0, 10.0, 0.5) == pytest.approx(0.5, rel=1e-15)
    assert mean_detected_photons(1e4, 3.0, 0.9) == pytest.approx(1e4 * 10.0**-0.3 * 0.9, rel=1e-15)
    assert transmission(0.0) == 1.0


# ----------------------------------------------------------------------------------------------------------------- laws


@given(unit, means, lifetimes)
def test_the_delay_inverts_the_tail(u, n, tau_rad):
    t = first_photon_delay(u, n, tau_rad)
    if t < 0.0:
        assert t == -1.0
        assert u <= math.exp(-n) * (1.0 + 1e-12 * n)
    else:
        assert tail(t, n, tau_rad) == pytest.approx(u, rel=1e-12 + 4e-16 * n, abs=0.0)


@given(unit, unit, means)
def test_a_smaller_number_is_a_later_photon(a, b, n):
    early, late = (first_photon_delay(u, n, 1.0) for u in (max(a, b), min(a, b)))
    assert late < 0.0 or 0.0 <= early <= late


@given(unit, means, st.floats(1.0, 10.0))
def test_more_light_never_comes_later(u, n, brighter):
    dim, bright = first_photon_delay(u, n, 1.0), first_photon_delay(u, n * brighter, 1.0)
    assert dim < 0.0 or 0.0 <= bright <= dim * (1.0 + 1e-14) + 1e-15


@given(unit, means, lifetimes)
def test_the_lifetime_is_a_scale(u, n, tau_rad):
    t = first_photon_delay(u, n, 1.0)
    assert first_photon_delay(u, n, tau_rad) == (-1.0 if t < 0.0 else pytest.approx(tau_rad * t, rel=1e-15))


@given(st.floats(0.0, 1e6), st.floats(0.0, 60.0), st.floats(0.0, 60.0), st.floats(0.0, 1.0))
def test_losses_in_dB_add(photons, first, second, efficiency):
    whole = mean_detected_photons(photons, first + second, efficiency)
    parts = mean_detected_photons(photons, first, 1.0) * transmission(second) * efficiency
    assert whole == pytest.approx(parts, rel=1e-13)
    assert 0.0 <= whole <= photons * efficiency * (1.0 + 1e-15)


@pytest.mark.parametrize("n", [0.0, -1.0, math.nan])
def test_no_light_no_photon(n):
    assert first_photon_delay(0.999, n, 1.0) == -1.0


def test_light_without_end_is_detected_at_once():
    t = first_photon_delay(1.0 - 2.0**-53, 1e12, 1.0)
    assert t == 0.0 and math.copysign(1.0, t) == 1.0


# ------------------------------------------------------------------------------------------------------------- sampling


@pytest.mark.parametrize("n", [0.2, 1.0, 5.0, 10.0])
@pytest.mark.parametrize("source", ["qd", "ec"])
def test_sampled_delays_have_the_distribution(n, source):
    """Kolmogorov-Smirnov on the delays, and the binomial count of misses."""
    tau_rad = source_constants(source)[1]
    delays = sampled(n, tau_rad)
    missed, found = delays < 0.0, delays[delays >= 0.0]
    assert stats.binomtest(int(missed.sum()), delays.size, math.exp(-n)).pvalue > ALARM

    def distribution(t):
        return (1.0 - np.exp(n * np.expm1(-t / tau_rad))) / (1.0 - math.exp(-n))

    assert stats.kstest(found, distribution).pvalue > ALARM
    mean, deviation = moments(n, tau_rad)
    assert abs(found.mean() - mean) < stats.norm.isf(ALARM / 2) * deviation / math.sqrt(found.size)


@pytest.mark.parametrize("n", [1.0, 5.0])
def test_the_closed_form_equals_photon_by_photon(n):
    """Draw the number of photons, then the time of each, and take the earliest: the two ways must agree."""
    count, address = 6_000, part_key("n1->s1")
    earliest = []
    for k in range(count):
        photons = DRAW.poisson(SEED, address, k, PHOTON_NUMBER, 0, n)
        times = [DRAW.exponential(SEED, address, k, EMISSION_TIME, 1 + j) for j in range(photons)]
        earliest.append(min(times, default=-1.0))
    one_by_one, closed = np.array(earliest), sampled(n, 1.0, count)
    assert stats.ks_2samp(one_by_one[one_by_one >= 0.0], closed[closed >= 0.0]).pvalue > ALARM
    missed = [int((x < 0.0).sum()) for x in (one_by_one, closed)]
    table = [[m, count - m] for m in missed]
    assert stats.fisher_exact(table).pvalue > ALARM


# -------------------------------------------------------------------------------------------------------- the same bits


@settings(deadline=None)
@given(unit, st.floats(0.0, 1e4), lifetimes)
def test_compiled_copies_give_the_same_bits(u, n, tau_rad):
    assert FAST.first_photon_delay(u, n, tau_rad) == first_photon_delay(u, n, tau_rad)
    assert FAST.mean_detected_photons(n, tau_rad, u) == mean_detected_photons(n, tau_rad, u)
