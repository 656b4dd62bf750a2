"""From log to samples: hand-computed cases and properties of the protocol."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from small_logs import (
    CATEGORY,
    CUTS,
    HAND_EVENTS,
    event_log,
    event_rows,
    impression_log,
    impression_rows,
)

from rokkit.data import GlobalShares, Shares, SourceOptions
from rokkit.data.assemble import Assembled, assemble
from rokkit.data.invariants import check
from rokkit.data.samples import PARTS
from rokkit.errors import DataError

EXAMPLES = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def made(log: Any, **options: Any) -> Assembled:
    return assemble("hand", log, SourceOptions(**options))


def same(a: Assembled, b: Assembled) -> bool:
    parts = all(
        np.array_equal(getattr(a.parts[p], k), getattr(b.parts[p], k))
        for p in PARTS
        for k in ("x", "y", "time")
    )
    return parts and np.array_equal(a.history.rows, b.history.rows)


def test_ids_follow_sorted_values_through_all_fields() -> None:
    schema = made(event_log(HAND_EVENTS)).schema
    # a b | 10 11 12 13 | x y | 1 2, numbered from 1.
    assert [(f.name, f.offset, f.size) for f in schema.fields] == [
        ("user", 1, 2),
        ("item", 3, 4),
        ("cat", 7, 2),
        ("shop", 9, 2),
    ]
    assert schema.n_ids == 11


def test_event_log_by_hand() -> None:
    out = made(event_log(HAND_EVENTS))
    pool = out.parts["pool"]
    # Time order, ties in file order: (a,10,t1) (b,11,t5) (a,12,t5) (a,10,t5); negatives between.
    np.testing.assert_array_equal(
        pool.x[::2], [[1, 3, 7, 9], [2, 4, 8, 9], [1, 5, 8, 10], [1, 3, 7, 9]]
    )
    np.testing.assert_array_equal(pool.y, [1, 0] * 4)
    np.testing.assert_array_equal(pool.time, [1, 1, 5, 5, 5, 5, 5, 5])
    np.testing.assert_array_equal(out.parts["train"].x[::2], [[2, 3, 7, 9], [1, 4, 8, 10]])
    np.testing.assert_array_equal(out.parts["val"].x[::2], [[2, 5, 8, 9]])
    np.testing.assert_array_equal(out.parts["test"].x[::2], [[1, 6, 7, 9]])
    # Unique tuples of the whole log, the one that only test has included.
    np.testing.assert_array_equal(out.item_tuples, [[3, 7], [4, 8], [5, 8], [6, 7]])


def test_histories_by_hand() -> None:
    history = made(event_log(HAND_EVENTS)).history
    # User a: 10, 12, 10, repeats kept, oldest first; user b: 11. Nothing of train and later.
    np.testing.assert_array_equal(history.of(0), [[3, 7], [5, 8], [3, 7]])
    np.testing.assert_array_equal(history.of(1), [[4, 8]])


@pytest.mark.parametrize("seed", range(5))
def test_history_negatives_come_from_the_own_pool_history(seed: int) -> None:
    train = made(event_log(HAND_EVENTS, share=1.0), seed=seed).parts["train"]
    # b's only pool behaviour is item 11 (ids 4, 8); user and shop stay the positive's.
    np.testing.assert_array_equal(train.x[1], [2, 4, 8, 9])
    assert train.x[3].tolist() in ([1, 3, 7, 10], [1, 5, 8, 10])


def test_user_without_pool_rows_gets_an_empty_history_and_uniform_negatives() -> None:
    late = [("c", 10, 1, 15)] * 400
    out = made(event_log([*HAND_EVENTS, *late], share=1.0))
    assert len(out.history.of(2)) == 0
    train = out.parts["train"].x
    drawn = train[(train[:, 0] == 3) & (np.arange(len(train)) % 2 == 1)]
    counts = np.unique(drawn[:, 1], return_counts=True)[1]
    # 400 draws over 4 tuples: 100 each, standard deviation 8.7.
    assert len(counts) == 4
    assert abs(counts - 100).max() < 45


def test_shares_of_the_two_kinds_of_negatives() -> None:
    """Kills: popularity-weighted uniform draws, histories without multiplicity, a fixed share."""
    pool = [("a", 10, 1, 1)] * 3 + [("a", 11, 1, 2)] + [("b", 12, 1, 3)] * 4000
    targets = [("a", 13, 1, 15)] * 8000 + [("a", 13, 1, 25), ("a", 13, 1, 35)]
    out = made(event_log(pool + targets, share=0.5))
    items = out.parts["train"].x[1::2, 1] - out.schema.fields[1].offset
    share = np.bincount(items, minlength=4) / len(items)
    # Half from the history (10: 3/4, 11: 1/4), half uniform over four tuples; sd .0056 at most.
    np.testing.assert_allclose(share, [0.5, 0.25, 0.125, 0.125], atol=0.028)
    pool_items = out.parts["pool"].x[1::2, 1] - out.schema.fields[1].offset
    np.testing.assert_allclose(np.bincount(pool_items) / len(pool_items), 0.25, atol=0.035)


def test_whole_tuple_is_replaced() -> None:
    """Kills the id-and-category leak: an item shown with a category it never has."""
    rows = [("a", 10 + i % 4, 1, i % 40) for i in range(400)]
    out = made(event_log(rows))
    item, cat = out.schema.fields[1], out.schema.fields[2]
    for part in out.parts.values():
        for _, i, c, _ in part.x:
            assert CATEGORY[10 + i - item.offset] == "xy"[c - cat.offset]


def test_per_user_split_by_hand() -> None:
    # 10 rows of a: edges 7, 8.5 -> 9, 9 (halves up): pool 7, train 2, val 0, test 1.
    # 20 rows of b: 14, 17, 18: pool 14, train 3, val 1, test 2.
    rows = [("a", 10, 1, t, t % 2) for t in range(10)]
    rows += [("b", 11, 1, t, (t + t // 17) % 2) for t in range(100, 120)]
    rows += [("c", 12, 1, t, t % 2) for t in range(50, 90)]  # 28, 6, 2, 4
    parts = made(impression_log(rows)).parts
    sizes = {p: np.bincount(parts[p].x[:, 0], minlength=4)[1:].tolist() for p in PARTS}
    assert sizes == {
        "pool": [7, 14, 28],
        "train": [2, 3, 6],
        "val": [0, 1, 2],
        "test": [1, 2, 4],
    }
    assert parts["train"].time.tolist() == [7, 8, *range(78, 84), 114, 115, 116]


def test_ties_of_a_user_keep_the_order_of_the_log() -> None:
    rows = [("a", 10 + i % 4, 1, 7, i % 2) for i in range(40)]
    parts = made(impression_log(rows)).parts
    items = np.concatenate([parts[p].x[:, 1] for p in PARTS])
    np.testing.assert_array_equal(items, [2 + i % 4 for i in range(40)])


def test_histories_of_impressions_hold_positives_only() -> None:
    rows = [("a", 10 + i % 4, 1, i, i % 2) for i in range(40)]
    history = made(impression_log(rows)).history
    # 28 pool rows; items 11 and 13 (ids 3, 5) are the positives.
    assert history.of(0)[:, 0].tolist() == [3, 5] * 7


def test_global_split_keeps_equal_times_together() -> None:
    # 20 rows; the edges 14, 17, 18 fall at times 5, 7, 7 -> val would be empty; so spread them.
    times = [0] * 10 + [3] * 6 + [4, 4, 5, 6]
    rows = [("a", 10 + i % 4, 1, t, i % 2) for i, t in enumerate(times)]
    shares = Shares(pool=0.7, train=0.1, val=0.1, test=0.1)
    out = GlobalShares(shares).assign(np.zeros(20, np.int64), np.array(times))
    # Edges 14, 16, 18 are the times 3, 4, 5: the six rows at 3 go to train as one.
    assert out.tolist() == [0] * 10 + [1] * 6 + [2] * 2 + [3] * 2
    assert len(made(impression_log(rows, GlobalShares(shares))).parts["pool"]) == 10


def test_subsampling_takes_exactly_so_many_and_leaves_the_rest_alone() -> None:
    rows = [("ab"[i % 2], 10 + i % 4, 1, i % 40) for i in range(800)]
    whole, cut = made(event_log(rows)), made(event_log(rows), test_rows=50)
    assert len(cut.parts["test"]) == 50
    for part in ("pool", "train", "val"):
        np.testing.assert_array_equal(whole.parts[part].x, cut.parts[part].x)
    assert cut.dropped == (("test lines outside the sub-sample", 350),)
    kept = set(map(tuple, np.c_[cut.events["test"], cut.parts["test"].y]))
    assert kept <= set(map(tuple, np.c_[whole.events["test"], whole.parts["test"].y]))


def test_target_rate_keeps_lines_independently() -> None:
    rows = [("ab"[i % 2], 10 + i % 4, 1, i % 40) for i in range(8000)]
    train = made(event_log(rows), target_rate=0.25)
    n = len(train.parts["train"])
    assert abs(n - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5
    # Pairs break: an event with both lines kept has probability 1/7 among those with any.
    both = np.unique(train.events["train"], return_counts=True)[1]
    assert 0.08 < (both == 2).mean() < 0.21
    assert len(train.parts["pool"]) == 4000


def test_users_subsample_is_seeded_and_counts_what_it_leaves_out() -> None:
    rows = [("abcdefgh"[i % 8], 10 + i % 4, 1, (i // 8) % 40) for i in range(640)]
    one, again, other = (made(event_log(rows), users=3, seed=s) for s in (1, 1, 4))
    assert one.schema.user_field.size == 3
    assert one.dropped == (("rows of users outside the sub-sample of 3", 400),)
    assert one.vocabularies[0] == again.vocabularies[0] != other.vocabularies[0]


@EXAMPLES
@given(rows=event_rows(), share=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 9))
def test_invariants_hold_for_event_logs(rows: Any, share: float, seed: int) -> None:
    check(made(event_log(rows, share), seed=seed))


@EXAMPLES
@given(rows=impression_rows(), split=st.sampled_from(["user", "global"]))
def test_invariants_hold_for_impression_logs(rows: Any, split: str) -> None:
    shares = Shares(pool=0.4, train=0.2, val=0.2, test=0.2)
    log = impression_log(rows, GlobalShares(shares) if split == "global" else None)
    try:
        out = made(log)
    except DataError as refused:  # all rows at a few times, or one label only
        assume("part" not in str(refused) and "pool" not in str(refused))
        raise
    check(out)


@EXAMPLES
@given(rows=event_rows(), seed=st.integers(0, 9))
def test_same_options_give_the_same_samples(rows: Any, seed: int) -> None:
    assert same(made(event_log(rows), seed=seed), made(event_log(rows), seed=seed))


@EXAMPLES
@given(rows=event_rows(distinct_times=True), data=st.data())
def test_order_of_rows_does_not_matter_when_times_differ(rows: Any, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    assert same(made(event_log(rows)), made(event_log(shuffled)))


@EXAMPLES
@given(rows=event_rows())
def test_every_event_is_a_positive_of_exactly_one_part(rows: Any) -> None:
    out = made(event_log(rows))
    values = [v.values for v in out.vocabularies]
    offsets = [f.offset for f in out.schema.fields]
    seen = [
        (*(values[c][i - offsets[c]] for c, i in enumerate(x)), int(t))
        for part in out.parts.values()
        for x, y, t in zip(part.x, part.y, part.time, strict=True)
        if y
    ]
    assert sorted(seen) == sorted((u, i, CATEGORY[i], s, t) for u, i, s, t in rows)


@EXAMPLES
@given(rows=event_rows())
def test_histories_equal_a_plain_loop(rows: Any) -> None:
    out = made(event_log(rows))
    users = out.vocabularies[0].values
    item = out.schema.fields[1]
    for u, name in enumerate(users):
        in_order = sorted(
            (r for r in rows if r[0] == name and r[3] < CUTS.train), key=lambda r: r[3]
        )
        expected = [out.vocabularies[1].values.index(r[1]) + item.offset for r in in_order]
        assert out.history.of(u)[:, 0].tolist() == expected


@EXAMPLES
@given(rows=event_rows())
def test_negatives_copy_user_context_and_time(rows: Any) -> None:
    out = made(event_log(rows))
    for part in out.parts.values():
        np.testing.assert_array_equal(part.x[::2][:, [0, 3]], part.x[1::2][:, [0, 3]])
        np.testing.assert_array_equal(part.time[::2], part.time[1::2])


def _changed(out: Assembled, part: Any, **arrays: Any) -> Assembled:
    new = dataclasses.replace(out.parts[part], **arrays)
    return dataclasses.replace(out, parts={**out.parts, part: new})


def _break(out: Assembled, how: str) -> Assembled:
    """`out` with one thing made wrong."""
    pool, train = out.parts["pool"], out.parts["train"]
    x = pool.x.copy()
    if how == "id out of range":
        x[0, 3] = out.schema.n_ids
        return _changed(out, "pool", x=x)
    if how == "id of another field":
        x[0, 1] = 1
        return _changed(out, "pool", x=x)
    if how == "padding id":
        x[0, 0] = 0
        return _changed(out, "pool", x=x)
    if how == "label":
        return _changed(out, "pool", y=pool.y + 1)
    if how == "balance":
        return _changed(out, "pool", y=np.ones_like(pool.y))
    if how == "tuple":
        x[1, 1:3] = [3, 8]  # item 10 with category y
        return _changed(out, "pool", x=x)
    if how == "order in a part":
        return _changed(out, "pool", time=pool.time[::-1].copy())
    if how == "order of parts":
        return _changed(out, "train", time=np.full_like(train.time, pool.time[-1]))
    if how == "target in the pool":
        events = {**out.events, "train": np.repeat(out.events["pool"][[0, 2]], 2)}
        return dataclasses.replace(out, events=events)
    if how == "late history":
        late = out.history_events.copy()
        late[-1] = out.events["test"].max()
        return dataclasses.replace(out, history_events=late)
    if how == "history of another user":
        history = dataclasses.replace(out.history, offsets=np.array([0, 1, 4]))
        return dataclasses.replace(out, history=history)
    if how == "history item":
        rows = out.history.rows.copy()
        rows[0] = out.item_tuples[3]
        return dataclasses.replace(out, history=dataclasses.replace(out.history, rows=rows))
    assert how == "history id"
    rows = out.history.rows + 40
    return dataclasses.replace(out, history=dataclasses.replace(out.history, rows=rows))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("id out of range", "field 'shop' holds ids 9..11; expected 9..10"),
        ("id of another field", "field 'item' holds ids 1"),
        ("padding id", "field 'user' holds ids 0"),
        ("label", "labels besides 0 and 1"),
        ("balance", "8 positives in 8 rows; expected half"),
        ("tuple", r"not in the log: \[\[3, 8\]\]"),
        ("order in a part", "'pool' is not in time order"),
        ("order of parts", "'pool' does not end before 'train'"),
        ("target in the pool", "2 events are in both 'pool' and 'train'"),
        ("late history", "reaches up to or beyond"),
        ("history of another user", "not their users' pool positives"),
        ("history item", "other items than its user's pool positives"),
        ("history id", "outside field 'item'"),
    ],
)
def test_broken_invariants_are_found(how: str, message: str) -> None:
    out = made(event_log(HAND_EVENTS))
    check(out)
    with pytest.raises(DataError, match=message):
        check(_break(out, how))


def test_a_user_whose_test_precedes_their_pool_is_found() -> None:
    """Per-user order is checked between all parts, also where a user has no train rows."""
    rows = [("ab"[i % 2], 10, 1, i, (i // 2) % 2) for i in range(80)]
    out = made(impression_log(rows))
    check(out)
    events = {**out.events, "test": np.full_like(out.events["test"], -1)}
    with pytest.raises(DataError, match="'pool' does not end before their 'test'"):
        check(dataclasses.replace(out, events=events))
