"""The causal protocol: nobody sees a row that is not strictly earlier, and nobody misses one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import small_study
from small_study import settle, spec

from rokkit.data import load
from rokkit.data.build import fingerprint_of, plan
from rokkit.data.causal import known_before
from rokkit.data.pair_statistics import pair_statistics
from rokkit.data.pool_statistics import pool_statistics
from rokkit.data.samples import Samples
from rokkit.errors import ConfigError
from rokkit.experiments import Runs
from rokkit.experiments.aids import Aid
from rokkit.experiments.inputs import Inputs
from rokkit.retrieval import DenseRetriever, neighbours, pool_neighbours
from rokkit.training import Feed

assert small_study  # registers the data set


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(tmp_path, monkeypatch)


def lines(*parts: object) -> np.ndarray:
    """[N, F + 2]: x, y and time of the parts' rows, sorted."""
    held = [
        np.column_stack([np.asarray(p.x), np.asarray(p.y), np.asarray(p.time)])  # type: ignore[attr-defined]
        for p in parts
    ]
    rows = np.concatenate(held)
    return rows[np.lexsort(rows.T[::-1])]


def test_the_pool_is_the_whole_log_and_train_all_before_test() -> None:
    plain, causal = load("small"), load("small", causal=True)
    assert not plain.causal
    assert causal.causal
    np.testing.assert_array_equal(
        lines(causal.pool), lines(plain.pool, plain.train, plain.val, plain.test)
    )
    np.testing.assert_array_equal(lines(causal.train), lines(plain.pool, plain.train))
    for part in ("val", "test"):
        np.testing.assert_array_equal(lines(causal.part(part)), lines(plain.part(part)))
    for part in ("pool", "train"):
        assert (np.diff(causal.part(part).time) >= 0).all()
    assert any("strictly earlier" in note for note in causal.card["notes"])


def test_earlier_samples_keep_their_fingerprint() -> None:
    """The option is left out where it is off, so that no run is trained anew."""
    held = plan("small", {})
    assert "causal" not in held.resolved
    assert fingerprint_of("small", 1, held.resolved, {}) == held.fingerprint
    assert plan("small", {"causal": False}).fingerprint == held.fingerprint
    assert plan("small", {"causal": True}).fingerprint != held.fingerprint


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_neighbours_are_strictly_earlier_and_the_best_of_those(part: str) -> None:
    """Against brute force over the rows that are earlier. Kills: later rows, the row itself."""
    samples = load("small", causal=True)
    k, columns = 4, list(samples.schema.retrieval_columns)
    pool, held = np.asarray(samples.pool.x), samples.part(part)
    found = neighbours(samples, part, k)
    n = len(pool)
    weights = []
    for column in columns:
        values, counts = np.unique(pool[:, column], return_counts=True)
        weights.append(dict(zip(values, np.log1p((n - counts + 0.5) / (counts + 0.5)))))  # noqa: B905
    for i in range(0, len(held), 7):
        q, when = np.asarray(held.x[i]), held.time[i]
        earlier = np.flatnonzero(np.asarray(samples.pool.time) < when)
        scores = sum(
            (pool[earlier, c] == q[c]) * weights[j].get(q[c], 0.0) for j, c in enumerate(columns)
        )
        ids = found.ids[i][found.ids[i] >= 0]
        assert (np.asarray(samples.pool.time)[ids] < when).all()
        assert len(ids) == min(k, int((np.asarray(scores) > 0).sum()))
        best = np.sort(np.asarray(scores))[::-1][: len(ids)]
        np.testing.assert_allclose(found.scores[i][: len(ids)], best, rtol=1e-5)


def test_a_first_row_has_no_neighbour() -> None:
    samples = load("small", causal=True)
    first = np.asarray(samples.train.time) == samples.train.time[0]
    assert (neighbours(samples, "train", 3).ids[first] == -1).all()
    time = np.array([1, 1, 2, 5])
    assert known_before(time, np.array([0, 1, 2, 3, 9])).tolist() == [0, 0, 2, 3, 4]


def test_teacher_base_and_backbone_learn_from_the_whole_past(place: Path) -> None:
    specs = [spec(s, data_options=("causal=true",)) for s in ("MLP", "RIM", "MLP+ROK")]
    reports = Runs(place, device="cpu")(specs)
    samples = load("small", causal=True)
    assert all(len(r.predictions()) == len(samples.test) for r in reports)
    inputs = Inputs(specs[1], samples, "cpu")
    assert len(inputs.feed("train", frozenset({"neighbours"}))) == len(samples.train)


def test_what_would_see_the_future_is_refused() -> None:
    samples = load("small", causal=True)
    with pytest.raises(ConfigError, match="causal and the model reads histories"):
        Feed(samples, "train", needs=frozenset({"history"}))
    with pytest.raises(ConfigError, match="no rows of the pool beside them"):
        pool_neighbours(samples, np.arange(3), 2)
    table = np.zeros((samples.schema.n_ids, 2), np.float32)
    with pytest.raises(ConfigError, match="cannot leave later rows out"):
        DenseRetriever(samples, table)
    one = spec("MLP+POOL", data_options=("causal=true",))
    with pytest.raises(ConfigError, match="all rows before test are train samples already"):
        Aid(one, Inputs(one, samples, "cpu"), [])


def seen_by(samples: Samples, part: str, row: int) -> np.ndarray:
    """[P]: which rows of the pool a target may look at, one by one."""
    return np.asarray(samples.pool.time) < samples.part(part).time[row]


@pytest.mark.parametrize("part", ["train", "test"])
def test_counts_of_the_users_rows_are_of_earlier_ones(part: str) -> None:
    """By hand. Kills: the row itself, rows of its moment, later rows, another user's or field's."""
    samples = load("small", causal=True)
    schema, pool, y = samples.schema, np.asarray(samples.pool.x), np.asarray(samples.pool.y)
    own, x = schema.user_column, np.asarray(samples.part(part).x)
    found = pair_statistics(samples, part)
    assert found.shape == (len(x), 2 * len(schema.item_columns))
    for row in range(0, len(x), 5):
        known = seen_by(samples, part, row) & (pool[:, own] == x[row, own])
        for i, column in enumerate(schema.item_columns):
            same = known & (pool[:, column] == x[row, column])
            expected = [np.log1p((y[same] == label).sum()) for label in (1, 0)]
            assert found[row, 2 * i : 2 * i + 2] == pytest.approx(expected, rel=1e-6)
    assert len(np.unique(found[:, 0])) > 2  # so that there is something to be wrong in


def test_counts_of_ids_are_of_earlier_rows_and_so_is_their_prior() -> None:
    samples = load("small", causal=True)
    pool, y = np.asarray(samples.pool.x), np.asarray(samples.pool.y)
    x = np.asarray(samples.train.x)
    found = pool_statistics(samples, "train")
    for row in range(0, len(x), 5):
        known = seen_by(samples, "train", row)
        prior = y[known].mean() if known.any() else 0.5
        for i in range(samples.schema.n_fields):
            same = known & (pool[:, i] == x[row, i])
            rate = (y[same].sum() + 10 * prior) / (same.sum() + 10)
            expected = [np.log1p(same.sum()), rate]
            assert found[row, 2 * i : 2 * i + 2] == pytest.approx(expected, rel=1e-6)


def test_labels_of_the_moment_and_after_change_no_count() -> None:
    """What a row is given stays as it is when its own label and all later ones are exchanged."""
    samples = load("small", causal=True)
    row = len(samples.train) // 2
    later = ~seen_by(samples, "train", row)
    y = np.where(later, 1 - np.asarray(samples.pool.y), samples.pool.y).astype(samples.pool.y.dtype)
    turned = dataclasses.replace(samples, pool=dataclasses.replace(samples.pool, y=y))
    for made in (pair_statistics, pool_statistics):
        held, found = made(samples, "train"), made(turned, "train")
        np.testing.assert_array_equal(found[row], held[row])
        assert (found[-1] != held[-1]).any()


@pytest.mark.parametrize("system", ["MLP+STATS", "MLP+PAIRS"])
def test_counts_are_learnt_from_the_whole_past_too(place: Path, system: str) -> None:
    (report,) = Runs(place, device="cpu")([spec(system, data_options=("causal=true",))])
    assert len(report.predictions()) == len(load("small", causal=True).test)
