"""Specs in, reports out: what is done is read, what is missing is executed, parents first."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from rokkit.config import require
from rokkit.data import load
from rokkit.data.sources import REGISTRY as SOURCES
from rokkit.experiments.board import Board
from rokkit.experiments.failure import RunError, RunFailure, describe
from rokkit.experiments.report import Report, is_done, read_report
from rokkit.experiments.spec import DataSpec, RunSpec
from rokkit.experiments.status import RunEvent, read_progress
from rokkit.experiments.worker import InProcess, Job, Outcome, local_pool, work
from rokkit.models import model_entry
from rokkit.paths import runs_root, shown
from rokkit.training import resolve_device

SECONDS_BETWEEN_LOOKS = 0.5  # at the progress files of other processes
MAIN = "__main__"  # a notebook or script as it calls itself: no other process can import it

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A run that a call of `Runs` needs."""

    spec: RunSpec
    key: str
    fingerprint: str
    folder: Path
    parents: tuple[str, ...]  # keys
    done: bool

    @property
    def label(self) -> str:
        """The run's short name."""
        return self.spec.label

    @property
    def name(self) -> str:
        """The folder's name: label and key."""
        return self.folder.name

    @property
    def here(self) -> bool:
        """Whether only this process can do it: a cell or a script defines what it names."""
        return MAIN in _homes(self.spec)


class Runs:
    """`Runs()(specs)` returns a report per spec, in their order.

    root      holds a folder per data set, and in it one per run (default: `runs_root()`)
    executor  any `concurrent.futures.Executor`; it is not shut down. Default: this process, or
              `jobs` local processes if `jobs` is more than 1
    device    "auto", "cpu", "cuda" or "mps"
    progress  called with a `RunEvent` whenever something happens
    tell      called with a line that a person should know of (default: the log)
    imports   modules that workers import first: those that register your models and sources are
              found by themselves, if they are modules
    force     do every run again, parents included, removing what is there

    A run whose model or data set is defined in a notebook or script itself is done in this process,
    one at a time, whatever the executor.

    Raises RunError when runs failed, after the independent others finished; ArtefactError for a
    damaged run folder; ConfigError for a spec that cannot run. Ctrl-C stops all; a run that was
    going resumes from its checkpoint next time.
    """

    def __init__(
        self,
        root: Path | str | None = None,
        executor: Executor | None = None,
        jobs: int = 1,
        device: str = "auto",
        progress: Callable[[RunEvent], None] | None = None,
        tell: Callable[[str], None] = logger.info,
        imports: Sequence[str] = (),
        force: bool = False,
    ) -> None:
        require(jobs >= 1, "jobs", jobs, "at least 1")
        self.root = Path(root) if root is not None else runs_root()
        self.executor = executor
        self.jobs = jobs
        self.device = str(resolve_device(device))
        self.progress = progress
        self.tell = tell
        self.imports = tuple(imports)
        self.force = force
        self._pools: dict[DataSpec, tuple[str, int]] = {}  # fingerprint, size of the pool

    def __call__(self, specs: Sequence[RunSpec]) -> list[Report]:
        """A report per spec, in their order."""
        plan, asked = self._plan(specs)
        reports = {k: self._read(run, cached=True) for k, run in plan.items() if run.done}
        if len(reports) < len(plan):
            reports |= self._execute(plan, reports)
        return [reports[key] for key in asked]

    def plan(self, specs: Sequence[RunSpec]) -> list[Planned]:
        """The runs that `specs` need, each after its parents. Executes none of them.

        Samples are built if they are not there yet: a key covers their fingerprint.
        """
        return list(self._plan(specs)[0].values())

    def _plan(self, specs: Sequence[RunSpec]) -> tuple[dict[str, Planned], list[str]]:
        """All runs by key, parents first; and the keys of `specs`."""
        plan: dict[str, Planned] = {}
        asked = []
        for spec in specs:
            if spec.data not in self._pools:
                samples = load(spec.data.name, **dict(spec.data.options))
                self._pools[spec.data] = samples.fingerprint, len(samples.pool)
            fingerprint, pool_size = self._pools[spec.data]
            asked.append(self._add(spec, fingerprint, pool_size, plan))
        return plan, asked

    def _add(
        self, spec: RunSpec, fingerprint: str, pool_size: int, plan: dict[str, Planned]
    ) -> str:
        parents = tuple(self._add(p, fingerprint, pool_size, plan) for p in spec.parents())
        expected = f"at most the {pool_size} rows of the pool of {spec.data.name!r}"
        if "neighbours" in spec.needs:
            require(spec.retrieval.k <= pool_size, "retrieval.k", spec.retrieval.k, expected)
        if spec.model is None and spec.knowledge and spec.knowledge.construct.pool_rows:
            drawn = spec.knowledge.construct.pool_rows
            require(drawn <= pool_size, "construct.pool_rows", drawn, expected)
            fewer = f"fewer than the {pool_size} rows of the pool, which are searched for too"
            require(spec.retrieval.k < pool_size, "retrieval.k", spec.retrieval.k, fewer)
        key = spec.key(fingerprint)
        folder = spec.folder(self.root, key)
        plan.setdefault(
            key,
            Planned(
                spec=spec,
                key=key,
                fingerprint=fingerprint,
                folder=folder,
                parents=parents,
                done=is_done(folder) and not self.force,
            ),
        )
        return key

    def _execute(self, plan: dict[str, Planned], cached: dict[str, Report]) -> dict[str, Report]:
        """Execute what is not cached, each run as soon as its parents are done."""
        finished: dict[str, Report] = {}
        failures: list[RunFailure] = []
        waiting = _by_urgency([run for key, run in plan.items() if key not in cached])
        running: dict[Future[Outcome], Planned] = {}
        with self._lanes(waiting) as (executor, slots), self._board(plan, slots) as board:
            for report in cached.values():
                board.read(report.folder.name, report.timings.get("total", 0.0))
            while True:
                ready = [r for r in waiting if set(r.parents) <= {*cached, *finished}]
                # A run in this process keeps the loop waiting, so others are handed out before it
                # and looked at after it.
                for run in sorted(ready, key=lambda r: r.here)[: slots - len(running)]:
                    waiting.remove(run)
                    board.begin(run.name)
                    running[self._submit(executor, run, plan, board)] = run
                    if run.here:
                        break
                if not running:
                    break
                done, _ = wait(running, SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
                for future in [f for f in running if f in done]:  # as submitted: `done` is a set
                    run = running.pop(future)
                    outcome = _outcome(future, run)
                    if outcome.failure is None:
                        finished[run.key] = self._read(run, cached=not outcome.ran)
                        board.end(run.name)
                    else:
                        failures.append(outcome.failure)
                        board.end(run.name, failed=outcome.failure.error)
                for run in running.values():
                    board.advance(run.name, read_progress(run.folder))
        if failures:
            raise RunError(failures, [run.label for run in waiting])
        return finished

    def _submit(
        self, executor: Executor, run: Planned, plan: dict[str, Planned], board: Board
    ) -> "Future[Outcome]":
        job = Job(
            spec=run.spec,
            fingerprint=run.fingerprint,
            folder=run.folder,
            parents=tuple(plan[key].folder for key in run.parents),
            device=self.device,
            force=self.force,
            imports=self.imports + tuple(m for m in _homes(run.spec) if m != MAIN),
        )
        if run.here:
            executor = InProcess()
        if isinstance(executor, InProcess):
            return executor.submit(work, job, lambda fields: board.advance(run.name, fields))
        return executor.submit(work, job)

    @contextlib.contextmanager
    def _lanes(self, runs: Sequence[Planned]) -> Iterator[tuple[Executor, int]]:
        """The executor of runs that are not done here, and how many go at once in all."""
        alone = self.executor is None and (self.jobs == 1 or len(runs) == 1)
        here = [run.label for run in runs if run.here]
        if here and not alone:
            self.tell(
                f"{len(here)} of {len(runs)} runs are done in this process, one at a time: their "
                "model or data set is defined in the notebook or script itself, where other "
                "processes cannot import it. Move it to a module to spread them. "
                f"({', '.join(here)})"
            )
        if alone or (self.executor is None and len(here) == len(runs)):
            yield InProcess(), 1
            return
        if self.executor is not None:
            yield self.executor, len(runs)
            return
        with local_pool(min(self.jobs, len(runs))) as pool:
            yield pool, self.jobs

    def _board(self, plan: dict[str, Planned], slots: int) -> Board:
        runs = [(run.name, run.label, run.spec.system) for run in plan.values()]
        return Board(self.root, runs, slots, self.progress)

    def _read(self, run: Planned, *, cached: bool) -> Report:
        return read_report(run.folder, run.spec, run.fingerprint, cached=cached)


def _by_urgency(runs: list[Planned]) -> list[Planned]:
    """Runs that the longest chain of others waits for come first, then those that train longest.

    These learn from the whole pool, and begun last they would go on alone. Else the given order.
    """
    height: dict[str, int] = {}
    for run in reversed(runs):  # parents stand before those that need them
        own = height.setdefault(run.key, 0)
        for parent in run.parents:
            height[parent] = max(height.get(parent, 0), own + 1)
    return sorted(runs, key=lambda run: (-height[run.key], not run.spec.learns_from_pool))


def _outcome(future: "Future[Outcome]", run: Planned) -> Outcome:
    """The outcome of a run; what the executor itself raises becomes a failure of the run."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        remedy = "A worker died, most likely out of memory: run again with fewer jobs."
        failure = RunFailure(run.label, shown(run.folder), describe(error), "", remedy)
    except (CancelledError, Exception) as error:
        remedy = "The executor could not do it: look at its workers, then run again."
        failure = RunFailure(run.label, shown(run.folder), describe(error), "", remedy)
    return Outcome(ran=False, failure=failure)


def _homes(spec: RunSpec) -> tuple[str, ...]:
    """Modules outside rokkit that register what `spec` names."""
    names = [spec.model.name] if spec.model is not None else []
    given = spec.knowledge or spec.aid
    names += [given.teacher.name] if given is not None and given.teacher is not None else []
    names += [spec.retrieval.encoder.name] if spec.retrieval.encoder is not None else []
    targets = [model_entry(name).target for name in names]
    modules = [t.__module__ for t in targets] + [SOURCES.get(spec.data.name).__module__]
    return tuple(m for m in dict.fromkeys(modules) if m.partition(".")[0] != "rokkit")
