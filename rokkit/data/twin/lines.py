"""Rows as they stand in the file: raw ids, raw times, the order of lines, and dirt."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rokkit.data.twin.behaviour import Rows
from rokkit.data.twin.calendar import DAY, TAOBAO_END, TAOBAO_START, Calendar
from rokkit.data.twin.catalogue import Catalogue
from rokkit.data.twin.draws import Ints, mix, stream
from rokkit.data.twin.formats import DIRT
from rokkit.data.twin.options import TwinOptions

STRAY_NEAR = 0.9  # of stray times that lie on the day before the first; others lie anywhere
MOST_DIRT = 0.5  # no kind of dirt hits more than half of what it can hit


@dataclass(frozen=True)
class Lines:
    """The lines of a block in file order, as indices; R of them."""

    user: Ints  # [R] in the block
    item: Ints
    category: Ints
    shelf: Ints  # of the catalogue
    action: Ints
    time: Ints  # what stands in the file
    branded: NDArray[np.bool_]  # False: the brand is missing
    dirt: dict[str, int]  # kind -> lines it hit

    def take(self, order: Ints) -> "Lines":
        """The lines in another order, or some of them again."""
        return replace(
            self,
            user=self.user[order],
            item=self.item[order],
            category=self.category[order],
            shelf=self.shelf[order],
            action=self.action[order],
            time=self.time[order],
            branded=self.branded[order],
        )


def rate(options: TwinOptions, kind: str) -> float:
    """The share of lines or users that dirt of a kind hits."""
    return min(MOST_DIRT, DIRT[options.format].get(kind, 0.0) * options.dirt)


def hit(options: TwinOptions, kind: str, item: Ints) -> NDArray[np.bool_]:
    """Which items dirt hits; an item is hit wherever it stands."""
    return mix(item, options.seed + 7) % 2**30 < int(rate(options, kind) * 2**30)


def lines_of(
    options: TwinOptions, calendar: Calendar, catalogue: Catalogue, rows: Rows, block: int
) -> Lines:
    """The lines of a block.

    Lines are grouped by user, as in the real files. taobao's are in time order within a user; in
    the others, which tell days apart only, a user's sessions lie in any order.
    """
    branded = np.ones(len(rows.item), np.bool_)
    if options.format == "tmall":
        branded = ~hit(options, "empty brand", rows.item)
    dirt = {"empty brand": int((~branded).sum())} if options.format == "tmall" else {}
    if options.format == "taobao":
        time, strays = _stray(options, rows.time, block)
        dirt |= strays
    else:
        time = calendar.codes[rows.time]
    lines = Lines(rows.user, rows.item, rows.category, rows.shelf, rows.action, time, branded, dirt)
    if options.format == "taobao":
        # Times are below 2^31 in size, so user and time fit one key.
        lines = lines.take(np.argsort((lines.user << 33) + lines.time + 2**32, kind="stable"))
    else:
        lines = lines.take(_sessions_in_any_order(options, rows, block))
    lines = _duplicate(options, lines, block)
    if options.quirks.shuffled:
        lines = lines.take(stream(options.seed, "shuffle", block).permutation(len(lines.user)))
    return lines


def _stray(options: TwinOptions, time: Ints, block: int) -> tuple[Ints, dict[str, int]]:
    """taobao: some times lie on the day before the first one, a few between 1901 and 2038."""
    rng = stream(options.seed, "stray", block)
    where = np.flatnonzero(rng.random(len(time)) < rate(options, "stray time"))
    near = TAOBAO_START - 1 - rng.integers(0, DAY, len(where))
    far = rng.integers(-(2**31), 2**31, len(where))
    far = np.where((far >= TAOBAO_START) & (far < TAOBAO_END), near, far)
    stray = np.where(rng.random(len(where)) < STRAY_NEAR, near, far)
    time = time.copy()
    time[where] = stray
    return time, {"stray time": len(where), "negative time": int((stray < 0).sum())}


def _sessions_in_any_order(options: TwinOptions, rows: Rows, block: int) -> Ints:
    first = np.flatnonzero(np.diff(rows.session, prepend=-1))
    length = np.diff(first, append=len(rows.session))
    key = stream(options.seed, "order", block).integers(0, 1 << 32, len(first))
    order = np.argsort((rows.user[first] << 32) | key, kind="stable")
    first, length = first[order], length[order]
    begins = np.cumsum(length) - length
    found: Ints = np.arange(len(rows.session)) + np.repeat(first - begins, length)
    return found


def _duplicate(options: TwinOptions, lines: Lines, block: int) -> Lines:
    """Some lines become copies of the line before them, if that is of the same user."""
    n = len(lines.user)
    copied = stream(options.seed, "copies", block).random(n) < rate(options, "duplicate row")
    copied &= np.diff(lines.user, prepend=-1) == 0
    count = int(copied.sum())
    if count:
        # A copy of a copy is a copy of the line before both.
        source = np.maximum.accumulate(np.where(copied, 0, np.arange(n)))
        lines = lines.take(source)
    return replace(lines, dirt=lines.dirt | {"duplicate row": count})
