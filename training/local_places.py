"""Where rules act in a network, with errors that name the connection (features.md S0.R8), and what was learnt put back into one."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from soen_event.engine.state import AT_OFFSET, AT_WEIGHT
from soen_event.errors import InputError, nearest
from soen_event.learning import Plasticity, Rule
from soen_event.network import Network
from training.local_errors import ConnectionNotFoundError, InvalidLayerError, refuse

if TYPE_CHECKING:
    from soen_event.simulate import Simulation

__all__ = ["placed", "with_learnt"]

Faults = list[tuple[type[InputError], str]]


def placed(network: Any, rules: Any, connections: Any, layers: Any) -> list[Plasticity]:
    """Rules with their places.

    A bare Rule acts on ``connections`` (ids or patterns of synapses and couplings) or on the synapses of the loops ``layers``.

    Raises ConnectionNotFoundError, InvalidLayerError, with all places that are not there; InputError: something that is no rule.
    """
    given = list(rules) if isinstance(rules, list | tuple) else [rules]
    bare = [each for each in given if isinstance(each, Rule)]
    if (connections is not None or layers is not None) and len(bare) != len(given):
        raise InputError("LocalTrainer.connections: is for bare rules; these say themselves where they act")
    if bare and connections is None and layers is None:
        raise InputError(
            f"LocalTrainer.rules: {type(bare[0]).__name__} does not say where it acts; use .on(...), or give connections or layers"
        )
    if not given:
        raise InputError("LocalTrainer.rules: there is none; give a Plasticity")
    for each in given:
        if not isinstance(each, Plasticity | Rule):
            raise InputError(f"LocalTrainer.rules: {type(each).__name__} is no Plasticity; make one with Rule.on")
    if not isinstance(network, Network):
        return [each.on(synapses=connections or layers) if isinstance(each, Rule) else each for each in given]
    faults: Faults = []
    loops = {*network.dendrites, *network.neurons}
    joints = {f"{c.source}->{c.target}" for c in network.couplings}
    if bare:
        synapses, couplings = _connections(network, connections, layers, loops, joints, faults)
        refuse(faults)
        return [each.on(synapses=synapses or None, couplings=couplings or None) for each in bare]
    for each in given:
        name = each.name or type(each.rule).__name__
        for kind, known, error in (
            ("synapses", set(network.synapses), ConnectionNotFoundError),
            ("couplings", joints | {f"{n}.refractory->{n}" for n in network.neurons}, ConnectionNotFoundError),
            (
                "loops",
                loops | {f"{n}.soma" for n in network.neurons} | {f"{n}.refractory" for n in network.neurons},
                InvalidLayerError,
            ),
        ):
            _found(getattr(each, kind), known, f"{name}.{kind}", error, faults)
        posts = [each.post] if isinstance(each.post, str) else list((each.post or {}).values())
        _found(posts, set(network.neurons), f"{name}.post", InvalidLayerError, faults)
    refuse(faults)
    return given


def _connections(
    network: Network, connections: Any, layers: Any, loops: set[str], joints: set[str], faults: Faults
) -> tuple[list[str], list[str]]:
    """Ids of synapses and couplings that bare rules act on."""
    synapses: dict[str, None] = {}
    couplings: dict[str, None] = {}
    for name in _found(
        connections, set(network.synapses) | joints, "LocalTrainer.connections", ConnectionNotFoundError, faults
    ):
        (couplings if name in joints and name not in network.synapses else synapses)[name] = None
    chosen = set(_found(layers, loops, "LocalTrainer.layers", InvalidLayerError, faults))
    own = [name for name, s in network.synapses.items() if s.target.removesuffix(".soma") in chosen]
    if chosen and not own:
        faults.append(
            (
                InvalidLayerError,
                f"LocalTrainer.layers: {', '.join(sorted(chosen)[:4])} has no synapse; name loops with synapses",
            )
        )
    return [*synapses, *(name for name in own if name not in synapses)], list(couplings)


def _found(given: Any, known: set[str], where: str, error: type[InputError], faults: Faults) -> list[str]:
    """The known ids that a pattern or a list names."""
    out: dict[str, None] = {}
    names: Iterable[str] = () if given is None else (given,) if isinstance(given, str) else given
    for name in names:
        if name in known:
            out[name] = None
            continue
        matching = sorted(k for k in known if fnmatchcase(k, str(name))) if any(c in str(name) for c in "*?[") else []
        out |= dict.fromkeys(matching)
        if not matching:
            what = "synapse or coupling" if error is ConnectionNotFoundError else "dendrite or neuron"
            faults.append((error, f"{where}: there is no {what} {name!r}{nearest(str(name), known)}"))
    return list(out)


def with_learnt(run: Simulation) -> Network:
    """A copy of a run's network with what its sites have learnt."""
    if not isinstance(run.network, Network):
        raise InputError("LocalTrainer.deploy: a tiled network has no parts of its own; look at simulation.learnt")
    network, plan = run.network.copy(), run.plan
    how, values = plan.learning, run.learnt
    columns = {name: network.parameters()[name].copy() for name in ("weights", "J", "phi_offset")}
    rows = {name: {key: k for k, key in enumerate(network.ids(name))} for name in columns}
    parallel: dict[str, list[str]] = {}
    for coupling in network.sorted_parts().couplings:
        parallel.setdefault(f"{coupling.source}->{coupling.target}", []).append(network.key(coupling))
    for site, record in zip(how.site_ids, how.sites, strict=True):
        if record.kind == AT_WEIGHT:
            columns["weights"][rows["weights"][site]] = values[site]
        elif record.kind == AT_OFFSET:
            loop = site.removesuffix(".phi_offset").removesuffix(".soma")
            if loop in rows["phi_offset"]:
                columns["phi_offset"][rows["phi_offset"][loop]] = values[site]
            else:
                _refractory(network, loop, "phi_offset", values[site])
        else:
            joint, _, number = site.partition("#")
            if joint in parallel:
                columns["J"][rows["J"][parallel[joint][int(number or 1) - 1]]] = values[site]
            else:
                _refractory(network, joint.partition("->")[0], "J", values[site])
    network.set_parameters(columns)
    return network


def _refractory(network: Network, loop: str, field: str, value: float) -> None:
    network.replace(loop.removesuffix(".refractory"), refractory={field: value})
