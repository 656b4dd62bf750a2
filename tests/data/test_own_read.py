"""A log of one's own: every notation, type and label rule; what is dropped is counted."""

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from own_files import EVENTS, IMPRESSIONS, csv_file, parquet_file, read, schema_file
from small_logs import HAND_EVENTS, event_log, event_rows, frame

from rokkit.data import EventLog, GlobalShares, ImpressionLog, PerUser, SourceOptions
from rokkit.data.assemble import Assembled, assemble
from rokkit.data.own import table
from rokkit.data.own.times import read_times
from rokkit.data.samples import PARTS
from rokkit.data.sources.own import Own, OwnOptions
from rokkit.errors import ConfigError, DataError

EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
HAND = frame(HAND_EVENTS)


def made(log: Any) -> Assembled:
    return assemble("own", log, SourceOptions())


def assert_same(one: Assembled, other: Assembled) -> None:
    assert [v.values for v in one.vocabularies] == [v.values for v in other.vocabularies]
    for part in PARTS:
        for kind in ("x", "y", "time"):
            a, b = (getattr(held.parts[part], kind) for held in (one, other))
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.history.rows, other.history.rows)


def by_hand(rows: Any = HAND_EVENTS) -> Assembled:
    log = event_log(rows)
    return made(type(log)(**(vars(log) | {"ties": "user"})))


@pytest.mark.parametrize("form", ["csv", "parquet", "categories", "floats"])
def test_a_file_gives_the_samples_of_the_log_it_holds(tmp_path: Path, form: str) -> None:
    events: Any = {
        "csv": HAND.to_csv(index=False),
        "parquet": HAND,
        "categories": HAND.astype({"user": "category", "item": "category", "cat": "category"}),
        "floats": HAND.astype({"item": float, "shop": float}),
    }[form]
    log = read(tmp_path, EVENTS, events)
    assert isinstance(log, EventLog)
    assert [(f.name, f.role) for f in log.fields] == [
        ("user", "user"),
        ("item", "item"),
        ("cat", "item"),
        ("shop", "context"),
    ]
    assert log.retrieval == ("user", "item", "cat")
    assert (log.origin.rows_read, log.origin.dropped) == (8, ())
    assert_same(made(log), by_hand())


@EXAMPLES
@given(rows=event_rows())
def test_csv_and_parquet_give_the_same_samples(tmp_path: Path, rows: Any) -> None:
    held = frame(rows)
    expected = by_hand(rows)
    assert_same(made(read(tmp_path, EVENTS, held.to_csv(index=False))), expected)
    assert_same(made(read(tmp_path, EVENTS, held)), expected)


def test_a_file_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece has codes of its own; values that a later one brings get new codes."""
    monkeypatch.setattr(table, "BLOCK", 40)
    monkeypatch.setattr(table, "ROWS", 3)
    pieces = table.Table(Path(csv_file(tmp_path, HAND))).pieces(["user"])
    assert len(list(pieces)) > 2
    assert_same(made(read(tmp_path, EVENTS, HAND.to_csv(index=False))), by_hand())
    assert_same(made(read(tmp_path, EVENTS, HAND)), by_hand())


def test_columns_take_no_python_object_per_row(tmp_path: Path) -> None:
    log = read(tmp_path, EVENTS, HAND.to_csv(index=False))
    kinds = {name: str(kind) for name, kind in log.frame.dtypes.items()}
    assert kinds == {
        "user": "category",
        "item": "int64",
        "cat": "category",
        "shop": "int64",
        "time": "int64",
    }


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "2", "10"], [1, 2, 10]),
        (["1.0", "2.0", "10"], [1, 2, 10]),  # a join made floats of them
        (["01", "2", "10"], ["01", "2", "10"]),  # 01 and 1 are two texts
        (["1", "2", "x"], ["1", "2", "x"]),
        (["9007199254740993", "2", "-3"], [9007199254740993, 2, -3]),  # beyond exact floats
        (["12345678901234567890", "2", "3"], ["12345678901234567890", "2", "3"]),
        (["1e5", "2", "3"], ["1e5", "2", "3"]),
        (["1", "", "3"], [1, None, 3]),
        (["a", "n/a", '"b, c"'], ["a", None, "b, c"]),
        (["1", "n/a", "1.0"], [1, None, 1]),
        (["", "", ""], [None, None, None]),
    ],
)
def test_texts_become_numbers_where_all_are(
    tmp_path: Path, texts: list[str], expected: list[Any]
) -> None:
    rows = [f"u,i,c,{text},{t}" for text, t in zip(texts, (1, 2, 3), strict=True)]
    text = "user,item,cat,shop,time\n" + "\n".join(rows)
    cuts = {"split": {"by": "fraction"}, "missing": ["n/a"]}
    held = read(tmp_path, EVENTS | cuts, text).frame["shop"]
    assert [None if pd.isna(v) else v for v in held] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, 2, None], pa.int32()), [1, 2, None]),
        (pa.array([2**62, 2, -3], pa.int64()), [2**62, 2, -3]),
        (pa.array([2.0, None, float("nan")]), [2, None, None]),
        (pa.array([2.0, float("inf"), 2.0**53]), [2, None, 2**53]),
        (pa.array([True, False, None]), [1, 0, None]),
        (pa.array([Decimal(7), None, Decimal(8)], pa.decimal128(38, 0)), [7, None, 8]),
        (pa.array(["7", "b", ""], pa.large_string()), ["7", "b", None]),
        (pa.array(["7", "8", None], pa.string()), [7, 8, None]),
        (pa.array([b"7", b"b", None], pa.binary()), ["7", "b", None]),
        (pa.array([-1, 4, 5]), [None, 4, 5]),  # -1 is among the texts that mean missing
        (pa.array([5, 4, 5]).dictionary_encode(), [5, 4, 5]),
        (pa.nulls(3), [None, None, None]),
    ],
)
def test_types_of_parquet(tmp_path: Path, values: Any, expected: list[Any]) -> None:
    held = pa.table({"user": ["u"] * 3, "item": ["i"] * 3, "cat": ["c"] * 3, "time": [1, 2, 3]})
    path = tmp_path / "my.parquet"
    pq.write_table(held.append_column("shop", values), path)
    values = EVENTS | {"split": {"by": "fraction"}, "missing": ["-1"]}
    log = Own().read(OwnOptions(schema=schema_file(tmp_path, values), events=str(path)))
    assert [None if pd.isna(v) else v for v in log.frame["shop"]] == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([1.5, 2.0]), "column 'shop' holds the fraction 1.5.*Bucket the column"),
        (pa.array(["1.5", "2e-3"]), "column 'shop' holds the fraction 1.5.*Bucket the column"),
        (pa.array([1, 2], pa.timestamp("us")), r"'shop' is of type timestamp\[us\].*Convert"),
        (pa.array([[1], [2]]), "'shop' is of type list.*Convert"),
        (pa.array([2**63, 2], pa.uint64()), "'shop' .type uint64. cannot be read as int64"),
        (pa.array([1e300, 2.0]), "column 'shop' holds a number too large to be exact"),
        (pa.array([Decimal("1.5"), Decimal(2)]), "'shop' .type decimal.* cannot be read as int64"),
    ],
)
def test_values_that_are_no_ids_are_refused(tmp_path: Path, values: Any, message: str) -> None:
    held = pa.table({"user": ["u"] * 2, "item": ["i"] * 2, "cat": ["c"] * 2, "time": [1, 2]})
    path = tmp_path / "my.parquet"
    pq.write_table(held.append_column("shop", values), path)
    schema = schema_file(tmp_path, EVENTS | {"split": {"by": "fraction"}})
    with pytest.raises(DataError, match=message):
        Own().read(OwnOptions(schema=schema, events=str(path)))


DAY = 1507420800  # 2017-10-08 00:00:00 UTC


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        ("integer", ["7", "-7", "7.0", "07", "x", ""], [7, -7, 7, None, None, None]),
        ("seconds", [f"{DAY}", "-5"], [DAY, -5]),
        ("milliseconds", [f"{DAY}123"], [DAY * 1000 + 123]),
        (
            "iso",
            [
                "2017-10-08",
                "2017-10-08 01:00:00",
                "2017-10-08T01:00:00.999",
                "2017-10-08T01:00:00+02:00",
                "2017-10-08T01:00:00Z",
                "1969-12-31 23:59:59.5",
                "08.10.2017",
                "2017-13-01",
            ],
            [DAY, DAY + 3600, DAY + 3600, DAY - 3600, DAY + 3600, -1, None, None],
        ),
        ("yyyymmdd", ["20171008", "20171301", "2017108", "171008"], [DAY, None, None, None]),
    ],
)
@pytest.mark.parametrize("coded", [False, True])
def test_notations_of_time(unit: Any, values: list[str], expected: list[Any], coded: bool) -> None:
    held = pa.array([None, *values])
    found = read_times(held.dictionary_encode() if coded else held, unit, "time")
    times = zip(found.values.tolist(), found.readable, strict=True)
    assert [value if ok else None for value, ok in times] == [None, *expected]


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        ("integer", pa.array([7, None], pa.int16()), [7, None]),
        ("seconds", pa.array([7.0, float("nan"), None, float("inf")]), [7, None, None, None]),
        ("yyyymmdd", pa.array([20171008, 20171301, None, -1]), [DAY, None, None, None]),
        ("iso", pa.array([DAY * 10**9 + 5, None], pa.timestamp("ns")), [DAY, None]),
        ("iso", pa.array([DAY], pa.timestamp("s", "Europe/Berlin")), [DAY]),
        ("iso", pa.array([17447], pa.date32()), [DAY]),
    ],
)
def test_typed_times(unit: Any, values: pa.Array, expected: list[Any]) -> None:
    found = read_times(values, unit, "time")
    times = zip(found.values.tolist(), found.readable, strict=True)
    assert [value if ok else None for value, ok in times] == expected


@pytest.mark.parametrize(
    ("unit", "values", "message"),
    [
        ("seconds", pa.array(["1", "1.5"]), "fraction 1.5; unit: seconds.*multiplied by 1000"),
        ("integer", pa.array([1.5]), "fraction 1.5; unit: integer.*Round the column"),
        ("iso", pa.array([DAY]), "type int64; unit: iso expects dates.*unit: seconds"),
        ("seconds", pa.array([1], pa.timestamp("s")), r"timestamp\[s\]; unit: seconds.*unit: iso"),
    ],
)
def test_times_of_another_notation_are_refused(unit: Any, values: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_times(values, unit, "time")


@pytest.mark.parametrize(
    ("positive", "values", "expected"),
    [
        (None, ["1", "0", "1.0"], [1, 0, 1]),
        (1, ["1", "0", "2"], [1, 0, 0]),
        ("click", ["click", "view", "click"], [1, 0, 1]),
        (["click", "buy"], ["click", "view", "buy"], [1, 0, 1]),
        (["4.5", 5], ["4.5", "5", "3"], [1, 1, 0]),
        (">= 4", ["4", "3.5", "5"], [1, 0, 1]),
        ("<3", ["4", "2", "3"], [0, 1, 0]),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_labels(tmp_path: Path, positive: Any, values: list[str], expected: Any, form: str) -> None:
    held = pd.DataFrame({"user": "u", "item": 1, "cat": "c", "shop": 1, "time": [1, 2, 3]})
    held["label"] = values
    if form == "parquet":
        numbers = pd.to_numeric(held["label"], errors="coerce")
        held["label"] = held["label"] if numbers.isna().any() else numbers
    values_of = {} if positive is None else {"positive": positive}
    schema = IMPRESSIONS | {"label": {"column": "label", **values_of}}
    log = read(tmp_path, schema, held.to_csv(index=False) if form == "csv" else held)
    assert isinstance(log, ImpressionLog)
    assert log.labels().tolist() == expected
    assert log.frame["label"].dtype == np.int8


def test_what_cannot_be_used_is_dropped_and_counted_for_its_first_reason(tmp_path: Path) -> None:
    lines = [
        *("a,1,x,1,1,5", "a,2,x,1,2,1", "b,1,x,1,3,4"),  # kept
        ",1,x,1,4,5",  # no user
        "NULL,,x,1,,5",  # no user: the first reason counts
        "a,,x,1,4,5",  # no item
        *("a,1,x,1,,5", "a,1,x,1,NULL,5"),  # no time
        *("a,1,x,1,soon,5", "a,1,x,1,3 days,5", "a,1,x,1,1e3,5"),  # unreadable time
        "a,1,x,1,4,",  # no label
        *("a,1,x,1,4,five", "a,1,x,1,4,?"),  # unreadable label
        *("a,1,x,1,4", "a,1,x,1,4,5,6", "a"),  # malformed
        "",  # an empty line is no row
        "a,1,,,9,1",  # kept: without category and shop
    ]
    text = "user,item,cat,shop,time,stars\n" + "\n".join(lines)
    schema = IMPRESSIONS | {
        "name": "stars",
        "label": {"column": "stars", "positive": ">= 4"},
        "missing": ["NULL"],
    }
    log = read(tmp_path, schema, text)
    assert log.origin.rows_read == 18
    assert dict(log.origin.dropped) == {
        "no user (the user)": 2,
        "no item (the item)": 1,
        "no time (the time)": 2,
        "unreadable time (unit: integer)": 3,
        "no stars (the label)": 1,
        "unreadable stars (the label)": 2,
        "malformed lines, with another number of fields": 3,
    }
    assert log.frame["time"].tolist() == [1, 2, 3, 9]
    assert log.frame["stars"].tolist() == [1, 0, 1, 0]
    assert log.origin.notes == (
        "Name: stars.",
        "The label is 1 where stars is >= 4.",
        "1 rows have no cat; missing is a value of its own.",
        "1 rows have no shop; missing is a value of its own.",
        "1 lines are empty or lie inside quoted texts. A stray quote swallows the lines up to the "
        "next one; csv: {quotes: false} takes quotes as they are.",
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["", "\n"])
def test_lines_that_a_stray_quote_swallows_are_told(tmp_path: Path, packed: bool, end: str) -> None:
    """From the quote before x to that after y, three lines are one value."""
    lines = ['a,1,"x,1,1', "a,2,x,1,2", 'a,3,y",1,3', 'b,4,"y, z",1,4', 'b,5,"""y""",1,5']
    data = ("user,item,cat,shop,time\n" + "\n".join(lines) + end).encode()
    path = tmp_path / ("my.csv.gz" if packed else "my.csv")
    path.write_bytes(gzip.compress(data) if packed else data)

    def log(schema: Any) -> Any:
        return Own().read(OwnOptions(schema=schema_file(tmp_path, schema), events=str(path)))

    schema = EVENTS | {"split": {"by": "fraction"}}
    swallowed = log(schema)
    assert swallowed.frame["time"].tolist() == [3, 4, 5]
    assert swallowed.frame["cat"].tolist()[1:] == ["y, z", '"y"']
    assert swallowed.origin.notes[0].startswith("2 lines are empty or lie inside quoted texts.")
    literal = log(schema | {"csv": {"quotes": False}})
    assert literal.frame["time"].tolist() == [1, 2, 3, 5]
    assert literal.frame["cat"].tolist() == ['"x', "x", 'y"', '"""y"""']
    assert literal.origin.dropped == (("malformed lines, with another number of fields", 1),)
    assert literal.origin.notes == ()


def test_licence_and_time_unit_reach_the_log(tmp_path: Path) -> None:
    told = {
        "licence": "CC0",
        "licence_note": "Do what you like.",
        "negatives": {"history_share": 0},
    }
    log = read(tmp_path, EVENTS | told, HAND)
    assert isinstance(log, EventLog)
    assert (log.origin.licence, log.origin.licence_note) == ("CC0", "Do what you like.")
    assert log.negatives.history_share == 0
    assert log.negatives.only is None
    assert log.time_unit == "the log's own whole numbers"
    schema = EVENTS | {"time": {"column": "time", "unit": "seconds"}}
    assert read(tmp_path, schema, HAND).time_unit == "seconds since 1970-01-01 UTC"


def test_fields_of_the_query_can_be_named(tmp_path: Path) -> None:
    assert read(tmp_path, EVENTS | {"retrieval": ["item", "shop"]}, HAND).retrieval == (
        "item",
        "shop",
    )


def test_a_single_column_needs_no_brackets(tmp_path: Path) -> None:
    log = read(tmp_path, EVENTS | {"item": "item", "context": "cat"}, HAND)
    assert [f.name for f in log.fields] == ["user", "item", "cat"]


@pytest.mark.parametrize(("scope", "kind"), [("user", PerUser), ("global", GlobalShares)])
def test_split_by_fraction(tmp_path: Path, scope: str, kind: type[Any]) -> None:
    shares = {"pool": 0.4, "train": 0.3, "val": 0.1, "test": 0.2}
    log = read(tmp_path, EVENTS | {"split": {"by": "fraction", "scope": scope, **shares}}, HAND)
    assert isinstance(log.split, kind)
    assert vars(log.split.shares) == shares


@pytest.mark.parametrize(
    ("unit", "column", "cuts"),
    [
        ("iso", [f"2017-10-{d:02d}" for d in range(1, 11)], ["2017-10-08", "2017-10-09"]),
        ("iso", [f"2017-10-{d:02d}T12:00:00" for d in range(1, 11)], ["2017-10-08", "2017-10-09"]),
        ("yyyymmdd", [20171001 + d for d in range(10)], [20171008, 20171009]),
    ],
)
def test_cuts_are_written_like_the_time_column(
    tmp_path: Path, unit: str, column: list[Any], cuts: list[Any]
) -> None:
    """Unquoted dates are dates in YAML; quoted ones are texts."""
    held = pd.DataFrame({"user": "u", "item": 1, "time": column})
    last = {"iso": "2017-10-09 18:00:00", "yyyymmdd": 20171010}[unit]
    for quote in ("", "'") if unit == "iso" else ("",):
        schema = (
            "user: user\nitem: item\nkind: events\n"
            f"time: {{column: time, unit: {unit}}}\n"
            f"split: {{by: time, train: {quote}{cuts[0]}{quote}, val: {quote}{cuts[1]}{quote}, "
            f"test: {quote}{last}{quote}}}\n"
        )
        log = read(tmp_path, schema, held)
        part = log.split.assign(np.zeros(10, np.int64), np.sort(log.times()))
        assert part.tolist() == [0] * 7 + [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "options", "change"),
    [
        ("my.csv", {"header": False, "columns": ["user", "item", "shop", "time", "cat"]}, None),
        ("my.csv", {"separator": ";"}, ";"),
        ("my.tsv", {}, "\t"),
        ("my.TXT", {"separator": "|"}, "|"),
        ("my.csv", {"encoding": "latin-1"}, "latin-1"),
        ("my.csv.gz", {}, "gzip"),
    ],
)
def test_ways_to_write_text(
    tmp_path: Path, name: str, options: dict[str, Any], change: str | None
) -> None:
    held = HAND.assign(cat=HAND["cat"].replace("x", "é"))
    separator = change if change in (";", "\t", "|") else ","
    text = held.to_csv(index=False, sep=separator, header=bool(change))
    data = text.encode("latin-1" if change == "latin-1" else "utf-8")
    (tmp_path / name).write_bytes(gzip.compress(data) if change == "gzip" else data)
    schema = schema_file(tmp_path, EVENTS | {"csv": options})
    log = Own().read(OwnOptions(schema=schema, events=str(tmp_path / name)))
    assert log.frame["cat"].tolist() == held["cat"].tolist()
    assert log.frame["item"].tolist() == held["item"].tolist()


def test_the_two_files_are_what_the_samples_depend_on(tmp_path: Path) -> None:
    schema, events = schema_file(tmp_path, EVENTS), parquet_file(tmp_path, HAND)
    found = Own().files(OwnOptions(schema=schema, events=events))
    assert {name: str(path) for name, path in found.items()} == {
        "schema.yaml": schema,
        "events.parquet": events,
    }


@pytest.mark.parametrize(
    ("given", "lacking"),
    [({}, "schema and events"), ({"schema": "a"}, "events"), ({"events": "a"}, "schema")],
)
def test_both_files_have_to_be_given(given: dict[str, str], lacking: str) -> None:
    with pytest.raises(DataError, match=f"lacks {lacking}. .*rokkit data build --schema"):
        Own().files(OwnOptions(**given))


def test_a_relative_path_may_start_at_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "rokkit"\n')
    (tmp_path / "notebooks").mkdir()
    schema_file(tmp_path, EVENTS)
    parquet_file(tmp_path, HAND)
    monkeypatch.chdir(tmp_path / "notebooks")
    options = OwnOptions(schema="my.yaml", events="my.parquet")
    assert len(Own().read(options).frame) == 8
    # What lies here comes first.
    parquet_file(tmp_path / "notebooks", HAND[1:])
    assert len(Own().read(options).frame) == 7


def test_a_truth_value_for_texts_is_explained(tmp_path: Path) -> None:
    held = HAND.assign(label=["yes", "no"] * 4)
    schema = IMPRESSIONS | {"label": {"column": "label", "positive": True}}
    with pytest.raises(ConfigError, match=r'holds True, which YAML reads .* such as "yes"'):
        read(tmp_path, schema, held)
