"""`rokkit export`: what it says of a run that it wrote."""

import json
from pathlib import Path

import pytest

from rokkit.cli import main
from rokkit.experiments import DataSpec, ModelSpec, Runs, RunSpec
from rokkit.training import TrainConfig


@pytest.mark.usefixtures("toy")
def test_it_tells_what_was_written_and_the_terms(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = RunSpec(
        data=DataSpec.of("toy"), model=ModelSpec.of("lr"), training=TrainConfig(epochs=1)
    )
    (report,) = Runs(device="cpu")([spec])
    capsys.readouterr()
    assert main(["export", "lr-s0", "--no-onnx"]) == 0
    folder = places / "exported" / "toy" / report.folder.name
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"{report.folder.name} as {folder}"
    files = json.loads((folder / "artefact.json").read_text())["files"]
    told = {line.split()[0]: line.split()[1] for line in lines if line.endswith(" bytes")}
    assert told == {name: f"{held['bytes']:,}" for name, held in files.items()}
    assert lines[-3].startswith("differs from the model by at most: pt2 ")
    assert lines[-2:] == ["no ONNX: it was not asked for", "terms of toy: none. made for a test"]
    assert main(["export", "lr-s0", "--no-onnx"]) == 2
    assert f"{report.folder.name} exists; give a new folder" in capsys.readouterr().err
    assert main(["export", "lr-s0", "--output", str(places / "other"), "--no-onnx"]) == 0
    assert (places / "other" / "model.pt2").is_file()


@pytest.mark.usefixtures("places")
def test_a_misspelt_run_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "lr-s0"]) == 2
    assert "run 'lr-s0' is not known in " in capsys.readouterr().err
