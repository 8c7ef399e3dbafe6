"""Pictures of networks and runs: rasters, traces, the anatomy of one dendrite, the network, the source function.

Everything is drawn on matplotlib's objects, never through pyplot's hidden state: nothing needs a display, and no figure
stays behind in memory. Functions that fill one panel take ``ax`` (or make a figure of their own) and return the Axes;
those with several panels return the Figure. ``axes.figure`` leads from one to the other, :func:`save` writes it.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart, and of the maps *cividis* and *Blues*.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from soen_event.errors import InputError, nearest
from soen_event.files import replacement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from soen_event.device import Device
    from soen_event.network import Network
    from soen_event.physics.rate_table import RateTable
    from soen_event.plan import Plan
    from soen_event.recording import Recording

_Row: TypeAlias = "tuple[str, list[tuple[NDArray[np.float64], str]]]"  # a name, and trains with their colours

__all__ = ["confusion", "dendrite", "network", "overview", "raster", "save", "source_map", "traces"]

BLACK, ORANGE, SKY, GREEN = "#1a1a1a", "#e69f00", "#56b4e9", "#009e73"
YELLOW, BLUE, VERMILION, PURPLE = "#f0e442", "#0072b2", "#d55e00", "#cc79a7"
GREY, PALE = "#8a8a8a", "#e8e8e8"
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MAP = "cividis"

FORMATS = (".png", ".pdf", ".svg")
RASTER_ORDERS = ("id", "first", "count")
TRACES = ("current", "flux", "quanta")
LAYOUTS = ("auto", "layers", "spring", "circle")

_STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "figure.dpi": 150.0,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
_LONGEST_LIST = 40  # rows of a raster, or nodes of a network, that are named one by one
_MOST_ARROWS = 1500  # edges that are drawn as arrows; more are drawn as plain lines
_MOST_MOMENTS = 20_000
_MOST_TICKS = 100_000  # events in one panel; more are drawn as a density


# ---------------------------------------------------------------------------------------------- figures and files


def _styled() -> Any:
    import matplotlib

    return matplotlib.rc_context(_STYLE)  # type: ignore[arg-type]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _panel(ax: Axes | None, width: float = 7.0, height: float = 3.6) -> Axes:
    return _figure(width, height).add_subplot() if ax is None else ax


def save(figure: Any, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Write a figure to a file in one step: a reader sees the old file or the whole new one, never a part of it.

    Args:
        figure: a Figure, or an Axes of it.
        path: ends in .png, .pdf or .svg.
        overwrite: whether an existing file may be replaced.

    Returns:
        The path.

    Raises:
        InputError: another suffix, a missing folder, an existing file, or a place that cannot be written to.
    """
    path = Path(path)
    check_target(path, overwrite)
    figure = getattr(figure, "figure", figure) or figure
    with replacement(path, overwrite=overwrite, durable=False) as temporary, _styled():
        figure.savefig(temporary, format=path.suffix[1:].lower())
    return path


def check_target(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Refuse a picture's path before anything is drawn; raises :class:`~soen_event.errors.InputError`."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        what = f"the suffix {path.suffix!r} is no picture format{nearest(path.suffix, FORMATS)}"
        raise InputError(f"{path}: {what if path.suffix else 'there is no suffix'}; name it .png, .pdf or .svg")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file name")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another name or pass overwrite=True")


# ---------------------------------------------------------------------------------------------- events of a run


def raster(
    rec: Recording, neurons: Iterable[str] | None = None, order: str | None = None, ax: Axes | None = None
) -> Axes:
    """Spikes of the neurons: one row each, one tick a spike.

    Args:
        rec: a Recording.
        neurons: ids of the rows from the top (default: all).
        order: "id", "first" (who spikes first is on top) or "count" (who spikes most is on top); default: as given in
            ``neurons``, else by id.
        ax: where to draw.

    Raises:
        InputError: an unknown neuron or order.
    """
    if order is not None and order not in RASTER_ORDERS:
        hint = nearest(str(order), RASTER_ORDERS)
        raise InputError(f"plotting.raster.order: {order!r} is unknown{hint}; give one of {', '.join(RASTER_ORDERS)}")
    names = _listed(rec.spikes if neurons is None else neurons)
    trains = {name: rec.spikes[name] for name in names}
    if order == "id" or (order is None and neurons is None):
        names.sort(key=_natural)
    elif order == "first":
        names.sort(key=lambda name: float(trains[name][0]) if trains[name].size else math.inf)
    elif order == "count":
        names.sort(key=lambda name: -trains[name].size)
    total = sum(train.size for train in trains.values())
    with _styled():
        ax = _panel(ax, 7.0, _height(len(names)))
        _rows(ax, [(name, [(trains[name], BLACK)]) for name in names], (0.0, rec.end), "neuron")
        ax.set_xlabel("time (ns)")
        ax.set_title(f"{_counted(total, 'spike')} of {_counted(len(names), 'neuron')}")
    return ax


def overview(rec: Recording, window: tuple[float, float] | None = None) -> Figure:
    """All events of a run that were recorded, in the order of cause and effect: photons, fluxons, spikes.

    Args:
        rec: a Recording.
        window: first and last time shown (ns; default: the whole run).

    Returns:
        The Figure, one panel a kind that was recorded, with a common time axis.

    Raises:
        InputError: the window is no part of the run.
    """
    start, stop = _window(rec, window)

    def shown(train: NDArray[np.float64]) -> NDArray[np.float64]:
        return train[(train >= start) & (train <= stop)]

    panels: list[tuple[str, str, list[_Row]]] = []
    arrived = sorted((name for name in rec.photons if not name.endswith(".refractory.synapse")), key=_natural)
    if arrived:
        found, lost = rec.detections, rec.lost
        rows = [(name, [(shown(found[name]), ORANGE), (shown(lost[name]), GREY)]) for name in arrived]
        missed = sum(trains[1][0].size for _, trains in rows)
        told = _counted(sum(trains[0][0].size for _, trains in rows), "detected photon")
        panels.append((told + (f", {missed} lost (grey)" if missed else ""), "synapse", rows))
    loops = sorted(rec.fluxons, key=_natural)
    if loops:
        rows = [(name, [(shown(rec.fluxons[name]), BLUE)]) for name in loops]
        panels.append((_counted(sum(trains[0][0].size for _, trains in rows), "fluxon"), "loop", rows))
    neurons = sorted(rec.spikes, key=_natural)
    if neurons or not panels:
        rows = [(name, [(shown(rec.spikes[name]), BLACK)]) for name in neurons]
        panels.append((_counted(sum(trains[0][0].size for _, trains in rows), "spike"), "neuron", rows))
    heights = [float(np.clip(0.2 * len(rows) + 0.5, 0.8, 3.6)) for _, _, rows in panels]
    with _styled():
        figure = _figure(7.0, sum(heights) + 0.35 * len(panels) + 0.4)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for ax, (title, word, rows) in zip(axes, panels, strict=True):
            _rows(ax, rows, (start, stop), word)
            ax.set_title(title)
        axes[-1].set_xlabel("time (ns)")
        figure.align_ylabels(axes)
    return figure


def _counted(count: int, word: str) -> str:
    return f"{count:,d} {word}{'' if count == 1 else 's'}".replace(",", " ")


def _listed(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _height(rows: int) -> float:
    return float(np.clip(0.2 * rows + 1.2, 2.0, 8.0))


def _rows(ax: Axes, rows: list[_Row], window: tuple[float, float], word: str) -> None:
    """Rows of ticks from the top; so many that they would blacken the panel are shown as a density instead."""
    total = sum(train.size for _, trains in rows for train, _ in trains)
    if total > _MOST_TICKS:
        _density(ax, [np.concatenate([train for train, _ in trains]) for _, trains in rows], window)
    else:
        for k, (_, trains) in enumerate(rows):
            for train, colour in trains:
                thin = 1.2 if train.size < 500 else 0.5
                ax.vlines(train, k - 0.38, k + 0.38, color=colour, lw=thin, rasterized=total > _MOST_TICKS // 10)
    names = [name for name, _ in rows]
    step = math.ceil(len(names) / 20) if len(names) > 25 else 1
    ax.set_yticks(range(0, len(names), step), names[::step])
    ax.tick_params(axis="y", length=0 if step == 1 else 2)
    ax.set_ylabel(word if step == 1 else f"{word} (1 in {step} named)")
    ax.set_ylim(len(names) - 0.5 if names else 0.5, -0.5)
    ax.set_xlim(*window)
    ax.grid(axis="x", color=PALE, lw=0.6)
    ax.set_axisbelow(True)


def _density(ax: Axes, trains: list[NDArray[np.float64]], window: tuple[float, float]) -> None:
    bins = np.linspace(*window, 501)
    counts = np.array([np.histogram(train, bins)[0] for train in trains]) / (bins[1] - bins[0])
    extent = (*window, len(trains) - 0.5, -0.5)
    picture = ax.imshow(counts, extent=extent, aspect="auto", cmap=MAP, interpolation="nearest")
    bar = ax.figure.colorbar(picture, ax=ax, pad=0.01)
    bar.set_label("events/ns")
    bar.outline.set_visible(False)


def _window(rec: Recording, window: tuple[float, float] | None) -> tuple[float, float]:
    if window is None:
        return 0.0, rec.end
    start, stop = float(window[0]), float(window[1])
    if not 0.0 <= start < stop <= rec.end * (1.0 + 1e-12):
        raise InputError(
            f"plotting.window: {start:g} to {stop:g} ns is no part of the recording; it runs from 0 to {rec.end:g} ns"
        )
    return start, stop


# ---------------------------------------------------------------------------------------------- currents and fluxes

_TRACE_LABELS = {
    "current": "loop current $s$ ($I_c$)",
    "flux": "flux $\\varphi$ ($\\Phi_0$)",
    "quanta": "whole quanta in $s$ ($I_c$)",
}


def traces(
    rec: Recording,
    ids: str | Iterable[str],
    what: str = "current",
    times: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Currents or fluxes of loops against time. The loops must have been recorded with "currents".

    Args:
        rec: a Recording.
        ids: dendrites, neurons (their somas) or ``<neuron>.refractory``.
        what: "current" (dashed: the threshold of a soma), "flux", or "quanta" (the part of the current that is whole
            flux quanta).
        times: ns, ascending (default: the whole run, with every jump resolved).
        ax: where to draw.

    Raises:
        InputError: an unknown or unrecorded id, an unknown ``what``, or times outside the run.
    """
    if what not in TRACES:
        hint = nearest(str(what), TRACES)
        raise InputError(f"plotting.traces.what: {what!r} is unknown{hint}; give one of {', '.join(TRACES)}")
    names = _listed(ids)
    if not names:
        raise InputError("plotting.traces.ids: there is none; give at least one dendrite or neuron")
    read = getattr(rec, what)
    curves = []
    for name in names:
        t = _moments(rec, name, (0.0, rec.end)) if times is None else np.asarray(times, dtype=float)
        curves.append((name, t, read(name, t)))
    with _styled():
        ax = _panel(ax, 7.0, 3.4)
        for k, (name, t, values) in enumerate(curves):
            colour, dash = LINES[k % len(LINES)], ("-", (0, (5, 1.5)), (0, (1, 1)))[k // len(LINES) % 3]
            ax.plot(t, values, color=colour, ls=dash, lw=1.2, label=name)
        thresholds = {_soma_threshold(rec, name) for name in names if what == "current"} - {None}
        for k, threshold in enumerate(sorted(thresholds, key=float)):  # type: ignore[arg-type]
            told = {} if k else {"label": "spike threshold"}
            ax.axhline(float(threshold), color=GREY, lw=0.9, ls="--", **told)  # type: ignore[arg-type]
        ax.set_xlim(min(t.min() for _, t, _ in curves), max(t.max() for _, t, _ in curves))
        ax.set_xlabel("time (ns)")
        ax.set_ylabel(_TRACE_LABELS[what])
        ax.grid(color=PALE, lw=0.6)
        ax.set_axisbelow(True)
        if len(curves) > 1 or thresholds:
            beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
            ax.legend(**(beside if len(curves) > 6 else {"loc": "best"}), ncols=1 + (len(curves) - 1) // 16)
        if len(curves) == 1:
            ax.set_title(names[0])
    return ax


def dendrite(rec: Recording, id: str, window: tuple[float, float] | None = None, figure: Any = None) -> Figure:
    """What happens in one dendrite or soma: its flux, its fluxons one by one, and the current that they add up to.

    Dashed: the flux above which an empty loop makes fluxons, and the current at which it would stop making them at the
    flux of that moment. The loop must have been recorded with "fluxons" and "currents".

    Args:
        rec: a Recording.
        id: a dendrite, a neuron (its soma) or ``<neuron>.refractory``.
        window: first and last time shown (ns; default: the whole run).
        figure: a Figure or SubFigure to draw in.

    Returns:
        The Figure: panels for flux, fluxons, fluxon rate and current with a common time axis.

    Raises:
        InputError: an unknown or unrecorded id, or a window outside the run.
    """
    start, stop = _window(rec, window)
    t = _moments(rec, id, (start, stop))
    flux, current = rec.flux(id, t), rec.current(id, t)
    fluxons = rec.fluxons[id]
    inside = fluxons[(fluxons >= start) & (fluxons <= stop)]
    plan = rec.plan
    place = plan.loop_index[id]
    row, ib = int(plan.arrays.row[place]), float(plan.arrays.ib[place])
    limit = np.array([ib - _threshold(plan.sources, row, phi) for phi in flux[:: max(1, len(t) // 3000)]])
    with _styled():
        if figure is None:
            figure = _figure(7.0, 5.6)
        axes = figure.subplots(4, 1, sharex=True, height_ratios=[1.0, 0.22, 0.7, 1.25])
        top, ticks, rate, bottom = axes
        top.plot(t, flux, color=GREEN, lw=1.3)
        for k, level in enumerate(_threshold_fluxes(plan, place, flux)):
            told = {} if k else {"label": "threshold of the empty loop"}
            top.axhline(level, color=GREY, lw=0.9, ls="--", **told)
        top.set_ylabel("flux $\\varphi$ ($\\Phi_0$)")
        top.set_title(f"{id}: {_counted(len(inside), 'fluxon')}")
        ticks.vlines(inside, 0.0, 1.0, color=BLACK, lw=0.5 if len(inside) > 200 else 0.8)
        ticks.set(ylim=(0.0, 1.0), yticks=[])
        ticks.set_ylabel("fluxons", rotation=0, ha="right", va="center")
        ticks.spines[:].set_visible(False)
        ticks.tick_params(axis="x", length=0)
        if len(inside) > 1:
            rate.stairs(1.0 / np.diff(inside), inside, color=BLUE, lw=1.0, baseline=None)
        rate.set_ylim(bottom=0.0)
        rate.set_ylabel("rate (GHz)")
        bottom.plot(t, current, color=VERMILION, lw=1.3)
        shown = np.where(limit > 0.0, limit, np.nan)
        bottom.plot(t[:: max(1, len(t) // 3000)], shown, color=GREY, lw=0.9, ls="--", label="largest at this flux")
        threshold = _soma_threshold(rec, id)
        if threshold is not None:
            bottom.axhline(threshold, color=BLACK, lw=0.9, ls=":", label="spike threshold")
        bottom.set_ylim(bottom=min(0.0, float(current.min())))
        bottom.set_ylabel("current $s$ ($I_c$)")
        bottom.set_xlabel("time (ns)")
        bottom.set_xlim(start, stop)
        for ax in (top, bottom):
            if ax.get_legend_handles_labels()[0]:
                ax.legend(loc="best")
        for ax in (top, rate, bottom):
            ax.grid(color=PALE, lw=0.6)
            ax.set_axisbelow(True)
        figure.align_ylabels([top, rate, bottom])
    return figure


def _moments(rec: Recording, name: str, window: tuple[float, float]) -> NDArray[np.float64]:
    """Times that show a loop's curve as it is: evenly spaced, and both sides of every jump."""
    start, stop = window
    index = rec.plan.loop_index
    t = [np.linspace(start, stop, 2001)]
    if name in index:
        trace = rec.table("trace")
        touched = trace["time_fs"][trace["loop"] == index[name]]
        touched = touched[:: max(1, 2 * len(touched) // _MOST_MOMENTS)]
        t += [touched * 1e-6, (touched - 1) * 1e-6]
    whole = np.unique(np.concatenate(t))
    return whole[(whole >= start) & (whole <= stop)]


def _soma_threshold(rec: Recording, name: str) -> float | None:
    neuron = rec.network.neurons.get(name.removesuffix(".soma"))
    return None if neuron is None else float(neuron.soma.threshold)


def _threshold_fluxes(plan: Plan, place: int, flux: NDArray[np.float64]) -> list[float]:
    """The fluxes next to those that occurred at which an empty loop begins to make fluxons."""
    row, ib = int(plan.arrays.row[place]), float(plan.arrays.ib[place])
    grid = np.linspace(min(-0.05, float(flux.min())), max(0.5, float(flux.max())), 501)
    above = np.array([ib - _threshold(plan.sources, row, phi) for phi in grid])
    found = []
    for k in np.flatnonzero(np.diff(np.sign(above))):
        found.append(float(grid[k] - above[k] * (grid[k + 1] - grid[k]) / (above[k + 1] - above[k])))
    return [phi for phi in found if phi <= max(0.55, float(flux.max())) and phi >= min(0.0, float(flux.min()))]


# ---------------------------------------------------------------------------------------------- the source function


def source_map(what: Device | Plan, row: str | int | None = None, ax: Axes | None = None) -> Axes:
    """Map of the source function g(phi, i): how fast a dendrite makes fluxons at every flux and current.

    Below the threshold line the rate is exactly zero (white).

    Args:
        what: a Device, whose RI source function is shown, or a Plan.
        row: of a Plan: the loop, by id or number (default: the first).
        ax: where to draw.

    Returns:
        The Axes: flux (Phi0) against the current i = ib - s (I_c) that the SQUID carries.

    Raises:
        InputError: no such loop.
    """
    from soen_event.device import Device
    from soen_event.physics import source

    ib = None
    if isinstance(what, Device):
        sources, table, device, title = source.stack([source.ri_table(what)]), 0, what, "Source function, RI dendrite"
    else:
        place = _loop_row(what, row)
        sources, table, device = what.sources, int(what.arrays.row[place]), what.device
        ib = float(what.arrays.ib[place])
        title = f"Source function of {what.loop_ids[place]}"
    phi = np.linspace(-0.5, 1.0, 241)
    curve = np.array([_threshold(sources, table, x) for x in phi])
    low = math.floor(10.0 * min(curve.min(), 1.0)) / 10.0
    high = max(2.2, math.ceil(10.0 * ((ib or 0.0) + 0.1)) / 10.0)
    i = np.linspace(low, high, 161)
    rate = np.array([[source.source(sources, table, x, y)[0] for x in phi] for y in i])
    gigahertz = rate / (2.0 * math.pi * device.tau_0_ns)
    with _styled():
        ax = _panel(ax, 6.4, 4.2)
        shown = np.ma.masked_less_equal(gigahertz, 0.0)
        picture = ax.pcolormesh(phi, i, shown, cmap=MAP, shading="nearest", rasterized=True)
        ax.plot(phi, curve, color=VERMILION, lw=1.8, label="threshold: no fluxons below")
        if ib is not None:
            ax.axhline(ib, color=BLACK, lw=1.0, ls="--", label=f"empty loop, i = ib = {ib:.4g}")
        ax.set(xlim=(phi[0], phi[-1]), ylim=(low, high))
        ax.set_xlabel("flux $\\varphi$ ($\\Phi_0$)")
        ax.set_ylabel("SQUID current $i = i_b - s$ ($I_c$)")
        ax.set_title(title)
        ax.legend(loc="lower center", bbox_to_anchor=(1.0 / 3.0, 0.0))
        bar = ax.figure.colorbar(picture, ax=ax, pad=0.02)
        bar.set_label("fluxon rate (GHz)")
        bar.outline.set_linewidth(0.5)
    return ax


def rate_table(
    table: RateTable,
    phi: NDArray[np.float64],
    current: NDArray[np.float64],
    rate: NDArray[np.float64],
    threshold: NDArray[np.float64],
    ib: float | None,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> tuple[Axes, Axes]:
    """Map of a rate table over flux and current, and slices at five fluxes; see :meth:`RateTable.plot`."""
    from matplotlib import colormaps

    with _styled():
        figure = _figure(10.4, 4.2)
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
        shown = np.ma.masked_less_equal(rate, 0.0)
        picture = left.pcolormesh(phi, current, shown, cmap=MAP, shading="nearest", rasterized=True)
        label = "threshold: no fluxons below" if ib is None else "saturation: no fluxons above"
        left.plot(phi, threshold, color=VERMILION, lw=1.8, label=label)
        left.set(xlim=(phi[0], phi[-1]), ylim=(current[0], max(current[-1], threshold.max() + 0.2 * (ib is not None))))
        across = "SQUID current $i = i_b - s$ ($I_c$)" if ib is None else "loop current $s$ ($I_c$)"
        left.set(xlabel="flux $\\varphi$ ($\\Phi_0$)", ylabel=across)
        made = "junctions" if table.parameters["form"] == "junctions" else "samples"
        left.set_title(f"{table.kind.upper()} source function from {made}{'' if ib is None else f', ib = {ib:.4g}'}")
        left.legend(loc="lower center" if ib is None else "upper left")
        figure.colorbar(picture, ax=left, pad=0.02).set_label("rate $r = 2\\pi f \\tau_0$")
        active = phi[(rate > 0.0).any(axis=0)]
        if ib is None:
            fluxes = np.array([0.0, 0.15, 0.25, 0.35, 0.5])
        else:
            fluxes = np.array([0.25])
            middle = active[(active > 0.0) & (active < 1.0)]
            if middle.size:
                fluxes = np.quantile(middle, [0.05, 0.2, 0.5, 0.75, 0.96])
        for k, flux in enumerate(fluxes):
            column = int(np.argmin(np.abs(phi - flux)))
            color = colormaps[MAP](0.9 * k / (len(fluxes) - 1))
            right.plot(current, rate[:, column], color=color, label=f"{phi[column]:.3g}")
        right.set(xlabel=across, ylabel="rate $r$", xlim=(current[0], current[-1]), ylim=(0.0, None))
        right.legend(title="flux ($\\Phi_0$)", loc="upper left" if ib is None else "upper right")
    if path is not None:
        save(figure, path, overwrite)
    return left, right


def _loop_row(plan: Plan, row: str | int | None) -> int:
    if isinstance(row, str):
        if row not in plan.loop_index:
            hint = nearest(row, plan.loop_index)
            raise InputError(f"plotting: there is no dendrite or neuron {row!r}{hint}; give one of the network's ids")
        return plan.loop_index[row]
    place = 0 if row is None else int(row)
    if not 0 <= place < len(plan.loop_ids):
        raise InputError(f"plotting: there is no loop {place}; the network has {len(plan.loop_ids)} (from 0)")
    return place


def _threshold(sources: Any, row: int, phi: float) -> float:
    """Current at which the SQUID of a source table switches at flux ``phi``."""
    from soen_event.physics import source

    effective = phi + sources.scale[row, source.OFFSET]
    value = float(source.level(sources.shape, sources.scale, sources.levels, row, effective)[0])
    for _ in range(40 if sources.scale[row, source.SHIFT] != 0.0 else 0):  # unequal arms shift the flux by the current
        shifted = effective + sources.scale[row, source.SHIFT] * value
        value = 0.5 * (value + float(source.level(sources.shape, sources.scale, sources.levels, row, shifted)[0]))
    return value


# ---------------------------------------------------------------------------------------------- classification


def confusion(
    matrix: ArrayLike, labels: Sequence[Any] | None = None, ax: Axes | None = None, *, title: str | None = None
) -> Axes:
    """Confusion matrix: rows are what was shown, columns what was read out.

    Colours are shares of each row; every cell also holds its count. The title gives the share that was right.

    Args:
        matrix: counts, shape (n, n), not negative.
        labels: n names of the classes (default: 0, 1, ...).
        ax: where to draw.
        title: instead of the share that was right.

    Raises:
        InputError: the matrix is not square, or an entry is negative or not finite, or the labels do not fit.
    """
    counts = np.asarray(matrix, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise InputError(f"plotting.confusion: a matrix of shape {counts.shape} is not square; give n x n counts")
    if not np.all(np.isfinite(counts)) or counts.min() < 0.0:
        raise InputError("plotting.confusion: an entry is negative or not finite; give counts of 0 or more")
    n = len(counts)
    names = [str(label) for label in (range(n) if labels is None else labels)]
    if len(names) != n:
        raise InputError(f"plotting.confusion: {len(names)} labels for {n} classes; give one for each")
    rows = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0.0)
    with _styled():
        side = min(2.2 + 0.42 * n, 10.0)
        ax = _panel(ax, side + 0.9, side)
        picture = ax.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
        long = max(map(len, names)) > 3
        ax.set_xticks(range(n), names, rotation=45 if long else 0, ha="right" if long else "center")
        ax.set_yticks(range(n), names)
        ax.set(xlabel="read out as", ylabel="shown")
        ax.spines[:].set_visible(True)
        ax.tick_params(length=0)
        size = 8.0 if n <= 12 else max(4.0, 96.0 / n)
        for j in range(n if n <= 30 else 0):
            for k in range(n):
                if counts[j, k]:
                    colour = "white" if share[j, k] > 0.55 else BLACK
                    ax.text(k, j, f"{counts[j, k]:g}", ha="center", va="center", color=colour, fontsize=size)
        total = counts.sum()
        right = 100.0 * np.trace(counts) / total if total else 0.0
        ax.set_title(title if title is not None else f"{right:.1f} % right of {total:g}")
        bar = ax.figure.colorbar(picture, ax=ax, pad=0.03, shrink=0.85)
        bar.set_label("share of the row")
        bar.outline.set_visible(False)
    return ax


# ---------------------------------------------------------------------------------------------- the network


def network(
    net: Network,
    ax: Axes | None = None,
    *,
    layout: str | Mapping[str, Sequence[float]] = "auto",
    labels: bool | None = None,
) -> Axes:
    """Draw the graph: synapses, dendrites and somas, with couplings, inhibition and light told apart.

    Signals run from left to right unless they run in circles (a few waveguides back are allowed). The wider a line, the
    stronger its coupling.

    Args:
        net: a Network.
        ax: where to draw.
        layout: "layers", "spring", "circle", "auto" (layers where signals run one way, spring else), or a place (x, y)
            for every id.
        labels: whether to write the ids (default: up to 40 parts).

    Raises:
        InputError: an unknown layout, or a part without a place.
    """
    nodes = [*net.synapses, *net.dendrites, *net.neurons]
    edges = _edges(net)
    where, in_columns = _positions(net, nodes, edges, layout)
    named = len(nodes) <= _LONGEST_LIST if labels is None else labels
    size = float(np.clip(150.0 - 0.9 * len(nodes), 10.0, 110.0))
    with _styled():
        columns, rows = _columns_and_rows(where)
        width, height = np.clip([1.1 * columns + 2.0, 0.26 * rows + 1.6], [5.5, 3.2], [11.0, 9.0])
        side = np.clip(2.4 + 0.55 * math.sqrt(len(nodes)), 3.6, 9.0)
        ax = _panel(ax, *((float(width), float(height)) if in_columns else (1.2 * float(side), float(side))))
        radius = {name: 0.5 * math.sqrt(size * _scale(net, name)) for name in nodes}
        drawn = _draw_edges(ax, edges, where, radius)
        drawn += _draw_nodes(ax, net, where, size)
        if named:
            _write_names(ax, net, where, radius)
        ax.set_axis_off()
        ax.margins(0.1 if in_columns or named else 0.04, 0.1 if named and rows <= 12 else 0.02)
        ax.set_title(net.name or _told(net))
        if drawn:
            ax.legend(
                handles=drawn,
                loc="upper center",
                bbox_to_anchor=(0.5, 0.0),
                ncols=min(len(drawn), 4),
                handletextpad=0.5,
                columnspacing=1.4,
            )
    return ax


def _scale(net: Network, name: str) -> float:
    """Area of a part's marker, with the ring of a refractory dendrite, in units of the drawing's marker size."""
    neuron = net.neurons.get(name)
    if neuron is None:
        return 0.75
    return 1.7 if neuron.refractory is None else 3.2


def _told(net: Network) -> str:
    counts = ((len(net.synapses), "synapse"), (len(net.dendrites), "dendrite"), (len(net.neurons), "neuron"))
    told = [f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts if count]
    return ", ".join(told) or "empty network"


class _Edge:
    """One line of the drawing: from, to, its kind and how strong it is among its kind (0 to 1)."""

    def __init__(self, source: str, target: str, kind: str, strength: float):
        self.source, self.target, self.kind, self.strength = source, target, kind, strength


def _edges(net: Network) -> list[_Edge]:
    found = []
    known = {*net.synapses, *net.dendrites, *net.neurons}
    couplings = [c for c in net.couplings if c.source in known and c.target in known]
    largest = max((abs(c.J) for c in couplings), default=1.0) or 1.0
    for name, synapse in net.synapses.items():
        if synapse.target in known:
            kind = "excitatory" if synapse.weight >= 0.0 else "inhibitory"
            found.append(_Edge(name, synapse.target, kind, 0.3))
    for c in couplings:
        found.append(_Edge(c.source, c.target, "excitatory" if c.J >= 0.0 else "inhibitory", abs(c.J) / largest))
    guides = [w for w in net.waveguides if w.source in known and w.target in known]
    found += [_Edge(w.source, w.target, "light", 0.5) for w in guides]
    return found


def _positions(
    net: Network, nodes: list[str], edges: list[_Edge], layout: str | Mapping[str, Sequence[float]]
) -> tuple[dict[str, tuple[float, float]], bool]:
    """A place for every part, and whether they stand in columns."""
    import networkx

    if isinstance(layout, Mapping):
        lost = [name for name in nodes if name not in layout]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise InputError(f"plotting.network.layout: {lost[0]!r}{more} has no place; give (x, y) for every part")
        return {name: (float(layout[name][0]), float(layout[name][1])) for name in nodes}, False
    if layout not in LAYOUTS:
        hint = nearest(str(layout), LAYOUTS)
        raise InputError(f"plotting.network.layout: {layout!r} is unknown{hint}; give one of {', '.join(LAYOUTS)}")
    wired = networkx.DiGraph()
    wired.add_nodes_from(nodes)
    wired.add_edges_from((e.source, e.target) for e in edges if e.kind != "light")
    whole = wired.copy()
    whole.add_edges_from((e.source, e.target) for e in edges)
    acyclic = networkx.is_directed_acyclic_graph
    if layout == "auto":
        layout = "layers" if acyclic(whole) or (acyclic(wired) and len(nodes) <= 60) else "spring"
    if layout == "layers":
        return _layered(whole if acyclic(whole) else wired, set(net.synapses)), True
    if layout == "circle":
        found = networkx.circular_layout(whole)
    elif len(nodes) <= 120 and len(nodes) > 1 and networkx.is_weakly_connected(whole):
        found = networkx.kamada_kawai_layout(whole.to_undirected())
    else:
        found = networkx.spring_layout(whole.to_undirected(), seed=0, iterations=100)
    return {name: (float(x), float(y)) for name, (x, y) in found.items()}, False


def _layered(graph: Any, synapses: set[str]) -> dict[str, tuple[float, float]]:
    """Columns by the longest way from an input; within a column in the order that crosses fewest lines."""
    import networkx

    merged = networkx.condensation(graph)  # parts that couple in a circle share a column
    depth: dict[int, int] = {}
    for k in networkx.topological_sort(merged):
        depth[k] = max((depth[j] + 1 for j in merged.predecessors(k)), default=0)
    layer = {name: depth[merged.graph["mapping"][name]] for name in graph}
    for name in synapses:  # a detector stands right before what it drives
        after = [layer[target] for target in graph.successors(name)]
        if after and not list(graph.predecessors(name)):
            layer[name] = min(after) - 1
    lowest = min(layer.values(), default=0)
    columns: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) - lowest + 1)]
    for name in sorted(layer, key=_natural):
        columns[layer[name] - lowest].append(name)
    place = {name: (k + 0.5) / len(column) for column in columns for k, name in enumerate(column)}
    for sweep in range(8):  # order every column by the mean place of its neighbours, from the right, then from the left
        outward = sweep % 2 == 0
        for column in reversed(columns) if outward else columns:
            around = {name: list(graph.successors(name) if outward else graph.predecessors(name)) for name in column}
            mean = {n: float(np.mean([place[m] for m in near])) if near else place[n] for n, near in around.items()}
            column.sort(key=lambda name, mean=mean: (mean[name], _natural(name)))  # type: ignore[misc]
            place.update((name, (k + 0.5) / len(column)) for k, name in enumerate(column))
    where = {}
    tallest = 40
    x = 0.0
    for column in columns:
        folds = math.ceil(len(column) / tallest) if column else 1
        for k, name in enumerate(column):
            where[name] = (x + 0.22 * (k % folds), -place[name])
        x += 1.0 + 0.22 * (folds - 1)
    return where


def _natural(name: str) -> list[Any]:
    """Sort key that puts d2 before d10."""
    import re

    return [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in re.findall(r"\d+|\D+", name)]


def _columns_and_rows(where: Mapping[str, tuple[float, float]]) -> tuple[int, int]:
    xs = [round(x, 3) for x, _ in where.values()]
    return len(set(xs)) or 1, max((xs.count(x) for x in set(xs)), default=1)


_EDGE_STYLE = {  # colour, line style, arrow, what the legend says
    "excitatory": (BLUE, "-", "-|>,head_length=0.5,head_width=0.22", "coupling"),
    "inhibitory": (VERMILION, "-", "-[,widthB=0.42,lengthB=0", "inhibitory coupling"),
    "light": (ORANGE, (0, (4, 2)), "-|>,head_length=0.5,head_width=0.22", "waveguide"),
}


def _draw_edges(
    ax: Axes, edges: list[_Edge], where: Mapping[str, tuple[float, float]], radius: Mapping[str, float]
) -> list[Any]:
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D
    from matplotlib.patches import FancyArrowPatch

    crowd = float(np.clip(1.1 - len(where) / 400.0, 0.35, 1.0))
    pairs: dict[tuple[str, str], int] = {(e.source, e.target): 0 for e in edges}
    lines: dict[str, list[Any]] = {kind: [] for kind in _EDGE_STYLE}
    for e in edges:
        colour, dash, arrow, _ = _EDGE_STYLE[e.kind]
        start, stop = where[e.source], where[e.target]
        width = crowd * (0.6 + 1.6 * e.strength)
        if len(edges) > _MOST_ARROWS:
            lines[e.kind].append([start, stop])
            continue
        if e.source == e.target:
            _draw_ring(ax, start, radius[e.source], colour, width)
            continue
        bent = -0.18 if e.kind == "light" or (e.target, e.source) in pairs else 0.0
        bent -= 0.15 * pairs[e.source, e.target]  # parallel lines lie side by side
        pairs[e.source, e.target] += 1
        ax.add_patch(FancyArrowPatch(
            start, stop, arrowstyle=arrow, mutation_scale=2.0 + 8.0 * crowd, lw=width, color=colour, ls=dash,
            alpha=0.45 + 0.5 * crowd, shrinkA=radius[e.source] + crowd, shrinkB=radius[e.target] + 1.5 * crowd,
            connectionstyle=f"arc3,rad={bent}", zorder=1.0 if e.kind == "light" else 2.0, joinstyle="miter",
        ))  # fmt: skip
    for kind, segments in lines.items():
        colour, dash, _, _ = _EDGE_STYLE[kind]
        if segments:
            ax.add_collection(LineCollection(segments, colors=colour, linestyles=[dash], lw=0.4, alpha=0.35, zorder=1))
    kinds = {e.kind for e in edges}
    return [
        Line2D([], [], color=colour, ls=dash, lw=1.4, label=label)
        for kind, (colour, dash, _, label) in _EDGE_STYLE.items()
        if kind in kinds
    ]


def _draw_ring(ax: Axes, place: tuple[float, float], radius: float, colour: str, width: float) -> None:
    """The coupling of a part to itself: a ring that hangs from it."""
    from matplotlib.transforms import offset_copy

    hang = offset_copy(ax.transData, fig=ax.figure, y=-1.7 * radius, units="points")  # type: ignore[arg-type]
    ring: dict[str, Any] = {"marker": "o", "ms": 2.0 * radius, "mfc": "none", "mec": colour, "mew": width}
    ax.plot([place[0]], [place[1]], transform=hang, zorder=1.5, **ring)


def _draw_nodes(ax: Axes, net: Network, where: Mapping[str, tuple[float, float]], size: float) -> list[Any]:
    neurons = net.neurons
    lit = [name for name, neuron in neurons.items() if neuron.transmitter is not None]
    dark = [name for name, neuron in neurons.items() if neuron.transmitter is None]
    held = [name for name, neuron in neurons.items() if neuron.refractory is not None]
    flat = [name for name, dendrite in net.dendrites.items() if dendrite.kind == "rtti"]
    round_ = [name for name, dendrite in net.dendrites.items() if dendrite.kind != "rtti"]
    edge = float(np.clip(size / 60.0, 0.5, 1.2))
    drawn = []
    for names, marker, face, colour, scale, label in (
        (list(net.synapses), ">", SKY, BLACK, 0.75, "synapse"),
        (round_, "o", "white", BLACK, 0.75, "dendrite"),
        (flat, "s", "white", BLACK, 0.75, "dendrite, RTTI"),
        (dark, "o", PALE, BLACK, 1.7, "soma"),
        (lit, "o", YELLOW, BLACK, 1.7, "soma with transmitter"),
        (held, "o", "none", VERMILION, 3.2, "refractory dendrite"),
    ):
        if names:
            x, y = np.array([where[name] for name in names]).T
            drawn.append(ax.scatter(
                x, y, s=scale * size, marker=marker, facecolors=face, edgecolors=colour, linewidths=edge,
                label=label, zorder=3,
            ))  # fmt: skip
    return [_legend_marker(dots) for dots in drawn]


def _legend_marker(dots: Any) -> Any:
    from matplotlib.lines import Line2D

    marker = {"synapse": ">", "dendrite, RTTI": "s"}.get(dots.get_label(), "o")
    face = dots.get_facecolor()
    return Line2D(
        [], [], ls="none", marker=marker, markersize=8 if "soma" in dots.get_label() else 6, label=dots.get_label(),
        markerfacecolor=face[0] if len(face) else "none", markeredgecolor=dots.get_edgecolor()[0], markeredgewidth=0.9,
    )  # fmt: skip


def _write_names(ax: Axes, net: Network, where: Mapping[str, tuple[float, float]], radius: Mapping[str, float]) -> None:
    from matplotlib.patheffects import withStroke

    offset: tuple[float, float]
    how: dict[str, Any]
    halo = [withStroke(linewidth=2.0, foreground="white")]
    for name, place in where.items():
        if name in net.synapses:
            offset, how = (-radius[name] - 2.0, 0.0), {"ha": "right", "va": "center"}
        else:
            offset, how = (0.0, radius[name] + 2.0), {"ha": "center", "va": "bottom"}
        ax.annotate(name, place, offset, textcoords="offset points", fontsize=7, path_effects=halo, zorder=4, **how)
