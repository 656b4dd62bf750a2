"""A twin's files: exact formats, dirt counted to the row, quirks, and the same bytes each time."""

import csv
import io
import json
import re
import zipfile
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.data.twin import FormatName, Quirks, TwinOptions, sizes, write_twin
from rokkit.data.twin.formats import BY_NAME, INFO_FILE
from rokkit.data.twin.sizes import Sizes
from rokkit.data.twin.write import BlockWriter
from rokkit.errors import DataError

FIRST, END = 1511539200, 1511539200 + 9 * 86400
each_format = pytest.mark.parametrize("name", sorted(BY_NAME))


def options(name: FormatName, rows: int = 3000, **knobs: object) -> TwinOptions:
    return TwinOptions(format=name, rows=rows, **knobs)  # type: ignore[arg-type]


def written(wanted: TwinOptions, folder: Path) -> bytes:
    """The bytes of the log."""
    write_twin(wanted, folder)
    return (folder / BY_NAME[wanted.format].file).read_bytes()


def lines_of(text: bytes, header: bool) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.decode("ascii"))))[int(header) :]


@each_format
def test_each_line_is_as_in_the_real_file(tmp_path: Path, name: FormatName) -> None:
    text = written(options(name), tmp_path / "twin").decode("ascii")
    head = {
        "tmall": "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type\n",
        "taobao": "",
        "alipay": "use_ID,sel_ID,ite_ID,cat_ID,act_ID,time\n",
    }[name]
    assert text.startswith(head)
    lines = text[len(head) :].splitlines()
    assert len(lines) == 3000
    assert text.endswith("\n")
    assert '"' not in text
    number = "[1-9][0-9]*"
    pattern = {
        "tmall": f"({number},){{4}}({number})?,([5-9]|10|11)[0-3][0-9],[0123]",
        "taobao": f"{number},{number},{number},(pv|buy|cart|fav),-?{number}",
        "alipay": f"{number},{number},{number},{number},[01],2015(07|08|09|10|11)[0-3][0-9]",
    }[name]
    assert [line for line in lines if not re.fullmatch(pattern, line)] == []


def test_tmall_tells_of_every_user_once(tmp_path: Path) -> None:
    log = lines_of(written(options("tmall"), tmp_path / "twin"), header=True)
    info = (tmp_path / "twin" / INFO_FILE).read_bytes()
    assert info.startswith(b"user_id,age_range,gender\n")
    rows = lines_of(info, header=True)
    assert sorted(row[0] for row in rows) == sorted({line[0] for line in log})
    assert {row[1] for row in rows} <= {"", *"012345678"}
    assert {row[2] for row in rows} <= {"", *"012"}


@each_format
def test_equal_options_give_equal_bytes(tmp_path: Path, name: FormatName) -> None:
    one, two = options(name, seed=5), options(name, seed=5)
    for place, wanted in (("a", one), ("b", two)):
        write_twin(wanted, tmp_path / place)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (
        written(options(name, seed=6), tmp_path / "c")
        != (tmp_path / "a" / BY_NAME[name].file).read_bytes()
    )


@each_format
def test_a_block_depends_on_nothing_but_itself(
    tmp_path: Path, name: FormatName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are written in another order, alone, and come out the same."""
    monkeypatch.setattr(sizes, "BLOCK_ROWS", 4000)
    wanted = options(name, rows=17_000)
    text = written(wanted, tmp_path / "twin")
    writer = BlockWriter(wanted)
    assert writer.sizes.blocks == 4
    blocks = {block: writer.log_lines(block) for block in (2, 0, 3, 1)}
    named = BY_NAME[name].header
    assert text == text[: text.index(b"\n") + 1] * named + b"".join(blocks[b] for b in range(4))
    assert [blocks[b].count(b"\n") for b in range(4)] == [4000, 4000, 4000, 5000]
    users = [{line.split(b",")[0] for line in blocks[b].splitlines()} for b in range(4)]
    assert sum(map(len, users)) == len(set.union(*users)) == writer.sizes.users


@given(rows=st.integers(1000, 400_000_000), name=st.sampled_from(sorted(BY_NAME)))
@settings(max_examples=60)
def test_blocks_share_out_all_rows_and_users(rows: int, name: FormatName) -> None:
    found = sizes.sizes_of(options(name, rows=rows))
    last = found.blocks - 1
    for block in {0, last // 2, last}:
        held, users = found.rows_of(block), found.users_of(block)
        assert sizes.BLOCK_ROWS * (found.blocks > 1) <= len(held) < 2 * sizes.BLOCK_ROWS
        assert 1 <= len(users) <= len(held)
        if block < last:
            assert found.rows_of(block + 1).start == held.stop
            assert found.users_of(block + 1).start == users.stop
    assert found.rows_of(last).stop == rows
    assert found.users_of(last).stop == found.users
    assert 2 * found.categories <= found.items


def test_the_full_size_has_the_real_counts() -> None:
    for name, real in BY_NAME.items():
        assert sizes.sizes_of(options(name, rows=real.rows)) == Sizes(
            rows=real.rows,
            users=real.users,
            items=real.items,
            categories=real.categories,
            sellers=real.sellers,
            brands=real.brands,
        )


def test_taobao_dirt_to_the_row(tmp_path: Path) -> None:
    """Dirt changes some rows of the clean twin, and the report counts them."""
    clean = write_twin(options("taobao", dirt=0.0), tmp_path / "clean")
    assert set(clean.dirt.values()) == {0}
    report = write_twin(options("taobao", dirt=100.0), tmp_path / "dirty")
    log = (tmp_path / "dirty" / "UserBehavior.csv").read_bytes()
    times = np.array([int(line[4]) for line in lines_of(log, header=False)])
    # At a rate of 5e-5, a copy is unlikely among 3,000 rows.
    assert report.dirt["duplicate row"] == 0
    assert report.dirt["stray time"] == ((times < FIRST) | (times >= END)).sum() > 100
    assert report.dirt["negative time"] == (times < 0).sum() > 0
    before = ((times >= FIRST - 86400) & (times < FIRST)).sum()
    assert before > 0.8 * report.dirt["stray time"]
    assert times.min() >= -(2**31)
    assert times.max() < 2**31

    def whos(text: bytes) -> Counter[tuple[str, ...]]:
        return Counter(tuple(line[:4]) for line in lines_of(text, header=False))

    # Nothing but times differs.
    assert whos(log) == whos((tmp_path / "clean" / "UserBehavior.csv").read_bytes())


def test_copies_are_exact_and_counted(tmp_path: Path) -> None:
    def repeats(lines: list[list[str]]) -> int:
        return sum(a == b for a, b in pairwise(lines))

    clean = options("taobao", rows=30_000, dirt=0.0)
    assert repeats(lines_of(written(clean, tmp_path / "clean"), header=False)) == 0
    report = write_twin(replace(clean, dirt=1000.0), tmp_path / "dirty")
    dirty = lines_of((tmp_path / "dirty" / "UserBehavior.csv").read_bytes(), header=False)
    assert report.rows == len(dirty) == 30_000
    assert report.dirt["duplicate row"] == repeats(dirty) > 5


def test_tmall_dirt_to_the_row(tmp_path: Path) -> None:
    report = write_twin(options("tmall", rows=30_000, dirt=2.0), tmp_path / "twin")
    log = lines_of((tmp_path / "twin" / "user_log_format1.csv").read_bytes(), header=True)
    info = lines_of((tmp_path / "twin" / INFO_FILE).read_bytes(), header=True)
    assert report.dirt == {
        "empty brand": sum(line[4] == "" for line in log),
        "duplicate row": 0,
        "empty age": sum(row[1] == "" for row in info),
        "age 0": sum(row[1] == "0" for row in info),
        "empty gender": sum(row[2] == "" for row in info),
        "gender 2": sum(row[2] == "2" for row in info),
    }
    assert report.dirt["age 0"] / report.users == pytest.approx(2 * 0.219, abs=0.1)
    # The brand is missing of an item, wherever it stands.
    missing = {line[1] for line in log if not line[4]}
    assert not missing & {line[1] for line in log if line[4]}
    clean = write_twin(options("tmall", rows=30_000, dirt=0.0), tmp_path / "clean")
    assert set(clean.dirt.values()) == {0}


QUIRKS = {
    "header": (Quirks(header=True), "user_id,item_id,category_id,behavior,timestamp\n{0}\n"),
    "index": (Quirks(index_column=True), "0,{0}\n1,{1}\n"),
    "both": (
        Quirks(header=True, index_column=True),
        ",user_id,item_id,category_id,behavior,timestamp\n0,{0}\n",
    ),
    "crlf": (Quirks(crlf=True), "{0}\r\n{1}\r\n"),
    "bom": (Quirks(bom=True), "\ufeff{0}\n{1}\n"),
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_quirks_change_the_form_and_nothing_else(tmp_path: Path, quirk: str) -> None:
    plain = written(options("taobao"), tmp_path / "plain").decode().splitlines()
    quirks, expected = QUIRKS[quirk]
    text = written(options("taobao", quirks=quirks), tmp_path / "odd").decode()
    assert text.startswith(expected.format(*plain))
    ends = [line.split(",", quirks.index_column)[-1] for line in text.splitlines()]
    assert ends[-2990:] == plain[-2990:]
    assert text.count("\r\n") == 3000 * quirks.crlf


def test_no_header_where_the_real_file_has_one(tmp_path: Path) -> None:
    wanted = options("tmall", quirks=Quirks(header=False))
    assert written(wanted, tmp_path / "twin").count(b"\n") == 3000
    assert (tmp_path / "twin" / INFO_FILE).read_bytes()[:1].isdigit()


def test_tmall_as_a_data_frame_leaves_it(tmp_path: Path) -> None:
    plain = lines_of(written(options("tmall", dirt=30.0), tmp_path / "plain"), header=True)
    quirks = Quirks(zero_padded=True, float_brands=True)
    odd = lines_of(
        written(options("tmall", dirt=30.0, quirks=quirks), tmp_path / "odd"), header=True
    )
    assert any(not line[4] for line in plain)
    for line in plain:
        line[4] = line[4] and line[4] + ".0"
        line[5] = line[5].rjust(4, "0")
    assert odd == plain
    assert all(len(line[5]) == 4 for line in odd)


@pytest.mark.parametrize("crlf", [False, True])
def test_the_last_line_breaks_off(tmp_path: Path, crlf: bool) -> None:
    plain = written(options("alipay", quirks=Quirks(crlf=crlf)), tmp_path / "plain")
    broken = written(
        options("alipay", quirks=Quirks(truncated=True, crlf=crlf)), tmp_path / "broken"
    )
    assert plain.startswith(broken)
    last = plain.splitlines()[-1]
    assert broken.splitlines()[-1] == last[: len(last) // 2]


def test_shuffled_rows_are_the_same_rows(tmp_path: Path) -> None:
    plain = written(options("taobao"), tmp_path / "plain").splitlines()
    shuffled = written(options("taobao", quirks=Quirks(shuffled=True)), tmp_path / "odd")
    assert sorted(shuffled.splitlines()) == sorted(plain)
    users = [line.split(b",")[0] for line in shuffled.splitlines()]
    changes = sum(a != b for a, b in pairwise(users))
    assert changes > 2000


@each_format
def test_an_archive_holds_the_same_files(tmp_path: Path, name: FormatName) -> None:
    plain = written(options(name), tmp_path / "plain")
    report = write_twin(options(name, quirks=Quirks(archive=True)), tmp_path / "zip")
    real = BY_NAME[name]
    assert list(report.files) == [real.archive]
    with zipfile.ZipFile(tmp_path / "zip" / real.archive) as held:
        assert held.read(real.inside + real.file) == plain
        assert (real.inside + INFO_FILE in held.namelist()) == (name == "tmall")


def test_the_report_lies_beside_the_files(tmp_path: Path) -> None:
    calls: list[int] = []
    wanted = options("tmall", rows=300_000)
    report = write_twin(wanted, tmp_path / "twin", calls.append)
    assert calls == [131_072, 300_000]
    assert json.loads((tmp_path / "twin" / "twin.json").read_text()) == report.to_dict()
    sizes_on_disk = {file: (tmp_path / "twin" / file).stat().st_size for file in report.files}
    assert sizes_on_disk == report.files
    assert set(report.files) == {"user_log_format1.csv", INFO_FILE}
    assert report.options["rows"] == 300_000


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(DataError, match="exists"):
        write_twin(options("taobao"), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_an_interrupted_twin_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_twin(options("tmall"), tmp_path / "twin", interrupt)
    assert list(tmp_path.iterdir()) == []
