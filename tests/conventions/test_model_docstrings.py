"""Every model's file begins with where it is from, its equations, its symbols, shapes and cost."""

import re
import sys

import pytest

from rokkit.models import list_systems, model_entry

# What a docstring has to hold, and how it is told. A source is named before the symbols, a section
# of ROK counts for what ROK itself defines; what could not be looked up is said to be so.
YEAR = re.compile(r"\([^)]*(?:'\d\d|\b20\d\d|\bROK, Table \d)")
SECTION = re.compile(r"§\d|\bTable \d|\bLayer\b|\bnot at hand\b")
OF_ROK = re.compile(r"\bROK §[\d.]+")
EQUATION = re.compile(r"^    .*(?: = | ~ )", re.MULTILINE)
SHAPE = re.compile(r"\[[BN](?:, [^\]\s]+)*\]")


def lacks(said: str) -> list[str]:
    """What the docstring of a model's file does not say."""
    about = said.partition("Symbols:")[0].partition("DEVIATION")[0]
    told = {
        "source": YEAR.search(about),
        "section": SECTION.search(OF_ROK.sub("", about)),
        "equations": EQUATION.search(about),
        "shapes": SHAPE.search(about),
        "symbols": "Symbols: " in said,
        "cost": re.search(r"\bCost: \S", said),
    }
    return [part for part, held in told.items() if not held]


@pytest.mark.parametrize("name", list_systems())
def test_a_model_says_where_it_is_from_and_what_it_computes(name: str) -> None:
    said = sys.modules[model_entry(name).target.__module__].__doc__
    assert said
    assert lacks(said) == []


def test_what_is_missing_is_noticed() -> None:
    whole = (
        "M: a model (Who et al., KDD'19, §4).\n\n    y = W x\nx is [B, D].\n\n"
        "Symbols: B batch; D width. Cost: O(D).\nDEVIATION(M §5): none.\n"
    )
    assert lacks(whole) == []
    for part, there, gone in (
        ("source", "KDD'19", "KDD"),
        ("section", ", §4", ""),
        ("section", ", §4", ", as ROK §3.2 has it"),
        ("equations", "    y = W x", "y of x"),
        ("shapes", "[B, D]", "a matrix"),
        ("symbols", "Symbols: ", "With "),
        ("cost", "Cost: ", "It takes "),
    ):
        assert lacks(whole.replace(there, gone)) == [part]
