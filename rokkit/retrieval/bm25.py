"""Exact top-K search by BM25 over categorical rows, in process.

Every row has the same number of tokens and each once, so BM25 is the sum of the idf of the fields
in which a row equals the query (RIM, §3.2: "search engine"; Lucene's idf, constant factor left
out). The method is MaxScore (Turtle and Flood, 1995) with a forward index: posting lists are
walked rarest first, each row is compared with the query in its bit-packed form, and a list ends as
soon as no row left in it can enter the top K.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.errors import DataError
from rokkit.machine import cores
from rokkit.retrieval import loops
from rokkit.retrieval.checks import MAX_ROWS, check_ids, check_k, row_limits, searched_columns
from rokkit.retrieval.index_files import check_free, read_index, write_index
from rokkit.retrieval.segment import Segment, Span, check_spans, frozen, weighed_together

Progress = Callable[[int, int], None]
Ids = NDArray[np.int32]
Bits = NDArray[np.int32]  # of float32 scores; of positive floats the larger has the larger bits

CHUNK = 2048  # queries handed to a thread at once; a smaller batch is not worth a thread


class BM25Index:
    """An immutable index of N rows x F fields; made by `build` or `open`, and from another one.

    Scores. With N rows and n of them holding the id,

        score = sum over searched fields with equal id of ln(1 + (N - n + .5) / (n + .5))

    summed in float64 in the order of the columns, then cast to float32 once. Rows are ordered by
    this float32 score, and rows of equal score by row number, lower first: what is compared is
    what is returned. (So two sums that are equal on paper tie, whatever the last bit of either in
    float64.) Id 0 matches nothing, nor does an id the pool does not hold.

    More rows. `index.appended(x)` is an index of its rows and then those of `x`, which answers as
    one built of all of them does, to the bit. The rows of the old index are shared, not copied: the
    new ones are a second segment, the tail, searched beside the first. `compacted` makes one
    segment of the two, which is the faster to search.
    """

    def __init__(
        self, base: Segment, columns: int, build_seconds: float, tail: Segment | None = None
    ) -> None:
        self._base = base
        self._columns = columns
        self._build_seconds = build_seconds
        self._tail = tail  # the rows after those of the base; weighed together with it
        self._n_rows = len(base) + (0 if tail is None else len(tail))
        self._all_rows = frozen(np.full(CHUNK, self._n_rows, np.int64))

    @classmethod
    def build(cls, x: NDArray[np.int32], fields: Sequence[int] | None = None) -> "BM25Index":
        """Index the rows `x` int32 [N, F] on the columns `fields` (all by default).

        The order of `fields` does not matter.

        Raises DataError for an `x` of another type or shape, without rows, or with a negative id,
        and ConfigError for columns that do not exist.
        """
        begun = time.perf_counter()
        check_ids(x, "x", None)
        n, columns = x.shape
        if not 0 < n <= MAX_ROWS:
            raise DataError(f"x has {n} rows; an index takes 1 to {MAX_ROWS}.")
        spans = {column: Span.of(x, column) for column in searched_columns(fields, columns)}
        check_spans(spans, n)
        base = Segment.build(x, spans)
        return cls(base, columns, time.perf_counter() - begun)

    def appended(self, x: NDArray[np.int32]) -> "BM25Index":
        """An index of these rows and then of `x` int32 [M, F], whose numbers begin at N.

        It answers every search as `build` of all rows does. This index stays as it is; what it
        holds, in memory or mapped from a file, is shared.

        Takes time and memory for the tail and for the lists, not for the rows of the base: the
        tail (all rows since the base was built) is indexed anew, and since an idf depends on N,
        that of each id is computed anew, 8 bytes and a logarithm for each id from a column's lowest
        to its highest. So rows are best appended many at once.

        Raises DataError for an `x` of another type or other columns, with a negative id, with ids
        far beyond those held, or with more rows than an index takes.
        """
        begun = time.perf_counter()
        check_ids(x, "x", self._columns)
        if not len(x):
            return self
        n = self.n_rows + len(x)
        if n > MAX_ROWS:
            raise DataError(
                f"x has {len(x)} rows, which makes {n}; an index takes up to {MAX_ROWS}."
            )
        late = {column: Span.of(x, column) for column in self.fields}
        rows = x[:, self.fields]
        if self._tail is not None:
            late = {slot.column: slot.span.joined(late[slot.column]) for slot in self._tail.slots}
            rows = np.concatenate([self._tail.ids(), rows])
        base = self._base
        check_spans({slot.column: slot.span.joined(late[slot.column]) for slot in base.slots}, n)
        tail = Segment.build(rows, late, range(len(late)))
        base, tail = weighed_together(base, tail)
        seconds = self._build_seconds + time.perf_counter() - begun
        return BM25Index(base, self._columns, seconds, tail)

    def compacted(self) -> "BM25Index":
        """The same index in one segment, as `build` makes it of all rows; itself without a tail.

        Takes the time of building, and besides the two indexes 4 bytes per row and searched field.
        """
        if self._tail is None:
            return self
        begun = time.perf_counter()
        pairs = zip(self._base.slots, self._tail.slots, strict=True)
        spans = {one.column: one.span.joined(other.span) for one, other in pairs}
        rows = np.concatenate([self._base.ids(), self._tail.ids()])
        base = Segment.build(rows, spans, range(len(spans)))
        return BM25Index(base, self._columns, self._build_seconds + time.perf_counter() - begun)

    @property
    def n_rows(self) -> int:
        """N, the number of rows in the pool."""
        return self._n_rows

    @property
    def n_tail(self) -> int:
        """How many of the rows were appended since the index was built or compacted."""
        return 0 if self._tail is None else len(self._tail)

    @property
    def fields(self) -> tuple[int, ...]:
        """The columns that are searched, ascending."""
        return self._base.columns

    @property
    def build_seconds(self) -> float:
        """Wall time that building took, also of an opened index; appending included."""
        return self._build_seconds

    @property
    def n_bytes(self) -> int:
        """Size of the index in bytes."""
        held = [self._base] if self._tail is None else [self._base, self._tail]
        return sum(array.nbytes for segment in held for array in segment.arrays.values())

    def search(
        self,
        q: NDArray[np.int32],
        k: int,
        before: NDArray[np.int64] | None = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The `k` best rows for each query of `q` int32 [B, F], which has the columns of the pool.

        Returns ids int32 [B, k], best first, -1 where there is no hit, and scores float32 [B, k],
        0 there. A row that matches nothing is no hit. With `before` int64 [B] only rows below
        before[b] count; the weights stay those of the whole pool.

        `threads` is the number of threads (None: one for a small batch, else one per core); the
        answer never depends on it. Where numba is missing, torch takes as many as it is set to.
        `progress(done, total)` is called as queries are answered.

        Raises DataError for a `q` or `before` of another type or shape or a negative id, and
        ConfigError for a `k` outside 1..N.
        """
        ids, scores, _ = self.search_with_effort(q, k, before, threads=threads, progress=progress)
        return ids, scores

    def search_with_effort(
        self,
        q: NDArray[np.int32],
        k: int,
        before: NDArray[np.int64] | None = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
        """What `search` returns, and the number of postings it looked at for each query, int32 [B].

        (Postings are looked at in blocks, which differ where numba is missing.)
        """
        check_ids(q, "q", self._columns)
        check_k(k, self._n_rows)
        require(threads is None or threads >= 1, "threads", threads, "at least 1")
        n = len(q)
        few = n <= CHUNK  # a thread that must first be woken costs more
        if few and before is None:
            limits = self._all_rows[:n]
        else:
            limits = frozen(row_limits(before, n, self._n_rows))
        q = frozen(q)
        ids = np.empty((n, k), np.int32)
        scores = np.empty((n, k), np.float32)
        touched = np.empty(n, np.int32)
        bits = scores.view(np.int32)
        if few:
            self._answer(0, q, limits, ids, bits, touched)
            if n:
                _report(progress, n, n)
            return ids, scores, touched

        def answer(part: slice) -> None:
            self._answer(part.start, q[part], limits[part], ids[part], bits[part], touched[part])

        parts = [slice(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]
        workers = min(cores() if threads is None else threads, len(parts))
        if workers <= 1 or not loops.chosen().ONE_THREAD:
            for part in parts:
                answer(part)
                _report(progress, part.stop, n)
        else:
            with ThreadPoolExecutor(workers) as pool:
                for part, _ in zip(parts, pool.map(answer, parts), strict=True):
                    _report(progress, part.stop, n)
        return ids, scores, touched

    def _answer(
        self,
        begin: int,
        q: Ids,
        limits: NDArray[np.int64],
        ids: Ids,
        bits: Bits,
        touched: NDArray[np.int32],
    ) -> None:
        """Search for the queries from row `begin` of all on, which are `q`, one after the other."""
        wrong = loops.chosen().search(q, limits, *self._base.searched, ids, bits, touched)
        if wrong >= 0:
            raise DataError(f"q holds a negative id in row {begin + wrong}: {q[wrong].tolist()}.")
        if self._tail is not None:
            late = frozen(limits - len(self._base))
            _look_on(self._tail, len(self._base), q, late, ids, bits, touched)

    def save(self, folder: Path) -> None:
        """Write the index to `folder`, whole or not at all; one with a tail is compacted for it.

        Raises ConfigError if the folder holds something already.
        """
        check_free(folder)
        whole = self.compacted()
        write_index(folder, whole._base, whole._columns, whole._build_seconds)

    @classmethod
    def open(cls, folder: Path) -> "BM25Index":
        """Open a saved index; its arrays are memory-mapped and not read.

        Raises ArtefactError that names the file if one is missing, truncated or of another format.
        """
        return cls(*read_index(folder))


def _look_on(
    tail: Segment,
    begin: int,
    q: NDArray[np.int32],
    limits: NDArray[np.int64],
    ids: Ids,
    bits: Bits,
    touched: NDArray[np.int32],
) -> None:
    """Search `tail`, whose rows are numbered from `begin` on, and admit its hits to the answers.

    The answers, `ids` and `bits` [B, k], are those of all earlier rows; `limits` count in the tail.
    """
    late_ids, late_bits, looked = np.empty_like(ids), np.empty_like(bits), np.empty_like(touched)
    loops.chosen().search(q, limits, *tail.searched, late_ids, late_bits, looked)
    touched += looked
    # Both are best first. No hit has bits 0, below every hit; on a tie the earlier row stays.
    k = ids.shape[1]
    (better,) = np.nonzero(late_bits[:, 0] > bits[:, -1])
    both_bits = np.concatenate([bits[better], late_bits[better]], axis=1)
    moved = np.where(late_ids[better] >= 0, late_ids[better] + begin, -1)
    both_ids = np.concatenate([ids[better], moved], axis=1)
    # Stable, so of equal scores the row of the base, which is the lower one, leads.
    order = np.argsort(-both_bits, axis=1, kind="stable")[:, :k]
    ids[better] = np.take_along_axis(both_ids, order, 1)
    bits[better] = np.take_along_axis(both_bits, order, 1)


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
