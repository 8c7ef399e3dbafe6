"""Learning rates of local rules that adapt (S0.R3) or follow a schedule (S0.R4), and windows of learning."""

import math

import numpy as np
import pytest
from small_learners import CODE, Delta, Hebb, network, patterns, trainer, wanted

from soen_event.errors import InputError
from soen_event.learning import Storage
from training.callbacks import LRScheduler
from training.local import LocalTrainer
from training.local_reports import UpdateMetrics
from training.local_wrappers import AdaptiveRate, ScheduledRate
from training.schedules import Linear, Step

X, Y = patterns()
FREE = Storage(0.0, 1.0)


def test_adaptive_factors_s0_r3():
    """S0.R3: the three methods at hand-made reports, bounds, and the clip of the norm."""
    report = UpdateMetrics(update_norm=0.5, weight_norm_after=2.0, pre_square=4.0, post_square=9.0)
    for method, target, expected in (
        ("weight_norm", 1.0, 1.0 / 5.0),
        ("weight_norm", 2.0, 0.5),
        ("update_norm", 0.1, 0.2),
        ("update_norm", 1.0, 1.0),
        ("activity", 1.0, 1.0 / 7.0),
    ):
        wrapper = AdaptiveRate(method, target=target)
        wrapper.after(report)
        assert math.isclose(wrapper.factor, expected), method
    twice = AdaptiveRate("update_norm", target=0.1)
    twice.after(report)  # at the new factor 0.2 the same sample makes 0.1, so that it stays
    twice.after(UpdateMetrics(update_norm=0.1))
    assert math.isclose(twice.factor, 0.2)
    low = AdaptiveRate("weight_norm", target=1e-9, min_scale=0.01)
    low.after(report)
    assert low.factor == 0.01
    clipped = AdaptiveRate("activity", clip_update_norm=0.01)
    clipped.after(report)
    assert math.isclose(clipped.factor * 0.5, 0.01)
    still = AdaptiveRate("update_norm")
    still.after(UpdateMetrics())
    assert still.factor == 1.0
    for options in (
        {"method": "norm"},
        {"target": 0.0},
        {"min_scale": 2.0, "max_scale": 1.0},
        {"clip_update_norm": -1.0},
    ):
        with pytest.raises(InputError, match="AdaptiveRate"):
            AdaptiveRate(**options)


def test_scheduled_factors_s0_r4():
    """S0.R4: step, exponential, cosine; set_max_steps, step, reset."""
    step = ScheduledRate("step", decay_rate=0.5, decay_every=3)
    assert [step.factor, *(step.step() for _ in range(6))] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    step.reset()
    assert step.factor == 1.0
    falling = ScheduledRate("exponential", decay_rate=0.1, decay_every=10)
    assert np.allclose([falling.step() for _ in range(10)], [0.1 ** (n / 10) for n in range(1, 11)])
    cosine = ScheduledRate("cosine", min_factor=0.1)
    cosine.set_max_steps(4)
    assert np.allclose(
        [cosine.factor, *(cosine.step() for _ in range(5))],
        [1.0, *(0.1 + 0.45 * (1 + math.cos(math.pi * n / 4)) for n in (1, 2, 3)), 0.1, 0.1],
    )
    floor = ScheduledRate("step", decay_rate=0.1, decay_every=1, min_factor=0.05)
    assert [floor.step() for _ in range(3)] == [0.1, 0.05, 0.05]
    own = ScheduledRate(Linear(max_lr=1.0, min_lr=0.0, epochs=4.0), min_factor=0.0)
    assert [own.factor, *(own.step() for _ in range(4))] == [1.0, 0.75, 0.5, 0.25, 0.0]
    for options in ({"schedule": "cos"}, {"decay_rate": 0.0}, {"decay_every": 0}, {"max_steps": 0}):
        with pytest.raises(InputError, match="ScheduledRate"):
            ScheduledRate(**options)
    with pytest.raises(InputError, match="no number of samples"):
        cosine.set_max_steps(0)


def test_rates_are_set_in_the_chip_and_recorded_s0_r3_s0_r4():
    """S0.R3, S0.R4: the product of all factors and the base rate is what the rule has during the next sample."""
    made = LocalTrainer(
        network(0.9), Hebb().on(synapses="*", storage=FREE, rate=2.0), encoder=CODE, length=40.0, gap=160.0, progress=False,
        rates={"Hebb": [ScheduledRate("step", decay_rate=0.5, decay_every=2), ScheduledRate("step", decay_rate=0.1, decay_every=4)]},
    )  # fmt: skip
    made.fit(X[:6], shuffle=False)
    changes = made.recording().rule_changes
    assert [(name, what) for _, name, what, _ in changes] == [("Hebb", "rate")] * 3
    assert np.allclose([value for *_, value in changes], [1.0, 0.05, 0.025])
    assert np.allclose([t for t, *_ in changes], [400.0, 800.0, 1200.0], atol=1e-5)
    assert made.history[0]["Hebb/rate"] == changes[-1][3]


def test_adapting_keeps_updates_small_s0_r3():
    """S0.R3: with "update_norm" the updates after the first come down to the target."""
    rates = {"Hebb": AdaptiveRate("update_norm", target=0.01)}
    free, bound = trainer(Hebb(lr=0.3), FREE, network(0.9)), trainer(Hebb(lr=0.3), FREE, network(0.9), rates=rates)
    norms = []
    for made in (free, bound):
        x = np.tile(X[:1], (6, 1))
        made.fit(x, epochs=1)
        norms.append([report.update_norm for report in made._of_epoch["Hebb"]])
    assert norms[0][0] == norms[1][0] > 0.05
    assert max(norms[1][1:]) < 0.02 < max(norms[0][1:])
    first = trainer(Hebb(), FREE, network(0.9), rates={"Hebb": AdaptiveRate("weight_norm", target=0.5)})
    norm = np.linalg.norm(list(first.simulation.learnt.values()))
    first.fit(X[:1])
    assert np.isclose(first.recording().rule_changes[0][3], 1.0 / (1.0 + (norm / 0.5) ** 2))


def test_a_trainers_schedule_sets_the_rates_of_all_rules():
    """LRScheduler, as for the twin: its rate is a factor of every rule's, and is logged as lr."""
    made = trainer(Hebb(), FREE, network(0.9), callbacks=[LRScheduler(Step(1.0, step_size=1, gamma=0.5))])
    made.fit(X[:2], epochs=3)
    assert [each["lr"] for each in made.history] == [1.0, 0.5, 0.25]
    assert [value for *_, value in made.recording().rule_changes] == [0.5, 0.25]


def test_windows_hold_changes_to_a_part_of_each_sample():
    """Begins and ends relative to each sample; spikes and photons outside change nothing, traces go on."""
    windows = {"Hebb": (2.0, 20.0)}
    made = trainer(Hebb(), FREE, network(0.9), windows=windows)
    free = trainer(Hebb(), FREE, network(0.9))
    for each in (made, free):
        each.fit(X, epochs=1)

    def phases(one):
        rec = one.recording()
        return np.concatenate([rec.writes[s][0] for s in rec.site_ids]) % 200.0

    inside, whole = phases(made), phases(free)
    assert len(inside) and inside.min() >= 2.0 and inside.max() < 20.0
    assert whole.min() < 2.0 and whole.max() > 20.0
    errors = trainer(Delta(), FREE, modulator=wanted, windows={"Delta": (0.0, 40.0)})
    errors.fit(X, Y)  # the signals come just before the end of the sample
    late = trainer(Delta(), FREE, modulator=wanted, windows={"Delta": (45.0, 60.0)})
    with pytest.warns(UserWarning, match="Delta: no update"):
        late.fit(X, Y)
    assert errors.epoch_reports["Delta"].writes > 0 == late.epoch_reports["Delta"].writes
