"""A run of consecutive rows in the form in which they are searched."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.errors import DataError
from rokkit.files import slices
from rokkit.retrieval import loops
from rokkit.retrieval.packing import lay_out, lay_out_hints

# Ids nobody uses cost 16 bytes each. This many are let pass; more are a sign of unnumbered ids.
SPARE_LISTS = 2**26
ROWS_AT_ONCE = 2**20  # unpacked, so that temporaries stay small
Searched = tuple[
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int32],
    NDArray[np.uint32],
    NDArray[np.uint64],
]


@dataclass(frozen=True)
class Span:
    """The ids of one column from the lowest to the highest, padding apart."""

    first: int = 1
    size: int = 0

    @classmethod
    def of(cls, x: NDArray[np.int32], column: int) -> "Span":
        """That of one column of `x` [N, F]; DataError for a negative id."""
        values = x[:, column]
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        if low < 0:
            raise DataError(f"x holds the negative id {low} in column {column}; ids are 0 or more.")
        if high == 0:
            return cls()
        low = int(values.min(where=values > 0, initial=high))
        return cls(low, high - low + 1)

    @property
    def stop(self) -> int:
        """One more than the highest id."""
        return self.first + self.size

    def joined(self, other: "Span") -> "Span":
        """The span of the ids of both."""
        if not (self.size and other.size):
            return self if self.size else other
        first = min(self.first, other.first)
        return Span(first, max(self.stop, other.stop) - first)

    def common(self, other: "Span") -> "Span | None":
        """The span of the ids that lie in both; None if there are none."""
        first, stop = max(self.first, other.first), min(self.stop, other.stop)
        return Span(first, stop - first) if first < stop else None


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One searched field: its ids, its posting lists and its place in a packed row."""

    column: int  # in x and q
    first: int  # lowest id in the pool
    size: int  # ids from the lowest to the highest
    base: int  # number of its first posting list
    word: int  # of the packed row
    shift: int  # of its lowest bit in that word
    bits: int  # width

    @property
    def span(self) -> Span:
        """Its ids."""
        return Span(self.first, self.size)

    def lists(self, ids: Span) -> slice:
        """Numbers of the posting lists of some of its ids."""
        begin = self.base + ids.first - self.first
        return slice(begin, begin + ids.size)


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """N rows of the searched fields; read-only arrays, in memory or mapped from files."""

    slots: tuple[Slot, ...]  # by column
    starts: NDArray[np.int64]  # [lists + 1]: where each list begins in `postings`
    weights: NDArray[np.float64]  # [lists]: idf of each id
    postings: NDArray[np.int32]  # rows of this segment, ascending in each list
    hints: NDArray[np.uint32]  # [postings]: the other fields of a row in short, `lay_out_hints`
    rows: NDArray[np.uint64]  # [N, words], packed
    # Both plans and the arrays: what a search of `Loops` takes, in its order.
    searched: Searched = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            object.__setattr__(self, name, frozen(array))
        object.__setattr__(self, "searched", (*_plans(self.slots), *self.arrays.values()))

    @classmethod
    def build(
        cls,
        x: NDArray[np.int32],
        spans: Mapping[int, Span],
        at: Sequence[int] | None = None,
    ) -> "Segment":
        """The rows `x` int32 [N, C], searched by the pool's columns of `spans`, ascending.

        `spans` are those of these rows; `at` says where in `x` the columns lie (None: in place).
        """
        x = frozen(x)
        at = tuple(spans) if at is None else at
        words, slots = _laid_out(spans)
        lists = sum(slot.size for slot in slots)
        form = loops.chosen()
        counts = np.zeros(lists, np.int64)
        rows = np.zeros((len(x), words), np.uint64)
        for slot, column in zip(slots, at, strict=True):
            held = counts[slot.lists(slot.span)]
            form.count_and_pack(x, column, slot.first, slot.word, slot.shift, held, rows)
        starts = np.zeros(lists + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        postings, hints = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.uint32)
        plan, hint_plan = _plans(slots)
        for i, slot in enumerate(slots):
            cursor = starts[slot.lists(slot.span)].copy()
            form.fill_postings(rows, plan, hint_plan, i, cursor, postings, hints)
        return cls(
            slots=slots,
            starts=starts,
            weights=idf(len(x), counts),
            postings=postings,
            hints=hints,
            rows=rows,
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> tuple[int, ...]:
        """Of the searched fields in the pool."""
        return tuple(slot.column for slot in self.slots)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is needed beside the slots to have the segment again, by name."""
        names = ("starts", "weights", "postings", "hints", "rows")
        return {name: getattr(self, name) for name in names}

    def ids(self) -> NDArray[np.int32]:
        """[N, searched fields]: the rows unpacked."""
        x = np.zeros((len(self), len(self.slots)), np.int32)
        for part in slices(len(self), ROWS_AT_ONCE, self.rows):
            for j, slot in enumerate(self.slots):
                ones = np.uint64((1 << slot.bits) - 1)
                code = self.rows[part, slot.word] >> np.uint64(slot.shift) & ones
                x[part, j] = np.where(code > 0, code.astype(np.int64) + (slot.first - 1), 0)
        return x


def idf(n_rows: int, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of ids that `counts` of `n_rows` rows hold."""
    return np.log1p((n_rows - counts + 0.5) / (counts + 0.5))


def weighed_together(early: Segment, late: Segment) -> tuple[Segment, Segment]:
    """Both with weights of how many rows of the two together hold each id; nothing else is copied.

    Takes the time of one logarithm per list, whatever the number of rows.
    """
    counts, late_counts = np.diff(early.starts), np.diff(late.starts)
    for one, other in zip(early.slots, late.slots, strict=True):
        if shared := one.span.common(other.span):
            here, there = one.lists(shared), other.lists(shared)
            counts[here] += late_counts[there]
            late_counts[there] = counts[here]
    n = len(early) + len(late)
    return replace(early, weights=idf(n, counts)), replace(late, weights=idf(n, late_counts))


def check_spans(spans: Mapping[int, Span], n_rows: int) -> None:
    """DataError for ids that leave so many numbers unused that they cannot have been numbered."""
    lists = sum(span.size for span in spans.values())
    if lists > SPARE_LISTS + 16 * n_rows * len(spans):
        raise DataError(
            f"the ids of columns {list(spans)} span {lists} values over {n_rows} rows. "
            "Number the values of each column without large gaps."
        )


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous read-only view, so that the kernel is compiled for one set of types.

    (A memory-mapped array is read-only, a built one is not, and numba tells them apart.)
    """
    view = np.ascontiguousarray(np.asarray(array)).view()
    view.flags.writeable = False
    return view


def _plans(slots: Sequence[Slot]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The slots as the loops take them, [F, 7], and where hints tell their fields, [F, F, 2]."""
    plan = np.array([astuple(slot) for slot in slots], dtype=np.int64)
    return frozen(plan), frozen(lay_out_hints([slot.bits for slot in slots]))


def _laid_out(spans: Mapping[int, Span]) -> tuple[int, tuple[Slot, ...]]:
    """Words of a packed row, and the slots: lists after those of the column before."""
    widths = [span.size.bit_length() for span in spans.values()]
    words, places = lay_out(widths)
    slots, base = [], 0
    for (column, span), bits, (word, shift) in zip(spans.items(), widths, places, strict=True):
        place = {"base": base, "word": word, "shift": shift, "bits": bits}
        slots.append(Slot(column=column, first=span.first, size=span.size, **place))
        base += span.size
    return words, tuple(slots)
