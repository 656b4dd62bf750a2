"""The causal protocol: every row of the log is a target, and finds earlier rows alone.

RIM's protocol sets a pool aside that systems without retrieval never learn from, though its rows
are labelled. Here there is no such part: a model learns from all rows before test, and one that
retrieves may look, for each of them, at all that was known before it. The weights of BM25 are those
of the whole pool: they are counts of ids, not labels.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rokkit.data.assemble import Assembled
from rokkit.data.samples import Part, PartName


def causal(made: Assembled) -> Assembled:
    """`made` with all its rows as the pool, and the rows of pool and train as train.

    Both are in time order; rows of one moment stay in the order of pool, train, val, test. val and
    test stay as they are. Histories stay too, but nothing may read them: they hold the targets.
    """
    parts: dict[PartName, Part] = dict(made.parts)
    events = dict(made.events)
    learnt: tuple[PartName, ...] = ("pool", "train")
    every: tuple[PartName, ...] = (*learnt, "val", "test")
    orders: dict[PartName, tuple[PartName, ...]] = {"train": learnt, "pool": every}
    for target, joined in orders.items():
        held = [made.parts[name] for name in joined]
        time = np.concatenate([part.time for part in held])
        order = np.argsort(time, kind="stable")
        parts[target] = Part(
            x=np.concatenate([part.x for part in held])[order],
            y=np.concatenate([part.y for part in held])[order],
            time=time[order],
        )
        events[target] = np.concatenate([made.events[name] for name in joined])[order]
    return replace(made, parts=parts, events=events)


def known_before(pool_time: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """[B]: how many rows of the pool, which is in time order, are strictly earlier than `time`."""
    return np.searchsorted(pool_time, time, side="left").astype(np.int64)
