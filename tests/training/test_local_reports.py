"""What is told of local learning: reports by rule (S0.R9), why nothing is learnt, and what is refused (S0.R8)."""

import math
import re
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from small_learners import CHANNELS, CODE, MEMORY, Delta, Hebb, Rewarded, network, patterns, trainer, wanted

from soen_event.errors import InputError
from soen_event.learning import Rule, Storage
from training.local import LocalTrainer
from training.local_errors import (
    ConnectionNotFoundError,
    DimensionMismatchError,
    InvalidLayerError,
    LearningWarning,
    NonFiniteError,
)
from training.local_inputs import PhotonCode

X, Y = patterns()
COARSE = Storage(0.0, 1.0, levels=5, rounding="nearest")


def test_reports_are_what_the_recording_says_s0_r9():
    """S0.R9: norms, counts and statistics of one sample against recording, photons and spikes."""
    made = trainer(Hebb(), COARSE, network(0.9))
    made.fit(X[:1], epochs=1)
    report, rec = made.reports["Hebb"], made.recording()
    before = np.array([rec.learnt(s, 0.0) for s in rec.site_ids])
    after = np.array([rec.learnt(s) for s in rec.site_ids])
    assert np.isclose(report.weight_norm_before, np.linalg.norm(before))
    assert np.isclose(report.weight_norm_after, np.linalg.norm(after))
    assert np.isclose(report.update_norm, np.linalg.norm(after - before)) and report.update_norm >= 0.0
    assert report.writes == sum(len(rec.writes[s][0]) for s in rec.site_ids)
    photons = np.repeat(X[0] >= 0.2, 2).astype(float)
    assert np.isclose(report.pre_mean, photons.mean()) and np.isclose(report.pre_std, photons.std())
    assert np.isclose(report.pre_square, (photons**2).mean())
    spikes = np.array([len(rec.spikes[n]) for n in ("n0", "n1")], dtype=float)
    assert np.isclose(report.post_mean, spikes.mean()) and np.isclose(report.post_square, (spikes**2).mean())
    assert report.asked >= report.writes + report.lost and report.lost > 0 and 0 < report.lost_share <= 1
    assert set(report.as_dict()) >= {"update_norm", "weight_norm_before", "weight_norm_after", "pre_mean", "post_mean"}


def told(made, **how):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.fit(X, how.pop("y", None), **how)
    return [str(w.message) for w in caught if issubclass(w.category, LearningWarning)]


def test_a_memory_that_rounds_to_the_nearest_level_swallows_small_changes_and_the_trainer_says_so():
    """A deterministic-rounding update smaller than half a level does not move the weight, and the trainer says so."""
    small = Hebb(lr=0.02)  # half a level is 0.125
    made = trainer(small, COARSE, network(0.9))
    before = made.simulation.learnt
    (text,) = told(made, epochs=2)
    assert made.simulation.learnt == before
    assert "below half a level (0.125)" in text and "stochastic" in text and "Hebb" in text
    report = made.epoch_reports["Hebb"]
    assert report.writes == 0 < report.asked == report.lost and made.history[-1]["lost"] == 1.0
    assert list(made.diagnose()) == ["Hebb"] and "below half a level" in made.diagnose()["Hebb"]
    for rounding in ("stochastic", "hidden"):
        other = trainer(small, Storage(0.0, 1.0, levels=5, rounding=rounding), network(0.9))
        assert told(other, epochs=6) == [] and other.simulation.learnt != before


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"rule": Hebb(), "storage": MEMORY, "net": network(0.05)}, None),
        (
            {"rule": Rewarded(), "net": network(0.05), "modulator": lambda o, t: 1.0},
            "no update because no spikes.*n0, n1",
        ),
        ({"rule": Hebb(), "encoder": lambda x: {}}, "no update because no spikes"),
        ({"rule": Delta(), "modulator": wanted, "encoder": lambda x: {}}, "no update because no photons"),
        ({"rule": Delta(), "modulator": lambda o, t: 0.0}, "asked for no change between"),
        ({"rule": Hebb(lr=10.0), "storage": Storage(0.0, 1.0), "net": network(0.9)}, "lost at the bounds"),
    ],
)
def test_it_says_why_nothing_is_learnt(options, what):
    rule, storage, net = options.pop("rule"), options.pop("storage", MEMORY), options.pop("net", None)
    made = trainer(rule, storage, net, **options)
    found = told(made, epochs=2, y=Y)
    assert len(found) == (0 if what is None else 1)
    if what is not None:
        assert re.search(what, found[0])


def test_rates_of_zero_and_signals_that_nobody_sends():
    made = LocalTrainer(
        network(), Hebb().on(synapses="*", rate=0.0), encoder=CODE, length=40.0, gap=60.0, progress=False
    )
    assert "because its rate is 0" in told(made)[0]
    found = told(trainer(Rewarded(), net=network(0.9)))
    assert any("rules hear reward, and nothing sends it" in text for text in found)


def test_places_that_are_not_there_s0_r8():
    """S0.R8: typed errors that name the connection, all of them."""
    net = network()

    def make(rules, **options):
        return LocalTrainer(net, rules, encoder=CODE, progress=False, **options)

    with pytest.raises(
        ConnectionNotFoundError, match=r"Hebb.synapses: there is no synapse or coupling 's0\.9'.*mean"
    ) as found:
        make([Hebb().on(synapses=["s0.0", "s0.9"]), Hebb().on(synapses="q*", name="two")])
    assert len(found.value.faults) == 2
    with pytest.raises(ConnectionNotFoundError, match="'d0->n9'"):
        make(Rewarded().on(couplings="d0->n9"))
    with pytest.raises(InvalidLayerError, match=r"two.loops: there is no dendrite or neuron 'd7'"):
        make(Rewarded().on(loops="d7", name="two"))
    with pytest.raises(InvalidLayerError, match="post: there is no dendrite or neuron 'm'"):
        make(Hebb().on(synapses="s0.0", post="m"))
    with pytest.raises(ConnectionNotFoundError, match=r"LocalTrainer.connections: .*'s9'"):
        make(Hebb(), connections=["s9"])
    with pytest.raises(InvalidLayerError, match=r"LocalTrainer.layers: .*'layer'"):
        make(Hebb(), layers="layer")
    with pytest.raises(InvalidLayerError, match="n0 has no synapse"):
        make(Hebb(), layers="n0")
    with pytest.raises(InvalidLayerError, match=r"SpikeCounts.parts: there is no 'n7'"):
        make(Hebb().on(synapses="*"), readout=["n0", "n7"])
    with pytest.raises(ConnectionNotFoundError, match=r"PhotonCode.channels: there is no synapse 'z'"):
        LocalTrainer(net, Hebb().on(synapses="*"), encoder=PhotonCode("latency", ["z"]))
    assert make(Hebb(), layers=["d0"]).simulation.plan.learning.site_ids == tuple(f"s{f}.0" for f in range(4))
    both = make(Rewarded(tau=5.0), connections=["s0.*"]).simulation.plan.learning.site_ids
    assert both == ("s0.0", "s0.1")
    for error in (ConnectionNotFoundError, InvalidLayerError, DimensionMismatchError, NonFiniteError):
        assert issubclass(error, InputError) and issubclass(error, ValueError)


def test_sizes_that_do_not_fit_s0_r8():
    """S0.R8: samples, channels, targets."""
    made = trainer()
    for x, y, what in (
        (X, Y[:5], "there are 5 for 12 samples"),
        (X[:0], None, "there is no sample"),
        (X[:, :3], None, r"shape \(3,\), and there are 4 channels"),
    ):
        with pytest.raises(DimensionMismatchError, match=what):
            made.fit(x, y)
    with pytest.raises(DimensionMismatchError, match="for 12 samples"):
        made.evaluate(X, Y[:3])


def test_numbers_that_are_not_finite_s0_r8():
    """S0.R8: in samples, targets, signals, and in what rules make of them; the site is named."""
    with pytest.raises(NonFiniteError, match=r"inputs\[1, 2\]: nan"):
        trainer().fit(np.where(np.arange(48).reshape(12, 4) == 6, np.nan, X))
    with pytest.raises(NonFiniteError, match=r"targets\[0\]: inf"):
        trainer().fit(X, np.full(12, np.inf))
    with pytest.raises(NonFiniteError, match=r"error of n0: nan is not finite.*epoch 0, sample"):
        trainer(Delta(), modulator=lambda o, t: {"n0": math.nan}).fit(X, Y)

    @dataclass(frozen=True)
    class Wild(Rule):
        requires = frozenset({"pre"})
        variables = {"x": None}

        @staticmethod
        def on_detection(site, p):
            site.x = site.x * 1e200 + 1e200
            site.change += site.x - site.x * 10.0

    with pytest.raises(NonFiniteError, match=r"Wild: s\d\.\d was asked for a change that is no finite number, at"):
        trainer(Wild(), Storage()).fit(X, epochs=3)


def test_nonsense_is_told_all_at_once():
    net = network()
    with pytest.raises(InputError) as found:
        LocalTrainer(
            net, Hebb().on(synapses="*"), length=0.0, gap=-1.0, readout="spikes", seed=-1, loss="nothing", callbacks=[3]
        )
    assert len(found.value.faults) == 6
    for options, what in (
        ({"windows": {"Hebbb": (0.0, 1.0)}}, "no rule 'Hebbb'.*Hebb"),
        ({"windows": {"Hebb": (5.0, 1.0)}}, r"windows\['Hebb'\]\[1\]"),
        ({"rates": {"Hebb": 3.0}}, "float is no RateWrapper"),
        ({"modulator": {"reward": wanted}}, "'reward' is not heard"),
        ({"modulator": 3}, "cannot be called"),
        ({"encoder": 3}, "int is no encoder"),
    ):
        with pytest.raises(InputError, match=what):
            trainer(Hebb(), **options)
    with pytest.raises(InputError, match="does not say where it acts"):
        LocalTrainer(net, Hebb())
    with pytest.raises(InputError, match="these say themselves where they act"):
        LocalTrainer(net, Hebb().on(synapses="*"), layers="d0")
    with pytest.raises(InputError, match="there are no targets to compare with"):
        trainer(loss="mse").fit(X)
    with pytest.raises(InputError, match=r"a photon comes at 45 ns, and a sample lasts from 0 to before 40 ns"):
        trainer(encoder=lambda x: {"s0.0": [45.0]}).fit(X)
    with pytest.raises(ConnectionNotFoundError, match="no synapse 's0'"):
        trainer(encoder=lambda x: {"s0": [5.0]}).fit(X)
    with pytest.raises(InvalidLayerError, match="'m' is neither a neuron nor a signal"):
        trainer(Delta(), modulator=lambda o, t: {"m": 1.0}).fit(X, Y)
    for arguments, what in (
        ({"name": "latncy", "channels": CHANNELS}, "'latncy' is unknown.*latency"),
        ({"name": "latency", "channels": []}, "there is none"),
        ({"name": "latency", "channels": CHANNELS, "windoww": 1.0}, "has no such option"),
    ):
        with pytest.raises(InputError, match=what):
            PhotonCode(**arguments)


def test_modulators_speak_by_number_by_neuron_or_by_signal():
    """One function for all signals, one for each, or one that names them: the same."""
    found = []
    for modulator in (wanted, {"error": wanted}, lambda o, t: {"error": wanted(o, t)}):
        made = trainer(Delta(), modulator=modulator)
        made.fit(X, Y)
        found.append(made.simulation.learnt)
    assert found[0] == found[1] == found[2]
    alike = [trainer(Delta(), modulator=m) for m in (lambda o, t: 0.5, lambda o, t: {"n0": 0.5, "n1": 0.5})]
    for made in alike:
        made.fit(X, Y)
    assert alike[0].simulation.learnt == alike[1].simulation.learnt
