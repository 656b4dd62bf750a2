"""rokkit.paths: the same folders from wherever a notebook is started."""

from pathlib import Path

import pytest

from rokkit import paths


def project(folder: Path) -> Path:
    (folder / "pyproject.toml").write_text('[project]\nname = "rokkit"\n')
    (folder / "notebooks").mkdir()
    return folder


def test_root_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project(tmp_path) / "notebooks")
    assert paths.root() == tmp_path.resolve()


def test_another_project_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    monkeypatch.chdir(tmp_path)
    assert paths.root() == tmp_path.resolve()
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert paths.root() == inner.resolve()


def test_environment_moves_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project(tmp_path))
    for variable in ("ROKKIT_DATA", "ROKKIT_RUNS"):
        monkeypatch.delenv(variable, raising=False)
    assert paths.data_root() == tmp_path.resolve() / "data"
    monkeypatch.setenv("ROKKIT_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("ROKKIT_RUNS", "")
    assert paths.data_root() == tmp_path / "elsewhere"
    assert paths.runs_root() == tmp_path.resolve() / "runs"


def test_shown_is_relative_inside_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project(tmp_path))
    assert paths.shown(tmp_path / "runs" / "a") == "runs/a"
    assert paths.shown(Path("/elsewhere/b")) == "/elsewhere/b"
