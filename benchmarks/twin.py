"""How far the twin is from the engine, by its step: the tables of docs/twin.md.

    python benchmarks/twin.py [samples]                # 200; trains the digits first (a few minutes)

The network of examples/train_digits, answers from currents; and the same with somas for its ten outputs, answers from spikes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import soen_event as se
from training.transfer import compare
from training.twin import Twin

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "train_digits"))
import train_digits as digits

STEPS = (1.0, 0.5, 0.25, 0.125, 0.0625)


def spiking(net: se.Network) -> se.Network:
    """The trained network with a soma for every output: threshold 0.3, 5 ns refractory, emptied by a spike."""
    with se.Network(name="digits, spiking outputs") as out:
        for name, part in net.dendrites.items():
            if name.startswith("h"):
                out.add(part)
                continue
            soma = se.Soma(
                ib=part.ib,
                beta_over_2pi=part.beta_over_2pi,
                tau=part.tau,
                phi_offset=part.phi_offset,
                threshold=0.3,
                t_ref=5.0,
                after_spike="purge",
            )
            se.Neuron(name, soma=soma, refractory=None)
        for each in (*net.synapses.values(), *net.couplings):
            out.add(each)
    return out


def finer(x: np.ndarray, times: int) -> np.ndarray:
    """The same photons on a grid that many times finer."""
    out = np.zeros((len(x), x.shape[1] * times, x.shape[2]), dtype=x.dtype)
    out[:, ::times] = x
    return out


def main(samples: int = 200) -> None:
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    x = digits.encode(images)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    twin = digits.twin_of(digits.network())
    digits.learn(twin, images[train], labels[train], None, digits.Size().epochs)
    net = twin.deploy()
    some = test[:samples]
    for dt in STEPS:
        report = compare(digits.twin_of(net, dt), finer(x[some], round(1.0 / dt)), labels[some], batch=32)
        print(report, flush=True)
    firing = spiking(net)
    for dt in STEPS:
        other = Twin(
            firing, dt=dt, channels={f"p{p}": [f"p{p}.h{h}" for h in range(digits.HIDDEN)] for p in range(64)},
            readout="spikes", pooling="sum",
        )  # fmt: skip
        print(f"\n{compare(other, finer(x[some], round(1.0 / dt)), labels[some], batch=32, loops=())}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
