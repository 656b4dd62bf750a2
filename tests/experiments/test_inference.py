"""Table 6: what an inference is made of, measured once, in several forms."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_study import made_report, settle, spec

from rokkit.data import load
from rokkit.errors import ConfigError
from rokkit.evaluation.latency import Stages, in_turns
from rokkit.experiments import (
    Report,
    Runs,
    footprint_reading,
    footprint_table,
    latency_by_block,
    latency_figure,
    latency_reading,
    latency_table,
    measured_latency,
    networks,
)
from rokkit.experiments.inference import Turns, answering
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.weights import load_run
from rokkit.retrieval import BM25Index
from rokkit.serving import write_onnx
from rokkit.training import predict

Make = Callable[..., Report]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    settle(tmp_path, monkeypatch)
    return lambda system, seed, **how: made_report(tmp_path, system, seed, **how)


def test_calls_take_turns_and_warm_up_is_not_kept() -> None:
    order: list[tuple[str, int]] = []

    def call(name: str) -> Callable[[int], dict[str, float]]:
        def one(i: int) -> dict[str, float]:
            order.append((name, i))
            return {"a": float(len(order)), "b": 0.5}

        return one

    found = in_turns({"x": call("x"), "y": call("y")}, rounds=3, warm_up=2)
    assert [name for name, _ in order] == ["x", "y"] * 5
    assert [i for name, i in order if name == "x"] == [1, 2, 0, 1, 2]
    assert found["x"]["a"].tolist() == [5.0, 7.0, 9.0]
    assert found["y"]["b"].tolist() == [0.5] * 3
    with pytest.raises(ConfigError, match="rounds is 0"):
        in_turns({}, 0)


def test_stages_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 3.0, 6.0])
    monkeypatch.setattr("rokkit.evaluation.latency.time.perf_counter", lambda: next(times))
    stages = Stages()
    for name in ("search", "forward", "search"):
        stages.lap(name)
    assert stages.seconds == {"search": 4.0, "forward": 2.0}


def measured(rows: list[tuple[str, int, str, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["system", "batch", "stage", "p50", "p95"]).assign(
        form="eager"
    )


def test_table_6_by_hand(make: Make) -> None:
    reports = [make("DIN", s, auc=0.6 + s / 10) for s in (0, 1)]
    reports += [make("DIN+ROK", 0, auc=0.7), make("RIM", 0, auc=0.8)]
    rows = []
    for system, search, forward in (("DIN", 0.0, 0.5), ("DIN+ROK", 0.0, 0.6), ("RIM", 3.0, 0.6)):
        stages = [("look-up", 0.1), ("forward", forward)] + [("search", search)] * (search > 0)
        rows += [(system, 1, stage, ms, 2 * ms) for stage, ms in stages]
        total = 0.1 + forward + search
        rows += [(system, 1, "total", total, 2 * total), (system, 100, "total", 20.0, 30.0)]
    table = latency_table(reports, measured(rows))
    frame = table.frame.set_index("System")
    assert frame["AUC"].tolist() == pytest.approx([0.65, 0.7, 0.8])
    assert frame["p50 ms"].tolist() == pytest.approx([0.6, 0.7, 3.7])
    assert frame["p95 ms"].tolist() == pytest.approx([1.2, 1.4, 7.4])
    assert frame["search ms"].isna().tolist() == [True, True, False]
    assert frame["ms a sample of 100"].tolist() == [0.2] * 3
    assert frame.at["RIM", "Paper Tmall ms"] == 174.81
    lines = latency_reading(table).lines
    assert lines[0].startswith("ROK adds +0.10 ms to DIN (+17%) and +0.0500 test AUC")
    assert lines[1].startswith("RIM: 3.70 ms for one sample, 3.00 ms of it the search (81%)")
    texts = [t.get_text() for t in latency_figure(table.frame).axes[0].get_legend().get_texts()]
    assert texts == ["DIN", "DIN+ROK", "RIM"]
    points = latency_figure(table.frame).axes[0].collections
    inside = [tuple(one.get_facecolor()[0]) for one in points]
    around = [tuple(one.get_edgecolor()[0]) for one in points]
    assert around[0] == around[1] != around[2]  # with ROK a backbone is the same, filled
    assert inside[0] == inside[2] == (1, 1, 1, 1)
    assert inside[1] == around[1]


def test_latency_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = settle(tmp_path, monkeypatch)
    systems = ("LR", "GBDT", "RIM", "MLP+ROK", "MLP+STATS")
    reports = networks(Runs(place, device="cpu")([spec(s) for s in systems]))
    assert [r.spec.model.name for r in reports] == ["lr", "rim", "mlp"]
    threads = torch.get_num_threads()
    frame = measured_latency(reports, rounds=5, large=8)
    assert torch.get_num_threads() == threads
    stages = frame.groupby("system")["stage"].unique().map(set)
    assert stages["RIM"] == {"search", "look-up", "forward", "total"}
    assert stages["LR"] == stages["MLP+ROK"] == {"look-up", "forward", "total"}
    assert set(frame["batch"]) == {1, 8}
    assert (frame["p50"] > 0).all()
    assert (frame["p95"] >= frame["p50"]).all()
    monkeypatch.setattr(
        "rokkit.experiments.inference.in_turns", lambda *_, **__: pytest.fail("again")
    )
    pd.testing.assert_frame_equal(measured_latency(reports, rounds=5, large=8), frame)
    part = measured_latency(reports[1:], rounds=5, large=8)
    held = frame[frame["system"] != "LR"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, held)
    with pytest.raises(pytest.fail.Exception, match="again"):
        measured_latency(reports, rounds=6, large=8)


def test_blocks_are_of_consecutive_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills: blocks that leave rounds out, of batches, of one stage, of mixed systems."""
    place = settle(tmp_path, monkeypatch)
    reports = Runs(place, device="cpu")([spec("LR"), spec("MLP")])

    def turns(calls: Mapping[str, Any], rounds: int, warm_up: int) -> dict[str, Any]:
        slow = {name: 1 + 9 * name.startswith("mlp") for name in calls}
        at = np.arange(rounds) // (rounds // 10) * 1e-3
        return {n: {"look-up": at * slow[n], "forward": at * 0 + 1e-3} for n in calls}

    monkeypatch.setattr("rokkit.experiments.inference.in_turns", turns)
    found = latency_by_block(reports)
    assert list(found.index) == ["LR", "MLP"]
    np.testing.assert_allclose(found.loc["LR"], 1 + np.arange(10))
    np.testing.assert_allclose(found.loc["MLP"], 1 + 10 * np.arange(10))
    assert "blocks" not in measured_latency(reports)


@pytest.mark.parametrize("system", ["MLP", "RIM", "MLP+ROK"])
def test_a_loaded_run_answers_as_it_did_when_it_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """Kills: fresh weights, another base, a base in training mode."""
    place = settle(tmp_path, monkeypatch)
    (report,) = Runs(place, device="cpu")([spec(system)])
    samples = load("small")
    model = load_run(report.folder, report.spec, samples)
    feed = Inputs(report.spec, samples, "cpu").feed("test", frozenset(model.needs))
    np.testing.assert_allclose(predict(model, feed), report.predictions(), atol=1e-6)
    assert set(Turns(report).of(4, 3)(0)) >= {"look-up", "forward"}


def test_the_search_finds_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(tmp_path, monkeypatch)
    samples = load("small")
    for one in (spec("RIM"), spec("MLP+R")):
        inputs = Inputs(one, samples, "cpu")
        ids, _ = inputs.searcher()(np.asarray(samples.test.x))
        np.testing.assert_array_equal(ids, inputs._neighbours("test").ids)
    assert Inputs(spec("MLP"), samples, "cpu").searcher() is None


def test_what_holds_no_such_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = settle(tmp_path, monkeypatch)
    (report,) = Runs(place, device="cpu")([spec("GBDT")])
    with pytest.raises(ConfigError, match="gbdt-s0 holds no network"):
        load_run(report.folder, report.spec, load("small"))


def test_other_forms_stand_beside_the_eager_one(make: Make) -> None:
    reports = [make("DIN", 0, auc=0.6), make("RIM", 0, auc=0.8)]
    rows = [(s, b, "total", 0.5, 0.75) for s in ("DIN", "RIM") for b in (1, 64)]
    onnx = measured([("DIN", 1, "total", 0.125, 0.25), ("DIN", 64, "total", 6.4, 7.0)])
    frame = latency_table(reports, pd.concat([measured(rows), onnx.assign(form="onnx")])).frame
    held = frame.set_index("System")
    assert held.loc["DIN", ["p50 ms", "ONNX p50 ms", "ONNX p95 ms"]].tolist() == [0.5, 0.125, 0.25]
    assert held.at["DIN", "ONNX ms a sample of 64"] == pytest.approx(0.1)
    assert np.isnan(held.at["RIM", "ONNX p50 ms"])


@pytest.mark.parametrize("form", ["onnx", "compiled"])
def test_every_form_answers_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    place = settle(tmp_path, monkeypatch)
    (report,) = Runs(place, device="cpu")([spec("MLP+ROK")])
    samples = load("small")
    model = load_run(report.folder, report.spec, samples)
    feed = Inputs(report.spec, samples, "cpu").feed("test", frozenset(model.needs))
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda one: compile(one, backend="eager"))
    expected = answering(model, "eager", feed.batch(torch.arange(2)))
    found = answering(model, form, feed.batch(torch.arange(2)))
    for rows in (torch.arange(1), torch.arange(7)):
        one, other = expected(feed.batch(rows)), found(feed.batch(rows))
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-5)


def test_what_a_search_feeds_has_no_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    place = settle(tmp_path, monkeypatch)
    reports = Runs(place, device="cpu")([spec("RIM"), spec("LR")])
    written: list[Path] = []

    def write(path: Path, *about: Any) -> None:
        written.append(path)
        write_onnx(path, *about)

    monkeypatch.setattr("rokkit.experiments.inference.write_onnx", write)
    frame = measured_latency(reports, ("eager", "onnx"), rounds=3, large=4)
    assert len(written) == 1  # one export for both sizes of batch
    assert frame.groupby("system")["form"].unique().map(set).to_dict() == {
        "RIM": {"eager"},
        "LR": {"eager", "onnx"},
    }
    one = frame[(frame["system"] == "LR") & (frame["form"] == "onnx")]
    assert set(one["stage"]) == {"look-up", "forward", "total"}
    assert set(one["batch"]) == {1, 4}


def test_what_a_server_holds_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = settle(tmp_path, monkeypatch)
    systems = ("MLP", "DIN", "RIM", "MLP+ROK")
    reports = Runs(place, device="cpu")([spec(one) for one in systems])
    samples = load("small")
    table = footprint_table(reports)
    held = table.frame.set_index("System")
    for report in reports:
        name = report.spec.system.upper()
        assert held.at[name, "weights MB"] == 4 * report.parameters["total"] / 1e6
    pool = samples.pool
    assert held.at["RIM", "pool MB"] == len(pool) * (4 * pool.x.shape[1] + 1) / 1e6
    schema = samples.schema
    index = BM25Index.build(np.asarray(pool.x), schema.retrieval_columns)
    assert held.at["RIM", "index MB"] == index.n_bytes / 1e6
    length = reports[1].spec.history_length
    kept = sum(
        min(len(samples.history.of(u)), length) for u in range(len(samples.history.offsets) - 1)
    )
    assert held.at["DIN", "histories MB"] == 4 * kept * len(samples.schema.item_columns) / 1e6
    assert held.loc["MLP", ["histories MB", "pool MB", "index MB"]].isna().all()
    assert held.at["RIM", "all MB"] == held.loc["RIM"].drop("all MB").sum()
    beside = held.at["RIM", "pool MB"] + held.at["RIM", "index MB"]
    added = held.at["MLP+ROK", "all MB"] - held.at["MLP", "all MB"]
    lines = footprint_reading(table).lines
    assert lines[0].startswith(f"ROK adds {added:+.1f} MB to MLP")
    assert f"RIM's search keeps {beside:.1f} MB" in lines[1]
