"""Training by local rules on one chip: what is learnt, and that nothing else changes it (S0.R6)."""

import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_learners import CHANNELS, CODE, MEMORY, Delta, Hebb, Rewarded, everything, network, patterns, trainer, wanted

import soen_event as se
from soen_event.errors import InputError
from soen_event.learning import Rule, Storage
from training import checkpoint
from training.callbacks import Callback, CSVLogger, EarlyStopping, LRScheduler, MetricsTracker, ModelCheckpoint
from training.local import LocalTrainer
from training.local_inputs import PhotonCode
from training.local_readouts import Currents, FirstSpikes, SpikeCounts
from training.local_wrappers import AdaptiveRate, ScheduledRate
from training.schedules import Exponential

X, Y = patterns()
STOCHASTIC = Storage(0.0, 1.0, levels=128, rounding="stochastic")


def delta(**options):
    return trainer(Delta(), **{"modulator": {"error": wanted}, "metrics": ["accuracy"], **options})


def test_errors_teach_two_classes_s0_r6():
    """S0.R6: a delta rule learns to tell two classes; what was learnt is deployed and does the same."""
    made = delta(loss="mse")
    targets = np.eye(2)[Y]
    before = made.evaluate(X, targets)
    made.signals.modulators["error"] = lambda outputs, target: wanted(outputs, int(np.argmax(target)))
    history = made.fit(X, targets, epochs=6)
    after = made.evaluate(X, targets)
    assert after["accuracy"] == 1.0 > before["accuracy"]
    assert after["loss"] < 0.2 * before["loss"] and history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert [each["epoch"] for each in history] == list(range(6))
    assert history[-1]["update_norm"] < 0.5 * history[0]["update_norm"]
    deployed = made.deploy()
    assert {name: s.weight for name, s in deployed.synapses.items()} == made.simulation.learnt
    assert np.array_equal(trainer(Delta(), net=deployed).predict(X), made.predict(X))


def test_a_reward_without_targets():
    """A function of outputs and sample stands for targets; what it gives is broadcast."""
    told = []

    def reward(outputs, sample):
        told.append((dict(outputs), sample))
        return 1.0 if outputs["n0"] >= outputs["n1"] else -1.0

    made = trainer(Rewarded(), net=network(0.9))
    history = made.fit(X, reward, epochs=2)
    assert len(told) == 24 and {"loss", "accuracy"}.isdisjoint(history[-1])
    assert made.reports["Rewarded"].asked >= 0 and made.epoch_reports["Rewarded"].writes > 0
    assert all(any(np.array_equal(sample, x) for x in X) for _, sample in told)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_it_is_all_the_same_how_many_photons_are_handed_over_at_once(engine):
    """Batches of 1, 5 and all give the same bits of everything; so do two fits of one epoch and one of two."""
    found = []
    cases = [(1, (2,)), (5, (2,)), (12, (1, 1))] if engine == "compiled" else [(1, (1,)), (3, (1,))]
    for batch, epochs in cases:
        made = delta(storage=STOCHASTIC, net=network(efficiency=0.7), engine=engine, gap=0.0)
        for count in epochs:
            made.fit(X, Y, epochs=count, batch=batch)
        found.append((everything(made), made.history))
    assert all(each == found[0] for each in found)
    assert len(made.recording().table("writes")["value"]) > 0


def test_both_engines_train_to_the_same_bits():
    found = [delta(engine=engine, storage=STOCHASTIC) for engine in ("compiled", "reference")]
    for made in found:
        made.fit(X[:6], Y[:6], validation=(X[:3], Y[:3]))
    assert everything(found[0]) == everything(found[1])
    assert found[0].history == found[1].history


def test_validation_changes_nothing():
    """With and without looking: the same weights, traces, counts and random numbers, and the same metrics of training."""

    class Looks(Callback):
        def on_batch_end(self, state):
            state.trainer.predict(X[:2])

    made = [
        trainer(Hebb(), STOCHASTIC, network(efficiency=0.6), metrics=["accuracy"], callbacks=given)
        for given in ([], [Looks()])
    ]
    made[0].fit(X, Y, epochs=2)
    made[1].evaluate(X, Y)
    made[1].fit(X, Y, epochs=2, validation=(X[:5], Y[:5]), batch=4)
    made[1].predict(X)
    made[1].evaluate(X, Y)
    assert everything(made[0]) == everything(made[1])
    for one, two in zip(made[0].history, made[1].history, strict=True):
        assert one == {name: value for name, value in two.items() if not name.startswith("val_")}
    assert "val_accuracy" in made[1].history[-1] and "val_spikes" in made[1].history[-1]


def test_a_frozen_chip_does_not_learn_and_lives_by_itself():
    made = trainer(Hebb())
    made.fit(X, epochs=1)
    frozen = made.simulation.frozen()
    before, weights = everything(made), frozen.state.detectors["weight"].copy()
    frozen.inject({"s0.0": frozen.now + 5.0, "s0.1": frozen.now + 5.0})
    frozen.run(frozen.now + 100.0)
    assert np.array_equal(frozen.state.detectors["weight"], weights) and everything(made) == before
    assert frozen.recording().table("writes")["value"].size == 0


def stateful(folder, **options):
    """With all that has a state: wrappers, a schedule of the rate, callbacks, metrics, a loss, random numbers."""
    return delta(
        storage=STOCHASTIC,
        net=network(efficiency=0.7),
        rates={"Delta": [ScheduledRate("cosine"), AdaptiveRate("update_norm", target=0.02)]},
        windows={"Delta": (5.0, 60.0)},
        loss="cross_entropy",
        callbacks=[LRScheduler(Exponential(1.0, gamma=0.7)), MetricsTracker(), *options.pop("callbacks", ())],
        **options,
    )


class Dies(Callback):
    """Ends the run, as if it were killed, after some samples."""

    def __init__(self, step):
        self.step = step

    def on_settled(self, state, event):
        if state.step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("step", "batch"), [(5, 1), (7, 4), (12, 5), (20, 1)])
def test_a_killed_run_is_finished_to_the_same_bits(tmp_path, step, batch):
    """From the last checkpoint in the middle of learning, with another batch: weights, writes, history."""
    whole = stateful(tmp_path)
    whole.fit(X, Y, epochs=2, validation=(X[:4], Y[:4]))
    keeps = ModelCheckpoint(
        tmp_path / "best.h5", monitor=None, every_epochs=100, last=tmp_path / "last.h5", every_steps=1
    )
    killed = stateful(tmp_path, callbacks=[keeps, Dies(step)])
    with pytest.raises(KeyboardInterrupt):
        killed.fit(X, Y, epochs=2, validation=(X[:4], Y[:4]), batch=batch)
    rest = stateful(tmp_path, callbacks=[keeps])
    rest.fit(X, Y, validation=(X[:4], Y[:4]), batch=3, resume=tmp_path / "last.h5")
    assert everything(rest) == everything(whole)
    assert rest.history == whole.history
    assert rest.recording().rule_changes == whole.recording().rule_changes
    with pytest.raises(InputError, match="was written with data"):
        stateful(tmp_path, callbacks=[keeps]).fit(X[::-1].copy(), Y, resume=tmp_path / "last.h5")
    checkpoint.save(tmp_path / "other.h5", {"kind": "trainer"})
    with pytest.raises(InputError, match="holds no run of a LocalTrainer"):
        whole.load(tmp_path / "other.h5")


def test_a_process_that_was_killed_is_continued_by_another(tmp_path):
    """SIGKILL in the middle of an epoch."""
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_local_trainer import *
        class Kill(Callback):
            def on_batch_begin(self, state):
                if state.step == 8:
                    os.kill(os.getpid(), signal.SIGKILL)
        keeps = ModelCheckpoint("best.h5", monitor=None, every_epochs=100, last="last.h5", every_steps=3)
        stateful(None, callbacks=[keeps, Kill()]).fit(X, Y, epochs=2)
        """
    )
    out = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert out.returncode == -9, out.stderr
    keeps = ModelCheckpoint(tmp_path / "best.h5", monitor=None, every_epochs=100, last=tmp_path / "last.h5")
    whole, rest = stateful(tmp_path), stateful(tmp_path, callbacks=[keeps])
    whole.fit(X, Y, epochs=2)
    rest.fit(X, Y, resume=tmp_path / "last.h5")
    assert everything(rest) == everything(whole) and rest.history == whole.history
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.h5"]


def test_callbacks_stop_keep_the_best_and_log(tmp_path):
    """EarlyStopping with restore_best programs the chip; CSVLogger has a row an epoch; a stop in an epoch leaves no photons behind."""
    stop = EarlyStopping("val_accuracy", patience=2, mode="max", restore_best=True)
    seen = []

    class Weights(Callback):
        def on_epoch_end(self, state):
            seen.append({name: array.copy() for name, array in state.model.parameters().items()})

    made = delta(callbacks=[stop, Weights(), CSVLogger(tmp_path / "log.csv")])
    history = made.fit(X, Y, epochs=30, validation=(X, Y))
    assert len(history) == stop.best_epoch + 3 < 30
    best = seen[stop.best_epoch]["Delta"]
    assert np.allclose(list(made.simulation.learnt.values()), best, rtol=0, atol=0)
    assert made.evaluate(X, Y)["accuracy"] == stop.best
    assert len((tmp_path / "log.csv").read_text().splitlines()) == len(history) + 1
    rec = made.recording()
    assert {site: rec.learnt(site) for site in rec.site_ids} == made.simulation.learnt

    class Halt(Callback):
        def on_batch_end(self, state):
            state.should_stop = state.batch == 3

    made = delta(callbacks=[Halt()])
    made.fit(X, Y, epochs=2, batch=12)
    assert made.step == 4 and made.simulation.withdraw() == 0 and made.history == []


def test_long_runs_can_drop_their_recordings():
    kept, dropped = trainer(), trainer(keep=False)
    for made in (kept, dropped):
        made.fit(X, epochs=2)
    assert kept.simulation.learnt == dropped.simulation.learnt and kept.history == dropped.history
    assert dropped.recording().table("writes")["value"].size == 0 < kept.recording().table("writes")["value"].size


def test_readouts_tell_what_a_recording_tells():
    """Counts, first spikes and currents of a sample against the recording of the same photons."""
    x = X[:2]
    photons = {}
    for k, values in enumerate(x):
        features, times = CODE.photons(values, 40.0, np.random.default_rng(0))
        for f, t in zip(features.tolist(), times.tolist(), strict=True):
            for name in CHANNELS[f]:
                photons.setdefault(name, []).append(t + 200.0 * k)
    net = network(0.9)
    rec = se.simulate(net, photons, 400.0, record="currents", seed=5)
    of = {name: rec.spikes[name] for name in ("n0", "n1")}
    inside = [[of[n][(of[n] >= b) & (of[n] < b + 40.0)] - b for n in ("n0", "n1")] for b in (0.0, 200.0)]
    assert max(len(times) for row in inside for times in row) >= 1
    counts = trainer(storage=Storage(0.0, 2.0), net=net, readout=SpikeCounts(["n1", "n0"])).predict(x)
    assert counts.tolist() == [[len(row[1]), len(row[0])] for row in inside]
    first = trainer(storage=Storage(0.0, 2.0), net=net, readout=FirstSpikes()).predict(x)
    assert np.allclose(first, [[-(times[0] if len(times) else 40.0) for times in row] for row in inside])
    ends = np.array([40.0, 240.0]) - 1e-6
    last = trainer(storage=Storage(0.0, 2.0), net=net, readout=Currents(["d0", "n1"])).predict(x)
    assert np.allclose(
        last, np.array([rec.current("d0", ends, ramp=False), rec.current("n1", ends, ramp=False)]).T, atol=0.02
    )
    assert last[:, 0].min() > 0.1
    mean = trainer(storage=Storage(0.0, 2.0), net=net, readout=Currents("d*", "mean", points=80)).predict(x)
    t = np.linspace(0.0, 40.0, 2001)[1:]
    assert np.allclose(mean[0], [rec.current(d, t).mean() for d in ("d0", "d1")], atol=0.02)
    largest = trainer(storage=Storage(0.0, 2.0), net=net, readout=Currents("d*", "max", points=80)).predict(x)
    assert (largest >= mean).all()
    assert trainer(storage=Storage(0.0, 2.0), net=net, readout="currents").predict(x).shape == (2, 2)


def test_encoders_are_functions_or_codes():
    """The same photons three ways; draws of "rate" differ from presentation to presentation and are repeated by the seed."""

    def by_hand(sample):
        out = {}
        for value, names in zip(sample, CHANNELS, strict=True):
            if value >= 0.2:
                out |= {name: [20.0 * (1.0 - value)] for name in names}
        return out

    found = [trainer(), trainer(encoder=by_hand), trainer(encoder=None)]
    for made, x in zip(found, (X, X, [by_hand(x) for x in X]), strict=True):
        made.fit(x, epochs=1)
    assert everything(found[0]) == everything(found[1]) == everything(found[2])
    rate = PhotonCode("rate", CHANNELS, max_rate=0.1)
    one, two, other = trainer(encoder=rate), trainer(encoder=rate), trainer(encoder=rate, seed=6)
    for made in (one, two, other):
        made.fit(X[:4], epochs=2, shuffle=False)
    assert everything(one) == everything(two) != everything(other)
    first, second = (one.encoder(X[0], "fit", epoch, 0)[1] for epoch in (0, 1))
    assert first.tolist() != second.tolist()

    def drawn(sample, rng):
        return {"s0.0": np.sort(rng.uniform(0.0, 30.0, 3))}

    made = trainer(encoder=drawn)
    made.fit(X[:2], epochs=1)
    assert made.simulation.event_count > 10


def test_one_sample_by_hand_s0_r6():
    """S0.R6: step_once gives outputs, loss, the norm of the update and what every rule did."""
    made = delta(loss="cross_entropy")
    weights = made.simulation.learnt
    told = made.step_once(X[0], Y[0])
    now = made.simulation.learnt
    change = np.array(list(now.values())) - np.array(list(weights.values()))
    assert set(told) == {"outputs", "loss", "total_update_norm", "weight_norm_change", "update_metrics"}
    assert np.isclose(told["total_update_norm"], np.linalg.norm(change)) and told["total_update_norm"] > 0.0
    norms = [np.linalg.norm(list(each.values())) for each in (weights, now)]
    assert np.isclose(told["weight_norm_change"], norms[1] - norms[0])
    assert told["update_metrics"]["Delta"].writes == np.count_nonzero(change)
    assert dict(told["outputs"]).keys() == {"n0", "n1"} and np.isfinite(told["loss"])


def test_offsets_couplings_and_weights_are_deployed():
    @dataclass(frozen=True)
    class Drift(Rule):
        requires = frozenset({"broadcast"})
        signals = ("sample",)

        @staticmethod
        def on_sample(site, p):
            site.change += 0.001

    net = network()
    net.add(se.Coupling("d0", "n0", J=0.05, id="second"))
    rules = [
        Drift().on(loops="*", name="offsets"),
        Drift().on(couplings="d*->n*", name="couplings"),
        Drift().on(synapses="s0.*", storage=MEMORY, name="weights"),
    ]
    made = LocalTrainer(net, rules, encoder=CODE, length=40.0, gap=160.0, progress=False)
    made.fit(X[:3], epochs=1)
    new = made.deploy()
    assert np.isclose(new.dendrites["d0"].phi_offset, 0.003) and np.isclose(new.neurons["n1"].soma.phi_offset, 0.003)
    assert np.isclose(new["second"].J, 0.053) and np.isclose(new["d0->n0"].J, 0.403)
    assert np.isclose(new.synapses["s0.0"].weight, made.simulation.learnt["s0.0"])
    assert new.synapses["s1.0"].weight == net.synapses["s1.0"].weight
    assert made.history[0]["offsets/writes"] == 12.0 and "couplings/update_norm" in made.history[0]
