"""Parts that the log names itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_files import EVENTS, IMPRESSIONS, csv_file, read, schema_file
from small_logs import CUTS, HAND_EVENTS, event_rows, frame

from rokkit.data import SourceOptions, load
from rokkit.data.assemble import Assembled, assemble
from rokkit.data.invariants import check
from rokkit.data.own.given import GivenParts
from rokkit.data.samples import PARTS
from rokkit.data.sources import own
from rokkit.errors import DataError

EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
GIVEN: dict[str, Any] = EVENTS | {
    "split": {
        "by": "column",
        "column": "part",
        "values": {"pool": "p", "train": "tr", "val": ["va"], "test": ["te"]},
    }
}


def with_part(rows: Any) -> pd.DataFrame:
    """The rows with the part that CUTS gives them, as a text."""
    held = frame(rows)
    code = np.searchsorted([CUTS.train, CUTS.val, CUTS.test], held["time"], side="right")
    return held.assign(part=np.array(["p", "tr", "va", "te"])[code])


def made(log: Any, **options: Any) -> Assembled:
    out = assemble("own", log, SourceOptions(**options))
    check(out)
    return out


@EXAMPLES
@given(rows=event_rows(), seed=st.integers(0, 3), data=st.data())
def test_given_parts_are_those_of_the_cuts_they_were_made_of(
    tmp_path: Path, rows: Any, seed: int, data: st.DataObject
) -> None:
    held = with_part(rows)
    users = data.draw(st.integers(0, held["user"].nunique()))
    try:
        expected = made(read(tmp_path, EVENTS, held), users=users, seed=seed)
    except DataError:  # a part of these users is empty
        with pytest.raises(DataError):
            made(read(tmp_path, GIVEN, held), users=users, seed=seed)
        return
    found = made(read(tmp_path, GIVEN, held), users=users, seed=seed)
    assert found.scope == "global"
    for part in PARTS:
        for kind in ("x", "y", "time"):
            a, b = (getattr(out.parts[part], kind) for out in (found, expected))
            np.testing.assert_array_equal(a, b)


@EXAMPLES
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30
    ),
    by_user=st.booleans(),
)
def test_a_row_keeps_its_part_in_both_orders_of_time(rows: Any, by_user: bool) -> None:
    """Rows of one user at one moment lie in the order of their parts, as a log hands them over."""
    user, time, _ = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    part = np.zeros(len(rows), np.int8)
    for one in range(4):  # each user's rows in time order get ascending parts
        mine = np.flatnonzero(user == one)
        mine = mine[np.argsort(time[mine], kind="stable")]
        part[mine] = np.arange(len(mine)) * 4 // max(1, len(mine))
    split = GivenParts.of(user, time, part)
    order = np.lexsort((user, time)) if by_user else np.argsort(time, kind="stable")
    np.testing.assert_array_equal(split.assign(user[order], time[order]), part[order])


def test_parts_of_one_moment_follow_each_other_whatever_their_order_in_the_file(
    tmp_path: Path,
) -> None:
    """Days are coarse: a user's rows of one day may lie in all parts."""
    lines = [f"a,{i},c,1,7,{part}" for i, part in enumerate(["te", "va", "tr", "q", "p"])]
    values = GIVEN["split"]["values"] | {"pool": ["p", "q"]}
    schema = GIVEN | {"split": GIVEN["split"] | {"values": values}}
    log = read(tmp_path, schema, "user,item,cat,shop,time,part\n" + "\n".join(lines))
    out = made(log)
    assert out.scope == "user"
    items = {part: out.parts[part].x[::2, 1].tolist() for part in PARTS}
    # Item i has the id 2 + i; q, the fourth line, comes before p.
    assert items == {"pool": [5, 6], "train": [4], "val": [3], "test": [2]}


def test_numbers_can_stand_for_parts_and_other_rows_are_dropped(tmp_path: Path) -> None:
    held = frame(HAND_EVENTS).assign(part=[0, 0, 0, 0, 1, 9, 2, 3])
    values = {"pool": 0, "train": 1, "val": [2], "test": [3]}
    log = read(tmp_path, GIVEN | {"split": GIVEN["split"] | {"values": values}}, held)
    assert log.origin.dropped == (("part is 9, which is no part", 1),)
    assert [len(made(log).parts[part]) for part in PARTS] == [8, 2, 2, 2]


def test_many_other_values_are_counted_together(tmp_path: Path) -> None:
    strange = pd.DataFrame({"user": "a", "item": 10, "shop": 1, "time": range(9), "cat": "x"})
    strange["part"] = [*"stuvwxyz", None]
    held = pd.concat([with_part(HAND_EVENTS), strange])
    assert dict(read(tmp_path, GIVEN, held).origin.dropped) == {
        "no part (the part)": 1,
        **{f"part is {value}, which is no part": 1 for value in "stuvw"},
        "part has another value that is no part": 3,
    }


def test_parts_that_do_not_follow_time_are_refused(tmp_path: Path) -> None:
    held = with_part(HAND_EVENTS)
    held.loc[held["time"] == 13, "part"] = "p"  # of user a, before their test
    assert len(made(read(tmp_path, GIVEN, held)).parts["pool"]) == 10
    held.loc[held["time"] == 31, "part"] = "tr"
    held.loc[held["time"] == 13, "part"] = "te"
    with pytest.raises(DataError, match=r"a row of test at 13 and one of train at 31\."):
        read(tmp_path, GIVEN, held)


def test_labels_and_given_parts_together(tmp_path: Path) -> None:
    rows = [("ab"[i % 2], 10 + i % 4, 1, i) for i in range(40)]
    held = with_part(rows).assign(label=[(i // 2) % 2 for i in range(40)])
    out = made(read(tmp_path, IMPRESSIONS | {"split": GIVEN["split"]}, held))
    assert out.kind == "impressions"
    assert [len(out.parts[part]) for part in PARTS] == [10, 10, 10, 10]
    assert out.parts["val"].y.tolist() == [(i // 2) % 2 for i in range(20, 30)]


def test_a_split_of_other_rows_is_refused() -> None:
    user, time, part = np.array([0, 0]), np.array([1, 2]), np.array([0, 1], np.int8)
    split = GivenParts.of(user, time, part)
    for other in ((user[:1], time[:1]), (user, time + 1), (user + 1, time)):
        with pytest.raises(DataError, match="the given parts are of 2 other rows"):
            split.assign(*other)


def test_samples_of_given_parts_are_built_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
    options = {
        "schema": schema_file(tmp_path, GIVEN),
        "events": csv_file(tmp_path, with_part(HAND_EVENTS)),
    }
    samples = load("own", **options)
    assert own.Own.Options is own.OwnOptions
    assert [len(samples.part(part)) for part in PARTS] == [8, 4, 2, 2]
    assert samples.card["parts"]["test"]["time_first"] == 31
