"""The processes that runs are handed to: where they come from, and what they know."""

import os
import sys

import pytest

from rokkit.experiments.worker import local_pool


def test_workers_have_the_environment_of_their_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: that of the first pool, which the process they are forked from was started with."""
    for value in ("first", "second", None):
        if value is None:
            monkeypatch.delenv("ROKKIT_OF_A_TEST")
        else:
            monkeypatch.setenv("ROKKIT_OF_A_TEST", value)
        with local_pool(1) as pool:
            assert pool.submit(os.getenv, "ROKKIT_OF_A_TEST").result() == value
            assert pool.submit(os.getenv, "OMP_WAIT_POLICY").result() == "PASSIVE"
    assert "ROKKIT_OF_A_TEST" not in os.environ


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="spawned there, one by one")
def test_workers_of_all_pools_come_of_one_process() -> None:
    """So that what takes seconds to import is imported once."""
    parents = set()
    for _ in range(2):
        with local_pool(2) as pool:
            parents |= {pool.submit(os.getppid).result() for _ in range(4)}
    assert len(parents) == 1
    assert os.getpid() not in parents
