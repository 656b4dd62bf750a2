"""Files of a log of one's own, for tests: a table, a schema, and what becomes of them."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from rokkit.data.log import Log
from rokkit.data.sources.own import Own, OwnOptions

Rows = list[tuple[Any, ...]]

EVENTS: dict[str, Any] = {
    "user": "user",
    "item": ["item", "cat"],
    "context": ["shop"],
    "time": {"column": "time", "unit": "integer"},
    "kind": "events",
    "split": {"by": "time", "train": 10, "val": 20, "test": 30},
}
IMPRESSIONS: dict[str, Any] = EVENTS | {
    "kind": "impressions",
    "label": {"column": "label"},
    "split": {"by": "fraction"},
}


def schema_file(folder: Path, values: object, name: str = "my.yaml") -> str:
    """The path of a YAML file; texts are written as they are."""
    path = folder / name
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return str(path)


def csv_file(folder: Path, text: str | pd.DataFrame, name: str = "my.csv") -> str:
    """The path of a text file."""
    path = folder / name
    path.write_text(text if isinstance(text, str) else text.to_csv(index=False))
    return str(path)


def parquet_file(folder: Path, frame: pd.DataFrame, name: str = "my.parquet") -> str:
    """The path of a parquet file."""
    frame.to_parquet(folder / name, index=False)
    return str(folder / name)


def read(folder: Path, schema: object, events: str | pd.DataFrame) -> Log:
    """The log of a csv text, or of a frame as parquet."""
    write = csv_file if isinstance(events, str) else parquet_file
    options = OwnOptions(
        schema=schema_file(folder, schema),
        events=write(folder, events),  # type: ignore[arg-type]
    )
    return Own().read(options)
