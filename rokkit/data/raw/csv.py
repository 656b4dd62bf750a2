"""Reading a raw CSV in batches of texts, whatever became of it on its way.

Met in copies of the published logs: a header or none, columns in another order, a leading index
column from a data frame, a byte order mark, CRLF, quotes, a last line that was cut off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pyarrow as pa
import pyarrow.csv

from rokkit.data.raw.places import RawFile
from rokkit.data.raw.tally import Tally
from rokkit.errors import DataError

BLOCK = 16 << 20  # bytes parsed in one go
PEEK = 1 << 16  # enough for the first two lines
BOM = b"\xef\xbb\xbf"


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
        tally.drop(f"lines without {len(names)} fields (cut off or damaged)", 1)
        return "skip"

    with file.open() as stream:
        try:
            reader = pa.csv.open_csv(
                pa.PythonFile(stream, mode="r"),
                pa.csv.ReadOptions(column_names=names, skip_rows=int(has_header), block_size=BLOCK),
                pa.csv.ParseOptions(
                    delimiter=layout.separator,
                    quote_char='"' if quoted else False,
                    invalid_row_handler=malformed,
                ),
                pa.csv.ConvertOptions(
                    include_columns=layout.names,
                    column_types=dict.fromkeys(layout.names, pa.string()),
                    strings_can_be_null=False,
                    check_utf8=False,
                ),
            )
            yield from reader
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{file} cannot be read as CSV ({error}). Compare it with the original archive."
            ) from None


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
