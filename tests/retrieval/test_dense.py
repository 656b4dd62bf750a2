"""The dense index answers as its definition does, on every input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.errors import ConfigError, DataError
from rokkit.retrieval import dense
from rokkit.retrieval.dense import DenseIndex

IdMatrix = np.ndarray
Case = tuple[IdMatrix, np.ndarray, IdMatrix, int, list[int] | None]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """(x, table, q, k, fields): few ids and few distinct vectors, so that ties are everywhere."""
    f, n, b = draw(st.integers(1, 4)), draw(st.integers(1, 40)), draw(st.integers(0, 6))
    ids, d = draw(st.integers(2, 8)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        table = rng.integers(-2, 3, (ids, d)).astype(np.float32)
    else:
        table = rng.normal(size=(ids, d)).astype(np.float32)
    table[0] = 0
    x = rng.integers(0, ids, (n, f)).astype(np.int32)
    q = rng.integers(0, ids, (b, f)).astype(np.int32)
    fields = draw(st.none() | st.lists(st.integers(0, f - 1), min_size=1, unique=True))
    return x, table, q, draw(st.integers(1, n)), fields


def vector(table: np.ndarray, row: np.ndarray) -> list[float]:
    found = [float(value) for one in row for value in table[one]]
    length = math.sqrt(math.fsum(value * value for value in found))
    return [float(np.float32(value / length)) if length else 0.0 for value in found]


def brute_force(case: Case) -> tuple[IdMatrix, np.ndarray]:
    """Every row scored, all of them sorted."""
    x, table, q, k, fields = case
    columns = sorted(fields) if fields is not None else list(range(x.shape[1]))
    pool = [vector(table, row) for row in x[:, columns]]
    ids = np.full((len(q), k), -1, np.int32)
    scores = np.zeros((len(q), k), np.float32)
    for b, asked in enumerate(vector(table, row) for row in q[:, columns]):
        found = [
            (-float(np.float32(math.fsum(u * w for u, w in zip(asked, v, strict=True)))), row)
            for row, v in enumerate(pool)
            if any(v) and any(asked)
        ]
        for place, (negative, row) in enumerate(sorted(found)[:k]):
            ids[b, place], scores[b, place] = row, -negative
    return ids, scores


def same(got: tuple[IdMatrix, np.ndarray], expected: tuple[IdMatrix, np.ndarray]) -> None:
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])
    assert (got[0].dtype, got[1].dtype) == (np.int32, np.float32)


@settings(max_examples=300)
@given(cases())
def test_equals_brute_force_bit_for_bit_ties_by_lower_row(case: Case) -> None:
    x, table, q, k, fields = case
    same(DenseIndex.build(x, table, fields).search(q, k), brute_force(case))


@settings(max_examples=60)
@given(cases(), st.integers(1, 5), st.integers(1, 5), st.integers(1, 7))
def test_the_answer_does_not_depend_on_how_much_is_compared_at_once(
    case: Case, queries: int, vectors: int, pairs: int
) -> None:
    x, table, q, k, fields = case
    index = DenseIndex.build(x, table, fields)
    expected = index.search(q, k)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("QUERIES", queries), ("VECTORS", vectors), ("PAIRS", pairs)):
            patch.setattr(dense, name, size)
        same(index.search(q, k), expected)


@settings(max_examples=60)
@given(cases())
def test_a_search_among_all_distinct_rows_is_the_search(case: Case) -> None:
    x, table, q, _, fields = case
    index = DenseIndex.build(x, table, fields)
    k = len(x)  # so that as many are asked for as there are

    def everything(vectors: np.ndarray, n: int) -> np.ndarray:
        return np.tile(np.arange(n), (len(vectors), 1))

    same(index.search_among(q, k, everything), index.search(q, k))
    none = index.search_among(q, k, lambda vectors, n: np.full((len(vectors), n), -1))
    assert (none[0] == -1).all()
    assert not none[1].any()


def test_a_case_by_hand() -> None:
    # Vectors of ids 1 to 4: 3 ahead, 4 up, both, and 3 back. Lengths must not count.
    table = np.array([[0, 0], [3, 0], [0, 4], [5, 5], [-1, 0]], np.float32)
    x = np.array([[4], [2], [3], [1], [2], [0]], np.int32)
    ids, scores = DenseIndex.build(x, table).search(np.array([[1], [2], [0]], np.int32), 4)
    half = np.float32(math.sqrt(0.5))
    assert ids.tolist() == [[3, 2, 1, 4], [1, 4, 2, 0], [-1, -1, -1, -1]]
    np.testing.assert_array_equal(scores, np.float32([[1, half, 0, 0], [1, 1, half, 0], [0] * 4]))


def test_fewer_than_k_where_the_rest_of_the_pool_is_padding() -> None:
    table = np.array([[0.0], [1.0]], np.float32)
    x = np.array([[0], [1], [0]], np.int32)
    ids, scores = DenseIndex.build(x, table).search(np.array([[1]], np.int32), 3)
    assert (ids.tolist(), scores.tolist()) == ([[1, -1, -1]], [[1, 0, 0]])


def test_copies_of_one_row_are_neighbours_of_their_own() -> None:
    # Their labels differ: they are the information (protocol of DERT).
    table = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    x = np.array([[1, 5], [2, 6], [1, 7], [1, 5], [1, 5]], np.int32)
    index = DenseIndex.build(x, table, (0,))
    assert (index.n_rows, index.n_distinct, index.dim) == (5, 2, 4)
    ids, scores = index.search(np.array([[1, 8]], np.int32), 5)
    assert ids.tolist() == [[0, 2, 3, 4, 1]]
    assert len(set(scores[0, :4].tolist())) == 1


def test_scores_that_float32_products_cannot_tell_apart_are_told_apart() -> None:
    # Cosines of nearly equal vectors differ in their last bit; a sum in float32 gets some wrong.
    rng = np.random.default_rng(1)
    table = (1 + 3e-4 * rng.normal(size=(4000, 32))).astype(np.float32)
    x = np.arange(4000, dtype=np.int32)[:, None]
    case = (x, table, x[:3], 7, None)
    same(DenseIndex.build(x, table).search(x[:3], 7), brute_force(case))
    v = DenseIndex.build(x, table).vectors(x)
    rough = np.argsort(-(v[:3] @ v.T), axis=1, kind="stable")[:, :7]
    assert (rough != brute_force(case)[0]).any()  # so that the case is one


def test_progress_ends_at_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "VECTORS", 3)
    table = np.eye(9, dtype=np.float32)
    x = np.arange(1, 9, dtype=np.int32)[:, None]
    seen: list[tuple[int, int]] = []
    DenseIndex.build(x, table).search(x, 2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 8), (6, 8), (8, 8)]


TABLE = np.eye(4, dtype=np.float32)
IDS = np.array([[1, 2], [3, 0]], np.int32)


@pytest.mark.parametrize(
    ("x", "table", "fields", "error", "message"),
    [
        (IDS.astype(np.int64), TABLE, None, DataError, r"x is int64 \(2, 2\); expected int32"),
        (IDS[0], TABLE, None, DataError, r"x is int32 \(2,\)"),
        (IDS[:0], TABLE, None, DataError, "x has 0 rows"),
        (IDS, TABLE[:3], None, DataError, "ids from 0 to 3; the table has 0 to 2"),
        (-IDS, TABLE, None, DataError, "ids from -3 to 0"),
        (IDS, TABLE.astype(np.float64), None, DataError, r"table is float64 \(4, 4\)"),
        (IDS, TABLE * np.nan, None, DataError, "not finite"),
        (IDS, TABLE, (2,), ConfigError, r"fields is \(2,\); expected column numbers from 0 to 1"),
        (IDS, TABLE, (0, 0), ConfigError, "distinct columns"),
        (IDS, TABLE, (), ConfigError, "at least one"),
    ],
)
def test_what_cannot_be_indexed_is_refused(
    x: np.ndarray, table: np.ndarray, fields: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DenseIndex.build(x, table, fields)  # type: ignore[arg-type]


def test_what_cannot_be_asked_is_refused() -> None:
    index = DenseIndex.build(IDS, TABLE)
    for q, k, error, message in (
        (IDS[:, :1], 1, DataError, r"q is int32 \(2, 1\); expected int32 \[rows, 2\]"),
        (IDS + 2, 1, DataError, "ids from 2 to 5"),
        (IDS, 3, ConfigError, "k is 3; expected an integer from 1 to 2"),
        (IDS, 0, ConfigError, "k is 0"),
    ):
        with pytest.raises(error, match=message):
            index.search(q, k)
