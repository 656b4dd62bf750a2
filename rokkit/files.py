"""Writing without halves: everything is written aside and renamed when it is whole.

A reader therefore sees the old artefact or the new one, never a piece of either, whatever
interrupts the writer: an exception, a full disk, a kill.
"""

import contextlib
import errno
import json
import mmap as maps
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray

from rokkit.errors import ArtefactError
from rokkit.paths import shown


@contextlib.contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Turn the many faces of a full disk into one ArtefactError that names what was written."""
    try:
        yield
    except OSError as error:
        # NumPy reports a short write of an array without an error number.
        short = error.errno is None and "requested and" in str(error)
        if not short and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ArtefactError(
            f"no space left while writing {shown(path)}; nothing of it was kept and what was "
            "there before is untouched. Free some space on that disk, or move the folder with "
            "ROKKIT_DATA or ROKKIT_RUNS, and run again."
        ) from error


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; rename it onto `path` if the block succeeds."""
    with explain_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        draft = Path(name)
        try:
            yield draft
            os.chmod(draft, 0o644)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` if the block succeeds.

    Names are made of what the content depends on, so if `path` exists by then it is an equal
    twin: the first writer wins and the draft is dropped.
    """
    with explain_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            yield draft
            os.chmod(draft, 0o755)
            try:
                os.rename(draft, path)
            except OSError:
                # A non-empty target is refused: another process finished the same work first.
                if not path.is_dir():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def made_once(folder: Path, make: Callable[[], None]) -> None:
    """Have `make` write `folder`, through `folder_aside`, unless it is there already.

    Processes that ask at once wait for the first. Drafts that a killed process left are removed:
    whoever holds the lock is alone.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():  # while this process waited, another may have been at work
            for draft in folder.parent.glob(f".{folder.name}.*.tmp"):
                shutil.rmtree(draft)
            make()


def write_text(path: Path, text: str) -> None:
    """Write `text` in one piece."""
    with aside(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented, key-sorted JSON in one piece. NaN is refused."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; ArtefactError that names the file if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtefactError(f"{shown(path)} is missing. Remove its folder and run again.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"{shown(path)} is damaged ({error}). Remove its folder and run again."
        ) from None


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write one `.npy` in one piece. ArtefactError if the disk is full, as for all writers here."""
    with aside(path) as draft, draft.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def collect_array(
    path: Path | None, shape: tuple[int, ...], dtype: DTypeLike, slices: Iterable[NDArray[Any]]
) -> NDArray[Any]:
    """The array of `shape` whose rows `slices` yields one after the other.

    With a path it is written there slice by slice, in one piece for a reader, and comes back
    memory-mapped, so it is never in memory as a whole; without one it is in memory. Raises
    ArtefactError if the disk is full, ValueError if the slices do not add up to `shape`.
    """
    slices = _as_wide(slices, shape)
    if path is None:
        array = np.empty(shape, dtype)
        start = 0
        for rows in slices:
            array[start : start + len(rows)] = rows
            start += len(rows)
        _require_rows(start, shape)
        return array
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with aside(path) as draft, draft.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        written = 0
        for rows in slices:
            stream.write(np.ascontiguousarray(rows, dtype).data)
            written += len(rows)
        _require_rows(written, shape)
    return load_array(path)


def _as_wide(slices: Iterable[NDArray[Any]], shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    for rows in slices:
        if rows.shape[1:] != shape[1:]:
            raise ValueError(f"a slice has rows of shape {rows.shape[1:]}; expected {shape[1:]}")
        yield rows


def _require_rows(found: int, shape: tuple[int, ...]) -> None:
    if found != shape[0]:
        raise ValueError(f"the slices have {found} rows; expected {shape[0]}")


def slices(n: int, size: int, *arrays: NDArray[Any]) -> Iterator[slice]:
    """Rows 0 to n, at most `size` at a time, so that what lies on disk is never held as a whole.

    `arrays` are what is read in the order of the rows; their memory is given back as by `release`.
    """
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
        for array in arrays:
            release(array)


def release(array: NDArray[Any]) -> None:
    """Let the system take back the memory that a memory-mapped `array` occupies by now.

    Its content stays: what is read again comes from the file. Nothing happens to other arrays.
    """
    base: Any = array
    while base is not None and not isinstance(base, maps.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(maps, "MADV_DONTNEED"):
        base.madvise(maps.MADV_DONTNEED)


def load_array(path: Path, *, mmap: bool = True) -> NDArray[Any]:
    """Read one `.npy`, memory-mapped by default; ArtefactError if missing or truncated."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
        return array
    except FileNotFoundError:
        raise ArtefactError(f"{shown(path)} is missing. Remove its folder and run again.") from None
    except (ValueError, EOFError, OSError) as error:
        # A zero-row array cannot be mapped; read it whole.
        with contextlib.suppress(ValueError, EOFError, OSError):
            array = np.load(path, allow_pickle=False)
            if array.size == 0:
                return array
        raise ArtefactError(
            f"{shown(path)} is truncated or damaged ({error}). Remove its folder and run again."
        ) from None
