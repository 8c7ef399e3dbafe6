"""The memory of a chip for what rules write: a rule's storage within the chip's levels, and every site's own deviation.

A rule says what it wants to be held in (:class:`soen_event.Storage`); the chip says what it has (:class:`~hardware.quantize.Levels`, or
a range, and its rule of signs). What is held is both: values of the chip only, within the rule's bounds, no more closely spaced
than the rule's own levels. A deviation of the site (fabrication spread) lies behind the memory: what the network sees is what is held
times the site's gain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hardware.chip import Chip, Setting
from hardware.fitting import method_faults
from hardware.quantize import Levels
from soen_event.engine.state import AT_COUPLING, AT_OFFSET, AT_WEIGHT
from soen_event.errors import InputError
from soen_event.learning import Plasticity, Rule, Storage, lower_learning
from soen_event.parts import shown
from soen_event.plan import Plan

__all__ = ["joined", "on_chip", "settings"]

_SETTINGS = {AT_WEIGHT: "weights", AT_OFFSET: "phi_offset", AT_COUPLING: "couplings"}
_EVEN = 1e-6  # levels whose distances differ by less than this share are equally spaced


def settings(learning: Any, place: str) -> list[Plasticity]:
    """What is to learn, as a list; InputError if something of it is no Plasticity."""
    given: Sequence[Any] = list(learning) if isinstance(learning, list | tuple) else [learning]
    faults = []
    for each in given:
        if isinstance(each, Rule) or (isinstance(each, type) and issubclass(each, Rule)):
            name = each.__name__ if isinstance(each, type) else type(each).__name__
            faults.append(f"{place}: {name} does not say where it acts; give {name}(...).on(synapses=...)")
        elif not isinstance(each, Plasticity):
            faults.append(f"{place}: {shown(each)} is no Plasticity; give Rule.on(...), or several")
    if faults:
        raise InputError(faults)
    return list(given)


def joined(storage: Storage, setting: Setting | None, sign: str, value: float, gain: float = 1.0) -> Storage:
    """A rule's storage within what a chip has, for a place that holds ``value`` now.

    Args:
        storage: what the rule asks for.
        setting: the chip's levels or range; None: any value.
        sign: the chip's rule of signs (:class:`hardware.chip.Chip`); with "magnitude" the levels are those of the absolute value.
        value: what is held now, whose sign counts where signs stay; 0 counts as positive for "magnitude" and as free for "keep".
        gain: of the place, other than 0.

    Raises:
        InputError: levels that are not equally spaced, or fewer than two values are left.
    """
    chip_low, chip_high, step = -math.inf, math.inf, 0.0
    if isinstance(setting, Levels):
        values = np.array(setting.values)
        if sign == "keep" and value != 0.0:
            values = values[values >= 0.0] if value > 0.0 else values[values <= 0.0]
        step = _spacing(values, setting)
        chip_low, chip_high = float(values[0]), float(values[-1])
    elif setting is not None:
        chip_low, chip_high = setting
        if sign == "keep" and value != 0.0:
            chip_low, chip_high = (max(chip_low, 0.0), chip_high) if value > 0.0 else (chip_low, min(chip_high, 0.0))
    if sign == "magnitude" and value < 0.0:
        chip_low, chip_high = -chip_high, -chip_low
    elif sign == "magnitude":
        chip_low = max(chip_low, 0.0)
    low, high = max(storage.low, chip_low), min(storage.high, chip_high)
    told = f"from {storage.low:g} to {storage.high:g}, and the chip holds {chip_low:g} to {chip_high:g}"
    if not low < high:
        raise InputError(
            f"storage: the rule's is {told}, so nothing can be learnt; give bounds that have values in common"
        )
    if step == 0.0:
        return dataclasses.replace(storage, low=low, high=high, levels=_as_many(storage, high - low), gain=gain)
    every = max(1, math.ceil(storage.step / step - 1e-9))  # so many of the chip's levels make one of the rule's
    first, last = math.ceil((low - chip_low) / step - 1e-9), math.floor((high - chip_low) / step + 1e-9)
    count = (last - first) // every + 1
    if count < 2:
        raise InputError(
            f"storage: the rule's is {told} in steps of {step:g}, which leaves {max(count, 0)} values; give wider bounds"
        )
    start = chip_low + first * step
    return dataclasses.replace(storage, low=start, high=start + (count - 1) * every * step, levels=count, gain=gain)


def _as_many(storage: Storage, width: float) -> int | None:
    """Levels of the rule's own spacing that fit into ``width``."""
    return None if storage.levels is None else max(2, math.floor(width / storage.step + 1e-9) + 1)


def _spacing(values: np.ndarray, levels: Levels) -> float:
    """The distance between neighbours, which must be the same."""
    if len(values) < 2:
        raise InputError(
            f"storage: {levels.name} has {len(values)} values of the sign that must be kept; nothing can be learnt"
        )
    gaps = np.diff(values)
    if np.ptp(gaps) > _EVEN * gaps.max():
        raise InputError(
            f"storage: {levels.name} are not equally spaced, and rules write in equal steps; use a chip with equal levels"
        )
    return float((values[-1] - values[0]) / (len(values) - 1))


def on_chip(
    learning: Any,
    plan: Plan,
    chip: Chip,
    held: Mapping[str, float],
    gain: Mapping[str, float],
    broken: Iterable[str] = (),
) -> list[Plasticity]:
    """Rules as a chip runs them: every site with the chip's memory and its own gain; broken sites left out.

    Args:
        learning: a :class:`soen_event.Plasticity` or several.
        plan: of the network that runs.
        chip: what it has.
        held: by site, what its memory holds now; a site that is not named holds what the network has.
        gain: by site, what the network has over what is held; 1 where it is not named.
        broken: sites that cannot be written.

    Raises:
        InputError: with everything that the chip has not, and what :func:`soen_event.learning.lower_learning` finds.
    """
    place = "VirtualChip.learning"
    given = settings(learning, place)
    faults = [fault for each in given for fault in method_faults(chip, each, place)]
    if faults:
        raise InputError(faults[:20])
    lowered = lower_learning(plan, [dataclasses.replace(each, storage=_free(each.storage)) for each in given])
    gone, out = set(broken), []
    for r, (each, name) in enumerate(zip(given, lowered.names, strict=True)):
        storages: dict[str, Storage] = {}
        kinds: dict[str, list[str]] = {"synapses": [], "loops": [], "couplings": []}
        for i in np.flatnonzero(lowered.sites["rule"] == r).tolist():
            site, it = lowered.site_ids[i], lowered.sites[i]
            if site in gone:
                continue
            setting = getattr(chip, _SETTINGS[int(it.kind)])
            wanted = each.storage.get(site, Storage()) if isinstance(each.storage, Mapping) else each.storage
            sign = "free" if it.kind == AT_OFFSET else chip.sign
            g = gain.get(site, 1.0)
            value = held.get(site, float(lowered.values[it.start]) / g)
            try:
                storages[site] = joined(wanted, setting, sign, value, g)
            except InputError as error:
                faults += [f"{name}: {site}: {fault}" for fault in error.faults]
            part = ("synapses", "loops", "couplings")[(AT_WEIGHT, AT_OFFSET, AT_COUPLING).index(int(it.kind))]
            kinds[part].append(_place_of(plan, int(it.kind), int(it.place)))
        if storages:
            kept: dict[str, Any] = {kind: tuple(dict.fromkeys(ids)) or None for kind, ids in kinds.items()}
            out.append(dataclasses.replace(each, storage=storages, name=name, **kept))
    if faults:
        raise InputError(faults[:20])
    return out


def _free(storage: Any) -> Any:
    """Any value: to see the sites, before their memories are made."""
    return {} if isinstance(storage, Mapping) else Storage()


def _place_of(plan: Plan, kind: int, place: int) -> str:
    """The id by which a Plasticity names a place."""
    if kind == AT_WEIGHT:
        return str(plan.detector_ids[place])
    return str(plan.loop_ids[place]) if kind == AT_OFFSET else str(plan.coupling_ids[place])
