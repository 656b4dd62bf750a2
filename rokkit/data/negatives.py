"""Negatives of an event log: one per positive, as in RIM's sample construction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """How the item tuple of a negative is drawn.

    Pool: uniform over the unique item tuples of the whole log. Targets: with probability
    `history_share` one of the user's own pool behaviours, with multiplicity, so frequent items
    are frequent negatives; else, and for a user without any, uniform. Nothing checks that a
    negative differs from its positive. RIM, `hori_split.py` (`sfh_rate` .5).
    """

    history_share: float = 0.5

    def __post_init__(self) -> None:
        value = self.history_share
        require(0 <= value <= 1, "history_share", value, "a probability from 0 to 1")


def uniform(n: int, n_tuples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[n]: indices of item tuples, each equally likely."""
    return rng.integers(0, n_tuples, n)


def from_history(
    user: NDArray[np.int64],
    offsets: NDArray[np.int64],
    behaviours: NDArray[np.int64],
    share: float,
    n_tuples: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """[n]: indices of item tuples for the targets of `user` [n].

    User u's behaviours are `behaviours[offsets[u]:offsets[u + 1]]`, themselves tuple indices.
    """
    drawn = uniform(len(user), n_tuples, rng)
    lengths = offsets[user + 1] - offsets[user]
    place = (rng.random(len(user)) * lengths).astype(np.int64)
    own = (rng.random(len(user)) < share) & (lengths > 0)
    drawn[own] = behaviours[(offsets[user] + place)[own]]
    return drawn


def interleave(
    x: NDArray[np.int32],
    tuples: NDArray[np.int32],
    drawn: NDArray[np.int64],
    item_columns: tuple[int, ...],
) -> NDArray[np.int32]:
    """[2n, F]: each positive of `x` [n, F], followed at once by its negative.

    A negative copies its positive and takes the item tuple `drawn`, all columns of it: replacing
    only some would show an item with a seller it never has and give the label away.
    """
    both = np.repeat(x, 2, axis=0)
    both[1::2, list(item_columns)] = tuples[drawn]
    return both
