"""Gradients over workers, with the same bits for any number of them and for none (features.md S2.27, S4.22).

    parallel = DataParallel(workers=2, shards=4)          # processes; or DataParallel(executor), or DataParallel(shards=4)
    Trainer(model, "adam", parallel=parallel).fit(train, val, epochs=20)
    parallel.close()

A batch is cut into a fixed number of shards (:mod:`training.shards`): contiguous samples, in order. Every shard is run forward and
backward on its own, with random numbers of the address (seed, epoch, batch, shard), on one BLAS thread, by a copy of the model that
went through pickle. Gradients, values and parts are weighted by samples and added in float64 along a tree over the shards; outputs are
put together in order. So weights depend on ``shards``, and not on who did which shard when. With ``shards=1`` random numbers and sums
are those of a trainer without DataParallel.

What travels: the model and the loss once a fit; with each step the parameters, what :func:`settings` finds, the loss's state, inputs
and targets. Everything else of the model must stay as it is while a fit goes on, or be told by :meth:`DataParallel.renew`. A forward
pass may change nothing of the model but its settings, which are set anew before each shard.

A loss that is no mean over samples (``Loss.entangled``) is the mean of its values for the shards. These are average_state_magnitude_loss,
spike_count_penalty, branching_loss, local_expansion_loss, rich_margin_loss with consistency or diversity, and autoregressive_loss
where tokens are ignored. Losses of parameters alone (reg_J, gravity_quantization_loss) count once, since a mean of equal
numbers is that number.
"""

from __future__ import annotations

import os
import pickle
import secrets
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from hardware import workers as processes
from soen_event.errors import InputError, nearest
from training import carried, worker
from training.arguments import Faults
from training.carrier import Carrier, Ticket
from training.evaluate import state_of_loss
from training.model import LossValue, Model, Run
from training.objective import FunctionLoss
from training.shards import Node, Sums, cut, nodes, taken, total
from training.worker import Address, Part, Setting, Share, settings

__all__ = ["DataParallel", "ShardedLossWarning", "WorkerDied", "settings"]

_FIELDS = ("outputs", "states", "spikes", "end")


class ShardedLossWarning(UserWarning):
    """A loss over shards is another number than over the batch."""


class WorkerDied(RuntimeError):
    """A worker process is gone; weights are those before the step."""


@dataclass(frozen=True)
class _Bound:
    """What workers were given: it names the objects, so that others are noticed."""

    model: Any
    loss: Any
    token: str
    payload: bytes


class DataParallel:
    """Shares the shards of a batch among workers.

    Args:
        executor: any ``concurrent.futures.Executor``: a pool of processes or threads, or Dask's ``Client.get_executor()``. It is not
            shut down. None: ``workers`` processes of its own, or this one.
        workers: processes to start, 1 to 1024; they are started when first needed, hear no Ctrl-C, and end with this process or by
            :meth:`close`. With an ``executor``: into how many tasks a step is divided; None: as many as shards.
        shards: of a batch, 1 or more. Results depend on it: give it once for a study. A batch of fewer samples has fewer.
        paired: "warn", "refuse" (InputError) or "allow" losses that are no mean over samples.
        method: how processes are started: "spawn" or "forkserver". A script needs ``if __name__ == "__main__":`` for both.

    Raises:
        InputError: with every fault of these arguments.
    """

    def __init__(
        self,
        executor: Executor | Any = None,
        *,
        workers: int | None = None,
        shards: int = 4,
        paired: str = "warn",
        method: str = "spawn",
    ):
        faults = Faults("DataParallel")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            faults.add("executor", f"{type(executor).__name__} has no submit; give a concurrent.futures.Executor")
        self.executor = executor
        self.shards = faults.whole("shards", shards, least=1, most=2**20)
        self.workers = None if workers is None else faults.whole("workers", workers, least=1, most=1024)
        if not faults.found and self.workers is not None and self.workers > self.shards:
            faults.add("workers", f"{self.workers} are more than the {self.shards} shards of a batch; raise shards")
        self.paired = faults.choice("paired", paired, ("warn", "refuse", "allow"))
        self.method = faults.choice("method", method, ("spawn", "forkserver"))
        faults.done()
        self._pool: ProcessPoolExecutor | None = None
        self._carrier = Carrier()
        self._bound: _Bound | None = None
        self._sent = 0  # tasks that took the model along
        self._told: set[str] = set()
        self._tried: Any = None  # loss whose functions were
        self._threads: Any = None

    def __repr__(self) -> str:
        who = "this process" if self.workers is None else f"{self.workers} workers"
        who = who if self.executor is None else type(self.executor).__name__
        return f"<DataParallel: {self.shards} shards, {who}>"

    def __enter__(self) -> DataParallel:
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self.close()
        else:
            self.abort()

    # ---- what a trainer asks for

    def gradients(
        self,
        model: Model,
        loss: Callable[..., LossValue],
        inputs: np.ndarray,
        targets: Any,
        address: Address,
        *,
        timings: dict[str, float] | None = None,
        keep: Iterable[str] = (),
    ) -> tuple[LossValue, dict[str, np.ndarray], Run]:
        """Loss, gradients and run of a batch, as :func:`training.gradients.loss_and_gradients` gives them.

        Args:
            model, loss: what is trained, by what. They are left as they are.
            inputs: (B, T, n_in).
            targets: what the loss wants; arrays with B samples first.
            address: of random numbers, see :func:`training.address.stream`; the shard's number is added.
            timings: the seconds that this takes are added, divided as they are in the shards.
            keep: "states", "spikes", "end": what the run has beside outputs.

        Returns:
            the weighted mean of the shards' losses and its parts; gradients in the parameters' dtypes; the run, without a tape.

        Raises:
            InputError: what model and loss raise, or a loss that is refused here, or a model that cannot be pickled.
            WorkerDied: a process ended.
        """
        start = perf_counter()
        self.judge(loss, targets)
        bounds = cut(len(inputs), self.shards)
        kept = tuple(dict.fromkeys(("outputs", *keep)))
        if not set(kept) <= set(_FIELDS):
            raise InputError(
                f"DataParallel.keep: {kept} has what no run sends{nearest(kept[-1], _FIELDS)}; name states, spikes or end"
            )
        setting = self._setting(model, loss)
        held = setting.settings.get("initial_state")
        starts = [carried.cut(held, low, high, len(inputs)) for low, high in bounds]
        if all(each is held for each in starts):  # what all examples share goes with the settings
            starts = []
        else:
            del setting.settings["initial_state"]
        parts = [
            self._part(inputs, targets, bounds, starts, chunk, tuple(address), kept)
            for chunk in cut(len(bounds), self._tasks(len(bounds)))
        ]
        shares: list[Share] = []
        with self._limited():
            for share in self._done(worker.backward, setting, [(part,) for part in parts]):
                shares.append(share)
        known = {node: sums for share in shares for node, sums in share.sums.items()}
        sums = total((0, len(bounds)), lambda k: known[(k, k + 1)], known, Sums.add)
        runs = [run for share in shares for run in share.runs]
        run = Run(inputs=inputs, **{name: _joined(runs, name) for name in _FIELDS})
        if len(bounds) > 1:
            self._judge_function(loss, run.outputs, targets, bounds)
        if timings is not None:
            share_of = (perf_counter() - start) / (sum(sums.seconds.values()) or 1.0)
            for phase, seconds in sums.seconds.items():
                timings[phase] = timings.get(phase, 0.0) + seconds * share_of
        n = sums.samples or 1
        value = LossValue(sums.value / n, parts={name: part / n for name, part in sums.parts.items()})
        own = model.parameters()
        found = {name: np.asarray(each / n, dtype=own[name].dtype) for name, each in sums.gradients.items()}
        return value, found, run

    def forward(
        self, model: Model, loss: Any, batches: Iterable[tuple[np.ndarray, Any, Address]], judge: bool = True
    ) -> Iterator[tuple[LossValue | None, np.ndarray]]:
        """Loss (if ``judge``) and outputs of each batch, in their order: a batch is not cut, but several are done at once.

        Args:
            model, loss: which, and by what; left as they are.
            batches: (inputs, targets, address of random numbers).
            judge: whether the loss is wanted.

        Raises:
            InputError, WorkerDied: as for :meth:`gradients`.
        """
        setting = self._setting(model, loss)
        jobs = ((np.ascontiguousarray(x), y if judge else None, tuple(at), judge) for x, y, at in batches)
        with self._limited():
            yield from self._done(worker.forward, setting, jobs)

    def judge(self, loss: Any, targets: Any = None) -> None:
        """Warn once of a loss that is no mean over samples, or refuse it, as ``paired`` says; see ``Loss.entangled``."""
        asked = getattr(loss, "entangled", None)
        if self.shards > 1 and self.paired != "allow" and callable(asked):
            reason = asked(targets)
            if reason is not None:
                self._tell(f"{getattr(loss, 'name', type(loss).__name__)}: {reason}")

    def renew(self) -> None:
        """Send model and loss anew with the next step: for changes beside parameters, :func:`settings` and the loss's state."""
        if self._bound is not None:
            worker.forget(self._bound.token)
        self._bound, self._sent, self._threads = None, 0, None

    def close(self) -> None:
        """End the processes of its own when they have done what they do; the next step starts new ones."""
        self._end(ProcessPoolExecutor.shutdown)

    def abort(self) -> None:
        """End the processes of its own at once."""
        self._end(processes.stop)

    # ---- how it is done

    def _end(self, stop: Callable[[ProcessPoolExecutor], Any]) -> None:
        self.renew()
        pool, self._pool = self._pool, None
        if pool is not None:
            stop(pool)
        self._carrier.close()
        self._carrier = Carrier()  # what is still on its way belongs to the old one

    def _tasks(self, most: int) -> int:
        if self.workers is None:
            return 1 if self.executor is None else most
        return min(self.workers, most)

    def _part(
        self,
        x: np.ndarray,
        y: Any,
        bounds: list[Node],
        starts: list[Any],
        chunk: Node,
        address: Address,
        keep: tuple[str, ...],
    ) -> Part:
        shards = [
            (k, np.ascontiguousarray(x[low:high]), taken(y, low, high, len(x)))
            for k, (low, high) in enumerate(bounds[chunk[0] : chunk[1]], chunk[0])
        ]
        inside = list(nodes((0, len(bounds)), chunk))
        return Part(shards, inside, len(bounds), address, self.shards > 1, keep, starts[chunk[0] : chunk[1]])

    def _setting(self, model: Any, loss: Any) -> Setting:
        """What goes with every task now; the model itself is packed when it or the loss is another one."""
        bound = self._bound
        if bound is None or bound.model is not model or bound.loss is not loss:
            self.renew()
            try:
                payload = pickle.dumps((model, loss), protocol=pickle.HIGHEST_PROTOCOL)
            except Exception as trouble:
                raise InputError(
                    f"DataParallel.model: {type(model).__name__} and {type(loss).__name__} cannot be sent to a worker "
                    f"({type(trouble).__name__}: {trouble}); define what they are made of at the top of a module"
                ) from None
            bound = self._bound = _Bound(model, loss, secrets.token_hex(8), payload)
        return Setting(bound.token, None, os.getpid(), dict(model.parameters()), settings(model), state_of_loss(loss))

    def _done(self, work: Callable[..., Any], setting: Setting, jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Results in the order of jobs; no more jobs are handed out ahead than workers can take soon."""
        bound = self._bound
        assert bound is not None
        if self.executor is None and self.workers is None:
            for job in jobs:
                yield self._here(work, setting, job, bound.payload)
            return
        ahead = 2 * (self.workers or self.shards)
        waiting: deque[tuple[Future[Any] | Ticket, tuple[Any, ...]]] = deque()
        whole = replace(setting, payload=bound.payload)
        try:
            submit = self._submit()
            for job in jobs:
                first = self._sent < (self.workers or self.shards)
                self._sent += first
                waiting.append((submit(work, whole if first else setting, *job), job))
                if len(waiting) >= ahead:
                    yield self._result(work, whole, *waiting.popleft())
            while waiting:
                yield self._result(work, whole, *waiting.popleft())
        except (BrokenExecutor, CancelledError) as trouble:
            codes = self._codes()
            self.abort()
            raise WorkerDied(
                f"DataParallel: a worker ended ({type(trouble).__name__}{codes}); the weights are those before this step. "
                "Look for too little memory, for a kill, or for a script without if __name__ == '__main__'"
            ) from trouble
        except BaseException as error:
            if not isinstance(error, Exception | GeneratorExit):  # Ctrl-C
                self.abort()
            raise
        finally:
            for future, _ in waiting:
                future.cancel()

    def _here(self, work: Callable[..., Any], setting: Setting, job: tuple[Any, ...], payload: bytes) -> Any:
        found = work(setting, *job)
        return work(replace(setting, payload=payload), *job) if found is None else found

    def _result(
        self, work: Callable[..., Any], whole: Setting, future: Future[Any] | Ticket, job: tuple[Any, ...]
    ) -> Any:
        found = future.result()
        while found is None:  # a worker that has not seen the model
            found = self._submit()(work, whole, *job).result()
        return found

    def _submit(self) -> Callable[..., Future[Any] | Ticket]:
        """What hands out a task: to the executor, or through shared memory to processes of its own."""
        if self.executor is not None:
            submit: Callable[..., Future[Any]] = self.executor.submit
            return submit
        if self._pool is None:
            assert self.workers is not None
            self._pool, self._sent = processes.start(self.workers, worker.begin, (), self.method), 0
        return partial(self._carrier.submit, self._pool)

    def _codes(self) -> str:
        """The exit code of the first process of its own that is gone."""
        codes = processes.exit_codes(self._pool) if self._pool is not None else []
        return f", exit code {codes[0]}" if codes else ""

    def _limited(self) -> AbstractContextManager[Any]:
        """One BLAS thread in this process too, where it does the work: sums of several threads have other bits."""
        if isinstance(self.executor or self._pool, ProcessPoolExecutor) or (self.executor is None and self.workers):
            return nullcontext()
        if self._threads is None:
            from threadpoolctl import ThreadpoolController

            self._threads = ThreadpoolController()
        limited: AbstractContextManager[Any] = self._threads.limit(limits=1)
        return limited

    def _judge_function(self, loss: Any, outputs: np.ndarray, targets: Any, bounds: list[Node]) -> None:
        """Whether functions that stand for losses are means over samples, tried on the first batch."""
        if self.paired == "allow" or self._tried is loss:
            return
        self._tried = loss
        parts = getattr(loss, "losses", None)
        for each in parts.values() if isinstance(parts, Mapping) else [loss]:
            if isinstance(each, FunctionLoss):
                n = len(outputs)
                shares = [
                    (high - low) / n * each.number(outputs[low:high], taken(targets, low, high, n))
                    for low, high in bounds
                ]
                whole = each.number(outputs, targets)
                if not np.isclose(sum(shares), whole, rtol=1e-4, atol=1e-9, equal_nan=True):
                    self._tell(f"{each.name}: for the first batch it is {whole:g}, over shards {sum(shares):g}")

    def _tell(self, reason: str) -> None:
        if reason in self._told:
            return
        text = f"DataParallel.paired: {reason}; over shards the loss is the mean of its values for {self.shards} shards"
        if self.paired == "refuse":
            raise InputError(f"{text}. Leave it out, give shards=1, or paired='warn'")
        self._told.add(reason)
        warnings.warn(text, ShardedLossWarning, stacklevel=4)


def _joined(runs: list[dict[str, Any]], name: str) -> Any:
    found = [run[name] for run in runs if name in run]
    return carried.joined(found) if found else None
