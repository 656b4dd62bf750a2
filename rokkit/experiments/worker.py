"""One run in one process: the lock, the folder, the failure. What an executor is given to do."""

import contextlib
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from rokkit import machine
from rokkit.errors import ArtefactError, RokkitError
from rokkit.experiments.execute import execute
from rokkit.experiments.failure import RunFailure, describe, last_frame
from rokkit.experiments.report import CHECKPOINT, TRACEBACK, is_done, seal, write_spec
from rokkit.experiments.slots import slot
from rokkit.experiments.spec import RunSpec
from rokkit.experiments.status import PROGRESS, Fields, ProgressFile
from rokkit.files import write_text
from rokkit.paths import shown

# The second is what torch's optimizers import when they are first made.
IMPORTED = ["rokkit.experiments.worker", "torch._dynamo"]
# Runs draw from the generators of their process, so threads of one process take turns.
_TURN = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker has to know; it is pickled to other processes."""

    spec: RunSpec
    fingerprint: str
    folder: Path
    parents: tuple[Path, ...]  # folders of the finished parents, in the order of spec.parents()
    device: str
    force: bool = False  # do it again even if it is done
    imports: tuple[str, ...] = ()  # modules that register models or sources


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job."""

    ran: bool  # False: another process had finished it
    seconds: float = 0.0
    failure: RunFailure | None = None


def work(job: Job, also: Callable[[Fields], None] | None = None) -> Outcome:
    """Do the run of `job`, unless it is done; never raises for a run that fails.

    The lock makes a second process that wants the same run wait for the first and then read.
    """
    with FileLock(lock_path(job.folder)), _TURN:
        if not job.force and is_done(job.folder):
            return Outcome(ran=False)
        with slot():  # after the run's own lock: who waits for another process holds none
            return _do(job, also)


def _do(job: Job, also: Callable[[Fields], None] | None) -> Outcome:
    start = time.monotonic()
    try:
        if job.force:
            shutil.rmtree(job.folder, ignore_errors=True)
        for module in job.imports:
            importlib.import_module(module)
        _prepare(job)
        progress = ProgressFile(job.folder, also)
        execute(job.spec, job.folder, job.parents, device=job.device, progress=progress)
        seal(job.folder)
    except Exception as error:  # any failure of one run must not stop the others
        return Outcome(ran=True, failure=_record(job, error))
    for name in (CHECKPOINT, PROGRESS, TRACEBACK):
        (job.folder / name).unlink(missing_ok=True)
    return Outcome(ran=True, seconds=time.monotonic() - start)


def lock_path(folder: Path) -> Path:
    """The lock of a run lies beside its folder, so that removing the folder is safe."""
    locks = folder.parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return locks / f"{folder.name}.lock"


def _prepare(job: Job) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    for stray in job.folder.glob(".*.tmp"):  # drafts of a process that was killed
        stray.unlink()
    write_spec(job.folder, job.spec, job.fingerprint)


def _record(job: Job, error: Exception) -> RunFailure:
    with contextlib.suppress(OSError, ArtefactError):  # the disk may be what failed
        write_text(job.folder / TRACEBACK, "".join(traceback.format_exception(error)))
    (job.folder / PROGRESS).unlink(missing_ok=True)
    if isinstance(error, RokkitError):
        remedy = "Mend what the message names, then run again."
    else:
        remedy = f"See {shown(job.folder / TRACEBACK)}; running again resumes where it stopped."
    return RunFailure(job.spec.label, shown(job.folder), describe(error), last_frame(error), remedy)


class InProcess(Executor):
    """Runs a job when it is submitted, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Call `fn` now; the future is done when this returns."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextlib.contextmanager
def local_pool(jobs: int) -> Iterator[Executor]:
    """A pool of `jobs` processes that share the cores evenly.

    If the block fails or is interrupted, or if this process dies, the workers leave at once:
    a run they were at stays resumable.
    """
    threads = max(1, cores() // jobs)
    context = _nursery()
    listen, hold = context.Pipe(duplex=False)
    # Libraries read these when they load, before an initialiser could set them. Waiting threads
    # that spin lose more than they win when processes share the cores.
    settings = {
        "OMP_NUM_THREADS": str(threads),
        "NUMBA_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        # glibc gives every large block back to the system and fetches zeroed pages for the next
        # step; kept, a step of DIN at batch 512 takes two thirds of the time.
        "MALLOC_MMAP_THRESHOLD_": "8000000000",
        "MALLOC_TRIM_THRESHOLD_": "8000000000",
    }
    with _environment(settings):
        about = (threads, listen, dict(os.environ))
        pool = ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_start_worker, initargs=about
        )
        try:
            yield pool
        except BaseException:
            hold.close()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            hold.close()
            listen.close()


def cores() -> int:
    """Cores this process may use; OMP_NUM_THREADS lowers it."""
    found = machine.cores()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(found, int(asked)) if asked.isdigit() else found)


def _nursery() -> BaseContext:
    """Where processes come from: on Linux, forked from one that has imported for all of them.

    That one starts with the first pool and ends with this process. It trains nothing itself, so it
    has no threads or devices that could not be forked.
    """
    if not sys.platform.startswith("linux"):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


def _start_worker(threads: int, listen: Connection, environment: Mapping[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    os.environ.clear()  # where it was forked they are those of the first pool
    os.environ.update(environment)
    torch.set_num_threads(threads)
    threading.Thread(target=_leave_with_parent, args=(listen,), daemon=True).start()


def _leave_with_parent(listen: Connection) -> None:
    """End this process when the parent lets go of the other end, or dies."""
    with contextlib.suppress(EOFError, OSError):
        listen.recv()
    os._exit(130)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
