"""What a rule of learning has done during a sample or an epoch, and why it has done nothing (features.md S0.R9)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.engine.state import AT_WEIGHT, V_ASKED, V_LOST, V_MOVED, V_WEIGHT, V_WRITES
from soen_event.physics.storage import NEAREST
from training.local_errors import NonFiniteError

if TYPE_CHECKING:
    from soen_event.engine.state import State
    from soen_event.learning import Plasticity
    from soen_event.plan import Plan

__all__ = ["SWALLOWED", "Sites", "Snapshot", "UpdateMetrics", "diagnosis"]

SWALLOWED = 0.9
"""Share of lost changes from which a memory is said to swallow them."""


@dataclass(frozen=True)
class UpdateMetrics:
    """What one rule has done between two moments. Norms are roots of sums of squares over its sites.

    ``update_norm``: of the difference of all values. ``weight_norm_before``, ``weight_norm_after``. ``pre_mean``, ``pre_std``,
    ``pre_square``: mean, spread and mean square over sites of what came in: photons at a synapse, flux quanta of the loop that a
    coupling or offset belongs to. ``post_...``: of spikes over the neurons that its sites learn from. ``asked``: changes that were
    asked of the memories; ``writes``: those that moved a value (and those that a norm made); ``lost``: those that did not and are
    kept nowhere; ``at_bounds``: how many of the lost belong to sites that stand at a bound; ``moved``: sum of all magnitudes.
    """

    update_norm: float = 0.0
    weight_norm_before: float = 0.0
    weight_norm_after: float = 0.0
    pre_mean: float = 0.0
    pre_std: float = 0.0
    pre_square: float = 0.0
    post_mean: float = 0.0
    post_std: float = 0.0
    post_square: float = 0.0
    asked: int = 0
    writes: int = 0
    lost: int = 0
    at_bounds: int = 0
    moved: float = 0.0

    @property
    def lost_share(self) -> float:
        """Share of the changes that were asked for and lost; 0 if none was asked for."""
        return self.lost / self.asked if self.asked else 0.0

    @property
    def weight_norm_change(self) -> float:
        """By how much the norm has grown."""
        return self.weight_norm_after - self.weight_norm_before

    def as_dict(self) -> dict[str, Any]:
        """All of it by name."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Snapshot:
    """Of the sites of one rule: values and counts."""

    weight: np.ndarray
    counts: np.ndarray  # asked, writes, lost: (3, sites)
    moved: np.ndarray
    pre: np.ndarray
    post: np.ndarray


class Sites:
    """The sites of one rule, for looking at them all at once."""

    def __init__(self, plan: Plan, r: int, given: Plasticity):
        how = plan.learning
        self.name, self.plasticity, self.hooks = how.names[r], given, set(how.hooks[r])
        self.rows = np.flatnonzero(how.sites["rule"] == r)
        mine = how.sites[self.rows]
        self.ids = tuple(how.site_ids[i] for i in self.rows.tolist())
        self.start = mine["start"].astype(np.int64)
        self.low, self.high = np.array(mine["low"]), np.array(mine["high"])
        self.step = float(mine["step"][0]) if len(mine) else 0.0
        self.deterministic = bool(len(mine)) and int(mine["rounding"][0]) == NEAREST
        weights = mine["kind"] == AT_WEIGHT
        self._at_synapse = np.flatnonzero(weights)
        self._elsewhere = np.flatnonzero(~weights)
        self._detector = mine["place"][weights].astype(np.int64)
        self._loop = mine["loop"][~weights].astype(np.int64)
        self.neurons = np.unique(mine["neuron"][mine["neuron"] >= 0]).astype(np.int64)
        self.neuron_ids = tuple(plan.neuron_ids[n] for n in self.neurons.tolist())

    def values(self, state: State) -> np.ndarray:
        """The values now, (sites,)."""
        return np.asarray(state.sites[self.start + V_WEIGHT])

    def snapshot(self, state: State) -> Snapshot:
        """Of now."""
        columns = state.sites[self.start + np.array([[V_ASKED], [V_WRITES], [V_LOST]])]
        pre = np.zeros(len(self.start))
        pre[self._at_synapse] = state.detectors["arrived"][self._detector]
        pre[self._elsewhere] = state.loops["fluxons"][self._loop]
        moved = state.sites[self.start + V_MOVED]
        return Snapshot(self.values(state), columns, moved, pre, state.spikes[self.neurons].astype(float))

    def between(self, one: Snapshot, two: Snapshot) -> UpdateMetrics:
        """What has happened from one moment to the other."""
        counts = two.counts - one.counts
        pre, post = two.pre - one.pre, two.post - one.post
        pinned = [(s.weight <= self.low) | (s.weight >= self.high) for s in (one, two)]
        return UpdateMetrics(
            update_norm=_norm(two.weight - one.weight),
            weight_norm_before=_norm(one.weight),
            weight_norm_after=_norm(two.weight),
            pre_mean=_mean(pre),
            pre_std=float(pre.std()) if len(pre) else 0.0,
            pre_square=_mean(pre * pre),
            post_mean=_mean(post),
            post_std=float(post.std()) if len(post) else 0.0,
            post_square=_mean(post * post),
            asked=int(counts[0].sum()),
            writes=int(counts[1].sum()),
            lost=int(counts[2].sum()),
            at_bounds=int(counts[2][pinned[0] & pinned[1]].sum()),
            moved=float((two.moved - one.moved).sum()),
        )

    def ever(self, state: State) -> bool:
        """Whether any site has been written since the chip began."""
        return bool(state.sites[self.start + V_WRITES].any())

    def check(self, now: Snapshot, where: str) -> None:
        """Raise NonFiniteError, naming the sites, if a value is no finite number."""
        wrong = np.flatnonzero(~np.isfinite(now.weight))
        if len(wrong):
            raise NonFiniteError(
                [
                    f"{self.name}: {self.ids[k]} has become {now.weight[k]} {where}; lower the rate, give clip or bounds, "
                    "or look for a division by 0 in the rule"
                    for k in wrong[:20].tolist()
                ]
            )


def diagnosis(sites: Sites, total: UpdateMetrics, rate: float, sent: set[str], ever: bool) -> str | None:
    """Why a rule has moved nothing, or nearly nothing, in a sentence; None if it has, or if it did before and wants nothing now.

    ``sent``: signals that were sent; ``ever``: whether it has moved anything since the chip began.
    """
    name = sites.name
    if total.asked and sites.deterministic and total.at_bounds < total.lost >= SWALLOWED * total.asked:
        at_bounds = f" ({total.at_bounds} at sites that stand at a bound)" if total.at_bounds else ""
        return (
            f"{name}: {total.lost} of {total.asked} changes were below half a level ({0.5 * sites.step:.3g}) and moved nothing{at_bounds}, "
            "because the memory rounds to the nearest level; use Storage(rounding='stochastic') or 'hidden', more levels, or a higher rate"
        )
    if total.asked and total.at_bounds >= SWALLOWED * total.asked:
        return f"{name}: {total.at_bounds} of {total.asked} changes were lost at the bounds of the memory; widen them or lower the rate"
    if total.writes or total.asked:
        return None
    if rate == 0.0:
        return f"{name}: no update, because its rate is 0"
    if {"on_spike"} & sites.hooks and total.post_mean == 0.0:
        which = ", ".join(sites.neuron_ids[:4]) + (", ..." if len(sites.neuron_ids) > 4 else "")
        return (
            f"{name}: no update because no spikes: none of its neurons ({which}) has fired; raise weights or couplings, lower "
            "the threshold, or give more photons"
        )
    if {"on_detection"} & sites.hooks and total.pre_mean == 0.0:
        return f"{name}: no update because no photons: none has arrived at its synapses; look at the encoder's channels"
    heard = {hook[3:] for hook in sites.hooks - {"on_detection", "on_spike", "on_fluxon"}}
    if heard and not heard & sent:
        return f"{name}: no update, because it hears {', '.join(sorted(heard))}, and no such signal was sent; give a modulator"
    return None if ever else f"{name}: no update: its functions asked for no change between begins and ends"


def summed(metrics: list[UpdateMetrics]) -> UpdateMetrics:
    """Of several samples one after another: sums of counts, means of norms of updates and of statistics, the first and last norm."""
    if not metrics:
        return UpdateMetrics()
    means = ("update_norm", "pre_mean", "pre_std", "pre_square", "post_mean", "post_std", "post_square")
    sums = ("asked", "writes", "lost", "at_bounds", "moved")
    values: dict[str, Any] = {name: float(np.mean([getattr(m, name) for m in metrics])) for name in means}
    values |= {name: sum(getattr(m, name) for m in metrics) for name in sums}
    return UpdateMetrics(
        weight_norm_before=metrics[0].weight_norm_before, weight_norm_after=metrics[-1].weight_norm_after, **values
    )


def _norm(values: np.ndarray) -> float:
    return math.hypot(*values.tolist())


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
