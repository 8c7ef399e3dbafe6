"""What benchmarks/frameworks.py measures: that its networks do what they should. Nothing here is timed."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
try:
    import dendrites
    import frameworks
    import spiking
finally:
    sys.path.pop(0)

SMALL = spiking.Size(channels=25, neurons=8, outputs=3, steps=30, batch=4)
LAYER = dendrites.Size(channels=10, units=12, steps=40, batch=3)


def smooth(v):
    """A spike that can be differentiated."""
    z = 1.0 / (1.0 + np.exp(-3.0 * v))
    return z, 3.0 * z * (1.0 - z)


def parts(given):
    return np.ascontiguousarray(given.inputs.transpose(1, 0, 2)), [w.copy() for w in given.weights]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_gradient_of_the_plain_lif_network_is_that_of_differences(which):
    given = spiking.task(SMALL, density=0.1, seed=3, dtype=np.float64)
    x, weights = parts(given)
    out, kept = spiking.lif_forward(x, *weights, spike=smooth)
    _, grad = spiking.cross_entropy(out, given.labels)
    found = spiking.lif_backward(kept, grad, *weights)[which]
    assert found.shape == weights[which].shape
    assert np.abs(found).max() > 1e-4
    rng, flat = np.random.default_rng(0), weights[which].reshape(-1)
    for k in rng.permutation(flat.size)[:20]:
        ends, held = [], flat[k]
        for side in (1e-6, -1e-6):
            flat[k] = held + side
            ends.append(spiking.cross_entropy(spiking.lif_forward(x, *weights, spike=smooth)[0], given.labels)[0])
        flat[k] = held
        assert found.reshape(-1)[k] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_the_plain_lif_network_is_its_equations():
    """v(t) = k v(t-1) + x(t) W + z(t-1) V - z(t-1) theta, neuron by neuron."""
    given = spiking.task(SMALL, density=0.1, dtype=np.float64)
    x, (W, V, U) = parts(given)
    out, (_, z, slope, at) = spiking.lif_forward(x, W, V, U)
    assert 0.01 < z.mean() < 0.5 and set(np.unique(z)) == {0.0, 1.0}
    for b in range(SMALL.batch):
        v, last, o, most = np.zeros(SMALL.neurons), np.zeros(SMALL.neurons), np.zeros(SMALL.outputs), []
        for t in range(SMALL.steps):
            v = spiking.KEEP * v + x[t, b] @ W + last @ V - spiking.THRESHOLD * last
            last = (v > spiking.THRESHOLD).astype(float)
            assert (last == z[t, b]).all()
            assert slope[t, b] == pytest.approx(1.0 / (1.0 + (np.pi * (v - spiking.THRESHOLD)) ** 2))
            o = spiking.KEEP * o + last @ U
            most.append(o)
        assert out[b] == pytest.approx(np.max(most, axis=0)) and (at[b] == np.argmax(most, axis=0)).all()


def test_the_soen_network_of_the_script_is_active_and_learns():
    given = spiking.task(spiking.Size(channels=60, neurons=24, outputs=4, steps=60, batch=6))
    ours = spiking.Ours(given)
    shares = {}
    for scale in spiking.SCALES:
        frame = ours.frame(scale)
        shares[scale] = ours.activity()
        assert frame.spikes == shares[scale]["spikes"]
    assert 0.005 < shares["ordinary"]["spikes"] < 0.2
    assert 0.1 < shares["ordinary"]["somas"] < 0.9
    assert shares["ordinary"]["outputs"] > 0.02
    for name in ("spikes", "somas", "outputs"):
        assert shares["quiet"][name] < shares["busy"][name]
    train = ours.frame("busy").train
    before = ours.twin.parameters()["weights"].copy()
    losses = [train() for _ in range(12)]
    assert losses[-1] < losses[0]
    moved = before != ours.twin.parameters()["weights"]
    ids = np.array(ours.twin.network.ids("weights"))
    for kind in (np.char.startswith(ids, "i"), np.char.find(ids, ":h") > 0, np.char.find(ids, ":o") > 0):
        assert moved[kind].any()


def test_the_soen_network_has_the_weights_of_the_task():
    """Of inputs and recurrent ones at their scales, of outputs as they are; one synapse for every pair."""
    given = spiking.task(SMALL)
    ours = spiking.Ours(given)
    ours.frame("ordinary")
    weights = dict(zip(ours.twin.network.ids("weights"), ours.twin.parameters()["weights"], strict=True))
    W, V, U = given.weights
    assert len(weights) == W.size + V.size + U.size
    inputs, back = spiking.SCALES["ordinary"]
    assert weights["i7.h2"] == pytest.approx(inputs * W[7, 2])
    assert weights["h3:h5"] == pytest.approx(back * V[3, 5])
    assert weights["h5:h3"] == pytest.approx(back * V[5, 3])
    assert weights["h1:o2"] == pytest.approx(U[1, 2])


def test_the_layer_of_the_script_is_coupled_active_and_learns():
    given = dendrites.task(LAYER)
    twin = dendrites.twin_of(given)
    assert 0.2 < dendrites.active(twin, given) < 0.95
    known = twin.network.ids("J")
    assert len(known) == LAYER.units * (LAYER.units - 1)
    first = twin.forward(given.inputs).states
    twin.parameters()["J"][...] = 0.0
    assert np.abs(twin.forward(given.inputs).states - first).max() > 1e-3
    frame = dendrites.ours(given)
    losses = [frame.train() for _ in range(12)]
    assert losses[-1] < losses[0]
    assert frame.forward().shape == (LAYER.batch, dendrites.READ)


def test_the_table_of_the_stand_ins_is_the_source_function():
    values, low, high = dendrites.table()
    assert (low, high) == (0.0, 2.0) and values.shape == (201, 101)
    assert (values[:100] == 0.0).all()  # below I_c at any flux of a closed junction pair
    assert values[-1, -1] == values.max() > 0.5


@pytest.mark.parametrize("name", [name for name in spiking.FRAMES if name not in ("ours", "plain numpy")])
def test_frames_of_the_same_neuron_begin_with_the_same_loss(name):
    """Where the framework is installed. Norse's neuron is another, it only has to run and to spike."""
    modules, make = spiking.FRAMES[name]
    for module in modules:
        pytest.importorskip(module)
    given = spiking.task(spiking.Size(25, 8, 3, 30, 4), density=0.1)
    frame, plain = make(given), spiking.plain_numpy(given)
    losses, wanted = [frame.train() for _ in range(5)], [plain.train() for _ in range(5)]
    assert 0.0 < frame.spikes < 0.5 and losses[-1] < losses[0]
    if name != "Norse":
        assert frame.spikes == pytest.approx(plain.spikes)
        assert losses[0] == pytest.approx(wanted[0], rel=1e-4)
    if name in ("brainstate", "plain JAX"):  # snnTorch's reset has no gradient
        assert losses == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("name", [name for name in dendrites.FRAMES if name != "ours"])
def test_stand_ins_of_the_layer_agree_and_learn(name):
    """Where the framework is installed: all with one source function have one loss."""
    modules, make = dendrites.FRAMES[name]
    for module in modules:
        pytest.importorskip(module)
    given = dendrites.task(LAYER)
    frame = make(given)
    outputs = frame.forward()
    losses = [frame.train() for _ in range(12)]
    assert losses[-1] < losses[0]
    other = dendrites.FRAMES["JAX, fit" if "fit" in name else "JAX, table"]
    if not frameworks.missing(other[0]):
        assert outputs == pytest.approx(other[1](given).forward(), rel=1e-4, abs=1e-5)


def test_the_tables_say_what_is_missing_and_what_was_measured(monkeypatch):
    """Without any framework: ours alone, every line of the tables with its numbers."""
    monkeypatch.setattr(frameworks, "missing", lambda modules: list(modules))
    written = []
    frameworks.spiking_table(frameworks.QUICK_SPIKING, 1, written.append)
    frameworks.layer_table(frameworks.QUICK_LAYER, 1, written.append)
    frameworks.steps_table(frameworks.QUICK_LAYER, (5, 10, 20), 1, written.append)
    text = "".join(written)
    assert "Norse is left out: torch and norse cannot be imported." in text
    rows = [line.split("|")[1:-1] for line in text.splitlines() if re.match(r"\| (ours|plain numpy|busy) ", line)]
    assert [row[0].strip() for row in rows] == ["ours", "plain numpy", "busy", "ours", "ours"]
    heads = [line.split("|")[1:-1] for line in text.splitlines() if re.match(r"\| (frame|weights) ", line)]
    assert [len(row) for row in rows] == [len(heads[k]) for k in (0, 0, 1, 2, 3)]
    assert "nan" not in text


def test_exponents_are_those_of_powers():
    assert frameworks.exponent((1, 2, 4, 8), [5.0, 3.0, 6.0, 12.0]) == pytest.approx(1.0)
    assert frameworks.exponent((1, 2, 4, 8), [9.0, 1.0, 4.0, 16.0]) == pytest.approx(2.0)
    assert frameworks.exponent((1, 2, 4, 8), [1.0, 4.0]) == pytest.approx(2.0)


def test_a_goal_is_met_or_not():
    assert frameworks.verdict(1.0, 2.0, 0.5) == "0.50 | 0.50 | yes"
    assert frameworks.verdict(1.01, 2.0, 0.5).endswith("NO")
    assert frameworks.verdict(1.0, 2.0, None) == "0.50 | |"


def test_frames_that_are_due_take_turns():
    """Every work as often as there are rounds, one after the other."""
    order = []
    works = {name: (lambda name=name: order.append(name)) for name in "abc"}
    found = frameworks.timed(works, 3)
    assert order == list("abc") * 3
    assert {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3, "c": 3}
