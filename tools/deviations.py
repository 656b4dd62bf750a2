"""docs/deviations.md: every place where the code departs from its source, collected.

    python tools/deviations.py            write it
    python tools/deviations.py --check    exit code 1 if it is not what would be written

A departure is a sentence in a docstring or comment of rokkit that begins with the marker, such as
`DEVIATION(§4.3.1): why`; it reaches to the end of its paragraph.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "deviations.md"
MARKED = re.compile(r"DEVIATION\(([^)]*)\): (.+?)(?=DEVIATION\(|$)")

HEADER = """\
# Where rokkit departs from its sources

Made from the code by `python tools/deviations.py`; do not edit. A section sign alone means the
paper of ROK; other sources are named before it.

"""


@dataclass(frozen=True)
class Deviation:
    """One departure."""

    file: str
    source: str  # section of the paper, or of the work that is named
    text: str


def found() -> list[Deviation]:
    """All of them, by file and place."""
    made = []
    for path in sorted((ROOT / "rokkit").rglob("*.py")):
        held = path.read_text(encoding="utf-8")
        for paragraph in re.split(r'\n\s*\n|"""', held):
            plain = " ".join(line.strip().lstrip("#").strip() for line in paragraph.splitlines())
            for source, text in MARKED.findall(plain):
                made.append(Deviation(str(path.relative_to(ROOT)), source, text.strip()))
    return made


def text() -> str:
    """What docs/deviations.md should hold."""
    lines = [f"- **{one.source}** (`{one.file}`): {one.text}" for one in found()]
    return HEADER + "\n".join(lines) + "\n"


def main() -> int:
    """Write or check; 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(text(), encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text():
        return 0
    print("docs/deviations.md is not what the code says. Run: python tools/deviations.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
