"""rokkit.experiments.batch: a batch's minutes, counted by hand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from small_study import settle

from rokkit.experiments import save_table
from rokkit.experiments.batch import (
    finished_runs,
    larger_batch_kept,
    notebooks_table,
    stages_table,
)


def run(folder: Path, model: str | None, **processor: float) -> Path:
    folder.mkdir(parents=True)
    spec: dict[str, Any] = {"spec": {"model": None if model is None else {"name": model}}}
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "report.json").write_text(json.dumps({"processor": processor}))
    (folder / "DONE").touch()
    return folder


def test_the_notebooks_stand_in_order_with_their_times() -> None:
    table = notebooks_table({"11_b": (62.0, 2, 3), "10_a": (130.0, 0, 8)}, whole=150.0)
    assert table.frame.to_numpy().tolist() == [["10_a", 130, 8, 0], ["11_b", 62, 3, 2]]
    assert table.caption == "The batch by notebook: 11 runs executed, 2.5 minutes in all."


def test_a_part_of_the_study_does_not_take_the_place_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(tmp_path, monkeypatch)
    assert not larger_batch_kept("own", "batch_cached", ["10_a"])
    table = notebooks_table({"11_b": (62.0, 2, 3), "10_a": (130.0, 0, 8)}, whole=150.0)
    save_table(table, "batch_cached", "own")
    assert larger_batch_kept("own", "batch_cached", ["10_a"])
    assert not larger_batch_kept("own", "batch_cached", ["10_a", "11_b"])
    assert not larger_batch_kept("own", "batch_cached", ["10_a", "12_c"])  # neither is the larger
    assert not larger_batch_kept("own", "batch_notebooks", ["10_a"])


def test_the_work_of_parents_is_not_counted_again(tmp_path: Path) -> None:
    folders = [
        run(tmp_path / "rim", "rim", load=6.0, train=60.0, predict=12.0, total=90.0),
        run(tmp_path / "base", None, teacher=60.0, construct=30.0, represent=6.0, total=36.0),
        run(tmp_path / "rok", "din", teacher=60.0, construct=30.0, train=120.0, total=120.0),
    ]
    frame = stages_table(folders).frame.set_index("Stage")
    assert frame["Minutes"].to_dict() == pytest.approx(
        {"load": 0.1, "represent": 0.1, "construct": 0.5, "train": 3.0, "predict": 0.2, "rest": 0.2}
    )
    assert frame["Runs"].to_dict() == {
        "load": 1,
        "represent": 1,
        "construct": 1,
        "train": 2,
        "predict": 1,
        "rest": 3,
    }
    assert frame["Share %"].sum() == pytest.approx(100)


def test_only_what_has_finished_since_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = settle(tmp_path, monkeypatch)
    old = run(place / "toy" / "lr-s0", "lr", total=1.0)
    new = run(place / "toy" / "lr-s1", "lr", total=1.0)
    (run(place / "toy" / "lr-s2", "lr", total=1.0) / "DONE").unlink()
    os.utime(old / "DONE", (1000, 1000))
    os.utime(new / "DONE", (2000, 2000))
    assert finished_runs("toy") == [old, new]
    assert finished_runs("toy", since=2000.5) == [new]
    assert finished_runs("toy", since=3000) == []
