"""docs/findings.md says of every claim that does not hold why, and names each data set."""

import json
import re
from pathlib import Path

import pytest

from rokkit.experiments import CLAIMS

ROOT = Path(__file__).resolve().parents[2]
SAID = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
NAMES = {
    "journey": "journey",
    "movielens": "movielens",
    "twin-tmall": "Tmall",
    "twin-taobao": "Taobao",
    "twin-alipay": "Alipay",
}
EVERYWHERE = "every study"


def paragraphs(text: str) -> dict[str, str]:
    """By claim, the list item that begins with its name in a comment; one may be of several."""
    items = re.split(r"^- ", text, flags=re.MULTILINE)
    return {
        name: item
        for item in items
        if (marked := re.match(r"<!-- ([\w, -]+?) -->", item))
        for name in marked[1].split(", ")
    }


def failed() -> list[tuple[str, str]]:
    """(claim, data set) where a study's committed verdict is "does not hold"."""
    names = {claim.says: claim.name for claim in CLAIMS}
    found = set()
    for path in (ROOT / "results").glob("*/claims.json"):
        table = json.loads(path.read_text(encoding="utf-8"))
        claim, verdict = (table["columns"].index(name) for name in ("Claim", "Verdict"))
        found |= {
            (names[row[claim]], path.parent.name.removesuffix("-systems"))
            for row in table["rows"]
            if row[verdict] == "does not hold"
        }
    return sorted(found)


@pytest.mark.parametrize(("claim", "dataset"), failed())
def test_why_it_does_not_hold_there_is_said(claim: str, dataset: str) -> None:
    said = paragraphs(SAID)
    assert claim in said, f"no paragraph begins with <!-- {claim} -->"
    assert NAMES[dataset] in said[claim] or EVERYWHERE in said[claim]


def test_every_mark_is_of_a_claim() -> None:
    assert set(paragraphs(SAID)) <= {claim.name for claim in CLAIMS}


def test_a_paragraph_ends_where_the_next_begins() -> None:
    text = "- <!-- a, b-c -->\n  **One.** Tmall\n- Another: journey\n- <!-- d --> Alipay"
    assert paragraphs(text) == {
        "a": "<!-- a, b-c -->\n  **One.** Tmall\n",
        "b-c": "<!-- a, b-c -->\n  **One.** Tmall\n",
        "d": "<!-- d --> Alipay",
    }
