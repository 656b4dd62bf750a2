"""The made arrays as a framework reads them. Needs numpy alone: a peer has its own environment."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Arrays:
    """What `synth.make` wrote. Symbols: n rows of a part; L the longest history."""

    folder: Path
    sizes: dict[str, int]  # ids of each field, from 1
    parts: dict[str, int]  # rows of train, val and test
    longest: int  # L

    @classmethod
    def open(cls, folder: str | Path) -> "Arrays":
        """Those in `folder`."""
        about = json.loads((Path(folder) / "about.json").read_text(encoding="utf-8"))
        return cls(Path(folder), dict(about["sizes"]), dict(about["parts"]), about["longest"])

    def x(self, part: str) -> Ints:
        """[n, 6] ids of the fields, in the order of `sizes`."""
        return self._of(part, "x")

    def y(self, part: str) -> Ints:
        """[n] labels."""
        return self._of(part, "y")

    def truth(self, part: str) -> NDArray[np.float32]:
        """[n] the probabilities that the labels were drawn with."""
        found: NDArray[np.float32] = self._of(part, "truth")
        return found

    @property
    def genre_of(self) -> Ints:
        """[items + 1] genre of each item; 0 of padding."""
        return self._read("genre_of")

    @property
    def user_histories(self) -> tuple[Ints, Ints]:
        """(offsets [users + 1], items): stored once per user."""
        return self._read("history_offsets"), self._read("history_items")

    def history(self, part: str) -> tuple[Ints, Ints, Ints]:
        """(items [n, L], genres [n, L], lengths [n]): a copy per row, padding after the last."""
        offsets, stored = self.user_histories
        users = self.x(part)[:, 0] - 1
        first, lengths = offsets[users], np.diff(offsets)[users]
        steps = np.arange(self.longest)
        held = steps < lengths[:, None]
        items = np.where(held, stored[np.where(held, first[:, None] + steps, 0)], 0)
        return items.astype(np.int32), self.genre_of[items], lengths.astype(np.int32)

    def columns(self, part: str) -> dict[str, Ints]:
        """[n] ids by field, each in memory of its own."""
        x = self.x(part)
        return {name: np.ascontiguousarray(x[:, i]) for i, name in enumerate(self.sizes)}

    def _of(self, part: str, name: str) -> Any:
        first = 0
        for held, rows in self.parts.items():
            if held == part:
                return self._read(name)[first : first + rows]
            first += rows
        raise KeyError(f"part {part!r} is not among {', '.join(self.parts)}.")

    def _read(self, name: str) -> Any:
        return np.load(self.folder / f"{name}.npy")
