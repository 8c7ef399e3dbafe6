"""Two dendrites through a collection loop into a third: transients that JoSIM 2.7 computed for this project (circuit.md 7)."""

import json
import math
from pathlib import Path

import numpy as np

import soen_event as se

TREES = np.load(Path(__file__).parent / "data" / "circuit_trees.npz", allow_pickle=False)
CASES = json.loads(str(TREES["cases"]))


def tree(case):
    """The network of a case."""
    coils = {"collection_inductance": f"{case['L_ct']!r} H", "collection_mutual": f"{case['M_out']!r} H"}
    with se.Network(device=se.Device(Ic=case["Ic"], beta_c=case["beta_c"], c_per_Ic=case["c_per_Ic"])) as net:
        for k, one in enumerate(case["dendrites"]):
            more = coils if k == 2 else {}
            se.Dendrite(f"d{k}", ib=one["ib"], beta_over_2pi=one["beta"] / (2 * math.pi), tau=one["tau"], **more)
            if one["pulses"]:
                se.Drive(f"d{k}", pulses=[se.Pulse(*p) for p in one["pulses"]])
        for k, J in enumerate(case["J"]):
            se.Coupling(f"d{k}", "d2", J=J)
    return net


def fluxons(case, k, end):
    """When fluxons entered dendrite k, ns, before ``end``."""
    found = TREES[f"{case['id']}/fluxon_t_ns_{k}"]
    return found[found < end]
