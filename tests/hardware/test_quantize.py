"""Levels and rounding: every value becomes a level, by the nearest or without bias, whoever else is there."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware import quantize as module
from hardware.quantize import Levels, quantize, quantize_array
from soen_event.errors import InputError
from soen_event.physics.random import SPREAD, part_key, uniform

few = settings(max_examples=40, deadline=None)
numbers = st.floats(-10.0, 10.0).map(lambda x: round(x, 9))


@st.composite
def levels(draw, lowest=-5.0):
    """Any of the schemes."""
    if draw(st.booleans()):
        return Levels.codebook(
            draw(st.lists(st.floats(lowest, 5.0).map(lambda x: round(x, 6)), min_size=1, max_size=12))
        )
    low = draw(st.floats(lowest, 4.0))
    high = low + draw(st.floats(0.1, 5.0))
    made = draw(st.sampled_from(("bits", "bits_with_zero", "storage_loop")))
    if made == "storage_loop":
        return Levels.storage_loop(low, high, quanta=draw(st.integers(1, 500)))
    return getattr(Levels, made)(draw(st.integers(1, 6)), low, high)


def example(weights=(0.11, -0.52, 0.87), order=1) -> se.Network:
    """Three synapses, two dendrites and a neuron; ``order`` -1 declares everything the other way round."""
    parts = [
        *(se.Synapse(f"s{k}", "d1", weight=weight) for k, weight in enumerate(weights)),
        se.Dendrite("d1", phi_offset=0.031),
        se.Dendrite("d2", phi_offset=-0.12),
        se.Neuron("n1"),
        se.Coupling("d1", "n1", J=0.333),
        se.Coupling("d2", "n1", J=-0.271),
        se.Coupling("d2", "d1", mutual="4 pH", id="wound"),
    ]
    net = se.Network(name="example")
    net.extend(parts[::order])
    return net


# ------------------------------------------------------------------------------ schemes


@given(st.integers(1, 10), st.floats(-5.0, 4.0), st.floats(1e-3, 5.0))
def test_bits_are_equally_spaced_and_end_at_the_ends(b, low, width):
    high = low + width
    for made, count in ((Levels.bits(b, low, high), 2**b), (Levels.bits_with_zero(b, low, high), 2**b + 1)):
        assert len(made) == len(set(made.values)) == count
        assert (made.values[0], made.values[-1]) == (low, high)
        assert np.allclose(np.diff(made.values), width / (count - 1), rtol=1e-9, atol=1e-14)
        assert made.step == np.max(np.diff(made.values))


@given(st.integers(1, 10), st.floats(1e-3, 1e3))
def test_exactly_one_level_is_zero_in_a_symmetric_range_with_zero_and_none_without(b, high):
    with_zero, without = Levels.bits_with_zero(b, -high, high), Levels.bits(b, -high, high)
    assert with_zero.values.count(0.0) == 1 and without.values.count(0.0) == 0
    for made in (with_zero, without):
        assert [-value for value in made.values[::-1]] == list(made.values)


@given(st.integers(2, 10), st.floats(-5.0, -1e-3), st.floats(1e-3, 5.0))
def test_levels_around_zero_have_two_steps(b, low, high):
    made = Levels.bits_around_zero(b, low, high)
    below, above = 2 ** (b - 1) - 1, 2 ** (b - 1)
    assert len(made) == 2**b and made.values[below] == 0.0 and (made.values[0], made.values[-1]) == (low, high)
    steps = np.diff(made.values)
    np.testing.assert_allclose(steps[:below], -low / below, rtol=1e-9)
    np.testing.assert_allclose(steps[below:], high / above, rtol=1e-9)


@given(st.integers(1, 1000), st.data())
def test_a_storage_loop_counts_quanta(quanta, data):
    loop = Levels.storage_loop(0.2, 0.9, quanta=quanta)
    n = data.draw(st.integers(0, quanta))
    assert len(loop) == quanta + 1
    assert loop.values[n] == pytest.approx(0.2 + n * 0.7 / quanta, rel=1e-12)
    assert loop.index(loop.values[n]) == n


def test_the_default_storage_loop_has_the_measured_states():
    """More than 400 states: arXiv 2311.05881 (physics.md 7.1)."""
    assert len(Levels.storage_loop(0.0, 1.0)) == 401


def test_golden_levels():
    """The codebooks of features.md 5.5 over 0.24: 17 levels; 16 levels with 0."""
    assert np.allclose(Levels.bits_with_zero(4, -0.24, 0.24).values, np.arange(-8, 9) * 0.03, atol=1e-15)
    around = Levels.bits_around_zero(4, -0.24, 0.24).values
    assert len(around) == 16 and np.allclose(around[:2], [-0.24, -0.205714], atol=5e-7)
    assert np.allclose(around[7:], np.arange(9) * 0.03, atol=1e-15)
    for wrong in ((1, -1.0, 1.0), (4, 0.0, 1.0), (4, -1.0, 0.0), (4, 0.5, 1.0)):
        with pytest.raises(InputError, match="bits_around_zero"):
            Levels.bits_around_zero(*wrong)
    assert Levels.bits(2, 0.0, 3.0).values == (0.0, 1.0, 2.0, 3.0)
    assert Levels.bits_with_zero(1, -1.0, 1.0).values == (-1.0, 0.0, 1.0)  # soen_toolkit: b bits are 2^b + 1 levels
    assert Levels.codebook([1, -0.5, 1, 0.25]).values == (-0.5, 0.25, 1.0)
    assert Levels((0.5,)).step == 0.0 and Levels((0.5,), "one") == Levels.codebook([0.5])
    assert hash(Levels((0.5,), "one")) == hash(Levels.codebook([0.5]))


# ------------------------------------------------------------------------------ nearest


@given(levels(), st.lists(numbers, max_size=20))
def test_nearest_takes_a_level_and_errs_by_at_most_half_a_step(made, values):
    x = np.array(values, dtype=float)
    y = made.round(x)
    assert set(y.tolist()) <= set(made.values) and y.shape == x.shape
    assert np.array_equal(np.array(made.values)[made.index(x)], y)
    table = np.array(made.values)
    best = np.min(np.abs(table[None, :] - x[:, None]), axis=1, initial=math.inf)
    assert np.all(np.abs(y - x) <= best * (1 + 1e-12) + 1e-15)
    inside = ~made.saturates(x)
    assert np.all(np.abs(y - x)[inside] <= made.step / 2 * (1 + 1e-12) + 1e-15)
    assert np.all(y[x > made.values[-1]] == made.values[-1]) and np.all(y[x < made.values[0]] == made.values[0])
    assert np.array_equal(made.round(y), y)


def test_of_two_equally_near_levels_the_one_with_the_even_index():
    made = Levels.bits(2, 0.0, 3.0)
    assert made.round([0.5, 1.5, 2.5]).tolist() == [0.0, 2.0, 2.0]
    assert made.index([[0.5], [1.5]]).tolist() == [[0], [2]]


def test_values_of_any_shape_and_the_largest_numbers():
    made = Levels.codebook([-1.0, 2.0])
    assert (
        float(made.round(0.6)) == 2.0
        and made.round([]).shape == (0,)
        and made.round(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    )
    assert made.round([-1.7e308, 1.7e308]).tolist() == [-1.0, 2.0]
    assert made.round_stochastically([-1.7e308, 1.7e308], 0).tolist() == [-1.0, 2.0]
    assert (
        Levels.codebook([1e308]).round(-1.7e308) == Levels.codebook([1e308]).round_stochastically(-1.7e308, 0) == 1e308
    )
    assert made.round(np.array([0, 2], dtype=np.int8)).tolist() == [-1.0, 2.0]


# ------------------------------------------------------------------------------ stochastic


@given(levels(), st.lists(numbers, max_size=20), st.integers(0, 2**63 - 1))
def test_stochastic_takes_a_neighbour_and_leaves_levels_alone(made, values, seed):
    x = np.array(values, dtype=float)
    y = made.round_stochastically(x, seed)
    assert set(y.tolist()) <= set(made.values)
    assert np.all(np.abs(y - x)[~made.saturates(x)] <= made.step)
    assert np.array_equal(made.round_stochastically(y, seed + 1 if seed < 2**63 - 1 else 0), y)
    ends = np.clip(x, made.values[0], made.values[-1])
    assert np.array_equal(y[made.saturates(x)], ends[made.saturates(x)])
    spacing = np.array(made.values)
    for value, taken in zip(x[~made.saturates(x)], y[~made.saturates(x)], strict=True):
        around = {spacing[spacing <= value].max(), spacing[spacing >= value].min()}
        assert taken in around


def test_the_mean_of_stochastic_rounding_is_the_value():
    """4000 seeds; the bound is 5 standard deviations of the mean, a false alarm in 1.7 million for each of 9 values."""
    made, x, count = Levels.codebook([-1.0, -0.2, 0.0, 0.7]), np.linspace(-0.95, 0.65, 9), 4000
    names = [f"s{k}" for k in range(x.size)]
    mean = np.mean([made.round_stochastically(x, seed, names) for seed in range(count)], axis=0)
    below = np.array([max(v for v in made.values if v <= value) for value in x])
    above = np.array([min(v for v in made.values if v >= value) for value in x])
    deviation = np.sqrt((x - below) * (above - x) / count)
    assert np.all(np.abs(mean - x) <= 5.0 * deviation + 1e-12)
    biased = np.mean([made.round(x) for _ in range(2)], axis=0)  # the bound can be missed: nearest misses it
    assert np.any(np.abs(biased - x) > 5.0 * deviation)


def test_ordinals_are_other_draws_and_repeat():
    made, x = Levels.bits(1, 0.0, 1.0), np.full(200, 0.5)
    first, second = (made.round_stochastically(x, 3, ordinal=k) for k in (0, 1))
    assert not np.array_equal(first, second) and np.array_equal(first, made.round_stochastically(x, 3, ordinal=0))
    assert not np.array_equal(first, made.round_stochastically(x, 4, ordinal=0))


def test_draws_are_those_of_the_addressed_generator():
    keys = np.array([0, 5, part_key("weights s1"), 2**48 - 1])
    for seed, ordinal in ((0, 0), (2**63 - 1, 2**48 - 1)):
        expected = [uniform(seed, int(key), ordinal, SPREAD, 0) for key in keys]
        assert module._uniforms(seed, keys, ordinal).tolist() == expected
    x, made = np.full(4, 0.3), Levels.bits(1, 0.0, 1.0)
    text = made.round_stochastically(x, 9, ["a", "b", "c", "d"])
    assert np.array_equal(text, made.round_stochastically(x, 9, [part_key(f"rounding {c}") for c in "abcd"]))


@given(st.permutations(range(8)), st.integers(1, 8), st.integers(0, 99))
def test_a_rounding_depends_on_its_own_name_only(order, count, seed):
    made, x = Levels.bits(2, -1.0, 1.0), np.linspace(-0.9, 0.9, 8)
    names = np.array([f"s{k}" for k in range(8)])
    full, some = made.round_stochastically(x, seed, names), list(order)[:count]
    assert np.array_equal(made.round_stochastically(x[some], seed, names[some]), full[some])


# ------------------------------------------------------------------------------ sign


@given(levels(), st.lists(numbers, min_size=1, max_size=10), st.sampled_from(module.ROUNDINGS), st.integers(0, 9))
def test_kept_signs_are_kept(made, values, rounding, seed):
    try:
        y = quantize_array(values, made, rounding=rounding, seed=seed, sign="keep")
    except InputError:
        assert min(values) < 0.0 < made.values[0] or max(values) > 0.0 > made.values[-1]
        return
    assert np.all(np.array(values) * y >= 0.0)
    assert set(y.tolist()) <= set(made.values)
    assert np.array_equal(quantize_array(y, made, rounding=rounding, seed=seed + 1, sign="keep"), y)


@given(levels(lowest=0.0), st.lists(numbers, max_size=10), st.sampled_from(module.ROUNDINGS), st.integers(0, 9))
def test_magnitudes_are_levels_and_mirror(made, values, rounding, seed):
    x = np.array(values, dtype=float)
    y = quantize_array(x, made, rounding=rounding, seed=seed, sign="magnitude")
    assert set(np.abs(y).tolist()) <= set(made.values)
    assert np.array_equal(np.abs(y), quantize_array(np.abs(x), made, rounding=rounding, seed=seed))
    assert np.all(x * y >= 0.0) and not np.any(np.signbit(y[y == 0.0]))
    assert np.array_equal(quantize_array(y, made, rounding=rounding, seed=seed + 1, sign="magnitude"), y)


def test_free_signs_may_change_where_kept_ones_do_not():
    made = Levels.codebook([-0.05, 0.4, 1.0])
    assert [float(made.round(0.1, sign=sign)) for sign in ("free", "keep")] == [-0.05, 0.4]
    assert made.saturates(0.1, sign="keep") and not made.saturates(0.1)


# ------------------------------------------------------------------------------ networks


SCHEMES = {
    "weights": Levels.bits_with_zero(2, -1.0, 1.0),
    "J": Levels.storage_loop(-0.4, 0.4, quanta=10),
    "phi_offset": Levels.bits(3, -0.2, 0.2),
}


@pytest.mark.parametrize("rounding", module.ROUNDINGS)
def test_a_network_is_rounded_and_the_given_one_stays(rounding):
    net, same = example(), example()
    new, report = quantize(net, SCHEMES, rounding=rounding, seed=5)
    assert net == same and new != net
    for parameter, made in SCHEMES.items():
        assert set(new.parameters()[parameter].tolist()) <= set(made.values)
        error = np.abs(new.parameters()[parameter] - net.parameters()[parameter])
        told = report[parameter]
        assert (told.count, told.changed) == (error.size, np.count_nonzero(error))
        assert told.largest_error == error.max()
        assert told.rms_error == pytest.approx(math.sqrt(np.mean(error**2)))
    for untouched in ("ib", "tau", "threshold", "delay"):
        assert np.array_equal(new.parameters()[untouched], net.parameters()[untouched])
    again, second = quantize(new, SCHEMES, rounding=rounding, seed=6)
    assert again == new and all(row.changed == 0 and row.rms_error == 0.0 for row in second.parameters)
    assert se.Network.from_dict(new.to_dict()) == new


@given(st.lists(numbers, min_size=3, max_size=3), st.integers(0, 50), st.sampled_from(module.ROUNDINGS))
@few
def test_neither_order_nor_company_changes_a_rounding(weights, seed, rounding):
    new, _ = quantize(example(weights), SCHEMES, rounding=rounding, seed=seed)
    other, _ = quantize(example(weights, order=-1), SCHEMES, rounding=rounding, seed=seed)
    assert new == other
    larger = example(weights)
    larger.extend([se.Synapse("a0", "d1", weight=0.3), se.Dendrite("a1"), se.Coupling("a1", "n1", J=0.2)])
    with_more, _ = quantize(larger, SCHEMES, rounding=rounding, seed=seed)
    for name in ("a0", "a1"):
        with_more.remove(name)
    assert with_more == new


@pytest.mark.parametrize("rounding", module.ROUNDINGS)
def test_arrays_are_rounded_as_networks_are(rounding):
    net = example()
    new, _ = quantize(net, SCHEMES, rounding=rounding, seed=11)
    for parameter, made in SCHEMES.items():
        names = [f"{parameter} {name}" for name in net.ids(parameter)]
        values = net.parameters()[parameter]
        alone = quantize_array(values, made, rounding=rounding, seed=11, names=names)
        assert np.array_equal(alone, new.parameters()[parameter])


def test_the_stochastic_draw_of_a_network_varies_with_the_seed_and_the_parameter():
    weights = {f"s{k}": 0.5 for k in range(60)}
    with se.Network() as net:
        se.Dendrite("d1")
        for name, weight in weights.items():
            se.Synapse(name, "d1", weight=weight)
    made = Levels.bits(1, 0.0, 1.0)
    results = [quantize(net, made, rounding="stochastic", seed=seed)[0].parameters()["weights"] for seed in (0, 1)]
    assert 10 < results[0].sum() < 50  # 2 tails of the binomial law of 60 trials: 3e-8
    assert not np.array_equal(*results)


def test_levels_for_each_connection_by_id_and_by_function():
    coarse, fine = Levels.bits(1, -0.5, 0.5), Levels.bits(8, -0.5, 0.5)
    new, report = quantize(example(), {"J": {"wound": fine, "d1->n1": coarse}, "weights": {}})
    assert new["d1->n1"].J == 0.5 and new["wound"].J in fine.values and new["wound"].mutual is None
    assert new["d2->n1"].J == -0.271
    assert (report["J"].count, report["weights"].count, report["weights"].largest_error) == (2, 0, 0.0)
    by_function, _ = quantize(example(), {"J": lambda part: coarse if part.target == "n1" else None})
    assert [part.J for part in by_function.couplings if part.target == "n1"] == [0.5, -0.5]
    assert by_function["wound"] == example()["wound"]


def test_the_same_levels_leave_a_declared_mutual_inductance():
    net = example()
    new, report = quantize(net, {"J": Levels.codebook(net.parameters()["J"])})
    assert new == net and new["wound"].mutual is not None and report["J"].changed == 0


def test_saturation_is_counted_and_the_table_tells_it():
    _, report = quantize(example((0.1, 5.0, -7.0)), Levels.bits(3, 0.0, 1.0), sign="free")
    assert report["weights"].saturated == 2 and report["weights"].largest_error == 7.0
    text = str(report)
    assert text == report.table() and "weights" in text and "saturated" in text and "nearest" in text
    _, report = quantize(example(), {"J": Levels.bits(3, 0.0, 1.0)}, sign="keep", rounding="stochastic", seed=4)
    assert report["J"].saturated == 1 and "seed 4" in report.table()


def test_a_quantized_network_runs():
    new, _ = quantize(example(), SCHEMES)
    rec = se.simulate(new, {"s2": [1.0]}, 5.0, engine="reference", record=("photons",))
    assert len(rec.detections["s2"]) == 1


# ------------------------------------------------------------------------------ bad input


def refused(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return "\n".join(caught.value.faults)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Levels(()), "Levels.values: there are 0 values"),
        (lambda: Levels.codebook([]), "Levels.codebook: there are 0 values"),
        (lambda: Levels.codebook("abc"), "no list"),
        (lambda: Levels.codebook([0.0, math.nan]), r"Levels.codebook[1]: nan is not finite"),
        (lambda: Levels.codebook([0.0, True]), "True is not a number"),
        (lambda: Levels.codebook([10**400]), "not finite"),
        (lambda: Levels.codebook([-1.7e308, 1.7e308]), "too wide"),
        (lambda: Levels((0.0, 1.0, 0.5)), "Levels.values[2]: 0.5 does not come after 1"),
        (lambda: Levels.bits(0, 0.0, 1.0), "Levels.bits.b: 0 is out of range"),
        (lambda: Levels.bits(17, 0.0, 1.0), "1 to 16"),
        (lambda: Levels.bits(2.0, 0.0, 1.0), "whole number"),
        (lambda: Levels.bits(2, 1.0, 1.0), "Levels.bits.low: 1 is not below high = 1"),
        (lambda: Levels.bits_with_zero(2, 1.0, -1.0), "not below high"),
        (lambda: Levels.bits(2, math.nan, 1.0), "Levels.bits.low: nan is not finite"),
        (lambda: Levels.bits(2, -1.7e308, 1.7e308), "too wide"),
        (lambda: Levels.bits(2, 1.0, math.nextafter(1.0, 2.0)), "fall together"),
        (lambda: Levels.storage_loop(0.0, 1.0, quanta=0), "Levels.storage_loop.quanta"),
        (lambda: Levels.bits(1, 0, 1).round([0.0, math.nan]), "Levels.round.values[1]: nan is not finite"),
        (lambda: Levels.bits(1, 0, 1).round(math.inf), "Levels.round.values: inf"),
        (lambda: Levels.bits(1, 0, 1).round(["a"]), "not that of numbers"),
        (lambda: Levels.bits(1, 0, 1).round([[1.0], [1.0, 2.0]]), "differ in length"),
        (lambda: Levels.bits(1, 0, 1).round(0.5, sign="kept"), "did you mean 'keep'"),
        (lambda: Levels.bits(1, 1, 2).round(-0.5, sign="keep"), "must keep its sign"),
        (lambda: Levels.bits(1, -1, 2).round(-0.5, sign="magnitude"), "level below 0"),
        (lambda: Levels.bits(1, 0, 1).round_stochastically(0.5, -1), "seed: -1"),
        (lambda: Levels.bits(1, 0, 1).round_stochastically([0.5], 0, ["a", "b"]), "2 names for 1 values"),
        (lambda: Levels.bits(1, 0, 1).round_stochastically([0.5], 0, [-1]), "neither all text nor all integers"),
        (lambda: Levels.bits(1, 0, 1).round_stochastically([0.5], 0, ordinal=-1), "ordinal"),
        (
            lambda: quantize_array([0.5], Levels.bits(1, 0, 1), rounding="up"),
            "quantize_array.rounding: 'up' is unknown",
        ),
        (lambda: quantize_array([0.5], [0, 1]), "no Levels"),
        (lambda: quantize("net.yaml", SCHEMES), "not a Network"),
        (lambda: quantize(example(), {}), "no scheme"),
        (lambda: quantize(example(), 3), "no scheme"),
        (lambda: quantize(example(), {"weight": SCHEMES["J"]}), "did you mean 'weights'"),
        (lambda: quantize(example(), {"J": {"d1->n2": SCHEMES["J"]}}), "did you mean 'd1->n1'"),
        (lambda: quantize(example(), {"J": {"wound": None}}), "None is no Levels"),
        (lambda: quantize(example(), {"J": lambda part: 4}), "4 is no Levels"),
        (lambda: quantize(example(), {"J": 4}), "no scheme"),
        (lambda: quantize(example(), {"tau": Levels.codebook([0.0])}), "Dendrite.tau"),
        (lambda: quantize(example(), SCHEMES)[1]["threshold"], "was not rounded"),
    ],
)
def test_bad_input_is_told(call, told):
    assert told in refused(call)


def test_all_faults_are_told_together_and_nothing_is_changed():
    net = example()
    told = refused(
        lambda: quantize(net, {"weigths": SCHEMES["J"], "J": {"x": 1}}, rounding="up", sign="minus", seed=-1)
    )
    for word in ("weigths", "'x'", "rounding", "sign", "seed"):
        assert word in told
    assert net == example()


def test_every_scheme_is_told_by_its_name():
    made = [Levels.bits(4, 0, 1), Levels.bits_with_zero(4, 0, 1), Levels.codebook([1]), Levels.storage_loop(0, 1)]
    texts = [repr(one) for one in made]
    assert all(a != b for a, b in itertools.combinations(texts, 2)) and "400 quanta" in texts[3]
