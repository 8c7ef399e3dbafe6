"""The table of rules in docs/local_learning.md: what each reads, which chips allow it, its test. Run it to print the table."""

from __future__ import annotations

from hardware.chip import PROFILES
from hardware.compatibility import compatibility
from training import registry

TESTED = {
    "STDP": "test_rules_pairs",
    "SoftSTDP": "test_rules_pairs",
    "TripletSTDP": "test_rules_pairs",
    "Hebbian": "test_rules_rates",
    "SampledHebbian": "test_rules_rates",
    "Oja": "test_rules_rates",
    "SampledOja": "test_rules_rates",
    "BCM": "test_rules_rates",
    "RewardHebbian": "test_rules_rates",
    "RewardOja": "test_rules_rates",
    "ThreeFactor": "test_rules_rewards",
    "Eligibility": "test_rules_rewards",
    "PhotonicSTDP": "test_rules_rewards",
    "RateHomeostasis": "test_rules_homeostasis",
    "SynapticScaling": "test_rules_homeostasis",
    "FluxHomeostasis": "test_rules_homeostasis",
    "Arbor": "test_arbor",
    "HebbianArbor": "test_arbor",
    "ForwardForward": "test_forward_forward",
    "ForwardForwardCurrent": "test_forward_forward",
    "EquilibriumPropagation": "test_equilibrium",
    "EquilibriumOffset": "test_equilibrium",
}
"""The file of tests that holds a rule to its formula. Together has the needs of its rules (test_rules_homeostasis)."""


def rules() -> dict[str, type]:
    """The library's rules by the names of their classes."""
    found = {thing.__name__: thing for thing in (registry.get("rule", name) for name in registry.names("rule"))}
    return {n: t for n, t in found.items() if t.__module__.startswith("training.") and n != "Together"}


def table() -> list[str]:
    """Lines of the table."""
    found, chips = rules(), [chip.name for chip in PROFILES.values()]
    verdicts = compatibility(list(PROFILES), list(found.values()))
    lines = [
        "| rule | needs | " + " | ".join(chips) + " | tests |",
        "|---|---|" + "---|" * len(chips) + "---|",
    ]
    for name in sorted(found, key=lambda n: (list(TESTED.values()).index(TESTED.get(n, "test_arbor")), n)):
        answers = []
        for chip in chips:
            verdict = verdicts[chip, name]
            answers.append("yes" if verdict.allowed else "no: " + (", ".join(verdict.missing) or verdict.why[0]))
        needs = ", ".join(sorted(found[name].requires))
        lines.append(f"| {name} | {needs} | " + " | ".join(answers) + f" | {TESTED.get(name, '')} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
