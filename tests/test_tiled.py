"""A tiled network is the ordinary network that it expands to: the same Plan and the same events, to the bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from soen_event import testing, tiled
from soen_event.physics.random import part_key
from soen_event.plan import Plan, lower
from soen_event.tiled import PARAMETERS, TiledIds, TiledNetwork, Wiring


def _same_plan(one: Plan, other: Plan) -> None:
    for table in ("arrays", "sources"):
        mine, theirs = getattr(one, table), getattr(other, table)
        assert mine._fields == theirs._fields
        for name in mine._fields:
            x, y = getattr(mine, name), getattr(theirs, name)
            assert (x.dtype, x.shape) == (y.dtype, y.shape), name
            assert x.tobytes() == y.tobytes(), (name, x, y)
    for name in ("loop_ids", "detector_ids", "neuron_ids", "coupling_ids", "guide_ids"):
        assert tuple(getattr(one, name)) == tuple(getattr(other, name)), name
    assert one.digest == other.digest
    assert one.tau_0 == other.tau_0
    assert bool(one.warnings) == bool(other.warnings)


@st.composite
def _wirings(draw: st.DrawFn, cell: se.Network, count: int) -> Wiring:
    synapses = len(cell.synapses)
    sending = [k for k, neuron in enumerate(cell.neurons.values()) if neuron.transmitter is not None]
    rows = draw(st.integers(0, 8)) if sending and synapses else 0
    delays = st.one_of(st.sampled_from((0.0, -0.0, 0.5, 1.25)), st.floats(0.0, 5.0))
    losses = st.sampled_from((0.0, 3.0, 0.7))

    def column(values: st.SearchStrategy[Any]) -> Any:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    def one_or_many(values: st.SearchStrategy[Any]) -> Any:
        return draw(values) if draw(st.booleans()) else column(values)

    copies = st.integers(0, count - 1)
    neuron: Any = one_or_many(st.sampled_from(sending)) if rows else None
    if len(sending) == 1 and draw(st.booleans()):
        neuron = None
    synapse: Any = one_or_many(st.integers(0, synapses - 1)) if rows else 0
    return Wiring(column(copies), column(copies), synapse, neuron, one_or_many(delays), one_or_many(losses))


@st.composite
def _parameters(draw: st.DrawFn, cell: se.Network, count: int) -> dict[str, np.ndarray]:
    """Values near the cell's; some copies keep them."""
    found = {}
    now = cell.parameters()
    for name in draw(st.lists(st.sampled_from(PARAMETERS), unique=True, max_size=3)):
        own = now[name]
        if name == "ib":
            factors = st.sampled_from((1.0, 0.99, 1.01))  # few biases: each of an RTTI dendrite makes a table
        elif name == "phi_offset":
            found[name] = (
                own + np.array(draw(st.lists(st.sampled_from((0.0, 0.01)), min_size=count, max_size=count)))[:, None]
            )
            continue
        elif name == "threshold":
            factors = st.floats(0.9, 1.0)
        else:
            factors = st.one_of(st.just(1.0), st.just(2.0), st.floats(0.5, 1.5))
        shape = (count, len(own))
        values = draw(st.lists(factors, min_size=count * len(own), max_size=count * len(own)))
        found[name] = np.array(values).reshape(shape) * own
        if name == "ib":
            rtti = [getattr(cell[row], "kind", "ri") == "rtti" for row in cell.ids("ib")]
            found[name] = np.where(rtti, np.clip(found[name], 1.5, 2.65), np.clip(found[name], 0.0, 3.0))
    return found


@st.composite
def _tiled_networks(
    draw: st.DrawFn, cells: st.SearchStrategy[se.Network] | None = None, most: int = 12
) -> TiledNetwork:
    cell = draw(cells if cells is not None else testing.networks(quanta=False))
    count = draw(st.one_of(st.integers(1, 3), st.sampled_from((9, 10, 11, 12)).filter(lambda n: n <= most)))
    wiring = draw(_wirings(cell, count))
    parameters = draw(_parameters(cell, count))
    for name in ("ib", "threshold"):
        try:
            return TiledNetwork(cell, count, wiring, parameters=parameters)
        except se.InputError:
            parameters.pop(name, None)
    return TiledNetwork(cell, count, wiring, parameters=parameters)


def _photons(data: st.DataObject, network: se.Network, duration: float) -> dict[str, list[float]]:
    return data.draw(testing.photon_trains(network, duration))


@settings(max_examples=100)
@given(data=st.data())
def test_lowers_to_the_plan_of_the_expanded_network(data: st.DataObject) -> None:
    network = data.draw(_tiled_networks())
    expanded = network.expand()
    drives = []
    for _ in range(data.draw(st.integers(0, 3))):
        target = data.draw(st.sampled_from([*expanded.dendrites, *expanded.neurons]))
        drives.append(data.draw(testing._drives(target, False)))
    resolution = data.draw(st.sampled_from(("fluxon", "flow", "auto")))
    _same_plan(lower(network, drives, resolution), lower(expanded, drives, resolution))


def _held(network: Any, light: Any, how: Any) -> se.Recording:
    """15 ns, or the first 20,000 events where rings of couplings make very many."""
    run = se.Simulation(network, light, **how)
    run.run(15.0, events=20_000)
    return run.finish()


@settings(max_examples=25)
@given(data=st.data())
def test_runs_as_the_expanded_network(data: st.DataObject) -> None:
    network = data.draw(_tiled_networks(most=3))
    expanded = network.expand()
    photons = _photons(data, expanded, 15.0)
    names = list(expanded.synapses)
    rows = [names.index(name) for name, times in photons.items() for _ in times]
    times = [time for several in photons.values() for time in several]
    everything = ("spikes", "fluxons", "photons", "currents")
    how: Any = {"record": everything, "seed": 3, "resolution": data.draw(st.sampled_from(("fluxon", "flow")))}
    one, other = (
        _held(net, light, how)
        for net, light in (
            (network, se.Stimulus.from_arrays(np.array(rows, dtype=int), times)),
            (expanded, photons),
        )
    )
    assert one.same_events(other) and other.same_events(one)
    assert one.event_counts == other.event_counts
    for name in expanded.neurons:
        assert one.spikes[name].tobytes() == other.spikes[name].tobytes()
        assert one.fluxon_count[name] == other.fluxon_count[name]
        assert one.current(name, 0.6 * one.end) == other.current(name, 0.6 * other.end)
    for name in (*expanded.dendrites, *expanded.neurons):
        assert one.fluxons[name].tobytes() == other.fluxons[name].tobytes()
    for name in names:
        assert one.detections[name].tobytes() == other.detections[name].tobytes()
    assert list(one.fluxons) == list(other.fluxons)
    energies = one.energy
    assert energies["total"] == other.energy["total"]
    assert dict(energies["loops"]) == other.energy["loops"]


def _cell(**soma: Any) -> se.Network:
    with se.Network() as cell:
        se.Synapse("in", "d")
        se.Synapse("far", "d", efficiency=0.5)
        se.Dendrite("d", tau=100.0, beta_over_2pi=100.0)
        se.Coupling("d", "n", J=0.5)
        se.Neuron(
            "n",
            soma=se.Soma(threshold=0.2, **soma),
            refractory=se.Refractory(),
            transmitter=se.Transmitter(latency=1.0),
        )
        se.Neuron("dark")
    return cell


def _ring(count: int = 12, **options: Any) -> TiledNetwork:
    copies = np.arange(count)
    return TiledNetwork(_cell(), count, Wiring(copies, (copies + 1) % count, "far", delay=2.0, loss_db=0.5), **options)


def test_light_goes_around_a_ring() -> None:
    network = _ring(4)
    rec = se.simulate(network, {"c0/in": [1.0, 2.0, 3.0]}, 60.0, record=("spikes", "photons"))
    expanded = se.simulate(network.expand(), {"c0/in": [1.0, 2.0, 3.0]}, 60.0, record=("spikes", "photons"))
    assert rec.same_events(expanded)
    assert rec.spikes["c0/n"].size > 0 and rec.photons["c1/far"].size > 0


def test_ids_are_a_sequence_that_is_never_spelled_out() -> None:
    ids = TiledIds(("d1", "n", "s/x"), 1000)
    spelled = tuple(f"c{copy:03d}/{name}" for copy in range(1000) for name in ("d1", "n", "s/x"))
    assert spelled == tuple(sorted(spelled))
    assert (len(ids), tuple(ids), ids[:4], ids[-1], ids[5::997]) == (
        3000,
        spelled,
        spelled[:4],
        spelled[-1],
        spelled[5::997],
    )
    assert ids == spelled and spelled == ids and ids == TiledIds.from_dict(json.loads(json.dumps(ids.as_dict())))
    assert ids != spelled[:-1] and ids != TiledIds(("d1", "n", "s/y"), 1000) and ids != "c"
    assert all(ids.index(name) == k and ids.places[name] == k for k, name in enumerate(spelled))
    assert ids.joined() == "\0".join(spelled)
    for wrong in ("c1/d1", "c0001/d1", "c00\u0661/d1", "c001/d2", "x001/d1", "c001d1", "c-01/d1", "", 7, None, "c999"):
        assert wrong not in ids
    with pytest.raises(ValueError):
        ids.index("c001/d1", 0, 3)
    with pytest.raises(IndexError):
        ids[3000]
    with pytest.raises(KeyError):
        ids.places["d1"]
    huge = TiledIds(("a", "b"), 10**9)
    assert huge.index(huge[10**9 + 1]) == 10**9 + 1
    assert huge[10**9 + 1] == "c500000000/b"
    assert TiledIds((), 5) == () and list(TiledIds((), 5)) == []


def test_pairs_of_ids_name_couplings() -> None:
    ids = TiledIds(("d->n",), 12)
    assert ids[11] == "c11/d->c11/n" and ids.index("c03/d->c03/n") == 3 and "c03/d->c04/n" not in ids


@pytest.mark.parametrize("targets", [False, True])
def test_keys_of_random_draws_are_those_of_the_ids(targets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a", "b.soma", "x" * 130, "y" * 119, "z" * 120, "q" * 57)
    ids, others = TiledIds(names, 1234), TiledIds(names[::-1], 1234)
    rng = np.random.default_rng(5)
    place, target = rng.integers(0, len(ids), 300), rng.integers(0, len(ids), 300)
    number = rng.choice([1, 2, 3, 9, 10, 100, 12345], 300)
    if targets:
        spelled = [f"{ids[p]}->{others[t]}" + (f"#{n}" if n > 1 else "") for p, t, n in zip(place, target, number)]  # noqa: B905
    else:
        spelled = [ids[p] for p in place]
    expected = [part_key(name) for name in spelled]
    for few in (0, 10**6):  # compiled, and not
        monkeypatch.setattr(tiled, "_FEW", few)
        found = tiled._keys(ids, place, others, target, number) if targets else tiled._keys(ids, place)
        assert found.tolist() == expected


def test_parallel_waveguides_are_numbered() -> None:
    cell = _cell()
    cell.add(se.Waveguide("n", "far", delay=3.0))
    cell.add(se.Waveguide("n", "far", delay=1.0, id="w"))
    wiring = Wiring([0, 0, 0, 1, 0], [0, 1, 1, 1, 1], "far", delay=[0.5, 4.0, 3.0, 2.0, 3.0])
    network = TiledNetwork(cell, 2, wiring)
    expanded = network.expand()
    _same_plan(lower(network), lower(expanded))
    assert [g.id for g in expanded.waveguides] == [None, "c0/w", "w0", None, "w2", "w4", None, "c1/w", "w3"]
    guides = lower(network).guide_ids
    assert sorted(guides) == sorted(lower(expanded).guide_ids)
    for k, name in enumerate(guides):
        assert guides.index(name) == k and name in guides
    assert "c0/n->c1/in" not in guides and "c0/n->c1/far#7" not in guides and "n" not in guides


def test_the_plan_finds_its_parts_by_id() -> None:
    network = _ring()
    plan, other = lower(network), lower(network.expand())
    for name in ("loop_index", "detector_index", "neuron_index"):
        mine, theirs = getattr(plan, name), getattr(other, name)
        assert dict(mine) == dict(theirs) and len(mine) == len(theirs)
    ids, rows = plan.own_synapses
    assert tuple(ids) == tuple(other.own_synapses[0]) and rows.tolist() == other.own_synapses[1].tolist()
    assert network.positions("far", [0, 11]).tolist() == [0, 22] and network.positions(1).tolist() == list(
        range(1, 24, 2)
    )
    assert [ids[k] for k in network.positions("in", [3])] == ["c03/in"]


def test_the_recording_holds_the_cell_and_digests(tmp_path: Any) -> None:
    network = _ring(parameters={"weights": np.full((12, 2), 0.9)})
    path = tmp_path / "run.h5"
    in_memory = se.simulate(network, {"c00/in": [1.0, 2.0]}, 30.0, record=("spikes", "currents"))
    rec = se.simulate(network, {"c00/in": [1.0, 2.0]}, 30.0, record=("spikes", "currents"), out=path)
    assert rec.same_events(in_memory) and rec.network is network
    assert len(json.dumps(rec.provenance["network"])) < 3000
    loaded = se.Recording.load(path)
    assert loaded.same_events(rec) and loaded.loop_ids == rec.loop_ids
    assert loaded.spikes["c00/n"].tobytes() == rec.spikes["c00/n"].tobytes()
    with pytest.raises(se.InputError, match=r"Recording\.load\(path, network\)"):
        loaded.current("c00/n", 3.0)
    assert se.Recording.load(path, network).current("c00/n", 3.0) == rec.current("c00/n", 3.0)
    with pytest.raises(se.InputError, match="does not lower"):
        se.Recording.load(path, _ring()).current("c00/n", 3.0)
    rec.save(tmp_path / "again.h5")
    assert se.Recording.load(tmp_path / "again.h5").same_events(rec)
    with pytest.raises(KeyError, match="c00/n"):
        rec.spikes["c0/n"]


def test_a_checkpoint_goes_on(tmp_path: Any) -> None:
    network = _ring()
    whole = se.simulate(network, {"c00/in": [1.0, 2.0]}, 30.0)
    run = se.Simulation(network, {"c00/in": [1.0, 2.0]})
    run.run(6.0)
    run.checkpoint(tmp_path / "held.h5")
    with pytest.raises(se.InputError, match="network="):
        se.Simulation.restore(tmp_path / "held.h5")
    again = se.Simulation.restore(tmp_path / "held.h5", network=network)
    again.run(30.0)
    assert again.finish().same_events(whole)


def test_saved_and_loaded(tmp_path: Any) -> None:
    network = _ring(parameters={"weights": np.linspace(0.5, 1.0, 24).reshape(12, 2)}, name="a ring")
    network.save(tmp_path / "ring.npz")
    loaded = TiledNetwork.load(tmp_path / "ring.npz")
    assert loaded == network and loaded != _ring() and loaded.name == "a ring"
    assert lower(loaded).digest == lower(network).digest
    with pytest.raises(se.InputError, match="exists already"):
        network.save(tmp_path / "ring.npz")
    with pytest.raises(se.InputError, match="suffix"):
        network.save(tmp_path / "ring.json")
    with pytest.raises(se.InputError, match="no such file"):
        TiledNetwork.load(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes((tmp_path / "ring.npz").read_bytes()[:500])
    with pytest.raises(se.InputError, match="not a readable tiled network"):
        TiledNetwork.load(tmp_path / "bad.npz")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(se.InputError) as caught:
        TiledNetwork(
            _cell(),
            3,
            Wiring([0, 3, -1], [0.5, 1.0, 2.0], "fat", "dark", [1.0, -1.0, np.nan], "much"),
            parameters={"weight": 1.0, "J": np.ones((3, 2)), "weights": [[0.1, np.inf]], "threshold": -1.0},
        )
    text = "\n".join(caught.value.faults)
    for part in (
        "Wiring.source[1]: 3 is out of range, there are 3 copies; give 0 to 2 (and 1 more)",
        "Wiring.target: an array of float64",
        "no synapse 'fat' (did you mean 'far'?)",
        "Wiring.delay[1]: -1.0 is out of range",
        "Wiring.loss_db: 'much'",
        "parameters['weight']: unknown (did you mean 'weights'?)",
        "parameters['J']: (3, 2) does not fit; give numbers of shape (3, 1)",
        "parameters['weights'][0, 1]: inf is not finite",
        "parameters['threshold'][0, 0]: -1 is not above 0",
    ):
        assert part in text, text


@pytest.mark.parametrize(
    ("wiring", "fault"),
    [
        (Wiring([0], [0, 1], "far", "n"), r"Wiring.target: an array of shape \(2,\) with 1 sources"),
        (Wiring([0], [1], "far", "dark"), "'dark' of the cell has no transmitter"),
        (Wiring([0], [1], 2, "n"), "Wiring.synapse: 2 is out of range"),
        ({"source": [0], "target": [1], "synapses": "far"}, "Wiring.synapses: unknown field .did you mean 'synapse'"),
        ([0, 1], "is no Wiring"),
    ],
)
def test_wrong_wiring_is_refused(wiring: Any, fault: str) -> None:
    with pytest.raises(se.InputError, match=fault):
        TiledNetwork(_cell(), 3, wiring)


def test_wrong_parameters_are_refused_with_the_copy() -> None:
    threshold = np.array([[0.5, 0.2], [0.5, 0.9], [0.5, 0.2]])
    with pytest.raises(se.InputError, match=r"0\.9 is above the largest current .* \(copy 1, neuron n\)"):
        TiledNetwork(_cell(), 3, parameters={"threshold": threshold})
    with pytest.raises(se.InputError, match=r"\['ib'\]\[2, 0\]: Dendrite.ib: 3.5 is above 3"):
        TiledNetwork(_cell(), 3, parameters={"ib": [[1.8] * 3, [1.8] * 3, [3.5, 1.8, 1.8]]})
    for count in (0, True, 2.0):
        with pytest.raises(se.InputError, match=r"TiledNetwork\.count"):
            TiledNetwork(_cell(), count)  # type: ignore[arg-type]
    with pytest.raises(se.InputError, match="more than"):
        TiledNetwork(_cell(), 2**28)
    with pytest.raises(se.InputError, match=r"TiledNetwork\.cell"):
        TiledNetwork(_ring(), 2)  # type: ignore[arg-type]


def test_warnings_name_the_copy_that_is_worst() -> None:
    quiet = _ring(parameters={"weights": 0.4})
    assert not quiet.warnings() and not lower(quiet.expand()).warnings
    loud = _ring(parameters={"weights": np.outer(np.r_[np.ones(10), 3.0, 4.0], [0.4, 0.4])})
    (warning,) = loud.warnings()
    assert warning.startswith("Dendrite c11/d: flux can go up") and warning.endswith("(and 1 more copies)")
    assert set(w.split(":")[0] for w in loud.expand().warnings()) == {"Dendrite c10/d", "Dendrite c11/d"}
    cell = _cell(phi_offset=0.6)
    assert TiledNetwork(cell, 3).warnings()[0].endswith("(in each of 3 copies)")


def test_unknown_drive_targets_and_positions_are_told() -> None:
    drive = {"target": "c1/m", "points": [[0.0, 0.1]]}
    with pytest.raises(
        se.InputError, match=r"Drive.target: there is no dendrite or neuron 'c1/m' .did you mean 'c01/n'"
    ):
        se.simulate(_ring(), se.Stimulus(drives=[drive]), 1.0)
    with pytest.raises(se.InputError, match="no synapse at position 24 because the network has 24"):
        se.simulate(_ring(), se.Stimulus.from_arrays(np.array([24]), [1.0]), 1.0)
    with pytest.raises(se.InputError, match=r"'c3/far'.*did you mean 'c03/far'"):
        se.simulate(_ring(), {"c3/far": [1.0]}, 1.0)
    with pytest.raises(se.InputError, match=r"TiledNetwork\.positions"):
        _ring().positions("far", [12])


def test_photons_by_position_stay_columns() -> None:
    rng = np.random.default_rng(1)
    position, time = rng.integers(0, 50, 400), np.sort(rng.uniform(0.0, 100.0, 400))
    columns = se.Stimulus.from_arrays(position, time)
    trains = se.Stimulus({int(k): time[position == k] for k in np.unique(position)})
    assert columns == trains and columns.count == 400 and columns.synapses == trains.synapses
    names = [f"s{k}" for k in rng.permutation(60)]
    for one, other in zip(columns.lower(names), trains.lower(names), strict=True):
        assert one.tolist() == other.tolist()
    ids = TiledIds(("a", "b", "c"), 20)
    for one, other in zip(columns.lower(ids), trains.lower(tuple(ids)), strict=True):
        assert one.tolist() == other.tolist()
    assert columns.shifted(1.0) == trains.shifted(1.0) and (columns + trains) == (trains + trains)
