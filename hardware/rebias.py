"""Changing the bias of one loop while a network runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soen_event.engine.program import _Change
from soen_event.engine.state import NEXT_PHOTON, NOW
from soen_event.plan import lower

if TYPE_CHECKING:
    from soen_event.network import Network
    from soen_event.simulate import Simulation

__all__ = ["rebias"]


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
