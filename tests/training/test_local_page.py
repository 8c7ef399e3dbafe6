"""docs/local_learning.md: its snippets run and do what is said, and the names that it gives are there."""

from pathlib import Path

from snippets import run

import training.local_errors
import training.local_wrappers

PAGE = Path(__file__).parents[2] / "docs" / "local_learning.md"


def test_the_snippets_run_and_do_what_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = run(PAGE)
    assert len(scope["times"]) > 0 and scope["rec"].learnt("s0.0") == scope["values"][-1] != 0.4
    trainer, x, y = scope["trainer"], scope["x"], scope["y"]
    assert trainer.evaluate(x, y)["accuracy"] == 1.0 and max(row["val_accuracy"] for row in scope["history"]) == 1.0
    assert trainer.reports["Delta"].asked >= trainer.reports["Delta"].writes
    assert {name: s.weight for name, s in scope["chip"].synapses.items()} == trainer.simulation.learnt
    assert {path.name for path in tmp_path.iterdir()} == {"best.h5", "last.h5", "log.csv", "weights.png"}


def test_the_names_that_it_gives_are_there():
    text = PAGE.read_text()
    for name in (
        "LearningWarning",
        "ConnectionNotFoundError",
        "InvalidLayerError",
        "DimensionMismatchError",
        "NonFiniteError",
    ):
        assert name in text and hasattr(training.local_errors, name)
    for name in ("ScheduledRate", "AdaptiveRate"):
        assert name in text and hasattr(training.local_wrappers, name)
