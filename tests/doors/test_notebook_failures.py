"""rokkit.notebook_failure: the cell, the error and the frame, read from an executed copy."""

from pathlib import Path

import pytest
from made_notebooks import code, executed, written

import rokkit
from rokkit.notebook_failure import Failure, failure_of, last_frame

PACKAGE = Path(rokkit.__file__).parent
RED, BLUE, PLAIN = "\x1b[0;31m", "\x1b[38;5;21m", "\x1b[0m"

# As IPython prints it: colours, an arrow, frames of other packages, home folders as ~.
TRACEBACK = f"""\
{RED}---------------------------------------------------------------------------{PLAIN}
{RED}ValueError{PLAIN}                                Traceback (most recent call last)
Cell {BLUE}In[3], line 2{PLAIN}
      1 x = 1
----> {BLUE}2{PLAIN} load(x)

File {BLUE}{PACKAGE}/data/build.py:56{PLAIN}, in {BLUE}load{PLAIN}(name, **options)
     55     a = 1
---> {BLUE}56{PLAIN}     return open_or_build(plan(name, options))

File {BLUE}{PACKAGE}/data/build.py:90{PLAIN}, in {BLUE}open_or_build{PLAIN}(wanted)
---> {BLUE}90{PLAIN} _build(wanted)

File {BLUE}/usr/lib/python3/site-packages/other/core.py:7{PLAIN}, in {BLUE}inner{PLAIN}(a)
----> {BLUE}7{PLAIN} raise ValueError("bad")

{RED}ValueError{PLAIN}: bad"""


def test_the_frame_is_the_innermost_inside_rokkit() -> None:
    assert last_frame(TRACEBACK) == "rokkit/data/build.py:90 (open_or_build)"


def test_frames_in_pythons_own_layout_are_read_too() -> None:
    text = f'  File "{PACKAGE}/config.py", line 30, in build\n  File "/x/y.py", line 1, in z\n'
    assert last_frame(text) == "rokkit/config.py:30 (build)"


@pytest.mark.parametrize(
    "text",
    ["", "ValueError: bad", "File /elsewhere/rokkit_like/a.py:3, in f(x)", "Cell In[1], line 2"],
)
def test_no_frame_inside_rokkit_gives_nothing(text: str) -> None:
    assert last_frame(text) == ""


def test_the_failing_cell_is_counted_as_in_the_committed_notebook(tmp_path: Path) -> None:
    copy = written(
        tmp_path / "a.ipynb",
        executed(code("An error was met here", "papermill-error-cell-tag")),
        "# Title",
        executed(code("x: int = 1  # a number", "parameters")),
        executed(code("x = 5", "injected-parameters")),
        executed(code("load(x)\nmore()"), error=TRACEBACK.split("\n")),
        executed(code("never()"), began=False),
    )
    assert failure_of(copy, RuntimeError("papermill's words")) == Failure(
        cell=3,
        source="load(x)",
        error="ValueError: bad",
        where="rokkit/data/build.py:90 (open_or_build)",
    )


def test_a_dead_kernel_is_placed_at_the_last_cell_that_began(tmp_path: Path) -> None:
    copy = written(
        tmp_path / "a.ipynb",
        executed(code("x: int = 1", "parameters")),
        executed(code("import os\nos._exit(3)")),
        executed(code("never()"), began=False),
    )
    assert failure_of(copy, RuntimeError("Kernel died")) == Failure(
        cell=2, source="import os", error="RuntimeError: Kernel died", where=""
    )


@pytest.mark.parametrize("content", [None, "half of a noteb"])
def test_without_a_readable_copy_the_error_alone_is_told(
    tmp_path: Path, content: str | None
) -> None:
    copy = tmp_path / "a.ipynb"
    if content is not None:
        copy.write_text(content)
    assert failure_of(copy, KeyError("kernel")) == Failure(
        cell=0, source="", error="KeyError: 'kernel'", where=""
    )
