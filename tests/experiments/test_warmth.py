"""Test AUC by how well an item is known, and calibration: by hand."""

from pathlib import Path

import numpy as np
import pytest
from small_study import made_predictions, made_report, settle

from rokkit.data import load
from rokkit.evaluation import auc, ece
from rokkit.experiments import calibration_table, warmth_table
from rokkit.experiments.warmth import warmth


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settle(tmp_path, monkeypatch)
    return tmp_path


def test_groups_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: counts of the pool before those of train, another field than the item."""
    samples = load("small")
    column = samples.schema.item_columns[0]
    train, pool = (set(np.asarray(p.x)[:, column]) for p in (samples.train, samples.pool))
    expected = [
        0 if item in train else 1 if item in pool else 2
        for item in np.asarray(samples.test.x)[:, column]
    ]
    assert warmth(samples).tolist() == expected


def test_auc_within_a_group_and_none_where_a_class_lacks(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = np.asarray(load("small").test.y)
    group = np.where(np.arange(len(y)) % 3 == 0, 0, 1).astype(np.int8)
    lone = np.flatnonzero(y == 1)[:2]
    group[lone] = 2  # positives alone
    monkeypatch.setattr("rokkit.experiments.warmth.warmth", lambda samples: group)
    reports = [
        made_report(place / str(seed), "MLP", seed, made_predictions(1.0, seed)) for seed in (0, 1)
    ]
    frame = warmth_table({"MLP": reports}).frame
    assert frame["Test samples"].tolist() == [int((group == g).sum()) for g in range(3)]
    for code in (0, 1):
        here = group == code
        expected = np.mean([auc(y[here], made_predictions(1.0, s)[here]) for s in (0, 1)])
        assert frame["MLP"][code] == pytest.approx(expected)
    assert np.isnan(frame["MLP"][2])


def test_calibration_by_hand(place: Path) -> None:
    y = np.asarray(load("small").test.y)
    p = made_predictions(1.0)
    (row,) = calibration_table({"MLP": [made_report(place, "MLP", 0, p)]}).frame.to_dict("records")
    assert row["ECE"] == pytest.approx(ece(y, p))
    assert row["Mean p"] == pytest.approx(p.mean())
    assert row["Positive rate"] == pytest.approx(y.mean())
