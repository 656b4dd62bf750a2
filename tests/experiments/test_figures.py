"""Figures: the same bytes in another process, whatever the reader's own settings are."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from rokkit.experiments import figures

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


def draw_all(folder: Path) -> dict[str, str]:
    """Draw and save every kind of figure; digests by file name."""
    tail = pd.DataFrame({"rank": [1, 2, 10], "rows": [50, 20, 1]})
    history = pd.DataFrame({"length": [0, 1, 9], "share": [0.2, 0.6, 1.0]})
    drawn = {
        "metric": (figures.metric_figure(FRAME), FRAME),
        "curves": (figures.curves_figure(CURVES, "auc"), CURVES),
        "construction": (figures.construction_figure(CURVES), CURVES),
        "events": (figures.events_figure(EVENTS, {"test": 5.0}), EVENTS),
        "tail": (figures.long_tail_figure(tail), tail),
        "history": (figures.history_figure(history), history),
    }
    for name, (fig, data) in drawn.items():
        figures.save_figure(fig, name, "study", data)
    files = sorted((folder / "study").iterdir())
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROKKIT_FIGURES", str(tmp_path))
    return tmp_path


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
    assert len(here) == 18
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
    before = draw_all(folder)
    moved = FRAME.assign(value=FRAME["value"] - 0.1)
    figures.save_figure(figures.metric_figure(moved), "metric", "study", moved)
    after = hashlib.sha256((folder / "study" / "metric.svg").read_bytes()).hexdigest()
    assert after != before["metric.svg"]


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
    systems = [f"S{i}" for i in range(len(figures.COLOURS) + 2)]
    frame = pd.concat([CURVES.assign(system=system) for system in systems])
    axes = [ax for ax in figures.curves_figure(frame, "auc").axes if ax.axison]
    assert [ax.get_title() for ax in axes] == systems
    assert len({ax.get_ylim() for ax in axes}) == 1
    assert not any(ax.get_legend() for ax in axes)
    few = figures.curves_figure(frame[frame["system"].isin(systems[:7])], "auc")
    assert len(few.axes) == 1
