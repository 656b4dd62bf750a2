"""A finished run becomes a folder that answers without rokkit, or nothing at all."""

import dataclasses
import hashlib
import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_study import contents, settle, spec

from rokkit.data import Samples, load
from rokkit.data.batch import Batch
from rokkit.data.raw_values import read_values
from rokkit.errors import ArtefactError, ConfigError
from rokkit.experiments import Report, Runs, export_run
from rokkit.experiments import export as exporting
from rokkit.experiments.export import find_run, refusal
from rokkit.experiments.inputs import Inputs
from rokkit.experiments.weights import load_base, load_run
from rokkit.serving import artefact as artefacts
from rokkit.serving.onnx import missing_packages

SCORE = Path(__file__).resolve().parents[2] / "examples" / "score.py"
SYSTEMS = ("LR", "DIN+ROK", "MLP+SOFT", "DIEN")
FORMATS = [False] if missing_packages() else [False, True]  # ONNX too


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Report]]:
    """Runs by label, with all that they lean on."""
    with pytest.MonkeyPatch.context() as patch:
        place = settle(tmp_path_factory.mktemp("study"), patch)
        patch.setenv("ROKKIT_EXPORTED", str(place.parent / "exported"))
        asked = [spec(system) for system in SYSTEMS]
        asked.append(asked[1].construction)
        yield {report.label: report for report in Runs(place, device="cpu")(asked)}


@pytest.fixture(scope="module")
def samples(study: dict[str, Report]) -> Samples:
    return load("small")


def raw_history(samples: Samples, x: np.ndarray) -> list[dict[str, Any]]:
    """The behaviours of the user of x [F], oldest first, as a person would write them."""
    names = [samples.schema.fields[column].name for column in samples.schema.item_columns]
    values = read_values(samples.folder)
    rows = samples.history.of(int(samples.user_index(x[None])[0]))
    return [dict(zip(names, values[row], strict=True)) for row in rows]


def words(folder: Path, event: dict[str, Any], *past: list[dict[str, Any]]) -> list[str]:
    """The command line of examples/score.py, after python."""
    return [str(SCORE), str(folder), json.dumps(event), *map(json.dumps, past)]


def scored(folder: Path, event: dict[str, Any], *past: list[dict[str, Any]]) -> float:
    """What examples/score.py prints, where rokkit cannot be imported."""
    source = (
        "import runpy, sys\nsys.modules['rokkit'] = None\nsys.argv = sys.argv[1:]\n"
        f"runpy.run_path({str(SCORE)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", source, *words(folder, event, *past)],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return float(done.stdout)


def order_matters(report: Report, samples: Samples, row: int) -> bool:
    """Whether the run's model answers otherwise for the same behaviours turned round."""
    needs = frozenset({"history"})
    batch = Inputs(report.spec, samples, "cpu").feed("test", needs).batch(torch.tensor([row]))
    turned = dataclasses.replace(batch, history=batch.history.flip(1))
    model = load_run(report.folder, report.spec, samples)
    with torch.no_grad():
        return abs(float(model(batch).sigmoid() - model(turned).sigmoid())) > 1e-5


@pytest.mark.parametrize("onnx", FORMATS)
def test_the_example_gives_the_kept_prediction(
    onnx: bool,
    study: dict[str, Report],
    samples: Samples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kills: ids of other fields, a history turned round, cut at its other end or padded before."""
    report = study["dien-s0"]
    folder = export_run(report.folder, tmp_path / "served", onnx).folder
    row = 5
    event = samples.raw(samples.test.x[[row]]).iloc[0].to_dict()
    past = raw_history(samples, samples.test.x[row])
    assert len(past) > 5  # the spec keeps 5
    kept = float(report.predictions()[row])
    assert order_matters(report, samples, row)
    # Numbers are given as numbers; what is unknown is left out before the newest are taken.
    event = {name: int(value) for name, value in event.items()}
    past = [*past, {"item": "nobody's", "brand": 1}]
    assert scored(folder, event, past) == pytest.approx(kept, abs=2e-6)
    if onnx:  # asked as the model card says, by what the example looked up
        monkeypatch.setattr(sys, "argv", words(folder, event, past))
        inputs = runpy.run_path(str(SCORE))["inputs"]
        runtime = importlib.import_module("onnxruntime")
        (answer,) = runtime.InferenceSession(folder / "model.onnx").run(None, inputs)
        assert float(answer[0]) == pytest.approx(kept, abs=2e-6)


def test_unknown_and_missing_values_have_the_id_of_padding(
    study: dict[str, Report], samples: Samples, tmp_path: Path
) -> None:
    report = study["din+rok-s0"]
    folder = export_run(report.folder, tmp_path / "served", onnx=False).folder
    event = {"user": 3, "item": "no such item", "day": 6.5}  # and no brand
    x = torch.zeros(1, 4, dtype=torch.int32)
    held = read_values(samples.folder)
    x[0, 0] = next(i for i in held.index if held[i] == "3" and i < samples.schema.fields[0].stop)
    empty = Batch(x=x, history=torch.zeros(1, 5, 2, dtype=torch.int32))
    with torch.no_grad():
        expected = float(load_run(report.folder, report.spec, samples)(empty).sigmoid())
    assert scored(folder, event, []) == pytest.approx(expected, abs=2e-6)
    assert scored(folder, event) == pytest.approx(expected, abs=2e-6)  # no past is an empty one


def test_the_folder_says_what_is_in_it(
    study: dict[str, Report], samples: Samples, tmp_path: Path
) -> None:
    report = study["din+rok-s0"]
    made = export_run(report.folder, tmp_path / "served", onnx=False)
    about = json.loads((made.folder / "artefact.json").read_text())
    names = {p.relative_to(made.folder).as_posix() for p in made.folder.rglob("*") if p.is_file()}
    arrays = {f"vocabulary/{name}.npy" for name in ("texts", "starts", "ids")}
    assert set(about["files"]) == {"model.pt2"} | arrays == names - {"artefact.json", "README.md"}
    for name, held in about["files"].items():
        data = (made.folder / name).read_bytes()
        assert held == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert about["inputs"]["x"] == {"dtype": "int32", "shape": ["rows", 4]}
    assert about["inputs"]["history"] == {"dtype": "int32", "shape": ["rows", 5, 2]}
    assert about["outputs"] == {"probability": {"dtype": "float32", "shape": ["rows"]}}
    assert about["programs"] == {"pt2": "model.pt2"}
    assert about["schema"] == json.loads(json.dumps(samples.schema.to_dict()))
    assert about["run"]["key"] == report.key
    assert about["data"] == {"name": "small", "fingerprint": samples.fingerprint}
    assert about["differences"]["pt2"] <= 1e-5
    assert about["kept_predictions_differ_by"] <= 1e-6
    assert [p.name for p in tmp_path.iterdir()] == ["served"]


def test_the_card_repeats_the_report(
    study: dict[str, Report], samples: Samples, tmp_path: Path
) -> None:
    report = study["din+rok-s0"]
    made = export_run(report.folder, tmp_path / "served", onnx=False)
    card = (made.folder / "README.md").read_text()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in card.splitlines()]
    table = {row[0]: row[1:] for row in cells if len(row) > 1}
    assert card.startswith("# DIN+ROK on small, seed 0\n")
    for name in ("auc", "log_loss", "gauc", "ece"):
        assert table[name] == [f"{report.metrics[p][name]:.4f}" for p in ("test", "val")]
    assert table["parameters in id tables"] == [f"{report.parameters['table']:,}"]
    assert table["parameters elsewhere"] == [f"{report.parameters['dense']:,}"]
    assert table["bytes of the id tables"] == [f"{4 * report.parameters['table']:,}"]
    assert table["bytes of model.pt2"] == [f"{made.artefact.files['model.pt2']:,}"]
    assert table["bytes of all these files"] == [f"{sum(made.artefact.files.values()):,}"]
    assert table["run"] == [report.folder.name]
    assert table["licence"] == ["none"]
    assert table["dropped"] == ["3: torn lines"]
    assert table["use of the base"] == ["manner both, update fix, on_history True"]
    assert f"torch {torch.__version__}" in table["versions"][0]
    assert "taught by RIM" in card
    assert "`history` [rows, 5, 2] holds item, brand of the user's last 5" in card
    assert "There is no ONNX: it was not asked for" in card
    assert 'torch.export.load("model.pt2")' in card
    assert "onnxruntime" not in card
    assert str(samples.folder.parents[2]) not in card  # no place of this machine


def test_a_knowledge_base_is_served_alone(
    study: dict[str, Report], samples: Samples, tmp_path: Path
) -> None:
    report = study["knowledge-rim-s0"]
    made = export_run("knowledge-rim-s0", tmp_path / "served", onnx=False)
    x = torch.from_numpy(np.array(samples.test.x[:3]))
    base = load_base(report.folder, report.spec.knowledge, samples)
    z, f = torch.export.load(made.folder / "knowledge.pt2").module()(x)
    with torch.no_grad():
        torch.testing.assert_close(z, base(x), rtol=0, atol=1e-6)
        assert torch.equal(f, base.embed(x))
    card = (made.folder / "README.md").read_text()
    assert card.startswith("# Knowledge base taught by RIM on small, seed 0\n")
    assert "with the best loss on validation samples" in card
    assert "z, f = program(x)" in card


def test_a_run_is_named_by_its_folder_its_name_or_both(study: dict[str, Report]) -> None:
    folder = study["lr-s0"].folder
    names = ["lr-s0", "small/lr-s0", folder.name, f"small/{folder.name}", str(folder), folder]
    assert {find_run(name) for name in names} == {folder}


def test_what_two_runs_share_is_no_name(
    study: dict[str, Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROKKIT_RUNS", str(tmp_path))
    for key, finished in (("0" * 12, True), ("1" * 12, False)):
        folder = tmp_path / "small" / f"lr-s0-{key}"
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text("{}")
        (folder / "report.json").write_bytes((study["lr-s0"].folder / "report.json").read_bytes())
        if finished:
            (folder / "DONE").write_text("{}")
    with pytest.raises(ConfigError, match="could be any of these") as told:
        export_run("lr-s0")
    first, second = str(told.value).splitlines()[1:]
    auc = study["lr-s0"].metrics["val"]["auc"]
    assert first.startswith(f"  small/lr-s0-000000000000  val auc {auc:.4f}  20")
    assert second == "  small/lr-s0-111111111111  not finished"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lr-s1", r"run 'lr-s1' is not known in .*runs\. The nearest: lr-s0"),
        ("din+rokk-s0", "The nearest: din.rok-s0"),
        ("quite different", r"is not known in .*runs\. 6 runs are there\."),
    ],
)
def test_an_unknown_run_is_told_with_the_nearest(
    name: str, message: str, study: dict[str, Report]
) -> None:
    with pytest.raises(ConfigError, match=message):
        export_run(name)


@pytest.mark.parametrize(
    ("system", "settings", "message"),
    [
        ("GBDT", {}, "gbdt is no network"),
        ("RIM", {}, "3 nearest samples of the pool .*: knowledge-rim, or a backbone with ROK"),
        ("PET", {}, "reads the 3 nearest samples .*: knowledge-pet"),
        ("DERT", {"encoder": "rim"}, "reads the 3 nearest samples .*: knowledge-dert"),
        ("RIM+ROK", {}, "reads the 3 nearest samples"),
        ("LR+R", {}, "reads the 3 nearest samples .*: knowledge-rim"),
        ("LR+R-PET", {}, "reads the 3 nearest samples .*: knowledge-pet"),
        ("MLP+STATS", {}, "what the pool counts of ids"),
        ("MLP+PAIRS", {}, "what the pool counts of ids"),
        ("DIN+PEEK", {}, "selected on test data.* Export din,"),
    ],
)
def test_what_cannot_be_served_by_itself_is_refused(
    system: str, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    one = spec(system, **settings)
    folder = tmp_path / one.label
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps({"spec": one.to_dict()}))
    (folder / "DONE").write_text("{}")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=f"cannot be exported: .*{message}"):
        export_run(folder, tmp_path / "served")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("system", ["LR", "UBR", "SIM", "MIMN", "DIN+ROK-PET", "MLP+POOL"])
def test_the_others_are_not(system: str) -> None:
    assert refusal(spec(system)) == ""
    assert refusal(spec("LR+ROK").parents()[0]) == ""


def test_a_model_trained_with_soft_labels_is_an_ordinary_one(
    study: dict[str, Report], tmp_path: Path
) -> None:
    made = export_run("mlp+soft-s0", tmp_path / "served", onnx=False)
    card = (made.folder / "README.md").read_text()
    assert "| soft of RIM " in card
    assert '"history"' not in (made.folder / "artefact.json").read_text()


def test_a_run_that_is_not_finished_is_refused(study: dict[str, Report], tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not finished: it has no DONE"):
        export_run(tmp_path, tmp_path / "served")


def test_nothing_is_overwritten(study: dict[str, Report], tmp_path: Path) -> None:
    for place in (tmp_path / "folder", tmp_path / "file"):
        place.mkdir() if place.name == "folder" else place.write_text("mine")
        with pytest.raises(ConfigError, match=f"{place.name} exists; give a new folder"):
            export_run("lr-s0", place)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_missing_extra_is_told_if_onnx_is_asked_for(
    study: dict[str, Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rokkit.serving.onnx.missing_packages", lambda: ["onnx", "onnxscript"])
    with pytest.raises(
        ConfigError, match=r"onnx, onnxscript, which are .* pip install 'rokkit\[export\]'"
    ):
        export_run("lr-s0", tmp_path / "served", onnx=True)
    assert list(tmp_path.iterdir()) == []
    made = export_run("lr-s0", tmp_path / "served")
    assert dict(made.artefact.programs) == {"pt2": "model.pt2"}
    assert "There is no ONNX: ONNX needs onnx" in (made.folder / "README.md").read_text()


@pytest.mark.parametrize("what", ["tolerance", "kill", "predictions", "samples"])
def test_it_is_written_whole_or_not_at_all(
    what: str, study: dict[str, Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: type[BaseException] = ArtefactError
    if what == "tolerance":  # what was written answers otherwise than the model
        monkeypatch.setattr(artefacts, "TOLERANCE", -1.0)
        message = "model.pt2 differs from the model by .* on 64 samples"
    elif what == "kill":
        expected, message = KeyboardInterrupt, "now"

        def stop(*_: object) -> None:
            raise KeyboardInterrupt("now")

        monkeypatch.setattr(artefacts, "write_vocabulary", stop)
    elif what == "predictions":  # of another model than the weights are
        monkeypatch.setattr(Report, "predictions", lambda report: np.zeros(1000, np.float32))
        message = "predict otherwise than the run did"
    else:
        other = dataclasses.replace(load("small"), fingerprint="another")
        monkeypatch.setattr(exporting, "samples_of", lambda data: other)
        message = "was trained on other samples than"
    with pytest.raises(expected, match=message):
        export_run("lr-s0", tmp_path / "served", onnx=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("part", "kind"), [("model", "model"), ("data", "data set")])
def test_what_is_registered_elsewhere_is_named(
    part: str, kind: str, study: dict[str, Report], tmp_path: Path
) -> None:
    values = study["lr-s0"].spec.to_dict()
    values[part]["name"] = "mine"
    (tmp_path / "spec.json").write_text(json.dumps({"spec": values}))
    (tmp_path / "DONE").write_text("{}")
    with pytest.raises(ConfigError, match=f"the {kind} 'mine' of .* is not rokkit's own"):
        export_run(tmp_path, tmp_path / "served")
