"""Engine against circuit at a temperature: rates and intervals of fluxons near threshold, and the fluxons of pulses.

:func:`near_threshold` and :func:`pulses` run the same dendrites in the engine (Device.temperature) and as junction-level circuits with the
noise of their shunts and resistors (:mod:`hardware.circuit`), and say how far apart they are; ``soen validate noise`` prints both. The
engine's rates come from the saddle-node with noise and a correction (:mod:`soen_event.physics.thermal`), so this is no circle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hardware import circuit
from soen_event.errors import InputError, nearest
from soen_event.physics.random import checked_seed
from soen_event.units import is_number

__all__ = ["PROMISES", "PulseRow", "RateRow", "Report", "near_threshold", "pulses", "report"]

PROMISES = {"rate": 0.05, "interval": 0.05, "count": 0.05}
"""Largest relative difference of a rate, of an interval's coefficient of variation, and of a number of fluxons."""
_CHIPS = 24  # copies of a dendrite in one circuit
_IB = 1.7


@dataclass(frozen=True)
class RateRow:
    """A dendrite at constant flux. Rates in fluxons per ns; ``cv``: standard deviation of intervals over their mean."""

    phi: float
    rate: float
    rate_error: float  # standard error of the circuit's
    engine_rate: float
    cv: float
    cv_error: float
    engine_cv: float

    @property
    def ok(self) -> bool:
        """Within what is promised and three standard errors of the comparison."""
        rate = abs(self.engine_rate - self.rate) <= PROMISES["rate"] * self.rate + 3.0 * self.rate_error
        return rate and abs(self.engine_cv - self.cv) <= PROMISES["interval"] * self.cv + 3.0 * self.cv_error


@dataclass(frozen=True)
class PulseRow:
    """A pulse of flux into a resting dendrite: mean and standard deviation of the number of fluxons, and of the first one's time (ns)."""

    name: str
    count: float
    count_error: float
    count_sd: float
    engine_count: float
    engine_sd: float
    cold: int  # fluxons in the engine at 0 K
    first: float
    first_sd: float
    engine_first: float
    engine_first_sd: float

    @property
    def ok(self) -> bool:
        return abs(self.engine_count - self.count) <= PROMISES["count"] * self.count + 3.0 * self.count_error


@dataclass(frozen=True)
class Report:
    """What :func:`report` found; ``print`` it."""

    temperature: float
    seed: int
    rates: tuple[RateRow, ...]
    pulses: tuple[PulseRow, ...]

    @property
    def ok(self) -> bool:
        """Whether all promises hold."""
        return all(row.ok for row in self.rates) and all(row.ok for row in self.pulses)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {
            "temperature": self.temperature,
            "seed": self.seed,
            "rates": [{**asdict(row), "ok": row.ok} for row in self.rates],
            "pulses": [{**asdict(row), "ok": row.ok} for row in self.pulses],
            "ok": self.ok,
        }

    def __str__(self) -> str:
        lines = [
            f"{self.temperature:g} K, ib {_IB}, beta 2 pi 100; circuit with the noise of shunts and resistors, seed {self.seed}",
            "",
            f"{'flux':>6} {'rate, 1/ns':>20} {'engine':>9} {'cv of intervals':>18} {'engine':>8}",
        ]
        lines += [
            f"{r.phi:>6.3f} {r.rate:>10.3f} +- {r.rate_error:<6.3f} {r.engine_rate:>9.3f} {r.cv:>9.3f} +- {r.cv_error:<5.3f} "
            f"{r.engine_cv:>8.3f}  {'ok' if r.ok else 'FAILS'}"
            for r in self.rates
        ]
        lines += [
            "",
            f"{'pulse':<24} {'fluxons':>16} {'sd':>5} {'engine':>7} {'sd':>5} {'0 K':>4} {'first, ns':>16} {'engine':>14}",
        ]
        lines += [
            f"{r.name:<24} {r.count:>8.2f} +- {r.count_error:<4.2f} {r.count_sd:>5.2f} {r.engine_count:>7.2f} {r.engine_sd:>5.2f} "
            f"{r.cold:>4} {r.first:>8.3f} +- {r.first_sd:<4.2f} {r.engine_first:>7.3f} +- {r.engine_first_sd:<4.2f} "
            f"{'ok' if r.ok else 'FAILS'}"
            for r in self.pulses
        ]
        return "\n".join(lines)


def _check(where: str, ranges: dict[str, tuple[Any, float, float]]) -> None:
    """Refuse, all together, what is no number or outside (value, least, most)."""
    faults = [
        f"warm.{where}.{name}: {value!r} is not a number from {low:g} to {high:g}; give one"
        for name, (value, low, high) in ranges.items()
        if not (is_number(value) and low <= value <= high)
    ]
    if faults:
        raise InputError(faults)


def _copies(number: int, temperature: float, **of: Any) -> Any:
    import soen_event as se

    drives = of.pop("drives", ())
    with se.Network(device=se.Device(temperature=temperature)) as net:
        for k in range(number):
            se.Dendrite(f"d{k:03d}", **{"ib": _IB, "beta_over_2pi": 100.0, "tau": 100.0, **of})
            for drive in drives:
                se.Drive(f"d{k:03d}", **drive)
    return net


def _intervals(run: Any, settled: float) -> tuple[int, np.ndarray]:
    """Fluxons after ``settled`` ns, and all intervals between them."""
    trains = [train[train > settled] for train in run.fluxons.values()]
    return sum(len(train) for train in trains), np.concatenate([np.diff(train) for train in trains])


def near_threshold(phi: float, temperature: float = 4.2, seed: int = 0, fluxons: float = 3000.0) -> RateRow:
    """Rate and intervals of a dendrite at constant flux ``phi`` (Phi0), over so long that about ``fluxons`` of them come.

    The loop has so large an inductance that its current stays near zero, as in circuit.md 6.
    """
    import soen_event as se

    _check(
        "near_threshold",
        {"phi": (phi, -0.5, 0.5), "temperature": (temperature, 0.01, 20.0), "fluxons": (fluxons, 10, 1e7)},
    )
    seed = checked_seed(seed)
    like = {"beta_over_2pi": 1e5, "tau": 20.0, "phi_offset": float(phi)}
    settled = 2.0
    first = se.simulate(_copies(200, temperature, **like), {}, 60.0, record=("fluxons",), seed=seed)
    guess = max(_intervals(first, settled)[0] / 200 / (60.0 - settled), 0.05)
    duration = settled + fluxons / guess / _CHIPS
    truth = circuit.simulate(_copies(_CHIPS, temperature, **like), {}, duration, seed=seed, record=())
    rec = se.simulate(_copies(10 * _CHIPS, temperature, **like), {}, duration, record=("fluxons",), seed=seed)
    n, found = _intervals(truth, settled)
    m, mine = _intervals(rec, settled)
    span = _CHIPS * (duration - settled)
    cv = float(found.std() / found.mean())
    return RateRow(
        phi=float(phi),
        rate=n / span,
        rate_error=cv * math.sqrt(n) / span,
        engine_rate=m / (10 * span),
        cv=cv,
        cv_error=cv * math.sqrt((0.5 + cv * cv) / len(found)),
        engine_cv=float(mine.std() / mine.mean()),
    )


_PULSES: dict[str, dict[str, Any]] = {
    "0.4 Phi0, 1/20 ns": {"phi_peak": 0.4, "tau_rise": 1.0, "tau_fall": 20.0},
    "0.235 Phi0, 1/20 ns": {"phi_peak": 0.235, "tau_rise": 1.0, "tau_fall": 20.0},
    "0.21 Phi0, 1/20 ns": {"phi_peak": 0.21, "tau_rise": 1.0, "tau_fall": 20.0},
    "0.3 Phi0, 0.02/10 ns": {"phi_peak": 0.3, "tau_rise": 0.02, "tau_fall": 10.0},
}


def pulses(name: str, temperature: float = 4.2, seed: int = 0, copies: int = 100) -> PulseRow:
    """Fluxons of one pulse in ``copies`` circuits and ten times as many engine dendrites (the first three: circuit.md 6, N1 to N3)."""
    import soen_event as se

    _check("pulses", {"temperature": (temperature, 0.01, 20.0), "copies": (copies, 2, 10_000)})
    if name not in _PULSES:
        raise InputError(
            f"warm.pulses.name: there is no pulse {name!r}{nearest(str(name), _PULSES)}; give one of {list(_PULSES)}"
        )
    seed = checked_seed(seed)
    drives = [{"pulses": [{"t0": 1.0, **_PULSES[name]}]}]
    duration = 31.0

    def told(run: Any) -> tuple[np.ndarray, np.ndarray]:
        trains = list(run.fluxons.values())
        return np.array([len(t) for t in trains], dtype=float), np.array([t[0] for t in trains if len(t)])

    truth = circuit.simulate(_copies(copies, temperature, drives=drives), {}, duration, seed=seed, record=())
    rec = se.simulate(_copies(10 * copies, temperature, drives=drives), {}, duration, record=("fluxons",), seed=seed)
    cold = se.simulate(_copies(1, 0.0, drives=drives), {}, duration)
    (n, first), (m, mine) = told(truth), told(rec)
    return PulseRow(
        name=name,
        count=float(n.mean()),
        count_error=float(n.std() / math.sqrt(copies)),
        count_sd=float(n.std()),
        engine_count=float(m.mean()),
        engine_sd=float(m.std()),
        cold=int(cold.fluxon_count["d000"]),
        first=float(first.mean() - 1.0),
        first_sd=float(first.std()),
        engine_first=float(mine.mean() - 1.0),
        engine_first_sd=float(mine.std()),
    )


def report(
    temperature: float = 4.2,
    seed: int = 0,
    fluxes: tuple[float, ...] = (0.205, 0.21, 0.215, 0.22, 0.235, 0.3),
    fluxons: float = 2500.0,
    copies: int = 60,
    show: Callable[[str], None] | None = None,
) -> Report:
    """All of it: some two minutes of CPU.

    Args:
        temperature: K, 0.01 to 20. seed: of every draw.
        fluxes: constant fluxes of :func:`near_threshold` (threshold: 0.219).
        fluxons, copies: how many of them in the circuits; errors fall as their roots.
        show: told what is being run.

    Raises:
        InputError: a number out of its range.
    """
    ranges = {"temperature": (temperature, 0.01, 20.0), "fluxons": (fluxons, 10, 1e7), "copies": (copies, 2, 10_000)}
    _check("report", {**ranges, **{f"fluxes[{k}]": (phi, -0.5, 0.5) for k, phi in enumerate(fluxes)}})
    rates, rows = [], []
    for phi in fluxes:
        if show is not None:
            show(f"constant flux, {phi:g} Phi0")
        rates.append(near_threshold(phi, temperature, seed, fluxons))
    for name in _PULSES:
        if show is not None:
            show(f"pulse, {name}")
        rows.append(pulses(name, temperature, seed, copies))
    return Report(float(temperature), checked_seed(seed), tuple(rates), tuple(rows))
