"""The pools that are searched: what each is called, how wide it is, how it is made."""

from dataclasses import dataclass
from pathlib import Path

from search import hard_shapes, tmall_like

TMALL = "tmall-like"
FIVE = "five"  # the fields of every hard shape


@dataclass(frozen=True)
class Pool:
    """A made pool and the fields that are searched in it."""

    kind: str  # TMALL or a hard shape
    rows: int
    fields: str

    @property
    def name(self) -> str:
        """ "tmall-like, 1,000,000 rows, rim5"."""
        return f"{self.kind}, {self.rows:,} rows, {self.fields}"

    @property
    def hard(self) -> bool:
        """Whether it is made to be hard for a search that skips rows."""
        return self.kind != TMALL

    @property
    def width(self) -> int:
        """Fields searched: the first columns of the files."""
        return hard_shapes.FIELDS if self.hard else tmall_like.FIELD_SETS[self.fields]

    def make(self, queries: int, seed: int, folder: Path) -> tuple[Path, Path]:
        """Write the pool and its queries into `folder`."""
        if self.hard:
            return hard_shapes.make(self.kind, self.rows, queries, seed, folder)
        return tmall_like.make(self.rows, queries, seed, folder)
