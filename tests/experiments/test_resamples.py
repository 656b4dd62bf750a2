"""Metrics under resamples are kept, and what is kept is what would be computed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_study import made_predictions, made_report, settle

from rokkit.data import load
from rokkit.errors import ArtefactError
from rokkit.evaluation import Measured, contrast, measure
from rokkit.evaluation.compare import Metric
from rokkit.experiments import Report, resamples
from rokkit.experiments.resamples import FOLDER, KEPT_FROM, Resamples

Make = Callable[..., Report]


@pytest.fixture(autouse=True)
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    settle(tmp_path, monkeypatch)
    return lambda system, seed, *rest, **how: made_report(tmp_path, system, seed, *rest, **how)


@pytest.fixture
def runs(make: Make) -> list[Report]:
    return [make("MLP", seed, made_predictions(1.0, seed)) for seed in range(3)]


def never(*_: object, **__: object) -> Measured:
    raise AssertionError("measured again")


def kept(reports: list[Report]) -> list[Path]:
    return sorted((reports[0].folder.parent / FOLDER).glob("*"))


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_what_is_kept_is_what_measure_gives(
    runs: list[Report], metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dict(runs[0].spec.data.options)
    y = load(runs[0].spec.data.name, **data).test.y
    expected = measure([r.predictions() for r in runs], y, metric, n_boot=KEPT_FROM)
    first = Resamples(KEPT_FROM)(runs, metric)
    monkeypatch.setattr(resamples, "measure", never)
    again = Resamples(KEPT_FROM)(runs, metric)
    for found in (first, again):
        assert np.array_equal(found.labels, y)
        for name in ("per_seed", "resampled", "seeds_drawn"):
            array, wanted = getattr(found, name), getattr(expected, name)
            assert array.dtype == wanted.dtype
            assert np.array_equal(array, wanted)
    assert contrast(again, expected).difference == 0


def test_other_predictions_metrics_and_seeds_are_measured_for_themselves(
    runs: list[Report], make: Make
) -> None:
    Resamples(KEPT_FROM)(runs)
    assert len(kept(runs)) == 1
    Resamples(KEPT_FROM)(runs, "log_loss")
    Resamples(KEPT_FROM)(runs[:2])
    Resamples(KEPT_FROM + 1)(runs)
    assert len(kept(runs)) == 4
    # The same runs trained anew, in the same folders, with another outcome.
    better = [make("MLP", seed, made_predictions(3.0, seed)) for seed in range(3)]
    assert [r.folder for r in better] == [r.folder for r in runs]
    found = Resamples(KEPT_FROM)(better)
    assert len(kept(runs)) == 5
    assert found.per_seed.mean() > 0.9


def test_within_one_use_nothing_is_read_twice(
    runs: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Resamples(10)
    first = held(runs)
    monkeypatch.setattr(resamples, "measure", never)
    assert held(runs) is first
    assert not kept(runs)  # so few resamples are not kept


def test_a_damaged_file_is_named(runs: list[Report]) -> None:
    Resamples(KEPT_FROM)(runs)
    (path,) = kept(runs)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtefactError, match=f"{path.name}.*Remove it and run again"):
        Resamples(KEPT_FROM)(runs)
