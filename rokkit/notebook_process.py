"""One notebook through papermill, in this process.

The kernel talks over files in a short temporary folder instead of TCP ports: parallel kernels race
for ports, and newer ones warn at every start that TCP is not encrypted.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import papermill
from papermill.engines import NBClientEngine, papermill_engines
from traitlets.config import Config

from rokkit.notebook_failure import Failure, failure_of

Tell = Callable[[int, int], None]  # (cell from 1, cells), papermill's own cells included


class TellingEngine(NBClientEngine):  # type: ignore[misc]
    """papermill's engine, which tells which cell it is at."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, tell: Tell, **more: Any
    ) -> Any:
        """See papermill's engine; `tell` is called as each cell begins."""
        begin_cell = nb_man.cell_start

        def cell_start(cell: Any, cell_index: int) -> None:
            tell(cell_index + 1, len(nb_man.nb.cells))
            begin_cell(cell, cell_index)

        nb_man.cell_start = cell_start
        return super().execute_managed_notebook(nb_man, kernel_name, **more)


papermill_engines.register("telling", TellingEngine)


def execute_notebook(
    notebook: Path, copy: Path, parameters: Mapping[str, Any], tell: Tell
) -> Failure | None:
    """Execute `notebook` with `parameters` into `copy`; None if it went through."""
    # It warns of parameters that a notebook does not declare; ours take them all, checked.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    copy.parent.mkdir(parents=True, exist_ok=True)
    # A socket's path may not be longer than about a hundred bytes.
    short = "/tmp" if os.path.isdir("/tmp") else None
    with tempfile.TemporaryDirectory(prefix="rokkit", dir=short) as sockets:
        kernels = {"transport": "ipc", "ip": f"{sockets}/k"} if os.name == "posix" else {}
        try:
            papermill.execute_notebook(
                str(notebook),
                str(copy),
                parameters=dict(parameters),
                engine_name="telling",
                progress_bar=False,
                config=Config({"KernelManager": kernels}),
                tell=tell,
            )
        except Exception as error:  # whatever it is, it becomes the notebook's outcome
            return failure_of(copy, error)
    return None
