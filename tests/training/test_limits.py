"""Weights that stay where a chip can hold them, and students that are distilled for one (features.md 3.6)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from students import photons, students_twin
from tiny_model import Momentum, Tiny, blobs

from hardware.chip import ASCR_Y1, Chip
from hardware.quantize import Levels
from soen_event.errors import InputError
from training.callbacks import Limits, ModelCheckpoint
from training.distill import distill
from training.hardening import QATStraightThrough
from training.hooks import TrainingState
from training.loop import Trainer
from training.registry import get


class Held:
    """Parameters that are given."""

    def __init__(self, **arrays):
        self.held = {name: np.array(array, dtype=float) for name, array in arrays.items()}

    def parameters(self):
        return self.held


def kept(limits, model, after):
    """The parameters after one update to ``after``."""
    state = TrainingState(model=model, stepped=True)
    limits.on_train_begin(state)
    for name, array in after.items():
        model.held[name][...] = array
    limits.on_batch_end(state)
    return {name: array.tolist() for name, array in model.held.items()}


def test_s0_24_ranges_and_signs():
    """Clipped at the range; no entry crosses 0; one that began at 0 is free."""
    model = Held(J=[0.1, -0.1, 0.0, 0.0], weights=[0.5])
    found = kept(Limits({"J": (-0.3, 0.2)}, signs="J"), model, {"J": [-0.5, 0.5, -0.9, 0.9], "weights": [9.0]})
    assert found == {"J": [0.0, 0.0, -0.3, 0.2], "weights": [9.0]}


def test_s0_24_the_rules_of_a_chip():
    """Ranges from first to last level of weights and couplings; "magnitude" keeps signs and the smallest size."""
    chip = Chip(name="c", weights=Levels.codebook([0.1, 0.5, 1.0]), sign="magnitude")
    model = Held(weights=[0.5, -0.5, 0.5, -0.5], J=[1.0, -1.0], tau=[50.0])
    found = kept(Limits(chip=chip), model, {"weights": [2.0, -2.0, -0.7, 0.05], "J": [-3.0, -3.0], "tau": [-1.0]})
    assert found == {"weights": [1.0, -1.0, 0.1, -0.1], "J": [0.0, -3.0], "tau": [-1.0]}
    model = Held(weights=[0.5, 0.5], J=[0.1, 0.1])
    found = kept(Limits({"J": (0.0, 0.2)}, chip="ascr_y1"), model, {"weights": [-4.0, 4.0], "J": [-1.0, 1.0]})
    assert found == {"weights": [-1.0, 1.0], "J": [0.0, 0.2]}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), low=st.floats(-0.5, 0.0), high=st.floats(0.0, 0.5))
def test_s0_24_the_projection_is_idempotent_and_nearest(seed, low, high):
    draw = np.random.default_rng(seed)
    began, after = draw.normal(size=(2, 12))
    model, limits = Held(J=np.clip(began, low, high)), Limits({"J": (low, high)}, signs=["J"])
    signs = np.sign(np.clip(began, low, high))
    once = np.array(kept(limits, model, {"J": after})["J"])
    allowed = np.linspace(low, high, 2001)
    for value, sign, wanted in zip(once, signs, after, strict=True):
        inside = allowed[(allowed * sign >= 0)] if sign else allowed
        assert low <= value <= high and value * sign >= 0.0
        near = min(abs(inside - wanted), default=abs(wanted))
        assert abs(value - wanted) <= near + 1e-12
    limits.on_batch_end(TrainingState(model=model, stepped=True))
    np.testing.assert_array_equal(model.held["J"], once)


def test_s0_24_limits_hold_after_every_update_and_across_a_resume(tmp_path):
    """Signs are those of the first beginning, also where a weight was 0 when the run was stopped."""
    x, y = blobs(20)

    class Watch(Limits):
        def on_settled(self, state, reason):
            for name, array in state.model.parameters().items():
                assert np.abs(array).max() <= 0.4
                assert (array * self._began[name] >= 0.0).all()

    def run(epochs, resume=None):
        callbacks = [
            Watch({"*": (-0.4, 0.4)}, signs="*"),
            ModelCheckpoint(tmp_path / "b.h5", "loss", last=tmp_path / "l.h5"),
        ]
        one = Trainer(Tiny(), Momentum(0.5), loss="cross_entropy", callbacks=callbacks, progress=False)
        one.fit((x, y), None, epochs, batch_size=5, resume=resume)
        return one

    straight = run(4).model.parameters()
    half = run(2).model.parameters()
    assert any((array == 0.0).any() for array in (half["W1"], half["W2"]))  # some have been stopped at 0
    again = run(4, tmp_path / "l.h5").model.parameters()
    assert all(np.array_equal(straight[name], again[name]) for name in straight)


def test_s0_24_a_student_within_a_chip():
    """3.6 direction 1: couplings of 17 levels to 0.38, weights to 1, signs kept; learnt from a teacher without limits."""
    x = photons(96, steps=50, seed=3, share=0.04)
    teacher = students_twin(10, seed=1, J=(-0.15, 0.35), spiking=False, dtype="float64")
    student = students_twin(4, seed=7, J=(0.1, 0.3), spiking=False, dtype="float64")
    J, weights = student.parameters()["J"], student.parameters()["weights"]
    J[0] *= -1.0
    signs = np.sign(J)
    found = distill(
        teacher, student, x, optimizer={"name": "adam", "lr": 0.01}, epochs=25, batch_size=16, progress=False,
        callbacks=[Limits(chip=ASCR_Y1, signs="J"), QATStraightThrough(levels=ASCR_Y1.couplings, connections="J")],
    )  # fmt: skip
    assert not ASCR_Y1.couplings.saturates(J).any() and not ASCR_Y1.weights.saturates(weights).any()
    assert (J * signs >= 0.0).all() and (np.abs(J) == 0.38).any()  # one was stopped
    J[...] = ASCR_Y1.couplings.round(J)
    error = np.mean((outputs_of(student, x) - outputs_of(teacher, x)) ** 2)
    assert error < found.before["loss"] / 8
    assert set(np.round([each.J for each in student.deploy().couplings], 9)) <= set(
        np.round(ASCR_Y1.couplings.values, 9)
    )


def outputs_of(twin, x):
    """Currents of the outputs, (B, T + 1, 2)."""
    return twin.forward(x).states[:, :, [twin.plan.loop_index[name] for name in twin.outputs]]


def test_s0_24_limits_are_registered():
    assert get("callback", "limits") is Limits


@pytest.mark.parametrize(
    ("make_it", "told"),
    [
        (lambda: Limits(), "there is nothing to keep"),
        (lambda: Limits({"J": (1.0, 0.0)}), "1 is above 0"),
        (lambda: Limits({"J": 3}), "is no range"),
        (lambda: Limits({"J": (0.0, float("nan"))}), "not finite"),
        (lambda: Limits([1]), "is no mapping"),
        (lambda: Limits(chip="ascr_y2"), "did you mean 'ascr_y1'"),
        (lambda: kept(Limits({"weigths": (0, 1)}), Held(weights=[1.0]), {}), "did you mean 'weights'"),
        (lambda: kept(Limits(signs="K*"), Held(J=[1.0]), {}), r"'K\*' fits no parameter"),
        (lambda: kept(Limits({"J": (0.1, 1.0)}, signs="J"), Held(J=[1.0, -0.5]), {}), r"J\[1\] began at -0\.5"),
    ],
)
def test_s0_24_wrong_limits_are_told(make_it, told):
    with pytest.raises(InputError, match=told):
        make_it()
