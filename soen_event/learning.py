"""Rules of learning and where they act: the contract between a rule and the engines.

A *rule* is a class with a few plain functions, each of which the engines call when a site of it hears something:

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Hebb(Rule):
...     lr: float = 0.01
...     tau: float = 20.0
...     requires = frozenset({"pre", "post"})
...     variables = {"trace": "tau"}                  # decays with tau
...     @staticmethod
...     def on_detection(site, p):                    # the synapse has detected a photon
...         site.trace += 1.0
...     @staticmethod
...     def on_spike(site, p):                        # its neuron has fired
...         site.change += p.lr * site.trace
>>> learning = Hebb(lr=0.02).on(synapses="*")         # simulate(net, photons, 100.0, learning=learning)

A *site* is where the rule acts: a synapse (its weight), a dendrite or soma (its flux offset, Phi0) or a coupling (its J, Phi0 per I_c).
``site`` has, of the moment of the event,

========================= =========================================================================================================
``weight``                the value now
``change``                0; what is added to it is asked of the site's memory (:class:`Storage`), times ``p.rate``
``now``                   time, ns
``current``               current of the loop that the site belongs to, I_c; of a coupling that of its source
``post_current``          current of the neuron's soma (without a neuron the same as ``current``); of a coupling that of its target
``signal``                what was broadcast last (:meth:`~soen_event.simulate.Simulation.signal`): reward, error, or another third factor
``current_area``          integral of ``current`` since the start, I_c ns, and of the flux in the loop, Phi0 ns: only where a signal is
``flux_area``             heard
``parent_area``           the same integral of the current of the loop that ``current``'s loop couples into
variables of the rule     by their names; each decays by itself with its time constant, exactly
========================= =========================================================================================================

and ``p`` has the rule's parameters (the numbers among its fields) and ``rate``, ``clip``, ``begins`` and ``ends``, which every rule
has (:class:`Plasticity`). Functions: ``on_detection`` (a synapse has detected a photon), ``on_spike`` (the site's neuron has fired),
``on_fluxon`` (a flux quantum has entered the site's loop) and ``on_<name>`` for every name in ``signals``. They are plain Python with
numbers, ``if`` and functions of the kind; for exponentials, :func:`soen_event.physics.elementary.exp`, which gives the same bits
everywhere. The reference engine calls them as they are, the compiled engine their machine code.
"""

from __future__ import annotations

import dataclasses
import dis
import fnmatch
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import CodeType, FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from soen_event.engine.state import (
    AREAS,
    AT_COUPLING,
    AT_OFFSET,
    AT_WEIGHT,
    CURRENTS,
    PARENT,
    RULE_PLAN,
    RULE_VALUES,
    SITE_PLAN,
    SITE_VALUES,
    V_CHANGE,
    V_HIDDEN,
    V_WEIGHT,
)
from soen_event.errors import InputError, nearest
from soen_event.physics.random import part_key
from soen_event.physics.storage import FREE, HIDDEN, NEAREST, STOCHASTIC, stored
from soen_event.units import is_number

if TYPE_CHECKING:
    from soen_event.plan import Plan

__all__ = ["NEEDS", "Learning", "Plasticity", "Rule", "Storage"]

NEEDS = {
    "pre": "detections of the synapse itself",
    "post": "spikes of its neuron",
    "fluxons": "flux quanta of the loop that it is on",
    "weight": "its own value",
    "current": "the current of the loop that it is on",
    "post current": "the current of its neuron's soma, or of the target of a coupling",
    "averages": "mean current and mean flux of the loop that it is on",
    "parent average": "mean current of the loop that this one couples into",
    "broadcast": "a signal that is the same for all: reward, error, the end of a sample",
    "per-neuron": "a signal of its own for every neuron",
}
"""What a rule may need to know, and what a chip must have for it."""
_HOOKS = {"on_detection": "pre", "on_spike": "post", "on_fluxon": "fluxons"}
_FIELDS = {
    "weight": "weight",
    "current": "current",
    "post_current": "post current",
    "current_area": "averages",
    "flux_area": "averages",
    "parent_area": "parent average",
    "signal": "broadcast",
}
ROUNDINGS = {"nearest": NEAREST, "stochastic": STOCHASTIC, "hidden": HIDDEN}


class Rule:
    """A rule of learning. Subclasses are frozen dataclasses; see the module's first lines for what they have.

    ``requires``: what it has to know, of :data:`NEEDS`. It is checked against what its functions use. ``per-neuron`` instead of
    ``broadcast`` says that neurons have to be told apart. ``variables``: names, each with the parameter that is its time constant (ns),
    or None if it does not decay. They begin at 0. ``signals``: names of signals that it hears.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    variables: ClassVar[Mapping[str, str | None]] = {}
    signals: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not any(name.startswith("on_") for name in vars(cls)):
            return
        unknown = [name for name in cls.requires if name not in NEEDS]
        if unknown:
            raise TypeError(
                f"{cls.__name__}.requires: {unknown[0]!r} is unknown{nearest(unknown[0], NEEDS)}; known are {', '.join(NEEDS)}"
            )
        needs = cls._needs()
        declared = {"broadcast" if name == "per-neuron" else name for name in cls.requires}
        if declared != needs:
            raise TypeError(
                f"{cls.__name__}.requires says {_listed(cls.requires)}, but its functions use {_listed(needs)}; say that"
            )

    @classmethod
    def hooks(cls) -> dict[str, FunctionType]:
        """The functions of the rule by name."""
        names = [*_HOOKS, *(f"on_{name}" for name in cls.signals)]
        return {name: getattr(cls, name) for name in names if getattr(cls, name, None) is not None}

    @classmethod
    def _needs(cls) -> set[str]:
        hooks = cls.hooks()
        needs = {_HOOKS.get(name, "broadcast") for name in hooks}
        for hook in hooks.values():
            for function in _with_called(hook):
                needs |= {_FIELDS[name] for name in _mentioned(function.__code__) if name in _FIELDS}
        return needs

    def parameters(self) -> dict[str, float]:
        """The numbers that the functions see as ``p``, by name: by default all fields."""
        return (
            {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} if dataclasses.is_dataclass(self) else {}
        )

    def on(
        self,
        *,
        synapses: str | Iterable[str] | None = None,
        loops: str | Iterable[str] | None = None,
        couplings: str | Iterable[str] | None = None,
        **options: Any,
    ) -> Plasticity:
        """This rule at these places; see :class:`Plasticity`."""
        return Plasticity(self, synapses=synapses, loops=loops, couplings=couplings, **options)


@dataclass(frozen=True)
class Storage:
    """The memory of a value that is learnt.

    Arguments:
        low, high: its bounds, low < high; infinite ones only without ``levels``.
        levels: how many values it can hold, equally spaced, the first ``low`` and the last ``high`` (2 to 65537); a storage loop of flux
            quanta has some 400 (arXiv 2311.05881). None: any value.
        rounding: what becomes of changes that are no whole number of levels. ``"nearest"``: rounded; below half a level
            nothing happens. ``"stochastic"``: at random, so that the mean is right. ``"hidden"``: summed up beside the memory.
        keep_sign: True: no value changes its sign; one of 0 stays. A range without 0 keeps signs by itself.
        gain: what a value does in the network over what is held here, a number other than 0: a deviation of a chip. Rules, bounds,
            levels and all that is recorded speak of what is held.

    The value that a network gives is rounded to the nearest level.
    """

    low: float = -math.inf
    high: float = math.inf
    levels: int | None = None
    rounding: str = "hidden"
    keep_sign: bool = False
    gain: float = 1.0

    def __post_init__(self) -> None:
        faults = []
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or math.isnan(value):
                faults.append(f"Storage.{name}: {value!r} is not a number")
        if not faults and not self.low < self.high:
            faults.append(f"Storage.high: {self.high!r} is not above low ({self.low!r})")
        if self.levels is not None:
            whole = isinstance(self.levels, int | np.integer) and not isinstance(self.levels, bool)
            if not whole or not 2 <= self.levels <= 65537:
                faults.append(f"Storage.levels: {self.levels!r} is not a whole number from 2 to 65537")
            elif not faults and not (math.isfinite(self.low) and math.isfinite(self.high)):
                faults.append("Storage.levels: levels need bounds; give low and high")
        if not is_number(self.gain) or self.gain == 0.0:
            faults.append(f"Storage.gain: {self.gain!r} is not a finite number other than 0")
        if self.rounding not in ROUNDINGS:
            faults.append(
                f"Storage.rounding: {self.rounding!r} is unknown{nearest(str(self.rounding), ROUNDINGS)}; choose one of "
                f"{', '.join(ROUNDINGS)}"
            )
        if faults:
            raise InputError(faults)

    @classmethod
    def bits(cls, b: int, low: float, high: float, **options: Any) -> Storage:
        """2^b equally spaced levels from ``low`` to ``high``, as :meth:`hardware.quantize.Levels.bits` has them."""
        if isinstance(b, bool) or not isinstance(b, int | np.integer) or not 1 <= b <= 16:
            raise InputError(f"Storage.bits: {b!r} is not a whole number from 1 to 16")
        return cls(low, high, levels=2 ** int(b), **options)

    @property
    def step(self) -> float:
        """From one level to the next; 0 where there are none."""
        return 0.0 if self.levels is None else (self.high - self.low) / (self.levels - 1)

    @property
    def code(self) -> int:
        return FREE if self.levels is None else ROUNDINGS[self.rounding]


@dataclass(frozen=True)
class Plasticity:
    """A rule, and where it acts. Made by :meth:`Rule.on`.

    Arguments:
        rule: a :class:`Rule`.
        synapses: ids of the synapses whose weights it changes, or a pattern with ``*`` and ``?``.
        loops: ids of dendrites and neurons (their somas) whose flux offsets it changes, or a pattern.
        couplings: ids of couplings (``"d1->n1"``) whose J it changes, or a pattern.
        post: id of the neuron whose spikes it learns from, by default the only one to which the site leads; or a mapping from ids of sites.
        storage: what its values are held in; or a mapping from ids of sites, where those that it does not name have any value.
        max_norm: largest root of the sum of squares of the values of one neuron; after every change they are scaled down to it, on levels
            towards 0. Range and levels come first: where 0 is none of them, the norm may be exceeded.
        rate: factor of all changes; ``clip``: largest magnitude of one change; ``begins``, ``ends``: ns, between which
            changes are made (variables go on). All four can be changed during a run.
        name: to speak of it by; by default the name of the rule's class, with a number if there are several.
    """

    rule: Rule
    synapses: str | Iterable[str] | None = None
    loops: str | Iterable[str] | None = None
    couplings: str | Iterable[str] | None = None
    post: str | Mapping[str, str] | None = None
    storage: Storage | Mapping[str, Storage] = field(default_factory=Storage)
    max_norm: float | None = None
    rate: float = 1.0
    clip: float = math.inf
    begins: float = 0.0
    ends: float = math.inf
    name: str | None = None

    def __post_init__(self) -> None:
        faults = []
        if not isinstance(self.rule, Rule):
            faults.append(f"Plasticity.rule: {type(self.rule).__name__} is not a Rule; derive it from soen_event.Rule")
        for kind in ("synapses", "loops", "couplings"):
            ids = getattr(self, kind)
            if ids is not None and not isinstance(ids, str):
                try:
                    object.__setattr__(self, kind, tuple(ids))
                except TypeError:
                    faults.append(f"Plasticity.{kind}: {ids!r} is neither a pattern nor a list of ids")
        if self.synapses is None and self.loops is None and self.couplings is None:
            faults.append("Plasticity: no place is given; say which synapses, loops or couplings learn")
        given = self.storage.items() if isinstance(self.storage, Mapping) else [(None, self.storage)]
        for site, held in given:
            if not isinstance(held, Storage):
                where = "Plasticity.storage" if site is None else f"Plasticity.storage[{site!r}]"
                faults.append(f"{where}: {type(held).__name__} is not a Storage")
        if self.max_norm is not None and not (is_number(self.max_norm) and self.max_norm > 0):
            faults.append(f"Plasticity.max_norm: {self.max_norm!r} is not a number above 0")
        for name in RULE_VALUES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or math.isnan(value):
                faults.append(f"Plasticity.{name}: {value!r} is not a number")
        if not faults and self.clip < 0:
            faults.append(f"Plasticity.clip: {self.clip!r} is below 0")
        if faults:
            raise InputError(faults)

    def storage_of(self, site: str) -> Storage:
        """The memory of a site, by its id."""
        return self.storage.get(site, Storage()) if isinstance(self.storage, Mapping) else self.storage


@dataclass(frozen=True, eq=False)
class Learning:
    """All rules and sites of a Plan, lowered. Sites are sorted by neuron, then by loop, kind and place."""

    sites: np.ndarray  # SITE_PLAN records
    rules: np.ndarray  # RULE_PLAN records, without functions: those are set for an engine by :func:`machine_code`
    decay: (
        np.ndarray
    )  # int64, of every variable of every rule: the place of its time constant among the parameters, or -1
    values: np.ndarray  # float64, State.sites at the start
    rule_values: np.ndarray  # float64, State.rule_values at the start
    of_loops: dict[str, np.ndarray]
    of_detectors: np.ndarray
    of_neurons: np.ndarray  # (neurons + 1,)
    most: int  # changes that one event can make
    site_ids: tuple[str, ...]
    names: tuple[str, ...]  # of the rules
    fields: tuple[tuple[str, ...], ...]  # of the sites of every rule, and of its parameters
    parameters: tuple[tuple[str, ...], ...]
    hooks: tuple[dict[str, FunctionType], ...]

    def functions(self, hook: str, code: bool) -> np.ndarray:
        """For every rule what ``fetch.invoke`` calls: addresses of machine code, or numbers of plain functions; 0 without ``hook``."""
        out = np.zeros(len(self.hooks), dtype=np.int64)
        for r, hooks in enumerate(self.hooks):
            if hook in hooks:
                made = machine_code if code else plain_code
                out[r] = made(hooks[hook], self.fields[r], self.parameters[r], f"{self.names[r]}.{hook}")
        return out

    @cached_property
    def signals(self) -> set[str]:
        """Names of the signals that are heard."""
        return {name[3:] for hooks in self.hooks for name in hooks if name not in _HOOKS}

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Row of every site by its id."""
        return {site: i for i, site in enumerate(self.site_ids)}

    @property
    def digest(self) -> bytes:
        """Hash of all that affects a run."""
        total = hashlib.blake2b(digest_size=16)
        for column in (self.sites, self.rules, self.decay, self.values, self.rule_values):
            total.update(np.ascontiguousarray(column).tobytes())
        for names, parameters, hooks in zip(self.fields, self.parameters, self.hooks, strict=True):
            total.update(repr((names, parameters)).encode())
            for name in sorted(hooks):
                total.update(name.encode())
                for function in _with_called(hooks[name]):
                    total.update(_code_of(function.__code__))
        return total.digest()

    def described(self) -> dict[str, Any]:
        """What a recording says of the rules: of every rule its parameters at the start and its sites."""
        out: dict[str, Any] = {}
        for r, name in enumerate(self.names):
            start = self.rules[r].start
            mine = np.flatnonzero(self.sites["rule"] == r).tolist()
            values = self.rule_values[start : start + len(self.parameters[r])].tolist()
            out[name] = {
                "parameters": {
                    key: value for key, value in zip(self.parameters[r], values, strict=True) if math.isfinite(value)
                },
                "rows": mine,
                "sites": [self.site_ids[i] for i in mine],
                "start": [float(self.values[self.sites[i].start]) for i in mine],
                "step": [float(self.sites[i].step) for i in mine],
            }
        return out

    def time_constants(self, r: int) -> list[str]:
        """The parameters of rule ``r`` that are time constants."""
        which = self.decay[self.rules[r].decay_start : self.rules[r].decay_stop]
        return [self.parameters[r][k] for k in which.tolist() if k >= 0]

    def catch_up(self, r: int, state: Any, now: int) -> None:
        """The variables of all sites of rule ``r`` decay to ``now`` (fs)."""
        from soen_event.engine.learn import catch_up

        records = SimpleNamespace(sites=self.sites, rules=self.rules, decay=self.decay)
        for i in np.flatnonzero(self.sites["rule"] == r).tolist():
            catch_up(records, state, i, now)

    def reprogrammed(self, state: Any, what: str, place: int, value: float) -> None:
        """Somebody else has set a weight or a coupling, which may be a site's."""
        kind = AT_WEIGHT if what == "weight" else AT_COUPLING
        for i in np.flatnonzero((self.sites["kind"] == kind) & (self.sites["place"] == place)).tolist():
            at = self.sites[i].start
            held = _held(self.sites[i], value)
            state.sites[at + V_WEIGHT] = state.sites[at + V_CHANGE] = state.sites[at + V_HIDDEN] = held

    def held(self, i: int, value: float) -> float:
        """What the memory of the site in row ``i`` holds of a value: within its bounds, on the nearest level."""
        return _nearest(self.sites[i], value)[0]

    def row(self, site: str) -> int:
        """The row of a site by its id."""
        if site not in self.index:
            raise InputError(f"no site {site!r} learns{nearest(str(site), self.site_ids)}")
        return self.index[site]


def nothing_learns(loops: int, detectors: int, neurons: int) -> Learning:
    """The Learning of a network without rules."""
    return Learning(
        sites=_table(SITE_PLAN, 0),
        rules=_table(RULE_PLAN, 0),
        decay=np.zeros(0, dtype=np.int64),
        values=np.zeros(0),
        rule_values=np.zeros(0),
        of_loops={name: np.zeros(loops, dtype=np.int64) for name in ("hears_start", "hears_stop", "watched")},
        of_detectors=np.full(detectors, -1, dtype=np.int64),
        of_neurons=np.zeros(neurons + 1, dtype=np.int64),
        most=0,
        site_ids=(),
        names=(),
        fields=(),
        parameters=(),
        hooks=(),
    )


def _table(fields: list[tuple[str, str]], length: int) -> np.ndarray:
    return np.zeros(length, dtype=np.dtype(fields)).view(np.recarray)


def lower_learning(plan: Plan, learning: Any) -> Learning:
    """Rules and where they act, as flat arrays. ``learning``: a :class:`Plasticity` or several.

    Raises InputError with everything that is wrong: unknown ids, a site of two rules, sites that lead to no neuron or to several,
    rules that hear fluxons where they are no events.
    """
    given: Sequence[Any] = list(learning) if isinstance(learning, list | tuple) else [learning]
    faults: list[str] = []
    for each in given:
        if isinstance(each, Rule):
            faults.append(
                f"learning: {type(each).__name__} does not say where it acts; use {type(each).__name__}().on(...)"
            )
        elif not isinstance(each, Plasticity):
            faults.append(f"learning: {type(each).__name__} is not a Plasticity; make one with Rule.on")
    if faults:
        raise InputError(faults)
    names = _names(given)
    reach = _Reach(plan)
    rows: list[tuple[tuple[int, int, int, int], int, str, float]] = []  # (neuron, loop, kind, place), rule, id, value
    taken: dict[tuple[int, int], str] = {}
    fields: list[tuple[str, ...]] = []
    parameters: list[tuple[str, ...]] = []
    decay: list[int] = []
    rules = _table(RULE_PLAN, len(given))
    rule_values: list[float] = []
    for r, (each, name) in enumerate(zip(given, names, strict=True)):
        own = _checked_parameters(each.rule, name, faults)
        variables = dict(each.rule.variables)
        faults += _name_faults(each.rule, name, own, variables)
        fields.append((*SITE_VALUES, *variables))
        parameters.append((*RULE_VALUES, *own))
        rules[r].start, rules[r].decay_start = len(rule_values), len(decay)
        rule_values += [float(getattr(each, key)) for key in RULE_VALUES] + [own[key] for key in own]
        for variable, tau in variables.items():
            decay.append(-1 if tau is None or tau not in own else len(RULE_VALUES) + list(own).index(tau))
            if tau is not None and (tau not in own or not own[tau] > 0):
                faults.append(f"{name}.{tau}: the time constant of {variable} is not a number above 0; give it in ns")
        rules[r].decay_stop = len(decay)
        needs = each.rule.requires
        rules[r].reads = CURRENTS * bool({"current", "post current"} & needs) + AREAS * ("averages" in needs)
        rules[r].reads += PARENT * ("parent average" in needs)
        rules[r].norm = 0.0 if each.max_norm is None else float(each.max_norm)
        places = _places(plan, each, name, faults)
        if isinstance(each.storage, Mapping):
            known = {site for _, _, site in places}
            faults += [
                f"{name}.storage: {site!r} is no site of this rule{nearest(str(site), known)}"
                for site in each.storage
                if site not in known
            ]
        for kind, place, site in places:
            if (kind, place) in taken:
                faults.append(f"{name}: {site} learns already, by {taken[kind, place]}; give it one rule")
                continue
            taken[kind, place] = name
            loop = _home(plan, kind, place)
            if "parent average" in needs and _parent(plan, loop) < 0:
                faults.append(
                    f"{name}: {site} has no parent: its loop does not couple into exactly one other; leave it out"
                )
            neuron = _neuron_of(plan, reach, each, name, site, kind, place, faults)
            column = {AT_WEIGHT: plan.arrays.det_weight, AT_OFFSET: plan.arrays.offset, AT_COUPLING: plan.arrays.out_J}[
                kind
            ]
            rows.append(((neuron, loop, kind, place), r, site, float(column[place])))
    rows.sort(key=lambda row: row[0])
    faults += _fluxon_faults(plan, given, names, rows)
    if faults:
        raise InputError(faults[:20])
    return _columns(plan, given, names, rows, rules, fields, parameters, decay, rule_values)


def _columns(
    plan: Plan,
    given: Sequence[Plasticity],
    names: list[str],
    rows: list[tuple[tuple[int, int, int, int], int, str, float]],
    rules: np.ndarray,
    fields: list[tuple[str, ...]],
    parameters: list[tuple[str, ...]],
    decay: list[int],
    rule_values: list[float],
) -> Learning:
    a = plan.arrays
    sites = _table(SITE_PLAN, len(rows))
    values: list[float] = []
    faults: list[str] = []
    for i, ((neuron, loop, kind, place), r, site, value) in enumerate(rows):
        each = given[r]
        storage, it = each.storage_of(site), sites[i]
        low, high = storage.low, storage.high
        if storage.keep_sign and value * storage.gain * (low if low > 0.0 else min(high, 0.0)) < 0.0:
            faults.append(
                f"{names[r]}: {site} is {value:g}, and a memory from {low:g} to {high:g} cannot keep its sign; give another range"
            )
        if storage.keep_sign and low <= 0.0 <= high:
            low, high = (max(low, 0.0), high) if value / storage.gain > 0 else (low, min(high, 0.0))
            if value == 0:
                low = high = 0.0
        it.kind, it.place, it.loop, it.neuron, it.rule, it.start = kind, place, loop, neuron, r, len(values)
        it.post = a.soma[neuron] if neuron >= 0 else loop
        it.parent = _parent(plan, loop)
        if kind == AT_COUPLING:
            it.post = a.out_loop[place]
        it.key, it.step, it.rounding, it.gain = part_key(site), storage.step, storage.code, storage.gain
        it.low, it.high = _on_levels(low, high, storage)
        held, hidden = _nearest(it, _held(it, value))
        mine = [0.0] * len(fields[r])
        mine[V_WEIGHT] = mine[V_CHANGE] = held
        mine[V_HIDDEN] = hidden
        values += mine
    if faults:
        raise InputError(faults[:20])
    neurons = np.array([row[0][0] for row in rows], dtype=np.int64)
    of_neurons = np.searchsorted(neurons, np.arange(len(a.soma) + 1)).astype(np.int64)
    of_detectors = np.full(len(plan.detector_ids), -1, dtype=np.int64)
    hears = {name: np.zeros(len(a.row), dtype=np.int64) for name in ("hears_start", "hears_stop", "watched")}
    for i, it in enumerate(sites):
        rule = given[it.rule].rule
        if it.kind == AT_WEIGHT:
            of_detectors[it.place] = i
        if "averages" in rule.requires:
            hears["watched"][it.loop] = 1
        if "parent average" in rule.requires:
            hears["watched"][it.parent] = 1
        if "on_fluxon" in rule.hooks():
            if hears["hears_stop"][it.loop] == 0:
                hears["hears_start"][it.loop] = i
            hears["hears_stop"][it.loop] = i + 1
    most = int(np.diff(of_neurons).max(initial=0))
    alone = np.array([row[0][1] for row in rows if row[0][0] < 0], dtype=np.int64)
    if len(alone):
        most = max(most, int(np.unique(alone, return_counts=True)[1].max()))
    return Learning(
        sites=sites,
        rules=rules,
        decay=np.array(decay, dtype=np.int64),
        values=np.array(values, dtype=float),
        rule_values=np.array(rule_values, dtype=float),
        of_loops=hears,
        of_detectors=of_detectors,
        of_neurons=of_neurons,
        most=2 * most + 2,
        site_ids=tuple(row[2] for row in rows),
        names=tuple(names),
        fields=tuple(fields),
        parameters=tuple(parameters),
        hooks=tuple(each.rule.hooks() for each in given),
    )


# ------------------------------------------------------------------ what is asked of a rule and its places


def _names(given: Sequence[Plasticity]) -> list[str]:
    """A name for each, the same class numbered."""
    names: list[str] = []
    for each in given:
        name = each.name or type(each.rule).__name__
        number = 2
        while name in names:
            name = f"{each.name or type(each.rule).__name__}_{number}"
            number += 1
        names.append(name)
    return names


def _checked_parameters(rule: Rule, name: str, faults: list[str]) -> dict[str, float]:
    own = {}
    for key, value in rule.parameters().items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or math.isnan(value):
            faults.append(f"{name}.{key}: {value!r} is not a number")
        else:
            own[key] = float(value)
    return own


def _name_faults(rule: Rule, name: str, own: Mapping[str, float], variables: Mapping[str, Any]) -> list[str]:
    """Names in the functions that neither a site nor a rule's parameters have."""
    faults = [
        f"{name}.variables: {v!r} has another meaning already; choose another name"
        for v in variables
        if v in SITE_VALUES
    ]
    faults += [
        f"{name}: the parameter {v!r} has another meaning already; choose another name" for v in own if v in RULE_VALUES
    ]
    known = {*SITE_VALUES, *RULE_VALUES, *own, *variables}
    for hook, function in rule.hooks().items():
        if function.__code__.co_argcount != 2:
            count = function.__code__.co_argcount
            faults.append(
                f"{name}.{hook}: takes {count} arguments; it is called with (site, p); make it a staticmethod"
            )
            continue
        stored_to = {step.argval for step in dis.get_instructions(function) if step.opname == "STORE_ATTR"}
        for word in sorted(stored_to - {"change", *variables}):
            what = (
                "is only read; ask for a change with site.change"
                if word in SITE_VALUES
                else "is a parameter or unknown; use a variable"
            )
            faults.append(f"{name}.{hook}: sets {word!r}, which {what}")
        for word in sorted(_mentioned(function.__code__)):
            if (
                word not in known
                and word not in function.__globals__
                and not hasattr(math, word)
                and word not in _BUILTINS
            ):
                faults.append(f"{name}.{hook}: neither a site nor p has {word!r}{nearest(word, known)}")
    return faults


_BUILTINS = {"abs", "min", "max", "int", "float", "bool", "round", "pow", "range"}


def _mentioned(code: CodeType) -> set[str]:
    """Names of attributes and globals in a function's code."""
    names = set(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            names |= _mentioned(inner)
    return names


def _with_called(function: FunctionType) -> list[FunctionType]:
    """A function and the plain functions that it calls by their names, and so on; each once."""
    found = [function]
    for each in found:
        named = (each.__globals__.get(name) for name in sorted(_mentioned(each.__code__)))
        found += [other for other in named if isinstance(other, FunctionType) and other not in found]
    return found


def _code_of(code: CodeType) -> bytes:
    inner = b"".join(_code_of(c) if isinstance(c, CodeType) else repr(c).encode() for c in code.co_consts)
    return code.co_code + repr((code.co_names, code.co_varnames)).encode() + inner


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _matching(
    given: str | Iterable[str] | None, ids: Iterable[str], where: str, what: str, faults: list[str]
) -> list[str]:
    """The ids that a pattern or a list names."""
    if given is None:
        return []
    if isinstance(given, str):
        if any(c in given for c in "*?["):
            found = [name for name in ids if fnmatch.fnmatchcase(name, given)]
            if not found:
                faults.append(f"{where}: no {what} matches {given!r}")
            return found
        given = (given,)
    known = set(ids)
    out = []
    for name in given:
        if name in known:
            out.append(name)
        else:
            faults.append(f"{where}: there is no {what} {name!r}{nearest(str(name), known)}")
    return out


def _places(plan: Plan, each: Plasticity, name: str, faults: list[str]) -> list[tuple[int, int, str]]:
    """(kind, place, id) of the sites of a rule."""
    out = []
    if each.synapses is not None:
        own, rows = plan.own_synapses
        place = dict(zip(own, rows.tolist(), strict=True))
        out += [(AT_WEIGHT, place[s], s) for s in _matching(each.synapses, own, f"{name}.synapses", "synapse", faults)]
    if each.loops is not None:
        ids = [*plan.loop_ids, *plan.neuron_ids]
        pattern = isinstance(each.loops, str) and any(c in each.loops for c in "*?[")
        if pattern:  # refractory dendrites do not learn unless they are named
            ids = [d for d in plan.loop_ids if not d.endswith(".refractory")]
        for d in _matching(each.loops, ids, f"{name}.loops", "loop", faults):
            out.append((AT_OFFSET, plan.loop_index[d], f"{plan.loop_ids[plan.loop_index[d]]}.phi_offset"))
    if each.couplings is not None:
        index: dict[str, list[int]] = {}
        for k, c in enumerate(plan.coupling_ids):
            index.setdefault(c, []).append(k)
        found = _matching(each.couplings, index, f"{name}.couplings", "coupling", faults)
        for name_of, number, k in [(c, n, k) for c in dict.fromkeys(found) for n, k in enumerate(index[c], start=1)]:
            a = plan.arrays
            source, target = _home(plan, AT_COUPLING, k), int(a.out_loop[k])
            if a.stiff[target] > 0.0 or a.enter_start[source] < a.enter_start[source + 1]:
                faults.append(
                    f"{name}: {name_of} is part of a collection loop, whose inductances follow from its couplings; it cannot learn"
                )
            else:  # parallel couplings have one id, and sites have numbers then
                out.append((AT_COUPLING, k, name_of if number == 1 else f"{name_of}#{number}"))
    for kind, _, site in out:
        if kind != AT_WEIGHT and "on_detection" in each.rule.hooks():
            faults.append(
                f"{name}: {site} is no synapse and never detects a photon, to which {type(each.rule).__name__} listens"
            )
            break
    return out


def _home(plan: Plan, kind: int, place: int) -> int:
    """The loop that a site belongs to."""
    if kind == AT_WEIGHT:
        return int(plan.arrays.det_loop[place])
    if kind == AT_OFFSET:
        return place
    return int(np.searchsorted(plan.arrays.out_start, place, side="right") - 1)


def _parent(plan: Plan, loop: int) -> int:
    """The only loop that one couples into; -1 for none or several."""
    a = plan.arrays
    found = set(a.out_loop[a.out_start[loop] : a.out_start[loop + 1]].tolist())
    return int(found.pop()) if len(found) == 1 else -1


class _Reach:
    """To which neurons loops lead, along couplings and not beyond a soma."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.known: dict[int, frozenset[int]] = {}

    def of(self, loop: int) -> frozenset[int]:
        if loop in self.known:
            return self.known[loop]
        a, found, seen, todo = self.plan.arrays, set(), {loop}, [loop]
        while todo:
            d = todo.pop()
            if a.neuron[d] >= 0:
                found.add(int(a.neuron[d]))
                continue
            for other in a.out_loop[a.out_start[d] : a.out_start[d + 1]].tolist():
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        self.known[loop] = frozenset(found)
        return self.known[loop]


def _neuron_of(
    plan: Plan, reach: _Reach, each: Plasticity, name: str, site: str, kind: int, place: int, faults: list[str]
) -> int:
    """The neuron whose spikes a site learns from; -1 for none."""
    loop = int(plan.arrays.out_loop[place]) if kind == AT_COUPLING else _home(plan, kind, place)
    post = each.post.get(site) if isinstance(each.post, Mapping) else each.post
    if post is not None:
        if post not in plan.neuron_index:
            faults.append(f"{name}.post: there is no neuron {post!r}{nearest(str(post), plan.neuron_index)}")
            return -1
        neuron = plan.neuron_index[post]
        if plan.arrays.group[plan.arrays.soma[neuron]] != plan.arrays.group[loop]:
            faults.append(
                f"{name}.post: {site} and {post} are joined by light only; a site learns from a neuron that it is coupled to"
            )
        return neuron
    found = reach.of(loop)
    if len(found) == 1:
        return next(iter(found))
    needs = {"post", "per-neuron"} & each.rule.requires
    if not needs or (not found and needs == {"per-neuron"}):
        return -1
    if not found:
        faults.append(f"{name}: {site} leads to no neuron, whose spikes {type(each.rule).__name__} learns from")
    else:
        several = sorted(plan.neuron_ids[n] for n in found)
        faults.append(f"{name}: {site} leads to {', '.join(several[:4])}; say from which it learns: post=...")
    return -1


def _fluxon_faults(plan: Plan, given: Sequence[Plasticity], names: list[str], rows: list[Any]) -> list[str]:
    faults: list[str] = []
    neuron_of: dict[int, int] = {}
    for (neuron, loop, _, _), r, site, _ in rows:
        if "on_fluxon" not in given[r].rule.hooks():
            continue
        if plan.arrays.flow[loop] == 1:
            faults.append(
                f"{names[r]}: {site} hears fluxons, which are no events where currents flow; use resolution='fluxon'"
            )
        if neuron_of.setdefault(loop, neuron) != neuron:
            faults.append(
                f"{names[r]}: sites on {plan.loop_ids[loop]} hear its fluxons and learn from different neurons; give them one"
            )
    return faults


def _nearest(it: Any, value: float) -> tuple[float, float]:
    """What the memory of a site (a SITE_PLAN record) holds of a value: within its bounds, on the nearest level; and its hidden sum."""
    rounding = NEAREST if it.step > 0 else FREE
    return stored(value, 0.0, value, float(it.low), float(it.high), float(it.step), rounding, 0.0)


def _held(it: Any, value: float) -> float:
    """What the memory of a site (a SITE_PLAN record) holds for a value of the network; on a level where only rounding is between."""
    held = value / float(it.gain)
    if it.step > 0.0:
        level = float(it.low + round((held - it.low) / it.step) * it.step)
        held = level if abs(held - level) <= 1e-9 * it.step else held
    return held


def _on_levels(low: float, high: float, storage: Storage) -> tuple[float, float]:
    """Bounds moved inwards to levels of the memory."""
    step = storage.step
    if step <= 0.0:
        return low, high
    first = math.ceil((low - storage.low) / step - 1e-9)
    last = math.floor((high - storage.low) / step + 1e-9)
    return storage.low + first * step, storage.low + max(first, last) * step


# ------------------------------------------------------------------ functions as engines call them

_plain_numbers: dict[Any, int] = {}
_kept: list[Any] = []


def plain_code(function: FunctionType, names: tuple[str, ...], of_rule: tuple[str, ...], where: str) -> int:
    """The number under which plain Python calls a rule's function (``engine.fetch.invoke``)."""
    from soen_event.engine.fetch import PLAIN

    key = function, names, of_rule
    if key not in _plain_numbers:
        _plain_numbers[key] = len(PLAIN) + 1
        PLAIN[len(PLAIN) + 1] = key
    return _plain_numbers[key]


def machine_code(function: FunctionType, names: tuple[str, ...], of_rule: tuple[str, ...], where: str) -> int:
    """The address of a rule's function as machine code; without a compiler its number."""
    from numba import config

    if vars(config).get("DISABLE_JIT"):
        return plain_code(function, names, of_rule, where)
    try:
        return _machine_code(function, names, of_rule)
    except Exception as trouble:
        first = next((line.strip() for line in str(trouble).splitlines() if line.strip()), type(trouble).__name__)
        raise InputError(
            f"{where}: cannot be compiled ({first}); use numbers, if, and plain functions only, or engine='reference'"
        ) from trouble


@cache
def _machine_code(function: FunctionType, names: tuple[str, ...], of_rule: tuple[str, ...]) -> int:
    import numba

    site, rule = (numba.from_dtype(np.dtype([(name, "f8") for name in fields])) for fields in (names, of_rule))
    call, record = _njit(function, (names, of_rule)), numba.carray

    def both(site: Any, p: Any) -> None:
        call(record(site, 1)[0], record(p, 1)[0])

    made = numba.cfunc(numba.void(numba.types.CPointer(site), numba.types.CPointer(rule)))(both)
    _kept.append(made)
    return int(made.address or 0)


@cache
def _njit(function: FunctionType, records: Any) -> Any:
    """A compiled copy of a plain function; the plain functions that it calls are compiled with it.

    ``records``: fields of the records that they may be given. There is a copy for each, lest Numba takes a record for another that begins
    alike; one of functions of physics, which are given numbers.
    """
    import numba

    namespace = dict(function.__globals__)
    for name in _mentioned(function.__code__):
        other = namespace.get(name)
        if isinstance(other, FunctionType):
            namespace[name] = _njit(other, None if other.__module__.startswith("soen_event.physics.") else records)
    copy = FunctionType(function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__)
    return numba.njit(error_model="numpy")(copy)
