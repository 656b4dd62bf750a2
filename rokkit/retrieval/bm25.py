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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.config import build as build_settings
from rokkit.config import require
from rokkit.errors import ArtefactError, ConfigError, DataError
from rokkit.files import folder_aside, load_array, read_json, save_array, write_json
from rokkit.machine import cores
from rokkit.paths import shown
from rokkit.retrieval import kernel
from rokkit.retrieval.packing import lay_out

FORMAT = 1  # of the folder that `save` writes, and of what a search answers
Progress = Callable[[int, int], None]

CHUNK = 2048  # queries handed to a thread at once; a smaller batch is not worth a thread
MAX_ROWS = 2**31 - 1  # postings are int32
# Ids nobody uses cost 16 bytes each. This many are let pass; more are a sign of unnumbered ids.
SPARE_LISTS = 2**26


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


@dataclass(frozen=True, kw_only=True)
class _Meta:
    """`meta.json` of a saved index."""

    format: int
    rows: int
    columns: int
    words: int
    lists: int
    postings: int
    build_seconds: float
    slots: tuple[Slot, ...]


class BM25Index:
    """An immutable index of N rows x F fields; made by `build` or `open`.

    Scores. With N rows and n of them holding the id,

        score = sum over searched fields with equal id of ln(1 + (N - n + .5) / (n + .5))

    summed in float64 in the order of the columns, then cast to float32 once. Rows are ordered by
    this float32 score, and rows of equal score by row number, lower first: what is compared is
    what is returned. (So two sums that are equal on paper tie, whatever the last bit of either in
    float64.) Id 0 matches nothing, nor does an id the pool does not hold.
    """

    def __init__(self, meta: _Meta, arrays: dict[str, NDArray[Any]]) -> None:
        self._meta = meta
        self._arrays = {name: _frozen(array) for name, array in arrays.items()}
        self._plan = _frozen(
            np.array([list(asdict(s).values()) for s in meta.slots], dtype=np.int64)
        )

    @classmethod
    def build(cls, x: NDArray[np.int32], fields: Sequence[int] | None = None) -> "BM25Index":
        """Index the rows `x` int32 [N, F] on the columns `fields` (all by default).

        The order of `fields` does not matter. Raises DataError for an `x` of another type or
        shape, without rows, or with a negative id, and ConfigError for columns that do not exist.
        """
        begun = time.perf_counter()
        _check_ids(x, "x", None)
        n, columns = x.shape
        if not 0 < n <= MAX_ROWS:
            raise DataError(f"x has {n} rows; an index takes 1 to {MAX_ROWS}.")
        x = _frozen(x)
        spans = [(c, *_span(x, c)) for c in _columns(fields, columns)]
        lists = sum(size for _, _, size in spans)
        if lists > SPARE_LISTS + 16 * n * len(spans):
            raise DataError(
                f"the ids of columns {[c for c, _, _ in spans]} span {lists} values over {n} rows. "
                "Number the values of each column without large gaps."
            )
        words, places = lay_out([size.bit_length() for _, _, size in spans])
        slots, base = [], 0
        for (column, first, size), (word, shift) in zip(spans, places, strict=True):
            slots.append(
                Slot(
                    column=column,
                    first=first,
                    size=size,
                    base=base,
                    word=word,
                    shift=shift,
                    bits=size.bit_length(),
                )
            )
            base += size

        counts = np.zeros(lists, np.int64)
        rows = np.zeros((n, words), np.uint64)
        for s in slots:
            kernel.count_and_pack(
                x, s.column, s.first, s.word, s.shift, counts[s.base : s.base + s.size], rows
            )
        starts = np.zeros(lists + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        postings = np.empty(starts[-1], np.int32)
        for s in slots:
            cursor = starts[s.base : s.base + s.size].copy()
            kernel.fill_postings(x, s.column, s.first, cursor, postings)
        meta = _Meta(
            format=FORMAT,
            rows=n,
            columns=columns,
            words=words,
            lists=lists,
            postings=len(postings),
            build_seconds=time.perf_counter() - begun,
            slots=tuple(slots),
        )
        weights = np.log1p((n - counts + 0.5) / (counts + 0.5))
        held = {"starts": starts, "weights": weights, "postings": postings, "rows": rows}
        return cls(meta, held)

    @property
    def n_rows(self) -> int:
        """N, the number of rows in the pool."""
        return self._meta.rows

    @property
    def fields(self) -> tuple[int, ...]:
        """The columns that are searched, ascending."""
        return tuple(s.column for s in self._meta.slots)

    @property
    def build_seconds(self) -> float:
        """Wall time that building took, also of an opened index."""
        return self._meta.build_seconds

    @property
    def n_bytes(self) -> int:
        """Size of the index in bytes."""
        return sum(array.nbytes for array in self._arrays.values())

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
        answer never depends on it. `progress(done, total)` is called as queries are answered.

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
        """What `search` returns, and the number of rows it looked at for each query, int32 [B]."""
        _check_ids(q, "q", self._meta.columns)
        check_k(k, self.n_rows)
        n = len(q)
        limits = np.full(n, self.n_rows, np.int64) if before is None else _limits(before, n)
        q, limits = _frozen(q), _frozen(limits)
        ids = np.empty((n, k), np.int32)
        scores = np.empty((n, k), np.float32)
        touched = np.empty(n, np.int32)
        bits = scores.view(np.int32)
        held = self._arrays

        def answer(part: slice) -> None:
            wrong = kernel.search(
                q[part],
                limits[part],
                self._plan,
                held["starts"],
                held["weights"],
                held["postings"],
                held["rows"],
                ids[part],
                bits[part],
                touched[part],
            )
            if wrong >= 0:
                row = part.start + wrong
                raise DataError(f"q holds a negative id in row {row}: {q[row].tolist()}.")

        require(threads is None or threads >= 1, "threads", threads, "at least 1")
        parts = [slice(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]
        workers = min(cores() if threads is None else threads, len(parts))
        if workers <= 1:
            # A thread that must first be woken costs more than a small batch.
            for part in parts:
                answer(part)
                _report(progress, part.stop, n)
        else:
            with ThreadPoolExecutor(workers) as pool:
                for part, _ in zip(parts, pool.map(answer, parts), strict=True):
                    _report(progress, part.stop, n)
        return ids, scores, touched

    def save(self, folder: Path) -> None:
        """Write the index to `folder`, whole or not at all.

        Raises ConfigError if the folder holds something already.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{shown(folder)} exists. Remove it or name another folder.")
        with folder_aside(folder) as draft:
            for name, array in self._arrays.items():
                save_array(draft / f"{name}.npy", array)
            write_json(draft / "meta.json", asdict(self._meta))

    @classmethod
    def open(cls, folder: Path) -> "BM25Index":
        """Open a saved index; its arrays are memory-mapped and not read.

        Raises ArtefactError that names the file if one is missing, truncated or of another format.
        """
        meta = _read_meta(folder / "meta.json")
        shapes: dict[str, tuple[tuple[int, ...], type]] = {
            "starts": ((meta.lists + 1,), np.int64),
            "weights": ((meta.lists,), np.float64),
            "postings": ((meta.postings,), np.int32),
            "rows": ((meta.rows, meta.words), np.uint64),
        }
        arrays = {}
        for name, (shape, dtype) in shapes.items():
            arrays[name] = load_array(folder / f"{name}.npy")
            if arrays[name].shape != shape or arrays[name].dtype != dtype:
                raise ArtefactError(
                    f"{shown(folder / name)}.npy is {arrays[name].dtype} {arrays[name].shape}; "
                    f"expected {np.dtype(dtype)} {shape}. Remove its folder and run again."
                )
        if arrays["starts"][-1] != meta.postings:
            raise ArtefactError(
                f"{shown(folder)}: starts.npy counts {arrays['starts'][-1]} postings; "
                f"expected {meta.postings}. Remove the folder and run again."
            )
        return cls(meta, arrays)


def check_k(k: int, n_rows: int) -> None:
    """Raise ConfigError unless `k` is an integer in 1..n_rows."""
    whole = isinstance(k, (int, np.integer)) and not isinstance(k, bool)
    require(whole and 1 <= k <= n_rows, "k", k, f"an integer from 1 to {n_rows}, the pool's rows")


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous read-only view, so that the kernel is compiled for one set of types.

    (A memory-mapped array is read-only, a built one is not, and numba tells them apart.)
    """
    view = np.ascontiguousarray(np.asarray(array)).view()
    view.flags.writeable = False
    return view


def _check_ids(ids: NDArray[Any], name: str, columns: int | None) -> None:
    """Raise DataError unless `ids` is int32 with two axes and as many columns as the pool."""
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int32:
        found = ids.dtype if isinstance(ids, np.ndarray) else type(ids).__name__
        raise DataError(f"{name} is {found}; expected a numpy array of int32 ids.")
    if ids.ndim != 2 or ids.shape[1] != (columns or ids.shape[1]):
        wanted = "F" if columns is None else columns
        raise DataError(f"{name} has shape {ids.shape}; expected [rows, {wanted}].")


def _columns(fields: Sequence[int] | None, columns: int) -> list[int]:
    """The columns to search, ascending."""
    chosen = list(range(columns)) if fields is None else sorted(fields)
    known = all(isinstance(c, (int, np.integer)) and 0 <= c < columns for c in chosen)
    require(known, "fields", fields, f"column numbers from 0 to {columns - 1}")
    require(len(set(chosen)) == len(chosen), "fields", fields, "distinct columns")
    within = 1 <= len(chosen) <= kernel.MAX_FIELDS
    require(within, "number of fields", len(chosen), f"1 to {kernel.MAX_FIELDS}")
    return [int(c) for c in chosen]


def _span(x: NDArray[np.int32], column: int) -> tuple[int, int]:
    """Lowest id of a column, padding apart, and how many ids there are up to the highest."""
    values = x[:, column]
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise DataError(f"x holds the negative id {low} in column {column}; ids are 0 or more.")
    if high == 0:
        return 1, 0
    if low == 0:
        low = int(values.min(where=values > 0, initial=high))
    return low, high - low + 1


def _limits(before: NDArray[Any], n: int) -> NDArray[np.int64]:
    """`before` as the kernel takes it."""
    if not isinstance(before, np.ndarray) or before.dtype.kind not in "iu":
        found = before.dtype if isinstance(before, np.ndarray) else type(before).__name__
        raise DataError(f"before is {found}; expected a numpy array of int64 row numbers.")
    if before.shape != (n,):
        raise DataError(f"before has shape {before.shape}; expected ({n},), one per query.")
    return before.astype(np.int64, copy=False)


def _read_meta(path: Path) -> _Meta:
    values = read_json(path)
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise ArtefactError(
            f"{shown(path)} has format {found}; this version reads {FORMAT}. "
            "Remove its folder and run again."
        )
    try:
        return build_settings(_Meta, values, where=shown(path))
    except (ConfigError, TypeError) as error:
        raise ArtefactError(
            f"{shown(path)} is damaged ({error}). Remove its folder and run again."
        ) from None
