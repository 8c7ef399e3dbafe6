"""Which chip can learn how: a table that a program can read, of chips against rules of learning (features.md S0.16).

>>> from hardware.compatibility import compatibility
>>> found = compatibility()                     # the profiles against the methods that have names
>>> found["NIST_SPIKING", "stdp"].allowed, found["NIST_SPIKING", "backprop"].missing
(True, ('gradient',))
>>> print(found)                                                            # doctest: +SKIP

What a rule needs it says itself (``Rule.requires``); what a chip has is its ``signals``. Back-propagation needs the gradient, which
no chip has: its weights are found outside and programmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hardware.chip import PROFILES, find
from hardware.fitting import described, method_faults, method_name, missing_signals
from hardware.limits import METHODS, aligned
from soen_event.errors import InputError, nearest
from soen_event.parts import shown

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Compatibility", "Verdict", "compatibility"]


@dataclass(frozen=True)
class Verdict:
    """Whether a chip can learn by a rule.

    Args:
        chip, rule: names.
        allowed: whether it can.
        needs: what the rule has to know, of :data:`hardware.chip.SIGNALS`.
        missing: what of that the chip has not.
        status: how well the chip's signals are known (:data:`hardware.chip.STATUSES`); "not known" where they are not, and do not bind.
        why: reasons against it, sentences.
    """

    chip: str
    rule: str
    allowed: bool
    needs: tuple[str, ...]
    missing: tuple[str, ...]
    status: str
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compatibility:
    """Verdicts by (name of the chip, name of the rule)."""

    verdicts: tuple[Verdict, ...]

    @property
    def chips(self) -> tuple[str, ...]:
        """Names of the chips."""
        return tuple(dict.fromkeys(v.chip for v in self.verdicts))

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules."""
        return tuple(dict.fromkeys(v.rule for v in self.verdicts))

    def __getitem__(self, key: tuple[str, str]) -> Verdict:
        """The verdict on a chip and a rule; InputError if there is none."""
        for verdict in self.verdicts:
            if (verdict.chip, verdict.rule) == key:
                return verdict
        pairs = [f"{v.chip}, {v.rule}" for v in self.verdicts]
        told = ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
        raise InputError(f"Compatibility: there is no {told!r}{nearest(told, pairs)}; give (chip, rule)")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: by chip, then by rule."""
        out: dict[str, Any] = {}
        for v in self.verdicts:
            row = {**asdict(v), "needs": list(v.needs), "missing": list(v.missing), "why": list(v.why)}
            out.setdefault(v.chip, {})[v.rule] = {k: x for k, x in row.items() if k not in ("chip", "rule")}
        return out

    def table(self) -> str:
        """Lines: a rule each, what it needs, and every chip's answer with what is missing; then other reasons against."""
        rows = [("rule", *self.chips, "needs"), ("", *(self._status(chip) for chip in self.chips), "")]
        for rule in self.rules:
            found = [self[chip, rule] for chip in self.chips]
            rows.append((rule, *map(_answer, found), ", ".join(found[0].needs)))
        lines = aligned(rows)
        lines += [f"{v.rule} on {v.chip}: {v.why[-1]}" for v in self.verdicts if v.why and not v.missing]
        return "\n".join(line.rstrip() for line in lines)

    def __str__(self) -> str:
        return self.table()

    def __rich__(self) -> Table:
        """For ``rich.print``: the same with colours."""
        from rich.table import Table

        heads = [f"{chip}\n({self._status(chip)})" for chip in self.chips]
        table = Table("rule", *heads, "needs", title="what learns on which chip")
        for rule in self.rules:
            found = [self[chip, rule] for chip in self.chips]
            answers = [f"[{'green' if v.allowed else 'red'}]{_answer(v)}[/]" for v in found]
            table.add_row(rule, *answers, ", ".join(found[0].needs))
        return table

    def _status(self, chip: str) -> str:
        return f"signals {self[chip, self.rules[0]].status}"


def _answer(verdict: Verdict) -> str:
    if verdict.allowed:
        return "yes"
    return f"no: {', '.join(verdict.missing)}" if verdict.missing else "no"


def compatibility(chips: Any = None, rules: Any = None) -> Compatibility:
    """Which of ``chips`` can learn by which of ``rules``.

    Args:
        chips: a chip (a Chip, the name of a profile, a chip file) or several; None: all profiles.
        rules: a rule or several: a :class:`soen_event.Rule`, its class, a :class:`soen_event.Plasticity`, or a name
            (:data:`hardware.limits.METHODS`), also by a name of your own in a mapping; None: all names.

    Raises:
        InputError: no such chip, something that is no rule, or two of one name.
    """
    several = isinstance(chips, Iterable) and not isinstance(chips, str)
    asked = list(PROFILES.values()) if chips is None else list(chips) if several else [chips]
    faults: list[str] = []
    found = []
    for chip in asked:
        try:
            found.append(find(chip))
        except InputError as error:
            faults += error.faults
    named = _named(rules, faults)
    names = [chip.name for chip in found]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        faults.append(f"compatibility.chips: {name!r} is there twice; give each chip its own name")
    if faults:
        raise InputError(faults[:20])
    verdicts = []
    for chip in found:
        known = chip.provenance.get("signals")
        status = "not known" if chip.signals is None else known.status if known is not None else "given"
        for name, rule in named.items():
            described_as = described(rule)
            needs = described_as[1] if described_as is not None else ()
            reasons = [fault.split(": ", 1)[1] for fault in method_faults(chip, rule, "compatibility")]
            missing = tuple(missing_signals(chip, needs))
            verdicts.append(Verdict(chip.name, name, not reasons, needs, missing, status, tuple(reasons)))
    return Compatibility(tuple(verdicts))


def _named(rules: Any, faults: list[str]) -> dict[str, Any]:
    """Rules by name."""
    if rules is None:
        return {name: name for name in METHODS}
    if isinstance(rules, Mapping):
        pairs = [(str(name), rule) for name, rule in rules.items()]
    else:
        several = isinstance(rules, Iterable) and not isinstance(rules, str)
        pairs = [(method_name(rule), rule) for rule in (rules if several else [rules])]
    out: dict[str, Any] = {}
    for name, rule in pairs:
        try:
            known = described(rule)
        except InputError as error:
            faults += [f"compatibility.rules: {fault}" for fault in error.faults]
            continue
        if known is None:
            faults.append(f"compatibility.rules: {shown(rule)} is no rule; give a Rule, a Plasticity or a name")
        elif isinstance(rule, str) and rule not in METHODS:
            faults.append(
                f"compatibility.rules: {rule!r} is unknown{nearest(rule, METHODS)}; give a name of {', '.join(METHODS)}"
            )
        elif name in out:
            faults.append(f"compatibility.rules: {name!r} is there twice; give a mapping with other names")
        out[name] = rule
    return out
