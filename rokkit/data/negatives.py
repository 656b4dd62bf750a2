"""Negatives of an event log: one per positive, as in RIM's sample construction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.lines import Drawn
from rokkit.data.samples import PartName
from rokkit.data.sampling import stream
from rokkit.data.schema import Schema
from rokkit.data.splits import Users


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """How the item tuple of a negative is drawn.

    Pool: uniform over the unique item tuples of the whole log. Targets: with probability
    `history_share` one of the user's own pool behaviours, with multiplicity, so frequent items
    are frequent negatives; else, and for a user without any, uniform. Nothing checks that a
    negative differs from its positive. RIM, `hori_split.py` (`sfh_rate` .5).
    """

    history_share: float = 0.5
    # Fields of the item tuple that a negative takes from another; None: all. Anything else shows an
    # item with, say, a seller that it never has, and so gives labels away.
    only: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        value = self.history_share
        require(0 <= value <= 1, "history_share", value, "a probability from 0 to 1")


def uniform(n: int, n_tuples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """[n]: indices of item tuples, each equally likely."""
    return rng.integers(0, n_tuples, n)


def from_history(
    user: Users,
    offsets: NDArray[np.int64],
    behaviours: NDArray[np.signedinteger[Any]],
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


class Draw:
    """Draws the negatives of one part after the other, each part from a random stream of its own.

    `behaviours` [M] are the tuples of the pool histories, user u's at `offsets[u]:offsets[u + 1]`.
    """

    def __init__(
        self,
        how: Negatives,
        schema: Schema,
        tuples: NDArray[np.int32],
        offsets: NDArray[np.int64],
        behaviours: NDArray[np.signedinteger[Any]],
        seed: int,
    ) -> None:
        self.how = how
        self.columns = schema.item_columns
        if how.only is not None:
            self.columns = tuple(schema.column(name) for name in how.only)
        # [C']: which columns of a tuple replace those of the positive.
        self._tuples = tuples[:, [schema.item_columns.index(c) for c in self.columns]]
        self._offsets = offsets
        self._behaviours = behaviours
        self._seed = seed

    def __call__(self, part: PartName, user: Users) -> Drawn:
        """The negatives of the events of `user` [n]."""
        rng = stream(self._seed, f"negatives of {part}")
        n = len(self._tuples)
        if part == "pool":
            index = uniform(len(user), n, rng)
        else:
            share = self.how.history_share
            index = from_history(user, self._offsets, self._behaviours, share, n, rng)
        return Drawn(index=index, tuples=self._tuples, columns=self.columns)
