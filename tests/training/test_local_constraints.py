"""Sign, range and norm hold after every single write, whatever asks for changes and however they are rounded (S0.R7)."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from soen_event.learning import Rule, Storage
from soen_event.physics.random import PLASTICITY, part_key, uniform
from soen_event.physics.storage import HIDDEN, NEAREST, STOCHASTIC, stored

CASES = min(settings().max_examples, 60)
CODES = {"nearest": NEAREST, "stochastic": STOCHASTIC, "hidden": HIDDEN}


@dataclass(frozen=True)
class Push(Rule):
    """Asks for what the signal says: any change at any time."""

    requires = frozenset({"per-neuron"})
    signals = ("push",)

    @staticmethod
    def on_push(site, p):
        site.change += site.signal


@dataclass(frozen=True)
class Pairs(Rule):
    lr: float = 0.1
    tau: float = 20.0
    requires = frozenset({"pre", "post"})
    variables = {"x": "tau"}

    @staticmethod
    def on_detection(site, p):
        site.change -= 0.3 * p.lr
        site.x += 1.0

    @staticmethod
    def on_spike(site, p):
        site.change += p.lr * site.x


def network(weights):
    """Synapses on dendrites of two neurons."""
    with se.Network() as net:
        for n in range(2):
            se.Neuron(f"n{n}", soma=se.Soma(threshold=0.2, beta_over_2pi=100.0))
            se.Dendrite(f"d{n}", beta_over_2pi=100.0, tau=50.0)
            se.Coupling(f"d{n}", f"n{n}", J=0.4)
        for k, weight in enumerate(weights):
            se.Synapse(f"s{k}", f"d{k % 2}", weight=weight)
    return net


def courses(rec):
    """Times of all writes, and the values of all sites from the beginning on and after each of them: (writes + 1, sites)."""
    table = rec.table("writes")
    now = np.array([rec.learnt(site, 0.0) for site in rec.site_ids])
    out = [now.copy()]
    for site, value in zip(table["site"].tolist(), table["value"].tolist(), strict=True):
        now[site] = value
        out.append(now.copy())
    return table["time_fs"], np.array(out)


@st.composite
def memories(draw):
    low = draw(st.floats(-2.0, 0.5))
    high = low + draw(st.floats(0.1, 3.0))
    levels = draw(st.sampled_from([None, 2, 5, 64, 401]))
    keep_sign = low <= 0.0 <= high and draw(st.booleans())  # a range without 0 keeps signs by itself
    return Storage(low, high, levels, draw(st.sampled_from(list(CODES))), keep_sign=keep_sign)


@settings(max_examples=CASES)
@given(
    storage=memories(),
    weights=st.lists(st.floats(-1.5, 1.5), min_size=4, max_size=4),
    pushes=st.lists(st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)), min_size=1, max_size=8),
    norm=st.one_of(st.none(), st.floats(0.2, 2.0)),
    clip=st.sampled_from([math.inf, 0.05]),
    rule=st.sampled_from([Push(), Pairs()]),
    seed=st.integers(0, 1000),
)
def test_after_every_write_everything_holds_s0_r7(storage, weights, pushes, norm, clip, rule, seed):
    """S0.R7: range, levels, sign after every row of rec.writes; the norm after every moment; clip bounds each change."""
    place = 0.0 if storage.levels is None else -storage.low / storage.step
    if norm is not None and (storage.low * storage.high > 0 or abs(place - round(place)) > 1e-9):
        norm = None  # where no value near 0 is allowed, the range and the levels come first
    net = network(weights)
    signals = []
    if isinstance(rule, Push):
        signals = [(10.0 * k + 5.0, "push", {"n0": a, "n1": b}) for k, (a, b) in enumerate(pushes)]
    photons = {f"s{k}": np.arange(3.0 + k, 80.0, 13.0) for k in range(4)}
    learning = rule.on(synapses="*", storage=storage, max_norm=norm, clip=clip)
    rec = se.simulate(net, photons, 90.0, learning=learning, signals=signals, seed=seed)
    times, values = courses(rec)
    assert (values >= storage.low).all() and (values <= storage.high + 1e-12 * abs(storage.high)).all()
    if storage.levels is not None:
        place = (values - storage.low) / storage.step
        assert np.allclose(place, np.rint(place), atol=1e-6)
    if storage.keep_sign:
        given = np.array([weights[int(site[1:])] for site in rec.site_ids])
        assert (np.sign(given) * values >= -1e-12).all()
        assert (values[:, given == 0.0] == values[0, given == 0.0]).all()
    if clip < math.inf and norm is None:
        largest = clip + (storage.step if storage.rounding != "hidden" else 2.0 * storage.step)
        assert np.abs(np.diff(values, axis=0)).max(initial=0.0) <= largest + 1e-12
    if norm is not None:
        of = np.array([int(site[1:]) % 2 for site in rec.site_ids])
        last = np.flatnonzero(np.append(np.diff(times) > 0, True)) + 1  # the state after all writes of one moment
        for k in last.tolist() if len(times) else ():
            for n in (0, 1):
                changed = (values[k] != values[0])[of == n].any()
                if changed:
                    assert np.linalg.norm(values[k][of == n]) <= norm * (1 + 1e-9)


@settings(max_examples=200)
@given(storage=memories(), value=st.floats(-3.0, 3.0), draw=st.floats(0.0, 1.0, exclude_max=True))
def test_constraints_are_idempotent_s0_r7(storage, value, draw):
    """S0.R7: what a memory holds it holds: asked for no change, it stays to the bit, for all roundings."""
    low, high, step = storage.low, storage.high, storage.step
    held, _ = stored(value, 0.0, value, low, high, step, NEAREST, 0.0)
    assert low <= held <= high + 1e-12 * abs(high)
    again, _ = stored(held, 0.0, held, low, high, step, NEAREST, 0.0)
    assert again == held
    if step == 0.0:
        assert held == min(max(value, low), high)
    hidden, _ = stored(held, 0.0, held, low, high, step, HIDDEN, draw)
    assert hidden == held


@settings(max_examples=200)
@given(
    levels=st.integers(2, 400), place=st.integers(0, 399), share=st.floats(-0.4999, 0.4999), span=st.floats(0.1, 4.0)
)
def test_less_than_half_a_level_never_moves_a_weight_that_is_rounded_to_the_nearest(levels, place, share, span):
    """However often it is asked."""
    step = span / (levels - 1)
    value = -1.0 + min(place, levels - 1) * step
    now = value
    for _ in range(20):
        now, _ = stored(now, share * step, 0.0, -1.0, -1.0 + span, step, NEAREST, 0.0)
        assert now == value


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.77, -0.2, 1.4])
def test_stochastic_rounding_is_right_in_the_mean(share):
    """The mean of 40000 updates of a share of a level: within 5 standard errors (false alarms 6e-7 each), with the engines' draws."""
    count, step, key = 40_000, 0.01, part_key("s0")
    moves = [
        (stored(0.5, share * step, 0.5, 0.0, 1.0, step, STOCHASTIC, uniform(7, key, k, PLASTICITY, 0))[0] - 0.5) / step
        for k in range(count)
    ]
    part = share - math.floor(share)
    assert set(np.rint(moves)) == {math.floor(share), math.floor(share) + 1}
    assert abs(np.mean(moves) - share) < 5.0 * math.sqrt(part * (1.0 - part) / count)


@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "hidden"])
def test_small_changes_in_the_engine_for_each_rounding(rounding):
    """100 pushes of 0.3 levels: nearest stays for ever, hidden has them all to a level, stochastic within 5 deviations (6e-7)."""
    levels, push, count = 1001, 0.3, 100
    storage = Storage(0.0, 1.0, levels=levels, rounding=rounding)
    net = network([0.5, 0.5])
    signals = [(float(k + 1), "push", push * storage.step) for k in range(count)]
    run = se.Simulation(net, learning=Push().on(synapses="*", storage=storage), signals=signals, seed=11)
    run.run(count + 1.0)
    moved = np.array([(value - 0.5) / storage.step for value in run.learnt.values()])
    told = run.site("s0")
    assert told["asked"] == count
    if rounding == "nearest":
        assert (moved == 0.0).all() and told["lost"] == count and told["writes"] == 0
    elif rounding == "hidden":
        assert np.allclose(moved, push * count, atol=1.0) and told["lost"] == 0
    else:
        assert (np.abs(moved - push * count) < 5.0 * math.sqrt(count * push * (1 - push))).all() and moved[0] != moved[
            1
        ]
        assert told["lost"] + told["writes"] == count


def test_a_norm_that_a_range_forbids_is_as_near_as_it_gets():
    """Values of at least 0.4 cannot have a norm of 0.2: they stand at their lower bound."""
    net = network([0.6, 0.6, 0.6, 0.6])
    learning = Push().on(synapses="*", storage=Storage(0.4, 1.0), max_norm=0.2)
    run = se.Simulation(net, learning=learning, signals=[(5.0, "push", 0.1)])
    run.run(10.0)
    assert set(run.learnt.values()) == {0.4}


def test_bounds_that_are_none_are_refused():
    with pytest.raises(InputError, match="high"):
        Storage(1.0, -1.0)
