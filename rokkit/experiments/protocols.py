"""The same systems on samples made in different ways."""

from collections.abc import Mapping, Sequence

import pandas as pd

from rokkit.experiments.grouping import by_system, on_test
from rokkit.experiments.report import Report
from rokkit.experiments.tables import Table


def protocols_table(studies: Mapping[str, Sequence[Report]], base: str = "MLP") -> Table:
    """A row per way of making samples: test AUC of each system, and its lead over `base`.

    Means over seeds. Samples differ between rows, so that rows are not compared by a test.
    """
    rows = []
    for name, reports in studies.items():
        means = {system: on_test(held, "auc").mean() for system, held in by_system(reports).items()}
        leads = {f"{s} - {base}": means[s] - means[base] for s in means if s != base}
        rows.append({"Samples": name, **means, **leads})
    frame = pd.DataFrame(rows)
    return Table(
        frame=frame,
        caption="Test AUC of the same systems on samples made in different ways.",
        formats={
            column: "{:+.4f}" if " - " in column else "{:.4f}"
            for column in frame.columns
            if column != "Samples"
        },
        notes=("Means over seeds.",),
    )
