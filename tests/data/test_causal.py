"""The causal protocol: nobody sees a row that is not strictly earlier, and nobody misses one."""

from pathlib import Path

import numpy as np
import pytest
import small_study
from small_study import settle, spec

from rokkit.data import load
from rokkit.data.build import fingerprint_of, plan
from rokkit.data.causal import known_before
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
    for system in ("MLP+POOL", "MLP+STATS", "MLP+PAIRS"):
        one = spec(system, data_options=("causal=true",))
        with pytest.raises(ConfigError, match="their pool holds the targets"):
            Aid(one, Inputs(one, samples, "cpu"), [])
