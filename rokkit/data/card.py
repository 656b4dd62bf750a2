"""The data card: what a person needs to know of a data set before trusting a number made on it."""

from typing import Any

import numpy as np

from rokkit.data.assemble import Assembled
from rokkit.data.lines import SLICE
from rokkit.data.log import Log
from rokkit.data.samples import History, Part
from rokkit.data.schema import Field, Schema
from rokkit.files import slices

PER_USER_NOTE = (
    "Each user's rows are split in time order. The pool can therefore hold other users' rows that "
    "are later than a target; a split at one moment for all users has no such rows."
)
NEGATIVES_NOTE = (
    "Negatives are drawn, one per positive, and may coincide with a positive. AUC and log-loss "
    "are measured on this balance, so a constant answer scores .5 and .693."
)

CAUSAL_NOTE = (
    "Causal: the pool holds the rows of all parts, and train those of pool and train. A target may "
    "see rows of the pool that are strictly earlier, and nothing else of it."
)
LEAK_NOTE = (
    "Negatives take over only some fields of an item, so they show combinations that never occur. "
    "That gives labels away: numbers made on these samples say nothing of a model's worth."
)


def data_card(
    name: str,
    log: Log,
    made: Assembled,
    *,
    options: dict[str, Any],
    source_files: dict[str, str],
) -> dict[str, Any]:
    """The card of `made`, JSON-ready. Counts are of the samples as written."""
    schema = made.schema
    origin = log.origin
    notes = list(origin.notes)
    if made.scope == "user":
        notes.append(PER_USER_NOTE)
    if made.kind == "events":
        notes.append(NEGATIVES_NOTE)
    causal = bool(options.get("causal", False))
    if causal:
        notes.append(CAUSAL_NOTE)
    if made.replaced != schema.item_columns:
        notes.append(LEAK_NOTE)
    return {
        "name": name,
        "kind": made.kind,
        "licence": origin.licence,
        "licence_note": origin.licence_note,
        "source_files": source_files,
        "options": options,
        "rows_read": origin.rows_read,
        "dropped": [{"reason": r, "rows": n} for r, n in (*origin.dropped, *made.dropped)],
        "repaired": [{"what": what, "rows": n} for what, n in origin.repaired],
        "parts": {part: _part(schema, rows) for part, rows in made.parts.items()},
        "users": schema.user_field.size,
        "items": schema.fields[schema.item_columns[0]].size,
        "item_tuples": len(made.item_tuples),
        "fields": schema.n_fields,
        "features": schema.n_ids - 1,
        "samples": sum(len(rows) for rows in made.parts.values()),
        "history": _history(made.history),
        "time_unit": log.time_unit,
        "notes": notes,
        **({"causal": True} if causal else {}),
    }


def _part(schema: Schema, part: Part) -> dict[str, Any]:
    positives = int(part.y.sum(dtype=np.int64))
    return {
        "rows": len(part),
        "positives": positives,
        "positive_rate": positives / len(part),
        "time_first": int(part.time[0]),
        "time_last": int(part.time[-1]),
        "users": _distinct(part, schema.user_field, schema.user_column),
        "items": _distinct(part, schema.fields[schema.item_columns[0]], schema.item_columns[0]),
    }


def _distinct(part: Part, field: Field, column: int) -> int:
    """Values of a field that occur in `part`."""
    seen = np.zeros(field.size, bool)
    for rows in slices(len(part), SLICE, part.x):
        seen[part.x[rows, column] - field.offset] = True
    return int(seen.sum())


def _history(history: History) -> dict[str, float]:
    """Lengths over all users."""
    lengths = np.diff(history.offsets)
    return {
        "mean": float(lengths.mean()),
        "p50": float(np.percentile(lengths, 50)),
        "p95": float(np.percentile(lengths, 95)),
        "empty_share": float((lengths == 0).mean()),
    }
