"""The executed notebooks as pages that any browser opens, with a way from each to the others.

Nothing is fetched from elsewhere: styles are in the page, figures in it too.
"""

import html
import re
from pathlib import Path

from rokkit.files import write_text
from rokkit.overview import title
from rokkit.parameters import read_notebook

REPORT = "report"  # the folder beside the executed notebooks
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 68rem; padding: 0 1rem 4rem;
       color: #222; background: #fff; }
nav { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #ccc; padding: .6rem 0;
      font-size: 13px; z-index: 1; }
nav a { margin-right: .9rem; white-space: nowrap; } nav b { margin-right: .9rem; }
a { color: #0072b2; text-decoration: none; } a:hover { text-decoration: underline; }
pre { background: #f6f6f6; padding: .5rem .7rem; overflow-x: auto; font-size: 12.5px; }
table { border-collapse: collapse; font-size: 12.5px; margin: .6rem 0; display: block;
        overflow-x: auto; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right; }
th:first-child, td:first-child { text-align: left; }
caption { caption-side: top; text-align: left; padding: .3rem 0; font-weight: 600; }
img { max-width: 100%; } .jp-InputPrompt, .jp-OutputPrompt, .prompt { display: none; }
.error { color: #b00; } .anchor-link { display: none; }
"""


def write_report(folder: Path, below: str = "") -> Path:
    """Write `<folder>/report/<notebook>.html` for each executed notebook, and index.html.

    `folder` holds what `rokkit run` executed; `below` is shown under their list, as HTML.
    Pages of notebooks that are no longer there stay. Returns the path of index.html.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic")
    notebooks = sorted(folder.glob("*.ipynb"))
    titles = {path.stem: title(read_notebook(path)) for path in notebooks}
    for path in notebooks:
        body, _ = exporter.from_notebook_node(read_notebook(path))
        write_text(folder / REPORT / f"{path.stem}.html", page(path.stem, titles, str(body)))
    index = folder / REPORT / "index.html"
    items = "".join(
        f'<li><a href="{stem}.html">{html.escape(stem)}</a> {html.escape(text)}</li>'
        for stem, text in titles.items()
    )
    body = f"<h1>{html.escape(folder.name)}</h1><ul>{items}</ul>{below}"
    write_text(index, page("", titles, body))
    return index


def page(stem: str, titles: dict[str, str], body: str) -> str:
    """One page: where one may go from here, then `body`, its links to notebooks made to pages."""
    links = ['<a href="index.html">index</a>']
    links += [
        f"<b>{html.escape(one)}</b>"
        if one == stem
        else f'<a href="{one}.html" title="{html.escape(text)}">{html.escape(one)}</a>'
        for one, text in titles.items()
    ]
    known = "|".join(re.escape(one) for one in titles)
    body = re.sub(rf'href="({known})\.ipynb"', r'href="\1.html"', body) if titles else body
    name = html.escape(titles.get(stem, "") or "report")
    head = f'<meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
    top = f"<nav>{' '.join(links)}</nav>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n'
        f"<body>{top}\n{body}\n</body></html>\n"
    )
