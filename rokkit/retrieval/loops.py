"""The loops of the exact search: compiled ones, or torch where nothing can be compiled."""

import functools
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rokkit.machine import compiles


class Loops(Protocol):
    """What the modules `kernel` and `ragged` have in common. Both give the same bits."""

    # Whether one call keeps to one thread, so that several may share a batch.
    ONE_THREAD: bool

    def count_and_pack(
        self,
        x: NDArray[np.int32],
        column: int,
        first: int,
        word: int,
        shift: int,
        counts: NDArray[np.int64],
        rows: NDArray[np.uint64],
    ) -> None:
        """Count the ids of one column of `x` [N, F] and write their codes into `rows` [N, W].

        The code of an id is id - first + 1; padding keeps code 0.
        """

    def fill_postings(
        self,
        rows: NDArray[np.uint64],
        plan: NDArray[np.int64],
        hint_plan: NDArray[np.int64],
        slot: int,
        cursor: NDArray[np.int64],
        postings: NDArray[np.int32],
        hints: NDArray[np.uint32],
    ) -> None:
        """Append each of the packed rows [N, W], and its hint, to the list of its code in `slot`.

        `cursor` [size], where each list begins, may be written to. The lists of a slot lie one
        after the other. Rows whose code is 0 are in none.
        """

    def search(
        self,
        q: NDArray[np.int32],
        before: NDArray[np.int64],
        plan: NDArray[np.int64],
        hint_plan: NDArray[np.int64],
        starts: NDArray[np.int64],
        weights: NDArray[np.float64],
        postings: NDArray[np.int32],
        hints: NDArray[np.uint32],
        rows: NDArray[np.uint64],
        ids: NDArray[np.int32],
        score_bits: NDArray[np.int32],
        touched: NDArray[np.int32],
    ) -> int:
        """Search for the queries `q` [B, F]; the first query with a negative id, or -1.

        Writes `ids` [B, k] (-1 where there is no hit), `score_bits` [B, k] (the float32 scores seen
        as int32) and `touched` [B], the number of postings looked at, which the two differ in.
        """


@functools.cache
def chosen() -> Loops:
    """The compiled ones where numba and llvmlite can be imported, else those of torch."""
    if compiles():
        from rokkit.retrieval import kernel

        return kernel
    from rokkit.retrieval import ragged

    return ragged
