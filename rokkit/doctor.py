"""Checks of the machine, the environment and the data, each with its remedy."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rokkit.errors import RokkitError
from rokkit.machine import cores
from rokkit.paths import data_root, root, runs_root, shown

State = Literal["OK", "WARN", "FAIL"]
LOCK = "requirements.lock"
GIB = 2**30
FREE_GIB = 5  # room for samples, neighbours and runs of both data sets
LEAST_FREE_GIB = 1


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    state: State
    name: str
    text: str
    remedy: str = ""


def checks() -> Iterator[Finding]:
    """Every check, one after the other."""
    yield python()
    yield from packages()
    yield torch()
    yield kernel()
    yield disk(data_root())
    yield disk(runs_root())
    yield from data()


def python() -> Finding:
    """The version of Python."""
    text = f"{platform.python_version()} ({sys.prefix})"
    if sys.version_info < (3, 11):  # noqa: UP036 - a doctor trusts nobody
        return Finding("FAIL", "python", text, "Install Python 3.11 or newer, then make setup.")
    return Finding("OK", "python", text)


def packages(lock: Path | None = None) -> Iterator[Finding]:
    """Installed versions against the lock: a drift is a warning, a missing package a failure."""
    lock = lock or root() / LOCK
    if not lock.is_file():
        yield Finding("WARN", "packages", f"no {LOCK} in {root()}", "Run inside a clone of rokkit.")
        return
    pins = read_lock(lock)
    drift, missing = [], []
    for name, wanted in pins.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if found.partition("+")[0] != wanted:  # +cpu and the like: another build, same version
            drift.append(f"{name} {found} (lock: {wanted})")
    needed = _required() & set(missing)
    if needed:
        yield Finding("FAIL", "packages", f"missing: {', '.join(sorted(needed))}", "make setup")
    if drift:
        remedy = "make setup installs the lock's versions; results may differ in the last digits."
        yield Finding("WARN", "packages", "; ".join(drift), remedy)
    if not needed and not drift:
        # What only some platforms or builds of torch need may be absent.
        yield Finding("OK", "packages", f"{len(pins) - len(missing)} as in {LOCK}")


def torch() -> Finding:
    """torch, and the device that `auto` takes."""
    try:
        import torch as library

        from rokkit.training import resolve_device
    except ImportError as error:
        return Finding("FAIL", "torch", f"cannot be imported ({error})", "make setup")
    device = resolve_device("auto")
    name = library.cuda.get_device_name() if device.type == "cuda" else ""
    text = f"{library.__version__}, device auto = {device} {name}".rstrip() + f", {cores()} cores"
    return Finding("OK", "torch", text)


def kernel() -> Finding:
    """The Jupyter kernel that notebooks ask for."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("FAIL", "kernel", "there is no kernel python3", "make setup")
    asked = spec.argv[0]
    # Jupyter takes these bare names for the Python that it runs on itself.
    ours = asked in ("python", "python3", f"python3.{sys.version_info[1]}")
    program = sys.executable if ours else shutil.which(asked) or asked
    if Path(program).parent.resolve() == Path(sys.executable).parent.resolve():
        return Finding("OK", "kernel", "python3 is this environment's")
    remedy = "Start JupyterLab with make lab, or register this environment's kernel."
    return Finding("WARN", "kernel", f"python3 starts {program}, another environment", remedy)


def disk(folder: Path) -> Finding:
    """Free space where `folder` lies or will lie, and whether it can be written."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(there).free / GIB
    text = f"{free:.1f} GiB free for {shown(folder)}"
    remedy = "Free some space, or move it: ROKKIT_DATA, ROKKIT_RUNS."
    if not os.access(there, os.W_OK):
        return Finding("FAIL", "disk", f"{shown(there)} cannot be written", remedy)
    if free < LEAST_FREE_GIB:
        return Finding("FAIL", "disk", text, remedy)
    return Finding("WARN", "disk", text, remedy) if free < FREE_GIB else Finding("OK", "disk", text)


def data() -> Iterator[Finding]:
    """The raw files of each data set."""
    from rokkit.data import list_sources, plan
    from rokkit.data.sources import REGISTRY

    for name in list_sources():
        comes = REGISTRY.get(name).raw
        if comes == "made":
            yield Finding("OK", "data", f"{name}: made when asked for")
            continue
        try:
            planned = plan(name)
        except RokkitError as error:
            # The message ends with what to do about it.
            state: State = "WARN" if comes == "brought" else "OK"
            text = f"{name}: {error}" if comes == "brought" else f"{name}: yours to bring. {error}"
            yield Finding(state, "data", text)
            continue
        built = len(list((data_root() / "samples").glob(f"{name}-*/card.json")))
        files = ", ".join(planned.source_files)
        yield Finding("OK", "data", f"{name}: raw files there ({files}), {built} samples built")


def read_lock(lock: Path) -> dict[str, str]:
    """Versions by package name; comments and empty lines are left out."""
    lines = (line.partition("#")[0].strip() for line in lock.read_text().splitlines())
    pairs = (re.split(r"==|;", line) for line in lines if "==" in line)
    return {pair[0].strip(): pair[1].strip() for pair in pairs}


def _required() -> set[str]:
    """Names of the packages that rokkit itself asks for, without extras."""
    wanted = importlib.metadata.requires("rokkit") or []
    plain = (text for text in wanted if "extra ==" not in text)
    return {re.split(r"[^A-Za-z0-9._-]", text)[0] for text in plain}
