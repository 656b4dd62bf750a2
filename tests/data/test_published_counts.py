"""What was published of the three files, and whether the files that are here have it.

The counts are protocol §1.2: RIM's `feat_size`, which is the "Features" column of the paper's
Table 1, is reached only if every behaviour is kept and each empty text is one more value.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_raw import FORMATS, write_raw

from rokkit.data import plan
from rokkit.data.raw.csv import Layout, read_batches
from rokkit.data.raw.numbers import whole_numbers
from rokkit.data.raw.places import find
from rokkit.data.raw.tally import Tally
from rokkit.data.sources import REGISTRY, tmall
from rokkit.data.sources.tianchi import Format
from rokkit.errors import DataError
from rokkit.paths import data_root

FEATURES = {"tmall": 1_529_676, "taobao": 5_159_462, "alipay": 3_327_205}  # padding included
PUBLISHED = {
    "tmall": {
        "rows": 54_925_330,
        "user": 424_170,
        "item": 1_090_390,
        "category": 1_658,
        "seller": 4_995,
        "brand": 8_444,  # 8,443 and the empty one
        "action": 4,
        "age": 10,
        "gender": 4,
    },
    "taobao": {
        "rows": 100_150_807,
        "user": 987_994,
        "item": 4_162_024,
        "category": 9_439,
        "action": 4,
    },
    "alipay": {
        "rows": 44_528_127,
        "user": 963_923,
        "item": 2_353_207,
        "seller": 10_000,
        "category": 72,
        "action": 2,
    },
}
each_format = pytest.mark.parametrize("name", FORMATS)


def form(name: str) -> Format:
    found: Format = REGISTRY.get(name).format  # type: ignore[attr-defined]
    return found


@each_format
def test_the_published_counts_add_up_to_the_features_of_the_paper(name: str) -> None:
    published = form(name).published
    assert published == PUBLISHED[name]
    assert 1 + sum(n for what, n in published.items() if what != "rows") == FEATURES[name]


@each_format
def test_every_field_of_the_samples_has_a_published_count(tmp_path: Path, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROKKIT_DATA", str(tmp_path / "data"))
        wanted = plan(name, {"path": str(write_raw(tmp_path / "own", name))})
        fields = [f.name for f in wanted.source.read(wanted.options).fields]
    assert {*fields, "rows"} == form(name).published.keys()


class Seen:
    """Which ids of a column occurred, the empty text among them.

    The ids of the public files are small numbers, so a table of marks is all that is needed.
    """

    def __init__(self) -> None:
        self.marks = np.zeros(1, bool)  # id + 1; the empty text comes first

    def add(self, texts: Any) -> None:
        numbers = whole_numbers(texts)
        assert not numbers.unreadable.any()
        places = np.where(numbers.missing, -1, numbers.values) + 1
        assert places.min(initial=0) >= 0
        top = int(places.max(initial=0))
        if top >= len(self.marks):
            self.marks = np.concatenate([self.marks, np.zeros(top + 1, bool)])
        self.marks[places] = True

    def __len__(self) -> int:
        return int(self.marks.sum())


def counts(name: str, path: Path | None = None) -> dict[str, int]:
    """Rows, and the number of values of each field, in one pass over the file or files."""
    wanted, tally = form(name), Tally()
    options: Any = REGISTRY.get(name).Options(path=None if path is None else str(path))
    source: Any = REGISTRY.get(name)()
    fields = {f: Seen() for f in wanted.columns if f not in ("time", "action")}
    rows, actions = 0, set()
    for batch in read_batches(
        source.file(options), Layout(names=tuple(wanted.columns.values())), tally
    ):
        rows += len(batch)
        for field, values in fields.items():
            values.add(batch.column(wanted.columns[field]))
        actions |= set(batch.column(wanted.columns["action"]).unique().to_pylist())
    if name == "tmall":
        place = source.place(options)
        folder = place.parent if place.suffix == ".csv" else place
        fields |= {"age": Seen(), "gender": Seen()}
        for batch in read_batches(find(folder, tmall.USERS_FILE, ""), tmall.USERS, tally):
            for field, column in tmall.ATTRIBUTES.items():
                fields[field].add(batch.column(column))
    assert tally.dropped == ()
    return {"rows": rows, "action": len(actions)} | {f: len(v) for f, v in fields.items()}


@each_format
def test_the_counting_by_hand(tmp_path: Path, name: str) -> None:
    """On the small file of these tests: eleven rows, four users, four items, one empty brand."""
    expected = {"rows": 11, "user": 4, "item": 4, "category": 2, "action": 2}
    if name != "taobao":
        expected["seller"] = 3
    if name == "tmall":
        expected |= {"brand": 3, "age": 3, "gender": 3}
    assert counts(name, write_raw(tmp_path, name)) == expected


@each_format
@pytest.mark.timeout(1800)
def test_the_real_file_has_what_was_published(name: str) -> None:
    """One pass over the file, a minute or a few; the samples' vocabularies are these values."""
    try:
        found = counts(name)
    except DataError as missing:
        if (data_root() / "raw" / name).exists():
            raise
        pytest.skip(f"the published file is not here: {missing}")
    assert found == PUBLISHED[name]
