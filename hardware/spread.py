"""Fabrication spread: a network as it was drawn becomes one of the chips that a process makes of it.

:func:`spread` draws a deviation for every junction, bias, inductor, resistor, transformer, detector and waveguide and
returns a new network. Every draw has the address (seed, id of the part, quantity), so a part's deviations do not change
when other parts are added, removed or reordered, or when the spread of another quantity is changed.

What a deviation does, with I_c (1 + x) the mean critical current of a loop's junctions, I_c that of the device, b the
relative error of the bias, l, r and m those of an inductor, a resistor and a transformer, t that of the threshold::

    ib         -> ib (1 + b)/(1 + x)
    threshold  -> threshold (1 + t)/(1 + x)
    J, of a coupling out of the loop (a refractory's too) -> J (1 + m)(1 + x)
    beta       -> beta (1 + l)                          tau -> tau (1 + l)/(1 + r)
    weight     -> weight (1 + m)                        phi_peak -> phi_peak (1 + b)     (a detector's own b and m)
    tau_rise   -> tau_rise (1 + l)                      tau_fall -> tau_fall (1 + l)/(1 + r)

From then on the current s of a loop is in units of *its own* mean critical current, because its equation keeps its form
in these units alone (physics.md 2.1): with the shunt resistors unchanged, omega_c grows by 1 + x and so does beta, and
in ds/dt = (omega_c/beta) g(phi, ib - s) - s/tau the two cancel. That is why beta does not follow I_c. What is neglected:
the size of one quantum (too large by x, fluxons too few by x, while currents are right), and that the arms of the SQUID
have beta_1 (1 + x) too: at x = 0.026 the threshold flux is off by a further 0.0014 Phi0 at ib = 1.74, and s_max by
0.014 (dI/dbeta_1 = 0.069 and 0.346 on the static fold at a flux of 0.2 and 1/2). Collection loops keep their circuit
values: what their spread does is part of m, and how loops load each other through one is off by 2 x of itself.

The two junctions of a SQUID differ: with (1 + x)(1 + y) and (1 + x)(1 - y) its whole characteristic moves by c y in
flux, c = b (s_1 + s_2)/2 pi - (s_1 - s_2)/I'(phi) from the fold's phases (s = sin delta). c is 0.50 without flux, 0.54
at 0.2 and 0.63 at 1/2; it is taken at the loop's threshold and subtracted from ``phi_offset``. Of an RTTI dendrite only
the mean over its four junctions is used, on its nominal bias.

A soma that cannot reach its threshold any more is a dead neuron, not an error: ``Network.validate`` lists them.

Dark counts and jitter act on what goes in, not on the network: :func:`dark_counts`, :func:`jitter`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soen_event.errors import InputError, nearest
from soen_event.parts import RI_BIAS, RTTI_BIAS, shown
from soen_event.physics.random import DARK_COUNT, JITTER, SPREAD, checked_seed, exponential, normal, part_key
from soen_event.units import is_number

if TYPE_CHECKING:
    from soen_event.device import Device
    from soen_event.network import Network
    from soen_event.parts import Coupling, Neuron, Synapse, Waveguide
    from soen_event.stimulus import Stimulus

__all__ = ["DARK_RATE_HZ", "FWHM", "JITTER_FWHM_PS", "Spread", "dark_counts", "jitter", "spread"]

FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a normal distribution over its standard deviation: 2.355."""
JITTER_FWHM_PS = {"WSi": 150.0, "MoSi": 76.0, "MoSi optimised": 26.0, "NbTiN": 14.8}
"""Published jitter of detectors, ps FWHM (physics.md 1.3: arXiv 1209.5774, 1504.02793, 1710.06740, 1611.02726)."""
DARK_RATE_HZ = {"WSi": 0.01, "MoSi UV": 0.25 / 3600.0, "NbTiN": 130.0}
"""Published dark counts per second (physics.md 1.3: arXiv 1209.5774, 1708.04231, 1611.02726, of which the last is that
of a whole system, an upper bound)."""

# What is drawn for a part, in the address of the draw. A number that was given out once keeps its meaning.
_JUNCTION = (0, 1, 2, 3)
_BIAS, _INDUCTANCE, _RESISTANCE, _MUTUAL, _THRESHOLD, _FLUX, _EFFICIENCY, _LOSS, _PHOTONS = range(4, 13)
_ATTEMPT_BITS = 16  # of the 24 bits of a draw's number; a deviation beyond the truncation is drawn anew

_RELATIVE = ("critical_current", "bias", "inductance", "resistance", "mutual", "threshold", "photons")
_ABSOLUTE = ("stray_flux", "efficiency", "path_loss_db")
_MOST_PHOTONS = 1e8


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviations of what a process makes, normal and cut off at ``truncate`` of them; the published figures.

    Relative ones (a share of the value, 0 or more, and ``truncate`` times it below 1):

        critical_current: of a junction, 0.026: 1 sigma over 1024 Nb/NbSi/Nb junctions of a die (physics.md 6). Junctions
            are drawn independently, so the mean of a SQUID's two varies by 0.026/sqrt(2); neighbours on a die are more
            alike than that, so their difference is an upper bound.
        bias: of a bias current, of loops and of detectors, 0.01 (physics.md 6, the worked case of its "bias-current
            error", which is an assumption, not a measurement).
        inductance: of a loop's or a detector's inductor, 0.03 (physics.md 6, "few %", from memory there).
        resistance: of the resistor that sets tau, 0: physics.md has no figure.
        mutual: of a transformer, so of J and of a synapse's weight, 0.03 (physics.md 6, as for inductance).
        threshold: of a soma's threshold current, 0.026: the threshold is a junction (physics.md 4.3), which spreads like
            one.
        photons: of a transmitter's mean photon number, 0: physics.md has no figure.

    Absolute ones (0 or more):

        stray_flux: static flux in every loop (Phi0), 0: a shielded chip with moats. Without them it can be 0.1 or more
            (physics.md 6, from memory there); see :meth:`published`.
        efficiency: of a detector's efficiency, 0.005 (physics.md 1.3: 87 +- 0.5 %, arXiv 1504.02793, which is the
            uncertainty of one detector; no spread over many was found). The result is kept in [0, 1].
        path_loss_db: of a waveguide's loss (dB), 0: physics.md has no figure. The result is kept at 0 or above.

    And:

        detection: factor on every detector's efficiency, 0 to 1; 0.9 (physics.md 1.3, suggested for SOEN synapses). Set 1
            if the network declares the efficiencies of its detectors already.
        truncate: no deviation is beyond this many standard deviations, 1 to 8; 4. It narrows the distribution by 0.05 %.

    Raises:
        InputError: with every field that is out of its range.
    """

    critical_current: float = 0.026
    bias: float = 0.01
    inductance: float = 0.03
    resistance: float = 0.0
    mutual: float = 0.03
    threshold: float = 0.026
    photons: float = 0.0
    stray_flux: float = 0.0
    efficiency: float = 0.005
    path_loss_db: float = 0.0
    detection: float = 0.9
    truncate: float = 4.0

    def __post_init__(self) -> None:
        faults = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not is_number(value):
                faults.append(f"Spread.{field.name}: {shown(value)} is not a finite number; give one")
            else:
                object.__setattr__(self, field.name, float(value))
        if not faults:
            faults = self._range_faults()
        if faults:
            raise InputError(faults)

    def _range_faults(self) -> list[str]:
        if not 1.0 <= self.truncate <= 8.0:
            return [f"Spread.truncate: {self.truncate:g} standard deviations is outside 1 to 8; give for example 4"]
        faults = []
        if not 0.0 <= self.detection <= 1.0:
            faults.append(f"Spread.detection: {self.detection:g} is no probability; give a factor from 0 to 1")
        for name in (*_RELATIVE, *_ABSOLUTE):
            value = getattr(self, name)
            if value < 0.0:
                faults.append(f"Spread.{name}: {value:g} is below 0; give a standard deviation, 0 or more")
            elif name in _RELATIVE and value * self.truncate >= 1.0:
                reason = f"{value:g} times truncate = {self.truncate:g} reaches 1, so a value could become negative"
                faults.append(f"Spread.{name}: {reason}; lower one of them")
        return faults

    @classmethod
    def none(cls) -> Spread:
        """A perfect process: nothing deviates."""
        return cls(**dict.fromkeys((*_RELATIVE, *_ABSOLUTE), 0.0), detection=1.0)

    @classmethod
    def published(cls, shielded: bool = True) -> Spread:
        """The figures of physics.md 6 and 1.3, which are the defaults; not ``shielded``: with 0.1 Phi0 of stray flux."""
        return cls() if shielded else cls(stray_flux=0.1)

    @classmethod
    def only(cls, **fields: float) -> Spread:
        """Just the given fields; nothing else deviates. ``Spread.only(bias=0.02)``."""
        known = [field.name for field in dataclasses.fields(cls)]
        faults = [
            f"Spread.{name}: there is no such field{nearest(name, known)}; give some of {', '.join(known)}"
            for name in fields
            if name not in known
        ]
        if faults:
            raise InputError(faults)
        return dataclasses.replace(cls.none(), **fields)


def spread(network: Network, how: Spread, seed: int, *, out_of_range: str = "error") -> Network:
    """Return one chip made of ``network``: the same parts, each a little different (see the head of this file).

    Args:
        network: a Network; it is not changed. A refractory coupling "auto" is worked out before anything deviates, and a
            refractory bias that follows the soma's gets a value of its own: a chip does not adapt.
        how: the standard deviations.
        seed: 0 to 2**63 - 1: which chip.
        out_of_range: a bias that leaves the range for which there are source functions (ri 0 to 3, rtti 1.50 to 2.65
            nominal) is an error ("error") or is set to the nearest value inside ("clip"). The truncation bounds how far it
            can go.

    Raises:
        InputError: an argument is out of its range, or, with every one of them, a part that deviates beyond its bounds.
    """
    from soen_event.network import Network

    faults = []
    if not isinstance(network, Network):
        faults.append(f"spread.network: {shown(network)} is no Network; the copies of a cell cannot differ, build them")
    if not isinstance(how, Spread):
        faults.append(f"spread.how: {shown(how)} is no Spread; give for example Spread.published()")
    if out_of_range not in ("error", "clip"):
        faults.append(f"spread.out_of_range: {shown(out_of_range)} is not known; give 'error' or 'clip'")
    if faults:
        raise InputError(faults)
    return _Chip(network, how, checked_seed(seed), out_of_range == "clip").network


class _Chip:
    """Builds one chip: walks over the parts, collects faults, and raises them together."""

    def __init__(self, drawn: Network, how: Spread, seed: int, clip: bool):
        self.how, self.seed, self.clip, self.device = how, seed, clip, drawn.device
        self.faults: list[str] = []
        self.excess: dict[str, float] = {}  # 1 + x of every loop that a coupling can come from
        self.network = drawn.copy()
        for name, dendrite in drawn.dendrites.items():
            self._replace(name, self._loop(name, name, dendrite, dendrite.ib))
        for name, neuron in drawn.neurons.items():
            self._replace(name, self._neuron(drawn, name, neuron))
        for name, synapse in drawn.synapses.items():
            self._replace(name, self._synapse(name, synapse))
        for coupling in drawn.couplings:
            name = drawn.key(coupling)
            self._replace(name, self._coupling(name, coupling))
        for guide in drawn.waveguides:
            name = drawn.key(guide)
            self._replace(name, self._waveguide(name, guide))
        if self.faults:
            raise InputError(self.faults)

    def _replace(self, name: str, changes: Mapping[str, Any]) -> None:
        if not changes:
            return
        try:
            self.network.replace(name, **changes)
        except InputError as error:
            self.faults += [f"spread: {fault}" for fault in error.faults]

    def _deviation(self, part: str, quantity: int, sigma: float) -> float:
        """A normal deviate of standard deviation ``sigma``, drawn again while it is beyond the truncation."""
        return sigma * _truncated(self.seed, part_key(part), 0, SPREAD, quantity, self.how.truncate) if sigma else 0.0

    def _loop(self, name: str, part: str, loop: Any, ib: float) -> dict[str, Any]:
        """Changed fields of a loop called ``name`` inside the part called ``part``; notes its excess."""
        kind = getattr(loop, "kind", "ri")
        sigma = self.how.critical_current
        draws = [self._deviation(name, k, sigma) for k in _JUNCTION[: 4 if kind == "rtti" else 2]]
        mean = math.fsum(draws) / len(draws)
        self.excess[name] = 1.0 + mean
        changes = self._inductor_and_resistor(name, loop)
        bias = 1.0 + self._deviation(name, _BIAS, self.how.bias)
        if bias != self.excess[name]:
            changes["ib"] = self._bias_in_range(ib * bias / self.excess[name], kind, part)
        flux = self._deviation(name, _FLUX, self.how.stray_flux)
        if kind == "ri" and sigma:
            half = 0.5 * (draws[0] - draws[1]) / self.excess[name]
            flux -= half * _flux_per_difference(self.device, ib)
        if flux:
            changes["phi_offset"] = loop.phi_offset + flux
        return changes

    def _inductor_and_resistor(self, name: str, loop: Any) -> dict[str, Any]:
        """What was declared (inductance or beta, resistance or tau) with its deviations."""
        inductor = 1.0 + self._deviation(name, _INDUCTANCE, self.how.inductance)
        resistor = 1.0 + self._deviation(name, _RESISTANCE, self.how.resistance)
        changes: dict[str, Any] = {}
        if inductor != 1.0:
            field = "beta_over_2pi" if loop.inductance is None else "inductance"
            changes[field] = float(getattr(loop, field)) * inductor
        if loop.resistance is not None and resistor != 1.0:
            changes["resistance"] = loop.resistance * resistor  # tau follows from both
        elif loop.resistance is None and inductor != resistor:
            changes["tau"] = float(loop.tau) * inductor / resistor
        return changes

    def _bias_in_range(self, ib: float, kind: str, part: str) -> float:
        low, high = RTTI_BIAS if kind == "rtti" else RI_BIAS
        if low <= ib <= high:
            return ib
        if not self.clip:
            reason = f"{ib:.6g} has left the range {low:g} to {high:g} of kind {kind!r}"
            remedy = "lower the spread or its truncation, choose a nominal bias further inside, or out_of_range='clip'"
            self.faults.append(f"spread.ib: {reason}; {remedy} (part {part})")
        return min(max(ib, low), high)

    def _neuron(self, drawn: Network, name: str, neuron: Neuron) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        soma = self._loop(f"{name}.soma", name, neuron.soma, neuron.soma.ib)
        excess = self.excess[name] = self.excess[f"{name}.soma"]
        threshold = 1.0 + self._deviation(f"{name}.soma", _THRESHOLD, self.how.threshold)
        if threshold != excess:
            soma["threshold"] = neuron.soma.threshold * threshold / excess
        if soma:
            changes["soma"] = soma
        if neuron.refractory is not None:
            refractory = self._refractory(drawn, name, neuron)
            if soma or refractory:
                refractory.setdefault("J", drawn.refractory_coupling(name))
                refractory.setdefault("ib", _refractory_bias(neuron))
                changes["refractory"] = refractory
        if neuron.transmitter is not None:
            deviation = self._deviation(name, _PHOTONS, self.how.photons)
            if deviation:
                changes["transmitter"] = {"photons": neuron.transmitter.photons * (1.0 + deviation)}
        return changes

    def _refractory(self, drawn: Network, name: str, neuron: Neuron) -> dict[str, Any]:
        inner = f"{name}.refractory"
        refractory: Any = neuron.refractory
        changes = self._loop(inner, name, refractory, _refractory_bias(neuron))
        factor = self._mutual(inner) * self.excess[inner]
        if factor != 1.0:
            changes["J"] = drawn.refractory_coupling(name) * factor
        return {**changes, **self._pulse(f"{inner}.synapse", refractory)}

    def _mutual(self, name: str) -> float:
        return 1.0 + self._deviation(name, _MUTUAL, self.how.mutual)

    def _pulse(self, name: str, detector: Any) -> dict[str, Any]:
        """Height and time constants of a detector's pulse: its bias, its inductance and its series resistor."""
        changes = {}
        bias = 1.0 + self._deviation(name, _BIAS, self.how.bias)
        inductor = 1.0 + self._deviation(name, _INDUCTANCE, self.how.inductance)
        resistor = 1.0 + self._deviation(name, _RESISTANCE, self.how.resistance)
        if bias != 1.0:
            changes["phi_peak"] = detector.phi_peak * bias
        if inductor != 1.0:
            changes["tau_rise"] = detector.tau_rise * inductor
        if inductor != resistor:
            changes["tau_fall"] = detector.tau_fall * inductor / resistor
        return changes

    def _synapse(self, name: str, synapse: Synapse) -> dict[str, Any]:
        changes = self._pulse(name, synapse)
        mutual = self._mutual(name)
        if mutual != 1.0:
            changes["weight"] = synapse.weight * mutual
        deviation = self._deviation(name, _EFFICIENCY, self.how.efficiency)
        if deviation or self.how.detection != 1.0:
            changes["efficiency"] = min(max(synapse.efficiency * self.how.detection + deviation, 0.0), 1.0)
        return changes

    def _coupling(self, name: str, coupling: Coupling) -> dict[str, Any]:
        """Of a declared mutual inductance: the one that gives the new J with the device's critical current."""
        factor = self._mutual(name) * self.excess.get(coupling.source, 1.0)
        field = "J" if coupling.mutual is None else "mutual"
        return {} if factor == 1.0 else {field: float(getattr(coupling, field)) * factor}

    def _waveguide(self, name: str, guide: Waveguide) -> dict[str, Any]:
        deviation = self._deviation(name, _LOSS, self.how.path_loss_db)
        return {"loss_db": max(guide.loss_db + deviation, 0.0)} if deviation else {}


def _refractory_bias(neuron: Neuron) -> float:
    refractory: Any = neuron.refractory
    return float(neuron.soma.ib if refractory.ib is None else refractory.ib)


def _flux_per_difference(device: Device, ib: float) -> float:
    """How far (Phi0) the characteristic moves per half relative difference of the two junctions, at the threshold of ``ib``.

    First order in the difference, on the static fold (physics.md 2.2 b): dI/dy = (s_1 - s_2) - I' b (s_1 + s_2)/2 pi, and
    a shift is -dI/I'. Where no flux is a threshold (ib >= 2, or below the lowest critical current): at the nearest end.
    """
    from soen_event.network import _inverse_critical_current
    from soen_event.physics.squid import static_fold

    b = 0.5 * (device.beta_1 + device.beta_2)
    phi = _inverse_critical_current(ib, b)
    if phi < 1e-4:
        return b / math.pi  # the limit: both junctions at pi/2
    fold = static_fold(min(phi, 0.4999), b)
    s_1, s_2 = math.sin(float(fold["d1"])), math.sin(float(fold["d2"]))
    return b * (s_1 + s_2) / (2.0 * math.pi) - (s_1 - s_2) / float(fold["slope"])


def _truncated(seed: int, key: int, ordinal: int, purpose: int, quantity: int, truncate: float) -> float:
    """A standard normal deviate within +-``truncate``, by rejection, so that no bit depends on the platform's erf."""
    for attempt in range(1 << _ATTEMPT_BITS):
        z = normal(seed, key, ordinal, purpose, (quantity << _ATTEMPT_BITS) + attempt)
        if abs(z) <= truncate:
            return z
    raise AssertionError("65536 draws beyond one standard deviation")  # of probability 0.32 each


# ---------------------------------------------------------------------------------------------- what goes in


def dark_counts(network: Network, rate_hz: float | Mapping[str, float], duration: float, seed: int) -> Stimulus:
    """Photons whose detections are the dark counts of the network's detectors; add them: ``photons + dark_counts(...)``.

    A detector of efficiency eta gets rate_hz/eta photons per second, so that it counts rate_hz; one of efficiency 0 counts
    nothing. While it recovers it counts less, as a detector does. Intervals are exponential; the k-th of a synapse has the
    address (seed, id, k), so a longer duration only adds photons at its end.

    Args:
        network: a Network, after :func:`spread` if efficiencies deviate.
        rate_hz: dark counts per second, 0 or more: one number, or by synapse id (others count nothing). Published figures:
            :data:`DARK_RATE_HZ`; 0 to 1 Hz is nothing in a run of microseconds.
        duration: ns, above 0; photons lie in [0, duration).
        seed: 0 to 2**63 - 1.

    Raises:
        InputError: an argument out of its range, an unknown synapse, or more than 1e8 photons are expected.
    """
    from soen_event.network import Network
    from soen_event.stimulus import Stimulus

    if not isinstance(network, Network):
        raise InputError(f"dark_counts.network: {shown(network)} is no Network; give one")
    seed = checked_seed(seed)
    synapses = network.synapses
    if not is_number(duration) or not 0.0 < duration < 4e12:
        raise InputError(f"dark_counts.duration: {shown(duration)} is no time; give ns, above 0 and below 4e12")
    rates = _rates(rate_hz, synapses)
    per_ns = {
        name: 1e-9 * rate / synapses[name].efficiency
        for name, rate in rates.items()
        if rate > 0.0 and synapses[name].efficiency > 0.0
    }
    expected = math.fsum(per_ns.values()) * duration
    if expected > _MOST_PHOTONS:
        reason = f"{expected:.3g} photons are expected in {duration:g} ns"
        raise InputError(
            f"dark_counts.rate_hz: {reason}, more than {_MOST_PHOTONS:g}; give a rate per second, not per ns"
        )
    return Stimulus({name: _arrivals(seed, part_key(name), rate, duration) for name, rate in per_ns.items()})


def _rates(rate_hz: Any, synapses: Mapping[str, Any]) -> dict[str, float]:
    rates = dict(rate_hz) if isinstance(rate_hz, Mapping) else dict.fromkeys(synapses, rate_hz)
    faults = []
    if not isinstance(rate_hz, Mapping) and not (is_number(rate_hz) and rate_hz >= 0.0):
        raise InputError(f"dark_counts.rate_hz: {shown(rate_hz)} is no rate; give counts per second, 0 or more")
    for name, rate in rates.items():
        if name not in synapses:
            faults.append(f"dark_counts.rate_hz: there is no synapse {name!r}{nearest(str(name), synapses)}")
        elif not (is_number(rate) and rate >= 0.0):
            faults.append(f"dark_counts.rate_hz[{name!r}]: {shown(rate)} is no rate; give counts per second, 0 or more")
    if faults:
        raise InputError(faults)
    return {name: float(rate) for name, rate in rates.items()}


def _arrivals(seed: int, key: int, per_ns: float, duration: float) -> list[float]:
    times: list[float] = []
    t = exponential(seed, key, 0, DARK_COUNT, 0) / per_ns
    while t < duration:
        times.append(t)
        t += exponential(seed, key, len(times), DARK_COUNT, 0) / per_ns
    return times


def jitter(stimulus: Any, sigma_ps: float, seed: int, *, truncate: float = 4.0) -> Stimulus:
    """Return the stimulus with every photon moved by the jitter of its detector; flux drives stay.

    The deviation of the k-th photon of a synapse has the address (seed, id, k). A photon that would come before 0 comes at
    0, and each train is sorted again. Photons that travel inside the network are the transmitters' and do not move.

    Args:
        stimulus: a Stimulus, or what ``Stimulus.coerce`` takes; by synapse id, not by position.
        sigma_ps: standard deviation, ps, 0 or more: the FWHM over 2.355, ``JITTER_FWHM_PS["MoSi"] / FWHM`` = 32.3;
            physics.md 1.3 suggests 30 to 60.
        seed: 0 to 2**63 - 1.
        truncate: no deviation is beyond this many standard deviations, 1 to 8.

    Raises:
        InputError: an argument out of its range, or trains by position.
    """
    from soen_event.stimulus import Stimulus

    stimulus = Stimulus.coerce(stimulus)
    seed = checked_seed(seed)
    faults = []
    if not (is_number(sigma_ps) and 0.0 <= sigma_ps <= 1e9):
        faults.append(f"jitter.sigma_ps: {shown(sigma_ps)} is no width; give ps, 0 to 1e9")
    if not (is_number(truncate) and 1.0 <= truncate <= 8.0):
        faults.append(f"jitter.truncate: {shown(truncate)} standard deviations is outside 1 to 8; give for example 4")
    positions = [key for key in stimulus.synapses if isinstance(key, int)]
    if positions:
        faults.append(
            f"jitter.stimulus: trains by position such as {positions[0]} have no id to draw by; relabel them with "
            "Stimulus.relabel and Network.ids('synapse')"
        )
    if faults:
        raise InputError(faults)
    if sigma_ps == 0.0:
        return stimulus
    trains = {}
    for name, train in stimulus.photons.items():
        key = part_key(str(name))
        moved = [
            max(t + 1e-3 * sigma_ps * _truncated(seed, key, k, JITTER, 0, truncate), 0.0)
            for k, t in enumerate(train.tolist())
        ]
        trains[name] = sorted(moved)
    return Stimulus(trains, stimulus.drives)
