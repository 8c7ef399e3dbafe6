"""A solver for the elements of a netlist: what its text describes, and nothing that the network knows.

    traces = solve(read_netlist(text))

It checks netlists: written, read back and solved they have to give what :mod:`hardware.circuit` gives, which has equations of its own.

Every node has a phase, the integral of its voltage times 2 pi/Phi0. Three kinds of branches remember: junctions (phase d and
voltage), capacitors, and resistors (phase w, the integral of their voltage). Everything else is linear and without memory: given d,
w and the sources, the nodal equations

    sum of currents at a node = 0        p_+ - p_- = 2 pi/Phi0 sum_k L_jk i_k   (inductors, with their couplings)
    p_+ - p_- = d, w, or 0               (junctions and capacitors, resistors, shorts)

give all currents. They are solved once, for every d, w and source by itself (modified nodal analysis); what remains is

    C V' = i - I_c sin d - V/R        d' = 2 pi V/Phi0        w' = 2 pi/Phi0 R i

by the fourth-order Runge-Kutta method at the netlist's step. A resistor parallel to a junction is part of that junction.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware.netlist import Element, Netlist
from hardware.traces import Traces
from soen_event.errors import InputError
from soen_event.units import Phi0, is_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["solve"]

PS = 1e-12
PHASE = Phi0 / (2.0 * math.pi)
MOST_UNKNOWNS = 20_000
MOST_SAMPLES = 200_000_000
SMALL = 1e-14  # shares of currents that are left out
PWL, EXP, DC = 0, 1, 2


def solve(netlist: Netlist, *, step: float | None = None, sample: float | None = None) -> Traces:
    """Integrate a netlist from its beginning to its end.

    Args:
        netlist: what :func:`hardware.netlist.read_netlist` or :func:`hardware.spice.netlist` returned.
        step: ps, 0.001 to 1. Default: the netlist's. ``sample``: ps between the rows of the result; default: the netlist's.

    Returns:
        :class:`~hardware.traces.Traces` of the netlist's probes, or of its loops' currents and phases if it has none, from ``start`` on.

    Raises:
        InputError: the circuit has no solution (a loop of junctions and resistors without inductance, a part without a way to ground),
            has noise, or is too large.
    """
    if not isinstance(netlist, Netlist):
        raise InputError(f"solve.netlist: {type(netlist).__name__} is not a Netlist; read_netlist(text) makes one")
    faults = []
    for name, value, low, high in (("step", step, 0.001, 1.0), ("sample", sample, 0.001, 1e6)):
        if value is not None and not (is_number(value) and low <= value <= high):
            faults.append(f"solve.{name}: {value!r} is not a time in ps from {low:g} to {high:g}")
    if netlist.temperature > 0.0 or any(e.wave and e.wave.kind == "gauss" for e in netlist.elements.values()):
        faults.append("solve.netlist: has thermal noise, which is not integrated here; write it with temperature=0")
    if faults:
        raise InputError(faults)
    h = netlist.step / PS if step is None else float(step)
    row = max(1, round((netlist.sample / PS if sample is None else float(sample)) / h))
    first = round(netlist.start / PS / h)
    steps = round(netlist.stop / PS / h)
    system = _System(netlist)
    names, outputs = system.outputs()
    rows = (steps - first) // row + 1
    if rows * max(1, len(names)) > MOST_SAMPLES:
        raise InputError(
            f"solve.sample: {rows} rows of {len(names)} traces are too many; take a longer sample or fewer probes"
        )
    kept = system.integrate(h, steps, first, row, rows, outputs)
    if not np.isfinite(kept).all():
        raise InputError(f"solve.step: the integration ran away; {h:g} ps is too long for this circuit")
    times = (np.arange(rows) * row + first) * h * 1e-3 - netlist.start * 1e9
    return Traces(times, {name: kept[:, j] for j, name in enumerate(names)}, netlist, "hardware.nodal")


class _System:
    """The linear equations of a netlist, and their solution."""

    def __init__(self, netlist: Netlist):
        self.netlist = netlist
        elements = list(netlist.elements.values())
        self.unit = netlist.unit
        self.node = {name: k for k, name in enumerate(netlist.nodes)}
        of = {kind: [e for e in elements if e.kind == kind] for kind in "BLRCIVFK"}
        at = {frozenset(map(self._at, e.nodes[:2])): e for e in of["C"]}
        at.update({frozenset(map(self._at, e.nodes[:2])): e for e in of["B"]})
        self.parallel = {
            e.name: at[frozenset(map(self._at, e.nodes))].name
            for e in of["R"]
            if frozenset(map(self._at, e.nodes)) in at
        }
        self.capacitive = of["B"] + [e for e in of["C"] if at[frozenset(map(self._at, e.nodes))] is e]
        extra = [e for e in of["C"] if at[frozenset(map(self._at, e.nodes))] is not e]
        self.resistive = [e for e in of["R"] if e.name not in self.parallel]
        shorts = of["V"] + [e for e in of["F"] if len(e.nodes) == 4]
        self.branches = [*self.capacitive, *self.resistive, *of["L"], *shorts]
        self.branch = {e.name: len(self.node) + k for k, e in enumerate(self.branches)}
        self.sources = of["I"]
        self._constants(of["R"], extra)
        self._solve(of)

    def _at(self, name: str) -> int:
        return -1 if name in ("0", "GND") else self.node[name]

    def _constants(self, resistors: list[Element], extra: list[Element]) -> None:
        """Of every junction or capacitor: its current scale, capacitance (per unit of current, ps^2) and conductance (ps)."""
        n = len(self.capacitive)
        place = {e.name: k for k, e in enumerate(self.capacitive)}
        self.critical, self.capacity, self.conductance = np.zeros(n), np.zeros(n), np.zeros(n)
        where = {frozenset(map(self._at, e.nodes[:2])): k for k, e in enumerate(self.capacitive)}
        for k, e in enumerate(self.capacitive):
            C = e.value
            if e.kind == "B":
                model = self.netlist.models[e.other[0]]
                C = model.capacitance * e.value
                self.critical[k] = model.critical_current * e.value / self.unit
                self.conductance[k] = PHASE * e.value / (model.resistance * self.unit * PS)
            self.capacity[k] = C * PHASE / (self.unit * PS**2)
        for e in extra:
            self.capacity[where[frozenset(map(self._at, e.nodes))]] += e.value * PHASE / (self.unit * PS**2)
        for e in resistors:
            if e.name in self.parallel:
                self.conductance[place[self.parallel[e.name]]] += PHASE / (e.value * self.unit * PS)
        self.resistance = np.array([e.value * self.unit * PS / PHASE for e in self.resistive])

    def _solve(self, of: dict[str, list[Element]]) -> None:
        """Node phases and branch currents for every d, w and source: ``answer``, (unknowns, states + sources)."""
        from scipy.sparse import csc_array
        from scipy.sparse.linalg import splu

        size = len(self.node) + len(self.branches)
        if size > MOST_UNKNOWNS:
            raise InputError(f"solve.netlist: {size} unknowns are more than {MOST_UNKNOWNS}; write fewer parts")
        states = len(self.capacitive) + len(self.resistive)
        entries: list[tuple[int, int, float]] = []
        right: list[tuple[int, int, float]] = []

        def kcl(node: str, column: int, value: float) -> None:
            if self._at(node) >= 0:
                entries.append((self._at(node), column, value))

        for k, e in enumerate(self.branches):
            row = len(self.node) + k
            plus, minus = e.nodes[-2:] if e.kind == "F" else e.nodes[:2]
            kcl(plus, row, 1.0)
            kcl(minus, row, -1.0)
            for node, sign in ((plus, 1.0), (minus, -1.0)):
                if self._at(node) >= 0:
                    entries.append((row, self._at(node), sign))
            if k < states:
                right.append((row, k, 1.0))
            if e.kind == "L":
                entries.append((row, row, -e.value * self.unit / PHASE))
        for e in of["K"]:
            one, two = (self.netlist.elements[name] for name in e.other)
            mutual = e.value * math.sqrt(one.value * two.value) * self.unit / PHASE
            entries.append((self.branch[one.name], self.branch[two.name], -mutual))
            entries.append((self.branch[two.name], self.branch[one.name], -mutual))
        for e in of["F"]:
            control = self.branch.get(e.name if len(e.nodes) == 4 else e.other[0])
            if control is None:
                raise InputError(
                    f"solve.netlist: {e.name} is controlled by {e.other[0]}, whose current is not known here"
                )
            kcl(e.nodes[0], control, e.value)
            kcl(e.nodes[1], control, -e.value)
        for j, e in enumerate(self.sources):
            for node, sign in ((e.nodes[0], -1.0), (e.nodes[1], 1.0)):
                if self._at(node) >= 0:
                    right.append((self._at(node), states + j, sign))
        rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        matrix = csc_array((values, (rows, columns)), shape=(size, size))
        self._groups: dict[tuple[int, int], int] = {}
        for e in self.sources:
            self._groups.setdefault((self._at(e.nodes[0]), self._at(e.nodes[1])), len(self._groups))
        group = np.array(
            [self._groups[self._at(e.nodes[0]), self._at(e.nodes[1])] for e in self.sources], dtype=np.int64
        )
        self.group = group
        width = states + len(self._groups)
        full = np.zeros((size, width))
        for row, column, value in right:
            place = column if column < states else states + int(group[column - states])
            full[row, place] = value
        try:
            solved = splu(matrix).solve(full)
        except RuntimeError:
            solved = np.full((size, width), np.nan)
        check = np.abs(matrix @ solved - full).max(initial=0.0)
        if not np.isfinite(solved).all() or check > 1e-6:
            raise InputError(
                "solve.netlist: the circuit has no single solution: a loop of junctions, resistors and shorts without an "
                "inductor in it, a current source that leads nowhere, or a part without a way to ground"
            )
        self.answer, self.states = solved, states

    # -------------------------------------------------------------- what is recorded

    def outputs(self) -> tuple[list[str], NDArray[np.float64]]:
        """Names of the traces, and rows that make them of (d, w, sources); voltages are marked by their last column."""
        netlist = self.netlist
        wanted = list(netlist.probes)
        if not wanted:
            for loop in netlist.loops.values():
                wanted += [f"I({loop.current})", *(f"P({name})" for name, _ in loop.phases)]
        if not wanted:
            wanted = [f"P({e.name})" for e in self.capacitive]
        names, rows, faults = [], [], []
        phase_nodes = {e.nodes[2]: e.name for e in self.capacitive if len(e.nodes) > 2}
        width = self.answer.shape[1]
        places = {e.name: k for k, e in enumerate(self.capacitive)}
        for word in wanted:
            what, name = word[0], word[2:-1]
            row = np.zeros(width + 1)
            if word.endswith("#BRANCH"):
                what, name = "I", word.removesuffix("#BRANCH")
            if what == "V" and name in phase_nodes:
                what, name = "P", phase_nodes[name]
            if what == "I" and name in self.branch:
                row[:width] = self.answer[self.branch[name]] * self.unit
                if name in places:
                    faults.append(f"solve.netlist: the current of {name} is not recorded here; probe an inductor")
            elif what == "P" and name in places:
                row[places[name]] = 1.0
            elif what in "PV" and name in self.node:
                row[:width] = self.answer[self.node[name]]
                row[width] = 1.0 if what == "V" else 0.0
            else:
                faults.append(f"solve.netlist: there is nothing that {word} could record")
            names.append(f"{what}({name})")
            rows.append(row)
        if faults:
            raise InputError(faults)
        return names, np.array(rows)

    # -------------------------------------------------------------- integration

    def integrate(self, h: float, steps: int, first: int, row: int, rows: int, outputs: Any) -> NDArray[np.float64]:
        from scipy.sparse import csr_array

        run = _compiled()
        n = len(self.capacitive)
        needed = self.answer[len(self.node) : len(self.node) + self.states]
        sparse = csr_array(np.where(np.abs(needed) > SMALL * np.abs(needed).max(initial=1e-300), needed, 0.0))
        plain = outputs[:, :-1]
        out = csr_array(plain)
        kinds, starts, values = _waves(self.sources, self.unit)
        kept = np.zeros((rows, len(outputs)))
        run(
            h, steps, first, row,
            self.critical, self.capacity, self.conductance, self.resistance,
            sparse.indptr.astype(np.int64), sparse.indices.astype(np.int64), sparse.data,
            out.indptr.astype(np.int64), out.indices.astype(np.int64), out.data,
            kinds, starts, values, self.group, len(self._groups), n, kept,
        )  # fmt: skip
        for j in np.flatnonzero(outputs[:, -1]):
            kept[:, j] = np.gradient(kept[:, j], h * row * PS) * PHASE
        return kept


def _waves(sources: list[Element], unit: float) -> tuple[Any, Any, Any]:
    """Sources as flat arrays: kinds, where their numbers begin, and the numbers in ps and units of current."""
    kinds, starts, values = [], [0], []
    for e in sources:
        wave = e.wave
        assert wave is not None
        x = wave.values
        if wave.kind == "pwl":
            kinds.append(PWL)
            for j in range(0, len(x), 2):
                values += [x[j] / PS, x[j + 1] / unit]
        elif wave.kind == "exp":
            kinds.append(EXP)
            values += [x[0] / unit, x[1] / unit, x[2] / PS, x[3] / PS, x[4] / PS, x[5] / PS]
        else:
            kinds.append(DC)
            values += [x[0] / unit]
        starts.append(len(values))
    return np.array(kinds, dtype=np.int64), np.array(starts, dtype=np.int64), np.array(values, dtype=float)


@cache
def _compiled() -> Any:
    import numba

    return numba.njit(cache=True, nogil=True)(_run)


def _run(
    h: float, steps: int, first: int, row: int,
    critical: Any, capacity: Any, conductance: Any, resistance: Any,
    start: Any, column: Any, value: Any,
    out_start: Any, out_column: Any, out_value: Any,
    kinds: Any, wave_start: Any, wave: Any, group: Any, groups: int, n: int, kept: Any,
) -> int:  # fmt: skip
    """Runge-Kutta steps; rows of ``kept`` are filled from step ``first`` on, every ``row`` steps."""
    m = resistance.shape[0]
    size = n + m
    x = np.zeros(size + groups)  # d, w, sources
    v = np.zeros(n)
    y = np.zeros(size + groups)
    u = np.zeros(n)
    dx = np.zeros(size)
    dv = np.zeros(n)
    sum_x = np.zeros(size)
    sum_v = np.zeros(n)
    now = np.zeros(groups)
    middle = np.zeros(groups)
    later = np.zeros(groups)
    cursor = np.zeros(kinds.shape[0], dtype=np.int64)
    done = 0
    for step in range(steps + 1):
        for part in range(3):
            if part == 0 and step > 0:
                for g in range(groups):
                    now[g] = later[g]
                continue
            t = h * (step + 0.5 * part)
            target = now
            if part == 1:
                target = middle
            elif part == 2:
                target = later
            for g in range(groups):
                target[g] = 0.0
            for j in range(kinds.shape[0]):
                b = wave_start[j]
                if kinds[j] == 2:
                    found = wave[b]
                elif kinds[j] == 1:
                    low = wave[b]
                    rise = wave[b + 1] - low
                    found = low
                    if t >= wave[b + 2]:
                        found += rise * (1.0 - math.exp(-(t - wave[b + 2]) / wave[b + 3]))
                    if t >= wave[b + 4]:
                        found -= rise * (1.0 - math.exp(-(t - wave[b + 4]) / wave[b + 5]))
                else:
                    last = (wave_start[j + 1] - b) // 2 - 1
                    c = cursor[j]
                    while c < last and wave[b + 2 * c + 2] <= t:
                        c += 1
                    cursor[j] = c
                    found = wave[b + 2 * c + 1]
                    if c < last and t > wave[b + 2 * c]:
                        slope = (wave[b + 2 * c + 3] - found) / (wave[b + 2 * c + 2] - wave[b + 2 * c])
                        found += slope * (t - wave[b + 2 * c])
                target[group[j]] += found
        if step >= first and (step - first) % row == 0 and done < kept.shape[0]:
            for g in range(groups):
                x[size + g] = now[g]
            for o in range(kept.shape[1]):
                total = 0.0
                for c in range(out_start[o], out_start[o + 1]):
                    total += out_value[c] * x[out_column[c]]
                kept[done, o] = total
            done += 1
        for stage in range(4):
            back = 0.5 * h
            weight = 2.0
            if stage == 0 or stage == 3:
                weight = 1.0
            if stage == 3:
                back = h
            if stage == 0:  # slopes of the last step count for nothing
                dx[:], dv[:], sum_x[:], sum_v[:] = 0.0, 0.0, 0.0, 0.0
            for k in range(size):
                y[k] = x[k] + back * dx[k]
            for k in range(n):
                u[k] = v[k] + back * dv[k]
            for g in range(groups):
                if stage == 0:
                    y[size + g] = now[g]
                elif stage == 3:
                    y[size + g] = later[g]
                else:
                    y[size + g] = middle[g]
            for k in range(size):
                i = 0.0
                for c in range(start[k], start[k + 1]):
                    i += value[c] * y[column[c]]
                if k < n:
                    dx[k] = u[k]
                    dv[k] = (i - critical[k] * math.sin(y[k]) - conductance[k] * u[k]) / capacity[k]
                    sum_v[k] += weight * dv[k]
                else:
                    dx[k] = resistance[k - n] * i
                sum_x[k] += weight * dx[k]
        for k in range(size):
            x[k] += h / 6.0 * sum_x[k]
        for k in range(n):
            v[k] += h / 6.0 * sum_v[k]
    return done
