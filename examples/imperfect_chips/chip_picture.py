"""The picture of the study: accuracy against spread, against what spreads, against bits, and against dead detectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from chip_study import PUBLISHED, QUANTITIES

from hardware.montecarlo import Results
from soen_event import plotting

READOUT_LINES = (
    ("trained", "readout as trained", plotting.VERMILION, "o"),
    ("recentred", "recentred, no labels", plotting.ORANGE, "s"),
    ("retrained", "retrained on the chip", plotting.BLUE, "^"),
)
Choice = Callable[[dict[str, Any]], bool]


def series(studies: Sequence[Results], x: str, chosen: Choice, readout: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Of the chosen points: the values of ``x``, ascending, and the accuracies of their chips in %."""
    rows = [
        (float(what[x]), 100.0 * results.array(readout)[k])
        for results in studies
        for k, what in enumerate(results.points)
        if chosen(what)
    ]
    rows.sort(key=lambda row: row[0])
    return np.array([row[0] for row in rows]), [row[1] for row in rows]


def line(ax: Any, xs: np.ndarray, groups: list[np.ndarray], name: str, colour: str, marker: str, **how: Any) -> None:
    """Means as a line, 5 to 95 % of the chips as a band."""
    if not groups:
        return
    if any(len(group) > 1 for group in groups):
        low, high = np.array([np.quantile(group, [0.05, 0.95]) for group in groups]).T
        ax.fill_between(xs, low, high, color=colour, alpha=0.18, lw=0.0)
    means = [float(np.mean(group)) for group in groups]
    ax.plot(xs, means, color=colour, marker=marker, ms=4.0, lw=1.4, label=name, **how)


def _only(what: dict[str, Any], name: str) -> bool:
    """Whether nothing is imperfect but, perhaps, what is called ``name``."""
    return all(what[other] == 0 for other in ("percent", "bits", "dead") if other != name)


def _spread_panel(ax: Any, studies: Sequence[Results]) -> None:
    def chosen(what: dict[str, Any]) -> bool:
        return what["quantity"] == "all" and _only(what, "percent")

    for readout, name, colour, marker in READOUT_LINES:
        line(ax, *series(studies, "percent", chosen, readout), name, colour, marker)
    ax.axvline(PUBLISHED, color=plotting.GREY, lw=0.8, ls=":", zorder=0)
    ax.annotate("published", (PUBLISHED, 0.03), (3, 0), xycoords=("data", "axes fraction"), textcoords="offset points")
    ax.set_xlabel("spread of inductors and transformers (%),\nall else in proportion")
    ax.set_title("Everything deviates")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 0.1))


def _quantities_panel(ax: Any, studies: Sequence[Results]) -> None:
    for k, quantity in enumerate(q for q in QUANTITIES if q not in ("all", "published")):

        def chosen(what: dict[str, Any], quantity: str = quantity) -> bool:
            mine = what["quantity"] == quantity or what["percent"] == 0.0
            return mine and _only(what, "percent")

        xs, groups = series(studies, "percent", chosen, "trained")
        if len(xs) > 1:
            band = groups if quantity == "bias" else [np.array([np.mean(group)]) for group in groups]
            style = "-" if len(xs) > 2 else ":"  # of two points: nothing is known between them
            line(ax, xs, band, QUANTITIES[quantity], plotting.LINES[k], "osD^v"[k], ls=style)
    ax.set_xlabel("spread of the one quantity (%)")
    ax.set_title("One quantity deviates, readout as trained")
    ax.legend(loc="lower left")


def _bits_panel(ax: Any, studies: Sequence[Results]) -> None:
    def perfect(kind: str) -> Choice:
        return lambda what: what["levels"] == kind and what["bits"] > 0 and _only(what, "bits")

    def fabricated(what: dict[str, Any]) -> bool:
        return what["quantity"] == "all" and what["bits"] > 0 and what["percent"] == PUBLISHED

    for kind, name, colour, marker in (
        ("span", "levels span all weights, no spread", plotting.GREY, "D"),
        ("fitted", "levels fitted, no spread", plotting.BLACK, "v"),
    ):
        line(ax, *series(studies, "bits", perfect(kind), "trained"), name, colour, marker, ls="--")
    for readout, name, colour, marker in READOUT_LINES:
        told = f"fitted, {PUBLISHED:g} % spread, {name.removeprefix('readout ')}"
        line(ax, *series(studies, "bits", fabricated, readout), told, colour, marker)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("bits of a weight")
    ax.set_title("Few levels")
    ax.legend(loc="lower right")


def _dead_panel(ax: Any, studies: Sequence[Results]) -> None:
    def chosen(what: dict[str, Any]) -> bool:
        return _only(what, "dead")

    for readout, name, colour, marker in READOUT_LINES:
        xs, groups = series(studies, "dead", chosen, readout)
        line(ax, 100.0 * xs, groups, name, colour, marker)
    ax.set_xlabel("detectors that are dead (%)")
    ax.set_title("Detectors die")
    ax.legend(loc="lower left")


def draw(studies: Sequence[Results], path: Path) -> None:
    """Write the picture of the studies (of one kind each) to a .png, .pdf or .svg file."""
    import matplotlib
    from matplotlib.figure import Figure

    small = {"font.size": 8.5, "axes.titlesize": 9.5, "legend.fontsize": 7.5, "legend.frameon": False}
    with matplotlib.rc_context(small):
        figure = Figure(figsize=(10.0, 7.2), layout="constrained", facecolor="white")
        panels = figure.subplots(2, 2)
        fillers = (_spread_panel, _quantities_panel, _bits_panel, _dead_panel)
        for ax, fill in zip(panels.flat, fillers, strict=True):
            fill(ax, studies)
            lowest = min(float(np.min(drawn.get_ydata())) for drawn in ax.get_lines() if drawn.get_label()[0] != "_")
            ax.set_ylim(max(10.0 * (lowest // 10.0) - 20.0, 0.0), 100.0)
            ax.grid(axis="y", color=plotting.PALE, lw=0.8)
            ax.set_axisbelow(True)
            ax.spines[["top", "right"]].set_visible(False)
        for ax in panels[:, 0]:
            ax.set_ylabel("test accuracy (%)")
        chips = max(len(results.seeds) for results in studies)
        figure.suptitle(
            f"Handwritten digits on imperfect chips: mean and 5 to 95 % of {chips} chips", x=0.01, ha="left"
        )
        plotting.save(figure, path, overwrite=True)
