"""Every test: style, types, then unit, equation, property, contract, convention and notebook tests.

Run by `make test`. All steps run even if one fails; the exit code is that of the first failure.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run the steps; 0 if all of them pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="test processes")
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    options = parser.parse_args()
    start = time.monotonic()
    # Notebook cells of one file share a kernel, so a file stays on one worker.
    pytest = [
        "pytest",
        "-q",
        "-n",
        str(options.jobs),
        "--dist",
        "loadfile",
        "--nbval-lax",
        "--nbval-current-env",
        "--nbval-cell-timeout",
        "300",
        *options.pytest,
    ]
    steps = {
        "style": ["ruff", "check", "."],
        "format": ["ruff", "format", "--check", "."],
        "types": ["mypy"],
        "tests": pytest,
    }
    # Notebooks train anew and write aside, so that they are tested and nothing committed changes.
    aside = ROOT / "build" / "tests"
    shutil.rmtree(aside, ignore_errors=True)
    places = {
        f"ROKKIT_{what}": str(aside / what.lower())
        for what in ("RUNS", "RESULTS", "FIGURES", "EXECUTED", "EXPORTED")
    }
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"} | places
    codes = {}
    for name, command in steps.items():
        print(f"── {name}: {' '.join(command)}", flush=True)
        codes[name] = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=env).returncode
    failed = [name for name, code in codes.items() if code]
    written = aside.relative_to(ROOT)
    print(f"── what the notebooks wrote while tested: {written} (runs, results, figures)")
    verdict = f"failed: {', '.join(failed)}" if failed else "all passed"
    print(f"── {verdict} in {time.monotonic() - start:.0f} s", flush=True)
    return codes[failed[0]] if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
