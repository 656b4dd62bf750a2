"""Shapes in annotations are checked while testing; one thread; no deadlines; a tiny data set.

How long the notebooks take is said at the end.
"""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook(
    [
        f"rokkit.{package}"
        for package in ("layers", "models", "knowledge", "training", "evaluation", "serving")
    ],
    "beartype.beartype",
)

import torch  # noqa: E402
from made_batches import tiny_batch, tiny_schema  # noqa: E402

from rokkit.data.batch import Batch  # noqa: E402
from rokkit.data.schema import Schema  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("untimed", deadline=None)  # a first call imports and compiles
settings.load_profile("untimed")


class Tiny(NamedTuple):
    """A schema and a batch of it."""

    schema: Schema
    batch: Batch


@pytest.fixture
def tiny() -> Tiny:
    """Four fields; 12 rows with history, neighbours and padding in both."""
    torch.manual_seed(0)
    return Tiny(tiny_schema(), tiny_batch())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cells of notebooks ran, and how long: their part of a run of all tests."""
    held: Iterable[object] = chain.from_iterable(terminalreporter.stats.values())
    cells = [
        one
        for one in held
        if isinstance(one, pytest.TestReport) and one.nodeid.split("::")[0].endswith(".ipynb")
    ]
    if cells:
        count = len({one.nodeid for one in cells})
        seconds = sum(one.duration for one in cells)
        terminalreporter.write_line(
            f"notebooks: {count} cells, {seconds:.0f} s (of one process; a file stays on one)"
        )
