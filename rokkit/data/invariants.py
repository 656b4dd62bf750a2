"""What must hold of samples, whatever the source. Checked at every build."""

import itertools

import numpy as np
from numpy.typing import NDArray

from rokkit.data.assemble import Assembled, index_type
from rokkit.data.lines import SLICE
from rokkit.data.samples import PARTS, Part, PartName
from rokkit.data.schema import Schema
from rokkit.data.tuples import KnownTuples
from rokkit.errors import DataError
from rokkit.files import release, slices

_BEYOND = np.iinfo(np.int64).max  # later than every event


def check(made: Assembled) -> None:
    """Raise DataError that names the first invariant which `made` breaks."""
    for name, part in made.parts.items():
        check_part(made.schema, name, part)
    made.history.check(made.schema)
    if made.kind == "events":
        _check_balance(made)
    _check_disjoint(made)
    _check_time_order(made)
    _check_history_before_targets(made)
    _check_tuples_exist(made)


def check_part(schema: Schema, name: str, part: Part) -> None:
    """Ids lie in their field's range, labels are 0 or 1, rows lie in time order."""
    schema.check_ids(part.x, f"part {name!r}")
    for rows in slices(len(part), SLICE, part.y, part.time):
        labels = (part.y[rows] == 0) | (part.y[rows] == 1)
        _hold(bool(labels.all()), f"part {name!r} holds labels besides 0 and 1")
        # One row more, so that the step from slice to slice is looked at too.
        steps = np.diff(part.time[rows.start : rows.stop + 1])
        _hold(bool((steps >= 0).all()), f"part {name!r} is not in time order")


def _check_disjoint(made: Assembled) -> None:
    """No event is in two parts: above all, no target row is in the pool."""
    n_events = 1 + max(int(events.max()) for events in made.events.values())
    owner = np.full(n_events + 1, -1, np.int8)
    for code, name in enumerate(PARTS):
        events = made.events[name]
        for earlier in range(code):
            shared = np.unique(events[owner[events] == earlier])
            _hold(
                len(shared) == 0,
                f"{len(shared)} events are in both {PARTS[earlier]!r} and {name!r}",
            )
        owner[events] = code


def _check_time_order(made: Assembled) -> None:
    """Parts follow each other in time: for each user, or as a whole and then strictly."""
    first = {part: _extreme(made, part, np.minimum, _BEYOND) for part in PARTS}
    last = {part: _extreme(made, part, np.maximum, -1) for part in PARTS}
    for earlier, later in itertools.combinations(PARTS, 2):
        a, b = made.parts[earlier], made.parts[later]
        if made.scope == "global":
            _hold(int(a.time[-1]) < int(b.time[0]), f"{earlier!r} does not end before {later!r}")
        # Events are numbered in time order, ties in the order of the log.
        _hold(
            bool((last[earlier] < first[later]).all()),
            f"a user's {earlier!r} does not end before their {later!r}",
        )


def _check_history_before_targets(made: Assembled) -> None:
    """A history is its user's pool positives, oldest first, all before the user's first target."""
    history, events, user_field = made.history, made.history_events, made.schema.user_field
    owner = np.repeat(np.arange(user_field.size, dtype=np.int32), np.diff(history.offsets))
    first = np.minimum.reduce([_extreme(made, part, np.minimum, _BEYOND) for part in PARTS[1:]])
    _hold(
        bool((events < first[owner]).all()),
        "a history reaches up to or beyond its user's first target",
    )
    pool, broken = made.parts["pool"], "histories are not their users' pool positives, oldest first"
    # [events]: the pool line that has an event as its positive.
    line_of = np.full(1 + int(made.events["pool"].max()), -1, index_type(len(pool)))
    for rows in slices(len(pool), SLICE, pool.y):
        positive = np.flatnonzero(pool.y[rows] == 1)
        line_of[made.events["pool"][rows][positive]] = rows.start + positive
    _hold(int((line_of >= 0).sum()) == len(events), broken)
    columns = list(made.schema.item_columns)
    for rows in slices(len(events), SLICE, history.rows):
        held = events[rows]
        lines = np.where(held < len(line_of), line_of[np.minimum(held, len(line_of) - 1)], -1)
        x = pool.x[np.maximum(lines, 0)]
        users = x[:, made.schema.user_column] - user_field.offset
        ascending = np.diff(events[rows.start : rows.stop + 1]) > 0
        same_user = np.diff(owner[rows.start : rows.stop + 1]) == 0
        # Ascending within a user, as many as there are, each the user's own: exactly these.
        whole = (lines >= 0).all() and (users == owner[rows]).all()
        _hold(bool(whole and (ascending | ~same_user).all()), broken)
        _hold(
            bool((x[:, columns] == history.rows[rows]).all()),
            "a history holds other items than its user's pool positives",
        )
    release(pool.x)


def _check_tuples_exist(made: Assembled) -> None:
    """What a line shows of an item occurs in the log, a negative's too.

    All columns of the item tuple; only those that negatives take, where they take some.
    """
    places = [made.schema.item_columns.index(column) for column in made.replaced]
    known = KnownTuples(made.item_tuples[:, places])
    for name, part in made.parts.items():
        for rows in slices(len(part), SLICE, part.x):
            tuples = np.asarray(part.x[rows])[:, list(made.replaced)]
            strange = np.flatnonzero(~known.holds(tuples))
            shown = tuples[strange[:1]].tolist()
            _hold(
                not len(strange),
                f"part {name!r} holds an item tuple that is not in the log: {shown}",
            )


def _check_balance(made: Assembled) -> None:
    """One negative per positive: exactly in the pool, as closely as chance allows in targets."""
    for name, part in made.parts.items():
        n, positives = len(part), int(part.y.sum(dtype=np.int64))
        # Six standard deviations of a fair coin; a sub-sample breaks pairs, not the balance.
        slack = 0.0 if name == "pool" else 1 + 3 * n**0.5
        _hold(
            abs(positives - n / 2) <= slack,
            f"part {name!r} has {positives} positives in {n} rows; expected half",
        )


def _extreme(made: Assembled, part: PartName, pick: np.ufunc, start: int) -> NDArray[np.int64]:
    """[U]: the first or last event of each user in `part`; `start` where there is none."""
    lines, field = made.parts[part], made.schema.user_field
    found = np.full(field.size, start, np.int64)
    for rows in slices(len(lines), SLICE, lines.x):
        user = lines.x[rows, made.schema.user_column] - field.offset
        pick.at(found, user, made.events[part][rows])
    return found


def _hold(ok: bool, broken: str) -> None:
    if not ok:
        raise DataError(
            f"the samples break an invariant: {broken}. The source hands over rows that do not fit "
            "its roles or times; nothing was written."
        )
