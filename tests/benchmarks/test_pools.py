"""The made pools of the retrieval benchmark: sizes, skew, functions, order."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from search import hard_shapes, tmall_like
from search.pools import Pool

ROWS, QUERIES = 40_000, 4000
USER, ITEM, CATEGORY, SELLER, BRAND, AGE, GENDER, ACTION, DAY = range(9)
Ids = NDArray[np.int32]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ids, Ids]:
    """(pool, queries)."""
    paths = tmall_like.make(ROWS, QUERIES, 0, tmp_path_factory.mktemp("pool"))
    return np.load(paths[0]), np.load(paths[1])


def sizes_of(rows: int) -> tuple[int, ...]:
    return tmall_like.make_world(rows, np.random.default_rng(0)).sizes


def test_the_whole_of_tmall_has_its_number_of_ids() -> None:
    # 55,000,000 / 129 users and / 50 items, and the six fields of fixed size.
    assert sizes_of(55_000_000) == (426_356, 1_100_000, 1658, 4995, 8444, 9, 3, 4, 184)
    assert sum(sizes_of(55_000_000)) == 1_541_653


def test_a_small_pool_has_fewer_kinds_than_items() -> None:
    assert sizes_of(40_000) == (310, 800, 200, 200, 200, 9, 3, 4, 184)


def test_every_field_has_ids_of_its_own(made: tuple[Ids, Ids]) -> None:
    pool, q = made
    ends = np.cumsum(sizes_of(ROWS))
    assert pool.dtype == q.dtype == np.int32
    assert (pool.shape, q.shape) == ((ROWS, 9), (QUERIES, 9))
    for column, (low, high) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        assert low < pool[:, column].min() <= pool[:, column].max() <= high


@pytest.mark.parametrize(
    ("of", "column"),
    [(ITEM, CATEGORY), (ITEM, SELLER), (ITEM, BRAND), (USER, AGE), (USER, GENDER)],
)
def test_what_belongs_to_an_item_or_a_user_never_changes(
    made: tuple[Ids, Ids], of: int, column: int
) -> None:
    pool = made[0]
    assert len(np.unique(pool[:, [of, column]], axis=0)) == len(np.unique(pool[:, of]))


def test_rows_are_in_the_order_of_days(made: tuple[Ids, Ids]) -> None:
    days = made[0][:, DAY]
    assert (np.diff(days) >= 0).all()
    assert len(np.unique(days)) == 184


@pytest.mark.parametrize(("column", "share"), [(USER, 0.3), (ITEM, 0.4)])
def test_a_tenth_of_users_and_items_have_far_more_than_their_share(
    made: tuple[Ids, Ids], column: int, share: float
) -> None:
    counts = np.sort(np.bincount(made[0][:, column]))[::-1]
    tenth = sizes_of(ROWS)[column] // 10
    assert share < counts[:tenth].sum() / ROWS < 0.8


def test_most_of_what_a_user_does_falls_in_few_categories(made: tuple[Ids, Ids]) -> None:
    pool = made[0]
    user = np.bincount(pool[:, USER]).argmax()
    counts = np.sort(np.bincount(pool[pool[:, USER] == user, CATEGORY]))[::-1]
    assert counts[: tmall_like.FAVOURITES].sum() > 0.6 * counts.sum()


def test_queries_are_of_the_last_days_and_some_ids_are_unknown(made: tuple[Ids, Ids]) -> None:
    pool, q = made
    assert q[:, DAY].min() > pool[:, DAY].max() - tmall_like.LAST_DAYS
    unknown = q.max()
    assert unknown > pool.max()
    assert (q[:, USER] == unknown).mean() == pytest.approx(0.03, abs=0.01)
    assert (q[:, ITEM] == unknown).mean() == pytest.approx(0.02, abs=0.01)
    assert (q[:, CATEGORY:] < unknown).all()


def test_half_of_the_items_asked_for_are_drawn_evenly(made: tuple[Ids, Ids]) -> None:
    pool, q = made
    popular = np.argsort(np.bincount(pool[:, ITEM]))[::-1][: sizes_of(ROWS)[ITEM] // 10]
    drawn = np.isin(pool[:, ITEM], popular).mean()  # as the other half is
    assert np.isin(q[:, ITEM], popular).mean() == pytest.approx((drawn + 0.1) / 2, abs=0.04)


def test_the_same_seed_makes_the_same_files(made: tuple[Ids, Ids], tmp_path: Path) -> None:
    pool, q = Pool("tmall-like", ROWS, "rim5").make(QUERIES, 0, tmp_path)
    np.testing.assert_array_equal(np.load(pool), made[0])
    np.testing.assert_array_equal(np.load(q), made[1])
    other, _ = tmall_like.make(ROWS, QUERIES, 1, tmp_path)
    assert not np.array_equal(np.load(other), made[0])


def test_a_power_law_halves_as_its_skew_says() -> None:
    # With skew 1/2 the first quarter of the values has half of the draws.
    drawn = tmall_like.power_law(np.random.default_rng(0), 20_000, 8, 0.5)
    assert set(drawn) == set(range(8))
    assert (drawn < 2).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("shape", hard_shapes.SHAPES)
def test_hard_shapes_share_no_id_between_fields(shape: str, tmp_path: Path) -> None:
    pool, q = (np.load(path) for path in Pool(shape, 3000, "five").make(50, 0, tmp_path))
    assert (pool.shape, q.shape, pool.dtype) == ((3000, 5), (50, 5), np.int32)
    values = [set(pool[:, column].tolist()) for column in range(5)]
    assert sum(map(len, values)) == len(set.union(*values))
    assert pool.min() > 0


def test_hard_shapes_are_what_they_are_called() -> None:
    drawn = {n: draw(3000, np.random.default_rng(0)) for n, draw in hard_shapes.SHAPES.items()}
    assert len(np.unique(drawn["uniform-20"][:, 0])) == 20
    assert 900 < len(np.unique(drawn["uniform-1000"][:, 4])) <= 1000
    assert len(np.unique(drawn["one-value-everywhere"][:, 0])) == 1
    assert len(np.unique(drawn["one-value-everywhere"][:, 1])) > 900
    assert len(np.unique(drawn["all-rows-equal"], axis=0)) == 1
    half = (drawn["one-user-owns-half"][:, 0] == 1).mean()
    assert half == pytest.approx(0.5, abs=0.04)


def test_a_pool_is_named_and_knows_its_width() -> None:
    assert Pool("tmall-like", 1_000_000, "all9").name == "tmall-like, 1,000,000 rows, all9"
    assert [Pool("tmall-like", 9, f).width for f in ("rim5", "all9")] == [5, 9]
    assert Pool("uniform-20", 9, "five").width == 5
