"""The lab bench: trials, delayed reward, when it stops, and that the same bench gives the same bits."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware.bench import Bench, Criterion, Result, Task, Trial
from hardware.chip import NIST_SPIKING
from hardware.instrument import VirtualChip
from soen_event.errors import InputError
from soen_event.learning import Rule, Storage
from training.rules import ThreeFactor

QUIET = dataclasses.replace(NIST_SPIKING, name="no photon lost", efficiency=1.0, dead_time=0.0)
TASK = Task(stimuli={"left": {"a": [0.0]}, "right": {"b": [0.0]}}, answers={"left": "n1", "right": "n2"}, delay=50.0)


@dataclasses.dataclass(frozen=True)
class Note(Rule):
    """The weight is the time of the last reward, scaled."""

    requires = frozenset({"weight", "broadcast"})
    signals = ("reward",)

    @staticmethod
    def on_reward(site, p):
        site.change += site.now * 1e-4 * site.signal - site.weight


def network():
    """Line a makes n1 spike, and b n2; between 2 and 4 ns after the light."""
    with se.Network(name="two") as net:
        for k, line in ((1, "a"), (2, "b")):
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=1000.0, tau=50.0)
            se.Synapse(f"{line}.{k}", f"d{k}", weight=0.95, phi_peak=0.5, tau_fall=30.0)
            se.Synapse(f"idle.{k}", f"d{k}", weight=0.5, phi_peak=0.1)
            se.Neuron(
                f"n{k}",
                soma=se.Soma(beta_over_2pi=100.0, tau=50.0, threshold=0.1, t_ref=100.0),
                refractory=se.Refractory(),
            )
            se.Coupling(f"d{k}", f"n{k}", J=1.5)
    return net


def chip(rule=None, **options):
    found = VirtualChip(options.pop("kind", QUIET), seed=options.pop("seed", 1))
    learning = (rule or Note()).on(synapses="idle*", storage=Storage(0.0, 1.0))
    found.load(network(), learning=learning, ports=lambda s: s.id.split(".")[0], temperature=0.0)
    return found


@pytest.mark.parametrize("delay", [0.0, 30.0, 200.0])
def test_a_reward_comes_its_delay_after_the_answer(delay):
    """features.md S0.14: the rule hears it then, and not before."""
    virtual = chip()
    found = Bench(virtual, dataclasses.replace(TASK, delay=delay), criterion=None, most=4, look=1.0).run()
    assert len(found.trials) == 4 and found.learnt_at is None and "not learnt in 4 trials" in found.status
    for trial in found.trials:
        assert trial.right and trial.answer == trial.wanted and 1.0 < trial.answered - trial.start < 5.0
        late = trial.paid - trial.answered - delay
        assert trial.reward == 1.0 and (abs(late) < 1e-5 if delay else 0.0 <= late <= 1.0)
    times, values = virtual.recording().writes["idle.1"]
    paid = [trial.paid for trial in found.trials]
    np.testing.assert_allclose(times, paid, atol=1e-5)
    np.testing.assert_allclose(values, np.array(paid) * 1e-4, atol=1.0 / 400.0)  # to one level
    assert found.weights[0]["idle.1"] == 0.5 and found.weights[1]["idle.1"] == pytest.approx(values[-1])


def test_it_stops_when_it_has_learnt_and_goes_on_when_asked():
    virtual = chip()
    told = []
    bench = Bench(virtual, TASK, criterion=Criterion(3, 4), most=50)
    found = bench.run(progress=lambda done, most: told.append((done, most)))
    assert (
        found.learnt_at == 4 == len(found.trials) and found.accuracy() == 1.0 and told == [(k, 50) for k in range(1, 5)]
    )
    assert found.status == "learnt: 3 of the last 4 right at trial 4"
    assert {trial.stimulus for trial in found.trials[:2]} == {"left", "right"}  # shuffled blocks
    again = bench.run()
    assert again.trials[0].start > found.trials[-1].paid
    assert [trial.stimulus for trial in again.trials] == [trial.stimulus for trial in found.trials]
    assert [what for _, what, _ in found.log[:3]] == ["stimulus", "answer", "reward"] and found.log[-1][1] == "learnt"
    assert [t for t, _, _ in found.log] == sorted(t for t, _, _ in found.log)


def test_wrong_and_silent_answers():
    wrong = dataclasses.replace(TASK, answers={"left": "n2", "right": "n1"}, wrong=-0.5)
    found = Bench(chip(), wrong, most=2).run()
    assert found.accuracy() == 0.0 and {trial.reward for trial in found.trials} == {-0.5}
    dark = Task(stimuli={"dark": {"idle": [0.0]}}, answers={"dark": "n1"}, silent=0.25, window=20.0, delay=5.0)
    (trial,) = Bench(chip(), dark, most=1).run().trials
    assert trial.answer is None and trial.answered is None and not trial.right and trial.reward == 0.25
    assert trial.paid == pytest.approx(trial.start + 25.0)
    unpaid = Bench(chip(), dataclasses.replace(TASK, signal=None), most=1).run().trials[0]
    assert unpaid.reward is None and unpaid.paid is None and unpaid.right


def test_who_spikes_most_has_answered():
    both = {"both": {"a": [0.0, 110.0], "b": [5.0]}}
    task = Task(stimuli=both, answers={"both": "n1"}, choices=("n1", "n2"), window=150.0, decide="most", delay=10.0)
    (trial,) = Bench(chip(), task, most=1).run().trials
    assert trial.answer == "n1" and trial.paid == pytest.approx(trial.start + 160.0)
    equal = dataclasses.replace(task, stimuli={"both": {"a": [0.0], "b": [5.0]}})
    assert Bench(chip(), equal, most=1).run().trials[0].answer is None
    first = dataclasses.replace(equal, decide="first", answers={"both": "n2"})
    assert Bench(chip(), first, most=1).run().trials[0].answer == "n1"


def test_spikes_before_a_stimulus_are_no_answers():
    virtual = chip()
    virtual.inject({"b": [0.0]})
    virtual.run(3.5)
    (trial,) = (
        Bench(virtual, Task(stimuli={"left": {"a": [0.0]}}, answers={"left": "n1"}, choices=("n1", "n2")), most=1)
        .run()
        .trials
    )
    assert trial.answer == "n1" and trial.start == 3.5


def test_the_same_bench_gives_the_same_bits():
    def run(seed, of_chip=1):
        virtual = VirtualChip(NIST_SPIKING, seed=of_chip)
        rule = ThreeFactor(lr=0.1, tau_e=200.0)
        virtual.load(network(), learning=rule.on(synapses="*"), ports=lambda s: s.id.split(".")[0], temperature=0.0)
        return Bench(virtual, TASK, criterion=None, most=10, seed=seed).run()

    one = run(0)
    assert one == run(0)
    assert [t.stimulus for t in run(1).trials] != [t.stimulus for t in one.trials]
    assert run(0, of_chip=2) != one


@settings(deadline=None, max_examples=50)
@given(right=st.lists(st.booleans(), max_size=40), width=st.integers(1, 50))
def test_the_curve_is_the_share_of_right_answers(right, width):
    trials = tuple(Trial(k + 1, "s", "n", "n", 0.0, 1.0, r, None, None) for k, r in enumerate(right))
    found = Result(trials, None, Criterion(), ({}, {}), (), 0)
    expected = [np.mean(right[max(0, k + 1 - width) : k + 1]) for k in range(len(right))]
    np.testing.assert_allclose(found.curve(width), expected, atol=1e-12)
    assert math.isnan(found.accuracy()) if not right else found.accuracy() == pytest.approx(np.mean(right))
    best = Criterion(min(3, width), width)
    assert best.met(right) == (len(right) >= width and sum(right[-width:]) >= best.right)


def test_a_result_is_saved(tmp_path):
    found = Bench(chip(), TASK, most=2).run()
    found.save(tmp_path / "run.json")
    read = json.loads((tmp_path / "run.json").read_text())
    assert read["trials"][1]["answer"] == found.trials[1].answer and read["status"] == found.status
    assert "2 trials, 2 right, 0 without an answer" in str(found)
    with pytest.raises(InputError, match="exists"):
        found.save(tmp_path / "run.json")
    with pytest.raises(InputError, match=r"Result\.curve\.width"):
        found.curve(0)


def test_nonsense():
    with pytest.raises(InputError) as error:
        Task(
            stimuli={"x": {"a": [-1.0]}, "y": 3},
            answers={"x": "n1", "z": "n1"},
            window=0.0,
            decide="frist",
            delay=math.nan,
            right="a",
        )
    told = "\n".join(error.value.faults)
    for word in ("Task.stimuli['x']['a']", "Task.stimuli['y']", "none for 'y'", "no stimulus 'z'", "Task.window", "'first'",
                 "Task.delay", "Task.right"):  # fmt: skip
        assert word in told, word
    for bad in ({"stimuli": {}}, {"answers": 3}, {"choices": "n1"}, {"choices": ("n1",)}, {"signal": 3}):
        with pytest.raises(InputError, match=r"Task\."):
            dataclasses.replace(TASK, **bad)
    for arguments in ((0, 5), (6, 5), (1.5, 5), (True, 5)):
        with pytest.raises(InputError, match=r"Criterion\."):
            Criterion(*arguments)
    with pytest.raises(InputError) as error:
        Bench(3, 4, criterion=5, most=0, look=0.0, seed=-1)
    assert len(error.value.faults) == 6
    wrong = Task(stimuli={"x": {"aa": [0.0]}}, answers={"x": "n3"}, signal="rewrd")
    with pytest.raises(InputError) as error:
        Bench(chip(), wrong)
    told = "\n".join(error.value.faults)
    assert "no line 'aa'" in told and "no neuron 'n3'" in told and "no rule on the chip hears 'rewrd'" in told
    with pytest.raises(InputError, match="nothing is loaded"):
        Bench(VirtualChip(QUIET), TASK)
    with pytest.raises(InputError, match=r"Bench\.run\.progress"):
        Bench(chip(), TASK).run(progress=3)
