"""Pictures of what is learnt: what is drawn is what was recorded."""

import numpy as np
import pytest
from small_learners import Delta, network, patterns, trainer, wanted

import soen_event as se
from soen_event import plotting
from soen_event.errors import InputError
from training.weight_plots import plot_weights

X, Y = patterns()


@pytest.fixture(scope="module")
def rec():
    made = trainer(Delta(), modulator={"error": wanted})
    made.fit(X, Y, epochs=2)
    return made.recording()


def test_curves_are_the_writes(rec, tmp_path):
    figure = plot_weights(rec)
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == list(rec.site_ids)
    for line in left.lines:
        times, values = rec.writes[line.get_label()]
        t, v = line.get_data()
        assert line.get_drawstyle() == "steps-post"
        assert t.tolist() == [0.0, *times, rec.end] and v[1:-1].tolist() == values.tolist()
        assert v[0] == rec.learnt(line.get_label(), 0.0) and v[-1] == rec.learnt(line.get_label())
    count = sum(len(rec.writes[s][0]) for s in rec.site_ids)
    assert left.get_title(loc="left") == f"{count} changes of 8 sites" and count > 0
    assert left.get_xlabel() == "time (ns)" and left.get_ylabel() == "weight"
    assert sum(patch.get_height() for patch in right.patches[: len(right.patches) - 1]) == 8.0
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["start", "end"]
    path = plotting.save(figure, tmp_path / "weights.png")
    assert path.stat().st_size > 10_000


def test_many_sites_are_an_image(rec):
    figure = plot_weights(rec, image=True)
    picture = figure.axes[0].images[0].get_array()
    assert picture.shape == (8, 800)
    middle = (np.arange(800) + 0.5) * rec.end / 800
    for row, site in zip(picture, rec.site_ids, strict=True):
        assert np.array_equal(row, rec.learnt(site, middle))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == list(rec.site_ids)


def test_some_sites_of_a_part_of_the_run(rec):
    window = (150.0, 900.0)
    left, _ = plot_weights(rec, ["s0.*", "s3.1"], window).axes
    assert [line.get_label() for line in left.lines] == ["s0.0", "s0.1", "s3.1"] and left.get_xlim() == window
    for line in left.lines:
        assert line.get_ydata()[0] == rec.learnt(line.get_label(), 150.0)
        assert line.get_ydata()[-1] == rec.learnt(line.get_label(), 900.0)


def test_axes_say_what_is_learnt():
    run = se.simulate(
        network(),
        {"s0.0": [5.0]},
        50.0,
        learning=[
            Delta().on(synapses="s0.0"),
            Rewarding().on(loops="d0"),
            Rewarding().on(couplings="d1->n1", name="two"),
        ],
    )
    for sites, unit in (("s0.0", "weight"), ("d0.*", "flux offset"), ("d1->n1", "coupling"), (None, "value")):
        assert plot_weights(run, sites).axes[0].get_ylabel().startswith(unit)


class Rewarding(se.Rule):
    requires = frozenset({"broadcast"})
    signals = ("reward",)

    @staticmethod
    def on_reward(site, p):
        site.change += site.signal


def test_nonsense(rec):
    for arguments, what in (
        ({"sites": ["s9.9"]}, "no site 's9.9' learns"),
        ({"sites": []}, "there is none"),
        ({"window": (0.0, 1e9)}, "no part of the recording"),
    ):
        with pytest.raises(InputError, match=what):
            plot_weights(rec, **arguments)
    with pytest.raises(InputError, match="nothing learns in this run"):
        plot_weights(se.simulate(network(), {}, 10.0))
