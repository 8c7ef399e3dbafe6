"""The snippets of the documents run, and do what is said of them."""

from pathlib import Path

import numpy as np
from snippets import run

DOCS = Path(__file__).parent.parent / "docs"


def test_s1_17_saving_and_speed(tmp_path, monkeypatch):
    """S1.17: the chapter on saving runs: a continued run equals a whole one, files load, the network runs; and one on accelerators."""
    monkeypatch.chdir(tmp_path)
    scope = run(DOCS / "saving_and_speed.md")
    whole, later, other = scope["whole"], scope["later"], scope["other"]
    assert later.history == whole.history and len(whole.history) == 4
    for name, array in whole.model.parameters().items():
        assert array.tobytes() == later.model.parameters()[name].tobytes()
        assert array.tobytes() == other.model.parameters()[name].tobytes()
    assert min(whole.history, key=lambda row: row["loss"])["epoch"] == 3  # the best is the last, so all three are equal
    assert whole.history[3]["loss"] < whole.history[0]["loss"]
    assert {path.name for path in tmp_path.iterdir()} >= {"best.h5", "last.h5", "net.yaml"}
    assert scope["rec"].fluxon_count["d0"] > 0
    loaded = scope["se"].Network.load("net.yaml").parameters()
    np.testing.assert_array_equal(loaded["weights"], whole.model.network.parameters()["weights"])
    text = (DOCS / "saving_and_speed.md").read_text()
    assert "Graphics cards" in text and "workers=" in text
    for low, high in whole.model.network.bounds().values():
        assert np.all(low <= high)
