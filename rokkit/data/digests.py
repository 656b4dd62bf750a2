"""Hashes of raw files; those of large files are kept, as they take seconds a gigabyte."""

import hashlib
from pathlib import Path
from typing import Any

from rokkit.errors import ArtefactError, DataError
from rokkit.files import read_json, write_json
from rokkit.paths import data_root, shown

LARGE = 64 << 20  # bytes


def sha256(path: Path) -> str:
    """Hex sha256 of the file's content.

    For a large file the answer is kept in `data_root()`, and holds as long as the file's size and
    time of change do. DataError if it cannot be read.
    """
    try:
        state = path.stat()
        if state.st_size < LARGE:
            return _digest(path)
        kept, identity = _kept(), [state.st_size, state.st_mtime_ns]
        known = kept.get(str(path.resolve()))
        if isinstance(known, list) and len(known) == 3 and known[:2] == identity:
            return str(known[2])
        found = _digest(path)
    except OSError as error:
        raise DataError(
            f"raw file {shown(path)} cannot be read ({error.strerror}). "
            "Check the path and its permissions."
        ) from None
    # Two processes may both have worked it out; the later one keeps what it knows.
    write_json(_file(), {**_kept(), str(path.resolve()): [*identity, found]})
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file() -> Path:
    return data_root() / "digests.json"


def _kept() -> dict[str, Any]:
    """What is known already; nothing if the file is missing or damaged."""
    try:
        kept = read_json(_file())
    except ArtefactError:
        return {}
    return kept if isinstance(kept, dict) else {}
