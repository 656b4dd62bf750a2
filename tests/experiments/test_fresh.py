"""Trained models asked again when more has been logged: who gains, by what, and nothing else."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import made_predictions, made_report, settle, spec

from rokkit.data import Samples, load
from rokkit.data.pair_statistics import pair_statistics
from rokkit.errors import ConfigError
from rokkit.evaluation import auc, compare
from rokkit.experiments import Report, Runs, fresh_predictions, freshness_table
from rokkit.experiments.weights import load_aided, load_run
from rokkit.retrieval import neighbours
from rokkit.training import Feed, predict


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(tmp_path, monkeypatch)


def test_a_model_that_looks_nothing_up_says_what_it_said(place: Path) -> None:
    """Kills: weights trained anew, another order of the test samples."""
    samples = load("small", causal=True)
    for system in ("MLP", "MLP+ROK"):
        (report,) = Runs(place, device="cpu")([spec(system)])
        (fresh,) = fresh_predictions([report], samples)
        np.testing.assert_array_equal(fresh, report.predictions())


def test_a_search_finds_what_came_after_training_and_no_later_row(place: Path) -> None:
    """Kills: the pool of training, rows of the sample's own moment or after it."""
    (report,) = Runs(place, device="cpu")([spec("RIM")])
    samples = load("small", causal=True)
    found = neighbours(samples, "test", report.spec.retrieval.k)
    held = found.ids >= 0
    times = np.where(held, np.asarray(samples.pool.time)[found.ids], -1)
    assert (times < np.asarray(samples.test.time)[:, None]).all()
    assert times.max() >= np.asarray(load("small").test.time).min()  # test rows are found too
    model = load_run(report.folder, report.spec, samples)
    feed = Feed(samples, "test", needs=frozenset({"neighbours"}), neighbours=found)
    (fresh,) = fresh_predictions([report], samples)
    np.testing.assert_array_equal(fresh, predict(model, feed))
    assert (fresh != report.predictions()).any()


def test_counts_go_on_and_their_scale_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: counts of the pool of training, a scale by the new counts, one model for all seeds."""
    reports = Runs(place, device="cpu")([spec("MLP+PAIRS", seed) for seed in (0, 1)])
    samples = load("small", causal=True)
    counts = pair_statistics(samples, "test")
    assert (counts >= pair_statistics(load("small"), "test")).all()
    models = [load_aided(report.folder, report.spec, samples) for report in reports]
    trained = pair_statistics(load("small"), "train")
    torch.testing.assert_close(models[0].mean, torch.from_numpy(trained.mean(0)))
    expected = [
        predict(one, Feed(samples, "test", needs=one.needs, extra=counts)) for one in models
    ]
    asked: list[str] = []

    def counted(samples: Samples, part: str) -> np.ndarray:
        asked.append(part)
        return pair_statistics(samples, part)

    monkeypatch.setattr("rokkit.experiments.aids.pair_statistics", counted)
    np.testing.assert_array_equal(fresh_predictions(reports, samples), expected)
    assert asked == ["test"]  # once, whatever the number of seeds


def test_the_table_by_hand(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: old and new exchanged, halves exchanged or by row instead of by time."""
    samples = load("small", causal=True)
    y, n = np.asarray(samples.test.y), len(samples.test)
    held = [made_report(place / str(s), "MLP", s, made_predictions(0.5, s)) for s in (0, 1)]

    def fresh(reports: Sequence[Report], _: object) -> np.ndarray:
        return np.stack([made_predictions(2.0, report.spec.seed) for report in reports])

    monkeypatch.setattr("rokkit.experiments.fresh.fresh_predictions", fresh)
    (row,) = freshness_table({"MLP": held}, samples).frame.to_dict("records")
    old, new = (np.stack([made_predictions(x, s) for s in (0, 1)]) for x in (0.5, 2.0))
    c = compare(new, old, y)
    assert (row["AUC, pool"], row["AUC, fresh"]) == (c.mean_b, c.mean_a)
    assert (row["Difference"], row["Finding"]) == (c.difference, c.finding)
    order = np.argsort(np.asarray(samples.test.time), kind="stable")
    for name, half in (("Early", order[: n // 2]), ("Late", order[n // 2 :])):
        gains = [
            auc(y[half], b[half]) - auc(y[half], a[half]) for a, b in zip(old, new, strict=True)
        ]
        assert row[name] == pytest.approx(np.mean(gains))


def test_samples_that_are_not_causal_are_refused(place: Path) -> None:
    (report,) = Runs(place, device="cpu")([spec("RIM")])
    with pytest.raises(ConfigError, match="samples with causal=true"):
        fresh_predictions([report], load("small"))
