"""Learning on virtual chips: what a chip refuses (S0.16), its memory, its deviations and faults, signals, and what writes cost."""

import dataclasses
import json
import math
from functools import partial

import numpy as np
import pytest
import rich.console
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware import energy
from hardware.chip import ASCR_Y1, IDEAL, NIST_SPIKING, SIGNALS, Chip, Known
from hardware.compatibility import compatibility
from hardware.deployment import check, deploy
from hardware.faults import Faults, dead_detectors, open_couplings, stuck_weights
from hardware.fitting import method_faults
from hardware.instrument import VirtualChip
from hardware.memory import joined
from hardware.quantize import Levels
from hardware.spread import Spread
from soen_event.errors import InputError
from soen_event.learning import NEEDS, Plasticity, Rule, Storage
from soen_event.physics.storage import WRITE_ENERGY
from training.rules import STDP, Eligibility, RateHomeostasis, ThreeFactor


@dataclasses.dataclass(frozen=True)
class Grow(Rule):
    """Every detection adds lr."""

    lr: float = 0.1
    requires = frozenset({"pre"})

    @staticmethod
    def on_detection(site, p):
        site.change += p.lr


@dataclasses.dataclass(frozen=True)
class Obey(Rule):
    """A signal says what to add."""

    requires = frozenset({"broadcast"})
    signals = ("add",)

    @staticmethod
    def on_add(site, p):
        site.change += site.signal


@dataclasses.dataclass(frozen=True)
class ObeyOwn(Obey):
    """A signal for every neuron says what to add."""

    requires = frozenset({"per-neuron"})

    @staticmethod
    def on_add(site, p):
        site.change += site.signal


def pair(weights=(0.5, -0.5)):
    with se.Network(name="pair") as net:
        se.Neuron("n", soma=se.Soma(threshold=0.2, beta_over_2pi=100.0, tau=50.0), refractory=se.Refractory())
        for k, w in enumerate(weights):
            se.Dendrite(f"d{k}", ib=1.8, beta_over_2pi=300.0, tau=100.0)
            se.Synapse(f"s{k}", f"d{k}", weight=w)
            se.Coupling(f"d{k}", "n", J=0.4)
    return net


QUIET = dataclasses.replace(NIST_SPIKING, name="no photon lost", efficiency=1.0, dead_time=0.0)


def loaded(chip=QUIET, rule=None, net=None, learning=None, **options):
    virtual = VirtualChip(chip, seed=3, engine=options.pop("engine", "compiled"), spread=options.pop("spread", None))
    rules = (rule or Grow()).on(synapses="*") if learning is None else learning
    virtual.load(net or pair(), learning=rules, temperature=0.0, **options)
    return virtual


# ---------------------------------------------------------------------------------------------- what a chip refuses


def test_one_vocabulary_of_needs():
    """S0.16."""
    assert (*NEEDS, "gradient") == SIGNALS
    assert Chip(signals=("fluxons", "averages")).signals == ("fluxons", "averages")
    with pytest.raises(InputError, match=r"'fluxon' is not known.*fluxons"):
        Chip(signals=("fluxon",))


@settings(deadline=None, max_examples=60)
@given(has=st.frozensets(st.sampled_from([*NEEDS])), needs=st.frozensets(st.sampled_from([*NEEDS]), min_size=1))
def test_a_rule_runs_where_its_needs_are_met(has, needs):
    """S0.16: it is judged by what it requires, and by nothing else; signals per neuron can be the same for all."""

    class Needy(Rule):
        requires = needs

    chip = Chip(name="some", signals=tuple(has), methods=("stdp",))
    fits = needs <= (has | ({"broadcast"} if "per-neuron" in has else set()))
    assert (method_faults(chip, Needy(), "p") == []) == fits
    assert (method_faults(chip, Needy, "p") == []) == fits
    found = compatibility(chip, Needy())["some", "Needy"]
    assert found.allowed == fits and set(found.needs) == needs and bool(found.missing) != fits


def test_profiles_and_rules():
    """S0.16: the table, from rules themselves and from names."""
    rules = [STDP(), ThreeFactor, Eligibility().on(synapses="*"), RateHomeostasis().on(loops="*"), "backprop"]
    found = compatibility(rules=rules)
    assert found.chips == ("IDEAL", "ASCR_Y1", "NIST_SPIKING")
    allowed = {(v.chip, v.rule) for v in found.verdicts if v.allowed}
    assert allowed == {("IDEAL", rule) for rule in found.rules} | {("NIST_SPIKING", r) for r in ("STDP", "ThreeFactor")}
    assert found["NIST_SPIKING", "backprop"].missing == ("gradient",)
    assert found["NIST_SPIKING", "Eligibility"].missing == ("post current", "per-neuron")
    assert found["NIST_SPIKING", "STDP"].status == "assumed"
    assert any("changes phi_offset" in why for why in found["NIST_SPIKING", "RateHomeostasis"].why)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["ASCR_Y1"]["STDP"] == {
        "allowed": False, "needs": ["pre", "post"], "missing": ["pre", "post"], "status": "assumed",
        "why": list(found["ASCR_Y1", "STDP"].why),
    }  # fmt: skip
    assert "STDP" in str(found) and "no: gradient" in str(found)
    console = rich.console.Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(found)
    assert "no: gradient" in console.export_text()
    for name in ("stdp", "three_factor", "backprop"):
        assert compatibility()["NIST_SPIKING", name].allowed == (name != "backprop")


def test_compatibility_nonsense():
    with pytest.raises(InputError) as error:
        compatibility(["ideal", "nits"], ["stpd", 3, STDP, STDP()])
    told = "\n".join(error.value.faults)
    assert "'nits' is no chip" in told and "did you mean 'stdp'" in told and "3 is no rule" in told and "twice" in told
    with pytest.raises(InputError, match="give each chip its own name"):
        compatibility([IDEAL, IDEAL])
    with pytest.raises(InputError, match="did you mean"):
        _ = compatibility()["NIST_SPIKING", "stpd"]


def test_what_does_not_run_is_refused_when_it_is_loaded():
    """S0.16."""
    for learning, why in (
        (Eligibility().on(synapses="*"), "needs post current, per-neuron"),
        (RateHomeostasis().on(loops="*"), "programs weights"),
        (STDP().on(couplings="*"), "changes J of couplings"),
    ):
        with pytest.raises(InputError, match=why):
            loaded(learning=learning)
        assert not check(pair(), QUIET, method=learning).fits
        with pytest.raises(InputError, match="the chip has"):
            deploy(pair(), QUIET, learning=learning)
    with pytest.raises(InputError, match="nothing is learned on it"):
        VirtualChip(ASCR_Y1).load(pair(), learning=STDP().on(synapses="*"))
    with pytest.raises(InputError, match="does not run"):
        deploy(pair(), QUIET, method="backprop")
    with pytest.raises(InputError, match="did you mean 'backprop'"):
        deploy(pair(), IDEAL, method="bakprop")
    with pytest.raises(InputError, match="does not say where it acts"):
        VirtualChip(QUIET).load(pair(), learning=STDP())


# ---------------------------------------------------------------------------------------------- the memory


@settings(deadline=None, max_examples=150)
@given(
    low=st.floats(-1.5, 0.4), width=st.floats(0.5, 2.0), levels=st.one_of(st.none(), st.integers(2, 600)),
    bits=st.integers(2, 8), sign=st.sampled_from(["free", "keep", "magnitude"]), value=st.sampled_from([-0.5, 0.0, 0.5]),
)  # fmt: skip
def test_a_storage_within_a_chip_has_the_chips_values_only(low, width, levels, bits, sign, value):
    bottom = 0.0 if sign == "magnitude" else -1.0
    chip = Levels.bits_with_zero(bits, bottom, 1.0)
    wanted = Storage(low, low + width, levels=levels)
    try:
        found = joined(wanted, chip, sign, value)
    except InputError as error:
        few = "nothing can be learnt" in str(error) or "leaves" in str(error)
        if not few:
            raise
        return
    held = found.low + found.step * np.arange(found.levels)
    known = np.array(chip.values) * (-1.0 if sign == "magnitude" and value < 0.0 else 1.0)
    assert np.abs(held[:, None] - known).min(axis=1).max() < 1e-9
    assert wanted.low - 1e-9 <= held[0] and held[-1] <= wanted.high + 1e-9
    assert levels is None or found.step >= wanted.step * (1.0 - 1e-9)
    if sign != "free" and value:
        assert (held * value >= 0.0).all()


def test_ranges_and_what_cannot_be_joined():
    assert joined(Storage(), (0.0, 1.0), "free", 0.5) == Storage(0.0, 1.0)
    assert joined(Storage(0.5, 2.0), None, "free", 0.5, 0.9) == Storage(0.5, 2.0, gain=0.9)
    assert joined(Storage(), (0.0, 1.0), "magnitude", -0.5) == Storage(-1.0, -0.0)
    assert joined(Storage(0.0, 2.0, levels=21), (0.0, 1.0), "free", 0.5).levels == 11
    with pytest.raises(InputError, match="not equally spaced"):
        joined(Storage(), Levels.codebook([0.0, 0.1, 1.0]), "free", 0.1)
    with pytest.raises(InputError, match="nothing can be learnt"):
        joined(Storage(2.0, 3.0), (0.0, 1.0), "free", 0.1)


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_what_is_learnt_is_a_level_and_has_the_deviation_of_its_place(engine):
    """With the chip's rule of signs: -0.5 grows towards 0 and stays there."""
    chip = loaded(rule=Grow(lr=0.101), spread=Spread(mutual=0.1), engine=engine)
    gains = {name: chip.network[name].weight / chip.weights[name] for name in ("s0", "s1")}
    assert abs(gains["s0"] - 1.0) > 1e-3
    chip.inject({"s0": [10.0, 120.0], "s1": [10.0, 120.0]})
    chip.run(200.0)
    assert chip.weights["s0"] == pytest.approx(0.7025) and chip.weights["s1"] == pytest.approx(-0.2975, abs=0.0026)
    assert {abs(chip.weights[name]) for name in gains} <= set(NIST_SPIKING.weights.values)
    for name, gain in gains.items():
        assert chip.network[name].weight == pytest.approx(chip.weights[name] * gain, rel=1e-12)
    chip.inject({"s1": [100.0, 200.0, 300.0, 400.0]})
    chip.run(500.0)
    assert chip.weights["s1"] == 0.0


def test_writes_are_counted_read_out_and_booked():
    chip = loaded()
    assert chip.learns == ("s0", "s1") and chip.hears == frozenset()
    at_loading = chip.ledger.writes
    chip.inject({"s0": [10.0, 120.0], "s1": [20.0]})
    chip.run(150.0)
    found = chip.read_out()
    assert found.writes == {"s0": 2, "s1": 1} and "3 writes by rules" in str(found)
    assert chip.ledger.writes == at_loading + 3 and chip.ledger.by_part["s0"] == 3
    assert chip.ledger.energy_J == pytest.approx((at_loading + 3) * 0.4e-15)
    assert chip.read_out().writes == {}
    assert chip.recording().learnt("s0") == pytest.approx(0.7)


def test_the_chip_settles_after_a_rule_has_written():
    chip = loaded(dataclasses.replace(QUIET, settling=30.0))
    chip.inject({"s0": [50.0]})
    chip.run(40.0)
    assert chip.settled
    chip.run(20.0)
    assert not chip.settled
    chip.run(30.0)
    assert chip.settled


def test_reset_keeps_or_forgets():
    chip = loaded()
    chip.inject({"s0": [10.0]})
    chip.run(50.0)
    chip.set_rule("Grow", lr=0.2)
    chip.reset()
    assert chip.now == 0.0 and chip.weights["s0"] == pytest.approx(0.6)
    chip.inject({"s0": [10.0]})
    chip.run(50.0)
    assert chip.weights["s0"] == pytest.approx(0.8)
    chip.reset(weights=True)
    assert chip.weights["s0"] == 0.5
    chip.inject({"s0": [10.0]})
    chip.run(50.0)
    assert chip.weights["s0"] == pytest.approx(0.6)


def test_programming_and_biases_meet_what_learns():
    chip = loaded(spread=Spread(mutual=0.1))
    chip.inject({"s0": [10.0]})
    chip.run(50.0)
    assert chip.program({"s0": 0.3}) == {"s0": pytest.approx(0.3)}
    chip.set_bias("d0", 1.75)
    chip.inject({"s0": [100.0]})
    chip.run(150.0)
    assert chip.weights["s0"] == pytest.approx(0.4)


def test_learning_goes_with_a_deployment():
    made = deploy(pair(), QUIET, learning=Grow().on(synapses="s0"), temperature=0.0)
    chip = VirtualChip(QUIET)
    chip.load(made)
    assert chip.learns == ("s0",)
    chip.load(made, learning=Grow().on(synapses="s1"))
    assert chip.learns == ("s1",)


def test_offsets_and_couplings_learn_where_a_chip_has_them():
    chip = loaded(Chip(phi_offset=(-0.02, 0.02), couplings=Levels.bits(3, 0.0, 0.7)),
                  learning=[Obey().on(loops="d*"), Obey().on(couplings="d*", name="J")])  # fmt: skip
    assert chip.weights["d0->n"] == pytest.approx(0.4) and chip.weights["d0.phi_offset"] == 0.0
    chip.signal("add", 0.1)
    chip.run(10.0)
    assert chip.weights["d0->n"] == pytest.approx(0.5) and chip.weights["d1.phi_offset"] == 0.02
    assert chip.network["d0"].phi_offset == 0.02
    chip.reset()
    assert chip.weights["d0.phi_offset"] == 0.02 and chip.weights["d1->n"] == pytest.approx(0.5)
    chip.reset(weights=True)
    assert chip.weights["d0.phi_offset"] == 0.0


# ---------------------------------------------------------------------------------------------- signals


def test_signals_now_and_later():
    chip = loaded(rule=Obey())
    chip.run(10.0)
    chip.signal("add", 0.1)
    chip.signal("add", 0.2, delay=20.0)
    assert chip.weights["s0"] == pytest.approx(0.6)
    assert chip.read_out().signals == ((10.0, "add", 0.1),)
    chip.run(19.0)
    assert chip.weights["s0"] == pytest.approx(0.6) and chip.read_out().signals == ()
    chip.run(1.0)
    assert chip.weights["s0"] == pytest.approx(0.8) and chip.read_out().signals == ((30.0, "add", 0.2),)
    with pytest.raises(InputError, match=r"VirtualChip.signal: 'ad' is unknown.*add"):
        chip.signal("ad")
    with pytest.raises(InputError, match="no signal of its own for every neuron"):
        chip.signal("add", {"n": 1.0})
    with pytest.raises(InputError, match=r"VirtualChip\.signal\.delay"):
        chip.signal("add", delay=-1.0)
    with pytest.raises(InputError, match=r"VirtualChip.set_rule: there is no rule 'Oby'"):
        chip.set_rule("Oby", rate=0.0)
    own = loaded(Chip(), rule=ObeyOwn())
    own.signal("add", {"n": 0.1})
    assert own.weights["s0"] == pytest.approx(0.6)


# ---------------------------------------------------------------------------------------------- faults


def test_dead_detectors_learn_nothing_and_stay_dead():
    chip = loaded()
    chip.inject({"s0": [10.0]})
    chip.run(50.0)
    hit = chip.damage(partial(dead_detectors, ids=["s0"]))
    assert hit.hits["dead_detectors"] == ("s0",) and chip.now == 0.0 and chip.weights["s0"] == pytest.approx(0.6)
    for again in (False, True):
        chip.inject({"s0": [10.0], "s1": [10.0]})
        chip.run(50.0)
        seen = chip.read_out()
        assert not len(seen.detections["s0"]) and len(seen.detections["s1"]) == 1 and seen.writes == {"s1": 1}
        chip.reset(weights=True)
        assert chip.weights["s0"] == 0.5, again


def test_what_is_stuck_takes_writes_and_stays():
    chip = loaded(spread=Spread(mutual=0.1))
    chip.damage(partial(stuck_weights, ids=["s0"], at=0.2))
    assert chip.network["s0"].weight == pytest.approx(0.2) and chip.learns == ("s1",)
    before, stays = chip.ledger.by_part["s0"], chip.weights["s0"]
    assert chip.program({"s0": 0.9}) == {"s0": stays} and chip.ledger.by_part["s0"] == before + 1
    chip.inject({"s0": [10.0]})
    chip.run(50.0)
    assert chip.network["s0"].weight == pytest.approx(0.2)
    chip.reset(weights=True)
    assert chip.network["s0"].weight == pytest.approx(0.2)


def test_mixtures_and_wrong_faults():
    chip = loaded(Chip(), rule=Obey(), learning=Obey().on(couplings="d*"))
    chip.damage(partial(open_couplings, ids=["d0->n"]))
    chip.signal("add", 0.1)
    assert chip.learns == ("d1->n",) and chip.network["d0->n"].J == 0.0
    assert set(chip.damage(Faults(dead_detectors=1.0)).hits["dead_detectors"]) == {"s0", "s1"}
    firing = Faults(firing_detectors=1.0, firing_rate_MHz=20.0, firing_duration=500.0)
    chip.damage(firing)
    for _ in range(2):
        chip.run(500.0)
        assert sum(map(len, chip.read_out().detections.values())) > 3
        chip.reset()
    for fault in (3, lambda net: None, lambda net: net):
        with pytest.raises(InputError, match=r"VirtualChip\.damage"):
            chip.damage(fault)


# ---------------------------------------------------------------------------------------------- energy


@pytest.mark.parametrize("levels", [None, 401])
def test_energy_of_every_write_sums(levels):
    rng = np.random.default_rng(2)
    photons = {f"s{k}": np.sort(rng.uniform(0.0, 300.0, 8)).tolist() for k in range(2)}
    storage = Storage(-1.0, 1.0, levels=levels)
    learning = STDP(lr=0.1).on(synapses="*", storage=storage)
    rec = se.simulate(pair((0.9, 0.9)), photons, 400.0, record="photons", learning=learning)
    book = energy.ledger(rec)
    slip = rec.plan.device.switching_energy_J
    assert slip == pytest.approx(0.207e-18, rel=2e-3)  # physics.md 8
    for name, memory in book.memories.items():
        times, values = rec.writes[name]
        moved = float(np.abs(np.diff(values, prepend=rec.learnt(name, 0.0))).sum())
        assert memory.writes == len(times) > 0
        assert memory.measured == pytest.approx(len(times) * WRITE_ENERGY)
        assert memory.quanta == pytest.approx(moved / (0.005 if levels else 1.0 / 400.0))
        assert memory.worked == pytest.approx(memory.quanta * slip)
        assert levels is None or memory.quanta == pytest.approx(round(memory.quanta))
    assert book.memory.writes == len(rec.table("writes")["site"])
    for name in ("measured", "worked", "quanta"):
        assert getattr(book.memory, name) == pytest.approx(sum(getattr(m, name) for m in book.memories.values()))
    without = energy.ledger(rec, energy.Assumptions(write=0.0))
    assert book.wall_J - without.wall_J == pytest.approx(book.memory.measured)
    assert book.total == without.total and abs(book.total.residual) < 1e-12 * book.total.drawn
    assert (
        "writes to memories" in str(book)
        and json.loads(json.dumps(book.as_dict()))["memory"]["writes"] == book.memory.writes
    )
    twice = energy.ledger(rec, energy.Assumptions(quantum=2.0 * slip))
    assert twice.memory.worked == pytest.approx(2.0 * book.memory.worked)


def test_without_learning_nothing_is_booked():
    rec = se.simulate(pair(), {"s0": [5.0]}, 50.0, record="photons")
    book = energy.ledger(rec)
    assert book.memories == {} and book.memory == energy.Memory() and "writes" not in str(book)
    for name in ("write", "quantum", "quanta"):
        with pytest.raises(InputError, match=f"Assumptions.{name}"):
            energy.Assumptions(**{name: -1.0})


def test_a_chip_that_learns_gives_the_same_bits_however_it_runs():
    runs = []
    for engine, cuts in (("compiled", (300.0,)), ("reference", (300.0,)), ("compiled", (100.0, 50.0, 150.0))):
        chip = loaded(NIST_SPIKING, rule=STDP(lr=0.1), spread=Spread.published(), engine=engine)
        chip.inject({"s0": [10.0, 110.0, 210.0], "s1": [5.0, 115.0]})
        for cut in cuts:
            chip.run(cut)
        runs.append((chip.weights, {k: v.tobytes() for k, v in chip.recording().table("writes").items()}))
    assert runs[0] == runs[1] == runs[2]


def test_names_and_sources():
    assert NIST_SPIKING.provenance["signals"].status == "assumed"
    assert NIST_SPIKING.facts["signals pre, post"].status == "published"
    assert isinstance(NIST_SPIKING.facts["signal broadcast"], Known) and math.isfinite(WRITE_ENERGY)
    assert isinstance(Grow().on(synapses="*"), Plasticity)
