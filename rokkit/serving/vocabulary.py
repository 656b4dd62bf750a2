"""The vocabulary as it is shipped: raw values to ids, in three arrays that need only be mapped.

    texts.npy    uint8 [bytes]   every value as UTF-8, one after the other
    starts.npy   int64 [V + 1]   row i is texts[starts[i]:starts[i + 1]]
    ids.npy      int32 [V]       the id of row i

Row 0 is padding: no text, id 0. The rows of a field are range(offset, offset + size), ascending by
their bytes, so that a value is found by bisection, without reading the rest. A missing value is the
empty text. So five million values of eight bytes each take 100 MB, and no time to load.

Symbols: V ids, padding included.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rokkit.data.schema import Schema
from rokkit.errors import ArtefactError
from rokkit.files import save_array

FOLDER = "vocabulary"


def write_vocabulary(folder: Path, schema: Schema, values: "pd.Series[Any]") -> None:
    """Write the three arrays into `folder`.

    `values` are raw values as texts by id, from 1; null where missing. ArtefactError unless each
    id of `schema` has one, and none occurs twice in a field.
    """
    if not np.array_equal(values.index, np.arange(1, schema.n_ids)):
        raise ArtefactError(
            f"the vocabulary has {len(values)} ids, from {values.index.min()} to "
            f"{values.index.max()}; the schema of {schema.name!r} has 1 to {schema.n_ids - 1}. "
            "Remove the samples' folder and build again."
        )
    texts = [b"", *(text.encode() for text in values.where(values.notna(), ""))]
    order = [0]
    for field in schema.fields:
        rows = sorted(range(field.offset, field.stop), key=texts.__getitem__)
        if any(texts[a] == texts[b] for a, b in pairwise(rows)):
            raise ArtefactError(
                f"field {field.name!r} has one value under two ids. Remove the samples' folder and "
                "build again."
            )
        order += rows
    starts = np.zeros(schema.n_ids + 1, np.int64)
    np.cumsum([len(texts[i]) for i in order], out=starts[1:])
    joined = b"".join(texts[i] for i in order)
    folder.mkdir()
    save_array(folder / "texts.npy", np.frombuffer(joined, np.uint8))
    save_array(folder / "starts.npy", starts)
    save_array(folder / "ids.npy", np.array(order, np.int32))
