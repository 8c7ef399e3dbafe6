"""Netlists of networks: their text, and that its circuit does what hardware.circuit does."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from josim_trees import CASES, fluxons, tree

import soen_event as se
from hardware import circuit, spice
from hardware.deck import resting
from soen_event.physics.detector import flux_after, flux_in_hotspot, pulse_level
from soen_event.units import Phi0

DATA = Path(__file__).parent.parent / "data"
COILS = {"collection_inductance": "60 pH", "collection_mutual": "6.5 pH"}  # circuit.md 7


def rich():
    """A tree with a collection loop, a neuron with a refractory dendrite, an RTTI dendrite, drives, an offset, a plain coupling."""
    with se.Network(name="rich") as net:
        for k in (1, 2):
            se.Synapse(f"s{k}", f"d{k}")
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=300.0 + 100.0 * k, tau=100.0)
            se.Coupling(f"d{k}", "n", J=0.6 / k)
        soma = se.Soma(ib=1.7, beta_over_2pi=300.0, tau=60.0, threshold=0.1, after_spike="keep", t_ref=10.0, **COILS)
        refractory = se.Refractory(beta_over_2pi=300.0, J=-0.7)
        se.Neuron("n", soma=soma, refractory=refractory, transmitter=se.Transmitter(latency=1.0))
        se.Dendrite("far/r", kind="rtti", ib=2.0, beta_over_2pi=100.0, tau=50.0, phi_offset=0.02)
        se.Synapse("s3", "far/r", weight=0.8)
        se.Waveguide("n", "s3", delay=0.5)
        se.Coupling("d2", "far/r", J=0.1)
        se.Drive("far/r", points=[(0.0, 0.0), (2.0, 0.0), (3.0, 0.05)])
        se.Drive("d2", pulses=[se.Pulse(1.0, 0.2, 0.5, 3.0)])
    return net


PHOTONS = {"s1": [1.0, 9.0], "s2": [1.5, 1.52, 2.5]}
SPIKES = {"n": [6.25, 17.0]}


def solved(net, photons, duration, **how):
    run = circuit.simulate(net, photons, duration)
    deck = spice.netlist(net, photons, duration, spikes=run, **how)
    return spice.compare(spice.read_netlist(deck.text).solve(), run), deck


def close(comparison, times=0.02, chi2=1e-9):
    """The same fluxons, in the median within ``times`` ps, at grazing ends within 1 ps; currents within 3e-5, rms, of what they are."""
    for row in comparison.rows:
        assert row.fluxons == row.reference_fluxons, comparison
        assert not row.median_ps > times, comparison
        assert not row.largest_ps > 1.0, comparison
        assert row.chi2 < chi2 or row.difference < 2e-6, comparison
    return comparison


# ---------------------------------------------------------------------------------------------- the same as the circuit


@pytest.mark.parametrize(
    "device",
    [
        {},
        {"beta_c": 0.95, "c_per_Ic": 5e-9},
        {"Ic": 300e-6, "beta_c": 0.95, "c_per_Ic": 5e-9},
        {"beta_1": 1.2, "beta_2": 2.0},
    ],
    ids=["sim_soens", "paper", "300uA", "uneven arms"],
)
def test_dendrites_of_several_devices(device):
    with se.Network(device=se.Device(**device)) as net:
        se.Dendrite("d", ib=1.7, beta_over_2pi=300.0, tau=100.0)
        se.Synapse("s", "d", weight=0.9)
        se.Drive("d", points=[(0.0, 0.0), (2.0, 0.1), (3.0, 0.3), (4.0, 0.0)])
        se.Drive("d", pulses=[se.Pulse(5.0, 0.3, 1.0, 4.0)], arm="both")
    found, _ = solved(net, {"s": [1.0, 6.0]}, 9.0)
    assert close(found)["d"].fluxons > 100


@pytest.mark.parametrize("overlap", ["saturate", "restart"])
def test_photons_that_overlap(overlap):
    with se.Network() as net:
        se.Dendrite("d", ib=1.7, beta_over_2pi=1000.0, phi_offset=0.05)
        se.Synapse("s", "d")
        se.Synapse("z", "d", weight=-0.3, tau_fall=5.0, overlap=overlap)
    found, _ = solved(net, {"s": [1.0, 1.03, 1.07, 3.0, 6.0], "z": [2.0, 2.5, 5.0]}, 9.0)
    assert close(found)["d"].fluxons > 200


@pytest.mark.parametrize("dialect", ["josim", "wrspice"])
def test_everything_at_once(dialect):
    found, deck = solved(rich(), PHOTONS, 20.0, dialect=dialect)
    rows = {row.id: row for row in close(found).rows}
    assert set(rows) == {"d1", "d2", "far/r", "n.soma", "n.refractory"}
    assert all(row.fluxons > 20 for row in rows.values())
    assert deck.warnings == ()


def test_flux_that_jumps():
    """In one arm and in both, at once with a collection loop's target."""
    with se.Network() as net:
        se.Dendrite("d", ib=1.8, beta_over_2pi=300.0, tau=100.0)
        se.Dendrite("top", ib=1.7, beta_over_2pi=100.0, tau=60.0, **COILS)
        se.Coupling("d", "top", J=0.4)
        se.Drive("d", points=[(0.0, 0.05), (1.0, 0.05), (1.0, 0.4), (3.0, 0.3), (3.0, 0.0)])
        se.Drive("top", points=[(0.5, 0.0), (0.5, 0.1), (4.0, 0.1), (4.0, -0.1)])
        se.Drive("top", points=[(2.0, 0.0), (2.0, 0.05)], arm="both")
    found, _ = solved(net, {}, 5.0)
    assert close(found)["d"].fluxons > 50
    assert found["top"].fluxons > 5


def test_rtti_and_collection_loops():
    """Loops that load each other, of both signs, into an RI and an RTTI dendrite at once; its SQUID does not act back, here and there."""
    with se.Network() as net:
        for k in (1, 2):
            se.Synapse(f"s{k}", f"d{k}")
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=200.0 * k, tau=100.0)
        se.Dendrite("r", kind="rtti", ib=2.0, beta_over_2pi=300.0, tau=60.0, **COILS)
        se.Dendrite("q", ib=1.75, beta_over_2pi=300.0, tau=60.0, phi_offset=0.05, **COILS)
        for source, target, J in (
            ("d1", "r", 0.6),
            ("d2", "r", -0.02),
            ("d1", "q", 0.4),
            ("d2", "q", 0.3),
            ("r", "q", 0.2),
        ):
            se.Coupling(source, target, J=J)
    found, deck = solved(net, {"s1": [1.0], "s2": [2.0, 2.5]}, 8.0)
    assert close(found)["r"].fluxons > 10
    assert found["q"].fluxons > 50
    coils = [e for e in deck.elements.values() if e.kind == "K" and e.name.startswith("KC")]
    assert all(0.0 < e.value < 1.0 for e in coils)


def test_a_tree_as_josim_had_it():
    """Not only as hardware.circuit: fluxon times of the transient that JoSIM 2.7 computed for this project (circuit.md 7)."""
    case = next(each for each in CASES if each["id"].startswith("t01"))
    end = 40.0
    traces = spice.netlist(tree(case), duration=end, step=0.1).solve()
    for k in range(3):
        there, here = fluxons(case, k, end - 0.05), traces.fluxons(f"d{k}")
        assert len(there) > 0
        assert np.abs(here[: len(there)] - there).max() < 0.006


@pytest.mark.parametrize(
    ("device", "change"), [("LD_D", 1.001), ("L2_D", 1.02), ("RD_D", 1.05), ("LP_D", 1.01), ("IB_D", 1.0005)]
)
def test_the_comparison_sees_a_wrong_element(device, change):
    """A part of a per cent off in one element, and the netlist no longer passes."""
    with se.Network() as net:
        se.Dendrite("d", ib=1.7, beta_over_2pi=100.0, tau=50.0)
        se.Synapse("s", "d")
    run = circuit.simulate(net, {"s": [0.5]}, 6.0)
    deck = spice.netlist(net, {"s": [0.5]}, 6.0)
    line = next(each for each in deck.text.splitlines() if each.startswith(f"{device} "))
    words = line.split()
    value = deck.elements[device].value or deck.elements[device].wave.values[-1]
    words[-1] = f"{value * change:.12g}" + (")" if line.endswith(")") else "")
    spoiled = spice.read_netlist(deck.text.replace(line, " ".join(words)))
    with pytest.raises(AssertionError):
        close(spice.compare(spoiled.solve(), run))
    close(spice.compare(deck.solve(), run))


# ---------------------------------------------------------------------------------------------- the text


@pytest.mark.parametrize("dialect", ["josim", "wrspice"])
def test_golden_copy(dialect):
    deck = spice.netlist(rich(), PHOTONS, 20.0, dialect=dialect, spikes=SPIKES)
    golden = (DATA / f"netlist_{dialect}.cir").read_bytes()
    assert deck.text.replace(f"soen-event {se.__version__}", "soen-event VERSION").encode() == golden
    again = spice.netlist(rich(), PHOTONS, 20.0, dialect=dialect, spikes=SPIKES)
    assert again.text == deck.text


def test_what_programs_ask_of_a_text():
    """JoSIM tells sources by words anywhere in a line; WRspice takes the first line for a title, *@ and *# for commands, k above 0."""
    with se.Network() as net:
        for name in ("sin", "gnd.x", "GND_x", "my:PWL", "a.b", "a_b", "A-B", "noise[1]", "x" * 60, "x" * 61):
            se.Dendrite(name, beta_over_2pi=100.0)
            se.Synapse(f"s/{name}", name)
    photons = {f"s/{name}": [0.2] for name in net.dendrites}
    for dialect in ("josim", "wrspice"):
        deck = spice.netlist(net, photons, 0.5, dialect=dialect)
        lines = deck.text.splitlines()
        assert lines[0].startswith("* ") and lines[-1] == ".end"
        assert not any(line.startswith(("*@", "*#")) for line in lines)
        names = [e.name for e in deck.elements.values()]
        assert len({name.upper() for name in names}) == len(names)
        for line in lines:
            if line[0] in "*.":
                continue
            assert len(line) <= 110
            word = "EXP" if " exp(" in line else "PWL" if " pwl(" in line else ""
            upper = line.upper()
            for other in ("PWL", "PULSE", "SIN", "CUS", "NOISE", "PWS", "EXP", "GND"):
                assert other == word or other not in upper, line
        assert all(0.0 < e.value <= 1.0 for e in deck.elements.values() if e.kind == "K")
        assert set(deck.loops) == set(net.dendrites)
        assert len({loop.current for loop in deck.loops.values()}) == len(net.dendrites)


def test_a_part_of_a_network():
    net = rich()
    deck = spice.netlist(net, PHOTONS, 5.0, parts=["n", "d1"], spikes=SPIKES)
    assert set(deck.loops) == {"n.soma", "n.refractory", "d1"}
    assert "d2->n" in " ".join(deck.warnings) and "here are cut" in deck.text
    alone = spice.netlist(net, PHOTONS, 5.0, parts="d1")
    assert set(alone.loops) == {"d1"}
    only = spice.netlist(net, PHOTONS, 5.0, parts=["n.soma"], spikes=SPIKES)
    assert set(only.loops) == {"n.soma"}
    assert only.loop("n") is only.loop("n.soma")
    # What is alone there is alone in a network of its own.
    with se.Network() as own:
        se.Synapse("s1", "d1")
        own.add(net.dendrites["d1"])
    run = circuit.simulate(own, {"s1": PHOTONS["s1"]}, 5.0)
    close(spice.compare(alone.solve(), run))


def test_what_is_recorded():
    net = rich()
    everything = spice.netlist(net, PHOTONS, 1.0, spikes=SPIKES, probes=spice_probes())
    traces = everything.solve()
    for name in ("I(LD_D1)", "P(B1_D1)", "P(B4_FAR_R)", "I(LP_D1)", "V(T_D1)"):
        assert name in traces.columns
    assert traces.trace("v(t_d1)").shape == traces.times.shape
    less = spice.netlist(net, PHOTONS, 1.0, spikes=SPIKES, probes="currents").solve()
    assert all(name.startswith("I(LD_") for name in less.columns)
    with pytest.raises(se.InputError, match="phases of its junctions"):
        less.fluxons("d1")


def spice_probes():
    return ("currents", "phases", "inputs", "voltages")


def test_voltage_is_the_rate_of_the_phase():
    """The mean voltage of an RI dendrite's top node is its fluxon rate (physics.md 2.1)."""
    with se.Network() as net:
        se.Dendrite("d", ib=1.8, beta_over_2pi=1e4, tau=1e6)
        se.Drive("d", points=[(0.0, 0.0), (0.5, 0.45), (3.0, 0.45)], arm="both")
    traces = spice.netlist(net, duration=3.0, probes=spice_probes(), sample=0.1).solve()
    late = traces.times > 1.0
    times = traces.fluxons("d")
    rate = (len(times) - 1) / (times[-1] - times[0]) * 1e9
    some = (traces.times > times[5]) & (traces.times < times[-1])
    assert traces.trace("V(T_D)")[some & late].mean() == pytest.approx(rate * Phi0, rel=0.05)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=8, unique=True),
    st.floats(0.002, 0.1),
    st.floats(0.5, 80.0),
    st.floats(0.005, 0.2),
    st.floats(-1.0, 1.0).filter(lambda w: abs(w) > 1e-3),
    st.booleans(),
)
def test_sources_of_a_detector_are_its_pulse(picoseconds, rise, fall, hotspot, weight, restart):
    """Their sum is the flux of physics.md 1.2, photon by photon, whatever overlaps."""
    with se.Network() as net:
        se.Dendrite("d", ib=1.0)
        overlap = "restart" if restart else "saturate"
        se.Synapse("s", "d", weight=weight, tau_rise=rise, tau_fall=fall, hotspot=hotspot, overlap=overlap)
    photons = sorted(t * 1e-3 for t in picoseconds)
    deck = spice.netlist(net, {"s": photons}, 50.0)
    waves = [e.wave.values for e in deck.elements.values() if e.name.startswith("IS")]
    M = 2.0 * deck.elements["KP_D"].value * math.sqrt(deck.elements["LP_D"].value * 5.16958462115e-12)
    seen, last = [], -1e9
    for t in photons:
        if t >= last + round(hotspot, 6):
            seen.append(t)
            last = t
    t = np.unique(
        np.concatenate([np.linspace(0.0, 50.0, 301), np.array(photons) + 0.3 * hotspot, np.array(photons) + hotspot])
    )
    t = t[np.min(np.abs(t[:, None] - np.array(seen)[None, :]), axis=1) > 3e-6]  # restarts take a femtosecond
    at = 2e-9 + t * 1e-9
    total = np.zeros(len(t))
    for low, high, begins, up, ends, down in waves:
        assert low == 0.0
        total += np.where(at >= begins, high * (1.0 - np.exp(-np.maximum(at - begins, 0.0) / up)), 0.0)
        total -= np.where(at >= ends, high * (1.0 - np.exp(-np.maximum(at - ends, 0.0) / down)), 0.0)
    level = pulse_level(0.5, rise, fall)

    def law(now):
        flux, since, hot = 0.0, 0.0, False
        for photon in seen:
            if photon > now:
                break
            if hot:
                flux = flux_in_hotspot(flux, level, rise, round(hotspot, 6))
                since += round(hotspot, 6)
            flux = 0.0 if restart else flux_after(flux, fall, photon - since)
            since, hot = photon, True
        if not hot:
            return 0.0
        if now < since + round(hotspot, 6):
            return flux_in_hotspot(flux, level, rise, now - since)
        return flux_after(flux_in_hotspot(flux, level, rise, round(hotspot, 6)), fall, now - since - round(hotspot, 6))

    expected = weight * np.array([law(now) for now in t])
    assert total * M / Phi0 == pytest.approx(expected, abs=2e-8)


class TestResting:
    @settings(max_examples=40, deadline=None)
    @given(st.floats(0.0, 1.9), st.floats(-0.05, 0.05), st.floats(0.5, 3.0), st.floats(0.5, 3.0))
    def test_ri_obeys_its_static_equations(self, ib, phi, b1, b2):
        d = resting("ri", ib, phi, b1, b2)
        if d is None:
            assert ib > 1.3
            return
        i = np.sin(d)
        assert i.sum() == pytest.approx(ib, abs=1e-9)
        assert d[0] + b1 * i[0] == pytest.approx(d[1] + b2 * i[1] + 2 * math.pi * phi, abs=1e-9)

    def test_over_biased_has_no_rest(self):
        assert resting("ri", 2.1, 0.0, math.pi / 2, math.pi / 2) is None
        assert resting("ri", 1.8, 0.3, math.pi / 2, math.pi / 2) is None
        assert resting("rtti", 2.0, 0.0, math.pi / 2, math.pi / 2) is not None
        assert resting("rtti", 2.0, 0.4, math.pi / 2, math.pi / 2) is None

    def test_it_is_told(self):
        with se.Network() as net:
            se.Dendrite("o", ib=2.1)
        deck = spice.netlist(net, duration=1.0)
        assert "o does not rest" in deck.warnings[0]


# ---------------------------------------------------------------------------------------------- light and spikes


class TestDetections:
    def test_spikes_come_from_the_circuit_a_run_or_the_user(self):
        net = rich()
        run = circuit.simulate(net, PHOTONS, 20.0)
        by_itself = spice.netlist(net, PHOTONS, 20.0)
        of_run = spice.netlist(net, PHOTONS, 20.0, spikes=run)

        def sources(deck):
            return [line for line in deck.text.splitlines() if line.startswith(("IS", "* detector"))]

        assert sources(by_itself) == sources(of_run)
        given_ = spice.netlist(net, PHOTONS, 20.0, spikes={"n": run.spikes["n"]})
        far = [line for line in sources(given_) if line.startswith("* detector s3")]
        assert far == [line for line in sources(of_run) if line.startswith("* detector s3")]
        assert len(run.spikes["n"]) > 0
        rec = se.simulate(net, PHOTONS, 20.0, record=("photons", "spikes"))
        assert "detections of a Recording" in spice.netlist(net, PHOTONS, 20.0, spikes=rec).text

    def test_lost_photons_are_lost(self):
        with se.Network() as net:
            se.Dendrite("d", ib=1.0)
            se.Synapse("s", "d", dead_time=2.0)
            se.Synapse("z", "d", efficiency=0.0)
        photons = {"s": [1.0, 1.03, 2.5, 4.0], "z": [1.0, 2.0]}
        for spikes in (None, {}):
            more = {"spikes": spikes} if spikes is None else {}
            deck = spice.netlist(net, photons, 6.0, **more)
            assert "detector s: 2 detections, 1 to 4 ns" in deck.text
            assert "detector z" not in deck.text
        with pytest.raises(se.InputError, match="whether z detects is drawn"):
            spice.netlist(net, photons, 6.0, spikes={})

    def test_a_purged_soma_is_told(self):
        with se.Network() as net:
            se.Neuron("n")
        assert "nothing empties" in spice.netlist(net, duration=1.0).warnings[0]


class TestHeat:
    def test_each_program_has_it_its_way(self):
        with se.Network() as net:
            se.Dendrite("d")
        josim = spice.netlist(net, duration=1.0, temperature=4.2)
        assert ".temp 4.2" in josim.text and ".neb 2e+13" in josim.text  # 1/step, circuit.md 1
        wrspice = spice.netlist(net, duration=1.0, temperature=4.2, dialect="wrspice")
        noise = wrspice.elements["IRD_D"].wave.values
        R = wrspice.elements["RD_D"].value
        assert noise[0] ** 2 == pytest.approx(2 * 1.380649e-23 * 4.2 / (R * 5e-14), rel=1e-9)
        assert noise[2] == 5e-14
        for deck in (josim, wrspice):
            with pytest.raises(se.InputError, match="thermal noise"):
                deck.solve()


# ---------------------------------------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"duration": None}, "netlist.duration"),
        ({"duration": -1.0}, "netlist.duration"),
        ({"duration": math.nan}, "netlist.duration"),
        ({"duration": "long"}, "netlist.duration"),
        ({"dialect": "spectre"}, "netlist.dialect"),
        ({"dialect": 3}, "netlist.dialect"),
        ({"step": 0.0}, "netlist.step"),
        ({"step": 0.05, "sample": 0.01}, "netlist.sample"),
        ({"temperature": -1.0}, "netlist.temperature"),
        ({"probes": ["flux"]}, "netlist.probes"),
        ({"probes": 7}, "netlist.probes"),
        ({"parts": ["x"]}, "no dendrite or neuron 'x'"),
        ({"parts": []}, "is empty"),
        ({"spikes": 7}, "is no run"),
        ({"spikes": {"m": [1.0]}}, "no neuron 'm'"),
        ({"spikes": {"n": [-1.0]}}, "not times in ns"),
        ({"spikes": {"n": "now"}}, "not times in ns"),
        ({"seed": -1}, "seed"),
        ({"photons": {"t": [1.0]}}, "t"),
        ({"network": 42}, "not a Network"),
        ({"network": se.Network()}, "nothing to write"),
    ],
)
def test_nonsense(how, message):
    with se.Network() as net:
        se.Dendrite("d")
        se.Synapse("s", "d")
        se.Neuron("n", refractory=se.Refractory())
    with pytest.raises(se.InputError, match=message):
        spice.netlist(**{"network": net, "photons": {}, "duration": 1.0, **how})


def test_all_faults_at_once():
    with pytest.raises(se.InputError) as error:
        spice.netlist(se.Network(), duration=0.0, dialect="x", step=9.0, probes=["y"])
    assert len(error.value.faults) == 4


def test_couplings_that_cannot_be():
    with se.Network() as net:
        for k in range(3):
            se.Dendrite(f"d{k}", ib=1.0, beta_over_2pi=2.0)
            se.Coupling(f"d{k}", "t", J=0.6)
        se.Dendrite("t", ib=1.0, beta_over_2pi=20.0, **COILS)
    with pytest.raises(se.InputError, match="coupled more tightly"):
        spice.netlist(net, duration=1.0)


def test_saving(tmp_path):
    with se.Network() as net:
        se.Dendrite("d")
    deck = spice.netlist(net, duration=1.0)
    deck.save(tmp_path / "d.cir")
    assert spice.read_netlist((tmp_path / "d.cir").read_text()) == deck
    with pytest.raises(se.InputError, match="exists already"):
        deck.save(tmp_path / "d.cir")
    deck.save(tmp_path / "d.cir", overwrite=True)
    with pytest.raises(se.InputError, match="no folder"):
        deck.save(tmp_path / "no" / "d.cir")
    with pytest.raises(se.InputError, match="is a folder"):
        deck.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["d.cir"]
