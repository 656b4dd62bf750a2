"""Table 5: what training costs."""

from collections.abc import Sequence

import pandas as pd

from rokkit.experiments import paper
from rokkit.experiments.grouping import Stopwatch, by_system
from rokkit.experiments.reading import Reading
from rokkit.experiments.report import Report
from rokkit.experiments.systems import ROK
from rokkit.experiments.tables import Table


def phases_table(reports: Sequence[Report]) -> Table:
    """Table 5: seconds of both phases for each backbone with and without ROK, medians over seeds.

    Phase 1 is the search, the teacher and the construction, once for all backbones; phase 2 the
    backbone that uses the base. The paper's minutes are in the notes, of other data on other
    machines.
    """
    held, watch = by_system(reports), Stopwatch.of(reports)
    rows = []
    for name in [one for one in held if one + ROK in held]:
        rok = held[name + ROK]
        seconds = {
            column: watch.median(rok, stage)
            for column, stage in (
                ("Search s", "retrieval"),
                ("Teacher s", "teacher"),
                ("Construction s", "construct"),
                ("Phase 2 s", "train"),
            )
        }
        phase_1 = sum(seconds[c] for c in ("Search s", "Teacher s", "Construction s"))
        alone = watch.median(held[name], "train")
        rows.append(
            {
                "Backbone": name,
                **dict(list(seconds.items())[:3]),
                "Phase 1 s": phase_1,
                "Phase 2 s": seconds["Phase 2 s"],
                "Total s": phase_1 + seconds["Phase 2 s"],
                "Without ROK s": alone,
                "Phase 2 / without": seconds["Phase 2 s"] / alone,
                "Total / without": (phase_1 + seconds["Phase 2 s"]) / alone,
            }
        )
    frame = pd.DataFrame(rows)
    ratios = dict.fromkeys(("Phase 2 / without", "Total / without"), "{:.2f}")
    columns = [c for c in frame.columns if c.endswith(" s")]
    printed = "; ".join(
        f"{d}: {_minutes('Phase 1', d)} + {_minutes('Phase 2', d)} = {_minutes('Total', d)} "
        f"against {_minutes('DIEN without ROK', d)}"
        for d in paper.DATASETS
    )
    return Table(
        frame=frame,
        caption=f"Table 5 on {reports[0].spec.data.title}: seconds of training, median over seeds.",
        formats=dict.fromkeys(columns, "{:.1f}") | ratios,
        notes=(
            f"Seconds of {watch.kind} on the machine that ran it. Phase 1 (search, teacher, "
            "construction) is done once for all backbones.",
            f"The paper, minutes of DIEN (phase 1 + phase 2 = total against without ROK): "
            f"{printed}. Its phases are made of the same stages.",
            *paper.notes_on([(5, row) for row in paper.rows(5)], "Minutes"),
        ),
    )


def phases_reading(table: Table) -> Reading:
    """What `phases_table` says of each backbone."""
    lines = []
    for _, row in table.frame.iterrows():
        faster = "less" if row["Phase 2 / without"] < 1 else "no less"
        lines.append(
            f"{row['Backbone']}: phase 2 takes {faster} time than training without ROK "
            f"({row['Phase 2 s']:.1f} s against {row['Without ROK s']:.1f} s); with phase 1 it is "
            f"{row['Total / without']:.1f} times as much."
        )
    return Reading(tuple(lines))


def _minutes(row: str, dataset: str) -> str:
    value = paper.value(5, row, dataset, "Minutes")
    return "–" if value is None else f"{value:g}"
