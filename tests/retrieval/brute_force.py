"""The search as its definition reads: every row scored, all of them sorted."""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

IdMatrix = NDArray[np.int32]


def idf(n_rows: int, n_holding: int) -> float:
    return math.log1p((n_rows - n_holding + 0.5) / (n_holding + 0.5))


def exact_odds(n_rows: int, n_holding: int) -> Fraction:
    """What the idf is the logarithm of, without rounding: (N + 1) / (n + 1/2)."""
    return Fraction(2 * (n_rows + 1), 2 * n_holding + 1)


def brute_force(
    x: IdMatrix,
    q: IdMatrix,
    k: int,
    fields: Sequence[int] | None = None,
    before: NDArray[np.int64] | None = None,
) -> tuple[IdMatrix, NDArray[np.float32]]:
    columns = sorted(fields) if fields is not None else range(x.shape[1])
    held = {c: Counter(x[:, c].tolist()) for c in columns}
    ids = np.full((len(q), k), -1, np.int32)
    scores = np.zeros((len(q), k), np.float32)
    for b, query in enumerate(q.tolist()):
        found = []
        for row, values in enumerate(x.tolist()):
            if before is not None and row >= before[b]:
                continue
            equal = [c for c in columns if query[c] == values[c] and query[c] != 0]
            if equal:
                total = 0.0
                for c in equal:
                    total += idf(len(x), held[c][query[c]])
                found.append((-float(np.float32(total)), row))
        for place, (negative, row) in enumerate(sorted(found)[:k]):
            ids[b, place], scores[b, place] = row, -negative
    return ids, scores
