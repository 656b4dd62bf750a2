"""Columns of any length: appended batch by batch to files, then mapped into memory.

The files have no names, so they vanish with the last map, whatever ends the process.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rokkit.files import explain_full_disk


class Spool:
    """Columns of numbers that are written while a raw file is read.

    `columns` says the type of each. The files lie on the disk of `folder`, which should be the one
    that the samples go to.
    """

    def __init__(self, columns: Mapping[str, DTypeLike], folder: Path) -> None:
        self._types = {name: np.dtype(kind) for name, kind in columns.items()}
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # Closed when they are mapped; a map keeps its file alive.
        self._files = {name: tempfile.TemporaryFile(dir=folder) for name in columns}  # noqa: SIM115
        self.rows = 0

    def append(self, batch: Mapping[str, NDArray[Any]]) -> None:
        """Add the rows of `batch`, which has every column. ArtefactError if the disk is full."""
        lengths = {len(values) for values in batch.values()}
        if batch.keys() != self._files.keys() or len(lengths) != 1:
            raise ValueError(f"a batch of {sorted(batch)} with lengths {lengths} does not fit")
        with explain_full_disk(self._folder):
            for name, values in batch.items():
                self._files[name].write(np.ascontiguousarray(values, self._types[name]).data)
        self.rows += lengths.pop()

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns, memory-mapped; nothing can be appended any more."""
        found: dict[str, NDArray[Any]] = {}
        for name, file in self._files.items():
            with explain_full_disk(self._folder):
                file.flush()
            kind = self._types[name]
            # A file of no bytes cannot be mapped.
            found[name] = (
                np.memmap(file, dtype=kind, mode="r+", shape=(self.rows,))
                if self.rows
                else np.empty(0, kind)
            )
            file.close()
        return found
