"""An index with appended rows answers as one built of all its rows."""

import errno
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import brute_force, idf
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.errors import ArtefactError, ConfigError, DataError
from rokkit.retrieval import BM25Index, bm25, checks, kernel

pytestmark = pytest.mark.usefixtures("each_form")

Parts = tuple[list[np.ndarray], np.ndarray, int, list[int] | None, np.ndarray | None]


@st.composite
def parts(draw: st.DrawFn) -> Parts:
    """Rows that come in parts, each part with ids of its own ranges; many ties, padding."""
    f = draw(st.integers(1, 10))
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=5))
    n = max(1, sizes[0]) + sum(sizes[1:])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    padding = draw(st.sampled_from([0.0, 0.2, 1.0]))

    def ids(size: int, low: np.ndarray, spread: int) -> np.ndarray:
        made = low + rng.integers(0, spread, (size, f))
        made[rng.random(made.shape) < padding] = 0
        return made.astype(np.int32)

    def some(size: int) -> np.ndarray:
        # From below the ids of the first part to far above them.
        low = rng.choice([1, 5, 8, 11, 90_000], f)
        return ids(size, low, draw(st.integers(1, 4)))

    first = ids(max(1, sizes[0]), np.full(f, 7), 4)
    rows = [first, *(some(size) for size in sizes[1:])]
    whole = np.concatenate(rows)
    q = np.concatenate([whole[rng.integers(0, n, 4)], some(2)])
    q[rng.random(q.shape) < 0.2] = 8
    fields = draw(st.none() | st.lists(st.integers(0, f - 1), min_size=1, unique=True))
    before = draw(st.none() | st.just(rng.integers(-1, n + 2, len(q))))
    return rows, q, draw(st.integers(1, n)), fields, before


def grown(rows: list[np.ndarray], fields: Any = None) -> BM25Index:
    index = BM25Index.build(rows[0], fields)
    for more in rows[1:]:
        index = index.appended(more)
    return index


def assert_same(got: Any, expected: Any) -> None:
    """Bit for bit: the order of equal scores hangs on the last bit."""
    for one, other in zip(got[:2], expected[:2], strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.view(np.int32), other.view(np.int32))


@settings(max_examples=300)
@given(parts())
def test_answers_as_one_built_of_all_rows(case: Parts) -> None:
    rows, q, k, fields, before = case
    whole = np.concatenate(rows)
    index = grown(rows, fields)
    assert index.n_rows == len(whole)
    assert index.n_tail == len(whole) - len(rows[0])
    found = index.search(q, k, before)
    assert_same(found, BM25Index.build(whole, fields).search(q, k, before))
    assert_same(found, brute_force(whole, q, k, fields, before))


@settings(max_examples=100)
@given(parts())
def test_compacted_it_is_what_building_makes(case: Parts) -> None:
    rows, q, k, fields, before = case
    index, built = grown(rows, fields).compacted(), BM25Index.build(np.concatenate(rows), fields)
    assert index.n_tail == 0
    assert index._base.slots == built._base.slots
    for name, array in built._base.arrays.items():
        np.testing.assert_array_equal(index._base.arrays[name], array)
    assert_same(index.search(q, k, before), built.search(q, k, before))


def test_hand_computed() -> None:
    # Two rows, then two: N = 4. Id 1 in three rows, 2 in one, 3 and 4 in two: as in test_bm25.
    index = BM25Index.build(np.array([[1, 3], [1, 4]], np.int32))
    index = index.appended(np.array([[2, 4], [1, 3]], np.int32))
    ids, scores = index.search(np.array([[2, 3], [1, 4]], np.int32), 3)
    assert ids.tolist() == [[2, 0, 3], [1, 2, 0]]
    expected = [[idf(4, 1), idf(4, 2), idf(4, 2)], [idf(4, 3) + idf(4, 2), idf(4, 2), idf(4, 3)]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_the_index_appended_to_stays_as_it_is() -> None:
    old, new = np.array([[1], [2]], np.int32), np.array([[1], [1], [7]], np.int32)
    index = BM25Index.build(old)
    one, other = index.appended(new), index.appended(new[:1])
    q = np.array([[1], [7]], np.int32)
    assert_same(index.search(q, 2), brute_force(old, q, 2))
    assert_same(other.search(q, 2), brute_force(np.concatenate([old, new[:1]]), q, 2))
    assert_same(one.search(q, 4), brute_force(np.concatenate([old, new]), q, 4))
    assert (index.n_rows, index.n_tail, one.n_rows, one.n_tail) == (2, 0, 5, 3)


def test_before_reaches_across_the_border() -> None:
    index = BM25Index.build(np.full((3, 1), 1, np.int32)).appended(np.full((2, 1), 1, np.int32))
    q = np.full((6, 1), 1, np.int32)
    ids, scores = index.search(q, 5, np.array([0, 2, 3, 4, 5, 9]))
    found = [[i for i in row if i >= 0] for row in ids.tolist()]
    assert found == [[], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    # Five rows hold the id, whatever a query may see.
    np.testing.assert_allclose(scores[1, 0], idf(5, 5), rtol=1e-6)


def test_a_tie_is_the_lower_rows_and_a_better_row_of_the_tail_leads() -> None:
    index = BM25Index.build(np.array([[1, 5], [2, 5], [1, 5]], np.int32))
    index = index.appended(np.array([[1, 5], [2, 6]], np.int32))
    ids, _ = index.search(np.array([[1, 9], [2, 6]], np.int32), 2)
    assert ids.tolist() == [[0, 2], [4, 1]]


def skewed(n: int, seed: int, above: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    columns = [rng.integers(1, 500, n) ** 2 // 500, rng.integers(1, 60, n), rng.integers(1, 4, n)]
    return (np.column_stack(columns) + 1 + above * (rng.random((n, 1)) < 0.2)).astype(np.int32)


def test_answers_depend_on_neither_batch_nor_threads() -> None:
    old, new, q = skewed(4000, 0), skewed(300, 1, 700), skewed(4500, 2, 700)
    assert len(q) > 2 * bm25.CHUNK
    index = BM25Index.build(old).appended(new)
    expected = BM25Index.build(np.concatenate([old, new])).search(q, 12)
    assert_same(index.search(q, 12, threads=1), expected)
    assert_same(index.search(q, 12, threads=3), expected)
    assert_same(index.search(q[7:8], 12), (expected[0][7:8], expected[1][7:8]))


def test_the_effort_is_that_of_both_segments() -> None:
    one = np.full((500, 1), 1, np.int32)
    q = np.array([[1], [2]], np.int32)
    index = BM25Index.build(one)
    _, _, base = index.search_with_effort(q, 4)
    _, _, both = index.appended(one).search_with_effort(q, 4)
    assert both.tolist() == [2 * base[0], 0]


def test_many_appends() -> None:
    rows = [skewed(50, seed, 40 * seed) for seed in range(20)]
    index, q = grown(rows), skewed(30, 99, 300)
    assert_same(index.search(q, 9), brute_force(np.concatenate(rows), q, 9))


def test_nothing_is_compiled_for_a_tail(tmp_path: Path) -> None:
    index, q = BM25Index.build(skewed(200, 0)), skewed(5, 1)
    index.search(q, 3)
    index.save(tmp_path / "i")
    known = [len(loop.signatures) for loop in (kernel.count_and_pack, kernel.search)]  # type: ignore[attr-defined]
    for start in (index, BM25Index.open(tmp_path / "i")):
        more = start.appended(np.asfortranarray(skewed(20, 2))).appended(skewed(3, 3))
        more.search(q, 3)
        more.search(q, 3, np.arange(5))
        more.compacted().search(q, 3)
    assert known == [len(loop.signatures) for loop in (kernel.count_and_pack, kernel.search)]  # type: ignore[attr-defined]


def test_a_column_of_padding_and_one_that_begins_later() -> None:
    old = np.array([[0, 3], [0, 3]], np.int32)
    new = np.array([[0, 0], [5, 0], [5, 2]], np.int32)
    q = np.array([[5, 3], [5, 2]], np.int32)
    index = BM25Index.build(old).appended(new)
    assert_same(index.search(q, 5), brute_force(np.concatenate([old, new]), q, 5))
    assert_same(index.compacted().search(q, 5), brute_force(np.concatenate([old, new]), q, 5))


def test_appending_no_rows_is_the_same_index() -> None:
    index = BM25Index.build(skewed(10, 0))
    assert index.appended(np.empty((0, 3), np.int32)) is index
    assert index.compacted() is index


GOOD = np.array([[1, 3], [2, 4]], np.int32)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (GOOD.astype(np.int64), "x is int64; expected a numpy array of int32 ids"),
        (GOOD.tolist(), "x is list"),
        (GOOD[:, :1], r"x has shape \(2, 1\); expected \[rows, 2\]"),
        (GOOD[0], r"x has shape \(2,\)"),
        (np.empty((0, 3), np.int32), r"x has shape \(0, 3\); expected \[rows, 2\]"),
        (GOOD * np.array([1, -1], np.int32), "negative id -4 in column 1"),
        # Either part alone would do; together they leave too many ids unused.
        (np.full((1, 2), 2**31 - 1, np.int32), r"span 4294967292 values over 3 rows"),
    ],
)
def test_bad_rows(x: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        BM25Index.build(GOOD).appended(x)


def test_a_few_rows_may_span_as_much_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    # The whole has 16 spare lists per row: what two rows alone may not span, many rows may.
    monkeypatch.setattr("rokkit.retrieval.segment.SPARE_LISTS", 0)
    old, new = np.arange(1, 101, dtype=np.int32)[:, None], np.array([[1], [1000]], np.int32)
    q = np.array([[1], [1000], [999]], np.int32)
    index = BM25Index.build(old).appended(new)
    assert_same(index.search(q, 2), brute_force(np.concatenate([old, new]), q, 2))
    with pytest.raises(DataError, match="span 1000 values over 2 rows"):
        BM25Index.build(new)


def test_more_rows_than_an_index_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bm25, "MAX_ROWS", 3)
    assert checks.MAX_ROWS == 2**31 - 1
    with pytest.raises(DataError, match="x has 2 rows, which makes 4; an index takes up to 3"):
        BM25Index.build(GOOD).appended(GOOD)
    assert BM25Index.build(GOOD).appended(GOOD[:1]).n_rows == 3


def test_a_search_asks_for_as_many_as_all_rows() -> None:
    index = BM25Index.build(GOOD).appended(GOOD)
    assert index.search(GOOD, 4)[0].tolist() == [[0, 2, -1, -1], [1, 3, -1, -1]]
    with pytest.raises(ConfigError, match="k is 5; expected an integer from 1 to 4"):
        index.search(GOOD, 5)
    with pytest.raises(DataError, match=r"negative id in row 1"):
        index.search(GOOD * np.array([[1], [-1]], np.int32), 1)


def test_an_opened_index_keeps_its_maps_and_saves_whole(tmp_path: Path) -> None:
    old, new, q = skewed(300, 0), skewed(40, 1, 900), skewed(20, 2, 900)
    whole = np.concatenate([old, new])
    BM25Index.build(old, (0, 2)).save(tmp_path / "old")
    index = BM25Index.open(tmp_path / "old").appended(new)
    for name in ("starts", "postings", "rows"):
        owner = index._base.arrays[name]
        while isinstance(owner, np.ndarray):
            owner = owner.base
        assert isinstance(owner, mmap.mmap)
    index.save(tmp_path / "new")
    BM25Index.build(whole, (0, 2)).save(tmp_path / "built")
    for name in ("starts", "weights", "postings", "rows"):
        saved, built = (tmp_path / folder / f"{name}.npy" for folder in ("new", "built"))
        assert saved.read_bytes() == built.read_bytes()
    opened = BM25Index.open(tmp_path / "new")
    assert (opened.n_rows, opened.n_tail, opened.fields) == (340, 0, (0, 2))
    for one in (index, opened):
        assert_same(one.search(q, 6), brute_force(whole, q, 6, (0, 2)))
    with pytest.raises(ConfigError, match="exists"):
        index.save(tmp_path / "new")


def test_a_full_disk_leaves_nothing_of_an_index_with_a_tail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = BM25Index.build(GOOD).appended(GOOD)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ArtefactError, match="no space left"):
        index.save(tmp_path / "i")
    assert list(tmp_path.iterdir()) == []
    assert index.search(GOOD, 2)[0].tolist() == [[0, 2], [1, 3]]


def test_size_and_time_count_the_tail() -> None:
    index = BM25Index.build(skewed(200, 0))
    more = index.appended(skewed(20, 1))
    assert more.n_bytes > index.n_bytes
    assert more.build_seconds > index.build_seconds
