"""What is kept of a benchmark: a JSON file of its cases, and a page that is made of that file.

A case is one setting, such as a number of rows. A later run of a case takes the place of the
earlier one and leaves the others alone, so a large case need not be run again for a small one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rokkit.files import read_json, write_json, write_text

Cases = dict[str, Any]


class Results:
    """`<name>.json` and `<name>.md` in `folder`; without a folder nothing is written."""

    def __init__(self, name: str, folder: Path | None, page: Callable[[Cases], str]) -> None:
        self._json = None if folder is None else folder / f"{name}.json"
        self._page = page
        held = self._json is not None and self._json.exists()
        self.cases: Cases = read_json(self._json)["cases"] if held else {}  # type: ignore[arg-type]

    def keep(self, case: str, found: Mapping[str, Any]) -> None:
        """Put what was found of a case in its place, and write both files."""
        # What is shown is what a reader of the file would see.
        self.cases[case] = json.loads(json.dumps(found, sort_keys=True))
        if self._json is not None:
            write_json(self._json, {"cases": self.cases})
            write_text(self._json.with_suffix(".md"), self.page())

    def page(self) -> str:
        """The page, in Markdown."""
        return self._page(self.cases).rstrip() + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are numbers."""
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ruler, *rows])
