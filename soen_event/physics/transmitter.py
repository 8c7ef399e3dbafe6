"""Emission statistics of a transmitter: when the first detected photon of a spike's light leaves its source.

A spike switches the light on after an electrical latency; then the photons leave one by one with an (almost)
exponential law F(t) = 1 - exp(-t/tau_rad) (physics.md 4.3). Their number is Poisson; splitting, loss and a detector
that misses some thin it and leave it Poisson. So what one detector detects is a Poisson process of rate n F'(t), with n
the mean number of detected photons, and the first of them triggers (physics.md 4.4)::

    P(first later than t) = exp(-n F(t))          P(none at all) = exp(-n)

Times are in ns; the kernels take any one unit.
"""

from __future__ import annotations

from soen_event.physics.elementary import exp, log

__all__ = [
    "EC_LATENCY",
    "EC_TAU_RAD",
    "QD_LATENCY",
    "QD_TAU_RAD",
    "first_photon_delay",
    "mean_detected_photons",
    "miss_probability",
    "source_constants",
    "transmission",
]

QD_LATENCY = 5.6
"""Latency of a quantum-dot (III-V) transmitter, ns."""
QD_TAU_RAD = 1.0
"""Radiative lifetime of quantum dots, ns."""
EC_LATENCY = 5.3
"""Latency of a transmitter with emissive centres in silicon, ns."""
EC_TAU_RAD = 40.0
"""Radiative lifetime of emissive centres, ns."""

_SOURCES = {"qd": (QD_LATENCY, QD_TAU_RAD), "ec": (EC_LATENCY, EC_TAU_RAD)}

_LN10_OVER_10 = 0.23025850929940458


def source_constants(source: str) -> tuple[float, float]:
    """Return (latency, radiative lifetime), both in ns, of the source ``"qd"`` or ``"ec"``.

    Raises ``KeyError`` for another name. Values: the compact model of physics.md 4.3. Not a kernel.
    """
    return _SOURCES[source]


def transmission(loss_db: float) -> float:
    """Return the fraction of the light that passes a loss of ``loss_db`` (dB, at least 0): 10^(-loss_db/10)."""
    return exp(-_LN10_OVER_10 * loss_db)


def mean_detected_photons(photons: float, loss_db: float, efficiency: float) -> float:
    """Return the mean number n of photons that a detector would detect of one spike's light.

    Arguments: ``photons`` at least 0, mean number put into this detector's waveguide; ``loss_db`` at least 0, loss of
    the waveguide in dB; ``efficiency`` in [0, 1] of the detector. physics.md 4.4: n = eta N_ph p.
    """
    return photons * transmission(loss_db) * efficiency


def miss_probability(mean_detected: float) -> float:
    """Return the probability exp(-n) that no photon is detected, ``mean_detected`` = n at least 0. physics.md 4.4."""
    return exp(-mean_detected)


def first_photon_delay(u: float, mean_detected: float, tau_rad: float) -> float:
    """Return the delay from the start of the light to the first detected photon; -1.0 if none is detected.

    Arguments: ``u`` uniform in (0, 1); ``mean_detected`` = n at least 0; ``tau_rad`` above 0, in the result's unit.
    Inversion of the tail: u = P(first later than t) = exp(-n (1 - exp(-t/tau_rad))) has the solution
    t = -tau_rad log(1 + log(u)/n). None exists if u <= exp(-n), which has just the probability that no photon comes.
    A smaller u is a later photon. The result is 0 or more, or exactly -1.0. physics.md 4.4.
    """
    if not mean_detected > 0.0:
        return -1.0
    remaining = 1.0 + log(u) / mean_detected  # exp(-t/tau_rad): the share of the light still to come
    if remaining <= 0.0:
        return -1.0
    return 0.0 - tau_rad * log(remaining)  # not -tau_rad * ...: light that is detected at once comes at 0.0, not -0.0
