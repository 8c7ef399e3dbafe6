"""The physics checks hold on this machine, and every one of them can fail."""

import dataclasses
import io
import json
import math
from types import SimpleNamespace

import pytest

from soen_event import validate
from soen_event.validate import Check


@pytest.fixture(scope="module")
def found():
    return list(validate.checks())


def test_all_checks_hold(found):
    assert [each for each in found if not each.ok] == []


def test_what_is_promised_is_checked(found):
    """All nine rows of the one-photon table, all neuron rows, both engines, and a source for every number."""
    photons = {each.name for each in found if each.section == "One photon into a dendrite"}
    assert len(photons) == 9
    assert len([each for each in found if each.section == "One photon into a dendrite"]) == 27
    assert len({each.name for each in found if each.section == "Spikes of a default neuron"}) == 5
    assert any("reference engine" in each.name for each in found)
    assert len([each for each in found if each.section == "Random numbers"]) == 3
    assert all(each.source and each.quantity for each in found)


def test_plain_data_survives_json(found):
    again = json.loads(json.dumps([each.as_dict() for each in found], allow_nan=False))
    assert len(again) == len(found) and set(again[0]) == {field.name for field in dataclasses.fields(Check)}
    broken = Check("a", "b", "c", "d", math.nan, 1.0, 0.1, False, "ns", False)
    assert json.loads(json.dumps(broken.as_dict(), allow_nan=False))["measured"] == "nan"


# ---------------------------------------------------------------------------------------------- every check can fail


def changed(value, place, change):
    """A nested tuple with one entry changed."""
    if not place:
        return change(value)
    return tuple(changed(each, place[1:], change) if k == place[0] else each for k, each in enumerate(value))


WRONG = [
    ("_CRITICAL", (3,), lambda x: x + 2e-4, "_static"),
    ("_THRESHOLD", (12,), lambda x: x - 2e-4, "_static"),
    ("_LARGEST", (0,), lambda x: x + 2e-4, "_static"),
    ("_REFRACTORY", (2, 2), lambda x: x * 1.001, "_static"),
    ("_RTTI_PLUS", (4,), lambda x: x + 0.03, "_rtti"),
    ("_RTTI_MINUS", (4,), lambda x: x + 0.03, "_rtti"),
    ("_RTTI_LARGEST", (15,), lambda x: x + 0.002, "_rtti"),
    ("_RTTI_PLATEAU", (8,), lambda x: x + 0.002, "_rtti"),
    ("_RTTI_RATES", (1, 3, 3), lambda x: x + 0.002, "_rtti"),
    ("_ONE_PHOTON", (0, 2), lambda x: x + 2, "_one_photon"),
    ("_ONE_PHOTON", (4, 3), lambda x: x * 1.01, "_one_photon"),
    ("_ONE_PHOTON", (8, 4), lambda x: x + 0.025, "_one_photon"),
    ("_SPIKES", (0, 3, 0), lambda x: x + 0.05, "_neuron"),
    ("_SPIKES", (2, 3, 4), lambda x: x + 0.05, "_neuron"),
    ("_SPIKES", (3, 3), lambda x: x[:4], "_neuron"),
    ("_PHILOX", (1, 2), lambda x: x.replace("4", "5"), "_arithmetic"),
    ("_ELEMENTARY", (0, 2), lambda x: math.nextafter(x, 3.0), "_arithmetic"),
    ("_ELEMENTARY_BITS", (), lambda x: x[::-1], "_arithmetic"),
]


@pytest.mark.parametrize(("name", "place", "change", "section"), WRONG, ids=lambda value: str(value)[:20])
def test_a_wrong_number_is_noticed(name, place, change, section, monkeypatch):
    monkeypatch.setattr(validate, name, changed(getattr(validate, name), place, change))
    call = getattr(validate, section)
    verdicts = [each.ok for each in (call(False) if section in ("_one_photon", "_neuron") else call())]
    assert 1 <= verdicts.count(False) <= 2 and verdicts.count(True) >= 5


def test_a_wrong_rate_is_noticed(monkeypatch):
    rows = {i: tuple(r + (0.0016 if i == 1.57 and k == 6 else 0.0) for k, r in enumerate(row))
            for i, row in validate._SOURCE_ROWS.items()}
    monkeypatch.setattr(validate, "_SOURCE_ROWS", rows)
    assert [each.name for each in validate._source_function(False) if not each.ok] == ["rate at i = 1.570"]


def test_another_device_is_noticed(monkeypatch):
    """A source table of another damping (circuit.md 0.2) breaks the one-photon table."""
    import soen_event as se

    def other(ib=1.8, beta_over_2pi=1000.0, **synapse):
        with se.Network(device=se.Device(source="fit")) as net:
            se.Dendrite("d", ib=ib, beta_over_2pi=beta_over_2pi, tau=250.0)
            se.Synapse("s", "d", **{"phi_peak": 0.48, **synapse})
        return net

    monkeypatch.setattr(validate, "_one_synapse", other)
    assert sum(not each.ok for each in validate._one_photon(False)) >= 9
    assert any(not each.ok for each in validate._detector())


def test_lost_energy_is_noticed(monkeypatch):
    real = validate._run

    def leaky(*arguments, **options):
        energy = real(*arguments, **options).energy
        energy["total"]["leak"] *= 1.0 + 1e-6
        return SimpleNamespace(energy=energy)

    monkeypatch.setattr(validate, "_run", leaky)
    assert [each.name for each in validate._energy() if not each.ok] == ["whole network"]


def test_different_events_are_noticed(monkeypatch):
    import soen_event as se

    def other_seed(net, photons, duration):
        return se.simulate(net, photons, duration, record=validate._EVERYTHING, seed=8, progress=False)

    monkeypatch.setattr(validate, "_in_pieces", other_seed)
    verdicts = {each.name.split(": ")[1]: each.ok for each in validate._engines(False)}
    assert verdicts == {"reference engine": True, "in three pieces": False}


def test_a_section_that_stops_fails_and_the_others_go_on(monkeypatch):
    def stop():
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr(validate, "_rtti", stop)
    monkeypatch.setattr(validate, "_one_photon", lambda full: iter(()))
    found = list(validate.checks())
    failed = [each for each in found if not each.ok]
    assert [each.section for each in failed] == ["The RTTI dendrite"]
    assert failed[0].measured == "ZeroDivisionError: no such thing"
    assert found[-1].section == "Engines"


VERDICTS = [(1.0, True), (1.1, True), (1.2, False), (math.nan, False), (math.inf, False)]


@pytest.mark.parametrize(("measured", "ok"), VERDICTS)
def test_verdict_of_numbers(measured, ok):
    section = validate._Section("a", "b")
    assert section.near("c", "d", measured, 1.0, 0.1).ok is ok
    assert section.worst("c", [1.0, measured], [1.0, 1.0], 0.1, relative=True).ok is ok


# ---------------------------------------------------------------------------------------------- the table


def shown(found, width):
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(validate.table(found))
    return file.getvalue()


def test_the_table_shows_every_check_on_a_line(found):
    text = shown(found, 116)
    lines = [line for line in text.splitlines() if line.startswith("   ok  ")]
    assert len(lines) == len(found) and "FAIL" not in text
    assert max(map(len, text.splitlines())) <= 116
    assert "One photon into a dendrite - physics.md 3.2, junction-level circuit" in text
    assert any("ib 1.80, beta/2pi 1000" in line and "479" in line and "479 ± 1" in line for line in lines)


def test_the_table_shows_failures(found):
    broken = dataclasses.replace(found[0], ok=False, measured=math.nan)
    lines = shown([broken, found[1]], 116).splitlines()
    assert [line.split()[0] for line in lines if line.startswith((" F", "  "))] == ["FAIL", "ok"]
    assert any("none" in line for line in lines)


def test_a_narrow_terminal_loses_no_verdict(found):
    text = shown(found, 80)
    assert text.count("   ok  ") == len(found) and max(map(len, text.splitlines())) <= 80
