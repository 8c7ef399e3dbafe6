"""The twin: a time-stepped copy of a network, on batches, with gradients through time.

    twin = Twin(net, dt=0.5, channels={"p00": ["p00.d1", "p00.d7"], ...}, outputs=["n0", "n1"], readout="spikes", pooling="sum")
    run = twin.forward(photons, train=True)              # photons: (batch, steps, channels), how many arrive in each step
    gradients = twin.backward(run, outputs=grad)         # by the names of Network.parameters()

The equations are those of the engines at resolution ``flow``, on a grid of ``dt``:

* A detector relaxes towards its level during the hotspot of a photon, which comes at the beginning of its step, and decays after it
  (physics.md 1.2). Its flux counts with its mean over the step, exactly.
* A loop: s' = e^(-dt/tau) s + tau (1 - e^(-dt/tau)) g(phi, ib - s')/(tau_0 beta), phi with the other currents as they were. First order in
  dt, and stable: g's slope has no bound at its onset, along which currents slide; with g(phi, ib - s) they would jump to and fro there.
* A soma spikes where s' reaches its threshold; emptied, held and armed again as in the engines. Its light comes after latency and delay,
  at a whole number of steps, or shared between two (``delays="linear"``, then delays have a gradient).

What follows from one photon train through equal detectors is followed once (a *line*), however many synapses it drives.
Back through time the spike's step has the derivative of a surrogate (:mod:`training.surrogates`); everything else is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError, nearest
from soen_event.plan import DARK, lower
from training import kernels
from training.model import Run
from training.readout import Pooling
from training.readout import pooling as pooling_of

if TYPE_CHECKING:
    from soen_event.network import Network

__all__ = ["Twin"]

NAMES = ("weights", "J", "phi_offset", "ib", "tau", "threshold", "delay")


@dataclass
class _Lines:
    """Detectors that see the same photons and answer alike. Row: a line.

    ``f``: flux at the end of a step, ``m``: its mean over the step, from the flux f0 before it and the photon x (0 to 1):
    f = f_keep f0 + x (f_new - f_lost f0), m likewise.
    """

    f_keep: np.ndarray
    f_new: np.ndarray
    f_lost: np.ndarray
    m_keep: np.ndarray
    m_new: np.ndarray
    m_lost: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[tuple], dt: float, dtype: Any) -> _Lines:
        """From (level, tau_rise, tau_fall, hotspot, restarts) of every line; all times in ns."""
        out = np.zeros((6, len(rows)))
        for k, (level, rise, fall, hot, restarts) in enumerate(rows):
            rest = dt - hot
            left = math.exp(-hot / rise) if rise > 0.0 else 0.0
            lost = 0.0 if restarts else left
            later = math.exp(-rest / fall)
            keep = math.exp(-dt / fall)
            tail = fall * (1.0 - later) / dt
            new = later * level * (1.0 - left)
            mean = (level * hot - level * rise * (1.0 - left)) / dt + level * (1.0 - left) * tail
            in_hot = 0.0 if restarts else rise * (1.0 - left) / dt
            out[:, k] = keep, new, keep - later * lost, fall * (1.0 - keep) / dt, mean, 0.0
            out[5, k] = out[3, k] - in_hot - lost * tail
        return cls(*out.astype(dtype))

    def take(self, which: np.ndarray) -> _Lines:
        return _Lines(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def step(self, f: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(flux after the step, mean over it)."""
        return self.f_keep * f + x * (self.f_new - self.f_lost * f), self.m_keep * f + x * (
            self.m_new - self.m_lost * f
        )

    def back(self, f: np.ndarray, x: np.ndarray, to_f: np.ndarray, to_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients by the flux before the step and by the photon, from those by flux after it and mean."""
        to_before = to_f * (self.f_keep - x * self.f_lost) + to_m * (self.m_keep - x * self.m_lost)
        to_x = to_f * (self.f_new - self.f_lost * f) + to_m * (self.m_new - self.m_lost * f)
        return to_before, to_x


@dataclass
class _Tape:
    """What a training run keeps; time first: (T, B, ...)."""

    x_in: np.ndarray  # photons of lines from outside, and those lines' fluxes before each step and means over it
    f_in: np.ndarray
    m_in: np.ndarray
    x_own: np.ndarray  # the same of lines that neurons light
    f_own: np.ndarray
    m_own: np.ndarray
    s: np.ndarray  # (T + 1, B, n)
    before: np.ndarray  # s' before a purge
    g_phi: np.ndarray
    g_i: np.ndarray
    spikes: np.ndarray  # (T, B, n)
    slope: np.ndarray | None  # derivative of the spikes by s', of a smooth run
    flags: np.ndarray
    summed: np.ndarray  # light on own lines before it is cut at one photon
    pooled: Any


class Twin:
    """A network on a time grid.

    Args:
        network: any network without tiles, hysteresis of drives apart: its own drives are not run.
        dt: ns, longer than every hotspot.
        channels: what the columns of the inputs are: synapse ids, or a mapping of a channel's name to the synapses that it lights.
            Default: every synapse that no neuron lights, a channel each.
        outputs: ids of dendrites or neurons that are read out. Default: all neurons, or all dendrites if there is no neuron.
        readout: "current" (of somas and dendrites) or "spikes".
        pooling: of the outputs over time (:mod:`training.readout`), with its options; "none" keeps the time.
        scale: the outputs are multiplied by it.
        surrogate: name, or an object with ``forward`` and ``backward``; its argument is (s' - threshold)/width.
        width: I_c, the surrogate's unit of current.
        trainable: which of weights, J, phi_offset, ib, tau, threshold, delay have gradients.
        delays: "nearest" step, or "linear" between two.
        loading: loops that load each other through collection loops are not in the twin yet: "refuse" them, or "ignore" the loading
            (currents are then off by some tenths of a per cent to some per cent, see ``soen check``).
        dtype: float32 or float64 of all states.

    Raises:
        InputError: with every fault of these arguments.
    """

    def __init__(
        self,
        network: Network,
        dt: float = 0.5,
        channels: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
        outputs: Iterable[str] | None = None,
        readout: str = "current",
        pooling: str | Pooling = "mean",
        scale: float = 1.0,
        surrogate: Any = "triangle",
        width: float = 0.1,
        trainable: Iterable[str] = ("weights",),
        delays: str = "nearest",
        loading: str = "refuse",
        dtype: Any = "float32",
    ):
        self.network, self.dt, self.readout, self.scale, self.width = (
            network,
            float(dt),
            readout,
            float(scale),
            float(width),
        )
        self.trainable, self.delays, self.dtype = tuple(trainable), delays, np.dtype(dtype)
        self.pooling = pooling_of(pooling)
        self.surrogate = _surrogate(surrogate)
        self.plan = lower(network, resolution="flow")
        self._refuse(loading)
        arrays = self.plan.arrays
        self.n = len(self.plan.loop_ids)
        self.values = {name: np.array(value, dtype=self.dtype) for name, value in network.parameters().items()}
        self._wire(channels)
        chosen = list(outputs) if outputs is not None else (list(network.neurons) or list(network.dendrites))
        unknown = [name for name in chosen if name not in self.plan.loop_index]
        if unknown or not chosen:
            hint = nearest(unknown[0], self.plan.loop_index) if unknown else ""
            raise InputError(f"Twin.outputs: {unknown[:1] or chosen} is no dendrite or neuron{hint}; give ids of some")
        self.outputs = tuple(chosen)
        self._out = np.array([self.plan.loop_index[name] for name in chosen])
        if readout == "spikes" and (arrays.neuron[self._out] < 0).any():
            silent = [name for name in chosen if arrays.neuron[self.plan.loop_index[name]] < 0]
            raise InputError(f"Twin.readout: {silent[0]!r} makes no spikes; read out its current, or neurons")
        self._refresh()

    # ------------------------------------------------------------------ what a network becomes

    def _refuse(self, loading: str) -> None:
        arrays, faults = self.plan.arrays, []
        hot = float(arrays.det_hotspot_fs.max(initial=0)) * 1e-6
        if not (math.isfinite(self.dt) and self.dt > 0.0):
            faults.append(f"Twin.dt: {self.dt!r} ns; give a positive time")
        elif self.dt <= hot:
            faults.append(
                f"Twin.dt: {self.dt!r} ns is not longer than the longest hotspot, {hot:g} ns; give a longer step"
            )
        for value, name, known in (
            (self.readout, "readout", ("current", "spikes")),
            (self.delays, "delays", ("nearest", "linear")),
            (loading, "loading", ("refuse", "ignore")),
            *((t, "trainable", NAMES) for t in self.trainable),
        ):
            if value not in known:
                faults.append(
                    f"Twin.{name}: {value!r} is not known{nearest(str(value), known)}; use {', '.join(known)}"
                )
        if not (math.isfinite(self.width) and self.width > 0.0):
            faults.append(f"Twin.width: {self.width!r} I_c; give a positive current")
        if self.dtype not in (np.dtype("float32"), np.dtype("float64")):
            faults.append(f"Twin.dtype: {self.dtype}; use float32 or float64")
        if len(arrays.load_loop) and loading == "refuse":
            names = ", ".join(self.plan.loop_ids[k] for k in np.flatnonzero(np.diff(arrays.load_start))[:4].tolist())
            faults.append(
                f"Twin.network: {names} load each other; leave collection_inductance out, or give loading='ignore'"
            )
        if faults:
            raise InputError(faults)

    def _wire(self, channels: Any) -> None:
        """Lines, what lights them, and which loops they drive."""
        arrays, plan, dt = self.plan.arrays, self.plan, self.dt
        lights: list[list[tuple]] = [[] for _ in plan.detector_ids]  # (neuron, waveguide or -1) by detector
        for k, detector in enumerate(arrays.refractory_detector.tolist()):
            if detector >= 0:
                lights[detector].append((k, -1))
        for k in range(len(plan.neuron_ids)):
            if arrays.emission[k] != DARK:
                for w in range(arrays.guide_start[k], arrays.guide_start[k + 1]):
                    lights[arrays.guide_detector[w]].append((k, w))
        if channels is None:
            channels = [name for d, name in enumerate(plan.detector_ids) if not lights[d]]
        named = channels if isinstance(channels, Mapping) else {name: [name] for name in channels}
        self.channels = tuple(named)
        self._channel_of = {
            name: c
            for c, synapses in enumerate(named.values())
            for name in ([synapses] if isinstance(synapses, str) else synapses)
        }
        faults, shone = [], [[] for _ in plan.detector_ids]  # type: ignore[var-annotated]
        for c, synapses in enumerate(named.values()):
            for name in [synapses] if isinstance(synapses, str) else synapses:
                if name in plan.detector_index:
                    shone[plan.detector_index[name]].append(c)
                else:
                    faults.append(f"Twin.channels: no synapse {name!r}{nearest(str(name), plan.detector_index)}")
        if faults:
            raise InputError(faults)
        row = {name: k for k, name in enumerate(self.network.ids("delay"))}
        self._guide_row = [row[name] for name in plan.guide_ids]
        sets: dict[tuple, int] = {}
        line = np.zeros(len(plan.detector_ids), dtype=int)
        for d in range(len(plan.detector_ids)):
            answer = (
                float(arrays.det_level[d]),
                float(arrays.det_tau_rise[d]),
                float(arrays.det_tau_fall[d]),
                float(arrays.det_hotspot_fs[d]) * 1e-6,
                int(arrays.det_restarts[d]),
            )
            delays = tuple((k, w if self.delays == "linear" and w >= 0 else self._steps(k, w)) for k, w in lights[d])
            line[d] = sets.setdefault((tuple(shone[d]), delays, answer), len(sets))
        keys = list(sets)
        own = np.array([bool(key[1]) for key in keys], dtype=bool)
        place = np.where(own, np.cumsum(own) - 1, np.cumsum(~own) - 1)
        every = _Lines.of([key[2] for key in keys], dt, self.dtype)
        self._in, self._own = every.take(~own), every.take(own)
        self._det_own, self._det_line, self._det_loop = own[line], place[line], arrays.det_loop.copy()
        # Channels onto lines, (channels, lines); neurons onto own lines as (line, neuron, waveguide or -1).
        self._shine = [np.zeros((len(self.channels), int(part.sum())), dtype=self.dtype) for part in (~own, own)]
        self._light: list[tuple[int, int, int]] = []
        for key, k in sets.items():
            for c in key[0]:
                self._shine[int(own[k])][c, place[k]] = 1.0
            if own[k]:
                d = int(np.flatnonzero(line == k)[0])
                self._light += [(int(place[k]), neuron, w) for neuron, w in lights[d]]
        ids = {name: k for k, name in enumerate(self.network.ids("weights"))}
        self._weight_row = np.array([ids.get(name, -1) for name in plan.detector_ids], dtype=int)
        self._couplings()
        self._row_of: dict[str, np.ndarray] = {}
        self._longer = arrays.tau[self._rows("tau")] / self.network.parameters()["tau"]

    def _couplings(self) -> None:
        """From where to where every coupling goes, and its row among the network's (a refractory dendrite's own: -1)."""
        arrays, plan = self.plan.arrays, self.plan
        self._from = np.repeat(np.arange(self.n), np.diff(arrays.out_start))
        self._to = arrays.out_loop
        rows: dict[tuple[int, int], list[int]] = {}
        for k, name in enumerate(self.network.ids("J")):
            part = self.network[name]
            rows.setdefault((plan.loop_index[part.source], plan.loop_index[part.target]), []).append(k)
        J = self.network.parameters()["J"]
        self._J_row = np.full(len(self._to), -1)
        for c, way in enumerate(zip(self._from.tolist(), self._to.tolist(), strict=True)):
            for k in rows.get(way, []):
                if J[k] == arrays.out_J[c]:
                    self._J_row[c] = k
                    rows[way].remove(k)
                    break

    def _steps(self, neuron: int, w: int) -> int:
        """Steps from a spike to its light's arrival; 0: at the beginning of the next step."""
        arrays = self.plan.arrays
        fs = 0 if w < 0 else int(arrays.latency_fs[neuron] + arrays.guide_delay_fs[w])
        return round(fs * 1e-6 / self.dt)

    def _way(self, neuron: int, w: int) -> float:
        """The same for waveguide ``w`` with its trained delay, not rounded."""
        latency = float(self.plan.arrays.latency_fs[neuron]) * 1e-6
        return (latency + float(self.values["delay"][self._guide_row[w]])) / self.dt

    # ------------------------------------------------------------------ parameters

    def parameters(self) -> dict[str, np.ndarray]:
        """The trainable arrays by name, as in ``network.parameters()``, in the twin's dtype: change them in place."""
        return {name: self.values[name] for name in self.trainable}

    def bounds(self) -> dict[str, tuple[float, float]]:
        """What a parameter may be: decay times, thresholds and delays are not negative."""
        small = 1e-3
        every = {"tau": (small, math.inf), "threshold": (small, math.inf), "delay": (0.0, math.inf)}
        return {name: every[name] for name in self.trainable if name in every}

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the trainable arrays."""
        return {name: value.copy() for name, value in self.parameters().items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what :meth:`state_dict` gave.

        Raises:
            InputError: names or shapes are others; nothing is changed then.
        """
        mine, faults = self.parameters(), []
        for name in {*mine, *state}:
            if name not in mine or name not in state:
                faults.append(
                    f"Twin.load_state_dict: {name!r} is only in {'the twin' if name in mine else 'the state'}"
                )
            elif np.shape(state[name]) != mine[name].shape:
                faults.append(
                    f"Twin.load_state_dict: {name} of shape {np.shape(state[name])}, here it is {mine[name].shape}"
                )
        if faults:
            raise InputError(faults)
        for name, array in mine.items():
            array[...] = state[name]

    def deploy(self) -> Network:
        """The network with the twin's values: what the engines run. It is the twin's own network, changed in place.

        Raises:
            InputError: values that a part refuses; nothing is changed then.
        """
        self.network.set_parameters({name: value.astype(float) for name, value in self.parameters().items()})
        return self.network

    def _refresh(self) -> None:
        """Everything that follows from the parameters, before a forward run."""
        arrays, plan, dtype = self.plan.arrays, self.plan, self.dtype
        base = {name: getattr(arrays, column).astype(float).copy() for name, column in _COLUMNS.items()}
        for name in _COLUMNS:
            if name in self.trainable:
                where = self._rows(name)
                value = self.values[name].astype(float)
                if name == "tau":  # a part's tau is that of its own inductance, the loop's is longer by its arms
                    value = value * self._longer
                base[name][where] = value
        self._tau = base["tau"]
        decay = np.exp(-self.dt / base["tau"])
        self._keep = decay
        self._gain = base["tau"] * (1.0 - decay) / (plan.tau_0 * arrays.beta)
        self._offset = base["phi_offset"].astype(dtype)
        self._ib, self._threshold = base["ib"], base["threshold"]
        quantum = np.minimum(arrays.quantum, 0.5 * np.abs(self._threshold))
        self._rearm = self._threshold - quantum
        self._pause = np.ceil(arrays.t_ref_fs * 1e-6 / self.dt - 1e-9).astype(np.int64)
        weights = arrays.det_weight.astype(dtype)
        known = self._weight_row >= 0
        weights[known] = self.values["weights"][self._weight_row[known]]
        self._W = []
        for own, lines in ((False, self._in), (True, self._own)):
            of = self._det_own == own
            W = np.zeros((len(lines.f_keep), self.n), dtype=dtype)
            np.add.at(W, (self._det_line[of], self._det_loop[of]), weights[of])
            self._W.append(W)
        self._C = np.zeros((self.n, self.n), dtype=dtype)
        J, known = arrays.out_J.astype(dtype), self._J_row >= 0
        J[known] = self.values["J"][self._J_row[known]]
        np.add.at(self._C, (self._from, self._to), J)
        self._coupled = len(self._from) > 0
        ways: dict[tuple[int, float], list[tuple[int, int]]] = {}
        for line, neuron, w in self._light:
            steps, share = float(self._steps(neuron, w)), 0.0
            if self.delays == "linear" and w >= 0:
                way = self._way(neuron, w)
                steps, share = math.floor(way), way - math.floor(way)
            ways.setdefault((int(steps), share), []).append((line, int(arrays.soma[neuron])))
        # By whole steps and share of the next: (steps, share, own lines, somas that light them), no line twice.
        self._ways = [
            (steps, share, *np.array(pairs, dtype=int).T)
            for (steps, share), every in ways.items()
            for pairs in _apart(every)
        ]

    def _rows(self, name: str) -> np.ndarray:
        """Loops of the rows of a parameter."""
        if name not in self._row_of:
            self._row_of[name] = np.array([self.plan.loop_index[id] for id in self.network.ids(name)], dtype=int)
        return self._row_of[name]

    # ------------------------------------------------------------------ forward

    def forward(
        self, inputs: np.ndarray, train: bool = False, rng: np.random.Generator | None = None, smooth: Any = None
    ) -> Run:
        """Run a batch from rest.

        Args:
            inputs: (batch, steps, channels), photons that come in each step: 0 to 1; more than one count as one.
            train: keep what :meth:`backward` needs.
            rng: not used yet; draws of noise.
            smooth: a function (value, derivative) of (s' - threshold)/width that stands for the spike's step: then everything is
                differentiable, and :meth:`gradient_check` can look at all of it.

        Returns:
            the outputs, pooled; currents of all loops (batch, steps + 1, loops); spikes of all neurons (batch, steps, neurons).

        Raises:
            InputError: inputs of another shape, or not finite.
        """
        inputs = np.asarray(inputs, dtype=self.dtype)
        if inputs.ndim != 3 or inputs.shape[2] != len(self.channels) or inputs.shape[1] < 1:
            raise InputError(f"Twin.forward: inputs of shape {inputs.shape}; give (batch, steps, {len(self.channels)})")
        if not np.isfinite(inputs).all() or (inputs < 0.0).any():
            raise InputError("Twin.forward: inputs that are not finite numbers from 0; give photons in each step")
        self._refresh()
        B, T, n, dtype = inputs.shape[0], inputs.shape[1], self.n, self.dtype
        x = np.ascontiguousarray(inputs.transpose(1, 0, 2))
        x_in = np.minimum(x @ self._shine[0], 1.0)
        x_also = x @ self._shine[1]
        f_in, m_in = np.empty_like(x_in), np.empty_like(x_in)
        f = np.zeros(x_in.shape[1:], dtype=dtype)
        for k in range(T):
            f_in[k] = f
            f, m_in[k] = self._in.step(f, x_in[k])
        phi = (m_in.reshape(T * B, -1) @ self._W[0]).reshape(T, B, n) + self._offset
        longest = max((way[0] + 2 for way in self._ways), default=1)
        own = len(self._own.f_keep)
        light = np.zeros((T + longest, B, own), dtype=dtype)
        light[:T] = x_also
        x_own, f_own, m_own = (np.zeros((T, B, own), dtype=dtype) for _ in range(3))
        s = np.zeros((T + 1, B, n), dtype=dtype)
        before, g_phi, g_i, spikes = (np.empty((T, B, n), dtype=dtype) for _ in range(4))
        slope = np.zeros((T, B, n), dtype=dtype) if smooth is not None else None
        flags = np.empty((T, B, n), dtype=np.uint8)
        held, armed = np.zeros((B, n), dtype=np.int64), np.ones((B, n), dtype=np.int64)
        step, arrays = _compiled("step"), self.plan.arrays
        sources = self.plan.sources
        threshold = self._threshold if smooth is None else np.full(n, np.inf)
        f = np.zeros((B, own), dtype=dtype)
        for k in range(T):
            if own:
                x_own[k] = np.minimum(light[k], 1.0)
                f_own[k] = f
                f, m_own[k] = self._own.step(f, x_own[k])
                phi[k] += m_own[k] @ self._W[1]
            if self._coupled:
                phi[k] += s[k] @ self._C
            step(
                s[k],
                phi[k],
                held,
                armed,
                self._ib,
                arrays.row,
                self._keep,
                self._gain,
                threshold,
                self._rearm,
                arrays.purge,
                self._pause,
                1e-14 if dtype == np.float64 else 1e-7,
                sources.shape,
                sources.scale,
                sources.cells,
                sources.levels,
                before[k],
                s[k + 1],
                g_phi[k],
                g_i[k],
                spikes[k],
                flags[k],
            )
            if smooth is not None and slope is not None:
                self._smooth_spikes(smooth, held, armed, before[k], s[k + 1], spikes[k], slope[k], flags[k])
            for steps, share, lines, somas in self._ways:
                z = spikes[k][:, somas]
                light[k + 1 + steps][:, lines] += (1.0 - share) * z
                if share:
                    light[k + 2 + steps][:, lines] += share * z
        course = s[1:] if self.readout == "current" else spikes
        outputs, pooled = self.pooling.forward(course[:, :, self._out].transpose(1, 0, 2))
        tape = None
        if train:
            tape = _Tape(
                x_in, f_in, m_in, x_own, f_own, m_own, s, before, g_phi, g_i, spikes, slope, flags, light[:T], pooled
            )
        return Run(
            outputs * dtype.type(self.scale),
            s.transpose(1, 0, 2),
            spikes[:, :, arrays.soma].transpose(1, 0, 2) if len(arrays.soma) else None,
            tape,
            inputs,
        )

    def encode(self, photons: Any, duration: float) -> np.ndarray:
        """A stimulus as the twin's inputs: (steps, channels), photons in each step.

        Args:
            photons: as for ``simulate``: times (ns) by synapse. A channel gets those of the first of its synapses.
            duration: ns; steps = duration/dt, rounded up.

        Raises:
            InputError: an unknown synapse, or one that is of no channel.
        """
        from soen_event.stimulus import Stimulus

        trains = {str(key): np.asarray(times) for key, times in Stimulus.coerce(photons).photons.items()}
        steps = math.ceil(duration / self.dt - 1e-9)
        out = np.zeros((steps, len(self.channels)), dtype=self.dtype)
        unknown = [name for name in trains if name not in self._channel_of]
        if unknown:
            raise InputError(
                f"Twin.encode: {unknown[0]!r} is in no channel{nearest(unknown[0], self._channel_of)}; give channels with it"
            )
        first: dict[int, str] = {}
        for name, times in trains.items():
            c = self._channel_of[name]
            if first.setdefault(c, name) == name:
                step = np.floor(times / self.dt + 1e-9).astype(int)
                np.add.at(out[:, c], step[step < steps], 1.0)
        return out

    def gradient_check(
        self, inputs: np.ndarray, names: Iterable[str] | None = None, step: float = 1e-6, most: int = 20, seed: int = 0
    ) -> dict[str, float]:
        """Largest relative error of :meth:`backward` against central differences, by parameter, with smooth spikes.

        A random loss, linear in outputs, states and spikes, is differentiated by up to ``most`` entries of every array. The error is
        relative to the entry, or to 1e-3 of the array's largest. Needs float64.

        Raises:
            InputError: the twin is of float32, or a name is not trainable.
        """
        if self.dtype != np.float64:
            raise InputError("Twin.gradient_check: this twin is of float32; make it with dtype='float64'")
        rng = np.random.default_rng(seed)
        run = self.forward(inputs, train=True, smooth=_sigmoid)
        sides = {
            name: rng.normal(size=value.shape) / math.sqrt(value.size)
            for name in ("outputs", "states", "spikes")
            if (value := getattr(run, name)) is not None
        }
        found = self.backward(run, **sides)
        parameters = self.parameters()
        errors = {}
        for name in names if names is not None else parameters:
            if name not in parameters:
                raise InputError(f"Twin.gradient_check: {name!r} is not trained here{nearest(str(name), parameters)}")
            flat, exact = parameters[name].reshape(-1), found[name].reshape(-1)
            chosen = rng.permutation(flat.size)[:most]
            least, worst = 1e-3 * float(np.abs(exact).max(initial=0.0)) + 1e-12, 0.0
            for k in chosen.tolist():
                held, ends = flat[k], []
                reach = step * max(1.0, abs(held))
                for side in (1.0, -1.0):
                    flat[k] = held + side * reach
                    again = self.forward(inputs, smooth=_sigmoid)
                    ends.append(sum(float((getattr(again, what) * side_).sum()) for what, side_ in sides.items()))
                flat[k] = held
                slope = (ends[0] - ends[1]) / (2.0 * reach)
                worst = max(worst, abs(slope - exact[k]) / max(abs(slope), least))
            errors[name] = worst
        return errors

    def _smooth_spikes(
        self, smooth: Any, held: Any, armed: Any, before: Any, after: Any, spikes: Any, slope: Any, flags: Any
    ) -> None:
        """Spikes between 0 and 1 from a smooth function; a soma counts as having spiked where it is above one half."""
        arrays = self.plan.arrays
        for d in arrays.soma.tolist():
            may = flags[:, d] == kernels.FREE | kernels.MAY
            value, rate = smooth((before[:, d] - self._threshold[d]) / self.width)
            spikes[:, d] = np.where(may, value, 0.0)
            slope[:, d] = np.where(may, rate / self.width, 0.0)
            over = before[:, d] >= self._threshold[d]
            fired = may & over
            held[fired, d] = self._pause[d]
            armed[over & ~fired, d] = 0
            armed[fired, d] = arrays.purge[d]
            if arrays.purge[d]:
                after[:, d] = before[:, d] * (1.0 - spikes[:, d])

    # ------------------------------------------------------------------ backward

    def backward(
        self,
        run: Run,
        outputs: np.ndarray | None = None,
        states: np.ndarray | None = None,
        spikes: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Gradients of a loss by the trainable arrays.

        Args:
            run: of :meth:`forward` with ``train``, since when no parameter has changed.
            outputs, states, spikes: the loss's gradients by these of the run; None for zero.

        Raises:
            InputError: the run kept nothing, or a gradient's shape is not that of what it belongs to.
        """
        tape: _Tape = run.tape
        if tape is None:
            raise InputError("Twin.backward: this run kept nothing; run forward with train=True")
        for name, grad, value in (
            ("outputs", outputs, run.outputs),
            ("states", states, run.states),
            ("spikes", spikes, run.spikes),
        ):
            if grad is not None and (value is None or np.shape(grad) != value.shape):
                raise InputError(
                    f"Twin.backward: {name} of shape {np.shape(grad)}, the run's are {None if value is None else value.shape}"
                )
        arrays, dtype = self.plan.arrays, self.dtype
        T, B, n = tape.before.shape
        to_s = np.zeros((T + 1, B, n), dtype=dtype)
        to_z = np.zeros((T, B, n), dtype=dtype)
        if outputs is not None:
            grad = self.pooling.backward(np.asarray(outputs, dtype=dtype) * dtype.type(self.scale), tape.pooled)
            course = to_s[1:] if self.readout == "current" else to_z
            for c, d in enumerate(self._out.tolist()):
                course[:, :, d] += grad[:, :, c].T
        if states is not None:
            to_s += np.asarray(states, dtype=dtype).transpose(1, 0, 2)
        if spikes is not None:
            to_z[:, :, arrays.soma] += np.asarray(spikes, dtype=dtype).transpose(1, 0, 2)
        slope = tape.slope
        if slope is None:
            slope = np.zeros((T, B, n), dtype=dtype)
            if len(arrays.soma):
                v = (tape.before[:, :, arrays.soma] - self._threshold[arrays.soma].astype(dtype)) / dtype.type(
                    self.width
                )
                slope[:, :, arrays.soma] = self.surrogate.backward(v) / dtype.type(self.width)
        own = len(self._own.f_keep)
        to_phi, to_pull, to_v = (np.empty((T, B, n), dtype=dtype) for _ in range(3))
        to_light = np.zeros((T + max((way[0] + 2 for way in self._ways), default=1), B, own), dtype=dtype)
        to_f, now = np.zeros((B, own), dtype=dtype), np.empty((B, n), dtype=dtype)
        pull, back = to_s[T].copy(), _compiled("back")
        for k in range(T - 1, -1, -1):
            for steps, share, lines, somas in self._ways:
                part = (1.0 - share) * to_light[k + 1 + steps][:, lines]
                if share:
                    part += share * to_light[k + 2 + steps][:, lines]
                np.add.at(to_z[k].T, somas, part.T)
            back(
                pull,
                tape.before[k],
                slope[k],
                tape.spikes[k],
                to_z[k],
                tape.g_phi[k],
                tape.g_i[k],
                tape.flags[k],
                self._keep,
                self._gain,
                arrays.purge,
                to_phi[k],
                now,
                to_pull[k],
                to_v[k],
            )
            if self._coupled:
                now += to_phi[k] @ self._C.T
            pull = now + to_s[k]
            if own:
                to_f, to_x = self._own.back(tape.f_own[k], tape.x_own[k], to_f, to_phi[k] @ self._W[1].T)
                to_light[k] = np.where(tape.summed[k] <= 1.0, to_x, 0.0)
        return self._collect(tape, to_phi, to_pull, to_v, to_light)

    def _collect(self, tape: _Tape, to_phi: Any, to_pull: Any, to_v: Any, to_light: Any) -> dict[str, np.ndarray]:
        """Gradients by parameter from those by flux, by s' and by the distance from threshold, of all steps."""
        arrays, out = self.plan.arrays, {}
        T, B, n = to_phi.shape
        flat = to_phi.reshape(T * B, n)
        for name in self.trainable:
            grad = np.zeros(self.values[name].shape, dtype=self.dtype)
            if name == "weights":
                by_line = [m.reshape(T * B, -1).T @ flat for m in (tape.m_in, tape.m_own)]
                for own, W in enumerate(by_line):
                    of = (self._det_own == bool(own)) & (self._weight_row >= 0)
                    np.add.at(grad, self._weight_row[of], W[self._det_line[of], self._det_loop[of]])
            elif name == "J":
                s = tape.s[:-1].reshape(T * B, n)
                known = self._J_row >= 0
                np.add.at(
                    grad, self._J_row[known], np.einsum("tc,tc->c", s[:, self._from[known]], flat[:, self._to[known]])
                )
            elif name == "phi_offset":
                grad[...] = flat.sum(axis=0)[self._rows(name)]
            elif name == "ib":
                to_r = to_pull * self._gain.astype(self.dtype)
                grad[...] = (to_r * tape.g_i).sum(axis=(0, 1))[self._rows(name)]
            elif name == "threshold":
                grad[...] = -to_v.sum(axis=(0, 1))[self._rows(name)]
            elif name == "tau":
                grad[...] = self._tau_gradient(tape, to_pull)[self._rows(name)] * self._longer
            elif name == "delay":
                for line, neuron, w in self._light:
                    if w >= 0:
                        first = 1 + math.floor(self._way(neuron, w))
                        z = tape.spikes[:, :, arrays.soma[neuron]]
                        later = to_light[first + 1 : first + 1 + T, :, line] - to_light[first : first + T, :, line]
                        grad[self._guide_row[w]] += (z[: len(later)] * later).sum() / self.dt
            out[name] = grad
        return out

    def _tau_gradient(self, tape: _Tape, to_pull: np.ndarray) -> np.ndarray:
        """By every loop's tau: both factors of a step depend on it."""
        tau, dt, keep = self._tau, self.dt, self._keep
        keep_slope = keep * dt / tau**2
        unit = self.plan.tau_0 * self.plan.arrays.beta
        gain_slope = ((1.0 - keep) - tau * keep_slope) / unit
        s = tape.s[:-1]
        r = (tape.before - keep.astype(self.dtype) * s) / self._gain.astype(self.dtype)
        share = to_pull * (keep_slope.astype(self.dtype) * s + gain_slope.astype(self.dtype) * r)
        return share.sum(axis=(0, 1))


def _sigmoid(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth spike, and its derivative."""
    value = 1.0 / (1.0 + np.exp(-4.0 * x))
    return value, 4.0 * value * (1.0 - value)


_COLUMNS = {"phi_offset": "offset", "ib": "ib", "tau": "tau", "threshold": "threshold"}


def _apart(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """(line, soma) pairs in lists in which no line stands twice."""
    out: list[list[tuple[int, int]]] = []
    times: dict[int, int] = {}
    for line, soma in pairs:
        turn = times[line] = times.get(line, -1) + 1
        if turn == len(out):
            out.append([])
        out[turn].append((line, soma))
    return out


def _compiled(name: str) -> Any:
    from soen_event.engine.jit import compile_function

    return compile_function(getattr(kernels, name), persistent=True)


def _surrogate(value: Any) -> Any:
    if isinstance(value, str):
        from training.registry import get

        return get("surrogate", value)()
    if not callable(getattr(value, "backward", None)):
        raise InputError(
            f"Twin.surrogate: {value!r} has no backward; give a name or an object with forward and backward"
        )
    return value
