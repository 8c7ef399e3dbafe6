"""The arbor rule against its formula, from areas and from recordings; which dendrites learn, and with which sign (physics.md 7.2)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from soen_event.learning import Storage
from training.rules.arbor import BOUNDS, Arbor, arbor, largest_offset, paths

few = settings(max_examples=10, deadline=None)
INHIBITORY = {"d1", "d1/0"}  # behind one negative coupling; d1/1 is behind two


def neuron(offsets=(0.0, 0.0, 0.0, 0.0, 0.0), ib=1.8):
    """A soma with two dendrites, the second of which inhibits and has two of its own, one of them negative as well."""
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(threshold=0.2), refractory=se.Refractory())
        for (name, target, J), offset in zip(
            (("d0", "n", 0.6), ("d1", "n", -0.3), ("d0/0", "d0", 0.4), ("d1/0", "d1", 0.4), ("d1/1", "d1", -0.2)),
            offsets,
            strict=True,
        ):
            se.Dendrite(name, ib=ib, beta_over_2pi=100, phi_offset=offset)
            se.Coupling(name, target, J=J)
            se.Synapse(f"s.{name}", name)
    return net


def photons(seed=0, start=0.0, until=120.0):
    rng = np.random.default_rng(seed)
    return {f"s.{d}": np.sort(rng.uniform(start, until, 4)) for d in ("d0", "d1", "d0/0", "d1/0", "d1/1")}


def step_of(mean_current, mean_flux, error, eta, sign, bounds, low, high):
    """physics.md 7.2, with the step that is taken judged."""
    step = sign * eta * error * mean_current
    if mean_flux + step > high or mean_flux + step < low:
        return {"unbounded": step, "elastic": -step, "inelastic": 0.0}[bounds]
    return step


@few
@given(
    seed=st.integers(0, 1000),
    engine=st.sampled_from(["compiled", "reference"]),
    resolution=st.sampled_from(["fluxon", "flow"]),
    bounds=st.sampled_from(BOUNDS),
    errors=st.lists(st.floats(-20, 20), min_size=2, max_size=2),
    high=st.sampled_from([0.5, 0.05]),
    offsets=st.lists(st.floats(-0.15, 0.15), min_size=5, max_size=5),
    hebbian=st.booleans(),
)
def test_the_step_is_its_formula_of_the_areas(seed, engine, resolution, bounds, errors, high, offsets, hebbian):
    """Two samples: one from the signal "begin", the next from the last error. To 1e-12. HebbianArbor: times 20 mean(s of the parent)."""
    net = neuron(offsets)
    learning = arbor(net, eta=0.05, bounds=bounds, low=-high, high=high, max_offset=0.16, hebbian=hebbian)
    signs = paths(net, "n")
    run = se.Simulation(net, photons(seed), engine=engine, resolution=resolution, learning=learning)
    run.run(10.0)
    run.signal("begin")
    keys = {d: f"{d}.phi_offset" for d in signs}
    now, before = 10.0, {d: run.site(s) for d, s in keys.items()}
    for until, error in zip((60.0, 120.0), errors, strict=True):
        run.run(until)
        held = run.learnt
        run.signal("error", {"n": error})
        new = {}
        for d, site in keys.items():
            found = run.site(site)
            means = [(found[a] - before[d][a]) / (until - now) for a in ("current_area", "flux_area")]
            factor = 1.0
            if hebbian:
                factor = 20.0 * (found["parent_area"] - before[d]["parent_area"]) / (until - now)
                if "/" in d:  # the parent is a dendrite, which knows its own current
                    assert found["parent_area"] == run.site(f"{d[:2]}.phi_offset")["current_area"]
            step = step_of(*means, factor * error, 0.05, signs[d], bounds, -high, high)
            assert found["weight"] == pytest.approx(np.clip(held[site] + step, -0.16, 0.16), rel=0, abs=1e-12)
            new[d] = found
        before, now = new, until


def test_the_means_are_those_of_a_recording():
    """The brute force: averages of rec.current and rec.flux on a grid of 30 ps. An inhibitory dendrite learns with the other sign."""
    net = neuron((0.05, 0.0, -0.02, 0.1, 0.0))
    learning = arbor(net, eta=0.01, low=-1.0, high=1.0, max_offset=math.inf)
    run = se.Simulation(net, photons(3), learning=learning, record="currents")
    run.run(20.0)
    run.signal("begin")
    run.run(140.0)
    run.signal("error", {"n": -3.0})
    learnt = run.learnt
    rec = run.finish()
    grid = 20.0 + (np.arange(4_000) + 0.5) * 3e-2
    moved = 0
    for d, sign in paths(net, "n").items():
        current, flux = np.mean(rec.current(d, grid)), np.mean(rec.flux(d, grid))
        step = step_of(current, flux, -3.0, 0.01, sign, "elastic", -1.0, 1.0)
        found = learnt[f"{d}.phi_offset"] - net.dendrites[d].phi_offset
        assert found == pytest.approx(step, abs=2e-6), d
        moved += abs(found) > 1e-4
        assert np.sign(found) in (0, -sign)
    assert moved >= 3


def at_a_bound(bounds, error, max_offset=math.inf, sign=1):
    """The offset of a dendrite that sits at a mean flux of 0.45 and asks for a large step."""
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(), refractory=None)
        se.Dendrite("d", phi_offset=0.45, beta_over_2pi=100)
        se.Coupling("d", "n", J=0.1)
    run = se.Simulation(net, learning=Arbor(0.05, bounds, max_offset=max_offset, sign=sign).on(loops=["d"]))
    run.run(200.0)
    run.signal("error", {"n": error})
    site = run.site("d.phi_offset")
    return site["weight"] - 0.45, 0.05 * error * site["current_area"] / 200.0


def test_bounds():
    """Elastic: back; inelastic: not at all; unbounded: on. The mean flux contains the offset once: 0.45 + a small step is within."""
    found, step = at_a_bound("elastic", 4.0)
    assert step > 0.05 and found == pytest.approx(-step)
    assert at_a_bound("inelastic", 4.0)[0] == 0.0
    found, step = at_a_bound("unbounded", 4.0)
    assert found == pytest.approx(step)
    found, step = at_a_bound("elastic", 0.1)
    assert 0 < step < 0.02 and found == pytest.approx(step)  # 0.9 + step, the offset counted twice, would be reflected
    found, step = at_a_bound("elastic", -4.0, sign=-1)  # inhibitory: what is judged is the step that it takes, upwards
    assert step < 0 and found == pytest.approx(step)
    found, step = at_a_bound("unbounded", 4.0, max_offset=0.47)
    assert found == pytest.approx(0.02)
    found, step = at_a_bound("unbounded", -100.0, max_offset=0.47)
    assert found == pytest.approx(-0.92)


def test_a_sample_that_lasts_no_time_changes_nothing():
    net = neuron()
    run = se.Simulation(net, photons(), learning=arbor(net))
    run.run(50.0)
    run.signal("begin")
    run.signal("error", {"n": 5.0})
    assert set(run.learnt.values()) == {0.0}


def test_who_learns_and_with_which_sign():
    net = neuron()
    assert paths(net, "n") == {"d0": 1, "d1": -1, "d0/0": 1, "d1/0": -1, "d1/1": 1}
    groups = {p.rule.sign: set(p.loops) for p in arbor(net)}
    assert groups == {1: {"d0", "d0/0", "d1/1"}, -1: INHIBITORY}
    (only,) = arbor(net, inh_counter=False)
    assert only.rule.sign == 1 and len(only.loops) == 5
    (leaves,) = arbor(net, loops="d0*", storage=Storage(-0.2, 0.2, levels=64))
    assert set(leaves.loops) == {"d0", "d0/0"} and leaves.storage.levels == 64
    net.replace("d0", ib=1.7)
    assert {(p.rule.sign, p.rule.max_offset) for p in arbor(net)} == {
        (1, largest_offset(net.dendrites["d0"])),
        (1, largest_offset(net.dendrites["d1"])),
        (-1, largest_offset(net.dendrites["d1"])),
    }


def test_the_largest_offset():
    """The threshold flux is .1676 at ib = 1.8024 (physics.md 2.2), and every word of the original is accepted."""
    assert largest_offset(neuron(ib=1.8024).dendrites["d0"]) == pytest.approx(0.1676, abs=1e-4)
    d = neuron().dendrites["d0"]
    threshold = largest_offset(d)
    assert largest_offset(d, "half") == 0.5
    assert largest_offset(d, "inverse") == pytest.approx(0.5 - threshold, abs=1e-15)
    assert largest_offset(d, 0.3) == 0.3
    assert Arbor().parameters()["max_offset"] == threshold
    assert Arbor(max_offset="inverse", ib=1.7).parameters()["max_offset"] < 0.5 - threshold


def test_nonsense():
    net = neuron()
    for what, make in {
        "eta: -1 is below 0": lambda: Arbor(eta=-1.0),
        "bounds: 'elastc' is unknown.*elastic": lambda: Arbor(bounds="elastc"),
        "max_offset: 'phi_th' is unknown.*phi_off": lambda: Arbor(max_offset="phi_th"),
        "max_offset: 0 is not above": lambda: Arbor(max_offset=0.0),
        "high: -1 is not above low": lambda: Arbor(high=-1.0),
        "sign: 2 is unknown": lambda: Arbor(sign=2),
        "leaves nothing to learn": lambda: Arbor(ib=2.1).parameters(),
        "no neuron 'm'": lambda: arbor(net, "m"),
        "no dendrite 'd7'": lambda: arbor(net, loops=["d7"]),
        "no dendrite matches 'q": lambda: arbor(net, loops="q*"),
        "int is not a Network": lambda: arbor(3),
        "no dendrite leads": lambda: arbor(net, loops=[]),
    }.items():
        with pytest.raises(InputError, match=what):
            make()
    with net:
        se.Coupling("d0/0", "d1", J=0.1)
    with pytest.raises(InputError, match="d0/0 excites n along one path and inhibits it"):
        arbor(net)
    shared = neuron()
    with shared:
        se.Neuron("m", soma=se.Soma(), refractory=None)
        se.Coupling("d0", "m", J=0.1)
    with pytest.raises(InputError, match="d0 leads to m and to n"):
        arbor(shared)
    assert {d for p in arbor(shared, "n") for d in p.loops} == {"d0", "d1", "d0/0", "d1/0", "d1/1"}
    se.Simulation(shared, learning=arbor(shared, "n"))
    with pytest.raises(InputError, match=r"d0\.phi_offset has no parent: its"):
        se.Simulation(shared, learning=arbor(shared, "n", hebbian=True))
