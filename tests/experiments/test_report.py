"""A damaged run folder is named with its remedy; nothing of it is deleted."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from small_study import contents, settle, spec

from rokkit.errors import ArtefactError
from rokkit.experiments import Report, RunError, Runs
from rokkit.experiments.spec import hash_of
from rokkit.experiments.weights import read_weights

USER = spec("MLP+ROK")
ASKED = [USER, spec("LR")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with finished runs; tests damage a copy."""
    with pytest.MonkeyPatch.context() as patch:
        runs = settle(tmp_path_factory.mktemp("whole"), patch)
        Runs()(ASKED)
        yield runs


@dataclass(frozen=True)
class Held:
    """A copy of the finished runs."""

    runs: Path
    user: Report
    lr: Report


@pytest.fixture
def held(whole: Path, tmp_path: Path) -> Held:
    shutil.copytree(whole, tmp_path / "runs")
    return Held(tmp_path / "runs", *Runs(tmp_path / "runs")(ASKED))


def assert_refused(held: Held, message: str) -> None:
    """Reading fails with `message` and a remedy, and changes nothing."""
    before = contents(held.runs)
    with pytest.raises(ArtefactError, match=message) as caught:
        Runs(held.runs)([spec("LR"), USER])
    assert "run again" in str(caught.value)
    assert str(held.user.folder) in str(caught.value)
    assert contents(held.runs) == before


@pytest.mark.parametrize(
    "name",
    [
        "best.safetensors",
        "history.csv",
        "predictions.npy",
        "predictions_val.npy",
        "report.json",
        "spec.json",
    ],
)
def test_a_missing_or_truncated_file_is_named(held: Held, name: str) -> None:
    path = held.user.folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    remedy = re.escape(f"Remove the run (rm -r {held.user.folder}) or ask for it with --force")
    sizes = f"has {len(content) - 1} bytes, {len(content)} were written"
    assert_refused(held, rf"{name} {sizes}\. {remedy}")
    path.unlink()
    assert_refused(held, rf"{name} is missing\. {remedy}")


@pytest.mark.parametrize("name", ["spec.json", "report.json"])
def test_json_of_the_right_size_that_cannot_be_read_is_named(held: Held, name: str) -> None:
    path = held.user.folder / name
    path.write_text("x" * path.stat().st_size)
    assert_refused(held, f"{name} is damaged")


def test_a_damaged_done_is_named(held: Held) -> None:
    (held.user.folder / "DONE").write_bytes(b"")
    assert_refused(held, "DONE is damaged")


@pytest.mark.parametrize("what", ["a setting", "the key", "both"])
def test_a_changed_spec_is_not_taken_for_the_run(held: Held, what: str) -> None:
    """Kills: a check of the key alone, or of a hash that the file itself brings along."""
    (construction,) = Runs(held.runs)(USER.parents())
    path = construction.folder / "spec.json"
    text, values = path.read_text(), json.loads(path.read_text())
    changed = text
    if what != "the key":
        changed = changed.replace('"alpha": 0.1', '"alpha": 0.2')
    if what != "a setting":
        values["covers"]["construct"]["alpha"] = 0.2
        changed = changed.replace(values["key"], hash_of(values["covers"]))
    assert len(changed) == len(text)
    assert changed != text
    path.write_text(changed)
    with pytest.raises(ArtefactError, match=r"spec\.json is not the spec of key .*was changed"):
        Runs(held.runs)(USER.parents())
    assert path.read_text() == changed


def test_a_renamed_folder_is_not_taken_for_another_run(held: Held) -> None:
    shutil.rmtree(held.user.folder)
    shutil.copytree(held.lr.folder, held.user.folder)
    assert_refused(held, rf"spec\.json is not the spec of key {held.user.key[:12]}.*was renamed")


@pytest.mark.parametrize("text", ["[]", "{}", '{"files": 3}'])
def test_a_done_that_lists_no_files_is_named(held: Held, text: str) -> None:
    (held.lr.folder / "DONE").write_text(text, encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"DONE lists no files.*run again"):
        Runs(held.runs)([spec("LR")])


def test_a_history_that_holds_no_numbers_is_named(held: Held) -> None:
    path = held.lr.folder / "history.csv"
    path.write_text(path.read_text().replace("1", "x", 1), encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"history\.csv is damaged.*run again"):
        held.lr.history()


def test_a_report_that_lacks_a_part_is_named(held: Held) -> None:
    path = held.user.folder / "report.json"
    size = path.stat().st_size
    path.write_text(path.read_text().replace('"metrics"', '"metricz"'))
    assert path.stat().st_size == size
    assert_refused(held, r"report\.json has no 'metrics'")


def test_a_damaged_header_of_predictions_is_named_when_they_are_read(held: Held) -> None:
    path = held.user.folder / "predictions.npy"
    path.write_bytes(b"\0" * 8 + path.read_bytes()[8:])
    (user, _) = Runs(held.runs)(ASKED)
    with pytest.raises(ArtefactError, match=r"predictions\.npy is truncated or damaged"):
        user.predictions()
    assert len(user.predictions("val")) == 40


def damaged(path: Path) -> None:
    path.write_bytes(b"\xff" * 16 + path.read_bytes()[16:])


def test_damaged_weights_are_named_when_they_are_read(held: Held) -> None:
    damaged(held.user.folder / "best.safetensors")
    message = rf"best\.safetensors is damaged .*rm -r {re.escape(str(held.user.folder))}"
    with pytest.raises(ArtefactError, match=message):
        read_weights(held.user.folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged, r"best\.safetensors is damaged"),
        (lambda path: shutil.copy(path.parent.parent / "other", path), "does not fit its spec"),
    ],
)
def test_a_parent_with_damaged_weights_fails_its_child_and_stays(
    held: Held, damage: Callable[[Path], None], message: str
) -> None:
    """The remedy is about the parent's folder, not the child's."""
    shutil.copy(held.lr.folder / "best.safetensors", held.lr.folder.parent / "other")
    (teacher,) = Runs(held.runs)([spec("RIM")])
    weights = teacher.folder / "best.safetensors"
    damage(weights)
    done = json.loads((teacher.folder / "DONE").read_text())
    done["files"]["best.safetensors"] = weights.stat().st_size
    (teacher.folder / "DONE").write_text(json.dumps(done))
    before = contents(teacher.folder)
    with pytest.raises(RunError, match=message) as caught:
        Runs(held.runs)([spec("MLP+ROK", alpha=0.7)])
    (failure,) = caught.value.failures
    assert failure.label == "knowledge-rim-s0"
    assert f"rm -r {teacher.folder}" in failure.error
    assert contents(teacher.folder) == before


def test_the_remedy_mends(held: Held) -> None:
    damaged(held.user.folder / "best.safetensors")
    expected = np.array(held.user.predictions())
    shutil.rmtree(held.user.folder)
    user, lr = Runs(held.runs)(ASKED)
    assert (user.cached, lr.cached) == (False, True)
    np.testing.assert_array_equal(user.predictions(), expected)
