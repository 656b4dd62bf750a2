"""A made pool with the sizes and the skew of the Tmall log, at any number of rows.

N rows in the order of time have N/129 users and N/50 items, 1,658 categories, 4,995 sellers and
8,444 brands (fewer where there are few items), 9 ages, 3 genders, 4 actions and 184 days; at
N = 55,000,000 these are 1,541,653 ids (the paper counts 1,529,676 features of Tmall). Users and
items are drawn by power laws; category, seller and brand are functions of the item, age and gender
of the user; most of what a user does falls in a few favourite categories.

Half of the queries are drawn like the last rows of the pool; the other half join such a user with
an item drawn evenly, as sampled negatives do. 3 % of their users and 2 % of their items are unknown
to the pool.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rokkit.files import collect_array

Ids = NDArray[np.int32]
Codes = NDArray[np.int64]

FIELDS = ("user", "item", "category", "seller", "brand", "age", "gender", "action", "day")
# RIM searches the first five; the others have few values and so the longest lists.
FIELD_SETS = {"rim5": 5, "all9": 9}
DAYS, LAST_DAYS = 184, 11
FAVOURITES, FAITHFUL = 4, 0.7  # categories a user prefers, and the share of rows that fall there
ACTIONS = np.cumsum([0.88, 0.01, 0.05, 0.06])  # click, cart, purchase, favourite
USER_SKEW, ITEM_SKEW, KIND_SKEW, FAVOURITE_SKEW = 0.5, 0.75, 0.4, 0.1
AGE_SKEW, GENDER_SKEW = 0.4, 0.6
SLICE = 1 << 20  # rows made at once


@dataclass(frozen=True)
class World:
    """The users, the items and what belongs to them, in codes from 0."""

    sizes: tuple[int, ...]  # values of each field
    of_item: Codes  # [items, 3]: category, seller and brand
    of_user: Codes  # [users, 2]: age and gender
    favourites: Codes  # [users, FAVOURITES]
    by_category: Codes  # items, category by category, popular ones first
    starts: Codes  # [categories + 1]: where each begins there

    @property
    def offsets(self) -> Codes:
        """The id of each field's code 0; id 0 is padding."""
        return 1 + np.concatenate([[0], np.cumsum(self.sizes[:-1])])

    @property
    def unknown(self) -> int:
        """An id that the pool does not hold."""
        return 1 + sum(self.sizes)


def make(rows: int, queries: int, seed: int, folder: Path) -> tuple[Path, Path]:
    """Write `pool.npy` int32 [rows, 9] and `queries.npy` [queries, 9] into `folder`."""
    rng = np.random.default_rng(seed)
    world = make_world(rows, rng)
    width = len(FIELDS)
    pool, asked = folder / "pool.npy", folder / "queries.npy"
    collect_array(pool, (rows, width), np.int32, _pool_slices(world, rows, rng))
    collect_array(asked, (queries, width), np.int32, iter([draw_queries(world, queries, rng)]))
    return pool, asked


def make_world(rows: int, rng: np.random.Generator) -> World:
    """Users, items and kinds for a pool of `rows`."""
    users, items = max(2, rows // 129), max(8, rows // 50)
    kinds = [max(2, min(size, items // 4)) for size in (1658, 4995, 8444)]
    of_item = np.column_stack([power_law(rng, items, size, KIND_SKEW) for size in kinds])
    return World(
        sizes=(users, items, *kinds, 9, 3, 4, DAYS),
        of_item=of_item,
        of_user=np.column_stack(
            [power_law(rng, users, 9, AGE_SKEW), power_law(rng, users, 3, GENDER_SKEW)]
        ),
        favourites=power_law(rng, (users, FAVOURITES), kinds[0], FAVOURITE_SKEW),
        # Items are numbered by popularity, so a stable sort keeps popular ones first.
        by_category=np.argsort(of_item[:, 0], kind="stable"),
        starts=np.concatenate([[0], np.cumsum(np.bincount(of_item[:, 0], minlength=kinds[0]))]),
    )


def power_law(
    rng: np.random.Generator, shape: int | tuple[int, ...], values: int | Codes, skew: float
) -> Codes:
    """Draws from 0..values-1 whose density falls as rank^-skew, 0 < skew < 1."""
    share = rng.random(shape) ** (1 / (1 - skew))
    return np.minimum(share * values, np.asarray(values) - 1).astype(np.int64)


def draw_rows(world: World, users: Codes, items: Codes, days: Codes, actions: Codes) -> Ids:
    """[n, 9]: the ids of rows whose free fields are given."""
    codes = np.column_stack(
        [users, items, world.of_item[items], world.of_user[users], actions, days]
    )
    return (codes + world.offsets).astype(np.int32)


def draw_items(world: World, users: Codes, rng: np.random.Generator) -> Codes:
    """An item for each user: mostly of a favourite category, else of any."""
    anywhere = power_law(rng, len(users), world.sizes[1], ITEM_SKEW)
    chosen = rng.integers(0, FAVOURITES, len(users))
    category = world.favourites[users, chosen]
    first, size = world.starts[category], np.diff(world.starts)[category]
    place = first + power_law(rng, len(users), np.maximum(size, 1), ITEM_SKEW)
    faithful = (rng.random(len(users)) < FAITHFUL) & (size > 0)
    return np.where(faithful, world.by_category[np.minimum(place, world.sizes[1] - 1)], anywhere)


def draw_queries(world: World, n: int, rng: np.random.Generator) -> Ids:
    """[n, 9], in an order of no meaning."""
    users = power_law(rng, n, world.sizes[0], USER_SKEW)
    items = draw_items(world, users, rng)
    items[: n // 2] = rng.integers(0, world.sizes[1], n // 2)
    days = rng.integers(DAYS - LAST_DAYS, DAYS, n)
    q = draw_rows(world, users, items, days, _actions(n, rng))
    q[rng.random(n) < 0.03, 0] = world.unknown
    q[rng.random(n) < 0.02, 1] = world.unknown
    return rng.permutation(q)


def _pool_slices(world: World, rows: int, rng: np.random.Generator) -> Iterator[Ids]:
    for start in range(0, rows, SLICE):
        n = min(SLICE, rows - start)
        users = power_law(rng, n, world.sizes[0], USER_SKEW)
        items = draw_items(world, users, rng)
        days = (start + np.arange(n)) * DAYS // rows
        yield draw_rows(world, users, items, days, _actions(n, rng))


def _actions(n: int, rng: np.random.Generator) -> Codes:
    return np.searchsorted(ACTIONS, rng.random(n) * ACTIONS[-1], side="right")
