"""Killed, interrupted or raced for, a run ends with the bytes it would have had anyway."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_study
from small_study import contents, live, often_saved, race, settle, spec, yields

from rokkit.data import load
from rokkit.experiments import Runs, standings
from rokkit.training import loop

TESTS = Path(small_study.__file__).resolve().parent
USER = often_saved(spec("MLP+ROK"))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Any]:
    """Makes processes that have imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["small_study", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        yield context


def kill(nursery: Any, runs: Path, asked: Any, place: str, at: int) -> None:
    """A process executes `asked` until it is killed at `place`."""
    process = nursery.Process(target=live, args=(runs.parent / "data", runs, asked, place, at))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_a_run_that_was_killed_goes_on_from_its_checkpoint(
    nursery: Any, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in step 12 of 16 with checkpoints at even steps: 6 are left."""
    asked = [often_saved(spec("MLP"))]
    expected = Runs(runs / "elsewhere")(asked)
    kill(nursery, runs, asked, "step", 12)
    folder = Runs().plan(asked)[0].folder
    assert (folder / "last.pt").exists()
    assert not (folder / "DONE").exists()
    (folder / ".report.json.x.tmp").write_text("{")  # the draft of a process that was killed
    steps, real = [], loop._Trainer.take_step

    def counted(trainer: Any, rows: Any) -> None:
        steps.append(1)
        real(trainer, rows)

    monkeypatch.setattr(loop._Trainer, "take_step", counted)
    reports = Runs()(asked)
    assert len(steps) == 6
    assert yields(reports) == yields(expected)
    assert reports[0].history() == expected[0].history()
    assert {p.name for p in reports[0].folder.iterdir()} == {
        p.name for p in expected[0].folder.iterdir()
    }


def test_a_lineage_killed_again_and_again_ends_with_the_same_bytes(
    nursery: Any, runs: Path
) -> None:
    """Teacher, construction and user are each killed in training, and twice when they write."""
    asked = [USER, *USER.parents()]
    expected = Runs(runs / "elsewhere")(asked)
    deaths = [("step", 3), ("weights", 1), ("step", 13), ("history", 1), ("step", 1), ("step", 4)]
    for place, at in deaths:
        kill(nursery, runs, asked, place, at)
    assert [run.done for run in Runs().plan(asked)] == [True, True, False]
    reports = Runs()(asked)
    assert yields(reports) == yields(expected)
    assert [r.metrics for r in reports] == [r.metrics for r in expected]


def test_of_two_processes_that_want_a_run_one_trains_and_the_other_reads(
    nursery: Any, runs: Path
) -> None:
    load("small")
    asked = [spec("MLP"), spec("RIM")]
    begin, told = nursery.Barrier(2), nursery.Queue()
    places = (runs.parent / "data", runs, asked)
    both = [nursery.Process(target=race, args=(*places, begin, told)) for _ in range(2)]
    for process in both:
        process.start()
    cached = [told.get(timeout=60) for _ in both]
    for process in both:
        process.join(60)
    for of_one, of_other in zip(*cached, strict=True):
        assert sorted([of_one, of_other]) == [False, True]
    assert yields(Runs()(asked)) == yields(Runs(runs / "elsewhere")(asked))


def test_ctrl_c_stops_all_processes_and_the_next_call_goes_on(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills: workers that outlive their parent; a DONE for a run that was stopped."""
    code = (
        # A shell has what runs in its background ignore Ctrl-C, and children inherit that.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from small_study import *\n"
        "Runs(jobs=2, device='cpu')([often_saved(spec(s)) for s in ('LR', 'MLP')])"
    )
    asked = [often_saved(spec("LR")), often_saved(spec("MLP"))]
    planned = Runs().plan(asked)
    env = os.environ | {"PYTHONPATH": str(TESTS), "SMALL_SLEEP": "0.7", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        waited = time.monotonic() + 90
        while not all((run.folder / "last.pt").exists() for run in planned):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < waited
            time.sleep(0.05)
        assert [s.pid for s in standings()] == [process.pid]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
        # The workers hold the same pipes, so this returns only when they have left as well.
        _, error = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGINT
    assert error.strip().endswith("KeyboardInterrupt")
    assert standings() == []
    stopped = {name for run in planned for name in contents(run.folder)}
    assert not {"DONE", "report.json", "best.safetensors", "traceback.txt"} & stopped
    reports = Runs()(asked)
    assert not any(report.cached for report in reports)
    assert yields(reports) == yields(Runs(runs / "elsewhere")(asked))
