"""load: built once, opened ever after; damage, full disks and bad input are named."""

import dataclasses
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_logs import FIELDS, HAND_EVENTS, event_log, frame, impression_log, origin

from rokkit import files
from rokkit.data import (
    CutPoints,
    EventLog,
    LogField,
    PerUser,
    Shares,
    Source,
    SourceOptions,
    list_sources,
    load,
    location,
    plan,
    register_source,
)
from rokkit.data.sources import REGISTRY
from rokkit.errors import ArtefactError, ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class HandOptions(SourceOptions):
    path: str | None = location()
    share: float = 0.5
    test_from: int = 30


class Hand(Source):
    """HAND_EVENTS, or the rows of a csv file."""

    Options = HandOptions

    def files(self, options: HandOptions) -> Mapping[str, Path]:
        return {} if options.path is None else {"log.csv": Path(options.path)}

    def read(self, options: HandOptions) -> EventLog:
        split = CutPoints(train=10, val=20, test=options.test_from)
        if options.path is None:
            return event_log(HAND_EVENTS, options.share, split)
        rows = pd.read_csv(options.path).itertuples(index=False, name=None)
        return event_log(list(rows), options.share, split)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data root of its own, with the source `hand` registered."""
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
    register_source("hand", title="Made by hand")(Hand)
    yield tmp_path / "data" / "samples"
    REGISTRY.remove("hand")


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


def test_second_load_reads_what_the_first_wrote(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load("hand")
    monkeypatch.setattr(Hand, "read", lambda *_: pytest.fail("built twice"))
    second = load("hand")
    assert visible(place) == [f"hand-{first.fingerprint[:12]}"]
    assert second.schema == first.schema
    assert second.card == first.card
    np.testing.assert_array_equal(second.pool.x, first.pool.x)
    np.testing.assert_array_equal(second.item_tuples, [[3, 7], [4, 8], [5, 8], [6, 7]])
    assert isinstance(second.pool.x, np.memmap)
    assert [second.pool.x.dtype, second.pool.y.dtype, second.pool.time.dtype] == [
        np.int32,
        np.int8,
        np.int64,
    ]


def test_card_by_hand() -> None:
    card = load("hand", share=0.25).card
    assert card["parts"]["pool"] == {
        "rows": 8,
        "positives": 4,
        "positive_rate": 0.5,
        "time_first": 1,
        "time_last": 5,
        "users": 2,
        "items": len(np.unique(load("hand", share=0.25).pool.x[:, 1])),
    }
    keys = ("users", "items", "item_tuples", "fields", "features", "samples", "rows_read", "kind")
    assert [card[k] for k in keys] == [2, 4, 4, 4, 10, 16, 8, "events"]
    assert card["history"] == {
        "mean": 2.0,
        "p50": 2.0,
        "p95": pytest.approx(2.9),
        "empty_share": 0.0,
    }
    assert card["options"]["share"] == 0.25
    assert "path" not in card["options"]
    assert card["time_unit"] == "ticks"
    assert card["licence_note"] == "made for a test"


def test_per_user_split_says_what_the_pool_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("ab"[i % 2], 10, 1, i, (i // 2) % 2) for i in range(80)]
    monkeypatch.setattr(Hand, "read", lambda *_: impression_log(rows))
    assert any("other users' rows" in note for note in load("hand").card["notes"])


def test_raw_values_come_back() -> None:
    samples = load("hand")
    shown = samples.raw(samples.pool.x[::2])
    assert shown.to_numpy().tolist() == [
        ["a", "10", "x", "1"],
        ["b", "11", "y", "1"],
        ["a", "12", "y", "2"],
        ["a", "10", "x", "1"],
    ]
    np.testing.assert_array_equal(samples.user_index(samples.pool.x[::2]), [0, 1, 0, 0])


def test_fingerprint_follows_options_version_and_content_but_not_places(tmp_path: Path) -> None:
    def print_of(**options: Any) -> str:
        return plan("hand", options).fingerprint

    table = frame(HAND_EVENTS)[["user", "item", "shop", "time"]]
    one, two, other = tmp_path / "one.csv", tmp_path / "two.csv", tmp_path / "other.csv"
    table.to_csv(one, index=False)
    table.to_csv(two, index=False)
    table.iloc[::-1].to_csv(other, index=False)
    assert print_of(path=str(one)) == print_of(path=str(two)) != print_of(path=str(other))
    assert len({print_of(), print_of(seed=1), print_of(share=1.0), print_of(path=str(one))}) == 4
    before = print_of()
    assert before == print_of(share=0.5, seed=0)  # defaults written out
    Hand.version = 2
    try:
        assert print_of() != before
    finally:
        Hand.version = 1


def test_own_source_appears_beside_the_built_in_ones() -> None:
    assert {"hand", "journey", "movielens"} <= set(list_sources())
    assert list_sources("mov*") == ["movielens"]
    assert REGISTRY.entry("hand").meta["title"] == "Made by hand"


def test_unfit_sources_are_refused() -> None:
    class NoSource:
        pass

    class Loose(Hand):
        class Options(SourceOptions):  # not a dataclass of its own
            extra: int = 0

    with pytest.raises(ConfigError, match="subclass of rokkit's Source"):
        register_source("loose")(NoSource)  # type: ignore[type-var]
    with pytest.raises(ConfigError, match="frozen, keyword-only"):
        register_source("loose")(Loose)
    with pytest.raises(ConfigError, match="source name is 'A b/c'"):
        register_source("A b/c")
    assert "loose" not in list_sources()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hnad", {}, "Did you mean 'hand'"),
        ("hand", {"train_row": 3}, "setting 'train_row' is not known. Did you mean 'train_rows'"),
        ("hand", {"seed": "x"}, "seed is 'x'"),
        ("hand", {"seed": -1}, "seed is -1; expected a number from 0"),
        ("hand", {"test_rows": -5}, "test_rows is -5"),
        ("hand", {"target_rate": 0.0}, "target_rate is 0.0"),
        ("hand", {"users": 3}, r"users is 3; expected 0 \(all\) to 2"),
        ("hand", {"share": 1.5}, "history_share is 1.5"),
        ("journey", {"pool_weeks": 0}, "pool_weeks is 0; expected at least 1"),
        ("journey", {"history_negative_share": -0.1}, "history_negative_share is -0.1"),
        ("movielens", {"split": "usr"}, "Did you mean 'user'"),
        ("movielens", {"pool": 0.9}, r"pool \+ train \+ val \+ test is"),
    ],
)
def test_bad_options_are_named(place: Path, name: str, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(name, **options)
    assert not place.exists() or visible(place) == []


def _log(**changes: Any) -> EventLog:
    return dataclasses.replace(event_log(HAND_EVENTS), **changes)


def _with_column(name: str, values: list[Any], dtype: Any = object) -> pd.DataFrame:
    return frame(HAND_EVENTS).assign(**{name: pd.Series(values, dtype=dtype)})


EIGHT = list(range(8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: _log(frame=frame(HAND_EVENTS).rename(columns={"shop": "shops"})),
            "lacks a column: column 'shop' is not known. Did you mean 'shops'",
        ),
        (lambda: _log(time="tim"), "column 'tim' is not known. Did you mean 'time'"),
        (lambda: _log(frame=frame(HAND_EVENTS)[:0]), "the log is empty"),
        (
            lambda: _log(frame=_with_column("shop", [1, "1", *EIGHT[2:]])),
            "field 'shop'.*values of the types int and str",
        ),
        (
            lambda: _log(frame=_with_column("shop", [[1]] * 8)),
            "field 'shop'.*cannot be compared",
        ),
        (
            lambda: _log(frame=_with_column("shop", [1.5, *EIGHT[1:]], float)),
            "field 'shop'.*the fraction 1.5",
        ),
        (
            lambda: _log(frame=_with_column("shop", ["2020-01-01"] * 8, "datetime64[s]")),
            "field 'shop'.*Timestamp",
        ),
        (
            lambda: _log(frame=_with_column("time", ["5"] * 8)),
            "time column 'time' .*holds '5' in row 0; expected whole numbers",
        ),
        (
            lambda: _log(frame=_with_column("time", [1, 2, None, *EIGHT[3:]], float)),
            "time column 'time' .*in row 2",
        ),
        (
            lambda: impression_log([("a", 10, 1, 1, 2)]),
            "label column 'label' holds 2; expected 0 and 1",
        ),
        (
            lambda: _log(split=CutPoints(train=10, val=20, test=99)),
            r"first time of test is 99, outside the data \(1 to 31\)",
        ),
        (
            lambda: _log(split=CutPoints(train=1, val=20, test=30)),
            "first time of train is 1, outside the data",
        ),
        (
            lambda: _log(split=CutPoints(train=6, val=7, test=8)),
            "part 'train' has no rows",
        ),
        (
            lambda: impression_log([("a", 10, 1, t, int(t >= 28)) for t in range(40)]),
            "the pool holds no positive",
        ),
        (
            lambda: impression_log([("a", 10, 1, t, 1) for t in range(40)]),
            "part 'train' has 6 positives in 6 rows; AUC needs both labels",
        ),
        (
            lambda: impression_log([("a", 10, 1, t, t % 2) for t in range(7)]),
            "part 'val' has no rows",
        ),
        (
            lambda: _log(fields=FIELDS[1:]),
            r"fields with role 'user' is \[\]; expected exactly one",
        ),
        (
            lambda: _log(fields=tuple(LogField(f.name, "user") for f in FIELDS)),
            "expected exactly one",
        ),
        (lambda: _log(retrieval=("user", "itm")), "field 'itm' is not known. Did you mean 'item'"),
        (lambda: CutPoints(train=10, val=10, test=30), "expected ascending times"),
        (lambda: PerUser(Shares(pool=1.0, train=0, val=0, test=0)), "a share between 0 and 1"),
    ],
)
def test_unfit_logs_are_refused_before_anything_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch, make: Any, message: str
) -> None:
    monkeypatch.setattr(Hand, "read", lambda *_: make())
    with pytest.raises((DataError, ConfigError), match=message):
        load("hand")
    assert visible(place) == []


@pytest.mark.parametrize("kind", ["events", "impressions"])
def test_one_user_is_enough_if_every_part_has_rows(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    rows = [("a", 10 + i % 4, 1, i, i % 2) for i in range(40)]
    log = impression_log(rows) if kind == "impressions" else event_log([r[:4] for r in rows])
    monkeypatch.setattr(Hand, "read", lambda *_: log)
    samples = load("hand")
    assert samples.card["users"] == 1
    assert len(samples.history.of(0)) == (14 if kind == "impressions" else 10)


def test_missing_values_are_one_value_numbered_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """None, NaN and empty text are the same; whole floats of a join are ints, not new ids."""
    table = _with_column("shop", ["z", None, "", "a", float("nan"), "z", "a", "z"])
    monkeypatch.setattr(Hand, "read", lambda *_: _log(frame=table))
    samples = load("hand")
    assert samples.schema.fields[3].size == 3
    assert samples.raw(samples.pool.x[::2])["shop"].fillna("-").tolist() == ["-", "z", "-", "a"]
    floats = _with_column("shop", [2, None, 10, 2, 10, 2, 2, 2], float)
    monkeypatch.setattr(Hand, "read", lambda *_: _log(frame=floats))
    samples = load("hand", seed=1)
    # 2 before 10: numbers in order of size.
    assert samples.pool.x[::2, 3].tolist() == [11, 9, 10, 9]


def test_categories_are_numbered_like_the_values_they_stand_for() -> None:
    from rokkit.data.vocabulary import encode

    plain = pd.DataFrame({"shop": ["b", "a", None, "c", "a"]})
    reverse = pd.Categorical(plain["shop"], categories=["unused", "c", "b", "a"])
    fields = (FIELDS[3],)
    x, (vocabulary,) = encode(plain, fields)
    again, (same,) = encode(pd.DataFrame({"shop": reverse}), fields)
    np.testing.assert_array_equal(x[:, 0], [2, 1, 4, 3, 1])
    np.testing.assert_array_equal(again, x)
    assert vocabulary == same
    assert vocabulary.values == ("a", "b", "c", None)


def _arrays() -> list[str]:
    parts = [f"{p}_{k}.npy" for p in ("pool", "train", "val", "test") for k in ("x", "y", "time")]
    return [*parts, "history_offsets.npy", "history_rows.npy"]


@pytest.mark.parametrize("name", [*_arrays(), "schema.json", "card.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_files_are_named(name: str, damage: str) -> None:
    path = load("hand").folder / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtefactError, match=rf"{name} is (missing|damaged|truncated)"):
        load("hand")


def test_vocabulary_damage_is_named() -> None:
    samples = load("hand")
    path = samples.folder / "vocabulary.parquet"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtefactError, match=r"vocabulary\.parquet is missing or damaged"):
        samples.raw(samples.pool.x)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pool_x", lambda a: a + 100, "field 'user' holds ids 101"),
        ("test_x", lambda a: a * 0, "part 'test': field 'user' holds ids 0..0"),
        ("val_x", lambda a: a[:, :2], r"part 'val' has shape \(2, 2\)"),
        ("train_y", lambda a: a[1:], "part 'train' has 4 rows, 3 labels"),
        ("history_offsets", lambda a: a[1:], "the history has 2 offsets"),
        ("history_rows", lambda a: a[1:], "rows of shape"),
        ("history_rows", lambda a: a + 90, "history holds ids outside field 'item'"),
    ],
)
def test_content_that_does_not_fit_is_named(name: str, change: Any, message: str) -> None:
    folder = load("hand").folder
    files.save_array(folder / f"{name}.npy", change(np.load(folder / f"{name}.npy")))
    with pytest.raises(ArtefactError, match=message):
        load("hand")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card | {"fingerprint": "0" * 64}, "made from something else"),
        (lambda card: {k: v for k, v in card.items() if k != "fingerprint"}, "is damaged"),
    ],
)
def test_foreign_cards_are_named(change: Any, message: str) -> None:
    path = load("hand").folder / "card.json"
    files.write_json(path, change(files.read_json(path)))
    with pytest.raises(ArtefactError, match=message):
        load("hand")


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("what", ["save", "replace", "rename", "to_parquet"])
def test_full_disk_leaves_earlier_samples_and_nothing_else(
    place: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    earlier = load("hand")
    kept = {p.name: p.read_bytes() for p in earlier.folder.iterdir()}
    owner = {"save": np, "to_parquet": pd.DataFrame}.get(what, os)
    with monkeypatch.context() as patch:
        patch.setattr(owner, what, _full)
        with pytest.raises(ArtefactError, match=r"no space left while writing .*Free some space"):
            load("hand", seed=5)
    assert visible(place) == [earlier.folder.name]
    assert {p.name: p.read_bytes() for p in earlier.folder.iterdir()} == kept
    assert len(load("hand", seed=5).pool) == 8


def test_disk_that_fills_up_half_way(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = np.save, []

    def fills_up(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) > 5:
            _full()
        save(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", fills_up)
        with pytest.raises(ArtefactError, match="no space left"):
            load("hand")
    assert len(calls) == 6
    assert visible(place) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the disk that is full")
@pytest.mark.parametrize("size", [10, 10_000_000])
def test_what_numpy_says_of_a_truly_full_disk_is_understood(size: int) -> None:
    with (
        pytest.raises(ArtefactError, match="no space left while writing"),
        files.explain_full_disk(Path("/x/a.npy")),
        open("/dev/full", "wb") as stream,
    ):
        np.save(stream, np.zeros(size, np.int8))


def test_other_failures_of_the_disk_stay_what_they_are() -> None:
    with pytest.raises(PermissionError), files.explain_full_disk(Path("/x")):
        raise PermissionError(errno.EACCES, "no")


def test_unreadable_raw_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv cannot be read \(No such file"):
        load("hand", path=str(tmp_path / "gone.csv"))


def test_own_origin_reaches_the_card() -> None:
    told = dataclasses.replace(origin(8), dropped=(("broken lines", 2),), notes=("a note",))
    hand = Hand.read
    try:
        Hand.read = lambda *_: _log(origin=told)  # type: ignore[method-assign]
        card = load("hand").card
    finally:
        Hand.read = hand  # type: ignore[method-assign]
    assert card["dropped"] == [{"reason": "broken lines", "rows": 2}]
    assert card["notes"][0] == "a note"
