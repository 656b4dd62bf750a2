"""Reading a raw CSV in batches of texts, whatever became of it on its way.

Met in copies of the published logs: a header or none, columns in another order, a leading index
column from a data frame, a byte order mark, CRLF, quotes, a last line that was cut off.
"""

import io
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from rokkit.data.raw.places import RawFile
from rokkit.data.raw.tally import Tally
from rokkit.errors import DataError

BLOCK = 16 << 20  # bytes parsed in one go
PEEK = 1 << 16  # enough for the first two lines
SECONDS_BETWEEN_LINES = 10.0  # of the log, while a long file is read
BOM = b"\xef\xbb\xbf"
ASCII = bytes(range(128)) + b"?" * 128  # each byte's substitute

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of a raw file in their published order, by their published names."""

    names: tuple[str, ...]
    separator: str = ","


def read_batches(file: RawFile, layout: Layout, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Batches with the columns of `layout`, all texts, in the order of the file.

    Lines with another number of fields are dropped and counted. DataError if the file is empty, if
    a column is missing from its header, or if a file without a header has another width.
    """
    with file.open() as stream:
        head = stream.read(PEEK)
    names, has_header, quoted = _columns(head, layout, file)

    def malformed(row: "pa.csv.InvalidRow") -> str:
        tally.rows += 1
        tally.drop(f"lines without {len(names)} fields (cut off or damaged)", 1)
        return "skip"

    report = _reporter(file)
    with file.open() as stream:
        if head.startswith(BOM):
            stream.read(len(BOM))
        try:
            reader = pa.csv.open_csv(
                pa.PythonFile(_Ascii(stream), mode="r"),
                pa.csv.ReadOptions(column_names=names, skip_rows=int(has_header), block_size=BLOCK),
                pa.csv.ParseOptions(
                    delimiter=layout.separator,
                    quote_char=False,
                    invalid_row_handler=malformed,
                ),
                pa.csv.ConvertOptions(
                    include_columns=layout.names,
                    column_types=dict.fromkeys(layout.names, pa.string()),
                    strings_can_be_null=False,
                    check_utf8=False,
                ),
            )
            for batch in reader:
                tally.rows += len(batch)
                report(stream.tell())
                yield _unquoted(batch) if quoted else batch
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{file} cannot be read as CSV ({error}). Compare it with the original archive."
            ) from None


class _Ascii(io.RawIOBase):
    """A stream of bytes, with question marks for those beyond ASCII, which only damage brings.

    Arrow gives up on a malformed line that is no UTF-8.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data if data.isascii() else data.translate(ASCII)
        return len(data)


def _unquoted(batch: pa.RecordBatch) -> pa.RecordBatch:
    # A parser that knows quotes takes all lines up to the next quote for one value when one is
    # missing. No value of these files holds a separator, so quotes protect nothing.
    columns = [pc.ascii_trim(column, characters='"') for column in batch.columns]
    return pa.record_batch(columns, schema=batch.schema)


def _reporter(file: RawFile) -> Callable[[int], None]:
    """Logs now and then how much of `file` has been read, given the position in it."""
    size, begun = file.size(), time.monotonic()
    last = begun

    def report(position: int) -> None:
        nonlocal last
        now = time.monotonic()
        if position and now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = (now - begun) * (size - position) / position
            logger.info("%s: %.0f %% read, %.0f s left", file, 100 * position / size, left)

    return report


def _columns(head: bytes, layout: Layout, file: RawFile) -> tuple[list[str], bool, bool]:
    """(a name per column of the file, whether it has a header, whether it has quotes)."""
    lines = head.removeprefix(BOM).decode("utf-8", errors="replace").splitlines()
    if not lines:
        raise DataError(f"{file} is empty. Download it again.")
    cells = [cell.strip().strip('"') for cell in lines[0].split(layout.separator)]
    quoted = '"' in "".join(lines[:2])
    known = {name.lower(): name for name in layout.names}
    if not known.keys() & {cell.lower() for cell in cells}:
        return _by_position(cells, layout, file), False, quoted
    names = [known.get(cell.lower(), f"({cell or 'index'} {i})") for i, cell in enumerate(cells)]
    missing = [name for name in layout.names if name not in names]
    twice = [name for name, again in pairwise(sorted(names)) if name == again]
    if missing or twice:
        what = f"lacks {', '.join(missing)}" if missing else f"names {', '.join(twice)} twice"
        raise DataError(
            f"the header of {file} {what}; it is {lines[0]!r}. Expected the columns "
            f"{', '.join(layout.names)}."
        )
    return names, True, quoted


def _by_position(cells: list[str], layout: Layout, file: RawFile) -> list[str]:
    extra = len(cells) - len(layout.names)
    if extra not in (0, 1):
        raise DataError(
            f"{file} has {len(cells)} columns and no header; expected the "
            f"{len(layout.names)} columns {', '.join(layout.names)}, or these after an index "
            f"column. Its first line is {layout.separator.join(cells)!r}."
        )
    return ["(index)"] * extra + list(layout.names)
