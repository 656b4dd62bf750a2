"""Reading the YAML file of a log of one's own, strictly."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from rokkit.config import build, read_yaml
from rokkit.data.own.schema import (
    CsvOptions,
    DrawnNegatives,
    LabelColumn,
    OwnSchema,
    PartValues,
    SplitByColumn,
    SplitByFraction,
    SplitByTime,
    TimeColumn,
)
from rokkit.data.own.splits import check_split
from rokkit.errors import ConfigError, DataError, unknown_name
from rokkit.paths import shown

C = TypeVar("C")

SPLITS = {"time": SplitByTime, "fraction": SplitByFraction, "column": SplitByColumn}
NESTED = {
    "time": TimeColumn,
    "label": LabelColumn,
    "negatives": DrawnNegatives,
    "csv": CsvOptions,
}
LISTS = ("item", "context", "retrieval", "missing")


def read_schema(path: Path) -> OwnSchema:
    """The schema in the YAML file `path`.

    DataError if the file cannot be read; ConfigError, which names the file, if it is no mapping,
    lacks a setting, has one that is not known (with the nearest name) or one that does not fit.
    """
    where = shown(path)
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"schema {where} cannot be read ({error.strerror}). Check the path; docs/data.md shows "
            "how the file is written."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} cannot be read as YAML: {error}") from None
    ready = _mapping(values, where)
    # A single column may be written without brackets.
    ready |= {k: [ready[k]] for k in LISTS if isinstance(ready.get(k), str)}
    for key, cls in NESTED.items():
        if ready.get(key) is not None:
            ready[key] = _build(cls, ready[key], f"{where}: {key}")
    if "split" in ready:
        ready["split"] = _split(ready["split"], f"{where}: split")
    schema = _build(OwnSchema, ready, where)
    with _named(where):
        check_split(schema)
    return schema


@contextlib.contextmanager
def _named(where: str) -> Iterator[None]:
    """Put `where` before the message of a ConfigError that does not begin with it."""
    try:
        yield
    except ConfigError as error:
        if str(error).startswith(where):
            raise
        raise ConfigError(f"{where}: {error}") from None


def _split(values: Any, where: str) -> SplitByTime | SplitByFraction | SplitByColumn:
    ready = _mapping(values, where)
    by = ready.get("by")
    if by not in SPLITS:
        if by is None:
            raise ConfigError(f"{where}: 'by' is missing; expected one of {', '.join(SPLITS)}.")
        raise ConfigError(f"{where}: " + unknown_name("by", str(by), SPLITS))
    if by == "column" and ready.get("values") is not None:
        ready["values"] = _build(PartValues, ready["values"], f"{where}: values")
    made: SplitByTime | SplitByFraction | SplitByColumn = _build(SPLITS[by], ready, where)
    return made


def _mapping(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        held = "nothing" if values is None else f"{values!r} ({type(values).__name__})"
        raise ConfigError(f"{where} holds {held}; expected a mapping, lines such as key: value.")
    return {str(key): value for key, value in values.items()}


def _build(cls: type[C], values: Any, where: str) -> C:
    """`config.build` that names what is missing, and `where` in every message."""
    ready = _mapping(values, where)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    unset = dataclasses.MISSING
    needed = [f.name for f in fields if f.default is unset and f.default_factory is unset]
    missing = [name for name in needed if name not in ready]
    if missing and set(ready) <= {f.name for f in fields}:
        raise ConfigError(
            f"{where}: {missing[0]!r} is missing; expected {', '.join(needed)}. docs/data.md shows "
            "how the file is written."
        )
    with _named(where):
        return build(cls, ready, where=where)
