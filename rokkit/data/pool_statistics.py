"""What the pool says of the ids of a sample, without any retrieval: counts and click rates."""

import numpy as np
from numpy.typing import NDArray

from rokkit.data.profile import value_counts
from rokkit.data.samples import Samples

PRIOR = 10.0  # rows of the pool's own click rate that each id's rate is drawn towards


def pool_statistics(samples: Samples, part: str) -> NDArray[np.float32]:
    """[N, 2F]: for each field, ln(1 + rows) and the click rate of the sample's id in the pool.

    Rates are (positives + 10 c) / (rows + 10) with the pool's own rate c, so that an id which the
    pool does not know has c. The pool lies before the targets, so no label of theirs is in it.
    """
    schema, pool, held = samples.schema, samples.pool, samples.part(part)
    overall = float(np.mean(pool.y)) if len(pool) else 0.5
    counts = value_counts(schema, pool, range(schema.n_fields))
    columns: list[NDArray[np.float64]] = []
    for i, (field, column) in enumerate(zip(schema.fields, counts, strict=True)):
        ids = np.asarray(held.x)[:, i].astype(np.int64) - field.offset
        rate = (column.positives + PRIOR * overall) / (column.rows + PRIOR)
        columns += [np.log1p(column.rows)[ids], rate[ids]]
    return np.stack(columns, axis=1).astype(np.float32)
