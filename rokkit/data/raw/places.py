"""Where a raw file lies: by itself, in a folder, or inside a zip that was never unpacked."""

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from rokkit.errors import DataError
from rokkit.paths import shown


@dataclass(frozen=True)
class RawFile:
    """A raw file, by itself or as a member of a zip."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        inside = f" in {shown(self.path)}"
        return shown(self.path) if self.member is None else f"{self.member}{inside}"

    def size(self) -> int:
        """Bytes of the file, unpacked."""
        if self.member is None:
            return self.path.stat().st_size
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(self.member).file_size

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The bytes of the file. DataError if it cannot be read or the zip is damaged."""
        try:
            if self.member is None:
                with self.path.open("rb") as stream:
                    yield stream
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as inner:
                    # Small reads of a zip member are slow.
                    yield io.BufferedReader(inner, 1 << 20)  # type: ignore[type-var]
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(
                f"{self} cannot be read ({error}). Check its permissions, or download it again."
            ) from None
        except NotImplementedError as error:
            raise DataError(
                f"{self} cannot be read ({error}). Unpack the archive by hand and say path=."
            ) from None


def find(place: Path, name: str, remedy: str) -> RawFile:
    """The raw file `name`, at `place`: the file itself, its folder, a zip, or a folder with it.

    Folders inside the folder or zip are looked into as well. DataError, which ends in `remedy`, if
    it is not there or there more than once.
    """
    if not place.exists():
        raise DataError(f"{name} is not there: {shown(place)} does not exist. {remedy}")
    if place.is_file():
        if place.suffix.lower() != ".zip" and not zipfile.is_zipfile(place):
            return RawFile(place)
        found = _members(place, name)
    else:
        # An unpacked file is faster to read than the archive it may still lie beside.
        found = [RawFile(path) for path in sorted(place.rglob(name)) if path.is_file()]
        if not found:
            archives = [path for path in sorted(place.rglob("*.zip")) if path.is_file()]
            found = [file for path in archives for file in _members(path, name)]
    if not found:
        raise DataError(f"{shown(place)} holds no {name}, nor a zip with it. {remedy}")
    if len(found) > 1:
        places = ", ".join(map(str, found))
        raise DataError(f"{name} is there {len(found)} times: {places}. Say which one by path=.")
    return found[0]


def _members(archive: Path, name: str) -> list[RawFile]:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = sorted(opened.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{shown(archive)} is no whole zip ({error}): a download may have been cut off. "
            "Download it again, or remove it if it is something else."
        ) from None
    # macOS puts a shadow of every file into zips that it makes.
    return [
        RawFile(archive, member)
        for member in names
        if PurePosixPath(member).name == name and not member.startswith("__MACOSX/")
    ]
