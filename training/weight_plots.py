"""Pictures of what is learnt: values of sites over time, and how they are spread at the start and at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from soen_event.errors import InputError, nearest
from soen_event.plotting import BLUE, GREY, LINES, MAP, PALE, _counted, _figure, _styled, _window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from soen_event.recording import Recording

__all__ = ["plot_weights"]

MOST_CURVES = 16
"""More sites are shown as an image."""
_COLUMNS = 800


def plot_weights(
    rec: Recording,
    sites: str | Iterable[str] | None = None,
    window: tuple[float, float] | None = None,
    *,
    image: bool | None = None,
    figure: Any = None,
) -> Figure:
    """Values of learnt sites over time, with their histogram at the start (grey) and at the end.

    Args:
        rec: a Recording of a run that learnt.
        sites: ids or patterns with ``*`` and ``?``; by default all, in the order of ``rec.site_ids``.
        window: first and last time shown (ns; default: the whole run).
        image: one row a site, its value as a colour; by default where there are more than 16. Otherwise one step curve a site.
        figure: a Figure or SubFigure to draw in.

    Returns:
        The Figure: values over time, and a histogram. Of several kinds (weights, offsets, couplings) the axis has no unit.

    Raises:
        InputError: nothing has learnt, an unknown site, a window outside the run.
    """
    names = _chosen(rec, sites)
    start, stop = _window(rec, window)
    courses = [_course(rec, name, start, stop) for name in names]
    first = np.array([values[0] for _, values in courses])
    last = np.array([values[-1] for _, values in courses])
    writes = sum(len(times) - 2 for times, _ in courses)
    with _styled():
        if figure is None:
            figure = _figure(8.0, 3.6 if len(names) <= 40 else 4.6)
        left, right = figure.subplots(1, 2, width_ratios=[3.0, 1.0])
        if len(names) > MOST_CURVES if image is None else image:
            _draw_image(left, rec, names, courses, (start, stop))
        else:
            _draw_curves(left, names, courses)
            left.set_ylabel(_unit(names))
        left.set_xlim(start, stop)
        left.set_xlabel("time (ns)")
        left.set_title(f"{_counted(writes, 'change')} of {_counted(len(names), 'site')}")
        _draw_histogram(right, first, last, names)
    return figure


def _chosen(rec: Recording, sites: str | Iterable[str] | None) -> list[str]:
    known = rec.site_ids
    if not known:
        raise InputError("plot_weights: nothing learns in this run; give learning= to simulate")
    if sites is None:
        return list(known)
    found: dict[str, None] = {}
    faults = []
    for name in [sites] if isinstance(sites, str) else sites:
        mine = [site for site in known if site == name or fnmatchcase(site, str(name))]
        found |= dict.fromkeys(mine)
        if not mine:
            faults.append(f"plot_weights.sites: no site {name!r} learns{nearest(str(name), known)}")
    if not found and not faults:
        faults.append("plot_weights.sites: there is none; give at least one")
    if faults:
        raise InputError(faults[:20])
    return list(found)


def _course(rec: Recording, name: str, start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and values from ``start`` to ``stop``, both ends with them: each value holds until the next time."""
    times, values = rec.writes[name]
    inside = (times > start) & (times <= stop)
    before = rec.learnt(name, start)
    end = values[inside][-1] if inside.any() else before
    return np.concatenate([[start], times[inside], [stop]]), np.concatenate([[before], values[inside], [end]])


def _unit(names: list[str]) -> str:
    kinds = {"J" if "->" in n else "offset" if n.endswith(".phi_offset") else "weight" for n in names}
    if len(kinds) > 1:
        return "value"
    return {"J": "coupling $J$ ($\\Phi_0/I_c$)", "offset": "flux offset ($\\Phi_0$)", "weight": "weight"}[kinds.pop()]


def _draw_curves(ax: Any, names: list[str], courses: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for k, (name, (times, values)) in enumerate(zip(names, courses, strict=True)):
        dash = ("-", (0, (5, 1.5)), (0, (1, 1)))[k // len(LINES) % 3]
        ax.step(times, values, where="post", color=LINES[k % len(LINES)], ls=dash, lw=1.2, label=name)
    ax.grid(color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)


def _draw_image(
    ax: Any,
    rec: Recording,
    names: list[str],
    courses: list[tuple[np.ndarray, np.ndarray]],
    window: tuple[float, float],
) -> None:
    edges = np.linspace(*window, _COLUMNS + 1)
    middle = 0.5 * (edges[1:] + edges[:-1])
    values = np.array([v[np.searchsorted(t[:-1], middle, side="right") - 1] for t, v in courses])
    picture = ax.imshow(
        values, extent=(*window, len(names) - 0.5, -0.5), aspect="auto", cmap=MAP, interpolation="nearest"
    )
    step = max(1, -(-len(names) // 20))
    ax.set_yticks(range(0, len(names), step), names[::step])
    ax.tick_params(axis="y", length=0 if step == 1 else 2)
    ax.set_ylabel("site" if step == 1 else f"site (1 in {step} named)")
    bar = ax.figure.colorbar(picture, ax=ax, pad=0.01)
    bar.set_label(_unit(names))
    bar.outline.set_visible(False)


def _draw_histogram(ax: Any, first: np.ndarray, last: np.ndarray, names: list[str]) -> None:
    low, high = min(first.min(), last.min()), max(first.max(), last.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    bins = np.linspace(low, high, int(np.clip(2.0 * np.sqrt(len(first)), 8, 40)) + 1)
    ax.hist(first, bins, color=GREY, alpha=0.55, label="start")
    ax.hist(last, bins, histtype="step", color=BLUE, lw=1.4, label="end")
    ax.set_xlabel(_unit(names))
    ax.set_ylabel("sites")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.set_ylim(top=1.18 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper right", ncols=2, borderpad=0.0, handlelength=1.2, columnspacing=1.0)
