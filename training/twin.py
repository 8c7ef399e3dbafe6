"""The twin: a time-stepped copy of a network, on batches, with gradients through time.

    twin = Twin(net, dt=0.5, channels={"p00": ["p00.d1", "p00.d7"], ...}, outputs=["n0", "n1"], readout="spikes", pooling="sum")
    run = twin.forward(photons, train=True)              # photons: (batch, steps, channels), how many arrive in each step
    gradients = twin.backward(run, outputs=grad)         # by the names of Network.parameters()

The equations are those of the engines at resolution ``flow``, on a grid of ``dt``:

* A detector relaxes towards its level during the hotspot of a photon, which comes at the beginning of its step, and decays after it
  (physics.md 1.2). Its flux counts with its mean over the step, exactly.
* A loop: s' = e^(-dt/tau) s + tau (1 - e^(-dt/tau)) g(phi, i)/(tau_0 beta), phi with the other currents as they were, and g taken halfway,
  at a guess of i that is right near the onset; s' stops at the onset (:func:`training.kernels.rises`). First order in dt, and stable: g's
  slope has no bound at its onset, along which currents slide; with g(phi, ib - s) they would jump to and fro there.
* Loops that load each other share what their currents change by as their inductances say.
* A soma spikes where s' reaches its threshold; emptied, held and armed again as in the engines. Its light comes after latency and delay,
  at a whole number of steps, or shared between two (``delays="linear"``, then delays have a gradient).

What follows from one photon train through equal detectors is followed once (a *line*, :mod:`training.wiring`).
Back through time the spike's step has the derivative of a surrogate (:mod:`training.surrogates`); everything else is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from soen_event.errors import InputError, nearest
from soen_event.plan import lower
from training import kernels
from training.model import Run
from training.rates import knees, rates
from training.readout import Pooling
from training.readout import pooling as pooling_of
from training.room import Room
from training.stretch import Adjoint, Draws, State, Stretch
from training.wiring import Rows, Wiring

if TYPE_CHECKING:
    from soen_event.network import Network

__all__ = ["State", "Twin"]

NAMES = ("weights", "J", "phi_offset", "ib", "tau", "threshold", "delay")
NOISY = ("phi", "s", "ib")  # what noise there is in every step; of a whole run also that of every trainable array


class _Constants(NamedTuple):
    """What follows from the parameters, for one run. Columns as in :mod:`training.kernels`."""

    offset: np.ndarray
    loops: np.ndarray
    somas: np.ndarray
    soma: np.ndarray
    J: np.ndarray
    C: np.ndarray
    units: np.ndarray


@dataclass
class _Tape:
    """What a run for training keeps: its stretches, or, to save memory, the states at their starts, from which they are run again."""

    stretches: list[Any]  # Stretch, or (State, state of the noise's generator)
    starts: list[int]
    x: np.ndarray
    pooled: Any
    smooth: bool
    noise: dict[str, float]
    off: dict[str, np.ndarray]


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
        scale: the outputs are multiplied by it (also ``pooling_scale``).
        surrogate: name, or an object with ``forward`` and ``backward``; its argument is (s' - threshold)/width.
        width: I_c, the surrogate's unit of current.
        trainable: which of weights, J, phi_offset, ib, tau, threshold, delay have gradients.
        delays: "nearest" step, or "linear" between two; a trained delay needs "linear".
        loading: loops that load each other through collection loops do so here ("share"), or their loading is left out ("ignore").
            The shares are those of the network as it was given, also while J is trained.
        noise: standard deviations of noise that is drawn in every step of a training run: ``phi`` (Phi0), ``s``, ``ib`` (I_c).
        perturb: standard deviations of what is drawn once for a training run, as if on another chip: relative of ``weights``, ``J``,
            ``tau``, ``threshold``, absolute of ``phi_offset`` (Phi0) and ``ib`` (I_c); the arrays must be trainable.
        truncate: steps after which gradients are cut on their way back (truncated BPTT); None: never.
        checkpoint: steps of a stretch of which only the first state is kept for the way back; it is then run once more. Memory is that of
            one stretch and T/checkpoint states. None: all is kept.
        keep_states: give the currents and spikes of all steps with a run; otherwise they are None, and with ``checkpoint`` not kept.
        dtype: float32 or float64 of all states.

    Attributes ``noise``, ``perturb``, ``pooling_scale``, ``truncate``, ``checkpoint``, ``dt`` and ``initial_state`` (a :class:`State`, or
    currents of all loops; None: rest) may be changed between runs.

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
        loading: str = "share",
        noise: Mapping[str, float] | None = None,
        perturb: Mapping[str, float] | None = None,
        truncate: int | None = None,
        checkpoint: int | None = None,
        keep_states: bool = True,
        dtype: Any = "float32",
    ):
        self.network, self._dt, self.readout, self.width = network, float(dt), readout, float(width)
        self.pooling_scale, self.keep_states = float(scale), keep_states
        self.trainable, self.delays, self.dtype = tuple(trainable), delays, np.dtype(dtype)
        self.noise, self.perturb = dict(noise or {}), dict(perturb or {})
        self.truncate, self.checkpoint = truncate, checkpoint
        self.initial_state: State | np.ndarray | None = None
        self.pooling = pooling_of(pooling)
        self.surrogate = _surrogate(surrogate)
        self.plan = lower(network, resolution="flow")
        self._refuse(loading)
        self.n = len(self.plan.loop_ids)
        held = network.parameters()
        self._ids = {
            name: network.ids(name) for name in NAMES
        }  # asked for once: a large network lists its parts slowly
        self.values = {name: np.array(value, dtype=self.dtype) for name, value in held.items()}
        if channels is not None and not isinstance(channels, Mapping):
            channels = list(channels)
        self._asked = channels
        chosen = list(outputs) if outputs is not None else (list(network.neurons) or list(network.dendrites))
        unknown = [name for name in chosen if name not in self.plan.loop_index]
        if unknown or not chosen:
            hint = nearest(unknown[0], self.plan.loop_index) if unknown else ""
            raise InputError(f"Twin.outputs: {unknown[:1] or chosen} is no dendrite or neuron{hint}; give ids of some")
        self.outputs = tuple(chosen)
        arrays = self.plan.arrays
        out = np.array([self.plan.loop_index[name] for name in chosen])
        if readout == "spikes":
            if (arrays.neuron[out] < 0).any():
                silent = [name for name in chosen if arrays.neuron[self.plan.loop_index[name]] < 0]
                raise InputError(f"Twin.readout: {silent[0]!r} makes no spikes; read out its current, or neurons")
            out = arrays.neuron[out]  # among the neurons
        self._out, self._apart = out, len(np.unique(out)) == len(out)
        self._rank, low = np.argsort(out), int(out.min())  # gradients in the order of loops can be added as a block
        self._slice = slice(low, low + len(out)) if np.array_equal(out[self._rank], low + np.arange(len(out))) else None
        self._row_of: dict[str, np.ndarray] = {}
        self._longer = arrays.tau[self._rows("tau")] / held["tau"]
        self._part_rows = Rows.of(self.plan, network, self._ids, held["J"])
        self.rates = rates(self.plan, self.dtype)
        self.most_events = 0
        self.room = Room()
        self._wire()
        none = np.zeros(0), np.zeros((0, 2), dtype=np.int64)
        self.mixing = self.wiring.mixing() if loading == "share" else none

    # ------------------------------------------------------------------ what a network becomes

    def _refuse(self, loading: str) -> None:
        faults = []
        hot = float(self.plan.arrays.det_hotspot_fs.max(initial=0)) * 1e-6
        faults += _dt_faults(self._dt, hot)
        for value, name, known in (
            (self.readout, "readout", ("current", "spikes")),
            (self.delays, "delays", ("nearest", "linear")),
            (loading, "loading", ("share", "ignore")),
            *((t, "trainable", NAMES) for t in self.trainable),
            *((t, "noise", NOISY) for t in self.noise),
            *((t, "perturb", tuple(name for name in NAMES if name != "delay")) for t in self.perturb),
        ):
            if value not in known:
                faults.append(
                    f"Twin.{name}: {value!r} is not known{nearest(str(value), known)}; use {', '.join(known)}"
                )
        for name in ("noise", "perturb"):
            for key, size in getattr(self, name).items():
                if not (math.isfinite(size) and size >= 0.0):
                    faults.append(f"Twin.{name}: {key} = {size!r}; give a standard deviation, 0 or more")
        for name in ("truncate", "checkpoint"):
            steps = getattr(self, name)
            if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
                faults.append(f"Twin.{name}: {steps!r}; give a whole number of steps, at least 1, or None")
        if "delay" in self.trainable and self.delays == "nearest":
            faults.append("Twin.delays: 'nearest' gives delays no gradient; train them with delays='linear'")
        if not (math.isfinite(self.width) and self.width > 0.0):
            faults.append(f"Twin.width: {self.width!r} I_c; give a positive current")
        if self.dtype not in (np.dtype("float32"), np.dtype("float64")):
            faults.append(f"Twin.dtype: {self.dtype}; use float32 or float64")
        if faults:
            raise InputError(faults)

    def _wire(self) -> None:
        self.wiring = Wiring(self.plan, self._part_rows, self._asked, self._dt, self.delays == "linear", self.dtype)
        self.channels = self.wiring.channels
        self.wiring.ways.time(self.wiring.steps(self.wiring.ways, self._dt, None), self.delays == "nearest", self.dtype)
        gain = (
            self.plan.arrays.tau
            * -np.expm1(-self._dt / self.plan.arrays.tau)
            / (self.plan.tau_0 * self.plan.arrays.beta)
        )
        self._knee = 0.5 * gain * knees(self.plan)
        self.model = self._constants()

    @property
    def dt(self) -> float:
        """ns, the step."""
        return self._dt

    @dt.setter
    def dt(self, dt: float) -> None:
        faults = _dt_faults(float(dt), float(self.plan.arrays.det_hotspot_fs.max(initial=0)) * 1e-6)
        if faults:
            raise InputError(faults)
        if dt != self._dt:
            self._dt = float(dt)
            self._wire()

    # ------------------------------------------------------------------ parameters

    def parameters(self) -> dict[str, np.ndarray]:
        """The trainable arrays by name, as in ``network.parameters()``, in the twin's dtype: change them in place."""
        return {name: self.values[name] for name in self.trainable}

    def bounds(self) -> dict[str, tuple[float, float]]:
        """What a parameter may be: decay times, thresholds and delays are not negative."""
        small = 1e-3
        every = {"tau": (small, math.inf), "threshold": (small, math.inf), "delay": (0.0, math.inf)}
        return {name: every[name] for name in self.trainable if name in every}

    def deploy(self) -> Network:
        """The network with the twin's values: what the engines run. It is the twin's own network, changed in place.

        Raises:
            InputError: values that a part refuses; nothing is changed then.
        """
        self.network.set_parameters({name: value.astype(float) for name, value in self.parameters().items()})
        return self.network

    def settings(self) -> dict[str, Any]:
        """What callbacks may have changed, apart from parameters: for copies of this twin elsewhere."""
        names = ("dt", "noise", "perturb", "pooling_scale", "truncate", "checkpoint", "initial_state")
        return {name: getattr(self, name) for name in names}

    def apply_settings(self, settings: Mapping[str, Any]) -> None:
        """Take what :meth:`settings` of an equal twin gave."""
        for name, value in settings.items():
            setattr(self, name, value)

    def _constants(self, off: Mapping[str, np.ndarray] = MappingProxyType({})) -> _Constants:
        """Everything that follows from the parameters, before a forward run; ``off``: what a chip's are off by."""
        arrays, wire, dtype = self.plan.arrays, self.wiring, self.dtype
        base = {name: getattr(arrays, column).astype(float) for name, column in _COLUMNS.items()}
        for name in _COLUMNS:
            if name in self.trainable or name in off:
                value = self._value(name, off)
                if name == "tau":  # a part's tau is that of its own inductance, the loop's is longer by its arms
                    value = value * self._longer
                base[name][self._rows(name)] = value
        tau, unit = base["tau"], self.plan.tau_0 * arrays.beta
        decay = np.exp(-self._dt / tau)
        decay_slope = decay * self._dt / tau**2
        gain = -tau * np.expm1(-self._dt / tau) / unit
        loops = np.empty((6, self.n), dtype=dtype)
        loops[kernels.KEEP], loops[kernels.GAIN], loops[kernels.KNEE] = decay, gain, self._knee
        loops[kernels.IB], loops[kernels.KEEP_SLOPE] = base["ib"], decay_slope
        loops[kernels.GAIN_SLOPE] = (-np.expm1(-self._dt / tau) - tau * decay_slope) / unit / gain
        at = arrays.soma
        threshold = base["threshold"][at]
        rearm = threshold - np.minimum(arrays.quantum[at], 0.5 * np.abs(threshold))
        somas = np.stack([threshold, rearm, arrays.t_ref_fs[at] * 1e-6 / self._dt])
        weights = arrays.det_weight.astype(dtype)
        known = self._part_rows.weights >= 0
        weights[known] = self._value("weights", off).astype(dtype)[self._part_rows.weights[known]]
        wire.outside.weigh(weights)
        wire.own.weigh(weights)
        J = wire.J_fixed.astype(dtype)
        known = wire.J_row >= 0
        J[known] = self._value("J", off).astype(dtype)[wire.J_row[known]]
        C = np.zeros((self.n, self.n) if wire.dense else (0, 0), dtype=dtype)
        if wire.dense:
            np.add.at(C.reshape(-1), wire.flat, J)
        if self.delays == "linear" and "delay" in self.trainable:
            wire.ways.time(wire.steps(wire.ways, self._dt, self.values["delay"].astype(float)), False, dtype)
        offset = base["phi_offset"] + self.rates.offset[arrays.row]
        soma = np.stack([at, arrays.purge[at]])
        return _Constants(
            offset.astype(dtype), loops, somas.astype(dtype), soma, J, C, np.array([0, 0.5, 1, 2, 3], dtype=dtype)
        )

    def _chip(self, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """What the arrays of a chip are off by, by name; drawn in the order of NAMES."""
        sizes = {name: self.perturb[name] for name in NAMES if self.perturb.get(name, 0.0) > 0.0}
        if rng is None or not sizes:
            return {}
        return {name: np.asarray(size * rng.standard_normal(self.values[name].shape)) for name, size in sizes.items()}

    def _value(self, name: str, off: Mapping[str, np.ndarray]) -> np.ndarray:
        value = self.values[name].astype(float)
        if name in off:
            value = value + off[name] if name in _ABSOLUTE else value * (1.0 + off[name])
        return value

    def _rows(self, name: str) -> np.ndarray:
        """Loops of the rows of a parameter."""
        if name not in self._row_of:
            self._row_of[name] = np.array([self.plan.loop_index[id] for id in self._ids[name]], dtype=int)
        return self._row_of[name]

    # ------------------------------------------------------------------ forward

    def rest(self, batch: int) -> State:
        """The state at rest, in which runs start."""
        wire, neurons, dtype = self.wiring, len(self.plan.neuron_ids), self.dtype
        return State(
            np.zeros((batch, self.n), dtype=dtype),
            np.zeros((batch, len(wire.outside)), dtype=dtype),
            np.zeros((batch, len(wire.own)), dtype=dtype),
            np.zeros((wire.ways.longest, batch, len(wire.own)), dtype=dtype),
            np.zeros((batch, neurons), dtype=dtype),
            np.ones((batch, neurons), dtype=np.int64),
        )

    def _start(self, state: Any, batch: int) -> State:
        if isinstance(state, State):
            wanted = self.rest(batch)
            for name in State.__dataclass_fields__:
                if np.shape(getattr(state, name)) != getattr(wanted, name).shape:
                    raise InputError(
                        f"Twin.initial_state: {name} of shape {np.shape(getattr(state, name))}, here it is {getattr(wanted, name).shape}"
                    )
            return state
        start = self.rest(batch)
        if state is not None:
            s = np.asarray(state, dtype=self.dtype)
            if s.shape not in ((self.n,), (batch, self.n)) or not np.isfinite(s).all():
                raise InputError(
                    f"Twin.initial_state: {s.shape}; give finite currents of all {self.n} loops, or of a batch"
                )
            start.s[...] = s
        return start

    def forward(
        self,
        inputs: np.ndarray,
        train: bool = False,
        rng: np.random.Generator | None = None,
        smooth: bool = False,
        state: State | None = None,
    ) -> Run:
        """Run a batch.

        Args:
            inputs: (batch, steps, channels), photons that come in each step: 0 to 1; more than one count as one.
            train: keep what :meth:`backward` needs, with ``noise`` and ``perturb``.
            rng: draws noise.
            smooth: spikes are a smooth function of the current, so that everything is differentiable, and :meth:`gradient_check` can look
                at all of it.
            state: to start from, such as ``end`` of an earlier run of the same batch. Default: ``initial_state``.

        Returns:
            the outputs, pooled; currents of all loops (batch, steps + 1, loops); spikes of all neurons (batch, steps, neurons); the
            :class:`State` at the end.

        Raises:
            InputError: inputs of another shape, negative or not finite; a state that does not fit; noise without ``rng``.
        """
        x = np.ascontiguousarray(inputs, dtype=self.dtype)
        if x.ndim != 3 or x.shape[2] != len(self.channels) or x.shape[1] < 1:
            raise InputError(f"Twin.forward: inputs of shape {x.shape}; give (batch, steps, {len(self.channels)})")
        noise = {name: size for name, size in self.noise.items() if size > 0.0} if train else {}
        if train and rng is None and (noise or any(size > 0.0 for size in self.perturb.values())):
            raise InputError("Twin.forward: noise is drawn with rng; give a numpy Generator")
        off = self._chip(rng if train else None)
        self.model = self._constants(off)
        now = self._start(self.initial_state if state is None else state, x.shape[0])
        tape = _Tape([], [], x, None, smooth, noise, off) if train else None
        saving = self.checkpoint if train else None
        course, states, spikes, leads = [], [now.s[None]], [], []
        for first in range(0, x.shape[1], saving or x.shape[1]):
            part = x[:, first : first + (saving or x.shape[1])]
            if tape is not None:
                tape.starts.append(first)
                tape.stretches.append((now, None if rng is None else rng.bit_generator.state))
            piece = self._stretch(part, now, train and not saving, smooth, noise, rng)
            if tape is not None and not saving:
                tape.stretches[-1] = piece
            now = piece.end
            course.append(piece.s[1:, :, self._out] if self.readout == "current" else piece.spikes[:, :, self._out])
            if self.keep_states:
                states.append(piece.s[1:])
                spikes.append(piece.spikes)
                leads.append(piece.lead)
                if not saving:
                    states = [piece.s]
        outputs, pooled = self.pooling.forward(_joined(course).transpose(1, 0, 2))
        if tape is not None:
            tape.pooled = pooled
        neurons = len(self.plan.neuron_ids)
        return Run(
            outputs * self.dtype.type(self.pooling_scale),
            _joined(states).transpose(1, 0, 2) if self.keep_states else None,
            _joined(spikes).transpose(1, 0, 2) if self.keep_states and neurons else None,
            tape,
            inputs,
            now,
            _joined(leads).transpose(1, 0, 2) if self.keep_states and neurons else None,
        )

    def _stretch(
        self, x: np.ndarray, state: State, train: bool, smooth: bool, noise: Mapping[str, float], rng: Any
    ) -> Stretch:
        shape = (x.shape[1], x.shape[0], self.n)
        return Stretch(self, np.ascontiguousarray(x), state, train, smooth, Draws.of(noise, shape, self.dtype, rng))

    def add_columns(self, to: np.ndarray, grad: np.ndarray) -> None:
        """Add gradients by outputs, in the order of :meth:`backward`, (batch, outputs), to those by what is read out, (batch, n)."""
        if self._slice is not None:
            to[:, self._slice] += grad
        elif self._apart:
            to[:, self._out] += grad
        else:
            np.add.at(to.T, self._out, grad.T)

    def encode(self, photons: Any, duration: float) -> np.ndarray:
        """A stimulus as the twin's inputs: (steps, channels), photons in each step.

        Args:
            photons: as for ``simulate``: times (ns) by synapse. A channel gets those of the first of its synapses, each
                at the nearest beginning of a step.
            duration: ns; steps = duration/dt, rounded up.

        Raises:
            InputError: an unknown synapse, or one that is of no channel.
        """
        from soen_event.stimulus import Stimulus

        trains = {str(key): np.asarray(times) for key, times in Stimulus.coerce(photons).photons.items()}
        steps = math.ceil(duration / self._dt - 1e-9)
        out = np.zeros((steps, len(self.channels)), dtype=self.dtype)
        unknown = [name for name in trains if name not in self.wiring.channel_of]
        if unknown:
            raise InputError(
                f"Twin.encode: {unknown[0]!r} is in no channel{nearest(unknown[0], self.wiring.channel_of)}; give channels with it"
            )
        first: dict[int, str] = {}
        for name, times in trains.items():
            c = self.wiring.channel_of[name]
            if first.setdefault(c, name) == name:
                step = np.floor(times / self._dt + 0.5).astype(int)
                np.add.at(out[:, c], step[step < steps], 1.0)
        return out

    def trains(self, run: Run, sample: int = 0) -> dict[str, np.ndarray]:
        """Times of spikes (ns) by neuron, of one sample of a run: where the current crossed the threshold, on a line from step to step."""
        if run.spikes is None or run.lead is None:
            raise InputError("Twin.trains: this run has no spikes; give a network with neurons, and keep_states=True")
        at = [np.flatnonzero(run.spikes[sample, :, k] > 0.5) for k in range(run.spikes.shape[2])]
        return {name: self._dt * (at[k] + run.lead[sample, at[k], k]) for k, name in enumerate(self.plan.neuron_ids)}

    def gradient_check(
        self, inputs: np.ndarray, names: Iterable[str] | None = None, step: float = 4e-6, most: int = 20, seed: int = 0
    ) -> dict[str, float]:
        """Largest relative error of :meth:`backward` against central differences, by parameter, with smooth spikes.

        A random loss, linear in outputs, states and spikes, is differentiated by up to ``most`` entries of every array, by
        differences of fourth order over ``step`` and a tenth of it, of which the better counts: rounding spoils the one, an edge of a
        source function's cells the other. The error is relative to the entry, or to 1e-3 of the array's largest. Needs float64.

        Raises:
            InputError: the twin is of float32, or a name is not trainable.
        """
        if self.dtype != np.float64:
            raise InputError("Twin.gradient_check: this twin is of float32; make it with dtype='float64'")
        rng = np.random.default_rng(seed)
        run = self.forward(inputs, train=True, smooth=True)
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
                held, off = flat[k], []
                for reach in (step * max(1.0, abs(held)), 0.1 * step * max(1.0, abs(held))):
                    ends = []
                    for side in (1.0, -1.0, 2.0, -2.0):
                        flat[k] = held + side * reach
                        again = self.forward(inputs, smooth=True)
                        ends.append(sum(float((getattr(again, what) * side_).sum()) for what, side_ in sides.items()))
                    slope = (8.0 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12.0 * reach)
                    off.append(abs(slope - exact[k]) / max(abs(slope), least))
                flat[k] = held
                worst = max(worst, min(off))
            errors[name] = worst
        return errors

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
        tape: _Tape | None = run.tape
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
        if tape.off:
            self.model = self._constants(tape.off)
        to_outputs = None
        if outputs is not None:
            grad = np.asarray(outputs, dtype=self.dtype) * self.dtype.type(self.pooling_scale)
            to_outputs = self.pooling.backward(grad, tape.pooled)
            if self._slice is not None:
                to_outputs = to_outputs[:, :, self._rank]
        adjoint = Adjoint(self, tape.x.shape[0])
        ends = [*tape.starts[1:], tape.x.shape[1]]
        for piece, first, end in zip(tape.stretches[::-1], tape.starts[::-1], ends[::-1], strict=True):
            if not isinstance(piece, Stretch):  # again, with the same noise
                state, noise = piece
                rng = None
                if noise is not None:
                    rng = np.random.Generator(getattr(np.random, noise["bit_generator"])())
                    rng.bit_generator.state = noise
                piece = self._stretch(tape.x[:, first:end], state, True, tape.smooth, tape.noise, rng)
            piece.back(
                adjoint,
                None if to_outputs is None else to_outputs[:, first:end],
                None if states is None else states[:, first : end + 1],
                None if spikes is None else spikes[:, first:end],
                first,
            )
        return self._collect(adjoint, tape.off)

    def _collect(self, found: Adjoint, off: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Gradients by parameter."""
        wire, out = self.wiring, {}
        for name in self.trainable:
            grad = np.zeros(self.values[name].shape, dtype=self.dtype)
            if name == "weights":
                for lines, W in zip((wire.outside, wire.own), found.W, strict=True):
                    rows = self._part_rows.weights[lines.det]
                    known = rows >= 0
                    grad[rows[known]] = W.reshape(-1)[lines.flat[known]]
            elif name == "J":
                known = wire.J_row >= 0
                by_coupling = found.C.reshape(-1)[wire.flat] if wire.dense else found.J
                grad[wire.J_row[known]] = by_coupling[known]
            elif name == "tau":
                grad[...] = found.tau[self._rows(name)] * self._longer
            elif name == "delay":
                arrived = wire.ways.guide >= 0
                rows = wire.guide_row[wire.ways.guide[arrived]]
                np.add.at(grad, rows, (found.steps[arrived] / self._dt).astype(self.dtype))
            elif name == "threshold":
                grad[self.plan.arrays.neuron[self._rows(name)]] = found.threshold
            else:
                grad[...] = getattr(found, name.removeprefix("phi_"))[self._rows(name)]
            if name in off and name not in _ABSOLUTE:
                grad *= (1.0 + off[name]).astype(self.dtype)
            out[name] = grad
        return out


def _dt_faults(dt: float, hot: float) -> list[str]:
    if not (math.isfinite(dt) and dt > 0.0):
        return [f"Twin.dt: {dt!r} ns; give a positive time"]
    if dt <= hot:
        return [f"Twin.dt: {dt!r} ns is not longer than the longest hotspot, {hot:g} ns; give a longer step"]
    return []


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


_COLUMNS = {"phi_offset": "offset", "ib": "ib", "tau": "tau", "threshold": "threshold"}
_ABSOLUTE = ("phi_offset", "ib")


def _surrogate(value: Any) -> Any:
    if isinstance(value, str):
        from training.registry import get

        return get("surrogate", value)()
    if not callable(getattr(value, "backward", None)):
        raise InputError(
            f"Twin.surrogate: {value!r} has no backward; give a name or an object with forward and backward"
        )
    return value
