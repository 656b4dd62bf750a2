"""A log of one's own: a csv or parquet file, with a YAML file that says what its columns are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rokkit.data.log import Log
from rokkit.data.own.read_log import read_log
from rokkit.data.own.read_schema import read_schema
from rokkit.data.own.schema import OwnSchema
from rokkit.data.own.table import Table
from rokkit.data.sources.base import Source, SourceOptions, location, register_source
from rokkit.errors import DataError
from rokkit.paths import root


@dataclass(frozen=True, kw_only=True)
class OwnOptions(SourceOptions):
    """Where the two files lie; a relative path may start at the project folder as well."""

    schema: str | None = location()  # the YAML file
    events: str | None = location()  # the rows: csv, tsv or parquet


@register_source("own", title="A log of your own: a table and a YAML file (docs/data.md)")
class Own(Source):
    """The rows of `events`, read as `schema` says; docs/data.md describes both files.

    Fields are named as their columns. Rows that cannot be used (without a user, item, time or
    label, or with one that cannot be read) are dropped and counted in the data card.
    """

    Options = OwnOptions

    def files(self, options: OwnOptions) -> Mapping[str, Path]:
        """See `Source.files`. The schema and the names of the columns are checked here already."""
        schema, table, place = _opened(options)
        table.require([column for _, column in schema.roles()])
        return {"schema.yaml": place, f"events{table.ending}": table.path}

    def read(self, options: OwnOptions) -> Log:
        """See `Source.read`."""
        schema, table, _ = _opened(options)
        table.require([column for _, column in schema.roles()])
        return read_log(schema, table)


def _opened(options: OwnOptions) -> tuple[OwnSchema, Table, Path]:
    """(the schema, the table, where the schema lies)."""
    given = {"schema": options.schema, "events": options.events}
    absent = [name for name, path in given.items() if path is None]
    if options.schema is None or options.events is None:
        raise DataError(
            f"data set 'own' lacks {' and '.join(absent)}. Give a YAML file that says what the "
            "columns are, and the table: rokkit data build --schema my.yaml --events my.parquet, "
            "or data_options: [schema=my.yaml, events=my.parquet]. docs/data.md shows both."
        )
    place = _found(options.schema)
    schema = read_schema(place)
    return schema, Table(_found(options.events), schema.csv), place


def _found(path: str) -> Path:
    """A path as given or, if nothing is there, from the project folder, where notebooks are not."""
    here = Path(path).expanduser()
    there = root() / here
    return there if there.exists() and not here.exists() else here
