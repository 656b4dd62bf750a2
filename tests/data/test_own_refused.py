"""What is wrong with a log of one's own, or its schema, is named before anything is written."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_files import EVENTS, IMPRESSIONS, csv_file, parquet_file, schema_file
from small_logs import HAND_EVENTS, frame

from rokkit.data import load, plan
from rokkit.data.sources import own
from rokkit.errors import ConfigError, DataError

HAND = frame(HAND_EVENTS)
CSV = HAND.to_csv(index=False)
GIVEN = {"by": "column", "column": "shop", "values": {"pool": 1, "train": 2, "val": 3, "test": 4}}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
    assert own.Own.Options is own.OwnOptions  # importing it registers the source
    return tmp_path / "data" / "samples"


def assert_nothing_is_written(place: Path) -> None:
    assert not place.exists() or all(p.name.endswith(".lock") for p in place.iterdir())


def changed(**settings: Any) -> dict[str, Any]:
    """EVENTS with other settings; None leaves one out."""
    return {k: v for k, v in (EVENTS | settings).items() if v is not None}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("- user\n- item\n", r"my\.yaml holds \['user', 'item'\] \(list\); expected a mapping"),
        ("", r"my\.yaml holds nothing; expected a mapping"),
        ("user: [", r"my\.yaml cannot be read as YAML"),
        (changed(usr="user"), r"my\.yaml: setting 'usr' is not known\. Did you mean 'user'\?"),
        (changed(user=None), r"my\.yaml: 'user' is missing; expected user, item, time, kind"),
        (changed(user=3), r"user is 3 \(int\)"),
        (changed(item=None), "'item' is missing"),
        (changed(item=[]), "item is .*expected at least one column; the first is the item"),
        (changed(context=["user"]), "column 'user' is both user and context. A column has one"),
        (changed(context=["time"]), "column 'time' is both context and time"),
        (changed(item=["item", "item"]), "column 'item' is both item and item"),
        (changed(retrieval=["itm"]), r"field 'itm' is not known\. Did you mean 'item'"),
        (changed(time="time"), r"my\.yaml: time holds 'time' \(str\); expected a mapping"),
        (changed(time={"column": "time"}), r"time: 'unit' is missing; expected column, unit"),
        (
            changed(time={"column": "time", "unit": "second"}),
            r"time: unit: value 'second' is not known\. Did you mean 'seconds'",
        ),
        (changed(time={"colum": "time"}), r"time: setting 'colum' .* Did you mean 'column'"),
        (changed(kind="event"), r"kind: value 'event' is not known\. Did you mean 'events'"),
        (changed(kind="impressions"), "kind is 'impressions', but no label is given"),
        (changed(label={"column": "shop"}, context=None), "kind is 'events', .*but a label is"),
        (IMPRESSIONS | {"negatives": {}}, "negatives are drawn for kind: events only"),
        (changed(negatives={"history_share": 2}), "negatives.history_share is 2.0; expected a"),
        (changed(negatives={"only": ["item"]}), "negatives: setting 'only' is not known"),
        (changed(split=None), "'split' is missing"),
        (changed(split={"train": 10}), "split: 'by' is missing; expected one of time, fraction, c"),
        (changed(split={"by": "tme"}), r"split: by 'tme' is not known\. Did you mean 'time'"),
        (changed(split={"by": "time", "train": 1}), "split: 'val' is missing; expected train, val"),
        (
            changed(split=EVENTS["split"] | {"tset": 3}),
            r"split: setting 'tset' is not known\. Did you mean 'test'",
        ),
        (
            changed(split=EVENTS["split"] | {"val": 10}),
            r"my\.yaml: split \(train, val, test\) is \['10', '10', '30'\]; expected ascending",
        ),
        (
            changed(split=EVENTS["split"] | {"end": 30}),
            r"split \(train, val, test, end\) is .*expected ascending times",
        ),
        (
            changed(split=EVENTS["split"] | {"val": "2017-10-08"}),
            "split.val is 2017-10-08; expected it written like the time column .unit: integer.",
        ),
        (
            changed(time={"column": "time", "unit": "iso"}),
            "split.train is 10; expected it .*unit: iso.*dates such as 2017-10-08",
        ),
        (
            changed(time={"column": "time", "unit": "yyyymmdd"}),
            "split.train is 10; expected it .*days such as 20171008",
        ),
        (changed(split={"by": "fraction", "pool": 0.9}), r"my\.yaml: pool \+ train \+ val \+ test"),
        (changed(split={"by": "fraction", "scope": "all"}), "scope: value 'all' is not known"),
        (changed(split={"by": "column", "column": "part"}), "split: 'values' is missing"),
        (
            changed(split={"by": "column", "column": "part", "values": {"pool": [1]}}),
            "split: values: 'train' is missing; expected pool, train, val, test",
        ),
        (
            changed(split=GIVEN | {"values": GIVEN["values"] | {"val": [2]}}, context=None),  # type: ignore[operator]
            "split.values: 2 stands for both train and val",
        ),
        (
            changed(split=GIVEN | {"values": GIVEN["values"] | {"val": []}}, context=None),  # type: ignore[operator]
            "split.values.val is .*expected at least one value",
        ),
        (changed(split=GIVEN), "column 'shop' is both context and split"),
        (changed(csv={"separator": "::"}), "csv.separator is '::'; expected one character"),
        (changed(csv={"encoding": "utf8x"}), "csv.encoding is 'utf8x'; expected a name that Py"),
        (changed(csv={"header": False}), "csv.columns is .*the names of all columns"),
        (changed(csv={"columns": ["a"]}), "csv.columns names columns although the first line"),
        (changed(csv={"seperator": ";"}), "csv: setting 'seperator' .* Did you mean 'separator'"),
    ],
)
def test_a_schema_that_does_not_fit(tmp_path: Path, place: Path, schema: Any, message: str) -> None:
    files = {"schema": schema_file(tmp_path, schema), "events": csv_file(tmp_path, CSV)}
    with pytest.raises(ConfigError, match=message) as refused:
        plan("own", files)  # before the table is looked at
    assert "my.yaml" in str(refused.value)
    assert not place.exists()


@pytest.mark.parametrize(
    ("name", "content", "schema", "message"),
    [
        ("my.csv", None, EVENTS, r"events .*my\.csv is no file\. Check the path"),
        ("my.xlsx", "x", EVENTS, r"my\.xlsx has an ending that is not known; expected one of \.c"),
        ("my.csv", "", EVENTS, r"my\.csv is empty; expected rows"),
        ("my.csv", "\n\n", EVENTS, r"my\.csv cannot be read .*csv settings"),
        ("my.csv", "user,item\n", EVENTS, r"column 'cat' is not known\. Known: item, user"),
        (
            "my.csv",
            CSV.replace("shop", "shops"),
            EVENTS,
            r"my\.csv: column 'shop' is not known\. Did you mean 'shops'",
        ),
        ("my.csv", CSV.replace(",", ";"), EVENTS, "Is csv.separator what separates the fields"),
        ("my.csv", CSV.replace("cat", "user"), EVENTS, "column 'cat' is not known"),
        ("my.csv", CSV.replace("cat", "shop"), changed(item="item"), "more than one column 'shop'"),
        ("my.parquet", "PAR1 no", EVENTS, r"my\.parquet cannot be read .*Expected a parquet file"),
    ],
)
def test_a_table_that_lacks_what_is_asked_for(
    tmp_path: Path, place: Path, name: str, content: str | None, schema: Any, message: str
) -> None:
    if content is not None:
        csv_file(tmp_path, content, name)
    files = {"schema": schema_file(tmp_path, schema), "events": str(tmp_path / name)}
    with pytest.raises(DataError, match=message):
        plan("own", files)  # before the table is read as a whole
    assert not place.exists()


def test_a_schema_that_is_not_there(tmp_path: Path, place: Path) -> None:
    events = csv_file(tmp_path, CSV)
    with pytest.raises(DataError, match=r"no\.yaml cannot be read .No such file.*docs/data\.md"):
        plan("own", {"schema": str(tmp_path / "no.yaml"), "events": events})
    assert not place.exists()


ROW = "a,10,x,1,5,1\n"
HEAD = "user,item,cat,shop,time,label\n"


@pytest.mark.parametrize(
    ("text", "schema", "message"),
    [
        (HEAD, EVENTS, "has no rows. Expected a header and rows"),
        (HEAD + "a,b\n", EVENTS, r"no rows but 1 malformed lines\. Such a line: 'a,b'"),
        (
            HEAD + ROW.replace("5", "soon") * 2,
            EVENTS,
            "no time can be read: column 'time' holds 'soon'; unit: integer expects whole numbers",
        ),
        (HEAD + ROW.replace("5", ""), EVENTS, "column 'time' is empty; unit: integer"),
        (
            ROW * 3,
            changed(csv={"header": False, "columns": HEAD.strip().split(",")[:5]}),
            r"has no rows but 3 malformed lines\. Such a line: 'a,10,x,1,5,1'\..*csv settings",
        ),
        (HEAD + ROW[1:], EVENTS, r"no row of .*my\.csv can be used \(1: no user \(the user\)\)"),
        (
            HEAD + ROW + ROW.replace("5,1", "6,2"),
            IMPRESSIONS,
            r"label column 'label' holds '2'; expected 0 and 1 only.*positive: \[2\]",
        ),
        (
            HEAD + ROW,
            IMPRESSIONS | {"label": {"column": "label", "positive": ["clck", 1]}},
            "positive of label column 'label': value 'clck' is not known",
        ),
        (
            HEAD + ROW.replace("5,1", "5,good"),
            IMPRESSIONS | {"label": {"column": "label", "positive": ">= 4"}},
            "label column 'label' holds 'good' and no number; positive: \">= 4\" compares",
        ),
        (CSV, changed(split=EVENTS["split"] | {"test": 99}), "split.test is 99, after the last"),
        (
            CSV,
            changed(split=EVENTS["split"] | {"train": 1}),
            r"split.train is 1, at or before the first time .*the log has 1 to 31\)",
        ),
        (
            CSV,
            changed(split=GIVEN, context=None),
            r"split.values.val \(column 'shop'\): value '3' is not known\. Known: 1, 2",
        ),
        (CSV.replace("10,1", "10,1.5"), EVENTS, "column 'shop' holds the fraction 1.5"),
        (
            CSV,
            changed(split=EVENTS["split"] | {"train": 6, "val": 7, "test": 8}),
            "part 'train' ha",
        ),
        (HEAD + "é,10,x,1,5,1\n", EVENTS, "is not in utf-8: set csv.encoding"),
    ],
)
def test_rows_that_do_not_fit(
    tmp_path: Path, place: Path, text: str, schema: Any, message: str
) -> None:
    path = tmp_path / "my.csv"
    path.write_bytes(text.encode("latin-1"))
    files = {"schema": schema_file(tmp_path, schema), "events": str(path)}
    with pytest.raises(DataError, match=message):
        load("own", **files)
    assert_nothing_is_written(place)


def test_a_cut_outside_the_data_is_named_as_it_is_written(tmp_path: Path, place: Path) -> None:
    held = HAND.assign(time=[f"2017-10-0{1 + i}" for i in range(8)])
    cuts = {"by": "time", "train": "2017-10-03", "val": "2017-10-05", "test": "2018-01-01"}
    schema = changed(time={"column": "time", "unit": "iso"}, split=cuts)
    files = {"schema": schema_file(tmp_path, schema), "events": csv_file(tmp_path, held)}
    with pytest.raises(DataError, match=r"split\.test is 2018-01-01, after the last time"):
        load("own", **files)
    assert_nothing_is_written(place)


def test_a_damaged_parquet_file_is_named(tmp_path: Path, place: Path) -> None:
    many = pd.concat([HAND] * 2000)
    path = Path(parquet_file(tmp_path, many))
    held = bytearray(path.read_bytes())
    held[4:400] = bytes(396)  # the rows, not the footer that names the columns
    path.write_bytes(held)
    files = {"schema": schema_file(tmp_path, EVENTS), "events": str(path)}
    with pytest.raises(DataError, match=r"my\.parquet cannot be read"):
        load("own", **files)
    assert_nothing_is_written(place)


def test_a_parquet_file_without_rows(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "my.parquet"
    pq.write_table(pa.Table.from_pandas(HAND[:0]), path)
    files = {"schema": schema_file(tmp_path, EVENTS), "events": str(path)}
    with pytest.raises(DataError, match="has no rows"):
        load("own", **files)
    assert_nothing_is_written(place)
