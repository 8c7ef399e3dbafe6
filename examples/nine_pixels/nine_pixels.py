"""Nine pixels, one neuron: the letters z, v and n told apart by a dendritic tree (physics.md 9.5).

    python examples/nine_pixels/nine_pixels.py [picture.png]

Twelve leaves look at pairs of pixels: RTTI leaves answer to either pixel of their pair (OR), RI leaves only to both (AND) and inhibit.
Six dendrites combine them, and three more, each with its own time constant (10, 150, 1000 ns), answer one letter each. The neuron that
they drive spikes at a different time, and a different number of times, for each letter. Weights, couplings and biases are the published
ones; loops of the default inductance (2 pi 100).
"""

import sys

import soen_event as se

LETTERS = {"z": "110/010/011", "v": "101/101/010", "n": "010/101/101"}
PAIRS = [(2, 5), (4, 6), (5, 8), (4, 6), (1, 3), (7, 9), (4, 6), (2, 5), (7, 9), (1, 3), (4, 6), (5, 8)]
TOP = [(0.5, 10.0), (0.4, 150.0), (0.6, 1000.0)]  # coupling to the soma, time constant
LEAVES = [(0.65, -0.65)] * 2 + [(0.35, -0.65)] * 4
PHOTON, END = 20.0, 150.0


def network() -> se.Network:
    """The tree: three branches of two dendrites of two leaves of two detectors, on one neuron."""
    with se.Network(name="nine pixels") as net:
        se.Neuron("n", soma=se.Soma(ib=1.5524, threshold=0.1, tau=50.0), refractory=se.Refractory(ib=1.7524))
        for a, (J, tau) in enumerate(TOP):
            se.Dendrite(f"a{a}", kind="rtti", ib=1.73, beta_over_2pi=100, tau=tau)
            se.Coupling(f"a{a}", "n", J=J)
            for b in range(2):
                middle = f"b{a}{b}"
                se.Dendrite(middle, ib=1.6024, beta_over_2pi=100, tau=250.0)
                se.Coupling(middle, f"a{a}", J=0.5)
                for c, (kind, ib, weight) in enumerate((("rtti", 2.42, 0.6), ("ri", 1.5024, 0.5))):
                    leaf = f"c{a}{b}{c}"
                    se.Dendrite(leaf, kind=kind, ib=ib, beta_over_2pi=100, tau=250.0)
                    se.Coupling(leaf, middle, J=LEAVES[2 * a + b][c])
                    for pixel in PAIRS[4 * a + 2 * b + c]:
                        se.Synapse(f"s{pixel}_{leaf}", leaf, weight=weight)
    return net


def present(net: se.Network, letter: str) -> se.Recording:
    """One photon on every detector of every lit pixel, at 20 ns."""
    lit = {k + 1 for k, pixel in enumerate(LETTERS[letter].replace("/", "")) if pixel == "1"}
    photons = {name: [PHOTON] for name in net.synapses if int(name[1]) in lit}
    return se.simulate(net, photons, END, record=("fluxons", "currents"))


def main(picture: str | None = None) -> None:
    net = network()
    print("letter  fluxons in a0   a1   a2   spikes  first after  (all, ns)")
    runs = {letter: present(net, letter) for letter in LETTERS}
    for letter, rec in runs.items():
        spikes = rec.spikes["n"]
        counts = "".join(f"{rec.fluxon_count[f'a{a}']:5d}" for a in range(3))
        print(
            f"   {letter}        {counts:>15s}   {len(spikes):6d}  {spikes[0] - PHOTON:8.2f} ns  ({', '.join(f'{t:.1f}' for t in spikes)})"
        )
    print("each branch answers its own letter: a0 to z, a1 to v, a2 to n")
    if picture:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 6), layout="constrained")
        axes = figure.subplots(3, 1, sharex=True)
        for ax, (letter, rec) in zip(axes, runs.items(), strict=True):
            se.plotting.traces(rec, ["a0", "a1", "a2", "n"], ax=ax)
            for t in rec.spikes["n"]:
                ax.axvline(t, color="black", linewidth=0.8, linestyle=":")
            ax.set_title(f"letter {letter}; dotted: spikes")
        se.plotting.save(figure, picture, overwrite=True)
        print(f"drawn to {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
