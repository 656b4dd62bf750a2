"""Runs and what is made of them: specs, folders, published numbers, tables, figures."""

from rokkit.experiments.claims import base_unchanged, bases_unchanged, plausible
from rokkit.experiments.comparisons import (
    Paired,
    comparison,
    comparisons,
    comparisons_table,
)
from rokkit.experiments.compatibility import compatibility_table, with_and_without
from rokkit.experiments.costs import phases_reading, phases_table
from rokkit.experiments.data_table import (
    card_table,
    cuts,
    data_table,
    events_frame,
    history_frame,
    long_tail_frame,
    parts_table,
    profile_table,
)
from rokkit.experiments.efficiency import efficiency_reading
from rokkit.experiments.evidence import Evidence
from rokkit.experiments.export import Exported, export_run
from rokkit.experiments.failure import RunError, RunFailure
from rokkit.experiments.figures import (
    SavedFigure,
    claims_figure,
    compatibility_figure,
    construction_figure,
    curves_figure,
    events_figure,
    history_figure,
    latency_figure,
    long_tail_figure,
    metric_figure,
    phases_figure,
    reliability_figure,
    retrieved_figure,
    save_figure,
    spaces_figure,
    sweep_figure,
    variants_figure,
)
from rokkit.experiments.fresh import fresh_predictions, freshness_table
from rokkit.experiments.grouping import by_system, on_test
from rokkit.experiments.inference import (
    footprint_reading,
    footprint_table,
    latency_by_block,
    latency_reading,
    latency_table,
    measured_latency,
    networks,
)
from rokkit.experiments.ledger import CLAIMS, claims_table, findings_table, verdicts
from rokkit.experiments.orderings import orderings_table
from rokkit.experiments.overall import (
    costs_table,
    curves_frame,
    overall_frame,
    overall_table,
)
from rokkit.experiments.protocols import protocols_table
from rokkit.experiments.reading import Reading, imitation, reading
from rokkit.experiments.references import reference_aucs, with_references
from rokkit.experiments.reliability import reliability_frame
from rokkit.experiments.repeats import repeats_table
from rokkit.experiments.report import Report
from rokkit.experiments.retrieved import imitation_table, retrieved_frame, retrieved_table
from rokkit.experiments.runs import Planned, Runs
from rokkit.experiments.settings import Settings
from rokkit.experiments.spaces import layouts, spaces, spaces_reading, spaces_table
from rokkit.experiments.spec import DataSpec, KnowledgeSpec, ModelSpec, RetrievalSpec, RunSpec
from rokkit.experiments.status import RunEvent, Standing, standings
from rokkit.experiments.systems import SystemRun, run_specs, system_name, system_spec
from rokkit.experiments.table_readings import (
    batched_reading,
    calibration_reading,
    claims_reading,
    data_reading,
    protocols_reading,
    repeats_reading,
    warmth_reading,
)
from rokkit.experiments.tables import Table, read_table, save_table
from rokkit.experiments.variants import (
    bases_table,
    batched_table,
    best_on_validation,
    variants_frame,
    variants_reading,
    variants_table,
)
from rokkit.experiments.warmth import calibration_table, warmth_table

__all__ = [
    "CLAIMS",
    "DataSpec",
    "Evidence",
    "Exported",
    "KnowledgeSpec",
    "ModelSpec",
    "Paired",
    "Planned",
    "Reading",
    "Report",
    "RetrievalSpec",
    "RunError",
    "RunEvent",
    "RunFailure",
    "RunSpec",
    "Runs",
    "SavedFigure",
    "Settings",
    "Standing",
    "SystemRun",
    "Table",
    "base_unchanged",
    "bases_table",
    "bases_unchanged",
    "batched_reading",
    "batched_table",
    "best_on_validation",
    "by_system",
    "calibration_reading",
    "calibration_table",
    "card_table",
    "claims_figure",
    "claims_reading",
    "claims_table",
    "comparison",
    "comparisons",
    "comparisons_table",
    "compatibility_figure",
    "compatibility_table",
    "construction_figure",
    "costs_table",
    "curves_figure",
    "curves_frame",
    "cuts",
    "data_reading",
    "data_table",
    "efficiency_reading",
    "events_figure",
    "events_frame",
    "export_run",
    "findings_table",
    "footprint_reading",
    "footprint_table",
    "fresh_predictions",
    "freshness_table",
    "history_figure",
    "history_frame",
    "imitation",
    "imitation_table",
    "latency_by_block",
    "latency_figure",
    "latency_reading",
    "latency_table",
    "layouts",
    "long_tail_figure",
    "long_tail_frame",
    "measured_latency",
    "metric_figure",
    "networks",
    "on_test",
    "orderings_table",
    "overall_frame",
    "overall_table",
    "parts_table",
    "phases_figure",
    "phases_reading",
    "phases_table",
    "plausible",
    "profile_table",
    "protocols_reading",
    "protocols_table",
    "read_table",
    "reading",
    "reference_aucs",
    "reliability_figure",
    "reliability_frame",
    "repeats_reading",
    "repeats_table",
    "retrieved_figure",
    "retrieved_frame",
    "retrieved_table",
    "run_specs",
    "save_figure",
    "save_table",
    "spaces",
    "spaces_figure",
    "spaces_reading",
    "spaces_table",
    "standings",
    "sweep_figure",
    "system_name",
    "system_spec",
    "variants_figure",
    "variants_frame",
    "variants_reading",
    "variants_table",
    "verdicts",
    "warmth_reading",
    "warmth_table",
    "with_and_without",
    "with_references",
]
