"""Third factors: golden values of features.md, feedback matrices, errors that are told, and signals that the engine takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import soen_event as se
from soen_event.errors import InputError
from soen_event.learning import Storage
from training import registry
from training.modulators import (
    AccuracyBasedModulator,
    CrossEntropyErrorModulator,
    Feedback,
    MSEErrorModulator,
    OutputError,
    RewardBaseline,
    forward_weights,
)
from training.rules.arbor import Arbor

few = settings(max_examples=40, deadline=None)
numbers = st.floats(-100, 100)
batches = st.integers(1, 4).flatmap(lambda d: arrays(float, (3, d), elements=numbers))


def test_s0_11_mse():
    """S0.11: r = -scale mean_d (y - t)^2 of each sample: (1, 2) against (0, 0) is -2.5, at scale 2 -5."""
    mse = MSEErrorModulator()
    assert mse([1.0, 2.0], [0.0, 0.0]) == -2.5
    assert MSEErrorModulator(scale=2.0)([[1.0, 2.0], [3.0, 0.0]], [[0.0, 0.0], [3.0, 0.0]]).tolist() == [-5.0, 0.0]
    assert MSEErrorModulator(2.0, per_sample=False)([[1.0, 2.0], [3.0, 0.0]], [[0.0, 0.0], [3.0, 0.0]]) == -2.5
    assert mse({"a": 1, "b": 2}, {"b": 0, "a": 1}) == -2.0  # by name, not by order


@few
@given(y=batches, data=st.data())
def test_s0_11_no_reward_is_positive_and_only_the_right_answer_has_0(y, data):
    """S0.11: r <= 0, 0 iff perfect."""
    t = data.draw(arrays(float, y.shape, elements=numbers))
    r = MSEErrorModulator()(y, t)
    assert r.shape == (3,) and np.all(r <= 0)
    apart = np.any(np.abs(y - t) > 1e-6, axis=1)
    assert np.all(r[apart] < 0)
    assert np.all(MSEErrorModulator()(y, y) == 0)


def test_s0_12_cross_entropy():
    """S0.12 with the number of S0.L1: logits (2, 1, .1), class 0: CE .4170300163. Integer, one-hot and named targets are the same."""
    ce = CrossEntropyErrorModulator()
    z = [2.0, 1.0, 0.1]
    assert ce(z, 0) == pytest.approx(-0.4170300163, abs=1e-10)
    assert (
        ce(z, [1, 0, 0]) == ce(z, 0) == ce({"a": 2.0, "b": 1.0, "c": 0.1}, "a") == ce({"a": 2.0, "b": 1.0, "c": 0.1}, 0)
    )
    assert ce(dict(zip("abc", z, strict=True)), {"c": 0, "b": 0, "a": 1}) == ce(z, 0)
    assert CrossEntropyErrorModulator(3.0)([z, z], [0, 1]) == pytest.approx([3 * ce(z, 0), 3 * ce(z, 1)])
    assert CrossEntropyErrorModulator(per_sample=False)([z, z], [0, 1]) == pytest.approx((ce(z, 0) + ce(z, 1)) / 2)


def test_s0_r5_accuracy():
    """S0.R5: +1 for right, -1 for wrong; physics.md 7.2: a tie is wrong, unless the first is asked for."""
    accuracy = AccuracyBasedModulator()
    assert accuracy([3, 1, 0], 0) == 1.0 and accuracy([3, 1, 0], 1) == -1.0
    assert accuracy({"z": 2, "v": 5}, "v") == 1.0
    assert accuracy([2, 2], 0) == -1.0 and AccuracyBasedModulator(ties="first")([2, 2], 0) == 1.0
    both = AccuracyBasedModulator(correct_reward=0.5, incorrect_reward=-2.0)
    assert both([[1, 0], [1, 0]], [0, 1]).tolist() == [0.5, -2.0]
    assert AccuracyBasedModulator(per_sample=False)([[1, 0], [1, 0]], [0, 1]) == 0.0


@pytest.mark.parametrize("modulator", [CrossEntropyErrorModulator(), AccuracyBasedModulator(), OutputError()])
@pytest.mark.parametrize("label", [-1, 3, 1.5])
def test_s0_12_labels_out_of_range_raise(modulator, label):
    """S0.12, S0.R5 (features.md 5.4: out-of-range labels raise): an InputError that is a ValueError; out of range also an IndexError."""
    with pytest.raises(InputError, match=r"out of range|not whole") as caught:
        modulator({"a": 1.0, "b": 2.0, "c": 0.0}, label)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, IndexError) == (label != 1.5)


def test_s0_14_a_baseline_takes_off_what_was_expected():
    """S0.14: m <- .9 m + .1 r, told r - m before."""
    baseline = RewardBaseline(momentum=0.9)
    assert baseline.expected is None and baseline(2.0) == 0.0 and baseline.expected == 2.0
    assert baseline(1.0) == -1.0 and baseline.expected == pytest.approx(1.9)
    assert baseline([1.9, 3.9]) == pytest.approx([0.0, 2.0]) and baseline.expected == pytest.approx(2.0)
    started = RewardBaseline(AccuracyBasedModulator(), momentum=0.5, start=0.0)
    assert started({"a": 1, "b": 0}, "a") == 1.0 and started({"a": 1, "b": 0}, "a") == 0.5
    other = RewardBaseline()
    other.load_state_dict(baseline.state_dict())
    assert other(0.0) == baseline(0.0)
    constant = RewardBaseline(start=-5.0)
    assert abs([constant(3.0) for _ in range(300)][-1]) < 1e-9


# --------------------------------------------------------------------------------------------- one error for every neuron


def network():
    """Hidden neurons a, b, c; outputs y, z. a -> d -> y and e -> d (two couplings), b -> z directly and with -0.5 through d, c nowhere."""
    with se.Network() as net:
        for name in "abcyz":
            se.Neuron(name, soma=se.Soma(), refractory=se.Refractory(), transmitter=se.Transmitter())
        se.Dendrite("e")
        se.Dendrite("d")
        se.Coupling("e", "d", J=0.5)
        se.Coupling("d", "y", J=0.4)
        for source, target, weight in (("a", "e", 0.8), ("b", "z", 0.6), ("b", "d", -0.5)):
            se.Synapse(f"{source}.{target}", target, weight=weight)
            se.Waveguide(source, f"{source}.{target}", delay=1.0)
    return net


EXPECTED = np.array([[0.8 * 0.5 * 0.4, 0.0], [-0.5 * 0.4, 0.6], [0.0, 0.0]])


def test_weights_of_paths():
    net = network()
    assert forward_weights(net, "abc", "yz") == pytest.approx(EXPECTED, abs=1e-15)
    run = se.Simulation(net)
    run.set_weight("b.z", -0.3)
    run.set_coupling("d", "y", 0.2)
    found = forward_weights(run, "abc", "yz")
    assert found == pytest.approx(np.array([[0.08, 0.0], [-0.1, -0.3], [0.0, 0.0]]), abs=1e-15)
    with pytest.raises(InputError, match="no neuron 'q'"):
        forward_weights(net, "aq", "yz")


def test_s0_14_feedback():
    """S0.14: errors of the outputs come back to hidden neurons through the network's weights, their signs, or fixed random numbers."""
    net = network()
    outputs, errors = {"y": 3, "z": 4}, np.array([2.0, -4.0])  # 5 wanted of y, 0 of z
    symmetric = Feedback("symmetric", net, hidden="abc", outputs="yz")
    told = symmetric(outputs, "y")
    assert [told[n] for n in "yz"] == errors.tolist()
    assert [told[n] for n in "abc"] == pytest.approx((EXPECTED @ errors).tolist())
    sign = Feedback("sign", net, hidden="abc", outputs="yz", scale=0.1)
    assert sign.matrix.tolist() == (0.1 * np.sign(EXPECTED)).tolist()
    random = Feedback("random", hidden="abc", outputs="yz", seed=4)
    assert [random(outputs, 0)[n] for n in "abc"] == pytest.approx((random.matrix @ errors).tolist())
    run = se.Simulation(net)
    run.set_weight("b.z", -0.3)
    fixed = random.matrix.copy()
    for feedback in (symmetric, sign, random):
        feedback.follow(run)
    assert symmetric.matrix[1, 1] == -0.3 and sign.matrix[1, 1] == -0.1
    assert np.array_equal(random.matrix, fixed)


def test_random_feedback_follows_from_its_seed_and_the_neuron():
    one = Feedback("random", hidden="abc", outputs="yz", seed=4).matrix
    assert np.array_equal(one, Feedback("random", hidden="abc", outputs="yz", seed=4).matrix)
    assert np.array_equal(one[[2, 0]], Feedback("random", hidden="ca", outputs="yz", seed=4).matrix)
    assert not np.any(one == Feedback("random", hidden="abc", outputs="yz", seed=5).matrix)
    many = Feedback("random", hidden=[f"n{k}" for k in range(2000)], outputs="yz").matrix
    assert np.std(many) == pytest.approx(1 / np.sqrt(2), rel=0.08) and abs(np.mean(many)) < 0.06


def test_the_engine_takes_the_values():
    """What a modulator returns is a signal: one number for all, or one for every neuron."""
    net = network()
    rule = Arbor(0.1, max_offset=1.0)
    run = se.Simulation(net, learning=rule.on(loops=["d", "e"], storage=Storage(-1, 1)))
    run.run(1.0)
    run.signal("error", Feedback("symmetric", net, hidden="abc", outputs="yz")({"y": 0, "z": 0}, "y"))
    assert run.site("d.phi_offset")["signal"] == run.site("e.phi_offset")["signal"] == 5.0
    run.signal("error", MSEErrorModulator()([1.0, 2.0], [0.0, 0.0]))
    assert run.site("d.phi_offset")["signal"] == -2.5


def test_names():
    assert {"mse", "cross_entropy", "accuracy", "baseline", "output_error", "feedback"} <= set(
        registry.names("modulator")
    )
    assert registry.get("modulator", "MSEErrorModulator") is MSEErrorModulator


def test_nonsense():
    net = network()
    for what, make in {
        "scale: -1 is below 0": lambda: MSEErrorModulator(-1.0),
        "per_sample: 2 is no truth value": lambda: CrossEntropyErrorModulator(per_sample=2),
        "ties: 'firts' is unknown.*first": lambda: AccuracyBasedModulator(ties="firts"),
        "outputs: .* are no numbers": lambda: MSEErrorModulator()("ab", [1, 2]),
        "not all are finite": lambda: MSEErrorModulator()([np.nan, 1.0], [1, 2]),
        r"the shape is \(1, 1, 1\)": lambda: MSEErrorModulator()([[[1.0]]], [1.0]),
        r"the shape \(1, 3\) is not that": lambda: MSEErrorModulator()([1.0, 2.0], [1, 2, 3]),
        "give both by the same neurons": lambda: MSEErrorModulator()({"a": 1.0}, {"b": 1.0}),
        "there is no output 'q'": lambda: AccuracyBasedModulator()({"a": 1.0, "b": 0.0}, "q"),
        "not one-hot": lambda: CrossEntropyErrorModulator()([1.0, 2.0], [1, 1]),
        "have no names": lambda: OutputError()([1.0, 2.0], 0),
        "momentum: 1 is not below 1": lambda: RewardBaseline(momentum=1.0),
        "2 arguments; call it with": lambda: RewardBaseline()(1.0, 2.0),
        "'expected' is missing": lambda: RewardBaseline().load_state_dict({}),
        "no finite number": lambda: RewardBaseline()(np.inf),
        "kind: 'symetric' is unknown.*symmetric": lambda: Feedback("symetric", net, hidden="a", outputs="y"),
        "source: is missing": lambda: Feedback("sign", hidden="a", outputs="y"),
        "no path leads": lambda: Feedback("sign", net, hidden="c", outputs="y"),
        "names a neuron twice": lambda: Feedback("random", hidden="aa", outputs="y"),
        "no neuron 'q'": lambda: Feedback("random", net, hidden="q", outputs="y"),
        "int is not a Network": lambda: forward_weights(3, "a", "y"),
        "'z' is not among the outputs": lambda: Feedback("random", hidden="a", outputs="yz")({"y": 1}, "y"),
    }.items():
        with pytest.raises(InputError, match=what):
            make()
