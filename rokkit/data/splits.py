"""How the rows of a log become pool, train, val and test."""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.samples import PARTS
from rokkit.errors import DataError

Scope = Literal["user", "global"]
Users = NDArray[np.signedinteger[Any]]

DROPPED = -1  # a row that belongs to no part


class Split(Protocol):
    """A rule that gives each row a part."""

    @property
    def scope(self) -> Scope:
        """Whether the parts follow each other in time for each user, or for the log as a whole."""
        ...

    def assign(self, user: Users, time: NDArray[np.int64]) -> NDArray[np.int8]:
        """[N]: index into `PARTS`, or `DROPPED`, of rows that lie in time order.

        `user` counts from 0. DataError if the rule does not fit the times.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The share of the rows in each part; they add up to 1."""

    pool: float = 0.7
    train: float = 0.15
    val: float = 0.05
    test: float = 0.1

    def __post_init__(self) -> None:
        for name in PARTS:
            value = getattr(self, name)
            require(0 < value < 1, name, value, "a share between 0 and 1")
        total = sum(getattr(self, name) for name in PARTS)
        require(abs(total - 1) < 1e-6, "pool + train + val + test", total, "1")

    def edges(self, n: NDArray[np.int64]) -> NDArray[np.int64]:
        """[..., 3]: first row of train, val and test among `n` rows; halves are rounded up."""
        upto = np.cumsum([self.pool, self.train, self.val])
        # The small term keeps .85 * 10 a half although it is 8.4999… in floating point.
        edges: NDArray[np.int64] = np.floor(n[..., None] * upto + 0.5 + 1e-9).astype(np.int64)
        return edges


@dataclass(frozen=True)
class PerUser:
    """Each user's rows are split in time order; rows of equal time keep the log's order."""

    scope: ClassVar[Scope] = "user"

    shares: Shares

    def assign(self, user: Users, time: NDArray[np.int64]) -> NDArray[np.int8]:
        """See `Split.assign`."""
        counts = np.bincount(user)
        position = _position(user, counts)
        edges = self.shares.edges(counts)
        part = np.zeros(len(user), np.int8)
        for column in range(edges.shape[1]):
            part += position >= edges[user, column]
        return part


@dataclass(frozen=True)
class GlobalShares:
    """Cuts in time such that the parts have about these shares; equal times stay together."""

    scope: ClassVar[Scope] = "global"

    shares: Shares

    def assign(self, user: Users, time: NDArray[np.int64]) -> NDArray[np.int8]:
        """See `Split.assign`."""
        edges = np.minimum(self.shares.edges(np.array(len(time))), len(time) - 1)
        return np.searchsorted(time[edges], time, side="right").astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class CutPoints:
    """Absolute cuts (protocol of RIM, `hori_split.py`): pool < train <= … < val <= … < test <= ….

    DEVIATION(§5.1.1): RIM has no validation part; here it is the last stretch before test, so that
    nothing is selected on test.
    """

    scope: ClassVar[Scope] = "global"

    train: int  # first time of train
    val: int
    test: int
    end: int | None = None  # first time that is no longer test; None: test takes the rest

    def __post_init__(self) -> None:
        cuts = [self.train, self.val, self.test, *([] if self.end is None else [self.end])]
        require(
            all(a < b for a, b in itertools.pairwise(cuts)),
            "cut points (train, val, test, end)",
            cuts,
            "ascending times",
        )

    def assign(self, user: Users, time: NDArray[np.int64]) -> NDArray[np.int8]:
        """See `Split.assign`. DataError if a cut lies outside the data."""
        first, last = int(time[0]), int(time[-1])
        for name in ("train", "val", "test"):
            cut = getattr(self, name)
            if not first < cut <= last:
                raise DataError(
                    f"the first time of {name} is {cut}, outside the data ({first} to {last}). "
                    "Choose a cut that leaves rows on both sides."
                )
        part = np.searchsorted([self.train, self.val, self.test], time, side="right")
        if self.end is not None:
            part[time >= self.end] = DROPPED
        return part.astype(np.int8)


@dataclass(frozen=True)
class LeaveLast:
    """Each user's last three rows are train, val and test (protocol of UBR); the rest is pool.

    Users with three rows or fewer belong to no part.
    """

    scope: ClassVar[Scope] = "user"

    def assign(self, user: Users, time: NDArray[np.int64]) -> NDArray[np.int8]:
        """See `Split.assign`."""
        counts = np.bincount(user)
        from_last = counts[user] - 1 - _position(user, counts)
        part = np.maximum(0, len(PARTS) - 1 - from_last).astype(np.int8)
        part[counts[user] < len(PARTS)] = DROPPED
        found: NDArray[np.int8] = part
        return found


def _position(user: Users, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N]: how many earlier rows each row's user has."""
    order = np.argsort(user, kind="stable")
    starts = np.cumsum(counts) - counts
    position = np.empty(len(user), np.int64)
    position[order] = np.arange(len(user)) - np.repeat(starts, counts)
    return position
