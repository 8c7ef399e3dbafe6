"""What a configuration says of the twin: noise, memory, truncation, surrogate (features.md 1.0.2); and where its faults stand."""

from pathlib import Path

import numpy as np
import pytest
from test_twin_in_training import bits

from soen_event.errors import InputError
from training import config as configuration
from training import experiment
from training.surrogates import ReluGrad, Triangle

TEXT = """
name: small
training:
  max_epochs: 2
  batch_size: 8
  optimizer: {name: adam, lr: 0.01}
data: {source: synthetic, options: {examples: 24, steps: 30, inputs: 4, classes: 2, noise: 0.0}}
model:
  network:
    builder: crossbar
    n_in: 4
    n_out: 2
    weights: 0.2
    neuron: {soma: {threshold: 0.3, beta_over_2pi: 100, tau: 20.0, t_ref: 3.0}, refractory: null}
    dendrite: {beta_over_2pi: 200, tau: 20.0}
  dt: 1.0
  readout: spikes
  pooling: sum
  options: {trainable: [weights, J]}
logging: {csv: false, checkpoints: false, progress: false}
"""


def outcome(folder, *changes):
    path = Path(folder) / "small.yaml"
    path.write_text(TEXT)
    return experiment.run(configuration.load(path, [f"logging.folder={folder}", *changes]))[0]


def test_s1_0_truncated_back_propagation_is_that_of_the_twin(tmp_path):
    """training: use_tbptt, tbptt_steps, stride (features.md 1.0.2): gradients are cut; as many steps as there are cut nothing."""
    whole, cut = outcome(tmp_path), outcome(tmp_path, "training.use_tbptt=true", "training.tbptt_steps=5")
    assert (whole.model.truncate, cut.model.truncate) == (None, 5)
    assert bits(whole.model) != bits(cut.model)
    long = outcome(tmp_path, "training.use_tbptt=true", "training.tbptt_steps=30", "training.stride=30")
    assert bits(long.model) == bits(whole.model)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["use_tbptt=true"], r"^.*:3: training\.tbptt_steps: missing, and use_tbptt is true"),
        (["tbptt_steps=5"], r"^training\.tbptt_steps: 5 is there, and use_tbptt is false"),
        (["stride=5"], r"^training\.stride: 5 is there, and use_tbptt is false"),
        (
            ["use_tbptt=true", "tbptt_steps=5", "stride=3"],
            r"^training\.stride: 3 is not tbptt_steps = 5; .* leave stride",
        ),
        (["use_tbptt=true", "tbptt_steps=0"], r"^training\.tbptt_steps: 0 is not right"),
    ],
)
def test_s1_0_truncation_that_means_nothing_is_refused(changes, told, tmp_path):
    with pytest.raises(InputError, match=told):
        outcome(tmp_path, *(f"training.{change}" for change in changes))


def test_s1_0_noise_and_memory_of_the_twin(tmp_path):
    """model: noise and perturb change the weights that are found; checkpoint and keep_states change the memory alone."""
    whole = outcome(tmp_path)
    for change in ("model.noise={phi: 0.05}", "model.perturb={weights: 0.3}"):
        assert bits(outcome(tmp_path, change).model) != bits(whole.model)
    saving = outcome(tmp_path, "model.checkpoint=7", "model.keep_states=false")
    assert (saving.model.checkpoint, saving.model.keep_states) == (7, False)
    for name, array in saving.model.parameters().items():
        np.testing.assert_allclose(array, whole.model.parameters()[name], rtol=1e-9)
    inputs = np.zeros((1, 3, 4))
    assert saving.model.forward(inputs).states is None and whole.model.forward(inputs).states is not None


def test_s0_20_a_surrogate_is_a_name_or_a_name_with_options(tmp_path):
    """S0.20: as a mapping with its options; another width finds other weights."""
    wide, narrow = (outcome(tmp_path, f"model.surrogate={{name: triangle, width: {width}}}") for width in (1.0, 0.3))
    assert (wide.model.surrogate, narrow.model.surrogate) == (Triangle(width=1.0), Triangle(width=0.3))
    assert bits(wide.model) == bits(outcome(tmp_path, "model.surrogate=triangle").model) != bits(narrow.model)
    assert outcome(tmp_path, "model.surrogate={name: relu, alpha: 0.5}").model.surrogate == ReluGrad(alpha=0.5)
    pooled = outcome(tmp_path, "model.pooling={name: mean_last_n, n: 5}").model.pooling
    assert pooled.n == 5


FAULTS = [
    (
        "  dt: 1.0",
        "  dt: 1.0\n  dtt: 2",
        r"small\.yaml:17: model\.dtt: unknown key \(did you mean 'dt'\?\); known: network",
    ),
    ("max_epochs: 2", "max_epochs: many", r"small\.yaml:4: training\.max_epochs: 'many' is not right .*integer"),
    (
        "batch_size: 8",
        "batch_size: 0",
        r"small\.yaml:5: training\.batch_size: 0 is not right .*greater than or equal to 1",
    ),
    ("lr: 0.01", "lr: -1", r"small\.yaml:6: training\.optimizer: Adam\.lr: -1 is below 0; give a larger number"),
    ("name: adam", "name: adan", r"small\.yaml:6: training\.optimizer: .*'adan' is not known \(did you mean 'adam'"),
    ("source: synthetic", "source: sinthetic", r"small\.yaml:7: data\.source: .*did you mean 'synthetic'"),
    ("readout: spikes", "surrogate: triangel", r"small\.yaml:17: model\.surrogate: .*did you mean 'triangle'"),
    (
        "pooling: sum",
        "pooling: {name: mean_last_n, m: 4}",
        r"small\.yaml:18: model\.pooling: mean_last_n\.m: there is no such",
    ),
    ("pooling: sum", "noise: {fi: 0.1}", r"small\.yaml:18: model\.noise\.fi: is not known .*use phi, s, ib"),
    (
        "pooling: sum",
        "noise: {s: -0.1}",
        r"small\.yaml:18: model\.noise\.s: -0\.1 is not right .*greater than or equal to 0",
    ),
    ("pooling: sum", "perturb: {delay: 0.1}", r"small\.yaml:18: model\.perturb\.delay: is not known"),
    ("trainable: [", "trainabel: [", r"small\.yaml:19: model\.options\.trainabel: .*did you mean 'trainable'"),
    (
        "trainable: [weights, J]",
        "dt: 2.0",
        r"small\.yaml:19: model\.options\.dt: has a key of its own; write model\.dt",
    ),
    ("trainable: [weights, J]", "truncate: 2", r"options\.truncate: has a key of its own; write training\.tbptt_steps"),
    ("  dt: 1.0", "  init_from: lost.h5", r"small\.yaml:16: model\.init_from: .*lost\.h5: there is no such file"),
]


@pytest.mark.parametrize(("old", "new", "told"), FAULTS)
def test_s0_21_a_fault_has_its_line_key_value_and_what_would_be_right(old, new, told, tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    assert path.read_text() != TEXT
    with pytest.raises(InputError, match=told):
        configuration.load(path)


def test_s0_21_all_faults_are_told_at_once(tmp_path):
    path = tmp_path / "small.yaml"
    text = TEXT
    for old, new in (
        ("lr: 0.01", "lr: -1"),
        ("source: synthetic", "source: sinthetic"),
        ("trainable: [", "trainabel: ["),
    ):
        text = text.replace(old, new, 1)
    path.write_text(text)
    with pytest.raises(InputError) as told:
        configuration.load(path, ["model.noise={fi: 1}"])
    assert len(told.value.faults) == 4 and any(each.startswith("model.noise.fi: ") for each in told.value.faults)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.dt=0.01", r"^model\.dt: 0\.01 ns is not longer than the longest hotspot"),
        (
            "model.readout=spike",
            r"^model\.readout: 'spike' is not known",
        ),
        ("model.options={outputs: [x]}", r"^model\.options\.outputs: \['x'\] is no dendrite or neuron"),
        ("model.options={trainable: [j]}", r"^model\.options\.trainable: 'j' is not known"),
    ],
)
def test_what_the_twin_refuses_is_told_by_its_key(change, told, tmp_path):
    with pytest.raises(InputError, match=told):
        outcome(tmp_path, change)
