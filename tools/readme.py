"""The tables in README.md and docs/, filled in from the files they come from.

    python tools/readme.py            write
    python tools/readme.py --check    exit code 1 if a table is not what its file says

A table stands between two lines, `<!-- from results/movielens/overall.md -->` and `<!-- end -->`.
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- from (?P<file>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """README.md and the pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(page: str) -> str:
    """The text of a page with every table as its file has it."""

    def fill(match: re.Match[str]) -> str:
        held = (ROOT / match["file"]).read_text(encoding="utf-8").rstrip("\n")
        return f"{match[1]}\n{held}\n\n{match[3]}"

    return BLOCK.sub(fill, page)


def main() -> int:
    """Write or check; 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check, stale = parser.parse_args().check, []
    for path in pages():
        held = path.read_text(encoding="utf-8")
        wanted = filled(held)
        if held != wanted:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(wanted, encoding="utf-8")
    if stale and check:
        print(f"{', '.join(map(str, stale))}: tables differ. Run: python tools/readme.py")
    return int(bool(stale) and check)


if __name__ == "__main__":
    sys.exit(main())
