"""The twin: gradients against central differences, convergence to the engine, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from training.readout import pooling
from training.registry import names
from training.stored import of_parameters, put_parameters
from training.twin import NAMES, Twin


def network(seed=0, dendrites=3, neurons=2, after="purge", kind="ri", delay=2.33):
    """Detectors on dendrites, dendrites on dendrites and somas, light back to the dendrites, refractory dendrites."""
    rng = np.random.default_rng(seed)
    with se.Network() as net:
        for k in range(dendrites):
            se.Dendrite(
                f"d{k}", kind=kind, ib=float(rng.uniform(1.65, 1.8)), beta_over_2pi=300, tau=float(rng.uniform(30, 90))
            )
            for c in range(3):
                se.Synapse(f"s{c}.{k}", f"d{k}", weight=float(rng.uniform(0.2, 0.8)))
        for k in range(neurons):
            soma = se.Soma(threshold=0.12, tau=40.0, beta_over_2pi=300, t_ref=2.0, after_spike=after)
            se.Neuron(f"n{k}", soma=soma, refractory=se.Refractory(J=-0.3), transmitter=se.Transmitter(latency=1.3))
            for d in range(dendrites):
                se.Coupling(f"d{d}", f"n{k}", J=float(rng.uniform(0.1, 0.5)))
            se.Synapse(f"r{k}", f"d{k % dendrites}", weight=0.3)
            se.Waveguide(f"n{k}", f"r{k}", delay=delay + 0.4 * k)
        if dendrites > 1:
            se.Coupling("d0", "d1", J=0.1)
    return net


def channels(net, n=3):
    return {f"c{c}": [name for name in net.synapses if name.startswith(f"s{c}.")] for c in range(n)}


def photons(seed, batch=3, steps=60, n=3, share=0.08):
    return (np.random.default_rng(seed).uniform(size=(batch, steps, n)) < share).astype(float)


def twin(net, **options):
    return Twin(net, **{"dt": 0.5, "channels": channels(net), "surrogate": "triangle", **options})


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    dendrites=st.integers(1, 4),
    neurons=st.integers(1, 3),
    after=st.sampled_from(["purge", "keep"]),
    how=st.sampled_from(["mean", "max", "rms", "final", "mean_last_n", "mean_range", "ewa", "sum", "none"]),
    readout=st.sampled_from(["current", "spikes"]),
)
def test_gradients_of_every_kind_of_parameter_are_exact(seed, dendrites, neurons, after, how, readout):
    """S0.19: against central differences with a smooth spike, 1e-6."""
    net = network(seed, dendrites, neurons, after)
    model = twin(net, trainable=NAMES, delays="linear", dtype="float64", pooling=how, readout=readout)
    errors = model.gradient_check(photons(seed), most=4, seed=seed)
    assert set(errors) == set(NAMES)
    assert max(errors.values()) < 2e-6, errors


def test_gradients_of_two_sided_dendrites():
    model = twin(network(3, kind="rtti"), trainable=("weights", "J", "phi_offset"), dtype="float64")
    assert max(model.gradient_check(photons(1), most=10).values()) < 1e-6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 9), name=st.sampled_from(names("pooling")))
def test_poolings_and_their_gradients(seed, steps, name):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.05, 0.9, (2, steps, 3))
    how = pooling(name)
    value, kept = how.forward(x)
    side = rng.normal(size=value.shape)
    grad = how.backward(side, kept)
    assert grad.shape == x.shape
    for index in [(0, 0, 0), (1, steps - 1, 2), (0, steps // 2, 1)]:
        ends = []
        for h in (1e-6, -1e-6):
            other = x.copy()
            other[index] += h
            ends.append((how.forward(other)[0] * side).sum())
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(grad[index], rel=1e-5, abs=1e-8)


def test_pooling_values():
    x = np.array([[[0.0], [1.0], [3.0], [2.0]]])
    found = {name: pooling(name).forward(x)[0].item() for name in ("mean", "max", "rms", "final", "sum")}
    assert found == pytest.approx({"mean": 1.5, "max": 3.0, "rms": 14**0.5 / 2, "final": 2.0, "sum": 6.0})
    assert pooling("mean_last_n", n=2).forward(x)[0].item() == 2.5
    assert pooling("mean_range", start=1, stop=3).forward(x)[0].item() == 2.0
    assert pooling("first_spike").forward(np.array([[[0.0], [0.0], [1.0], [0.0]]]))[0].item() == -2.0
    w = 0.2 ** (1 - np.arange(4) / 3)
    assert pooling("ewa").forward(x)[0].item() == pytest.approx((w * [0, 1, 3, 2]).sum() / w.sum())


def test_it_converges_to_the_engine_at_first_order():
    """Against resolution "flow" at 1e-8 over five halvings of dt: a hundred pairs of dendrites, photons on the coarsest grid.

    What is left, a tenth of a quantum (0.001), is the engine's: a dendrite's first quantum is late, and its last one whole.

    One current alone does not converge evenly: where it leaves the source function's root at the onset falls between steps.
    """
    rng = np.random.default_rng(0)
    with se.Network() as net:
        for k in range(100):
            se.Dendrite(f"a{k}", ib=float(rng.uniform(1.6, 1.8)), beta_over_2pi=1000, tau=float(rng.uniform(40, 120)))
            se.Dendrite(f"b{k}", ib=1.75, beta_over_2pi=1000, tau=60.0)
            se.Coupling(f"a{k}", f"b{k}", J=float(rng.uniform(0.3, 0.9)))
            for c in range(2):
                se.Synapse(f"s{c}.{k}", f"a{k}", weight=float(rng.uniform(0.6, 1.2)), tau_fall=15.0, hotspot=0.015)
    times = {name: np.sort(rng.choice(48, 2, replace=False)).astype(float) for name in net.synapses}
    rec = se.simulate(net, times, 64.0, resolution="flow", tol=1e-8, record="currents")
    t = np.arange(2, 65, 2.0)
    steps, errors = 2.0 ** -np.arange(0, 6), []
    for dt in steps:
        model = Twin(net, dt=float(dt), outputs=["a0"], surrogate="triangle", dtype="float64")
        states = model.forward(model.encode(times, 64.0)[None]).states[0][np.round(t / dt).astype(int)]
        exact = np.column_stack([rec.current(name, t) for name in model.plan.loop_ids])
        errors.append(np.sqrt(np.mean((states - exact) ** 2)))
    order = np.polyfit(np.log2(steps[:4]), np.log2(errors[:4]), 1)[0]
    assert order > 0.9, np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors == sorted(errors, reverse=True) and errors[-1] < 1.2e-4


def test_spikes_are_those_of_the_engine():
    """As many spikes as the engine makes, at most a step or two later."""
    net = network(5, delay=3.0)
    rng = np.random.default_rng(2)
    same = total = 0
    for _ in range(10):
        times = {name: np.unique(rng.integers(0, 120, 4)) * 0.5 for name in ("s0.0", "s1.1", "s2.2")}
        alone = {name: name for name in times}
        rec = se.simulate(net, times, 80.0, resolution="flow")
        model = Twin(net, dt=0.125, channels=list(alone), surrogate="triangle", dtype="float64")
        run = model.forward(model.encode(times, 80.0)[None])
        for k, name in enumerate(model.plan.neuron_ids):
            mine = (np.flatnonzero(run.spikes[0, :, k]) + 1) * model.dt
            total += 1
            if len(mine) == len(rec.spikes[name]):
                same += 1
                assert np.abs(mine - rec.spikes[name]).max(initial=0.0) < 4.0
    assert same >= 0.9 * total


def test_synapses_of_a_channel_share_a_line_and_batches_do_not_mix():
    net = network(1)
    model = twin(net)
    assert len(model.wiring.outside) == 3 and len(model.wiring.own) == 4  # two waveguides, two refractory detectors
    x = photons(4)
    whole = model.forward(x)
    for b in range(len(x)):
        alone = model.forward(x[b : b + 1])
        assert np.array_equal(whole.spikes[b], alone.spikes[0])
        assert whole.states[b] == pytest.approx(alone.states[0], abs=1e-5)
    again = model.forward(x)
    assert np.array_equal(again.outputs, whole.outputs)


def test_weights_go_back_to_the_network():
    """S0.04: what is deployed follows from the parameters alone."""
    net = network(2)
    model = twin(net, trainable=("weights", "J"))
    model.parameters()["weights"][:] = 0.4
    model.parameters()["J"][:] = 0.2
    other = twin(network(2), trainable=("weights", "J"))
    put_parameters(other, of_parameters(model), "other")
    one, two = model.deploy(), other.deploy()
    assert one.to_dict() == two.to_dict()
    assert all(s.weight == pytest.approx(0.4, abs=1e-7) for s in one.synapses.values())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dt": 0.01}, "not longer than the longest hotspot"),
        ({"dt": float("nan")}, "positive time"),
        ({"readout": "curent"}, "'current'"),
        ({"outputs": ["d9"]}, "no dendrite or neuron"),
        ({"outputs": ["d0"], "readout": "spikes"}, "makes no spikes"),
        ({"trainable": ("weight",)}, "'weights'"),
        ({"channels": {"c": ["s0.9"]}}, "no synapse"),
        ({"dtype": "int32"}, "float32 or float64"),
        ({"width": 0.0}, "positive current"),
        ({"surrogate": "trangle"}, "triangle"),
        ({"pooling": "maxx"}, "max"),
    ],
)
def test_what_it_refuses(options, told):
    with pytest.raises(se.InputError, match=told):
        twin(network(), **options)


def test_what_its_runs_refuse():
    model = twin(network())
    for inputs, told in (
        (np.zeros((2, 5, 4)), "batch, steps, 3"),
        (np.full((1, 2, 3), np.nan), "finite"),
        (-np.ones((1, 2, 3)), "from 0"),
    ):
        with pytest.raises(se.InputError, match=told):
            model.forward(inputs)
    run = model.forward(photons(0))
    with pytest.raises(se.InputError, match="train=True"):
        model.backward(run)
    run = model.forward(photons(0), train=True)
    with pytest.raises(se.InputError, match="outputs of shape"):
        model.backward(run, outputs=np.zeros(3))


def test_loops_that_load_each_other():
    """Against the engine, whose loaded loops go quantum by quantum (0.0033 each): leaving the loading out costs more than that."""
    with se.Network() as net:
        for k in range(2):
            se.Synapse(f"s{k}", f"d{k}")
            se.Dendrite(f"d{k}", beta_over_2pi=300)
            se.Coupling(f"d{k}", "top", J=0.3)
        se.Dendrite("top", beta_over_2pi=300, collection_inductance="60 pH", collection_mutual="6.5 pH")
    times = {"s0": [2.0, 30.0], "s1": [10.0, 12.0]}
    rec = se.simulate(net, times, 100.0, resolution="flow", record="currents")
    t = np.arange(4.0, 100.0, 4.0)
    exact = np.column_stack([rec.current(name, t) for name in ("d0", "d1")])
    off = {}
    for loading in ("share", "ignore"):
        model = Twin(net, dt=0.0625, loading=loading, dtype="float64", channels=["s0", "s1"])
        which = [model.plan.loop_index[name] for name in ("d0", "d1")]
        states = model.forward(model.encode(times, 100.0)[None]).states[0]
        off[loading] = np.abs(states[np.round(t / 0.0625).astype(int)][:, which] - exact).max()
    assert off["share"] < 0.5 * off["ignore"] and off["share"] < 0.0033, off
    model = Twin(net, dtype="float64", trainable=("weights", "J", "ib", "tau", "phi_offset"))
    assert max(model.gradient_check(photons(4, n=2)).values()) < 1e-6
