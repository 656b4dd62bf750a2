"""The same systems on other samples, AUC by batches, and the picture of the claims: by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_study import made_predictions, made_report, settle

from rokkit.data import load
from rokkit.errors import ConfigError, DataError
from rokkit.evaluation import auc, batched_auc
from rokkit.experiments import Report, batched_table, claims_figure, protocols_table

Make = Callable[..., Report]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    settle(tmp_path, monkeypatch)
    return lambda system, seed, **how: made_report(tmp_path / system, system, seed, **how)


def test_systems_side_by_side_for_each_way_of_making_samples(make: Make) -> None:
    own = [make("MLP", 0, auc=0.6), make("MLP", 1, auc=0.7), make("RIM", 0, auc=0.75)]
    other = [make("MLP", 0, auc=0.5), make("RIM", 0, auc=0.45)]
    frame = protocols_table({"the study's": own, "other": other}).frame
    assert frame["Samples"].tolist() == ["the study's", "other"]
    assert frame["MLP"].tolist() == pytest.approx([0.65, 0.5])
    assert frame["RIM - MLP"].tolist() == pytest.approx([0.1, -0.05])
    assert "MLP - MLP" not in frame


def test_auc_by_batches_by_hand() -> None:
    """Two batches, each ranked perfectly, though all in all they are not."""
    y = [0, 1, 0, 1]
    p = [0.1, 0.2, 0.8, 0.9]
    assert batched_auc(y, p, 2) == 1.0
    assert auc(y, p) == 0.75
    # The last batch may be short; one with a single class is left out.
    assert batched_auc([0, 1, 1, 1, 1], [0.3, 0.4, 0.1, 0.2, 0.9], 2) == 1.0
    with pytest.raises(DataError, match="no batch of 2 samples has both classes"):
        batched_auc([0, 0, 1, 1], p, 2)
    with pytest.raises(ConfigError, match="batch_size is 1"):
        batched_auc(y, p, 1)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1, width=32)), min_size=2, max_size=40))
def test_a_batch_of_all_samples_is_the_auc_itself(rows: list[tuple[int, float]]) -> None:
    y, p = map(list, zip(*rows, strict=True))
    if 0 < sum(y) < len(y):
        assert batched_auc(y, p, len(y)) == auc(y, p)


def test_batched_table_is_of_every_seed(make: Make) -> None:
    reports = [make("MLP", s, predictions=made_predictions(1.0, s)) for s in (0, 1)]
    frame = batched_table({"MLP": reports}, batch_sizes=(20,)).frame
    y = np.asarray(load("small").test.y)
    p = [made_predictions(1.0, s) for s in (0, 1)]
    assert frame["AUC"][0] == pytest.approx(np.mean([auc(y, one) for one in p]))
    assert frame["by 20"][0] == pytest.approx(np.mean([batched_auc(y, one, 20) for one in p]))


def test_each_claim_is_drawn_at_its_verdict() -> None:
    words = ["holds", "not decided", "does not hold", "not run"]
    frame = pd.DataFrame({"Claim": list("abcd"), "Verdict": words})
    (ax,) = claims_figure(frame).axes
    places = [tuple(map(float, c.get_offsets()[0])) for c in ax.collections]
    assert places == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [t.get_text() for t in ax.get_yticklabels()] == list("abcd")
