"""How many users, items, categories, sellers and brands a twin has, and its blocks of rows."""

import math
from dataclasses import dataclass

from rokkit.data.twin.formats import BY_NAME
from rokkit.data.twin.options import TwinOptions

BLOCK_ROWS = 131_072  # part of what a file's content depends on
SHELF_ITEMS = 8  # items that a shelf has at least, where its category is large enough
ITEMS_OF_EACH = 32  # items that a category, seller or brand has on average at least
FEW = 64  # so many stay however few rows there are


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Counts of a twin, in the real log's ratios.

    Users, items and categories grow with the rows, sellers and brands with their power of 3/4, as
    new ones become rare in a growing log. Of categories, sellers and brands 64 stay (fewer where
    the real log has fewer, or where there are hardly more items).
    """

    rows: int
    users: int
    items: int
    categories: int
    sellers: int
    brands: int

    @property
    def blocks(self) -> int:
        """Blocks of users; each has BLOCK_ROWS rows, the last up to twice as many."""
        return max(1, self.rows // BLOCK_ROWS)

    def rows_of(self, block: int) -> range:
        """Numbers of the block's rows."""
        last = block == self.blocks - 1
        return range(block * BLOCK_ROWS, self.rows if last else (block + 1) * BLOCK_ROWS)

    def users_of(self, block: int) -> range:
        """Numbers of the block's users; all rows of a user lie in one block."""
        rows = self.rows_of(block)
        first = self.users * rows.start // self.rows
        return range(first, self.users * rows.stop // self.rows)


def sizes_of(options: TwinOptions) -> Sizes:
    """The counts for `options.rows` rows."""
    real = BY_NAME[options.format]
    scale = options.rows / real.rows
    slower = math.sqrt(scale * math.sqrt(scale))  # scale^(3/4), rounded alike everywhere
    items = max(100, round(real.items * scale))
    return Sizes(
        rows=options.rows,
        users=max(2, round(real.users * scale)),
        items=items,
        categories=_few(real.categories, scale, items),
        sellers=_few(real.sellers, slower, items),
        brands=_few(real.brands, slower, items),
    )


def _few(count: int, scale: float, items: int) -> int:
    return min(max(round(count * scale), min(count, FEW)), items // ITEMS_OF_EACH)
