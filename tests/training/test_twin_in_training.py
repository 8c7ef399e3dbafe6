"""What is promised of training, held by the model of this library, the twin (features.md 1.1, 1.2 and 5.4)."""

import copy
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event.errors import InputError
from training import init_all_states, run_network, value_and_grad
from training.callbacks import Callback, ModelCheckpoint, TimePoolingScaleScheduler
from training.loop import Trainer
from training.losses import CrossEntropy
from training.surrogates import ReluGrad, Triangle
from training.twin import Twin

few = settings(max_examples=8, deadline=None)


def network(threshold=0.05):
    """Three channels on two dendrites each, on two spiking somas."""
    rng = np.random.default_rng(5)
    with se.Network() as net:
        for k in range(4):
            se.Dendrite(f"d{k}", ib=1.75, beta_over_2pi=200, tau=40.0)
            for c in range(3):
                se.Synapse(f"s{c}.{k}", f"d{k}", weight=float(rng.uniform(0.1, 0.7)), tau_fall=10.0)
        for k in range(2):
            se.Neuron(f"n{k}", soma=se.Soma(threshold=threshold, beta_over_2pi=200, t_ref=3.0))
            for d in range(4):
                se.Coupling(f"d{d}", f"n{k}", J=float(rng.uniform(0.1, 0.6)))
    return net


def made(net=None, **options):
    net = network() if net is None else net
    channels = {f"c{c}": [f"s{c}.{k}" for k in range(4)] for c in range(3)}
    given = {"dt": 1.0, "channels": channels, "readout": "spikes", "pooling": "sum", "trainable": ("weights", "J")}
    return Twin(net, **{**given, **options})


def data(count=10, steps=25, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    share = np.where(y[:, None, None] == 1, [0.25, 0.1, 0.05], [0.05, 0.1, 0.25])
    return (rng.random((count, steps, 3)) < share).astype(np.float32), y


def bits(thing):
    return hashlib.blake2b(b"".join(a.tobytes() for a in thing.parameters().values())).hexdigest()


def trainer(model, **options):
    return Trainer(model, **{"optimizer": "adam", "loss": "cross_entropy", "progress": False, "seed": 3, **options})


# ---------------------------------------------------------------------------------------------- surrogates


class Scaled:
    """Another surrogate's slope, a number of times."""

    def __init__(self, inner, factor):
        self.inner, self.factor = inner, factor

    def forward(self, x):
        return self.inner.forward(x)

    def backward(self, x):
        return self.factor * self.inner.backward(x)


def gradients(surrogate, **options):
    model = made(surrogate=surrogate, dtype="float64", **options)
    x, _ = data()
    run = model.forward(x, train=True)
    assert run.spikes.sum() > 10
    return run, model.backward(run, outputs=np.ones_like(run.outputs))


def test_s1_12_every_twin_has_a_surrogate_of_its_own():
    """S1.12: ``surrogate=`` is the slope of the twin's spikes: the same spikes, gradients in its proportion."""
    run, plain = gradients(Triangle())
    assert max(np.abs(array).max() for array in plain.values()) > 0.0
    again, doubled = gradients(Scaled(Triangle(), 2.0))
    np.testing.assert_array_equal(run.spikes, again.spikes)
    _, none = gradients(Scaled(Triangle(), 0.0))
    for name, array in plain.items():
        np.testing.assert_allclose(none[name], 0.0)
        assert not np.allclose(doubled[name], array)
    # Without refractory time or emptying a spike feeds back on nothing: gradients are linear in the slope.
    net = network()
    for name in net.neurons:
        net.replace(name, soma=se.Soma(threshold=0.05, beta_over_2pi=200, t_ref=0.0, after_spike="keep"))
    x, _ = data()
    found = []
    for factor in (1.0, 3.0):
        model = made(net, surrogate=Scaled(ReluGrad(), factor), dtype="float64")
        run = model.forward(x, train=True)
        found.append(model.backward(run, outputs=np.ones_like(run.outputs)))
    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], 3.0 * array, rtol=1e-12, atol=1e-15)
        assert np.abs(array).max() > 0.0


def test_s1_12_names_and_objects_and_nothing_else():
    """S1.12: a registered name or an object; another name tells the nearest."""
    by_name, by_object = gradients("relu")[1], gradients(ReluGrad())[1]
    for name, array in by_name.items():
        np.testing.assert_array_equal(array, by_object[name])
    with pytest.raises(InputError, match="did you mean 'relu"):
        made(surrogate="reluu")
    with pytest.raises(InputError, match="surrogate"):
        made(surrogate=3.0)


# ---------------------------------------------------------------------------------------------- states and readouts


@few
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_s1_14_states_begin_anew_and_parameters_stay(sizes, seed):
    """S1.14: init_all_states, once or often, for any batch: runs begin at rest, parameters are untouched."""
    model = made()
    before, (x, _) = bits(model), data(6, seed=seed)
    for size in sizes:
        fresh = made().forward(x[:size])
        model.forward(data(4, seed=seed + 1)[0])  # leaves something behind, if anything does
        for _ in range(2):
            init_all_states(model, size)
        found = model.forward(x[:size])
        np.testing.assert_array_equal(found.states, fresh.states)
        np.testing.assert_array_equal(found.states[:, 0], 0.0)
        np.testing.assert_array_equal(found.spikes, fresh.spikes)
    assert bits(model) == before
    for wrong in (0, -1, True, 2.0):
        with pytest.raises(InputError, match="batch_size"):
            init_all_states(model, wrong)


def test_s1_14_an_engine_begins_anew_too():
    """S1.14: simulations of one network are independent: a second one begins at rest and repeats the first to the bit."""
    net = network()
    before = bits(net)
    photons = {"s0.0": [1.0, 5.0], "s1.1": [2.0], "s2.2": [2.0, 9.0]}
    first, second = (
        se.simulate(net, photons, 60.0, record=("spikes", "currents", "fluxons"), seed=4) for _ in range(2)
    )
    for name in net.neurons:
        assert first.spikes[name].tobytes() == second.spikes[name].tobytes()
    assert first.current("d0", [0.0, 30.0]).tobytes() == second.current("d0", [0.0, 30.0]).tobytes()
    assert first.current("d0", 0.0) == 0.0 and first.current("d0", 30.0) > 0.0
    assert bits(net) == before


def test_s1_16_readouts_of_the_twin():
    """S1.16: sum, mean, max, last of currents, number and time of spikes, from the twin's own run."""
    model, (x, _) = made(), data()
    run = model.forward(x)
    states, spikes = run.states[:, 1:], run.spikes
    np.testing.assert_array_equal(run_network(model, x), run.outputs)
    np.testing.assert_array_equal(run_network(model, x, "last"), states[:, -1])
    for name in ("sum", "mean", "max"):
        np.testing.assert_array_equal(run_network(model, x, name), getattr(states, name)(axis=1))
    np.testing.assert_array_equal(run_network(model, x, "spike_count"), spikes.sum(axis=1))
    np.testing.assert_array_equal(run_network(model, x, "spike_count"), run.outputs)
    for row, first in zip(spikes, run_network(model, x, "first_spike"), strict=True):
        for neuron in range(2):
            at = np.flatnonzero(row[:, neuron])
            assert first[neuron] == (at[0] if len(at) else x.shape[1])
    assert run.spikes.sum() > 10
    course = made(pooling="none", readout="current")
    outputs = course.forward(x).outputs
    assert outputs.ndim == 3
    np.testing.assert_array_equal(run_network(course, x, "max"), outputs.max(axis=1))


def test_s1_16_counts_are_those_of_the_engine():
    """S1.16: a fine twin counts the spikes that the engine makes."""
    model = made(dt=0.125)
    photons = {f"s{c}.{k}": [2.0 + c, 40.0 + c] for c in range(3) for k in range(4)}
    inputs = model.encode(photons, 60.0)[None]
    rec = se.simulate(model.network, photons, 60.0, resolution="flow", tol=1e-6)
    counts = run_network(model, inputs, "spike_count")[0]
    assert counts.tolist() == [len(rec.spikes["n0"]), len(rec.spikes["n1"])] and counts.min() >= 1
    first = run_network(model, inputs, "first_spike")[0] * model.dt
    np.testing.assert_allclose(first, [rec.spikes["n0"][0], rec.spikes["n1"][0]], atol=2 * model.dt)


# ---------------------------------------------------------------------------------------------- guarantees (5.4)


def everything(t):
    """What validation may not change."""
    run = t.model.forward(data(3, seed=8)[0])  # what it carries from run to run, if anything
    parts = [
        t.model.values,
        t.model.settings(),
        t.model.network.parameters(),
        run.outputs,
        run.states,
        vars(t.optimizer)["_slots"],
        [m.state_dict() for m in t.metrics.values()],
    ]
    shared = np.random.get_state()[1].tobytes()  # noqa: NPY002  # nobody may draw from it
    words = repr((t.epoch, t.step, t.history, t.optimizer.get_lr(), shared, t.seed))
    return hashlib.blake2b((repr(_plain(parts)) + words).encode()).hexdigest()


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _plain(vars(value)) if hasattr(value, "__dict__") and not isinstance(value, type) else repr(value)


def test_s2_26_validation_of_the_twin_changes_nothing():
    """S2.26 (features.md 5.4): weights, optimizer, metrics, random numbers stay; a run with validation ends in the same bits."""
    x, y = data()
    t = trainer(made(), metrics=["accuracy"])
    t.fit((x, y), epochs=2, batch_size=4)
    before = everything(t)
    assert t.validate((x, y)) == t.validate((x, y))
    t.predict(x)
    assert everything(t) == before
    t.model.parameters()["J"][0] += 1e-6
    assert everything(t) != before  # the hash sees what it should
    ends = []
    for val in (None, (x, y)):
        model = made()
        trainer(model).fit((x, y), val, epochs=3, batch_size=4)
        ends.append(bits(model))
    assert ends[0] == ends[1] != bits(made())


@few
@given(parts=st.lists(st.integers(1, 2), min_size=1, max_size=3), size=st.integers(2, 7))
def test_s2_25_train_n_is_n_times_train_one(parts, size):
    """S2.25 (features.md 5.4): fit(n) is fit(1) n times, to the bit, with the twin and a schedule."""
    x, y = data(7, 12)
    whole, pieces = made(), made()
    trainer(whole, scheduler={"name": "cosine", "lr": 1e-2, "T_max": 6}).fit((x, y), epochs=sum(parts), batch_size=size)
    again = trainer(pieces, scheduler={"name": "cosine", "lr": 1e-2, "T_max": 6})
    for n in parts:
        again.fit((x, y), epochs=n, batch_size=size)
    assert bits(whole) == bits(pieces)


@few
@given(count=st.integers(1, 9), size=st.integers(1, 5), accumulate=st.integers(1, 3))
def test_s2_28_the_last_batch_counts(count, size, accumulate):
    """S2.28 (features.md 5.4): the last, smaller batch and the last, smaller group are steps; a plain loop does the same."""
    x, y = data(count, 12)
    model, plain = made(dtype="float64"), made(dtype="float64")
    t = trainer(model, optimizer={"name": "sgd", "lr": 0.1}, accumulate=accumulate)
    t.fit((x, y), batch_size=size)
    step = value_and_grad(plain, CrossEntropy())
    order, groups = _order((x, y), size), 0
    starts = list(range(0, count, size))
    for g in range(0, len(starts), accumulate):
        micro = [order[a : a + size] for a in starts[g : g + accumulate]]
        total, seen = {}, sum(map(len, micro))
        for rows in micro:
            for name, array in step(x[rows], y[rows])[1].items():
                total[name] = total.get(name, 0.0) + len(rows) * array / seen
        for name, array in plain.parameters().items():
            array -= 0.1 * total[name]
        groups += 1
    assert t.step == groups == -(-len(starts) // accumulate) and t.examples_seen == count
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, plain.parameters()[name], rtol=1e-12, atol=1e-14)


def _order(pair, size):
    from training.data import DataLoader

    return DataLoader(pair, size, seed=3).order(0)


def test_s2_07_a_twin_that_is_continued_ends_in_the_same_bits(tmp_path):
    """S2.07 (features.md 5.4): stopped in the middle of an epoch and resumed from its file, the run ends where it would have."""
    from training.hooks import STOP

    class StopAt(Callback):
        def __init__(self, step):
            self.step = step

        def on_batch_end(self, state):
            return STOP if state.step == self.step else None

    x, y = data()
    whole = made()
    trainer(whole).fit((x, y), epochs=3, batch_size=4)
    for stop in (1, 3, 5):
        model = made()
        path = tmp_path / f"{stop}.h5"
        keep = {"callbacks": [ModelCheckpoint(tmp_path / "b.h5", None, last=path, every_steps=1)]}
        trainer(model, callbacks=[StopAt(stop), *keep["callbacks"]]).fit((x, y), epochs=3, batch_size=4)
        assert bits(model) != bits(whole)
        fresh = made()
        trainer(fresh, callbacks=[ModelCheckpoint(tmp_path / "b.h5", None, last=path, every_steps=1)]).fit(
            (x, y), epochs=3, batch_size=4, resume=path
        )
        assert bits(fresh) == bits(whole)


def test_s0_c10_the_scale_of_the_twin_s_outputs_follows_its_line():
    """S0.C10: the scheduler of the pooling's scale moves the twin's."""
    scales = []

    class Look(Callback):
        def on_batch_end(self, state):
            counts = state.run.spikes.sum(axis=1)
            scales.append(float(state.run.outputs.sum() / counts.sum()))

    x, y = data()
    trainer(made(), callbacks=[TimePoolingScaleScheduler(0.5, 2.0), Look()]).fit((x, y), epochs=4)
    assert scales == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_s0_19_training_the_twin_lowers_its_loss():
    """S0.19: data, forward, loss, backward through the surrogate, optimizer: two classes of photon trains are learnt."""
    x, y = data(40)
    model = made(scale=0.5)
    before = copy.deepcopy(model.network.parameters())
    history = trainer(model, optimizer={"name": "adam", "lr": 0.02}, metrics=["accuracy"]).fit(
        (x, y), epochs=40, batch_size=10
    )
    assert history[-1]["loss"] < 0.6 * history[0]["loss"] and history[-1]["accuracy"] >= 0.8
    for name, array in model.network.parameters().items():
        np.testing.assert_array_equal(array, before[name])  # the network changes when it is deployed, not before
    model.deploy()
    assert not np.array_equal(model.network.parameters()["weights"], before["weights"])
