"""Twin against engine, sample by sample (features.md 3.4), and the engine read out as the twin is."""

import json

import numpy as np
import pytest

import soen_event as se
from training.readout import pooling
from training.transfer import answers_of, compare, deployed, photons_of, play
from training.twin import Twin


def network():
    """Two channels on three dendrites, two neurons of which one lights the third dendrite."""
    with se.Network(name="two neurons") as net:
        for k in range(3):
            se.Dendrite(f"d{k}", ib=1.75, beta_over_2pi=300, tau=60.0)
            for c in range(2):
                se.Synapse(f"s{c}.{k}", f"d{k}", weight=0.5 + 0.2 * ((c + k) % 2))
        for k in range(2):
            soma = se.Soma(threshold=0.2, tau=40.0, beta_over_2pi=300, t_ref=12.0)
            se.Neuron(f"n{k}", soma=soma, refractory=None, transmitter=se.Transmitter(latency=2.0))
            for d in range(3):
                se.Coupling(f"d{d}", f"n{k}", J=0.25 + 0.1 * ((d + k) % 2))
        se.Synapse("r", "d2", weight=0.3)
        se.Waveguide("n0", "r", delay=2.0)
    return net


CHANNELS = {"c0": ["s0.0", "s0.1", "s0.2"], "c1": ["s1.0", "s1.1", "s1.2"]}


def twin(dt=0.5, **options):
    return Twin(network(), **{"dt": dt, "channels": CHANNELS, "surrogate": "triangle", "dtype": "float64", **options})


def samples(dt=0.5, number=4, duration=80.0):
    """Photons on whole nanoseconds."""
    out = np.zeros((number, int(duration / dt), 2))
    rng = np.random.default_rng(1)
    for sample in out:
        for c in range(2):
            sample[(rng.choice(40, 4, replace=False) / dt).astype(int), c] = 1.0
    return out


def test_the_report_is_of_both_runs():
    """features.md 3.4: what it says of the engine is what simulate says, and of the twin what forward says."""
    model, x = twin(), samples()
    report = compare(model, x, [0, 1, 0, 1], resolution="flow", tol=1e-6)
    run = model.forward(x)
    assert report.spikes.stepped == int(run.spikes.sum()) > 4
    total = 0
    for k, sample in enumerate(x):
        light = {name: np.flatnonzero(sample[:, c]) * 0.5 for c in range(2) for name in CHANNELS[f"c{c}"]}
        rec = se.simulate(model.network, light, 80.0, resolution="flow", tol=1e-6, record="currents", seed=k)
        for name in ("n0", "n1"):
            assert np.array_equal(report.trains[1][k][name], rec.spikes[name])
            total += len(rec.spikes[name])
        exact = np.column_stack([rec.current(name, np.arange(161) * 0.5) for name in model.plan.loop_ids])
        assert np.array_equal(report.currents[1][k], exact)
    assert report.spikes.events == total
    assert report.currents[0] == pytest.approx(run.states)
    assert report.answers.samples == 4
    assert (report.dt, report.duration, report.name) == (0.5, 80.0, "two neurons")
    json.dumps(report.as_dict(), allow_nan=False)


def test_shorter_steps_are_nearer():
    """features.md 3.4, 5.4: distances of spikes and of currents go down with the step, and spikes of the twin come late."""
    found = [compare(twin(dt), samples(dt), tol=1e-6) for dt in (0.5, 0.125)]
    assert found[1].spikes.victor_purpura < 0.5 * found[0].spikes.victor_purpura
    assert found[1].current.rms < found[0].current.rms
    assert found[1].spikes.bias_ns > 0.0


@pytest.mark.parametrize("readout", ["current", "spikes"])
@pytest.mark.parametrize("how", ["mean", "sum", "max", "none"])
def test_the_engine_is_read_out_as_the_twin_is(readout, how):
    """Currents at the ends of steps, spikes in the steps that they end in; pooled and scaled."""
    model, x = twin(0.5, readout=readout, pooling=how, scale=3.0), samples(number=1)
    found = play(model, x, resolution="flow")
    assert found.outputs.shape == model.forward(x).outputs.shape
    rec = se.simulate(model.network, photons_of(model, x)[0], 80.0, resolution="flow", record="currents")
    ends = np.arange(1, 161) * 0.5
    if readout == "current":
        course = np.column_stack([rec.current(name, ends) for name in ("n0", "n1")])
    else:
        course = np.zeros((160, 2))
        for k, name in enumerate(("n0", "n1")):
            for t in rec.spikes[name]:
                course[np.searchsorted(ends, t - 1e-9), k] += 1.0
        assert course.sum() > 2
    assert found.outputs == pytest.approx(3.0 * pooling(how).forward(course[None])[0], abs=1e-12)


def test_what_is_deployed_leaves_the_network_alone():
    """S0.04: the twin's values, on a copy."""
    model = twin(trainable=("weights", "J"))
    before = model.network.parameters()["J"].copy()
    model.parameters()["J"][:] = 0.4
    net = deployed(model)
    assert net.parameters()["J"] == pytest.approx(0.4)
    assert np.array_equal(model.network.parameters()["J"], before)
    silent = deployed(model)
    silent.set_parameters({"weights": np.zeros_like(model.parameters()["weights"])})
    report = compare(model, samples(), network=silent)
    assert report.spikes.events == 0 < report.spikes.stepped == report.spikes.extra


def test_stimuli_are_seen_as_they_are():
    """The engine sees the times, the twin its grid: a photon 0.4 of a step after a beginning makes the twin early."""
    model = twin(1.0)
    light = [{name: [10.4] for c in CHANNELS.values() for name in c} for _ in range(2)]
    report = compare(model, light, duration=20.0, tol=1e-6, loops=["d0"])
    on_grid = compare(model, np.stack([model.encode(each, 20.0) for each in light]), tol=1e-6, loops=["d0"])
    assert report.spikes.matched > 0
    assert on_grid.spikes.bias_ns - report.spikes.bias_ns == pytest.approx(0.4, abs=0.1)
    assert [row.id for row in report.loops] == ["d0"]


def test_inputs_become_light_and_light_inputs():
    model, x = twin(), samples()
    light = photons_of(model, x)
    assert set(light[0]) == {name for names in CHANNELS.values() for name in names}
    assert np.array_equal(np.stack([model.encode(each, 80.0) for each in light]), x)
    assert photons_of(model, np.zeros((1, 3, 2))) == [{}]


def test_fluxons_and_batches():
    model, x = twin(), samples()
    whole = compare(model, x, resolution="fluxon", batch=3)
    assert whole.spikes.stepped == compare(model, x, loops=[]).spikes.stepped
    done = []
    play(model, x, progress=lambda k, n: done.append((k, n)))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_answers_need_pooled_outputs():
    assert answers_of([[0.0, 2.0], [1.0, 0.0]]).tolist() == [1, 0]
    with pytest.raises(se.InputError, match="pool the steps"):
        answers_of(np.zeros((1, 2, 3)))
    model, x = twin(pooling="none"), samples()
    assert compare(model, x).answers is None
    with pytest.raises(se.InputError, match="are no answers"):
        compare(model, x, [0, 1, 0, 1])
    last = compare(model, x, [0, 1, 0, 1], answer=lambda outputs: outputs[:, -1].argmax(axis=1))
    assert last.answers.samples == 4


def test_what_it_refuses():
    model, x = twin(), samples()
    for arguments, options, told in (
        ((0.5 * x,), {}, "0.5 of a photon"),
        ((x[:, :, :1],), {}, "samples, steps, 2"),
        ((x[:0],), {}, "there is none"),
        (({"s0.0": [1.0]},), {}, "one stimulus"),
        (([{"s0.0": [1.0]}],), {}, "compare.duration: None"),
        ((x,), {"duration": 5.0}, "160 steps of 0.5 ns"),
        ((x,), {"loops": ["d9"]}, "no loop 'd9'"),
        ((x,), {"batch": 0}, "compare.batch"),
        ((x,), {"resolution": "flows"}, "flow"),
    ):
        with pytest.raises(se.InputError, match=told):
            compare(model, *arguments, **options)
    with pytest.raises(se.InputError, match=r"compare\.twin: .* set twin\.keep_states = True"):
        compare(twin(keep_states=False), x)
