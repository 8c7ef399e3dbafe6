"""Equilibrium propagation: couplings of dendrites that do not spike learn from two settled states (features.md 3.9).

A dendrite that has settled holds s = G(phi), where G is its source function in balance with its leak, monotone for fluxes from 0 to 1/2.
If couplings are symmetric, J_ij = J_ji, settled states are the stationary points of

    E(s) = sum_i integral_0^s_i G_i^-1(s) ds - sum_i s_i offset_i - sum_(i<j) J_ij s_i s_j,

and a loss C of the settled state falls along J_ij by what a flux -beta dC/ds on the outputs changes: with c_ij = s_i s_j,
-dC/dJ_ij = lim (c_ij nudged - c_ij free)/beta as beta -> 0 (Scellier & Bengio 2017). Both ends of a coupling see that by themselves.

>>> task = EquilibriumTask(network, inputs=["x0", "x1"], outputs=["o"], beta=0.05)              # doctest: +SKIP
>>> for x, target in samples: loss = task.learn(x, target)                                       # doctest: +SKIP
>>> task.settled([0.1, 0.3]); task.learnt_network()                                              # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError, nearest
from soen_event.learning import Plasticity, Rule, Storage
from soen_event.network import Network
from soen_event.simulate import Simulation
from training.arguments import Faults
from training.registry import register

__all__ = ["NUDGINGS", "EquilibriumOffset", "EquilibriumPropagation", "EquilibriumTask"]

NUDGINGS = ("positive", "negative", "symmetric")


@register("rule", "equilibrium_propagation", "EquilibriumPropagation")
@dataclass(frozen=True)
class EquilibriumPropagation(Rule):
    """J += lr/beta (s_i s_j nudged - s_i s_j free), for couplings.

    The signal ``"free"`` says that the network has settled freely, ``"nudged"`` that it has settled under a nudge, with beta as its
    value. With two nudges of opposite signs "free" is sent in the negative one, and the value is twice beta. A value of 0 changes nothing.

    Arguments: lr: at least 0; with the loss in I_c^2, Phi0 per I_c over I_c^2 of product.
    """

    lr: float = 0.1
    requires = frozenset({"current", "post current", "broadcast"})
    variables = {"free": None}
    signals = ("free", "nudged")

    def __post_init__(self) -> None:
        _judge_lr(self)

    @staticmethod
    def on_free(site: Any, p: Any) -> None:
        site.free = site.current * site.post_current

    @staticmethod
    def on_nudged(site: Any, p: Any) -> None:
        if site.signal != 0.0:
            site.change += p.lr / site.signal * (site.current * site.post_current - site.free)


@register("rule", "equilibrium_offset", "EquilibriumOffset")
@dataclass(frozen=True)
class EquilibriumOffset(Rule):
    """The same for flux offsets: offset += lr/beta (s nudged - s free). And where flux comes in from outside: at ``"clamp"`` the offset
    moves by ``flux`` (Phi0) less what it has been clamped with before.

    Arguments: lr: at least 0, 0 for dendrites that do not learn. flux: changed during a run by ``Simulation.set_rule``.
    """

    lr: float = 0.0
    flux: float = 0.0
    requires = frozenset({"current", "broadcast"})
    variables = {"free": None, "held": None}
    signals = ("free", "nudged", "clamp")

    def __post_init__(self) -> None:
        _judge_lr(self)

    @staticmethod
    def on_free(site: Any, p: Any) -> None:
        site.free = site.current

    @staticmethod
    def on_nudged(site: Any, p: Any) -> None:
        if site.signal != 0.0:
            site.change += p.lr / site.signal * (site.current - site.free)

    @staticmethod
    def on_clamp(site: Any, p: Any) -> None:
        site.change += p.flux - site.held
        site.held = p.flux


def _judge_lr(rule: EquilibriumPropagation | EquilibriumOffset) -> None:
    faults = Faults(type(rule).__name__)
    faults.number("lr", rule.lr, least=0.0)
    faults.done()


class EquilibriumTask:
    """A network of dendrites that learns by equilibrium propagation: it settles, is nudged, settles, and its couplings change.

    One run of the engine, in which all of this happens, one sample after another. The loss is 1/2 sum (s - target)^2 over the outputs, s
    free. Their nudge is a flux beta (target - s). "positive" compares the state under beta with the free one, "negative" that under -beta:
    both miss the gradient in proportion to beta. "symmetric" compares the two and misses it as beta^2.

    Arguments:
        network: dendrites and couplings only. Couplings come in pairs of the same J, one each way; or singly, from a dendrite into
            which nothing couples.
        inputs: dendrites on which a sample's flux (Phi0) acts. outputs: those whose currents are wanted.
        lr, offset_lr: of couplings and of the offsets of dendrites that are no inputs; 0: they stay.
        beta: Phi0 per I_c, above 0. nudging: "positive", "negative" or "symmetric".
        settle: ns given to the network to settle each time; by default 15 of the longest time constant.
        couplings: which learn: ids, or None for all.
        storage: the memory of couplings; levels round the same at both ends, but for "stochastic", which is refused.
        resolution: "flow"; "fluxon" has quanta, whose noise is divided by beta.
        tol, engine: as for :func:`~soen_event.simulate.simulate`.

    Raises InputError with all that is wrong.
    """

    def __init__(
        self,
        network: Network,
        inputs: Iterable[str],
        outputs: Iterable[str],
        *,
        lr: float = 0.1,
        offset_lr: float = 0.0,
        beta: float = 0.05,
        nudging: str = "symmetric",
        settle: float | None = None,
        couplings: Iterable[str] | None = None,
        storage: Storage | None = None,
        resolution: str = "flow",
        tol: float = 1e-6,
        engine: str = "compiled",
    ):
        self.inputs, self.outputs = list(inputs), list(outputs)
        faults = Faults("EquilibriumTask")
        for name, value in (("lr", lr), ("offset_lr", offset_lr)):
            faults.number(name, value, least=0.0)
        faults.number("beta", beta, above=0.0)
        faults.choice("nudging", nudging, NUDGINGS)
        if settle is not None:
            faults.number("settle", settle, above=0.0)
        if storage is not None and storage.levels is not None and storage.rounding == "stochastic":
            faults.add("storage", "rounds at random, and the two ends of a coupling apart; use 'nearest' or 'hidden'")
        chosen = None if couplings is None else list(couplings)
        faults.found += _network_faults(network, self.inputs, self.outputs, chosen)
        faults.done()
        learning = network.couplings if chosen is None else [c for c in network.couplings if _id(c) in set(chosen)]
        self.network, self.beta, self.nudging = network.copy(), float(beta), nudging
        longest = max(d.tau for d in network.dendrites.values())
        self.settle = 15.0 * longest if settle is None else float(settle)
        rules: list[Plasticity] = []
        if learning and lr > 0.0:
            ids = list(dict.fromkeys(_id(c) for c in learning))
            rules.append(EquilibriumPropagation(lr).on(couplings=ids, storage=storage or Storage()))
        for name in network.dendrites:
            rule = EquilibriumOffset(0.0 if name in self.inputs else offset_lr)
            rules.append(rule.on(loops=[name], name=name))
        self.run = Simulation(
            self.network, engine=engine, resolution=resolution, tol=tol, learning=rules, record="spikes"
        )
        self._held = dict.fromkeys([*self.inputs, *self.outputs], 0.0)

    # ------------------------------------------------------------------ one sample

    def settled(self, x: ArrayLike) -> dict[str, float]:
        """Currents (I_c) of all dendrites, settled on a sample: flux (Phi0) on each input, (inputs,)."""
        self._clamp({**dict.fromkeys(self.outputs, 0.0), **self._sample(x)})
        self.run.run(self.run.now + self.settle)
        self.run.signal("free")
        return {name: self.run.site(f"{name}.phi_offset")["current"] for name in self.network.dendrites}

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Currents of the outputs for samples (B, inputs): (B, outputs); for one sample (inputs,): (outputs,)."""
        array = np.asarray(x, dtype=float)
        if array.ndim == 2:
            return np.array([self.predict(row) for row in array]).reshape(len(array), len(self.outputs))
        found = self.settled(array)
        return np.array([found[name] for name in self.outputs])

    def learn(self, x: ArrayLike, target: ArrayLike) -> float:
        """One sample, flux on each input (inputs,), and the currents wanted of the outputs (outputs,). Returns the loss before it."""
        wanted = np.atleast_1d(np.asarray(target, dtype=float))
        if wanted.shape != (len(self.outputs),) or not np.all(np.isfinite(wanted)):
            raise InputError(
                f"EquilibriumTask.learn.target: the shape is {wanted.shape}; give {len(self.outputs)} finite currents, one for each output"
            )
        free = self.predict(np.asarray(x, dtype=float).reshape(-1))
        miss = wanted - free
        if self.nudging == "symmetric":
            self._nudge(-self.beta * miss)
            self.run.signal("free")
            self._nudge(self.beta * miss)
            self.run.signal("nudged", 2.0 * self.beta)
        else:
            beta = self.beta if self.nudging == "positive" else -self.beta
            self._nudge(beta * miss)
            self.run.signal("nudged", beta)
        return float(0.5 * np.sum(miss**2))

    def _nudge(self, flux: NDArray[np.float64]) -> None:
        self._clamp(dict(zip(self.outputs, flux.tolist(), strict=True)))
        self.run.run(self.run.now + self.settle)

    def _sample(self, x: ArrayLike) -> dict[str, float]:
        flux = np.asarray(x, dtype=float)
        if flux.shape != (len(self.inputs),) or not np.all(np.isfinite(flux)):
            raise InputError(
                f"EquilibriumTask.x: the shape is {flux.shape}; give {len(self.inputs)} finite fluxes, one for each input"
            )
        return dict(zip(self.inputs, flux.tolist(), strict=True))

    def _clamp(self, flux: Mapping[str, float]) -> None:
        for name, value in flux.items():
            if value != self._held[name]:
                self.run.set_rule(name, flux=value)
                self._held[name] = value
        self.run.signal("clamp")

    # ------------------------------------------------------------------ what has been learnt

    def learnt_network(self) -> Network:
        """The network with the couplings and offsets of now, without any sample."""
        learnt, new = self.run.learnt, self.network.copy()
        for name in new.dendrites:
            site = self.run.site(f"{name}.phi_offset")
            new.replace(name, phi_offset=site["weight"] - site["held"])
        for key in [key for key in learnt if not key.endswith(".phi_offset")]:
            new.replace(key, J=learnt[key])
        return new


def _id(coupling: Any) -> str:
    return Network.key(coupling)


def _network_faults(
    network: Any, inputs: Sequence[str], outputs: Sequence[str], couplings: list[str] | None
) -> list[str]:
    """What is wrong with a network that is to settle."""
    place = "EquilibriumTask"
    if not isinstance(network, Network):
        return [f"{place}.network: {type(network).__name__} is not a Network; give a soen_event.Network"]
    faults = []
    if network.neurons:
        faults.append(
            f"{place}.network: {next(iter(network.neurons))} is a neuron, which spikes and does not settle; use dendrites alone"
        )
    known = network.dendrites
    for what, ids in (("inputs", inputs), ("outputs", outputs)):
        if len(set(ids)) < len(ids) or (what == "outputs" and not ids):
            faults.append(f"{place}.{what}: {list(ids)} is empty or names a dendrite twice")
        faults += [f"{place}.{what}: there is no dendrite {d!r}{nearest(str(d), known)}" for d in ids if d not in known]
    faults += [
        f"{place}.outputs: {d} is an input too; nothing can be wanted of it" for d in outputs if d in set(inputs)
    ]
    J: dict[tuple[str, str], float] = {}
    ends: dict[str, tuple[str, str]] = {}
    for c in network.couplings:
        if (c.source, c.target) in J:
            faults.append(f"{place}.network: two couplings lead from {c.source} to {c.target}; make them one")
        J[c.source, c.target] = float(c.J)
        ends[_id(c)] = c.source, c.target
    driven = {target for _, target in J}
    for (source, target), strength in J.items():
        back = J.get((target, source))
        if source == target:
            faults.append(f"{place}.network: {source} is coupled to itself; leave that out")
        elif back is None and source in driven:
            faults.append(
                f"{place}.network: {source}->{target} has no partner {target}->{source}; add one with J = {strength:g}"
            )
        elif back is not None and back != strength and source < target:
            faults.append(
                f"{place}.network: J of {source}->{target} is {strength:g}, back it is {back:g}; make them equal"
            )
    names = {pair: name for name, pair in ends.items()}
    for name in couplings or ():
        back_name = names.get(ends[name][::-1]) if name in ends else None
        if name not in ends:
            faults.append(f"{place}.couplings: there is no coupling {name!r}{nearest(str(name), ends)}")
        elif back_name is not None and back_name not in (couplings or ()):
            faults.append(f"{place}.couplings: {name} would learn without {back_name}; name both")
    return faults[:20]
