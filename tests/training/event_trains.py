"""A neuron that fires when it is told to, and what a rule learns from it: for tests of rules against their definitions.

Photons come at times of our choice, and so do spikes: flux quanta are put into the soma's loop, which is at once above its threshold. A
photon and a spike at the very same time are thus easily made; the engines handle the spike first then. :func:`replayed` calls the
functions of a rule directly, in either order.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

import soen_event as se
from soen_event.engine.state import SITE_VALUES
from soen_event.physics.elementary import exp

SYNAPSES = ("s0", "s1", "s2")
END = 200.0
UP = (1.0, 40.0)  # quanta that arm a soma that has spiked, and that lift it from 0 to twice its threshold


def network(weight=0.0, J=0.1, t_ref=0.0):
    """Three synapses, each on a dendrite of its own, and a neuron that is empty after each spike and ready at once."""
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0, t_ref=t_ref))
        for k, name in enumerate(SYNAPSES):
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=300.0, tau=100.0)
            se.Synapse(name, f"d{k}", weight=weight)
            se.Coupling(f"d{k}", "n", J=J)
    return net


@dataclass(frozen=True)
class Trains:
    """What happened in a run: ns."""

    pre: dict[str, np.ndarray]
    post: np.ndarray
    learnt: dict[str, float]
    run: se.Simulation
    rec: se.Recording


def kicked(times):
    """Drives that make the neuron fire at these times."""
    return [se.Drive("n", quanta=[(t, up) for t in times for up in UP])] if len(times) else []


def ran(learning, photons, kicks, signals=(), *, engine="compiled", weight=0.0, end=END, net=None, **how) -> Trains:
    """Run the network on photons by synapse and kicks of the soma."""
    stimulus = se.Stimulus(photons={name: sorted(times) for name, times in photons.items()}, drives=kicked(kicks))
    run = se.Simulation(
        network(weight) if net is None else net,
        stimulus,
        engine=engine,
        learning=learning,
        signals=signals,
        **{"record": ("spikes", "detections"), **how},
    )
    run.run(end)
    rec = run.finish()
    pre = {name: np.array(rec.detections[name]) for name in SYNAPSES}
    return Trains(pre, np.array(rec.spikes["n"]), run.learnt, run, rec)


GRID = st.integers(0, 40).map(lambda k: k * 4.25)  # few enough that photons and spikes coincide
ANY = st.floats(0.0, END).map(lambda t: round(t, 3))
TIMES = st.lists(GRID | ANY, max_size=12, unique=True).map(sorted)
PHOTONS = st.fixed_dictionaries({name: TIMES for name in SYNAPSES})
TAU = st.floats(1.0, 500.0)
AMPLITUDE = st.floats(-2.0, 2.0)


def close(found, terms):
    """``found`` is the sum of ``terms`` to 1e-12 of the sum of their absolute values."""
    terms = np.atleast_1d(np.asarray(terms, dtype=float)).ravel()
    assert abs(found - terms.sum()) <= 1e-12 * np.abs(terms).sum() + 1e-300, (found, terms.sum(), np.abs(terms).sum())


def site_of(rule):
    """A site of a rule at time 0, as plain Python."""
    return SimpleNamespace(**dict.fromkeys((*SITE_VALUES, *rule.variables), 0.0))


def heard(rule, site, hook, t, **fields):
    """What the site asks for at an event at ``t``, which has to be none earlier than the one before; decay as the engines do it."""
    p = SimpleNamespace(**rule.parameters())
    for name, tau in rule.variables.items():
        if tau is not None and t > site.now:
            setattr(site, name, getattr(site, name) * exp(-(t - site.now) / getattr(p, tau)))
    site.now, site.change = t, 0.0
    for name, value in fields.items():
        setattr(site, name, value)
    rule.hooks()[hook](site, p)
    return site.change


def replayed(rule, events):
    """Sum of what is asked for at (time, hook) events, the functions called directly."""
    site = site_of(rule)
    return sum(heard(rule, site, hook, t) for t, hook in events)


@st.composite
def orders(draw, places=41):
    """Detections and spikes on a coarse grid, sorted by time, those of one time in any order: (events, pre, post)."""
    times = st.lists(st.integers(0, places - 1).map(lambda k: k * 4.25), max_size=10)
    pre, post = sorted(draw(times)), sorted(draw(times))
    events = draw(st.permutations([(t, "on_detection") for t in pre] + [(t, "on_spike") for t in post]))
    return sorted(events, key=lambda event: event[0]), np.array(pre), np.array(post)
