"""Digits that chips learn by themselves (features.md S0.13, S0.14): examples/onchip_digits and unsupervised_digits, made small."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

EXAMPLES = Path(__file__).parent.parent / "examples"
for name in ("onchip_digits", "unsupervised_digits"):
    sys.path.append(str(EXAMPLES / name))
import onchip_digits as told  # noqa: E402
import unsupervised_digits as alone  # noqa: E402


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    return images / 16.0, labels


def weights(chip, pattern):
    return {name: value for name, value in chip.run.learnt.items() if name.startswith(pattern)}


@pytest.mark.parametrize("rounding", ["hidden", "stochastic"])
def test_s0_14_what_is_learnt_lies_on_levels_within_bounds_and_norms(digits, rounding):
    images, labels = (each[:40] for each in digits)
    chip = told.Chip(told.Size(hidden=6, epochs=1, levels=16, rounding=rounding, lr=0.05, readout_lr=0.05), 0)
    chip.learn(images, labels)
    for pattern, bound, most in (("p", 0.6, 1.0), ("h", 0.3, 0.8)):
        found = weights(chip, pattern)
        values = np.array(list(found.values()))
        place = (values + bound) / (2 * bound / 15)
        assert np.allclose(place, np.round(place), atol=1e-9) and len(np.unique(np.round(place))) > 4
        squares = {}
        for name, value in found.items():
            neuron = name.split(".")[1]
            squares[neuron] = squares.get(neuron, 0.0) + value**2
        assert max(squares.values()) <= most**2 + 1e-9
    assert len(chip.run.recording().table("writes")["site"]) > 50


def test_s0_14_an_error_moves_only_synapses_whose_photons_came(digits):
    """The eligibility is the synapse's own: dark pixels keep their weights, and without an error so do all."""
    images, labels = digits
    chip = told.Chip(told.Size(hidden=6, levels=4001), 0)
    before = weights(chip, "p")
    chip.show(images[:1], labels[:1])
    moved = {name for name, value in weights(chip, "p").items() if value != before[name]}
    lit = {f"p{pixel:02d}" for pixel in np.flatnonzero(np.round(2 * images[0]))}
    assert moved and {name.split(".")[0] for name in moved} <= lit
    after = chip.run.learnt
    chip.show(images[1:4])
    assert chip.run.learnt == after


def test_s0_14_the_error_is_softmax_through_the_feedback(digits):
    chip = told.Chip(told.Size(hidden=6), 3)
    error = np.linspace(-0.3, 0.6, 10)
    told_errors = chip._errors(error)
    assert [told_errors[f"o{k}"] for k in range(10)] == error.tolist()
    np.testing.assert_allclose([told_errors[f"h{k:03d}"] for k in range(6)], error @ chip.feedback, rtol=1e-12)
    currents = np.array([0.1, 0.3, 0.2] + [0.0] * 7)
    wanted = np.exp(told.SHARP * currents)
    np.testing.assert_allclose(told.softmax(currents), wanted / wanted.sum(), rtol=1e-12)


def test_s0_14_readout_learns_what_it_is_shown(digits):
    """Ten digits, again and again: nearly all are right in the end, and the error through random feedback moves hidden weights too."""
    images, labels = (each[:10] for each in digits)
    chip = told.Chip(told.Size(hidden=24, epochs=1), 0)
    before = chip.fields()
    right = np.concatenate([chip.learn(images, labels) for _ in range(30)])
    assert right[:2].mean() < 0.6 and right[-3:].mean() > 0.9
    assert np.nanmax(np.abs(chip.fields() - before)) > 0.02


def test_s0_13_the_first_to_spike_keeps_the_others_still(digits):
    """Lateral inhibition: without it most neurons fire for every digit, with it few."""
    images, _ = digits
    size = alone.Size(neurons=12)
    spikes = []
    for weight in (-1.0, 0.0):
        net = alone.network(size.neurons, 0)
        for k in range(size.neurons):
            net.replace(f"inhibit.n{k:03d}", weight=weight)
            net.replace(f"n{k:03d}", soma={"phi_offset": 0.13})  # so that all would fire
        spikes.append(alone.Chip(size, 0, net).show(images[:20])[0].sum(axis=1).mean())
    few, many = spikes
    assert 0.5 <= few <= 3.0 and many >= 3.0 * few


def test_s0_13_a_neuron_becomes_what_it_fires_for(digits):
    """One neuron and one digit: its weights end where the photons came, with the norm that they share."""
    images, _ = digits
    chip = alone.Chip(alone.Size(neurons=2, lr=0.3, down=0.0), 0)
    counts, when = chip.show(np.repeat(images[:1], 40, axis=0))
    winner = int(counts.sum(axis=0).argmax())
    field, norm = chip.fields()[winner], np.linalg.norm(chip.fields()[winner])
    assert counts[:, winner].sum() >= 30 and (when < 200.0).all()
    dark = images[0] < alone.LEAST
    assert field[dark].max() < 0.02 and norm <= 3.0 + 1e-9
    early = images[0] > 0.9
    assert field[early].min() > 5.0 * field[dark].max()


def test_s0_13_tired_neurons_let_others_win(digits):
    images, _ = digits
    chips = [alone.Chip(alone.Size(neurons=12, down=down), 1) for down in (0.0, 0.02)]
    used = []
    for chip in chips:
        chip.learn(0.0, 1.0)
        used.append(int((chip.show(images[:80])[0].sum(axis=0) > 0).sum()))
    assert used[1] > used[0]


def test_votes_and_answers():
    counts = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    vote = alone.votes(counts[:3], np.array([4, 4, 7]))
    assert vote[0].argmax() == 4 and vote[1].argmax() == 7 and np.allclose(vote.sum(axis=1), 1.0)
    assert alone.answers(counts, vote).tolist() == [4, 4, 7, -1]
