"""Losses over shards: which of them are means over samples, and what is said of the others."""

import warnings

import numpy as np
import pytest
from breakable import Pairing, square
from tiny_model import Momentum, Tiny, blobs

from soen_event.errors import InputError
from training import registry
from training.gradients import loss_and_gradients
from training.imitation import Imitation
from training.lessons import Lesson
from training.loop import Trainer
from training.losses import AutoregressiveLoss, RichMarginLoss, Sum, make
from training.model import Run
from training.parallel import DataParallel, ShardedLossWarning
from training.shards import taken

STATES = np.abs(np.random.default_rng(5).normal(0.3, 0.4, (6, 9, 3)))
STATES[2, 4:] = 0.0
OUTPUTS = np.random.default_rng(6).normal(size=(6, 3))
LABELS = np.array([0, 1, 2, 0, 1, 0])
TOKENS = np.array([[0, 1, 2], [1, 1, -100], [2, 0, 0], [1, -100, -100], [0, 0, 2], [2, 2, 1]])
SPIKES = (np.random.default_rng(7).uniform(size=(6, 8, 3)) < np.linspace(0.1, 0.9, 6)[:, None, None]).astype(float)
TAUGHT = Lesson({"states": 0.7 * STATES[::-1], "spikes": SPIKES[::-1], "outputs": OUTPUTS[::-1] ** 2}, LABELS)
PAIRED = {"average_state_magnitude_loss", "branching_loss", "local_expansion_loss", "rich_margin_loss", "spike_count_penalty"}  # fmt: skip
OPTIONS = {
    "first_spike_cross_entropy": {"duration": 5.0},
    "gravity_quantization_loss": {"bits": 3, "min": -1.0, "max": 1.0},
    "spike_count_penalty": {"upper": 3.0},
    "van_rossum": {"dt": 1.0},
}


def of_samples(name, loss, which):
    model = Tiny(seed=2)
    model.weights = {"J": np.array([0.3, -0.5, 0.1]), **model.weights}
    x = np.random.default_rng(8).uniform(size=(6, 8, 3))[which]
    outputs, targets = OUTPUTS[which], LABELS[which]
    if name.startswith("autoregressive"):
        outputs, targets = np.repeat(outputs[:, None], 3, axis=1), np.maximum(TOKENS, 0)[which]
    if isinstance(loss, Imitation):
        targets = taken(TAUGHT, which[0], which[-1] + 1, 6)
    if name in ("mse", "mean_square_error", "mse_gradient_cutoff"):
        targets = outputs * 0.5
    if name in ("first_spike_cross_entropy", "ttfs_cross_entropy", "relative_mean_square_error"):
        outputs = np.abs(outputs)
    if name == "local_expansion_loss":
        x = np.where(np.arange(8)[None, :, None] < np.array([0, 1, 2, 3, 4, 5])[which][:, None, None], 0.0, x)
    run = Run(outputs, STATES[which], SPIKES[which], inputs=x)
    return loss(run, targets, model=model, rng=np.random.default_rng(0)).value


@pytest.mark.parametrize("name", registry.names("loss"))
def test_s2_27_every_loss_is_a_mean_over_samples_or_says_that_it_is_not(name):
    """Value for six samples against the weighted mean over shards of three, two and one."""
    loss = make(name, **OPTIONS.get(registry.get("loss", name).name, {}))
    whole = of_samples(name, loss, np.arange(6))
    parts = [of_samples(name, loss, np.arange(*ends)) for ends in ((0, 3), (3, 5), (5, 6))]
    mean = (3 * parts[0] + 2 * parts[1] + parts[2]) / 6
    if name in PAIRED:
        assert loss.entangled() and not np.isclose(whole, mean, rtol=1e-4)
    else:
        assert loss.entangled() is None and np.isclose(whole, mean, rtol=1e-12, atol=0.0)


def test_losses_say_it_where_it_depends():
    assert RichMarginLoss(lambda_consistency=0.0, lambda_diversity=0.0).entangled() is None
    assert AutoregressiveLoss().entangled(np.maximum(TOKENS, 0)) is None
    assert "ignored" not in str(AutoregressiveLoss().entangled(TOKENS)) and AutoregressiveLoss().entangled(TOKENS)
    both = Sum({"cross_entropy": 1.0, "branching_loss": 0.1})
    assert both.entangled().startswith("branching_loss: ")
    both.weights["branching_loss"] = 0.0
    assert both.entangled() is None


def test_s2_27_a_loss_that_pairs_samples_warns_once_or_is_refused():
    def run(loss, **options):
        trainer = Trainer(Tiny(), Momentum(), loss=loss, parallel=DataParallel(**options), progress=False)
        trainer.fit(blobs(16), epochs=2, batch_size=8)

    with pytest.warns(ShardedLossWarning, match=r"rich_margin_loss: its consistency .* for 4 shards") as told:
        run(RichMarginLoss())
    assert len([w for w in told if w.category is ShardedLossWarning]) == 1
    with pytest.warns(ShardedLossWarning, match="Pairing: for the first batch it is"):
        run(make(Pairing()))
    with pytest.raises(InputError, match="Leave it out, give shards=1"):
        Trainer(Tiny(), Momentum(), loss=RichMarginLoss(), parallel=DataParallel(paired="refuse"))
    tokens = np.where(np.arange(12).reshape(4, 3) == 5, -100, 1)
    with pytest.raises(InputError, match="over the tokens that are not -100"):
        DataParallel(paired="refuse").gradients(Tiny(), AutoregressiveLoss(), blobs(4)[0], tokens, (0,))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShardedLossWarning)
        run(RichMarginLoss(), paired="allow")
        run(RichMarginLoss(), shards=1)
        run(make(square))


def test_s2_27_losses_of_parameters_count_once():
    x, y = blobs(10)
    model = Tiny(seed=4)
    loss = Sum([("cross_entropy", 1.0), ("reg", make("reg_J", parameters="W*"), 0.5)])
    value, gradients, _ = loss_and_gradients(model, loss, x, y)
    for shards in (2, 4, 7):
        found, mean, _ = DataParallel(shards=shards).gradients(model, loss, x, y, (0,))
        assert found.value == pytest.approx(value.value, rel=1e-12)
        assert found.parts == pytest.approx(value.parts, rel=1e-12) and value.parts["reg"] > 0.0
        for name in gradients:
            assert np.allclose(mean[name], gradients[name], rtol=1e-12, atol=1e-15)


def test_s2_27_s0_24_lessons_are_cut_with_the_batch():
    """What the teacher did goes to the shards whole: states and outputs to the losses that look at them, answers to the others."""
    x, y = blobs(10)
    student, run = Tiny(seed=4), Tiny(seed=5).forward(x)
    lesson = Lesson({"states": run.states, "outputs": run.outputs}, y)
    loss = Sum({"trajectory_mse": 1.0, "softmax_kl": 0.5, "cross_entropy": 0.3})
    value, gradients, _ = loss_and_gradients(student, loss, x, lesson)
    found, mean, _ = DataParallel(shards=3).gradients(student, loss, x, lesson, (0,))
    assert found.parts == pytest.approx(value.parts, rel=1e-12)
    for name in gradients:
        assert np.allclose(mean[name], gradients[name], rtol=1e-12, atol=1e-15) and np.abs(mean[name]).max() > 0.0
    with pytest.raises(InputError, match=r"targets\.states: there are 9 for 10 inputs"):
        taken(Lesson({"states": run.states[:9]}, y), 0, 5, 10)
