"""What the pool says of a sample's user together with its item, without any retrieval."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rokkit.data.known_counts import known_counts
from rokkit.data.samples import Samples
from rokkit.data.schema import Schema


def pair_statistics(samples: Samples, part: str) -> NDArray[np.float32]:
    """[N, 2C]: for each field of the item tuple, what the sample's user did with its value before.

    ln(1 + positive rows) and ln(1 + negative rows) of the pool that share the user and the value:
    how often a search by these two would hit, and with which labels, but nothing of other fields or
    of their order. Rows are those of `known_counts`, so no label of a target is among its own.
    """
    columns: list[NDArray[np.float64]] = []
    for column in samples.schema.item_columns:
        found = known_counts(samples, part, partial(_pairs, samples.schema, column))
        columns += [np.log1p(found.positives), np.log1p(found.negatives)]
    return np.stack(columns, axis=1).astype(np.float32)


def _pairs(schema: Schema, column: int, x: NDArray[np.int32]) -> NDArray[np.int64]:
    """[N]: one number for a row's user and its value in `column`."""
    field, user = schema.fields[column], schema.user_field
    users = x[:, schema.user_column].astype(np.int64) - user.offset
    return users * field.size + (x[:, column] - field.offset)
