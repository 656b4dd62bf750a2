"""A saved index is the same index, is mapped rather than read, and damage is named."""

import errno
import json
import mmap
from pathlib import Path

import numpy as np
import pytest
from brute_force import brute_force
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rokkit.errors import ArtefactError, ConfigError
from rokkit.retrieval import BM25Index

pytestmark = pytest.mark.usefixtures("each_form")

ARRAYS = ("starts", "weights", "postings", "hints", "rows")


def make(seed: int = 0, n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 30, (n, 4)) + np.array([0, 30, 60, 90])).astype(np.int32)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, seed: int, n: int) -> None:
    x = make(seed, n)
    folder = tmp_path_factory.mktemp("index") / "bm25"
    built = BM25Index.build(x, (0, 1, 3))
    built.save(folder)
    opened = BM25Index.open(folder)
    assert (opened.n_rows, opened.fields) == (built.n_rows, built.fields)
    assert opened.build_seconds == built.build_seconds
    expected = brute_force(x, x[:5], min(n, 4), (0, 1, 3))
    for index in (built, opened):
        ids, scores = index.search(x[:5], min(n, 4))
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


def test_arrays_are_mapped_not_read(tmp_path: Path) -> None:
    BM25Index.build(make()).save(tmp_path / "i")
    for array in BM25Index.open(tmp_path / "i")._base.arrays.values():
        owner = array
        while isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        assert isinstance(owner, mmap.mmap)
        assert not array.flags.writeable


def kilobytes_in_memory(folder: Path) -> dict[str, int]:
    """Of the files of a folder, what this process has mapped and read: name -> kB."""
    found, name = {}, ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):  # the head of a map, its path last
            name = Path(rest[-1]).name if rest and rest[-1].startswith(str(folder)) else ""
        elif first == "Rss:" and name:
            found[name.removesuffix(".npy")] = int(rest[0])
    return found


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux tells what is in memory")
def test_neither_opening_nor_appending_reads_the_rows(tmp_path: Path) -> None:
    folder, x = tmp_path.resolve() / "i", make(n=50_000)
    BM25Index.build(x).save(folder)
    index = BM25Index.open(folder)
    more = index.appended(x[:5])
    held = kilobytes_in_memory(folder)
    assert (held["rows"], held["postings"], held["weights"]) == (0, 0, 0)
    more.search(x[:100], 5)
    assert min(kilobytes_in_memory(folder)[name] for name in ("rows", "postings")) > 0


def test_saving_over_something_is_refused(tmp_path: Path) -> None:
    BM25Index.build(make(1)).save(tmp_path / "i")
    with pytest.raises(ConfigError, match="exists"):
        BM25Index.build(make(2)).save(tmp_path / "i")
    ids, _ = BM25Index.open(tmp_path / "i").search(make(1)[:3], 2)
    np.testing.assert_array_equal(ids, brute_force(make(1), make(1)[:3], 2)[0])


@pytest.mark.parametrize("name", ARRAYS)
def test_truncated_or_missing_array_is_named(tmp_path: Path, name: str) -> None:
    BM25Index.build(make()).save(tmp_path / "i")
    path = tmp_path / "i" / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ArtefactError, match=rf"{name}\.npy is truncated or damaged"):
        BM25Index.open(tmp_path / "i")
    path.unlink()
    with pytest.raises(ArtefactError, match=rf"{name}\.npy is missing"):
        BM25Index.open(tmp_path / "i")


@pytest.mark.parametrize("name", ARRAYS)
def test_array_of_another_index_is_named(tmp_path: Path, name: str) -> None:
    # A search would read outside the arrays.
    BM25Index.build(make(n=300)).save(tmp_path / "i")
    BM25Index.build(make(n=299)[:, :3]).save(tmp_path / "other")
    (tmp_path / "other" / f"{name}.npy").replace(tmp_path / "i" / f"{name}.npy")
    with pytest.raises(ArtefactError, match=rf"{name}\.npy is .*; expected"):
        BM25Index.open(tmp_path / "i")


def test_postings_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    BM25Index.build(make()).save(tmp_path / "i")
    starts = np.load(tmp_path / "i" / "starts.npy")
    starts[-1] += 1
    np.save(tmp_path / "i" / "starts.npy", starts)
    with pytest.raises(ArtefactError, match=r"starts\.npy counts"):
        BM25Index.open(tmp_path / "i")


def test_damaged_meta_is_named(tmp_path: Path) -> None:
    BM25Index.build(make()).save(tmp_path / "i")
    path = tmp_path / "i" / "meta.json"
    good = json.loads(path.read_text())
    path.write_text(json.dumps(good | {"format": 99}))
    with pytest.raises(ArtefactError, match="has format 99; this version reads 2"):
        BM25Index.open(tmp_path / "i")
    for bad in (
        {name: v for name, v in good.items() if name != "rows"},
        good | {"slots": 3},
        good | {"more": 1},
    ):
        path.write_text(json.dumps(bad))
        with pytest.raises(ArtefactError, match=r"meta\.json is damaged"):
            BM25Index.open(tmp_path / "i")
    path.write_text("[1]")
    with pytest.raises(ArtefactError, match="has format None"):
        BM25Index.open(tmp_path / "i")
    with pytest.raises(ArtefactError, match="is missing"):
        BM25Index.open(tmp_path / "nowhere")


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = BM25Index.build(make())
    save, calls = np.save, []

    def full(*args: object, **kwargs: object) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ArtefactError, match="no space left"):
        index.save(tmp_path / "i")
    assert list(tmp_path.iterdir()) == []
