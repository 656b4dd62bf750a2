"""What the users of a block do: sessions, the items looked at, returns to them, actions on them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rokkit.data.twin.calendar import DAY, TAOBAO_END, TAOBAO_START, Calendar
from rokkit.data.twin.catalogue import Catalogue
from rokkit.data.twin.draws import Floats, Ints, Lottery, flattened, power, ranks, stream
from rokkit.data.twin.formats import BY_NAME
from rokkit.data.twin.options import TwinOptions
from rokkit.data.twin.people import People

GOLDEN = (5**0.5 - 1) / 2
GAP = 240  # seconds between rows of a session are below this, mostly far below


@dataclass(frozen=True)
class Sessions:
    """The sessions of a block, grouped by user, each user's in time order; n of them."""

    first: Ints  # [n] their first row
    user: Ints  # [n]
    day: Ints  # [n] index in the calendar
    time: Ints  # [n] first second, since 1970 (taobao), else the day
    category: Ints  # [n]
    shelf: Ints  # [n] number of the shelf in its category


@dataclass(frozen=True)
class Rows:
    """The rows of a block, grouped by user; R of them. Indices count from 0."""

    user: Ints  # [R] in the block
    session: Ints  # [R]
    item: Ints  # [R]
    category: Ints  # [R]
    shelf: Ints  # [R] of the whole catalogue
    action: Ints  # [R] index in the format's actions
    time: Ints  # [R] what stands in the file
    repeat: NDArray[np.bool_]  # [R] comes back to an item of the user's


def rows_of(
    options: TwinOptions, calendar: Calendar, catalogue: Catalogue, people: People, block: int
) -> Rows:
    """The rows of a block, each user's in time order as far as the format tells time."""
    user = np.repeat(np.arange(len(people.rows)), people.rows)
    begins = np.cumsum(people.rows) - people.rows
    rng = stream(options.seed, "sessions", block)
    starts = rng.random(len(user)) < 1 / options.session_length
    starts[begins] = True
    sessions = _sessions(rng, options, calendar, catalogue, people, user, starts)
    session = np.cumsum(starts) - 1

    rng = stream(options.seed, "items", block)
    category, shelf, item = _looked_at(rng, options, calendar, catalogue, sessions, session)
    rng = stream(options.seed, "repeats", block)
    origin = _origins(rng, options, np.arange(len(user)) - begins[user])
    repeat = origin != np.arange(len(user))
    return Rows(
        user=user,
        session=session,
        item=item[origin],
        category=category[origin],
        shelf=shelf[origin],
        action=_actions(stream(options.seed, "actions", block), options, repeat),
        time=_times(stream(options.seed, "seconds", block), options, sessions, session),
        repeat=repeat,
    )


def _sessions(
    rng: np.random.Generator,
    options: TwinOptions,
    calendar: Calendar,
    catalogue: Catalogue,
    people: People,
    user_of_row: Ints,
    starts: NDArray[np.bool_],
) -> Sessions:
    first = np.flatnonzero(starts)
    user = user_of_row[first]
    n = len(first)
    if options.format == "taobao":
        hour = calendar.hours().draw(rng, n)
        time = hour * 3600 + rng.integers(0, 3600, n)
    else:
        time = calendar.days().draw(rng, n)
    # A session's length does not depend on its time, so sorting the times of each user is enough.
    time = np.sort((user << 32) | time) & 0xFFFFFFFF
    day = time // DAY if options.format == "taobao" else time
    place = calendar.place[day]
    burst = day == calendar.burst

    own = rng.random(n) < options.taste_share
    own &= ~(burst & (rng.random(n) < options.burst_explore))
    # The first taste of T is drawn with probability 1/sqrt(T), the last with about 1/(2 T).
    taste = ranks(rng, np.full(n, options.tastes, np.int64), 2)
    favourite = people.favourite(options, user, taste, place)
    popular = ranks(rng, np.full(n, catalogue.categories, np.int64), options.category_tail)
    styled = rng.random(n) < options.style_share
    some = rng.integers(0, 1 << 30, n)
    category = np.where(own, favourite, popular)
    return Sessions(
        first=first,
        user=user,
        day=day,
        time=time + (TAOBAO_START if options.format == "taobao" else 0),
        category=category,
        shelf=np.where(styled, people.style[user], some) % catalogue.shelves[category],
    )


def _looked_at(
    rng: np.random.Generator,
    options: TwinOptions,
    calendar: Calendar,
    catalogue: Catalogue,
    sessions: Sessions,
    session: Ints,
) -> tuple[Ints, Ints, Ints]:
    """(category, shelf, item) of every row, as if none came back to an item."""
    shelf = catalogue.shelf(sessions.category, sessions.shelf)
    size = catalogue.shelf_size(sessions.category, sessions.shelf)
    stands = catalogue.phase[shelf] + options.item_drift * calendar.place[sessions.day]
    head = (stands * size).astype(np.int64)

    n = len(session)
    held = size[session]
    u = _varied(rng, sessions.user[session], shelf[session])
    v = flattened(u, options.item_tail)
    burst = (sessions.day == calendar.burst)[session]
    if burst.any():
        v[burst] = flattened(u[burst], options.burst_tail)
    rank = np.minimum((held * v).astype(np.int64), held - 1)
    # The newest item is at the moving head, those behind it are ever older.
    moving = rng.random(n) < options.novelty
    place: Ints = np.where(moving, (head[session] - rank) % held, rank)
    category = sessions.category[session]
    item = (
        catalogue.first_item[category]
        + place * catalogue.shelves[category]
        + sessions.shelf[session]
    )
    return category, shelf[session], item


def _varied(rng: np.random.Generator, user: Ints, shelf: Ints) -> Floats:
    """[R]: uniform in [0, 1), but spread out over the draws of one user at one shelf.

    Each draw is a golden section further than the one before, from a random start. Users so come
    upon ever other items, as one who knows an item looks for another; `_origins` plants returns.
    """
    order = np.argsort((user << 32) | shelf, kind="stable")
    key_changes = (np.diff(user[order], prepend=-1) != 0) | (np.diff(shelf[order], prepend=-1) != 0)
    first = np.flatnonzero(key_changes)
    count = np.arange(len(user)) - np.repeat(first, np.diff(first, append=len(user)))
    start = np.repeat(rng.random(len(first)), np.diff(first, append=len(user)))
    u = np.empty(len(user))
    u[order] = (start + count * GOLDEN) % 1.0
    return u


def _origins(rng: np.random.Generator, options: TwinOptions, position: Ints) -> Ints:
    """[R]: the row whose item each row has; its own number where the item is chosen anew.

    `position` [R] counts each user's rows from 0. A row that comes back points at one of the last
    `memory` rows, the nearer the likelier; that row may point further back itself.
    """
    n = len(position)
    back = ranks(rng, np.minimum(position, options.memory), 8) + 1
    comes_back = (rng.random(n) < options.repeat_share) & (position > 0)
    origin = np.arange(n) - np.where(comes_back, back, 0)
    while (further := origin[origin]).tobytes() != origin.tobytes():
        origin = further
    return origin


def _actions(rng: np.random.Generator, options: TwinOptions, repeat: NDArray[np.bool_]) -> Ints:
    """[R]: views, and other actions in their real shares, most of them on items seen before."""
    counts = np.array([rows for _, rows in BY_NAME[options.format].actions], np.int64)
    n, again = len(repeat), int(repeat.sum())
    wanted = (1 - counts[0] / counts.sum()) * n
    on_repeats = min(options.follow_share * wanted, float(again))
    chance = np.where(repeat, on_repeats / max(again, 1), (wanted - on_repeats) / max(n - again, 1))
    acted = rng.random(n) < chance
    action = np.zeros(n, np.int64)
    action[acted] = 1 + Lottery(counts[1:]).draw(rng, int(acted.sum()))
    return action


def _times(
    rng: np.random.Generator, options: TwinOptions, sessions: Sessions, session: Ints
) -> Ints:
    """[R]: seconds that grow within a session (taobao); else the day's index."""
    time = sessions.time[session]
    if options.format != "taobao":
        return time
    gap = 1 + (GAP * power(rng.random(len(session)), 2)).astype(np.int64)
    upto = np.cumsum(gap)
    within = upto - upto[sessions.first][session]
    # A session that would reach beyond the last day begins so much earlier.
    last = np.append(sessions.first[1:], len(session)) - 1
    late = np.maximum(sessions.time + within[last] - (TAOBAO_END - 1), 0)
    found: Ints = time + within - late[session]
    return found
