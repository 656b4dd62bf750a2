"""`rokkit doctor`: whether this machine can do the work, and what to do if not."""

import argparse
from typing import Any

from rokkit.commands.common import command


def add(commands: Any) -> None:
    """Declare `doctor`."""
    command(
        commands,
        "doctor",
        run,
        about="check Python, packages, device, disk and data, with a remedy for what is wrong",
        examples=("rokkit doctor",),
    )


def run(options: argparse.Namespace) -> int:
    """Print a line per check; 1 if one failed."""
    from rokkit.doctor import checks

    worst = 0
    for found in checks():
        print(f"{found.state:<4}  {found.name:<10}  {found.text}", flush=True)
        if found.remedy:
            print(f"{'':<4}  {'':<10}  → {found.remedy}")
        worst = max(worst, found.state == "FAIL")
    return int(worst)
