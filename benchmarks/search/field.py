"""The engines at one pool: started, built, checked against ours and warmed up; then they race."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.contenders import Contender, OutOfTheRace, Process, python_of
from harness.turns import Rate, Turn, in_rounds, summary
from search import exactness
from search.engines import MOST_ROWS, OURS, PYTHON, Answer, lucene
from search.pools import Pool

BENCHMARKS = Path(__file__).resolve().parents[1]
BEFORE = "ours, before"  # ours among the rows before a row
FEWEST = 20  # queries of a turn
CHECK_SECONDS = 20.0  # within which more answers than those are compared


def at_hand() -> tuple[dict[str, Contender], list[str]]:
    """(every engine that may run here, by name; what is known to be missing)."""
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent)]
    here = {"PYTHONPATH": os.pathsep.join(paths)}
    found = {
        name: Contender(
            name=name, command=(python_of(name), "-m", "search.serve", name), environment=here
        )
        for name in PYTHON
    }
    java, notes = lucene.contenders()
    return found | {n: Contender(name=n, command=c) for n, c in java.items()}, notes


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured."""

    queries: int  # at hand; a turn takes the first of them, as many as its seconds allow
    checked: int  # queries whose answers are compared
    rounds: int
    turn_seconds: float  # by wall clock
    warm_up_seconds: float  # processor seconds of search that are not counted, of each engine
    calls: int  # single calls of a turn


class Field:
    """The engines of one pool. What drops out is told in `left_out`, and the others go on."""

    def __init__(self, pool: Pool, effort: Effort, folder: Path) -> None:
        self.pool = pool
        self.effort = effort
        self.folder = folder
        self.asked: dict[str, Any] = {"fields": pool.width}  # what every request says
        self.running: dict[str, Process] = {}
        self.building: dict[str, dict[str, Any]] = {}
        self.pace: dict[str, float] = {}  # seconds per query, as of the last warm-up
        self.left_out: list[str] = []

    @classmethod
    @contextmanager
    def of(
        cls, contenders: Sequence[Contender], pool: Pool, seed: int, effort: Effort, folder: Path
    ) -> Iterator["Field"]:
        """Make the pool, start the contenders, have them build in turn; end them afterwards."""
        made = cls(pool, effort, folder)
        rows, queries = pool.make(effort.queries, seed, folder)
        made.asked["queries"] = str(queries)
        with ExitStack() as stack:
            for one in contenders:
                if pool.rows > MOST_ROWS.get(one.name, pool.rows):
                    most = f"{MOST_ROWS[one.name]:,} rows"
                    made.left_out.append(f"{one.name}: not tried on more than {most}.")
                    continue
                try:
                    made._enter(one, str(rows), stack)
                except OutOfTheRace as reason:
                    made.left_out.append(str(reason))
            if OURS not in made.running:
                raise OutOfTheRace(" ".join(made.left_out))
            yield made

    def _enter(self, one: Contender, rows: str, stack: ExitStack) -> None:
        """Start a contender and have it build; OutOfTheRace if it cannot."""
        place = self.folder / one.name.replace(" ", "-")
        place.mkdir()
        process = stack.enter_context(Process(one, place / "log"))
        try:
            built = process.ask("build", pool=rows, fields=self.pool.width, folder=str(place))
        except OutOfTheRace:
            process.close()  # at once, for the memory that it holds
            raise
        self.running[one.name], self.building[one.name] = process, built

    def check(self, k: int) -> dict[str, Any]:
        """Compare the answers of all with ours; an engine whose answers differ is left out."""
        ours = self._answer(OURS, min(self.effort.checked, self.effort.queries), k)
        assert ours is not None
        found = {}
        for name in [name for name in self.running if name != OURS]:
            answer = self._answer(name, min(FEWEST, len(ours[0])), k)
            # The others only where they are quickly had.
            n = min(len(ours[0]), int(CHECK_SECONDS / self.pace.get(name, CHECK_SECONDS)))
            if answer is not None and n > len(answer[0]):
                answer = self._answer(name, n, k)
            if answer is None:
                continue
            n = len(answer[0])
            same = exactness.agreement(
                name, (ours[0][:n], ours[1][:n]), answer, self.building[name]["per_idf"]
            )
            found[name] = same.kept()
            if not same.holds:
                self._drop(name, f"{name}: its answers are not ours ({found[name]}).")
        return found

    def _answer(self, name: str, n: int, k: int) -> Answer | None:
        """What is found for the first `n` queries; None if the engine dropped out."""
        out = str(self.folder / "answer")
        begun = time.perf_counter()
        if self._ask(name, "answer", n=n, k=k, out=out) is None:
            return None
        self.pace[name] = (time.perf_counter() - begun) / n
        return exactness.read(out, n, k)

    def speed(self, k: int) -> dict[str, Any]:
        """Queries per second of all, and of ours among the rows before a row."""
        turns = {name: self._turn(name, "search", k) for name in list(self.running)}
        turns[BEFORE] = self._turn(OURS, "before", k)
        found, out = in_rounds({n: t for n, t in turns.items() if t}, self.effort.rounds)
        for name, reason in out.items():
            self._drop(name, reason)
        return summary(found, OURS)

    def latency(self, k: int) -> dict[str, Any]:
        """Wall microseconds of a call with one query: p50 and p99 of a turn, over the rounds."""
        turns = {}
        for name in list(self.running):
            n = min(self.effort.calls, self._affordable(name, k))
            turns[name] = lambda name=name, n=n: (
                self.running[name].ask("single", n=n, k=k, **self.asked) | {"calls": n}
            )
        found, out = in_rounds(turns, self.effort.rounds)
        for name, reason in out.items():
            self._drop(name, reason)
        return {
            name: {p: asdict(Rate.of([one[p] for one in taken])) for p in ("p50", "p99")}
            | {"calls": taken[0]["calls"]}
            for name, taken in found.items()
        }

    def opening(self) -> dict[str, float]:
        """Seconds to open what an engine keeps on disk; those that keep nothing are left out."""
        found = {name: self._ask(name, "open") for name in list(self.running)}
        return {n: one["seconds"] for n, one in found.items() if one and one["seconds"] is not None}

    def touched(self, k: int) -> dict[str, float]:
        """Rows that ours looks at."""
        n = self.effort.queries
        return self.running[OURS].ask("touched", n=n, k=k, **self.asked)

    def _turn(self, name: str, do: str, k: int) -> Any:
        """A turn of some seconds, after it was warmed up; None if it dropped out meanwhile."""
        n, spent, took = FEWEST, 0.0, 0.0
        while spent < self.effort.warm_up_seconds or (
            n < self.effort.queries and took < self.effort.turn_seconds / 2
        ):
            reply = self._ask(name, do, n=n, k=k)
            if reply is None:
                return None
            took = reply["wall"]
            spent += reply["cpu"]
            if took > 0:
                share = self.effort.turn_seconds / took
                n = max(FEWEST, min(self.effort.queries, int(n * min(share, 8))))
            self.pace[name] = took / reply["units"]
        process = self.running[name]

        def turn() -> Turn:
            reply = process.ask(do, n=n, k=k, **self.asked)
            return Turn(reply["units"], reply["cpu"], reply["wall"])

        return turn

    def _affordable(self, name: str, k: int) -> int:
        """Queries that this engine answers in a turn's seconds."""
        each = self.pace.get(name, 0.0) or 1e-6
        return max(FEWEST, min(self.effort.queries, int(self.effort.turn_seconds / each)))

    def _ask(self, name: str, do: str, **arguments: Any) -> dict[str, Any] | None:
        """The reply; None if the engine dropped out, which is noted."""
        about = {} if do == "open" else self.asked
        try:
            return self.running[name].ask(do, **about, **arguments)
        except OutOfTheRace as reason:
            self._drop(name, str(reason))
            return None

    def _drop(self, name: str, reason: str) -> None:
        if name in (OURS, BEFORE):
            raise OutOfTheRace(reason)
        self.left_out.append(reason)
        self.running.pop(name).close()
