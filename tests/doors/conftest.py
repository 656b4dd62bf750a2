"""A place of their own for what the doors write, and a data set that is made in memory."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest

from rokkit.data import ImpressionLog, LogField, Origin, PerUser, Shares, Source, register_source
from rokkit.data.sources import REGISTRY

PLACES = ("DATA", "RUNS", "RESULTS", "FIGURES", "EXECUTED", "EXPORTED")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds everything a command may write; nothing is in it yet."""
    for name in PLACES:
        monkeypatch.setenv(f"ROKKIT_{name}", str(tmp_path / "places" / name.lower()))
    return tmp_path / "places"


class Toy(Source):
    """Three users rate 20 times each; every second rating is a like."""

    def files(self, options: object) -> Mapping[str, Path]:
        return {}

    def read(self, options: object) -> ImpressionLog:
        rows = [(user, (user + i) % 7, i, (user + i) % 2) for user in range(3) for i in range(20)]
        return ImpressionLog(
            frame=pd.DataFrame(rows, columns=["user", "item", "time", "label"]),
            fields=(LogField("user", "user"), LogField("item", "item")),
            retrieval=("user", "item"),
            time="time",
            time_unit="ticks",
            split=PerUser(Shares()),
            label="label",
            origin=Origin(licence="none", licence_note="made for a test", rows_read=len(rows)),
        )


@pytest.fixture
def toy(places: Path) -> Iterator[str]:
    """The name of the made data set; its parts have 42, 9, 3 and 6 samples."""
    register_source("toy", title="Made for the doors")(Toy)
    yield "toy"
    REGISTRY.remove("toy")
