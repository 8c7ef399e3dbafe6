"""Traces that JoSIM and WRspice write, read back as what a network knows: currents in I_c, fluxons, times in ns.

    traces = read_traces("traces.csv", deck)       # JoSIM: -o traces.csv, .dat or .raw; WRspice: rawfile, ASCII or binary
    traces.current("d1"), traces.fluxons("d1"), traces.trace("I(LD_D1)")
    print(compare(traces, run))                    # with a CircuitRun, a Recording, or other traces

Names are written alike whoever wrote the file: ``I(device)``, ``P(junction)``, ``V(node)``, in capitals. With the netlist, times count
from the network's t = 0, ids stand for loops, and WRspice's phase nodes are the phases of their junctions.

Both programs round: JoSIM keeps seven digits of a time in CSV and six in raw files, 0.1 ps and 1 ps after 100 ns. Where all times are
those of a uniform grid, up to that rounding, the grid is restored.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError, checked_path, nearest
from soen_event.units import floats, is_number

if TYPE_CHECKING:
    from hardware.netlist import Netlist

__all__ = ["Comparison", "Row", "Traces", "compare", "read_traces"]

TWO_PI = 2.0 * math.pi
ROUNDING = (5.1e-7, 5.1e-6)  # of a number's leading power of ten: six digits after the point, or five
_WORD = re.compile(r"^([IVP])\((.+)\)$")


class Traces:
    """Columns over time.

    Attributes:
        times: (rows,) ns, ascending; from the network's t = 0 where the netlist is known.
        columns: traces by name, (rows,) each: currents in A, voltages in V, phases in rad.
        netlist: the :class:`~hardware.netlist.Netlist`, or None. ``origin``: who wrote them.
    """

    def __init__(self, times: Any, columns: Mapping[str, Any], netlist: Netlist | None = None, origin: str = ""):
        self.times = floats(times, "Traces.times")
        self.columns = {name: floats(values, f"Traces.columns[{name!r}]") for name, values in columns.items()}
        self.netlist, self.origin = netlist, origin
        faults = []
        if self.times.ndim != 1 or len(self.times) < 2 or not (np.diff(self.times) > 0.0).all():
            faults.append("Traces.times: not at least two times that ascend")
        for name, values in self.columns.items():
            if values.shape != self.times.shape:
                faults.append(f"Traces.columns: {name} has {values.shape} values for {self.times.shape} times")
        if faults:
            raise InputError(faults)

    @property
    def duration(self) -> float:
        """The last time, ns."""
        return float(self.times[-1])

    @property
    def parts(self) -> tuple[str, ...]:
        """Ids of the loops whose currents or phases are here."""
        if self.netlist is None:
            return ()
        return tuple(
            name
            for name, loop in self.netlist.loops.items()
            if f"I({loop.current})" in self.columns
            or all(f"P({junction})" in self.columns for junction, _ in loop.phases)
        )

    def trace(self, name: str) -> np.ndarray:
        """A column by its name, such as "I(LD_D1)"; case does not matter.

        Raises:
            InputError: there is no such column.
        """
        key = str(name).upper().replace(" ", "")
        if key not in self.columns:
            raise InputError(f"Traces.trace: there is no {name!r}{nearest(key, self.columns)}; there is {self._told()}")
        return self.columns[key].copy()

    def current(self, part: str, t: Any = None) -> np.ndarray:
        """Current of a loop (I_c) at the times of the traces, or at times ``t`` (ns, within them) by linear interpolation."""
        loop = self._loop(part)
        values = self._column(f"I({loop.current})", part, "its current") / self._known.unit
        if t is None:
            return values
        t = floats(t, "Traces.current.t")
        slack = 1e-6 + 1e-9 * abs(self.duration)
        if not np.all((t >= self.times[0] - slack) & (t <= self.times[-1] + slack)):
            raise InputError(f"Traces.current: a time is outside the traces, {self.times[0]:g} to {self.duration:g} ns")
        return np.interp(t, self.times, values)

    def phase(self, part: str) -> np.ndarray:
        """The phase (rad) of a loop's junctions whose turns are its fluxons."""
        loop = self._loop(part)
        total = np.zeros(len(self.times))
        for junction, weight in loop.phases:
            total += weight * self._column(f"P({junction})", part, "the phases of its junctions")
        return total

    def fluxons(self, part: str) -> np.ndarray:
        """When flux quanta entered a loop (ns): its phase passes an odd multiple of pi for the first time, by cubic interpolation."""
        return _turns(self.times, self.phase(part))[0]

    def fluxon_count(self, part: str) -> int:
        """How many flux quanta entered a loop, less those that left it."""
        return _turns(self.times, self.phase(part))[1]

    @property
    def _known(self) -> Netlist:
        if self.netlist is None:
            raise InputError("Traces: ids are known from the netlist only; give it to read_traces, or use trace(name)")
        return self.netlist

    def _loop(self, part: str) -> Any:
        return self._known.loop(part, "Traces")

    def _column(self, key: str, part: str, what: str) -> np.ndarray:
        if key not in self.columns:
            raise InputError(f"Traces: {what} of {part!r}, {key}, was not recorded; there is {self._told()}")
        return self.columns[key]

    def _told(self) -> str:
        names = list(self.columns)
        return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "nothing"

    def __repr__(self) -> str:
        return (
            f"<Traces: {len(self.times)} times, {self.times[0]:g} to {self.duration:g} ns, {len(self.columns)} traces"
            f"{', by ' + self.origin if self.origin else ''}>"
        )


def _turns(times: np.ndarray, phase: np.ndarray) -> tuple[np.ndarray, int]:
    """Times of new turns, and their number less those undone (a whole turn back undoes one, as in hardware.circuit)."""
    level = np.floor((phase + math.pi) / TWO_PI).astype(np.int64)
    turn = int(level[0]) if level[0] < 0 else 0
    found: list[tuple[int, int]] = []
    count = 0
    low = np.minimum.accumulate(phase[::-1])[::-1]  # lets quiet ends be skipped
    for j in np.flatnonzero(np.diff(level)) + 1:
        while level[j] > turn:
            turn += 1
            count += 1
            found.append((int(j), turn))
        while phase[j] < TWO_PI * (turn - 1) - math.pi and low[j] < TWO_PI * (turn - 1) - math.pi:
            turn -= 1
            count -= 1
    if not found:
        return np.zeros(0), count
    rows = np.array([j for j, _ in found])
    aim = TWO_PI * np.array([k for _, k in found]) - math.pi
    n = len(times)
    if n < 4:
        share = (aim - phase[rows - 1]) / (phase[rows] - phase[rows - 1])
        return times[rows - 1] + share * (times[rows] - times[rows - 1]), count
    first = np.clip(rows - 2, 0, n - 4)[:, None] + np.arange(4)
    x, y = times[first], phase[first] - aim[:, None]
    a, b = times[rows - 1].copy(), times[rows].copy()
    for _ in range(60):
        middle = 0.5 * (a + b)
        value = np.zeros(len(middle))
        for k in range(4):
            others = [i for i in range(4) if i != k]
            value += y[:, k] * np.prod([(middle - x[:, i]) / (x[:, k] - x[:, i]) for i in others], axis=0)
        below = value < 0.0
        a, b = np.where(below, middle, a), np.where(below, b, middle)
    return 0.5 * (a + b), count


# ---------------------------------------------------------------------------------------------- reading


def read_traces(path: str | os.PathLike[str], netlist: Netlist | None = None) -> Traces:
    """Read what JoSIM or WRspice wrote.

    Args:
        path: JoSIM's .csv, .dat (columns with spaces) or .raw; WRspice's rawfile, ASCII or binary. What it is, is seen from its contents.
        netlist: the netlist it belongs to: then ids of parts can be used, and times count from the network's t = 0.

    Raises:
        InputError: the file is not there, is no such file, or is broken: with the place and what is wrong.
    """
    from hardware.netlist import Netlist

    if netlist is not None and not isinstance(netlist, Netlist):
        raise InputError(f"read_traces.netlist: {type(netlist).__name__} is not a Netlist")
    file = checked_path(path, "read_traces.path")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    if not data.strip():
        raise InputError(f"{file}: is empty; the simulation wrote nothing")
    try:
        if re.match(rb"\s*(title|plotname|date):", data[:200], re.IGNORECASE):
            names, table, origin = _raw(data)
        else:
            names, table, origin = _columns(data)
        return _made(names, table, origin, netlist)
    except _Broken as broken:
        raise InputError(f"{file}: {broken}") from None


class _Broken(Exception):
    pass


def _made(names: list[str], table: np.ndarray, origin: str, netlist: Netlist | None) -> Traces:
    if len(table) < 2:
        raise _Broken(f"has {len(table)} rows of values; a trace has at least two")
    if names[0].upper() != "TIME":
        raise _Broken(f"its first column is {names[0]!r}, not time")
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise _Broken(f"row {row + 1} of {names[column]} is {table[row, column]}; the simulation failed there")
    turns = {}  # WRspice's phase nodes
    if netlist is not None:
        turns = {e.nodes[2]: e.name for e in netlist.elements.values() if e.kind == "B" and len(e.nodes) > 2}
    keys = [_key(name, turns) for name in names[1:]]
    for key in (key for key, count in Counter(keys).items() if count > 1):
        same = [table[:, j + 1] for j, k in enumerate(keys) if k == key]
        if any((values != same[0]).any() for values in same):
            raise _Broken(f"has two columns {key} that differ")
    times = _times(table[:, 0], netlist)
    if not (np.diff(times) > 0.0).all():
        row = int(np.flatnonzero(np.diff(times) <= 0.0)[0])
        raise _Broken(
            f"times do not ascend: row {row + 2} is {table[row + 1, 0]:g} s, after {table[row, 0]:g} s; if they only repeat, the file has "
            "too few digits, write CSV"
        )
    start = netlist.start if netlist is not None else 0.0
    columns = {key: table[:, j + 1] for j, key in enumerate(keys)}
    return Traces((times - start) * 1e9, columns, netlist, origin)


def _key(name: str, turns: Mapping[str, str]) -> str:
    """The name of a column as it is written here."""
    key = name.strip().strip('"').upper().replace(" ", "").replace("|", ".")
    if key.endswith("#BRANCH"):
        key = f"I({key.removesuffix('#BRANCH')})"
    found = _WORD.fullmatch(key)
    return f"P({turns[found[2]]})" if found and found[1] == "V" and found[2] in turns else key


def _times(times: np.ndarray, netlist: Netlist | None) -> np.ndarray:
    """Times (s) on their grid, if they are those of one up to the rounding of the file."""
    n = np.arange(len(times))
    grids = []
    if netlist is not None:
        grids.append((netlist.start, netlist.sample))
        grids.append((round(times[0] / netlist.sample) * netlist.sample, netlist.sample))
    grids.append((times[0], (times[-1] - times[0]) / (len(times) - 1)))
    scale = 10.0 ** np.floor(np.log10(np.maximum(np.abs(times), 1e-300)))
    for rounding in ROUNDING:
        for start, sample in grids:
            grid = start + n * sample
            late = netlist.step if netlist is not None else 0.0  # JoSIM may take the step after
            if sample > 0.0 and (np.abs(times - grid) <= rounding * scale + 1.01 * late + 1e-9 * sample).all():
                off = np.abs(times - grid) > rounding * scale + 1e-9 * sample
                return np.where(off, times, grid)
    return times


def _columns(data: bytes) -> tuple[list[str], np.ndarray, str]:
    """A table with a line of names: commas or spaces between the columns."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise _Broken("is neither text nor a rawfile; give what JoSIM or WRspice wrote") from None
    lines = text.splitlines()
    at = next(k for k, line in enumerate(lines) if line.strip())
    comma = "," in lines[at]
    if comma:
        names = [word.strip() for word in next(csv.reader([lines[at]], skipinitialspace=True))]
    else:
        names = lines[at].split()
    if names[0].strip('"').upper() != "TIME":
        raise _Broken(f"begins with {lines[at][:40]!r}; the first line names the columns, time first")
    names[0] = "time"
    body = [(k, line) for k, line in enumerate(lines[at + 1 :], at + 2) if line.strip()]
    try:
        table = (
            np.loadtxt(io.StringIO("\n".join(line for _, line in body)), delimiter="," if comma else None, ndmin=2)
            if body
            else None
        )
    except ValueError:
        table = None
    if table is None or table.shape[1] != len(names):
        for k, line in body:
            words = line.split(",") if comma else line.split()
            if len(words) != len(names):
                raise _Broken(f"line {k} has {len(words)} values for {len(names)} columns; was it cut off?")
            for word in words:
                try:
                    float(word)
                except ValueError:
                    raise _Broken(f"line {k}: {word.strip()!r} is no number") from None
        return names, np.zeros((0, len(names))), "JoSIM"
    return names, table, "JoSIM"


def _raw(data: bytes) -> tuple[list[str], np.ndarray, str]:
    """A SPICE rawfile: the header, then values in text or in double precision."""
    header: dict[str, str] = {}
    names: list[str] = []
    at, line_number = 0, 0

    def line() -> str:
        nonlocal at, line_number
        end = data.find(b"\n", at)
        if end < 0:
            end = len(data)
        got = data[at:end].decode("latin-1").rstrip("\r")
        at, line_number = end + 1, line_number + 1
        return got

    kind = ""
    while at < len(data):
        word = line()
        key, colon, value = word.partition(":")
        key = key.strip().lower()
        if key == "variables" and colon:
            count = _count(header, "no. variables")
            for j in range(count):
                parts = line().split()
                if len(parts) < 3 or not parts[0].isdecimal() or int(parts[0]) != j:
                    raise _Broken(f"line {line_number} does not name variable {j} of {count}")
                names.append(parts[1])
        elif key in ("values", "binary") and colon:
            kind = key
            break
        elif colon:
            header.setdefault(key, value.strip())
        elif word.strip():
            raise _Broken(f"line {line_number} of its header, {word[:40]!r}, is not understood")
    if not kind or not names:
        raise _Broken("its header has no variables, or no values follow it; was it cut off?")
    if "complex" in header.get("flags", "").lower():
        raise _Broken("holds complex numbers; only a transient analysis is read")
    rows, width = _count(header, "no. points"), len(names)
    origin = "JoSIM" if "josim" in header.get("command", "").lower() else "WRspice"
    if kind == "binary":
        body = data[at : at + 8 * rows * width]
        if len(body) < 8 * rows * width:
            raise _Broken(f"ends after {len(body) // (8 * width)} of {rows} points; was it cut off?")
        _refuse_more(data[at + len(body) :])
        table = np.frombuffer(body, dtype="<f8").reshape(rows, width)
        if not (np.isfinite(table).all() and (np.abs(table) < 1e30).all()):
            other = np.frombuffer(body, dtype=">f8").reshape(rows, width)
            table = other if np.isfinite(other).all() and (np.abs(other) < 1e30).all() else table
        return names, table.astype(float), origin
    words = data[at:].split()
    need = rows * (width + 1)
    if len(words) > need:
        _refuse_more(b" ".join(words[need : need + 2]))
    if len(words) < need:
        raise _Broken(f"ends after {len(words) // (width + 1)} of {rows} points; was it cut off?")
    try:
        table = np.array(words[:need], dtype=object).reshape(rows, width + 1)
        index = table[:, 0].astype(np.int64)
        values = table[:, 1:].astype(float)
    except ValueError as error:
        raise _Broken(f"holds something that is no number: {error}") from None
    if (index != np.arange(rows)).any():
        row = int(np.flatnonzero(index != np.arange(rows))[0])
        raise _Broken(f"point {row} bears the number {index[row]}; lines are missing or too many")
    return names, values, origin


def _refuse_more(rest: bytes) -> None:
    if re.match(rb"\s*(title|plotname):?", rest, re.IGNORECASE):
        raise _Broken("holds more than one plot; write one analysis a file")
    if rest.strip():
        raise _Broken("holds more values than its header says")


def _count(header: dict[str, str], key: str) -> int:
    try:
        value = int(header[key])
    except (KeyError, ValueError):
        raise _Broken(f"its header does not say {key!r}") from None
    if not 0 < value < 2**31:
        raise _Broken(f"its header says {key!r}: {value}")
    return value


# ---------------------------------------------------------------------------------------------- comparing


@dataclass(frozen=True)
class Row:
    """One loop: fluxons in the traces and in the reference; how far apart they are (ps): the largest and the median distance of those of
    equal rank if the numbers agree, else from the nearest; chi^2 of the current (physics.md 9.1), its largest difference and the largest
    current of the reference (I_c). NaN: nothing to compare.
    """

    id: str
    fluxons: int
    reference_fluxons: int
    largest_ps: float
    median_ps: float
    chi2: float
    difference: float
    peak: float


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found; ``duration``: ns that both cover."""

    rows: tuple[Row, ...]
    duration: float
    names: tuple[str, str]

    def __getitem__(self, part: str) -> Row:
        for row in self.rows:
            if row.id == part:
                return row
        raise InputError(f"Comparison: there is no loop {part!r}{nearest(str(part), [row.id for row in self.rows])}")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not there is None."""
        rows = [
            {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(r).items()}
            for r in self.rows
        ]
        return {"duration_ns": self.duration, "of": list(self.names), "loops": rows}

    def __str__(self) -> str:
        lines = [
            f"{'loop':<18}{'fluxons':>16}{'median, ps':>12}{'largest, ps':>13}{'chi^2':>10}{'difference':>12}{'peak s':>9}"
        ]
        for row in self.rows:
            counts = f"{row.fluxons} / {row.reference_fluxons}"
            times = ["-" if math.isnan(x) else f"{x:.3f}" for x in (row.median_ps, row.largest_ps)]
            lines.append(
                f"{row.id:<18}{counts:>16}{times[0]:>12}{times[1]:>13}{row.chi2:>10.1e}{row.difference:>12.1e}{row.peak:>9.4f}"
            )
        lines.append(f"{self.names[0]} / {self.names[1]}, {self.duration:g} ns")
        return "\n".join(lines)


def compare(traces: Traces, reference: Any, until: float | None = None) -> Comparison:
    """How far traces are from a reference, loop by loop.

    Args:
        traces: with their netlist. ``reference``: a :class:`~hardware.circuit.CircuitRun`, a Recording with currents and fluxons, or
            other traces; loops that it does not have are left out.
        until: ns, the end of what is compared; default: where the first of both ends.

    Raises:
        InputError: one of the two cannot be compared.
    """
    if not isinstance(traces, Traces):
        raise InputError(f"compare.traces: {type(traces).__name__} is not Traces; read_traces reads them")
    if not hasattr(reference, "current") or not hasattr(reference, "fluxons"):
        raise InputError(f"compare.reference: {type(reference).__name__} is no CircuitRun, Recording or Traces")
    end = min(traces.duration, float(reference.duration))
    if until is not None:
        if not (is_number(until) and 0.0 < until <= end + 1e-6):
            raise InputError(
                f"compare.until: {until!r} is not a time in ns above 0 and up to {end:g}, where one of the two ends"
            )
        end = min(end, float(until))
    t = reference.times if hasattr(reference, "times") else np.arange(0.0, end, 0.02)
    t = t[(t >= max(0.0, traces.times[0])) & (t <= end)]
    rows = []
    for name in traces.parts:
        try:
            there = np.asarray(reference.current(name, t))
            b = np.asarray(reference.fluxons(name) if callable(reference.fluxons) else reference.fluxons[name])
        except (InputError, KeyError):
            continue
        here, a = traces.current(name, t), traces.fluxons(name)
        rows.append(_row(name, a[a <= end], b[b <= end], here, there))
    if not rows:
        raise InputError(
            "compare: the two have no loop in common; ids have to be those of the netlist, with currents and phases recorded"
        )
    return Comparison(tuple(rows), end, (traces.origin or "traces", type(reference).__name__))


def _row(name: str, a: np.ndarray, b: np.ndarray, here: np.ndarray, there: np.ndarray) -> Row:
    apart = np.zeros(0)
    if len(a) and len(b):
        if len(a) == len(b):
            apart = np.abs(a - b)
        else:
            right = np.searchsorted(b, a)
            apart = np.minimum(np.abs(b[np.minimum(right, len(b) - 1)] - a), np.abs(a - b[np.maximum(right - 1, 0)]))
    below = float((there**2).sum())
    above = float(((here - there) ** 2).sum())
    return Row(
        name,
        len(a),
        len(b),
        float(apart.max()) * 1e3 if len(apart) else math.nan,
        float(np.median(apart)) * 1e3 if len(apart) else math.nan,
        above / below if below > 0.0 else (0.0 if above == 0.0 else math.inf),
        float(np.abs(here - there).max(initial=0.0)),
        float(np.abs(there).max(initial=0.0)),
    )
