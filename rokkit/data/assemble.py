"""From a log to samples in memory: vocabulary, split, histories, negatives, sub-sampling.

RIM's sample construction for event logs; the same path without negatives for impression logs.

DEVIATION(§5.1.1): RIM (hori_split.py) shuffles pool and targets. Here all parts stay in time order,
each negative right after its positive, so that a search can be told to see only rows before a
moment. Training shuffles for itself.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rokkit.data.history import pool_histories
from rokkit.data.log import EventLog, ImpressionLog, Log
from rokkit.data.negatives import from_history, interleave, uniform
from rokkit.data.raw_values import Vocabulary
from rokkit.data.samples import PARTS, History, Part, PartName
from rokkit.data.sampling import choose_users, keep_lines, stream
from rokkit.data.schema import Schema
from rokkit.data.sources.base import SourceOptions
from rokkit.data.splits import DROPPED, Scope
from rokkit.data.tuples import unique_tuples
from rokkit.data.vocabulary import encode
from rokkit.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """Samples in memory, with the identity of every row's event, which the invariants check.

    An event's identity is its position in time order (ties in the order of the log).
    """

    schema: Schema
    vocabularies: list[Vocabulary]
    parts: dict[PartName, Part]
    events: dict[PartName, NDArray[np.int64]]  # event of each row; a negative has its positive's
    history: History
    history_events: NDArray[np.int64]  # event of each history row
    item_tuples: NDArray[np.int32]  # [M, C] every tuple that occurs in the log, ascending
    kind: Literal["impressions", "events"]
    scope: Scope
    dropped: tuple[tuple[str, int], ...]  # (reason, rows), beyond what the source dropped


def assemble(name: str, log: Log, options: SourceOptions) -> Assembled:
    """The samples of `log`. DataError if a part is empty or there is no positive in the pool."""
    dropped: list[tuple[str, int]] = []
    log = _choose_users(log, options, dropped)
    order = np.argsort(log.times(), kind="stable")
    time = log.times()[order]
    x, vocabularies = encode(log.frame, log.fields)
    x = x[order]
    schema = Schema(name=name, fields=tuple(v.field for v in vocabularies), retrieval=log.retrieval)
    user = x[:, schema.user_column].astype(np.int64) - schema.user_field.offset
    y = log.labels()[order] if isinstance(log, ImpressionLog) else np.ones(len(x), np.int8)
    tuples, tuple_of = unique_tuples(x, schema.item_columns)

    part_of = log.split.assign(user, time)
    _require_rows(part_of, y)
    late = int((part_of == DROPPED).sum())
    if late:
        dropped.append(("rows outside all parts", late))
    in_pool = part_of == PARTS.index("pool")
    offsets, history_events = pool_histories(user, schema.user_field.size, in_pool & (y == 1))

    parts, events = {}, {}
    for code, part in enumerate(PARTS):
        rows = np.flatnonzero(part_of == code)
        made, event = Part(x[rows], y[rows], time[rows]), rows
        if isinstance(log, EventLog):
            rng = stream(options.seed, f"negatives of {part}")
            if part == "pool":
                drawn = uniform(len(rows), len(tuples), rng)
            else:
                behaviours, share = tuple_of[history_events], log.negatives.history_share
                drawn = from_history(user[rows], offsets, behaviours, share, len(tuples), rng)
            made = Part(
                interleave(made.x, tuples, drawn, schema.item_columns),
                np.tile(np.array([1, 0], np.int8), len(rows)),
                np.repeat(made.time, 2),
            )
            event = np.repeat(rows, 2)
        if part != "pool":
            most = getattr(options, f"{part}_rows")
            rng = stream(options.seed, f"lines of {part}")
            kept = keep_lines(len(made), options.target_rate, most, rng)
            if len(kept) < len(made):
                dropped.append((f"{part} lines outside the sub-sample", len(made) - len(kept)))
                made, event = Part(made.x[kept], made.y[kept], made.time[kept]), event[kept]
            _require_both_labels(part, made.y)
        parts[part], events[part] = made, event

    return Assembled(
        schema=schema,
        vocabularies=vocabularies,
        parts=parts,
        events=events,
        history=History(offsets, x[np.ix_(history_events, np.asarray(schema.item_columns))]),
        history_events=history_events,
        item_tuples=tuples,
        kind=log.kind,
        scope=log.split.scope,
        dropped=tuple(dropped),
    )


def _choose_users(log: Log, options: SourceOptions, dropped: list[tuple[str, int]]) -> Log:
    """The log of a seeded sub-sample of its users."""
    if not options.users:
        return log
    # Users are numbered by their sorted names, so the order of rows does not matter.
    x, (users,) = encode(log.frame, tuple(f for f in log.fields if f.role == "user"))
    chosen = choose_users(users.field.size, options.users, stream(options.seed, "users"))
    kept = chosen[x[:, 0] - users.field.offset]
    dropped.append((f"rows of users outside the sub-sample of {options.users}", int((~kept).sum())))
    return replace(log, frame=log.frame[kept])


def _require_rows(part_of: NDArray[np.int8], y: NDArray[np.int8]) -> None:
    for code, part in enumerate(PARTS):
        if not (part_of == code).any():
            raise DataError(
                f"part {part!r} has no rows ({len(part_of)} rows in the log). "
                "Each of pool, train, val and test needs some: move the cuts or take more users."
            )
    if not y[part_of == PARTS.index("pool")].any():
        raise DataError(
            "the pool holds no positive, so there are no histories and nothing to retrieve. "
            "Move the first cut later, or look at how labels are made."
        )


def _require_both_labels(part: PartName, y: NDArray[np.int8]) -> None:
    positives = int(y.sum(dtype=np.int64))
    if positives in (0, len(y)):
        raise DataError(
            f"part {part!r} has {positives} positives in {len(y)} rows; AUC needs both labels. "
            f"Raise {part}_rows, take more users or move the cuts."
        )
