"""Tmall, Taobao and Alipay from raw files: every quirk, what is counted, and the protocols."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_raw import (
    ACTIONS,
    CUTS,
    EVENTS,
    FILES,
    FORMATS,
    ITEMS,
    MOMENTS,
    NAMES,
    PUBLISHED_HEADER,
    USERS_FILE,
    Quirks,
    assert_same,
    column,
    counted,
    log_of,
    made,
    pack,
    raw_rows,
    table,
    users_table,
    with_cell,
    write_bytes,
    write_raw,
)

from rokkit.data import Samples, load, plan
from rokkit.data.assemble import Assembled
from rokkit.data.samples import PARTS
from rokkit.data.sources import REGISTRY
from rokkit.data.sources.tianchi import Tianchi
from rokkit.errors import ConfigError, DataError

each_format = pytest.mark.parametrize("name", FORMATS)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root of its own."""
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def values(out: Assembled) -> dict[str, tuple[str | int | None, ...]]:
    """The raw values of each field, in id order."""
    return {v.field.name: v.values for v in out.vocabularies}


def positives(samples: Assembled | Samples, part: Any) -> list[list[int]]:
    found = samples.part(part) if isinstance(samples, Samples) else samples.parts[part]
    rows: list[list[int]] = found.x[found.y == 1].tolist()
    return rows


# Where the files lie, and what became of them.


@each_format
def test_samples_do_not_depend_on_where_the_files_lie(
    place: Path, tmp_path: Path, name: str
) -> None:
    folder = write_raw(tmp_path / "plain", name)
    expected = made(name, folder)
    deep = write_raw(tmp_path / "deep" / "data_format1", name).parent
    places = [
        folder / FILES[name],
        deep,
        pack(folder, tmp_path / "one.zip"),
        pack(folder, tmp_path / "zips" / "data_format1 .zip", "data_format1/", shadows=True),
        tmp_path / "zips",
    ]
    for one in places:
        assert_same(made(name, one), expected)
    # Without path= they are looked for under the data root.
    write_raw(place / "raw" / name, name)
    assert_same(load(name, target_rate=1.0), expected)


@each_format
@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(header=True),
        Quirks(header=False),
        Quirks(spell=str.upper),
        Quirks(spell=str.lower),
        Quirks(index=True),
        Quirks(index=True, header=False),
        Quirks(newline="\r\n"),
        Quirks(bom=True),
        Quirks(bom=True, header=False),
        Quirks(quotes=True),
        Quirks(last_newline=False),
        Quirks(header=False, index=True, newline="\r\n", bom=True, quotes=True, last_newline=False),
    ],
)
def test_samples_do_not_depend_on_what_became_of_the_file(
    tmp_path: Path, name: str, quirks: Quirks
) -> None:
    expected = made(name, write_raw(tmp_path / "plain", name))
    other = write_raw(tmp_path / "other", name, quirks=quirks)
    assert_same(made(name, other), expected)
    assert log_of(name, other).origin == log_of(name, tmp_path / "plain").origin


@each_format
def test_columns_in_another_order_need_a_header(tmp_path: Path, name: str) -> None:
    expected = made(name, write_raw(tmp_path / "plain", name))
    order = tuple(reversed(range(len(NAMES[name]))))
    with_header = write_raw(tmp_path / "other", name, quirks=Quirks(order=order, spell=str.title))
    assert_same(made(name, with_header), expected)


@pytest.mark.parametrize("zeros", [0, 1, 4])
def test_times_and_ids_may_be_zero_padded(tmp_path: Path, zeros: int) -> None:
    expected = made("tmall", write_raw(tmp_path / "plain", "tmall"))
    rows = [[(c.lstrip("0") or "0") if c else "" for c in row] for row in raw_rows("tmall")]
    padded = [["0" * zeros + c if c and i != 6 else c for i, c in enumerate(r)] for r in rows]
    assert rows[1][5] == "511"
    padded[4] = rows[4]  # some are and some are not
    assert_same(made("tmall", write_raw(tmp_path / "other", "tmall", padded)), expected)


@pytest.mark.parametrize("some", [False, True])
def test_brands_that_became_floats_are_the_same_brands(tmp_path: Path, some: bool) -> None:
    expected = made("tmall", write_raw(tmp_path / "plain", "tmall"))
    rows = raw_rows("tmall")
    floats = 0
    for row in rows[::2] if some else rows:
        floats += bool(row[4])
        row[4] = row[4] and f"{row[4]}.0"
    folder = write_raw(tmp_path / "other", "tmall", rows)
    assert_same(made("tmall", folder), expected)
    repaired = counted(log_of("tmall", folder).origin.repaired)
    assert repaired["brand_id written as a float, such as 12.0 (read as 12)"] == floats > 2


FIELDS = [
    *(("tmall", f) for f in ("item", "category", "seller", "brand")),
    *(("taobao", f) for f in ("item", "category")),
    *(("alipay", f) for f in ("seller", "item", "category")),
]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_an_empty_text_is_one_more_value_numbered_last(
    tmp_path: Path, name: str, field: str
) -> None:
    rows = raw_rows(name)
    for row in (1, 4, 8):  # in pool, train and test
        rows = with_cell(name, rows, row, field, "")
    folder = write_raw(tmp_path, name, rows)
    out = made(name, folder)
    where = column(name, field)
    known = sorted({int(row[where]) for row in rows if row[where]})
    assert values(out)[field] == (*known, None)
    spec = out.schema.fields[out.schema.column(field)]
    ids = [x[out.schema.column(field)] for part in PARTS for x in positives(out, part)]
    assert ids.count(spec.stop - 1) == sum(not row[where] for row in rows) >= 3
    origin = log_of(name, folder).origin
    assert (origin.rows_read, origin.dropped) == (len(rows), ())
    assert sum(len(part) for part in out.parts.values()) == 2 * len(rows)


def test_ages_and_genders_by_hand(tmp_path: Path) -> None:
    """User 12 has no age, 5 no gender, 99 no entry: each missing value is one more value."""
    out = made("tmall", write_raw(tmp_path, "tmall"))
    assert values(out)["age"] == (1, 4, None)
    assert values(out)["gender"] == (0, 2, None)
    age, gender = (out.schema.column(f) for f in ("age", "gender"))
    of_user = {
        values(out)["user"][x[0] - 1]: tuple(
            values(out)[f][x[c] - out.schema.fields[c].offset]
            for f, c in (("age", age), ("gender", gender))
        )
        for part in PARTS
        for x in positives(out, part)
    }
    assert of_user == {5: (4, None), 7: (1, 0), 12: (None, 2), 99: (None, None)}
    repaired = counted(log_of("tmall", tmp_path).origin.repaired)
    assert repaired == {
        f"user without an entry in {USERS_FILE} (age and gender are missing)": 1,
    }


def test_users_without_any_entry(tmp_path: Path) -> None:
    write_raw(tmp_path, "tmall")
    (tmp_path / USERS_FILE).write_bytes(users_table({}))
    out = made("tmall", tmp_path)
    assert values(out)["age"] == values(out)["gender"] == (None,)
    (repaired,) = counted(log_of("tmall", tmp_path).origin.repaired).values()
    assert repaired == len(EVENTS)


def test_the_file_of_users_may_have_quirks_too(tmp_path: Path) -> None:
    expected = made("tmall", write_raw(tmp_path / "plain", "tmall"))
    other = write_raw(tmp_path / "other", "tmall")
    text = "\ufeff,GENDER,user_id,age_range\r\n0,2.0,12,\r\n1,0,7,01\r\n2,,5,4.0"
    (other / USERS_FILE).write_bytes(text.encode())
    assert_same(made("tmall", other), expected)


# One file with every quirk at once, per format.


TMALL_HAND = "\r\n".join(
    [
        '\ufeff"","ITEM_ID","USER_ID","cat_id","seller_id","brand_id","action_type","time_stamp"',
        '"0","100","7","5","3","2661.0","0","1101"',
        '"1","30","7","9","4","61","0","829"',
        '"2","30","12","9","4","61","0","0829"',
        '"3","30","12","9","4","61","0","829"',  # again
        '"4","2000","7","5","4","","2","0511"',  # no brand
        '"5","2000","7","5","4","","9","0511"',  # unknown action
        '"6","20x","7","5","4","","0","0511"',  # unreadable item
        '"7","2000","","5","4","","0","0511"',  # no user
        '"8","2000","7","5","4","","0",""',  # no time
        '"9","2000","7","5","4","5.0","0","1131"',  # no date
        '"10","100","99","5","3","2661.0","0","1110"',  # a user without an entry
        '"11","100","12","5","3","2661","3.0","1112"',
        '"12","30","7","9","4","61","1"," 0510 "',  # before the published span
        '"13","100","7","5","3","26',  # cut off
    ]
)
TMALL_USERS = "\n".join(
    [
        "user_id,age_range,gender",
        "7,1,0",
        "12,,2",
        "12,5,1",  # a second entry
        ",3,1",  # no user
        "50,3.0,",  # not in the log
        "8,x,1",  # unreadable
        "60,2",  # cut off
    ]
)
TAOBAO_HAND = "\r\n".join(
    [
        '\ufeff"0","12","100","5","pv","1512144000"',
        '"1","7","2000","5.0","pv","1511539200"',
        '"2","7","30","9","buy","-2109600000"',  # 1903
        '"3","12","30","","cart","1511625600"',  # no category
        '"4","12","30","","cart","1511625600"',  # again
        '"5","7","30","9","view","1511625600"',  # unknown behaviour
        '"6","7","x","9","pv","1511625600"',  # unreadable item
        '"7","","30","9","pv","1511625600"',  # no user
        '"8","7","30","9","pv",""',  # no time
        '"9","7","30","9","pv","151162560x"',  # unreadable time
        '"10","7","100","5","pv","1512223200"',
        '"11","12","2000","5"," pv ","1512230400"',
        '"12","7","100","5","fav","2145888000"',  # 2037
        '"13","12","100","5","p',  # cut off
    ]
)
ALIPAY_HAND = "\n".join(
    [
        "use_id,SEL_ID,time,ite_ID,cat_ID,act_ID",
        "12,3,20151121,100,5,0",
        "7,4,20150701,2000,5,0",
        "7,4,20150829,30,9,1.0",
        "12,4.0,20150829,30,9,0",
        "12,4,20150829,30,9,0",  # again
        "7,,20151031,30,9,0",  # no seller
        "7,4,20151131,30,9,0",  # no such day
        "7,4,20150229,30,9,0",  # nor this
        "7,4,831,30,9,0",  # a month and a day
        "7,4,2015-08-31,30,9,0",  # no number
        "7,4,20150831,30,9,2",  # unknown action
        "99999999999999999999,4,20150831,30,9,0",  # unreadable user
        "7,3,20151124,100,5,0",
        "12,4,20151130,2000,5,0",
        "7,3,20160101,100,5,1",  # after the published span
        "7,3,2016",  # cut off
    ]
)

CUT = "fields (cut off or damaged)"
FLOAT = "written as a float, such as 12.0 (read as 12)"
REPEATS = "exact repeats of another row (kept: each is an event)"
OUTSIDE = "(kept as RIM does: early ones are in the pool, late ones in test)"
HAND: dict[str, dict[str, Any]] = {
    "tmall": {
        "text": TMALL_HAND,
        "rows_read": 14,
        "dropped": {
            f"lines without 8 {CUT}": 1,
            "action_type is none of 0, 1, 2, 3": 1,
            "item_id is no whole number": 1,
            "user_id is empty": 1,
            "time_stamp is empty": 1,
            "time_stamp is no date": 1,
        },
        "repaired": {
            f"brand_id {FLOAT}": 2,
            f"action_type {FLOAT}": 1,
            f"times outside the published span 511 to 1112 {OUTSIDE}": 1,
            f"user without an entry in {USERS_FILE} (age and gender are missing)": 1,
            REPEATS: 1,
            f"left out of {USERS_FILE}: lines without 3 {CUT}": 1,
            f"left out of {USERS_FILE}: entries that cannot be read": 2,
            f"left out of {USERS_FILE}: second entries of a user": 1,
            f"{USERS_FILE}: age_range {FLOAT}": 1,
        },
        "values": {
            "user": ["7", "12", "99"],
            "item": ["30", "100", "2000"],
            "category": ["5", "9"],
            "seller": ["3", "4"],
            "brand": ["61", "2661", None],
            "action": ["0", "1", "2", "3"],
            "age": ["1", None],
            "gender": ["0", "2", None],
        },
        "retrieval": ("user", "item", "category", "seller", "brand"),
        "positives": {
            "pool": [
                [1, 4, 8, 10, 11, 15, 18, 20],
                [1, 6, 7, 10, 13, 16, 18, 20],
                [1, 4, 8, 10, 11, 14, 18, 20],
                [2, 4, 8, 10, 11, 14, 19, 21],
                [2, 4, 8, 10, 11, 14, 19, 21],
            ],
            "train": [[1, 5, 7, 9, 12, 14, 18, 20]],
            "val": [[3, 5, 7, 9, 12, 14, 19, 22]],
            "test": [[2, 5, 7, 9, 12, 17, 19, 21]],
        },
        "time": {"pool": [510, 511, 829, 829, 829], "train": [1101], "val": [1110], "test": [1112]},
        "histories": [
            [[4, 8, 10, 11], [6, 7, 10, 13], [4, 8, 10, 11]],
            [[4, 8, 10, 11], [4, 8, 10, 11]],
            [],
        ],
        "tuples": [[4, 8, 10, 11], [5, 7, 9, 12], [6, 7, 10, 13]],
    },
    "taobao": {
        "text": TAOBAO_HAND,
        "rows_read": 14,
        "dropped": {
            f"lines without 6 {CUT}": 1,
            "behavior is none of pv, buy, cart, fav": 1,
            "item_id is no whole number": 1,
            "user_id is empty": 1,
            "timestamp is empty": 1,
            "timestamp is no whole number": 1,
        },
        "repaired": {
            f"category_id {FLOAT}": 1,
            f"times outside the published span 1511539200 to 1512316799 {OUTSIDE}": 2,
            REPEATS: 1,
        },
        "values": {
            "user": ["7", "12"],
            "item": ["30", "100", "2000"],
            "category": ["5", "9", None],
            "action": ["buy", "cart", "fav", "pv"],
        },
        "retrieval": ("user", "item", "category"),
        "positives": {
            "pool": [[1, 3, 7, 9], [1, 5, 6, 12], [2, 3, 8, 10], [2, 3, 8, 10]],
            "train": [[2, 4, 6, 12]],
            "val": [[1, 4, 6, 12]],
            "test": [[2, 5, 6, 12], [1, 4, 6, 11]],
        },
        "time": {
            "pool": [-2109600000, 1511539200, 1511625600, 1511625600],
            "train": [1512144000],
            "val": [1512223200],
            "test": [1512230400, 2145888000],
        },
        "histories": [[[3, 7], [5, 6]], [[3, 8], [3, 8]]],
        "tuples": [[3, 7], [3, 8], [4, 6], [5, 6]],
    },
    "alipay": {
        "text": ALIPAY_HAND,
        "rows_read": 16,
        "dropped": {
            f"lines without 6 {CUT}": 1,
            "act_ID is none of 0, 1": 1,
            "use_ID is no whole number": 1,
            "time is no whole number": 1,
            "time is no date": 3,
        },
        "repaired": {
            f"sel_ID {FLOAT}": 1,
            f"act_ID {FLOAT}": 1,
            f"times outside the published span 20150701 to 20151130 {OUTSIDE}": 1,
            REPEATS: 1,
        },
        "values": {
            "user": ["7", "12"],
            "item": ["30", "100", "2000"],
            "seller": ["3", "4", None],
            "category": ["5", "9"],
            "action": ["0", "1"],
        },
        "retrieval": ("user", "seller", "item", "category"),
        "positives": {
            "pool": [
                [1, 5, 7, 9, 11],
                [1, 3, 7, 10, 12],
                [2, 3, 7, 10, 11],
                [2, 3, 7, 10, 11],
                [1, 3, 8, 10, 11],
            ],
            "train": [[2, 4, 6, 9, 11]],
            "val": [[1, 4, 6, 9, 11]],
            "test": [[2, 5, 7, 9, 11], [1, 4, 6, 9, 12]],
        },
        "time": {
            "pool": [20150701, 20150829, 20150829, 20150829, 20151031],
            "train": [20151121],
            "val": [20151124],
            "test": [20151130, 20160101],
        },
        "histories": [[[5, 7, 9], [3, 7, 10], [3, 8, 10]], [[3, 7, 10], [3, 7, 10]]],
        "tuples": [[3, 7, 10], [3, 8, 10], [4, 6, 9], [5, 7, 9]],
    },
}


@each_format
@pytest.mark.parametrize("packed", [False, True])
def test_every_quirk_at_once(tmp_path: Path, name: str, packed: bool) -> None:
    hand = HAND[name]
    path = write_bytes(tmp_path / "own", name, hand["text"].encode(), TMALL_USERS.encode())
    if packed:
        path = pack(path, tmp_path / "zip" / "data_format1 .zip", "inside/", shadows=True).parent
    samples = load(name, path=str(path), target_rate=1.0)
    card, schema = samples.card, samples.schema

    assert card["rows_read"] == hand["rows_read"]
    assert counted(card["dropped"]) == hand["dropped"]
    assert counted(card["repaired"]) == hand["repaired"]
    events = hand["rows_read"] - sum(hand["dropped"].values())
    assert sum(part["positives"] for part in card["parts"].values()) == events
    assert any(f"{FILES[name]} has {hand['rows_read']} rows; " in note for note in card["notes"])
    assert "Tianchi" in card["licence_note"]

    offset = 1
    for field, (label, known) in zip(schema.fields, hand["values"].items(), strict=True):
        assert (field.name, field.offset, field.size) == (label, offset, len(known))
        offset += len(known)
    roles = {f.name: f.role for f in schema.fields}
    assert roles.pop("user") == "user"
    assert {f for f, role in roles.items() if role == "item"} == set(ITEM_FIELDS[name])
    assert schema.retrieval == hand["retrieval"]
    shown = samples.raw(samples.pool.x)
    for label, known in hand["values"].items():
        assert set(shown[label].dropna()) <= set(known)

    for part in PARTS:
        rows = samples.part(part)
        assert positives(samples, part) == hand["positives"][part]
        assert rows.time.tolist() == [t for t in hand["time"][part] for _ in range(2)]
        assert rows.y.tolist() == [1, 0] * (len(rows) // 2)
        for row in rows.x[:, list(schema.item_columns)].tolist():
            assert row in hand["tuples"]
    assert [samples.history.of(u).tolist() for u in range(len(hand["histories"]))] == hand[
        "histories"
    ]
    np.testing.assert_array_equal(samples.item_tuples, hand["tuples"])


ITEM_FIELDS = {
    "tmall": ("item", "category", "seller", "brand"),
    "taobao": ("item", "category"),
    "alipay": ("item", "seller", "category"),
}


@each_format
def test_a_clean_file_has_nothing_to_tell(tmp_path: Path, name: str) -> None:
    rows = [row for row, event in zip(raw_rows(name), EVENTS, strict=True) if event[0] != "99"]
    origin = log_of(name, write_raw(tmp_path, name, rows)).origin
    assert (origin.rows_read, origin.dropped, origin.repaired) == (len(rows), (), ())


@each_format
def test_the_number_of_published_rows_needs_no_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = write_raw(tmp_path, name)
    form = plan(name, {"path": str(folder)}).source.format  # type: ignore[attr-defined]
    assert len(log_of(name, folder).origin.notes) == 1
    monkeypatch.setitem(form.published, "rows", len(EVENTS))
    assert log_of(name, folder).origin.notes == ()


@each_format
@pytest.mark.parametrize("times", [1, 3])
def test_repeated_rows_are_repeated_events(tmp_path: Path, name: str, times: int) -> None:
    rows = raw_rows(name)
    folder = write_raw(tmp_path, name, rows * times)
    out = made(name, folder)
    repaired = counted(log_of(name, folder).origin.repaired)
    assert repaired.get(REPEATS, 0) == (times - 1) * len(rows)
    for part, count in zip(PARTS, (5, 2, 1, 3), strict=True):
        assert len(positives(out, part)) == times * count
    # User 7's history: 30, 2000, 100, each as often as it is in the file.
    item = out.schema.fields[1]
    found = [values(out)["item"][i - item.offset] for i in out.history.of(1)[:, 0]]
    assert found == [item for item in (30, 2000, 100) for _ in range(times)]


@pytest.mark.parametrize("time", ["-1", "0", "-2109600000", "1511539199"])
def test_times_before_the_span_are_pool_rows_or_no_rows(tmp_path: Path, time: str) -> None:
    folder = write_raw(tmp_path, "taobao", with_cell("taobao", raw_rows("taobao"), 1, "time", time))
    out = made("taobao", folder)
    assert out.parts["pool"].time[:2].tolist() == [int(time)] * 2
    assert positives(out, "pool")[0][:2] == [2, 6]  # user 7, item 30
    ubr = log_of("taobao", folder, protocol="ubr").origin
    early = "times before 1511539200, the first of the published span"
    assert counted(ubr.dropped) == {"behaviours other than clicks": 4, early: 1}


@pytest.mark.parametrize("time", ["1512316800", "2145888000", "999999999999999999"])
def test_times_after_the_span_are_test_rows(tmp_path: Path, time: str) -> None:
    folder = write_raw(tmp_path, "taobao", with_cell("taobao", raw_rows("taobao"), 0, "time", time))
    out = made("taobao", folder)
    assert out.parts["test"].time[-2:].tolist() == [int(time)] * 2
    for protocol, what in (
        ("rim", f"times outside the published span 1511539200 to 1512316799 {OUTSIDE}"),
        ("ubr", "times after 1512316799, the last of the published span (kept)"),
    ):
        origin = log_of("taobao", folder, protocol=protocol).origin
        assert counted(origin.repaired) == {what: 1}


@each_format
def test_what_is_repaired_in_a_dropped_row_is_not_counted(tmp_path: Path, name: str) -> None:
    rows = raw_rows(name)
    rows[1] = [cell and f"{cell}.0" for cell in rows[1]]
    rows[1][column(name, "action")] = "neither"
    rows[5][column(name, "item")] += ".0"
    rows[5][column(name, "time")] = {"tmall": "0101", "taobao": "5", "alipay": "20140101"}[name]
    folder = write_raw(tmp_path, name, rows)
    found = counted(log_of(name, folder).origin.repaired)
    assert [n for what, n in found.items() if what.endswith(FLOAT)] == [1]
    assert [n for what, n in found.items() if what.startswith("times outside")] == [1]
    # The odd row is no click.
    found = counted(log_of(name, folder, clicks_only=True).origin.repaired)
    assert not [what for what in found if what.startswith("times outside")]


# The protocols and their switches.


@each_format
def test_the_cuts_are_rims(tmp_path: Path, name: str) -> None:
    options: Any = plan(name, {"path": str(write_raw(tmp_path, name))}).options
    assert (options.train_from, options.val_from, options.test_from) == CUTS[name]
    assert options.target_rate == 0.1
    assert options.protocol == "rim"


@each_format
def test_a_row_at_a_cut_belongs_to_the_later_part(tmp_path: Path, name: str) -> None:
    before = {
        "tmall": [1031, 1109, 1110],
        "taobao": [cut - 1 for cut in CUTS["taobao"]],
        "alipay": [20151119, 20151123, 20151124],
    }[name]
    rows = raw_rows(name)
    times = [*CUTS[name], *before]
    rows += [with_cell(name, rows, 0, "time", str(time))[0] for time in times]
    out = made(name, write_raw(tmp_path, name, rows))
    assert [int(out.parts[part].time[0]) for part in PARTS[1:]] == list(CUTS[name])
    assert [int(out.parts[part].time[-1]) for part in PARTS[:-1]] == before


@each_format
def test_clicks_only(tmp_path: Path, name: str) -> None:
    clicks = [event for event in EVENTS if event[3] == 0]
    out = made(name, write_raw(tmp_path / "all", name), clicks_only=True)
    expected = made(name, write_raw(tmp_path / "clicks", name, raw_rows(name, clicks)))
    assert "action" not in values(out)
    assert values(expected)["action"] == (ACTIONS[name][0],)
    assert {f: v for f, v in values(expected).items() if f != "action"} == values(out)
    assert out.schema.n_fields == {"tmall": 7, "taobao": 3, "alipay": 4}[name]
    action = expected.schema.column("action")
    for part in PARTS:
        without = np.delete(expected.parts[part].x, action, axis=1)
        without[:, action:] -= 1  # the ids after the action's only one
        np.testing.assert_array_equal(out.parts[part].x, without)
    dropped = counted(log_of(name, tmp_path / "all", clicks_only=True).origin.dropped)
    assert dropped == {"behaviours other than clicks": len(EVENTS) - len(clicks)}


@each_format
def test_shares_of_history_negatives_follow_the_protocol(tmp_path: Path, name: str) -> None:
    folder = write_raw(tmp_path, name)

    def share(**options: Any) -> float:
        return log_of(name, folder, **options).negatives.history_share

    assert share() == 0.5
    assert share(protocol="ubr") == {"tmall": 0.5, "taobao": 0.5, "alipay": 0.8}[name]
    assert share(history_negative_share=0.25) == 0.25
    assert share(protocol="ubr", history_negative_share=0.0) == 0.0


@pytest.mark.parametrize("name", ["tmall", "alipay"])
def test_idcat_negatives_replace_only_item_and_category(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    folder = write_raw(tmp_path, name, raw_rows(name) * 8)
    samples = load(name, path=str(folder), target_rate=1.0, idcat_negatives=True)
    assert "which gives the label away" in caplog.text
    assert [note for note in samples.card["notes"] if "gives labels away" in note]
    schema = samples.schema
    both = [schema.column("item"), schema.column("category")]
    rest = [c for c in range(schema.n_fields) if c not in both]
    pairs = {tuple(t) for t in samples.pool.x[::2][:, both].tolist()}
    strange = 0
    whole = {tuple(t) for t in samples.item_tuples.tolist()}
    for part in PARTS:
        x = samples.part(part).x
        np.testing.assert_array_equal(x[::2][:, rest], x[1::2][:, rest])
        assert {tuple(t) for t in x[1::2][:, both].tolist()} <= pairs
        strange += sum(tuple(t) not in whole for t in x[:, list(schema.item_columns)].tolist())
    assert strange > 20  # an item with a seller that it never has


@each_format
def test_negatives_take_the_whole_item_by_default(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    samples = load(name, path=str(write_raw(tmp_path, name, raw_rows(name) * 8)), target_rate=1.0)
    assert "gives" not in caplog.text
    assert not [note for note in samples.card["notes"] if "gives labels away" in note]
    schema = samples.schema
    item = list(schema.item_columns)
    rest = [c for c in range(schema.n_fields) if c not in item]
    whole = {tuple(t) for t in samples.item_tuples.tolist()}
    changed = 0
    for part in PARTS:
        x = samples.part(part).x
        np.testing.assert_array_equal(x[::2][:, rest], x[1::2][:, rest])
        assert {tuple(t) for t in x[:, item].tolist()} <= whole
        changed += int((x[::2][:, item] != x[1::2][:, item]).any(axis=1).sum())
    assert changed > 40


def test_taobao_has_no_item_fields_to_keep(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'idcat_negatives' is not known"):
        plan("taobao", {"path": str(write_raw(tmp_path, "taobao")), "idcat_negatives": True})


def ubr_rows(name: str, events: list[tuple[str, str, str, int]]) -> list[list[str]]:
    """Rows of (user, item, time, index of the action)."""
    rows = raw_rows(name, [(user, item, 0, action) for user, item, _, action in events])
    for row, event in zip(rows, events, strict=True):
        row[column(name, "time")] = event[2]
    return rows


def shown(samples: Samples, part: Any) -> list[list[str]]:
    rows: list[list[str]] = (
        samples.raw(samples.part(part).x[::2]).astype(object).fillna("-").to_numpy().tolist()
    )
    return rows


def ubr(tmp_path: Path, name: str, events: list[tuple[str, str, str, int]]) -> Samples:
    folder = write_raw(tmp_path / "own", name, ubr_rows(name, events))
    return load(name, path=str(folder), protocol="ubr", target_rate=1.0)


def test_ubr_on_tmall_by_hand(tmp_path: Path) -> None:
    samples = ubr(
        tmp_path,
        "tmall",
        [
            ("7", "30", "1111", 0),
            ("7", "100", "1113", 3),  # after the span, kept
            ("5", "30", "0929", 0),  # four on one day: the order of the file
            ("5", "100", "0929", 0),
            ("7", "30", "0515", 0),
            ("5", "2000", "0929", 1),
            ("5", "8", "0929", 0),
            ("7", "30", "0510", 0),  # before the span, dropped
            ("12", "30", "0601", 0),  # three are too few
            ("12", "30", "0602", 0),
            ("12", "8", "0603", 0),
            ("7", "100", "0516", 2),
            ("7", "2000", "0701", 0),
        ],
    )
    assert [f.name for f in samples.schema.fields] == [
        *("user", "item", "category", "seller", "brand", "age", "gender", "season", "half_month")
    ]
    assert shown(samples, "pool") == [
        ["7", "30", "9", "4", "61", "1", "0", "1", "0"],
        ["7", "100", "5", "3", "2661", "1", "0", "1", "1"],
        ["5", "30", "9", "4", "61", "4", "-", "2", "1"],
    ]
    assert shown(samples, "train") == [
        ["7", "2000", "5", "4", "-", "1", "0", "2", "0"],
        ["5", "100", "5", "3", "2661", "4", "-", "2", "1"],
    ]
    assert shown(samples, "val") == [
        ["5", "2000", "5", "4", "-", "4", "-", "2", "1"],
        ["7", "30", "9", "4", "61", "1", "0", "3", "0"],
    ]
    assert shown(samples, "test") == [
        ["5", "8", "9", "11", "61", "4", "-", "2", "1"],
        ["7", "100", "5", "3", "2661", "1", "0", "3", "0"],
    ]
    assert [len(samples.history.of(u)) for u in range(3)] == [1, 2, 0]  # users 5, 7, 12
    card = samples.card
    assert card["rows_read"] == 13
    assert counted(card["dropped"]) == {
        "times before 511, the first of the published span": 1,
        "rows outside all parts": 3,
    }
    assert counted(card["repaired"]) == {
        "times after 1112, the last of the published span (kept)": 1
    }
    assert any("Each user's rows are split" in note for note in card["notes"])


def test_ubr_on_taobao_by_hand(tmp_path: Path) -> None:
    day = 86_400
    first = int(MOMENTS["taobao"][0])
    samples = ubr(
        tmp_path,
        "taobao",
        [
            *[("12", "30", str(first + i), 0) for i in range(3)],  # three clicks are too few,
            *[("12", "30", str(first + i), 1) for i in range(5)],  # whatever else there is
            ("7", "30", str(first - 1), 0),
            ("7", "8", "-5", 0),
            ("7", "8", "-5", 2),
            ("7", "100", str(first + 8 * day), 0),  # Sunday
            ("7", "2000", str(first + 7 * day), 0),  # Saturday
            ("7", "30", str(first + 7 * day - 1), 0),  # Friday, a second earlier
            ("7", "8", str(first + 2 * day), 0),  # Monday
            ("7", "8", str(first + 8 * day), 3),
            ("7", "8", str(first), 0),  # Saturday
        ],
    )
    assert [f.name for f in samples.schema.fields] == ["user", "item", "category", "weekend"]
    assert {part: shown(samples, part) for part in PARTS} == {
        "pool": [["7", "8", "9", "1"], ["7", "8", "9", "0"]],
        "train": [["7", "30", "9", "0"]],
        "val": [["7", "2000", "5", "1"]],
        "test": [["7", "100", "5", "1"]],
    }
    assert samples.card["rows_read"] == 17
    assert counted(samples.card["dropped"]) == {
        "behaviours other than clicks": 7,
        "times before 1511539200, the first of the published span": 2,
        "rows outside all parts": 3,
    }


def test_ubr_on_alipay_by_hand(tmp_path: Path) -> None:
    samples = ubr(
        tmp_path,
        "alipay",
        [
            ("7", "100", "20151130", 0),
            ("7", "30", "20150716", 1),
            ("7", "30", "20150715", 0),
            ("7", "8", "20151016", 0),
            ("7", "2000", "20150930", 0),
            ("5", "2000", "20150930", 0),
        ],
    )
    assert [f.name for f in samples.schema.fields] == [
        *("user", "item", "seller", "category", "season", "half_month")
    ]
    assert {part: shown(samples, part) for part in PARTS} == {
        "pool": [["7", "30", "4", "9", "2", "0"]],
        "train": [["7", "2000", "4", "5", "2", "1"]],
        "val": [["7", "8", "11", "9", "3", "1"]],
        "test": [["7", "100", "3", "5", "3", "1"]],
    }
    assert counted(samples.card["dropped"]) == {
        "behaviours other than clicks": 1,
        "rows outside all parts": 1,
    }


# What cannot be read.


REMEDIES = {
    "tmall": r"Download data_format1\.zip \(Tianchi, data set 42\)",
    "taobao": r"Download UserBehavior\.csv\.zip \(Tianchi, data set 649\)",
    "alipay": r"Download IJCAI16_data\.zip \(Tianchi, data set 53\)",
}


@each_format
@pytest.mark.parametrize("what", ["default folder", "given folder", "file"])
def test_missing_files_say_where_to_get_them(tmp_path: Path, name: str, what: str) -> None:
    options = {} if what == "default folder" else {"path": str(tmp_path / "own")}
    if what == "file":
        (tmp_path / "own").mkdir()
    with pytest.raises(DataError, match=rf"{FILES[name]}.*{REMEDIES[name]}.*data/raw/{name}"):
        plan(name, options)


@pytest.mark.parametrize("packed", [False, True])
def test_a_missing_file_of_users_says_where_to_get_it(tmp_path: Path, packed: bool) -> None:
    path = write_raw(tmp_path / "own", "tmall")
    (path / USERS_FILE).unlink()
    if packed:
        path = pack(path, tmp_path / "data_format1.zip")
    with pytest.raises(DataError, match=rf"holds no {USERS_FILE}.*{REMEDIES['tmall']}"):
        plan("tmall", {"path": str(path)})


@each_format
def test_two_copies_are_refused(tmp_path: Path, name: str) -> None:
    write_raw(tmp_path / "own" / "a", name)
    write_raw(tmp_path / "own" / "b", name)
    with pytest.raises(DataError, match=rf"{FILES[name]} is there 2 times: .*Say which one"):
        plan(name, {"path": str(tmp_path / "own")})


@each_format
@pytest.mark.parametrize(
    "how", ["empty", "header", "narrow", "wide", "nothing left", "header only"]
)
def test_unfit_files_are_named_and_nothing_is_kept(
    place: Path, tmp_path: Path, name: str, how: str
) -> None:
    rows, names = raw_rows(name), NAMES[name]
    whole = table(names, rows, Quirks())
    content, message = {
        "empty": (b"", r"\.csv is empty\. Download it again"),
        "header": (whole.replace(names[1].encode(), b"other"), f"lacks {names[1]}; it is "),
        "narrow": (table(names, rows, Quirks(header=False, order=(0, 1))), "has 2 columns and no"),
        "wide": (
            table(names, [[*row, "1", "2"] for row in rows], Quirks(header=False)),
            f"has {len(names) + 2} columns and no header",
        ),
        "nothing left": (table(names, [["x"] * len(names)], Quirks()), "the log is empty"),
        "header only": (table(names, [], Quirks()), "the log is empty"),
    }[how]
    folder = write_bytes(tmp_path / "own", name, content)
    with pytest.raises(DataError, match=message):
        load(name, path=str(folder))
    assert [p for p in (place / "samples").rglob("*") if p.suffix != ".lock"] == []


def test_a_file_that_is_no_file_of_users_is_named(tmp_path: Path) -> None:
    folder = write_raw(tmp_path, "tmall")
    people = {str(i): (str(i), "0") for i in range(101)}
    (folder / USERS_FILE).write_bytes(users_table(people))
    with pytest.raises(
        DataError, match=f"{USERS_FILE} has 101 values of age_range; expected a few"
    ):
        log_of("tmall", folder)


@each_format
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "rimm"}, "Did you mean 'rim'"),
        ({"history_negative_share": 1.5}, "history_negative_share is 1.5"),
        ({"target_rate": 0.0}, "target_rate is 0.0"),
        ({"click_only": True}, "Did you mean 'clicks_only'"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, name: str, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(name, {"path": str(write_raw(tmp_path, name)), **options})


@each_format
def test_a_cut_outside_the_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_raw(tmp_path, name, raw_rows(name)[:2])
    with pytest.raises(DataError, match=rf"first time of train is {CUTS[name][0]}, outside"):
        made(name, folder)


@each_format
def test_content_not_place_makes_the_fingerprint(tmp_path: Path, name: str) -> None:
    def fingerprint(folder: Path, **options: Any) -> str:
        return plan(name, {"path": str(folder), **options}).fingerprint

    one, two = write_raw(tmp_path / "one", name), write_raw(tmp_path / "two", name)
    other = write_raw(tmp_path / "other", name, raw_rows(name)[::-1])
    assert fingerprint(one) == fingerprint(two)
    different = [
        *(fingerprint(one), fingerprint(other), fingerprint(one, clicks_only=True)),
        *(fingerprint(one, protocol="ubr"), fingerprint(one, history_negative_share=0.5)),
    ]
    if name == "tmall":
        (two / USERS_FILE).write_bytes(users_table({"7": ("2", "0")}))
        different.append(fingerprint(two))
    assert len(set(different)) == len(different)


def test_all_three_have_nothing_to_fetch() -> None:
    for name in FORMATS:
        source = REGISTRY.get(name)
        assert issubclass(source, Tianchi)
        with pytest.raises(DataError, match="has nothing to fetch"):
            source().fetch()


def test_the_small_files_are_as_published() -> None:
    """The helpers of these tests write what protocol §1.1 describes."""
    assert PUBLISHED_HEADER == {"tmall": True, "taobao": False, "alipay": True}
    assert table(NAMES["tmall"], raw_rows("tmall")[:2], Quirks()) == (
        b"user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n"
        b"12,100,5,3,2661,0829,0\n7,30,9,4,61,0511,0\n"
    )
    assert raw_rows("taobao")[1] == ["7", "30", "9", "pv", "1511539200"]
    assert raw_rows("alipay")[2] == ["7", "4", "2000", "5", "1", "20150829"]
    assert ITEMS["2000"] == ("5", "4", "")
