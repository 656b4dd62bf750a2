"""How many runs of one batch are executed at once, over all of its processes.

Notebooks that are executed side by side have a pool of processes each. Slots are files, and a run
locks one while it is executed, so that the cores have no more to do than with one notebook. A
process that dies lets go of its slot.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

VARIABLE = "ROKKIT_SLOTS"  # a folder with a file per slot
SECONDS_BETWEEN_TRIES = 0.05


@contextlib.contextmanager
def limited(number: int) -> Iterator[None]:
    """While the block lasts, this process and those it starts execute `number` runs at once."""
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix="rokkit-slots") as folder:
        for i in range(number):
            (Path(folder) / str(i)).touch()
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before


@contextlib.contextmanager
def slot() -> Iterator[None]:
    """Hold a slot while the block lasts, waiting for one if all are taken.

    Outside a batch, and where its folder is gone, nothing is waited for.
    """
    folder = os.environ.get(VARIABLE, "")
    places = sorted(Path(folder).iterdir()) if folder and os.path.isdir(folder) else []
    if not places:
        yield
        return
    lock = _free(places)
    try:
        yield
    finally:
        lock.release()


def _free(places: list[Path]) -> FileLock:
    """The first lock that is free."""
    locks = [FileLock(place) for place in places]
    while True:
        for lock in locks:
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                return lock
        time.sleep(SECONDS_BETWEEN_TRIES)
