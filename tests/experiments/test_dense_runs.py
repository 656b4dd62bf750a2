"""Runs on dense neighbours: their encoder is a parent, and what they read comes from its table."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_study import lineage, often_saved, settle, spec, yields

from rokkit.data import load
from rokkit.errors import ConfigError
from rokkit.experiments import ModelSpec, Report, RetrievalSpec, RunError, Runs, RunSpec
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.weights import read_weights
from rokkit.knowledge import ConstructConfig
from rokkit.retrieval import DenseIndex
from rokkit.training import loop

DERT, RIM = spec("DERT"), spec("RIM")
TAUGHT = spec("MLP+ROK", teacher="dert")
TUNED = spec("DERT", model_options=("dert.tune_table=true",))
PLAIN_RIM = replace(DERT, model=RIM.model)  # RIM on the same neighbours, with a table of its own


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[RunSpec, Report]]:
    """The runs above and all that they need."""
    with pytest.MonkeyPatch.context() as patch:
        settle(tmp_path_factory.mktemp("dense"), patch)
        asked = [one for last in (TAUGHT, TUNED, PLAIN_RIM) for one in lineage(last)]
        asked += [DERT, RIM]
        yield dict(zip(asked, Runs()(asked), strict=True))


def test_the_encoder_is_the_last_parent_of_each_run_that_reads_dense_neighbours() -> None:
    (encoder,) = DERT.parents()
    assert encoder == RIM == DERT.encoder
    assert encoder.retrieval == RetrievalSpec(k=DERT.retrieval.k)
    construction, *others = TAUGHT.parents()
    assert (others, construction.parents()) == ([], (DERT, RIM))
    assert TAUGHT.encoder is None  # MLP reads no neighbours
    reader = replace(TAUGHT, model=DERT.model)
    assert reader.parents() == (construction, RIM)


def test_keys_tell_engines_and_encoders_apart() -> None:
    def key(**retrieval: Any) -> str:
        one = replace(PLAIN_RIM, retrieval=replace(PLAIN_RIM.retrieval, **retrieval))
        return one.key("f")

    other = ModelSpec.of("rim", {"embed_dim": 8})
    longer = replace(DERT.retrieval.encoder_training, epochs=9)
    keys = {
        key(),
        key(engine="approximate"),
        key(encoder=other),
        key(encoder_training=longer),
        key(engine="bm25", encoder=None),
    }
    assert len(keys) == 5
    bm25 = replace(RIM, retrieval=replace(RIM.retrieval, encoder_training=longer))
    assert bm25.key("f") == RIM.key("f")
    assert spec("MLP").key("f") == replace(spec("MLP"), retrieval=DERT.retrieval).key("f")


def test_a_spec_with_an_encoder_survives_json() -> None:
    one = replace(
        TAUGHT,
        retrieval=replace(TAUGHT.retrieval, encoder=ModelSpec.of("rim", {"hidden": (8, 4)})),
    )
    assert RunSpec.from_dict(one.to_dict()) == one


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"engine": "dense"}, "engine is 'dense' and the encoder None; expected one with"),
        ({"encoder": ModelSpec.of("rim")}, "engine is 'bm25' and the encoder 'rim'"),
        ({"engine": "sparse"}, "retrieval.engine is 'sparse'; expected one of bm25, dense"),
    ],
)
def test_an_engine_without_its_encoder_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RetrievalSpec(**values)


def test_neighbours_are_those_of_the_encoders_table(done: dict[RunSpec, Report]) -> None:
    samples, folder = load("small"), done[RIM].folder
    table = read_weights(folder)["embedding.weight"].numpy()
    columns = samples.schema.retrieval_columns
    index = DenseIndex.build(samples.pool.x, table, columns)
    inputs = Inputs(DERT, samples, "cpu", folder)
    for part in ("train", "val", "test"):
        ids, _ = index.search(samples.part(part).x, 3)
        np.testing.assert_array_equal(inputs.feed(part, DERT.needs)._neighbours.numpy(), ids)
    assert set(inputs.retrieval) == {"train", "val", "test"}


def test_dert_ends_with_the_encoders_table_unless_it_tunes_it(done: dict[RunSpec, Report]) -> None:
    held = {one: read_weights(done[one].folder) for one in (RIM, DERT, TUNED, PLAIN_RIM)}
    table = held[RIM]["embedding.weight"]
    assert torch.equal(held[DERT]["embedding.weight"], table)
    assert not torch.equal(held[DERT]["backbone.out.weight"], held[RIM]["backbone.out.weight"])
    assert not torch.equal(held[TUNED]["embedding.weight"], table)
    assert not torch.equal(held[PLAIN_RIM]["embedding.weight"], table)
    counts = done[DERT].parameters
    assert counts["trainable"] == counts["dense"] == counts["total"] - counts["table"]


def test_dert_has_the_encoders_table_whatever_else_it_is_given(
    done: dict[RunSpec, Report],
) -> None:
    (report,) = Runs()([spec("DERT+STATS")])
    held = read_weights(report.folder)["embedding.weight"]
    assert torch.equal(held, read_weights(done[RIM].folder)["embedding.weight"])


def test_a_base_learns_from_dert(done: dict[RunSpec, Report]) -> None:
    construction = done[TAUGHT.parents()[0]]
    assert np.isfinite(construction.metrics["test"]["r2"])
    assert 0 < done[TAUGHT].metrics["test"]["auc"] < 1


def test_seconds_are_told_by_what_the_parents_were(done: dict[RunSpec, Report]) -> None:
    encoder = done[RIM].timings["train"]
    assert done[DERT].timings["encoder"] == encoder
    assert "teacher" not in done[DERT].timings
    construction = done[TAUGHT.parents()[0]].timings
    assert construction["teacher"] == done[DERT].timings["train"]
    assert construction["encoder"] == done[TAUGHT].timings["encoder"] == encoder


def test_pool_rows_are_searched_for_by_the_table_too(done: dict[RunSpec, Report]) -> None:
    samples, rows = load("small"), np.array([5, 0, 9])
    construction = TAUGHT.parents()[0]
    inputs = Inputs(construction, samples, "cpu", done[RIM].folder)
    feed = inputs.feed("train", frozenset(), ranked=True, pool_rows=rows)
    table = read_weights(done[RIM].folder)["embedding.weight"].numpy()
    columns = samples.schema.retrieval_columns
    ids, _ = DenseIndex.build(samples.pool.x, table, columns).search(samples.pool.x[rows], 4)
    for found, own, row in zip(feed._neighbours[-3:].tolist(), ids.tolist(), rows, strict=True):
        assert found == [i for i in own if i != row][:3]
    knowledge = replace(TAUGHT.knowledge, construct=ConstructConfig(pool_rows=30))
    assert Runs()([replace(construction, knowledge=knowledge)])[0].details["steps"] > 0


def test_an_interrupted_run_ends_with_the_same_bytes(
    done: dict[RunSpec, Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = often_saved(DERT)
    expected = Runs(tmp_path / "whole")([one])
    save, left = loop.save_checkpoint, [3]

    def stop(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        left[0] -= 1
        if left[0] == 0:
            raise OSError("stopped")

    runs = Runs(tmp_path / "stopped")
    runs([one.parents()[0]])
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", stop)
        with pytest.raises(RunError):
            runs([one])
    assert yields(runs([one])) == yields(expected)
