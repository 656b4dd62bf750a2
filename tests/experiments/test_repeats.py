"""Test AUC by whether the item is in the user's history: by hand."""

from pathlib import Path

import numpy as np
import pytest
from small_study import made_predictions, made_report, settle

from rokkit.data import load
from rokkit.evaluation import auc
from rokkit.experiments import repeats_table


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settle(tmp_path, monkeypatch)
    return tmp_path


def with_seen(monkeypatch: pytest.MonkeyPatch, seen: np.ndarray) -> None:
    monkeypatch.setattr("rokkit.experiments.repeats.seen_before", lambda samples, part: seen)


def test_seen_and_new_apart(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.asarray(load("small").test.y)
    seen = np.arange(len(y)) % 3 == 0
    with_seen(monkeypatch, seen)
    held = [made_predictions(1.0, seed) for seed in (0, 1)]
    reports = [made_report(place / str(s), "MLP", s, held[s]) for s in (0, 1)]
    table = repeats_table({"MLP": reports})
    (row,) = table.frame.to_dict("records")
    for column, here in (("AUC, seen", seen), ("AUC, new", ~seen), ("AUC, all", seen | ~seen)):
        assert row[column] == pytest.approx(np.mean([auc(y[here], p[here]) for p in held]))
    expected = np.mean([auc(seen.astype(int), -p) for p in held])
    assert row["Tells seen from new"] == pytest.approx(expected)
    positive = (100 * y[seen].mean(), 100 * y[~seen].mean())
    assert table.notes[0] == (
        f"Seen: {seen.sum()} of {len(y)} test samples. "
        f"Positive: {positive[0]:.0f} % of the seen and {positive[1]:.0f} % of the new."
    )


def test_a_score_of_being_new_tells_all(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: the score of being seen taken the other way round."""
    seen = np.arange(len(load("small").test)) % 2 == 0
    with_seen(monkeypatch, seen)
    report = made_report(place, "MLP", 0, np.where(seen, 0.1, 0.9).astype(np.float32))
    assert repeats_table({"MLP": [report]}).frame["Tells seen from new"].tolist() == [1.0]


def test_nothing_repeats(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.asarray(load("small").test.y)
    with_seen(monkeypatch, np.zeros(len(y), bool))
    table = repeats_table({"MLP": [made_report(place, "MLP", 0, made_predictions(1.0, 0))]})
    (row,) = table.frame.to_dict("records")
    assert np.isnan(row["AUC, seen"])
    assert np.isnan(row["Tells seen from new"])
    assert row["AUC, new"] == row["AUC, all"]
    assert "of the seen" not in table.notes[0]
