"""The junctions of a network: what is given, what follows, and the only place where constants are combined.

A :class:`Device` holds the critical current of one junction, its damping and capacitance and the two arm inductances of
a dendrite's SQUID (physics.md 0.3, circuit.md 2). Everything else follows from these::

    c_j = gamma_c I_c                  r_j = sqrt(beta_c Phi0/(2 pi c_j I_c))      V_j = I_c r_j
    omega_c = 2 pi I_c r_j/Phi0        omega_p = sqrt(2 pi I_c/(Phi0 c_j))         tau_0 = 1/omega_c
    beta = 2 pi L I_c/Phi0             alpha = r/r_j                               J = M I_c/Phi0
    beta_eff = beta + beta_parallel    beta_parallel = beta_1 beta_2/(beta_1 + beta_2)

beta_eff is what one flux quantum sees: the integration loop in series with the SQUID's two arms in parallel.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from soen_event.errors import InputError, nearest
from soen_event.units import Phi0, k_B, parse

__all__ = ["Device"]

TWO_PI = 2.0 * math.pi
HALF_PI = 1.5707963267948966
FIT_BETA_C = 0.3

# Field -> dimension, lowest value (None: above zero), highest value and what to write instead.
_RANGES: dict[str, tuple[str, float | None, float, str]] = {
    "Ic": ("absolute_current", None, 0.1, "a current above 0 in A, such as '100 uA'"),
    "beta_c": ("number", None, 1e3, "a number above 0, such as 0.3"),
    "c_per_Ic": ("capacitance_per_current", None, 1e-6, "a value above 0 in F/A, such as '1.5 fF/uA'"),
    "beta_1": ("number", None, 1e3, "a number above 0, such as 1.5708"),
    "beta_2": ("number", None, 1e3, "a number above 0, such as 1.5708"),
    "temperature": ("temperature", 0.0, 1e3, "a temperature from 0 in K, such as '4.2 K'"),
}
_SOURCES = ("table", "fit")


def _argument(value: Any, dimension: str, where: str, zero: bool = False) -> float:
    """Parse an argument of a method; it must be above zero, or with ``zero`` not below."""
    number = parse(value, dimension, where)
    if number < 0.0 or (number == 0.0 and not zero):
        raise InputError(f"{where}: {value!r} is not {'at least' if zero else 'above'} 0; give a positive value")
    return number


@dataclass(frozen=True, kw_only=True)
class Device:
    """The Josephson junctions of every dendrite and soma of a network, and their SQUID's arms.

    Arguments (all optional, keywords only; each number may be a quantity string):
        Ic: critical current of one junction, A, above 0 and at most 0.1. Default 100 uA.
        beta_c: Stewart-McCumber parameter, above 0. Default 0.3.
        c_per_Ic: junction capacitance per critical current, F/A, above 0 and at most 1e-6. Default 1.5 fF/uA.
        beta_1, beta_2: dimensionless inductances 2 pi L I_c/Phi0 of the SQUID's arms, above 0. Default pi/2 each;
            a value that rounds to 1.5708 is taken as pi/2 exactly.
        temperature: K, at least 0. Default 0: no thermal fluxons. Above, thermal ones come at their mean rate (physics/thermal.py).
        source: where the fluxon rate of a dendrite comes from: ``"table"``, computed from this device's junctions, or
            ``"fit"``, the closed fit, which exists for beta_c = 0.3 and beta_1 = beta_2 = pi/2 only. Default "table".
        rate_table: path of a rate table (``soen table``, :mod:`hardware.tables`) that all RI, or all RTTI, dendrites take their fluxon
            rates from, by the table's kind; in a network file relative to that file. It is read and checked at once. Default none.
        rate_table_checksum: of that table, filled in when it is read; if given, the file must have it. With it the file may be missing
            until it is needed, so that a recording can be opened elsewhere.

    Raises :class:`~soen_event.errors.InputError` with every fault that is found. Defaults: physics.md 0.3.
    """

    Ic: float = 100e-6
    beta_c: float = 0.3
    c_per_Ic: float = 1.5e-9
    beta_1: float = HALF_PI
    beta_2: float = HALF_PI
    temperature: float = 0.0
    source: str = "table"
    rate_table: str | None = None
    rate_table_checksum: str | None = None

    def __post_init__(self) -> None:
        faults: list[str] = []
        for name, (dimension, lowest, highest, wanted) in _RANGES.items():
            where = f"Device.{name}"
            try:
                number = parse(getattr(self, name), dimension, where)
            except InputError as error:
                faults += error.faults
                continue
            if lowest is None and number <= 0.0:
                faults.append(f"{where}: {number:g} is not above 0; give {wanted}")
            elif lowest is not None and number < lowest:
                faults.append(f"{where}: {number:g} is below {lowest:g}; give {wanted}")
            elif number > highest:
                faults.append(f"{where}: {number:g} is above {highest:g}; give {wanted}")
            if name in ("beta_1", "beta_2") and abs(number - HALF_PI) < 5e-6:
                number = HALF_PI
            object.__setattr__(self, name, number + 0.0)  # -0.0 becomes 0.0
        if not isinstance(self.source, str) or self.source not in _SOURCES:
            hint = nearest(str(self.source), _SOURCES)
            faults.append(f"Device.source: {self.source!r} is not known{hint}; give 'table' or 'fit'")
        elif self.source == "fit" and not faults:
            fitted = {"beta_c": FIT_BETA_C, "beta_1": HALF_PI, "beta_2": HALF_PI}
            given = {name: getattr(self, name) for name in fitted}
            if given != fitted:
                other = [f"{name} = {given[name]:g}" for name in fitted if given[name] != fitted[name]]
                faults.append(
                    "Device.source: 'fit' holds for beta_c = 0.3 and beta_1 = beta_2 = pi/2 only, and this device has "
                    f"{', '.join(other)}; use 'table'"
                )
        faults += self._rate_table_faults(bool(faults))
        if faults:
            raise InputError(faults)

    def _rate_table_faults(self, others: bool) -> list[str]:
        noted = self.rate_table_checksum
        if self.rate_table is None:
            return (
                []
                if noted is None
                else ["Device.rate_table_checksum: there is no rate_table; leave it out, or give the table"]
            )
        if isinstance(self.rate_table, os.PathLike):
            object.__setattr__(self, "rate_table", os.fspath(self.rate_table))
        if not isinstance(self.rate_table, str) or not self.rate_table:
            return [f"Device.rate_table: {self.rate_table!r} is no path; give that of a file written by `soen table`"]
        if noted is not None and not isinstance(noted, str):
            return [f"Device.rate_table_checksum: {noted!r} is no text; leave it out"]
        if noted and not os.path.exists(self.rate_table):
            return []
        from soen_event.physics.rate_table import kept, mismatches

        try:
            table = kept(self.rate_table)
        except InputError as error:
            return error.faults
        object.__setattr__(self, "rate_table_checksum", noted or table.checksum)
        return [] if others else mismatches(self, table)

    # ---------------------------------------------------------------------------------------------------------- files

    def as_dict(self) -> dict[str, float | str]:
        """Return the given values by name, in SI, as a network file holds them; :meth:`from_dict` undoes it exactly."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Device:
        """Return the device with the given values; what is missing keeps its default.

        Argument: a mapping with keys ``Ic``, ``beta_c``, ``c_per_Ic``, ``beta_1``, ``beta_2``, ``temperature``,
        ``source``, ``rate_table`` and ``rate_table_checksum``.
        Raises :class:`~soen_event.errors.InputError` for other keys and for what :class:`Device` refuses,
        all faults together.
        """
        if not isinstance(values, Mapping):
            raise InputError(f"Device: {values!r} is not a mapping; give fields by name, such as {{'Ic': '100 uA'}}")
        known = [field.name for field in fields(cls)]
        faults = [
            f"Device.{name}: there is no such field{nearest(str(name), known)}; give {', '.join(known)}"
            for name in values
            if name not in known
        ]
        try:
            device = cls(**{name: value for name, value in values.items() if name in known})
        except InputError as error:
            faults += error.faults
        if faults:
            raise InputError(faults)
        return device

    # ------------------------------------------------------------------------------------------------- what follows

    @property
    def c_j(self) -> float:
        """Capacitance of one junction, F."""
        return self.c_per_Ic * self.Ic

    @property
    def r_j(self) -> float:
        """Shunt resistance of one junction, Ohm: sqrt(beta_c Phi0/(2 pi c_j I_c))."""
        return math.sqrt(self.beta_c * Phi0 / (TWO_PI * self.c_j * self.Ic))

    @property
    def V_j(self) -> float:
        """Characteristic voltage I_c r_j, V."""
        return self.Ic * self.r_j

    @property
    def omega_c(self) -> float:
        """Characteristic angular frequency 2 pi I_c r_j/Phi0, rad/s."""
        return TWO_PI * self.V_j / Phi0

    @property
    def omega_c_per_ns(self) -> float:
        """Dimensionless time per ns: omega_c in rad/ns."""
        return self.omega_c * 1e-9

    @property
    def tau_0_ns(self) -> float:
        """Unit of dimensionless time 1/omega_c, ns."""
        return 1e9 / self.omega_c

    @property
    def omega_p(self) -> float:
        """Plasma frequency sqrt(2 pi I_c/(Phi0 c_j)), rad/s."""
        return math.sqrt(TWO_PI * self.Ic / (Phi0 * self.c_j))

    @property
    def fluxon_rate_GHz(self) -> float:
        """Fluxons per ns at the dimensionless rate r = 2 pi: omega_c/2 pi."""
        return self.omega_c_per_ns / TWO_PI

    @property
    def switching_energy_J(self) -> float:
        """Energy I_c Phi0 that one phase slip of one junction dissipates, J."""
        return self.Ic * Phi0

    @property
    def josephson_energy_J(self) -> float:
        """Josephson energy I_c Phi0/2 pi, J."""
        return self.switching_energy_J / TWO_PI

    def gamma_thermal(self, temperature: float | None = None) -> float:
        """Return the thermal parameter Gamma = 2 pi k_B T/(I_c Phi0) at ``temperature`` (K; default: the device's)."""
        where = "Device.gamma_thermal"
        kelvin = self.temperature if temperature is None else _argument(temperature, "temperature", where, zero=True)
        return k_B * kelvin / self.josephson_energy_J

    @property
    def beta_parallel(self) -> float:
        """Dimensionless inductance of the SQUID's arms in parallel: beta_1 beta_2/(beta_1 + beta_2)."""
        return self.beta_1 * self.beta_2 / (self.beta_1 + self.beta_2)

    # ------------------------------------------------------------------------------------------- loops and couplings

    def beta_from_inductance(self, L_H: float) -> float:
        """Return beta = 2 pi L I_c/Phi0 of an inductance ``L_H`` (H, above 0, or a string such as "2 nH")."""
        return TWO_PI * _argument(L_H, "inductance", "Device.beta_from_inductance") * self.Ic / Phi0

    def inductance_from_beta(self, beta: float) -> float:
        """Return the inductance (H) whose dimensionless value is ``beta`` (above 0)."""
        return _argument(beta, "number", "Device.inductance_from_beta") * Phi0 / (TWO_PI * self.Ic)

    def beta_eff(self, beta: float) -> float:
        """Return beta + beta_parallel: the inductance that a fluxon entering a loop of ``beta`` (at least 0) sees."""
        return _argument(beta, "number", "Device.beta_eff", zero=True) + self.beta_parallel

    def quantum(self, beta: float) -> float:
        """Return the current 2 pi/beta_eff (units of I_c) that one fluxon adds to a loop of ``beta`` (at least 0)."""
        return TWO_PI / self.beta_eff(beta)

    def alpha_from_resistance(self, r_ohm: float) -> float:
        """Return alpha = r/r_j of a loop resistance ``r_ohm`` (Ohm, above 0, or a string)."""
        return _argument(r_ohm, "resistance", "Device.alpha_from_resistance") / self.r_j

    def tau_from_resistance(self, beta: float, r_ohm: float) -> float:
        """Return the decay time (ns) of a loop's current: (L + L_parallel)/r = beta_eff/(alpha omega_c).

        Arguments: ``beta`` of the loop (at least 0) and its resistance ``r_ohm`` (Ohm, above 0, or a string).
        """
        return self.beta_eff(beta) / (self.alpha_from_resistance(r_ohm) * self.omega_c_per_ns)

    def resistance_from_tau(self, beta: float, tau_ns: float) -> float:
        """Return the resistance (Ohm) with which a loop of ``beta`` decays in ``tau_ns`` (ns, above 0, or a string).

        The inverse of :meth:`tau_from_resistance`, so the arms of the SQUID count here too.
        """
        tau = _argument(tau_ns, "time", "Device.resistance_from_tau")
        return self.r_j * self.beta_eff(beta) / (tau * self.omega_c_per_ns)

    def mutual_from_J(self, J: float) -> float:
        """Return the mutual inductance (H, of either sign) of a coupling ``J`` (Phi0 per unit s): M = J Phi0/I_c."""
        return parse(J, "number", "Device.mutual_from_J") * Phi0 / self.Ic

    def J_from_mutual(self, M_H: float) -> float:
        """Return the coupling J = M I_c/Phi0 (Phi0 per unit s) of a mutual inductance ``M_H`` (H, or a string)."""
        return parse(M_H, "inductance", "Device.J_from_mutual") * self.Ic / Phi0

    def current_to_Ic_units(self, current_A: float) -> float:
        """Return a current (A, of either sign, or a string such as "180 uA") in units of I_c."""
        return parse(current_A, "absolute_current", "Device.current_to_Ic_units") / self.Ic
