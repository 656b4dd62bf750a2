"""Raw files: where they are found, how they are cut into batches, how columns are spooled."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_raw import Quirks, data_lines, pack, table

from rokkit.data.raw import csv, duplicates
from rokkit.data.raw.csv import Layout, read_batches
from rokkit.data.raw.duplicates import count_duplicates
from rokkit.data.raw.places import RawFile, find
from rokkit.data.raw.spool import Spool
from rokkit.data.raw.tally import Tally
from rokkit.errors import ArtefactError, DataError

NAME = "log.csv"
REMEDY = "Download it from the shop."
LAYOUT = Layout(names=("user", "item", "when"))
ROWS = [["1", "20", "300"], ["2", "", "0301"], ["1", "20", "300"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the file, and with something else."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / NAME).write_bytes(b"1,2,3\n")
    (tmp_path / "own" / "readme.txt").write_text("hello")
    return tmp_path / "own"


def content(file: RawFile) -> bytes:
    with file.open() as stream:
        return stream.read()


def test_a_file_is_found_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    plain = folder / NAME
    assert find(plain, NAME, REMEDY) == RawFile(plain)
    assert find(folder, NAME, REMEDY) == RawFile(plain)
    assert find(tmp_path, NAME, REMEDY) == RawFile(plain)  # in a folder of the folder
    renamed = plain.rename(folder / "mine.txt")
    assert find(renamed, NAME, REMEDY) == RawFile(renamed)  # the file itself, whatever its name


@pytest.mark.parametrize(
    "archive", ["log.zip", "data_format1 .zip", "deep/er/log.csv.zip", "l.ZIP"]
)
@pytest.mark.parametrize("inside", ["", "data_format1/", "a b/c/"])
@pytest.mark.parametrize("shadows", [False, True])
def test_a_file_is_found_in_a_zip(
    folder: Path, tmp_path: Path, archive: str, inside: str, shadows: bool
) -> None:
    path = pack(folder, tmp_path / "zips" / archive, inside, shadows)
    expected = RawFile(path, inside + NAME)
    assert find(path, NAME, REMEDY) == expected
    if path.suffix == ".zip":
        assert find(tmp_path / "zips", NAME, REMEDY) == expected
    assert content(expected) == b"1,2,3\n"
    assert str(expected) == f"{inside}{NAME} in {path}"


def test_a_zip_needs_no_suffix(folder: Path, tmp_path: Path) -> None:
    path = pack(folder, tmp_path / "download")
    assert find(path, NAME, REMEDY) == RawFile(path, NAME)


def test_an_unpacked_file_comes_before_its_archive(folder: Path) -> None:
    pack(folder, folder / "log.zip")
    assert find(folder, NAME, REMEDY) == RawFile(folder / NAME)


@pytest.mark.parametrize("what", ["", "log.zip", "folder"])
def test_a_missing_file_names_the_remedy(tmp_path: Path, what: str) -> None:
    place = tmp_path / "here"
    if what == "folder":
        (place / NAME).mkdir(parents=True)  # a folder of that name is not the file
    elif what:
        other = tmp_path / "other"
        other.mkdir()
        (other / f"old_{NAME}").write_text("1")
        pack(other, place / what)
    with pytest.raises(DataError) as refused:
        find(place, NAME, REMEDY)
    expected = f"holds no {NAME}, nor a zip with it." if what else "here does not exist."
    assert str(refused.value).endswith(f"{expected} {REMEDY}")


def test_two_copies_are_named_and_neither_is_taken(folder: Path, tmp_path: Path) -> None:
    (folder / "copy").mkdir()
    (folder / "copy" / NAME).write_bytes(b"4,5,6\n")
    with pytest.raises(DataError, match=r"log\.csv is there 2 times: .*copy.*path="):
        find(folder, NAME, REMEDY)
    zips = tmp_path / "zips"
    pack(folder / "copy", zips / "one.zip")
    pack(folder / "copy", zips / "two.zip")
    with pytest.raises(DataError, match=r"is there 2 times: log.csv in .*one.zip, .*two.zip"):
        find(zips, NAME, REMEDY)
    with zipfile.ZipFile(zips / "one.zip", "a") as opened:
        opened.writestr(f"again/{NAME}", "7,8,9\n")
    with pytest.raises(DataError, match=r"is there 2 times: again/log\.csv in"):
        find(zips / "one.zip", NAME, REMEDY)


@pytest.mark.parametrize("kept", [0, 10, 0.5, -10])
def test_a_download_that_was_cut_off_is_named(folder: Path, tmp_path: Path, kept: float) -> None:
    path = pack(folder, tmp_path / "zips" / "log.zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept == 0.5 else int(kept)])
    for place in (path, path.parent):
        with pytest.raises(DataError, match=r"log\.zip is no whole zip .*Download it again"):
            find(place, NAME, REMEDY)


def test_damage_inside_a_zip_is_named(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (big / NAME).write_bytes(b"".join(b"%d,%d,3\n" % (i, i * i % 9973) for i in range(5000)))
    path = pack(big, tmp_path / "log.zip")
    data = path.read_bytes()
    told = set()
    for place in range(100, len(data) - 400, 997):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cannot be read .*download it again") as refused:
            list(read_batches(RawFile(path, NAME), LAYOUT, Tally()))
        told.add("CRC" if "CRC" in str(refused.value) else "other")
    assert "CRC" in told


def test_a_compression_that_python_lacks_is_named(folder: Path, tmp_path: Path) -> None:
    path = pack(folder, tmp_path / "log.zip")
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[8] = data[central + 10] = 9  # Deflate64, which Windows takes for more than two gigabytes
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"log.csv in .*Unpack the archive by hand"):
        content(RawFile(path, NAME))


def test_a_file_that_vanished_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv cannot be read"):
        content(RawFile(folder / "gone.csv"))


def read(path: Path, data: bytes, layout: Layout = LAYOUT) -> tuple[list[list[str]], Tally]:
    """(rows as texts, what was counted) of a file with these bytes."""
    path.mkdir(exist_ok=True)
    (path / NAME).write_bytes(data)
    tally, rows = Tally(), []
    for batch in read_batches(RawFile(path / NAME), layout, tally):
        assert tuple(batch.schema.names) == layout.names
        rows += [list(row) for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)]
    return rows, tally


@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(),
        Quirks(header=False),
        Quirks(spell=str.upper),
        Quirks(spell=lambda name: f" {name.capitalize()} "),
        Quirks(order=(2, 0, 1)),
        Quirks(index=True),
        Quirks(index=True, header=False),
        Quirks(newline="\r\n"),
        Quirks(newline="\r\n", header=False, last_newline=False),
        Quirks(bom=True),
        Quirks(bom=True, header=False),
        Quirks(quotes=True),
        Quirks(quotes=True, header=False),
        Quirks(bom=True, quotes=True),
        Quirks(last_newline=False),
        Quirks(newline="\n\n"),
        Quirks(
            order=(1, 2, 0),
            spell=str.title,
            index=True,
            newline="\r\n",
            bom=True,
            quotes=True,
            last_newline=False,
        ),
    ],
)
@pytest.mark.parametrize("block", [24, 1 << 20])
def test_rows_are_the_same_whatever_became_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quirks: Quirks, block: int
) -> None:
    monkeypatch.setattr(csv, "BLOCK", block if not quirks.quotes else 4 * block)
    rows, tally = read(tmp_path, table(LAYOUT.names, ROWS, quirks))
    assert rows == ROWS
    assert tally.dropped == tally.repaired == ()


def test_columns_that_nobody_asked_for_are_left_out(tmp_path: Path) -> None:
    rows, _ = read(tmp_path, b",when,note,item,,user\n0,300,x,20,,1\n1,0301,y,,z,2\n")
    assert rows == ROWS[:2]


@pytest.mark.parametrize(
    ("cut", "rows", "dropped"),
    [
        (0, 3, 0),
        (1, 3, 0),  # only the newline is gone
        (2, 3, 0),  # a shorter number is a number
        (5, 2, 1),  # "1,20": a field is gone
        (8, 2, 1),  # "1"
        (9, 2, 0),  # the line is gone as a whole
    ],
)
def test_a_last_line_that_was_cut_off(tmp_path: Path, cut: int, rows: int, dropped: int) -> None:
    found, tally = read(tmp_path, table(LAYOUT.names, ROWS, Quirks(cut=cut)))
    assert found[:2] == ROWS[:2]
    assert len(found) == rows
    reason = "lines without 3 fields (cut off or damaged)"
    assert tally.dropped == (((reason, dropped),) if dropped else ())


@pytest.mark.parametrize("block", [16, 50, 1 << 20])
def test_lines_of_another_width_are_counted_in_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv, "BLOCK", block)
    lines = [["1,2,3", "1,2", "1,2,3,4", " ", "4,5,6"][i % 5] for i in range(500)]
    rows, tally = read(tmp_path, "\n".join(lines).encode())
    assert rows == [["1", "2", "3"], ["4", "5", "6"]] * 100
    assert tally.dropped == (("lines without 3 fields (cut off or damaged)", 300),)


def test_a_quote_that_is_never_closed_takes_no_other_line_with_it(tmp_path: Path) -> None:
    data = b'"1","20","300"\n"2","","0301\n1,"20,300\n'
    assert read(tmp_path, data)[0] == ROWS
    # Quotes that begin later are part of the value, which then is no number.
    assert read(tmp_path, b'1,20,300\n2,,0301\n"1",20,300\n')[0] == [
        *ROWS[:2],
        ['"1"', "20", "300"],
    ]


def test_bytes_that_are_no_text_cost_one_line(tmp_path: Path) -> None:
    for bom in (b"", b"\xef\xbb\xbf"):
        data = bom + b"1,20,300\n\xff\xfe,\x80\n2,,\xe90301\n2,,0301\n\xef\xbb\xbf\n"
        rows, tally = read(tmp_path, data)
        assert rows == [["1", "20", "300"], ["2", "", "?0301"], ["2", "", "0301"]]
        assert tally.dropped == (("lines without 3 fields (cut off or damaged)", 2),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"log\.csv is empty\. Download it again"),
        (b"\xef\xbb\xbf", r"log\.csv is empty"),
        (b"user,item\n1,2\n", "header of .* lacks when; it is 'user,item'"),
        (b"user,item,when,user\n1,2,3,4\n", "header of .* names user twice"),
        (b"user,USER,when\n1,2,3\n", "lacks item"),
        (b"1,2\n", "has 2 columns and no header; expected the 3 columns user, item, when"),
        (b"1,2,3,4,5\n", "has 5 columns and no header; .*Its first line is '1,2,3,4,5'"),
        (b"user;item;when\n1;2;3\n", "has 1 columns and no header"),
        (b"user,item,when", "cannot be read as CSV .*original archive"),
    ],
)
def test_unfit_files_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, data)


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    rows, tally = read(tmp_path, b"user,item,when\n")
    assert rows == []
    assert tally.dropped == ()


def test_another_separator(tmp_path: Path) -> None:
    layout = Layout(names=LAYOUT.names, separator="\t")
    rows, _ = read(tmp_path, b"when\titem\tuser\n300\t20\t1\n0301\t\t2\n", layout)
    assert rows == ROWS[:2]


@settings(max_examples=150)
@given(
    lines=st.lists(
        st.lists(st.text('0123456789.- "\x00é', max_size=6), min_size=1, max_size=5), min_size=1
    ),
    header=st.booleans(),
)
def test_every_line_is_a_row_or_counted(
    tmp_path_factory: pytest.TempPathFactory, lines: list[list[str]], header: bool
) -> None:
    first = ["user,item,when"] if header else ["1,2,3"]
    data = "\n".join([*first, *(",".join(line) for line in lines)]).encode() + b"\n"
    rows, tally = read(tmp_path_factory.mktemp("lines"), data)
    dropped = sum(n for _, n in tally.dropped)
    assert len(rows) + dropped == data_lines(data, header)
    assert len(rows) == sum(len(line) == 3 for line in lines) + (not header)


def test_spooled_columns_come_back(tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder"
    spool = Spool({"a": np.int64, "b": np.int8}, place)
    spool.append({"a": np.array([1, -(2**62)]), "b": np.array([3, 4])})
    spool.append({"b": np.array([], np.int8), "a": np.array([], np.int64)})
    spool.append({"b": np.array([5, 6, 7])[::2], "a": np.array([[8, 9], [10, 11]])[:, 0]})
    columns = spool.columns()
    assert spool.rows == 4
    assert list(place.iterdir()) == []  # nothing that could be left behind
    assert columns["a"].tolist() == [1, -(2**62), 8, 10]
    assert columns["b"].tolist() == [3, 4, 5, 7]
    assert [columns[c].dtype for c in "ab"] == [np.int64, np.int8]
    assert isinstance(columns["a"], np.memmap)


def test_a_spool_without_rows(tmp_path: Path) -> None:
    columns = Spool({"a": np.int64}, tmp_path).columns()
    assert columns["a"].shape == (0,)
    assert columns["a"].dtype == np.int64


@pytest.mark.parametrize(
    "batch",
    [
        {"a": np.array([1])},
        {"a": np.array([1]), "b": np.array([1, 2])},
        {"a": np.array([1]), "b": np.array([1]), "c": np.array([1])},
    ],
)
def test_a_batch_that_does_not_fit_is_refused(tmp_path: Path, batch: Any) -> None:
    spool = Spool({"a": np.int64, "b": np.int8}, tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        spool.append(batch)
    assert spool.rows == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the disk that is full")
@pytest.mark.parametrize("rows", [3, 100_000])
def test_a_spool_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    def full() -> Any:
        return os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full())
    spool = Spool({"a": np.int64}, tmp_path)
    with pytest.raises(ArtefactError, match=r"no space left .*Free some space"):
        spool.append({"a": np.zeros(rows, np.int64)})
        spool.columns()
    assert os.listdir(tmp_path) == []
    for file in spool._files.values():  # else Python complains that it could not flush it
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
        file.close()


def test_tally_keeps_the_order_and_leaves_out_zeros() -> None:
    tally = Tally()
    for reason, rows in (("b", 2), ("a", 0), ("c", 1), ("b", 3)):
        tally.drop(reason, rows)
    tally.repair("odd", 4)
    assert tally.dropped == (("b", 5), ("c", 1))
    assert tally.repaired == (("odd", 4),)


@settings(max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-3, 3) | st.just(-(2**63)), st.integers(0, 2), st.sampled_from([0, 2**62])
        ),
        max_size=40,
    ),
    size=st.integers(1, 9),
)
def test_duplicates_are_counted_as_a_set_counts_them(rows: list[Any], size: int) -> None:
    kinds = (np.int64, np.int8, np.int64)
    columns = {str(i): np.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "SLICE", size)
        assert count_duplicates(columns) == len(rows) - len(set(rows))


def test_columns_that_change_places_are_no_duplicates() -> None:
    one, two = np.array([1, 2, 3, 4]), np.array([2, 1, 4, 3])
    assert count_duplicates({"a": one, "b": two}) == 0
    assert count_duplicates({"a": one, "b": one * 0}) == 0
    assert count_duplicates({"a": one * 0, "b": one * 0}) == 3


def test_close_numbers_are_told_apart() -> None:
    """A grid of a quarter of a million different rows, then with a hundred of them once more."""
    user, item = (axis.ravel() for axis in np.mgrid[0:500, 0:500])
    columns = {"user": user, "item": item, "time": user + item}
    assert count_duplicates(columns) == 0
    again = {name: np.concatenate([c, c[:100]]) for name, c in columns.items()}
    assert count_duplicates(again) == 100
