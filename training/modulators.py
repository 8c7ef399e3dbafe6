"""Third factors: what is broadcast to the rules of a network after a sample, made of its outputs and of what was wanted.

>>> reward = RewardBaseline(AccuracyBasedModulator())
>>> run.signal("reward", reward({"z": 5, "v": 0, "n": 1}, "z"))                     # one number for all        # doctest: +SKIP
>>> error = Feedback("random", network, hidden=["h1", "h2"], outputs=["z", "v"], seed=3)                         # doctest: +SKIP
>>> run.signal("error", error({"z": 5, "v": 0}, "z"))                               # one for every neuron      # doctest: +SKIP

Outputs are spike counts or currents of the output neurons: a mapping by neuron, an array (D,), or a batch (B, D). A class is a
whole number from 0 to D - 1 (that of the neuron in the order of the mapping), its one-hot row, or with a mapping the neuron's id.
Definitions: features.md S0.11, S0.12, S0.R5 and, for rewards and feedback, S0.14.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from soen_event.errors import InputError, nearest
from training.arguments import Faults
from training.losses import labels_of, softmax_cross_entropy_with_integer_labels
from training.registry import register

if TYPE_CHECKING:
    from soen_event.network import Network
    from soen_event.simulate import Simulation

__all__ = [
    "KINDS",
    "AccuracyBasedModulator",
    "CrossEntropyErrorModulator",
    "Feedback",
    "MSEErrorModulator",
    "OutputError",
    "RewardBaseline",
    "forward_weights",
]

Array = NDArray[np.float64]
KINDS = ("symmetric", "random", "sign")


# --------------------------------------------------------------------------------------------- outputs and targets


def _outputs(given: Any, place: str) -> tuple[Array, list[str] | None, bool]:
    """Outputs as (B, D), the neurons' ids if there are any, and whether they came as one sample."""
    ids = [str(name) for name in given] if isinstance(given, Mapping) else None
    try:
        array = np.asarray(list(given.values()) if isinstance(given, Mapping) else given, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{place}.outputs: {given!r} are no numbers; give counts or currents by neuron") from None
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(f"{place}.outputs: the shape is {array.shape}; give (D,), (B, D) or a mapping by neuron")
    if not np.all(np.isfinite(array)):
        raise InputError(f"{place}.outputs: not all are finite; give finite counts or currents")
    return np.atleast_2d(array), ids, array.ndim == 1


def _labels(target: Any, outputs: Array, ids: list[str] | None, one: bool, place: str) -> NDArray[np.int64]:
    """Classes (B,). LabelError if one is out of range."""
    if isinstance(target, str):
        if ids is None or target not in ids:
            raise InputError(f"{place}.target: there is no output {target!r}{nearest(target, ids or ())}")
        target = ids.index(target)
    array = np.asarray(_in_order(target, ids, place))
    wanted = array[None] if one and array.ndim in (0, 1) and array.shape != (1,) else array
    return labels_of(wanted, (len(outputs),), outputs.shape[1], place)


def _in_order(target: Any, ids: list[str] | None, place: str) -> Any:
    """A mapping of targets in the order of the outputs; anything else as it is."""
    if not isinstance(target, Mapping):
        return target
    if ids is None or set(target) != set(ids):
        raise InputError(
            f"{place}.target: has {sorted(map(str, target))}, outputs have {ids}; give both by the same neurons"
        )
    return [target[name] for name in ids]


def _told(values: Array, one: bool, per_sample: bool) -> Any:
    if one:
        return float(values[0])
    return values if per_sample else float(np.mean(values))


# --------------------------------------------------------------------------------------------- one number for all


@register("modulator", "mse", "MSEErrorModulator")
@dataclass(frozen=True)
class MSEErrorModulator:
    """r = -scale mean_d (y_d - t_d)^2: at most 0, and 0 for outputs that are right (S0.11).

    Arguments:
        scale: at least 0. per_sample: of a batch one number for each sample, (B,); False: their mean.

    Calling it takes outputs and targets of the same shape (or mapping) and returns a float, of a batch an array.
    Raises InputError: another shape, or numbers that are not finite.
    """

    scale: float = 1.0
    per_sample: bool = True

    def __post_init__(self) -> None:
        _judge_reward(self)

    def __call__(self, outputs: Any, target: Any) -> Any:
        y, ids, one = _outputs(outputs, "MSEErrorModulator")
        t, _, _ = _outputs(_in_order(target, ids, "MSEErrorModulator"), "MSEErrorModulator.target of")
        if t.shape != y.shape:
            raise InputError(
                f"MSEErrorModulator.target: the shape {t.shape} is not that of the outputs, {y.shape}; make them agree"
            )
        return _told(-self.scale * np.mean((y - t) ** 2, axis=1), one, self.per_sample)


@register("modulator", "cross_entropy", "CrossEntropyErrorModulator")
@dataclass(frozen=True)
class CrossEntropyErrorModulator:
    """r = -scale CE(y, class) of outputs taken as logits: lse(y) - y_class (S0.12). Arguments and returns as :class:`MSEErrorModulator`.

    Raises LabelError (an InputError, ValueError and IndexError): a class out of range.
    """

    scale: float = 1.0
    per_sample: bool = True

    def __post_init__(self) -> None:
        _judge_reward(self)

    def __call__(self, outputs: Any, target: Any) -> Any:
        y, ids, one = _outputs(outputs, "CrossEntropyErrorModulator")
        labels = _labels(target, y, ids, one, "CrossEntropyErrorModulator")
        return _told(-self.scale * softmax_cross_entropy_with_integer_labels(y, labels), one, self.per_sample)


@register("modulator", "accuracy", "AccuracyBasedModulator")
@dataclass(frozen=True)
class AccuracyBasedModulator:
    """``correct_reward`` where the largest output is that of the class, else ``incorrect_reward`` (S0.R5).

    Arguments: the rewards; ties: "wrong": a class that shares the largest output is not right (physics.md 7.2); "first": the first of
    the largest counts, as argmax has it. per_sample as in :class:`MSEErrorModulator`.

    Raises LabelError: a class out of range.
    """

    correct_reward: float = 1.0
    incorrect_reward: float = -1.0
    ties: str = "wrong"
    per_sample: bool = True

    def __post_init__(self) -> None:
        faults = Faults("AccuracyBasedModulator")
        faults.number("correct_reward", self.correct_reward)
        faults.number("incorrect_reward", self.incorrect_reward)
        faults.choice("ties", self.ties, ("wrong", "first"))
        faults.flag("per_sample", self.per_sample)
        faults.done()

    def __call__(self, outputs: Any, target: Any) -> Any:
        y, ids, one = _outputs(outputs, "AccuracyBasedModulator")
        labels = _labels(target, y, ids, one, "AccuracyBasedModulator")
        right = np.argmax(y, axis=1) == labels
        if self.ties == "wrong":
            right &= np.sum(y == np.max(y, axis=1, keepdims=True), axis=1) == 1
        return _told(np.where(right, float(self.correct_reward), float(self.incorrect_reward)), one, self.per_sample)


def _judge_reward(modulator: MSEErrorModulator | CrossEntropyErrorModulator) -> None:
    faults = Faults(type(modulator).__name__)
    faults.number("scale", modulator.scale, least=0.0)
    faults.flag("per_sample", modulator.per_sample)
    faults.done()


@register("modulator", "baseline", "RewardBaseline")
class RewardBaseline:
    """A reward less what was expected: r - m, then m <- momentum m + (1 - momentum) r.

    The expectation m begins at the first reward, for which 0 is told, unless ``start`` is given. Of a batch every sample is compared with
    the same m, which then moves by the batch's mean.

    Arguments:
        modulator: what makes the reward of outputs and a target; None: it is called with the reward itself.
        momentum: [0, 1): how slowly the expectation moves. start: the expectation at first.

    ``expected`` is m, None before the first reward. ``state_dict()`` and ``load_state_dict(state)`` keep it.
    """

    def __init__(self, modulator: Any = None, *, momentum: float = 0.9, start: float | None = None):
        faults = Faults("RewardBaseline")
        if modulator is not None and not callable(modulator):
            faults.add("modulator", f"{type(modulator).__name__} cannot be called; give a modulator or None")
        faults.number("momentum", momentum, least=0.0, below=1.0)
        if start is not None:
            faults.number("start", start)
        faults.done()
        self.modulator, self.momentum = modulator, float(momentum)
        self.expected: float | None = None if start is None else float(start)

    def __call__(self, *given: Any) -> Any:
        """With a modulator (outputs, target), else (reward,). Returns a float, of a batch (B,)."""
        if len(given) != (1 if self.modulator is None else 2):
            wanted = "(reward)" if self.modulator is None else "(outputs, target)"
            raise InputError(f"RewardBaseline: {len(given)} arguments; call it with {wanted}")
        reward = given[0] if self.modulator is None else self.modulator(*given)
        try:
            array = np.asarray(reward, dtype=float)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        if array.ndim > 1 or array.size == 0 or not np.all(np.isfinite(array)):
            raise InputError(f"RewardBaseline: the reward {reward!r} is no finite number; give one, or (B,)")
        mean = float(np.mean(array))
        expected = mean if self.expected is None else self.expected
        self.expected = self.momentum * expected + (1.0 - self.momentum) * mean
        return float(array - expected) if array.ndim == 0 else array - expected

    def state_dict(self) -> dict[str, float | None]:
        """What it has learnt."""
        return {"expected": self.expected}

    def load_state_dict(self, state: Mapping[str, float | None]) -> None:
        """Take what :meth:`state_dict` has given."""
        if "expected" not in state:
            raise InputError("RewardBaseline.load_state_dict: 'expected' is missing; give what state_dict() returned")
        self.expected = state["expected"]


# --------------------------------------------------------------------------------------------- one number for every neuron


@register("modulator", "output_error", "OutputError")
@dataclass(frozen=True)
class OutputError:
    """The error of every output neuron, wanted - found, by its id.

    Arguments: active, silent: what is wanted of the neuron of the class and of all others (spikes, or I_c). scale: factor.

    Calling it takes outputs by neuron, and a class or what is wanted by neuron.
    Raises LabelError: a class out of range. InputError: outputs without names.
    """

    active: float = 5.0
    silent: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        faults = Faults("OutputError")
        for name in ("active", "silent", "scale"):
            faults.number(name, getattr(self, name))
        faults.done()

    def __call__(self, outputs: Mapping[str, float], target: Any) -> dict[str, float]:
        y, ids, _ = _outputs(outputs, "OutputError")
        if ids is None:
            raise InputError("OutputError.outputs: have no names; give a mapping by neuron")
        if isinstance(target, Mapping):
            wanted = _outputs(_in_order(target, ids, "OutputError"), "OutputError.target of")[0][0]
        else:
            label = _labels(target, y, ids, True, "OutputError")[0]
            wanted = np.where(np.arange(len(ids)) == label, self.active, self.silent)
        return dict(zip(ids, (self.scale * (wanted - y[0])).tolist(), strict=True))


def forward_weights(source: Network | Simulation, hidden: Sequence[str], outputs: Sequence[str]) -> Array:
    """Weights (H, O) from hidden to output neurons: of every path its synapse's weight times its couplings, summed.

    A path goes from the neuron along a waveguide to a synapse, from its loop along couplings (Phi0 per I_c), and ends at the first soma.

    Arguments: source: a Network, or a Simulation, of which the weights and couplings of now count. hidden, outputs: neurons' ids.
    Raises InputError: unknown neurons, or a network that is tiled.
    """
    from soen_event.network import Network
    from soen_event.plan import lower
    from soen_event.simulate import Simulation

    network = source.network if isinstance(source, Simulation) else source
    if not isinstance(network, Network):
        raise InputError(f"forward_weights.source: {type(network).__name__} is not a Network, nor a Simulation of one")
    if isinstance(source, Simulation):
        plan, state = source.plan, source.state
        weight, J = state.detectors["weight"], state.out_J
    else:
        plan = lower(network)
        weight, J = plan.arrays.det_weight, plan.arrays.out_J
    index = plan.neuron_index
    faults = [
        f"forward_weights: there is no neuron {name!r}{nearest(str(name), index)}"
        for name in dict.fromkeys([*hidden, *outputs])
        if name not in index
    ]
    if faults:
        raise InputError(faults)
    a = plan.arrays
    column = {int(a.soma[index[name]]): k for k, name in enumerate(outputs)}
    somas = set(a.soma.tolist())

    def reach(loop: int, strength: float, seen: frozenset[int], row: Array) -> None:
        if loop in column:
            row[column[loop]] += strength
        if loop in somas:
            return
        for c in range(int(a.out_start[loop]), int(a.out_start[loop + 1])):
            after = int(a.out_loop[c])
            if after not in seen:
                reach(after, strength * float(J[c]), seen | {after}, row)

    places = {name: k for k, name in enumerate(hidden)}
    found = np.zeros((len(hidden), len(outputs)))
    for guide in network.waveguides:
        if guide.source in places:
            detector = plan.detector_index[guide.target]
            loop = int(a.det_loop[detector])
            reach(loop, float(weight[detector]), frozenset((loop,)), found[places[guide.source]])
    return found


@register("modulator", "feedback", "Feedback")
class Feedback:
    """Errors of output neurons, and of hidden neurons to which they are fed back: e_hidden = B e_outputs.

    Arguments:
        kind: "symmetric": B is the weights from hidden to output neurons (:func:`forward_weights`), those of the time of the last
            :meth:`follow`; "sign": their signs; "random": normal numbers over sqrt(O), fixed (feedback alignment).
        source: a Network or Simulation; for "random" None will do.
        hidden, outputs: ids of neurons, each at least one.
        error: what makes errors by neuron of outputs and a target; by default :class:`OutputError`.
        scale: factor of B, finite.
        seed: of "random": the same seed, the same matrix, and each of its rows follows from the seed and the neuron's id alone.

    ``matrix`` is B, (H, O). Raises InputError: an unknown kind or neuron, a missing source, weights that are all 0.
    """

    def __init__(
        self,
        kind: str,
        source: Network | Simulation | None = None,
        *,
        hidden: Iterable[str],
        outputs: Iterable[str],
        error: Any = None,
        scale: float = 1.0,
        seed: int = 0,
    ):
        faults = Faults("Feedback")
        faults.choice("kind", kind, KINDS)
        faults.number("scale", scale)
        faults.whole("seed", seed)
        self.hidden, self.outputs = list(hidden), list(outputs)
        for name in ("hidden", "outputs"):
            ids = getattr(self, name)
            if not ids or len(set(ids)) < len(ids):
                faults.add(name, f"{ids} is empty or names a neuron twice; give different neurons")
        if error is not None and not callable(error):
            faults.add("error", f"{type(error).__name__} cannot be called; give a modulator such as OutputError()")
        if source is None and kind in KINDS and kind != "random":
            faults.add("source", f"is missing; {kind} feedback needs the network")
        faults.done()
        self.kind, self.scale, self.seed = kind, float(scale), int(seed)
        self.error = OutputError() if error is None else error
        self.matrix: Array = np.zeros((len(self.hidden), len(self.outputs)))
        if kind == "random":
            if source is not None:
                forward_weights(source, self.hidden, self.outputs)  # says which neurons are unknown
            self.matrix = self.scale * self._random()
        elif source is not None:
            self.follow(source)

    def _random(self) -> Array:
        from soen_event.physics.random import part_key

        count = len(self.outputs)
        rows = [np.random.default_rng([self.seed, part_key(name)]).normal(size=count) for name in self.hidden]
        return np.array(rows) / np.sqrt(count)

    def follow(self, source: Network | Simulation) -> None:
        """Take the weights that ``source`` has now; of "random" nothing changes."""
        if self.kind == "random":
            return
        found = forward_weights(source, self.hidden, self.outputs)
        if not np.any(found):
            raise InputError(
                "Feedback.source: no path leads from hidden to output neurons, so no error comes back; name others or take 'random'"
            )
        self.matrix = self.scale * (np.sign(found) if self.kind == "sign" else found)

    def __call__(self, outputs: Mapping[str, float], target: Any) -> dict[str, float]:
        """Errors by neuron, of the outputs and of the hidden ones."""
        errors = self.error(outputs, target)
        missing = [name for name in self.outputs if name not in errors]
        if missing:
            raise InputError(
                f"Feedback.outputs: {missing[0]!r} is not among the outputs given; give all of {self.outputs}"
            )
        back = self.matrix @ np.array([errors[name] for name in self.outputs])
        told = dict(errors)
        for name, value in zip(self.hidden, back.tolist(), strict=True):
            told[name] = told.get(name, 0.0) + value
        return told
