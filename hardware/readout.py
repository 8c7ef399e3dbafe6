"""What a chip shows when it is read out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Readout"]


@dataclass(frozen=True)
class Readout:
    """What a chip showed since it was read last: in (start, end], ns.

    Args:
        start, end: ns. The first one after loading or a reset also has what happens at 0.
        settled: no weight or bias was written so late that the chip was still settling in this window.
        spikes: times (ns, ascending) by neuron; empty on a chip that does not spike.
        detections: times (ns) by synapse that light reaches.
        fluxons: numbers by loop, ``n1.soma`` and ``n1.refractory`` of a neuron.
        times: when currents were sampled, ns.
        currents: samples by dendrite or neuron, I_c, with the chip's noise and in its steps.
        writes: how often rules of learning have written, by place that learns.
        signals: what was broadcast to them: (time in ns, name, value).
    """

    start: float
    end: float
    settled: bool
    spikes: Mapping[str, NDArray[np.float64]]
    detections: Mapping[str, NDArray[np.float64]]
    fluxons: Mapping[str, int]
    times: NDArray[np.float64]
    currents: Mapping[str, NDArray[np.float64]]
    writes: Mapping[str, int] = field(default_factory=dict)
    signals: tuple[tuple[float, str, Any], ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Spikes by neuron."""
        return {name: len(times) for name, times in self.spikes.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "start_ns": self.start,
            "end_ns": self.end,
            "settled": self.settled,
            "spikes": {name: times.tolist() for name, times in self.spikes.items()},
            "detections": {name: times.tolist() for name, times in self.detections.items()},
            "fluxons": dict(self.fluxons),
            "times": self.times.tolist(),
            "currents": {name: samples.tolist() for name, samples in self.currents.items()},
            "writes": dict(self.writes),
            "signals": [list(each) for each in self.signals],
        }

    def __str__(self) -> str:
        spikes = sum(self.counts.values())
        detections = sum(map(len, self.detections.values()))
        lines = [
            f"{self.start:g} to {self.end:g} ns: {spikes:,d} spikes, {detections:,d} detections, "
            f"{sum(self.fluxons.values()):,d} fluxons"
            + (f", {sum(self.writes.values()):,d} writes by rules" if self.writes else "")
            + ("" if self.settled else "; not settled")
        ]
        lines += [
            f"  {name}: {times[-1]:.6g} ns last of {len(times)}" for name, times in self.spikes.items() if len(times)
        ]
        lines += [f"  {name}: {samples[-1]:.4g} I_c" for name, samples in self.currents.items()]
        return "\n".join(lines)
