"""Teachers and students: twins of small networks with the same inputs and outputs."""

from __future__ import annotations

import numpy as np

import soen_event as se
from training.twin import Twin


def network(dendrites, seed=0, inputs=3, J=(0.2, 0.5), spiking=True):
    """Every input on every dendrite, every dendrite on both outputs: somas n0 and n1, or dendrites o0 and o1."""
    rng = np.random.default_rng(seed)
    with se.Network() as net:
        for k in range(dendrites):
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=300, tau=50.0)
            for c in range(inputs):
                se.Synapse(f"s{c}.{k}", f"d{k}", weight=float(rng.uniform(0.1, 0.8)))
        for k in range(2):
            if spiking:
                soma = se.Soma(threshold=0.12, tau=40.0, beta_over_2pi=300, t_ref=2.0)
                se.Neuron(f"n{k}", soma=soma, refractory=None, transmitter=se.Transmitter(latency=1.3))
            else:
                se.Dendrite(f"o{k}", ib=1.8, beta_over_2pi=300, tau=50.0)
            for d in range(dendrites):
                se.Coupling(f"d{d}", f"{'n' if spiking else 'o'}{k}", J=float(rng.uniform(*J)))
    return net


def students_twin(dendrites, seed=0, inputs=3, J=(0.2, 0.5), spiking=True, **options):
    """The twin of it, in steps of 1 ns."""
    net = network(dendrites, seed, inputs, J, spiking)
    channels = {f"c{c}": [name for name in net.synapses if name.startswith(f"s{c}.")] for c in range(inputs)}
    chosen = {
        "dt": 1.0, "channels": channels, "trainable": ("weights", "J"), "pooling": "mean",
        "outputs": ["n0", "n1"] if spiking else ["o0", "o1"], **options,
    }  # fmt: skip
    return Twin(net, **chosen)


def photons(count, steps=40, inputs=3, seed=0, share=0.08):
    """Photons (count, steps, inputs); every example has its own rates."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.0, 2.0 * share, (count, 1, inputs))
    return (rng.uniform(size=(count, steps, inputs)) < rates).astype(np.float32)
