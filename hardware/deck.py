"""The lines of a netlist: dendrites, coils, collection loops and sources, written element by element from a Plan.

:mod:`hardware.spice` has what the circuit is and who calls this. Names: a part's tag stands behind the underscore, ``T_D1`` is the top
node of d1, ``J1_D1`` its first junction's, ``LD_D1`` and ``RD_D1`` its integration loop; ``A_D1`` and ``P_D1`` are where currents go that
make flux in one arm or in both (and ``M_D1`` between the coils of these), ``N_D1`` nulls; ``C1_D1`` is in the collection loop of d1.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware.junctions import BETA_LINE, IB2, IB3
from hardware.netlist import Loop, Wave, number, wrapped
from soen_event.errors import InputError
from soen_event.physics.detector import flux_after, flux_in_hotspot
from soen_event.physics.source import MIRROR
from soen_event.plan import CORNER, PULSE, Plan
from soen_event.units import Phi0, k_B

if TYPE_CHECKING:
    from soen_event.network import Network

__all__ = ["Deck", "resting"]

TWO_PI = 2.0 * math.pi
START = 2e-9  # s: fluxes are switched on in the first eighth of it, biases in the next half, then the circuit rests
FLUX_ON, BIAS_ON = 0.25e-9, 1.25e-9
COIL = 20e-12  # H, of every coil (circuit.md 7)
K_COLLECT = 0.6  # coupling of a collection loop's coils (circuit.md 7)
K_INPUT = 0.3  # of coils that ideal sources drive; small, so that all couplings of an arm stay possible together
EDGE = 1e-15  # s, a jump
# Words by which JoSIM tells sources and ground apart wherever they stand in a line.
RESERVED = ("GND", "PWL", "PULSE", "SIN", "CUS", "NOISE", "PWS", "EXP", "TRAN", "GAUSS", "SOEN")
TAG = 20  # characters of a name that come from an id


@cache
def resting(kind: str, ib: float, phi: float, beta_1: float, beta_2: float) -> np.ndarray | None:
    """Junction phases (rad) at rest, with no current in the loop; None if there is no rest.

    Args:
        kind: "ri" (2 phases) or "rtti" (4). ``ib``: bias, I_c. ``phi``: flux, Phi0, that threads both arms (RI) or the first (RTTI).

    The flux is switched on first, then the biases; the static equations of :mod:`hardware.junctions` are followed by Newton's method.
    """
    if kind == "ri":
        q = 1.0 / (beta_1 + beta_2)
        A = q * np.array([[-1.0, 1.0], [1.0, -1.0]])
        bias = q * np.array([beta_2, beta_1]) * ib
        flux = q * np.array([1.0, -1.0]) * TWO_PI * phi
    else:
        whole = 1.0 / beta_1 + 1.0 / beta_2 + 1.0 / BETA_LINE
        share = np.array([1.0 / beta_1, 1.0 / beta_2, 1.0 / BETA_LINE, 0.0]) / whole  # theta = share . d + ...
        arm = np.array([1.0 / beta_1, 1.0 / beta_2, 1.0 / BETA_LINE, 0.0])
        A = np.outer(arm, share) - np.diag(arm)
        A[2:, 2:] += np.array([[-1.0, 1.0], [1.0, -1.0]]) / BETA_LINE
        bias = arm * ib / whole + np.array([0.0, 0.0, IB2, IB3])
        flux = (arm * (-share[0]) + np.array([1.0 / beta_1, 0.0, 0.0, 0.0])) * TWO_PI * phi
    d = np.zeros(len(bias))
    for part in range(1, 201):
        on = flux * min(1.0, part / 50) + bias * max(0.0, (part - 50) / 150)
        for _ in range(60):
            J = A - np.diag(np.cos(d))
            turn = np.linalg.solve(J, A @ d + on - np.sin(d))
            d = d - turn * min(1.0, 0.3 / max(np.abs(turn).max(), 1e-300))
            if np.abs(turn).max() < 1e-13:
                break
        else:
            return None
        if np.linalg.eigvalsh(0.5 * (J + J.T)).max() >= 0.0:
            return None
    d.flags.writeable = False
    return d


# ---------------------------------------------------------------------------------------------- the circuit


class Deck:
    """Lines of a netlist while it is written, and where everything of a loop is."""

    def __init__(
        self,
        network: Network,
        plan: Plan,
        dialect: str,
        chosen: list[int],
        duration: float,
        step: float,
        sample: float,
        temperature: float,
    ):
        self.network, self.plan, self.dialect, self.chosen = network, plan, dialect, chosen
        self.duration, self.step, self.sample, self.temperature = duration, step * 1e-12, sample * 1e-12, temperature
        device = plan.device
        self.Ic, self.unit = device.Ic, Phi0 / (TWO_PI * device.Ic)  # H of beta = 1
        self.arms = device.beta_1, device.beta_2
        a = plan.arrays
        self.source = np.repeat(np.arange(len(a.row)), np.diff(a.out_start))
        self.mirror = plan.sources.shape[a.row, MIRROR] == 1
        self.tags = _tags([plan.loop_ids[k] for k in chosen], chosen)
        self.sections: dict[int, list[str]] = {}
        self.waves: list[str] = []
        self.collections: list[str] = []
        self.warnings: list[str] = []
        self.coils: dict[tuple[int, str], float] = {}  # mutual inductance with the arms together
        self.names: set[str] = set()
        self.counts: dict[str, int] = {}
        self._plan_collections()

    def name(self, letter: str, tag: str) -> str:
        """A name of a device that there is not yet."""
        key = f"{letter}{{}}_{tag}"
        self.counts[key] = self.counts.get(key, 0) + 1
        return f"{letter}{self.counts[key]}_{tag}"

    # -------------------------------------------------------------- collection loops

    def _plan_collections(self) -> None:
        """Which couplings go through a collection loop, and by how much that makes inductances larger."""
        a = self.plan.arrays
        here = set(self.chosen)
        self.collected: dict[int, list[int]] = {}
        self.larger = dict.fromkeys(self.chosen, 0.0)  # H, of LD
        self.arm_larger = dict.fromkeys(self.chosen, 0.0)
        self.plain: list[int] = []
        cut_in, cut_out = [], []
        for c in range(len(self.source)):
            n, m = int(self.source[c]), int(a.out_loop[c])
            if a.out_J[c] == 0.0:
                continue
            if n not in here or m not in here:
                if m in here:
                    cut_in.append(self.plan.coupling_ids[c])
                elif n in here:
                    cut_out.append(self.plan.coupling_ids[c])
                continue
            if a.stiff[m] > 0.0:
                self.collected.setdefault(m, []).append(c)
            else:
                self.plain.append(c)
        # JoSIM measures a current between two nodes: a plain coupling needs a short in series with its source's loop.
        self.shorts = Counter(self.source[self.plain].tolist() if self.dialect == "josim" else ())
        for m, couplings in self.collected.items():
            whole, mutual = self._collection(m)
            for c in couplings:
                self.larger[int(self.source[c])] += self._mutual(c) ** 2 / whole
            if self.mirror[m]:
                self.arm_larger[m] = mutual**2 / whole
        for cut, what in ((cut_in, "from"), (cut_out, "to")):
            if cut:
                self.warnings.append(f"couplings {what} parts that are not here are cut: {', '.join(cut)}")

    def _collection(self, m: int) -> tuple[float, float]:
        """Total inductance of the loop that collects for loop ``m``, and its mutual inductance with the SQUID (H)."""
        name = self.plan.loop_ids[m]
        part: Any = self.network.dendrites.get(name)
        if part is None:
            part = self.network.neurons[name.removesuffix(".soma")].soma
        return float(part.collection_inductance), float(part.collection_mutual)

    def _mutual(self, c: int) -> float:
        """Mutual inductance of a coupling's source with the collection loop (H): J = M_in M_out I_c/(L_ct Phi0), circuit.md 2."""
        whole, mutual = self._collection(int(self.plan.arrays.out_loop[c]))
        return abs(float(self.plan.arrays.out_J[c])) * whole * Phi0 / (mutual * self.Ic)

    # -------------------------------------------------------------- loops

    def add_loop(self, k: int) -> None:
        a, tag = self.plan.arrays, self.tags[k]
        lines = self.sections.setdefault(k, [])
        b1, b2 = self.arms
        ri = bool(self.mirror[k])
        add = lines.append
        ib = float(a.ib[k])
        parallel = b1 * b2 / (b1 + b2)
        beta = float(a.beta[k]) - (parallel if ri else 0.0)  # an RTTI dendrite's loop has beta_eff in hardware.circuit
        L = beta * self.unit + self.larger[k]
        r = float(a.beta[k]) * self.plan.tau_0 / float(a.tau[k]) * self.plan.device.r_j
        add(self._bias(f"IB_{tag}", f"T_{tag}", ib))
        add(f"L1_{tag} T_{tag} J1_{tag} SOEN_L1")
        arm = "SOEN_L2" if self.arm_larger[k] == 0.0 else number(b2 * self.unit + self.arm_larger[k])
        add(f"L2_{tag} T_{tag} J2_{tag} {arm}")
        self._junction(lines, tag, 1)
        self._junction(lines, tag, 2)
        top = f"T_{tag}"
        if not ri:
            add(self._bias(f"IB3_{tag}", f"J3_{tag}", IB2))
            add(self._bias(f"IB4_{tag}", f"J4_{tag}", IB3))
            add(f"L3_{tag} T_{tag} J3_{tag} SOEN_L3")
            add(f"L4_{tag} J3_{tag} J4_{tag} SOEN_L3")
            self._junction(lines, tag, 3)
            self._junction(lines, tag, 4)
            top = f"J4_{tag}"
        add(f"LD_{tag} {top} D0_{tag} {number(L)}")
        sensed = self.shorts[k]
        add(f"RD_{tag} D{sensed}_{tag} 0 {number(r)}")
        if self.dialect == "wrspice" and self.temperature > 0.0:
            add(self._noise(f"IRD_{tag}", f"D{sensed}_{tag}", r))
        self._null(k, lines, L, top)
        offset = float(a.offset[k])
        if offset != 0.0:
            level = offset * Phi0 / self._coil(k, "P")
            self.waves.append(f"IO_{tag} 0 P_{tag} pwl(0 0 {number(FLUX_ON)} {number(level)})")

    def _bias(self, name: str, node: str, ib: float) -> str:
        return f"{name} 0 {node} pwl(0 0 {number(FLUX_ON)} 0 {number(BIAS_ON)} {number(ib * self.Ic)})"

    def _junction(self, lines: list[str], tag: str, j: int) -> None:
        node, r = f"J{j}_{tag}", self.plan.device.r_j
        if self.dialect == "josim":
            lines.append(f"B{j}_{tag} {node} 0 JJ_SOEN")
            return
        lines.append(f"B{j}_{tag} {node} 0 PH{j}_{tag} JJ_SOEN area={number(self.Ic * 1e3)}")
        lines.append(f"R{j}_{tag} {node} 0 {number(r)}")
        if self.temperature > 0.0:
            lines.append(self._noise(f"IR{j}_{tag}", node, r))

    def _noise(self, name: str, node: str, r: float) -> str:
        """Johnson noise of a resistor, constant over a step: variance 2 k T/(R step)."""
        deviation = math.sqrt(2.0 * k_B * self.temperature / (r * self.step))
        return f"{name} 0 {node} gauss({number(deviation)} 0 {number(self.step)} 0)"

    def _null(self, k: int, lines: list[str], L: float, top: str) -> None:
        """A coil on LD with the flux that the bias would otherwise leave in the loop (circuit.md 2)."""
        a, tag = self.plan.arrays, self.tags[k]
        kind = "ri" if self.mirror[k] else "rtti"
        rest = resting(kind, float(a.ib[k]), float(a.offset[k]), *self.arms)
        if rest is None:
            name = self.plan.loop_ids[k]
            self.warnings.append(
                f"{name} does not rest at its bias and flux; when its first fluxons come is a matter of the ramp"
            )
            return
        turn = self._top_phase(k, rest)
        for m, couplings in self.collected.items():
            if self.mirror[m]:
                target = resting("ri", float(a.ib[m]), float(a.offset[m]), *self.arms)
                if target is not None:  # the arm's static current is felt through the collection loop
                    turn -= sum(
                        TWO_PI * float(a.out_J[c]) * math.sin(target[1]) for c in couplings if self.source[c] == k
                    )
        mutual = K_INPUT * math.sqrt(COIL * L)
        lines.append(f"LN_{tag} N_{tag} 0 {number(COIL)}")
        lines.append(f"KN_{tag} LN_{tag} LD_{tag} {number(K_INPUT)}")
        level = turn * Phi0 / (TWO_PI * mutual)
        lines.append(f"IN_{tag} 0 N_{tag} pwl(0 0 {number(FLUX_ON)} 0 {number(BIAS_ON)} {level:.9g})")

    def _top_phase(self, k: int, rest: np.ndarray) -> float:
        """Phase at the node from which the loop goes to ground."""
        b1, b2 = self.arms
        if self.mirror[k]:  # flux of both arms in proportion to their inductances leaves it as it is
            return float((b2 * rest[0] + b1 * rest[1] + b1 * b2 * self.plan.arrays.ib[k]) / (b1 + b2))
        return float(rest[3])

    # -------------------------------------------------------------- inputs

    def _coil(self, k: int, way: str) -> float:
        """Mutual inductance (H, Phi0 a current) of the coil at node ``<way>_<tag>``; it is made when first asked for.

        "A": with the arm of the second junction alone (RI), of the first in the inverse sense (RTTI). "P": with both arms of an RI SQUID.
        """
        if not self.mirror[k]:
            way = "P"
        if (k, way) in self.coils:
            return self.coils[k, way]
        tag, lines = self.tags[k], self.sections[k]
        b1, b2 = self.arms
        first = b1 * self.unit
        second = b2 * self.unit + self.arm_larger[k]
        if not self.mirror[k]:
            mutual = K_INPUT * math.sqrt(COIL * first)
            lines.append(f"LM_{tag} 0 P_{tag} {number(COIL)}")
            lines.append(f"KM_{tag} LM_{tag} L1_{tag} {number(K_INPUT)}")
        elif way == "A":
            mutual = K_INPUT * math.sqrt(COIL * second)
            lines.append(f"LA_{tag} A_{tag} 0 {number(COIL)}")
            lines.append(f"KA_{tag} LA_{tag} L2_{tag} {number(K_INPUT)}")
        else:
            mutual = K_INPUT * math.sqrt(COIL * min(first / b1**2, second / b2**2)) * (b1 + b2)
            one, two = (mutual * b / (b1 + b2) / math.sqrt(COIL * arm) for b, arm in ((b1, first), (b2, second)))
            lines.append(f"LP_{tag} P_{tag} M_{tag} {number(COIL)}")
            lines.append(f"LM_{tag} 0 M_{tag} {number(COIL)}")
            lines.append(f"KP_{tag} LP_{tag} L2_{tag} {number(two)}")
            lines.append(f"KM_{tag} LM_{tag} L1_{tag} {number(one)}")
        self.coils[k, way] = mutual
        return mutual

    def couple(self) -> None:
        a = self.plan.arrays
        sensed = dict.fromkeys(self.chosen, 0)
        for c in self.plain:
            n, m = int(self.source[c]), int(a.out_loop[c])
            gain = float(a.out_J[c]) * Phi0 / (self.Ic * self._coil(m, "P"))
            name = self.name("F", self.tags[m])
            self.sections[m].append(f"* coupling {self.plan.coupling_ids[c]}, J = {number(float(a.out_J[c]))}")
            self.sections[m].append(self._controlled(name, f"P_{self.tags[m]}", n, sensed, gain))
        for m, couplings in self.collected.items():
            self._collect(m, couplings)

    def _controlled(self, name: str, node: str, n: int, sensed: dict[int, int], gain: float) -> str:
        """A current into ``node`` that is ``gain`` times that of loop ``n``."""
        tag = self.tags[n]
        if self.dialect == "wrspice":
            return f"{name} 0 {node} LD_{tag} {number(gain)}"
        at = sensed[n]
        sensed[n] += 1
        return f"{name} 0 {node} D{at}_{tag} D{at + 1}_{tag} {number(gain)}"

    def _collect(self, m: int, couplings: list[int]) -> None:
        """The closed loop of coils that collects for loop ``m``: one a source, one at the SQUID, and what is left of its inductance."""
        a, tag = self.plan.arrays, self.tags[m]
        whole, mutual = self._collection(m)
        lines = self.collections
        members = []  # (what it is coupled to, its inductance, mutual inductance, sense)
        for c in couplings:
            n = int(self.source[c])
            beta = float(a.beta[n]) - (self.arms[0] * self.arms[1] / sum(self.arms) if self.mirror[n] else 0.0)
            L = beta * self.unit + self.larger[n]
            members.append((f"LD_{self.tags[n]}", L, self._mutual(c), float(a.out_J[c]) < 0.0))
        if self.mirror[m]:
            members.append((f"L2_{tag}", self.arms[1] * self.unit + self.arm_larger[m], mutual, True))
        need = [M * M / L for _, L, M, _ in members]
        share = max(K_COLLECT**2, sum(need) / whole)
        if share >= 1.0:
            names = ", ".join(self.plan.coupling_ids[c] for c in couplings)
            raise InputError(
                f"netlist: {names} are coupled more tightly through a collection loop than mutual inductances can be; weaken J, or "
                "give collection_inductance and collection_mutual that fit"
            )
        k = math.sqrt(share)
        ids = ", ".join(f"{self.plan.coupling_ids[c]} {number(float(a.out_J[c]))}" for c in couplings)
        lines.append(f"* collection loop of {self.plan.loop_ids[m]}, {number(whole)} H: {ids}")
        left = whole
        last = len(members) - 1
        rest = whole - sum(need) / share
        stray = rest > 1e-6 * whole
        sensing = not self.mirror[m]
        for j, ((coupled, _, _, forward), inductance) in enumerate(zip(members, need, strict=True)):
            coil = inductance / share
            here, there = f"C{j}_{tag}" if j else "0", f"C{j + 1}_{tag}" if j < last or stray or sensing else "0"
            name = self.name("LC", tag)
            ends = (here, there) if forward else (there, here)
            lines.append(f"{name} {ends[0]} {ends[1]} {number(coil)}")
            lines.append(f"{self.name('KC', tag)} {name} {coupled} {number(k)}")
            left -= coil
        here = f"C{len(members)}_{tag}"
        there = f"C{len(members) + 1}_{tag}" if sensing and self.dialect == "josim" else "0"
        if stray or sensing:
            lines.append(f"LCS_{tag} {here} {there} {number(max(rest, 1e-6 * whole))}")
        if sensing:  # the SQUID of an RTTI dendrite does not act back (hardware.circuit)
            gain = mutual / self._coil(m, "P")
            name = self.name("F", tag)
            control = f"{there} 0" if self.dialect == "josim" else f"LCS_{tag}"
            lines.append(f"{name} 0 P_{tag} {control} {number(gain)}")

    def detect(self, name: str, times: np.ndarray) -> None:
        """Sources for the flux of one detector, from its detections (physics.md 1.2)."""
        if not len(times):
            return
        a, d = self.plan.arrays, self.plan.detector_index[name]
        k = int(a.det_loop[d])
        tag = self.tags[k]
        unit = float(a.det_weight[d]) * Phi0 / self._coil(k, "P")  # A per Phi0 of the detector
        if unit == 0.0:
            return
        rise, fall, hot = float(a.det_tau_rise[d]), float(a.det_tau_fall[d]), float(a.det_hotspot_fs[d]) * 1e-6
        level = float(a.det_level[d])
        self.waves.append(f"* detector {name}: {len(times)} detections, {number(times[0])} to {number(times[-1])} ns")
        ended, at_end = 0.0, 0.0
        for t in times.tolist():
            left = flux_after(at_end, fall, t - ended)
            begins, ends = START + t * 1e-9, START + (t + hot) * 1e-9
            if abs(left) > 1e-12 * abs(level):
                swift = EDGE if a.det_restarts[d] == 1 else rise * 1e-9
                self._wave(tag, "P", Wave("exp", (0.0, -left * unit, begins, swift, begins, fall * 1e-9)))
            if a.det_restarts[d] == 1:
                left = 0.0
            self._wave(tag, "P", Wave("exp", (0.0, level * unit, begins, rise * 1e-9, ends, rise * 1e-9)))
            at_end = flux_in_hotspot(left, level, rise, hot)
            ended = t + hot
            self._wave(tag, "P", Wave("exp", (0.0, at_end * unit, ends, rise * 1e-9, ends, fall * 1e-9)))

    def _wave(self, tag: str, way: str, wave: Wave) -> None:
        self.waves.append(f"{self.name('IS', tag)} 0 {way}_{tag} {wave}")

    def drive(self) -> None:
        """Pulses and corners of external flux."""
        a = self.plan.arrays
        here = set(self.chosen)
        lines: dict[tuple[int, str], list[tuple[int, float, float]]] = {}
        told: set[tuple[int, str]] = set()
        for j in range(len(a.kick_fs)):
            k = int(a.kick_loop[j])
            if k not in here:
                continue
            way = "A" if a.kick_arm[j] == 1 and self.mirror[k] else "P"
            unit = Phi0 / self._coil(k, way)
            t = START + float(a.kick_fs[j]) * 1e-15
            if (k, way) not in told:
                told.add((k, way))
                arm = "one arm" if way == "A" else "both arms"
                self.waves.append(
                    f"* flux of drives on {self.plan.loop_ids[k]}, {arm if self.mirror[k] else 'first arm'}"
                )
            if a.kick_kind[j] == PULSE:
                rise, fall = (float(a.mode_tau[int(m[j])]) * 1e-9 for m in (a.kick_rise, a.kick_fall))
                self._wave(self.tags[k], way, Wave("exp", (0.0, float(a.kick_x[j]) * unit, t, rise, t, fall)))
            elif a.kick_kind[j] == CORNER:
                corner = int(a.kick_fs[j]), float(a.kick_x[j]), float(a.kick_y[j])
                lines.setdefault((k, way), []).append(corner)
        for (k, way), corners in lines.items():
            self._wave(self.tags[k], way, self._line(corners, Phi0 / self._coil(k, way)))

    def _line(self, corners: list[tuple[int, float, float]], unit: float) -> Wave:
        """Piecewise linear flux from jumps (Phi0) and changes of slope (Phi0/ns)."""
        values = [0.0, 0.0]
        level, slope, before = 0.0, 0.0, 0
        for fs in sorted({c[0] for c in corners}):
            level += slope * (fs - before) * 1e-6
            t = START + fs * 1e-15
            values += [t - EDGE, level * unit]
            level += math.fsum(x for at, x, _ in corners if at == fs)
            slope += math.fsum(y for at, _, y in corners if at == fs)
            values += [t, level * unit]
            before = fs
        end = round(self.duration * 1e6) + 1_000_000
        if abs(slope) > 1e-15 and end > before:
            values += [START + end * 1e-15, (level + slope * (end - before) * 1e-6) * unit]
        return Wave("pwl", tuple(values))

    # -------------------------------------------------------------- text

    def finished(self, origin: str, probes: tuple[str, ...], seed: int) -> str:
        from soen_event import __version__

        plan, device, a = self.plan, self.plan.device, self.plan.arrays
        josim = self.dialect == "josim"
        purged = [plan.loop_ids[k] for k in self.chosen if a.purge[k] == 1]
        if purged:
            self.warnings.append(
                f"nothing empties the loops of {', '.join(purged)} here: after a spike they go on (after_spike: purge)"
            )
        called = " ".join((self.network.name or "").encode("ascii", "replace").decode().split())
        title = f" of {called}" if called else ""
        head = [
            f"junction circuits{title}, written by soen-event {__version__} for {'JoSIM' if josim else 'WRspice'}",
            f"dialect {self.dialect}",
            f"start {number(START)}",
            f"unit {number(self.Ic)}",
            f"device: Ic {number(self.Ic * 1e6)} uA, beta_c {number(device.beta_c)}, c {number(device.c_j * 1e15)} fF, "
            f"r {number(device.r_j)} Ohm, beta_1 {number(device.beta_1)}, beta_2 {number(device.beta_2)}",
            f"seed {seed}, {number(self.temperature)} K, {len(self.chosen)} of {len(plan.loop_ids)} loops, "
            f"{number(self.duration)} ns",
            f"{origin}; threshold, light and transmitters are no junctions and not here",
            *(f"warning: {text}" for text in self.warnings),
        ]
        out = [f"* {line}" for line in head]
        cards: list[str] = []
        for k in self.chosen:
            cards += [f"* {self._told(k)}", *self.sections[k]]
        cards += self.collections + self.waves
        loops = {k: self._loop(k) for k in self.chosen}
        for loop in loops.values():
            phases = "+".join(f"{number(weight)}*{name}" for name, weight in loop.phases)
            out.append(f"* loop {loop.id} current={loop.current} phase={phases} nodes={','.join(loop.nodes)} "
                       f"devices={','.join(loop.devices)}")  # fmt: skip
        out.append(f".param SOEN_L1={number(device.beta_1 * self.unit)}")
        out.append(f".param SOEN_L2={number(device.beta_2 * self.unit)}")
        if not self.mirror[self.chosen].all():
            out.append(f".param SOEN_L3={number(BETA_LINE * self.unit)}")
        if josim:
            model = f"rtype=0 icrit={number(device.Ic)} cap={number(device.c_j)} rn={number(device.r_j)} r0={number(device.r_j)}"
        else:  # a reference junction of 1 mA, which every release takes; the area makes it what it is
            model = f"rtype=0 cct=1 icrit=0.001 cap={number(device.c_per_Ic * 1e-3)}"
        out.append(f".model JJ_SOEN jj({model.replace(' ', ', ')})")
        out += cards
        if josim and self.temperature > 0.0:
            out += [f".temp {number(self.temperature)}", f".neb {number(1.0 / self.step)}"]
        stop = START + self.duration * 1e-9
        if josim:
            out.append(f".tran {number(self.step)} {number(stop)} {number(START)} {number(self.sample)}")
        else:
            out.append(f".tran {number(self.sample)} {number(stop)} {number(START)} {number(self.step)} uic")
        for loop in loops.values():
            out.append(self._probe(loop, probes))
        return "\n".join(wrapped(line) if line[0] != "*" else line for line in [*out, ".end"] if line) + "\n"

    def _told(self, k: int) -> str:
        a = self.plan.arrays
        kind = "RI" if self.mirror[k] else "RTTI"
        return (
            f"part {self.plan.loop_ids[k]}: {kind}, ib {number(float(a.ib[k]))}, beta_eff/2pi {number(float(a.beta[k]) / TWO_PI)}, "
            f"tau {number(float(a.tau[k]))} ns"
        )

    def _loop(self, k: int) -> Loop:
        tag = self.tags[k]
        b1, b2 = self.arms
        phases: tuple[tuple[str, float], ...] = ((f"B4_{tag}", 1.0),)
        if self.mirror[k]:
            phases = ((f"B1_{tag}", b2 / (b1 + b2)), (f"B2_{tag}", b1 / (b1 + b2)))
        words = [line.split() for line in self.sections[k] if line[0] not in "*K"]
        nodes: dict[str, None] = {}
        for w in words:
            nodes.update(dict.fromkeys(n for n in w[1:3] if n.endswith(f"_{tag}")))
        return Loop(self.plan.loop_ids[k], f"LD_{tag}", phases, tuple(nodes), tuple(w[0] for w in words))

    def _probe(self, loop: Loop, probes: tuple[str, ...]) -> str:
        josim = self.dialect == "josim"
        tag = loop.current[3:]
        words = []
        if "currents" in probes:
            words.append(f"i({loop.current})")
        if "phases" in probes:
            words += [f"p({name})" if josim else f"v(PH{name[1]}_{tag})" for name, _ in loop.phases]
        if "inputs" in probes:
            words += [f"i({name})" for name in loop.devices if name[:3] in ("LA_", "LP_") or name == f"LM_{tag}"]
        if "voltages" in probes:
            words.append(f"v(T_{tag})")
        return f"{'.print' if josim else '.save'} {' '.join(words)}" if words else ""


def _tags(ids: list[str], rows: list[int]) -> dict[int, str]:
    """Names for parts that a netlist can hold: capital letters, digits and _, not too long, no two alike."""
    tags: dict[int, str] = {}
    taken: set[str] = set()
    for k, name in zip(rows, ids, strict=True):
        plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())[:TAG]
        if any(word in plain for word in RESERVED):
            plain = "X"
        tag, more = plain, 1
        while tag in taken:
            more += 1
            tag = f"{plain}_{more}"
        taken.add(tag)
        tags[k] = tag
    return tags
