"""Notebooks in one batch: each through papermill, in a process of its own, several at a time."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rokkit.errors import ConfigError, unknown_name
from rokkit.notebook_failure import Failure
from rokkit.overview import notebooks_folder
from rokkit.parameters import declared, tags
from rokkit.paths import shown
from rokkit.progress import VARIABLE as PROGRESS_VARIABLE

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_LEAVE = 10.0  # for a notebook that is told to stop
ALONE, LONG = "alone", "long"  # tags of a parameters cell
TRAINING = 2  # notebooks that train at the same time: each has a pool of processes


@dataclass(frozen=True, kw_only=True)
class Task:
    """A notebook to execute."""

    notebook: Path
    copy: Path  # where the executed notebook is kept
    parameters: Mapping[str, Any]
    trains: bool = False  # it has a pool of processes for its runs
    alone: bool = False  # it measures time: nothing may go beside it
    long: bool = False  # its runs would go on alone if they began last

    @property
    def name(self) -> str:
        """The notebook's name without its ending."""
        return self.notebook.stem


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a task."""

    task: Task
    seconds: float
    failure: Failure | None = None


@dataclass
class Going:
    """A notebook that is being executed."""

    task: Task
    process: BaseProcess
    receiver: Connection
    start: float
    cell: int = 0  # from 1, papermill's own cells included
    cells: int = 0
    failure: Failure | None = None
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """The batch at one moment, for whoever watches."""

    waiting: Sequence[Task] = ()
    going: Sequence[Going] = ()
    outcomes: Sequence[Outcome] = field(default_factory=list)


def find(names: Sequence[str]) -> list[Path]:
    """The notebooks called `names` (without folder and ending, or paths); () gives all.

    ConfigError with the nearest name for one that does not exist.
    """
    known = {path.stem: path for path in sorted(notebooks_folder().glob("*.ipynb"))}
    if not names and not known:
        raise ConfigError(f"{shown(notebooks_folder())} holds no notebooks. Name one by its path.")
    found = []
    for name in names:
        path = Path(name)
        if name.removesuffix(".ipynb") in known:
            found.append(known[name.removesuffix(".ipynb")])
        elif path.suffix == ".ipynb" and path.is_file():
            found.append(path)
        else:
            raise ConfigError(unknown_name("notebook", name, known))
    return list(dict.fromkeys(found)) or list(known.values())


def tasks(
    notebooks: Sequence[Path], parameters: Mapping[str, Any], folder: Path, jobs: int
) -> list[Task]:
    """A task per notebook; `parameters` go to all of them.

    A notebook that declares `jobs` trains: it gets all of them for its pool of runs, and is
    executed before the others, which read what it trained. Tags of the parameters cell: "long" for
    one whose runs go on alone if they begin last, which starts first, so that others fill the cores
    beside it; "alone" for one that measures time, which comes after those that do not. With one
    process the order is the one given.
    """
    made = []
    for path in notebooks:
        trains = "jobs" in {one.name for one in declared(path)}
        values = {name: value for name, value in parameters.items() if name != "jobs"}
        if trains:
            values["jobs"] = jobs
        copy, tagged = folder / path.name, tags(path)
        task = Task(
            notebook=path,
            copy=copy,
            parameters=values,
            trains=trains,
            alone=ALONE in tagged,
            long=LONG in tagged,
        )
        made.append(task)
    if jobs == 1:
        return made
    return sorted(made, key=lambda task: (not task.trains, task.alone, not task.long))


@contextlib.contextmanager
def _an_end_is_an_interrupt() -> Iterator[None]:
    """SIGTERM, and a terminal that closes, raise KeyboardInterrupt as Ctrl-C does.

    Else this process would be gone at once, and its notebooks train on without it. A signal that
    is ignored, as under nohup, stays so; outside the main thread, where Python allows no handlers,
    nothing is changed.
    """
    ends = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    if threading.current_thread() is not threading.main_thread():
        ends = []
    before = {one: signal.getsignal(one) for one in ends}
    changed = [one for one in ends if before[one] == signal.SIG_DFL]
    for one in changed:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in changed:
            signal.signal(one, before[one])


@_an_end_is_an_interrupt()
def execute(
    batch: Sequence[Task], *, jobs: int, watch: Callable[[State], None] = lambda state: None
) -> list[Outcome]:
    """Execute `batch`, at most `jobs` notebooks at a time, and give an outcome per task.

    Two that train go side by side, so that one draws while the other trains; how many runs they
    execute at once, both together, is for `experiments.slots` to say. A notebook that fails does
    not stop the others. `watch` is called about twice a second. If it raises, on Ctrl-C, or when
    this process is told to end, the kernels are stopped; what they had finished stays.
    """
    waiting, going, outcomes = list(batch), list[Going](), list[Outcome]()
    try:
        while waiting or going:
            while waiting and _fits(waiting[0], [g.task for g in going], jobs):
                going.append(_start(waiting.pop(0)))
            for receiver in connection.wait([g.receiver for g in going], SECONDS_BETWEEN_LOOKS):
                _hear(next(g for g in going if g.receiver is receiver))
            for one in [g for g in going if g.finished]:
                going.remove(one)
                one.process.join()
                spent = time.monotonic() - one.start
                outcomes.append(Outcome(task=one.task, seconds=spent, failure=one.failure))
            watch(State(waiting=tuple(waiting), going=tuple(going), outcomes=tuple(outcomes)))
    finally:
        for one in going:
            one.process.terminate()
        for one in going:
            one.process.join(SECONDS_TO_LEAVE)
            one.process.kill()
    return outcomes


def _fits(task: Task, going: Sequence[Task], jobs: int) -> bool:
    """Whether `task` may go beside those that are going."""
    if task.alone or any(one.alone for one in going):
        return not going
    if task.trains and sum(one.trains for one in going) >= TRAINING:
        return False
    return len(going) < jobs


def _start(task: Task) -> Going:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, sender), daemon=False)
    process.start()
    sender.close()  # so that the pipe ends when the process does
    return Going(task, process, receiver, time.monotonic())


def _hear(one: Going) -> None:
    try:
        said = one.receiver.recv()
    except (EOFError, OSError):
        one.process.join(SECONDS_TO_LEAVE)
        error = (
            f"its process ended with code {one.process.exitcode}, most likely out of memory; "
            "run again with fewer jobs"
        )
        said = Failure(cell=one.cell, source="", error=error, where="")
    if isinstance(said, tuple):
        one.cell, one.cells = said
        return
    one.failure, one.finished = said, True


def _work(task: Task, sender: Connection) -> None:
    """Execute one notebook in this process; tells (cell, cells) and, at last, the failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, _leave)
    os.environ.pop("JPY_SESSION_NAME", None)  # nobody watches these kernels
    os.environ.setdefault(PROGRESS_VARIABLE, "lines")
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    from rokkit.notebook_process import execute_notebook  # the parent needs no papermill

    def tell(cell: int, cells: int) -> None:
        sender.send((cell, cells))

    sender.send(execute_notebook(task.notebook, task.copy, task.parameters, tell))


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
