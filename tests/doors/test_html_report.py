"""Executed notebooks as pages: what they hold, where they lead, that nothing is fetched."""

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rokkit.html_report import REPORT, write_report

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def made(folder: Path, name: str, heading: str, other: str) -> None:
    cell = new_code_cell("x = 1 < 2\nx")
    cell.outputs = [
        new_output("stream", text="said <aloud>"),
        new_output("display_data", {"image/png": PIXEL}),
        new_output("execute_result", {"text/html": "<table><tr><td>0.75</td></tr></table>"}),
    ]
    injected = new_code_cell("seeds = [7]", metadata={"tags": ["injected-parameters"]})
    words = new_markdown_cell(f"# {heading}\n\nNext: [{other}]({other}.ipynb)")
    nbformat.write(new_notebook(cells=[words, injected, cell]), folder / f"{name}.ipynb")


def test_pages_hold_what_the_notebooks_hold(tmp_path: Path) -> None:
    made(tmp_path, "10_a", "First & best", "11_b")
    made(tmp_path, "11_b", "Second", "10_a")
    index = write_report(tmp_path)
    assert index == tmp_path / REPORT / "index.html"
    page = (tmp_path / REPORT / "10_a.html").read_text(encoding="utf-8")
    assert "First &amp; best" in page
    assert "<td>0.75</td>" in page
    assert PIXEL in page
    assert "said &lt;aloud&gt;" in page
    assert "seeds" in page  # the parameters that it ran with, not those that it stands with
    # Links lead to pages, in the text and in the navigation of each page.
    assert re.findall(r'href="([^"#]+)"', page).count("11_b.html") == 2
    assert ".ipynb" not in page
    listed = index.read_text(encoding="utf-8")
    assert listed.index("10_a.html") < listed.index("11_b.html")
    assert "Second" in listed


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    made(tmp_path, "10_a", "First", "10_a")
    write_report(tmp_path)
    for path in (tmp_path / REPORT).glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text
        assert not re.search(r'(src|href)="https?:', text)


def test_a_notebook_that_is_linked_but_not_there_stays_a_link_to_it(tmp_path: Path) -> None:
    made(tmp_path, "10_a", "First", "12_c")
    write_report(tmp_path)
    assert 'href="12_c.ipynb"' in (tmp_path / REPORT / "10_a.html").read_text(encoding="utf-8")


def test_nothing_executed_makes_an_empty_index(tmp_path: Path) -> None:
    assert "<ul></ul>" in write_report(tmp_path).read_text(encoding="utf-8")
