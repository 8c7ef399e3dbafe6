"""Both engines learn the same bits with every rule, over more than 10,000 events (features.md S0.R1)."""

import warnings
from functools import cache

import numpy as np
import pytest

import soen_event as se
from training.registry import get, names
from training.rules import (
    BCM,
    STDP,
    Eligibility,
    FluxHomeostasis,
    Hebbian,
    Oja,
    PhotonicSTDP,
    RateHomeostasis,
    RewardHebbian,
    RewardOja,
    SampledHebbian,
    SampledOja,
    SoftSTDP,
    SynapticScaling,
    ThreeFactor,
    Together,
    TripletSTDP,
)

END = 500.0
RULES = {
    "STDP": STDP(lr=0.02, coincidence="both"),
    "nearest": STDP(lr=0.02, nearest=True, coincidence="ltd", tau_minus=35.0),
    "SoftSTDP": SoftSTDP(lr=0.05, mu=0.7, high=1.5),
    "TripletSTDP": TripletSTDP(a3_minus=2e-3, a2_plus=1e-2, coincidence="ltp"),
    "Hebbian": Hebbian(lr=1e-3),
    "SampledHebbian": SampledHebbian(lr=1e-3, tau=90.0),
    "Oja": Oja(lr=1e-3),
    "SampledOja": SampledOja(lr=1e-3),
    "BCM": BCM(lr=1e-6),
    "RewardHebbian": RewardHebbian(lr=1e-3, baseline=True),
    "RewardOja": RewardOja(lr=1e-3, tau=70.0),
    "ThreeFactor": ThreeFactor(lr=0.02, spend=True),
    "Eligibility": Eligibility(lr=1e-3, threshold=0.2, width=0.3),
    "PhotonicSTDP": PhotonicSTDP(window=20.0, step=1e-2),
    "RateHomeostasis": RateHomeostasis(lr=0.02, tau=100.0),
    "SynapticScaling": SynapticScaling(lr=0.02, tau=100.0, target=0.03),
    "FluxHomeostasis": FluxHomeostasis(lr=0.02),
    "Together": Together(STDP(lr=0.01), RewardHebbian(lr=1e-3), RateHomeostasis(lr=1e-2)),
}


@cache
def learnt(engine):
    """One run with a synapse of its own for every rule, all on dendrites of one neuron; and with an offset for those that average."""
    rng = np.random.default_rng(11)
    learning, photons = [], {}
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0, t_ref=0.0))
        for name, rule in RULES.items():
            se.Dendrite(f"d.{name}", ib=1.8, beta_over_2pi=100.0, tau=60.0)
            se.Synapse(name, f"d.{name}", weight=0.7)
            se.Coupling(f"d.{name}", "n", J=0.12)
            place = {"loops": f"d.{name}"} if name == "FluxHomeostasis" else {"synapses": name}
            storage = se.Storage(-2.0, 2.0, levels=4096) if name == "RateHomeostasis" else se.Storage(-2.0, 2.0)
            learning.append(rule.on(**place, storage=storage, name=name))
            photons[name] = np.sort(rng.uniform(0.0, END, 15).round(3))
    signals = [
        (t, name, float(rng.uniform(-0.2, 1.0)))
        for t in np.arange(50.0, END, 50.0)
        for name in ("sample", "reward", "tick", "error")
    ]
    drive = se.Drive("n", quanta=[(float(t), up) for t in photons["STDP"] for up in (1.0, 40.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = se.Simulation(
            net, se.Stimulus(photons=photons, drives=[drive]), engine=engine, learning=learning, signals=signals, seed=3
        )
    run.run(END)
    coincident = np.isin(run.recording().spikes["n"].round(6), photons["STDP"]).sum()
    return run.learnt, {name: run.site(name) for name in run.learnt}, run.event_count, int(coincident)


@pytest.mark.parametrize("name", RULES)
def test_both_engines_learn_the_same(name):
    """S0.R1: the value, every variable and every count, after at least 10,000 events with coincidences among them."""
    one, two = learnt("reference"), learnt("compiled")
    assert one[2] == two[2] >= 10_000 and one[3] == two[3] >= 3
    site = "d.FluxHomeostasis.phi_offset" if name == "FluxHomeostasis" else name
    assert one[0][site].hex() == two[0][site].hex()
    assert one[1][site] == two[1][site]
    assert one[1][site]["writes"] >= 3, "it has learnt"


def test_every_rule_of_these_modules_is_here():
    own = ("pairs", "rates", "rewards", "photonic", "homeostasis", "together")
    kinds = {get("rule", name) for name in names("rule")}
    mine = {kind.__name__ for kind in kinds if kind.__module__ in {f"training.rules.{m}" for m in own}}
    assert mine == set(RULES) - {"nearest"}
