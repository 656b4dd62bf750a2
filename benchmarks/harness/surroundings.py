"""What surrounds a measurement: the machine and how busy it is, the versions, the command."""

import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rokkit.machine import cores

CPUINFO = Path("/proc/cpuinfo")


def surroundings(command: Iterable[str], packages: Iterable[str]) -> dict[str, Any]:
    """The "machine", the "versions" of `packages`, the "command" and the "date"."""
    return {
        "machine": {"cpu": cpu_model(), "cores": cores(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **versions(packages)},
        "command": shlex.join(command),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def described(about: Mapping[str, Any], loads: Sequence[float | None]) -> str:
    """A sentence of `surroundings`: command, date, machine, how busy it was, versions.

    `loads` are those at the start and at the end.
    """
    machine, (start, end) = about["machine"], loads
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"`{about['command']}`, {about['date']}. {machine['cpu']}, {machine['cores']} cores, load "
        f"{start} at the start and {end} at the end. {versions}."
    )


def called() -> list[str]:
    """The command as it was given, of absolute paths the name alone: folders are this machine's."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return ["python", f"benchmarks/{Path(sys.argv[0]).name}", *words]


def cpu_model() -> str:
    """As the system names it."""
    if CPUINFO.is_file():
        for line in CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> float | None:
    """Processes that wanted a core over the last minute; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
