"""Parts that the log itself names, row by row."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rokkit.data.log import EventLog, ImpressionLog, Log
from rokkit.data.samples import PARTS
from rokkit.data.splits import Scope
from rokkit.data.vocabulary import encode
from rokkit.errors import DataError


@dataclass(frozen=True)
class GivenParts:
    """A split that is given: the part of each row of a log, in the order of the log.

    Parts have to follow each other in time for each user, else a model would be tested on what
    its user's history already tells.
    """

    scope: Scope
    user: NDArray[np.int64]  # [N] as the log's users are numbered, by their sorted names
    time: NDArray[np.int64]  # [N]
    part: NDArray[np.int8]  # [N] index into PARTS

    @classmethod
    def of(
        cls, user: NDArray[np.int64], time: NDArray[np.int64], part: NDArray[np.int8]
    ) -> "GivenParts":
        """The split of these rows; DataError if a user's parts do not follow each other."""
        order = np.lexsort((part, time, user))
        same = user[order[1:]] == user[order[:-1]]
        back = np.flatnonzero(same & (part[order[1:]] < part[order[:-1]]))
        if len(back):
            before, after = order[back[0]], order[back[0] + 1]
            raise DataError(
                f"the given parts do not follow time: a user has a row of {PARTS[part[before]]} "
                f"at {time[before]} and one of {PARTS[part[after]]} at {time[after]}. Expected "
                "pool, train, val, test in time order for each user: split by time instead, or "
                "mend the column."
            )
        spans = [time[part == code] for code in np.unique(part)]
        apart = all(a.max() < b.min() for a, b in itertools.pairwise(spans))
        return cls("global" if apart else "user", user, time, part)

    def assign(self, user: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.int8]:
        """See `Split.assign`. DataError if these are not the rows that the split was made of.

        Rows are matched by user and time; those of one user at one moment keep their order, which
        holds for every order in time that is used here.
        """
        asked, held = np.lexsort((time, user)), np.lexsort((self.time, self.user))
        same = len(user) == len(self.user) and (
            np.array_equal(user[asked], self.user[held])
            and np.array_equal(time[asked], self.time[held])
        )
        if not same:
            raise DataError(
                f"the given parts are of {len(self.user)} other rows than the {len(user)} that are "
                "to be split. Make the split of the log's own rows."
            )
        part = np.empty(len(user), np.int8)
        part[asked] = self.part[held]
        return part


@dataclass(frozen=True, kw_only=True)
class _Given(Log):
    part: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _set_split(self, self.part)


@dataclass(frozen=True, kw_only=True)
class GivenEventLog(_Given, EventLog):
    """An event log whose column `part` holds each row's index into `PARTS`."""


@dataclass(frozen=True, kw_only=True)
class GivenImpressionLog(_Given, ImpressionLog):
    """An impression log whose column `part` holds each row's index into `PARTS`."""


def _set_split(log: Log, column: str) -> None:
    """Make the split anew: a sub-sample of users is another frame with other user numbers."""
    x, (users,) = encode(log.frame, tuple(f for f in log.fields if f.role == "user"))
    user = x[:, 0].astype(np.int64) - users.field.offset
    part = log.frame[column].to_numpy(np.int8)
    object.__setattr__(log, "split", GivenParts.of(user, log.times(), part))
