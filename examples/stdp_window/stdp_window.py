"""The window of spike-timing-dependent plasticity, measured on a chip as one would in a laboratory.

    python examples/stdp_window/stdp_window.py [picture.png]

One pair at a time: a photon at the synapse, and a spike that strong light on a second input forces, from 60 ns before it to 60 ns
after. The chip tells when it has detected and when it has spiked, and what its weight is afterwards; the weight is then set back. Against
it stands the pair window of the rule (training.rules.STDP), for a memory of any value, one of 401 (a storage loop of 400 flux
quanta) and one of 16.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np

import soen_event as se
from hardware.chip import NIST_SPIKING
from hardware.instrument import VirtualChip
from hardware.quantize import Levels
from training.rules import STDP

RULE = STDP(lr=0.1, tau_plus=20.0, tau_minus=30.0, a_plus=1.0, a_minus=0.6)
GAPS = np.arange(-60.0, 61.0, 5.0)
MEMORIES = {"any value": (0.0, 1.0), "401 values": Levels.storage_loop(0.0, 1.0), "16 values": Levels.bits(4, 0.0, 1.0)}


def network() -> se.Network:
    """A neuron with a weak synapse that learns, and a strong one that makes it spike."""
    with se.Network(name="a pair") as net:
        for name, weight in (("weak", 7.0 / 15.0), ("strong", 1.0)):
            peak = 0.1 if name == "weak" else 0.5
            se.Synapse(name, f"d.{name}", weight=weight, phi_peak=peak, tau_fall=30.0)
            se.Dendrite(f"d.{name}", ib=1.8, beta_over_2pi=300.0, tau=50.0)
            se.Coupling(f"d.{name}", "n", J=0.7)
        se.Neuron(
            "n", soma=se.Soma(beta_over_2pi=100.0, tau=50.0, threshold=0.2, t_ref=100.0), refractory=se.Refractory()
        )
    return net


def window(memory: object) -> np.ndarray:
    """(dt, change) of every pair, dt = spike - detection in ns, as the chip tells them: (pairs, 2)."""
    kind = dataclasses.replace(NIST_SPIKING, name="no photon lost", weights=memory, efficiency=1.0)
    chip = VirtualChip(kind, seed=1)
    chip.load(network(), learning=RULE.on(synapses="weak"), temperature=0.0)
    start = chip.weights["weak"]
    out = []
    for gap in GAPS:
        chip.reset(weights=True)
        chip.inject({"weak": [100.0], "strong": [100.0 + gap]})
        chip.run(300.0)
        seen = chip.read_out()
        (spike,), (detection,) = seen.spikes["n"], seen.detections["weak"]
        out.append((spike - detection, chip.weights["weak"] - start))
    return np.array(out)


def theory(dt: np.ndarray) -> np.ndarray:
    """A+ e^(-dt/tau+) after, -A- e^(dt/tau-) before, times lr (features.md S0.13)."""
    up, down = np.exp(-np.abs(dt) / RULE.tau_plus), np.exp(-np.abs(dt) / RULE.tau_minus)
    return RULE.lr * np.where(dt > 0.0, RULE.a_plus * up, -RULE.a_minus * down)


def main(picture: str | None = None) -> None:
    found = {name: window(memory) for name, memory in MEMORIES.items()}
    print(f"{len(GAPS)} pairs, dt from {found['any value'][:, 0].min():.2f} to {found['any value'][:, 0].max():.2f} ns")
    for name, pairs in found.items():
        error = np.abs(pairs[:, 1] - theory(pairs[:, 0])).max()
        kept = np.count_nonzero(pairs[:, 1])
        told = f"{error:.4f}" if error > 1e-12 else "below 1e-12"
        print(f"{name:>10}: largest difference from the window {told}; {kept} of {len(pairs)} pairs change the weight")
    if picture:
        draw(found, picture)
        print(f"drawn to {picture}")


def draw(found: dict[str, np.ndarray], path: str) -> None:
    """The window and what was measured."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for t in (np.linspace(-65.0, -1e-6, 300), np.linspace(1e-6, 65.0, 300)):
        axis.plot(t, theory(t), color="0.6", label="pair window" if t[0] > 0.0 else None)
    for (name, pairs), mark, size in zip(found.items(), ("o", "+", "s"), (5, 9, 4), strict=True):
        fill = "none" if mark == "s" else None
        axis.plot(pairs[:, 0], pairs[:, 1], mark, ms=size, mfc=fill, label=f"a memory of {name}")
    axis.axhline(0.0, color="0.85", lw=1, zorder=0)
    axis.set(xlabel="spike - detection (ns)", ylabel="change of the weight")
    axis.legend(frameon=False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:2])
