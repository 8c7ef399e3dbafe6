"""Source-function tables from junctions, and other people's read and repaired.

    from hardware import tables
    table = tables.generate(beta_c=0.95, beta_1=1.57, beta_2=1.57)          # RI, seconds
    table = tables.generate(se.Device(), kind="rtti", workers=2)            # RTTI for every bias, half a minute
    table = tables.read_foreign("measured.csv")                             # CSV, NPZ, HDF5
    table.save("t.npz"); table.plot("t.png"); table.compare(other)
    se.Device(rate_table="t.npz")                                           # both engines run on it

Tables are :class:`~soen_event.physics.rate_table.RateTable`. What is generated is kept in the user's cache folder.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hardware.foreign import read_foreign
from soen_event.errors import InputError, checked_path, nearest
from soen_event.physics import family, source, tablefile
from soen_event.physics.rate_table import KINDS, RateTable
from soen_event.physics.rtti import Line
from soen_event.units import is_number

if TYPE_CHECKING:
    from soen_event.device import Device

__all__ = ["RateTable", "export", "generate", "read_foreign"]

Floats = NDArray[np.float64]

# ------------------------------------------------------------------------------------------------------------ generate


def generate(
    device: Device | None = None,
    *,
    kind: str = "ri",
    biases: Sequence[float] | None = None,
    beta_c: float | None = None,
    beta_1: float | None = None,
    beta_2: float | None = None,
    beta_3: float = math.pi,
    beta_4: float = math.pi,
    ib_2: float = 0.35,
    ib_3: float = 0.70,
    progress: Callable[[float, float], None] | None = None,
    workers: int = 1,
) -> RateTable:
    """Make the source function of a device from its junctions (circuit.md 2, physics.md 2.2 and 2.5).

    Args:
        device: gives beta_c, beta_1 and beta_2; default the default device. Each may be given by itself instead:
        beta_c: 0.01 to 100. beta_1, beta_2: arms of the SQUID, 0.05 to 20.
        kind: "ri": for every bias; "rtti": over a row of nominal biases, and all between them.
        biases: RTTI: nominal biases (I_c), ascending, 0.5 to 4, at least two; default 33 from 1.50 to 2.65.
        beta_3, beta_4, ib_2, ib_3: RTTI: inductances (0.05 to 20) and biases (-1 to 2, I_c) of its transmission line.
        progress: called with (done, all) now and then.
        workers: threads, 1 to 64.

    Returns:
        :class:`RateTable`. 4 s of CPU for RI, 30 s for RTTI, once per device.

    Raises:
        InputError: with every argument that is out of its range.
    """
    from soen_event.device import Device

    faults = []
    if device is not None and not isinstance(device, Device):
        faults.append(
            f"tables.generate.device: {type(device).__name__} is no Device; give one, or beta_c, beta_1, beta_2"
        )
        device = None
    base = device or Device()
    given = {"beta_c": beta_c, "beta_1": beta_1, "beta_2": beta_2}
    chosen = {name: getattr(base, name) if value is None else value for name, value in given.items()}
    chosen |= {"beta_3": beta_3, "beta_4": beta_4, "ib_2": ib_2, "ib_3": ib_3}
    for name, value in chosen.items():
        low, high = (0.01, 100.0) if name == "beta_c" else (0.05, 20.0) if name.startswith("beta") else (-1.0, 2.0)
        if not is_number(value) or not low <= value <= high:
            faults.append(f"tables.generate.{name}: {value!r} is not from {low:g} to {high:g}; give such a number")
    if kind not in KINDS:
        faults.append(f"tables.generate.kind: {kind!r} is not known{nearest(str(kind), KINDS)}; give 'ri' or 'rtti'")
    if not isinstance(workers, int) or isinstance(workers, bool) or not 1 <= workers <= 64:
        faults.append(f"tables.generate.workers: {workers!r} is not a whole number from 1 to 64; give such a number")
    row = None
    if biases is not None:
        if kind == "ri":
            faults.append("tables.generate.biases: an RI table serves every bias; leave it out")
        row = _row_of_biases(biases, faults)
    if faults:
        raise InputError(faults)
    exact = Device.from_dict({name: float(chosen[name]) for name in given})  # 1.5708 means pi/2
    c, b1, b2 = exact.beta_c, exact.beta_1, exact.beta_2
    if kind == "ri":
        return _ri_from_junctions(c, b1, b2, progress, workers)
    line = Line(b1, b2, *(float(chosen[name]) for name in Line._fields[2:]))
    if row is None:
        made = source.rtti_family(c, line, progress, workers)
    else:
        made = family.generate(c, line, row, progress, workers)
    parameters = {"kind": "rtti", "form": "junctions", "beta_c": c, **line._asdict(), "notes": []}
    return RateTable(parameters, family.packed(made))


def _row_of_biases(biases: Any, faults: list[str]) -> Floats | None:
    try:
        row = np.asarray(biases, dtype=float)
    except (TypeError, ValueError):
        row = np.zeros(0)
    fine = row.ndim == 1 and row.size >= 2 and np.isfinite(row).all() and row.min() >= 0.5 and row.max() <= 4.0
    if not fine or (np.diff(row) <= 1e-6).any():
        faults.append(
            f"tables.generate.biases: {biases!r} are not two or more ascending biases from 0.5 to 4 I_c; give such"
        )
        return None
    return row


def _ri_from_junctions(
    beta_c: float, beta_1: float, beta_2: float, progress: Callable[[float, float], None] | None, workers: int
) -> RateTable:
    b, axes = 0.5 * (beta_1 + beta_2), source._AXES
    rate = source._rates(beta_c, b, progress, workers)
    level, slope, gain = source._ri_levels(b, axes["n_level"])
    parameters = {"kind": "ri", "form": "junctions", "beta_c": beta_c, "beta_1": beta_1, "beta_2": beta_2}
    parameters |= {"a_bend": axes["a_bend"], "y_bend": axes["y_bend"], "notes": []}
    a = source._nodes(axes["n_a"], math.sqrt(axes["u_max"]), axes["a_bend"])
    y = source._nodes(axes["n_y"], 0.5, axes["y_bend"])
    return RateTable(parameters, {"a": a, "y": y, "rate": rate, "level": level, "slope": slope, "gain": gain})


# ------------------------------------------------------------------------------------------------------------ export


def export(
    table: RateTable,
    path: str | os.PathLike[str],
    *,
    layout: str = "long",
    phi: Iterable[float] | None = None,
    current: Iterable[float] | None = None,
    ib: float | None = None,
) -> None:
    """Write rates on a grid, for programs that read plain arrays: what :func:`read_foreign` reads.

    Args:
        table: what to write.
        path: .csv, .npz, .h5 or .hdf5; it is replaced.
        layout: "long" (phi, i or s, ib, r), "matrix" (axes and r), "toolkit" (ib_list, phi_array, g_array; RI, NPZ and HDF5), "filling" (RI
            at ``ib``: every flux with currents s from 0 to its saturation, physics.md 2.5).
        phi, current: axes; default 51 fluxes from 0 to 1/2 (RTTI: 100 over a period) and 63 currents.
        ib: nominal bias of an RTTI table, or the bias of "filling".

    Raises:
        InputError: for another layout, ending or bias.
    """
    if not isinstance(table, RateTable):
        raise InputError(f"tables.export.table: {type(table).__name__} is no RateTable; give one")
    path, faults = checked_path(path, "tables.export.path"), []
    suffix = path.suffix.lower()
    layouts = ("long", "matrix", "toolkit", "filling")
    if layout not in layouts:
        faults.append(
            f"tables.export.layout: {layout!r} is not known{nearest(str(layout), layouts)}; give one of {', '.join(layouts)}"
        )
    if suffix not in (".csv", *tablefile.SUFFIXES):
        faults.append(f"tables.export.path: {path.name!r} does not end in .csv, .npz, .h5 or .hdf5; give one of these")
    if layout == "toolkit" and (table.kind != "ri" or suffix == ".csv"):
        faults.append("tables.export.layout: 'toolkit' is for RI tables in .npz, .h5 or .hdf5; take 'matrix'")
    if layout == "filling" and (table.kind != "ri" or not (is_number(ib) and 0.0 < float(ib or 0.0) <= 4.0)):
        faults.append("tables.export.ib: 'filling' is for RI tables and needs a bias, above 0 to 4; give ib=1.8")
    axes = []
    for name, given in (("phi", phi), ("current", current)):
        try:
            axes.append(None if given is None else np.array(list(given), dtype=float))
        except (TypeError, ValueError):
            faults.append(f"tables.export.{name}: {given!r} is no list of numbers; give one")
    if faults:
        raise InputError(faults)
    ri = table.kind == "ri"
    usual = np.linspace(0, 0.5, 51) if ri else np.arange(100) / 100
    fluxes = usual if axes[0] is None else axes[0]
    if layout == "filling":
        points = []
        for flux in fluxes.tolist():
            top = float(ib or 0.0) - float(table.threshold(flux))
            s = np.arange(0.0, max(top, 0.0), 0.01)
            points += [
                (flux, x, float(r))
                for x, r in zip(s, np.atleast_1d(table.rate(flux, float(ib or 0.0) - s)), strict=True)
            ]
            points += [(flux, top + 1e-6, 0.0)] if top > 0.0 else []
        flux, s, r = np.array(points).T
        arrays = {"phi": flux, "s": s, "ib": np.full(len(r), float(ib or 0.0)), "r": r}
    else:
        usual = np.linspace(0.95, 2.5, 63) if ri else np.linspace(0, 1.5, 61)
        axis = usual if axes[1] is None else axes[1]
        flux, across = np.meshgrid(fluxes, axis)
        rate = table.rate(flux, across, ib)
        arrays = {"phi": fluxes, "i" if ri else "s": axis, "r": rate}
        if layout == "toolkit":
            arrays = {"ib_list": axis, "phi_array": fluxes, "g_array": rate}
        elif layout == "long":
            arrays = {"phi": flux.ravel(), "i" if ri else "s": across.ravel(), "r": rate.ravel()}
        if not ri:
            arrays["ib"] = np.full(arrays["r"].shape if layout == "long" else (), float(ib or 0.0))
    _write_arrays(path, layout, arrays)


def _write_arrays(path: Path, layout: str, arrays: dict[str, np.ndarray]) -> None:
    if not path.parent.is_dir():
        raise InputError(f"tables.export.path: there is no folder {str(path.parent)!r}; make it first")
    with tablefile.replaced(path) as temporary:
        if path.suffix.lower() == ".csv":
            with temporary.open("w", newline="") as stream:
                writer = csv.writer(stream)
                if layout == "matrix":
                    across = "s" if "s" in arrays else "i"
                    writer.writerow([across, *(repr(float(x)) for x in arrays["phi"])])
                    writer.writerows(
                        [x, *row] for x, row in zip(arrays[across].tolist(), arrays["r"].tolist(), strict=True)
                    )
                else:
                    writer.writerow(list(arrays))
                    writer.writerows(zip(*(column.tolist() for column in arrays.values()), strict=True))
        elif path.suffix.lower() == ".npz":
            with temporary.open("wb") as binary:
                np.savez_compressed(binary, **arrays)  # type: ignore[arg-type]
        else:
            import h5py

            with h5py.File(temporary, "w") as file:
                for name, array in arrays.items():
                    file.create_dataset(name, data=array)
