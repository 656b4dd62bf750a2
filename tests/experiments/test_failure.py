"""Runs that fail: named with a remedy, nothing half-written, the others untouched."""

import errno
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import contents, settle, spec, yields

from rokkit import files
from rokkit.errors import TrainingError
from rokkit.experiments import ModelSpec, RunError, RunEvent, RunFailure, Runs, RunSpec
from rokkit.experiments.failure import describe
from rokkit.models import MODELS, BackboneConfig, register_backbone, register_teacher
from rokkit.models.lr import LR
from rokkit.models.rim import RIM, RIMConfig


class Loose(LR):
    """A backbone with a wire that can come off."""

    off = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if Loose.off:
            raise RuntimeError("a wire\ncame off")
        return super().forward(*args, **kwargs)


class LooseTeacher(RIM):
    """The same for a teacher, in what it predicts and in what it teaches."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if Loose.off:
            raise RuntimeError("a wire came off")
        return super().forward(*args, **kwargs)

    def aggregate(self, *args: Any, **kwargs: Any) -> Any:
        if Loose.off:
            raise RuntimeError("a wire came off")
        return super().aggregate(*args, **kwargs)


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where runs lie; the two models are registered, and the wire is off."""
    register_backbone("loose", config=BackboneConfig)(Loose)
    register_teacher("loose-teacher", config=RIMConfig)(LooseTeacher)
    monkeypatch.setattr(Loose, "off", True)
    yield settle(tmp_path, monkeypatch)
    MODELS.remove("loose")
    MODELS.remove("loose-teacher")


@pytest.fixture
def loose() -> RunSpec:
    return replace(spec("LR"), model=ModelSpec.of("loose", {"embed_dim": 4}))


def folder_of(one: RunSpec) -> Path:
    return Runs().plan([one])[-1].folder


def failing(asked: list[RunSpec], **how: Any) -> RunError:
    with pytest.raises(RunError) as caught:
        Runs(**how)(asked)
    return caught.value


def test_the_error_names_run_cause_place_and_remedy(loose: RunSpec) -> None:
    error = failing([loose])
    (failure,) = error.failures
    folder = folder_of(loose)
    assert failure.label == "loose-s0"
    assert failure.folder == str(folder)
    assert failure.error == "RuntimeError: a wire came off"  # one line
    file, _, rest = failure.where.partition(":")
    assert file.endswith("rokkit/models/base.py")  # the innermost frame of rokkit's own
    assert rest.endswith("(penalised)")
    assert failure.remedy.startswith(f"See {folder}/traceback.txt; running again resumes")
    text = str(error)
    assert text.startswith("1 run failed:\n  loose-s0 (")
    for piece in (failure.error, failure.where, failure.remedy):
        assert piece in text
    assert "not started" not in text


def test_a_failed_run_keeps_a_traceback_and_is_not_done(loose: RunSpec) -> None:
    failing([loose])
    folder = folder_of(loose)
    assert {p.name for p in folder.iterdir()} == {"spec.json", "traceback.txt"}
    text = (folder / "traceback.txt").read_text()
    assert text.startswith("Traceback")
    assert "test_failure.py" in text
    assert text.endswith("RuntimeError: a wire\ncame off\n")


def test_independent_runs_finish_and_those_in_need_are_listed(loose: RunSpec) -> None:
    """Kills: a first failure that stops the rest; a child started without its parent."""
    user = spec("MLP+ROK", teacher="loose-teacher")
    error = failing([loose, user, spec("LR"), spec("RIM")])
    assert [f.label for f in error.failures] == ["loose-teacher-s0", "loose-s0"]
    assert error.skipped == ("knowledge-loose-teacher-s0", "mlp+rok-loose-teacher-s0")
    assert str(error).startswith("2 runs failed:")
    assert str(error).endswith(
        "not started, because they need these: knowledge-loose-teacher-s0, mlp+rok-loose-teacher-s0"
    )
    assert [r.done for r in Runs().plan([spec("LR"), spec("RIM"), loose])] == [True, True, False]
    assert not folder_of(user).exists()


def test_after_mending_what_failed_is_executed_and_the_rest_is_read(
    runs: Path, monkeypatch: pytest.MonkeyPatch, loose: RunSpec
) -> None:
    asked = [loose, spec("LR")]
    failing(asked)
    before = contents(folder_of(spec("LR")))
    monkeypatch.setattr(Loose, "off", False)
    mended, lr = Runs()(asked)
    assert (mended.cached, lr.cached) == (False, True)
    assert contents(lr.folder) == before
    assert not (mended.folder / "traceback.txt").exists()
    assert mended.metrics == lr.metrics  # with its wire on it is LR


def test_a_failing_construction_leaves_its_teacher_and_goes_on_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = spec("MLP+ROK", teacher="loose-teacher")
    monkeypatch.setattr(Loose, "off", False)
    teacher = user.parents()[0].parents()[0]
    Runs()([teacher])
    monkeypatch.setattr(Loose, "off", True)
    error = failing([user])
    assert [f.label for f in error.failures] == ["knowledge-loose-teacher-s0"]
    assert error.skipped == ("mlp+rok-loose-teacher-s0",)
    assert (folder_of(teacher) / "DONE").exists()
    monkeypatch.setattr(Loose, "off", False)
    assert Runs()([teacher, user])[0].cached


def test_a_failure_is_told_and_not_counted_as_done(loose: RunSpec) -> None:
    events: list[RunEvent] = []
    failing([loose, spec("LR")], progress=events.append)
    told = [(e.kind, e.label, e.done) for e in events if e.kind != "progress"]
    assert told == [
        ("start", "loose-s0", 0),
        ("failed", "loose-s0", 0),
        ("start", "lr-s0", 0),
        ("done", "lr-s0", 1),
    ]
    assert next(e for e in events if e.kind == "failed").fields == {
        "error": "RuntimeError: a wire came off"
    }


def test_rokkits_own_errors_say_themselves_what_to_do() -> None:
    error = failing([spec("LR", learning_rate=1e38)])
    (failure,) = error.failures
    assert failure.error.startswith("the mean training loss up to step 8 is ")
    assert "Lower learning_rate" in failure.error
    assert failure.remedy == "Mend what the message names, then run again."


def test_an_error_is_described_in_one_line() -> None:
    assert describe(KeyError("a\n b")) == "KeyError: 'a\\n b'"
    assert describe(TrainingError("the loss\n  is nan")) == "the loss is nan"


def test_the_error_crosses_processes() -> None:
    failure = RunFailure("lr-s0", "runs/x", "RuntimeError: no", "", "Try again.")
    error = pickle.loads(pickle.dumps(RunError([failure, failure], ["din-s0"])))
    assert error.failures == (failure, failure)
    assert error.skipped == ("din-s0",)
    assert str(error) == (
        "2 runs failed:\n  lr-s0 (runs/x): RuntimeError: no\n    Try again.\n"
        "  lr-s0 (runs/x): RuntimeError: no\n    Try again.\n"
        "  not started, because they need these: din-s0"
    )


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_after(stream: Any, array: Any, **how: Any) -> None:
    """A disk that holds the first bytes of an array."""
    stream.write(b"\x93NUMPY")
    full()


@pytest.mark.parametrize(
    ("place", "lacking"),
    [("predictions", "predictions.npy"), ("weights", "best.safetensors"), ("rename", "spec.json")],
)
def test_a_full_disk_leaves_no_halves_and_the_run_resumes(
    runs: Path, monkeypatch: pytest.MonkeyPatch, place: str, lacking: str
) -> None:
    """Kills: a partial file under its own name; a traceback that cannot be written either."""
    (earlier,) = Runs()([spec("LR")])
    before = contents(earlier.folder)
    expected = Runs(runs / "elsewhere")([spec("MLP")])
    with monkeypatch.context() as patch:
        if place == "predictions":
            patch.setattr(np, "save", full_after)
        elif place == "weights":
            patch.setattr(Path, "write_bytes", full)
        else:
            patch.setattr(files.os, "replace", full)
        error = failing([spec("MLP")])
    (failure,) = error.failures
    assert failure.label == "mlp-s0"
    folder = folder_of(spec("MLP"))
    assert failure.error.startswith(f"no space left while writing {folder}/")
    assert "Free some space" in failure.error
    assert failure.remedy == "Mend what the message names, then run again."
    names = {p.name for p in folder.iterdir()}
    assert not {"DONE", "report.json", lacking} & names
    assert not [name for name in names if name.endswith(".tmp")]
    assert contents(earlier.folder) == before
    assert yields(Runs()([spec("MLP")])) == yields(expected)


def test_a_full_disk_does_not_hide_which_run_failed(
    runs: Path, monkeypatch: pytest.MonkeyPatch, loose: RunSpec
) -> None:
    """Kills: an error about the file that tells watchers where a call stands."""
    real = files.os.replace

    def replaced(source: Any, target: Any) -> None:
        full() if ".status" in str(target) else real(source, target)

    monkeypatch.setattr(files.os, "replace", replaced)
    error = failing([loose, spec("LR")])
    assert [f.label for f in error.failures] == ["loose-s0"]
    assert (folder_of(spec("LR")) / "DONE").exists()
