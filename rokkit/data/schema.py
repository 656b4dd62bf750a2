"""What the columns of a data set are: its fields, their roles and their id ranges.

Ids are int32 and global over fields: field i owns the ids [offset, offset + size). Id 0 is padding.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rokkit.config import build, require
from rokkit.errors import ConfigError, DataError, unknown_name
from rokkit.files import slices

_ROWS_AT_ONCE = 1_000_000  # so that a check of memory-mapped rows stays in the cache

Role = Literal["user", "item", "context"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One categorical column."""

    name: str
    role: Role  # "user": the user id; "item": part of the item tuple; "context": all else
    offset: int  # first global id
    size: int  # number of distinct values

    @property
    def stop(self) -> int:
        """One past the last global id."""
        return self.offset + self.size


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The fields of a data set, in column order.

    Symbols: F fields; V ids, padding included; C fields in the item tuple (those that change
    together when a negative is drawn; they are also what a history holds).
    """

    name: str
    fields: tuple[Field, ...]
    retrieval: tuple[str, ...]  # fields that a query matches on (protocol: user and item tuple)

    def __post_init__(self) -> None:
        names = [f.name for f in self.fields]
        require(len(set(names)) == len(names), "schema.fields", names, "distinct names")
        users = [f.name for f in self.fields if f.role == "user"]
        require(len(users) == 1, "schema fields with role 'user'", users, "exactly one")
        require(bool(self.item_columns), "schema fields with role 'item'", [], "at least one")
        require(bool(self.retrieval), "schema.retrieval", self.retrieval, "at least one field")
        expected = 1
        for f in self.fields:
            require(f.size > 0, f"size of field {f.name!r}", f.size, "at least 1")
            require(f.offset == expected, f"offset of field {f.name!r}", f.offset, str(expected))
            expected = f.stop
        for name in self.retrieval:
            if name not in names:
                raise ConfigError("schema.retrieval: " + unknown_name("field", name, names))

    @property
    def n_fields(self) -> int:
        """F."""
        return len(self.fields)

    @property
    def n_ids(self) -> int:
        """V: number of embedding rows, the padding row included."""
        return self.fields[-1].stop

    @property
    def user_column(self) -> int:
        """Index of the user field."""
        return next(i for i, f in enumerate(self.fields) if f.role == "user")

    @property
    def user_field(self) -> Field:
        """The user field."""
        return self.fields[self.user_column]

    @property
    def item_columns(self) -> tuple[int, ...]:
        """Indices of the item tuple, in column order."""
        return tuple(i for i, f in enumerate(self.fields) if f.role == "item")

    @property
    def retrieval_columns(self) -> tuple[int, ...]:
        """Indices of the retrieval fields, in the order they were given."""
        return tuple(self.column(name) for name in self.retrieval)

    def column(self, name: str) -> int:
        """Index of the field `name`; ConfigError with the nearest name if there is none."""
        names = [f.name for f in self.fields]
        if name not in names:
            raise ConfigError(f"schema {self.name!r}: " + unknown_name("field", name, names))
        return names.index(name)

    def check_ids(self, x: NDArray[np.int32], what: str) -> None:
        """Raise DataError unless every column of `x` [N, F] lies in its field's id range."""
        if x.ndim != 2 or x.shape[1] != self.n_fields:
            raise DataError(f"{what} has shape {x.shape}; expected [N, {self.n_fields}].")
        for at in slices(len(x), _ROWS_AT_ONCE, x):
            rows = x[at]
            for f, low, high in zip(self.fields, rows.min(axis=0), rows.max(axis=0), strict=True):
                if low < f.offset or high >= f.stop:
                    raise DataError(
                        f"{what}: field {f.name!r} holds ids {low}..{high}; "
                        f"expected {f.offset}..{f.stop - 1}. Build the samples again."
                    )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Schema":
        """The inverse of `to_dict`."""
        return build(cls, values, where="schema")
