"""Changes to a running simulation that it does not offer itself: the bias of a loop, light on many detectors at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from soen_event.engine.program import _Change
from soen_event.engine.state import NEXT_PHOTON, NOW
from soen_event.plan import lower

if TYPE_CHECKING:
    from soen_event.network import Network
    from soen_event.simulate import Simulation

__all__ = ["inject", "rebias"]


def rebias(run: Simulation, network: Network, loop: str) -> None:
    """Go on with ``network``, which differs from the one that runs in the bias of ``loop`` alone; its current stays.

    The loop is brought to now with its old bias and looks ahead with the new one, as it does after a change of its flux
    (:mod:`soen_event.engine.program`).

    Args:
        run: a Simulation; it is changed.
        network: with the new bias.
        loop: id of a dendrite, ``n1.soma`` or ``n1.refractory``.
    """
    old, state = run.plan, run._engine.state()
    now = max(int(state.cursor[NOW]), run._until_fs)
    run._collect()
    traced, k = run._traced(), old.loop_index[loop]
    until_now = _Change(old, state, now, traced)
    until_now.touch(k)
    run._append(until_now.settle([]))
    plan = lower(network, tuple(run.stimulus.drives), run.resolution, run.tol)
    if plan.loop_ids != old.loop_ids or len(plan.arrays.mode_tau) != len(old.arrays.mode_tau):
        raise AssertionError("a bias has changed what loops there are")
    state.loops["room"][k] = 0.0  # how much flux it can take asleep depends on the bias
    run._append(_Change(plan, state, now, traced).settle([k]))
    run.network, run.plan = network.copy(), plan
    done = int(state.cursor[NEXT_PHOTON])
    state.cursor[NEXT_PHOTON] = 0
    run._start(run._engine.photon_fs[done:], run._engine.photon_detector[done:], state)


def inject(run: Simulation, trains: Mapping[str, NDArray[np.int64]]) -> None:
    """Add photons to come, as :meth:`soen_event.Simulation.inject` does, on any number of detectors in one go.

    Args:
        run: a Simulation; it is changed.
        trains: arrival times (fs) by synapse id, none before now.
    """
    state, engine = run._engine.state(), run._engine
    done = int(state.cursor[NEXT_PHOTON])
    rows = [np.full(len(fs), run.plan.detector_index[name], dtype=np.int64) for name, fs in trains.items()]
    all_fs = np.concatenate([engine.photon_fs[done:], *trains.values()])
    detectors = np.concatenate([engine.photon_detector[done:], *rows])
    order = np.lexsort((detectors, all_fs))
    state.cursor[NEXT_PHOTON] = 0
    run._start(all_fs[order], detectors[order], state)
