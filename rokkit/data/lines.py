"""The lines of a part: its events, each followed at once by its negative where negatives are drawn.

Lines are made when they are asked for, a slice at a time, so a pool of 150 million lines is never
in memory as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.data.samples import Part, array_path
from rokkit.files import collect_array, slices

SLICE = 2_000_000  # lines written in one go


@dataclass(frozen=True, kw_only=True)
class Events:
    """All events of a log in time order; an event's identity is its place in this order."""

    x: NDArray[np.int32]  # [N, F] global ids
    y: NDArray[np.int8]  # [N] labels; all 1 in an event log
    time: NDArray[np.int64]  # [N]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The negatives of a part."""

    index: NDArray[np.int64]  # [n] item tuple of each event's negative
    tuples: NDArray[np.int32]  # [M, C] the tuples that `index` points at
    columns: tuple[int, ...]  # [C] column of x that each column of a tuple replaces


@dataclass(frozen=True)
class Lines:
    """Lines of the events `rows` [n], 2n of them with negatives, else n.

    A negative copies its positive and takes another item tuple, all columns of it: replacing only
    some would show an item with a seller it never has and give the label away.
    """

    source: Events
    rows: NDArray[np.signedinteger[Any]]
    drawn: Drawn | None = None

    def __len__(self) -> int:
        return len(self.rows) * self.per_event

    @property
    def per_event(self) -> int:
        """Lines of one event: 2 with a negative, else 1."""
        return 1 if self.drawn is None else 2

    def events(self, lines: NDArray[np.int64]) -> NDArray[np.signedinteger[Any]]:
        """[m]: the event of each of `lines` [m]."""
        return self.rows[lines // self.per_event]

    def take(self, lines: NDArray[np.int64]) -> Part:
        """The part that `lines` [m], positions from 0, make up."""
        event = self.events(lines)
        return Part(self._x(lines, event), self._y(lines, event), self.source.time[event])

    def write(self, folder: Path | None, name: str) -> Part:
        """The part of all lines; its arrays lie in `folder`, or in memory if that is None."""
        n = len(self)

        def arrays(kind: str) -> Path | None:
            return None if folder is None else array_path(folder, name, kind)

        x = (self._x(lines, self.events(lines)) for lines in self._slices())
        y = (self._y(lines, self.events(lines)) for lines in self._slices())
        time = (self.source.time[self.events(lines)] for lines in self._slices())
        return Part(
            collect_array(arrays("x"), (n, self.source.x.shape[1]), np.int32, x),
            collect_array(arrays("y"), (n,), np.int8, y),
            collect_array(arrays("time"), (n,), np.int64, time),
        )

    def _slices(self) -> Iterator[NDArray[np.int64]]:
        for rows in slices(len(self), SLICE):
            yield np.arange(rows.start, rows.stop)

    def _x(
        self, lines: NDArray[np.int64], event: NDArray[np.signedinteger[Any]]
    ) -> NDArray[np.int32]:
        x = np.empty((len(lines), self.source.x.shape[1]), np.int32)
        for column in range(x.shape[1]):  # the columns of the source are contiguous
            x[:, column] = self.source.x[event, column]
        if self.drawn is not None:
            negative = lines % 2 == 1
            tuples = self.drawn.tuples[self.drawn.index[lines[negative] // 2]]
            x[np.ix_(negative, np.asarray(self.drawn.columns))] = tuples
        return x

    def _y(
        self, lines: NDArray[np.int64], event: NDArray[np.signedinteger[Any]]
    ) -> NDArray[np.int8]:
        y: NDArray[np.int8]
        y = self.source.y[event] if self.drawn is None else (lines % 2 == 0).astype(np.int8)
        return y
