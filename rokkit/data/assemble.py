"""From a log to samples in memory: vocabulary, split, histories, negatives, sub-sampling.

RIM's sample construction for event logs; the same path without negatives for impression logs.

DEVIATION(§5.1.1): RIM (hori_split.py) shuffles pool and targets. Here all parts stay in time order,
each negative right after its positive, so that a search can be told to see only rows before a
moment. Training shuffles for itself.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rokkit.data.history import pool_histories
from rokkit.data.lines import SLICE, Events, Lines
from rokkit.data.log import EventLog, ImpressionLog, Log
from rokkit.data.negatives import Draw
from rokkit.data.raw_values import Vocabulary
from rokkit.data.samples import HISTORY_ROWS, PARTS, History, Part, PartName
from rokkit.data.sampling import choose_users, keep_lines, stream
from rokkit.data.schema import Schema
from rokkit.data.sources.base import SourceOptions
from rokkit.data.splits import DROPPED, Scope
from rokkit.data.tuples import unique_tuples
from rokkit.data.vocabulary import encode
from rokkit.errors import DataError
from rokkit.files import collect_array, release, slices

Integers = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """Samples in memory, with the identity of every row's event, which the invariants check.

    An event's identity is its position in time order (ties in the order of the log).
    """

    schema: Schema
    vocabularies: list[Vocabulary]
    parts: dict[PartName, Part]
    events: dict[PartName, Integers]  # event of each row; a negative has its positive's
    history: History
    history_events: Integers  # event of each history row
    item_tuples: NDArray[np.int32]  # [M, C] every tuple that occurs in the log, ascending
    kind: Literal["impressions", "events"]
    scope: Scope
    replaced: tuple[int, ...]  # columns that a negative takes from another item tuple
    dropped: tuple[tuple[str, int], ...]  # (reason, rows), beyond what the source dropped


def assemble(name: str, log: Log, options: SourceOptions, folder: Path | None = None) -> Assembled:
    """The samples of `log`. DataError if a part is empty or there is no positive in the pool.

    With a folder, the arrays that grow with the pool are written there, where `write_samples`
    expects them, and are memory-mapped; without one everything is in memory.
    """
    dropped: list[tuple[str, int]] = []
    log = _choose_users(log, options, dropped)
    x, vocabularies = encode(log.frame, log.fields)
    schema = Schema(name=name, fields=tuple(v.field for v in vocabularies), retrieval=log.retrieval)
    events, user = _in_time_order(log, x, schema)
    del x
    tuples, tuple_of = unique_tuples(events.x, schema.item_columns)

    part_of = log.split.assign(user, events.time)
    _require_rows(part_of, events.y)
    late = int((part_of == DROPPED).sum())
    if late:
        dropped.append(("rows outside all parts", late))
    in_pool = part_of == PARTS.index("pool")
    offsets, history_events = pool_histories(
        user, schema.user_field.size, in_pool & (events.y == 1)
    )
    draw = None
    if isinstance(log, EventLog):
        draw = Draw(log.negatives, schema, tuples, offsets, tuple_of[history_events], options.seed)
    del tuple_of, in_pool

    parts: dict[PartName, Part] = {}
    events_of: dict[PartName, Integers] = {}
    for code, part in enumerate(PARTS):
        rows = np.flatnonzero(part_of == code).astype(index_type(len(user)))
        drawn = None if draw is None else draw(part, user[rows])
        lines = Lines(events, rows, drawn)
        if part == "pool":
            parts[part] = lines.write(folder, part)
            events_of[part] = np.repeat(rows, lines.per_event)
            continue
        most = getattr(options, f"{part}_rows")
        rng = stream(options.seed, f"lines of {part}")
        kept = keep_lines(len(lines), options.target_rate, most, rng)
        if len(kept) < len(lines):
            dropped.append((f"{part} lines outside the sub-sample", len(lines) - len(kept)))
        parts[part], events_of[part] = lines.take(kept), lines.events(kept)
        _require_both_labels(part, parts[part].y)

    return Assembled(
        schema=schema,
        vocabularies=vocabularies,
        parts=parts,
        events=events_of,
        history=History(offsets, _history_rows(events.x, history_events, schema, folder)),
        history_events=history_events,
        item_tuples=tuples,
        kind=log.kind,
        scope=log.split.scope,
        replaced=schema.item_columns if draw is None else draw.columns,
        dropped=tuple(dropped),
    )


def _in_time_order(
    log: Log, x: NDArray[np.int32], schema: Schema
) -> tuple[Events, NDArray[np.int32]]:
    """(the events, the user of each [N] counted from 0) of the rows `x` [N, F], sorted in place."""
    time = log.times()
    user = x[:, schema.user_column] - np.int32(schema.user_field.offset)
    key = time
    if log.ties == "user":
        # One number for both is sorted in half the time of two; else by time's rank.
        if int(time.max()) - int(time.min()) >= np.iinfo(np.int64).max // schema.user_field.size:
            key = np.unique(time, return_inverse=True)[1]
        key = key - key.min()
        key *= schema.user_field.size
        key += user
    order = np.argsort(key, kind="stable").astype(index_type(len(x)))
    del key
    for column in range(x.shape[1]):
        x[:, column] = x[order, column]
    y = log.labels()[order] if isinstance(log, ImpressionLog) else np.ones(len(x), np.int8)
    in_order = time[order]
    release(time)
    return Events(x=x, y=y, time=in_order), user[order]


def _history_rows(
    x: NDArray[np.int32], events: Integers, schema: Schema, folder: Path | None
) -> NDArray[np.int32]:
    """[M, C]: the item tuples of the history's `events` [M]."""
    columns = np.asarray(schema.item_columns)
    rows = (x[np.ix_(events[at], columns)] for at in slices(len(events), SLICE))
    path = None if folder is None else folder / HISTORY_ROWS
    return collect_array(path, (len(events), len(columns)), np.int32, rows)


def index_type(n: int) -> type[np.signedinteger[Any]]:
    """The smaller integer type that counts to `n`."""
    return np.int32 if n <= np.iinfo(np.int32).max else np.int64


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
