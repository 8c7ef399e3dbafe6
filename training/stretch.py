"""A stretch of steps of the twin: the state at its ends, what is kept of it, and the way back through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from soen_event.errors import InputError
from training import kernels

if TYPE_CHECKING:
    from training.twin import Twin

__all__ = ["State", "Stretch"]


@dataclass
class State:
    """All that the twin carries from step to step, of a batch. ``s``: currents; ``f``, ``f_own``: fluxes of lines from outside and of own
    lines; ``light``: photons on own lines in the steps to come (steps, batch, lines); ``held`` (steps), ``armed``: of somas.
    """

    s: np.ndarray
    f: np.ndarray
    f_own: np.ndarray
    light: np.ndarray
    held: np.ndarray
    armed: np.ndarray

    def copy(self) -> State:
        return State(*(getattr(self, name).copy() for name in self.__dataclass_fields__))

    def take(self, samples: Any) -> State:
        """The state of some samples of the batch."""
        alone = (self.s[samples], self.f[samples], self.f_own[samples])
        return State(*alone, self.light[:, samples], self.held[samples], self.armed[samples])


class Draws(NamedTuple):
    """Noise of a stretch, (steps, batch, loops) or of no length: of fluxes, currents and biases."""

    phi: np.ndarray
    s: np.ndarray
    ib: np.ndarray

    @classmethod
    def of(cls, sizes: Mapping[str, float], shape: tuple[int, int, int], dtype: Any, rng: Any) -> Draws:
        """From standard deviations."""
        rows = []
        for name in cls._fields:
            size = sizes.get(name, 0.0)
            if size > 0.0:
                noise = rng.standard_normal(shape, dtype=dtype)
                noise *= dtype.type(size)
                rows.append(noise)
            else:
                rows.append(np.zeros((shape[0], 0, 0), dtype=dtype))
        return cls(*rows)


class Stretch:
    """Runs a twin over some steps from a state. After it: ``s`` (T + 1, B, n), ``spikes`` (T, B, k), and ``end``, the state then.

    With ``train`` it keeps what :meth:`back` needs: three arrays of (T, B, n) and what neurons and lines do.

    Raises:
        InputError: photons that are negative or not finite.
    """

    def __init__(self, twin: Twin, x: np.ndarray, state: State, train: bool, smooth: bool, draws: Draws):
        wire, dtype, model = twin.wiring, twin.dtype, twin.model
        (B, T, _), n, neurons, own = x.shape, twin.n, model.soma.shape[1], len(wire.own)
        self.twin, self.T, self.B, self.smooth = twin, T, B, smooth
        self._events(x, state)
        longest = wire.ways.longest
        light = self.light = twin.room.zeros((T + longest, B, own), dtype)
        light[:longest] = state.light
        if own and len(wire.shine[1][1]):
            light[:T] += _lit(x, wire.shine[1], own).transpose(1, 0, 2)
        s = self.s = twin.room.empty((T + 1, B, n), dtype)
        s[0] = state.s
        kept, tau = (T if train else 0), (T if train and "tau" in twin.trainable else 0)
        self.by_phi, self.by_s, self.risen = (
            twin.room.empty((steps, B, n) if steps else (1, 0, 0), dtype) for steps in (kept, kept, tau)
        )
        self.f_own = twin.room.empty((T if train else 1, B, own), dtype)
        self.mean = twin.room.empty((T if train and not len(wire.own.groups) else 1, B, own), dtype)
        self.before, self.spikes = (twin.room.empty((T, B, neurons), dtype) for _ in range(2))
        self.lead = twin.room.empty((T, B, neurons), dtype)
        self.slope = twin.room.empty((T if smooth else 1, B, neurons), dtype)
        self.flags = twin.room.empty((T, B, neurons), np.uint8)
        end = self.end = state.copy()
        outside, inside, table = wire.outside, wire.own, twin.rates
        filters, filters_own = outside.start(state.f), inside.start(state.f_own)
        phi, more = np.empty((B, n), dtype=dtype), np.empty((B, n), dtype=dtype)
        rooms = np.empty((kernels.A_WIDTH + 1, n + 1), dtype=dtype), np.empty((2, n + 1), dtype=np.int64)
        # Products with whole matrices: then it goes a step at a time.
        alone = self.alone = wire.dense or self.dense_mean is not None or (own and not len(inside.groups))
        given = np.zeros((0, B, n), dtype=dtype)
        if draws.phi.size:
            given = draws.phi + model.offset
        march, means = compiled("march"), compiled("means")
        for k in range(T) if alone else range(1):
            if alone:
                one = given[k] if len(given) else np.broadcast_to(model.offset, (B, n)).copy()
                if self.dense_mean is not None:
                    one += np.matmul(self.dense_mean[k], outside.W, out=more)
                if own and not len(inside.groups):
                    mean = self.mean[k if train else 0]
                    means(
                        light[k],
                        end.f_own,
                        self.f_own[k if train else 0],
                        mean,
                        inside.answers,
                        inside.groups,
                        filters_own,
                        phi,
                        inside.group,
                    )
                    one += np.matmul(mean, inside.W, out=more)
                if wire.dense:
                    one += np.matmul(s[k], model.C, out=more)
            march(
                k,
                k + 1 if alone else T,
                one[None] if alone else given,
                self.start,
                self.line,
                self.to_f,
                self.to_m,
                outside.group,
                outside.groups,
                outside.W,
                filters,
                light,
                end.f_own,
                self.f_own,
                self.mean,
                inside.group,
                inside.answers,
                inside.groups,
                inside.W,
                filters_own,
                wire.into,
                wire.listed,
                model.J,
                wire.newer,
                draws.s,
                draws.ib,
                model.offset,
                model.loops,
                wire.order,
                wire.spans,
                model.somas,
                model.soma,
                end.held,
                end.armed,
                twin.width,
                smooth,
                *twin.mixing,
                wire.ways.start,
                wire.ways.ways,
                wire.ways.share,
                *table[:-1],
                model.units,
                *rooms,
                phi,
                s,
                self.by_phi,
                self.by_s,
                self.risen,
                self.before,
                self.spikes,
                self.lead,
                self.slope,
                self.flags,
            )
        end.s = s[T].copy()
        end.f = self.f_after
        end.light = light[T:].copy()

    def _events(self, x: np.ndarray, state: State) -> None:
        """What lines from outside see: a list of events, or, for lines of many decays, their mean fluxes (T, B, lines)."""
        wire, dtype = self.twin.wiring, self.twin.dtype
        lines, (B, T, _) = wire.outside, x.shape
        first, where, matrix = wire.shine[0]
        if matrix is not None:
            x = np.minimum(x @ matrix.astype(dtype), dtype.type(1.0))
        f, last = state.f.copy(), np.zeros(state.f.shape, dtype=np.int64)
        self.start = np.zeros((B, T + 1), dtype=np.int64)
        events = compiled("events")
        count = self.twin.most_events
        for _ in range(2):  # once more if there are more than ever before
            self.line = np.empty(count, dtype=np.int64)
            self.to_f, self.to_m = np.empty(count, dtype=dtype), np.empty(count, dtype=dtype)
            found = events(x, first, where, lines.answers, self.start, self.line, self.to_f, self.to_m, f, last)
            if found < 0:
                raise InputError("Twin.forward: inputs that are not finite numbers from 0; give photons in each step")
            if found <= count:
                break
            self.twin.most_events = count = found + found // 8
        self.f_after = f * lines.answers[kernels.F_KEEP] ** (T - last)
        self.dense_mean: np.ndarray | None = None
        if not len(lines.groups) and len(lines):
            mean, f = np.empty((T, B, len(lines)), dtype=dtype), state.f
            added, told = np.zeros((T, B, len(lines)), dtype=dtype), np.zeros((T, B, len(lines)), dtype=dtype)
            step = np.repeat(np.tile(np.arange(T), B), np.diff(self.start, axis=1).reshape(-1))
            sample = np.repeat(np.arange(B), self.start[:, -1] - self.start[:, 0])
            at = (step, sample, self.line[:found])
            added[at], told[at] = self.to_f[:found], self.to_m[:found]
            for k in range(T):
                mean[k] = lines.answers[kernels.M_KEEP] * f + told[k]
                f = lines.answers[kernels.F_KEEP] * f + added[k]
            self.dense_mean = mean

    def back(self, adjoint: Adjoint, to_outputs: np.ndarray | None, to_s: Any, to_z: Any, first: int) -> None:
        """Backwards through the stretch, whose first step is step ``first`` of the run. ``adjoint``: gradients so far, changed.

        ``to_outputs``: (B, T, outputs), by what is read out; ``to_s``: (B, T + 1, n), by the currents, the first not of this stretch;
        ``to_z``: (B, T, neurons), by the spikes.
        """
        twin, wire, model, dtype = self.twin, self.twin.wiring, self.twin.model, self.twin.dtype
        neurons, own, B, n = model.soma.shape[1], len(wire.own), self.B, twin.n
        retreat, feed_back, shine_back = (compiled(name) for name in ("retreat", "feed_back", "shine_back"))
        outside, inside, out = wire.outside, wire.own, adjoint
        back, more = (np.empty((B, n), dtype=dtype) for _ in range(2))
        steps = self.T if self.alone else 1
        by_step = twin.room.empty((steps, B, n), dtype)  # gradients by flux, of all steps for those products
        to_mean, to_spikes = np.empty((B, own), dtype=dtype), np.empty((B, neurons), dtype=dtype)
        width, threshold = dtype.type(twin.width), model.somas[kernels.THRESHOLD]
        slope = np.empty((B, neurons), dtype=dtype)
        none = np.zeros((0, 0), dtype=dtype)
        ring = adjoint.to_light.shape[0]
        # Laid out anew: a product with a transposed view costs a quarter more.
        W_back, C_back = np.ascontiguousarray(inside.W.T), np.ascontiguousarray(model.C.T)
        for k in range(self.T - 1, -1, -1):
            if twin.truncate and (first + k + 1) % twin.truncate == 0:
                adjoint.cut()
            pull, to_phi = adjoint.pull, by_step[k if self.alone else 0]
            to_spikes.fill(0.0)
            if to_outputs is not None:
                twin.add_columns(pull if twin.readout == "current" else to_spikes, to_outputs[:, k])
            if to_s is not None:
                pull += to_s[:, k + 1]
            if to_z is not None:
                to_spikes += to_z[:, k]
            if self.smooth:
                slope = self.slope[k]
            elif neurons:
                np.subtract(self.before[k], threshold, out=slope)
                slope /= width
                slope = twin.surrogate.backward(slope)
                slope /= width
            retreat(
                first + k,
                pull,
                back,
                to_spikes,
                self.s[k],
                self.s[k + 1],
                self.before[k],
                self.spikes[k],
                slope,
                self.flags[k],
                self.by_phi[k],
                self.by_s[k],
                self.risen[k] if self.risen.size else none,
                wire.into,
                wire.listed,
                model.J,
                wire.newer,
                model.loops,
                wire.order,
                model.units,
                model.soma,
                *twin.mixing,
                wire.ways.start,
                wire.ways.ways,
                wire.ways.share,
                adjoint.to_light,
                to_phi,
                out.J,
                out.offset,
                out.ib,
                out.tau,
                out.threshold,
                out.steps,
            )
            adjoint.pull, back = back, pull
            if wire.dense:
                adjoint.pull += np.matmul(to_phi, C_back, out=more)
            if self.dense_mean is None:
                feed_back(
                    k,
                    self.start,
                    self.line,
                    self.to_f,
                    self.to_m,
                    outside.group,
                    outside.groups,
                    out.feeds[0],
                    to_phi,
                    out.W[0],
                )
            if own:
                shine_back(
                    self.light[k],
                    self.f_own[k],
                    inside.group,
                    inside.answers,
                    inside.groups,
                    out.feeds[1],
                    to_phi,
                    np.matmul(to_phi, W_back, out=to_mean),
                    adjoint.to_f,
                    adjoint.to_light[(first + k) % ring],
                    out.W[1],
                )
        if wire.dense:
            out.C += _product(self.s[:-1], by_step)
        if self.dense_mean is not None:
            out.W[0] += _product(self.dense_mean, by_step)
        if own and not len(inside.groups):
            out.W[1] += _product(self.mean, by_step)


class Adjoint:
    """Gradients on the way back: by the state (``pull`` by currents, ``to_f`` by own fluxes, ``feeds`` by filters, ``to_light`` a ring of
    steps), and sums by what the twin is made of.
    """

    def __init__(self, twin: Twin, batch: int):
        wire, dtype, n = twin.wiring, twin.dtype, twin.n
        self.pull = np.zeros((batch, n), dtype=dtype)
        self.to_f = np.zeros((batch, len(wire.own)), dtype=dtype)
        self.feeds = [np.zeros((len(lines.groups), batch, n), dtype=dtype) for lines in (wire.outside, wire.own)]
        self.to_light = np.zeros((wire.ways.longest + 1, batch, len(wire.own)), dtype=dtype)
        self.W = [np.zeros_like(lines.W) for lines in (wire.outside, wire.own)]
        self.C = np.zeros((n, n) if wire.dense else (0, 0), dtype=dtype)
        self.J = np.zeros(len(wire.source), dtype=dtype)
        asked = n if {"phi_offset", "ib", "tau"} & set(twin.trainable) else 0
        self.offset, self.ib, self.tau = np.zeros(asked), np.zeros(asked), np.zeros(asked)
        self.threshold = np.zeros(twin.model.soma.shape[1])
        self.steps = np.zeros(len(wire.ways.line) if twin.delays == "linear" else 0)

    def cut(self) -> None:
        """Forget the gradients by the state: what comes before is taken as given."""
        for array in (self.pull, self.to_f, *self.feeds, self.to_light):
            array.fill(0.0)


def _lit(x: np.ndarray, shine: tuple, lines: int) -> np.ndarray:
    """Photons on lines, (batch, steps, lines), from those in channels; not cut at one."""
    first, where, matrix = shine
    if matrix is not None:
        return x @ matrix.astype(x.dtype)
    out = np.zeros((*x.shape[:2], lines), dtype=x.dtype)
    out[:, :, where] = x[:, :, np.repeat(np.arange(len(first) - 1), np.diff(first))]
    return out


def _product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Sum over steps and batch of products of columns."""
    return one.reshape(-1, one.shape[-1]).T @ other.reshape(-1, other.shape[-1])


def compiled(name: str) -> Any:
    """One of the kernels."""
    from soen_event.engine.jit import compile_function

    return compile_function(getattr(kernels, name), persistent=True)
