"""Small data sets in memory for tests: every array is made here, nothing is read."""

from pathlib import Path

import numpy as np

from rokkit.data.samples import History, Part, Samples
from rokkit.data.schema import Field, Schema
from rokkit.retrieval.neighbours import Neighbours

USERS, ITEMS, BRANDS, DAYS = 12, 30, 5, 3


def made_schema() -> Schema:
    """Fields: user, item, brand (item tuple: the last two), day."""
    return Schema(
        name="made",
        fields=(
            Field(name="user", role="user", offset=1, size=USERS),
            Field(name="item", role="item", offset=13, size=ITEMS),
            Field(name="brand", role="item", offset=43, size=BRANDS),
            Field(name="day", role="context", offset=48, size=DAYS),
        ),
        retrieval=("user", "item"),
    )


def made_samples(rows: int = 64, pool: int = 80, seed: int = 0) -> Samples:
    """Users like items of their own parity, with 10 % noise; user 0 has no history."""
    generator = np.random.default_rng(seed)

    def part(n: int) -> Part:
        user, item = generator.integers(0, USERS, n), generator.integers(0, ITEMS, n)
        liked = (user + item) % 2 == 0
        y = np.where(generator.random(n) < 0.1, ~liked, liked)
        y[:2] = 0, 1  # both classes, whatever the draw
        day = generator.integers(0, DAYS, n)
        x = np.stack([1 + user, 13 + item, 43 + item % BRANDS, 48 + day], 1)
        return Part(x.astype(np.int32), y.astype(np.int8), np.arange(n, dtype=np.int64))

    parts = [part(n) for n in (pool, rows, rows // 2, rows // 2)]
    held = parts[0].x[parts[0].y == 1]
    own = [held[held[:, 0] == 1 + u][:, 1:3] for u in range(USERS)]
    own[0] = own[0][:0]
    offsets = np.cumsum([0, *map(len, own)]).astype(np.int64)
    return Samples(
        made_schema(),
        *parts,
        History(offsets, np.concatenate(own)),
        {},
        "made",
        Path("/nonexistent"),
    )


def made_neighbours(samples: Samples, part: str, k: int = 4, seed: int = 0) -> Neighbours:
    """Pool rows of the same item, best first; row i has at most i % (k + 1) of them."""
    x, pool = samples.part(part).x, samples.pool.x
    ids = np.full((len(x), k), -1, np.int32)
    for i in range(len(x)):
        same = np.flatnonzero(pool[:, 1] == x[i, 1])[: i % (k + 1)]
        ids[i, : len(same)] = same
    return Neighbours(ids, (ids >= 0).astype(np.float32))
