"""The loops of the source documents, written as they are there (features.md S1.15, S2.09, S2.23-S2.25, S2.29, S0.18)."""

import csv
import json

import numpy as np
import pytest
from tiny_model import Tiny, blobs

from soen_event.errors import InputError
from training import BasicTrainingLoop, grad, init_all_states, run_network, value_and_grad
from training import config as configuration
from training.callbacks import CallbackList, CSVLogger, EarlyStopping, JSONLogger, ModelCheckpoint
from training.data import DataLoader
from training.evaluate import evaluate
from training.hooks import STOP
from training.losses import CrossEntropy, softmax_cross_entropy_with_integer_labels
from training.metrics import Accuracy, LossTracker
from training.optim import SGD, Adam
from training.schedules import Cosine, CosineAnnealingLR


def test_s2_25_four_metrics_of_two_kinds_and_two_callbacks(tmp_path):
    """S2.25, S2.15, S2.20: loss and accuracy of training and of validation side by side; ``val_acc`` is ``val_accuracy``."""
    train, val = blobs(40), blobs(21, seed=3)
    optimizer = Adam(learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8)
    scheduler = CosineAnnealingLR(optimizer=optimizer, T_max=100, eta_min=1e-6)
    train_loss, train_acc, val_loss, val_acc = LossTracker(), Accuracy(), LossTracker(), Accuracy()
    checkpoint = ModelCheckpoint(filepath=tmp_path / "checkpoints/best.h5", monitor="val_acc", mode="max")
    loop = BasicTrainingLoop(
        model=Tiny(),
        optimizer=optimizer,
        scheduler=scheduler,
        metrics=[train_loss, train_acc, val_loss, val_acc],
        callbacks=[EarlyStopping(monitor="val_loss", patience=10, mode="min"), checkpoint],
        loss=CrossEntropy(),
        progress=False,
    )
    history = loop.fit(train_data=DataLoader(train, 16), val_data=DataLoader(val, 16, shuffle=False), epochs=6)
    last = history[-1]
    assert last["loss"] < history[0]["loss"]
    assert train_loss.compute() == pytest.approx(last["loss"], rel=1e-12) == last["loss_tracker"]
    assert val_loss.compute() == pytest.approx(last["val_loss"], rel=1e-12) == last["val_loss_tracker"]
    assert (train_acc.compute(), val_acc.compute()) == (last["accuracy"], last["val_accuracy"])
    assert (train_loss.stats()["count"], val_loss.stats()["count"]) == (40, 21)
    # A new validation looks, and fills nobody.
    loop.validate(train)
    assert val_acc.compute() == last["val_accuracy"] and val_loss.stats()["count"] == 21
    best = max(range(6), key=lambda k: history[k]["val_accuracy"])
    other = BasicTrainingLoop(Tiny(seed=9), Adam(), loss=CrossEntropy(), metrics=["accuracy"], progress=False)
    other.load_weights(checkpoint.best_path)
    assert other.validate(val)["accuracy"] == history[best]["val_accuracy"]


def test_s2_25_callbacks_are_added_to_a_loop(tmp_path):
    """S2.25: model and optimizer alone, then ``add_callback``."""
    loop = BasicTrainingLoop(Tiny(), Adam(lr=0.01), progress=False)
    loop.add_callback(EarlyStopping(patience=10))
    loop.add_callback(ModelCheckpoint(tmp_path / "best_model.h5"))
    history = loop.fit(blobs(), blobs(20, seed=4), epochs=4)
    assert history[-1]["loss"] < history[0]["loss"] and (tmp_path / "best_model.h5").is_file()


def test_s2_25_pairs_of_metrics_are_told_apart():
    """S2.25: a third of a kind, or one object twice, is a fault; a mapping names pairs as it likes."""
    one = Accuracy()
    for wrong in ([Accuracy(), Accuracy(), Accuracy()], [one, one], ["accuracy", "accuracy"]):
        with pytest.raises(InputError, match="is taken"):
            BasicTrainingLoop(Tiny(), Adam(), metrics=wrong)
    pair = {"acc": Accuracy(), "val_acc": Accuracy()}
    loop = BasicTrainingLoop(Tiny(), Adam(lr=0.02), metrics=pair, loss=CrossEntropy(), progress=False)
    last = loop.fit(blobs(), blobs(10, seed=5), epochs=2)[-1]
    assert (pair["acc"].compute(), pair["val_acc"].compute()) == (last["acc"], last["val_acc"])
    loop.add_callback(EarlyStopping("val_map"))
    with pytest.raises(InputError, match=r"val_map.*is no metric"):
        loop.fit(blobs(), blobs(10), epochs=1)


def test_s2_29_a_loop_of_ones_own_with_optimizer_and_metric():
    """S2.29: ``optimizer.step(model.parameters(), grads)``, a sum of losses, ``accuracy.update`` and ``compute``."""
    model, optimizer, loss = Tiny(), SGD(learning_rate=0.1), CrossEntropy()
    train, losses = DataLoader(blobs(40), 8), []
    for _ in range(10):
        total, accuracy = 0.0, Accuracy()
        for x, y in train:
            (value, run), grads = value_and_grad(model, loss, has_aux=True)(x, y)
            optimizer.step(model.parameters(), grads)
            total += value
            accuracy.update(run.outputs, y)
        losses.append(total / len(train))
    assert losses[-1] < 0.5 * losses[0] and accuracy.compute() > 0.9


def test_s2_29_a_bound_schedule_steps_with_the_batches():
    """S2.29, S2.09: ``Adam(lr=...)``, ``CosineAnnealingLR(optimizer, T_max=...)`` and ``scheduler.step()`` after each batch."""
    model, optimizer = Tiny(), Adam(lr=0.01)
    scheduler, step, rates = CosineAnnealingLR(optimizer, T_max=15), value_and_grad(model, CrossEntropy()), []
    first = None
    for _ in range(3):
        for x, y in DataLoader(blobs(40), 8):
            loss, grads = step(x, y)
            first = loss if first is None else first
            rates.append(optimizer.get_lr())
            optimizer.step(model.parameters(), grads)
            scheduler.step()
    assert loss < first
    assert rates == pytest.approx([Cosine(0.01, T_max=15).get_lr(k) for k in range(15)])
    assert optimizer.get_lr() == pytest.approx(0.0, abs=1e-15)
    with pytest.raises(InputError, match="one of them"):
        CosineAnnealingLR(optimizer, lr=0.1)
    assert CosineAnnealingLR(T_max=10, eta_min=1e-3, lr=0.1).get_lr(10) == pytest.approx(1e-3)


@pytest.mark.parametrize("logger", ["json", "tensorboard"])
def test_s2_29_s2_23_s2_24_composed_callbacks_in_a_loop_of_ones_own(tmp_path, logger):
    """S2.29, S2.23, S2.24: a list with a folder for checkpoints and two logs; only the epochs' hooks are called."""
    if logger == "tensorboard":
        pytest.importorskip("tensorboardX")
        from training.callbacks import TensorBoardLogger as Second
    else:
        Second = JSONLogger
    model, optimizer, loss = Tiny(), Adam(lr=0.02), CrossEntropy()
    callbacks = CallbackList(
        [
            EarlyStopping(patience=10),
            ModelCheckpoint(f"{tmp_path}/checkpoints/"),
            CSVLogger(tmp_path / "training.log"),
            Second(tmp_path / "logs"),
        ],
        model=model,
    )
    step, val = value_and_grad(model, loss), DataLoader(blobs(20, seed=7), 20, shuffle=False)
    for epoch in range(4):
        callbacks.on_epoch_begin(epoch)
        for x, y in DataLoader(blobs(40), 8):
            optimizer.step(model.parameters(), step(x, y)[1])
        logs = {"val_loss": evaluate(model, loss, val)["loss"]}
        if callbacks.on_epoch_end(epoch, logs) is STOP:
            break
    callbacks.close()
    rows = list(csv.DictReader((tmp_path / "training.log").open()))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3]
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
    assert [each.name for each in (tmp_path / "checkpoints").iterdir()] == ["best.h5"]
    if logger == "json":
        lines = [json.loads(line) for line in (tmp_path / "logs").read_text().splitlines()]
        assert [line["val_loss"] for line in lines if line["event"] == "epoch"] == [
            float(row["val_loss"]) for row in rows
        ]
    else:
        assert list((tmp_path / "logs").iterdir())


def test_s2_20_a_folder_gets_a_file_for_each_that_is_kept(tmp_path):
    """S2.20: a folder for the best two, and for every epoch."""
    loop = BasicTrainingLoop(Tiny(), Adam(lr=0.01), loss=CrossEntropy(), progress=False)
    loop.add_callback(ModelCheckpoint(f"{tmp_path}/two/", top_k=2))
    loop.add_callback(ModelCheckpoint(f"{tmp_path}/every/", None))
    loop.fit(blobs(), blobs(12), epochs=3)
    assert sorted(each.name for each in (tmp_path / "every").iterdir()) == [f"epoch-00{k}.h5" for k in range(3)]
    assert len(list((tmp_path / "two").iterdir())) == 2


def test_s1_15_gradients_by_function_and_an_optimizer():
    """S1.15, S1.04, S1.05, S1.07, S1.13, S1.16: net, optimizer, loss function, loop; the printed loss falls."""
    net, (x, y) = Tiny(), blobs(40)
    optimizer = Adam(learning_rate=0.02)
    optimizer.register_trainable_weights(net.parameters())

    def loss_fn(run, targets, model=None, rng=None):
        value = CrossEntropy()(run, targets)
        assert value.value == pytest.approx(softmax_cross_entropy_with_integer_labels(run.outputs, targets).mean())
        return value

    told = []
    for _ in range(30):
        init_all_states(net, len(x))
        grads, loss = grad(net, loss_fn, return_value=True)(x, y)
        assert optimizer.update(grads) is None
        told.append(loss)
    assert told[-1] < 0.3 * told[0]
    assert (np.argmax(run_network(net, x), axis=1) == y).mean() > 0.9


TEXT = """
name: nested
training:
  max_epochs: 2
  optimizer: {{name: {optimizer}, lr: 0.01}}
  callbacks: {{lr_scheduler: {{type: cosine, max_lr: 0.02, min_lr: 1.0e-5}}}}
data: {{source: synthetic, options: {{examples: 40, steps: 5, inputs: 3, classes: 2}}}}
model: {{network: {{builder: layers, sizes: [3, 2]}}}}
logging: {{folder: FOLDER, progress: false, durable: false}}
"""


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adamw", "lion"])
def test_s0_17_s0_18_the_source_s_optimizer_and_scheduler_blocks(tmp_path, optimizer):
    """S0.17, S0.18: ``optimizer: {name, lr}``, and ``callbacks.lr_scheduler`` under ``training`` as in the source or above it."""
    from training import experiment

    path = tmp_path / "config.yaml"
    path.write_text(TEXT.format(optimizer=optimizer).replace("FOLDER", str(tmp_path / "runs")))
    chosen = configuration.load(path)
    assert chosen.callbacks == {"lr_scheduler": {"type": "cosine", "max_lr": 0.02, "min_lr": 1.0e-5}}
    history = experiment.run(chosen, lambda config, splits: Tiny(3, 5, 2))[0].history
    rates = [row["lr"] for row in history]
    assert len(rates) == 2 and rates[0] != 0.01 and 1.0e-5 <= min(rates) <= max(rates) <= 0.02
    again = configuration.read(json.loads((tmp_path / "runs/nested/seed-42/config.json").read_text()))
    assert again == chosen


def test_s0_18_callbacks_in_both_places_are_told():
    """S0.18: the same callback under ``training`` and above it is a fault; different ones are put together."""
    block = {"lr_scheduler": {"type": "cosine"}}
    plain = {"model": {"network": {"builder": "layers", "sizes": [3, 2]}}, "training": {"callbacks": block}}
    assert set(configuration.read({**plain, "callbacks": {"early_stopping": {}}}).callbacks) == {
        *block,
        "early_stopping",
    }
    with pytest.raises(InputError, match="stands under callbacks as well"):
        configuration.read({**plain, "callbacks": block})
    with pytest.raises(InputError, match=r"callbacks"):
        configuration.read({**plain, "training": {"callbacks": 3}})
