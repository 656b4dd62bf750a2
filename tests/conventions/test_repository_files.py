"""The files of the repository: nothing of one machine in them, nothing outside, nothing large."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from rokkit.data.digests import sha256
from rokkit.experiments.figures import MANIFEST
from rokkit.files import read_json

ROOT = Path(__file__).resolve().parents[2]
MEGABYTES = 2
PROBES = {"rokkit/notebook_process.py"}  # asks whether the short folder for sockets exists


def tracked() -> list[str]:
    """The files that git keeps; the test is skipped where there is no git."""
    command = ["git", "ls-files", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[str, str]:
    """The text of each file outside the tests."""
    found = {}
    for name in tracked():
        if name.startswith("tests/"):
            continue
        try:
            found[name] = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture
            continue
    return found


def test_git_keeps_what_this_test_is_about() -> None:
    assert {"README.md", "pyproject.toml", "rokkit/cli.py"} <= set(texts())


def test_no_file_names_a_folder_of_one_machine() -> None:
    here = {ROOT, ROOT.parent, Path.home(), Path(tempfile.gettempdir())}
    folders = [re.escape(f"{folder}/") for folder in here if len(folder.parts) > 1]
    someones = r"/(?:home|Users)/\w+/|\b[A-Z]:\\\w+\\"
    pattern = re.compile(r"(?<![\w.~*/>}])(?:" + "|".join([*folders, someones]) + ")")
    held = {name: text for name, text in texts().items() if name != ".gitignore"}
    found = [(name, hit) for name, text in held.items() for hit in pattern.findall(text)]
    assert found == []


def test_the_folder_for_sockets_is_the_only_absolute_one() -> None:
    short = re.compile(r"""["'`]/tmp\b""")
    assert {name for name, held in texts().items() if short.search(held)} <= PROBES


def test_no_path_leads_out_of_the_repository() -> None:
    for name, held in texts().items():
        for path in re.findall(r"(?:\.\./)+[\w./-]*", held):
            target = Path(os.path.normpath((ROOT / name).parent / path))
            assert target.is_relative_to(ROOT), f"{name}: {path}"


def test_no_file_is_large() -> None:
    large = [name for name in tracked() if (ROOT / name).stat().st_size > MEGABYTES * 2**20]
    assert large == []


def test_nothing_that_is_made_or_downloaded_is_kept() -> None:
    made = ("data/", "runs/", "executed/", "results/smoke/", "figures/smoke/", ".venv/")
    kinds = (".whl", ".npy", ".pt", ".safetensors", ".parquet", ".pyc")
    assert [name for name in tracked() if name.startswith(made) or name.endswith(kinds)] == []


def test_committed_figures_are_those_drawn_from_the_data_beside_them() -> None:
    """Kills: a picture that was committed without its CSV, or the CSV without its picture.

    What was copied without its manifest: `python tools/manifests.py`.
    """
    kept = {name for name in tracked() if name.startswith("figures/")}
    noted = {}
    for folder in sorted({Path(name).parent for name in kept}):
        for name, digests in read_json(ROOT / folder / MANIFEST).items():
            noted |= {str(folder / f"{name}.{ending}"): held for ending, held in digests.items()}
    assert {name: sha256(ROOT / name) for name in noted} == noted
    assert {name for name in kept if Path(name).name != MANIFEST} <= set(noted)


def test_lines_end_alike_and_files_end_with_one() -> None:
    for name, held in texts().items():
        assert "\r" not in held, name
        assert not held or held.endswith("\n"), name
