"""S2.29: every part is usable alone, in loops of one's own; and what the loop costs."""

import numpy as np
import pytest
from tiny_model import CrossEntropy, Tiny, blobs

from training.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from training.data import DataLoader, Dataset, split
from training.evaluate import evaluate
from training.gradients import value_and_grad
from training.hooks import STOP, CallbackList
from training.loop import Trainer
from training.metrics import Accuracy
from training.optim import Adam
from training.schedules import Cosine


def test_s2_29_standard_parts_in_a_loop_of_ones_own(tmp_path):
    """The source's second pattern: optimizer, scheduler, metric, callbacks; the loop itself is the user's."""
    parts = split(Dataset(*blobs(60)), 0.2, 0.0)
    model, loss = Tiny(), CrossEntropy()
    optimizer = Adam(lr=0.02)
    optimizer.register_trainable_weights(model.parameters())
    scheduler = Cosine(optimizer, T_max=20, eta_min=1e-4)
    callbacks = CallbackList(
        [
            EarlyStopping(monitor="val_loss", patience=3),
            ModelCheckpoint(tmp_path / "best.h5", monitor="val_loss", mode="min"),
            CSVLogger(tmp_path / "training.csv"),
        ],
        model=model,
        optimizer=optimizer,
    )
    metric, step = Accuracy(), value_and_grad(model, loss, has_aux=True)
    loader, val = DataLoader(parts["train"], 16), DataLoader(parts["val"], 16, shuffle=False)
    losses = []
    callbacks.on_train_begin()
    for epoch in range(20):
        callbacks.on_epoch_begin(epoch)
        metric.reset()
        for x, y in loader:
            (_, run), grads = step(x, y)
            optimizer.update(grads)
            metric.update(run.outputs, y)
        scheduler.step()
        logs = {"accuracy": metric.compute(), "val_loss": evaluate(model, loss, val)["loss"]}
        losses.append(logs["val_loss"])
        if callbacks.on_epoch_end(epoch, logs) is STOP:
            break
    callbacks.on_train_end()
    assert losses[-1] < 0.5 * losses[0]
    assert len((tmp_path / "training.csv").read_text().splitlines()) == len(losses) + 1


def test_s2_29_the_trainer_does_what_a_plain_loop_does():
    x, y = blobs(40)
    model, loss, optimizer = Tiny(), CrossEntropy(), Adam(lr=0.01)
    loader = DataLoader((x, y), 8, seed=5)
    for epoch in range(3):
        for a, b in loader.batches(epoch):
            run = model.forward(a, train=True)
            optimizer.step(model.parameters(), model.backward(run, loss(run, b).outputs))
    other = Tiny()
    Trainer(other, Adam(lr=0.01), loss=loss, seed=5, progress=False).fit((x, y), epochs=3, batch_size=8)
    for name, array in model.parameters().items():
        assert array.tobytes() == other.parameters()[name].tobytes()


def test_s2_06_the_trainer_clips():
    x, y = blobs(16)
    model = Tiny()
    before = {name: array.copy() for name, array in model.parameters().items()}
    from training.optim import SGD

    Trainer(model, SGD(lr=1.0), loss=CrossEntropy(), clip_norm=0.01, progress=False).fit((x, y), batch_size=16)
    moved = np.sqrt(sum(((model.parameters()[n] - before[n]) ** 2).sum() for n in before))
    assert moved == pytest.approx(0.01, rel=1e-3)
    model = Tiny()
    Trainer(model, SGD(lr=1.0), loss=CrossEntropy(), clip_value=0.001, progress=False).fit((x, y), batch_size=16)
    assert max(np.abs(model.parameters()[n] - before[n]).max() for n in before) == pytest.approx(0.001)


def test_the_overhead_of_the_loop_is_measured_and_small():
    """S2.31: what the loop adds to the smallest example's epoch; the goal is 5 %, here a busy machine gets some room."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import training_loop
    finally:
        sys.path.pop(0)
    real, least, whole, _ = training_loop.measured(3)
    assert (whole - least) / real < 0.1
