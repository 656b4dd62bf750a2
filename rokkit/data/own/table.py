"""Reading columns of a csv or parquet file, a piece of the rows at a time."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from rokkit.data.own.schema import CsvOptions
from rokkit.errors import DataError, unknown_name
from rokkit.paths import shown

TEXTS = (".csv", ".tsv", ".txt")
ENDINGS = (*TEXTS, *(f"{ending}.gz" for ending in TEXTS), ".parquet")
BLOCK = 1 << 24  # bytes of text read in one go
ROWS = 1 << 18  # rows of parquet read in one go
SHOWN = 80  # characters of a line in a message


@dataclass
class Table:
    """A file of rows. DataError if there is no such file or its ending is not known."""

    path: Path
    csv: CsvOptions = field(default_factory=CsvOptions)
    malformed: int = 0  # lines with another number of fields, so far
    _lines: list[str] = field(default_factory=list, repr=False)  # the first of these, as it stands

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise DataError(f"events {shown(self.path)} is no file. Check the path.")
        if self.ending is None:
            raise DataError(
                f"events {shown(self.path)} has an ending that is not known; expected one of "
                f"{', '.join(ENDINGS)}. Rename or convert the file."
            )

    @property
    def ending(self) -> str | None:
        """The file's ending, if it is a known one."""
        return next((e for e in ENDINGS if self.path.name.lower().endswith(e)), None)

    @property
    def example(self) -> str:
        """A malformed line, in words; empty if there was none."""
        return f" Such a line: {self._lines[0]!r}." if self._lines else ""

    def require(self, columns: Sequence[str]) -> None:
        """Raise DataError, with the nearest name, unless the file has each of `columns` once."""
        with self._explained():
            held = self._names()
        for name in columns:
            if name not in held:
                text = self.ending != ".parquet" and len(held) == 1
                hint = " Is csv.separator what separates the fields?" if text else ""
                raise DataError(f"{shown(self.path)}: {unknown_name('column', name, held)}{hint}")
        twice = [name for name, n in Counter(held).items() if n > 1 and name in columns]
        if twice:
            raise DataError(
                f"{shown(self.path)} has more than one column {twice[0]!r}. Rename one of them."
            )

    def pieces(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of `columns`, in order; all texts, as codes, in a csv file.

        Lines of a csv file that do not have as many fields as the others are counted in
        `malformed` and left out. DataError if the file cannot be read.
        """
        self.malformed = 0
        self._lines.clear()
        with self._explained():
            if self.ending == ".parquet":
                texts = [f.name for f in self._parquet().schema_arrow if _is_text(f.type)]
                file = self._parquet([name for name in columns if name in texts])
                yield from file.iter_batches(ROWS, columns=list(columns))
            else:
                yield from self._csv(columns)

    def further_lines(self, rows: int) -> int:
        """How many lines of a text file are more than its header, `rows` and malformed lines.

        They are empty or lie inside quoted texts; 0 for other files, and for encodings whose lines
        cannot be counted without decoding.
        """
        if self.ending == ".parquet" or "\n".encode(self.csv.encoding) != b"\n":
            return 0
        lines, last = int(not self.csv.header) - 1, b""
        with self._explained(), pa.input_stream(str(self.path), compression="detect") as stream:
            while piece := stream.read(BLOCK):
                lines, last = lines + piece.count(b"\n"), piece[-1:]
        return lines + (last != b"\n") - rows - self.malformed

    def _names(self) -> list[str]:
        if self.ending == ".parquet":
            return list(self._parquet().schema_arrow.names)
        if self.path.stat().st_size == 0:
            raise DataError(f"events {shown(self.path)} is empty; expected rows.")
        return list(self._csv().schema.names)

    def _parquet(self, texts: Sequence[str] = ()) -> pa.parquet.ParquetFile:
        return pa.parquet.ParquetFile(self.path, read_dictionary=list(texts))

    def _csv(self, columns: Sequence[str] = ()) -> pa.csv.CSVStreamingReader:
        options, ending = self.csv, self.ending or ""
        separator = options.separator or ("\t" if ending.startswith(".tsv") else ",")
        codes = pa.dictionary(pa.int32(), pa.string())
        return pa.csv.open_csv(
            self.path,
            read_options=pa.csv.ReadOptions(
                block_size=BLOCK,
                column_names=list(options.columns) or None,
                encoding=options.encoding,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=separator,
                quote_char='"' if options.quotes else False,
                invalid_row_handler=self._count_malformed,
            ),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(columns),
                column_types=dict.fromkeys(columns, codes),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )

    def _count_malformed(self, row: pa.csv.InvalidRow) -> str:
        self.malformed += 1
        if not self._lines:
            self._lines.append(row.text[:SHOWN])
        return "skip"

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what pyarrow raises into a DataError that names the file."""
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeError) as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            if self.ending == ".parquet":
                remedy = "Expected a parquet file; write it again or convert it to csv."
            elif "UTF8" in said or isinstance(error, UnicodeError):
                remedy = f"It is not in {self.csv.encoding}: set csv.encoding, say to latin-1."
            else:
                remedy = "Compare its first lines with the csv settings of the schema."
            message = f"events {shown(self.path)} cannot be read ({said}). {remedy}"
            raise DataError(message) from None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
