"""What breaks on a chip: seeded faults of parts, mixtures of them, and how a network's performance survives them.

>>> from hardware.faults import dead_detectors, survival_curve
>>> damaged = dead_detectors(network, 0.1, seed=3)                          # doctest: +SKIP
>>> damaged.hits["dead_detectors"]                                          # doctest: +SKIP
('s17', 's4')
>>> recording = damaged.simulate({"s1": [10.0]}, duration=400.0)            # doctest: +SKIP

Every fault takes a network and returns a :class:`Damaged`; the given network stays as it is, and every id stays, so
that the same photons can be given to the damaged network. A fault hits a ``share`` of the parts, or the ``ids``.

Whether a part is hit is one uniform number with the address (seed, the part's id, the fault), compared with the share.
So with the same seed a larger share hits a superset, different faults hit independently, and adding a part, or
declaring parts in another order, never changes who else is hit.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from soen_event.errors import InputError, nearest
from soen_event.network import Network
from soen_event.physics.random import SPREAD, checked_seed, exponential, part_key, uniform
from soen_event.stimulus import Stimulus

if TYPE_CHECKING:
    from soen_event.recording import Recording

__all__ = [
    "Damaged",
    "Fault",
    "Faults",
    "SurvivalCurve",
    "dead_detectors",
    "firing_detectors",
    "lost_waveguides",
    "open_couplings",
    "stuck_weights",
    "survival_curve",
    "weak_sources",
]

PROGRAMMED = ("weights", "J", "phi_offset", "ib")
"""Parameters whose stored value may be stuck."""
STUCK_AT = ("zero", "low", "high", "random")
SPACINGS = ("poisson", "regular")
LOST_DB = 1e3
"""Loss (dB) of a broken waveguide, the largest that a Waveguide takes: 1e-100 of the light passes, so none ever does."""
MOST_PHOTONS = 10_000_000
_LISTED = 20  # faults of one kind that are spelled out


@dataclass(frozen=True)
class Damaged:
    """A network with faults, and what was hit.

    Args:
        network: the damaged network, with the ids of the sound one.
        hits: ids of the parts that were hit, ascending, by the name of the fault.
        exposed: how many parts each fault could have hit.
        photons: what always-firing detectors see on top of the photons from outside; empty without them.
    """

    network: Network
    hits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exposed: Mapping[str, int] = field(default_factory=dict)
    photons: Stimulus = field(default_factory=Stimulus)

    def simulate(self, photons: Any = None, duration: float | None = None, **options: Any) -> Recording:
        """Run the damaged network on ``photons`` and those of its always-firing detectors.

        Arguments and errors as in :func:`soen_event.simulate`.
        """
        from soen_event import simulate

        return simulate(self.network, Stimulus.coerce(photons) + self.photons, duration, **options)

    def table(self) -> str:
        """Return a line a fault: parts, how many were hit, and the first of their ids."""
        lines = [f"{'fault':18}{'parts':>8}{'hit':>8}  ids"]
        for name, hit in self.hits.items():
            more = f" and {len(hit) - 5} more" if len(hit) > 5 else ""
            lines.append(f"{name:18}{self.exposed.get(name, len(hit)):>8}{len(hit):>8}  {', '.join(hit[:5])}{more}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


class Fault(Protocol):
    """What :func:`survival_curve` calls: any fault of this file, perhaps with more arguments bound by partial."""

    def __call__(self, network: Network, share: float, *, seed: int) -> Damaged | Network:
        """Return the network damaged to the extent ``share``."""


# ---------------------------------------------------------------------------------------------- single faults


def dead_detectors(
    network: Network, share: float | None = None, *, ids: Iterable[str] | None = None, seed: int = 0
) -> Damaged:
    """Detectors that no longer respond: their efficiency is 0. Photons still arrive and are counted as lost.

    Args:
        network: any network.
        share: probability that a synapse is hit, 0 to 1; or
        ids: the synapses that are hit.
        seed: 0 to 2^63 - 1; with the same seed a larger share hits a superset.

    Raises:
        InputError: an argument that does not fit, or an unknown id.
    """
    what = "dead_detectors"
    names = _network(network, what).ids("synapse")
    hit = _hit(what, names, share, ids, seed)
    new = network.copy()
    for name in hit:
        new.replace(name, efficiency=0.0)
    return Damaged(new, {what: hit}, {what: len(names)})


def firing_detectors(
    network: Network,
    share: float | None = None,
    *,
    rate_MHz: float,
    duration: float,
    t0: float = 0.0,
    spacing: str = "poisson",
    ids: Iterable[str] | None = None,
    seed: int = 0,
) -> Damaged:
    """Detectors that fire without light, as an over-biased wire does: photons from nowhere, which they all detect.

    Their efficiency is set to 1, so that every such photon is a detection unless it falls into a hotspot or dead time,
    or the bias current has not recovered. The photons are in :attr:`Damaged.photons`: give them to the run, or use
    :meth:`Damaged.simulate`.

    Args:
        network: any network.
        share: probability that a synapse is hit, 0 to 1; or
        ids: the synapses that are hit.
        rate_MHz: mean rate of firing, above 0. A detector recovers at about 20 to 30 MHz (physics.md 1.1, 1.3).
        duration: how long they fire, ns, above 0; give the duration of the run. A longer one only adds photons.
        t0: when they begin, ns, 0 or later.
        spacing: "poisson": dark counts, independent of each other. "regular": a relaxation oscillation, evenly spaced,
            its phase drawn.
        seed: as in :func:`dead_detectors`.

    Raises:
        InputError: an argument that does not fit, an unknown id, or more than 10 million photons in all.
    """
    what = "firing_detectors"
    names = _network(network, what).ids("synapse")
    rate = _number(rate_MHz, f"{what}.rate_MHz", above=0.0) * 1e-3
    duration = _number(duration, f"{what}.duration", above=0.0)
    t0 = _number(t0, f"{what}.t0", least=0.0)
    if spacing not in SPACINGS:
        hint = nearest(str(spacing), SPACINGS)
        raise InputError(f"{what}.spacing: {spacing!r} is unknown{hint}; give 'poisson' or 'regular'")
    hit = _hit(what, names, share, ids, seed)
    if rate * duration * len(hit) > MOST_PHOTONS:
        raise InputError(
            f"{what}.rate_MHz: {rate_MHz:g} MHz for {duration:g} ns at {len(hit)} detectors makes more than 10 million "
            "photons; lower one of them"
        )
    new = network.copy()
    trains: dict[str | int, Any] = {}
    for name in hit:
        new.replace(name, efficiency=1.0)
        trains[name] = t0 + _train(seed, _key(what, name), rate, duration, spacing)
    return Damaged(new, {what: hit}, {what: len(names)}, Stimulus(trains))


def stuck_weights(
    network: Network,
    share: float | None = None,
    *,
    at: str | float = "zero",
    between: tuple[float, float] | None = None,
    parameter: str = "weights",
    ids: Iterable[str] | None = None,
    seed: int = 0,
) -> Damaged:
    """Programmed values that are stuck, whatever was written.

    Args:
        network: any network.
        share: probability that a value is hit, 0 to 1; or
        ids: those that are hit, of ``network.ids(parameter)``.
        at: where they are stuck: "zero"; "low" or "high", an end of ``between``; "random", uniform within it, each at
            a place of its own that does not depend on the share; or a number.
        between: the lowest and highest value that can be programmed, in the parameter's unit.
        parameter: "weights", "J", "phi_offset" or "ib".
        seed: as in :func:`dead_detectors`. Each parameter is hit independently of the others.

    Raises:
        InputError: an argument that does not fit, an unknown id, or a value that a part refuses.
    """
    what = "stuck_weights"
    if parameter not in PROGRAMMED:
        hint, known = nearest(str(parameter), PROGRAMMED), ", ".join(PROGRAMMED)
        raise InputError(f"{what}.parameter: {parameter!r} is not programmed{hint}; give one of {known}")
    low, high = _stuck_range(at, between)
    names = _network(network, what).ids(parameter)
    address = f"{what} {parameter}"
    hit = _hit(address, names, share, ids, seed)
    new = network.copy()
    values = new.parameters()[parameter].copy()
    rows = {name: row for row, name in enumerate(names)}
    for name in hit:
        place = uniform(seed, _key(address, name), 0, SPREAD, 1) if low < high else 0.0
        values[rows[name]] = low + place * (high - low)
    new.set_parameters({parameter: values})
    return Damaged(new, {what: hit}, {what: len(names)})


def open_couplings(
    network: Network, share: float | None = None, *, ids: Iterable[str] | None = None, seed: int = 0
) -> Damaged:
    """Couplings that carry no flux: J = 0. The loops at both ends work on.

    The couplings inside neurons, to their refractory dendrites, are not among them.

    Args:
        network: any network.
        share: probability that a coupling is hit, 0 to 1; or
        ids: the couplings that are hit: their ids, or "source->target" of those without.
        seed: as in :func:`dead_detectors`.

    Raises:
        InputError: an argument that does not fit, or an unknown id.
    """
    what = "open_couplings"
    names = _network(network, what).ids("coupling")
    hit = _hit(what, names, share, ids, seed)
    new = network.copy()
    for name in hit:
        new.replace(name, J=0.0)
    return Damaged(new, {what: hit}, {what: len(names)})


def weak_sources(
    network: Network,
    share: float | None = None,
    *,
    strength: float = 0.5,
    ids: Iterable[str] | None = None,
    seed: int = 0,
) -> Damaged:
    """Transmitters that give less light.

    With emission "photons" the mean photon number is multiplied by ``strength``; with deterministic emission every
    waveguide of the neuron loses -10 log10(strength) dB more, so that this share of the pulses passes each of them.

    Args:
        network: any network.
        share: probability that a neuron's transmitter is hit, 0 to 1; or
        strength: the light that is left, above 0, at most 1.
        ids: the neurons that are hit.
        seed: as in :func:`dead_detectors`.

    Raises:
        InputError: an argument that does not fit, an unknown id, or a neuron without transmitter.
    """
    what = "weak_sources"
    neurons = dict(_network(network, what).neurons)
    sources = {name: neuron.transmitter for name, neuron in neurons.items() if neuron.transmitter is not None}
    strength = _number(strength, f"{what}.strength", above=0.0, most=1.0)
    hit = _hit(what, tuple(sources), share, ids, seed)
    new = network.copy()
    loss = -10.0 * math.log10(strength)
    chosen = set(hit)
    for guide in network.waveguides:
        if guide.source in chosen and sources[guide.source].emission == "deterministic":
            new.replace(network.key(guide), loss_db=min(guide.loss_db + loss, LOST_DB))
    for name in hit:
        light = sources[name]
        if light.emission == "photons":
            new.replace(name, transmitter={"photons": light.photons * strength})
    return Damaged(new, {what: hit}, {what: len(sources)})


def lost_waveguides(
    network: Network, share: float | None = None, *, ids: Iterable[str] | None = None, seed: int = 0
) -> Damaged:
    """Waveguides that pass no light: a loss of 1000 dB. They stay in the network, with their delays.

    Args:
        network: any network.
        share: probability that a waveguide is hit, 0 to 1; or
        ids: the waveguides that are hit: their ids, or "source->target" of those without.
        seed: as in :func:`dead_detectors`.

    Raises:
        InputError: an argument that does not fit, or an unknown id.
    """
    what = "lost_waveguides"
    names = _network(network, what).ids("waveguide")
    hit = _hit(what, names, share, ids, seed)
    new = network.copy()
    for name in hit:
        new.replace(name, loss_db=LOST_DB)
    return Damaged(new, {what: hit}, {what: len(names)})


# ---------------------------------------------------------------------------------------------- several at once


@dataclass(frozen=True)
class Faults:
    """Several faults at once; the first six fields are the shares (0 to 1) of the parts that are hit.

    They hit independently. A detector that is hit as firing and as dead is dead.

    Args:
        dead_detectors: share of the synapses, :func:`dead_detectors`.
        firing_detectors: share of the synapses, :func:`firing_detectors`.
        stuck_weights: share of the values of ``stuck_parameter``, :func:`stuck_weights`.
        open_couplings: share of the couplings, :func:`open_couplings`.
        weak_sources: share of the neurons with a transmitter, :func:`weak_sources`.
        lost_waveguides: share of the waveguides, :func:`lost_waveguides`.
        seed: 0 to 2^63 - 1. With the same seed, larger shares hit supersets.
        stuck_at: where values are stuck.
        stuck_between: lowest and highest value that can be programmed.
        stuck_parameter: which values.
        source_strength: light that is left of a weak source, above 0, at most 1.
        firing_rate_MHz: of firing detectors.
        firing_duration: how long they fire, ns.
        firing_spacing: "poisson" or "regular".

    Raises:
        InputError: a share, the seed or the strength is out of its range, values are stuck nowhere, or detectors are
            to fire at no rate or for no duration.
    """

    dead_detectors: float = 0.0
    firing_detectors: float = 0.0
    stuck_weights: float = 0.0
    open_couplings: float = 0.0
    weak_sources: float = 0.0
    lost_waveguides: float = 0.0
    seed: int = 0
    stuck_at: str | float = "zero"
    stuck_between: tuple[float, float] | None = None
    stuck_parameter: Literal["weights", "J", "phi_offset", "ib"] = "weights"
    source_strength: float = 0.5
    firing_rate_MHz: float | None = None
    firing_duration: float | None = None
    firing_spacing: Literal["poisson", "regular"] = "poisson"

    def __post_init__(self) -> None:
        faults: list[str] = []
        shares = (partial(_number, getattr(self, name), f"Faults.{name}", least=0.0, most=1.0) for name in _KINDS)
        checks: list[Callable[[], Any]] = [
            *shares,
            partial(checked_seed, self.seed),
            partial(_number, self.source_strength, "Faults.source_strength", above=0.0, most=1.0),
            partial(_stuck_range, self.stuck_at, self.stuck_between),
        ]
        for check in checks:
            try:
                check()
            except InputError as error:
                faults += error.faults
        if not faults and self.firing_detectors > 0.0:
            faults += [
                f"Faults.{name}: missing, though detectors fire; give {unit}"
                for name, unit in (("firing_rate_MHz", "MHz"), ("firing_duration", "the duration of the run in ns"))
                if getattr(self, name) is None
            ]
        if faults:
            raise InputError(faults)

    def apply(self, network: Network) -> Damaged:
        """Return the network with all of these faults; the given one stays as it is.

        Raises:
            InputError: as the single faults do.
        """
        hits: dict[str, tuple[str, ...]] = {}
        exposed: dict[str, int] = {}
        damaged = Damaged(_network(network, "Faults.apply"))
        photons = damaged.photons
        for name in _KINDS:
            share = getattr(self, name)
            if share > 0.0:
                damaged = self._fault(name)(damaged.network, share, seed=self.seed)
                photons = photons + damaged.photons
                hits |= damaged.hits
                exposed |= damaged.exposed
        return Damaged(damaged.network.copy(), hits, exposed, photons)

    def scaled(self, factor: float) -> Faults:
        """The same faults with every share multiplied by ``factor`` (0 or more), at most 1."""
        factor = _number(factor, "Faults.scaled.factor", least=0.0)
        return dataclasses.replace(self, **{name: min(getattr(self, name) * factor, 1.0) for name in _KINDS})

    def _fault(self, name: str) -> Callable[..., Damaged]:
        """The function of a fault, with its options."""
        options: dict[str, dict[str, Any]] = {
            "firing_detectors": {
                "rate_MHz": self.firing_rate_MHz,
                "duration": self.firing_duration,
                "spacing": self.firing_spacing,
            },
            "stuck_weights": {
                "at": self.stuck_at,
                "between": self.stuck_between,
                "parameter": self.stuck_parameter,
            },
            "weak_sources": {"strength": self.source_strength},
        }
        return partial(_KINDS[name], **options.get(name, {}))


_KINDS: dict[str, Callable[..., Damaged]] = {
    "firing_detectors": firing_detectors,
    "dead_detectors": dead_detectors,  # after those that fire: dead wins
    "stuck_weights": stuck_weights,
    "open_couplings": open_couplings,
    "weak_sources": weak_sources,
    "lost_waveguides": lost_waveguides,
}


# ---------------------------------------------------------------------------------------------- survival


@dataclass(frozen=True)
class SurvivalCurve:
    """How a network does as more and more of it breaks.

    Args:
        shares: float64, shape (n,).
        scores: what ``evaluate`` returned, float64, shape (n, number of seeds).
        seeds: of the columns. A column is one chip that breaks further and further: its faults are nested.
        quantiles: which quantiles over the seeds :attr:`low` and :attr:`high` are.
    """

    shares: NDArray[np.float64]
    scores: NDArray[np.float64]
    seeds: tuple[int, ...]
    quantiles: tuple[float, float] = (0.1, 0.9)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean over the seeds, shape (n,)."""
        return np.asarray(self.scores.mean(axis=1))

    @property
    def low(self) -> NDArray[np.float64]:
        """The lower quantile over the seeds, shape (n,)."""
        return np.asarray(np.quantile(self.scores, self.quantiles[0], axis=1))

    @property
    def high(self) -> NDArray[np.float64]:
        """The upper quantile over the seeds, shape (n,)."""
        return np.asarray(np.quantile(self.scores, self.quantiles[1], axis=1))

    def table(self) -> str:
        """Return a line a share: mean and quantiles."""
        low, high = (f"{100.0 * q:g} %" for q in self.quantiles)
        lines = [f"{'share':>8}{'mean':>12}{low:>12}{high:>12}   over {len(self.seeds)} seeds"]
        for row in zip(self.shares, self.mean, self.low, self.high, strict=True):
            lines.append(f"{row[0]:>8.4g}" + "".join(f"{value:>12.5g}" for value in row[1:]))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def plot(self, path: str | os.PathLike[str], *, score: str = "score", overwrite: bool = False) -> None:
        """Write a picture: the mean as a line, the range between the quantiles as a band.

        Args:
            path: ends in .png, .pdf or .svg.
            score: name of the vertical axis.
            overwrite: whether an existing file may be replaced.

        Raises:
            InputError: another suffix, a missing folder, or an existing file.
        """
        from matplotlib.figure import Figure

        from soen_event import plotting

        plotting.check_target(path, overwrite)
        figure = Figure(figsize=(5.0, 3.4), layout="constrained", facecolor="white")
        ax = figure.add_subplot()
        low, high = (f"{100.0 * q:g}" for q in self.quantiles)
        band = f"{low} to {high} % of {len(self.seeds)} seeds"
        ax.fill_between(self.shares, self.low, self.high, color=plotting.SKY, alpha=0.35, linewidth=0.0, label=band)
        ax.plot(self.shares, self.mean, color=plotting.BLUE, marker="o", markersize=4.0, label="mean")
        ax.set_xlabel("share of the parts that is hit")
        ax.set_ylabel(score)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
        plotting.save(figure, path, overwrite)


Evaluation: TypeAlias = "Callable[[Damaged], float]"


def survival_curve(
    network: Network,
    fault: Fault | Faults,
    shares: Iterable[float],
    evaluate: Evaluation,
    *,
    seeds: Iterable[int] = range(10),
    executor: Executor | None = None,
    quantiles: tuple[float, float] = (0.1, 0.9),
) -> SurvivalCurve:
    """Evaluate a network at every share of faults and every seed.

    Args:
        network: the sound network.
        fault: one of this file's functions, such as ``dead_detectors`` or ``partial(stuck_weights, at="high",
            between=(0, 1))``; any function of (network, share, seed=) that returns a Damaged or a Network; or a
            :class:`Faults`, whose shares are multiplied by the share and whose seed is replaced.
        shares: 0 to 1 (for Faults, factors), in the order of the curve.
        evaluate: returns a finite number for a :class:`Damaged`, such as an accuracy, or a bool (survived or not).
            The ``network`` of the Damaged is to be run, where detectors fire with its ``photons`` as well.
        seeds: one curve each, all different. The curve is a function of them and the arguments alone.
        executor: any concurrent.futures.Executor; network, fault and evaluate must be picklable for one of processes.
            The result is the same for any number of workers.
        quantiles: lower and upper quantile over the seeds, 0 to 1.

    Raises:
        InputError: an argument that does not fit, or ``evaluate`` returned something that is no finite number.
    """
    what = "survival_curve"
    _network(network, what)
    if not isinstance(fault, Faults) and not callable(fault):
        raise InputError(f"{what}.fault: {fault!r} is no fault; give a function such as dead_detectors, or Faults(...)")
    if not callable(evaluate):
        raise InputError(f"{what}.evaluate: {evaluate!r} is no function; give one that takes a Damaged")
    most = math.inf if isinstance(fault, Faults) else 1.0
    extents = [
        _number(x, f"{what}.shares[{k}]", least=0.0, most=most) for k, x in enumerate(_listed(shares, what, "shares"))
    ]
    drawn = [checked_seed(seed) for seed in _listed(seeds, what, "seeds")]
    if len(set(drawn)) < len(drawn):
        raise InputError(f"{what}.seeds: the same seed is there twice, which tells nothing new; give different ones")
    lower, upper = _pair(quantiles, f"{what}.quantiles")
    if not 0.0 <= lower <= upper <= 1.0:
        raise InputError(f"{what}.quantiles: {lower:g} and {upper:g} are no range; give 0 <= lower <= upper <= 1")
    task = partial(_score, network.copy(), fault, evaluate)
    points = list(itertools.product(extents, drawn))
    over = map if executor is None else executor.map
    scores = list(over(task, [share for share, _ in points], [seed for _, seed in points]))
    return SurvivalCurve(
        np.array(extents), np.array(scores).reshape(len(extents), len(drawn)), tuple(drawn), (lower, upper)
    )


def _score(network: Network, fault: Fault | Faults, evaluate: Evaluation, share: float, seed: int) -> float:
    """One point of a survival curve; a function of its arguments alone."""
    if isinstance(fault, Faults):
        damaged: Any = dataclasses.replace(fault.scaled(share), seed=seed).apply(network)
    else:
        damaged = fault(network, share, seed=seed)
    if isinstance(damaged, Network):
        damaged = Damaged(damaged)
    if not isinstance(damaged, Damaged):
        raise InputError(f"survival_curve.fault: it returned {damaged!r}; return a Damaged or a Network")
    score = evaluate(damaged)
    if isinstance(score, bool | np.bool_):  # survived or not
        score = float(score)
    return _number(score, f"survival_curve.evaluate: at share {share:g} and seed {seed} its result")


# ---------------------------------------------------------------------------------------------- draws and arguments


def _key(fault: str, name: str) -> int:
    """The part of a draw's address; no part's own key, because no id has a space in it."""
    return part_key(f"{fault} {name}")


def _hit(what: str, names: Sequence[str], share: float | None, ids: Iterable[str] | None, seed: int) -> tuple[str, ...]:
    """The names that are hit, ascending: those of ``ids``, or a share of all."""
    place = what.partition(" ")[0]
    seed = checked_seed(seed)
    if (share is None) == (ids is None):
        raise InputError(f"{place}.share: give share or ids{'' if share is None else ', not both'}")
    if ids is None:
        share = _number(share, f"{place}.share", least=0.0, most=1.0)
        return tuple(sorted(name for name in names if uniform(seed, _key(what, name), 0, SPREAD, 0) < share))
    if isinstance(ids, str):
        raise InputError(f"{place}.ids: {ids!r} is one id; put it in a list")
    given, known = list(_listed(ids, place, "ids", empty=True)), set(names)
    unknown = [name for name in given if not isinstance(name, str) or name not in known]
    faults = [
        f"{place}.ids: there is no {name!r} that this fault could hit{nearest(str(name), names)}; correct it"
        for name in unknown[:_LISTED]
    ]
    if len(unknown) > _LISTED:
        faults.append(f"... and {len(unknown) - _LISTED} more")
    if faults:
        raise InputError(faults)
    return tuple(sorted(set(given)))


def _train(seed: int, key: int, rate: float, duration: float, spacing: str) -> NDArray[np.float64]:
    """Times in [0, duration) (ns) at a rate in 1/ns; a longer duration only adds some at the end."""
    if spacing == "regular":
        phase = uniform(seed, key, 0, SPREAD, 2)
        times = (phase + np.arange(math.ceil(rate * duration) + 1)) / rate
        return np.asarray(times[times < duration])
    found: list[float] = []
    time = exponential(seed, key, 0, SPREAD, 3) / rate
    while time < duration:
        found.append(time)
        time += exponential(seed, key, len(found), SPREAD, 3) / rate
    return np.array(found, dtype=np.float64)


def _stuck_range(at: Any, between: Any) -> tuple[float, float]:
    """The range in which values are stuck; its ends are equal unless they are stuck at random."""
    place = "stuck_weights"
    low, high = (0.0, 0.0) if between is None else _pair(between, f"{place}.between")
    if low > high:
        raise InputError(f"{place}.between: {low:g} is above {high:g}; exchange them")
    if not isinstance(at, str):
        value = _number(at, f"{place}.at")
        return value, value
    if at not in STUCK_AT:
        known = ", ".join(map(repr, STUCK_AT))
        raise InputError(f"{place}.at: {at!r} is unknown{nearest(at, STUCK_AT)}; give {known} or a number")
    if at == "zero":
        return 0.0, 0.0
    if between is None:
        reason = f"at is {at!r}, but the range is not known"
        raise InputError(f"{place}.between: {reason}; give the lowest and the highest value, such as (0.0, 1.0)")
    return {"low": (low, low), "high": (high, high), "random": (low, high)}[at]


def _network(network: Any, place: str) -> Network:
    if not isinstance(network, Network):
        raise InputError(f"{place}.network: {type(network).__name__} is not a Network; give a soen_event.Network")
    return network


def _listed(values: Any, place: str, name: str, empty: bool = False) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{place}.{name}: {values!r} is no list; put it in one")
    found = list(values)
    if not found and not empty:
        raise InputError(f"{place}.{name}: the list is empty; give at least one")
    return found


def _pair(values: Any, place: str) -> tuple[float, float]:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or len(values) != 2:
        raise InputError(f"{place}: {values!r} is no pair; give two numbers")
    return _number(values[0], f"{place}[0]"), _number(values[1], f"{place}[1]")


def _number(
    value: Any, place: str, *, least: float = -math.inf, above: float = -math.inf, most: float = math.inf
) -> float:
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("at least", least), ("above", above), ("at most", most))
        if math.isfinite(bound)
    ]
    wanted = "a finite number" + (f", {' and '.join(bounds)}" if bounds else "")
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{place}: {value!r} is not a number; give {wanted}")
    if not (math.isfinite(value) and least <= value <= most and value > above):
        raise InputError(f"{place}: {value} is out of range; give {wanted}")
    return float(value)
