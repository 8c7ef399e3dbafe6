"""The three networks of the work-precision benchmark, and their photons.

Each is a function of the inductance of its loops (``beta_over_2pi``); what is not said is the default of the parts. Every synapse gets
Poisson photons. Couplings and thresholds are such that the neurons spike at 0.1 MHz as well as at 9 MHz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import soen_event as se
from soen_event.builders import tree as grow
from soen_event.stimulus import poisson

RATES = (0.1, 1.0, 9.0)  # MHz per synapse


def neuron(name: str, beta: float, **soma: float) -> se.Neuron:
    return se.Neuron(
        name,
        soma=se.Soma(beta_over_2pi=beta, **soma),
        refractory=se.Refractory(beta_over_2pi=beta, J=-0.8),
        transmitter=se.Transmitter(),
    )


def one(beta: float) -> se.Network:
    """One neuron with one dendrite: a photon makes it spike."""
    with se.Network() as net:
        se.Synapse("s", "d")
        se.Dendrite("d", beta_over_2pi=beta)
        se.Coupling("d", "n", J=0.5)
        neuron("n", beta, threshold=0.1)
    return net


def tree(beta: float) -> se.Network:
    """A neuron with a tree of 40 dendrites (1 + 3 + 9 + 27) and a synapse on each leaf; a few photons together make it spike."""
    with se.Network() as net:
        neuron("n", beta, threshold=0.02, phi_offset=0.165)
    leaf = {"beta_over_2pi": beta}
    branch = {**leaf, "phi_offset": 0.165}
    leaves = grow(net, "n", (1, 3, 3, 3), J=[0.5, 0.2, 0.2, 0.2], dendrite=[branch, branch, branch, leaf])
    for k, name in enumerate(leaves):
        net.add(se.Synapse(f"s{k:02d}", name))
    return net


def many(beta: float, n: int = 1000) -> se.Network:
    """``n`` neurons with 12 dendrites, each with a synapse; two photons make one spike. Every fourth neuron lights a synapse of another."""
    rng = np.random.default_rng(0)
    net = se.Network()
    for k in range(n):
        net.add(neuron(f"n{k:04d}", beta, threshold=0.03, phi_offset=0.15))
        for j in range(12):
            name = f"{k:04d}.{j:02d}"
            net.add(se.Dendrite(f"d{name}", beta_over_2pi=beta))
            net.add(se.Coupling(f"d{name}", f"n{k:04d}", J=0.04))
            net.add(se.Synapse(f"s{name}", f"d{name}"))
    for k in range(0, n, 4):
        target = (k + int(rng.integers(1, n))) % n
        delay = float(rng.uniform(0.067, 0.67))  # 1 to 10 cm
        net.add(se.Waveguide(f"n{k:04d}", f"s{target:04d}.{int(rng.integers(12)):02d}", delay=delay))
    return net


@dataclass(frozen=True)
class Case:
    """A network (``one``, ``tree`` or ``many``) at a rate of photons in MHz, for ``duration`` ns; ``size``: neurons of ``many``."""

    network: str
    rate: float
    duration: float
    beta: float = 1000.0
    size: int = 1000

    @property
    def name(self) -> str:
        size = f"{self.size}" if self.network == "many" else ""
        return f"{self.network}{size}_{self.rate:g}MHz_{self.beta:g}_{self.duration:g}ns"

    @property
    def title(self) -> str:
        what = {"one": "one neuron", "tree": "tree of 40 dendrites", "many": f"{self.size} neurons with 12 dendrites"}
        return f"{what[self.network]}, {self.rate:g} MHz"

    def build(self) -> tuple[se.Network, se.Stimulus]:
        net = (
            many(self.beta, self.size)
            if self.network == "many"
            else {"one": one, "tree": tree}[self.network](self.beta)
        )
        return net, poisson(sorted(net.synapses), 1e-3 * self.rate, self.duration, seed=7)
