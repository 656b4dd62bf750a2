"""rokkit.parameters: what a parameters cell declares, and what a notebook's globals hold."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_notebooks import code, written

from rokkit.errors import ArtefactError, ConfigError
from rokkit.parameters import (
    BEGUN,
    Declared,
    check_names,
    declarations,
    declared,
    names_of,
    present,
    tags,
)

CELL = """\
dataset: str = "journey"  # data set
options: list = [
    "users=100",  # inside
    "k=#3",
]  # each key=value
alpha: float | None = -0.5  # weight, Größe #1
plain = {"a": (1, None)}
"""


def test_declarations_have_value_annotation_and_comment() -> None:
    assert declarations(CELL, where="cell") == (
        Declared("dataset", "journey", "str", "data set"),
        Declared("options", ["users=100", "k=#3"], "list", "each key=value"),
        Declared("alpha", -0.5, "float | None", "weight, Größe #1"),
        Declared("plain", {"a": (1, None)}, "", ""),
    )


def test_a_letter_of_several_bytes_before_the_comment_does_not_shift_it() -> None:
    (one,) = declarations('name: str = "ä#ö"  # a name', where="cell")
    assert (one.value, one.comment) == ("ä#ö", "a name")


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "x = len('a')",
        "x = y",
        "x: int",
        "x += 1",
        "a, b = 1, 2",
        "a = b = 1",
        "a.b = 1",
        "a[0] = 1",
        "print(1)",
        "x = f'{1}'",
        "for i in (1, 2): pass",
    ],
)
def test_code_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declarations(f"good: int = 1  # fine\n{line}", where="cell of a.ipynb")
    assert str(caught.value).startswith("cell of a.ipynb: ")
    assert line in str(caught.value)
    assert "is no assignment of a plain value to a name" in str(caught.value)


def test_what_is_no_python_is_refused_with_its_line_number() -> None:
    with pytest.raises(ConfigError, match="cell: line 2 is no Python"):
        declarations("x: int = 1\ny: int = = 2", where="cell")


def test_a_notebook_declares_what_its_tagged_cell_holds(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ipynb", "# A", code("y = 1"), code("x: int = 2", "parameters"))
    assert declared(path) == (Declared("x", 2, "int", ""),)
    assert declared(written(tmp_path / "b.ipynb", "# B", code("y = 1"))) == ()


def test_tags_are_those_of_the_parameters_cell(tmp_path: Path) -> None:
    tagged = code("x: int = 1  # a number", "parameters", "alone")
    path = written(tmp_path / "a.ipynb", "# A", tagged, code("x", "claim"))
    assert tags(path) == {"parameters", "alone"}
    assert tags(written(tmp_path / "b.ipynb", "# B", code("x", "claim"))) == frozenset()


def test_a_bad_cell_is_named_with_its_notebook(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"parameters cell of .*a\.ipynb: 'x = len\(y\)'"):
        declared(written(tmp_path / "a.ipynb", code("x = len(y)", "parameters")))
    with pytest.raises(ArtefactError, match=r"the notebook .*no\.ipynb does not exist"):
        declared(tmp_path / "no.ipynb")


def shell(**names: Any) -> dict[str, Any]:
    """What a kernel's globals hold beside a notebook's own names."""
    always: dict[str, Any] = {
        "__name__": "__main__",
        "_": 3,
        "_i1": "k: int = 10",
        "In": ["", "k: int = 10"],
        "Out": {1: 3},
        "exit": SimpleNamespace(),
        "pytest": pytest,
    }
    return always | names


def test_only_plain_values_are_parameters() -> None:
    names = shell(
        k=10, seeds=[0, 1], study="smoke", alpha=0.1, amp=False, teacher=None, load=len, session=...
    )
    assert present(names) == {
        "k": 10,
        "seeds": [0, 1],
        "study": "smoke",
        "alpha": 0.1,
        "amp": False,
        "teacher": None,
    }


def test_once_begun_other_cells_names_are_none() -> None:
    names = shell(k=10, **{BEGUN: frozenset({"k", "gone"})})
    names |= {"reports": [1, 2], "fixed": True, "k": 20}
    assert present(names) == {"k": 20}


def test_a_name_that_a_parameters_cell_has_set_since_is_one() -> None:
    names = shell(k=10, alhpa=0.3, fixed=True, total=4, **{BEGUN: frozenset({"k"})})
    names["In"] = [
        "k: int = 10",
        "k: int = 10\nalhpa: float = 0.3  # weight",
        "fixed = True",  # not annotated: an ordinary cell
        "total: int = 4\nprint(total)",  # more than a parameters cell
    ]
    assert present(names) == {"k": 10, "alhpa": 0.3}


def test_names_are_checked_against_the_known_ones() -> None:
    @dataclass
    class Own:
        alpha: float = 0.1
        seeds: int = 1

    assert names_of(Own) == ("alpha", "seeds")
    check_names(["alpha"], names_of(Own), where="here")
    with pytest.raises(ConfigError) as caught:
        check_names(["seeds", "alhpa"], names_of(Own), where="here")
    assert str(caught.value) == (
        "here: parameter 'alhpa' is not known. Did you mean 'alpha'? Known: alpha, seeds."
    )
