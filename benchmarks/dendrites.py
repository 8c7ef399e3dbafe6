"""One training step of a layer of dendrites, all coupled to all, in several frameworks, for ``frameworks.py``.

100 dendrites, every one driven by 100 channels and by all the others, 0.1 ns a step; the first ten are read out, cross-entropy of their
mean over time, gradients by channel weights W and couplings J, Adam.

The rivals are stand-ins: soen_toolkit is not to be had as a package, so that its algorithm is written here in plain JAX and plain PyTorch,

    s(t+1) = s(t) + dt (gamma+ g(phi, ib - s) - gamma- s),   phi = x W + s J + offset     (features.md 2.1, ranks 1 and 2)

with dt = 37, gamma+ = gamma- = 1e-3, ib = 1.7, offset 0.23, and its two physical source functions: "table", bilinear in a table over flux
(period 1, mirrored) and current, its default, and "fit", ``Heaviside_state_dep``. Its callbacks, noise and bookkeeping are left out, which
can only make the stand-ins quicker. "history" is the toolkit's way in PyTorch: every step takes its slice of the flux and writes its slice
of the states, so that going back touches both arrays whole in every step; "stack" takes the flux apart once and joins the states once.

Ours are the same loops (tau 2.7 ns, beta = 1000) with the library's source function, solved implicitly, and inputs that are photons on
detectors, whose flux decays over 2 ns. Inputs of the rivals are the same zeros and ones, as flux.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from spiking import RATE, adam_step

IB, OFFSET, DT, GAMMA = 1.7, 0.23, 37.0, 1e-3
READ, GAIN = 10, 10.0  # outputs, and the factor on them


class Size(NamedTuple):
    """Channels, dendrites, steps and examples of a batch."""

    channels: int = 100
    units: int = 100
    steps: int = 1000
    batch: int = 64


FULL = Size()


class Task(NamedTuple):
    """Inputs (batch, steps, channels) of 0 and 1, labels, and first W (channels, units) and J (units, units; from, to)."""

    size: Size
    inputs: np.ndarray
    labels: np.ndarray
    W: np.ndarray
    J: np.ndarray


def task(size: Size = FULL, density: float = 0.02, seed: int = 0) -> Task:
    rng = np.random.default_rng(seed)
    inputs = (rng.uniform(size=(size.batch, size.steps, size.channels)) < density).astype(np.float32)
    labels = rng.integers(0, min(READ, size.units), size.batch)
    W = rng.normal(size=(size.channels, size.units)) * 0.4 / np.sqrt(size.channels)
    J = rng.normal(size=(size.units, size.units)) * 0.3 / np.sqrt(size.units)
    np.fill_diagonal(J, 0.0)
    return Task(size, inputs, labels, W.astype(np.float32), J.astype(np.float32))


class Frame(NamedTuple):
    """``train``: one step, returns the loss; ``forward``: a pass without gradients, returns the outputs (batch, READ)."""

    train: Callable[[], float]
    forward: Callable[[], np.ndarray]


@lru_cache(maxsize=1)
def table() -> tuple[np.ndarray, float, float]:
    """The library's source function on a grid of currents and fluxes of 0 to 1/2: (table (201, 101), lowest and highest current)."""
    from soen_event.device import Device
    from soen_event.physics.source import ri_table, source, stack

    sources = stack([ri_table(Device())])
    currents, fluxes = np.linspace(0.0, 2.0, 201), np.linspace(0.0, 0.5, 101)
    values = [[source(sources, 0, phi, i)[0] for phi in fluxes.tolist()] for i in currents.tolist()]
    return np.array(values, dtype=np.float32), float(currents[0]), float(currents[-1])


# ------------------------------------------------------------------------------------------------------------ ours

TAU, STEP = 2.7, 0.1  # ns


def network(given: Task) -> Any:
    """The layer as parts: dendrites ``d0``..., synapses ``i0.d0``..."""
    import soen_event as se
    from soen_event.builders import all_to_all

    names = [f"d{k}" for k in range(given.size.units)]
    with se.Network() as net:
        for name in names:
            se.Dendrite(name, ib=IB, tau=TAU, beta_over_2pi=1000.0 / (2.0 * np.pi), phi_offset=OFFSET)
        for c, row in enumerate(given.W.tolist()):
            for name, w in zip(names, row, strict=True):
                se.Synapse(f"i{c}.{name}", name, weight=w, tau_fall=2.0)
    all_to_all(net, names, names, J=given.J.astype(float))
    return net


def twin_of(given: Task, **options: Any) -> Any:
    """The layer as a :class:`training.twin.Twin`."""
    from training.twin import Twin

    size = given.size
    channels = {f"c{c}": [f"i{c}.d{k}" for k in range(size.units)] for c in range(size.channels)}
    out = [f"d{k}" for k in range(min(READ, size.units))]
    options = {"trainable": ("weights", "J"), "pooling": "mean", "scale": GAIN, **options}
    return Twin(network(given), dt=STEP, channels=channels, outputs=out, **options)


def active(twin: Any, given: Task) -> float:
    """Share of dendrites and steps in which the SQUID is above its threshold, so that current comes in."""
    states = twin.forward(given.inputs).states
    return float((states[:, 1:] > states[:, :-1] * np.exp(-STEP / TAU) + 1e-6).mean())


def ours(given: Task) -> Frame:
    from training.losses import CrossEntropy
    from training.optim import Adam

    twin, loss, optimizer = twin_of(given), CrossEntropy(), Adam(RATE)

    def step() -> float:
        run = twin.forward(given.inputs, train=True)
        value = loss(run, given.labels, twin)
        optimizer.step(twin.parameters(), twin.backward(run, value.outputs))
        return value.value

    return Frame(step, lambda: twin.forward(given.inputs).outputs)


# ------------------------------------------------------------------------------------------------------------ JAX


def _jax_source(name: str) -> Callable[[Any, Any], Any]:
    import jax
    import jax.numpy as jnp

    if name == "fit":

        def fit(phi: Any, i: Any) -> Any:
            over = jnp.clip(i - 1.06435066, 1e-6)
            wave = jnp.abs(jnp.cos(jnp.pi * phi)) + 1e-6
            disc = 0.37091212 * over**1.92138556 - 0.31903101 * wave**2.50322787
            return jax.nn.sigmoid(100.0 * disc) * jnp.clip(disc, 1e-6) ** (1.0 / 2.62706077)

        return fit
    values, low, high = table()
    grid = jnp.asarray(values)
    rows, columns = values.shape

    def bilinear(phi: Any, i: Any) -> Any:
        folded = jnp.mod(phi, 1.0)
        x = jnp.minimum(folded, 1.0 - folded) * (2.0 * (columns - 1))
        y = jnp.clip((i - low) / (high - low), 0.0, 1.0) * (rows - 1)
        j, k = jnp.minimum(x.astype(jnp.int32), columns - 2), jnp.minimum(y.astype(jnp.int32), rows - 2)
        x, y = x - j, y - k
        upper = grid[k, j] * (1.0 - x) + grid[k, j + 1] * x
        lower = grid[k + 1, j] * (1.0 - x) + grid[k + 1, j + 1] * x
        return upper * (1.0 - y) + lower * y

    return bilinear


def plain_jax(given: Task, source: str) -> Frame:
    import jax
    import jax.numpy as jnp

    g = _jax_source(source)
    x, labels = jnp.asarray(given.inputs.transpose(1, 0, 2)), jnp.asarray(given.labels)

    def course(weights: Any) -> Any:
        W, J = weights

        def one(s: Any, drive: Any) -> tuple[Any, Any]:
            s = s + DT * (GAMMA * g(drive + s @ J + OFFSET, IB - s) - GAMMA * s)
            return s, s

        return jax.lax.scan(one, jnp.zeros((x.shape[1], W.shape[1])), x @ W)[1]

    def outputs(weights: Any) -> Any:
        return GAIN * course(weights)[:, :, :READ].mean(axis=0)

    def loss(weights: Any) -> Any:
        logits = jax.nn.log_softmax(outputs(weights))
        return -jnp.take_along_axis(logits, labels[:, None], 1).mean()

    first = (jnp.asarray(given.W), jnp.asarray(given.J))
    state = [first, *(tuple(jnp.zeros_like(w) for w in first) for _ in range(2)), jnp.zeros(())]
    train, forward = jax.jit(adam_step(loss)), jax.jit(outputs)

    def step() -> float:
        value, state[:] = train(*state)
        return float(value)

    return Frame(step, lambda: np.asarray(forward(state[0])))


# ------------------------------------------------------------------------------------------------------------ PyTorch


def _torch_source(name: str) -> Callable[[Any, Any], Any]:
    import math

    import torch

    if name == "fit":

        def fit(phi: Any, i: Any) -> Any:
            over = (i - 1.06435066).clamp_min(1e-6)
            wave = torch.cos(math.pi * phi).abs() + 1e-6
            disc = 0.37091212 * over**1.92138556 - 0.31903101 * wave**2.50322787
            return torch.sigmoid(100.0 * disc) * disc.clamp_min(1e-6) ** (1.0 / 2.62706077)

        return fit
    values, low, high = table()
    grid = torch.from_numpy(values)[None, None]

    def bilinear(phi: Any, i: Any) -> Any:
        folded = torch.remainder(phi, 1.0)
        x = 4.0 * torch.minimum(folded, 1.0 - folded) - 1.0
        y = 2.0 * (i - low) / (high - low) - 1.0
        where = torch.stack([x, y], dim=-1)[None]
        return torch.nn.functional.grid_sample(grid, where, align_corners=True, padding_mode="zeros")[0, 0]

    return bilinear


def plain_torch(given: Task, source: str, manner: str) -> Frame:
    import torch

    g = _torch_source(source)
    x, labels = torch.from_numpy(given.inputs), torch.from_numpy(given.labels)
    W, J = (torch.nn.Parameter(torch.from_numpy(w.copy())) for w in (given.W, given.J))
    optimizer = torch.optim.Adam([W, J], lr=RATE)

    def outputs() -> Any:
        drive = x @ W
        batch, steps, units = drive.shape
        s = drive.new_zeros(batch, units)
        history = drive.new_empty(batch, steps + 1, units) if manner == "history" else None
        apart = drive.unbind(1) if history is None else ()
        every = []
        for t in range(steps):
            phi = drive[:, t] if history is not None else apart[t]
            s = s + DT * (GAMMA * g(phi + s @ J + OFFSET, IB - s) - GAMMA * s)
            if history is not None:
                history[:, t + 1] = s
            else:
                every.append(s)
        course = history[:, 1:] if history is not None else torch.stack(every, dim=1)
        return GAIN * course[:, :, :READ].mean(dim=1)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(outputs(), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def forward() -> np.ndarray:
        with torch.no_grad():
            return outputs().numpy()

    return Frame(step, forward)


FRAMES: dict[str, tuple[tuple[str, ...], Callable[[Task], Frame]]] = {
    "ours": ((), ours),
    "JAX, table": (("jax",), lambda given: plain_jax(given, "table")),
    "JAX, fit": (("jax",), lambda given: plain_jax(given, "fit")),
    "PyTorch, table, stack": (("torch",), lambda given: plain_torch(given, "table", "stack")),
    "PyTorch, fit, stack": (("torch",), lambda given: plain_torch(given, "fit", "stack")),
    "PyTorch, table, history": (("torch",), lambda given: plain_torch(given, "table", "history")),
}
