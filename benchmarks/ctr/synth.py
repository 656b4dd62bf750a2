"""Made clicks: six fields, a history per user and labels with a planted structure.

A user has four favourite genres; 70 % of the history and half of the shown items come from them.
The label heeds whether the item's genre is a favourite, how the user's city takes to the genre, the
item itself and the hour. Users, items and favourites are drawn by power laws (exponents .7, .5 and
.7), so that most ids are rare, as in a log of clicks.

What is written, ids from 1 within each field, 0 for padding:
    x.npy [N, 6] and y.npy [N]               train, val and test rows, one after the other
    truth.npy [N]                            the probability that each label was drawn with
    history_items.npy [M]                    behaviours, oldest first, user after user
    history_offsets.npy [users + 1]          where each user's begin
    genre_of.npy [items + 1]                 the genre of each item
    about.json                               sizes of the fields and of the parts
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rokkit.files import save_array, write_json
from search.tmall_like import power_law

Codes = NDArray[np.int64]

FIELDS = ("user", "item", "genre", "city", "device", "hour")
SHORTEST, LONGEST = 20, 50  # behaviours of a user
FAVOURITES, FAITHFUL, SHOWN = 4, 0.7, 0.5
USER_SKEW, ITEM_SKEW, GENRE_SKEW = 0.7, 0.5, 0.7
SLICE = 1 << 20  # behaviours drawn at once


@dataclass(frozen=True, kw_only=True)
class World:
    """How many of each there are: 301,500 feature rows by default."""

    users: int = 100_000
    items: int = 200_000
    genres: int = 1000
    cities: int = 450
    devices: int = 26
    hours: int = 24

    @classmethod
    def of_rows(cls, rows: int) -> "World":
        """A world with about so many feature rows; users and items make the difference."""
        genres = min(cls.genres, rows // 10)
        free = max(600, rows - genres - cls.cities - cls.devices - cls.hours)
        return cls(users=free // 3, items=free - free // 3, genres=genres)

    @property
    def sizes(self) -> dict[str, int]:
        """Ids of each field."""
        held = (self.users, self.items, self.genres, self.cities, self.devices, self.hours)
        return dict(zip(FIELDS, held, strict=True))


@dataclass(frozen=True)
class Kinds:
    """Items by genre and users by taste, all in codes from 0."""

    genre_of: Codes  # [items]
    by_genre: Codes  # items, genre by genre
    starts: Codes  # [genres + 1]: where each begins there
    favourites: Codes  # [users, FAVOURITES]
    city_of: Codes  # [users]


def make(
    folder: Path, parts: dict[str, int], *, world: World, seed: int, histories: bool = True
) -> None:
    """Write the arrays; `parts` are the rows of train, val and test."""
    rng = np.random.default_rng(seed)
    kinds = _kinds(world, rng)
    n = sum(parts.values())
    users = power_law(rng, n, world.users, USER_SKEW)
    items = _draw_items(kinds, users, SHOWN, rng)
    genres = kinds.genre_of[items]
    free = [rng.integers(0, size, n) for size in (world.devices, world.hours)]
    columns = [users, items, genres, kinds.city_of[users], *free]
    truth = _truth(world, kinds, columns, rng)
    save_array(folder / "x.npy", (np.column_stack(columns) + 1).astype(np.int32))
    save_array(folder / "y.npy", (rng.random(n) < truth).astype(np.int8))
    save_array(folder / "truth.npy", truth.astype(np.float32))
    nothing = np.zeros(1, np.int64), users[:0]
    offsets, behaviours = _histories(kinds, rng) if histories else nothing
    save_array(folder / "history_offsets.npy", offsets)
    save_array(folder / "history_items.npy", behaviours.astype(np.int32))
    genre_of = np.concatenate([[0], kinds.genre_of + 1]).astype(np.int32)
    save_array(folder / "genre_of.npy", genre_of)
    write_json(
        folder / "about.json",
        {
            "sizes": list(world.sizes.items()),  # pairs, for their order counts
            "parts": list(parts.items()),
            "longest": LONGEST,
        },
    )


def _kinds(world: World, rng: np.random.Generator) -> Kinds:
    genre_of = rng.permutation(np.arange(world.items) % world.genres)  # none is empty
    counts = np.bincount(genre_of, minlength=world.genres)
    return Kinds(
        genre_of=genre_of,
        by_genre=np.argsort(genre_of, kind="stable"),
        starts=np.concatenate([[0], np.cumsum(counts)]),
        favourites=power_law(rng, (world.users, FAVOURITES), world.genres, GENRE_SKEW),
        city_of=rng.integers(0, world.cities, world.users),
    )


def _draw_items(kinds: Kinds, users: Codes, faithful: float, rng: np.random.Generator) -> Codes:
    """An item for each of `users`: of a favourite genre with probability `faithful`, else any."""
    anything = power_law(rng, len(users), len(kinds.genre_of), ITEM_SKEW)
    genre = kinds.favourites[users, rng.integers(0, FAVOURITES, len(users))]
    place = power_law(rng, len(users), np.diff(kinds.starts)[genre], ITEM_SKEW)
    liked = kinds.by_genre[kinds.starts[genre] + place]
    return np.where(rng.random(len(users)) < faithful, liked, anything)


def _truth(
    world: World, kinds: Kinds, columns: list[Codes], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The probability of a click on each row."""
    users, items, genres, cities, _, hours = columns
    liked = (kinds.favourites[users] == genres[:, None]).any(1)
    taste = rng.normal(0, 1, (world.cities, 4)), rng.normal(0, 0.5, (world.genres, 4))
    effects = rng.normal(0, 0.6, world.items)[items] + rng.normal(0, 0.3, world.hours)[hours]
    score = 2.0 * liked + (taste[0][cities] * taste[1][genres]).sum(1) + effects - 1.3
    return 1 / (1 + np.exp(-score))


def _histories(kinds: Kinds, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """(where each user's behaviours begin, the items of all)."""
    lengths = rng.integers(SHORTEST, LONGEST + 1, len(kinds.city_of))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    users = np.repeat(np.arange(len(lengths)), lengths)
    drawn = [
        _draw_items(kinds, users[start : start + SLICE], FAITHFUL, rng)
        for start in range(0, len(users), SLICE)
    ]
    return offsets, np.concatenate(drawn) + 1
