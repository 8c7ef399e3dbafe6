"""Samples as photons, for a chip that sees one after another: the codes of :mod:`soen_event.stimulus` on channels of synapses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event import stimulus
from soen_event.errors import InputError, nearest
from soen_event.stimulus import Stimulus
from soen_event.units import ns_to_fs
from training.address import stream
from training.local_errors import ConnectionNotFoundError, DimensionMismatchError, refuse

if TYPE_CHECKING:
    from soen_event.plan import Plan

__all__ = ["CODES", "Encoder", "PhotonCode"]

CODES: dict[str, tuple[str | None, Callable[..., Any]]] = {
    "latency": ("t_window", stimulus.latency),
    "rank_order": (None, stimulus.rank_order),
    "rate": ("duration", stimulus.rate),
    "phase": (None, stimulus.phase),
}
"""Codes by name, with the option that is by default the length of a sample."""


class PhotonCode:
    """A code of :mod:`soen_event.stimulus` and the synapses of every feature.

    >>> code = PhotonCode("latency", [["s0.a", "s0.b"], ["s1.a", "s1.b"]], t_window=20.0)       # two features, two synapses each

    Arguments:
        name: "latency", "rank_order", "rate" or "phase".
        channels: for every feature of a sample the id of a synapse, or several, which get the same photons.
        options: of the code. ``t_window`` and ``duration`` are by default the length of a sample; "rate" takes its seed from the
            trainer, another one for every presentation.

    Raises InputError: an unknown code or option, no channel.
    """

    def __init__(self, name: str, channels: Iterable[str | Iterable[str]], **options: Any):
        faults = []
        if name not in CODES:
            faults.append(
                f"PhotonCode.name: {name!r} is unknown{nearest(str(name), CODES)}; choose one of {', '.join(CODES)}"
            )
        self.channels = [(each,) if isinstance(each, str) else tuple(each) for each in channels]
        if not self.channels:
            faults.append("PhotonCode.channels: there is none; give the synapses of every feature")
        if not faults:
            known = [k for k in inspect.signature(CODES[name][1]).parameters if k not in ("values", "ids", "seed")]
            faults += [
                f"PhotonCode.{k}: {name} has no such option{nearest(k, known)}" for k in options if k not in known
            ]
        if faults:
            raise InputError(faults)
        self.name, self.options = name, options

    def __repr__(self) -> str:
        return f"<PhotonCode: {self.name} of {len(self.channels)} channels>"

    def photons(self, values: Any, length: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Features and times (ns) of the photons of one sample."""
        window, code = CODES[self.name]
        options = dict(self.options)
        if window is not None:
            options.setdefault(window, length)
        if self.name == "rate":
            options["seed"] = int(rng.integers(2**63))
        array = np.asarray(values)
        if array.shape != (len(self.channels),):
            raise DimensionMismatchError(
                f"PhotonCode.values: the sample has shape {array.shape}, and there are {len(self.channels)} channels; "
                "give one value for each"
            )
        trains = code(array, range(len(self.channels)), **options).photons
        features = np.repeat(list(trains), [len(train) for train in trains.values()]) if trains else np.zeros(0)
        times = np.concatenate([np.zeros(0), *trains.values()])
        return features.astype(np.int64), times


class Encoder:
    """A :class:`PhotonCode` or a function, lowered to rows of a plan's detectors.

    ``code``: a PhotonCode; a function ``code(sample)`` or ``code(sample, rng)`` that gives photons by synapse, ns from the beginning of
    the sample; or None: samples are photons by synapse themselves. ``length``: of a sample, ns.
    """

    def __init__(self, code: Any, plan: Plan, length: float, seed: int):
        self.code, self.length, self.seed = code, length, seed
        own, rows = plan.own_synapses
        self._rows = dict(zip(own, rows.tolist(), strict=True))
        self._draws = False
        if isinstance(code, PhotonCode):
            refuse(
                (
                    ConnectionNotFoundError,
                    f"PhotonCode.channels: there is no synapse {name!r}{nearest(str(name), self._rows)}",
                )
                for names in code.channels
                for name in names
                if name not in self._rows
            )
            self._width = np.array([len(names) for names in code.channels])
            self._first = np.cumsum(self._width) - self._width
            self._of_channels = np.array([self._rows[n] for names in code.channels for n in names], dtype=np.int64)
        elif code is not None:
            if not callable(code):
                raise InputError(
                    f"LocalTrainer.encoder: {type(code).__name__} is no encoder; give a PhotonCode or a function of a sample"
                )
            self._draws = _takes_two(code)

    def __call__(self, sample: Any, *address: str | int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of detectors and times (fs from the beginning) of a sample's photons; draws are those of ``address``."""
        rng = stream(self.seed, "photons", *address)
        if isinstance(self.code, PhotonCode):
            features, times = self.code.photons(sample, self.length, rng)
            several = self._width[features]
            which = np.repeat(self._first[features], several) + _numbered(several)
            rows, times = self._of_channels[which], np.repeat(times, several)
        else:
            given = sample
            if self.code is not None:
                given = self.code(sample, rng) if self._draws else self.code(sample)
            rows, times = self._of(Stimulus.coerce(given))
        if len(times) and (times.min() < 0.0 or times.max() >= self.length):
            late = times.max() if times.max() >= self.length else times.min()
            raise InputError(
                f"LocalTrainer.encoder: a photon comes at {late:g} ns, and a sample lasts from 0 to before {self.length:g} ns; "
                "raise length or shorten the code"
            )
        return rows, ns_to_fs(times)

    def _of(self, photons: Stimulus) -> tuple[np.ndarray, np.ndarray]:
        if photons.drives:
            raise InputError("LocalTrainer.encoder: drives belong to the network; give photons only")
        trains: Mapping[Any, np.ndarray] = photons.photons
        refuse(
            (
                ConnectionNotFoundError,
                f"LocalTrainer.encoder: there is no synapse {name!r}{nearest(str(name), self._rows)}",
            )
            for name in trains
            if name not in self._rows
        )
        rows = np.repeat(
            np.array([self._rows[name] for name in trains], dtype=np.int64), [len(t) for t in trains.values()]
        )
        return rows, np.concatenate([np.zeros(0), *trains.values()])


def _numbered(several: np.ndarray) -> np.ndarray:
    """0 to n - 1 for every n, one after another."""
    return np.arange(several.sum()) - np.repeat(np.cumsum(several) - several, several)


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        parameters: Sequence[Any] = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(places) == 2
