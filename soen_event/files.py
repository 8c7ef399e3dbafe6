"""Network files: YAML or JSON, read strictly, all faults at once, written in one step (design.md 5).

A file is text -> plain data -> pydantic models (no unknown key, no missing one, every value judged by the rule that its
part declares) -> a checked :class:`~soen_event.network.Network`. A fault reads
``net.yaml:7: dendrites[2].tau: -3 is below ...; give ...``.

YAML is read by the core schema of YAML 1.2: ``1e3`` is a number, ``on`` and ``yes`` are text, ``010`` is ten, ``1:30``
is text. A key that stands twice in a mapping is a fault, and so is any tag that names a type of another language.

Groups: an entry of ``populations:`` names a builder of :data:`soen_event.builders.BUILDERS` (default "population") and
the group; an entry of ``connect:`` names a builder and its ``source`` and ``target``, each a group, a part, a pattern
such as ``hidden[*]``, or a list of them. They expand to ordinary parts when the file is read.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias

import pydantic
import yaml
from pydantic_core import PydanticCustomError

from soen_event import builders, parts
from soen_event.device import Device
from soen_event.errors import InputError, checked_path, nearest
from soen_event.network import Network
from soen_event.parts import Choice, Field, Name, Nested, Number, Part, Rows

__all__ = ["from_dict", "load", "save", "schema", "to_json", "to_yaml", "write_schema"]

VERSION = 1
SECTIONS: dict[str, type[Part]] = {
    "synapses": parts.Synapse,
    "dendrites": parts.Dendrite,
    "neurons": parts.Neuron,
    "couplings": parts.Coupling,
    "waveguides": parts.Waveguide,
    "drives": parts.Drive,
}
GROUPS = ("populations", "connect")
KINDS = {".yaml": "YAML", ".yml": "YAML", ".json": "JSON"}

Path_: TypeAlias = tuple[str | int, ...]
_REPEATED = 1_000_000  # values that aliases may repeat, so that a small file cannot unfold into a huge one
_DEEPEST = 50


# ---------------------------------------------------------------------------------------------- the two ways through


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network file; the suffix (.yaml, .yml, .json) tells the format.

    A waveguide to a synapse that is not there is let through, as in an excerpt of a larger network; `Network.check`
    tells of it before anything runs.

    Raises:
        InputError: the file is missing, a folder, empty, not text, of another version, or has faults; all are listed,
            each with file, line, place, value and what would be right.
    """
    path = Path(path)
    text = _text(path)
    document = _parsed(text, KINDS[path.suffix.lower()], str(path))
    return _network(_beside(document.data, path.parent), document.locate, str(path))


def _beside(document: Any, folder: Path) -> Any:
    """The data of a network file with its device's table as seen from here; its own path is relative to the file.

    A checksum alone lets a table be missing, as in a recording; in a file it does not.
    """
    device = document.get("device") if isinstance(document, Mapping) else None
    table = device.get("rate_table") if isinstance(device, Mapping) else None
    if not isinstance(device, Mapping) or not isinstance(table, str) or not table:
        return document
    found = {**device, "rate_table": str(folder / table)}
    if not (folder / table).exists():
        found.pop("rate_table_checksum", None)
    return {**document, "device": found}


def from_dict(document: Mapping[str, Any]) -> Network:
    """Build a network from the plain data of a network file.

    Raises:
        InputError: with every fault and its place.
    """
    return _network(document, lambda path: None, "")


def save(network: Network, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a network file in one step: a reader sees the old file or the whole new one, never a part of it.

    Args:
        network: what to write; groups have been expanded.
        path: ends in .yaml, .yml or .json.
        overwrite: whether an existing file may be replaced.

    Raises:
        InputError: another suffix, a missing folder, an existing file, or a place that cannot be written to.
    """
    path = Path(path)
    kind = _kind(path)
    document = network.to_dict()
    table = document.get("device", {}).get("rate_table")
    if table is not None:  # as seen from the file
        try:
            document["device"]["rate_table"] = Path(os.path.relpath(table, path.parent)).as_posix()
        except ValueError:  # another drive
            document["device"]["rate_table"] = os.path.abspath(table)
    write(path, _yaml(document) if kind == "YAML" else _json(document), overwrite)


# ---------------------------------------------------------------------------------------------- text


class _Document(NamedTuple):
    data: Any
    locate: Callable[[Path_], int | None]


def _kind(path: Path) -> str:
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        reason = (
            f"the suffix {path.suffix!r} tells no format" if path.suffix else "there is no suffix to tell the format"
        )
        raise InputError(f"{path}: {reason}; name it .yaml or .json")
    return kind


def _text(path: Path) -> str:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a network file")
    if not path.exists():
        folder = path.parent
        beside = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        where = "there is no such file" if folder.is_dir() else f"there is no folder {folder}"
        raise InputError(f"{path}: {where}{nearest(path.name, beside)}; give an existing network file")
    _kind(path)
    try:
        data = path.read_bytes()
    except OSError as trouble:
        raise InputError(f"{path}: cannot be read ({trouble.strerror}); check its permissions") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as trouble:
        line = data.count(b"\n", 0, trouble.start) + 1
        raise InputError(f"{path}:{line}: byte {data[trouble.start]:#04x} is no UTF-8 text; give a text file") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}:{line}: holds zero bytes, so it is no text; give a YAML or JSON file")
    if not text.strip():
        raise InputError(f"{path}: is empty; a network file begins with 'soen: {VERSION}'")
    return text


def _parsed(text: str, kind: str, name: str) -> _Document:
    try:
        return _from_yaml(text, name) if kind == "YAML" else _from_json(text, name)
    except RecursionError:
        raise InputError(f"{name}: is nested too deeply; a network file has a handful of levels") from None


def _from_json(text: str, name: str) -> _Document:
    repeated: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(pairs)
        if len(data) < len(pairs):
            seen: set[str] = set()
            repeated.extend(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return data

    try:
        data = json.loads(text, object_pairs_hook=mapping)
    except json.JSONDecodeError as trouble:
        reason = f"is no JSON: {trouble.msg} at column {trouble.colno}"
        raise InputError(f"{name}:{trouble.lineno}: {reason}; correct the file") from None
    except ValueError:
        raise InputError(f"{name}: holds a whole number of thousands of digits; correct the file") from None
    if repeated:
        raise InputError([f"{name}: {key}: stands twice in one mapping; remove one" for key in repeated])
    return _Document(data, _finder(text))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Parses a text and guesses no types: :func:`_scalar` does, by YAML 1.2."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


def _from_yaml(text: str, name: str) -> _Document:
    reader = _Reader(name)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            reader.take(event)
    except yaml.YAMLError as trouble:
        mark: Any = getattr(trouble, "problem_mark", None)
        problem = getattr(trouble, "problem", None) or getattr(trouble, "reason", None) or str(trouble).split("\n")[0]
        context = getattr(trouble, "context", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        column = f" at column {mark.column + 1}" if mark else ""
        story = f"{problem} {context}" if context else problem
        raise InputError(f"{place}: is no YAML: {story}{column}; correct the file") from None
    if reader.faults:
        raise InputError(reader.faults)
    if not reader.documents:
        raise InputError(f"{name}: holds nothing but comments; a network file begins with 'soen: {VERSION}'")
    return _Document(reader.data, _finder(text))


def _finder(text: str) -> Callable[[Path_], int | None]:
    """A function that finds the line of a place; it reads the text once more when it is first asked."""
    root: list[Any] = []

    def locate(path: Path_) -> int | None:
        if not root:
            try:  # JSON is YAML as well, apart from tabs
                shallow = _Reader("")
                for event in yaml.parse(text, Loader=_Loader):
                    shallow.take(event)
                root.append(yaml.compose(text, Loader=_Loader))
            except (yaml.YAMLError, InputError):
                root.append(None)
        return _line_of(root[0], path)

    return locate


def _line_of(node: Any, path: Path_) -> int | None:
    """Line (from 1) of the value at a path, or of the innermost value on the way to it that exists."""
    if node is None:
        return None
    line = node.start_mark.line + 1
    for step in path:
        following = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == step:
                    line, following = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            following = node.value[step]
            line = following.start_mark.line + 1
        if following is None:
            break
        node = following
    return line


_CORE = (
    (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]{1,4000}"), int),
    (re.compile(r"0o[0-7]{1,4000}"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,4000}"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)
_TAG = "tag:yaml.org,2002:"
_TAGS = ("str", "int", "float", "bool", "null", "seq", "map", "timestamp", "merge", "value")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Open(NamedTuple):
    """A list or mapping that has begun and not yet ended."""

    data: Any
    anchor: str | None
    counted: int  # values that had been read when it began
    lines: dict[str, int]  # of a mapping's keys
    merged: dict[str, Any]  # what "<<" brought


class _Reader:
    """Turns the events of a YAML text into plain data by the YAML 1.2 core schema; collects faults on the way."""

    def __init__(self, name: str):
        self.name = name
        self.data: Any = None
        self.documents = 0
        self.faults: list[str] = []
        self.stack: list[_Open] = []
        self.keys: list[Any] = []  # the key that waits for its value, for every open mapping
        self.anchors: dict[str, tuple[Any, int]] = {}  # what is anchored, and of how many values
        self.counted = self.repeated = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._tagged(event)
            if self._awaits_key():
                self._key(event)
            else:
                value = _scalar(event)
                if event.anchor:
                    self.anchors[event.anchor] = value, 1
                self._value(value, event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._tagged(event)
            if len(self.stack) >= _DEEPEST:
                place = f"{self.name}:{_line(event)}"
                raise InputError(f"{place}: is nested too deeply; a network file has a handful of levels")
            if self._awaits_key():
                self._fault(event, "a list or mapping cannot be a key; use text")
                self.keys[-1] = ""
            mapping = isinstance(event, yaml.MappingStartEvent)
            self.stack.append(_Open({} if mapping else [], event.anchor, self.counted, {}, {}))
            self.keys.append(None)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self.stack.pop()
            self.keys.pop()
            if done.merged:
                whole = {**done.merged, **done.data}
                done.data.clear()
                done.data.update(whole)
            if done.anchor:
                self.anchors[done.anchor] = done.data, self.counted - done.counted + 1
            self._value(done.data, event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._fault(event, "begins a second document; a network file holds one")

    def _awaits_key(self) -> bool:
        return bool(self.stack) and self.keys[-1] is None and isinstance(self.stack[-1].data, dict)

    def _key(self, event: Any) -> None:
        word = event.value
        if not event.style and word == "<<":
            self.keys[-1] = "<<"
            return
        lines = self.stack[-1].lines
        if word in lines:
            reason = f"stands twice in one mapping (first in line {lines[word]}); remove one"
            self._fault(event, reason, word)
        lines[word] = _line(event)
        self.keys[-1] = f" {word}"  # the space tells a quoted "<<" from the merge key

    def _value(self, value: Any, event: Any) -> None:
        self.counted += 1
        if not self.stack:
            if self.documents <= 1:
                self.data = value
            return
        open_ = self.stack[-1]
        if isinstance(open_.data, list):
            open_.data.append(value)
            return
        key, self.keys[-1] = self.keys[-1], None
        if key != "<<":
            open_.data[key[1:]] = value
            return
        several = value if isinstance(value, list) else [value]
        if all(isinstance(each, dict) for each in several):
            for each in reversed(several):  # of several mappings the earlier ones win
                open_.merged.update(each)
        else:
            self._fault(event, "'<<' merges mappings only; give an alias of a mapping")

    def _alias(self, event: Any) -> None:
        value, size = self.anchors.get(event.anchor, (None, 1))
        if event.anchor not in self.anchors:
            inside = any(open_.anchor == event.anchor for open_ in self.stack)
            reason = "contains itself; remove the alias" if inside else "is not anchored before; write the value"
            self._fault(event, f"*{event.anchor} {reason}")
        self.repeated += size
        self.counted += size
        if self.repeated > _REPEATED:
            raise InputError(
                f"{self.name}:{_line(event)}: aliases unfold to more than {_REPEATED} values; write them out"
            )
        if self._awaits_key():
            self._fault(event, "an alias cannot be a key; use text")
            self.keys[-1] = ""
        else:
            self._value(value, event)

    def _tagged(self, event: Any) -> None:
        tag = event.tag
        if tag is not None and tag != "!" and tag.removeprefix(_TAG) not in _TAGS:
            self._fault(event, f"the tag {tag!r} names a type that is not allowed here; remove it")

    def _fault(self, event: Any, reason: str, key: str | None = None) -> None:
        steps: list[str | int] = []
        for open_, waiting in zip(self.stack, self.keys, strict=True):
            if isinstance(open_.data, list):
                steps.append(len(open_.data))
            elif waiting is not None:
                steps.append(waiting.strip())
        place = _place((*steps, key) if key is not None else tuple(steps))
        self.faults.append(f"{self.name}:{_line(event)}: {place + ': ' if place else ''}{reason}")


def _scalar(node: Any) -> Any:
    if node.style or node.tag == f"{_TAG}str":  # quoted or block text
        return node.value
    for pattern, make in _CORE:
        if pattern.fullmatch(node.value):
            return make(node.value)
    return node.value


# ---------------------------------------------------------------------------------------------- models


class _Strict(pydantic.BaseModel):
    """One entry of a file. Once its fields have been judged one by one, the part is built and judges them together."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)

    _built: Any = pydantic.PrivateAttr(default=None)


def _judged(rule: Number | Choice | Name | Rows, optional: bool) -> Any:
    def check(value: Any) -> Any:
        if value is None and optional:
            return None
        try:
            return rule.check(value)
        except parts.Refused as refused:
            raise _refusal([((), str(refused))]) from None

    return pydantic.PlainValidator(check)


def _refusal(faults: Iterable[tuple[Path_, str]]) -> PydanticCustomError:
    """An error that carries faults with their places inside the value that is judged."""
    return PydanticCustomError("faults", "refused", {"faults": list(faults)})


def _member(field: Field) -> tuple[Any, Any]:
    rule = field.rule
    if isinstance(rule, Nested):
        model: Any = _model(rule.part)
        annotation = model | None if field.optional else model
    elif isinstance(rule, Rows) and rule.part is not None:
        annotation = list[_model(rule.part)] | None  # type: ignore[misc]
    else:
        annotation = Annotated[Any, _judged(rule, field.optional)]
    return annotation, (... if field.required else None)


_models: dict[type, type[_Strict]] = {}


def _model(part: type[Any]) -> type[_Strict]:
    """The strict pydantic model of a part, made from the rules that the part declares."""
    if part in _models:
        return _models[part]

    def build(self: Any) -> Any:
        given = {name: _built(getattr(self, name)) for name in self.model_fields_set}
        with parts.detached():
            try:
                self._built = part(**given)
            except InputError as error:
                raise _refusal([_placed(fault, part) for fault in error.faults]) from None
        return self

    members: dict[str, Any] = {name: _member(field) for name, field in parts.fields_of(part).items()}
    judge: Any = {"build": pydantic.model_validator(mode="after")(build)}
    model: Any = pydantic.create_model(part.__name__, __base__=_Strict, __validators__=judge, **members)
    _models[part] = model
    return _models[part]


def _built(value: Any) -> Any:
    if isinstance(value, _Strict):
        return value._built
    if isinstance(value, list):
        return tuple(_built(each) for each in value)
    return value


_LABEL = re.compile(rf" \(({'|'.join(part.__name__.lower() for part in SECTIONS.values())})( on)? [^() ]+\)$")


def _placed(fault: str, part: type[Part]) -> tuple[Path_, str]:
    """Split ``Soma.threshold: reason`` into its place inside a part and the reason."""
    head, _, reason = _LABEL.sub("", fault).partition(": ")
    name, _, field = head.partition(".")
    if name == part.__name__:
        return (field,), reason
    for inner, known in parts.fields_of(part).items():
        if isinstance(known.rule, Nested) and known.rule.part.__name__ == name:
            return (inner, field), reason
    return (), fault


def _device(value: Any) -> Device:
    if value is None:
        return Device()
    if not isinstance(value, Mapping):
        raise _refusal([((), f"{parts.shown(value)} is no mapping; give fields such as {{Ic: 100 uA}}")])
    try:
        return Device.from_dict(value)
    except InputError as error:
        faults = []
        for fault in error.faults:
            head, _, reason = fault.partition(": ")
            faults.append((tuple(head.split(".")[1:]), reason))
        raise _refusal(faults) from None


def _version(value: Any) -> int:
    if value is VERSION or (type(value) is int and value == VERSION):
        return VERSION
    known = f"a version that this library reads; give soen: {VERSION}"
    raise _refusal([((), f"{parts.shown(value)} is not {known}")])


def _title(value: Any) -> str:
    try:
        return Network(name="" if value is None else value).name
    except InputError as error:
        raise _refusal([((), fault.partition(": ")[2]) for fault in error.faults]) from None


class _Group(NamedTuple):
    name: str
    builder: str
    arguments: dict[str, Any]


def _group(section: str) -> Callable[[Any], _Group]:
    """A judge of the entries of a group section: known builder, known and complete arguments."""
    known = {name: builder for name, builder in builders.BUILDERS.items() if builder.section == section}
    default = "population" if section == "populations" else None

    def check(value: Any) -> _Group:
        if not isinstance(value, Mapping):
            raise _refusal([((), f"{parts.shown(value)} is no mapping; give builder and its arguments")])
        faults: list[tuple[Path_, str]] = []
        chosen = value.get("builder", default)
        if chosen is None:
            faults.append((("builder",), f"missing; give one of {', '.join(known)}"))
        elif not isinstance(chosen, str) or chosen not in known:
            hint = nearest(str(chosen), known)
            faults.append((("builder",), f"{parts.shown(chosen)} is no builder{hint}; give one of {', '.join(known)}"))
        name = value.get("name")
        if name is not None or section == "populations":
            try:
                name = Name("").check(name) if name is not None else None
            except parts.Refused as refused:
                faults.append((("name",), str(refused)))
            if name is None:
                faults.append((("name",), "missing; give the group a name"))
        arguments = {key: each for key, each in value.items() if key not in ("name", "builder")}
        if isinstance(chosen, str) and chosen in known:
            expected = known[chosen]
            for key in arguments:
                if key not in expected.arguments:
                    hint = nearest(str(key), (*expected.arguments, "name", "builder"))
                    faults.append(((str(key),), f"unknown key{hint}; remove it or correct it"))
            for key in expected.required:
                if key not in arguments:
                    faults.append(((key,), f"missing; the builder {chosen!r} needs it"))
        if faults:
            raise _refusal(faults)
        return _Group(name or "", str(chosen), arguments)

    return check


@cache
def _file_model() -> type[_Strict]:
    members: dict[str, Any] = {
        "soen": (Annotated[Any, pydantic.PlainValidator(_version)], ...),
        "name": (Annotated[Any, pydantic.PlainValidator(_title)], ""),
        "device": (Annotated[Any, pydantic.PlainValidator(_device)], None),
    }
    for section, part in SECTIONS.items():
        members[section] = (list[_model(part)] | None, None)  # type: ignore[misc]
    for section in GROUPS:
        entry = Annotated[Any, pydantic.PlainValidator(_group(section))]
        members[section] = (list[entry] | None, None)
    return pydantic.create_model("NetworkFile", __base__=_Strict, **members)


# ---------------------------------------------------------------------------------------------- from data to a network


class _Report:
    """Collects faults with their places, and writes them as sentences."""

    def __init__(self, locate: Callable[[Path_], int | None], name: str):
        self.locate, self.name = locate, name
        self.found: list[tuple[Path_, str]] = []

    def add(self, path: Path_, reason: str) -> None:
        self.found.append((path, reason))

    def sentences(self) -> list[str]:
        done: dict[str, int] = {}
        for path, reason in self.found:
            line = self.locate(path)
            where = f"{self.name}:{line}" if line is not None and self.name else self.name
            done[": ".join(text for text in (where, _place(path), reason) if text)] = line or 0
        return sorted(done, key=done.__getitem__)

    def check(self) -> None:
        if self.found:
            raise InputError(self.sentences())


def _place(path: Path_) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _network(document: Any, locate: Callable[[Path_], int | None], name: str) -> Network:
    report = _Report(locate, name)
    if not isinstance(document, Mapping):
        report.add((), f"holds {parts.shown(document)}, no mapping; a network file begins with 'soen: {VERSION}'")
        report.check()
    if "soen" in document:  # of another version nothing else can be judged
        try:
            _version(document["soen"])
        except PydanticCustomError as refused:
            report.add(("soen",), (refused.context or {})["faults"][0][1])
            report.check()
    try:
        model = _file_model().model_validate(dict(document))
    except pydantic.ValidationError as error:
        for each in error.errors(include_url=False):
            _explain(each, report)
        _judge_the_rest(document, report)
        raise InputError(report.sentences()) from None
    network = Network(model.device or Device(), model.name)  # type: ignore[attr-defined]
    places: _Places = {}
    with parts.detached():
        for section in SECTIONS:
            for k, entry in enumerate(getattr(model, section) or ()):
                _join(network, entry._built, (section, k), places, report)
        groups = _expand(network, model, report)
    if not report.found or not groups:
        for fault in network._faults(open_waveguides=True):
            for path, reason in _where(fault, places):
                report.add(path, reason)
    report.check()
    return network


_Places: TypeAlias = dict[str, list[Path_]]
"""Where the parts stand in the file, by their labels."""


def _join(network: Network, part: Any, path: Path_, places: _Places, report: _Report) -> None:
    before = places.setdefault(part._label(), [])
    name = getattr(part, "id", None)
    if before and name and name not in network:  # the first of two with the same id was refused for another reason
        report.add((*path, "id"), f"{name!r} is taken; ids are unique, give another")
    before.append(path)
    try:
        network.add(part)
    except InputError as error:
        for fault in error.faults:
            inner, reason = _placed(fault, type(part))
            report.add(path + inner, reason)


def _where(fault: str, places: _Places) -> list[tuple[Path_, str]]:
    """The places in the file of a fault that the network found, by the label of the part at its end."""
    label = _LABEL.search(fault)
    found = []
    for path in places.get(label[0], []) if label else []:
        inner, reason = _placed(fault, SECTIONS[str(path[0])])
        found.append((path + inner, reason))
    return found or [((), fault)]


class _Anything:
    """Contains every id: stands for what the groups of a file would have made."""

    def __contains__(self, name: object) -> bool:
        return True


def _judge_the_rest(document: Mapping[str, Any], report: _Report) -> None:
    """After faults in single values: look for those that show only when the values are taken together.

    What was refused is left out (or, where it is needed, made up), and what rests on it is not judged.
    """
    bad = {path for path, _ in report.found}
    device = document.get("device")
    network = Network(device if device and not any(path[:1] == ("device",) for path in bad) else Device())
    elsewhere: Any = _Anything() if any(document.get(section) for section in GROUPS) else set()
    places: _Places = {}
    repaired: set[Path_] = set()
    with parts.detached():
        for section, part in SECTIONS.items():
            entries = document.get(section)
            for k, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
                path: Path_ = (section, k)
                whole = not any(place[:2] == path for place in bad)
                if not whole:
                    _told_together(part, entry, path, report)
                built = parts.made(part, entry) if whole else _repaired(part, entry, path, bad)
                if built is not None:
                    repaired |= set() if whole else {path}
                    _join(network, built, path, places, report)
                elif isinstance(entry, Mapping) and isinstance(elsewhere, set):
                    elsewhere.add(str(entry.get("id")))
    for fault in network._faults(elsewhere, open_waveguides=True):
        for place, reason in _where(fault, places):
            if place[:2] not in repaired or len(place) == 3:  # a neuron's loops were made up in part: do not judge them
                report.add(place, reason)


def _told_together(part: type[Part], entry: Any, path: Path_, report: _Report) -> None:
    """Report what a part refuses when all its fields are taken together, beside those that it refuses singly."""
    if isinstance(entry, Mapping):
        try:
            parts.made(part, {str(name): value for name, value in entry.items()})
        except InputError as error:
            for fault in error.faults:
                inner, reason = _placed(fault, part)
                rule = parts.fields_of(part)[inner[0]].rule if inner and inner[0] in parts.fields_of(part) else None
                told = reason.startswith("unknown field") or (isinstance(rule, Rows) and rule.part)
                if not told:  # in the words of a file, and entry by entry
                    report.add(path + inner, reason)


def _repaired(part: type[Part], entry: Any, path: Path_, bad: set[Path_]) -> Any:
    """The part without its refused fields; None if that leaves no part with known ends."""
    if not isinstance(entry, Mapping):
        return None
    fields = parts.fields_of(part)
    given: dict[str, Any] = {}
    for name, value in entry.items():
        inner = (*path, name)
        if name not in fields or value is None or inner in bad:
            continue
        rule = fields[name].rule
        if not any(place[: len(inner)] == inner for place in bad):
            given[name] = value
        elif isinstance(rule, Nested):
            given[name] = _repaired(rule.part, value, inner, bad)
    if "id" in fields and fields["id"].required and "id" not in given:
        given["id"] = f"unnamed:{path[0]}:{path[1]}"
    try:
        return parts.made(part, {name: value for name, value in given.items() if value is not None})
    except InputError:
        return None


def _explain(error: Any, report: _Report) -> None:
    """Say what pydantic found in the words of this library."""
    path: Path_ = tuple(error["loc"])
    kind, value = error["type"], error["input"]
    if kind == "faults":
        for inner, reason in error["ctx"]["faults"]:
            report.add(path + tuple(inner), reason)
    elif kind == "extra_forbidden":
        report.add(path, f"unknown key{nearest(str(path[-1]), _known_keys(path[:-1]))}; remove it or correct it")
    elif kind == "missing":
        report.add(path, f"missing; give {_expected(path)}")
    elif kind in ("list_type", "tuple_type"):
        report.add(path, f"{parts.shown(value)} is no list; write its entries with '- ' or in [ ]")
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        report.add(path, f"{parts.shown(value)} is no mapping; give fields such as {_example(path)}")
    elif kind == "invalid_key":
        report.add(path, f"{parts.shown(path[-1])} is no key; use text")
    else:
        report.add(path, f"{parts.shown(value)} is not right: {error['msg']}")


def _part_at(path: Path_) -> type[Part] | None:
    """The class of the part that stands at a path."""
    words = [step for step in path if isinstance(step, str)]
    part = SECTIONS.get(words[0]) if words else None
    for word in words[1:]:
        field = parts.fields_of(part).get(word) if part else None
        rule = field.rule if field else None
        part = rule.part if isinstance(rule, Nested | Rows) else None
    return part


def _known_keys(path: Path_) -> list[str]:
    part = _part_at(path)
    return list(parts.fields_of(part)) if part else ["soen", "name", "device", *SECTIONS, *GROUPS]


def _expected(path: Path_) -> str:
    part = _part_at(path[:-1])
    if part is None:
        return f"{path[-1]}: {VERSION}"
    return parts.fields_of(part)[str(path[-1])].rule.expected


def _example(path: Path_) -> str:
    part = _part_at(path)
    return f"{{{', '.join(list(parts.fields_of(part))[:3])}}}" if part else "key: value"


# ---------------------------------------------------------------------------------------------- groups


def _expand(network: Network, model: Any, report: _Report) -> bool:
    """Build the groups into the network; return whether there were any."""
    members: dict[str, list[str] | None] = {}  # None for a group that was refused
    some = False
    for section in GROUPS:
        for k, group in enumerate(getattr(model, section) or ()):
            some = True
            path: Path_ = (section, k)
            if group.name and (group.name in members or group.name in network):
                report.add((*path, "name"), f"{group.name!r} is taken; give another name")
                continue
            arguments = dict(group.arguments)
            if section == "connect":
                sides = [side for side in ("source", "target") if side in arguments]
                chosen = {side: _selected(network, members, arguments[side], (*path, side), report) for side in sides}
                if any(not found for found in chosen.values()):
                    members[group.name] = None
                    continue
                arguments.update(chosen)
            made = None
            try:
                made = builders.build(network, group.name, group.builder, arguments)
            except InputError as error:
                for fault in error.faults:
                    head, _, reason = fault.partition(": ")
                    function, _, argument = head.partition(".")
                    own = argument and function in (group.builder, "from_graph", "population")
                    report.add((*path, argument) if own else path, reason if own else fault)
            if group.name:
                members[group.name] = made
    return some


def _selected(
    network: Network, members: Mapping[str, list[str] | None], given: Any, path: Path_, report: _Report
) -> list[str]:
    """The ids that ``source`` or ``target`` of a connect entry means; none if there is a fault."""
    found: list[str] = []
    for word in given if isinstance(given, list | tuple) else [given]:
        if not isinstance(word, str):
            report.add(path, f"{parts.shown(word)} is no name; give a group, a part, a pattern, or a list of them")
            return []
        if word in members:
            if members[word] is None:
                return []  # the fault is told where the group stands
            found += members[word] or []
        elif "*" in word:
            pattern = re.compile(re.escape(word).replace(r"\*", ".*"))
            loops = [name for name in (*network.neurons, *network.dendrites) if pattern.fullmatch(name)]
            if not loops:
                report.add(path, f"{word!r} fits no neuron and no dendrite; correct the pattern")
            found += sorted(loops, key=builders._natural)
        elif word in network.neurons or word in network.dendrites:
            found.append(word)
        else:
            hint = nearest(word, (*members, *network.neurons, *network.dendrites))
            report.add(path, f"there is no group, neuron or dendrite {word!r}{hint}; add it or correct the name")
    return found


# ---------------------------------------------------------------------------------------------- writing


def to_json(network: Network) -> str:
    """The text of a JSON network file: every part on a line of its own."""
    return _json(network.to_dict())


def _json(document: dict[str, Any]) -> str:
    blocks = []
    for key, value in document.items():
        if isinstance(value, list):
            rows = ",\n".join(f"    {json.dumps(entry, allow_nan=False)}" for entry in value)
            blocks.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
        else:
            blocks.append(f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def to_yaml(network: Network) -> str:
    """The text of a YAML network file, the same to readers of YAML 1.1 and 1.2: every part on a line of its own."""
    return _yaml(network.to_dict())


def _yaml(document: dict[str, Any]) -> str:
    lines = []
    for key, value in document.items():
        if not isinstance(value, list):
            lines.append(f"{key}: {_flow(value)}")
            continue
        lines.append(f"{key}:")
        for entry in value:
            if key != "neurons":
                lines.append(f"  - {_flow(entry)}")
                continue
            for k, (name, each) in enumerate(entry.items()):
                lines.append(f"  {' ' if k else '-'} {name}: {_flow(each)}")
    return "\n".join(lines) + "\n"


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_PLAIN = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def _flow(value: Any) -> str:
    """A value in YAML's flow style, in ASCII."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, float):
        text = repr(float(value))
        return text.replace("e", ".0e") if "e" in text and "." not in text else text  # 1e-09 is text in YAML 1.1
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _NOT_PLAIN:
            return value
        return '"' + "".join(map(_escaped, value)) + '"'
    return repr(value)


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if " " <= letter <= "~":
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def write(path: str | os.PathLike[str], text: str, overwrite: bool) -> None:
    """Write a text file, whole or not at all.

    Raises:
        InputError: the path is none or a folder's, its folder is not there, or the file exists and ``overwrite`` is False.
    """
    with replacement(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(text.encode())


@contextmanager
def replacement(
    path: str | os.PathLike[str], *, overwrite: bool, make_folders: bool = False, durable: bool = True
) -> Iterator[Path]:
    """Write a file in one step: a reader sees the old file or the whole new one, never a part of it.

        with replacement("net.yaml", overwrite=True) as temporary:
            temporary.write_text(...)

    The body writes the path that it is given; afterwards this gets the file's name. If the body raises, nothing is left.

    Args:
        path: the name; a link stays one, and the file behind it is written.
        overwrite: whether an existing file may be replaced.
        make_folders: make the folders on the way; otherwise they must be there.
        durable: wait until the disk has it, so that it also survives a power cut.

    Raises:
        InputError: the path is none or a folder's, its folder is not there, the file exists, or the disk refuses.
    """
    path = checked_path(path, "path")
    taken = f"{path}: exists already; choose another name or pass overwrite=True"
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give a file name")
        target = Path(os.path.realpath(path))
        if make_folders:
            target.parent.mkdir(parents=True, exist_ok=True)
        elif not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}; make it first")
        if path.exists() and not overwrite:
            raise InputError(taken)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
        try:
            yield temporary
            if durable:
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
            if overwrite:
                os.replace(temporary, target)
            else:
                _place_new(temporary, target, taken)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as trouble:
        told = trouble.strerror or trouble
        raise InputError(f"{path}: cannot be written ({told}); check the folder and the name") from None


def _place_new(temporary: Path, target: Path, taken: str) -> None:
    """Give the temporary file its name, unless someone else has made a file of that name meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise InputError(taken) from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise InputError(taken) from None
        os.replace(temporary, target)


# ---------------------------------------------------------------------------------------------- JSON Schema


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of network files, made from the rules that the parts declare."""
    definitions: dict[str, Any] = {}
    for part in SECTIONS.values():
        _define(part, definitions)
    properties: dict[str, Any] = {
        "soen": {"const": VERSION, "description": "version of the file format"},
        "name": {"type": "string", "description": "a title"},
        "device": _device_schema(),
    }
    for section, part in SECTIONS.items():
        summary = (part.__doc__ or "").strip().split("\n")[0]
        entries = {"type": "array", "items": {"$ref": f"#/$defs/{part.__name__}"}}
        properties[section] = {"description": summary, "anyOf": [entries, {"type": "null"}]}
    for section in GROUPS:
        entries = {"type": "array", "items": {"oneOf": _group_schemas(section)}}
        told = "groups of parts, made by a builder"
        properties[section] = {"description": told, "anyOf": [entries, {"type": "null"}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "soen-event network file",
        "description": "Plain numbers are in ns, Phi0 and units of I_c; strings such as '50 ns' are converted.",
        "type": "object",
        "additionalProperties": False,
        "required": ["soen"],
        "properties": properties,
        "$defs": definitions,
    }


def write_schema(path: str | os.PathLike[str] | None = None) -> None:
    """Write :func:`schema` to a file (default: ``network.schema.json`` in the package)."""
    target = Path(path) if path is not None else Path(__file__).with_name("network.schema.json")
    write(target, json.dumps(schema(), indent=1) + "\n", overwrite=True)


_QUANTITY = r"^\s*[+-]?(\d|\.\d)"


def _define(part: type[Part], definitions: dict[str, Any]) -> None:
    if part.__name__ in definitions:
        return
    definitions[part.__name__] = {}
    fields = parts.fields_of(part)
    definitions[part.__name__] = {
        "description": (part.__doc__ or "").strip().split("\n")[0],
        "type": "object",
        "additionalProperties": False,
        "required": [name for name, field in fields.items() if field.required],
        "properties": {name: _field_schema(field, definitions) for name, field in fields.items()},
    }


def _field_schema(field: Field, definitions: dict[str, Any]) -> dict[str, Any]:
    rule = field.rule
    options: list[dict[str, Any]]
    if isinstance(rule, Number):
        options = _number_schema(rule)
    elif isinstance(rule, Choice):
        options = [{"enum": list(rule.options)}]
    elif isinstance(rule, Name):
        options = [{"type": "string", "pattern": parts.ID_PATTERN}]
    elif isinstance(rule, Nested):
        _define(rule.part, definitions)
        options = [{"$ref": f"#/$defs/{rule.part.__name__}"}]
    elif rule.part is not None:
        _define(rule.part, definitions)
        options = [{"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/{rule.part.__name__}"}}]
    else:
        columns = [{"anyOf": _number_schema(column)} for column in rule.columns]
        row = {"type": "array", "prefixItems": columns, "minItems": len(columns), "maxItems": len(columns)}
        options = [{"type": "array", "minItems": 1, "items": row}]
    if field.optional:
        options.append({"type": "null"})
    told: dict[str, Any] = {"description": rule.doc}
    if isinstance(rule, Number) and rule.unit:
        told["description"] += f" ({rule.unit})"
    told.update(options[0] if len(options) == 1 else {"anyOf": options})
    if field.default is not None:
        told["default"] = field.default
    return told


def _number_schema(rule: Number) -> list[dict[str, Any]]:
    bounds = {
        "minimum": rule.at_least,
        "exclusiveMinimum": rule.above,
        "maximum": rule.at_most,
        "exclusiveMaximum": rule.below,
    }
    number = {"type": "number", **{word: bound for word, bound in bounds.items() if bound is not None}}
    words = [{"enum": list(rule.words)}] if rule.words else []
    return [number, {"type": "string", "pattern": _QUANTITY}, *words]


def _device_schema() -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in dataclasses.fields(Device):
        if field.default is None:
            properties[field.name] = {"type": ["string", "null"], "default": None}
        elif isinstance(field.default, str):
            properties[field.name] = {"type": "string", "default": field.default}
        else:
            quantity = [{"type": "number"}, {"type": "string", "pattern": _QUANTITY}]
            properties[field.name] = {"anyOf": quantity, "default": field.default}
    entries = {"type": "object", "additionalProperties": False, "properties": properties}
    return {"description": "the junctions; plain numbers are in SI", "anyOf": [entries, {"type": "null"}]}


def _group_schemas(section: str) -> list[dict[str, Any]]:
    found = []
    for name, builder in builders.BUILDERS.items():
        if builder.section != section:
            continue
        required = list(builder.required)
        required += ["name"] if section == "populations" else []
        required += ["builder"] if name != "population" else []
        properties: dict[str, Any] = {
            "name": {"type": "string", "pattern": parts.ID_PATTERN},
            "builder": {"const": name},
        }
        properties.update((argument, {}) for argument in builder.arguments)
        found.append(
            {
                "description": (builder.function.__doc__ or "").strip().split("\n")[0],
                "type": "object",
                "additionalProperties": False,
                "required": required,
                "properties": properties,
            }
        )
    return found
