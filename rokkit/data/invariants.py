"""What must hold of samples, whatever the source. Checked at every build."""

import itertools

import numpy as np
from numpy.typing import NDArray

from rokkit.data.assemble import Assembled
from rokkit.data.samples import PARTS, Part, PartName
from rokkit.data.schema import Schema
from rokkit.data.tuples import unique_tuples
from rokkit.errors import DataError


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
    _hold(bool(np.isin(part.y, [0, 1]).all()), f"part {name!r} holds labels besides 0 and 1")
    _hold(bool((np.diff(part.time) >= 0).all()), f"part {name!r} is not in time order")


def _check_disjoint(made: Assembled) -> None:
    """No event is in two parts: above all, no target row is in the pool."""
    for one, other in itertools.combinations(PARTS, 2):
        shared = np.intersect1d(made.events[one], made.events[other])
        _hold(len(shared) == 0, f"{len(shared)} events are in both {one!r} and {other!r}")


def _check_time_order(made: Assembled) -> None:
    """Parts follow each other in time: for each user, or as a whole and then strictly."""
    for earlier, later in itertools.combinations(PARTS, 2):
        a, b = made.parts[earlier], made.parts[later]
        if made.scope == "global":
            _hold(
                int(a.time.max()) < int(b.time.min()), f"{earlier!r} does not end before {later!r}"
            )
        # Events are numbered in time order, ties in the order of the log.
        last = _latest(made, earlier)
        first = _first_events(made, later)
        _hold(
            bool((last < first).all()), f"a user's {earlier!r} does not end before their {later!r}"
        )


def _check_history_before_targets(made: Assembled) -> None:
    """A history is its user's pool positives, all before the user's first target."""
    history, user_field = made.history, made.schema.user_field
    owner = np.repeat(np.arange(user_field.size), np.diff(history.offsets))
    first = np.minimum.reduce([_first_events(made, part) for part in PARTS[1:]])
    _hold(
        bool((made.history_events < first[owner]).all()),
        "a history reaches up to or beyond its user's first target",
    )
    pool, column = made.parts["pool"], made.schema.user_column
    positive = pool.y == 1
    pairs = np.stack([pool.x[positive, column] - user_field.offset, made.events["pool"][positive]])
    expected = pairs[:, np.lexsort((pairs[1], pairs[0]))]
    same = expected.shape[1] == len(owner) and bool(
        (expected == np.stack([owner, made.history_events])).all()
    )
    _hold(same, "histories are not their users' pool positives, oldest first")
    tuples = pool.x[positive][:, list(made.schema.item_columns)]
    _hold(
        bool((tuples[np.lexsort((pairs[1], pairs[0]))] == history.rows).all()),
        "a history holds other items than its user's pool positives",
    )


def _check_tuples_exist(made: Assembled) -> None:
    """Every item tuple, a negative's too, occurs in the log."""
    known = set(map(bytes, np.ascontiguousarray(made.item_tuples)))
    for name, part in made.parts.items():
        tuples, _ = unique_tuples(part.x, made.schema.item_columns)
        strange = [row.tolist() for row in tuples if bytes(row) not in known][:1]
        _hold(not strange, f"part {name!r} holds an item tuple that is not in the log: {strange}")


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


def _first_events(made: Assembled, part: PartName) -> NDArray[np.int64]:
    """[U]: the first event of each user in `part`; a number beyond all where there is none."""
    beyond = np.iinfo(np.int64).max
    return _extreme(made, part, np.minimum, beyond)


def _latest(made: Assembled, part: PartName) -> NDArray[np.int64]:
    """[U]: the last event of each user in `part`; -1 where there is none."""
    return _extreme(made, part, np.maximum, -1)


def _extreme(made: Assembled, part: PartName, pick: np.ufunc, start: int) -> NDArray[np.int64]:
    rows = made.parts[part]
    user = rows.x[:, made.schema.user_column] - made.schema.user_field.offset
    found = np.full(made.schema.user_field.size, start, np.int64)
    pick.at(found, user, made.events[part])
    return found


def _hold(ok: bool, broken: str) -> None:
    if not ok:
        raise DataError(
            f"the samples break an invariant: {broken}. The source hands over rows that do not fit "
            "its roles or times; nothing was written."
        )
