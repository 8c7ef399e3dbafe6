"""Runs that are held, split, changed, saved and restored."""

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest

import soen_event as se
from soen_event.engine import state as engine_state


def small_network():
    """Everything at once: a tree, a neuron that excites itself over a waveguide, refraction, draws, a drive, an RTTI dendrite."""
    with se.Network() as net:
        se.Neuron(
            "n1",
            soma=se.Soma(threshold=0.15, t_ref=3.0),
            refractory=se.Refractory(),
            transmitter=se.Transmitter(emission="photons"),
        )
        se.Neuron(
            "n2", soma=se.Soma(threshold=0.2, after_spike="keep", t_ref=2.0), transmitter=se.Transmitter(latency=1.0)
        )
        se.Dendrite("d1", beta_over_2pi=100, tau=30.0)
        se.Dendrite("d2", kind="rtti", ib=2.0, beta_over_2pi=100, tau=20.0)
        se.Coupling("d1", "n1", J=0.6)
        se.Coupling("d2", "n1", J=-0.2)
        se.Coupling("d1", "n2", J=0.5)
        se.Synapse("s1", "d1", efficiency=0.9)
        se.Synapse("s2", "d2", recovery="bias", dead_time=5.0)
        se.Synapse("s3", "d1", weight=0.7)
        se.Waveguide("n1", "s3", delay=0.3)
        se.Waveguide("n2", "s2", delay=0.1, loss_db=1.0)
        se.Drive("d1", points=[(0.0, 0.0), (5.0, 0.1), (20.0, 0.1), (21.0, 0.0)])
        se.Drive("d2", pulses=[se.Pulse(3.0, 0.3, 0.5, 5.0)])
    return net


PHOTONS = {"s1": [2.0, 2.0, 12.0, 30.0], "s2": [2.0, 12.01, 30.0], "s3": [7.5]}
EVERYTHING = ("fluxons", "photons", "currents")


def digest(recording):
    total = hashlib.blake2b()
    for table in ("spikes", "fluxons", "photons", "trace", "amplitudes"):
        for column in sorted(recording.table(table)):
            total.update(np.ascontiguousarray(recording.table(table)[column]).tobytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def whole():
    return se.simulate(small_network(), PHOTONS, 60.0, record=EVERYTHING, seed=3)


def test_the_network_of_these_tests_is_busy(whole):
    counts = whole.event_counts
    assert counts["spikes"] >= 2 and counts["fluxons"] > 200
    assert counts["lost_hotspot"] >= 1 and counts["lost_dead"] >= 1 and counts["events"] > 700


def test_any_way_of_splitting_a_run_is_the_same_run(whole):
    for pieces in ([0.0, 1e-6, 2.0, 2.000001, 7.5, 33.3], [59.999999], list(np.linspace(0.1, 59.0, 40))):
        run = se.Simulation(small_network(), PHOTONS, record=EVERYTHING, seed=3)
        for t in pieces:
            assert run.run(t) == "done"
            assert run.now == pytest.approx(t)
        run.run(60.0)
        assert digest(run.finish()) == digest(whole)
    run = se.Simulation(small_network(), PHOTONS, record=EVERYTHING, seed=3)
    while run.run(60.0, events=7) == "held":
        pass
    assert digest(run.finish()) == digest(whole)


def test_what_is_recorded_changes_nothing(whole):
    quiet = se.simulate(small_network(), PHOTONS, 60.0, record=(), seed=3)
    assert quiet.event_counts == whole.event_counts
    assert np.array_equal(quiet.spikes["n1"], whole.spikes["n1"])
    chosen = se.simulate(small_network(), PHOTONS, 60.0, record={"currents": ["d1"], "fluxons": ["n2"]}, seed=3)
    t = np.linspace(0, 60, 500)
    assert np.array_equal(chosen.current("d1", t), whole.current("d1", t))
    assert np.array_equal(chosen.fluxons["n2"], whole.fluxons["n2"])
    with pytest.raises(se.InputError, match="currents"):
        chosen.current("d2", 1.0)


def test_seed_decides_the_draws(whole):
    again = se.simulate(small_network(), PHOTONS, 60.0, record=EVERYTHING, seed=3)
    assert digest(again) == digest(whole) and again.seed == 3
    others = {digest(se.simulate(small_network(), PHOTONS, 60.0, record=EVERYTHING, seed=k)) for k in range(4, 12)}
    assert len(others) > 1


FINISH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_simulate import digest
import soen_event as se
for k in sys.argv[3:]:
    run = se.Simulation.restore(Path(sys.argv[2]) / f"{k}.h5")
    assert run.event_count == int(k)
    run.run(60.0)
    print(k, digest(run.finish()), flush=True)
"""


def restored(folder, numbers):
    from pathlib import Path

    out = subprocess.run(
        [sys.executable, "-c", FINISH, str(Path(__file__).parent), str(folder), *map(str, numbers)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    return dict(line.split() for line in out.stdout.splitlines())


def checkpointed(folder, count):
    run = se.Simulation(small_network(), PHOTONS, record=EVERYTHING, seed=3)
    for k in range(1, count + 1):
        run.run(events=1)
        run.checkpoint(folder / f"{k}.h5")
    return range(1, count + 1)


def test_checkpoint_after_each_of_500_events_restored_in_a_fresh_process(tmp_path, whole):
    numbers = checkpointed(tmp_path, 500)
    found = restored(tmp_path, numbers)
    assert [found[str(k)] for k in numbers] == [digest(whole)] * 500


@pytest.mark.long
def test_each_of_500_checkpoints_in_a_process_of_its_own(tmp_path, whole):
    for k in checkpointed(tmp_path, 500):
        assert restored(tmp_path, [k])[str(k)] == digest(whole)


def test_a_checkpoint_is_refused_when_damaged_or_in_the_way(tmp_path):
    run = se.Simulation(small_network(), PHOTONS)
    run.run(5.0)
    run.checkpoint(tmp_path / "c.h5")
    before = (tmp_path / "c.h5").read_bytes()
    with pytest.raises(se.InputError, match="exists already"):
        run.checkpoint(tmp_path / "c.h5")
    assert (tmp_path / "c.h5").read_bytes() == before
    (tmp_path / "cut.h5").write_bytes(before[: len(before) // 2])
    (tmp_path / "empty.h5").write_bytes(b"")
    for name in ("cut.h5", "empty.h5", "missing.h5", "."):
        with pytest.raises(se.InputError, match="checkpoint"):
            se.Simulation.restore(tmp_path / name)
    whole = se.simulate(small_network(), PHOTONS, 5.0)
    whole.save(tmp_path / "recording.h5")
    with pytest.raises(se.InputError, match="checkpoint"):
        se.Simulation.restore(tmp_path / "recording.h5")
    assert not list(tmp_path.glob("*.tmp"))


def test_photons_injected_in_time_are_as_good_as_photons_given_before(whole):
    run = se.Simulation(small_network(), {"s1": [2.0, 2.0], "s2": [2.0]}, record=EVERYTHING, seed=3)
    run.run(5.0)
    run.inject("s3", 7.5)
    run.inject("s2", [12.01, 30.0])
    run.run(11.0)
    run.inject("s1", [30.0, 12.0])
    run.run(60.0)
    assert digest(run.finish()) == digest(whole)
    with pytest.raises(se.InputError, match="before now"):
        run.inject("s1", 59.0)
    with pytest.raises(se.InputError, match="did you mean 's1'"):
        run.inject("s11", 70.0)


def test_photons_for_many_synapses_in_one_go(whole):
    run = se.Simulation(small_network(), {"s1": [2.0, 2.0], "s2": [2.0]}, record=EVERYTHING, seed=3)
    run.run(5.0)
    run.inject({"s3": 7.5, "s2": [30.0, 12.01], "s1": (12.0, 30.0)})
    with pytest.raises(se.InputError) as error:
        run.inject({"s3": 20.0, "s11": 20.0, "s1": [20.0, 4.0], "s2": ["soon"]})
    assert all(word in fault for word, fault in zip(("s11", "before now", "s2"), error.value.faults, strict=True))
    nonsense = (("s1", None), ({"s1": 20.0}, 30.0), (["s1"], 20.0), ("s1", [[20.0]]), ("s1", np.inf), ("s1", 1e30))
    for synapse, times in nonsense:
        with pytest.raises(se.InputError):
            run.inject(synapse, times)
    run.run(60.0)
    assert digest(run.finish()) == digest(whole)


def test_programming_a_weight_is_the_network_with_that_weight_from_then_on():
    def dendrite(weight):
        with se.Network() as net:
            se.Dendrite("d", beta_over_2pi=300, tau=50.0)
            se.Synapse("s", "d", weight=weight)
        return net

    # Before any photon a programmed weight is simply the weight.
    run = se.Simulation(dendrite(1.0), {"s": [10.0]}, record=EVERYTHING)
    run.run(5.0)
    run.set_weight("s", 0.6)
    run.run(40.0)
    assert np.array_equal(run.finish().fluxons["d"], se.simulate(dendrite(0.6), {"s": [10.0]}, 40.0).fluxons["d"])
    # In the tail of a pulse the flux follows at once: from there on it is that of the other weight.
    for moment in (10.03, 10.5, 15.0):
        run = se.Simulation(dendrite(1.0), {"s": [10.0]}, record=EVERYTHING)
        run.run(moment)
        run.set_weight("s", 0.2)
        run.run(40.0)
        rec = run.finish()
        t = np.linspace(moment + 1e-6, 40.0, 200)
        assert rec.flux("d", t) == pytest.approx(
            se.simulate(dendrite(0.2), {"s": [10.0]}, 40.0, record=EVERYTHING).flux("d", t), abs=1e-12
        )
        assert rec.flux("d", moment - 0.01) > 0.2 or moment < 10.1
    with pytest.raises(se.InputError, match="finite"):
        run.set_weight("s", float("nan"))


def test_programming_a_coupling_scales_the_flux_that_is_there():
    with se.Network() as net:
        se.Dendrite("a", beta_over_2pi=300, tau=50.0)
        se.Dendrite("b", beta_over_2pi=300, tau=50.0)
        se.Synapse("s", "a")
        se.Coupling("a", "b", J=0.1)
    run = se.Simulation(net, {"s": [1.0]}, record=EVERYTHING)
    run.run(20.0)
    run.set_coupling("a", "b", 0.5)
    run.run(30.0)
    rec = run.finish()
    for t, J in ((19.9, 0.1), (20.0 + 1e-6, 0.5), (29.0, 0.5)):
        assert rec.flux("b", t) == pytest.approx(J * rec.seen("a", t), rel=1e-9)
    assert rec.fluxon_count["b"] > 0 and rec.fluxons["b"][0] >= 20.0
    with pytest.raises(se.InputError, match="not coupled"):
        run.set_coupling("b", "a", 0.1)


class TestBias:
    @staticmethod
    def neuron(d=1.8, soma=1.8, **refractory):
        with se.Network() as net:
            se.Synapse("s", "d")
            se.Dendrite("d", ib=d, beta_over_2pi=300, tau=20.0)
            se.Coupling("d", "n", J=0.6)
            se.Neuron("n", soma=se.Soma(ib=soma, threshold=0.1, tau=20.0), refractory=se.Refractory(**refractory))
        return net

    @pytest.mark.parametrize("engine", ["compiled", "reference"])
    def test_a_bias_set_before_is_that_of_the_network(self, engine):
        run = se.Simulation(self.neuron(), {"s": [5.0]}, engine=engine, record=EVERYTHING)
        before = run.network.refractory_coupling("n")
        for loop, ib in (("d", "170 uA"), ("n", 1.9), ("n.soma", 1.85), ("n.refractory", 1.75)):
            run.set_bias(loop, ib)
        net = self.neuron(1.7, 1.85, ib=1.75, J=before)  # a chip does not adapt its couplings
        assert run.network == net != self.neuron()
        run.run(40.0)
        there, here = se.simulate(net, {"s": [5.0]}, 40.0, engine=engine, record=EVERYTHING), run.finish()
        assert all(np.array_equal(here.fluxons[name], there.fluxons[name]) for name in there.fluxons)
        assert len(here.fluxons["n.refractory"]) and np.array_equal(here.spikes["n"], there.spikes["n"])

    def test_over_bias_makes_fluxons_and_the_current_stays(self):
        run = se.Simulation(self.neuron(), None, record=EVERYTHING)
        run.run(5.0)
        run.set_bias("d", 2.2)  # above the critical current 2 (physics.md 2.2)
        run.run(10.0)
        run.set_bias("d", 1.8)
        run.run(30.0)
        rec = run.finish()
        assert len(rec.fluxons["d"]) > 20 and rec.fluxons["d"][0] > 5.0 and rec.fluxons["d"][-1] < 10.1
        tau = run.plan.arrays.tau[run.plan.loop_index["d"]]
        assert rec.quanta("d", 30.0) == pytest.approx(rec.quanta("d", 10.0) * math.exp(-20.0 / tau), rel=1e-9)

    def test_it_is_in_checkpoints_and_recordings(self, tmp_path):
        run = se.Simulation(self.neuron(), {"s": [5.0, 30.0]}, record=EVERYTHING)
        run.run(10.0)
        run.set_bias("d", 1.9)
        run.checkpoint(tmp_path / "c.h5")
        run.run(60.0)
        again = se.Simulation.restore(tmp_path / "c.h5")
        again.run(60.0)
        rec = run.finish()
        assert digest(again.finish()) == digest(rec)
        rec.save(tmp_path / "r.h5")
        loaded = se.Recording.load(tmp_path / "r.h5")
        assert loaded.network["d"].ib == 1.9 and loaded.energy == rec.energy

    def test_what_is_refused(self, tmp_path):
        run = se.Simulation(self.neuron(), None)
        for loop, ib in (("e", 1.8), (None, 1.8), (["d"], 1.8), ("d", 9.0), ("d", math.nan), ("d", None), ("n", 0.5)):
            with pytest.raises(se.InputError):
                run.set_bias(loop, ib)
        assert run.network == self.neuron()
        with pytest.raises(se.InputError, match="streams to a file"):
            se.Simulation(self.neuron(), None, out=tmp_path / "r.h5").set_bias("d", 1.7)
        tiled = se.Simulation(se.TiledNetwork(self.neuron(), 2), None)
        with pytest.raises(se.InputError, match="tiled"):
            tiled.set_bias(tiled.plan.loop_ids[0], 1.7)


def test_the_same_photon_stream_from_file_dict_and_stimulus(tmp_path, whole):
    stimulus = se.Stimulus(PHOTONS)
    for name in ("p.csv", "p.npz", "p.h5"):
        stimulus.save(tmp_path / name)
        assert digest(se.simulate(small_network(), tmp_path / name, 60.0, record=EVERYTHING, seed=3)) == digest(whole)
    small_network().save(tmp_path / "net.yaml")
    assert digest(se.simulate(tmp_path / "net.yaml", stimulus, 60.0, record=EVERYTHING, seed=3)) == digest(whole)


def test_a_streamed_recording_is_the_one_in_memory(tmp_path, whole):
    streamed = se.simulate(small_network(), PHOTONS, 60.0, record=EVERYTHING, seed=3, out=tmp_path / "run.h5")
    assert digest(streamed) == digest(whole)
    t = np.linspace(0, 60, 333)
    for name in ("d1", "d2", "n1", "n2", "n1.refractory"):
        assert np.array_equal(streamed.current(name, t), whole.current(name, t))
    with pytest.raises(se.InputError, match="exists already"):
        se.simulate(small_network(), PHOTONS, 60.0, out=tmp_path / "run.h5")


NONSENSE = [
    ({"duration": None}, "duration is missing"),
    ({"duration": -1.0}, "above 0"),
    ({"duration": float("nan")}, "finite"),
    ({"duration": "long"}, "not a number"),
    ({"engine": "compield"}, "did you mean 'compiled'"),
    ({"resolution": "flux"}, "did you mean 'fluxon'"),
    ({"record": ("fluxon",)}, "did you mean 'fluxons'"),
    ({"record": {"currents": ["d9"]}}, "there is no 'd9'"),
    ({"seed": -1}, "seed"),
    ({"seed": 1.5}, "seed"),
    ({"photons": {"s9": [1.0]}}, "s9"),
    ({"photons": {"s1": [3.0, 1.0]}}, "s1"),
    ({"photons": {"s1": [-3.0]}}, "s1"),
    ({"photons": {"s1": [float("inf")]}}, "s1"),
    ({"photons": {"n1.refractory.synapse": [1.0]}}, "n1.refractory.synapse"),
    ({"network": 17}, "not a Network"),
    ({"network": "no/such/file.yaml"}, "no/such/file.yaml"),
]


@pytest.mark.parametrize(("change", "says"), NONSENSE)
def test_nonsense_is_told_before_anything_runs(change, says):
    arguments = {"network": small_network(), "photons": {}, "duration": 10.0, **change}
    with pytest.raises(se.InputError) as trouble:
        se.simulate(arguments.pop("network"), arguments.pop("photons"), arguments.pop("duration"), **arguments)
    assert says in str(trouble.value)


def test_a_lost_drive_is_refused():
    stimulus = se.Stimulus(drives=[se.Drive("dd1", points=[(0.0, 0.0), (1.0, 0.1)])])
    with pytest.raises(se.InputError, match="did you mean 'd1'"):
        se.simulate(small_network(), stimulus, 1.0)


def test_progress_is_told_at_most_once_a_second_and_not_to_a_pipe(capsys):
    told = []
    se.simulate(small_network(), PHOTONS, 60.0, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (60.0, 60.0)
    se.simulate(small_network(), PHOTONS, 60.0, progress=True)
    se.simulate(small_network(), PHOTONS, 60.0)
    out = capsys.readouterr()
    assert out.out == "" and out.err.count("%") <= 1


def test_a_network_without_anything_runs():
    rec = se.simulate(se.Network(), duration=10.0)
    assert rec.event_counts["events"] == 0 and rec.end == 10.0


def test_state_is_a_copy():
    run = se.Simulation(small_network(), PHOTONS)
    before = run.state
    run.run(30.0)
    assert not engine_state.same(before, run.state)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("resolution", ["fluxon", "flow"])
def test_a_run_afresh_is_a_run_made_anew(engine, resolution):
    with se.Network() as net:
        se.Dendrite("d", beta_over_2pi=300, tau=60.0)
        se.Synapse("s", "d", efficiency=0.7)
        se.Coupling("d", "n", J=0.5)
        se.Neuron("n", soma=se.Soma(threshold=0.1, beta_over_2pi=300))
        se.Drive("d", points=((0.0, 0.0), (1.0, 0.1)))
    options = {"engine": engine, "resolution": resolution, "record": ("currents", "photons")}
    first = se.Simulation(net, {"s": [1.0, 2.0]}, seed=1, **options)
    first.run(30.0)
    first.set_weight("s", 0.1)
    for seed, times in ((1, [3.0, 9.0, 20.0]), (7, [3.0, 9.0, 20.0]), (8, [])):
        again = first.afresh({"s": times}, seed=seed, duration=40.0)
        again.run(15.0)
        again.run(40.0)
        one, two = again.finish(), se.simulate(net, {"s": times}, 40.0, seed=seed, **options)
        t = np.linspace(0.0, 40.0, 101)
        assert np.array_equal(one.current("d", t), two.current("d", t))
        assert np.array_equal(one.spikes["n"], two.spikes["n"])
        assert np.array_equal(one.detections["s"], two.detections["s"])
        assert one.event_counts == two.event_counts
        assert one.seed == seed
    assert first.now == 30.0


def test_what_a_run_afresh_refuses(tmp_path):
    with se.Network() as net:
        se.Dendrite("d")
        se.Synapse("s", "d")
    run = se.Simulation(net)
    with pytest.raises(se.InputError, match="drives belong to the run"):
        run.afresh(se.Stimulus({}, drives=[se.Drive("d", points=((0.0, 0.0), (1.0, 0.1)))]))
    with pytest.raises(se.InputError, match="did you mean 's'"):
        run.afresh({"ss": [1.0]})
    with pytest.raises(se.InputError, match="seed"):
        run.afresh(seed=-1)
    with pytest.raises(se.InputError, match="streams to a file"):
        se.Simulation(net, out=tmp_path / "run.h5").afresh()
