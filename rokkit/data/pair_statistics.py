"""What the pool says of a sample's user together with its item, without any retrieval."""

import numpy as np
from numpy.typing import NDArray

from rokkit.data.samples import Samples
from rokkit.data.schema import Schema
from rokkit.files import slices

CHUNK = 4_000_000  # rows of the pool in memory at a time


def pair_statistics(samples: Samples, part: str) -> NDArray[np.float32]:
    """[N, 2C]: for each field of the item tuple, what the sample's user did with its value before.

    ln(1 + positive rows) and ln(1 + negative rows) of the pool that share the user and the value:
    how often a search by these two would hit, and with which labels, but nothing of other fields or
    of their order. The pool lies before the targets, so no label of theirs is in it.
    """
    schema, pool, x = samples.schema, samples.pool, np.asarray(samples.part(part).x)
    columns: list[NDArray[np.float64]] = []
    for column in schema.item_columns:
        asked, back = np.unique(_pairs(schema, x, column), return_inverse=True)
        positives, negatives = (np.zeros(len(asked), np.int64) for _ in range(2))
        for rows in slices(len(pool), CHUNK):
            found = _pairs(schema, pool.x[rows], column)
            place = np.minimum(np.searchsorted(asked, found), len(asked) - 1)
            same, positive = asked[place] == found, pool.y[rows] == 1
            positives += np.bincount(place[same & positive], minlength=len(asked))
            negatives += np.bincount(place[same & ~positive], minlength=len(asked))
        columns += [np.log1p(positives)[back], np.log1p(negatives)[back]]
    return np.stack(columns, axis=1).astype(np.float32)


def _pairs(schema: Schema, x: NDArray[np.int32], column: int) -> NDArray[np.int64]:
    """[N]: one number for a row's user and its value in `column`."""
    field, user = schema.fields[column], schema.user_field
    users = x[:, schema.user_column].astype(np.int64) - user.offset
    return users * field.size + (x[:, column] - field.offset)
