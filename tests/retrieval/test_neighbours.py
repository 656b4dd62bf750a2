"""Neighbour tables: right, stored once, reused, and never half-written."""

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from brute_force import brute_force

from rokkit.data.samples import History, Part, PartName, Samples, read_samples, write_samples
from rokkit.data.schema import Field, Schema
from rokkit.errors import ArtefactError, ConfigError, DataError
from rokkit.retrieval import (
    BM25Index,
    Neighbours,
    neighbour_meta,
    neighbours,
    open_index,
    pool_neighbour_meta,
    pool_neighbours,
)


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    rng = np.random.default_rng(8)
    sizes = {"user": 12, "item": 25, "genre": 4, "age": 3}
    roles = {"user": "user", "item": "item", "genre": "item", "age": "context"}
    fields, offset = [], 1
    for name, size in sizes.items():
        fields.append(Field(name=name, role=roles[name], offset=offset, size=size))  # type: ignore[arg-type]
        offset += size
    schema = Schema(name="toy", fields=tuple(fields), retrieval=("user", "item", "genre"))

    def part(n: int) -> Part:
        x = np.column_stack([rng.integers(f.offset, f.stop, n) for f in fields])
        return Part(x.astype(np.int32), rng.integers(0, 2, n).astype(np.int8), np.arange(n))

    rows: dict[PartName, int] = {"pool": 90, "train": 30, "val": 7, "test": 11}
    parts = {name: part(n) for name, n in rows.items()}
    history = History(np.zeros(13, np.int64), np.empty((0, 2), np.int32))
    folder = tmp_path / "toy"
    folder.mkdir()
    write_samples(folder, schema, parts, history, {}, "f")
    return read_samples(folder)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    found = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in found}


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("fields", [None, ("genre", "user"), ("age",)])
def test_equals_brute_force(samples: Samples, part: str, fields: tuple[str, ...] | None) -> None:
    found = neighbours(samples, part, 5, fields)
    columns = [samples.schema.column(f) for f in fields or samples.schema.retrieval]
    ids, scores = brute_force(samples.pool.x, samples.part(part).x, 5, columns)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.scores, scores)


def test_second_call_reads_what_the_first_wrote(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = neighbours(samples, "train", 4)
    written = snapshot(samples.folder)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(BM25Index, "search_with_effort", never)
    monkeypatch.setattr(BM25Index, "build", never)
    again = neighbours(samples, "train", 4, ("genre", "item", "user"))  # the schema's, reordered
    np.testing.assert_array_equal(again.ids, first.ids)
    np.testing.assert_array_equal(again.scores, first.scores)
    assert snapshot(samples.folder) == written


def test_one_index_serves_all_parts(samples: Samples) -> None:
    for part in ("train", "val", "test"):
        neighbours(samples, part, 3)
    neighbours(samples, "test", 4)
    neighbours(samples, "test", 3, ("item",))
    indexes = [p for p in (samples.folder / "index").iterdir() if p.is_dir()]
    tables = [p for p in (samples.folder / "neighbours").iterdir() if p.is_dir()]
    assert (len(indexes), len(tables)) == (2, 5)
    assert open_index(samples).fields == (0, 1, 2)


def test_meta_tells_how_the_table_was_made(samples: Samples) -> None:
    seen: list[tuple[int, int]] = []
    neighbours(samples, "test", 3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(11, 11)]
    meta = neighbour_meta(samples, "test", 3)
    assert (meta["part"], meta["k"], meta["queries"], meta["pool_rows"]) == ("test", 3, 11, 90)
    assert meta["fields"] == ["user", "item", "genre"]
    assert meta["build_seconds"] == open_index(samples).build_seconds > 0
    assert meta["search_seconds"] > 0
    assert 0 < meta["rows_touched"] < 90
    with pytest.raises(ArtefactError, match=r"meta\.json is missing"):
        neighbour_meta(samples, "test", 4)


def test_asked_at_once_searched_once(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    search, calls = BM25Index.search_with_effort, []

    def counted(self: BM25Index, *args: object, **kwargs: object) -> object:
        calls.append(args)
        return search(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(BM25Index, "search_with_effort", counted)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: neighbours(samples, "train", 4), range(4)))
    assert len(calls) == 1
    for table in found[1:]:
        np.testing.assert_array_equal(table.ids, found[0].ids)


@pytest.mark.parametrize(
    ("part", "k", "fields", "message"),
    [
        ("pool", 3, None, r"part 'pool' is not known.*Known: test, train, val"),
        ("tset", 3, None, r"Did you mean 'test'"),
        ("test", 91, None, r"k is 91; expected an integer from 1 to 90, the pool's rows"),
        ("test", 0, None, r"k is 0"),
        ("test", 3, ("gnre",), r"field 'gnre' is not known\. Did you mean 'genre'"),
        ("test", 3, (), r"fields is \(\); expected at least one"),
        ("test", 3, ("user", "user"), r"distinct fields"),
    ],
)
def test_bad_request_writes_nothing(
    samples: Samples, part: str, k: int, fields: tuple[str, ...] | None, message: str
) -> None:
    before = snapshot(samples.folder)
    with pytest.raises(ConfigError, match=message):
        neighbours(samples, part, k, fields)
    assert snapshot(samples.folder) == before
    assert not (samples.folder / "neighbours").exists()


def test_full_disk_keeps_earlier_tables(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours(samples, "train", 4)
    before = snapshot(samples.folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(ArtefactError, match="no space left"):
            neighbours(samples, "test", 4)
    assert snapshot(samples.folder) == before
    assert neighbours(samples, "test", 4).ids.shape == (11, 4)


@pytest.mark.parametrize("name", ["ids", "scores"])
def test_damaged_table_is_named(samples: Samples, name: str) -> None:
    neighbours(samples, "test", 4)
    (path,) = (samples.folder / "neighbours").glob(f"*/{name}.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(ArtefactError, match=rf"{name}\.npy is truncated or damaged"):
        neighbours(samples, "test", 4)
    np.save(path, np.zeros((11, 3), np.int32))
    with pytest.raises(ArtefactError, match=rf"{name}\.npy is int32 \(11, 3\); expected"):
        neighbours(samples, "test", 4)


def test_index_of_another_pool_is_refused(samples: Samples) -> None:
    neighbours(samples, "test", 4)
    (folder,) = (p for p in (samples.folder / "index").iterdir() if p.is_dir())
    for path in folder.iterdir():
        path.unlink()
    BM25Index.build(samples.pool.x[:50], (0, 1, 2)).save(folder)
    with pytest.raises(ArtefactError, match="indexes 50 rows"):
        neighbours(samples, "val", 4)


@pytest.mark.parametrize("fields", [None, ("genre", "user"), ("age",)])
def test_pool_rows_find_all_but_themselves(
    samples: Samples, fields: tuple[str, ...] | None
) -> None:
    """Fields of three values, as age has, make more than k equal rows: some itself, some not."""
    rows = np.array([0, 3, 4, 41, 88, 89])
    found = pool_neighbours(samples, rows, 5, fields)
    columns = [samples.schema.column(f) for f in fields or samples.schema.retrieval]
    ids, scores = brute_force(samples.pool.x, samples.pool.x[rows], 90, columns)
    for i, row in enumerate(rows):
        other = ids[i] != row
        assert found.ids[i].tolist() == ids[i][other][:5].tolist()
        assert found.scores[i].tolist() == scores[i][other][:5].tolist()


def test_another_row_that_is_equal_in_every_field_is_a_neighbour(samples: Samples) -> None:
    x = np.array(samples.pool.x)
    x[[10, 20, 30, 40]] = x[10]
    path = samples.folder / "pool_x.npy"
    path.unlink()
    np.save(path, x)
    again = read_samples(samples.folder)
    found = pool_neighbours(again, np.array([10, 20, 40]), 2)
    assert found.ids.tolist() == [[20, 30], [10, 30], [10, 20]]
    assert pool_neighbours(again, np.array([40]), 3).ids.tolist() == [[10, 20, 30]]


def test_a_table_of_pool_rows_is_kept_by_its_rows(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pool_neighbours(samples, np.array([4, 7]), 3)
    other = pool_neighbours(samples, np.array([4, 8]), 3)
    assert (first.ids[0] == other.ids[0]).all()
    with pytest.raises(ArtefactError, match=r"meta\.json is missing"):
        pool_neighbour_meta(samples, np.array([5, 7]), 3)
    meta = pool_neighbour_meta(samples, np.array([4, 8]), 3)
    assert (meta["part"], meta["k"], meta["queries"], meta["pool_rows"]) == ("pool", 3, 2, 90)
    written = snapshot(samples.folder)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(BM25Index, "search_with_effort", never)
    again = pool_neighbours(samples, np.array([4, 7], np.int32), 3, ("genre", "item", "user"))
    np.testing.assert_array_equal(again.ids, first.ids)
    assert snapshot(samples.folder) == written
    assert len([p for p in (samples.folder / "neighbours").iterdir() if p.is_dir()]) == 2


@pytest.mark.parametrize(
    ("rows", "k", "fields", "error", "message"),
    [
        ([1], 90, None, ConfigError, "k is 90; expected at most 89, the pool's rows but for"),
        ([1], 91, None, ConfigError, "k is 91"),
        ([1], 0, None, ConfigError, "k is 0"),
        ([1], 3, ("gnre",), ConfigError, "Did you mean 'genre'"),
        ([90], 3, None, DataError, "numbers of the pool's 90 rows"),
        ([-1], 3, None, DataError, "numbers of the pool's 90 rows"),
        ([[1]], 3, None, DataError, "numbers of the pool's 90 rows"),
    ],
)
def test_bad_request_for_pool_rows_writes_nothing(
    samples: Samples,
    rows: list[int],
    k: int,
    fields: tuple[str, ...] | None,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        pool_neighbours(samples, np.array(rows), k, fields)
    assert not (samples.folder / "neighbours").exists()


def test_every_row_but_itself_is_found_at_the_most(samples: Samples) -> None:
    found = pool_neighbours(samples, np.arange(90), 89, ("age",))
    for row in range(90):
        same = np.flatnonzero(samples.pool.x[:, 3] == samples.pool.x[row, 3]).tolist()
        same.remove(row)
        assert found.ids[row].tolist() == same + [-1] * (89 - len(same))
        assert (found.scores[row] > 0).sum() == len(same)


def test_tables_follow_each_other(samples: Samples) -> None:
    one, other = neighbours(samples, "val", 3), neighbours(samples, "test", 3)
    both = one.followed_by(other)
    assert isinstance(both, Neighbours)
    np.testing.assert_array_equal(both.ids[:7], one.ids)
    np.testing.assert_array_equal(both.ids[7:], other.ids)
    np.testing.assert_array_equal(both.scores[7:], other.scores)
