"""Training by local rules on one chip: what is learnt, and that nothing else changes it (S0.R6)."""

import numpy as np
import pytest
from small_learners import CODE, MEMORY, NEURONS, Delta, Hebb, Rewarded, everything, network, patterns, trainer, wanted

import soen_event as se
from soen_event.learning import Storage
from training.local import LocalTrainer
from training.local_inputs import PhotonCode

X, Y = patterns()


def test_errors_teach_two_classes_s0_r6():
    """S0.R6: a delta rule learns to tell two classes; what was learnt is deployed and does the same."""
    made = trainer(Delta(), modulator={"error": wanted}, metrics=["accuracy"], loss="mse_counts" if False else None)
    before = made.evaluate(X, Y)
    history = made.fit(X, Y, epochs=6)
    after = made.evaluate(X, Y)
    assert after["accuracy"] == 1.0 > before["accuracy"]
    assert [each["epoch"] for each in history] == list(range(6))
    assert history[-1]["update_norm"] < history[0]["update_norm"]
    deployed = made.deploy()
    learnt = made.simulation.learnt
    assert {name: s.weight for name, s in deployed.synapses.items()} == learnt
    fresh = trainer(Delta(), net=deployed)
    assert np.array_equal(fresh.predict(X), made.predict(X))
