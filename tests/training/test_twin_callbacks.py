"""Callbacks on the model of this library, the twin: state from batch to batch, steps, noise, few levels (features.md 1.0.2)."""

import copy

import numpy as np
import pytest
from students import photons, students_twin
from test_twin_in_training import bits, data, made, trainer

from hardware.quantize import Levels
from soen_event.errors import InputError
from training import callbacks as cb
from training import carried, checkpoint
from training.callbacks import Callback
from training.gradients import loss_and_gradients
from training.losses import CrossEntropy
from training.parallel import DataParallel
from training.stretch import State


def same(one, other):
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))


class Look(Callback):
    """Keeps something of every batch."""

    def __init__(self, what):
        self.what, self.seen = what, []

    def on_batch_end(self, state):
        self.seen.append(self.what(state))


class Starts(Callback):
    """Keeps how batches begin."""

    def __init__(self):
        self.seen = []

    def on_batch_begin(self, state):
        self.seen.append(state.model.initial_state)


# ---------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize("selection", ["random", "first", "last"])
def test_s0_c9_the_whole_state_of_one_example_goes_on(selection):
    """S0.C9: currents, fluxes, light on its way and held somas; rest at every epoch's begin, in validation, and afterwards."""
    x, y = data(10)
    ends, starts = Look(lambda state: state.run.end.copy()), Starts()
    model = made()
    t = trainer(model, callbacks=[cb.StatefulTraining(selection), starts, ends])
    t.fit((x, y), (x, y), epochs=2, batch_size=4)
    assert [None if each is None else len(each.s) for each in starts.seen] == [None, 4, 2, None, 4, 2]
    for k in (1, 2, 4, 5):
        begun, end = starts.seen[k], ends.seen[k - 1]
        choices = [i for i in range(4) if same(begun, end.take(np.full(len(begun.s), i)))]
        assert choices and (selection == "random" or {"first": 0, "last": 3}[selection] in choices)
    assert max(np.abs(each.f).max() for each in starts.seen if each is not None) > 0.01  # more than the currents
    assert model.initial_state is None
    assert t.validate((x, y))["loss"] == t.history[-1]["val_loss"]
    alone = made()
    trainer(alone).fit((x, y), epochs=2, batch_size=4)
    assert bits(alone) != bits(model)


def test_s0_c9_two_halves_make_the_whole():
    """A long example in two batches is the run of its whole length."""
    x, y = data(1, 60)
    model = made(dtype="float64")
    whole = model.forward(x)
    starts = Look(lambda state: state.run)
    t = trainer(model, optimizer={"name": "sgd", "lr": 1e-30}, callbacks=[cb.StatefulTraining("last"), starts])
    t.fit([(x[:, :31], y), (x[:, 31:], y)], epochs=1)
    first, second = starts.seen
    joint = np.concatenate([first.states, second.states[:, 1:]], axis=1)
    np.testing.assert_allclose(joint, whole.states, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.concatenate([first.spikes, second.spikes], axis=1), whole.spikes)
    assert second.spikes.any()


def test_s0_c9_a_run_that_was_continued_begins_its_batch_there(tmp_path):
    """A checkpoint in the middle of an epoch holds the state; the continued run ends in the same bits."""
    x, y = data(12)

    def run(model, stop=None, resume=None):
        class Halt(Callback):
            def on_batch_end(self, state):
                state.should_stop = state.step == stop

            def on_settled(self, state, event):
                if stop is not None and event == "end":
                    state.trainer.save(tmp_path / "half.h5")

        t = trainer(model, callbacks=[cb.StatefulTraining("random"), Halt()])
        t.fit((x, y), epochs=2, batch_size=4, resume=resume)
        return bits(model)

    whole = run(made())
    assert run(made(), stop=2) != whole
    held = checkpoint.load(tmp_path / "half.h5")["callbacks"]
    assert "light" in str(held)
    assert run(made(), resume=tmp_path / "half.h5") == whole


@pytest.mark.parametrize("workers", [None, 2])
def test_s0_c9_s2_27_starts_are_cut_with_the_batch(workers):
    """Every shard begins where its own examples do: gradients and ends are those of the whole batch."""
    x, y = data(7, 20)
    model, loss = made(dtype="float64"), CrossEntropy()
    begin = model.forward(data(7, 15, seed=4)[0]).end
    for start in (begin, begin.s):
        model.initial_state = start
        value, gradients, run = loss_and_gradients(model, loss, x, y)
        with DataParallel(shards=3, workers=workers) as parallel:
            found, mean, joint = parallel.gradients(model, loss, x, y, (0,), keep=("states", "end"))
        assert found.value == pytest.approx(value.value, rel=1e-12)
        np.testing.assert_allclose(joint.states, run.states, rtol=0, atol=1e-12)
        for name in gradients:
            np.testing.assert_allclose(mean[name], gradients[name], rtol=1e-9, atol=1e-13)
        assert all(np.allclose(vars(joint.end)[name], each, atol=1e-12) for name, each in vars(run.end).items())
        assert model.initial_state is start
    assert not np.allclose(begin.s, begin.s[0])
    model.initial_state = begin.take(np.arange(5))
    with pytest.raises(InputError, match=r"Twin\.initial_state"):
        DataParallel(shards=7).gradients(model, loss, x, y, (0,))


def test_s0_c9_s2_27_workers_end_in_the_same_bits():
    x, y = data(10)
    ends = []
    for parallel in (DataParallel(), DataParallel(workers=2)):
        model = made()
        with parallel:
            trainer(model, callbacks=[cb.StatefulTraining()], parallel=parallel).fit((x, y), epochs=2, batch_size=4)
        ends.append(bits(model))
    assert ends[0] == ends[1]


def test_s0_c9_sam_looks_again_from_where_each_batch_began():
    """The second gradient of a group of batches of two sizes begins as the first did."""
    x, y = data(7)
    model = made()
    t = trainer(model, optimizer={"name": "sam", "rho": 1e-12}, accumulate=2, callbacks=[cb.StatefulTraining("last")])
    seen, forward = [], model.forward

    def watched(inputs, **options):
        start = model.initial_state
        seen.append((inputs[0, :, 0].tobytes(), 0.0 if start is None else float(start.s.sum())))
        return forward(inputs, **options)

    model.forward = watched
    t.fit([(x[:4], y[:4]), (x[4:], y[4:])], epochs=1)
    assert len(seen) == 4 and seen[:2] == seen[2:] and seen[1][1] > 0.0


def test_a_state_as_plain_data_is_the_state():
    end = made().forward(data(3)[0]).end
    again = carried.restored(carried.plain(carried.one(end, 1)))
    assert isinstance(again, State) and same(again, end.take([1]))
    assert same(carried.joined([carried.cut(end, 0, 1, 3), carried.cut(end, 1, 3, 3)]), end)
    assert carried.restored(None) is None and carried.cut(end.s[0], 0, 1, 3) is not None


# ---------------------------------------------------------------------------------------------- steps


def test_s0_c8_fewer_steps_of_a_longer_dt_take_as_long():
    """S0.C8 with ``scale_dt``: the twin decays and waits by its new dt, as one that was made with it."""
    x, y = data(6, 40)
    model = made(dt=0.5)
    looked = Look(
        lambda state: (state.model.dt, state.run.states.shape[1] - 1, state.run.states.copy(), state.run.inputs)
    )
    t = trainer(
        model,
        optimizer={"name": "sgd", "lr": 1e-30},
        callbacks=[cb.TargetSeqLenScheduler(20, 40, scale_dt=True), looked],
    )
    t.fit((x, y), epochs=3, batch_size=6)
    assert [(dt, steps) for dt, steps, *_ in looked.seen] == [(1.0, 20), (20 / 30, 30), (0.5, 40)]
    for dt, _, states, inputs in looked.seen:
        np.testing.assert_array_equal(made(dt=dt).forward(inputs).states, states)
    assert [each["sequence_length"] for each in t.history] == [20, 30, 40]


def test_s0_c8_s0_c9_light_on_its_way_does_not_outlive_its_step():
    """Another dt has other delays in steps: the carried state is dropped when an epoch begins."""
    x, y = data(8, 40)
    every = [cb.StatefulTraining("first"), cb.TargetSeqLenScheduler(20, 40, scale_dt=True)]
    t = trainer(made(dt=0.5), callbacks=every)
    assert len(t.fit((x, y), (x, y), epochs=3, batch_size=4)) == 3


def test_s0_c8_a_step_shorter_than_a_hotspot_is_refused_before_the_run():
    x, y = data(4, 20)
    model = made(dt=0.1)
    with pytest.raises(InputError, match=r"Scheduler\.start_len: 40 steps in 2 ns: Twin\.dt: 0\.05 ns is not longer"):
        trainer(model, callbacks=[cb.TargetSeqLenScheduler(40, 20, scale_dt=True)]).fit((x, y), epochs=2)
    assert model.dt == 0.1


# ---------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize(
    ("target", "key"),
    [("noise", "phi"), ("noise", "s"), ("noise", "ib"), ("perturb", "weights"), ("perturb", "J"), ("perturb", "ib")],
)
def test_s0_c5_noise_of_the_twin_grows_along_its_line(target, key):
    """S0.C5: outputs go the farther from those without noise the later the epoch; nothing of it is left in evaluation."""
    x, y = data(8, 30)
    model = students_twin(4, seed=7, spiking=False, dtype="float64", trainable=("weights", "J", "ib"))
    still = model.forward(x).outputs
    look = Look(lambda state: float(np.abs(state.run.outputs - still).mean()))
    anneal = cb.NoiseAnnealing(key, target, start_value=0.0, end_value=4e-3, per_step=False)
    t = trainer(model, optimizer={"name": "sgd", "lr": 1e-30}, callbacks=[anneal, look])
    t.fit([(x, y)], epochs=5)
    assert [each[f"{target}/{key}"] for each in t.history] == pytest.approx([0.0, 1e-3, 2e-3, 3e-3, 4e-3])
    assert look.seen[0] == 0.0 and min(look.seen[1:]) > 1e-7
    assert look.seen[3] + look.seen[4] > 1.2 * (look.seen[1] + look.seen[2])
    np.testing.assert_array_equal(model.forward(x).outputs, still)


def test_s0_c5_relative_and_percent_are_of_what_the_twin_has():
    """Of biases the mean is 1.75 and 1.8; of a flux that of the offsets; percents of any parameter, trained or not."""
    x, y = data(4, 10)
    ib = float(made().network.parameters()["ib"].mean())
    J = float(np.abs(made().network.parameters()["J"]).mean())
    for options, size in (
        ({"key": "ib", "relative": True}, 0.01 * ib),
        ({"key": "ib", "target": "perturb", "relative": True}, 0.01 * ib),
        ({"key": "s", "percent_of_param": "J"}, 1e-4 * J),
        ({"key": "phi", "percent_of_param": "ib"}, 1e-4 * ib),
    ):
        model = made()
        trainer(model, callbacks=[cb.NoiseAnnealing(start_value=0.01, end_value=0.01, **options)]).fit([(x, y)])
        held = getattr(model, options.get("target", "noise"))
        assert held == {options["key"]: pytest.approx(size, rel=1e-3)}
    for options, told in (
        ({"key": "fi"}, r"key: 'fi' is no noise.*there are \['ib', 'phi', 's'\]"),
        ({"key": "delay", "target": "perturb"}, "is no perturb"),
        ({"key": "J", "target": "perturb", "relative": True}, r"relative: perturb\['J'\] is a share already"),
        ({"key": "s", "relative": True, "percent_of_param": "J"}, "two units"),
        ({"key": "s", "percent_of_param": "j"}, r"percent_of_param.*'j' fits no parameter; known: weights, J"),
    ):
        with pytest.raises(InputError, match=told):
            trainer(made(), callbacks=[cb.NoiseAnnealing(**options)]).fit([(x, y)])


def test_s0_c5_s2_27_noise_that_changes_travels_to_workers():
    x, y = data(8, 12)
    ends = []
    for parallel in (DataParallel(), DataParallel(workers=2)):
        model = made()
        every = [cb.NoiseAnnealing("phi", end_value=0.05), cb.NoiseAnnealing("J", "perturb", end_value=0.3)]
        with parallel:
            trainer(model, callbacks=every, parallel=parallel).fit((x, y), epochs=2, batch_size=4)
        ends.append(bits(model))
    model = made()
    trainer(model, parallel=DataParallel()).fit((x, y), epochs=2, batch_size=4)
    assert ends[0] == ends[1] != bits(model)


# ---------------------------------------------------------------------------------------------- weights of a device


def passed(callback, **options):
    """A twin after one step of gradient descent, what its forward pass saw, and the gradients there."""
    x, y = data(6, 30)
    model = made(dtype="float64", trainable=("weights", "J", "tau"), readout="current", pooling="mean", **options)
    before = {name: array.copy() for name, array in model.parameters().items()}
    seen = {}

    class Watch(Callback):
        def on_weights(self, parameters, state, rng):
            seen.update({name: array.copy() for name, array in parameters.items()})

    outputs = Look(lambda state: state.run.outputs.copy())
    t = trainer(
        model, optimizer={"name": "sgd", "lr": 0.5}, loss="cross_entropy", callbacks=[callback, Watch(), outputs]
    )
    t.fit([(x, y)], epochs=1)
    other = copy.deepcopy(model)
    for name, array in other.parameters().items():
        array[...] = seen[name]
    _, gradients, run = loss_and_gradients(other, CrossEntropy(), x, y)
    np.testing.assert_array_equal(outputs.seen[0], run.outputs)  # the forward pass ran on what was seen
    for name, array in model.parameters().items():  # and its gradient moved the exact ones
        np.testing.assert_allclose(array, before[name] - 0.5 * gradients[name], rtol=1e-12, atol=1e-15)
        assert name == "tau" or np.abs(gradients[name]).max() > 0.0
    return before, seen


def test_s0_c3_the_twin_runs_on_levels_and_its_exact_couplings_move():
    """S0.C3: J snapped to its nearest level, weights and decay times as they are."""
    before, seen = passed(cb.QATStraightThrough(0.0, 0.6, bits=2, connections="J"))
    assert set(np.round(seen["J"], 12)) <= {0.0, 0.2, 0.4, 0.6} and len(set(seen["J"])) > 1
    np.testing.assert_array_equal(seen["J"], Levels.bits(2, 0.0, 0.6).round(before["J"]))
    for name in ("weights", "tau"):
        np.testing.assert_array_equal(seen[name], before[name])


@pytest.mark.parametrize("connections", ["J", "weights", ["J", "weights"]])
def test_s0_c6_the_twin_runs_on_noisy_weights(connections):
    """S0.C6: relative noise of 5 % on what was named; its size by chi^2 at a false-alarm rate below 1e-6, with a fixed seed."""
    before, seen = passed(cb.ConnectionNoise(0.05, connections, relative=True))
    for name in before:
        off = (seen[name] - before[name]) / np.abs(before[name]) / 0.05
        if name in ([connections] if isinstance(connections, str) else connections):
            n = off.size
            assert (
                n * np.mean(off**2) < n + 5.5 * np.sqrt(2 * n) + 20
                and np.abs(off).min() > 0.0
                and abs(off.mean()) < 5 / n**0.5
            )
        else:
            assert (off == 0.0).all()


def test_s0_c3_s0_c6_a_quantised_twin_learns_and_is_deployed_on_its_levels():
    """With noise on levels the loss falls; rounded at the end, the network holds levels only, and the twin runs as in training."""
    x = photons(32, steps=40, seed=3, share=0.06)
    y = (x[:, :, 0].sum(axis=1) > x[:, :, 1].sum(axis=1)).astype(np.int64)
    model = students_twin(4, seed=7, spiking=False, scale=5.0)
    levels = Levels.bits(3, -0.7, 0.7)
    every = [cb.QATStraightThrough(levels=levels, connections="J"), cb.ConnectionNoise(0.01, "J")]
    t = trainer(model, optimizer={"name": "adam", "lr": 0.02}, callbacks=every)
    t.fit((x, y), epochs=30, batch_size=16)
    assert t.history[-1]["loss"] < 0.7 * t.history[0]["loss"]
    model.parameters()["J"][...] = levels.round(model.parameters()["J"])
    network = model.deploy()
    assert set(np.round(network.parameters()["J"], 6)) <= {round(each, 6) for each in levels.values}
