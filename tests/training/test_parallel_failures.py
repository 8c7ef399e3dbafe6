"""Data-parallel training when something goes wrong: errors, dead workers, signals, kills, and what is left then."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pytest
from breakable import Breakable, Odd
from test_parallel import bits, trained
from tiny_model import Accuracy, CrossEntropy, Momentum, Tiny, blobs

from soen_event.errors import InputError
from training import callbacks as c
from training import carrier, checkpoint
from training.loop import Diverged, Trainer
from training.parallel import DataParallel, WorkerDied

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def two():
    with DataParallel(workers=2) as parallel:
        yield parallel


def poisoned():
    x, y = blobs(24)
    x[13] = 99.0
    return x, y


def test_errors_in_a_worker_come_through(two):
    for parallel in (DataParallel(), two):
        with pytest.raises(InputError) as told:
            trained(parallel, Breakable("input"), poisoned())
        assert told.value.faults[1] == "Breakable.other: wrong too; mend it" and len(told.value.faults) == 2
        assert "of 4 (DataParallel)" in told.value.__notes__[0]
        with pytest.raises((RuntimeError, Odd), match="this and that") as odd:  # some packages teach pickle to keep it
            trained(parallel, Breakable("odd"), poisoned())
        assert isinstance(odd.value, Odd) or "breakable.py" in str(odd.value)
    assert trained(two) == trained(DataParallel())  # the workers are still there


def test_a_loss_that_is_not_finite_ends_the_run_as_without_workers(two):
    told = []
    for parallel in (DataParallel(), two):
        with pytest.raises(Diverged) as error:
            trained(parallel, Breakable("nan"), poisoned())
        told.append(str(error.value))
    assert told[0] == told[1] and "in epoch 0, batch" in told[0]


def test_s2_27_a_worker_that_dies_leaves_weights_and_checkpoint_and_the_run_can_be_finished(tmp_path):
    calm = trained(DataParallel(), data=poisoned())
    last = tmp_path / "last.h5"
    (tmp_path / "once").write_text("")
    with DataParallel(workers=2) as parallel:

        def trainer(model):
            model.noise = {"s": 0.1}
            keep = c.ModelCheckpoint(tmp_path / "best.h5", "val_loss", last=last, every_steps=1, durable=False)
            return Trainer(
                model, Momentum(0.1), None, [Accuracy()], [keep], loss=CrossEntropy(), seed=3, parallel=parallel,
                progress=False,
            )  # fmt: skip

        x, y = poisoned()
        model = Breakable("exit", str(tmp_path / "once"))
        with pytest.raises(WorkerDied, match=r"exit code 7(.|\n)*the last checkpoint is .*last.h5"):
            trainer(model).fit((x, y), (x[:11], y[:11]), 3, batch_size=8)
        held = checkpoint.load(last)
        assert {name: array.tobytes() for name, array in held["model"].items()} == bits(model)
        again = trainer(Breakable("exit", str(tmp_path / "once")))
        history = again.fit((x, y), (x[:11], y[:11]), 3, batch_size=8, resume=last)
    assert (bits(again.model), history) == calm


def test_a_checkpoint_knows_its_shards_but_not_its_workers(tmp_path, two):
    data = blobs(20)

    def trainer(parallel):
        return Trainer(Tiny(), Momentum(), loss=CrossEntropy(), parallel=parallel, progress=False)

    whole = trainer(DataParallel())
    whole.fit(data, epochs=4)
    half = trainer(two)
    half.fit(data, epochs=2)
    path = half.save(tmp_path / "half.h5")
    for other in (DataParallel(shards=3), None):
        with pytest.raises(InputError, match="was written with shards = 4"):
            trainer(other).fit(data, epochs=4, resume=path)
    rest = trainer(DataParallel())
    rest.fit(data, epochs=4, resume=path)
    assert bits(rest.model) == bits(whole.model)


SCRIPT = """
import sys
import time
sys.path.insert(0, {tests!r})
from pathlib import Path
from breakable import Slow
from tiny_model import Accuracy, CrossEntropy, Momentum, blobs
from training.callbacks import Callback, Interruption, ModelCheckpoint
from training.loop import Trainer
from training.parallel import DataParallel
import numpy as np

class Tell(Callback):
    def on_batch_end(self, state):
        if state.epoch == 0 and state.batch == 1:
            print(*state.trainer.parallel._pool._processes, flush=True)
        if first and state.epoch == 2 and state.batch == 3:  # the signal is late; it has to come before the end
            for _ in range(600):
                if heard and heard[0].requested:
                    break
                time.sleep(0.1)

if __name__ == "__main__":
    folder, workers, polite = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "polite"
    model, last = Slow(), folder / "last.h5"
    first = not last.exists()
    model.noise["s"] = 0.05
    keep = ModelCheckpoint(folder / "best.h5", "val_loss", last=last, every_steps=1, durable=False)
    heard = [Interruption()] if polite else []
    t = Trainer(model, Momentum(0.05), None, [Accuracy()], [Tell(), keep, *heard], loss=CrossEntropy(), progress=False, seed=3,
                parallel=DataParallel(workers=workers))
    data = blobs(24)
    t.fit(data, data, 3, batch_size=7, resume=last if last.exists() else None)
    np.savez(folder / ("stopped.npz" if polite and heard[0].requested else "end.npz"), **model.parameters())
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def gone(pids, within=10.0):
    end = time.monotonic() + within
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_after_an_error_the_processes_end_at_once():
    parallel = DataParallel(workers=2)
    parallel.gradients(Tiny(), CrossEntropy(), *blobs(8), (0,))
    pids = list(parallel._pool._processes)

    def failing():
        with parallel:
            parallel.gradients(Breakable("input"), CrossEntropy(), *poisoned(), (0,))

    with pytest.raises(InputError):
        failing()
    assert gone(pids)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("how", ["kill", "Ctrl-C", "polite Ctrl-C"])
def test_s2_27_no_orphans_and_a_killed_run_with_workers_ends_in_the_same_bits(tmp_path, how):
    """SIGKILL of the parent, a Ctrl-C with and without a callback that hears it; then resumed with another number of workers."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))

    def start(workers):
        return subprocess.Popen(
            [sys.executable, script, tmp_path, str(workers), "polite" if how.startswith("polite") else "plain"],
            env={"PYTHONPATH": str(ROOT), "PATH": ""}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, text=True,
        )  # fmt: skip

    process = start(2)
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2 and all(alive(pid) for pid in pids)
    if how == "kill":
        process.kill()
    else:  # a terminal sends it to all of them
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert gone(pids)
    if how == "polite Ctrl-C":
        assert process.returncode == 0 and not errors and (tmp_path / "stopped.npz").exists()
    elif how == "Ctrl-C":
        assert process.returncode != 0 and errors.rstrip().endswith("KeyboardInterrupt")
    again = start(1)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0 and not errors, errors
    model = Tiny()
    model.noise["s"] = 0.05
    data = blobs(24)
    Trainer(model, Momentum(0.05), loss=CrossEntropy(), progress=False, seed=3, parallel=DataParallel()).fit(
        data, epochs=3, batch_size=7
    )
    with np.load(tmp_path / "end.npz") as end:
        assert {name: end[name].tobytes() for name in end} == bits(model)


# ------------------------------------------------------------------------------------------------ shared memory


def large(parallel, scale):
    """A step whose arrays do not fit into a pipe's buffer; what was sent and what came back."""
    rng = np.random.default_rng(scale)
    x, y = rng.normal(size=(40 * scale, 30, 30)), rng.integers(0, 2, 40 * scale)
    model = Tiny(30, 300)
    value, gradients, run = parallel.gradients(model, CrossEntropy(), x, y, (0, "noise"), keep=("states",))
    return value.value, {name: array.tobytes() for name, array in gradients.items()}, run.states.tobytes()


def shared():
    return set(Path("/dev/shm").glob("psm_*"))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="looks at blocks in /dev/shm")
def test_s2_27_arrays_go_through_shared_memory_that_grows_and_is_given_back():
    before = shared()
    with DataParallel(workers=2) as parallel:
        for scale in (1, 2, 1, 3):
            assert large(parallel, scale) == large(DataParallel(), scale)
        assert 0 < len(shared() - before) <= 4  # two tasks, there and back
    assert not shared() - before


def test_s2_27_without_shared_memory_everything_goes_through_the_pipe(monkeypatch):
    monkeypatch.setattr(carrier, "_made", lambda size: None)
    with DataParallel(workers=2) as parallel:
        assert large(parallel, 1) == large(DataParallel(), 1)
        assert not parallel._carrier._held


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="cannot be reserved here")
def test_a_block_that_does_not_fit_is_none():
    assert carrier._made(2**60) is None


def test_blocks_of_a_task_that_still_runs_are_not_used_again():
    futures, replies = [], []

    class Waiting(Executor):
        def submit(self, carried, work, parcel, reply):
            futures.append(Future())
            replies.append((parcel.block, reply))
            return futures[-1]

    mine = carrier.Carrier()
    mine._need = 10**6
    submit = lambda: mine.submit(Waiting(), None, np.zeros(10**5))  # noqa: E731
    submit().cancel()  # it has not begun
    ticket = submit()
    assert replies[0] == replies[1]
    futures[1].set_running_or_notify_cancel()
    ticket.cancel()
    submit().cancel()
    assert not set(replies[1]) & set(replies[2]) and len(mine._held) == 2
    mine.close()
    assert not mine._held


def test_a_task_that_nobody_waits_for_does_not_write_into_the_next_one():
    """The other shards of a step that failed go on for a while."""
    x, y = blobs(8)
    bad = x.copy()
    bad[0] = 99.0
    with DataParallel(workers=2, shards=2) as parallel:
        loss = CrossEntropy()
        model = Breakable("input", slow=0.3)
        assert large(parallel, 2) == large(DataParallel(shards=2), 2)
        for _ in range(3):
            with pytest.raises(InputError):
                parallel.gradients(model, loss, np.tile(bad, (1, 800, 1)), y, (0,))
            assert large(parallel, 2) == large(DataParallel(shards=2), 2)
