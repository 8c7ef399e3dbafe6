"""Netlists of junction circuits: elements, and the text in which JoSIM and WRspice exchange them.

    deck = read_netlist(Path("deck.cir").read_text())       # or hardware.spice.netlist(network, ...)
    deck.elements["LD_D1"].value, deck.loops["d1"].current, deck.save("again.cir")
    deck.solve().fluxons("d1")                              # hardware.nodal, from the elements of the text alone

A :class:`Netlist` is what its text says: the elements are read from it, whoever wrote it. What a network adds, which device carries the
current of which loop, stands in its comments (``* loop ...``, ``* start ...``), so a netlist that was saved and read back knows its parts.

Read are junctions (B) with ``.model ... jj(...)``, inductors (L) and couplings (K), resistors (R), capacitors (C), current sources (I) with
``pwl``, ``exp``, ``dc``, ``gauss``, voltage sources of 0 V (V), and current-controlled current sources (F): in JoSIM's form, with two
nodes that are shorted and whose current controls, or in WRspice's, with the name of a device. ``.param name=number`` and the cards
``.tran``, ``.print``, ``.save``, ``.temp``, ``.neb``, ``.options``, ``.end``. Subcircuits and expressions are refused: the netlists
written here are flat.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from soen_event.errors import InputError, nearest

if TYPE_CHECKING:
    from hardware.traces import Traces

__all__ = ["DIALECTS", "Element", "Loop", "Model", "Netlist", "Wave", "number", "read_netlist"]

DIALECTS = ("josim", "wrspice")
WIDTH = 100  # characters of a line, before it goes on after a "+"
_SUFFIXES = {
    "F": 1e-15,
    "P": 1e-12,
    "N": 1e-9,
    "U": 1e-6,
    "M": 1e-3,
    "K": 1e3,
    "MEG": 1e6,
    "X": 1e6,
    "G": 1e9,
    "T": 1e12,
}
_NUMBER = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(MEG|[FPNUMKXGT])?[A-Z]*$")
_NAME = re.compile(r"^[A-Z][A-Z0-9_]*$")
_NODES = {"B": 2, "L": 2, "R": 2, "C": 2, "I": 2, "V": 2, "K": 0, "F": 2}
_WAVES = {"PWL": (2, None), "EXP": (2, 6), "GAUSS": (3, 4), "DC": (1, 1)}
_CARDS = ("PARAM", "MODEL", "TRAN", "PRINT", "PLOT", "SAVE", "TEMP", "NEB", "OPTIONS", "OPTION", "END", "FILE")
_MOST_FAULTS = 20


@dataclass(frozen=True)
class Wave:
    """What a source does in time. ``kind``: "dc" (value), "pwl" (t, value, t, value, ...), "exp" (low, high, start, rise time constant,
    start of the fall, its time constant) or "gauss" (standard deviation, mean, time for which a value holds, interpolation). A and s.
    """

    kind: str
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.kind}({' '.join(number(x) for x in self.values)})"


@dataclass(frozen=True)
class Element:
    """One device. ``name``: upper case, its first letter is its kind. ``value``: H, Ohm, F, coupling k, gain, or area of a junction,
    as its kind says. ``other``: the inductors of a K, the model of a B, the controlling device of an F. ``nodes``: of a B its phase
    node is the third, if it has one; an F of JoSIM has two more, those that it shorts. ``wave``: of a source.
    """

    name: str
    nodes: tuple[str, ...]
    value: float = 0.0
    other: tuple[str, ...] = ()
    wave: Wave | None = None

    @property
    def kind(self) -> str:
        return self.name[0]


@dataclass(frozen=True)
class Model:
    """A junction of area 1: critical current (A), capacitance (F), shunt (Ohm; infinite: none)."""

    name: str
    critical_current: float
    capacitance: float
    resistance: float


@dataclass(frozen=True)
class Loop:
    """Where a loop of a network is in the netlist.

    ``current``: the device that carries its current. ``phases``: junctions and weights; their phases, weighted and added, make a turn for
    every fluxon. ``nodes``: its nodes; ``devices``: everything of it.
    """

    id: str
    current: str
    phases: tuple[tuple[str, float], ...]
    nodes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Netlist:
    """A junction circuit and its text.

    Attributes:
        text: what is written to a file. ``dialect``: "josim" or "wrspice".
        elements: :class:`Element` by name (upper case), in the order of the text. ``models``: :class:`Model` by name.
        loops: :class:`Loop` by the id of a dendrite, soma or refractory dendrite; ``parts``: the same with ids of neurons for their somas.
        start: s, when the network's t = 0 is; before, fluxes and biases are switched on.
        step, stop, sample: s; of integration, the end, and between the traces' rows. ``unit``: A, the critical current of one junction.
        temperature: K; ``warnings``: what the circuit is not, in sentences.
    """

    text: str
    dialect: str
    elements: Mapping[str, Element]
    models: Mapping[str, Model]
    loops: Mapping[str, Loop] = field(default_factory=dict)
    start: float = 0.0
    step: float = 5e-14
    stop: float = 0.0
    sample: float = 5e-13
    unit: float = 1e-4
    temperature: float = 0.0
    probes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Loop]:
        """Loops by id; the id of a neuron names its soma."""
        return {**{name.removesuffix(".soma"): loop for name, loop in self.loops.items()}, **self.loops}

    @property
    def duration(self) -> float:
        """ns of the network that the netlist covers."""
        return round((self.stop - self.start) * 1e9, 9)

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes but ground, in the order in which they appear."""
        found: dict[str, None] = {}
        for element in self.elements.values():
            count = 2 if element.kind == "B" else len(element.nodes)
            found.update(dict.fromkeys(element.nodes[:count]))
        return tuple(name for name in found if name not in ("0", "GND"))

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the text to a file, whole or not at all.

        Raises:
            InputError: the file exists and ``overwrite`` is false, or its folder does not.
        """
        from soen_event.files import write

        write(path, self.text, overwrite)

    def solve(self, **how: Any) -> Traces:
        """Integrate the elements: :func:`hardware.nodal.solve`."""
        from hardware import nodal

        return nodal.solve(self, **how)

    def loop(self, name: str, where: str = "Netlist") -> Loop:
        """The loop with an id, or of a neuron its soma's. Raises InputError for an id that is not there."""
        parts = self.parts
        if not isinstance(name, str) or name not in parts:
            raise InputError(f"{where}: there is no loop {name!r} in the netlist{nearest(str(name), parts)}")
        return parts[name]

    def __repr__(self) -> str:
        return (
            f"<Netlist: {self.dialect}, {len(self.loops)} loops, {len(self.elements)} elements, "
            f"{len(self.nodes)} nodes, {self.duration:g} ns>"
        )


def number(value: float) -> str:
    """A number as it stands in a netlist: 12 digits, no suffix."""
    text = f"{value + 0.0:.12g}"
    return "0" if text == "-0" else text


def wrapped(line: str) -> str:
    """A card, continued on lines that begin with "+" where it is long."""
    if len(line) <= WIDTH:
        return line
    lines, rest = [], line
    while len(rest) > WIDTH:
        cut = rest.rfind(" ", 0, WIDTH)
        if cut <= 2:
            break
        lines.append(rest[:cut])
        rest = f"+ {rest[cut + 1 :]}"
    return "\n".join([*lines, rest])


# ---------------------------------------------------------------------------------------------- reading


def read_netlist(text: str) -> Netlist:
    """Read the text of a netlist.

    Args:
        text: of a JoSIM or WRspice netlist without subcircuits. WRspice (as SPICE) takes the first line for a title, JoSIM does not: it has
            to be a comment or a blank line.

    Raises:
        InputError: with the number of every line that cannot be understood, and what is wrong with it.
    """
    if not isinstance(text, str):
        raise InputError(f"read_netlist.text: {type(text).__name__} is not text; give what the file holds")
    return _Reader(text).netlist()


class _Fault(Exception):
    pass


class _Reader:
    def __init__(self, text: str):
        self.text = text
        self.faults: list[str] = []
        self.elements: dict[str, Element] = {}
        self.models: dict[str, Model] = {}
        self.parameters: dict[str, float] = {}
        self.loops: dict[str, Loop] = {}
        self.values: dict[str, Any] = {}
        self.probes: list[str] = []
        self.warnings: list[str] = []
        self.lines: dict[str, int] = {}
        self.dialect: str | None = None

    def netlist(self) -> Netlist:
        cards = self._cards()
        for first in (True, False):  # parameters may stand after their use
            for line, words in cards:
                if (words[0] == ".PARAM") == first:
                    self._guarded(line, words)
        self._check_references()
        for needed in ("step", "stop"):
            if needed not in self.values and not self.faults:
                self.faults.append("read_netlist: there is no .tran card; add .tran with a step and an end")
        if self.faults:
            more = len(self.faults) - _MOST_FAULTS
            raise InputError(self.faults[:_MOST_FAULTS] + ([f"read_netlist: {more} more faults"] if more > 0 else []))
        return Netlist(
            text=self.text,
            dialect=self.dialect or "josim",
            elements=self.elements,
            models=self.models,
            loops=self.loops,
            probes=tuple(self.probes),
            warnings=tuple(self.warnings),
            **self.values,
        )

    def _cards(self) -> list[tuple[int, list[str]]]:
        """Lines with their continuations, in words of upper case; comments are taken care of."""
        joined: list[tuple[int, str]] = []
        for k, raw in enumerate(self.text.splitlines(), 1):
            line = raw.strip()
            if not line:
                continue
            if not line.isascii():
                self.faults.append(f"line {k}: holds characters beyond ASCII; write plain letters")
            elif line[0] in "*#":
                self._comment(k, line)
            elif line[0] == "+":
                if not joined:
                    self.faults.append(f"line {k}: begins with + and there is nothing before it; remove it")
                else:
                    joined[-1] = joined[-1][0], f"{joined[-1][1]} {line[1:]}"
            elif line.upper().split()[0] == ".END":
                break
            else:
                joined.append((k, line))
        cards = []
        for k, line in joined:
            words = re.sub(r"\s*=\s*", "=", line.upper().replace(",", " "))
            words = re.sub(r"\s*\(\s*", "(", words)
            cards.append((k, re.sub(r"\s*\)", ")", words).split()))
        return cards

    def _guarded(self, line: int, words: list[str]) -> None:
        try:
            if words[0][0] == ".":
                self._card(words)
            else:
                self._element(line, words)
        except _Fault as fault:
            self.faults.append(f"line {line}: {fault}")

    def _comment(self, line: int, text: str) -> None:
        """Comments that say which loop is where."""
        words = text.lstrip("*# ").split()
        try:
            if not words:
                return
            if words[0] == "loop" and len(words) > 2 and all("=" in word for word in words[2:]):
                values = dict(word.split("=", 1) for word in words[2:])
                phases = [term.split("*") for term in values["phase"].split("+")]
                self.loops[words[1]] = Loop(
                    words[1],
                    values["current"],
                    tuple((name, float(weight)) for weight, name in phases),
                    tuple(filter(None, values.get("nodes", "").split(","))),
                    tuple(filter(None, values.get("devices", "").split(","))),
                )
            elif words[0] in ("start", "unit") and len(words) == 2:
                self.values[words[0]] = float(words[1])
            elif words[0] == "dialect" and len(words) == 2 and words[1] in DIALECTS:
                self.dialect = words[1]
            elif words[0] == "warning:":
                self.warnings.append(text.split("warning:", 1)[1].strip())
        except (KeyError, ValueError):
            self.faults.append(f"line {line}: a comment of a part that is damaged: {text[:60]!r}; remove or mend it")

    # -------------------------------------------------------------- cards

    def _card(self, words: list[str]) -> None:
        name, rest = words[0][1:], words[1:]
        if name not in _CARDS:
            raise _Fault(f".{name.lower()} is not understood{nearest(name, _CARDS)}; flat netlists with .tran only")
        if name == "PARAM":
            for word in rest:
                key, equals, value = word.partition("=")
                if not equals:
                    raise _Fault(f"{word!r} is no name=number")
                self.parameters[key] = self._number(value)
        elif name == "MODEL":
            self._model(rest)
        elif name == "TRAN":
            self._tran(rest)
        elif name in ("PRINT", "SAVE", "PLOT"):
            self.probes += [word for word in rest if word != "TRAN"]
        elif name == "TEMP":
            self.values["temperature"] = self._number(rest[0] if rest else "")

    def _model(self, rest: list[str]) -> None:
        joined = " ".join(rest)
        found = re.fullmatch(r"(\S+)\s+JJ\((.*)\)", joined)
        if not found:
            raise _Fault(f"a model reads '.model name jj(icrit=... cap=...)', not {joined[:50]!r}")
        values = {}
        for word in found[2].split():
            key, equals, value = word.partition("=")
            if not equals:
                raise _Fault(f"{word!r} is no name=number")
            values[key] = self._number(value)
        critical = values.get("ICRIT", values.get("IC", 1e-3))
        kind = values.get("RTYPE", 1.0)
        if kind != 0.0:
            raise _Fault(f"rtype={kind:g}: only the linear shunt, rtype=0, is understood")
        resistance = values.get("RN", values.get("RNORM", math.inf))
        if self.dialect == "wrspice":
            resistance = math.inf  # its rtype=0 is no shunt at all
        elif "RN" not in values and "RNORM" not in values:
            resistance = 5.0  # JoSIM's default
        capacitance = values.get("CAP", values.get("C", 2.5e-12 if self.dialect != "wrspice" else 0.7e-12))
        for what, value in (("critical current", critical), ("capacitance", capacitance), ("resistance", resistance)):
            if not value > 0.0:
                raise _Fault(f"the {what} of model {found[1]} is {value:g}; it has to be above 0")
        self.models[found[1]] = Model(found[1], critical, capacitance, resistance)

    def _tran(self, rest: list[str]) -> None:
        words = [word for word in rest if word not in ("UIC", "DST")]
        if "UIC" in rest and self.dialect is None:
            self.dialect = "wrspice"
        if len(words) < 2:
            raise _Fault(".tran needs a step and an end")
        values = [self._number(word) for word in words]
        if self.dialect == "wrspice":
            sample, stop = values[:2]
            step = values[3] if len(values) > 3 else sample
        else:
            step, stop = values[:2]
            sample = values[3] if len(values) > 3 else step
        if not (step > 0.0 and stop > 0.0 and sample > 0.0 and step <= sample <= stop):
            raise _Fault(f".tran steps {step:g} s and samples {sample:g} s up to {stop:g} s: above 0, and ascending")
        self.values.update(step=step, stop=stop, sample=sample)
        if len(values) > 2:
            self.values.setdefault("start", values[2])

    # -------------------------------------------------------------- elements

    def _element(self, line: int, words: list[str]) -> None:
        name, kind = words[0], words[0][0]
        if kind not in _NODES:
            raise _Fault(f"{name}: devices {kind} are not understood; B, L, K, R, C, I, V and F are")
        if not _NAME.fullmatch(name):
            raise _Fault(f"{name!r} is no name; letters, digits and _ only")
        if name in self.elements:
            raise _Fault(f"{name} is there already, in line {self.lines[name]}")
        self.lines[name] = line
        nodes, rest = tuple(words[1 : 1 + _NODES[kind]]), words[1 + _NODES[kind] :]
        if len(nodes) < _NODES[kind] or (not rest and kind != "V"):
            raise _Fault(f"{name}: too short; a device has nodes and a value")
        if kind == "K":
            self._needs(name, rest, 3)
            value = self._number(rest[2])
            if not 0.0 < abs(value) <= 1.0:
                raise _Fault(f"{name}: k = {value:g} is not between 0 and 1")
            self.elements[name] = Element(name, (), value, (rest[0], rest[1]))
        elif kind == "B":
            self._junction(name, nodes, rest)
        elif kind == "I":
            self.elements[name] = Element(name, nodes, wave=self._wave(name, rest))
        elif kind == "V":
            if rest and self._number(rest[-1]) != 0.0:
                raise _Fault(f"{name}: a voltage source has to be 0 V here; it measures a current")
            self.elements[name] = Element(name, nodes)
        elif kind == "F":
            if len(rest) == 2:
                self.elements[name] = Element(name, nodes, self._number(rest[1]), (rest[0],))
            else:
                self._needs(name, rest, 3)
                self.elements[name] = Element(name, (*nodes, rest[0], rest[1]), self._number(rest[2]))
        else:
            self._needs(name, rest, 1)
            value = self._number(rest[0])
            if not value > 0.0:
                raise _Fault(f"{name}: {value:g} is not above 0")
            self.elements[name] = Element(name, nodes, value)

    def _junction(self, name: str, nodes: tuple[str, ...], rest: list[str]) -> None:
        area = 1.0
        words = []
        for word in rest:
            if word.startswith("AREA="):
                area = self._number(word[5:])
            elif "=" in word:
                raise _Fault(f"{name}: {word} is not understood; area= is")
            else:
                words.append(word)
        if not 1 <= len(words) <= 2:
            raise _Fault(f"{name}: two nodes, perhaps a phase node, and a model")
        if not area > 0.0:
            raise _Fault(f"{name}: area {area:g} is not above 0")
        self.elements[name] = Element(name, nodes + tuple(words[:-1]), area, (words[-1],))

    def _wave(self, name: str, rest: list[str]) -> Wave:
        joined = " ".join(rest)
        found = re.fullmatch(r"([A-Z]+)\((.*)\)", joined)
        if not found:
            words = rest[1:] if rest[0] == "DC" else rest
            self._needs(name, words, 1)
            return Wave("dc", (self._number(words[0]),))
        kind = found[1]
        if kind not in _WAVES:
            raise _Fault(f"{name}: {kind.lower()} is not understood{nearest(kind, _WAVES)}; pwl, exp, gauss and dc are")
        values = tuple(self._number(word) for word in found[2].split())
        low, high = _WAVES[kind]
        if len(values) < low or (high is not None and len(values) > high) or (kind == "PWL" and len(values) % 2):
            raise _Fault(f"{name}: {kind.lower()} with {len(values)} numbers")
        if kind == "PWL" and any(b < a for a, b in zip(values[:-2:2], values[2::2], strict=True)):
            raise _Fault(f"{name}: the times of pwl do not ascend")
        if kind == "EXP":
            if len(values) != 6:
                raise _Fault(f"{name}: exp with {len(values)} numbers; give all six")
            if not (values[3] > 0.0 and values[5] > 0.0 and values[4] >= values[2]):
                raise _Fault(
                    f"{name}: exp needs time constants above 0, and a fall that does not begin before its rise"
                )
        return Wave(kind.lower(), values)

    def _check_references(self) -> None:
        inductors = [name for name in self.elements if name[0] == "L"]
        for element in self.elements.values():
            line = self.lines[element.name]
            if element.kind == "B" and element.other[0] not in self.models:
                self.faults.append(f"line {line}: {element.name}: there is no model {element.other[0]}")
            elif element.kind == "K":
                for name in element.other:
                    if name not in self.elements or name[0] != "L":
                        hint = nearest(name, inductors)
                        self.faults.append(f"line {line}: {element.name}: there is no inductor {name}{hint}")
            elif element.kind == "F" and element.other and element.other[0] not in self.elements:
                hint = nearest(element.other[0], self.elements)
                self.faults.append(f"line {line}: {element.name}: there is no device {element.other[0]}{hint}")
        for loop in self.loops.values():
            for name in (loop.current, *(junction for junction, _ in loop.phases)):
                if name not in self.elements and not self.faults:
                    self.faults.append(
                        f"read_netlist: loop {loop.id} names {name}, which is no device; mend the comment"
                    )

    def _needs(self, name: str, words: Sequence[str], count: int) -> None:
        if len(words) != count:
            raise _Fault(f"{name}: {len(words)} words after its nodes; it takes {count}")

    def _number(self, word: str) -> float:
        if word in self.parameters:
            return self.parameters[word]
        found = _NUMBER.fullmatch(word)
        if not found:
            raise _Fault(f"{word!r} is no number{nearest(word, self.parameters) if self.parameters else ''}")
        return float(found[1]) * _SUFFIXES.get(found[2] or "", 1.0)
