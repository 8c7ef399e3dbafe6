"""Property tests of the physics: Hypothesis strategies for parts, networks and photon trains, and laws of every run.

Check the laws on a network of your own::

    >>> import soen_event as se
    >>> with se.Network() as net:
    ...     parts = se.Synapse("s1", "d1"), se.Dendrite("d1", beta_over_2pi=100)
    >>> verdicts = se.testing.check_laws(net, {"s1": [1.0, 5.0]}, duration=10.0)
    >>> verdicts["energy"]
    'holds'

or with many photon trains (``laws_hold(net)``), or write a property of random networks::

    @se.testing.given_network(max_dendrites=3)
    def test_my_law(network, photons, duration): ...

A law is a function ``law_x(network, photons, duration, run=...)``. It raises :class:`LawBroken` with a sentence that
names part, time and values; it returns None if it was checked and holds, or a sentence that says why it has nothing to
say about this network. ``run`` is called like :func:`~soen_event.simulate` (for the laws in :data:`HELD` like
:class:`~soen_event.Simulation`), so that a law can be put to any other engine. What is random inside a law follows from
the network, so a failure repeats.

Needs Hypothesis: ``pip install "soen-event[testing]"``.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soen_event.device import Device
from soen_event.engine import state as engine_state
from soen_event.engine.state import COUNTS, DETECTED, FOREVER, IN_DEAD_TIME, IN_HOTSPOT, MISSED, NEXT_PHOTON, State
from soen_event.errors import InputError, nearest
from soen_event.network import Network
from soen_event.parts import (
    Coupling,
    Dendrite,
    Drive,
    Neuron,
    Part,
    Pulse,
    Refractory,
    Soma,
    Synapse,
    Transmitter,
    Waveguide,
    detached,
)
from soen_event.physics import rtti, squid
from soen_event.physics import source as source_function
from soen_event.physics.loop import EDGE
from soen_event.plan import DARK, QUANTA, Plan, lower
from soen_event.recording import FATES, Recording
from soen_event.simulate import Simulation, simulate
from soen_event.stimulus import Stimulus
from soen_event.units import Phi0, ns_to_fs

try:
    from hypothesis import given, settings
    from hypothesis import strategies as st
except ImportError as missing:
    raise ImportError("soen_event.testing needs Hypothesis; run pip install 'soen-event[testing]'") from missing

__all__ = [
    "HELD",
    "LAWS",
    "Case",
    "LawBroken",
    "cases",
    "check_laws",
    "dendrites",
    "devices",
    "given_network",
    "law_checkpoint",
    "law_current",
    "law_decay",
    "law_detector",
    "law_energy",
    "law_engines",
    "law_first_cause",
    "law_flux",
    "law_flux_quantum",
    "law_fluxons",
    "law_insertion_order",
    "law_light",
    "law_prefix",
    "law_recording",
    "law_relabelling",
    "law_scaling",
    "law_source",
    "law_spikes",
    "law_split",
    "law_thinning",
    "law_translation",
    "law_units",
    "laws_hold",
    "networks",
    "neurons",
    "photon_trains",
    "refractories",
    "somas",
    "synapses",
    "transmitters",
]

# ---------------------------------------------------------------------------------------------- strategies: parts

_DECAYS = (5.0, 20.0, 50.0, 250.0)
_RTTI_BIASES = (1.6, 2.0, 2.4)  # each needs a table of its own, so there are few
_OTHER_JUNCTIONS = (Device(beta_c=0.7), Device(beta_1=1.0, beta_2=1.4))


def devices(tables: bool = False) -> st.SearchStrategy[Device]:
    """Junctions: the default, and those that share its source function, which depends on beta_c and beta_1 + beta_2.

    Critical current, capacitance and the difference of the SQUID's arms are free. With ``tables`` two devices with
    source functions of their own are drawn as well, which take seconds to build once.
    """
    half = 0.5 * math.pi
    free = st.builds(
        lambda Ic, c, split: Device(Ic=Ic, c_per_Ic=c, beta_1=half + split, beta_2=half - split),
        st.floats(2e-5, 5e-4),
        st.floats(0.5e-9, 3e-9),
        st.sampled_from((0.0, 0.25, -0.125)),  # exact in binary: the sum stays
    )
    own = [st.sampled_from(_OTHER_JUNCTIONS)] if tables else []
    return st.one_of(st.just(Device()), st.just(Device(source="fit")), free, *own)


def _decays(ties: bool, low: float = 5.0, high: float = 1000.0) -> st.SearchStrategy[float]:
    """Decay times in ns; with ``ties`` mostly from a few values, so that inputs share them."""
    few, any_time = st.sampled_from([t for t in _DECAYS if low <= t <= high]), st.floats(low, high)
    return st.one_of(few, few, any_time) if ties else any_time


def _inductances() -> st.SearchStrategy[float]:
    """beta_over_2pi, mostly small: an active loop makes up to s_max beta_over_2pi fluxons until it saturates."""
    return st.one_of(st.sampled_from((30.0, 60.0, 100.0)), st.floats(30.0, 300.0), st.sampled_from((1000.0, 3e4)))


def _bias(draw: st.DrawFn, kind: str, device: Device, over_biased: bool) -> dict[str, Any]:
    """Bias and constant flux of a loop that rests without input, unless over-biased ones are wanted."""
    usual = st.one_of(st.just(1.8), st.just(1.8), st.floats(1.3, 1.99), st.sampled_from((1.95, 1.999, 1.31)))
    over = st.one_of(usual, usual, st.sampled_from((2.0, 2.05, 2.3)))
    ib = draw(st.sampled_from(_RTTI_BIASES) if kind == "rtti" else over if over_biased else usual)
    offset = draw(st.sampled_from((0.0, 0.0, 0.04, 0.1, -0.08, 0.2, -0.3)))
    if not over_biased and not _rests(kind, ib, offset, device):
        offset = 0.0
        if not _rests(kind, ib, offset, device):  # with unequal arms the critical current is below 2
            ib = 1.8
    return {"ib": ib, "phi_offset": offset}


def _rests(kind: str, ib: float, offset: float, device: Device) -> bool:
    if kind == "rtti":
        return float(rtti.saturation(offset, ib, rtti.line_of(device))) < 0.0
    return ib < float(squid.critical_current(offset, device.beta_1, device.beta_2))


@st.composite
def synapses(
    draw: st.DrawFn, id: str = "s0", target: str = "d0", ties: bool = True, random_parts: bool = True
) -> Synapse:
    """A detector: pulses of 1 to 250 ns, of either sign; with ``random_parts`` some miss photons."""
    fields: dict[str, Any] = {
        "phi_peak": draw(st.one_of(st.just(0.5), st.just(0.5), st.floats(0.1, 0.6))),
        "tau_rise": draw(st.one_of(st.just(0.02), st.just(0.02), st.floats(0.005, 0.5))),
        "tau_fall": draw(_decays(ties, 1.0, 250.0)),
        "hotspot": draw(st.one_of(st.just(0.06), st.floats(0.01, 1.0))),
        "weight": draw(st.one_of(st.sampled_from((1.0, 1.0, 0.8)), st.sampled_from((1.0, -1.0)), st.floats(-1.2, 1.2))),
        "dead_time": draw(st.sampled_from((0.0, 0.0, 0.0, 0.05, 3.0))),
        "overlap": draw(st.sampled_from(("saturate", "saturate", "restart"))),
    }
    if random_parts:
        fields["efficiency"] = draw(st.sampled_from((1.0, 1.0, 1.0, 0.7, 0.3)))
        fields["recovery"] = draw(st.sampled_from(("full", "full", "full", "bias")))
    with detached():
        return Synapse(id, target, **fields)


@st.composite
def dendrites(
    draw: st.DrawFn,
    id: str = "d0",
    device: Device | None = None,
    ties: bool = True,
    over_biased: bool = False,
    rtti: bool = True,
) -> Dendrite:
    """A dendrite, RI or (``rtti``) RTTI, also near threshold; beta_over_2pi 30 to 3e4, tau 5 to 1000 ns.

    With ``over_biased`` some make fluxons without input; else all rest. RTTI only of junctions whose rates are shipped.
    """
    device = device or Device()
    usual = Device()
    shipped = all(getattr(device, name) == getattr(usual, name) for name in ("beta_c", "beta_1", "beta_2"))
    kind: Any = draw(st.sampled_from(("ri", "ri", "rtti"))) if rtti else "ri"
    kind = kind if shipped else "ri"
    symmetric = device.beta_1 == device.beta_2 and device == dataclasses.replace(
        Device(), Ic=device.Ic, c_per_Ic=device.c_per_Ic
    )
    source: Any = draw(st.sampled_from((None, None, None, "fit"))) if kind == "ri" and symmetric else None
    with detached():
        return Dendrite(
            id,
            kind=kind,
            beta_over_2pi=draw(_inductances()),
            tau=draw(_decays(ties)),
            source=source,
            **_bias(draw, kind, device, over_biased),
        )


@st.composite
def somas(draw: st.DrawFn, device: Device | None = None, ties: bool = True, over_biased: bool = False) -> Soma:
    """A soma whose threshold is 0.05 to 0.9 of the largest current that it can hold."""
    device = device or Device()
    bias = _bias(draw, "ri", device, over_biased)
    lowest = float(squid.static_fold(0.5, 0.5 * (device.beta_1 + device.beta_2))["i"])
    share = draw(st.one_of(st.sampled_from((0.1, 0.3)), st.sampled_from((0.1, 0.3)), st.floats(0.05, 0.9)))
    with detached():
        return Soma(
            beta_over_2pi=draw(st.one_of(st.just(100.0), st.floats(30.0, 300.0))),
            tau=draw(_decays(ties)),
            threshold=share * (bias["ib"] - lowest),
            after_spike=draw(st.sampled_from(("purge", "keep"))),
            t_ref=draw(st.sampled_from((0.0, 1.0, 10.0))),
            **bias,
        )


@st.composite
def refractories(draw: st.DrawFn, ties: bool = True) -> Refractory:
    """A refractory dendrite, its coupling "auto" or given."""
    with detached():
        return Refractory(
            ib=draw(st.sampled_from((None, 1.8, 1.6))),
            beta_over_2pi=draw(st.sampled_from((30.0, 100.0))),
            tau=draw(_decays(ties, 5.0, 50.0)),
            J=draw(st.sampled_from(("auto", -0.4, -1.0))),
            hotspot=draw(st.sampled_from((0.04, 0.2))),
            tau_fall=draw(_decays(ties, 5.0, 50.0)),
        )


@st.composite
def transmitters(draw: st.DrawFn, random_parts: bool = True) -> Transmitter:
    """A transmitter with a latency of 0 to 5.6 ns; with ``random_parts`` some draw their photons."""
    emission: Any = draw(st.sampled_from(("deterministic", "photons"))) if random_parts else "deterministic"
    with detached():
        return Transmitter(
            emission=emission,
            latency=draw(st.sampled_from((0.0, 0.5, 2.0, 5.6))),
            source=draw(st.sampled_from(("qd", "ec"))),
            photons=draw(st.sampled_from((0.5, 10.0))),
        )


@st.composite
def neurons(
    draw: st.DrawFn,
    id: str = "n0",
    device: Device | None = None,
    ties: bool = True,
    random_parts: bool = True,
    over_biased: bool = False,
) -> Neuron:
    """A soma, some with a refractory dendrite, most with a transmitter."""
    soma = draw(somas(device, ties, over_biased))
    refractory = draw(st.one_of(st.none(), refractories(ties)))
    transmitter = draw(st.one_of(transmitters(random_parts), transmitters(random_parts), st.none()))
    with detached():
        return Neuron(id, soma=soma, refractory=refractory, transmitter=transmitter)


# ---------------------------------------------------------------------------------------------- strategies: networks


@st.composite
def networks(
    draw: st.DrawFn,
    max_dendrites: int = 3,
    max_neurons: int = 2,
    max_synapses: int = 4,
    cycles: bool = True,
    ties: bool = True,
    random_parts: bool = True,
    drives: bool = True,
    rtti: bool = True,
    over_biased: bool = False,
    device: Device | None = None,
    warm: bool = False,
    quanta: bool = True,
    lossy: bool = False,
) -> Network:
    """A valid network: loops coupled with either sign, neurons whose light goes to synapses, flux drives.

    Arguments:
        max_dendrites, max_neurons, max_synapses: largest numbers of parts; there is at least one synapse and one loop.
        cycles: let couplings (self-loops too) and waveguides close circles; else inputs come from earlier loops only.
        ties: let parts be copies of each other and share time constants, so that they act in the same femtosecond.
        random_parts: let detectors miss photons, waveguides lose light and transmitters draw their photons.
        drives: put external flux on some loops, piecewise linear or as pulses.
        rtti: let some dendrites be RTTI.
        over_biased: let some loops make fluxons without input.
        device: the junctions; None draws them.
        warm: draw a temperature too, 0 to 10 K.
        quanta: let some drives put flux quanta into loops.
        lossy: let the first detector miss photons, whatever ``random_parts`` says.

    A default example of 20 ns costs a few hundred events on average.
    """
    device = device or draw(devices())
    if warm:
        device = dataclasses.replace(device, temperature=draw(st.sampled_from((4.2, 4.2, 1.0, 10.0, 0.0))))
    n_dendrites, n_neurons = draw(st.integers(0, max_dendrites)), draw(st.integers(0, max_neurons))
    if n_dendrites + n_neurons == 0:
        n_dendrites = 1
    parts: list[Part] = []
    loops: list[str] = []
    with detached():
        for k in range(n_dendrites):
            new = draw(dendrites(f"d{k}", device, ties, over_biased, rtti))
            if ties and k > 0 and draw(st.booleans()):  # a copy acts when its original does
                new = dataclasses.replace(_first(parts, Dendrite), id=f"d{k}")
            parts.append(new)
            loops.append(f"d{k}")
        for k in range(n_neurons):
            parts.append(draw(neurons(f"n{k}", device, ties, random_parts, over_biased)))
            loops.append(f"n{k}")
        detectors: list[Synapse] = []
        for k in range(draw(st.integers(1, max_synapses))):
            target = draw(st.sampled_from(loops))
            new_synapse = draw(synapses(f"s{k}", target, ties, random_parts))
            if lossy and k == 0:
                new_synapse = dataclasses.replace(new_synapse, efficiency=draw(st.sampled_from((0.7, 0.3, 0.95))))
            if ties and k > 0 and draw(st.booleans()):
                new_synapse = dataclasses.replace(detectors[0], id=f"s{k}", target=target)
            detectors.append(new_synapse)
        parts += detectors
        parts += _couplings(draw, loops, cycles)
        parts += _waveguides(draw, parts, loops, detectors, cycles, random_parts)
        if drives:
            parts += [
                draw(_drives(draw(st.sampled_from(loops)), quanta)) for _ in range(draw(st.sampled_from((0, 0, 1, 2))))
            ]
        network = Network(device)
        network.extend(parts)
    return network


def _first(parts: Iterable[Part], kind: type[Part]) -> Any:
    return next(part for part in parts if isinstance(part, kind))


def _couplings(draw: st.DrawFn, loops: list[str], cycles: bool) -> list[Part]:
    found: list[Part] = []
    strength = st.one_of(st.sampled_from((0.5, 0.3, -0.4)), st.floats(-0.6, 0.8))
    for k, target in enumerate(loops):
        sources = loops if cycles else loops[:k]
        for name in draw(st.lists(st.sampled_from(sources), max_size=2)) if sources else ():
            found.append(Coupling(name, target, J=draw(strength), id=f"c{len(found)}"))
    return found


def _waveguides(
    draw: st.DrawFn, parts: list[Part], loops: list[str], detectors: list[Synapse], cycles: bool, random_parts: bool
) -> list[Part]:
    found: list[Part] = []
    for neuron in [part for part in parts if isinstance(part, Neuron) and part.transmitter is not None]:
        later = [s.id for s in detectors if cycles or loops.index(s.target) > loops.index(neuron.id)]
        for target in draw(st.lists(st.sampled_from(later), max_size=2)) if later else ():
            loss = draw(st.sampled_from((0.0, 3.0))) if random_parts else 0.0
            delay = draw(st.one_of(st.sampled_from((0.0, 0.5)), st.floats(0.0, 3.0)))
            found.append(Waveguide(neuron.id, target, delay=delay, loss_db=loss, id=f"w{len(found)}"))
    return found


@st.composite
def _drives(draw: st.DrawFn, target: str, quanta: bool = True) -> Drive:
    flux = st.one_of(st.sampled_from((0.0, 0.3, 0.4)), st.floats(-0.5, 0.6))
    time = st.one_of(st.integers(0, 12).map(float), st.floats(0.0, 12.0))
    arm: Any = draw(st.sampled_from(("first", "both")))
    with detached():
        kind = draw(st.sampled_from(("points", "points", "pulses", "pulses", *(["quanta"] if quanta else []))))
        if kind == "quanta":
            rows = draw(st.lists(st.tuples(time, st.floats(-2.0, 3.0)), min_size=1, max_size=4))
            return Drive(target, quanta=tuple(sorted(rows)))
        if kind == "points":
            times = sorted(draw(st.lists(time, min_size=1, max_size=4)))
            return Drive(target, points=tuple((t, draw(flux)) for t in times), arm=arm)
        rise, fall = draw(st.floats(0.05, 2.0)), draw(st.sampled_from((5.0, 20.0)))
        starts = draw(st.lists(time, min_size=1, max_size=2))
        return Drive(target, pulses=tuple(Pulse(t, draw(flux), rise, fall) for t in starts), arm=arm)


@st.composite
def photon_trains(
    draw: st.DrawFn,
    network: Network,
    duration: float,
    ties: bool = True,
    max_photons: int = 6,
    busy: bool = False,
) -> dict[str, list[float]]:
    """Arrival times (ns, ascending) by synapse id, at most ``max_photons`` in all.

    With ``ties`` photons come in the same femtosecond, at one detector or at several, exactly when a hotspot or a dead
    time ends and exactly at the end of the run. Photons within hotspots and dead times, and bursts, come in any case.
    With ``busy`` there are seldom few, even in the simplest train.
    """
    trains: dict[str, list[int]] = {}
    ids = list(network.synapses)
    end = int(ns_to_fs(duration))
    moments: list[int] = []
    taken: set[int] = set()
    half = max_photons // 2
    least = draw(st.sampled_from((half, half, half, 0) if busy else (0, half, half)))  # the first is drawn most
    for _ in range(draw(st.integers(least, max_photons)) if ids else 0):
        name = draw(st.sampled_from(ids))
        synapse = network.synapses[name]
        pause = max(int(ns_to_fs(synapse.hotspot)), int(ns_to_fs(synapse.dead_time)))
        if not moments or draw(st.booleans()):
            grid = st.integers(0, int(0.4 * duration)).map(lambda ns: ns * 1_000_000)
            anywhere = st.floats(0.0, 0.5).map(lambda share: int(share * end))
            moments.append(draw(st.one_of(grid, grid, anywhere, anywhere, st.just(end)) if ties else anywhere))
        exact = [0, pause, pause - 1, 2 * pause] if ties else []
        gap = draw(st.sampled_from([*exact, pause // 3, pause // 2 + 7, 2 * pause + 11]))
        fs = min(draw(st.sampled_from(moments)) + gap, end)
        while not ties and fs in taken:
            fs -= 1
        taken.add(fs)
        trains.setdefault(name, []).append(fs)
    return {name: (np.sort(np.array(times, dtype=np.int64)) * 1e-6).tolist() for name, times in sorted(trains.items())}


class Case(NamedTuple):
    """Something to run: a network, photons for it and a duration in ns."""

    network: Network
    photons: dict[str, list[float]]
    duration: float


@st.composite
def cases(draw: st.DrawFn, max_duration: float = 25.0, ties: bool = True, **options: Any) -> Case:
    """A network with photons and a duration of 2 to ``max_duration`` ns; ``options`` as of :func:`networks`."""
    network = draw(networks(ties=ties, **options))
    usual = st.just(0.6 * max_duration)
    duration = draw(st.one_of(usual, usual, st.floats(min(2.0, max_duration), max_duration)))
    return Case(network, draw(photon_trains(network, duration, ties, busy=True)), duration)


def given_network(**options: Any) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Decorator: run a test ``test(network, photons, duration)`` on many cases; ``options`` as of :func:`cases`."""

    def decorate(test: Callable[..., None]) -> Callable[[], None]:
        @wraps(test)
        def on_case(case: Case) -> None:
            test(*case)

        del on_case.__wrapped__  # else its signature would be taken
        return given(case=cases(**options))(on_case)

    return decorate


# ---------------------------------------------------------------------------------------------- laws: their form

_Check = Callable[..., "str | None"]
LAWS: dict[str, _Check] = {}
"""Every law by name."""
HELD: set[str] = set()
"""Laws whose ``run`` is called like :class:`~soen_event.Simulation`: they hold a run, look into it or save it."""

_ALL = ("fluxons", "photons", "currents")
_SPAN_FS = 7_000_003  # a whole number of femtoseconds that no part of a network knows
_ROUNDING_FS = 100_000  # where sums are rounded otherwise, the engine's steps may fall on the other side of an onset


class LawBroken(AssertionError):
    """A run breaks a law. The sentence names the part, the time and the values."""


def _law(name: str, held: bool = False) -> Callable[[_Check], _Check]:
    def register(law: _Check) -> _Check:
        @wraps(law)
        def named(network: Network, photons: Any, duration: float, *arguments: Any, **options: Any) -> str | None:
            try:
                return law(network, photons, duration, *arguments, **options)
            except LawBroken as broken:
                raise LawBroken(f"{name}: {broken}") from None

        LAWS[name] = named
        if held:
            HELD.add(name)
        return named

    return register


def check_laws(
    network: Network,
    photons: Any = None,
    duration: float = 20.0,
    laws: str | Iterable[str] | None = None,
    engine: str = "compiled",
    seed: int = 0,
) -> dict[str, str]:
    """Put a network to the laws.

    Arguments:
        network: a :class:`~soen_event.Network`. It is run some fifty times.
        photons, duration: as of :func:`~soen_event.simulate`.
        laws: names out of :data:`LAWS`; None for all.
        engine, seed: as of :func:`~soen_event.simulate`.

    Returns what was found, by name of the law: "holds", or why the law has nothing to say about this network. Raises
    :class:`LawBroken` at the first law that does not hold, :class:`~soen_event.errors.InputError` for an unknown name.
    """
    names = list(LAWS) if laws is None else [laws] if isinstance(laws, str) else list(laws)
    unknown = [
        f"check_laws.laws: {name!r} is no law{nearest(name, LAWS)}; choose among {', '.join(LAWS)}"
        for name in names
        if name not in LAWS
    ]
    if unknown:
        raise InputError(unknown)
    verdicts = {}
    for name in names:
        run: Any = Simulation if name in HELD else simulate
        verdicts[name] = LAWS[name](network, photons, duration, partial(run, engine=engine, seed=seed)) or "holds"
    return verdicts


def laws_hold(
    network: Network,
    duration: float = 20.0,
    laws: str | Iterable[str] | None = None,
    examples: int = 30,
    engine: str = "compiled",
    max_photons: int = 6,
) -> None:
    """Put a network to the laws with many photon trains that Hypothesis draws (the same ones every time).

    Raises :class:`LawBroken` for the simplest photon train that was found, which Hypothesis prints.
    """
    chosen = laws if laws is None or isinstance(laws, str) else list(laws)

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True)
    @given(photons=photon_trains(network, duration, max_photons=max_photons))
    def hold(photons: dict[str, list[float]]) -> None:
        check_laws(network, photons, duration, chosen, engine)

    hold()


# ---------------------------------------------------------------------------------------------- laws: what they look at


def _fs(table: Mapping[str, np.ndarray], column: str, place: int) -> np.ndarray:
    """Times (fs) of one part in a table of a recording."""
    return table["time_fs"][table[column] == place]


def _kind(plan: Plan, d: int) -> str:
    return "loop " + plan.loop_ids[d]


def _ns(fs: Any) -> str:
    return f"{int(fs) * 1e-6:.6f} ns"


def _end_fs(recording: Recording) -> int:
    return int(ns_to_fs(recording.end))


def _moments(recording: Recording, d: int) -> np.ndarray:
    """Times (fs) to look at loop ``d``: at some of its events, just before and between them, and at the ends."""
    own = np.unique(np.concatenate([_own_events(recording, d), [0, _end_fs(recording)]]))
    own = np.concatenate([own[:: 1 + len(own) // 60], own[-2:]])
    return np.unique(np.concatenate([own, np.maximum(own - 1, 0), (own[1:] + own[:-1]) // 2]))


def _own_events(recording: Recording, d: int) -> np.ndarray:
    """Fluxons and spikes of a loop (fs)."""
    fluxons = _fs(recording.table("fluxons"), "loop", d)
    return np.union1d(fluxons, _fs(recording.table("spikes"), "neuron", int(recording.plan.arrays.neuron[d])))


def _purges(recording: Recording, d: int) -> np.ndarray:
    """Times (fs) at which spikes emptied a loop."""
    arrays = recording.plan.arrays
    spikes = _fs(recording.table("spikes"), "neuron", int(arrays.neuron[d]))
    return spikes if arrays.purge[d] else spikes[:0]


_OTHERS = "other things than its own fluxons change the current of every loop"


def _mixed(plan: Plan) -> set[int]:
    """Loops whose current is not that of their own fluxons alone: drives let quanta in, or loops load each other."""
    arrays = plan.arrays
    kicked = arrays.kick_loop[arrays.kick_kind == QUANTA]
    return {*kicked.tolist(), *np.flatnonzero(np.diff(arrays.load_start) > 0).tolist()}


def _booked(recording: Recording, d: int, fs: np.ndarray) -> np.ndarray:
    """Sum of 2 pi/beta e^(-(t - t_k)/tau) over the fluxons of loop ``d`` since it was last emptied, at times ``fs``."""
    arrays = recording.plan.arrays
    fluxons, purges = _fs(recording.table("fluxons"), "loop", d), set(_purges(recording, d).tolist())
    after, then = [0.0], 0
    for t in fluxons.tolist():
        held = after[-1] * math.exp((then - t) * 1e-6 / arrays.tau[d]) + arrays.quantum[d]
        after.append(0.0 if t in purges else held)  # the fluxon with which it fires goes as well
        then = t
    last = np.searchsorted(fluxons, fs, side="right")
    since = np.concatenate([[0], fluxons])[last]
    return np.array(after)[last] * np.exp((since - fs) * 1e-6 / arrays.tau[d])


_OWNERS = {"photons": "detector", "spikes": "neuron", "fluxons": "loop", "trace": "loop"}
_Tables = dict[str, dict[str, np.ndarray]]


def _tables(recording: Recording, names: Iterable[str] = (*_OWNERS, "amplitudes")) -> _Tables:
    return {name: recording.table(name) for name in names}


def _same_to_the_bit(one: _Tables, other: _Tables, plan: Plan, how: str) -> None:
    """Raise where tables of two runs of one Plan differ for the first time."""
    for name, part in _OWNERS.items():
        if name not in one:
            continue
        mine, its, labels = one[name], other[name], getattr(plan, f"{part}_ids")
        n = min(len(mine["time_fs"]), len(its["time_fs"]))
        differ = np.zeros(n, dtype=bool)
        for column in mine:
            x, y = (
                np.ascontiguousarray(t[column][:n]).view(np.int64).reshape(n, -1) if n else np.zeros((0, 1))
                for t in (mine, its)
            )
            differ |= (x != y).any(axis=1)
        if differ.any():
            k = int(np.argmax(differ))
            place = f"{labels[int(mine[part][k])]} at {_ns(mine['time_fs'][k])}"
            values = "; ".join(f"{column} {mine[column][k]} against {its[column][k]}" for column in mine)
            raise LawBroken(f"{how}, row {k} of {name} differs ({place}): {values}")
        counts = len(mine["time_fs"]), len(its["time_fs"])
        if counts[0] != counts[1]:
            longer = mine if counts[0] > n else its
            place = f"{labels[int(longer[part][n])]} at {_ns(longer['time_fs'][n])}"
            raise LawBroken(f"{how}, {name} are {counts[0]} against {counts[1]}; the first that only one has: {place}")
    if "amplitudes" in one and one["amplitudes"]["value"].tobytes() != other["amplitudes"]["value"].tobytes():
        raise LawBroken(f"{how}, amplitudes of the flux differ")


def _same_state(one: Simulation, other: Simulation, how: str, photons_left: bool = False) -> None:
    """Raise if two runs are not in the same state to the bit; ``photons_left``: their photons are counted otherwise."""
    mine, its = one.state, other.state
    if photons_left:
        for state in (mine, its):
            state.cursor[NEXT_PHOTON] = 0
    if engine_state.same(mine, its):
        return
    plan = one.plan
    labels: dict[str, Sequence[str]] = {
        "loops": plan.loop_ids,
        "next_fs": plan.loop_ids,
        "detectors": plan.detector_ids,
        "spikes": plan.neuron_ids,
        "counts": COUNTS,
    }
    for name, x, y in zip(State._fields, mine, its, strict=True):
        for field in x.dtype.names or (None,):
            a, b = (column if field is None else column[field] for column in (x, y))
            if name.startswith(("heap", "queue")) or a.tobytes() == b.tobytes():
                continue
            k = int(np.argmax(a != b))
            part = labels[name][k] if name in labels else f"place {k}"
            what = f"{name} {field}" if field else name
            raise LawBroken(f"{how}, states differ at {one.now:.6f} ns: {what} of {part} is {a[k]} against {b[k]}")
    raise LawBroken(f"{how}, states differ at {one.now:.6f} ns: other photons are on their way")


def _same_times(
    one: Recording,
    other: Recording,
    how: str,
    tolerance_fs: int,
    shift_fs: int = 0,
    names: Mapping[str, str] | None = None,
) -> None:
    """Raise if spikes or fluxons of a part differ by more than a tolerance, but for what happens at the very end.

    The other run is ``shift_fs`` later and its parts are called ``names[id]``.
    """
    end = _end_fs(one)
    for table, column, ids in (("spikes", "neuron", one.plan.neuron_ids), ("fluxons", "loop", one.plan.loop_ids)):
        places = {name: k for k, name in enumerate(other.plan.neuron_ids if table == "spikes" else other.plan.loop_ids)}
        for k, name in enumerate(ids):
            mine = _fs(one.table(table), column, k)
            its = _fs(other.table(table), column, places[names[name] if names else name]) - shift_fs
            n = min(len(mine), len(its))
            far = np.abs(mine[:n] - its[:n]) > tolerance_fs
            if far.any():
                j = int(np.argmax(far))
                raise LawBroken(f"{how}, {table[:-1]} {j} of {name} is at {_ns(mine[j])} against {_ns(its[j])}")
            rest = np.concatenate([mine[n:], its[n:]])
            if rest.size and rest[0] <= end - tolerance_fs:
                counts = f"{len(mine)} against {len(its)} {table}"
                raise LawBroken(f"{how}, {name} makes {counts}; the first that only one has is at {_ns(rest[0])}")


def _rests_at(plan: Plan, d: int) -> bool:
    """Loop ``d`` makes no fluxons at its constant flux."""
    row, phi, ib = int(plan.arrays.row[d]), float(plan.arrays.offset[d]), float(plan.arrays.ib[d])
    return bool(source_function.source(plan.sources, row, phi, ib)[3] <= EDGE)


def _before_the_start(network: Network, stimulus: Stimulus) -> str | None:
    """What acts on a network from before the start of the run on."""
    plan = lower(network, tuple(stimulus.drives))
    for d, name in enumerate(plan.loop_ids):
        if not _rests_at(plan, d):
            return f"{name} makes fluxons without input"
    for drive in [*network.drives, *stimulus.drives]:
        if drive.points is not None and drive.points[0][1] != 0.0:
            return f"a drive on {drive.target} holds {drive.points[0][1]:g} Phi0 before its first point"
    return None


def _draws(network: Network) -> str | None:
    """Which part of a network draws random numbers, whose addresses are ids."""
    if network.device.temperature > 0.0:
        return "thermal fluxons are drawn, by ids"
    for name, synapse in network.synapses.items():
        if synapse.efficiency < 1.0 or synapse.recovery != "full":
            return f"{name} draws which photons it detects, by its id"
    for guide in network.waveguides:
        transmitter = network.neurons[guide.source].transmitter
        if guide.loss_db > 0.0 or (transmitter is not None and transmitter.emission != "deterministic"):
            return f"{network.key(guide)} draws which photons arrive and when, by its id"
    return None


def _rebuilt(network: Network, parts: Iterable[Part], device: Device | None = None) -> Network:
    made = Network(device or network.device, network.name)
    with detached():
        made.extend(parts)
    return made


def _parts(network: Network) -> list[Any]:
    return [part for group in network.sorted_parts() for part in group]


def _stimulus(network: Network, photons: Any) -> Stimulus:
    """The stimulus with ids for keys."""
    stimulus = Stimulus.coerce(photons)
    ids = sorted(network.synapses)
    return stimulus.relabel(lambda key: ids[key] if isinstance(key, int) else key)


# ---------------------------------------------------------------------------------------------- laws: current, energy


@_law("current")
def law_current(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """The current of a loop is neither negative nor above saturation, but for what one turn of the phase carries.

    0 <= quanta <= ib - lowest threshold current + two quanta (the one that comes last, and the phase before it), where nothing
    else lets quanta in; the current is within 2 pi/beta of the quanta, and half of that further per Phi0 of flux drives on one arm.
    """
    rec = run(network, photons, duration, record=_ALL)
    plan, arrays, mixed = rec.plan, rec.plan.arrays, _mixed(rec.plan)
    for d, name in enumerate(plan.loop_ids):
        fs = _moments(rec, d)
        quanta, current = rec.quanta(name, fs * 1e-6), rec.current(name, fs * 1e-6)
        top = arrays.ib[d] - _lowest_level(plan, int(arrays.row[d])) + 2.0 * arrays.quantum[d]
        largest = max(top, 2.0 * arrays.quantum[d])
        for wrong, bound in ((quanta < 0.0, "below 0"), (quanta > largest, f"above {largest:.6g}")):
            if wrong.any() and d not in mixed:
                k = int(np.argmax(wrong))
                raise LawBroken(f"{_kind(plan, d)} holds {quanta[k]:.9g} I_c at {_ns(fs[k])}, {bound}")
        span = arrays.quantum[d] * (1.0 + 0.5 * _one_arm_range(network, photons, plan, d))
        apart = np.abs(current - quanta)
        if (apart > span * (1.0 + 1e-9)).any():
            k = int(np.argmax(apart))
            raise LawBroken(
                f"{_kind(plan, d)} carries {current[k]:.9g} I_c at {_ns(fs[k])}, but its quanta are {quanta[k]:.9g}: "
                f"further apart than {span:.6g}, all that the phase within a turn can make"
            )
    return None


def _lowest_level(plan: Plan, row: int) -> float:
    """Threshold current at the most favourable flux."""
    shape, scale, _, levels, _ = plan.sources
    flux = np.linspace(-0.5, 0.5, 401)
    return min(source_function.level(shape, scale, levels, row, float(phi))[0] for phi in flux)


def _one_arm_range(network: Network, photons: Any, plan: Plan, d: int) -> float:
    """How far (Phi0) the flux drives on one arm of loop ``d`` swing at most."""
    total = 0.0
    for drive in [*network.drives, *Stimulus.coerce(photons).drives]:
        if plan.loop_index[drive.target] == d and drive.arm == "first":
            values = [phi for _, phi in drive.points or ()] + [pulse.phi_peak for pulse in drive.pulses or ()]
            total += max(*values, 0.0) - min(*values, 0.0) if drive.points else sum(map(abs, values))
    return total


@_law("decay")
def law_decay(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """Between two fluxons, and after the last one, the quanta of a loop decay as e^(-t/tau), to 1e-12.

    Loops that drives let quanta into, and those that load each other, are left out.
    """
    rec = run(network, photons, duration, record=_ALL)
    mixed = _mixed(rec.plan)
    for d, name in enumerate(rec.plan.loop_ids):
        own = _own_events(rec, d)
        if not own.size or d in mixed:
            continue
        tau, after = rec.plan.arrays.tau[d], np.concatenate([own[1:] - 1, [_end_fs(rec)]])
        middle = (own + after) // 2
        held = rec.quanta(name, own * 1e-6)
        for then in (middle, after):
            found, expected = rec.quanta(name, then * 1e-6), held * np.exp((own - then) * 1e-6 / tau)
            wrong = np.abs(found - expected) > 1e-12 * expected
            if wrong.any():
                k = int(np.argmax(wrong))
                before = f"{held[k]} I_c at {_ns(own[k])}"
                raise LawBroken(
                    f"{_kind(rec.plan, d)} holds {found[k]} I_c at {_ns(then[k])}, but {before} leave {expected[k]} "
                    f"when they decay with {tau:.6g} ns"
                )
    return _OTHERS if len(mixed) == len(rec.plan.loop_ids) else None


@_law("fluxons")
def law_fluxons(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """A loop holds what its fluxons brought, 2 pi/beta each, decayed since and gone after a purge (to 1e-11).

    Where drives let quanta in, or loops load each other, only their numbers are looked at.
    """
    rec = run(network, photons, duration, record=_ALL)
    mixed = _mixed(rec.plan)
    for d, name in enumerate(rec.plan.loop_ids):
        n = len(_fs(rec.table("fluxons"), "loop", d))
        if rec.fluxon_count[name] != n:
            raise LawBroken(f"{_kind(rec.plan, d)} counts {rec.fluxon_count[name]} fluxons where {n} are recorded")
        fs = _moments(rec, d)
        found, expected = rec.quanta(name, fs * 1e-6), _booked(rec, d, fs)
        wrong = np.abs(found - expected) > 1e-11 * expected
        if wrong.any() and d not in mixed:
            k = int(np.argmax(wrong))
            raise LawBroken(
                f"{_kind(rec.plan, d)} holds {found[k]} I_c at {_ns(fs[k])}, but its fluxons bring {expected[k]}"
            )
    return None


@_law("energy")
def law_energy(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """The bias does the work ib I_c Phi0 a fluxon; it is stored or dissipated, to 1e-9, and no loss is negative.

    What the junctions dissipate, and what spikes purge, follows from the fluxons. (Where quanta enter from outside, the leak has their
    work on it; of such loops, and of those that load each other, only the sum is looked at.)
    """
    rec = run(network, photons, duration, record=("fluxons",))
    mixed = _mixed(rec.plan)
    arrays, Ic = rec.plan.arrays, rec.plan.device.Ic
    for d, name in enumerate(rec.plan.loop_ids):
        energy, fluxons, purges = rec.energy["loops"][name], _fs(rec.table("fluxons"), "loop", d), _purges(rec, d)
        beta, quantum, unit = arrays.beta[d], arrays.quantum[d], Ic * Phi0 / (2.0 * math.pi)
        step = math.exp(-1e-6 / arrays.tau[d])
        before = _booked(rec, d, fluxons - 1) * step
        turns = 0.5 * beta * quantum * (2.0 * before + quantum)  # what each fluxon leaves in the loop
        drawn = len(fluxons) * arrays.ib[d] * Ic * Phi0
        emptied = _booked(rec, d, purges - 1) * step + quantum
        expected = {
            "drawn": drawn,
            "junctions": drawn - turns.sum() * unit,
            "purge": 0.5 * beta * (emptied**2).sum() * unit,
        }
        for what, value in expected.items():
            if abs(energy[what] - value) > 1e-9 * drawn and d not in mixed:
                due = f"{len(fluxons)} fluxons make it {value} J"
                raise LawBroken(f"{_kind(rec.plan, d)}: {what} is {energy[what]} J by {_ns(_end_fs(rec))}, but {due}")
        kept = math.fsum(energy[what] for what in ("stored", "passed", "junctions", "leak", "purge"))
        if abs(energy["drawn"] - kept) > 1e-9 * (
            drawn + (energy["stored"] + abs(energy["leak"]) if d in mixed else 0.0)
        ):
            drawn_J = f"draws {energy['drawn']} J by {_ns(_end_fs(rec))}"
            raise LawBroken(f"{_kind(rec.plan, d)} {drawn_J}, but stores and dissipates {kept} J")
        for what in ("stored", "junctions", "leak", "purge"):
            if energy[what] < -1e-12 * drawn and d not in mixed:
                raise LawBroken(f"{_kind(rec.plan, d)}: {what} is {energy[what]} J by {_ns(_end_fs(rec))}, below 0")
    return None


@_law("spikes")
def law_spikes(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """A soma spikes with a fluxon that carries its current from below its threshold to it or above, t_ref apart.

    While it turns, its phase is on average up to a quarter of a turn behind that of the bottleneck, in which its current is compared.

    A soma that its spike purges makes no fluxon for t_ref. (Quanta that other loops or drives let in may make it spike, too.)
    """
    rec = run(network, photons, duration, record=("fluxons", "currents"))
    plan, arrays, mixed = rec.plan, rec.plan.arrays, _mixed(rec.plan)
    for n, name in enumerate(plan.neuron_ids):
        d = int(arrays.soma[n])
        spikes, fluxons = _fs(rec.table("spikes"), "neuron", n), _fs(rec.table("fluxons"), "loop", d)
        threshold, quantum, t_ref = arrays.threshold[d], arrays.quantum[d], int(arrays.t_ref_fs[d])
        before = rec.current(name, (spikes - 1) * 1e-6, ramp=False)
        for k, fs in enumerate(spikes.tolist()):
            if not np.isin(fs, fluxons):
                if d in mixed:
                    continue
                raise LawBroken(f"{name} spikes at {_ns(fs)}, when no fluxon enters its soma")
            if k > 0 and fs - spikes[k - 1] < max(t_ref, 1):
                raise LawBroken(f"{name} spikes at {_ns(spikes[k - 1])} and {_ns(fs)}, within t_ref = {_ns(t_ref)}")
            if before[k] > threshold + 1e-3 * quantum or before[k] + 1.26 * quantum < threshold:
                step = f"a fluxon carries its current from {before[k]:.9g} to {before[k] + quantum:.9g} I_c"
                raise LawBroken(f"{name} spikes at {_ns(fs)}, where {step}: not up through {threshold:.9g}")
            within = fluxons[(fluxons > fs) & (fluxons < fs + t_ref)]
            if arrays.purge[d] and within.size:
                raise LawBroken(
                    f"{name} is purged at {_ns(fs)} for {_ns(t_ref)}, but makes a fluxon at {_ns(within[0])}"
                )
    return None


# ---------------------------------------------------------------------------------------------- laws: flux


@_law("flux")
def law_flux(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """The flux in a loop is its offset, J times the quanta of every loop coupled to it, its drives, and the pulses of
    its detectors, each by itself (to 1e-9 Phi0), and what the phases of those loops make, less than a quantum each.
    Left out are targets of loops that others let quanta into.
    """
    stimulus = _stimulus(network, photons)
    rec = run(network, stimulus, duration, record=_ALL)
    plan, arrays = rec.plan, rec.plan.arrays
    sources = np.repeat(np.arange(len(plan.loop_ids)), np.diff(arrays.out_start))
    unknown = set(arrays.out_loop[np.isin(sources, list(_mixed(plan)))].tolist())
    for d, name in enumerate(plan.loop_ids):
        if d in unknown:
            continue
        fs = _moments(rec, d)
        due = np.full(len(fs), arrays.offset[d])
        for source in range(len(plan.loop_ids)):
            for c in range(arrays.out_start[source], arrays.out_start[source + 1]):
                if arrays.out_loop[c] == d:
                    id = plan.loop_ids[source]
                    phase = rec.seen(id, fs * 1e-6) - rec.quanta(id, fs * 1e-6)
                    bound = arrays.quantum[source] * (1.0 + 0.5 * _one_arm_range(network, photons, plan, source))
                    if (np.abs(phase) > bound).any():
                        raise LawBroken(
                            f"the phase of {_kind(plan, source)} makes {np.abs(phase).max()} I_c, more than a quantum"
                        )
                    due += arrays.out_J[c] * (_booked(rec, source, fs) + phase)
        for k in np.flatnonzero(arrays.det_loop == d).tolist():
            due += arrays.det_weight[k] * _pulses(rec, k, fs)
        for drive in [*network.drives, *stimulus.drives]:
            if plan.loop_index[drive.target] == d:
                due += _later(drive, 0).flux(fs * 1e-6)
        found = rec.flux(name, fs * 1e-6)
        wrong = np.abs(found - due) > 1e-9
        if wrong.any():
            k = int(np.argmax(wrong))
            raise LawBroken(f"{_kind(plan, d)} sees {found[k]} Phi0 at {_ns(fs[k])}, but its inputs make {due[k]} Phi0")
    return _OTHERS if len(unknown) == len(plan.loop_ids) else None


def _pulses(recording: Recording, k: int, fs: np.ndarray) -> np.ndarray:
    """Flux of detector ``k`` over its weight at times ``fs``, from its detections alone (physics.md 1.2)."""
    arrays, table = recording.plan.arrays, recording.table("photons")
    detected = table["time_fs"][(table["detector"] == k) & (table["fate"] == DETECTED)].tolist()
    level, rise, fall = arrays.det_level[k], arrays.det_tau_rise[k], arrays.det_tau_fall[k]
    hotspot = int(arrays.det_hotspot_fs[k])
    flux, left, then = np.zeros(len(fs)), 0.0, 0  # ``left``: flux at the end ``then`` of the last hotspot
    for start, stop in itertools.pairwise([*detected, FOREVER]):
        first = 0.0 if arrays.det_restarts[k] else left * math.exp(-(start - then) * 1e-6 / fall)
        hot, cold = (fs >= start) & (fs < start + hotspot), (fs >= start + hotspot) & (fs < stop)
        left, then = level + (first - level) * math.exp(-hotspot * 1e-6 / rise), start + hotspot
        flux[hot] = level + (first - level) * np.exp(-(fs[hot] - start) * 1e-6 / rise)
        flux[cold] = left * np.exp(-(fs[cold] - then) * 1e-6 / fall)
    return flux


@_law("source")
def law_source(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """Every source function has the period 1 Phi0; an RI one is the same at mirrored flux, an RTTI one is not.

    With unequal arms the mirror stands at -(beta_2 - beta_1)/(4 pi) i instead of 0 Phi0. No run is made.
    """
    plan = lower(network, tuple(Stimulus.coerce(photons).drives))
    for row in range(len(plan.sources.shape)):
        d = int(np.argmax(plan.arrays.row == row))
        mirror = int(plan.sources.shape[row, source_function.MIRROR]) == 1
        shift = float(plan.sources.scale[row, source_function.SHIFT])
        unlike = 0.0
        for phi in np.linspace(-0.47, 0.46, 24).tolist():
            for i in np.linspace(0.6, 2.9, 12).tolist():
                place = f"{_kind(plan, d)}: the rate at {phi:.6g} Phi0 and {i:.6g} I_c"
                r, r_phi, r_i, u = source_function.source(plan.sources, row, phi, i)
                if abs(u) < 1e-6:
                    continue  # at the onset rounding is magnified without bound
                scale = 1.0 + abs(r_phi) + abs(r_i)
                for turns in (1.0, -2.0):
                    again = source_function.source(plan.sources, row, phi + turns, i)
                    if max(abs(again[0] - r), abs(again[1] - r_phi), abs(again[2] - r_i)) > 1e-8 * scale:
                        raise LawBroken(
                            f"{place} and its derivatives are {r}, {r_phi}, {r_i}; {turns:g} Phi0 further they are "
                            f"{again[0]}, {again[1]}, {again[2]}"
                        )
                other = source_function.source(plan.sources, row, -phi - 2.0 * shift * i, i)
                unlike = max(unlike, abs(other[0] - r))
                if mirror and max(abs(other[0] - r), abs(other[1] + r_phi)) > 1e-8 * scale:
                    raise LawBroken(f"{place} is {r}, at the mirrored flux it is {other[0]}")
        if not mirror and unlike < 1e-3:
            raise LawBroken(f"{_kind(plan, d)}: its rate is the same at mirrored flux, which an RTTI dendrite's is not")
    return None


@_law("flux quantum")
def law_flux_quantum(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """One flux quantum more through every SQUID moves no fluxon and no spike, but for rounding (0.1 ns)."""

    def moved(part: Any) -> Any:
        if isinstance(part, Dendrite):
            return dataclasses.replace(part, phi_offset=part.phi_offset + 1.0)
        if isinstance(part, Neuron):
            inner = {
                name: dataclasses.replace(loop, phi_offset=loop.phi_offset + 1.0)
                for name in ("soma", "refractory")
                if (loop := getattr(part, name)) is not None
            }
            return dataclasses.replace(part, **inner)
        return part

    with detached():
        other = _rebuilt(network, [moved(part) for part in _parts(network)])
    one, two = run(network, photons, duration), run(other, photons, duration)
    _same_times(one, two, "with phi_offset 1 Phi0 higher everywhere", _ROUNDING_FS)
    return None


# ---------------------------------------------------------------------------------------------- laws: cause and time


@_law("first cause")
def law_first_cause(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """No fluxon comes before the first photon or drive that can have caused it, on whatever way."""
    rec = run(network, photons, duration)
    plan, arrays = rec.plan, rec.plan.arrays
    first = dict.fromkeys(range(len(plan.loop_ids)), FOREVER)
    waiting = [(0, d) for d in first if not _rests_at(plan, d)]
    waiting += list(zip(arrays.kick_fs.tolist(), arrays.kick_loop.tolist(), strict=True))
    for name, times in _stimulus(network, photons).photons.items():
        loop = int(arrays.det_loop[plan.detector_index[str(name)]])
        waiting += [(fs, loop) for fs in ns_to_fs(times).tolist()]
    heapq.heapify(waiting)
    while waiting:  # Dijkstra's shortest ways
        fs, d = heapq.heappop(waiting)
        if fs >= first[d]:
            continue
        first[d] = fs
        for c in range(arrays.out_start[d], arrays.out_start[d + 1]):
            heapq.heappush(waiting, (fs, int(arrays.out_loop[c])))
        for detector, delay in _light(plan, int(arrays.neuron[d])):
            heapq.heappush(waiting, (fs + delay, int(arrays.det_loop[detector])))
    for d, name in enumerate(plan.loop_ids):
        fluxons = _fs(rec.table("fluxons"), "loop", d)
        if fluxons.size and fluxons[0] < first[d]:
            cause = f"comes at {_ns(first[d])}" if first[d] < FOREVER else "never comes"
            raise LawBroken(
                f"{_kind(plan, d)} makes a fluxon at {_ns(fluxons[0])}, but the first input that reaches {name} {cause}"
            )
    return None


def _light(plan: Plan, neuron: int) -> list[tuple[int, int]]:
    """(detector, least delay in fs) of everything that a spike sends out."""
    arrays = plan.arrays
    if neuron < 0:
        return []
    own = int(arrays.refractory_detector[neuron])
    found = [(own, 0)] if own >= 0 else []
    if arrays.emission[neuron] != DARK:
        for w in range(arrays.guide_start[neuron], arrays.guide_start[neuron + 1]):
            found.append((int(arrays.guide_detector[w]), int(arrays.latency_fs[neuron] + arrays.guide_delay_fs[w])))
    return found


@_law("light")
def law_light(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """Photons arrive when they were sent: as given, and latency and delay after a spike (drawn ones not earlier).

    Where a waveguide has loss, or photons are drawn, at most one photon comes of a spike.
    """
    rec = run(network, photons, duration, record=("photons",))
    plan, arrays, end = rec.plan, rec.plan.arrays, _end_fs(rec)
    sure: dict[int, list[int]] = {k: [] for k in range(len(plan.detector_ids))}
    exact, drawn = {k: list[int]() for k in sure}, {k: list[int]() for k in sure}
    for name, times in _stimulus(network, photons).photons.items():
        sure[plan.detector_index[str(name)]] += ns_to_fs(times).tolist()
    for n in range(len(plan.neuron_ids)):
        spikes = _fs(rec.table("spikes"), "neuron", n)
        own = int(arrays.refractory_detector[n])
        if own >= 0:
            sure[own] += spikes.tolist()
        for w in range(arrays.guide_start[n], arrays.guide_start[n + 1]) if arrays.emission[n] != DARK else ():
            kind = drawn if arrays.guide_drawn[w] else sure if arrays.guide_pass[w] >= 1.0 else exact
            kind[int(arrays.guide_detector[w])] += (spikes + arrays.latency_fs[n] + arrays.guide_delay_fs[w]).tolist()
    for k, name in enumerate(plan.detector_ids):
        left = Counter(_fs(rec.table("photons"), "detector", k).tolist())
        left.subtract(fs for fs in sure[k] if fs <= end)
        missing = sorted(fs for fs, count in left.items() if count < 0)
        if missing:
            raise LawBroken(f"no photon arrives at {name} at {_ns(missing[0])}, where one was sent")
        possible = Counter(exact[k])
        late = sorted((left - possible).elements())
        allowed = np.sort(np.array(drawn[k], dtype=np.int64))
        for j, fs in enumerate(late):
            if np.searchsorted(allowed, fs, side="right") <= j:
                raise LawBroken(f"a photon arrives at {name} at {_ns(fs)}, which nothing can have sent")
    return None


@_law("prefix")
def law_prefix(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """Photons that come later change nothing that was before, to the bit."""
    stimulus = _stimulus(network, photons)
    times = np.unique(np.concatenate([np.zeros(0), *stimulus.photons.values()]))
    if not times.size:
        return "no photons come"
    whole = run(network, stimulus, duration, record=_ALL)
    for moment in {float(times[-1]), float(times[len(times) // 2])}:
        cut = Stimulus({name: train[train < moment] for name, train in stimulus.photons.items()}, stimulus.drives)
        part = run(network, cut, duration, record=_ALL)
        stop = int(ns_to_fs(moment))
        one, two = (_before(rec, stop) for rec in (whole, part))
        _same_to_the_bit(one, two, whole.plan, f"without the photons from {_ns(stop)} on")
    return None


def _before(recording: Recording, stop: int) -> _Tables:
    """What happened before a time (fs)."""
    kept: _Tables = {}
    for name in _OWNERS:
        table = recording.table(name)
        early = table["time_fs"] < stop
        kept[name] = {column: values[early] for column, values in table.items()}
    modes = np.diff(recording.plan.arrays.mode_start)[kept["trace"]["loop"]].sum()
    kept["amplitudes"] = {"value": recording.table("amplitudes")["value"][:modes]}
    return kept


@_law("translation")
def law_translation(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """Photons and drives that come 7 ns and 3 fs later make everything come just as much later, to the femtosecond.

    What acts from before the start of the run on is left out: over-biased loops, which make fluxons without input, and
    drives whose first point is not 0 Phi0, which is held before it.
    """
    stimulus = _stimulus(network, photons)
    before = _before_the_start(network, stimulus)
    if before:
        return before
    with detached():
        parts = [_later(part, _SPAN_FS) if isinstance(part, Drive) else part for part in _parts(network)]
        drives = [_later(drive, _SPAN_FS) for drive in stimulus.drives]
        other = _rebuilt(network, parts)
    later = Stimulus({name: (ns_to_fs(train) + _SPAN_FS) * 1e-6 for name, train in stimulus.photons.items()}, drives)
    one = run(network, stimulus, duration, record=("fluxons", "photons"))
    two = run(other, later, (int(ns_to_fs(duration)) + _SPAN_FS) * 1e-6, record=("fluxons", "photons"))
    events = ("photons", "spikes", "fluxons")
    moved = _tables(two, events)
    for table in moved.values():
        table["time_fs"] = table["time_fs"] - _SPAN_FS
    _same_to_the_bit(_tables(one, events), moved, one.plan, f"shifted by {_ns(_SPAN_FS)}")
    return None


def _later(drive: Drive, shift: int) -> Drive:
    """The drive ``shift`` fs later."""

    def moved(t: float) -> float:
        return (int(ns_to_fs(t)) + shift) * 1e-6

    if drive.points is not None:
        return dataclasses.replace(drive, points=tuple((moved(t), phi) for t, phi in drive.points))
    if drive.quanta is not None:
        return dataclasses.replace(drive, quanta=tuple((moved(t), n) for t, n in drive.quanta))
    return dataclasses.replace(drive, pulses=tuple(dataclasses.replace(p, t0=moved(p.t0)) for p in drive.pulses or ()))


# ---------------------------------------------------------------------------------------------- laws: detectors


@_law("detector")
def law_detector(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """A photon in a hotspot or within the dead time is lost, and one at a detector that misses none is detected else.

    So detections at one detector are at least max(hotspot, dead_time) apart.
    """
    rec = run(network, photons, duration, record=("photons",))
    arrays, table = rec.plan.arrays, rec.table("photons")
    for k, name in enumerate(rec.plan.detector_ids):
        times, fates = _fs(table, "detector", k), table["fate"][table["detector"] == k]
        last = -FOREVER
        for fs, fate in zip(times.tolist(), fates.tolist(), strict=True):
            hot, dead = fs - last < arrays.det_hotspot_fs[k], fs - last < arrays.det_dead_fs[k]
            due = IN_HOTSPOT if hot else IN_DEAD_TIME if dead else DETECTED
            chance = not (hot or dead) and (arrays.det_efficiency[k] < 1.0 or arrays.det_recovers[k] == 1)
            if fate != due and not (chance and fate == MISSED):
                since = f"{_ns(fs - last)} after the last detection" if last >= 0 else "the first"
                pauses = f"hotspot {_ns(arrays.det_hotspot_fs[k])}, dead time {_ns(arrays.det_dead_fs[k])}"
                raise LawBroken(
                    f"the photon at {name} at {_ns(fs)}, {since}, is {FATES[fate]}, not {FATES[due]} ({pauses})"
                )
            last = fs if fate == DETECTED else last
    return None


@_law("thinning")
def law_thinning(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """A detector of efficiency eta detects a binomial share of the photons that find it ready.

    Every synapse with 0 < eta < 1 is taken out of the network and given 2000 photons, far apart. A correct engine is
    accused with probability 1e-6 or less a synapse; draws follow from seed and id, so it is accused always or never.
    """
    lossy = {name: s for name, s in network.synapses.items() if 0.0 < s.efficiency < 1.0}
    if not lossy:
        return "no detector misses photons"
    n = 2000
    with detached():
        parts = [Dendrite("nowhere"), *(dataclasses.replace(s, target="nowhere", weight=0.0) for s in lossy.values())]
        alone = _rebuilt(network, parts)
    apart = 1.0 + max(s.hotspot + s.dead_time + 40.0 * s.tau_fall for s in lossy.values())
    times = np.arange(1, n + 1) * apart
    rec = run(alone, dict.fromkeys(lossy, times), (n + 1) * apart, record=("photons",))
    from scipy.stats import binom

    for name, synapse in lossy.items():
        found, share = len(rec.detections[name]), binom(n, synapse.efficiency)
        if share.cdf(found) < 5e-7 or share.sf(found - 1) < 5e-7:
            raise LawBroken(f"{name} detects {found} of {n} photons with the efficiency {synapse.efficiency:g}")
    return None


# ---------------------------------------------------------------------------------------------- laws: the same network


@_law("relabelling")
def law_relabelling(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """Other ids, in the opposite order, change no event.

    To the femtosecond, unless different parts act in the same femtosecond: their order follows the ids, and the
    rounding of their sums with it; then 0.1 ns is allowed. Networks that draw random numbers are left out, since the
    address of a draw is an id.
    """
    draws = _draws(network)
    if draws:
        return draws
    stimulus = _stimulus(network, photons)
    ids = sorted([*network.synapses, *network.dendrites, *network.neurons])
    names = {name: f"z{len(ids) - k:04d}" for k, name in enumerate(ids)}
    edges = [part for part in _parts(network) if isinstance(part, Coupling | Waveguide)]
    keys = {network.key(part): f"e{len(edges) - k:04d}" for k, part in enumerate(edges)}

    def renamed(part: Any) -> Any:
        if isinstance(part, Coupling | Waveguide):
            return dataclasses.replace(
                part, id=keys[network.key(part)], source=names[part.source], target=names[part.target]
            )
        changes = {
            field: names[getattr(part, field)] for field in ("id", "target") if getattr(part, field, None) is not None
        }
        return dataclasses.replace(part, **changes)

    with detached():
        other = _rebuilt(network, [renamed(part) for part in _parts(network)])
        drives = [dataclasses.replace(drive, target=names[drive.target]) for drive in stimulus.drives]
    one = run(network, stimulus, duration, record=("fluxons", "photons"))
    two = run(
        other,
        Stimulus({names[str(key)]: train for key, train in stimulus.photons.items()}, drives),
        duration,
        record=("fluxons", "photons"),
    )
    full = {
        **names,
        **{f"{n}.{inner}": f"{names[n]}.{inner}" for n in network.neurons for inner in ("soma", "refractory")},
    }
    _same_times(one, two, "with other ids", _ROUNDING_FS if _has_ties(one) else 0, names=full)
    return None


def _has_ties(recording: Recording) -> bool:
    """Different parts act in the same femtosecond somewhere."""
    seen: dict[int, tuple[str, int]] = {}
    arrays = recording.plan.arrays
    kicks = [(fs, ("kick", j)) for j, fs in enumerate(arrays.kick_fs.tolist())]
    for name, column in (("spikes", "neuron"), ("fluxons", "loop"), ("photons", "detector")):
        table = recording.table(name)
        kicks += [
            (fs, (name, part)) for fs, part in zip(table["time_fs"].tolist(), table[column].tolist(), strict=True)
        ]
    for k in range(len(recording.plan.detector_ids)):  # the end of a hotspot is an event too
        hits = recording.table("photons")
        detected = hits["time_fs"][(hits["detector"] == k) & (hits["fate"] == DETECTED)]
        kicks += [(fs, ("end", k)) for fs in (detected + arrays.det_hotspot_fs[k]).tolist()]
    soma = {int(d): n for n, d in enumerate(arrays.soma)}
    for fs, (name, part) in kicks:
        who = (name, part)
        if name == "fluxons" and part in soma:
            who = ("spikes", soma[part])  # a spike comes with a fluxon of its own soma
        if name == "photons" and int(part) in arrays.refractory_detector.tolist():
            continue  # and with the photon at its own refractory detector
        if seen.setdefault(fs, who) != who:
            return True
    return False


@_law("units")
def law_units(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """The same network in henries, ohms and amperes lowers to the same Plan (1e-11) and makes the same events (0.1 ns)."""
    one, two = run(network, photons, duration), run(_in_si(network, 1.0), photons, duration)
    _alike(one.plan, two.plan, "in SI units")
    _same_times(one, two, "in SI units", _ROUNDING_FS)
    return None


@_law("scaling")
def law_scaling(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """1.7 times critical current and temperature, with inductances and resistances over 1.7, change no Plan (1e-11) or event (0.1 ns).

    The unit of time tau_0 depends on beta_c and on the capacitance per critical current only.
    """
    one, two = run(network, photons, duration), run(_in_si(network, 1.7), photons, duration)
    _alike(one.plan, two.plan, "with 1.7 times the critical current")
    _same_times(one, two, "with 1.7 times the critical current", _ROUNDING_FS)
    return None


def _in_si(network: Network, factor: float) -> Network:
    """The network with quantities for numbers, on junctions with ``factor`` times the critical current."""
    device = network.device
    larger = {"Ic": f"{device.Ic * factor * 1e6!r} uA", "temperature": f"{device.temperature * factor!r} K"}
    bigger = Device.from_dict({**device.as_dict(), **larger})

    def amperes(value: float) -> str:
        return f"{value * bigger.Ic * 1e6!r} uA"

    def declared(part: Any) -> Any:
        if isinstance(part, Neuron):
            inner = {
                name: declared(loop) for name in ("soma", "refractory") if (loop := getattr(part, name)) is not None
            }
            return dataclasses.replace(part, **inner)
        if isinstance(part, Coupling):
            mutual: Any = f"{bigger.mutual_from_J(part.J) * 1e12!r} pH"
            return dataclasses.replace(part, J=None, mutual=mutual)  # type: ignore[arg-type]  # one stands for the other
        if not hasattr(part, "beta_over_2pi"):
            return part
        beta = 2.0 * math.pi * part.beta_over_2pi
        tau = float(part.tau) if part.resistance is not None else float(part.tau) * device.beta_eff(beta) / beta
        changes = {
            "beta_over_2pi": None,
            "inductance": f"{bigger.inductance_from_beta(beta) * 1e9!r} nH",
            "tau": None,
            "resistance": f"{bigger.resistance_from_tau(beta, tau) * 1e3!r} mOhm",
        }
        if part.ib is not None:
            changes["ib"] = amperes(part.ib)
        if isinstance(part, Soma):
            changes["threshold"] = amperes(part.threshold)
        for name in ("collection_inductance", "collection_mutual"):
            if getattr(part, name, None) is not None:
                changes[name] = f"{getattr(part, name) / factor * 1e12!r} pH"
        return dataclasses.replace(part, **changes)

    with detached():
        return _rebuilt(network, [declared(part) for part in _parts(network)], bigger)


def _alike(one: Plan, two: Plan, how: str) -> None:
    """Raise if two Plans differ by more than rounding."""
    for name, x, y in zip(one.arrays._fields, one.arrays, two.arrays, strict=True):
        if x.shape != y.shape or not np.allclose(x, y, rtol=1e-11, atol=1e-12):
            raise LawBroken(f"{how}, the column {name} of the Plan is {y} where it was {x}")
    if abs(two.tau_0 / one.tau_0 - 1.0) > 1e-12:
        raise LawBroken(f"{how}, tau_0 is {two.tau_0!r} ns where it was {one.tau_0!r} ns")


@_law("insertion order")
def law_insertion_order(network: Network, photons: Any, duration: float, run: Any = simulate) -> str | None:
    """The order in which parts are added changes neither the Plan nor any event, to the bit."""
    one = run(network, photons, duration, record=_ALL)
    parts = _parts(network)
    for seed in range(2):
        random.Random(seed).shuffle(parts)
        two = run(_rebuilt(network, parts), photons, duration, record=_ALL)
        how = f"with parts added in the order {', '.join(map(_name, parts))}"
        if one.plan.digest != two.plan.digest:
            raise LawBroken(f"{how}, the Plan differs")
        _same_to_the_bit(_tables(one), _tables(two), one.plan, how)
    return None


def _name(part: Any) -> str:
    return getattr(part, "id", None) or f"{getattr(part, 'source', 'drive')}->{part.target}"


# ---------------------------------------------------------------------------------------------- laws: how a run is run


@_law("split", held=True)
def law_split(network: Network, photons: Any, duration: float, run: Any = Simulation) -> str | None:
    """A run that is held at any times, or after any numbers of events, is the run in one go, to the bit."""
    whole = run(network, photons, record=_ALL)
    whole.run(duration)
    one = _tables(whole.recording())
    fluxons = one["fluxons"]["time_fs"]
    at_events = fluxons[len(fluxons) // 3 :: 1 + len(fluxons) // 3] * 1e-6
    for times in ([0.0, 0.37 * duration, 0.37 * duration, 0.9 * duration], at_events):
        pieces = run(network, photons, record=_ALL)
        for t in [*times, duration]:
            pieces.run(t)
        how = f"held at {', '.join(f'{t:g}' for t in times)} ns"
        _same_to_the_bit(one, _tables(pieces.recording()), whole.plan, how)
        _same_state(whole, pieces, how)
    pieces = run(network, photons, record=_ALL)
    for k in range(8):
        pieces.run(duration, events=2**k - 1)
        pieces.recording()
    pieces.run(duration)
    _same_to_the_bit(one, _tables(pieces.recording()), whole.plan, "held after 0, 1, 4, 11, ... events")
    _same_state(whole, pieces, "held after 0, 1, 4, 11, ... events")
    return None


@_law("recording", held=True)
def law_recording(network: Network, photons: Any, duration: float, run: Any = Simulation) -> str | None:
    """What is recorded changes no event, to the bit."""
    everything = run(network, photons, record=_ALL)
    everything.run(duration)
    one = everything.recording()
    for chosen in ((), ("fluxons",), ("photons",)):
        some = run(network, photons, record=chosen)
        some.run(duration)
        how = f"with only {', '.join(chosen) or 'spikes'} recorded"
        _same_to_the_bit(
            _tables(one, ("spikes", *chosen)), _tables(some.recording(), ("spikes", *chosen)), one.plan, how
        )
        _same_state(everything, some, how)
    return None


@_law("engines", held=True)
def law_engines(network: Network, photons: Any, duration: float, run: Any = Simulation) -> str | None:
    """The reference engine and the compiled engine make the same events, traces and states, to the bit."""
    one, two = (run(network, photons, record=_ALL, engine=engine) for engine in ("reference", "compiled"))
    one.run(duration)
    two.run(duration)
    how = "reference engine against compiled engine"
    _same_to_the_bit(_tables(one.recording()), _tables(two.recording()), one.plan, how)
    _same_state(one, two, how)
    return None


@_law("checkpoint", held=True)
def law_checkpoint(network: Network, photons: Any, duration: float, run: Any = Simulation) -> str | None:
    """A run that is saved, restored and continued is the run that was never held, to the bit."""
    whole = run(network, photons, record=_ALL)
    whole.run(duration)
    with tempfile.TemporaryDirectory() as folder:
        for k, events in enumerate((0, whole.event_count // 2)):
            held = run(network, photons, record=_ALL)
            held.run(duration, events=events)
            path = Path(folder) / f"{k}.h5"
            held.checkpoint(path)
            restored = type(held).restore(path)
            restored.run(duration)
            _same_to_the_bit(
                _tables(whole.recording()), _tables(restored.recording()), whole.plan, f"restored after {events} events"
            )
            _same_state(whole, restored, f"restored after {events} events", photons_left=True)
    return None
