"""Who looks: the users of a block, how active they are, what group they are of, what they like."""

from dataclasses import dataclass

import numpy as np

from rokkit.data.twin.catalogue import Catalogue
from rokkit.data.twin.draws import Floats, Ints, Lottery, apportion, power, ranks, stream
from rokkit.data.twin.formats import AGES, GENDERS
from rokkit.data.twin.options import TwinOptions


@dataclass(frozen=True)
class People:
    """Symbols: U users of the block; T tastes; E epochs of a taste."""

    rows: Ints  # [U] rows of each user, at least 1
    age: Ints  # [U] 1 to 8
    gender: Ints  # [U] 0 or 1
    style: Ints  # [U]
    likes: Ints  # [U, T, E] favourite categories
    phase: Floats  # [U, T] where in its life a taste is at the start, 0 to below 1

    def favourite(self, options: TwinOptions, user: Ints, taste: Ints, place: Floats) -> Ints:
        """The favourite category `taste` of `user` at `place` in the time span, 0 to 1."""
        epoch = (place / options.taste_life + self.phase[user, taste]).astype(np.int64)
        found: Ints = self.likes[user, taste, epoch]
        return found


def people_of(
    options: TwinOptions, catalogue: Catalogue, block: int, users: int, rows: int
) -> People:
    """The `users` of a block and their share of its `rows`."""
    rng = stream(options.seed, "people", block)
    age = Lottery(AGES).draw(rng, users)
    gender = Lottery(GENDERS).draw(rng, users)
    style = rng.integers(0, options.styles, users)
    epochs = int(1 / options.taste_life) + 2
    shape = (users, options.tastes, epochs)
    any_size = np.full(int(np.prod(shape)), catalogue.categories, np.int64)
    rank = ranks(rng, any_size, options.category_tail).reshape(shape)
    by_group = rng.random(shape) < options.group_share
    of_group = catalogue.liked_by((age * len(GENDERS) + gender)[:, None, None], rank)
    return People(
        rows=_activity(rng, options, users, rows),
        age=age + 1,
        gender=gender,
        style=style,
        likes=np.where(by_group, of_group, rank),
        phase=rng.random(shape[:2]),
    )


def _activity(rng: np.random.Generator, options: TwinOptions, users: int, rows: int) -> Ints:
    """[U]: at least a row for everyone; most have fewer than the mean, a few many times as many."""
    p = options.user_tail
    # Mean 1, from .3 to .3 + .7 (p + 1).
    weight = 0.3 + 0.7 * (p + 1) * power(rng.random(users), p)
    return 1 + apportion((weight * 2**20).astype(np.int64), rows - users)
