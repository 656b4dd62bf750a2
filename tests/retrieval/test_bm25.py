"""The index answers as its definition does, on every input."""

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from brute_force import brute_force, exact_odds
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.errors import ConfigError, DataError
from rokkit.retrieval import BM25Index, bm25, kernel, loops, ragged
from rokkit.retrieval.loops import Loops

pytestmark = pytest.mark.usefixtures("each_form")

Case = tuple[np.ndarray, np.ndarray, int, list[int] | None, np.ndarray | None]


@st.composite
def cases(draw: st.DrawFn, max_fields: int = 12, max_rows: int = 40) -> Case:
    """A small pool full of ties: few values, repeated rows, padding, unseen ids in queries."""
    f = draw(st.integers(1, max_fields))
    n = draw(st.integers(1, max_rows))
    b = draw(st.integers(0, 8))
    values = draw(st.lists(st.integers(1, 6), min_size=f, max_size=f))  # per field; 1: a constant
    gaps = draw(st.lists(st.sampled_from([1, 3, 70_000]), min_size=f, max_size=f))
    padding = draw(st.sampled_from([0.0, 0.2]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def ids(size: int, extra: int) -> np.ndarray:
        # Global ids: a field begins above the last id that a query of the field before can hold.
        begins = np.cumsum([0, *((v + 2) * g for v, g in zip(values, gaps, strict=True))])[:-1]
        codes = np.column_stack([1 + rng.integers(0, v + extra, size) for v in values])
        made = begins + codes * gaps
        made[rng.random(made.shape) < padding] = 0
        return made.astype(np.int32)

    x = ids(n, 0)
    if draw(st.booleans()):
        x = x[rng.integers(0, n, n)]  # repeated rows
    q = ids(b, 1)
    k = draw(st.integers(1, n))
    fields = draw(st.none() | st.lists(st.integers(0, f - 1), min_size=1, unique=True))
    before = draw(st.none() | st.just(rng.integers(-1, n + 2, b)))
    return x, q, k, fields, before


def assert_same(
    got: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]
) -> None:
    np.testing.assert_array_equal(got[0], expected[0])
    # Bit for bit: the order of equal scores hangs on the last bit.
    np.testing.assert_array_equal(got[1].view(np.int32), expected[1].view(np.int32))
    assert got[0].dtype == np.int32
    assert got[1].dtype == np.float32


@settings(max_examples=300)
@given(cases())
def test_equals_brute_force(case: Case) -> None:
    x, q, k, fields, before = case
    index = BM25Index.build(x, fields)
    assert_same(index.search(q, k, before), brute_force(x, q, k, fields, before))


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    f=st.sampled_from([1, 2, 5, 9, 40]),
    spread=st.sampled_from([3, 40, 3000]),
    k=st.integers(1, 40),
)
def test_equals_brute_force_on_lists_of_many_blocks(seed: int, f: int, spread: int, k: int) -> None:
    # Hints decide only where lists are longer than a block and k rows are held. 40 fields are more
    # than a hint has bits; 3,000 values in 8 bits or fewer are told alike by many a hint.
    rng = np.random.default_rng(seed)
    n = 1500
    sizes = rng.integers(1, spread + 1, f)
    begins = np.cumsum([0, *(sizes + 2)])[:-1]
    skewed = rng.random((n + 20, f)) ** 3
    made = (begins + 1 + (skewed * sizes).astype(np.int64)).astype(np.int32)
    made[rng.random(made.shape) < 0.05] = 0
    x, q = made[:n], made[n:]
    before = rng.integers(0, n + 1, len(q))
    index = BM25Index.build(x)
    assert_same(index.search(q, k), brute_force(x, q, k))
    assert_same(index.search(q, k, before), brute_force(x, q, k, None, before))


@settings(max_examples=60)
@given(cases())
def test_order_agrees_with_exact_arithmetic(case: Case) -> None:
    # Kills a weight that is not monotone or a rounding that inverts two scores.
    x, q, _, _, _ = case
    ids, scores = BM25Index.build(x).search(q, len(x))
    held = [Counter(column.tolist()) for column in x.T]
    for b, query in enumerate(q):
        odds = []
        for row in ids[b][ids[b] >= 0]:
            equal = [c for c in range(x.shape[1]) if query[c] == x[row, c] != 0]
            odds.append(
                math.prod((exact_odds(len(x), held[c][query[c]]) for c in equal), start=Fraction(1))
            )
        for place in range(len(odds) - 1):
            if scores[b, place] > scores[b, place + 1]:
                assert odds[place] > odds[place + 1]
            if odds[place] == odds[place + 1]:
                assert ids[b, place] < ids[b, place + 1]


def test_hand_computed() -> None:
    # N = 4; ids 1 and 2 in field 0 (n = 3, 1), ids 3 and 4 in field 1 (n = 2, 2).
    # ln(1 + (4 - n + .5) / (n + .5)) = ln(5 / (n + .5)): n=1 ln 10/3, n=2 ln 2, n=3 ln 10/7.
    x = np.array([[1, 3], [1, 4], [2, 4], [1, 3]], np.int32)
    ids, scores = BM25Index.build(x).search(np.array([[2, 3], [1, 4], [0, 9]], np.int32), 3)
    # Query (2, 3): row 2 by field 0; rows 0 and 3 tie by field 1, the lower first.
    # Query (1, 4): row 1 by both, then row 2 by field 1 (ln 2 > ln 10/7), then row 0 before row 3.
    # Query (padding, unseen): no hit.
    assert ids.tolist() == [[2, 0, 3], [1, 2, 0], [-1, -1, -1]]
    expected = [
        [math.log(10 / 3), math.log(2), math.log(2)],
        [math.log(10 / 7) + math.log(2), math.log(2), math.log(10 / 7)],
        [0, 0, 0],
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_sums_equal_on_paper_tie_by_row() -> None:
    # (2 + .5)(4 + .5) = (1 + .5)(7 + .5), so two fields held by 2 and 4 rows score what two fields
    # held by 1 and 7 rows do; at N = 12 the float64 sum of the second pair is the larger, in its
    # last bit. Kills a comparison before the cast.
    x = np.zeros((12, 4), np.int32)
    x[[0, 1], 0] = 1
    x[[0, 2, 3, 4], 1] = 2
    x[11, 2] = 3
    x[5:, 3] = 4
    weight = {n: float(np.log1p((12 - n + 0.5) / (n + 0.5))) for n in (1, 2, 4, 7)}
    assert weight[1] + weight[7] > weight[2] + weight[4]
    ids, scores = BM25Index.build(x).search(np.array([[1, 2, 3, 4]], np.int32), 3)
    assert ids[0].tolist() == [0, 11, 1]
    assert scores[0, 0] == scores[0, 1] > scores[0, 2]


def test_lower_row_of_a_later_list_wins_a_tie() -> None:
    # Rows 3 (field 0) and 1 (field 1) tie, and the list that holds row 1 is walked second.
    # Kills an early stop on equal scores that forgets the row numbers.
    x = np.array([[9, 8], [9, 2], [9, 8], [1, 8]], np.int32)
    ids, scores = BM25Index.build(x).search(np.array([[1, 2]], np.int32), 1)
    assert ids.tolist() == [[1]]
    assert_same((ids, scores), brute_force(x, np.array([[1, 2]], np.int32), 1))


def test_value_of_every_row_still_scores() -> None:
    x = np.full((50, 1), 7, np.int32)
    ids, scores = BM25Index.build(x).search(np.array([[7]], np.int32), 50)
    assert ids[0].tolist() == list(range(50))
    np.testing.assert_allclose(scores, math.log(1 + 0.5 / 50.5), rtol=1e-6)
    assert (scores > 0).all()


@pytest.mark.parametrize("k", [1, 2, 10, 63, 1000, 3000])
def test_many_neighbours(k: int) -> None:
    rng = np.random.default_rng(3)
    x = (rng.integers(1, 9, (3000, 3)) + np.array([0, 10, 20])).astype(np.int32)
    q = x[rng.integers(0, 3000, 4)]
    assert_same(BM25Index.build(x).search(q, k), brute_force(x, q, k))


def test_more_fields_than_the_table_and_wide_ids() -> None:
    # 40 fields of 20 bits do not fit into 128 bits, nor their 2^40 masks into a table.
    rng = np.random.default_rng(5)
    x = (rng.integers(0, 3, (60, 40)) * 400_000 + 1 + np.arange(40)).astype(np.int32)
    index = BM25Index.build(x)
    assert x.shape[1] > kernel.TABLE_FIELDS
    q = x[::7].copy()
    q[:, ::3] = 1
    assert_same(index.search(q, 15), brute_force(x, q, 15))


@settings(max_examples=40)
@given(cases(max_fields=12), st.integers(0, 12))
def test_table_equals_sum_per_row(case: Case, table_fields: int) -> None:
    # The two ways to a score must add in the same order.
    x, _, _, _, _ = case
    n_live = x.shape[1]
    rng = np.random.default_rng(table_fields)
    weight = np.log1p(1 / rng.integers(1, 50, n_live))
    single = np.empty(1 << n_live, np.float32)
    table = np.empty(1 << n_live, np.int64)
    sums = np.empty(1 << n_live, np.float64)
    kernel._tabulate(table, sums, n_live, weight, single, single.view(np.int32))
    for mask in rng.integers(0, 1 << n_live, 20):
        assert table[mask] == kernel._key(mask, n_live, weight, single, single.view(np.int32))


def log_of_zipf(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A pool and queries of four fields whose values are drawn by Zipf-like laws."""
    rng = np.random.default_rng(seed)

    def draw(size: int, values: int) -> np.ndarray:
        mass = np.cumsum(np.arange(1, values + 1) ** -0.9)
        return np.searchsorted(mass / mass[-1], rng.random(size))

    def rows(size: int) -> np.ndarray:
        user, item = draw(size, n // 50), draw(size, n // 20)
        kind = item % 97
        columns = [user, item + 10**6, kind + 2 * 10**6, kind % 7 + 3 * 10**6]
        return (np.column_stack(columns) + 1).astype(np.int32)

    return rows(n), rows(5000)


def test_answers_depend_on_neither_batch_nor_threads() -> None:
    x, q = log_of_zipf(5000, 1)
    index = BM25Index.build(x)
    assert len(q) > 2 * bm25.CHUNK
    whole = index.search(q, 7, threads=1)
    assert_same(index.search(q, 7, threads=3), whole)
    assert_same(index.search(q, 7), whole)
    pieces = [index.search(q[i : i + 617], 7) for i in range(0, len(q), 617)]
    assert_same(
        (np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])), whole
    )
    single = index.search(q[41:42], 7)
    assert_same(single, (whole[0][41:42], whole[1][41:42]))


def test_touches_few_rows_of_a_skewed_log() -> None:
    # Kills a lost early stop, which changes no answer.
    x, q = log_of_zipf(100_000, 2)
    index = BM25Index.build(x)
    ids, scores, touched = index.search_with_effort(q[:500], 10)
    assert_same((ids, scores), index.search(q[:500], 10))
    postings = np.zeros(500, np.int64)
    for column in range(4):
        values, counts = np.unique(x[:, column], return_counts=True)
        at = np.searchsorted(values, q[:500, column]).clip(max=len(values) - 1)
        postings += np.where(values[at] == q[:500, column], counts[at], 0)
    assert postings.mean() > 10_000
    assert np.median(touched) < 500
    assert touched.mean() < postings.mean() / 20
    assert (touched <= postings).all()


def test_equal_rows_end_a_list_after_k(each_form: Loops) -> None:
    # All of a value's rows tie, so the first k of them decide.
    x = np.full((10_000, 1), 5, np.int32)
    _, _, touched = BM25Index.build(x).search_with_effort(np.array([[5]], np.int32), 10)
    assert touched.tolist() == [10 if each_form is kernel else ragged.BLOCK]


def test_before_is_a_bound_and_keeps_the_weights() -> None:
    x = np.array([[1], [1], [2], [1]], np.int32)
    index = BM25Index.build(x)
    q = np.full((5, 1), 1, np.int32)
    ids, scores = index.search(q, 2, np.array([0, 1, 2, 4, 99]))
    assert ids.tolist() == [[-1, -1], [0, -1], [0, 1], [0, 1], [0, 1]]
    # n = 3 of N = 4, counted over the whole pool whatever the bound.
    np.testing.assert_allclose(scores[1, 0], math.log(5 / 3.5), rtol=1e-6)


def test_order_of_fields_does_not_matter() -> None:
    x, q = log_of_zipf(2000, 4)
    one, other = BM25Index.build(x, (0, 1, 3)), BM25Index.build(x, [3, 0, 1])
    assert one.fields == other.fields == (0, 1, 3)
    assert_same(one.search(q[:50], 5), other.search(q[:50], 5))


def test_inputs_are_left_alone_and_any_layout_is_read() -> None:
    x, q = log_of_zipf(2000, 4)
    q = q[:60]
    expected = BM25Index.build(x).search(q, 5)
    column_major, every_other = np.asfortranarray(x), np.repeat(q, 2, axis=0)[::2]
    column_major.flags.writeable = False
    assert_same(BM25Index.build(column_major).search(every_other, 5), expected)
    assert x.flags.writeable
    assert q.flags.writeable


def test_no_queries() -> None:
    ids, scores = BM25Index.build(np.ones((3, 2), np.int32)).search(np.empty((0, 2), np.int32), 2)
    assert ids.shape == scores.shape == (0, 2)


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_counts_to_the_total(threads: int) -> None:
    x, q = log_of_zipf(2000, 4)
    seen: list[tuple[int, int]] = []
    BM25Index.build(x).search(
        q, 3, threads=threads, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(2048, 5000), (4096, 5000), (5000, 5000)]


GOOD = np.array([[1, 3], [2, 4]], np.int32)


@pytest.mark.parametrize(
    ("x", "fields", "error", "message"),
    [
        (GOOD.astype(np.int64), None, DataError, r"x is int64; expected a numpy array of int32"),
        (GOOD.tolist(), None, DataError, r"x is list; expected a numpy array"),
        (GOOD[0], None, DataError, r"x has shape \(2,\); expected \[rows, F\]"),
        (GOOD[:0], None, DataError, r"x has 0 rows"),
        (-GOOD, None, DataError, r"negative id -2 in column 0"),
        (GOOD, [0, 2], ConfigError, r"fields is \[0, 2\]; expected column numbers from 0 to 1"),
        (GOOD, [-1], ConfigError, r"column numbers from 0 to 1"),
        (GOOD, ["user"], ConfigError, r"column numbers from 0 to 1"),
        (GOOD, [0, 0], ConfigError, r"distinct columns"),
        (GOOD, [], ConfigError, r"number of fields is 0"),
        (
            np.ones((2, 63), np.int32),
            None,
            ConfigError,
            r"number of fields is 63; expected 1 to 62",
        ),
        (np.array([[1], [2**31 - 1]], np.int32), None, DataError, r"span 2147483647 values"),
    ],
)
def test_bad_pool(x: Any, fields: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BM25Index.build(x, fields)


@pytest.mark.parametrize(
    ("q", "k", "before", "error", "message"),
    [
        (GOOD, 3, None, ConfigError, r"k is 3; expected an integer from 1 to 2"),
        (GOOD, 0, None, ConfigError, r"k is 0"),
        (GOOD, 1.0, None, ConfigError, r"k is 1\.0; expected an integer"),
        (GOOD, True, None, ConfigError, r"k is True"),
        (GOOD.astype(np.int64), 1, None, DataError, r"q is int64; expected a numpy array of int32"),
        (GOOD[:, :1], 1, None, DataError, r"q has shape \(2, 1\); expected \[rows, 2\]"),
        (
            np.array([[1, 3], [1, -4]], np.int32),
            1,
            None,
            DataError,
            r"negative id in row 1: \[1, -4",
        ),
        (GOOD, 1, np.array([1]), DataError, r"before has shape \(1,\); expected \(2,\)"),
        (GOOD, 1, np.array([1.0, 2.0]), DataError, r"before is float64"),
        (GOOD, 1, [1, 2], DataError, r"before is list"),
    ],
)
def test_bad_query(q: Any, k: Any, before: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BM25Index.build(GOOD).search(q, k, before)


def test_bad_threads() -> None:
    with pytest.raises(ConfigError, match="threads is 0"):
        BM25Index.build(GOOD).search(GOOD, 1, threads=0)


def test_hints_tell_the_other_fields() -> None:
    # Codes are 1 and 2 in columns 0 and 1 (2 bits each), 1 to 3 in column 2 (2 bits): all fit, in
    # the order of their widths, columns of equal width ascending.
    x = np.array([[1, 3, 5], [2, 4, 6], [2, 3, 7], [1, 0, 7]], np.int32)
    segment = BM25Index.build(x)._base
    # Lists: column 0: 1 (rows 0, 3), 2 (1, 2); column 1: 3 (0, 2), 4 (1); column 2: 5, 6, 7 (2, 3).
    assert segment.postings.tolist() == [0, 3, 1, 2, 0, 2, 1, 0, 1, 2, 3]
    of_0 = [1 | 1 << 2, 0 | 3 << 2, 2 | 2 << 2, 1 | 3 << 2]  # codes of columns 1 and 2
    of_1 = [1 | 1 << 2, 2 | 3 << 2, 2 | 2 << 2]  # of 0 and 2
    of_2 = [1 | 1 << 2, 2 | 2 << 2, 2 | 1 << 2, 1 | 0 << 2]  # of 0 and 1
    assert segment.hints.tolist() == of_0 + of_1 + of_2


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), f=st.integers(1, 40), bits=st.integers(1, 16))
def test_both_forms_make_the_same_index(seed: int, f: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, rng.integers(1, 2**bits + 1, f) + 1, (50, f)).astype(np.int32)
    x += np.where(x > 0, np.arange(f) * 2 ** (bits + 1), 0).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "chosen", lambda: kernel)
        one = BM25Index.build(x)._base
        patch.setattr(loops, "chosen", lambda: ragged)
        other = BM25Index.build(x)._base
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)
