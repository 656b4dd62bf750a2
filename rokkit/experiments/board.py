"""Counts the runs of one call of `Runs`, estimates what is left, and tells who wants to know."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean
from types import TracebackType
from typing import Any

from rokkit.errors import ArtefactError
from rokkit.experiments.status import (
    SECONDS_BETWEEN,
    Fields,
    Kind,
    RunEvent,
    Standing,
    end_standing,
    plain,
    write_standing,
)


class Board:
    """Where one call of `Runs` stands. A context: watchers see it from its start to its end."""

    def __init__(
        self,
        root: Path,
        runs: Iterable[tuple[str, str, str]],
        slots: int,
        notify: Callable[[RunEvent], None] | None,
    ) -> None:
        """`runs` holds (name, label, system) of every run of the call; `slots` run at once.

        Names are unique; two runs that differ in a setting may share label and system.
        """
        self.root = root
        held = list(runs)
        self.label = {name: label for name, label, _ in held}
        self.system = {name: system for name, _, system in held}
        self.total = len(held)
        self.slots = slots
        self.notify = notify
        self.start = time.monotonic()
        self.name = f"{os.getpid()}-{time.time_ns()}"
        self.cached: set[str] = set()
        self.finished: set[str] = set()
        self.failed: set[str] = set()
        self.running: dict[str, dict[str, Any]] = {}
        self.began: dict[str, float] = {}
        self.known: dict[str, list[float]] = {}  # seconds of finished runs, by system
        self.written = float("-inf")

    def __enter__(self) -> "Board":
        self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end_standing(self.root, self.name)

    def read(self, name: str, seconds: float) -> None:
        """`name` was finished before; it once took `seconds`."""
        self.cached.add(name)
        self._learn(name, seconds)
        self._tell("cached", name)

    def begin(self, name: str) -> None:
        """`name` was handed to the executor."""
        self.running[name] = {}
        self.began[name] = time.monotonic()
        self._tell("start", name)

    def advance(self, name: str, fields: Fields) -> None:
        """`name` reports where its training stands."""
        if name in self.running and self.running[name] != (kept := plain(fields)):
            self.running[name] = kept
            self._tell("progress", name, kept)

    def end(self, name: str, *, failed: str | None = None) -> None:
        """`name` is finished, or failed with the message `failed`."""
        self.running.pop(name, None)
        began = self.began.pop(name, None)
        if failed is not None:
            self.failed.add(name)
            self._tell("failed", name, {"error": failed})
            return
        self.finished.add(name)
        if began is not None:
            self._learn(name, time.monotonic() - began)
        self._tell("done", name)

    def left(self) -> float | None:
        """Seconds until all runs are done, estimated; None while there is nothing to go by."""
        every = [s for held in self.known.values() for s in held]
        if not every:
            return None
        over = self.cached | self.finished | self.failed
        now, seconds = time.monotonic(), 0.0
        for name, system in self.system.items():
            if name in over:
                continue
            expected = mean(self.known.get(system, every))
            spent = now - self.began[name] if name in self.began else 0.0
            seconds += max(expected - spent, 0.0)
        return seconds / max(1, min(self.slots, self.total - len(over)))

    def _learn(self, name: str, seconds: float) -> None:
        self.known.setdefault(self.system[name], []).append(seconds)

    def _tell(self, kind: Kind, name: str, fields: Fields | None = None) -> None:
        if self.notify is not None:
            event = RunEvent(
                kind=kind,
                label=self.label[name],
                done=len(self.cached) + len(self.finished),
                total=self.total,
                seconds=time.monotonic() - self.start,
                left=self.left(),
                fields=fields or {},
            )
            self.notify(event)
        if kind != "progress" or time.monotonic() - self.written >= SECONDS_BETWEEN:
            self._write()

    def _write(self) -> None:
        standing = Standing(
            pid=os.getpid(),
            total=self.total,
            done=len(self.cached) + len(self.finished),
            cached=len(self.cached),
            failed=len(self.failed),
            running=self.running,
            seconds=time.monotonic() - self.start,
            left=self.left(),
        )
        with contextlib.suppress(OSError, ArtefactError):  # a full disk is told by a run it stops
            write_standing(self.root, self.name, standing)
        self.written = time.monotonic()
