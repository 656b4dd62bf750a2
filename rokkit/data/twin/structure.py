"""The structure that a twin plants, knob by knob."""

from dataclasses import dataclass

from rokkit.config import require

# Of tails: squaring is exact everywhere, so that files are the same on every machine.
POWERS = (1, 2, 4, 8, 16, 32)
SHARES = (
    "taste_share",
    "group_share",
    "style_share",
    "repeat_share",
    "follow_share",
    "novelty",
    "item_drift",
    "burst_explore",
)


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What is planted. Raises ConfigError for a value outside its range.

    A tail is a power p of 1, 2, 4, 8, 16 or 32: ranks are drawn as n·u^p for u uniform in [0, 1),
    which is Zipf-like with the exponent 1 - 1/p (0, .5, .75, …). Items have a flat head besides:
    n·(.8 u^p + .2 u).
    """

    # Long tails
    user_tail: int = 4  # how unequal users are in their number of rows
    category_tail: int = 2  # how unequal categories are; the popular ones also hold more items
    item_tail: int = 16  # how unequal the items of one category are

    # Tastes
    tastes: int = 3  # favourite categories of a user at a time, each less frequent than the last
    taste_share: float = 0.85  # of sessions that are in a favourite; others follow popularity
    taste_life: float = 0.8  # time spans that a favourite lasts; then another takes its place
    group_share: float = 0.3  # of favourites that come from what the user's age and gender like
    styles: int = 3  # shelves of a category; each has one seller and one brand (where there are)
    style_share: float = 0.5  # of sessions at the shelf of the user's own style

    # Sessions
    session_length: float = 2.0  # mean number of rows; one category, one shelf, close in time
    repeat_share: float = 0.2  # of rows that come back to one of the user's recent items
    memory: int = 50  # rows that "recent" reaches back
    follow_share: float = 0.9  # of carts, favourites and purchases that are of an item seen before

    # Drift
    novelty: float = 0.2  # share of rows whose item comes from the shelf's moving head: the newest
    item_drift: float = 0.3  # share of a shelf that becomes new over the time span
    burst_tail: int = 16  # item_tail on tmall's 11 November; 32: everyone wants the same
    burst_explore: float = 0.3  # share of that day's favourite sessions that follow popularity

    dirt: float = 1.0  # times the real files' rate of dirt; 0: none

    def __post_init__(self) -> None:
        for name in ("user_tail", "category_tail", "item_tail", "burst_tail"):
            value = getattr(self, name)
            require(value in POWERS, name, value, "1, 2, 4, 8, 16 or 32")
        for name in SHARES:
            value = getattr(self, name)
            require(0 <= value <= 1, name, value, "a share from 0 to 1")
        life = self.taste_life
        require(0.01 <= life <= 100, "taste_life", life, ".01 to 100 time spans")
        for name, most in (("tastes", 100), ("styles", 1000), ("memory", 100_000)):
            value = getattr(self, name)
            require(1 <= value <= most, name, value, f"1 to {most:,}")
        length = self.session_length
        require(1 <= length <= 1000, "session_length", length, "1 to 1,000")
        require(0 <= self.dirt <= 1000, "dirt", self.dirt, "0 to 1,000")
