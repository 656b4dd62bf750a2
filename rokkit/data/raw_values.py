"""The raw values behind the ids, kept with the samples so that results can be read by people."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rokkit.data.schema import Field
from rokkit.errors import ArtefactError
from rokkit.files import aside
from rokkit.paths import shown

FILE = "vocabulary.parquet"


@dataclass(frozen=True)
class Vocabulary:
    """The raw values behind the ids of one field, in id order; None is the missing value."""

    field: Field
    values: tuple[str | int | None, ...]


def write_vocabularies(folder: Path, vocabularies: list[Vocabulary]) -> None:
    """Write one table (id, field, value as text; null where missing) into `folder`."""
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "id": np.arange(v.field.offset, v.field.stop, dtype=np.int32),
                    "field": v.field.name,
                    "value": pd.Series(
                        [None if value is None else str(value) for value in v.values], dtype="str"
                    ),
                }
            )
            for v in vocabularies
        ],
        ignore_index=True,
    )
    with aside(folder / FILE) as draft:
        table.to_parquet(draft, index=False)


def read_values(folder: Path) -> "pd.Series[Any]":
    """Raw values as texts by global id; missing values are null, id 0 (padding) is absent."""
    try:
        table = pd.read_parquet(folder / FILE)
        values: pd.Series[Any] = table.set_index("id")["value"]
        return values
    except (OSError, ValueError, KeyError) as error:
        raise ArtefactError(
            f"{shown(folder / FILE)} is missing or damaged ({error}). "
            "Remove its folder and build again."
        ) from None
