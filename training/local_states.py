"""The state of a local trainer for a checkpoint: its chip in the middle of learning, rates, metrics, position."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError
from soen_event.network import Network
from soen_event.simulate import Simulation
from training import stored
from training.evaluate import state_of_loss
from training.local_reports import UpdateMetrics

if TYPE_CHECKING:
    from training.local import LocalTrainer

__all__ = ["restore", "state_of"]


def state_of(trainer: LocalTrainer) -> dict[str, Any]:
    """Of a trainer between two samples, as a tree of plain data and arrays."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chip.h5"
        trainer.simulation.checkpoint(file)
        chip = np.frombuffer(file.read_bytes(), dtype=np.uint8)
    return {
        "kind": "local trainer",
        "position": {
            "epoch": trainer.epoch, "sample": trainer._sample, "step": trainer.step, "first": trainer._first, "epochs": trainer._epochs,
            "start_fs": trainer.chip.start_fs,
        },
        "run": trainer._signature,
        "chip": chip,
        "lr": trainer.optimizer.get_lr(),
        "set_rates": dict(trainer._set_rates),
        "rates": {name: [each.state_dict() for each in several] for name, several in trainer.rates.items()},
        "signals": trainer.signals.state_dict(),
        "loss": state_of_loss(trainer.loss) if trainer.loss is not None else {},
        "metrics": {name: stored.state_of(metric) for name, metric in trainer.metrics.items()},
        "sums": dict(trainer._sums),
        "reports": {name: [report.as_dict() for report in several] for name, several in trainer._of_epoch.items()},
        "callbacks": trainer.callbacks.state_dict(),
        "history": trainer.history,
    }  # fmt: skip


def restore(trainer: LocalTrainer, tree: Mapping[str, Any], path: str, same_run: bool = True) -> Mapping[str, Any]:
    """Put back all but the callbacks, whose state is returned. ``same_run``: it has to be the run that the trainer is to finish.

    Raises InputError: a tree of something else, or of another run.
    """
    if tree.get("kind") != "local trainer":
        raise InputError(f"{path}: holds no run of a LocalTrainer (but {tree.get('kind')!r}); give a checkpoint of one")
    other = [
        f"{path}: was written with {name} = {tree['run'].get(name)!r}, this run has {value!r}; give the same to finish it"
        for name, value in trainer._signature.items()
        if same_run and tree["run"].get(name) != value
    ]
    if set(tree["metrics"]) != set(trainer.metrics):
        other.append(
            f"{path}: was written with metrics {sorted(tree['metrics'])}, this run has {sorted(trainer.metrics)}"
        )
    kinds = {name: len(several) for name, several in tree["rates"].items()}
    if kinds != {name: len(several) for name, several in trainer.rates.items()}:
        other.append(f"{path}: was written with wrappers of rates {kinds}; give the same")
    if other:
        raise InputError(other)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chip.h5"
        file.write_bytes(np.asarray(tree["chip"], dtype=np.uint8).tobytes())
        network = None if isinstance(trainer.simulation.network, Network) else trainer.simulation.network
        run = Simulation.restore(
            file, learning=trainer.rules, engine=trainer._engine_name, threads=trainer._threads, network=network
        )
    run.withdraw()
    trainer.chip.put(run, int(tree["position"]["start_fs"]))
    trainer.optimizer.set_lr(tree["lr"])
    trainer._set_rates = {name: float(rate) for name, rate in tree["set_rates"].items()}
    for name, several in tree["rates"].items():
        for each, state in zip(trainer.rates[name], several, strict=True):
            each.load_state_dict(state)
    trainer.signals.load_state_dict(tree["signals"])
    if trainer.loss is not None:
        stored.put_state(trainer.loss, tree["loss"])
    for name, held in tree["metrics"].items():
        stored.put_state(trainer.metrics[name], held)
    place = tree["position"]
    trainer.epoch, trainer._sample, trainer.step = place["epoch"], place["sample"], place["step"]
    trainer._first, trainer._epochs = place["first"], place["epochs"]
    trainer._sums, trainer.history = dict(tree["sums"]), list(tree["history"])
    trainer._of_epoch = {name: [UpdateMetrics(**each) for each in several] for name, several in tree["reports"].items()}
    trainer._before = None
    callbacks: Mapping[str, Any] = tree["callbacks"]
    return callbacks
