"""Every law holds on random networks, and for every law an engine that breaks it on purpose is found out."""

from __future__ import annotations

import copy
import dataclasses
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

import soen_event as se
from soen_event import testing
from soen_event.device import Device
from soen_event.engine import objects, reference
from soen_event.engine.compiled import CompiledEngine
from soen_event.engine.events import T_PSI, T_Q
from soen_event.parts import detached
from soen_event.physics import source as source_function
from soen_event.recording import TABLES, Recording
from soen_event.simulate import Simulation, simulate
from soen_event.testing import HELD, LAWS, LawBroken, cases

EXAMPLES = settings().max_examples // 2
OPTIONS = {"relabelling": {"random_parts": False}, "thinning": {"lossy": True}, "engines": {"max_duration": 10.0}}


# ---------------------------------------------------------------------------------------------- they hold


@pytest.mark.parametrize("name", LAWS)
def test_law_holds(name):
    said = []

    @settings(max_examples=EXAMPLES)
    @given(case=cases(**OPTIONS.get(name, {})))
    def holds(case):
        said.append(LAWS[name](*case, Simulation if name in HELD else simulate))

    holds()
    assert said.count(None) > 0.2 * len(said), "the law has nothing to say about most networks"


@pytest.mark.parametrize("name", [name for name in LAWS if name != "engines"])
def test_law_holds_where_loops_are_over_biased(name):
    @settings(max_examples=EXAMPLES // 3)
    @given(case=cases(over_biased=True, max_duration=10.0))
    def holds(case):
        LAWS[name](*case, Simulation if name in HELD else simulate)

    holds()


@pytest.mark.parametrize("name", [name for name in LAWS if name not in ("engines", "relabelling")])
def test_law_holds_at_a_temperature(name):
    @settings(max_examples=EXAMPLES // 3)
    @given(case=cases(warm=True, max_duration=10.0))
    def holds(case):
        LAWS[name](*case, Simulation if name in HELD else simulate)

    holds()


# ---------------------------------------------------------------------------------------------- what they have found


def test_loops_that_load_each_other_break_no_law():
    """Their currents are not those of their own fluxons; the sum of energies is right, and what they load is not accused."""
    with se.Network() as net:
        for k in (1, 2):
            se.Synapse(f"s{k}", f"d{k}")
            se.Dendrite(f"d{k}", beta_over_2pi=100, tau=20.0 * k)
        se.Dendrite("d3", beta_over_2pi=100, tau=30.0, collection_inductance="60 pH", collection_mutual="6.5 pH")
        se.Coupling("d1", "d3", J=0.4)
        se.Coupling("d2", "d3", J=0.3)
    photons = {"s1": [1.0, 5.0], "s2": [2.0]}
    assert np.count_nonzero(list(simulate(net, photons, 10.0).fluxon_count.values())) == 3
    laws = [name for name in LAWS if name != "engines"]
    verdicts = testing.check_laws(net, photons, 10.0, laws)
    assert all(verdicts[name] == "holds" for name in ("energy", "fluxons", "flux", "scaling")), verdicts


def test_quanta_that_drives_take_out_break_no_law():
    with se.Network() as net:
        for k in (1, 2):
            se.Synapse(f"s{k}", f"d{k}")
            se.Dendrite(f"d{k}", beta_over_2pi=100, tau=20.0 * k)
        se.Coupling("d1", "d2", J=0.3)
        se.Drive("d1", quanta=[(0.0, -2.0), (3.0, 1.5)])
    assert simulate(net, None, 1.0, record="currents").quanta("d1", 0.5) < 0.0
    laws = ("current", "decay", "fluxons", "energy", "spikes", "flux")
    verdicts = testing.check_laws(net, {"s1": [1.0], "s2": [1.0]}, 8.0, laws)
    assert set(verdicts.values()) == {"holds"}  # they still speak about the loop without such a drive


def ramp_through_the_dead_band():
    """A sleeping loop whose flux starts on the far side of zero has to wake where the ramp crosses its threshold."""
    with se.Network() as net:
        se.Dendrite("d", beta_over_2pi=100.0, tau=50.0, phi_offset=-0.05)
        se.Drive("d", points=[[0.0, 0.0], [10.0, 0.4]])
    return "flux quantum", net, {}, 20.0


def rtti_wakes_when_the_flux_falls():
    """The response of an RTTI dendrite is not monotone up to 1/2: it wakes when a strong pulse has decayed enough."""
    with se.Network() as net:
        se.Dendrite("d", kind="rtti", ib=1.6, beta_over_2pi=1000.0, phi_offset=0.1)
        se.Drive("d", pulses=[{"t0": 1.0, "phi_peak": 0.5, "tau_rise": 0.1, "tau_fall": 5.0}])
    return "flux quantum", net, {}, 20.0


def unequal_arms_near_half_a_quantum():
    """With unequal arms the best flux is not -1/2 Phi0: a loop wakes when its flux comes back to it from beyond."""
    device = Device(beta_1=Device().beta_1 + 0.25, beta_2=Device().beta_2 - 0.25)
    with se.Network(device) as net:
        se.Dendrite("d", ib=1.1, beta_over_2pi=100.0, tau=50.0)
        se.Drive("d", pulses=[{"t0": 1.0, "phi_peak": -0.9, "tau_rise": 0.1, "tau_fall": 5.0}], arm="both")
    return "flux quantum", net, {}, 20.0


def step_right_at_the_start():
    """A network has rested for ever when a run begins: a step in the first picoseconds meets a SQUID at rest."""
    with se.Network() as net:
        se.Dendrite("d", beta_over_2pi=100.0, tau=50.0)
        se.Drive("d", points=[[0.0, 0.0], [0.001, 0.0], [0.001, 0.3]])
    return "translation", net, {}, 5.0


def one_spike_for_one_crossing():
    """A soma that keeps its current spikes when it crosses its threshold, not again with the next fluxon above it."""
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(tau=5000.0, threshold=0.3, after_spike="keep", t_ref=0.0))
        se.Synapse("s", "n")
    return "spikes", net, {"s": [1.0]}, 10.0


def purge_empties_what_the_soma_couples():
    """Flux is J s: when a spike purges a soma, the flux that its current made elsewhere goes with it."""
    with se.Network() as net:
        se.Neuron("n", soma=se.Soma(threshold=0.1))
        se.Dendrite("d", beta_over_2pi=100.0, tau=50.0)
        se.Coupling("n", "d", J=0.3)
        se.Synapse("s", "n")
    return "flux", net, {"s": [1.0]}, 5.0


def one_time_constant_for_a_rise_and_a_fall():
    """The end of a hotspot forgets what is left of its own rise, not what other inputs of that time constant made."""
    with se.Network() as net:
        se.Dendrite("d", beta_over_2pi=100.0, tau=50.0)
        se.Synapse("a", "d", tau_rise=1.0, hotspot=0.5)
        se.Synapse("b", "d", tau_fall=1.0)
    return "flux", net, {"a": [1.1], "b": [1.0]}, 3.0


def parallel_couplings_act_at_once():
    """Two couplings from one loop to another are one change of flux, whatever their names."""
    with se.Network() as net:
        se.Dendrite("a", beta_over_2pi=100.0, tau=50.0)
        se.Dendrite("b", beta_over_2pi=100.0, tau=50.0)
        se.Coupling("a", "b", J=20.0, id="c0")
        se.Coupling("a", "b", J=-20.0, id="c1")
        se.Synapse("s", "a")
        se.Synapse("t", "b")
    return "relabelling", net, {"s": [1.0], "t": [0.5]}, 5.0


FOUND = (
    ramp_through_the_dead_band,
    rtti_wakes_when_the_flux_falls,
    unequal_arms_near_half_a_quantum,
    step_right_at_the_start,
    one_spike_for_one_crossing,
    purge_empties_what_the_soma_couples,
    one_time_constant_for_a_rise_and_a_fall,
    parallel_couplings_act_at_once,
)


@pytest.mark.parametrize("found", FOUND, ids=lambda found: found.__name__)
def test_what_a_law_has_found(found):
    name, *case = found()
    assert LAWS[name](*case, Simulation if name in HELD else simulate) is None


# ---------------------------------------------------------------------------------------------- they can fail


def busy():
    """A network in which everything happens: pulses, couplings, spikes, purges, light, drives, losses."""
    with se.Network() as net:
        se.Synapse("s0", "d0")
        se.Synapse("s1", "d1", weight=0.9, tau_fall=20.0, dead_time=1.0)
        se.Synapse("s2", "n0", tau_fall=20.0)
        se.Dendrite("d0", beta_over_2pi=60.0, tau=50.0)
        se.Dendrite("d1", kind="rtti", ib=2.0, beta_over_2pi=60.0, tau=20.0)
        se.Neuron(
            "n0",
            soma=se.Soma(beta_over_2pi=60.0, tau=20.0, threshold=0.2, t_ref=1.0),
            refractory=se.Refractory(beta_over_2pi=30.0, tau=5.0, tau_fall=5.0),
            transmitter=se.Transmitter(latency=0.5),
        )
        se.Coupling("d0", "n0", J=0.4)
        se.Coupling("d1", "d0", J=-0.2)
        se.Waveguide("n0", "s1", delay=0.25)
        se.Drive("n0", points=[[0.0, 0.0], [2.0, 0.0], [3.0, 0.2], [6.0, 0.0]])
    return net, {"s0": [1.0, 4.0], "s1": [1.5, 1.52, 2.2], "s2": [2.03]}, 8.0


def lossy():
    """Detectors that miss photons."""
    net, photons, duration = busy()
    net.replace("s0", efficiency=0.5)
    net.replace("s2", efficiency=0.9)
    return net, photons, duration


def rescaled(function, factor):
    """The function with its result, or the first of its results, multiplied."""

    def other(*arguments):
        value = function(*arguments)
        return (value[0] * factor, *value[1:]) if isinstance(value, tuple) else value * factor

    return other


def logged(monkeypatch, change):
    """An engine that logs what did not happen: ``change`` gets the columns of the log."""
    drain = CompiledEngine.drain

    def spoiled(self):
        log = drain(self)
        change(log)
        return log

    monkeypatch.setattr(CompiledEngine, "drain", spoiled)
    return {}


def in_reference(monkeypatch, name, change):
    """The reference engine with something of its namespaces changed (``Class.method`` or a function of physics)."""
    home, _, attribute = name.rpartition(".")
    owners = [getattr(reference, home)] if home else [m for m in (reference, objects) if hasattr(m, attribute)]
    for owner in owners:
        monkeypatch.setattr(owner, attribute, change(getattr(owner, attribute)))
    return {"engine": "reference"}


def recorded(change):
    """A ``run`` whose recording is changed: ``change`` gets its tables and how far each loop came."""

    def run(network, photons=None, duration=None, **options):
        held = Simulation(network, photons, **options)
        held.run(duration)
        rec = held.recording()
        tables = {name: {column: values.copy() for column, values in rec.table(name).items()} for name in TABLES}
        progress = copy.deepcopy(rec._progress)
        change(tables, progress)
        return Recording(rec.plan, tables, rec._header, progress)

    return run


def lowered(monkeypatch, change):
    """An engine that runs another Plan than that of the network: ``change`` gets the network and the arrays."""
    import importlib

    home = importlib.import_module("soen_event.simulate")
    lower = home.lower

    def other(network, *how):
        plan = lower(network, *how)
        return dataclasses.replace(plan, arrays=plan.arrays._replace(**change(network, plan.arrays)))

    monkeypatch.setattr(home, "lower", other)
    return {}


class Restless(Simulation):
    """Every call of run() does something to the currents."""

    def run(self, *arguments, **options):
        self._engine.state().loops["q"] *= 1.0 + 1e-12
        return super().run(*arguments, **options)


class Watched(Simulation):
    """Recording currents changes them."""

    def run(self, until=None, **options):
        super().run(0.5 * until)
        if self.wanted["currents"].any():
            self._engine.state().loops["q"] *= 1.0 + 1e-12
        return super().run(until, **options)


class Forgetful(Simulation):
    """A restored run is not quite what was saved."""

    @classmethod
    def restore(cls, path, **options):
        made = super().restore(path, **options)
        made._engine.state().loops["q"] *= 1.0 + 1e-12
        return made


def no_hotspot(fate):
    def other(self, *arguments):
        self.in_hotspot = 0
        return fate(self, *arguments)

    return other


def no_dead_time(fate):
    def other(self, *arguments):
        self.dead_fs = 0
        return fate(self, *arguments)

    return other


def always_fires(fires):
    return lambda self, now, pushed: self.current() > 0.05


def fires_at_will(fires):
    return lambda self, now, pushed: self.current() > 0.05 and now >= self.ready_fs


def heavier(quantum_in):
    """Fluxons that bring 1 % more current than a flux quantum."""

    def other(self, seed):
        quantum_in(self, seed)
        self.q += 0.01 * self.part.quantum

    return other


def free_of_charge(quantum_in):
    """Slips that dissipate 1 % too little."""

    def other(self, seed):
        before = self.slip_loss
        quantum_in(self, seed)
        self.slip_loss = before + 0.99 * (self.slip_loss - before)

    return other


def unbooked(spike):
    def other(self, now):
        before = self.purge_loss
        spike(self, now)
        self.purge_loss = before

    return other


def never_saturates(source_at):
    """A SQUID that goes on making fluxons whatever its current."""

    def other(*arguments):
        r, g_phi, g_i, u, u_phi, gain = source_at(*arguments)
        return (max(r, 0.5), g_phi, g_i, max(u, 0.1), u_phi, gain) if u > -1.0 else (r, g_phi, g_i, u, u_phi, gain)

    return other


def not_periodic(source_at):
    """A SQUID that is slower in the next period of its flux."""

    def other(*arguments):
        r, *rest = source_at(*arguments)
        return (0.5 * r if arguments[5] > 0.7 else r, *rest)

    return other


def on_a_grid(later):
    """Events at whole multiples of 10 fs of absolute time."""
    return lambda now, ns: max(-(-later(now, ns) // 10) * 10, now + 1)


def light_lost(fly):
    return lambda self, fs, w, ordinal: None


def light_late(fly):
    return lambda self, fs, w, ordinal: fly(self, fs + 1, w, ordinal)


def earlier(column, fs):
    def change(log):
        log[column] = np.maximum(log[column] - fs, 0)

    return change


def more(column, place, value):
    def change(log):
        log[column][:, place] += value

    return change


def without_one(tables, progress):
    fluxons = tables["fluxons"]
    tables["fluxons"] = {name: np.delete(values, len(values) // 2) for name, values in fluxons.items()}


def less_leak(tables, progress):
    progress["leak_loss"] = [0.999 * value for value in progress["leak_loss"]]


def foresees(network, photons=None, duration=None, **options):
    """An engine that knows how many photons will come."""
    count = sum(map(len, se.Stimulus.coerce(photons).photons.values()))
    other = network.copy()
    for name, dendrite in network.dendrites.items():
        other.replace(name, tau=dendrite.tau * (1.0 + 1e-3 * count))
    return simulate(other, photons, duration, **options)


def stronger(network, photons=None, duration=None, **options):
    """An engine whose couplings are 0.1 % stronger than they should be."""
    held = Simulation(network, photons, **options)
    held._engine.state().out_J[:] *= 1.001
    held.run(duration)
    return held.recording()


def detects_more(network, photons=None, duration=None, **options):
    other = network.copy()
    for name, synapse in network.synapses.items():
        if 0.0 < synapse.efficiency < 1.0:
            other.replace(name, efficiency=1.1 * synapse.efficiency)
    return simulate(other, photons, duration, **options)


def even_rtti(source):
    """The rate of an RTTI dendrite, the same at mirrored flux."""

    def other(sources, row, phi, i):
        if sources.shape[row, source_function.MIRROR] == 1:
            return source(sources, row, phi, i)
        return source(sources, row, abs(phi - round(phi)), i)

    return other


def stretched_flux(fold_flux):
    return lambda phi, mirror: fold_flux(0.999 * phi, mirror)


def skewed_flux(fold_flux):
    """Periodic, but not even."""
    return lambda phi, mirror: fold_flux(phi + 0.01 * np.sin(2.0 * np.pi * phi + 1.0) * mirror, mirror)


def first_row_differs(network, arrays):
    return {"tau": arrays.tau * np.where(np.arange(len(arrays.tau)) == 0, 0.99, 1.0)}


def late_comers_differ(network, arrays):
    return {"ib": arrays.ib * (1.0 - 1e-9 * list(network.graph.nodes).index("d1"))}


def smaller_inductance(monkeypatch):
    monkeypatch.setattr(Device, "beta_from_inductance", rescaled(Device.beta_from_inductance, 1.001))
    return {}


def slower_when_larger(monkeypatch):
    """A unit of time that depends on the critical current."""
    tau_0 = Device.tau_0_ns.fget
    monkeypatch.setattr(Device, "tau_0_ns", property(lambda self: tau_0(self) * (self.Ic / 1e-4) ** 0.01))
    return {}


def in_source(monkeypatch, change, name="fold_flux"):
    monkeypatch.setattr(source_function, name, change(getattr(source_function, name)))
    return {}


def in_reference_physics(name, change):
    return lambda monkeypatch: in_reference(monkeypatch, name, change)


# (law, what is broken, how: options of run, or another run)
BROKEN = [
    ("current", "current below zero", lambda m: logged(m, more("trace_values", T_Q, -0.1))),
    ("current", "phase of many turns", lambda m: logged(m, more("trace_values", T_PSI, 20.0))),
    ("current", "no saturation", in_reference_physics("source_at", never_saturates)),
    ("decay", "too fast a decay", in_reference_physics("exp", lambda exp: lambda x: exp(1.001 * x))),
    ("fluxons", "quanta of another size", in_reference_physics("Loop.quantum_in", heavier)),
    ("fluxons", "a fluxon that nobody saw", lambda m: recorded(without_one)),
    ("energy", "slips that cost less", in_reference_physics("Loop.quantum_in", free_of_charge)),
    ("energy", "purges that are not booked", in_reference_physics("Loop.spike", unbooked)),
    ("energy", "a leak that loses less", lambda m: recorded(less_leak)),
    ("spikes", "spikes within the refractory time", in_reference_physics("Loop.fires", always_fires)),
    ("spikes", "spikes below threshold", in_reference_physics("Loop.fires", fires_at_will)),
    ("spikes", "spikes without fluxon", lambda m: logged(m, earlier("spike_fs", 1))),
    ("flux", "pulses that are too high", in_reference_physics("flux_in_hotspot", lambda f: rescaled(f, 1.001))),
    ("flux", "drives that do nothing", in_reference_physics("Loop.kick", lambda kick: lambda self, change: 0.0)),
    ("flux", "couplings of another strength", lambda m: stronger),
    ("source", "another period", lambda m: in_source(m, stretched_flux)),
    ("source", "no mirror symmetry", lambda m: in_source(m, skewed_flux)),
    ("source", "mirror symmetry of RTTI", lambda m: in_source(m, even_rtti, "source")),
    ("flux quantum", "another period", in_reference_physics("source_at", not_periodic)),
    ("first cause", "fluxons before their cause", lambda m: logged(m, earlier("fluxon_fs", 500_000))),
    ("light", "light that is lost", in_reference_physics("ReferenceEngine._fly", light_lost)),
    ("light", "light 1 fs late", in_reference_physics("ReferenceEngine._fly", light_late)),
    ("light", "photons 1 fs early", lambda m: logged(m, earlier("photon_fs", 1))),
    ("prefix", "foresight", lambda m: foresees),
    ("translation", "a grid of absolute time", in_reference_physics("later", on_a_grid)),
    ("detector", "no hotspot", in_reference_physics("Detector.fate", no_hotspot)),
    ("detector", "no dead time", in_reference_physics("Detector.fate", no_dead_time)),
    ("thinning", "another efficiency", lambda m: detects_more),
    ("thinning", "numbers that are not uniform", in_reference_physics("uniform", lambda u: lambda *a: u(*a) ** 1.2)),
    ("relabelling", "a first row that differs", lambda m: lowered(m, first_row_differs)),
    ("units", "another inductance", smaller_inductance),
    ("scaling", "a unit of time that scales", slower_when_larger),
    ("insertion order", "parts that differ when they come late", lambda m: lowered(m, late_comers_differ)),
    ("split", "a run that feels where it is held", lambda m: Restless),
    ("recording", "currents that feel being watched", lambda m: Watched),
    ("engines", "one engine one bit off", in_reference_physics("exp", lambda f: lambda x: f(x) * (1.0 + 3e-16))),
    ("checkpoint", "a current that is not quite restored", lambda m: Forgetful),
]


@pytest.mark.parametrize(("name", "how"), [(b[0], b[2]) for b in BROKEN], ids=[f"{b[0]}: {b[1]}" for b in BROKEN])
def test_a_broken_engine_is_found_out(name, how, monkeypatch):
    usual = Simulation if name in HELD else simulate
    case = lossy() if name == "thinning" else busy()
    assert LAWS[name](*case, usual) is None, "the law does not even hold on a sound engine"
    broken = how(monkeypatch)
    with pytest.raises(LawBroken, match=f"^{name}: .*[0-9]"):
        LAWS[name](*case, partial(usual, **broken) if isinstance(broken, dict) else broken)


def test_every_law_has_been_broken():
    assert {name for name, _, _ in BROKEN} == set(LAWS)


def test_the_busy_network_is_busy():
    rec = simulate(*busy(), record=("fluxons", "photons"))
    counts = rec.event_counts
    assert counts["spikes"] >= 2 and counts["lost_hotspot"] >= 1 and counts["lost_dead"] >= 1 and counts["kicks"] >= 3
    assert all(count > 5 for count in rec.fluxon_count.values())
    assert len(rec.detections["s1"]) >= 2
    with detached():
        assert testing.law_relabelling(*busy()) is None
