"""Data-parallel gradients: the same bits for any number of workers, and what happens when one fails."""

import os
import threading
import time
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from breakable import Counting, Lost, Told, Writer
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits
from tiny_model import Accuracy, CrossEntropy, Momentum, Tiny, blobs

import soen_event as se
from soen_event.errors import InputError
from training import callbacks as c
from training import config as configuration
from training import experiment
from training.gradients import loss_and_gradients
from training.loop import Trainer
from training.losses import Sum
from training.parallel import DataParallel
from training.shards import Sums, cut, nodes, taken, total
from training.twin import Twin

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def two():
    with DataParallel(workers=2) as parallel:
        yield parallel


@pytest.fixture(scope="module")
def four():
    with DataParallel(workers=4) as parallel:
        yield parallel


def bits(model):
    return {name: array.tobytes() for name, array in model.parameters().items()}


def trained(parallel, model=None, data=None, epochs=3, size=8, loss=None, callbacks=(), noise=0.1, **options):
    model = Tiny() if model is None else model
    model.noise = {"s": noise}
    x, y = data or blobs(50)
    trainer = Trainer(
        model, Momentum(0.1), None, [Accuracy()], callbacks, loss=loss or CrossEntropy(), seed=3, parallel=parallel,
        progress=False, **options,
    )  # fmt: skip
    history = trainer.fit((x, y), (x[:11], y[:11]), epochs, batch_size=size)
    return bits(model), history


class InThreads(Executor):
    """Each task in a thread of its own, which has never seen a model; they end in an order drawn from a seed."""

    def __init__(self, seed=0):
        self.rng, self.held, self.count = np.random.default_rng(seed), [], 0

    def submit(self, function, *arguments):
        future = Future()
        self.count += 1
        delay = float(self.rng.uniform(0.0, 2e-3))

        def work():
            time.sleep(delay)
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work).start()
        return future


# ------------------------------------------------------------------------------------------------ shards


@given(count=st.integers(1, 500), parts=st.integers(1, 40))
def test_s2_27_a_cut_is_even_and_in_order(count, parts):
    ends = cut(count, parts)
    assert ends[0][0] == 0 and ends[-1][1] == count
    assert all(one[1] == other[0] for one, other in pairwise(ends))
    sizes = [high - low for low, high in ends]
    assert len(sizes) == min(count, parts) and sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[-1] <= 1


@given(
    values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=33),
    workers=st.integers(1, 9),
    order=st.randoms(use_true_random=False),
)
def test_s2_27_a_sum_over_shards_does_not_depend_on_who_adds_what(values, workers, order):
    tree = (0, len(values))
    add = lambda a, b: a + b  # noqa: E731
    alone = total(tree, values.__getitem__, {}, add)
    parts = [(part, node) for part in cut(len(values), workers) for node in nodes(tree, part)]
    order.shuffle(parts)
    known = {node: total(node, values.__getitem__, {}, add) for _, node in parts}
    assert sorted(k for node in known for k in range(*node)) == list(range(len(values)))
    assert total(tree, lambda k: pytest.fail("a shard was forgotten"), known, add) == alone
    assert alone == pytest.approx(sum(values), rel=1e-9, abs=1e-5)


def test_s2_27_the_order_of_a_sum_is_that_of_its_tree():
    text = total((0, 7), str, {}, lambda a, b: f"({a}+{b})")
    assert text == "(((0+1)+(2+3))+((4+5)+6))"
    assert list(nodes((0, 7), (1, 7))) == [(1, 2), (2, 4), (4, 7)]


def test_targets_are_cut_like_inputs():
    y = np.arange(6)
    assert taken(None, 0, 2, 6) is None
    assert taken({"a": y, "b": (y, y + 1)}, 2, 4, 6)["b"][1].tolist() == [3, 4]
    assert taken([0, 1, 2], 1, 3, 3).tolist() == [1, 2]
    with pytest.raises(InputError, match=r"targets\.a: there are 6 for 7 inputs"):
        taken({"a": y}, 0, 2, 7)
    with pytest.raises(InputError, match="cannot be cut"):
        taken(object(), 0, 2, 7)


# ------------------------------------------------------------------------------------------------ bits


@pytest.mark.parametrize("size", [8, 16, 3], ids=["last batch of 2", "of 16", "fewer samples than shards"])
def test_s2_27_s4_22_weights_are_bit_identical_for_none_1_2_and_4_workers(size, two, four):
    """With noise, momentum and an uneven last batch; the noise is that of the shard, whoever runs it."""
    alone, history = trained(DataParallel(), size=size)
    with DataParallel(workers=1) as one:
        for parallel in (one, two, four):
            weights, told = trained(parallel, size=size)
            assert weights == alone and told == history
    assert trained(DataParallel(shards=2), size=size)[0] != alone
    assert trained(None, size=size)[0] != alone
    assert history[-1]["loss"] < history[0]["loss"]


def test_s2_27_one_shard_is_no_shards(two):
    assert trained(DataParallel(shards=1), size=7) == trained(None, size=7)
    with DataParallel(workers=1, shards=1) as one:
        assert trained(one, size=7) == trained(None, size=7)


def spiking(dtype, seed=0):
    rng = np.random.default_rng(seed)
    with se.Network() as net:
        for k in range(4):
            se.Dendrite(f"d{k}", ib=1.75, beta_over_2pi=300, tau=60.0)
            se.Synapse(f"s{k}", f"d{k}", weight=float(rng.uniform(0.4, 0.9)))
        for k in range(2):
            soma = se.Soma(threshold=0.1, tau=40.0, beta_over_2pi=300, after_spike="purge")
            se.Neuron(f"n{k}", soma=soma, refractory=None)
            for d in range(4):
                se.Coupling(f"d{d}", f"n{k}", J=float(rng.uniform(0.1, 0.5)))
    return Twin(net, outputs=["n0", "n1"], trainable=("weights", "J", "tau"), scale=20.0, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_s2_27_a_twin_ends_in_the_same_bits(dtype, two):
    """In processes, and in threads of which each has a copy."""
    rng = np.random.default_rng(1)
    x = (rng.uniform(size=(22, 40, 4)) < np.array([0.02, 0.02, 0.1, 0.1])).astype(float)
    y = np.arange(22) % 2
    x[y == 1] = x[y == 1][:, :, ::-1]

    def run(parallel):
        twin = spiking(dtype)
        before = bits(twin)
        trainer = Trainer(twin, "adam", loss="cross_entropy", seed=1, parallel=parallel, progress=False, clip_norm=1.0)
        trainer.fit((x, y), (x, y), 3, batch_size=9)
        assert all(bits(twin)[name] != held for name, held in before.items())
        return bits(twin), trainer.history, trainer.predict(x, batch_size=5).tobytes()

    alone = run(DataParallel())
    with ThreadPoolExecutor(4) as threads:
        assert run(DataParallel(threads)) == alone
    if dtype == "float32":
        assert run(two) == alone


@settings(max_examples=60)
@given(count=st.integers(1, 30), shards=st.integers(1, 12), seed=st.integers(0, 1000))
def test_s2_27_the_gradient_over_shards_is_that_of_the_batch(count, shards, seed):
    """To 1e-12; the order in which shards end does not matter."""
    x, y = blobs(count, seed=seed)
    model, loss = Tiny(seed=seed), CrossEntropy()
    value, gradients, run = loss_and_gradients(model, loss, x, y)
    found, mean, whole = DataParallel(shards=shards).gradients(model, loss, x, y, (seed, "noise"))
    assert found.value == pytest.approx(value.value, rel=1e-12)
    for name, gradient in gradients.items():
        assert np.abs(mean[name] - gradient).max() <= 1e-12 * np.abs(gradient).max()
    assert np.allclose(whole.outputs, run.outputs, rtol=1e-13, atol=1e-15) and whole.states is None


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), tasks=st.integers(1, 5))
def test_s2_27_bits_do_not_depend_on_the_order_in_which_shards_end(seed, tasks):
    """Every task runs in a thread that has not seen the model, so it is sent once more where it was left out."""
    x, y = blobs(13, seed=1)
    model, loss = Tiny(), CrossEntropy()
    model.noise["s"] = 0.2
    executor = InThreads(seed)
    late = DataParallel(executor, workers=tasks, shards=5)
    for step in range(2):
        one = DataParallel(shards=5).gradients(model, loss, x, y, (0, "noise", step))
        other = late.gradients(model, loss, x, y, (0, "noise", step))
        assert one[0].value == other[0].value
        assert {k: v.tobytes() for k, v in one[1].items()} == {k: v.tobytes() for k, v in other[1].items()}
        assert one[2].outputs.tobytes() == other[2].outputs.tobytes()
    assert executor.count == 3 * tasks  # the second step's tasks come back once


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_s2_27_any_executor_will_do_and_is_left_open(kind):
    import multiprocessing

    options = {} if kind is ThreadPoolExecutor else {"mp_context": multiprocessing.get_context("spawn")}
    with kind(2, **options) as executor:
        parallel = DataParallel(executor)
        assert trained(parallel) == trained(DataParallel())
        parallel.close()
        assert executor.submit(int, "3").result() == 3


def test_s2_27_dask():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert trained(DataParallel(client.get_executor())) == trained(DataParallel())


def test_a_model_that_writes_its_arrays_anew_is_copied():
    with ThreadPoolExecutor(1) as executor:
        expected = trained(DataParallel(), Tiny())
        assert trained(DataParallel(), Writer()) == expected
        assert trained(DataParallel(executor, workers=1), Writer()) == expected


def test_accumulation_clipping_and_sam_take_the_same_way(two):
    for options in ({"accumulate": 3, "clip_norm": 0.5}, {"clip_value": 0.01}):
        assert trained(two, **options) == trained(DataParallel(), **options)

    def sharp(parallel):
        model = Tiny()
        Trainer(model, "sam", loss=CrossEntropy(), seed=1, parallel=parallel, progress=False).fit(blobs(20), epochs=2)
        return bits(model)

    assert sharp(two) == sharp(DataParallel())


# ------------------------------------------------------------------------------------------------ what travels


def changing():
    return [
        c.NoiseAnnealing("s", "noise", 0.3, 0.01),
        c.TimePoolingScaleScheduler(1.0, 2.0, per_step=True),
        c.TargetSeqLenScheduler(3, 6, scale_dt=True),
        c.StatefulTraining("random"),
        c.ConnectionNoise(0.05),
        c.QATStraightThrough(-2.0, 2.0, bits=5, connections=["W*"], stochastic_rounding=True),
        c.StateTrajectoryLogger(),
        c.LossWeightScheduler("size", start=1e-3, end=1e-1, per_step=True),
    ]


@pytest.mark.parametrize("which", [*range(8), "all"])
def test_s2_27_what_callbacks_change_travels(which, two):
    """Noise, pooling, dt, carried state, weights of this pass and weights of losses reach the workers at once."""
    every = changing()
    chosen = changing() if which == "all" else [every[which]]
    again = changing() if which == "all" else [changing()[which]]
    loss = lambda: Sum({"cross_entropy": 1.0, "size": {"name": "reg_J", "parameters": "W*", "weight": 1e-3}})  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        here = trained(DataParallel(), loss=loss(), callbacks=chosen)
        assert trained(two, loss=loss(), callbacks=again) == here
    assert here[0] != trained(DataParallel(), loss=loss())[0] or which == 6


def test_settings_of_a_model_travel_and_the_model_itself_goes_once():
    class Louder(c.Callback):
        def on_batch_begin(self, state):
            state.model.gain = 1.0 + 0.1 * state.batch

    with ThreadPoolExecutor(1) as executor:
        parallel = DataParallel(executor)
        Told.copies = 0
        louder = trained(parallel, Told(), callbacks=[Louder()])
        assert Told.copies == 1
        assert louder == trained(DataParallel(), Told(), callbacks=[Louder()])
        assert louder != trained(DataParallel(), Told())
        plain, model, loss = Tiny(), Told(), CrossEntropy()
        plain.leak = model.leak = 0.9
        x, y = blobs(8)
        first = parallel.gradients(model, loss, x, y, (0,))[0].value
        model.leak = 0.1  # nothing that travels
        assert parallel.gradients(model, loss, x, y, (0,))[0].value == first
        parallel.renew()
        assert parallel.gradients(model, loss, x, y, (0,))[0].value != first


def test_blas_has_one_thread_wherever_a_shard_runs(two):
    x, y = blobs(8)
    with threadpool_limits(2):
        for parallel in (DataParallel(), two, DataParallel(InThreads())):
            assert (parallel.gradients(Counting(), CrossEntropy(), x, y, (0,))[2].outputs == 1).all()
            model, loss = Counting(), CrossEntropy()
            assert all((seen == 1).all() for _, seen in parallel.forward(model, loss, [(x, y, (0,))]))
        if os.cpu_count() > 1:
            assert max(each["num_threads"] for each in threadpool_info()) == 2  # as before


def test_the_model_of_the_trainer_is_left_alone():
    model = Tiny()
    trained(DataParallel(), model)
    assert model.forwards == model.backwards == 0


def test_what_cannot_travel_is_refused(two):
    with pytest.raises(
        InputError, match=r"DataParallel\.model: it cannot be made again in a worker \(RuntimeError: lost"
    ):
        trained(two, Lost())
    with pytest.raises(InputError, match=r"DataParallel\.keep: .*did you mean 'states'"):
        DataParallel().gradients(Tiny(), CrossEntropy(), *blobs(4), (0,), keep=["state"])
    model = Tiny()
    model.hook = lambda: None
    with pytest.raises(InputError, match=r"DataParallel\.model: Tiny and CrossEntropy cannot be sent to a worker"):
        trained(two, model)


# ------------------------------------------------------------------------------------------------ looking


def test_evaluation_is_that_without_workers(two):
    """A batch is not cut when it is only looked at, so losses that pair samples keep their meaning; nothing changes."""
    x, y = blobs(60)
    found = []
    for parallel in (None, DataParallel(), two):
        model = Tiny(seed=3)
        loss = Sum({"cross_entropy": 1.0, "rich_margin_loss": 0.1})
        if parallel is not None:
            parallel.paired = "allow"
        trainer = Trainer(model, Momentum(), None, ["accuracy"], loss=loss, parallel=parallel, progress=False)
        before = bits(model)
        found.append((trainer.validate((x, y), batch_size=7), trainer.predict(x, batch_size=9).tobytes()))
        assert bits(model) == before
    assert found[0] == found[1] == found[2]
    assert set(found[0][0]) == {"loss", "loss/cross_entropy", "loss/rich_margin_loss", "accuracy"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shards": 0}, "shards: 0 is out of range"),
        ({"workers": 0}, "workers: 0 is out of range"),
        ({"workers": 5}, "workers: 5 are more than the 4 shards of a batch; raise shards"),
        ({"executor": 3}, "executor: int has no submit"),
        ({"paired": "warm"}, "paired: 'warm' is unknown .did you mean 'warn'"),
        ({"method": "fork"}, "method: 'fork' is unknown"),
    ],
)
def test_what_is_refused(options, told):
    with pytest.raises(InputError, match=told):
        DataParallel(**options)
    with pytest.raises(InputError, match=r"Trainer\.parallel: 2 shares no work"):
        Trainer(Tiny(), Momentum(), loss=CrossEntropy(), parallel=2)


def test_forkserver_and_a_pool_that_was_closed():
    with DataParallel(workers=2, method="forkserver") as parallel:
        assert trained(parallel) == trained(DataParallel())
        parallel.close()
        assert trained(parallel) == trained(DataParallel())


# ------------------------------------------------------------------------------------------------ configurations

TEXT = """\
name: trial
seed: 1
training: {batch_size: 7, max_epochs: 2, num_repeats: 2, optimizer: {name: adam, lr: 0.02}, SHARE}
data: {source: synthetic, options: {examples: 40, steps: 5, inputs: 3, classes: 2}}
model: {network: {builder: layers, sizes: [3, 2]}}
logging: {folder: FOLDER, progress: false, durable: false}
"""


def outcome(tmp_path, share):
    path = tmp_path / "config.yaml"
    path.write_text(TEXT.replace("FOLDER", str(tmp_path / str(hash(share)))).replace("SHARE", share))
    found = experiment.run(configuration.load(path), lambda config, splits: Tiny(3, 5, 2, seed=3))
    return [(bits(one.model), one.history, one.test) for one in found]


def test_s1_0_a_configuration_names_workers_and_shards(tmp_path):
    alone = outcome(tmp_path, "shards: 4")
    assert outcome(tmp_path, "workers: 2") == alone and len(alone) == 2
    assert outcome(tmp_path, "workers: 1, shards: 4") == alone
    assert outcome(tmp_path, "shards: 3") != alone
    with pytest.raises(InputError) as told:
        outcome(tmp_path, "workers: 3, shards: 2, max_epoch: 1")
    assert "unknown key (did you mean 'max_epochs'?)" in str(told.value)
    with pytest.raises(InputError, match=r"training: DataParallel\.workers: 3 are more than the 2 shards"):
        outcome(tmp_path, "workers: 3, shards: 2")


def test_sums_of_shards_that_have_other_parts():
    one = Sums.of(2, 1.0, {"a": 1.0}, {"w": np.ones(2, np.float32)}, {})
    both = one.add(Sums.of(1, 4.0, {"b": 3.0}, {"w": np.ones(2), "v": np.ones(1)}, {}))
    assert (both.samples, both.value, both.parts) == (3, 6.0, {"a": 2.0, "b": 3.0})
    assert both.gradients["w"].dtype == np.float64 and both.gradients["w"].tolist() == [3.0, 3.0]
