"""Set-up: a .venv with the exact versions of requirements.lock, rokkit itself, and MovieLens.

Needs only Python 3.11 or newer with pip and venv. uv is used where pip can install it, because it
is several times faster; pip does the same work where uv fails. Run by `make setup`.
"""

import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
LOCK = ROOT / "requirements.lock"
UV = "uv==0.13.9"


def main() -> int:
    """Make or update the environment; 0 if it is usable afterwards."""
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever Python the user has
        print(
            f"rokkit needs Python 3.11 or newer; this is {sys.version.split()[0]}. "
            "Name another one: make setup PYTHON=python3.11"
        )
        return 1
    start = time.monotonic()
    if not PYTHON.exists():
        if VENV.exists():
            shutil.rmtree(VENV)
        print("set-up: creating .venv", flush=True)
        venv.create(VENV, with_pip=True)
    print("set-up: installing the versions of requirements.lock", flush=True)
    if not sync_with_uv():
        run(PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "-r", LOCK)
    run(PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", ROOT)
    if not imports("torch"):
        # The lock lists no accelerator libraries: a torch build that needs some brings its own.
        print("set-up: adding the libraries this build of torch needs", flush=True)
        run(PYTHON, "-m", "pip", "install", "--quiet", "torch==2.13.0")
    print("set-up: fetching MovieLens-1M", flush=True)
    fetched = subprocess.run([PYTHON, "-m", "rokkit.cli", "data", "fetch", "movielens"], cwd=ROOT)
    if fetched.returncode:
        print("set-up: MovieLens-1M could not be fetched (see above); journey works without it.")
    seconds = time.monotonic() - start
    print(f"set-up: done in {seconds:.0f} s. Environment: .venv  ·  next: make run, make lab")
    return 0


def sync_with_uv() -> bool:
    """Install the lock with uv; False where uv cannot be had or does not succeed."""
    env = os.environ | {"VIRTUAL_ENV": str(VENV)}
    # uv does not read pip's variable for local wheels.
    if "PIP_FIND_LINKS" in env:
        env.setdefault("UV_FIND_LINKS", env["PIP_FIND_LINKS"])
    if "PIP_CERT" in env:
        env.setdefault("SSL_CERT_FILE", env["PIP_CERT"])
    got = subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", UV], capture_output=True)
    if got.returncode:
        return False
    # Compiled once, as pip does: where Python may not write, every process would do it again,
    # and torch and pandas take 20 s.
    compiled = "--compile-bytecode"
    sync = [PYTHON, "-m", "uv", "pip", "install", "--quiet", compiled, "--no-deps", "-r", LOCK]
    done = subprocess.run(sync, env=env, capture_output=True, text=True)
    if done.returncode:
        print("set-up: uv did not succeed, pip takes over:", done.stderr.strip()[-300:], flush=True)
    return done.returncode == 0


def imports(module: str) -> bool:
    """Whether `module` imports in the new environment."""
    return subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode == 0


def run(*command: object) -> None:
    """Run a command; stop the set-up with its exit code if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT)
    if done.returncode:
        print(f"set-up: failed at: {' '.join(str(part) for part in command)}")
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    raise SystemExit(main())
