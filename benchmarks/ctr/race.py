"""Processes that are built alike and asked in rounds; what drops out is told, the others go on."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ctr.frameworks import FRAMEWORKS, OURS, PEERS, Case
from harness.contenders import Contender, OutOfTheRace, Process, python_of
from harness.turns import in_rounds
from rokkit.errors import unknown_name

BENCHMARKS = Path(__file__).resolve().parents[1]
Reply = dict[str, Any]


def contender(framework: str) -> Contender:
    """How a framework's process is started. A peer finds nothing of rokkit, and needs nothing."""
    paths = [str(BENCHMARKS), *([str(BENCHMARKS.parent)] if framework == OURS else [])]
    return Contender(
        name=framework,
        command=(python_of(framework), "-m", "ctr.serve", framework),
        environment={"PYTHONPATH": os.pathsep.join(paths)},
    )


def check_names(names: Iterable[str]) -> None:
    """Stop, with the nearest name, at one that is no framework's."""
    for name in names:
        if name not in FRAMEWORKS:
            raise SystemExit(unknown_name("framework", name, [OURS, *PEERS]))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One that takes part."""

    name: str  # on the page
    framework: str
    case: Case
    arrays: Path


@dataclass
class Race:
    """Entries that are built and alive."""

    running: dict[str, Process] = field(default_factory=dict)
    built: dict[str, Reply] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def of(cls, entries: Sequence[Entry], folder: Path) -> Iterator["Race"]:
        """Start all and have them build; end them afterwards.

        OutOfTheRace if one of ours cannot be built: there is nothing to compare with then.
        """
        made = cls()
        with ExitStack() as stack:
            for place, one in enumerate(entries):
                own = folder / f"entry-{place}"
                own.mkdir()
                try:
                    process = stack.enter_context(Process(contender(one.framework), own / "log"))
                    made._build(process, one, own)
                except OutOfTheRace as reason:
                    made.drop(one.name, str(reason))
            yield made

    def _build(self, process: Process, one: Entry, own: Path) -> None:
        """Have it build; if it cannot, it is let go at once, for the memory that it holds."""
        try:
            self.built[one.name] = process.ask(
                "build", arrays=str(one.arrays), folder=str(own), case=asdict(one.case)
            )
        except OutOfTheRace:
            process.close()
            raise
        self.running[one.name] = process

    def rounds(
        self, do: str, rounds: int, arguments: Mapping[str, Mapping[str, Any]] | None = None
    ) -> dict[str, list[Reply]]:
        """What each answers when asked to `do`, once a round; `arguments` by name."""
        asked = {name: dict((arguments or {}).get(name, {})) for name in self.running}
        turns = {
            name: lambda p=process, n=name: p.ask(do, **asked[n])
            for name, process in self.running.items()
        }
        found, out = in_rounds(turns, rounds)
        for name, reason in out.items():
            self.running.pop(name).close()
            self.drop(name, reason)
        return found

    def drop(self, name: str, reason: str) -> None:
        """Note why one is left out; OutOfTheRace if it is ours, unless an extra is missing."""
        if name.startswith(OURS) and "not here" not in reason:
            raise OutOfTheRace(f"{name}: {reason}")
        self.left_out.append(reason if name in reason else f"{name}: {reason}")

    @property
    def versions(self) -> dict[str, str]:
        """Of everything that was built; where environments differ, those of the last."""
        found: dict[str, str] = {}
        for reply in self.built.values():
            found |= reply["versions"]
        return found
