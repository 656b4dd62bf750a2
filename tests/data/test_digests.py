"""Hashes of raw files: large files are read once, as long as they stay as they are."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rokkit.data import digests
from rokkit.data.digests import sha256
from rokkit.errors import DataError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root of its own."""
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read; large is whatever has ten bytes."""
    calls: list[Path] = []
    whole = digests._digest

    def counting(path: Path) -> str:
        calls.append(path)
        return whole(path)

    monkeypatch.setattr(digests, "_digest", counting)
    monkeypatch.setattr(digests, "LARGE", 10)
    return calls


def written(path: Path, content: bytes, at: int = 1_000_000_000) -> str:
    """Write a file, last changed at a given moment, and say its hash."""
    path.write_bytes(content)
    os.utime(path, ns=(at, at))
    return hashlib.sha256(content).hexdigest()


def test_a_small_file_is_read_each_time(root: Path, tmp_path: Path, hashed: list[Path]) -> None:
    path = tmp_path / "small"
    digest = written(path, b"123456789")
    assert [sha256(path), sha256(path)] == [digest] * 2
    assert hashed == [path] * 2
    assert not root.exists()


def test_a_large_file_is_read_once(root: Path, tmp_path: Path, hashed: list[Path]) -> None:
    path, other = tmp_path / "large", tmp_path / "other"
    digest, another = written(path, b"1234567890"), written(other, b"abcdefghijk")
    assert [sha256(path), sha256(path), sha256(other), sha256(path)] == [
        *(digest, digest, another, digest)
    ]
    assert hashed == [path, other]
    assert sorted(p.name for p in root.iterdir()) == ["digests.json"]
    assert len(json.loads((root / "digests.json").read_text())) == 2


def test_one_file_by_two_names_is_read_once(
    root: Path, tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    digest = written(path, b"1234567890")
    (tmp_path / "link").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    assert {sha256(path), sha256(tmp_path / "link"), sha256(Path("large"))} == {digest}
    assert len(hashed) == 1


@pytest.mark.parametrize(
    ("content", "at"),
    [(b"0987654321", 1_000_000_001), (b"12345678901", 1_000_000_000), (b"1234567890", 2)],
)
def test_a_changed_file_is_read_again(
    root: Path, tmp_path: Path, hashed: list[Path], content: bytes, at: int
) -> None:
    path = tmp_path / "large"
    first = written(path, b"1234567890")
    assert sha256(path) == first
    second = written(path, content, at)
    assert [sha256(path), sha256(path)] == [second] * 2
    assert hashed == [path] * 2
    assert written(path, b"1234567890") == first == sha256(path)  # the old answer is forgotten


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: "{",
        lambda entry: "\x00\xff",
        lambda entry: "",
        lambda entry: "[1, 2]",
        lambda entry: "null",
        lambda entry: json.dumps({entry[0]: entry[1][:2]}),
        lambda entry: json.dumps({entry[0]: []}),
        lambda entry: json.dumps({entry[0]: entry[1][2]}),
        lambda entry: json.dumps({entry[0]: None}),
    ],
)
def test_a_damaged_answer_is_ignored_and_replaced(
    root: Path, tmp_path: Path, hashed: list[Path], damage: Any
) -> None:
    path = tmp_path / "large"
    digest = written(path, b"1234567890")
    sha256(path)
    kept = root / "digests.json"
    (entry,) = json.loads(kept.read_text()).items()
    kept.write_bytes(damage(entry).encode("latin-1"))
    assert [sha256(path), sha256(path)] == [digest] * 2
    assert hashed == [path] * 2
    assert json.loads(kept.read_text()) == dict([entry])


@pytest.mark.parametrize("what", ["missing", "a folder"])
@pytest.mark.usefixtures("root")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / "log.csv"
    if what == "a folder":
        path.mkdir()
    with pytest.raises(DataError, match=r"raw file .*log\.csv cannot be read \(.*Check the path"):
        sha256(path)


def test_what_another_process_found_meanwhile_is_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "large", tmp_path / "other"
    digest, another = written(path, b"1234567890"), written(other, b"abcdefghijk")
    monkeypatch.setattr(digests, "LARGE", 10)
    whole = digests._digest

    def meanwhile(one: Path) -> str:
        if one == path:
            assert sha256(other) == another
        return whole(one)

    monkeypatch.setattr(digests, "_digest", meanwhile)
    assert sha256(path) == digest
    monkeypatch.setattr(digests, "_digest", lambda _: pytest.fail("read again"))
    assert [sha256(path), sha256(other)] == [digest, another]
    assert len(json.loads((root / "digests.json").read_text())) == 2
