"""Net, optimizer, loss function, loop: three kinds of iris told apart by spiking neurons (features.md S1.15).

    python examples/train_loop/train_loop.py [picture.png]

A flower is four lengths. Each sends one photon, the earlier the larger the length, and one more, the earlier the smaller. Twelve dendrites
see the eight photons, three neurons see the dendrites, and the neuron with the most spikes names the kind. A spike is a step, whose slope
in training is that of a surrogate. The loop is written out: gradients of a batch, an update, and the loss printed; then the network is
deployed and the event engine counts spikes.
"""

from __future__ import annotations

import sys

import numpy as np
from rich.console import Console
from rich.progress import track
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

import soen_event as se
from training import DataLoader, init_all_states, run_network, value_and_grad
from training.encoders import encode
from training.losses import CrossEntropy
from training.optim import Adam
from training.surrogates import ReluGrad
from training.twin import Twin

HIDDEN, STEPS, EPOCHS = 12, 40, 40
KINDS = ("setosa", "versicolor", "virginica")


def network(seed: int = 0) -> se.Network:
    """Eight channels on twelve dendrites on three neurons; random weights and couplings."""
    rng = np.random.default_rng(seed)
    with se.Network(name="iris") as net:
        for h in range(HIDDEN):
            se.Dendrite(f"h{h}", ib=1.75, beta_over_2pi=200, tau=30.0, phi_offset=0.15)
            for c in range(8):
                se.Synapse(f"c{c}.h{h}", f"h{h}", weight=float(rng.normal(0.1, 0.2)), tau_fall=10.0)
        for k in range(3):
            soma = se.Soma(threshold=0.1, beta_over_2pi=100, tau=30.0, t_ref=4.0, phi_offset=0.2)
            se.Neuron(f"n{k}", soma=soma, refractory=None)
            for h in range(HIDDEN):
                se.Coupling(f"h{h}", f"n{k}", J=float(rng.normal(0.1, 0.3)))
    return net


def flowers() -> tuple[np.ndarray, np.ndarray]:
    """Photons of 150 flowers, (150, steps, 8), and their kinds: lengths and their complements as latencies in 20 ns."""
    lengths, kinds = load_iris(return_X_y=True)
    share = (lengths - lengths.min(axis=0)) / np.ptp(lengths, axis=0)
    photons = encode(np.hstack([share, 1.0 - share]), "latency", 20)
    return np.pad(photons, ((0, 0), (0, STEPS - 20), (0, 0))), kinds


def spikes_of(net: se.Network, photons: np.ndarray) -> list[np.ndarray]:
    """When the three neurons spike in the event engine (ns)."""
    times = {f"c{c}.h{h}": np.flatnonzero(photons[:, c]).astype(float) for c in range(8) for h in range(HIDDEN)}
    rec = se.simulate(net, times, float(STEPS), resolution="flow", tol=1e-4)
    return [rec.spikes[f"n{k}"] for k in range(3)]


def main(picture: str | None = None) -> None:
    x, y = flowers()
    train, test = train_test_split(np.arange(150), test_size=50, random_state=0, stratify=y)

    net = Twin(
        network(),
        dt=1.0,
        channels={f"c{c}": [f"c{c}.h{h}" for h in range(HIDDEN)] for c in range(8)},
        outputs=["n0", "n1", "n2"],
        readout="spikes",
        pooling="sum",
        surrogate=ReluGrad(alpha=0.3),
        trainable=("weights", "J"),
    )
    optimizer = Adam(learning_rate=1e-2)
    optimizer.register_trainable_weights(net.parameters())
    loss_fn = CrossEntropy()
    step = value_and_grad(net, loss_fn)

    loader, losses = DataLoader((x[train], y[train]), 25, seed=0), []
    for epoch in track(range(EPOCHS), "training", console=Console(stderr=True), transient=True):
        told = []
        for photons, kinds in loader:
            init_all_states(net, len(photons))
            loss, grads = step(photons, kinds)
            optimizer.update(grads)
            told.append(loss)
        losses.append(float(np.mean(told)))
        if epoch % 8 == 0 or epoch == EPOCHS - 1:
            print(f"epoch {epoch:2d}  loss {losses[-1]:.3f}")

    seen = np.argmax(run_network(net, x[test], readout="spike_count"), axis=1)
    print(f"twin:          {100 * np.mean(seen == y[test]):.0f} % of {len(test)} new flowers")
    deployed = net.deploy()
    spikes = [spikes_of(deployed, x[k]) for k in test]
    counts = np.array([[len(times) for times in three] for three in spikes])
    print(f"event engine:  {100 * np.mean(np.argmax(counts, axis=1) == y[test]):.0f} %")
    if picture:
        draw(losses, [spikes[int(np.flatnonzero(y[test] == k)[0])] for k in range(3)], picture)


def draw(losses: list[float], shown: list[list[np.ndarray]], picture: str) -> None:
    """The loss, and the spikes of the three neurons for a new flower of each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, *others = figure.subplots(1, 4, width_ratios=[2, 1, 1, 1])
    left.semilogy(np.arange(1, len(losses) + 1), losses)
    left.set(xlabel="epoch", ylabel="cross-entropy", title="training")
    for kind, (ax, spikes) in enumerate(zip(others, shown, strict=True)):
        ax.eventplot(spikes, colors=["C1" if k == kind else "0.6" for k in range(3)], linelengths=0.7)
        ax.set(xlim=(0, STEPS), ylim=(-0.5, 2.5), xlabel="time (ns)", title=KINDS[kind])
        ax.set_yticks(range(3), [f"n{k}" for k in range(3)])
    se.plotting.save(figure, picture, overwrite=True)
    print(f"drawn to {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
