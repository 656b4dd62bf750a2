"""What there is to look at: categories, the shelves in them, the items on a shelf.

Items are numbered category by category. Item j of a category stands on its shelf j mod B at the
place j div B, where B is the category's number of shelves, so no table as long as the items is
needed. A shelf has one seller and one brand; an item is on one shelf.
"""

from dataclasses import dataclass

import numpy as np

from rokkit.data.twin.draws import Floats, Ints, mix, root, stream
from rokkit.data.twin.options import TwinOptions
from rokkit.data.twin.sizes import SHELF_ITEMS, Sizes


@dataclass(frozen=True)
class Catalogue:
    """Symbols: C categories; G groups of users; S shelves."""

    first_item: Ints  # [C + 1]
    shelves: Ints  # [C] number of shelves of each category
    first_shelf: Ints  # [C + 1]
    seller: Ints  # [S]
    brand: Ints  # [S]
    phase: Floats  # [S] where the moving head of the shelf stands at the start, 0 to below 1
    step: Ints  # [G] and
    shift: Ints  # [G]: a group's r-th liked category is (r * step + shift) mod C

    @property
    def categories(self) -> int:
        """C."""
        return len(self.shelves)

    def liked_by(self, group: Ints, rank: Ints) -> Ints:
        """The category at `rank` in the taste of `group`."""
        return (rank * self.step[group] + self.shift[group]) % self.categories

    def shelf(self, category: Ints, number: Ints) -> Ints:
        """The shelf `number` (any number; they repeat) of `category`."""
        return self.first_shelf[category] + number % self.shelves[category]

    def shelf_size(self, category: Ints, number: Ints) -> Ints:
        """Items on the shelf `number` of `category`."""
        held = self.first_item[category + 1] - self.first_item[category]
        shelves = self.shelves[category]
        size: Ints = (held - number % shelves + shelves - 1) // shelves
        return size


def catalogue_of(options: TwinOptions, sizes: Sizes, groups: int) -> Catalogue:
    """The catalogue that `options` plant."""
    n = sizes.categories
    rng = stream(options.seed, "catalogue")
    step = _coprime(rng.integers(1, max(n, 2), groups), n)
    shift = rng.integers(0, n, groups)
    held = _items_per_category(options, sizes, step, shift)
    shelves = np.clip(held // SHELF_ITEMS, 1, options.styles)
    first_shelf = np.concatenate([[0], np.cumsum(shelves)])
    of = np.repeat(np.arange(n), shelves)
    number = np.arange(first_shelf[-1]) - first_shelf[of]
    return Catalogue(
        first_item=np.concatenate([[0], np.cumsum(held)]),
        shelves=shelves,
        first_shelf=first_shelf,
        seller=_owners(of, number, sizes.sellers, options.styles, 1),
        brand=_owners(of, number, sizes.brands, options.styles, 5),
        phase=(mix(np.arange(first_shelf[-1]), options.seed) >> 10) / 2.0**52,
        step=step,
        shift=shift,
    )


def _items_per_category(options: TwinOptions, sizes: Sizes, step: Ints, shift: Ints) -> Ints:
    """[C]: as much supply as there is demand, so that a category by itself says little of a row."""
    n = sizes.categories
    edges = root(np.arange(n + 1) / n, options.category_tail)
    liked = np.diff(edges)
    rank = np.arange(n)
    by_group = np.zeros(n)
    for a, b in zip(step.tolist(), shift.tolist(), strict=True):
        by_group[(rank * a + b) % n] += liked / len(step)
    share = options.taste_share * options.group_share
    demand = (1 - share) * liked + share * by_group
    spare = sizes.items - 2 * n
    upto = np.floor(np.cumsum(demand) / np.cumsum(demand)[-1] * spare).astype(np.int64)
    return 2 + np.diff(np.concatenate([[0], upto]))


def _owners(category: Ints, number: Ints, owners: int, styles: int, salt: int) -> Ints:
    """[S]: the seller or the brand of each shelf; one owns shelves of one style in several
    categories, so that a user of that style meets it again and again."""
    if owners == 0:
        return np.zeros(len(category), np.int64)
    departments = max(1, owners // styles)
    owner: Ints = (mix(category, salt) % departments * styles + number) % owners
    return owner


def _coprime(step: Ints, n: int) -> Ints:
    """The next larger steps that reach every category."""
    while (shared := np.gcd(step, n) != 1).any():
        step = step + shared
    return step
