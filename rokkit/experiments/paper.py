"""The published numbers of ROK (Tables 1-6) as data, to stand beside ours, never among them.

Rows and columns carry the paper's own names. A cell that the paper leaves empty is absent. Where a
printed number does not fit its own definition, it stays as printed and `NOTES` says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from rokkit.config import require

DATASETS = ("Tmall", "Taobao", "Alipay")

# The backbone of ROK in Table 2, which is also the base of its Rel. Impr. (Eq. 9).
BACKBONE: Mapping[str, str] = MappingProxyType({"Tmall": "DIEN", "Taobao": "DIEN", "Alipay": "DIN"})

# Cells by table and row: one tuple per data set, in the order of the table's columns.
_Cells = tuple[float | None, ...]
_COLUMNS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: ("Users", "Items", "Samples", "Fields", "Features"),
        2: ("AUC", "LL", "Rel. Impr."),
        3: ("AUC", "AUC Rel. Impr.", "LL", "LL Rel. Impr."),
        4: ("AUC", "Rel. Impr."),
        5: ("Minutes", "Retrieval minutes"),
        6: ("AUC", "Milliseconds", "Retrieval milliseconds"),
    }
)
_ROWS: Mapping[int, Mapping[str, tuple[_Cells, ...]]] = MappingProxyType(
    {
        1: {
            "Data set": (
                (424_170, 1_090_390, 54_925_331, 9, 1_529_676),
                (987_994, 4_162_024, 100_150_807, 4, 5_159_462),
                (498_308, 2_200_291, 35_179_371, 6, 3_327_205),
            ),
        },
        2: {
            "GBDT": ((0.8319, 0.5103, -13.55), (0.6134, 0.6797, -54.75), (0.6747, 0.9062, -34.00)),
            "DeepFM": ((0.8581, 0.4695, -6.72), (0.6710, 0.6497, -31.76), (0.6971, 0.6271, -25.54)),
            "FATE": ((0.8553, 0.4737, -7.45), (0.6762, 0.6497, -29.69), (0.7356, 0.6199, -10.99)),
            "HPMN": ((0.8526, 0.4976, -8.15), (0.7599, 0.5911, 3.71), (0.7681, 0.5976, 1.28)),
            "MIMN": ((0.8457, 0.5008, -9.95), (0.7533, 0.6002, 1.08), (0.7667, 0.5998, 0.76)),
            "DIN": ((0.8796, 0.4292, -1.12), (0.7433, 0.6086, -2.91), (0.7647, 0.6044, 0.00)),
            "DIEN": ((0.8839, 0.4272, 0.00), (0.7506, 0.6082, 0.00), (0.7485, 0.6019, -6.12)),
            "SIM": ((0.8857, 0.4520, 0.47), (0.7825, 0.5795, 12.73), (0.7600, 0.6089, -1.78)),
            "UBR": ((0.8975, 0.4368, 3.54), (0.8169, 0.5432, 26.46), (0.7952, 0.5747, 11.52)),
            "RIM": ((0.9151, 0.3697, 8.13), (0.8567, 0.4546, 42.34), (0.8005, 0.5736, 13.52)),
            "DERT": ((0.9200, 0.3585, 9.40), (0.8647, 0.4486, 45.53), (0.8087, 0.5319, 16.62)),
            "ROK": ((0.9226, 0.3546, 10.08), (0.8382, 0.5098, 34.96), (0.8093, 0.5304, 16.85)),
        },
        3: {
            "DeepFM": (
                (0.8585, 4.21, 0.4803, 9.31),
                (0.6710, 3.52, 0.6497, 2.51),
                (0.6971, 5.59, 0.6271, 4.80),
            ),
            "DeepFM+ROK": (
                (0.8946, None, 0.4356, None),
                (0.6946, None, 0.6334, None),
                (0.7361, None, 0.5970, None),
            ),
            "DIN": (
                (0.8796, 4.26, 0.4292, 5.59),
                (0.7433, 8.85, 0.6086, 6.82),
                (0.7647, 5.83, 0.6044, 12.24),
            ),
            "DIN+ROK": (
                (0.9171, None, 0.4052, None),
                (0.8091, None, 0.5671, None),
                (0.8093, None, 0.5304, None),
            ),
            "DIEN": (
                (0.8839, 4.38, 0.4272, 20.50),
                (0.7506, 11.67, 0.6082, 16.18),
                (0.7485, 5.33, 0.6019, 7.61),
            ),
            "DIEN+ROK": (
                (0.9226, None, 0.3546, None),
                (0.8382, None, 0.5098, None),
                (0.7884, None, 0.5561, None),
            ),
        },
        4: {
            "LR": ((0.8213, 4.37), (), (0.6298, 8.96)),
            "RIM(LR)": ((0.8379, 2.30), (), (0.6613, 3.77)),
            "ROK(LR)": ((0.8572, None), (), (0.6862, None)),
            "MLP": ((0.8393, 2.98), (), (0.6344, 9.13)),
            "RIM(MLP)": ((0.8426, 2.58), (), (0.6773, 2.21)),
            "ROK(MLP)": ((0.8643, None), (), (0.6923, None)),
        },
        5: {
            "Phase 1": ((156, 40), (116, 30), (24, 4)),
            "Phase 2": ((201, None), (163, None), (68, None)),
            "Total": ((357, None), (279, None), (92, None)),
            "DIEN without ROK": ((327, None), (330, None), (79, None)),
        },
        6: {
            "DeepFM": ((0.8585, 1.34, None), (0.6710, 1.36, None), (0.6971, 1.19, None)),
            "DeepFM+ROK": ((0.8946, 1.46, None), (0.6946, 1.40, None), (0.7361, 1.41, None)),
            "DIEN": ((0.8839, 5.44, None), (0.7506, 4.89, None), (0.7485, 3.69, None)),
            "DIEN+ROK": ((0.9226, 5.51, None), (0.8382, 5.04, None), (0.7884, 3.73, None)),
            "DIN": ((0.8796, 1.28, None), (0.7433, 1.32, None), (0.7647, 1.43, None)),
            "DIN+ROK": ((0.9171, 1.46, None), (0.8091, 1.36, None), (0.8093, 1.56, None)),
            "UBR": ((0.8975, 20.71, 17.67), (0.8169, 56.45, 53.32), (0.7952, 30.32, 27.31)),
            "RIM": ((0.9151, 174.81, 173.27), (0.8567, 206.22, 204.78), (0.8005, 113.95, 112.37)),
            "DERT": ((0.9200, 17.78, 16.19), (0.8647, 19.53, 16.97), (0.8087, 17.95, 16.31)),
        },
    }
)


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is odd about some cells of one table; an empty tuple means all of that kind."""

    table: int
    text: str
    rows: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def covers(self, table: int, row: str, dataset: str, column: str) -> bool:
        """Whether the note is about this cell."""
        return self.table == table and all(
            not wanted or value in wanted
            for value, wanted in (
                (row, self.rows),
                (dataset, self.datasets),
                (column, self.columns),
            )
        )


NOTES: tuple[Note, ...] = (
    Note(
        table=1,
        columns=("Fields",),
        text="Counts another protocol's fields (UBR4CTR's); RIM's, which the text says it "
        "follows, has 8, 4 and 5.",
    ),
    Note(
        table=1,
        columns=("Features",),
        text="The feature count of RIM's protocol, all behaviours kept and the action a field, "
        "while users, items and samples beside it are those of UBR4CTR's.",
    ),
    Note(
        table=2,
        columns=("Rel. Impr.",),
        text="Eq. 9 with the backbone of ROK on that data set as base; all 36 values agree.",
    ),
    Note(
        table=2,
        rows=("DeepFM",),
        datasets=("Tmall",),
        columns=("AUC", "LL"),
        text="Tables 3 and 6 print AUC 0.8585, Table 3 log-loss 0.4803, for the same system.",
    ),
    Note(
        table=2,
        rows=("GBDT",),
        datasets=("Alipay",),
        columns=("LL",),
        text="Above ln 2 = 0.693, that of a constant 0.5, although the AUC is 0.6747.",
    ),
    Note(
        table=2,
        rows=("DeepFM", "FATE"),
        datasets=("Taobao",),
        columns=("LL",),
        text="DeepFM and FATE show the same log-loss to four digits: one may be a copy.",
    ),
    Note(
        table=2,
        rows=("DIN", "DIEN"),
        datasets=("Alipay",),
        columns=("AUC", "LL"),
        text="DIN has the better AUC and DIEN the better log-loss.",
    ),
    Note(
        table=2,
        rows=("ROK",),
        datasets=("Tmall", "Alipay"),
        columns=("AUC", "LL"),
        text="Above DERT, where the text says that ROK comes close to recent results.",
    ),
    Note(
        table=2,
        rows=("ROK",),
        datasets=("Taobao",),
        columns=("AUC", "LL"),
        text="Below the teacher RIM (0.8567, 0.4546); the text says that ROK surpasses it.",
    ),
    Note(
        table=3,
        rows=("DIN+ROK",),
        datasets=("Tmall",),
        columns=("AUC", "LL"),
        text="AUC above RIM's 0.9151, log-loss worse than its 0.3697: ranking and calibration "
        "disagree.",
    ),
    Note(
        table=3,
        columns=("AUC Rel. Impr.",),
        text="The plain ratio AUC(+ROK) / AUC - 1, not Eq. 9 of the same paper, and of each "
        "backbone, where Table 2's is of ROK's; the averages of §5.3 are by data set.",
    ),
    Note(
        table=3,
        columns=("LL Rel. Impr.",),
        text="(LL - LL(+ROK)) / LL everywhere but for DIEN on Tmall.",
    ),
    Note(
        table=3,
        rows=("DIEN",),
        datasets=("Tmall",),
        columns=("LL Rel. Impr.",),
        text="By the rule of its column 16.99 %; the printed value is close to LL / LL(+ROK) - 1.",
    ),
    Note(
        table=3,
        rows=("DeepFM",),
        datasets=("Tmall",),
        columns=("AUC", "LL"),
        text="Table 2 prints 0.8581 and 0.4695 for the same system.",
    ),
    Note(
        table=4,
        columns=("Rel. Impr.",),
        text="The plain ratio AUC(ROK variant) / AUC - 1, not Eq. 9. No Taobao column.",
    ),
    Note(
        table=5,
        rows=("Total",),
        text="More than the backbone alone on Tmall and Alipay, less on Taobao; the text says "
        "that ROK reduces training time.",
    ),
    Note(
        table=6,
        rows=("DeepFM+ROK", "DIEN+ROK", "DIN+ROK"),
        columns=("Milliseconds",),
        text="0.04 to 0.22 ms more than the backbone; the text says 0.12 to 0.25 ms.",
    ),
    Note(
        table=6,
        rows=("DeepFM",),
        datasets=("Tmall",),
        columns=("AUC",),
        text="Table 2 prints 0.8581 for the same system.",
    ),
    Note(
        table=6,
        rows=("UBR", "RIM", "DERT"),
        columns=("Milliseconds", "Retrieval milliseconds"),
        text="The text explains them by O(N log N) of the search, which no inverted index takes.",
    ),
)


def published(table: int) -> pd.DataFrame:
    """One published table, tidy: columns row, dataset, column, value, note.

    AUC and log-loss (LL) as printed, Rel. Impr. in percent. ConfigError for a table that is not
    among 1 to 6.
    """
    require(table in _ROWS, "table", table, "1 to 6")
    cells = [
        (row, dataset, column, float(value), " ".join(notes(table, row, dataset, column)))
        for row, by_dataset in _ROWS[table].items()
        for dataset, values in zip(DATASETS, by_dataset, strict=True)
        for column, value in zip(_COLUMNS[table], values, strict=bool(values))
        if value is not None
    ]
    return pd.DataFrame(cells, columns=["row", "dataset", "column", "value", "note"])


def rows(table: int) -> tuple[str, ...]:
    """The names of a table's rows, in the paper's order."""
    require(table in _ROWS, "table", table, "1 to 6")
    return tuple(_ROWS[table])


def value(table: int, row: str, dataset: str, column: str) -> float | None:
    """One published cell; None where the paper prints none."""
    require(table in _ROWS, "table", table, "1 to 6")
    values = _ROWS[table].get(row, ((), (), ()))[DATASETS.index(dataset)]
    return dict(zip(_COLUMNS[table], values, strict=False)).get(column)


def notes(table: int, row: str, dataset: str, column: str) -> list[str]:
    """What is odd about one published cell."""
    return [note.text for note in NOTES if note.covers(table, row, dataset, column)]


def notes_on(cells: Iterable[tuple[int, str]], column: str) -> tuple[str, ...]:
    """What is odd about a column of rows (table, row) of any data set, each once, for a caption."""
    shown = list(cells)
    return tuple(
        f"{_named(note)}: {note.text}"
        for note in NOTES
        if any(note.covers(*cell, d, column) for cell in shown for d in DATASETS)
    )


def _named(note: Note) -> str:
    """`The paper's Table 2, DeepFM on Tmall`."""
    rows, datasets = " and ".join(note.rows), " and ".join(note.datasets)
    places = " ".join(one for one in (rows, datasets and f"on {datasets}") if one)
    return ", ".join(one for one in (f"The paper's Table {note.table}", places) if one)
