"""The source `twin`: written once, read as the real format is, counted as its report says."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from rokkit.data import Samples, load
from rokkit.data.sources.twin import Twin, TwinSourceOptions
from rokkit.data.twin import FormatName, Structure
from rokkit.data.twin.formats import BY_NAME
from rokkit.errors import ArtefactError, ConfigError

FIELDS = {
    "tmall": ["user", "item", "category", "seller", "brand", "action", "age", "gender"],
    "taobao": ["user", "item", "category", "action"],
    "alipay": ["user", "item", "seller", "category", "action"],
}
ROWS = 20_000


@pytest.fixture(autouse=True)
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of raw files."""
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path))
    return tmp_path / "raw"


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_samples_agree_with_the_report(raw: Path, name: FormatName) -> None:
    samples = load("twin", format=name, rows=ROWS)
    (folder,) = [path for path in raw.iterdir() if path.is_dir()]
    assert folder.name.startswith(f"twin-{name}-{ROWS}-")
    report = json.loads((folder / "twin.json").read_text())
    assert [field.name for field in samples.schema.fields] == FIELDS[name]
    assert samples.card["rows_read"] == ROWS
    assert samples.card["users"] == report["users"]
    assert samples.card["items"] == samples.card["item_tuples"] == report["items"]
    # A negative per positive in every part; validation is cut off train.
    rows = {part: len(samples.part(part)) for part in ("pool", "train", "val", "test")}
    assert rows["pool"] == 2 * report["parts"]["pool"]
    assert rows["train"] + rows["val"] == 2 * report["parts"]["train"]
    assert rows["test"] == 2 * report["parts"]["test"]
    assert "made" in samples.card["licence_note"]
    assert "Alibaba" not in json.dumps(samples.card)


def test_it_is_written_once(raw: Path) -> None:
    source, options = Twin(), TwinSourceOptions(format="taobao", rows=1000)
    (log,) = source.files(options).values()
    written = log.stat().st_mtime_ns
    assert source.files(dataclasses.replace(options, seed=9, users=5)) == {log.name: log}
    assert log.stat().st_mtime_ns == written
    (other,) = source.files(dataclasses.replace(options, twin_seed=1)).values()
    assert other != log


def test_an_incomplete_folder_is_named(raw: Path) -> None:
    options = TwinSourceOptions(format="alipay", rows=1000)
    (log,) = Twin().files(options).values()
    (log.parent / "twin.json").unlink()
    with pytest.raises(ArtefactError, match="Remove it"):
        Twin().files(options)


def test_options_of_the_reader_are_handed_on(raw: Path) -> None:
    samples = load("twin", format="tmall", rows=ROWS, clicks_only=True, history_negative_share=0.0)
    assert "action" not in [field.name for field in samples.schema.fields]
    assert samples.card["options"]["history_negative_share"] == 0.0
    last = load("twin", format="taobao", rows=ROWS, protocol="ubr")
    assert "weekend" in [field.name for field in last.schema.fields]


def test_negatives_may_keep_what_their_positive_has_besides_item_and_category(raw: Path) -> None:
    kept = load("twin", format="alipay", rows=ROWS, idcat_negatives=True)
    plain = load("twin", format="alipay", rows=ROWS, idcat_negatives=False)
    assert plain.folder == load("twin", format="alipay", rows=ROWS).folder != kept.folder

    def same_seller(samples: Samples) -> float:
        seller = [field.name for field in samples.schema.fields].index("seller")
        x, y = np.asarray(samples.test.x), np.asarray(samples.test.y)
        pairs = list(zip(x[:, 0], x[:, seller], strict=True))
        positive = {pair for pair, label in zip(pairs, y, strict=True) if label == 1}
        negative = [pair for pair, label in zip(pairs, y, strict=True) if label == 0]
        return float(np.mean([pair in positive for pair in negative]))

    assert same_seller(kept) == 1
    assert same_seller(plain) < 0.9
    with pytest.raises(ConfigError, match="the format is 'taobao', whose items have no other"):
        TwinSourceOptions(format="taobao", idcat_negatives=True)


def test_every_knob_reaches_the_generator() -> None:
    turned = {"tastes": 7, "taste_share": 0.25, "dirt": 0.0, "memory": 9}
    twin = TwinSourceOptions(format="tmall", rows=2000, twin_seed=4, **turned).twin()
    assert (twin.format, twin.rows, twin.seed) == ("tmall", 2000, 4)
    for knob in dataclasses.fields(Structure):
        assert getattr(twin, knob.name) == turned.get(knob.name, knob.default)


@pytest.mark.parametrize("options", [{"rows": 10}, {"item_tail": 3}, {"target_rate": 0.0}])
def test_bad_options_are_refused_before_anything_is_written(
    raw: Path, options: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        load("twin", format="taobao", **options)
    assert not raw.exists()
