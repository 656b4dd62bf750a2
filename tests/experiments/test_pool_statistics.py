"""A model that wants something of the pool is given it before it is trained."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from small_study import settle, spec

from rokkit.data import load
from rokkit.experiments import Runs


def test_ubr_searches_by_the_frequencies_of_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = settle(tmp_path, monkeypatch)
    (report,) = Runs(place, device="cpu")([spec("UBR", epochs=1)])
    idf = load_file(report.folder / "best.safetensors")["backbone.search.idf"].numpy()
    pool = np.asarray(load("small").pool.x)
    item = load("small").schema.item_columns[0]
    for one in np.unique(pool[:, item]):
        n = int((pool[:, item] == one).sum())
        assert idf[one] == pytest.approx(np.log1p((len(pool) - n + 0.5) / (n + 0.5)), rel=1e-6)
