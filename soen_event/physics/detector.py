"""The single-photon detector of a synapse: one number of state, the flux it drives into its dendrite.

The detector is a superconducting wire with bias I_spd and series inductance L_tot. A photon makes it resistive (r_1)
for the duration of its hotspot, and the current is diverted through r_2 into the primary of a transformer. The circuit
is linear in either state, so the flux relaxes exponentially and is continuous (physics.md 1.1, 1.2)::

    in the hotspot   phi(t) = phi_inf + (phi(t_k) - phi_inf) exp(-(t - t_k)/tau_rise)    tau_rise = L_tot/(r_1 + r_2)
    afterwards       phi(t) = phi(t_e) exp(-(t - t_e)/tau_fall)                          tau_fall = L_tot/r_2

with t_k the detection, t_e = t_k + hotspot and phi_inf = phi_peak (1 - tau_rise/tau_fall). Pulses saturate at phi_inf;
they do not add. A photon that arrives during a hotspot is lost.

Flux is in Phi0 and time in ns, or both times of a call in any one unit. The synapse's weight multiplies the flux later.
"""

from __future__ import annotations

from soen_event.physics.elementary import exp

__all__ = ["flux_after", "flux_in_hotspot", "pulse_level", "recovery", "single_photon"]


def pulse_level(phi_peak: float, tau_rise: float, tau_fall: float) -> float:
    """Return the flux (Phi0) at which a lasting hotspot would settle: phi_peak (1 - tau_rise/tau_fall).

    Arguments: ``phi_peak`` = M I_spd/Phi0, the flux if the whole bias were diverted; 0 < ``tau_rise`` < ``tau_fall``.
    The factor is the current divider r_1/(r_1 + r_2) (physics.md 1.1).
    """
    return phi_peak * (1.0 - tau_rise / tau_fall)


def flux_in_hotspot(phi0: float, phi_inf: float, tau_rise: float, dt: float) -> float:
    """Return the flux (Phi0) a time ``dt`` after a detection, while the hotspot lasts.

    Arguments: ``phi0`` the flux at the detection (exactly returned for ``dt`` = 0), ``phi_inf`` from
    :func:`pulse_level`, ``tau_rise`` > 0, ``dt`` >= 0. physics.md 1.2.
    """
    return phi0 + (phi_inf - phi0) * (1.0 - exp(-dt / tau_rise))


def flux_after(phi_at_end: float, tau_fall: float, dt: float) -> float:
    """Return the flux (Phi0) a time ``dt`` after the end of the hotspot, when no photon came since.

    Arguments: ``phi_at_end`` the flux at that end (exactly returned for ``dt`` = 0), ``tau_fall`` > 0, ``dt`` >= 0.
    physics.md 1.2.
    """
    return phi_at_end * exp(-dt / tau_fall)


def recovery(phi: float, phi_peak: float) -> float:
    """Return the fraction of the bias current that is back in the wire: 1 - phi/phi_peak, held within [0, 1].

    Arguments: ``phi`` the flux now and ``phi_peak``, both in Phi0 and before any weight. A detector that drives no flux
    (``phi_peak`` = 0) tells nothing of its current and counts as recovered. The probability of a detection follows
    this fraction (physics.md 1.2).
    """
    if phi_peak == 0.0:
        return 1.0
    fraction = 1.0 - phi / phi_peak
    if fraction < 0.0:
        return 0.0
    if fraction > 1.0:
        return 1.0
    return fraction


def single_photon(t: float, phi_peak: float, tau_rise: float, tau_fall: float, hotspot: float) -> float:
    """Return the flux (Phi0) at time ``t`` after one photon on a detector at rest; 0 before it.

    Arguments: ``t`` any float; ``phi_peak`` in Phi0; 0 < ``tau_rise`` < ``tau_fall`` and ``hotspot`` >= 0 in the unit
    of ``t``. The closed form of physics.md 1.1. Its maximum, at ``t`` = ``hotspot``, is below ``phi_peak``:
    0.4749 for 0.5 with 0.02, 50 and 0.06 ns.
    """
    if t <= 0.0:
        return 0.0
    phi_inf = pulse_level(phi_peak, tau_rise, tau_fall)
    if t <= hotspot:
        return flux_in_hotspot(0.0, phi_inf, tau_rise, t)
    return flux_after(flux_in_hotspot(0.0, phi_inf, tau_rise, hotspot), tau_fall, t - hotspot)
