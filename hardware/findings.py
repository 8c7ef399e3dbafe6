"""What did not fit a chip: findings, how much of the chip is used, and a table of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.limits import aligned
from soen_event.errors import InputError, nearest
from soen_event.parts import shown

__all__ = ["ACTIONS", "Finding", "Report"]

ACTIONS = ("refused", "pruned", "merged", "replaced", "clipped", "rounded", "set", "ignored")
"""What is done about it; :mod:`hardware.deployment` says what each means."""


@dataclass(frozen=True)
class Finding:
    """One thing that did not fit.

    Args:
        part: id or key; ``n1.refractory`` inside a neuron; a limit of the chip for what concerns the whole network.
        field: of the part, such as "weight".
        asked: what the network has.
        has: what the chip has.
        action: one of :data:`ACTIONS`.
        error: distance between the two in the field's unit, None where that means nothing.
        why: a few words.
    """

    part: str
    field: str
    asked: float | int | str | None
    has: float | int | str | None
    action: str
    error: float | None = None
    why: str = ""

    def sentence(self) -> str:
        """The finding as a fault: part and field, value, bound, what to do."""
        if not self.field:
            return f"{self.part}: {self.why}"
        return f"{self.part}.{self.field}: asked {_told(self.asked)}, the chip has {_told(self.has)}; {self.why}"


@dataclass(frozen=True)
class Report:
    """What did not fit. ``findings`` in the order of :data:`ACTIONS`; ``usage``: (used, there are) by limit, None for no limit."""

    network: str
    chip: str
    findings: tuple[Finding, ...]
    usage: Mapping[str, tuple[int, int | None]]

    @property
    def fits(self) -> bool:
        """Nothing was refused."""
        return not self.of("refused")

    @property
    def unchanged(self) -> bool:
        """The network fits as it is; nothing is done to it."""
        return all(finding.action == "ignored" for finding in self.findings)

    def of(self, action: str) -> tuple[Finding, ...]:
        """The findings with this action."""
        if action not in ACTIONS:
            raise InputError(
                f"Report.of: {action!r} is no action{nearest(str(action), ACTIONS)}; give {', '.join(ACTIONS)}"
            )
        return tuple(finding for finding in self.findings if finding.action == action)

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings by action, of those that there are."""
        found = Counter(finding.action for finding in self.findings)
        return {action: found[action] for action in ACTIONS if found[action]}

    @property
    def worst(self) -> dict[str, Finding]:
        """By field, the finding with the largest error."""
        found: dict[str, Finding] = {}
        for each in self.findings:
            if each.action == "ignored":
                continue
            if each.error is not None and (each.field not in found or each.error > (found[each.field].error or 0.0)):
                found[each.field] = each
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "network": self.network,
            "chip": self.chip,
            "fits": self.fits,
            "counts": self.counts,
            "usage": {name: {"used": used, "limit": limit} for name, (used, limit) in self.usage.items()},
            "worst": {name: {"part": each.part, "error": each.error} for name, each in self.worst.items()},
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }

    def table(self, most: int = 8) -> str:
        """Lines for a terminal; of every action at most ``most`` findings are spelled out."""
        if isinstance(most, bool) or not isinstance(most, int | np.integer) or most < 0:
            raise InputError(f"Report.table.most: {shown(most)} is no number of lines; give a whole number, 0 or more")
        what = ", ".join(f"{count} {action}" for action, count in self.counts.items()) or "fits as it is"
        lines = [f"{self.network or 'network'} on {self.chip}: {what}"]
        lines += [
            f"  {name:<20}{used:>9,d}" + (f" of {limit:,d}" if limit is not None else "")
            for name, (used, limit) in self.usage.items()
        ]
        if not self.findings:
            return "\n".join(lines)
        rows = [("", "part", "field", "asked", "has", "error", "")]
        for action in ACTIONS:
            found = self.of(action)
            rows += [
                (
                    action,
                    f.part,
                    f.field,
                    _told(f.asked),
                    _told(f.has),
                    "" if f.error is None else f"{f.error:.3g}",
                    f.why,
                )
                for f in found[:most]
            ]
            if len(found) > most:
                rows.append((action, f"... and {len(found) - most} more", "", "", "", "", ""))
        lines += aligned(rows, right=(5,))
        worst = ", ".join(f"{name} {each.error:.3g} ({each.part})" for name, each in self.worst.items() if each.error)
        if worst:
            lines.append(f"largest errors: {worst}")
        return "\n".join(line.rstrip() for line in lines)

    def __str__(self) -> str:
        return self.table()


def _told(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "no limit" if value is None else str(value)
