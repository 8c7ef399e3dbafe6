"""What the twin carries, keeps, forgets and draws: states, stretches, truncation, noise, and the ways it computes the same by."""

import numpy as np
import pytest

import soen_event as se
from soen_event.physics.source import source
from training import kernels, wiring
from training.rates import knees, rates
from training.room import Room
from training.stretch import compiled
from training.twin import NAMES, Twin


def network(seed=0, kind="ri"):
    rng = np.random.default_rng(seed)
    with se.Network() as net:
        for k in range(3):
            ib = float(rng.uniform(1.65, 1.8))
            se.Dendrite(f"d{k}", kind=kind, ib=ib, beta_over_2pi=300, tau=float(rng.uniform(30, 90)))
            for c in range(3):
                se.Synapse(f"s{c}.{k}", f"d{k}", weight=float(rng.uniform(0.2, 0.8)), tau_fall=15.0 + 5.0 * c)
        for k in range(2):
            soma = se.Soma(threshold=0.12, tau=40.0, beta_over_2pi=300, t_ref=2.0, after_spike="purge")
            se.Neuron(f"n{k}", soma=soma, refractory=se.Refractory(J=-0.3), transmitter=se.Transmitter(latency=1.3))
            for d in range(3):
                se.Coupling(f"d{d}", f"n{k}", J=float(rng.uniform(0.1, 0.5)))
            se.Synapse(f"r{k}", f"d{k}", weight=0.3)
            se.Waveguide(f"n{k}", f"r{k}", delay=2.33 + 0.4 * k)
        se.Coupling("d0", "d1", J=0.1)
    return net


def photons(seed=0, batch=3, steps=60):
    return (np.random.default_rng(seed).uniform(size=(batch, steps, 3)) < 0.08).astype(float)


def twin(net=None, **options):
    net = net or network()
    channels = {f"c{c}": [name for name in net.synapses if name.startswith(f"s{c}.")] for c in range(3)}
    return Twin(net, **{"channels": channels, "dtype": "float64", **options})


def gradients(model, run, seed=1):
    side = np.random.default_rng(seed).normal(size=run.outputs.shape)
    return model.backward(run, outputs=side)


@pytest.mark.parametrize("kind", ["ri", "rtti", "one-sided"])
def test_rates_are_those_of_the_engines(kind):
    """The twin's layout of the source functions against the engines' own, value and derivatives, to rounding."""
    device = se.Device(beta_1=1.2, beta_2=1.9) if kind == "one-sided" else se.Device()
    with se.Network(device=device) as net:
        se.Dendrite("d", kind="rtti" if kind == "rtti" else "ri", beta_over_2pi=300)
    model = Twin(net, dtype="float64", channels=[])
    plan, table = model.plan, rates(model.plan, np.float64)
    rng = np.random.default_rng(0)
    many, gain, ib = 400, 1e-6, float(plan.arrays.ib[0])
    phi = rng.uniform(-1.0, 1.0, (many, 1))
    s = rng.uniform(0.0, 0.8, (many, 1))
    loops = np.zeros((6, 1))
    loops[kernels.KEEP], loops[kernels.GAIN], loops[kernels.IB] = 1.0, gain, ib  # so small a step that i is ib - s
    out = [np.zeros((many, 1)) for _ in range(3)]
    none = np.zeros((0, 0))
    units, order, active = model.model.units, np.zeros(1, dtype=np.int64), np.zeros((2, 2), dtype=np.int64)
    room = np.zeros((kernels.A_WIDTH + 1, 2))
    shifted = phi + table.offset[0]
    for b in range(many):
        compiled("rises")(
            b, 0, 1, 0, order, s, shifted, none, none, loops, *table[:-1], units, room, active, *out, none
        )  # fmt: skip
    active_ones = 0
    for b in range(many):
        r, by_phi, by_i, u = source(plan.sources, 0, float(phi[b, 0]), ib - float(s[b, 0]))
        if u <= 0.0 or r <= 0.0 or gain * r >= u:
            continue
        active_ones += 1
        assert (out[0][b, 0] - s[b, 0]) / gain == pytest.approx(r, rel=1e-6)
        assert out[1][b, 0] / gain == pytest.approx(by_phi, rel=1e-9, abs=1e-9)
        assert (1.0 - out[2][b, 0]) / gain == pytest.approx(by_i, rel=1e-6, abs=1e-6)
    assert active_ones > 40
    assert knees(plan).shape == (1,)


def test_a_run_in_pieces_is_the_whole_run():
    """From the state at the end of one: the same bits, whatever is pending: light on its way, held somas, flux of detectors."""
    model, x = twin(pooling="none", readout="spikes"), photons(steps=80)
    whole = model.forward(x)
    assert whole.spikes.sum() > 4
    state, pieces = None, []
    for part in np.split(x, [7, 30, 31, 66], axis=1):
        run = model.forward(part, state=state)
        state = run.end
        pieces.append(run)
    assert np.array_equal(np.concatenate([run.outputs for run in pieces], axis=1), whole.outputs)
    assert pieces[-1].states[:, -1] == pytest.approx(whole.states[:, -1], abs=1e-13)
    model.initial_state = pieces[0].end
    again = model.forward(x[:, 7:30])
    assert np.array_equal(again.spikes, pieces[1].spikes)
    one = model.forward(x[1:2, 7:30], state=pieces[0].end.take(slice(1, 2)))
    assert np.array_equal(one.spikes[0], again.spikes[1])


def test_a_state_of_currents_alone():
    model = twin()
    model.initial_state = np.full(model.n, 0.05)
    run = model.forward(photons())
    assert np.all(run.states[:, 0] == 0.05)
    for wrong in (np.zeros(3), np.full(model.n, np.nan), twin(network(1)).rest(2)):
        model.initial_state = wrong
        with pytest.raises(se.InputError, match=r"Twin\.initial_state"):
            model.forward(photons())


@pytest.mark.parametrize("every", [1, 7, 25, 100])
def test_s0_19_checkpoints_change_no_gradient(every):
    """States at the starts of stretches, run again on the way back: the gradients are the same, also with noise."""
    x = photons(steps=60)
    options = {"trainable": NAMES, "delays": "linear", "noise": {"phi": 0.01, "s": 0.002, "ib": 0.005}}
    plain, saving = twin(**options), twin(checkpoint=every, keep_states=False, **options)
    runs = []
    for model in (plain, saving):
        rng = np.random.default_rng(3)
        if every < 60:  # noise is drawn stretch by stretch
            model.noise = {}
        runs.append(model.forward(x, train=True, rng=rng))
    assert runs[1].states is None and runs[1].spikes is None
    assert runs[1].outputs == pytest.approx(runs[0].outputs, abs=1e-13)
    one, two = gradients(plain, runs[0]), gradients(saving, runs[1])
    for name in NAMES:
        assert two[name] == pytest.approx(one[name], rel=1e-9, abs=1e-12), name
    noisy = twin(checkpoint=every, **options)
    runs = [noisy.forward(x, train=True, rng=np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(runs[0].outputs, runs[1].outputs)
    first, second = gradients(noisy, runs[0]), gradients(noisy, runs[0])
    assert all(np.array_equal(first[name], second[name]) for name in NAMES)  # the same noise each time it is run again


def test_checkpoints_bound_memory():
    model = twin(checkpoint=10, keep_states=False)
    tape = model.forward(photons(steps=60), train=True).tape
    assert len(tape.stretches) == 6 and all(isinstance(piece, tuple) for piece in tape.stretches)


def test_truncation_cuts_gradients_where_it_says():
    """Truncated to stretches: the sum of the gradients of runs from states that are taken as given."""
    x, every = photons(steps=60), 20
    model = twin(pooling="none", truncate=every, trainable=("weights", "J"))
    run = model.forward(x, train=True)
    side = np.random.default_rng(2).normal(size=run.outputs.shape)
    found = model.backward(run, outputs=side)
    free = twin(pooling="none", trainable=("weights", "J"))
    total, state = {name: np.zeros_like(value) for name, value in found.items()}, None
    for first in range(0, 60, every):
        piece = free.forward(x[:, first : first + every], train=True, state=state)
        for name, grad in free.backward(piece, outputs=side[:, first : first + every]).items():
            total[name] += grad
        state = piece.end
    for name in found:
        assert found[name] == pytest.approx(total[name], rel=1e-9, abs=1e-12), name
    whole = free.backward(free.forward(x, train=True), outputs=side)
    assert np.abs(whole["weights"] - found["weights"]).max() > 1e-3 * np.abs(whole["weights"]).max()


def test_noise_is_only_for_training_and_of_the_size_asked_for():
    net = se.Network()
    with net:
        for k in range(200):
            se.Dendrite(f"d{k}", phi_offset=0.0, tau=1e6)
            se.Synapse(f"s{k}", f"d{k}")
    quiet = Twin(net, dtype="float64", noise={"s": 0.01}, dt=1.0)
    x = np.zeros((4, 50, 200))
    assert not np.any(quiet.forward(x).states)
    run = quiet.forward(x, train=True, rng=np.random.default_rng(0))
    steps = np.diff(run.states, axis=1)
    assert steps.std() == pytest.approx(0.01, rel=0.02) and abs(steps.mean()) < 1e-4
    with pytest.raises(se.InputError, match="rng"):
        quiet.forward(x, train=True)
    for noise in ({"flux": 0.1}, {"phi": -1.0}):
        with pytest.raises(se.InputError, match=r"Twin\.noise"):
            Twin(net, noise=noise)


def test_noise_of_biases_and_fluxes_moves_currents_as_they_would():
    """A constant shift, drawn as noise, is what the same shift of the bias or of the offset does."""
    model = twin(trainable=NAMES, delays="linear")
    x = photons()
    base = model.forward(x).states
    for name, draw in (("phi_offset", "phi"), ("ib", "ib")):
        held = model.parameters()[name].copy()
        model.parameters()[name][:] += 0.01
        moved = model.forward(x).states
        model.parameters()[name][:] = held

        class Even:
            bit_generator = np.random.default_rng(0).bit_generator

            def standard_normal(self, shape, dtype=None):
                out = np.zeros(shape)
                out[..., [model.plan.loop_index[id_] for id_ in model.network.ids(name)]] = 1.0  # noqa: B023
                return out

        model.noise = {draw: 0.01}
        drawn = model.forward(x, train=True, rng=Even()).states
        model.noise = {}
        assert drawn == pytest.approx(moved, abs=1e-12) and np.abs(moved - base).max() > 1e-3


def test_every_training_run_with_perturb_is_another_chip():
    """Relative of weights, J, tau, threshold, absolute of offsets and biases; gradients are those of the chip, by the values themselves."""
    sizes = {"weights": 0.05, "J": 0.05, "phi_offset": 0.01, "ib": 0.01, "tau": 0.03, "threshold": 0.02}
    names = tuple(sizes)
    model, x = twin(trainable=names, perturb=sizes), photons()
    exact = model.forward(x).outputs
    one, two = (model.forward(x, train=True, rng=np.random.default_rng(k)).outputs for k in (1, 2))
    assert np.abs(one - two).max() > 1e-3 and np.abs(one - exact).max() > 1e-3
    assert np.array_equal(model.forward(x).outputs, exact)
    run = model.forward(x, train=True, rng=np.random.default_rng(1), smooth=True)
    side = np.random.default_rng(0).normal(size=run.outputs.shape)
    model.forward(x)  # another run in between does not matter
    found = model.backward(run, outputs=side)
    for name in names:
        array = model.parameters()[name]
        ends = []
        for step in (1e-6, -1e-6):
            array.reshape(-1)[0] += step
            again = model.forward(x, train=True, rng=np.random.default_rng(1), smooth=True)
            ends.append(float((again.outputs * side).sum()))
            array.reshape(-1)[0] -= step
        assert found[name].reshape(-1)[0] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-7), name


def test_lines_of_many_decays_and_of_few_are_the_same(monkeypatch):
    """Filters by group against products with all weights."""
    x = photons()
    found = []
    for most in (4, 0):
        monkeypatch.setattr(wiring, "MOST_GROUPS", most)
        model = twin(trainable=NAMES, delays="linear")
        assert bool(len(model.wiring.outside.groups)) == bool(most) == bool(len(model.wiring.own.groups))
        run = model.forward(x, train=True)
        half = model.forward(x[:, 20:], state=model.forward(x[:, :20]).end)
        assert half.states[:, -1] == pytest.approx(run.states[:, -1], abs=1e-12)
        found.append((run, gradients(model, run)))
    (one, by_one), (two, by_two) = found
    assert two.states == pytest.approx(one.states, abs=1e-12) and one.spikes.sum() > 2
    for name in NAMES:
        assert by_two[name] == pytest.approx(by_one[name], rel=1e-8, abs=1e-11), name


def test_dense_couplings_and_sparse_ones_are_the_same():
    """A product with the whole matrix against coupling by coupling, where loops couple round in circles."""
    rng = np.random.default_rng(0)
    with se.Network() as net:
        for k in range(8):
            se.Dendrite(f"d{k}", beta_over_2pi=300, tau=50.0)
            se.Synapse(f"s{k}", f"d{k}", weight=0.9)
        for k in range(8):
            for m in range(8):
                if m != k:
                    se.Coupling(f"d{k}", f"d{m}", J=float(rng.normal(0.0, 0.1)))
    x = (rng.uniform(size=(3, 50, 8)) < 0.1).astype(float)
    found = []
    for dense in (True, False):
        model = Twin(net, dtype="float64", trainable=("weights", "J", "phi_offset"), pooling="rms")
        assert model.wiring.dense
        model.wiring.dense = dense
        run = model.forward(x, train=True)
        found.append((run, gradients(model, run)))
    assert found[0][0].states == pytest.approx(found[1][0].states, abs=1e-13)
    for name, grad in found[0][1].items():
        assert grad == pytest.approx(found[1][1][name], rel=1e-9, abs=1e-13), name


def test_a_step_can_be_changed():
    model = twin(pooling="rms")
    fresh = twin(pooling="rms", dt=0.25)
    model.dt = 0.25
    x = photons(steps=40)
    assert np.array_equal(model.forward(x).outputs, fresh.forward(x).outputs)
    with pytest.raises(se.InputError, match=r"Twin\.dt"):
        model.dt = 0.001
    assert model.dt == 0.25
    trained = twin(trainable=("J",))
    trained.parameters()["J"][:] *= 1.3
    trained.deploy()
    trained.dt = 0.25  # what belongs to which row is known from the beginning
    assert np.all(gradients(trained, trained.forward(x, train=True))["J"] != 0.0)


def test_settings_go_over_to_another_twin():
    model, other = twin(noise={"phi": 0.1}), twin()
    model.dt, model.pooling_scale = 0.25, 3.0
    other.apply_settings(model.settings())
    rng = [np.random.default_rng(0) for _ in range(2)]
    x = photons()
    one, two = (each.forward(x, train=True, rng=r).outputs for each, r in zip((model, other), rng, strict=True))
    assert np.array_equal(one, two)


def test_spikes_know_when_in_their_step_they_came():
    """Times between steps are nearer to the engine's than the ends of steps are."""
    net = network(5)
    light = {f"s{c}.{d}": [2.0 + c, 9.0 + d, 17.0 + 2.0 * c] for c in range(3) for d in range(3)}
    rec = se.simulate(net, light, 40.0, resolution="flow", tol=1e-7)
    model = Twin(net, dt=0.25, channels=list(light), dtype="float64")
    run = model.forward(model.encode(light, 40.0)[None])
    found, at_ends = model.trains(run), []
    errors = []
    for k, name in enumerate(model.plan.neuron_ids):
        assert len(found[name]) == len(rec.spikes[name])
        errors += (found[name] - rec.spikes[name]).tolist()
        at_ends += ((np.flatnonzero(run.spikes[0, :, k]) + 1) * 0.25 - rec.spikes[name]).tolist()
    assert len(errors) >= 4
    assert np.abs(errors).mean() < 0.75 * np.abs(at_ends).mean()
    quiet = twin(keep_states=False)
    run = quiet.forward(photons())
    with pytest.raises(se.InputError, match=r"Twin\.trains"):
        quiet.trains(run)


def test_room_gives_no_array_twice():
    room = Room()
    one = room.empty((200, 300), np.float32)
    view = one[3:5, ::2]
    del one
    two = room.empty((200, 300), np.float32)
    assert not np.shares_memory(view, two)
    address = two.ctypes.data
    del two, view
    again = room.zeros((190, 300), np.float64)[0]
    assert not again.any()
    third = [room.empty((200, 300), np.float32) for _ in range(3)]
    assert len({each.ctypes.data for each in third}) == 3
    assert address  # it was a real place
    assert room.empty((2, 2), np.float32).shape == (2, 2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"truncate": 0}, "truncate"),
        ({"checkpoint": 2.5}, "checkpoint"),
        ({"trainable": ("delay",)}, "delays='linear'"),
        ({"perturb": {"delay": 0.1}}, "perturb"),
        ({"loading": "refuse"}, "loading"),
    ],
)
def test_nonsense_is_told(options, told):
    with pytest.raises(se.InputError, match=told):
        twin(**options)
