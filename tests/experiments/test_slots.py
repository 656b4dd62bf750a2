"""rokkit.experiments.slots: how many runs go at once over the processes of a batch."""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from small_study import settle, spec

from rokkit.experiments import Runs
from rokkit.experiments.slots import VARIABLE, limited, slot


def test_no_more_are_held_at_once_than_there_are_and_all_get_one() -> None:
    held, most, served, counting = 0, 0, 0, threading.Lock()

    def take() -> None:
        nonlocal held, most, served
        with slot():
            with counting:
                held += 1
                most = max(most, held)
            time.sleep(0.05)
            with counting:
                held -= 1
                served += 1

    with limited(2):
        threads = [threading.Thread(target=take) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (most, served, held) == (2, 6, 0)


def test_a_slot_is_let_go_by_an_error() -> None:
    with limited(1):
        with pytest.raises(ValueError, match="bad"), slot():
            raise ValueError("bad")
        with slot():
            pass


def hold(sender: Connection) -> None:
    with slot():
        sender.send("held")
        time.sleep(60)


def test_a_process_that_is_killed_lets_go_of_its_slot() -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with limited(1):
        process = context.Process(target=hold, args=(sender,))
        process.start()
        assert receiver.recv() == "held"
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        with slot():
            pass


def test_outside_a_batch_nothing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with slot(), slot():
        pass
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with slot(), slot():
        pass


def test_a_batch_within_another_has_slots_of_its_own() -> None:
    with limited(1), slot():
        outer = os.environ[VARIABLE]
        with limited(1), slot():
            assert os.environ[VARIABLE] != outer
        assert os.environ[VARIABLE] == outer


def test_runs_wait_for_a_slot_and_finished_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(settle(tmp_path, monkeypatch), device="cpu")
    with limited(1):
        (first,) = runs([spec("LR")])
        with slot():  # all that there is
            (second,) = runs([spec("LR")])
            waits = threading.Thread(target=runs, args=([spec("MLP")],))
            waits.start()
            waits.join(1.0)
            assert waits.is_alive()
            assert not runs.plan([spec("MLP")])[0].done
        waits.join()
    assert (first.cached, second.cached) == (False, True)
    assert runs.plan([spec("MLP")])[0].done
