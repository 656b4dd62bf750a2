"""What a run ran on: kept in its report, never in its key."""

import platform
import resource
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import torch

import rokkit
from rokkit.paths import root


def environment(device: str) -> dict[str, Any]:
    """Versions, machine, device, threads and the commit, JSON-ready."""
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "rokkit": rokkit.__version__,
        },
        "platform": platform.platform(),
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if device.startswith("cuda") else "",
        "threads": torch.get_num_threads(),
        "commit": _commit(),
    }


def peak_memory() -> int:
    """Most memory this process has held so far, in bytes (resident set)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # macOS counts bytes


@cache
def _commit() -> str | None:
    """The commit of the project folder; None outside a git checkout."""
    command = ["git", "-C", str(root()), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
