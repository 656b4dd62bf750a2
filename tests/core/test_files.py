"""rokkit.files: what exists is never lost, and nothing half-written is ever seen."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from rokkit import files
from rokkit.errors import ArtefactError


def test_round_trips(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    files.save_array(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(files.load_array(tmp_path / "a.npy"), array)
    files.write_json(tmp_path / "deep" / "a.json", {"b": [1, None], "a": "é"})
    assert files.read_json(tmp_path / "deep" / "a.json") == {"a": "é", "b": [1, None]}


def test_empty_array_round_trips(tmp_path: Path) -> None:
    files.save_array(tmp_path / "a.npy", np.empty((0, 3), dtype=np.int32))
    assert files.load_array(tmp_path / "a.npy").shape == (0, 3)


def test_failing_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")
    with pytest.raises(RuntimeError), files.aside(target) as draft:
        draft.write_text("half of the n")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_full_disk_keeps_the_old_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.npy"
    files.save_array(target, np.zeros(3))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises((OSError, ArtefactError)):
        files.save_array(target, np.ones(3))
    np.testing.assert_array_equal(np.load(target), np.zeros(3))
    assert os.listdir(tmp_path) == ["a.npy"]


def test_failing_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.folder_aside(tmp_path / "out") as draft:
        (draft / "x").write_text("1")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_first_finished_folder_wins(tmp_path: Path) -> None:
    with files.folder_aside(tmp_path / "out") as late:
        with files.folder_aside(tmp_path / "out") as early:
            (early / "x").write_text("early")
        (late / "x").write_text("late")
    assert (tmp_path / "out" / "x").read_text() == "early"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("size", [0, 3, 60, 150])
def test_truncated_array_is_named(tmp_path: Path, size: int) -> None:
    target = tmp_path / "a.npy"
    files.save_array(target, np.arange(100, dtype=np.int64))
    target.write_bytes(target.read_bytes()[:size])
    with pytest.raises(ArtefactError, match=r"a\.npy is truncated or damaged"):
        files.load_array(target)


def test_missing_and_damaged_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="is missing"):
        files.read_json(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text('{"a": ')
    with pytest.raises(ArtefactError, match=r"bad\.json is damaged"):
        files.read_json(tmp_path / "bad.json")


def test_json_refuses_nan_and_keeps_the_old(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert files.read_json(tmp_path / "a.json") == {"a": 1}
