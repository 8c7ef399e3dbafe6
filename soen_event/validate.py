"""The physics checks behind ``soen validate``: this installation against published and circuit-level numbers.

Every number that is expected here was copied from the source that its section names (``physics.md``: the project's
physics notes, whose tables were computed from the junction equations or read from published data). Whatever can be
seen in a run is measured in a run of :func:`soen_event.simulate`.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from soen_event.network import Network
    from soen_event.recording import Recording

__all__ = ["Check", "checks", "table"]


@dataclass(frozen=True)
class Check:
    """One comparison.

    ``section`` and ``source``: what is checked, and where the expected number comes from; ``name``: the case;
    ``quantity``: what was measured in it; ``measured``, ``expected``: numbers in ``unit``, or text where equality to
    the bit is asked for; ``tolerance``: largest difference (a share of ``expected`` if ``relative``); ``ok``: verdict.
    """

    section: str
    source: str
    name: str
    quantity: str
    measured: float | str
    expected: float | str
    tolerance: float | None
    relative: bool
    unit: str
    ok: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; numbers that are not finite become text."""
        return {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }


def checks(full: bool = False) -> Iterator[Check]:
    """Run the checks one after another.

    Args:
        full: also the long ones: the source function against the junction equations, another device, the table of one
            photon in the reference engine, and larger networks in both engines.
    """
    sections: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("The default junction", _device),
        ("The SQUID at rest", _static),
        ("Rate of fluxons", lambda: _source_function(full)),
        ("The RTTI dendrite", _rtti),
        ("Single-photon detector", _detector),
        ("One photon into a dendrite", lambda: _one_photon(full)),
        ("Spikes of a default neuron", lambda: _neuron(full)),
        ("Arithmetic", _arithmetic),
        ("Energy", _energy),
        ("Engines", lambda: _engines(full)),
    )
    for title, found in sections:
        try:
            yield from found()
        except Exception as trouble:  # the other sections still tell something
            told = f"{type(trouble).__name__}: {' '.join(str(trouble).split())}"
            yield Check(title, "has to run to its end", "stopped", "failure", told, "none", None, False, "", False)


class _Section:
    """Makes the checks of one section."""

    def __init__(self, title: str, source: str):
        self.title, self.source = title, source

    def near(
        self,
        name: str,
        quantity: str,
        measured: float,
        expected: float,
        tolerance: float,
        unit: str = "",
        relative: bool = False,
    ) -> Check:
        """A number within a tolerance; a number that is not finite fails."""
        bound = tolerance * abs(expected) if relative else tolerance
        ok = bool(abs(measured - expected) <= bound * (1.0 + 1e-12))
        return Check(
            self.title, self.source, name, quantity, float(measured), float(expected), tolerance, relative, unit, ok
        )

    def worst(
        self,
        name: str,
        measured: Iterable[float],
        expected: Iterable[float],
        tolerance: float,
        unit: str = "",
        relative: bool = False,
    ) -> Check:
        """The largest difference of many numbers."""
        got, wanted = np.array(list(measured), dtype=float), np.array(list(expected), dtype=float)
        difference = np.abs(got - wanted) / (np.abs(wanted) if relative else 1.0)
        quantity = f"largest {'relative ' if relative else ''}difference of {got.size}"
        return self.near(name, quantity, float(difference.max()), 0.0, tolerance, "" if relative else unit)

    def same(self, name: str, quantity: str, measured: str, expected: str) -> Check:
        """Equality to the bit."""
        equal = measured == expected
        return Check(self.title, self.source, name, quantity, measured, expected, None, False, "", equal)


# ---------------------------------------------------------------------------------------------- device and SQUID


def _device() -> Iterator[Check]:
    from soen_event.device import Device

    section = _Section("The default junction", "physics.md 0.3")
    device = Device()
    for quantity, measured, expected, unit in (
        ("shunt resistance", device.r_j, 2.56556, "Ohm"),
        ("characteristic voltage", 1e6 * device.Ic * device.r_j, 256.556, "uV"),
        ("characteristic frequency", 1.0 / device.tau_0_ns, 779.556, "rad/ns"),
        ("time unit tau_0", 1e3 * device.tau_0_ns, 1.28278, "ps"),
    ):
        yield section.near("Ic 100 uA, beta_c 0.3", quantity, measured, expected, 3e-6, unit, relative=True)


# physics.md 2.2: critical current of the SQUID at phi = 0, 0.025 ... 0.5 (beta_1 = beta_2 = pi/2).
_CRITICAL = (
    2.0000, 1.9939, 1.9767, 1.9503, 1.9168, 1.8780, 1.8348, 1.7883, 1.7391, 1.6877, 1.6343, 1.5795, 1.5233, 1.4660,
    1.4079, 1.3490, 1.2894, 1.2293, 1.1689, 1.1081, 1.0472,
)  # fmt: skip
# physics.md 2.2: 15 biases 1.3523958588 + 0.05 k, threshold flux (below ib = 2) and largest current in closed form.
_LOWEST_BIAS = 1.352395858835221
_THRESHOLD = (.3735, .3523, .3309, .3092, .2871, .2646, .2416, .2179, .1934, .1676, .1401, .1097, .0732)  # fmt: skip
_LARGEST = (
    .3052, .3552, .4052, .4552, .5052, .5552, .6052, .6552, .7052, .7552, .8052, .8552, .9052, .9552, 1.0052,
)  # fmt: skip
# physics.md 4.2: (ib, threshold, coupling of the refractory dendrite to the soma).
_REFRACTORY = (
    (9, .10, -.5105), (9, .25, -.6021), (9, .50, -.7444), (7, .10, -.7365), (7, .25, -.8376), (7, .50, -.9983),
    (3, .10, -1.453), (3, .25, -1.592),
)  # fmt: skip


def _static() -> Iterator[Check]:
    from soen_event.device import Device
    from soen_event.network import auto_refractory_coupling
    from soen_event.parts import Refractory, Soma
    from soen_event.physics.squid import critical_current

    section = _Section("The SQUID at rest", "physics.md 2.2 and 4.2")
    phi = np.linspace(0.0, 0.5, 20001)
    current = critical_current(phi)
    yield section.worst("critical current against flux", current[::1000], _CRITICAL, 6e-5, "I_c")
    biases = _LOWEST_BIAS + 0.05 * np.arange(15)
    found = np.interp(-biases[: len(_THRESHOLD)], -current, phi)
    yield section.worst("threshold flux at 13 biases", found, _THRESHOLD, 6e-5, "Phi0")
    yield section.worst("largest current at 15 biases", biases - float(critical_current(0.5)), _LARGEST, 6e-5, "I_c")
    for k, threshold, expected in _REFRACTORY:
        soma = Soma(ib=float(biases[k]), threshold=threshold)
        coupling = auto_refractory_coupling(Device(), soma, Refractory())
        name = f"refractory J, ib {biases[k]:.4f}, s_th {threshold:g}"
        yield section.near(name, "coupling", coupling, expected, 6e-5 if abs(expected) < 1.0 else 6e-4, "Phi0")


# physics.md 2.4: rows i, columns phi = 0, .05 ... .5 of the published table.
_SOURCE_ROWS = {
    1.105: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, .129),
    1.260: (0, 0, 0, 0, 0, 0, 0, 0, 0, .220, .259),
    1.415: (0, 0, 0, 0, 0, 0, 0, .082, .278, .337, .354),
    1.570: (0, 0, 0, 0, 0, 0, .199, .330, .394, .427, .437),
    1.725: (0, 0, 0, 0, 0, .277, .382, .446, .486, .508, .515),
    1.880: (0, 0, 0, .210, .350, .437, .497, .540, .568, .585, .590),
    2.035: (.191, .246, .342, .428, .498, .553, .595, .626, .647, .660, .664),
    2.190: (.461, .480, .523, .571, .616, .654, .685, .708, .724, .734, .737),
    2.345: (.636, .644, .665, .694, .723, .749, .772, .789, .802, .809, .812),
    2.500: (.781, .783, .792, .807, .825, .843, .858, .871, .880, .886, .887),
}  # fmt: skip


def _source_function(full: bool) -> Iterator[Check]:
    from soen_event.device import Device
    from soen_event.physics import source

    section = _Section("Rate of fluxons against flux and current", "physics.md 2.4, published table of 3 digits")
    sources = source.stack([source.ri_table(Device())])
    for i, row in _SOURCE_ROWS.items():
        rates = [source.source(sources, 0, 0.05 * k, i)[0] for k in range(11)]
        yield section.worst(f"rate at i = {i:.3f}", rates, row, 1e-3)
    if not full:
        return
    section = _Section("Rate of fluxons, integrated from the junction equations here", "circuit.md 2")
    for label, device in (("default", Device()), ("beta_c 0.95", Device(beta_c=0.95, c_per_Ic=5e-9))):
        yield section.near(label, "error at 1500 points", _table_error(device, 1500), 0.0, 1e-3)


def _table_error(device: Any, points: int) -> float:
    """Largest difference of a device's rate table from its junction equations, at points that crowd at the onset."""
    from soen_event.engine.jit import compile_function
    from soen_event.physics import source, squid

    sources = source.stack([source.ri_table(device)])
    exact: Any = compile_function(squid.running_rate)
    random = np.random.default_rng(1)
    worst = 0.0
    for _ in range(points):
        phi = 0.5 - 0.5 * random.uniform() ** 2
        fold = squid.static_fold(phi, device.beta_1)
        i = float(fold["i"]) + 2.0 * random.uniform(0.003, 1.0) ** 3
        rate = exact(i, phi, device.beta_1, device.beta_c, float(fold["d1"]), float(fold["d2"]), 0.05)
        worst = max(worst, abs(source.source(sources, 0, phi, i)[0] - rate))
    return worst


# physics.md 2.5: 16 nominal biases 1.50 to 2.65.
_RTTI_PLUS = (.37, .35, .33, .31, .29, .27, .25, .22, .20, .18, .16, .13, .11, .08, .05, 0.0)  # fmt: skip
_RTTI_MINUS = (
    -.59, -.56, -.53, -.49, -.46, -.43, -.40, -.37, -.33, -.30, -.27, -.23, -.19, -.15, -.11, -.01,
)  # fmt: skip
_RTTI_LARGEST = (
    .518, .975, 1.122, 1.132, 1.145, 1.284, 1.292, 1.300, 1.308, 1.317, 1.325, 1.333, 1.342, 1.459, 1.470, 1.481,
)  # fmt: skip
_RTTI_PLATEAU = (
    0.0, .328, .877, 1.048, 1.047, 1.047, 1.046, 1.046, 1.046, 1.047, 1.052, 1.247, 1.325, 1.323,
)  # fmt: skip
_RTTI_RATES = (  # at nominal bias 2.0: (flux, saturation, currents, rates); the first of .483 is too small by its start
    (0.25, 0.576, (0, 0.14, 0.29, 0.43), (0.139, 0.120, 0.099, 0.072)),
    (0.35, 1.296, (0, 0.32, 0.65, 0.97, 1.13), (0.283, 0.253, 0.221, 0.159, 0.107)),
    (0.483, 1.141, (0.29, 0.57, 0.86), (0.252, 0.228, 0.189)),
)


def _rtti() -> Iterator[Check]:
    """The RTTI source function as the engines have it, tables from its junctions. Published fluxes lie on a grid of 0.01."""
    from soen_event.physics import rtti, source

    section = _Section("The RTTI dendrite", "physics.md 2.5, published data")
    biases = 1.5 + 1.15 / 15 * np.arange(16)
    plus, minus = rtti.threshold_flux(biases)
    yield section.worst("upper threshold flux, 15 biases", plus[:-1], _RTTI_PLUS[:-1], 0.0101, "Phi0")
    yield section.worst("lower threshold flux, 15 biases", minus[:-1], _RTTI_MINUS[:-1], 0.0101, "Phi0")

    def saturation(bias: float, fluxes: Iterable[float]) -> list[float]:
        sources = source.stack([source.rtti_table(bias)])
        offset = sources.scale[0, source.OFFSET]
        return [
            bias - source.level(sources.shape, sources.scale, sources.levels, 0, flux + offset)[0] for flux in fluxes
        ]

    largest = [max(saturation(float(bias), 0.01 * np.arange(100))) for bias in biases]
    yield section.worst("largest current at 16 biases", largest, _RTTI_LARGEST, 1.5e-3, "I_c")
    plateau = np.maximum(saturation(float(biases[10]), 0.16 + 0.01 * np.arange(14)), 0.0)
    yield section.worst("saturation at 14 fluxes, bias 2.267", plateau, _RTTI_PLATEAU, 1.5e-3, "I_c")
    sources = source.stack([source.rtti_table(2.0)])
    ends = saturation(2.0, [flux for flux, _, _, _ in _RTTI_RATES])
    yield section.worst("saturation at 3 fluxes, bias 2.0", ends, [end for _, end, _, _ in _RTTI_RATES], 1.5e-3, "I_c")
    for flux, _, currents, rates in _RTTI_RATES:
        found = [source.source(sources, 0, flux, 2.0 - s)[0] for s in currents]
        yield section.worst(f"rate at bias 2.0, flux {flux:g}", found, rates, 1.5e-3)


# ---------------------------------------------------------------------------------------------- detector and dendrite


def _detector() -> Iterator[Check]:
    section = _Section("Single-photon detector", "physics.md 1.1 and 1.2")
    for hotspot, expected in ((0.06, 0.4749), (0.04, 0.4322)):
        rec = _run(_one_synapse(hotspot=hotspot), {"s": [1.0]}, 200.0, record=("currents",))
        top = float(rec.flux("d", 1.0 + hotspot))
        yield section.near(f"hotspot {hotspot:g} ns", "flux that is reached", top, expected, 6e-5, "Phi0")
        later = float(rec.flux("d", 151.0 + hotspot)) / top
        yield section.near(f"hotspot {hotspot:g} ns", "left after 150 ns", later, math.exp(-3.0), 1e-9)
    rec = _run(_one_synapse(), {"s": [1.0, 1.03, 21.0]}, 40.0, record=("photons", "currents"))
    level = 0.5 * (1.0 - 0.02 / 50.0)
    left = level * (1.0 - math.exp(-3.0)) * math.exp(-19.94 / 50.0)
    again = level + (left - level) * math.exp(-3.0)
    told = "pulses saturate, they do not add"
    yield section.near(told, "flux after the second", float(rec.flux("d", 21.06)), again, 1e-9, "Phi0")
    yield section.near("photon in a hotspot", "photons lost", len(rec.lost["s"]), 1, 0)


def _run(*arguments: Any, **options: Any) -> Recording:
    import soen_event as se

    return se.simulate(*arguments, **options, progress=False)


def _one_synapse(ib: float = 1.8, beta_over_2pi: float = 1000.0, **synapse: Any) -> Network:
    import soen_event as se

    with se.Network() as net:
        se.Dendrite("d", ib=ib, beta_over_2pi=beta_over_2pi, tau=250.0)
        se.Synapse("s", "d", **synapse)
    return net


# physics.md 3.2: (ib, beta/2pi, fluxons, largest current, delay of the first fluxon in ns).
_ONE_PHOTON = (
    (1.40, 1e2, 27, .269, .051), (1.40, 1e3, 168, .166, .051), (1.40, 1e4, 396, .0385, .051),
    (1.60, 1e2, 47, .468, .036), (1.60, 1e3, 317, .311, .036), (1.60, 1e4, 908, .0862, .036),
    (1.80, 1e2, 66, .656, .026), (1.80, 1e3, 479, .466, .026), (1.80, 1e4, 1617, .1494, .026),
)  # fmt: skip


def _one_photon(full: bool) -> Iterator[Check]:
    for engine in ("compiled", "reference") if full else ("compiled",):
        title = "One photon into a dendrite" + (" (reference engine)" if engine == "reference" else "")
        section = _Section(title, "physics.md 3.2, junction-level circuit")
        for ib, beta, count, peak, first in _ONE_PHOTON:
            net = _one_synapse(ib, beta)
            rec = _run(net, {"s": [1.0]}, 60.0, engine=engine, record=("fluxons", "currents"))
            name = f"ib {ib:.2f}, beta/2pi {beta:g}"
            times = rec.fluxons["d"]
            delay = float(times[0]) - 1.0 if len(times) else math.nan
            yield section.near(name, "fluxons", rec.fluxon_count["d"], count, 1)
            yield section.near(name, "largest current", _peak(rec, "d"), peak, 0.005, "I_c", relative=True)
            yield section.near(name, "first fluxon", delay, first, 0.020, "ns")


def _peak(rec: Recording, name: str) -> float:
    """Largest current of a loop: between, just before and just after its fluxons, and on a fine grid."""
    moments = np.concatenate([rec.fluxons[name] + d for d in (-1e-5, 1e-5, 0.004)] + [np.linspace(0, rec.end, 4001)])
    return float(np.max(rec.current(name, np.clip(np.sort(moments), 0.0, rec.end))))


# ---------------------------------------------------------------------------------------------- neuron

# physics.md 9.4: (photons, beta/2pi of the soma, threshold, spikes in ns: all, or first, second and last of ten).
_BIAS = 1.802395858835221
_SPIKES = (
    ((50.0,), 1e2, 0.5, (51.021,)),
    ((50.0,), 1e3, 0.25, (54.417,)),
    (tuple(50.0 + 100.0 * k for k in range(5)), 1e2, 0.5, (51.021, 151.211, 251.214, 351.214, 451.214)),
    (tuple(50.0 + 50.0 * k for k in range(10)), 1e2, 0.5, (51.021, 151.025, 251.026, 351.026, 451.026)),
    (tuple(50.0 + 50.0 * k for k in range(10)), 1e3, 0.1, (51.574, 101.780, 501.785)),
)


def _neuron(full: bool) -> Iterator[Check]:
    """Spike times. Several photons need the pulse overlap of the simulator from which the numbers are: a restart."""
    import soen_event as se

    for engine in ("compiled", "reference") if full else ("compiled",):
        title = "Spikes of a default neuron" + (" (reference engine)" if engine == "reference" else "")
        section = _Section(title, "physics.md 9.4, converged time-stepped model")
        for photons, beta, threshold, expected in _SPIKES:
            with se.Network() as net:
                soma = se.Soma(ib=_BIAS, beta_over_2pi=beta, tau=50.0, threshold=threshold)
                refractory = se.Refractory(ib=_BIAS, beta_over_2pi=100.0, tau=50.0, overlap="restart")
                se.Neuron("n", soma=soma, refractory=refractory)
                se.Synapse("s", "n", overlap="restart")
            rec = _run(net, {"s": photons}, photons[-1] + 60.0, engine=engine, record=("spikes",))
            spikes = rec.spikes["n"]
            count = len(photons) if len(expected) == 3 else len(expected)
            name = f"{len(photons)} photon{'s' if len(photons) > 1 else ''}, beta/2pi {beta:g}, s_th {threshold:g}"
            yield section.near(name, "spikes", len(spikes), count, 0)
            chosen = spikes[[0, 1, -1]] if len(expected) == 3 and len(spikes) > 2 else spikes
            if len(expected) == 1:
                first = float(chosen[0]) if len(chosen) else math.nan
                yield section.near(name, "spike", first, expected[0], 0.03, "ns")
            elif len(chosen) == len(expected):
                yield section.worst(name, chosen, expected, 0.03, "ns")


# ---------------------------------------------------------------------------------------------- numbers

# Random123, file kat_vectors, lines "philox4x32 10": counter and key, expected words.
_PHILOX = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)
# Correctly rounded values, and the hash of all bits of 3000 values: the same on every machine (physics/elementary.py).
_ELEMENTARY = (
    ("exp", 1.0, 2.718281828459045), ("exp", -0.5, 0.6065306597126334), ("exp", -20.0, 2.061153622438558e-09),
    ("log", 2.0, 0.6931471805599453), ("log", 10.0, 2.302585092994046), ("log", 1e-10, -23.025850929940457),
)  # fmt: skip
_ELEMENTARY_BITS = "fdf55e053c7ee958"


def _arithmetic() -> Iterator[Check]:
    from soen_event.engine.jit import compiled
    from soen_event.physics import elementary, random

    section = _Section("Random numbers", "Random123, kat_vectors, philox4x32 10")
    for k, (counter, key, expected) in enumerate(_PHILOX):
        words = random.philox4x32(*(int(word, 16) for word in f"{counter} {key}".split()))
        yield section.same(f"known answer {k + 1}", "four words", " ".join(f"{word:08x}" for word in words), expected)
    section = _Section("Arithmetic, the same bits everywhere", "values to 17 digits; hash of release 0.1.0")
    for function, x, value in _ELEMENTARY:
        measured = float(getattr(elementary, function)(x))
        yield section.same(f"{function}({x:g})", "value", repr(measured), repr(value))
    for name, functions in (("exp, expm1, log", elementary), ("exp, expm1, log, compiled", compiled(elementary))):
        yield section.same(name, "hash of 3000 values", _bits(functions), _ELEMENTARY_BITS)


def _bits(functions: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for k in range(1000):
        x = (k - 500) * 0.03125 * (1.0 + k / 1024.0)  # exact in binary, so that no rounding is involved
        digest.update(struct.pack("<3d", functions.exp(x), functions.expm1(x), functions.log(1.0 + x * x)))
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------- whole networks


def _energy() -> Iterator[Check]:
    section = _Section("Energy", "conservation: drawn from the biases = stored + dissipated")
    net, photons = _ring(5)
    rec = _run(net, photons, 100.0)
    for name, parts in {**rec.energy["loops"], "whole network": rec.energy["total"]}.items():
        if name in ("n0.soma", "d0", "n0.refractory", "whole network"):
            spent = math.fsum(value for key, value in parts.items() if key != "drawn")
            share = abs(spent - parts["drawn"]) / parts["drawn"] if parts["drawn"] else math.nan
            yield section.near(name, "relative imbalance", share, 0.0, 1e-9)


_EVERYTHING = ("spikes", "fluxons", "photons", "currents")


def _engines(full: bool) -> Iterator[Check]:
    """Both engines, and a run that is held and continued, on a network with light, loss, chance and inhibition."""
    section = _Section("Engines", "each other: the same events, to the bit")
    for neurons, duration in ((4, 60.0), (24, 60.0), (4, 600.0)) if full else ((4, 60.0),):
        net, photons = _ring(neurons)
        whole = _run(net, photons, duration, record=_EVERYTHING, seed=7)
        reference = _run(net, photons, duration, engine="reference", record=_EVERYTHING, seed=7)
        pieces = _in_pieces(net, photons, duration)
        for name, other in (("reference engine", reference), ("in three pieces", pieces)):
            equal = "equal" if whole.same_events(other) and whole.event_counts == other.event_counts else "different"
            events = whole.event_counts["events"]
            yield section.same(f"{neurons} neurons, {duration:g} ns: {name}", f"{events} events", equal, "equal")


def _in_pieces(net: Network, photons: Any, duration: float) -> Recording:
    import soen_event as se

    held = se.Simulation(net, photons, record=_EVERYTHING, seed=7, duration=duration)
    held.run(0.3 * duration)
    held.run(events=137)
    held.run(duration)
    return held.finish()


def _ring(neurons: int) -> tuple[Network, dict[str, list[float]]]:
    """A ring of neurons coupled by light, each with a dendrite and a lossy, probabilistic way to the next one."""
    import soen_event as se

    with se.Network() as net:
        for k in range(neurons):
            sender = se.Transmitter(emission="photons" if k % 2 else "deterministic", photons=7.0)
            se.Neuron(f"n{k}", soma=se.Soma(threshold=0.3), refractory=se.Refractory(), transmitter=sender)
            se.Dendrite(f"d{k}", beta_over_2pi=200.0, tau=60.0)
            se.Coupling(f"d{k}", f"n{k}", J=0.6)
            se.Coupling(f"d{k}", f"n{(k + 1) % neurons}", J=-0.05)
            se.Synapse(f"in{k}", f"d{k}", efficiency=0.8)
            se.Synapse(f"s{k}", f"d{(k + 1) % neurons}", efficiency=0.9)
            se.Waveguide(f"n{k}", f"s{k}", delay=0.5, loss_db=1.0)
    return net, {f"in{k}": [1.0 + 0.7 * k, 21.0 + 1.3 * k] for k in range(neurons)}


# ---------------------------------------------------------------------------------------------- the table


def table(found: Iterable[Check]) -> Any:
    """The checks for a rich console: section by section, what was measured, what was expected, and the verdict."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    lines: list[Any] = [
        Text(
            "Every line: the verdict, what is checked, what was measured here, and what it has to be. Times are in ns, "
            "fluxes in Phi0, currents s and biases ib in units of the critical current I_c."
        )
    ]
    rows: Any = None
    section = name = ""
    for each in found:
        if each.section != section:
            section, name = each.section, ""
            rows = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1), expand=True)
            rows.add_column(min_width=5, no_wrap=True)
            rows.add_column(ratio=38)
            rows.add_column(ratio=25)
            rows.add_column(justify="right", min_width=16, ratio=21)
            rows.add_column(justify="right", min_width=18, ratio=22)
            lines += [Text(), Text.assemble((section, "bold cyan"), (f" - {each.source}", "dim")), rows]
        verdict = Text("   ok", "green") if each.ok else Text(" FAIL", "bold red")
        case = Text(each.name if each.name != name else "")
        rows.add_row(verdict, case, Text(each.quantity), Text(_measured(each)), Text(_expected(each)))
        name = each.name
    return Group(*lines, Text())


def _digits(value: float) -> str:
    if not math.isfinite(value):
        return "none"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.6g}"


def _measured(each: Check) -> str:
    if isinstance(each.measured, str):
        return _short(each.measured)
    told = f"{each.measured:.1e}" if _is_difference(each) and each.measured else _digits(each.measured)
    return f"{told} {each.unit}".strip()


def _expected(each: Check) -> str:
    if isinstance(each.expected, str):
        return _short(each.expected)
    if _is_difference(each):
        return f"at most {each.tolerance:g}"
    if not each.tolerance:
        return _digits(each.expected)
    bound = f"{100.0 * each.tolerance:g} %" if each.relative else f"{each.tolerance:g}"
    return f"{_digits(each.expected)} ± {bound}"


def _is_difference(each: Check) -> bool:
    return bool(each.tolerance) and each.expected == 0.0


def _short(text: str) -> str:
    """The end of a long hexadecimal answer; other text stays whole."""
    is_hexadecimal = set(text) <= set("0123456789abcdef ")
    return f"... {text[-8:]}" if is_hexadecimal and len(text) > 21 else text
