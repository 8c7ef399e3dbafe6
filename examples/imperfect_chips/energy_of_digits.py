"""Where the energy of reading digits goes: the ledger of the digits network, for each digit and in all.

    python examples/imperfect_chips/energy_of_digits.py [number of test digits]

The network runs at fluxon resolution, quantum by quantum, on the first test digits of the digits example, one after the other.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import chip_study

import soen_event as se
from hardware import energy
from soen_event.errors import InputError

DIGITS, MOST = 40, 540


def ledger(count: int) -> energy.Ledger:
    """Run ``count`` test digits (1 to 540) on the perfect chip and book their energy.

    Raises:
        InputError: there are not so many test digits.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST:
        raise InputError(f"energy_of_digits: {count!r} is no number of test digits; give 1 to {MOST}")
    digits = chip_study.digits
    net = digits.network()
    pixels, _ = chip_study.images(0, count)
    rec = se.simulate(net, digits.photons(net, pixels), count * digits.PERIOD, record=("spikes", "detections"))
    return energy.ledger(rec)


def by_part(book: energy.Ledger) -> dict[str, float]:
    """Joules drawn by the sorts of parts of the digits network; their sum is what the chip drew."""
    sorts: dict[str, list[float]] = {
        "dendrites": [],
        "somas": [],
        "detectors of pixels": [],
        "detectors of neurons": [],
        "amplifiers": [],
        "light sources, and their light": [],
    }
    for name, entry in book.parts.items():
        if name.endswith(".soma"):
            sorts["somas"].append(entry.drawn)
        elif name.startswith("d"):
            sorts["dendrites"].append(entry.drawn)
        elif name.startswith("p"):
            sorts["detectors of pixels"].append(entry.drawn)
        elif name.startswith("r"):
            sorts["detectors of neurons"].append(entry.drawn)
        else:  # a neuron: what its spikes and their light took
            sorts["amplifiers"].append(entry.amplifiers)
            sorts["light sources, and their light"] += [entry.sources, entry.emitted]
    return {name: math.fsum(energies) for name, energies in sorts.items()}


def told(count: int) -> str:
    """The ledger of ``count`` digits, what a digit takes, and which parts take it."""
    book = ledger(count)
    drawn, counts = book.total.drawn, book.counts
    lines = [f"{count} test digits, one every {book.duration / count:g} ns", "", str(book), ""]
    lines.append(f"{'drawn by':32}{'a digit':>12}{'share':>9}")
    for name, joules in by_part(book).items():
        lines.append(f"{name:32}{joules / count * 1e15:>9.2f} fJ{100.0 * joules / drawn:>8.2f}%")
    lines.append(f"{'all':32}{drawn / count * 1e15:>9.2f} fJ{100.0:>8.2f}%")
    lines.append(f"{'all but the amplifiers':32}{(drawn - book.total.amplifiers) / count * 1e15:>9.2f} fJ")
    cooler = f"all, with a cooler of {book.assumptions.cooling:g} W/W"
    lines.append(f"{cooler:32}{book.wall_J / count * 1e12:>9.2f} pJ")
    lines.append("")
    each = (f"{counts[name] / count:,.0f} {name}" for name in ("detections", "fluxons", "spikes", "photons"))
    lines.append(f"a digit: {', '.join(each)} out; {drawn / counts['spikes'] * 1e15:.3g} fJ a spike, all included")
    return "\n".join(lines)


def main(given: Sequence[str]) -> int:
    """Print the tables; return the exit code: 0, or 2 for bad input."""
    try:
        if len(given) > 1 or (given and not given[0].isdecimal()):
            raise InputError(f"energy_of_digits: {' '.join(given)!r} is no number of test digits; give 1 to {MOST}")
        print(told(int(given[0]) if given else DIGITS))
    except InputError as trouble:
        print(trouble, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
