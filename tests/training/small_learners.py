"""A small network and simple rules for tests of local training."""

from dataclasses import dataclass

import numpy as np

import soen_event as se
from soen_event.learning import Rule, Storage
from training.local import LocalTrainer
from training.local_inputs import PhotonCode


@dataclass(frozen=True)
class Hebb(Rule):
    """Up at spikes by the trace of photons, down a little at photons."""

    lr: float = 0.05
    tau: float = 20.0
    requires = frozenset({"pre", "post"})
    variables = {"x": "tau"}

    @staticmethod
    def on_detection(site, p):
        site.change -= 0.1 * p.lr
        site.x += 1.0

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * site.x


@dataclass(frozen=True)
class Delta(Rule):
    """At the signal "error" by the photons of the sample times the error of the neuron."""

    lr: float = 0.05
    requires = frozenset({"pre", "per-neuron"})
    variables = {"x": None}
    signals = ("begin", "error")

    @staticmethod
    def on_begin(site, p):
        site.x = 0.0

    @staticmethod
    def on_detection(site, p):
        site.x += 1.0

    @staticmethod
    def on_error(site, p):
        site.change += p.lr * site.x * site.signal


@dataclass(frozen=True)
class Rewarded(Rule):
    """At a reward by the pairs of photon and spike since the last one."""

    lr: float = 0.05
    tau: float = 30.0
    requires = frozenset({"pre", "post", "broadcast"})
    variables = {"x": "tau", "pairs": None}
    signals = ("reward",)

    @staticmethod
    def on_detection(site, p):
        site.x += 1.0

    @staticmethod
    def on_spike(site, p):
        site.pairs += site.x

    @staticmethod
    def on_reward(site, p):
        site.change += p.lr * site.signal * site.pairs
        site.pairs = 0.0


FEATURES, NEURONS = 4, 2


def network(weight=0.5, efficiency=1.0, seed=0):
    """Every feature has a synapse at the dendrite of every neuron."""
    rng = np.random.default_rng(seed)
    with se.Network() as net:
        for k in range(NEURONS):
            se.Neuron(f"n{k}", soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0), refractory=se.Refractory())
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=100.0, tau=50.0)
            se.Coupling(f"d{k}", f"n{k}", J=0.4)
            for f in range(FEATURES):
                se.Synapse(f"s{f}.{k}", f"d{k}", weight=weight * rng.uniform(0.8, 1.2), efficiency=efficiency)
    return net


CHANNELS = [[f"s{f}.{k}" for k in range(NEURONS)] for f in range(FEATURES)]
CODE = PhotonCode("latency", CHANNELS, t_window=20.0, threshold=0.2)


def patterns(count=12, seed=1):
    """Two classes: the first features, or the last ones, are bright."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    bright = np.where(y[:, None] == 0, [1, 1, 0, 0], [0, 0, 1, 1])
    return np.clip(0.8 * bright + rng.uniform(0.0, 0.15, bright.shape), 0.0, 1.0), y


def wanted(outputs, target):
    """Error by neuron: one spike for the class, none for the other."""
    return {f"n{k}": 1.0 * (k == target) - outputs[f"n{k}"] for k in range(NEURONS)}


MEMORY = Storage(0.0, 1.0, levels=400, rounding="hidden")


def trainer(rule=None, storage=MEMORY, net=None, **options):
    """A LocalTrainer on the small network."""
    given = {"encoder": CODE, "length": 40.0, "gap": 160.0, "seed": 5, "progress": False, **options}
    return LocalTrainer(network() if net is None else net, (rule or Hebb()).on(synapses="*", storage=storage), **given)


def everything(made):
    """All bits of a trainer's chip that learning or running can change, but where it keeps photons that are to come."""
    state = made.simulation.state
    kept = (
        "loops",
        "next_fs",
        "amplitude",
        "detectors",
        "out_J",
        "sites",
        "site_fs",
        "rule_values",
        "spikes",
        "counts",
    )
    writes = {k: v.tobytes() for k, v in made.recording().table("writes").items()}
    return {name: getattr(state, name).tobytes() for name in kept}, writes
