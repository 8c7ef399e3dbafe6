"""A source function as an object and a file: how fast a dendrite makes fluxons at every flux and current.

    table = RateTable.load("measured.npz")
    table.rate(0.4, 1.5)            # RI: flux (Phi0), current i = ib - s of the SQUID (I_c)
    table.rate(0.35, 0.2, ib=2.0)   # RTTI: flux, current s of the loop, nominal bias
    Device(rate_table="measured.npz")

Computed tables come from :func:`hardware.tables.generate`, measured and other people's from :func:`hardware.tables.read_foreign`. Three
layouts of ``arrays`` (shapes; fluxes in Phi0, currents in I_c):

* RI: ``a`` (n,), ``y`` (m,), ``rate`` (n, m) over a = sqrt(i - level) and y = 1/2 - |phi|; ``level``, ``slope`` (d level/dy), ``gain`` at
  even y from 0 to 1/2. Unequal arms (``beta_1``, ``beta_2``) shift the flux (:mod:`soen_event.physics.squid`).
* RTTI from junctions: a :class:`soen_event.physics.family.Family`, packed.
* RTTI from samples: ``ib`` (k,), ``a`` (n,), ``origin`` (k,), ``rate`` (k, n, m) and ``s``, ``slope``, ``gain`` (k, l) at even fluxes
  over a period from ``origin``; linear in ``ib`` between.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError
from soen_event.physics import family, source, squid, tablefile
from soen_event.physics.rtti import Line
from soen_event.physics.source import Table
from soen_event.units import floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from soen_event.device import Device

__all__ = ["RateTable", "kept"]

Floats = NDArray[np.float64]
KINDS = ("ri", "rtti")
_ARRAYS = {
    ("ri", "junctions"): ("a", "y", "rate", "level", "slope", "gain"),
    ("ri", "samples"): ("a", "y", "rate", "level", "slope", "gain"),
    ("rtti", "junctions"): family.Family._fields,
    ("rtti", "samples"): ("ib", "a", "origin", "rate", "s", "slope", "gain"),
}


class RateTable:
    """One source function (RI), or a row of them over the nominal bias (RTTI).

    Args:
        parameters: ``kind`` ("ri", "rtti"), ``form`` ("junctions", "samples"), ``a_bend`` and, RI, ``y_bend`` of the axes; ``beta_c``,
            ``beta_1`` ... where known; ``notes``: sentences on where it comes from and what was repaired.
        arrays: see the module's head.

    Raises:
        InputError: an array is missing, of a wrong shape, or not finite.
    """

    def __init__(self, parameters: Mapping[str, Any], arrays: Mapping[str, ArrayLike]):
        self.parameters: dict[str, Any] = dict(parameters)
        self.arrays: dict[str, np.ndarray] = {name: np.asarray(array) for name, array in arrays.items()}
        for array in self.arrays.values():
            array.flags.writeable = False
        layout = (self.parameters.get("kind"), self.parameters.get("form"))
        if layout not in _ARRAYS:
            raise InputError(
                f"RateTable.kind: {layout} is not known; kind is 'ri' or 'rtti', form 'junctions' or 'samples'"
            )
        faults = [
            f"RateTable.{name}: is missing; make the table again" for name in _ARRAYS[layout] if name not in self.arrays
        ]
        faults += [
            f"RateTable.{name}: holds values that are not finite; make the table again"
            for name, array in self.arrays.items()
            if array.dtype.kind not in "iuf" or not np.isfinite(array).all()
        ]
        faults = faults or self._shape_faults()
        if faults:
            raise InputError(faults)
        self._tables: dict[float, Table] = {}

    def _shape_faults(self) -> list[str]:
        held = self.arrays
        if self.kind == "ri":
            wanted = {
                "rate": (held["a"].size, held["y"].size),
                "slope": held["level"].shape,
                "gain": held["level"].shape,
            }
        elif self.parameters["form"] == "samples":
            many = held["ib"].size
            wanted = {"rate": (many, held["a"].size, held["rate"].shape[-1]), "origin": (many,)}
            wanted |= {"slope": held["s"].shape, "gain": held["s"].shape}
        else:
            wanted = {"rate": (held["a"].size, held["phi"].size), "start": (held["ib"].size + 1,)}
        return [
            f"RateTable.{name}: has shape {held[name].shape}, not {shape}; make the table again"
            for name, shape in wanted.items()
            if held[name].shape != tuple(shape)
        ]

    # ---- what it is

    @property
    def kind(self) -> str:
        """ "ri" or "rtti"."""
        return str(self.parameters["kind"])

    @property
    def notes(self) -> list[str]:
        """Where it comes from, and what was repaired when it was read."""
        return list(self.parameters.get("notes", ()))

    @property
    def biases(self) -> tuple[float, float] | None:
        """Lowest and highest nominal bias (I_c) of an RTTI table; None for RI, which serves every bias."""
        return None if self.kind == "ri" else (float(self.arrays["ib"][0]), float(self.arrays["ib"][-1]))

    @property
    def checksum(self) -> str:
        """Hash of parameters and arrays: the same for the same table in any file."""
        return tablefile.checksum(self.parameters, self.arrays)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RateTable) and self.checksum == other.checksum

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        given = ", ".join(f"{k} {v:.5g}" for k, v in self.parameters.items() if k.startswith("beta") and v is not None)
        row = "" if self.biases is None else f", biases {self.biases[0]:g} to {self.biases[1]:g}"
        return f"<RateTable: {self.kind} from {self.parameters['form']}{', ' if given else ''}{given}{row}>"

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write it as .npz, .h5 or .hdf5, in one step; returns its checksum.

        Raises:
            InputError: for another ending, or a folder that is not there.
        """
        return tablefile.write(path, self.parameters, self.arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RateTable:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the file is missing, damaged, of a later version or no table.
        """
        return cls(*tablefile.read(path))

    # ---- looking up

    def source(self, ib: float | None = None) -> Table:
        """The row of :class:`~soen_event.physics.source.Sources` that the engines run on; ``ib``: nominal bias (RTTI)."""
        key = -1.0 if self.kind == "ri" else self._bias(ib)
        if key not in self._tables:
            if len(self._tables) > 64:
                self._tables.clear()
            self._tables[key] = self._ri() if self.kind == "ri" else self._rtti(key)
        return self._tables[key]

    def rate(self, phi: ArrayLike, current: ArrayLike, ib: float | None = None) -> Floats:
        """Mean phase rate r = 2 pi f tau_0.

        Args:
            phi: flux (Phi0), any shape.
            current: RI: i = ib - s that the SQUID carries; RTTI: s in the loop (I_c); broadcast against ``phi``.
            ib: nominal bias of an RTTI dendrite.
        """
        from soen_event.engine.jit import compile_function

        phi, current = _finite(phi, "phi"), _finite(current, "current")
        try:
            phi, current = np.broadcast_arrays(phi, current)
        except ValueError:
            told = f"{phi.shape} fluxes and {current.shape} currents"
            raise InputError(f"RateTable.current: {told} do not go together; give shapes that broadcast") from None
        i = current if self.kind == "ri" else self._bias(ib) - current
        row = source.stack([self.source(ib)])
        out = np.empty(phi.size)
        kernel: Any = compile_function(source.rates_at, persistent=True)
        kernel(row.shape, row.scale, row.cells, row.levels, np.ravel(phi).astype(float), np.ravel(i).astype(float), out)
        return out.reshape(phi.shape)[()]

    def threshold(self, phi: ArrayLike, ib: float | None = None) -> Floats:
        """RI: the lowest SQUID current (I_c) that makes fluxons at flux ``phi``; RTTI: the highest loop current, s_sat."""
        phi = _finite(phi, "phi")
        row = source.stack([self.source(ib)])
        shift, offset = float(row.scale[0, source.SHIFT]), float(row.scale[0, source.OFFSET])
        out = np.empty(phi.size)
        for k, x in enumerate(np.ravel(phi).tolist()):
            value = float(source.level(row.shape, row.scale, row.levels, 0, x + offset)[0])
            for _ in range(60 if shift else 0):  # unequal arms shift the flux by the current
                value = 0.5 * (
                    value + float(source.level(row.shape, row.scale, row.levels, 0, x + offset + shift * value)[0])
                )
            out[k] = value if self.kind == "ri" else self._bias(ib) - value
        return out.reshape(phi.shape)[()]

    def _bias(self, ib: float | None) -> float:
        low, high = self.biases or (0.0, 0.0)
        if ib is None or not (isinstance(ib, int | float | np.number) and low - 1e-9 <= ib <= high + 1e-9):
            held = f"ib = {low:g} only" if low == high else f"ib from {low:g} to {high:g}"
            raise InputError(
                f"RateTable.ib: {ib!r} is not in this table, which holds {held}; give such a bias, or another table"
            )
        return float(min(max(ib, low), high))

    def _ri(self) -> Table:
        held, given = self.arrays, self.parameters
        beta_1, beta_2 = float(given.get("beta_1") or squid.TWO_PI / 4), float(given.get("beta_2") or squid.TWO_PI / 4)
        rest = source.phases(0.5 * (beta_1 + beta_2), given.get("beta_c"))
        curve = (held["level"], held["slope"], held["gain"])
        shift = (beta_2 - beta_1) / (2.0 * squid.TWO_PI)
        steepest = float(np.abs(held["slope"]).max())
        return source.assemble(held["rate"], held["a"], held["y"], given, curve, True, shift, steepest, rest=rest)

    @cached_property
    def _family(self) -> family.Family:
        return family.unpacked(self.arrays)

    def _rtti(self, ib: float) -> Table:
        held = self.arrays
        if self.parameters["form"] == "junctions":
            line = Line(*(float(self.parameters[name]) for name in Line._fields))
            return source.rtti_from_samples(ib, family.sampled(self._family, ib, line), self._family.a, family.A_BEND)
        k = int(np.clip(np.searchsorted(held["ib"], ib) - 1, 0, max(len(held["ib"]) - 2, 0)))
        w = 0.0
        if len(held["ib"]) > 1:
            w = float((ib - held["ib"][k]) / (held["ib"][k + 1] - held["ib"][k]))
        names = ("rate", "s", "slope", "gain")
        mixed = {n: (1.0 - w) * held[n][k] + (w * held[n][k + 1] if w > 0.0 else 0.0) for n in names}
        return source.rtti_from_samples(
            ib, {**mixed, "origin": held["origin"][k]}, held["a"], float(self.parameters["a_bend"])
        )

    # ---- looking at it

    def compare(self, other: RateTable, ib: float | None = None, points: int = 161) -> dict[str, float]:
        """Differences to another table on an even grid of flux and current, where either makes fluxons.

        Args:
            other: of the same kind.
            ib: RTTI: the nominal bias at which to compare.
            points: along each axis.

        Returns:
            ``rms`` and ``max`` of the rates' difference; ``rms_away`` and ``max_away`` more than 0.05 I_c above both thresholds;
            ``threshold``: largest difference of the threshold currents, I_c; ``at_phi``, ``at_current``: where the largest one is.

        Raises:
            InputError: for tables of two kinds.
        """
        if not isinstance(other, RateTable) or other.kind != self.kind:
            raise InputError(f"RateTable.compare.other: {other!r} is no table of kind {self.kind!r}; give one")
        if isinstance(points, bool) or not isinstance(points, int | np.integer) or not 2 <= points <= 10_000:
            raise InputError(f"RateTable.compare.points: {points!r} is no number of points; give 2 to 10000")
        phi, current = self._grid(ib, points)
        flux, across = np.meshgrid(phi, current)
        one, two = self.rate(flux, across, ib), other.rate(flux, across, ib)
        first, second = self.threshold(phi, ib), other.threshold(phi, ib)
        sign = 1.0 if self.kind == "ri" else -1.0
        away = (sign * (across - first) > 0.05) & (sign * (across - second) > 0.05)
        error = two - one
        on = (one > 0.0) | (two > 0.0)
        worst = np.unravel_index(int(np.argmax(np.abs(error))), error.shape)

        def rms(values: Floats) -> float:
            return float(np.sqrt(np.mean(values * values))) if values.size else 0.0

        return {
            "rms": rms(error[on]),
            "max": float(np.abs(error).max()),
            "rms_away": rms(error[away]),
            "max_away": float(np.abs(error[away]).max(initial=0.0)),
            "threshold": float(np.abs(second - first).max()),
            "at_phi": float(flux[worst]),
            "at_current": float(across[worst]),
        }

    def _grid(self, ib: float | None, points: int) -> tuple[Floats, Floats]:
        if self.kind == "ri":
            return np.linspace(-0.5, 0.5, points), np.linspace(0.9, 2.5, points)
        return np.linspace(-0.5, 1.0, points), np.linspace(
            0.0, float(self.threshold(np.linspace(0, 1, 201), ib).max()), points
        )

    def plot(
        self, path: str | os.PathLike[str] | None = None, ib: float | None = None, *, overwrite: bool = False
    ) -> tuple[Axes, Axes]:
        """Flux-current map with its threshold, and slices beside it.

        Args:
            path: a picture to write; None: only draw.
            ib: RTTI: nominal bias; default 2.0, or the table's middle.
            overwrite: whether a picture that exists may be replaced.

        Returns:
            Both Axes.

        Raises:
            InputError: the file exists, or has no picture's ending.
        """
        from soen_event import plotting

        if self.kind == "rtti" and ib is None:
            low, high = self.biases or (0.0, 0.0)
            ib = 2.0 if low <= 2.0 <= high else 0.5 * (low + high)
        phi, current = self._grid(ib, 241)
        rate = self.rate(*np.meshgrid(phi, current), ib)
        return plotting.rate_table(self, phi, current, rate, self.threshold(phi, ib), ib, path, overwrite)


def _finite(value: ArrayLike, name: str) -> Floats:
    array = floats(value, f"RateTable.{name}")
    if not np.isfinite(array).all():
        raise InputError(f"RateTable.{name}: holds values that are not finite; give numbers")
    return array


@lru_cache(maxsize=8)
def _read_once(path: str, modified: int, size: int) -> RateTable:
    return RateTable(*tablefile.read(path, "Device.rate_table"))


def kept(path: str) -> RateTable:
    """The table of a file, read again only if the file has changed. Raises InputError as :meth:`RateTable.load`."""
    try:
        seen = os.stat(path)
    except OSError:
        raise InputError(
            f"Device.rate_table: there is no file {path!r}; give a table written by `soen table` or RateTable.save"
        ) from None
    return _read_once(str(Path(path).resolve()), seen.st_mtime_ns, seen.st_size)


def of_device(device: Device, kind: str) -> RateTable | None:
    """The table of a device's ``rate_table`` if it is of ``kind``. Raises InputError if the file is not what the device says."""
    if not device.rate_table:
        return None
    table = kept(device.rate_table)
    faults = mismatches(device, table)
    if faults:
        raise InputError(faults)
    return table if table.kind == kind else None


def mismatches(device: Device, table: RateTable) -> list[str]:
    """What of a table does not fit a device: another checksum than noted, other junctions than stated."""
    found = []
    noted = device.rate_table_checksum
    if noted and noted != table.checksum:
        found.append(
            f"Device.rate_table: {device.rate_table!r} has the checksum {table.checksum}, not {noted}; it is not the table that was "
            "meant: get that one, or leave out rate_table_checksum"
        )
    for name in ("beta_c", "beta_1", "beta_2"):
        stated, mine = table.parameters.get(name), getattr(device, name)
        if stated is not None and not math.isclose(float(stated), mine, rel_tol=1e-5):
            found.append(
                f"Device.{name}: {mine:g} is not {float(stated):g}, for which {device.rate_table!r} was made; give the device that, "
                "or take another table"
            )
    if table.kind == "ri" and device.source == "fit":
        found.append("Device.source: 'fit' and a rate_table of kind 'ri' exclude each other; leave one out")
    return found
