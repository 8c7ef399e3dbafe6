"""Pictures: what is drawn is what was recorded, every axis says its unit, and no file is half written or replaced."""

import math
import subprocess
import sys
import time

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

import soen_event as se
from soen_event import plotting


def build():
    with se.Network(name="pair") as net:
        for k in (1, 2):
            se.Neuron(f"n{k}", soma=se.Soma(threshold=0.3), refractory=se.Refractory(), transmitter=se.Transmitter())
            se.Dendrite(f"d{k}", beta_over_2pi=300.0, tau=100.0)
            se.Coupling(f"d{k}", f"n{k}", J=0.6)
            se.Synapse(f"s{k}", f"d{k}")
        se.Coupling("d1", "n2", J=-0.1)
        se.Synapse("s12", "d2", weight=0.5)
        se.Waveguide("n1", "s12", delay=1.0)
    return net


@pytest.fixture(scope="module")
def net():
    return build()


@pytest.fixture(scope="module")
def rec(net):
    everything = ("spikes", "fluxons", "photons", "currents")
    return se.simulate(net, {"s1": [5.0, 5.02, 40.0], "s2": [60.0]}, 100.0, record=everything)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def segments(ax):
    """Positions in time of all ticks that ``vlines`` drew."""
    lines = [each for each in ax.collections if isinstance(each, LineCollection)]
    return np.array([segment[0][0] for each in lines for segment in each.get_segments()])


def drawn(picture, tmp_path):
    """The picture's file, read back: shape and whether it holds more than one colour."""
    from matplotlib import image

    path = plotting.save(picture, tmp_path / "picture.png", overwrite=True)
    pixels = image.imread(path)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10
    return pixels.shape


# ---------------------------------------------------------------------------------------------- every function


PICTURES = {
    "raster": lambda rec, net: plotting.raster(rec),
    "overview": lambda rec, net: plotting.overview(rec),
    "traces": lambda rec, net: plotting.traces(rec, ["d1", "n1"]),
    "dendrite": lambda rec, net: plotting.dendrite(rec, "d1"),
    "network": lambda rec, net: plotting.network(net),
    "source_map": lambda rec, net: plotting.source_map(rec.plan, "n1"),
    "confusion": lambda rec, net: plotting.confusion([[3, 1], [0, 4]], "ab"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_can_be_written_and_says_its_units(name, rec, net, tmp_path):
    picture = PICTURES[name](rec, net)
    height, width, _ = drawn(picture, tmp_path)
    assert 300 < width < 2500 and 200 < height < 2500
    axes = picture.axes if isinstance(picture, Figure) else [picture]
    if name in ("network", "confusion"):
        return
    labels = [ax.get_xlabel() for ax in axes if ax.get_xlabel()] + [ax.get_ylabel() for ax in axes if ax.get_ylabel()]
    units = ("(ns)", "I_c", "Phi_0", "GHz", "events/ns")
    plain = {"neuron", "synapse", "loop", "fluxons"}  # rows of ids
    assert labels and all(any(unit in label for unit in units) or label in plain for label in labels)


def test_the_exported_pictures_are_those_that_are_tested():
    assert set(plotting.__all__) == {*PICTURES, "save"}


@pytest.mark.parametrize("name", ["raster", "traces", "network", "source_map", "confusion"])
def test_one_panel_pictures_draw_where_they_are_told(name, rec, net):
    ax = Figure().add_subplot()
    calls = {
        "raster": lambda: plotting.raster(rec, ax=ax),
        "traces": lambda: plotting.traces(rec, "d1", ax=ax),
        "network": lambda: plotting.network(net, ax=ax),
        "source_map": lambda: plotting.source_map(se.Device(), ax=ax),
        "confusion": lambda: plotting.confusion(np.eye(2), ax=ax),
    }
    assert calls[name]() is ax and isinstance(ax, Axes)


def test_no_hidden_state(tmp_path):
    """Importing the library loads no matplotlib, and drawing loads no pyplot and leaves its settings alone."""
    code = (
        "import sys, soen_event as se; from soen_event import plotting; assert 'matplotlib' not in sys.modules\n"
        "from matplotlib import rcParams; settings = lambda: [rcParams[k] for k in rcParams if k != 'backend']\n"
        "before = settings(); plotting.save(plotting.confusion([[1]]), sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules and settings() == before"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)


# ---------------------------------------------------------------------------------------------- events


def test_raster_shows_every_spike_once(rec):
    ax = plotting.raster(rec)
    expected = sorted(t for times in rec.spikes.values() for t in times)
    assert len(expected) >= 2
    assert sorted(segments(ax)) == pytest.approx(expected)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["n1", "n2"]
    assert ax.get_xlim() == (0.0, 100.0)


def test_raster_orders(rec):
    def names(**how):
        return [label.get_text() for label in plotting.raster(rec, **how).get_yticklabels()]

    first = sorted(rec.spikes, key=lambda name: rec.spikes[name][0] if len(rec.spikes[name]) else math.inf)
    assert names(order="first") == first
    assert names(neurons=["n2", "n1"]) == ["n2", "n1"]
    assert names(neurons=["n2", "n1"], order="id") == ["n1", "n2"]
    counts = [len(rec.spikes[name]) for name in names(order="count")]
    assert counts == sorted(counts, reverse=True)
    assert names(neurons="n2") == ["n2"]


def test_raster_refusals(rec):
    with pytest.raises(se.InputError, match=r"'frist' is unknown \(did you mean 'first'\?\)"):
        plotting.raster(rec, order="frist")
    with pytest.raises(se.InputError, match="no neuron 'n3'"):
        plotting.raster(rec, ["n3"])


def test_overview_counts_what_was_recorded(rec):
    figure = plotting.overview(rec)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    photons = sum(len(rec.detections[name]) for name in ("s1", "s12", "s2"))
    fluxons = sum(len(times) for times in rec.fluxons.values())
    assert titles[0] == f"{photons} detected photons, 1 lost (grey)"
    assert titles[1] == f"{fluxons:,d} fluxons".replace(",", " ")
    assert titles[2] == f"{sum(rec.spike_counts())} spikes"
    early = plotting.overview(rec, window=(0.0, 4.0))
    assert [ax.get_title(loc="left")[:2] for ax in early.axes] == ["0 ", "0 ", "0 "]
    assert early.axes[-1].get_xlim() == (0.0, 4.0)


def test_too_many_events_become_a_density(rec, monkeypatch, tmp_path):
    monkeypatch.setattr(plotting, "_MOST_TICKS", 10)
    figure = plotting.overview(rec)
    assert any(ax.images for ax in figure.axes)
    shown = next(ax for ax in figure.axes if "fluxons" in ax.get_title(loc="left")).images[0]
    fluxons = sum(len(times) for times in rec.fluxons.values())
    assert shown.get_array().sum() * 100.0 / 500 == pytest.approx(fluxons)
    drawn(figure, tmp_path)


def test_many_rows_are_named_in_part():
    with se.Network() as net:
        for k in range(100):
            se.Dendrite(f"d{k}")
    ax = plotting.overview(se.simulate(net, {}, 1.0)).axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:3] == ["d0", "d5", "d10"] and ax.get_ylabel() == "loop (1 in 5 named)"


def test_nothing_recorded_is_still_a_picture(tmp_path):
    rec = se.simulate(se.Network(), {}, 5.0, record=("spikes",))
    drawn(plotting.overview(rec), tmp_path)
    drawn(plotting.raster(rec), tmp_path)


# ---------------------------------------------------------------------------------------------- currents


@pytest.mark.parametrize("what", plotting.TRACES)
def test_traces_are_the_recordings(rec, what):
    times = np.linspace(0.0, 100.0, 77)
    ax = plotting.traces(rec, ["d1", "n1"], what, times)
    for line, name in zip(ax.lines[:2], ("d1", "n1"), strict=True):
        assert np.array_equal(line.get_xdata(), times)
        assert np.array_equal(line.get_ydata(), getattr(rec, what)(name, times))
    thresholds = [line for line in ax.lines[2:]]
    assert [line.get_ydata()[0] for line in thresholds] == ([0.3] if what == "current" else [])


def test_traces_resolve_every_jump(rec):
    line = plotting.traces(rec, "n1", "quanta").lines[0]
    jumps = np.diff(line.get_ydata())
    quantum = 2 * math.pi / rec.plan.arrays.beta[rec.plan.loop_index["n1"]]
    purged = len(rec.spikes["n1"])  # the fluxon that makes the soma spike leaves an empty loop
    assert purged and np.count_nonzero(np.abs(jumps - quantum) < 1e-6) == rec.fluxon_count["n1"] - purged


def test_traces_refusals(rec):
    with pytest.raises(se.InputError, match=r"'curent' is unknown \(did you mean 'current'\?\)"):
        plotting.traces(rec, "d1", "curent")
    with pytest.raises(se.InputError, match="at least one dendrite"):
        plotting.traces(rec, [])
    with pytest.raises(se.InputError, match="d11"):
        plotting.traces(rec, "d11")
    with pytest.raises(se.InputError, match="was not recorded"):
        plotting.traces(se.simulate(build(), {}, 1.0), "d1")


def test_dendrite_shows_fluxons_flux_and_current(rec):
    figure = plotting.dendrite(rec, "d1", window=(0.0, 30.0))
    top, ticks, rate, bottom = figure.axes
    inside = rec.fluxons["d1"][rec.fluxons["d1"] <= 30.0]
    assert segments(ticks) == pytest.approx(inside)
    assert top.get_title(loc="left") == f"d1: {len(inside)} fluxons"
    t = top.lines[0].get_xdata()
    assert np.array_equal(top.lines[0].get_ydata(), rec.flux("d1", t))
    assert np.array_equal(bottom.lines[0].get_ydata(), rec.current("d1", t))
    assert bottom.get_xlim() == (0.0, 30.0)
    heights = rate.patches[0].get_data().values
    assert heights == pytest.approx(1.0 / np.diff(inside))


def test_dendrite_marks_the_threshold():
    """physics.md 2.2: at ib = 1.8024 an empty loop makes fluxons above 0.1676 Phi0."""
    with se.Network() as net:
        se.Dendrite("d", ib=1.802395858835221)
        se.Synapse("s", "d")
    figure = plotting.dendrite(se.simulate(net, {"s": [1.0]}, 20.0, record=("fluxons", "currents")), "d")
    assert [line.get_ydata()[0] for line in figure.axes[0].lines[1:]] == [pytest.approx(0.1676, abs=2e-4)]
    # the largest current at the flux that is reached, 0.4749 Phi0: ib - 1.1083 (physics.md 2.2, interpolated)
    assert np.nanmax(figure.axes[3].lines[1].get_ydata()) == pytest.approx(1.8024 - 1.1083, abs=1e-3)


@pytest.mark.parametrize("window", [(5.0, 5.0), (-1.0, 5.0), (0.0, 101.0), (float("nan"), 3.0)])
def test_windows_outside_the_run_are_refused(rec, window):
    with pytest.raises(se.InputError, match="runs from 0 to 100 ns"):
        plotting.dendrite(rec, "d1", window)


# ---------------------------------------------------------------------------------------------- networks


def test_signals_run_from_left_to_right(net):
    names = [*net.synapses, *net.dendrites, *net.neurons]
    where, in_columns = plotting._positions(net, names, plotting._edges(net), "auto")
    assert in_columns and len(where) == 7
    for part in [*net.couplings, *net.waveguides]:
        assert where[part.source][0] < where[part.target][0]
    for name, synapse in net.synapses.items():
        assert where[name][0] < where[synapse.target][0]
    assert len(set(where.values())) == 7


def test_inhibition_and_light_have_colours_of_their_own(net):
    ax = plotting.network(net)
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == len(net.synapses) + len(net.couplings) + len(net.waveguides)
    colours = [tuple(np.round(arrow.get_edgecolor()[:3], 2)) for arrow in arrows]
    assert sorted(colours.count(colour) for colour in set(colours)) == [1, 1, 5]
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"coupling", "inhibitory coupling", "waveguide", "synapse", "dendrite", "refractory dendrite"} <= set(told)
    assert set(texts(ax)) == {"s1", "s2", "s12", "d1", "d2", "n1", "n2"}
    assert ax.get_title(loc="left") == "pair"


def test_an_open_end_and_an_empty_network_are_drawn(tmp_path):
    with se.Network() as net:
        se.Dendrite("a")
        se.Synapse("s", "nowhere")
        se.Coupling("a", "a", J=0.1)
    drawn(plotting.network(net), tmp_path)
    plotting.save(plotting.network(se.Network()), tmp_path / "empty.png")


def test_a_few_hundred_parts_are_drawn_in_seconds(tmp_path):
    with se.Network() as net:
        for k in range(60):
            se.Neuron(f"n{k}", transmitter=se.Transmitter())
            for j in range(2):
                se.Dendrite(f"d{k}_{j}")
                se.Coupling(f"d{k}_{j}", f"n{k}", J=0.3)
                se.Synapse(f"s{k}_{j}", f"d{k}_{j}")
            se.Waveguide(f"n{k}", f"s{(k + 1) % 60}_0")
    start = time.process_time()
    drawn(plotting.network(net), tmp_path)
    assert time.process_time() - start < 20.0


def test_places_can_be_given(net):
    names = [*net.synapses, *net.dendrites, *net.neurons]
    places = {name: (float(k), 0.5 * k) for k, name in enumerate(names)}
    ax = plotting.network(net, layout=places, labels=False)
    dots = np.concatenate([dots.get_offsets() for dots in ax.collections])
    assert {tuple(place) for place in dots} == set(places.values())
    assert not texts(ax)
    with pytest.raises(se.InputError, match="'n2' has no place"):
        plotting.network(net, layout={name: places[name] for name in names if name != "n2"})
    with pytest.raises(se.InputError, match=r"'layer' is unknown \(did you mean 'layers'\?\)"):
        plotting.network(net, layout="layer")


# ---------------------------------------------------------------------------------------------- maps


def test_source_map_is_zero_below_the_threshold_line():
    ax = plotting.source_map(se.Device())
    mesh = ax.collections[0]
    rates = np.ma.masked_array(mesh.get_array())
    line = ax.lines[0]
    at_half = np.argmin(np.abs(line.get_xdata() - 0.5))
    assert line.get_ydata()[at_half] == pytest.approx(1.0472, abs=1e-4)  # physics.md 2.2
    phi, current = line.get_xdata(), np.linspace(*ax.get_ylim(), rates.shape[0])
    below = current[:, None] < line.get_ydata()[None, :] - 1e-9
    assert rates.shape == (len(current), len(phi))
    assert np.all(np.ma.getmaskarray(rates)[below]) and not np.any(np.ma.getmaskarray(rates)[~below])
    # physics.md 2.4: g(0.5, 2.035) = 0.664, in units of 2 pi omega_c: 82.4 GHz
    row = np.argmin(np.abs(current - 2.035))
    assert rates[row, at_half] == pytest.approx(0.664 / (2 * math.pi * se.Device().tau_0_ns), rel=0.01)


def test_source_map_of_unequal_arms_is_shifted():
    """circuit.md 2: unequal arms shift the flux by (beta_1 - beta_2) i/(4 pi)."""
    device = se.Device(beta_1=1.8, beta_2=1.3415926535897931)
    line = plotting.source_map(device).lines[0]
    phi = line.get_xdata()[np.argmax(line.get_ydata())]
    assert phi == pytest.approx((1.8 - 1.3415926535897931) * 2.0 / (4 * math.pi), abs=0.01)


def test_source_map_refusals(rec):
    with pytest.raises(se.InputError, match=r"no dendrite or neuron 'd9' \(did you mean 'd"):
        plotting.source_map(rec.plan, "d9")
    with pytest.raises(se.InputError, match="no loop 99"):
        plotting.source_map(rec.plan, 99)


def test_confusion_tells_shares_and_counts():
    ax = plotting.confusion([[8, 2], [0, 0]], ["yes", "no"])
    assert np.array_equal(ax.images[0].get_array(), [[0.8, 0.2], [0.0, 0.0]])
    assert texts(ax) == ["8", "2"] and ax.get_title(loc="left") == "80.0 % right of 10"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["yes", "no"]


@pytest.mark.parametrize("matrix", [[[1, 2]], [1, 2], [[1, -1], [0, 1]], [[float("nan")]], []])
def test_confusion_refuses_what_is_no_matrix_of_counts(matrix):
    with pytest.raises(se.InputError, match=r"plotting\.confusion"):
        plotting.confusion(matrix)


def test_confusion_needs_a_label_for_each_class():
    with pytest.raises(se.InputError, match="3 labels for 2 classes"):
        plotting.confusion(np.eye(2), "abc")


# ---------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", plotting.FORMATS)
def test_formats(suffix, tmp_path):
    path = plotting.save(plotting.confusion([[1]]), tmp_path / f"a{suffix}")
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(start)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_save_refuses_and_overwrites_nothing(tmp_path):
    figure = plotting.confusion([[1]]).figure
    path = tmp_path / "a.png"
    path.write_text("precious")
    with pytest.raises(se.InputError, match=r"a\.png: exists already; .* overwrite=True"):
        plotting.save(figure, path)
    assert path.read_text() == "precious"
    plotting.save(figure, path, overwrite=True)
    assert path.read_bytes().startswith(b"\x89PNG")
    for name, reason in (("a.gif", "is no picture format"), ("a", "no suffix"), ("no/a.png", "there is no folder")):
        with pytest.raises(se.InputError, match=reason):
            plotting.save(figure, tmp_path / name)
    (tmp_path / "b.png").mkdir()
    with pytest.raises(se.InputError, match="is a folder"):
        plotting.save(figure, tmp_path / "b.png", overwrite=True)


def test_a_failure_while_drawing_leaves_the_old_file(tmp_path, monkeypatch):
    figure = plotting.confusion([[1]]).figure
    path = tmp_path / "a.png"
    path.write_text("precious")

    def fail(target, **how):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(se.InputError, match="cannot be written"):
        plotting.save(figure, path, overwrite=True)
    assert path.read_text() == "precious" and len(list(tmp_path.iterdir())) == 1
