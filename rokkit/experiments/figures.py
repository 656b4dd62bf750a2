"""Figures: drawn from a tidy frame, saved as SVG and PNG that are the same bytes on every run.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; markers differ as well.
Sizes are those of one column of a paper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

from rokkit.data.digests import sha256
from rokkit.experiments.systems import ROK
from rokkit.files import aside, read_json, write_json, write_text
from rokkit.paths import figures_root, shown

# Blue, vermilion, bluish green, orange, sky blue, reddish purple, black; yellow is too faint.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 3.5  # inches: one column
PANELS = 4  # beside each other, where there are many
ENOUGH = 20  # predictions in a bin whose reliability is drawn
ENDINGS = ("svg", "png", "csv")
MANIFEST = "manifest.json"  # beside the figures of a study
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 200,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 8,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "rokkit",  # element ids would be random without it
}


@dataclass(frozen=True)
class SavedFigure:
    """Where a figure was written; a notebook shows it."""

    svg: Path
    png: Path
    csv: Path
    alt: str  # what it shows, for who cannot see it

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return self.png.read_bytes(), {"alt": self.alt}


def save_figure(fig: Figure, name: str, study: str, data: pd.DataFrame) -> SavedFigure:
    """Write `figures/<study>/<name>.{svg,png,csv}`; the CSV is the data that was drawn.

    `manifest.json` beside them says which picture was drawn from which data.
    """
    folder = figures_root() / study
    svg, png, csv = (folder / f"{name}.{ending}" for ending in ENDINGS)
    saved = SavedFigure(svg, png, csv, alt=_alternative(fig, name, csv))
    with style.context(["default", STYLE]):
        FigureCanvasAgg(fig)
        # A date, or the version of matplotlib, would change the bytes.
        with aside(saved.svg) as draft:
            fig.savefig(draft, format="svg", metadata={"Date": None, "Creator": None})
        with aside(saved.png) as draft:
            fig.savefig(draft, format="png", metadata={"Software": None})
    write_text(saved.csv, data.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    note_digests(folder, [name])
    return saved


def note_digests(folder: Path, names: Iterable[str]) -> None:
    """Write the sha256 of the files of these figures into the manifest of their folder.

    By figure, then by ending; a figure that is no longer there is left out.
    """
    path = folder / MANIFEST
    # Two notebooks of a study draw at the same time; neither may lose what the other notes.
    with FileLock(folder.parent / f".{folder.name}.lock"):
        held = dict(read_json(path)) if path.exists() else {}
        for name in names:
            held[name] = {ending: sha256(folder / f"{name}.{ending}") for ending in ENDINGS}
        kept = {name: held[name] for name in held if (folder / f"{name}.svg").exists()}
        write_json(path, kept)


def _alternative(fig: Figure, name: str, csv: Path) -> str:
    """`auc: test AUC; numbers in figures/movielens/auc.csv`."""
    labels = [
        text for ax in fig.axes for text in (ax.get_title(), ax.get_xlabel(), ax.get_ylabel())
    ]
    shows = ", ".join(dict.fromkeys(text.replace("\n", " ") for text in labels if text))
    return f"{name}: {shows}; numbers in {shown(csv)}"


def metric_figure(frame: pd.DataFrame, metric: str = "auc", split: str = "test") -> Figure:
    """A metric per system: every seed a point, mean and standard deviation beside them.

    `frame` is `overall_frame`'s: columns system, seed, split, metric, value.
    """
    part = frame[(frame["metric"] == metric) & (frame["split"] == split)]
    systems = list(dict.fromkeys(part["system"]))

    def draw(ax: Axes) -> None:
        for i, (system, colour, marker) in enumerate(_looks(systems)):
            values = part.loc[part["system"] == system, "value"].to_numpy(float)
            jitter = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(1)
            ax.scatter(values, i + jitter, s=10, color=colour, marker=marker, alpha=0.6)
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            ax.errorbar(values.mean(), i + 0.28, xerr=spread, color=colour, marker=marker)
        ax.set_yticks(range(len(systems)), systems)
        ax.set_ylim(len(systems) - 0.4, -0.5)  # first system on top
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.set_xlabel(f"{split} {_title(metric)} (points: seeds; bars: mean ± sd)")

    return _figure(draw, height=0.7 + 0.3 * len(systems))


def compatibility_figure(frame: pd.DataFrame, metric: str = "auc") -> Figure:
    """A metric on test samples of each backbone without and with a knowledge base.

    `frame` is `overall_frame`'s. A line joins the means; small points are seeds.
    """
    part = frame[(frame["metric"] == metric) & (frame["split"] == "test")]
    means = part.groupby("system", sort=False)["value"].mean()
    backbones = [name for name in means.index if name + ROK in means.index]

    def draw(ax: Axes) -> None:
        for i, name in enumerate(backbones):
            ax.plot([means[name], means[name + ROK]], [i, i], color="#999999", zorder=1)
        for rok, label, colour, marker in (
            ("", "alone", COLOURS[0], MARKERS[0]),
            (ROK, "with ROK", COLOURS[1], MARKERS[1]),
        ):
            for i, name in enumerate(backbones):
                values = part.loc[part["system"] == name + rok, "value"]
                ax.scatter(values, np.full(len(values), i + 0.22), s=5, color=colour, alpha=0.6)
            at = [means[name + rok] for name in backbones]
            ax.scatter(at, range(len(at)), s=22, color=colour, marker=marker, label=label, zorder=2)
        ax.set_yticks(range(len(backbones)), backbones)
        ax.set_ylim(len(backbones) - 0.5, -0.6)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.set_xlabel(f"test {_title(metric)} (small: seeds; large: their mean)")
        ax.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))

    return _figure(draw, height=0.9 + 0.32 * len(backbones))


def variants_figure(frame: pd.DataFrame, metric: str = "auc") -> Figure:
    """A metric on test samples per variant, as `metric_figure` draws systems.

    `frame` is `variants_frame`'s.
    """
    return metric_figure(frame.rename(columns={"variant": "system"}), metric)


def sweep_figure(
    frame: pd.DataFrame,
    name: str,
    metric: str = "auc",
    references: Mapping[str, float] | None = None,
) -> Figure:
    """A metric on test samples over a setting: mean of the seeds, and mean ± sd as a band.

    `frame` is `variants_frame`'s with the values of the setting `name` as variants; `references`
    are drawn as level lines with their names.
    """
    part = frame[(frame["metric"] == metric) & (frame["split"] == "test")]
    held = part.groupby("variant")["value"]
    mean, sd = held.mean(), held.std(ddof=1).fillna(0)

    def draw(ax: Axes) -> None:
        x = mean.index.to_numpy(float)
        ax.fill_between(x, mean - sd, mean + sd, color=COLOURS[0], alpha=0.2, linewidth=0)
        ax.plot(x, mean.to_numpy(), color=COLOURS[0], marker=MARKERS[0])
        ax.scatter(part["variant"], part["value"], s=5, color=COLOURS[0], alpha=0.6)
        for (label, level), colour in zip((references or {}).items(), COLOURS[1:], strict=False):
            ax.axhline(level, color=colour, linestyle="--", linewidth=1, label=label)
        ax.set_xlabel(f"{name} (points: seeds; band: mean ± sd)")
        ax.set_ylabel(f"test {_title(metric)}")
        ax.yaxis.set_major_locator(MaxNLocator(nbins=6))
        if references:
            ax.legend(ncols=len(references), loc="lower center", bbox_to_anchor=(0.5, 1))

    return _figure(draw)


def spaces_figure(frame: pd.DataFrame) -> Figure:
    """Layouts of samples, a column per space: coloured by part above, by label below.

    `frame` is `layouts`': columns space, x, y, part, label. Points are drawn in a random order, so
    that no group hides another; they are pixels in the SVG too.
    """
    names = list(dict.fromkeys(frame["space"]))
    groups = (("part", ("train", "test")), ("label", (0, 1)))
    with style.context(["default", STYLE]):
        fig = Figure(figsize=(WIDTH, 1.95 * len(groups)))
        FigureCanvasAgg(fig)
        axes = fig.subplots(len(groups), len(names), squeeze=False)
        for row, (column, values) in zip(axes, groups, strict=True):
            for ax, name in zip(row, names, strict=True):
                own = frame[frame["space"] == name].sample(frac=1, random_state=0)
                colours = own[column].map(dict(zip(values, COLOURS, strict=False)))
                ax.scatter(own["x"], own["y"], s=0.6, c=colours, linewidths=0, rasterized=True)
                ax.set(xticks=[], yticks=[])
                ax.set_title(name, loc="right", fontsize=8)
            names_of = [str(v) if column == "part" else f"label {v}" for v in values]
            handles = [
                row[0].scatter([], [], s=8, color=colour, label=name)
                for name, colour in zip(names_of, COLOURS, strict=False)
            ]
            # Above the left panel, beside its title: inside, it would hide samples.
            row[0].legend(
                handles=handles,
                loc="lower left",
                bbox_to_anchor=(-0.05, 0.97),
                ncols=2,
                columnspacing=0.8,
                handletextpad=0,
            )
    return fig


def phases_figure(frame: pd.DataFrame) -> Figure:
    """Seconds of training by backbone, stages side by side: with ROK, and below it without.

    `frame` is that of `phases_table`.
    """
    stages = ("Search s", "Teacher s", "Construction s", "Phase 2 s")

    def draw(ax: Axes) -> None:
        places = np.arange(len(frame))
        left = np.zeros(len(frame))
        for stage, colour in zip(stages, COLOURS, strict=False):
            values = frame[stage].to_numpy(float)
            label = stage.removesuffix(" s").lower()
            ax.barh(places - 0.17, values, 0.3, left=left, color=colour, label=label)
            left += values
        alone = frame["Without ROK s"].to_numpy(float)
        ax.barh(places + 0.17, alone, 0.3, color="#999999", label="without ROK")
        ax.set_yticks(places, frame["Backbone"])
        ax.set_ylim(len(frame) - 0.5, -0.5)
        ax.set_xlabel("seconds of training, median over seeds")
        ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=6)

    return _figure(draw, height=1.1 + 0.4 * len(frame))


def latency_figure(frame: pd.DataFrame) -> Figure:
    """Test AUC over milliseconds for a single sample (logarithmic), a point per system.

    `frame` is that of `latency_table`. A backbone with ROK has the colour and marker that it has
    alone, filled, and a line joins both.
    """
    held = frame.set_index("System")
    alone = dict.fromkeys(str(system).partition(ROK)[0] for system in held.index)
    looks = {name: (colour, marker) for name, colour, marker in _looks(list(alone))}

    def draw(ax: Axes) -> None:
        for system in held.index:
            x, y = held.at[system, "p50 ms"], held.at[system, "AUC"]
            colour, marker = looks[system.partition(ROK)[0]]
            inside = colour if ROK in system else "white"
            ax.scatter(x, y, s=20, c=inside, edgecolors=colour, marker=marker, label=system)
            if system + ROK in held.index:
                with_it = held.loc[system + ROK]
                ax.plot([x, with_it["p50 ms"]], [y, with_it["AUC"]], color="#999999", zorder=0.5)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("milliseconds for one sample, search included")
        ax.set_ylabel("test AUC")
        ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), fontsize=6)

    return _figure(draw, height=3.0)


def claims_figure(frame: pd.DataFrame) -> Figure:
    """The claims by verdict: a coloured mark per claim.

    `frame` is that of `claims_table`.
    """
    words = ("holds", "not decided", "does not hold", "not run")
    looks = dict(
        zip(
            words,
            ((COLOURS[2], "o"), (COLOURS[3], "D"), (COLOURS[1], "X"), ("#999999", ".")),
            strict=True,
        )
    )

    def draw(ax: Axes) -> None:
        for i, verdict in enumerate(frame["Verdict"]):
            colour, marker = looks[verdict]
            ax.scatter(words.index(verdict), i, s=28, color=colour, marker=marker)
        ax.set_xticks(range(len(words)), words, fontsize=6)
        ax.set_xlim(-0.5, len(words) - 0.5)
        ax.xaxis.tick_top()
        ax.set_yticks(range(len(frame)), frame["Claim"], fontsize=5.5)
        ax.set_ylim(len(frame) - 0.5, -0.5)

    with style.context(["default", STYLE]):
        fig = Figure(figsize=(2 * WIDTH, 0.6 + 0.2 * len(frame)))
        FigureCanvasAgg(fig)
        draw(fig.add_subplot())
    return fig


def retrieved_figure(frame: pd.DataFrame) -> Figure:
    """How far neighbours agree with their sample, by rank. `frame` is `retrieved_frame`'s."""

    def draw(ax: Axes) -> None:
        for name, colour, marker in _looks(("agrees", "same user", "same item", "found")):
            ax.plot(frame["rank"], frame[name], color=colour, marker=marker, label=name)
        ax.axhline(0.5, color="#000000", linewidth=0.5)
        ax.set_ylim(-0.02, 1.02)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("rank of the neighbour")
        ax.set_ylabel("share of test samples")
        ax.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))

    return _figure(draw)


def curves_figure(frame: pd.DataFrame, metric: str) -> Figure:
    """A validation metric over training, one line per system, mean of its seeds.

    More systems than there are colours have a panel each. `frame` is `curves_frame`'s: columns
    system, seed, epoch, metric, value.
    """
    part = frame[frame["metric"] == metric]
    systems = list(dict.fromkeys(part["system"]))
    if len(systems) > len(COLOURS):
        return _curves_by_panel(part, systems, f"val {_title(metric)}")

    def draw(ax: Axes) -> None:
        for system, colour, marker in _looks(systems):
            own = part[part["system"] == system]
            mean = _seeds(ax, own, colour)
            ax.plot(mean.index, mean.to_numpy(), color=colour, marker=marker, label=system)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("epoch")
        ax.set_ylabel(f"val {_title(metric)}")
        ax.legend()

    return _figure(draw)


def _curves_by_panel(part: pd.DataFrame, systems: Sequence[str], title: str) -> Figure:
    """A panel per system; heights are to be compared."""
    rows = -(-len(systems) // PANELS)
    with style.context(["default", STYLE]):
        fig = Figure(figsize=(WIDTH, 0.3 + 0.85 * rows), layout="constrained")
        FigureCanvasAgg(fig)
        axes = fig.subplots(rows, PANELS, squeeze=False, sharey=True).flatten()
        for ax in axes[len(systems) :]:
            ax.axis("off")
        for ax, system in zip(axes, systems, strict=False):
            mean = _seeds(ax, part[part["system"] == system], COLOURS[0])
            ax.plot(mean.index, mean.to_numpy(), color=COLOURS[0], linewidth=1)
            ax.set_title(system, fontsize=6, pad=2)
            ax.tick_params(labelsize=6)
            ax.xaxis.set_major_locator(MaxNLocator(2, integer=True))
        fig.supxlabel("epoch; of trees, round", fontsize=8)
        fig.supylabel(title, fontsize=8)
    return fig


def _seeds(ax: Axes, own: pd.DataFrame, colour: str) -> "pd.Series[float]":
    """Draws a faint line per seed of a system; returns their mean by epoch."""
    for _, one in own.groupby("seed"):
        ax.plot(one["epoch"], one["value"], color=colour, linewidth=0.5, alpha=0.4)
    return own.groupby("epoch")["value"].mean()


def construction_figure(frame: pd.DataFrame, metrics: Sequence[str] | None = None) -> Figure:
    """How construction went: imitation R² and collapse level over its epochs, on validation.

    `frame` is `curves_frame`'s of construction runs; `metrics` default to all R² and collapse.
    """
    names = list(dict.fromkeys(frame["metric"]))
    drawn = list(metrics or [n for n in names if n.startswith(("r2", "collapse"))])

    def draw(ax: Axes) -> None:
        for metric, colour, marker in _looks(drawn):
            mean = frame[frame["metric"] == metric].groupby("epoch")["value"].mean()
            ax.plot(mean.index, mean.to_numpy(), color=colour, marker=marker, label=_title(metric))
        ax.axhline(0, color="#000000", linewidth=0.5)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("construction epoch")
        ax.set_ylabel("on validation samples")
        ax.legend()

    return _figure(draw)


def events_figure(
    frame: pd.DataFrame, cuts: Mapping[str, float] | None = None, time_unit: str = ""
) -> Figure:
    """Samples over time, a line per part, with the cuts between the parts.

    `frame` is `events_frame`'s: columns part, time, samples; rows at time -inf and inf are not
    drawn, but counted in the title. `time_unit` is the data card's: where it counts seconds since
    1970, the axis shows dates.
    """
    drawn = frame[np.isfinite(frame["time"])]
    away = [
        f"{frame.loc[frame['time'] == at, 'samples'].sum():,} {where}"
        for at, where in ((-np.inf, "earlier"), (np.inf, "later"))
        if (frame["time"] == at).any()
    ]
    parts = list(dict.fromkeys(frame["part"]))
    dated = time_unit.startswith("seconds since 1970-01-01")

    def on_axis(time: Any) -> Any:
        return pd.to_datetime(time, unit="s") if dated else time

    def draw(ax: Axes) -> None:
        for part, colour, marker in _looks(parts):
            own = drawn[drawn["part"] == part]
            (line,) = ax.plot(on_axis(own["time"]), own["samples"], color=colour, label=part)
            line.set(marker=marker, markersize=2.5)
        for time in (cuts or {}).values():
            ax.axvline(on_axis(time), color="#000000", linewidth=0.7, linestyle="--")
        ax.set_yscale("log")
        if dated:
            dates = ConciseDateFormatter(ax.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
            ax.xaxis.set_major_formatter(dates)
        if away:
            ax.set_title(f"samples not drawn: {', '.join(away)}", fontsize=7, loc="left")
        ax.set_xlabel("" if dated else f"time ({time_unit})" if time_unit else "time")
        ax.set_ylabel("samples")
        ax.legend()

    return _figure(draw)


def long_tail_figure(frame: pd.DataFrame) -> Figure:
    """How often each item occurs, most frequent first, on two logarithmic scales.

    `frame` is `long_tail_frame`'s: columns rank, rows.
    """

    def draw(ax: Axes) -> None:
        ax.loglog(frame["rank"], frame["rows"], color=COLOURS[0])
        ax.set_xlabel("rank of the item")
        ax.set_ylabel("rows of the pool")

    return _figure(draw)


def history_figure(frame: pd.DataFrame) -> Figure:
    """How many users have a history of at most so many behaviours.

    `frame` is `history_frame`'s: columns length, share.
    """

    def draw(ax: Axes) -> None:
        ax.step(frame["length"], frame["share"], where="post", color=COLOURS[0])
        ax.set_xscale("symlog", linthresh=1)
        ax.set_ylim(0, 1.02)
        ax.set_xlabel("behaviours in the history")
        ax.set_ylabel("share of users, cumulative")

    return _figure(draw)


def reliability_figure(frame: pd.DataFrame) -> Figure:
    """The share of positives over the mean p of each bin; on the dashed line p is what happens.

    `frame` is `reliability_frame`'s; bins with fewer than `ENOUGH` predictions are not drawn.
    """
    drawn = frame[frame["predictions"] >= ENOUGH]

    def draw(ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], color="#000000", linewidth=0.7, linestyle="--")
        for system, colour, marker in _looks(list(dict.fromkeys(frame["system"]))):
            own = drawn[drawn["system"] == system]
            ax.plot(own["p"], own["rate"], color=colour, marker=marker, markersize=3, label=system)
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.set_xlabel("mean p of the bin, test samples of all seeds")
        ax.set_ylabel("share of positives")
        ax.legend()

    return _figure(draw, height=WIDTH)


def _figure(draw: Callable[[Axes], None], height: float = 2.4) -> Figure:
    """A figure in our style, whatever the reader's own settings are; no pyplot, no window."""
    with style.context(["default", STYLE]):
        fig = Figure(figsize=(WIDTH, height))
        FigureCanvasAgg(fig)
        draw(fig.add_subplot())
    return fig


def _looks(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """A colour and a marker for each name; of as many as there are pairs, no two look alike."""
    n = len(COLOURS)
    return [(name, COLOURS[i % n], MARKERS[(i + i // n) % n]) for i, name in enumerate(names)]


def _title(metric: str) -> str:
    known = {"auc": "AUC", "log_loss": "log-loss", "gauc": "gAUC", "ece": "ECE"}
    return known.get(metric, metric.replace("r2", "R²").replace("_", " "))
