"""The device: tabulated values, the relations between them, round trips and refusals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soen_event import units
from soen_event.device import Device
from soen_event.errors import InputError
from soen_event.units import Phi0

PI = math.pi
FIELDS = ["Ic", "beta_c", "c_per_Ic", "beta_1", "beta_2", "temperature", "source"]

devices = st.builds(
    Device,
    Ic=st.floats(1e-6, 1e-3),
    beta_c=st.floats(0.01, 10.0),
    c_per_Ic=st.floats(1e-10, 1e-8),
    beta_1=st.floats(0.1, 10.0),
    beta_2=st.floats(0.1, 10.0),
    temperature=st.floats(0.0, 10.0),
)
betas = st.floats(1.0, 1e6)


def close(expected, rel=1e-12):
    """Relative only: these values are far below the absolute tolerance that pytest would add."""
    return pytest.approx(expected, rel=rel, abs=0.0)


def faults(**given) -> list[str]:
    with pytest.raises(InputError) as caught:
        Device(**given)
    return caught.value.faults


# ------------------------------------------------------------------------------------------------------- golden numbers


@pytest.mark.parametrize(
    ("name", "expected", "digits"),
    [
        ("Ic", 100e-6, 0.0),
        ("c_j", 150e-15, 1e-12),
        ("r_j", 2.56556, 2e-6),
        ("V_j", 256.556e-6, 2e-6),
        ("omega_c", 7.79556e11, 1e-6),
        ("tau_0_ns", 1.28278e-3, 2e-6),
        ("omega_c_per_ns", 779.556, 1e-6),
        ("omega_p", 1.42327e12, 3e-6),
        ("fluxon_rate_GHz", 124.070, 4e-6),
        ("switching_energy_J", 2.068e-19, 1e-4),
        ("beta_parallel", PI / 4.0, 1e-15),
    ],
)
def test_the_default_device(name, expected, digits):
    """The table of physics.md 0.3."""
    assert getattr(Device(), name) == close(expected, digits)


def test_energies_and_thermal_parameter_at_liquid_helium():
    """physics.md 0.3: I_c Phi0 = 3566 kT, E_J = 568 kT, Gamma = 1.762e-3 at 4.2 K."""
    device = Device()
    thermal = units.k_B * 4.2
    assert device.switching_energy_J / thermal == close(3566.0, 2e-4)
    assert device.josephson_energy_J / thermal == close(568.0, 1e-3)
    assert device.gamma_thermal(4.2) == close(1.762e-3, 3e-4)
    assert device.gamma_thermal("4.2 K") == Device(temperature="4.2 K").gamma_thermal() == device.gamma_thermal(4.2)
    assert device.gamma_thermal() == 0.0


def test_the_other_devices_of_the_circuit_study():
    """circuit.md 2: set A (5 fF/uA, beta_c = 0.95) and set C (300 uA)."""
    a = Device(beta_c=0.95, c_per_Ic="5 fF/uA")
    assert a.c_j == close(500e-15)
    assert a.r_j == close(2.50060, 2e-6)
    assert a.tau_0_ns == close(1.31611e-3, 3e-6)
    c = Device(Ic="300 uA", beta_c=0.95, c_per_Ic="5 fF/uA")
    assert c.c_j == close(1.5e-12)
    assert c.r_j == close(0.8335, 1e-4)
    assert c.tau_0_ns == close(a.tau_0_ns)


def test_inductances_of_the_circuit_study():
    """circuit.md 2: an arm of pi/2 is 5.170 pH at 100 uA and 1.723 pH at 300 uA, 2 pi 100 is 2.068 and 0.689 nH."""
    for current, arm, loop in (("100 uA", 5.170e-12, 2.068e-9), ("300 uA", 1.723e-12, 0.689e-9)):
        device = Device(Ic=current)
        assert device.inductance_from_beta(PI / 2.0) == close(arm, 3e-4)
        assert device.inductance_from_beta(200.0 * PI) == close(loop, 5e-4)
        assert device.beta_from_inductance(f"{loop * 1e9} nH") == close(200.0 * PI, 5e-4)


def test_mutual_inductance_of_a_detector():
    """physics.md 1.1: half a flux quantum needs 103 pH at 10 uA and 52 pH at 20 uA."""
    assert Device(Ic="10 uA").mutual_from_J(0.5) == close(103e-12, 5e-3)
    assert Device(Ic="20 uA").mutual_from_J(0.5) == close(52e-12, 1e-2)


def test_a_fluxon_of_a_loop_of_2_pi_100():
    """circuit.md 0: beta_eff is 0.1 % above beta at 2 pi 100."""
    device = Device()
    assert device.beta_eff(200.0 * PI) == close(200.0 * PI * 1.00125)
    assert device.quantum(200.0 * PI) == close(0.01 / 1.00125)


# ------------------------------------------------------------------------------------------------------------ relations


@given(devices)
def test_relations_between_derived_values(device):
    assert device.omega_c * device.tau_0_ns * 1e-9 == close(1.0)
    assert device.omega_c_per_ns * device.tau_0_ns == close(1.0)
    assert device.omega_c**2 == close(device.beta_c * device.omega_p**2)  # beta_c = (omega_c/omega_p)^2
    assert device.beta_c == close(2.0 * PI * device.Ic * device.r_j**2 * device.c_j / Phi0)
    assert device.V_j == close(Phi0 * device.fluxon_rate_GHz * 1e9)
    assert device.switching_energy_J == close(2.0 * PI * device.josephson_energy_J)
    assert 1.0 / device.beta_parallel == close(1.0 / device.beta_1 + 1.0 / device.beta_2)


@given(devices, betas)
def test_a_fluxon_is_a_flux_quantum_over_the_whole_inductance(device, beta):
    """Delta s = Phi0/(L I_c) with L the loop and the arms in parallel (circuit.md 2)."""
    whole = device.inductance_from_beta(beta) + device.inductance_from_beta(device.beta_parallel)
    assert device.quantum(beta) == close(Phi0 / (whole * device.Ic))
    assert device.quantum(beta) < 2.0 * PI / beta


@given(devices, betas, st.floats(1e-4, 1e3))
def test_the_decay_time_is_L_over_r(device, beta, r):
    whole = device.inductance_from_beta(beta) + device.inductance_from_beta(device.beta_parallel)
    assert device.tau_from_resistance(beta, r) == close(whole / r * 1e9)
    assert device.alpha_from_resistance(r) == close(r / device.r_j)


@given(devices, betas, st.floats(1e-3, 1e6))
def test_conversions_undo_each_other(device, beta, value):
    assert device.beta_from_inductance(device.inductance_from_beta(beta)) == close(beta)
    assert device.tau_from_resistance(beta, device.resistance_from_tau(beta, value)) == close(value)
    for J in (value, -value):
        assert device.J_from_mutual(device.mutual_from_J(J)) == close(J)
        assert device.current_to_Ic_units(J * device.Ic) == close(J)


@given(devices)
def test_scaling_the_critical_current_keeps_the_clock(device):
    """With c per I_c and beta_c kept, tau_0 does not depend on the size of the junction."""
    double = Device(**(device.as_dict() | {"Ic": 2.0 * device.Ic}))
    assert double.tau_0_ns == close(device.tau_0_ns)
    assert double.r_j == close(0.5 * device.r_j)


def test_quantity_strings_as_arguments():
    device = Device()
    assert device.beta_from_inductance("2 nH") == device.beta_from_inductance(2e-9)
    assert device.tau_from_resistance(10.0, "80 mOhm") == device.tau_from_resistance(10.0, 0.08)
    assert device.resistance_from_tau(10.0, "1 us") == device.resistance_from_tau(10.0, 1000.0)
    assert device.J_from_mutual("-10 pH") == device.J_from_mutual(-10e-12)
    assert device.current_to_Ic_units("180 uA") == close(1.8)


# ----------------------------------------------------------------------------------------------------- what is accepted


@given(devices)
def test_dictionaries_round_trip_exactly(device):
    assert list(device.as_dict()) == FIELDS
    assert Device.from_dict(device.as_dict()) == device
    assert hash(Device.from_dict(device.as_dict())) == hash(device)


def test_the_device_of_a_network_file():
    """The entry of design.md 5, said to be the defaults: a rounded pi/2 must not make another device."""
    entry = {
        "Ic": "100 uA",
        "beta_c": 0.3,
        "c_per_Ic": "1.5 fF/uA",
        "beta_1": 1.5708,
        "beta_2": 1.5708,
        "temperature": "0 K",
    }
    assert Device.from_dict(entry) == Device.from_dict({}) == Device()
    assert Device(beta_1=1.571).beta_1 == 1.571


def test_every_field_takes_a_string():
    device = Device(
        Ic="0.2 mA", beta_c="0.95", c_per_Ic="5 fF/uA", beta_1="1.2", beta_2="1e0", temperature="4200 mK"
    )
    expected = [2e-4, 0.95, 5e-9, 1.2, 1.0, 4.2, "table"]
    assert device.as_dict() == dict(zip(FIELDS, expected, strict=True))
    assert all(type(value) is float for name, value in device.as_dict().items() if name != "source")


def test_numbers_of_any_kind_become_plain_floats():
    import numpy as np

    device = Device(Ic=np.float32(0.0001), beta_c=1, temperature=np.int64(4))
    assert type(device.Ic) is type(device.beta_c) is type(device.temperature) is float
    assert math.copysign(1.0, Device(temperature=-0.0).temperature) == 1.0


def test_frozen_and_by_keyword_only():
    with pytest.raises(AttributeError):
        Device().Ic = 1e-4
    with pytest.raises(TypeError):
        Device(1e-4)


# ------------------------------------------------------------------------------------------------------ what is refused


def test_all_faults_at_once():
    found = faults(
        Ic="2 nH", beta_c=-1, c_per_Ic=1.5, beta_1=0, beta_2=None, temperature=math.nan, source="tabel"
    )
    assert [fault.split(":")[0] for fault in found] == [f"Device.{name}" for name in FIELDS]
    assert found[0] == "Device.Ic: '2 nH' is an inductance; a current was expected (for example '100 uA')"
    assert found[1] == "Device.beta_c: -1 is not above 0; give a number above 0, such as 0.3"
    assert found[-1] == "Device.source: 'tabel' is not known (did you mean 'table'?); give 'table' or 'fit'"


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, True, [], math.inf, -1.0, "much", 1e9])
def test_every_field_refuses_nonsense(name, value):
    found = faults(**{name: value})
    assert len(found) == 1 and found[0].startswith(f"Device.{name}: ")


@pytest.mark.parametrize("name", ["Ic", "beta_c", "c_per_Ic", "beta_1", "beta_2"])
def test_what_must_be_above_zero(name):
    assert "is not above 0" in faults(**{name: 0.0})[0]
    assert Device(temperature=0.0).temperature == 0.0


def test_a_current_in_the_wrong_unit_is_noticed():
    """A plain 100 is 100 A; the message says what to write."""
    assert faults(Ic=100) == ["Device.Ic: 100 is above 0.1; give a current above 0 in A, such as '100 uA'"]


def test_the_closed_fit_is_for_one_device_only():
    assert Device(source="fit").source == "fit"
    assert Device(source="fit", beta_1=1.5708, Ic="50 uA", c_per_Ic="5 fF/uA", temperature=4.2).source == "fit"
    for given_values in ({"beta_c": 0.95}, {"beta_1": 1.0}, {"beta_2": 2.0}, {"beta_c": 0.31, "beta_2": 2.0}):
        (found,) = faults(source="fit", **given_values)
        assert found.startswith("Device.source: 'fit' holds for beta_c = 0.3 and beta_1 = beta_2 = pi/2 only")
        assert all(f"{name} = {value:g}" in found.split("this device has")[1] for name, value in given_values.items())
        assert found.endswith("; use 'table'")


def test_unknown_keys_and_bad_values_together():
    with pytest.raises(InputError) as caught:
        Device.from_dict({"beta": 1.0, "Ic": "2 nH", "temprature": "4 K"})
    first, second, third = caught.value.faults
    assert first.startswith("Device.beta: there is no such field (did you mean 'beta_")
    assert second.startswith("Device.temprature: there is no such field (did you mean 'temperature'?); give Ic,")
    assert third.startswith("Device.Ic: '2 nH' is an inductance")


@pytest.mark.parametrize("values", [None, 1.0, "table", [("Ic", 1e-4)]])
def test_only_a_mapping_is_a_device(values):
    with pytest.raises(InputError, match=r"^Device: .* is not a mapping"):
        Device.from_dict(values)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("beta_from_inductance", (0.0,)),
        ("beta_from_inductance", ("50 ns",)),
        ("inductance_from_beta", (-1.0,)),
        ("beta_eff", (-1.0,)),
        ("quantum", (math.nan,)),
        ("alpha_from_resistance", (0.0,)),
        ("tau_from_resistance", (10.0, "0 Ohm")),
        ("tau_from_resistance", (10.0, "1 nH")),
        ("resistance_from_tau", (10.0, 0.0)),
        ("resistance_from_tau", (10.0, None)),
        ("mutual_from_J", (math.inf,)),
        ("J_from_mutual", ("1 ns",)),
        ("current_to_Ic_units", (True,)),
        ("gamma_thermal", (-1.0,)),
    ],
)
def test_methods_refuse_what_has_no_meaning(method, arguments):
    with pytest.raises(InputError, match=r"^Device\.\w+: "):
        getattr(Device(), method)(*arguments)
