"""Several rules at one site: :class:`Together`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from soen_event.errors import InputError
from soen_event.learning import Rule
from training.registry import register

__all__ = ["Together"]


@register("rule", "together")
class Together(Rule):
    """Several rules at the same sites, which otherwise take one rule each.

    >>> from training.rules import STDP, RateHomeostasis
    >>> both = Together(STDP(lr=0.02), RateHomeostasis(target=0.005))
    >>> learning = both.on(synapses="*")                          # simulate(net, photons, 100.0, learning=learning)

    Of each event the rules hear in the order in which they are given; what they ask for is added up and goes through one memory, one
    ``clip`` and one norm. Each keeps its own variables and parameters, under names that begin with that of its class: ``STDP_lr``,
    ``RateHomeostasis_target``, of a second STDP ``STDP_2_lr`` (:meth:`soen_event.Simulation.set_rule`,
    :meth:`soen_event.Simulation.site`). All hear the signals of one name.

    Args:
        rules: two or more rules.

    Raises InputError: fewer, or one that is no rule.
    """

    rules: tuple[Rule, ...]

    def __new__(cls, *rules: Rule) -> Together:
        faults = [
            f"Together.rules: {rule.__name__ if isinstance(rule, type) else type(rule).__name__} is not a rule; give rules "
            "such as STDP(), without .on(...)"
            for rule in rules
            if not isinstance(rule, Rule)
        ]
        if len(rules) < 2:
            faults.append(f"Together.rules: {len(rules)} given; give two or more")
        if faults:
            raise InputError(faults)
        self = object.__new__(_kind(tuple((type(rule), tuple(rule.parameters())) for rule in rules)))
        object.__setattr__(self, "rules", rules)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Together.{name}: a rule does not change; make another")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Together) and self.rules == other.rules

    def __hash__(self) -> int:
        return hash(self.rules)

    def __repr__(self) -> str:
        return f"Together({', '.join(map(repr, self.rules))})"

    def __reduce__(self) -> Any:
        return Together, self.rules

    def parameters(self) -> dict[str, float]:
        """Those of all rules, under their new names."""
        names = _names(type(rule) for rule in self.rules)
        return {
            f"{name}_{key}": value
            for name, rule in zip(names, self.rules, strict=True)
            for key, value in rule.parameters().items()
        }


def _names(rules: Iterable[type[Rule]]) -> list[str]:
    """What names of each rule's variables and parameters begin with."""
    names: list[str] = []
    for rule in rules:
        name, number = rule.__name__, 2
        while name in names:
            name, number = f"{rule.__name__}_{number}", number + 1
        names.append(name)
    return names


@cache
def _kind(rules: tuple[tuple[type[Rule], tuple[str, ...]], ...]) -> type[Together]:
    """The class of such rules (and names of their parameters) together: made once, so that its functions are compiled once."""
    variables: dict[str, str | None] = {}
    hooks: dict[str, list[FunctionType]] = {}
    for name, (rule, parameters) in zip(_names(rule for rule, _ in rules), rules, strict=True):
        new = {key: f"{name}_{key}" for key in (*rule.variables, *parameters)}
        variables.update({new[v]: None if tau is None else new[tau] for v, tau in rule.variables.items()})
        made: dict[FunctionType, FunctionType] = {}
        for hook, function in rule.hooks().items():
            hooks.setdefault(hook, []).append(_renamed(function, new, made))
    requires = frozenset().union(*(rule.requires for rule, _ in rules))
    body: dict[str, Any] = {
        "requires": requires - {"broadcast"} if "per-neuron" in requires else requires,
        "variables": variables,
        "signals": tuple(dict.fromkeys(signal for rule, _ in rules for signal in rule.signals)),
        "__module__": __name__,
        "__doc__": Together.__doc__,
    }
    body.update({hook: staticmethod(_in_turn(each)) for hook, each in hooks.items()})
    return type("Together", (Together,), body)


def _renamed(function: FunctionType, new: Mapping[str, str], made: dict[FunctionType, FunctionType]) -> FunctionType:
    """A copy of a function that uses other names for attributes, and so do the plain functions that it calls.

    ``made``: those that there are already. Python has one list of names for attributes and globals; a global that would be
    renamed is kept under both.
    """
    if function in made:
        return made[function]
    space = dict(function.__globals__)
    space.update({new[name]: value for name, value in function.__globals__.items() if name in new})
    copy = FunctionType(
        _code(function.__code__, new), space, function.__name__, function.__defaults__, function.__closure__
    )
    made[function] = copy
    for name in _globals_of(copy.__code__):
        if isinstance(space.get(name), FunctionType):
            space[name] = _renamed(space[name], new, made)
    return copy


def _code(code: CodeType, new: Mapping[str, str]) -> CodeType:
    return code.replace(
        co_names=tuple(new.get(name, name) for name in code.co_names),
        co_consts=tuple(_code(each, new) if isinstance(each, CodeType) else each for each in code.co_consts),
    )


def _globals_of(code: CodeType) -> set[str]:
    inner = (_globals_of(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inner)


def _in_turn(functions: list[FunctionType]) -> FunctionType:
    """One function that calls several, by names among its globals, which the compiler of rules follows."""
    whole = functions[0]
    for each in functions[1:]:
        whole = FunctionType(_both.__code__, {"first": whole, "second": each}, "both")
    return whole


def _both(site: Any, p: Any) -> None:
    first(site, p)  # type: ignore[name-defined]  # noqa: F821
    second(site, p)  # type: ignore[name-defined]  # noqa: F821
