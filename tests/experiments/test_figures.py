"""Figures: the same bytes in another process, whatever the reader's own settings are."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from rokkit import experiments
from rokkit.experiments import figures
from rokkit.files import read_json

FRAME = pd.DataFrame(
    [
        ("tiny", system, seed, "test", "auc", 0.7 + 0.01 * seed + 0.02 * i)
        for i, system in enumerate(("LR", "DIN+ROK"))
        for seed in range(3)
    ],
    columns=["dataset", "system", "seed", "split", "metric", "value"],
)
CURVES = pd.DataFrame(
    [
        (system, seed, epoch, metric, 0.1 * epoch + 0.01 * seed)
        for system in ("LR", "DIN")
        for seed in range(2)
        for epoch in (1, 2, 3)
        for metric in ("auc", "r2_all", "collapse")
    ],
    columns=["system", "seed", "epoch", "metric", "value"],
)
EVENTS = pd.DataFrame(
    [("pool", t, 10 + t) for t in range(5)] + [("test", t, 3) for t in range(5, 8)],
    columns=["part", "time", "samples"],
)
HISTORY = pd.DataFrame({"length": [0, 1, 9], "share": [0.2, 0.6, 1.0]})
VALUES = pd.DataFrame(
    [
        (alpha, seed, "test", "auc", 0.7 + 0.01 * seed + alpha / 20)
        for alpha in (0.0, 0.5, 1.0)
        for seed in range(2)
    ],
    columns=["variant", "seed", "split", "metric", "value"],
)


def points() -> pd.DataFrame:
    """Layouts of two spaces, as `layouts` makes them."""
    generator = np.random.default_rng(0)
    n = 40
    return pd.DataFrame(
        {
            "space": np.repeat(["r", "z"], n // 2),
            "x": generator.normal(size=n),
            "y": generator.normal(size=n),
            "part": np.tile(["train", "test"], n // 2),
            "label": generator.integers(0, 2, n),
        }
    )


def by_backbone() -> pd.DataFrame:
    """Seconds of each stage, as `phases_table` has them."""
    stages = ("Search s", "Teacher s", "Construction s", "Phase 2 s", "Without ROK s")
    rows = [("LR", 1.0, 4.0, 2.0, 3.0, 3.5), ("DIN", 1.0, 4.0, 2.0, 5.0, 6.0)]
    return pd.DataFrame(rows, columns=["Backbone", *stages])


def many(systems: int) -> pd.DataFrame:
    """Curves of so many systems."""
    return pd.concat([CURVES.assign(system=f"S{i}") for i in range(systems)])


# By kind of figure: the arguments of its function, the frame first. After a dash, another form.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "metric": (FRAME,),
    "compatibility": (FRAME.replace("LR", "DIN"),),
    "variants": (FRAME.rename(columns={"system": "variant"}),),
    "sweep": (VALUES, "alpha", "auc", {"DIN": 0.71, "RIM": 0.74}),
    "spaces": (points(),),
    "phases": (by_backbone(),),
    "latency": (
        pd.DataFrame(
            [("DIN", 0.7, 0.9), ("DIN+ROK", 0.74, 1.1), ("RIM", 0.75, 80.0)],
            columns=["System", "AUC", "p50 ms"],
        ),
    ),
    "claims": (
        pd.DataFrame(
            [
                ("a", "holds"),
                ("b", "not decided"),
                ("c", "does not hold"),
                ("d", "not run"),
            ],
            columns=["Claim", "Verdict"],
        ),
    ),
    "retrieved": (
        pd.DataFrame(
            [(1, 0.8, 0.5, 0.4, 1.0), (2, 0.7, 0.4, 0.4, 1.0), (3, 0.6, 0.2, 0.3, 0.9)],
            columns=["rank", "agrees", "same user", "same item", "found"],
        ),
    ),
    "curves": (CURVES, "auc"),
    "curves-panels": (many(len(figures.COLOURS) + 2), "auc"),
    "construction": (CURVES,),
    "events": (EVENTS, {"test": 5.0}),
    "events-dated": (EVENTS, {"test": 5.0}, "seconds since 1970-01-01 UTC"),
    "long_tail": (pd.DataFrame({"rank": [1, 2, 10], "rows": [50, 20, 1]}),),
    "history": (HISTORY,),
    "reliability": (
        pd.DataFrame(
            [("MLP", 0, 30, 0.1, 0.2), ("MLP", 9, 40, 0.6, 0.5), ("RIM", 9, 70, 0.6, 0.6)],
            columns=["system", "bin", "predictions", "p", "rate"],
        ),
    ),
}


def draw_all(folder: Path) -> dict[str, str]:
    """Draw and save every kind of figure; digests by file name."""
    for name, arguments in ARGUMENTS.items():
        draw = getattr(figures, f"{name.partition('-')[0]}_figure")
        figures.save_figure(draw(*arguments), name, "study", arguments[0])
    files = sorted((folder / "study").iterdir())
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROKKIT_FIGURES", str(tmp_path))
    return tmp_path


def test_every_kind_of_figure_is_drawn() -> None:
    """Kills: a figure that no test looks at, and a list of them that is not complete."""
    kinds = {name.partition("-")[0] for name in ARGUMENTS}
    functions = {name for name in vars(figures) if name.endswith("_figure") and name[0] != "_"}
    assert {f"{kind}_figure" for kind in kinds} | {"save_figure"} == functions
    assert functions == {name for name in experiments.__all__ if name.endswith("_figure")}


@pytest.mark.usefixtures("folder")
def test_a_figure_says_in_words_what_it_shows() -> None:
    saved = figures.save_figure(figures.metric_figure(FRAME), "metric", "study", FRAME)
    png, about = saved._repr_png_()
    assert png == saved.png.read_bytes()
    assert about["alt"].startswith("metric: test AUC (points: seeds; bars: mean ± sd); numbers in ")
    assert about["alt"].endswith("study/metric.csv")


def test_bytes_are_the_same_in_a_process_with_another_hash_seed(folder: Path) -> None:
    """Kills: a date, random ids in the SVG, an order taken from a set."""
    code = (
        "import json, sys; from pathlib import Path; "
        "from tests.experiments.test_figures import draw_all; "
        "print(json.dumps(draw_all(Path(sys.argv[1]))))"
    )
    here = draw_all(folder)
    assert len(here) == 3 * len(ARGUMENTS) + 1  # the manifest
    env = os.environ | {"PYTHONHASHSEED": "77", "ROKKIT_FIGURES": str(folder / "other")}
    root = Path(__file__).resolve().parents[2]
    other = subprocess.run(
        [sys.executable, "-c", code, str(folder / "other")],
        env=env,
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(other.stdout) == here


def test_the_readers_own_settings_do_not_show(folder: Path) -> None:
    """Kills: a figure that inherits fonts or sizes from matplotlibrc or a notebook."""
    plain = draw_all(folder)
    with mpl.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        assert draw_all(folder) == plain
        assert mpl.rcParams["font.size"] == 20


def test_other_data_gives_another_picture(folder: Path) -> None:
    digests = []
    for frame in (FRAME, FRAME.assign(value=FRAME["value"] - 0.1)):
        figures.save_figure(figures.metric_figure(frame), "metric", "study", frame)
        digests.append(read_json(folder / "study" / "manifest.json")["metric"])
    before, after = digests
    assert all(before[ending] != after[ending] for ending in ("csv", "png", "svg"))


def test_the_manifest_has_the_digests_of_what_lies_beside_it(folder: Path) -> None:
    study = folder / "study"
    for name in ("b", "a"):
        figures.save_figure(figures.history_figure(HISTORY), name, "study", HISTORY)
    held = read_json(study / "manifest.json")
    assert list(held) == ["a", "b"]
    assert {
        f"{name}.{ending}": digest
        for name, digests in held.items()
        for ending, digest in digests.items()
    } == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in study.glob("[ab].*")}
    (study / "a.svg").unlink()
    figures.note_digests(study, ["b"])
    assert list(read_json(study / "manifest.json")) == ["b"]


def test_notebooks_that_draw_at_once_lose_no_entry_of_the_manifest(folder: Path) -> None:
    """Kills: a manifest that was read before another process wrote it, and is written after."""
    names = [[f"{who}{i}" for i in range(60)] for who in "abc"]
    for name in itertools.chain(*names):
        for ending in figures.ENDINGS:
            (folder / f"{name}.{ending}").write_text(name)

    def note(own: list[str]) -> None:
        for name in own:
            figures.note_digests(folder, [name])

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(note, names))
    assert list(read_json(folder / "manifest.json")) == sorted(itertools.chain(*names))
    assert not list(folder.glob(".manifest*"))


def test_the_dot_plot_shows_every_seed_and_the_mean(folder: Path) -> None:
    ax = figures.metric_figure(FRAME).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["LR", "DIN+ROK"]
    points = [c.get_offsets()[:, 0].tolist() for c in ax.collections if len(c.get_offsets()) == 3]
    assert points == [pytest.approx([0.70, 0.71, 0.72]), pytest.approx([0.72, 0.73, 0.74])]
    means = [bar.lines[0].get_xdata()[0] for bar in ax.containers]
    assert means == pytest.approx([0.71, 0.73])


def test_systems_differ_in_colour_and_in_marker() -> None:
    looks = figures._looks([str(i) for i in range(7)])
    assert len({colour for _, colour, _ in looks}) == 7
    assert len({marker for _, _, marker in looks}) == 7


def test_samples_outside_the_axis_are_counted_above_it() -> None:
    """Kills: an axis that reaches to infinity; a count of rows of the frame."""
    far = pd.DataFrame(
        [("pool", -np.inf, 1000), ("train", -np.inf, 234), ("test", np.inf, 2)],
        columns=list(EVENTS),
    )
    for unit in ("ticks", "seconds since 1970-01-01 UTC"):
        ax = figures.events_figure(pd.concat([EVENTS, far]), {"test": 5.0}, unit).axes[0]
        assert ax.get_title("left") == "samples not drawn: 1,234 earlier, 2 later"
        plain = figures.events_figure(EVENTS, {"test": 5.0}, unit).axes[0]
        assert plain.get_title("left") == ""
        assert ax.get_xlim() == plain.get_xlim()
    later = figures.events_figure(pd.concat([EVENTS, far[2:]])).axes[0]
    assert later.get_title("left") == "samples not drawn: 2 later"


def test_many_curves_have_a_panel_each() -> None:
    """Kills: a legend over the curves, trees' rounds on the axis of epochs."""
    frame = many(len(figures.COLOURS) + 2)
    systems = list(frame["system"].unique())
    axes = [ax for ax in figures.curves_figure(frame, "auc").axes if ax.axison]
    assert [ax.get_title() for ax in axes] == systems
    assert len({ax.get_ylim() for ax in axes}) == 1
    assert not any(ax.get_legend() for ax in axes)
    few = figures.curves_figure(frame[frame["system"].isin(systems[:7])], "auc")
    assert len(few.axes) == 1
