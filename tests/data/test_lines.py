"""Lines and what they are made of: written in slices or at once, on disk or in memory."""

import dataclasses
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_logs import CUTS, HAND_EVENTS, event_log, event_rows, impression_log

from rokkit.data import LogField, Negatives, SourceOptions, invariants, lines, schema, vocabulary
from rokkit.data import assemble as assembling
from rokkit.data import card as cards
from rokkit.data.assemble import Assembled, assemble
from rokkit.data.lines import Drawn, Events, Lines
from rokkit.data.negatives import Draw
from rokkit.data.samples import PARTS, Part
from rokkit.data.schema import Field, Schema
from rokkit.data.splits import DROPPED, LeaveLast
from rokkit.data.tuples import KnownTuples, unique_tuples
from rokkit.data.vocabulary import encode
from rokkit.errors import ArtefactError, ConfigError
from rokkit.files import collect_array

EXAMPLES = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def events(n: int) -> Events:
    x = np.asfortranarray(np.arange(3 * n, dtype=np.int32).reshape(n, 3))
    return Events(x=x, y=(np.arange(n) % 3 == 0).astype(np.int8), time=10 * np.arange(n))


def with_negatives(n: int, rows: list[int]) -> Lines:
    drawn = Drawn(
        index=np.arange(len(rows)) % 2,
        tuples=np.array([[-1, -2], [-3, -4]], np.int32),
        columns=(2, 0),
    )
    return Lines(events(n), np.array(rows, np.int64), drawn)


def same_part(one: Part, other: Part) -> None:
    for kind in ("x", "y", "time"):
        a, b = getattr(one, kind), getattr(other, kind)
        assert a.dtype == b.dtype
        assert a.flags.c_contiguous
        np.testing.assert_array_equal(a, b)


def test_lines_by_hand() -> None:
    some = with_negatives(5, [1, 4])
    assert (len(some), some.per_event) == (4, 2)
    whole = some.take(np.arange(4))
    # Event 1 is [3, 4, 5]; its negative takes tuple 0 into columns 2 and 0, the next one tuple 1.
    assert whole.x.tolist() == [[3, 4, 5], [-2, 4, -1], [12, 13, 14], [-4, 13, -3]]
    assert whole.y.tolist() == [1, 0, 1, 0]
    assert whole.time.tolist() == [10, 10, 40, 40]
    assert some.events(np.arange(4)).tolist() == [1, 1, 4, 4]
    assert some.take(np.array([3, 0])).x.tolist() == [[-4, 13, -3], [3, 4, 5]]


def test_lines_without_negatives_keep_their_labels() -> None:
    some = Lines(events(5), np.array([0, 3, 4]))
    assert (len(some), some.per_event) == (3, 1)
    part = some.take(np.arange(3))
    assert part.x.tolist() == [[0, 1, 2], [9, 10, 11], [12, 13, 14]]
    assert part.y.tolist() == [1, 1, 0]
    assert part.time.tolist() == [0, 30, 40]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("rows", [[], [2], [0, 1, 2, 3, 5, 8]])
@pytest.mark.parametrize("negatives", [False, True])
def test_slices_on_disk_and_in_memory_are_what_take_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, rows: list[int], negatives: bool
) -> None:
    monkeypatch.setattr(lines, "SLICE", size)
    some = with_negatives(9, rows)
    if not negatives:
        some = dataclasses.replace(some, drawn=None)
    whole = some.take(np.arange(len(some)))
    same_part(some.write(None, "pool"), whole)
    written = some.write(tmp_path, "pool")
    same_part(written, whole)
    assert sorted(os.listdir(tmp_path)) == ["pool_time.npy", "pool_x.npy", "pool_y.npy"]
    if rows:
        assert isinstance(written.x, np.memmap)
    for kind in ("x", "y", "time"):
        np.testing.assert_array_equal(
            np.load(tmp_path / f"pool_{kind}.npy"), getattr(whole, kind), strict=True
        )


SMALL = [(assembling, 3), (lines, 5), (invariants, 3), (cards, 2), (vocabulary, 4)]


def small_slices(patch: pytest.MonkeyPatch, widest: int) -> None:
    for module, size in SMALL:
        patch.setattr(module, "SLICE", size)
    patch.setattr(schema, "_ROWS_AT_ONCE", 3)
    patch.setattr(vocabulary, "WIDEST_TABLE", widest)


def parts(out: Assembled) -> Iterator[Any]:
    for part in PARTS:
        yield from (out.parts[part].x, out.parts[part].y, out.parts[part].time, out.events[part])
    yield from (out.history.offsets, out.history.rows, out.history_events, out.item_tuples)


@EXAMPLES
@given(rows=event_rows(), seed=st.integers(0, 3), widest=st.sampled_from([1, 1 << 27]))
def test_small_slices_give_the_same_samples(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, seed: int, widest: int
) -> None:
    options = SourceOptions(seed=seed, target_rate=0.9)
    numbered = [({"a": -(2**40), "b": 3, "c": 4, "d": 2**60}[u], *rest) for u, *rest in rows]
    try:
        whole = assemble("hand", event_log(numbered), options)
    except ValueError:  # the sub-sample left a part with one label
        return
    invariants.check(whole)
    with pytest.MonkeyPatch.context() as patch:
        small_slices(patch, widest)
        folder = tmp_path_factory.mktemp("slices")
        sliced = assemble("hand", event_log(numbered), options, folder)
        invariants.check(sliced)
        facts = [
            cards.data_card("hand", event_log(numbered), one, options={}, source_files={})
            for one in (whole, sliced)
        ]
    assert facts[0] == facts[1]
    assert sliced.vocabularies == whole.vocabularies
    for a, b in zip(parts(whole), parts(sliced), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("how", ["tuple", "order in a part", "history item", "history order"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_broken_invariants_are_found_at_the_seams_too(
    monkeypatch: pytest.MonkeyPatch, how: str, size: int
) -> None:
    """What is wrong lies in a later slice, or between two of them."""
    out = assemble("hand", event_log(HAND_EVENTS), SourceOptions())
    monkeypatch.setattr(invariants, "SLICE", size)
    invariants.check(out)
    pool, history = out.parts["pool"], out.history
    messages = {
        "tuple": r"not in the log: \[\[3, 8\]\]",
        "order in a part": "'pool' is not in time order",
        "history item": "other items than its user's",
        "history order": "oldest first",
    }
    if how == "tuple":
        pool.x[7, 1:3] = [3, 8]
    elif how == "order in a part":
        pool.time[6:] = 4  # one step back, between the lines 5 and 6
    elif how == "history item":
        history.rows[3] = [3, 7]
    else:
        out.history_events[[1, 2]] = out.history_events[[2, 1]]
        history.rows[[1, 2]] = history.rows[[2, 1]]
    with pytest.raises(ValueError, match=messages[how]):
        invariants.check(out)


@EXAMPLES
@given(
    values=st.lists(
        st.sampled_from([-(2**61), -7, -6, 0, 1, 2, 9, 2**61]), min_size=1, max_size=30
    ),
    size=st.integers(1, 9),
    widest=st.sampled_from([1, 10, 1 << 27]),
)
def test_numbers_get_the_ids_of_their_order_by_table_or_by_sorting(
    values: list[int], size: int, widest: int
) -> None:
    table = pd.DataFrame({"item": np.array(values, np.int64)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "SLICE", size)
        patch.setattr(vocabulary, "WIDEST_TABLE", widest)
        x, (found,) = encode(table, (LogField("item", "item"),))
    assert found.values == tuple(sorted(set(values)))
    assert all(type(value) is int for value in found.values)
    assert x[:, 0].tolist() == [1 + sorted(set(values)).index(value) for value in values]
    as_objects, (again,) = encode(table.astype(object), (LogField("item", "item"),))
    assert again == found
    np.testing.assert_array_equal(as_objects, x)


@EXAMPLES
@given(data=st.data(), columns=st.integers(1, 4))
def test_known_tuples_agree_with_a_set(data: st.DataObject, columns: int) -> None:
    one = st.tuples(*[st.sampled_from([1, 2, 3, 2**31 - 1])] * columns)
    held = data.draw(st.sets(one, min_size=1, max_size=12))
    asked = data.draw(st.lists(one | st.tuples(*[st.integers(-5, 9)] * columns), max_size=20))
    asked += held
    known = KnownTuples(np.array(data.draw(st.permutations(sorted(held))), np.int32))
    found = known.holds(np.array(asked, np.int32).reshape(-1, columns))
    assert found.tolist() == [one in held for one in asked]
    assert known.holds(np.empty((0, columns), np.int32)).tolist() == []


@EXAMPLES
@given(rows=st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=30))
def test_unique_tuples_are_those_of_a_set(rows: list[tuple[int, ...]]) -> None:
    x = np.array(rows, np.int32)
    tuples, index = unique_tuples(x, (2, 0))
    assert tuples.tolist() == [list(t) for t in sorted({(c, a) for a, _, c in rows})]
    np.testing.assert_array_equal(tuples[index], x[:, [2, 0]])


@pytest.mark.parametrize("shape", [(0,), (7,), (7, 3), (0, 3)])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_an_array_is_the_same_on_disk_and_in_memory(
    tmp_path: Path, shape: tuple[int, ...], size: int
) -> None:
    wanted = np.arange(np.prod(shape)).reshape(shape).astype(np.int32)

    def slices() -> Iterator[Any]:
        for i in range(0, len(wanted), size):
            yield np.asfortranarray(wanted[i : i + size].astype(np.int64))

    path = tmp_path / "a.npy"
    for found in (
        collect_array(None, shape, np.int32, slices()),
        collect_array(path, shape, np.int32, slices()),
        np.load(path),
    ):
        np.testing.assert_array_equal(found, wanted, strict=True)
    assert os.listdir(tmp_path) == ["a.npy"]


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ([(2, 3)], "the slices have 2 rows; expected 4"),
        ([], "the slices have 0 rows; expected 4"),
        ([(2, 3), (3, 3)], "the slices have 5 rows; expected 4|could not broadcast"),
        ([(2, 3), (2, 1)], r"a slice has rows of shape \(1,\); expected \(3,\)"),
        ([(12,)], r"rows of shape \(\)"),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_slices_that_do_not_add_up_are_refused(
    tmp_path: Path, slices: list[tuple[int, ...]], message: str, on_disk: bool
) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"kept")
    made = (np.zeros(shape, np.int32) for shape in slices)
    with pytest.raises(ValueError, match=message):
        collect_array(path if on_disk else None, (4, 3), np.int32, made)
    assert os.listdir(tmp_path) == ["a.npy"]
    assert path.read_bytes() == b"kept"


@pytest.mark.parametrize("when", ["slice", "rename", "other"])
def test_a_failure_leaves_nothing_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def slices() -> Iterator[Any]:
        yield np.zeros((2, 3), np.int32)
        if when == "slice":
            full()
        if when == "other":
            raise KeyError("of the source")
        yield np.zeros((2, 3), np.int32)

    if when == "rename":
        monkeypatch.setattr(os, "replace", full)
    expected = KeyError if when == "other" else ArtefactError
    with pytest.raises(expected, match="of the source" if when == "other" else "no space left"):
        collect_array(tmp_path / "a.npy", (4, 3), np.int32, slices())
    assert os.listdir(tmp_path) == []


def test_the_last_three_rows_of_a_user_are_train_val_and_test() -> None:
    user = np.array([0, 1, 0, 2, 0, 1, 0, 1, 0, 2, 2, 3, 2])
    part = LeaveLast().assign(user, np.arange(13))
    # User 0 has five rows, 1 has three, 2 has four, 3 has one.
    by_user = {u: part[user == u].tolist() for u in range(4)}
    assert by_user == {
        0: [0, 0, 1, 2, 3],
        1: [DROPPED] * 3,
        2: [0, 1, 2, 3],
        3: [DROPPED],
    }
    assert part.dtype == np.int8
    assert LeaveLast().scope == "user"


@EXAMPLES
@given(user=st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_leaving_the_last_agrees_with_a_plain_loop(user: list[int]) -> None:
    part = LeaveLast().assign(np.array(user), np.zeros(len(user), np.int64))
    for u in set(user):
        rows = [i for i, v in enumerate(user) if v == u]
        names = [PARTS[part[i]] for i in rows if part[i] != DROPPED]
        expected = [*["pool"] * (len(rows) - 3), "train", "val", "test"] if len(rows) > 3 else []
        assert names == expected


TUPLES = np.array([[3, 7, 9], [4, 8, 10], [5, 8, 9]], np.int32)
SHOP = Schema(
    name="shop",
    fields=(
        Field(name="user", role="user", offset=1, size=2),
        Field(name="item", role="item", offset=3, size=4),
        Field(name="cat", role="item", offset=7, size=2),
        Field(name="seller", role="item", offset=9, size=2),
    ),
    retrieval=("user",),
)


def draw(how: Negatives, seed: int = 0) -> Draw:
    """User 0 has the tuples 1, 1, 2 in the pool; user 1 none."""
    return Draw(how, SHOP, TUPLES, np.array([0, 3, 3]), np.array([1, 1, 2]), seed)


def test_a_negative_takes_the_whole_tuple_or_only_some_fields() -> None:
    user = np.zeros(50, np.int64)
    whole, some = (
        draw(Negatives())("train", user),
        draw(Negatives(only=("seller", "item")))("train", user),
    )
    assert whole.columns == (1, 2, 3)
    np.testing.assert_array_equal(whole.tuples, TUPLES)
    assert some.columns == (3, 1)
    np.testing.assert_array_equal(some.tuples, TUPLES[:, [2, 0]])
    np.testing.assert_array_equal(whole.index, some.index)  # the same draws


def test_negatives_of_unknown_fields_are_named() -> None:
    with pytest.raises(ConfigError, match=r"field 'itm' is not known\. Did you mean 'item'"):
        draw(Negatives(only=("itm",)))


def test_each_part_draws_for_itself() -> None:
    user = np.array([0, 1] * 3000)
    one, again = draw(Negatives(history_share=1.0)), draw(Negatives(history_share=1.0))
    train = one("train", user).index
    np.testing.assert_array_equal(one("train", user).index, train)
    again("val", user)  # what other parts draw changes nothing
    np.testing.assert_array_equal(again("train", user).index, train)
    assert (train != one("test", user).index).any()
    # The user with a history: only from it, two to one; the other: uniform, as is all of the pool.
    own = np.bincount(train[::2], minlength=3) / 3000
    np.testing.assert_allclose(own, [0, 2 / 3, 1 / 3], atol=0.045)
    for index in (train[1::2], one("pool", user).index[::2]):
        np.testing.assert_allclose(np.bincount(index) / 3000, 1 / 3, atol=0.045)


def test_ties_go_by_user_if_a_log_says_so() -> None:
    rows = [("b", 10, 1, 5), ("a", 12, 1, 5), ("b", 11, 1, 5), ("a", 10, 1, 5), ("b", 13, 1, 1)]
    rows += [("a", 10, 1, t) for t in (15, 25, 35)]
    log = event_log(rows)
    out = assemble("hand", log, SourceOptions())
    assert out.parts["pool"].x[::2, :2].tolist() == [[2, 6], [2, 3], [1, 5], [2, 4], [1, 3]]
    by_user = assemble("hand", dataclasses.replace(log, ties="user"), SourceOptions())
    assert by_user.parts["pool"].x[::2, :2].tolist() == [[2, 6], [1, 5], [1, 3], [2, 3], [2, 4]]


@EXAMPLES
@given(
    rows=event_rows(),
    stretch=st.sampled_from([1, 10**16, 2**57]),
    kind=st.sampled_from(["events", "impressions"]),
)
def test_ties_by_user_agree_with_sorting_pairs(rows: Any, stretch: int, kind: str) -> None:
    """Also for times so far apart that time and user do not fit into one number."""
    zero = 2**62 if stretch > 10**16 else 0
    far = [(u, i, s, t * stretch - zero) for u, i, s, t in rows]
    cuts = dataclasses.replace(
        CUTS, **{p: getattr(CUTS, p) * stretch - zero for p in ("train", "val", "test")}
    )
    if kind == "impressions":
        labelled = [row for r in far for row in ((*r, 1), (*r, 0))]
        log: Any = impression_log(labelled, cuts)
    else:
        labelled, log = [(*r, 1) for r in far], event_log(far, split=cuts)
    out = assemble("hand", dataclasses.replace(log, ties="user"), SourceOptions())
    expected = sorted(labelled, key=lambda r: (r[3], r[0]))
    step = 1 if kind == "impressions" else 2
    users, items = out.vocabularies[0].values, out.vocabularies[1]
    found = []
    for part in PARTS:
        x, y, time = (getattr(out.parts[part], k)[::step] for k in ("x", "y", "time"))
        found += [
            (users[row[0] - 1], items.values[row[1] - items.field.offset], int(t), int(label))
            for row, label, t in zip(x, y, time, strict=True)
        ]
    assert found == [(u, i, t, label) for u, i, _, t, label in expected]
