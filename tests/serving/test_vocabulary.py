"""The shipped vocabulary gives every raw value the id that the samples gave it."""

from bisect import bisect_left
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.data.schema import Field, Schema
from rokkit.errors import ArtefactError
from rokkit.serving import write_vocabulary

Values = list[str | None]


def schema_of(*columns: Values) -> Schema:
    fields, offset = [], 1
    for i, values in enumerate(columns):
        role = ("user", "item", "context")[i]
        fields.append(Field(name=f"f{i}", role=role, offset=offset, size=len(values)))
        offset = fields[-1].stop
    return Schema(name="made", fields=tuple(fields), retrieval=("f0",))


def series(*columns: Values) -> "pd.Series[str]":
    values = [value for column in columns for value in column]
    return pd.Series(values, index=np.arange(1, len(values) + 1, dtype=np.int32), dtype="str")


class Loaded:
    """The three arrays, and a value looked up in them."""

    def __init__(self, folder: Path) -> None:
        self.texts, self.starts, self.ids = (
            np.load(folder / f"{name}.npy") for name in ("texts", "starts", "ids")
        )

    def spelt(self, row: int) -> bytes:
        return bytes(self.texts[self.starts[row] : self.starts[row + 1]])

    def find(self, field: Field, value: str | None) -> int:
        text, rows = (value or "").encode(), range(field.offset, field.stop)
        at = bisect_left(rows, text, key=self.spelt)
        found = at < len(rows) and self.spelt(rows[at]) == text
        return int(self.ids[rows[at]]) if found else 0


column = st.lists(st.none() | st.text(min_size=1), min_size=1, max_size=12, unique=True)


@settings(max_examples=60)
@given(st.tuples(column, column, column).filter(lambda three: any(map(any, three))), st.text())
def test_each_value_is_found_and_no_other(
    columns: tuple[Values, Values, Values], other: str
) -> None:
    schema = schema_of(*columns)
    with TemporaryDirectory() as place:
        write_vocabulary(Path(place) / "vocabulary", schema, series(*columns))
        held = Loaded(Path(place) / "vocabulary")
    assert (held.texts.dtype, held.starts.dtype, held.ids.dtype) == ("u1", "i8", "i4")
    assert len(held.ids) == schema.n_ids == len(held.starts) - 1
    assert (held.ids[0], held.spelt(0)) == (0, b"")
    for field, values in zip(schema.fields, columns, strict=True):
        for i, value in enumerate(values):
            assert held.find(field, value) == field.offset + i
        if (other or None) not in values:
            assert held.find(field, other) == 0


def test_by_hand(tmp_path: Path) -> None:
    """Kills: numbers in their order of size, ids of another field, bytes in place of letters."""
    columns: tuple[Values, ...] = (["2", "10"], ["é", "z", None])
    write_vocabulary(tmp_path / "v", schema_of(*columns), series(*columns))
    held = Loaded(tmp_path / "v")
    assert held.texts.tobytes().decode() == "102zé"
    assert held.starts.tolist() == [0, 0, 2, 3, 3, 4, 6]
    assert held.ids.tolist() == [0, 2, 1, 5, 4, 3]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (series(["1", "2"], ["a"]).drop(2), "the vocabulary has 2 ids, from 1 to 3; .* 1 to 3"),
        (series(["1", "2"]), "the vocabulary has 2 ids, from 1 to 2; .* 1 to 3"),
        (series(["1", "1"], ["a"]), "field 'f0' has one value under two ids"),
    ],
)
def test_a_vocabulary_of_other_samples_is_refused(
    values: "pd.Series[str]", message: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtefactError, match=message):
        write_vocabulary(tmp_path / "v", schema_of(["1", "2"], ["a"]), values)
    assert list(tmp_path.iterdir()) == []
