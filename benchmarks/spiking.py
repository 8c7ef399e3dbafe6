"""One training step of one spiking network in several frameworks, for ``frameworks.py``.

The network: photons or spikes on 700 channels, 256 leaky neurons that hear each other a step later, 20 leaky outputs without spikes;
cross-entropy of the outputs' maximum over time; gradients back through all steps with a surrogate; Adam. Float32, the same inputs, labels
and first weights everywhere. All but two are the same neuron to the letter,

    v(t) = k v(t-1) + x(t) W + z(t-1) V - z(t-1) theta,   z = 1 where v > theta,   o(t) = k o(t-1) + z(t) U

* Norse's own neuron has a synaptic current as a second state; its weights are scaled so that it spikes as often.
* Ours is no leaky neuron: photons light detectors, whose flux decays over ten steps of 1 ns, a soma or an output dendrite integrates the
  source function of a SQUID, solved in every step, and a soma spikes, is emptied, and its light comes a step later.

A frame does one step and returns the loss; ``spikes`` is the share of neurons and steps with a spike, with the first weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

KEEP, THRESHOLD, RATE = 0.9, 1.0, 1e-3


class Size(NamedTuple):
    """Channels, neurons, outputs, steps and examples of a batch."""

    channels: int = 700
    neurons: int = 256
    outputs: int = 20
    steps: int = 100
    batch: int = 64


FULL = Size()


@dataclass
class Task:
    """What every frame gets: inputs (batch, steps, channels) of 0 and 1, labels, and first weights W, V, U."""

    size: Size
    inputs: np.ndarray
    labels: np.ndarray
    weights: tuple[np.ndarray, np.ndarray, np.ndarray]


def task(size: Size = FULL, density: float = 0.02, seed: int = 0, dtype: Any = np.float32) -> Task:
    """Random spikes of this density, and weights with which the leaky neurons spike at some per cent of the steps."""
    rng = np.random.default_rng(seed)
    inputs = (rng.uniform(size=(size.batch, size.steps, size.channels)) < density).astype(dtype)
    labels = rng.integers(0, size.outputs, size.batch)
    drive = 0.54 / np.sqrt(max(1.0, density * size.channels))
    W = rng.normal(size=(size.channels, size.neurons)) * drive
    V = rng.normal(size=(size.neurons, size.neurons)) * 0.5 / np.sqrt(size.neurons)
    U = rng.normal(size=(size.neurons, size.outputs)) / np.sqrt(size.neurons)
    return Task(size, inputs, labels, (W.astype(dtype), V.astype(dtype), U.astype(dtype)))


class Frame(NamedTuple):
    """``train``: one step of training, returns the loss before it; ``spikes``: share of neurons and steps with a spike before training."""

    train: Callable[[], float]
    spikes: float


# ------------------------------------------------------------------------------------------------------------ ours

SCALES = {"quiet": (0.20, 0.5), "ordinary": (0.25, 0.5), "busy": (0.35, 0.5)}  # of W and V
TAU, KIND = 20.0, {"tau_fall": 10.0}


def network(given: Task) -> Any:
    """The network as parts: neurons ``h0``..., output dendrites ``o0``..., synapses ``i0.h0``, ``h0:h1`` and ``h0:o0``."""
    import soen_event as se
    from soen_event.builders import all_to_all

    W, V, U = (w.astype(float) for w in given.weights)
    hidden = [f"h{k}" for k in range(given.size.neurons)]
    out = [f"o{k}" for k in range(given.size.outputs)]
    with se.Network() as net:
        for name in hidden:
            soma = se.Soma(threshold=0.15, tau=TAU, beta_over_2pi=300.0, t_ref=0.0)
            se.Neuron(name, soma=soma, refractory=None, transmitter=se.Transmitter(latency=1.0))
        for name in out:
            se.Dendrite(name, tau=TAU, beta_over_2pi=300.0)
        for c, row in enumerate(W.tolist()):
            for name, w in zip(hidden, row, strict=True):
                se.Synapse(f"i{c}.{name}", name, weight=w, **KIND)
    all_to_all(net, hidden, hidden, self_loops=True, weight=V, delay=0.0, synapse=KIND)
    all_to_all(net, hidden, out, weight=U, delay=0.0, synapse=KIND)
    return net


class Ours:
    """The network in a :class:`training.twin.Twin`, at one of the :data:`SCALES`."""

    def __init__(self, given: Task, **options: Any):
        from training.twin import Twin

        size, self.given, net = given.size, given, network(given)
        hidden, out = ([f"{kind}{k}" for k in range(n)] for kind, n in (("h", size.neurons), ("o", size.outputs)))
        channels = {f"c{c}": [f"i{c}.{name}" for name in hidden] for c in range(size.channels)}
        self.twin = Twin(net, dt=1.0, channels=channels, outputs=out, pooling="max", scale=10.0, **options)
        ids = np.array(net.ids("weights"))
        inputs = np.char.startswith(ids, "i")
        self._groups = inputs, ~inputs & (np.char.find(ids, ":o") < 0)
        self._first = self.twin.parameters()["weights"].copy()

    def frame(self, scale: str = "ordinary") -> Frame:
        """A frame with first weights at this scale: the twin is one, so that only the last frame made is in use."""
        from training.losses import CrossEntropy
        from training.optim import Adam

        twin, loss, optimizer = self.twin, CrossEntropy(), Adam(RATE)
        weights = twin.parameters()
        weights["weights"][...] = self._first
        for group, factor in zip(self._groups, SCALES[scale], strict=True):
            weights["weights"][group] *= factor

        def step() -> float:
            run = twin.forward(self.given.inputs, train=True)
            value = loss(run, self.given.labels, twin)
            optimizer.step(weights, twin.backward(run, value.outputs))
            return value.value

        return Frame(step, self.activity()["spikes"])

    def activity(self) -> dict[str, float]:
        """Shares: of neurons and steps with a spike; of somas and steps, and of outputs and steps, in which the SQUID is above its
        threshold, so that current comes in."""
        run = self.twin.forward(self.given.inputs)
        assert run.states is not None and run.spikes is not None
        gains = run.states[:, 1:] > run.states[:, :-1] * np.exp(-1.0 / TAU) + 1e-6
        # Parts of the states: those that spike are emptied, which shows as no gain.
        names = np.array(self.twin.plan.loop_ids)
        somas = np.char.startswith(names, "h")
        spikes = float(run.spikes.mean())
        return {
            "spikes": spikes,
            "somas": float(gains[:, :, somas].mean()) + spikes,
            "outputs": float(gains[:, :, ~somas].mean()),
        }


def ours(given: Task) -> Frame:
    return Ours(given).frame()


# ------------------------------------------------------------------------------------------------------------ plain numpy


def hard(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of v - theta, and the surrogate's derivative there: 1/(1 + (pi v)^2), snnTorch's arctan."""
    return (v > 0.0).astype(v.dtype), 1.0 / (1.0 + (np.pi * v) ** 2)


def lif_forward(x: np.ndarray, W: np.ndarray, V: np.ndarray, U: np.ndarray, spike: Callable = hard) -> tuple:
    """(outputs' maxima (B, C), what :func:`lif_backward` needs); x is (T, B, channels)."""
    T, B, n = x.shape[0], x.shape[1], W.shape[1]
    drive = (x.reshape(T * B, -1) @ W).reshape(T, B, n)
    z, slope = np.empty_like(drive), np.empty_like(drive)
    v, last = np.zeros((B, n), drive.dtype), np.zeros((B, n), drive.dtype)
    for t in range(T):
        v *= KEEP
        v += drive[t]
        v += last @ V
        v -= THRESHOLD * last
        z[t], slope[t] = spike(v - THRESHOLD)
        last = z[t]
    out = (z.reshape(T * B, n) @ U).reshape(T, B, -1)
    for t in range(1, T):
        out[t] += KEEP * out[t - 1]
    return out.max(axis=0), (x, z, slope, out.argmax(axis=0))


def lif_backward(kept: tuple, grad: np.ndarray, W: np.ndarray, V: np.ndarray, U: np.ndarray) -> tuple:
    """Gradients by W, V and U from that by the maxima."""
    x, z, slope, at = kept
    T, B, n = z.shape
    to_out = np.zeros((T, B, U.shape[1]), z.dtype)
    np.put_along_axis(to_out, at[None], grad[None], axis=0)
    for t in range(T - 2, -1, -1):
        to_out[t] += KEEP * to_out[t + 1]
    to_z = (to_out.reshape(T * B, -1) @ U.T).reshape(T, B, n)
    to_v, later = np.empty_like(z), np.zeros((B, n), z.dtype)
    for t in range(T - 1, -1, -1):
        back = to_z[t] + later @ V.T
        back -= THRESHOLD * later
        back *= slope[t]
        back += KEEP * later
        to_v[t] = later = back
    flat = to_v.reshape(T * B, n)
    return (
        x.reshape(T * B, -1).T @ flat,
        z[:-1].reshape((T - 1) * B, n).T @ flat[B:],
        z.reshape(T * B, n).T @ to_out.reshape(T * B, -1),
    )


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean over the batch, and its gradient."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    value = -float(np.log(p[rows, labels]).mean())
    p[rows, labels] -= 1.0
    return value, p / len(labels)


def plain_numpy(given: Task) -> Frame:
    from training.optim import Adam

    x, labels = np.ascontiguousarray(given.inputs.transpose(1, 0, 2)), given.labels
    weights = {name: w.copy() for name, w in zip("WVU", given.weights, strict=True)}
    optimizer = Adam(RATE)

    def step() -> float:
        out, kept = lif_forward(x, *weights.values())
        value, grad = cross_entropy(out, labels)
        gradients = lif_backward(kept, grad, *weights.values())
        optimizer.step(weights, dict(zip("WVU", gradients, strict=True)))
        return value

    return Frame(step, float(lif_forward(x, *given.weights)[1][1].mean()))


# ------------------------------------------------------------------------------------------------------------ PyTorch


def _torch_step(module: Any, given: Task, run: Callable[[Any], tuple[Any, Any]]) -> Frame:
    """``run``: from inputs (T, B, channels) to (outputs (T, B, C), spikes (T, B, n))."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(given.inputs.transpose(1, 0, 2)))
    labels = torch.from_numpy(given.labels)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(run(x)[0].amax(dim=0), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    with torch.no_grad():
        return Frame(step, float(run(x)[1].mean()))


def snntorch(given: Task) -> Frame:
    """RLeaky and Leaky; the input layer is applied to all steps at once, which its tutorials do step by step."""
    import torch
    from snntorch import Leaky, RLeaky, surrogate

    size, (W, V, U) = given.size, given.weights
    slope = surrogate.atan(alpha=2.0)
    net = torch.nn.ModuleDict(
        {
            "into": torch.nn.Linear(size.channels, size.neurons, bias=False),
            "hidden": RLeaky(KEEP, linear_features=size.neurons, spike_grad=slope, threshold=THRESHOLD),
            "out": torch.nn.Linear(size.neurons, size.outputs, bias=False),
            "leak": Leaky(KEEP, reset_mechanism="none"),
        }
    )
    with torch.no_grad():
        net["into"].weight.copy_(torch.from_numpy(W.T))
        net["hidden"].recurrent.weight.copy_(torch.from_numpy(V.T))
        net["hidden"].recurrent.bias.zero_()
        net["out"].weight.copy_(torch.from_numpy(U.T))

    def run(x: Any) -> tuple[Any, Any]:
        drive = net["into"](x)
        z, v = net["hidden"].init_rleaky()
        o = net["leak"].init_leaky()
        outputs, spikes = [], []
        for t in range(len(x)):
            z, v = net["hidden"](drive[t], z, v)
            _, o = net["leak"](net["out"](z), o)
            outputs.append(o)
            spikes.append(z)
        return torch.stack(outputs), torch.stack(spikes)

    return _torch_step(net, given, run)


def norse(given: Task) -> Frame:
    """LIFRecurrent over the whole sequence, a linear layer and LI."""
    import torch
    from norse.torch import LI, LIFRecurrent

    size, (W, V, U) = given.size, given.weights
    hidden = LIFRecurrent(
        size.channels,
        size.neurons,
        input_weights=torch.nn.Parameter(torch.from_numpy(4.0 * W.T.copy())),
        recurrent_weights=torch.nn.Parameter(torch.from_numpy(4.0 * V.T.copy())),
    )
    net = torch.nn.ModuleDict(
        {"hidden": hidden, "out": torch.nn.Linear(size.neurons, size.outputs, bias=False), "leak": LI()}
    )
    with torch.no_grad():
        net["out"].weight.copy_(torch.from_numpy(U.T))

    def run(x: Any) -> tuple[Any, Any]:
        spikes, _ = net["hidden"](x)
        outputs, _ = net["leak"](net["out"](spikes))
        return outputs, spikes

    return _torch_step(net, given, run)


# ------------------------------------------------------------------------------------------------------------ JAX


def brainstate(given: Task) -> Frame:
    """brainstate's layers, states, ``for_loop``, ``grad`` and ``jit``; braintools' surrogate, optimizer and loss."""
    import brainstate as bs
    import braintools as bt
    import jax.numpy as jnp

    size, (W, V, U) = given.size, given.weights
    fires = bt.surrogate.Arctan(alpha=2.0)

    class Net(bs.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            linear = bs.nn.Linear
            self.into = linear(size.channels, size.neurons, w_init=lambda *a, **k: jnp.asarray(W), b_init=None)
            self.back = linear(size.neurons, size.neurons, w_init=lambda *a, **k: jnp.asarray(V), b_init=None)
            self.out = linear(size.neurons, size.outputs, w_init=lambda *a, **k: jnp.asarray(U), b_init=None)
            self.v, self.z = bs.HiddenState(jnp.zeros(())), bs.HiddenState(jnp.zeros(()))
            self.o = bs.HiddenState(jnp.zeros(()))

        def rest(self) -> None:
            self.v.value = self.z.value = jnp.zeros((size.batch, size.neurons))
            self.o.value = jnp.zeros((size.batch, size.outputs))

        def update(self, x: Any) -> tuple[Any, Any]:
            z = self.z.value
            self.v.value = KEEP * self.v.value + self.into(x) + self.back(z) - THRESHOLD * z
            self.z.value = fires(self.v.value - THRESHOLD)
            self.o.value = KEEP * self.o.value + self.out(self.z.value)
            return self.o.value, self.z.value

    net = Net()
    x, labels = jnp.asarray(given.inputs.transpose(1, 0, 2)), jnp.asarray(given.labels)
    trained = net.states(bs.ParamState)
    optimizer = bt.optim.Adam(lr=RATE)
    optimizer.register_trainable_weights(trained)

    def loss() -> Any:
        net.rest()
        outputs = bs.transform.for_loop(lambda u: net.update(u)[0], x)
        return bt.metric.softmax_cross_entropy_with_integer_labels(outputs.max(axis=0), labels).mean()

    @bs.transform.jit
    def train() -> Any:
        gradients, value = bs.transform.grad(loss, trained, return_value=True)()
        optimizer.update(gradients)
        return value

    @bs.transform.jit
    def watch() -> Any:
        net.rest()
        return bs.transform.for_loop(lambda u: net.update(u)[1], x).mean()

    net.rest()
    return Frame(lambda: float(train()), float(watch()))


def plain_jax(given: Task) -> Frame:
    """``lax.scan`` under ``jit`` with a custom derivative; inputs through W at once, and Adam in the same compiled step."""
    import jax
    import jax.numpy as jnp

    x, labels = jnp.asarray(given.inputs.transpose(1, 0, 2)), jnp.asarray(given.labels)

    @jax.custom_jvp
    def fires(v: Any) -> Any:
        return (v > 0.0).astype(v.dtype)

    @fires.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return fires(primals[0]), tangents[0] / (1.0 + (jnp.pi * primals[0]) ** 2)

    def run(weights: Any) -> tuple[Any, Any]:
        W, V, U = weights
        batch = (x.shape[1],)

        def one(state: Any, drive: Any) -> tuple[Any, Any]:
            v, z = state
            v = KEEP * v + drive + z @ V - THRESHOLD * z
            z = fires(v - THRESHOLD)
            return (v, z), z

        rest = jnp.zeros((*batch, W.shape[1]))
        _, spikes = jax.lax.scan(one, (rest, rest), x @ W)

        def leak(o: Any, drive: Any) -> tuple[Any, Any]:
            o = KEEP * o + drive
            return o, o

        return jax.lax.scan(leak, jnp.zeros((*batch, U.shape[1])), spikes @ U)[1], spikes

    def loss(weights: Any) -> Any:
        logits = jax.nn.log_softmax(run(weights)[0].max(axis=0))
        return -jnp.take_along_axis(logits, labels[:, None], 1).mean()

    train = jax.jit(adam_step(loss))
    state = [tuple(jnp.asarray(w) for w in given.weights)]
    state += [tuple(jnp.zeros_like(w) for w in state[0]) for _ in range(2)] + [jnp.zeros(())]

    def step() -> float:
        value, state[:] = train(*state)
        return float(value)

    return Frame(step, float(jax.jit(run)(state[0])[1].mean()))


def adam_step(loss: Callable[[Any], Any]) -> Callable[..., tuple[Any, list[Any]]]:
    """From (weights, first moments, second moments, t) to (loss, the same after a step of Adam)."""
    import jax
    import jax.numpy as jnp

    def train(weights: Any, first: Any, second: Any, t: Any) -> tuple[Any, list[Any]]:
        value, gradients = jax.value_and_grad(loss)(weights)
        t = t + 1.0
        each = jax.tree.map
        first = each(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = each(lambda s, g: 0.999 * s + 0.001 * g * g, second, gradients)
        rate, scale = RATE / (1.0 - 0.9**t), 1.0 / (1.0 - 0.999**t)
        weights = each(lambda w, m, s: w - rate * m / (jnp.sqrt(s * scale) + 1e-8), weights, first, second)
        return value, [weights, first, second, t]

    return train


# ------------------------------------------------------------------------------------------------------------ all

FRAMES: dict[str, tuple[tuple[str, ...], Callable[[Task], Frame]]] = {
    "ours": ((), ours),
    "plain numpy": ((), plain_numpy),
    "snnTorch": (("torch", "snntorch"), snntorch),
    "Norse": (("torch", "norse"), norse),
    "brainstate": (("jax", "brainstate", "braintools"), brainstate),
    "plain JAX": (("jax",), plain_jax),
}
