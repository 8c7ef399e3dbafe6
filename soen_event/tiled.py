"""Large networks: one cell, many copies of it, and waveguides between the copies given as arrays.

A *cell* is an ordinary small :class:`~soen_event.network.Network`: usually one neuron with its dendrites, couplings and
synapses. A :class:`TiledNetwork` is ``count`` copies of it. It is lowered straight to the columns of a Plan: the cell is
lowered once, its columns are tiled and offset, and no Python object is made for a copy.

The part ``d3`` of the cell is called ``c000017/d3`` in copy 17. The number has as many digits as the last copy's, so
that the order of ids is the order of copies. What :meth:`TiledNetwork.expand` makes, the ordinary network of the same
ids, has the same Plan, column for column and bit for bit, and so the same events.

Shapes: n, m, k loops, detectors and neurons of the cell; w waveguides between copies.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import secrets
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event import plan as plans
from soen_event.errors import InputError, nearest
from soen_event.network import (
    Network,
    _arms,
    _fold_at_half,
    _refractory_fault,
    _threshold_fault,
    _with_values,
    auto_refractory_coupling,
)
from soen_event.parts import (
    LATEST,
    RI_BIAS,
    RTTI_BIAS,
    Dendrite,
    Neuron,
    Refused,
    Waveguide,
    detached,
    fields_of,
    shown,
)
from soen_event.physics import loop
from soen_event.physics import source as source_function
from soen_event.physics.random import part_key
from soen_event.physics.transmitter import transmission
from soen_event.plan import LONGEST_WAY, PULSE, QUANTA, Arrays, Plan
from soen_event.units import ns_to_fs

if TYPE_CHECKING:
    from types import FunctionType

    from soen_event.parts import Drive

__all__ = ["TiledIds", "TiledNetwork", "TiledPlan", "Wiring"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PARAMETERS = ("weights", "J", "phi_offset", "ib", "tau", "threshold")
"""What may differ between copies; names and columns as of ``cell.parameters()`` and ``cell.ids(name)``."""
NO_QUANTA = "Drive.quanta: quanta that enter loops are not part of tiled networks; use an ordinary Network"
_MOST = 2**29 - 2  # loops, detectors or waveguides: an event's key has 29 bits for each
_MOST_TABLES = 256  # distinct biases of RTTI dendrites, 2.5 MB each
_FEW = 20_000  # so many ids are hashed, and numbers computed, without compiling


# ---------------------------------------------------------------------------------------------- ids


class _MadeIds(Sequence[str]):
    """Ids that are made when they are asked for; a subclass says which stands at a place (``_at``) and where one stands (:meth:`find`)."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # equal to a tuple of the same ids

    def _at(self, place: int) -> str:
        raise NotImplementedError

    def find(self, name: object) -> int:
        """The place of an id; -1 if it is none of these."""
        raise NotImplementedError

    @overload
    def __getitem__(self, k: int) -> str: ...
    @overload
    def __getitem__(self, k: slice) -> tuple[str, ...]: ...
    def __getitem__(self, k: int | slice) -> str | tuple[str, ...]:
        if isinstance(k, slice):
            return tuple(self[j] for j in range(*k.indices(len(self))))
        return self._at(range(len(self))[k])

    def index(self, name: str, start: int = 0, stop: int | None = None) -> int:
        """The place of an id, as of a tuple; ValueError if it is none of these."""
        place = self.find(name)
        if place < 0 or place not in range(*slice(start, stop).indices(len(self))):
            raise ValueError(f"{name!r} is not among the ids")
        return place

    def __contains__(self, name: object) -> bool:
        return self.find(name) >= 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))


class TiledIds(_MadeIds):
    """Ids of one kind of part in all copies: a sequence that makes each string when it is asked for.

    Arguments:
        names: ids in the cell, ascending; of couplings ``source->target``.
        copies: their number.

    Index and look-up (``in``, :meth:`index`) take the same time whatever the number of copies.
    """

    __slots__ = ("_marked", "_place", "_template", "copies", "names", "width")
    __hash__ = None

    def __init__(self, names: Iterable[str], copies: int):
        self.names, self.copies = tuple(names), int(copies)
        self.width = len(str(max(self.copies - 1, 0)))
        self._place = {name: j for j, name in enumerate(self.names)}
        self._marked = ["\1" + name.replace("->", "->\1") for name in self.names]
        self._template = "\0".join(self._marked)

    def prefix(self, copy: int) -> str:
        """What the ids of a copy begin with."""
        return f"c{copy:0{self.width}d}/"

    def __len__(self) -> int:
        return self.copies * len(self.names)

    def _at(self, place: int) -> str:
        copy, name = divmod(place, len(self.names))
        return self._marked[name].replace("\1", self.prefix(copy))

    def __iter__(self) -> Iterator[str]:
        for copy in range(self.copies if self.names else 0):
            yield from self._template.replace("\1", self.prefix(copy)).split("\0")

    def find(self, name: object) -> int:
        """The place of an id; -1 if it is none of these."""
        if not isinstance(name, str) or name[:1] != "c" or name[self.width + 1 : self.width + 2] != "/":
            return -1
        digits = name[1 : self.width + 1]
        if not (digits.isascii() and digits.isdigit()):
            return -1
        prefix = name[: self.width + 2]
        own = name[len(prefix) :]
        if "->" in own:
            source, _, target = own.partition("->")
            if not target.startswith(prefix):
                return -1
            own = f"{source}->{target.removeprefix(prefix)}"
        copy, place = int(digits), self._place.get(own, -1)
        return copy * len(self.names) + place if place >= 0 and copy < self.copies else -1

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TiledIds):
            return (self.names, self.copies) == (other.names, other.copies) or (not len(self) and not len(other))
        return super().__eq__(other)

    def __repr__(self) -> str:
        shown = ", ".join(repr(name) for name in self[:3])
        return f"<{len(self)} ids: {shown}{', ...' if len(self) > 3 else ''}>"

    @property
    def places(self) -> Mapping[str, int]:
        """The place of every id, as a mapping."""
        return _Index(self)

    def with_somas(self, neurons: TiledIds) -> Mapping[str, int]:
        """The place of every loop's id, as a mapping that takes a neuron's id for its soma."""
        return _Index(self, neurons)

    def near(self, word: str) -> list[str]:
        """Some ids that ``word`` may have meant: those of the copy that it names, or of the first."""
        head, _, _ = str(word).partition("/")
        digits = head.removeprefix("c")
        named = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0
        prefix = self.prefix(max(min(named, self.copies - 1), 0))
        return [prefix + name for name in self.names[:1000] if "->" not in name]

    def joined(self) -> str:
        """All ids with NUL between them, without a string for each."""
        if not self.names:
            return ""
        return "\0".join(self._template.replace("\1", self.prefix(copy)) for copy in range(self.copies))

    def as_dict(self) -> dict[str, Any]:
        """Names and number of copies, as plain data that :meth:`from_dict` takes."""
        return {"tiled": list(self.names), "copies": self.copies}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> TiledIds:
        """The ids that :meth:`as_dict` told of."""
        return cls(document["tiled"], document["copies"])


class _Index(Mapping[str, int]):
    """Row by id, without a dict. With ``neurons``, of loops: a neuron's id stands for its soma."""

    def __init__(self, ids: TiledIds, neurons: TiledIds | None = None):
        self._ids, self._neurons = ids, neurons

    def __getitem__(self, name: str) -> int:
        place = self._ids.find(name)
        if place < 0 and self._neurons is not None and name in self._neurons:
            place = self._ids.find(f"{name}.soma")
        if place < 0:
            raise KeyError(name)
        return place

    def __iter__(self) -> Iterator[str]:
        yield from self._ids
        yield from self._neurons or ()

    def __len__(self) -> int:
        return len(self._ids) + (0 if self._neurons is None else len(self._neurons))

    def near(self, word: str) -> list[str]:
        """Some ids that ``word`` may have meant."""
        return self._ids.near(word) + ([] if self._neurons is None else self._neurons.near(word))


class _GuideIds(_MadeIds):
    """Names of waveguides, ``source->target``, from the columns of a Plan; ``#2`` and so on at parallel ones."""

    def __init__(self, arrays: Arrays, neurons: TiledIds, detectors: TiledIds, numbers: dict[int, int]):
        self._arrays, self._neurons, self._detectors, self._numbers = arrays, neurons, detectors, numbers

    def __len__(self) -> int:
        return len(self._arrays.guide_detector)

    def _at(self, place: int) -> str:
        source = int(np.searchsorted(self._arrays.guide_start, place, side="right")) - 1
        number = f"#{self._numbers[place]}" if place in self._numbers else ""
        return f"{self._neurons[source]}->{self._detectors[int(self._arrays.guide_detector[place])]}{number}"

    def find(self, name: object) -> int:
        """The place of a name; -1 if there is no such waveguide. Takes a look at its source's waveguides."""
        ends, _, number = str(name).partition("#")
        source, _, target = ends.partition("->")
        neuron, detector = self._neurons.find(source), self._detectors.find(target)
        if neuron >= 0 and detector >= 0:
            first, last = self._arrays.guide_start[neuron : neuron + 2].tolist()
            for j in np.flatnonzero(self._arrays.guide_detector[first:last] == detector).tolist():
                place = first + j
                if str(self._numbers.get(place, "")) == number:
                    return place
        return -1


# ---------------------------------------------------------------------------------------------- keys of random draws

_IV = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    dtype=np.uint64,
)
_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    dtype=np.int64,
)
_R32, _R24, _R16, _R63 = np.uint64(32), np.uint64(24), np.uint64(16), np.uint64(63)
_L32, _L40, _L48, _L1 = np.uint64(32), np.uint64(40), np.uint64(48), np.uint64(1)
_SIX_BYTES = np.uint64((1 << 48) - 1)
_HEAD = np.uint64(0x6A09E667F3BCC908 ^ 0x01010000 ^ 6)  # a digest of six bytes, no key
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


def blake2b_mix(v: Any, a: int, b: int, c: int, d: int, x: Any, y: Any) -> None:
    """One quarter of a half round of BLAKE2b (RFC 7693, section 3.1), on uint64."""
    v[a] = v[a] + v[b] + x
    w = v[d] ^ v[a]
    v[d] = (w >> _R32) | (w << _L32)
    v[c] = v[c] + v[d]
    w = v[b] ^ v[c]
    v[b] = (w >> _R24) | (w << _L40)
    v[a] = v[a] + v[b] + y
    w = v[d] ^ v[a]
    v[d] = (w >> _R16) | (w << _L48)
    v[c] = v[c] + v[d]
    w = v[b] ^ v[c]
    v[b] = (w >> _R63) | (w << _L1)


def blake2b_key(words: Any, length: int, h: Any, v: Any) -> int:
    """The first six bytes of BLAKE2b of a message of ``length`` bytes, as a number.

    ``words``: the message as uint64, zeros up to a multiple of 16 words; ``h``, ``v``: uint64 scratch, shapes (8,), (16,).
    """
    for j in range(8):
        h[j] = _IV[j]
    h[0] = _HEAD
    blocks = (length + 127) // 128
    if blocks < 1:
        blocks = 1
    for block in range(blocks):
        m = words[16 * block : 16 * block + 16]
        done = 128 * (block + 1)
        last = block == blocks - 1
        if last:
            done = length
        for j in range(8):
            v[j] = h[j]
            v[j + 8] = _IV[j]
        v[12] = v[12] ^ np.uint64(done)
        if last:
            v[14] = v[14] ^ _ONES
        for r in range(12):
            s = _SIGMA[r]
            blake2b_mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]])
            blake2b_mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]])
            blake2b_mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]])
            blake2b_mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]])
            blake2b_mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]])
            blake2b_mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]])
            blake2b_mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]])
            blake2b_mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]])
        for j in range(8):
            h[j] = h[j] ^ v[j] ^ v[j + 8]
    return np.int64(h[0] & _SIX_BYTES)  # type: ignore[return-value]


def write_id(message: Any, at: int, copy: int, width: int, text: Any, start: int, stop: int) -> int:
    """Write ``c<copy>/<name>`` into ``message`` at ``at``; returns where it ends. The name is ``text[start:stop]``."""
    message[at] = 99  # c
    rest = copy
    for j in range(width):
        message[at + width - j] = 48 + rest % 10
        rest //= 10
    message[at + width + 1] = 47  # /
    at += width + 2
    for j in range(start, stop):
        message[at] = text[j]
        at += 1
    return at


def write_number(message: Any, at: int, number: int) -> int:
    """Write ``#<number>``; returns where it ends."""
    message[at] = 35  # #
    digits = 1
    rest = number // 10
    while rest > 0:
        digits += 1
        rest //= 10
    rest = number
    for j in range(digits):
        message[at + digits - j] = 48 + rest % 10
        rest //= 10
    return at + 1 + digits


def hash_ids(
    place: Any,
    target: Any,
    number: Any,
    width: int,
    text: Any,
    starts: Any,
    names: int,
    target_text: Any,
    target_starts: Any,
    target_names: int,
    message: Any,
    words: Any,
    h: Any,
    v: Any,
    out: Any,
) -> None:
    """The keys of many ids, or of pairs of ids ``a->b`` if ``target`` is not empty; ``number`` above 1 is added as ``#k``.

    ``place``, ``target``: rows of ids, copy times number of names plus name; ``starts``: where names begin in ``text``;
    ``message``, ``words``: the same scratch memory as bytes and as uint64.
    """
    length = 0
    for i in range(place.shape[0]):
        for j in range(length):
            message[j] = 0
        name = place[i] % names
        length = write_id(message, 0, place[i] // names, width, text, starts[name], starts[name + 1])
        if target.shape[0] > 0:
            message[length] = 45  # ->
            message[length + 1] = 62
            name = target[i] % target_names
            length = write_id(
                message,
                length + 2,
                target[i] // target_names,
                width,
                target_text,
                target_starts[name],
                target_starts[name + 1],
            )
            if number[i] > 1:
                length = write_number(message, length, number[i])
        out[i] = blake2b_key(words, length, h, v)


def _compiles() -> bool:
    import numba

    return not vars(numba.config).get("DISABLE_JIT")


def _letters(names: Sequence[str]) -> tuple[NDArray[np.uint8], Ints]:
    text = [name.encode() for name in names]
    starts = np.cumsum([0, *(len(name) for name in text)]).astype(np.int64)
    return np.frombuffer(b"".join(text) or b"\0", dtype=np.uint8), starts


def _keys(ids: TiledIds, place: Ints, targets: TiledIds | None = None, target: Any = (), number: Any = ()) -> Ints:
    """:func:`~soen_event.physics.random.part_key` of many ids, or of the names of waveguides from ids to targets.

    Compiled, 1e7 take 3 s; as Python strings they would take 15 s and a gigabyte.
    """
    out = np.empty(len(place), dtype=np.int64)
    if len(place) > _FEW and _compiles() and sys.byteorder == "little":
        text, starts = _letters(ids.names)
        target_text, target_starts = _letters(targets.names if targets is not None else ())
        longest = int(np.diff(starts).max()) + int(np.diff(target_starts).max(initial=0)) + 2 * ids.width + 32
        from soen_event.engine.jit import compile_function

        words = np.zeros(16 * (longest // 128 + 2), dtype=np.uint64)
        compile_function(cast("FunctionType", hash_ids), persistent=True)(
            place,
            np.asarray(target, dtype=np.int64),
            np.asarray(number, dtype=np.int64),
            ids.width,
            text,
            starts,
            len(ids.names),
            target_text,
            target_starts,
            max(len(target_starts) - 1, 1),
            words.view(np.uint8),
            words,
            np.zeros(8, dtype=np.uint64),
            np.zeros(16, dtype=np.uint64),
            out,
        )
    elif targets is None:
        out[:] = [part_key(ids[k]) for k in place.tolist()]
    else:
        for j, (k, t, n) in enumerate(zip(place.tolist(), target.tolist(), number.tolist(), strict=True)):
            out[j] = part_key(f"{ids[k]}->{targets[t]}" + (f"#{n}" if n > 1 else ""))
    return out


# ---------------------------------------------------------------------------------------------- the network


class Wiring(NamedTuple):
    """Waveguides between copies, one row each; a number in place of an array holds for all w of them.

    Rows may come in any order. Several from one neuron to one synapse are parallel waveguides.
    """

    source: Any = ()
    """copies whose neurons send, integers in [0, count), shape (w,)"""
    target: Any = ()
    """copies that the light goes to, integers in [0, count), shape (w,)"""
    synapse: Any = 0
    """synapses of the cell that it goes to: positions in ``cell.ids("synapse")``, shape (w,); or one position or id"""
    neuron: Any = None
    """neurons of the cell that send: positions in ``cell.ids("neuron")``, shape (w,); or one position or id. None: the
    only neuron with a transmitter"""
    delay: Any = 0.0
    """propagation time in ns, at least 0, shape (w,) or one number"""
    loss_db: Any = 0.0
    """attenuation in dB, 0 to 1000, shape (w,) or one number"""


class TiledNetwork:
    """``count`` copies of a cell with waveguides between them. It does not change; arrays are copied.

    Arguments:
        cell: a network that could run by itself. Its inner waveguides and its drives are in every copy.
        count: number of copies, at least 1.
        wiring: :class:`Wiring`, or a mapping of its fields.
        parameters: what differs between copies, by name (:data:`PARAMETERS`): arrays of shape
            (count, len(cell.ids(name))), in the units of ``cell.parameters()``; a shape that broadcasts to it will do.
            What is left out is as in the cell. A different ``ib``, ``threshold`` or ``phi_offset`` in every copy costs
            some 20 to 200 us each when the network is lowered.
        name: a title.

    ``simulate``, ``lower`` and ``Recording.load`` take it in place of a Network.

    Raises InputError with every fault of cell, wiring and parameters.
    """

    def __init__(
        self,
        cell: Network,
        count: int,
        wiring: Wiring | Mapping[str, Any] | None = None,
        *,
        parameters: Mapping[str, ArrayLike] | None = None,
        name: str = "",
    ):
        if not isinstance(cell, Network):
            raise InputError(f"TiledNetwork.cell: {shown(cell)} is no Network; give the network of one copy")
        faults = [f"{fault} (cell)" for fault in cell.validate()]
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            faults.append(f"TiledNetwork.count: {shown(count)} is no number of copies; give an integer of at least 1")
        if not isinstance(name, str) or not name.isprintable():
            faults.append(f"TiledNetwork.name: {shown(name)} is no title; give printable text of one line")
        if faults:
            raise InputError(faults)
        self.cell, self.count, self.name = cell.copy(), int(count), name
        self._ids = {kind: TiledIds(cell.ids(kind), self.count) for kind in ("synapse", "dendrite", "neuron")}
        self._wiring = self._checked_wiring(wiring, faults)
        self._parameters = self._checked_parameters(parameters or {}, faults)
        for kind, length in (
            ("loops", len(cell.dendrites) + 2 * len(cell.neurons)),
            ("detectors", len(cell.synapses) + len(cell.neurons)),
            ("waveguides", len(cell.waveguides)),
        ):
            total = length * self.count + (len(self._wiring.source) if kind == "waveguides" and not faults else 0)
            if total > _MOST:
                faults.append(f"TiledNetwork.count: {total} {kind} are more than {_MOST}; make fewer copies")
        if faults:
            raise InputError(faults)

    # ---- reading

    @property
    def device(self) -> Any:
        """The junctions of the cell."""
        return self.cell.device

    @property
    def wiring(self) -> Wiring:
        """The waveguides between copies: positions as integers, read-only; numbers where one holds for all."""
        return self._wiring

    @property
    def parameters(self) -> dict[str, Floats]:
        """What differs between copies: read-only arrays of shape (count, len(cell.ids(name)))."""
        return dict(self._parameters)

    def ids(self, kind: str) -> TiledIds:
        """Ids of all synapses, dendrites or neurons, as a sequence that makes its strings when they are asked for.

        Raises InputError for another ``kind``.
        """
        if kind not in self._ids:
            raise InputError(
                f"TiledNetwork.ids: {kind!r} is no kind{nearest(str(kind), self._ids)}; give one of "
                f"{', '.join(self._ids)}"
            )
        return self._ids[kind]

    def positions(self, synapse: str | int, copies: ArrayLike | None = None) -> Ints:
        """Positions of a synapse of the cell in some copies (None: in all), among all synapses of the network.

        For ``Stimulus.from_arrays(positions, times)``. ``copies``: integers in [0, count), any shape, which the result
        has too. Raises InputError for an unknown synapse or copy.
        """
        place = _position(self.cell.ids("synapse"), synapse, "TiledNetwork.positions.synapse", "synapse")
        chosen = np.arange(self.count) if copies is None else np.asarray(copies)
        if chosen.dtype.kind not in "iu" or (chosen.size and not (chosen.min() >= 0 and chosen.max() < self.count)):
            raise InputError(f"TiledNetwork.positions.copies: give integers from 0 to {self.count - 1}")
        return chosen.astype(np.int64) * len(self._ids["synapse"].names) + place

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TiledNetwork):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        sizes = [f"{len(ids)} {kind}s" for kind, ids in self._ids.items()]
        sizes.append(f"{len(self._wiring.source) + self.count * len(self.cell.waveguides)} waveguides")
        return f"<TiledNetwork{f' {self.name!r}' if self.name else ''}: {self.count} copies, {', '.join(sizes)}>"

    def copy(self) -> TiledNetwork:
        """This network itself: it does not change."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """What a recording keeps: the cell, the number of copies, and digests in place of the arrays."""
        return {
            "tiled": 1,
            "name": self.name,
            "count": self.count,
            "cell": self.cell.to_dict(),
            "wiring": {"waveguides": len(self._wiring.source), "digest": self._wiring_digest},
            "parameters": {name: _digest([array]) for name, array in self._parameters.items()},
        }

    @cached_property
    def _wiring_digest(self) -> str:
        return _digest(self._wiring)

    # ---- files

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the network to an NPZ file, in one step. Recordings do not hold the wiring: keep this file with them.

        Raises InputError if the suffix is not ``.npz``, the folder is missing, or the file exists and ``overwrite`` is
        False.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise InputError(f"{path}: the suffix {path.suffix!r} is not known; give a name that ends in .npz")
        if not path.parent.is_dir():
            raise InputError(f"{path}: its folder {path.parent} does not exist; make it first")
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists already; choose another name or pass overwrite=True")
        head = json.dumps({"soen_tiled": 1, "name": self.name, "count": self.count, "cell": self.cell.to_dict()})
        arrays = {f"wiring_{name}": value for name, value in self._wiring._asdict().items()}
        arrays.update({f"parameter_{name}": value for name, value in self._parameters.items()})
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with open(part, "wb") as file:
                np.savez(file, allow_pickle=False, head=np.frombuffer(head.encode(), dtype=np.uint8), **arrays)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TiledNetwork:
        """Read what :meth:`save` wrote. Raises InputError if the file is missing or is something else."""
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                head = json.loads(bytes(file["head"]))
                arrays = {name: file[name] for name in file.files if name != "head"}
            if head["soen_tiled"] != 1:
                raise ValueError(f"version {head['soen_tiled']}")
            cell, count, name = head["cell"], head["count"], head["name"]
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file; give one that TiledNetwork.save wrote") from None
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as trouble:
            raise InputError(
                f"{path}: is not a readable tiled network ({trouble}); give one that TiledNetwork.save wrote"
            ) from trouble
        wiring = {name.removeprefix("wiring_"): a[()] for name, a in arrays.items() if name.startswith("wiring_")}
        values = {name.removeprefix("parameter_"): a for name, a in arrays.items() if name.startswith("parameter_")}
        return cls(Network.from_dict(cell), count, wiring, parameters=values, name=name)

    # ---- the same as an ordinary network

    def expand(self) -> Network:
        """The ordinary network of the same ids: one object a part, so for small networks only (some 100 us a part).

        A waveguide of the wiring that has the same ends as an earlier one, or as one of the cell's, is called
        ``w<row>``, its row in the wiring padded with zeros; the others have no id.
        """
        network = Network(self.device, self.name)
        for copy in range(self.count):
            network.extend(self._parts_of(copy))
        wiring = self._wiring
        rows = len(wiring.source)
        taken = {(guide.source, guide.target) for guide in network.waveguides}
        columns = [np.broadcast_to(column, rows).tolist() for column in wiring]
        guides = []
        for row, (source, target, synapse, neuron, delay, loss_db) in enumerate(zip(*columns, strict=True)):
            ends = (
                self._ids["neuron"][source * len(self._ids["neuron"].names) + neuron],
                self._ids["synapse"][target * len(self._ids["synapse"].names) + synapse],
            )
            name = f"w{row:0{len(str(rows - 1))}d}" if ends in taken else None
            taken.add(ends)
            with detached():
                guides.append(Waveguide(*ends, delay=delay, loss_db=loss_db, id=name))
        network.extend(guides)
        network.set_parameters({name: array.ravel() for name, array in self._parameters.items()})
        return network

    def _parts_of(self, copy: int) -> list[Any]:
        """The cell's parts under their names in a copy, with the cell's values."""
        prefix = self._ids["neuron"].prefix(copy)
        parts = []
        with detached():
            for part in [part for several in self.cell.sorted_parts() for part in several]:
                changes = {
                    field: prefix + getattr(part, field)
                    for field in ("id", "source", "target")
                    if getattr(part, field, None) is not None and not (field == "source" and isinstance(part, Dendrite))
                }
                parts.append(dataclasses.replace(part, **changes))
        return parts

    def copy_alone(self, copy: int) -> Network:
        """One copy as an ordinary network, under its names and with its parameters, without the wiring.

        Raises InputError if there is no such copy.
        """
        if isinstance(copy, bool) or not isinstance(copy, int | np.integer) or not 0 <= copy < self.count:
            raise InputError(
                f"TiledNetwork.copy_alone: {shown(copy)} is no copy; give an integer, 0 to {self.count - 1}"
            )
        network = Network(self.device, self.name)
        network.extend(self._parts_of(int(copy)))
        network.set_parameters({name: array[copy] for name, array in self._parameters.items()})
        return network

    # ---- lowering

    def lower(self, drives: Sequence[Drive] = (), resolution: str = "fluxon", tol: float = 1e-4) -> TiledPlan:
        """The Plan, equal to that of :meth:`expand` to the bit. Arguments and errors as of :func:`soen_event.lower`."""
        return _Lowering(self, resolution, tol).plan(drives)

    def warnings(self) -> list[str]:
        """As of a Network, but each warning once, for the copy that it concerns most, with the number of copies."""
        if not self._parameters:
            return [f"{warning} (in each of {self.count} copies)" for warning in self.cell.warnings()]
        found = []
        for (label, _), scores in self._excesses().items():
            concerned = np.flatnonzero(scores > 0.0)
            if not len(concerned):
                continue
            worst = int(np.argmax(scores))
            many = f" (and {len(concerned) - 1} more copies)" if len(concerned) > 1 else ""
            name = self._ids["neuron"].prefix(worst) + label
            own = [w for w in self.copy_alone(worst).warnings() if w.split(":")[0].endswith(f" {name}")]
            found += [f"{warning}{many}" for warning in own if f"{warning}{many}" not in found]
        return found

    def _values(self, name: str) -> Floats:
        """The parameter of all copies, shape (count, ids), or (1, ids) where it is the cell's."""
        return self._parameters.get(name, self.cell.parameters()[name][None, :])

    def _excesses(self) -> dict[tuple[str, str], Floats]:
        """By loop of the cell and kind of warning: by how much each copy is beyond the bound; shape (count,)."""
        loops, bias = self.cell._loops(), self._values("ib")
        names = list(self.cell.ids("ib"))
        offset = self._values("phi_offset")
        largest = {name: self._saturation(part, bias[:, names.index(name)]) for name, part in loops.items()}
        high = {name: np.maximum(offset[:, names.index(name)], 0.0) for name in loops}
        low = {name: np.minimum(offset[:, names.index(name)], 0.0) for name in loops}
        inputs: list[tuple[str, Floats]] = [
            (part.target, self._values("J")[:, j] * np.maximum(largest[part.source], 0.0))
            for j, part in enumerate(self.cell.couplings)
        ]
        for j, part in enumerate(self.cell.synapses.values()):
            level = part.phi_peak * (1.0 - part.tau_rise / part.tau_fall)
            inputs.append((part.target, self._values("weights")[:, j] * level))
        from soen_event.network import _drive_range

        for drive in self.cell.drives:
            inputs += [(drive.target, np.array([extreme])) for extreme in _drive_range(drive)]
        for target, flux in inputs:
            high[target] = high[target] + np.maximum(flux, 0.0)
            low[target] = low[target] + np.minimum(flux, 0.0)
        found = {}
        for name, part in loops.items():
            j = names.index(name)
            found[name, "up"] = high[name] - 0.5 - 1e-12
            found[name, "down"] = -0.5 - 1e-12 - low[name]
            found[name, "low"] = np.where(largest[name] <= 0.0, 1.0 - largest[name], 0.0)
            found[name, "idle"] = self._idle_current(part, bias[:, j], offset[:, j])
        return {key: np.broadcast_to(scores, self.count) for key, scores in found.items()}

    def _saturation(self, part: Any, ib: Floats) -> Floats:
        """Largest current of a loop, I_c, by bias."""
        if part.kind == "rtti":
            from soen_event.physics import rtti

            return np.asarray(rtti.s_max(ib, rtti.line_of(self.device)))
        return ib - _fold_at_half(_arms(self.device)[0])[0]

    def _idle_current(self, part: Any, ib: Floats, flux: Floats) -> Floats:
        """Current to which a constant flux alone drives a loop, I_c; positive for an over-biased one."""
        if part.kind == "rtti":
            from soen_event.physics import rtti

            return np.asarray(rtti.saturation(flux, ib, rtti.line_of(self.device)))
        from soen_event.physics.squid import critical_current

        distinct, back = np.unique(flux, return_inverse=True)
        critical = np.asarray(critical_current(distinct, self.device.beta_1, self.device.beta_2))
        return ib - critical[back.ravel()]

    # ---- checking

    def _checked_wiring(self, wiring: Any, faults: list[str]) -> Wiring:
        if wiring is None:
            wiring = Wiring()
        if isinstance(wiring, Mapping):
            unknown = [name for name in wiring if name not in Wiring._fields]
            faults += [
                f"Wiring.{name}: unknown field{nearest(str(name), Wiring._fields)}; correct it" for name in unknown
            ]
            wiring = Wiring(**{name: value for name, value in wiring.items() if name not in unknown})
        elif not isinstance(wiring, Wiring):
            faults.append(f"TiledNetwork.wiring: {shown(wiring)} is no Wiring; give one or a mapping of its fields")
            return Wiring()
        cell = self.cell
        sending = [j for j, neuron in enumerate(cell.neurons.values()) if neuron.transmitter is not None]
        neuron = wiring.neuron
        if neuron is None:
            neuron = sending[0] if sending else 0
            if np.size(wiring.source) and len(sending) != 1:
                faults.append(
                    f"Wiring.neuron: missing, and {len(sending)} neurons of the cell have a transmitter; say which one sends"
                )
        columns: dict[str, Any] = {
            "source": _places(wiring.source, "source", self.count, "copies", faults),
            "target": _places(wiring.target, "target", self.count, "copies", faults),
        }
        rows = np.size(wiring.source)
        for name, value, kind in (("synapse", wiring.synapse, "synapse"), ("neuron", neuron, "neuron")):
            known = cell.ids(kind)
            if isinstance(value, str):
                try:
                    value = _position(known, value, f"Wiring.{name}", kind)
                except InputError as error:
                    faults += error.faults
                    value = 0
            columns[name] = _places(value, name, max(len(known), 1), f"{kind}s of the cell", faults)
        columns["delay"] = _reals(wiring.delay, "delay", 0.0, LATEST, "ns", faults)
        columns["loss_db"] = _reals(wiring.loss_db, "loss_db", 0.0, math.nextafter(1e3, math.inf), "dB", faults)
        for name, column in columns.items():
            shape = np.shape(column)
            if shape != (rows,) and (shape != () or name in ("source", "target")):
                faults.append(
                    f"Wiring.{name}: an array of shape {shape} with {rows} sources; give shape ({rows},)"
                    + ("" if name in ("source", "target") else " or one number")
                )
        if rows and not faults:
            dark = np.isin(columns["neuron"], sending, invert=True)
            if dark.any():
                who = cell.ids("neuron")[int(np.atleast_1d(columns["neuron"])[np.atleast_1d(dark)][0])]
                faults.append(
                    f"Wiring.neuron: the neuron {who!r} of the cell has no transmitter; give it one or let another send"
                )
        return Wiring(**{name: _frozen(column) for name, column in columns.items()})

    def _checked_parameters(self, given: Mapping[str, Any], faults: list[str]) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        for name, value in given.items():
            place = f"TiledNetwork.parameters[{name!r}]"
            if name not in PARAMETERS:
                faults.append(f"{place}: unknown{nearest(str(name), PARAMETERS)}; give some of {', '.join(PARAMETERS)}")
                continue
            ids = self.cell.ids(name)
            try:
                array = np.broadcast_to(np.asarray(value, dtype=float), (self.count, len(ids))) + 0.0
            except (ValueError, TypeError):
                shape = np.shape(value) if not isinstance(value, str) else "text"
                faults.append(f"{place}: {shape} does not fit; give numbers of shape {(self.count, len(ids))}")
                continue
            found[name] = cast(Floats, _frozen(array))
            parts = [self.cell[row] for row in ids]
            bad = ~np.isfinite(array)
            for j, part in enumerate(parts):
                low, high, above = _bounds(part, name)
                with np.errstate(invalid="ignore"):
                    bad[:, j] |= (array[:, j] <= low if above else array[:, j] < low) | (array[:, j] > high)
            for copy, j in np.argwhere(bad)[:5].tolist():
                faults += self._refusals(parts[j], name, array[copy, j], copy, f"{place}[{copy}, {j}]")
            if bad.sum() > 5:
                faults.append(f"{place}: and {bad.sum() - 5} more")
        if not faults:
            faults += self._threshold_faults(found)
        return found

    def _refusals(self, part: Any, name: str, value: float, copy: int, place: str) -> list[str]:
        """Why a part refuses a value of a parameter."""
        label = f" (copy {copy}, {Network.key(part)})"
        try:
            holder = part.soma if isinstance(part, Neuron) else part
            field = fields_of(type(holder))["weight" if name == "weights" else name]
            field.rule.check(float(value))
            _with_values(part, {name: float(value)})
        except Refused as refused:
            return [f"{place}: {refused}{label}"]
        except InputError as error:
            return [f"{place}: {fault}{label}" for fault in error.faults]
        return []

    def _threshold_faults(self, parameters: dict[str, Floats]) -> list[str]:
        """Somas that cannot reach their threshold, and refractory dendrites that hold no current, with their parameters."""
        if not {"ib", "threshold"} & parameters.keys():
            return []
        self._parameters = parameters
        faults = []
        names = list(self.cell.ids("ib"))
        for j, neuron in enumerate(self.cell.neurons.values()):
            bias = np.broadcast_to(self._values("ib")[:, names.index(neuron.id)], self.count)
            threshold = np.broadcast_to(self._values("threshold")[:, j], self.count)
            bad = threshold >= self._saturation(neuron.soma, bias)
            if neuron.refractory is not None and neuron.refractory.ib is None and neuron.refractory.J == "auto":
                bad |= self._saturation(neuron.refractory, bias) <= 0.0
            copies = np.flatnonzero(bad)
            for copy in copies[:3].tolist():
                soma = dataclasses.replace(neuron.soma, ib=float(bias[copy]), threshold=float(threshold[copy]))
                own = _threshold_fault(self.device, soma)
                if neuron.refractory is not None:
                    own += _refractory_fault(self.device, soma, neuron.refractory)
                faults += [f"{fault} (copy {copy}, neuron {neuron.id})" for fault in own]
            if len(copies) > 3:
                faults.append(f"Soma.threshold: and {len(copies) - 3} more copies (neuron {neuron.id})")
        return faults


def _frozen(column: Any) -> Any:
    """A number as it is; an array of one's own, read-only."""
    if np.ndim(column) == 0:
        return column
    column = np.array(column)
    column.flags.writeable = False
    return column


def _digest(columns: Iterable[Any]) -> str:
    total = hashlib.blake2b(digest_size=16)
    for column in columns:
        array = np.ascontiguousarray(column, dtype=np.float64 if np.asarray(column).dtype.kind == "f" else np.int64)
        total.update(repr((array.shape, array.dtype.str)).encode() + array.tobytes())
    return total.hexdigest()


def _position(known: Sequence[str], value: Any, place: str, kind: str) -> int:
    """The position of a part of the cell, given as that or as an id."""
    if isinstance(value, str) and value in known:
        return known.index(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= value < len(known):
        return int(value)
    hint = nearest(value, known) if isinstance(value, str) else ""
    raise InputError(
        f"{place}: the cell has no {kind} {value!r}{hint}; give an id of the cell or a position below {len(known)}"
    )


def _places(value: Any, name: str, stop: int, what: str, faults: list[str]) -> Any:
    """Integers in [0, stop) of shape () or (w,), as int or int32; faults are added."""
    array = np.asarray(value)
    if not array.size and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        faults.append(f"Wiring.{name}: an array of {array.dtype}; give integers, positions of {what}")
        return np.zeros(array.shape, dtype=np.int32)[()]
    bad = (array < 0) | (array >= stop)
    if bad.any():
        first = np.argwhere(np.atleast_1d(bad))[0].tolist()
        at = f"[{', '.join(map(str, first))}]" if array.ndim else ""
        more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        faults.append(
            f"Wiring.{name}{at}: {array[bad].ravel()[0]} is out of range, there are {stop} {what}; "
            f"give 0 to {stop - 1}{more}"
        )
    return int(array) if array.ndim == 0 else array.astype(np.int32)


def _reals(value: Any, name: str, low: float, below: float, unit: str, faults: list[str]) -> Any:
    """Finite numbers in [low, below) of shape () or (w,), as float or float64; faults are added."""
    try:
        array = np.asarray(value, dtype=float) + 0.0  # -0.0 becomes 0.0
    except (ValueError, TypeError):
        faults.append(f"Wiring.{name}: {shown(value)} holds no numbers; give {unit}")
        return 0.0
    bad = ~((array >= low) & (array < below))
    if bad.any():
        first = np.argwhere(np.atleast_1d(bad))[0].tolist()
        at = f"[{', '.join(map(str, first))}]" if array.ndim else ""
        more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        faults.append(
            f"Wiring.{name}{at}: {array[bad].ravel()[0]} is out of range; give {low:g} to below {below:.4g} {unit}{more}"
        )
    return float(array) if array.ndim == 0 else array


def _bounds(part: Any, name: str) -> tuple[float, float, bool]:
    """(lowest, highest, whether the lowest itself is refused) of a parameter."""
    if name == "ib":
        return (*(RTTI_BIAS if getattr(part, "kind", "ri") == "rtti" else RI_BIAS), False)
    holder = part.soma if isinstance(part, Neuron) else part
    rule: Any = fields_of(type(holder))["weight" if name == "weights" else name].rule
    low = next((bound for bound in (rule.at_least, rule.above) if bound is not None), -math.inf)
    high = rule.at_most if rule.at_most is not None else math.inf
    if rule.below is not None:
        high = min(high, math.nextafter(rule.below, -math.inf))
    return low, high, rule.above is not None


# ---------------------------------------------------------------------------------------------- the Plan


@dataclasses.dataclass(frozen=True, eq=False)
class TiledPlan(Plan):
    """The Plan of a tiled network. Its ids and indices are made when they are asked for.

    ``own``: rows of the detectors of one copy that are synapses, not the somas' own.
    """

    own: Ints = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @cached_property
    def loop_index(self) -> Mapping[str, int]:
        """Row of every loop by id; a neuron's id names its soma."""
        return cast(TiledIds, self.loop_ids).with_somas(cast(TiledIds, self.neuron_ids))

    @cached_property
    def detector_index(self) -> Mapping[str, int]:
        """Row of every detector by id."""
        return cast(TiledIds, self.detector_ids).places

    @cached_property
    def neuron_index(self) -> Mapping[str, int]:
        """Row of every neuron by id."""
        return cast(TiledIds, self.neuron_ids).places

    @property
    def own_synapses(self) -> tuple[Sequence[str], Ints]:
        """Ids of the network's synapses, ascending, and their rows among the detectors."""
        ids = cast(TiledIds, self.detector_ids)
        names = [ids.names[j] for j in self.own.tolist()]
        return TiledIds(names, ids.copies), _tiled(self.own[None, :], ids.copies, len(ids.names))

    def _names(self) -> bytes:
        pieces: list[str] = []
        for ids in (self.loop_ids, self.detector_ids, self.neuron_ids):
            pieces += ["", cast(TiledIds, ids).joined()] if len(ids) else [""]
        return "\0".join(pieces[1:]).encode()


def _tiled(column: NDArray[Any], count: int, step: int = 0) -> NDArray[Any]:
    """A column of the cell, shape (1, ids) or (count, ids), for all copies: shape (count ids,).

    ``step``: what is added from one copy to the next, to values that are not negative.
    """
    whole = np.broadcast_to(column, (count, column.shape[1]))
    if step:
        offset = step * np.arange(count, dtype=np.int64)[:, None]
        negative = column < 0
        whole = np.where(negative, whole, whole + offset) if negative.any() else whole + offset
    return np.ascontiguousarray(whole).reshape(-1)


class _Drawn:
    """Collects the exponentials of a stimulus's drives, in place of the Plan's modes."""

    def add(self, loop_row: int, tau: float, arm: int = 0, hotspot: bool = False) -> tuple[int, Any]:
        return loop_row, (float(tau), arm, hotspot)


class _Lowering:
    """A tiled network on its way to a Plan. Columns of the cell have the shape (1, ids), or (count, ids) where they differ."""

    def __init__(self, tiled: TiledNetwork, resolution: str, tol: float):
        self.tiled, self.tol = tiled, tol
        self.count = tiled.count
        self.base = plans.lower(tiled.cell, (), resolution, tol)
        a = self.base.arrays
        if (a.kick_kind == QUANTA).any():
            raise InputError(NO_QUANTA)
        if a.stiff.any():
            raise InputError(
                "TiledNetwork.cell: collection loops (collection_inductance) are not part of tiled networks; use an ordinary Network"
            )
        self.n, self.m, self.k = len(a.row), len(a.det_loop), len(a.soma)
        self.loop_ids = TiledIds(self.base.loop_ids, self.count)
        self.detector_ids = TiledIds(self.base.detector_ids, self.count)
        self.neuron_ids = TiledIds(self.base.neuron_ids, self.count)
        own = [j for j, name in enumerate(self.base.detector_ids) if name in set(tiled.cell.synapses)]
        self.own = np.array(own, dtype=np.int64)

    def plan(self, drives: Sequence[Drive]) -> TiledPlan:
        """All columns."""
        tiled, base, count, n = self.tiled, self.base, self.count, self.n
        a = base.arrays
        cell: dict[str, NDArray[Any]] = {
            name: column[None, :] for name, column in zip(a._fields, a, strict=True) if not name.endswith("_start")
        }
        sources = self._override(cell)
        modes, found = self._modes(cell["tau"])
        columns: dict[str, Any] = {
            name: _tiled(cell[name], count) for name in a._fields if name.startswith(_PLAIN) or name in _PLAIN_LOOP
        }
        c, m = len(a.out_loop), self.m
        columns.update(
            neuron=_tiled(cell["neuron"], count, self.k),
            soma=_tiled(cell["soma"], count, n),
            refractory_detector=_tiled(cell["refractory_detector"], count, m),
            det_loop=_tiled(cell["det_loop"], count, n),
            det_fall=found[:, :m].reshape(-1),
            det_rise=found[:, m : 2 * m].reshape(-1),
            det_key=_keys(self.detector_ids, np.arange(m * count)),
            key=_keys(self.loop_ids, np.arange(n * count)) if a.key.any() else np.zeros(n * count, dtype=np.int64),
            out_start=_starts_of(a.out_start, count),
            out_loop=_tiled(cell["out_loop"], count, n),
            out_mode=found[:, 2 * m : 2 * m + c].reshape(-1),
        )
        columns.update(self._kicks(cell, found[:, 2 * m + c :]))
        columns.update(modes)
        self._drive(columns, drives)
        columns.update(self._couplings(columns, sources))
        guides, numbers = self._guides()
        columns.update(guides)
        arrays = Arrays(**{name: columns[name] for name in Arrays._fields})
        return TiledPlan(
            device=base.device,
            arrays=arrays,
            sources=sources,
            tau_0=base.tau_0,
            loop_ids=self.loop_ids,
            detector_ids=self.detector_ids,
            neuron_ids=self.neuron_ids,
            coupling_ids=TiledIds(base.coupling_ids, count),
            guide_ids=_GuideIds(arrays, self.neuron_ids, self.detector_ids, numbers),
            warnings=tuple(tiled.warnings()),
            own=self.own,
        )

    # ---- what differs between copies

    def _override(self, cell: dict[str, NDArray[Any]]) -> source_function.Sources:
        """Put the parameters of the copies into the cell's columns, with all that follows from them; returns the sources."""
        tiled, base, network = self.tiled, self.base, self.tiled.cell
        given = tiled.parameters
        count = self.count
        place = base.loop_index
        differing: set[str] = set()

        def spread(name: str) -> NDArray[Any]:
            if name not in differing:
                differing.add(name)
                cell[name] = np.tile(cell[name], (count, 1))
            return cell[name]

        if "weights" in given:
            spread("det_weight")[:, self.own] = given["weights"]
        if "J" in given:
            spread("out_J")[:, self._coupling_rows()[: len(network.couplings)]] = given["J"]
        if "threshold" in given:
            spread("threshold")[:, base.arrays.soma] = given["threshold"]
        rows = [place[name] for name in network.ids("ib")]
        if "tau" in given:
            old = network.parameters()["tau"]
            for j, (row, name) in enumerate(zip(rows, network.ids("tau"), strict=True)):
                part = network[name].soma if name in network.neurons else network[name]
                inductance = part.inductance
                beta = 2.0 * math.pi * part.beta_over_2pi
                if inductance is not None:
                    beta = network.device.beta_from_inductance(inductance)
                decay = given["tau"][:, j] * float(base.arrays.beta[row]) / beta
                spread("tau")[:, row] = np.where(given["tau"][:, j] == old[j], base.arrays.tau[row], decay)
        if "phi_offset" in given:
            spread("offset")[:, rows] = given["phi_offset"]
        if "ib" in given:
            spread("ib")[:, rows] = given["ib"]
            for name, neuron in network.neurons.items():
                if neuron.refractory is not None and neuron.refractory.ib is None:
                    cell["ib"][:, place[f"{name}.refractory"]] = cell["ib"][:, place[name]]
        if {"ib", "threshold"} & given.keys():
            self._auto_couplings(cell, spread)
        sources = self._sources(cell, spread) if "ib" in given else base.sources
        if {"ib", "phi_offset"} & given.keys():
            self._rest(cell, sources, spread)
        return sources

    def _coupling_rows(self) -> Ints:
        """Where the couplings of the cell stand in the Plan: those declared, then that of every refractory dendrite."""
        network, place = self.tiled.cell, self.base.loop_index
        ends = [(place[c.source], place[c.target], c.id or "") for c in network.couplings]
        for name in self.base.neuron_ids:
            if network.neurons[name].refractory is not None:
                ends.append((place[f"{name}.refractory"], place[name], ""))
        order = sorted(range(len(ends)), key=ends.__getitem__)
        return np.argsort(np.array(order, dtype=np.int64)).astype(np.int64)

    def _auto_couplings(self, cell: dict[str, NDArray[Any]], spread: Any) -> None:
        """Couplings "auto" of refractory dendrites, which follow from bias and threshold of the soma."""
        network, place = self.tiled.cell, self.base.loop_index
        row = len(network.couplings)
        rows = self._coupling_rows()
        for name in self.base.neuron_ids:
            neuron = network.neurons[name]
            if neuron.refractory is None:
                continue
            if neuron.refractory.J == "auto":
                ib = np.broadcast_to(cell["ib"][:, place[name]], self.count)
                threshold = np.broadcast_to(cell["threshold"][:, place[name]], self.count)
                pairs, back = np.unique(np.stack([ib, threshold]), axis=1, return_inverse=True)
                values = [
                    auto_refractory_coupling(
                        network.device,
                        cast(Any, SimpleNamespace(kind="ri", ib=float(i), threshold=float(s))),
                        neuron.refractory,
                    )
                    for i, s in pairs.T.tolist()
                ]
                spread("out_J")[:, rows[row]] = np.array(values)[back.ravel()]
            row += 1

    def _sources(self, cell: dict[str, NDArray[Any]], spread: Any) -> source_function.Sources:
        """Source functions: an RTTI dendrite has one for each bias, numbered in the order in which loops need them."""
        network, base = self.tiled.cell, self.base
        if not any(part.kind == "rtti" for part in network.dendrites.values()):
            return base.sources
        codes: dict[tuple[str, Any], int] = {}
        rows = np.empty((self.count, self.n), dtype=np.int64)
        for j, name in enumerate(base.loop_ids):
            part = network.dendrites.get(name)
            if part is not None and part.kind == "rtti":
                values, back = np.unique(cell["ib"][:, j], return_inverse=True)
                own = [codes.setdefault(("rtti", ib), len(codes)) for ib in values.tolist()]
                rows[:, j] = np.array(own)[back.ravel()]
            else:
                rows[:, j] = codes.setdefault(plans.source_kind(network.device, self._part(name), 0.0), len(codes))
            if len(codes) > _MOST_TABLES:
                raise InputError(
                    f"TiledNetwork.parameters['ib']: more than {_MOST_TABLES} different biases of RTTI dendrites, and each "
                    "needs a source function of its own; round them"
                )
        used, first = np.unique(rows.ravel(), return_index=True)
        order = used[np.argsort(first)]
        rank = np.empty(len(codes), dtype=np.int64)
        rank[order] = np.arange(len(order))
        keys = list(codes)
        tables = [plans.tables(network.device, keys[code]) for code in order.tolist()]
        spread("row")[...] = len(tables[0]) * rank[rows]
        return source_function.stack([table for pair in tables for table in pair])

    def _part(self, name: str) -> Any:
        """The dendrite, soma or refractory dendrite behind a loop of the cell."""
        if name in self.tiled.cell.dendrites:
            return self.tiled.cell.dendrites[name]
        owner, _, inner = name.rpartition(".")
        return getattr(self.tiled.cell.neurons[owner], inner)

    def _rest(self, cell: dict[str, NDArray[Any]], sources: source_function.Sources, spread: Any) -> None:
        """Resting ranges and phases, once for every combination that occurs in a loop of the cell."""
        for j in range(self.n):
            wanted = [cell[name][:, j] for name in ("row", "ib", "offset")]
            kinds, back = np.unique(np.stack(np.broadcast_arrays(*wanted)), axis=1, return_inverse=True)
            beta = float(self.base.arrays.beta[j])
            made = []
            for row, ib, phi in kinds.T.tolist():
                low, high = plans._resting_range(sources, int(row), ib, beta)
                origin = loop.rest_phase(sources.rest, sources.shape, sources.scale, sources.levels, int(row), phi, ib)
                made.append((low, high, origin))
            low_high = np.array(made)[np.broadcast_to(back.ravel(), self.count) if len(kinds.T) > 1 else 0]
            for column, name in enumerate(("low", "high", "rest_origin")):
                spread(name)[:, j] = low_high[..., column]

    # ---- exponentials

    def _modes(self, tau: Floats) -> tuple[dict[str, NDArray[Any]], Ints]:
        """The distinct exponentials of every loop, and the mode of every detector (fall, rise), coupling and kick.

        Returns the columns (``hot`` among them: 1 at the rise of a hotspot) and places of shape (count, 2 m + ...).
        """
        a = self.base.arrays
        count, n = self.count, self.n
        pulses = np.flatnonzero(a.kick_kind == PULSE)
        source = np.repeat(np.arange(n), np.diff(a.out_start))
        falls, rises = a.kick_fall[pulses], a.kick_rise[pulses]
        owner = np.concatenate([a.det_loop, a.det_loop, a.out_loop, a.kick_loop[pulses], a.kick_loop[pulses]])
        arms = np.concatenate([np.zeros(2 * self.m, dtype=np.int64), a.mode_arm[a.out_mode], *[a.kick_arm[pulses]] * 2])
        hot = np.zeros(len(owner), dtype=np.int64)
        hot[self.m : 2 * self.m] = 1
        still = [
            np.broadcast_to(t, (len(tau), len(t)))
            for t in (a.det_tau_fall, a.det_tau_rise, a.mode_tau[falls], a.mode_tau[rises])
        ]
        taus = np.concatenate([still[0], still[1], tau[:, source], still[2], still[3]], axis=1)
        flag = 2 * arms + hot
        order = np.lexsort(np.stack(np.broadcast_arrays(flag, taus, owner)), axis=-1)
        in_order = [owner[order], np.take_along_axis(taus, order, axis=1), flag[order]]
        new = np.ones(order.shape, dtype=bool)
        new[:, 1:] = False
        for column in in_order:
            new[:, 1:] |= column[:, 1:] != column[:, :-1]
        rank = np.cumsum(new, axis=1) - 1
        places = np.empty(order.shape, dtype=np.int64)
        np.put_along_axis(places, order, rank, axis=1)
        total = new.sum(axis=1)
        begins = np.concatenate([[0], np.cumsum(np.broadcast_to(total, count))])[:-1]
        at = np.broadcast_to(np.arange(len(tau))[:, None] * n, order.shape)
        per_loop = np.bincount((at + in_order[0])[new], minlength=len(tau) * n).reshape(len(tau), n)
        start = np.concatenate([[0], np.cumsum(_tiled(per_loop, count))]).astype(np.int64)
        repeats = count if len(tau) == 1 else 1
        columns = {
            "mode_start": start,
            "mode_tau": np.tile(in_order[1][new], repeats),
            "mode_arm": np.tile(in_order[2][new] // 2, repeats),
            "hot": np.tile(in_order[2][new] % 2, repeats),
        }
        return columns, places + begins[:, None]

    def _kicks(self, cell: dict[str, NDArray[Any]], pulse_modes: Ints) -> dict[str, NDArray[Any]]:
        """The cell's drives in all copies, not yet sorted."""
        a = self.base.arrays
        columns = {name: _tiled(cell[name], self.count) for name in a._fields if name.startswith("kick_")}
        columns["kick_loop"] = _tiled(cell["kick_loop"], self.count, self.n)
        pulses = np.flatnonzero(a.kick_kind == PULSE)
        for name, own in zip(("kick_fall", "kick_rise"), np.split(pulse_modes, 2, axis=1), strict=True):
            whole = np.full((self.count, len(a.kick_fs)), -1, dtype=np.int64)
            whole[:, pulses] = own
            columns[name] = whole.reshape(-1)
        return columns

    def _drive(self, columns: dict[str, Any], drives: Sequence[Drive]) -> None:
        """Add the drives of a stimulus, with the exponentials that their loops do not have yet; put all kicks in order."""
        if any(drive.quanta is not None for drive in drives):
            raise InputError(NO_QUANTA)
        place = self.loop_ids.with_somas(self.neuron_ids)
        kicks = plans._kicks(list(drives), cast(Any, place), cast(Any, _Drawn()))
        hot = columns.pop("hot")
        handles = {handle for kick in kicks for handle in kick[7:9] if handle is not None}
        where: dict[Any, int] = {}
        new: list[tuple[int, int, float, int]] = []  # place among the old modes, loop, tau, arm
        start, tau, arm = columns["mode_start"], columns["mode_tau"], columns["mode_arm"]
        for row, (t, one, rise) in sorted(handles):
            first, last = int(start[row]), int(start[row + 1])
            known = list(
                zip(
                    tau[first:last].tolist(),
                    arm[first:last].tolist(),
                    hot[first:last].astype(bool).tolist(),
                    strict=True,
                )
            )
            if (t, one, rise) in known:
                where[row, (t, one, rise)] = first + known.index((t, one, rise))
            else:
                before = first + sum(key < (t, one, rise) for key in known)
                where[row, (t, one, rise)] = -1 - len(new)
                new.append((before, row, t, one))
        if new:
            at = np.array([entry[0] for entry in new], dtype=np.int64)  # ascending, as (loop, tau, arm) are
            columns["mode_tau"] = np.insert(tau, at, [entry[2] for entry in new])
            columns["mode_arm"] = np.insert(arm, at, [entry[3] for entry in new])
            more = np.bincount([entry[1] for entry in new], minlength=self.n * self.count)
            columns["mode_start"] = start + np.concatenate([[0], np.cumsum(more)])
            for name in ("det_fall", "det_rise", "out_mode", "kick_fall", "kick_rise"):
                old = columns[name]
                columns[name] = np.where(old < 0, old, old + np.searchsorted(at, old, side="right"))
            for handle, j in where.items():
                where[handle] = int(at[-1 - j] - 1 - j) if j < 0 else j + int(np.searchsorted(at, j, side="right"))
        for name, position in (("fs", 0), ("loop", 1), ("kind", 2), ("x", 3), ("y", 4), ("arm", 9)):
            added = np.array([kick[position] for kick in kicks], dtype=columns[f"kick_{name}"].dtype)
            columns[f"kick_{name}"] = np.concatenate([columns[f"kick_{name}"], added])
        for name, position in (("fall", 7), ("rise", 8)):
            added = np.array([-1 if k[position] is None else where[k[position]] for k in kicks], dtype=np.int64)
            columns[f"kick_{name}"] = np.concatenate([columns[f"kick_{name}"], added])
        taus = [
            np.where(columns[name] >= 0, np.append(columns["mode_tau"], 0.0)[columns[name]], 0.0)
            for name in ("kick_fall", "kick_rise")
        ]
        order = np.lexsort(
            (
                columns["kick_arm"],
                taus[1],
                taus[0],
                columns["kick_y"],
                columns["kick_x"],
                columns["kick_kind"],
                columns["kick_loop"],
                columns["kick_fs"],
            )
        )
        for name in [name for name in columns if name.startswith("kick_")]:
            columns[name] = columns[name][order]

    # ---- couplings and light

    def _couplings(self, columns: dict[str, Any], sources: source_function.Sources) -> dict[str, Any]:
        """Connected sets, shares of the tolerance, and couplings by target; the Plan's own functions on all copies."""
        total = self.n * self.count
        out_from = np.repeat(np.arange(total), np.diff(columns["out_start"]))
        out_loop, flow = columns["out_loop"], columns["flow"]
        group, ring = self.base.arrays.group, _tiled(self.base.arrays.ring[None, :], self.count, self.n)
        own, slack = plans.shares(self.tol, flow, out_from, out_loop, columns["out_J"], ring, columns["row"], sources)
        nothing, nowhere = np.zeros(0, dtype=np.int64), np.zeros(total + 1, dtype=np.int64)
        inward = np.flatnonzero(flow[out_from] == 1)
        inward = inward[np.argsort(out_loop[inward], kind="stable")]
        return {
            "in_start": np.concatenate([[0], np.cumsum(np.bincount(out_loop[inward], minlength=total))]).astype(
                np.int64
            ),
            "in_loop": out_from[inward],
            "in_coupling": inward,
            "group": _tiled(group[None, :], self.count, int(group.max(initial=-1)) + 1),
            "ring": ring,
            "own": own,
            "slack": slack,
            "load_start": nowhere,
            "load_loop": nothing,
            "load_B": np.zeros(0),
            "enter_start": nowhere,
            "enter_own": nowhere[:-1],
            "enter_mode": nothing,
            "enter_coupling": nothing,
            "enter_value": np.zeros(0),
            "reach_start": nowhere,
            "reach_loop": nothing,
        }

    def _guides(self) -> tuple[dict[str, Any], dict[int, int]]:
        """Columns of the waveguides, and the numbers of those that are parallel to an earlier one."""
        tiled, count, m, k = self.tiled, self.count, self.m, self.k
        network, wiring = tiled.cell, tiled.wiring
        inner = network.waveguides
        neuron_place = {name: j for j, name in enumerate(self.base.neuron_ids)}
        rows = len(wiring.source)
        source = wiring.source.astype(np.int64) * k + wiring.neuron
        detector = wiring.target.astype(np.int64) * m + (self.own[wiring.synapse] if rows else 0)
        delay, loss = np.broadcast_to(wiring.delay, rows), np.broadcast_to(wiring.loss_db, rows)
        if inner:  # the cell's own come first where ends are the same
            own_source = np.array([[neuron_place[w.source] for w in inner]], dtype=np.int64)
            own_detector = np.array([[self.base.detector_index[w.target] for w in inner]], dtype=np.int64)
            source = np.concatenate([_tiled(own_source, count, k), source])
            detector = np.concatenate([_tiled(own_detector, count, m), detector])
            delay = np.concatenate([np.tile([w.delay for w in inner], count), delay])
            loss = np.concatenate([np.tile([w.loss_db for w in inner], count), loss])
        ends = source * (m * count) + detector
        order = np.argsort(ends, kind="stable")
        ends = ends[order]
        number = np.ones(len(order), dtype=np.int64)
        again = np.flatnonzero(ends[1:] == ends[:-1]) + 1
        for row in again.tolist():
            number[row] = number[row - 1] + 1
        source, detector = np.divmod(ends, max(m * count, 1))
        delay_fs = np.minimum(ns_to_fs(np.ascontiguousarray(delay)), LONGEST_WAY)[order]
        bits = int(delay_fs.max(initial=0)).bit_length()
        if (
            bits + (k * count).bit_length() < 63
        ):  # one sort by both; sorting by one after the other takes four times as long
            by_delay = np.argsort((source << bits) | delay_fs, kind="stable")
        else:
            by_delay = np.lexsort((delay_fs, source))
        order, number, detector, delay_fs = order[by_delay], number[by_delay], detector[by_delay], delay_fs[by_delay]
        senders = [network.neurons[name].transmitter for name in self.base.neuron_ids]
        photons = np.array([0.0 if t is None else t.photons for t in senders])
        drawn = np.array([int(t is not None and t.emission == "photons") for t in senders], dtype=np.int64)
        efficiency = self.base.arrays.det_efficiency
        passed, mean = _passing(loss if len(loss) and np.any(loss != loss[0]) else loss[:1])
        if len(passed) > 1:
            passed, mean = passed[order], mean[order]
        columns = {
            "guide_start": np.concatenate([[0], np.cumsum(np.bincount(source, minlength=k * count))]).astype(np.int64),
            "guide_detector": detector,
            "guide_delay_fs": delay_fs,
            "guide_mean": photons[source % max(k, 1)] * mean * efficiency[detector % max(m, 1)],
            "guide_pass": passed if len(passed) == len(order) else np.full(len(order), passed[0]),
            "guide_drawn": drawn[source % max(k, 1)],
            "guide_key": _keys(self.neuron_ids, source, self.detector_ids, detector, number),
        }
        repeated = np.flatnonzero(number > 1)
        return columns, dict(zip(repeated.tolist(), number[repeated].tolist(), strict=True))


_PLAIN = (
    "det_weight",
    "det_level",
    "det_peak",
    "det_tau_",
    "det_hotspot_fs",
    "det_efficiency",
    "det_recovers",
    "det_restarts",
    "det_dead_fs",
    "emission",
    "latency_fs",
    "tau_rad",
    "out_J",
)
_PLAIN_LOOP = (
    "row",
    "ib",
    "beta",
    "tau",
    "quantum",
    "offset",
    "low",
    "high",
    "rest_origin",
    "threshold",
    "stiff",
    "purge",
    "t_ref_fs",
    "flow",
    "warm",
)


def _starts_of(start: Ints, count: int) -> Ints:
    """Offsets of one copy, length n + 1, for all copies."""
    whole = _tiled(start[None, :-1], count, int(start[-1])) if start[-1] else np.zeros((len(start) - 1) * count, "i8")
    return np.append(whole, start[-1] * count).astype(np.int64)


def transmissions(loss: Any, out: Any) -> None:
    """:func:`~soen_event.physics.transmitter.transmission` of many losses (dB)."""
    for j in range(loss.shape[0]):
        out[j] = transmission(loss[j])


def _passing(loss: Floats) -> tuple[Floats, Floats]:
    """(probability that light passes, share of it that passes) by loss in dB, each as the Plan computes it."""
    distinct, back = np.unique(loss, return_inverse=True)
    share = np.empty(len(distinct))
    if len(distinct) > _FEW and _compiles():
        from soen_event.engine.jit import compile_function

        compile_function(cast("FunctionType", transmissions))(distinct, share)
    else:
        share[:] = [transmission(x) for x in distinct.tolist()]
    probability = np.array([10.0 ** (-x / 10.0) for x in distinct.tolist()])
    return probability[back.ravel()], share[back.ravel()]
