"""Runs that failed: what went wrong, where inside rokkit, and what to do."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rokkit
from rokkit.errors import RokkitError
from rokkit.paths import shown

PACKAGE = Path(rokkit.__file__).resolve().parent


@dataclass(frozen=True)
class RunFailure:
    """One run that did not finish. Plain texts, so that it crosses processes."""

    label: str
    folder: str
    error: str  # the exception, in one line
    where: str  # last frame inside rokkit, as file:line (function)
    remedy: str

    def __str__(self) -> str:
        where = f"\n    at {self.where}" if self.where else ""
        return f"{self.label} ({self.folder}): {self.error}{where}\n    {self.remedy}"


class RunError(RokkitError):
    """At least one run failed; `failures` lists them, `skipped` those that needed them."""

    def __init__(self, failures: Sequence[RunFailure], skipped: Sequence[str] = ()) -> None:
        self.failures = tuple(failures)
        self.skipped = tuple(skipped)
        number = len(self.failures)
        lines = [f"{number} run{'s' if number > 1 else ''} failed:"]
        lines += [f"  {failure}" for failure in self.failures]
        if self.skipped:
            lines.append(f"  not started, because they need these: {', '.join(self.skipped)}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type["RunError"], tuple[object, ...]]:
        return RunError, (self.failures, self.skipped)


def last_frame(error: BaseException) -> str:
    """The innermost frame of `error` inside rokkit, as `file:line (function)`; "" if none."""
    inside = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if PACKAGE in Path(frame.filename).resolve().parents
    ]
    if not inside:
        return ""
    frame = inside[-1]
    return f"{shown(Path(frame.filename))}:{frame.lineno} ({frame.name})"


def describe(error: BaseException) -> str:
    """The exception in one line: rokkit's own by their message, others with their type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RokkitError) else f"{type(error).__name__}: {text}"
