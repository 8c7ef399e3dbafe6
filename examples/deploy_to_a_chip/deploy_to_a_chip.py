"""A spiking network meets a chip that does not spike: what does not fit, what is done about it, and how it then runs.

    python examples/deploy_to_a_chip/deploy_to_a_chip.py [picture.png]

Three neurons, one for each of the nine-pixel images z, v and n; each sends light to detectors that hold the other two down.
ASCR_Y1 (28 dendrites that do not spike, 8 lines, 17 levels) takes neither the light nor nine lines. With currents in place
of light, and one line for the two pixels that are alike in all images, the network fits, with coarser weights.
"""

from __future__ import annotations

import sys

import numpy as np

import soen_event as se
from hardware.chip import ASCR_Y1
from hardware.deployment import check
from hardware.instrument import VirtualChip

IMAGES = {"z": "110010011", "v": "101101010", "n": "010101101"}
PERIOD, AT = 250.0, 5.0


def network(by_light: bool) -> se.Network:
    """One dendrite and one neuron an image; the neurons inhibit each other by light or by current."""
    with se.Network(name="nine pixels by light" if by_light else "nine pixels by current") as net:
        for c, image in IMAGES.items():
            se.Dendrite(f"d.{c}", ib=1.8, beta_over_2pi=300.0, tau=50.0)
            for k, lit in enumerate(image):
                se.Synapse(f"p{k}.{c}", f"d.{c}", weight=0.21 if lit == "1" else -0.1, tau_fall=30.0)
            light = se.Transmitter() if by_light else None
            se.Neuron(
                c, soma=se.Soma(beta_over_2pi=300.0, threshold=0.2), refractory=se.Refractory(), transmitter=light
            )
            se.Coupling(f"d.{c}", c, J=0.7)
        for c in IMAGES:
            for other in sorted({*IMAGES} - {c}):
                if by_light:
                    se.Synapse(f"{c}.{other}", f"d.{other}", weight=-0.2)
                    se.Waveguide(c, f"{c}.{other}")
                else:
                    se.Coupling(c, f"d.{other}", J=-0.15)
    return net


def pixel(synapse: se.Synapse) -> str:
    """A line for every pixel."""
    return synapse.id.split(".")[0]


def line(synapse: se.Synapse) -> str:
    """Pixels 3 and 5 are alike in all three images: they share a line."""
    return "p3" if pixel(synapse) == "p5" else pixel(synapse)


def main(picture: str | None = None) -> None:
    print(check(network(by_light=True), ASCR_Y1, ports=pixel, temperature=0.0).table(most=4))
    print()
    net = network(by_light=False)
    chip = VirtualChip(ASCR_Y1, seed=1)
    deployment = chip.load(net, ports=line, temperature=0.0)
    print(deployment.report.table(most=4))
    print()
    lines = deployment.lines
    for c, image in IMAGES.items():
        chip.inject({f"p{k}": [AT] for k, lit in enumerate(image) if lit == "1" and f"p{k}" in lines})
        chip.run(40.0)
        seen = {name: float(samples[0]) for name, samples in chip.read_out([*IMAGES]).currents.items()}
        told = ", ".join(f"{name} {current:.3f}" for name, current in seen.items())
        print(f"image {c} after 40 ns: {told} I_c; it is {max(seen, key=lambda name: seen[name])}")
        chip.run(PERIOD - 40.0)
    chip.program({"d.z->z": 0.1})
    print(f"one coupling is now {chip.weights['d.z->z']:.4g}; {chip.ledger}")
    if picture:
        draw(net, chip, picture)
        print(f"drawn to {picture}")


def draw(net: se.Network, chip: VirtualChip, path: str) -> None:
    """Currents of the three, on the chip and of the network as it was drawn."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    photons = {
        s: [AT + PERIOD * j for j, image in enumerate(IMAGES.values()) if image[int(s[1])] == "1"] for s in net.synapses
    }
    drawn = se.simulate(net, photons, 3 * PERIOD, record="currents")
    t = np.linspace(0.0, 3 * PERIOD, 6001)
    figure, axes = plt.subplots(3, 1, sharex=True, sharey=True, figsize=(8, 5), layout="constrained")
    for axis, name in zip(axes, IMAGES, strict=True):
        axis.plot(t, chip.recording().current(name, t), label="on the chip")
        axis.plot(t, drawn.current(name, t), "--", lw=1, label="as drawn")
        axis.plot(drawn.spikes[name], np.full(len(drawn.spikes[name]), 0.2), "v", color="C1", label="spike")
        axis.set_ylabel(f"{name} (I$_c$)")
    axes[0].legend(frameon=False, loc="upper right")
    axes[0].set_title(
        "images z, v, n, one in 250 ns: as drawn a spike empties the loop, on the chip its current stays to be read",
        fontsize=9,
    )
    axes[-1].set_xlabel("time (ns)")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:2])
