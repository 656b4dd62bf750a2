"""Where runs stand: counts, what is left, and files for watchers in other processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rokkit.experiments import RunEvent, Standing, board, standings, status
from rokkit.experiments.board import Board
from rokkit.experiments.status import ProgressFile, plain, read_progress, write_standing

RUNS = [("a-1", "rim-s0", "rim"), ("b-1", "lr-s0", "lr"), ("b-2", "lr-s1", "lr")]


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return 7


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    held = Clock()
    monkeypatch.setattr(board, "time", held)
    monkeypatch.setattr(status, "time", held)
    return held


def standing(pid: int) -> Standing:
    return Standing(
        pid=pid, total=3, done=1, cached=1, failed=0, running={}, seconds=2.5, left=None
    )


def test_a_board_counts_and_tells(clock: Clock, tmp_path: Path) -> None:
    events: list[RunEvent] = []
    with Board(tmp_path, RUNS, 1, events.append) as held:
        held.read("a-1", 4.0)
        held.begin("b-1")
        clock.now += 2
        held.end("b-1")
        held.begin("b-2")
        held.end("b-2", failed="no")
    told = [(e.kind, e.label, e.done, e.total, e.seconds) for e in events]
    assert told == [
        ("cached", "rim-s0", 1, 3, 0.0),
        ("start", "lr-s0", 1, 3, 0.0),
        ("done", "lr-s0", 2, 3, 2.0),
        ("start", "lr-s1", 2, 3, 2.0),
        ("failed", "lr-s1", 2, 3, 2.0),
    ]
    assert events[-1].fields == {"error": "no"}


def test_what_is_left_is_learnt_by_system(clock: Clock, tmp_path: Path) -> None:
    """Kills: one mean for all systems; seconds already spent that count again."""
    with Board(tmp_path, [*RUNS, ("a-2", "rim-s1", "rim")], 1, None) as held:
        assert held.left() is None
        held.begin("a-1")
        assert held.left() is None
        clock.now += 10
        held.end("a-1")
        assert held.left() == 30  # nothing known of lr yet: as long as what is known
        held.begin("b-1")
        clock.now += 2
        assert held.left() == 28  # 8 of this one
        held.end("b-1")
        assert held.left() == 12  # lr 2, rim 10
        held.begin("b-2")
        clock.now += 5
        assert held.left() == 10  # longer than expected: none left of it
        held.end("b-2", failed="no")
        assert held.left() == 10


def test_runs_side_by_side_share_what_is_left(clock: Clock, tmp_path: Path) -> None:
    with Board(tmp_path, RUNS, 2, None) as held:
        held.read("a-1", 6.0)
        assert held.left() == 6  # two runs of 6 seconds on two slots
        held.begin("b-1")
        clock.now += 6
        held.end("b-1")
        assert held.left() == 6  # one run cannot be shared


def test_progress_is_told_when_it_changes(tmp_path: Path) -> None:
    events: list[RunEvent] = []
    with Board(tmp_path, RUNS, 1, events.append) as held:
        held.begin("b-1")
        for step in (1, 1, 2):
            held.advance("b-1", {"step": step, "auc": float("nan")})
        held.advance("b-2", {"step": 9})  # not running
    assert [(e.kind, e.fields) for e in events[1:]] == [
        ("progress", {"step": 1}),
        ("progress", {"step": 2}),
    ]


def test_a_watcher_sees_a_call_from_its_start_to_its_end(clock: Clock, tmp_path: Path) -> None:
    with Board(tmp_path, RUNS, 1, None) as held:
        assert [s.done for s in standings(tmp_path)] == [0]
        held.read("a-1", 4.0)
        held.begin("b-1")
        (seen,) = standings(tmp_path)
        assert seen == Standing(
            pid=os.getpid(),
            total=3,
            done=1,
            cached=1,
            failed=0,
            running={"b-1": {}},
            seconds=0.0,
            left=8.0,
        )
        held.advance("b-1", {"step": 1})
        assert standings(tmp_path)[0].running == {"b-1": {}}  # at most once a second
        clock.now += 1
        held.advance("b-1", {"step": 2})
        assert standings(tmp_path)[0].running == {"b-1": {"step": 2}}
    assert standings(tmp_path) == []


def test_a_call_that_fails_is_over_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no"), Board(tmp_path, RUNS, 1, None):
        raise RuntimeError("no")
    assert standings(tmp_path) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_standing(tmp_path, "1-dead", standing(gone.pid))
    write_standing(tmp_path, "2-alive", standing(os.getpid()))
    (tmp_path / ".status" / "3-half.json").write_text("{")
    (tmp_path / ".status" / "4-older.json").write_text('{"pid": 1}')
    assert standings(tmp_path) == [standing(os.getpid())]
    left = sorted(p.name for p in (tmp_path / ".status").iterdir())
    assert left == ["2-alive.json", "3-half.json", "4-older.json"]


def test_the_default_root_is_that_of_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROKKIT_RUNS", str(tmp_path))
    assert standings() == []
    write_standing(tmp_path, "x", standing(os.getpid()))
    assert standings() == [standing(os.getpid())]


def test_a_progress_file_is_written_at_most_once_a_second(clock: Clock, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    progress = ProgressFile(tmp_path, told.append)
    for step, seconds in ((1, 0.0), (2, 0.5), (3, 0.5), (4, 0.9)):
        clock.now += seconds
        progress(step, 4, {"epoch": 1, "auc": float("nan")})
    assert told == [{"step": 1, "steps": 4, "epoch": 1}, {"step": 3, "steps": 4, "epoch": 1}]
    assert read_progress(tmp_path) == told[-1]


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_progress_that_cannot_be_read_is_empty(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "progress.json").write_text(content)
    assert read_progress(tmp_path) == {}


def test_plain_keeps_what_json_holds() -> None:
    fields = {"a": 1, "b": 0.5, "c": "x", "d": True, "e": float("inf"), "f": [1], "g": None}
    assert plain(fields) == {"a": 1, "b": 0.5, "c": "x", "d": True}
    assert json.loads(json.dumps(plain(fields), allow_nan=False)) == plain(fields)
