"""Tables: one frame in; HTML on screen, and CSV, Markdown, LaTeX and JSON as files.

The best number of a column is bold, the second underlined, and a star marks a best that a paired
test tells from the second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from rokkit.errors import ConfigError, unknown_name
from rokkit.files import write_json, write_text
from rokkit.paths import results_root

Rank = Literal["best", "second"]
MISSING = "–"
CSS: Mapping[Rank, str] = {"best": "font-weight: bold", "second": "text-decoration: underline"}
TEX: Mapping[Rank, str] = {"best": "textbf:--rwrap", "second": "underline:--rwrap"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A wide frame and how it is shown. The index is not shown: row labels are a column."""

    frame: pd.DataFrame
    caption: str
    formats: Mapping[str, str] = field(default_factory=dict)  # column -> format, such as "{:.4f}"
    better: Mapping[str, Literal["max", "min"]] = field(default_factory=dict)  # ranked columns
    stars: frozenset[tuple[int, str]] = frozenset()  # (row position, column)
    unranked: frozenset[int] = frozenset()  # positions of rows that are no best and no second
    notes: Sequence[str] = ()  # below the table

    def __post_init__(self) -> None:
        for name in (*self.formats, *self.better, *(column for _, column in self.stars)):
            if name not in self.frame.columns:
                raise ConfigError(unknown_name("column", name, map(str, self.frame.columns)))

    def ranks(self) -> dict[tuple[int, str], Rank]:
        """Best and second cells, by (row position, column); ties share a rank."""
        found: dict[tuple[int, str], Rank] = {}
        for column, direction in self.better.items():
            values = pd.to_numeric(self.frame[column], errors="coerce").to_numpy(float, copy=True)
            values[list(self.unranked)] = np.nan
            order = sorted(set(values[~np.isnan(values)]), reverse=direction == "max")
            names: tuple[Rank, Rank] = ("best", "second")
            for rank, wanted in zip(names, order, strict=False):
                found |= {(int(i), column): rank for i in np.flatnonzero(values == wanted)}
        return found

    def texts(self) -> list[list[str]]:
        """Every cell as text, stars included."""
        columns = list(self.frame.columns)
        return [
            [self._text(cell, i, column) for column, cell in zip(columns, row, strict=True)]
            for i, row in enumerate(self.frame.itertuples(index=False, name=None))
        ]

    def styler(self) -> Styler:
        """For a notebook: bold best, underlined second."""
        marks = self._marks(CSS)
        shown = pd.DataFrame(self.texts(), index=self.frame.index, columns=self.frame.columns)
        styler = shown.style.apply(lambda _: marks, axis=None).hide(axis="index")
        return styler.set_caption(self.caption).set_uuid("rokkit")

    def _repr_html_(self) -> str:
        notes = "".join(f"<p><small>{note}</small></p>" for note in self.notes)
        return str(self.styler().to_html()) + notes

    def markdown(self) -> str:
        """A Markdown table, columns aligned: texts left, numbers right."""
        marks = {"best": "**{}**", "second": "<u>{}</u>"}
        ranks = self.ranks()
        columns = [str(c) for c in self.frame.columns]
        rows = [
            [
                marks[ranks[i, column]].format(text) if (i, column) in ranks else text
                for column, text in zip(self.frame.columns, row, strict=True)
            ]
            for i, row in enumerate(self.texts())
        ]
        right = [pd.api.types.is_numeric_dtype(t) for t in self.frame.dtypes]
        return "\n".join([*aligned(columns, rows, right), "", *self._below()])

    def latex(self) -> str:
        """A booktabs table."""
        marks = self._marks(TEX)
        texts = [[_tex(text) for text in row] for row in self.texts()]
        columns = [_tex(str(c)) for c in self.frame.columns]
        shown = pd.DataFrame(texts, index=self.frame.index, columns=columns)
        marks.columns = shown.columns
        right = [pd.api.types.is_numeric_dtype(t) for t in self.frame.dtypes]
        return str(
            shown.style.apply(lambda _: marks, axis=None)
            .hide(axis="index")
            .to_latex(
                hrules=True,
                caption=_tex(" ".join([self.caption, *self.notes])),
                column_format="".join("r" if r else "l" for r in right),
            )
        )

    def _marks(self, looks: Mapping[Rank, str]) -> pd.DataFrame:
        """How every cell looks, as pandas takes it: CSS, or commands of LaTeX."""
        marks = pd.DataFrame("", index=self.frame.index, columns=self.frame.columns)
        for (row, column), rank in self.ranks().items():
            marks.iloc[row, marks.columns.get_loc(column)] = looks[rank]
        return marks

    def _below(self) -> list[str]:
        return [self.caption, *(f"\n{note}" for note in self.notes)]

    def _text(self, value: Any, row: int, column: str) -> str:
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return MISSING
        text = self.formats.get(column, "{}").format(value)
        return text + ("*" if (row, column) in self.stars else "")


def save_table(table: "Table | pd.DataFrame", name: str, study: str, caption: str = "") -> Path:
    """Write `results/<study>/<name>.{csv,md,tex,json}`; returns the path of the CSV.

    CSV and JSON hold the numbers to six digits, Markdown and LaTeX what is shown. The same table
    gives the same bytes.
    """
    if isinstance(table, pd.DataFrame):
        table = Table(frame=table, caption=caption or name)
    folder = results_root() / study
    csv = folder / f"{name}.csv"
    write_text(csv, table.frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(folder / f"{name}.md", table.markdown() + "\n")
    write_text(folder / f"{name}.tex", table.latex())
    values = {
        "caption": table.caption,
        "columns": [str(c) for c in table.frame.columns],
        "rows": [[_plain(cell) for cell in row] for row in table.frame.itertuples(index=False)],
        "stars": sorted([row, column] for row, column in table.stars),
        "notes": list(table.notes),
    }
    write_json(folder / f"{name}.json", values)
    return csv


def read_table(name: str, study: str) -> pd.DataFrame:
    """The frame that `save_table` wrote; ConfigError with the nearest name if there is none."""
    folder = results_root() / study
    path = folder / f"{name}.csv"
    if not path.is_file():
        known = [p.stem for p in folder.glob("*.csv")]
        raise ConfigError(unknown_name(f"table of study {study!r}", name, known))
    return pd.read_csv(path)


def aligned(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]
) -> list[str]:
    """Lines of a Markdown table whose columns line up in plain text."""
    cells = [[text.replace("|", "\\|") for text in row] for row in (columns, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(columns))]
    lines = [
        "| " + " | ".join(_pad(*cell) for cell in zip(row, widths, right, strict=True)) + " |"
        for row in cells
    ]
    rules = [("-" * (w - 1) + ":") if r else "-" * w for w, r in zip(widths, right, strict=True)]
    return [lines[0], "| " + " | ".join(rules) + " |", *lines[1:]]


def _pad(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _plain(value: Any) -> Any:
    """A cell as JSON holds it, floats to six digits."""
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else float(f"{value:.6g}")
    return value.item() if isinstance(value, np.generic) else value


def _tex(text: str) -> str:
    for plain in "&%$#_{}":
        text = text.replace(plain, f"\\{plain}")
    for sign, words in (("±", "$\\pm$"), ("–", "--"), ("≥", "$\\geq$"), ("−", "$-$")):
        text = text.replace(sign, words)
    return text
