"""Contenders: each in a process of its own, idle until it is asked."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

# One thread each, and what waits must not spin.
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON", "POLARS")
} | {"OMP_WAIT_POLICY": "PASSIVE"}


class OutOfTheRace(Exception):
    """A contender that is missing, or that failed; the message says which and why."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """How its process is started: any program that answers as `answering` describes."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def python_of(name: str) -> str:
    """The Python that runs a contender: this one, or that which ROKKIT_PYTHON_<NAME> names.

    Frameworks whose dependencies clash live in environments of their own.
    """
    return os.environ.get("ROKKIT_PYTHON_" + re.sub(r"\W", "_", name).upper(), sys.executable)


class Process:
    """A contender that runs. Use it in a `with`; it is idle between requests."""

    def __init__(self, contender: Contender, log: Path) -> None:
        """What it says on stderr goes to `log`. OutOfTheRace if its program does not exist."""
        self.name = contender.name
        self._log = log
        env = os.environ | ONE_THREAD | dict(contender.environment)
        try:
            with log.open("w") as said:
                self._process = subprocess.Popen(
                    contender.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                    encoding="utf-8",
                    env=env,
                )
        except OSError as error:
            raise OutOfTheRace(f"{self.name}: cannot be started ({error}).") from None

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """What it answers; OutOfTheRace if it is missing something, fails or is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = json.dumps({"do": do, **arguments}, ensure_ascii=False)
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            code = self._process.wait()
            last = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise OutOfTheRace(f"{self.name}: ended with code {code} in {do!r}. {last}".strip())
        reply: dict[str, Any] = json.loads(line)
        if "missing" in reply:
            raise OutOfTheRace(f"{self.name}: not here. {reply['missing']}")
        if "failed" in reply:
            raise OutOfTheRace(f"{self.name}: failed in {do!r}. {reply['failed']}")
        return reply

    def close(self) -> None:
        """Let it go; it is ended if it does not leave by itself within some seconds."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                with contextlib.suppress(OSError):  # it left before it was done reading
                    stream.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
