"""Reliability by bins of p, and what a report has to be for a notebook to believe it: by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_study import made_predictions, made_report, settle

from rokkit.data import load
from rokkit.evaluation import ece
from rokkit.experiments import plausible, reliability_figure, reliability_frame


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settle(tmp_path, monkeypatch)
    return tmp_path


def test_bins_by_hand(place: Path) -> None:
    """Two seeds fill the bins together; kills: labels of one seed for both, empty bins kept."""
    y = np.asarray(load("small").test.y)
    low, high = (np.full(len(y), p, np.float32) for p in (0.1, 1.0))
    high[0] = 0.4
    reports = [made_report(place / str(s), "MLP", s, p) for s, p in enumerate((low, high))]
    frame = reliability_frame({"MLP": reports}, bins=2)
    assert frame["bin"].tolist() == [0, 1]
    assert frame["predictions"].tolist() == [len(y) + 1, len(y) - 1]
    assert frame["p"].tolist() == pytest.approx([(0.1 * len(y) + 0.4) / (len(y) + 1), 1.0])
    rates = [(y.sum() + y[0]) / (len(y) + 1), y[1:].mean()]
    assert frame["rate"].tolist() == pytest.approx(rates)
    assert reliability_frame({"MLP": reports[:1]}, bins=2)["bin"].tolist() == [0]


def test_the_gaps_of_the_bins_are_the_calibration_error(place: Path) -> None:
    y, p = np.asarray(load("small").test.y), made_predictions(1.0)
    frame = reliability_frame({"MLP": [made_report(place, "MLP", 0, p)]})
    gaps = (frame["rate"] - frame["p"]).abs() * frame["predictions"] / len(y)
    assert gaps.sum() == pytest.approx(ece(y, p))


def test_bins_with_few_predictions_are_not_drawn() -> None:
    frame = pd.DataFrame(
        [("MLP", 0, 20, 0.1, 0.2), ("MLP", 5, 19, 0.4, 0.9), ("RIM", 3, 50, 0.3, 0.3)],
        columns=["system", "bin", "predictions", "p", "rate"],
    )
    (ax,) = reliability_figure(frame).axes
    diagonal, *lines = ax.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert {str(line.get_label()): line.get_xydata().tolist() for line in lines} == {
        "MLP": [[0.1, 0.2]],
        "RIM": [[0.3, 0.3]],
    }


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("auc", 0.0),
        ("auc", 1.0),
        ("auc", float("nan")),
        ("log_loss", float("inf")),
        ("log_loss", float("nan")),
        ("log_loss", 0.0),
    ],
)
@pytest.mark.parametrize("part", ["val", "test"])
def test_one_number_that_cannot_be_is_noticed(
    place: Path, part: str, metric: str, value: float
) -> None:
    sound = made_report(place, "MLP", 0)
    odd = replace(sound, metrics=sound.metrics | {part: sound.metrics[part] | {metric: value}})
    assert plausible([sound], [sound, sound])
    assert plausible()
    assert not plausible([sound], [sound, odd])
