"""Runs on a cluster: a real one of several worker processes, one of which dies in the middle."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_study import SETTINGS, often_saved, settle, spec, yields

from rokkit.config import build
from rokkit.errors import ConfigError
from rokkit.experiments import Runs, Settings
from rokkit.experiments.executors import opened

TESTS = Path(__file__).resolve().parents[1]
distributed = pytest.importorskip("distributed")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three worker processes with one thread each; they know the small data set."""
    settle(tmp_path, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}{os.pathsep}{TESTS.parent}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SMALL_SLEEP", "0.1")  # a run takes seconds, so that it can be met in it
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None
    ) as held:
        yield held


def kill_one_that_works(address: str, runs: Path, told: list[str]) -> None:
    """Kills the worker process of a run that has a checkpoint."""
    with distributed.Client(address, set_as_default=False) as client:
        pids = client.run(os.getpid)
        waited = time.monotonic() + 60
        while time.monotonic() < waited:
            going = [w for w, tasks in client.processing().items() if tasks]
            if going and list(runs.glob("*/*/last.pt")):
                os.kill(pids[going[0]], signal.SIGKILL)
                told.append(going[0])
                return
            time.sleep(0.02)


@pytest.mark.timeout(240)
def test_a_cluster_that_loses_a_worker_yields_the_same_bits(cluster: Any, tmp_path: Path) -> None:
    asked = [often_saved(spec(*one)) for one in (("MLP", 0), ("MLP", 1), ("MLP+ROK", 0))]
    runs, killed = tmp_path / "runs", list[str]()
    killer = threading.Thread(
        target=kill_one_that_works, args=(cluster.scheduler_address, runs, killed)
    )
    killer.start()
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    with opened(address) as executor:
        reports = Runs(runs, executor, device="cpu")(asked)
    killer.join()
    assert len(killed) == 1
    assert not any(report.cached for report in reports)
    assert yields(reports) == yields(Runs(tmp_path / "serial", device="cpu")(asked))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("dask:/10.0.0.5:8786", "expected empty or dask://host:port"),
        ("dsk://10.0.0.5:8786", "scheme 'dsk' is not known. Did you mean 'dask'"),
        ("dask://10.0.0.5", "expected a host and a port"),
        ("dask://", "expected empty or dask://host:port"),
    ],
)
def test_an_address_that_cannot_be_is_refused_before_anything_runs(
    address: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Settings, {"executor": address}, where="test")


def test_nobody_at_the_address_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rokkit.experiments.executors.SECONDS_TO_CONNECT", 1)
    with (
        pytest.raises(ConfigError, match=r"nobody answers at dask://127\.0\.0\.1:9"),
        opened("dask://127.0.0.1:9"),
    ):
        pass


def test_no_address_is_this_machine() -> None:
    assert SETTINGS.executor == ""
    with opened("") as executor:
        assert executor is None


def test_without_dask_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install rokkit\[dask\]"), opened("dask://h:1"):
        pass
