"""rokkit.notebook: what a notebook's third cell checks and says, and what a session gives."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from rokkit import notebook
from rokkit.data import load
from rokkit.errors import ConfigError, DataError
from rokkit.experiments import RunEvent, Settings


@pytest.fixture(autouse=True)
def own_style() -> Iterator[None]:
    """begin() sets matplotlib's style for the whole process."""
    with mpl.rc_context():
        yield


def cell(**names: Any) -> dict[str, Any]:
    """Globals of a notebook on the made data set."""
    return {
        "dataset": "toy",
        "study": "own",
        "systems": ["LR", "MLP+ROK", "DIN+ROK"],
        "seeds": [0, 1],
        "k": 3,
        "device": "cpu",
        "__name__": "__main__",
    } | names


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"alhpa": 0.3},
            "this notebook's parameters: parameter 'alhpa' is not known. Did you mean 'alpha'?",
        ),
        ({"k": "ten"}, "this notebook's parameters: k is 'ten' (str); expected int."),
        ({"seeds": [0, 0.5]}, "seeds[1] is 0.5 (float); expected int."),
        ({"manner": "feture"}, "manner: value 'feture' is not known. Did you mean 'feature'?"),
        ({"alpha": 2.0}, "alpha is 2.0; expected from 0 to 1."),
        ({"dataset": "tou"}, "data set 'tou' is not known. Did you mean 'toy'?"),
        ({"data_options": ["usres=3"]}, "setting 'usres' is not known. Did you mean 'users'?"),
        ({"systems": ["DNI"]}, "system 'DNI' is not known. Did you mean 'DIN'?"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(
    names: dict[str, Any], message: str, places: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        notebook.begin(cell(**names))
    assert message in str(caught.value)
    assert not places.exists()


@pytest.mark.usefixtures("places")
def test_raw_files_that_are_not_there_are_named_with_the_remedy() -> None:
    with pytest.raises(DataError, match="rokkit data fetch movielens"):
        notebook.begin({"dataset": "movielens"})


@pytest.mark.usefixtures("toy")
def test_begin_prints_one_line_before_there_are_samples(
    places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = notebook.begin(cell())
    out = capsys.readouterr().out
    assert out == session.status() + "\n"
    assert out.rstrip("\n").split(" · ") == [
        "rokkit 0.1.0",
        "toy",
        "cpu",
        "samples and 6 runs or more to do",
        f"{places}/results/own, {places}/figures/own",
    ]
    assert not places.exists()


@pytest.mark.usefixtures("toy")
def test_begin_counts_runs_once_there_are_samples(capsys: pytest.CaptureFixture[str]) -> None:
    load("toy")
    session = notebook.begin(cell())
    # Per seed: lr, mlp+rok, din+rok, the knowledge base they share and its teacher.
    assert "10 runs: 0 done, 10 to do" in capsys.readouterr().out
    assert session.settings == Settings(
        dataset="toy",
        study="own",
        systems=("LR", "MLP+ROK", "DIN+ROK"),
        seeds=(0, 1),
        k=3,
        device="cpu",
    )


@pytest.mark.usefixtures("toy")
def test_the_first_cells_may_run_again_after_the_others() -> None:
    names = cell()
    notebook.begin(names)
    names |= {"reports": ["a"], "fixed": True, "k": 4}
    assert notebook.begin(names).settings.k == 4
    names["In"] = ["alhpa: float = 0.3  # weight"]
    names["alhpa"] = 0.3
    with pytest.raises(ConfigError, match="Did you mean 'alpha'"):
        notebook.begin(names)


@pytest.mark.usefixtures("toy")
def test_specs_follow_the_order_of_the_settings() -> None:
    labels = [spec.label for spec in notebook.begin(cell()).specs()]
    assert labels == ["lr-s0", "lr-s1", "mlp+rok-s0", "mlp+rok-s1", "din+rok-s0", "din+rok-s1"]


@pytest.mark.usefixtures("toy")
def test_constructions_are_listed_once_each() -> None:
    session = notebook.begin(cell())
    found = session.constructions()
    assert len(found) == len(set(found)) == 2  # one per seed, shared by both systems
    parents = {parent for spec in session.specs() if spec.knowledge for parent in spec.parents()}
    assert set(found) == parents
    # One whose users read histories of another length is the same run, and listed once.
    longer = session.having(model_options=["din.history_length=7"])
    assert [one.key("") for one in longer.constructions()] == [one.key("") for one in found]
    assert notebook.begin(cell(systems=["LR", "RIM"])).constructions() == []


@pytest.mark.usefixtures("toy")
def test_the_plan_lists_every_run_after_those_it_needs(places: Path) -> None:
    session = notebook.begin(cell(seeds=[0]))
    plan = session.plan()
    assert list(plan.columns) == ["run", "state", "folder"]
    assert set(plan["state"]) == {"to do"}
    order = list(plan["run"])
    (construction,) = session.constructions()
    assert len(order) == len(set(order)) == 5
    assert order.index("rim-s0") < order.index(construction.label) < order.index("mlp+rok-s0")
    for run, folder in zip(plan["run"], plan["folder"], strict=True):
        assert re.fullmatch(re.escape(f"{places}/runs/toy/{run}-") + "[0-9a-f]+", folder)
    assert list(session.plan(session.specs()[:1])["run"]) == ["lr-s0"]


@pytest.mark.usefixtures("toy")
def test_the_plan_of_several_studies_has_each_run_once() -> None:
    session = notebook.begin(cell(systems=["LR"], seeds=[0]))
    studies = {"own": session, "fast": session.having(learning_rate=0.5), 3: session}
    plan = session.plan_of(studies)
    assert list(plan["run"]) == ["lr-s0", "lr-s0"]
    assert len(set(plan["folder"])) == 2
    session.runs_of(studies)
    assert list(session.plan_of(studies)["state"]) == ["done", "done"]


@pytest.mark.usefixtures("toy")
def test_samples_are_those_of_the_settings() -> None:
    session = notebook.begin(cell(data_options=["train_rows=6"]))
    assert len(session.samples.train) == 6
    assert session.samples is session.samples


@pytest.mark.usefixtures("toy")
def test_runs_are_executed_then_read(capsys: pytest.CaptureFixture[str]) -> None:
    session = notebook.begin(cell(systems=["LR"], seeds=[0], epochs=1))
    (first,) = session.runs()
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "1 runs: 0 read, 1 executed"
    (second,) = session.runs()
    assert capsys.readouterr().out == "1 runs: 1 read, 0 executed\n"
    assert (first.cached, second.cached) == (False, True)
    assert first.metrics == second.metrics
    assert list(session.plan()["state"]) == ["done"]
    assert "1 runs: 1 done, 0 to do" in session.status()


@pytest.mark.usefixtures("toy")
def test_the_runs_of_several_studies_are_executed_in_one_call(
    capsys: pytest.CaptureFixture[str],
) -> None:
    session = notebook.begin(cell(systems=["LR"], seeds=[0, 1], epochs=1))
    studies = {"short": session, 0.5: session.having(learning_rate=0.5), "again": session}
    capsys.readouterr()
    found = session.runs_of(studies)
    assert capsys.readouterr().out.endswith("6 runs: 0 read, 6 executed\n")
    assert list(found) == ["short", 0.5, "again"]
    for name, study in studies.items():
        assert [report.spec for report in found[name]] == study.specs()
    assert [r.key for r in found["short"]] == [r.key for r in found["again"]]


@pytest.mark.parametrize(
    ("fields", "left", "text"),
    [
        ({}, None, "din-s0"),
        (
            {"epoch": 3, "epochs": 20, "auc": 0.91409},
            250.0,
            "din-s0 epoch 3/20 AUC 0.9141 · 4:10 left",
        ),
        ({"epoch": 3}, None, "din-s0 epoch 3/?"),
    ],
)
def test_a_note_says_what_a_run_is_at(
    fields: dict[str, Any], left: float | None, text: str
) -> None:
    event = RunEvent(
        kind="progress", label="din-s0", done=0, total=2, seconds=1.0, left=left, fields=fields
    )
    assert notebook.note(event) == text


def test_a_failed_run_is_told_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROKKIT_PROGRESS", "lines")
    with notebook.Follower() as follower:
        assert follower.progress is None
        follower.event(
            RunEvent(
                kind="failed", label="din-s0", done=1, total=2, seconds=1.0, fields={"error": "bad"}
            )
        )
    assert follower.progress is None
    first, second = capsys.readouterr().out.splitlines()
    assert first == "failed: din-s0: bad"
    assert second.startswith("runs 1/2 (50 %) · ")


@pytest.mark.usefixtures("toy")
def test_one_option_of_the_data_set_is_changed_and_the_others_stay() -> None:
    session = notebook.begin(cell(data_options=["train_rows=5", "seed=3"]))
    changed = session.with_option("train_rows=7")
    assert set(changed.settings.data_options) == {"seed=3", "train_rows=7"}
    assert set(session.with_option("val_rows=2").settings.data_options) == {
        "train_rows=5",
        "seed=3",
        "val_rows=2",
    }
    assert session.settings.data_options == ("train_rows=5", "seed=3")
    with pytest.raises(ConfigError, match=r"session\.with_option: 'train_rows' is not an option"):
        session.with_option("train_rows")


@pytest.mark.usefixtures("toy")
def test_what_learns_from_the_whole_pool_has_seeds_and_evaluations_of_its_own() -> None:
    session = notebook.begin(cell(seeds=[0, 1, 2], long_seeds=[1], long_evaluations=4))
    long = session.of_whole_pool()
    assert (long.settings.seeds, long.settings.evaluations_per_epoch) == ((1,), 4)
    assert session.settings.seeds == (0, 1, 2)
    assert {one.training.evaluations_per_epoch for one in long.specs()} == {4}
