"""The arbor rule: flux offsets of a neuron's dendrites learn from the neuron's error (physics.md 7.2).

>>> learning = arbor(network, eta=0.005)                       # every dendrite, with the sign of its path to the soma
>>> run = Simulation(network, learning=learning)               # doctest: +SKIP
>>> run.signal("begin"); run.inject(photons); run.run(run.now + 250.0)                                  # doctest: +SKIP
>>> run.signal("error", {"n1": 5 - spikes})                    # target - spikes, by neuron              # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from soen_event.errors import InputError, nearest
from soen_event.learning import Plasticity, Rule, Storage
from soen_event.network import Network
from training.arguments import Faults
from training.registry import register

if TYPE_CHECKING:
    from soen_event.device import Device
    from soen_event.parts import Dendrite

__all__ = ["BOUNDS", "MAX_OFFSETS", "Arbor", "HebbianArbor", "arbor", "largest_offset", "paths"]

BOUNDS = ("unbounded", "elastic", "inelastic")
MAX_OFFSETS = ("phi_off", "half", "inverse")
_UNBOUNDED, _ELASTIC, _INELASTIC = range(3)


def within(offset: float, step: float, flux: float, p: Any) -> float:
    """By how much an offset moves that is asked for ``step`` at a mean flux of ``flux``: bounds, and the largest offset."""
    if flux + step > p.high or flux + step < p.low:
        if p.bounds == _ELASTIC:
            step = -step
        if p.bounds == _INELASTIC:
            step = 0.0
    return min(max(offset + step, -p.max_offset), p.max_offset) - offset


@register("rule", "arbor", "Arbor")
@dataclass(frozen=True)
class Arbor(Rule):
    """Flux offsets of dendrites move with the error of their neuron, in proportion to their own mean current.

    At the signal ``"error"``, whose value by neuron is E = target spikes - spikes, with means over the sample,

        step = sign eta E mean(s);   flux = mean(phi) + step
        flux above ``high`` or below ``low``: step <- -step ("elastic"), 0 ("inelastic"), as it is ("unbounded")
        offset <- offset + step, at most ``max_offset`` in magnitude

    (physics.md 7.2). The sample begins at the signal ``"begin"``, or without one at the last error. A sample that lasts no time
    changes nothing.

    Unlike the code from which 7.2 is taken, every word for ``max_offset`` is accepted; mean(phi), which contains the offset, does
    not get it a second time; and the bounds judge the step that is taken, after its sign, so that an inhibitory dendrite is
    reflected away from a bound and not into it. Its Hebbian factor is in :class:`HebbianArbor`.

    Arguments:
        eta: Phi0 per spike and I_c, at least 0.
        bounds: "elastic", "inelastic" or "unbounded".
        low, high: Phi0, low < high.
        max_offset: Phi0, above 0, perhaps infinite; or "phi_off" (threshold flux of a dendrite), "half" (1/2), "inverse" (1/2 less the
            threshold flux), for a dendrite of kind "ri" with bias ``ib``. :func:`arbor` takes each dendrite's own.
        sign: 1, or -1 where an odd number of negative couplings lies between dendrite and soma; :func:`arbor` finds it.
        ib: I_c; used with "phi_off" and "inverse" only, for the default device.

    Raises InputError with all that is wrong.
    """

    eta: float = 0.005
    bounds: str = "elastic"
    low: float = -0.5
    high: float = 0.5
    max_offset: float | str = "phi_off"
    sign: float = 1.0
    ib: float = 1.8
    requires = frozenset({"averages", "weight", "per-neuron"})
    variables = {"began": None, "current_before": None, "flux_before": None}
    signals = ("begin", "error")

    def __post_init__(self) -> None:
        faults = Faults("Arbor")
        faults.number("eta", self.eta, least=0.0)
        faults.choice("bounds", self.bounds, BOUNDS)
        low, high = faults.number("low", self.low), faults.number("high", self.high)
        if low >= high:
            faults.add("high", f"{high:g} is not above low, {low:g}")
        if self.sign not in (1, -1):
            faults.add("sign", f"{self.sign!r} is unknown; give 1 or -1")
        if isinstance(self.max_offset, str):
            if faults.choice("max_offset", self.max_offset, MAX_OFFSETS) in MAX_OFFSETS:
                faults.number("ib", self.ib, above=0.0)
        elif self.max_offset != math.inf:
            faults.number("max_offset", self.max_offset, above=0.0)
        faults.done()

    def parameters(self) -> dict[str, float]:
        """The numbers that the functions see as ``p``."""
        return {
            "eta": self.eta,
            "bounds": float(BOUNDS.index(self.bounds)),
            "low": self.low,
            "high": self.high,
            "max_offset": _in_flux(self.max_offset, "Arbor.max_offset", self.ib),
            "sign": float(self.sign),
        }

    @staticmethod
    def on_begin(site: Any, p: Any) -> None:
        site.began = site.now
        site.current_before = site.current_area
        site.flux_before = site.flux_area

    @staticmethod
    def on_error(site: Any, p: Any) -> None:
        lasted = site.now - site.began
        if lasted > 0.0:
            step = p.sign * p.eta * site.signal * ((site.current_area - site.current_before) / lasted)
            site.change += within(site.weight, step, (site.flux_area - site.flux_before) / lasted, p)
        site.began = site.now
        site.current_before = site.current_area
        site.flux_before = site.flux_area


@register("rule", "hebbian_arbor", "HebbianArbor")
@dataclass(frozen=True)
class HebbianArbor(Arbor):
    """The arbor rule whose steps are 20 mean(s of the parent) times as large, the parent being the loop that the dendrite couples into.

    All else as :class:`Arbor`. A dendrite that couples into several loops is refused.
    """

    requires = Arbor.requires | {"parent average"}
    variables = {**Arbor.variables, "parent_before": None}

    @staticmethod
    def on_begin(site: Any, p: Any) -> None:
        site.began = site.now
        site.current_before = site.current_area
        site.flux_before = site.flux_area
        site.parent_before = site.parent_area

    @staticmethod
    def on_error(site: Any, p: Any) -> None:
        lasted = site.now - site.began
        if lasted > 0.0:
            step = p.sign * p.eta * site.signal * ((site.current_area - site.current_before) / lasted)
            step *= 20.0 * ((site.parent_area - site.parent_before) / lasted)
            site.change += within(site.weight, step, (site.flux_area - site.flux_before) / lasted, p)
        site.began = site.now
        site.current_before = site.current_area
        site.flux_before = site.flux_area
        site.parent_before = site.parent_area


def _in_flux(wanted: float | str, where: str, ib: float, dendrite: Any = None, device: Device | None = None) -> float:
    """``max_offset`` as a number; of a dendrite of kind "ri" at ``ib`` in the default device if none is given."""
    if not isinstance(wanted, str):
        return float(wanted)
    if wanted == "half":
        return 0.5
    from soen_event.device import Device
    from soen_event.network import _threshold_flux

    if dendrite is None:
        from soen_event.parts import Dendrite, detached

        with detached():
            dendrite = Dendrite("d", ib=ib)
    threshold = _threshold_flux(Device() if device is None else device, dendrite, dendrite.ib)[0]
    found = threshold if wanted == "phi_off" else 0.5 - threshold
    if not found > 0.0:
        raise InputError(
            f"{where}: {wanted!r} is {found:.3f} Phi0 at ib = {dendrite.ib:g} (threshold flux {threshold:.3f}), which leaves nothing to "
            "learn; lower the bias or give a number"
        )
    return found


def largest_offset(dendrite: Dendrite, wanted: float | str = "phi_off", device: Device | None = None) -> float:
    """The largest offset (Phi0) of a dendrite: a number as it is, "phi_off" its threshold flux, "half" 1/2, "inverse" 1/2 less the first.

    Raises InputError: an unknown word, or nothing left (an over-biased dendrite has no threshold flux).
    """
    if isinstance(wanted, str) and wanted not in MAX_OFFSETS:
        raise InputError(
            f"max_offset: {wanted!r} is unknown{nearest(wanted, MAX_OFFSETS)}; give {', '.join(MAX_OFFSETS)} or a number"
        )
    return _in_flux(wanted, f"{dendrite.id}: max_offset", dendrite.ib, dendrite, device)


def paths(network: Network, neuron: str) -> dict[str, int]:
    """The dendrites that lead to a neuron's soma, along couplings, each with the sign of its path: -1 for an odd number of negative ones.

    The neuron's refractory dendrite is none of them. Nearest first.

    Raises InputError: no such neuron, or a dendrite with paths of both signs.
    """
    if neuron not in network.neurons:
        raise InputError(f"paths: there is no neuron {neuron!r}{nearest(str(neuron), network.neurons)}")
    into: dict[str, list[tuple[str, float]]] = {}
    for coupling in network.couplings:
        into.setdefault(coupling.target, []).append((coupling.source, float(coupling.J)))
    signs: dict[str, int] = {}
    todo, faults = [(neuron, 1)], []
    while todo:
        target, sign = todo.pop(0)
        for source, J in into.get(target, ()):
            if source not in network.dendrites or J == 0.0:
                continue
            mine = sign if J > 0 else -sign
            if source not in signs:
                signs[source] = mine
                todo.append((source, mine))
            elif signs[source] != mine:
                faults.append(
                    f"paths: {source} excites {neuron} along one path and inhibits it along another; leave it out of what learns"
                )
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    return signs


def arbor(
    network: Network,
    neurons: str | Iterable[str] | None = None,
    *,
    eta: float = 0.005,
    bounds: str = "elastic",
    low: float = -0.5,
    high: float = 0.5,
    max_offset: float | str = "phi_off",
    inh_counter: bool = True,
    hebbian: bool = False,
    loops: str | Iterable[str] = "*",
    storage: Storage | None = None,
    **options: Any,
) -> list[Plasticity]:
    """The arbor rule on the dendrites of neurons, with the sign and the largest offset that each dendrite has.

    Arguments:
        neurons: ids; by default all of the network that have dendrites.
        eta, bounds, low, high, max_offset: as for :class:`Arbor`, words for ``max_offset`` of each dendrite's own bias and kind.
        hebbian: steps are 20 mean(s of the parent) times as large (:class:`HebbianArbor`).
        inh_counter: give dendrites behind an odd number of negative couplings the opposite sign.
        loops: ids of dendrites or a pattern: which of a neuron's dendrites learn.
        storage: the memory of the offsets. By default any value.
        options: as for :class:`~soen_event.learning.Plasticity` (``rate``, ``clip``, ``begins``, ``ends``, ``name``).

    Returns one Plasticity for each sign and largest offset: a rule has the same parameters at all of its sites.
    Raises InputError with all that is wrong: unknown ids, a dendrite that leads to two neurons or with both signs, none that learns.
    """
    if not isinstance(network, Network):
        raise InputError(f"arbor.network: {type(network).__name__} is not a Network; give a soen_event.Network")
    Arbor(eta=eta, bounds=bounds, low=low, high=high, max_offset=max_offset)
    faults: list[str] = []
    if neurons is None:
        named = [
            n
            for n in network.neurons
            if any(c.target == n and c.source in network.dendrites for c in network.couplings)
        ]
    else:
        named = [neurons] if isinstance(neurons, str) else list(neurons)
    chosen = _chosen(network, loops, faults)
    groups: dict[tuple[int, float], list[str]] = {}
    owner: dict[str, str] = {}
    for neuron in dict.fromkeys(named):
        try:
            signs = paths(network, neuron)
        except InputError as error:
            faults += error.faults
            continue
        for name, sign in signs.items():
            if name not in chosen:
                continue
            if name in owner:
                faults.append(
                    f"arbor: {name} leads to {owner[name]} and to {neuron}, whose errors differ; name one of them in neurons"
                )
                continue
            owner[name] = neuron
            try:
                most = largest_offset(network.dendrites[name], max_offset, network.device)
            except InputError as error:
                faults += error.faults
                continue
            groups.setdefault((sign if inh_counter else 1, most), []).append(name)
    if not faults and not groups:
        faults.append(
            "arbor: no dendrite leads to these neurons and is among loops, so nothing learns; see neurons and loops"
        )
    if faults:
        raise InputError(faults[:20])
    out = []
    for (sign, most), names in groups.items():
        kind = HebbianArbor if hebbian else Arbor
        rule = kind(eta=eta, bounds=bounds, low=low, high=high, max_offset=most, sign=sign)
        post = {f"{name}.phi_offset": owner[name] for name in names}
        out.append(rule.on(loops=names, post=post, storage=storage or Storage(), **options))
    return out


def _chosen(network: Network, loops: str | Iterable[str], faults: list[str]) -> set[str]:
    """Ids of dendrites that a pattern or a list names."""
    if isinstance(loops, str):
        found = {name for name in network.dendrites if fnmatchcase(name, loops)}
        if not found and loops != "*":
            faults.append(f"arbor.loops: no dendrite matches {loops!r}{nearest(loops, network.dendrites)}")
        return found
    names = set(loops)
    faults += [
        f"arbor.loops: there is no dendrite {name!r}{nearest(str(name), network.dendrites)}"
        for name in sorted(names - set(network.dendrites))
    ]
    return names
