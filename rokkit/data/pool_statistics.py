"""What the pool says of the ids of a sample, without any retrieval: counts and click rates."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rokkit.data.known_counts import known_counts
from rokkit.data.samples import Samples

PRIOR = 10.0  # rows of the pool's own click rate that each id's rate is drawn towards


def pool_statistics(samples: Samples, part: str) -> NDArray[np.float32]:
    """[N, 2F]: for each field, ln(1 + rows) and the click rate of the sample's id in the pool.

    Rates are (positives + 10 c) / (rows + 10) with the pool's own rate c, so that an id which the
    pool does not know has c. Rows are those of `known_counts`, so no label of a target is among
    its own, nor in its c (.5 where there is no row).
    """
    every = known_counts(samples, part, lambda x: np.zeros(len(x), np.int64))
    overall = np.where(every.rows > 0, every.positives / np.maximum(every.rows, 1), 0.5)
    columns: list[NDArray[np.float64]] = []
    for column in range(samples.schema.n_fields):
        found = known_counts(samples, part, partial(_ids, column))
        rate = (found.positives + PRIOR * overall) / (found.rows + PRIOR)
        columns += [np.log1p(found.rows), rate]
    return np.stack(columns, axis=1).astype(np.float32)


def _ids(column: int, x: NDArray[np.int32]) -> NDArray[np.int64]:
    return x[:, column].astype(np.int64)
