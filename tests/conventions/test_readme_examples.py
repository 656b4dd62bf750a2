"""What README.md shows works: its examples run, its tables are what their files say."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rokkit.models import MODELS, parameter_counts
from rokkit.training import Feed

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the examples leave behind, run one after the other in one namespace."""
    found: dict[str, Any] = {"__name__": "readme"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROKKIT_DATA", str(tmp_path_factory.mktemp("data")))
        for source in re.findall(r"<!-- example -->\n```python\n(.*?)```", README, re.DOTALL):
            exec(compile(source, "README.md", "exec"), found)
        yield found
    MODELS.remove("mean")


def test_the_search_finds_pool_rows_best_first(names: dict[str, Any]) -> None:
    ids, scores, samples = names["ids"], names["scores"], names["samples"]
    assert ids.shape == (len(samples.test), 10)
    assert ids.max() < len(samples.pool)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_the_own_backbone_predicts_and_ignores_padding(names: dict[str, Any]) -> None:
    samples, model = names["samples"], names["model"]
    batch = Feed(samples, "test", needs=model.needs).batch(torch.arange(8))
    assert model(batch).shape == (8,)
    # Mean over behaviours, not over places: a history twice as long in padding changes nothing.
    longer = torch.cat([batch.history, torch.zeros_like(batch.history)], 1)
    padded = type(batch)(x=batch.x, y=batch.y, history=longer)
    torch.testing.assert_close(model(padded), model(batch))
    assert parameter_counts(model)["table"] == samples.schema.n_ids * 16


def test_every_link_and_picture_exists() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_tables_are_those_of_their_files() -> None:
    command = [sys.executable, str(ROOT / "tools" / "readme.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
