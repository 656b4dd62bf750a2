"""Writing a twin: block by block, aside, renamed when it is whole."""

import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from rokkit.data.twin.behaviour import rows_of
from rokkit.data.twin.calendar import calendar_of
from rokkit.data.twin.catalogue import catalogue_of
from rokkit.data.twin.formats import BY_NAME, INFO_COLUMNS, INFO_FILE
from rokkit.data.twin.info import info_columns
from rokkit.data.twin.lines import lines_of
from rokkit.data.twin.options import TwinOptions
from rokkit.data.twin.people import People, people_of
from rokkit.data.twin.report import Tally, TwinReport
from rokkit.data.twin.sizes import sizes_of
from rokkit.data.twin.text import RawIds, broken_off, header, log_columns, to_bytes
from rokkit.errors import DataError
from rokkit.files import folder_aside, write_json
from rokkit.paths import shown

REPORT = "twin.json"  # beside the files; readers do not look at it
SPEED = 1  # deflate level: an archive for a test need not be small


def write_twin(
    options: TwinOptions, folder: Path, progress: Callable[[int], None] | None = None
) -> TwinReport:
    """Write the twin's raw files, and its report as `twin.json`, into the new `folder`.

    `progress` is called with the number of rows written so far. Memory does not grow with rows: a
    block of about 131,072 is held at a time. Equal options give equal files; an archive's bytes
    may differ with the zlib at hand, its content does not. Nothing is left of an interrupted call.

    DataError if `folder` exists; ArtefactError if the disk is full.
    """
    if folder.exists():
        raise DataError(
            f"{shown(folder)} exists; a twin is written into a new folder. Remove it or choose "
            "another."
        )
    writer = BlockWriter(options)
    with folder_aside(folder) as draft:
        if options.quirks.archive:
            path = draft / writer.real.archive
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=SPEED) as held:
                writer.write(_inside(held, writer.real.inside), progress)
        else:
            writer.write(_beside(draft), progress)
        report = writer.tally.report({p.name: p.stat().st_size for p in sorted(draft.iterdir())})
        write_json(draft / REPORT, report.to_dict())
    return report


Opener = Callable[[str], AbstractContextManager[IO[bytes]]]  # file name -> stream to write to


def _beside(folder: Path) -> Opener:
    return lambda name: (folder / name).open("wb")


def _inside(archive: zipfile.ZipFile, prefix: str) -> Opener:
    # A member that is opened by its name is dated 1980: equal options give equal archives.
    return lambda name: archive.open(prefix + name, "w", force_zip64=True)


class BlockWriter:
    """What all blocks share, and the two passes over them."""

    def __init__(self, options: TwinOptions) -> None:
        self.options = options
        self.real = BY_NAME[options.format]
        self.sizes = sizes_of(options)
        self.calendar = calendar_of(options.format)
        self.catalogue = catalogue_of(options, self.sizes, self.real.groups)
        self.ids = RawIds(options, self.sizes)
        self.tally = Tally(options, self.sizes, self.calendar)

    def write(self, opener: Opener, progress: Callable[[int], None] | None) -> None:
        """All files of the twin."""
        quirks = self.options.quirks
        named = self.real.header if quirks.header is None else quirks.header
        with opener(self.real.file) as log:
            log.write(header(self.real.columns, quirks, named))
            for block in range(self.sizes.blocks):
                text = self.log_lines(block)
                if quirks.truncated and block == self.sizes.blocks - 1:
                    text = broken_off(text)
                log.write(text)
                if progress is not None:
                    progress(self.tally.rows)
        if self.options.format == "tmall":
            with opener(INFO_FILE) as info:
                info.write(header(INFO_COLUMNS, quirks, named))
                for block in range(self.sizes.blocks):
                    info.write(self.info_lines(block))

    def _people(self, block: int) -> People:
        users, rows = len(self.sizes.users_of(block)), len(self.sizes.rows_of(block))
        return people_of(self.options, self.catalogue, block, users, rows)

    def log_lines(self, block: int) -> bytes:
        """The log's lines of a block; they depend on the options and the block alone."""
        people = self._people(block)
        rows = rows_of(self.options, self.calendar, self.catalogue, people, block)
        lines = lines_of(self.options, self.calendar, self.catalogue, rows, block)
        first_row = self.sizes.rows_of(block).start
        first_user = self.sizes.users_of(block).start
        self.tally.add(rows, lines, self.catalogue)
        columns = log_columns(self.options, self.catalogue, self.ids, lines, first_user)
        return to_bytes(columns, self.options.quirks, first_row)

    def info_lines(self, block: int) -> bytes:
        """The lines of a block's users in tmall's second file."""
        users = self.sizes.users_of(block)
        columns, hits = info_columns(
            self.options, self._people(block), self.ids, block, users.start
        )
        self.tally.dirt.update(hits)
        return to_bytes(columns, self.options.quirks, users.start)
