"""Tmall, Taobao and Alipay in any order of rows, with any dirt, interrupted; a plain reference."""

import csv as plain_csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_raw import (
    ACTIONS,
    CUTS,
    FILES,
    FORMATS,
    ITEMS,
    MEANINGS,
    NAMES,
    PEOPLE,
    PUBLISHED_HEADER,
    Quirks,
    Rows,
    assert_same,
    column,
    counted,
    data_lines,
    log_of,
    made,
    random_rows,
    raw_rows,
    table,
    write_bytes,
    write_raw,
)

from rokkit.data import build, load
from rokkit.data.assemble import Assembled
from rokkit.data.lines import Lines
from rokkit.data.raw import csv
from rokkit.data.samples import PARTS
from rokkit.data.sources import tianchi
from rokkit.errors import DataError

each_format = pytest.mark.parametrize("name", FORMATS)
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root of its own."""
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def shuffled(draw: st.DataObject, name: str, rows: Rows) -> Rows:
    """The rows in another order; those of one user at one moment keep theirs."""

    def group(row: list[str]) -> tuple[str, str]:
        return row[column(name, "user")], row[column(name, "time")]

    queues: dict[tuple[str, str], Iterator[list[str]]] = {}
    for one in {group(row) for row in rows}:
        queues[one] = iter([row for row in rows if group(row) == one])
    return [next(queues[group(row)]) for row in draw.draw(st.permutations(rows))]


@each_format
@FEW
@given(data=st.data())
def test_the_order_of_rows_does_not_matter(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Up to the one documented tie: rows of one user at one moment."""
    rows = data.draw(random_rows(name))
    options: dict[str, Any] = {"seed": data.draw(st.integers(0, 3))}
    if len({row[column(name, "user")] for row in rows}) > 2 and data.draw(st.booleans()):
        options["users"] = 2
    one = write_raw(tmp_path / "one", name, rows)
    other = write_raw(tmp_path / "other", name, shuffled(data, name, rows))
    try:
        expected = made(name, one, **options)
    except DataError:  # the sub-sample of users left nothing in a part
        with pytest.raises(DataError):
            made(name, other, **options)
        return
    block = data.draw(st.sampled_from([128, 1 << 20]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "BLOCK", block)
        assert_same(made(name, other, **options), expected)


@each_format
def test_rows_of_one_user_and_moment_do_keep_the_order_of_the_file(
    tmp_path: Path, name: str
) -> None:
    rows = raw_rows(name, [("7", item, 0, 0) for item in ("100", "30", "2000")]) + raw_rows(name)
    items = made(name, write_raw(tmp_path, name, rows)).history.of(1)[:3, 0]
    assert np.argsort(np.argsort(items)).tolist() == [1, 0, 2]


@each_format
@FEW
@given(data=st.data())
def test_ubr_does_not_depend_on_the_order_either(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    rows = data.draw(random_rows(name))
    rows += raw_rows(name, [("7", "100", moment, 0) for moment in (0, 1, 2, 3)])
    one = write_raw(tmp_path / "one", name, rows)
    other = write_raw(tmp_path / "other", name, shuffled(data, name, rows))
    assert_same(made(name, other, protocol="ubr"), made(name, one, protocol="ubr"))


DIRT = st.text('0123456789.-,"\n\r \t\x00xé', max_size=6).map(str.encode) | st.sampled_from(
    [b"\xff", b"9" * 30, b"0x1F", b"-9223372036854775808", b"1e9", b"nan", b"pv", b"2017-12-01"]
)


@each_format
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_dirt_is_refused_or_counted(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Whatever is in the file: an error that says so, or every line is an event or counted."""
    rows = [row for row in data.draw(random_rows(name, most=10)) for _ in range(2)]
    quirks = Quirks(
        header=data.draw(st.booleans()),
        index=data.draw(st.booleans()),
        quotes=data.draw(st.booleans()),
    )
    clean = table(NAMES[name], rows, quirks)
    keep = clean.index(b"\n") + 1  # the header or the first row stay as they are
    content = bytearray(clean)
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(keep, len(content)))
        content[start : start + data.draw(st.integers(0, 4))] = data.draw(DIRT)
    users = bytearray(b"user_id,age_range,gender\n7,1,0\n12,,2\n5,4,\n")
    if data.draw(st.booleans()):
        users[data.draw(st.integers(25, len(users))) :] = data.draw(DIRT)
    folder = write_bytes(tmp_path_factory.mktemp("dirt"), name, bytes(content), bytes(users))
    clicks = data.draw(st.booleans())
    try:
        origin = log_of(name, folder, clicks_only=clicks).origin
        out = made(name, folder, clicks_only=clicks)
    except DataError:
        return
    assert origin.rows_read == data_lines(bytes(content), quirks.header)
    events = origin.rows_read - sum(rows for _, rows in origin.dropped)
    assert out.dropped == ()
    assert sum(int(part.y.sum()) for part in out.parts.values()) == events
    assert all(n > 0 for _, n in (*origin.dropped, *origin.repaired))


@each_format
@FEW
@given(data=st.data())
def test_what_is_dropped_leaves_no_trace(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """A file with unreadable rows gives the samples of the file without them."""
    rows = data.draw(random_rows(name))
    expected = made(name, write_raw(tmp_path / "clean", name, rows))
    reasons = 0
    dirty = list(rows)
    for _ in range(data.draw(st.integers(1, 5))):
        bad = list(data.draw(st.sampled_from(rows)))
        where = data.draw(st.integers(0, len(bad) - 1))
        if data.draw(st.booleans()):
            bad[where] = data.draw(st.sampled_from(["x", "1.5", "0x1F", "1 2", "9" * 30, "é"]))
        else:
            bad = bad[:-1]
        # Not in front: the width of a file without a header is that of its first line.
        dirty.insert(data.draw(st.integers(1, len(dirty))), bad)
        reasons += 1
    folder = write_raw(tmp_path / "dirty", name, dirty)
    assert_same(made(name, folder), expected)
    origin = log_of(name, folder).origin
    assert sum(counted(origin.dropped).values()) == reasons
    assert origin.rows_read == len(rows) + reasons


def reference(name: str, content: bytes) -> dict[str, Any]:
    """Steps 1 to 5 of RIM's sample construction (protocol §1.4), with dicts and loops."""
    lines = list(plain_csv.reader(io.StringIO(content.decode())))
    header = lines.pop(0) if PUBLISHED_HEADER[name] else list(NAMES[name])
    position = {m: header.index(c) for m, c in zip(MEANINGS[name], NAMES[name], strict=True)}
    fields = {
        "tmall": ["user", "item", "category", "seller", "brand", "action", "age", "gender"],
        "taobao": ["user", "item", "category", "action"],
        "alipay": ["user", "item", "seller", "category", "action"],
    }[name]
    item_fields = [f for f in fields if f in ("item", "category", "seller", "brand")]
    events = []
    for line in lines:
        event = {meaning: line[place] for meaning, place in position.items()}
        if name == "tmall":
            event["age"], event["gender"] = PEOPLE.get(event["user"], ("", ""))
        events.append(event)
    train, val, test = CUTS[name]
    events.sort(key=lambda e: (int(e["time"]), int(e["user"])))
    parts: dict[str, list[list[str]]] = {part: [] for part in PARTS}
    histories: dict[str, list[list[str]]] = {e["user"]: [] for e in events}
    for e in events:
        when = int(e["time"])
        part = PARTS[(when >= train) + (when >= val) + (when >= test)]
        parts[part].append([e[f] for f in fields])
        if part == "pool":
            histories[e["user"]].append([e[f] for f in item_fields])
    return {
        "sizes": {f: len({e[f] for e in events}) for f in fields},
        "tuples": sorted({tuple(e[f] for f in item_fields) for e in events}),
        "parts": parts,
        "histories": histories,
    }


def spelled_out(out: Assembled) -> dict[str, Any]:
    """What `reference` says, of the samples made: ids back to texts."""
    text = [""] + [
        "" if value is None else str(value) for v in out.vocabularies for value in v.values
    ]
    users = [str(value) for value in out.vocabularies[0].values]

    def texts(x: np.ndarray[Any, Any]) -> list[list[str]]:
        return [[text[i] for i in row] for row in x.tolist()]

    return {
        "sizes": {f.name: f.size for f in out.schema.fields},
        "tuples": sorted(map(tuple, texts(out.item_tuples))),
        "parts": {part: texts(rows.x[rows.y == 1]) for part, rows in out.parts.items()},
        "histories": {user: texts(out.history.of(u)) for u, user in enumerate(users)},
    }


@each_format
@FEW
@given(data=st.data())
def test_samples_agree_with_a_plain_reference(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    folder = write_raw(tmp_path, name, data.draw(random_rows(name, most=40)))
    content = (folder / FILES[name]).read_bytes()
    assert spelled_out(made(name, folder)) == reference(name, content)


def test_the_reference_by_hand() -> None:
    """The reference itself, on three rows."""
    rows = [["7", "30", "9", "pv", "1512144000"], ["7", "8", "9", "buy", "-5"]]
    rows.append(["12", "30", "9", "pv", "1512230400"])
    found = reference("taobao", table(NAMES["taobao"], rows, Quirks(header=False)))
    assert found == {
        "sizes": {"user": 2, "item": 2, "category": 1, "action": 2},
        "tuples": [("30", "9"), ("8", "9")],
        "parts": {
            "pool": [["7", "8", "9", "buy"]],
            "train": [["7", "30", "9", "pv"]],
            "val": [],
            "test": [["12", "30", "9", "pv"]],
        },
        "histories": {"7": [["8", "9"]], "12": []},
    }
    assert ITEMS["30"][0] == "9"
    assert ACTIONS["taobao"][0] == "pv"


# Interruption.


def leftovers(place: Path) -> list[str]:
    """Everything under the data root, hidden or not, but the locks."""
    return sorted(p.name for p in place.rglob("*") if p.is_file() and p.suffix != ".lock")


def interrupt(patch: pytest.MonkeyPatch, where: str, what: type[BaseException]) -> None:
    """Fail in the middle of a build."""

    def fail(*_: Any, **__: Any) -> None:
        raise what("pulled the plug")

    if where == "reading":
        whole = tianchi.read_batches

        def some(*args: Any) -> Iterator[Any]:
            batches = whole(*args)
            yield next(batches)
            fail()

        patch.setattr(csv, "BLOCK", 128)
        patch.setattr(tianchi, "read_batches", some)
    elif where == "writing the pool":
        slices = Lines._slices

        def few(self: Lines) -> Iterator[Any]:
            yield next(slices(self))
            fail()

        patch.setattr("rokkit.data.lines.SLICE", 3)
        patch.setattr(Lines, "_slices", few)
    else:
        name = {"checking": "check", "the card": "data_card", "the end": "write_samples"}[where]
        patch.setattr(build, name, fail)


@each_format
@pytest.mark.parametrize(
    "where", ["reading", "writing the pool", "checking", "the card", "the end"]
)
@pytest.mark.parametrize("what", [KeyError, KeyboardInterrupt])
def test_a_build_that_fails_leaves_nothing_and_can_be_done_again(
    place: Path, tmp_path: Path, name: str, where: str, what: type[BaseException]
) -> None:
    folder = str(write_raw(tmp_path / "own", name))
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, where, what)
        with pytest.raises(what, match="pulled the plug"):
            load(name, path=folder, target_rate=1.0)
    assert leftovers(place) == []
    assert [p for p in (place / "samples").iterdir() if p.is_dir()] == []
    assert_same(load(name, path=folder, target_rate=1.0), made(name, Path(folder)))


BUILD_AND_STOP = """
import sys, time
from pathlib import Path
from rokkit.data import build
def stop(made):
    Path(sys.argv[3]).touch()
    time.sleep(600)
build.check = stop
build.load(sys.argv[1], path=sys.argv[2], target_rate=1.0)
"""


def test_a_build_that_is_killed_leaves_no_half_data_set(place: Path, tmp_path: Path) -> None:
    folder, reached = write_raw(tmp_path / "own", "tmall"), tmp_path / "reached"
    words = [sys.executable, "-c", BUILD_AND_STOP, "tmall", str(folder), str(reached)]
    process = subprocess.Popen(words, env=os.environ | {"ROKKIT_DATA": str(place)})
    try:
        while not reached.exists():
            assert process.poll() is None, "the build ended by itself"
            time.sleep(0.05)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    halves = [p for p in (place / "samples").iterdir() if p.is_dir()]
    # The pool had been written, in a folder that no reader looks at.
    assert len(halves) == 1
    assert halves[0].name.startswith(".tmall-")
    assert (halves[0] / "pool_x.npy").exists()
    again = load("tmall", path=str(folder), target_rate=1.0)
    assert_same(again, made("tmall", folder))
    # The half is cleared away by whoever builds next.
    assert [p for p in (place / "samples").iterdir() if p.is_dir()] == [again.folder]
